"""The laws of circulant layers: they compute with their matrix, train, and come back from a file."""
import copy
import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from strategies import rngs
from test_circulant import sizes, whole

from tinyml import Tensor, nn
from tinyml.compression.circulant import nearest_blocks
from tinyml.compression.circulant_layers import CirculantLinear, make_circulant
from tinyml.compression.coding.storage import load_compressed, save_compressed
from tinyml.compression.quantization import quantize_weights
from tinyml.compression.report import macs
from tinyml.optim import Adam
from tinyml.train import fit


@settings(max_examples=30)
@given(rngs, sizes, sizes, st.integers(1, 6), st.booleans(), st.sampled_from([(), (4,), (2, 3), (0,)]))
def test_a_layer_computes_with_its_matrix(rng, n_in, n_out, b, bias, batch):
    layer = CirculantLinear(n_in, n_out, block=b, bias=bias, rng=rng)
    p, q = math.ceil(n_out / b), math.ceil(n_in / b)
    assert layer.weight.shape == (p, q, b) and layer.matrix().shape == (n_out, n_in)
    assert_array_equal(layer.matrix(), whole(layer.weight.data)[:n_out, :n_in] * layer.signs.data)
    assert layer.signs.shape == (n_in,) and (np.abs(layer.signs.data) == 1).all()
    assert np.abs(layer.weight.data).max() <= 1 / math.sqrt(n_in) and (layer.bias is not None) == bias
    x = rng.standard_normal((*batch, n_in)).astype(np.float32)
    y = layer(Tensor(x))
    expected = x @ layer.matrix().T + (layer.bias.data if bias else 0)
    assert y.shape == expected.shape and y.dtype == np.float32
    assert_allclose(y.data, expected, atol=1e-5)
    n_samples = math.prod(batch)
    per_sample = (p + q) * b * math.log2(b) + 4 * p * q * (b // 2 + 1)
    assert abs(layer.macs(Tensor(x), y) - n_samples * per_sample) <= 0.5


@settings(max_examples=20)
@given(rngs, sizes, sizes, st.integers(1, 6))
def test_the_nearest_layer_has_the_nearest_blocks_and_the_same_bias(rng, n_in, n_out, b):
    layer = nn.Linear(n_in, n_out, rng=rng).eval()
    layer.weight.requires_grad = False
    near = CirculantLinear.from_linear(layer, block=b)
    assert_array_equal(near.weight.data, nearest_blocks(layer.weight.data, block=b), strict=True)
    assert near.bias is not layer.bias and near.bias.data.tobytes() == layer.bias.data.tobytes()
    assert not near.weight.requires_grad and not near.training and (near.signs.data == 1).all()
    made = CirculantLinear(n_in, n_out, block=b, rng=rng)
    assert list(vars(near)) == [*vars(made), "training"] and repr(near) == repr(made)


def test_random_signs_keep_units_apart_on_inputs_that_are_all_equal():
    """Without them all rows have one sum, and all units one value. They travel with the state."""
    rng = np.random.default_rng(0)
    layer, other = (CirculantLinear(64, 64, block=64, bias=False, rng=rng) for _ in range(2))
    ones, x = np.ones((1, 64), np.float32), rng.standard_normal((3, 64)).astype(np.float32)
    assert 16 < (layer.signs.data == 1).sum() < 48 and (layer.signs.data != other.signs.data).any()
    y = layer(ones).data
    assert (y > 0).any() and (y < 0).any()
    near = CirculantLinear.from_linear(nn.Linear(64, 64, bias=False, rng=rng), block=64)
    assert_allclose(near(ones).data, near.weight.data.sum(), atol=1e-6)
    other.load_state_dict(layer.state_dict())
    assert_array_equal(other(x).data, layer(x).data)
    assert [name for name, _ in layer.named_parameters()] == ["weight"]


def mlp(rng, sizes=(6, 8, 5, 3)):
    a, b, c, d = sizes
    return nn.Sequential(nn.Linear(a, b, rng=rng), nn.ReLU(), nn.Linear(b, c, rng=rng), nn.ReLU(),
                         nn.Linear(c, d, rng=rng))


@settings(max_examples=10)
@given(rngs, st.integers(1, 8))
def test_a_model_of_circulant_layers_trains_and_comes_back_from_a_file(tmp_path_factory, rng, b):
    model = mlp(rng)
    before, x = model.state_dict(), Tensor(rng.standard_normal((9, 6)).astype(np.float32))
    small = make_circulant(model, block=b)
    assert [type(layer).__name__ for layer in small] == ["CirculantLinear", "ReLU"] * 2 + ["Linear"]
    if b == 1:
        assert_allclose(small(x).data, model(x).data, atol=1e-5)
    X, y = rng.standard_normal((20, 6)).astype(np.float32), rng.integers(0, 3, 20)
    for layer in small[0], small[2]:
        layer.bias.data = layer.bias.data + 3    # else one start in a hundred has a layer without a living unit
    start = small[0].weight.data
    fit(small, X, y, optimizer=Adam(small.parameters(), lr=0.01), epochs=2, batch_size=5, rng=rng)
    assert (small[0].weight.data != start).any()
    path = tmp_path_factory.getbasetemp() / "circulant"
    save_compressed(small, path)
    assert load_compressed(path)(x).data.tobytes() == small(x).data.tobytes()
    assert all((before[key] == array).all() for key, array in model.state_dict().items())


def test_numbers_and_work_fall_with_the_side_of_a_block():
    rng = np.random.default_rng(0)
    layer, x = nn.Linear(256, 256, rng=rng), np.ones((1, 256), np.float32)
    for b in (8, 64, 256):
        near = CirculantLinear.from_linear(layer, block=b)
        assert near.weight.size * b == layer.weight.size
    assert macs(near, x) == 2 * 256 * 8 + 4 * 129    # n log n for each transform, against n^2
    assert macs(near, x) < macs(layer, x) / 10


def test_codes_can_take_the_place_of_the_numbers_of_a_block():
    rng = np.random.default_rng(0)
    layer = CirculantLinear(6, 5, block=3, rng=rng)
    small, x = quantize_weights(layer, bits=8), Tensor(rng.standard_normal((4, 6)).astype(np.float32))
    assert_allclose(small(x).data, layer(x).data, atol=0.02)
    assert_allclose(small(x).data, x.data @ small.matrix().T + small.bias.data, atol=1e-6)
    assert small.macs(x, small(x)) == layer.macs(x, layer(x))


def test_what_stays_is_named():
    rng = np.random.default_rng(0)
    model = nn.Sequential(nn.Conv1d(1, 1, 3, padding=1, rng=rng), nn.Linear(8, 8, rng=rng), nn.Linear(8, 8, rng=rng))
    with pytest.warns(UserWarning, match=r"make_circulant: left as they are: 0.weight \(no weight of a Linear\)$"):
        small = make_circulant(model, block=4)
    assert [type(layer).__name__ for layer in small] == ["Conv1d", "CirculantLinear", "Linear"]
    twice = nn.Sequential(model[1], nn.ReLU(), model[1], nn.Linear(8, 2, rng=rng))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        small = make_circulant(twice, block=4)
    assert small[0] is small[2] and isinstance(small[0], CirculantLinear)


def test_a_model_is_copied():
    model = mlp(np.random.default_rng(0))
    again = copy.deepcopy(model)
    make_circulant(model, block=2)[4].bias.data[:] = 7
    assert all((a.data == b.data).all() for a, b in zip(model.parameters(), again.parameters()))


ERRORS = {
    "CirculantLinear: x must have shape (..., in_features=3), got (2, 4)":
        lambda: CirculantLinear(3, 2, block=2, rng=np.random.default_rng(0))(np.ones((2, 4), np.float32)),
    "CirculantLinear: block must be int >= 1, got 0":
        lambda: CirculantLinear(3, 2, block=0, rng=np.random.default_rng(0)),
    "make_circulant: model must have a weight, a parameter with two or more axes, got Linear without; weight is the "
    "last layer": lambda: make_circulant(nn.Linear(2, 2, rng=np.random.default_rng(0)), block=2),
}


@pytest.mark.parametrize("message", ERRORS)
def test_an_error_names_function_argument_requirement_and_value(message):
    with pytest.raises(ValueError) as error:
        ERRORS[message]()
    assert str(error.value).startswith(message)
