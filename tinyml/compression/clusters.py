"""Clusters: k-means of vectors, and of anything that has a cost and a best center.

Problem: filters, or colours, should be sorted into a few groups. `codebooks` groups numbers,
where the nearest centroid is found by sorting. Vectors have no order, and sometimes the error that
counts is not a distance.

Idea: the two steps of k-means need only two functions: cost(c), which says what each item costs at
a center c, and center(group), the best center for a group. Neither step raises the total cost:

    sum_i cost(c_j)_i,    j = a_i, the group of item i

The result depends on the start. So several starts are tried, and the best result is kept.

Sources: MATH5836 week 10, section 10.2.3; Lloyd 1982, Least squares quantization in PCM (the two
steps); Arthur and Vassilvitskii 2007, k-means++ (the start).
"""
import numpy as np

from tinyml.contract import checked


@checked
def kmeans_of(
    n: "int >= 1; number of items",
    k: "int >= 1; the largest number of groups",
    *,
    cost: "function of a center; it returns an ndarray of n costs, none below 0",
    center: "function of an ndarray of n bool; these are True for the items of a "
            "group, and it returns their best center",
    rng: "numpy.random.Generator",
    n_starts: "int >= 1" = 10,
):
    """k-means of n items of any kind, by what an item costs at a center.

        a_i = argmin_j cost(c_j)_i,      c_j = center(items with a_i = j)

    With squared distances and means it is k-means of vectors. Neither step raises the total cost.
    A start draws k items one by one as centers. The probability of an item is proportional to its
    cost at the nearest center so far (Arthur and Vassilvitskii 2007). The best of n_starts is
    returned.

    Returns
    -------
    codes : ndarray of int, shape (n,), in 0..m-1
    centers : list of m <= k centers, each with at least one item
    """
    best, least = None, np.inf
    for _ in range(n_starts):
        codes, centers = _improved(_drawn(n, k, cost, center, rng), cost, center)
        total = sum(cost(c)[codes == j].sum() for j, c in enumerate(centers))
        if best is None or total < least:
            best, least = (codes, centers), total
    return best


def _drawn(n, k, cost, center, rng):
    """At most k centers, each of a single item; no more if every item is one of them already."""
    items = np.arange(n)
    centers = [center(items == rng.integers(n))]
    nearest = cost(centers[0])
    while len(centers) < k and nearest.sum() > 0:
        item = rng.choice(n, p=nearest / nearest.sum())
        centers.append(center(items == item))
        nearest = np.minimum(nearest, cost(centers[-1]))
    return centers


def _improved(centers, cost, center, max_iter=100):
    """Codes and centers after the two steps of k-means, until no code changes."""
    previous = None
    for _ in range(max_iter):
        nearest = np.stack([cost(c) for c in centers]).argmin(axis=0)
        _, codes = np.unique(nearest, return_inverse=True)    # drops empty groups
        if np.array_equal(codes, previous):
            break
        centers = [center(codes == j) for j in range(codes.max() + 1)]
        previous = codes
    return codes, centers


@checked
def kmeans_of_rows(
    X: "array_like of float64, shape (n, p), n >= 1",
    k: "int >= 1; the largest number of groups",
    *,
    rng: "as in `kmeans_of`",
    n_starts: "as in `kmeans_of`" = 10,
):
    """k-means of the rows of a matrix.

        minimise  sum_i ||x_i - c_(a_i)||^2

    Returns
    -------
    codes : ndarray of int, shape (n,), in 0..m-1
    means : ndarray, shape (m, p), m <= k

    >>> codes, means = kmeans_of_rows([[0, 0], [0, 2], [9, 9]], 2, rng=np.random.default_rng(0))
    >>> sorted(means.tolist())
    [[0.0, 1.0], [9.0, 9.0]]
    """
    def cost(c):
        return ((X - c) ** 2).sum(axis=1)

    def center(group):
        return X[group].mean(axis=0)
    codes, centers = kmeans_of(len(X), k, cost=cost, center=center, rng=rng, n_starts=n_starts)
    return codes, np.array(centers)
