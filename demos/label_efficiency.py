"""How many labels can images without labels replace?

MATH5836 week 10, section 10.3, remark 10.3.1. Four encoders learn from many images without
labels: MAE restores hidden patches, SimCLR and MoCo tell images apart, BYOL predicts its own
slow copy. Then they get labels, for 1 % of the images (one per class, for digits) up to all. A linear probe
uses frozen features; fine-tuning also moves the encoder. The baselines are raw pixels, the same
networks untrained (one for MAE, which is a transformer, and one for the other three), and one that
learns from the labels alone. The test images are used for the accuracy only.

You will see the accuracy against the number of labels, median and band over draws of the
labelled images, the same draws for all; and how many labels pixels need to be as good as the
best features with ten. That number varies with the draws and with the pre-training:
demos/simclr.py, which makes other choices, finds another.

With --data the images are others. How many labels can be saved is no property of the methods: it
depends on what the views may change. A digit may be turned and moved. A garment in a catalogue
always hangs in one way, and to ignore noise, which is left, saves hardly a label.

Predict first: how accurate is a probe on pixels with ten labels, one per class? Where do the
curves meet? With the fewest labels, does fine-tuning help or harm?
"""
# %% Constants
import math

import matplotlib.pyplot as plt
import numpy as np
from _pretraining import choose_view, epochs_for, rate_for
from common import BLACK, start
from panels import scores

from tinyml import Tensor, nn
from tinyml import functional as F
from tinyml.data import train_test_split
from tinyml.optim import Adam, LambdaLR, cosine_decay, linear_warmup
from tinyml.selfsupervised.byol import BYOL, train_byol
from tinyml.selfsupervised.downstream import UnitLength, extract_features, fine_tune, linear_probe
from tinyml.selfsupervised.label_efficiency import label_efficiency, labels_needed
from tinyml.selfsupervised.masked_patches import MaskedAutoencoder, masked_patch_loss, patchify
from tinyml.selfsupervised.moco import MoCo, train_moco
from tinyml.selfsupervised.simclr import mlp_encoder, projection_head, train_simclr
from tinyml.train import accuracy, fit

demo = start(__file__, __doc__, data=("digits", "clothes", "mnist", "fashion-mnist"))
X, y = demo.load()
SIDE = round(X.shape[1] ** 0.5)
SIZE = -(-SIDE // 4)                                  # of a patch: 4 x 4 patches hold an image
ENCODER = (X.shape[1], 128, 64) if demo.quick else (X.shape[1], 256, 256, 128)    # to features
EMBEDDING = 64                                        # size of what the losses act on
WIDTH, LAYERS = (16, 1) if demo.quick else (48, 2)    # of the transformer for patches
EPOCHS = {"MAE": 2, "SimCLR": 30, "MoCo": 8, "BYOL": 4} if demo.quick else {
    "MAE": 80, "SimCLR": 160, "MoCo": 60, "BYOL": 40}  # for digits; see epochs_for, rate_for
PROBED = (0.01, 0.1, 1) if demo.quick else (0.01, 0.03, 0.1, 0.3, 1)    # of the labels
TUNED = (0.01, 1) if demo.quick else (0.01, 0.1, 1)
DRAWS, TUNED_DRAWS = (4, 1) if demo.quick else (12, 3)
L2 = 1e-4                                             # penalty of the probe
BATCH, STEPS = 64, (10 if demo.quick else 75)        # of fine-tuning, for any number of labels
RATES = dict(encoder_lr=3e-4, head_lr=3e-3)           # its learning rates
SCRATCH_RATES, SCRATCH_STEPS = dict(encoder_lr=3e-3, head_lr=3e-3), (80 if demo.quick else 300)
ENOUGH, FACTOR = (0.6, 1) if demo.quick else (0.83, 5)   # what is expected of ten labels

# %% Data: the test images are set aside first
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.3, rng=demo.rng, stratify=y)
VIEW, moves = choose_view(X_train, y_train)
demo.record("moves that keep the class", ", ".join(moves) or "none")


# %% Pre-training: Adam, a warm-up over 5 % of the steps, then a cosine down to 0
def plan(parameters, epochs, batch_size, lr):
    optimizer, n_steps = Adam(parameters, lr=lr), epochs * math.ceil(len(X_train) / batch_size)

    def rate(t):
        return linear_warmup(t, max(1, n_steps // 20)) * cosine_decay(t, n_steps)
    return dict(optimizer=optimizer, schedule=LambdaLR(optimizer, rate), epochs=epochs,
                batch_size=batch_size)


# %% MAE: restore hidden patches
def patches(x):
    """Images as 4 x 4 patches, in units of the pixels' standard deviation; margins are background."""
    margin = 4 * SIZE - SIDE
    framed = np.pad(x.reshape(-1, SIDE, SIDE), ((0, 0), (0, margin), (0, margin)))
    return patchify((framed - X_train.mean()) / X_train.std(), SIZE)


class Patches(nn.Module):
    """Images to the features of their patches."""

    def __init__(self, mae):
        self.mae = mae

    def forward(self, x):
        return self.mae(patches(x.data))


def autoencoder(rng):
    return MaskedAutoencoder(16, SIZE ** 2, d_model=WIDTH, num_layers=LAYERS, decoder_dim=32,
                             decoder_layers=1, nhead=4, rng=rng)


def mae(epochs, rng):
    model = autoencoder(rng)

    def loss_of(model, x):
        return masked_patch_loss(model, patches(x), mask_ratio=0.75, rng=rng)
    fit(model, X_train, loss_of=loss_of, rng=rng, label="MAE",
        **plan(model.parameters(), epochs, 64, 3e-3))
    return Patches(model)


# %% SimCLR: find the other view of an image among those of the batch
def simclr(epochs, rng):
    encoder = mlp_encoder(*ENCODER, rng=rng)
    head = projection_head(ENCODER[-1], EMBEDDING, rng=rng)
    train_simclr(encoder, head, X_train, view=VIEW, temperature=0.7, rng=rng,
                 **plan([*encoder.parameters(), *head.parameters()], epochs, 256, rate_for(X_train, 3e-3)))
    return encoder


# %% MoCo: find it among a queue of earlier images
def moco(epochs, rng):
    encoder = mlp_encoder(*ENCODER, rng=rng)
    query = nn.Sequential(encoder, projection_head(ENCODER[-1], EMBEDDING, rng=rng))
    train_moco(MoCo(query, queue_size=1024, momentum=0.99, temperature=0.7), X_train, view=VIEW,
               rng=rng,
               label="MoCo", **plan(query.parameters(), epochs, 128, rate_for(X_train, 2e-3)))
    return encoder


# %% BYOL: predict the output of a slow copy
def byol(epochs, rng):
    def head(n_in):
        return nn.Sequential(nn.Linear(n_in, 128, rng=rng), nn.BatchNorm1d(128), nn.ReLU(),
                             nn.Linear(128, EMBEDDING, rng=rng))
    encoder = mlp_encoder(*ENCODER, rng=rng)
    model = BYOL(nn.Sequential(encoder, head(ENCODER[-1])), head(EMBEDDING), base=0.97,
                 n_steps=epochs * math.ceil(len(X_train) / 128))
    train_byol(model, X_train, view=VIEW, rng=rng, label="BYOL",
               **plan(model.model.parameters(), epochs, 128, rate_for(X_train, 2e-3)))
    return encoder


# %% Four encoders that have seen no label, the two networks untrained, and no encoder at all
PRETEXTS = {"MAE": mae, "SimCLR": simclr, "MoCo": moco, "BYOL": byol}
rngs = demo.rng.spawn(len(PRETEXTS))
encoders = {name: PRETEXTS[name](epochs_for(X_train, EPOCHS[name]), rng) for name, rng in zip(PRETEXTS, rngs)}
encoders |= {"untrained": mlp_encoder(*ENCODER, rng=demo.rng), "pixels": nn.Sequential(),
             "untrained MAE": Patches(autoencoder(demo.rng))}
bodies = {}
for name, encoder in encoders.items():
    center = extract_features(encoder, X_train).mean(axis=0)
    bodies[name] = nn.Sequential(encoder, UnitLength(center))


# %% Experiment 1: a linear probe on frozen features
def probe_scores(body):
    """Test accuracies, shape (DRAWS, len(PROBED))."""
    train, test = extract_features(body, X_train), extract_features(body, X_test)

    def score(rows, rng):
        head = linear_probe(train[rows], y_train[rows], l2=L2, tolerance=1e-3)
        return accuracy(head, test, y_test)
    return label_efficiency(score, y_train, PROBED, draws=DRAWS,
                            rng=np.random.default_rng(demo.seed))


probed = {name: probe_scores(body) for name, body in demo.progress(bodies.items(), "probes")}


# %% What do ten labels give, and how many would pixels need for the same?
# Views of one digit have similar features, so one label serves many: the features beat pixels.
def label_counts(fractions):
    sizes = np.bincount(y_train)
    return np.array([sum(max(1, round(fraction * size)) for size in sizes)
                     for fraction in fractions])


n_probed = label_counts(PROBED)
medians = {name: np.median(values, axis=0) for name, values in probed.items()}
best = max(PRETEXTS, key=lambda name: medians[name][0])
level = medians[best][0]
pixels_need = labels_needed(n_probed, medians["pixels"], level)
for name, values in medians.items():
    demo.record(f"probe on {name}: median accuracy", values,
                "labels: " + " ".join(map(str, n_probed)))
demo.record(f"labels that pixels need for the accuracy of {best} with {n_probed[0]}", pixels_need)
VIEWS = ("What the views may change decides it: where no move keeps the class, as for clothes, features "
         "learn to ignore noise only.")
demo.finding("with the fewest labels the best features, learned without labels, beat pixels (lead of the medians)",
             level - medians["pixels"][0], above=0, why=VIEWS)
if not demo.quick:
    gains = {name: medians[name][0] - medians["untrained MAE" if name == "MAE" else "untrained"][0]
             for name in PRETEXTS}
    demo.record("probe with the fewest labels: lead over the same network untrained", list(gains.values()))
    demo.finding("every pretext gives better features than its network has untrained (least lead, fewest labels)",
                 min(gains.values()), above=0,
                 why="Where an untrained network shows the class as well as pixels do, training has "
                     "little to add.")
demo.finding("the fewest labels are enough for the best features (median accuracy)", level,
             at_least=ENOUGH,
             why="Whatever the method, one image tells little of a class whose images differ much.")
demo.finding("the fewest labels are too few for pixels (median accuracy)", medians["pixels"][0], at_most=0.75,
             why="Where the images of a class are nearly alike, pixels are enough.")
demo.finding("for the accuracy of the best features with the fewest, pixels need many more labels (ratio)",
             min(pixels_need, n_probed[-1]) / n_probed[0], at_least=FACTOR, why=VIEWS)


# %% Experiment 2: fine-tuning, and learning from labels alone, both with views
def tune(encoder, head, rows, rng, rates, steps):
    """The test accuracy after `steps` steps on the labelled rows."""
    size = min(BATCH, len(rows))
    epochs = round(steps / math.ceil(len(rows) / size))

    def loss_of(model, x, y):
        return F.cross_entropy(model(Tensor(VIEW(x, rng))), y)
    model = fine_tune(encoder, head, X_train[rows], y_train[rows], epochs=epochs, batch_size=size,
                      rng=rng,
                      loss_of=loss_of, **rates)
    return accuracy(model, X_test, y_test)


def tuned_scores(score):
    """Test accuracies, shape (TUNED_DRAWS, len(TUNED))."""
    return label_efficiency(score, y_train, TUNED, draws=TUNED_DRAWS,
                            rng=np.random.default_rng(demo.seed))


# %% ... which start from a linear probe, or at random
def from_probe(body):
    train = extract_features(body, X_train)

    def score(rows, rng):
        head = linear_probe(train[rows], y_train[rows], l2=L2, tolerance=1e-3)
        return tune(body, head, rows, rng, RATES, STEPS)
    return score


def from_labels_alone(rows, rng):
    encoder, head = mlp_encoder(*ENCODER, rng=rng), nn.Linear(ENCODER[-1], 10, rng=rng)
    return tune(encoder, head, rows, rng, SCRATCH_RATES, SCRATCH_STEPS)


tuned = {name: tuned_scores(from_probe(bodies[name]))
         for name in demo.progress(list(PRETEXTS), "fine-tuning")}
tuned["labels alone"] = tuned_scores(from_labels_alone)

# %% Do labels alone catch up, and what is lost with all labels?
n_tuned = label_counts(TUNED)
tuned_medians = {name: np.median(values, axis=0) for name, values in tuned.items()}
alone_need = labels_needed(n_tuned, tuned_medians["labels alone"], level)
with_all = [medians[name][-1] for name in PRETEXTS]
with_all += [tuned_medians[name][-1] for name in PRETEXTS]
for name, values in tuned_medians.items():
    demo.record(f"fine-tuned, {name}: median accuracy", values,
                "labels: " + " ".join(map(str, n_tuned)))
demo.record(f"labels that a network needs without pre-training for the accuracy of {best}",
            alone_need)
demo.claim("with the same draws for all, more labels were drawn at each step (least ratio)",
           (n_probed[1:] / n_probed[:-1]).min(), above=1)
demo.finding("for the same accuracy, a network that learns from labels alone needs more of them (ratio)",
             min(alone_need, n_tuned[-1]) / n_tuned[0], above=1,
             why="It sees views of its few images too, and these may teach as much as many images do.")
demo.finding("with all labels, the best features are no worse than pixels (difference of medians)",
             max(with_all) - medians["pixels"][-1], above=-0.03 if demo.quick else -0.01,
             why="Features that ignore details lose what many labels could use.")

# %% Figure
figure, (left, right) = plt.subplots(1, 2, figsize=(14, 6), sharey=True)
as_many = f"{pixels_need:.0f}" if math.isfinite(pixels_need) else "no number of"
figure.suptitle(f"{demo.data}: a probe with {n_probed[0]} labels on {best} features is {100 * level:.0f} % "
                f"accurate: on pixels that takes {as_many} labels")
scores(left, n_probed, probed, xlabel="labels", ylim=(25, 100),
       title="A linear probe on frozen features")
scores(right, n_tuned, tuned, ticks=n_probed, xlabel="labels",
       title="Encoder and head fine-tuned, with views")
if math.isfinite(pixels_need):
    left.annotate("", (pixels_need, 100 * level), (n_probed[0], 100 * level),
                  arrowprops=dict(arrowstyle="<->", color=BLACK, linewidth=1.5))
demo.finish(figure)
