"""Epoch-wise double descent, exactly: the risk of gradient descent at every step, without a loop.

Problem: train longer, and the test error falls, rises, and falls again, while the training loss
falls all the way. How can a time be too long, and a longer one right?

Idea: features of different scale are learned at different speeds, so one descent is several fits,
one after the other. In y = X beta + eps, x ~ N(0, diag(scales^2)), direction i of X diag(sqrt(lr))
= U diag(s) V' is learned by step t up to the share f_i = 1 - (1 - s_i^2)^t: at t = 1 / s_i^2, more
or less. While the large features are fitted, what the small ones say about y is noise to them, and
they overfit it; once the small ones are learned, that noise is gone. With D = diag(sqrt(lr)):

    beta_t - beta  =  D (V diag(f) V' - I) D^-1 beta  +  D V diag(f / s) U' eps
                      bias                              its covariance: the variance

Steps lr_j ~ 1 / scales_j^2 make all features equally fast, and the second bump is gone.

The risk is the *excess* risk E (x'beta_t - x'beta)^2, and `noise` is the variance of eps (add it
for the test error), as in `double_descent`.

Sources: Heckel and Yilmaz 2021, Early stopping in deep networks: double descent and how to
eliminate it; Nakkiran, Kaplun, Bansal, Yang, Barak and Sutskever 2020, Deep double descent;
MATH5836 week 10, section 10.1.3.
"""
import numpy as np

from tinyml.check import check_number, check_real, check_rng, check_sizes
from tinyml.data import make_linear
from tinyml.interpolation.min_norm import descent_filter, svd


def make_two_scales(n_samples, *, n_fast, n_slow, slow_scale, noise, rng):
    """A linear model with two groups of features that are equally important, but not equally large.

        y = X beta + eps,   x_ij ~ N(0, scales_j^2),   eps_i ~ N(0, noise)

    The first n_fast scales are 1, the others slow_scale. Within either group scales_j beta_j is a
    random direction of length 1, so each contributes variance 1 to y (Heckel and Yilmaz 2021).

    Parameters
    ----------
    n_samples, n_fast, n_slow : int >= 1
    slow_scale : float in (0, 1]
    noise : float >= 0, the variance of eps
    rng : numpy.random.Generator

    Returns
    -------
    X : ndarray of float64, shape (n, p), p = n_fast + n_slow
    y : ndarray of float64, shape (n,)
    beta, scales : ndarrays of float64, shape (p,)

    Raises
    ------
    ValueError : a size below 1, negative noise, or slow_scale outside (0, 1]
    TypeError : rng is not a Generator
    """
    check_rng("make_two_scales", rng)
    check_sizes("make_two_scales", n_samples=n_samples, n_fast=n_fast, n_slow=n_slow)
    check_number("make_two_scales", "slow_scale", slow_scale, above=0, at_most=1)
    check_number("make_two_scales", "noise", noise, at_least=0, below=np.inf)
    groups = [rng.standard_normal(size) for size in (n_fast, n_slow)]
    weight = np.concatenate([group / np.linalg.norm(group) for group in groups])
    scales = np.repeat([1.0, slow_scale], [n_fast, n_slow])
    Z, y, _ = make_linear(n_samples, n_fast + n_slow, noise=np.sqrt(noise), beta=weight, rng=rng)
    return Z * scales, y, weight / scales, scales


def descent(X, y, t, *, lr):
    """Gradient descent on 1/2 ||X beta - y||^2 after t steps from zero, for many t at once.

        beta_{t+1} = beta_t - lr * X'(X beta_t - y),        beta_t = D V diag(f / s) U'y

    A step per feature is plain descent in the coordinates D^-1 beta, D = diag(sqrt(lr)), where the
    design is X D; hence X D = U diag(s) V', f = 1 - (1 - s^2)^t over the s that are not zero. With one step
    for all it is `min_norm.gradient_descent_closed_form` from zero, at chosen times instead of all.

    Parameters
    ----------
    X : array_like, shape (n, p)
    y : array_like, shape (n,)
    t : array_like of whole numbers >= 0, any shape, in any order
    lr : float > 0, or array_like, shape (p,), a step for each feature; s_max^2 < 2

    Returns
    -------
    ndarray of float64, shape (*t.shape, p)

    Raises
    ------
    TypeError, ValueError : an argument is not real, not finite, of another shape or out of range

    Examples
    --------
    >>> descent([[2, 0], [0, 1]], [4, 4], [0, 1, 2, 1000], lr=0.25)
    array([[0.  , 0.  ],
           [2.  , 1.  ],
           [2.  , 1.75],
           [2.  , 4.  ]])
    """
    root, U, s, Vh, f = _modes("descent", X, t, lr)
    y = _vector("descent", "y", y, len(U))
    return (f / s * (U.T @ y)) @ Vh * root


def excess_risk(beta_hat, beta, *, scales):
    """The error of beta_hat on new x ~ N(0, diag(scales^2)), without their noise.

        E (x'beta_hat - x'beta)^2 = sum_j scales_j^2 (beta_hat_j - beta_j)^2

    Parameters
    ----------
    beta_hat : array_like, shape (..., p), estimates
    beta : array_like, shape (p,), the truth
    scales : array_like, shape (p,)

    Returns
    -------
    ndarray, shape (...)

    Raises
    ------
    TypeError, ValueError : an argument is not real or not finite, or the shapes do not fit together
    """
    beta_hat = check_real("excess_risk", "beta_hat", beta_hat)
    p = beta_hat.shape[-1] if beta_hat.ndim else 0
    beta, scales = (_vector("excess_risk", name, value, p)
                    for name, value in (("beta", beta), ("scales", scales)))
    return ((scales * (beta_hat - beta)) ** 2).sum(axis=-1)


def descent_bias(X, beta, t, *, lr, scales):
    """The squared bias at step t that each feature contributes, given X; sum over the features.

        scales_j^2 (E beta_t - beta)_j^2,        E beta_t = D V diag(f) V' D^-1 beta

    The expectation is over eps; D = diag(root) with the roots of lr, V and f are those of `descent`. The bias of
    a large feature can *grow* with t: it picks up the signal of small features that are not learned yet.

    Parameters
    ----------
    X, t, lr : as in `descent`
    beta, scales : array_like, shape (p,), the truth and the standard deviations of the features

    Returns
    -------
    ndarray of float64, shape (*t.shape, p)

    Raises
    ------
    TypeError, ValueError : an argument is not real, not finite, of another shape or out of range
    """
    root, _, _, Vh, f = _modes("descent_bias", X, t, lr)
    beta, scales = (_vector("descent_bias", name, value, len(root))
                    for name, value in (("beta", beta), ("scales", scales)))
    expected = (f * (Vh @ (beta / root))) @ Vh * root
    return (scales * (expected - beta)) ** 2


def descent_variance(X, t, *, lr, scales, noise):
    """The variance at step t that each feature contributes, given X; sum over the features.

        scales_j^2 (Cov beta_t)_jj = noise * scales_j^2 lr_j sum_i V_ji^2 (f_i / s_i)^2

    with V, s and f as in `descent`: column i of V is a direction of the p features. D = diag(root), lr_j is
    root_j^2.

    Parameters
    ----------
    X, t, lr : as in `descent`
    scales : array_like, shape (p,), the standard deviations of the features
    noise : float >= 0, the variance of eps

    Returns
    -------
    ndarray of float64, shape (*t.shape, p)

    Raises
    ------
    TypeError, ValueError : an argument is not real, not finite, of another shape or out of range
    """
    root, _, s, Vh, f = _modes("descent_variance", X, t, lr)
    scales = _vector("descent_variance", "scales", scales, len(root))
    check_number("descent_variance", "noise", noise, at_least=0, below=np.inf)
    return noise * (scales * root) ** 2 * ((f / s) ** 2 @ Vh ** 2)


def descent_risk(X, beta, t, *, lr, scales, noise):
    """The excess risk at step t, given X: bias and variance of all features together.

    Parameters
    ----------
    X, beta, t, lr, scales, noise : as in `descent_bias` and `descent_variance`

    Returns
    -------
    ndarray of float64, shape t.shape

    Raises
    ------
    TypeError, ValueError : as in `descent_bias` and `descent_variance`
    """
    bias = descent_bias(X, beta, t, lr=lr, scales=scales)
    return (bias + descent_variance(X, t, lr=lr, scales=scales, noise=noise)).sum(axis=-1)


def equal_speed_steps(X, *, scales):
    """A step for each feature with which all are learned at one speed: lr_j = c / scales_j^2.

    X D = sqrt(c) Z, where the features Z = X / scales all have scale 1: descent with these steps is
    plain descent on normalised features. c = 1 / s_max(Z)^2, the largest with which no direction
    overshoots (Heckel and Yilmaz 2021 choose steps for which all features are best at one time).

    Parameters
    ----------
    X : array_like, shape (n, p), not zero
    scales : array_like, shape (p,), > 0

    Returns
    -------
    ndarray of float64, shape (p,)

    Raises
    ------
    TypeError, ValueError : an argument is not real, not finite, of another shape or out of range;
        the steps are too large or too small for a float
    """
    X = check_real("equal_speed_steps", "X", X, ndim=2).astype(np.float64)
    scales = _positive("equal_speed_steps", "scales", scales, X.shape[1])
    s_max = np.linalg.svd(X / scales, compute_uv=False).max(initial=0)
    if s_max == 0:
        raise ValueError("equal_speed_steps: X must not be zero, got only zeros; any step will do")
    with np.errstate(over="ignore", divide="ignore"):    # reported below, in words
        steps = (1 / (scales * s_max)) ** 2
    if not ((0 < steps) & (steps < np.inf)).all():
        raise ValueError("equal_speed_steps: X must have a size whose square is a number, got s_max = "
                         f"{s_max:g} of X / scales; divide X and y by it")
    return steps


def _modes(function, X, t, lr):
    """D (p,), the modes U, s, Vh of X D, and f (*t.shape, rank), the share learned by step t."""
    X = check_real(function, "X", X, ndim=2).astype(np.float64)
    root = np.sqrt(_positive(function, "lr", lr, X.shape[1]))
    t = check_real(function, "t", t)
    if (t < 0).any() or (t % 1).any():
        raise ValueError(f"{function}: t must hold whole numbers >= 0, got {t}; it counts steps")
    U, s, Vh = svd(X * root)
    if s.max(initial=0) >= np.sqrt(2):
        raise ValueError(f"{function}: lr must keep s_max of X sqrt(lr) below sqrt(2), got {s.max():.6g}; "
                         "from sqrt(2) on, gradient descent does not converge")
    return root, U, s, Vh, descent_filter(s, t.astype(int), lr=1)


def _positive(function, name, value, p):
    """A number, or p of them, all > 0, as p of them."""
    value = check_real(function, name, value)
    value = _vector(function, name, np.broadcast_to(value, p) if value.ndim == 0 else value, p)
    if not (value > 0).all():
        raise ValueError(f"{function}: {name} must be > 0, got {value.min()}")
    return value


def _vector(function, name, value, size):
    """`value` as float64 of shape (size,), or an error."""
    value = check_real(function, name, value).astype(np.float64)
    if value.shape != (size,):
        raise ValueError(f"{function}: {name} must have shape {(size,)}, got {value.shape}")
    return value
