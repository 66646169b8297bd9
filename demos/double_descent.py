"""Why does the test error fall again when a model has more parameters than samples?

MATH5836 week 10, section 10.1; Hastie, Montanari, Rosset and Tibshirani 2022; Belkin, Hsu and
Xu 2020. Gaussian features, a linear truth, the minimum-norm fit X^+ y: all of it can be computed.

You will see the excess test error against the number of features p, through p = n: measured, and
exactly (dashed). On the left the truth has just the p features of the model, and a fixed strength.
On the right it has more, the strong ones first, and those that the model does not see act as noise.

Predict first: how large is the error at p = n? Does the best ridge penalty move the peak, lower it,
or remove it? And can the model with the most parameters be the best of all?
"""
# %% Constants
import matplotlib.pyplot as plt
import numpy as np
from common import BLACK, BLUE, GREEN, ORANGE, VERMILLION, start

from tinyml.interpolation.double_descent import (asymptotic_minimum, min_norm_risk, optimal_lam,
                                                 optimal_ridge_risk, subset_risk)
from tinyml.interpolation.min_norm import min_norm, ridge
from tinyml.sweep import sweep

demo = start(__file__, __doc__)
N = 20                                   # training samples
D = 50                                   # the largest p, and the features of the truth on the right
SIGNAL = 1.0                             # ||beta||^2
NOISE = 0.1                              # variance of the noise in y
SLOW, FAST = 0.75, 1.5                   # on the right beta_j^2 falls like j^-0.75, or like j^-1.5
REPEATS = 200 if demo.quick else 400     # fits at every p, each to new data
FEATURES = np.arange(1, D + 1)
P = np.unique(np.r_[1:N:4, N - 2:N + 3, N + 4:D:5, D]) if demo.quick else FEATURES


# %% Data: three truths, for each number p of features that the model sees
def decaying(exponent):
    """beta with beta_j^2 proportional to j^-exponent, shape (D,)."""
    squares = FEATURES ** -exponent
    return np.sqrt(SIGNAL * squares / squares.sum())


SPREAD = np.where(FEATURES <= FEATURES[:, None], np.sqrt(SIGNAL / FEATURES[:, None]), 0)  # row p - 1
SLOW_BETA, FAST_BETA = decaying(SLOW), decaying(FAST)


# %% Model: the minimum-norm fit for each truth, and the best ridge fit for the first
def trial(p, rng):
    """The excess risks of the four fits on one draw of the data, shape (4,).

    For x ~ N(0, I) the excess risk E (x'b - x'beta)^2 is ||b - beta||^2: it takes no test set.
    """
    beta = np.stack([SPREAD[p - 1], SLOW_BETA, FAST_BETA], axis=1)    # (D, 3)
    X = rng.standard_normal((N, D))
    y = X @ beta + np.sqrt(NOISE) * rng.standard_normal((N, 3))
    fits = np.zeros((D, 4))
    fits[:p, :3] = min_norm(X[:, :p], y)
    fits[:p, 3] = ridge(X[:, :p], y[:, 0], lam=optimal_lam(p / N, signal=SIGNAL, noise=NOISE))
    return np.sum((fits - beta[:, [0, 1, 2, 0]]) ** 2, axis=0)


# %% Theory: exact for the minimum-norm fits, the limit of large n for ridge
def subset_theory(beta):
    inside = np.cumsum(beta ** 2)
    return subset_risk(N, FEATURES, signal_in=inside, signal_out=np.abs(SIGNAL - inside), noise=NOISE)


exact = np.stack([min_norm_risk(N, FEATURES, signal=SIGNAL, noise=NOISE),
                  subset_theory(SLOW_BETA), subset_theory(FAST_BETA)], axis=1)
ridge_limit = optimal_ridge_risk(FEATURES / N, signal=SIGNAL, noise=NOISE)

# %% Experiment
risks = sweep(trial, P.tolist(), repeats=REPEATS, seed=demo.seed, label="double descent")
mean, median = risks.mean(axis=0), np.median(risks, axis=0)           # (len(P), 4)
error = risks.std(axis=0, ddof=1) / np.sqrt(REPEATS)                  # of the mean
spread = np.percentile(risks, [10, 90], axis=0)

# Next to p = n a rare fit is so bad that averages never settle: the risk has a mean for |p - n| >= 2
# only, and the mean a standard error for |p - n| >= 4 only (moments of an inverse Wishart matrix).
settled = np.abs(P - N) >= 4
deviation = np.abs(mean[:, :3] - exact[P - 1]) / error[:, :3]
below, above = P < N, P > N
peak = median[P == N][0]                                              # half of the fits are worse
first, last = mean[below].min(axis=0), mean[-1]                       # the best p < n, and p = D

# %% Figure: the curve on the left, the second descent against the first on the right
figure, (left, right) = plt.subplots(1, 2, figsize=(13, 5.8))
figure.suptitle(f"At p = n = {N} half of the fits err by more than {peak[0]:.1f}; past it, the error "
                f"falls again, down to {mean[above, 0].min():.2f}")


def draw(ax, column, color, marker):
    """Measured means with three standard errors where they have one, theory dashed."""
    ax.errorbar(P[settled], mean[settled, column], 3 * error[settled, column], fmt=marker, ms=4.5,
                color=color, elinewidth=1, zorder=2)
    curve = ridge_limit if column == 3 else np.minimum(exact[:, column], 1e6)
    ax.plot(FEATURES, curve, "--", color=BLACK, lw=1.3, zorder=3)


left.fill_between(P, *spread[..., 0], color=BLUE, alpha=0.15, lw=0)
draw(left, 0, BLUE, "o")
draw(left, 3, GREEN, "s")
left.axvline(N, color="0.6", lw=1, zorder=0)
left.text(N - 0.6, 30, "p = n", ha="right")
left.text(36, 0.9, "minimum norm\n(band: 80 % of fits)", color="#00486f", va="bottom")
left.text(26, 0.24, "best ridge: no peak", color="#006749", va="top")
best = N * asymptotic_minimum(signal=SIGNAL, noise=NOISE)
left.annotate(f"least near p = {best:.0f}", (best, exact[int(best), 0]), (best, 0.06), ha="center",
              arrowprops=dict(arrowstyle="->", color="0.4"))
left.set(yscale="log", ylim=(3e-3, 60), xlabel="number of features p",
         ylabel=r"excess test error $E\,(x^\top\hat\beta - x^\top\beta)^2$",
         title="The truth has the p features of the model: theory dashed")

draw(right, 1, VERMILLION, "o")
draw(right, 2, ORANGE, "^")
for column, color in ((1, VERMILLION), (2, ORANGE)):
    right.axhline(exact[:N - 1, column].min(), color=color, lw=1, ls=":", zorder=1)
right.axvline(N, color="0.6", lw=1, zorder=0)
right.text(D, 1.12, r"many weak features, $\beta_j^2 \propto j^{-0.75}$", color="#8a3d00", ha="right")
right.text(D, 0.42, r"few strong features, $\beta_j^2 \propto j^{-1.5}$", color="#966800", ha="right")
right.set(ylim=(0, 2.5), xlabel="number of features p, strong ones first",
          ylabel=r"excess test error",
          title=f"The truth has {D} features: all of them, or only a few?")

# %% Claims
demo.record("median excess risk at p = n", peak[0])
demo.record("best p > n, in the limit of large n", best)
demo.record("least mean excess risk, p > n", mean[above, 0].min())
demo.record("best p < n, and all features, slow decay", [first[1], last[1]])
demo.record("best p < n, and all features, fast decay", [first[2], last[2]])
demo.claim("the exact risk is within three standard errors of the measured one (share of all points)",
           np.mean(deviation[settled] <= 3), at_least=0.95)
demo.claim("the median risk peaks at p = n (p of the peak)", P[median[:, 0].argmax()], within=(N, N))
demo.claim("ridge has no peak: its largest mean for p <= 1.5 n, relative to that for p = 2.5 n",
           mean[P <= 1.5 * N, 3].max() / last[3], below=1)
demo.claim("and it is never worse than predicting 0 (largest mean relative to the signal)",
           mean[:, 3].max() / SIGNAL, below=1)
demo.claim("many weak features: all of them are better than the best p < n (ratio of means)",
           last[1] / first[1], below=1)
demo.claim("few strong features: they are worse (ratio of means)", last[2] / first[2], above=1)
demo.finish(figure)
