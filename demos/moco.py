"""What keeps embeddings apart when the negatives come from a queue?

He et al. 2020, Momentum contrast; MATH5836 week 10, section 10.3.2. An encoder learns from digits without labels.
Its negatives are the last 1,024 keys, made over eight steps by a slow copy of it: theta_k <- m theta_k + (1 - m)
theta_q. Two things are changed, one at a time: how slow the copy is, and whether there are negatives at all.

You will see the spread of the embeddings over training, which is 0 if all images are mapped to one point and
1/sqrt(D) on the whole sphere; the loss beside its chance line ln(1 + K); and what ten labels make of the encoder.

Predict first: with m = 0 the keys are made by the query encoder itself, always up to date. Is that better or
worse than a copy that lags a hundred steps behind? What is the best encoder, if there are no negatives?
"""
# %% Constants
import math

import matplotlib.pyplot as plt
import numpy as np
from common import BLACK, BLUE, GREEN, ORANGE, PURPLE, VERMILLION, band, start

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
M = (0, 0.99) if demo.quick else (0, 0.9, 0.99, 0.999)
BEST = 0.99                                     # of these, for the titles
K, T = 1024, 0.5                                # length of the queue, temperature
EPOCHS, BATCH, LR = (15 if demo.quick else 25), 128, 2e-3
RUNS = 1 if demo.quick else 2                   # each with its own split of the data
DRAWS = 20                                      # of ten labels, one per class
VIEW = compose(random_affine(rotate=0.35, scale=0.2, shear=0.3, shift=0.5), add_noise(0.2))

# %% Data
X, y = digits()


# %% Model
class OnlyAttraction(MoCo):
    """MoCo without its negatives: the two views of an image attract each other, and that is all."""

    def loss(self, x_query, x_key, ids):
        update_momentum(self.key, self.query, momentum=self.momentum)
        return byol_loss(self.query(Tensor(x_query)), predict(self.key, x_key))


VARIANTS = {**{f"m = {m}": (MoCo, m) for m in M}, "no negatives": (OnlyAttraction, BEST)}


def probe(encoder, X_train, y_train, X_test, y_test, rng):
    """Test accuracy with one label per class, mean over draws."""
    train, test = (extract_features(encoder, x, unit_length=True) for x in (X_train, X_test))
    draws = [draw_labels(y_train, 1, rng=rng) for _ in range(DRAWS)]
    return np.mean([accuracy(linear_probe(train[rows], y_train[rows]), test, y_test) for rows in draws])


def pretrain(make, momentum, X, rng):
    """The encoder; the loss and the spread of the embeddings, in units of 1/sqrt(D), after every epoch."""
    encoder = mlp_encoder(*ENCODER, rng=rng)
    query = nn.Sequential(encoder, projection_head(ENCODER[-1], *HEAD, rng=rng))
    moco = make(query, queue_size=K, momentum=momentum, temperature=T)
    optimizer, n_steps = Adam(query.parameters(), lr=LR), EPOCHS * math.ceil(len(X) / BATCH)
    rows = train_moco(moco, X, view=VIEW, optimizer=optimizer, epochs=EPOCHS, batch_size=BATCH, rng=rng,
                      schedule=LambdaLR(optimizer, lambda t: cosine_decay(t, n_steps)),
                      metrics={"spread": lambda model: spread(predict(model, X)) * math.sqrt(HEAD[-1])})
    return encoder, [row["loss"] for row in rows], [row["spread"] for row in rows]


# %% Experiment
def run(rng):
    """Of one split: losses and spreads (variants, epochs), accuracies (variants + untrained + pixels)."""
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.3, rng=rng, stratify=y)
    seeds = rng.spawn(len(VARIANTS))
    encoders, losses, spreads = zip(*(pretrain(*variant, X_train, seed)
                                      for variant, seed in zip(VARIANTS.values(), seeds)))
    encoders += (mlp_encoder(*ENCODER, rng=rng), UnitLength())
    probed = [probe(encoder, X_train, y_train, X_test, y_test, np.random.default_rng(demo.seed))
              for encoder in encoders]
    return losses, spreads, probed


runs = [run(rng) for rng in demo.progress(demo.rng.spawn(RUNS), "splits")]
losses, spreads, scores = map(np.array, zip(*runs))    # (runs, variants, epochs) twice, (runs, variants + 2)
names = list(VARIANTS)
final, means = spreads[:, :, -1], dict(zip([*names, "untrained", "pixels"], scores.mean(axis=0)))
best, none = f"m = {BEST}", "no negatives"

# %% Figure
COLORS = dict(zip(names, [VERMILLION, BLUE, PURPLE] if demo.quick else
                  [VERMILLION, ORANGE, BLUE, GREEN, PURPLE]))
MARKERS = dict(zip(names, "osD^v"))
epochs = np.arange(1, EPOCHS + 1)


def draw_curves(ax, values, shown):
    for name in shown:
        band(ax, epochs, values[:, names.index(name)], color=COLORS[name], marker=MARKERS[name], markevery=0.2,
             linestyle=":" if name == none else "-", label=name)


def draw_spread(ax):
    draw_curves(ax, spreads, names)
    ax.axhline(1, linestyle="--", color=BLACK, lw=1.3)
    ax.text(EPOCHS, 1.02, "all over the sphere", ha="right", va="bottom")
    ax.set(xlabel="epoch", ylabel=r"spread of embeddings, times $\sqrt{D}$", ylim=(-0.03, 1.12),
           title="A copy that follows too fast lets all collapse")
    ax.legend(loc="center right", bbox_to_anchor=(1, 0.42))


def draw_loss(ax):
    draw_curves(ax, losses, names[:-1])
    chance = math.log(1 + K)    # a little less: keys of the batch's own images are passed over
    ax.axhline(chance, linestyle="--", color=BLACK, lw=1.3)
    ax.text(EPOCHS, chance + 0.03, "chance, ln(1 + K)", ha="right", va="bottom")
    ax.margins(y=0.12)
    ax.set(xlabel="epoch", ylabel="InfoNCE, nats", title="Collapsed, the loss is back at chance")


def draw_scores(ax):
    order = ["pixels", "untrained", none, *names[:-1]]
    colors = [{"pixels": "0.75", "untrained": "0.6"}.get(name) or COLORS[name] for name in order]
    values = 100 * np.array([means[name] for name in order])
    ax.barh(order, values, color=colors, height=0.7)
    for name, column in zip(order, 100 * scores[:, [list(means).index(name) for name in order]].T):
        ax.plot(column, [name] * RUNS, "|", color=BLACK, ms=9)
    for name, value in zip(order, values):
        ax.text(101, name, f"{value:.0f}", va="center", ha="right")
    ax.grid(axis="y", visible=False)
    ax.set(xlim=(0, 101), xlabel="test accuracy with one label per digit, %", title="What ten labels make of it")


figure, axes = plt.subplots(1, 3, figsize=(16, 5.6), width_ratios=[1.15, 1, 1])
figure.suptitle(f"Negatives from a queue need a slow copy: with m = {BEST} embeddings keep "
                f"{100 * final[:, names.index(best)].mean():.0f} % of the sphere's spread, with m = 0 they keep "
                f"{100 * final[:, 0].mean():.0f} %")
for ax, draw in zip(axes, (draw_spread, draw_loss, draw_scores)):
    draw(ax)

# %% Claims
ENOUGH = 0.6 if demo.quick else 0.65
for name, column, score in zip(names, final.T, scores.T):
    demo.record(f"{name}: spread times sqrt(D)", column, "per split")
    demo.record(f"{name}: accuracy with ten labels", score, "per split")
demo.record("accuracy with ten labels: untrained, pixels", [means["untrained"], means["pixels"]])
demo.record(f"{best}: loss after the last epoch", losses[:, names.index(best), -1], "nats, per split")
demo.claim(f"with negatives and m = {BEST} the spread stays near 1/sqrt(D) (least ratio)",
           final[:, names.index(best)].min(), at_least=0.7)
demo.claim("with m = 0 the embeddings collapse (largest ratio)", final[:, 0].max(), at_most=0.2)
demo.claim("without negatives they collapse, slow copy or not (largest ratio)", final[:, -1].max(), at_most=0.2)
demo.claim("with both, ten labels name the digits (mean accuracy)", means[best], at_least=ENOUGH)
demo.claim("better than on pixels (least lead)", (scores[:, names.index(best)] - scores[:, -1]).min(), above=0)
demo.claim("and better than after a copy that follows at once (mean lead over m = 0)",
           means[best] - means["m = 0"], at_least=0.05)
demo.finish(figure)
