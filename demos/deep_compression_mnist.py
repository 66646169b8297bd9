"""Does a hundredth of its bytes leave LeNet as good at reading MNIST?

MATH5836 week 10, section 10.2; Han, Mao and Dally 2016, Deep Compression, table 1, where
LeNet-300-100 becomes 40 times smaller and LeNet-5 39 times, without loss; Ullrich, Meeds and
Welling 2017, Soft weight-sharing, 64 times. The networks of these papers go through the stages of
`deep_compress`: the weights are pruned, then shared, the biases are rounded, and a file is coded.

The opponent is fair: a dense network trained for as many epochs as all stages together, with the
weight decay that is better on held-out training images.

You will see the error against the bytes of the file, stage by stage, and with ever fewer weights
kept, until it breaks; which pixels the first layer still reads, pruned with weight decay and
without; and what the bytes of the smallest file are spent on.

Predict first: what takes more bytes in the end, the large first layer or the rest? Some pixels
are nearly always white, so the loss hardly depends on their weights, and Adam makes them as large
as others. What does weight decay change?

The whole of MNIST is asked for with ``--data mnist``, and is looked for as `tinyml.data.mnist` says
(TINYML_DATA); ``--data fashion-mnist`` likewise. The default are the digits of the package,
enlarged to 28 x 28 pixels. On the whole sets, TINYML_LONG=1 runs the whole experiment, in about an
hour: longer training, the convolutional LeNet-5 too, and more and fewer weights.
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

from tinyml.compression.coding.codings import encode_array
from tinyml.compression.coding.storage import contents, load_compressed, save_compressed
from tinyml.compression.deep_compression import deep_compress, prune_gradually
from tinyml.compression.pruning import prunable_weights
from tinyml.compression.report import compare, file_bytes
from tinyml.data import train_test_split
from tinyml.nn import Conv2d, Flatten, Linear, MaxPool2d, ReLU, Sequential
from tinyml.optim import Adam, LambdaLR, cosine_decay
from tinyml.train import accuracy, fit, predict

demo = start(__file__, __doc__, data=("digits", "clothes", "mnist", "fashion-mnist"))
WHOLE = demo.data.endswith("mnist") and not demo.quick    # 60,000 images
LONG = WHOLE and "TINYML_LONG" in os.environ
SIDE = 16 if demo.quick else 28         # pixels of an image
BITS, BIAS_BITS = 3, 4                  # log2 of the number of values per layer, and per bias
DECAY = 3e-4                            # of the weights, while pruning
DENSE_LR = 1e-3 if WHOLE else 2e-3
LR = (2e-3, 3e-4) if WHOLE else (5e-3, 1e-3)    # of pruning, and of the shared values
BATCH = 128 if WHOLE else 64 if demo.quick else 32
SELDOM = 0.01                           # a pixel with ink in fewer images is nearly always white


# %% Recipes; the settings for whole sets were chosen on 10,000 training images of MNIST
class Recipe(NamedTuple):
    keep: float           # fraction of the weights
    dense_epochs: int     # of the teacher
    epochs: tuple         # of pruning, and of the shared values
    smaller: float        # expected: the file is smaller by at least this factor
    lost: float           # expected: points lost beside the dense network trained as long, at most


if LONG:
    RECIPES = {"LeNet-300-100": Recipe(0.044, 20, (60, 12), 100, 0.3),
               "LeNet-5": Recipe(0.04, 12, (12, 3), 100, 0.3)}
elif WHOLE:
    RECIPES = {"LeNet-300-100": Recipe(0.044, 8, (16, 4), 100, 0.5)}
elif demo.quick:
    RECIPES = {"LeNet-300-100": Recipe(0.05, 7, (7, 2), 50, 5)}
else:
    RECIPES = {"LeNet-300-100": Recipe(0.02, 20, (40, 10), 100, 2),
               "LeNet-5": Recipe(0.02, 5, (9, 2), 80, 2)}
# of weights kept, with LeNet-300-100, to see where it breaks
OTHER_KEEPS = (0.1, 0.02, 0.01, 0.005) if LONG else () if WHOLE or demo.quick else (0.005, 0.002)


# %% Data: whole sets have 28 x 28 pixels; other images are enlarged, with a margin
def images():
    """X_train, X_test, y_train, y_test."""
    if WHOLE:
        (X, y), (X_test, y_test) = demo.load(most=None), demo.load(most=None, split="test")
        return X, X_test, y, y_test
    X, y = demo.load()
    side = round(X.shape[1] ** 0.5)
    scale = max(1, SIDE // side)
    X = X.reshape(-1, side, side).repeat(scale, axis=1).repeat(scale, axis=2)
    skip = max(0, scale * side - SIDE + 1) // 2             # 28 pixels for 16: the middle of it
    X = X[:, skip:skip + SIDE, skip:skip + SIDE]
    margin = (SIDE - X.shape[1]) // 2
    X = np.pad(X, ((0, 0), (margin, margin), (margin, margin))).reshape(-1, SIDE ** 2)
    return train_test_split(X, y, test_size=0.3, rng=demo.rng, stratify=y)


X, X_test, y, y_test = images()


# %% Models: LeNet-300-100, and LeNet-5 in Caffe's form, which the papers compress
def lenet_300_100(rng):
    return Sequential(Linear(SIDE ** 2, 300, rng=rng), ReLU(), Linear(300, 100, rng=rng), ReLU(),
                      Linear(100, 10, rng=rng))


def lenet_5(rng):
    return Sequential(Conv2d(1, 20, 5, rng=rng), ReLU(), MaxPool2d(2),
                      Conv2d(20, 50, 5, rng=rng), ReLU(), MaxPool2d(2), Flatten(),
                      Linear(800, 500, rng=rng), ReLU(), Linear(500, 10, rng=rng))


NETWORKS = {"LeNet-300-100": (lenet_300_100, (SIDE ** 2,)), "LeNet-5": (lenet_5, (1, SIDE, SIDE))}


# %% Training of a dense network
def trained(network, X, y, *, epochs, decay=0, rng):
    model, n_steps = network(rng), epochs * -(-len(X) // BATCH)
    optimizer = Adam(model.parameters(), lr=DENSE_LR, weight_decay=decay)
    fit(model, X, y, optimizer=optimizer, epochs=epochs, batch_size=BATCH, rng=rng, label="dense",
        schedule=LambdaLR(optimizer, lambda t: cosine_decay(t, n_steps)))
    return model


# %% The fair opponent: as many epochs as all stages, and the better weight decay
def fair_network(network, X, y, recipe, rng):
    X_fit, X_val, y_fit, y_val = train_test_split(X, y, test_size=1 / 6, rng=rng, stratify=y)
    scores = {decay: accuracy(trained(network, X_fit, y_fit, epochs=recipe.dense_epochs,
                                      decay=decay, rng=rng), X_val, y_val)
              for decay in (0, DECAY)}
    return trained(network, X, y, epochs=recipe.dense_epochs + sum(recipe.epochs),
                   decay=max(scores, key=scores.get), rng=rng)


# %% The stages that make a network small
def shrink(dense, X, y, keep, epochs, rng):
    """The model of every stage."""
    return deep_compress(dense, X, y, keep=keep, bits=BITS, bias_bits=BIAS_BITS, epochs=epochs,
                         lr=LR, weight_decay=DECAY, batch_size=BATCH, rng=rng)[1]


# %% Experiment 1: every recipe, from the dense network to the file
class Result(NamedTuple):
    stages: dict          # stage: model
    rows: dict            # stage: its row of the table
    n_bytes: np.ndarray   # of the file of each stage
    hits: np.ndarray      # accuracy of each stage, in %
    fair: float           # accuracy of the dense network trained as long, in %
    same: bool            # whether the last file, read back, computes the same bits
    parts: list           # of the last file


def follow(title, recipe, rng):
    network, shape = NETWORKS[title]
    train, test = X.reshape(-1, *shape), X_test.reshape(-1, *shape)
    dense = trained(network, train, y, epochs=recipe.dense_epochs, rng=rng)
    stages = shrink(dense, train, y, recipe.keep, recipe.epochs, rng)
    rows = compare(stages, test, y_test)
    n_bytes = np.array([row.file_bytes for row in rows.values()])
    hits = 100 * np.array([row.accuracy for row in rows.values()])
    fair = 100 * accuracy(fair_network(network, train, y, recipe, rng), test, y_test)
    with TemporaryDirectory() as folder:
        path, small = Path(folder) / "model", stages["rounded"]
        save_compressed(small, path)
        again = load_compressed(path)
        same = predict(again, test).tobytes() == predict(small, test).tobytes()
        return Result(stages, rows, n_bytes, hits, fair, same, contents(path))


results = {title: follow(title, recipe, demo.rng) for title, recipe in RECIPES.items()}

# %% How small is the file, and what does it cost?
raw = {title: 4 * sum(p.size for p in r.stages["dense"].parameters())    # bytes of the parameters
       for title, r in results.items()}
factors = {title: raw[title] / r.n_bytes[-1] for title, r in results.items()}
for title, r in results.items():
    demo.record(f"{title}: accuracy, stage by stage", r.hits, "%")
    demo.record(f"{title}: accuracy of the dense network trained as long", r.fair, "%")
    demo.record(f"{title}: bytes of the file", r.n_bytes)
    demo.record(f"{title}: bytes of the parameters", raw[title])
    demo.claim(f"{title}: each stage is smaller than the one before (largest ratio)",
               (r.n_bytes[1:] / r.n_bytes[:-1]).max(), below=1)
    demo.claim(f"{title}: the file read back computes the same bits", r.same, at_least=1)
    demo.finding(f"{title}: the file is smaller than the parameters by a factor of",
                 factors[title], at_least=RECIPES[title].smaller,
                 why="Where the weights that stay read most of the pixels, their places take more bits.")
    demo.finding(f"{title}: beside the dense network trained as long it loses at most (points)",
                 r.fair - r.hits[-1], at_most=RECIPES[title].lost,
                 why="Where classes are harder to tell apart, a network needs more of its weights.")
ours = results["LeNet-300-100"]
demo.reports(ours.rows)

# %% Experiment 2: LeNet-300-100 pruned once more, without weight decay
plain, recipe = copy.deepcopy(ours.stages["dense"]), RECIPES["LeNet-300-100"]
prune_gradually(plain, X, y, teacher=ours.stages["dense"], keep=recipe.keep,
                epochs=recipe.epochs[0], lr=LR[0], weight_decay=0, batch_size=BATCH,
                rng=demo.rng)
pruned = {"with weight decay": ours.stages["pruned"], "without": plain}
seldom = (X > 0).mean(axis=0) < SELDOM
readers, wasted = {}, {}
for title, model in pruned.items():
    readers[title] = np.count_nonzero(model[0].weight.data, axis=0)    # units, for each pixel
    wasted[title] = readers[title][seldom].sum() / readers[title].sum()
    demo.record(f"pruned {title}: accuracy", 100 * accuracy(model, X_test, y_test), "%")
    demo.record(f"pruned {title}: fraction of weights at nearly white pixels", wasted[title])
demo.finding("weight decay prunes weights at nearly white pixels (their fraction, minus half of "
             "that without)", wasted["with weight decay"] - wasted["without"] / 2, at_most=0,
             why="Where hardly a pixel is nearly always white, there is little for it to prune.")

# %% Weights at few pixels lie close together, so their places take fewer bytes
if not demo.quick:
    places = {title: sum(len(encode_array(w.data != 0)) for w in prunable_weights(model).values())
              for title, model in pruned.items()}
    for title, size in places.items():
        demo.record(f"pruned {title}: bytes that tell the places", size)
    demo.finding("with weight decay, fewer bytes tell where as many weights are (ratio)",
                 places["with weight decay"] / places["without"], below=1,
                 why="Where every pixel varies, weights stay at all of them, with decay or without.")

# %% Experiment 3: the same dense network with more and with fewer weights kept
points = {recipe.keep: (ours.n_bytes[-1], ours.hits[-1])}    # keep: bytes, accuracy in %
for keep in demo.progress(OTHER_KEEPS, "fractions"):
    small = shrink(ours.stages["dense"], X, y, keep, recipe.epochs, demo.rng)["rounded"]
    points[keep] = file_bytes(small), 100 * accuracy(small, X_test, y_test)
keeps = sorted(points)
sizes, hits = np.array([points[keep] for keep in keeps]).T
demo.record("fractions kept", keeps)
demo.record("bytes of their files", sizes)
demo.record("their accuracy", hits, "%")
if len(keeps) > 1:
    demo.finding("with the fewest weights the network breaks (points lost)", ours.hits[0] - hits[0],
                 at_least=1,
                 why="Where classes are easy to tell apart, even the smallest fraction may be enough.")

# %% Figure: the error against the bytes of the file
figure, (error, pixels, spent) = plt.subplots(1, 3, figsize=(17, 6), width_ratios=[1.6, 0.8, 1])
figure.suptitle(f"LeNet-300-100, {raw['LeNet-300-100']:,} bytes, in a file of "
                f"{ours.n_bytes[-1]:,}, 1/{factors['LeNet-300-100']:.0f}: {ours.hits[-1]:.2f} % "
                f"right (dense, trained as long: {ours.fair:.2f} %)")
for (title, r), (color, marker) in zip(results.items(), SERIES):
    x = [raw[title], *r.n_bytes[1:]]
    curve(error, x, 100 - r.hits, f"1/{factors[title]:.0f}", color=color, marker=marker,
          label=title)
    error.axhline(100 - r.fair, color=color, linestyle=":", linewidth=1)
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
          ylabel="test error in %", title="dense, pruned, shared, rounded; dotted: dense, trained as long")
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
