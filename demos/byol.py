"""Why does a network that only predicts itself not say the same thing about everything?

Grill et al. 2020, Bootstrap your own latent, table 5b; Chen and He 2021, figure 2. An encoder learns from digits
without labels and without negatives: the online network, with a predictor on top, predicts what its slow copy,
the target, says about another view. To map all images to one point would be perfect. Parts are taken away.

You will see the spread of the embeddings over training, 0 if all images are mapped to one point and 1/sqrt(D) on
the whole sphere; the loss, which falls to 0 exactly where nothing is learned; what ten labels make of it.

Predict first: which of these is needed: the predictor, the stop-gradient, that the target is slow, or the batch
normalisation in the heads? And which of the losses will be the lowest?
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
from tinyml.selfsupervised.byol import BYOL, byol_loss, spread, train_byol
from tinyml.selfsupervised.downstream import UnitLength, extract_features, linear_probe
from tinyml.selfsupervised.label_efficiency import draw_labels
from tinyml.selfsupervised.simclr import mlp_encoder
from tinyml.train import accuracy, predict

demo = start(__file__, __doc__)
ENCODER = (64, 128, 64) if demo.quick else (64, 256, 128)    # pixels to features
HIDDEN, D = 128, 64                             # of projector and predictor; embedding size
EPOCHS, BATCH, LR = (14 if demo.quick else 25), 128, 2e-3
BASE = 0.97                                     # tau at the start; the paper's 0.996 is for 200 times the steps
RUNS = 1 if demo.quick else 2                   # each with its own split of the data
DRAWS = 20                                      # of ten labels, one per class
VIEW = compose(random_affine(rotate=0.35, scale=0.2, shear=0.3, shift=0.5), add_noise(0.2))

# %% Data
X, y = digits()


# %% Models
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


def head(n_in, n_out, rng, norm=True):
    """Projector or predictor: one hidden layer with batch normalisation (Grill et al. 2020, section 3.3)."""
    middle = [nn.BatchNorm1d(HIDDEN)] if norm else []
    return nn.Sequential(nn.Linear(n_in, HIDDEN, rng=rng), *middle, nn.ReLU(), nn.Linear(HIDDEN, n_out, rng=rng))


VARIANTS = {                                    # class, predictor?, batch norm?
    "BYOL": (BYOL, True, True),
    "no predictor": (BYOL, False, True),
    "no stop-gradient": (NoStopGradient, True, True),
    **({} if demo.quick else {"target not slow": (Followed, True, True), "no batch norm": (BYOL, True, False)}),
}


def probe(encoder, X_train, y_train, X_test, y_test, rng):
    """Test accuracy with one label per class, mean over draws."""
    train, test = (extract_features(encoder, x, unit_length=True) for x in (X_train, X_test))
    draws = [draw_labels(y_train, 1, rng=rng) for _ in range(DRAWS)]
    return np.mean([accuracy(linear_probe(train[rows], y_train[rows]), test, y_test) for rows in draws])


def pretrain(make, has_predictor, norm, X, rng):
    """The encoder; the loss and the spread of the embeddings, in units of 1/sqrt(D), after every epoch."""
    encoder, n_steps = mlp_encoder(*ENCODER, rng=rng), EPOCHS * math.ceil(len(X) / BATCH)
    predictor = head(D, D, rng, norm) if has_predictor else nn.Sequential()
    byol = make(nn.Sequential(encoder, head(ENCODER[-1], D, rng, norm)), predictor, n_steps=n_steps, base=BASE)
    optimizer = Adam(byol.model.parameters(), lr=LR)
    rows = train_byol(byol, X, view=VIEW, optimizer=optimizer, epochs=EPOCHS, batch_size=BATCH, rng=rng,
                      schedule=LambdaLR(optimizer, lambda t: cosine_decay(t, n_steps)),
                      metrics={"spread": lambda model: spread(predict(model[0], X)) * math.sqrt(D)})
    return encoder, [row["loss"] for row in rows], [row["spread"] for row in rows]


# %% Experiment
def run(rng):
    """Of one split: losses and spreads (variants, epochs), accuracies (variants + untrained + pixels)."""
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.3, rng=rng, stratify=y)
    encoders, losses, spreads = zip(*(pretrain(*variant, X_train, seed)
                                      for variant, seed in zip(VARIANTS.values(), rng.spawn(len(VARIANTS)))))
    encoders += (mlp_encoder(*ENCODER, rng=rng), UnitLength())
    probed = [probe(encoder, X_train, y_train, X_test, y_test, np.random.default_rng(demo.seed))
              for encoder in encoders]
    return losses, spreads, probed


runs = [run(rng) for rng in demo.progress(demo.rng.spawn(RUNS), "splits")]
losses, spreads, scores = map(np.array, zip(*runs))    # (runs, variants, epochs) twice, (runs, variants + 2)
names = list(VARIANTS)
final = dict(zip(names, spreads[:, :, -1].T))
means = dict(zip([*names, "untrained", "pixels"], scores.mean(axis=0)))
collapsed = ["no predictor", "no stop-gradient"]

# %% Figure
LOOKS = dict(zip(names, [(BLUE, "o", "-"), (VERMILLION, "s", ":"), (ORANGE, "D", "--"), (GREEN, "^", "-."),
                         (PURPLE, "v", ":")]))
epochs = np.arange(1, EPOCHS + 1)


def draw_curves(ax, values):
    for name, (color, marker, style) in LOOKS.items():
        band(ax, epochs, values[:, names.index(name)], color=color, marker=marker, markevery=0.2, linestyle=style,
             label=name)


def draw_spread(ax):
    draw_curves(ax, spreads)
    ax.axhline(1, linestyle="--", color=BLACK, lw=1.3)
    ax.text(EPOCHS, 1.02, "all over the sphere", ha="right", va="bottom")
    ax.set(xlabel="epoch", ylabel=r"spread of embeddings, times $\sqrt{D}$", ylim=(-0.03, 1.12),
           title="What keeps the embeddings apart")
    ax.legend(loc="center right", bbox_to_anchor=(1, 0.42))


def draw_loss(ax):
    draw_curves(ax, np.maximum(losses, 1e-6))
    ax.set(xlabel="epoch", ylabel="loss, both directions (0 to 8)", yscale="log",
           title="What has collapsed has the lowest loss")


def draw_scores(ax):
    order = ["pixels", "untrained", *names[::-1]]
    colors = [{"pixels": "0.75", "untrained": "0.6"}.get(name) or LOOKS[name][0] for name in order]
    values = 100 * np.array([means[name] for name in order])
    ax.barh(order, values, color=colors, height=0.7)
    for name, column in zip(order, 100 * scores[:, [list(means).index(name) for name in order]].T):
        ax.plot(column, [name] * RUNS, "|", color=BLACK, ms=9)
    for name, value in zip(order, values):
        ax.text(101, name, f"{value:.0f}", va="center", ha="right")
    ax.grid(axis="y", visible=False)
    ax.set(xlim=(0, 101), xlabel="test accuracy with one label per digit, %", title="What ten labels make of it")


figure, axes = plt.subplots(1, 3, figsize=(16, 5.6), width_ratios=[1.15, 1, 1])
kept, lost = final["BYOL"].mean(), max(final[name].mean() for name in collapsed)
figure.suptitle(f"Predicting oneself works with predictor and stop-gradient: {100 * kept:.0f} % of the sphere's "
                f"spread; without either at most {100 * lost:.0f} %")
for ax, draw in zip(axes, (draw_spread, draw_loss, draw_scores)):
    draw(ax)

# %% Claims
for name in names:
    demo.record(f"{name}: spread times sqrt(D)", final[name], "per split")
    demo.record(f"{name}: loss after the last epoch", losses[:, names.index(name), -1], "per split")
    demo.record(f"{name}: accuracy with ten labels", scores[:, names.index(name)], "per split")
demo.record("accuracy with ten labels: untrained, pixels", [means["untrained"], means["pixels"]])
demo.claim("with predictor and stop-gradient the spread stays near 1/sqrt(D) (least ratio)", final["BYOL"].min(),
           at_least=0.6)
for name in collapsed:
    demo.claim(f"{name}: they collapse, all or most of the way (largest ratio)", final[name].max(), at_most=0.35)
demo.claim("the loss of what has collapsed is the lower one (largest ratio to that of BYOL)",
           max(losses[:, names.index(name), -1].max() for name in collapsed) / losses[:, 0, -1].min(), below=0.5)
demo.claim("BYOL makes a better encoder than one without stop-gradient (mean lead)",
           means["BYOL"] - means["no stop-gradient"], at_least=0.03)
demo.finish(figure)
