"""Among infinitely many perfect fits, which one does gradient descent find?

MATH5836 week 10, section 10.1.2; Hastie, Montanari, Rosset and Tibshirani 2022. With more
parameters than samples, infinitely many parameter vectors reach a training error of exactly
zero.

You will see perfect fits as curves through the points; perfect fits in the plane, for one
equation with two unknowns; and the distance of every step of gradient descent (gradients from
the engine) from the minimum-norm fit X^+ y, beside the closed form.

Predict first: nothing in the loss prefers one perfect fit to another. Will gradient descent
from zero find an arbitrary one? And what if it starts somewhere else?
"""
# %% Constants
import matplotlib.pyplot as plt
import numpy as np
from common import BLACK, BLUE, GREEN, VERMILLION, start
from panels import curve

from tinyml.interpolation.min_norm import (
    gradient_descent,
    gradient_descent_closed_form,
    least_squares,
    linear_model,
    min_norm,
    row_space_part,
)

demo = start(__file__, __doc__)
N_SAMPLES = 9             # points to fit
FREQUENCIES = 20          # of the cosines and sines: p = 1 + 2 * 20 = 41 parameters
REGIMES = 5, 9, 41        # parameters: fewer than points, as many, more
SIGMA = 0.1               # standard deviation of the noise in y
N_STEPS = 800             # of gradient descent, with lr = 1 / s_max^2
N_STARTS = 12             # starts besides zero
N_OTHERS = 1000           # random perfect fits to compare norms with
N_DRAWN = 25              # how many of them are drawn
RATES = np.linspace(0.1, 2.2, 29)    # other learning rates, in units of 1 / s_max^2
EPS = np.finfo(float).eps


# %% Data: noisy points of a sine curve, and more features of x than points
def features(x):
    """1, then cos(2 pi k x) / k and sin(2 pi k x) / k in turn, so steep curves need large beta."""
    k = np.arange(1, FREQUENCIES + 1)
    angles = 2 * np.pi * np.multiply.outer(x, k)                          # (len(x), FREQUENCIES)
    waves = np.stack([np.cos(angles) / k, np.sin(angles) / k], axis=-1)
    return np.hstack([np.ones((len(x), 1)), waves.reshape(len(x), -1)])   # (len(x), p)


x = (np.arange(N_SAMPLES) + 0.6 * demo.rng.random(N_SAMPLES)) / N_SAMPLES
X = features(x)
n, p = X.shape
truth = np.eye(p)[2]    # the coefficients of sin(2 pi x)
y = linear_model(X, truth, sigma=SIGMA, rng=demo.rng)
s = np.linalg.svd(X, compute_uv=False)

# %% Least squares with fewer parameters than points, with as many, and with more
fits = {size: least_squares(X[:, :size], y) for size in REGIMES}
residuals = {size: X[:, :size] @ beta - y for size, beta in fits.items()}
slopes = [np.abs(X[:, :size].T @ residual).max() for size, residual in residuals.items()]
least = min(np.linalg.svd(X[:, :size], compute_uv=False).min() for size in REGIMES)
fine = (n + p) * EPS * (s[0] / least) ** 2 * np.linalg.norm(y)    # rounding

demo.claim("p < n, p = n, p > n: the residual is orthogonal to every column (largest product)",
           max(slopes), at_most=fine)
demo.claim("p < n does not interpolate (norm of the residual)",
           np.linalg.norm(residuals[REGIMES[0]]), above=1e-3)
demo.claim("p = n and p > n interpolate (largest residual)",
           max(np.abs(residuals[size]).max() for size in REGIMES[1:]), at_most=fine)

# %% The minimum-norm fit X^+ y, and others that differ from it by something that X does not see
shortest = min_norm(X, y)


def unseen(w):
    """(I - X^+ X) w: the part of w that X maps to zero, so it changes no residual."""
    return w - row_space_part(X, w)


away = unseen(demo.rng.standard_normal((p, N_OTHERS)))
away *= np.geomspace(0.1, 5, N_OTHERS) / np.linalg.norm(away, axis=0)
others = shortest[:, None] + away    # (p, N_OTHERS)
longest = np.linalg.norm(others, axis=0).max()

demo.record("norm of X^+ y", np.linalg.norm(shortest))
demo.claim(f"{N_OTHERS:,} other fits are perfect too (largest residual)",
           np.abs(X @ others - y[:, None]).max(), at_most=(n + p) * EPS * s[0] * longest)
demo.claim("all of them are longer than X^+ y (smallest ratio of norms)",
           np.linalg.norm(others, axis=0).min() / np.linalg.norm(shortest), above=1)

# %% Gradient descent from zero (the first column) and from other starts, all at once
starts = demo.rng.standard_normal((p, 1 + N_STARTS))
starts *= np.linspace(0, 3, 1 + N_STARTS) / np.linalg.norm(unseen(starts), axis=0)
targets = np.tile(y[:, None], 1 + N_STARTS)
settings = dict(lr=1 / s[0] ** 2, n_steps=N_STEPS, beta0=starts)
walked = gradient_descent(X, targets, **settings)               # (N_STEPS + 1, p, 1 + N_STARTS)
written = gradient_descent_closed_form(X, targets, **settings)
ends = walked[-1]
# A step rounds sums of n + p products, and no later step amplifies an error.
largest = np.linalg.norm(starts, axis=0).max() + np.linalg.norm(y) / s[-1]
rounding = (n + p) * EPS * N_STEPS * largest

demo.claim("descent through the engine is the closed form at every step (largest difference)",
           np.abs(walked - written).max(), at_most=rounding)

# %% From zero it ends at X^+ y, and the smallest singular value says how fast
distance = np.linalg.norm(walked - shortest[:, None], axis=1)   # (N_STEPS + 1, 1 + N_STARTS)
theory = np.linalg.norm(written - shortest[:, None], axis=1)
t = np.arange(N_STEPS + 1)
rate = (1 - (s[-1] / s[0]) ** 2) ** t
bound = rate * np.linalg.norm(shortest)

demo.record("s_max / s_min", s[0] / s[-1])
demo.claim("from zero it ends at X^+ y (distance)", distance[-1, 0], at_most=bound[-1] + rounding)
demo.claim("no slower than (1 - s_min^2 / s_max^2)^t (largest distance above it)",
           (distance[:, 0] - bound).max(), at_most=rounding)

# %% From elsewhere it ends at the perfect fit nearest to its start
nearest = starts + min_norm(X, targets - X @ starts)
farthest = np.linalg.norm(starts - nearest, axis=0).max()
kept = max(np.abs(unseen(step - starts)).max() for step in walked)

demo.claim("every start ends at the perfect fit nearest to it (largest distance)",
           np.linalg.norm(ends - nearest, axis=0).max(), at_most=rate[-1] * farthest + rounding)
demo.claim("what X does not see of a start never changes (largest change)", kept,
           at_most=rounding)

# %% Which learning rates are too large: descent from zero with each of RATES, without a check
beta = np.zeros((p, len(RATES)))
for _ in range(N_STEPS // 2):
    beta -= RATES / s[0] ** 2 * (X.T @ (X @ beta - y[:, None]))
moved = np.linalg.norm(beta - shortest[:, None], axis=0) / np.linalg.norm(shortest)

demo.record("distance from X^+ y with other learning rates", moved)
demo.claim("lr < 2 / s_max^2 comes nearer to X^+ y (largest distance after / before)",
           moved[RATES < 2].max(), below=1)
demo.claim("lr > 2 / s_max^2 diverges (smallest distance after / before)",
           moved[RATES > 2].min(), above=1)

# %% In the plane: one equation for two unknowns, from several starts
row, target = np.array([[1.0, 2.0]]), np.array([4.0])
center = min_norm(row, target)
plane_starts = [0, 0], [-1.5, 0.5], [1.8, -1.6], [3.2, 2.2], [-0.8, 4.2]
plane_paths = [gradient_descent(row, target, lr=0.06, n_steps=30, beta0=begin)
               for begin in plane_starts]

# %% Figure: perfect fits as functions, in the plane, and the way to them
FROM_ZERO, ELSEWHERE = BLUE, VERMILLION
figure, (curves, plane, descent) = plt.subplots(1, 3, figsize=(17, 5.2))
figure.suptitle("Gradient descent ends at the perfect fit nearest to its start: from zero, "
                "at the shortest")

grid = np.linspace(0, 1, 500)
phi = features(grid)
curves.plot(grid, phi @ others[:, ::N_OTHERS // N_DRAWN], color="0.8", lw=0.8)
curves.plot([], [], color="0.8", label="other perfect fits")
curves.plot(grid, phi @ ends[:, -1], color=ELSEWHERE, lw=1.6, label="descent from another start")
curves.plot(grid, phi @ ends[:, 0], color=FROM_ZERO, lw=3.5, label="descent from zero")
curves.plot(grid, phi @ shortest, "--", color=BLACK, lw=1.4, label=r"$X^+y$, the shortest $\beta$")
curves.plot(x, y, "o", color=BLACK, ms=8, zorder=3)
curves.set(xlabel="x", ylabel="y", ylim=(-2.5, 3.6),
           title=f"{p} parameters: every curve fits all {n} points")
curves.legend(loc="upper right", fontsize=10)

# %% In the plane the perfect fits form a line, and the paths meet it at right angles
plane.plot(*(center[:, None] + np.outer([2, -1], [-2.2, 2.2])), color="0.6")
plane.text(4.9, 0.2, "all perfect\nfits", ha="right", va="bottom")
turn = np.linspace(0, 2 * np.pi, 200)
circle = np.linalg.norm(center) * np.array([np.cos(turn), np.sin(turn)])
plane.plot(*circle, "--", color=BLACK, lw=1.4)
plane.text(0, -1.79, "norm of $X^+y$", ha="center", va="center", bbox=dict(fc="w", ec="w"))
for path in plane_paths:
    color = ELSEWHERE if path[0].any() else FROM_ZERO
    plane.plot(*path.T, ".-", color=color, ms=6, lw=1)
    plane.plot(*path[0], "o", ms=8, mfc="white", color=color)
plane.plot(*center, "*", color=BLACK, ms=16)
plane.annotate("$X^+y$", center, (8, 10), textcoords="offset points", fontsize=13)
plane.set(xlabel=r"$\beta_1$", ylabel=r"$\beta_2$", aspect="equal", xlim=(-4, 5), ylim=(-2.4, 4.8),
          title="2 parameters, 1 sample, five starts")

# %% The distance from X^+ y at every step; the closed form is dashed
for column, color in ((-1, ELSEWHERE), (0, FROM_ZERO)):
    curve(descent, t, distance[:, column], theory=theory[:, column], color=color, lw=3.5)
descent.plot(t, bound, ":", color=GREEN)
descent.text(N_STEPS, distance[-1, -1] / 3, "from another start: what X\ndoes not see stays",
             ha="right", va="top")
descent.text(240, bound[230], r"bound $(1 - s_{\min}^2/s_{\max}^2)^t\,\|X^+y\|$", va="bottom")
descent.text(140, distance[150, 0], "from zero", ha="right", va="top")
descent.text(N_STEPS, 4 * distance[-1, 0], "rounding", ha="right", va="bottom")
descent.set(yscale="log", xlabel="step t", ylabel=r"distance $\|\beta_t - X^+y\|$",
            ylim=(1e-17, 1e2), title="Every step is that of the closed form (dashed)")
demo.finish(figure)
