"""Why does the test error fall again when a model has more parameters than samples?

MATH5836 week 10, section 10.1; Hastie, Montanari, Rosset and Tibshirani 2022; Belkin, Hsu and
Xu 2020. Gaussian features, a linear truth, the minimum-norm fit X^+ y: all of it can be computed.

You will see the excess test error against the number of features p, through p = n: measured, and
in theory (dashed: exact, but for ridge in the limit of large n; dotted: that limit). On the left
the truth has just the p features of the model, and a fixed strength, once far above the noise and
once below it. On the right it has more, the strong ones first, and those that the model does not
see act as noise.

Predict first: how large is the error at p = n? Does the best ridge penalty move the peak, lower it,
or remove it? And can the model with the most parameters be the best of all?
"""
# %% Constants
import matplotlib.pyplot as plt
import numpy as np
from common import BLACK, BLUE, GREEN, ORANGE, PURPLE, VERMILLION, band, start

from tinyml.interpolation.double_descent import (asymptotic_minimum, asymptotic_risk, min_norm_risk,
                                                 optimal_lam, optimal_ridge_risk, subset_risk)
from tinyml.interpolation.min_norm import min_norm, ridge
from tinyml.sweep import sweep

demo = start(__file__, __doc__)
N = 20                                   # training samples
D = 50                                   # the largest p, and the features of the truth on the right
SIGNAL = 1.0                             # ||beta||^2
NOISE, LOUD = 0.1, 2.0                   # variance of the noise in y, and of one above the signal
SLOW, FAST = 0.75, 1.5                   # on the right beta_j^2 falls like j^-0.75, or like j^-1.5
REPEATS = 300 if demo.quick else 400     # fits at every p, each to new data
FEATURES = np.arange(1, D + 1)
P = np.r_[1:N - 5:2, N - 2:N + 3, N + 6:D + 1:2] if demo.quick else FEATURES


# %% Data: four problems, for each number p of features that the model sees
def decaying(exponent):
    """beta with beta_j^2 proportional to j^-exponent, shape (D,)."""
    squares = FEATURES ** -exponent
    return np.sqrt(SIGNAL * squares / squares.sum())


def spread(p):
    """beta with beta_j^2 = SIGNAL / p for the p features of the model, and 0 for the others."""
    return np.where(FEATURES <= p, np.sqrt(SIGNAL / p), 0)


SLOW_BETA, FAST_BETA = decaying(SLOW), decaying(FAST)
NOISES = np.array([NOISE, NOISE, NOISE, LOUD])


# %% Model: the minimum-norm fit for each problem, and the best ridge fit for the first
def trial(p, rng):
    """The excess risks of the five fits on one draw of the data, shape (5,).

    For x ~ N(0, I) the excess risk E (x'b - x'beta)^2 is ||b - beta||^2: it takes no test set.
    """
    beta = np.stack([spread(p), SLOW_BETA, FAST_BETA, spread(p)], axis=1)    # (D, 4)
    X = rng.standard_normal((N, D))
    y = X @ beta + np.sqrt(NOISES) * rng.standard_normal((N, 4))
    fits = np.zeros((D, 5))
    fits[:p, :4] = min_norm(X[:, :p], y)
    fits[:p, 4] = ridge(X[:, :p], y[:, 0], lam=optimal_lam(p / N, signal=SIGNAL, sigma2=NOISE))
    return np.sum((fits - beta[:, [0, 1, 2, 3, 0]]) ** 2, axis=0)


# %% Theory: exact for the minimum-norm fits, the limit of large n for ridge
def subset_theory(beta):
    inside = np.cumsum(beta ** 2)
    outside = np.abs(SIGNAL - inside)    # without the rounding below 0 at the end
    return subset_risk(N, FEATURES, signal_in=inside, signal_out=outside, sigma2=NOISE)


exact = np.stack([min_norm_risk(N, FEATURES, signal=SIGNAL, sigma2=NOISE),
                  subset_theory(SLOW_BETA), subset_theory(FAST_BETA),
                  min_norm_risk(N, FEATURES, signal=SIGNAL, sigma2=LOUD)], axis=1)    # (D, 4)
limit = asymptotic_risk(FEATURES / N, signal=SIGNAL, sigma2=NOISE)
ridge_limit = optimal_ridge_risk(FEATURES / N, signal=SIGNAL, sigma2=NOISE)
best = N * asymptotic_minimum(signal=SIGNAL, sigma2=NOISE)    # the p > n of the least risk, at large n

# %% Experiment
risks = sweep(trial, P.tolist(), repeats=REPEATS, seed=demo.seed, label="double descent")
mean, median = risks.mean(axis=0), np.median(risks, axis=0)           # (len(P), 5)
error = risks.std(axis=0, ddof=1) / np.sqrt(REPEATS)                  # of the mean

# Next to p = n single fits are so bad that no average settles: the risk has a moment of order m if
# and only if |p - n| + 1 > 2 m (inverse Wishart). A standard error takes m = 2; for an average of
# some hundreds to be as good as normal it takes about m = 3: there mean and theory are compared.
has_error, settled = np.abs(P - N) >= 4, np.abs(P - N) >= 6
deviation = np.abs(mean[:, :4] - exact[P - 1]) / error[:, :4]
first, last = mean[P < N].min(axis=0), mean[-1]                       # the best p < n, and p = D
beyond = mean[settled & (P > N)]
peak, valley = median[P == N, 0][0], median[P > N, 0].min()
peaks = P[median[:, :4].argmax(axis=0)]

# %% Figure: two strengths of the noise and the best ridge on the left, two other truths on the right
figure, (left, right) = plt.subplots(1, 2, figsize=(13, 5.8))
figure.suptitle(f"The error peaks at p = n = {N} (median {peak:.1f}) and falls again with more "
                f"features (to {valley:.2f})")


def draw(ax, column, color, marker):
    """Measured means with three standard errors, where they have one; theory dashed."""
    shown = has_error | (column == 4)    # ridge has all moments
    ax.errorbar(P[shown], mean[shown, column], 3 * error[shown, column], fmt=marker, ms=4.5,
                color=color, elinewidth=1)
    theory = ridge_limit if column == 4 else np.where(exact < np.inf, exact, np.nan)[:, column]
    ax.plot(FEATURES, theory, "--", color=BLACK, lw=1.3, zorder=3)


for ax in (left, right):
    ax.axvspan(N - 1.5, N + 1.5, color="0.93", lw=0, zorder=0)
    ax.text(N, 0.03, "infinite mean", rotation=90, ha="center", color="0.4",
            transform=ax.get_xaxis_transform())
    ax.set(xlabel="number of features p", ylabel=r"excess test error $\|\hat\beta - \beta\|^2$")

band(left, P, risks[..., 0], color=BLUE, lw=0.8)
draw(left, 0, BLUE, "o")
draw(left, 3, PURPLE, "^")
draw(left, 4, GREEN, "s")
left.plot(FEATURES, np.where(limit < np.inf, limit, np.nan), ":", color=BLACK, lw=1.3, zorder=3)
left.plot(best, exact[round(best) - 1, 0], "*", color=BLUE, ms=15, mec=BLACK, zorder=4)
left.text(28, 0.97, f"minimum norm, least near {best:.0f} (star)\ndots mean, line median, band 80 %",
          color="#00486f", fontsize=9.5)
left.text(33, 5, f"noise of variance {LOUD:g}:\nit only falls, to {SIGNAL:g}", color="#7d4a66")
left.text(33, 0.28, "best ridge: no peak", color="#006749")
left.set(yscale="log", ylim=(3e-3, 60),
         title="A truth of p features (theory dashed, its limit dotted): ridge has no peak")

for column, color, marker in ((1, VERMILLION, "o"), (2, ORANGE, "^")):
    draw(right, column, color, marker)
    right.axhline(first[column], color=color, lw=1.2, ls=":")
    right.text(D, first[column] + 0.01, "best p < n", ha="right", va="bottom", fontsize=9)
right.text(36, 1.05, f"many weak features\n$\\beta_j^2 \\propto j^{{-{SLOW}}}$", color="#8a3d00")
right.text(36, 0.1, f"few strong features\n$\\beta_j^2 \\propto j^{{-{FAST}}}$", color="#7a5300")
right.set(ylim=(0, 2.5), title=f"A truth of {D} features, strong ones first: if most are weak,\n"
          f"all {D} have {100 - 100 * last[1] / first[1]:.0f} % less error than the best p < n")

# %% Claims
demo.record("median excess risk at p = n", peak)
demo.record("least median excess risk, p > n", valley)
demo.record("best p > n: in the limit of large n, exactly", [best, int(N + exact[N:, 0].argmin() + 1)])
demo.record("best p < n, and all features, slow decay", [first[1], last[1]])
demo.record("best p < n, and all features, fast decay", [first[2], last[2]])
demo.claim("exact risk within 3 standard errors of the measured mean, |p - n| >= 6 (share of points)",
           np.mean(deviation[settled] <= 3), at_least=0.95)
demo.claim("for all four problems the median risk peaks at p = n (largest distance from n)",
           np.abs(peaks - N).max(), at_most=0)
demo.claim("ridge has no peak: its largest mean for p <= 1.5 n, relative to that for p = 2.5 n",
           mean[P <= 1.5 * N, 4].max() / last[4], below=1)
demo.claim("and it is never worse than predicting 0 (largest mean relative to the signal)",
           mean[:, 4].max() / SIGNAL, below=1)
demo.claim("its mean is that of the limit of large n already (relative difference, median over p)",
           np.median(np.abs(mean[:, 4] / ridge_limit[P - 1] - 1)), at_most=0.05)
far, p = 100, FEATURES[FEATURES != N]
demo.claim(f"with {far} times as many samples and features the exact risk is the limit's (relative)",
           np.abs(min_norm_risk(far * N, far * p, signal=SIGNAL, sigma2=NOISE)
                  / asymptotic_risk(p / N, signal=SIGNAL, sigma2=NOISE) - 1).max(), at_most=2 / far)
near = np.abs(P[settled & (P > N)] - best).argmin()
demo.claim("of p > n it is best to have SNR^(1/2) / (SNR^(1/2) - 1) n (mean there / least mean)",
           beyond[near, 0] / beyond[:, 0].min(), at_most=1.1)
demo.claim("if the noise is above the signal, the most features are best (last mean / least mean)",
           last[3] / beyond[:, 3].min(), at_most=1.05)
demo.claim("and beyond them the risk falls to the signal (exact risk at p = 1,000 n / signal)",
           min_norm_risk(N, 1000 * N, signal=SIGNAL, sigma2=LOUD) / SIGNAL, within=(1, 1.01))
demo.claim("many weak features: all of them are better than the best p < n (ratio of means)",
           last[1] / first[1], below=1)
demo.claim("few strong features: they are worse (ratio of means)", last[2] / first[2], above=1)
demo.finish(figure)
