"""How much accuracy does a network lose that computes with integers only?

MATH5836 week 10, section 10.2.2; Jacob et al. 2018. A dense and a convolutional network for
images are trained in float32, then turned into int8 weights, uint8 activations and int32 sums.

You will see how the sums of a layer become codes; the accuracy of both networks in floats and in
integers over several splits; and what one image that is far too bright does to the ranges. The
numbers say what it costs in bytes and in time. With --data, other images: what 256 codes cost is
in the range of the activations, and one bright image harms more where the others are dark.

Predict first: each activation is rounded to one of 256 numbers, layer by layer. How many images
are lost?
"""
# %% Constants
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from _networks import as_images, dense_network, first_filters, load_images, n_pooled
from common import BLACK, BLUE, GREEN, start
from panels import bars

from tinyml.compression.integer_model import IntegerModel
from tinyml.compression.observers import (
    MinMaxObserver,
    MovingAverageObserver,
    MSEObserver,
    PercentileObserver,
)
from tinyml.compression.report import clock, compare
from tinyml.data import train_test_split
from tinyml.nn import BatchNorm2d, Conv2d, Flatten, Linear, MaxPool2d, Module, ReLU, Sequential
from tinyml.optim import Adam
from tinyml.train import accuracy, fit, predict

demo = start(__file__, __doc__, data=("digits", "clothes", "mnist", "fashion-mnist"))
X, y = load_images(demo)
RUNS = 2 if demo.quick else 6                # networks of each kind, each with its own split
EPOCHS = {"dense": 12 if demo.quick else 40, "convolutional": 3 if demo.quick else 15}
CALIBRATION = 200                            # training images that set the ranges of activations
BRIGHT = 100                                 # how many times too bright the spoiled image is
OBSERVERS = {"min-max": MinMaxObserver, "moving average": MovingAverageObserver,
             "99th percentile": lambda: PercentileObserver(99),
             "least error": lambda: MSEObserver(bits=8)}
ROUNDS = 5 if demo.quick else 30             # of the clock
STYLE = {"dense": (BLUE, "o"), "convolutional": (GREEN, "s")}

# %% Networks
INPUTS = {"dense": X, "convolutional": as_images(X)}


def dense(rng):
    return dense_network(X.shape[1], rng)


def convolutional(rng):
    side = round(X.shape[1] ** 0.5)
    return Sequential(first_filters(side, 12, rng), BatchNorm2d(12), ReLU(),
                      Conv2d(12, 24, 3, padding=1, rng=rng), BatchNorm2d(24), ReLU(), MaxPool2d(2),
                      Flatten(), Linear(24 * n_pooled(side), 10, rng=rng))


MODELS = {"dense": dense, "convolutional": convolutional}


# %% Train in float32, then quantize with some of the training images
class Run(NamedTuple):
    model: Module
    integer: IntegerModel
    seen: np.ndarray            # the training images that set the ranges
    test: tuple                 # X, y


def run(name, rng):
    X_train, X_test, y_train, y_test = train_test_split(INPUTS[name], y, test_size=0.3, rng=rng,
                                                        stratify=y)
    model = MODELS[name](rng)
    fit(model, X_train, y_train, optimizer=Adam(model.parameters(), lr=2e-3),
        epochs=EPOCHS[name], batch_size=64, rng=rng, label=name)
    seen = X_train[:CALIBRATION]
    return Run(model, IntegerModel.from_float(model, seen), seen, (X_test, y_test))


runs = {name: [run(name, np.random.default_rng([demo.seed, i, r])) for r in range(RUNS)]
        for i, name in enumerate(MODELS)}

# %% Accuracy in floats and in integers
floats = {name: np.array([accuracy(one.model, *one.test) for one in of]) for name, of in runs.items()}
integers = {name: np.array([accuracy(one.integer, *one.test) for one in of])
            for name, of in runs.items()}
for name in MODELS:
    lost = 100 * (floats[name] - integers[name])
    demo.record(f"{name}: accuracy in float32", floats[name].mean())
    demo.record(f"{name}: accuracy in integers", integers[name].mean())
    demo.record(f"{name}: points lost in each network", lost)
    demo.finding(f"{name}: integers lose at most (points, mean over the networks)", lost.mean(),
                 at_most=0.3,
                 why="Where classes are alike, more images are close to a boundary, and an "
                     "error of a step moves them across.")


# %% Compute the same codes by integers alone, and by exact float32 products
def agrees(one):
    codes = one.integer.quantize_input(one.test[0])
    return np.array_equal(one.integer.codes(codes, fast=True), one.integer.codes(codes, fast=False))


demo.claim("integers alone and float32 products give the same codes (fraction of the networks)",
           np.mean([agrees(one) for of in runs.values() for one in of]), at_least=1)

# %% How far are the outputs from those in float32?
first = runs["dense"][0]
error = predict(first.integer, first.test[0]) - predict(first.model, first.test[0])
demo.finding("99 % of the outputs are at most so many of their steps from float32",
             np.quantile(np.abs(error), 0.99) / first.integer.output_scale, at_most=6,
             why="If one image in many has far larger activations than the others, steps "
                 "are wide for all of them; if outputs are small, their own steps are "
                 "narrow.")

# %% Calibrate again, with one image that is far too bright
spoiled = np.concatenate([BRIGHT * first.seen[:1], first.seen])
kept = {}
for name, observer in OBSERVERS.items():
    again = IntegerModel.from_float(first.model, spoiled, observer=observer)
    kept[name] = accuracy(again, *first.test)
    demo.record(f"accuracy, calibrated with one image {BRIGHT} times too bright, {name}", kept[name])
demo.finding("calibrated with an image too bright, percentiles lose at most (points)",
             100 * (floats["dense"][0] - kept["99th percentile"]), at_most=2,
             why="If the answer is in the largest of a hundred activations, the 99th "
                 "percentile cuts it off.")
demo.finding("ranges from the smallest to the largest number lose more than percentiles (points)",
             100 * (kept["99th percentile"] - kept["min-max"]), above=0,
             why="If other images are about as bright as the spoiled one, it widens no "
                 "range.")

# %% One image on its way through the first layer: codes, sums, codes
layer = first.integer.layers[0]
codes = first.integer.quantize_input(first.test[0][:1])    # uint8, (1, pixels)
sums = layer.accumulate(codes, fast=False)                 # int32, (1, 128)
after = layer(codes, fast=False)                           # uint8, (1, 128)
demo.claim("sums are int32 and activations uint8 (bytes)", sums.itemsize + after.itemsize,
           within=(5, 5))

# %% What is saved: bytes. NumPy has no fast integer product, so time is not.
conv = runs["convolutional"][0]
reports = (compare({"dense": first.model, "dense, int8": first.integer}, *first.test)
           | compare({"convolutional": conv.model, "convolutional, int8": conv.integer}, *conv.test))
demo.reports(reports)
weight_bytes = [sum(m.weight.nbytes for m in first.integer.layers),
                sum(m.weight.data.nbytes for m in first.model if isinstance(m, Linear))]
demo.claim("weights are int8: a quarter of the bytes", weight_bytes[0] / weight_bytes[1],
           at_most=0.25)
demo.claim("the file is nearly as small (fraction of that in float32)",
           reports["dense, int8"].file_bytes / reports["dense"].file_bytes, at_most=0.35)

batch = np.resize(first.test[0], (256, X.shape[1]))
batch_codes = first.integer.quantize_input(batch)
ways = {"float32": lambda: predict(first.model, batch),
        "integers by float32 products": lambda: first.integer.codes(batch_codes),
        "integers alone": lambda: first.integer.codes(batch_codes, fast=False)}
times = clock(list(ways.values()), rounds=ROUNDS)
demo.record("time / float32: " + ", ".join(ways), np.median(times / times[0], axis=1))

# %% Figure: from sums to codes
figure, (path, hit, ranges) = plt.subplots(1, 3, figsize=(16, 5.4))
figure.suptitle("In integers: " + ", ".join(
    f"{name} {100 * integers[name].mean():.2f} % right (float32 {100 * floats[name].mean():.2f} %)"
    for name in MODELS))
path.scatter(sums[0] / 1000, after[0], s=22, color=BLUE)
path.set(xlabel="int32 sum of a unit of the first layer, in thousands", ylabel="its uint8 code",
         title="One image in the first layer: the clip at 0 is the ReLU")

# %% Accuracy in integers against that in floats
for name, (color, marker) in STYLE.items():
    hit.plot(100 * floats[name], 100 * integers[name], marker, color=color, ms=8, label=name,
             alpha=0.8)
measured = 100 * np.concatenate([*floats.values(), *integers.values()])
ends = [measured.min() - 0.5, measured.max() + 0.5]
hit.plot(ends, ends, "--", color=BLACK, lw=1.2)
hit.set(xlabel="accuracy in float32 in %", ylabel="accuracy in integers in %",
        title=f"Each point a network, in {RUNS} splits")
hit.legend(loc="upper left", fontsize=10)

# %% Accuracy by who chooses the ranges
right = {"float32": floats["dense"][0]} | kept
bars(ranges, {name: 100 * value for name, value in right.items()}, fmt="%.1f",
     xlabel="accuracy in %",
     title=f"Calibrated with one image {BRIGHT} times too bright")
demo.finish(figure)
