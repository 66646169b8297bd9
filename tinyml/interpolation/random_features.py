"""Random Fourier features: a linear model whose width N can pass the number of samples n.

Problem: Belkin et al. 2019 sweep the width of a model through n on real images, and see the test
error fall, explode at N = n, and fall again. Which model has a width of any size, and a fit that
can be computed exactly?

Idea: N random waves, and least squares on them, of minimum norm:

    phi_k(x) = sqrt(2 / N) cos(v_k . x + b_k),     v_k ~ N(0, I / bandwidth^2),  b_k ~ U[0, 2 pi)
    f(x) = phi(x) . beta,    beta = Phi^+ y,       Phi = (n, N), the features of the n samples

    E phi(x) . phi(z) = k(x, z) = exp(-||x - z||^2 / (2 bandwidth^2)),  with an error O(1 / sqrt N)

So the model has a limit as N -> infinity: the shortest function of the kernel's space that passes
through the data, f(x) = k(x, X) k(X, X)^-1 y. The peak at N = n is a detour on the way there.

Sources: Rahimi and Recht 2007, Random features for large-scale kernel machines (the features);
Belkin, Hsu, Ma and Mandal 2019, Reconciling modern machine-learning practice and the classical
bias-variance trade-off (the sweep); MATH5836 week 10, section 10.1.1, figure 10.2.
"""
from typing import NamedTuple

import numpy as np

from tinyml.check import (check_number, check_real, check_regression, check_rng,
                          check_sizes)
from tinyml.interpolation.min_norm import min_norm


def sample_waves(n_inputs, *, n_features, bandwidth, rng):
    """Draw the waves of N random Fourier features; training and test data share one draw.

    The first columns of a draw are a draw themselves: `frequencies[:, :N], phases[:N]`.

    Parameters
    ----------
    n_inputs, n_features : ints >= 1, d and N
    bandwidth : float > 0, the distance over which the kernel falls from 1 to exp(-1/2)
    rng : numpy.random.Generator

    Returns
    -------
    frequencies : ndarray of float64, shape (d, N), entries from N(0, 1 / bandwidth^2)
    phases : ndarray of float64, shape (N,), uniform on [0, 2 pi)

    Raises
    ------
    TypeError : rng is not a Generator
    ValueError : a size is not an int >= 1, or bandwidth is not positive and finite
    """
    check_rng("sample_waves", rng)
    check_sizes("sample_waves", n_inputs=n_inputs, n_features=n_features)
    check_number("sample_waves", "bandwidth", bandwidth, above=0, below=np.inf)
    frequencies = rng.standard_normal((n_inputs, n_features)) / bandwidth
    return frequencies, rng.uniform(0, 2 * np.pi, n_features)


def fourier_features(X, frequencies, phases):
    """phi_k(x) = sqrt(2 / N) cos(v_k . x + b_k) for every row x of X (Rahimi and Recht 2007).

    Parameters
    ----------
    X : array_like, shape (n, d)
    frequencies : array_like, shape (d, N), the v_k in columns
    phases : array_like, shape (N,), the b_k

    Returns
    -------
    ndarray, shape (n, N), of the dtype of X

    Raises
    ------
    TypeError, ValueError : an argument is not real, not finite, or the shapes do not fit together

    Examples
    --------
    >>> fourier_features([[0]], [[1, 2]], [0, np.pi])
    array([[ 1., -1.]])
    """
    X = check_real("fourier_features", "X", X, ndim=2)
    V = check_real("fourier_features", "frequencies", frequencies, ndim=2)
    b = check_real("fourier_features", "phases", phases, ndim=1)
    d, N = X.shape[1], len(b)
    if V.shape != (d, N) or N == 0:
        raise ValueError(f"fourier_features: frequencies must have shape (d, N) = {(d, N)} with "
                         f"N >= 1, as X and phases say, got {V.shape}")
    with np.errstate(over="ignore", invalid="ignore"):    # reported below, in words
        phi = X @ V.astype(X.dtype)    # (n, N), possibly large: the rest happens in place
    phi += b.astype(X.dtype)
    check_real("fourier_features", "v_k . x", phi)
    np.cos(phi, out=phi)
    phi *= np.sqrt(2 / N)
    return phi


def gaussian_kernel(X, Z, *, bandwidth):
    """k(x, z) = exp(-||x - z||^2 / (2 bandwidth^2)) for every row x of X and z of Z.

    Parameters
    ----------
    X : array_like, shape (n, d)
    Z : array_like, shape (m, d)
    bandwidth : float > 0

    Returns
    -------
    ndarray, shape (n, m), entries in [0, 1]

    Raises
    ------
    TypeError, ValueError : X or Z is not real, not finite, or their shapes do not fit together;
        bandwidth is not positive and finite
    """
    X = check_real("gaussian_kernel", "X", X, ndim=2)
    Z = check_real("gaussian_kernel", "Z", Z, ndim=2)
    check_number("gaussian_kernel", "bandwidth", bandwidth, above=0, below=np.inf)
    if X.shape[1] != Z.shape[1]:
        raise ValueError(f"gaussian_kernel: Z must have as many columns as X, {X.shape[1]}, got "
                         f"shape {Z.shape}")
    squares = np.empty((len(X), len(Z)), np.result_type(X, Z))
    with np.errstate(over="ignore", invalid="ignore"):    # reported below, in words
        for x, row in zip(X, squares):    # subtract first: a product would lose the digits that x and z share
            row[:] = (((x - Z) / float(bandwidth)) ** 2).sum(axis=1)
    check_real("gaussian_kernel", "||x - z||^2 / bandwidth^2", squares)
    return np.exp(squares / -2)


def nested_min_norm(X, y, sizes):
    """X[:, :p]^+ y for every p in `sizes`, from two factorisations that serve them all.

        p <= n:  X[:, :p]^+ y = (R^-1)[:p, :p] (Q'y)[:p],    X[:, :n] = Q R
        p > n:   X[:, :p]^+ y = X[:, :p]' K_p^-1 y,          K_p = X[:, :p] X[:, :p]'

    The columns :p of Q and the block :p, :p of R are the factors of X[:, :p], and the inverse of a
    leading block of a triangular matrix is the leading block of its inverse; K_p grows by the new
    columns. Where X[:, :p] is too close to dependent for this, the SVD of `min_norm` takes over.

    Parameters
    ----------
    X : array_like, shape (n, P)
    y : array_like, shape (n,) or (n, k)
    sizes : sequence of ints, increasing, in 1..P

    Returns
    -------
    iterator of ndarrays, shape (p,) or (p, k), one for each p in sizes

    Raises
    ------
    TypeError, ValueError : X or y is not real, not finite, or their shapes do not fit together;
        sizes are not increasing ints in 1..P
    """
    X, y = check_regression("nested_min_norm", X, y)
    dtype = np.result_type(X, y, np.float32)
    sizes = _sizes("nested_min_norm", sizes)
    if sizes[-1] > X.shape[1]:
        raise ValueError(f"nested_min_norm: sizes must be at most P = {X.shape[1]}, the columns of "
                         f"X, got {sizes[-1]}")
    return _nested(X.astype(dtype, copy=False), y.astype(dtype, copy=False), sizes)


# Why not the SVD of each X[:, :p]? On one core, for n = 1,000, ten columns of y, 20 sizes from 20
# to 20,000, the SVDs take 17 s, np.linalg.lstsq 8 s, this 2 s. The price: K_p has the square of the
# condition number of X[:, :p], and near p = n half of the digits are lost. Each correction gives
# back: it multiplies the error by about eps cond(K_p), which `_trusted` keeps below 1e-3 (Bjorck
# 1996, Numerical methods for least squares problems, on the corrected seminormal equations).
CORRECTIONS = 2


def _nested(X, y, sizes):
    n, grown = len(X), 0
    K = np.zeros((n, n), X.dtype)
    m = min(X.shape)
    R_and_Qy = np.linalg.qr(np.column_stack([X[:, :m], y]), mode="r")    # Q'[X y], and no Q
    R, Qy = R_and_Qy[:m, :m], R_and_Qy[:m, m:].reshape(m, *y.shape[1:])
    R_inverse = _inverse(R)
    for p in sizes:
        A = X[:, :p]
        if p <= n:
            factor, inverse = R[:p, :p], R_inverse[:p, :p]
        else:
            with np.errstate(over="ignore", invalid="ignore"):    # such a K will not be trusted
                K += A[:, grown:] @ A[:, grown:].T
            factor, inverse, grown = K, _inverse(K), p
        if not _trusted(factor, inverse):
            yield min_norm(A, y)
        elif p <= n:
            yield inverse @ Qy[:p]
        else:
            beta = A.T @ (inverse @ y)
            for _ in range(CORRECTIONS):
                beta += A.T @ (inverse @ (y - A @ beta))
            yield beta


def _inverse(A):
    """A^-1, or infinities where there is none."""
    try:
        return np.linalg.inv(A)
    except np.linalg.LinAlgError:
        return np.full_like(A, np.inf)


def _trusted(A, inverse):
    """Whether ||A|| ||A^-1||, which bounds the condition number, leaves a digit to trust."""
    with np.errstate(all="ignore"):
        condition = np.linalg.norm(A) * np.linalg.norm(inverse)
    return condition * np.finfo(A.dtype).eps < 1e-3    # not so for infinities and NaN


class Curves(NamedTuple):
    """What `fourier_sweep` measures at every width, each an ndarray of shape (len(sizes),)."""

    test_error: np.ndarray    # share of the test rows where the largest of k >= 2 outputs is wrong, or NaN
    test_loss: np.ndarray     # ||f(x) - y||^2, mean over the test rows
    train_loss: np.ndarray    # the same, mean over the training rows
    norm: np.ndarray          # ||beta||, the root of the sum of squares over all outputs


def fourier_sweep(X, Y, X_test, Y_test, sizes, *, bandwidth, rng):
    """Minimum-norm least squares on N random Fourier features, measured at every N in `sizes`.

    One draw serves all widths: the model of width N has the first N waves.

    Parameters
    ----------
    X : array_like, shape (n, d)
    Y : array_like, shape (n, k), one-hot for k classes, or one output, which has no test_error
    X_test, Y_test : array_likes, shapes (n_test, d) and (n_test, k), n_test >= 1
    sizes : sequence of ints >= 1, increasing, the widths N
    bandwidth : float > 0
    rng : numpy.random.Generator

    Returns
    -------
    Curves : ndarrays test_error, test_loss, train_loss and norm, each of shape (len(sizes),)

    Raises
    ------
    TypeError, ValueError : an argument is not real, not finite, out of range, or the shapes do not
        fit together; rng is not a Generator
    """
    # In float64: at N = n the condition number is 1e4 to 1e6, and float32 has 7 digits.
    X, Y, X_test, Y_test = (check_real("fourier_sweep", name, value, ndim=2).astype(np.float64)
                            for name, value in dict(X=X, Y=Y, X_test=X_test, Y_test=Y_test).items())
    (n, d), (n_test, k) = X.shape, Y_test.shape
    if (Y.shape, X_test.shape) != ((n, k), (n_test, d)) or 0 in (n, k, n_test):
        raise ValueError("fourier_sweep: X, Y, X_test and Y_test must have shapes (n, d), (n, k), "
                         f"(n_test, d) and (n_test, k), not empty, got {X.shape}, {Y.shape}, "
                         f"{X_test.shape} and {Y_test.shape}")
    sizes = _sizes("fourier_sweep", sizes)
    waves = sample_waves(d, n_features=sizes[-1], bandwidth=bandwidth, rng=rng)
    phi, phi_test = (fourier_features(inputs, *waves) for inputs in (X, X_test))
    return Curves(*np.transpose([
        _measure(phi[:, :N], Y, phi_test[:, :N], Y_test, beta, np.sqrt(N / sizes[-1]))
        for N, beta in zip(sizes, nested_min_norm(phi, Y, sizes))]))


def _measure(phi, Y, phi_test, Y_test, beta, scale):
    """One column of `Curves`; beta * scale are the coefficients of features of the right length."""
    output, fitted = phi_test @ beta, phi @ beta
    wrong = output.argmax(axis=1) != Y_test.argmax(axis=1)
    error = wrong.mean() if output.shape[1] > 1 else np.nan    # one output names no class
    return error, _loss(output, Y_test), _loss(fitted, Y), scale * np.linalg.norm(beta)


def _loss(output, Y):
    return ((output - Y) ** 2).sum(axis=1).mean()


def _sizes(function, sizes):
    """The sizes as a list of increasing ints >= 1, or an error."""
    sizes = list(sizes)
    check_sizes(function, **{f"sizes[{i}]": size for i, size in enumerate(sizes)})
    if not sizes or sorted(set(sizes)) != sizes:
        raise ValueError(f"{function}: sizes must be one int or more, increasing, got {sizes}")
    return sizes
