"""Why does a network that predicts its own copy not give the same answer for every image?

Grill et al. 2020, Bootstrap your own latent, table 5b; Chen and He 2021, figure 2. An encoder learns from digits
without labels and without negatives: the online network, with a predictor on top, predicts what its slow copy,
the target, says about another view. Mapping all images to one point would be a perfect solution. Here BYOL is
trained, and then again with one part removed at a time.

You will see the spread of the embeddings during training, which is 0 if all images are mapped to one point and
1/sqrt(D) on the whole sphere; the loss, which is lowest where nothing is learned; and the accuracy of a linear
probe with ten labels.

Predict first: which of these is necessary: the predictor, the stop-gradient, a target that is slow, the batch
normalisation in the heads? And which loss will be the lowest?
"""
# %% Constants
import math
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from common import band, start
from panels import SERIES, bars, reference

from tinyml import Tensor, nn
from tinyml.data import digits, train_test_split
from tinyml.optim import Adam, LambdaLR, cosine_decay
from tinyml.selfsupervised.augmentations import add_noise, compose, random_affine
from tinyml.selfsupervised.byol import BYOL, byol_loss, spread, train_byol
from tinyml.selfsupervised.downstream import UnitLength, extract_features, linear_probe
from tinyml.selfsupervised.label_efficiency import draw_labels
from tinyml.selfsupervised.simclr import mlp_encoder
from tinyml.train import accuracy, predict

demo = start(__file__, __doc__)
ENCODER = (64, 128, 64) if demo.quick else (64, 256, 128)    # pixels to features
HIDDEN, D = 128, 64                             # of projector and predictor; embedding size
EPOCHS, BATCH, LR = (14 if demo.quick else 25), 128, 2e-3
BASE = 0.97                                     # tau at the start; the paper's 0.996 is for 400 times the steps
RUNS = 1 if demo.quick else 2                   # each with its own split of the data
DRAWS = 20                                      # of ten labels, one per class
VIEW = compose(random_affine(rotate=0.35, scale=0.2, shear=0.3, shift=0.5), add_noise(0.2))

# %% Data
X, y = digits()


# %% Two variants of BYOL's step
class NoStopGradient(BYOL):
    """No target: the other view's embedding by the online network itself, with its gradient."""

    def loss(self, x1, x2):
        online, predictor = self.model
        z1, z2 = online(Tensor(x1)), online(Tensor(x2))
        return byol_loss(predictor(z1), z2) + byol_loss(predictor(z2), z1)


class Followed(BYOL):
    """The target is the online network of this step, with the stop-gradient (Chen and He's SimSiam)."""

    def __init__(self, online, predictor, **options):
        super().__init__(online, predictor, **options)
        self.target = online


# %% All variants: BYOL, and BYOL without one of its parts
class Variant(NamedTuple):
    make: type
    predictor: bool = True
    batch_norm: bool = True


VARIANTS = {"BYOL": Variant(BYOL), "no predictor": Variant(BYOL, predictor=False),
            "no stop-gradient": Variant(NoStopGradient)}
if not demo.quick:
    VARIANTS |= {"no batch norm": Variant(BYOL, batch_norm=False), "target not slow": Variant(Followed)}


# %% Model: projector and predictor have one hidden layer with batch norm (Grill et al. 2020, section 3.3)
def head(n_in, batch_norm, rng):
    middle = [nn.BatchNorm1d(HIDDEN)] if batch_norm else []
    return nn.Sequential(nn.Linear(n_in, HIDDEN, rng=rng), *middle, nn.ReLU(), nn.Linear(HIDDEN, D, rng=rng))


def build(variant, encoder, n_steps, rng):
    online = nn.Sequential(encoder, head(ENCODER[-1], variant.batch_norm, rng))
    predictor = head(D, variant.batch_norm, rng) if variant.predictor else nn.Sequential()
    return variant.make(online, predictor, n_steps=n_steps, base=BASE)


# %% Train one variant; measure the spread after every epoch, in units of 1/sqrt(D)
def pretrain(variant, X, rng):
    encoder = mlp_encoder(*ENCODER, rng=rng)
    n_steps = EPOCHS * math.ceil(len(X) / BATCH)
    byol = build(variant, encoder, n_steps, rng)
    optimizer = Adam(byol.model.parameters(), lr=LR)
    history = train_byol(byol, X, view=VIEW, rng=rng, optimizer=optimizer, epochs=EPOCHS, batch_size=BATCH,
                         schedule=LambdaLR(optimizer, lambda t: cosine_decay(t, n_steps)),
                         metrics={"spread": lambda model: spread(predict(model[0], X)) * math.sqrt(D)})
    return encoder, [row["loss"] for row in history], [row["spread"] for row in history]


def probe(encoder, X_train, y_train, X_test, y_test):
    """Test accuracy of a linear probe with one label per class, mean over draws."""
    train, test = (extract_features(encoder, x, unit_length=True) for x in (X_train, X_test))
    rng = np.random.default_rng(demo.seed)    # the same draws for all encoders
    draws = [draw_labels(y_train, 1, rng=rng) for _ in range(DRAWS)]
    return np.mean([accuracy(linear_probe(train[rows], y_train[rows]), test, y_test) for rows in draws])


# %% Experiment: all variants on every split
names = list(VARIANTS)
losses, spreads = ({name: [] for name in names} for _ in range(2))    # lists of RUNS curves
accuracies = {name: [] for name in [*names, "untrained", "pixels"]}
for rng in demo.progress(demo.rng.spawn(RUNS), "splits"):
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.3, rng=rng, stratify=y)
    encoders = {"untrained": mlp_encoder(*ENCODER, rng=rng), "pixels": UnitLength()}
    for name, variant in VARIANTS.items():
        encoders[name], loss, curve = pretrain(variant, X_train, rng.spawn(1)[0])
        losses[name].append(loss)
        spreads[name].append(curve)
    for name, encoder in encoders.items():
        accuracies[name].append(probe(encoder, X_train, y_train, X_test, y_test))

# %% BYOL keeps the embeddings apart, also if the target is not slow; without other parts they collapse
final = {name: np.array(spreads[name])[:, -1] for name in names}
for name in names:
    demo.record(f"{name}: spread times sqrt(D)", final[name], "per split")
healthy = [name for name in names if name in ("BYOL", "target not slow")]
collapsed = [name for name in names if name not in healthy]
largest = max(final[name].max() for name in collapsed)
for name in healthy:
    demo.claim(f"{name}: the spread stays near 1/sqrt(D) (least ratio)", final[name].min(), at_least=0.6)
for name in collapsed:
    demo.claim(f"{name}: the spread falls far below that (largest ratio)", final[name].max(), at_most=0.35)

# %% The loss does not show it: what has collapsed has the lowest loss
last = {name: np.array(losses[name])[:, -1] for name in names}
for name in names:
    demo.record(f"{name}: loss after the last epoch", last[name], "per split")
demo.claim("the loss of what has collapsed is lower than BYOL's (largest ratio)",
           max(last[name].max() for name in collapsed) / last["BYOL"].min(), below=0.5)

# %% Ten labels show it
means = {name: np.mean(values) for name, values in accuracies.items()}
for name, values in accuracies.items():
    demo.record(f"{name}: accuracy with ten labels", values, "per split")
demo.claim("BYOL gives a better encoder than training without stop-gradient (mean lead)",
           means["BYOL"] - means["no stop-gradient"], at_least=0.03)

# %% Figure
LINES = dict(zip(names, ["-", ":", "--", ":", "-."]))
COLORS = dict(zip(names, [color for color, _ in SERIES])) | {"untrained": "0.6", "pixels": "0.75"}
figure, (left, middle, right) = plt.subplots(1, 3, figsize=(16, 5.6), width_ratios=[1.15, 1, 1])
figure.suptitle(f"BYOL keeps {100 * final['BYOL'].min():.0f} % of the sphere's spread; with "
                f"{' or '.join(collapsed)} at most {100 * largest:.0f} % are left")
epochs = np.arange(1, EPOCHS + 1)
for ax, curves in ((left, spreads), (middle, losses)):
    for name, (color, marker) in zip(names, SERIES):
        band(ax, epochs, np.maximum(curves[name], 1e-6), color=color, marker=marker, markevery=0.2,
             linestyle=LINES[name], label=name)
reference(left, 1, "the whole sphere", x=0.6)
left.legend(loc="center right", bbox_to_anchor=(1, 0.42))
left.set(xlabel="epoch", ylabel=r"spread of embeddings, times $\sqrt{D}$", ylim=(-0.03, 1.12),
         title="What keeps embeddings apart")
middle.set(xlabel="epoch", ylabel="loss, both directions (0 to 8)", yscale="log",
           title="What has collapsed has the lowest loss")
order = [*names, "untrained", "pixels"]
bars(right, {name: 100 * means[name] for name in order}, fmt="%.0f", colors=[COLORS[name] for name in order],
     xlabel="test accuracy with one label per digit, %", title="Accuracy of a linear probe, ten labels")
demo.finish(figure)
