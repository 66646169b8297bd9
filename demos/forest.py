"""Why is the mean of twenty trees that all fit wrong labels better than any tree that does not?

One regression tree with more and more leaves, and then more and more trees: the double descent of
Belkin, Hsu, Ma and Mandal 2019 in random forests (figure 10.2(b) of MATH5836 week 10), here on
1,000 handwritten digits. A fifth of the training labels is wrong; every tree is grown on all of
them.

You will see the test error fall, rise to a peak where one tree fits every training label, and fall
again as trees are averaged, far below the first minimum, while the training error stays 0. The last
picture unfolds that axis (after Curth, Jeffares and van der Schaar 2023, A U-turn on double
descent): leaves and trees are two ways to grow, and the second descent belongs to the trees.

Predict first: with twenty trees, is it still best to grow each of them until it fits every label?
"""
# %% Constants
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from common import BLUE, GREEN, ORANGE, VERMILLION, band, label_line, start

from tinyml.data import digits, flip_labels, one_hot
from tinyml.interpolation.forest import RandomForest
from tinyml.sweep import sweep

demo = start(__file__, __doc__)
N_SAMPLES = 300 if demo.quick else 1000    # n, training images
N_TEST = 797
DRAWS = 2 if demo.quick else 5             # of training images, wrong labels and trees
NOISE = 0.2                                # share of wrong training labels
TREES = 20                                 # the largest forest
FEATURES = 8                               # of the 64 pixels, tried at every cut
SHARES = [0.002, 0.005, 0.01, 0.02, 0.03, 0.04, 0.06, 0.08, 0.1, 0.12, 0.15, 0.2, 0.25, 0.3, 0.35,
          0.4, 0.5, 1]
BUDGETS = sorted({max(2, round(share * N_SAMPLES)) for share in SHARES})    # of leaves in a tree


# %% Experiment: one draw, and every number of trees 1..TREES with every budget of leaves
class Grid(NamedTuple):
    """What one draw measures: arrays of shape (TREES, len(BUDGETS)), row t for t + 1 trees."""

    test_loss: np.ndarray      # ||f(x) - one-hot y||^2, mean over the images
    test_error: np.ndarray     # share of wrong answers; on a tie the smaller digit is the answer
    train_loss: np.ndarray
    train_error: np.ndarray
    theory: np.ndarray         # what `expected_loss` makes of the test loss


def draw(n, rng):
    """Training images and their labels, a fifth of them wrong; test images and their labels."""
    X, y = digits()
    order = rng.permutation(len(X))
    train, test = order[:n], order[-N_TEST:]
    return X[train], flip_labels(y[train], 10, fraction=NOISE, rng=rng), X[test], y[test]


def measure(n, rng):
    X, label, X_test, y_test = draw(n, rng)
    forest = RandomForest(TREES, max_features=FEATURES, rng=rng).fit(X, one_hot(label, 10))
    test_loss, test_error = scores(forest.trees, X_test, y_test)
    train_loss, train_error = scores(forest.trees, X, label)
    return Grid(test_loss, test_error, train_loss, train_error, expected_loss(test_loss))


def bootstrap(n, rng):
    """The same draw, but each full tree on n rows with replacement: train loss, test loss, test error."""
    X, label, X_test, y_test = draw(n, rng)
    forest = RandomForest(TREES, max_features=FEATURES, bootstrap=True, rng=rng).fit(X, one_hot(label, 10))
    output, fitted = forest.predict(X_test), forest.predict(X)
    return (((fitted - one_hot(label, 10)) ** 2).sum(axis=1).mean(),
            ((output - one_hot(y_test, 10)) ** 2).sum(axis=1).mean(), (output.argmax(axis=1) != y_test).mean())


def scores(trees, X, y):
    """Loss and error of the mean of 1, 2, ... trees, cut back to every budget of leaves.

    Row 0, one tree, is the average over all the trees; the others are means of the first ones.
    """
    alone = np.array([[tree.predict(X, max_leaf_nodes=b) for b in BUDGETS] for tree in trees])
    means = alone.cumsum(axis=0) / np.arange(1, TREES + 1)[:, None, None, None]
    for score in (lambda f: ((f - one_hot(y, 10)) ** 2).sum(axis=-1),    # f: (..., images, 10)
                  lambda f: f.argmax(axis=-1) != y):
        grid = score(means).mean(axis=-1)
        grid[0] = score(alone).mean(axis=(0, -1))
        yield grid


def expected_loss(loss):
    """L_inf + (L_1 - L_inf) / T for T = 1, 2, ... trees, from the loss of one and the loss of all.

    Given the data, the trees are independent draws from one distribution, so the variance of their
    mean falls like 1 / T, and its bias does not change. L_inf is the mean of infinitely many.
    """
    L_inf = (TREES * loss[-1] - loss[0]) / (TREES - 1)    # what makes it right at T = TREES
    return L_inf + (loss[0] - L_inf) / np.arange(1, TREES + 1)[:, None]


results = sweep(measure, [N_SAMPLES], repeats=DRAWS, seed=demo.seed, label="draws")[:, 0]
grids = Grid(*results.swapaxes(0, 1))    # (DRAWS, TREES, len(BUDGETS)) each
bagged = np.median(sweep(bootstrap, [N_SAMPLES], repeats=DRAWS, seed=demo.seed, label="bootstraps")[:, 0], axis=0)


# %% Figure: one tree with more leaves, then more full trees, on one axis; and the same, unfolded
def folded(grid):
    """The path of figure 10.2(b) through a grid, shape (..., TREES, len(BUDGETS))."""
    return np.concatenate([grid[..., 0, :], grid[..., 1:, -1]], axis=-1)


middle = Grid(*np.median(grids, axis=1))
leaves, number = np.array(BUDGETS), np.arange(1, TREES + 1)
path = np.concatenate([leaves, N_SAMPLES * number[1:]])
full = len(leaves) - 1                              # the place of the full tree on the path
fitted = leaves[middle.train_loss[0] == 0].min()    # budget from which a tree interpolates
loss, error = folded(middle.test_loss), folded(middle.test_error)
figure, axes = plt.subplots(1, 3, figsize=(14.5, 5.2), width_ratios=[1, 1, 0.9])
for ax, name, unit in zip(axes, ("loss", "error"), ("squared distance to one-hot, mean",
                                                    "share of wrong answers")):
    train = band(ax, path, folded(getattr(grids, f"train_{name}")), color="0.5", linestyle="-.")
    test = band(ax, path, folded(getattr(grids, f"test_{name}")), color=BLUE)
    ax.axvline(N_SAMPLES, color="0.6", linestyle=":", linewidth=1.5)
    ax.text(0.85 * N_SAMPLES, 1.1, "more leaves", color="0.35", ha="right", va="top")
    ax.text(1.15 * N_SAMPLES, 1.1, "more trees", color="0.35", va="top")
    ticks = [(b, 1) for b in (2, 10, 100)] + [(N_SAMPLES, t) for t in (1, 5, TREES)]
    ax.set(title=f"Test {name}", xscale="log", ylabel=unit, ylim=(-0.02, 1.12),
           xlabel="leaves of a tree, at most / trees")
    ax.set_xticks([b * t for b, t in ticks], [f"{b}/{t}" for b, t in ticks], rotation=30)
    ax.minorticks_off()
    label_line(ax, test, "test")
    label_line(ax, train, "train")
axes[0].plot(N_SAMPLES * number, middle.theory[:, -1], color=VERMILLION, linestyle="--", zorder=3)
axes[0].text(0.98, 0.06, "dashed:\n$L_\\infty + (L_1 - L_\\infty)$ / trees", color="#8A3D00",
             ha="right", transform=axes[0].transAxes,
             bbox={"facecolor": "white", "linewidth": 0, "pad": 1})
for trees, colour, style in ((1, BLUE, "-"), (3, ORANGE, "-."), (TREES, GREEN, "--")):
    line = band(axes[2], leaves, grids.test_error[:, trees - 1], color=colour, linestyle=style)
    label_line(axes[2], line, f"{trees} tree{'s' * (trees > 1)}")
axes[2].axvline(fitted, color="0.6", linestyle=":", linewidth=1.5)
axes[2].text(0.9 * fitted, 0.8, "one tree fits\nevery label", color="0.35", ha="right", va="top")
axes[2].set(title="The same trees, unfolded: test error", xscale="log", ylim=(0, None),
            xlabel="leaves of a tree, at most", ylabel="share of wrong answers")
ticks = [2, 10, 100, N_SAMPLES]
axes[2].set_xticks(ticks, map(str, ticks))
axes[2].minorticks_off()
wrong, at_peak, at_end, at_best = (
    f"{100 * share:.0f} %" for share in (NOISE, error[full], error[-1], error[:full].min()))
figure.suptitle(f"Fitting {wrong} wrong labels, one tree errs on {at_peak} of new digits, the mean "
                f"of {TREES} on {at_end}: no smaller tree is below {at_best}")

# %% Claims
demo.record("leaves of a tree, at most", leaves)
demo.record("a tree fits every label from (leaves, at most)", fitted)
for name, grid in middle._asdict().items():
    demo.record(f"{name.replace('_', ' ')}, one tree", grid[0])
    demo.record(f"{name.replace('_', ' ')}, 1 to {TREES} full trees", grid[:, -1])
demo.record(f"{TREES} full trees on bootstraps: train loss, test loss, test error", bagged)
demo.claim("a full tree, and every mean of full trees, fits all labels (train loss, largest)",
           grids.train_loss[:, :, -1].max(), at_most=1e-28)    # rounding, squared
demo.claim("a tree of fewer leaves does not (train loss, smallest)",
           middle.train_loss[0, leaves < fitted].min(), above=0)
for name, curve in (("loss", loss), ("error", error)):
    best = curve[:full].min()
    demo.claim(f"the test {name} falls first (best tree before the full one / tree of 2 leaves)",
               best / curve[0], below=0.8)
    demo.claim(f"the test {name} then rises (full tree / best before it)", curve[full] / best,
               above=1.05)
    demo.claim(f"the test {name} falls again, and further ({TREES} full trees / best one before)",
               curve[-1] / best, below=0.8)
demo.claim("past its first minimum the test loss is largest at one full tree (largest / there)",
           loss[loss[:full].argmin():].max() / loss[full], at_most=1)
demo.claim("the second fall is that of a mean of independent draws (|loss / theory - 1|, largest)",
           np.abs(grids.test_loss.mean(axis=0) / grids.theory.mean(axis=0) - 1)[:, -1].max(),
           below=0.1)
demo.claim(f"whatever the leaves, {TREES} trees are better than one (test loss, ratio, largest)",
           (middle.test_loss[-1] / middle.test_loss[0]).max(), below=1)
demo.claim(f"but {TREES} full trees are worse than {TREES} smaller ones (test error, full / best)",
           middle.test_error[-1, -1] / middle.test_error[-1].min(), above=1.05)
demo.claim(f"{TREES} full trees on bootstraps do not fit all labels (train loss)", bagged[0], above=0.01)
demo.claim("yet they too are better than any one tree (test loss, ratio to the best)",
           bagged[1] / loss[:full].min(), below=0.8)
demo.finish(figure)
