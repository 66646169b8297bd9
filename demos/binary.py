"""Can a network compute with one bit per weight?

MATH5836 week 10, section 10.2.2; Courbariaux et al. 2015, Rastegari et al. 2016, Li et al. 2016.
Networks of three widths are trained for images: with real weights, with signs, with signs times a
scale per unit, and with zeros besides (ternary). All are trained for as many epochs, with the same
settings.

You will see how much of the weights' energy a threshold loses, and where the rule delta = 0.7 mean
|w| lies; the accuracy against the bytes of the file; and the time of a product of bits beside the
product of floats. Rounded to signs after training, a network is lost; trained with them it is
nearly as good as with real weights, if it is wide enough. How wide depends on the images: the more
they ask of a network, the more a coarse weight costs.

Predict first: two files of the same size, a narrow network with real weights and a network four
times as wide whose weights are -1, 0 and 1. Which one is more accurate?
"""
# %% Constants
import copy
from functools import partial
from math import erf, exp, pi, sqrt
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from _networks import load_images
from common import BLACK, BLUE, GREEN, ORANGE, VERMILLION, start
from panels import bars, curve

from tinyml import Tensor
from tinyml.compression.binary import binarize, binarize_weights, clip_weights, store_bits
from tinyml.compression.bits import bit_planes, bit_product, to_words
from tinyml.compression.coding.storage import contents, load_compressed, save_compressed
from tinyml.compression.report import clock, compare, file_bytes
from tinyml.compression.ternary import best_threshold, ternarize, ternary_threshold
from tinyml.data import train_test_split
from tinyml.nn import BatchNorm1d, Linear, ReLU, Sequential
from tinyml.optim import Adam, LambdaLR, cosine_decay
from tinyml.train import accuracy, fit

demo = start(__file__, __doc__, data=("digits", "clothes", "mnist", "fashion-mnist"))
X, y = load_images(demo)
RUNS = 1 if demo.quick else 3                # splits of the images
WIDTHS = (16, 64) if demo.quick else (16, 32, 64)    # units of both hidden layers
EPOCHS = 10 if demo.quick else 15            # of training, for every network
BATCH, LR = 64, 3e-3                         # of every network; not tuned
METHODS = "sign", "scaled sign", "ternary"
SIZE = 256 if demo.quick else 1024           # inputs and outputs of the product on the clock
ROUNDS = 3 if demo.quick else 15             # of the clock


# %% Model: batch norm after each product, so that the size of its sums does not matter
def network(width, rng):
    sizes = X.shape[1], width, width, 10
    layers = [part for a, b in zip(sizes, sizes[1:])
              for part in (Linear(a, b, bias=False, rng=rng), BatchNorm1d(b), ReLU())]
    return Sequential(*layers[:-1])


def train(model, data, rng):
    """Train in place, with real weights in [-1, 1]; returns the model."""
    n_steps = EPOCHS * -(-len(data[0]) // BATCH)
    optimizer = Adam(model.parameters(), lr=LR)
    optimizer.projections.append(partial(clip_weights, model))
    schedule = LambdaLR(optimizer, lambda t: cosine_decay(t, n_steps))
    fit(model, *data, optimizer=optimizer, epochs=EPOCHS, batch_size=BATCH, rng=rng,
        schedule=schedule, label="training")
    return model


# %% Experiment: every method at every width, from the same first weights
class Run(NamedTuple):
    models: dict     # method: a network for each width
    rounded: dict    # method: the real networks, with their weights replaced after training
    test: tuple      # X, y


def run(rng):
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.3, rng=rng, stratify=y)
    data, first = (X_train, y_train), [network(width, rng) for width in WIDTHS]
    models = {"real": [train(copy.deepcopy(net), data, rng) for net in first]}
    rounded = {}
    for method in METHODS:
        trained = [train(binarize_weights(net, method=method), data, rng) for net in first]
        models[method] = [store_bits(one) for one in trained]
        rounded[method] = [store_bits(binarize_weights(net, method=method))
                           for net in models["real"]]
    return Run(models, rounded, (X_test, y_test))


runs = [run(np.random.default_rng([demo.seed, r])) for r in demo.progress(range(RUNS), "splits")]
hits = {way: np.array([[accuracy(one, *r.test) for one in r.models[way]] for r in runs])
        for way in ("real", *METHODS)}                               # (runs, widths)
lost = {method: np.array([[accuracy(one, *r.test) for one in r.rounded[method]] for r in runs])
        for method in METHODS}
sizes = {way: np.mean([[file_bytes(one) for one in r.models[way]] for r in runs], axis=0)
         for way in hits}
for way, values in hits.items():
    demo.record(f"accuracy, {way}, by width", values.mean(axis=0))
    demo.record(f"bytes, {way}, by width", sizes[way])
for method, values in lost.items():
    demo.record(f"accuracy, {method} after training, by width", values.mean(axis=0))

# %% What rounding loses, and what training with signs leaves of it
fall = 100 * (hits["real"] - lost["scaled sign"])
demo.finding("signs with a scale, after training, cost (points, least of the widths)",
             fall.mean(axis=0).min(), above=10,
             why="Classes that are far apart are told apart even with large errors of the "
                 "weights.")
for method in METHODS:
    cost = 100 * (hits["real"] - hits[method]).mean(axis=0)
    demo.record(f"points lost, trained as {method}, by width", cost)
    demo.finding(f"{method}: trained with few values, the widest network loses (points, mean)",
                 cost[-1], at_most=3,
                 why="Where classes are alike, few values for a weight are too coarse in a "
                     "network of that width.")
wide_gain = 100 * (hits["ternary"][:, -1] - hits["real"][:, 0]).mean()
demo.record("bytes of the widest ternary network / of the narrowest real one",
            sizes["ternary"][-1] / sizes["real"][0])
demo.finding("in a smaller file, a four times wider ternary network is more accurate (points)",
             wide_gain, above=0,
             why="If a narrow network already does all that can be done with so few images, "
                 "width has nothing to add.")

# %% The error of a threshold, for each unit of a trained layer
W = runs[0].models["real"][-1][3].weight.data.astype(np.float64)    # (width, width)
energy = (W ** 2).sum(axis=1)


def error(delta):
    """||w - alpha t||^2 / ||w||^2 of each unit."""
    t, alpha = ternarize(W, delta)
    return ((W - alpha * t) ** 2).sum(axis=1) / energy


mean_magnitude = np.abs(W).mean(axis=1, keepdims=True)
factors = np.linspace(0, 2, 81)
curves = np.array([error(factor * mean_magnitude) for factor in factors])    # (factors, units)
by_rule, least = error(ternary_threshold(W)), error(best_threshold(W))
b, alpha = binarize(W)
by_signs = ((W - alpha * b) ** 2).sum(axis=1) / energy
demo.claim("no threshold has a lower error than the best one (largest ratio, best / any)",
           (least / curves.min(axis=0)).max(), at_most=1 + 1e-9)
identity = np.abs(by_signs - (1 - W.shape[1] * alpha[:, 0] ** 2 / energy)).max()
demo.claim("||w - alpha b||^2 = ||w||^2 - n alpha^2 (largest difference, of ||w||^2)", identity,
           at_most=1e-12)
demo.finding("the error of the rule 0.7 mean |w| is near the least one (ratio of the means)",
             by_rule.mean() / least.mean(), at_most=1.1,
             why="The rule is made for weights with a normal or uniform distribution; of a few "
                 "large weights among many near 0, fewer should stay.")


def normal_error(factor):
    """The error of a threshold for weights with a normal distribution."""
    delta = factor * sqrt(2 / pi)    # mean |w| = sqrt(2 / pi) sigma
    density, tail = exp(-delta ** 2 / 2) / sqrt(2 * pi), (1 - erf(delta / sqrt(2))) / 2
    return 1 - 2 * density ** 2 / tail


# %% Bits in the file, and back
with TemporaryDirectory() as folder:
    path = Path(folder) / "model"
    for method, bits in (("sign", 1), ("ternary", 2)):
        small = runs[0].models[method][-1]
        save_compressed(small, path)
        parts = {part.name: part for part in contents(path)}
        demo.claim(f"{method}: bits in the file per weight of the middle layer",
                   8 * parts["3.weight.planes"].bytes / W.size, at_most=bits + 0.1)
        inputs = Tensor(X[:200])
        differ = load_compressed(path)(inputs).data != small(inputs).data
        demo.claim(f"{method}: outputs that differ after reading the file", differ.sum(), at_most=0)
test = runs[0].test
demo.reports(compare({way: runs[0].models[way][-1] for way in hits}, *test))

# %% The clock: one product of whole numbers by bits, the same with floats
codes = demo.rng.integers(-1, 2, (SIZE, SIZE)).astype(np.int8)
plus, minus = to_words(codes == 1), to_words(codes == -1)
floats = codes.T.astype(np.float32)
times, wrong = {}, 0
for n_samples, bits in ((1, 1), (1, 8), (64, 1), (64, 8)):
    x = demo.rng.integers(0, 2 ** bits, (n_samples, SIZE))
    planes, x_float = bit_planes(x, bits=bits), x.astype(np.float32)
    wrong += np.count_nonzero(bit_product(planes, plus, minus) != x @ codes.T.astype(np.int64))
    by_bits, by_floats = clock([partial(bit_product, planes, plus, minus),
                                partial(np.matmul, x_float, floats)], rounds=ROUNDS)
    times[f"batch of {n_samples}, {bits}-bit inputs"] = np.median(by_bits / by_floats)
demo.claim("products of bits that differ from those of the whole numbers", wrong, at_most=0)
for name, ratio in times.items():
    demo.record(f"time by bits / by floats, {name}", ratio)
if not demo.quick:
    demo.finding("one sample of 1-bit inputs: by bits it takes at most so many times as long",
                 times["batch of 1, 1-bit inputs"], at_most=5)
    demo.finding("64 samples of 8-bit inputs: by bits it takes far longer (ratio)",
                 times["batch of 64, 8-bit inputs"], above=5)

# %% Figure: the error against the threshold
figure, (loss, hit, pace) = plt.subplots(1, 3, figsize=(17, 5.2), width_ratios=[1, 1.15, 0.9])
figure.suptitle(f"Two bits per weight: a network of {WIDTHS[-1]} units a layer is "
                f"{abs(wide_gain):.1f} points {'better' if wide_gain > 0 else 'worse'} than one of "
                f"{WIDTHS[0]} with real weights, in "
                f"{100 * sizes['ternary'][-1] / sizes['real'][0]:.0f} % of the bytes")
curve(loss, factors, curves.T, color=BLUE, label="a trained layer (band: 80 % of its units)",
      theory=[normal_error(factor) for factor in factors])
loss.plot([], [], "--", color=BLACK, lw=1.3, label="normal distribution")
loss.axvline(0.7, color="0.5", lw=1)
loss.text(0.72, 0.02, "the rule", transform=loss.get_xaxis_transform(), color="0.3")
loss.plot(0, by_signs.mean(), "s", color=VERMILLION, label="signs without zeros")
loss.set(xlabel="threshold / mean |w|", ylabel="||w - alpha t||² / ||w||²",
         title="Zeros for the small weights lower the error")
loss.legend(fontsize=9)

# %% Accuracy against bytes
colors = {"real": (BLACK, "o"), "sign": (ORANGE, "s"), "scaled sign": (GREEN, "^"),
          "ternary": (BLUE, "D")}
for way, (color, marker) in colors.items():
    curve(hit, sizes[way] / 1000, 100 * hits[way].mean(axis=0), color=color, marker=marker,
          label=f"{way} weights")
    if way != "real":
        curve(hit, sizes[way] / 1000, 100 * lost[way].mean(axis=0), color=color, marker=marker,
              linestyle=":", mfc="white", linewidth=1)
hit.set(xscale="log", xlabel="file in kB", ylabel="test accuracy in %",
        title=f"Widths {', '.join(map(str, WIDTHS))}: trained (filled), only rounded (open)")
ticks = [1, 2, 5, 10, 20, 50]
hit.set_xticks(ticks, ticks)
hit.minorticks_off()
hit.legend(loc="center right", fontsize=9)

# %% Time
bars(pace, times, fmt="%.2g", xlabel="time by bits / by floats",
     title=f"Products with {SIZE} x {SIZE} codes in NumPy")
pace.axvline(1, color="0.4", lw=1, ls="--")
demo.finish(figure)
