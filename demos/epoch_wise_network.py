"""Does a network's test error rise and fall again when one just keeps training?

Epoch-wise double descent (Nakkiran et al. 2020; MATH5836 week 10, section 10.1.3) on real digits.
A fifth of the training labels is wrong, and the engine trains a network far beyond the point where
it fits them all.

You will see settings in which the second fall appears and settings in which it does not; how batch
size and learning-rate schedule move the peak; and a control: copies of the network, trained for
ten more epochs at a small rate that falls to 0. Their peak is much lower. What falls again is
mostly the jitter of large steps, which ends once every sample is fitted and the gradient is gone.
With --data clothes it does not fall again: many clothes look alike, so after as many epochs as the
digits need the large rate has not fitted all labels yet. With 500 epochs it falls there too, in
the runs that fit the last label for good.

A second fall is one of the smoothed curve, from a peak with a curve behind it, and larger than the
jitter of this very curve: `second_fall` says how.

Predict first: with so many wrong labels, where is the test error smallest, at the start, in
between, or at the end? And which of them needs the second fall: a small learning rate or a large
one, small batches or large ones?
"""
# %% Constants
import copy
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from common import BLACK, BLUE, GREEN, ORANGE, PURPLE, VERMILLION, start
from panels import curve

from tinyml.data import flip_labels, train_test_split
from tinyml.interpolation.epoch_wise import turning_points
from tinyml.interpolation.second_fall import TIMES_JITTER, second_fall
from tinyml.nn import Linear, ReLU, Sequential
from tinyml.optim import Adam, LambdaLR, cosine_decay
from tinyml.train import accuracy, fit

demo = start(__file__, __doc__, data=("digits", "clothes", "mnist", "fashion-mnist"))
N_SAMPLES = 500 if demo.quick else 1000      # training images
N_TEST = 797                                 # images, at most
WIDTH = 64 if demo.quick else 128            # of both hidden layers
NOISE = 0.2                                  # share of wrong training labels
EPOCHS = 120 if demo.quick else 140
LARGE, SMALL = (2e-2 if demo.quick else 1e-2), 1e-3    # Adam's learning rates
COOLING = 10                                 # epochs of a cooled copy, from LARGE / 10 to 0
COOL_AT = (60,) if demo.quick else (10, 20, 40, 60, 90, 140)    # epochs
SMOOTH = 9                                   # epochs in the running median of a curve


# %% Settings: a large learning rate and small batches, and one change of it at a time
class Setting(NamedTuple):
    runs: int
    lr: float = LARGE
    batch_size: int = 32
    cosine: bool = False    # whether the rate falls to 0 over all epochs


settings = {"large rate": Setting(runs=2 if demo.quick else 5),
            "batch 512": Setting(runs=2 if demo.quick else 3, batch_size=512)}
if not demo.quick:
    settings |= {"small rate": Setting(runs=3, lr=SMALL),
                 "batch 128": Setting(runs=3, batch_size=128),
                 "cosine": Setting(runs=3, cosine=True)}

# %% Data: in each run another split, and other wrong labels
X, y = demo.load()


def noisy_split(rng):
    """X_train, X_test, y_train with its wrong labels, y_train as it was, y_test."""
    X_train, X_test, y_true, y_test = train_test_split(
        X, y, test_size=1 - N_SAMPLES / len(X), rng=rng, stratify=y)
    y_train = flip_labels(y_true, 10, fraction=NOISE, rng=rng)
    return X_train, X_test[:N_TEST], y_train, y_true, y_test[:N_TEST]


# %% Model: two hidden layers; weights from N(0, 2 / n_in), made for ReLU (He et al. 2015), no bias
def he(n_in, n_out, rng):
    layer = Linear(n_in, n_out, rng=rng)
    weight = rng.normal(0, np.sqrt(2 / n_in), (n_out, n_in))
    layer.load_state_dict({"weight": weight, "bias": np.zeros(n_out)})
    return layer


def network(rng):
    return Sequential(he(X.shape[1], WIDTH, rng), ReLU(), he(WIDTH, WIDTH, rng), ReLU(),
                      he(WIDTH, 10, rng))


# %% Training: Adam, at a constant rate or on a cosine to 0
def train(model, optimizer, X, y, rng, *, epochs, batch_size, cosine, **watch):
    n_steps = epochs * -(-len(X) // batch_size)
    schedule = LambdaLR(optimizer, lambda t: cosine_decay(t, n_steps)) if cosine else None
    return fit(model, X, y, optimizer=optimizer, epochs=epochs, batch_size=batch_size, rng=rng,
               schedule=schedule, **watch)


def cooled_copy(model, optimizer, X, y, rng, batch_size):
    """A copy that trains on for a few epochs, at a rate that falls from LARGE / 10 to 0."""
    model, optimizer = copy.deepcopy((model, optimizer))
    optimizer.lr = LARGE / 10
    train(model, optimizer, X, y, rng, epochs=COOLING, batch_size=batch_size, cosine=True)
    return model


# %% One run: errors after every epoch, and the test errors of cooled copies
def run(name, number):
    """Test errors (EPOCHS,), training errors (EPOCHS,), test errors of cooled copies.

    And the share of training images whose true label the network misses in the end.
    """
    _, lr, batch_size, cosine = settings[name]
    rng = np.random.default_rng([demo.seed, number])
    X_train, X_test, y_train, y_true, y_test = noisy_split(rng)
    model = network(rng)
    optimizer = Adam(model.parameters(), lr=lr)
    cooled = []

    def cool(model, row):
        if name == "large rate" and row["epoch"] in COOL_AT:
            other = cooled_copy(model, optimizer, X_train, y_train,
                                np.random.default_rng(number), batch_size)
            cooled.append(1 - accuracy(other, X_test, y_test))

    rows = train(model, optimizer, X_train, y_train, rng, epochs=EPOCHS, batch_size=batch_size,
                 cosine=cosine, callbacks=[cool], label=f"{name}, run {number + 1}",
                 metrics={"test": lambda m: 1 - accuracy(m, X_test, y_test),
                          "train": lambda m: 1 - accuracy(m, X_train, y_train)})
    missed = 1 - accuracy(model, X_train, y_true)
    return [row["test"] for row in rows], [row["train"] for row in rows], cooled, missed


# %% Experiment: every setting, several runs
test, train_error, missed = {}, {}, {}    # (runs, EPOCHS) each, and (runs,)
for name, setting in settings.items():
    tests, trains, copies, misses = zip(*[run(name, number) for number in range(setting.runs)])
    test[name], train_error[name], missed[name] = np.array(tests), np.array(trains), np.array(misses)
    if name == "large rate":
        cooled = np.median(copies, axis=0)    # (len(COOL_AT),)


# %% For the picture, and to find its lowest point, a curve is smoothed by a running median
def smooth(errors):
    """The median over SMOOTH epochs; the window is shorter, but centred, at the ends."""
    last = len(errors) - 1
    medians = []
    for i in range(len(errors)):
        reach = min(SMOOTH // 2, i, last - i)
        medians.append(np.median(errors[i - reach:i + reach + 1]))
    return np.array(medians)


# %% The turns of the mean curve; what counts as a second fall is said by `second_fall`
class Turns(NamedTuple):
    low: int          # epoch of the lowest test error, smoothed
    bottom: float     # that error
    peak: int         # epoch of the peak, the middle of its block of epochs
    top: float        # mean error in that block
    end: float        # mean error in the last block
    fall: float       # top - end
    noises: float     # the smaller of rise and fall, in units of the jitter; a fall is above TIMES_JITTER
    fitted: float     # first epoch without a training error, EPOCHS + 1 if there is none


def turns(name):
    mean = test[name].mean(axis=0)
    found = second_fall(mean)
    smoothed = smooth(mean)
    low = smoothed[:found.peak + 1].argmin()
    end = mean[-(EPOCHS // 20):].mean()
    noises = min(found.rise, found.fall) / found.jitter
    first = [turning_points(*run).t_int for run in zip(train_error[name], test[name])]
    fitted = np.median([EPOCHS + 1 if t is None else t + 1 for t in first])
    return Turns(low + 1, smoothed[low], found.peak + 1, end + found.fall, end, found.fall,
                 noises, fitted)


of = {name: turns(name) for name in settings}
words = {name: "falls again" if found.noises > TIMES_JITTER else "does not fall again"
         for name, found in of.items()}
for name, found in of.items():
    demo.record(f"{name}: test error, lowest, peak, end", [found.bottom, found.top, found.end])
    demo.record(f"{name}: epochs of lowest, peak, first fit",
                [found.low, found.peak, found.fitted])
    demo.record(f"{name}: second fall, and in units of the jitter", [found.fall, found.noises])
    demo.record(f"{name}: after its peak the test error", words[name])

# %% What fits a wrong label misses the true one: missed >= NOISE - training error
beyond = [missed[name] - (NOISE - train_error[name][:, -1]) for name in settings]
demo.claim("to fit wrong labels is to miss true ones (images missed, beyond those fitted wrongly)",
           min(map(min, beyond)), at_least=-1e-9)    # rounding

# %% At the large rate the test error falls, rises and falls again
JITTER = ("What falls again is mostly the jitter of large steps, which ends when every label is "
          "fitted. On images that are harder to fit, that takes more epochs than these.")
BATCHES = ("Where labels are so hard to fit that small batches, too, take nearly all epochs, larger ones "
           "cannot be much later.")
LIMIT = ("Where classes look alike, wrong labels are harder to fit, and the network is still at it "
         "in the last epoch.")
large, big = of["large rate"], of["batch 512"]
demo.finding("the test error falls, then rises (peak - lowest)", large.top - large.bottom,
             above=0.05, why=LIMIT)
if not demo.quick:    # the mean of two runs still has much jitter
    demo.finding("after its peak the test error falls again (fall / jitter)", large.noises,
                 above=TIMES_JITTER, why=JITTER)
demo.finding("at the end the training error is zero", np.median(train_error["large rate"][:, -1]),
             at_most=0, why=LIMIT)
demo.finding("stopping at the lowest point is better (end / lowest)",
             large.end / large.bottom, above=1.3,
             why="Where the error without wrong labels is already large, what they add is less of it.")

# %% Larger batches do all that later, and do not fall again
demo.finding("with batches of 512 the test error does not fall again (fall / jitter)", big.noises,
             at_most=TIMES_JITTER,
             why="Batches of 512 jitter too, only less: at a larger rate or with more epochs their "
                 "error may fall again as well.")
demo.finding("larger batches put off the overfitting (epoch of the lowest error, batch 512 / batch "
             "32)", big.low / large.low, above=1.3,
             why="Where the error jitters around a flat low, chance decides where it is lowest.")
demo.finding("larger batches put off the peak (epoch of the peak, batch 512 / batch 32)",
             big.peak / large.peak, above=1, why=BATCHES)
if not demo.quick:    # two runs are too few for this, and for all that follows
    demo.finding("with larger batches the peak is lower (batch 512 / batch 32)",
                 big.top / large.top, below=1,
                 why="Where most of the error at the peak is not jitter, less jitter lowers it little.")

# %% The control: to cool a copy at the peak gives much of the second fall at once
demo.record("cooled copies: at epochs", COOL_AT)
demo.record("cooled copies: test error", cooled)
if not demo.quick and large.noises > TIMES_JITTER:    # else there is nothing to explain
    nearest = np.abs(np.array(COOL_AT) - large.peak).argmin()
    demo.finding("cooling a copy at the peak gives at least a third of the second fall at once "
                 "(share)", (large.top - cooled[nearest]) / large.fall, at_least=1 / 3,
                 why="A second fall that comes from features learned late, as in the linear theory, "
                     "is not had by cooling.")
    demo.record("cooled copies: their own second fall, as a share of the network's",
                (cooled.max() - cooled[-1]) / large.fall)

# %% A small rate does not fall again; a cosine schedule brings all forward
if not demo.quick:
    demo.finding("at the small rate the test error does not fall again (fall / jitter)",
                 of["small rate"].noises, at_most=TIMES_JITTER,
                 why="Features that are learned late can undo what wrong labels did early: the second "
                     "fall of the linear theory, which needs no jitter.")
    demo.finding("at the small rate, too, the training error ends at zero",
                 np.median(train_error["small rate"][:, -1]), at_most=0, why=LIMIT)
    demo.finding("the cosine schedule brings the peak forward (epoch, ratio)",
                 of["cosine"].peak / large.peak, below=1, why=LIMIT)
    demo.finding("the cosine schedule fits all labels earlier (epoch, ratio)",
                 of["cosine"].fitted / large.fitted, below=1, why=LIMIT)

# %% Figure: the two rates, the training error, and the cooled copies
LOOKS = {"large rate": (VERMILLION, "-"), "small rate": (BLUE, "--"), "batch 128": (PURPLE, "-."),
         "batch 512": (GREEN, "--"), "cosine": (ORANGE, (0, (1, 1)))}
epochs = np.arange(1, EPOCHS + 1)
figure, (left, right) = plt.subplots(1, 2, figsize=(13, 5.6), sharey=True)
figure.suptitle(f"{demo.data}, wrong labels: the test error falls to {100 * large.bottom:.0f} %, rises to "
                f"{100 * large.top:.0f} %, {words['large rate']}, and ends at {100 * large.end:.0f} %")


def draw(ax, name, label):
    color, style = LOOKS[name]
    runs = 100 * np.array([smooth(errors) for errors in test[name]])
    curve(ax, epochs, runs, color=color, linestyle=style, label=label)


for name in ("large rate", "small rate"):
    if name in settings:
        draw(left, name, f"rate {settings[name].lr:g}: {words[name]}")
left.plot(COOL_AT, 100 * cooled, "o", color=BLACK, markersize=6,
          label=f"copies of rate {LARGE:g}, cooled for {COOLING} epochs")
curve(left, epochs, 100 * smooth(np.median(train_error["large rate"], axis=0)), color="0.5",
      linestyle=":", label=f"training error, rate {LARGE:g}")
left.set(xlabel="epoch", ylabel="error in %", ylim=(0, 170 * large.top),
         title="Test error in batches of 32; median and band over runs")
left.legend(loc="upper right", fontsize=10)

# %% The batch sizes and the cosine schedule, at the large rate
labels = {"large rate": "batch 32", "batch 128": "batch 128", "batch 512": "batch 512",
          "cosine": "batch 32, cosine schedule"}
mark = dict(markeredgecolor=BLACK, markersize=10)
for name in [name for name in labels if name in settings]:
    draw(right, name, labels[name])
    fitted = round(of[name].fitted)
    if fitted <= EPOCHS:
        height = smooth(np.median(test[name], axis=0))[fitted - 1]
        color, _ = LOOKS[name]
        right.plot(fitted, 100 * height, "v", color=color, **mark)
right.plot([], [], "v", color="w", label="first epoch without training error", **mark)
right.set(xlabel="epoch", title=f"Test error at rate {LARGE:g}: batch size and schedule")
right.legend(loc="upper right", fontsize=10)
demo.finish(figure)
