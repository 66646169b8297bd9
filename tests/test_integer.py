"""The laws of integer inference: bit for bit what whole numbers of any size would give."""
import copy
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from strategies import rngs

from tinyml import Tensor, nn
from tinyml.compression.integer import (
    IntegerConv,
    IntegerFlatten,
    IntegerLinear,
    IntegerMaxPool,
    IntegerModel,
    _exact_matmul,
    quantize_multiplier,
    requantize,
    rounding_doubling_high_mul,
    rounding_right_shift,
)
from tinyml.compression.observers import MinMaxObserver, MovingAverageObserver, PercentileObserver
from tinyml.compression.quantization import (
    QParams,
    choose_qparams,
    dequantize,
    quantize,
    quantize_weights,
)
from tinyml.nn.skeleton import describe, rebuild

int32s = st.integers(-2 ** 31, 2 ** 31 - 1)


def as32(*values):
    return [np.array(v, np.int32) for v in values]


def nearest(x, up):
    """The integer nearest to a Fraction; a half goes up, or away from 0."""
    low = x.numerator // x.denominator
    if x - low != Fraction(1, 2):
        return low if x - low < Fraction(1, 2) else low + 1
    return low + 1 if up or low >= 0 else low


# ------------------------------------------------------------ fixed point

@given(int32s, int32s)
@example(-2 ** 31, -2 ** 31)
@example(-2 ** 30, 1)
def test_the_high_half_of_a_doubled_product_is_the_rounded_fraction(a, b):
    exact = nearest(Fraction(a * b, 2 ** 31), up=True)
    assert rounding_doubling_high_mul(*as32(a, b)) == min(exact, 2 ** 31 - 1)


@given(st.lists(st.integers(2 ** 28, 2 ** 30 - 1), min_size=1, max_size=5), st.integers(-2, 2))
def test_large_products_next_to_a_half_are_rounded_as_whole_numbers_are(halves, off):
    """a b = 2^30 + off modulo 2^31, of up to 62 bits: in float64 some of them look like a half."""
    b = [sign * (2 * half + 1) for half in halves for sign in (1, -1)]
    a = [(2 ** 30 + off) * pow(k, -1, 2 ** 31) % 2 ** 31 for k in b]
    exact = [nearest(Fraction(x * y, 2 ** 31), up=True) for x, y in zip(a, b)]
    assert_array_equal(rounding_doubling_high_mul(*as32(a, b)), np.array(exact, np.int32), strict=True)
    column = rounding_doubling_high_mul(np.reshape(as32(a), (-1, 1)), *as32(b))    # they broadcast
    assert_array_equal(np.diag(column), exact)


@given(int32s, st.integers(0, 40))
@example(-3, 1)
@example(-2 ** 31, 31)
def test_a_right_shift_rounds_half_away_from_zero(x, shift):
    assert rounding_right_shift(as32(x)[0], shift) == nearest(Fraction(x, 2 ** shift), up=False)


@given(st.floats(2.0 ** -31, 1, exclude_min=True) | st.floats(0, 1, exclude_min=True))
@example(1.0)
@example(2.0 ** -40)
@example(np.nextafter(1.0, 0))
@example(np.nextafter(0.5, 0))
def test_a_multiplier_has_31_bits(M):
    M0, shift = quantize_multiplier(M)
    assert 2 ** 30 <= M0 <= 2 ** 31 - 1 and shift >= 0 and M0.dtype == shift.dtype == np.int32
    unit = Fraction(1, 2 ** 31 << int(shift))    # rounded to the nearest; only the largest M0 may be a unit off
    assert abs(int(M0) * unit - Fraction(M)) <= (unit if M0 == 2 ** 31 - 1 else unit / 2)


@given(st.lists(st.floats(2.0 ** -40, 1) | st.just(1.0), max_size=6))
def test_multipliers_of_an_array_are_those_of_its_entries(multipliers):
    column = np.reshape(multipliers, (-1, 1))
    for found, one in zip(quantize_multiplier(column), (0, 1)):
        each = [[quantize_multiplier(M)[one]] for M in multipliers]
        assert_array_equal(found, np.reshape(np.array(each, np.int32), column.shape), strict=True)


@given(int32s, st.floats(1e-8, 1))
def test_multiplying_is_within_one_of_the_real_product(x, M):
    """Half from each rounding, and |x| 2^-30 M <= 2 from M0 only where |x M| is beyond any code."""
    M0, shift = quantize_multiplier(M)
    x = max(min(x, 2 ** 20), -2 ** 20)
    y = requantize(as32(x)[0], M0, shift, zero_point=0, quant_min=-2 ** 31, quant_max=2 ** 31 - 1)
    assert abs(int(y) - x * M) <= 1 + 1e-3 and y.dtype == np.int32
    byte = requantize(as32(x)[0], M0, shift, zero_point=7, quant_min=0, quant_max=255)
    assert byte == min(max(int(y) + 7, 0), 255) and byte.dtype == np.uint8


@settings(max_examples=settings().max_examples * 2)
@given(st.lists(int32s | st.sampled_from([-2 ** 31, 2 ** 31 - 1]), min_size=1, max_size=5),
       st.lists(st.tuples(st.integers(2 ** 30, 2 ** 31 - 1) | st.sampled_from([2 ** 30, 2 ** 31 - 1]),
                          st.integers(0, 34)), min_size=1, max_size=3),
       st.integers(-128, 255), st.sampled_from([(0, 255), (-128, 127), (0, 15), (-2 ** 31, 2 ** 31 - 1)]))
@example([2 ** 31 - 1, -2 ** 31], [(2 ** 31 - 1, 0)], 128, (0, 255))    # plus Z it is no int32
@example([-2 ** 31, -2 ** 31 + 1], [(2 ** 31 - 1, 0)], -9, (-128, 127))
@example([1, 3, 5, -1, -3, -5], [(2 ** 30, 0), (2 ** 30, 1)], 0, (-128, 127))    # halves
def test_codes_of_an_output_are_bit_for_bit_those_of_whole_numbers(sums, multipliers, zero, limits):
    M0, shift = np.array(multipliers, np.int32).T[..., None]
    codes = requantize(*as32(sums), M0, shift, zero_point=zero, quant_min=limits[0], quant_max=limits[1])
    expected = [[code_of(acc, M, n, zero, *limits) for acc in sums] for M, n in multipliers]
    kind = {(0, 255): np.uint8, (-128, 127): np.int8, (0, 15): np.uint8}.get(limits, np.int32)
    assert_array_equal(codes, np.array(expected).astype(kind), strict=True)


# ------------------------------------------------------------ layers against whole numbers

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


def code_of(acc, M0, shift, zero, low, high):
    """The code of a sum in Python's whole numbers."""
    high_half = min(nearest(Fraction(acc * M0, 2 ** 31), up=True), 2 ** 31 - 1)
    return min(max(nearest(Fraction(high_half, 2 ** shift), up=False) + zero, low), high)


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


def whole_numbers(layer, image):
    """A layer on one image, lists of lists of Python's whole numbers, or on one list of them."""
    if isinstance(layer, IntegerLinear):
        return reference(layer, image)
    if isinstance(layer, IntegerFlatten):
        return [code for plane in image for row in plane for code in row]
    (kh, kw) = getattr(layer, "kernel_size", layer.weight.shape[2:] if hasattr(layer, "weight") else None)
    (ph, pw), (sh, sw) = layer.padding, layer.stride
    frame = getattr(layer, "zero_in", 0)    # of pooling: no code is smaller than 0
    framed = [[[frame] * (len(p[0]) + 2 * pw)] * ph + [[frame] * pw + row + [frame] * pw for row in p]
              + [[frame] * (len(p[0]) + 2 * pw)] * ph for p in image]
    rows, columns = (range(0, len(framed[0]) - kh + 1, sh), range(0, len(framed[0][0]) - kw + 1, sw))

    def window(plane, i, j):
        return [code for row in plane[i:i + kh] for code in row[j:j + kw]]

    if isinstance(layer, IntegerMaxPool):
        return [[[max(window(p, i, j)) for j in columns] for i in rows] for p in framed]
    codes = [[reference(layer, [code for p in framed for code in window(p, i, j)]) for j in columns]
             for i in rows]
    return [[[cell[k] for cell in row] for row in codes] for k in range(len(layer.weight))]


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


@settings(max_examples=5)
@given(rngs)
def test_series_and_single_layers_become_integers(rng):
    model = nn.Sequential(nn.Sequential(nn.Conv1d(2, 6, 3, padding=1, rng=rng), nn.BatchNorm1d(6), nn.ReLU()),
                          nn.MaxPool1d(2), nn.Flatten(), nn.Linear(24, 3, rng=rng)).eval()
    X = rng.standard_normal((100, 2, 8)).astype(np.float32)
    for one, x in ((model, X), (model[0][0], X), (model[3], X.reshape(-1, 1, 16)[:, :, :1] * np.ones(24, "f4"))):
        real = one(Tensor(x)).data
        small = IntegerModel.from_float(one, x)
        assert np.abs(small(Tensor(x)).data - real).max() < 0.06 * np.ptp(real)


@pytest.mark.parametrize("make", ["cnn", "mlp"])
@settings(max_examples=5)
@given(rng=rngs)
def test_a_whole_model_is_bit_for_bit_that_of_whole_numbers(make, rng):
    model, shape = (cnn(rng), (6, 1, 6, 6)) if make == "cnn" else (mlp(rng), (6, 36))
    model[0].weight.data = model[0].weight.data * (rng.random(model[0].weight.shape) < 0.7)    # pruned as well
    awake(model)
    X = rng.standard_normal(shape).astype(np.float32)
    integer = IntegerModel.from_float(model, X)
    codes = integer.quantize_input(2 * X[:2])    # some beyond the calibrated range
    expected = codes.tolist()
    for layer in integer.layers:
        expected = [whole_numbers(layer, image) for image in expected]
    assert_array_equal(integer.codes(codes, fast=False), expected)
    assert_array_equal(integer.codes(codes), expected)


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


# ------------------------------------------------------------ models

def cnn(rng):
    return nn.Sequential(nn.Conv2d(1, 3, 3, padding=1, rng=rng), nn.BatchNorm2d(3), nn.ReLU(),
                         nn.MaxPool2d(2, padding=1), nn.Conv2d(3, 2, 2, rng=rng), nn.ReLU(), nn.Flatten(),
                         nn.Dropout(rng=rng), nn.Linear(18, 4, rng=rng))


def awake(model):
    """The model with larger biases: no ReLU is 0 on all of X, which would leave its range open."""
    for layer in model:
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            layer.bias.data = layer.bias.data + np.float32(2)
    return model


def mlp(rng):
    return nn.Sequential(nn.Linear(36, 12, rng=rng), nn.ReLU(), nn.Linear(12, 8, rng=rng),
                         nn.Linear(8, 4, rng=rng))


@pytest.mark.parametrize("make", [cnn, mlp])
@settings(max_examples=8)
@given(rng=rngs)
def test_a_model_is_near_its_float_and_the_same_in_both_ways_and_in_a_file(make, rng):
    model, shape = awake(make(rng)), (20, 1, 6, 6) if make is cnn else (20, 36)
    X = rng.standard_normal(shape).astype(np.float32)
    integer = IntegerModel.from_float(model, X)
    codes = integer.quantize_input(X)
    assert codes.dtype == np.uint8
    assert_array_equal(integer.codes(codes), integer.codes(codes, fast=False))
    y, real = integer(Tensor(X)).data, model.eval()(Tensor(X)).data
    # Each of at most 4 roundings of activations and weights moves an output by some steps of 1/255.
    assert np.abs(y - real).max() <= 0.1 * np.ptp(real)
    again = rebuild(*describe(integer))
    assert again(Tensor(X)).data.tobytes() == y.tobytes()
    again.load_state_dict(integer.state_dict())
    assert {p.dtype.kind for p in integer.state_dict().values()} == {"i"} and not integer.parameters()


class Watched(np.ndarray):
    """An array that notes the dtypes of all that it is computed with, and of all that comes of it."""

    kinds = set()

    def __array_ufunc__(self, ufunc, method, *inputs, **options):
        plain = [x.view(np.ndarray) if isinstance(x, Watched) else x for x in inputs]
        result = getattr(ufunc, method)(*plain, **options)
        self.kinds |= {np.asarray(x).dtype for x in [*plain, result]}
        return np.asarray(result).view(Watched)

    def __array_function__(self, function, types, arguments, options):
        result = super().__array_function__(function, types, arguments, options)
        return result.view(Watched) if isinstance(result, np.ndarray) else result


@pytest.mark.parametrize("make", ["cnn", "mlp"])
def test_the_slow_way_meets_no_float_and_sums_in_int32(make, monkeypatch):
    rng = np.random.default_rng(0)
    model, shape = (cnn(rng), (5, 1, 6, 6)) if make == "cnn" else (mlp(rng), (5, 36))
    X = rng.standard_normal(shape)
    integer = IntegerModel.from_float(model, X)
    monkeypatch.setattr(Watched, "kinds", set())
    monkeypatch.setattr(np, "asarray", np.asanyarray)    # which leaves a Watched what it is
    result = integer.codes(integer.quantize_input(X).view(Watched), fast=False)
    assert {kind.kind for kind in Watched.kinds} <= set("iub") and np.dtype(np.int32) in Watched.kinds
    assert result.dtype == np.uint8 and isinstance(result, Watched)
    for layer in integer.layers:
        if hasattr(layer, "weight"):
            codes = np.ones((1, *layer.weight.shape[1:]), np.uint8)
            assert layer.accumulate(codes, fast=False).dtype == layer.bias.dtype == np.int32
            assert layer.weight.dtype == np.int8


def test_weights_are_a_quarter_of_their_floats():
    model = mlp(np.random.default_rng(0))
    integer = IntegerModel.from_float(model, np.ones((3, 36)))
    floats = sum(m.weight.data.nbytes for m in model if hasattr(m, "weight"))
    assert 4 * sum(layer.weight.nbytes for layer in integer.layers) == floats


@pytest.mark.parametrize("X", [np.zeros((3, 36)), np.full((1, 36), 5.0), np.full((2, 36), -5.0)])
def test_calibration_at_the_edge(X):
    model = mlp(np.random.default_rng(0))
    for module in model:
        if hasattr(module, "weight"):
            module.bias.data = 0 * module.bias.data
    real = model(Tensor(X.astype(np.float32))).data
    y = IntegerModel.from_float(model, X)(Tensor(X)).data
    assert np.abs(y - real).max() <= 0.05 * max(np.ptp(real), 1e-9)


def test_ranges_are_those_of_the_observer():
    """One input is 1000 times too large: the whole range is wasted on it, unless it is clipped."""
    rng = np.random.default_rng(0)
    model, X = mlp(rng), rng.standard_normal((200, 36)).astype(np.float32)
    spoiled = np.concatenate([1000 * X[:1], X])
    real, miss = model(Tensor(X)).data, {}
    for observer in (MinMaxObserver, lambda: PercentileObserver(98), lambda: MovingAverageObserver(0.9)):
        integer = IntegerModel.from_float(model, spoiled, observer=observer)
        miss[observer] = np.abs(integer(Tensor(X)).data - real).mean()
    whole, *clipped = miss.values()
    assert max(clipped) < whole / 10
    low, high = spoiled.min(), spoiled.max()
    integer = IntegerModel.from_float(model, spoiled)
    assert integer.input_scale == pytest.approx((high - low) / 255) and integer.input_zero == round(
        -float(low) / integer.input_scale)


def test_zero_weights_give_the_bias():
    layer = nn.Linear(3, 2, rng=np.random.default_rng(0))
    layer.weight.data, layer.bias.data = np.zeros((2, 3), np.float32), np.array([1, -0.5], np.float32)
    integer = IntegerModel.from_float(nn.Sequential(layer), np.ones((2, 3)))
    np.testing.assert_allclose(integer(Tensor(np.ones((1, 3)))).data, [[1, -0.5]], atol=1.5 / 255)
    assert integer.codes(np.zeros((0, 3), np.uint8)).shape == (0, 2)


@pytest.mark.parametrize("fast", [True, False])
def test_no_images_have_no_codes(fast):
    rng = np.random.default_rng(0)
    integer = IntegerModel.from_float(cnn(rng), rng.standard_normal((5, 1, 6, 6)))
    assert integer.codes(np.zeros((0, 1, 6, 6), np.uint8), fast=fast).shape == (0, 4)


@settings(max_examples=25)
@given(rngs, st.sampled_from([0, 1e-30, 1e-12, 1e-4]))
def test_a_unit_with_next_to_no_weights_gives_its_bias(rng, size):
    """To a code, and half: those of the real outputs are the roundings of these, and so is the bias."""
    model = nn.Sequential(nn.Linear(6, 5, rng=rng), nn.ReLU(), nn.Linear(5, 3, rng=rng))
    X = rng.standard_normal((20, 6)).astype(np.float32)
    for layer, unit in ((model[0], 1), (model[2], 2)):    # beside units that are as they were
        layer.weight.data[unit] *= np.float32(size)
        layer.bias.data[unit] = rng.uniform(-3, 3)
    integer = IntegerModel.from_float(model, X)
    y, real = integer(Tensor(X)).data, model(Tensor(X)).data
    assert np.abs(y[:, 2] - real[:, 2]).max() <= 1.5 * integer.output_scale
    assert np.abs(y - real).max() <= 0.1 * np.ptp(real)


def copied(model):
    """The model where each place has a module of its own."""
    return nn.Sequential(*[copied(m) if isinstance(m, nn.Sequential) else copy.deepcopy(m) for m in model])


@settings(max_examples=25)
@given(rngs)
def test_modules_at_several_places_have_a_range_at_each(rng):
    """Bit for bit the integers of the copy without any module at two places."""
    layers = awake([nn.Linear(6, 6, rng=rng) for _ in range(2)])
    layers[1].weight = layers[rng.integers(2)].weight
    few = [*layers, nn.Sequential(layers[0], nn.BatchNorm1d(6)), nn.Sequential(layers[1], nn.Dropout(rng=rng))]
    relu = nn.ReLU()
    model = nn.Sequential(*[m for i in rng.integers(0, 4, 4) for m in (few[i], relu)][:7])
    X = rng.standard_normal((40, 6)).astype(np.float32)
    own = copied(model)
    model.train(bool(rng.integers(2)))
    modes = [m.training for _, m in model.named_modules()]
    found, expected = IntegerModel.from_float(model, X), IntegerModel.from_float(own, X)
    assert {k: v.tobytes() for k, v in found.state_dict().items()} == {
        k: v.tobytes() for k, v in expected.state_dict().items()}
    assert found(Tensor(X)).data.tobytes() == expected(Tensor(X)).data.tobytes()
    assert [m.training for _, m in model.named_modules()] == modes


def test_one_relu_behind_two_layers_of_other_ranges_costs_nothing():
    rng = np.random.default_rng(0)
    relu, X = nn.ReLU(), rng.standard_normal((50, 6)).astype(np.float32)
    model = nn.Sequential(nn.Linear(6, 8, rng=rng), relu, nn.Linear(8, 8, rng=rng), relu, nn.Linear(8, 3, rng=rng))
    model[0].weight.data *= np.float32(100)
    model[2].weight.data *= np.float32(0.01)
    real = model(Tensor(X)).data
    assert np.abs(IntegerModel.from_float(model, X)(Tensor(X)).data - real).max() < 0.02 * np.ptp(real)


@pytest.mark.parametrize("n_tokens", [3, 5])
def test_a_linear_layer_takes_tokens(n_tokens):
    """Also where there are as many of them as units."""
    rng = np.random.default_rng(0)
    model = nn.Sequential(nn.Linear(4, 5, rng=rng), nn.ReLU(), nn.Linear(5, 5, rng=rng))
    X = rng.standard_normal((20, n_tokens, 4)).astype(np.float32)
    integer, flat = (IntegerModel.from_float(model, x) for x in (X, X.reshape(-1, 4)))
    assert_array_equal(integer(Tensor(X)).data.reshape(-1, 5), flat(Tensor(X.reshape(-1, 4))).data)


# ------------------------------------------------------------ errors

X, MLP = np.ones((2, 36)), mlp(np.random.default_rng(0))
NAN = mlp(np.random.default_rng(0))
NAN[0].weight.data = NAN[0].weight.data * np.nan
ERRORS = {
    "rounding_right_shift: x must have dtype int32, got int64":
        (TypeError, lambda: rounding_right_shift(np.array(1), 1)),
    "rounding_doubling_high_mul: b must have dtype int32, got int64":
        (TypeError, lambda: rounding_doubling_high_mul(np.int32(1), np.array(2))),
    "IntegerModel.from_float: model must be a Sequential, got LayerNorm; only there":
        (TypeError, lambda: IntegerModel.from_float(nn.LayerNorm(36), X)),
    "IntegerModel.from_float: model must have a Linear, Conv1d or Conv2d, got none":
        (ValueError, lambda: IntegerModel.from_float(nn.Sequential(nn.Flatten()), X)),
    "IntegerModel.from_float: model must be of Linear, Conv1d, Conv2d with batch norms right behind them, ReLU, max "
    "pools, Flatten and Dropout, got Tanh at 1.0":
        (TypeError, lambda: IntegerModel.from_float(nn.Sequential(MLP, nn.Sequential(nn.Tanh())), X)),
    "IntegerModel.from_float: the ReLU at 0 must be right behind a Linear or convolution, got it behind codes of "
    "numbers below 0": (TypeError, lambda: IntegerModel.from_float(nn.Sequential(nn.ReLU(), *MLP), -X)),
    "IntegerModel.from_float: 0.weight must be a Parameter, got a DequantizedWeight":
        (ValueError, lambda: IntegerModel.from_float(quantize_weights(MLP, bits=8), X)),
    "IntegerModel.from_float: 0.weight must be finite": (ValueError, lambda: IntegerModel.from_float(NAN, X)),
    "IntegerLinear: a unit must have at most 33155 inputs, got 40000": (ValueError, lambda: IntegerLinear(
        nn.Linear(40000, 1, rng=np.random.default_rng(0)), QParams(1.0, 0, 0, 255), QParams(1.0, 0, 0, 255))),
    "IntegerLinear: a unit must have at most 33155 inputs, got 34000": (ValueError, lambda: IntegerLinear(
        nn.Linear(34000, 1, rng=np.random.default_rng(0)), QParams(1.0, 255, 0, 255), QParams(1.0, 0, 0, 255))),
    "IntegerLinear: outputs must have a step of at least": (ValueError, lambda: IntegerLinear(
        nn.Linear(4, 1, rng=np.random.default_rng(0)), QParams(1.0, 0, 0, 255), QParams(1e-9, 0, 0, 255))),
}


@pytest.mark.parametrize("message", ERRORS)
def test_an_error_names_function_argument_requirement_and_value(message):
    kind, call = ERRORS[message]
    with pytest.raises(kind) as error:
        call()
    assert str(error.value).startswith(message)
