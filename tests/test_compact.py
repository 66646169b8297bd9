"""The laws of compact filters: what they cost, and what other methods make of them."""
import copy
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from strategies import conv_settings, plain_conv, rngs

from tinyml import Tensor, nn, ops
from tinyml.compression.binary import binarize_weights, store_bits
from tinyml.compression.coding.storage import load_compressed, save_compressed
from tinyml.compression.compact import (
    bottleneck_block,
    bottleneck_macs,
    full_macs,
    separable_block,
    separable_macs,
    separable_share,
)
from tinyml.compression.integer_model import IntegerModel
from tinyml.compression.pruning import prune
from tinyml.compression.quantization import quantize_weights
from tinyml.compression.quantization_aware import convert, prepare
from tinyml.compression.removal import remove_units
from tinyml.compression.report import macs
from tinyml.compression.separable import make_separable, separate_conv
from tinyml.compression.weight_sharing import share_weights
from tinyml.nn.folding import fold_batch_norm
from tinyml.nn.places import untied
from tinyml.nn.units import prunable
from tinyml.nn.weights import weights
from tinyml.optim import Adam
from tinyml.train import fit

few, kernels = st.integers(1, 4), st.integers(1, 3)


def squared(a):
    return float((a ** 2).sum())


def quiet(call):
    """The result without the warning that two layers are no cheaper."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return call()


def images(rng, n, c, side=6):
    return rng.standard_normal((n, c, side, side)).astype(np.float32)


# ------------------------------------------------------------ what it costs

@settings(max_examples=15)
@given(rngs, few, few, st.sampled_from([1, 3, 5]), few)
def test_the_formulas_are_the_multiplications_per_pixel_and_the_weights(rng, C, O, K, m):
    def cost(model):
        per_pixel = macs(model, images(rng, 1, C)) / 36
        n_weights = sum(weight.size for weight in weights(model).values())
        assert per_pixel == n_weights
        return n_weights
    layer = nn.Conv2d(C, O, K, padding="same", rng=rng)
    assert full_macs(C, O, K) == cost(layer)
    m = min(m, O, K * K)
    assert separable_macs(C, O, K, multiplier=m) == cost(quiet(lambda: separate_conv(layer, multiplier=m)))
    assert separable_macs(C, O, K) == cost(separable_block(C, O, K, rng=rng))
    assert bottleneck_macs(C, O, K, width=m) == cost(bottleneck_block(C, O, K, width=m, rng=rng))


@given(st.integers(1, 500), st.integers(1, 500), st.integers(1, 9))
def test_the_share_of_the_multiplications_depends_on_outputs_and_kernel_only(C, O, K):
    assert_allclose(separable_share(O, K), separable_macs(C, O, K) / full_macs(C, O, K), rtol=1e-14)


# ------------------------------------------------------------ layers


@settings(max_examples=15)
@given(rngs, few, few, st.sampled_from([1, 3, 5]), st.integers(1, 2))
def test_a_block_keeps_or_divides_the_size_of_images(rng, C, O, K, stride):
    x = Tensor(images(rng, 3, C))
    block = separable_block(C, O, K, stride=stride, rng=rng)
    assert block(x).shape == (3, O, 6 // stride, 6 // stride)
    assert [type(layer).__name__ for layer in block] == ["Conv2d", "BatchNorm2d", "ReLU"] * 2
    assert block[0].groups == C and block[3].kernel_size == 1 and not (block(x).data < 0).any()
    block = bottleneck_block(C, O, K, width=2, rng=rng)
    assert block(x).shape == (3, O, 6, 6) and [layer.kernel_size for layer in block[::3]] == [1, K, 1]


def mobile(rng, classes=3):
    """A small MobileNet for images of one channel."""
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding="same", bias=False, rng=rng), nn.BatchNorm2d(4), nn.ReLU(),
                         *separable_block(4, 6, stride=2, rng=rng), *separable_block(6, 5, rng=rng),
                         nn.Flatten(), nn.Linear(45, classes, rng=rng))


def full(rng):
    return nn.Sequential(nn.Conv2d(1, 6, 3, padding=1, rng=rng), nn.ReLU(), nn.Conv2d(6, 8, 3, 2, 1, rng=rng), nn.ReLU(),
                         nn.Conv2d(8, 8, 1, rng=rng), nn.Flatten(), nn.Linear(72, 3, rng=rng))


@settings(max_examples=4)
@given(rngs, st.sampled_from([mobile, full]))
def test_a_small_model_trains_and_comes_back_from_a_file(tmp_path_factory, rng, make):
    model = make(rng)
    small = model if make is mobile else make_separable(model)
    X, y = images(rng, 20, 1), rng.integers(0, 3, 20)
    start = [p.data for p in small.parameters()]
    fit(small, X, y, optimizer=Adam(small.parameters(), lr=0.01), epochs=2, batch_size=5, rng=rng)
    assert all((p.data != before).any() for p, before in zip(small.parameters(), start))
    path = tmp_path_factory.getbasetemp() / "compact"
    save_compressed(small, path)
    again = load_compressed(path)
    assert again.eval()(Tensor(X)).data.tobytes() == small.eval()(Tensor(X)).data.tobytes()
    assert repr(again) == repr(small)


def test_a_separable_network_loses_units_and_becomes_one_of_integers():
    rng = np.random.default_rng(0)
    model, X = mobile(rng), images(rng, 200, 1)
    for layer in model:
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.data, layer.running_var.data = (rng.uniform(0, 1, layer.num_features).astype("f4"),
                                                               rng.uniform(0.1, 0.5, layer.num_features).astype("f4"))
            layer.bias.data = layer.bias.data + np.float32(1)
    model.eval()
    assert {layer: units.rows for layer, units in prunable(model).items()} == {
        0: (1, 3, 4), 6: (7, 9, 10), 12: (13,)}
    small = remove_units(model, {0: np.arange(4) > 1, 6: np.arange(6) > 2})
    assert [layer.groups for layer in small if isinstance(layer, nn.Conv2d)] == [1, 2, 1, 3, 1]
    real = model(Tensor(X)).data
    assert np.abs(IntegerModel.from_float(model, X)(Tensor(X)).data - real).max() < 0.15 * np.ptp(real)


# ------------------------------------------------------------ every method, on convolutions in groups

METHODS = {    # what it makes of a model
    "prune": lambda m: (prune(m, amount=0.5), m)[1],
    "quantize_weights": lambda m: quantize_weights(m, bits=4),
    "prepare": lambda m: prepare(m, bits=3),
    "convert": lambda m: convert(prepare(m, bits=3)),
    "binarize_weights": lambda m: binarize_weights(m, method="ternary"),
    "store_bits": lambda m: store_bits(binarize_weights(m, method="scaled sign")),
    "share_weights": lambda m: share_weights(m, bits=2),
    "fold_batch_norm": fold_batch_norm,
    "untied": untied,
}


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=4)
@given(rng=rngs)
def test_a_method_leaves_a_convolution_in_groups_one(method, rng, tmp_path_factory):
    """The new model computes with the new weights, spread out as filters of a plain convolution; also from a file."""
    layer = nn.Conv2d(**conv_settings(rng), rng=rng)
    norm = nn.BatchNorm2d(layer.out_channels)
    norm.running_var.data = rng.uniform(0.5, 2, layer.out_channels).astype(np.float32)
    model = METHODS[method](nn.Sequential(layer, norm)).eval()
    new = model[0]
    assert (new.groups, new.dilation, new.padding) == (layer.groups, layer.dilation, layer.padding)
    x = Tensor(images(rng, 2, layer.in_channels, 8))
    y = ops.conv2d(x, ops.reshape(new.weight, shape=new.weight.shape), new.bias, stride=new.stride, padding=new.padding,
                   dilation=new.dilation, groups=new.groups)
    spread = copy.copy(new)
    spread.weight = nn.Parameter(np.asarray(new.weight.data))
    assert_allclose(plain_conv(spread)(x).data, y.data, atol=1e-4)
    assert_allclose(new(x).data, y.data, atol=1e-5)
    path = tmp_path_factory.getbasetemp() / "grouped"
    save_compressed(model, path)
    assert load_compressed(path)(x).data.tobytes() == model(x).data.tobytes()


# ------------------------------------------------------------ errors

ERRORS = {
    "full_macs: kernel must be int >= 1, got 0": lambda: full_macs(1, 1, 0),
    "bottleneck_macs: width must be int >= 1, got 0": lambda: bottleneck_macs(1, 1, 1, width=0),
}


@pytest.mark.parametrize("message", ERRORS)
def test_an_error_names_function_argument_requirement_and_value(message):
    with pytest.raises(ValueError) as error:
        ERRORS[message]()
    assert str(error.value).startswith(message)
