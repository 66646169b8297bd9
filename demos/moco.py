"""What keeps embeddings apart when the negatives come from a queue?

He et al. 2020, Momentum contrast; MATH5836 week 10, section 10.3.2. An encoder learns from digits without labels.
Its negatives are the last 1,024 keys, made over eight steps by a slow copy: theta_k <- m theta_k + (1 - m) theta_q.
Two things are changed, one at a time: how slow the copy is, and whether there are negatives at all.

You will see the spread of the embeddings during training, which is 0 if all images are mapped to one point and
1/sqrt(D) on the whole sphere; the loss beside chance, ln(1 + K); and the accuracy of a linear probe with ten labels.

Predict first: with m = 0 the query encoder itself makes the keys, always up to date. Is that better or worse than
a copy that lags a hundred steps behind? Which encoder is optimal if there are no negatives?
"""
# %% Constants
import math

import matplotlib.pyplot as plt
import numpy as np
from common import band, start
from panels import SERIES, bars, reference

from tinyml import Tensor, nn
from tinyml.data import digits, train_test_split
from tinyml.optim import Adam, LambdaLR, cosine_decay
from tinyml.selfsupervised.augmentations import add_noise, compose, random_affine
from tinyml.selfsupervised.byol import byol_loss, spread
from tinyml.selfsupervised.downstream import UnitLength, extract_features, linear_probe
from tinyml.selfsupervised.label_efficiency import draw_labels
from tinyml.selfsupervised.moco import MoCo, train_moco, update_momentum
from tinyml.selfsupervised.simclr import mlp_encoder, projection_head
from tinyml.train import accuracy, predict

demo = start(__file__, __doc__)
ENCODER = (64, 128, 64) if demo.quick else (64, 256, 256, 128)    # pixels to features
HEAD = (128, 64)                                # hidden units and embedding size D
M = (0.99, 0) if demo.quick else (0.99, 0.999, 0.9, 0)
BEST = f"m = {M[0]}"
K, T = 1024, 0.5                                # length of the queue, temperature
EPOCHS, BATCH, LR = (15 if demo.quick else 25), 128, 2e-3
RUNS = 1 if demo.quick else 2                   # each with its own split of the data
DRAWS = 20                                      # of ten labels, one per class
VIEW = compose(random_affine(rotate=0.35, scale=0.2, shear=0.3, shift=0.5), add_noise(0.2))

# %% Data
X, y = digits()


# %% MoCo without its negatives: the two views of an image attract each other, and that is all
class OnlyAttraction(MoCo):
    def loss(self, x_query, x_key, ids):
        update_momentum(self.key, self.query, momentum=self.momentum)
        return byol_loss(self.query(Tensor(x_query)), predict(self.key, x_key))


VARIANTS = {f"m = {m}": (MoCo, m) for m in M} | {"no negatives": (OnlyAttraction, M[0])}


# %% Train one variant; measure the spread after every epoch, in units of 1/sqrt(D)
def pretrain(make, momentum, X, rng):
    encoder = mlp_encoder(*ENCODER, rng=rng)
    query = nn.Sequential(encoder, projection_head(ENCODER[-1], *HEAD, rng=rng))
    moco = make(query, queue_size=K, momentum=momentum, temperature=T)
    optimizer, n_steps = Adam(query.parameters(), lr=LR), EPOCHS * math.ceil(len(X) / BATCH)
    history = train_moco(moco, X, view=VIEW, rng=rng, optimizer=optimizer, epochs=EPOCHS, batch_size=BATCH,
                         schedule=LambdaLR(optimizer, lambda t: cosine_decay(t, n_steps)),
                         metrics={"spread": lambda model: spread(predict(model, X)) * math.sqrt(HEAD[-1])})
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
        encoders[name], loss, curve = pretrain(*variant, X_train, rng.spawn(1)[0])
        losses[name].append(loss)
        spreads[name].append(curve)
    for name, encoder in encoders.items():
        accuracies[name].append(probe(encoder, X_train, y_train, X_test, y_test))

# %% A slow copy and negatives are both necessary: without either the embeddings collapse
final = {name: np.array(spreads[name])[:, -1] for name in names}
for name in names:
    demo.record(f"{name}: spread times sqrt(D)", final[name], "per split")
demo.record(f"{BEST}: loss after the last epoch", np.array(losses[BEST])[:, -1], "nats, per split")
demo.claim(f"with negatives and {BEST} the spread stays near 1/sqrt(D) (least ratio)", final[BEST].min(),
           at_least=0.7)
demo.claim("with m = 0 the embeddings collapse (largest ratio)", final["m = 0"].max(), at_most=0.2)
demo.claim("without negatives they collapse, slow copy or not (largest ratio)", final["no negatives"].max(),
           at_most=0.2)

# %% With both, ten labels are enough for most digits
means = {name: np.mean(values) for name, values in accuracies.items()}
for name, values in accuracies.items():
    demo.record(f"{name}: accuracy with ten labels", values, "per split")
demo.claim("with both, a probe with ten labels is right on most digits (mean accuracy)", means[BEST],
           at_least=0.6 if demo.quick else 0.65)
if not demo.quick:
    lead = np.subtract(accuracies[BEST], accuracies["pixels"])
    demo.claim("better than on pixels (least lead)", lead.min(), above=0)
demo.claim("and better than after a copy that follows at once (mean lead over m = 0)", means[BEST] - means["m = 0"],
           at_least=0.05)

# %% Figure
COLORS = dict(zip(names, [color for color, _ in SERIES])) | {"untrained": "0.6", "pixels": "0.75"}
figure, (left, middle, right) = plt.subplots(1, 3, figsize=(16, 5.6), width_ratios=[1.15, 1, 1])
figure.suptitle(f"Negatives from a queue need a slow copy: with {BEST} embeddings keep {100 * final[BEST].mean():.0f} % "
                f"of the sphere's spread, with m = 0 they keep {100 * final['m = 0'].mean():.0f} %")
epochs = np.arange(1, EPOCHS + 1)
for ax, curves, shown in ((left, spreads, names), (middle, losses, names[:-1])):
    for name, (color, marker) in zip(shown, SERIES):
        band(ax, epochs, np.array(curves[name]), color=color, marker=marker, markevery=0.2, label=name,
             linestyle=":" if name == "no negatives" else "-")
reference(left, 1, "the whole sphere", x=0.6)
left.legend(loc="center right", bbox_to_anchor=(1, 0.42))
left.set(xlabel="epoch", ylabel=r"spread of embeddings, times $\sqrt{D}$", ylim=(-0.03, 1.12),
         title="A copy that follows too fast lets all collapse")
reference(middle, math.log(1 + K), "chance, ln(1 + K)", x=0.5)
middle.margins(y=0.12)
middle.set(xlabel="epoch", ylabel="InfoNCE in nats", title="After a collapse the loss is back at chance")
order = [*names, "untrained", "pixels"]
bars(right, {name: 100 * means[name] for name in order}, fmt="%.0f", colors=[COLORS[name] for name in order],
     xlabel="test accuracy with one label per digit, %", title="Accuracy of a linear probe, ten labels")
demo.finish(figure)
