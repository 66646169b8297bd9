"""Laws of ridge: it minimises its objective, tends to X^+ y, and leaves samples out exactly."""
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import rngs
from test_early_stopping import PENALTIES, condition, designs, rounding
from test_min_norm import rounding as sensitivity
from test_min_norm import spectrum, targets

from tinyml import Tensor
from tinyml.interpolation.early_stopping import degrees_of_freedom
from tinyml.interpolation.min_norm import min_norm, svd
from tinyml.interpolation.ridge import (
    generalized_cross_validation,
    leave_one_out,
    ridge,
    ridge_filter,
)


@given(X=designs(), rng=rngs, lam=st.floats(1e-3, 1e3))
def test_ridge_makes_the_gradient_of_its_objective_zero(X, rng, lam):
    y = targets(rng, X)
    beta = Tensor(ridge(X, y, lam=lam), requires_grad=True)
    loss = ((X @ beta - y) ** 2).mean() + lam * (beta ** 2).sum()
    loss.backward()
    steepness = spectrum(X).max() ** 2 / len(X) + lam
    assert np.linalg.norm(beta.grad) <= 2 * steepness * sensitivity(X, y)


@given(X=designs(), rng=rngs, exponent=st.floats(-12, 3))
def test_ridge_tends_to_the_minimum_norm(X, rng, exponent):
    y, lam = targets(rng, X), 10 ** exponent
    beta = min_norm(X, y)
    shrunk = len(X) * lam / spectrum(X).min() ** 2    # 1 - s^2 / (s^2 + n lam) <= n lam / s^2
    distance = np.linalg.norm(ridge(X, y, lam=lam) - beta)
    assert distance <= min(shrunk, 1) * np.linalg.norm(beta) + sensitivity(X, y)
    assert np.array_equal(ridge(X, y, lam=0), ridge(X, y, lam=0.0))
    assert np.linalg.norm(ridge(X, y, lam=0) - beta) <= sensitivity(X, y)


@given(X=designs(), rng=rngs, lam=st.just(0.0) | st.floats(1e-3, 1e3))
def test_the_share_left_is_that_of_ridge(X, rng, lam):
    y, (U, s, Vh) = targets(rng, X), svd(X)
    written = (ridge_filter(s, lam, n_samples=len(X)) / s * (U.T @ y)) @ Vh
    assert np.linalg.norm(written - ridge(X, y, lam=lam)) <= sensitivity(X, y)


def slow_leave_one_out(X, y, lam):
    """The same by n fits: the penalty n lam is that of the n - 1 others at n lam / (n - 1)."""
    n = len(X)
    fits = [ridge(np.delete(X, i, 0), np.delete(y, i, 0), lam=n * lam / max(n - 1, 1))
            for i in range(n)]
    return np.array([y[i] - X[i] @ fit for i, fit in enumerate(fits)])


def lost_digits(X, lam):
    """How much the difference 1 - h_i >= n lam / (s_max^2 + n lam) amplifies rounding."""
    return 1 + np.linalg.norm(X) ** 2 / (len(X) * lam)


@given(designs(), rngs, st.lists(PENALTIES, max_size=3), st.sampled_from([(), (2,)]))
def test_leaving_one_out_takes_one_svd(X, rng, lams, k):
    y = rng.standard_normal((len(X), *k))
    errors = leave_one_out(X, y, lams)
    assert errors.shape == (len(lams), *y.shape)
    others = [np.delete(X, i, 0) for i in range(len(X))]
    # 1 / (1 - h_i) <= 1 + ||x_i||^2 ||X_{-i}^+||^2 multiplies the error of the residual
    worst = max(condition(rest) * max(1, 1 / svd(rest)[1].min(initial=1)) for rest in others)
    tolerance = rounding(X, y) * (worst * max(1, np.linalg.norm(X))) ** 2
    for found, lam in zip(errors, lams):
        expected = slow_leave_one_out(X, y, lam)
        assert np.abs(found - expected).max() <= tolerance * lost_digits(X, lam)


@given(designs(), rngs, st.sampled_from([(), (0,), (3,), (2, 2)]), st.sampled_from([(), (2,)]))
@pytest.mark.parametrize("score", [leave_one_out, generalized_cross_validation])
def test_many_penalties_and_targets_at_once_are_each_of_them_alone(score, X, rng, shape, k):
    lams, y = rng.uniform(0.1, 2, shape), rng.standard_normal((len(X), *k))
    together = score(X, y, lams)
    alone = [score(X, y, lam) for lam in lams.ravel()]
    rest = np.shape(y) if score is leave_one_out else k
    assert together.shape == shape + rest
    tolerance = rounding(X, y) * lost_digits(X, 0.1) ** 2 * (1 + np.abs(together).max(initial=0))
    assert np.abs(together - np.reshape(alone, shape + rest)).max(initial=0) <= tolerance
    for j in range(sum(k)):
        column = score(X, y[:, j], lams)
        assert np.abs(together[..., j] - column).max(initial=0) <= tolerance


@given(designs(), rngs, PENALTIES)
def test_generalized_cross_validation_has_no_preferred_coordinates(X, rng, lam):
    y, Q = rng.standard_normal(len(X)), np.linalg.qr(rng.standard_normal((len(X), len(X))))[0]
    score = generalized_cross_validation(X, y, lam)
    assert abs(generalized_cross_validation(Q @ X, Q @ y, lam) - score) <= (
        rounding(X, y) * lost_digits(X, lam) ** 2 * (1 + score))


@given(designs(), rngs, PENALTIES)
def test_generalized_cross_validation_weights_the_left_out_errors_by_leverage(X, rng, lam):
    n, y, (U, s, _) = len(X), rng.standard_normal(len(X)), svd(X)
    f = ridge_filter(s, lam, n_samples=n)
    weight = (1 - U ** 2 @ f) / (1 - degrees_of_freedom(f) / n)
    expected = np.mean((weight * leave_one_out(X, y, lam)) ** 2)
    assert abs(generalized_cross_validation(X, y, lam) - expected) <= (
        rounding(X, y) * lost_digits(X, lam) ** 2 * (1 + expected))


@given(st.integers(1, 6), rngs, PENALTIES)
def test_with_equal_leverages_the_two_scores_are_equal(n, rng, lam):
    row, y = rng.standard_normal(n) + 5 * np.eye(n)[0], rng.standard_normal(n)
    X = np.array([np.roll(row, i) for i in range(n)])    # circulant: all samples are alike
    assert generalized_cross_validation(X, y, lam) == pytest.approx(
        np.mean(leave_one_out(X, y, lam) ** 2), rel=rounding(X, y) * lost_digits(X, lam))


@pytest.mark.parametrize("X, y, expected", [
    ([[2]], [4], [4]),
    (np.zeros((2, 3)), [1, 2], [1, 2]),
    (np.zeros((2, 0)), [1, 2], [1, 2]),
    (np.ones((3, 1)), [0, 3, 6], [-3, 1, 5]),    # n lam = 1: a third of the others
    (np.zeros((0, 2)), [], []),
], ids=["one sample", "zeros", "no features", "constant", "no samples"])
def test_designs_at_the_edge(X, y, expected):
    errors = leave_one_out(np.asarray(X, float), y, 1 / max(len(y), 1))
    np.testing.assert_allclose(errors, expected, rtol=1e-12, atol=1e-12)
