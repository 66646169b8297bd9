"""Laws of the split of the risk into bias, variance and noise."""
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import rngs

from tinyml.interpolation.bias_variance import bias_variance, expected_risk

EPS = np.finfo(float).eps


@st.composite
def crowds(draw, max_side=6):
    """Predictions (R, n_test) or (R, n_test, k) around some centre, and a target."""
    shape = draw(st.lists(st.integers(1, max_side), min_size=2, max_size=3))
    rng, offset = draw(rngs), draw(st.floats(-100, 100))
    predictions = offset + draw(st.floats(0, 10)) * rng.standard_normal(shape)
    return predictions, rng.standard_normal(shape[1:])


def risk(predictions, target):
    """Mean over sets and points of the squared distance, over all outputs."""
    return ((predictions - target) ** 2).reshape(*predictions.shape[:2], -1).sum(axis=2).mean()


@given(crowds())
def test_the_mean_squared_error_is_bias2_plus_variance_exactly(crowd):
    bias2, variance = bias_variance(*crowd)
    # A centre that is off by eps |predictions| moves each part by eps predictions^2; then the sums.
    size = np.square(crowd[0]).max() + np.square(crowd[1]).max()
    assert abs(risk(*crowd) - (bias2 + variance)) <= 100 * crowd[0].size * EPS * size
    assert bias2 >= 0 and variance >= 0


def test_the_identity_holds_to_1e_10_where_the_variance_explodes():
    predictions = np.random.default_rng(0).standard_cauchy((300, 50))
    parts = bias_variance(predictions, np.zeros(50))
    assert abs(sum(parts) / risk(predictions, 0) - 1) < 1e-10


def test_far_from_zero_both_parts_keep_their_digits():
    """Whole numbers around 2^40, whose squares no float holds: neither part is a difference of two large ones."""
    far = 2.0 ** 40
    assert bias_variance(far + np.array([[1, 2], [3, 2]]), far + np.array([2, 4])) == (2.0, 0.5)
    assert bias_variance([[far, 0], [-far, 0]], [0, 1]) == (0.5, far ** 2 / 2)


@given(rng=rngs, R=st.integers(1, 3), population=st.integers(1, 3), n_test=st.integers(1, 3))
def test_the_estimates_are_off_by_a_share_of_one_in_R(rng, R, population, n_test):
    """Every sample of R from a population of predictors: the expectation, without chance."""
    predictors, target = rng.standard_normal((population, n_test)), rng.standard_normal(n_test)
    true_bias2, true_variance = bias_variance(predictors, target)
    samples = product(predictors, repeat=R)
    bias2, variance = np.mean([bias_variance(sample, target) for sample in samples], axis=0)
    assert bias2 == pytest.approx(true_bias2 + true_variance / R, rel=1e-12, abs=1e-14)
    assert variance == pytest.approx(true_variance * (1 - 1 / R), rel=1e-12, abs=1e-14)


@given(rng=rngs, R=st.integers(1, 4), n_test=st.integers(1, 4), sigma=st.floats(0, 3))
def test_noise_in_the_test_data_adds_its_variance(rng, R, n_test, sigma):
    """Noise of +sigma or -sigma, every pattern once: the expectation without chance."""
    predictions, target = rng.standard_normal((R, n_test)), rng.standard_normal(n_test)
    patterns = sigma * np.array(list(product([-1, 1], repeat=n_test)))
    measured = np.mean([risk(predictions, target + noise) for noise in patterns])
    assert measured == pytest.approx(expected_risk(predictions, target, sigma2=sigma**2), rel=1e-12)


@given(crowds(), rngs, st.floats(-10, 10))
def test_order_shift_and_unit_do_not_matter(crowd, rng, c):
    predictions, target = crowd
    parts = np.array(bias_variance(predictions, target))
    size = 1 + np.square(predictions).max() + np.square(target).max() + c * c
    close = dict(rtol=1e-12, atol=1000 * predictions.size * EPS * size)
    assert np.allclose(bias_variance(rng.permutation(predictions), target), parts, **close)
    points = rng.permutation(len(target))
    assert np.allclose(bias_variance(predictions[:, points], target[points]), parts, **close)
    assert np.allclose(bias_variance(predictions + c, target + c), parts, **close)
    scaled = dict(rtol=1e-12, atol=close["atol"] * c * c + 1e-300)    # a square may underflow
    assert np.allclose(bias_variance(c * predictions, c * target), c * c * parts, **scaled)


@given(crowds())
def test_outputs_are_summed_and_points_averaged(crowd):
    predictions, target = crowd
    if predictions.ndim == 3:
        each = [bias_variance(predictions[..., j], target[:, j]) for j in range(target.shape[1])]
        assert bias_variance(*crowd) == pytest.approx(np.sum(each, axis=0), rel=1e-12, abs=1e-12)
    each = [bias_variance(predictions[:, [i]], target[[i]]) for i in range(len(target))]
    assert bias_variance(*crowd) == pytest.approx(np.mean(each, axis=0), rel=1e-12, abs=1e-12)


@given(crowds())
def test_the_variance_does_not_know_the_truth_and_a_perfect_crowd_has_no_bias(crowd):
    predictions, target = crowd
    variance = bias_variance(predictions, target).variance
    assert bias_variance(predictions, 0 * target).variance == variance
    rounding = len(predictions) * EPS * np.abs(predictions).max(initial=0)    # of a mean
    assert bias_variance(predictions, predictions.mean(axis=0)).bias2 <= target.size * rounding ** 2


@given(crowds(), st.integers(1, 5))
def test_one_predictor_repeated_has_no_variance(crowd, R):
    one, target = crowd[0][0], crowd[1]
    bias2, variance = bias_variance([one] * R, target)
    assert bias2 == pytest.approx(risk(one[None], target), rel=1e-12, abs=1e-12)
    assert variance <= 10 * (EPS * np.abs(one).max()) ** 2 * one.size    # of rounding the mean
    assert bias_variance([one], target).variance == 0


def test_least_squares_on_fixed_inputs_has_variance_sigma2_p_over_n():
    rng = np.random.default_rng(0)
    R, n, p, sigma = 4000, 20, 5, 0.7
    X = rng.standard_normal((n, p))
    truth = X @ rng.standard_normal(p)
    hat = X @ np.linalg.pinv(X)    # the fit at the training inputs is hat @ y
    bias2, variance = bias_variance((truth + sigma * rng.standard_normal((R, n))) @ hat.T, truth)
    # Their squares sum to sigma^2 times a chi^2 with (R - 1) p and with p degrees of freedom.
    spread = np.sqrt(2 / ((R - 1) * p))
    assert variance == pytest.approx(sigma**2 * p / n * (1 - 1 / R), rel=5 * spread)
    assert bias2 <= sigma**2 / (n * R) * (p + 5 * np.sqrt(2 * p) + 25)


@given(crowds(), st.floats(0, 9))
def test_the_expected_risk_is_the_sum_of_the_three_parts(crowd, sigma2):
    assert expected_risk(*crowd, sigma2=sigma2) == pytest.approx(sum(bias_variance(*crowd)) + sigma2, rel=1e-15)


def test_any_real_dtype_is_welcome_and_inputs_are_kept():
    for dtype in (np.float32, np.int64, bool):
        predictions, target = np.eye(3, dtype=dtype), np.ones(3, dtype)
        kept = predictions.copy()
        bias2, variance = bias_variance(predictions, target)
        assert (bias2, variance) == pytest.approx((4 / 9, 2 / 9), rel=1e-12)
        assert type(bias2) is type(variance) is float and np.array_equal(predictions, kept)
