"""MoCo: a queue of earlier keys gives many negatives, and a slow encoder keeps them comparable.

Problem: a contrastive loss needs many negatives. SimCLR takes them from the batch, and a larger
batch costs memory and time. The embeddings of earlier batches cost nothing, but each step
changes the encoder, and embeddings of different encoders are not comparable.

Idea: two encoders. The *query* encoder, with parameters theta_q, is trained. The *key* encoder,
with parameters theta_k, follows slowly:

    theta_k <- m theta_k + (1 - m) theta_q,       m near 1.

A queue holds the newest K keys, the outputs of the key encoder for many batches. Because theta_k
changes slowly, these keys are nearly the outputs of a single encoder. The loss is InfoNCE. The
positive of a query is the key of the other view of its image; the negatives are the keys in the
queue. No gradient flows into the keys.

Here a key is never a negative for a view of its own image (in the paper it may be). With a small
data set the queue may hold older keys of the images of a batch: no query of the batch uses them.

Sources: MATH5836 week 10, section 10.3.2; He, Fan, Wu, Xie and Girshick 2020, Momentum contrast
for unsupervised visual representation learning (where m = 0.999, K = 65,536, T = 0.07).
"""
import copy

import numpy as np

from tinyml.contract import checked
from tinyml.selfsupervised.contrastive import info_nce
from tinyml.tensor import Tensor, no_grad
from tinyml.train import fit

# ------------------------------------------------------------ the slow copy

@checked
def momentum_copy(
    model: "Module",
) -> "Module, of the same class; its parameters have requires_grad=False":
    """A copy of a model that gets no gradients: only `update_momentum` changes the copy."""
    slow = copy.deepcopy(model)
    for parameter in slow.parameters():
        parameter.requires_grad = False
    return slow


@checked
def update_momentum(
    slow: "Module; whose arrays are replaced",
    fast: "Module; with arrays of the same names and shapes; see `momentum_copy`",
    *,
    momentum: "float in [0, 1]; m; 0 copies the fast model, 1 freezes the slow one",
):
    """Let a slow model follow a fast model, in parameters and in buffers.

        theta_slow <- m theta_slow + (1 - m) theta_fast

    (He et al. 2020, equation 2.) The fast model of s updates ago has weight (1 - m) m^s, so the
    slow model averages roughly the last 1 / (1 - m) fast models. Integers and booleans are copied.
    """
    theta_slow, theta_fast = slow.state_dict(), fast.state_dict()
    _check_same_shapes(theta_slow, theta_fast)
    for name in theta_slow:
        old, new = theta_slow[name], theta_fast[name]
        is_float = old.dtype.kind == "f"
        theta_slow[name] = momentum * old + (1 - momentum) * new if is_float else new
    slow.load_state_dict(theta_slow)


def _check_same_shapes(slow, fast):
    """Raise ValueError if the arrays of two state_dicts differ in names or shapes."""
    slow_shapes = {name: array.shape for name, array in slow.items()}
    fast_shapes = {name: array.shape for name, array in fast.items()}
    for name in sorted(slow.keys() | fast.keys()):
        old, new = slow_shapes.get(name), fast_shapes.get(name)    # None if there is no such array
        if old != new:
            raise ValueError("update_momentum: slow and fast must have the same names and shapes, "
                             f"got {old} and {new} for {name}")


# ------------------------------------------------------------ the queue

@checked
class KeyQueue:
    """The newest K keys, in a ring buffer, and for each key the index of its image."""

    def __init__(self, size: "int >= 1; K"):
        self.size = size
        self.ring = None              # the keys, (K, D), from the first push on, when D is known
        self.ids = np.zeros(size, int)    # for each key the index of its image
        self.next = 0                 # the slot of the next key
        self.filled = 0               # how many slots hold a key

    def __len__(self):
        return self.filled

    @checked
    def push(
        self,
        keys: "ndarray, shape (B, D); with the D of earlier keys",
        ids: "array_like of int, shape (B,); for each key the index of its image",
    ):
        """Put keys into the next slots, one by one; after the last slot comes slot 0 again."""
        if self.ring is None:
            self.ring = np.zeros((self.size, keys.shape[1]), keys.dtype)
        if keys.shape[1] != self.ring.shape[1]:
            raise ValueError(f"push: keys must have D = {self.ring.shape[1]} columns, like the "
                             f"earlier keys, got {keys.shape[1]}")
        slots = (self.next + np.arange(len(keys))) % self.size
        self.ring[slots] = keys       # where a slot occurs twice, the later key stays
        self.ids[slots] = ids
        self.next = (self.next + len(keys)) % self.size
        self.filled = min(self.filled + len(keys), self.size)

    @checked
    def keys(self, *, without: "sequence of int; the indices of images" = ()):
        """A copy of the keys, slot by slot, without the keys of these images.

        Returns
        -------
        ndarray, shape (n, D), of the n keys that are left; shape (0, 0) before the first push
        """
        if self.ring is None:
            return np.zeros((0, 0), np.float32)    # which changes the dtype of no loss
        keys, ids = self.ring[:self.filled], self.ids[:self.filled]
        return keys[~np.isin(ids, without)]


# ------------------------------------------------------------ the method

@checked
class MoCo:
    """The query encoder, the key encoder and the queue of keys."""

    def __init__(
        self,
        query: "Module; from (n, ...) to embeddings (n, D): encoder and projection head",
        *,
        queue_size: "int >= 1; K",
        momentum: "float in [0, 1]; m",
        temperature: "float in [1e-4, 1e4]; T",
    ):
        self.query, self.key = query, momentum_copy(query)
        self.queue = KeyQueue(queue_size)
        self.momentum, self.temperature = momentum, temperature

    @checked
    def loss(
        self,
        x_query: "ndarray, shape (B, ...); one view of each image",
        x_key: "ndarray, shape (B, ...); the second views",
        ids: "ndarray of int, shape (B,); the indices of the images",
    ) -> "Tensor, a scalar; its gradient reaches the query encoder only":
        """Update the key encoder, return the loss of one batch, and put its keys into the queue.

            theta_k <- m theta_k + (1 - m) theta_q
            q = f_q(x_query),     k = f_k(x_key)
            L = info_nce(q, k, keys in the queue of images outside of the batch)

        f_q and f_k are the two encoders (He et al. 2020, algorithm 1). For the first batch the
        queue is empty, so the loss is 0. In training, the batch norm of both encoders uses the
        statistics of the batch.
        """
        q = self.query(Tensor(x_query))                                 # (B, D)
        self.key.train(self.query.training)
        update_momentum(self.key, self.query, momentum=self.momentum)
        with no_grad():
            k = self.key(Tensor(x_key)).data                            # (B, D)
        negatives = self.queue.keys(without=ids)
        negatives = negatives.reshape(-1, k.shape[1])    # an empty queue gives (0, 0)
        loss = info_nce(q, k, negatives, temperature=self.temperature)
        self.queue.push(k, ids)
        return loss


@checked
def train_moco(
    moco: "MoCo",
    X: "ndarray, shape (n, ...), n >= 1; images without labels",
    *,
    view: "function (x, rng) -> x; a random view of each image; see `augmentations`",
    rng: "numpy.random.Generator; draws the order of the images and the views",
    **options: "further arguments of `tinyml.train.fit`, such as an optimizer of "
               "moco.query",
) -> "list of dict, the history of fit; moco.query is in evaluation mode afterwards":
    """Train a MoCo on images without labels; each step draws two new views of each image."""
    def loss_of(query, x, ids):    # query is moco.query
        return moco.loss(view(x, rng), view(x, rng), ids)

    return fit(moco.query, X, np.arange(len(X)), loss_of=loss_of, rng=rng, **options)
