"""What is an encoder worth, and does the answer depend on who asks?

MATH5836 week 10, section 10.3, phase 2. An encoder has learned from digits without labels. It is asked with few
labels and with many, in three ways: by a linear probe, by its nearest neighbours, and by fine-tuning. A linear probe
is a convex problem with one answer, so what it says is about the features; but only if it is solved.

You will see how far gradient descent and Adam are from that answer after a number of steps, and where the solver of
`linear_probe` is; the accuracy of three judges against the number of labels; and what fine-tuning does with ten
labels as the encoder's rate grows.

Predict first: how many steps of gradient descent is one probe? With one label per digit, probe or nearest neighbour?
At which rate does fine-tuning forget what the encoder knew?
"""
# %% Constants
import math
import time

import matplotlib.pyplot as plt
import numpy as np
from common import BLACK, BLUE, GREEN, ORANGE, PURPLE, VERMILLION, band, label_line, start

from tinyml import Tensor, nn
from tinyml import functional as F
from tinyml.data import digits, train_test_split
from tinyml.optim import SGD, Adam, LambdaLR, cosine_decay
from tinyml.selfsupervised.augmentations import add_noise, compose, random_affine
from tinyml.selfsupervised.downstream import UnitLength, extract_features, fine_tune, knn, linear_probe, minimize
from tinyml.selfsupervised.label_efficiency import draw_labels
from tinyml.selfsupervised.simclr import mlp_encoder, projection_head, train_simclr
from tinyml.train import accuracy

demo = start(__file__, __doc__)
ENCODER = (64, 128, 64) if demo.quick else (64, 256, 256, 128)    # pixels to features
EPOCHS, BATCH, LR = (20 if demo.quick else 80), 256, 3e-3         # of pre-training
PER_CLASS = (1, 10) if demo.quick else (1, 2, 5, 10, 20, 50)      # labels
DRAWS = 5 if demo.quick else 20
L2 = 1e-3
STEPS = 300 if demo.quick else 1000                               # of descent, towards one probe
RATES = (0, 1e-3, 1e-1) if demo.quick else (0, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)    # of the encoder
TUNED_DRAWS, TUNING = (2 if demo.quick else 10), dict(epochs=40, batch_size=10, head_lr=1e-3)

# %% Data and model
X, y = digits()
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.3, rng=demo.rng, stratify=y)
encoder, head = mlp_encoder(*ENCODER, rng=demo.rng), projection_head(ENCODER[-1], 64, rng=demo.rng)
optimizer = Adam([*encoder.parameters(), *head.parameters()], lr=LR)
n_steps = EPOCHS * math.ceil(len(X_train) / BATCH)
train_simclr(encoder, head, X_train, view=compose(random_affine(rotate=0.35, scale=0.2, shear=0.3, shift=0.5),
                                                  add_noise(0.2)),
             temperature=1.0, optimizer=optimizer, epochs=EPOCHS, batch_size=BATCH, rng=demo.rng,
             schedule=LambdaLR(optimizer, lambda t: cosine_decay(t, n_steps)))
encoder = nn.Sequential(encoder, UnitLength())
train, test = (extract_features(encoder, x) for x in (X_train, X_test))

# %% Experiment: one probe, solved and trained
Z, labels = train.astype(np.float64), y_train                # all labels


def objective(weight, bias):
    loss = F.cross_entropy(F.linear(Tensor(Z), weight, bias), labels)
    return loss + L2 / 2 * (weight * weight).sum()


def descend(make):
    """The losses of full-batch descent from zero, before every step."""
    weight, bias = nn.Parameter(np.zeros((10, Z.shape[1]))), nn.Parameter(np.zeros(10))
    optimizer, losses = make([weight, bias]), []
    for _ in demo.progress(range(STEPS), "descent"):
        loss = objective(weight, bias)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return np.array(losses)


def solve():
    """The losses that L-BFGS meets in plain coordinates, one for each evaluation."""
    losses = []

    def value_and_gradient(theta):
        weight, bias = nn.Parameter(theta[:, :-1]), nn.Parameter(theta[:, -1])
        loss = objective(weight, bias)
        loss.backward()
        losses.append(loss.item())
        return losses[-1], np.column_stack([weight.grad, bias.grad])
    minimize(value_and_gradient, np.zeros((10, Z.shape[1] + 1)), tolerance=1e-5, max_iter=STEPS)
    return np.array(losses)


began = time.process_time()
solved = linear_probe(Z, labels, l2=L2, tolerance=1e-9)
milliseconds = 1e3 * (time.process_time() - began)
least = objective(solved.weight, solved.bias).item()
gaps = {"gradient descent": descend(lambda p: SGD(p, lr=1)) - least,
        "Adam": descend(lambda p: Adam(p, lr=0.1)) - least, "L-BFGS": solve() - least}

# %% Experiment: three judges, and the rate of fine-tuning
draws = demo.rng.spawn(DRAWS)
JUDGES = "linear probe", "nearest neighbour", "up to 5 neighbours"


def judge(rows):
    """Accuracies of the probe, of 1 neighbour and of up to 5, with these labels."""
    few, names = train[rows], y_train[rows]
    k = min(5, len(rows) // 10)
    return (accuracy(linear_probe(few, names, l2=L2), test, y_test), (knn(few, names, test) == y_test).mean(),
            (knn(few, names, test, k=k) == y_test).mean())


judged = np.array([[judge(draw_labels(y_train, k, rng=rng)) for k in PER_CLASS]
                   for rng in demo.progress(draws, "draws")])    # (draws, labels, judges)


def tuned(rows, rate, rng):
    model = fine_tune(encoder, linear_probe(train[rows], y_train[rows], l2=L2), X_train[rows], y_train[rows],
                      encoder_lr=rate, rng=rng, **TUNING)
    return accuracy(model, X_test, y_test)


by_rate = np.array([[tuned(rows, rate, np.random.default_rng(demo.seed)) for rate in RATES]
                    for rows in (draw_labels(y_train, 1, rng=rng) for rng in draws[:TUNED_DRAWS])])

# %% Figure
n_labels = 10 * np.array(PER_CLASS)
probed, nearest, voted = judged.mean(axis=0).T
drop = by_rate[:, 0].mean() - by_rate[:, -1].mean()
figure, axes = plt.subplots(1, 3, figsize=(16, 5.4))
figure.suptitle(f"A linear probe has one answer, found in {milliseconds:.0f} ms: {n_labels[0]} labels name "
                f"{100 * probed[0]:.0f} % of new digits, {n_labels[-1]} name {100 * probed[-1]:.0f} %")
ax = axes[0]
for (name, gap), (color, marker) in zip(gaps.items(), ((ORANGE, "s"), (PURPLE, "^"), (BLUE, "o"))):
    line, = ax.plot(np.arange(1, len(gap) + 1), np.maximum(gap, 1e-10), color=color, marker=marker, markevery=0.25)
    label_line(ax, line, name)
ax.set(xscale="log", yscale="log", ylim=(3e-11, None), xlabel="step, of full batches", ylabel="loss above its minimum",
       title="A probe is to be solved, not trained")
ax = axes[1]
for values, name, color, marker in zip(judged.transpose(2, 0, 1), JUDGES, (BLUE, VERMILLION, GREEN), "osD"):
    band(ax, n_labels, 100 * values, color=color, marker=marker, label=name)
ax.set_xscale("log")
ax.minorticks_off()
ax.set(xticks=n_labels, xticklabels=n_labels, xlabel="labels", ylabel="test accuracy, %",
       title="Three judges of the same features")
ax.legend(loc="lower right")
ax = axes[2]
places = np.arange(len(RATES))
band(ax, places, 100 * by_rate, color=BLUE, marker="o")
ax.axhline(100 * np.median(by_rate[:, 0]), linestyle="--", color=BLACK, lw=1.3)
ax.set(xticks=places, xticklabels=[f"{rate:g}" for rate in RATES], xlabel="rate of the encoder",
       ylabel="test accuracy, %", title="Ten labels: the higher the rate, the more is forgotten")
ax.tick_params(axis="x", rotation=45)

# %% Claims
for name, values in zip(JUDGES, (probed, nearest, voted)):
    demo.record(f"accuracy: {name}", values, "labels: " + " ".join(map(str, n_labels)))
demo.record("milliseconds of one probe on all labels", milliseconds, f"{Z.shape[0]} x {Z.shape[1]}")
for name, gap in gaps.items():
    demo.record(f"{name}: loss above its minimum at the end", gap[-1], f"after {len(gap)} evaluations")
demo.record("fine-tuned with ten labels", by_rate.mean(axis=0), "rates: " + " ".join(f"{r:g}" for r in RATES))
demo.claim("no descent gets below the probe's loss (least gap)", min(gap.min() for gap in gaps.values()),
           at_least=-1e-12)
demo.claim("L-BFGS gets there (gap)", gaps["L-BFGS"][-1], at_most=1e-6)
demo.claim("after as many steps gradient descent is far from it (gap)",
           gaps["gradient descent"][len(gaps["L-BFGS"]) - 1], at_least=1e-3)
demo.claim("the probe sees as much as neighbours, at any number of labels (least lead)",
           (probed - np.maximum(nearest, voted)).min(), at_least=-0.03)
demo.claim("more labels, more right (rise from the fewest to the most)", probed[-1] - probed[0], at_least=0.05)
demo.claim("too high a rate destroys what the encoder knew (loss of accuracy against rate 0)", drop, at_least=0.1)
demo.claim("a small one does not (loss of accuracy)", (by_rate[:, 0] - by_rate[:, 1]).mean(),
           at_most=0.05 if demo.quick else 0.03)
demo.finish(figure)
