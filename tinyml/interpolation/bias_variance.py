"""Bias, variance, noise: the three parts of the test risk.

Problem: a fit is wrong on new data. Because the model cannot say what is true, because it hangs on
the accidents of one training set, or because the new data are noisy themselves?

Idea: train on many training sets from one distribution and look at the crowd of predictions
f_1 ... f_R: how far its centre is from the truth f*, and how far it is scattered.

    E (f(x) - y)^2  =  (E f(x) - f*(x))^2  +  Var f(x)  +  sigma^2,      y = f*(x) + noise
                       bias^2                 variance      noise

More complex models have less bias and more variance: the U-shaped curve of the textbooks. Beyond
the interpolation threshold the variance falls again: the second descent.

Sources: Geman, Bienenstock and Doursat 1992, Neural networks and the bias/variance dilemma;
MATH5836 week 10, section 10.1.1.
"""
from typing import NamedTuple

import numpy as np

from tinyml.check import check_real


class Parts(NamedTuple):
    """bias2 + variance is the risk of the predictions, as far as noise is not to blame."""

    bias2: float
    variance: float


def bias_variance(predictions, target):
    """Split the mean squared distance of R predictions from f* into bias^2 and variance.

        bias^2   = mean over x of ||mean_r f_r(x) - f*(x)||^2
        variance = mean over x of mean_r ||f_r(x) - mean_s f_s(x)||^2

    (MATH5836 week 10, section 10.1.1, with means over R training sets for expectations.) Because
    the variance divides by R, the identity is exact, whatever the predictions are:

        mean over r and x of ||f_r(x) - f*(x)||^2 = bias^2 + variance

    Against noisy targets y = f*(x) + noise, independent of the predictions, sigma^2 is added in
    expectation. As estimates of the true parts, bias^2 is too large by Var / R and variance too
    small by as much: the centre of R predictions is itself scattered. With R = 1 all is bias.

    Parameters
    ----------
    predictions : array_like, shape (R, n_test) or (R, n_test, k), f_r(x) after training on set r
    target : array_like, shape (n_test,) or (n_test, k), the true f*(x), without noise

    Returns
    -------
    Parts : bias2 and variance, floats >= 0; for k outputs the sums over them

    Raises
    ------
    TypeError : predictions or target are not real numbers
    ValueError : the shapes do not fit together, an axis is empty, or a value is NaN or infinite

    Examples
    --------
    >>> bias_variance([[1, 2], [3, 2]], [2, 4])
    Parts(bias2=2.0, variance=0.5)
    """
    predictions = check_real("bias_variance", "predictions", predictions).astype(np.float64)
    target = check_real("bias_variance", "target", target).astype(np.float64)
    shape = predictions.shape
    if len(shape) not in (2, 3) or target.shape != shape[1:] or 0 in shape:
        raise ValueError("bias_variance: predictions and target must have shapes (R, n_test) and "
                         "(n_test,), or (R, n_test, k) and (n_test, k), not empty, got "
                         f"{shape} and {target.shape}")
    centre = predictions.mean(axis=0)    # (n_test,) or (n_test, k)
    bias2 = ((centre - target) ** 2).sum() / shape[1]
    variance = ((predictions - centre) ** 2).sum() / (shape[0] * shape[1])
    return Parts(float(bias2), float(variance))
