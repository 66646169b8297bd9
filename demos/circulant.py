"""A layer of n numbers in place of n^2: what does a circulant matrix still learn?

MATH5836 week 10, section 10.2.3; Cheng et al. 2015; Ding et al. 2017. The two wide layers of a
network for images get blocks of circulant matrices, of several sides b, and so 1/b of their
weights: as the nearest ones to a trained network that is trained further, or from the start. The
opponent has full layers, as many numbers, and so fewer units. All are trained for as many epochs.

You will see how much of a trained matrix its nearest circulant one keeps; the accuracy against the
number of parameters; and the time of a product by the Fourier transform beside the full product.
A trained matrix is hardly nearer to a circulant one than a random matrix is, so its nearest one is
a poor start. From the start, with random signs at the inputs as in the paper, circulant layers beat
a narrow network of as many numbers, which has few units.

Predict first: 256 x 256 weights become 256 numbers. Which share of the squared weights can they
keep: a half, a tenth, or one in 256?
"""
# %% Constants
import copy
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from _networks import dense_network, load_images
from common import BLACK, BLUE, GREEN, ORANGE, start
from panels import curve, reference

from tinyml import Tensor
from tinyml.compression.circulant import circulant_product, nearest_blocks
from tinyml.compression.circulant_layers import CirculantLinear, make_circulant
from tinyml.compression.report import compare, macs, milliseconds
from tinyml.data import train_test_split
from tinyml.nn import Linear, Sequential
from tinyml.optim import Adam, LambdaLR, cosine_decay
from tinyml.train import accuracy, fit

demo = start(__file__, __doc__, data=("digits", "clothes", "mnist", "fashion-mnist"))
X, y = load_images(demo)
RUNS = 1 if demo.quick else 2                # splits of the images
WIDTH = 128 if demo.quick else 256           # units of both hidden layers
BLOCKS = (16, WIDTH) if demo.quick else (4, 16, 64, WIDTH)    # sides b
EPOCHS = 8 if demo.quick else 12             # of training, and once more of further training
BATCH, LR = 64, 2e-3                         # of every network; not tuned
SIDES = (64, 256) if demo.quick else (64, 256, 1024, 2048)    # of the matrices on the clock
ROUNDS = 3 if demo.quick else 9              # of the clock


# %% Training, and the two opponents
def train(model, data, rng, epochs):
    """Train in place; returns the model."""
    n_steps = epochs * -(-len(data[0]) // BATCH)
    optimizer = Adam(model.parameters(), lr=LR)
    schedule = LambdaLR(optimizer, lambda t: cosine_decay(t, n_steps))
    fit(model, *data, optimizer=optimizer, epochs=epochs, batch_size=BATCH, rng=rng,
        schedule=schedule, label="training")
    return model


def n_numbers(model):
    return sum(p.size for p in model.parameters())


def circulant_network(model, block, rng):
    """A network like `model` with new circulant layers in place of all but the last Linear."""
    layers = [CirculantLinear(layer.in_features, layer.out_features, block=block, rng=rng)
              if isinstance(layer, Linear) else layer for layer in model[:-1]]
    return Sequential(*layers, copy.deepcopy(model[-1]))


def narrow_network(most, rng):
    """The widest full network with at most so many numbers."""
    width = 2
    while n_numbers(dense_network(X.shape[1], rng, hidden=(width + 1, width + 1))) <= most:
        width += 1
    return dense_network(X.shape[1], rng, hidden=(width, width))


# %% Experiment
class Run(NamedTuple):
    trained: Sequential  # full layers, the start of the nearest ones
    full: Sequential     # the same, trained for as long as all others
    kept: np.ndarray     # share of the squared weights that the nearest blocks keep, by block
    models: dict         # way: a network for each block
    test: tuple          # X, y


WAYS = ("nearest", "nearest, trained further", "from the start", "narrow")


def run(rng):
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.3, rng=rng, stratify=y)
    data = X_train, y_train
    first = dense_network(X.shape[1], rng, hidden=(WIDTH, WIDTH))
    trained = train(copy.deepcopy(first), data, rng, EPOCHS)
    full = train(copy.deepcopy(trained), data, rng, EPOCHS)
    W, kept, models = trained[2].weight.data, [], {way: [] for way in WAYS}
    for block in BLOCKS:
        r = nearest_blocks(W, block=block)
        kept.append(block * (r ** 2).sum() / (W ** 2).sum())
        near, fresh = make_circulant(trained, block=block), circulant_network(first, block, rng)
        models["nearest"].append(near)
        models["nearest, trained further"].append(train(copy.deepcopy(near), data, rng, EPOCHS))
        models["from the start"].append(train(fresh, data, rng, 2 * EPOCHS))
        narrow = narrow_network(n_numbers(near), rng)
        models["narrow"].append(train(narrow, data, rng, 2 * EPOCHS))
    return Run(trained, full, np.array(kept), models, (X_test, y_test))


runs = [run(np.random.default_rng([demo.seed, r])) for r in demo.progress(range(RUNS), "splits")]
full = np.mean([accuracy(r.full, *r.test) for r in runs])
hits = {way: np.array([[accuracy(one, *r.test) for one in r.models[way]] for r in runs])
        for way in WAYS}                                            # (runs, blocks)
numbers = np.array([n_numbers(one) for one in runs[0].models["nearest"]])
kept = np.mean([r.kept for r in runs], axis=0)
demo.record("sides of the blocks", BLOCKS)
demo.record("numbers of the network", numbers)
demo.record("numbers of the full network", n_numbers(runs[0].full))
demo.record("accuracy, full", full)
for way, values in hits.items():
    demo.record(f"accuracy, {way}", values.mean(axis=0))

# %% A trained matrix is not circulant
demo.record("share of the squared weights that the nearest blocks keep", kept)
pythagoras = []
for r in runs:
    W = r.trained[2].weight.data.astype(np.float64)
    for near in r.models["nearest"]:
        C = near[2].matrix().astype(np.float64)
        parts = (C ** 2).sum() + ((W - C) ** 2).sum()
        pythagoras.append(abs(parts / (W ** 2).sum() - 1))
demo.claim("the nearest C is at right angles to W - C: ||W||² = ||C||² + ||W - C||² (off by)",
           max(pythagoras), at_most=1e-5)
demo.finding("blocks of 16 keep little more than 1/16, the share of a random matrix (ratio)",
             16 * kept[BLOCKS.index(16)], at_most=1.5,
             why="Where the order of units means something, as in a convolution, a trained matrix is "
                 "nearer to a circulant one.")

# %% From the start, and beside a narrow network; blocks of 16 and more
large = np.array(BLOCKS) >= 16
further, fresh, narrow = (100 * hits[way][:, large].mean() for way in WAYS[1:])
demo.finding("from the start is better than further from the nearest (points, blocks >= 16)",
             fresh - further, above=0,
             why="The rows of a nearest block have the same sum, so on bright images its units fire "
                 "together; where images are dark, that costs less.")
demo.finding("from the start is no worse than narrow layers with as many numbers (points, >= 16)",
             fresh - narrow, at_least=-1,
             why="A unit of a circulant layer has the weights of its neighbour, shifted by a "
                 "pixel; a narrow layer chooses each of its weights freely.")

# %% The product by the Fourier transform is that of the full matrix, and shifts with its input
layer = runs[0].models["from the start"][-1][0]
inputs = X[:64].astype(np.float64)
off = layer(Tensor(inputs)).data - (inputs @ layer.matrix().astype(np.float64).T + layer.bias.data)
demo.claim("product by the transform and by the full matrix (largest difference)",
           np.abs(off).max(), at_most=1e-4)
r = Tensor(demo.rng.standard_normal(X.shape[1]))
shifted = circulant_product(Tensor(np.roll(inputs, 3, axis=1)), r).data
back = np.roll(circulant_product(Tensor(inputs), r).data, 3, axis=1)
demo.claim("shifted inputs give shifted outputs (largest difference)",
           np.abs(shifted - back).max(), at_most=1e-10)
demo.reports(compare({"full": runs[0].full} | {
    f"blocks of {block}": one for block, one in zip(BLOCKS, runs[0].models["from the start"])},
    *runs[0].test))

# %% The clock: one circulant matrix of n x n, and a full one
work, times = [], []
for n in SIDES:
    batch = demo.rng.standard_normal((64, n)).astype(np.float32)
    wide, ring = Linear(n, n, rng=demo.rng), CirculantLinear(n, n, block=n, rng=demo.rng)
    work.append(macs(ring, batch) / macs(wide, batch))
    ring_ms, wide_ms = milliseconds([ring, wide], batch, rounds=ROUNDS)
    times.append(np.median(ring_ms / wide_ms))
demo.record("sides of the matrices", SIDES)
work = np.array(work)
demo.record("fraction of the work", work)
demo.record("fraction of the time", times)
n = np.array(SIDES)
by_transform = 2 * n * np.log2(n) + 2 * n + 4    # two transforms, and n / 2 + 1 complex products
demo.claim("a product takes 2 n log n + 2 n + 4 multiplications in place of n² (largest difference)",
           np.abs(work * n ** 2 - by_transform).max(), at_most=1e-6)
if not demo.quick:
    demo.finding("at 64 x 64 the transform takes longer than the full product (ratio)", times[0],
                 above=1)
    demo.finding("at 2,048 x 2,048 it is faster (fraction of the time)", times[-1], below=1)
    demo.finding("it saves far less time than work (time left / work left at the largest side)",
                 times[-1] / work[-1], above=3)

# %% Figure: what the nearest circulant matrix keeps
figure, (share, hit, pace) = plt.subplots(1, 3, figsize=(17, 5.2))
figure.suptitle(f"{numbers[-1]:,} numbers in place of {n_numbers(runs[0].full):,}: circulant "
                f"layers are right on {100 * hits['from the start'][:, -1].mean():.1f} %, a narrow "
                f"network on {100 * hits['narrow'][:, -1].mean():.1f} %, the full one on "
                f"{100 * full:.1f} %")
curve(share, BLOCKS, 100 * kept, theory=100 / np.array(BLOCKS), color=BLUE, marker="o",
      label="a trained matrix (dashed: a random one)")
share.set(xscale="log", yscale="log", xlabel="side of the blocks",
          ylabel="squared weights kept in %", title="A trained matrix is not nearly circulant")
share.set_xticks(BLOCKS, BLOCKS)
share.minorticks_off()
share.legend(fontsize=10)

# %% Accuracy against the number of parameters
styles = dict(zip(WAYS[1:], [(ORANGE, "s"), (BLUE, "o"), (GREEN, "^")]))
for way, (color, marker) in styles.items():
    name = "full layers, fewer units" if way == "narrow" else way
    curve(hit, numbers / 1000, 100 * hits[way].mean(axis=0), color=color, marker=marker,
          label=name, linestyle="--" if way == "narrow" else "-")
reference(hit, 100 * full, "full")
hit.set(xscale="log", xlabel="thousands of parameters", ylabel="test accuracy in %",
        title=f"Circulant blocks in {WIDTH} units, or fewer units")
ticks = [1, 2, 5, 10, 20, 50]
hit.set_xticks(ticks, ticks)
hit.set_xlim(0.8 * numbers.min() / 1000, 1.25 * numbers.max() / 1000)
hit.minorticks_off()
hit.legend(fontsize=10, loc="lower right")

# %% Time
curve(pace, SIDES, times, color=BLUE, marker="o", label="time")
curve(pace, SIDES, work, color=BLACK, linestyle=":", label="work")
reference(pace, 1, "full product")
pace.set(xscale="log", yscale="log", xlabel="side n of the matrix",
         ylabel="fraction of the full product", title="Time by the transform, batch of 64")
pace.set_xticks(SIDES, SIDES)
pace.minorticks_off()
pace.legend()
demo.finish(figure)
