"""Where do the bytes of a model go, from training to the smallest file?

MATH5836 week 10, section 10.2; Han, Mao and Dally 2016, Deep Compression, figure 1. A network on handwritten
digits is trained, pruned, its weights shared among 8 values and these trained on, and at last its biases are
shared as well and all numbers rounded to 16 bits. After each step it is saved as an .npz file, as a zipped
.npz file, and as a compressed model; the last is read back and asked again.

You will see the length of each file, and which arrays its bytes are for.

Predict first: pruning removes more than 9 weights of 10. By how much does each of the three files shrink?
When weights take a fraction of a bit each, what else is in the file?
"""
# %% Constants
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
import numpy as np
from common import BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILLION, start

from tinyml import nn, optim
from tinyml.compression.coding.storage import contents, load_compressed, save_compressed
from tinyml.compression.report import compare
from tinyml.compression.weight_sharing import share_biases, share_weights
from tinyml.data import digits, train_test_split
from tinyml.nn import save_model
from tinyml.train import accuracy, fit, predict

demo = start(__file__, __doc__)
SIZES = (64, 100, 50, 10) if demo.quick else (64, 300, 100, 10)    # of the layers
KEPT = 0.2 if demo.quick else 0.08      # share of the weights that are kept
EPOCHS = 10 if demo.quick else 25       # of each: training, pruning, training shared values
BITS = 3                                # log2 of the number of shared values, per layer
BIAS_BITS = 4                           # the same for biases

# %% Data
X, y = digits()
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.3, rng=demo.rng, stratify=y)
folder = TemporaryDirectory()


def measure(name):
    """Save the model in three ways, read the smallest back, and note lengths, parts and accuracy."""
    paths = [Path(folder.name) / kind for kind in FILES]
    save_model(model, paths[0])
    np.savez_compressed(paths[1], **np.load(paths[0]))
    save_compressed(model, paths[2])
    again = load_compressed(paths[2])
    models[name] = again
    steps[name] = dict(bytes=[path.stat().st_size for path in paths], parts=contents(paths[2]),
                       accuracy=accuracy(again, X_test, y_test),
                       same=predict(again, X_test).tobytes() == predict(model, X_test).tobytes())


def train(epochs, projections=(), lr=2e-3):
    adam = optim.Adam(model.parameters(), lr=lr)
    adam.projections.extend(projections)
    fit(model, X_train, y_train, optimizer=adam, epochs=epochs, batch_size=32, rng=demo.rng)


# %% Model and experiment: train, prune, share, share biases
FILES = "model.npz", "zipped.npz", "compressed"
steps, models = {}, {}
layers = [nn.Linear(n_in, n_out, rng=demo.rng) for n_in, n_out in zip(SIZES, SIZES[1:])]
model = nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])
train(EPOCHS)
measure("trained")

for step in demo.progress(range(1, EPOCHS + 1), "prune"):
    amount = (1 - KEPT) * (1 - (1 - step / EPOCHS) ** 3)
    border = np.quantile(np.abs(np.concatenate([layer.weight.data.ravel() for layer in layers])), amount)
    masks = [np.abs(layer.weight.data) > border for layer in layers]

    def prune():
        for layer, mask in zip(layers, masks):
            layer.weight.data = np.where(mask, layer.weight.data, 0)
    train(1, [prune])
measure(f"{100 * (1 - KEPT):.0f} % pruned")

share_weights(model, bits=BITS)
train(EPOCHS, lr=5e-4)
measure(f"{2 ** BITS} shared values")

share_biases(model, bits=BIAS_BITS)
for parameter in model.parameters():
    parameter.data = parameter.data.astype(np.float16).astype(np.float32)
measure("biases shared, 16-bit values")
folder.cleanup()

# %% Figure: lengths, and shares
lengths = np.array([step["bytes"] for step in steps.values()])    # (steps, files)
right = np.array([step["accuracy"] for step in steps.values()])
n_weights = sum(a * b + b for a, b in zip(SIZES, SIZES[1:]))
final = list(steps.values())[-1]["parts"]
factor = 4 * n_weights / lengths[-1, 2]
figure, (files, shares) = plt.subplots(2, 1, figsize=(12, 9.4), height_ratios=[1, 1.15])
figure.suptitle(f"{4 * n_weights:,} bytes of weights in a file of {lengths[-1, 2]:,}: 1/{factor:.0f}, "
                f"{100 * right[0]:.1f} % right before and {100 * right[-1]:.1f} % after")
KINDS = {    # how the parts of a file are told apart: by their names
    "codes or weights": (SKY, "", lambda name: name.endswith(("weight", "codes"))),
    "codebooks": (ORANGE, "//", lambda name: name.endswith("codebook")),
    "biases": (PURPLE, "..", lambda name: name.endswith("bias")),
    "skeleton and frame": (GREEN, "xx", lambda name: name.startswith("("))}


def draw_files(ax):
    x = np.arange(len(steps))
    for i, (name, color, hatch) in enumerate(zip(("model.npz", "zipped .npz", "compressed"),
                                                 (VERMILLION, ORANGE, BLUE), ("", "//", "xx"))):
        bars = ax.bar(x + 0.27 * (i - 1), lengths[:, i], 0.25, color=color, hatch=hatch, edgecolor="white",
                      label=name)
        ax.bar_label(bars, [f"{n:,}" for n in lengths[:, i]], padding=2, fontsize=9)
    ax.set_yscale("log")
    ax.set(xticks=x, ylabel="bytes of the file", ylim=(lengths.min() / 3, lengths.max() * 3),
           xticklabels=[f"{name}\n{100 * a:.1f} % right" for name, a in zip(steps, right)],
           title="An .npz does not notice zeros; each step shrinks the compressed file")
    ax.legend(loc="upper right", ncols=3)
    ax.grid(False, axis="x")


def draw_shares(ax):
    y = np.arange(len(steps))[::-1]
    left = np.zeros(len(steps))
    for kind, (color, hatch, is_one) in KINDS.items():
        own = np.array([sum(part.bytes for part in step["parts"] if is_one(part.name))
                        for step in steps.values()])
        share = 100 * own / lengths[:, 2]
        ax.barh(y, share, left=left, color=color, hatch=hatch, edgecolor="white", height=0.6, label=kind)
        for i in np.flatnonzero(share > 4):
            ax.text(left[i] + share[i] / 2, y[i], f"{own[i]:,}", ha="center", va="center",
                    bbox=dict(fc="white", ec="none", alpha=0.8, pad=1.5))
        left += share
    ax.set(yticks=y, yticklabels=steps, xlabel="% of the compressed file (bytes in the bars)", xlim=(0, 100),
           title="What the bytes are for")
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.08), ncols=4)
    ax.grid(False, axis="y")


draw_files(files)
draw_shares(shares)

# %% Claims
demo.reports(compare(models, X_test, y_test))
demo.record("files", list(FILES))
for name, step in steps.items():
    demo.record(name, step["bytes"], f"bytes; accuracy {100 * step['accuracy']:.1f} %")
for part in final:
    demo.record(f"at last {part.name}", part.bytes, f"bytes, {part.coding}")
demo.claim("every model read back computes the same bits (share)",
           np.mean([step["same"] for step in steps.values()]), at_least=1)
demo.claim("the parts add up to the file (bytes left over, any step)",
           max(abs(sum(part.bytes for part in step["parts"]) - step["bytes"][2]) for step in steps.values()),
           at_most=0)
demo.claim("zeros are worth nothing to an .npz: pruning leaves its length (ratio)",
           lengths[1, 0] / lengths[0, 0], within=(1, 1))
demo.claim("each step shortens the compressed file (largest ratio)", (lengths[1:, 2] / lengths[:-1, 2]).max(),
           below=1)
demo.claim("which ends below the zipped .npz by a factor of", lengths[-1, 1] / lengths[-1, 2], at_least=1.5)
demo.claim("and below 32 bits per weight by a factor of", factor, at_least=20 if demo.quick else 45)
demo.claim("the accuracy stays (points lost)", 100 * (right[0] - right[-1]), at_most=2)
demo.finish(figure)
