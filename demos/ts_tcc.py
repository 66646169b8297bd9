"""Can a network that predicts the future tell a left turn from a right turn, with one label each?

MATH5836 week 10, sections 10.3.1 and 10.3.2; Eldele et al. 2021, TS-TCC. The data are made: three
sensors record one of six activities (demos/series.py). From the past of one view the
network predicts the future of the other (temporal contrasting), and the summaries of both pasts
should agree (contextual contrasting). It sees no label. Then a linear probe on the summary of a
whole series gets 1 to 50 labels per class.

You will see a series with its weak and its strong view; both losses beside their values at
chance, ln B and ln(2B - 1); and the accuracy on new series against the number of labels, beside
each of the two tasks alone, the same network untrained, cross spectra, power spectra, raw values,
and the nearest labelled series, by Euclidean distance and by dynamic time warping (DTW).

With --data the series are real. Walking, running and badminton (`basic-motions`) are told apart by
how the sensors move together, as the made activities are. `gunpoint` has one sensor, and drawing a
gun and pointing a finger are both one slow movement. The tasks are solved by what is typical of a
single series, not of its class, so the network is no better than an untrained one.

Predict first: the strong view is shuffled, so its future does not follow the past of the weak
view. What is left to predict? Which of the two tasks matters more when labels are few, and
which when there are many?
"""
# %% Constants
import os
import sys
from copy import deepcopy
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from common import BLUE, GREEN, VERMILLION, start
from panels import reference, scores

from tinyml import Tensor, nn
from tinyml.optim import Adam
from tinyml.selfsupervised.augmentations import compose
from tinyml.selfsupervised.downstream import UnitLength, extract_features, linear_probe
from tinyml.selfsupervised.label_efficiency import draw_labels
from tinyml.selfsupervised.series import (
    ACTIVITIES,
    jitter,
    load_ucr,
    make_activities,
    permute,
    scale,
)
from tinyml.selfsupervised.ts_tcc import TSTCC, MeanOverTime, SeriesEncoder, pretrain
from tinyml.train import accuracy

demo = start(__file__, __doc__, data=("made", "gunpoint", "basic-motions"))
N, N_TEST = (384, 240) if demo.quick else (1200, 600)    # made series without labels, and to test
N_STEPS, BATCH = (36, 32) if demo.quick else (266, 64)   # of pre-training; series per batch, at most
DIM, STEPS, LR = 64, 4, 3e-3                             # D, K, the learning rate of Adam
DRAWS = 4 if demo.quick else 8                           # of labels
PER_CLASS = (1, 5) if demo.quick else (1, 2, 5, 10, 50)  # labels
LEAD = 0.1 if demo.quick else 0.2                        # of TS-TCC with one label each
DTW_TEST, DTW_LABELS = 30 if demo.quick else 100, 5      # DTW is slow: test series, labels per class
WEAK = compose(jitter(strength=0.3), scale(strength=0.3))
STRONG = compose(permute(segments=5), jitter(strength=0.3))
TASKS = {"TS-TCC": {}, "temporal task alone": {"lambda2": 0},
         "contextual task alone": {"lambda1": 0}}


# %% Data: made, or from files of the UCR and UEA archives
def made():
    X, y = make_activities(N, rng=demo.rng)
    return X, y, *make_activities(N_TEST, rng=demo.rng), list(ACTIVITIES)


def from_files(name):
    """Training and test series, in units of the training series' standard deviation per sensor."""
    folder = Path(os.environ.get("TINYML_DATA", ""), "ucr")
    try:
        X, y, classes = load_ucr(folder / f"{name}_TRAIN.ts")
        X_test, y_test, _ = load_ucr(folder / f"{name}_TEST.ts", classes=classes)
    except FileNotFoundError as error:
        print(f"--data {demo.data}: {error.filename} is not here; set TINYML_DATA to a folder that has "
              f"{name}_TRAIN.ts and {name}_TEST.ts of timeseriesclassification.com in ucr/", file=sys.stderr)
        sys.exit(2)
    mean, std = X.mean(axis=(0, 2), keepdims=True), X.std(axis=(0, 2), keepdims=True)
    return (X - mean) / std, y, (X_test - mean) / std, y_test, classes


X, y, X_test, y_test, CLASSES = (made() if demo.data == "made" else
                                 from_files({"gunpoint": "GunPoint", "basic-motions": "BasicMotions"}[demo.data]))
N, N_TEST = len(X), len(X_test)
PER_CLASS = [n for n in PER_CLASS if n <= np.bincount(y).min()]

# A batch holds at most a third of the series, so that the negatives change from step to step.
BATCH = min(BATCH, N // 3)
EPOCHS = round(N_STEPS / np.ceil(N / BATCH))
CHANCE = {"temporal": np.log(BATCH), "contextual": np.log(2 * BATCH - 1)}    # of the two losses

# %% Model: an encoder with the networks of its pretext tasks
untrained = TSTCC(SeriesEncoder(X.shape[1], DIM, rng=demo.rng), DIM, steps=STEPS, rng=demo.rng)


# %% Experiment 1: pre-training with both tasks and with each alone, from the same start
def pretrained(name):
    model = deepcopy(untrained)
    history = pretrain(model, X, weak=WEAK, strong=STRONG, rng=np.random.default_rng(demo.seed),
                       optimizer=Adam(model.parameters(), lr=LR), epochs=EPOCHS, batch_size=BATCH,
                       label=name,
                       **TASKS[name])
    return model, {loss: np.array([row[loss] for row in history]) for loss in CHANCE}


models, losses = {}, {}
for name in TASKS:
    models[name], losses[name] = pretrained(name)

# %% Did the tasks teach anything?
# A contrastive loss L over m candidates bounds what two views share: I >= ln m - L (van den Oord
# et al. 2018).
last = {}
for name in TASKS:
    last[name] = {loss: losses[name][loss][-1] for loss in CHANCE}
    demo.record(f"{name}: temporal and contextual loss, last epoch", list(last[name].values()))
below = {loss: chance - last["TS-TCC"][loss] for loss, chance in CHANCE.items()}
gained = {"temporal": last["contextual task alone"]["temporal"] - last["TS-TCC"]["temporal"],
          "contextual": last["temporal task alone"]["contextual"] - last["TS-TCC"]["contextual"]}
demo.claim("no loss is negative (smallest)",
           min(values.min() for curves in losses.values() for values in curves.values()), at_least=0)
demo.finding("both losses fall below chance (smaller distance, nats)", min(below.values()),
             at_least=0.3 if demo.quick else 1,
             why="A batch from few classes holds many series that are alike and cannot be told apart.")
demo.finding("each loss ends lower if the network is trained on it (smaller gain, nats)", min(gained.values()),
             above=0, why="Where both tasks need the same features, training on one lowers the loss of the other.")


# %% Experiment 2: features of a whole series, learned and hand-made
def learned(encoder):
    return extract_features(encoder, X), extract_features(encoder, X_test)


def hand_made(f):
    return f(X).reshape(N, -1), f(X_test).reshape(N_TEST, -1)


def spectrum(x):
    """F_c(f) of each sensor, for 1 to 40 cycles."""
    centred = x - x.mean(axis=2, keepdims=True)
    return np.fft.rfft(centred)[:, :, 1:41]


def power(x):
    """ln(1 + |F_c(f)|), the power spectrum of each sensor, which has no phase."""
    return np.log1p(np.abs(spectrum(x)))


def cross(x):
    """The power, and F_a(f) F_b(f)* for pairs of sensors: what an expert would choose."""
    F = spectrum(x)
    pairs = F * np.roll(F, 1, axis=1).conj()
    pairs = pairs / np.abs(pairs).mean(axis=2, keepdims=True)
    return np.concatenate([power(x), pairs.real, pairs.imag], axis=1)


features = {name: learned(nn.Sequential(model.encoder, model.context))
            for name, model in models.items()}
features |= {
    "untrained network": learned(nn.Sequential(untrained.encoder, MeanOverTime())),
    "cross spectra": hand_made(cross),
    "power spectra": hand_made(power),
    "raw values": hand_made(np.asarray),
}


# %% ... and a linear probe on each, with the same draws of labels
def probed(train, test):
    """Test accuracies, shape (DRAWS, len(PER_CLASS))."""
    unit = UnitLength(train.mean(axis=0))
    train, test = unit(Tensor(train)).data, unit(Tensor(test)).data

    def score(n, draw):
        rows = draw_labels(y, n, rng=np.random.default_rng([demo.seed, n, draw]))
        head = linear_probe(train[rows], y[rows], l2=1e-3, tolerance=1e-4)
        return accuracy(head, test, y_test)
    return np.array([[score(n, draw) for n in PER_CLASS] for draw in range(DRAWS)])


curves = {name: probed(*parts) for name, parts in demo.progress(list(features.items()), "probes")}


# %% Without features: the nearest labelled series, time by time or along the cheapest path
def dtw(a, b):
    """Dynamic time warping of pairs of series, each (n, C, T) (Sakoe and Chiba 1978).

    D_ij = |a_i - b_j|^2 + min(D_(i-1)j, D_i(j-1), D_(i-1)(j-1)),    |i - j| <= T / 10
    """
    n, _, T = a.shape
    width = T // 10
    before = np.full((T + 1, n), np.inf)
    before[0] = 0                                                 # the path begins at both starts
    for i in range(T):
        row = np.full((T + 1, n), np.inf)
        for j in range(max(0, i - width), min(T, i + width + 1)):
            cost = ((a[:, :, i] - b[:, :, j]) ** 2).sum(axis=1)
            row[j + 1] = cost + np.minimum(np.minimum(before[j], before[j + 1]), row[j])
        before = row
    return before[T]


def euclidean(a, b):
    return ((a - b) ** 2).sum(axis=(1, 2))


ratio = dtw(X[:10], X[10:20]) / euclidean(X[:10], X[10:20])
demo.claim("DTW is at most the Euclidean distance, as the diagonal is one of its paths (largest ratio)",
           ratio.max(), at_most=1 + 1e-5)


def nearest(distance, n_test, most):
    """As `probed`, of the nearest neighbour among the labelled; NaN for more than `most` labels."""
    def score(n, draw):
        if n > most:
            return np.nan
        rows = draw_labels(y, n, rng=np.random.default_rng([demo.seed, n, draw]))
        test, labelled = np.indices((n_test, len(rows))).reshape(2, -1)
        d = distance(tests[test], X[rows][labelled]).reshape(n_test, len(rows))
        return np.mean(y[rows][d.argmin(axis=1)] == truth[:n_test])
    order = np.random.default_rng(demo.seed).permutation(N_TEST)
    tests, truth = X_test[order], y_test[order]
    return np.array([[score(n, draw) for n in PER_CLASS] for draw in range(DRAWS)])


curves["nearest, DTW"] = nearest(dtw, min(DTW_TEST, N_TEST), DTW_LABELS)
curves["nearest, Euclidean"] = nearest(euclidean, min(DTW_TEST, N_TEST), DTW_LABELS)

# %% How good are the features with few labels?
medians = {name: np.median(values, axis=0) for name, values in curves.items()}
ours, five = medians["TS-TCC"], PER_CLASS.index(5)
for name, row in medians.items():
    demo.record(f"{name}: median accuracy", 100 * row,
                "% with " + ", ".join(map(str, PER_CLASS)) + " labels per class")
SAME = ("The tasks can be solved by what is typical of one series, such as how long a hand is held up, which "
        "need not tell the class. Where motions differ in strength, as rest and running do, random filters are "
        "enough.")
SPECTRA = ("Where frequencies alone tell the class, an expert's spectra need no training; where the tasks do not "
           "teach the class, nothing is gained over them.")
demo.finding("with one label per class, TS-TCC is better than the same network untrained (lead)",
             ours[0] - medians["untrained network"][0], at_least=LEAD, why=SAME)
demo.finding("with one label per class, TS-TCC is better than cross spectra (lead)",
             ours[0] - medians["cross spectra"][0], at_least=LEAD, why=SPECTRA)
demo.finding("TS-TCC with one label per class is better than power spectra with five (lead)",
             ours[0] - medians["power spectra"][five], at_least=0.1, why=SPECTRA)
demo.finding("with one label per class, TS-TCC is better than the nearest series by DTW (lead)",
             ours[0] - medians["nearest, DTW"][0], at_least=LEAD / 2,
             why="DTW compares shapes well if all series begin at the same time.")
demo.finding("with one label per class, raw values are near chance (accuracy above it)",
             medians["raw values"][0] - 1 / len(CLASSES), at_most=0.09,
             why="Series that all begin with the movement have a mean for each class, unlike those "
                 "that begin at a random time.")

# %% Which task helps where? That depends on the seed.
if not demo.quick:
    demo.finding("TS-TCC with one label per class is better than cross spectra with five (lead)",
                 ours[0] - medians["cross spectra"][five], above=0, why=SPECTRA)
    for words, k, other in (("with one label per class, the temporal task helps", 0, "contextual"),
                            ("with the most labels, the contextual task helps", -1, "temporal")):
        demo.record(f"{words} (lead over the other alone)", ours[k] - medians[f"{other} task alone"][k])

# %% Figure: a series (a turn to the left) and its views
figure = plt.figure(figsize=(13, 9))
figure.suptitle(f"{demo.data}: with one label per class, a probe on TS-TCC is right on {100 * ours[0]:.0f} % of "
                f"new series,\non the untrained network {100 * medians['untrained network'][0]:.0f} %, "
                f"the nearest series by DTW {100 * medians['nearest, DTW'][0]:.0f} %")
grid = figure.add_gridspec(2, 2, width_ratios=[1.3, 1], height_ratios=[1, 1.3])
left, right = figure.add_subplot(grid[0, 0]), figure.add_subplot(grid[0, 1])
bottom = figure.add_subplot(grid[1, :])
copies, turn = X[[1]].repeat(8, axis=0), f"of class {CLASSES[y[1]]}"
pictures = {turn: None, "a weak view": WEAK, "a strong view": STRONG}
for k, (name, view) in enumerate(pictures.items()):
    views = copies if view is None else view(copies, np.random.default_rng(demo.seed))
    distance = np.abs(views - copies).mean(axis=(1, 2))
    shown = views[distance.argmax()]    # a shuffle may also keep the order
    length = X.shape[2]
    begin = 1.15 * k * length
    for sensor, color in zip(range(X.shape[1]), (BLUE, VERMILLION, GREEN)):
        left.plot(begin + np.arange(length), shown[sensor] - 6 * sensor, color=color, linewidth=1)
    left.text(begin + length / 2, 5, name, ha="center")
left.set(title="Up to three sensors, and two views of them", xlabel="time", xticks=[], yticks=[],
         ylim=(-4 - 6 * (min(X.shape[1], 3) - 1), 7))
left.grid(False)
left.spines[:].set_visible(False)

# %% Figure: losses and accuracies
epochs = np.arange(1, EPOCHS + 1)
for (loss, chance), color, marker in zip(CHANCE.items(), (GREEN, VERMILLION), "os"):
    other = "contextual task alone" if loss == "temporal" else "temporal task alone"
    right.plot(epochs, losses["TS-TCC"][loss], color=color, marker=marker, markersize=4,
               label=loss)
    right.plot(epochs, losses[other][loss], color=color, linestyle=":", linewidth=1.4,
               label=f"{loss}, not trained on")
    reference(right, chance, {"temporal": "ln B", "contextual": "ln(2B - 1)"}[loss], x=0.85)
right.set(xlabel="epoch", ylabel="loss", title=f"Losses and chance, B = {BATCH}", ylim=(0, 1.1 * max(CHANCE.values())),
          xticks=epochs[::max(1, EPOCHS // 5)])
right.legend(loc="lower left", fontsize=9)
scores(bottom, PER_CLASS, curves, xlabel="labels per class", ylim=(0, 100),
       title=f"Linear probes and neighbours: median of {DRAWS} draws of labels, band: 80 % of them")
bottom.legend(loc="center left", bbox_to_anchor=(1, 0.5))
reference(bottom, 100 / len(CLASSES), "chance", x=0.94)
demo.finish(figure)
