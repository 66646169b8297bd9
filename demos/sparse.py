"""A matrix with few numbers in it: is it smaller, and is it faster?

MATH5836 week 10, section 10.2.1; Saad 2003. Weight matrices of several densities are stored in compressed
sparse rows and multiplied with batches of several sizes, beside the dense product of the same matrix.

You will see the bytes against the density, and the time of the sparse product over that of the dense one, for
single samples and for batches.

Predict first: with one weight in ten left, the work is a tenth. Will the product take a tenth of the time?
"""
# %% Constants
import matplotlib.pyplot as plt
import numpy as np
from common import BLACK, BLUE, GREEN, ORANGE, VERMILLION, start

from tinyml.compression.report import milliseconds
from tinyml.compression.sparse import SparseLinear, to_csr
from tinyml.nn import Linear
from tinyml.train import predict

demo = start(__file__, __doc__)
SIZE = 512 if demo.quick else 1024                       # rows and columns
DENSITIES = np.array([0.003, 0.01, 0.1] if demo.quick else
                     [0.001, 0.003, 0.01, 0.03, 0.1, 0.25])    # shares of the entries that are not zero
BATCHES = {1: (BLUE, "o"), 16: (GREEN, "s"), 256: (VERMILLION, "^")}
ROUNDS = 5 if demo.quick else 9                         # of the clock


# %% Data: random masks on random weights
def layers(density):
    """A dense layer with that density, and the same layer sparse."""
    dense = Linear(SIZE, SIZE, rng=demo.rng)
    keep = demo.rng.random((SIZE, SIZE)) < density
    dense.weight.data = np.where(keep, dense.weight.data, np.float32(0))
    return dense, SparseLinear.from_linear(dense)


pairs = [layers(density) for density in DENSITIES]

# %% Experiment: bytes, differences, times
sizes = np.array([sparse.csr.nbytes for _, sparse in pairs]) / (4 * SIZE * SIZE)
inputs = {n: demo.rng.standard_normal((n, SIZE)).astype(np.float32) for n in BATCHES}
away = max(np.abs(predict(dense, inputs[16]) - predict(sparse, inputs[16])).max() for dense, sparse in pairs)
time = lambda pair, x: np.median(np.divide(*milliseconds(pair[::-1], x, rounds=ROUNDS)))
ratio = np.array([[time(pair, x) for x in inputs.values()]
                  for pair in demo.progress(pairs, "densities")])    # (densities, batches)
half = 4 / (4 + to_csr(np.ones((1, SIZE))).columns.itemsize)    # of the entries: then CSR is as large

# %% Figure
place = int(np.flatnonzero(DENSITIES == 0.1)[0])
figure, (weigh, clock) = plt.subplots(1, 2, figsize=(12.5, 5.4))
figure.suptitle(f"With a tenth of the weights left, {100 * sizes[place]:.0f} % of the bytes; the product takes "
                f"{ratio[place, 0]:.1f} times as long for one sample, {ratio[place, -1]:.0f} times for 256")
weigh.plot(100 * DENSITIES, 100 * sizes, "o-", color=ORANGE)
weigh.axhline(100, color="0.6", lw=1)
weigh.axvline(100 * half, color=BLACK, ls="--", lw=1.3)
weigh.text(95 * half, 0.6, f"as large as dense\nfrom {100 * half:.0f} % on", ha="right")
weigh.set(xscale="log", yscale="log", xlabel="weights that are not zero, %",
          ylabel="bytes / bytes of the dense matrix, %", xlim=(None, 100),
          title=f"Bytes of {SIZE:,} x {SIZE:,} in compressed sparse rows")
for i, (n, (color, marker)) in enumerate(BATCHES.items()):
    clock.plot(100 * DENSITIES, ratio[:, i], marker=marker, color=color, label=f"batch of {n}")
clock.axhline(1, color="0.4", lw=1.2)
clock.text(48, 1.15, "slower", color="0.3", ha="right")
clock.text(48, 0.87, "faster", color="0.3", ha="right", va="top")
clock.plot(100 * DENSITIES, DENSITIES, "--", color=BLACK, lw=1.3)
clock.text(1, 0.006, "time = work", va="top")
clock.set(xscale="log", yscale="log", xlabel="weights that are not zero, %",
          ylabel="time / time of the dense product", title="Time of the product, in NumPy", xlim=(None, 50))
clock.legend(loc="upper left")
for ax in (weigh, clock):
    ax.set_xticks([0.1, 1, 10, 50], ["0.1", "1", "10", "50"])

# %% Claims
print("time of the sparse product / of the dense one, by batch; below 1 the sparse one is faster")
print("not zero  " + "".join(f"{n:>9}" for n in BATCHES))
for density, row in zip(DENSITIES, ratio):
    print(f"{100 * density:6.1f} %  " + "".join(f"{value:9.2f}" for value in row))
for i, n in enumerate(BATCHES):
    demo.record(f"time / dense, batch of {n}, by density", ratio[:, i])
demo.record("densities", DENSITIES)
demo.record("bytes / dense", sizes)
demo.claim("sparse and dense products agree (largest difference)", away, at_most=1e-4)
demo.claim("a tenth of the weights takes at most this share of the bytes", sizes[place], at_most=0.2)
if not demo.quick:
    demo.finding("in batches of 256, a tenth of the weights is slower than all of them (ratio of the times)",
                 ratio[place, -1], above=1)
    demo.finding("in batches of 16, one weight in a thousand is faster (ratio of the times)", ratio[0, 1], below=1)
demo.finish(figure)
