"""Why does a network that predicts its own copy not give the same answer for every image?

Grill et al. 2020, Bootstrap your own latent, table 5b; Chen and He 2021, figure 2. An encoder learns from images
without labels and without negatives: the online network, with a predictor on top, predicts what its slow copy,
the target, says about another view. Mapping all images to one point would be a perfect solution. Here BYOL is
trained, and then again with one part removed at a time.

You will see the spread of the embeddings during training, which is 0 if all images are mapped to one point and
1/sqrt(D) on the whole sphere; the loss, which is lowest where the embeddings collapse; and the accuracy of a linear
probe with ten labels.

With --data the images are others. That BYOL keeps its embeddings apart carries over. The views of clothes differ by
noise alone (demos/simclr.py): there a collapse lowers the loss little and comes slowly, and features gain little.

Predict first: which of these is necessary: the predictor, the stop-gradient, a target that is slow, the batch
normalisation in the heads? And which loss will be the lowest?
"""
# %% Constants
import math
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from _collapse import at_end, compare, draw_accuracies, draw_curves, draw_spreads, settings
from _pretraining import epochs_for, rate_for
from common import start

from tinyml import Tensor, nn
from tinyml.selfsupervised.byol import BYOL, byol_loss, train_byol

demo = start(__file__, __doc__, data=("digits", "clothes", "mnist", "fashion-mnist"))
X, y = demo.load()
ENCODER = (X.shape[1], 128, 64) if demo.quick else (X.shape[1], 256, 128)    # pixels to features
HIDDEN, D = 128, 64                             # of projector and predictor; embedding size
EPOCHS, BATCH, LR = (14 if demo.quick else 25), 128, 2e-3    # for digits; see epochs_for and rate_for
BASE = 0.97                                     # tau at the start; the paper's 0.996 is for 400 times the steps
RUNS = 1 if demo.quick else 2                   # each with its own split of the data


# %% Two variants of BYOL's step
class NoStopGradient(BYOL):
    """No target: the online network itself embeds the other view, and gets the gradient of it too."""

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


# %% Train one variant
def pretrain(variant, encoder, X, view, rng):
    online = nn.Sequential(encoder, head(ENCODER[-1], variant.batch_norm, rng))
    predictor = head(D, variant.batch_norm, rng) if variant.predictor else nn.Sequential()
    n_steps = epochs_for(X, EPOCHS) * math.ceil(len(X) / BATCH)
    byol = variant.make(online, predictor, n_steps=n_steps, base=BASE)
    options = settings(byol.model, lambda model: model[0], X, epochs=epochs_for(X, EPOCHS),
                       batch_size=BATCH, lr=rate_for(X, LR))
    return train_byol(byol, X, view=view, rng=rng, **options)


# %% Experiment: all variants on every split
curves = compare(demo, VARIANTS, pretrain, ENCODER, X, y, runs=RUNS)

# %% BYOL keeps the embeddings apart, also if the target is not slow; without other parts they collapse
final = at_end(curves.spreads)
for name, values in final.items():
    demo.record(f"{name}: spread times sqrt(D)", values, "per split")
healthy = [name for name in final if name in ("BYOL", "target not slow")]
collapsed = [name for name in final if name not in healthy]
largest = max(final[name].max() for name in collapsed)
demo.claim("the spread of embeddings of length 1 is at most 1/sqrt(D) (largest ratio)",
           max(map(np.max, curves.spreads.values())), at_most=1 + 1e-5)
for name in healthy:
    demo.finding(f"{name}: the spread stays near 1/sqrt(D) (smallest ratio)", final[name].min(), at_least=0.6,
                 why="If images differ in few ways, their embeddings need few of the D directions.")
for name in collapsed:
    demo.finding(f"{name}: the spread falls far below 1/sqrt(D) (largest ratio)", final[name].max(), at_most=0.35,
                 why="A collapse takes time: where views differ by noise alone or steps are small, it takes longer.")

# %% The loss does not show a collapse: the variants that collapse have the lowest loss
last = at_end(curves.losses)
for name, values in last.items():
    demo.record(f"{name}: loss after the last epoch", values, "per split")
highest = max(last[name].max() for name in collapsed)
demo.finding("the variants that collapse have a lower loss than BYOL (largest ratio)",
             highest / last["BYOL"].min(), below=0.5,
             why="Views that differ by noise alone are easy to predict, so BYOL's own loss is low too.")

# %% A probe with ten labels shows it
for name, values in curves.accuracies.items():
    demo.record(f"{name}: accuracy with ten labels", values, "per split")
lead = np.mean(curves.accuracies["BYOL"]) - np.mean(curves.accuracies["no stop-gradient"])
demo.finding("BYOL gives a better encoder than training without stop-gradient (mean lead)", lead, at_least=0.03,
             why="Where the views teach little, or in a short training, weights stay nearly random in both.")
demo.record("BYOL: lead over pixels, over the untrained encoder",
            [np.mean(curves.accuracies["BYOL"]) - np.mean(curves.accuracies[name]) for name in ("pixels", "untrained")])

# %% Figure
DASHES = dict(zip(VARIANTS, ["-", ":", "--", ":", "-."]))
figure, (left, middle, right) = plt.subplots(1, 3, figsize=(16, 5.6), width_ratios=[1.15, 1, 1])
figure.suptitle(f"{demo.data}: BYOL keeps {100 * final['BYOL'].min():.0f} % of the sphere's spread; with "
                f"{' or '.join(collapsed)} at most {100 * largest:.0f} % is left")
draw_spreads(left, curves.spreads, DASHES, "What keeps embeddings apart")
draw_curves(middle, curves.losses, DASHES, yscale="log", ylabel="loss, both directions (0 to 8)",
            title="The variants that collapse have the lowest loss" if highest < last["BYOL"].min()
            else "A low loss need not be a collapse")
draw_accuracies(right, curves.accuracies)
demo.finish(figure)
