"""Ridge: least squares with a penalty on large coefficients, and how to choose the penalty.

Problem: the minimum-norm fit X^+ y divides by the singular values of X, so noise in directions of
small s is blown up. How far should the fit be shrunk in these directions?

Idea: minimise (1/n) ||X beta - y||^2 + lam ||beta||^2. This multiplies the coordinates of X^+ y
in the singular vectors of X by a filter f, which is close to 1 for large s and to 0 for small s:

    beta = V diag(f / s) U'y,    f = s^2 / (s^2 + n lam)

The penalty lam is chosen by leave-one-out: fit to n - 1 samples, and measure the error on the one
left out. For ridge this takes a single SVD for all samples and all penalties.

Sources: MATH5836 week 10, section 10.1.2; Golub, Heath and Wahba 1979, Generalized
cross-validation as a method for choosing a good ridge parameter.
"""
import numpy as np

from tinyml.contract import checked
from tinyml.interpolation.min_norm import svd


@checked
def ridge_filter(
    s: "array_like, shape (rank,), > 0; singular values",
    lam: "array_like, any shape, >= 0; the penalty of `ridge`",
    *,
    n_samples: "int >= 0; n",
) -> "ndarray, shape (*lam.shape, rank), of the dtype of s":
    """The factor by which ridge shrinks each singular direction: f = s^2 / (s^2 + n lam).

    >>> ridge_filter([2, 1], [0, 0.5], n_samples=2)
    array([[1. , 1. ],
           [0.8, 0.5]])
    """
    lam = lam[..., None].astype(s.dtype)    # (..., 1); the result keeps the dtype of s
    return s ** 2 / (s ** 2 + n_samples * lam)


@checked
def ridge(
    X: "array_like, shape (n, p); n = 0 or p = 0 is allowed",
    y: "array_like, shape (n,) or (n, k)",
    *,
    lam: "float >= 0; for 0 the limit X^+ y",
) -> "ndarray, shape (p,) or (p, k); zeros for n = 0":
    """The beta that minimises (1/n) ||X beta - y||^2 + lam ||beta||^2.

        beta = (X'X + n lam I)^-1 X'y = V diag(f / s) U'y,     f = s^2 / (s^2 + n lam)
    """
    U, s, Vh = svd(X)
    f = ridge_filter(s, lam, n_samples=len(X))
    return (Vh.T * (f / s)) @ (U.T @ y)


@checked
def leave_one_out(
    X: "array_like, shape (n, p)",
    y: "array_like, shape (n,) or (n, k)",
    lam: "array_like, any shape, > 0",
) -> "ndarray, shape (*lam.shape, n) or (*lam.shape, n, k)":
    """The error of ridge on each sample when it is fitted to the other n - 1, all from one SVD.

        y_i - x_i'beta_{-i} = (y_i - (H y)_i) / (1 - H_ii),     H = U diag(f) U'

    where x_i' is row i of X, f is the filter of ridge, and beta_{-i} is fitted without sample i:
    it minimises the sum of the other n - 1 squares plus n lam ||beta||^2. The mean of the squared
    errors estimates the test error. The formula is exact, because leaving out a sample changes
    X'X + n lam I by a matrix of rank one. If p >= n and n lam is tiny compared with s_max^2,
    1 - H_ii loses digits.

    >>> leave_one_out([[1], [1]], [0, 2], 0.5)    # beta_{-i} = y_j / 2, y_j the other sample
    array([-1.,  2.])
    """
    fitted, leverage = _hat(X, y, lam)
    return (y - fitted) / (1 - leverage)


@checked
def generalized_cross_validation(
    X: "array_like, shape (n, p), n >= 1",
    y: "as in `leave_one_out`",
    lam: "as in `leave_one_out`",
) -> "ndarray, shape lam.shape or (*lam.shape, k), or float":
    """The mean square of `leave_one_out`, with every leverage H_ii replaced by their mean.

        GCV(lam) = (1/n) ||y - H y||^2 / (1 - df / n)^2,     df / n = mean of H_ii

    (Golub, Heath and Wahba 1979.) Unlike leave-one-out, GCV does not change if X and y are
    replaced by QX and Qy, for any orthogonal Q. df is `early_stopping.degrees_of_freedom`.
    """
    fitted, leverage = _hat(X, y, lam)
    sample_axis = lam.ndim    # it comes after the axes of lam
    mean_square = np.mean((y - fitted) ** 2, axis=sample_axis)
    mean_leverage = np.mean(leverage, axis=sample_axis)
    return mean_square / (1 - mean_leverage) ** 2


def _hat(X, y, lam):
    """The fitted values H y of ridge, and the leverages H_ii.

    If y has columns, the leverages get a last axis of length 1.
    """
    U, s, _ = svd(X)
    f = ridge_filter(s, lam, n_samples=len(X))
    Uf = U * f[..., None, :]                    # U diag(f), (*lam.shape, n, rank)
    fitted = Uf @ (U.T @ y)                     # (*lam.shape, n) or (*lam.shape, n, k)
    leverage = np.sum(Uf * U, axis=-1)          # (*lam.shape, n)
    if y.ndim == 2:
        leverage = leverage[..., None]
    return fitted, leverage
