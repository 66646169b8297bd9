"""With four bits and less: is it better to keep the largest weights, or to cut them off?

MATH5836 week 10, section 10.2.2; Banner, Nahshan and Soudry 2019. Numbers from two densities are clipped and
rounded; then the weights of a trained digits network are, with none, one or all of three repairs.

You will see the error against the clip, with its two parts and the best place in theory; and the error of the
weights and the accuracy of the network at 2 to 4 bits.

Predict first: does the repair that lowers the error of the weights most also save most of the accuracy?
"""
# %% Constants
import matplotlib.pyplot as plt
import numpy as np
from common import BLACK, BLUE, GREEN, ORANGE, PURPLE, VERMILLION, start

from tinyml.compression.clipping import expected_error, optimal_clip, quantize_repaired
from tinyml.compression.report import compare
from tinyml.data import digits, train_test_split
from tinyml.nn import Linear, ReLU, Sequential
from tinyml.optim import Adam
from tinyml.train import accuracy, fit

demo = start(__file__, __doc__)
DRAWN = 20_000 if demo.quick else 200_000     # numbers from each density
CODED = {"laplace": (BLUE, "o", "scales b"), "gaussian": (VERMILLION, "s", "standard deviations")}
SHOWN = 4                                     # bits of the first picture
RUNS = 3 if demo.quick else 10                # networks, each with its own split of the digits
EPOCHS = 15 if demo.quick else 40             # of training
BITS = (2, 3, 4)
REPAIRS = {    # name: (options of `quantize_repaired`, colour, marker)
    "none": ({}, "0.5", "x"), "clipped": ({"density": "gaussian"}, BLUE, "o"),
    "mean and norm put back": ({"corrected": True}, GREEN, "s"),
    "bits by range": ({"allocated": True}, ORANGE, "^"),
    "clipped, mean and norm": ({"density": "gaussian", "corrected": True}, PURPLE, "D"),
}

# %% The error of clipped and rounded numbers, measured
draws = {"laplace": demo.rng.laplace(size=DRAWN), "gaussian": demo.rng.standard_normal(DRAWN)}
clips = {name: optimal_clip(SHOWN, density=name) * np.geomspace(0.25, 2.5, 25) for name in draws}


def measured(x, alpha, bits):
    """Mean squared error of clipping to -+alpha and rounding to the middle of 2^bits cells."""
    step = 2 * alpha / 2 ** bits
    inside = (np.floor(x / step) + 0.5) * step
    return np.mean((np.where(np.abs(x) > alpha, np.sign(x) * alpha, inside) - x) ** 2)


errors = {name: [measured(x, alpha, SHOWN) for alpha in clips[name]] for name, x in draws.items()}
theory = {name: [expected_error(alpha, bits=SHOWN, density=name) for alpha in clips[name]] for name in draws}
off = max(abs(np.log(np.divide(errors[name], theory[name]))).max() for name in draws)

# %% A trained network, its weights rounded with each repair
X, y = digits()


def run(rng):
    """Relative errors of the weights and accuracies, (repairs, bits); the float accuracy; models, test data."""
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.3, rng=rng, stratify=y)
    model = Sequential(Linear(64, 128, rng=rng), ReLU(), Linear(128, 64, rng=rng), ReLU(),
                       Linear(64, 10, rng=rng))
    fit(model, X_train, y_train, optimizer=Adam(model.parameters(), lr=2e-3), epochs=EPOCHS, batch_size=64,
        rng=rng)

    def measured(small):
        pairs = [(model[i].weight.data, small[i].weight().data) for i in (0, 2, 4)]
        error = sum(((q - W) ** 2).sum() for W, q in pairs) / sum((W ** 2).sum() for W, _ in pairs)
        return error, accuracy(small, X_test, y_test)
    models = {name: [quantize_repaired(model, bits=bits, **options) for bits in BITS]
              for name, (options, *_) in REPAIRS.items()}
    cells = [[measured(small) for small in row] for row in models.values()]
    at_2 = {"float32": model} | {f"2 bits, {name}": row[0] for name, row in models.items()}
    return np.moveaxis(np.array(cells), -1, 0), accuracy(model, X_test, y_test), at_2, (X_test, y_test)


runs = [run(np.random.default_rng([demo.seed, r])) for r in demo.progress(range(RUNS), "networks")]
cells, full = np.array([r[0] for r in runs]), np.mean([r[1] for r in runs])    # (runs, 2, repairs, bits)
miss, hit = cells.mean(axis=0)                                                 # (repairs, bits) each
names = list(REPAIRS)
none, clipped, restored = 0, 1, 2                                              # rows of the repairs

# %% Figure
figure, (curve, wrong, right) = plt.subplots(1, 3, figsize=(15, 5.2))
best = {name: optimal_clip(SHOWN, density=name) for name in draws}
figure.suptitle(f"2-bit weights, clipped: {miss[clipped, 0] / miss[none, 0]:.2f} times the error, but "
                f"{100 * hit[clipped, 0]:.0f} % right instead of {100 * hit[none, 0]:.0f} %; mean and norm put "
                f"back: {100 * hit[restored, 0]:.0f} %")
for name, (color, marker, unit) in CODED.items():
    curve.plot(clips[name], errors[name], marker, color=color, ms=5, label=f"{name}, in {unit}")
    curve.plot(clips[name], theory[name], "--", color=BLACK, lw=1.3)
    curve.plot(best[name], expected_error(best[name], bits=SHOWN, density=name), "*", color=color, ms=17,
               mec="w")
curve.set(xscale="log", yscale="log", xlabel="clip", ylabel="mean squared error",
          title=f"{SHOWN} bits: measured, and theory dashed\n(left: too much is cut; right: steps too wide)")
ticks = (1, 2, 3, 5, 10)
curve.set_xticks(ticks, ticks)
curve.legend(fontsize=10)
for i, (name, (_, color, marker)) in enumerate(REPAIRS.items()):
    at = np.array(BITS) + 0.05 * (i - 2)    # side by side
    wrong.plot(at, miss[i], marker=marker, color=color, lw=1.2, ms=7, label=name)
    right.plot(at, 100 * hit[i], marker=marker, color=color, lw=1.2, ms=7)
wrong.set(yscale="log", ylabel="mean squared error / mean square", title="Error of the weights, by repair")
right.set(ylabel="test accuracy in %", title="Accuracy of the network")
right.axhline(100 * full, ls="--", color="0.4", lw=1.2)
right.text(BITS[0], 100 * full + 0.1, "float32", color="0.3")
for ax in (wrong, right):
    ax.set_xticks(BITS, [f"{b} bits" for b in BITS])
wrong.legend(fontsize=9)

# %% Claims
reports = compare(*runs[0][2:3], *runs[0][3])
demo.reports(reports)
demo.record("accuracy, float32", full)
for i, name in enumerate(names):
    demo.record(f"{name}: relative error of the weights, 2 to 4 bits", miss[i])
    demo.record(f"{name}: accuracy, 2 to 4 bits", hit[i])
demo.claim("theory is right about real numbers (largest deviation of the error, log)", off, at_most=0.25)
demo.claim("clipping lowers the error of 2-bit weights (ratio)", miss[clipped, 0] / miss[none, 0], below=1)
demo.claim("and of 3-bit weights (ratio)", miss[clipped, 1] / miss[none, 1], below=1)
demo.claim("mean and norm put back lower it too (ratio, 2 bits)", miss[restored, 0] / miss[none, 0], below=1)
demo.claim("and give accuracy back, at 2 bits (points gained)", 100 * (hit[restored, 0] - hit[none, 0]), above=0)
demo.claim("at 4 bits no repair is needed here: points lost without any", 100 * (full - hit[none, -1]),
           at_most=1)
demo.claim("mean and norm cost no byte worth mentioning (bytes of the file, ratio, 2 bits)",
           reports["2 bits, mean and norm put back"].file_bytes / reports["2 bits, none"].file_bytes,
           at_most=1.05)
demo.finish(figure)
