"""Which optimizers find the shortest fit X^+ y, and which do not.

Problem: with n samples and p > n features, infinitely many beta fit perfectly, and the loss
prefers none of them. So the optimizer decides. Do SGD, momentum and Adam end where gradient
descent does?

Idea: split beta into the part that X sees, X^+ X beta, and the rest, which changes no
prediction on the training data. All perfect fits share the first part, and by Pythagoras

    X beta = y   =>   X^+ X beta = X^+ y,      ||beta||^2 = ||X^+ y||^2 + ||(I - X^+ X) beta||^2

The gradient X'(X beta - y) is a combination of rows of X, also on a batch of rows. The steps of
gradient descent, SGD and momentum are sums of gradients, so they stay in the row space. If these
methods start at zero and reach a perfect fit, this fit is X^+ y: they differ only in speed.

Adam divides each coordinate of the gradient by a running mean of its size. At the first step, and
while the gradient changes slowly, a step is about -lr sign(gradient), which leaves the row space.
Adam too reaches a perfect fit, but in general a longer one.

What X does not see still changes the predictions on new data. Whether for better or for worse
depends on the truth.

Sources: Strohmer and Vershynin 2009, A randomized Kaczmarz algorithm with exponential
convergence; Polyak 1964, Some methods of speeding up the convergence of iteration methods;
Wilson, Roelofs, Stern, Srebro and Recht 2017, The marginal value of adaptive gradient methods
in machine learning; MATH5836 week 10, section 10.1.2.
"""
from typing import NamedTuple

import numpy as np

from tinyml.contract import checked
from tinyml.interpolation.min_norm import _start, svd
from tinyml.optim import LambdaLR
from tinyml.tensor import Tensor


@checked
def iterates(
    X: "array_like, shape (n, p)",
    y: "array_like, shape (n,) or (n, k)",
    make_optimizer: "function (params) -> Optimizer; params is the list [beta]",
    batches: "an iterable; each item selects rows: an int, an array of ints or a slice",
    *,
    beta0: "array_like, shape (p,) or (p, k), or None; the start, None for zero" = None,
    schedule: "function of t to a factor of the learning rate, or None; see "
              "`optim.LambdaLR`. At a constant learning rate Adam keeps "
              "jumping away from its fit; let the factor fall to 0" = None,
) -> "ndarray, shape (n_batches + 1, p) or (n_batches + 1, p, k) : beta_0, beta_1, ...":
    """beta_0, beta_1, ... of an optimizer from `tinyml.optim`, one step for each batch of rows.

        loss = 1/2 sum over i in the batch of (x_i'beta - y_i)^2

    With all rows in every step it is gradient descent, with one row at a time SGD:

        iterates(X, y, lambda params: SGD(params, lr=0.1), [slice(None)] * 100)
        iterates(X, y, lambda params: SGD(params, lr=0.1), rng.integers(len(X), size=100))
    """
    beta = Tensor(_start(X, y, beta0), requires_grad=True)
    optimizer = make_optimizer([beta])
    scheduler = LambdaLR(optimizer, schedule or (lambda t: 1))
    path = [beta.data]
    with np.errstate(over="ignore", invalid="ignore"):    # overflow is reported below
        for rows in batches:
            optimizer.zero_grad()
            loss = 0.5 * ((X[rows] @ beta - y[rows]) ** 2).sum()
            loss.backward()
            optimizer.step()    # gives beta.data a new array: those in `path` do not change
            scheduler.step()
            path.append(beta.data)
    if not np.isfinite(path).all():
        raise ValueError("iterates: beta must stay finite, got NaN or infinity; take a smaller lr")
    return np.stack(path)


class Tuned(NamedTuple):
    """The best settings of `optim.SGD` for a matrix X, and the convergence factor per step."""

    lr: float
    momentum: float
    factor: float    # convergence factor: the distance from X^+ y shrinks like factor^t


@checked
def tuned_descent(X: "array_like of float64, shape (n, p), not zero"):
    """The learning rate of gradient descent with the best guarantee, as `Tuned`.

        lr = 2 / (s_max^2 + s_min^2),      factor = (s_max^2 - s_min^2) / (s_max^2 + s_min^2)
        ||beta_t - X^+ y|| <= factor^t ||X^+ y||     from zero

    A step on 1/2 ||X beta - y||^2 multiplies the error along singular vector i by 1 - lr s_i^2.
    With this lr the largest of these numbers is `factor`, and the smallest -`factor` (Polyak 1964;
    s_min is the smallest s > 0).
    """
    s_max, s_min = _extremes(X)
    total = s_max ** 2 + s_min ** 2
    factor = (s_max ** 2 - s_min ** 2) / total
    return Tuned(lr=2 / total, momentum=0.0, factor=factor)


@checked
def tuned_heavy_ball(X: "array_like of float64, shape (n, p), not zero"):
    """The best settings of the heavy ball, as `Tuned`.

    Each step is momentum * (the last step) - lr * gradient.

        lr = 4 / (s_max + s_min)^2
        factor = (s_max - s_min) / (s_max + s_min),      momentum = factor^2
        ||beta_t - X^+ y|| <= (1 + t (1 + factor)) factor^t ||X^+ y||     from zero

    (Polyak 1964.) The heavy ball takes about kappa = s_max / s_min steps where `tuned_descent`
    takes kappa^2. The error may grow at first.
    """
    s_max, s_min = _extremes(X)
    factor = (s_max - s_min) / (s_max + s_min)
    return Tuned(lr=4 / (s_max + s_min) ** 2, momentum=factor ** 2, factor=factor)


@checked
def kaczmarz(
    X: "array_like, shape (n, p)",
    y: "array_like, shape (n,) or (n, k)",
    rows: "array_like of int, shape (n_steps,), in 0..n-1",
    *,
    beta0: "array_like, shape (p,) or (p, k), or None; the start, None for zero" = None,
) -> "ndarray, shape (n_steps + 1, p) or (n_steps + 1, p, k) : beta_0, beta_1, ...":
    """All iterates of SGD on single rows, where row i has the learning rate 1 / ||x_i||^2.

        beta_{t+1} = beta_t + ((y_i - x_i'beta_t) / ||x_i||^2) x_i,      i = rows[t]

    Each step solves one equation exactly: it projects beta_t onto {x_i'beta = y_i}. If X beta = y
    has a solution, and every row is used infinitely often, beta_t converges to
    X^+ y + (I - X^+ X) beta_0. A row of zeros is skipped. If the equations of the nonzero rows
    have no common solution, beta_t has no limit.

    >>> kaczmarz([[1, 0], [1, 1]], [1, 3], [0, 1])
    array([[0., 0.],
           [1., 0.],
           [2., 1.]])
    """
    beta = _start(X, y, beta0)
    squares = np.sum(X ** 2, axis=1)    # ||x_i||^2
    path = [beta]
    for i in rows:
        if squares[i] > 0:
            residual = y[i] - X[i] @ beta    # a number, or (k,)
            beta = beta + np.multiply.outer(X[i], residual) / squares[i]
        path.append(beta)
    return np.stack(path)


@checked
def row_probabilities(X: "array_like, shape (n, p), not zero"):
    """How often `kaczmarz` should take each row: ||x_i||^2 / ||X||_F^2.

    (Strohmer and Vershynin 2009.)
    """
    squares = np.sum(X ** 2, axis=1)
    return squares / squares.sum()


@checked
def kaczmarz_factor(X: "array_like of float64, shape (n, p), not zero"):
    """A bound on the factor by which `kaczmarz` reduces the mean squared distance from X^+ y.

        factor = 1 - s_min^2 / ||X||_F^2
        E ||beta_t - X^+ y||^2 <= factor^t ||beta_0 - X^+ y||^2

    for rows drawn by `row_probabilities`, a solvable X beta = y and a start in the row space
    (Strohmer and Vershynin 2009, Theorem 2). n steps of `kaczmarz` cost as much as one step of
    gradient descent.
    """
    _, s_min = _extremes(X)
    return float(1 - s_min ** 2 / np.sum(X ** 2))


@checked
def sign_fit(
    X: "array_like, shape (n, p)",
    y: "array_like, shape (n,), not zero; with X sign(X'y) a positive multiple of y",
) -> "ndarray, shape (p,)":
    """The perfect fit of Adam from zero, if X sign(X'y) = c y for some c > 0: sign(X'y) / c.

    On such data the gradient at a multiple of sign(X'y) is a multiple of X'y, so Adam moves all
    coordinates with (X'y)_j != 0 equally far in every step, apart from the effect of the small
    eps in its denominator (Wilson et al. 2017, Lemma 3.1, also for AdaGrad and RMSProp). If X has
    a single row, not zero, the condition always holds. Then `sign_fit` is the perfect fit with the
    smallest maximal |beta_j|.

    >>> sign_fit([[1, -2, 0]], [6])
    array([ 2., -2.,  0.])
    """
    direction = np.sign(X.T @ y)
    output = X @ direction
    c = y @ output / (y @ y)
    rounding = 1e-9 * np.linalg.norm(y)
    if c <= 0 or np.linalg.norm(output / c - y) > rounding:
        raise ValueError(f"sign_fit: X sign(X'y) must be c y for a c > 0, got {output}")
    return direction / c


@checked
def make_rare_features(
    labels: "array_like, shape (n,); with entries 1 or -1; the training samples first",
) -> "ndarray, shape (n, 3 + 5 n)":
    """Samples on which X^+ y learns to generalise, and Adam does not (Wilson et al. 2017, 3.3).

        column 0 of X                 the label itself
        columns 1, 2                  always 1
        columns 3 + 5 i to 7 + 5 i    five features that are 0 in all samples but i. In sample i
                                      they are (1, 0, 0, 0, 0) for label 1, and (1, 1, 1, 1, 1)
                                      for label -1

    The rows are the training samples, then the new ones. Let X and y be the training rows alone,
    with more labels 1 than -1.

    Then X sign(X'y) = 4 y. On a new sample, whose rare features have weight 0, `sign_fit` outputs
    (label + 2) / 4 > 0: Adam predicts 1 for everything. If both labels occur, X^+ y predicts the
    right sign on all new samples.
    """
    if not np.isin(labels, (-1, 1)).all():
        raise ValueError(f"make_rare_features: labels must be 1 or -1, got {np.unique(labels)}")
    n = len(labels)
    is_one = labels[:, None] > 0
    common = np.column_stack([labels, np.ones(n), np.ones(n)])    # (n, 3)
    own = np.where(is_one, [1, 0, 0, 0, 0], [1, 1, 1, 1, 1])      # (n, 5)
    rare = np.eye(n)[:, :, None] * own[:, None, :]                # (n, n, 5)
    return np.hstack([common, rare.reshape(n, 5 * n)])


def _extremes(X):
    """The largest and the smallest singular value of X that is not zero."""
    _, s, _ = svd(X)
    return float(s[0]), float(s[-1])
