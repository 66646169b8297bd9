"""BYOL: predict one's own slow copy, without negatives, and do not collapse.

Problem: negatives are a nuisance. They must be many, and some of them are no negatives at all: two threes push
each other apart. But if views are only pulled together, the best is to map everything to one point.

Idea: two networks that are not alike. The *online* network, with one more head q (the *predictor*), predicts
what the *target* network says about the other view. The target is a slow average of the online network, and
takes no gradient:

    L = || q(z)/||q(z)|| - z'/||z'|| ||^2 = 2 - 2 cos(q(z), z'),     xi <- tau xi + (1 - tau) theta

One point for all images is still a minimum of L; but theta does not go down L in (theta, xi) together: xi does
not try to be easy to predict. Take the predictor or the stop-gradient away, and training walks to that point.
How far it has come shows in the `spread` of the embeddings: 0 at one point, 1/sqrt(D) all over the sphere.

Sources: Grill et al. 2020, Bootstrap your own latent (equations 1 and 2; section 3.3 on tau; table 5b on what
must not be left out); Chen and He 2021, Exploring simple Siamese representation learning (spread, figure 2).
"""
import math

import numpy as np

from tinyml import functional as F
from tinyml import ops
from tinyml.check import check_number, check_real, check_sizes
from tinyml.nn import Sequential
from tinyml.selfsupervised.moco import momentum_copy, update_momentum
from tinyml.tensor import Tensor, as_tensor, no_grad
from tinyml.train import fit


def byol_loss(prediction, target):
    """The squared distance of two directions, mean over the rows.

        L = 1/B sum_i || p_i/||p_i|| - z_i/||z_i|| ||^2 = 2 - 2/B sum_i cos(p_i, z_i)

    (Grill et al. 2020, equation 2.) A zero vector has cos = 0 with everything. Gradients flow to both: pass an
    array, or detach, where there shall be none.

    Parameters
    ----------
    prediction, target : Tensor or ndarray, shape (B, D), B >= 1, D >= 1

    Returns
    -------
    Tensor, a scalar in [0, 4]

    Raises
    ------
    TypeError : not real numbers
    ValueError : shapes that differ, or are not (B, D)

    Examples
    --------
    >>> byol_loss(Tensor([[2.0, 0.0], [0.0, 3.0]]), Tensor([[1.0, 0.0], [0.0, -1.0]])).item()
    2.0
    """
    p, z = as_tensor(prediction), as_tensor(target)
    if p.ndim != 2 or p.shape != z.shape or 0 in p.shape:
        raise ValueError("byol_loss: prediction and target must have one shape (B, D), B and D >= 1, got "
                         f"{p.shape} and {z.shape}")
    return 2 - 2 * ops.mean(F.cosine_similarity(p, z))


def target_momentum(step, n_steps, *, base=0.996):
    """tau of a step: from `base` up to 1 on a cosine, so that the target moves less and less.

        tau_k = 1 - (1 - tau_base) (cos(pi k / K) + 1) / 2

    (Grill et al. 2020, section 3.3.)

    Parameters
    ----------
    step : int >= 0, k; beyond K it stays 1
    n_steps : int >= 1, K
    base : float in [0, 1], tau_base

    Returns
    -------
    float in [base, 1]

    Raises
    ------
    ValueError : a number out of range

    Examples
    --------
    >>> [round(target_momentum(k, 100), 4) for k in (0, 50, 100)]
    [0.996, 0.998, 1.0]
    """
    check_sizes("target_momentum", n_steps=n_steps)
    check_number("target_momentum", "step", step, at_least=0)
    check_number("target_momentum", "base", base, at_least=0, at_most=1)
    return 1 - (1 - base) * (math.cos(math.pi * min(step / n_steps, 1)) + 1) / 2


def spread(embeddings):
    """How far embeddings are from all being one: the standard deviation of their directions.

        spread = mean over d of  std over i of  u_id,      u_i = z_i / ||z_i||

    (Chen and He 2021, section 4.1.) It is 0 if all directions are equal, and at most 1/sqrt(D): the mean square
    over d is (1 - ||mean u||^2) / D, so it is reached if and only if the u_i have mean 0 and all coordinates
    vary equally, as on the whole sphere.

    Parameters
    ----------
    embeddings : array_like, shape (n, D), n >= 1, D >= 1; a zero vector stays zero

    Returns
    -------
    float in [0, 1/sqrt(D)]

    Raises
    ------
    TypeError, ValueError : not real, not finite, or of another shape

    Examples
    --------
    >>> round(spread([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]]), 4)
    0.7071
    """
    z = check_real("spread", "embeddings", embeddings, ndim=2).astype(np.float64)
    if 0 in z.shape:
        raise ValueError(f"spread: embeddings must have shape (n, D), n and D >= 1, got {z.shape}")
    return float(F.normalize(z).data.std(axis=0).mean())


class BYOL:
    """The online network, its predictor, and its slow copy, the target.

    Parameters
    ----------
    online : Module, from (n, ...) to projections (n, D): encoder and projection head
    predictor : Module, from (n, D) to (n, D)
    n_steps : int >= 1, steps of training in all, for `target_momentum`
    base : float in [0, 1], tau at the first step; the paper's 0.996 is for 10^5 steps, fewer need less

    Attributes: `model` is Sequential(online, predictor), whose parameters are to be optimized; `target` the
    `momentum_copy` of online; `step` counts the losses.

    Raises
    ------
    ValueError, TypeError : a number out of range
    """

    def __init__(self, online, predictor, *, n_steps, base=0.996):
        target_momentum(0, n_steps, base=base)    # refuses what is out of range
        self.model, self.target = Sequential(online, predictor), momentum_copy(online)
        self.n_steps, self.base, self.step = n_steps, base, 0

    def loss(self, predicted, x1, x2):
        """The loss of one batch, both directions (Grill et al. 2020, algorithm 1).

            xi <- tau xi + (1 - tau) theta,     L = byol_loss(q(z_1), z'_2) + byol_loss(q(z_2), z'_1)

        with z = f_theta(x) and z' = f_xi(x). The target moves before the loss, which is after the optimizer's
        last step; at the first it equals the online network already.

        Parameters
        ----------
        predicted : Tensor, shape (B, D), q(z_1), that is model(x1)
        x1, x2 : ndarray, shape (B, ...), two views of each image

        Returns
        -------
        Tensor, a scalar in [0, 8]; no gradient flows to the target
        """
        online = self.model[0]
        tau = target_momentum(self.step, self.n_steps, base=self.base)
        update_momentum(self.target.train(online.training), online, momentum=tau)
        self.step += 1
        with no_grad():
            targets = [self.target(Tensor(x)).data for x in (x1, x2)]
        return byol_loss(predicted, targets[1]) + byol_loss(self.model(Tensor(x2)), targets[0])


def train_byol(byol, X, *, view, rng, **options):
    """Pre-train the online network of a BYOL on images without labels, through `tinyml.train.fit`.

    Every image comes as two views, drawn anew in each epoch.

    Parameters
    ----------
    byol : BYOL; its model is trained, and in evaluation mode afterwards
    X : ndarray, shape (n, ...), n >= 1
    view : function (x, rng) -> x, a random view of each row, see `augmentations`
    rng : numpy.random.Generator
    **options : what else fit takes: optimizer (of byol.model's parameters), epochs, batch_size ...

    Returns
    -------
    list of dict, the history of fit

    Raises
    ------
    TypeError, ValueError : as in fit and `byol_loss`
    """
    def loss_of(model, x):
        x1 = view(x, rng)
        predicted = model(Tensor(x1))
        return byol.loss(predicted, x1, view(x, rng))
    return fit(byol.model, X, loss_of=loss_of, rng=rng, **options)
