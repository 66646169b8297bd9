"""Laws of removal: the smaller model computes what the masked one computes."""
import numpy as np
import pytest
from hypothesis import given, settings
from numpy.testing import assert_allclose, assert_array_equal
from strategies import rngs
from test_structured import every, problem, random_keep

from tinyml import Tensor, nn
from tinyml.compression.quantization import quantize_weights
from tinyml.compression.removal import mask_units, remove_units
from tinyml.compression.structured import feature_maps
from tinyml.nn.units import prunable


@every
@settings(max_examples=15)
@given(rng=rngs)
def test_the_smaller_model_computes_what_the_masked_one_computes(name, rng):
    """Left out are products with exact zeros; BLAS may sum the others in another order: some eps."""
    model, X, _ = problem(name, rng)
    keep = random_keep(model, rng)
    masked, small = mask_units(model, keep), remove_units(model, keep)
    assert [type(m) for m in small] == [type(m) for m in model]
    assert_allclose(small(Tensor(X)).data, masked(Tensor(X)).data, rtol=1e-12, atol=1e-12)
    for layer, mask in keep.items():
        assert len(small[layer].weight) == mask.sum()


@every
@settings(max_examples=10)
@given(rng=rngs)
def test_a_masked_unit_is_silent_and_the_others_are_untouched(name, rng):
    model, X, y = problem(name, rng)
    first, keep = next(iter(prunable(model))), random_keep(model, rng)
    before, after = feature_maps(model, X, y), feature_maps(mask_units(model, keep), X, y)
    for layer, mask in keep.items():
        assert not after[layer][0][:, ~mask].any()
    assert_array_equal(after[first][0][:, keep.get(first, slice(None))],
                       before[first][0][:, keep.get(first, slice(None))])


@every
def test_nothing_is_removed_from_the_model_itself(name):
    model, X, _ = problem(name, np.random.default_rng(0))
    before = model.state_dict()
    keep = {layer: np.arange(len(model[layer].weight)) > 0 for layer in prunable(model)}
    small = remove_units(model, keep)
    mask_units(model, keep)
    assert all((array == before[key]).all() for key, array in model.state_dict().items())
    assert not any(np.shares_memory(a.data, b.data) for a in model.parameters() for b in small.parameters())
    for mode in (True, False):
        small = remove_units(model.train(mode), keep)
        assert {m.training for m in (model, *model, small, *small)} == {mode}
    same = remove_units(model, {})
    assert same(Tensor(X)).data.tobytes() == model(Tensor(X)).data.tobytes()


def test_settings_shrink_with_the_arrays():
    model, X, _ = problem("cnn", np.random.default_rng(0))
    small = remove_units(model, {0: np.array([1, 0, 1, 0], bool), 4: np.array([0, 0, 1], bool)})
    assert (small[0].out_channels, small[1].num_features, small[4].in_channels) == (2, 2, 2)
    assert (small[4].out_channels, small[7].in_features) == (1, 4)
    assert repr(small).count("1x2x2x2") == 1 and len(small(Tensor(X))) == len(X)


def test_places_that_are_not_cut_stay_shared():
    layer = nn.Linear(4, 4, rng=np.random.default_rng(0))
    model = nn.Sequential(layer, nn.ReLU(), layer, nn.ReLU(), layer, nn.ReLU(), layer)
    assert len(set(map(id, remove_units(model, {})))) == 4
    small = remove_units(model, {0: np.array([1, 0, 1, 1], bool)})
    assert small[4] is small[6] is not small[0]
    assert [layer.out_features for layer in list(small)[::2]] == [3, 4, 4, 4]
    masked = mask_units(model, {0: np.array([1, 0, 1, 1], bool)})
    assert masked[2] is masked[4] is masked[6] is not masked[0]


def test_a_frozen_parameter_stays_frozen():
    model, _, _ = problem("mlp", np.random.default_rng(0))
    model[0].weight.requires_grad = False
    for cut in (mask_units, remove_units):
        small = cut(model, {0: np.arange(5) > 0})
        assert not small[0].weight.requires_grad and small[0].bias.requires_grad


MODEL, _, _ = problem("mlp", np.random.default_rng(0))
ERRORS = {
    "remove_units: keep[0] must be 5 booleans, at least one of them True, got dtype bool, shape (5,), "
    "0 True":
        lambda: remove_units(MODEL, {0: np.zeros(5, bool)}),
    "mask_units: keep[0] must be 5 booleans, at least one of them True, got dtype bool, shape (4,), "
    "4 True":
        lambda: mask_units(MODEL, {0: np.ones(4, bool)}),
    "remove_units: keep must name layers with prunable units, of [0, 3], got 5":
        lambda: remove_units(MODEL, {5: np.ones(3, bool)}),
    "mask_units: 3.weight must be a Parameter, got a DequantizedWeight":
        lambda: mask_units(nn.Sequential(*MODEL[:3], *quantize_weights(
            MODEL[3:], bits=8)), {0: np.ones(5, bool)}),
    "remove_units: 0.weight must be a Parameter, got a DequantizedWeight":
        lambda: remove_units(quantize_weights(MODEL, bits=8), {0: np.ones(5, bool)}),
}


@pytest.mark.parametrize("message", ERRORS)
def test_an_error_names_function_argument_requirement_and_value(message):
    with pytest.raises(ValueError) as error:
        ERRORS[message]()
    assert str(error.value).startswith(message)
