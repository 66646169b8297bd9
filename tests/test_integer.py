"""The laws of integer layers: bit for bit what whole numbers of any size would give."""
from itertools import product

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from strategies import conv_settings, plain_conv, rngs
from test_fixed_point import code_of

from tinyml import Tensor, nn
from tinyml.compression.integer import IntegerConv, IntegerLinear, _exact_matmul
from tinyml.compression.integer_model import IntegerMaxPool
from tinyml.compression.quantization import QParams, choose_qparams, dequantize, quantize


@given(rng=rngs, k=st.integers(1, 2000), largest=st.sampled_from([1, 128, 255, 2 ** 15]), extreme=st.booleans())
@example(np.random.default_rng(0), 519, 255, True)
def test_a_product_of_codes_in_float32_is_exact_however_long_its_sums(rng, k, largest, extreme):
    x, w = rng.integers(-largest, largest + 1, (3, k)), rng.integers(-127, 128, (k, 2)).astype(np.int8)
    if extreme:    # all terms of a sum as large as they can be, and one that is not
        x[:2], w[:, 0] = largest, 127
        x[0, -1] = 1
    exact = x @ w.astype(np.int64)
    fits = np.abs(exact).max() < 2 ** 31
    assert not fits or (_exact_matmul(x, w, largest) == exact).all()


def reference(layer, window):
    """One output code of unit k in Python's whole numbers, from the codes that the unit sees."""
    def unit(k):
        acc = int(layer.bias[k]) + sum((int(q) - layer.zero_in) * int(w)
                                       for q, w in zip(window, layer.weight[k].ravel()))
        return code_of(acc, int(layer.multiplier[k]), int(layer.shift[k]), layer.zero_out, layer.quant_min,
                       layer.quant_max)
    return [unit(k) for k in range(len(layer.weight))]


def activations(rng):
    return choose_qparams(-rng.uniform(0, 2), rng.uniform(0, 3), bits=8, symmetric=False)


def outputs_for(y):
    return choose_qparams(y.min(), y.max(), bits=8, symmetric=False)


@settings(max_examples=25)
@given(rngs, st.integers(1, 9), st.integers(1, 4), st.booleans())
def test_a_linear_layer_is_bit_for_bit_that_of_whole_numbers(rng, n_in, n_out, bias):
    inputs, layer = activations(rng), nn.Linear(n_in, n_out, bias, rng=rng)
    codes = rng.integers(0, 256, (3, n_in)).astype(np.uint8)
    y = layer(Tensor(dequantize(codes, inputs))).data
    integer = IntegerLinear(layer, inputs, outputs_for(y))
    expected = [reference(integer, row) for row in codes.tolist()]
    for fast in (True, False):
        assert_array_equal(integer(codes, fast=fast), expected)
    assert integer.weight.dtype == np.int8 and integer.bias.dtype == np.int32


@settings(max_examples=15)
@given(rngs, st.integers(1, 3), st.integers(1, 3), st.integers(0, 2), st.integers(1, 2))
def test_a_series_is_an_image_of_one_row(rng, kernel, stride, padding, channels):
    inputs, layer = activations(rng), nn.Conv1d(channels, 2, kernel, stride, padding, rng=rng)
    codes = rng.integers(0, 256, (2, channels, 6)).astype(np.uint8)
    y = layer(Tensor(dequantize(codes, inputs)))
    wide = nn.Conv2d(channels, 2, (1, kernel), (1, stride), (0, padding), rng=rng)
    wide.weight, wide.bias = nn.Parameter(layer.weight.data[:, :, None]), layer.bias
    series, image = (IntegerConv(one, inputs, outputs_for(y.data)) for one in (layer, wide))
    for fast in (True, False):
        found = series(codes, fast=fast)
        assert found.shape == y.shape
        assert_array_equal(found, image(codes[:, :, None], fast=fast)[:, :, 0])
    assert series.macs(codes, y) == layer.macs(codes, y)
    padding = min(padding, kernel // 2)
    pool, wide = nn.MaxPool1d(kernel, stride, padding), nn.MaxPool2d((1, kernel), (1, stride), (0, padding))
    assert_array_equal(IntegerMaxPool(pool, 1)(codes), IntegerMaxPool(wide, 2)(codes[:, :, None])[:, :, 0])


@settings(max_examples=15)
@given(rngs, st.integers(1, 2), st.integers(1, 2), st.integers(0, 1), st.integers(1, 2))
def test_a_convolution_is_bit_for_bit_that_of_whole_numbers(rng, down, right, padding, channels):
    inputs, layer = activations(rng), nn.Conv2d(channels, 2, (3, 2), (down, right), padding, rng=rng)
    codes = rng.integers(0, 256, (2, channels, 5, 4)).astype(np.uint8)
    y = layer(Tensor(dequantize(codes, inputs))).data
    integer = IntegerConv(layer, inputs, outputs_for(y))
    framed = np.pad(codes, ((0, 0), (0, 0), (padding,) * 2, (padding,) * 2),
                    constant_values=int(inputs.zero_point))
    result = integer(codes, fast=False)
    assert result.shape == y.shape and (integer(codes) == result).all()
    for n, i, j in product(range(2), range(y.shape[2]), range(y.shape[3])):
        window = framed[n, :, i * down:i * down + 3, j * right:j * right + 2]
        assert_array_equal(result[n, :, i, j], reference(integer, window.ravel().tolist()))


@settings(max_examples=30)
@given(rngs, st.integers(1, 2))
def test_groups_and_dilation_have_the_codes_of_the_plain_convolution(rng, n_axes):
    """A weight of 0 has the code 0, so bit for bit."""
    conv, shape = (nn.Conv1d, nn.Conv2d)[n_axes - 1], (2, 0, 6, 7)[:2 + n_axes]
    layer = conv(**conv_settings(rng, n_axes), rng=rng)
    inputs, shape = activations(rng), (shape[0], layer.in_channels, *shape[2:])
    codes = rng.integers(0, 256, shape).astype(np.uint8)
    y = layer(Tensor(dequantize(codes, inputs)))
    small, whole = (IntegerConv(one, inputs, outputs_for(y.data)) for one in (layer, plain_conv(layer)))
    for fast in (True, False):
        found = small(codes, fast=fast)
        assert found.shape == y.shape
        assert_array_equal(found, whole(codes, fast=fast))
    assert small.macs(codes, y) == layer.macs(codes, y)


def test_sums_beyond_the_whole_numbers_of_float32_are_exact_as_well():
    """3,000 products of up to 255 x 127 reach 2^26, where float32 holds even numbers only."""
    rng = np.random.default_rng(0)
    layer = nn.Linear(3000, 50, rng=rng)
    layer.weight.data = np.abs(layer.weight.data)
    integer = IntegerLinear(layer, QParams(0.01, 0, 0, 255), QParams(1.0, 0, 0, 255))
    codes = rng.integers(200, 256, (20, 3000)).astype(np.uint8)
    sums = integer.accumulate(codes, fast=False)
    assert_array_equal(integer.accumulate(codes, fast=True), sums)
    assert (sums != sums.astype(np.float32).astype(np.int64)).any()


@settings(max_examples=25)
@given(rngs)
def test_a_code_is_within_one_of_that_of_the_real_layer(rng):
    """Real arithmetic on the same codes and integer weights: only roundings differ, the bias's among them."""
    inputs, layer = activations(rng), nn.Linear(6, 3, rng=rng)
    codes = rng.integers(0, 256, (10, 6)).astype(np.uint8)
    weights = choose_qparams(layer.weight.data.min(1, keepdims=True), layer.weight.data.max(1, keepdims=True),
                             bits=8, symmetric=True)
    W = dequantize(quantize(layer.weight.data, weights), weights, dtype=np.float64)
    y = dequantize(codes, inputs, dtype=np.float64) @ W.T + layer.bias.data
    outputs = outputs_for(y)
    difference = IntegerLinear(layer, inputs, outputs)(codes).astype(int) - quantize(y, outputs).astype(int)
    assert np.abs(difference).max() <= 1


def weighted(rows):
    """A Linear with these weights."""
    layer = nn.Linear(len(rows[0]), len(rows), rng=np.random.default_rng(0))
    layer.weight.data = np.array(rows, np.float32)
    return layer


ERRORS = {
    "IntegerLinear: a unit must have at most 33155 inputs, got 40000": (ValueError, lambda: IntegerLinear(
        nn.Linear(40000, 1, rng=np.random.default_rng(0)), QParams(1.0, 0, 0, 255), QParams(1.0, 0, 0, 255))),
    "IntegerLinear: a unit must have at most 33155 inputs, got 34000": (ValueError, lambda: IntegerLinear(
        nn.Linear(34000, 1, rng=np.random.default_rng(0)), QParams(1.0, 255, 0, 255), QParams(1.0, 0, 0, 255))),
    "IntegerLinear: outputs must have a step of at least": (ValueError, lambda: IntegerLinear(
        nn.Linear(4, 1, rng=np.random.default_rng(0)), QParams(1.0, 0, 0, 255), QParams(1e-9, 0, 0, 255))),
    "IntegerLinear: outputs must have a step of at least S1 S2 = 0.0157, got 0.01": (ValueError, lambda: IntegerLinear(
        weighted([[2.0], [0.1]]), QParams(1.0, 0, 0, 255), QParams(0.01, 0, 0, 255))),    # one unit is enough
}


@pytest.mark.parametrize("message", ERRORS)
def test_an_error_names_function_argument_requirement_and_value(message):
    kind, call = ERRORS[message]
    with pytest.raises(kind) as error:
        call()
    assert str(error.value).startswith(message)
