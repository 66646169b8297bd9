"""The central equation of each module that the notes' own statements do not cover, in two forms."""
from book.equations import Equation

CENTRAL = {    # the path below tinyml/: plain and TeX
    "tensor.py": Equation(
        "dL/dx_i = sum over j of dL/dy_j dy_j/dx_i",
        r"\dfrac{\partial L}{\partial x_i} = \sum_j \dfrac{\partial L}{\partial y_j}\dfrac{\partial y_j}{\partial x_i}"),
    "ops/__init__.py": Equation(
        "y = f(x), and dL/dx = g' dy/dx with g = dL/dy",
        r"y = f(x), \quad \dfrac{\partial L}{\partial x} = g^{\mathsf{T}}\,\dfrac{\partial y}{\partial x}, \quad g = \dfrac{\partial L}{\partial y}"),
    "gradcheck.py": Equation(
        "(f(x + h d) - f(x - h d)) / 2h ~ g'd", r"\dfrac{f(x + h d) - f(x - h d)}{2 h} \approx g^{\mathsf{T}} d"),
    "optim.py": Equation(
        "theta <- theta - lr m^ / (sqrt(v^) + eps)",
        r"\theta \leftarrow \theta - \eta\,\hat m / (\sqrt{\hat v} + \epsilon)"),
    "functional/attention.py": Equation(
        "softmax(Q K' / sqrt(d)) V", r"\mathrm{softmax}(Q K^{\mathsf{T}} / \sqrt{d})\,V"),
    "interpolation/double_descent.py": Equation(
        "variance of the minimum-norm fit: sigma^2 p / (n - p - 1) for p < n - 1, sigma^2 n / (p - n - 1) for p > n + 1",
        r"\sigma^2 \dfrac{p}{n - p - 1}\ (p < n - 1), \quad \sigma^2 \dfrac{n}{p - n - 1}\ (p > n + 1)"),
    "interpolation/random_features.py": Equation(
        "E cos(w'x + b) cos(w'y + b) = k(x, y) / 2", r"2\,E \cos(w^{\mathsf{T}} x + b) \cos(w^{\mathsf{T}} y + b) = k(x, y)"),
    "interpolation/forest.py": Equation(
        "gain = n_L n_R / n ||mean_L - mean_R||^2",
        r"\mathrm{gain} = \dfrac{n_L\,n_R}{n}\,\Vert \bar y_L - \bar y_R \Vert^2"),
    "interpolation/grove.py": Equation(
        "x_i <= x_j  <=>  rank_i <= rank_j", r"x_i \leq x_j \ \Leftrightarrow\ \mathrm{rank}_i \leq \mathrm{rank}_j"),
    "interpolation/ridge.py": Equation(
        "(X'X + n lam I)^-1 X'y = V diag(s / (s^2 + n lam)) U'y",
        r"(X^{\mathsf{T}} X + n\lambda I)^{-1} X^{\mathsf{T}} y = V\,\mathrm{diag}\!\left(\dfrac{s}{s^2 + n\lambda}\right) U^{\mathsf{T}} y"),
    "interpolation/implicit_bias.py": Equation(
        "beta_t - beta_0 in the row space of X", r"\beta_t - \beta_0 \in \mathrm{row}(X)"),
    "interpolation/early_stopping.py": Equation(
        "1 - (1 - lr s^2)^t ~ s^2 / (s^2 + n lam), with lam = 1 / (n lr t)",
        r"1 - (1 - \eta s^2)^t \approx \dfrac{s^2}{s^2 + n\lambda}, \quad \lambda = \dfrac{1}{n\,\eta\,t}"),
    "interpolation/second_fall.py": Equation(
        "jitter = median |b_(k-1) - 2 b_k + b_(k+1)| / (0.6745 sqrt(6))",
        r"\mathrm{jitter} = \dfrac{\mathrm{median}_k\,|b_{k-1} - 2\,b_k + b_{k+1}|}{0.6745\,\sqrt{6}}"),
    "interpolation/benign.py": Equation(
        "r_k = sum over i > k of lambda_i / lambda_(k+1), R_k = (sum lambda_i)^2 / sum lambda_i^2",
        r"r_k = \dfrac{\sum_{i > k} \lambda_i}{\lambda_{k+1}}, \quad R_k = \dfrac{(\sum_{i > k} \lambda_i)^2}{\sum_{i > k} \lambda_i^2}"),
    "compression/structured.py": Equation(
        "Theta_k = |1/M sum_m (dC/dz_km) z_km|",
        r"\Theta_k = \left|\dfrac{1}{M}\sum_m \dfrac{\partial C}{\partial z_{km}}\,z_{km}\right|"),
    "compression/removal.py": Equation(
        "f with z_k = 0  =  f without row k of W and column k of the next W",
        r"f\,|_{z_k = 0} = f_{\setminus k}"),
    "compression/observers.py": Equation(
        "end <- end + rate (new end - end)", r"e \leftarrow e + \rho\,(e_{\mathrm{new}} - e)"),
    "compression/clipping.py": Equation(
        "E (x - Q(x))^2 = clipping error + step^2 / 12",
        r"E\,(x - Q(x))^2 \approx 2\int_\alpha^\infty (x - \alpha)^2 f(x)\,dx + \dfrac{\Delta^2}{12}"),
    "compression/bit_allocation.py": Equation(
        "2^M_i = n 2^M a_i^(2/3) / sum_j a_j^(2/3)",
        r"2^{M_i} = n\,2^{M}\,\dfrac{a_i^{2/3}}{\sum_j a_j^{2/3}}"),
    "compression/integer.py": Equation(
        "q3 = Z3 + S1 S2 / S3 sum (q1 - Z1) q2",
        r"q_3 = Z_3 + \dfrac{S_1 S_2}{S_3} \sum (q_1 - Z_1)\,q_2"),
    "compression/thin_layers.py": Equation(
        "W[o,c,i,j] ~ sum_q H[o,q,j] V[q,c,i]",
        r"W_{ocij} \approx \sum_{q=1}^{r} H_{oqj}\,V_{qci}"),
    "compression/factorize.py": Equation(
        "W x = U (V'x)", r"W x \approx U (V^{\mathsf{T}} x)"),
    "compression/binary.py": Equation(
        "w ~ alpha sign(w), alpha = mean of |w|",
        r"w \approx \alpha\,\mathrm{sign}(w),\quad \alpha = \dfrac{1}{n}\sum_i |w_i|"),
    "compression/ternary.py": Equation(
        "w ~ alpha t, t = sign(w) where |w| > delta, else 0",
        r"w \approx \alpha\,t, \quad t_i = \mathrm{sign}(w_i)\,[\,|w_i| > \delta\,]"),
    "compression/bits.py": Equation(
        "x W' = sum_k 2^k (|x_k and plus| - |x_k and minus|)",
        r"x\,W^{\mathsf{T}} = \sum_k 2^k \left(|x_k \wedge W_+| - |x_k \wedge W_-|\right)"),
    "compression/monochromatic.py": Equation(
        "W_f ~ u_k v_f', v_f = W_f' u_k",
        r"W_f \approx u_{k(f)}\,v_f^{\mathsf{T}}, \quad v_f = W_f^{\mathsf{T}} u_{k(f)}"),
    "compression/channel_blocks.py": Equation(
        "y[outputs_h] = sum_g block_hg(x[inputs_g])",
        r"y_{O_h} = \sum_g B_{hg}(x_{C_g})"),
    "compression/biclustering.py": Equation(
        "W[o,c,i,j] ~ sum_qp B[o,q] core[q,p,i,j] A[c,p]",
        r"W_{ocij} \approx \sum_{q,p} B_{oq}\,K_{qpij}\,A_{cp}"),
    "compression/outer_products.py": Equation(
        "W[o,c,i,j] ~ sum_k u_k[o] v_k[c] w_k[i,j]",
        r"W_{ocij} \approx \sum_k u_k[o]\,v_k[c]\,w_k[i,j]"),
    "compression/metrics.py": Equation(
        "min ||diag(a) (W - W~) diag(b)||_F",
        r"\min_{\mathrm{rank}\,\tilde W = r}\ \Vert \mathrm{diag}(a)\,(W - \tilde W)\,\mathrm{diag}(b) \Vert_F"),
    "compression/circulant.py": Equation(
        "C x = F^-1(F r * F x)", r"C x = F^{-1}(F r \odot F x)"),
    "compression/circulant_layers.py": Equation(
        "y = C D x + bias, D = diag(signs)", r"y = C\,D\,x + \mathrm{bias}, \quad D = \mathrm{diag}(\pm 1)"),
    "compression/compact.py": Equation(
        "(C K^2 + C O) / (K^2 C O) = 1/O + 1/K^2",
        r"\dfrac{C K^2 + C\,O}{K^2\,C\,O} = \dfrac{1}{O} + \dfrac{1}{K^2}"),
    "compression/codebooks.py": Equation(
        "min sum_i (w_i - c_(a_i))^2",
        r"\min_{c,\,a}\ \sum_i \left(w_i - c_{a_i}\right)^2"),
    "compression/separable.py": Equation(
        "W[o,c] ~ P[o,c] D[c]", r"W_{oc} \approx P_{oc}\,D_c"),
    "compression/weight_sharing.py": Equation(
        "dL/dc_j = sum over i with a_i = j of dL/dw_i",
        r"\dfrac{\partial L}{\partial c_j} = \sum_{i\,:\,a_i = j} \dfrac{\partial L}{\partial w_i}"),
    "compression/coding/huffman.py": Equation(
        "H <= sum_i p_i l_i < H + 1", r"H \leq \sum_i p_i\,l_i < H + 1"),
    "compression/coding/arithmetic.py": Equation(
        "bits = -log2 q(decision | decisions before)", r"\mathrm{bits} = -\sum_t \log_2 q(d_t \mid d_1 \ldots d_{t-1})"),
    "compression/coding/sparse_codes.py": Equation(
        "gap_i = p_i - p_(i-1) - 1", r"g_i = p_i - p_{i-1} - 1"),
    "compression/deep_compression.py": Equation(
        "d H(k) + d k b bits, H(k) = -k log2 k - (1 - k) log2 (1 - k)",
        r"d\,H(k) + d\,k\,b\ \mathrm{bits}, \quad H(k) = -k \log_2 k - (1 - k) \log_2 (1 - k)"),
    "selfsupervised/markov.py": Equation(
        "P(x_t | seen) proportional to forward_t(x_t) backward_t(x_t)",
        r"P(x_t \mid \mathrm{seen}) \propto \alpha_t(x_t)\,\beta_t(x_t)"),
    "selfsupervised/masked_patches.py": Equation(
        "min mean over i in M of ||x^_i - x_i||^2 / P",
        r"\min\ \dfrac{1}{|M|}\sum_{i \in M} \dfrac{1}{P} \Vert \hat x_i - x_i \Vert^2"),
    "selfsupervised/masked_edges.py": Equation(
        "Z = D^(-1/2) (A + I) D^(-1/2) E", r"Z = D^{-1/2} (A + I)\,D^{-1/2} E"),
    "selfsupervised/augmentations.py": Equation(
        "q = c + A (p - c) + t", r"q = c + A\,(p - c) + t"),
    "selfsupervised/moco.py": Equation(
        "theta_k <- m theta_k + (1 - m) theta_q", r"\theta_k \leftarrow m\,\theta_k + (1 - m)\,\theta_q"),
    "selfsupervised/byol.py": Equation(
        "L = 2 - 2 cos(q(z), z')", r"L = 2 - 2\cos(q(z),\,z^{\prime})"),
    "selfsupervised/ts_tcc.py": Equation(
        "L = lambda_1 (L_TC^w + L_TC^s) + lambda_2 L_CC",
        r"L = \lambda_1 (L_{TC}^{w} + L_{TC}^{s}) + \lambda_2 L_{CC}"),
}
