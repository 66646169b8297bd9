"""From features to labels: train a small head on frozen features, ask neighbours, or fine-tune.

Problem: an encoder f has learned from data without labels. How good are its features? We
measure it on a new task with few labels.

Idea: take the features z_i = f(x_i) of the encoder (`extract_features`). There are three ways to
predict the labels y_i:

    `linear_probe`    train a head g on frozen features: minimise 1/n sum_i loss(g(z_i), y_i)
    `knn`             compare with the nearest labelled features, without training
    `fine_tune`       train encoder and head together

A linear probe with a penalty l2 > 0 is a convex problem. Its solution is unique, up to a constant
in b. If this problem is solved to high precision, the result depends on the features, not on the
optimizer. The choice of the labelled samples is still random: see `label_efficiency`.

Sources: MATH5836 week 10, section 10.3, phase 2 and remark 10.3.1; Wu, Xiong, Yu and Lin 2018,
Unsupervised feature learning via non-parametric instance discrimination (neighbours).
"""
import copy
import math

import numpy as np

from tinyml import functional as F
from tinyml.contract import checked
from tinyml.lbfgs import minimize
from tinyml.nn import Linear, Module, Sequential
from tinyml.optim import Adam, LambdaLR, cosine_decay
from tinyml.tensor import Tensor
from tinyml.train import fit, predict

# ------------------------------------------------------------ features

@checked
class UnitLength(Module):
    """y = (x - c) / ||x - c||_2 along the last axis; x = c gives 0.

    ReLU features are all >= 0. Seen from the origin, they all point in similar directions; seen
    from their mean they do not. So for ReLU features choose c = their mean. That needs no labels.
    """

    def __init__(self, center: "array_like, shape (d,) or (); c" = 0.0):
        self.center = Tensor(center)

    def forward(self, x):
        return F.normalize(x - self.center.data.astype(x.dtype), axis=-1)


@checked
def extract_features(
    encoder: "Module; from (n, ...) to (n, d), or to more axes, which are flattened",
    X: "ndarray, shape (n, ...), n >= 1",
    *,
    unit_length: "bool; divide every z_i by its length" = False,
    batch_size: "int >= 1; rows at a time" = 1024,
) -> "ndarray, shape (n, d), in the dtype of the encoder":
    """The features z_i = f(x_i), with the encoder frozen (notes 10.3, phase 2, step 1)."""
    # z_i = f(x_i), with f frozen
    z = predict(encoder, X, batch_size=batch_size)    # notes 10.3, features
    z = z.reshape(len(z), -1)
    if not np.isfinite(z).all():
        raise ValueError("extract_features: encoder must give finite features, got NaN or "
                         "infinity; did its training diverge?")
    return F.normalize(z, axis=-1).data if unit_length else z


# ------------------------------------------------------------ a linear probe

@checked
def linear_probe(
    features: "array_like, shape (n, d), n >= 1, d >= 1; rows of norm about 1 work "
              "best",
    labels: "array_like of int, shape (n,), >= 0; with each class 0..C-1 at least once",
    *,
    l2: "float > 0; weight of the penalty; scikit-learn's parameter C is 1 / "
        "(n l2)" = 1e-4,
    tolerance: "float > 0; the norm of the gradient at which to stop" = 1e-6,
    max_iter: "int >= 1; steps of `tinyml.lbfgs.minimize`" = 10_000,
) -> "Linear, d to C, in the dtype of the features":
    """The best linear head on frozen features: multinomial logistic regression.

        minimise over W, b:   1/n sum_i -ln softmax(W z_i + b)_(y_i)  +  l2/2 ||W||_F^2

    (MATH5836 week 10, section 10.3, phase 2, step 2.) b is unique up to a constant, chosen here
    such that sum_c b_c = 0.

    >>> head = linear_probe([[-1.0], [1.0]], [0, 1], l2=0.1)
    >>> predict(head, np.array([[-3.0], [2.0]])).argmax(axis=1)
    array([0, 1])
    """
    classes = np.unique(labels)
    missing = np.flatnonzero(classes != np.arange(len(classes)))
    if missing.size:
        raise ValueError("linear_probe: labels must hold every class 0..C-1, got none of class "
                         f"{missing[0]}")
    mean = features.mean(axis=0, dtype=np.float64)
    # with centred features the minimum and W are the same, and fewer steps are needed
    z_centred = Tensor(features - mean)
    head = _zero_head(features.shape[1], len(classes))

    def objective():
        penalty = l2 / 2 * (head.weight ** 2).sum()
        return F.cross_entropy(head(z_centred), labels) + penalty    # notes 10.3, task head

    # min over phi = (W, b), the parameters of g = head
    minimize(objective, head.parameters(), tolerance=tolerance, max_iter=max_iter)
    b = head.bias.data - head.weight.data @ mean    # W (z - mean) + b = W z + (b - W mean)
    head.bias.data = b - b.mean()
    for p in head.parameters():
        p.data, p.grad = p.data.astype(features.dtype), None
    return head


def _zero_head(d, n_classes):
    """A Linear of zeros in float64, a start that needs no random numbers."""
    head = Linear(d, n_classes, rng=np.random.default_rng(0))
    for p in head.parameters():
        p.data = np.zeros(p.shape)
    return head


# ------------------------------------------------------------ neighbours

@checked
def knn(
    features: "array_like of float64, shape (n, d), n >= 1, d >= 1",
    labels: "array_like of int, shape (n,), >= 0",
    queries: "array_like of float64, shape (m, d)",
    *,
    k: "int in 1..n" = 1,
    metric: '"cosine" or "euclidean"; the distance is 1 - cos(a, b), or '
            '||a - b||_2' = "cosine",
) -> "ndarray of int, shape (m,); a tie goes to the tied class with the nearest neighbour":
    """The most frequent label among the k nearest labelled features of every query.

    >>> knn([[0.0], [1.0], [5.0]], [0, 0, 1], [[0.6], [4.0]], metric="euclidean")
    array([0, 1])
    """
    distances_of = _cosine_distances if metric == "cosine" else _squared_distances
    distances = distances_of(queries, features)
    nearest = np.argsort(distances, axis=1, kind="stable")[:, :k]
    voters = labels[nearest]                                          # (m, k), nearest first
    votes = (voters[:, :, None] == voters[:, None, :]).sum(axis=2)    # for each voter's class
    winner = votes.argmax(axis=1)                                     # the first, if votes tie
    return voters[np.arange(len(voters)), winner]


def _squared_distances(queries, features):
    """||a - b||^2 for all pairs of rows, (m, n).

    The expanded form ||a||^2 - 2 a'b + ||b||^2 is faster. But far from the origin, rounding hides
    the difference of rows that are near each other.
    """
    distances = np.empty((len(queries), len(features)))
    for i, query in enumerate(queries):
        distances[i] = ((query - features) ** 2).sum(axis=1)
    return distances


def _cosine_distances(queries, features):
    """2 (1 - cos(a, b)) for all pairs of rows, (m, n), as ||u - v||^2 of unit vectors u and v.

    The cosine with a zero vector counts as 0. `knn` needs only the order of the distances, so the
    factor 2 does not matter.
    """
    distances = _squared_distances(F.normalize(queries).data, F.normalize(features).data)
    distances[~queries.any(axis=1)] = 2
    distances[:, ~features.any(axis=1)] = 2
    return distances


# ------------------------------------------------------------ fine-tuning

@checked
def fine_tune(
    encoder: "Module; from (n, ...) to (n, d)",
    head: "Module; from (n, d) to logits (n, C)",
    X: "ndarray, shape (n, ...), n >= 1",
    y: "array_like of int, shape (n,), >= 0; classes 0..C-1",
    *,
    encoder_lr: "float >= 0; learning rate of the encoder at the first step",
    head_lr: "float >= 0; learning rate of the head at the first step",
    epochs: "int >= 0",
    batch_size: "int >= 1",
    rng: "numpy.random.Generator",
    **options: "further arguments of `tinyml.train.fit`, such as loss_of and metrics",
) -> "Sequential(encoder, head), the trained copies, in evaluation mode":
    """Train copies of an encoder and a head together, with Adam at two learning rates.

        minimise over theta, phi:   1/n sum_i loss(g_phi(f_theta(x_i)), y_i)

    Both rates fall to 0 along a cosine. Start with the head of `linear_probe` and a small
    encoder_lr, which keeps most of what the encoder has learned.
    """
    model = copy.deepcopy(Sequential(encoder, head))
    optimizer = Adam([{"params": model[0].parameters(), "lr": encoder_lr},
                      {"params": model[1].parameters(), "lr": head_lr}])
    n_steps = max(1, epochs * math.ceil(len(X) / batch_size))
    schedule = LambdaLR(optimizer, lambda t: cosine_decay(t, n_steps))
    fit(model, X, y, optimizer=optimizer, schedule=schedule, epochs=epochs, batch_size=batch_size,
        rng=rng, **options)
    return model
