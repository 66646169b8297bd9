"""Which units can a network do without, and is it faster without them?

MATH5836 week 10, section 10.2.1; Molchanov, Tyree, Karras, Aila and Kautz 2016. A convolutional
network for digits loses filters and units: many at once, or a few at a time with a little
training after each step.

You will see two cheap scores beside the oracle that they approximate, the change of the cost when
a unit is really removed; the accuracy against the units that are left; and time against
multiply-accumulates.

Predict first: is the filter with the smallest weights the one that is missed least? And if the
network may train after each step, how much does it matter which units were removed?
"""
# %% Constants
import copy
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from common import BLACK, BLUE, GREEN, ORANGE, VERMILLION, band, start

from tinyml.compression.report import compare, macs, milliseconds
from tinyml.compression.structured import remove_units, unit_scores, units_to_keep
from tinyml.data import digits, train_test_split
from tinyml.nn import Conv2d, Flatten, Linear, MaxPool2d, Module, ReLU, Sequential
from tinyml.optim import Adam
from tinyml.train import accuracy, fit

demo = start(__file__, __doc__)
RUNS = 2 if demo.quick else 5             # networks, each with its own split of the digits
EPOCHS = 6 if demo.quick else 30          # of training before anything is removed
UNITS = (16, 32, 64)                      # filters, filters and units of the full network
REMOVED = np.arange(0, 97, 8)             # units removed at once, of 112
THIRD = 40                                # the number of them in the title and in a claim
STEP = 28 if demo.quick else 8            # units removed at a time, an epoch of training after each
LEFT = np.arange(sum(UNITS), 15, -STEP)   # units left after these steps
SCORED = 256                              # training images that the scores look at
ROUNDS = 8 if demo.quick else 40          # of the clock
CRITERIA = {"oracle": ("oracle", VERMILLION, "D"), "taylor": ("Taylor", BLUE, "o"),
            "activation": ("mean activation", GREEN, "s"), "norm": ("weight norm", ORANGE, "^"),
            "random": ("random", BLACK, "x")}    # name, colour, marker
REPAIRED = "taylor", "random"             # those with training after each step

# %% Data: digits as images
X, y = digits()
X = X.reshape(-1, 1, 8, 8)


# %% Train the networks, each on its own split
class Trained(NamedTuple):
    model: Module
    train: tuple                # X, y
    test: tuple                 # X, y
    rng: np.random.Generator


def trained(rng):
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.3, rng=rng, stratify=y)
    a, b, c = UNITS
    model = Sequential(Conv2d(1, a, 3, padding=1, rng=rng), ReLU(),
                       Conv2d(a, b, 3, padding=1, rng=rng), ReLU(), MaxPool2d(2), Flatten(),
                       Linear(16 * b, c, rng=rng), ReLU(), Linear(c, 10, rng=rng))
    fit(model, X_train, y_train, optimizer=Adam(model.parameters(), lr=2e-3), epochs=EPOCHS,
        batch_size=64, rng=rng)
    return Trained(model, (X_train, y_train), (X_test, y_test), rng)


networks = [trained(np.random.default_rng([demo.seed, run]))
            for run in demo.progress(range(RUNS), "networks")]
full = np.mean([accuracy(net.model, *net.test) for net in networks])
demo.record("accuracy of the full network", full)


# %% Score every unit by every criterion
def scored(model, net, criterion):
    images, labels = net.train[0][:SCORED], net.train[1][:SCORED]
    if criterion == "random":
        sizes = unit_scores(model, images, labels, criterion="norm")
        return {layer: net.rng.random(len(s)) for layer, s in sizes.items()}
    return unit_scores(model, images, labels, criterion=criterion)


scores = [{criterion: scored(net.model, net, criterion) for criterion in CRITERIA}
          for net in networks]


# %% Compare their order with the oracle's: the correlation of ranks
def ranks(scores):
    """The rank of each unit of a network; ties share the mean of theirs."""
    values = np.concatenate(list(scores.values()))
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return (count.cumsum() - (count - 1) / 2)[place]


def rank_correlation(scores, criterion):
    return np.corrcoef(ranks(scores["oracle"]), ranks(scores[criterion]))[0, 1]


agreement = {criterion: np.array([rank_correlation(of, criterion) for of in scores])
             for criterion in CRITERIA}
for criterion, values in agreement.items():
    demo.record(f"{criterion}: rank correlation with the oracle", values.mean())
demo.claim("Taylor's order is nearer to the oracle's than the weight norm's (least lead)",
           (agreement["taylor"] - agreement["norm"]).min(), above=0)
demo.claim("Taylor's order is almost the oracle's (least rank correlation)",
           agreement["taylor"].min(), above=0.7)


# %% Remove many units at once, without training afterwards
def accuracies(net, scores):
    smaller = [remove_units(net.model, units_to_keep(scores, k)) for k in REMOVED.tolist()]
    return [accuracy(model, *net.test) for model in smaller]


at_once = {criterion: np.array([accuracies(net, of[criterion]) for net, of in zip(networks, scores)])
           for criterion in CRITERIA}    # (runs, len(REMOVED)) each
third = {criterion: hits[:, REMOVED.searchsorted(THIRD)].mean()
         for criterion, hits in at_once.items()}
for criterion, hit in third.items():
    demo.record(f"{criterion}: accuracy without {THIRD} units, untrained", hit)
demo.claim(f"{THIRD} units at once: Taylor keeps more accuracy than random (mean lead)",
           third["taylor"] - third["random"], above=0)


# %% Remove a few units at a time, with an epoch of training after each step
def in_steps(net, criterion):
    """The networks from the full one to the smallest."""
    models = [copy.deepcopy(net.model)]
    for left in LEFT[1:]:
        keep = units_to_keep(scored(models[-1], net, criterion), STEP)
        model = remove_units(models[-1], keep)
        fit(model, *net.train, optimizer=Adam(model.parameters()), epochs=1, batch_size=64,
            rng=net.rng, label=f"{criterion}, {left} units")
        models.append(model)
    return models


models = {criterion: [in_steps(net, criterion) for net in networks] for criterion in REPAIRED}
repaired = {criterion: np.array([[accuracy(model, *net.test) for model in path]
                                 for net, path in zip(networks, paths)])
            for criterion, paths in models.items()}    # (runs, len(LEFT)) each
half = int(np.abs(LEFT - sum(UNITS) / 2).argmin())
for criterion, hits in repaired.items():
    demo.record(f"{criterion}: accuracy of half of the units, trained", hits[:, half].mean())
    demo.record(f"{criterion}: accuracy of the smallest network, trained", hits[:, -1].mean())
demo.claim("with training, half of the units cost Taylor's network (points)",
           100 * (full - repaired["taylor"][:, half].mean()), at_most=3)

# %% Measure the time of a batch of 256, and the work
timed = models["taylor"][0][::1 if demo.quick else 3]
batch = np.resize(X, (256, 1, 8, 8))
times = milliseconds(timed, batch, rounds=ROUNDS)
time_left = np.median(times / times[0], axis=1)
work_left = np.array([macs(model, batch) for model in timed]) / macs(timed[0], batch)
path = models["taylor"][0]
demo.reports(compare({"full": path[0], "half of the units": path[half], "smallest": path[-1]},
                     *networks[0].test))
demo.record("fraction of the work left", work_left)
demo.record("fraction of the time left", time_left)
if not demo.quick:
    demo.finding("time falls as the work does (correlation of the logarithms)",
                 np.corrcoef(np.log(work_left), np.log(time_left))[0, 1], at_least=0.9)
    demo.finding("the smallest network takes this fraction of the full one's time (batch of 256)",
                 time_left[-1], at_most=0.5)

# %% Figure: the scores of one network against its oracle
figure, (cloud, hit, clock) = plt.subplots(1, 3, figsize=(17, 5.4))
figure.suptitle(f"Without {THIRD} of {sum(UNITS)} units the network is right "
                f"{100 * third['taylor']:.0f} % of the time if Taylor's score chooses them, "
                f"{100 * third['random']:.0f} % if they are random")
flat = {criterion: np.concatenate(list(of.values())) for criterion, of in scores[0].items()}
for criterion in ("norm", "taylor"):
    text, color, marker = CRITERIA[criterion]
    cloud.plot(flat["oracle"], flat[criterion], marker, color=color, ms=5, alpha=0.8,
               label=f"{text}: rank correlation {agreement[criterion].mean():.2f}")
lowest = [values[values > 1e-6].min() / 1.5
          for values in (flat["oracle"], np.concatenate([flat["taylor"], flat["norm"]]))]
cloud.set(xscale="log", yscale="log", xlim=(lowest[0], 1.2), ylim=(lowest[1], 1.2),
          xlabel="oracle: change of the cost without the unit", ylabel="score",
          title="Taylor's score is nearer to the oracle than the weight norm")
cloud.legend(loc="upper left", fontsize=10)

# %% Accuracy against the units left, at once (solid) and in steps with training (dashed)
for criterion, hits in at_once.items():
    text, color, marker = CRITERIA[criterion]
    hit.plot(sum(UNITS) - REMOVED, 100 * np.median(hits, axis=0), color=color, marker=marker, ms=5,
             label=text)
for criterion, hits in repaired.items():
    text, color, marker = CRITERIA[criterion]
    band(hit, LEFT, 100 * hits, color=color, marker=marker, ms=5, linestyle="--",
         label=f"{text}, trained after each step")
hit.set(xlabel="units left", ylabel="test accuracy in %", ylim=(0, 103),
        title=f"A little training makes up for {STEP} removed units")
hit.invert_xaxis()
hit.legend(loc="lower left", fontsize=9)

# %% Time against work
clock.plot(100 * work_left, 100 * time_left, "o", color=VERMILLION, ms=8)
clock.plot([0, 100], [0, 100], "--", color=BLACK, lw=1.3)
clock.text(52, 45, "time = work", va="top")
clock.set(xlabel="multiply-accumulates left in %", ylabel="time left in %, batch of 256",
          xlim=(0, 105), ylim=(0, max(105, 105 * time_left.max())),
          title="Smaller arrays need less time")
demo.finish(figure)
