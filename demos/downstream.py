"""How good are features that were learned without labels, and does the answer depend on the method?

MATH5836 week 10, section 10.3, phase 2. An encoder has learned from images without labels. With
a few labels, three methods tell how good its features are: a linear probe, the nearest
neighbours, and fine-tuning.

You will see how fast three optimizers solve a linear probe, which is a convex problem with one
solution; the accuracy of the probe and of neighbours against the number of labels, beside probes
on pixels and on an untrained encoder; and the accuracy after fine-tuning with ten labels, against
the learning rate of the encoder.

That the problem has one solution is a theorem, and true of any features. With --data the images
are others: whether the features are better than pixels depends on the views that were possible
(demos/simclr.py). On clothes, the more labels there are, the further pixels are ahead.

Predict first: how many steps of gradient descent solve a probe? With one label per class, which
is better, the probe or the nearest neighbour? At which learning rate does fine-tuning forget
what the encoder knew?
"""
# %% Constants
import math

import matplotlib.pyplot as plt
import numpy as np
from _pretraining import choose_view, simclr_encoder
from common import BLUE, ORANGE, PURPLE, start
from panels import curve, reference, scores

from tinyml import Tensor, nn
from tinyml import functional as F
from tinyml.data import train_test_split
from tinyml.lbfgs import minimize
from tinyml.optim import SGD, Adam
from tinyml.selfsupervised.downstream import (
    UnitLength,
    extract_features,
    fine_tune,
    knn,
    linear_probe,
)
from tinyml.selfsupervised.label_efficiency import draw_labels
from tinyml.selfsupervised.simclr import mlp_encoder
from tinyml.train import accuracy

demo = start(__file__, __doc__, data=("digits", "clothes", "mnist", "fashion-mnist"))
X, y = demo.load()
ENCODER = (X.shape[1], 128, 64) if demo.quick else (X.shape[1], 256, 256, 128)    # pixels to features
EPOCHS = 20 if demo.quick else 80                                 # of pre-training, for digits
PER_CLASS = (1, 10) if demo.quick else (1, 2, 5, 10, 20, 50)      # labels per class
DRAWS = 5 if demo.quick else 20                                   # of the labelled images
L2 = 1e-3                                                         # penalty of the probe
STEPS = 300 if demo.quick else 1000                               # of gradient descent and of Adam
SOLVED = 1e-6                                # loss above the minimum that counts as solved
RATES = (1e-3, 1e-1) if demo.quick else (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2,
                                         1e-1)    # of the encoder
TUNED_DRAWS, TUNING = (2 if demo.quick else 10), dict(epochs=40, batch_size=10, head_lr=1e-3)

# %% Data: seven tenths to learn from, the others to test
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.3, rng=demo.rng, stratify=y)

# %% Model: an encoder, pre-trained with SimCLR, which sees no label
view, moves = choose_view(X_train, y_train)
demo.record("moves that keep the class", ", ".join(moves) or "none")
encoder = simclr_encoder(X_train, ENCODER, view=view, epochs=EPOCHS, rng=demo.rng)
untrained = mlp_encoder(*ENCODER, rng=demo.rng)

# %% Features of length 1: from here on the encoder is frozen
encoder = nn.Sequential(encoder, UnitLength())
train, test = extract_features(encoder, X_train), extract_features(encoder, X_test)
baselines = {name: [extract_features(body, x, unit_length=True) for x in (X_train, X_test)]
             for name, body in (("pixels", nn.Sequential()), ("untrained encoder", untrained))}
Z = Tensor(train.astype(np.float64))


# %% Experiment 1: the loss of a linear probe, with all labels
def loss_of(head):
    return F.cross_entropy(head(Z), y_train) + L2 / 2 * (head.weight ** 2).sum()


def zero_head():
    head = nn.Linear(Z.shape[1], 10, rng=demo.rng)
    head.weight.data, head.bias.data = np.zeros(head.weight.shape), np.zeros(10)
    return head


# %% ... minimised step by step, with all images in every batch
def descend(make_optimizer):
    """The losses before every step."""
    head, losses = zero_head(), []
    optimizer = make_optimizer(head.parameters())
    for _ in demo.progress(range(STEPS), "descent"):
        loss = loss_of(head)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return np.array(losses)


# %% ... and by L-BFGS
def solve():
    """The losses at all evaluations."""
    head, losses = zero_head(), []

    def loss():
        value = loss_of(head)
        losses.append(value.item())
        return value
    minimize(loss, head.parameters(), tolerance=1e-8)
    return np.array(losses)


least = loss_of(linear_probe(train.astype(np.float64), y_train, l2=L2, tolerance=1e-10)).item()
gaps = {"gradient descent": descend(lambda params: SGD(params, lr=1)) - least,
        "Adam": descend(lambda params: Adam(params, lr=0.1)) - least,
        "L-BFGS": solve() - least}

# %% How many evaluations of the loss does each need?
needed = {}
for name, gap in gaps.items():
    solved = np.flatnonzero(gap <= SOLVED)
    needed[name] = solved[0] + 1 if len(solved) else math.inf
    demo.record(f"{name}: evaluations of the loss until solved", float(needed[name]),
                f"of {len(gap)}")
demo.claim("no optimizer gets below the loss of linear_probe (smallest gap)",
           min(gap.min() for gap in gaps.values()), at_least=-1e-12)
FLAT = "The number of steps depends on the curvatures of the loss: they differ more, the more alike the features are."
demo.finding("L-BFGS solves the probe (evaluations of the loss)", needed["L-BFGS"], at_most=200, why=FLAT)
demo.finding("Adam needs more evaluations than L-BFGS (ratio)",
             min(needed["Adam"], STEPS) / needed["L-BFGS"], above=1, why=FLAT)
demo.finding("gradient descent does not solve the probe in all its steps (final gap)",
             gaps["gradient descent"][-1], above=100 * SOLVED, why=FLAT)


# %% Experiment 2: the probe and neighbours, on the same draws of labels
def probed_on(train, test, rows):
    return accuracy(linear_probe(train[rows], y_train[rows], l2=L2, tolerance=1e-4), test, y_test)


def judge(rows):
    """Test accuracies of the probe, of the nearest and of up to 5 neighbours; of probes on baselines."""
    features, labels = train[rows], y_train[rows]
    k = min(5, len(rows) // 10)
    probe = probed_on(train, test, rows)
    nearest = np.mean(knn(features, labels, test) == y_test)
    voted = np.mean(knn(features, labels, test, k=k) == y_test)
    return probe, nearest, voted, *(probed_on(*parts, rows) for parts in baselines.values())


draws = demo.rng.spawn(DRAWS)
judged = np.array([[judge(draw_labels(y_train, k, rng=rng)) for k in PER_CLASS]
                   for rng in demo.progress(draws, "draws")])    # (draws, labels, methods)
METHODS = "linear probe", "nearest neighbour", "up to 5 neighbours"
judged = {name: judged[:, :, i]
          for i, name in enumerate([*METHODS, *(f"probe on {name}" for name in baselines)])}
n_labels = 10 * np.array(PER_CLASS)

# %% Do the probe and neighbours agree?
# A probe weighs the features, neighbours take them as they are: it should be as good, to 3 points.
medians = {name: np.median(values, axis=0) for name, values in judged.items()}
probed = medians["linear probe"]
behind = np.max([medians[name] - probed for name in METHODS], axis=0).max()
for name, median in medians.items():
    demo.record(f"{name}: median accuracy", median, "labels: " + " ".join(map(str, n_labels)))
demo.finding("the probe is better than chance at any number of labels (least median accuracy)",
             probed.min(), above=0.1, why="Features that have nothing to do with the classes tell nothing about them.")
demo.finding("at no number of labels is the probe far behind neighbours (largest gap)", behind,
             at_most=0.05 if demo.quick else 0.03,
             why="No plane cuts off a class that lies in several groups, but in each its neighbours are near.")
demo.finding("more labels help (rise of the probe's median accuracy)", probed[-1] - probed[0],
             at_least=0.05, why="They do not where one label per class tells all that features know.")
demo.finding("with ten labels the features beat pixels (lead of the medians)",
             probed[0] - medians["probe on pixels"][0], above=0,
             why="Without moves that keep the class, as for clothes, the views teach to ignore noise only.")
demo.finding("with ten labels they beat an untrained encoder (lead of the medians)",
             probed[0] - medians["probe on untrained encoder"][0], above=0,
             why="Random features keep distances; views that differ by noise alone teach little more.")


# %% Experiment 3: fine-tuning with one label per digit; the head starts as the probe
def tuned(rows, rate):
    features, labels = train[rows], y_train[rows]
    model = fine_tune(encoder, linear_probe(features, labels, l2=L2), X_train[rows], labels,
                      encoder_lr=rate,
                      rng=np.random.default_rng(demo.seed), **TUNING)
    return accuracy(model, X_test, y_test)


ten = [draw_labels(y_train, 1, rng=rng) for rng in draws[:TUNED_DRAWS]]
by_rate = np.array([[tuned(rows, rate) for rate in RATES]
                    for rows in demo.progress(ten, "fine-tuning")])    # (draws, rates)
frozen = np.median([tuned(rows, 0) for rows in ten])

# %% Which learning rates keep what the encoder knew?
by_median = np.median(by_rate, axis=0)
demo.record("fine-tuned with ten labels: median accuracy", by_median,
            "rates: " + " ".join(f"{r:g}" for r in RATES))
demo.record("fine-tuned with ten labels, encoder frozen: median accuracy", frozen)
demo.finding("a small learning rate keeps the features (median accuracy lost)", frozen - by_median[0],
             at_most=0.05 if demo.quick else 0.03,
             why="With more pixels the same rate moves a feature further.")
demo.finding("the highest learning rate destroys the features (median accuracy lost)",
             frozen - by_median[-1], at_least=0.1,
             why="Features that a probe hardly profits from have little to lose, as long as units do not die.")

# %% Figure
figure, (left, middle, right) = plt.subplots(1, 3, figsize=(16, 5))
on_pixels = medians["probe on pixels"]
figure.suptitle(f"{demo.data}: a linear probe with {n_labels[0]} and with {n_labels[-1]} labels is right on "
                f"{100 * probed[0]:.0f} and {100 * probed[-1]:.0f} % by features learned without labels, "
                f"on {100 * on_pixels[0]:.0f} and {100 * on_pixels[-1]:.0f} % by pixels")
for (name, gap), color, dash in zip(gaps.items(), (ORANGE, PURPLE, BLUE), (":", "--", "-")):
    above = np.where(gap > SOLVED / 100, gap, np.nan)    # the axis ends there
    curve(left, np.arange(1, len(gap) + 1), above, name, color=color, linestyle=dash)
reference(left, SOLVED, "solved")
left.set(xscale="log", yscale="log", xlabel="evaluations of the loss",
         ylabel="loss above its minimum",
         title=f"L-BFGS solves a probe in {needed['L-BFGS']} evaluations")
scores(middle, n_labels, judged, xlabel="labels",
       title=f"Neighbours are at most {100 * behind:.1f} points better")
curve(right, RATES, 100 * by_rate, color=BLUE, marker="o")
reference(right, 100 * frozen, "encoder frozen", x=0.6)
right.set(xscale="log", xlabel="learning rate of the encoder", ylabel="test accuracy in %",
          title=f"Ten labels: at a high rate, {100 * frozen:.0f} % become "
                f"{100 * by_median[-1]:.0f} %")
demo.finish(figure)
