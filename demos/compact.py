"""A convolution in two thin steps: what does it cost, what does it lose, and what does it save?

MATH5836 week 10, section 10.2.3; Howard et al. 2017; He et al. 2016. In a small network for images,
the 3 x 3 convolutions between channels become depthwise-separable ones: as the nearest ones to
trained filters, trained further or not, or from the start; or they become bottlenecks. The
opponent is a plain network of fewer channels and at least as many multiplications. All are trained
for as many epochs.

You will see how much of trained filters the nearest separable ones keep; the accuracy against the
multiplications; and, for single layers, the time that is left beside the multiplications that are
left. Trained filters are hardly nearer to separable ones than random filters are, so a network
whose filters are cut knows little until it is trained again. Then it is as good as one that was
separable from the start. In networks as small as these, fewer plain channels are as good for as
many multiplications, and faster.

Predict first: 3 x 3 filters from 64 channels to 64 become separable. Which fraction of the
multiplications is left, and which fraction of the time?
"""
# %% Constants
import copy
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from _networks import as_images, first_filters, load_images, n_pooled
from common import BLACK, BLUE, GREEN, ORANGE, PURPLE, start
from panels import curve, reference

from tinyml import Tensor
from tinyml.compression.compact import (
    bottleneck_block,
    full_macs,
    separable_block,
    separable_share,
)
from tinyml.compression.report import compare, macs, milliseconds
from tinyml.compression.separable import (
    compose,
    make_separable,
    separable_energy,
    separate,
    separate_conv,
)
from tinyml.data import train_test_split
from tinyml.nn import BatchNorm2d, Conv2d, Flatten, Linear, MaxPool2d, ReLU, Sequential
from tinyml.optim import Adam, LambdaLR, cosine_decay
from tinyml.train import accuracy, fit

demo = start(__file__, __doc__, data=("digits", "clothes", "mnist", "fashion-mnist"))
X, y = load_images(demo)
X = as_images(X)
RUNS = 1 if demo.quick else 2                   # splits of the images
WIDTHS = (8,) if demo.quick else (4, 8, 16)     # channels of the first layer; then twice as many
EPOCHS = 2 if demo.quick else 5                 # of training, and once more of further training
BATCH, LR = 64, 2e-3                            # of every network; not tuned
CHANNELS = (16, 64) if demo.quick else (16, 32, 64, 128)    # of the layers on the clock
ROUNDS = 3 if demo.quick else 9                 # of the clock
MULTIPLIERS = np.arange(1, 10)                  # depthwise filters for each channel


# %% Three blocks from some channels to others, and the network around them
def plain(n_in, n_out, rng):
    return Sequential(Conv2d(n_in, n_out, 3, padding="same", bias=False, rng=rng),
                      BatchNorm2d(n_out), ReLU())


def separable(n_in, n_out, rng):
    return separable_block(n_in, n_out, rng=rng)


def bottleneck(n_in, n_out, rng):
    return bottleneck_block(n_in, n_out, width=n_out // 4, rng=rng)


def network(block, width, rng):
    """The first layer is plain in all networks, as in MobileNets: it has one input channel."""
    side, wide = X.shape[-1], 2 * width
    return Sequential(first_filters(side, width, rng), BatchNorm2d(width), ReLU(),
                      *block(width, wide, rng), MaxPool2d(2), *block(wide, wide, rng), Flatten(),
                      Linear(wide * n_pooled(side), 10, rng=rng))


def narrow_network(least, rng):
    """The narrowest plain network with at least so many multiplications."""
    width = 1
    while macs(network(plain, width, rng), X[:1]) < least:
        width += 1
    return network(plain, width, rng)


def train(model, data, rng, epochs):
    """Train in place; returns the model."""
    n_steps = epochs * -(-len(data[0]) // BATCH)
    optimizer = Adam(model.parameters(), lr=LR)
    schedule = LambdaLR(optimizer, lambda t: cosine_decay(t, n_steps))
    fit(model, *data, optimizer=optimizer, epochs=epochs, batch_size=BATCH, rng=rng,
        schedule=schedule, label="training")
    return model


# %% Experiment
class Run(NamedTuple):
    models: dict    # way: a network for each width
    test: tuple     # X, y


WAYS = "plain", "nearest", "nearest, trained further", "separable", "bottleneck", "narrow"


def run(rng):
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.3, rng=rng, stratify=y)
    data, models = (X_train, y_train), {way: [] for way in WAYS}
    for width in WIDTHS:
        half = train(network(plain, width, rng), data, rng, EPOCHS)
        near = make_separable(half)
        narrow = narrow_network(macs(near, X[:1]), rng)
        models["plain"].append(train(copy.deepcopy(half), data, rng, EPOCHS))
        models["nearest"].append(near)
        models["nearest, trained further"].append(train(copy.deepcopy(near), data, rng, EPOCHS))
        models["narrow"].append(train(narrow, data, rng, 2 * EPOCHS))
        for block in (separable, bottleneck):
            model = train(network(block, width, rng), data, rng, 2 * EPOCHS)
            models[block.__name__].append(model)
    return Run(models, (X_test, y_test))


runs = [run(np.random.default_rng([demo.seed, r])) for r in demo.progress(range(RUNS), "splits")]
hits = {way: np.array([[100 * accuracy(m, *r.test) for m in r.models[way]] for r in runs])
        for way in WAYS}                                              # (runs, widths)
work = {way: np.array([macs(m, X[:1]) for m in runs[0].models[way]]) for way in WAYS}
demo.record("channels of the first layer", WIDTHS)
for way in WAYS:
    demo.record(f"multiplications, {way}", work[way])
    demo.record(f"accuracy in %, {way}", hits[way].mean(axis=0))

# %% What the formulas say of a network: 1/O + 1/K^2 of each block
first, second = ([layer for layer in models[-1] if isinstance(layer, Conv2d)][1:]
                 for models in (runs[0].models["plain"], runs[0].models["separable"]))
shares = [(second[2 * i].weight.size + second[2 * i + 1].weight.size) / layer.weight.size
          for i, layer in enumerate(first)]
formula = [separable_share(layer.out_channels, 3) for layer in first]
demo.record("share of the weights of each block", shares)
demo.claim("a block has 1/O + 1/K² of the weights and multiplications (largest difference)",
           np.abs(np.subtract(shares, formula)).max(), at_most=1e-12)

# %% Filters whose matrices have rank one are separable exactly; trained ones are not
filters = [layer.weight.data.astype(np.float64) for layer in first]
exact = [compose(*separate(W), n_in=W.shape[1]) for W in filters]
again = [compose(*separate(W), n_in=W.shape[1]) for W in exact]
demo.claim("filters of rank one per channel: separated and composed, they are the same (off by)",
           max(np.abs(a - b).max() for a, b in zip(exact, again)), at_most=1e-12)


def kept(W):
    """The share of the squared weights that stays with 1, 2, ... filters for each channel."""
    return np.array([separable_energy(W, multiplier=int(m)) for m in MULTIPLIERS])


trained = np.mean([kept(W) for W in filters], axis=0)
chance = np.mean([kept(demo.rng.standard_normal(W.shape)) for W in filters], axis=0)
demo.record("share kept of trained filters", trained)
demo.record("share kept of random filters", chance)
demo.finding("one filter for each channel keeps little more of trained filters than of random ones"
             " (ratio)", trained[0] / chance[0], at_most=1.3,
             why="Longer training moves filters further from their random start, and those of a channel "
                 "may become alike.")

# %% Trained further, from the start, and beside a narrow network
near, further, fresh, squeezed, narrow = (hits[way].mean() for way in WAYS[1:])
whole = hits["plain"].mean()
demo.finding("the nearest separable network, as it is, has lost most (points of accuracy)",
             whole - near, at_least=30,
             why="Where the filters of a channel are alike, one filter in place of them keeps most.")
if not demo.quick:
    demo.finding("trained further, it is no worse than from the start (points)", further - fresh,
                 at_least=-1,
                 why="If the cut keeps little of the trained filters, they are no better start than random "
                     "ones.")
    demo.finding("separable networks lose little against plain ones of as many channels (points)",
                 whole - further, at_most=4,
                 why="Where classes are alike, telling them apart takes more weights.")
    demo.finding("a plain network with fewer channels and as many multiplications is no worse"
                 " (points)", narrow - fresh, at_least=-1,
                 why="With many channels, up to 1,024 in MobileNets, a separable layer saves more work, so "
                     "a plain network must be narrower to match it.")
    demo.finding("a bottleneck of a quarter of the channels is worse than separable (points)",
                 fresh - squeezed, above=0,
                 why="Where little must be told apart, few channels in the middle are enough.")
chosen = {"plain": "plain", "separable": "separable", "bottleneck": "bottleneck",
          "narrow": "narrow, plain"}
reports = compare({name: runs[0].models[way][-1] for way, name in chosen.items()}, *runs[0].test)
demo.reports(reports)
ms = {name: one.ms_256 for name, one in reports.items()}
# A depthwise product reads each input for few multiplications.
demo.finding("with as many multiplications, the plain network takes less time (ms / ms)",
             ms["separable"] / ms["narrow, plain"], above=1)

# %% The two steps compute one convolution
layer = first[0]
images = demo.rng.standard_normal((8, layer.in_channels, 9, 9)).astype(np.float32)
pair, whole_layer = separate_conv(layer), copy.copy(layer)
whole_layer.weight = Tensor(exact[0].astype(np.float32))
demo.claim("two steps, and one convolution with the composed filters (largest difference)",
           np.abs(pair(Tensor(images)).data - whole_layer(Tensor(images)).data).max(),
           at_most=1e-4)

# %% The clock: layers from C channels to C, in images of 14 x 14
left, times = [], []
for C in CHANNELS:
    batch = demo.rng.standard_normal((64, C, 14, 14)).astype(np.float32)
    wide = Conv2d(C, C, 3, padding="same", rng=demo.rng)
    thin = separate_conv(wide)
    left.append(macs(thin, batch) / macs(wide, batch))
    thin_ms, wide_ms = milliseconds([thin, wide], batch, rounds=ROUNDS)
    times.append(np.median(thin_ms / wide_ms))
left, times = np.array(left), np.array(times)
demo.record("channels of the layers", CHANNELS)
demo.record("multiplications of the full layers, per pixel", [full_macs(C, C, 3) for C in CHANNELS])
demo.record("fraction of the multiplications", left)
demo.record("fraction of the time", times)
demo.finding("a separable layer is faster at 64 channels (fraction of the time)",
             times[CHANNELS.index(64)], below=1)
demo.finding("it saves less time than multiplications (time left / multiplications left, at 64)",
             (times / left)[CHANNELS.index(64)], above=1.5)

# %% Figure: what the nearest separable filters keep
figure, (share, hit, pace) = plt.subplots(1, 3, figsize=(17, 5.2))
right = {way: f"{values[:, -1].mean():.1f} %" for way, values in hits.items()}
figure.suptitle(f"{100 * work['separable'][-1] / work['plain'][-1]:.0f} % of the multiplications: "
                f"separable filters are right on {right['separable']}, plain ones on "
                f"{right['plain']}, fewer plain ones on {right['narrow']}")
curve(share, MULTIPLIERS, 100 * trained, color=BLUE, marker="o", label="trained filters")
curve(share, MULTIPLIERS, 100 * chance, color=BLACK, linestyle="--", label="random filters")
share.set(xlabel="depthwise filters for each channel", ylabel="squared weights kept in %",
          title="Trained 3 x 3 filters are not separable", ylim=(0, 105))
share.set_xticks(MULTIPLIERS)
share.legend()

# %% Accuracy against multiplications
styles = {"plain": (BLACK, "X", "-"), "narrow": (GREEN, "^", "--"),
          "nearest, trained further": (ORANGE, "s", "-"), "separable": (BLUE, "o", "-"),
          "bottleneck": (PURPLE, "D", ":")}
for way, (color, marker, line) in styles.items():
    name = {"narrow": "plain, fewer channels", "separable": "separable from the start"}.get(way, way)
    curve(hit, work[way] / 1000, hits[way].mean(axis=0), color=color, marker=marker, label=name,
          linestyle=line)
hit.set(xscale="log", xlabel="thousands of multiplications for an image",
        ylabel="test accuracy in %", title="As many channels, or as many multiplications")
ticks = [10, 20, 50, 100, 200, 500]
hit.set_xticks(ticks, ticks)
hit.minorticks_off()
hit.legend(fontsize=10, loc="lower right")

# %% Time
curve(pace, CHANNELS, times, color=BLUE, marker="o", label="time")
curve(pace, CHANNELS, left, color=BLACK, linestyle=":", label="multiplications, 1/O + 1/9")
reference(pace, 1, "full convolution")
pace.set(xscale="log", xlabel="channels C, from C to C", ylabel="fraction of the full convolution",
         title="Depthwise products save more work than time", ylim=(0, 1.15))
pace.set_xticks(CHANNELS, CHANNELS)
pace.minorticks_off()
pace.legend(loc="upper right", bbox_to_anchor=(1, 0.9))
demo.finish(figure)
