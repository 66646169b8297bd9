"""MoCo: a queue of earlier images gives many negatives, and a slow copy of the encoder keeps them comparable.

Problem: a contrastive loss wants many negatives. SimCLR has as many as the batch is large; a larger batch
costs memory and time. Embeddings of earlier batches are there for free, but the encoder that made them is
gone: after each step the encoder is another, and old embeddings speak another language.

Idea: two encoders. The *query* encoder q is trained; the *key* encoder k follows it slowly,

    theta_k <- m theta_k + (1 - m) theta_q,       m near 1,

so that keys of many batches, kept in a queue of the newest K, are as good as of one encoder. The loss is
InfoNCE: which key belongs to the query, that of its other view or one of the queue? No gradient flows into
keys; there would be none to follow, as most of them were made steps ago.

Whose key is a negative? Not the query's own: the queue takes in the keys of a batch after its loss. On a small
data set an *earlier* view of the same image may still be in the queue; it is passed over here, by its number.

Sources: He, Fan, Wu, Xie and Girshick 2020, Momentum contrast for unsupervised visual representation learning
(equations 1 and 2, algorithm 1; m = 0.999, K = 65,536, T = 0.07); MATH5836 week 10, section 10.3.2.
"""
import copy

import numpy as np

from tinyml.check import check_number, check_real, check_sizes
from tinyml.selfsupervised.contrastive import info_nce
from tinyml.tensor import Tensor, no_grad
from tinyml.train import fit


def update_momentum(slow, fast, *, momentum):
    """Let one model follow another, in its parameters and in its buffers.

        theta_slow <- m theta_slow + (1 - m) theta_fast

    (He et al. 2020, equation 2; Grill et al. 2020, equation 1.) m = 0 copies and m = 1 changes nothing, to the
    bit. After t updates the model of s updates ago has the weight (1 - m) m^s: the slow model is an average
    over the last 1 / (1 - m) ones. Integers and booleans cannot be averaged: they are copied, unless m = 1.

    Parameters
    ----------
    slow : Module, changed: its arrays are bound anew, none is written to
    fast : Module of the same structure, as made by `momentum_copy`; stays as it is
    momentum : float in [0, 1], m

    Raises
    ------
    ValueError : m is out of range, or the models have other names or shapes
    """
    momentum = check_number("update_momentum", "momentum", momentum, at_least=0, at_most=1)
    old, new = slow.state_dict(), fast.state_dict()
    shapes = [{name: array.shape for name, array in state.items()} for state in (old, new)]
    if shapes[0] != shapes[1]:
        odd = sorted(name for name, _ in shapes[0].items() ^ shapes[1].items())
        raise ValueError("update_momentum: slow and fast must have arrays of the same names and shapes, got "
                         f"differences in {', '.join(odd)}")
    if momentum < 1:
        slow.load_state_dict({name: momentum * old[name] + (1 - momentum) * new[name]
                              if old[name].dtype.kind == "f" else new[name] for name in old})


def momentum_copy(model):
    """A copy of a model that never gets a gradient: only `update_momentum` moves it.

    Parameters
    ----------
    model : Module

    Returns
    -------
    Module of the same class, with equal arrays of its own, whose parameters have requires_grad=False
    """
    slow = copy.deepcopy(model)
    for parameter in slow.parameters():
        parameter.requires_grad = False    # and a copy has no grad
    return slow


class KeyQueue:
    """The newest K keys with the numbers of their images, first in, first out: a ring.

    Parameters
    ----------
    size : int >= 1, K
    """

    def __init__(self, size):
        check_sizes("KeyQueue", size=size)
        self.size, self.next, self.filled = size, 0, 0    # next: where the next key goes
        self.ring, self.ids = None, np.full(size, -1)

    def __len__(self):
        return self.filled

    def push(self, keys, ids):
        """Take in keys, in this order, as copies; each one beyond K pushes out the oldest.

        Place `next` of `ring` and `ids`, in 0..K-1, is where the next key goes and its number, and after the last
        place comes place 0. What counts is what the method `keys` reads: the `filled` places before `next`, oldest
        first. There all is as if the keys had come one by one, also where B > K.

        Parameters
        ----------
        keys : ndarray, shape (B, D), B >= 0; if B > K only the last K stay
        ids : array_like of int, shape (B,), the number of the image that each belongs to

        Raises
        ------
        ValueError : shapes that do not fit, another D than before, or keys that are not finite
        """
        keys, ids = check_real("KeyQueue", "keys", keys, ndim=2), np.asarray(ids)
        if self.ring is None:
            self.ring = np.zeros((self.size, keys.shape[1]), keys.dtype)
        if ids.shape != keys.shape[:1] or keys.shape[1] != self.ring.shape[1]:
            raise ValueError(f"KeyQueue: keys must have shape (B, D={self.ring.shape[1]}) and ids (B,), got "
                             f"{keys.shape} and {ids.shape}")
        places = (self.next + np.arange(len(keys))[-self.size:]) % self.size
        self.ring[places], self.ids[places] = keys[-self.size:], ids[-self.size:]
        self.next = (self.next + len(keys)) % self.size
        self.filled = min(self.filled + len(keys), self.size)

    def keys(self, *, without=()):
        """The keys of all images but some, oldest first.

        Parameters
        ----------
        without : sequence of int, the numbers of images that are passed over

        Returns
        -------
        ndarray, shape (k, D), a copy, k <= K; D = 0 before the first `push`
        """
        if self.ring is None:
            return np.zeros((0, 0), np.float32)
        order = (self.next - self.filled + np.arange(self.filled)) % self.size
        return self.ring[order[~np.isin(self.ids[order], without)]]


class MoCo:
    """The query network, its slow copy, and the queue: what the loss of a batch needs besides the batch.

    Parameters
    ----------
    query : Module, from (n, ...) to embeddings (n, D): encoder and projection head
    queue_size : int >= 1, K; may be smaller than a batch, then the newest K keys of it stay
    momentum : float in [0, 1], m
    temperature : float in [1e-4, 1e4], T

    Attributes: `query` as passed in, `key` its `momentum_copy`, `queue` a `KeyQueue`, empty at first.

    Raises ValueError or TypeError for numbers out of range; that of T comes from `info_nce`.
    """

    def __init__(self, query, *, queue_size, momentum, temperature):
        momentum = check_number("MoCo", "momentum", momentum, at_least=0, at_most=1)
        self.query, self.key, self.queue = query, momentum_copy(query), KeyQueue(queue_size)
        self.momentum, self.temperature = momentum, temperature

    def loss(self, queries, x, ids):
        """The loss of one batch; then its keys join the queue (He et al. 2020, algorithm 1).

            theta_k <- m theta_k + (1 - m) theta_q,    k_i = f_k(x_i),
            L = 1/B sum_i -ln( e^(q_i.k_i / T) / (e^(q_i.k_i / T) + sum_j e^(q_i.k_j / T)) ),

        all vectors scaled to length 1, and j over the keys of the queue whose image is not in this batch. With
        none of them, as in the first batch, the loss is 0 and so is the gradient.

        Parameters
        ----------
        queries : Tensor, shape (B, D), B >= 1, q = f_q(one view)
        x : ndarray, shape (B, ...), the other view of each
        ids : ndarray of int, shape (B,), the numbers of the images

        Returns
        -------
        Tensor, a scalar; its gradient flows to the queries alone
        """
        update_momentum(self.key.train(self.query.training), self.query, momentum=self.momentum)
        with no_grad():
            keys = self.key(Tensor(x)).data
        negatives = self.queue.keys(without=ids).reshape(-1, keys.shape[1])
        loss = info_nce(queries, keys, negatives, temperature=self.temperature)
        self.queue.push(keys, ids)
        return loss


def train_moco(moco, X, *, view, rng, **options):
    """Pre-train the query network of a MoCo on images without labels, through `tinyml.train.fit`.

    Every image comes as two views, drawn anew in each epoch: one is the query's, the other the key's.

    Parameters
    ----------
    moco : MoCo; its query network is trained, and in evaluation mode afterwards
    X : ndarray, shape (n, ...), n >= 1
    view : function (x, rng) -> x, a random view of each row, see `augmentations`
    rng : numpy.random.Generator
    **options : what else fit takes: optimizer (of moco.query's parameters), epochs, batch_size ...

    Returns
    -------
    list of dict, the history of fit

    Raises
    ------
    TypeError, ValueError : as in fit and `info_nce`
    """
    def loss_of(query, x, ids):
        queries = query(Tensor(view(x, rng)))
        return moco.loss(queries, view(x, rng), ids)
    return fit(moco.query, X, np.arange(len(X)), loss_of=loss_of, rng=rng, **options)
