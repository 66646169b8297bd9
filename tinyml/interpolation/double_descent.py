"""The risk of the minimum-norm fit in theory: the peak at p = n, and the second descent after it.

Problem: y = X beta + noise, n samples, p features. How does the error on new data depend on p?

Idea: with Gaussian features x ~ N(0, I) the risk of the fit X^+ y can be computed exactly:

    E ||X^+ y - beta||^2 = signal * max(0, 1 - n/p)  +  noise * min(n, p) / (|n - p| - 1)
                           squared bias: the share      variance: noise * E ||X^+||_F^2
                           of beta that n samples
                           cannot see

Near p = n the smallest singular value of X is close to 0, and X^+ blows the noise up. Beyond, more
features make X^+ smaller again: the second descent. The right amount of ridge removes the peak.

Here signal = ||beta||^2, noise is the variance of the noise, and the risk is the *excess* risk: it
leaves out the noise of the new y (add `noise` for the test error). Arguments broadcast.

Sources: Hastie, Montanari, Rosset and Tibshirani 2022, Surprises in high-dimensional ridgeless
least squares interpolation (isotropic features, optimal ridge); Belkin, Hsu and Xu 2020, Two
models of double descent for weak features (the Gaussian model); MATH5836 week 10, sections 10.1.1
and 10.1.2.
"""
import numpy as np

from tinyml.check import check_real


def min_norm_bias(n_samples, n_features, *, signal):
    """The squared bias signal * (1 - n/p) of X^+ y for p > n; 0 for p <= n.

    X^+ X projects on n of p directions and no direction is special, so E ||(I - X^+ X) beta||^2
    is the share (p - n) / p of ||beta||^2. Exact for every n and p (Belkin, Hsu and Xu 2020).

    Parameters
    ----------
    n_samples, n_features : ints >= 0, n and p
    signal : float >= 0, ||beta||^2

    Returns
    -------
    float or ndarray

    Raises
    ------
    TypeError, ValueError : an argument is not a number, not finite, negative, or a size not whole
    """
    n, p, signal = _numbers("min_norm_bias", n_samples=n_samples, n_features=n_features,
                            signal=signal)
    return signal * np.maximum(p - n, 0) / np.maximum(p, 1)


def min_norm_variance(n_samples, n_features, *, noise):
    """The variance noise * E ||X^+||_F^2 of X^+ y, infinite for |p - n| <= 1.

        noise * p / (n - p - 1)   for p < n - 1,        noise * n / (p - n - 1)   for p > n + 1

    ||X^+||_F^2 is the trace of (X'X)^-1 or (XX')^-1, an inverse Wishart matrix, whose mean is
    known. Exact for every n and p (Belkin, Hsu and Xu 2020). Without noise, samples or features it is 0,
    next to the threshold too.

    Parameters
    ----------
    n_samples, n_features : ints >= 0, n and p, or arrays of them
    noise : float >= 0, the variance of the noise, or an array; all arguments broadcast

    Returns
    -------
    float for numbers, ndarray of the broadcast shape for arrays

    Raises
    ------
    TypeError, ValueError : an argument is not a number, not finite, negative, or a size not whole
    """
    n, p, noise = _numbers("min_norm_variance", n_samples=n_samples, n_features=n_features,
                           noise=noise)
    return _fraction(noise * np.minimum(n, p), np.abs(n - p) - 1)


def min_norm_risk(n_samples, n_features, *, signal, noise):
    """The excess risk E ||X^+ y - beta||^2, bias and variance together, for Gaussian x ~ N(0, I).

    Parameters
    ----------
    n_samples, n_features : ints >= 0, n and p
    signal, noise : floats >= 0, ||beta||^2 and the variance of the noise

    Returns
    -------
    float or ndarray

    Raises
    ------
    TypeError, ValueError : an argument is not a number, not finite, negative, or a size not whole

    Examples
    --------
    >>> min_norm_risk(10, [5, 10, 20], signal=1, noise=1)
    array([1.25      ,        inf, 1.61111111])
    """
    n, p, signal, noise = _numbers("min_norm_risk", n_samples=n_samples, n_features=n_features,
                                   signal=signal, noise=noise)
    return min_norm_bias(n, p, signal=signal) + min_norm_variance(n, p, noise=noise)


def subset_risk(n_samples, n_features, *, signal_in, signal_out, noise):
    """The excess risk of X^+ y when the model sees only p of the features that make up y.

    The features left out are independent of those inside, so they act as more noise:

        signal_out + min_norm_risk(n, p, signal=signal_in, noise=noise + signal_out)

    (Belkin, Hsu and Xu 2020, the Gaussian model; they add the noise of the new y.) Every feature
    that is added moves some signal from outside to inside, and the second descent can go *below*
    the first minimum. If p of D features are chosen at random, signal_in is on average p/D of
    ||beta||^2.

    Parameters
    ----------
    n_samples, n_features : ints >= 0, n and p
    signal_in, signal_out : floats >= 0, ||beta_j||^2 summed over the features inside, and outside
    noise : float >= 0, the variance of the noise

    Returns
    -------
    float or ndarray

    Raises
    ------
    TypeError, ValueError : an argument is not a number, not finite, negative, or a size not whole
    """
    n, p, seen, hidden, noise = _numbers("subset_risk", n_samples=n_samples, n_features=n_features,
                                         signal_in=signal_in, signal_out=signal_out, noise=noise)
    return hidden + min_norm_risk(n, p, signal=seen, noise=noise + hidden)


def asymptotic_risk(gamma, *, signal, noise):
    """The limit of `min_norm_risk` as n and p grow with p / n -> gamma (Hastie et al. 2022).

        gamma < 1:  noise * gamma / (1 - gamma)
        gamma > 1:  signal * (1 - 1 / gamma) + noise / (gamma - 1)

    The features need not be Gaussian: independent entries of mean 0, variance 1 and a finite
    moment of an order above 4 are enough.

    Parameters
    ----------
    gamma : float > 0, or an array
    signal, noise : floats >= 0, ||beta||^2 and the variance of the noise, or arrays; all arguments broadcast

    Returns
    -------
    float for numbers, ndarray of the broadcast shape for arrays; infinite at gamma = 1, but 0 if noise = 0

    Raises
    ------
    TypeError, ValueError : an argument is not a number, not finite, or out of range
    """
    gamma, signal, noise = _numbers("asymptotic_risk", ("gamma",),
                                    gamma=gamma, signal=signal, noise=noise)
    bias = signal * np.maximum(gamma - 1, 0) / gamma
    return bias + _fraction(noise * np.minimum(gamma, 1), np.abs(gamma - 1))


def asymptotic_minimum(*, signal, noise):
    """The gamma > 1 with the least `asymptotic_risk`: sqrt(SNR) / (sqrt(SNR) - 1).

    SNR = signal / noise. For SNR <= 1 the second descent never ends: the risk falls towards
    `signal`, and the answer is infinity (Hastie et al. 2022, isotropic features).

    Parameters
    ----------
    signal, noise : floats >= 0, ||beta||^2 and the variance of the noise

    Returns
    -------
    float or ndarray; 1 without noise

    Raises
    ------
    TypeError, ValueError : an argument is not a number, not finite, or negative
    """
    r, sigma = np.sqrt(_numbers("asymptotic_minimum", signal=signal, noise=noise))
    return np.where(r > sigma, r / np.where(r > sigma, r - sigma, 1), np.inf)[()]


def optimal_lam(gamma, *, signal, noise):
    """The penalty of `ridge` with the least excess risk: lam* = noise * gamma / signal.

    With gamma = p / n this is n lam* = noise / (signal / p): the variance of the noise over that of
    a coefficient. When the direction of beta is random, no lam is better for any X, at any n
    (Hastie et al. 2022; Dobriban and Wager 2018, High-dimensional asymptotics of prediction: ridge
    regression and classification).

    Parameters
    ----------
    gamma : float > 0
    signal : float > 0, ||beta||^2
    noise : float >= 0, the variance of the noise

    Returns
    -------
    float or ndarray

    Raises
    ------
    TypeError, ValueError : an argument is not a number, not finite, or out of range
    """
    gamma, signal, noise = _numbers("optimal_lam", ("gamma", "signal"),
                                    gamma=gamma, signal=signal, noise=noise)
    return noise * gamma / signal


def optimal_ridge_risk(gamma, *, signal, noise):
    """The limit of the excess risk of `ridge` at lam*, as n and p grow with p / n -> gamma.

        noise * gamma * m(-lam*),     m(-l) = (sqrt(b^2 + 4 gamma l) - b) / (2 gamma l)
                                      b = 1 - gamma + l

    with m the Stieltjes transform of the Marchenko-Pastur law (Hastie et al. 2022; Dobriban and
    Wager 2018). It grows with gamma, from 0 to `signal`: no peak. Without noise lam* is 0, and this is
    the limit as noise -> 0, signal * max(0, 1 - 1 / gamma).

    Parameters
    ----------
    gamma : float > 0, or an array
    signal : float > 0, ||beta||^2, or an array
    noise : float >= 0, the variance of the noise, or an array; all arguments broadcast

    Returns
    -------
    float for numbers, ndarray of the broadcast shape for arrays

    Raises
    ------
    TypeError, ValueError : an argument is not a number, not finite, or out of range
    """
    gamma, signal, noise = _numbers("optimal_ridge_risk", ("gamma", "signal"),
                                    gamma=gamma, signal=signal, noise=noise)
    lam = optimal_lam(gamma, signal=signal, noise=noise)
    b = 1 - gamma + lam
    root = np.hypot(b, 2 * np.sqrt(gamma * lam))
    return signal / (2 * gamma) * (root - b)    # noise * gamma / lam* = signal


def _fraction(top, gap):
    """top / gap, and infinity where the gap is closed (<= 0); but 0 / gap is 0 for every gap."""
    is_open = gap > 0
    return np.where(is_open | (top == 0), top / np.where(is_open, gap, 1), np.inf)[()]


def _numbers(function, positive=(), /, **arguments):
    """The arguments, broadcast: all must be >= 0, those named in `positive` > 0, sizes whole."""
    arrays = []
    for name, value in arguments.items():
        array = check_real(function, name, value).astype(float)
        whole = name in ("n_samples", "n_features")
        if (array < 0).any() or name in positive and not array.all() or whole and (array % 1).any():
            need = "> 0" if name in positive else "whole numbers >= 0" if whole else ">= 0"
            raise ValueError(f"{function}: {name} must be {need}, got {value!r}")
        arrays.append(array)
    return np.broadcast_arrays(*arrays)
