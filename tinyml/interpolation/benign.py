"""Benign overfitting: when a fit that reproduces every noisy label exactly still predicts well.

Problem: with n samples and p > n features the minimum-norm fit X^+ y interpolates, so it has
fitted all of the noise. Why does that ruin the predictions of some models, and not of others?

Idea: the answer depends on the eigenvalues lambda_1 >= lambda_2 >= ... of the covariance of x. In
a long, flat tail of small eigenvalues there are many directions that can absorb the noise. X^+ y
spreads the noise over all of them, and a new x, whose coordinates in these directions are small,
hardly sees it. Two effective ranks say how long and flat the tail after lambda_k is:

    r_k = sum_{i>k} lambda_i / lambda_{k+1}
    R_k = (sum_{i>k} lambda_i)^2 / sum_{i>k} lambda_i^2

Let k* be the first k with r_k >= b n, with a constant b (1 by default). The first k* directions
are fitted almost as by least squares: the tail only adds a small ridge penalty to them. The tail
absorbs the noise. The variance is, up to a constant factor,

    sigma2 (k*/n + n/R_{k*})

Overfitting is benign if k*/n, n/R_{k*} and r_0/n all tend to 0 as n grows. The first two mean that
the noise does no harm, the third that the signal is found. If all eigenvalues are equal and p is
much larger than n, the noise is absorbed, but the signal is missed. If the eigenvalues decay fast,
the signal is found, but nothing absorbs the noise.

The model is y = X beta + eps, with rows of X of mean 0 and covariance diag(eigenvalues), and eps
of variance sigma2. Risks are excess risks, without the noise of the new y.

Sources: Bartlett, Long, Lugosi and Tsigler 2020, Benign overfitting in linear regression
(numbered as in arXiv 1906.11300); Tsigler and Bartlett 2023, Benign overfitting in ridge
regression (the bias); MATH5836 week 10, section 10.1.2.
"""
import numpy as np

from tinyml.contract import checked
from tinyml.interpolation.min_norm import svd


@checked
def flat_tail(
    n_features: "int >= 2; p",
    *,
    n_strong: "int in 1..p-1",
    tail: "float in (0, p - n_strong]; so that no eigenvalue of the tail is above 1",
) -> "ndarray of float64, shape (p,), decreasing":
    """A spectrum of n_strong eigenvalues of 1, and a tail of p - n_strong equal eigenvalues.

    The eigenvalues of the tail sum to `tail`. If n_strong + tail < n <= p - n_strong,

        k* = n_strong,     n/R_{k*} = n / (p - n_strong),     r_0 = n_strong + tail

    So for fixed n_strong and tail, overfitting is benign as n and p / n grow. (Similar to Bartlett
    et al. 2020, Theorem 6, part 2, where the strong eigenvalues decay exponentially.)

    >>> flat_tail(6, n_strong=2, tail=1)
    array([1.  , 1.  , 0.25, 0.25, 0.25, 0.25])
    """
    n_flat = n_features - n_strong
    return np.repeat([1.0, tail / n_flat], [n_strong, n_flat])


@checked
def power_law(n_features: "int >= 1; p", *, alpha: "float >= 0"):
    """The spectrum lambda_i = i^-alpha, i = 1 ... p: isotropic for alpha = 0.

    If alpha > 1 and p is much larger than n, the tail after lambda_k sums to about
    k lambda_k / (alpha - 1). So r_k is of order k, k* is of order n, and the variance does not
    fall as n grows.
    """
    return np.arange(1.0, n_features + 1) ** -alpha


@checked
def effective_ranks(
    eigenvalues: "array_like of float64, shape (p,), > 0, decreasing",
) -> "r, R : ndarray, shape (p,), for k = 0 ... p - 1":
    """Two ways to count the directions in the tail lambda_{k+1}, lambda_{k+2}, ..., for every k.

        r_k = sum_{i>k} lambda_i / lambda_{k+1}
        R_k = (sum_{i>k} lambda_i)^2 / sum_{i>k} lambda_i^2

    (Bartlett et al. 2020, Definition 3.) If the tail is flat, both are its length p - k. In
    general 1 <= r_k <= R_k <= min(r_k^2, p - k).

    >>> r, R = effective_ranks([4, 2, 2])
    >>> r, R.round(2)
    (array([2., 2., 1.]), array([2.67, 2.  , 1.  ]))
    """
    # entry k of each array: sum_{i>k} lambda_i, sum_{i>k} lambda_i^2, and lambda_{k+1}
    tails = np.cumsum(eigenvalues[::-1])[::-1]
    squares = np.cumsum(eigenvalues[::-1] ** 2)[::-1]
    return tails / eigenvalues, tails ** 2 / squares


@checked
def k_star(
    eigenvalues: "as in `effective_ranks`",
    n_samples: "int >= 1; n",
    *,
    b: "float > 0" = 1,
):
    """The first k with r_k >= b n: the tail after it is long enough to absorb the noise.

    It is infinity if there is none. (Bartlett et al. 2020, Theorem 4, for some constant b > 1 that
    they do not state. The default b = 1 is chosen here for simple numbers.)

    >>> k_star([4, 2, 2, 2], 3), k_star([4, 2, 2, 2], 4)
    (1, inf)
    """
    r, _ = effective_ranks(eigenvalues)
    long_enough = np.flatnonzero(r >= b * n_samples)
    return int(long_enough[0]) if len(long_enough) else np.inf


@checked
def variance_order(
    eigenvalues: "as in `k_star`",
    n_samples: "as in `k_star`",
    *,
    b: "as in `k_star`" = 1,
):
    """The variance in theory, up to a constant factor, for noise of variance 1: k*/n + n/R_{k*}.

    k*/n is the price of k* coefficients that are fitted to n samples. n/R_{k*} is the part of the
    noise that reaches predictions through the tail (Bartlett et al. 2020, Theorem 4). If k* is of
    order n or above, the theorem says only that the variance does not vanish. If k* is infinite,
    so is the value returned.
    """
    k = k_star(eigenvalues, n_samples, b=b)
    if k == np.inf:
        return np.inf
    _, R = effective_ranks(eigenvalues)
    return float(k / n_samples + n_samples / R[k])


@checked
def bias2_order(
    eigenvalues: "as in `k_star`",
    beta: "array_like, shape (p,); the truth, in the order of the eigenvalues",
    n_samples: "as in `k_star`",
    *,
    b: "as in `k_star`" = 1,
):
    """The squared bias in theory, up to a constant factor: what the fit loses of beta.

        lost + shrunk,     lost   = sum_{j>k*} lambda_j beta_j^2
                           shrunk = lam^2 sum_{j<=k*} beta_j^2 / lambda_j
                           lam    = (1/n) sum_{j>k*} lambda_j

    The coefficients of the tail are lost. The first k* are shrunk, as by `ridge` with penalty lam.
    This is an upper bound for every beta, and the mean squared bias if the signs of the entries of
    beta are random (Tsigler and Bartlett 2023, without ridge). If k* is of order n or above, the
    theory says nothing. If k* is infinite, so is the value returned.

    >>> bias2_order([4, 1, 1, 1], [3, 0, 0, 1], 3)    # k* = 1, lam = 1: lost 1, shrunk 9/4
    3.25
    """
    k = k_star(eigenvalues, n_samples, b=b)
    if k == np.inf:
        return np.inf
    lost = np.sum(eigenvalues[k:] * beta[k:] ** 2)
    lam = np.sum(eigenvalues[k:]) / n_samples
    shrunk = lam ** 2 * np.sum(beta[:k] ** 2 / eigenvalues[:k])
    return float(lost + shrunk)


@checked
def conditional_risk(
    X: "array_like, shape (n, p)",
    beta: "array_like, shape (p,); the truth",
    *,
    eigenvalues: "array_like, shape (p,), >= 0; the variances of the features, in any "
                 "order",
    sigma2: "float >= 0; variance of the noise",
) -> "bias2, variance : ndarray, shape (p,)":
    """The excess risk of X^+ y given X: for each feature, its part of squared bias and variance.

        bias2_j    = lambda_j ((I - X^+ X) beta)_j^2
        variance_j = sigma2 lambda_j (X^+ X^+')_jj

    where X^+' is the transpose of X^+. The sum of both over all j is E (x'X^+ y - x'beta)^2,
    exactly and for every X. E is over eps and a new x of mean 0 and covariance diag(eigenvalues)
    (Bartlett et al. 2020, Lemma 7).

    >>> conditional_risk([[2, 0]], [3, 3], eigenvalues=[4, 1], sigma2=1)
    (array([0., 9.]), array([1., 0.]))
    """
    _, s, Vh = svd(X)
    unseen = beta - Vh.T @ (Vh @ beta)     # (I - X^+ X) beta
    V_over_s = Vh.T / s                    # X^+ = (V / s) U', so X^+ X^+' = (V / s) (V / s)'
    bias2 = eigenvalues * unseen ** 2
    variance = sigma2 * eigenvalues * np.sum(V_over_s ** 2, axis=1)
    return bias2, variance
