"""Laws of codebooks: the nearest centroids, errors that never rise, means of what they stand for."""
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from strategies import rngs

from tinyml.compression.codebooks import assign, fast_kmeans, initial_centroids, kmeans, means

EPS = np.finfo(float).eps
INITS = ["linear", "density", "random"]
whole = st.lists(st.integers(-50, 50), min_size=1, max_size=40)    # with ties, and exact midpoints


@given(whole, st.lists(st.integers(-50, 50), min_size=1, max_size=9))
@example([0, 1, 2, 3, 4], [0, 2, 4])    # two midpoints
def test_the_code_is_the_nearest_centroid_and_of_two_the_smaller(values, centroids):
    centroids = sorted(set(centroids))
    distances = np.abs(np.subtract.outer(values, centroids))
    codes = distances.argmin(axis=1)    # argmin takes the first
    assert_array_equal(assign(values, centroids), codes)
    assert_array_equal(assign(np.reshape(values, (1, -1, 1)), centroids), codes.reshape(1, -1, 1), strict=True)


@given(whole, st.integers(1, 8))
def test_the_three_starts_lie_among_the_values(values, k):
    linear, density = (initial_centroids(values, k, init=init) for init in ("linear", "density"))
    assert_allclose(np.diff(linear), np.ptp(values) / max(k - 1, 1) if k > 1 else [], atol=1e-12)
    assert linear[0] == min(values) and (k == 1 or linear[-1] == max(values))
    assert (np.diff(density) >= 0).all() and min(values) <= density[0] and density[-1] <= max(values)
    mirrored = initial_centroids(np.negative(values), k, init="density")
    assert_allclose(mirrored, -density[::-1], atol=1e-12)    # neither end is preferred
    even = np.arange(12 * k)    # each gets as many
    assert (np.bincount(assign(even, initial_centroids(even, k, init="density")), minlength=k) == 12).all()
    heavy = [0.0] * 20 * k + [1.0]    # equal values count as often as they occur
    assert not initial_centroids(heavy, k, init="density").any()
    assert_array_equal(initial_centroids([7.0] * k, k, init="random", rng=np.random.default_rng(0)), [7.0] * k)
    if k <= len(values):
        drawn = initial_centroids(values, k, init="random", rng=np.random.default_rng(0)).tolist()
        rest = list(map(float, values))
        for centroid in drawn:
            rest.remove(centroid)    # each value is drawn once at most
        assert drawn == sorted(drawn)


def test_random_starts_are_any_of_the_values_by_the_rng_alone():
    """2,000 times 3 of 10: how often a value is drawn is binomial, and two together: within 5 deviations."""
    values, rng = np.arange(10.0), np.random.default_rng(0)
    draw = lambda rng: initial_centroids(values, 3, init="random", rng=rng)
    drawn = (np.array([draw(rng) for _ in range(2000)])[..., None] == values).sum(axis=1)
    p = np.where(np.eye(10), 3 / 10, 3 / 10 * 2 / 9)
    assert (np.abs(drawn.T @ drawn - 2000 * p) < 5 * np.sqrt(2000 * p * (1 - p))).all()
    for seed in range(20):
        assert_array_equal(draw(np.random.default_rng(seed)), draw(np.random.default_rng(seed)))


def test_a_start_that_there_is_not_is_refused():
    rng = np.random.default_rng(0)
    for bad in ({"k": 3, "init": "random", "rng": rng}, {"k": 1, "init": "best", "rng": rng}):
        with pytest.raises(ValueError):
            initial_centroids([1.0, 2.0], **bad)
    with pytest.raises(TypeError):
        initial_centroids([1.0, 2.0], 1, init="random")


@given(rngs, st.integers(1, 60), st.integers(1, 9), st.sampled_from(INITS))
def test_lloyd_never_raises_the_error_and_ends_at_a_fixed_point(rng, n, k, init):
    values = rng.standard_normal(n) * rng.choice([1e-3, 1, 1e3], n)
    k = min(k, n)
    centroids, errors = kmeans(values, k, init=init, rng=rng)
    assert (np.diff(centroids) >= 0).all()
    # sums of n terms up to max |v|, as differences of running sums: n^2 eps max|v| in a mean, at worst
    rounding = 4 * n ** 3 * EPS * np.abs(values).max() ** 2
    assert (np.diff(errors) <= rounding).all()
    codes = assign(values, centroids)
    assert errors[-1] == pytest.approx(((values - centroids[codes]) ** 2).sum(), rel=1e-9, abs=rounding)
    for j in set(codes):
        mean = values[codes == j].mean()
        assert centroids[j] == pytest.approx(mean, abs=n ** 2 * EPS * np.abs(values).max())


@given(whole, st.integers(1, 4))
def test_two_groups_end_where_no_single_border_is_better_nearby_and_one_group_at_the_mean(values, k):
    """One group: the variance. k groups: k-means ends at no more than its start, and not below the best.

    The best division of sorted values into two stretches is found by trying all of them.
    """
    values, n = np.sort(values).astype(float), len(values)
    start, end = (lambda errors: (errors[0], errors[-1]))(kmeans(values, k)[1])
    assert end <= start * (1 + n * EPS) + 1e-9 and end <= np.var(values) * n + 1e-9
    if k == 1:
        assert end == pytest.approx(np.var(values) * n, abs=1e-9)
    if k == 2 and n > 1:
        assert end >= min(np.var(values[:i]) * i + np.var(values[i:]) * (n - i) for i in range(1, n)) - 1e-9


def test_between_two_centroids_a_value_moves_the_smaller():
    assert kmeans([0, 1, 2], 2)[0].tolist() == [0.5, 2]


@pytest.mark.parametrize("values, centroids, errors", [
    ([0, 1, 10, 11], [0.5, 10.5], [2.0, 1.0]),    # the first move is the last
    ([[3, 9], [0, 1]], [4 / 3, 9], [10.0, 14 / 3]),    # in any order and shape
    ([0, 8, 4, 0, 5], [0, 17 / 3], [25.0, 515 / 36, 26 / 3]),    # two moves
    ([7], [7], [0.0, 0.0]),
])
def test_it_ends_after_the_first_move_that_changes_no_code(values, centroids, errors):
    found = kmeans(values, len(centroids))
    assert_allclose(found[0], centroids)
    assert found[1] == pytest.approx(errors)


@given(st.integers(3, 9), st.integers(1, 50), st.integers(0, 50))
def test_a_centroid_without_values_stays_where_it_is(k, low, width):
    """All values are at the two ends, where the linear start has a centroid already; none is between."""
    values = [low, low, low + width]
    assert_array_equal(kmeans(values, k)[0], initial_centroids(values, k))


def test_the_number_of_moves_is_bounded_and_the_last_error_is_that_of_the_centroids():
    values = np.random.default_rng(0).standard_normal(500)
    for moves in (1, 2, 5):
        centroids, errors = kmeans(values, 16, max_iter=moves)
        assert len(errors) == moves + 1
        assert errors[-1] == pytest.approx(((values - centroids[assign(values, centroids)]) ** 2).sum())


@given(rngs, st.integers(1, 60), st.integers(1, 9), st.sampled_from(["linear", "density"]),
       st.integers(1, 20))
def test_the_fast_twin_ends_at_the_same_centroids(rng, n, k, init, max_iter):
    """Their sums differ by rounding: whole numbers have none, and their ties are exact."""
    values = rng.integers(-50, 50, n)
    plain, _ = kmeans(values, k, init=init, max_iter=max_iter)
    assert_allclose(fast_kmeans(values, k, init=init, max_iter=max_iter), plain, rtol=1e-12, atol=1e-12)


@given(rngs, st.integers(0, 40), st.integers(1, 6))
def test_each_mean_is_that_of_its_values(rng, n, k):
    values, codes, centroids = rng.standard_normal(n), rng.integers(0, k, n), rng.standard_normal(k)
    expected = [values[codes == j].mean() if (codes == j).any() else centroids[j] for j in range(k)]
    assert_allclose(means(values, codes, centroids), expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("call, error, message", [
    (lambda: kmeans([1.0], 1, init="random"), TypeError, "kmeans: rng must be numpy.random.Generator"),
    (lambda: kmeans([1.0], 2, init="random", rng=np.random.default_rng(0)), ValueError,
     "initial_centroids: k must be <= 1, the number of values, got 2"),
])
def test_an_error_names_function_argument_and_requirement(call, error, message):
    with pytest.raises(error, match="^" + message):
        call()
