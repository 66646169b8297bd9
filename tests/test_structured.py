"""The laws of structured pruning: scores are what the papers say, and a smaller model computes the same."""
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from strategies import rngs

from tinyml import Tensor, nn
from tinyml import functional as F
from tinyml.compression.structured import (activation_scores, feature_maps, lowest, mask_units, norm_scores,
                                           normalized, oracle_scores, prunable, remove_units, taylor_scores,
                                           unit_scores)


def double(model):
    """The model in float64, with random biases and statistics, in evaluation mode."""
    rng = np.random.default_rng(0)
    for name, array in model.state_dict().items():
        if array.ndim == 1:
            array = rng.uniform(0.5, 1.5, array.shape)
        owner, _, attribute = name.rpartition(".")
        vars(model[int(owner)])[attribute].data = array.astype(np.float64)
    return model.eval()


def mlp(rng):
    return double(nn.Sequential(nn.Linear(6, 5, rng=rng), nn.BatchNorm1d(5), nn.ReLU(),
                                nn.Linear(5, 4, bias=False, rng=rng), nn.Tanh(), nn.Linear(4, 3, rng=rng)))


def cnn(rng):
    return double(nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1, rng=rng), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(4, 3, 2, bias=False, rng=rng), nn.GELU("tanh"), nn.Flatten(),
        nn.Linear(3 * 4, 5, rng=rng), nn.ReLU(), nn.Dropout(rng=rng), nn.Linear(5, 3, rng=rng)))


MODELS = {"mlp": (mlp, (6,)), "cnn": (cnn, (1, 6, 6))}
both = pytest.mark.parametrize("name", MODELS)


def problem(name, rng, n=4):
    make, shape = MODELS[name]
    return make(rng), rng.standard_normal((n, *shape)), rng.integers(0, 3, n)


def random_keep(model, rng):
    """Some units of some layers, at least one of each."""
    keep = {}
    for layer in prunable(model):
        keep[layer] = rng.random(len(model[layer].weight)) < 0.6
        keep[layer][rng.integers(len(keep[layer]))] = True
    return {layer: mask for layer, mask in keep.items() if rng.random() < 0.8}


# ------------------------------------------------------------ removal

@both
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


@both
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


@both
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


# ------------------------------------------------------------ scores

@given(rng=rngs, order=st.sampled_from([1, 2]))
def test_norms_are_those_of_rows_and_filters(rng, order):
    weight = rng.standard_normal((3, 2, 4))
    expected = [(np.abs(w) ** order).sum() ** (1 / order) for w in weight]
    assert_allclose(norm_scores(weight, order=order), expected, rtol=1e-14)
    assert_array_equal(norm_scores(np.zeros((3, 0)), order=order), np.zeros(3))
    assert norm_scores(np.zeros((0, 3)), order=order).shape == (0,)
    assert_allclose(norm_scores(-2 * weight, order=order), 2 * np.array(expected), rtol=1e-14)


@both
@settings(max_examples=10)
@given(rng=rngs)
def test_a_taylor_score_is_the_slope_of_the_cost_in_a_gate(name, rng):
    """Theta = mean_n |dC_n/dgate| / M at gate 1, where z = gate z; central difference, error h^2."""
    model, X, y = problem(name, rng)
    maps, h = feature_maps(model, X, y), 1e-5
    for layer, units in prunable(model).items():
        z, d_z = maps[layer]
        k = int(rng.integers(z.shape[1]))

        def cost(gate):
            def scaled(module, x, z):
                if module is model[units.output]:
                    gates = np.where(np.arange(z.shape[1]) == k, gate, 1.0)
                    return z * gates.reshape(-1, *[1] * (z.ndim - 2))
            with nn.forward_hook(scaled):
                return F.cross_entropy(model(Tensor(X)), y, reduction="none").data
        slope = np.abs(cost(1 + h) - cost(1 - h)) / (2 * h)
        positions = np.prod(z.shape[2:], initial=1)
        assert_allclose(taylor_scores(z, d_z)[k], slope.mean() / positions, rtol=1e-5, atol=1e-9)


@both
@settings(max_examples=5)
@given(rng=rngs)
def test_the_oracle_is_the_cost_of_the_model_without_the_unit(name, rng):
    model, X, y = problem(name, rng)
    cost = lambda model: F.cross_entropy(model(Tensor(X)), y).item()
    for layer, scores in oracle_scores(model, X, y).items():
        k = int(rng.integers(len(scores)))
        without = remove_units(model, {layer: np.arange(len(scores)) != k})
        assert_allclose(scores[k], abs(cost(without) - cost(model)), rtol=1e-9, atol=1e-12)


@given(rng=rngs)
def test_a_unit_that_never_speaks_scores_zero_whatever_the_data_criterion(rng):
    model, X, y = problem("mlp", rng)
    model = mask_units(model, {0: np.arange(5) != 2})
    for criterion in ("activation", "taylor", "oracle"):
        assert unit_scores(model, X, y, criterion=criterion)[0][2] == 0


@given(rng=rngs, n=st.integers(1, 4), m=st.integers(1, 5))
def test_data_scores_are_means_over_samples(rng, n, m):
    """Of a loop, and so the same for the samples in any order and for the samples twice."""
    z, d_z = rng.standard_normal((2, n, 3, m))
    loop = [np.mean([abs(sum(z[i, k] * d_z[i, k]) / m) for i in range(n)]) for k in range(3)]
    assert_allclose(taylor_scores(z, d_z), loop, rtol=1e-12)
    assert_allclose(activation_scores(z), [np.abs(z[:, k]).sum() / (n * m) for k in range(3)], rtol=1e-12)
    assert_allclose(taylor_scores(np.tile(z, (2, 1, 1)), np.tile(d_z, (2, 1, 1))), loop, rtol=1e-12)


def test_feature_maps_leave_no_gradient_behind():
    model, X, y = problem("cnn", np.random.default_rng(0))
    feature_maps(model, X, y)
    assert all(p.grad is None for p in model.parameters())


@given(rng=rngs, size=st.integers(1, 6))
def test_normalized_scores_have_length_one_and_keep_their_order(rng, size):
    scores = np.abs(rng.standard_normal(size))
    assert_allclose(np.linalg.norm(normalized(scores)), 1, rtol=1e-12)
    assert_array_equal(np.argsort(normalized(scores)), np.argsort(scores))
    assert_array_equal(normalized(0 * scores), 0 * scores)


# ------------------------------------------------------------ choice

@given(rng=rngs, sizes=st.lists(st.integers(1, 5), min_size=1, max_size=3), data=st.data())
def test_the_lowest_go_and_a_unit_of_each_layer_stays(rng, sizes, data):
    scores = {i: rng.integers(0, 4, size).astype(float) for i, size in enumerate(sizes)}
    k = data.draw(st.integers(0, sum(sizes) - len(sizes)))
    scores = {i: scores[i] for i in data.draw(st.permutations(range(len(sizes))))}    # keys in any order
    keep = lowest(scores, k)
    assert list(keep) == list(scores) and {mask.dtype for mask in keep.values()} == {np.dtype(bool)}
    assert sum((~mask).sum() for mask in keep.values()) == k
    assert all(mask.any() for mask in keep.values())
    left = [list(range(len(s))) for s in scores.values()]
    for _ in range(k):    # one after the other: the least that may go, of those as low the first
        _, place, unit = min((s[unit], place, unit) for place, s in enumerate(scores.values())
                             for unit in left[place] if len(left[place]) > 1)
        left[place].remove(unit)
    assert [np.flatnonzero(mask).tolist() for mask in keep.values()] == left
    if k:    # masks nest
        assert all((more | ~less).all() for more, less in zip(lowest(scores, k - 1).values(), keep.values()))


# ------------------------------------------------------------ errors

MODEL, X, Y = problem("mlp", np.random.default_rng(0))
ERRORS = {
    "norm_scores: order must be 1 or 2, got 3": (ValueError, lambda: norm_scores([[1.0]], order=3)),
    "norm_scores: weight must be finite": (ValueError, lambda: norm_scores([[np.nan]])),
    "norm_scores: weight must have a row for each unit": (ValueError, lambda: norm_scores(1.0)),
    "activation_scores: z must have shape (N, units, ...), not empty, got (0, 2)":
        (ValueError, lambda: activation_scores(np.zeros((0, 2)))),
    "taylor_scores: d_z must have the shape of z, (1, 2, 1), got (1, 1, 1)":
        (ValueError, lambda: taylor_scores(np.zeros((1, 2)), np.zeros((1, 1)))),
    "lowest: k must be an int in 0..2, so that every layer keeps a unit, got 3":
        (ValueError, lambda: lowest({0: [1, 2, 3]}, 3)),
    "lowest: k must be an int in 0..2, so that every layer keeps a unit, got 1.5":
        (ValueError, lambda: lowest({0: [1, 2, 3]}, 1.5)),
    "prunable: model must be a Sequential, got Linear": (TypeError, lambda: prunable(MODEL[0])),
    "prunable: model must have only units that 0 switches off between its layers, got Sigmoid at position 1":
        (TypeError, lambda: prunable(nn.Sequential(MODEL[0], nn.Sigmoid()))),
    "unit_scores: criterion must be": (ValueError, lambda: unit_scores(MODEL, X, Y, criterion="luck")),
    "remove_units: keep[0] must be 5 booleans of one of the layers [0, 3], at least one of them True, got "
    "shape (5,), 0 True": (ValueError, lambda: remove_units(MODEL, {0: np.zeros(5, bool)})),
    "mask_units: keep[0] must be 5 booleans":
        (ValueError, lambda: mask_units(MODEL, {0: np.ones(4, bool)})),
    "remove_units: keep[5] must be 0 booleans of one of the layers [0, 3]":
        (ValueError, lambda: remove_units(MODEL, {5: np.ones(3, bool)})),
}


@pytest.mark.parametrize("message", ERRORS)
def test_an_error_names_function_argument_requirement_and_value(message):
    kind, call = ERRORS[message]
    with pytest.raises(kind) as error:
        call()
    assert str(error.value).startswith(message)
