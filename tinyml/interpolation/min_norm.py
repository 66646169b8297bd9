"""Least squares in its three regimes, and the fit that gradient descent finds.

Problem: with n samples and p features, X beta = y has no solution (in general) when p < n, one when
p = n, and infinitely many when p > n. Which of them does one get?

Idea: along the singular vectors of X = U diag(s) V' the problem falls apart into numbers. Every
estimator here multiplies the coordinates of the minimum-norm fit X^+ y by a filter f:

    beta = V diag(f(s) / s) U'y,     f = 1                      minimum norm
                                     f = s^2 / (s^2 + n lam)    ridge
                                     f = 1 - (1 - lr s^2)^t     t steps of gradient descent from 0

As lam -> 0 or t -> infinity, f -> 1: both end in X^+ y. Directions with s = 0 are never entered.

Sources: MATH5836 week 10, section 10.1.2 (it calls p < n underdetermined; more equations than
unknowns are overdetermined); Hastie, Montanari, Rosset and Tibshirani 2022, Surprises in
high-dimensional ridgeless least squares interpolation.
"""
import numpy as np

from tinyml.check import check_number, check_real, check_regression, check_sizes
from tinyml.tensor import Tensor


def svd(X):
    """X = U diag(s) Vh, without the singular values that are zero up to rounding.

    A singular value counts as zero up to max(n, p) * eps * s_max, with the eps of the dtype: rounding X
    alone moves it by about as much; and up to the least normal number of the dtype. So U'U = I and
    Vh Vh' = I of size rank, and Vh' Vh projects on the row space of X.

    Parameters
    ----------
    X : array_like, shape (n, p), of any rank; n = 0 or p = 0 is allowed

    Returns
    -------
    U : ndarray, shape (n, rank)
    s : ndarray, shape (rank,), decreasing, > 0
    Vh : ndarray, shape (rank, p)

    Raises
    ------
    TypeError, ValueError : X is not a matrix of real, finite numbers

    Examples
    --------
    >>> U, s, Vh = svd([[3, 4], [3, 4]])
    >>> s.round(6), Vh.shape
    (array([7.071068]), (1, 2))
    """
    X = check_real("svd", "X", X, ndim=2)
    X = X.astype(np.result_type(X, np.float32), copy=False)    # LAPACK knows no float16
    U, s, Vh = np.linalg.svd(X, full_matrices=False)
    unit = np.finfo(X.dtype)
    zero = max(max(X.shape) * unit.eps * s.max(initial=0), unit.tiny)    # 1 / tiny is finite
    rank = np.count_nonzero(s > zero)
    return U[:, :rank], s[:rank], Vh[:rank]


def row_space_part(X, beta):
    """X^+ X beta: what X sees of beta. The rest, beta - X^+ X beta, has predictions of zero.

        X^+ X = V V',     X = U diag(s) V',     over the s that are not zero

    It is the orthogonal projection on the row space of X: of all vectors with the same X beta, the
    shortest.

    Parameters
    ----------
    X : array_like, shape (n, p), of any rank
    beta : array_like, shape (p,), or (p, k) for k vectors at once

    Returns
    -------
    ndarray, shape (p,) or (p, k)

    Raises
    ------
    TypeError, ValueError : X or beta is not real, not finite, or their shapes do not fit together

    Examples
    --------
    >>> row_space_part([[1, 1]], [3, 1]).round(6)
    array([2., 2.])
    """
    _, _, Vh = svd(X)
    beta = check_real("row_space_part", "beta", beta)
    p = Vh.shape[1]
    if beta.ndim not in (1, 2) or len(beta) != p:
        raise ValueError(f"row_space_part: beta must have shape (p,) or (p, k) with p = {p}, the "
                         f"columns of X, got {beta.shape}")
    return Vh.T @ (Vh @ beta)


def least_squares(X, y):
    """The beta that minimises ||X beta - y||, and among several the one of least norm.

    p < n, overdetermined:      (X'X)^-1 X'y, computed as R^-1 Q'y with X = QR; no interpolation
    p = n, the threshold:       X^-1 y, the only interpolant
    p > n, overparameterised:   X^+ y, the shortest of infinitely many interpolants

    (MATH5836 week 10, section 10.1.2.) When the columns or rows of X depend on one another, the
    inverses do not exist, and X^+ y is the answer in every regime.

    Parameters
    ----------
    X : array_like, shape (n, p)
    y : array_like, shape (n,), or (n, k) for k problems at once

    Returns
    -------
    ndarray, shape (p,) or (p, k)

    Raises
    ------
    TypeError, ValueError : X or y is not real, not finite, or their shapes do not fit together

    Examples
    --------
    >>> least_squares([[1], [1]], [0, 2])
    array([1.])
    >>> least_squares([[1, 1]], [2])
    array([1., 1.])
    """
    X, y = _problem("least_squares", X, y)
    n, p = X.shape
    if p > n or len(svd(X)[1]) < p:    # infinitely many minimisers
        return min_norm(X, y)
    if p == n:                          # one solution
        return np.linalg.solve(X, y)
    Q, R = np.linalg.qr(X)              # p < n: no solution, one minimiser
    return np.linalg.solve(R, Q.T @ y)


def min_norm(X, y):
    """X^+ y: of all beta that minimise ||X beta - y||, the one of least norm.

        X^+ y = V diag(1 / s) U'y,     X = U diag(s) V',     over the s that are not zero

    (MATH5836 week 10, section 10.1.2.) Which s count as zero, `svd` says.

    Parameters
    ----------
    X : array_like, shape (n, p), of any rank; n = 0 or p = 0 is allowed
    y : array_like, shape (n,) or (n, k)

    Returns
    -------
    ndarray, shape (p,) or (p, k), in the floating dtype of X and y; zeros for n = 0

    Raises
    ------
    TypeError, ValueError : X or y is not real, not finite, or their shapes do not fit together
    """
    X, y = _problem("min_norm", X, y)
    U, s, Vh = svd(X)
    return (Vh.T / s) @ (U.T @ y)    # (p, rank) @ (rank, ...)


def ridge(X, y, *, lam):
    """The beta that minimises (1/n) ||X beta - y||^2 + lam ||beta||^2.

        beta = (X'X + n lam I)^-1 X'y = V diag(s / (s^2 + n lam)) U'y

    (Hastie et al. 2022.) As lam -> 0 it tends to X^+ y: relative error below n lam / s_min^2.

    Parameters
    ----------
    X : array_like, shape (n, p); n = 0 or p = 0 is allowed
    y : array_like, shape (n,) or (n, k)
    lam : float >= 0; 0 is the limit, X^+ y

    Returns
    -------
    ndarray, shape (p,) or (p, k), in the floating dtype of X and y; however small lam is, singular values
        that are nothing but rounding (see `svd`) count as zero; zeros for n = 0

    Raises
    ------
    TypeError, ValueError : X or y is not real, not finite, or their shapes do not fit together;
        lam is negative or not finite
    """
    X, y = _problem("ridge", X, y)
    check_number("ridge", "lam", lam, at_least=0, below=np.inf)
    U, s, Vh = svd(X)
    f = ridge_filter(s, lam, n_samples=max(len(X), 1)).astype(s.dtype)
    return (Vh.T * (f / s)) @ (U.T @ y)


def descent_filter(s, t, *, lr):
    """The share of each direction that t steps of gradient descent from zero have learned.

        f = 1 - (1 - lr s^2)^t

    Where lr s^2 is small, say below 1/2, 1 - lr s^2 loses digits, and f is -expm1(t log1p(-lr s^2)); at 1 and above
    there is no such logarithm. So a share is exact but for a few roundings, however small it is.

    Parameters
    ----------
    s : array_like, shape (rank,), singular values, >= 0
    t : array_like of whole numbers >= 0, any shape
    lr : float > 0 with lr s^2 < 2 for all s

    Returns
    -------
    ndarray of float64, shape (*t.shape, rank)

    Raises
    ------
    TypeError, ValueError : an argument is not real, not finite, of another shape or out of range

    Examples
    --------
    >>> descent_filter([2, 1, 0], [0, 1, 2], lr=0.25)
    array([[0.    , 0.    , 0.    ],
           [1.    , 0.25  , 0.    ],
           [1.    , 0.4375, 0.    ]])
    """
    s = check_real("descent_filter", "s", s, ndim=1, at_least=0).astype(np.float64)
    t = check_real("descent_filter", "t", t, at_least=0).astype(np.float64)[..., None]
    check_number("descent_filter", "lr", lr, above=0, below=np.inf)
    step = (np.sqrt(lr) * s) ** 2
    if step.max(initial=0) >= 2:
        raise ValueError(f"descent_filter: lr must be below 2 / s_max^2 = {2 / s.max() ** 2:.6g}, "
                         f"got {lr!r}; from there on, gradient descent does not converge")
    if (t % 1).any():
        raise ValueError(f"descent_filter: t must hold whole numbers, got {t}; it counts steps")
    small = step < 0.5
    slowly = -np.expm1(t * np.log1p(-np.where(small, step, 0)))
    return np.where(small, slowly, 1 - (1 - step) ** t)


def ridge_filter(s, lam, *, n_samples):
    """The share of each direction that ridge leaves of the minimum-norm fit: s^2 / (s^2 + n lam).

    Parameters
    ----------
    s : array_like, shape (rank,), singular values, >= 0
    lam : array_like, any shape, >= 0, as in `min_norm.ridge`
    n_samples : int >= 1

    Returns
    -------
    ndarray of float64, shape (*lam.shape, rank); 0 where s = 0, also for lam = 0

    Raises
    ------
    TypeError, ValueError : an argument is not real, not finite, of another shape or out of range

    Examples
    --------
    >>> ridge_filter([2, 1, 0], [0, 0.5], n_samples=2)
    array([[1. , 1. , 0. ],
           [0.8, 0.5, 0. ]])
    """
    s = check_real("ridge_filter", "s", s, ndim=1, at_least=0).astype(np.float64)
    lam = check_real("ridge_filter", "lam", lam, at_least=0).astype(np.float64)[..., None]
    check_sizes("ridge_filter", n_samples=n_samples)
    h = np.hypot(s, np.sqrt(lam) * np.sqrt(n_samples))    # h^2 = s^2 + n lam, without overflow
    return np.divide(s, h, out=np.zeros_like(h), where=h > 0) ** 2


def gradient_descent(X, y, *, lr, n_steps, beta0=None):
    """All iterates of gradient descent on 1/2 ||X beta - y||^2, its gradient from the engine.

        beta_{t+1} = beta_t - lr X'(X beta_t - y)

    From every start it converges if and only if lr < 2 / s_max^2, to X^+ y + (I - X^+ X) beta_0:
    the gradient lies in the row space of X, so what beta_0 has outside of it is never touched.
    From zero the limit is X^+ y.

    Parameters
    ----------
    X : array_like, shape (n, p)
    y : array_like, shape (n,) or (n, k)
    lr : float in (0, 2 / s_max^2), the step
    n_steps : int >= 1
    beta0 : array_like, shape (p,) or (p, k), the start; None means zero

    Returns
    -------
    ndarray, shape (n_steps + 1, p) or (n_steps + 1, p, k), in the floating dtype of X : beta_0, beta_1, ...

    Raises
    ------
    TypeError, ValueError : X, y or beta0 is not real, not finite, or their shapes do not fit
        together; lr is outside its interval (the message gives it); n_steps is not an int >= 1
    """
    X, y, beta0 = _descent("gradient_descent", X, y, lr, n_steps, beta0)
    iterates = np.empty((n_steps + 1, *beta0.shape), X.dtype)
    iterates[0] = beta0
    for t in range(n_steps):
        beta = Tensor(iterates[t], requires_grad=True)
        loss = 0.5 * ((X @ beta - y) ** 2).sum()
        loss.backward()
        iterates[t + 1] = iterates[t] - lr * beta.grad
    return iterates


def gradient_descent_closed_form(X, y, *, lr, n_steps, beta0=None):
    """What `gradient_descent` returns, written down without a loop.

        beta_t = beta_0 + V diag(1 - (1 - lr s^2)^t) (diag(1/s) U'y - V'beta_0)

    with X = U diag(s) V', over the s that are not zero. The row-space part of beta_0 is forgotten
    like (1 - lr s^2)^t, its null-space part is kept. So the distance to the limit shrinks at least
    like (1 - lr s_min^2)^t if lr <= 1 / s_max^2.

    Parameters
    ----------
    X, y, lr, n_steps, beta0 : as in `gradient_descent`

    Returns
    -------
    ndarray, shape (n_steps + 1, p) or (n_steps + 1, p, k), in the floating dtype of X

    Raises
    ------
    TypeError, ValueError : as in `gradient_descent`
    """
    X, y, beta0 = _descent("gradient_descent_closed_form", X, y, lr, n_steps, beta0)
    U, s, Vh = svd(X)
    filters = descent_filter(s, np.arange(n_steps + 1), lr=lr).astype(X.dtype)    # (n_steps + 1, rank)
    way = (U / s).T @ y - Vh @ beta0                                    # (rank, ...), start to limit
    return beta0 + np.einsum("ti,ip,i...->tp...", filters, Vh, way, optimize=True)


def _problem(function, X, y):
    """X and y as arrays of one floating dtype, or an error that says what is wrong with them."""
    X, y = check_regression(function, X, y)
    dtype = np.result_type(X, y, np.float32)    # LAPACK knows no float16
    return X.astype(dtype, copy=False), y.astype(dtype, copy=False)


def _descent(function, X, y, lr, n_steps, beta0):
    """X, y and the start of a descent as arrays of one dtype, or an error."""
    X, y = _problem(function, X, y)
    check_sizes(function, n_steps=n_steps)
    s_max = float(np.linalg.svd(X, compute_uv=False).max(initial=0))
    bound = 2 / max(s_max * s_max, np.finfo(float).tiny)
    if not 0 < lr < bound:
        raise ValueError(f"{function}: lr must be above 0 and below 2 / s_max^2 = {bound:.6g}, got "
                         f"{lr!r}; from that bound on, gradient descent does not converge")
    shape = (X.shape[1], *y.shape[1:])
    beta0 = np.zeros(shape) if beta0 is None else check_real(function, "beta0", beta0)
    if beta0.shape != shape:
        raise ValueError(f"{function}: beta0 must have shape {shape}, got {beta0.shape}")
    return X, y, beta0.astype(X.dtype)
