"""What does a network lose that knows no number but whole ones?

MATH5836 week 10, section 10.2.2; Jacob et al. 2018. A dense and a convolutional network for real digits are
trained in float32, then turned into int8 weights, uint8 activations and int32 sums.

You will see one digit on its way through the integers: its codes, the sums of the first layer, and their
codes again; the outputs beside those in float32; what one spoiled image does to the ranges; the accuracy of
both networks over several splits; and the time.

Predict first: each activation is rounded to one of 256 numbers, layer by layer. How many digits are lost?
"""
# %% Constants
import matplotlib.pyplot as plt
import numpy as np
from common import BLACK, BLUE, GREEN, ORANGE, VERMILLION, start

from tinyml.compression.integer import IntegerModel
from tinyml.compression.observers import (MinMaxObserver, MovingAverageObserver, MSEObserver,
                                          PercentileObserver)
from tinyml.compression.report import clock, compare
from tinyml.data import digits, train_test_split
from tinyml.nn import BatchNorm2d, Conv2d, Flatten, Linear, MaxPool2d, ReLU, Sequential
from tinyml.optim import Adam
from tinyml.train import accuracy, fit, predict

demo = start(__file__, __doc__)
RUNS = 2 if demo.quick else 6                # networks of each kind, each with its own split
EPOCHS = {"dense": 12 if demo.quick else 40, "convolutional": 3 if demo.quick else 15}
CALIBRATION = 200                            # training images that set the ranges of the activations
BRIGHT = 100                                 # times: one more image, that spoils the ranges
OBSERVERS = {"min-max": MinMaxObserver, "moving average": MovingAverageObserver,
             "99th percentile": lambda: PercentileObserver(99), "least error": lambda: MSEObserver(bits=8)}
ROUNDS = 5 if demo.quick else 30             # of the clock
STYLE = {"dense": (BLUE, "o"), "convolutional": (GREEN, "s")}

# %% Data and models
X, y = digits()


def dense(rng):
    return Sequential(Linear(64, 128, rng=rng), ReLU(), Linear(128, 64, rng=rng), ReLU(),
                      Linear(64, 10, rng=rng))


def convolutional(rng):
    return Sequential(Conv2d(1, 12, 3, padding=1, rng=rng), BatchNorm2d(12), ReLU(),
                      Conv2d(12, 24, 3, padding=1, rng=rng), BatchNorm2d(24), ReLU(), MaxPool2d(2), Flatten(),
                      Linear(24 * 16, 10, rng=rng))


MODELS = {"dense": (dense, X), "convolutional": (convolutional, X.reshape(-1, 1, 8, 8))}


# %% Experiment
def run(name, rng):
    """Accuracies (float, integer), whether both integer ways agree in all codes, and the models."""
    make, inputs = MODELS[name]
    X_train, X_test, y_train, y_test = train_test_split(inputs, y, test_size=0.3, rng=rng, stratify=y)
    model = make(rng)
    fit(model, X_train, y_train, optimizer=Adam(model.parameters(), lr=2e-3), epochs=EPOCHS[name],
        batch_size=64, rng=rng, label=name)
    integer = IntegerModel.from_float(model, X_train[:CALIBRATION])
    codes = integer.quantize_input(X_test)
    same = np.array_equal(integer.codes(codes), integer.codes(codes, fast=False))
    return (accuracy(model, X_test, y_test), accuracy(integer, X_test, y_test), same, model, integer,
            X_test, y_test, X_train[:CALIBRATION])


runs = {name: [run(name, np.random.default_rng([demo.seed, i, r])) for r in range(RUNS)]
        for i, name in enumerate(MODELS)}
hits = {name: np.array([r[:2] for r in row]) for name, row in runs.items()}          # (runs, 2)
loss = {name: 100 * (h[:, 0] - h[:, 1]) for name, h in hits.items()}
agree = all(r[2] for row in runs.values() for r in row)
model, integer, X_test, y_test, X_seen = runs["dense"][0][3:]
conv, conv_integer, *conv_test = runs["convolutional"][0][3:7]
weights = sum(layer.weight.nbytes for layer in integer.layers)
floats = sum(m.weight.data.nbytes for m in model if hasattr(m, "weight"))

# %% The dense network of one run, calibrated on one image too bright by far: who decides about ranges?
spoiled = np.concatenate([BRIGHT * X_seen[:1], X_seen])
kept = {name: accuracy(IntegerModel.from_float(model, spoiled, observer=observer), X_test, y_test)
        for name, observer in OBSERVERS.items()}

# %% One digit on its way, and the clock
codes = integer.quantize_input(X_test[:1])
first = integer.layers[0]
sums = first.accumulate(codes, fast=False)                                            # int32, (1, 128)
after = first(codes, fast=False)                                                      # uint8, (1, 128)
real, whole = predict(model, X_test), predict(integer, X_test)

batch = np.resize(X_test, (256, 64))
batch_codes = integer.quantize_input(batch)
ways = {"float32": lambda: predict(model, batch), "integers through BLAS": lambda: integer.codes(batch_codes),
        "integers alone": lambda: integer.codes(batch_codes, fast=False)}
times = clock(list(ways.values()), rounds=ROUNDS)
ratio = np.median(times / times[0], axis=1)

# %% Figure
figure, axes = plt.subplot_mosaic([["image", "middle", "out", "spoiled"], ["scatter", "hit", "speed", "speed"]],
                                  figsize=(16, 8.6))
figure.suptitle("int8 weights, uint8 activations, int32 sums: "
                + ", ".join(f"{name} {100 * h[:, 1].mean():.2f} % right (float32 {100 * h[:, 0].mean():.2f} %)"
                            for name, h in hits.items()))
image, middle, out, ranges, scatter, hit, speed = axes.values()
image.imshow(codes.reshape(8, 8), cmap="Greys", vmin=0, vmax=255)
for (i, j), code in np.ndenumerate(codes.reshape(8, 8)):
    image.text(j, i, code, ha="center", va="center", fontsize=7, color="w" if code > 128 else "0.4")
image.set(xticks=[], yticks=[], title=f"A {y_test[0]} in uint8 codes")
image.grid(False)
middle.scatter(sums[0], after[0], s=22, color=BLUE)
middle.set(xlabel="int32 sum of a unit of the first layer", ylabel="its uint8 code",
           title="Times a 31-bit fraction, shifted, clipped:\nthe clip at 0 is the ReLU")
out.bar(np.arange(10) - 0.2, real[0], width=0.4, color="0.6", label="float32")
out.bar(np.arange(10) + 0.2, whole[0], width=0.4, color=VERMILLION, label="what the output codes stand for")
out.set(xlabel="digit", xticks=range(10), ylabel="output", title="The ten outputs for it",
        ylim=(None, 1.4 * max(real[0].max(), whole[0].max())))    # room for the legend
out.legend(fontsize=9, loc="upper left")
ranges.bar([name.replace(" ", "\n") for name in kept], [100 * value for value in kept.values()], width=0.6,
           color=[VERMILLION, ORANGE, BLUE, GREEN])
for i, value in enumerate(kept.values()):
    ranges.text(i, 100 * value + 1, f"{100 * value:.1f}", ha="center")
ranges.axhline(100 * hits["dense"][0, 0], ls="--", color=BLACK, lw=1.2)
ranges.set(ylabel="accuracy in integers, %", ylim=(0, 115),
           title=f"Ranges by observers, one of the images\nthey see {BRIGHT} times too bright")
ranges.grid(False, axis="x")
scatter.plot(real.ravel(), (whole - real).ravel(), ".", ms=2.5, color=BLUE, alpha=0.5)
scatter.axhline(0, color=BLACK, lw=1)
scatter.set(xlabel="output in float32", ylabel="integer output - float32 output",
            title=f"All outputs; the output's step is {integer.output_scale:.2f}")
for name, h in hits.items():
    color, marker = STYLE[name]
    hit.plot(100 * h[:, 0], 100 * h[:, 1], marker, color=color, ms=8, label=name, alpha=0.8)
ends = [100 * min(h.min() for h in hits.values()) - 0.5, 100.2]
hit.plot(ends, ends, "--", color=BLACK, lw=1.2)
hit.set(xlabel="accuracy in float32, %", ylabel="accuracy in integers, %", title=f"{RUNS} splits of the digits")
hit.legend(loc="upper left", fontsize=10)
speed.barh(list(ways), ratio, color=["0.6", ORANGE, VERMILLION])
for i, value in enumerate(ratio):
    speed.text(value, i, f" {value:.1f}", va="center")
speed.set(xlabel="time / time of float32, batch of 256", xlim=(0, 1.2 * ratio.max()),
          title="NumPy has no fast product of integers:\nwhat is gained here is memory")

# %% Claims
for name, h in hits.items():
    demo.record(f"{name}: accuracy in float32, in integers", h.mean(axis=0))
    demo.record(f"{name}: points lost in each network", loss[name])
for name, value in kept.items():
    demo.record(f"accuracy, calibrated with one image {BRIGHT} times too bright, {name}", value)
demo.record("time / float32: " + ", ".join(ways), ratio)
demo.record("bytes of the weights, float32 and int8", [floats, weights])
reports = (compare({"dense": model, "dense, int8": integer}, X_test, y_test)
           | compare({"convolutional": conv, "convolutional, int8": conv_integer}, *conv_test))
demo.reports(reports)
demo.claim("integers alone and integers carried by BLAS agree in every code", agree, at_least=1)
for name in hits:
    demo.claim(f"{name}: integers lose at most (points, mean over the networks)", loss[name].mean(), at_most=0.3)
demo.claim("with an image too bright among those that set the ranges, percentiles lose at most (points)",
           100 * (hits["dense"][0, 0] - kept["99th percentile"]), at_most=2)
demo.claim("and the smallest and largest number lose more than percentiles (points)",
           100 * (kept["99th percentile"] - kept["min-max"]), above=0)
demo.claim("weights are int8: a quarter of the bytes", weights / floats, at_most=0.25)
demo.claim("and so is the file, nearly (share of that in float32)",
           reports["dense, int8"].file_bytes / reports["dense"].file_bytes, at_most=0.35)
demo.claim("sums are int32 and activations uint8 (bytes)", sums.itemsize + after.itemsize, at_most=5)
demo.claim("the outputs are right to a few of their steps (99 % of them, in steps)",
           np.quantile(np.abs(whole - real), 0.99) / integer.output_scale, at_most=6)
demo.finish(figure)
