"""BYOL: a network predicts its own slow copy. It needs no negatives, and does not collapse.

Problem: a contrastive loss needs many negatives, and some of them are wrong: two images that both
show the digit 3 repel each other. But without negatives, views only attract each other, and the
best solution is a collapse: all embeddings are equal.

Idea: two networks. The *online* network f_theta has an extra head q, the *predictor*. From one
view x, q predicts the output of the *target* network f_xi for the other view x'. The target is a
slow average of the online network and gets no gradient. With z = f_theta(x) and z' = f_xi(x'),

    L = || q(z)/||q(z)|| - z'/||z'|| ||^2 = 2 - 2 cos(q(z), z'),     xi <- tau xi + (1 - tau) theta

Equal embeddings still minimise L. But no step changes xi to make L smaller: xi only follows theta.
Without the predictor, or if gradients also flow into the target, training does collapse. In
demos/byol.py, training without batch norm in the heads collapses too. The `spread` of the
embeddings shows how far a collapse has gone.

Sources: Grill et al. 2020, Bootstrap your own latent (table 5b on what is necessary); Chen and He
2021, Exploring simple Siamese representation learning.
"""
import math

from tinyml import functional as F
from tinyml import ops
from tinyml.contract import checked
from tinyml.nn import Sequential
from tinyml.selfsupervised.moco import momentum_copy, update_momentum
from tinyml.tensor import Tensor, no_grad
from tinyml.train import fit


@checked
def byol_loss(
    prediction: "Tensor, shape (B, D), B and D >= 1; rows p_i",
    target: "Tensor, shape (B, D), B and D >= 1; rows z'_i",
) -> "Tensor, a scalar in [0, 4]":
    """The mean squared distance between the directions of predictions and targets.

        L = 1/B sum_i || p_i/||p_i|| - z'_i/||z'_i|| ||^2 = 2 - 2/B sum_i cos(p_i, z'_i)

    (Grill et al. 2020, equation 2.) A target that is an array, not a Tensor, gets no gradient.

    >>> byol_loss(Tensor([[2.0, 0.0], [0.0, 3.0]]), Tensor([[1.0, 0.0], [0.0, -1.0]])).item()
    2.0
    """
    return 2 - 2 * ops.mean(F.cosine_similarity(prediction, target))


@checked
def target_momentum(
    step: "int >= 0; k; beyond K, tau stays 1",
    n_steps: "int >= 1; K",
    *,
    base: "float in [0, 1]; tau_base" = 0.996,
) -> "float in [base, 1]":
    """The momentum tau at step k: it rises from tau_base to 1, so that the target slows down.

        tau = 1 - (1 - tau_base) (cos(pi k / K) + 1) / 2

    (Grill et al. 2020, section 3.3.)

    >>> [round(target_momentum(k, 100), 4) for k in (0, 50, 100)]
    [0.996, 0.998, 1.0]
    """
    progress = min(step / n_steps, 1)
    return 1 - (1 - base) * (math.cos(math.pi * progress) + 1) / 2


@checked
def spread(embeddings: "array_like of float64, shape (n, D), n and D >= 1") -> "float":
    """How far embeddings are from collapse: the mean standard deviation of their coordinates.

        spread = mean over d of  std over i of  u_id,      u_i = z_i / ||z_i||

    (Chen and He 2021, section 4.1.) The spread is 0 if all directions are equal. If they are
    spread evenly over the sphere, it has its largest value, 1/sqrt(D).

    >>> round(spread([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]]), 4)
    0.7071
    """
    u = F.normalize(embeddings).data
    return float(u.std(axis=0).mean())


@checked
class BYOL:
    """The online network, its predictor, and the target, a slow copy of the online network.

    The paper's base, 0.996, is for about 3 * 10^5 steps. A shorter training needs a smaller one.
    """

    def __init__(
        self,
        online: "Module; from (n, ...) to projections (n, D): encoder and projection head",
        predictor: "Module; from (n, D) to (n, D)",
        *,
        n_steps: "int >= 1; steps of the whole training, for `target_momentum`",
        base: "float in [0, 1]; tau at the first step" = 0.996,
    ):
        self.model = Sequential(online, predictor)    # what the optimizer trains
        self.target = momentum_copy(online)
        self.n_steps, self.base, self.step = n_steps, base, 0

    @checked
    def loss(
        self,
        x1: "ndarray, shape (B, ...); one view of each image",
        x2: "ndarray, shape (B, ...); the second views",
    ) -> "Tensor, a scalar in [0, 8]; no gradient flows to the target":
        """Update the target, then return the loss of one batch in both directions.

            xi <- tau xi + (1 - tau) theta,    L = byol_loss(q(z1), z2') + byol_loss(q(z2), z1')

        z1 = f_theta(x1) comes from the online network, z1' = f_xi(x1) from the target, and z2, z2'
        likewise from x2 (Grill et al. 2020, algorithm 1). In training, the batch norm of both
        networks uses the statistics of the batch.
        """
        online = self.model[0]
        tau = target_momentum(self.step, self.n_steps, base=self.base)
        update_momentum(self.target, online, momentum=tau)
        self.target.train(online.training)
        self.step += 1
        with no_grad():    # stop-gradient: the targets are constants
            target1, target2 = self.target(Tensor(x1)).data, self.target(Tensor(x2)).data
        prediction1, prediction2 = self.model(Tensor(x1)), self.model(Tensor(x2))
        return byol_loss(prediction1, target2) + byol_loss(prediction2, target1)


@checked
def train_byol(
    byol: "BYOL",
    X: "ndarray, shape (n, ...), n >= 1; images without labels",
    *,
    view: "function (x, rng) -> x; a random view of each image; see `augmentations`",
    rng: "numpy.random.Generator; draws the order of the images and the views",
    **options: "further arguments of `tinyml.train.fit`, such as an optimizer of "
               "byol.model",
) -> "list of dict, the history of fit; byol.model is in evaluation mode afterwards":
    """Train a BYOL on images without labels; each step draws two new views of each image."""
    def loss_of(model, x):    # model is byol.model
        return byol.loss(view(x, rng), view(x, rng))

    return fit(byol.model, X, loss_of=loss_of, rng=rng, **options)
