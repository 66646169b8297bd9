"""Why does a model that is too complex fail, and why does one that is far more complex succeed?

Polynomials with p coefficients, fitted by minimum-norm least squares to many training sets of n
noisy points each; the parts of their risk after Geman, Bienenstock and Doursat 1992 (MATH5836
week 10, section 10.1.1).

You will see bias^2 fall and variance rise: the U-shaped risk of the textbooks. At p = n the
variance explodes. Then, where the textbooks stop, it falls again, and polynomials of a degree in
the hundreds do about as well as joining the dots by straight lines.

Predict first: beyond p = n every fit passes through every noisy point. How can the variance fall?
"""
# %% Constants
import matplotlib.pyplot as plt
import numpy as np
from common import BLACK, BLUE, GREEN, VERMILLION, label_line, start
from numpy.polynomial.legendre import legvander

from tinyml.interpolation.bias_variance import bias_variance
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


# %% Model: phi_0 = 1, phi_j = sqrt((2j + 1) / (j (j + 1))) P_j with the Legendre polynomials P_j
# They are scaled so that ||beta||^2 = beta_0^2 + 1/2 int (1 - x^2) f'(x)^2 dx: the minimum norm
# picks the flattest polynomial through the points.
def features(x, p):
    j = np.arange(1, p)
    phi = legvander(x, p - 1)
    phi[:, 1:] *= np.sqrt((2 * j + 1) / (j * (j + 1)))
    return phi


x_test = (2 * np.arange(N_TEST) + 1) / N_TEST - 1
target = truth(x_test)
test_features = features(x_test, SIZES[-1])


# %% Experiment: at every size, predictions after training on each of many training sets
def fit(p, rng):
    """Four rows over x_test: the fit, the fit to values without noise, joined dots, test data."""
    x = draw_inputs(rng)
    y = truth(x) + SIGMA * rng.standard_normal(n)
    beta = min_norm(features(x, p), np.column_stack([y, truth(x)]))
    return [*(test_features[:, :p] @ beta).T, np.interp(x_test, x, y),
            target + SIGMA * rng.standard_normal(N_TEST)]


results = sweep(fit, SIZES, repeats=TRAINING_SETS, seed=demo.seed, label="training sets")
predictions, noiseless, dots, y_test = np.moveaxis(results, 2, 0)    # (sets, sizes, x_test)


def parts(predictions):
    """bias^2 and variance, each at every size."""
    return np.transpose([bias_variance(crowd, target) for crowd in predictions.swapaxes(0, 1)])


bias2, variance = parts(predictions)
# The fit is linear in y: its mean over the noise is the fit to values without noise. So these have
# the same bias, and it can be seen where the scatter of the noisy fits would bury it, near p = n.
clear_bias2, _ = parts(noiseless)
risk = ((predictions - target) ** 2).mean(axis=(0, 2))
risk_of_dots = ((dots - target) ** 2).mean(axis=(0, 2))
test_risk = ((predictions - y_test) ** 2).mean(axis=(0, 2))

# The fit knows nothing of the noise in the test data: given the fit, the square of f - y_test
# has the mean (f - f*)^2 + sigma^2 and the variance 4 sigma^2 (f - f*)^2 + 2 sigma^4.
spread = np.sqrt((4 * SIGMA**2 * risk + 2 * SIGMA**4) / (TRAINING_SETS * N_TEST))
errors = (test_risk - (bias2 + variance + SIGMA**2)) / spread    # in standard errors

# %% Figure: fits at three sizes; the parts of the risk at all of them
size, threshold = np.array(SIZES), SIZES.index(n)
best = risk[:threshold].argmin()
figure = plt.figure(figsize=(12, 6))
left, right = figure.add_gridspec(1, 2, width_ratios=[1, 1.7])
for p, cell in zip((SIZES[best], n, SIZES[-1]), left.subgridspec(3, 1)):
    ax = figure.add_subplot(cell)
    ax.plot(x_test, predictions[:20, SIZES.index(p)].T, color=VERMILLION, alpha=0.4, linewidth=0.8)
    ax.plot(x_test, target, color=BLACK, linestyle="--", linewidth=1.5)
    ax.set(ylim=(-2, 2), yticks=[-1, 0, 1])
    ax.set_title({n: f"p = n = {n}", SIZES[-1]: f"p = {p // n} n = {p}"}.get(
        p, f"p = {p}, the best below n = {n}"), pad=4)
    ax.tick_params(labelbottom=p == SIZES[-1])
ax.set_xlabel("x (20 fits; dashed: the truth f*)")

ax = figure.add_subplot(right)
for text, values, colour, marker in (("test risk", test_risk, BLACK, "o"),
                                     ("variance", variance, VERMILLION, "^"),
                                     ("bias²", clear_bias2, BLUE, "s")):
    line, = ax.plot(size, values, color=colour, marker=marker, markersize=4)
    label_line(ax, line, text, dy=-4 if text == "variance" else 0)
ax.axhline(SIGMA**2, color="0.5", linestyle=":", linewidth=1.5)
ax.text(1, SIGMA**2 * 1.1, "noise σ²", color="0.35")
few, many = size <= 6, size >= 60
ax.plot(size[few], SIGMA**2 * size[few] / n, color=GREEN, linestyle="--", zorder=3)
ax.text(1, SIGMA**2 / n * 0.55, "σ²p/n", color=GREEN, va="top")
ax.plot(size[many], np.full(many.sum(), 2 / 3 * SIGMA**2), color=GREEN, linestyle="--", zorder=3)
ax.text(60, SIGMA**2 * 0.45, "2σ²/3: joining the dots", color=GREEN, va="top")
ax.axvline(n, color="0.6", linestyle=":", linewidth=1.5)
ax.set(xscale="log", yscale="log", ylim=(1e-4, 500), xlabel="number of coefficients p",
       ylabel="squared error", title="Test risk = bias² + variance + σ²; theory dashed")
ticks = [1, 2, 5, n, 30, 100, 600]
ax.set_xticks(ticks, ["n" if p == n else str(p) for p in ticks])
ax.minorticks_off()
figure.suptitle(f"{n} points: the error explodes at {n} coefficients, "
                f"and {SIZES[-1]} are nearly as good as {SIZES[best]}")

# %% Claims
demo.record("p", SIZES)
for name, values in (("bias^2", bias2), ("bias^2, with the noise averaged out", clear_bias2),
                     ("variance", variance), ("test risk", test_risk)):
    demo.record(name, values)
demo.record("p of the first minimum", SIZES[best])
demo.claim("mean squared error = bias^2 + variance: relative difference, at most",
           np.abs(risk / (bias2 + variance) - 1).max(), at_most=1e-10)
demo.claim("test risk = bias^2 + variance + sigma^2 within 3 standard errors: share of the sizes",
           np.mean(np.abs(errors) < 3), at_least=0.95)
demo.claim("bias^2 falls at every step up to the first minimum: largest ratio of neighbours",
           (clear_bias2[1:] / clear_bias2[:-1])[:best].max(), below=1)
demo.claim("variance is largest at p = n (p)", SIZES[variance.argmax()], within=(n, n))
demo.claim("variance explodes: p = n against the first minimum",
           variance[threshold] / variance[best], at_least=1000)
demo.claim("and falls again: p = n against the largest p",
           variance[threshold] / variance[-1], at_least=1000)
steps = np.diff(np.log(risk[:threshold + 1]))
demo.claim("the U: the error falls at every step to the first minimum (largest step of its log)",
           steps[:best].max(), below=0)
demo.claim("and rises at every step from there to p = n (smallest step of its log)",
           steps[best:].min(), above=0)
demo.claim("past p = n bias^2 rises again: largest p against p = n",
           clear_bias2[-1] / clear_bias2[threshold], at_least=10)
demo.claim("the second descent nearly reaches the first minimum: ratio of the errors",
           risk[-1] / risk[best], at_most=1.5)
demo.claim("where it ends, the fit is as good as joining the dots: ratio of the errors",
           risk[-1] / risk_of_dots[-1], within=(0.9, 1.1))
demo.finish(figure)
