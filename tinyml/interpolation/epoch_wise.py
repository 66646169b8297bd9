"""Epoch-wise double descent, exactly: the risk of gradient descent at every step, without a loop.

Problem: train longer, and the test error falls, rises, and falls again, while the training loss
falls all the way. Why does more training first hurt, and then help?

Idea: features of different scale are learned at different speeds, so gradient descent first fits
the large features, then the small ones. While the large features are fitted, what the small ones
contribute to y acts as noise, and the large ones overfit it. Once the small features are learned,
that noise is gone.

For y = X beta + eps the error of beta_t, the estimate after t steps from 0, has a closed form. Let
X = U diag(s) V'. With the learning rate lr, after t steps the fraction f_i = 1 - (1 - lr s_i^2)^t
of direction i is learned, most of it by t = 1 / (lr s_i^2):

    beta_t - beta  =  (V diag(f) V' - I) beta  +  V diag(f / s) U' eps
                      the bias                    random, with mean 0: its covariance
                                                  gives the variance

If each feature j has a learning rate of its own, proportional to 1 / scales_j^2, where scales_j is
its standard deviation, all features are learned at about the same speed. Then little or nothing is
left of the second descent.

Sources: Heckel and Yilmaz 2021, Early stopping in deep networks: double descent and how to
eliminate it; Nakkiran, Kaplun, Bansal, Yang, Barak and Sutskever 2020, Deep double descent;
MATH5836 week 10, section 10.1.3.
"""
from typing import NamedTuple

import numpy as np

from tinyml.contract import checked
from tinyml.interpolation.min_norm import descent_filter, linear_model, svd

# ------------------------------------------------------------ two curves, and when to stop

@checked
def training_risk(
    X: "array_like, shape (n, p), n >= 1",
    y: "array_like, shape (n,)",
    beta_t: "array_like, shape (..., p); one estimate or more, as from `descent`",
):
    """The mean squared error on the training data: R_train(t) = 1/n ||X beta_t - y||^2."""
    # each row of beta_t is one estimate, so each row of beta_t @ X.T is X beta_t
    return np.mean((beta_t @ X.T - y) ** 2, axis=-1)    # notes 10.1.3, training risk


@checked
def excess_risk(
    beta_t: "array_like, shape (..., p); one estimate or more",
    beta: "array_like, shape (p,); the truth",
    *,
    scales: "array_like, shape (p,); standard deviations of the features",
):
    """The squared error on new x ~ N(0, diag(scales^2)), without the noise of their y.

        E (x'beta_t - x'beta)^2 = sum_j scales_j^2 (beta_t - beta)_j^2
    """
    error = scales * (beta_t - beta)
    return np.sum(error ** 2, axis=-1)


@checked
def population_risk(
    beta_t: "as in `excess_risk`",
    beta: "as in `excess_risk`",
    *,
    scales: "as in `excess_risk`",
    sigma2: "float >= 0; variance of the noise in the new y",
):
    """The expected squared error on new data: R_test(t) = E (x'beta_t - x'beta)^2 + sigma2."""
    excess = excess_risk(beta_t, beta, scales=scales)    # E (x'beta_t - x'beta)^2
    return excess + sigma2    # notes 10.1.3, test risk


class TurningPoints(NamedTuple):
    """Positions in a curve; `t_int` is None if the training data are never interpolated."""

    t_min: int
    t_int: int | None


@checked
def turning_points(
    train: "array_like, shape (T,), T >= 1; R_train(t) for t = 0 ... T - 1",
    test: "array_like, shape (T,), T >= 1; R_test(t) for the same t",
    *,
    tolerance: "float >= 0; what counts as zero; use 0 if the risk is an error "
               "rate" = 0.0,
):
    """When the training data are first interpolated, and where the test risk is lowest up to then.

        t_int = the first t with R_train(t) <= tolerance
        t_min = the t <= t_int at which R_test(t) is smallest (over all t if t_int is None)

    t is an index into both curves. If they begin after the first epoch, t = 0 is that epoch.

    >>> turning_points([0.5, 0.2, 0.1, 0.0, 0.0], [0.6, 0.3, 0.5, 0.7, 0.2])
    TurningPoints(t_min=1, t_int=3)
    """
    interpolated = np.flatnonzero(train <= tolerance)
    t_int = int(interpolated[0]) if len(interpolated) else None    # the first t: R_train(t) = 0
    test_until_t_int = test if t_int is None else test[:t_int + 1]
    # t_min = argmin of R_test(t) over t <= t_int
    t_min = int(test_until_t_int.argmin())    # notes 10.1.3, t_min and t_int
    return TurningPoints(t_min, t_int)


# ------------------------------------------------------------ gradient descent, exactly

@checked
def make_two_scales(
    n_samples: "int >= 1",
    *,
    n_fast: "int >= 1",
    n_slow: "int >= 1",
    slow_scale: "float in (0, 1]",
    sigma2: "float >= 0; variance of the noise",
    rng: "numpy.random.Generator",
):
    """A linear model with two groups of features that matter equally, but are not equally large.

        y = X beta + eps,   x_ij from N(0, scales_j^2),   eps_i from N(0, sigma2)

    The first n_fast scales are 1 (large, learned fast), the others slow_scale (small, learned
    slowly). In each group the vector with the entries scales_j beta_j has length 1 and a random
    direction. So each group contributes variance 1 to y (Heckel and Yilmaz 2021).

    Returns
    -------
    X : ndarray, shape (n, p), p = n_fast + n_slow
    y : ndarray, shape (n,)
    beta, scales : ndarrays, shape (p,)
    """
    fast = rng.standard_normal(n_fast)
    slow = rng.standard_normal(n_slow)
    fast /= np.linalg.norm(fast)
    slow /= np.linalg.norm(slow)
    scales = np.repeat([1.0, slow_scale], [n_fast, n_slow])
    beta = np.concatenate([fast, slow]) / scales
    X = scales * rng.standard_normal((n_samples, n_fast + n_slow))
    y = linear_model(X, beta, sigma=np.sqrt(sigma2), rng=rng)
    return X, y, beta, scales


@checked
def descent(
    X: "array_like of float64, shape (n, p)",
    y: "array_like of float64, shape (n,)",
    t: "array_like of int, any shape, >= 0; numbers of steps",
    *,
    lr: "array_like of float64, shape () or (p,), > 0; one rate for all features, or "
        "one for each; with s^2 < 2 for the singular values s below",
) -> "ndarray, shape (*t.shape, p)":
    """Gradient descent on 1/2 ||X beta - y||^2 after t steps from zero, for many t at once.

        beta_{t+1} = beta_t - lr * X'(X beta_t - y)
        beta_t     = D V diag(f / s) U'y,     f = 1 - (1 - s^2)^t

    Here D = diag(sqrt(lr)) and X D = U diag(s) V', where only the s > 0 are kept. For the unknown
    D^-1 beta and the matrix X D this is gradient descent with learning rate 1.

    >>> descent([[2, 0], [0, 1]], [4, 4], [0, 1, 2, 1000], lr=0.25)
    array([[0.  , 0.  ],
           [2.  , 1.  ],
           [2.  , 1.75],
           [2.  , 4.  ]])
    """
    root_lr, U, s, Vh, f = _directions("descent", X, t, lr)
    fit = f / s * (U.T @ y)      # diag(f / s) U'y, (*t.shape, rank)
    return fit @ Vh * root_lr    # D V fit, where the last axis of fit is the vector


def _directions(function, X, t, lr):
    """sqrt(lr), the diagonal of D, (p,); U, s, Vh of X D; the filters f, (*t.shape, rank)."""
    root_lr = np.sqrt(np.broadcast_to(lr, X.shape[1]))
    U, s, Vh = svd(X * root_lr)
    largest = s.max(initial=0) ** 2
    if largest >= 2:
        raise ValueError(f"{function}: lr must keep s_max^2 of X sqrt(lr) below 2, got "
                         f"{largest:.6g}; from there on, gradient descent does not converge")
    return root_lr, U, s, Vh, descent_filter(s, t, lr=1)


@checked
def descent_bias2(
    X: "as in `descent`",
    beta: "array_like, shape (p,); the truth",
    t: "as in `descent`",
    *,
    lr: "as in `descent`",
    scales: "array_like, shape (p,); standard deviations of the features",
) -> "ndarray, shape (*t.shape, p)":
    """The squared bias of each feature after t steps, given X; their sum is the squared bias.

        scales_j^2 (E beta_t - beta)_j^2,     E beta_t = D V diag(f) V' D^-1 beta

    The expectation is over the noise; D, V and f are those of `descent`. The squared bias of a
    large feature can *grow* with t, because that feature also fits the signal of small features
    that are not learned yet.
    """
    root_lr, _, _, Vh, f = _directions("descent_bias2", X, t, lr)
    truth = Vh @ (beta / root_lr)            # V'D^-1 beta, (rank,)
    expected = (f * truth) @ Vh * root_lr    # E beta_t, (*t.shape, p)
    return (scales * (expected - beta)) ** 2


@checked
def descent_variance(
    X: "as in `descent`",
    t: "as in `descent`",
    *,
    lr: "as in `descent`",
    scales: "array_like, shape (p,); standard deviations of the features",
    sigma2: "float >= 0; variance of the noise",
) -> "ndarray, shape (*t.shape, p)":
    """The variance of each feature after t steps, given X; their sum is the variance.

        scales_j^2 (Cov beta_t)_jj = sigma2 scales_j^2 lr_j sum_i V_ji^2 (f_i / s_i)^2

    with V, s and f as in `descent`.
    """
    root_lr, _, s, Vh, f = _directions("descent_variance", X, t, lr)
    # sum_i V_ji^2 (f_i / s_i)^2, (*t.shape, p)
    sum_over_directions = (f / s) ** 2 @ Vh ** 2
    return sigma2 * (scales * root_lr) ** 2 * sum_over_directions


@checked
def descent_risk(
    X: "as in `descent`",
    beta: "as in `descent_bias2`",
    t: "as in `descent`",
    *,
    lr: "as in `descent`",
    scales: "as in `descent_bias2`",
    sigma2: "as in `descent_variance`",
):
    """The expected excess risk after t steps, given X: squared bias plus variance, summed."""
    bias2 = descent_bias2(X, beta, t, lr=lr, scales=scales)
    variance = descent_variance(X, t, lr=lr, scales=scales, sigma2=sigma2)
    return np.sum(bias2 + variance, axis=-1)


@checked
def equal_speed_rates(
    X: "array_like of float64, shape (n, p), not zero",
    *,
    scales: "array_like, shape (p,), > 0",
):
    """A learning rate for each feature, so that all are learned at one speed: c / scales_j^2.

    With these rates, descent on X is descent with the one learning rate c on the normalised
    features Z = X / scales, and c = 1 / s_max(Z)^2 is the largest constant with which no direction
    overshoots. (Heckel and Yilmaz 2021 choose the rates so that all features have their best time
    together.)
    """
    s_max = np.linalg.norm(X / scales, 2)
    return (1 / (scales * s_max)) ** 2
