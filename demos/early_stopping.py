"""Is stopping early the same as ridge, and does it remove the peak of double descent?

Ali, Kolter and Tibshirani 2019; MATH5836 week 10, section 10.1.2. Both fits shrink the
minimum-norm fit along the singular directions of X: ridge by s^2 / (s^2 + n lam), descent
stopped at step t by 1 - (1 - lr s^2)^t. Match them by n lam = 1 / (lr t), and compare.

You will see the risks of both at p = n, from strong shrinkage to none; their ratio beside a
bound that holds for every design and every truth; and the risk at the best penalty and at the
matching step, as the number of features p passes n.

Predict first: at p = n the minimum-norm fit is at its worst. How much worse than the best ridge
is descent stopped at the best time: ten times, twice, a few per cent? And can leave-one-out,
which is exact for ridge, tell descent when to stop?
"""
# %% Constants
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from common import BLACK, BLUE, GREEN, ORANGE, VERMILLION, band, start

from tinyml.interpolation.double_descent import min_norm_risk, optimal_lam, optimal_ridge_risk
from tinyml.interpolation.early_stopping import (
    filter_risk,
    matching_lam,
    risk_ratio_bound,
    tuned_risk_ratio_bound,
)
from tinyml.interpolation.min_norm import descent_filter, gradient_descent, svd
from tinyml.interpolation.ridge import leave_one_out, ridge, ridge_filter
from tinyml.sweep import sweep
from tinyml.synthetic import make_linear

demo = start(__file__, __doc__)
N = 50                                   # training samples
SIGNAL, SIGMA2 = 1.0, 0.1                # ||beta||^2 (of make_linear), variance of the noise
REPEATS = 30 if demo.quick else 100      # training sets for every p, each with its own beta
P = [10, 20, 25, 30, 40, 45, 50, 55, 60, 75, 100, 125, 150]    # features
T = np.unique(np.geomspace(1, 1e5, 120).astype(int))       # steps
WALKED = 10, 100, 1000                   # steps that the engine's descent is compared at
AT_N = P.index(N)
EPS = np.finfo(float).eps


# %% The best penalty, and the step of descent that matches it
def best_stop(p):
    """(t, lr) with 1 / (lr t) = n lam* and lr below 1 / s_max^2, the same for all designs.

    For Gaussian X, s_max exceeds sqrt(n) + sqrt(p) + 5 in one of 250,000 designs (Davidson and
    Szarek 2001).
    """
    n_lam = N * optimal_lam(p / N, signal=SIGNAL, sigma2=SIGMA2)
    t = int(np.ceil((np.sqrt(N) + np.sqrt(p) + 5) ** 2 / n_lam))
    return t, 1 / (n_lam * t)


# %% One training set: the exact risks given X and beta. Only leave-one-out looks at y
class Outcome(NamedTuple):
    """Risks of one training set, or of all, with axes (REPEATS, len(P)) in front."""

    descent: np.ndarray          # at the steps T
    ridge: np.ndarray            # at the matching penalties
    tuned_descent: np.ndarray    # at best_stop
    tuned_ridge: np.ndarray      # at the best penalty
    min_norm: np.ndarray
    chosen: np.ndarray           # the index in T that leave-one-out chooses, at p = n


def trial(p, rng):
    X, y, beta = make_linear(N, p, sigma=np.sqrt(SIGMA2), rng=rng)
    s, (stop, lr) = svd(X)[1], best_stop(p)
    t = np.append(T, stop)
    lam = matching_lam(t, lr=lr, n_samples=N)
    of_descent = filter_risk(X, beta, descent_filter(s, t, lr=lr), sigma2=SIGMA2)
    of_ridge = filter_risk(X, beta, ridge_filter(s, lam, n_samples=N), sigma2=SIGMA2)
    of_min_norm = filter_risk(X, beta, np.ones(len(s)), sigma2=SIGMA2)
    errors = leave_one_out(X, y, lam[:-1]) if p == N else np.zeros((1, N))
    chosen = np.mean(errors ** 2, axis=-1).argmin()
    return np.concatenate([of_descent, of_ridge, [of_min_norm, chosen]])


# %% Experiment: many training sets at every p
results = sweep(trial, P, repeats=REPEATS, seed=demo.seed, label="early stopping")
k = len(T)
run = Outcome(descent=results[..., :k], tuned_descent=results[..., k],
              ridge=results[..., k + 1:-3], tuned_ridge=results[..., -3],
              min_norm=results[..., -2], chosen=results[..., AT_N, -1].astype(int))

# %% At p = n the best stop is as good as the best penalty, within a few per cent
path_descent, path_ridge = run.descent[:, AT_N], run.ridge[:, AT_N]    # (REPEATS, len(T))
least_descent, least_ridge = path_descent.min(axis=1), path_ridge.min(axis=1)
best_ratio = np.median(least_descent / least_ridge)
of_best = run.tuned_ridge[:, AT_N].mean() / path_ridge.mean(axis=0).min()

demo.record("p = n: least risk of descent (median)", np.median(least_descent))
demo.record("p = n: least risk of ridge (median)", np.median(least_ridge))
demo.claim("p = n: least risk of descent / least risk of ridge (median)", best_ratio,
           within=(0.97, 1.06))
demo.claim("p = n: no penalty beats lam* = sigma2 gamma / signal (mean there / least mean)",
           of_best, at_most=1.05)

# %% At every step the ratio of the risks is below its bound, for every design
bound = np.array([risk_ratio_bound(t) for t in T])
ratio = run.descent / run.ridge    # (REPEATS, len(P), len(T))

demo.claim("no ratio of risks exceeds its bound, for any p, set and step (largest share of it)",
           (ratio / bound).max(), at_most=1)

# %% The bound is reached by pure noise with all singular values at the worst lr t s^2
U = 1.7933                         # where e^u = 1 + u + u^2
lr = U / WALKED[-1]                # the worst one for this step, with s = 1
f_descent = descent_filter([1], T, lr=lr)
f_ridge = ridge_filter([1], matching_lam(T, lr=lr, n_samples=1), n_samples=1)
worst = (filter_risk([[1]], [0], f_descent, sigma2=1)
         / filter_risk([[1]], [0], f_ridge, sigma2=1))

demo.claim("the bound is reached (largest share of it)", (worst / bound).max(),
           within=(0.999, 1 + 1e-8))

# %% Stopped at the step that matches the best ridge, descent has no peak at p = n
tuned_ratio = run.tuned_descent.mean(axis=0) / run.tuned_ridge.mean(axis=0)    # (len(P),)
tuned_bound = np.array([tuned_risk_ratio_bound(best_stop(p)[0]) for p in P])
peak = np.median(run.min_norm[:, AT_N]) / np.median(run.tuned_descent[:, AT_N])
tuned_mean = run.tuned_descent.mean(axis=0)

demo.record("descent at the matching step / best ridge", tuned_ratio)
demo.claim("the ratio of their mean risks / its bound (largest)",
           (tuned_ratio / tuned_bound).max(), at_most=1)
demo.claim("p = n: risk of the minimum norm / risk of stopped descent (medians)", peak, above=15)
demo.claim("stopped descent has no peak: its largest mean for p <= 1.5 n / that for p = 3 n",
           tuned_mean[np.array(P) <= 1.5 * N].max() / tuned_mean[-1], below=1)

# %% Leave-one-out, exact for ridge, tells descent when to stop
stopped = path_descent[np.arange(REPEATS), run.chosen] / least_descent

demo.record("risk where leave-one-out stops / least risk: largest", stopped.max())
demo.claim("p = n: risk where leave-one-out stops / least risk (median)", np.median(stopped),
           below=1.5)
demo.claim("p = n: risk where leave-one-out stops is below twice the least (share of sets)",
           np.mean(stopped <= 2), above=0.5)

# %% It takes one SVD, and is equal to n fits; and the engine's descent has the filter
X, y, _ = make_linear(N, N, sigma=np.sqrt(SIGMA2), rng=demo.rng)
U, s, Vh = svd(X)
t, lr = best_stop(N)
n_lam = 1 / (lr * t)
slow = [y[i] - X[i] @ ridge(np.delete(X, i, 0), np.delete(y, i), lam=n_lam / (N - 1))
        for i in range(N)]                                 # the penalty stays n lam
walked = gradient_descent(X, y, lr=lr, n_steps=WALKED[-1])[list(WALKED)]
written = (descent_filter(s, WALKED, lr=lr) / s * (U.T @ y)) @ Vh
rounding = 2 * N * EPS * np.linalg.norm(y) / s[-1]

demo.claim("leave-one-out is equal to n fits (largest difference)",
           np.abs(leave_one_out(X, y, n_lam / N) - slow).max(), at_most=100 * rounding)
demo.claim("the engine's descent has the filter 1 - (1 - lr s^2)^t (largest difference)",
           np.abs(walked - written).max(), at_most=WALKED[-1] * rounding)

# %% Figure: the risks at p = n from strong shrinkage to none
DARK = {BLUE: "#004b76", VERMILLION: "#8a3d00", GREEN: "#006749", ORANGE: "#7a5300"}
RISK = r"excess risk $E\|\hat\beta - \beta\|^2$"
figure, (paths, ratios, features) = plt.subplots(1, 3, figsize=(18, 5.4))
gap = 100 * abs(best_ratio - 1)
figure.suptitle(f"At p = n descent stopped at its best is within {gap:.0f} % of the best "
                f"ridge, and has 1/{peak:.0f} of the minimum norm's risk")
lam = matching_lam(T, lr=best_stop(N)[1], n_samples=N)
for samples, color, style, marker in ((path_descent, VERMILLION, "-", "o"),
                                      (path_ridge, BLUE, "--", "s")):
    x, middle = band(paths, lam, samples, color=color, linestyle=style).get_data()
    least = middle.argmin()
    paths.plot(x[least], middle[least], marker, color=color, mec=BLACK, ms=8, zorder=4)
paths.plot(lam[run.chosen], np.full(REPEATS, 0.065), "|", color=BLACK, markersize=9)
paths.text(lam[0], 0.083, "where leave-one-out stops, for each set", fontsize=9.5)
paths.text(3e-3, 4, "descent, stopped at t", color=DARK[VERMILLION], ha="right")
paths.text(2e-3, 0.55, "ridge, dashed", color=DARK[BLUE])
paths.set(xscale="log", yscale="log", ylim=(0.05, 40), ylabel=RISK,
          xlabel=r"penalty $\lambda = 1 / (n \eta t)$   (less shrinkage $\rightarrow$)",
          title=f"p = n = {N}: both minima are almost equally low")
paths.invert_xaxis()

# %% Their ratio at every step, and its bound
for p, color, style, place in ((N // 2, BLUE, ":", (15, 0.6)), (N, VERMILLION, "-", (1e5, 1.39)),
                               (2 * N, GREEN, "-.", (200, 0.94))):
    band(ratios, T, ratio[:, P.index(p)], color=color, linestyle=style)
    ratios.text(*place, f"p = {p}", color=DARK[color], ha="right" if p == N else "left")
ratios.plot(T, worst, color=ORANGE, lw=1.3)
ratios.text(1.1, 1.3, "only noise,\nequal singular values", color=DARK[ORANGE])
ratios.plot(T, bound, "--", color=BLACK)
ratios.text(T[-1], bound[-1] + 0.02, r"bound for every X and $\beta$", ha="right", va="bottom")
ratios.set(xscale="log", ylim=(0.4, 2.1), xlabel="step t",
           ylabel="risk of descent / risk of ridge",
           title=f"At matching $\\lambda$ their ratio has a bound that falls to {bound[-1]:.2f}")

# %% Against p, at the best penalty and the matching step; theory dashed
every = np.arange(1, P[-1] + 1)
exact = min_norm_risk(N, every, signal=SIGNAL, sigma2=SIGMA2)
limit = optimal_ridge_risk(every / N, signal=SIGNAL, sigma2=SIGMA2)
for theory in (np.where(exact < np.inf, exact, np.nan), limit):
    features.plot(every, theory, "--", color=BLACK, lw=1.3, zorder=4)
band(features, P, run.min_norm, color=GREEN, marker="^", ms=5)
band(features, P, run.tuned_descent, color=VERMILLION, marker="o", ms=6)
band(features, P, run.tuned_ridge, color=BLUE, marker="s", ms=4, linestyle="none")
features.text(54, 18, "minimum norm", color=DARK[GREEN])
features.text(66, 0.13, "descent (dots) at the step that\nmatches the best ridge (squares)",
              color=DARK[VERMILLION])
features.set(yscale="log", ylim=(0.01, 300), xlabel=f"number of features p, for n = {N}",
             ylabel=RISK, title="Stopped descent has no peak at p = n (theory dashed)")
demo.finish(figure)
