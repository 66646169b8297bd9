"""Why does a model that is too complex fail, and why does one that is far more complex succeed?

Polynomials with p coefficients, fitted by minimum-norm least squares to many training sets of n
noisy points each; the parts of their risk after Geman, Bienenstock and Doursat 1992 (MATH5836
week 10, section 10.1.1).

You will see bias^2 fall and variance rise: the U-shaped risk of the textbooks. At p = n the
variance explodes. Then, where the textbooks stop, it falls again, and polynomials with hundreds
of coefficients do about as well as joining the points by straight lines.

Predict first: beyond p = n every fit passes through every noisy point. How can the variance fall?
"""
# %% Constants
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from common import BLACK, BLUE, GREEN, VERMILLION, start
from numpy.polynomial.legendre import legvander
from panels import curve

from tinyml.interpolation.bias_variance import bias_variance, expected_risk
from tinyml.interpolation.min_norm import min_norm
from tinyml.sweep import sweep

demo = start(__file__, __doc__)
N_SAMPLES = 12                         # n, points in a training set
SIGMA = 0.2                            # standard deviation of the noise
TRAINING_SETS = 100 if demo.quick else 400
SIZES = [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 17, 20, 24, 30, 40, 60, 100, 200, 600]    # p
JITTER = 0.8                           # a point's freedom, in intervals: no two points ever meet
N_TEST = 200
n = N_SAMPLES


# %% Data: one x near the middle of each of n equal intervals of [-1, 1]
def truth(x):
    return np.sin(4 * x + 0.7) * np.exp(-x / 2)


def draw_inputs(rng):
    return (2 * np.arange(n) + 1 + JITTER * rng.uniform(-1, 1, n)) / n - 1


x_test = (2 * np.arange(N_TEST) + 1) / N_TEST - 1
target = truth(x_test)


# %% Model: phi_0 = 1, phi_j = sqrt((2j + 1) / (j (j + 1))) P_j with the Legendre polynomials P_j
# With this scale ||beta||^2 = beta_0^2 + 1/2 int (1 - x^2) f'(x)^2 dx: the minimum norm picks the
# flattest polynomial through the points.
def features(x, p):
    j = np.arange(1, p)
    phi = legvander(x, p - 1)
    phi[:, 1:] *= np.sqrt((2 * j + 1) / (j * (j + 1)))
    return phi


test_features = features(x_test, SIZES[-1])


# %% One training set: predictions at x_test, and new noisy data there
class Outcome(NamedTuple):
    """Arrays over x_test, of shape (N_TEST,), or (TRAINING_SETS, len(SIZES), N_TEST) for all."""

    fit: np.ndarray          # of the noisy training set
    noiseless: np.ndarray    # of the same points without noise
    dots: np.ndarray         # the training points, joined by straight lines
    y: np.ndarray            # new data


def train(p, rng):
    x = draw_inputs(rng)
    y = truth(x) + SIGMA * rng.standard_normal(n)
    beta = min_norm(features(x, p), np.column_stack([y, truth(x)]))
    fit, noiseless = (test_features[:, :p] @ beta).T
    return Outcome(fit, noiseless, np.interp(x_test, x, y),
                   target + SIGMA * rng.standard_normal(N_TEST))


# %% Experiment: many training sets at every size
results = sweep(train, SIZES, repeats=TRAINING_SETS, seed=demo.seed, label="training sets")
of = Outcome(*np.moveaxis(results, 2, 0))


def over_sizes(f, predictions):
    """f(predictions at a size, target) for every size, shape (len(SIZES), ...)."""
    return np.array([f(predictions[:, i], target) for i in range(len(SIZES))])


# %% The error splits into bias^2 and variance, exactly
bias2, variance = over_sizes(bias_variance, of.fit).T
excess = np.mean((of.fit - target) ** 2, axis=(0, 2))

demo.record("p", SIZES)
demo.record("bias^2", bias2)
demo.record("variance", variance)
demo.claim("mean squared error = bias^2 + variance (largest relative difference)",
           np.abs(excess / (bias2 + variance) - 1).max(), at_most=1e-10)

# %% On new, noisy data sigma^2 is added
# Given the fit, (f - y)^2 has the mean (f - f*)^2 + sigma^2, and the variance
# 4 sigma^2 (f - f*)^2 + 2 sigma^4.
risk = over_sizes(lambda f, target: expected_risk(f, target, sigma2=SIGMA**2), of.fit)
test_risk = np.mean((of.fit - of.y) ** 2, axis=(0, 2))
standard_error = np.sqrt((4 * SIGMA**2 * excess + 2 * SIGMA**4) / (TRAINING_SETS * N_TEST))

demo.record("test risk", test_risk)
demo.claim("test risk = bias^2 + variance + sigma^2 within 3 standard errors (share of the sizes)",
           np.mean(np.abs(test_risk - risk) < 3 * standard_error), at_least=0.95)

# %% The U: the error falls to a first minimum, and rises from there to p = n
at_n = SIZES.index(n)
best = excess[:at_n].argmin()
steps = np.diff(np.log(excess[:at_n + 1]))

demo.record("p of the first minimum", SIZES[best])
demo.claim("the error falls at every step to the first minimum (largest step of its log)",
           steps[:best].max(), below=0)
demo.claim("the error rises at every step from there to p = n (smallest step of its log)",
           steps[best:].min(), above=0)

# %% Variance explodes at p = n, and falls again
demo.claim("variance is largest at p = n (p)", SIZES[variance.argmax()], within=(n, n))
demo.claim("variance at p = n / at the first minimum", variance[at_n] / variance[best],
           at_least=1000)
demo.claim("variance at p = n / at the largest p", variance[at_n] / variance[-1], at_least=1000)

# %% Bias falls at first. The fit is linear in y, so a fit without noise has the same bias,
# and shows it near p = n too, where the scatter of the noisy fits hides it.
clear_bias2, _ = over_sizes(bias_variance, of.noiseless).T

demo.record("bias^2, from fits without noise", clear_bias2)
demo.claim("bias^2 falls at every step to the first minimum (largest ratio of neighbours)",
           (clear_bias2[1:] / clear_bias2[:-1])[:best].max(), below=1)
demo.claim("past p = n it rises again: largest p / p = n", clear_bias2[-1] / clear_bias2[at_n],
           at_least=10)

# %% The second descent: 600 coefficients are nearly as good as the best few
excess_of_dots = np.mean((of.dots - target) ** 2, axis=(0, 2))

demo.claim("the error at the largest p / at the first minimum", excess[-1] / excess[best],
           at_most=1.5)
demo.claim("the error at the largest p / that of joining the dots",
           excess[-1] / excess_of_dots[-1], within=(0.9, 1.1))

# %% Figure: on the left the fits of 20 training sets at three sizes
sizes = np.array(SIZES)
figure = plt.figure(figsize=(12, 6))
left, right = figure.add_gridspec(1, 2, width_ratios=[1, 1.7])
figure.suptitle(f"{n} points: the error explodes at {n} coefficients, "
                f"and {SIZES[-1]} are nearly as good as {SIZES[best]}")
names = {SIZES[best]: f"p = {SIZES[best]}, the best below n = {n}", n: f"p = n = {n}",
         SIZES[-1]: f"p = {SIZES[-1]}"}
for (p, name), cell in zip(names.items(), left.subgridspec(3, 1)):
    ax = figure.add_subplot(cell)
    ax.plot(x_test, of.fit[:20, SIZES.index(p)].T, color=VERMILLION, alpha=0.4, linewidth=0.8)
    ax.plot(x_test, target, color=BLACK, linestyle="--", linewidth=1.5)
    ax.set(ylim=(-2, 2), yticks=[-1, 0, 1])
    ax.set_title(name, pad=4)
    ax.tick_params(labelbottom=p == SIZES[-1])
ax.set_xlabel("x (20 fits; dashed: the truth f*)")

# %% On the right the parts of the risk at all sizes; theory dashed
ax = figure.add_subplot(right)
style = dict(markersize=4)
curve(ax, sizes, test_risk, "test risk", color=BLACK, marker="o", **style)
curve(ax, sizes, variance, "variance", dy=-4, color=VERMILLION, marker="^", **style)
curve(ax, sizes, clear_bias2, "bias²", color=BLUE, marker="s", **style)
ax.axhline(SIGMA**2, color="0.5", linestyle=":", linewidth=1.5)
ax.text(1, SIGMA**2 * 1.1, "noise σ²", color="0.35")
for x, theory, text, y in (([1, 6], np.array([1, 6]) / n, "σ²p/n", 0.55 / n),
                           ([60, 600], [2 / 3, 2 / 3], "2σ²/3: joining the dots", 0.45)):
    ax.plot(x, SIGMA**2 * np.array(theory), "--", color=GREEN, zorder=3)
    ax.text(x[0], SIGMA**2 * y, text, color=GREEN, va="top")
ax.axvline(n, color="0.6", linestyle=":", linewidth=1.5)
ax.set(xscale="log", yscale="log", ylim=(1e-4, 500), xlabel="number of coefficients p",
       ylabel="squared error", title="Test risk = bias² + variance + σ²; theory dashed")
ticks = [1, 2, 5, n, 30, 100, 600]
ax.set_xticks(ticks, ["n" if p == n else str(p) for p in ticks])
ax.minorticks_off()
demo.finish(figure, small=ax)
