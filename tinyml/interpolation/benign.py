"""Benign overfitting: when a fit that reproduces every noisy label exactly still predicts well.

Problem: for p > n the minimum-norm fit X^+ y interpolates, so it has fitted all of the noise. Why
does that ruin the predictions of some models, and not of others?

Idea: it depends on the eigenvalues lambda_1 >= lambda_2 >= ... of the covariance of x. The noise
must go somewhere, and X^+ y puts it where it is shortest. A long flat tail of small eigenvalues
offers very many directions that are all as good: the noise is spread over them, each takes little,
and a new x, whose part along each of them is small, hardly meets it. How flat is a tail? Count it,

    r_k = sum_{i>k} lambda_i / lambda_{k+1},     R_k = (sum_{i>k} lambda_i)^2 / sum_{i>k} lambda_i^2

and let k* be the first k with r_k >= b n: so many directions are fitted as by least squares, those
beyond act like a ridge penalty and soak up the noise. Given X, with C = X^+' Sigma X^+,

    E ||X^+ y - beta||_Sigma^2 = ||(I - X^+ X) beta||_Sigma^2  +  sigma2 * tr C
    variance ~ sigma2 * (k*/n + n/R_k*)          (equal up to constants, whatever beta is)

Overfitting is benign if k*/n -> 0 and n/R_k* -> 0, so that the noise does no harm, and r_0/n -> 0,
so that the signal is found. Isotropic features with p >> n hide the noise, and lose the signal; a
fast decay finds the signal, and has nowhere to hide the noise.

The model is y = X beta + eps, X = Z sqrt(eigenvalues), with z_ij ~ N(0, 1) and `sigma2` the variance
of eps (for `conditional_risk` any X will do); risks are *excess* risks, as in `double_descent`.

Sources: Bartlett, Long, Lugosi and Tsigler 2020, Benign overfitting in linear regression (numbers
as in arXiv 1906.11300); Tsigler and Bartlett 2023, Benign overfitting in ridge regression (the
bias); MATH5836 week 10, section 10.1.2.
"""
from itertools import accumulate

import numpy as np

from tinyml.check import check_number, check_real, check_sizes
from tinyml.interpolation.min_norm import svd


def flat_tail(n_features, *, n_strong, tail):
    """A spectrum of n_strong eigenvalues 1, and p - n_strong equal ones that sum to `tail`.

    For n_strong and tail fixed and n << p it is benign: with k* = n_strong,

        k*/n + n/R_k* = n_strong / n + n / (p - n_strong),        r_0 = n_strong + tail

    (a simple case of Bartlett et al. 2020, Theorem 6, part 2).

    Parameters
    ----------
    n_features, n_strong : int >= 1, n_strong < n_features = p
    tail : float in (0, p - n_strong], so that no eigenvalue of the tail is above 1

    Returns
    -------
    ndarray of float64, shape (p,), decreasing

    Raises
    ------
    ValueError : an argument is out of range
    TypeError : tail is not a number

    Examples
    --------
    >>> flat_tail(6, n_strong=2, tail=1)
    array([1.  , 1.  , 0.25, 0.25, 0.25, 0.25])
    """
    check_sizes("flat_tail", n_features=n_features, n_strong=n_strong)
    check_number("flat_tail", "n_strong", n_strong, below=n_features)
    n_flat = n_features - n_strong
    check_number("flat_tail", "tail", tail, above=0, at_most=n_flat)
    return np.repeat([1.0, tail / n_flat], [n_strong, n_flat])


def power_law(n_features, *, alpha):
    """The spectrum lambda_i = i^-alpha, i = 1 ... p: isotropic for alpha = 0.

    For alpha > 1 its tail beyond k sums to about k lambda_k / (alpha - 1): r_k is of the order of
    k, so k* is of the order of n, and the variance does not fall, however large n is.

    Parameters
    ----------
    n_features : int >= 1, p
    alpha : float >= 0

    Returns
    -------
    ndarray of float64, shape (p,), decreasing

    Raises
    ------
    ValueError : n_features is not an int >= 1, or alpha is negative or not finite
    TypeError : alpha is not a number
    """
    check_sizes("power_law", n_features=n_features)
    check_number("power_law", "alpha", alpha, at_least=0, below=np.inf)
    return np.arange(1.0, n_features + 1) ** -alpha


def effective_ranks(eigenvalues):
    """r_k and R_k for every k: two ways to count the directions of the tail lambda_{k+1}, ...

        r_k = sum_{i>k} lambda_i / lambda_{k+1}
        R_k = (sum_{i>k} lambda_i)^2 / sum_{i>k} lambda_i^2

    (Bartlett et al. 2020, Definition 3.) Equal eigenvalues count fully, r_k = R_k = p - k; always
    1 <= r_k <= R_k <= min(r_k^2, p - k) (Lemma 5, and Cauchy-Schwarz). Computed like Horner's rule,

        r_k = 1 + q_k r_{k+1},     q_k = lambda_{k+2} / lambda_{k+1},     R_k = r_k^2 / r'_k

    because the sums themselves lose small tails to underflow. r'_k is r_k of the squared eigenvalues, whose ratios
    are q_k^2. Eigenvalues of zero at the end have no ranks; without any other, both arrays are empty.

    Parameters
    ----------
    eigenvalues : array_like, shape (p,), >= 0, decreasing

    Returns
    -------
    r, R : ndarrays of float64, shape (rank,), for k = 0 ... rank - 1; rank counts eigenvalues > 0

    Raises
    ------
    TypeError, ValueError : eigenvalues are not real, finite, >= 0 and decreasing, on one axis

    Examples
    --------
    >>> r, R = effective_ranks([4, 2, 2])
    >>> r, R.round(2)
    (array([2., 2., 1.]), array([2.67, 2.  , 1.  ]))
    """
    eigenvalues = _eigenvalues("effective_ranks", eigenvalues, decreasing=True)
    positive = eigenvalues[eigenvalues > 0]
    if not positive.size:
        return positive, positive.copy()
    q = positive[1:] / positive[:-1]
    r = _horner(q)
    return r, r ** 2 / _horner(q ** 2)


def k_star(eigenvalues, n_samples, *, b=1):
    """The first k with r_k >= b n: directions from there on hide the noise, those before do not.

        k* = min {k >= 0 : r_k >= b n},     infinite if there is none

    (Bartlett et al. 2020, Theorem 4. Their constant b > 1 is not given; 1 shows the order.)

    Parameters
    ----------
    eigenvalues : array_like, shape (p,), >= 0, decreasing
    n_samples : int >= 1, n
    b : float > 0

    Returns
    -------
    int, or float infinity

    Raises
    ------
    TypeError, ValueError : eigenvalues are not real, finite, >= 0 and decreasing, on one axis;
        n_samples is not an int >= 1; b is not a number > 0

    Examples
    --------
    >>> k_star([4, 2, 2, 2], 3), k_star([4, 2, 2, 2], 4)
    (1, inf)
    """
    eigenvalues = _eigenvalues("k_star", eigenvalues, decreasing=True)
    check_sizes("k_star", n_samples=n_samples)
    check_number("k_star", "b", b, above=0, below=np.inf)
    long_enough = np.flatnonzero(effective_ranks(eigenvalues)[0] >= b * n_samples)
    return int(long_enough[0]) if long_enough.size else np.inf


def variance_order(eigenvalues, n_samples, *, b=1):
    """What the variance is in theory, up to constants, for noise of variance 1: k*/n + n/R_k*.

    If k* <= n / c_1, the variance lies between 1/c and c times this; else it is at least 1/c, with
    constants c, c_1 that depend on nothing here (Bartlett et al. 2020, Theorem 4). k*/n is what n
    samples pay for k* coefficients, n/R_k* what is left of the noise that the tail hides.

    Parameters
    ----------
    eigenvalues, n_samples, b : as in `k_star`

    Returns
    -------
    float, infinite if k* is

    Raises
    ------
    TypeError, ValueError : as in `k_star`
    """
    k = k_star(eigenvalues, n_samples, b=b)
    if k == np.inf:
        return np.inf
    _, R = effective_ranks(eigenvalues)
    return float(k / n_samples + n_samples / R[k])


def bias_order(eigenvalues, beta, n_samples, *, b=1):
    """What the bias is in theory, up to constants: the tail is lost, the head is shrunk.

        sum_{j>k*} lambda_j beta_j^2  +  (T / n)^2 sum_{j<=k*} beta_j^2 / lambda_j
        with T = sum_{i>k*} lambda_i

    (Tsigler and Bartlett 2023, without their ridge. The bias is at most c times this, and on
    average over the signs of the beta_j at least 1/c times.) The tail shrinks the head as a ridge
    penalty n lam = T does. For k* near n or beyond, the theory is silent.

    Parameters
    ----------
    eigenvalues, n_samples, b : as in `k_star`
    beta : array_like, shape (p,), the truth, in the order of the eigenvalues

    Returns
    -------
    float, infinite if k* is

    Raises
    ------
    TypeError, ValueError : as in `k_star`; beta is not real, not finite, or of another shape

    Examples
    --------
    >>> bias_order([4, 1, 1, 1], [3, 0, 0, 1], 3)    # k* = 1: 1 is lost, 1 * 9/4 shrunk
    3.25
    """
    eigenvalues = _eigenvalues("bias_order", eigenvalues, decreasing=True)
    beta = _coefficients("bias_order", beta, len(eigenvalues))
    k = k_star(eigenvalues, n_samples, b=b)
    if k == np.inf:
        return np.inf
    lost = (eigenvalues[k:] * beta[k:] ** 2).sum()
    shrunk = (eigenvalues[k:].sum() / n_samples) ** 2 * (beta[:k] ** 2 / eigenvalues[:k]).sum()
    return float(lost + shrunk)


def conditional_risk(X, beta, *, eigenvalues, sigma2):
    """The excess risk of X^+ y given X, in its two parts, as each direction contributes to them.

        bias_j     = lambda_j ((I - X^+ X) beta)_j^2
        variance_j = sigma2 * lambda_j (X^+ X^+')_jj

    Their sums over j are beta'(I - X^+ X) Sigma (I - X^+ X) beta and sigma2 * tr(X^+' Sigma X^+),
    for Sigma = diag(eigenvalues); the two together are E (x'X^+ y - x'beta)^2 over eps and a new x
    with covariance Sigma (Bartlett et al. 2020, Lemma 7). Exact for every X, of any rank.

    Parameters
    ----------
    X : array_like, shape (n, p)
    beta : array_like, shape (p,), the truth
    eigenvalues : array_like, shape (p,), >= 0, in any order: the variances of the features
    sigma2 : float >= 0, the variance of eps

    Returns
    -------
    bias, variance : ndarrays of float64, shape (p,)

    Raises
    ------
    TypeError, ValueError : an argument is not real, not finite, negative where it must not be, or
        the shapes do not fit together

    Examples
    --------
    >>> conditional_risk([[2, 0]], [3, 3], eigenvalues=[4, 1], sigma2=1)
    (array([0., 9.]), array([1., 0.]))
    """
    X = check_real("conditional_risk", "X", X, ndim=2).astype(np.float64)
    p = X.shape[1]
    beta = _coefficients("conditional_risk", beta, p)
    scales = np.sqrt(_eigenvalues("conditional_risk", eigenvalues, size=p))
    check_number("conditional_risk", "sigma2", sigma2, at_least=0, below=np.inf)
    _, s, Vh = svd(X)
    unseen = beta - (Vh @ beta) @ Vh             # (I - X^+ X) beta
    with np.errstate(over="ignore"):             # what is beyond 1e308 is infinite
        spread = (np.sqrt(sigma2) * scales * Vh / s[:, None]) ** 2    # (rank, p); X^+ X^+' = V diag(1/s^2) V'
    return (scales * unseen) ** 2, spread.sum(axis=0)


def _horner(q):
    """r_k = 1 + q_k r_{k+1} for k = len(q) - 1 ... 0, from r_{len(q)} = 1; shape (len(q) + 1,)."""
    backwards = accumulate(q[::-1].tolist(), lambda r, ratio: 1 + ratio * r, initial=1.0)
    return np.array(list(backwards))[::-1]


def _eigenvalues(function, eigenvalues, *, size=None, decreasing=False):
    """The eigenvalues as float64, or an error that says what is wrong with them."""
    values = check_real(function, "eigenvalues", eigenvalues, ndim=1).astype(np.float64)
    if size is not None and len(values) != size:
        raise ValueError(f"{function}: eigenvalues must have shape {(size,)}, got {values.shape}")
    if values.min(initial=0) < 0:
        raise ValueError(f"{function}: eigenvalues must be >= 0, got {values.min():g}")
    if decreasing and (np.diff(values) > 0).any():
        raise ValueError(f"{function}: eigenvalues must be decreasing, got one above its "
                         "predecessor; write np.sort(eigenvalues)[::-1]")
    return values


def _coefficients(function, beta, size):
    """beta as float64 of shape (size,), or an error."""
    beta = check_real(function, "beta", beta).astype(np.float64)
    if beta.shape != (size,):
        raise ValueError(f"{function}: beta must have shape {(size,)}, got {beta.shape}")
    return beta
