"""Which optimizers find the shortest fit X^+ y, and which do not.

Problem: with p > n infinitely many beta fit perfectly, and the loss prefers none. So the optimizer
chooses. Do SGD, momentum and Adam choose what gradient descent chooses?

Idea: split beta in what X sees of it, X^+ X beta, and the rest, which changes no prediction on the
training data. Every perfect fit has the same first part, and Pythagoras has the last word:

    X beta = y   =>   X^+ X beta = X^+ y,      ||beta||^2 = ||X^+ y||^2 + ||(I - X^+ X) beta||^2

A gradient, of all rows or of a few, is a combination of rows of X, X'r. Steps that are sums of
gradients never leave the row space, so from zero they can end in X^+ y only: gradient descent, SGD
and momentum differ in speed alone. Adam divides each coordinate by its own size, about X'r ->
sign(X'r), which is no combination of rows any more. It fits as perfectly, and ends elsewhere.

What X does not see can still matter on new data: for better or worse, that depends on the truth.

Sources: Strohmer and Vershynin 2009, A randomized Kaczmarz algorithm with exponential convergence;
Polyak 1964, Some methods of speeding up the convergence of iteration methods; Wilson, Roelofs,
Stern, Srebro and Recht 2017, The marginal value of adaptive gradient methods in machine learning;
MATH5836 week 10, section 10.1.2.
"""
from typing import NamedTuple

import numpy as np

from tinyml.check import check_labels, check_real, check_regression
from tinyml.interpolation.min_norm import svd
from tinyml.optim import LambdaLR
from tinyml.tensor import Tensor


def iterates(X, y, make_optimizer, batches, *, beta0=None, schedule=None):
    """beta_0, beta_1, ...: a step of any optimizer for each batch of rows, gradients by the engine.

        loss = 1/2 sum over i in the batch of (x_i'beta - y_i)^2,      gradient = X_batch'(residual)

    All rows at every step is gradient descent, one row at a time is SGD:

        iterates(X, y, lambda params: SGD(params, lr=0.1), [slice(None)] * 100)
        iterates(X, y, lambda params: SGD(params, lr=0.1), rng.integers(len(X), size=100))

    Parameters
    ----------
    X : array_like, shape (n, p)
    y : array_like, shape (n,), or (n, k) for k problems at once
    make_optimizer : function of a list of one parameter to an Optimizer of `tinyml.optim`
    batches : iterable; each item selects rows: an int, an array of ints or a slice
    beta0 : array_like, shape (p,) or (p, k), the start; None means zero
    schedule : function of t to a factor of the learning rate (see `optim.LambdaLR`); None means 1.
        Adam settles if the factor falls to 0; at a constant rate it jumps away from its fit, again
        and again: as the gradients vanish so does sqrt(v), by which the steps are divided

    Returns
    -------
    ndarray of float64, shape (1 + number of batches, p) or (1 + number of batches, p, k)

    Raises
    ------
    TypeError, ValueError : X, y or beta0 is not real, not finite, or their shapes do not fit
        together; make_optimizer is not a function
    IndexError : a batch asks for rows that X does not have
    ValueError : a step leads to NaN or infinity
    """
    X, y, beta0 = _problem("iterates", X, y, beta0)
    if not callable(make_optimizer):
        raise TypeError("iterates: make_optimizer must be a function of a list of parameters, got "
                        f"{make_optimizer!r}; write lambda params: SGD(params, lr=0.1)")
    beta = Tensor(beta0, requires_grad=True)
    optimizer = make_optimizer([beta])
    rate = LambdaLR(optimizer, schedule or (lambda t: 1))
    path = [beta.data]
    with np.errstate(over="ignore", invalid="ignore"):    # reported below, in words
        for rows in batches:
            optimizer.zero_grad()
            loss = 0.5 * ((X[rows] @ beta - y[rows]) ** 2).sum()
            loss.backward()
            optimizer.step()
            rate.step()
            path.append(beta.data)
            if not np.isfinite(beta.data).all():
                raise ValueError("iterates: beta must stay finite, got NaN or infinity at step "
                                 f"{len(path) - 1}; take a smaller lr")
    return np.array(path)


class Tuned(NamedTuple):
    """The constants of `optim.SGD` that are best for a design, and what they achieve."""

    lr: float
    momentum: float
    rate: float    # the distance from X^+ y shrinks like rate^t


def tuned_descent(X):
    """The step of gradient descent from zero with the best guarantee for 1/2 ||X beta - y||^2.

        lr = 2 / (s_max^2 + s_min^2),      rate = (s_max^2 - s_min^2) / (s_max^2 + s_min^2)

    A step multiplies the error along singular vector i by 1 - lr s_i^2, and this lr makes the two
    extremes, at s_max and s_min > 0, equal but for the sign (Polyak 1964). At every step

        ||beta_t - X^+ y|| <= rate^t ||X^+ y||

    Parameters
    ----------
    X : array_like, shape (n, p), not zero

    Returns
    -------
    Tuned : lr > 0, momentum = 0 and rate in [0, 1)

    Raises
    ------
    TypeError, ValueError : X is not a matrix of real, finite numbers, has no singular value > 0, or
        its s_max is not between 1e-150 and 1e150, so that lr is no float
    """
    s_max, r = _extremes("tuned_descent", X, squared=True)
    return Tuned(2 / (1 + r * r) / s_max / s_max, 0.0, (1 - r * r) / (1 + r * r))


def tuned_heavy_ball(X):
    """Step and momentum of the heavy ball from zero, beta += momentum (last step) - lr gradient.

        lr = 4 / (s_max + s_min)^2,   momentum = rate^2,   rate = (s_max - s_min) / (s_max + s_min)

    (Polyak 1964; s_min is the least singular value > 0.) With kappa = s_max / s_min it takes about
    kappa steps where `tuned_descent` takes kappa^2. The error along singular vector i is

        e_t = rate^t (T_t - rate T_{t-1}) e_0,     T_t = sin((t + 1) a) / sin(a),
                                                   2 rate cos(a) = 1 + rate^2 - lr s_i^2

    for these constants, and |T_t| <= t + 1. So it may grow at first, but at every step

        ||beta_t - X^+ y|| <= (1 + t (1 + rate)) rate^t ||X^+ y||

    Parameters
    ----------
    X : array_like, shape (n, p), not zero

    Returns
    -------
    Tuned : lr > 0, momentum in [0, 1) and rate in [0, 1)

    Raises
    ------
    TypeError, ValueError : X is not a matrix of real, finite numbers, has no singular value > 0, or
        its s_max is not between 1e-150 and 1e150, so that lr is no float
    """
    s_max, r = _extremes("tuned_heavy_ball", X, squared=True)
    rate = (1 - r) / (1 + r)
    return Tuned((2 / (1 + r) / s_max) ** 2, rate * rate, rate)


def kaczmarz(X, y, rows, *, beta0=None):
    """All iterates of SGD on single rows, where row i has the step 1 / ||x_i||^2.

        beta_{t+1} = beta_t + (y_i - x_i'beta_t) / ||x_i||^2 x_i,      i = rows[t]

    Each step solves one equation exactly: beta_{t+1} is the point of {x_i'beta = y_i} nearest to
    beta_t. It is SGD with lr = 1 once every equation is divided by ||x_i||. If X beta = y has a
    solution, the steps tend to X^+ y + (I - X^+ X) beta_0, as long as every row comes again and
    again; if not, they never settle. A row of zeros says nothing about beta, and changes nothing.

    Parameters
    ----------
    X : array_like, shape (n, p)
    y : array_like, shape (n,), or (n, k) for k problems at once
    rows : array_like of ints in 0..n-1, shape (n_steps,), as from
        rng.choice(n, size=n_steps, p=row_probabilities(X))
    beta0 : array_like, shape (p,) or (p, k), the start; None means zero

    Returns
    -------
    ndarray of float64, shape (n_steps + 1, p) or (n_steps + 1, p, k)

    Raises
    ------
    TypeError, ValueError : an argument is not real, not finite, of another shape or out of range

    Examples
    --------
    >>> kaczmarz([[1, 0], [1, 1]], [1, 3], [0, 1])
    array([[0., 0.],
           [1., 0.],
           [2., 1.]])
    """
    X, y, beta0 = _problem("kaczmarz", X, y, beta0)
    rows = check_labels("kaczmarz", "rows", rows, len(X))
    largest = np.abs(X).max(axis=1, initial=0)
    scale = np.where(largest > 0, largest, 1)    # the same equations, and no square overflows
    with np.errstate(over="ignore"):             # reported below, in words
        X, y = X / scale[:, None], (y.T / scale).T
    check_real("kaczmarz", "y / the largest entry of its row of X", y)
    squares = (X * X).sum(axis=1)
    path = np.empty((len(rows) + 1, *beta0.shape))
    path[0] = beta0
    for t, i in enumerate(rows):
        path[t + 1] = path[t]
        if squares[i] > 0:
            path[t + 1] += np.multiply.outer(X[i] / squares[i], y[i] - X[i] @ path[t])
    return path


def row_probabilities(X):
    """||x_i||^2 / ||X||_F^2: how often `kaczmarz` should take row i (Strohmer and Vershynin 2009).

    Parameters
    ----------
    X : array_like, shape (n, p), not zero

    Returns
    -------
    ndarray of float64, shape (n,), sums to 1

    Raises
    ------
    TypeError, ValueError : X is not a matrix of real, finite numbers, or it is zero
    """
    X = check_real("row_probabilities", "X", X, ndim=2).astype(np.float64)
    if not X.any():
        raise ValueError("row_probabilities: X must have an entry that is not zero, got shape "
                         f"{X.shape}")
    squares = ((X / np.abs(X).max()) ** 2).sum(axis=1)
    return squares / squares.sum()


def kaczmarz_rate(X):
    """1 - s_min^2 / ||X||_F^2, by which a step of `kaczmarz` shrinks the mean squared distance.

    With rows drawn by `row_probabilities`, if X beta = y has a solution, for e_t = beta_t - X^+ y

        E ||e_{t+1}||^2 = ||e_t||^2 - ||X e_t||^2 / ||X||_F^2,      E ||e_t||^2 <= rate^t ||e_0||^2

    from every start in the row space (Strohmer and Vershynin 2009, theorem 2). n steps cost as much
    as one of gradient descent.

    Parameters
    ----------
    X : array_like, shape (n, p), not zero

    Returns
    -------
    float in [0, 1)

    Raises
    ------
    TypeError, ValueError : X is not a matrix of real, finite numbers, or has no singular value > 0
    """
    s_max, r = _extremes("kaczmarz_rate", X)
    _, s, _ = svd(X)
    return float(1 - r * r / ((s / s_max) ** 2).sum())


def sign_fit(X, y):
    """The perfect fit sign(X'y) / c that Adam finds from zero, where X sign(X'y) = c y for a c.

        beta = sign(X'y) ||y||^2 / ||X'y||_1,      as c ||y||^2 = y'X sign(X'y) = ||X'y||_1

    On such data the gradient at a beta ~ sign(X'y) is a multiple of X'y. So at every step m is one,
    and sqrt(v) is one of |X'y|; without eps Adam moves all coordinates equally far, and stays on
    this line (Wilson et al. 2017, lemma 3.1, also for AdaGrad and RMSProp). One row is always such
    data, and then no fit has a smaller largest coefficient: |y| / ||x||_1.

    Parameters
    ----------
    X : array_like, shape (n, p)
    y : array_like, shape (n,)

    Returns
    -------
    ndarray of float64, shape (p,)

    Raises
    ------
    TypeError, ValueError : X or y is not real, not finite, or their shapes do not fit together;
        X sign(X'y) is not a multiple of y (up to rounding), or X'y = 0 although y is not

    Examples
    --------
    >>> sign_fit([[1, -2, 0]], [6])
    array([ 2., -2.,  0.])
    """
    X, y, _ = _problem("sign_fit", X, check_real("sign_fit", "y", y, ndim=1), None)
    pull = X.T @ y
    beta = np.sign(pull) * (y @ y) / (np.abs(pull).sum() or 1)
    # the sums of p products round by p eps times the sum of their absolute values
    rounding = 10 * X.size * np.finfo(float).eps * (np.abs(X) @ np.abs(beta) + np.abs(y))
    if (np.abs(X @ beta - y) > rounding).any():
        raise ValueError("sign_fit: X sign(X'y) must be a multiple of y that is not zero, got "
                         f"{X @ np.sign(pull)} for y = {y}")
    return beta


def make_rare_features(labels):
    """Samples from which X^+ y learns everything, and Adam nothing (Wilson et al. 2017, 3.3).

        feature 0          the label itself
        features 1, 2      always 1
        five features      that no other sample has: the first is 1 for label 1, all are for -1;
                           those of sample i, from 0 on, are the features 3 + 5 i to 7 + 5 i

    If 1 is the more frequent label, X sign(X'y) = 4 y, and `sign_fit` is 1/4 for every feature that
    occurs, with the sign of the label on the rare ones. The rare features of a new sample have no
    weight yet, so what is left is (label + 2) / 4: Adam says 1 to everything. But the signs of
    X^+ y are right on all new samples if both labels occur.

    Parameters
    ----------
    labels : array_like, shape (n,), entries 1 or -1; first those to train on, then those to test on

    Returns
    -------
    ndarray of float64, shape (n, 3 + 5 n)

    Raises
    ------
    TypeError, ValueError : labels are not one axis of 1 and -1
    """
    labels = check_real("make_rare_features", "labels", labels, ndim=1).astype(np.float64)
    if not np.isin(labels, (-1, 1)).all():
        raise ValueError(f"make_rare_features: labels must be 1 or -1, got {np.unique(labels)}")
    n = len(labels)
    common = np.column_stack([labels, np.ones(n), np.ones(n)])                 # (n, 3)
    own = np.where(labels[:, None] > 0, [1, 0, 0, 0, 0], [1, 1, 1, 1, 1])      # (n, 5)
    rare = np.eye(n)[:, :, None] * own[:, None, :]                             # (n, n, 5)
    return np.hstack([common, rare.reshape(n, 5 * n)])


def _extremes(function, X, *, squared=False):
    """s_max and s_min / s_max of X, over the singular values that are not zero, or an error.

    `squared` : an error too if s_max^2 is too large or too small for a float.
    """
    X = check_real(function, "X", X, ndim=2).astype(np.float64)
    _, s, _ = svd(X)
    if not s.size:
        raise ValueError(f"{function}: X must have an entry that is not zero, got shape {X.shape}")
    if squared and not 1e-150 < s[0] < 1e150:
        raise ValueError(f"{function}: X must have s_max between 1e-150 and 1e150, whose square is a number, "
                         f"got {s[0]:g}; divide X and y by it")
    return float(s[0]), float(s[-1] / s[0])


def _problem(function, X, y, beta0):
    """X, y and the start as arrays of float64, or an error that says what is wrong with them."""
    X, y = check_regression(function, X, y)
    shape = (X.shape[1], *y.shape[1:])
    beta0 = np.zeros(shape) if beta0 is None else check_real(function, "beta0", beta0)
    if beta0.shape != shape:
        raise ValueError(f"{function}: beta0 must have shape {shape}, got {beta0.shape}")
    return X.astype(np.float64), y.astype(np.float64), beta0.astype(np.float64)
