"""The laws of separable filters: which convolutions are separable, and which are the nearest."""
import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from strategies import conv_settings, rngs
from test_compact import few, full, images, kernels, squared

from tinyml import Tensor, nn
from tinyml.compression.report import macs
from tinyml.compression.separable import (
    compose,
    make_separable,
    separable_energy,
    separate,
    separate_conv,
)


@settings(max_examples=30)
@given(rngs, few, few, kernels, kernels, st.data())
def test_the_error_is_that_of_the_singular_values_left_out(rng, O, C, kh, kw, data):
    W = rng.standard_normal((O, C, kh, kw))
    m = data.draw(st.integers(1, min(O, kh * kw)))
    depthwise, pointwise = separate(W, multiplier=m)
    assert depthwise.shape == (C * m, 1, kh, kw) and pointwise.shape == (O, C * m, 1, 1)
    near, tail = compose(depthwise, pointwise, n_in=C), 0
    for c in range(C):
        s = np.linalg.svd(W[:, c].reshape(O, -1), compute_uv=False)
        tail += squared(s[m:])
        assert_allclose(squared(near[:, c] - W[:, c]), squared(s[m:]), atol=1e-12 * squared(W))
        both = pointwise[:, c * m:(c + 1) * m], depthwise[c * m:(c + 1) * m]
        assert_allclose(*(squared(one) for one in both), rtol=1e-9)    # each has a root of the singular values
    assert_allclose(separable_energy(W, multiplier=m), 1 - tail / squared(W), atol=1e-12)
    if m == min(O, kh * kw):
        assert_allclose(near, W, atol=1e-12)


@given(rngs, few, few, kernels, kernels, few)
def test_filters_of_rank_m_in_each_channel_are_separable_exactly(rng, O, C, kh, kw, m):
    m = min(m, O, kh * kw)
    W = compose(rng.standard_normal((C * m, 1, kh, kw)), rng.standard_normal((O, C * m, 1, 1)), n_in=C)
    assert max(np.linalg.matrix_rank(W[:, c].reshape(O, -1)) for c in range(C)) <= m
    assert_allclose(compose(*separate(W, multiplier=m), n_in=C), W, atol=1e-12 * np.abs(W).max())
    assert_allclose(separable_energy(W, multiplier=m), 1)


@settings(max_examples=25)
@given(rngs, few, few, kernels, st.data())
def test_no_other_separable_filters_are_nearer(rng, O, C, K, data):
    W = rng.standard_normal((O, C, K, K))
    m = data.draw(st.integers(1, min(O, K * K)))
    D, P = separate(W, multiplier=m)
    least = squared(compose(D, P, n_in=C) - W)
    for step in (1e-3, 0.1, 1, 10):
        for _ in range(3):
            other = D + step * rng.standard_normal(D.shape), P + step * rng.standard_normal(P.shape)
            assert squared(compose(*other, n_in=C) - W) >= least - 1e-12 * squared(W)
    # given the filters D, the best P is a least-squares solution: none is better than the found one
    for c in range(C):
        basis = D[c * m:(c + 1) * m].reshape(m, -1).T
        rest = np.linalg.lstsq(basis, W[:, c].reshape(O, -1).T, rcond=None)[1]
        if rest.size:
            assert_allclose(rest.sum(), squared(compose(D, P, n_in=C)[:, c] - W[:, c]), atol=1e-9)


@given(rngs, few, few, kernels)
def test_the_composed_filter_is_a_number_times_the_filter_of_its_channel(rng, O, C, K):
    D, P = rng.standard_normal((C, 1, K, K)), rng.standard_normal((O, C, 1, 1))
    W = compose(D, P, n_in=C)
    for o in range(O):
        for c in range(C):
            assert_allclose(W[o, c], P[o, c, 0, 0] * D[c, 0], rtol=1e-14)


@settings(max_examples=25)
@given(rngs, few, st.booleans())
def test_two_convolutions_compute_the_composed_one_whatever_stride_padding_and_dilation(rng, m, bias):
    options = conv_settings(rng) | dict(groups=1)
    layer = nn.Conv2d(**options, bias=bias, rng=rng).eval()
    layer.weight.requires_grad = False
    O, C, kh, kw = layer.weight.shape
    m = min(m, O, kh * kw)
    cheaper = m * (O + kh * kw) < O * kh * kw
    if cheaper:
        pair = separate_conv(layer, multiplier=m)
    else:
        with pytest.warns(UserWarning, match="^separate_conv: multiplier must be < .* to save mult"):
            pair = separate_conv(layer, multiplier=m)
    first, second = pair
    assert (first.groups, first.out_channels, second.in_channels, second.kernel_size) == (C, C * m, C * m, (1, 1))
    assert_array_equal(first.stride, layer.stride)
    assert_array_equal(second.stride, 1)    # otherwise the first computes pixels that nobody reads
    assert first.bias is None and (second.bias is None or second.bias is not layer.bias)
    assert not any(p.requires_grad for p in (first.weight, second.weight)) and layer.weight.shape == (O, C, kh, kw)
    whole = copy.copy(layer)
    whole.weight = nn.Parameter(compose(first.weight.data, second.weight.data, n_in=C))
    x = Tensor(images(rng, 2, C, 8))
    y, expected = pair(x), whole(x)
    assert y.dtype == np.float32 and y.shape == layer(x).shape
    assert_allclose(y.data, expected.data, atol=1e-5)
    if m == min(O, kh * kw):
        assert_allclose(y.data, layer(x).data, atol=1e-5)


def test_what_becomes_of_each_layer_of_a_model():
    """One input channel, 1 x 1 filters and the last layer stay; groups and others are named as well."""
    rng = np.random.default_rng(0)
    model = full(rng)
    small = make_separable(model)
    assert [type(layer).__name__ for layer in small] == ["Conv2d", "ReLU", "Sequential", "ReLU", "Conv2d", "Flatten", "Linear"]
    assert macs(small, images(rng, 1, 1)) < macs(model, images(rng, 1, 1))
    assert_array_equal(small[2][0].weight.data, separate(model[2].weight.data)[0])
    with pytest.raises(ValueError, match="^make_separable: model must have .* 0.weight is filters for one channel; 2.w"):
        make_separable(model, multiplier=5)    # 5 (9 + 8) > 9 * 8
    odd = nn.Sequential(nn.Conv2d(2, 4, 3, groups=2, rng=rng), nn.Conv2d(4, 9, 3, rng=rng), nn.Flatten(),
                        nn.Linear(36, 4, rng=rng), nn.Linear(4, 2, rng=rng))
    with pytest.warns(UserWarning, match=r"^make_separable: left as they are: 0.weight \(filters in 2 groups\); 3.weight "
                                         r"\(no weight of a Conv2d\)$"):
        small = make_separable(odd)
    assert type(small[1]) is nn.Sequential and small(Tensor(images(rng, 2, 2))).shape == (2, 2)
    twice = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1, rng=rng))
    twice = make_separable(nn.Sequential(twice[0], nn.ReLU(), twice[0], nn.Flatten(), nn.Linear(144, 2, rng=rng)))
    assert twice[0] is twice[2] and type(twice[0]) is nn.Sequential


def test_a_model_is_copied():
    model = full(np.random.default_rng(0))
    again = copy.deepcopy(model)
    small = make_separable(model)
    small[2][1].weight.data[:] = 7
    assert all((a.data == b.data).all() for a, b in zip(model.parameters(), again.parameters()))


RNG = np.random.default_rng(0)
ERRORS = {
    "separate: multiplier must be int in 1..min(O, kh * kw) with O = 2, kh = 3, kw = 3, got 3":
        lambda: separate(np.ones((2, 4, 3, 3)), multiplier=3),
    "separate: weight must be array_like, shape (O, C, kh, kw), not empty": lambda: separate(np.ones((2, 3, 3))),
    "separable_energy: weight must be array_like, shape (O, C, kh, kw), not empty, not zero":
        lambda: separable_energy(np.zeros((2, 4, 3, 3))),
    "compose: n_in must divide the 3 depthwise filters, got 2": lambda: compose(np.ones((3, 1, 1, 1)), np.ones((2, 3, 1, 1)), n_in=2),
    "separate_conv: layer must have groups=1, got groups=2": lambda: separate_conv(nn.Conv2d(2, 2, 3, groups=2, rng=RNG)),
    "make_separable: model must have a weight, a parameter with two or more axes, got Linear without; weight is the "
    "last layer": lambda: make_separable(nn.Linear(2, 2, rng=RNG)),
}


@pytest.mark.parametrize("message", ERRORS)
def test_an_error_names_function_argument_requirement_and_value(message):
    with pytest.raises(ValueError) as error:
        ERRORS[message]()
    assert str(error.value).startswith(message)
