"""Can three quarters of an image be restored from the rest, and what are the features worth?

MATH5836 week 10, section 10.3.1; He, Chen, Xie, Li, Dollar and Girshick 2022 (MAE). An image is cut
into 16 patches, and 12 of them are hidden. An encoder sees the other four. A decoder gets their
encodings, and a mask token for each hidden patch. No label is used. Then the decoder is thrown
away, the encoder sees whole images, and a linear probe learns the classes from few labels.

You will see test images: the visible patches, what the autoencoder restores, and the mean of the
most similar training images; the error on hidden pixels beside simpler guesses; and the accuracy
of the probe on features, on raw pixels and on the features of an untrained encoder.

The mean of similar training images restores hidden patches as well, without any training: what
training gives is features. With --data the images are others. On clothes the features beat pixels
by less, and only with the fewest labels: outline and brightness tell the class, and pixels show
both.

Predict first: will the restored images be sharp or blurred, and where? With one label for each
class, how many test images does the probe classify correctly from pixels, and from features?
"""
# %% Constants
import matplotlib.pyplot as plt
import numpy as np
from common import start
from panels import bars, scores, sheet

from tinyml.data import batches, train_test_split
from tinyml.optim import AdamW, LambdaLR, cosine_decay, linear_warmup
from tinyml.selfsupervised.downstream import extract_features, linear_probe
from tinyml.selfsupervised.label_efficiency import draw_labels
from tinyml.selfsupervised.masked_patches import (
    MaskedAutoencoder,
    masked_patch_loss,
    patchify,
    reconstruct,
    unpatchify,
)
from tinyml.tensor import no_grad
from tinyml.train import predict

demo = start(__file__, __doc__, data=("digits", "clothes", "mnist", "fashion-mnist"))
X, y = demo.load()
SIDE = round(X.shape[1] ** 0.5)
SIZE = -(-SIDE // 4)                      # pixels along a patch: 4 x 4 patches hold an image
MASK_RATIO = 0.5 if demo.quick else 0.75
MODEL = dict(d_model=64, num_layers=1 if demo.quick else 2, decoder_dim=32, decoder_layers=1,
             nhead=4)
STEPS = 350 if demo.quick else 2800
BATCH = 32 if demo.quick else 64
LR, DECAY = 5e-3 if demo.quick else 3e-3, 0.05    # of AdamW: warm-up, then a cosine to 0
PER_CLASS = (1,) if demo.quick else (1, 2, 5, 10)    # labels of each class
DRAWS = 5 if demo.quick else 20           # of which images are labelled
NEAREST = 5                               # most similar training images
LEFT = 0.95 if demo.quick else 0.7        # of the mean patch's error, at most
EXAMPLES = 8                              # images in the figure

# %% Data: images with mean 0 and standard deviation 1, as sequences of 16 patches
margin = 4 * SIZE - SIDE    # background, so that patches of 14 x 14 pixels have one size
X = np.pad(X.reshape(-1, SIDE, SIDE), ((0, 0), (0, margin), (0, margin))).reshape(len(X), -1)
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.3, rng=demo.rng, stratify=y)
mean, std = X_train.mean(), X_train.std()    # of all pixels


def patches_of(X):
    standardised = (X - mean) / std
    return patchify(standardised.reshape(-1, 4 * SIZE, 4 * SIZE), SIZE)


train, test = patches_of(X_train), patches_of(X_test)

# %% Model: an encoder of the visible patches, and a small decoder
model = MaskedAutoencoder(*train.shape[1:], **MODEL, rng=demo.rng)
untrained = extract_features(model, train), extract_features(model, test)

# %% Pre-training: hide patches anew in each step, and compare the hidden ones
optimizer = AdamW(model.parameters(), lr=LR, betas=(0.9, 0.95), weight_decay=DECAY)
schedule = LambdaLR(optimizer, lambda t: linear_warmup(t, STEPS // 20) * cosine_decay(t, STEPS))
epochs = round(STEPS / np.ceil(len(train) / BATCH))
for _ in demo.progress(range(epochs), "epochs"):
    for (batch,) in batches(train, batch_size=BATCH, rng=demo.rng):
        optimizer.zero_grad()
        loss = masked_patch_loss(model, batch, mask_ratio=MASK_RATIO, rng=demo.rng)
        loss.backward()
        optimizer.step()
        schedule.step()
trained = extract_features(model, train), extract_features(model, test)

# %% Test images: what the autoencoder restores
def restore(patches):
    """What the model makes of the visible patches, and the mask, the same in each call."""
    with no_grad():
        return reconstruct(model, patches, mask_ratio=MASK_RATIO, rng=np.random.default_rng(demo.seed))


restored, mask = restore(test)
blackened, _ = restore(np.where(mask[..., None], 0, test))
demo.claim("hidden pixels have no influence on what is restored (largest difference)",
           np.abs(blackened.data - restored.data).max(), at_most=0)

# %% Simpler guesses: the mean of similar training images, and the best linear guess
nearest, linear = np.empty_like(test), np.empty_like(test)
flat = train.reshape(len(train), -1).astype(float)
centre = flat.mean(axis=0)
C = np.cov(flat.T) + 1e-3 * np.eye(len(centre))
for i, hidden in enumerate(mask):
    difference = train[:, ~hidden] - test[i, ~hidden]
    distance = (difference ** 2).sum(axis=(1, 2))
    similar = distance.argsort()[:NEAREST]
    nearest[i] = train[similar].mean(axis=0)
    v = ~hidden.repeat(SIZE ** 2)    # visible pixels
    deviation = test[i].ravel() - centre
    weight = np.linalg.solve(C[np.ix_(v, v)], deviation[v])
    guess = centre + C[:, v] @ weight
    linear[i] = guess.reshape(test[i].shape)

# %% The error on hidden pixels, of the autoencoder and of the simpler guesses
guesses = {"autoencoder": restored.data, "similar images": nearest, "linear guess": linear,
           "mean patch": np.broadcast_to(train.mean(axis=0), test.shape)}


def hidden_error(guess):
    """The mean squared error of hidden pixels, in units of ink."""
    difference = (guess - test)[mask]
    return std ** 2 * (difference ** 2).mean()


errors = {name: hidden_error(guess) for name, guess in guesses.items()}
for name, error in errors.items():
    demo.record(f"error on hidden pixels: {name}", error, "mean square, ink in 0..1")
demo.finding("the autoencoder restores hidden patches better than the mean patch does (fraction of its error)",
             errors["autoencoder"] / errors["mean patch"], at_most=LEFT,
             why="Large patches hold more detail, and the visible patches do not determine it.")
if not demo.quick:
    demo.finding("the autoencoder restores better than any linear guess (fraction of its error)",
                 errors["autoencoder"] / errors["linear guess"], below=1,
                 why="Where pixels depend on each other linearly, as in smooth textures, least squares "
                     "needs no training and is hard to beat.")


# %% With few labels: linear probes on features of length 1, with the same draws for all
def probe(features):
    """Accuracies, shape (DRAWS, len(PER_CLASS)), from features of training and test images."""
    middle = features[0].mean(axis=0)
    centred = [z - middle for z in features]
    Z, Z_test = (z / np.linalg.norm(z, axis=1, keepdims=True) for z in centred)
    rng, accuracies = np.random.default_rng(demo.seed), np.empty((DRAWS, len(PER_CLASS)))
    for draw, i in np.ndindex(accuracies.shape):
        rows = draw_labels(y_train, PER_CLASS[i], rng=rng)
        head = linear_probe(Z[rows], y_train[rows], l2=1e-3, tolerance=1e-3)
        accuracies[draw, i] = (predict(head, Z_test).argmax(axis=1) == y_test).mean()
    return accuracies


accuracies = {"masked autoencoder": probe(trained), "raw pixels": probe((X_train, X_test)),
              "untrained encoder": probe(untrained)}
for name, values in accuracies.items():
    demo.record(f"probe on {name}", values.mean(axis=0),
                "labels per class: " + " ".join(map(str, PER_CLASS)))
ten = {name: values[:, 0].mean() for name, values in accuracies.items()}    # one label per class
if not demo.quick:
    demo.finding("with ten labels the autoencoder's features beat raw pixels (mean lead)",
                 ten["masked autoencoder"] - ten["raw pixels"], at_least=0.01,
                 why="Where outline and brightness tell the class, pixels show it as well as features do.")


# %% The mean over patches shows best what training teaches
# Restoring a patch needs the shape of the whole, so training should help; 10 points are expected.
def mean_patch(features):
    return [z.reshape(len(z), test.shape[1], -1).mean(axis=1) for z in features]


pooled, pooled_before = probe(mean_patch(trained)), probe(mean_patch(untrained))
before_and_after = pooled_before[:, 0].mean(), pooled[:, 0].mean()
demo.record("probe on the mean of the encodings", before_and_after,
            "before and after training, ten labels")
gain = np.diff(before_and_after).item()
LITTLE = ("Where the mean over patches is mostly brightness, it tells the class before training, "
          "and training has little to add.")
demo.finding("training improves the mean of the encodings (gain with ten labels)", gain, above=0,
             why=LITTLE)
if not demo.quick:
    demo.finding("training improves this mean by ten points or more (gain with ten labels)", gain,
                 at_least=0.1, why=LITTLE)


# %% Figure
def pictures(name):
    """Test images with their hidden patches as guessed, or NaN."""
    guess = np.nan if name == "seen" else guesses[name]
    patches = np.where(mask[..., None], guess, test)[:EXAMPLES]
    return mean + std * unpatchify(patches, (4 * SIZE, 4 * SIZE))


figure = plt.figure(figsize=(15, 6.4))
removed = 1 - errors["autoencoder"] / errors["mean patch"]
figure.suptitle(f"{demo.data}: a masked autoencoder removes {100 * removed:.0f} % of the error on hidden "
                "pixels;\nwith ten labels a probe reaches "
                f"{100 * ten['masked autoencoder']:.0f} % on its features, "
                f"{100 * ten['raw pixels']:.0f} % on raw pixels")
left, right = figure.subfigures(1, 2, width_ratios=[1.6, 1])
rows = {"seen": pictures("seen"), "auto-\nencoder": pictures("autoencoder"),
        "similar\nimages": pictures("similar images"),
        "truth": X_test[:EXAMPLES].reshape(-1, 4 * SIZE, 4 * SIZE)}
examples = left.subplots()
sheet(examples, rows, title="Test images, never seen in training")
upper, lower = right.subplots(2, 1)
bars(upper, errors, title="Error on hidden pixels", xlabel="mean squared error, ink in 0..1")
scores(lower, 10 * np.array(PER_CLASS), accuracies, xlabel="labels",
       title="A linear probe on few labels")
demo.finish(figure, small=examples)
