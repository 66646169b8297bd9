"""Which units of a network can go, and is it faster without them?

MATH5836 week 10, section 10.2.1; Molchanov, Tyree, Karras, Aila and Kautz 2016. A convolutional network for
real digits loses filters and units: many at once, and a few at a time with a little training after each loss.

You will see two cheap scores beside what they stand for, the oracle: the change of the cost when a unit is
really removed; what is left of the accuracy with and without training afterwards; and time against
multiply-accumulates.

Predict first: is the filter with the smallest weights the one that is missed least? And if the network may
train after each loss, how much does it matter which units went?
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
from tinyml.nn import Conv2d, Flatten, Linear, MaxPool2d, ReLU, Sequential
from tinyml.optim import Adam
from tinyml.train import accuracy, fit

demo = start(__file__, __doc__)
RUNS = 2 if demo.quick else 5             # networks, each with its own split of the digits
EPOCHS = 6 if demo.quick else 30          # of training before anything is removed
UNITS = (16, 32, 64)                      # filters, filters and units of the full network
REMOVED = np.arange(0, 97, 8)             # units removed at once, of 112
THIRD = 40                                # the number of them in the title and the claim
STEP = 28 if demo.quick else 8            # units removed at a time, with training after each
REPAIR = 1                                # epochs of that training
LEFT = 16                                 # units in the smallest network
SCORED = 256                              # training images that the scores look at
TIMED = 8 if demo.quick else 40          # rounds of the clock
CRITERIA = {"oracle": (VERMILLION, "D", "oracle"), "taylor": (BLUE, "o", "Taylor"),
            "activation": (GREEN, "s", "mean activation"), "norm": (ORANGE, "^", "weight norm"),
            "random": (BLACK, "x", "random")}
REPAIRED = ("taylor", "random") if demo.quick else ("taylor", "activation", "norm", "random")


# %% Data and model
X, y = digits()
X = X.reshape(-1, 1, 8, 8)


def network(rng):
    a, b, c = UNITS
    return Sequential(Conv2d(1, a, 3, padding=1, rng=rng), ReLU(),
                      Conv2d(a, b, 3, padding=1, rng=rng), ReLU(), MaxPool2d(2), Flatten(),
                      Linear(16 * b, c, rng=rng), ReLU(), Linear(c, 10, rng=rng))


def scored(model, X, y, criterion, rng):
    if criterion != "random":
        return unit_scores(model, X, y, criterion=criterion)
    return {layer: rng.random(len(s)) for layer, s in unit_scores(model, X, y, criterion="norm").items()}


# %% Experiment
def spearman(a, b):
    """The correlation of ranks; those who tie share the mean of theirs."""
    return np.corrcoef(ranks(a), ranks(b))[0, 1]


def ranks(values):
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return (count.cumsum() - (count - 1) / 2)[place]


def at_once(model, scores, X_test, y_test):
    """The test accuracy with more and more units removed, and no training afterwards."""
    return [accuracy(remove_units(model, units_to_keep(scores, k)), X_test, y_test) for k in REMOVED.tolist()]


def in_steps(model, criterion, X_train, y_train, rng):
    """The networks along the way: remove the units of least score, train, look again."""
    models = [model]
    while sum(map(len, scored(models[-1], X_train[:1], y_train[:1], "norm", rng).values())) - STEP >= LEFT:
        scores = scored(models[-1], X_train[:SCORED], y_train[:SCORED], criterion, rng)
        model = remove_units(models[-1], units_to_keep(scores, STEP))
        fit(model, X_train, y_train, optimizer=Adam(model.parameters()), epochs=REPAIR,
            batch_size=64, rng=rng, label=f"{criterion}, {len(models)}")
        models.append(model)
    return models


class Findings(NamedTuple):
    scores: np.ndarray      # (criteria, units)
    at_once: np.ndarray     # (criteria, len(REMOVED)), accuracy without training
    in_steps: np.ndarray    # (repaired criteria, steps), accuracy with training


networks, tests = [], []    # those of Taylor's way in each run, for the clock, and their test data


def run(rng):
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.3, rng=rng, stratify=y)
    model = network(rng)
    fit(model, X_train, y_train, optimizer=Adam(model.parameters(), lr=2e-3), epochs=EPOCHS, batch_size=64,
        rng=rng)
    scores = {c: scored(model, X_train[:SCORED], y_train[:SCORED], c, rng) for c in CRITERIA}
    ways = {c: in_steps(copy.deepcopy(model), c, X_train, y_train, rng) for c in REPAIRED}
    networks.append(ways["taylor"])
    tests.append((X_test, y_test))
    return Findings(np.array([np.concatenate(list(s.values())) for s in scores.values()]),
                    np.array([at_once(model, s, X_test, y_test) for s in scores.values()]),
                    np.array([[accuracy(m, X_test, y_test) for m in way] for way in ways.values()]))


runs = [run(np.random.default_rng([demo.seed, r])) for r in demo.progress(range(RUNS), "networks")]
scores, once, steps = (np.array(part) for part in zip(*runs))
names = list(CRITERIA)
rank = np.array([[spearman(s[0], row) for row in s] for s in scores])                 # (runs, criteria)
most = once[:, :, 0].mean()
third = once[:, :, REMOVED.searchsorted(THIRD)].mean(axis=0)
halved = steps[:, :, sum(UNITS) // 2 // STEP].mean(axis=0)
least = steps[:, :, -1].mean(axis=0)                                                  # of the smallest

# %% The clock: the networks of one run at batch 256, in turn
timed = networks[0][::1 if demo.quick else 3]
batch = np.resize(X, (256, 1, 8, 8))
times = milliseconds(timed, batch, rounds=TIMED)
ratio = np.median(times / times[0], axis=1)
share = np.array([macs(m, batch[:1]) for m in timed]) / macs(timed[0], batch[:1])

# %% Figure
figure, ((cloud, bare), (trained, clock)) = plt.subplots(2, 2, figsize=(12, 9.4))
figure.suptitle(f"{THIRD} of {sum(UNITS)} units removed at once: {100 * third[1]:.0f} % right by Taylor's "
                f"score, {100 * third[-1]:.0f} % at random")
for i, name in ((3, "norm"), (1, "taylor")):
    color, marker, text = CRITERIA[name]
    cloud.plot(scores[0, 0], scores[0, i], marker, color=color, ms=5, alpha=0.8,
               label=f"{text}: rank correlation {rank[:, i].mean():.2f}")
for i, name in enumerate(names):
    color, marker, text = CRITERIA[name]
    band(bare, sum(UNITS) - REMOVED, 100 * once[:, i], color=color, marker=marker, ms=5, label=text)
for i, name in enumerate(REPAIRED):
    color, marker, text = CRITERIA[name]
    band(trained, sum(UNITS) - STEP * np.arange(steps.shape[-1]), 100 * steps[:, i], color=color,
         marker=marker, ms=5, label=text)
seen = scores[0][[0, 1, 3]]
least_seen = [row[row > 1e-6].min() / 1.5 for row in (seen[0], seen[1:])]
cloud.set(xscale="log", yscale="log", ylabel="cheap score",
          xlabel="oracle: change of the cost without the unit",
          title="A unit's score against the truth\n(one network; each layer scaled to length 1)",
          xlim=(least_seen[0], 1.2), ylim=(least_seen[1], 1.2))
cloud.legend(loc="lower right", fontsize=10)
bare.set(xlabel="units left, removed at once", ylabel="test accuracy in %", ylim=(0, 103),
         title="Without training afterwards")
bare.invert_xaxis()
bare.legend(loc="lower left", fontsize=10)
trained.set(xlabel="units left", ylabel="test accuracy in %", ylim=(0, 103),
            title=f"Removed {STEP} at a time, an epoch of training after each")
trained.invert_xaxis()
trained.legend(loc="lower left", fontsize=10)
clock.plot(100 * share, 100 * ratio, "o", color=VERMILLION, ms=8)
clock.plot([0, 100], [0, 100], "--", color=BLACK, lw=1.3)
clock.text(52, 45, "time = work", va="top")
clock.set(xlabel="multiply-accumulates left in %", ylabel="time left in %, batch of 256",
          title="Smaller arrays are faster, and need no special software", xlim=(0, 105),
          ylim=(0, max(105, 105 * ratio.max())))

# %% Claims
demo.record("accuracy of the full network", most)
for i, name in enumerate(names):
    demo.record(f"{name}: rank correlation with the oracle", rank[:, i].mean())
    demo.record(f"{name}: accuracy without {THIRD} units, untrained", third[i])
for i, name in enumerate(REPAIRED):
    demo.record(f"{name}: accuracy of half of the units, trained", halved[i])
    demo.record(f"{name}: accuracy of the smallest network, trained", least[i])
demo.reports(compare({"full": networks[0][0], "half of the units": networks[0][sum(UNITS) // 2 // STEP],
                      "smallest": networks[0][-1]}, *tests[0]))
demo.record("share of the work", share)
demo.record("share of the time", ratio)
demo.claim("Taylor agrees with the oracle better than the weight norm (rank correlation, least lead)",
           (rank[:, 1] - rank[:, 3]).min(), above=0)
demo.claim("and almost fully (least rank correlation of a network)", rank[:, 1].min(), above=0.7)
demo.claim(f"{THIRD} units at once: Taylor keeps more accuracy than random (lead in the mean)",
           third[1] - third[-1], above=0)
demo.claim(f"removed in steps of {STEP}, with training, half of the units cost Taylor's network (points)",
           100 * (most - halved[0]), at_most=3)
if not demo.quick:
    demo.finding("time falls as the work does (correlation of the logarithms)",
                 np.corrcoef(np.log(share), np.log(ratio))[0, 1], at_least=0.9)
    demo.finding("the smallest network takes this share of the time of the full one (batch of 256)",
                 ratio[-1], at_most=0.5)
demo.finish(figure)
