"""How much can ten labels teach a model that has seen a thousand images without labels?

MATH5836 week 10, section 10.3.2; Chen et al. 2020. An encoder is trained on seven tenths of the images, without
labels: for each of the 512 views in a batch, it must find the other view of the same image. Then a linear probe
learns from a few labels, at first one for each class, on the features h of the frozen encoder. All numbers are
measured on the remaining images, which take no part in training.

You will see the test images on the two principal components of their features; the test accuracy against the
number of labels, on pixels, on an untrained encoder and on the trained one; and the loss beside chance, ln(2B - 1).

With --data the images are others. A rule (demos/_pretraining.py) chooses the moves that keep the class: a turned
digit is the same digit. Hardly any move keeps the class of a photo of clothes. So its views differ by noise, which
teaches little, and features that ignore details cannot tell a shirt from a coat. There, pixels are as good.

Predict first: with one label for each class, how many of a hundred new images does a linear probe on pixels get
right? And one on features that were learned without labels? The loss will end near 5, a little below ln 511 = 6.2:
is training stuck?
"""
# %% Constants
import math

import matplotlib.pyplot as plt
import numpy as np
from _pretraining import choose_view, epochs_for, rate_for
from common import BLUE, start
from panels import curve, reference, scatter, scores

from tinyml import Tensor
from tinyml.data import train_test_split
from tinyml.nn import Sequential
from tinyml.optim import Adam, LambdaLR, cosine_decay
from tinyml.selfsupervised.contrastive import alignment, nt_xent, uniformity
from tinyml.selfsupervised.downstream import UnitLength, extract_features, linear_probe
from tinyml.selfsupervised.label_efficiency import draw_labels, labels_needed
from tinyml.selfsupervised.simclr import (
    mlp_encoder,
    principal_components,
    projection_head,
    train_simclr,
)
from tinyml.train import accuracy, predict

demo = start(__file__, __doc__, data=("digits", "clothes", "mnist", "fashion-mnist"))
X, y = demo.load()
ENCODER = (X.shape[1], 256, 256, 128)       # pixels to h
HEAD = (128, 64)                            # h to z: a linear head is enough here
TEMPERATURE = 0.7                           # at 0.3, images of one class repel each other too much
EPOCHS = 30 if demo.quick else 300          # for digits; see epochs_for
BATCH, LR = 256, 3e-3                       # images; of Adam for digits (see rate_for), down to 0 on a cosine
PER_CLASS = (1, 10) if demo.quick else (1, 2, 5, 10, 20, 50)
DRAWS = 8 if demo.quick else 20             # of labels, the same for all features
L2 = 1e-3                                   # of the probe
CHANCE = math.log(2 * BATCH - 1)            # the loss of equal embeddings

# %% Data: the test images are put aside before anything else
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.3, rng=demo.rng, stratify=y)
EPOCHS = epochs_for(X_train, EPOCHS)
VIEW, moves = choose_view(X_train, y_train)
demo.record("moves that keep the class", ", ".join(moves) or "none")

# %% Model: features are h = f(x); the loss sees z = g(h)
encoder, head = mlp_encoder(*ENCODER, rng=demo.rng), projection_head(*HEAD, rng=demo.rng)
untrained = mlp_encoder(*ENCODER, rng=demo.rng)
model = Sequential(encoder, head)


# %% Before training, the loss of a batch is that of chance
def embeddings(model, X):
    """z of two views of each image."""
    return [Tensor(predict(model, VIEW(X, demo.rng))) for _ in range(2)]


at_first = nt_xent(*embeddings(model, X_train[:BATCH]), temperature=TEMPERATURE).item()
demo.claim("the loss is above ln(2B - 1) - 2/T, as two cosines differ by 2 at most (distance, nats)",
           at_first - CHANCE + 2 / TEMPERATURE, above=0)
demo.finding("before training the loss is that of chance, ln(2B - 1) (distance, nats)",
             abs(at_first - CHANCE), at_most=0.1,
             why="Where views differ by noise alone, the two views of an image are alike before any training.")

# %% Train without labels
quality = {"alignment": lambda model: alignment(*embeddings(model, X_train[:BATCH])).item(),
           "uniformity": lambda model: uniformity(embeddings(model, X_train[:BATCH])[0]).item()}
optimizer = Adam(model.parameters(), lr=rate_for(X_train, LR))
n_steps = EPOCHS * math.ceil(len(X_train) / BATCH)
history = train_simclr(encoder, head, X_train, view=VIEW, temperature=TEMPERATURE, rng=demo.rng,
                       optimizer=optimizer, epochs=EPOCHS, batch_size=BATCH, metrics=quality,
                       schedule=LambdaLR(optimizer, lambda t: cosine_decay(t, n_steps)))
loss = [row["loss"] for row in history]
first, last = history[0], history[-1]

# %% The loss falls only a little below chance, but different images now repel each other
demo.record("loss before, after, chance", [at_first, loss[-1], CHANCE], "nats")
for name in quality:
    demo.record(f"{name} after the first and the last epoch", [first[name], last[name]])
demo.finding("the loss falls below chance (by, nats)", CHANCE - loss[-1], at_least=0.5,
             why="If the batch holds many images that are nearly equal, no encoder can tell them apart.")
demo.finding("the embeddings spread over the sphere (fall of uniformity)",
             first["uniformity"] - last["uniformity"], above=0,
             why="Where images differ much, random weights spread them already.")


# %% Probe with a few labels
def probe(train, test, label):
    """Test accuracies (DRAWS, len(PER_CLASS)) of linear probes on DRAWS choices of labelled images."""
    result = np.empty((DRAWS, len(PER_CLASS)))
    for i, rng in enumerate(demo.progress(np.random.default_rng(demo.seed).spawn(DRAWS), label)):
        for j, per_class in enumerate(PER_CLASS):
            rows = draw_labels(y_train, per_class, rng=rng)
            linear = linear_probe(train[rows], y_train[rows], l2=L2, tolerance=1e-3)
            result[i, j] = accuracy(linear, test, y_test)
    return result


def features(model):
    return [extract_features(model, x, unit_length=True) for x in (X_train, X_test)]


views = {"SimCLR": features(encoder), "untrained encoder": features(untrained), "pixels": features(UnitLength())}
accuracies = {name: probe(*parts, name) for name, parts in views.items()}
n_labels = 10 * np.array(PER_CLASS)
means = {name: values.mean(axis=0) for name, values in accuracies.items()}
ours, ten_labels = means["SimCLR"], {name: values[0] for name, values in means.items()}

# %% Features that were learned without labels need far fewer labels than pixels
ENOUGH, LEAD = (0.7, 0.1) if demo.quick else (0.83, 0.2)
for name, values in means.items():
    demo.record(f"accuracy: {name}", values, "labels: " + " ".join(map(str, n_labels)))
FEW_MOVES = ("Moves that keep the class teach what to ignore. For clothes hardly any move does, so the views differ "
             "by noise, and ignoring noise helps little.")
demo.finding(f"with ten labels, a probe on SimCLR features is right on most unseen images (mean of {DRAWS} draws)",
             ten_labels["SimCLR"], at_least=ENOUGH,
             why="Whatever the method, one image tells little about a class whose images differ much.")
demo.finding("with ten labels, a probe on SimCLR features beats one on pixels (lead)",
             ours[0] - ten_labels["pixels"], at_least=LEAD, why=FEW_MOVES)
demo.finding("with ten labels, a probe on SimCLR features beats one on an untrained encoder (lead)",
             ours[0] - ten_labels["untrained encoder"], at_least=LEAD, why=FEW_MOVES)
if not demo.quick:
    demo.finding("SimCLR features beat pixels for any number of labels (smallest lead)",
                 (ours - means["pixels"]).min(), above=0,
                 why="With many labels a probe can use details, which features that ignore views have lost.")

# %% How many labels on pixels are ten labels on features worth?
worth = labels_needed(n_labels, means["pixels"], ours[0])
demo.record("labels on pixels that ten on features are worth", worth)
demo.finding("ten labels on features are worth many on pixels", min(worth, n_labels[-1]),
             at_least=15 if demo.quick else 50, why=FEW_MOVES)

# %% The loss sees z; is h better? The paper's answer is yes; with few labels and these views it need not be
demo.record("accuracy: z instead of h", probe(*features(model), "the projection z").mean(axis=0))

# %% Figure
coordinates, share = principal_components(views["SimCLR"][1], 2)
figure, (left, middle, right) = plt.subplots(1, 3, figsize=(17, 5.8), width_ratios=[1.2, 1, 1])
figure.suptitle(f"{demo.data}: with one label for each class, a linear probe gets {100 * ours[0]:.0f} % right "
                f"on features learned without labels, {100 * ten_labels['pixels']:.0f} % on pixels")
scatter(left, coordinates, y_test, title="Test images by their features: no label was used",
        xlabel=f"first principal component, {100 * share[0]:.0f} % of the variance",
        ylabel=f"second principal component, {100 * share[1]:.0f} %")
scores(middle, n_labels, accuracies, xlabel="number of labels", ylabel="test accuracy in %, band: 80 % of the draws",
       title="Accuracy of a linear probe")
curve(right, range(1, EPOCHS + 1), loss, color=BLUE)
reference(right, CHANCE, "chance, ln(2B $-$ 1)", x=0.4)
right.set(xlabel="epoch", ylabel="NT-Xent in nats", xlim=(0, EPOCHS), ylim=(None, CHANCE + 0.15),
          title="A loss near chance is not a failure")
demo.finish(figure, small=left)
