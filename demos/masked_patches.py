"""Can an encoder restore three quarters of a digit from the rest, and what is that worth with ten labels?

MATH5836 week 10, section 10.3.1; He, Chen, Xie, Li, Dollar and Girshick 2022 (MAE). Digits of 8 x 8 pixels are
cut into 16 patches, and 12 of them are hidden. An encoder sees the other four; a decoder gets what it makes of
them, and a mask token for each hidden patch. No label is used. Then the decoder is thrown away, the encoder
sees whole images, and a linear probe learns to name its features from very few labels.

You will see test images, which were never seen in training: what is visible of them, what the autoencoder makes
of it, and what the most similar training images make of it; the error on hidden pixels beside simpler guesses;
and the accuracy of the probe on features, on raw pixels and on the features of an untrained encoder.

Predict first: will the restored digits be sharp or blurred, and where? Ten labels, one of each digit: how many
of the test images are named rightly from pixels, and how many more from features?
"""
# %% Constants
import matplotlib.pyplot as plt
import numpy as np
from common import BLACK, BLUE, GREEN, ORANGE, SKY, VERMILLION, start

from tinyml.data import digits, train_test_split
from tinyml.optim import AdamW, LambdaLR, cosine_decay, linear_warmup
from tinyml.selfsupervised.downstream import extract_features, linear_probe
from tinyml.selfsupervised.label_efficiency import draw_labels
from tinyml.selfsupervised.masked_patches import (MaskedAutoencoder, masked_patch_loss, patchify, reconstruct,
                                                  unpatchify)
from tinyml.tensor import no_grad
from tinyml.train import fit, predict

demo = start(__file__, __doc__)
SIZE = 2                                  # pixels along a patch
MASK_RATIO = 0.5 if demo.quick else 0.75
MODEL = dict(d_model=64, num_layers=1 if demo.quick else 2, decoder_dim=32, decoder_layers=1, nhead=4)
STEPS = 350 if demo.quick else 4000
BATCH = 32 if demo.quick else 64
RATE, DECAY = 5e-3 if demo.quick else 3e-3, 0.05                  # of AdamW: warm-up, then a cosine to 0
PER_CLASS = (1,) if demo.quick else (1, 2, 5, 10)    # labels of each digit
DRAWS = 5 if demo.quick else 20           # of which images are labelled
NEAREST = 5                               # training images that are looked up
LEFT = 0.95 if demo.quick else 0.7        # of the mean patch's error, at most
EXAMPLES = 9                              # images in the figure

# %% Data and model
X, y = digits()
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.3, rng=demo.rng, stratify=y)
MEAN, STD = X_train.mean(), X_train.std()    # of all pixels: content must be as large as positions are
cut = lambda X: patchify((X.reshape(-1, 8, 8) - MEAN) / STD, SIZE)
train_patches, test_patches = cut(X_train), cut(X_test)
model = MaskedAutoencoder(*test_patches.shape[1:], **MODEL, rng=demo.rng)


# %% Pre-training
def pretrain(model, patches, rng):
    optimizer = AdamW(model.parameters(), lr=RATE, betas=(0.9, 0.95), weight_decay=DECAY)
    schedule = LambdaLR(optimizer, lambda t: linear_warmup(t, STEPS // 20) * cosine_decay(t, STEPS))
    epochs = round(STEPS / np.ceil(len(patches) / BATCH))

    def loss_of(model, batch):
        return masked_patch_loss(model, batch, mask_ratio=MASK_RATIO, rng=rng)
    fit(model, patches, loss_of=loss_of, optimizer=optimizer, schedule=schedule, epochs=epochs, batch_size=BATCH,
        rng=rng)
    return model


untrained = extract_features(model, train_patches), extract_features(model, test_patches)
pretrain(model, train_patches, demo.rng)
trained = extract_features(model, train_patches), extract_features(model, test_patches)


# %% What was restored
def looked_up(mask):
    """Hidden patches from the mean of the training images that are nearest at the visible ones."""
    guess = np.empty_like(test_patches)
    for i, hidden in enumerate(mask):
        distance = ((train_patches[:, ~hidden] - test_patches[i, ~hidden]) ** 2).sum(axis=(1, 2))
        guess[i] = train_patches[distance.argsort()[:NEAREST]].mean(axis=0)
    return guess


def linear_guess(mask):
    """Hidden pixels as if images were Gaussian: mean_h + C_hv C_vv^-1 (x_v - mean_v), the best linear guess."""
    flat, guess = train_patches.reshape(len(train_patches), -1).astype(float), []
    mean, C = flat.mean(axis=0), np.cov(flat.T) + 1e-3 * np.eye(flat.shape[1])
    for x, hidden in zip(test_patches.reshape(len(mask), -1), mask.repeat(SIZE ** 2, axis=1)):
        v = ~hidden
        guess.append(mean + C[:, v] @ np.linalg.solve(C[np.ix_(v, v)], x[v] - mean[v]))
    return np.reshape(guess, test_patches.shape)


with no_grad():
    restored, mask = reconstruct(model, test_patches, mask_ratio=MASK_RATIO, rng=demo.rng)
guesses = {"autoencoder": restored.data, "nearest images": looked_up(mask), "linear": linear_guess(mask),
           "mean patch": np.broadcast_to(train_patches.mean(axis=0), test_patches.shape)}
errors = {name: STD ** 2 * ((guess - test_patches)[mask] ** 2).mean() for name, guess in guesses.items()}


# %% What it is worth with few labels
def probe(features, rng):
    """Accuracies of linear probes on features (train, test), shape (PER_CLASS, DRAWS)."""
    def score(per_class):
        rows = draw_labels(y_train, per_class, rng=rng)
        head = linear_probe(features[0][rows], y_train[rows], l2=1e-3, tolerance=1e-3)
        return (predict(head, features[1]).argmax(axis=1) == y_test).mean()
    return np.array([[score(per_class) for _ in range(DRAWS)] for per_class in PER_CLASS])


def unit_length(features):
    """Each vector, seen from the mean of the training images, with length 1."""
    centred = [f - features[0].mean(axis=0) for f in features]
    return [f / np.linalg.norm(f, axis=1, keepdims=True) for f in centred]


def mean_of_patches(features):
    return [f.reshape(len(f), test_patches.shape[1], -1).mean(axis=1) for f in features]


seed = demo.rng.integers(2 ** 32)
scores = {name: probe(unit_length(features), np.random.default_rng(seed))    # the same draws for all
          for name, features in (("masked autoencoder", trained), ("raw pixels", (X_train, X_test)),
                                 ("untrained encoder", untrained),
                                 ("mean of its patches", mean_of_patches(trained)),
                                 ("mean, untrained", mean_of_patches(untrained)))}
mae, raw, blank, mean, mean_blank = (values[0].mean() for values in scores.values())


# %% Figure
def draw_images(ax):
    show = lambda patches: MEAN + STD * unpatchify(patches[:EXAMPLES], (8, 8))
    seen = np.where(mask[..., None], np.nan, test_patches)
    fill = lambda name: np.where(mask[..., None], guesses[name], test_patches)
    rows = [np.hstack(np.pad(show(p), ((0, 0), (1, 1), (1, 1)), constant_values=np.nan))
            for p in (seen, fill("autoencoder"), fill("nearest images"), test_patches)]
    ax.imshow(np.vstack(rows), cmap=plt.get_cmap("gray_r").with_extremes(bad="#dceaf5"), vmin=0, vmax=1)
    ax.set(xticks=[], yticks=5 + 10 * np.arange(4), title="Test images, never seen in training",
           yticklabels=["seen", "auto-\nencoder", "nearest\nimages", "truth"])
    ax.tick_params(length=0)
    ax.grid(False)
    ax.spines[:].set_visible(False)


def draw_errors(ax):
    bars = ax.barh(list(errors), list(errors.values()), color=[BLUE, GREEN, ORANGE, VERMILLION], height=0.6)
    ax.bar_label(bars, fmt="%.3f", padding=4)
    ax.invert_yaxis()
    ax.set(xlabel="mean squared error on hidden pixels", xlim=(0, 1.2 * max(errors.values())),
           title="Error of restoring")


def draw_scores(ax):
    x = 10 * np.array(PER_CLASS)
    for (name, values), color, marker in zip(scores.items(), (BLUE, VERMILLION, BLACK, SKY), "osD^"):
        mean, error = 100 * values.mean(axis=1), 100 * values.std(axis=1) / np.sqrt(DRAWS)
        ax.errorbar(x, mean, error, color=color, marker=marker, label=name, capsize=3)
    ax.set_xscale("log")
    ax.minorticks_off()
    ax.set(xlim=(8, 130), xticks=x, xticklabels=x, xlabel="labels in all", ylabel="test accuracy, %",
           title=f"Linear probe, mean of {DRAWS} draws")
    ax.legend(loc="lower right", fontsize=10)


figure = plt.figure(figsize=(15, 7.5))
gain = 1 - errors["autoencoder"] / errors["mean patch"]
figure.suptitle(f"A masked autoencoder removes {100 * gain:.0f} % of the error on hidden patches;\n"
                f"ten labels give {100 * mae:.0f} % on its features, {100 * raw:.0f} % on raw pixels, "
                f"{100 * blank:.0f} % on features before training")
left, right = figure.subfigures(1, 2, width_ratios=[1.6, 1])
draw_images(left.subplots())
for ax, draw in zip(right.subplots(2, 1), (draw_errors, draw_scores)):
    draw(ax)

# %% Claims
for name, error in errors.items():
    demo.record(f"error on hidden pixels: {name}", error, "mean square, ink in 0..1")
for name, values in scores.items():
    demo.record(f"probe on {name}", values.mean(axis=1), "labels per digit: " + " ".join(map(str, PER_CLASS)))
lead = scores["masked autoencoder"] - scores["raw pixels"]
demo.record("lead over raw pixels", lead.mean(axis=1), f"+- {lead[0].std() / np.sqrt(DRAWS):.3f} at ten labels")
demo.claim("it restores hidden patches better than their mean (share of the error that is left)",
           errors["autoencoder"] / errors["mean patch"], at_most=LEFT)
demo.claim("training teaches the encoder what patches say together (mean lead of their mean, ten labels)",
           mean - mean_blank, at_least=0.1)
if not demo.quick:
    demo.claim("it restores better than any linear guess (share of the error that is left)",
               errors["autoencoder"] / errors["linear"], below=1)
    demo.claim("with ten labels its features beat raw pixels (mean lead)", mae - raw, at_least=0.01)
demo.finish(figure)
