"""How much of a network's work is needed, if every layer becomes two thin ones?

MATH5836 week 10, section 10.2.3; Denton et al. 2014; Tai et al. 2016. The weight matrices of a
wide network for images become products of two thin ones, cut as they are or weighted by their
inputs, and are then trained or not. The 3 x 3 filters of a small convolutional network become
3 x 1 and 1 x 3 ones.

You will see the accuracy of both networks against the multiplications that are left, beside full
networks that are trained for as long. What it costs depends on the images: where classes are
alike, a small change of the outputs changes more answers.

Predict first: a first convolution with one input channel has 3 singular values. What happens to
the network if only one of them is kept?
"""
# %% Constants
import copy
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from _networks import as_images, dense_network, load_images
from common import BLUE, GREEN, ORANGE, band, start
from panels import reference

from tinyml.compression.factorize import factorize, share_for_accuracy
from tinyml.compression.report import compare, macs
from tinyml.data import train_test_split
from tinyml.nn import Conv2d, Flatten, Linear, MaxPool2d, Module, ReLU, Sequential
from tinyml.optim import Adam
from tinyml.train import accuracy, fit, predict

demo = start(__file__, __doc__, data=("digits", "clothes", "mnist", "fashion-mnist"))
X, y = load_images(demo)
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
STYLES = (ORANGE, "^"), (GREEN, "s"), (BLUE, "o")
WAYS = "cut", "cut, weighted by the inputs", "cut, weighted, then trained"
CONV_WAYS = "cut", "cut except the first layer", "cut except the first, then trained"

# %% Networks
def dense(rng):
    return dense_network(X.shape[1], rng, hidden=HIDDEN)


def convolutional(rng):
    a, b = CHANNELS
    side = round(X.shape[1] ** 0.5)
    return Sequential(Conv2d(1, a, 3, padding=1, rng=rng), ReLU(),
                      Conv2d(a, b, 3, padding=1, rng=rng), ReLU(), MaxPool2d(2), Flatten(),
                      Linear(b * (side // 2) ** 2, 10, rng=rng))


# %% Split the images into training, held-out and test images, and train a network
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
convs = networks(convolutional, as_images(X), CONV_EPOCHS, CONV_RUNS)


# %% The fair opponents: full networks, trained for as long as those that are trained after the cut
def trained_longer(net):
    model = copy.deepcopy(net.model)
    train(model, net.train, TUNING, 1e-3, net.rng)
    return accuracy(model, *net.test)


full, conv_full = (np.mean([trained_longer(net) for net in nets]) for nets in (denses, convs))
demo.record("accuracy, full network trained as long, dense, convolutional", [full, conv_full])


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
demo.finding("weighting by the inputs keeps new outputs nearer (mean ratio of the distances)",
             (distance[:, CLAIMED, 1] / distance[:, CLAIMED, 0]).mean(), below=1,
             why="It takes new inputs that vary in the directions of those that the cut "
                 "was weighted by.")
demo.finding("training after the cut recovers the accuracy: points lost in the end",
             100 * (full - mean["cut, weighted, then trained"]), at_most=2,
             why="Classes that are alike need more directions than a fifth of the work "
                 "leaves.")

# %% Convolutions: the first layer has few directions and needs all of them
conv_mean = dict(zip(CONV_WAYS, conv_hits[:, CLAIMED].mean(axis=0)))
for way, hit in conv_mean.items():
    demo.record(f"accuracy at a fifth, convolutional, {way}", hit)
demo.finding("a pair of filters for one, trained after the cut: points lost in the end",
             100 * (conv_full - conv_mean[CONV_WAYS[2]]), at_most=3,
             why="Classes that are alike need more directions than a fifth of the work "
                 "leaves.")
demo.finding("what a pair of filters loses is lost in the first layer (points won by keeping it)",
             100 * (conv_mean[CONV_WAYS[1]] - conv_mean[CONV_WAYS[0]]), above=0,
             why="If filters of the first layer are products of a row and a column, as "
                 "edges are, one direction is enough for each.")

# %% Search for the smallest share that loses a point of held-out accuracy
found = [share_for_accuracy(net.model, *net.held, shares=SHARES, inputs=net.train[0],
                            at_least=accuracy(net.model, *net.held) - POINTS / 100)
         for net in denses]
demo.record(f"share of the work that loses {POINTS} point, found by search", np.mean(found))
demo.reports(compare({"full": denses[0].model, "a fifth of the work": smaller[0][CLAIMED][0]},
                     *denses[0].test))

# %% Figure: accuracy against the work that is left
figure, axes = plt.subplots(1, 2, figsize=(13, 5.2))
figure.suptitle(f"With a fifth of the work of each layer the network is right "
                f"{100 * mean['cut, weighted, then trained']:.1f} % of the time (all: "
                f"{100 * full:.1f} %)")


def panel(ax, ways, work, hits, full, title):
    for i, (way, (color, marker)) in enumerate(zip(ways, STYLES)):
        band(ax, 100 * work[:, :, i].mean(axis=0), 100 * hits[:, :, i], color=color,
             marker=marker, ms=5, label=way)
    reference(ax, 100 * full, "full network, trained as long")
    ax.set(xscale="log", xlabel="multiply-accumulates left in %", ylabel="test accuracy in %",
           ylim=(20, 101), title=title)
    ax.set_xticks([5, 10, 20, 50], ["5", "10", "20", "50"])
    ax.minorticks_off()
    ax.legend(loc="lower right", fontsize=10)


panel(axes[0], WAYS, work, hits, full, "Two thin layers for each of a dense network")
panel(axes[1], CONV_WAYS, conv_work, conv_hits, conv_full,
      "A pair of thin filters for each of a convolutional network")
demo.finish(figure)
