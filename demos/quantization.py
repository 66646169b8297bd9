"""How many bits does a weight need once the network is trained?

MATH5836 week 10, section 10.2.2; Jacob et al. 2018. The weights of a digits network become integer
codes, with one step for each layer or one for each output unit, symmetric around 0 or affine.

You will see the notes' formula, which has no code for negative weights, and the two repairs; the
mean squared error, which is divided by four for each extra bit; and the accuracy against bits.

Predict first: the error of a weight doubles with each bit less. When does the accuracy notice?
"""
# %% Constants
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from common import BLACK, BLUE, GREEN, VERMILLION, start
from panels import SERIES, curve, reference, scores

from tinyml.compression.quantization import (
    choose_qparams,
    dequantize,
    notes_codes,
    notes_dequantize,
    quantize,
    quantize_weights,
)
from tinyml.compression.report import compare, file_bytes
from tinyml.data import digits, train_test_split
from tinyml.nn import Linear, ReLU, Sequential
from tinyml.nn.weights import all_weights
from tinyml.optim import Adam
from tinyml.train import accuracy, fit

demo = start(__file__, __doc__)
RUNS = 2 if demo.quick else 6        # networks, each with its own split of the digits
EPOCHS = 15 if demo.quick else 40    # of training, before anything is quantized
BITS = list(range(2, 9))             # of a code
K = 4                                # codes of the notes' formula
SCHEMES = {
    "symmetric, per unit": dict(symmetric=True, per_channel=True),
    "affine, per unit": dict(symmetric=False, per_channel=True),
    "symmetric, per layer": dict(symmetric=True, per_channel=False),
    "affine, per layer": dict(symmetric=False, per_channel=False),
}

# %% Data and model
X, y = digits()


def trained(X_train, y_train, rng):
    model = Sequential(Linear(64, 128, rng=rng), ReLU(), Linear(128, 64, rng=rng), ReLU(),
                       Linear(64, 10, rng=rng))
    optimizer = Adam(model.parameters(), lr=2e-3)
    fit(model, X_train, y_train, optimizer=optimizer, epochs=EPOCHS, batch_size=64, rng=rng)
    return model


def arrays(model):
    """The weights of a model, as arrays."""
    return [weight.data for _, _, weight in all_weights(model)]


# %% The error of quantized weights
def relative_error(model, small):
    """Squared error of the weights over the sum of their squares."""
    W, Q = (np.concatenate([w.ravel() for w in arrays(m)]) for m in (model, small))
    return np.sum((W - Q) ** 2) / np.sum(W ** 2)


# %% Experiment: quantize each network with every scheme to every number of bits
class Run(NamedTuple):
    model: Sequential
    small: dict          # scheme: [a model for each number of bits]
    errors: dict         # scheme: (len(BITS),)
    hits: dict           # scheme: (len(BITS),)
    full: float          # the accuracy in float32
    test: tuple


def run(rng):
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.3, rng=rng, stratify=y)
    model, test = trained(X_train, y_train, rng), (X_test, y_test)
    small = {name: [quantize_weights(model, bits=bits, **scheme) for bits in BITS]
             for name, scheme in SCHEMES.items()}
    errors = {name: [relative_error(model, s) for s in row] for name, row in small.items()}
    hits = {name: [accuracy(s, *test) for s in row] for name, row in small.items()}
    return Run(model, small, errors, hits, accuracy(model, *test), test)


runs = [run(np.random.default_rng([demo.seed, r])) for r in demo.progress(range(RUNS), "networks")]
full = np.array([r.full for r in runs])
hits = {name: np.array([r.hits[name] for r in runs]) for name in SCHEMES}
errors = {name: np.array([r.errors[name] for r in runs]) for name in SCHEMES}    # (runs, bits)

# %% The formula of the notes: q = round(theta / Delta) leaves the codes 0 ... K - 1
n_without, n_nonzero, largest_fits = 0, 0, []
for W in arrays(runs[0].model):
    q, delta = notes_codes(W, k=K)
    without = (q < 0) | (q >= K)
    n_without += np.count_nonzero(without)
    n_nonzero += np.count_nonzero(q)
    largest_fits.append(not without.flat[np.abs(W).argmax()])
demo.claim("the largest weight of a layer has none of the codes 0 to K - 1 (layers where it has)",
           sum(largest_fits), at_most=0)
demo.finding("about half of the weights that are not rounded to 0 have no code from 0 to K - 1 (fraction)",
             n_without / n_nonzero, within=(0.4, 0.6))

# %% The repair: with a code Z for the number 0 every weight is near its code
off = []
for W in arrays(runs[0].model):
    qparams = choose_qparams(W.min(), W.max(), bits=2, symmetric=False)
    off.append(np.abs(W - dequantize(quantize(W, qparams), qparams)).max() / qparams.scale)
demo.claim("affine codes of 2 bits: the largest error of a weight (steps)", max(off),
           at_most=1 + 1e-5)

# %% Each extra bit divides the mean squared error by four
at_4, at_8 = (errors["affine, per layer"][:, BITS.index(bits)] for bits in (4, 8))
per_bit = (at_4 / at_8) ** 0.25
demo.claim("error / error with one bit more (geometric mean over 4 to 8 bits)", per_bit.mean(),
           within=(3.4, 4.8))

# %% What that costs in accuracy
lost = {name: 100 * (full[:, None] - values).mean(axis=0) for name, values in hits.items()}
demo.record("accuracy, float32", full.mean())
for name in SCHEMES:
    demo.record(f"points lost at {BITS[0]} to {BITS[-1]} bits, {name}", lost[name])
demo.claim("8 bits cost at most (points, any scheme)", max(loss[-1] for loss in lost.values()),
           at_most=0.3)
demo.claim("at 2 bits, a step per unit beats one per layer (points, symmetric)",
           lost["symmetric, per layer"][0] - lost["symmetric, per unit"][0], above=0)
demo.claim("2 bits are too few after training (points lost, symmetric, per unit)",
           lost["symmetric, per unit"][0], above=5)

# %% What it saves: one byte for a code of 8 bits, and less in a file
model, small = runs[0].model, dict(zip(BITS, runs[0].small["symmetric, per unit"]))
raw = 4 * sum(p.size for p in model.parameters())
rows = {"float32": model} | {f"{bits} bits": small[bits] for bits in (8, 4, 2)}
demo.reports(compare(rows, *runs[0].test))
demo.record("bytes of the float32 parameters", raw)
demo.claim("an 8-bit code is one byte in memory (bytes)", small[8][0].weight.codes.itemsize,
           at_most=1)
demo.claim("the 8-bit file is about a quarter of the float32 parameters (ratio)",
           file_bytes(small[8]) / raw, at_most=0.28)

# %% Figure: the numbers that 2-bit codes stand for
figure, (stairs, fall, hit) = plt.subplots(1, 3, figsize=(16, 5.2))
points = dict(zip(BITS, lost["symmetric, per unit"]))
figure.suptitle(f"Rounded after training, 4 bits per weight cost {points[4]:.1f} points of "
                f"accuracy, 2 bits cost {points[2]:.0f}")
r = np.linspace(-1, 1.5, 2001)
q, delta = notes_codes(r, k=K)
stairs.plot(r, r, color="0.8", linewidth=5)
stairs.plot(r, notes_dequantize(q.clip(0, K - 1), delta), color=VERMILLION,
            label=f"notes, codes 0 to {K - 1}")
for symmetric, color, style in ((True, BLUE, "--"), (False, GREEN, "-.")):
    qparams = choose_qparams(-1, 1.5, bits=2, symmetric=symmetric)
    stairs.plot(r, dequantize(quantize(r, qparams), qparams), color=color, linestyle=style,
                label="symmetric, 3 codes" if symmetric else "affine, 4 codes")
stairs.set(xlabel="number", ylabel="number that its code stands for",
           title="2 bits for numbers from -1 to 1.5")
stairs.legend(loc="upper left", fontsize=10)

# %% The error and the accuracy against bits
for values, (color, marker) in zip(errors.values(), SERIES):
    curve(fall, BITS, values, color=color, marker=marker, markersize=5)
anchor = np.median(errors["affine, per layer"][:, -1])
fall.plot(BITS, anchor * 4.0 ** (BITS[-1] - np.array(BITS)), "--", color=BLACK, linewidth=1.3)
fall.text(5, 3 * anchor * 4.0 ** 3, "divided by 4 per bit", ha="left")
fall.set(yscale="log", xlabel="bits", ylabel="mean squared error / mean square",
         title="Error of the weights")
scores(hit, np.array(BITS), hits, xscale="linear", xlabel="bits",
       title=f"Accuracy of {RUNS} networks",
       ylim=(None, 102))
reference(hit, 100 * full.mean(), "float32")
demo.finish(figure)
