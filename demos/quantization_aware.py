"""Can a network learn to live with weights of two bits?

MATH5836 week 10, section 10.2.2; Jacob et al. 2018; Esser et al. 2020. A trained digits network is quantized
and done with, or trained on, with its codes in the forward pass and the straight-through estimator backward.

You will see the staircase with its true slope and the one that is pretended; one real weight that wanders
until its code flips; the weights before and after; and the accuracy at 2 to 8 bits.

Predict first: the true derivative of a staircase is zero. What can training with a false one lead to?
"""
# %% Constants
import matplotlib.pyplot as plt
import numpy as np
from common import BLACK, BLUE, GREEN, ORANGE, VERMILLION, band, start

from tinyml.compression.quantization import quantize_weights
from tinyml.compression.quantization_aware import codes_of, convert, prepare
from tinyml.compression.report import compare
from tinyml.data import digits, train_test_split
from tinyml.nn import Linear, ReLU, Sequential
from tinyml.optim import Adam, LambdaLR, cosine_decay
from tinyml.train import accuracy, fit

demo = start(__file__, __doc__)
RUNS = 2 if demo.quick else 5                 # networks, each with its own split of the digits
EPOCHS = 15 if demo.quick else 40             # of training in float32
TUNING = 8 if demo.quick else 20              # epochs of training with codes
BITS = (2, 8) if demo.quick else (2, 3, 4, 8)
BATCH = 64
METHODS = {    # name: (options of `prepare`, colour, marker); the codes span a share of the weights' range
    "straight through everywhere": (dict(share=0.6), BLUE, "o"),
    "straight through inside": (dict(share=0.6, gradient="inside"), GREEN, "s"),
    "learned steps": (dict(method="learned step"), ORANGE, "D"),
}

# %% Data, model, experiment
X, y = digits()


def tune(model, X_train, y_train, rng, callback=None):
    steps = TUNING * -(-len(X_train) // BATCH)
    optimizer = Adam(model.parameters(), lr=1e-3)
    if callback is not None:
        optimizer.projections.append(callback)
    fit(model, X_train, y_train, optimizer=optimizer, epochs=TUNING, batch_size=BATCH, rng=rng,
        schedule=LambdaLR(optimizer, lambda t: cosine_decay(t, steps)), label="training with codes")


def run(rng):
    """The float accuracy, those after quantization (bits), and after training (methods, bits)."""
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.3, rng=rng, stratify=y)
    model = Sequential(Linear(64, 128, rng=rng), ReLU(), Linear(128, 64, rng=rng), ReLU(),
                       Linear(64, 10, rng=rng))
    fit(model, X_train, y_train, optimizer=Adam(model.parameters(), lr=2e-3), epochs=EPOCHS, batch_size=BATCH,
        rng=rng)
    rounded = [accuracy(quantize_weights(model, bits=b), X_test, y_test) for b in BITS]
    trained = []
    for options, *_ in METHODS.values():
        models = [prepare(model, bits=b, **options) for b in BITS]
        for prepared in models:
            tune(prepared, X_train, y_train, rng)
        trained.append([accuracy(convert(prepared), X_test, y_test) for prepared in models])
    return (accuracy(model, X_test, y_test), rounded, trained, model, models[0], (X_train, y_train),
            (X_test, y_test))


runs = [run(np.random.default_rng([demo.seed, r])) for r in demo.progress(range(RUNS), "networks")]
full, rounded, trained = (np.array([r[i] for r in runs]) for i in range(3))    # (runs, ...)
before, after, data, test = runs[0][3:]
regained = (trained[:, :, 0] - rounded[:, None, 0]) / (full - rounded[:, 0])[:, None]    # (runs, methods)

# %% A weight on its way: the same training once more, with an eye on one layer
watched = prepare(before, bits=2, share=0.6)
weights, codes, steps = [], [], []


def look():
    weights.append(watched[2].weight.weight.data[:16].copy())
    codes.append(codes_of(watched[2].weight)[:16])
    steps.append(watched[2].weight.qparams.scale[:16])


tune(watched, *data, demo.rng, callback=look)
weights, codes = np.array(weights), np.array(codes)              # (steps, 16, inputs)
flips = np.abs(np.diff(codes.astype(int), axis=0)).sum(axis=0)
unit, place = np.unravel_index(np.argmax(np.where((flips > 0) & (flips < 6), np.ptp(weights, axis=0), 0)),
                               flips.shape)
path, code = weights[:, unit, place], codes[:, unit, place]
step = np.array(steps)[:, unit, 0]                               # (steps,), as the unit's range moves

# %% Figure
figure, ((stairs, way), (spread, hit)) = plt.subplots(2, 2, figsize=(12, 9.2))
figure.suptitle(f"Two bits for a weight: {100 * rounded[:, 0].mean():.0f} % right after rounding, "
                f"{100 * trained[:, 1, 0].mean():.1f} % after training with the codes "
                f"(float32: {100 * full.mean():.1f} %)")
v = np.linspace(-2.2, 2.2, 2001)
stairs.plot(v, np.clip(np.round(v), -1, 1), color=BLACK, label="value: the code times the step")
stairs.plot(v, np.zeros_like(v), ":", color=VERMILLION, lw=2.5, label="true slope, 0 almost everywhere")
stairs.plot(v, np.ones_like(v), "--", color=BLUE, label="pretended: 1 everywhere")
stairs.plot(v, np.abs(v) <= 1.5, "-.", color=GREEN, label="pretended: 1 inside the range")
stairs.set(xlabel="weight / step", title="A staircase with three steps, and its slopes", ylim=(-1.3, 2.4))
stairs.legend(loc="upper left", fontsize=9)
way.plot(path / step, color=BLUE, label="real weight / step")
way.step(np.arange(len(code)), code, color=BLACK, where="post",
         label="its code, which the network computes with")
for edge in (-0.5, 0.5):
    way.axhline(edge, color="0.6", ls="--", lw=1)
way.set(xlabel="step of training", title="A weight wanders, its code flips")
way.legend(loc="best", fontsize=9)
bins = np.linspace(-1, 1, 81)
spread.hist(before[2].weight.data.ravel(), bins, color="0.7", label="before")
spread.hist(after[2].weight.weight.data.ravel(), bins, histtype="step", color=ORANGE, lw=1.8,
            label="after, real weights")
spread.hist(after[2].weight().data.ravel(), bins, histtype="step", color=BLACK, lw=1,
            label="after, what the codes stand for")
spread.set(xlabel="weight of the second layer", ylabel="number", yscale="log",
           title="Learned steps, one for each unit")
spread.legend(loc="upper right", fontsize=9)
band(hit, BITS, 100 * rounded, color=VERMILLION, marker="v", label="rounded after training")
for i, (name, (_, color, marker)) in enumerate(METHODS.items()):
    band(hit, BITS, 100 * trained[:, i], color=color, marker=marker, ms=5, label=name)
hit.axhline(100 * full.mean(), ls="--", color="0.4", lw=1.2)
hit.text(8, 100 * full.mean() + 0.8, "float32", ha="right", color="0.3")
hit.set(xlabel="bits", ylabel="test accuracy in %", xticks=BITS, ylim=(None, 102), title="The accuracy")
hit.legend(loc="lower right", fontsize=10)

# %% Claims
demo.record("accuracy, float32", full.mean())
demo.record("accuracy rounded, 2 bits and more", rounded.mean(axis=0))
for i, name in enumerate(METHODS):
    demo.record(f"accuracy {name}, 2 bits and more", trained[:, i].mean(axis=0))
demo.reports(compare({"float32": before, "2 bits, rounded": quantize_weights(before, bits=2),
                      "2 bits, trained": convert(after)}, *test))
demo.record("bytes of the float32 parameters", 4 * sum(p.size for p in before.parameters()))
demo.claim("two bits after training cost more than (points, least of the networks)",
           100 * (full - rounded[:, 0]).min(), above=5)
for i, name in enumerate(METHODS):
    demo.claim(f"{name}: at least 85 % of that comes back (share, least of the networks)",
               regained[:, i].min(), at_least=0.85)
demo.claim("at 8 bits, rounding costs at most (points, mean)", 100 * (full - rounded[:, -1]).mean(),
           at_most=0.3)
demo.claim("and training with codes at most (points, mean, any method)",
           100 * (full[:, None] - trained[:, :, -1]).mean(axis=0).max(), at_most=0.3)
demo.claim("a code flips now and then, its weight moves all the time (flips per change of a weight)",
           flips.sum() / np.count_nonzero(np.diff(weights, axis=0)), below=0.1)
demo.finish(figure)
