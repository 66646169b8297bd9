"""Laws of shared weights: nearest centroids, errors that never rise, gradients summed, zeros that stay."""
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from strategies import rngs

from tinyml import Tensor, nn, optim
from tinyml.compression.weight_sharing import (
    SharedWeight,
    assign,
    fast_kmeans,
    initial_centroids,
    kmeans,
    lookup,
    means,
    share_biases,
    share_weights,
)

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


@pytest.mark.parametrize("k, kind", [(255, np.uint8), (256, np.uint16)])
def test_codes_are_as_small_as_so_many_values_allow(k, kind):
    weight = np.arange(1, k + 1, dtype=np.float32)
    shared = SharedWeight.from_weight(nn.Parameter(weight), k=k)
    assert shared.codes.dtype == kind and shared.codes.max() == k
    assert_array_equal(shared().data, weight)


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


@st.composite
def coded(draw):
    rng, k = draw(rngs), draw(st.integers(0, 5))
    return rng, rng.standard_normal(k), rng.integers(0, k + 1, draw(st.tuples(*[st.integers(0, 5)] * 2)))


@given(coded())
def test_gradients_are_summed_per_cluster(case):
    rng, codebook, codes = case
    codes = codes.astype(np.uint8)
    shared, g = Tensor(codebook, requires_grad=True), rng.standard_normal(codes.shape)
    weight = lookup(shared, codes=codes)
    assert_array_equal(weight.data, np.append(0, codebook)[codes])
    weight.backward(g)
    expected = [g[codes == j].sum() for j in range(1, len(codebook) + 1)]
    assert_allclose(shared.grad, expected, atol=g.size * EPS * 5)    # sums of entries below 5, another order
    assert lookup(Tensor(codebook.astype(np.float32)), codes=codes).dtype == np.float32


@st.composite
def weights(draw):
    rng, shape = draw(rngs), draw(st.tuples(*[st.integers(0, 8)] * 2))
    weight = rng.standard_normal(shape).astype(np.float32)
    return np.where(rng.random(shape) < draw(st.sampled_from([0, 0.5, 1])), np.float32(-0.0), weight)


@given(weights(), st.integers(1, 300), st.sampled_from(INITS), rngs)
@example(np.zeros((0, 3), np.float32), 2, "linear", None)
@example(np.zeros((2, 3), np.float32), 2, "density", None)
@example(np.full((2, 3), 7, np.float32), 2, "linear", None)
@example(np.array([[1, 2, 100]], np.float32), 3, "linear", None)    # k-means merges 1 and 2
def test_a_shared_weight_keeps_zeros_and_is_nearest_elsewhere(weight, k, init, rng):
    shared = SharedWeight.from_weight(nn.Parameter(weight), k=k, init=init, rng=rng)
    values, codebook = shared().data, shared.codebook.data
    assert values.shape == weight.shape and values.dtype == weight.dtype == codebook.dtype
    assert_array_equal(values == 0, weight == 0)
    assert not np.signbit(values[values == 0]).any()    # -0.0 would cost a place in the codebook
    assert codebook.size == min(k, len(np.unique(weight[weight != 0])))
    assert shared.codes.dtype == (np.uint8 if k <= 255 else np.uint16)
    kept = weight != 0
    nearest = np.abs(np.subtract.outer(weight[kept], codebook)).min(axis=-1, initial=np.inf)
    assert_array_equal(np.abs(weight[kept] - values[kept]), nearest)
    if k >= len(np.unique(weight[kept])):    # as many values as there are entries
        assert_array_equal(values, weight)


def network(rng):
    return nn.Sequential(nn.Linear(6, 8, rng=rng), nn.ReLU(), nn.Linear(8, 3, rng=rng))


@pytest.mark.parametrize("optimizer", [lambda p: optim.SGD(p, lr=0.1, momentum=0.9),
                                       lambda p: optim.AdamW(p, lr=0.01, weight_decay=0.1)])
def test_fine_tuning_lowers_the_loss_and_leaves_zeros_and_ties_alone(optimizer):
    rng = np.random.default_rng(0)
    model = network(rng)
    model[0].weight.data = np.where(rng.random((8, 6)) < 0.5, 0, model[0].weight.data)
    share_weights(model, bits=2)
    x, y = rng.standard_normal((64, 6)), rng.integers(0, 3, 64)
    codes, steps, losses = model[0].weight.codes.copy(), optimizer(model.parameters()), []
    for _ in range(60):
        steps.zero_grad()
        loss = nn.layers.F.cross_entropy(model(Tensor(x.astype(np.float32))), y)
        loss.backward()
        steps.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    weight = model[0].weight().data
    assert_array_equal(model[0].weight.codes, codes)
    assert_array_equal(weight == 0, codes == 0)
    assert len(np.unique(weight)) <= 1 + 4


def test_the_whole_model_is_shared_once():
    rng = np.random.default_rng(0)
    model = nn.Sequential(nn.Embedding(5, 4, rng=rng), nn.Linear(4, 4, rng=rng), nn.LayerNorm(4),
                          nn.Linear(4, 4, rng=rng), nn.Linear(4, 4, rng=rng))
    model[4].weight = model[3].weight
    norm, bias = model[2].weight, model[1].bias
    assert share_weights(model, bits=3) is model
    assert [model[i].weight.codebook.size for i in (0, 1, 3)] == [8, 8, 8]
    assert model[4].weight is model[3].weight and model[2].weight is norm and model[1].bias is bias
    before, vars(model)["0"] = model[1].weight, nn.Embedding(5, 4, rng=rng)
    with pytest.warns(UserWarning, match="^share_weights: left as they are: 1.weight .computed already, by Sha"):
        share_weights(model, bits=1)
    assert model[1].weight is before and model[0].weight.codebook.size == 2
    with pytest.raises(ValueError, match="^share_weights: model must have a weight.*; 3.weight is computed"):
        share_weights(model, bits=1)
    assert "8 values" in repr(model)
    half = SharedWeight(nn.Parameter(np.ones(1)), np.array([0, 1], np.uint8))
    assert "1 values, 50.0% not 0" in repr(half)


def test_convolutions_share_too():
    rng = np.random.default_rng(0)
    layer = nn.Conv2d(2, 3, 3, rng=rng)
    x, weight = Tensor(rng.standard_normal((1, 2, 5, 5)).astype(np.float32)), layer.weight.data
    y = layer(x).data
    share_weights(layer, bits=8)    # more values than weights
    assert layer.weight.codebook.size == weight.size
    assert_allclose(layer(x).data, y, atol=np.abs(weight).max())


@given(rngs, st.integers(1, 4))
@settings(max_examples=15)
def test_biases_move_to_few_values_and_codebooks_stay(rng, bits):
    model = nn.Sequential(nn.Linear(3, 40, rng=rng), nn.BatchNorm1d(40))
    share_weights(model, bits=6)
    codebook, bias, scale = model[0].weight.codebook.data, model[0].bias.data, model[1].weight.data
    assert share_biases(model, bits=bits) is model
    assert model[0].weight.codebook.data is codebook and model[1].weight.data is scale
    moved = model[0].bias.data
    assert len(np.unique(moved)) <= 1 << bits and moved.dtype == bias.dtype
    if bits >= 2:    # each within half a step of the linear start, or moved to lower the sum of squares
        assert ((moved - bias) ** 2).mean() <= (np.ptp(bias) / ((1 << bits) - 1)) ** 2 / 4


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
    (lambda: SharedWeight.from_weight(nn.Parameter(np.full((2, 2), np.nan)), k=2), ValueError,
     "SharedWeight.from_weight: weight must be finite"),
    (lambda: SharedWeight(nn.Parameter(np.ones(2)), np.array([3], np.uint8)), ValueError,
     r"SharedWeight: codes must be ndarray of int, any shape, in 0..k with k = 2, got 3"),
    (lambda: SharedWeight(nn.Parameter(np.ones((1, 2))), np.array([1], np.uint8)), ValueError,
     r"SharedWeight: codebook must be Parameter, shape \(k,\), got shape \(1, 2\)"),
    (lambda: share_weights(network(np.random.default_rng(0)), bits=2, init="random"), TypeError,
     "share_weights: rng must be numpy.random.Generator"),
])
def test_an_error_names_function_argument_and_requirement(call, error, message):
    with pytest.raises(error, match="^" + message):
        call()
