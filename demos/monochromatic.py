"""Do the filters of a first layer need all colours of an image?

MATH5836 week 10, section 10.2.3; Denton et al. 2014, section 3.3. A convolutional network learns to
read images in red ink, over each of which another image is printed in blue. So it must tell colours
apart. Then the filters of its first layer share a few colours, and each filter reads only one. The
opponents are the channel SVD, whose few channels all filters share, and Tai's pairs of a column and
a row. All networks are trained further for as long, the full one too.

The images are gray ones in inks of our choice. Photographs have more colours, and a network for
them more filters.

You will see how much of the filters a few colours keep; the accuracy against the work of the first
layer; and the colours themselves.

Predict first: with a single colour the network sees all images in one gray. How many colours does
it need to tell red from blue?
"""
# %% Constants
import copy
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from _networks import as_images, first_filters, in_two_inks, load_images, n_pooled, tune
from common import BLUE, GREEN, ORANGE, VERMILLION, start
from panels import curve, reference

from tinyml.compression.monochromatic import (
    gray_filters,
    monochromatic_conv,
    monochromatic_work,
    shared_colors,
)
from tinyml.compression.report import compare, macs
from tinyml.compression.thin_layers import factorize_conv
from tinyml.data import train_test_split
from tinyml.nn import Conv2d, Flatten, Linear, MaxPool2d, ReLU, Sequential
from tinyml.train import accuracy

demo = start(__file__, __doc__, data=("digits", "clothes", "mnist", "fashion-mnist"))
X, y = load_images(demo)
RUNS = 1 if demo.quick else 2                # splits of the images, with their colours
FILTERS, SECOND = 24, 32                     # of the two convolutions
EPOCHS = 4 if demo.quick else 15             # of training
TUNING = 1 if demo.quick else 4              # epochs of further training, of every network
LR, TUNING_LR = 3e-3, 1e-3        # not tuned
COLORS = (1, 2, 4) if demo.quick else (1, 2, 4, 8)    # shared by the filters
RANKS = {"channel": (4, 5) if demo.quick else (3, 4, 5), "separable": (2, 4)}
CLAIMED = COLORS.index(4)                    # the number of the claims
WAYS = "few colours", "channel SVD", "columns and rows"


# %% Networks
def network(rng):
    side = round(X.shape[1] ** 0.5)
    return Sequential(first_filters(side, FILTERS, rng, colors=3), ReLU(),
                      Conv2d(FILTERS, SECOND, 3, padding=1, rng=rng), ReLU(), MaxPool2d(2),
                      Flatten(), Linear(SECOND * n_pooled(side), 10, rng=rng))


# %% Three ways to make the first layer cheaper, each at several strengths
def cut(layer, rng):
    ranks = {method: [factorize_conv(layer, rank, method=method) for rank in of_method]
             for method, of_method in RANKS.items()}
    few = [monochromatic_conv(layer, n_colors, rng=rng) for n_colors in COLORS]
    return dict(zip(WAYS, (few, ranks["channel"], ranks["separable"])))


def lost(W, n_colors, rng):
    """The fraction of the squared weights that so many colours lose."""
    codes, colors = shared_colors(W, n_colors, rng=rng)
    u = colors[codes]
    near = u[:, :, None, None] * gray_filters(W, u)[:, None]
    return ((W - near) ** 2).sum() / (W ** 2).sum()


# %% Experiment
class Run(NamedTuple):
    model: Sequential
    test: tuple
    full: float           # accuracy of the full network, trained for as long
    hits: dict            # way: accuracy, (strengths, cut or trained further)
    work: dict            # way: fraction of the work of the first layer, (strengths,)
    error: list           # fraction of the squared weights that is lost, by number of colours
    smaller: Sequential   # the network of the claims


def run(rng):
    images = in_two_inks(as_images(X), rng)
    X_train, X_test, y_train, y_test = train_test_split(images, y, test_size=0.3, rng=rng,
                                                        stratify=y)
    data, test, x = (X_train, y_train), (X_test, y_test), X_test[:1]
    model = tune(network(rng), data, EPOCHS, rng, LR)
    full = accuracy(tune(copy.deepcopy(model), data, TUNING, rng, TUNING_LR), *test)
    first, rest = model[0], model[1:]
    hits, work, models = {}, {}, {}
    for way, layers in cut(first, rng).items():
        models[way] = [Sequential(layer, *copy.deepcopy(rest)) for layer in layers]
        as_cut = [accuracy(one, *test) for one in models[way]]
        trained = [accuracy(tune(one, data, TUNING, rng, TUNING_LR), *test)
                   for one in models[way]]
        hits[way] = np.transpose([as_cut, trained])
        work[way] = np.array([macs(layer, x) / macs(first, x) for layer in layers])
    error = [lost(first.weight.data.astype(np.float64), n, rng) for n in COLORS]
    return Run(model, test, full, hits, work, error, models[WAYS[0]][CLAIMED])


runs = [run(np.random.default_rng([demo.seed, r])) for r in demo.progress(range(RUNS), "splits")]
full = np.mean([r.full for r in runs])
hits = {way: np.mean([r.hits[way] for r in runs], axis=0) for way in WAYS}    # (strengths, 2)
work = {way: np.mean([r.work[way] for r in runs], axis=0) for way in WAYS}
error = np.mean([r.error for r in runs], axis=0)
demo.record("numbers of colours", COLORS)
demo.record("accuracy, full network trained as long", full)
for way in WAYS:
    demo.record(f"{way}: fraction of the work of the first layer", work[way])
    demo.record(f"{way}: accuracy as cut", hits[way][:, 0])
    demo.record(f"{way}: accuracy trained further", hits[way][:, 1])
demo.record("fraction of the squared weights lost, by colours", error)

# %% A filter of one colour is a filter of rank one
own, tails = [], []
for r in runs:
    W = r.model[0].weight.data.astype(np.float64)
    s = np.linalg.svd(W.reshape(FILTERS, 3, -1), compute_uv=False)
    tails.append((s[:, 1:] ** 2).sum() / (s ** 2).sum())
    own.append(lost(W, FILTERS, demo.rng))
demo.record("fraction of the squared weights lost, a colour for each filter", np.mean(own))
demo.claim("a colour for each filter leaves the squares of all singular values but the first (off by)",
           np.abs(np.subtract(own, tails)).max(), at_most=1e-10)
demo.finding("four colours for all filters lose at most (times what a colour for each loses)",
             error[CLAIMED] / np.mean(own), at_most=1.2,
             why="The images have two inks, and few mixtures of channels tell them apart. "
                 "Photographs have more colours.")

# %% The work, and the accuracy at equal work: between two ranks, on the straight line
of_formula = [monochromatic_work(runs[0].model[0], n) for n in COLORS]
demo.claim("the work is that of the formula (largest ratio - 1)",
           np.abs(work[WAYS[0]] / of_formula - 1).max(), at_most=0.2)


def ahead(stage):
    """Points of accuracy of the channel SVD over the claimed colours, at equal work."""
    few, channel = WAYS[:2]
    at = work[few][CLAIMED]
    other = np.interp(at, work[channel], hits[channel][:, stage])
    return 100 * (other - hits[few][CLAIMED, stage])


if not demo.quick:    # one split says little about a point
    demo.finding("as cut, the channel SVD is ahead of four colours at equal work (points)", ahead(0),
                 above=0,
                 why="Where filters differ much from one another, the few directions that the SVD shares "
                     "among them lose more than a colour for each.")
    demo.finding("trained further, it is ahead by at most (points)", ahead(1), at_most=2,
                 why="Further training makes up for the cut, from any start; where more of the "
                     "accuracy is lost, the start decides.")
    demo.finding("trained further, four colours lose at most (points)",
                 100 * (full - hits[WAYS[0]][CLAIMED, 1]), at_most=2,
                 why="Two inks need few colours. Where colours tell many things apart, four are too "
                     "few.")
    demo.finding("as cut, four colours are better than one by at most (points)",
                 100 * (hits[WAYS[0]][CLAIMED, 0] - hits[WAYS[0]][0, 0]), at_most=3,
                 why="Blue ink is as bright as paper in the blue of the image, so a mixture near blue "
                     "shows the red ink alone. Where both inks are needed, one gray is not enough.")
demo.reports(compare({"full": runs[0].model, f"{COLORS[CLAIMED]} colours": runs[0].smaller},
                     *runs[0].test))

# %% Figure: what the filters lose
figure, (share, hit, seen) = plt.subplots(1, 3, figsize=(17, 5.2))
figure.suptitle(f"With {COLORS[CLAIMED]} colours the first layer has "
                f"{100 * work[WAYS[0]][CLAIMED]:.0f} % of its work, and the network is right on "
                f"{100 * hits[WAYS[0]][CLAIMED, 1]:.1f} % (full: {100 * full:.1f} %)")
curve(share, COLORS, 100 * error, color=BLUE, marker="o", label="shared colours")
reference(share, 100 * np.mean(own), "")
share.annotate("a colour for each filter", (COLORS[0], 100 * np.mean(own)), (0, -14),
               textcoords="offset points", fontsize=10, color="0.3")
share.set(xlabel="number of colours", ylabel="squared weights lost in %",
          ylim=(0, 110 * error.max()),
          title=f"{FILTERS} filters in few colours")
share.set_xticks(COLORS, COLORS)

# %% Accuracy against work
for way, color, marker in zip(WAYS, (BLUE, ORANGE, GREEN), "os^"):
    at = 100 * work[way]
    curve(hit, at, 100 * hits[way][:, 1], color=color, marker=marker, label=way)
    curve(hit, at, 100 * hits[way][:, 0], color=color, marker=marker, linestyle=":", mfc="white")
reference(hit, 100 * full, "full")
hit.set(xlabel="work of the first layer in %", ylabel="test accuracy in %",
        title="Trained further; dotted: as cut")
hit.legend(loc="lower right", fontsize=10)

# %% The colours of the filters of one network
codes, colors = shared_colors(runs[0].model[0].weight.data, COLORS[CLAIMED], rng=demo.rng)
largest = np.abs(colors).argmax(axis=1)
colors = colors * np.sign(colors[np.arange(len(colors)), largest])[:, None]
for channel, (name, color) in enumerate(zip(("red", "green", "blue"), (VERMILLION, GREEN, BLUE))):
    place = np.arange(len(colors)) + 0.25 * (channel - 1)
    seen.bar(place, colors[:, channel], 0.25, color=color, label=name)
seen.axhline(0, color="0.3", linewidth=1)
seen.set(ylabel="weight in the mixture", title="The colours that the filters share")
seen.set_xticks(np.arange(len(colors)), [f"{n} filters" for n in np.bincount(codes)])
seen.legend(fontsize=10)
demo.finish(figure)
