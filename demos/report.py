"""Every way to make a network small, side by side: what does each cost, and what does it save?

MATH5836 week 10, section 10.2. One network for real digits goes through all methods of the lesson, at several
strengths, each with some training after it; every model is written to a file and measured.

You will see the accuracy against the bytes of the file, for all of them in one chart; and a table of numbers,
bytes, multiplications, milliseconds and accuracy.

Predict first: which method gives the smallest file at 1 point of accuracy, and which the fastest network?
"""
# %% Constants
import copy

import matplotlib.pyplot as plt
import numpy as np
from common import BLACK, BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILLION, start

from tinyml.compression.deep_compression import (
    deep_compress,
    prune_gradually,
    round_off,
    share_and_tune,
)
from tinyml.compression.distillation import distill
from tinyml.compression.factorize import factorize
from tinyml.compression.integer import IntegerModel
from tinyml.compression.quantization import quantize_weights
from tinyml.compression.quantization_aware import convert, prepare
from tinyml.compression.report import compare, file_bytes, macs
from tinyml.compression.structured import remove_units, unit_scores, units_to_keep
from tinyml.data import digits, train_test_split
from tinyml.nn import Linear, ReLU, Sequential
from tinyml.optim import Adam, LambdaLR, cosine_decay
from tinyml.train import accuracy, fit

demo = start(__file__, __doc__)
RUNS = 1 if demo.quick else 3               # networks, each with its own split of the digits
HIDDEN = (300, 100)                         # units: LeNet-300-100 for 8 x 8 pixels, 50,610 parameters
EPOCHS = 10 if demo.quick else 30           # of training of the network
TUNING = 8 if demo.quick else 20            # epochs of training after, or while, a method shrinks it
BATCH = 64
STRENGTHS = slice(0, 1) if demo.quick else slice(None)    # which of each method's strengths

# %% Data, model, training
X, y = digits()


def network(rng, hidden=HIDDEN):
    sizes = [64, *hidden, 10]
    layers = [layer for a, b in zip(sizes, sizes[1:]) for layer in (Linear(a, b, rng=rng), ReLU())]
    return Sequential(*layers[:-1])


def tune(model, data, rng, epochs=TUNING, lr=1e-3):
    """Train on, with a cosine schedule; returns the model."""
    optimizer, steps = Adam(model.parameters(), lr=lr), epochs * -(-len(data[0]) // BATCH)
    fit(model, *data, optimizer=optimizer, epochs=epochs, batch_size=BATCH, rng=rng,
        schedule=LambdaLR(optimizer, lambda t: cosine_decay(t, steps)))
    return model


# %% The methods: each takes the network, a strength, the training data, and returns a smaller network
SETTINGS = {"batch_size": BATCH, "weight_decay": 1e-3}


def pruned(model, left, data, rng):
    small = copy.deepcopy(model)
    prune_gradually(small, *data, keep=left, epochs=2 * TUNING, lr=5e-3, teacher=model, rng=rng, **SETTINGS)
    return small


def shared(model, bits, data, rng):
    small = copy.deepcopy(model)
    share_and_tune(small, *data, bits=bits, epochs=TUNING, lr=2e-3, teacher=model, rng=rng, batch_size=BATCH)
    return round_off(small, bias_bits=4)


def deep(model, setting, data, rng):
    """Prune, then share what is left: Han, Mao and Dally 2016."""
    left, bits = setting
    return deep_compress(model, *data, keep=left, bits=bits, epochs=(2 * TUNING, TUNING // 2), lr=(5e-3, 2e-3),
                         rng=rng, **SETTINGS)[0]


def trained_codes(model, bits, data, rng):
    return convert(tune(prepare(model, bits=bits, method="learned step"), data, rng))


def fewer_units(model, left, data, rng):
    scores = unit_scores(model, data[0][:256], data[1][:256], criterion="taylor")
    n_units = sum(map(len, scores.values()))
    return tune(remove_units(model, units_to_keep(scores, round((1 - left) * n_units))), data, rng)


def thin(model, share, data, rng):
    return tune(factorize(model, share=share, X=data[0]), data, rng)


def student(model, width, data, rng):
    small = network(rng, (width,))
    optimizer = Adam(small.parameters(), lr=3e-3)
    distill(small, model, *data, temperature=4.0, alpha=0.9, optimizer=optimizer, epochs=4 * TUNING,
            batch_size=BATCH, rng=rng)
    return small


METHODS = {    # name: (function, strengths, colour, marker)
    "rounded codes": (lambda m, bits, d, r: quantize_weights(m, bits=bits), (8, 4, 3), VERMILLION, "v"),
    "int8 throughout": (lambda m, _, d, r: IntegerModel.from_float(m, d[0]), (8, 8), BLACK, "P"),
    "trained codes": (trained_codes, (4, 2), ORANGE, "D"),
    "shared values": (shared, (4, 2, 1), PURPLE, "h"),
    "low rank": (thin, (0.5, 0.25, 0.12), SKY, "<"),
    "fewer units": (fewer_units, (0.5, 0.25, 0.12), GREEN, "s"),
    "a student": (student, (64, 32, 16), "0.55", ">"),
    "pruned": (pruned, (0.2, 0.08, 0.03, 0.015), BLUE, "o"),
    "pruned and shared": (deep, ((0.2, 4), (0.08, 3), (0.03, 3), (0.015, 3)), "#7A0177", "*"),
}
METHODS = {name: (make, strengths[STRENGTHS], *style) for name, (make, strengths, *style) in METHODS.items()}


# %% Experiment
def run(rng):
    """The network, then {method: models, one for each strength}, and the test data."""
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.3, rng=rng, stratify=y)
    data = X_train, y_train
    model = tune(network(rng), data, rng, EPOCHS, lr=2e-3)
    models = {name: [make(model, strength, data, rng) for strength in strengths]
              for name, (make, strengths, *_) in METHODS.items()}
    return model, models, (X_test, y_test)


runs = [run(np.random.default_rng([demo.seed, r])) for r in demo.progress(range(RUNS), "networks")]
full = np.mean([accuracy(model, *test) for model, _, test in runs])
raw = 4 * sum(p.size for p in runs[0][0].parameters())
points = {name: np.mean([[(file_bytes(m), accuracy(m, *test)) for m in models[name]]
                         for _, models, test in runs], axis=0) for name in METHODS}    # (strengths, 2)

# %% The table: one network, each method at the strongest setting that costs it at most 1 point here
model, models, test = runs[0]
own = accuracy(model, *test)
chosen = {"float32": model}
for name, row in models.items():
    good = [m for m in row if accuracy(m, *test) >= own - 0.01]
    if good:
        chosen[name] = good[-1]
reports = compare(chosen, *test)

# %% Figure
within = {name: sizes[hits >= full - 0.01].min() for name, (sizes, hits) in
          ((name, p.T) for name, p in points.items()) if (hits >= full - 0.01).any()}
winner = min(within, key=within.get)
figure, (chart, clock) = plt.subplots(1, 2, figsize=(14, 6), width_ratios=[1.5, 1])
figure.suptitle(f"At most 1 point of accuracy lost: the smallest file is {raw / within[winner]:.0f} times smaller "
                f"than float32, by \"{winner}\"")
for name, (_, _, color, marker) in METHODS.items():
    sizes, hits = points[name].T
    chart.plot(sizes / 1000, 100 * hits, marker=marker, color=color, ms=9 if marker == "*" else 7, label=name)
chart.axhline(100 * full, color="0.4", ls="--", lw=1.2)
chart.text(raw / 1000, 100 * full + 0.15, "float32", ha="right", color="0.3")
chart.axvline(raw / 1000, color="0.6", lw=1)
for factor in (10, 50, 100):
    chart.axvline(raw / 1000 / factor, color="0.85", lw=1, zorder=0)
    chart.text(raw / 1000 / factor, 0.01, f" 1/{factor}", color="0.5", transform=chart.get_xaxis_transform())
lowest_hit = 100 * min(p[:, 1].min() for p in points.values())
chart.set(xscale="log", xlabel="file in kB", ylabel="test accuracy in %", ylim=(max(85, lowest_hit - 1), 99.5),
          title="Every method, by the bytes of its file")
ticks = (2, 5, 10, 20, 50, 100, 200)
chart.set_xticks(ticks, ticks)
chart.minorticks_off()
chart.legend(loc="lower right", fontsize=9, ncols=2)
dense = reports["float32"]
for name, r in reports.items():
    color, marker = METHODS[name][2:] if name in METHODS else ("0.3", "X")
    clock.plot(r.macs / dense.macs, r.ms_256 / dense.ms_256, marker=marker, color=color, ms=9, ls="")
    if r.macs < dense.macs or name == "int8 throughout":
        clock.annotate(name, (r.macs / dense.macs, r.ms_256 / dense.ms_256), (8, -10),
                       textcoords="offset points", fontsize=9)
clock.text(1.04, 1.35, "weights computed\nfrom codes", fontsize=9)
clock.text(1.04, 0.8, "float32, pruned", fontsize=9)
clock.plot([0, 1.1], [0, 1.1], "--", color=BLACK, lw=1.2)
clock.axhline(1, color="0.8", lw=1)
clock.set(xlabel="multiply-accumulates / those of float32", ylabel="time / that of float32, batch of 256",
          title="Smaller files are not faster networks;\nsmaller arrays are", xlim=(0, 1.45))

# %% Claims
demo.record("accuracy, float32", full)
demo.record("bytes of the float32 parameters", raw)
for name, p in points.items():
    demo.record(f"{name}: bytes", p[:, 0])
    demo.record(f"{name}: accuracy", p[:, 1])
demo.reports(reports)
demo.claim("8-bit codes, rounded or throughout, cost at most (points)", 100 * (full - min(
    points["int8 throughout"][0, 1], points["rounded codes"][0, 1])), at_most=0.5)
best = max(("pruned", "shared values"), key=lambda name: raw / within.get(name, raw))
demo.claim("pruned and shared is smaller than either alone, at 1 point (ratio to the better of them)",
           within.get("pruned and shared", raw) / within.get(best, raw), below=1)
demo.claim("pruned and shared, at 1 point: times smaller than float32",
           raw / within.get("pruned and shared", raw), at_least=20)
demo.claim("a pruned network has as many multiplications as before, for a dense product",
           reports["pruned"].macs / dense.macs if "pruned" in reports else 1, at_least=1)
demo.claim("one with fewer units has fewer (share, strongest setting)",
           macs(models["fewer units"][-1], X[:1]) / dense.macs, at_most=0.5)
demo.finish(figure)
