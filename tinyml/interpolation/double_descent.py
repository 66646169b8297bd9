"""The risk of the minimum-norm fit in theory: the peak at p = n, and the second descent after it.

Problem: y = X beta + noise with n samples and p features. How does the error on new data depend
on p?

Idea: for Gaussian features x ~ N(0, I) the squared error of a fit b on a new x is, on average,
E (x'b - x'beta)^2 = ||b - beta||^2. Let signal = ||beta||^2, and sigma2 the variance of the noise.
For b = X^+ y the mean over training sets is exactly

    E ||X^+ y - beta||^2 = signal * max(0, 1 - n/p)  +  sigma2 * min(n, p) / (|n - p| - 1)
                           squared bias: the part      variance: sigma2 * E ||X^+||_F^2
                           of beta that n samples
                           cannot see

Bias and variance are those over the noise for a given X, and then the means over X. (In
`bias_variance` X varies too. Then the squared bias is signal * (1 - n/p)^2 for p > n, and the rest
of the first term belongs to the variance. The sum is the same.)

The variance is infinite for |n - p| <= 1. Near p = n the smallest singular value of X is close to
0, and X^+ amplifies the noise. With more features X^+ becomes smaller again: the second descent.
The right amount of ridge removes the peak.

Every risk is the *excess* risk, without the noise of the new y: add sigma2 for the test error.
All arguments broadcast; a result is an array, or a float if they are numbers.

Sources: Hastie, Montanari, Rosset and Tibshirani 2022, Surprises in high-dimensional ridgeless
least squares interpolation (the limits); Belkin, Hsu and Xu 2020, Two models of double descent
for weak features (the exact risk); Dobriban and Wager 2018, High-dimensional asymptotics of
prediction: ridge regression and classification; MATH5836 week 10, sections 10.1.1 and 10.1.2.
"""
import numpy as np

from tinyml.contract import checked


@checked
def min_norm_bias2(
    n_samples: "array_like of int, any shape, >= 0; n in the formula",
    n_features: "array_like of int, any shape, >= 0; p in the formula",
    *,
    signal: "array_like, any shape, >= 0; ||beta||^2",
):
    """The squared bias of X^+ y given X, mean over X: signal * (1 - n/p) for p > n, otherwise 0.

    For p > n, X^+ X projects onto a uniformly random subspace of dimension n, so on average
    ||(I - X^+ X) beta||^2 is (p - n) / p of ||beta||^2. The formula is exact for every n and p.
    """
    n, p = n_samples, n_features
    # signal * max(0, 1 - n/p), and 0 instead of 0/0 for p = 0
    return signal * np.maximum(p - n, 0) / np.maximum(p, 1)


@checked
def min_norm_variance(
    n_samples: "array_like of int, any shape, >= 0; n in the formula",
    n_features: "array_like of int, any shape, >= 0; p in the formula",
    *,
    sigma2: "array_like, any shape, >= 0; variance of the noise",
):
    """The variance of X^+ y given X, mean over X: sigma2 * E ||X^+||_F^2.

        sigma2 * p / (n - p - 1)   for p < n - 1,        sigma2 * n / (p - n - 1)   for p > n + 1

    ||X^+||_F^2 is the trace of (X'X)^-1 for p < n, and of (XX')^-1 for p > n. The mean of these
    (inverse Wishart) matrices is known. The formula is exact for every n and p. For |p - n| <= 1
    the variance is infinite. But if sigma2, n or p is 0, it is always 0.
    """
    n, p = n_samples, n_features
    rank = np.minimum(n, p)
    return _ratio(sigma2 * rank, np.abs(n - p) - 1)


@checked
def min_norm_risk(
    n_samples: "as in `min_norm_bias2`",
    n_features: "as in `min_norm_bias2`",
    *,
    signal: "as in `min_norm_bias2`",
    sigma2: "as in `min_norm_variance`",
):
    """The excess risk E ||X^+ y - beta||^2 for Gaussian features: squared bias plus variance.

    >>> min_norm_risk(10, [5, 10, 20], signal=1, sigma2=1)
    array([1.25      ,        inf, 1.61111111])
    """
    bias2 = min_norm_bias2(n_samples, n_features, signal=signal)
    variance = min_norm_variance(n_samples, n_features, sigma2=sigma2)
    return bias2 + variance


@checked
def subset_risk(
    n_samples: "as in `min_norm_bias2`",
    n_features: "as in `min_norm_bias2`",
    *,
    signal_in: "array_like, any shape, >= 0; ||beta||^2 of the features that the model sees",
    signal_out: "array_like, any shape, >= 0; ||beta||^2 of the others",
    sigma2: "as in `min_norm_variance`",
):
    """The excess risk of X^+ y when the model sees only p of the features that make up y.

    The features that the model does not see are independent of the others, so they act as
    additional noise:

        signal_out + min_norm_risk(n, p, signal=signal_in, sigma2=sigma2 + signal_out)

    (Belkin, Hsu and Xu 2020; their formula also counts the noise of the new y, so it is larger by
    sigma2.) Every added feature moves signal from signal_out to signal_in, so the second descent
    can go *below* the first minimum. If p of D features are chosen at random, signal_in is on
    average p/D of ||beta||^2.
    """
    all_noise = sigma2 + signal_out
    fit = min_norm_risk(n_samples, n_features, signal=signal_in, sigma2=all_noise)
    return signal_out + fit


@checked
def asymptotic_risk(
    gamma: "array_like, any shape, > 0",
    *,
    signal: "array_like, any shape, >= 0; ||beta||^2",
    sigma2: "array_like, any shape, >= 0; variance of the noise",
):
    """The limit of `min_norm_risk` as n and p grow, with p / n -> gamma (Hastie et al. 2022).

        gamma < 1:  sigma2 * gamma / (1 - gamma)
        gamma > 1:  signal * (1 - 1 / gamma) + sigma2 / (gamma - 1)

    At gamma = 1 the limit is infinite, or 0 if sigma2 = 0. The risk of X^+ y has the same limit
    for features that are not Gaussian: it is enough that they are independent and identically
    distributed, with mean 0, variance 1 and a finite moment of some order above 4.
    """
    bias2 = signal * np.maximum(gamma - 1, 0) / gamma
    variance = _ratio(sigma2 * np.minimum(gamma, 1), np.abs(gamma - 1))
    return bias2 + variance


@checked
def asymptotic_minimum(
    *,
    signal: "as in `asymptotic_risk`",
    sigma2: "as in `asymptotic_risk`",
):
    """The gamma >= 1 with the least `asymptotic_risk`: r / (r - sigma), where r = ||beta||.

    For r <= sigma the second descent never ends: the risk falls towards `signal`, and the answer
    is infinity (Hastie et al. 2022, isotropic features). Without noise the risk falls to 0 as
    gamma -> 1, and the answer is 1.
    """
    r, sigma = np.sqrt(signal), np.sqrt(sigma2)
    never_ends = r <= sigma
    difference = np.where(never_ends, 1, r - sigma)    # never 0
    return np.where(never_ends, np.inf, r / difference)[()]    # [()]: a 0-d array becomes a number


@checked
def optimal_lam(
    gamma: "array_like, any shape, > 0",
    *,
    signal: "array_like, any shape, > 0; ||beta||^2",
    sigma2: "array_like, any shape, >= 0; variance of the noise",
):
    """The penalty of `ridge` with the least excess risk: lam* = sigma2 * gamma / signal.

    If the direction of beta is uniformly random, lam* has the smallest risk on average over beta,
    for every X and every n (Hastie et al. 2022; Dobriban and Wager 2018). Then a coefficient has
    the variance signal / p. With gamma = p / n, n lam* = sigma2 / (signal / p) is the variance of
    the noise divided by that of a coefficient.
    """
    return sigma2 * gamma / signal


@checked
def optimal_ridge_risk(
    gamma: "as in `optimal_lam`",
    *,
    signal: "as in `optimal_lam`",
    sigma2: "as in `optimal_lam`",
):
    """The limit of the excess risk of `ridge` at lam*, as n and p grow with p / n -> gamma.

        sigma2 * gamma * m(lam*),     m(l) = (sqrt(b^2 + 4 gamma l) - b) / (2 gamma l)
                                      b = 1 - gamma + l

    m(l) is the limit of 1/p trace (X'X/n + l I)^-1 as n and p grow (Dobriban and Wager 2018, who
    call it the Stieltjes transform of the Marchenko-Pastur law at -l). With m(lam*) put in, the
    risk contains sigma2 / lam*. The code writes it as signal / gamma, so lam* may be 0. The risk
    grows with gamma from 0 to `signal`: there is no peak.
    """
    lam = optimal_lam(gamma, signal=signal, sigma2=sigma2)
    b = 1 - gamma + lam
    root = np.sqrt(b ** 2 + 4 * gamma * lam)
    return signal / (2 * gamma) * (root - b)


def _ratio(top, gap):
    """top / gap, infinite where gap <= 0; but where top is 0, it is 0 for every gap."""
    is_positive = gap > 0
    ratio = top / np.where(is_positive, gap, 1)
    is_finite = is_positive | (top == 0)
    return np.where(is_finite, ratio, np.inf)[()]    # [()]: a 0-d array becomes a number
