"""How many bits does a weight need once the network is trained?

MATH5836 week 10, section 10.2.2; Jacob et al. 2018. The weights of a digits network become integer codes,
with one step for each layer or one for each output unit, centred at 0 or not.

You will see the notes' formula with the codes that it lacks, and the two repairs; the mean squared error that
falls four times per bit; the accuracy against bits; and what the codes weigh in a file.

Predict first: the error of a weight doubles with each bit that goes. When does the accuracy notice?
"""
# %% Constants
import matplotlib.pyplot as plt
import numpy as np
from common import BLACK, BLUE, GREEN, ORANGE, VERMILLION, band, start

from tinyml.compression.quantization import (choose_qparams, dequantize, notes_codes, quantize,
                                             quantize_weights)
from tinyml.compression.report import compare, file_bytes
from tinyml.data import digits, train_test_split
from tinyml.nn import Linear, ReLU, Sequential
from tinyml.optim import Adam
from tinyml.train import accuracy, fit

demo = start(__file__, __doc__)
RUNS = 2 if demo.quick else 6                # networks, each with its own split of the digits
EPOCHS = 15 if demo.quick else 40            # of training, before anything is quantized
BITS = np.arange(2, 9)                       # of a code
K = 4                                        # codes of the notes' formula in the first picture
SCHEMES = {    # name: (symmetric, per channel, colour, marker)
    "symmetric, per unit": (True, True, BLUE, "o"), "affine, per unit": (False, True, GREEN, "s"),
    "symmetric, per layer": (True, False, ORANGE, "^"), "affine, per layer": (False, False, VERMILLION, "v"),
}

# %% Data, model, experiment
X, y = digits()


def errors(model, small):
    """Mean squared difference of the weights, relative to their mean square."""
    pairs = [(m.weight.data, s.weight().data) for m, s in zip(model, small) if hasattr(m, "weight")]
    return sum(((w - q) ** 2).sum() for w, q in pairs) / sum((w ** 2).sum() for w, _ in pairs)


def run(rng):
    """Accuracies and errors (schemes, bits), the float accuracy, bytes (bits), and two of the models."""
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.3, rng=rng, stratify=y)
    model = Sequential(Linear(64, 128, rng=rng), ReLU(), Linear(128, 64, rng=rng), ReLU(),
                       Linear(64, 10, rng=rng))
    fit(model, X_train, y_train, optimizer=Adam(model.parameters(), lr=2e-3), epochs=EPOCHS, batch_size=64,
        rng=rng)
    models = [[quantize_weights(model, bits=b, symmetric=symmetric, per_channel=per_channel)
               for b in BITS.tolist()] for symmetric, per_channel, *_ in SCHEMES.values()]
    hits = [[accuracy(small, X_test, y_test) for small in row] for row in models]
    misses = [[errors(model, small) for small in row] for row in models]
    return (hits, misses, accuracy(model, X_test, y_test), [file_bytes(small) for small in models[0]], model,
            models[0], (X_test, y_test))


runs = [run(np.random.default_rng([demo.seed, r])) for r in demo.progress(range(RUNS), "networks")]
hits, misses, full, sizes = (np.array([r[i] for r in runs]) for i in range(4))
model, small, test = runs[0][4:]
int8 = small[-1]
lost = 100 * (full[:, None, None] - hits).mean(axis=0)             # (schemes, bits), in points
raw = 4 * sum(p.size for p in model.parameters())

# %% The notes' codes of the first network's layers, and the repaired ones
weights = [m.weight.data for m in model if hasattr(m, "weight")]
codes = [notes_codes(w, k=K)[0] for w in weights]
has_none = [(q < 0) | (q >= K) for q in codes]                     # no code among 0 ... K - 1
of_largest = [miss.flat[abs(w).argmax()] for w, miss in zip(weights, has_none)]
n_none, n_not_zero = sum(miss.sum() for miss in has_none), sum((q != 0).sum() for q in codes)
repaired = [choose_qparams(w.min(), w.max(), bits=2, symmetric=False) for w in weights]
off = [abs(w - dequantize(quantize(w, q), q)).max() / q.scale for w, q in zip(weights, repaired)]

# %% Figure
figure, ((stairs, fall), (hit, weigh)) = plt.subplots(2, 2, figsize=(12, 9.2))
at4 = lost[0, BITS == 4].item()
figure.suptitle(f"4 bits for a weight, rounded after training, cost {at4:.1f} points of accuracy, "
                f"2 bits {lost[0, 0]:.0f}")
r = np.linspace(-1, 1.5, 2001)
affine, even = (choose_qparams(-1, 1.5, bits=2, symmetric=symmetric) for symmetric in (False, True))
delta = notes_codes(r, k=K)[1]
meant = delta * np.clip(notes_codes(r, k=K)[0], 0, K - 1)
stairs.plot(r, r, color="0.8", lw=5)
stairs.plot(r, meant, color=VERMILLION, label=f"the notes' codes 0 to {K - 1}")
stairs.plot(r, dequantize(quantize(r, even), even), color=BLUE, ls="--", label="symmetric, 3 codes")
stairs.plot(r, dequantize(quantize(r, affine), affine), color=GREEN, ls="-.", label="affine, 4 codes")
stairs.set(xlabel="number", ylabel="number that its code stands for",
           title="2 bits for numbers from -1 to 1.5")
stairs.legend(loc="lower right", fontsize=10)
for i, (name, (_, _, color, marker)) in enumerate(SCHEMES.items()):
    band(fall, BITS, misses[:, i], color=color, marker=marker, ms=5, label=name)
    band(hit, BITS, 100 * hits[:, i], color=color, marker=marker, ms=5, label=name)
anchor = np.median(misses[:, 3, -1])
fall.plot(BITS, anchor * 4.0 ** (BITS[-1] - BITS), "--", color=BLACK, lw=1.3)
fall.text(5, 3 * anchor * 4.0 ** 3, "4 times less per bit", ha="left")
fall.set(yscale="log", xlabel="bits", ylabel="mean squared error / mean square",
         title="The error of the weights")
hit.axhline(100 * full.mean(), ls="--", color="0.4", lw=1.2)
hit.text(8, 100 * full.mean() + 1, "float32", ha="right", color="0.3")
hit.set(xlabel="bits", ylabel="test accuracy in %", title="The accuracy", ylim=(None, 103))
hit.legend(loc="lower right", fontsize=10)
heights = np.array([raw, *sizes.mean(axis=0)[::-1]]) / 1000
weigh.bar(["32", *map(str, BITS[::-1])], heights, color=["0.6"] + [BLUE] * len(BITS))
for place, height in enumerate(heights):
    weigh.text(place, height + 1, f"{height:.1f}", ha="center", color="0.3")
weigh.set(xlabel="bits (symmetric, per unit)", ylabel="file in kB",
          title="What the codes weigh, headers and all")

# %% Claims
demo.record("accuracy, float32", full.mean())
for i, name in enumerate(SCHEMES):
    demo.record(f"points lost at {BITS[0]} to {BITS[-1]} bits, {name}", lost[i])
demo.reports(compare({"float32": model, "8 bits": int8, "4 bits": small[2], "2 bits": small[0]}, *test))
demo.record("bytes of the float32 parameters", raw)
demo.record("bytes of the file, 2 to 8 bits", sizes.mean(axis=0))
demo.record("share of the weights without one of the notes' codes 0 to K - 1",
            n_none / sum(w.size for w in weights))
demo.claim("the largest weight of a layer gets K or -K, none of 0 to K - 1 (share of the layers)",
           np.mean(of_largest), at_least=1)
demo.finding("about half of the weights that are not rounded to 0 have no such code (share)",
             n_none / n_not_zero, within=(0.4, 0.6))
demo.claim("with a code Z for 0 every weight is near its code (largest error, steps, 2 bits)",
           max(off), at_most=1 + 1e-5)
demo.claim("an 8-bit code is one byte in memory (bits)", 8 * int8[0].weight.codes.itemsize, at_most=8)
demo.claim("8 bits cost at most (points of accuracy, any scheme)", lost[:, -1].max(), at_most=0.3)
demo.claim("each bit divides the mean squared error by about four (geometric mean over 4 to 8 bits)",
           (misses[:, 3, 2] / misses[:, 3, -1]).mean() ** 0.25, within=(3.4, 4.8))
demo.claim("a step per unit beats one per layer at 2 bits (points, symmetric)",
           lost[2, 0] - lost[0, 0], above=0)
demo.claim("2 bits, symmetric, per unit, are too few after training (points lost)", lost[0, 0], above=5)
demo.claim("the 8-bit file is about a quarter of the float32 parameters (largest ratio)",
           sizes[:, -1].max() / raw, at_most=0.28)
demo.finish(figure)
