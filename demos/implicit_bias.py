"""Which optimizers find the shortest of all perfect fits, and is the shortest the best?

MATH5836 week 10, section 10.1.2; Strohmer and Vershynin 2009 (single rows); Polyak 1964 (momentum);
Wilson, Roelofs, Stern, Srebro and Recht 2017 (Adam).

You will see one step after the other of gradient descent, momentum, SGD and Adam, with gradients
from the engine (SGD also by its formula, in many orders of the rows): in a plane, and with 40
parameters for 20 samples. Then what becomes of their fits when the features are rotated, and how
well they do on new data when one feature matters or all do.

Predict first: all four reach a training loss of zero. How many different fits will they find? And
if one of them is longer than the others, does it have to be worse on new data?
"""
# %% Constants
import matplotlib.pyplot as plt
import numpy as np
from common import BLACK, BLUE, GREEN, ORANGE, VERMILLION, band, start
from matplotlib.colors import to_rgb

from tinyml.interpolation.double_descent import min_norm_bias
from tinyml.interpolation.implicit_bias import (iterates, kaczmarz, kaczmarz_rate,
                                                make_rare_features, row_probabilities, sign_fit,
                                                tuned_descent, tuned_heavy_ball)
from tinyml.interpolation.min_norm import min_norm, row_space_part
from tinyml.optim import SGD, Adam, cosine_decay

demo = start(__file__, __doc__)
N, P = 20, 40                        # samples and features of the race
PASSES = 600 if demo.quick else 800  # over all samples: one step of descent, or N of single rows
DRAWS = 8 if demo.quick else 20      # orders of the rows for SGD, each its own random draw
ADAM_LR = 0.03                       # at the start, and on a cosine to 0: else Adam never settles
ADAM_STEPS = 600 if demo.quick else 1000    # for each of the fits of Adam outside of the race
CONSTANT = 3000                      # steps of Adam without the cosine, to see that
RATES = (0.01, 0.03, 0.1)            # of Adam, to see how its fit depends on them
ANGLES = 9 if demo.quick else 25     # rotations of the plane, from 0 to 180 degrees
P_NEW = 30                           # features of the data sets that are tested on new data
SETS = 8 if demo.quick else 30       # such data sets
TRUTHS = 10                          # true beta for each data set and each number of features
MATTER = (1, 2, 5, 10, P_NEW)        # how many features matter, all of them equally
ONES, MINUS_ONES, TEST = 24, 16, 60    # labels of the samples with rare features; new samples
EPS = np.finfo(float).eps
ALL = slice(None)                    # of the rows


# %% The optimizers
def descend(X, y, tuned, n_steps):
    """Gradient descent with the step, and the momentum, that suit X best."""
    return iterates(X, y, lambda params: SGD(params, lr=tuned.lr, momentum=tuned.momentum),
                    [ALL] * n_steps)


def adam(X, y, n_steps=ADAM_STEPS, lr=ADAM_LR, final=0):
    return iterates(X, y, lambda params: Adam(params, lr=lr), [ALL] * n_steps,
                    schedule=lambda t: cosine_decay(t, n_steps, final))


# %% The race: all on one loss, from zero
X = demo.rng.standard_normal((N, P))
y = demo.rng.standard_normal(N)
shortest, s = min_norm(X, y), np.linalg.svd(X, compute_uv=False)
plain, ball, row_rate = tuned_descent(X), tuned_heavy_ball(X), kaczmarz_rate(X)
t, length = np.arange(PASSES + 1), np.linalg.norm(shortest)
draws = demo.rng.choice(N, size=(DRAWS, PASSES * N), p=row_probabilities(X))
unit = np.linalg.norm(X, axis=1)
single = iterates(X / unit[:, None], y / unit, lambda params: SGD(params, lr=1), draws[0, :50 * N])
paths = {"descent": descend(X, y, plain, PASSES), "momentum": descend(X, y, ball, PASSES),
         "Adam": adam(X, y, PASSES)}
rows = np.array([kaczmarz(X, y, draw)[::N] for draw in demo.progress(draws, "orders of the rows")])
bounds = {"descent": plain.rate ** t * length, "SGD": row_rate ** (t * N / 2) * length,
          "momentum": (1 + t * (1 + ball.rate)) * ball.rate ** t * length}
distance = {name: np.linalg.norm(path - shortest, axis=1) for name, path in paths.items()}
distance["SGD"] = np.linalg.norm(rows - shortest, axis=2)          # (DRAWS, PASSES + 1)
ends = {"descent": paths["descent"][-1], "SGD": rows[0, -1], "momentum": paths["momentum"][-1],
        "Adam": paths["Adam"][-1]}
misfit = np.linalg.norm(paths["Adam"] @ X.T - y, axis=1) / np.linalg.norm(y)
constant = np.linalg.norm(adam(X, y, CONSTANT, final=1) @ X.T - y, axis=1) / np.linalg.norm(y)
of_rates = [np.linalg.norm(adam(X, y, lr=lr)[-1] - shortest) / length for lr in RATES]


def unseen(path):
    """The length of what X does not see of each step of a path."""
    return np.linalg.norm(path.T - row_space_part(X, path.T), axis=0)


# A step rounds sums of n + p products; errors in the slowest direction add up over kappa^2 steps.
rounding = (N + P) * EPS * (s[0] / s[-1]) ** 2 * length

# %% In the plane: one equation, two unknowns, and the same after rotations
row, target = np.array([[1.0, 2.0]]), np.array([4.0])
in_plane = {"descent": iterates(row, target, lambda params: SGD(params, lr=0.03), [ALL] * 60),
            "Adam": adam(row, target)}
angles = np.linspace(0, np.pi, ANGLES) + 0.05    # off the axes: a feature of 1e-17 counts for Adam
turned = np.column_stack([np.cos(angles), np.sin(angles)])
lengths = {name: np.array([np.linalg.norm(fit(x[None], np.ones(1))[-1]) for x in turned])
           for name, fit in (("descent", lambda x, y: descend(x, y, tuned_descent(x), 10)),
                             ("Adam", adam))}
expected = np.array([np.linalg.norm(sign_fit(x[None], [1])) for x in turned])


# %% New data: y = X beta, where few features matter, or many, or all with Gaussian weights
def truths(rng):
    """(P_NEW, TRUTHS * (len(MATTER) + 1)): columns of length 1; on average, in the last block."""
    signs = rng.choice([-1.0, 1.0], (len(MATTER), P_NEW, TRUTHS))
    ranks = rng.permuted(np.broadcast_to(np.arange(P_NEW)[:, None], (P_NEW, TRUTHS)), axis=0)
    equal = [sign * (ranks < k) / np.sqrt(k) for sign, k in zip(signs, MATTER)]
    return np.hstack([*equal, rng.standard_normal((P_NEW, TRUTHS)) / np.sqrt(P_NEW)])


def errors_on_new_data(rng):
    """(3, truths): E (x'fit - x'beta)^2 of X^+ y and of Adam for x ~ N(0, I); their distance^2."""
    X, beta = rng.standard_normal((N, P_NEW)), truths(rng)
    y = X @ beta    # without noise
    short, other = min_norm(X, y), adam(X, y)[-1]
    residual.append(np.linalg.norm(X @ other - y) / np.linalg.norm(y))
    squares = np.array([short - beta, other - beta, other - short]) ** 2
    return squares.sum(axis=1).reshape(3, -1, TRUTHS).mean(axis=2)


residual = []
cost = np.array([errors_on_new_data(np.random.default_rng([demo.seed, number]))
                 for number in demo.progress(range(SETS), "data sets")])    # (SETS, 3, truths)
mean, deviation = cost.mean(axis=0), 2 * cost.std(axis=0, ddof=1) / np.sqrt(SETS)
ratio = mean[1] / mean[0]
floor = float(min_norm_bias(N, P_NEW, signal=1))

# %% Rare features: each sample has some that no other has
labels = np.concatenate([np.repeat([1, -1], [ONES, MINUS_ONES]), demo.rng.choice([-1, 1], TEST)])
design = make_rare_features(labels)
known, new = slice(ONES + MINUS_ONES), slice(ONES + MINUS_ONES, None)
rare = {"momentum": descend(design[known], labels[known], tuned_heavy_ball(design[known]), 400)[-1],
        "Adam": adam(design[known], labels[known])[-1]}
outputs = {name: design @ beta for name, beta in rare.items()}
wrong = {name: np.mean(np.sign(output[new]) != labels[new]) for name, output in outputs.items()}

# %% Figure
COLOR = {"descent": BLUE, "momentum": GREEN, "SGD": ORANGE, "Adam": VERMILLION}
MARKER = {"descent": "o", "momentum": "s", "SGD": "^", "Adam": "D"}
TEXT = {name: [0.75 * part for part in to_rgb(color)] for name, color in COLOR.items()}
THEORY = dict(linestyle="--", color=BLACK, lw=1.4)
LABEL = dict(facecolor="white", edgecolor="none", pad=1)    # behind text on a line
figure, axes = plt.subplots(2, 3, figsize=(16.5, 9.8))
figure.suptitle("Descent, momentum and SGD find the shortest perfect fit. Adam finds another: "
                f"{ratio[0]:.1f} times the error if one feature matters, "
                f"{ratio[len(MATTER) - 1]:.2f} if all do")


def draw_plane(ax):
    line = min_norm(row, target)[:, None] + np.outer([2, -1], [-2, 2])
    ax.plot(*line, color="0.6", lw=2)
    turn = np.linspace(0, 2 * np.pi, 200)
    radius, side = np.linalg.norm(min_norm(row, target)), np.abs(sign_fit(row, target)).max()
    ax.plot(radius * np.cos(turn), radius * np.sin(turn), **THEORY)
    ax.plot(side * np.array([1, 1, -1, -1, 1]), side * np.array([1, -1, -1, 1, 1]), **THEORY)
    for name, path in in_plane.items():
        ax.plot(*path.T, ".-", color=COLOR[name], ms=5, lw=1.5)
        ax.plot(*path[-1], MARKER[name], color=COLOR[name], ms=10)
    ax.text(0.95, 1.75, "descent: the shortest", color=TEXT["descent"], va="bottom")
    ax.text(1.5, 1.38, "Adam: the smallest\nlargest coefficient", color=TEXT["Adam"], va="center")
    ax.text(2.4, 0.62, "all perfect fits", rotation=-26.6, color="0.4", ha="center", va="center")
    ax.set(xlabel=r"$\beta_1$", ylabel=r"$\beta_2$", aspect="equal", xlim=(-2, 3.4), ylim=(-2, 2.4),
           title=r"1 sample, 2 parameters: $\beta_1 + 2\,\beta_2 = 4$")


def draw_race(ax):
    for name in ("descent", "momentum", "Adam"):
        ax.semilogy(t, distance[name], color=COLOR[name])
    band(ax, t, distance["SGD"], color=COLOR["SGD"])
    for bound in bounds.values():
        ax.semilogy(t, np.maximum(bound, 1e-17), **THEORY)
    ax.semilogy(t, misfit, ":", color=COLOR["Adam"])
    sgd = np.median(distance["SGD"], axis=0)
    for curve, height, text, color in (
            (distance["descent"], 1e-6, "descent", TEXT["descent"]),
            (sgd, 1e-9, "SGD, single rows", TEXT["SGD"]),
            (distance["momentum"], 1e-12, "momentum", TEXT["momentum"]),
            (misfit, 1e-12, "Adam's\nmisfit", TEXT["Adam"]),
            (bounds["SGD"], 1e-11, "SGD's bound", BLACK)):
        i = np.argmax(curve < height) or PASSES    # where it gets so low, or the end
        ax.text(t[i], curve[i], text, color=color, bbox=LABEL, ha="center", va="center")
    ax.text(PASSES, distance["Adam"][-1] * 2, "Adam", color=TEXT["Adam"], ha="right", va="bottom")
    ax.set(xlabel="passes over the data", ylabel=r"distance from $X^+y$, $\|\beta_t - X^+y\|$",
           ylim=(1e-16, 20), title=f"{N} samples, {P} parameters (dashed: bounds)")


def draw_coefficients(ax):
    ends_of = [shortest.min(), shortest.max()]
    ax.plot(ends_of, ends_of, **THEORY)
    for name, size in (("descent", 13), ("SGD", 9), ("momentum", 5), ("Adam", 6)):
        ax.plot(shortest, ends[name], MARKER[name], color=COLOR[name], ms=size, label=name,
                mfc="none" if name == "descent" else COLOR[name])
    ax.legend(loc="upper left")
    ax.set(xlabel=r"coefficient of $X^+y$", ylabel="coefficient of the optimizer's fit",
           title="Where they end: three times the same fit, and another")


def draw_rotations(ax):
    degrees = np.linspace(0, 190, 400)
    ax.plot(degrees, np.sqrt(2) / np.abs([np.cos(np.radians(degrees)),
                                          np.sin(np.radians(degrees))]).sum(axis=0), **THEORY)
    ax.axhline(1, **THEORY)
    for name, measured in lengths.items():
        ax.plot(np.degrees(angles), measured, MARKER[name], color=COLOR[name], ms=8)
    ax.text(92, 1.02, "descent", color=TEXT["descent"], ha="center")
    ax.text(92, 1.44, r"Adam, theory: $\sqrt{2}\,/\,(|\cos| + |\sin|)$", color=TEXT["Adam"],
            ha="center")
    ax.set(xlabel="rotation of the features, degrees", ylim=(0.95, 1.5),
           ylabel=r"length of the fit, $\|\beta\| / \|X^+y\|$",
           title="Adam sees the axes: 1 sample, 2 parameters, rotated")


def draw_cost(ax):
    place = np.arange(len(MATTER) + 1)
    ax.axhline(floor, **THEORY)
    ax.text(0, floor - 0.04, r"$X^+y$, theory: $1 - n/p$", color=TEXT["descent"], va="top")
    ax.plot(place[-1], floor + mean[2, -1], "_", color=BLACK, ms=34, mew=1.4)
    ax.text(place[-1], floor + mean[2, -1] + 0.1, "theory: add\nthe unseen,\nsquared", ha="center",
            va="bottom")
    for k, (name, away) in enumerate((("descent", -0.08), ("Adam", 0.08))):
        ax.errorbar(place + away, mean[k], deviation[k], fmt=MARKER[name], color=COLOR[name],
                    ms=8, capsize=3)
    ax.text(0.3, mean[1, 0], "Adam", color=TEXT["Adam"], va="center")
    ax.set(xticks=place, xticklabels=[*map(str, MATTER), "all,\nGaussian"], ylim=(0, None),
           xlabel=f"how many of {P_NEW} features matter equally",
           ylabel=r"error on new data, in units of $\|\beta\|^2$",
           title=f"{N} samples; mean of {SETS} data sets, 2 standard errors")


def draw_rare(ax):
    n, n_all = ONES + MINUS_ONES, len(labels)
    order = np.concatenate([np.arange(n), n + np.argsort(-labels[new], kind="stable")])
    sample = np.arange(n_all)
    ax.axvspan(n - 0.5, n_all, color="0.95")
    ax.axhline(0, color="0.4", lw=1)
    ax.plot(sample, outputs["Adam"][order], MARKER["Adam"], color=COLOR["Adam"], ms=7, mfc="none")
    ax.plot(sample, outputs["momentum"][order], MARKER["momentum"], color=COLOR["momentum"], ms=3)
    ax.set(xlabel="sample, sorted by its label", ylabel="output of the fit", ylim=(-1.25, 1.25),
           title=f"Rare features: Adam is wrong on {wrong['Adam']:.0%} of the new samples")
    ax.text(n / 2, 1.1, "training samples", ha="center", va="bottom")
    ax.text((n + n_all) / 2, 1.1, "new samples", ha="center", va="bottom")
    ax.text(n_all, 0.33, "Adam", color=TEXT["Adam"], ha="right", va="bottom")
    ax.text(n_all, -0.83, "momentum", color=TEXT["momentum"], ha="right", va="bottom")


draw_plane(axes[0, 0])
draw_race(axes[0, 1])
draw_coefficients(axes[0, 2])
draw_rotations(axes[1, 0])
draw_cost(axes[1, 1])
draw_rare(axes[1, 2])

# %% Claims
demo.record("norm of X^+ y", length)
demo.record("s_max / s_min", s[0] / s[-1])
demo.record("rates: descent, momentum, SGD (n rows)", [plain.rate, ball.rate, row_rate ** (N / 2)])
demo.record("norm of Adam's fit / norm of X^+ y", np.linalg.norm(ends["Adam"]) / length)
demo.record(f"its distance / norm of X^+ y, lr {RATES}", of_rates)
demo.record("its largest coefficient / that of X^+ y",
            np.abs(ends["Adam"]).max() / np.abs(shortest).max())
demo.record("features that matter", [*MATTER, P_NEW])
demo.record("error of X^+ y on new data", mean[0])
demo.record("error of Adam's fit / error of X^+ y", ratio)
for name in ("descent", "momentum"):
    demo.claim(f"{name} goes to X^+ y, no slower than its bound (largest distance above it)",
               (distance[name] - bounds[name]).max(), at_most=rounding)
median = np.median(distance["SGD"], axis=0)
demo.claim("so does SGD on single rows (largest distance of the median order above its bound)",
           (median - bounds["SGD"]).max(), at_most=rounding)
demo.claim("its steps through the engine, lr = 1 on rows of length 1, are Kaczmarz's (difference)",
           np.abs(single[::N] - rows[0, :len(single[::N])]).max(), at_most=rounding)
demo.claim("none of the three ever leaves the row space (largest distance from it)",
           max(unseen(path).max() for path in (paths["descent"], paths["momentum"], rows[0])),
           at_most=rounding)
demo.claim("Adam fits as perfectly (misfit, relative)", misfit[-1], at_most=1e-6)
demo.claim("but not at a constant rate, at which it jumps away again (largest misfit, second half)",
           constant[CONSTANT // 2:].max(), above=1e-3)
demo.claim("it ends elsewhere (distance from X^+ y / norm of X^+ y)",
           distance["Adam"][-1] / length, above=0.1)
demo.claim("what X sees of its fit is X^+ y all the same (distance / norm of X^+ y)",
           np.linalg.norm(row_space_part(X, ends["Adam"]) - shortest) / length,
           at_most=misfit[-1] * np.linalg.norm(y) / s[-1] / length + EPS * N * P)
demo.claim("in the plane it finds the smallest largest coefficient (distance)",
           np.linalg.norm(in_plane["Adam"][-1] - sign_fit(row, target)), at_most=1e-3)
demo.claim("descent does not see the axes (spread of its length over rotations)",
           np.ptp(lengths["descent"]), at_most=100 * EPS)
demo.claim("Adam does, as in theory (largest difference)",
           np.abs(lengths["Adam"] - expected).max(), at_most=1e-3)
demo.claim("the error of X^+ y on new data is 1 - n/p (distance in standard errors, Gaussian)",
           2 * abs(mean[0, -1] - floor) / deviation[0, -1], at_most=4)
extra = cost[:, 1, -1] - cost[:, 0, -1] - cost[:, 2, -1]
demo.claim("Adam adds the square of what X does not see of its fit (in standard errors)",
           abs(extra.mean()) / (extra.std(ddof=1) / np.sqrt(SETS)), at_most=4)
demo.claim("where one feature matters Adam is worse (error / error of X^+ y)", ratio[0], above=2)
demo.claim("where all matter equally it is better (the same ratio)", ratio[len(MATTER) - 1],
           below=0.95)
demo.claim("these fits of Adam are perfect (largest misfit, relative)", max(residual), at_most=1e-3)
demo.claim("rare features: momentum's fit knows every new label (share that is wrong)",
           wrong["momentum"], at_most=0)
demo.claim("Adam's fit says 1 to all (largest distance of its outputs from (label + 2) / 4)",
           np.abs(outputs["Adam"][new] - (labels[new] + 2) / 4).max(), at_most=1e-3)
demo.claim("and both fit the known labels (largest misfit)",
           max(np.abs(output[known] - labels[known]).max() for output in outputs.values()),
           at_most=1e-3)
demo.finish(figure)
