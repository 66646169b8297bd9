"""Laws of optimizers on one loss: which stay in the row space, how fast, and which leave it."""
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from strategies import nonzero, rngs

from tinyml.interpolation.implicit_bias import (
    iterates,
    kaczmarz,
    kaczmarz_factor,
    make_rare_features,
    row_probabilities,
    sign_fit,
    tuned_descent,
    tuned_heavy_ball,
)
from tinyml.interpolation.min_norm import gradient_descent, min_norm, row_space_part
from tinyml.optim import SGD, Adam, cosine_decay

EPS = np.finfo(float).eps
ALL = slice(None)


def sgd(lr, **options):
    return lambda params: SGD(params, lr=lr, **options)


def adam(lr, eps=1e-30, **options):
    """Adam as it is analysed, with a negligible eps."""
    return lambda params: Adam(params, lr=lr, eps=eps, **options)


def settled(X, y, lr=0.03, n_steps=400, **options):
    """Where Adam ends as its rate falls to 0; a coordinate can move by 200 lr = 6."""
    return iterates(X, y, adam(lr, **options), [ALL] * n_steps,
                    schedule=lambda t: cosine_decay(t, n_steps))[-1]


@st.composite
def designs(draw, max_side=6):
    """X of any rank from 1; whole numbers, so that dependent columns are exactly dependent."""
    n, p = draw(st.integers(1, max_side)), draw(st.integers(1, max_side))
    rank, rng = draw(st.integers(1, min(n, p))), draw(rngs)
    X = (rng.integers(-3, 4, (n, rank)) @ rng.integers(-3, 4, (rank, p))).astype(float)
    X[0, 0] += not X.any()
    return X


def spectrum(X):
    """The singular values of X that are not zero."""
    s = np.linalg.svd(X, compute_uv=False)
    return s[s > 1e-9 * s.max()]    # whole numbers up to 54 leave a gap: 1e-9 lies within


def rounding(X, *vectors):
    """Bound the rounding errors of X^+ y: 10 n p eps times its condition (see test_min_norm)."""
    s = spectrum(X)
    size = sum(np.linalg.norm(v) for v in vectors)
    return 10 * X.size * EPS * s.max() / s.min() * max(1, 1 / s.min()) * size


def norms(path):
    return np.linalg.norm(path, axis=1)


# ------------------------------------------------------------ steps that are sums of gradients

@st.composite
def walks(draw):
    """(X, y, start, batches, optimizer): any of the family of SGD, on batches of any size."""
    X, rng = draw(designs()), draw(rngs)
    n, p = X.shape
    start = draw(st.sampled_from([0, 1])) * rng.standard_normal(p)
    size = draw(st.integers(1, n))
    batches = [rng.permutation(n)[:size] for _ in range(draw(st.integers(1, 30)))]
    momentum = draw(st.sampled_from([0, 0.5, 0.9]))
    nesterov = draw(st.booleans()) and momentum > 0
    lr = draw(st.floats(0.1, 0.9)) * (1 - momentum) / spectrum(X).max() ** 2
    return X, rng.standard_normal(n), start, batches, sgd(lr, momentum=momentum, nesterov=nesterov)


@given(walks())
def test_sgd_momentum_and_nesterov_never_leave_the_row_space_through_their_start(walk):
    X, y, start, batches, optimizer = walk
    moved = (iterates(X, y, optimizer, batches, beta0=start) - start).T    # (p, n_steps + 1)
    hidden = moved - row_space_part(X, moved)
    # a step adds rows of X, which round by eps of themselves; the moves are bounded as lr s^2 < 1
    assert np.abs(hidden).max() <= len(batches) * rounding(X, y, start, moved)


def test_any_order_of_rows_and_any_momentum_end_in_the_same_fit():
    rng = np.random.default_rng(0)
    X, y, start = rng.standard_normal((4, 9)), rng.standard_normal(4), rng.standard_normal(9)
    limit = min_norm(X, y) + start - row_space_part(X, start)
    lr = 1 / (X * X).sum(axis=1).max()
    ball = tuned_heavy_ball(X)
    ends = [iterates(X, y, optimizer, batches, beta0=start)[-1] for optimizer, batches in [
        (sgd(lr), rng.integers(4, size=3000)),
        (sgd(lr), [[t % 4, (t + 1) % 4] for t in range(3000)]),
        (sgd(lr / 4, momentum=0.9, nesterov=True), [ALL] * 1000),
        (sgd(ball.lr, momentum=ball.momentum), [ALL] * 1000)]]
    ends.append(kaczmarz(X, y, np.arange(3000) % 4, beta0=start)[-1])
    for end in ends:    # the slowest has shrunk to below 1e-20 of its distance
        assert_allclose(end, limit, rtol=0, atol=rounding(X, y, start))


@given(X=designs(), rng=rngs, k=st.sampled_from([(), (2,)]), n_steps=st.integers(1, 20))
def test_plain_sgd_on_all_rows_is_gradient_descent(X, rng, k, n_steps):
    y, start = rng.standard_normal((len(X), *k)), rng.standard_normal((X.shape[1], *k))
    lr = 1 / spectrum(X).max() ** 2
    walked = iterates(X, y, sgd(lr), [ALL] * n_steps, beta0=start)
    assert_array_equal(walked, gradient_descent(X, y, lr=lr, n_steps=n_steps, beta0=start))


@given(X=designs(), rng=rngs, cut=st.integers(0, 5))
def test_a_schedule_multiplies_the_rate_step_by_step(X, rng, cut):
    y, lr = rng.standard_normal(len(X)), 1 / spectrum(X).max() ** 2
    walked = iterates(X, y, sgd(lr), [ALL] * 8, schedule=lambda t: float(t < cut))
    plain = iterates(X, y, sgd(lr), [ALL] * cut)
    assert_array_equal(walked, np.vstack([plain, np.tile(plain[-1], (8 - cut, 1))]))


# ------------------------------------------------------------ how fast

@given(X=designs(), rng=rngs, other=st.floats(0.01, 1.99))
def test_the_tuned_step_keeps_its_rate_and_no_other_step_has_a_better_one(X, rng, other):
    y, s = rng.standard_normal(len(X)), spectrum(X)
    lr, momentum, factor = tuned_descent(X)
    distance = norms(iterates(X, y, sgd(lr, momentum=momentum), [ALL] * 30) - min_norm(X, y))
    assert (distance <= factor ** np.arange(31) * distance[0] + 31 * rounding(X, y)).all()
    assert factor <= np.abs(1 - other / s[0] ** 2 * s ** 2).max() + 10 * X.size * EPS


@given(X=designs(), rng=rngs)
def test_the_heavy_ball_keeps_its_bound(X, rng):
    y, t = rng.standard_normal(len(X)), np.arange(41)
    lr, momentum, factor = tuned_heavy_ball(X)
    distance = norms(iterates(X, y, sgd(lr, momentum=momentum), [ALL] * 40) - min_norm(X, y))
    # a rounding error is a new start, and what it grows to has the same bound: at most 2 t + 1
    assert (distance <= (1 + t * (1 + factor)) * factor ** t * distance[0]
            + t * (2 * t + 1) * rounding(X, y) + rounding(X, y)).all()


@given(X=designs(), scale=st.floats(0.5, 2), other=st.floats(0, 0.99))
def test_no_step_and_momentum_beat_the_heavy_ball_of_polyak(X, scale, other):
    """A step multiplies (e_t, e_{t-1}) along s by a matrix; its spectral radius is the factor."""
    def slowest(lr, momentum):
        matrices = [[[1 + momentum - lr * s ** 2, -momentum], [1, 0]] for s in spectrum(X)]
        return np.abs(np.linalg.eigvals(matrices)).max()

    lr, momentum, factor = tuned_heavy_ball(X)
    # at s_max and s_min the eigenvalue is double, and a double root moves by the root of eps
    assert slowest(lr, momentum) == pytest.approx(factor, abs=10 * np.sqrt(X.size * EPS))
    assert slowest(scale * lr, other) >= factor - 10 * np.sqrt(X.size * EPS)


@given(X=designs(), rng=rngs, n_steps=st.integers(1, 20))
def test_kaczmarz_solves_an_equation_a_step_and_is_sgd_on_rows_of_length_one(X, rng, n_steps):
    X = X[X.any(axis=1)]
    y, start = rng.standard_normal(len(X)), rng.standard_normal(X.shape[1])
    rows = rng.integers(len(X), size=n_steps)
    path = kaczmarz(X, y, rows, beta0=start)
    size = np.linalg.norm(X, axis=1)
    walked = iterates(X / size[:, None], y / size, sgd(1), rows, beta0=start)
    # a projection amplifies no error, and adds a few eps of the numbers that enter
    tolerance = 10 * n_steps * X.shape[1] * EPS * (np.abs(path).max() + np.abs(y / size).max())
    assert_allclose(path, walked, rtol=0, atol=tolerance)
    residuals = (X[rows] * path[1:]).sum(axis=1) - y[rows]
    assert (np.abs(residuals) <= tolerance * size[rows]).all()
    for i, step in zip(rows, np.diff(path, axis=0)):
        assert_allclose(row_space_part(X[[i]], step), step, rtol=0, atol=tolerance)


@given(X=designs(), rng=rngs, k=st.integers(0, 3), n_steps=st.integers(0, 10))
def test_kaczmarz_solves_many_problems_at_once(X, rng, k, n_steps):
    Y, start = rng.standard_normal((len(X), k)), rng.standard_normal((X.shape[1], k))
    rows = rng.integers(len(X), size=n_steps)
    together = kaczmarz(X, Y, rows, beta0=start)
    assert together.shape == (n_steps + 1, X.shape[1], k)
    alone = [kaczmarz(X, Y[:, j], rows, beta0=start[:, j]) for j in range(k)]
    # sums may run in another order; a projection adds a few eps of its inputs
    tolerance = 10 * (1 + n_steps) * X.size * EPS * (1 + np.abs(together).max(initial=0))
    for j in range(k):
        assert_allclose(together[..., j], alone[j], rtol=0, atol=tolerance)


@given(X=designs(max_side=4), rng=rngs)
def test_on_average_kaczmarz_shrinks_the_squared_distance_by_its_rate(X, rng):
    """The expectation is taken exactly, over all rows, and over all pairs of them."""
    y = X @ rng.standard_normal(X.shape[1])
    limit, p = min_norm(X, y), row_probabilities(X)
    start = row_space_part(X, rng.standard_normal(X.shape[1]))
    e = start - limit

    def mean_after(n_steps):
        return sum(p[list(rows)].prod()
                   * np.sum((kaczmarz(X, y, list(rows), beta0=start)[-1] - limit) ** 2)
                   for rows in product(range(len(X)), repeat=n_steps))

    tolerance = 10 * rounding(X, y, start) * (1 + np.linalg.norm(e) + np.linalg.norm(limit))
    want = e @ e - np.sum((X @ e) ** 2) / np.sum(X ** 2)
    assert p.sum() == pytest.approx(1)
    assert mean_after(1) == pytest.approx(want, abs=tolerance)
    for n_steps in (1, 2):
        assert mean_after(n_steps) <= kaczmarz_factor(X) ** n_steps * (e @ e) + tolerance


def test_the_rate_of_kaczmarz_is_reached_by_the_worst_start():
    X = np.diag([3.0, 1.0])
    assert kaczmarz_factor(X) == pytest.approx(1 - 1 / 10)
    ends = [kaczmarz(X, [0, 0], [i], beta0=[0, 1])[-1] for i in range(2)]
    assert row_probabilities(X) @ np.sum(np.square(ends), axis=1) == pytest.approx(1 - 1 / 10)


@given(X=designs(), rng=rngs)
def test_the_scale_of_an_equation_does_not_matter_to_kaczmarz(X, rng):
    """Powers of 2 change no bit."""
    y, rows = rng.standard_normal(len(X)), rng.integers(len(X), size=10)
    scale = 2.0 ** rng.integers(-400, 400, len(X))
    assert_array_equal(kaczmarz(X * scale[:, None], y * scale, rows), kaczmarz(X, y, rows))


# ------------------------------------------------------------ Adam leaves

@given(X=designs(), rng=rngs, lr=st.floats(1e-3, 1))
def test_the_first_step_of_adam_is_equally_long_along_every_axis(X, rng, lr):
    y = X @ rng.integers(-3, 4, X.shape[1])    # whole numbers: a gradient of 0 is exactly 0
    first = iterates(X, y, adam(lr), [ALL])[1]
    assert_allclose(first, lr * np.sign(X.T @ y), rtol=1e-12)    # 1 - beta2 = 0.001 loses 3 digits


@given(y=st.lists(st.sampled_from([-1, 1]), min_size=1, max_size=6).filter(lambda y: sum(y) > 0))
@settings(max_examples=10)
def test_adam_weights_rare_features_equally_and_predicts_the_frequent_label(y):
    y = np.array(y, float)
    X_all = make_rare_features([*y, -1, 1])
    X, X_new = X_all[:len(y)], X_all[len(y):]
    assert_array_equal(X @ np.sign(X.T @ y), 4 * y)
    n_steps, lr = 400, 0.02
    path = iterates(X, y, adam(lr), [ALL] * n_steps, schedule=lambda t: cosine_decay(t, n_steps))
    direction = np.sign(X.T @ y)
    along = path @ direction / (direction @ direction)
    # The coordinates differ by rounding: the gradient's, X.size eps of numbers up to n, divided by
    # sqrt(v) >= sqrt((1 - beta2) beta2^400) |g_1| > 0.02 in the first gradient's units.
    assert_allclose(path, np.outer(along, direction), rtol=0,
                    atol=n_steps * lr * X.size * EPS * len(y) / 0.02)
    assert_allclose(path[-1], sign_fit(X, y), rtol=0, atol=1e-3)    # lr decays to 0: it settles
    assert_allclose(X_new @ sign_fit(X, y), [1 / 4, 3 / 4])


@given(y=st.permutations([-1, 1]).flatmap(
    lambda both: st.lists(st.sampled_from([-1, 1]), max_size=7).map(lambda more: both + more)))
def test_the_shortest_fit_predicts_every_new_label(y):
    """By symmetry X^+ y = X'a with one a for each label; two equations give the new outputs."""
    m, k = y.count(1), y.count(-1)
    X = make_rare_features([*y, 1, -1])
    outputs = X[-2:] @ min_norm(X[:-2], y)
    det = 5 + 15 * m + 3 * k + 8 * m * k
    assert_allclose(outputs, [1 - (5 + 4 * k) / det, 5 * (1 + 4 * m) / det - 1], atol=1e-12)
    assert_array_equal(np.sign(outputs), [1, -1])


@given(rng=rngs, p=st.integers(1, 8), size=st.floats(0.1, 1))
@settings(max_examples=10)
def test_for_one_sample_adam_minimises_the_largest_coefficient(rng, p, size):
    x = nonzero(rng, (1, p))
    y = size * np.abs(x).sum(axis=1)
    fit = sign_fit(x, y)
    assert_allclose(fit, size * np.sign(x[0]), rtol=10 * p * EPS)
    assert_allclose(settled(x, y), fit, rtol=0, atol=1e-3)
    others = fit[:, None] + rng.standard_normal((p, 20))
    others += x.T @ ((y - x @ others) / (x @ x.T))    # perfect fits
    assert (np.abs(others).max(axis=0) >= size * (1 - 100 * p * EPS)).all()


def test_adam_fits_perfectly_too_and_is_longer_by_its_part_outside_the_row_space():
    for seed in range(3):
        rng = np.random.default_rng(seed)
        X, y = rng.standard_normal((5, 10)), rng.standard_normal(5)
        end = settled(X, y, n_steps=1500, eps=1e-8)
        hidden = end - row_space_part(X, end)
        assert_allclose(X @ end, y, atol=1e-6)
        assert np.linalg.norm(hidden) > 0.1 * np.linalg.norm(min_norm(X, y))
        assert end @ end == pytest.approx(np.sum(min_norm(X, y) ** 2) + hidden @ hidden, rel=1e-6)


@given(X=designs(), rng=rngs, exponent=st.integers(2, 8))
def test_with_a_large_eps_adam_is_gradient_descent_again(X, rng, exponent):
    """lr eps / (sqrt(v^) + eps) is lr up to |g| / eps, and without momentum m^ = g."""
    y, eps, n_steps = rng.standard_normal(len(X)), 10.0 ** exponent, 10
    lr = 1 / spectrum(X).max() ** 2
    plain = iterates(X, y, sgd(lr), [ALL] * n_steps)
    walked = iterates(X, y, adam(lr * eps, eps=eps, betas=(0, 0.999)), [ALL] * n_steps)
    steepest = spectrum(X).max() * np.linalg.norm(y)    # no gradient is larger, as no loss is
    largest = lr * steepest * (steepest / eps)
    assert norms(walked - plain).max() <= n_steps * largest + n_steps * rounding(X, y)


# ------------------------------------------------------------ rotations of the features

def mirror(rng, p):
    """An orthogonal matrix: the reflection along a random direction (Householder)."""
    v = rng.standard_normal(p)
    return np.eye(p) - 2 * np.outer(v, v) / (v @ v)


@given(walks(), rngs)
def test_the_family_of_sgd_turns_with_the_features(walk, rng):
    X, y, start, batches, optimizer = walk
    Q = mirror(rng, X.shape[1])
    path = iterates(X, y, optimizer, batches, beta0=start)
    turned = iterates(X @ Q, y, optimizer, batches, beta0=start @ Q)
    assert np.abs(turned - path @ Q).max() <= len(batches) * rounding(X, y, start, path)


@given(X=designs(), rng=rngs)
def test_adam_turns_with_permutations_and_signs(X, rng):
    """The sums of X beta run in another order: whole numbers and steps of 1/2 make them exact."""
    p, y = X.shape[1], rng.integers(-9, 10, len(X)).astype(float)
    Q = np.eye(p)[rng.permutation(p)] * rng.choice([-1, 1], p)
    optimizer = adam(0.5, betas=(0, 0))    # sign descent
    path, turned = (iterates(design, y, optimizer, [ALL] * 10) for design in (X, X @ Q))
    assert_array_equal(turned, path @ Q)


@given(angle=st.floats(0.01, np.pi / 2 - 0.01), quarter=st.integers(0, 3))
@settings(max_examples=10)
def test_in_the_plane_the_length_of_adams_fit_depends_on_the_axes(angle, quarter):
    """||X^+ y|| = 1 at every angle, and Adam's is sqrt(2) / (|cos| + |sin|): up to sqrt(2)."""
    x = np.array([[np.cos(angle + quarter * np.pi / 2), np.sin(angle + quarter * np.pi / 2)]])
    expected = np.sqrt(2) / np.abs(x).sum()
    assert np.linalg.norm(sign_fit(x, [1])) == pytest.approx(expected)
    assert np.linalg.norm(settled(x, [1])) == pytest.approx(expected, abs=1e-3)


# ------------------------------------------------------------ edges, and what contracts cannot say

def test_designs_at_the_edge():
    for n, p in ((0, 2), (2, 0), (0, 0)):
        X, y = np.zeros((n, p)), np.ones(n)
        assert_array_equal(iterates(X, y, sgd(1), [ALL] * 3), np.zeros((4, p)))
        assert_array_equal(iterates(X, y, adam(1), [ALL] * 3), np.zeros((4, p)))
        assert_array_equal(kaczmarz(X, y, [0] * n, beta0=np.ones(p)), np.ones((n + 1, p)))
    one = [[3, 4]]    # one sample: one step is enough for either
    assert tuned_descent(one) == pytest.approx((1 / 25, 0, 0))
    assert tuned_heavy_ball(one) == pytest.approx((1 / 25, 0, 0))
    assert kaczmarz_factor(one) == pytest.approx(0)
    assert_allclose(kaczmarz(one, [25], [0])[-1], [3, 4])
    with_zeros = [[0, 0], [2, 0]], [1, 6]
    assert_array_equal(kaczmarz(*with_zeros, [0, 1, 0])[-1], [3, 0])
    assert_allclose(row_probabilities([[3, 0], [0, 0]]), [1, 0])
    assert make_rare_features([]).shape == (0, 3)
    assert iterates([[1]], [1], sgd(1), []).tolist() == [[0]]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_results_have_the_dtype_of_the_data(dtype):
    X, y = np.eye(2, dtype=dtype), np.ones(2, dtype)
    results = [iterates(X, y, adam(0.1), [ALL], beta0=[1, 1]), kaczmarz(X, y, [0], beta0=[1, 1]),
               sign_fit(X, y), row_probabilities(X), make_rare_features(y)]
    assert [result.dtype for result in results] == [dtype] * 4 + [np.float64]


def test_inputs_are_not_modified_and_results_are_not_views_of_them():
    X, y, start = np.arange(6.0).reshape(2, 3), np.ones(2), np.ones(3)
    kept = X.copy(), y.copy(), start.copy()
    for path in (iterates(X, y, adam(0.1), [ALL], beta0=start), kaczmarz(X, y, [0], beta0=start)):
        path[0] = 7
    row_space_part(X, start), sign_fit(X[:1], y[:1]), make_rare_features(y)
    assert all(map(np.array_equal, (X, y, start), kept))


@pytest.mark.parametrize("call, message", [
    (lambda: iterates([[1]], [1], sgd(1e9), [ALL] * 99),
     "iterates: beta must stay finite, got NaN or infinity; take a smaller lr"),
    (lambda: sign_fit([[1, 0], [0, 1]], [1, 2]),
     r"sign_fit: X sign\(X'y\) must be c y for a c > 0, got \[1\. 1\.\]"),
    (lambda: sign_fit([[0]], [1]), "sign_fit: X sign.* must be c y"),
    (lambda: make_rare_features([1, 0]), "labels must be 1 or -1, got"),
])
def test_what_no_contract_can_say_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
