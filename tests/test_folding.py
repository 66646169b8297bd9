"""The laws of folding: a batch norm that became part of a layer changes no output."""
import copy

import numpy as np
import pytest
from hypothesis import given, settings
from numpy.testing import assert_allclose, assert_array_equal
from strategies import conv_settings, rngs

from tinyml import Tensor, nn
from tinyml.compression.quantization import quantize_weights
from tinyml.nn.folding import fold_batch_norm, fold_norm
from tinyml.nn.places import opened


def cnn(rng):
    return nn.Sequential(nn.Conv2d(1, 3, 3, rng=rng), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(),
                         nn.Linear(3 * 16, 4, bias=False, rng=rng), nn.BatchNorm1d(4),
                         nn.Linear(4, 2, rng=rng))


@settings(max_examples=15)
@given(rngs)
def test_folding_a_batch_norm_changes_nothing_in_evaluation(rng):
    model = nn.Sequential(nn.BatchNorm2d(1), *cnn(rng)[:3], nn.BatchNorm2d(3), *cnn(rng)[3:], nn.ReLU(),
                          nn.BatchNorm1d(2))    # of the five norms two are behind a layer
    for module in model:
        if hasattr(module, "running_var"):
            module.eps = 0.1
            for name in ("weight", "bias", "running_mean", "running_var"):
                getattr(module, name).data = rng.uniform(0.5, 2, module.num_features).astype(np.float32)
    weight = model[1].weight.data
    assert fold_norm(model[1], model[2]) is not model[1] and model[1].weight.data is weight
    folded = fold_batch_norm(model)
    assert model.training and not any(m.training for m in (folded, *folded)) and len(model) == 11
    x = Tensor(rng.standard_normal((5, 1, 6, 6)).astype(np.float32))
    assert [type(m) for m in folded] == [nn.BatchNorm2d, nn.Conv2d, nn.ReLU, nn.BatchNorm2d, nn.Flatten,
                                         nn.Linear, nn.Linear, nn.ReLU, nn.BatchNorm1d]
    assert {p.dtype for p in folded.parameters()} == {np.dtype(np.float32)}
    assert not any(np.shares_memory(p.data, q.data) for p in model.parameters() for q in folded.parameters())
    expected = model.eval()(x).data    # sums of up to 48 products in float32, of numbers up to some 100
    assert_allclose(folded(x).data, expected, atol=1e-5 * max(1, np.abs(expected).max()))


def normed(rng, norm):
    """The norm with scales and statistics that were never its own."""
    for name in ("weight", "bias", "running_mean", "running_var"):
        getattr(norm, name).data = rng.uniform(0.5, 2, norm.num_features).astype(np.float32)
    return norm


def of_few(rng):
    """A model of a few layers and norms, drawn with repetition, some in Sequentials that stand twice."""
    layers, norms = ([make() for _ in range(2)] for make in (lambda: nn.Linear(4, 4, rng=rng),
                                                             lambda: normed(rng, nn.BatchNorm1d(4))))
    layers[1].weight = layers[rng.integers(2)].weight
    few = [*layers, *norms, nn.ReLU()]
    few += [nn.Sequential(*[few[i] for i in rng.integers(0, 5, 2)]) for _ in range(2)]
    return nn.Sequential(*[few[i] for i in rng.integers(0, 7, 6)])


@given(rngs)
def test_folding_works_by_place_whatever_stands_at_several(rng):
    model, x = of_few(rng), Tensor(rng.standard_normal((5, 4)).astype(np.float32))
    before = model.state_dict()
    folded, expected = fold_batch_norm(model), copy.deepcopy(model).eval()(x).data
    assert_allclose(folded(x).data, expected, atol=1e-4 * max(1, np.abs(expected).max()))
    assert all(np.array_equal(array, before[name]) for name, array in model.state_dict().items())
    follows = [layer for _, layer in opened(folded)]
    for layer, behind in zip(follows, follows[1:]):
        if isinstance(layer, nn.Linear) and isinstance(behind, nn.BatchNorm1d):
            inner = [m for _, m in folded.named_children() if isinstance(m, nn.Sequential) and len(m)]
            assert any(m[0] is behind for m in inner)    # first in its Sequential, which may stand elsewhere


@given(rngs)
def test_each_channel_of_a_convolution_in_groups_is_scaled(rng):
    layer = nn.Conv2d(**conv_settings(rng), bias=bool(rng.integers(2)), rng=rng)
    model = nn.Sequential(layer, normed(rng, nn.BatchNorm2d(layer.out_channels))).eval()
    x = Tensor(rng.standard_normal((2, layer.in_channels, 6, 5)).astype(np.float32))
    folded, expected = fold_batch_norm(model), model(x).data
    assert len(folded) == 1 and folded[0].groups == layer.groups
    assert_allclose(folded(x).data, expected, atol=1e-5 * max(1, np.abs(expected).max()))


class Block(nn.Module):
    """x + body(x), with a norm of its own in front."""

    def __init__(self, rng):
        self.norm, self.body = normed(rng, nn.BatchNorm1d(2)), nn.Sequential(
            nn.Conv1d(2, 2, 3, padding=1, rng=rng), normed(rng, nn.BatchNorm1d(2)), nn.ReLU())

    def forward(self, x):
        return x + self.body(self.norm(x))


def test_norms_inside_of_other_modules_are_folded_or_named():
    rng = np.random.default_rng(0)
    block, x = Block(rng), Tensor(rng.standard_normal((4, 2, 6)).astype(np.float32))
    model = nn.Sequential(block, block)
    with pytest.warns(UserWarning, match="fold_batch_norm: left 0.norm, 1.norm; write") as warned:
        folded = fold_batch_norm(model)
    assert warned[0].filename == __file__
    assert [type(m) for m in folded[0].body] == [nn.Conv1d, nn.ReLU] and folded[0] is folded[1]
    assert_allclose(folded(x).data, model.eval()(x).data, atol=1e-5)


def test_a_norm_of_other_features_is_not_folded():
    """Behind a Linear on tokens, or on the rows of images, a norm scales these, not units."""
    rng = np.random.default_rng(0)
    for shape, norm in ((2, 5, 4), nn.BatchNorm1d(5)), ((2, 3, 5, 4), nn.BatchNorm2d(3)):
        model = nn.Sequential(nn.Linear(4, 3, rng=rng), normed(rng, norm))
        x = Tensor(rng.standard_normal(shape).astype(np.float32))
        assert_array_equal(fold_batch_norm(model)(x).data, model.eval()(x).data)


# ------------------------------------------------------------ errors

def test_a_model_without_a_sequential_is_refused():
    with pytest.raises(TypeError, match="^fold_batch_norm: model must be a Sequential, or have one inside, got ReLU"):
        fold_batch_norm(nn.ReLU())


def test_a_computed_weight_in_front_of_a_norm_is_refused():
    model = nn.Sequential(nn.Linear(2, 2, rng=np.random.default_rng(0)), nn.BatchNorm1d(2))
    small = nn.Sequential(quantize_weights(model, bits=8))
    with pytest.raises(ValueError, match="^fold_batch_norm: the weight in front of 0.1 must be a Parameter, got a "
                                         "DequantizedWeight; fold first"):
        fold_batch_norm(small)
