"""How does the time of a training step grow with the width, the batch and the depth, and of a fit with n and p?

The work is easily counted: a step of a network with L layers of D x D weights on N samples takes 6 N L D^2
multiplications and additions, the minimum-norm fit about n p min(n, p). But every call has a cost of its own, and a
machine works fastest in large blocks.

You will see seconds against each of these numbers on logarithmic axes, dashed what the count of the work
predicts from the largest size down, and the exponent between the two largest sizes.

Predict first: how much longer does a step take with twice the batch, if the network is small? If it is large?
"""
# %% Constants
import matplotlib.pyplot as plt
import numpy as np
from _clock import THREADS, race
from common import BLACK, BLUE, GREEN, ORANGE, PURPLE, VERMILLION, start

from tinyml import Tensor
from tinyml import functional as F
from tinyml.interpolation.min_norm import min_norm
from tinyml.nn import Linear, ReLU, Sequential
from tinyml.optim import SGD
from tinyml.synthetic import make_linear

demo = start(__file__, __doc__)
ROUNDS = 2 if demo.quick else 5
WIDTH, BATCH, DEPTH = 128, 128, 4                     # two of them stay while the third grows
SIZES = {                                             # what grows: its values, and the power of the work
    "width D": ([16, 64, 256] if demo.quick else [16, 32, 64, 128, 256, 512, 1024], 2),
    "batch N": ([8, 64, 512] if demo.quick else [1, 4, 16, 64, 256, 1024, 4096], 1),
    "depth L": ([1, 4, 16] if demo.quick else [1, 2, 4, 8, 16, 32], 1),
    "features p": ([50, 200, 800] if demo.quick else [25, 50, 100, 200, 400, 800, 1600, 3200], 1),
    "samples n": ([50, 200, 800] if demo.quick else [25, 50, 100, 200, 400, 800, 1600, 3200], 1),
}
FIXED = 100                                           # n while p grows, and p while n grows
COLORS = dict(zip(SIZES, (BLUE, VERMILLION, GREEN, ORANGE, PURPLE)))


# %% What is timed
def training_step(width=WIDTH, batch=BATCH, depth=DEPTH):
    layers = sum([[Linear(width, width, rng=demo.rng), ReLU()] for _ in range(depth)], [])
    model = Sequential(*layers[:-1])
    optimizer = SGD(model.parameters(), lr=1e-9)
    x = demo.rng.standard_normal((batch, width), dtype=np.float32)
    y = demo.rng.integers(0, width, batch)

    def step():
        optimizer.zero_grad()
        F.cross_entropy(model(Tensor(x)), y).backward()
        optimizer.step()
    return step


def fit(n=FIXED, p=FIXED):
    X, y, _ = make_linear(n, p, sigma=0.1, rng=demo.rng)
    return lambda: min_norm(X, y)


MAKE = {"width D": lambda k: training_step(width=k), "batch N": lambda k: training_step(batch=k),
        "depth L": lambda k: training_step(depth=k), "features p": lambda k: fit(p=k), "samples n": lambda k: fit(n=k)}

# %% Experiment
seconds, slope = {}, {}
for what, (sizes, _) in demo.progress(SIZES.items(), "sizes"):
    times = race([MAKE[what](size) for size in sizes], ROUNDS)
    seconds[what] = np.median(times, axis=0)
    *_, smaller, larger = np.log(seconds[what])
    slope[what] = (larger - smaller) / np.log(sizes[-1] / sizes[-2])

# %% Does the time grow as the work does?
demo.record("threads asked of the BLAS (0: its own choice)", THREADS)
for what, (sizes, power) in SIZES.items():
    demo.record(f"{what} (the work grows with power {power})", sizes)
    demo.record(f"{what}: a step or fit takes", 1e3 * seconds[what], "ms")
    demo.record(f"{what}: exponent between the two largest", slope[what])
demo.finding("a small step is mostly cost per call: with 1/256 of the work it takes over 1/64 of the time (fraction)",
             seconds["width D"][0] / seconds["width D"][2 if demo.quick else 4], above=1 / 64)
if not demo.quick:    # two rounds are too few to claim an exponent
    for what, (_, power) in SIZES.items():
        demo.finding(f"{what}: time grows at most with the power of the work, up to noise (exponent)",
                     slope[what],
                     at_most=power + 0.35)

# %% Figure
figure, axes = plt.subplots(1, 2, figsize=(12.5, 5.4), sharey=True)
figure.suptitle(f"Twice the batch takes {2 ** slope['batch N']:.1f} times as long, twice the width "
                f"{2 ** slope['width D']:.1f} times: the time of large steps follows their work")
names = list(SIZES)
panels = [(axes[0], names[:3], f"A training step (otherwise D = {WIDTH}, N = {BATCH}, L = {DEPTH})"),
          (axes[1], names[3:], f"A minimum-norm fit (the other number is {FIXED})")]
for ax, names, title in panels:
    for i, what in enumerate(names):
        (sizes, power), times = SIZES[what], seconds[what]
        work = (np.array(sizes) / sizes[-1]) ** power
        ax.plot(sizes, 1e3 * times, "o^s"[i] + "-", color=COLORS[what], label=what)
        ax.plot(sizes, 1e3 * times[-1] * work, "--", color=COLORS[what], lw=1.2)
    ax.plot([], [], "--", color=BLACK, lw=1.2, label="work alone")
    ax.set(xscale="log", yscale="log", xlabel=" or ".join(names), title=title)
    ax.xaxis.set_minor_formatter("")
    ax.legend(loc="upper left")
axes[0].set_ylabel("milliseconds")
all_times = 1e3 * np.concatenate(list(seconds.values()))
axes[0].set_ylim(0.6 * all_times.min(), 4 * all_times.max())

demo.finish(figure)
