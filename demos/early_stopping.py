"""Is stopping early the same as ridge, and does it remove the peak of double descent?

Ali, Kolter and Tibshirani 2019; MATH5836 week 10, section 10.1.2. Both fits shrink the minimum-norm
fit along the singular directions of X: ridge by s^2 / (s^2 + n lam), descent stopped at step t by
1 - (1 - lr s^2)^t. Match them by n lam = 1 / (lr t), and compare.

You will see the two filters on the spectrum of a design with p = n; the risks of both, from strong
shrinkage to none; their ratio beside a bound that holds for every design and every truth; and the
risk at the best penalty and at the matching step, as the number of features p passes n.

Predict first: at p = n the minimum-norm fit is at its worst. How much worse than the best ridge is
descent stopped at the best time: ten times, twice, a few per cent? And can ridge, by leaving out
one sample after the other, tell descent when to stop?
"""
# %% Constants
import matplotlib.pyplot as plt
import numpy as np
from common import BLACK, BLUE, GREEN, ORANGE, VERMILLION, band, start

from tinyml.data import make_linear
from tinyml.interpolation.double_descent import min_norm_risk, optimal_lam, optimal_ridge_risk
from tinyml.interpolation.early_stopping import (filter_risk, leave_one_out, matching_lam,
                                                 risk_ratio_bound, tuned_risk_ratio_bound)
from tinyml.interpolation.min_norm import (descent_filter, gradient_descent, ridge, ridge_filter,
                                           svd)
from tinyml.sweep import sweep

demo = start(__file__, __doc__)
N = 50                                   # training samples
SIGNAL, NOISE = 1.0, 0.1                 # ||beta||^2 (of make_linear), variance of the noise
REPEATS = 30 if demo.quick else 100      # training sets for every p, each with its own beta
P = [10, 20, 25, 30, 40, 45, 50, 55, 60, 75, 100, 125, 150]    # features
T = np.unique(np.geomspace(1, 1e5, 120).astype(int))       # steps
SHOWN = 10, 100, 1000                    # steps whose filters are drawn


def best_stop(p):
    """(t, lr) with 1 / (lr t) = n lam*, the best penalty, and lr below 1 / s_max^2.

    For Gaussian X s_max is above sqrt(n) + sqrt(p) + 5 less than once in 250,000 designs (Davidson
    and Szarek 2001). One lr for all designs of a size, so one lam belongs to each step.
    """
    n_lam = N * optimal_lam(p / N, signal=SIGNAL, sigma2=NOISE)
    t = int(np.ceil((np.sqrt(N) + np.sqrt(p) + 5) ** 2 / n_lam))
    return t, 1 / (n_lam * t)


# %% Experiment: risks given X and beta, exactly; only the choice by leave-one-out looks at y
def trial(p, rng):
    """One training set: the risks of descent at T and at best_stop, of ridge at the matching lam,
    of X^+ y; and the index in T of the step that leave-one-out chooses (at p = n only).
    """
    X, y, beta = make_linear(N, p, sigma=np.sqrt(NOISE), rng=rng)
    s, (stop, lr) = svd(X)[1], best_stop(p)
    t = np.append(T, stop)
    lam = matching_lam(t, lr=lr, n_samples=N)
    descent, shrunk = (filter_risk(X, beta, f, sigma2=NOISE) for f in
                       (descent_filter(s, t, lr=lr), ridge_filter(s, lam, n_samples=N)))
    raw = filter_risk(X, beta, np.ones(len(s)), sigma2=NOISE)
    chosen = (leave_one_out(X, y, lam[:-1]) ** 2).mean(axis=-1).argmin() if p == N else 0
    return np.concatenate([descent, shrunk, [raw, chosen]])


results = sweep(trial, P, repeats=REPEATS, seed=demo.seed, label="early stopping")
K = len(T) + 1
descents, ridges, raw = results[..., :K], results[..., K:2 * K], results[..., -2]
ratio = descents / ridges                                  # (REPEATS, len(P), K)
bound = np.array([risk_ratio_bound(int(t)) for t in T])
at_n = P.index(N)
path_descent, path_ridge = descents[:, at_n, :-1], ridges[:, at_n, :-1]
least_descent, least_ridge = path_descent.min(axis=1), path_ridge.min(axis=1)
_, lr = best_stop(N)
lam = matching_lam(T, lr=lr, n_samples=N)
chosen = results[:, at_n, -1].astype(int)
stopped = path_descent[np.arange(REPEATS), chosen] / least_descent

# %% One training set: filters, the engine's descent, and leaving samples out one by one
X, y, _ = make_linear(N, N, sigma=np.sqrt(NOISE), rng=demo.rng)
U, s, Vh = svd(X)
walked = gradient_descent(X, y, lr=lr, n_steps=SHOWN[-1])[list(SHOWN)]
written = (descent_filter(s, SHOWN, lr=lr) / s * (U.T @ y)) @ Vh
n_lam = N * optimal_lam(1, signal=SIGNAL, sigma2=NOISE)
slow = [y[i] - X[i] @ ridge(np.delete(X, i, 0), np.delete(y, i), lam=n_lam / (N - 1))
        for i in range(N)]                                 # the penalty stays n lam
loo_difference = np.abs(leave_one_out(X, y, n_lam / N) - slow).max()

# %% The worst case of the bound: only noise, one singular value; at t = SHOWN[-1] it is reached
WORST_U = 1.7933                                           # lr t s^2, where e^u = 1 + u + u^2
worst_lr = WORST_U / SHOWN[-1]
worst = (filter_risk([[1]], [0], descent_filter([1], T, lr=worst_lr), sigma2=1)
         / filter_risk([[1]], [0], ridge_filter([1], matching_lam(T, lr=worst_lr, n_samples=1),
                                                n_samples=1), sigma2=1))

# %% What the runs say
worse = np.median(least_descent / least_ridge) - 1
tuned_descent, tuned_ridge = descents[..., -1], ridges[..., -1]
tuned_mean = tuned_descent.mean(axis=0)
tuned_bound = np.array([tuned_risk_ratio_bound(best_stop(p)[0]) for p in P])
peak = np.median(raw[:, at_n]) / np.median(tuned_descent[:, at_n])

# %% Figure
DARK = {BLUE: "#004b76", VERMILLION: "#8a3d00", GREEN: "#006749", ORANGE: "#7a5300"}
RISK = r"excess risk $E\|\hat\beta - \beta\|^2$"
figure, ((filters, risks), (features, ratios)) = plt.subplots(2, 2, figsize=(13, 10))
figure.suptitle(f"At p = n descent stopped at its best is within {100 * worse:.0f} % of the best "
                "ridge, and either removes the peak")

grid = np.geomspace(0.03, 16, 300)
f_descent = descent_filter(grid, SHOWN, lr=lr)
f_ridge = ridge_filter(grid, matching_lam(SHOWN, lr=lr, n_samples=N), n_samples=N)
filters.plot(grid, f_descent.T, color=VERMILLION)
filters.plot(grid, f_ridge.T, "--", color=BLUE)
for t in SHOWN:
    filters.annotate(f"t = {t:,}", (np.sqrt(0.35 / (lr * t)), 0.3), (-8, 0), ha="right",
                     textcoords="offset points")
filters.plot(s, np.full(N, -0.13), "|", color=BLACK, markersize=9)
filters.text(0.03, -0.085, f"the {N} singular values of one X with p = n", fontsize=9.5)
filters.text(0.03, 0.95, "descent, stopped at step t", color=DARK[VERMILLION])
filters.text(0.03, 0.87, r"ridge with $n \lambda = 1 / (\eta t)$, dashed", color=DARK[BLUE])
filters.set(xscale="log", ylim=(-0.18, 1.05), xlabel="singular value s",
            ylabel="share of the minimum-norm fit, f(s)",
            title=f"Descent lets pass up to {(f_descent / f_ridge).max():.2f} times what ridge "
                  "does")

for samples, color, style, marker in ((path_descent, VERMILLION, "-", "o"),
                                      (path_ridge, BLUE, "--", "s")):
    x, middle = band(risks, lam, samples, color=color, linestyle=style).get_data()
    least = middle.argmin()
    risks.plot(x[least], middle[least], marker, color=color, mec=BLACK, ms=8, zorder=4)
risks.plot(lam[chosen], np.full(REPEATS, 0.065), "|", color=BLACK, markersize=9)
risks.text(lam[0], 0.083, "where leave-one-out stops, for each training set", fontsize=9.5)
risks.text(3e-3, 4, "descent, stopped at t", color=DARK[VERMILLION], ha="right")
risks.text(2e-3, 0.55, "ridge, dashed", color=DARK[BLUE])
risks.set(xscale="log", yscale="log", ylim=(0.05, 40), ylabel=RISK,
          xlabel=r"less shrinkage $\rightarrow$   penalty $\lambda = 1 / (n \eta t)$",
          title=f"p = n = {N}: the minima are {np.median(path_descent, axis=0).min():.3f} and "
                f"{np.median(path_ridge, axis=0).min():.3f}")
risks.invert_xaxis()

every = np.arange(1, P[-1] + 1)
exact = min_norm_risk(N, every, signal=SIGNAL, sigma2=NOISE)
for theory in (np.where(exact < np.inf, exact, np.nan),
               optimal_ridge_risk(every / N, signal=SIGNAL, sigma2=NOISE)):
    features.plot(every, theory, "--", color=BLACK, lw=1.3, zorder=4)
band(features, P, raw, color=GREEN, marker="^", ms=5)
band(features, P, tuned_descent, color=VERMILLION, marker="o", ms=6)
band(features, P, tuned_ridge, color=BLUE, marker="s", ms=4, linestyle="none")
features.text(54, 18, "minimum norm", color=DARK[GREEN])
features.text(66, 0.13, "descent (dots) at the step that\nmatches the best ridge (squares)",
              color=DARK[VERMILLION])
features.set(yscale="log", ylim=(0.01, 300), xlabel=f"number of features p, for n = {N}",
             ylabel=RISK, title=f"At p = n the minimum norm costs {peak:.0f} times as much "
                                "(theory dashed)")

for p, color, style, place in ((N // 2, BLUE, ":", (15, 0.6)), (N, VERMILLION, "-", (1e5, 1.39)),
                               (2 * N, GREEN, "-.", (200, 0.94))):
    band(ratios, T, ratio[:, P.index(p), :-1], color=color, linestyle=style)
    ratios.text(*place, f"p = {p}", color=DARK[color], ha="right" if p == N else "left")
ratios.plot(T, worst, color=ORANGE, lw=1.3)
ratios.text(1.1, 1.3, "only noise,\nequal singular values", color=DARK[ORANGE])
ratios.plot(T, bound, "--", color=BLACK)
ratios.text(T[-1], bound[-1] + 0.02, "bound for every X and beta", ha="right", va="bottom")
ratios.set(xscale="log", ylim=(0.4, 2.1), xlabel="step t", ylabel="risk of descent / risk of ridge",
           title=f"At matching $\\lambda$ their ratio has a bound, which falls to {bound[-1]:.2f}")

# %% Claims
best_ratio = least_descent / least_ridge
rounding = 2 * N * np.finfo(float).eps * np.linalg.norm(y) / s[-1]
demo.record("p = n: least risk of descent, of ridge", [np.median(least_descent),
                                                       np.median(least_ridge)])
demo.record("their ratio: smallest, largest", [best_ratio.min(), best_ratio.max()])
demo.record("p = n: risk of the minimum norm (median)", np.median(raw[:, at_n]))
demo.record("descent at the matching step / best ridge", tuned_mean / tuned_ridge.mean(axis=0))
demo.record("leave-one-out's stop / best stop: largest", stopped.max())
demo.claim("the engine's descent has the filter 1 - (1 - lr s^2)^t (largest difference)",
           np.abs(walked - written).max(), at_most=SHOWN[-1] * rounding)
demo.claim("the filter of descent is never below that of ridge (least ratio)",
           (f_descent / f_ridge).min(), at_least=1 - 1e-12)
demo.claim("no ratio of risks is above its bound, for any p, set and step (largest share of it)",
           (ratio[..., :-1] / bound).max(), at_most=1)
demo.claim("the bound is reached: only noise, equal singular values (largest share of it)",
           (worst / bound).max(), within=(0.999, 1 + 1e-8))
demo.claim("p = n: the least risk of descent is that of ridge but for some per cent (median ratio)",
           1 + worse, within=(0.97, 1.06))
demo.claim("p = n: no penalty of the path beats lam* = noise gamma / signal (mean there / least mean)",
           tuned_ridge[:, at_n].mean() / path_ridge.mean(axis=0).min(), at_most=1.05)
demo.claim("stopped at the step that matches the best ridge: ratio of the mean risks / bound",
           (tuned_mean / tuned_ridge.mean(axis=0) / tuned_bound).max(), at_most=1)
demo.claim("p = n: the minimum norm has many times the risk of stopped descent (medians)", peak,
           above=15)
demo.claim("stopped descent has no peak: its largest mean for p <= 1.5 n, relative to p = 3 n",
           tuned_mean[np.array(P) <= 1.5 * N].max() / tuned_mean[-1], below=1)
demo.claim("leaving each sample out costs one factorisation (largest difference from n fits)",
           loo_difference, at_most=100 * rounding)
demo.claim("p = n: stopped where ridge's leave-one-out says, the risk is near the least (median)",
           np.median(stopped), below=1.5)
demo.claim("in most sets, not in all, it is within twice the least (share of sets)",
           np.mean(stopped <= 2), above=0.5)
demo.finish(figure)
