"""Which units can a network do without, and is it faster without them?

MATH5836 week 10, section 10.2.1; Molchanov, Tyree, Karras, Aila and Kautz 2016. A convolutional
network for images loses filters and units: many at once, or a few at a time with a little training
after each step. Two opponents are trained for as long: the full network, and networks that have
from the start as many units in each layer as Taylor's score has left (Liu et al. 2019).

You will see two cheap scores beside the oracle that they approximate, the change of the cost when
a unit is really removed; the accuracy against the units that are left; and time against
multiply-accumulates. How many units can go depends on the images: hard classes need more of them.
If there is time to train, a network of half the size from the start is about as good; which way
gives the better smallest network differs from run to run.

Predict first: is the filter with the smallest weights the one that is missed least? And if the
network may train after each step, how much does it matter which units were removed?
"""
# %% Constants
import copy
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from _networks import as_images, conv_network, load_images, rank_correlation
from common import BLACK, BLUE, GREEN, ORANGE, PURPLE, VERMILLION, band, start

from tinyml.compression.removal import remove_units
from tinyml.compression.report import compare, macs, milliseconds
from tinyml.compression.structured import unit_scores, units_to_keep
from tinyml.data import train_test_split
from tinyml.nn import Conv2d, Linear, Module
from tinyml.optim import Adam
from tinyml.train import accuracy, fit

demo = start(__file__, __doc__, data=("digits", "clothes", "mnist", "fashion-mnist"))
X, y = load_images(demo)
N_PIXELS, X = X.shape[1], as_images(X)
RUNS = 1 if demo.quick else 3             # networks, each with its own split of the images
EPOCHS = 6 if demo.quick else 30          # of training before anything is removed
UNITS = (16, 32, 64)                      # filters, filters and units of the full network
REMOVED = np.arange(0, 97, 20 if demo.quick else 8)    # units removed at once, of 112
THIRD = 40                                # the number of them in the title and in a claim
STEP = 28 if demo.quick else 8            # removed at a time, then an epoch of training
LEFT = np.arange(sum(UNITS), 15, -STEP)   # units left after these steps
SCORED = 256                              # training images that the scores look at
ROUNDS = 8 if demo.quick else 40          # of the clock
CRITERIA = {"oracle": ("oracle", VERMILLION, "D"), "taylor": ("Taylor", BLUE, "o"),
            "activation": ("mean activation", GREEN, "s"), "norm": ("weight norm", ORANGE, "^"),
            "random": ("random", BLACK, "x")}    # name, colour, marker
REPAIRED = "taylor", "random"             # those with training after each step

# %% Train the networks, each on its own split
class Trained(NamedTuple):
    model: Module
    train: tuple                # X, y
    test: tuple                 # X, y
    rng: np.random.Generator


def trained(rng):
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.3, rng=rng, stratify=y)
    *filters, units = UNITS
    model = conv_network(N_PIXELS, rng, filters, units)
    train(model, (X_train, y_train), EPOCHS, rng, lr=2e-3)
    return Trained(model, (X_train, y_train), (X_test, y_test), rng)


def train(model, data, epochs, rng, *, lr=1e-3, label=""):
    fit(model, *data, optimizer=Adam(model.parameters(), lr=lr), epochs=epochs, batch_size=64,
        rng=rng, label=label)


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
agreement = {criterion: np.array([rank_correlation(of["oracle"], of[criterion]) for of in scores])
             for criterion in CRITERIA}
for criterion, values in agreement.items():
    demo.record(f"{criterion}: rank correlation with the oracle", values.mean())
demo.finding("Taylor's order is nearer to the oracle's than the weight norm's (least lead)",
             (agreement["taylor"] - agreement["norm"]).min(), above=0,
             why="If all units have inputs of about the same size, the norm of the weights "
                 "says as much.")
demo.finding("Taylor's order is almost the oracle's (least rank correlation)",
             agreement["taylor"].min(), above=0.7,
             why="Taylor's score is a linear approximation, which is poor where the loss of one unit "
                 "changes the cost much.")


# %% Remove many units at once, without training afterwards
def accuracies(net, scores):
    smaller = [remove_units(net.model, units_to_keep(scores, k)) for k in REMOVED.tolist()]
    return [accuracy(model, *net.test) for model in smaller]


at_once = {criterion: np.array([accuracies(net, of[criterion])
                                for net, of in zip(networks, scores)])
           for criterion in CRITERIA}    # (runs, len(REMOVED)) each
third = {criterion: hits[:, REMOVED.searchsorted(THIRD)].mean()
         for criterion, hits in at_once.items()}
for criterion, hit in third.items():
    demo.record(f"{criterion}: accuracy without {THIRD} units, untrained", hit)
demo.finding(f"{THIRD} units at once: Taylor keeps more accuracy than random (mean lead)",
             third["taylor"] - third["random"], above=0,
             why="If all units are about equally useful, it hardly matters which of them "
                 "go.")


# %% Remove a few units at a time, with an epoch of training after each step
def in_steps(net, criterion):
    """The networks from the full one to the smallest."""
    models = [copy.deepcopy(net.model)]
    for left in LEFT[1:]:
        keep = units_to_keep(scored(models[-1], net, criterion), STEP)
        model = remove_units(models[-1], keep)
        train(model, net.train, 1, net.rng, label=f"{criterion}, {left} units")
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


# %% Fair opponents, trained for as long: all units; and the sizes that Taylor's score left
def sizes(model):
    """The units of the two convolutions and of the hidden layer."""
    return [len(layer.weight.data) for layer in model if isinstance(layer, (Conv2d, Linear))][:3]


def from_scratch(net, path, steps):
    *filters, units = sizes(path[steps])
    model = conv_network(N_PIXELS, net.rng, filters, units)
    train(model, net.train, EPOCHS, net.rng, lr=2e-3)
    train(model, net.train, steps, net.rng)
    return accuracy(model, *net.test)


def trained_longer(net):
    model = copy.deepcopy(net.model)
    train(model, net.train, half, net.rng)
    return accuracy(model, *net.test)


fair = np.mean([trained_longer(net) for net in networks])
scratch = np.array([[from_scratch(net, path, steps)
                     for net, path in zip(networks, models["taylor"])]
                    for steps in (half, len(LEFT) - 1)])    # (2, runs)
demo.record("accuracy of the full network, trained as long", fair)
demo.record("accuracy of half of the units, trained from the start", scratch[0].mean())
demo.record("accuracy of the smallest network, trained from the start", scratch[1].mean())
demo.finding("with training, half of the units cost Taylor's network (points)",
             100 * (fair - repaired["taylor"][:, half].mean()), at_most=3,
             why="Classes that are alike need more units.")
if not demo.quick:    # after a few epochs the full network has a head start, which its half keeps
    demo.finding("half of the units, trained from the start as long, are as good (points gained)",
                 100 * (scratch[0] - repaired["taylor"][:, half]).mean(), at_least=-1,
                 why="A large network learns in fewer epochs; where these are few for the "
                     "images, the units that are left keep its head start.")

# %% Measure the time of a batch of 256, and the work
timed = models["taylor"][0][::1 if demo.quick else 3]
batch = np.resize(X, (256, *X.shape[1:]))
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
pruned = repaired["taylor"][:, half].mean()
figure.suptitle(f"Half of the units, by Taylor's score, are right {100 * pruned:.1f} % of the time, "
                f"from scratch {100 * scratch[0].mean():.1f} %, all units {100 * fair:.1f} %")
nearer = sorted(("weight norm", "Taylor's score"), reverse=True,
                key=lambda name: agreement["norm" if "norm" in name else "taylor"].mean())
flat = {criterion: np.concatenate(list(of.values())) for criterion, of in scores[0].items()}
for criterion in ("norm", "taylor"):
    text, color, marker = CRITERIA[criterion]
    cloud.plot(flat["oracle"], flat[criterion], marker, color=color, ms=5, alpha=0.8,
               label=f"{text}: rank correlation {agreement[criterion].mean():.2f}")
lowest = [values[values > 1e-6].min() / 1.5
          for values in (flat["oracle"], np.concatenate([flat["taylor"], flat["norm"]]))]
cloud.set(xscale="log", yscale="log", xlim=(lowest[0], 1.2), ylim=(lowest[1], 1.2),
          xlabel="oracle: change of the cost without the unit", ylabel="score",
          title=f"{nearer[0]} is nearer to the oracle than the {nearer[1]}")
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
hit.plot(LEFT[[half, -1]], 100 * scratch.mean(axis=1), "*", color=PURPLE, ms=13,
         label="trained from the start")
hit.set(xlabel="units left", ylabel="test accuracy in %", ylim=(0, 103),
        title=f"Removed at once, or {STEP} at a time with training")
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
