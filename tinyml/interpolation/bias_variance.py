"""Bias, variance, noise: the three parts of the test risk.

Problem: a fit is wrong on new data. Is it because the model cannot represent the truth, because
the fit depends on the particular training set, or because the new data are noisy themselves?

Idea: train on many training sets from one distribution. Compare the mean of the predictions f_1
... f_R with the truth f*, and look at their scatter around that mean:

    E (f(x) - y)^2  =  (E f(x) - f*(x))^2  +  Var f(x)  +  sigma^2,      y = f*(x) + noise
                       bias^2                 variance      variance of the noise

At a fixed x, E and Var are over training sets, and E on the left also over the noise of the new y.

More complex models have less bias and more variance, so the risk has the U shape of the
textbooks. This holds up to the interpolation threshold, where a model first fits all training
data exactly. Beyond it the variance falls again: the second descent.

In all lessons, the annotation of a parameter says what the argument must be. The decorator
`checked` enforces it, and turns what is array_like into an array (`tinyml.contract`).

Sources: Geman, Bienenstock and Doursat 1992, Neural networks and the bias/variance dilemma;
MATH5836 week 10, section 10.1.1.
"""
from typing import NamedTuple

import numpy as np

from tinyml.contract import checked


class BiasVariance(NamedTuple):
    """The two parts of the risk that depend on the model."""

    bias2: float
    variance: float


@checked
def bias_variance(
    predictions: "array_like of float64, shape (R, n_test, *k), not empty; f_r(x) for each of "
                 "R training sets and n_test points x; *k are the axes of an output, none "
                 "if it is one number",
    target: "array_like of float64, shape (n_test, *k); the true f*(x), without noise",
):
    """Split the mean squared error of R predictors into squared bias and variance.

        bias^2   = mean over x of ||mean_r f_r(x) - f*(x)||^2
        variance = mean over x and r of ||f_r(x) - mean_s f_s(x)||^2

    In the notes the two are expectations; here they are means over R training sets. The sum of
    both is exactly the mean of ||f_r(x) - f*(x)||^2, because the variance divides by R and not by
    R - 1. On average bias^2 is too large by (true variance) / R, and the variance is too small by
    the same amount.

    Returns
    -------
    BiasVariance : bias2 and variance, floats >= 0; if f has several outputs, the sums over them

    >>> bias_variance([[1, 2], [3, 2]], [2, 4])
    BiasVariance(bias2=2.0, variance=0.5)
    """
    R, n_test = predictions.shape[:2]
    mean = predictions.mean(axis=0)                                # E f(x)
    bias2 = np.sum((mean - target) ** 2) / n_test                  # notes 10.1.1, squared bias
    variance = np.sum((predictions - mean) ** 2) / (R * n_test)    # notes 10.1.1, variance
    return BiasVariance(float(bias2), float(variance))


@checked
def expected_risk(
    predictions: "as in `bias_variance`",
    target: "as in `bias_variance`",
    *,
    sigma2: "float >= 0; variance of the noise; for several outputs, the sum of their "
            "noise variances",
):
    """The expected squared error on new, noisy data: bias^2 + variance + sigma^2.

    The noise of the new data is independent of the predictions, so it adds its own variance. No
    model has a risk below sigma^2.

    >>> expected_risk([[1, 2], [3, 2]], [2, 4], sigma2=0.25)
    2.75
    """
    bias2, variance = bias_variance(predictions, target)
    return bias2 + variance + sigma2    # notes 10.1.1, risk
