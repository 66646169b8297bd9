"""From features to labels: probe frozen features, ask neighbours, fine-tune.

Problem: an encoder f has learned from images without labels. What is it worth? That shows on a task which it
was not trained for, with few labels:

    extract   z_i = f(x_i), the encoder in evaluation mode, nothing in it moves
    train     a head g:  min_g  1/N sum_i l(g(z_i), y_i)        (linear probe), or no training (neighbours)
    or tune   the head and the encoder together, the encoder at a smaller rate

A linear probe is a convex problem with one answer, so it measures the features and not the optimizer: here
it is solved to a stated tolerance, without randomness, in milliseconds. What remains random is which images
got a label: see `label_efficiency`.

Sources: MATH5836 week 10, section 10.3, phase 2 and remark 10.3.1; Böhning 1992, Multinomial logistic
regression algorithm (the bound on the Hessian); Nocedal and Wright 2006, algorithms 7.4 and 7.5 (L-BFGS); Wu,
Xiong, Yu and Lin 2018 (neighbours as a judge of features).
"""
import copy
from collections import deque

import numpy as np

from tinyml import functional as F
from tinyml.check import check_labels, check_number, check_real, check_sizes
from tinyml.nn import Linear, Module, Sequential
from tinyml.optim import Adam, LambdaLR, cosine_decay
from tinyml.tensor import Tensor
from tinyml.train import fit, predict


# ------------------------------------------------------------ features

class UnitLength(Module):
    """y = (x - c) / ||x - c||_2 along the last axis: only the direction from the centre c counts; 0 stays 0.

    Parameters
    ----------
    center : array_like, shape (d,), or 0; the mean of many features, which need no labels, is a good choice:
        features that are nowhere negative, as behind a ReLU, all point in much the same direction from 0
    """

    def __init__(self, center=0.0):
        self.center = Tensor(check_real("UnitLength", "center", center))

    def forward(self, x):
        return F.normalize(x - self.center.data.astype(x.dtype), axis=-1)


def extract_features(encoder, X, *, unit_length=False, batch_size=1024):
    """The features z_i = f(x_i) of every row, the encoder in evaluation mode and without a graph.

    (MATH5836 week 10, section 10.3, phase 2, step 1.)

    Parameters
    ----------
    encoder : Module, from (n, ...) to (n, d) or (n, ...), which is flattened; its mode is put back afterwards
    X : ndarray, shape (n, ...), n >= 1
    unit_length : bool, divide every z_i by its length, as by `UnitLength`
    batch_size : int >= 1, rows at a time

    Returns
    -------
    ndarray, shape (n, d), of the encoder's dtype

    Raises
    ------
    ValueError : X is empty, or a feature is NaN or infinite
    """
    features = predict(encoder, X, batch_size=batch_size)
    features = check_real("extract_features", "the encoder's output", features.reshape(len(features), -1))
    return F.normalize(features, axis=-1).data if unit_length else features


# ------------------------------------------------------------ a linear probe

def linear_probe(features, labels, *, l2=1e-4, tolerance=1e-6, max_iter=10_000):
    """The head that is best on these features: multinomial logistic regression, solved to the end.

        min_(W, b)  L = 1/N sum_i -ln softmax(W z_i + b)_(y_i)  +  l2/2 ||W||_F^2

    (MATH5836 week 10, section 10.3, phase 2, step 2.) For l2 > 0 there is one W; b is unique up to a constant,
    here sum_c b_c = 0. At the optimum each class gets the probability, on average, that it has among the
    labels. Rotating the features rotates W; moving them all moves b; neither changes a probability.

    The solver: L-BFGS, in coordinates where the Hessian of L is at most the identity. By Böhning's bound

        H  <=  1/2 (I - 1 1'/C) (x) Z'Z/N + l2 I,

    which is diagonal in the principal axes of the centred features Z = U S V'. So each axis j is measured in
    units of (s_j^2 / 2N + l2)^(-1/2). It ends where the gradient in these coordinates is at most `tolerance`
    long, in float64 and without randomness.

    Parameters
    ----------
    features : array_like, shape (n, d), n and d >= 1
    labels : array_like of int, shape (n,), the classes 0..C-1, each at least once
    l2 : float > 0, per sample (scikit-learn's C is 1 / (N l2)); it fits features of a length near 1
    tolerance : float > 0, on the gradient
    max_iter : int >= 1

    Returns
    -------
    Linear, d to C, of the features' dtype; for use with `predict` and `accuracy` of `tinyml.train`

    Raises
    ------
    TypeError : features are not real, or labels no integers
    ValueError : shapes that do not fit, a class 0..C-1 without a row, NaN, or a number out of range
    RuntimeError : the tolerance was not reached in max_iter steps

    Examples
    --------
    >>> head = linear_probe([[-1.0], [1.0]], [0, 1], l2=0.1)
    >>> predict(head, np.array([[-3.0], [2.0]])).argmax(axis=1)
    array([0, 1])
    """
    features, labels = _check_labelled("linear_probe", features, labels)
    for name, value in (("l2", l2), ("tolerance", tolerance)):
        check_number("linear_probe", name, value, above=0)
    check_sizes("linear_probe", max_iter=max_iter)
    counts = np.bincount(labels)
    if not counts.all():
        raise ValueError(f"linear_probe: labels must hold every class 0..{len(counts) - 1}, got none of class "
                         f"{counts.argmin()}")
    mean = features.mean(axis=0, dtype=np.float64)
    U, s, Vh = np.linalg.svd(features - mean, full_matrices=False)
    unit = np.append(1 / np.sqrt(s ** 2 / (2 * len(features)) + l2), np.sqrt(2))    # of axes, then of b
    Z = np.column_stack([U * s, np.ones(len(U))]) * unit
    penalty = l2 * unit ** 2 * (np.arange(len(unit)) < len(s))                      # none on b
    objective = _probe_objective(Z, np.eye(len(counts))[labels], penalty)
    theta = minimize(objective, np.zeros((len(unit), len(counts))), tolerance=tolerance, max_iter=max_iter)
    weight = (theta * unit[:, None])[:-1].T @ Vh
    bias = theta[-1] * unit[-1] - weight @ mean
    return _head(weight, bias - bias.mean(), features.dtype)


def _probe_objective(Z, onehot, penalty):
    """theta (r, C) -> the loss of the logits Z theta with a quadratic penalty per row, and its gradient."""
    def objective(theta):
        logits = Z @ theta
        logits -= logits.max(axis=1, keepdims=True)
        p = np.exp(logits)
        total = p.sum(axis=1, keepdims=True)
        p /= total
        shrunk = penalty[:, None] * theta
        loss = (np.log(total).sum() - (logits * onehot).sum()) / len(Z) + (shrunk * theta).sum() / 2
        return loss, Z.T @ ((p - onehot) / len(Z)) + shrunk
    return objective


def minimize(objective, theta, *, tolerance, max_iter, memory=12):
    """L-BFGS with backtracking, for a smooth strictly convex function (Nocedal and Wright, algorithm 7.5).

    Parameters
    ----------
    objective : function theta -> (value, gradient)
    theta : ndarray, where to start
    tolerance : float > 0, on the length of the gradient
    max_iter : int >= 1
    memory : int >= 1, pairs of steps and changes of the gradient that tell of the curvature

    Returns
    -------
    ndarray of theta's shape

    Raises
    ------
    RuntimeError : the tolerance was not reached in max_iter steps
    """
    value, gradient = objective(theta)
    pairs = deque(maxlen=memory)
    for _ in range(max_iter):
        length = np.linalg.norm(gradient)
        if length <= tolerance:
            return theta
        step = -inverse_hessian(gradient, pairs)
        slope, size = np.vdot(gradient, step), 1.0
        rounding = 10 * np.finfo(float).eps * abs(value)
        while True:
            new_value, new_gradient = objective(theta + size * step)
            if new_value <= value + 1e-4 * size * slope + rounding or size < 1e-9:
                break
            size /= 2
        s, y = size * step, new_gradient - gradient
        if np.vdot(s, y) > 0:
            pairs.append((s, y))
        theta, value, gradient = theta + s, new_value, new_gradient
    raise RuntimeError(f"minimize: the gradient must come down to tolerance = {tolerance:g} in max_iter = "
                       f"{max_iter} steps, got {length:g}; features of unit length or a larger l2 may help")


def inverse_hessian(g, pairs):
    """H g, H the estimate of the inverse Hessian from what earlier steps met: the two loops of L-BFGS.

        H <- (I - s y'/s'y) H (I - y s'/s'y) + s s'/s'y,     for each pair, from  H = (s'y / y'y) I

    with s, y of the newest pair at the start (Nocedal and Wright 2006, equations 7.16 and 7.20, algorithm 7.4).
    H is symmetric and positive definite, and H y = s for the newest pair: the secant equation.

    Parameters
    ----------
    g : ndarray, any shape
    pairs : sequence of (s, y) of g's shape, oldest first: steps, and the changes of the gradient; s'y > 0

    Returns
    -------
    ndarray of g's shape; without pairs, H = I. Nothing is written into g
    """
    alphas = []
    for s, y in reversed(pairs):
        alphas.append(np.vdot(s, g) / np.vdot(s, y))
        g = g - alphas[-1] * y
    if pairs:
        s, y = pairs[-1]
        g = g * (np.vdot(s, y) / np.vdot(y, y))
    for (s, y), alpha in zip(pairs, reversed(alphas)):
        g = g + (alpha - np.vdot(y, g) / np.vdot(s, y)) * s
    return g


def _head(weight, bias, dtype):
    """A Linear layer with these values."""
    head = Linear(*weight.shape[::-1], rng=np.random.default_rng(0))    # whose own values are not used
    head.weight.data, head.bias.data = weight.astype(dtype), bias.astype(dtype)
    return head


def _check_labelled(function, features, labels):
    """Both as arrays, (n, d) of real numbers and (n,) of integers, or an error."""
    features = check_real(function, "features", features, ndim=2)
    labels = check_labels(function, "labels", labels, np.inf)
    if 0 in features.shape or labels.shape != features.shape[:1]:
        raise ValueError(f"{function}: features must have shape (n, d), n and d >= 1, and labels (n,), got "
                         f"{features.shape} and {labels.shape}")
    return features, labels


# ------------------------------------------------------------ neighbours

def knn(features, labels, queries, *, k=1, metric="cosine"):
    """Name every query after the majority of its k nearest labelled features.

    Of features at the same distance the one that comes first is nearer. Of classes with equally many votes
    the one with the nearest voter wins. Distances are computed in float64.

    Parameters
    ----------
    features : array_like, shape (n, d), n and d >= 1
    labels : array_like of int, shape (n,), classes >= 0
    queries : array_like, shape (m, d)
    k : int in 1..n
    metric : "cosine", 1 - cos(a, b), where a zero vector has the distance 1 to all; or "euclidean", ||a - b||_2

    Returns
    -------
    ndarray of int64, shape (m,)

    Raises
    ------
    TypeError : features or queries are not real, or labels no integers
    ValueError : shapes that do not fit, k outside 1..n, another metric, NaN

    Examples
    --------
    >>> knn([[0.0], [1.0], [5.0]], [0, 0, 1], [[0.6], [4.0]], metric="euclidean")
    array([0, 1])
    """
    features, labels = _check_labelled("knn", features, labels)
    queries = check_real("knn", "queries", queries, ndim=2)
    if queries.shape[1] != features.shape[1]:
        raise ValueError(f"knn: queries must have shape (m, d={features.shape[1]}), got {queries.shape}")
    check_sizes("knn", k=k)
    if k > len(features):
        raise ValueError(f"knn: k must be at most the {len(features)} rows of features, got {k}")
    nearest = np.argsort(_distances(queries, features, metric), axis=1, kind="stable")[:, :k]
    voters = labels[nearest]                                                    # (m, k), nearest first
    votes = (voters[:, :, None] == voters[:, None, :]).sum(axis=2)              # for the class of each voter
    return voters[np.arange(len(voters)), votes.argmax(axis=1)]                 # argmax: the first of the best


def _distances(a, b, metric):
    """(m, n) numbers that grow with the distance between rows of a and of b."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    if metric not in ("cosine", "euclidean"):
        raise ValueError(f'knn: metric must be "cosine" or "euclidean", got {metric!r}')
    if metric == "cosine":
        a, b = F.normalize(a).data, F.normalize(b).data
    # ||a||^2 - 2 a.b + ||b||^2 would be one product, but it loses the digits that near rows share
    squares = np.array([((row - b) ** 2).sum(axis=1) for row in a]).reshape(len(a), len(b))
    if metric == "cosine":    # of unit vectors ||u - v||^2 = 2 (1 - u.v); a zero vector is at 2 from all
        squares[~a.any(axis=1)] = 2
        squares[:, ~b.any(axis=1)] = 2
    return squares


# ------------------------------------------------------------ fine-tuning

def fine_tune(encoder, head, X, y, *, encoder_lr, head_lr, epochs, batch_size, rng, **options):
    """Train copies of encoder and head together on labelled data: Adam at two rates, both on a cosine to 0.

        min_(theta, phi)  1/N sum_i l(g_phi(f_theta(x_i)), y_i)

    The head starts from nothing, or better from `linear_probe`; the encoder knows something already, which a
    small rate keeps. The encoder and head that are passed in stay as they are, ready for the next draw.

    Parameters
    ----------
    encoder : Module, from (n, ...) to (n, d)
    head : Module, from (n, d) to logits (n, C)
    X : ndarray, shape (n, ...), n >= 1
    y : ndarray of int, shape (n,), labels in 0..C-1
    encoder_lr, head_lr : float >= 0, the rates of the first step; 0 leaves the parameters as they are
    epochs : int >= 0
    batch_size : int >= 1
    rng : numpy.random.Generator
    **options : what else `tinyml.train.fit` takes: loss_of, metrics, callbacks ...

    Returns
    -------
    Sequential(encoder, head), the trained copies, in evaluation mode

    Raises
    ------
    TypeError, ValueError : as in fit and Adam; an encoder or a head without parameters
    """
    model = copy.deepcopy(Sequential(encoder, head)).eval()
    optimizer = Adam([{"params": part.parameters(), "lr": lr} for part, lr in zip(model, (encoder_lr, head_lr))])
    steps = max(1, epochs * -(-len(X) // batch_size))
    schedule = LambdaLR(optimizer, lambda t: cosine_decay(t, steps))
    fit(model, X, y, optimizer=optimizer, schedule=schedule, epochs=epochs, batch_size=batch_size, rng=rng,
        **options)
    return model
