"""When is a fit through every noisy label harmless?

Benign overfitting: Bartlett, Long, Lugosi and Tsigler 2020; the bias after Tsigler and Bartlett
2023; MATH5836 week 10, section 10.1.2. Half of the variance of the labels is noise, and there are
many more features than samples, p = n^2 / 4. One data set, three models: the same features, but
differently scaled, which decides what the minimum-norm fit thinks of as short.

You will see three curves through the same noisy points; the three spectra, and where the theory
places k*; and the exact excess risk, in the parts that are due to the noise and to the signal,
beside the theory's order of magnitude (dashed; for the fast decay, whose k* is above n, it says
only that the noise's part does not vanish). To predict zero would cost 1.

Predict first: all three fit all of the noise. Which of them predicts well, and why do the other two
fail: because of the noise that they fitted, or because of the signal that they did not find?
"""
# %% Constants
import matplotlib.pyplot as plt
import numpy as np
from common import BLACK, BLUE, ORANGE, VERMILLION, band, start
from matplotlib.colors import to_rgb

from tinyml.data import make_linear
from tinyml.interpolation.benign import (bias_order, conditional_risk, effective_ranks, flat_tail,
                                         k_star, power_law, variance_order)
from tinyml.interpolation.double_descent import min_norm_bias, min_norm_variance
from tinyml.interpolation.epoch_wise import excess_risk
from tinyml.interpolation.min_norm import min_norm
from tinyml.sweep import sweep

demo = start(__file__, __doc__)
SIZES = [20, 28, 40, 56, 80] if demo.quick else [20, 28, 40, 56, 80, 112, 160]    # n
SETS = 6 if demo.quick else 10                # data sets of each size
WEIGHTS = np.array([1, -1, 1, 1, -1]) / np.sqrt(5)    # the signal, of variance 1: 5 features
NOISE = 1.0                                   # variance of the noise in the labels
TAIL = 5.0                                    # what the eigenvalues of the flat tail sum to
ROUNDING = 1e-8                               # p eps s_max / s_min ||y||, roughly, at the largest n
N_POINTS = 40                                 # of the three curves
K = len(WEIGHTS)
SPECTRA = {                                   # p -> the variances of the features
    "a few strong, a flat tail": lambda p: flat_tail(p, n_strong=K, tail=TAIL),
    "isotropic": lambda p: power_law(p, alpha=0),
    "fast decay": lambda p: power_law(p, alpha=2),
}
BENIGN, ISOTROPIC, FAST = range(3)
LOOK = [dict(color=BLUE, marker="o"), dict(color=ORANGE, marker="s"),
        dict(color=VERMILLION, marker="^")]


def n_features(n):
    """p = n^2 / 4: beyond every multiple of n, as the theory wants it."""
    return n * n // 4


def truth(eigenvalues):
    """The beta of the model with these eigenvalues: beta_j sqrt(lambda_j) = w_j for all models."""
    w = np.append(WEIGHTS, np.zeros(len(eigenvalues) - K))
    return w / np.sqrt(eigenvalues)


# %% Experiment: on every data set, the exact risk of the three fits given X, and their residuals
def experiment(n, rng):
    """For each spectrum: the signal's part, the noise's, the first K's of this, the residual."""
    p = n_features(n)
    Z, y, _ = make_linear(n, p, sigma=np.sqrt(NOISE), beta=truth(np.ones(p)), rng=rng)
    found = []
    for spectrum in SPECTRA.values():
        eigenvalues = spectrum(p)
        X = Z * np.sqrt(eigenvalues)
        bias, variance = conditional_risk(X, truth(eigenvalues), eigenvalues=eigenvalues,
                                          sigma2=NOISE)
        residual = np.abs(X @ min_norm(X, y) - y).max()
        found.append([bias.sum(), variance.sum(), variance[:K].sum(), residual])
    return found


measured = sweep(experiment, SIZES, repeats=SETS, seed=demo.seed, label="data sets")
bias, variance, variance_head, residual = np.moveaxis(measured, -1, 0)    # (SETS, sizes, 3) each
risk = (bias + variance).mean(axis=0)                                     # (sizes, 3)


def over_sizes(f):
    """f(eigenvalues, n) for all sizes and spectra, shape (sizes, 3)."""
    return np.array([[f(spectrum(n_features(n)), n) for spectrum in SPECTRA.values()]
                     for n in SIZES])


noise_theory = NOISE * over_sizes(variance_order)
signal_theory = over_sizes(lambda spectrum, n: bias_order(spectrum, truth(spectrum), n))


# %% The same in one dimension: 40 points, features cos(pi j x) scaled by the three spectra
def cosines(x, p):
    """1, sqrt(2) cos(pi j x): orthonormal for x ~ U[0, 1]; shape (len(x), p)."""
    j = np.arange(p)
    return np.where(j, np.sqrt(2), 1) * np.cos(np.pi * np.multiply.outer(x, j))


p = n_features(N_POINTS)
x = (np.arange(N_POINTS) + 0.1 + 0.8 * demo.rng.random(N_POINTS)) / N_POINTS
Z = cosines(x, p)
y = Z[:, :K] @ WEIGHTS + np.sqrt(NOISE) * demo.rng.standard_normal(N_POINTS)
curves = np.array([np.sqrt(e) * min_norm(Z * np.sqrt(e), y)
                   for e in (spectrum(p) for spectrum in SPECTRA.values())])    # (3, p), of cosines
curve_risk = excess_risk(curves, truth(np.ones(p)), scales=np.ones(p))

# %% Figure
figure, axes = plt.subplots(2, 3, figsize=(15, 9.2), height_ratios=[1, 1.15])
figure.suptitle(f"All three fit every noisy label exactly. At n = {SIZES[-1]} that costs "
                + ", ".join(f"{cost:.2f} ({name})" for name, cost in zip(SPECTRA, risk[-1])))
VERDICTS = ["the signal, and needles", "needles, no signal", "the signal, and all noise"]


def name(ax, x, y, i, more="", **style):
    """Write the name of spectrum i, and `more`, at (x, y) in a darker shade of its colour."""
    color = [0.65 * part for part in to_rgb(LOOK[i]["color"])]
    ax.text(x, y, list(SPECTRA)[i] + more, color=color, **style)


def draw_curve(ax, i):
    grid = np.union1d(np.linspace(0, 1, 4001), x)
    ax.plot(grid, cosines(grid, p) @ curves[i], color=LOOK[i]["color"], lw=1.2)
    ax.plot(grid, cosines(grid, K) @ WEIGHTS, "--", color=BLACK, lw=1.6)
    ax.plot(x, y, "o", color=BLACK, ms=4, zorder=3)
    ax.set(xlabel="x", title=f"{list(SPECTRA)[i].capitalize()}: {VERDICTS[i]}\n"
           f"excess risk of the curve {curve_risk[i]:.2f}")


def draw_spectra(ax, n):
    places = [(0.2, 0.1, "top"), (1.3, 1.4, "bottom"), (1.2, 1.5, "bottom")]    # beside k*
    for i, (spectrum, (right, up, va)) in enumerate(zip(SPECTRA.values(), places)):
        eigenvalues = spectrum(n_features(n))
        k = k_star(eigenvalues, n)
        ax.loglog(np.arange(1, len(eigenvalues) + 1), eigenvalues, color=LOOK[i]["color"])
        ax.plot(k + 1, eigenvalues[k], **LOOK[i], ms=10, mec=BLACK)
        name(ax, right * (k + 1), up * eigenvalues[k], i, f":\nk* = {k}", va=va)
    ax.axvline(n, color="0.35", ls=":", lw=1.5)
    ax.text(1.1 * n, 0.2, "n samples", color="0.25")
    ax.set(xlabel="i", ylabel=r"eigenvalue $\lambda_i$, the variance of feature i", ylim=(None, 20),
           title=f"The spectra at n = {n}: from k* on, the\ntail is as long as n equal eigenvalues")


def draw_part(ax, samples, theory, labels, title):
    for i, (style, side) in enumerate(zip(LOOK, labels)):
        line = band(ax, SIZES, samples[:, :, i], **style, ms=6)
        x, y = line.get_xydata()[len(SIZES) // 2]
        if side == "above":
            name(ax, x, 1.25 * max(y, theory[len(SIZES) // 2, i]), i, va="bottom", ha="left")
        elif side == "below":
            name(ax, x, 0.75 * y, i, va="top", ha="right")
        else:    # the line leaves the picture
            name(ax, SIZES[0], 8.5e-4, i)
    ax.plot(SIZES, theory, "--", color=BLACK, lw=1.4)
    ax.set(xscale="log", yscale="log", ylim=(7e-4, 4), title=title, ylabel="excess risk",
           xlabel="samples n; features p = n²/4")
    ax.set_xticks(SIZES[::2], labels=SIZES[::2])
    ax.set_xticks([], minor=True)


for i, ax in enumerate(axes[0]):
    draw_curve(ax, i)
axes[0, 0].set_ylabel("y (the truth is dashed)")
draw_spectra(axes[1, 0], SIZES[-1])
draw_part(axes[1, 1], variance, noise_theory, ("above", "below", "below"),
          "The noise's part: small where a flat tail hides it\n"
          r"(dashed: theory's order, $\sigma^2(k^*/n + n/R_{k^*})$)")
draw_part(axes[1, 2], bias, signal_theory[:, :FAST], ("above", "below", "outside"),
          "The signal's part: all is lost without strong\ndirections (dashed: theory's order)")

# %% Claims
n = SIZES[-1]
for (title, spectrum), cost in zip(SPECTRA.items(), risk[-1]):
    k, (r, R) = k_star(spectrum(n_features(n)), n), effective_ranks(spectrum(n_features(n)))
    demo.record(f"{title}: r_0/n, k*/n, n/R_k*", [r[0] / n, k / n, n / R[k]])
    demo.record(f"{title}: excess risk at n = {n}", cost)
demo.record("the curves: excess risks", curve_risk)
demo.claim("every fit goes through every noisy label (largest residual)", residual.max(),
           at_most=ROUNDING)
benign, *others = risk[-1]
demo.claim("the benign one's excess risk falls with every size (largest ratio of neighbours)",
           (risk[1:, BENIGN] / risk[:-1, BENIGN]).max(), below=1)
demo.claim("and falls far (last / first)", benign / risk[0, BENIGN], below=0.35)
demo.claim("to a small part of the others' (ratio to the better of them)", benign / min(others),
           below=0.2)
ratio = variance.mean(axis=0) / noise_theory
demo.claim("the noise's part is of the theory's order: smallest ratio to it, all sizes and spectra",
           ratio.min(), above=0.5)
demo.claim("... and largest ratio", ratio.max(), below=2)
sizes = np.array(SIZES)
head = variance_head[:, :, BENIGN].mean(axis=0)
rest = variance[:, :, BENIGN].mean(axis=0) - head
for text, part, theory in (("strong directions pay k*/n", head, K / sizes),
                           ("the tail pays n/R_k*", rest, sizes / (n_features(sizes) - K))):
    demo.claim(f"benign: {text} of it (mean ratio over the sizes)",
               (part / (NOISE * theory)).mean(), within=(0.5, 2))
demo.claim("isotropic: the noise is hidden as well (its part, last / first)",
           np.divide(*variance.mean(axis=0)[[-1, 0], ISOTROPIC]), below=0.35)
demo.claim("isotropic: but the signal is lost (share)", bias[:, -1, ISOTROPIC].mean(), above=0.9)
for text, part, exact in (
        ("signal's", bias, min_norm_bias(sizes, n_features(sizes), signal=1)),
        ("noise's", variance, min_norm_variance(sizes, n_features(sizes), sigma2=NOISE))):
    demo.claim(f"isotropic: the {text} part is the exact one of double_descent (mean ratio)",
               (part[:, :, ISOTROPIC] / exact).mean(), within=(0.95, 1.05))
demo.claim("fast decay: the signal is found (share lost)", bias[:, -1, FAST].mean(), below=0.01)
demo.claim("fast decay: but the noise is not hidden (its part, in variances of the noise)",
           variance[:, -1, FAST].mean() / NOISE, above=0.8)
demo.claim("the signal's part is of the theory's order where k* < n: smallest ratio",
           (bias.mean(axis=0) / signal_theory)[:, :FAST].min(), above=1 / 3)
demo.claim("... and largest ratio", (bias.mean(axis=0) / signal_theory)[:, :FAST].max(), below=3)
demo.claim("the benign curve is nearer to the truth than the others (ratio of the excess risks)",
           curve_risk[BENIGN] / min(curve_risk[ISOTROPIC:]), below=0.7)
demo.finish(figure)
