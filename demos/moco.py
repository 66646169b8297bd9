"""What keeps embeddings apart when the negatives come from a queue?

He et al. 2020, Momentum contrast; MATH5836 week 10, section 10.3.2. An encoder learns from images without labels.
Its negatives are the last 1,024 keys, made over eight steps by a slow copy: theta_k <- m theta_k + (1 - m) theta_q.
Two things are changed, one at a time: how slow the copy is, and whether there are negatives at all.

You will see the spread of the embeddings during training, which is 0 if all images are mapped to one point and
1/sqrt(D) on the whole sphere; the loss beside chance, ln(1 + K); and the accuracy of a linear probe with ten labels.

With --data the images are others. That embeddings collapse without negatives or with m = 0 carries over. The lead of a
probe over one on pixels nearly vanishes: hardly any move keeps the class of a photo of clothes, so views teach little.
Rules choose the learning rate and the views (demos/_pretraining.py): a rate that suits 64 pixels is too high for 784.

Predict first: with m = 0 the query encoder itself makes the keys, always up to date. Is that better or worse than
a copy that lags a hundred steps behind? Which encoder is optimal if there are no negatives?
"""
# %% Constants
import math

import matplotlib.pyplot as plt
import numpy as np
from _collapse import at_end, compare, draw_accuracies, draw_curves, draw_spreads, settings
from _pretraining import epochs_for, rate_for
from common import start
from panels import reference

from tinyml import Tensor, nn
from tinyml.selfsupervised.byol import byol_loss
from tinyml.selfsupervised.moco import MoCo, train_moco, update_momentum
from tinyml.selfsupervised.simclr import projection_head
from tinyml.train import predict

demo = start(__file__, __doc__, data=("digits", "clothes", "mnist", "fashion-mnist"))
X, y = demo.load()
ENCODER = (X.shape[1], 128, 64) if demo.quick else (X.shape[1], 256, 256, 128)    # pixels to features
HEAD = (128, 64)                                # hidden units and embedding size D
M = (0.99, 0) if demo.quick else (0.99, 0.999, 0.9, 0)
BEST = f"m = {M[0]}"
K, T = 1024, 0.5                                # length of the queue, temperature
EPOCHS, BATCH, LR = (15 if demo.quick else 25), 128, 2e-3    # for digits; see epochs_for and rate_for
RUNS = 1 if demo.quick else 2                   # each with its own split of the data


# %% MoCo without its negatives: the two views of an image attract each other, and that is all
class OnlyAttraction(MoCo):
    def loss(self, x_query, x_key, ids):
        update_momentum(self.key, self.query, momentum=self.momentum)
        return byol_loss(self.query(Tensor(x_query)), predict(self.key, x_key))


VARIANTS = {f"m = {m}": (MoCo, m) for m in M} | {"no negatives": (OnlyAttraction, M[0])}


# %% Train one variant
def pretrain(variant, encoder, X, view, rng):
    make, momentum = variant
    query = nn.Sequential(encoder, projection_head(ENCODER[-1], *HEAD, rng=rng))
    moco = make(query, queue_size=K, momentum=momentum, temperature=T)
    options = settings(query, lambda model: model, X, epochs=epochs_for(X, EPOCHS),
                       batch_size=BATCH, lr=rate_for(X, LR))
    return train_moco(moco, X, view=view, rng=rng, **options)


# %% Experiment: all variants on every split
curves = compare(demo, VARIANTS, pretrain, ENCODER, X, y, runs=RUNS)

# %% A slow copy and negatives are both necessary: without either the embeddings collapse
final = at_end(curves.spreads)
for name, values in final.items():
    demo.record(f"{name}: spread times sqrt(D)", values, "per split")
demo.record(f"{BEST}: loss after the last epoch", at_end(curves.losses)[BEST], "nats, per split")
demo.claim("the spread of embeddings of length 1 is at most 1/sqrt(D) (largest ratio)",
           max(map(np.max, curves.spreads.values())), at_most=1 + 1e-5)
demo.finding(f"with negatives and {BEST} the spread stays near 1/sqrt(D) (smallest ratio)",
             final[BEST].min(), at_least=0.7,
             why="If many images are nearly equal, so are their embeddings.")
demo.finding("with m = 0 the embeddings collapse (largest ratio)", final["m = 0"].max(), at_most=0.2,
             why="If training takes small steps, the keys in the queue are nearly up to date even with m = 0.")
demo.finding("without negatives they collapse in spite of the slow copy (largest ratio)",
             final["no negatives"].max(), at_most=0.2,
             why="Nothing keeps them apart, but in so few steps they may not meet.")

# %% With a slow copy and negatives, ten labels are enough for most digits
means = {name: np.mean(values) for name, values in curves.accuracies.items()}
for name, values in curves.accuracies.items():
    demo.record(f"{name}: accuracy with ten labels", values, "per split")
demo.finding(f"with negatives and {BEST}, ten labels are enough to classify most images (mean accuracy)",
             means[BEST], at_least=0.6 if demo.quick else 0.65,
             why="Whatever the method, one image tells little about a class whose images differ much.")
if not demo.quick:
    lead = np.subtract(curves.accuracies[BEST], curves.accuracies["pixels"])
    demo.finding(f"with negatives and {BEST}, a probe beats one on pixels (smallest lead)", lead.min(), above=0,
                 why="Where no move keeps the class, views differ by noise alone, and ignoring noise helps little.")
demo.finding(f"{BEST} gives a better encoder than m = 0 (mean lead)", means[BEST] - means["m = 0"], at_least=0.05,
             why="An encoder whose embeddings collapse may keep some of what the random weights kept.")

# %% Figure
DASHES = {"no negatives": ":"}
kept = {name: 100 * values.mean() for name, values in final.items()}
figure, (left, middle, right) = plt.subplots(1, 3, figsize=(16, 5.6), width_ratios=[1.15, 1, 1])
figure.suptitle(f"{demo.data}: negatives from a queue need a slow copy: with {BEST} embeddings keep {kept[BEST]:.0f} % "
                f"of the sphere's spread, with m = 0 they keep {kept['m = 0']:.0f} %")
fallen = [name for name, values in final.items() if values.max() < 0.35]
draw_spreads(left, curves.spreads, DASHES, f"Embeddings collapse with {' or '.join(fallen) or 'none of these'}")
with_negatives = {name: values for name, values in curves.losses.items() if name != "no negatives"}
draw_curves(middle, with_negatives, DASHES, ylabel="InfoNCE in nats",
            title="After a collapse the loss is back at chance")
reference(middle, math.log(1 + K), "chance, ln(1 + K)", x=0.5)
middle.margins(y=0.12)
draw_accuracies(right, curves.accuracies)
demo.finish(figure)
