"""The laws of ternary weights: no other zeros, signs, scales or thresholds are nearer."""
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from strategies import rngs
from test_binary import filters, least, rounding, sizes, squared

from tinyml import Tensor, nn, ops
from tinyml.compression.binary import binarize
from tinyml.compression.ternary import (
    TernaryWeight,
    best_threshold,
    ternarize,
    ternary_ste,
    ternary_threshold,
)


@given(rngs, sizes, sizes)
def test_no_other_zeros_and_signs_with_a_scale_are_nearer_than_those_of_the_best_threshold(rng, m, n):
    W = filters(rng, m, n)
    error = squared(W, *ternarize(W, best_threshold(W)))
    assert (error <= least(W, [-1, 0, 1]) + rounding(W)).all()
    assert (error <= squared(W, *binarize(W)) + rounding(W)).all()


@settings(max_examples=30)
@given(rngs, sizes, st.integers(1, 40))
def test_no_other_threshold_has_a_smaller_error(rng, m, n):
    W = filters(rng, m, n)
    delta = best_threshold(W)
    assert all(d == 0 or d in row for d, row in zip(delta.ravel(), np.abs(W)))
    error = squared(W, *ternarize(W, delta))
    for i in range(n):
        other = np.abs(W[:, i:i + 1])
        for some in (other, other / 2, ternary_threshold(W)):
            assert (error <= squared(W, *ternarize(W, some)) + rounding(W)).all()


@given(rngs, sizes, sizes)
def test_the_scale_of_ternary_codes_is_the_least_squares_one(rng, m, n):
    W, delta = filters(rng, m, n), np.abs(filters(rng, m, 1))
    t, alpha = ternarize(W, delta)
    assert_array_equal(t, np.where(np.abs(W) > delta, np.sign(W), 0))
    for w, codes, a in zip(W, t.astype(float), alpha.ravel()):
        best = np.linalg.lstsq(codes[:, None], w, rcond=None)[0].item() if codes.any() else 0
        assert_allclose(a, best, rtol=1e-12)


@settings(max_examples=30)
@given(rngs, sizes, sizes, st.integers(1, 3))
def test_a_filter_with_more_axes_is_a_list_of_weights(rng, m, n, k):
    flat = filters(rng, m, n * k)
    W = flat.reshape(m, n, k, 1)
    delta = best_threshold(W)
    assert delta.shape == ternary_threshold(W).shape == (m, 1, 1, 1)
    assert_allclose(delta.ravel(), best_threshold(flat).ravel(), rtol=1e-12)
    assert_allclose(ternary_threshold(W).ravel(), ternary_threshold(flat).ravel(), rtol=1e-12)
    some = np.median(np.abs(flat), axis=1)
    t, alpha = ternarize(W, some.reshape(m, 1, 1, 1))
    expected, scale = ternarize(flat, some[:, None])
    assert_array_equal(t, expected.reshape(W.shape))
    assert alpha.shape == (m, 1, 1, 1)
    assert_allclose(alpha.ravel(), scale.ravel(), rtol=1e-12)


@given(rngs, sizes, sizes)
def test_the_rule_takes_seven_tenths_of_the_mean_magnitude(rng, m, n):
    W = filters(rng, m, n)
    assert_allclose(ternary_threshold(W)[:, 0], 0.7 * np.abs(W).sum(axis=1) / n, rtol=1e-14)


def test_for_uniform_weights_the_rule_is_nearly_the_best():
    """There the best threshold is a third of the largest weight, 2/3 of the mean magnitude."""
    W = np.linspace(-1, 1, 100_001)[None]
    assert_allclose(best_threshold(W), 1 / 3, atol=1e-4)
    error = [squared(W, *ternarize(W, delta(W))).item() for delta in (best_threshold, ternary_threshold)]
    assert error[0] < error[1] < 1.01 * error[0]


@given(rngs, sizes, sizes)
def test_a_ternary_weight_has_the_threshold_that_it_is_asked_for(rng, m, n):
    W = filters(rng, m, n)
    for best, choose in ((False, ternary_threshold), (True, best_threshold)):
        one = TernaryWeight(nn.Parameter(W), best=best)
        assert_array_equal(one.delta(), choose(W))
        t, alpha = ternarize(W, choose(W))
        assert_array_equal(one().data, alpha * t)


@given(rngs)
def test_without_a_threshold_a_ternary_step_is_the_sign(rng):
    w = rng.uniform(-2, 2, (3, 4))
    for step in (ops.sign_ste, lambda x: ternary_ste(x, delta=0)):
        x = Tensor(w, requires_grad=True)
        y = step(x)
        y.backward(w + 3)
        assert_array_equal(y.data, np.sign(w))
        assert_array_equal(x.grad, np.where(np.abs(w) <= 1, w + 3, 0))
