"""How much slower than hand-written NumPy is a framework that you can read in an hour?

The lower limit of a framework in NumPy is a training step written by hand: forward, backward
and update with buffers allocated once, on the same BLAS (demos/_floors.py). Everything above it is
the price of the framework.

You will see the time of a training step on four networks as a multiple of that floor: tinyml's,
and in a full run that of PyTorch (eager), JAX (compiled) and autograd, where they happen to be
installed (demos/_peers.py).

What did not help: switching off the cyclic garbage collector (there are no cycles), arrays aligned to 64 bytes, ReLU
by np.where or np.clip (twice the time of np.maximum), and picking the cross-entropy's logits by a sum over one-hot
rows. What helped is in the code: gradients that nobody needs are never computed, no array of the batch's size is made
twice, no graph has a cycle, leaves stay off the heap, optimizers write into their own memory, sums over rows or
columns are products with a vector of ones, settings become arrays once, and what an operation notices by itself (a
shape that does not fit, a label that is no class) is not checked before.

Predict first: a training step costs tinyml some hundred calls of Python functions. On which of the
networks does that weigh most? And which framework is the fastest on each?
"""
# %% Constants
import tracemalloc
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from _clock import THREADS, race
from _floors import floor_step
from _peers import AUTOGRAD, JAX, PYTORCH, installed
from common import BLUE, GREEN, ORANGE, PURPLE, start

from tinyml import Tensor
from tinyml import functional as F
from tinyml.nn import BatchNorm2d, Conv2d, Flatten, Linear, MaxPool2d, ReLU, Sequential
from tinyml.optim import SGD, Adam

demo = start(__file__, __doc__)
ROUNDS = 5 if demo.quick else 15       # each round times every framework, one after the other
STEPS, LR = 5, 1e-3                    # training steps after which all must agree, and their rate
STILL = 1e-9                           # the rate during timing: the weights hardly change
MEMORY_BATCH = 512                     # batch size of the memory measurement, on the widest network
STYLE = {"tinyml": (BLUE, "o"), PYTORCH: (ORANGE, "s"), JAX: (GREEN, "^"), AUTOGRAD: (PURPLE, "D")}


# %% The networks: a weight of four axes is a convolution, one axis a batch norm behind it, then come
# ReLU and pooling; two axes are linear. Adam would move a bias in front of a batch norm by rounding
# alone, since its gradient is 0, so that row has another optimizer.
class Workload(NamedTuple):
    name: str
    image: tuple      # shape of one input
    shapes: tuple     # of the weights
    batch: int
    optimizer: str
    limit: float      # the expected ratio to the floor; infinite: none is expected


WORKLOADS = [
    Workload("MLP 64-128-10", (64,), ((128, 64), (10, 128)), 32, "momentum", 1.6),
    Workload("LeNet-300-100", (784,), ((300, 784), (100, 300), (10, 100)), 128, "Adam", 1.15),
    Workload("CNN 8-16-10", (1, 28, 28), ((8, 1, 3, 3), (16, 8, 3, 3), (10, 400)), 64, "SGD",
             np.inf),
    Workload("CNN 16-32-10, batch norm", (1, 28, 28),
             ((16, 1, 3, 3), (16,), (32, 16, 3, 3), (32,), (10, 800)), 64, "momentum", np.inf),
    Workload("MLP 784-1024-1024-10", (784,), ((1024, 784), (1024, 1024), (10, 1024)), 256, "SGD",
             1.10),
]
WIDE = WORKLOADS[-1]


def draw(workload, batch):
    """Random weights, inputs and labels: the time does not depend on what is learned."""
    weights = []
    for shape in workload.shapes:
        bound = 1 / np.sqrt(np.prod(shape[1:]))
        for size in (shape, shape[0]):    # weight, bias
            weights.append(demo.rng.uniform(-bound, bound, size).astype(np.float32))
    x = demo.rng.standard_normal((batch, *workload.image), dtype=np.float32)
    return weights, x, demo.rng.integers(0, workload.shapes[-1][0], batch)


# %% One training step in tinyml
def tinyml_step(weights, x, labels, optimizer, lr):
    layers = []
    for shape in (w.shape for w in weights[::2]):    # the others are biases
        if len(shape) == 4:
            layers += [Conv2d(shape[1], shape[0], shape[2], rng=demo.rng), ReLU(), MaxPool2d(2)]
        elif len(shape) == 1:
            layers.insert(-2, BatchNorm2d(shape[0]))    # behind the convolution
        else:
            layers += [Flatten()] if layers and isinstance(layers[-1], MaxPool2d) else []
            layers += [Linear(shape[1], shape[0], rng=demo.rng), ReLU()]
    model = Sequential(*layers[:-1])
    params = model.parameters()
    for p, w in zip(params, weights):
        p.data = w.copy()
    update = {"SGD": lambda: SGD(params, lr), "momentum": lambda: SGD(params, lr, momentum=0.9),
              "Adam": lambda: Adam(params, lr)}[optimizer]()

    def step():
        update.zero_grad()
        loss = F.cross_entropy(model(Tensor(x)), labels)
        loss.backward()
        update.step()
        return loss.item()
    return step, lambda: [p.data for p in params]


# %% The frameworks that are timed
MAKERS = {"floor": floor_step, "tinyml": tinyml_step, **({} if demo.quick else installed(THREADS))}


def contenders(*task):
    """{name: (step, params)} for every framework: step() trains once and returns the loss."""
    made = {name: make(*task) for name, make in MAKERS.items()}
    return {name: run for name, run in made.items() if run is not None}


# %% Do they compute the same numbers? And how long do they take?
def flat(arrays):
    return np.concatenate([np.ravel(a) for a in arrays])


def distance(ours, floor, weights):
    """Between two trained networks, relative to how far training moved the floor's."""
    moved = np.linalg.norm(flat(floor) - flat(weights))
    return np.linalg.norm(flat(ours) - flat(floor)) / moved


floors, ratios = [], []
for workload in demo.progress(WORKLOADS, "workloads"):
    weights, x, labels = draw(workload, workload.batch)
    losses, trained = {}, {}
    for name, (step, params) in contenders(weights, x, labels, workload.optimizer, LR).items():
        losses[name], trained[name] = np.array([step() for _ in range(STEPS)]), params()
    floor = trained.pop("floor")
    off = {name: distance(ours, floor, weights) for name, ours in trained.items()}
    demo.record(f"{workload.name}: weights off the floor's, {', '.join(off)}", list(off.values()))
    demo.claim(f"{workload.name}: tinyml's losses in {STEPS} steps are the floor's, up to "
               "rounding (relative error)", abs(losses["tinyml"] / losses["floor"] - 1).max(),
               at_most=1e-5)
    demo.claim(f"{workload.name}: so are its weights (error relative to the distance moved)",
               off["tinyml"], at_most=1e-3)
    runs = contenders(weights, x, labels, workload.optimizer, STILL)
    times = race([step for step, _ in runs.values()], ROUNDS)
    floors.append(np.median(times[:, 0]))
    ratios.append(dict(zip(off, (times[:, 1:] / times[:, :1]).T)))

# %% The time of a step as a multiple of the floor's
demo.record("threads asked of the BLAS (0: its own choice)", THREADS)
for workload, seconds, ratio in zip(WORKLOADS, floors, ratios):
    demo.record(f"{workload.name}: a step of the floor", seconds * 1e3, "ms")
    for name, values in ratio.items():
        demo.record(f"{workload.name}: {name} / floor", np.median(values))
    if np.isfinite(workload.limit) and not demo.quick:    # five rounds are too few to claim a ratio
        demo.finding(f"{workload.name}: time of tinyml's step / of the floor's, median of {ROUNDS} rounds",
                     np.median(ratio["tinyml"]), at_most=workload.limit)

# %% Memory that a step of the widest network allocates
step, _ = tinyml_step(*draw(WIDE, MEMORY_BATCH), WIDE.optimizer, STILL)
step()
tracemalloc.start()
step()
peak = tracemalloc.get_traced_memory()[1] / 1e6
tracemalloc.stop()
demo.record("peak memory of a step of the widest network", peak, "MB")
demo.claim(f"{WIDE.name} at batch {MEMORY_BATCH}: peak megabytes that a step allocates", peak,
           below=100)

# %% Figure: a row per framework, grouped by network
multiples = [np.median(ratio["tinyml"]) for ratio in ratios]
figure, ax = plt.subplots(figsize=(11, 1.8 + 0.36 * sum(len(ratio) + 1 for ratio in ratios)))
figure.suptitle(f"tinyml trains in {min(multiples):.2f} to {max(multiples):.2f} times the time of "
                "hand-written NumPy")
row, ticks = 0, []
for ratio in ratios:
    ticks.append(row + (len(ratio) - 1) / 2)
    for name, values in ratio.items():
        colour, marker = STYLE[name]
        low, middle, high = np.percentile(values, [10, 50, 90])
        ax.plot([1, middle], [row, row], color=colour, alpha=0.4)
        ax.plot([low, high], [row, row], color=colour, lw=7, alpha=0.25, solid_capstyle="butt")
        ax.plot(middle, row, marker=marker, color=colour, ms=9)
        ax.annotate(f"{name}  {middle:.2f}", (max(high, 1), row), xytext=(10, 0), va="center",
                    textcoords="offset points", weight="bold" if name == "tinyml" else "normal")
        row += 1
    row += 1
ax.axvline(1, color="0.3", lw=1.5)
ax.annotate("the floor", (1, 1), xycoords=("data", "axes fraction"), xytext=(0, 5), color="0.3",
            textcoords="offset points", ha="center")
ax.set_yticks(ticks, [f"{w.name}\nbatch {w.batch}, {w.optimizer}; floor {seconds * 1e3:.3g} ms"
                      for w, seconds in zip(WORKLOADS, floors)])
spread = np.concatenate([np.percentile(v, [10, 90]) for ratio in ratios for v in ratio.values()])
limits = min(0.8, 0.9 * spread.min()), max(2.5, 1.8 * spread.max())
marks = [m for m in (0.5, 1, 1.5, 2, 3, 5, 10, 20, 50) if limits[0] < m < limits[1]]
ax.set(xscale="log", xlim=limits, ylim=(row - 1, -1),
       xlabel="time of a training step / time of the floor    "
              "(mark: median; band: 10 to 90 % of the rounds)")
ax.set_xticks(marks, [f"{m:g}" for m in marks])
ax.minorticks_off()
ax.grid(axis="y", visible=False)
ax.tick_params(axis="y", length=0)
ax.spines["left"].set_visible(False)

demo.finish(figure)
