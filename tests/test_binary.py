"""The laws of binary weights, no other signs or scale are nearer; and of models with signs, or signs and zeros."""
import copy
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from strategies import rngs

from tinyml import Tensor, nn
from tinyml.compression.binary import (
    METHODS,
    BinaryWeight,
    binarize,
    binarize_weights,
    clip_weights,
    store_bits,
)
from tinyml.compression.bits import BitWeight
from tinyml.compression.coding.storage import contents, load_compressed, save_compressed
from tinyml.compression.ternary import TernaryWeight, ternarize
from tinyml.optim import Adam
from tinyml.train import fit

every_method = pytest.mark.parametrize("method", METHODS)
sizes = st.integers(1, 6)


def filters(rng, m, n):
    """Weights of m filters of very different sizes, with zeros and equal magnitudes among them."""
    W = rng.laplace(size=(m, n)) * 10.0 ** rng.integers(-3, 3, (m, 1))
    W[rng.random((m, n)) < 0.1] = 0
    W[:, -1] = -W[:, 0]
    return W


def squared(W, codes, alpha):
    """||w - alpha codes||^2 of each filter."""
    return ((W - alpha * codes) ** 2).reshape(len(W), -1).sum(axis=1)


def least(W, values):
    """The least ||w - a v||^2 of each filter, over all v with entries in `values` and all a."""
    V = np.array(list(itertools.product(values, repeat=W.shape[1])), float)    # all vectors
    lengths = np.maximum((V ** 2).sum(axis=1), 1)
    gains = np.maximum(W @ V.T, 0) ** 2 / lengths    # a = w.v / v.v takes this away from ||w||^2
    return (W ** 2).sum(axis=1) - gains.max(axis=1)


def rounding(W):
    """What rounding may do to a sum of squares."""
    return 1e-12 * (W ** 2).reshape(len(W), -1).sum(axis=1)


def mlp(rng, sizes=(6, 5, 3)):
    a, b, c = sizes
    return nn.Sequential(nn.Linear(a, b, rng=rng), nn.BatchNorm1d(b), nn.ReLU(), nn.Linear(b, c, rng=rng))


def trained(model, rng, lr=0.1):
    """The model after a few steps, with clipped real weights."""
    X, y = rng.standard_normal((20, 6)).astype(np.float32), rng.integers(0, 3, 20)
    optimizer = Adam(model.parameters(), lr=lr)
    optimizer.projections.append(lambda: clip_weights(model))
    fit(model, X, y, optimizer=optimizer, epochs=3, batch_size=5, rng=rng)
    return model


# ------------------------------------------------------------ the nearest codes

@given(rngs, sizes, sizes)
def test_no_other_signs_with_a_scale_are_nearer(rng, m, n):
    W = filters(rng, m, n)
    b, alpha = binarize(W)
    assert (np.abs(b) == 1).all() and (b[W > 0] == 1).all() and (b[W < 0] == -1).all()
    assert b.dtype == np.int8 and (b[W == 0] == 1).all()
    assert_allclose(alpha.ravel(), np.abs(W).sum(axis=1) / n, rtol=1e-14)
    assert (squared(W, b, alpha) <= least(W, [-1, 1]) + rounding(W)).all()


@every_method
@given(rng=rngs, power=st.integers(-20, 20))
def test_scaling_a_filter_scales_its_alpha_and_leaves_its_codes(method, rng, power):
    """By a power of two, so that nothing is rounded."""
    kind, setting = METHODS[method]
    W = rng.standard_normal((3, 5)).astype(np.float32)
    codes, alpha = kind(nn.Parameter(W), **setting).codes()
    more, scaled = kind(nn.Parameter(W * np.float32(2.0 ** power)), **setting).codes()
    assert_array_equal(more, codes)
    assert_array_equal(scaled, alpha if method == "sign" else alpha * np.float32(2.0 ** power))
    flipped, same = kind(nn.Parameter(-W), **setting).codes()
    assert_array_equal(flipped, -codes)
    assert_array_equal(same, alpha)
    assert alpha.dtype == np.float32


# ------------------------------------------------------------ straight through

@every_method
@given(rng=rngs)
def test_forward_are_codes_times_alpha_and_backward_is_alpha_inside(method, rng):
    kind, setting = METHODS[method]
    w = nn.Parameter(rng.uniform(-2, 2, (3, 2, 4)).astype(np.float32))
    g = rng.standard_normal(w.shape).astype(np.float32)
    one = kind(w, **setting)
    codes, alpha = one.codes()
    value = one()
    value.backward(g)
    assert value.data.tobytes() == (alpha * codes).tobytes()    # no -0.0 among them
    assert value.dtype == w.grad.dtype == np.float32
    assert_array_equal(w.grad, np.where(np.abs(w.data) <= 1, alpha * g, 0))
    assert alpha.shape == (3, 1, 1) and (method == "sign") == (alpha == 1).all()


@every_method
@settings(max_examples=5)
@given(rng=rngs)
def test_real_weights_stay_in_the_unit_interval_and_signs_flip(method, rng):
    model = mlp(rng)
    before = model.state_dict()
    small = binarize_weights(model, method=method)
    trained(small, rng, lr=0.5)
    for layer in (small[0], small[3]):
        w = layer.weight.weight.data
        assert np.abs(w).max() == 1
    assert (np.sign(small[0].weight.weight.data) != np.sign(before["0.weight"])).any()
    assert all((before[key] == array).all() for key, array in model.state_dict().items())


def test_clipping_changes_no_other_parameter():
    rng = np.random.default_rng(0)
    model = binarize_weights(mlp(rng), method="sign")
    for parameter in model.parameters():
        parameter.data = 3 + parameter.data
    bias = model[0].bias.data
    clip_weights(model)
    assert (model[0].weight.weight.data == 1).all() and model[0].bias.data is bias


# ------------------------------------------------------------ models

@every_method
@settings(max_examples=5)
@given(rng=rngs)
def test_stored_bits_compute_the_same_and_come_back_from_a_file(method, rng, tmp_path_factory):
    model = trained(binarize_weights(mlp(rng), method=method), rng)
    small, x = store_bits(model), Tensor(rng.standard_normal((9, 6)).astype(np.float32))
    assert isinstance(model[0].weight, (BinaryWeight, TernaryWeight))    # it is copied
    path = tmp_path_factory.getbasetemp() / "bits"
    save_compressed(small, path)
    again = load_compressed(path)
    for one in (small, again):
        assert one(x).data.tobytes() == model(x).data.tobytes()
        assert isinstance(one[0].weight, BitWeight) and one[0].weight().data.tobytes() == model[0].weight().data.tobytes()
    assert again[0].weight.planes.tobytes() == small[0].weight.planes.tobytes()
    assert not any("weight.weight" in name for name, _ in small.named_parameters())


@pytest.mark.parametrize("method, bits", [("sign", 1), ("scaled sign", 1), ("ternary", 2), ("best ternary", 2)])
def test_a_weight_takes_one_bit_or_two_in_the_file(method, bits, tmp_path):
    d, rng = 120 * 90, np.random.default_rng(0)
    save_compressed(store_bits(binarize_weights(nn.Linear(120, 90, rng=rng), method=method)), tmp_path / "a")
    parts = {part.name: part for part in contents(tmp_path / "a")}
    assert parts["weight.planes"].bytes <= bits * d / 8 + 20
    assert parts["weight.planes"].shape == (bits, d // 8)


@every_method
def test_zero_filters_shared_weights_and_convolutions(method):
    rng = np.random.default_rng(0)
    model = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1, rng=rng), nn.Conv2d(1, 1, 3, padding=1, rng=rng))
    model[1].weight = model[0].weight
    model[0].weight.data = np.zeros((1, 1, 3, 3), np.float32)
    small = binarize_weights(model, method=method)
    assert small[0].weight is small[1].weight
    stored = store_bits(small)
    assert stored[0].weight is stored[1].weight
    expected = 1.0 if method == "sign" else 0.0
    for one in (small, stored):
        assert (one[0].weight().data == expected).all()
    assert model[0].weight.data.any() is np.False_


def test_they_say_what_they_are():
    rng = np.random.default_rng(0)
    names = {method: repr(binarize_weights(mlp(rng), method=method)[0].weight).split()[0] for method in METHODS}
    assert names == {"sign": "BinaryWeight(scaled=False)", "scaled sign": "BinaryWeight(scaled=True)",
                     "ternary": "TernaryWeight(best=False)", "best ternary": "TernaryWeight(best=True)"}
    stored = store_bits(binarize_weights(mlp(rng), method="ternary"))
    assert repr(stored[0].weight).startswith("BitWeight((5, 6), bits=2)")
    default = BinaryWeight(nn.Parameter(np.ones((2, 2)))), TernaryWeight(nn.Parameter(np.ones((2, 2))))
    assert default[0].scaled and not default[1].best


# ------------------------------------------------------------ errors

ERRORS = {
    'binarize_weights: method must be "sign", "scaled sign", "ternary" or "best ternary", got \'xnor\'':
        lambda: binarize_weights(nn.ReLU(), method="xnor"),
    "binarize_weights: model must have a weight, a parameter with two or more axes, got ReLU without":
        lambda: binarize_weights(nn.ReLU(), method="sign"),
    "store_bits: model must come from binarize_weights, got none":
        lambda: store_bits(copy.deepcopy(mlp(np.random.default_rng(0)))),
    "ternarize: delta must be array_like, >= 0": lambda: ternarize([[1.0]], -1),
    "binarize: weight must be array_like, shape (m, n, ...), not empty": lambda: binarize(np.ones((2, 0))),
    "binarize: weight must be finite": lambda: binarize([[np.nan]]),
}


@pytest.mark.parametrize("message", ERRORS)
def test_an_error_names_function_argument_requirement_and_value(message):
    with pytest.raises(ValueError) as error:
        ERRORS[message]()
    assert str(error.value).startswith(message)
