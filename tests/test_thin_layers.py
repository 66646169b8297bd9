"""Laws of thin layers: two of them compute what one with the product of their weights computes."""
import re
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from strategies import rngs
from test_low_rank import sizes, squared

from tinyml import Tensor, nn
from tinyml.compression.low_rank import break_even
from tinyml.compression.report import macs
from tinyml.compression.thin_layers import factorize_conv, factorize_conv1d, factorize_linear


def warned(make, expected):
    """What `make` returns; it must warn just where two factors are as much work as the whole, or more."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        made = make()
    assert [str(w.message).partition(": ")[2][:14] for w in caught] == ["rank must be <"] * expected
    return made


@pytest.mark.parametrize("cut, layer", [(factorize_linear, nn.Linear(2, 2, rng=np.random.default_rng(0))),
                                        (factorize_conv, nn.Conv2d(2, 2, 1, rng=np.random.default_rng(0))),
                                        (factorize_conv1d, nn.Conv1d(2, 2, 1, rng=np.random.default_rng(0)))])
def test_a_warning_points_to_the_line_of_the_caller(cut, layer):
    with pytest.warns(UserWarning, match="rank must be <") as caught:
        cut(layer, 2)
    assert [w.filename for w in caught] == [__file__]


@settings(max_examples=20)
@given(rngs, sizes, sizes, st.booleans(), st.data())
def test_two_linear_layers_compute_the_product(rng, n_in, n_out, bias, data):
    layer, rank = nn.Linear(n_in, n_out, bias, rng=rng), data.draw(st.integers(1, min(n_in, n_out)))
    pair = warned(lambda: factorize_linear(layer, rank), rank >= break_even(n_in, n_out))
    x = rng.standard_normal((4, n_in)).astype(np.float32)
    W = pair[1].weight.data @ pair[0].weight.data
    expected = x @ W.T + (layer.bias.data if bias else 0)
    assert_allclose(pair(Tensor(x)).data, expected, atol=1e-5)
    assert macs(pair, x) == rank * (n_in + n_out)
    assert repr(pair[0]).startswith(f"Linear({n_in}, {rank}, bias=False)") and pair[0].bias is None
    assert layer.weight.shape == (n_out, n_in) and {p.dtype for p in pair.parameters()} == {np.dtype("f4")}


def pair_of(number):
    """A stride or padding for both axes, as a number stands for two."""
    return (number, number) if isinstance(number, int) else number


@settings(max_examples=80)    # the layout of the factors shows only where rank and width are above 1
@given(rngs, st.sampled_from(["separable", "channel"]), st.integers(1, 3), st.integers(1, 3),
       st.tuples(st.integers(1, 3), st.integers(1, 3)), st.tuples(st.integers(1, 2), st.integers(1, 3)),
       st.tuples(st.integers(1, 2), st.integers(1, 2)), st.data())
def test_two_convolutions_compute_the_reconstructed_one(rng, method, C, O, kernel, stride, dilation, data):
    padding = [0, 1, "same"][rng.integers(3)]
    stride = (1, 1) if padding == "same" else stride
    layer = nn.Conv2d(C, O, kernel, stride, padding, dilation, rng=rng)
    kh, kw = kernel
    most = min(C * kh, O * kw) if method == "separable" else min(O, C * kh * kw)
    rank = data.draw(st.integers(1, most))
    sides = (C * kh, O * kw) if method == "separable" else (O, C * kh * kw)
    pair = warned(lambda: factorize_conv(layer, rank, method=method), rank >= break_even(*sides))
    (sh, sw), p = stride, padding
    down, across, both = (p, p, p) if p == "same" else ((p, 0), (0, p), (p, p))
    assert [(pair_of(m.stride), pair_of(m.padding)) for m in pair] == (
        [((sh, 1), down), ((1, sw), across)] if method == "separable" else [((sh, sw), both), ((1, 1), (0, 0))])
    assert pair[0].bias is None and layer.bias is not pair[1].bias
    with pytest.raises(ValueError):
        factorize_conv(layer, rank, method="diagonal")
    first, second = (m.weight.data for m in pair)
    W = (np.einsum("rci,orj->ocij", first[..., 0], second[:, :, 0]) if method == "separable"
         else np.einsum("rcij,or->ocij", first, second[..., 0, 0]))
    whole = nn.Conv2d(C, O, kernel, stride, padding, dilation, rng=rng)
    whole.weight.data, whole.bias.data = W.astype(np.float32), layer.bias.data
    x = Tensor(rng.standard_normal((2, C, 6, 7)).astype(np.float32))
    assert_allclose(pair(x).data, whole(x).data, atol=1e-5)
    if rank == most:
        assert_allclose(W, layer.weight.data, atol=1e-5)
    matrix = (layer.weight.data.transpose(1, 2, 0, 3).reshape(C * kh, O * kw) if method == "separable"
              else layer.weight.data.reshape(O, -1))
    s = np.linalg.svd(matrix, compute_uv=False)
    assert_allclose(squared(W - layer.weight.data), squared(s[rank:]), atol=1e-5 * squared(s))


@given(rngs, sizes, sizes, st.integers(1, 4), st.integers(1, 3), st.sampled_from([0, 1, 2, 3, "same"]), st.integers(1, 2))
def test_a_series_convolution_of_full_rank_is_the_same(rng, C, O, k, stride, padding, dilation):
    stride, n = 1 if padding == "same" else stride, min(O, C * k)
    layer = nn.Conv1d(C, O, k, stride, padding, dilation, bias=bool(rng.integers(2)), rng=rng)
    x = Tensor(rng.standard_normal((2, C, 9)).astype(np.float32))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pair = factorize_conv1d(layer, n)
    assert_allclose(pair(x).data, layer(x).data, atol=1e-4)
    assert [p.shape for p in pair[0].parameters()] == [(n, C, k)]
    y = layer(x)
    assert macs(pair, x.data) == y.shape[2] * n * (C * k + O)
    rank = int(rng.integers(1, n + 1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pair = factorize_conv1d(layer, rank)
    s = np.linalg.svd(layer.weight.data.reshape(O, -1).astype(float), compute_uv=False)
    cut = np.einsum("or,rck->ock", pair[1].weight.data[:, :, 0], pair[0].weight.data)
    assert_allclose(squared(cut - layer.weight.data), (s[rank:] ** 2).sum(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("message, call", [
    ("factorize_conv: layer must have groups=1, got groups=2",
     lambda: factorize_conv(nn.Conv2d(2, 2, 3, groups=2, rng=np.random.default_rng(0)), 1)),
    ("factorize_conv1d: layer must have groups=1, got groups=2",
     lambda: factorize_conv1d(nn.Conv1d(2, 2, 3, groups=2, rng=np.random.default_rng(0)), 1)),
    ("truncated_svd: rank must be int in 1..min(m, n) with m = 20, n = 30, got 21",
     lambda: factorize_linear(nn.Linear(30, 20, rng=np.random.default_rng(0)), 21))])
def test_an_error_names_function_argument_requirement_and_value(message, call):
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        call()
