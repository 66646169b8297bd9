"""The laws of integer models: their codes are those of whole numbers, their outputs near those of the floats."""
import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from strategies import rngs
from test_integer import reference

from tinyml import Tensor, nn
from tinyml.compression.integer import IntegerLinear
from tinyml.compression.integer_model import IntegerFlatten, IntegerMaxPool, IntegerModel
from tinyml.compression.observers import MinMaxObserver, MovingAverageObserver, PercentileObserver
from tinyml.compression.quantization import quantize_weights
from tinyml.nn.skeleton import describe, rebuild


def cnn(rng):
    return nn.Sequential(nn.Conv2d(1, 3, 3, padding=1, rng=rng), nn.BatchNorm2d(3), nn.ReLU(),
                         nn.MaxPool2d(2, padding=1), nn.Conv2d(3, 2, 2, rng=rng), nn.ReLU(), nn.Flatten(),
                         nn.Dropout(rng=rng), nn.Linear(18, 4, rng=rng))


def separable(rng):
    return nn.Sequential(nn.Conv2d(1, 3, 3, padding="same", dilation=2, rng=rng), nn.BatchNorm2d(3), nn.ReLU(),
                         nn.Conv2d(3, 3, 3, padding=1, groups=3, rng=rng), nn.BatchNorm2d(3), nn.ReLU(),
                         nn.Conv2d(3, 4, 1, rng=rng), nn.ReLU(), nn.Flatten(), nn.Linear(144, 4, rng=rng))


def awake(model):
    """The model with larger biases: no ReLU is 0 on all of X, which would leave its range open."""
    for layer in model:
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            layer.bias.data = layer.bias.data + np.float32(2)
    return model


def mlp(rng):
    return nn.Sequential(nn.Linear(36, 12, rng=rng), nn.ReLU(), nn.Linear(12, 8, rng=rng),
                         nn.Linear(8, 4, rng=rng))


@pytest.mark.parametrize("make", [cnn, mlp, separable])
@settings(max_examples=8)
@given(rng=rngs)
def test_a_model_is_near_its_float_and_the_same_in_both_ways_and_in_a_file(make, rng):
    model, shape = awake(make(rng)), (20, 36) if make is mlp else (20, 1, 6, 6)
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


# ------------------------------------------------------------ models against whole numbers

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


# ------------------------------------------------------------ errors

X, MLP = np.ones((2, 36)), mlp(np.random.default_rng(0))
NAN = mlp(np.random.default_rng(0))
NAN[0].weight.data = NAN[0].weight.data * np.nan
ERRORS = {
    "IntegerModel.from_float: model must be a Sequential, got LayerNorm; only a Sequential":
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
}


@pytest.mark.parametrize("message", ERRORS)
def test_an_error_names_function_argument_requirement_and_value(message):
    kind, call = ERRORS[message]
    with pytest.raises(kind) as error:
        call()
    assert str(error.value).startswith(message)
