"""Does a hundredth of its bytes leave LeNet as good at reading MNIST?

MATH5836 week 10, section 10.2; Han, Mao and Dally 2016, Deep Compression, table 1, where
LeNet-300-100 becomes 40 times smaller and LeNet-5 39 times, without loss; Ullrich, Meeds and
Welling 2017, Soft weight-sharing, 64 times. The networks of these papers go through the stages of
`deep_compress`: the weights are pruned, then shared, the biases are rounded, and a file is coded.

You will see the error against the bytes of the file, stage by stage, and with ever fewer weights
kept, until it breaks; which pixels the first layer still reads, pruned with weight decay and
without; and what the bytes of the smallest file are spent on.

Predict first: what takes more bytes in the end, the large first layer or the rest? Some pixels
are nearly always white, so the loss hardly depends on their weights, and Adam makes them as large
as others. What does weight decay change?

MNIST is looked for as `tinyml.data.mnist` says (TINYML_DATA). Without it, digits enlarged to 28 x
28 pixels stand in for it. On MNIST, TINYML_LONG=1 runs the whole experiment, in about half an
hour: longer training, images shifted at random, the convolutional LeNet-5, and fewer weights.
"""
# %% Constants
import copy
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from common import BLACK, start
from panels import SERIES, bars, curve, sheet

from tinyml import functional as F
from tinyml.compression.coding.codings import encode_array
from tinyml.compression.coding.storage import contents, load_compressed, save_compressed
from tinyml.compression.deep_compression import deep_compress, prune_gradually
from tinyml.compression.pruning import prunable_weights
from tinyml.compression.report import compare, file_bytes
from tinyml.data import digits, mnist, train_test_split
from tinyml.nn import Conv2d, Flatten, Linear, MaxPool2d, ReLU, Sequential
from tinyml.optim import Adam, LambdaLR, cosine_decay
from tinyml.train import accuracy, fit, predict

demo = start(__file__, __doc__)
SIDE = 16 if demo.quick else 28         # pixels of an image
BITS, BIAS_BITS = 3, 4                  # log2 of the number of values per layer, and per bias
DECAY = 3e-4                            # of the weights, while pruning
DENSE_LR = {"digits": 2e-3, "MNIST": 1e-3}
LR = {"digits": (5e-3, 1e-3), "MNIST": (2e-3, 3e-4)}    # of pruning, and of the shared values
BATCH = {"digits": 64 if demo.quick else 32, "MNIST": 128}
SELDOM = 0.01                           # a pixel with ink in fewer images is nearly always white


# %% Recipes; the settings for MNIST were chosen on 10,000 of its training images
class Recipe(NamedTuple):
    network: str
    shifted: bool         # train on images moved by up to a pixel
    keep: float           # fraction of the weights
    dense_epochs: int
    epochs: tuple         # of pruning, and of the shared values
    smaller: float        # claimed: the file is smaller by at least this factor
    lost: float           # claimed: points of accuracy lost, at most


RECIPES = {
    "digits": {"LeNet-300-100": Recipe("LeNet-300-100", False, 0.02, 20, (60, 15), 100, 2),
               "LeNet-5": Recipe("LeNet-5", False, 0.02, 8, (24, 6), 80, 2)},
    "MNIST": {"LeNet-300-100": Recipe("LeNet-300-100", False, 0.035, 8, (16, 4), 100, 0.4)},
    "MNIST, long": {
        "LeNet-300-100": Recipe("LeNet-300-100", False, 0.035, 20, (40, 8), 100, 0.2),
        "LeNet-300-100, shifts": Recipe("LeNet-300-100", True, 0.035, 40, (60, 10), 100, 0.3),
        "LeNet-5": Recipe("LeNet-5", False, 0.02, 6, (12, 3), 100, 0.2)},
}
OTHER_KEEPS = {    # with LeNet-300-100, to see where it breaks
    "digits": () if demo.quick else (0.005, 0.002), "MNIST": (),
    "MNIST, long": (0.1, 0.015, 0.006)}
if demo.quick:
    RECIPES["digits"] = {
        "LeNet-300-100": Recipe("LeNet-300-100", False, 0.05, 7, (7, 2), 50, 5)}


# %% Data: MNIST, or the digits with each pixel enlarged to 2 x 2 or 3 x 3, and a margin
def images():
    """Name, X_train, X_test, y_train, y_test."""
    if not demo.quick:
        try:
            (X, y), (X_test, y_test) = mnist(), mnist(split="test")
            name = "MNIST, long" if os.environ.get("TINYML_LONG") else "MNIST"
            return name, X, X_test, y, y_test
        except FileNotFoundError:
            print("MNIST is not here: enlarged digits instead")
    X, y = digits()
    scale, margin = SIDE // 8, SIDE % 8 // 2
    X = X.reshape(-1, 8, 8).repeat(scale, axis=1).repeat(scale, axis=2)
    X = np.pad(X, ((0, 0), (margin, margin), (margin, margin))).reshape(-1, SIDE ** 2)
    return "digits", *train_test_split(X, y, test_size=0.3, rng=demo.rng, stratify=y)


name, X, X_test, y, y_test = images()
kind, recipes = name.split(",")[0], RECIPES[name]
demo.record("data", name)


# %% Shifts: every image moves by -1, 0 or 1 pixel along both axes, and white comes in
def shift(x, rng):
    n = len(x)
    padded = np.pad(x.reshape(n, SIDE, SIDE), ((0, 0), (1, 1), (1, 1)))
    all_shifts = np.lib.stride_tricks.sliding_window_view(padded, (SIDE, SIDE), axis=(1, 2))
    down, right = rng.integers(0, 3, (2, n))
    shifted = all_shifts[np.arange(n), down, right]
    return shifted.reshape(x.shape)


# %% Models: LeNet-300-100, and LeNet-5 in Caffe's form, which the papers compress
def lenet_300_100(rng):
    return Sequential(Linear(SIDE ** 2, 300, rng=rng), ReLU(), Linear(300, 100, rng=rng), ReLU(),
                      Linear(100, 10, rng=rng))


def lenet_5(rng):
    return Sequential(Conv2d(1, 20, 5, rng=rng), ReLU(), MaxPool2d(2),
                      Conv2d(20, 50, 5, rng=rng), ReLU(), MaxPool2d(2), Flatten(),
                      Linear(800, 500, rng=rng), ReLU(), Linear(500, 10, rng=rng))


NETWORKS = {"LeNet-300-100": (lenet_300_100, (SIDE ** 2,)), "LeNet-5": (lenet_5, (1, SIDE, SIDE))}


# %% Training of the dense network, and the stages that make it small
def trained(network, X, y, *, epochs, augment, rng):
    model, n_steps = network(rng), epochs * -(-len(X) // BATCH[kind])
    optimizer = Adam(model.parameters(), lr=DENSE_LR[kind])
    schedule = LambdaLR(optimizer, lambda t: cosine_decay(t, n_steps))

    def loss_of(model, x, y):
        return F.cross_entropy(model(x if augment is None else augment(x, rng)), y)
    fit(model, X, y, optimizer=optimizer, epochs=epochs, batch_size=BATCH[kind], rng=rng,
        loss_of=loss_of, schedule=schedule, label="dense")
    return model


def shrink(dense, X, y, keep, epochs, **options):
    """The model of every stage."""
    return deep_compress(dense, X, y, keep=keep, bits=BITS, bias_bits=BIAS_BITS, epochs=epochs,
                         lr=LR[kind], weight_decay=DECAY, batch_size=BATCH[kind], **options)[1]


# %% Experiment 1: every recipe, from the dense network to the file
class Result(NamedTuple):
    stages: dict          # stage: model
    n_bytes: np.ndarray   # of the file of each stage
    hits: np.ndarray      # accuracy of each stage, in %
    same: bool            # whether the last file, read back, computes the same bits
    parts: list           # of the last file


def follow(recipe, rng):
    network, shape = NETWORKS[recipe.network]
    train, test = X.reshape(-1, *shape), X_test.reshape(-1, *shape)
    augment = shift if recipe.shifted else None
    dense = trained(network, train, y, epochs=recipe.dense_epochs, augment=augment, rng=rng)
    stages = shrink(dense, train, y, recipe.keep, recipe.epochs, augment=augment, rng=rng)
    n_bytes = np.array([file_bytes(model) for model in stages.values()])
    hits = np.array([100 * accuracy(model, test, y_test) for model in stages.values()])
    with TemporaryDirectory() as folder:
        path, small = Path(folder) / "model", stages["rounded"]
        save_compressed(small, path)
        again = load_compressed(path)
        same = predict(again, test).tobytes() == predict(small, test).tobytes()
        return Result(stages, n_bytes, hits, same, contents(path))


results = {title: follow(recipe, demo.rng) for title, recipe in recipes.items()}

# %% How small is the file, and what does it cost?
raw = {title: 4 * sum(p.size for p in r.stages["dense"].parameters())    # bytes of the parameters
       for title, r in results.items()}
factors = {title: raw[title] / r.n_bytes[-1] for title, r in results.items()}
for title, r in results.items():
    demo.record(f"{title}: accuracy, stage by stage", r.hits, "%")
    demo.record(f"{title}: bytes of the file", r.n_bytes)
    demo.record(f"{title}: bytes of the parameters", raw[title])
    demo.claim(f"{title}: the file is smaller than the parameters by a factor of", factors[title],
               at_least=recipes[title].smaller)
    demo.claim(f"{title}: the accuracy lost is at most (points)", r.hits[0] - r.hits[-1],
               at_most=recipes[title].lost)
    demo.claim(f"{title}: each stage is smaller than the one before (largest ratio)",
               (r.n_bytes[1:] / r.n_bytes[:-1]).max(), below=1)
    demo.claim(f"{title}: the file read back computes the same bits", r.same, at_least=1)

# %% Random shifts are more training data, so they gain more than the small file loses
ours = results["LeNet-300-100"]
if "LeNet-300-100, shifts" in results:
    lead = results["LeNet-300-100, shifts"].hits[-1] - ours.hits[0]
    demo.claim("trained on shifted images, the small file is better than the dense network "
               "without (points)", lead, at_least=0)
demo.reports(compare(ours.stages, X_test, y_test))

# %% Experiment 2: LeNet-300-100 pruned once more, without weight decay
plain, recipe = copy.deepcopy(ours.stages["dense"]), recipes["LeNet-300-100"]
prune_gradually(plain, X, y, teacher=ours.stages["dense"], keep=recipe.keep,
                epochs=recipe.epochs[0], lr=LR[kind][0], weight_decay=0, batch_size=BATCH[kind],
                rng=demo.rng)
pruned = {"with weight decay": ours.stages["pruned"], "without": plain}
seldom = (X > 0).mean(axis=0) < SELDOM
readers, wasted = {}, {}
for title, model in pruned.items():
    readers[title] = np.count_nonzero(model[0].weight.data, axis=0)    # units, for each pixel
    wasted[title] = readers[title][seldom].sum() / readers[title].sum()
    demo.record(f"pruned {title}: accuracy", 100 * accuracy(model, X_test, y_test), "%")
    demo.record(f"pruned {title}: fraction of weights at nearly white pixels", wasted[title])
demo.claim("weight decay prunes weights at nearly white pixels (their fraction, minus half of "
           "that without)", wasted["with weight decay"] - wasted["without"] / 2, at_most=0)

# %% Weights at few pixels lie close together, so their places take fewer bytes
if not demo.quick:
    places = {title: sum(len(encode_array(w.data != 0)) for w in prunable_weights(model).values())
              for title, model in pruned.items()}
    for title, size in places.items():
        demo.record(f"pruned {title}: bytes that tell the places", size)
    demo.claim("with weight decay, fewer bytes tell where as many weights are (ratio)",
               places["with weight decay"] / places["without"], below=1)

# %% Experiment 3: the same dense network with more and with fewer weights kept
points = {recipe.keep: (ours.n_bytes[-1], ours.hits[-1])}    # keep: bytes, accuracy in %
for keep in demo.progress(OTHER_KEEPS[name], "fractions"):
    small = shrink(ours.stages["dense"], X, y, keep, recipe.epochs, rng=demo.rng)["rounded"]
    points[keep] = file_bytes(small), 100 * accuracy(small, X_test, y_test)
keeps = sorted(points)
sizes, hits = np.array([points[keep] for keep in keeps]).T
demo.record("fractions kept", keeps)
demo.record("bytes of their files", sizes)
demo.record("their accuracy", hits, "%")
if len(keeps) > 1:
    demo.claim("with the fewest weights the network breaks (points lost)", ours.hits[0] - hits[0],
               at_least=1)

# %% Figure: the error against the bytes of the file
figure, (error, pixels, spent) = plt.subplots(1, 3, figsize=(17, 6), width_ratios=[1.6, 0.8, 1])
figure.suptitle(f"LeNet-300-100, {raw['LeNet-300-100']:,} bytes, in a file of "
                f"{ours.n_bytes[-1]:,}, 1/{factors['LeNet-300-100']:.0f}: {ours.hits[-1]:.2f} % "
                f"right (dense: {ours.hits[0]:.2f} %)")
for (title, r), (color, marker) in zip(results.items(), SERIES):
    x = [raw[title], *r.n_bytes[1:]]
    curve(error, x, 100 - r.hits, f"1/{factors[title]:.0f}", color=color, marker=marker,
          label=title)
    error.axhline(100 - r.hits[0], color=color, linestyle=":", linewidth=1)
if len(keeps) > 1:
    error.plot(sizes, 100 - hits, "--", color="0.5", marker="D", zorder=1,
               label="other fractions kept")
    for keep, size, right in zip(keeps, sizes, hits):
        error.annotate(f"{100 * keep:g} %", (size, 100 - right), (-5, 8), ha="right",
                       textcoords="offset points", color="0.4")

# %% ... beside the factors of the papers
for factor, words in ((40, "Han et al.: 1/40 "), (64, "Ullrich et al.: 1/64 ")):
    at = raw["LeNet-300-100"] / factor
    error.axvline(at, color=BLACK, linestyle="--", linewidth=1.2)
    error.text(at, 0.98, words, rotation=90, ha="right", va="top", fontsize=9,
               transform=error.get_xaxis_transform())
smallest = min(sizes[0], *(r.n_bytes[-1] for r in results.values()))
worst = 100 - min(hits[0], *(r.hits.min() for r in results.values()))
error.set(xscale="log", xlim=(1.6 * max(raw.values()), smallest / 3), ylim=(0, 1.5 * worst),
          xlabel="bytes: float32 parameters, then the file of each stage",
          ylabel="test error in %", title=f"{kind}: dense (dotted), pruned, shared, rounded")
error.legend(loc="upper left")

# %% The pixels that are read, and what the bytes are spent on
most = np.percentile(readers["with weight decay"], 99)
rows = {f"{title}\n{np.count_nonzero(count)} pixels,\n{100 * wasted[title]:.0f} % of weights\n"
        "at nearly\nwhite ones": np.where(count, count, np.nan).reshape(1, SIDE, SIDE)
        for title, count in readers.items()}
sheet(pixels, rows, high=most, cmap="viridis_r", missing="0.93",
      title="Units that read a pixel\n(dark: many, grey: none)")
values = {f"codes, {'x'.join(map(str, part.shape))}": part.bytes for part in ours.parts
          if part.name.endswith("codes")}
for words, end in (("codebooks", "codebook"), ("biases", "bias")):
    values[words] = sum(part.bytes for part in ours.parts if part.name.endswith(end))
values["the rest"] = ours.n_bytes[-1] - sum(values.values())
bars(spent, values, fmt="{:,.0f}", xlabel="bytes",
     title="What the file of LeNet-300-100\nis spent on")
demo.finish(figure)
