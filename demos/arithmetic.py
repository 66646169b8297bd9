"""What does a coder gain that learns where a network keeps its weights?

MATH5836 week 10, section 10.2; Han, Mao and Dally 2016, Deep Compression; Rissanen and Langdon 1979. A
network learns handwritten digits and is pruned. Where the kept weights of its first layer stand, and which of
8 shared values each has, is coded by Huffman words for gaps, as in the paper, and by adaptive arithmetic
coding. To see what is learnt, structure is destroyed in two steps: pixels (columns) in a random order, then
all entries.

You will see what some hidden units keep of the image; the bytes of each coding beside the entropy; and what
learning has saved after every unit.

Predict first: the entropy of the codes is the limit for every code that treats entries alike. Can a code be
below it? On images of only 8 x 8 pixels, what is worth more: to know which pixels are used at all, or that
neighbours are kept together?
"""
# %% Constants
import math

import matplotlib.pyplot as plt
import numpy as np
from common import BLACK, BLUE, GREEN, ORANGE, SKY, VERMILLION, label_line, start

from tinyml import nn, optim
from tinyml.compression.coding.arithmetic import best_lag, code_matrix
from tinyml.compression.coding.huffman import entropy
from tinyml.compression.coding.sparse_codes import all_codings
from tinyml.compression.weight_sharing import SharedWeight
from tinyml.data import digits, train_test_split
from tinyml.train import accuracy, fit

demo = start(__file__, __doc__)
UNITS = 200 if demo.quick else 400      # hidden units: rows of the matrix
KEPT = 0.1                              # share of the first layer's weights that is kept
EPOCHS = 6 if demo.quick else 20        # of training, and as many of fine-tuning
VALUES = 8                              # shared values
SIDE = 8                                # pixels of an image's side
SHOWN = 24                              # units in the picture

# %% Data
X, y = digits()
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.2, rng=demo.rng, stratify=y)

# %% Model: trained, its first layer pruned to the largest weights step by step, fine-tuned
model = nn.Sequential(nn.Linear(SIDE ** 2, UNITS, rng=demo.rng), nn.ReLU(),
                      nn.Linear(UNITS, 10, rng=demo.rng))
adam, first = optim.Adam(model.parameters(), lr=2e-3), model[0].weight
settings = dict(optimizer=adam, batch_size=32, rng=demo.rng)
fit(model, X_train, y_train, epochs=EPOCHS, label="train", **settings)


def prune(amount):
    """Keep the 1 - amount largest weights of the first layer, now and after every step."""
    mask = np.abs(first.data) >= np.quantile(np.abs(first.data), amount)

    def project():
        first.data = np.where(mask, first.data, 0)
    adam.projections[:] = [project]
    project()


for step in range(1, EPOCHS + 1):
    prune((1 - KEPT) * (1 - (1 - step / EPOCHS) ** 3))
    fit(model, X_train, y_train, epochs=1, label=f"prune {step}", **settings)
codes = SharedWeight.from_weight(first, k=VALUES).codes.astype(int)
right = accuracy(model, X_test, y_test)


# %% Experiment: the codes as they are, and with less and less structure
class Meter:
    """In the place of an encoder: it writes down what each answer costs, -log2 of its probability."""

    def __init__(self):
        self.bits = []

    def code(self, bit, p):
        self.bits.append(-math.log2(p if bit else 1 - p))
        return bit


def cost_of_rows(codes):
    """Bits for each row, with what was learnt from those before it."""
    meter = Meter()
    code_matrix(meter, codes, k=VALUES, lag=best_lag(codes))
    answers = codes.shape[1] + 3 * np.count_nonzero(codes, axis=1)    # 3 bits tell 8 values apart
    return np.add.reduceat(meter.bits, answers.cumsum() - answers)


pixels = demo.rng.permutation(SIDE ** 2)
cases = {"as it is": codes, "pixels\nshuffled": codes[:, pixels],
         "all entries\nshuffled": demo.rng.permutation(codes.ravel()).reshape(codes.shape)}
ways = [all_codings(case, VALUES) for case in cases.values()]
H = entropy(np.bincount(codes.ravel())) * codes.size / 8
gaps = np.array([min(len(way["gaps along rows"]), len(way["gaps along columns"])) for way in ways])
learnt = np.array([len(way["arithmetic"]) for way in ways])
lag = best_lag(codes)
rows = np.array([cost_of_rows(case) for case in cases.values()])
granted = H * 8 / UNITS    # bits for a unit, on average, by the best code that treats all entries alike

# %% Figure: what units keep, bytes, learning
figure, axes = plt.subplot_mosaic([["units", "bytes"], ["rows", "rows"]], figsize=(12, 9.4),
                                  height_ratios=[1.15, 1])
figure.suptitle(f"Learning where weights are kept: {100 * (1 - learnt[0] / gaps[0]):.0f} % fewer bytes than "
                f"Huffman's gaps, {100 * (1 - learnt[0] / H):.0f} % fewer than the entropy")


def draw_units(ax):
    """Hidden units as images: what each keeps of the 8 x 8 pixels, and its sign."""
    busy = np.argsort(-np.count_nonzero(codes, axis=1))[:SHOWN]
    sign = np.sign(first.data[busy]).reshape(-1, 6, SIDE, SIDE)    # 6 units side by side
    picture = np.zeros((len(sign) * (SIDE + 1) + 1, 6 * (SIDE + 1) + 1))
    for i, line in enumerate(sign):
        for j, unit in enumerate(line):
            picture[i * 9 + 1:i * 9 + 9, j * 9 + 1:j * 9 + 9] = unit
    colors = plt.matplotlib.colors.ListedColormap([BLUE, "white", VERMILLION])
    ax.imshow(picture, cmap=colors, vmin=-1, vmax=1)
    for i, j in np.argwhere(picture > 0):
        ax.text(j, i, "+", ha="center", va="center", color="white", fontsize=6)
    for k in range(7):
        ax.axvline(9 * k, color="0.6", lw=0.8)
    for k in range(len(sign) + 1):
        ax.axhline(9 * k, color="0.6", lw=0.8)
    ax.set(xticks=[], yticks=[], title=f"What {SHOWN} of {UNITS} units keep of the image: + and - (blue)")
    ax.spines[:].set_visible(False)
    ax.grid(False)


def draw_bytes(ax):
    x = np.arange(len(cases))
    for shift, values, color, hatch, name in ((-0.2, gaps, ORANGE, "//", "Huffman's gaps"),
                                              (0.2, learnt, SKY, "", "arithmetic")):
        bars = ax.bar(x + shift, 100 * (values / H - 1), 0.38, color=color, hatch=hatch, edgecolor="white",
                      label=name)
        ax.bar_label(bars, [f"{v:,} B" for v in values], padding=3)
    ax.axhline(0, linestyle="--", color=BLACK, lw=1.4)
    ax.legend(loc="lower right")
    ax.margins(y=0.15)
    ax.set(xticks=x, xticklabels=cases, ylabel="% above the entropy (dashed)",
           title=f"Tables included, beside {H:,.0f} bytes of entropy")
    ax.grid(False, axis="x")


def draw_rows(ax):
    for bits, name, color, style in zip(rows, cases, (GREEN, BLUE, VERMILLION), ("-", "-.", ":")):
        line, = ax.plot(np.arange(1, UNITS + 1), (granted - bits).cumsum() / 8, color=color, linestyle=style)
        label_line(ax, line, name)
    ax.axhline(0, linestyle="--", color=BLACK, lw=1.4)
    ax.set(xlabel="hidden units coded", ylabel="bytes saved so far",
           title="What learning is worth: bytes below the best fixed code (dashed), unit after unit")


draw_units(axes["units"])
draw_bytes(axes["bytes"])
draw_rows(axes["rows"])

# %% Claims
demo.record("test accuracy of the pruned network", right)
demo.record("weights kept of the first layer", np.count_nonzero(codes))
demo.record("entropy of the codes", H, "bytes")
demo.record("gaps: as it is, pixels, all shuffled", gaps, "bytes")
demo.record("arithmetic: as it is, pixels, all shuffled", learnt, "bytes")
demo.record("lag with the most pairs", lag, "pixels")
demo.claim("its bytes are what the probabilities cost (bytes more)", learnt[0] - rows[0].sum() / 8,
           within=(0, 4))
demo.claim("arithmetic coding is below the entropy of the codes (ratio)", learnt[0] / H, at_most=0.98)
demo.claim("and below Huffman's gaps (ratio)", learnt[0] / gaps[0], at_most=0.96)
demo.claim("part of that is which pixels are used: shuffling entries costs (ratio)", learnt[2] / learnt[1],
           above=1)
demo.claim("part is that neighbours go together: shuffling pixels costs (ratio)", learnt[1] / learnt[0],
           above=1)
demo.claim("without structure it comes near the entropy (ratio)", learnt[2] / H, within=(0.98, 1.05))
demo.finish(figure)
