"""How many directions does a layer need, and how much time is that?

MATH5836 week 10, section 10.2.3; Denton et al. 2014; Tai et al. 2016. The weight matrices of a wide network
for real digits become products of two thin ones, as they are or weighed by the inputs that reach them, and
are then trained on or not. The 3 x 3 filters of a small convolutional network become 3 x 1 and 1 x 3 ones,
those of its first layer, too, or not.

You will see the singular values of the wide layers (the last one, which needs all of its 10, stays whole);
the accuracy of both networks against the multiplications that are left; and the time of two thin products
beside one wide one.

Predict first: at which rank are two thin layers of 1,000 units as much work as one wide one: 100, 500, 900?
And the first convolution, with one channel of input, has 3 singular values: what if one of them is kept?
"""
# %% Constants
import copy
import warnings

import matplotlib.pyplot as plt
import numpy as np
from common import BLACK, BLUE, GREEN, ORANGE, VERMILLION, band, start

from tinyml.compression.low_rank import break_even, factorize, factorize_linear, share_for_accuracy
from tinyml.compression.report import compare, macs, milliseconds
from tinyml.data import digits, train_test_split
from tinyml.nn import Conv2d, Flatten, Linear, MaxPool2d, ReLU, Sequential
from tinyml.optim import Adam
from tinyml.train import accuracy, fit, predict

demo = start(__file__, __doc__)
RUNS = 2 if demo.quick else 5                  # dense networks, each with its own split of the digits
CONV_RUNS = 1 if demo.quick else 4             # convolutional ones
HIDDEN = (300, 100)                            # units
CHANNELS = (16, 32)                            # of the two convolutions
EPOCHS = 6 if demo.quick else 25               # of training
CONV_EPOCHS = 4 if demo.quick else 8           # of training of the convolutional networks
TUNING = 1 if demo.quick else 5                # epochs of training after the cut
SHARES = np.array([0.05, 0.2] if demo.quick else
                  [0.04, 0.07, 0.12, 0.2, 0.35, 0.6])    # of the work of each layer but the last
CLAIMED = 0.2                                  # the share of the claims
POINTS = 1                                     # of accuracy on held-out digits that the search may lose
WIDE = 1024                                    # inputs and outputs of the layer on the clock
RANKS = (32, 128, 256, 512, 768)               # of its factors
ROUNDS = 5 if demo.quick else 25               # of the clock
WAYS = ("cut", "cut, weighed by the inputs", "cut, weighed, then trained")
CONV_WAYS = ("cut", "cut but for the first layer", "cut but for the first, then trained")
STYLES = ((ORANGE, "^"), (GREEN, "s"), (BLUE, "o"))

# %% Data, model, experiment
X, y = digits()


def train(model, X, y, epochs, lr, rng):
    fit(model, X, y, optimizer=Adam(model.parameters(), lr=lr), epochs=epochs, batch_size=64, rng=rng)


def dense(rng):
    a, b = HIDDEN
    return Sequential(Linear(64, a, rng=rng), ReLU(), Linear(a, b, rng=rng), ReLU(), Linear(b, 10, rng=rng))


def convolutional(rng):
    a, b = CHANNELS
    return Sequential(Conv2d(1, a, 3, padding=1, rng=rng), ReLU(), Conv2d(a, b, 3, padding=1, rng=rng),
                      ReLU(), MaxPool2d(2), Flatten(), Linear(16 * b, 10, rng=rng))


def weighed(model, share, X):
    return factorize(model, share=share, X=X)


def but_for_the_first(model, share, X):
    return Sequential(copy.deepcopy(model[0]), *factorize(model[1:], share=share))


def run(network, better, X, epochs, rng):
    """Of one network: test accuracies and shares of the work (ways, shares), how far the outputs are from the
    full network's, cut in the two ways (2, shares), its accuracy, itself, the share found, test data."""
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.3, rng=rng, stratify=y)
    X_train, X_held, y_train, y_held = train_test_split(X_train, y_train, test_size=0.2, rng=rng,
                                                        stratify=y_train)
    model = network(rng)
    train(model, X_train, y_train, epochs, 2e-3, rng)
    outputs = predict(model, X_test)
    hit = lambda small: accuracy(small, X_test, y_test)
    away = lambda small: np.linalg.norm(predict(small, X_test) - outputs) / np.linalg.norm(outputs)
    work = lambda small: macs(small, X_test[:1]) / macs(model, X_test[:1])
    rows = []
    for share in SHARES.tolist():
        ways = [factorize(model, share=share), better(model, share, X_train), better(model, share, X_train)]
        train(ways[2], X_train, y_train, TUNING, 1e-3, rng)
        rows.append([[measure(small) for small in ways] for measure in (hit, work, away)])
    enough = accuracy(model, X_held, y_held) - POINTS / 100
    found = share_for_accuracy(model, X_held, y_held, at_least=enough, shares=SHARES.tolist(), inputs=X_train)
    return *np.moveaxis(rows, 0, 2), hit(model), model, found, (X_test, y_test)


def runs(network, better, X, epochs, n):
    """What `run` returns, of n networks."""
    rngs = [np.random.default_rng([demo.seed, r]) for r in range(n)]
    name = network.__name__
    return map(list, zip(*[run(network, better, X, epochs, rng) for rng in demo.progress(rngs, name)]))


hits, work, away, full, models, found, tests = runs(dense, weighed, X, EPOCHS, RUNS)
conv_hits, conv_work, _, conv_full, *_ = runs(convolutional, but_for_the_first, X.reshape(-1, 1, 8, 8),
                                              CONV_EPOCHS, CONV_RUNS)
hits, work, away, conv_hits, conv_work = map(np.array, (hits, work, away, conv_hits, conv_work))
full, conv_full = np.mean(full), np.mean(conv_full)
model, small = models[0], factorize(models[0], share=CLAIMED)
at = int(np.flatnonzero(SHARES == CLAIMED)[0])
mean, conv_mean = hits[:, :, at].mean(axis=0), conv_hits[:, :, at].mean(axis=0)    # (ways)

# %% The clock: one wide layer, and factors of several ranks
layer = Linear(WIDE, WIDE, rng=demo.rng)
with warnings.catch_warnings():
    warnings.simplefilter("ignore")    # of ranks that do not pay: they are on the clock to show it
    factors = [factorize_linear(layer, rank) for rank in RANKS]
batch = demo.rng.standard_normal((256, WIDE)).astype(np.float32)
times = milliseconds([layer, *factors], batch, rounds=ROUNDS)
ratio = np.median(times[1:] / times[0], axis=1)
load = np.array([macs(f, batch[:1]) / macs(layer, batch[:1]) for f in factors])

# %% Figure
figure, ((spectrum, hit), (clock, conv_hit)) = plt.subplots(2, 2, figsize=(13, 9.6))
figure.suptitle(f"A fifth of the work of each layer: {100 * mean[2]:.1f} % right (all: {100 * full:.1f} %); "
                f"a quarter of the work takes {100 * ratio[RANKS.index(128)]:.0f} % of the time")
for module, color in zip([m for m in model if hasattr(m, "weight")], (BLUE, GREEN, VERMILLION)):
    s = np.linalg.svd(module.weight.data, compute_uv=False)
    spectrum.plot(np.arange(1, len(s) + 1), s / s[0], color=color,
                  label=f"{module.in_features} to {module.out_features}")
    even = break_even(*module.weight.shape)
    spectrum.axvline(even, color=color, ls="--", lw=1.2)
spectrum.set(xlabel="number of the singular value", ylabel="singular value / largest",
             title="What each layer's spectrum is like\n(dashed: from that rank on, two are more work)")
spectrum.legend(fontsize=10)
panels = ((hit, WAYS, work, hits, full, "Two thin layers for each of a dense network"),
          (conv_hit, CONV_WAYS, conv_work, conv_hits, conv_full, "3 x 1 and 1 x 3 filters for 3 x 3 ones"))
for ax, ways, left, right, whole, title in panels:
    for i, (color, marker) in enumerate(STYLES):
        band(ax, 100 * left[:, i].mean(axis=0), 100 * right[:, i], color=color, marker=marker, ms=5,
             label=ways[i])
    ax.axhline(100 * whole, ls="--", color="0.4", lw=1.2)
    ax.set(xscale="log", xlabel="multiply-accumulates left in %", ylabel="test accuracy in %", title=title)
    ax.set_xticks([5, 10, 20, 50], ["5", "10", "20", "50"])
    ax.minorticks_off()
    ax.legend(loc="lower right", fontsize=10)
clock.plot(100 * load, 100 * ratio, "o-", color=VERMILLION, ms=7)
clock.plot([0, 150], [0, 150], "--", color=BLACK, lw=1.3)
for rank, x, t in zip(RANKS, 100 * load, 100 * ratio):
    clock.annotate(f"rank {rank}", (x, t), (8, -10), textcoords="offset points", fontsize=9)
clock.text(96, 112, "time = work", ha="right")
clock.axvline(100, color="0.6", lw=1)
clock.set(xlabel="multiply-accumulates left in %", ylabel="time left in %, batch of 256",
          title=f"Two thin layers for one of {WIDE:,} x {WIDE:,}", xlim=(0, 185))

# %% Claims
demo.record("accuracy, full network, dense, convolutional", [full, conv_full])
for i, way in enumerate(WAYS):
    demo.record(f"accuracy at a fifth of the work, {way}", mean[i])
for i, way in enumerate(CONV_WAYS):
    demo.record(f"accuracy at a fifth, convolutional, {way}", conv_mean[i])
demo.record(f"share of the work that loses {POINTS} point, found by search", np.mean(found))
demo.record("share of the work, wide layer", load)
demo.record("share of the time, wide layer", ratio)
demo.reports(compare({"full": model, f"cut to {CLAIMED}": small}, *tests[0]))
demo.record("distance of the outputs at a fifth of the work, ways", away[:, :, at].mean(axis=0))
demo.claim("weighing by the inputs keeps new outputs nearer (ratio of the distances, mean)",
           (away[:, 1, at] / away[:, 0, at]).mean(), below=1)
demo.claim("training on brings it back: points lost in the end", 100 * (full - mean[2]), at_most=2)
demo.claim("a pair of filters for one, too: points lost in the end", 100 * (conv_full - conv_mean[2]),
           at_most=3)
demo.claim("what a pair of filters loses is lost in the first layer (points won by leaving it whole)",
           100 * (conv_mean[1] - conv_mean[0]), above=0)
demo.claim("at rank n/2 two square factors are as much work as the whole (share)",
           load[RANKS.index(WIDE // 2)], within=(1, 1))
if not demo.quick:
    demo.finding("rank 128 of 1,024, a quarter of the work, takes this share of the time", ratio[1],
                 at_most=0.6)
    demo.finding("time is in proportion to work (time / work, each as a share, from rank 128 on, farthest from 1)",
                 np.exp(np.abs(np.log(ratio / load)[1:]).max()), at_most=1.7)
    demo.finding("rank 768 takes longer than the whole (share of the time)", ratio[-1], above=1)
demo.finish(figure)
