"""How many directions does a layer need, and how much time does that save?

MATH5836 week 10, section 10.2.3; Denton et al. 2014; Tai et al. 2016. The weight matrices of a
wide network for digits become products of two thin ones, cut as they are or weighted by their
inputs, and are then trained or not. The 3 x 3 filters of a small convolutional network become
3 x 1 and 1 x 3 ones.

You will see the singular values of the wide layers; the accuracy against the multiplications that
are left; and the time of two thin products beside one wide one.

Predict first: at which rank are two thin layers of 1,024 units as much work as one wide one: 100,
500, 900? And a first convolution with one input channel has 3 singular values: what if only one of
them is kept?
"""
# %% Constants
import copy
import warnings
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from common import BLACK, BLUE, GREEN, ORANGE, VERMILLION, band, start
from panels import reference

from tinyml.compression.low_rank import (
    break_even,
    factorize,
    factorize_linear,
    share_for_accuracy,
)
from tinyml.compression.report import compare, macs, milliseconds
from tinyml.data import digits, train_test_split
from tinyml.nn import Conv2d, Flatten, Linear, MaxPool2d, Module, ReLU, Sequential
from tinyml.optim import Adam
from tinyml.train import accuracy, fit, predict

demo = start(__file__, __doc__)
RUNS = 2 if demo.quick else 5                  # dense networks, each with its own split
CONV_RUNS = 1 if demo.quick else 4             # convolutional ones
HIDDEN = (300, 100)                            # units
CHANNELS = (16, 32)                            # of the two convolutions
EPOCHS = 6 if demo.quick else 25               # of training
CONV_EPOCHS = 4 if demo.quick else 8           # of training of the convolutional networks
TUNING = 1 if demo.quick else 5                # epochs of training after the cut
SHARES = [0.05, 0.2] if demo.quick else [0.04, 0.07, 0.12, 0.2, 0.35, 0.6]    # of a layer's work
CLAIMED = SHARES.index(0.2)                    # the share of the claims
POINTS = 1                                     # of held-out accuracy that the search may lose
WIDE = 1024                                    # inputs and outputs of the layer on the clock
RANKS = (32, 128, 256, 512, 768)               # of its factors
ROUNDS = 5 if demo.quick else 25               # of the clock
WAYS = {"cut": (ORANGE, "^"), "cut, weighted by the inputs": (GREEN, "s"),
        "cut, weighted, then trained": (BLUE, "o")}
CONV_WAYS = "cut", "cut except the first layer", "cut except the first, then trained"

# %% Data and networks
X, y = digits()


def dense(rng):
    a, b = HIDDEN
    return Sequential(Linear(64, a, rng=rng), ReLU(), Linear(a, b, rng=rng), ReLU(),
                      Linear(b, 10, rng=rng))


def convolutional(rng):
    a, b = CHANNELS
    return Sequential(Conv2d(1, a, 3, padding=1, rng=rng), ReLU(),
                      Conv2d(a, b, 3, padding=1, rng=rng), ReLU(), MaxPool2d(2), Flatten(),
                      Linear(16 * b, 10, rng=rng))


# %% Split the digits into training, held-out and test images, and train a network
class Trained(NamedTuple):
    model: Module
    train: tuple            # X, y
    held: tuple
    test: tuple
    rng: np.random.Generator


def train(model, data, epochs, lr, rng):
    fit(model, *data, optimizer=Adam(model.parameters(), lr=lr), epochs=epochs, batch_size=64,
        rng=rng)


def trained(network, X, epochs, rng):
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.3, rng=rng, stratify=y)
    X_train, X_held, y_train, y_held = train_test_split(X_train, y_train, test_size=0.2, rng=rng,
                                                        stratify=y_train)
    model = network(rng)
    train(model, (X_train, y_train), epochs, 2e-3, rng)
    return Trained(model, (X_train, y_train), (X_held, y_held), (X_test, y_test), rng)


def networks(network, X, epochs, n):
    rngs = [np.random.default_rng([demo.seed, run]) for run in range(n)]
    return [trained(network, X, epochs, rng) for rng in demo.progress(rngs, network.__name__)]


denses = networks(dense, X, EPOCHS, RUNS)
convs = networks(convolutional, X.reshape(-1, 1, 8, 8), CONV_EPOCHS, CONV_RUNS)
full = np.mean([accuracy(net.model, *net.test) for net in denses])
conv_full = np.mean([accuracy(net.model, *net.test) for net in convs])
demo.record("accuracy, full network, dense, convolutional", [full, conv_full])


# %% Cut each network to every share of its work, in three ways
def weighted(net, share):
    return factorize(net.model, share=share, X=net.train[0])


def except_the_first(net, share):
    return Sequential(copy.deepcopy(net.model[0]), *factorize(net.model[1:], share=share))


def cut(net, share, better):
    """Cut as it is, in a better way, and in the better way with some training after it."""
    models = [factorize(net.model, share=share), better(net, share), better(net, share)]
    train(models[2], net.train, TUNING, 1e-3, net.rng)
    return models


smaller = [[cut(net, share, weighted) for share in SHARES]
           for net in demo.progress(denses, "cutting dense networks")]
conv_smaller = [[cut(net, share, except_the_first) for share in SHARES]
                for net in demo.progress(convs, "cutting convolutional networks")]


# %% Measure accuracy, work, and how far the outputs moved
def accuracy_of(model, net):
    return accuracy(model, *net.test)


def work_of(model, net):
    return macs(model, net.test[0][:1]) / macs(net.model, net.test[0][:1])


def distance_of(model, net):
    outputs = predict(net.model, net.test[0])
    return np.linalg.norm(predict(model, net.test[0]) - outputs) / np.linalg.norm(outputs)


def measured(measure, nets, smaller):
    """The measure of every model, (runs, shares, ways)."""
    return np.array([[[measure(model, net) for model in ways] for ways in of_net]
                     for net, of_net in zip(nets, smaller)])


hits, work = (measured(measure, denses, smaller) for measure in (accuracy_of, work_of))
conv_hits, conv_work = (measured(measure, convs, conv_smaller) for measure in (accuracy_of, work_of))
distance = measured(distance_of, denses, smaller)

# %% Dense layers: a fifth of the work of each is enough
mean = dict(zip(WAYS, hits[:, CLAIMED].mean(axis=0)))
for way, hit in mean.items():
    demo.record(f"accuracy at a fifth of the work, {way}", hit)
demo.record("distance of the outputs at a fifth of the work", distance[:, CLAIMED].mean(axis=0))
demo.claim("weighting by the inputs keeps new outputs nearer (mean ratio of the distances)",
           (distance[:, CLAIMED, 1] / distance[:, CLAIMED, 0]).mean(), below=1)
demo.claim("training after the cut recovers the accuracy: points lost in the end",
           100 * (full - mean["cut, weighted, then trained"]), at_most=2)

# %% Convolutions: the first layer has few directions and needs all of them
conv_mean = dict(zip(CONV_WAYS, conv_hits[:, CLAIMED].mean(axis=0)))
for way, hit in conv_mean.items():
    demo.record(f"accuracy at a fifth, convolutional, {way}", hit)
demo.claim("a pair of filters for one, trained after the cut: points lost in the end",
           100 * (conv_full - conv_mean[CONV_WAYS[2]]), at_most=3)
demo.claim("what a pair of filters loses is lost in the first layer (points won by keeping it)",
           100 * (conv_mean[CONV_WAYS[1]] - conv_mean[CONV_WAYS[0]]), above=0)

# %% Search for the smallest share that loses a point of held-out accuracy
found = [share_for_accuracy(net.model, *net.held, shares=SHARES, inputs=net.train[0],
                            at_least=accuracy(net.model, *net.held) - POINTS / 100)
         for net in denses]
demo.record(f"share of the work that loses {POINTS} point, found by search", np.mean(found))
demo.reports(compare({"full": denses[0].model, "a fifth of the work": smaller[0][CLAIMED][0]},
                     *denses[0].test))

# %% The clock: one wide layer, and factors of several ranks
layer = Linear(WIDE, WIDE, rng=demo.rng)
with warnings.catch_warnings():
    warnings.simplefilter("ignore")    # ranks that save nothing are measured too
    factors = [factorize_linear(layer, rank) for rank in RANKS]
batch = demo.rng.standard_normal((256, WIDE)).astype(np.float32)
times = milliseconds([layer, *factors], batch, rounds=ROUNDS)
time_left = np.median(times[1:] / times[0], axis=1)
work_left = np.array([macs(pair, batch[:1]) / macs(layer, batch[:1]) for pair in factors])
demo.record("fraction of the work, wide layer", work_left)
demo.record("fraction of the time, wide layer", time_left)
demo.claim("at rank n/2 two square factors are as much work as the whole (fraction)",
           work_left[RANKS.index(WIDE // 2)], within=(1, 1))
if not demo.quick:
    demo.finding("rank 128 of 1,024, a quarter of the work, takes this fraction of the time",
                 time_left[RANKS.index(128)], at_most=0.6)
    demo.finding("time is in proportion to work (largest factor between the two from rank 128 on)",
                 np.exp(np.abs(np.log(time_left / work_left)[1:]).max()), at_most=1.7)
    demo.finding("rank 768 takes longer than the whole (fraction of the time)", time_left[-1],
                 above=1)

# %% Figure: the singular values of each layer; from the dashed rank on, two layers are more work
figure, (spectrum, hit, clock) = plt.subplots(1, 3, figsize=(17, 5.4))
figure.suptitle(f"With a fifth of the work of each layer the network is right "
                f"{100 * mean['cut, weighted, then trained']:.1f} % of the time (all: "
                f"{100 * full:.1f} %); a quarter of the work takes "
                f"{100 * time_left[RANKS.index(128)]:.0f} % of the time")
linears = [module for module in denses[0].model if isinstance(module, Linear)]
for module, color in zip(linears, (BLUE, GREEN, VERMILLION)):
    s = np.linalg.svd(module.weight.data, compute_uv=False)
    spectrum.plot(np.arange(1, len(s) + 1), s / s[0], color=color,
                  label=f"{module.in_features} to {module.out_features}")
    spectrum.axvline(break_even(*module.weight.shape), color=color, ls="--", lw=1.2)
spectrum.set(xlabel="number of the singular value", ylabel="singular value / largest",
             title="Two thin layers save work left of the dashed rank")
spectrum.legend(fontsize=10)

# %% Accuracy of the dense networks against the work that is left
for i, (way, (color, marker)) in enumerate(WAYS.items()):
    band(hit, 100 * work[:, :, i].mean(axis=0), 100 * hits[:, :, i], color=color, marker=marker,
         ms=5, label=way)
reference(hit, 100 * full, "full network")
hit.set(xscale="log", xlabel="multiply-accumulates left in %", ylabel="test accuracy in %",
        title="A fifth of the work of each layer is enough")
hit.set_xticks([5, 10, 20, 50], ["5", "10", "20", "50"])
hit.minorticks_off()
hit.legend(loc="lower right", fontsize=10)

# %% Time against work
clock.plot(100 * work_left, 100 * time_left, "o-", color=VERMILLION, ms=7)
clock.plot([0, 150], [0, 150], "--", color=BLACK, lw=1.3)
for rank, x, t in zip(RANKS, 100 * work_left, 100 * time_left):
    clock.annotate(f"rank {rank}", (x, t), (8, -10), textcoords="offset points", fontsize=9)
clock.text(96, 112, "time = work", ha="right")
clock.axvline(100, color="0.6", lw=1)
clock.set(xlabel="multiply-accumulates left in %", ylabel="time left in %, batch of 256",
          title=f"Two thin layers for one of {WIDE:,} x {WIDE:,}", xlim=(0, 185))
demo.finish(figure)
