"""The glossary: every fixed letter and every term, with the place that defines it.

A place is a module, ``module:function``, or ``module:function:code`` for the one line with that code.
"""
import html

from book.library import find, module

LETTERS = {    # letter: (what it stands for, where)
    "x": ("input", "tinyml/__init__.py"),
    "y": ("output or target", "tinyml/__init__.py"),
    "g": ("gradient of the loss with respect to a result, dL/dy", "tinyml/tensor.py:primitive"),
    "W, b": ("weight, of shape (out, in), and bias", "tinyml/nn/layers.py:Linear"),
    "N C H W": ("axes of images: number, channels, height, width", "tinyml/ops/images.py:conv2d"),
    "B T D": ("axes of sequences: batch, time, dimension", "tinyml/functional/attention.py:scaled_dot_product_attention"),
    "n, p": ("number of samples and of features or parameters", "tinyml/interpolation/min_norm.py"),
    "X, beta": ("design matrix, shape (n, p), and its coefficients", "tinyml/interpolation/min_norm.py:linear_model"),
    "s": ("singular values", "tinyml/interpolation/min_norm.py:svd"),
    "lr": ("learning rate, the size of a step", "tinyml/optim.py:SGD"),
    "rng": ("a numpy.random.Generator: all randomness comes from it", "tinyml/data.py:batches"),
    "theta": ("all parameters of a model", "tinyml/compression/pruning.py"),
    "m": ("mask, 1 where a weight stays", "tinyml/compression/pruning.py:magnitude_mask"),
    "Delta": ("step of a quantizer", "tinyml/compression/quantization.py:notes_codes"),
    "S, Z": ("scale and zero point of a quantizer", "tinyml/compression/quantization.py:choose_qparams"),
    "q": ("integer code", "tinyml/compression/quantization.py:quantize"),
    "r": ("rank", "tinyml/compression/low_rank.py:truncated_svd"),
    "T": ("temperature of a softmax (also the length of a sequence, where B and D stand beside it)", "tinyml/compression/distillation.py:soften"),
    "rho": ("fraction of positions that are hidden", "tinyml/selfsupervised/masking.py:mask_input"),
    "alpha": ("weight of the teacher in distillation", "tinyml/compression/distillation.py:distillation_loss"),
    "lam": ("strength of a penalty", "tinyml/interpolation/ridge.py:ridge"),
    "sigma, sigma2": ("standard deviation and variance of the noise", "tinyml/interpolation/min_norm.py:linear_model"),
    "eps": ("a small number that keeps a division or a root finite", "tinyml/optim.py:Adam"),
    "tau": ("share that a target network keeps at each step", "tinyml/selfsupervised/byol.py:BYOL"),
    "z": ("features, z = f(x)", "tinyml/selfsupervised/downstream.py:extract_features"),
}
TERMS = {
    "autograd": ("derivatives of a program by the chain rule, from the result back to the inputs", "tinyml/tensor.py"),
    "vjp": ("vector-Jacobian product: from the gradient of a result to that of an argument", "tinyml/tensor.py:primitive"),
    "accumulation of gradients": ("gradients are added up in grad by backward, so they are set back before each step", "tinyml/tensor.py:Tensor.backward:leaf_gradient = g"),
    "topological order": ("backward comes to a tensor after all that was computed from it: a heap gives the newest first", "tinyml/tensor.py:walk:heappop"),
    "broadcasting": ("small arrays are stretched forward; backward, their gradients are summed down", "tinyml/tensor.py:unbroadcast"),
    "convolution": ("images become a matrix of windows, and one matrix product does the rest", "tinyml/ops/images.py:conv2d"),
    "gradient check": ("the exact gradient is compared with a numerical one, by central differences", "tinyml/gradcheck.py"),
    "initial weights": ("weights are initialised at random, uniform up to 1 / sqrt(inputs)", "tinyml/nn/layers.py:Linear"),
    "item assignment": ("a Tensor cannot be written to: its history would be wrong", "tinyml/protocols.py:Protocols"),
    "bias correction in Adam": ("the moments start at 0, so they are divided by 1 - beta^t", "tinyml/optim.py:Adam"),
    "primitive": ("an operation that states its own derivative", "tinyml/tensor.py:primitive"),
    "straight-through estimator": ("round forward, and pass the gradient on unchanged", "tinyml/ops/straight_through.py:round_ste"),
    "bias and variance": ("how far the mean fit is from the truth, and how far fits differ", "tinyml/interpolation/bias_variance.py:bias_variance"),
    "double descent": ("the test error falls, rises to a peak at the interpolation threshold, and falls again", "tinyml/interpolation/double_descent.py"),
    "interpolation threshold": ("as many parameters as samples: the first perfect fit", "tinyml/interpolation/min_norm.py:least_squares"),
    "peak of the risk": ("near p = n the variance of the fit grows without bound, times that of the noise in the labels", "tinyml/interpolation/double_descent.py:min_norm_variance"),
    "label noise": ("a share of the training labels is made wrong, each drawn from the other classes", "tinyml/data.py:flip_labels:y[wrong] = "),
    "noise in the targets": ("normal noise of standard deviation sigma, added to the targets of a linear model", "tinyml/interpolation/min_norm.py:linear_model:standard_normal"),
    "minimum-norm fit": ("of all perfect fits, or else of all least-squares fits, the shortest: X^+ y", "tinyml/interpolation/min_norm.py:min_norm"),
    "variance of the minimum-norm fit": ("sigma^2 min(n, p) / (|n - p| - 1): infinite where p is near n", "tinyml/interpolation/double_descent.py:min_norm_variance:return _ratio"),
    "pseudoinverse": ("X^+ = V diag(1 / s) U', over the singular values that are not zero", "tinyml/interpolation/min_norm.py:min_norm"),
    "ridge": ("least squares with a penalty on the squared norm", "tinyml/interpolation/ridge.py:ridge"),
    "implicit bias": ("which of many solutions an optimizer finds", "tinyml/interpolation/implicit_bias.py"),
    "early stopping": ("ending descent before convergence, which shrinks like ridge", "tinyml/interpolation/early_stopping.py"),
    "leave-one-out": ("the error on each sample of a fit to all others", "tinyml/interpolation/ridge.py:leave_one_out"),
    "benign overfitting": ("a perfect fit of noise that hardly harms", "tinyml/interpolation/benign.py"),
    "more data can hurt": ("the error over the number of samples peaks at n = p: sample-wise double descent", "tinyml/interpolation/double_descent.py"),
    "largest learning rate": ("gradient descent on least squares converges below 2 / s_max^2 and diverges above", "tinyml/interpolation/min_norm.py:gradient_descent"),
    "effective rank": ("how many directions share the small eigenvalues", "tinyml/interpolation/benign.py:effective_ranks"),
    "random features": ("fixed random functions of x, with a linear fit on top", "tinyml/interpolation/random_features.py"),
    "epoch-wise double descent": ("the test error over training time falls, rises and falls again", "tinyml/interpolation/epoch_wise.py"),
    "magnitude pruning": ("set the smallest weights to zero", "tinyml/compression/pruning.py:magnitude_mask"),
    "pruned weights in training": ("they stay zero: the masks are applied after every step of fine-tuning too", "tinyml/compression/weight_masks.py:hold:projections.append"),
    "structured pruning": ("remove whole units or filters", "tinyml/compression/structured.py"),
    "sparse matrix": ("only the nonzero entries and their places are stored", "tinyml/compression/sparse.py:matmul"),
    "quantization": ("numbers as small integers and a step", "tinyml/compression/quantization.py:quantize"),
    "rounding to codes": ("a weight is divided by the scale, and rounded to an integer, its code", "tinyml/compression/quantization.py:quantize:np.round"),
    "scale of a quantizer": ("the step from one code to the next, chosen so that the range just fits: range / largest code", "tinyml/compression/quantization.py:choose_qparams:high / quant_max - low"),
    "fake quantization": ("round to the grid, but keep floats, so that training sees the rounding", "tinyml/compression/quantization_aware.py"),
    "gradient outside the range": ("a clipped value gets gradient 0 (inside) or 1 (identity)", "tinyml/compression/quantization_aware.py:fake_quantize"),
    "binary weight": ("a sign, with a scale for each filter", "tinyml/compression/binary.py:binarize"),
    "ternary weight": ("a sign or 0, with a scale for each filter", "tinyml/compression/ternary.py:ternarize"),
    "zero point": ("the integer code of the number 0, so that 0 is represented exactly", "tinyml/compression/quantization.py:choose_qparams"),
    "per channel": ("each filter has a range, and so a scale, of its own", "tinyml/compression/quantization.py:channel_range"),
    "observer": ("watches activations, and says their range", "tinyml/compression/observers.py"),
    "clipping": ("a range smaller than the data's, which makes steps finer", "tinyml/compression/clipping.py"),
    "low rank": ("a matrix as the product of two thin ones", "tinyml/compression/low_rank.py:truncated_svd"),
    "numbers in a low-rank layer": ("two factors of rank r store r (m + n) parameters in place of m n", "tinyml/compression/low_rank.py:break_even:cost_per_rank = "),
    "break-even rank": ("from this rank on, a low-rank layer costs no less than the whole one", "tinyml/compression/low_rank.py:break_even"),
    "monochromatic filter": ("sees the image in one colour: its weights are a colour times a gray filter", "tinyml/compression/monochromatic.py"),
    "bi-clustering": ("groups of filters and groups of channels, whose pairs are blocks", "tinyml/compression/biclustering.py:bicluster"),
    "circulant matrix": ("each column is the one before, shifted down with wrap-around", "tinyml/compression/circulant.py:circulant"),
    "depthwise convolution": ("one filter for each channel, which mixes no channels", "tinyml/compression/separable.py:separate"),
    "pointwise convolution": ("1 x 1: mixes the channels of a single pixel", "tinyml/compression/separable.py:separate"),
    "bottleneck": ("1 x 1 to few channels, K x K on these, 1 x 1 back", "tinyml/compression/compact.py:bottleneck_block"),
    "distillation": ("a small network learns from a large one's outputs", "tinyml/compression/distillation.py:distillation_loss"),
    "T^2 in distillation": ("T squared multiplies the loss on soft targets, whose gradients shrink as 1 / T^2", "tinyml/compression/distillation.py"),
    "codebook": ("the few values that all weights of a layer share", "tinyml/compression/codebooks.py:kmeans"),
    "Huffman code": ("the shortest prefix code for given symbol counts", "tinyml/compression/coding/huffman.py"),
    "entropy": ("the fewest bits a symbol needs on average", "tinyml/compression/coding/huffman.py"),
    "pretext task": ("a task made from the data itself, without labels", "tinyml/selfsupervised/masking.py"),
    "masking": ("hide a part of the input, predict it from the rest", "tinyml/selfsupervised/masking.py:mask_input"),
    "80/10/10": ("a chosen token becomes [MASK], becomes a random token, or stays as it is", "tinyml/selfsupervised/masking.py:mask_tokens:cases = "),
    "view": ("a random change of an input that keeps its meaning", "tinyml/selfsupervised/augmentations.py"),
    "positive pair": ("two views of one input", "tinyml/selfsupervised/contrastive.py:nt_xent"),
    "negative": ("a view of another input: no sample is its own negative", "tinyml/selfsupervised/contrastive.py:nt_xent"),
    "self-similarity": ("excluded from the contrastive loss NT-Xent: the diagonal of the similarities, each view with itself, becomes -inf", "tinyml/selfsupervised/contrastive.py:nt_xent:np.eye"),
    "collapse": ("all inputs get the same features", "tinyml/selfsupervised/byol.py:spread"),
    "momentum encoder": ("a slow average of the encoder, which makes keys or targets", "tinyml/selfsupervised/moco.py:update_momentum:momentum * old"),
    "projection head": ("the small network after the features, dropped when training ends", "tinyml/selfsupervised/simclr.py"),
    "stop-gradient": ("a value that counts as a constant: no gradient flows through it", "tinyml/selfsupervised/byol.py:BYOL.loss:no_grad()"),
    "temperature, contrastive": ("divides the similarities in NT-Xent: small T, only the nearest negatives count", "tinyml/selfsupervised/contrastive.py:nt_xent"),
    "logit": ("an output before the softmax", "tinyml/functional/losses.py:cross_entropy"),
    "KL divergence": ("how far one distribution is from another, in nats", "tinyml/functional/losses.py:kl_div"),
    "cross-entropy": ("minus the log-probability of the right class, in nats", "tinyml/functional/losses.py:cross_entropy"),
    "sparsity": ("the fraction of weights that are zero", "tinyml/compression/pruning.py:sparsity"),
    "file size": ("a mask that is applied makes no file smaller: a zero takes as many bytes as any number, until a code names the zeros", "tinyml/compression/coding/storage.py"),
    "excess risk": ("the risk above that of the best possible prediction, sigma^2", "tinyml/interpolation/double_descent.py:min_norm_risk"),
    "linear probe": ("a linear classifier on frozen features", "tinyml/selfsupervised/downstream.py:linear_probe"),
}


def entries(book):
    """(term, meaning, address) of every letter and term."""
    for table in (LETTERS, TERMS):
        for term, (meaning, place) in table.items():
            path, name, code = [*place.split(":", 2), "", ""][:3]
            if path in book.page_of:
                yield term, meaning, book.line(path, *lines_with(code, path, name)) if code else book.address(find(path, name))


def lines_with(code, path, name):
    """The numbers of the lines of a function that contain a piece of code, its docstring left out."""
    source, block = module(path), module(path).definitions[name]
    return [number for number in range(block.first, block.last + 1)
            if number not in block.doc_lines and code in source.lines[number - 1]]


def glossary_page(book):
    """The page of the glossary, as the content of <main>."""
    found = list(entries(book))
    parts = ["<h1>Glossary</h1>", '<p class="lead">The letters mean the same in all files. Each term leads to '
             "the line, function or module that defines it.</p>"]
    for heading, table in (("Letters", LETTERS), ("Terms", TERMS)):
        rows = [entry for entry in found if entry[0] in table]
        rows = sorted(rows, key=lambda row: row[0].lower()) if table is TERMS else rows
        items = "\n".join(f'<tr id="{slug(term)}"><th scope="row"><a href="{address}">{html.escape(term)}</a></th>'
                          f"<td>{html.escape(meaning)}</td></tr>" for term, meaning, address in rows)
        parts.append(f'<h2>{heading}</h2><table aria-label="{heading}">{items}</table>')
    return "\n".join(parts)


def slug(term):
    """A term as an anchor."""
    return "-".join("".join(c if c.isalnum() else " " for c in term).split())
