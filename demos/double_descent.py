"""Why does the test error fall again when a model has more parameters than samples?

MATH5836 week 10, section 10.1; Hastie, Montanari, Rosset and Tibshirani 2022; Belkin, Hsu and
Xu 2020. Gaussian features, a linear truth, the minimum-norm fit X^+ y: all of it can be
computed.

You will see the excess test error against the number of features p, through p = n: measured,
and in theory. On the left all features that make up the truth are in the model, and its
strength stays the same. On the right the truth has 50 features, strong ones first, and those
that the model leaves out act as noise. Dashed is exact theory (for ridge the limit of large n),
dotted the limit of the minimum norm.

Predict first: how large is the error at p = n? Does the best ridge penalty move the peak, lower
it, or remove it? And can the model with the most parameters be the best of all?
"""
# %% Constants
import matplotlib.pyplot as plt
import numpy as np
from common import BLACK, BLUE, GREEN, ORANGE, PURPLE, VERMILLION, band, start

from tinyml.interpolation.double_descent import (
    asymptotic_minimum,
    asymptotic_risk,
    min_norm_risk,
    optimal_lam,
    optimal_ridge_risk,
    subset_risk,
)
from tinyml.interpolation.min_norm import min_norm
from tinyml.interpolation.ridge import ridge
from tinyml.sweep import sweep

demo = start(__file__, __doc__)
N = 20                                   # training samples
D = 50                                   # the largest p, and the features of the decaying truths
SIGNAL = 1.0                             # ||beta||^2
SIGMA2, LOUD = 0.1, 2.0                  # variance of the noise in y, and of one above the signal
SLOW, FAST = 0.75, 1.5                   # on the right beta_j^2 falls like j^-0.75, or like j^-1.5
REPEATS = 300 if demo.quick else 400     # fits at every p, each to new data
FEATURES = np.arange(1, D + 1)
P = np.r_[1:N - 5:2, N - 2:N + 3, N + 6:D + 1:2] if demo.quick else FEATURES


# %% Data: four problems, for each number p of features that the model sees
def equal(p):
    """beta with beta_j^2 = SIGNAL / p for the p features of the model, and 0 for the others."""
    return np.where(FEATURES <= p, np.sqrt(SIGNAL / p), 0)


def decaying(exponent):
    """beta with beta_j^2 proportional to j^-exponent, shape (D,)."""
    squares = FEATURES ** -exponent
    return np.sqrt(SIGNAL * squares / squares.sum())


WEAK, STRONG = decaying(SLOW), decaying(FAST)    # many weak features, or few strong ones


# %% One training set: the excess risks of five fits. For x ~ N(0, I) it is ||fit - beta||^2.
PROBLEMS = ["plain", "loud", "weak", "strong"]    # the names of the columns, and "ridge"
SIGMAS = np.sqrt([SIGMA2, LOUD, SIGMA2, SIGMA2])


def trial(p, rng):
    X, eps = rng.standard_normal((N, D)), rng.standard_normal((N, 4))
    beta = np.column_stack([equal(p), equal(p), WEAK, STRONG])    # (D, 4)
    y = X @ beta + SIGMAS * eps
    seen = X[:, :p]
    lam = optimal_lam(p / N, signal=SIGNAL, sigma2=SIGMA2)
    fits = np.zeros((D, 5))
    fits[:p, :4] = min_norm(seen, y)
    fits[:p, 4] = ridge(seen, y[:, 0], lam=lam)
    truths = np.column_stack([beta, equal(p)])
    return np.sum((fits - truths) ** 2, axis=0)


# %% Theory: exact for the minimum norm, the limit of large n for ridge
def theory_of_subset(beta):
    inside = np.cumsum(beta ** 2)
    outside = np.abs(SIGNAL - inside)    # rounding may make the last one negative
    return subset_risk(N, FEATURES, signal_in=inside, signal_out=outside, sigma2=SIGMA2)


theory = {"plain": min_norm_risk(N, FEATURES, signal=SIGNAL, sigma2=SIGMA2),
          "loud": min_norm_risk(N, FEATURES, signal=SIGNAL, sigma2=LOUD),
          "weak": theory_of_subset(WEAK), "strong": theory_of_subset(STRONG),
          "ridge": optimal_ridge_risk(FEATURES / N, signal=SIGNAL, sigma2=SIGMA2)}
limit = asymptotic_risk(FEATURES / N, signal=SIGNAL, sigma2=SIGMA2)

# %% Experiment: many training sets at every p
risks = sweep(trial, P.tolist(), repeats=REPEATS, seed=demo.seed, label="double descent")
risks = dict(zip([*PROBLEMS, "ridge"], np.moveaxis(risks, 2, 0)))    # each (REPEATS, len(P))
mean = {name: values.mean(axis=0) for name, values in risks.items()}
error = {name: values.std(axis=0, ddof=1) / np.sqrt(REPEATS) for name, values in risks.items()}
median = {name: np.median(values, axis=0) for name, values in risks.items()}

# %% Theory and experiment agree
# Near p = n the risk has infinite mean or variance, so averages do not converge. It has a moment
# of order m only if |p - n| + 1 > 2 m (inverse Wishart). A standard error needs m = 2, a nearly
# normal mean m = 3.
has_error, settled = np.abs(P - N) >= 4, np.abs(P - N) >= 6
deviations = [np.abs(mean[name] - theory[name][P - 1]) / error[name] for name in PROBLEMS]
farther = 100                            # how much larger n and p are in the limit
others = FEATURES[FEATURES != N]
at_large_n = min_norm_risk(farther * N, farther * others, signal=SIGNAL, sigma2=SIGMA2)

demo.claim("exact risk within 3 standard errors of the mean, |p - n| >= 6 (share of points)",
           np.mean(np.array(deviations)[:, settled] <= 3), at_least=0.95)
demo.claim(f"at {farther} times as large n and p the exact risk is the limit (relative error)",
           np.abs(at_large_n / limit[others - 1] - 1).max(), at_most=2 / farther)

# %% The peak is at p = n, and the second descent follows
peak, valley = median["plain"][P == N][0], median["plain"][P > N].min()

demo.record("median excess risk at p = n", peak)
demo.record("least median excess risk, p > n", valley)
demo.claim("for all four problems the median risk peaks at p = n (largest distance from n)",
           max(abs(P[median[name].argmax()] - N) for name in PROBLEMS), at_most=0)

# %% Ridge with the best penalty has no peak
demo.claim("ridge: the largest mean for p <= 1.5 n / that for p = 2.5 n",
           mean["ridge"][P <= 1.5 * N].max() / mean["ridge"][-1], below=1)
demo.claim("ridge is never worse than predicting 0 (largest mean / signal)",
           mean["ridge"].max() / SIGNAL, below=1)
demo.claim("the mean of ridge is close to the limit of large n (relative, median over p)",
           np.median(np.abs(mean["ridge"] / theory["ridge"][P - 1] - 1)), at_most=0.05)

# %% How far the second descent goes depends on the signal-to-noise ratio
best = N * asymptotic_minimum(signal=SIGNAL, sigma2=SIGMA2)    # the best p > n, for large n
beyond = settled & (P > N)
near = np.abs(P[beyond] - best).argmin()

exact_best = int(FEATURES[N:][theory["plain"][N:].argmin()])
demo.record("best p > n: in the limit, and exactly", [best, exact_best])
demo.claim("of p > n it is best to have sqrt(SNR) / (sqrt(SNR) - 1) n (mean there / least mean)",
           mean["plain"][beyond][near] / mean["plain"][beyond].min(), at_most=1.1)
demo.claim("if the noise exceeds the signal, using all features is best (last mean / least mean)",
           mean["loud"][-1] / mean["loud"][beyond].min(), at_most=1.05)
demo.claim("if the noise exceeds the signal, the risk falls to the signal (exact risk at p = 1,000 n / signal)",
           min_norm_risk(N, 1000 * N, signal=SIGNAL, sigma2=LOUD) / SIGNAL, within=(1, 1.01))

# %% The second descent may go below the first minimum
first = {name: mean[name][P < N].min() for name in PROBLEMS}    # the best p < n

demo.record("many weak features: best p < n, and all", [first["weak"], mean["weak"][-1]])
demo.record("few strong features: best p < n, and all", [first["strong"], mean["strong"][-1]])
demo.claim("many weak features: all are better than the best p < n (ratio of means)",
           mean["weak"][-1] / first["weak"], below=1)
demo.claim("few strong features: all are worse (ratio of means)",
           mean["strong"][-1] / first["strong"], above=1)

# %% Figure: means with three standard errors, where they exist; theory dashed
figure, (left, right) = plt.subplots(1, 2, figsize=(13, 5.8))
figure.suptitle(f"The error peaks at p = n = {N} (median {peak:.1f}) and falls again with more "
                f"features (to {valley:.2f})")


def finite(values):
    return np.where(values < np.inf, values, np.nan)


def draw(ax, name, color, marker):
    shown = has_error | (name == "ridge")    # ridge has all moments
    ax.errorbar(P[shown], mean[name][shown], 3 * error[name][shown], fmt=marker, ms=4.5,
                color=color, elinewidth=1)
    ax.plot(FEATURES, finite(theory[name]), "--", color=BLACK, lw=1.3, zorder=3)


for ax in (left, right):
    ax.axvspan(N - 1.5, N + 1.5, color="0.93", lw=0, zorder=0)
    ax.text(N, 0.03, "infinite mean", rotation=90, ha="center", color="0.4",
            transform=ax.get_xaxis_transform())
    ax.set(xlabel="number of features p", ylabel=r"excess test error $\|\hat\beta - \beta\|^2$")

# %% On the left two strengths of noise, and ridge
band(left, P, risks["plain"], color=BLUE, lw=0.8)
draw(left, "plain", BLUE, "o")
draw(left, "loud", PURPLE, "^")
draw(left, "ridge", GREEN, "s")
left.plot(FEATURES, finite(limit), ":", color=BLACK, lw=1.3, zorder=3)
left.plot(best, theory["plain"][round(best) - 1], "*", color=BLUE, ms=15, mec=BLACK, zorder=4)
left.text(28, 0.97, f"minimum norm, least near {best:.0f} (star)\n"
          "dots mean, line median, band 80 %", color="#00486f", fontsize=9.5)
left.text(33, 5, f"noise of variance {LOUD:g}:\nit falls towards {SIGNAL:g}", color="#7d4a66")
left.text(33, 0.28, "best ridge: no peak", color="#006749")
left.set(yscale="log", ylim=(3e-3, 60),
         title="All features are in the model: ridge has no peak\n"
         "(theory dashed, its limit dotted)")

# %% On the right two truths of D features
for name, color, marker in (("weak", VERMILLION, "o"), ("strong", ORANGE, "^")):
    draw(right, name, color, marker)
    right.axhline(first[name], color=color, lw=1.2, ls=":")
    right.text(D, first[name] + 0.01, "best p < n", ha="right", va="bottom", fontsize=9)
right.text(36, 1.05, f"many weak features\n$\\beta_j^2 \\propto j^{{-{SLOW}}}$", color="#8a3d00")
right.text(36, 0.1, f"few strong features\n$\\beta_j^2 \\propto j^{{-{FAST}}}$", color="#7a5300")
saved = 100 - 100 * mean["weak"][-1] / first["weak"]
right.set(ylim=(0, 2.5), title=f"A truth of {D} features, strong ones first: if most are weak,\n"
          f"all {D} have {saved:.0f} % less error than the best p < n")
demo.finish(figure, small=left)
