"""The laws of clusters: nearest centers, best centers, groups that are found."""
import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from strategies import rngs

from tinyml.compression.clusters import kmeans_of, kmeans_of_rows
from tinyml.compression.codebooks import assign


def spread(X, codes, centers):
    return float(((X - centers[codes]) ** 2).sum())


@settings(max_examples=30)
@given(rngs, st.integers(1, 40), st.integers(1, 3), st.integers(1, 5))
@example(np.random.default_rng(0), 40, 3, 5)    # another measure of distance changes the groups for sure
def test_rows_have_the_nearest_mean_and_means_are_those_of_their_rows(rng, n, p, k):
    X = rng.standard_normal((n, p))
    codes, centers = kmeans_of_rows(X, k, rng=rng)
    assert centers.shape == (codes.max() + 1, p) and len(centers) <= k
    distances = ((X[:, None] - centers) ** 2).sum(axis=2)
    assert (distances[np.arange(n), codes] <= distances.min(axis=1) + 1e-12).all()
    for j, center in enumerate(centers):
        assert_allclose(center, X[codes == j].mean(axis=0), atol=1e-12)
    if n <= k:
        assert spread(X, codes, centers) < 1e-24 * n    # a group for each row
    if p == 1:    # one move of the k-means of numbers changes nothing
        order = np.argsort(centers[:, 0])
        again = order[assign(X[:, 0], centers[order, 0])]
        assert_allclose(np.abs(X[:, 0] - centers[again, 0]), np.abs(X[:, 0] - centers[codes, 0]), atol=1e-12)


@settings(max_examples=20)
@given(rngs, st.integers(1, 4), st.integers(1, 3), st.integers(0, 8))
def test_groups_far_apart_are_found(rng, k, p, more):
    """A row of a group that has a center costs at most 0.02 of one that has none: ten starts find them all."""
    true = np.append(np.arange(k), rng.integers(0, k, more))
    X = 9 * np.arange(k)[true][:, None] + rng.uniform(-0.1, 0.1, (len(true), p))
    codes, centers = kmeans_of_rows(X, k, rng=rng)
    assert len(centers) == k
    assert_array_equal(codes[:, None] == codes, true[:, None] == true)
    exact = 9 * np.arange(k)[true][:, None] * np.ones(p)    # what costs nothing is not drawn: one start is enough
    assert spread(exact, *kmeans_of_rows(exact, k, rng=rng, n_starts=1)) == 0


@settings(max_examples=20)
@given(rngs, st.integers(2, 10), st.integers(2, 4))
def test_more_starts_are_no_worse_and_equal_rows_share_a_group(rng, n, k):
    X, seed = rng.standard_normal((n, 2)), int(rng.integers(99))
    few, many = (kmeans_of_rows(X, k, rng=np.random.default_rng(seed), n_starts=m) for m in (1, 9))
    assert spread(X, *many) <= spread(X, *few) + 1e-12    # the first of the nine is the one
    same, _ = kmeans_of_rows(np.repeat(X[:1], n, axis=0), k, rng=rng)
    assert_array_equal(same, np.zeros(n))


def by_first(codes, centers):
    """The groups numbered by their first items."""
    _, first = np.unique(codes, return_index=True)
    order = np.argsort(first)
    return np.argsort(order)[codes], centers[order]


@settings(max_examples=20)
@given(rngs, st.integers(12, 20), st.integers(3, 5), st.integers(1, 3))
def test_every_start_draws_by_squared_distance(rng, n, k, n_starts):
    """With the same draws, costs written as inner products give the same groups.

    Their order is left open: of two starts that end with the same groups, rounding decides.
    """
    X, seed = rng.standard_normal((n, 2)), int(rng.integers(99))
    one, other = (np.random.default_rng(seed) for _ in range(2))
    codes, means = kmeans_of_rows(X, k, rng=one, n_starts=n_starts)
    expected, centers = kmeans_of(
        n, k, cost=lambda c: np.array([(x - c) @ (x - c) for x in X]),
        center=lambda group: group @ X / group.sum(), rng=other, n_starts=n_starts)
    (codes, means), (expected, centers) = by_first(codes, means), by_first(expected, np.array(centers))
    assert_array_equal(codes, expected)
    assert_allclose(means, centers, atol=1e-12)
    assert one.random() == other.random()    # as many draws: every start was made, and nothing else


@given(rngs, st.integers(1, 9), st.integers(1, 3))
def test_k_means_of_anything_takes_any_cost(rng, n, k):
    """With absolute differences and medians."""
    x = rng.standard_normal(n)
    codes, centers = kmeans_of(n, k, cost=lambda c: np.abs(x - c), center=lambda group: np.median(x[group]), rng=rng)
    cost = np.abs(x - np.array(centers)[:, None])
    assert (cost[codes, np.arange(n)] <= cost.min(axis=0) + 1e-14).all()
    assert_allclose(centers, [np.median(x[codes == j]) for j in range(len(centers))])
