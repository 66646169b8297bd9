"""How small does a network get if it is pruned, shared and coded, and where does it break?

MATH5836 week 10, sections 10.2.1, 10.2.2 and 10.2.4; Han, Mao and Dally 2016, Deep Compression,
figure 1. LeNet-300-100, for small images, is pruned gradually, with a dense network as its
teacher. The weights that stay share 8 values per layer; biases are rounded. This is done for
several fractions of weights that are kept.

A fair opponent is trained for as long: a dense network whose epochs are those of all stages
together, with the weight decay that is better on validation images.

You will see the bytes of the file after every stage; the accuracy against bytes until the network
breaks, beside a formula for the bytes; and what the bytes of the file are spent on. With --data,
the same settings are used on other images: how many weights can go depends on how hard they are.

Predict first: for digits, 50,200 weights take 200,800 bytes. How many bytes does a network need
that is as good? If 1 weight in 33 is left, what takes more: where the weights are, or what they are?
"""
# %% Constants
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from common import BLACK, BLUE, GREEN, ORANGE, SKY, start
from panels import bars, curve, reference

from tinyml.compression.coding.storage import contents, load_compressed, save_compressed
from tinyml.compression.deep_compression import deep_compress, expected_bits
from tinyml.compression.report import compare
from tinyml.data import train_test_split
from tinyml.nn import Linear, ReLU, Sequential, save_model
from tinyml.nn.weights import all_weights
from tinyml.optim import Adam, LambdaLR, cosine_decay
from tinyml.train import accuracy, fit, predict

demo = start(__file__, __doc__, data=("digits", "clothes", "mnist", "fashion-mnist"))
X, y = demo.load()
HIDDEN = (100, 50) if demo.quick else (300, 100)    # units of the hidden layers
SIZES = (X.shape[1], *HIDDEN, 10)       # of all layers
KEEP = 0.1 if demo.quick else 0.03      # the fraction of weights kept that is shown in detail
KEEPS = [0.3, KEEP, 0.01] if demo.quick else [0.1, 0.05, KEEP, 0.02, 0.01, 0.005]
BITS, BIAS_BITS = 3, 4                  # log2 of the number of values per layer, and per bias
EPOCHS = 15 if demo.quick else 30       # of the dense network
SHRINKING = (15, 5) if demo.quick else (60, 15)    # epochs of pruning, and of the shared values
DECAY = 1e-3                            # of the weights, while pruning
LOST = 3 if demo.quick else 1.5         # points of accuracy that count as a small cost
BATCH = 64
RUNS = 1 if demo.quick else 2           # networks, each with its own split of the digits

# %% Model: a dense network, trained with a cosine schedule
def trained_network(X, y, rng, *, epochs=EPOCHS, decay=0):
    first, second, third = (Linear(a, b, rng=rng) for a, b in zip(SIZES, SIZES[1:]))
    model = Sequential(first, ReLU(), second, ReLU(), third)
    n_steps = epochs * -(-len(X) // BATCH)
    optimizer = Adam(model.parameters(), lr=2e-3, weight_decay=decay)
    schedule = LambdaLR(optimizer, lambda t: cosine_decay(t, n_steps))
    fit(model, X, y, optimizer=optimizer, epochs=epochs, batch_size=BATCH, rng=rng,
        schedule=schedule)
    return model


# %% The fair opponent: trained for as many epochs as all stages together
def fair_network(X, y, rng):
    X_fit, X_val, y_fit, y_val = train_test_split(X, y, test_size=0.2, rng=rng, stratify=y)
    scores = {decay: accuracy(trained_network(X_fit, y_fit, rng, decay=decay), X_val, y_val)
              for decay in (0, DECAY)}
    return trained_network(X, y, rng, epochs=EPOCHS + sum(SHRINKING),
                           decay=max(scores, key=scores.get))


N_WEIGHTS = sum(a * b for a, b in zip(SIZES, SIZES[1:]))
FLOAT32 = 4 * (N_WEIGHTS + sum(SIZES[1:]))    # bytes of the parameters


# %% Write a model to a file, read it back, and measure that
class File(NamedTuple):
    n_bytes: int
    hits: float      # accuracy of the model that was read back, in %
    same: bool       # whether its outputs are the same bits


def measure(model, test):
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        save_compressed(model, path)
        again = load_compressed(path)
        same = predict(again, test[0]).tobytes() == predict(model, test[0]).tobytes()
        return File(path.stat().st_size, 100 * accuracy(again, *test), same)


def parts_of(model):
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        save_compressed(model, path)
        return contents(path)


def npz_bytes(model):
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        save_model(model, path)
        return path.stat().st_size


# %% Experiment: compress the same trained network at every fraction, and measure every stage
class Run(NamedTuple):
    files: list      # for each fraction: {stage: File}
    stages: dict     # stage: model, at the fraction KEEP
    fair: float      # accuracy of the dense network that was trained for as long, in %
    test: tuple


def run(rng):
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.3, rng=rng, stratify=y)
    dense, test = trained_network(X_train, y_train, rng), (X_test, y_test)
    stages = {}
    for keep in demo.progress(KEEPS, "fractions"):
        _, stages[keep] = deep_compress(dense, X_train, y_train, keep=keep, bits=BITS,
                                        bias_bits=BIAS_BITS, epochs=SHRINKING, lr=(5e-3, 2e-3),
                                        weight_decay=DECAY, batch_size=BATCH, rng=rng)
    files = [{stage: measure(model, test) for stage, model in stages[keep].items()}
             for keep in KEEPS]
    fair = 100 * accuracy(fair_network(X_train, y_train, rng), *test)
    return Run(files, stages[KEEP], fair, test)


runs = [run(np.random.default_rng([demo.seed, r])) for r in demo.progress(range(RUNS), "networks")]
stages, test = runs[0].stages, runs[0].test

# %% Every file is the model, to the last bit, and each stage makes it smaller
files = [list(row.values()) for r in runs for row in r.files]    # a row for each run and fraction
shape = len(runs), len(KEEPS), -1                                # runs, fractions, stages
n_bytes = np.reshape([[file.n_bytes for file in row] for row in files], shape)
hits = np.reshape([[file.hits for file in row] for row in files], shape)
same = [file.same for row in files for file in row]
demo.claim("a file read back computes the same bits (fraction of all files)", np.mean(same),
           at_least=1)
demo.claim("each stage is smaller than the one before (largest ratio)",
           (n_bytes[..., 1:] / n_bytes[..., :-1]).max(), below=1)

# %% The weights: pruned ones stay zero, the others share a few values
def arrays(model):
    return [weight.data for _, _, weight in all_weights(model)]


_, *zeros = [np.concatenate([w.ravel() == 0 for w in arrays(m)]) for m in stages.values()]
demo.claim("a weight that was pruned stays 0 to the end (weights that came back)",
           sum((zeros[0] & ~later).sum() for later in zeros[1:]), at_most=0)
demo.claim("every layer has few values at the end (most, besides 0)",
           max(len(np.unique(w[w != 0])) for w in arrays(stages["rounded"])), at_most=2 ** BITS)

# %% How small it gets at a small cost, and where it breaks
at = KEEPS.index(KEEP)
full = np.mean([r.fair for r in runs])  # accuracy of the dense networks trained as long, in %
at_keep = hits[:, at].mean(axis=0)      # of the stages
final_bytes, final_hits = n_bytes[..., -1].mean(axis=0), hits[..., -1]
demo.record("fractions kept", KEEPS)
demo.record("bytes of the file", final_bytes)
demo.record("accuracy", final_hits.mean(axis=0), "%")
demo.record("accuracy of the dense network trained as long", full, "%")
demo.record(f"stages at {100 * KEEP:g} %: accuracy", at_keep, "%")
demo.finding("the file is smaller than the parameters by a factor of",
             FLOAT32 / n_bytes[:, at, -1].max(), at_least=30 if demo.quick else 95,
             why="Where the weights that stay are spread evenly over the pixels, their places take more bits.")
if not demo.quick:    # a single split tells no difference of a few points
    demo.finding("the accuracy lost beside the dense network trained as long is at most (points)",
                 full - at_keep[-1], at_most=LOST,
                 why="Where classes are harder to tell apart, a network needs more of its weights.")
demo.finding("with the fewest weights the network breaks (points lost)",
             full - final_hits[:, -1].mean(), at_least=5 if demo.quick else 2,
             why="With more pixels there are more weights, and the smallest fraction of them may be enough.")

# %% What the bytes are spent on: the formula n (H(k) + b k) / 8 has places, then values
parts = parts_of(stages["rounded"])
codes = sum(part.bytes for part in parts if part.name.endswith("codes"))
formula = N_WEIGHTS * expected_bits(KEEPS, BITS) / 8    # bytes
print(*(f"{part.name:<20} {part.bytes:>6} bytes  {part.coding}" for part in parts), sep="\n")
demo.record("bytes for codes", codes)
demo.record("by the formula", formula[at])
demo.record("by the formula, for the places alone", N_WEIGHTS * expected_bits(KEEP, 0) / 8)
demo.claim("the codes take what places and values without pattern take, or less (ratio)",
           codes / formula[at], at_most=1.15)
demo.reports(compare(stages, *test))

# %% Figure: the bytes stage by stage
figure, axes = plt.subplot_mosaic([["stages", "parts"], ["curve", "curve"]], figsize=(14, 9.5),
                                  width_ratios=[1.4, 1])
figure.suptitle(f"{FLOAT32:,} bytes of parameters fit into {final_bytes[at]:,.0f} "
                f"(1/{FLOAT32 / final_bytes[at]:.0f}): {at_keep[-1]:.1f} % are right, "
                f"with a dense network trained as long {full:.1f} %")
names = ["dense, coded", f"{100 * KEEP:g} % kept", f"{2 ** BITS} values per layer",
         "biases, values rounded"]
words = [f"{name}\n{right:.1f} % right" for name, right in zip(names, at_keep)]
values = {".npz file": npz_bytes(stages["dense"]), "parameters": FLOAT32}
values |= dict(zip(words, n_bytes[:, at].mean(axis=0)))
bars(axes["stages"], values, fmt="{:,.0f}", colors=["0.75", "0.75", SKY, GREEN, ORANGE, BLUE],
     title="Each stage makes the file smaller", xlabel="bytes of the file")
axes["stages"].set(xscale="log", xlim=(min(values.values()) / 3, 4 * FLOAT32))

# %% The parts of the file
layers = {"0.weight.codes": "layer 1", "2.weight.codes": "layer 2", "4.weight.codes": "layer 3"}
spent = {layers[part.name]: part.bytes for part in parts if part.name in layers}
spent["biases"] = sum(part.bytes for part in parts if part.name.endswith("bias"))
spent["the rest"] = sum(part.bytes for part in parts) - sum(spent.values())
bars(axes["parts"], spent, fmt="{:,.0f}", colors=[BLUE, SKY, GREEN, ORANGE, "0.75"],
     title="Where the bytes of one file are", xlabel="bytes")

# %% Accuracy against bytes
cheap = full - final_hits.mean(axis=0) <= LOST
smallest = min(final_bytes[cheap], default=FLOAT32)
ax = axes["curve"]
curve(ax, final_bytes, final_hits, color=BLUE, marker="o", label="the file")
curve(ax, formula, np.median(final_hits, axis=0), color=BLACK, linestyle="--", lw=1.4, marker="|",
      label="the formula $n\\,(H(k) + b\\,k)\\,/\\,8$")
for keep, a, b in zip(KEEPS, final_bytes, np.median(final_hits, axis=0)):
    ax.annotate(f"{100 * keep:g} %", (a, b), (7, -13), textcoords="offset points")
reference(ax, full, "dense, trained as long")
ticks = [t for t in (200, 500, 1000, 2000, 5000, 10_000)
         if formula.min() < t < 1.3 * final_bytes.max()]
ax.set(xscale="log", ylabel="test accuracy in %",
       xlabel="bytes of the file (at the points: weights kept)",
       title=f"Within {LOST:g} points of the dense network down to 1/{FLOAT32 / smallest:.0f} of the bytes")
ax.set_xticks(ticks, [f"{t:,}" for t in ticks])
ax.minorticks_off()
ax.legend(loc="lower right")
demo.finish(figure)
