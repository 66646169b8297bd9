"""What does a coder gain that learns where a network keeps its weights?

MATH5836 week 10, section 10.2; Han, Mao and Dally 2016, Deep Compression; Rissanen and Langdon
1979. A network learns handwritten digits, and its first layer is pruned. The codes of the kept
weights, and of their 8 shared values, are written as gaps with Huffman codewords, as in the
paper, and by adaptive arithmetic coding. Then the structure is destroyed in two steps: the
pixels (columns) are shuffled, then all entries.

You will see what some hidden units keep of the image; the bytes of each coding beside the
entropy; and the bytes that learning has saved after every unit.

Predict first: no code for single, independent entries is shorter than the entropy. Can a code
for this matrix be? On images of only 8 x 8 pixels, what is worth more: to know which pixels are
used, or that neighbours are kept together?
"""
# %% Constants
import math

import matplotlib.pyplot as plt
import numpy as np
from common import BLACK, BLUE, GREEN, ORANGE, SKY, VERMILLION, start
from panels import curve, sheet

from tinyml import nn, optim
from tinyml.compression.coding.arithmetic import best_lag, code_matrix
from tinyml.compression.coding.huffman import entropy
from tinyml.compression.coding.sparse_codes import all_codings
from tinyml.compression.pruning import cubic_sparsity, magnitude_mask
from tinyml.compression.weight_masks import hold
from tinyml.compression.weight_sharing import SharedWeight
from tinyml.data import digits, train_test_split
from tinyml.train import accuracy, fit

demo = start(__file__, __doc__)
UNITS = 200 if demo.quick else 400      # hidden units: rows of the matrix
KEPT = 0.1                              # fraction of the first layer's weights that is kept
EPOCHS = 6 if demo.quick else 20        # of training, and as many of pruning
K = 8                                   # shared values
SIDE = 8                                # pixels along a side of the image

# %% Train a network of one hidden layer on digits.
X, y = digits()
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.2, rng=demo.rng, stratify=y)
first = nn.Linear(SIDE ** 2, UNITS, rng=demo.rng)
model = nn.Sequential(first, nn.ReLU(), nn.Linear(UNITS, 10, rng=demo.rng))
adam = optim.Adam(model.parameters(), lr=2e-3)
settings = dict(optimizer=adam, batch_size=32, rng=demo.rng)
fit(model, X_train, y_train, epochs=EPOCHS, label="train", **settings)

# %% Prune its first layer a little in every epoch, until 10 % are left; then share 8 values.
masks = {"0.weight": magnitude_mask(first.weight.data, amount=0)}
hold(adam, model, masks)
for t in range(1, EPOCHS + 1):
    amount = cubic_sparsity(t, final=1 - KEPT, t_end=EPOCHS)
    masks["0.weight"] = magnitude_mask(first.weight.data, amount=float(amount))
    fit(model, X_train, y_train, epochs=1, label=f"prune {t}", **settings)
codes = SharedWeight.from_weight(first.weight,
                                 k=K).codes.astype(int)    # (UNITS, 64), 0 where pruned
demo.record("test accuracy of the pruned network", accuracy(model, X_test, y_test))
demo.record("weights kept of the first layer", np.count_nonzero(codes))

# %% Shuffle the pixels, which leaves busy and idle columns; then everything.
pixels = demo.rng.permutation(SIDE ** 2)
cases = {"as trained": codes,
         "pixels\nshuffled": codes[:, pixels],
         "all entries\nshuffled": demo.rng.permutation(codes.ravel()).reshape(codes.shape)}

# %% Write each matrix in both codings. The entropy of single entries is the same for all.
limit = entropy(np.bincount(codes.ravel())) * codes.size / 8    # bytes
gaps, arithmetic = [], []
for case in cases.values():
    written = all_codings(case, K)
    gaps.append(min(len(written["gaps along rows"]), len(written["gaps along columns"])))
    arithmetic.append(len(written["arithmetic"]))
trained, pixels_shuffled, all_shuffled = arithmetic
demo.record("entropy of the codes", limit, "bytes")
demo.record("gaps: as trained, pixels shuffled, all shuffled", gaps, "bytes")
demo.record("arithmetic: as trained, pixels shuffled, all shuffled", arithmetic, "bytes")
demo.record("lag with the most pairs", best_lag(codes), "pixels")

# %% The coder uses the structure: with less of it, it saves less.
demo.claim("arithmetic coding is below the entropy of the codes (ratio)", trained / limit,
           at_most=0.98)
demo.claim("arithmetic coding takes fewer bytes than gaps (ratio)",
           trained / gaps[0], at_most=0.96)
demo.claim("shuffling all entries costs more bytes than shuffling pixels (ratio)",
           all_shuffled / pixels_shuffled, above=1)
demo.claim("shuffling pixels costs bytes: neighbours are kept together (ratio)",
           pixels_shuffled / trained, above=1)
demo.claim("with all entries shuffled, arithmetic coding is near the entropy (ratio)",
           all_shuffled / limit,
           within=(0.98, 1.05))


# %% To see it learn, ask for the price of each decision instead of writing it.
class Meter:
    """Takes the place of an Encoder, and notes -log2 of the probability of each decision."""

    def __init__(self):
        self.bits = []

    def code(self, bit, p):
        self.bits.append(-math.log2(p if bit else 1 - p))
        return bit


def cost_of_units(codes):
    """Bits for each row, predicted from the rows before it."""
    meter = Meter()
    code_matrix(meter, codes, k=K, lag=best_lag(codes))
    n_decisions = codes.shape[1] + 3 * np.count_nonzero(codes,
                                                        axis=1)    # 3 bits tell 8 values apart
    first_of_row = n_decisions.cumsum() - n_decisions
    return np.add.reduceat(meter.bits, first_of_row)


costs = np.array([cost_of_units(case) for case in cases.values()])    # (3, UNITS)
saved = limit * np.arange(1, UNITS + 1) / UNITS - costs.cumsum(axis=1) / 8
demo.claim("the bytes written are the sum of these costs (bytes more)",
           trained - costs[0].sum() / 8,
           within=(0, 4))

# %% Figure
figure, axes = plt.subplot_mosaic([["units", "bytes"], ["saved", "saved"]], figsize=(12, 9.4),
                                  height_ratios=[1, 1])
below_gaps, below_entropy = 100 * (1 - trained / gaps[0]), 100 * (1 - trained / limit)
figure.suptitle(f"Learning where weights are kept: {below_gaps:.0f} % fewer bytes than gaps, "
                f"{below_entropy:.0f} % fewer than the entropy")
busiest = np.argsort(-np.count_nonzero(codes, axis=1))[:24]
signs = np.sign(first.weight.data[busiest]).reshape(4, 6, SIDE, SIDE)
sheet(axes["units"], {" " * i: row for i, row in enumerate(signs)}, low=-1, cmap="RdBu_r",
      missing="0.85",
      title=f"Weights that 24 of {UNITS} units keep: + red, - blue")

x = np.arange(3)
for shift, sizes, color, hatch, name in ((-0.2, gaps, ORANGE, "//", "gaps"),
                                         (0.2, arithmetic, SKY, "", "arithmetic")):
    drawn = axes["bytes"].bar(x + shift, 100 * (np.array(sizes) / limit - 1), 0.38, color=color,
                              hatch=hatch,
                              edgecolor="white", label=name)
    axes["bytes"].bar_label(drawn, [f"{size:,} B" for size in sizes], padding=3)
axes["bytes"].axhline(0, linestyle="--", color=BLACK, lw=1.4)
axes["bytes"].legend(loc="lower right")
axes["bytes"].margins(y=0.15)
axes["bytes"].grid(False, axis="x")
axes["bytes"].set(xticks=x, xticklabels=cases, ylabel="% above the entropy (dashed)",
                  title=f"With tables, beside an entropy of {limit:,.0f} bytes")

for values, name, color, style in zip(saved, cases, (GREEN, BLUE, VERMILLION), ("-", "-.", ":")):
    curve(axes["saved"], np.arange(1, UNITS + 1), values, name, color=color, linestyle=style)
axes["saved"].axhline(0, linestyle="--", color=BLACK, lw=1.4)
axes["saved"].set(xlabel="hidden units written", ylabel="bytes saved so far",
                  title="Bytes below the entropy (dashed), unit after unit")
demo.finish(figure)
