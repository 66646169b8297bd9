"""Codebooks: k numbers that stand for many, found by k-means in one dimension.

Problem: a uniform grid of values, as in `quantization`, wastes codes: some of its values have no
numbers nearby.

Idea: choose the values where the numbers are. k-means finds k centroids c and the codes a for
which this is small (Han et al. 2016, equation 2):

    sum_i (w_i - c_(a_i))^2,    a_i the code of number i

It alternates two steps, neither of which raises the sum: each number gets the code of its nearest
centroid (`assign`), and each centroid becomes the mean of its numbers (`means`).

Sources: Han, Mao and Dally 2016, Deep Compression, section 3 (the three starts); Lloyd 1982,
Least squares quantization in PCM, for the two alternating steps; MATH5836 week 10, section 10.2.2
(low-precision codes for weights).
"""
import numpy as np

from tinyml.contract import checked


@checked
def initial_centroids(
    values: "array_like of float64, any shape, not empty",
    k: "int >= 1; number of centroids",
    *,
    init: '"linear", "density" or "random"' = "linear",
    rng: 'numpy.random.Generator, needed if init = "random"' = None,
) -> "ndarray, shape (k,), in ascending order; entries may be equal":
    """Where k-means starts: three rules of Han et al. 2016, section 3.2.

        "linear"    k points at equal distances from the smallest to the largest value
        "density"   the quantiles (j + 1/2) / k, j = 0 ... k - 1: closer where values are dense
        "random"    k of the values, drawn without replacement

    Large weights are few but matter most, and only "linear" is sure to start near them.
    """
    if init == "linear":
        return np.linspace(values.min(), values.max(), k)
    if init == "density":
        return np.quantile(values, (np.arange(k) + 0.5) / k)
    if k > values.size:
        raise ValueError(f"initial_centroids: k must be <= {values.size}, the number of values, "
                         f"got {k}")
    return np.sort(rng.choice(values.ravel(), k, replace=False))


@checked
def assign(
    values: "array_like, any shape",
    centroids: "array_like of float64, shape (k,), k >= 1, increasing; entries may be equal",
) -> "ndarray of int, the shape of values, in 0..k-1":
    """The code of each value: the index of its nearest centroid.

        a_i = argmin_j |w_i - c_j|

    If two centroids are equally near, the smaller one is taken.

    >>> assign([-3, 0.4, 0.6, 9], [-1, 0, 1])
    array([0, 1, 2, 2])
    """
    borders = (centroids[:-1] + centroids[1:]) / 2    # half-way between neighbours
    return np.searchsorted(borders, values)


@checked
def kmeans(
    values: "as in `initial_centroids`",
    k: "as in `initial_centroids`",
    *,
    init: "as in `initial_centroids`" = "linear",
    rng: "as in `initial_centroids`" = None,
    max_iter: "int >= 1" = 300,
):
    """k-means of numbers (Lloyd 1982): alternate between codes and centroids.

        a_i = argmin_j |w_i - c_j|,      c_j = mean of the w_i with a_i = j

    Neither step raises the sum of squares. The algorithm ends when no code changes any more, or
    after max_iter moves of the centroids.

    Returns
    -------
    centroids : ndarray, shape (k,), in ascending order; entries may be equal
    errors : list of float, the sum of squares before each move, and at the end

    >>> kmeans([0, 1, 10, 11], 2)
    (array([ 0.5, 10.5]), [2.0, 1.0])
    """
    values = values.ravel()
    centroids = initial_centroids(values, k, init=init, rng=rng)
    previous_codes, errors = None, []
    for move in range(max_iter + 1):
        codes = assign(values, centroids)
        errors.append(float(np.sum((values - centroids[codes]) ** 2)))
        if move == max_iter or np.array_equal(codes, previous_codes):
            break
        centroids = means(values, codes, centroids)
        previous_codes = codes
    return centroids, errors


@checked
def means(
    values: "array_like of float64, shape (n,)",
    codes: "array_like of int, shape (n,), in 0..k-1",
    centroids: "array_like of float64, shape (k,)",
) -> "ndarray, shape (k,)":
    """The mean of the values with each code; a centroid without values stays where it is."""
    k = len(centroids)
    counts = np.bincount(codes, minlength=k)
    totals = np.bincount(codes, weights=values, minlength=k)
    return np.where(counts > 0, totals / np.maximum(counts, 1), centroids)


@checked
def fast_kmeans(
    values: "as in `initial_centroids`",
    k: "as in `initial_centroids`",
    *,
    init: "as in `initial_centroids`" = "linear",
    rng: "as in `initial_centroids`" = None,
    max_iter: "as in `kmeans`" = 300,
) -> "ndarray, shape (k,), in ascending order; entries may be equal":
    """The centroids of `kmeans` up to rounding, and much faster for a large layer.

    After sorting, the values of one code are a slice, and their sum is a difference of two prefix
    sums.
    """
    values = np.sort(values, axis=None)
    centroids = initial_centroids(values, k, init=init, rng=rng)
    previous_ends = None
    prefix_sums = np.append(0, values.cumsum())
    for _ in range(max_iter):
        borders = (centroids[:-1] + centroids[1:]) / 2
        ends = np.append(np.searchsorted(values, borders, side="right"), len(values))
        if np.array_equal(ends, previous_ends):
            break
        counts = np.diff(ends, prepend=0)
        totals = np.diff(prefix_sums[ends], prepend=0)
        centroids = np.where(counts > 0, totals / np.maximum(counts, 1), centroids)
        previous_ends = ends
    return centroids
