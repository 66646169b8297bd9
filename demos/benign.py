"""When is a fit through every noisy label harmless?

Benign overfitting: Bartlett, Long, Lugosi and Tsigler 2020; the bias after Tsigler and Bartlett
2023; MATH5836 week 10, section 10.1.2. Half of the variance of the labels is noise, and there
are many more features than samples, p = n^2 / 4. One data set, three models: the same features
in different scales, which decide which fits are short.

You will see three curves through the same noisy points; and the exact excess risk against n, in
the parts due to the noise and to the signal, beside the theory's order of magnitude (dashed).
For the fast decay, whose k* exceeds n, the theory says only that the noise's part does not
vanish. Predicting zero would cost 1.

Predict first: all three fit all of the noise. Which of them predicts well, and why do the other
two fail: because of the noise that they fitted, or because they did not find the signal?
"""
# %% Constants
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from common import BLACK, BLUE, ORANGE, VERMILLION, band, start
from matplotlib.colors import to_rgb

from tinyml.interpolation.benign import (
    bias2_order,
    conditional_risk,
    effective_ranks,
    flat_tail,
    k_star,
    power_law,
    variance_order,
)
from tinyml.interpolation.double_descent import min_norm_bias2, min_norm_variance
from tinyml.interpolation.epoch_wise import excess_risk
from tinyml.interpolation.min_norm import min_norm
from tinyml.sweep import sweep
from tinyml.synthetic import make_linear

demo = start(__file__, __doc__)
SIZES = np.array([20, 28, 40, 56, 80] if demo.quick else [20, 28, 40, 56, 80, 112, 160])    # n
SETS = 6 if demo.quick else 10                # data sets of each size
WEIGHTS = np.array([1, -1, 1, 1, -1]) / np.sqrt(5)    # the signal, of variance 1: 5 features
SIGMA2 = 1.0                                  # variance of the noise in the labels
TAIL = 5.0                                    # what the eigenvalues of the flat tail sum to
ROUNDING = 1e-8                               # roughly p eps s_max / s_min ||y|| at the largest n
N_POINTS = 40                                 # of the three curves
K = len(WEIGHTS)


# %% Three models: n -> the variances of its p = n^2 / 4 features
def n_features(n):
    return n * n // 4


def benign(n):
    return flat_tail(n_features(n), n_strong=K, tail=TAIL)


def isotropic(n):
    return power_law(n_features(n), alpha=0)


def fast(n):
    return power_law(n_features(n), alpha=2)


MODELS = {"a few strong, a flat tail": benign, "isotropic": isotropic, "fast decay": fast}
BENIGN, ISOTROPIC, FAST = range(3)            # their places in arrays


def truth(eigenvalues):
    """The beta of the same signal in this model: beta_j sqrt(lambda_j) = w_j."""
    w = np.append(WEIGHTS, np.zeros(len(eigenvalues) - K))
    return w / np.sqrt(eigenvalues)


# %% One data set: the exact risk of the three fits given X, and their residuals
class Outcome(NamedTuple):
    """Of one model on one data set; of all, with axes (SETS, len(SIZES), 3)."""

    bias2: np.ndarray       # the signal's part of the excess risk
    variance: np.ndarray    # the noise's part
    head: np.ndarray        # what the K strong directions add to the variance
    residual: np.ndarray    # the largest on the training data


def experiment(n, rng):
    p = n_features(n)
    Z, y, _ = make_linear(n, p, sigma=np.sqrt(SIGMA2), beta=truth(np.ones(p)), rng=rng)
    outcomes = []
    for model in MODELS.values():
        eigenvalues = model(n)
        X = Z * np.sqrt(eigenvalues)
        bias2, variance = conditional_risk(X, truth(eigenvalues), eigenvalues=eigenvalues,
                                          sigma2=SIGMA2)
        residual = np.abs(X @ min_norm(X, y) - y).max()
        outcomes.append(Outcome(bias2.sum(), variance.sum(), variance[:K].sum(), residual))
    return outcomes


# %% Experiment: all three fit every label, and one of them predicts well
results = sweep(experiment, SIZES.tolist(), repeats=SETS, seed=demo.seed, label="data sets")
run = Outcome(*np.moveaxis(results, -1, 0))
bias2, variance = run.bias2.mean(axis=0), run.variance.mean(axis=0)    # (len(SIZES), 3)
risk = bias2 + variance
ratios = risk[1:, BENIGN] / risk[:-1, BENIGN]

for name, last in zip(MODELS, risk[-1]):
    demo.record(f"{name}: excess risk at n = {SIZES[-1]}", last)
demo.claim("every fit goes through every noisy label (largest residual)", run.residual.max(),
           at_most=ROUNDING)
demo.claim("flat tail: the excess risk falls with every size (largest ratio of neighbours)",
           ratios.max(), below=1)
demo.claim("flat tail: and falls far (last / first)", risk[-1, BENIGN] / risk[0, BENIGN],
           below=0.35)
demo.claim("flat tail: it is a fraction of the others' (ratio to the better of them)",
           risk[-1, BENIGN] / risk[-1, ISOTROPIC:].min(), below=0.2)

# %% The noise's part has the order of the theory, k*/n + n/R_k*
noise_theory = np.array([[SIGMA2 * variance_order(model(n), n) for model in MODELS.values()]
                         for n in SIZES.tolist()])
ratio = variance / noise_theory

for name, model in MODELS.items():
    eigenvalues, n = model(SIZES[-1]), int(SIZES[-1])
    k, (r, R) = k_star(eigenvalues, n), effective_ranks(eigenvalues)
    demo.record(f"{name}: r_0/n, k*/n, n/R_k*", [r[0] / n, k / n, n / R[k]])
demo.claim("the noise's part / the theory's order: smallest, all sizes and models", ratio.min(),
           above=0.5)
demo.claim("the noise's part / the theory's order: largest", ratio.max(), below=2)

# %% In the flat tail's model the strong directions pay k*/n, and the tail n/R_k*
head = run.head.mean(axis=0)[:, BENIGN]
tail = variance[:, BENIGN] - head
for text, part, order in (("strong directions pay k*/n", head, K / SIZES),
                          ("the tail pays n/R_k*", tail, SIZES / (n_features(SIZES) - K))):
    demo.claim(f"flat tail: {text} (mean ratio over the sizes)", np.mean(part / (SIGMA2 * order)),
               within=(0.5, 2))

# %% The signal's part has the order of the theory where k* < n
signal_theory = np.array([[bias2_order(model(n), truth(model(n)), n) for model in MODELS.values()]
                          for n in SIZES.tolist()])
ratio = (bias2 / signal_theory)[:, :FAST]

demo.claim("the signal's part / the theory's order, k* < n: smallest", ratio.min(), above=1 / 3)
demo.claim("the signal's part / the theory's order, k* < n: largest", ratio.max(), below=3)

# %% The isotropic model loses the signal, the fast decay cannot hide the noise
demo.claim("isotropic: the noise is hidden (its part, last / first)",
           variance[-1, ISOTROPIC] / variance[0, ISOTROPIC], below=0.35)
demo.claim("isotropic: but the signal is lost (share)", bias2[-1, ISOTROPIC], above=0.9)
for text, part, exact in (
        ("signal's", bias2, min_norm_bias2(SIZES, n_features(SIZES), signal=1)),
        ("noise's", variance, min_norm_variance(SIZES, n_features(SIZES), sigma2=SIGMA2))):
    demo.claim(f"isotropic: the {text} part is the exact one of double_descent (mean ratio)",
               np.mean(part[:, ISOTROPIC] / exact), within=(0.95, 1.05))
demo.claim("fast decay: the signal is found (share lost)", bias2[-1, FAST], below=0.01)
demo.claim("fast decay: but the noise is not hidden (its part / variance of the noise)",
           variance[-1, FAST] / SIGMA2, above=0.8)


# %% The same in one dimension: 40 points, features cos(pi j x) in the three scales
def cosines(x, p):
    """1, sqrt(2) cos(pi j x): orthonormal for x ~ U[0, 1]; shape (len(x), p)."""
    j = np.arange(p)
    return np.where(j, np.sqrt(2), 1) * np.cos(np.pi * np.multiply.outer(x, j))


p = n_features(N_POINTS)
x = (np.arange(N_POINTS) + 0.1 + 0.8 * demo.rng.random(N_POINTS)) / N_POINTS
Z = cosines(x, p)
y = Z[:, :K] @ WEIGHTS + np.sqrt(SIGMA2) * demo.rng.standard_normal(N_POINTS)
scales = [np.sqrt(model(N_POINTS)) for model in MODELS.values()]
curves = np.array([scale * min_norm(Z * scale, y) for scale in scales])    # (3, p)
curve_risk = excess_risk(curves, truth(np.ones(p)), scales=np.ones(p))

demo.record("the curves: excess risks", curve_risk)
demo.claim("the flat tail's curve is nearer to the truth than the others (ratio of excess risks)",
           curve_risk[BENIGN] / min(curve_risk[ISOTROPIC:]), below=0.7)

# %% Figure: on the left the three curves
LOOK = [dict(color=BLUE, marker="o"), dict(color=ORANGE, marker="s"),
        dict(color=VERMILLION, marker="^")]
TEXT = [[0.65 * part for part in to_rgb(look["color"])] for look in LOOK]
VERDICTS = ["signal and spikes", "spikes, no signal", "signal and all noise"]
figure = plt.figure(figsize=(17, 6.4))
left, middle, right = figure.add_gridspec(1, 3, width_ratios=[1.1, 1, 1])
figure.suptitle(f"All three fit every noisy label. At n = {SIZES[-1]} that costs "
                + ", ".join(f"{cost:.2f} ({name})" for name, cost in zip(MODELS, risk[-1])))
grid = np.union1d(np.linspace(0, 1, 4001), x)
for i, (name, cell) in enumerate(zip(MODELS, left.subgridspec(3, 1))):
    ax = figure.add_subplot(cell)
    ax.plot(grid, cosines(grid, p) @ curves[i], color=LOOK[i]["color"], lw=1.2)
    ax.plot(grid, cosines(grid, K) @ WEIGHTS, "--", color=BLACK, lw=1.6)
    ax.plot(x, y, "o", color=BLACK, ms=3, zorder=3)
    ax.set_title(f"{name.capitalize()}: {VERDICTS[i]} (risk {curve_risk[i]:.2f})", pad=4)
    ax.tick_params(labelbottom=i == FAST)
ax.set_xlabel(f"x ({N_POINTS} points; the truth is dashed)")


# %% The parts of the risk against n; theory dashed
def draw_part(ax, samples, theory, places, title):
    for i, (look, place) in enumerate(zip(LOOK, places)):
        band(ax, SIZES, samples[:, :, i], **look, ms=6)
        ax.text(*place, list(MODELS)[i], color=TEXT[i])
    ax.plot(SIZES, theory, "--", color=BLACK, lw=1.4)
    ax.set(xscale="log", yscale="log", ylim=(7e-4, 4), title=title, ylabel="excess risk",
           xlabel="samples n; features p = n²/4")
    ax.set_xticks(SIZES[::2], labels=SIZES[::2])
    ax.set_xticks([], minor=True)


draw_part(figure.add_subplot(middle), run.variance, noise_theory,
          [(40, 0.33), (22, 0.07), (22, 0.75)],
          "The noise's part: small where a flat tail hides it\n"
          r"(dashed: theory's order, $\sigma^2(k^*/n + n/R_{k^*})$)")
draw_part(figure.add_subplot(right), run.bias2, signal_theory[:, :FAST],
          [(30, 0.09), (22, 1.3), (21, 8.5e-4)],
          "The signal's part: lost without strong directions\n(dashed: theory's order)")
demo.finish(figure)
