"""Where do the bytes of a model go, from training to the smallest file?

MATH5836 week 10, section 10.2; Han, Mao and Dally 2016, Deep Compression, figure 1. A network on
handwritten digits is trained, then pruned. Its weights are shared among 8 values, and these are
trained. Finally its biases are shared as well, and all numbers are rounded to 16 bits. After
each step it is saved as an .npz file, as a zipped .npz file, and as a compressed model, which is
read back and tested.

You will see the length of each file, and the arrays that its bytes are for.

Predict first: pruning removes more than 9 weights of 10. By how much does each of the three
files shrink? When weights take a fraction of a bit each, what else is in the file?
"""
# %% Constants
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from common import BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILLION, start

from tinyml import nn, optim
from tinyml.compression.coding.storage import contents, load_compressed, save_compressed
from tinyml.compression.pruning import cubic_sparsity, prune
from tinyml.compression.report import compare
from tinyml.compression.weight_masks import hold
from tinyml.compression.weight_sharing import share_biases, share_weights
from tinyml.data import digits, train_test_split
from tinyml.nn import save_model
from tinyml.train import accuracy, fit, predict

demo = start(__file__, __doc__)
SIZES = (64, 100, 50, 10) if demo.quick else (64, 300, 100, 10)    # of the layers
KEPT = 0.2 if demo.quick else 0.08      # fraction of the weights that is kept
EPOCHS = 10 if demo.quick else 25       # of each: training, pruning, training shared values
BITS = 3                                # log2 of the number of shared values, per layer
BIAS_BITS = 4                           # the same for biases

# %% Read the digits, and build a network of three layers.
X, y = digits()
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.3, rng=demo.rng, stratify=y)
a, b, c, d = SIZES
model = nn.Sequential(nn.Linear(a, b, rng=demo.rng), nn.ReLU(), nn.Linear(b, c, rng=demo.rng),
                      nn.ReLU(),
                      nn.Linear(c, d, rng=demo.rng))
n_bytes = 4 * sum(p.size for p in model.parameters())    # as 32-bit numbers


# %% Save a model in three files, read the smallest back, and note lengths and accuracy.
class Step(NamedTuple):
    model: nn.Module    # as it was read back
    lengths: list       # bytes of the three files
    parts: list         # of the compressed file
    same: bool          # whether the model read back predicts the same bits
    accuracy: float


def measure(model):
    with TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in ("model.npz", "zipped.npz", "compressed")]
        npz, zipped, compressed = paths
        save_model(model, npz)
        np.savez_compressed(zipped, **np.load(npz))
        save_compressed(model, compressed)
        loaded = load_compressed(compressed)
        same = predict(loaded, X_test).tobytes() == predict(model, X_test).tobytes()
        return Step(model=loaded, lengths=[path.stat().st_size for path in paths],
                    parts=contents(compressed), same=same,
                    accuracy=accuracy(loaded, X_test, y_test))


# %% Train.
steps = {}
adam = optim.Adam(model.parameters(), lr=2e-3)
fit(model, X_train, y_train, optimizer=adam, epochs=EPOCHS, batch_size=32, rng=demo.rng)
steps["trained"] = measure(model)

# %% Prune the smallest weights of all layers, a little in every epoch.
adam = optim.Adam(model.parameters(), lr=2e-3)
masks = prune(model, amount=0)
hold(adam, model, masks)
for t in demo.progress(range(1, EPOCHS + 1), "prune"):
    amount = cubic_sparsity(t, final=1 - KEPT, t_end=EPOCHS)
    masks.update(prune(model, amount=float(amount)))
    fit(model, X_train, y_train, optimizer=adam, epochs=1, batch_size=32, rng=demo.rng)
steps[f"{100 * (1 - KEPT):.0f} % pruned"] = measure(model)

# %% Share 8 values among the weights of each layer, and train these values.
share_weights(model, bits=BITS)
adam = optim.Adam(model.parameters(), lr=5e-4)
fit(model, X_train, y_train, optimizer=adam, epochs=EPOCHS, batch_size=32, rng=demo.rng)
steps[f"{2 ** BITS} shared values"] = measure(model)

# %% Share biases too, and round codebooks and biases to 16 bits.
share_biases(model, bits=BIAS_BITS)
for parameter in model.parameters():
    parameter.data = parameter.data.astype(np.float16).astype(np.float32)
steps["biases shared, 16-bit values"] = measure(model)

# %% Every file holds the whole model, and all of its bytes are accounted for.
models = {name: step.model for name, step in steps.items()}
demo.reports(compare(models, X_test, y_test))
for name, step in steps.items():
    demo.record(name, step.lengths, "bytes of model.npz, zipped.npz, compressed")
    n_parts = sum(part.bytes for part in step.parts)
    demo.claim(f"{name}: the parts add up to the file (bytes left over)",
               abs(step.lengths[-1] - n_parts), at_most=0)
    demo.claim(f"{name}: the model that is read back computes the same bits (1 = yes)",
               step.same, at_least=1)
for part in step.parts:
    demo.record(f"at last {part.name}", part.bytes, f"bytes, {part.coding}")

# %% An .npz does not notice zeros; the compressed file shrinks with each step.
lengths = np.array([step.lengths for step in steps.values()])    # (steps, files)
npz, zipped, compressed = lengths.T
right = 100 * np.array([step.accuracy for step in steps.values()])
factor = n_bytes / compressed[-1]
demo.claim("pruning does not change the length of an .npz (ratio)", npz[1] / npz[0], within=(1, 1))
demo.claim("each step shortens the compressed file (largest ratio)",
           (compressed[1:] / compressed[:-1]).max(), below=1)
demo.claim("in the end the compressed file is smaller than the zipped .npz by a factor of",
           zipped[-1] / compressed[-1],
           at_least=1.5)
demo.claim("in the end the compressed file is smaller than 32 bits per weight by a factor of",
           factor,
           at_least=20 if demo.quick else 45)
demo.claim("accuracy lost (percentage points)", right[0] - right[-1], at_most=2)

# %% Sort the bytes of each compressed file by what they are for.
KINDS = {    # endings of the names of parts
    "codes or weights": ("weight", "codes"), "codebooks": "codebook", "biases": "bias",
    "skeleton and frame": ("(skeleton)", "(frame)")}
own = {kind: np.zeros(len(steps), int) for kind in KINDS}
for i, step in enumerate(steps.values()):
    for part in step.parts:
        kind = next(kind for kind, endings in KINDS.items() if part.name.endswith(endings))
        own[kind][i] += part.bytes

# %% Figure: lengths of the files, and shares of the compressed one
figure, (above, below) = plt.subplots(2, 1, figsize=(12, 9.4), height_ratios=[1, 1.15])
figure.suptitle(f"{n_bytes:,} bytes of weights in a file of {compressed[-1]:,}: 1/{factor:.0f}, "
                f"{right[0]:.1f} % right before and {right[-1]:.1f} % after")
x = np.arange(len(steps))
for i, (name, color,
        hatch) in enumerate((("model.npz", VERMILLION, ""), ("zipped .npz", ORANGE, "//"),
                                          ("compressed", BLUE, "xx"))):
    drawn = above.bar(x + 0.27 * (i - 1), lengths[:, i], 0.25, color=color, hatch=hatch,
                      edgecolor="white", label=name)
    above.bar_label(drawn, [f"{n:,}" for n in lengths[:, i]], padding=2, fontsize=9)
above.set(yscale="log", ylim=(lengths.min() / 3, lengths.max() * 3), xticks=x,
          ylabel="bytes of the file",
          xticklabels=[f"{name}\n{r:.1f} % right" for name, r in zip(steps, right)],
          title="An .npz does not notice zeros; each step shrinks the compressed file")
above.legend(loc="upper right", ncols=3)
above.grid(False, axis="x")
left = np.zeros(len(steps))
for (kind, sizes), color, hatch in zip(own.items(), (SKY, ORANGE, PURPLE, GREEN),
                                       ("", "//", "..", "xx")):
    share = 100 * sizes / compressed
    drawn = below.barh(list(steps), share, left=left, color=color, hatch=hatch, edgecolor="white",
                       height=0.6, label=kind)
    labels = [f"{n:,}" if s > 4 else "" for n, s in zip(sizes, share)]
    below.bar_label(drawn, labels, label_type="center",
                    bbox=dict(fc="white", ec="none", alpha=0.8, pad=1.5))
    left += share
below.invert_yaxis()
below.grid(False, axis="y")
below.set(xlabel="% of the compressed file (bytes in the bars)", xlim=(0, 100),
          title="What the bytes are for")
below.legend(loc="lower center", bbox_to_anchor=(0.5, 1.08), ncols=4)
demo.finish(figure)
