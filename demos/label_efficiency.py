"""How many labels are a thousand unlabelled images worth?

MATH5836 week 10, section 10.3, remark 10.3.1. Four encoders look at 1,257 digits without any label: one restores
hidden patches (MAE), two tell images apart (SimCLR, MoCo), one predicts itself (BYOL). Then come labels, from 1 % of
the images (one per digit) up to all. They are used in two ways: a linear probe on frozen features, and fine-tuning
of encoder and head. Beside them: raw pixels, an encoder that has learned nothing, and one that learns from the
labels alone, with the same views of the images. The 540 test images take no part in any of this.

You will see accuracy against the number of labels, median and band over draws of the labelled images, the same
draws for all; and how many labels others need to be as good as the best features with ten.

Predict first: ten labels, one per digit: what do pixels make of them? At how many labels do the curves meet? And
does fine-tuning help or harm where labels are fewest?
"""
# %% Constants
import functools
import math

import matplotlib.pyplot as plt
import numpy as np
from common import BLACK, BLUE, GREEN, ORANGE, PURPLE, VERMILLION, band, start

from tinyml import Tensor, nn
from tinyml import functional as F
from tinyml.data import digits, train_test_split
from tinyml.optim import Adam, LambdaLR, cosine_decay, linear_warmup
from tinyml.selfsupervised.augmentations import add_noise, compose, random_affine
from tinyml.selfsupervised.byol import BYOL, train_byol
from tinyml.selfsupervised.downstream import UnitLength, extract_features, fine_tune, linear_probe
from tinyml.selfsupervised.label_efficiency import label_efficiency, labels_needed
from tinyml.selfsupervised.masked_patches import MaskedAutoencoder, masked_patch_loss, patchify
from tinyml.selfsupervised.moco import MoCo, train_moco
from tinyml.selfsupervised.simclr import mlp_encoder, projection_head, train_simclr
from tinyml.train import accuracy, fit

demo = start(__file__, __doc__)
ENCODER = (64, 128, 64) if demo.quick else (64, 256, 256, 128)    # pixels to features
EMBEDDING = 64                                  # size D of what the losses act on
WIDTH, LAYERS = (16, 1) if demo.quick else (48, 2)    # of the transformer, 16 patches of 2 x 2 pixels to features
EPOCHS = {"MAE": 2, "SimCLR": 30, "MoCo": 8, "BYOL": 4} if demo.quick else {
    "MAE": 80, "SimCLR": 300, "MoCo": 120, "BYOL": 80}
VIEW = compose(random_affine(rotate=0.35, scale=0.2, shear=0.3, shift=0.5), add_noise(0.2))
FRACTIONS = (0.01, 0.1, 1) if demo.quick else (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1)    # of the labels, probed
TUNED = (0.01, 1) if demo.quick else (0.01, 0.05, 0.2, 1)                             # and fine-tuned
DRAWS, TUNED_DRAWS = (4, 1) if demo.quick else (20, 3)
L2 = 1e-4                                       # of the probe, on features of unit length
BATCH, STEPS = 64, (10 if demo.quick else 150)    # of fine-tuning, whatever the number of labels
RATES = dict(encoder_lr=3e-4, head_lr=3e-3)     # its rates
SCRATCH = dict.fromkeys(RATES, 3e-3), (80 if demo.quick else 600)    # from labels alone: rates and steps

# %% Data: the test images are put aside before anything else
X, y = digits()
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.3, rng=demo.rng, stratify=y)


# %% Pretexts: images without labels to an encoder
def scheduled(parameters, epochs, batch_size, lr):
    """Adam, a warm-up over 5 % of all steps, and a cosine from lr down to 0."""
    optimizer, n_steps = Adam(parameters, lr=lr), epochs * math.ceil(len(X_train) / batch_size)
    rate = lambda t: linear_warmup(t, max(1, n_steps // 20)) * cosine_decay(t, n_steps)
    return dict(optimizer=optimizer, schedule=LambdaLR(optimizer, rate), epochs=epochs, batch_size=batch_size)


def patches(x):
    """(N, 64) as 16 patches of 2 x 2 pixels, whose ink varies as much as positions do."""
    return patchify((x.reshape(-1, 8, 8) - X_train.mean()) / X_train.std(), 2)


class Patches(nn.Module):
    """(N, 64) to the features of its patches."""

    def __init__(self, mae):
        self.mae = mae

    def forward(self, x):
        return self.mae(patches(x.data))


def mae(epochs, rng):
    model = MaskedAutoencoder(16, 4, d_model=WIDTH, num_layers=LAYERS, decoder_dim=32, decoder_layers=1, nhead=4,
                              rng=rng)

    def loss_of(model, x):
        return masked_patch_loss(model, patches(x), mask_ratio=0.75, rng=rng)
    fit(model, X_train, loss_of=loss_of, rng=rng, label="MAE", **scheduled(model.parameters(), epochs, 64, 3e-3))
    return Patches(model)


def simclr(epochs, rng):
    encoder, head = mlp_encoder(*ENCODER, rng=rng), projection_head(ENCODER[-1], EMBEDDING, rng=rng)
    train_simclr(encoder, head, X_train, view=VIEW, temperature=0.7, rng=rng,
                 **scheduled([*encoder.parameters(), *head.parameters()], epochs, 256, 3e-3))
    return encoder


def moco(epochs, rng):
    encoder = mlp_encoder(*ENCODER, rng=rng)
    query = nn.Sequential(encoder, projection_head(ENCODER[-1], EMBEDDING, rng=rng))
    train_moco(MoCo(query, queue_size=1024, momentum=0.99, temperature=0.7), X_train, view=VIEW, rng=rng,
               label="MoCo", **scheduled(query.parameters(), epochs, 128, 2e-3))
    return encoder


def byol(epochs, rng):
    def head(n_in):
        return nn.Sequential(nn.Linear(n_in, 128, rng=rng), nn.BatchNorm1d(128), nn.ReLU(),
                             nn.Linear(128, EMBEDDING, rng=rng))
    encoder = mlp_encoder(*ENCODER, rng=rng)
    model = BYOL(nn.Sequential(encoder, head(ENCODER[-1])), head(EMBEDDING), base=0.97,
                 n_steps=epochs * math.ceil(len(X_train) / 128))
    train_byol(model, X_train, view=VIEW, rng=rng, label="BYOL",
               **scheduled(model.model.parameters(), epochs, 128, 2e-3))
    return encoder


PRETEXTS = {"MAE": mae, "SimCLR": simclr, "MoCo": moco, "BYOL": byol}    # one more is one line, here and in EPOCHS

# %% Experiment: learn without labels, then with few
encoders = {name: pretrain(EPOCHS[name], rng) for (name, pretrain), rng in
            zip(PRETEXTS.items(), demo.rng.spawn(len(PRETEXTS)))}
untrained = mlp_encoder(*ENCODER, rng=demo.rng)


def centred(encoder):
    """The encoder, its features seen from their mean over the images without labels, and scaled to length 1."""
    return nn.Sequential(encoder, UnitLength(extract_features(encoder, X_train).mean(axis=0)))


def probe_scores(body):
    """Test accuracies of linear probes, (DRAWS, len(FRACTIONS))."""
    train, test = (extract_features(body, x) for x in (X_train, X_test))

    @functools.cache                # with all labels every draw is the same
    def probed(rows):
        few = np.array(rows)
        return accuracy(linear_probe(train[few], y_train[few], l2=L2, tolerance=1e-4), test, y_test)

    def score(rows, rng):
        return probed(tuple(np.sort(rows)))
    return label_efficiency(score, y_train, FRACTIONS, draws=DRAWS, rng=np.random.default_rng(demo.seed))


def tune(encoder, head, rows, rng, rates, steps):
    """Fine-tune on the labelled rows, with the same views as in pre-training; the test accuracy."""
    size = min(BATCH, len(rows))
    epochs = round(steps / math.ceil(len(rows) / size))

    def loss_of(model, x, y):
        return F.cross_entropy(model(Tensor(VIEW(x, rng))), y)
    model = fine_tune(encoder, head, X_train[rows], y_train[rows], epochs=epochs, batch_size=size, rng=rng,
                      loss_of=loss_of, **rates)
    return accuracy(model, X_test, y_test)


def tuned_scores(body):
    """Fine-tuned from a linear probe on, (TUNED_DRAWS, len(TUNED))."""
    train = extract_features(body, X_train)

    def score(rows, rng):
        return tune(body, linear_probe(train[rows], y_train[rows], l2=L2), rows, rng, RATES, STEPS)
    return label_efficiency(score, y_train, TUNED, draws=TUNED_DRAWS, rng=np.random.default_rng(demo.seed))


def scratch_scores():
    """From labels alone: the encoder starts at random."""
    def score(rows, rng):
        return tune(mlp_encoder(*ENCODER, rng=rng), nn.Linear(ENCODER[-1], 10, rng=rng), rows, rng, *SCRATCH)
    return label_efficiency(score, y_train, TUNED, draws=TUNED_DRAWS, rng=np.random.default_rng(demo.seed))


bodies = {name: centred(encoder) for name, encoder in encoders.items()}
others = {"pixels": centred(nn.Sequential()), "untrained": centred(untrained)}
probed = {name: probe_scores(body) for name, body in {**others, **bodies}.items()}
tuned = {"labels alone": scratch_scores(),
         **{name: tuned_scores(body) for name, body in demo.progress(bodies.items(), "fine-tuning")}}


def counts(fractions):
    return np.array([sum(max(1, round(f * n)) for n in np.bincount(y_train)) for f in fractions])


n_probed, n_tuned = counts(FRACTIONS), counts(TUNED)
means = {name: values.mean(axis=0) for name, values in probed.items()}
tuned_means = {name: values.mean(axis=0) for name, values in tuned.items()}
best = max(PRETEXTS, key=lambda name: means[name][0])
worth = {"pixels": labels_needed(n_probed, means["pixels"], means[best][0]),
         "labels alone": labels_needed(n_tuned, tuned_means["labels alone"], means[best][0])}

# %% Figure
LOOKS = {"pixels": ("0.45", "x", ":"), "untrained": ("0.65", "+", ":"), "labels alone": (BLACK, "X", "--"),
         "MAE": (ORANGE, "^", "-"), "SimCLR": (BLUE, "o", "-"), "MoCo": (GREEN, "s", "-"), "BYOL": (PURPLE, "D", "-")}


def draw(ax, n_labels, scores):
    for name, values in scores.items():
        color, marker, style = LOOKS[name]
        band(ax, n_labels, 100 * values, color=color, marker=marker, linestyle=style, label=name)
    ax.set_xscale("log")
    ax.minorticks_off()
    ax.set(xticks=n_probed, xticklabels=n_probed, xlabel="labels", ylim=(35, 100))
    ax.legend(loc="lower right")


figure, axes = plt.subplots(1, 2, figsize=(14, 6.2), sharey=True)
few = n_probed[0]
figure.suptitle(f"{few} labels on {best} features, learned without any, name {100 * means[best][0]:.0f} % of new "
                "digits: as many as " + (f"{worth['pixels']:.0f}" if math.isfinite(worth["pixels"]) else "no number of")
                + " labels on pixels")
draw(axes[0], n_probed, probed)
axes[0].set(ylabel="test accuracy, %", title="A linear probe on frozen features")
if math.isfinite(worth["pixels"]):
    level = 100 * means[best][0]
    axes[0].annotate("", (worth["pixels"], level), (n_probed[0], level),
                     arrowprops=dict(arrowstyle="<->", color=VERMILLION, lw=1.5))
    axes[0].text(math.sqrt(few * worth["pixels"]), level + 0.7, f"{worth['pixels'] / few:.0f} times as many",
                 color=VERMILLION, ha="center", va="bottom",
                 bbox=dict(facecolor="white", alpha=0.8, edgecolor="none", pad=1))
draw(axes[1], n_tuned, tuned)
axes[1].set(title="Encoder and head fine-tuned, with views")

# %% Claims
ENOUGH, FACTOR = (0.6, 1) if demo.quick else (0.83, 5)
for name, values in means.items():
    demo.record(f"probe on {name}: mean accuracy", values, "labels: " + " ".join(map(str, n_probed)))
for name, values in tuned_means.items():
    demo.record(f"fine-tuned, {name}: mean accuracy", values, "labels: " + " ".join(map(str, n_tuned)))
for name, value in worth.items():
    demo.record(f"labels that {name} need for what {best} does with {few}", value)
demo.claim(f"the best features learned without labels need ten (mean accuracy of {DRAWS} draws, {best})",
           means[best][0], at_least=ENOUGH)
demo.claim("pixels do not get as far with them (mean accuracy)", means["pixels"][0], within=(0.5, 0.75))
demo.claim("so a label is worth many on pixels (ratio)", min(worth["pixels"], n_probed[-1]) / n_probed[0],
           at_least=FACTOR)
demo.claim("and more than one where labels alone teach the whole network, with the same views (ratio)",
           min(worth["labels alone"], n_tuned[-1]) / n_tuned[0], above=1)
demo.claim("with all labels, features learned without any lose nothing (best probe, or fine-tuned, less pixels)",
           max(*(means[name][-1] for name in PRETEXTS), *(tuned_means[name][-1] for name in PRETEXTS))
           - means["pixels"][-1], above=-0.03 if demo.quick else -0.01)
demo.finish(figure)
