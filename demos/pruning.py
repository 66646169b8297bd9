"""How many of a network's weights are needed, and does it matter which are left?

MATH5836 week 10, section 10.2.1; Han, Pool, Tran and Dally 2015; Zhu and Gupta 2017. A network for
images loses weights: the smallest of all layers, the smallest of each layer, or random ones; in
one cut, in one cut with training after it, or gradually while it trains. Two opponents are trained
for as long: the network with all its weights, and a narrow one that has as few from the start.

You will see the accuracy against the weights that are left, for five ways to prune and for narrow
networks; and what is left of the first layer, drawn as the pixels that its weights read. How many
weights can go depends on the images: the harder their classes, the more of them are needed.

Predict first: for digits, how many of 29,600 weights can go before the network is wrong twice as
often? Is a pruned network better than a narrow one with as many weights?
"""
# %% Constants
import copy
from functools import partial

import matplotlib.pyplot as plt
import numpy as np
from _networks import dense_network, load_images
from common import start
from panels import reference, scores, sheet

from tinyml.compression.pruning import cubic_sparsity, prune, sparsity
from tinyml.compression.report import compare
from tinyml.compression.sparse import SparseLinear
from tinyml.compression.weight_masks import hold, pruned_loss
from tinyml.data import train_test_split
from tinyml.nn import Linear, Sequential
from tinyml.optim import Adam, LambdaLR, cosine_decay
from tinyml.train import accuracy, cross_entropy_of, fit

demo = start(__file__, __doc__, data=("digits", "clothes", "mnist", "fashion-mnist"))
X, y = load_images(demo)
RUNS = 2 if demo.quick else 3            # networks, each with its own split of the images
HIDDEN = 200, 80                         # units: 29,600 weights for digits
EPOCHS = 10 if demo.quick else 25        # of training, and again after or during the pruning
LEFT = [0.2, 0.05, 0.02] if demo.quick else [0.5, 0.2, 0.1, 0.05, 0.03, 0.02, 0.01]    # fractions
KEPT = 0.05                              # the fraction of the claims
BATCH = 64
CHANGES = 100                            # how often the masks grow in gradual pruning

# %% Training: Adam with a cosine schedule; with masks, pruned weights are held at zero
def train(model, data, rng, masks=None, after_step=None):
    n_steps = EPOCHS * -(-len(data[0]) // BATCH)
    optimizer = Adam(model.parameters(), lr=3e-3)
    if masks is not None:
        hold(optimizer, model, masks)
    if after_step is not None:
        optimizer.projections.append(partial(after_step, n_steps=n_steps))
    schedule = LambdaLR(optimizer, lambda t: cosine_decay(t, n_steps))
    fit(model, *data, optimizer=optimizer, epochs=EPOCHS, batch_size=BATCH, rng=rng,
        schedule=schedule)


# %% One cut, with or without training after it
def cut(model, amount, data, rng, method="global"):
    prune(model, amount=amount, method=method, rng=rng)


def cut_then_train(model, amount, data, rng, method="global"):
    masks = prune(model, amount=amount, method=method, rng=rng)
    train(model, data, rng, masks)


# %% Gradual pruning: the masks grow while the network trains, in the first two thirds of the steps
def gradual(model, amount, data, rng):
    masks, t = {}, 0

    def grow(n_steps):
        nonlocal t
        if t % max(1, n_steps // CHANGES) == 0:
            now = cubic_sparsity(t, final=amount, t_end=2 * n_steps // 3)
            masks.update(prune(model, amount=now))
        t += 1
    train(model, data, rng, masks, after_step=grow)


# %% An opponent that is never pruned: a narrow network with at most as many weights
def n_weights(width):
    """The number of weights of a network whose hidden layers are `width` times as wide."""
    sizes = X.shape[1], *narrow(width), 10
    return sum(a * b for a, b in zip(sizes, sizes[1:]))


def narrow(width):
    return [max(1, round(width * units)) for units in HIDDEN]


def narrow_network(left, data, rng):
    """Trained from the start, for as long as a pruned one."""
    widths = np.arange(1, HIDDEN[0] + 1) / HIDDEN[0]
    width = max(w for w in widths if w == widths[0] or n_weights(w) <= left * n_weights(1))
    model = dense_network(X.shape[1], rng, hidden=narrow(width))
    train(model, data, rng)
    train(model, data, rng)
    return model


WAYS = {
    "gradual, while training": gradual,
    "one cut, then training": cut_then_train,
    "one cut": cut,
    "one cut, layer by layer": partial(cut, method="layer"),
    "random, then training": partial(cut_then_train, method="random"),
}


# %% Experiment: the same trained network, pruned in every way to every fraction
def run(rng):
    """Accuracies (len(LEFT),) of each way, the dense network, the accuracy of one that was trained for
    as long as the pruned ones, the networks pruned gradually, and test data."""
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.3, rng=rng, stratify=y)
    data, test = (X_train, y_train), (X_test, y_test)
    dense = dense_network(X.shape[1], rng, hidden=HIDDEN)
    train(dense, data, rng)
    fair = copy.deepcopy(dense)
    train(fair, data, rng)    # as long as those that are trained during or after the pruning
    models = {way: [copy.deepcopy(dense) for _ in LEFT] for way in WAYS}
    for way, row in models.items():
        for model, left in zip(row, LEFT):
            WAYS[way](model, 1 - left, data, rng)
    models["narrow, never pruned"] = [narrow_network(left, data, rng) for left in LEFT]
    hits = {way: [accuracy(model, *test) for model in row] for way, row in models.items()}
    return hits, dense, accuracy(fair, *test), models["gradual, while training"], test


runs = [run(np.random.default_rng([demo.seed, r])) for r in demo.progress(range(RUNS), "networks")]
hits = {way: np.array([r[0][way] for r in runs]) for way in runs[0][0]}    # (runs, len(LEFT))
full = np.mean([fair for _, _, fair, _, _ in runs])

# %% With 5 % of the weights: training matters most, then which weights go
at_kept = {way: 100 * values[:, LEFT.index(KEPT)].mean() for way, values in hits.items()}    # in %
best, trained, once, by_layer, chance, small_from_start = at_kept.values()
demo.record("accuracy with all weights, trained for as long, %", 100 * full)
for way, value in at_kept.items():
    demo.record(f"accuracy with {100 * KEPT:.0f} % of the weights, {way}, %", value)
demo.finding(f"{100 * KEPT:.0f} % of the weights, gradual: points of accuracy lost",
             100 * full - best, at_most=8 if demo.quick else 4,
             why="Classes that are alike need more weights: with as few, a narrow network "
                 "loses more as well.")
demo.finding("gradual pruning loses less than one cut without training (points)", best - once,
             above=10,
             why="If the largest weights alone carry the answer, a cut needs no training "
                 "after it.")
demo.finding("gradual pruning loses less than random pruning with training (points)",
             best - chance, above=1,
             why="If all weights are about equally useful, it hardly matters which of them "
                 "go.")
demo.finding("training after the cut matters more than one threshold or one per layer (points)",
             trained - max(once, by_layer), above=5,
             why="If the weights that go are close to 0, a cut changes little, and "
                 "training has little to mend.")
demo.finding("gradual pruning beats a narrow network with as many weights, trained as long (points)",
             best - small_from_start, above=0,
             why="Pruning keeps weights at the pixels that tell the classes apart; where "
                 "all pixels do, it has little to choose.")

# %% The pruned loss L(theta * m) of the dense network, whose weights stay as they are
_, dense, _, pruned, test = runs[0]
small = pruned[LEFT.index(KEPT)]
cut_once = copy.deepcopy(dense)
masks = prune(cut_once, amount=1 - KEPT)
loss = pruned_loss(dense, *test, masks=masks).item()
demo.record("pruned loss of the dense network, one cut", loss)
demo.claim("L(theta * m) is the loss of the pruned network (difference)",
           abs(loss - cross_entropy_of(cut_once, *test).item()), at_most=0)
demo.claim("the fraction of zeros is what was asked for (difference)",
           abs(sparsity(small) - (1 - KEPT)), at_most=1e-3)

# %% What zeros save: bytes only in a coded file, multiplications only in a sparse product
sparse = Sequential(*[SparseLinear.from_linear(m) if isinstance(m, Linear) else m for m in small])
reports = compare({"dense": dense, "pruned": small, "pruned, sparse product": sparse}, *test)
demo.reports(reports)
demo.claim("the coded file of the pruned network is smaller (bytes, ratio)",
           reports["pruned"].file_bytes / reports["dense"].file_bytes, at_most=0.15)
demo.claim("zeros alone save no multiplication (ratio)",
           reports["pruned"].macs / reports["dense"].macs,
           within=(1, 1))
demo.claim("a sparse product skips the zeros (multiplications, ratio)",
           reports["pruned, sparse product"].macs / reports["dense"].macs, at_most=KEPT + 1e-3)

# %% Figure: accuracy against weights left
figure, (left, right) = plt.subplots(1, 2, figsize=(13.5, 5.6), width_ratios=[1.2, 1])
figure.suptitle(f"With {100 * KEPT:.0f} % of its weights the network is right {best:.1f} % of "
                f"the time (all: {100 * full:.1f} %), a narrow one with as many {small_from_start:.1f} %")
scores(left, 100 * np.array(LEFT), hits, xlabel="weights left in %", ylim=(0, 107),
       title=f"Five ways to prune, and none, {RUNS} networks each")
reference(left, 100 * full, "all weights, trained as long")

# %% The pixels that the busiest units of the first layer still read
weight = small[0].weight.data
busiest = np.argsort(-np.count_nonzero(weight, axis=1), kind="stable")[:24]
side = round(X.shape[1] ** 0.5)
read = weight[busiest].reshape(4, 6, side, side)
limit = np.abs(weight).max()
n_read = np.count_nonzero(weight.any(axis=0))
sheet(right, {f"{6 * i + 1} to {6 * i + 6}": units for i, units in enumerate(read)}, low=-limit,
      high=limit, cmap="PuOr", missing="0.75",
      title=f"First layer: {n_read} of {X.shape[1]} pixels are read. Its busiest units\n(orange: negative, "
            "purple: positive, white: zero)")
demo.finish(figure, small=left)
