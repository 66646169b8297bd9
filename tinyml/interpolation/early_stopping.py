"""Early stopping and ridge: two ways to shrink that are almost one.

Problem: at p = n the minimum-norm fit X^+ y is useless, since it divides by singular values close
to 0. One can punish long coefficients (ridge), or stop the descent early. What is the difference?

Idea: with X = U diag(s) V' both are filters, beta = V diag(f / s) U'y, and X^+ y has f = 1:

    ridge with penalty lam       f = s^2 / (s^2 + n lam)         =  u / (1 + u)        if
    descent stopped at step t    f = 1 - (1 - lr s^2)^t         ~=  1 - exp(-u)        u = lr t s^2

Both let large s pass and hold small s back. The edge is at n lam for one, at 1 / (lr t) for the
other. Match them, n lam = 1 / (lr t), and for lr <= 1 / s_max^2

    1 - f_descent <= 1 - f_ridge,        f_descent <= C_t f_ridge,        C_t -> 1.2984...

Squared, the first bounds the bias and the second the variance, so the risk of descent is at most
C_t^2 -> 1.6859... times that of ridge, for every X and every beta. And lam can be chosen by leaving
samples out, which takes ridge one factorisation; so the time to stop can be chosen, too.

The descent is that of `min_norm.gradient_descent`, on 1/2 ||X beta - y||^2 from zero;
`epoch_wise.descent` gives it at chosen steps. Ridge is `min_norm.ridge`. Filters are listed along
their last axis in the order of `min_norm.svd(X)`; what X does not see (s = 0) is never learned.

Sources: Ali, Kolter and Tibshirani 2019, A continuous-time view of early stopping for least squares
regression; Golub, Heath and Wahba 1979, Generalized cross-validation as a method for choosing a
good ridge parameter; MATH5836 week 10, section 10.1.2.
"""
import numpy as np

from tinyml.check import check_number, check_real, check_regression, check_sizes
from tinyml.interpolation.min_norm import descent_filter, svd


def matching_lam(t, *, lr, n_samples):
    """The penalty whose ridge resembles descent stopped at step t: lam = 1 / (n lr t).

    In the words of Ali, Kolter and Tibshirani 2019, who descend on 1/(2n) ||X beta - y||^2 in
    continuous time T: T = n lr t and lam = 1 / T. To first order in small s^2 the filters agree.

    Parameters
    ----------
    t : array_like, any shape, > 0, the step
    lr : float > 0
    n_samples : int >= 1

    Returns
    -------
    ndarray of float64, shape t.shape, or float

    Raises
    ------
    TypeError, ValueError : an argument is not real, not finite or out of range
    """
    t = check_real("matching_lam", "t", t, at_least=0).astype(np.float64)
    check_number("matching_lam", "lr", lr, above=0, below=np.inf)
    check_sizes("matching_lam", n_samples=n_samples)
    if not t.all():
        raise ValueError("matching_lam: t must be > 0, got 0; no step is like an infinite penalty")
    return (1 / (n_samples * lr * t))[()]


def degrees_of_freedom(f):
    """sum f: how many parameters a filtered fit uses, from 0 up to the rank.

    The fitted values are H y with H = U diag(f) U', and sum f is the trace of H: each y_i pulls at
    its own fitted value with strength H_ii. For f = 1 and p <= n it is p.

    Parameters
    ----------
    f : array_like, shape (..., rank), from `ridge_filter` or `descent_filter`

    Returns
    -------
    ndarray of shape (...), or float

    Raises
    ------
    TypeError, ValueError : f is not real, not finite, or has no axis
    """
    f = check_real("degrees_of_freedom", "f", f)
    if f.ndim == 0:
        raise ValueError("degrees_of_freedom: f must have an axis of directions, got a number")
    return f.sum(axis=-1)


def filter_risk(X, beta, f, *, sigma2):
    """The excess risk of a filtered fit given X: E ||V diag(f / s) U'y - beta||^2.

        sum_i (1 - f_i)^2 (v_i'beta)^2 + ||(I - V V')beta||^2    +    sigma2 * sum_i (f_i / s_i)^2
        squared bias: held back,         and not seen by X            variance

    for y = X beta + eps, eps_i independent with variance `sigma2`. It is the excess error on new
    x ~ N(0, I); the noise of the new y is left out.

    Parameters
    ----------
    X : array_like, shape (n, p)
    beta : array_like, shape (p,)
    f : array_like, shape (..., rank), the filter at each singular value of `svd(X)`
    sigma2 : float >= 0, the variance of the noise

    Returns
    -------
    ndarray of float64, shape (...), or float

    Raises
    ------
    TypeError, ValueError : an argument is not real, not finite, of another shape or out of range
    """
    X = check_real("filter_risk", "X", X, ndim=2).astype(np.float64)
    beta = check_real("filter_risk", "beta", beta).astype(np.float64)
    f = check_real("filter_risk", "f", f)
    check_number("filter_risk", "sigma2", sigma2, at_least=0, below=np.inf)
    _, s, Vh = svd(X)
    for name, value, last in (("beta", beta.shape, X.shape[1]), ("f", f.shape[-1:], len(s))):
        if value != (last,):
            raise ValueError(f"filter_risk: {name} must end in an axis of {last} for this X, got "
                             f"shape {np.shape(beta if name == 'beta' else f)}")
    seen = Vh @ beta
    hidden = np.sum((beta - seen @ Vh) ** 2)
    with np.errstate(over="ignore"):    # what is beyond 1e308 is infinite
        return hidden + (((1 - f) * seen) ** 2 + (np.sqrt(sigma2) * f / s) ** 2).sum(axis=-1)


def risk_ratio_bound(t):
    """C_t^2: how many times the risk of ridge the risk of descent at step t can be, at most.

        C_t = max over 0 < u <= t of (1 - (1 - u/t)^t) (1 + u) / u,     u = lr t s^2

    is the largest f_descent / f_ridge at matching lam, if lr <= 1 / s_max^2. The variance grows by
    C_t^2 or less, and the bias not at all: by Bernoulli's inequality (1 - u/t)^t <= 1 / (1 + u). So
    it holds for every X, beta and noise, and with equality for beta = 0 and all s at the worst u.
    From C_1^2 = 4 it falls to 1.6859... for t = infinity, which is descent in infinitely small
    steps (Ali, Kolter and Tibshirani 2019 round up to 1.6862).

    Parameters
    ----------
    t : int >= 1, or infinity

    Returns
    -------
    float, to eight digits

    Raises
    ------
    TypeError, ValueError : t is not a whole number >= 1, nor infinity

    Examples
    --------
    >>> [round(risk_ratio_bound(t), 4) for t in (1, 2, 100, np.inf)]
    [4.0, 2.4414, 1.6968, 1.6859]
    """
    u, f = _any_direction("risk_ratio_bound", t)
    return float((f * (1 + u) / u).max() ** 2)


def tuned_risk_ratio_bound(t):
    """The same bound when ridge has its best lam, and descent stops at the matching step t.

        max over 0 < u <= t of ((1 - f)^2 + f^2 / u) (1 + u),     f = 1 - (1 - u/t)^t

    Let the direction of beta be random, so that beta has p coefficients of variance v, and let the
    noise have variance w. The best penalty is n lam = w / v (`double_descent.optimal_lam`), and
    then v ((1 - f)^2 + f^2 / u) is the risk in a direction with u = s^2 v / w; f = u / (1 + u)
    makes it v / (1 + u), the least. No filter beats ridge on average, and descent comes within
    1.2146... of it as t -> infinity (Ali, Kolter and Tibshirani 2019 round up to 1.2147).

    Parameters
    ----------
    t : int >= 1, or infinity

    Returns
    -------
    float, to eight digits

    Raises
    ------
    TypeError, ValueError : t is not a whole number >= 1, nor infinity
    """
    u, f = _any_direction("tuned_risk_ratio_bound", t)
    return float((((1 - f) ** 2 + f ** 2 / u) * (1 + u)).max())


def leave_one_out(X, y, lam):
    """The errors of ridge on each sample when the other n - 1 are fitted, from one factorisation.

        y_i - x_i'beta_{-i} = (y_i - x_i'beta) / (1 - h_i),     h_i = sum_j f_j U_ij^2

    with beta_{-i} = (X_{-i}'X_{-i} + n lam I)^-1 X_{-i}'y_{-i}: the penalty stays n lam, not
    (n - 1) lam. For lam = 0 it is the minimum-norm fit to the others, also where h_i = 1 and the
    formula, 0 / 0, stands for its limit. The mean of the squares estimates the test error.

    It is exact for ridge, and not for descent, whose filter changes with the samples: stop descent
    at the matching step (or see Patil, Wu and Tibshirani 2024, Failures and successes of
    cross-validation for early-stopped gradient descent).

    Parameters
    ----------
    X : array_like, shape (n, p)
    y : array_like, shape (n,) or (n, k)
    lam : array_like, any shape, >= 0

    Returns
    -------
    ndarray of float64, shape (*lam.shape, n) or (*lam.shape, n, k)

    Raises
    ------
    TypeError, ValueError : X or y is not real, not finite, or their shapes do not fit together;
        lam is negative or not finite
    """
    y, U, _, Uy, outside, v, scale = _residuals("leave_one_out", X, y, lam)
    beyond = 1 - np.sum(U * U, axis=1)    # what U leaves of each sample
    some = beyond > 10 * len(U) * np.finfo(float).eps    # or is it the rounding of U?
    scale = np.where(some, scale, 1)      # (..., n); if nothing is beyond, it cancels
    left = np.einsum("nr,...r,rk->...nk", U, v, Uy, optimize=True)
    errors = some[:, None] * outside + scale[..., None] * left    # (..., n, k)
    errors /= (some * beyond + scale * (v @ (U * U).T))[..., None]
    return errors.reshape(errors.shape[:-2] + y.shape)


def generalized_cross_validation(X, y, lam):
    """`leave_one_out` in which every sample has the mean leverage: an estimate of the test error.

        GCV(lam) = (1/n) ||(I - H) y||^2 / (1 - df/n)^2,     H = U diag(f) U', df = sum f

    of ridge (Golub, Heath and Wahba 1979). Unlike leave-one-out it does not change when the samples
    are rotated, X -> QX, y -> Qy. If X has rank n, lam = 0 stands for the limit lam -> 0.

    Parameters
    ----------
    X : array_like, shape (n, p), n >= 1
    y : array_like, shape (n,) or (n, k)
    lam : array_like, any shape, >= 0

    Returns
    -------
    ndarray of float64, shape lam.shape or (*lam.shape, k)

    Raises
    ------
    TypeError, ValueError : X or y is not real, not finite, empty, or their shapes do not fit
        together; lam is negative or not finite
    """
    y, U, s, Uy, outside, v, scale = _residuals("generalized_cross_validation", X, y, lam)
    n, rank = len(U), len(s)
    if n == 0:
        raise ValueError("generalized_cross_validation: X must have a sample, got none")
    scale = np.where(rank < n, scale, 1)      # I - H is scale * U v U' then, and the scale cancels
    left = np.sum(outside ** 2, axis=0) * (rank < n) + scale ** 2 * (v ** 2 @ Uy ** 2)    # (..., k)
    trace = n - rank + scale * v.sum(axis=-1, keepdims=True)
    return (n * left / trace ** 2).reshape(v.shape[:-1] + y.shape[1:])[()]


def _residuals(function, X, y, lam):
    """What I - H is made of: (I - H) y = outside + scale * U diag(v) U'y, with v in (0, 1].

    1 - f = n lam / (s^2 + n lam) vanishes for lam = 0, but v = (s_min^2 + n lam) / (s^2 + n lam),
    the same up to the scale n lam / (s_min^2 + n lam), does not.
    """
    X, y = (array.astype(np.float64) for array in check_regression(function, X, y))
    lam = check_real(function, "lam", lam, at_least=0).astype(np.float64)
    root = np.sqrt(lam)[..., None] * np.sqrt(len(X))
    U, s, _ = svd(X)
    h = np.hypot(s, root)                                           # (..., rank)
    least = h.min(axis=-1, keepdims=True, initial=np.inf)           # (..., 1)
    Y = y if y.ndim == 2 else y[:, None]                            # (n, k)
    Uy = U.T @ Y
    return y, U, s, Uy, Y - U @ Uy, (least / h) ** 2, (root / least) ** 2


def _any_direction(function, t):
    """u = lr t s^2 for s^2 up to 1 / lr, and the filter f of descent at step t there.

    Beyond u = 8 both ratios are below 9/8 + 1e-4, less than their maxima.
    """
    if t != np.inf:
        check_sizes(function, t=t)
    u = np.linspace(0, min(t, 8), 80_001)[1:]
    return u, -np.expm1(-u) if t == np.inf else descent_filter(np.sqrt(u), t, lr=1 / t)
