"""How small does a network get if it is pruned, shared and coded, and where does it break?

MATH5836 week 10, sections 10.2.1, 10.2.2 and 10.2.4; Han, Mao and Dally 2016, Deep Compression, figure 1.
LeNet-300-100, here for digits of 8 x 8 pixels, is pruned while the dense network teaches what is left of it;
the weights that stay share 8 values per layer; biases are rounded. All this at several fractions of weights.

You will see the length of the file and the accuracy after every stage, the accuracy against bytes until it
breaks, beside a formula for the length; what the first layer still reads; and where the bytes are.

Predict first: 50,200 weights take 200,800 bytes. How many does this network need to be as good as it is? And
when only 1 weight in 33 is left, what takes more bytes: where the weights are, or what they are?
"""
# %% Constants
import copy
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
import numpy as np
from common import BLACK, BLUE, GREEN, ORANGE, SKY, band, start

from tinyml import nn
from tinyml.compression.coding.storage import contents, load_compressed, save_compressed
from tinyml.compression.deep_compression import deep_compress, expected_bits
from tinyml.compression.report import compare
from tinyml.data import digits, train_test_split
from tinyml.optim import Adam, LambdaLR, cosine_decay
from tinyml.train import accuracy, fit, predict

demo = start(__file__, __doc__)
SIZES = (64, 100, 50, 10) if demo.quick else (64, 300, 100, 10)    # units of the layers
KEEP = 0.1 if demo.quick else 0.03      # the fraction of weights kept that is shown in detail
KEEPS = np.array([0.3, KEEP, 0.01] if demo.quick else [0.2, 0.1, 0.05, KEEP, 0.02, 0.01, 0.005])
BITS, BIAS_BITS = 3, 4                  # log2 of the number of shared values per layer, and per bias
EPOCHS = (15, (15, 5)) if demo.quick else (30, (60, 15))    # dense; while pruning, for the shared values
LR = 2e-3, (5e-3, 2e-3)                 # of the same three
DECAY = 1e-3                            # while pruning
BATCH = 64
RUNS = 1 if demo.quick else 2           # networks, each with its own split of the digits

# %% Data
X, y = digits()


# %% Model
def network(X, y, rng):
    """The dense network, trained."""
    layers = [nn.Linear(a, b, rng=rng) for a, b in zip(SIZES, SIZES[1:])]
    model = nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])
    optimizer, steps = Adam(model.parameters(), lr=LR[0]), EPOCHS[0] * -(-len(X) // BATCH)
    fit(model, X, y, optimizer=optimizer, epochs=EPOCHS[0], batch_size=BATCH, rng=rng,
        schedule=LambdaLR(optimizer, lambda t: cosine_decay(t, steps)))
    return model


def weights(model):
    """The weight arrays, the shared ones as they are looked up."""
    found = [layer.weight for layer in model if isinstance(layer, nn.Linear)]
    return [(w() if isinstance(w, nn.Module) else w).data for w in found]


N_WEIGHTS = sum(a * b for a, b in zip(SIZES, SIZES[1:]))
FLOAT32 = 4 * (N_WEIGHTS + sum(SIZES[1:]))    # bytes of the parameters


# %% Experiment: the pipeline at every fraction, its files and how often they are right
def measure(stages, X_test, y_test):
    """Of every stage: bytes of its file, accuracy of the model read back, whether that is the same model."""
    rows = []
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        for model in stages.values():
            save_compressed(model, path)
            again = load_compressed(path)
            same = predict(again, X_test).tobytes() == predict(model, X_test).tobytes()
            rows.append((path.stat().st_size, accuracy(again, X_test, y_test), same))
        nn.save_model(stages["dense"], path)
        return np.array(rows, float), contents_of(stages["rounded"], folder), path.stat().st_size


def contents_of(model, folder):
    save_compressed(model, Path(folder) / "parts")
    return contents(Path(folder) / "parts")


def run(rng):
    """Of one network: (fractions, stages, 3) of `measure`; at KEEP: stages, parts, bytes of .npz, test data."""
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.3, rng=rng, stratify=y)
    dense, rows = network(X_train, y_train, rng), []
    for keep in demo.progress(KEEPS, "fractions"):
        stages = deep_compress(dense, X_train, y_train, keep=keep, bits=BITS, bias_bits=BIAS_BITS,
                               epochs=EPOCHS[1], lr=LR[1], weight_decay=DECAY, batch_size=BATCH,
                               rng=rng)[1]
        row, parts, npz = measure(stages, X_test, y_test)
        rows.append(row)
        if keep == KEEP:
            shown = copy.deepcopy(stages), parts, npz, (X_test, y_test)
    return np.array(rows), shown


runs = [run(np.random.default_rng([demo.seed, r])) for r in demo.progress(range(RUNS), "networks")]
table = np.array([rows for rows, _ in runs])                # (runs, fractions, stages, 3)
stages, parts, npz, test = runs[0][1]
at = int(np.flatnonzero(KEEPS == KEEP)[0])
lengths, right = table[0, at, :, 0], 100 * table[:, at, :, 1].mean(axis=0)
curve, factor = 100 * table[:, :, -1, 1], FLOAT32 / table[:, :, -1, 0]
dense_right = right[0]
formula = N_WEIGHTS * expected_bits(KEEPS, BITS) / 8        # bytes, places and values without any pattern
codes = sum(part.bytes for part in parts if part.name.endswith("codes"))

# %% Figure: stages, parts, the first layer, accuracy against bytes
figure, axes = plt.subplot_mosaic([["stages"] * 3, ["curve", "curve", "pixels"], ["parts"] * 3],
                                  figsize=(13, 12), height_ratios=[1, 1.3, 0.3])
figure.suptitle(f"{FLOAT32:,} bytes of parameters in a file of {lengths[-1]:,.0f}, "
                f"1/{FLOAT32 / lengths[-1]:.0f}: {right[-1]:.1f} % right, dense {dense_right:.1f} %")


def draw_stages(ax):
    names = ["an .npz file", "float32\nparameters", "dense,\ncoded", f"{100 * KEEP:g} % kept",
             f"{2 ** BITS} values\nper layer", "biases and\nvalues rounded"]
    values = np.array([npz, FLOAT32, *lengths])
    colors = ["0.75", "0.75", SKY, GREEN, ORANGE, BLUE]
    bars = ax.bar(names, values, 0.6, color=colors, edgecolor="white", hatch=["", "", "//", "xx", "..", ""])
    words = [f"{n:,.0f} bytes\n1/{FLOAT32 / n:.1f}\n{hits:.1f} % right"
             for n, hits in zip(values, [dense_right, dense_right, *right])]
    ax.bar_label(bars, words, padding=3)
    ax.set(yscale="log", ylim=(values.min() / 4, values.max() * 25), ylabel="bytes",
           title="Stage by stage: each makes the file smaller, and the accuracy stays")
    ax.grid(False, axis="x")


def draw_curve(ax):
    x = table[:, :, -1, 0].mean(axis=0)
    band(ax, x, curve, color=BLUE, marker="o")
    ax.plot(formula, np.median(curve, axis=0), "--", color=BLACK, lw=1.4, marker="|",
            label=r"if the file had $n\,(H(k)+bk)/8$ bytes")
    for keep, a, b in zip(KEEPS, x, np.median(curve, axis=0)):
        ax.annotate(f"{100 * keep:g} %", (a, b), (7, -13), textcoords="offset points")
    ax.axhline(dense_right, color="0.5", ls=":", lw=1.5)
    ax.text(formula.min(), dense_right, "dense", va="bottom", color="0.3")
    ax.set(xscale="log", xlabel="bytes of the file (at the points: weights kept)", ylabel="test accuracy, %",
           title=f"It holds to 1/{factor.mean(axis=0)[at]:.0f}, then it breaks")
    ticks = [t for t in (200, 500, 1000, 2000, 5000, 10_000) if formula.min() < t < 1.3 * x.max()]
    ax.set_xticks(ticks, [f"{t:,}" for t in ticks])
    ax.minorticks_off()
    ax.legend(loc="lower right")


def draw_pixels(ax):
    readers = np.count_nonzero(weights(stages["rounded"])[0], axis=0).reshape(8, 8)
    ax.imshow(readers, cmap="Blues", vmin=0)
    for (i, j), n in np.ndenumerate(readers):
        dark = n > readers.max() / 2
        ax.text(j, i, n, ha="center", va="center", fontsize=9, color="white" if dark else "0.2")
    ax.set(xticks=[], yticks=[])
    ax.set_title(f"The first layer reads {np.count_nonzero(readers)} of 64 pixels:\nso many units of "
                 f"{SIZES[1]} read each")
    ax.grid(False)


def draw_parts(ax):
    words = {"0.weight.codes": "layer 1", "2.weight.codes": "layer 2", "4.weight.codes": "layer 3"}
    sizes = {label: sum(part.bytes for part in parts if part.name == name) for name, label in words.items()}
    sizes["biases"] = sum(part.bytes for part in parts if part.name.endswith("bias"))
    sizes["the rest"] = sum(part.bytes for part in parts) - sum(sizes.values())
    left = 0
    for (label, size), color in zip(sizes.items(), (BLUE, SKY, GREEN, ORANGE, "0.8")):
        ax.barh(0, size, left=left, color=color, edgecolor="white", hatch="" if "layer" in label else "//")
        ax.text(left + size / 2, 0, f"{label}\n{size:,}", ha="center", va="center", fontsize=9,
                bbox=dict(fc="white", ec="none", alpha=0.85, pad=1.5))
        left += size
    ax.set(yticks=[], xlim=(0, left), xlabel="bytes of the file",
           title="Where the bytes are: codes of the layers, and all else (hatched)")
    ax.grid(False)


draw_stages(axes["stages"])
draw_curve(axes["curve"])
draw_pixels(axes["pixels"])
draw_parts(axes["parts"])

# %% Claims
print(*(f"{part.name:<20} {part.bytes:>6} bytes  {part.coding}" for part in parts), sep="\n")
demo.reports(compare(stages, *test))
demo.record("fractions kept", KEEPS)
demo.record("bytes of the file", table[:, :, -1, 0].mean(axis=0))
demo.record("accuracy", curve.mean(axis=0), "%")
demo.record("accuracy of the dense network", dense_right, "%")
demo.record(f"stages at {100 * KEEP:g} %: accuracy", right, "%")
demo.record("and bytes", lengths)
demo.record("its bytes for codes", codes)
demo.record("and by the formula", formula[at])
gone = [np.concatenate([w.ravel() == 0 for w in weights(model)]) for model in list(stages.values())[1:]]
demo.claim("a weight that was pruned stays 0 to the end (weights that came back)",
           sum((gone[0] & ~later).sum() for later in gone[1:]), at_most=0)
demo.claim("every layer has few values at the end (most, besides 0)",
           max(len(np.unique(w[w != 0])) for w in weights(stages["rounded"])), at_most=2 ** BITS)
demo.claim("a file read back computes the same bits (share of all files)", table[..., 2].mean(), at_least=1)
demo.claim("each stage is smaller than the one before (largest ratio)",
           (table[:, :, 1:, 0] / table[:, :, :-1, 0]).max(), below=1)
demo.claim(f"with {100 * KEEP:g} % of the weights the file is smaller than the parameters by a factor of",
           factor[:, at].min(), at_least=30 if demo.quick else 95)
demo.claim("which costs at most (points of accuracy)", dense_right - right[-1],
           at_most=3 if demo.quick else 1.5)
demo.claim("with the fewest weights it breaks (points lost)", dense_right - curve[:, -1].mean(),
           at_least=5 if demo.quick else 2)
demo.claim("the codes take what places and values without pattern take, or less (ratio)",
           codes / formula[at], within=(0.6, 1.15))
demo.finish(figure)
