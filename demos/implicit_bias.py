"""Which optimizers find the shortest of all perfect fits, and is the shortest the best?

MATH5836 week 10, section 10.1.2; Strohmer and Vershynin 2009 (single rows); Polyak 1964
(momentum); Wilson, Roelofs, Stern, Srebro and Recht 2017 (Adam).

You will see the steps of gradient descent and of Adam in a plane; how fast gradient descent,
momentum and SGD approach X^+ y with 40 parameters for 20 samples, and that Adam does not; and
how well their fits do on new data when one feature matters, or all do. Gradients are from the
engine; SGD is run by its formula in many orders of the rows.

Predict first: all four reach a training loss of zero. How many different fits will they find?
And if one of them is longer than the others, is it worse on new data?
"""
# %% Constants
import matplotlib.pyplot as plt
import numpy as np
from common import BLACK, BLUE, GREEN, ORANGE, VERMILLION, band, start
from matplotlib.colors import to_rgb

from tinyml.interpolation.double_descent import min_norm_bias2
from tinyml.interpolation.implicit_bias import (
    iterates,
    kaczmarz,
    kaczmarz_factor,
    make_rare_features,
    row_probabilities,
    sign_fit,
    tuned_descent,
    tuned_heavy_ball,
)
from tinyml.interpolation.min_norm import min_norm, row_space_part
from tinyml.optim import SGD, Adam, cosine_decay

demo = start(__file__, __doc__)
N, P = 20, 40                        # samples and features of the race
PASSES = 600 if demo.quick else 800  # over all samples: one step of descent, or N of single rows
DRAWS = 8 if demo.quick else 20      # orders of the rows for SGD, each its own random draw
ADAM_LR = 0.03                       # at the start, and on a cosine to 0; else Adam never settles
ADAM_STEPS = 600 if demo.quick else 1000    # for each of the fits of Adam outside of the race
CONSTANT = 3000                      # steps of Adam without the cosine, to see that
ANGLES = 9 if demo.quick else 25     # rotations of the plane, from 0 to 180 degrees
P_NEW = 30                           # features of the data sets that are tested on new data
SETS = 8 if demo.quick else 30       # such data sets
TRUTHS = 10                          # true beta for each data set and each number of features
MATTER = (1, 2, 5, 10, P_NEW)        # how many features matter, all of them equally
ONES, MINUS_ONES, TEST = 24, 16, 60    # labels of the samples with rare features; new samples
EPS = np.finfo(float).eps
ALL = slice(None)                    # of the rows


# %% The optimizers: gradient descent and momentum with the best constants for X, and Adam
def descend(X, y, tuned, n_steps):
    return iterates(X, y, lambda params: SGD(params, lr=tuned.lr, momentum=tuned.momentum),
                    [ALL] * n_steps)


def adam(X, y, n_steps=ADAM_STEPS, final=0):
    return iterates(X, y, lambda params: Adam(params, lr=ADAM_LR), [ALL] * n_steps,
                    schedule=lambda t: cosine_decay(t, n_steps, final))


def norms(path):
    return np.linalg.norm(path, axis=-1)


# %% The race: all on one loss, from zero; SGD takes one row at a time, in many orders
X, y = demo.rng.standard_normal((N, P)), demo.rng.standard_normal(N)
shortest, s = min_norm(X, y), np.linalg.svd(X, compute_uv=False)
plain, ball = tuned_descent(X), tuned_heavy_ball(X)
draws = demo.rng.choice(N, size=(DRAWS, PASSES * N), p=row_probabilities(X))
rows = [kaczmarz(X, y, draw)[::N] for draw in demo.progress(draws, "orders of the rows")]
paths = {"descent": descend(X, y, plain, PASSES), "momentum": descend(X, y, ball, PASSES),
         "SGD": np.array(rows), "Adam": adam(X, y, PASSES)}
distance = {name: norms(path - shortest) for name, path in paths.items()}
# A step rounds sums of n + p products; errors in the slowest direction add up over kappa^2 steps.
rounding = (N + P) * EPS * (s[0] / s[-1]) ** 2 * norms(shortest)

demo.record("norm of X^+ y", norms(shortest))
demo.record("s_max / s_min", s[0] / s[-1])

# %% Gradient descent, momentum and SGD converge to X^+ y, no slower than their bounds
t = np.arange(PASSES + 1)
sgd_factor = kaczmarz_factor(X) ** (N / 2)
bounds = {"descent": plain.factor ** t * norms(shortest),
          "momentum": (1 + t * (1 + ball.factor)) * ball.factor ** t * norms(shortest),
          "SGD": sgd_factor ** t * norms(shortest)}

demo.record("convergence factors: descent, momentum, SGD (n rows)", [plain.factor, ball.factor, sgd_factor])
for name in ("descent", "momentum"):
    demo.claim(f"{name} converges to X^+ y within its bound (largest distance above it)",
               (distance[name] - bounds[name]).max(), at_most=rounding)
demo.claim("SGD on single rows converges to X^+ y within its bound (the same of the median order)",
           (np.median(distance["SGD"], axis=0) - bounds["SGD"]).max(), at_most=rounding)

# %% SGD through the engine with lr = 1, on rows of length 1, is the same as its formula
unit = norms(X)
walked = iterates(X / unit[:, None], y / unit, lambda params: SGD(params, lr=1), draws[0, :50 * N])

demo.claim("the engine's SGD is that of Kaczmarz (largest difference)",
           np.abs(walked[::N] - paths["SGD"][0, :51]).max(), at_most=rounding)


# %% Gradients are combinations of rows, so none of the three leaves the row space
def unseen(path):
    """The norm of what X does not see of each step of a path."""
    return norms(path - row_space_part(X, path.T).T)


demo.claim("none of the three leaves the row space (largest distance from it)",
           max(unseen(path).max() for path in (paths["descent"], paths["momentum"], rows[0])),
           at_most=rounding)

# %% Adam fits as perfectly, and ends elsewhere
end = paths["Adam"][-1]
misfit = norms(paths["Adam"] @ X.T - y) / norms(y)
seen = row_space_part(X, end)

demo.record("norm of Adam's fit / norm of X^+ y", norms(end) / norms(shortest))
demo.record("its largest coefficient / that of X^+ y", np.abs(end).max() / np.abs(shortest).max())
demo.claim("Adam fits as perfectly (misfit, relative)", misfit[-1], at_most=1e-6)
demo.claim("Adam ends elsewhere (distance from X^+ y / norm of X^+ y)",
           distance["Adam"][-1] / norms(shortest), above=0.1)
demo.claim("what X sees of the fit of Adam is X^+ y all the same (distance / norm of X^+ y)",
           norms(seen - shortest) / norms(shortest),
           at_most=misfit[-1] * norms(y) / s[-1] / norms(shortest) + EPS * N * P)

# %% At a constant rate Adam does not settle
constant = norms(adam(X, y, CONSTANT, final=1) @ X.T - y) / norms(y)

demo.claim("at a constant rate Adam jumps away again (largest misfit, second half)",
           constant[CONSTANT // 2:].max(), above=1e-3)

# %% In the plane, one equation for two unknowns: Adam minimises the largest coefficient
row, target = np.array([[1.0, 2.0]]), np.array([4.0])
in_plane = {"descent": iterates(row, target, lambda params: SGD(params, lr=0.03), [ALL] * 60),
            "Adam": adam(row, target)}

demo.claim("in the plane Adam finds the smallest largest coefficient (distance)",
           norms(in_plane["Adam"][-1] - sign_fit(row, target)), at_most=1e-3)

# %% The fit of Adam depends on the axes: rotate the features
angles = np.linspace(0, np.pi, ANGLES) + 0.05    # off the axes: Adam enlarges a feature of 1e-17
turned = np.column_stack([np.cos(angles), np.sin(angles)])[:, None]    # (ANGLES, 1, 2)
ends_of_descent = [descend(x, [1], tuned_descent(x), 10)[-1] for x in turned]
ends_of_adam = [adam(x, [1])[-1] for x in turned]
expected = [sign_fit(x, [1]) for x in turned]

demo.claim("descent: the norm of its fit is the same for all rotations (largest difference)",
           np.ptp(norms(ends_of_descent)), at_most=100 * EPS)
demo.claim("Adam: the norm depends on the rotation, as in theory (largest error)",
           np.abs(norms(ends_of_adam) - norms(expected)).max(), at_most=1e-3)


# %% New data: y = X beta, where few features matter equally, or all, or all with Gaussian weights
def truths(rng):
    """TRUTHS columns of norm 1 for each of MATTER, then TRUTHS Gaussian ones of mean norm^2 1."""
    blocks = []
    for k in MATTER:
        first = np.tile(np.arange(P_NEW)[:, None] < k, TRUTHS)    # the first k features
        matter = rng.permuted(first, axis=0)
        signs = rng.choice([-1.0, 1.0], (P_NEW, TRUTHS))
        blocks.append(matter * signs / np.sqrt(k))
    blocks.append(rng.standard_normal((P_NEW, TRUTHS)) / np.sqrt(P_NEW))
    return np.hstack(blocks)


def errors_on_new_data(rng):
    """Mean squares by truth, (3, len(MATTER) + 1), and the misfit of Adam.

    For x ~ N(0, I) the error E (x'fit - x'beta)^2 is ||fit - beta||^2.
    """
    X, beta = rng.standard_normal((N, P_NEW)), truths(rng)
    y = X @ beta    # without noise
    short, other = min_norm(X, y), adam(X, y)[-1]
    squares = np.array([short - beta, other - beta, other - short]) ** 2
    misfit = np.linalg.norm(X @ other - y) / np.linalg.norm(y)
    return squares.sum(axis=1).reshape(3, -1, TRUTHS).mean(axis=2), misfit


# %% Experiment: Adam's longer fit is worse if one feature matters, and better if all do
results = [errors_on_new_data(np.random.default_rng([demo.seed, number]))
           for number in demo.progress(range(SETS), "data sets")]
cost = np.array([errors for errors, _ in results])    # (SETS, 3, len(MATTER) + 1)
of_shortest, of_adam, apart = cost.mean(axis=0)
standard_error = cost.std(axis=0, ddof=1) / np.sqrt(SETS)
ratio = of_adam / of_shortest
EQUAL, GAUSSIAN = len(MATTER) - 1, len(MATTER)

demo.record("features that matter", [*MATTER, P_NEW])
demo.record("error of X^+ y on new data", of_shortest)
demo.record("error of Adam's fit / error of X^+ y", ratio)
demo.claim("one feature matters: Adam is worse (error / error of X^+ y)", ratio[0], above=2)
demo.claim("all matter equally: Adam is better (the same ratio)", ratio[EQUAL], below=0.95)
demo.claim("these fits of Adam are perfect (largest misfit, relative)",
           max(misfit for _, misfit in results), at_most=1e-3)

# %% On average over Gaussian truths X^+ y costs 1 - n/p, and Adam adds what X does not see
floor = float(min_norm_bias2(N, P_NEW, signal=1))
extra = cost[:, 1, GAUSSIAN] - cost[:, 0, GAUSSIAN] - cost[:, 2, GAUSSIAN]

demo.claim("the error of X^+ y is 1 - n/p (distance in standard errors)",
           abs(of_shortest[GAUSSIAN] - floor) / standard_error[0, GAUSSIAN], at_most=4)
demo.claim("Adam adds its squared distance from X^+ y (in standard errors)",
           abs(extra.mean()) / (extra.std(ddof=1) / np.sqrt(SETS)), at_most=4)

# %% Rare features, which only one sample has: X^+ y generalises, and Adam always predicts 1
labels = np.concatenate([np.repeat([1, -1], [ONES, MINUS_ONES]), demo.rng.choice([-1, 1], TEST)])
design, known = make_rare_features(labels), ONES + MINUS_ONES
X_known, y_known = design[:known], labels[:known]
of_momentum = design @ descend(X_known, y_known, tuned_heavy_ball(X_known), 400)[-1]
of_rare_adam = design @ adam(X_known, y_known)[-1]

demo.claim("rare features: momentum's fit predicts every new label (share wrong)",
           np.mean(np.sign(of_momentum[known:]) != labels[known:]), at_most=0)
demo.claim("rare features: Adam outputs (label + 2) / 4 > 0 for all (largest difference)",
           np.abs(of_rare_adam[known:] - (labels[known:] + 2) / 4).max(), at_most=1e-3)
demo.claim("rare features: both fit the known labels (largest misfit)",
           np.abs(np.array([of_momentum, of_rare_adam])[:, :known] - y_known).max(), at_most=1e-3)

# %% Figure: in the plane descent ends on the circle, and Adam on the square (dashed)
COLOR = {"descent": BLUE, "momentum": GREEN, "SGD": ORANGE, "Adam": VERMILLION}
MARKER = {"descent": "o", "momentum": "s", "SGD": "^", "Adam": "D"}
TEXT = {name: [0.75 * part for part in to_rgb(color)] for name, color in COLOR.items()}
THEORY = dict(linestyle="--", color=BLACK, lw=1.4)
figure, (plane, race, new) = plt.subplots(1, 3, figsize=(17, 5.6))
figure.suptitle("Descent, momentum and SGD find the shortest perfect fit. Adam finds another: "
                f"{ratio[0]:.1f} times the error\n"
                f"if one feature matters, {ratio[EQUAL]:.2f} if all do")
turn = np.linspace(0, 2 * np.pi, 200)
radius, side = norms(min_norm(row, target)), np.abs(sign_fit(row, target)).max()
plane.plot(*(min_norm(row, target)[:, None] + np.outer([2, -1], [-2, 2])), color="0.6", lw=2)
plane.plot(radius * np.cos(turn), radius * np.sin(turn), **THEORY)
plane.plot(side * np.array([1, 1, -1, -1, 1]), side * np.array([1, -1, -1, 1, 1]), **THEORY)
for name, path in in_plane.items():
    plane.plot(*path.T, ".-", color=COLOR[name], ms=5, lw=1.5)
    plane.plot(*path[-1], MARKER[name], color=COLOR[name], ms=10)
plane.text(0.95, 1.75, "descent: the shortest", color=TEXT["descent"], va="bottom")
plane.text(1.5, 1.38, "Adam: the smallest\nlargest coefficient", color=TEXT["Adam"], va="center")
plane.text(2.4, 0.62, "all perfect fits", rotation=-26.6, color="0.4", ha="center", va="center")
plane.set(xlabel=r"$\beta_1$", ylabel=r"$\beta_2$", aspect="equal", xlim=(-2, 3.4), ylim=(-2, 2.4),
          title=r"1 sample, 2 parameters: $\beta_1 + 2\,\beta_2 = 4$")

# %% The race: distance from X^+ y
middle = distance | {"SGD": np.median(distance["SGD"], axis=0)}
for name in ("descent", "momentum", "Adam"):
    race.semilogy(t, distance[name], color=COLOR[name])
band(race, t, distance["SGD"], color=COLOR["SGD"])
for bound in bounds.values():
    race.semilogy(t, np.maximum(bound, 1e-17), **THEORY)
for name, height in (("descent", 1e-6), ("SGD", 1e-9), ("momentum", 1e-12)):
    i = np.argmax(middle[name] < height) or PASSES    # where it gets so low, or the end
    race.text(t[i], middle[name][i], name, color=TEXT[name], ha="center", va="center",
              bbox=dict(facecolor="white", edgecolor="none", pad=1))
late = 3 * PASSES // 4
race.text(late, 10 * bounds["SGD"][late], "bound of SGD", ha="left", va="bottom")
race.text(PASSES, distance["Adam"][-1] * 2, "Adam", color=TEXT["Adam"], ha="right", va="bottom")
race.set(xlabel="passes over the data", ylabel=r"distance $\|\beta_t - X^+y\|$",
         ylim=(1e-16, 20), title=f"{N} samples, {P} parameters (bounds dashed)")

# %% The errors on new data, with two standard errors; theory dashed
place = np.arange(len(MATTER) + 1)
new.axhline(floor, **THEORY)
new.text(0, floor - 0.04, r"$X^+y$, theory: $1 - n/p$", color=TEXT["descent"], va="top")
for name, means, errors, away in (("descent", of_shortest, standard_error[0], -0.08),
                                  ("Adam", of_adam, standard_error[1], 0.08)):
    new.errorbar(place + away, means, 2 * errors, fmt=MARKER[name], color=COLOR[name], ms=8,
                 capsize=3)
new.text(0.3, of_adam[0], "Adam", color=TEXT["Adam"], va="center")
new.set(xticks=place, xticklabels=[*map(str, MATTER), "all,\nGaussian"], ylim=(0, None),
        xlabel=f"how many of {P_NEW} features matter equally",
        ylabel=r"error on new data, in units of $\|\beta\|^2$",
        title=f"{N} samples, mean of {SETS} data sets: which fit is better\ndepends on the truth")
demo.finish(figure)
