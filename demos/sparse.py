"""A matrix with few nonzero numbers: is it smaller, and is it faster?

MATH5836 week 10, section 10.2.1; Saad 2003. Weight matrices of several densities are stored in
compressed sparse rows and multiplied with batches of several sizes, beside the dense product.

You will see the bytes against the density, and the time of the sparse product over that of the
dense product, for single samples and for batches.

Predict first: with one weight in ten left, the work is a tenth. Will the product take a tenth of
the time?
"""
# %% Constants
import matplotlib.pyplot as plt
import numpy as np
from common import BLACK, start
from panels import SERIES, curve, reference

from tinyml.compression.report import milliseconds
from tinyml.compression.sparse import SparseLinear, to_csr
from tinyml.nn import Linear
from tinyml.train import predict

demo = start(__file__, __doc__)
SIZE = 512 if demo.quick else 1024       # rows and columns
DENSITIES = np.array([0.003, 0.01, 0.1] if demo.quick else
                     [0.001, 0.003, 0.01, 0.03, 0.1, 0.25])    # fractions of nonzero weights
BATCHES = 1, 16, 256
ROUNDS = 5 if demo.quick else 9          # of the clock
TENTH = int(np.flatnonzero(DENSITIES == 0.1)[0])


# %% Data: random weights, of which a random choice is zero
def layers(density):
    """A dense layer with that density, and the same layer sparse."""
    dense = Linear(SIZE, SIZE, rng=demo.rng)
    keep = demo.rng.random((SIZE, SIZE)) < density
    dense.weight.data = np.where(keep, dense.weight.data, np.float32(0))
    return dense, SparseLinear.from_linear(dense)


pairs = [layers(density) for density in DENSITIES]
inputs = {n: demo.rng.standard_normal((n, SIZE)).astype(np.float32) for n in BATCHES}

# %% Both layers compute the same
differences = [np.abs(predict(dense, inputs[16]) - predict(sparse, inputs[16])).max()
               for dense, sparse in pairs]
demo.claim("sparse and dense products agree (largest difference)", max(differences), at_most=1e-4)

# %% Bytes: a value and its column for each nonzero weight, against a value for each weight
dense_bytes = 4 * SIZE * SIZE
sizes = np.array([sparse.csr.nbytes for _, sparse in pairs]) / dense_bytes
column_bytes = to_csr(np.ones((1, SIZE))).columns.itemsize
break_even = 4 / (4 + column_bytes)
demo.record("densities", DENSITIES)
demo.record("bytes / dense", sizes)
demo.claim("a tenth of the weights takes at most this fraction of the bytes", sizes[TENTH],
           at_most=0.2)


# %% Time: the median over rounds in which both layers run in turn
def relative_time(dense, sparse, x):
    sparse_ms, dense_ms = milliseconds((sparse, dense), x, rounds=ROUNDS)
    return np.median(np.divide(sparse_ms, dense_ms))


times = np.array([[relative_time(*pair, x) for x in inputs.values()]
                  for pair in demo.progress(pairs, "densities")])    # (densities, batches)
for n, column in zip(BATCHES, times.T):
    demo.record(f"time / dense, batch of {n}, by density", column)

# %% Findings about this machine
if not demo.quick:
    demo.finding("in batches of 256, a tenth of the weights takes longer than all of them (ratio)",
                 times[TENTH, -1], above=1)
    demo.finding("for one sample, one weight in a thousand is faster (ratio of the times)",
                 times[0, 0], below=1)

# %% Figure: bytes against density
figure, (memory, clock) = plt.subplots(1, 2, figsize=(12.5, 5.4))
figure.suptitle(f"A tenth of the weights takes {100 * sizes[TENTH]:.0f} % of the bytes, and "
                f"{times[TENTH, 0]:.1f} times the time for one sample, "
                f"{times[TENTH, -1]:.0f} times for 256")
curve(memory, 100 * DENSITIES, 100 * sizes, marker="o")
reference(memory, 100, "dense matrix")
memory.axvline(100 * break_even, color=BLACK, linestyle="--", linewidth=1.3)
memory.text(95 * break_even, 0.6, f"larger than dense\nfrom {100 * break_even:.0f} % on",
            ha="right")
memory.set(xscale="log", yscale="log", xlabel="nonzero weights in %",
           ylabel="bytes / bytes of the dense matrix, %",
           xlim=(None, 100), title=f"Bytes of {SIZE:,} x {SIZE:,} in compressed sparse rows")

# %% Time against density
for n, column, (color, marker) in zip(BATCHES, times.T, SERIES):
    curve(clock, 100 * DENSITIES, column, color=color, marker=marker, label=f"batch of {n}")
curve(clock, 100 * DENSITIES, DENSITIES, color=BLACK, linestyle=":", label="time = work")
reference(clock, 1, "dense", x=0.9)
clock.set(xscale="log", yscale="log", xlabel="nonzero weights in %",
          ylabel="time / time of the dense product",
          title="Time of the product, in NumPy", xlim=(None, 50))
clock.legend(loc="lower right", fontsize=10)
for ax in (memory, clock):
    ax.set_xticks([0.1, 1, 10, 50], ["0.1", "1", "10", "50"])
demo.finish(figure)
