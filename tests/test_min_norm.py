"""Laws of least squares in its three regimes, and of gradient descent towards X^+ y."""
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import rngs

from tinyml.interpolation.min_norm import (
    descent_filter,
    gradient_descent,
    gradient_descent_closed_form,
    least_squares,
    linear_model,
    min_norm,
    ordinary_least_squares,
    row_space_part,
    svd,
)
from tinyml.interpolation.ridge import ridge, ridge_filter

EPS = np.finfo(float).eps
SOLVERS = [least_squares, min_norm]
DESCENTS = [gradient_descent, gradient_descent_closed_form]


@st.composite
def designs(draw, max_side=6):
    """X of any rank, 0 included; whole numbers, so that dependent columns are exactly dependent."""
    n, p = draw(st.integers(1, max_side)), draw(st.integers(1, max_side))
    rank, rng = draw(st.integers(0, min(n, p))), draw(rngs)
    return (rng.integers(-3, 4, (n, rank)) @ rng.integers(-3, 4, (rank, p))).astype(float)


def targets(rng, X, k=()):
    return rng.standard_normal((len(X), *k))


def spectrum(X):
    """The singular values of X that are not zero; one value 1 for the zero matrix."""
    s = np.linalg.svd(X, compute_uv=False)
    s = s[s > 1e-9 * s.max(initial=0)]    # whole numbers up to 54 leave a gap: 1e-9 lies within
    return s if s.size else np.ones(1)


def rounding(X, *vectors):
    """A bound on the rounding errors of X^+ y: the sensitivity of the problem times eps.

    A change of X by eps ||X|| changes X^+ y by about eps kappa (||X^+ y|| + ||X^+|| ||residual||),
    kappa = s_max / s_min (Wedin 1973, Perturbation theory for pseudo-inverses). The norms of the
    `vectors` that enter bound the bracket. The backward error of LAPACK is a modest multiple of
    eps ||X||, here 10 n p.
    """
    s = spectrum(X)
    kappa = s.max() / s.min()
    size = sum(np.linalg.norm(v) for v in vectors) * max(1, 1 / s.min())
    return 10 * X.size * EPS * kappa * size


@given(X=designs())
def test_the_singular_vectors_are_orthonormal_and_rebuild_the_design(X):
    """LAPACK's svd is backward stable: errors of a modest multiple of eps, times s_max for X."""
    U, s, Vh = svd(X)
    for gram in (U.T @ U, Vh @ Vh.T):
        np.testing.assert_allclose(gram, np.eye(len(s)), atol=10 * X.size * EPS)
    np.testing.assert_allclose(U * s @ Vh, X, rtol=0, atol=10 * X.size * EPS * spectrum(X).max())
    assert (np.diff(s) <= 0).all() and len(s) == np.linalg.matrix_rank(X)


@given(X=designs(), rng=rngs)
def test_the_row_space_part_is_what_the_predictions_need(X, rng):
    """A projection: it keeps X beta, repeats itself, and is at right angles to what it leaves."""
    beta = rng.standard_normal((X.shape[1], 2))
    seen, tolerance = row_space_part(X, beta), rounding(X, beta)
    np.testing.assert_allclose(X @ seen, X @ beta, rtol=0, atol=tolerance * spectrum(X).max())
    np.testing.assert_allclose(row_space_part(X, seen), seen, rtol=0, atol=tolerance)
    np.testing.assert_allclose(seen, min_norm(X, X @ beta), rtol=0, atol=tolerance * spectrum(X).max())
    assert np.sum(seen * (beta - seen)) == pytest.approx(0, abs=tolerance * np.linalg.norm(beta))


@given(X=designs(), rng=rngs)
def test_all_perfect_fits_share_one_part_and_pythagoras_gives_their_norm(X, rng):
    y, w = X @ rng.standard_normal(X.shape[1]), rng.standard_normal(X.shape[1])
    shortest, hidden = min_norm(X, y), w - row_space_part(X, w)
    fit, tolerance = shortest + hidden, rounding(X, y, w)
    np.testing.assert_allclose(row_space_part(X, fit), shortest, rtol=0, atol=tolerance)
    assert fit @ fit == pytest.approx(shortest @ shortest + hidden @ hidden,
                                      abs=4 * tolerance * (1 + np.linalg.norm(fit)))


@given(X=designs(), rng=rngs)
@pytest.mark.parametrize("solve", SOLVERS)
def test_the_residual_is_orthogonal_to_every_column(solve, X, rng):
    y = targets(rng, X)
    residual = y - X @ solve(X, y)
    bound = rounding(X, y) * spectrum(X).max() ** 2    # ||X'X|| times the error of beta
    assert np.linalg.norm(X.T @ residual) <= bound


@given(X=designs(), rng=rngs)
@pytest.mark.parametrize("solve", SOLVERS)
def test_it_interpolates_whatever_can_be_interpolated(solve, X, rng):
    y = X @ rng.standard_normal(X.shape[1])
    assert np.linalg.norm(X @ solve(X, y) - y) <= rounding(X, y) * spectrum(X).max()


@given(n=st.integers(1, 6), extra=st.integers(0, 6), rng=rngs)
def test_it_interpolates_anything_when_p_is_at_least_n(n, extra, rng):
    X = rng.standard_normal((n, n + extra))    # of rank n, with probability one
    y = targets(rng, X)
    assert np.linalg.norm(X @ least_squares(X, y) - y) <= rounding(X, y) * spectrum(X).max()


@given(X=designs(), rng=rngs)
@pytest.mark.parametrize("solve", SOLVERS)
def test_any_other_minimiser_is_longer_by_pythagoras(solve, X, rng):
    y, w = targets(rng, X), rng.standard_normal(X.shape[1])
    beta = solve(X, y)
    null = w - X.T @ np.linalg.lstsq(X.T, w, rcond=1e-9)[0]    # (I - X^+ X) w
    tolerance = rounding(X, y, w) * (np.linalg.norm(beta) + np.linalg.norm(w))
    assert abs(beta @ null) <= tolerance                      # beta lies in the row space
    assert np.sum((beta + null) ** 2) == pytest.approx(beta @ beta + null @ null, abs=2 * tolerance)


@given(X=designs(), rng=rngs)
def test_the_three_regimes_and_the_pseudoinverse_agree(X, rng):
    y = targets(rng, X)
    expected = np.linalg.pinv(X, rcond=1e-9) @ y
    for solve in SOLVERS:
        assert np.linalg.norm(solve(X, y) - expected) <= rounding(X, y)


@given(X=designs(), rng=rngs, k=st.integers(0, 3), lam=st.floats(0, 2))
def test_many_problems_at_once_are_the_problems_one_by_one(X, rng, k, lam):
    Y = targets(rng, X, (k,))
    for solve in (*SOLVERS, lambda X, y: ridge(X, y, lam=lam)):
        together = solve(X, Y)
        assert together.shape == (X.shape[1], k)
        for j in range(k):
            assert np.linalg.norm(together[:, j] - solve(X, Y[:, j])) <= rounding(X, Y)


@st.composite
def descents(draw):
    """(X, y, start, arguments): a design, and a descent on it with a step that converges."""
    X, rng = draw(designs()), draw(rngs)
    k = draw(st.sampled_from([(), (2,)]))
    start = draw(st.sampled_from([0, 1])) * rng.standard_normal((X.shape[1], *k))
    lr = draw(st.floats(0.1, 1.9)) / spectrum(X).max() ** 2
    arguments = dict(lr=lr, n_steps=draw(st.integers(1, 60)), beta0=start)
    return X, targets(rng, X, k), start, arguments


def descent_rounding(X, y, start, lr, n_steps, beta0):
    """A step rounds two products with X, as lr s_max^2 < 2 times the error, and amplifies none."""
    step = 10 * X.size * EPS * (np.linalg.norm(start) + np.linalg.norm(y) / spectrum(X).min())
    return n_steps * step + rounding(X, y, start)


@given(descents())
def test_gradient_descent_equals_its_closed_form_at_every_step(descent):
    X, y, start, arguments = descent
    walked = gradient_descent(X, y, **arguments)
    written = gradient_descent_closed_form(X, y, **arguments)
    assert walked.shape == written.shape == (arguments["n_steps"] + 1, *start.shape)
    assert np.array_equal(walked[0], start)
    assert np.linalg.norm((walked - written).reshape(len(walked), -1), axis=1).max() <= \
        descent_rounding(X, y, start, **arguments)


@given(a=st.floats(1e-9, 1.99), t=st.integers(0, 60))
def test_the_share_learned_is_one_minus_what_every_step_leaves(a, t):
    """lr = 1 and s^2 = a up to eps; 1 - a is rounded once, and t steps multiply that error by t at most."""
    s = np.sqrt(a)
    exact = 1 - (1 - Fraction(float(s)) ** 2) ** t
    filtered = descent_filter([s], t, lr=1)
    assert filtered.shape == (1,) and abs(filtered[0] - float(exact)) <= 8 * EPS * (1 + t)


@given(small=st.floats(-9, -4), u=st.floats(0.01, 5))
def test_many_tiny_steps_learn_what_gradient_flow_learns(small, u):
    """(1 - a)^t lies between e^-(t a) and e^-(t a (1 + a)): t steps of a share a learn 1 - e^-u for t = u / a."""
    s = 10 ** (small / 2)
    t = round(u / s ** 2)
    learned = descent_filter([s], [t], lr=1)
    rounding = 20 * EPS * (1 + t)    # each factor 1 - a is rounded
    np.testing.assert_allclose(learned, [[-np.expm1(-t * s ** 2)]], rtol=10 * s ** 2, atol=rounding)


@given(X=designs(), rng=rngs, share=st.floats(0.01, 1.9), t=st.integers(1, 30))
def test_the_share_learned_is_that_of_the_engine_s_descent(X, rng, share, t):
    y, (U, s, Vh) = targets(rng, X), svd(X)
    lr = share / spectrum(X).max() ** 2
    written = (descent_filter(s, np.arange(t + 1), lr=lr) / s * (U.T @ y)) @ Vh
    walked = gradient_descent(X, y, lr=lr, n_steps=t)
    assert written.shape == walked.shape
    assert np.linalg.norm(written - walked, axis=1).max() <= descent_rounding(X, y, np.zeros(1), lr, t, None)


@given(descents())
@pytest.mark.parametrize("descend", DESCENTS)
def test_the_distance_to_the_limit_shrinks_at_the_rate_of_the_slowest_direction(descend, descent):
    X, y, start, arguments = descent
    limit = min_norm(X, y) + start - min_norm(X, X @ start)    # X^+ y + (I - X^+ X) beta_0
    distance = [np.linalg.norm(beta - limit) for beta in descend(X, y, **arguments)]
    rate = np.abs(1 - arguments["lr"] * spectrum(X)[[0, -1]] ** 2).max()
    t = np.arange(len(distance))
    assert np.all(distance <= rate ** t * distance[0] + descent_rounding(X, y, start, **arguments))


@given(descents(), rngs)
@pytest.mark.parametrize("descend", DESCENTS)
def test_iterates_never_leave_the_row_space_through_the_start(descend, descent, rng):
    X, y, start, arguments = descent
    moved = descend(X, y, **arguments) - start
    for step in moved:
        outside = step - min_norm(X, X @ step)
        assert np.linalg.norm(outside) <= descent_rounding(X, y, start, **arguments)


def test_gradient_descent_arrives():
    rng = np.random.default_rng(0)
    X, y, start = rng.standard_normal((5, 20)), rng.standard_normal(5), rng.standard_normal(20)
    lr = 1 / np.linalg.norm(X, 2) ** 2
    n_steps = 1 + int(np.log(EPS) / np.log1p(-lr * spectrum(X).min() ** 2))
    last = gradient_descent(X, y, lr=lr, n_steps=n_steps)[-1]
    assert np.linalg.norm(last - np.linalg.pinv(X) @ y) <= rounding(X, y)
    last = gradient_descent(X, y, lr=lr, n_steps=n_steps, beta0=start)[-1]
    limit = np.linalg.pinv(X) @ (y - X @ start) + start
    assert np.linalg.norm(last - limit) <= rounding(X, y, start)


@pytest.mark.parametrize("descend", DESCENTS)
def test_from_the_bound_on_a_step_is_refused_and_just_below_it_converges(descend):
    X, y = np.diag([1.0, 2.0]), np.ones(2)    # 2 / s_max^2 = 1/2, without rounding
    for lr in (0.5, 0.6, 0, -1, np.nan, np.inf):
        with pytest.raises(ValueError, match=rf"{descend.__name__}: lr must be "):
            descend(X, y, lr=lr, n_steps=3)
    assert np.allclose(descend(X, y, lr=0.49, n_steps=2000)[-1], [1, 0.5])


# Designs at the edge, each with its answer, and no warning (pytest turns warnings into errors).
EDGES = {
    "one sample, one feature": ([[2]], [4], [2]),
    "one sample": ([[3, 4]], [25], [3, 4]),
    "one feature": ([[1], [1], [1]], [1, 2, 6], [3]),
    "a repeated column shares its weight": ([[1, 1], [2, 2], [3, 3]], [2, 4, 6], [1, 1]),
    "a repeated sample": ([[1, 0], [1, 0]], [1, 3], [2, 0]),
    "a constant design": (np.ones((3, 3)), [3, 3, 3], [1, 1, 1]),
    "a zero design": (np.zeros((2, 3)), [1, 2], [0, 0, 0]),
    "a square design": ([[0, 2], [1, 0]], [2, 3], [3, 1]),
    "nearly singular": ([[100, 0], [0, 1e-10]], [100, 1e-10], [1, 1]),
    "singular up to rounding": ([[100, 0], [0, 1e-15]], [100, 1], [1, 0]),
    "a huge one": ([[1e200, 0], [0, 1e200]], [1e200, 2e200], [1, 2]),
    "a tiny one": ([[1e-200, 0], [0, 1e-200]], [1e-200, 2e-200], [1, 2]),
    "no samples": (np.zeros((0, 2)), [], [0, 0]),
    "no features": (np.zeros((2, 0)), [1, 2], []),
    "nothing": (np.zeros((0, 0)), [], []),
}


@pytest.mark.parametrize("X, y, expected", EDGES.values(), ids=EDGES)
def test_designs_at_the_edge(X, y, expected):
    answers = [solve(X, y) for solve in SOLVERS]
    size = np.abs(X).sum()    # at least s_max
    if not 0 < size < 1e-100 and size < 1e100:    # otherwise s^2 is no float
        answers.append(ridge(X, y, lam=0))
    if 1 <= size <= 12:
        answers += [descend(X, y, lr=1 / size ** 2, n_steps=2000)[-1] for descend in DESCENTS]
    for beta in answers:
        assert beta.shape == np.shape(expected)
        assert np.allclose(beta, expected, rtol=1e-12, atol=0 if np.any(expected) else 1e-300)


@pytest.mark.parametrize("shape", [(0, 2), (2, 0), (0, 0), (2, 3)])
@pytest.mark.parametrize("lam", [0, 1e-3, 1])
def test_without_samples_features_or_values_the_fit_is_zero(shape, lam):
    X = np.zeros(shape)
    for y in (np.ones(shape[0]), np.ones((shape[0], 2))):
        for beta in (min_norm(X, y), ridge(X, y, lam=lam)):
            np.testing.assert_array_equal(beta, np.zeros((shape[1], *y.shape[1:])), strict=True)


@pytest.mark.parametrize("shape", [(0, 2), (2, 0), (0, 0), (2, 3)])
@pytest.mark.parametrize("descend", DESCENTS)
def test_on_empty_and_zero_designs_descent_stays_where_it_starts(descend, shape):
    start = np.arange(1.0, 1 + shape[1])
    assert np.array_equal(row_space_part(np.zeros(shape), start), np.zeros(shape[1]))
    iterates = descend(np.zeros(shape), np.ones(shape[0]), lr=1, n_steps=3, beta0=start)
    assert np.array_equal(iterates, np.tile(start, (4, 1)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_dtype_of_the_data_is_that_of_the_result(dtype):
    X, y = np.eye(2, 3, dtype=dtype), np.ones(2, dtype)
    results = [least_squares(X, y), min_norm(X, y), ridge(X, y, lam=np.float64(0.1)),
               descent_filter(y, [1, 2], lr=0.5), ridge_filter(y, 1, n_samples=2),
               *(descend(X, y, lr=0.5, n_steps=2) for descend in DESCENTS)]
    assert {result.dtype for result in results} == {np.dtype(dtype)}


def test_inputs_are_not_modified():
    X, y, start = np.arange(6.0).reshape(2, 3), np.ones(2), np.ones(3)
    kept = X.copy(), y.copy(), start.copy()
    for descend in DESCENTS:
        descend(X, y, lr=0.01, n_steps=2, beta0=start)
    least_squares(X, y), min_norm(X, y), ridge(X, y, lam=1)
    assert all(map(np.array_equal, (X, y, start), kept))


@given(n=st.integers(1, 8), p=st.integers(1, 8), rng=rngs)
def test_the_normal_equations_give_the_fit_if_the_columns_are_independent(n, p, rng):
    """Their condition number is that of X squared."""
    X, y = rng.standard_normal((n + p, p)), rng.standard_normal(n + p)
    s = spectrum(X)
    tolerance = rounding(X, y) * s.max() / s.min()
    assert np.linalg.norm(ordinary_least_squares(X, y) - least_squares(X, y)) <= tolerance


@given(rng=rngs, sigma=st.floats(0, 3))
def test_the_noise_of_the_linear_model_has_its_standard_deviation(rng, sigma):
    X, beta = np.ones((1000, 2)), [1.0, 2.0]
    noise = linear_model(X, beta, sigma=sigma, rng=rng) - 3
    assert abs(noise.mean()) <= 5 * sigma / np.sqrt(1000) + 1e-12
    assert abs(noise.std() - sigma) <= 5 * sigma / np.sqrt(2000) + 1e-12


@pytest.mark.parametrize("call, message", [
    (lambda: descent_filter([2], 1, lr=0.5), r"descent_filter: lr must be below 2 / s_max\^2 = 0\.5, got 0"),
    (lambda: gradient_descent([[1]], [1], lr=1, n_steps=2, beta0=[[1]]),
     r"gradient_descent: beta0 must be array_like, shape \(p,\) or \(p, k\), or None with p = 1, no k, got shape"),
])
def test_a_step_and_a_start_that_do_not_fit_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
