"""How many bits does a weight need once the network is trained?

MATH5836 week 10, section 10.2.2; Jacob et al. 2018. The weights of a network for images become
integer codes, with one step for each layer or one for each output unit, symmetric around 0 or
affine.

You will see the notes' formula, which has no code for negative weights, and the two repairs; the
mean squared error, which is divided by four for each extra bit; and the accuracy against bits.
With --data, other images: where classes are alike, as a shirt and a coat are, a small error of the
weights changes more answers than on digits, some of them for the better.

Predict first: the error of a weight doubles with each bit less. When does the accuracy notice?
"""
# %% Constants
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from _networks import Trained, arrays, load_images, relative_error, trained_network
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
from tinyml.train import accuracy

demo = start(__file__, __doc__, data=("digits", "clothes", "mnist", "fashion-mnist"))
X, y = load_images(demo)
RUNS = 2 if demo.quick else 6        # networks, each with its own split of the images
EPOCHS = 15 if demo.quick else 40    # of training, before anything is quantized
BITS = list(range(2, 9))             # of a code
K = 4                                # codes of the notes' formula
SCHEMES = {
    "symmetric, per unit": dict(symmetric=True, per_channel=True),
    "affine, per unit": dict(symmetric=False, per_channel=True),
    "symmetric, per layer": dict(symmetric=True, per_channel=False),
    "affine, per layer": dict(symmetric=False, per_channel=False),
}

# %% Experiment: quantize each network with every scheme to every number of bits
class Run(NamedTuple):
    net: Trained
    small: dict          # scheme: [a model for each number of bits]
    errors: dict         # scheme: (len(BITS),)
    hits: dict           # scheme: (len(BITS),)


def run(rng):
    net = trained_network(X, y, rng, epochs=EPOCHS)
    small = {name: [quantize_weights(net.model, bits=bits, **scheme) for bits in BITS]
             for name, scheme in SCHEMES.items()}
    errors = {name: [relative_error(net.model, s) for s in row] for name, row in small.items()}
    hits = {name: [accuracy(s, *net.test) for s in row] for name, row in small.items()}
    return Run(net, small, errors, hits)


runs = [run(np.random.default_rng([demo.seed, r])) for r in demo.progress(range(RUNS), "networks")]
full = np.array([r.net.full for r in runs])
hits = {name: np.array([r.hits[name] for r in runs]) for name in SCHEMES}
errors = {name: np.array([r.errors[name] for r in runs]) for name in SCHEMES}    # (runs, bits)

# %% The formula of the notes: q = round(theta / Delta) leaves the codes 0 ... K - 1
model, test = runs[0].net.model, runs[0].net.test
n_without, n_nonzero, largest_fits = 0, 0, []
for W in arrays(model):
    q, delta = notes_codes(W, k=K)
    without = (q < 0) | (q >= K)
    n_without += np.count_nonzero(without)
    n_nonzero += np.count_nonzero(q)
    largest_fits.append(not without.flat[np.abs(W).argmax()])
demo.claim("the largest weight of a layer has none of the codes 0 to K - 1 (layers where it has)",
           sum(largest_fits), at_most=0)
demo.finding("about half of the weights that are not rounded to 0 have no code from 0 to K - 1 "
             "(fraction)", n_without / n_nonzero, within=(0.4, 0.6),
             why="It takes weights that are below 0 about as often as above it.")

# %% The repair: with a code Z for the number 0 every weight is near its code
off = []
for W in arrays(model):
    qparams = choose_qparams(W.min(), W.max(), bits=2, symmetric=False)
    off.append(np.abs(W - dequantize(quantize(W, qparams), qparams)).max() / qparams.scale)
demo.claim("affine codes of 2 bits: the largest error of a weight (steps)", max(off),
           at_most=1 + 1e-5)

# %% Each extra bit divides the mean squared error by four
at_4, at_8 = (errors["affine, per layer"][:, BITS.index(bits)] for bits in (4, 8))
per_bit = (at_4 / at_8) ** 0.25
demo.finding("error / error with one bit more (geometric mean over 4 to 8 bits)", per_bit.mean(),
             within=(3.4, 4.8),
             why="If a step is so wide that most weights become 0, as with few bits and "
                 "some large weights, an extra bit gains more than that.")

# %% What that costs in accuracy
lost = {name: 100 * (full[:, None] - values).mean(axis=0) for name, values in hits.items()}
demo.record("accuracy, float32", full.mean())
for name in SCHEMES:
    demo.record(f"points lost at {BITS[0]} to {BITS[-1]} bits, {name}", lost[name])
demo.finding("8 bits cost at most (points, any scheme)", max(loss[-1] for loss in lost.values()),
             at_most=0.3,
             why="Where classes are alike, more images are close to a boundary, and a "
                 "small error of the weights moves them across.")
demo.finding("at 2 bits, a step per unit beats one per layer (points, symmetric)",
             lost["symmetric, per layer"][0] - lost["symmetric, per unit"][0], above=0,
             why="If the units of a layer have weights of the same size, a step of its own "
                 "gains a unit nothing.")
demo.finding("2 bits are too few after training (points lost, symmetric, per unit)",
             lost["symmetric, per unit"][0], above=5,
             why="Classes that are far apart are told apart even with large errors of the "
                 "weights.")

# %% What it saves: one byte for a code of 8 bits, and less in a file
small = dict(zip(BITS, runs[0].small["symmetric, per unit"]))
raw = 4 * sum(p.size for p in model.parameters())
rows = {"float32": model} | {f"{bits} bits": small[bits] for bits in (8, 4, 2)}
demo.reports(compare(rows, *test))
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
