"""Random Fourier features: a linear model whose width N can pass the number of samples n.

Problem: Belkin et al. 2019 sweep the width of a model through n on real images, and see the test
error fall, explode at N = n, and fall again. Which model can have any width, and be fitted
exactly?

Idea: N random waves, and the minimum-norm least-squares fit on them:

    phi_j(x) = sqrt(2 / N) cos(v_j . x + b_j),     j = 1 ... N
    f(x) = phi(x) . beta,    beta = Phi^+ y,    Phi of shape (n, N), the features of the n samples

with v_j drawn from N(0, I / bandwidth^2) and b_j uniform on [0, 2 pi). The mean of phi(x) . phi(z)
over these draws is the Gaussian kernel:

    E phi(x) . phi(z) = k(x, z) = exp(-||x - z||^2 / (2 bandwidth^2))

With N waves, phi(x) . phi(z) differs from its mean by O(1 / sqrt N). So the fit has a limit as
N -> infinity, the kernel interpolant f(x) = k(x, X) k(X, X)^-1 y, where X holds the n samples.
As N grows past n, the test error leaves its peak at N = n, and the fit approaches this limit.

Sources: Rahimi and Recht 2007, Random features for large-scale kernel machines (the features);
Belkin, Hsu, Ma and Mandal 2019, Reconciling modern machine-learning practice and the classical
bias-variance trade-off (the sweep); MATH5836 week 10, section 10.1.1, figure 10.2.
"""
from typing import NamedTuple

import numpy as np

from tinyml.contract import checked
from tinyml.interpolation.min_norm import min_norm


@checked
def sample_waves(
    n_inputs: "int >= 1; d",
    *,
    n_features: "int >= 1; N",
    bandwidth: "float > 0; the distance ||x - z|| at which the kernel is exp(-1/2)",
    rng: "numpy.random.Generator",
):
    """Draw the waves of N random Fourier features; training and test data share one draw.

    The first waves of a draw, ``frequencies[:, :m], phases[:m]``, are themselves a draw.

    Returns
    -------
    frequencies : ndarray, shape (d, N), entries from N(0, 1 / bandwidth^2)
    phases : ndarray, shape (N,), uniform on [0, 2 pi)
    """
    frequencies = rng.standard_normal((n_inputs, n_features)) / bandwidth
    phases = rng.uniform(0, 2 * np.pi, n_features)
    return frequencies, phases


@checked
def fourier_features(
    X: "array_like, shape (n, d)",
    frequencies: "array_like, shape (d, N), N >= 1; the v_j in columns",
    phases: "array_like, shape (N,); the b_j",
) -> "ndarray, shape (n, N)":
    """phi_j(x) = sqrt(2 / N) cos(v_j . x + b_j) for every row x of X (Rahimi and Recht 2007).

    >>> fourier_features([[0]], [[1, 2]], [0, np.pi])
    array([[ 1., -1.]])
    """
    N = len(phases)
    return (2 / N) ** 0.5 * np.cos(X @ frequencies + phases)


@checked
def median_distance(X: "array_like of float64, shape (n, d), n >= 2"):
    """The median of the distances ||x_i - x_j|| over all pairs i < j: a scale for the bandwidth.

    With a bandwidth far below this median, k(x, z) is about 0 for most pairs of rows. With one far
    above, k(x, z) is about 1 for most pairs.

    >>> median_distance([[0, 0], [3, 4], [0, 4]])    # 5, 4, 3
    4.0
    """
    to_earlier = [np.linalg.norm(X[:i] - X[i], axis=1) for i in range(1, len(X))]
    distances = np.concatenate(to_earlier)
    return float(np.median(distances))


@checked
def gaussian_kernel(
    X: "array_like, shape (n, d)",
    Z: "array_like, shape (m, d)",
    *,
    bandwidth: "float > 0",
):
    """k(x, z) = exp(-||x - z||^2 / (2 bandwidth^2)) for every row x of X and z of Z."""
    kernel = np.empty((len(X), len(Z)), np.result_type(X, Z))
    # subtract first: ||x||^2 - 2 x'z + ||z||^2 loses digits if x and z are close
    for x, row in zip(X, kernel):
        distance2 = np.sum(((Z - x) / bandwidth) ** 2, axis=1)
        row[:] = np.exp(-distance2 / 2)
    return kernel


@checked
def nested_min_norm(
    X: "array_like, shape (n, P)",
    y: "array_like, shape (n,) or (n, k)",
    sizes: "array_like of int, shape (m,), m >= 1, increasing, in 1..P",
) -> "iterator of ndarray, shape (p,) or (p, k), one for each p in sizes":
    """X[:, :p]^+ y for every p in `sizes`, without an SVD for each.

        p <= n:  X[:, :p]^+ y = (R^-1)[:p, :p] (Q'y)[:p],    X[:, :n] = Q R
        p > n:   X[:, :p]^+ y = X[:, :p]' K_p^-1 y,          K_p = X[:, :p] X[:, :p]'

    One QR factorisation serves all p <= n: Q[:, :p] and R[:p, :p] are the factors of X[:, :p], and
    the inverse of R[:p, :p] is the leading block of R^-1, because R is triangular. For p > n the
    matrix K_p, (n, n), is K of the previous size plus N N', with N the new columns. If
    X[:, :p] is ill-conditioned, `min_norm` is called instead. (An SVD for every p would be
    simpler, but takes about eight times as long for n = 1,000 and 20 sizes from 20 to 20,000.)
    """
    n, dtype = len(X), np.result_type(X, y)
    X, y = X.astype(dtype, copy=False), y.astype(dtype, copy=False)
    R_inverse, R, Qy = _triangular(X[:, :n], y)
    K, n_added = np.zeros((n, n), dtype), 0    # K = A A', with A the first n_added columns of X
    for p in sizes:
        A = X[:, :p]
        if p <= n:
            factor, inverse = R[:p, :p], R_inverse[:p, :p]
        else:
            new = A[:, n_added:]
            K += new @ new.T
            n_added = p
            factor, inverse = K, _inverse(K)
        if not _well_conditioned(factor, inverse):
            yield min_norm(A, y)
        elif p <= n:
            yield inverse @ Qy[:p]
        else:
            yield _corrected(A, y, inverse)


def _triangular(A, y):
    """R^-1, R and Q'y of A = Q R, without forming Q: the R factor of [A y] begins with [R Q'y]."""
    m = min(A.shape)
    joint = np.linalg.qr(np.column_stack([A, y]), mode="r")    # first m rows: [R Q'y]
    R, Qy = joint[:m, :m], joint[:m, A.shape[1]:]
    return _inverse(R), R, Qy.reshape(m, *y.shape[1:])


def _corrected(A, y, K_inverse):
    """A'K^-1 y, then two corrections: each fits the residual y - A beta in the same way.

    Since cond(K) = cond(A)^2, K^-1 loses about twice as many digits as an SVD of A. Each
    correction multiplies the error by about eps cond(K), which `_well_conditioned` keeps below
    1e-3 (Bjorck 1996, Numerical methods for least squares problems, corrected seminormal
    equations).
    """
    beta = A.T @ (K_inverse @ y)
    for _ in range(2):
        beta += A.T @ (K_inverse @ (y - A @ beta))
    return beta


def _inverse(A):
    """A^-1, or infinities if A is singular."""
    try:
        return np.linalg.inv(A)
    except np.linalg.LinAlgError:
        return np.full_like(A, np.inf)


def _well_conditioned(A, inverse):
    """Whether the condition number, at most ||A|| ||A^-1||, is below 1e-3 / eps."""
    if not np.isfinite(inverse).all():
        return False
    condition = np.linalg.norm(A) * np.linalg.norm(inverse)
    return condition * np.finfo(A.dtype).eps < 1e-3


class Curves(NamedTuple):
    """What `fourier_sweep` measures at every width, each an ndarray of shape (len(sizes),)."""

    test_error: np.ndarray    # fraction of test rows whose largest output is not at the true class
    test_loss: np.ndarray     # ||f(x) - y||^2, mean over the test rows
    train_loss: np.ndarray    # ||f(x) - y||^2, mean over the training rows
    norm: np.ndarray          # ||beta||, over the coefficients of all outputs


@checked
def fourier_sweep(
    X: "array_like of float64, shape (n, d), n >= 1",
    Y: "array_like of float64, shape (n, k), k >= 1; one-hot for k classes, or one "
       "output",
    X_test: "array_like of float64, shape (m, d), m >= 1",
    Y_test: "array_like of float64, shape (m, k)",
    sizes: "array_like of int, shape (w,), w >= 1, increasing, >= 1; the widths N",
    *,
    bandwidth: "float > 0",
    rng: "numpy.random.Generator",
) -> "Curves : test_error (NaN for one output), test_loss, train_loss and norm":
    """Fit minimum-norm least squares on N random Fourier features for every N, and measure it.

    The waves are drawn once: the model of width N uses the first N of them.
    """
    P = int(sizes[-1])
    waves = sample_waves(X.shape[1], n_features=P, bandwidth=bandwidth, rng=rng)
    phi = fourier_features(X, *waves)              # (n, P)
    phi_test = fourier_features(X_test, *waves)    # (m, P)
    rows = []
    for N, beta in zip(sizes, nested_min_norm(phi, Y, sizes)):
        output = phi_test[:, :N] @ beta
        test_loss = _loss(output, Y_test)
        train_loss = _loss(phi[:, :N] @ beta, Y)
        # the features have the factor sqrt(2 / P) here, but sqrt(2 / N) in the model of width N:
        # features sqrt(P / N) times as large give coefficients sqrt(N / P) times as large
        norm = np.linalg.norm(beta) * np.sqrt(N / P)
        rows.append([_error(output, Y_test), test_loss, train_loss, norm])
    return Curves(*np.transpose(rows))


def _loss(output, Y):
    """The squared error, summed over the outputs, mean over the rows."""
    return np.sum((output - Y) ** 2, axis=1).mean()


def _error(output, Y):
    """The fraction of rows whose largest output is not at the true class; NaN for one output."""
    if Y.shape[1] == 1:
        return np.nan
    wrong = output.argmax(axis=1) != Y.argmax(axis=1)
    return wrong.mean()
