"""Blocks of similar filters and channels, or one low rank for all: which keeps more at equal work?

MATH5836 week 10, section 10.2.3; Denton et al. 2014, sections 3.1 and 3.4; Tai et al. 2016. The
second convolution of a network for images is approximated in five ways that take equally many
multiplications: after k-means of channels and of filters, blocks of low rank on both sides, or of
outer products; low rank on both sides without groups; the channel SVD; and pairs of a column and a
row. All are trained further for
as long, the full network too. Then the channel SVD is cut once more by two other measures of the
error: weighted by the inputs of the layer, and by the gradients of the likely mistakes.

You will see the accuracy against the work of the layer, as cut and trained further, and the
accuracy as cut by the three measures.

Predict first: with two groups on each side there are four blocks, each with directions of its own.
Is that better or worse than the same work without groups?
"""
# %% Constants
import copy
import warnings
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from _cut import in_blocks
from _networks import as_images, first_filters, load_images, n_pooled, tune
from common import BLUE, GREEN, ORANGE, PURPLE, SKY, start
from panels import curve, reference

from tinyml.compression.biclustering import bicluster, energy_kept, two_sided_svd
from tinyml.compression.channel_blocks import blockwise
from tinyml.compression.low_rank import rank_for_budget
from tinyml.compression.metrics import factorize_conv_by, patch_second_moment, sensitivities
from tinyml.compression.outer_products import outer_product_conv
from tinyml.compression.report import compare, macs
from tinyml.compression.thin_layers import factorize_conv
from tinyml.data import train_test_split
from tinyml.nn import Conv2d, Flatten, Linear, MaxPool2d, ReLU, Sequential
from tinyml.train import accuracy

demo = start(__file__, __doc__, data=("digits", "clothes", "mnist", "fashion-mnist"))
X, y = load_images(demo)
RUNS = 1 if demo.quick else 2                # splits of the images
CHANNELS, FILTERS = (12, 24) if demo.quick else (16, 32)    # of the second convolution
GROUPS = 2                                   # of channels, and of filters
EPOCHS = 4 if demo.quick else 15             # of training
TUNING = 1 if demo.quick else 4              # epochs of further training, of every network
LR, TUNING_LR = 2e-3, 1e-3        # not tuned
SHARES = (0.15, 0.3) if demo.quick else (0.08, 0.15, 0.3, 0.5)    # of the work of the layer
CLAIMED = SHARES.index(0.15)                 # the share of the networks in the table
EQUAL = (0.15, 0.25)                         # work at which the ways are compared
SAMPLES = 100 if demo.quick else 300         # whose mistakes give the gradients
WAYS = ("blocks, both sides", "blocks, outer products", "both sides, no groups", "channel SVD",
        "columns and rows")
MEASURES = "weights", "outputs of the layer", "likely mistakes"
PLACE = 2                                    # of the layer in the network


# %% Networks
def network(rng):
    side = round(X.shape[1] ** 0.5)
    return Sequential(first_filters(side, CHANNELS, rng), ReLU(),
                      Conv2d(CHANNELS, FILTERS, 3, padding=1, rng=rng), ReLU(), MaxPool2d(2),
                      Flatten(), Linear(FILTERS * n_pooled(side), 10, rng=rng))


def with_layer(model, layer):
    """A copy of the network with another layer at the place of the second convolution."""
    rest = copy.deepcopy(model)
    return Sequential(*rest[:PLACE], layer, *rest[PLACE + 1:])


# %% Five ways to take a share of the work
def in_outer_products(layer, share, rng):
    """Like `in_blocks`, with a sum of outer products in each block."""
    n_filters, n_channels, kh, kw = layer.weight.shape
    inputs, outputs = bicluster(layer.weight.data, GROUPS, GROUPS, rng=rng)
    n_in, n_out = inputs.max() + 1, outputs.max() + 1
    of_one_term = n_out * n_channels + n_in * n_out * kh * kw + n_in * n_filters
    n_terms = max(int(share * layer.weight.size / of_one_term), 1)
    return blockwise(layer, inputs, outputs, lambda block: outer_product_conv(block, n_terms))


def channel_rank(layer, share):
    return rank_for_budget(len(layer.weight), layer.weight[0].size, share=share)


def cut(layer, share, rng):
    n_filters, n_channels, kh, kw = layer.weight.shape
    rank = rank_for_budget(n_channels * kh, n_filters * kw, share=share)
    return [in_blocks(layer, share, GROUPS, rng), in_outer_products(layer, share, rng),
            in_blocks(layer, share, 1, rng),
            factorize_conv(layer, channel_rank(layer, share), method="channel"),
            factorize_conv(layer, rank, method="separable")]


# %% The channel SVD by three measures
def cut_by_measures(layer, share, M, alpha):
    """The layer cut by its weights, by the data, and by the mistakes."""
    rank = channel_rank(layer, share)
    return [factorize_conv(layer, rank, method="channel"),
            factorize_conv_by(layer, rank, second_moment=M),
            factorize_conv_by(layer, rank, alpha=alpha)]


def output_error(layer, pair, M):
    """E ||(W - W~) x||^2 over E ||W x||^2."""
    W = layer.weight.data.reshape(len(layer.weight), -1).astype(np.float64)
    V, U = (part.weight.data.reshape(len(part.weight), -1).astype(np.float64) for part in pair)
    off = W - U @ V
    return np.trace(off @ M @ off.T) / np.trace(W @ M @ W.T)


# %% Experiment
class Run(NamedTuple):
    model: Sequential
    test: tuple
    full: float             # accuracy of the full network, trained for as long
    hits: np.ndarray        # accuracy, (shares, ways, cut or trained further)
    work: np.ndarray        # fraction of the work of the layer, (shares, ways)
    by_measure: np.ndarray  # accuracy as cut, (shares, measures)
    errors: np.ndarray      # of the outputs of the layer, (shares, measures)
    blocks: Sequential      # the network of the claims


def run(rng):
    X_train, X_test, y_train, y_test = train_test_split(as_images(X), y, test_size=0.3, rng=rng,
                                                        stratify=y)
    data, test, x = (X_train, y_train), (X_test, y_test), X_test[:1]
    model = tune(network(rng), data, EPOCHS, rng, LR)
    full = accuracy(tune(copy.deepcopy(model), data, TUNING, rng, TUNING_LR), *test)
    layer, channels = model[PLACE], model[:PLACE](x).data
    M = patch_second_moment(model, layer, X_train)
    alpha = sensitivities(model, X_train[:SAMPLES], y_train[:SAMPLES])[f"{PLACE}.weight"]
    hits, work, by_measure, errors, blocks = [], [], [], [], None
    for share in SHARES:
        layers = cut(layer, share, rng)
        models = [with_layer(model, one) for one in layers]
        as_cut = [accuracy(one, *test) for one in models]
        trained = [accuracy(tune(one, data, TUNING, rng, TUNING_LR), *test) for one in models]
        hits.append(np.transpose([as_cut, trained]))
        work.append([macs(one, channels) / macs(layer, channels) for one in layers])
        blocks = models[0] if share == SHARES[CLAIMED] else blocks
        pairs = cut_by_measures(layer, share, M, alpha)
        by_measure.append([accuracy(with_layer(model, pair), *test) for pair in pairs])
        errors.append([output_error(layer, pair, M) for pair in pairs])
    return Run(model, test, full, *map(np.array, (hits, work, by_measure, errors)), blocks)


warnings.filterwarnings("ignore", message="factorize_conv: rank")    # ranks that save little
runs = [run(np.random.default_rng([demo.seed, r])) for r in demo.progress(range(RUNS), "splits")]
full = np.mean([r.full for r in runs])
as_cut, trained = np.mean([r.hits for r in runs], axis=0).transpose(2, 0, 1)    # (shares, ways)
work = np.mean([r.work for r in runs], axis=0)
by_measure = np.mean([r.by_measure for r in runs], axis=0)
errors = np.mean([r.errors for r in runs], axis=0)
demo.record("accuracy, full network trained as long", full)
for i, way in enumerate(WAYS):
    demo.record(f"fraction of the work of the layer, {way}", work[:, i])
    demo.record(f"accuracy as cut, {way}", as_cut[:, i])
    demo.record(f"accuracy trained further, {way}", trained[:, i])
for i, measure in enumerate(MEASURES):
    demo.record(f"accuracy as cut by the {measure}", by_measure[:, i])
    demo.record(f"error of the outputs as cut by the {measure}", errors[:, i])

# %% The energy of the core that is left is the energy of the approximation
off = []
for r in runs:
    W = r.model[PLACE].weight.data.astype(np.float64)
    A, B, K = two_sided_svd(W)
    near = np.einsum("oq,qpij,cp->ocij", B[:, :5], K[:5, :4], A[:, :4])
    off.append(((W - near) ** 2).sum() / (W ** 2).sum() + energy_kept(K)[4, 3] / (W ** 2).sum() - 1)
demo.claim("||W - W~||² = ||W||² - ||K||² for the core that is left (off by)", np.abs(off).max(),
           at_most=1e-10)
demo.claim("no way takes more than its share of the work (largest excess)",
           (work - np.array(SHARES)[:, None]).max(), at_most=1e-9)

# %% At equal work: between two strengths, on the straight line
equal = np.array([[np.interp(EQUAL, work[:, i], hit[:, i]) for i in range(len(WAYS))]
                  for hit in (as_cut, trained)]).mean(axis=2)    # (cut or trained, ways)
for i, way in enumerate(WAYS):
    demo.record(f"at equal work, as cut and trained further, {way}", equal[:, i])
if not demo.quick:    # one split says little about a point
    demo.finding("as cut, the same work without groups is ahead of blocks of low rank (points)",
                 100 * (equal[0, 2] - equal[0, 0]), above=0,
                 why="Blocks win where each group of channels uses directions of its own, as in layers of "
                     "some hundred channels; a block then needs few of them.")
    demo.finding("trained further, the five ways differ by at most (points)",
                 100 * np.ptp(equal[1]), at_most=3,
                 why="Further training finds the few directions that the classes need, from any of "
                     "these starts; where they need more, the start decides.")
    demo.finding("trained further, the best way loses at most (points)",
                 100 * (full - equal[1].max()), at_most=2,
                 why="Classes that are alike need more directions than a fifth of the work leaves.")

demo.reports(compare({"full": runs[0].model, "blocks": runs[0].blocks}, *runs[0].test))

# %% By which measure to cut
demo.claim("by the outputs of the layer, its outputs move least (largest ratio to the others)",
           (errors[:, 1] / errors[:, [0, 2]].min(axis=1)).max(), at_most=1 + 1e-4)
demo.finding("they move far less than cut by the weights (ratio of the squared errors, mean)",
             (errors[:, 1] / errors[:, 0]).mean(), at_most=0.6,
             why="Inputs of a layer vary in few directions, and errors of the weights elsewhere "
                 "change nothing. Where inputs vary alike in all, both cuts are one.")
if not demo.quick:    # one split says little about a point
    demo.finding("but neither measure is ahead of the weights by more than (points of accuracy, mean)",
                 100 * (by_measure[:, 1:] - by_measure[:, :1]).mean(axis=0).max(), at_most=3,
                 why="Where classes differ in the directions in which inputs vary most, outputs that stay "
                     "nearer keep more answers right.")

# %% Figure: as cut and trained further
figure, (before, after, measured) = plt.subplots(1, 3, figsize=(17, 5.2))
low, high = (100 * share for share in EQUAL)
blocks, no_groups, channel = (100 * equal[1, i] for i in (0, 2, 3))
figure.suptitle(f"At {low:.0f} to {high:.0f} % of the work of the layer, blocks of low rank are right on "
                f"{blocks:.1f} %, without groups {no_groups:.1f} %, the channel SVD {channel:.1f} % "
                f"(full: {100 * full:.1f} %)")
STYLES = (BLUE, "o"), (SKY, "v"), (PURPLE, "D"), (ORANGE, "s"), (GREEN, "^")
for i, (way, (color, marker)) in enumerate(zip(WAYS, STYLES)):
    for ax, hit in ((before, as_cut), (after, trained)):
        curve(ax, 100 * work[:, i], 100 * hit[:, i], color=color, marker=marker, label=way)
for ax, title in ((before, "As cut"), (after, "Trained further")):
    reference(ax, 100 * full, "full")
    ax.set(xlabel="work of the layer in %", ylabel="test accuracy in %", title=title)
    ax.legend(loc="lower right", fontsize=10)

# %% The channel SVD by three measures
for i, (measure, (color, marker)) in enumerate(zip(MEASURES, STYLES[3:] + STYLES[:1])):
    curve(measured, 100 * work[:, 3], 100 * by_measure[:, i], color=color, marker=marker,
          label=f"by the {measure}")
reference(measured, 100 * full, "full")
measured.set(xlabel="work of the layer in %", ylabel="test accuracy in %",
             title="Channel SVD as cut, by three measures")
measured.legend(loc="lower right", fontsize=10)
demo.finish(figure)
