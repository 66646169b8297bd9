"""Among infinitely many perfect fits, which one does gradient descent find?

MATH5836 week 10, section 10.1.2; Hastie, Montanari, Rosset and Tibshirani 2022. With more
parameters than samples, infinitely many parameter vectors reach a training error of exactly zero.

You will see least squares with fewer parameters than points, as many, and more; other perfect fits
as curves through the points; the same in the plane, with one equation for two unknowns; the distance
of every step of gradient descent (its gradient from the engine) from the minimum-norm fit X^+ y,
beside the closed form; which steps are too large; and where other starts end.

Predict first: nothing in the loss prefers one perfect fit to another. Will gradient descent from
zero find an arbitrary one? And what if it starts somewhere else?
"""
# %% Constants
import matplotlib.pyplot as plt
import numpy as np
from common import BLACK, BLUE, GREEN, ORANGE, VERMILLION, start

from tinyml.interpolation.min_norm import (gradient_descent, gradient_descent_closed_form,
                                           least_squares, min_norm, ridge, row_space_part)

demo = start(__file__, __doc__)
N_SAMPLES = 9             # points to fit
FREQUENCIES = 20          # of the cosines and sines: p = 1 + 2 * 20 = 41 parameters
REGIMES = 5, 9, 41        # parameters: fewer than points, as many, more
LAMS = np.geomspace(1e-12, 1, 25)    # penalties of ridge on their way to 0
NOISE = 0.1               # standard deviation of the noise in y
N_STEPS = 800             # of gradient descent, with step 1 / s_max^2
STEPS = np.linspace(0.1, 2.2, 29)    # other steps, in units of 1 / s_max^2
N_TRIED = 400             # how often each of them is made
N_STARTS = 12             # starts besides zero, at distances up to 3 from the row space
N_OTHERS = 1000           # random perfect fits to compare norms with
N_DRAWN = 25              # of them shown as curves
EPS = np.finfo(float).eps


# %% Data: noisy points of a curve, on a jittered grid
def features(x):
    """1, then cos(2 pi k x) / k and sin(2 pi k x) / k in turn: steep curves take large coefficients."""
    k = np.arange(1, FREQUENCIES + 1)
    angles = 2 * np.pi * np.multiply.outer(x, k)
    waves = np.stack([np.cos(angles) / k, np.sin(angles) / k], axis=-1)    # (len(x), FREQUENCIES, 2)
    return np.hstack([np.ones((len(x), 1)), waves.reshape(len(x), -1)])


x = (np.arange(N_SAMPLES) + 0.6 * demo.rng.random(N_SAMPLES)) / N_SAMPLES
y = np.sin(2 * np.pi * x) + NOISE * demo.rng.standard_normal(N_SAMPLES)
X = features(x)
n, p = X.shape

# %% Model: the minimum-norm fit, and others that differ from it by something that X does not see
shortest = min_norm(X, y)


def unseen(w):
    """(I - X^+ X) w, the part of w that X maps to zero: added to a fit, it changes no residual."""
    return w - row_space_part(X, w)


fits = {p: least_squares(X[:, :p], y) for p in REGIMES}
away = unseen(demo.rng.standard_normal((p, N_OTHERS)))
away *= np.geomspace(0.1, 5, N_OTHERS) / np.linalg.norm(away, axis=0)
others = shortest[:, None] + away    # (p, N_OTHERS), at distances from 0.1 to 5

# %% Experiment: gradient descent from zero and from other starts, all at once (one column each)
starts = demo.rng.standard_normal((p, 1 + N_STARTS))
starts *= np.linspace(0, 3, 1 + N_STARTS) / np.linalg.norm(unseen(starts), axis=0)
targets = np.tile(y[:, None], 1 + N_STARTS)
s = np.linalg.svd(X, compute_uv=False)
settings = dict(lr=1 / s[0] ** 2, n_steps=N_STEPS, beta0=starts)
walked = gradient_descent(X, targets, **settings)               # (N_STEPS + 1, p, 1 + N_STARTS)
written = gradient_descent_closed_form(X, targets, **settings)
ends = walked[-1]

distance = np.linalg.norm(walked - shortest[:, None], axis=1)   # (N_STEPS + 1, 1 + N_STARTS)
theory = np.linalg.norm(written - shortest[:, None], axis=1)
t = np.arange(N_STEPS + 1)
rate = (1 - (s[-1] / s[0]) ** 2) ** t
bound = rate * np.linalg.norm(shortest)
nearest = starts + min_norm(X, targets - X @ starts)            # to each start, of all perfect fits
kept = np.linalg.norm(unseen(starts), axis=0)
# A step rounds sums of n + p products, and no later step amplifies an error.
largest = np.linalg.norm(starts, axis=0).max() + np.linalg.norm(y) / s[-1]
rounding = (n + p) * EPS * N_STEPS * largest

# %% Experiment: every step of STEPS from zero, again all at once; nothing refuses those that are too large
beta = np.zeros((p, len(STEPS)))
for _ in range(N_TRIED):
    beta -= STEPS / s[0] ** 2 * (X.T @ (X @ beta - y[:, None]))
tried = np.linalg.norm(beta - shortest[:, None], axis=0) / np.linalg.norm(shortest)
U, _, _ = np.linalg.svd(X, full_matrices=False)
shrunk = (1 - np.multiply.outer(STEPS, (s / s[0]) ** 2)) ** N_TRIED    # (len(STEPS), n), each direction
expected = np.linalg.norm(shrunk * (U.T @ y / s), axis=1) / np.linalg.norm(shortest)

# %% Figure: regimes, functions, the plane; distances, steps, lengths
FROM_ZERO, ELSEWHERE = BLUE, VERMILLION
THEORY = dict(linestyle="--", color=BLACK, lw=1.4)
figure, ((regimes, curves, plane), (descent, steps, lengths)) = plt.subplots(2, 3, figsize=(17, 9.4))
figure.suptitle("Gradient descent ends at the perfect fit nearest to its start: from zero, "
                "at the shortest")


grid = np.linspace(0, 1, 500)


def draw_regimes(ax):
    for size, color, style, text in zip(REGIMES, (GREEN, ORANGE, BLUE), ("-.", "--", "-"), (
            "p < n: passes between the points", "p = n: the only one through all points",
            "p > n: the shortest of many")):
        ax.plot(grid, features(grid)[:, :size] @ fits[size], style, color=color, label=f"{text} (p = {size})")
    ax.plot(x, y, "o", color=BLACK, ms=8, zorder=3)
    ax.set(xlabel="x", ylabel="y", ylim=(-2.5, 3.6), title=f"Least squares in its three regimes, n = {n}")
    ax.legend(loc="upper right", fontsize=10)


def draw_curves(ax):
    phi = features(grid)
    ax.plot(grid, phi @ others[:, ::N_OTHERS // N_DRAWN], color="0.8", lw=0.8)
    ax.plot(grid, phi @ ends[:, -1], color=ELSEWHERE, lw=1.6, label="descent from another start")
    ax.plot(grid, phi @ ends[:, 0], color=FROM_ZERO, lw=3.5, label="descent from zero")
    ax.plot(grid, phi @ shortest, **THEORY, label=r"$X^+y$, the shortest $\beta$")
    ax.plot([], [], color="0.8", label=f"{N_DRAWN} more perfect fits")
    ax.plot(x, y, "o", color=BLACK, ms=8, zorder=3)
    ax.set(xlabel="x", ylabel="y", ylim=(-2.5, 3.6),
           title=f"{p} parameters: every curve goes through all {n} points")
    ax.legend(loc="upper right", fontsize=10)


def draw_plane(ax):
    """One equation, two unknowns: the perfect fits form a line, paths meet it at right angles."""
    row, target = np.array([[1.0, 2.0]]), np.array([4.0])
    nearest, along = min_norm(row, target), np.array([2.0, -1.0])
    ax.plot(*(nearest[:, None] + np.outer(along, [-2.2, 2.2])), color="0.6", lw=2)
    ax.text(4.9, 0.2, "all perfect\nfits", ha="right", va="bottom")
    turn = np.linspace(0, 2 * np.pi, 200)
    ax.plot(*(np.linalg.norm(nearest) * np.array([np.cos(turn), np.sin(turn)])), **THEORY)
    ax.text(0, -1.79, "as long as $X^+y$", ha="center", va="center", bbox=dict(fc="w", ec="w"))
    for begin in ([0, 0], [-1.5, 0.5], [1.8, -1.6], [3.2, 2.2], [-0.8, 4.2]):
        path = gradient_descent(row, target, lr=0.06, n_steps=30, beta0=begin)
        color = ELSEWHERE if any(begin) else FROM_ZERO
        ax.plot(*path.T, ".-", color=color, ms=6, lw=1)
        ax.plot(*path[0], "o", ms=8, mfc="white", color=color)
    ax.plot(*nearest, "*", color=BLACK, ms=16)
    ax.annotate("$X^+y$", nearest, (8, 10), textcoords="offset points", fontsize=13)
    ax.set(xlabel=r"$\beta_1$", ylabel=r"$\beta_2$", aspect="equal", xlim=(-4, 5), ylim=(-2.4, 4.8),
           title="In the plane: 2 parameters, 1 point")


def draw_descent(ax):
    ax.semilogy(t, distance[:, -1], color=ELSEWHERE, lw=3.5)
    ax.semilogy(t, distance[:, 0], color=FROM_ZERO, lw=3.5)
    ax.semilogy(t, theory[:, [0, -1]], **THEORY)
    ax.semilogy(t, bound, ":", color=GREEN)
    ax.text(N_STEPS, distance[-1, -1] / 3, "from another start: what X does not see is kept",
            ha="right", va="top")
    ax.text(260, bound[250], r"at most $(1 - s_{\min}^2/s_{\max}^2)^t\,\|X^+y\|$", va="bottom")
    ax.text(140, distance[150, 0], "from zero", ha="right", va="top")
    ax.text(N_STEPS, distance[-1, 0] * 4, "rounding", ha="right", va="bottom")
    ax.set(xlabel="step t", ylabel=r"distance from $X^+y$, $\|\beta_t - X^+y\|$", ylim=(1e-17, 1e2),
           title="Every step through the engine is the closed form's (dashed)")


def draw_steps(ax):
    ax.semilogy(STEPS, tried, "o", color=FROM_ZERO, ms=7)
    ax.semilogy(STEPS, expected, **THEORY)
    ax.axvline(2, color="0.6", ls=":", lw=1.5)
    ax.axhline(1, color="0.6", lw=1)
    ax.text(1.97, 1e7, "beyond $2/s_{\\max}^2$\nthey run away", ha="right", va="center")
    ax.set(xlabel=r"step, in units of $1/s_{\max}^2$", ylim=(1e-17, 1e12),
           ylabel=rf"$\|\beta_t - X^+y\| / \|X^+y\|$ after t = {N_TRIED} steps",
           title="Which steps are too large (theory dashed)")


def draw_lengths(ax):
    line = np.linspace(0, kept.max())
    ax.plot(line, np.hypot(np.linalg.norm(shortest), line), **THEORY)
    ax.plot(kept[1:], np.linalg.norm(ends[:, 1:], axis=0), "o", color=ELSEWHERE, ms=8)
    ax.plot(kept[0], np.linalg.norm(ends[:, 0]), "o", color=FROM_ZERO, ms=11)
    ax.annotate("from zero", (0, np.linalg.norm(ends[:, 0])), (-4, 24), textcoords="offset points")
    ax.set(xlabel=r"length of what X does not see of the start, $\|(I - X^+X)\,\beta_0\|$",
           ylabel=r"length of the end, $\|\beta_\infty\|$",
           title=r"Pythagoras: $\|\beta_\infty\|^2 = \|X^+y\|^2 + \|(I - X^+X)\,\beta_0\|^2$")


draw_regimes(regimes)
draw_curves(curves)
draw_plane(plane)
draw_descent(descent)
draw_steps(steps)
draw_lengths(lengths)

# %% Claims
demo.record("norm of X^+ y", np.linalg.norm(shortest))
demo.record("s_max / s_min", s[0] / s[-1])
demo.record("distance from X^+ y after other steps", tried)
least = min(np.linalg.svd(X[:, :size], compute_uv=False).min() for size in REGIMES)
fine = (n + p) * EPS * (s[0] / least) ** 2 * np.linalg.norm(y)    # rounding of normal equations
residual = {size: X[:, :size] @ beta - y for size, beta in fits.items()}
demo.claim("p < n, p = n, p > n: the residual is orthogonal to every column (largest product)",
           max(np.abs(X[:, :size].T @ r).max() for size, r in residual.items()), at_most=fine)
demo.claim("p < n does not interpolate (length of the residual)", np.linalg.norm(residual[REGIMES[0]]),
           above=1e-3)
demo.claim("p = n and p > n do (largest residual)",
           max(np.abs(residual[size]).max() for size in REGIMES[1:]), at_most=fine)
demo.claim("all three lie in the row space of their X (largest distance from it)",
           max(np.abs(beta - row_space_part(X[:, :size], beta)).max() for size, beta in fits.items()),
           at_most=fine)
demo.claim("ridge tends to them: distance / (n lam / s_min^2 times the length of the fit), largest",
           max((np.linalg.norm(ridge(X[:, :size], y, lam=lam) - beta) - fine) * least ** 2
               / (n * lam * np.linalg.norm(beta)) for size, beta in fits.items() for lam in LAMS), at_most=1)
demo.claim("descent through the engine is the closed form at every step (largest difference)",
           np.abs(walked - written).max(), at_most=rounding)
demo.claim("from zero it ends at X^+ y (distance)", distance[-1, 0], at_most=bound[-1] + rounding)
demo.claim("and no slower than (1 - s_min^2 / s_max^2)^t (largest distance above it)",
           (distance[:, 0] - bound).max(), at_most=rounding)
demo.claim("every start ends at the perfect fit nearest to it (largest distance)",
           np.linalg.norm(ends - nearest, axis=0).max(),
           at_most=rate[-1] * np.linalg.norm(starts - nearest, axis=0).max() + rounding)
demo.claim("what X does not see of a start is never touched (largest change, any step)",
           max(np.abs(unseen(step - starts)).max() for step in walked), at_most=rounding)
demo.claim("steps below 2 / s_max^2 come nearer (largest distance after / before)", tried[STEPS < 2].max(),
           below=1)
demo.claim("steps above it run away (smallest distance after / before)", tried[STEPS > 2].min(), above=1)
demo.claim(f"the shortest of {N_OTHERS:,} other perfect fits is longer (ratio)",
           np.linalg.norm(others, axis=0).min() / np.linalg.norm(ends[:, 0]), above=1)
demo.claim("and they do fit perfectly (largest residual)", np.abs(X @ others - y[:, None]).max(),
           at_most=(n + p) * EPS * s[0] * np.linalg.norm(others, axis=0).max())
demo.finish(figure)
