"""Why is the mean of twenty trees that all fit wrong labels better than any tree that does not?

One regression tree with more and more leaves, and then more and more trees: the double descent of
Belkin, Hsu, Ma and Mandal 2019 in random forests (figure 10.2(b) of MATH5836 week 10), here on
1,000 handwritten digits. A fifth of the training labels is wrong; every tree is grown on all of
them.

You will see the test error fall, rise to a peak where one tree fits every training label, and
fall again as trees are averaged, far below the first minimum, while the training error stays 0.
The last panel separates leaves from trees (after Curth, Jeffares and van der Schaar 2023, A U-turn
on double descent): the model grows in two ways, and the second descent comes from more trees. The
trees differ because each cut may use a few features, drawn at random. Two points show forests with
one other kind of chance each: in the thresholds (Geurts, Ernst and Wehenkel 2006), or in the
samples (Breiman 1996, Bagging predictors).

With --data the same trees are grown on other data. That their mean is better than one of them is
true of all data: the squared distance is convex. How much better is not. Where the best tree of
few leaves already has most of what can be known, as in a table of measurements that all say the
same, there is little variance to average away, and the second descent ends near the first.

Predict first: with twenty trees, is it still best to grow each of them until it fits every label?
"""
# %% Constants
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from common import BLUE, GREEN, ORANGE, start
from panels import curve

from tinyml.data import flip_labels, one_hot
from tinyml.interpolation.forest import RandomForest
from tinyml.sweep import sweep

demo = start(__file__, __doc__, data=("digits", "clothes", "mnist", "fashion-mnist", "diabetes",
                                      "breast-cancer"))
X, y = demo.load()
CLASSES = None if demo.data == "diabetes" else int(y.max()) + 1    # None: y is a number
N_SAMPLES = min(300 if demo.quick else 1000, round(0.55 * len(X)))    # n, training rows
N_TEST = 797                               # rows, at most
DRAWS = 2 if demo.quick else 5             # of training rows, wrong labels and trees
NOISE = 0.2                                # share of wrong training labels
TREES = 20                                 # the largest forest
FEATURES = round(X.shape[1] ** 0.5)        # tried at every cut: 8 of the 64 pixels of a digit
SHARES = [0.002, 0.005, 0.01, 0.02, 0.03, 0.04, 0.06, 0.08, 0.1, 0.12, 0.15, 0.2, 0.25, 0.3, 0.35,
          0.4, 0.5, 1]
LEAVES = sorted({max(2, round(share * N_SAMPLES)) for share in SHARES})    # of a tree, at most


# %% Data: random training rows, a fifth of them with a wrong label, and test rows
def draw(n, rng):
    order = rng.permutation(len(X))
    train, test = order[:n], order[n:][-N_TEST:]
    if CLASSES is None:
        Y = ((y - y[train].mean()) / y[train].std())[:, None]
        return X[train], Y[train], X[test], Y[test]
    label = flip_labels(y[train], CLASSES, fraction=NOISE, rng=rng)
    return X[train], one_hot(label, CLASSES), X[test], one_hot(y[test], CLASSES)


# %% Score: squared distance to the target, and share of wrong answers
def score(output, Y):
    """Loss and error, each the mean over the rows; `output` has shape (..., rows, classes)."""
    loss = np.sum((output - Y) ** 2, axis=-1).mean(axis=-1)
    if CLASSES is None:
        return np.array([loss, np.full_like(loss, np.nan)])    # a number is not right or wrong
    wrong = output.argmax(axis=-1) != Y.argmax(axis=-1)    # on a tie the first class is the answer
    return np.array([loss, wrong.mean(axis=-1)])


# %% A fully grown tree holds all smaller ones, and a forest holds all forests of fewer trees
def score_all(trees, X, Y):
    """Loss and error of the mean of the first 1, 2, ... trees, for every number of leaves."""
    alone = np.array([[tree.predict(X, max_leaf_nodes=b) for b in LEAVES] for tree in trees])
    number = np.arange(1, TREES + 1)[:, None, None, None]
    scores = score(alone.cumsum(axis=0) / number, Y)      # (2, TREES, len(LEAVES))
    scores[:, 0] = score(alone, Y).mean(axis=1)           # one tree: the average over all of them
    return scores


# %% Experiment: one forest for every draw, all sizes of it
class Grid(NamedTuple):
    """Arrays of shape (TREES, len(LEAVES)), row t for t + 1 trees; for all draws (DRAWS, ...)."""

    train_loss: np.ndarray
    train_error: np.ndarray
    test_loss: np.ndarray
    test_error: np.ndarray


def measure(n, rng):
    X, Y, X_test, Y_test = draw(n, rng)
    forest = RandomForest(TREES, max_features=FEATURES, rng=rng).fit(X, Y)
    return Grid(*score_all(forest.trees, X, Y), *score_all(forest.trees, X_test, Y_test))


results = sweep(measure, [N_SAMPLES], repeats=DRAWS, seed=demo.seed, label="draws")[:, 0]
grids = Grid(*results.swapaxes(0, 1))
middle = Grid(*np.median(grids, axis=1))

demo.record("leaves of a tree, at most", LEAVES)
for name, grid in middle._asdict().items():
    demo.record(f"{name.replace('_', ' ')}, one tree", grid[0])
    demo.record(f"{name.replace('_', ' ')}, 1 to {TREES} full trees", grid[:, -1])

# %% Which curves there are: for a regression no errors
WORDS = {"test loss": middle.test_loss} if CLASSES is None else {
    "test loss": middle.test_loss, "test error": middle.test_error}

# %% Full trees fit every label, the wrong ones too, and so does every mean of them
leaves, number = np.array(LEAVES), np.arange(1, TREES + 1)
fits = leaves[middle.train_loss[0] == 0].min()    # from so many leaves on

demo.record("a tree fits every label from (leaves, at most)", fits)
demo.claim("a full tree, and every mean of full trees, fits all labels (train loss, largest)",
           grids.train_loss[:, :, -1].max(), at_most=1e-28)    # rounding, squared
demo.claim("a tree of fewer leaves does not (train loss, smallest)",
           middle.train_loss[0, leaves < fits].min(), above=0)


# %% One axis as in figure 10.2(b): one tree with more leaves, then more full trees
def path(grid):
    return np.concatenate([grid[..., 0, :], grid[..., 1:, -1]], axis=-1)


full = len(leaves) - 1    # the place of one full tree on the path
best = {}                 # of one smaller tree
SMALL = "Where one cut tells most of what can be known, a tree of two leaves is near the best tree."
FLAT = "Where neighbours have one label, a tree that fits every row is hardly worse than a small one."
MEAN = ("A mean of trees removes their variance, not their bias: where small trees do well, there is "
        "little variance to remove.")
for words, grid in WORDS.items():
    values = path(grid)
    best[words] = values[:full].min()
    demo.finding(f"the {words} falls first (best tree before the full one / tree of 2 leaves)",
                 best[words] / values[0], below=0.8, why=SMALL)
    demo.finding(f"the {words} then rises (full tree / best before it)",
                 values[full] / best[words], above=1.05, why=FLAT)
    demo.finding(f"the {words} falls again, and further ({TREES} full trees / best one before)",
                 values[-1] / best[words], below=0.8, why=MEAN)
loss = path(middle.test_loss)
demo.finding("past its first minimum the test loss is largest at one full tree (largest / there)",
             loss[loss[:full].argmin():].max() / loss[full], at_most=1,
             why="Where the loss is nearly flat in the number of leaves, chance decides where it is "
                 "largest.")


# %% The second descent is that of a mean of independent draws, L_inf + (L_1 - L_inf) / trees
# Given the data, the trees are independent draws from one distribution: the bias of their mean
# does not change, and its variance falls like 1 / trees.
def expected_loss(loss):
    """The expected loss of 1, 2, ... trees, from the loss of one and the loss of all."""
    L_inf = (TREES * loss[-1] - loss[0]) / (TREES - 1)    # so that it is right for all trees
    return L_inf + (loss[0] - L_inf) / number


mean_loss = grids.test_loss[:, :, -1].mean(axis=0)    # of full trees, over the draws
demo.finding("the second fall is that of a mean of independent draws (|loss / theory - 1|, largest)",
             np.abs(mean_loss / expected_loss(mean_loss) - 1).max(), below=0.1,
             why="The formula is for the mean over all choices of trees. These are a few "
                 "trees of one forest, and where the loss is small, chance is a larger part of it.")

# %% Leaves and trees apart: more trees always help, by convexity; more leaves do not
demo.claim(f"whatever the leaves, {TREES} trees are as good as one (test loss, ratio, largest)",
           (middle.test_loss[-1] / middle.test_loss[0]).max(), at_most=1)
words = "test loss" if CLASSES is None else "test error"
demo.finding(f"{TREES} full trees are worse than {TREES} smaller ones ({words}, full / best)",
             WORDS[words][-1, -1] / WORDS[words][-1].min(), above=1.05,
             why="The mean of enough trees forgets the wrong labels that each of them fits, unless "
                 "they all agree on one, as they do where a row has few neighbours.")


# %% One kind of chance at a time: what else could make the trees differ?
# Trees on bootstrap samples do not fit all labels. So this asks, too, whether it is the fit that helps.
CHANCE = {"features": dict(max_features=FEATURES), "thresholds": dict(splitter="random"),
          "samples": dict(bootstrap=True)}


def by_chance(n, rng):
    """Train loss, test loss and test error of a forest, for every kind of chance."""
    X, Y, X_test, Y_test = draw(n, rng)
    forests = [RandomForest(TREES, **how, rng=rng).fit(X, Y) for how in CHANCE.values()]
    return [[score(forest.predict(X), Y)[0], *score(forest.predict(X_test), Y_test)]
            for forest in forests]


apart = sweep(by_chance, [N_SAMPLES], repeats=min(3, DRAWS), seed=demo.seed, label="kinds of chance")[:, 0]
chance = dict(zip(CHANCE, np.median(apart, axis=0)))
chance_loss = {name: loss for name, (_, loss, _) in chance.items()}
for name, numbers in chance.items():
    demo.record(f"{TREES} full trees that differ in their {name}: train loss, test loss, test error", numbers)
demo.claim("full trees with random thresholds fit all labels, and so does their mean (train loss, largest)",
           apart[:, list(CHANCE).index("thresholds"), 0].max(), at_most=1e-28)
demo.finding(f"{TREES} full trees on bootstrap samples do not fit all labels (train loss)",
             chance["samples"][0], above=0.01,
             why="Where neighbours have one label, a tree is right about rows that it never saw.")
demo.finding(f"whatever makes them differ, {TREES} full trees are better than any one tree (test "
             "loss, largest ratio to the best)", max(chance_loss.values()) / best["test loss"],
             below=0.9, why=MEAN)
demo.finding("one kind of chance is about as good as another (test loss, worst / best)",
             max(chance_loss.values()) / min(chance_loss.values()), below=1.25,
             why="The less the trees agree, the more a mean of them helps: where a few features tell most, "
                 "trees that may use all of them stay alike.")

# %% Figure: the path through leaves and trees
headline = path(WORDS[words])
size = np.concatenate([leaves, N_SAMPLES * number[1:]])
theory = np.append(np.full(full, np.nan), expected_loss(middle.test_loss[:, -1]))
panels = [("test loss", grids.train_loss, grids.test_loss, theory,
           "Loss; dashed: $L_\\infty + (L_1 - L_\\infty)$ / trees", "squared distance to target, mean")]
if CLASSES is not None:
    panels += [("test error", grids.train_error, grids.test_error, None, "Error",
                "share of wrong answers")]
ticks = {2: "2/1", 10: "10/1", 100: "100/1"} | {N_SAMPLES * t: f"{N_SAMPLES}/{t}"
                                                for t in (1, 5, TREES)}
figure, (*folded, unfolded) = plt.subplots(1, len(panels) + 1, figsize=(14.5, 5.2),
                                           width_ratios=[1] * len(panels) + [0.9])
figure.suptitle(f"{demo.data}, {words} of trees that fit every label: one {headline[full]:.2g}, the "
                f"mean of {TREES} {headline[-1]:.2g}; the best smaller tree {best[words]:.2g}")
for ax, (_, train, test, exact, title, unit) in zip(folded, panels):
    curve(ax, size, path(train), "train", color="0.5", linestyle="-.")
    curve(ax, size, path(test), "test", theory=exact, color=BLUE)
    top = 1.1 * np.max(np.percentile(path(test), 90, axis=0))
    ax.axvline(N_SAMPLES, color="0.6", linestyle=":", linewidth=1.5)
    ax.text(0.85 * N_SAMPLES, 0.98 * top, "more leaves", color="0.35", ha="right", va="top")
    ax.text(1.15 * N_SAMPLES, 0.98 * top, "more trees", color="0.35", va="top")
    ax.set(title=title, xscale="log", ylabel=unit, ylim=(-0.02 * top, top),
           xlabel="leaves of a tree, at most / trees")
    ax.set_xticks(list(ticks), ticks.values(), rotation=30)
    ax.minorticks_off()

# %% ... and forests whose trees differ by another kind of chance
for name, marker, color in (("thresholds", "s", ORANGE), ("samples", "D", GREEN)):
    _, *scores = chance[name]
    for ax, value in zip(folded, scores):
        ax.plot(size[-1], value, marker, color=color, label=f"their {name}")
folded[0].legend(loc="lower left", title=f"{TREES} trees that differ in")

# %% Leaves and trees apart
by_trees = grids.test_loss if CLASSES is None else grids.test_error
for trees, color, style in ((1, BLUE, "-"), (3, ORANGE, "-."), (TREES, GREEN, "--")):
    curve(unfolded, leaves, by_trees[:, trees - 1], f"{trees} tree{'s' * (trees > 1)}",
          color=color, linestyle=style)
unfolded.axvline(fits, color="0.6", linestyle=":", linewidth=1.5)
unfolded.text(0.9 * fits, 0.97, "one tree fits\nevery label", color="0.35", ha="right", va="top",
              transform=unfolded.get_xaxis_transform())
unfolded.set(title=f"The same trees: {words}", xscale="log", ylim=(0, None),
             xlabel="leaves of a tree, at most", ylabel=panels[-1][-1])
unfolded.set_xticks([2, 10, 100, N_SAMPLES], ["2", "10", "100", f"{N_SAMPLES}"])
unfolded.minorticks_off()
demo.finish(figure)
