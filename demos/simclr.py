"""How much can ten labels teach, once the images have been looked at without any?

MATH5836 week 10, section 10.3.2; Chen et al. 2020. An encoder is trained on seven tenths of the digits, without
labels: it has to find out which two of 512 views were made of one image. Then come a few labels, one per digit
at first, and a linear probe on the features h of the frozen encoder. The other images take no part in training.

You will see these test images on the two principal components of their pixels, and on those of their features;
the accuracy of the probe against the number of labels, on pixels, on an encoder that has learned nothing, and
on the one that has; and the loss beside its chance line ln(2B - 1), alignment and uniformity. Among the numbers
is also the accuracy on z, on which the loss acts: with very few labels it need not be worse than h, as it is
in the paper (section 4.2), for these views leave out little that tells digits apart.

Predict first: of a hundred new digits, how many are named rightly by one who has seen ten labelled ones? And by
one who has looked at a thousand others before, of which nobody told him anything? The loss will end near 5, a
little below ln 511 = 6.2: is it stuck?
"""
# %% Constants
import math

import matplotlib.pyplot as plt
import numpy as np
from common import BLACK, BLUE, GREEN, OKABE_ITO, ORANGE, VERMILLION, band, start

from tinyml import Tensor
from tinyml.data import digits, train_test_split
from tinyml.nn import Sequential
from tinyml.optim import Adam, LambdaLR, cosine_decay
from tinyml.selfsupervised.augmentations import add_noise, compose, random_affine
from tinyml.selfsupervised.contrastive import nt_xent
from tinyml.selfsupervised.downstream import UnitLength, extract_features, linear_probe
from tinyml.selfsupervised.label_efficiency import draw_labels, labels_needed
from tinyml.selfsupervised.simclr import mlp_encoder, principal_components, projection_head, train_simclr
from tinyml.tensor import no_grad
from tinyml.train import accuracy

demo = start(__file__, __doc__)
ENCODER = (64, 256, 256, 128)                # pixels to h
HEAD = (128, 64)                            # h to z: a linear head is enough here
TEMPERATURE = 0.7                           # at 0.3, images of one digit are driven apart too hard
EPOCHS = 30 if demo.quick else 300
BATCH, LR = 256, 3e-3                       # images; of Adam, down to 0 on a cosine
VIEW = compose(random_affine(rotate=0.35, scale=0.2, shear=0.3, shift=0.5), add_noise(0.2))
PER_CLASS = (1, 10) if demo.quick else (1, 2, 5, 10, 20, 50)
DRAWS = 8 if demo.quick else 20            # of labels, the same for all features
L2 = 1e-3                                   # of the probe

# %% Data: the test images are put aside before anything else
X, y = digits()
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.3, rng=demo.rng, stratify=y)

# %% Model
encoder, head = mlp_encoder(*ENCODER, rng=demo.rng), projection_head(*HEAD, rng=demo.rng)
untrained = mlp_encoder(*ENCODER, rng=demo.rng)
optimizer = Adam([*encoder.parameters(), *head.parameters()], lr=LR)
n_steps = EPOCHS * math.ceil(len(X_train) / BATCH)


@no_grad()
def first_loss():
    """NT-Xent of one batch, before any step."""
    z = [head(encoder(Tensor(VIEW(X_train[:BATCH], demo.rng)))) for _ in range(2)]
    return nt_xent(*z, temperature=TEMPERATURE).item()


# %% Experiment: learn without labels, then probe with a few
at_first = first_loss()
history = train_simclr(encoder, head, X_train, view=VIEW, temperature=TEMPERATURE, optimizer=optimizer,
                       epochs=EPOCHS, batch_size=BATCH, rng=demo.rng,
                       schedule=LambdaLR(optimizer, lambda t: cosine_decay(t, n_steps)))
epochs, loss, chance, apart, spread = np.array([list(row.values()) for row in history]).T


def probe(features_train, features_test, label):
    """Test accuracies (DRAWS, len(PER_CLASS)) of linear probes on DRAWS choices of labelled images."""
    def score(rows):
        return accuracy(linear_probe(features_train[rows], y_train[rows], l2=L2), features_test, y_test)
    draws = np.random.default_rng(demo.seed).spawn(DRAWS)    # equal for all features
    return np.array([[score(draw_labels(y_train, k, rng=rng)) for k in PER_CLASS]
                     for rng in demo.progress(draws, label)])


def features(model):
    return [extract_features(model, x, unit_length=True) for x in (X_train, X_test)]


views = {"SimCLR": features(encoder), "untrained encoder": features(untrained),
         "pixels": features(UnitLength())}
scores = {name: probe(*parts, name) for name, parts in views.items()}
on_z = probe(*features(Sequential(encoder, head)), "the projection z")
means = {name: values.mean(axis=0) for name, values in scores.items()}
n_labels = 10 * np.array(PER_CLASS)
worth = labels_needed(n_labels, means["pixels"], means["SimCLR"][0])

# %% Figure
COLORS = [*OKABE_ITO.values(), "0.5", "#882255"]    # of the digits, which are also written
COLORS[6] = "#999933"                               # yellow is too light for letters


def draw_map(ax, x, title):
    coordinates, share = principal_components(x, 2)
    for (a, b), digit in zip(coordinates, y_test):
        ax.text(a, b, str(digit), color=COLORS[digit], fontsize=9, ha="center", va="center")
    low, high = coordinates.min(axis=0), coordinates.max(axis=0)
    edge = 0.03 * (high - low)
    ax.set(xlim=(low[0] - edge[0], high[0] + edge[0]), ylim=(low[1] - edge[1], high[1] + edge[1]), xticks=[],
           yticks=[], xlabel=f"first component, {100 * share[0]:.0f} % of the variance",
           ylabel=f"second, {100 * share[1]:.0f} %", title=title)
    ax.grid(False)


def draw_scores(ax):
    for (name, values), color, marker in zip(scores.items(), (BLUE, ORANGE, VERMILLION), "osD"):
        line = band(ax, n_labels, 100 * values, color=color, marker=marker, label=name)
    ax.set_xscale("log")
    ax.minorticks_off()
    ax.set(xticks=n_labels, xticklabels=n_labels, xlabel="labels",
           ylabel="test accuracy, %; band: 10 to 90 % of draws",
           title=f"Ten labels are worth {worth:.0f} on pixels" if math.isfinite(worth) else
           f"Ten labels are worth more than {n_labels[-1]} on pixels")
    ax.legend(loc="lower right")


def draw_loss(ax):
    ax.plot(epochs, loss, color=BLUE)
    ax.plot(epochs, chance, linestyle="--", color=BLACK, lw=1.3)
    ax.plot(0, at_first, "o", color=BLUE, clip_on=False)
    ax.annotate("chance, ln(2B $-$ 1)", (epochs[-1], chance[-1]), (0, -6), textcoords="offset points",
                ha="right", va="top")
    ax.set(xlabel="epoch", ylabel="NT-Xent, nats", xlim=(0, EPOCHS),
           title="Not stuck: a loss near the log of the batch")


def draw_quality(ax):
    for values, text, color in ((apart, "alignment: views of one image", GREEN),
                                (spread, "uniformity: all images", ORANGE)):
        ax.plot(epochs, values, color=color)
        ax.annotate(text, (epochs[-1], values[-1]), (0, 8), textcoords="offset points", ha="right", va="bottom",
                    color=color)
    ax.axhline(0, linestyle="--", color=BLACK, lw=1.3)
    ax.set(xlabel="epoch", ylabel="squared length; log of the mean kernel", xlim=(0, EPOCHS),
           title="First all apart, then each pair together")


figure = plt.figure(figsize=(14, 9.6))
figure.suptitle(f"With one label for each digit, {100 * means['SimCLR'][0]:.0f} % right on features that were "
                f"learned without labels, {100 * means['pixels'][0]:.0f} % on pixels")
upper, lower = figure.subfigures(2, 1, height_ratios=[1.15, 1])
maps = upper.subplots(1, 2)
draw_map(maps[0], views["pixels"][1], "Test images, by their pixels")
draw_map(maps[1], views["SimCLR"][1], "Test images, by features that no label has shaped")
for ax, draw in zip(lower.subplots(1, 3), (draw_scores, draw_loss, draw_quality)):
    draw(ax)

# %% Claims
ENOUGH, LEAD = (0.7, 0.1) if demo.quick else (0.83, 0.2)
for name, values in means.items():
    demo.record(f"accuracy: {name}", values, "labels: " + " ".join(map(str, n_labels)))
demo.record("accuracy: z instead of h", on_z.mean(axis=0))
demo.record("labels on pixels that ten on features are worth", worth)
demo.record("loss before, after, chance", [at_first, loss[-1], chance[-1]], "nats")
demo.record("alignment, uniformity after the first epoch", [apart[0], spread[0]])
demo.record("alignment, uniformity after the last", [apart[-1], spread[-1]])
demo.claim("before training the loss is that of chance, ln(2B - 1) (distance, nats)",
           abs(at_first - math.log(2 * BATCH - 1)), at_most=0.1)
demo.claim("it falls below chance (by, nats)", chance[-1] - loss[-1], at_least=0.5)
demo.claim("the images are spread (fall of uniformity)", spread[0] - spread[-1], above=0)
demo.claim(f"with one label per digit a linear probe is right on unseen images (mean of {DRAWS} draws)",
           means["SimCLR"][0], at_least=ENOUGH)
demo.claim("that is more than on pixels (by)", means["SimCLR"][0] - means["pixels"][0], at_least=LEAD)
demo.claim("and more than on an encoder that has learned nothing (by)",
           means["SimCLR"][0] - means["untrained encoder"][0], at_least=LEAD)
if not demo.quick:
    demo.claim("and for any number of labels (least lead over pixels)",
               (means["SimCLR"] - means["pixels"]).min(), above=0)
demo.claim("ten labels on features are worth many on pixels", min(worth, n_labels[-1]),
           at_least=15 if demo.quick else 50)
demo.finish(figure)
