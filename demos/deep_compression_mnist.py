"""Does a hundredth of its bytes leave LeNet as good at reading MNIST?

MATH5836 week 10, section 10.2; Han, Mao and Dally 2016, Deep Compression, table 1, where LeNet-300-100 gets
40 times smaller and LeNet-5 39 times, at no loss; Ullrich, Meeds and Welling 2017, Soft weight-sharing, 64
times. The networks of these papers go through the pipeline of `deep_compression`: prune, share, round, code.

You will see the error against the bytes of the file, stage by stage, and with ever fewer weights kept, until
it breaks; where the bytes of the smallest files are; and which pixels the first layer still reads, once
pruned with weight decay and once without.

Predict first: which takes more bytes in the end, the large first layer or the rest? And what becomes of
weights whose pixel is nearly always white, and which Adam nevertheless makes as large as any other?

MNIST is looked for as `tinyml.data.mnist` says (TINYML_DATA); where it is not, digits enlarged to 28 x 28
pixels stand in for it. On MNIST, set TINYML_LONG=1 for the whole experiment: it takes about half an hour,
and adds longer training, images shifted at random, the convolutional LeNet-5, and ever fewer weights.
"""
# %% Constants
import copy
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from common import BLACK, BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILLION, start

from tinyml import functional as F
from tinyml import nn
from tinyml.compression.coding.codings import encode_array
from tinyml.compression.coding.storage import contents, load_compressed, save_compressed
from tinyml.compression.deep_compression import deep_compress, prune_gradually
from tinyml.compression.pruning import prunable_weights
from tinyml.compression.report import compare, file_bytes
from tinyml.data import digits, mnist, train_test_split
from tinyml.optim import Adam, LambdaLR, cosine_decay
from tinyml.train import accuracy, fit, predict

demo = start(__file__, __doc__)
SIDE = 16 if demo.quick else 28         # pixels of an image
BITS, BIAS_BITS = 3, 4                  # log2 of the number of shared values per layer, and per bias
DECAY = 3e-4                            # of the weights, while pruning


LR = {"digits": (2e-3, (5e-3, 1e-3)), "MNIST": (1e-3, (2e-3, 3e-4))}    # in the order of epochs, below
BATCH = {"digits": 64 if demo.quick else 32, "MNIST": 128}


class Recipe(NamedTuple):
    """One way through the pipeline, and what is to come out."""

    network: str
    shifted: bool         # train on images moved by up to a pixel
    keep: float           # fraction of the weights
    epochs: tuple         # of the dense network, (while pruning, of the shared values)
    smaller: float        # claimed: 1 / at least this of the bytes of the parameters
    lost: float           # claimed: points of accuracy lost, at most


RECIPES = {    # name: how; the settings for MNIST were chosen on 10,000 of its training images
    "digits": {"LeNet-300-100": Recipe("LeNet-300-100", False, 0.02, (20, (60, 15)), 100, 2),
               "LeNet-5": Recipe("LeNet-5", False, 0.02, (8, (24, 6)), 80, 2)},
    "MNIST": {"LeNet-300-100": Recipe("LeNet-300-100", False, 0.035, (8, (16, 4)), 100, 0.4)},
    "MNIST, long": {
        "LeNet-300-100": Recipe("LeNet-300-100", False, 0.035, (20, (40, 8)), 100, 0.2),
        "LeNet-300-100, shifts": Recipe("LeNet-300-100", True, 0.035, (40, (60, 10)), 100, 0.3),
        "LeNet-5": Recipe("LeNet-5", False, 0.02, (6, (12, 3)), 100, 0.2)},
}
# Fractions kept that are tried besides, with LeNet-300-100, to see where it breaks.
CURVE = {"digits": () if demo.quick else (0.005, 0.002), "MNIST": (), "MNIST, long": (0.1, 0.015, 0.006)}
if demo.quick:
    RECIPES["digits"] = {"LeNet-300-100": Recipe("LeNet-300-100", False, 0.05, (7, (7, 2)), 50, 5)}


# %% Data
def images():
    """(name, X, X_test, y, y_test): MNIST, or the digits, each pixel as 2 x 2 or 3 x 3, with a margin."""
    if not demo.quick:
        try:
            (X, y), (X_test, y_test) = mnist(), mnist(split="test")
            return "MNIST, long" if os.environ.get("TINYML_LONG") else "MNIST", X, X_test, y, y_test
        except FileNotFoundError:
            print("MNIST is not here: enlarged digits instead")
    X, y = digits()
    scale, margin = SIDE // 8, SIDE % 8 // 2
    X = X.reshape(-1, 8, 8).repeat(scale, axis=1).repeat(scale, axis=2)
    X = np.pad(X, ((0, 0), (margin, margin), (margin, margin)))
    return "digits", *train_test_split(X.reshape(-1, SIDE ** 2), y, test_size=0.3, rng=demo.rng, stratify=y)


def shift(x, rng):
    """Move every image by -1, 0 or 1 pixel along both axes; what comes in is white."""
    padded = np.pad(x.reshape(-1, SIDE, SIDE), ((0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (SIDE, SIDE), axis=(1, 2))
    down, right = rng.integers(0, 3, (2, len(x)))
    return windows[np.arange(len(x)), down, right].reshape(x.shape)


# %% Model
def lenet_300_100(rng):
    return nn.Sequential(nn.Linear(SIDE ** 2, 300, rng=rng), nn.ReLU(),
                         nn.Linear(300, 100, rng=rng), nn.ReLU(), nn.Linear(100, 10, rng=rng))


def lenet_5(rng):
    """In Caffe's form, which the papers compress: 20 and 50 filters of 5 x 5, 500 units."""
    return nn.Sequential(nn.Conv2d(1, 20, 5, rng=rng), nn.ReLU(), nn.MaxPool2d(2),
                         nn.Conv2d(20, 50, 5, rng=rng), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
                         nn.Linear(800, 500, rng=rng), nn.ReLU(), nn.Linear(500, 10, rng=rng))


NETWORKS = {"LeNet-300-100": (lenet_300_100, (SIDE ** 2,)), "LeNet-5": (lenet_5, (1, SIDE, SIDE))}


def trained(network, X, y, *, epochs, augment, rng):
    """The dense network."""
    model, steps = network(rng), epochs * -(-len(X) // BATCH[kind])
    optimizer = Adam(model.parameters(), lr=LR[kind][0])

    def loss_of(model, x, y):
        return F.cross_entropy(model(x if augment is None else augment(x, rng)), y)
    fit(model, X, y, optimizer=optimizer, epochs=epochs, batch_size=BATCH[kind], rng=rng, loss_of=loss_of,
        schedule=LambdaLR(optimizer, lambda t: cosine_decay(t, steps)), label="dense")
    return model


def shrink(dense, X, y, recipe, keep, **options):
    """The stages of the pipeline."""
    return deep_compress(dense, X, y, keep=keep, bits=BITS, bias_bits=BIAS_BITS, lr=LR[kind][1],
                         epochs=recipe.epochs[1], weight_decay=DECAY, batch_size=BATCH[kind], **options)[1]


# %% Experiment: every recipe
def follow(recipe, X, X_test, y, y_test, rng):
    """The models of all stages; bytes of their files and accuracies, (stages, 2); the last file's parts."""
    network, shape = NETWORKS[recipe.network]
    X, X_test, augment = X.reshape(-1, *shape), X_test.reshape(-1, *shape), shift if recipe.shifted else None
    dense = trained(network, X, y, epochs=recipe.epochs[0], augment=augment, rng=rng)
    stages, rows = shrink(dense, X, y, recipe, recipe.keep, augment=augment, rng=rng), []
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        for model in stages.values():
            save_compressed(model, path)
            rows.append((path.stat().st_size, accuracy(model, X_test, y_test)))
        if predict(load_compressed(path), X_test).tobytes() != predict(model, X_test).tobytes():
            raise RuntimeError("follow: a file read back must compute the same bits, got others")
        return stages, np.array(rows), contents(path)


name, *data = images()
kind = name.split(",")[0]
recipes = RECIPES[name]
found = {title: follow(recipe, *data, demo.rng) for title, recipe in recipes.items()}
params = {title: 4 * sum(p.size for p in stages["dense"].parameters())
          for title, (stages, _, _) in found.items()}
first = found["LeNet-300-100"]

# %% Experiment: LeNet-300-100 once more, pruned without weight decay
plain = copy.deepcopy(first[0]["dense"])
recipe, (X, X_test, y, y_test) = recipes["LeNet-300-100"], data
prune_gradually(plain, X, y, teacher=first[0]["dense"], keep=recipe.keep, epochs=recipe.epochs[1][0],
                lr=LR[kind][1][0], weight_decay=0, batch_size=BATCH[kind], rng=demo.rng)
pruned = {"with weight decay": first[0]["pruned"], "without": plain}
readers = {title: np.count_nonzero(model[0].weight.data, axis=0)    # units that read each pixel
           for title, model in pruned.items()}
places = {title: sum(len(encode_array(w.data != 0)) for w in prunable_weights(model).values())    # in bytes
          for title, model in pruned.items() if not demo.quick}
seldom = (X > 0).mean(axis=0) < 0.01    # pixels that have ink in less than 1 % of the images
wasted = {title: count[seldom].sum() / count.sum() for title, count in readers.items()}

# %% Experiment: the same dense network with more and with fewer weights kept
curve = [(recipe.keep, *first[1][-1])]    # fraction kept, bytes of the file, accuracy
for keep in demo.progress(CURVE[name], "fractions"):
    small = shrink(first[0]["dense"], X, y, recipe, keep, rng=demo.rng)["rounded"]
    curve.append((keep, file_bytes(small), accuracy(small, X_test, y_test)))
curve = np.array(sorted(curve))

# %% Figure: error against bytes, the pixels read, where the bytes are
LOOK = {"LeNet-300-100": (BLUE, "o", "-"), "LeNet-300-100, shifts": (VERMILLION, "s", "-"),
        "LeNet-5": (GREEN, "^", "-")}
ours, (_, table, parts) = "LeNet-300-100", first
factors = {title: params[title] / table[-1, 0] for title, (_, table, _) in found.items()}
lost = {title: 100 * (table[0, 1] - table[-1, 1]) for title, (_, table, _) in found.items()}
figure, axes = plt.subplot_mosaic([["errors", "errors", "with weight decay", "without"], ["parts"] * 4],
                                  figsize=(14, 9), height_ratios=[1.6, 1], width_ratios=[1, 1, 1, 1])
figure.suptitle(f"{ours}, {params[ours]:,} bytes, in a file of {table[-1, 0]:,.0f}, 1/{factors[ours]:.0f}: "
                f"{100 * table[-1, 1]:.2f} % right (dense: {100 * table[0, 1]:.2f} %)")


def draw_errors(ax):
    for title, (_, table, _) in found.items():
        color, marker, style = LOOK[title]
        x, error = np.append(params[title], table[1:, 0]), 100 * (1 - table[:, 1])
        ax.plot(x, error, style, color=color, marker=marker, ms=7, label=title)
        ax.axhline(error[0], color=color, ls=":", lw=1)
        ax.annotate(f"1/{factors[title]:.0f}", (x[-1], error[-1]), (8, 0), textcoords="offset points",
                    va="center", color=color, fontweight="bold")
    if len(curve) > 1:
        ax.plot(curve[:, 1], 100 * (1 - curve[:, 2]), "--", color=ORANGE, marker="D", ms=5, zorder=1,
                label="other fractions kept")
        for keep, size, right in curve:
            ax.annotate(f"{100 * keep:g} %", (size, 100 * (1 - right)), (-5, 8), textcoords="offset points",
                        color=ORANGE, ha="right")
    for factor, words in ((40, "Han et al.: 1/40"), (64, "Ullrich et al.: 1/64")):
        ax.axvline(params[ours] / factor, color=BLACK, ls="--", lw=1.2)
        ax.text(params[ours] / factor, 0.98, words + " ", rotation=90, ha="right", va="top", fontsize=9,
                transform=ax.get_xaxis_transform())
    low, high = min(curve[0, 1], *(t[-1, 0] for _, t, _ in found.values())), max(params.values())
    ax.set(xscale="log", xlabel="bytes: float32 parameters, then the file of each stage",
           ylabel="test error, %", xlim=(high * 1.6, low / 3),
           title=f"{kind}: dense, pruned, shared, rounded (dotted: dense)")
    least = min(curve[:, 2].min(), *(t[:, 1].min() for _, t, _ in found.values()))
    ax.set_ylim(0, 1.5 * 100 * (1 - least))
    ax.legend(loc="upper left")


def draw_readers(ax, title):
    counts = np.where(readers[title], readers[title], np.nan).reshape(SIDE, SIDE)
    most = np.percentile(readers["with weight decay"], 99)
    picture = ax.imshow(counts, cmap="viridis_r", vmin=0, vmax=most)
    ax.set(xticks=[], yticks=[], facecolor="0.93")
    ax.set_title(f"Units that read a pixel,\npruned {title}:\n{np.count_nonzero(readers[title])} pixels, "
                 f"{100 * wasted[title]:.0f} % of weights at pixels\nthat are nearly always white",
                 fontsize=11)
    ax.grid(False)
    figure.colorbar(picture, ax=ax, orientation="horizontal", shrink=0.8)


KINDS = {    # how the parts of a file are told apart: by their names
    "places and values": lambda name: name.endswith("codes"),
    "codebooks": lambda name: name.endswith("codebook"),
    "biases": lambda name: name.endswith("bias"),
    "skeleton and frame": lambda name: name.startswith("(")}


def draw_parts(ax):
    for row, (_, table, parts) in enumerate(found.values()):
        groups = [[p for p in parts if is_one(p.name)] for is_one in KINDS.values()]
        pieces = [(f"{'x'.join(map(str, p.shape))}: {p.bytes:,}", p.bytes) for p in groups[0]]
        pieces += [(words, sum(p.bytes for p in group)) for words, group in zip([*KINDS][1:], groups[1:])]
        left = 0
        for i, (words, size) in enumerate(pieces):
            code = i < len(groups[0])
            ax.barh(row, size, left=left, height=0.6, edgecolor="white", hatch="" if code else "//",
                    color=[BLUE, SKY][i % 2] if code else [ORANGE, PURPLE, "0.7"][i - len(groups[0])])
            if size > 0.06 * table[-1, 0]:
                ax.text(left + size / 2, row, words, ha="center", va="center", fontsize=9,
                        bbox=dict(fc="white", ec="none", alpha=0.85, pad=1.5))
            left += size
        ax.text(left * 1.005, row, f" {left:,} bytes", va="center")
    ax.set(yticks=range(len(found)), yticklabels=list(found), xlabel="bytes of the file",
           ylim=(-0.5, len(found) - 0.5), xlim=(0, 1.12 * max(t[-1, 0] for _, t, _ in found.values())),
           title="Where the bytes are: codes of the layers; then (hatched) codebooks, biases and the rest")
    ax.invert_yaxis()
    ax.grid(False, axis="y")


draw_errors(axes["errors"])
for title in readers:
    draw_readers(axes[title], title)
draw_parts(axes["parts"])

# %% Claims
demo.record("data", name)
demo.reports(compare(first[0], X_test, y_test))
demo.record("fractions kept", curve[:, 0])
demo.record("and bytes of their files", curve[:, 1])
demo.record("and accuracy", 100 * curve[:, 2], "%")
for title, (_, table, _) in found.items():
    demo.record(f"{title}: accuracy, stage by stage", 100 * table[:, 1], "%")
    demo.record(f"{title}: bytes of the file", table[:, 0])
    demo.record(f"{title}: bytes of the parameters", params[title])
    demo.claim(f"{title}: the file is smaller than the parameters by a factor of", factors[title],
               at_least=recipes[title].smaller)
    demo.claim(f"{title}: which costs at most (points of accuracy)", lost[title], at_most=recipes[title].lost)
    demo.claim(f"{title}: each stage is smaller than the one before (largest ratio)",
               (table[1:, 0] / table[:-1, 0]).max(), below=1)
for title, model in pruned.items():
    demo.record(f"pruned {title}: accuracy", 100 * accuracy(model, X_test, y_test), "%")
for title, size in places.items():
    demo.record(f"pruned {title}: bytes that tell the places", size)
demo.record("share of weights at nearly white pixels, with", wasted["with weight decay"])
demo.record("and without weight decay", wasted["without"])
demo.claim("weight decay prunes weights at nearly white pixels (their share, minus half of that without)",
           wasted["with weight decay"] - wasted["without"] / 2, at_most=0)
if len(curve) > 1:
    demo.claim("with the fewest weights it breaks (points lost)", 100 * (first[1][0, 1] - curve[0, 2]),
               at_least=1)
if places:
    demo.claim("so fewer bytes tell where as many weights are (ratio)",
               places["with weight decay"] / places["without"], below=1)
if "LeNet-300-100, shifts" in found:
    demo.claim("trained on shifted images, the small file is better than the dense network without (points)",
               100 * (found["LeNet-300-100, shifts"][1][-1, 1] - first[1][0, 1]), at_least=0)
demo.finish(figure)
