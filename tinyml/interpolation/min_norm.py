"""Least squares in its three regimes, and the fit that gradient descent finds.

Problem: with n samples and p features, X beta = y has in general no solution for p < n, one for
p = n, and infinitely many for p > n. Which of them do we get?

Idea: the singular value decomposition X = U diag(s) V' splits the problem into independent
one-dimensional ones, one per singular vector. Here ' is the transpose. The pseudoinverse is
X^+ = V diag(1 / s) U', where only the s > 0 are kept. X^+ y is the shortest of the least-squares
solutions, the minimum-norm fit. In the basis V it has the coordinates (U'y)_i / s_i. Gradient
descent from 0 multiplies them by a filter f, and so does `ridge`:

    beta = V diag(f / s) U'y,     f = 1                      minimum norm
                                  f = 1 - (1 - lr s^2)^t     gradient descent from 0
                                  f = s^2 / (s^2 + n lam)    ridge

where lr is the learning rate, t the number of steps and lam the penalty. As t -> infinity or
lam -> 0, f -> 1: descent and ridge both tend to X^+ y.

Sources: MATH5836 week 10, section 10.1.2 (the notes call p < n underdetermined; the usual word
is overdetermined); Hastie, Montanari, Rosset and Tibshirani 2022, Surprises in high-dimensional
ridgeless least squares interpolation.
"""
import numpy as np

from tinyml.contract import checked
from tinyml.tensor import Tensor


@checked
def linear_model(
    X: "array_like, shape (n, p)",
    beta: "array_like, shape (p,)",
    *,
    sigma: "float >= 0; standard deviation of the noise",
    rng: "numpy.random.Generator",
):
    """Draw targets y = X beta + eps, with normal noise eps ~ N(0, sigma^2 I)."""
    eps = sigma * rng.standard_normal(len(X))
    return X @ beta + eps    # notes 10.1.2, linear model


@checked
def svd(X: "array_like, shape (n, p); of any rank; n = 0 or p = 0 is allowed"):
    """X = U diag(s) Vh, without the singular values that are zero up to rounding.

    Vh is V', and V V' is the orthogonal projection onto the row space of X. A singular value
    counts as zero if s <= max(n, p) eps s_max, with the machine precision eps of the dtype: the
    rounding of X can change it by about that much. It also counts as zero if it is so small that
    1 / s could overflow.

    Returns
    -------
    U : ndarray, shape (n, rank); rank is the number of singular values that are kept
    s : ndarray, shape (rank,), decreasing, > 0
    Vh : ndarray, shape (rank, p)

    >>> U, s, Vh = svd([[3, 4], [3, 4]])
    >>> s.round(6), Vh.shape
    (array([7.071068]), (1, 2))
    """
    U, s, Vh = np.linalg.svd(X, full_matrices=False)
    info = np.finfo(X.dtype)
    rounding = max(X.shape) * info.eps * s.max(initial=0)
    rank = np.count_nonzero(s > max(rounding, info.tiny))    # above tiny, 1 / s is finite
    return U[:, :rank], s[:rank], Vh[:rank]


@checked
def row_space_part(
    X: "array_like, shape (n, p); of any rank",
    beta: "array_like, shape (p,) or (p, k)",
):
    """The part of beta that X can see: X^+ X beta = V V'beta.

    This part is the shortest vector with the same X beta. X maps the rest, beta - V V'beta, to 0.

    >>> row_space_part([[1, 1]], [3, 1]).round(6)
    array([2., 2.])
    """
    _, _, Vh = svd(X)
    return Vh.T @ (Vh @ beta)


@checked
def ordinary_least_squares(
    X: "array_like, shape (n, p); its p columns must be independent, which is not "
       "checked",
    y: "array_like, shape (n,) or (n, k)",
):
    """The only beta that minimises ||X beta - y||, for independent columns: (X'X)^-1 X'y.

    It solves the normal equations X'X beta = X'y. The condition number of X'X is the square
    of that of X, so about twice as many digits are lost as with `least_squares`.
    """
    return np.linalg.inv(X.T @ X) @ X.T @ y    # notes 10.1.2, ordinary least squares


@checked
def least_squares(
    X: "array_like, shape (n, p)",
    y: "array_like, shape (n,) or (n, k)",
) -> "ndarray, shape (p,) or (p, k)":
    """The beta that minimises ||X beta - y||; if there are several, the shortest.

        p < n, overdetermined:      (X'X)^-1 X'y, which interpolates only if there is no noise
        p = n, the threshold:       X^-1 y, the only interpolant
        p > n, overparameterised:   X^+ y, the shortest of infinitely many interpolants

    The table holds if X has rank min(n, p). If the rank is lower, the answer is always X^+ y.

    >>> least_squares([[1], [1]], [0, 2]), least_squares([[1, 1]], [2])
    (array([1.]), array([1., 1.]))
    """
    n, p = X.shape
    rank = len(svd(X)[1])
    if p > n or rank < p:
        return min_norm(X, y)
    if p == n:
        # X^-1 y
        return np.linalg.solve(X, y)    # notes 10.1.2, interpolation threshold
    # p < n: with X = QR and Q'Q = I, (X'X)^-1 X'y = (R'R)^-1 R'Q'y = R^-1 Q'y
    Q, R = np.linalg.qr(X)
    return np.linalg.solve(R, Q.T @ y)


@checked
def min_norm(
    X: "array_like, shape (n, p); of any rank; n = 0 or p = 0 is allowed",
    y: "array_like, shape (n,) or (n, k)",
) -> "ndarray, shape (p,) or (p, k); zeros for n = 0":
    """X^+ y: of all beta that minimise ||X beta - y||, the shortest.

        X^+ y = V diag(1 / s) U'y,     X = U diag(s) V' as in `svd`
    """
    U, s, Vh = svd(X)
    # V diag(1 / s): column i of V is divided by s_i
    return (Vh.T / s) @ (U.T @ y)    # notes 10.1.2, minimum norm


@checked
def descent_filter(
    s: "array_like, shape (rank,), >= 0; singular values",
    t: "array_like of int, any shape, >= 0; numbers of steps",
    *,
    lr: "float > 0; with lr s^2 < 2 for all s",
) -> "ndarray, shape (*t.shape, rank), of the dtype of s":
    """The fraction of each singular direction that t steps of descent from zero have learned.

        f = 1 - (1 - lr s^2)^t

    Every step multiplies the fraction that is still missing by 1 - lr s^2.

    >>> descent_filter([2, 1, 0], [0, 1, 2], lr=0.25)
    array([[0.    , 0.    , 0.    ],
           [1.    , 0.25  , 0.    ],
           [1.    , 0.4375, 0.    ]])
    """
    _check_step("descent_filter", lr, s)
    t = t[..., None].astype(s.dtype)    # (..., 1); the result keeps the dtype of s
    return 1 - (1 - lr * s ** 2) ** t


@checked
def gradient_descent(
    X: "array_like, shape (n, p)",
    y: "array_like, shape (n,) or (n, k)",
    *,
    lr: "float > 0; with lr < 2 / s_max^2",
    n_steps: "int >= 1",
    beta0: "array_like, shape (p,) or (p, k), or None; the start, None for zero" = None,
):
    """All iterates of gradient descent on 1/2 ||X beta - y||^2, by automatic differentiation.

        beta_{t+1} = beta_t - lr X'(X beta_t - y)
        beta_t -> X^+ y + (I - X^+ X) beta_0    for t -> infinity

    Descent converges from every start if and only if lr < 2 / s_max^2. The gradient lies in the
    row space of X, so the part of beta_0 outside it never changes. From zero the limit is X^+ y.

    Returns
    -------
    ndarray, shape (n_steps + 1, p) or (n_steps + 1, p, k), in the dtype of X : beta_0, beta_1, ...
    """
    _check_step("gradient_descent", lr, svd(X)[1])
    iterates = [_start(X, y, beta0)]
    for _ in range(n_steps):
        beta = Tensor(iterates[-1], requires_grad=True)
        loss = 0.5 * ((X @ beta - y) ** 2).sum()
        loss.backward()                                   # beta.grad = X'(X beta - y)
        iterates.append(beta.data - lr * beta.grad)       # notes 10.1.2, gradient descent
    return np.stack(iterates)


@checked
def gradient_descent_closed_form(
    X: "as in `gradient_descent`",
    y: "as in `gradient_descent`",
    *,
    lr: "as in `gradient_descent`",
    n_steps: "as in `gradient_descent`",
    beta0: "as in `gradient_descent`" = None,
):
    """What `gradient_descent` returns, without a loop.

        beta_t = beta_0 + V diag(f) (diag(1 / s) U'y - V'beta_0),     f = 1 - (1 - lr s^2)^t

    So if lr <= 1 / s_max^2, after t steps the distance to the limit is at most (1 - lr s_min^2)^t
    times the distance at the start, with s_min the smallest s > 0.
    """
    U, s, Vh = svd(X)
    _check_step("gradient_descent_closed_form", lr, s)
    beta0 = _start(X, y, beta0)
    missing = (U / s).T @ y - Vh @ beta0                          # at t = 0, (rank, ...)
    filters = descent_filter(s, np.arange(n_steps + 1), lr=lr)    # (n_steps + 1, rank)
    # diag(f) missing, where missing is a vector or has k columns
    return np.stack([beta0 + Vh.T @ (f * missing.T).T for f in filters])


def _start(X, y, beta0):
    """beta_0 in the dtype of X; if it is None, zeros, with one column for each column of y."""
    if beta0 is None:
        return np.zeros(X.shape[1:] + y.shape[1:], X.dtype)
    return beta0.astype(X.dtype)


def _check_step(function, lr, s):
    """Raise ValueError unless gradient descent converges: lr < 2 / s_max^2."""
    s_max = float(s.max(initial=0))
    if lr * s_max ** 2 >= 2:
        raise ValueError(f"{function}: lr must be below 2 / s_max^2 = {2 / s_max ** 2:.6g}, "
                         f"got {lr}; from there on, gradient descent does not converge")
