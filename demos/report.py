"""Every way to make a network small, side by side: what does each cost, and what does it save?

MATH5836 week 10, section 10.2. A digits network is made smaller by thirteen methods of the lesson,
at several strengths. Most of them train it again, during or after. Every model is written to a
file and measured.

You will see the accuracy against the bytes of the file, for all methods in one chart; a table of
numbers, bytes, multiplications, milliseconds and accuracy; and time against multiplications.

Predict first: which method gives the smallest file at 1 point of accuracy, and which one gives
the fastest network?
"""
# %% Constants
import copy
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from common import BLACK, BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILLION, start
from panels import reference

from tinyml.compression.biclustering import bicluster, bicluster_linear
from tinyml.compression.binary import binarize_weights, store_bits
from tinyml.compression.circulant_layers import CirculantLinear
from tinyml.compression.compact import separable_block
from tinyml.compression.deep_compression import (
    prune_gradually,
    round_off,
    share_and_tune,
)
from tinyml.compression.distillation import distill
from tinyml.compression.factorize import factorize
from tinyml.compression.integer_model import IntegerModel
from tinyml.compression.quantization import quantize_weights
from tinyml.compression.quantization_aware import convert, prepare
from tinyml.compression.removal import remove_units
from tinyml.compression.report import compare, file_bytes, macs
from tinyml.compression.structured import unit_scores, units_to_keep
from tinyml.data import digits, train_test_split
from tinyml.nn import Conv2d, Flatten, Linear, Module, ReLU, Sequential
from tinyml.optim import Adam, LambdaLR, cosine_decay
from tinyml.train import accuracy, fit

demo = start(__file__, __doc__)
RUNS = 1 if demo.quick else 2          # networks, each with its own split of the digits
HIDDEN = 300, 100                      # units: LeNet-300-100 for 8 x 8 pixels
EPOCHS = 10 if demo.quick else 20      # of training of the network
TUNING = 8 if demo.quick else 15       # epochs of training after, or while, a method shrinks it
BATCH, DECAY = 64, 1e-3                # DECAY: weight decay while pruning
LOST = 0.01                            # accuracy that a smaller file may cost
DARK_PURPLE, DARK_RED, OLIVE, BROWN = "#7A0177", "#882255", "#999933", "#8C510A"

# %% Data
X, y = digits()


# %% Model, and training with a cosine schedule
def network(rng, hidden=HIDDEN):
    sizes = [64, *hidden, 10]
    pairs = zip(sizes, sizes[1:])
    layers = [layer for a, b in pairs for layer in (Linear(a, b, rng=rng), ReLU())]
    return Sequential(*layers[:-1])


def tune(model, data, rng, epochs=TUNING, lr=1e-3):
    """Train in place; returns the model."""
    n_steps = epochs * -(-len(data[0]) // BATCH)
    optimizer = Adam(model.parameters(), lr=lr)
    schedule = LambdaLR(optimizer, lambda t: cosine_decay(t, n_steps))
    fit(model, *data, optimizer=optimizer, epochs=epochs, batch_size=BATCH, rng=rng,
        schedule=schedule)
    return model


# %% Codes of few bits: rounded after training, whole numbers throughout, trained as codes or signs
def rounded_codes(model, bits, data, rng):
    return quantize_weights(model, bits=bits)


def int8_throughout(model, _, data, rng):
    return IntegerModel.from_float(model, data[0])


def trained_codes(model, bits, data, rng):
    return convert(tune(prepare(model, bits=bits, method="learned step"), data, rng))


def trained_signs(model, method, data, rng):
    return store_bits(tune(binarize_weights(model, method=method), data, rng))


# %% Fewer values: shared ones, zeros, or both, while the network itself is the teacher
def share(start, model, bits, data, rng):
    small = share_and_tune(copy.deepcopy(start), *data, bits=bits, epochs=TUNING, lr=2e-3,
                           teacher=model, rng=rng, batch_size=BATCH)
    return round_off(small, bias_bits=4)


def shared(model, bits, data, rng):
    return share(model, model, bits, data, rng)


def pruned(model, keep, data, rng):
    small = copy.deepcopy(model)
    prune_gradually(small, *data, keep=keep, epochs=2 * TUNING, lr=5e-3, teacher=model, rng=rng,
                    batch_size=BATCH, weight_decay=DECAY)
    return small


def pruned_and_shared(model, setting, data, rng):
    small, bits = setting
    return share(small, model, bits, data, rng)


# %% Smaller arrays: thin matrices, whole or in blocks, circulant blocks, filters, fewer units, ...
def low_rank(model, share, data, rng):
    return tune(factorize(model, share=share, X=data[0]), data, rng)


def circulant(model, block, data, rng):
    *hidden, last = network(rng)
    layers = [CirculantLinear(layer.in_features, layer.out_features, block=block, rng=rng)
              if isinstance(layer, Linear) else layer for layer in hidden]
    return tune(Sequential(*layers, last), data, rng, EPOCHS + TUNING, lr=3e-3)


def blocks(model, share, data, rng):
    """Two groups of inputs and two of units in each layer but the last, with a share of its work."""
    layers = copy.deepcopy(list(model))
    for i, layer in enumerate(layers[:-1]):
        if isinstance(layer, Linear):
            W = layer.weight.data
            inputs, outputs = bicluster(W[:, :, None, None], 2, 2, rng=rng)
            rank = int(share * W.size / (2 * W.shape[0] + 2 * W.shape[1]))
            layers[i] = bicluster_linear(layer, inputs, outputs, rank=max(rank, 1))
    return tune(Sequential(*layers), data, rng)


class Images(Module):
    """Rows of 64 pixels as images."""

    def forward(self, x):
        return x.reshape(len(x), 1, 8, 8)


def thin_filters(model, width, data, rng):
    """A convolution, and a depthwise-separable one, in place of the whole network."""
    small = Sequential(Images(), Conv2d(1, width, 3, stride=2, padding=1, rng=rng), ReLU(),
                       *separable_block(width, 2 * width, rng=rng), Flatten(),
                       Linear(16 * 2 * width, 10, rng=rng))
    return tune(small, data, rng, EPOCHS + TUNING, lr=3e-3)


def fewer_units(model, keep, data, rng):
    inputs, labels = data
    scores = unit_scores(model, inputs[:256], labels[:256], criterion="taylor")
    n_units = sum(map(len, scores.values()))
    n_removed = round((1 - keep) * n_units)
    return tune(remove_units(model, units_to_keep(scores, n_removed)), data, rng)


def student(model, width, data, rng):
    small = network(rng, (width,))
    optimizer = Adam(small.parameters(), lr=3e-3)
    distill(small, model, *data, temperature=4.0, alpha=0.9, optimizer=optimizer,
            epochs=3 * TUNING, batch_size=BATCH, rng=rng)
    return small


# %% Thirteen methods with their strengths, the weakest first
class Method(NamedTuple):
    shrink: object       # (model, strength, data, rng) to a smaller model
    strengths: tuple
    color: str
    marker: str


METHODS = {
    "rounded codes": Method(rounded_codes, (8, 4, 3), VERMILLION, "v"),
    "int8 throughout": Method(int8_throughout, (8,), BLACK, "P"),
    "trained codes": Method(trained_codes, (4, 2), ORANGE, "D"),
    "trained signs": Method(trained_signs, ("ternary", "scaled sign"), DARK_RED, "p"),
    "shared values": Method(shared, (4, 2, 1), PURPLE, "h"),
    "low rank": Method(low_rank, (0.5, 0.25, 0.12), SKY, "<"),
    "blocks of low rank": Method(blocks, (0.5, 0.25, 0.12), "#44AA99", "8"),
    "circulant blocks": Method(circulant, (8, 32), OLIVE, "d"),
    "thin filters": Method(thin_filters, (16, 8, 4), BROWN, "^"),
    "fewer units": Method(fewer_units, (0.5, 0.25, 0.12), GREEN, "s"),
    "a student": Method(student, (64, 32, 16), "0.55", ">"),
    "pruned": Method(pruned, (0.2, 0.08, 0.03, 0.015), BLUE, "o"),
    "pruned and shared": Method(pruned_and_shared, (4, 3, 3, 3), DARK_PURPLE, "*"),
}
if demo.quick:
    METHODS = {name: m._replace(strengths=m.strengths[:1]) for name, m in METHODS.items()}


# %% Experiment: every method at every strength on the same trained network
class Run(NamedTuple):
    dense: Sequential
    models: dict         # method: [a model for each strength]
    test: tuple


def run(rng):
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.3, rng=rng, stratify=y)
    data = X_train, y_train
    dense = tune(network(rng), data, rng, EPOCHS, lr=2e-3)
    models = {}
    for name, method in METHODS.items():
        strengths = method.strengths
        if name == "pruned and shared":    # the pruned networks, with bits for each
            strengths = zip(models["pruned"], strengths)
        models[name] = [method.shrink(dense, strength, data, rng) for strength in strengths]
    return Run(dense, models, (X_test, y_test))


runs = [run(np.random.default_rng([demo.seed, r])) for r in demo.progress(range(RUNS), "networks")]

# %% Bytes and accuracy of every method and strength: means over the networks
full = np.mean([accuracy(r.dense, *r.test) for r in runs])
raw = 4 * sum(p.size for p in runs[0].dense.parameters())
sizes, hits = {}, {}
for name in METHODS:
    sizes[name] = np.mean([[file_bytes(m) for m in r.models[name]] for r in runs], axis=0)
    hits[name] = np.mean([[accuracy(m, *r.test) for m in r.models[name]] for r in runs], axis=0)
    demo.record(f"{name}: bytes", sizes[name])
    demo.record(f"{name}: accuracy", hits[name])
demo.record("accuracy, float32", full)
demo.record("bytes of the float32 parameters", raw)
demo.claim("8-bit codes, or integers throughout, cost at most (points)",
           100 * (full - min(hits["int8 throughout"][0], hits["rounded codes"][0])), at_most=0.5)

# %% The smallest file of each method at 1 point; a method without one does not shrink the network
smallest = {name: min(sizes[name][hits[name] >= full - LOST], default=raw) for name in METHODS}
winner = min(smallest, key=smallest.get)
both = smallest["pruned and shared"]
demo.claim("pruned and shared is smaller than either alone, at 1 point (ratio to the better)",
           both / min(smallest["pruned"], smallest["shared values"]), below=1)
demo.claim("pruned and shared, at 1 point: times smaller than float32", raw / both, at_least=20)

# %% The table: one network, each method at the strongest setting that costs it at most 1 point
dense, models, test = runs[0]
chosen = {"float32": dense}
for name, row in models.items():
    good = [m for m in row if accuracy(m, *test) >= accuracy(dense, *test) - LOST]
    if good:
        chosen[name] = good[-1]
reports = compare(chosen, *test)
demo.reports(reports)

# %% Zeros save no multiplication in a dense product; a unit that is gone saves its own
work = {name: report.macs / reports["float32"].macs for name, report in reports.items()}
demo.claim("a pruned network has as many multiplications as before, for a dense product",
           work.get("pruned", 1), at_least=1)
demo.claim("fewer units need fewer multiplications (fraction, strongest setting)",
           macs(models["fewer units"][-1], X[:1]) / reports["float32"].macs, at_most=0.5)

# %% Figure: accuracy against bytes
figure, (chart, clock) = plt.subplots(1, 2, figsize=(14, 6), width_ratios=[1.5, 1])
figure.suptitle("At most 1 point of accuracy lost: the smallest file is "
                f"{raw / smallest[winner]:.0f} times smaller than float32, by \"{winner}\"")
for name, (_, _, color, marker) in METHODS.items():
    chart.plot(sizes[name] / 1000, 100 * hits[name], marker=marker, color=color, label=name)
reference(chart, 100 * full, "float32", x=0.9)
for factor in (1, 10, 50, 100):
    chart.axvline(raw / 1000 / factor, color="0.8", lw=1, zorder=0)
    chart.text(raw / 1000 / factor, 0.95, f" 1/{factor}", color="0.5",
               transform=chart.get_xaxis_transform())
lowest = 100 * min(values.min() for values in hits.values())
chart.set(xscale="log", xlabel="file in kB", ylabel="test accuracy in %",
          ylim=(max(85, lowest - 1), 99.5), title="Thirteen methods, by the bytes of their files")
chart.set_xticks([2, 5, 10, 20, 50, 100, 200], [2, 5, 10, 20, 50, 100, 200])
chart.minorticks_off()
chart.legend(loc="lower right", fontsize=9, ncols=2)

# %% Time against multiplications
for name, report in reports.items():
    color, marker = METHODS[name][2:] if name in METHODS else ("0.3", "X")
    time = report.ms_256 / reports["float32"].ms_256
    clock.plot(work[name], time, marker=marker, color=color, ms=9, ls="")
    if work[name] < 1 or name == "int8 throughout":
        clock.annotate(name, (work[name], time), (8, 5), textcoords="offset points", fontsize=9)
clock.text(1.04, 1.35, "weights computed\nfrom codes", fontsize=9)
clock.text(1.04, 0.8, "float32, pruned", fontsize=9)
clock.plot([0, 1.1], [0, 1.1], "--", color=BLACK, lw=1.2)
clock.set(xlabel="multiply-accumulates / those of float32", xlim=(0, 1.45),
          ylabel="time / that of float32, batch of 256",
          title="Smaller files are not faster networks;\nfewer units and thin matrices are")
demo.finish(figure)
