"""The laws of structured pruning: scores are what the papers say, and the lowest go."""
import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from strategies import rngs

from tinyml import Tensor, nn
from tinyml import functional as F
from tinyml.compression.quantization import quantize_weights
from tinyml.compression.removal import mask_units, remove_units
from tinyml.compression.structured import (
    activation_scores,
    feature_maps,
    norm_scores,
    normalized,
    oracle_scores,
    taylor_scores,
    unit_scores,
    units_to_keep,
)
from tinyml.nn.units import prunable


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


def linear(rng):
    """Without activations: z is what the norm computes."""
    return double(nn.Sequential(nn.Linear(6, 5, rng=rng), nn.BatchNorm1d(5), nn.Dropout(rng=rng),
                                nn.Linear(5, 3, rng=rng)))


def cnn(rng):
    return double(nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1, rng=rng), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(4, 3, 2, bias=False, rng=rng), nn.GELU("tanh"), nn.Flatten(),
        nn.Linear(3 * 4, 5, rng=rng), nn.ReLU(), nn.Dropout(rng=rng), nn.Linear(5, 3, rng=rng)))


def flat(rng):
    """Norm and activation behind the Flatten: each filter has 4 x 4 entries there."""
    return double(nn.Sequential(nn.Conv2d(1, 3, 3, rng=rng), nn.Flatten(), nn.BatchNorm1d(48),
                                nn.ReLU(), nn.Linear(48, 3, rng=rng)))


def tokens(rng):
    """Units of a Linear are last, behind the tokens, also in what a Flatten makes of them."""
    return double(nn.Sequential(nn.Linear(3, 5, rng=rng), nn.Tanh(), nn.Linear(5, 4, rng=rng),
                                nn.Flatten(), nn.ReLU(), nn.Linear(4 * 7, 3, rng=rng)))


def series(rng):
    return double(nn.Sequential(nn.Conv1d(2, 4, 3, rng=rng), nn.BatchNorm1d(4), nn.ReLU(),
                                nn.MaxPool1d(2), nn.Conv1d(4, 3, 2, rng=rng), nn.ReLU(),
                                nn.Flatten(), nn.Linear(6, 3, rng=rng)))


def depthwise(rng):
    """A filter for each unit of the first layer, then of the third, with norms of their own or none."""
    return double(nn.Sequential(
        nn.Conv2d(1, 4, 3, padding="same", rng=rng), nn.BatchNorm2d(4), nn.ReLU(),
        nn.Conv2d(4, 4, 3, stride=2, padding=1, groups=4, rng=rng), nn.BatchNorm2d(4), nn.ReLU(),
        nn.Conv2d(4, 3, 1, rng=rng), nn.Conv2d(3, 3, 2, dilation=2, groups=3, bias=False, rng=rng), nn.Tanh(),
        nn.Conv2d(3, 3, 1, groups=3, rng=rng), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(3, 3, rng=rng)))


MODELS = {"depthwise": (depthwise, (1, 6, 6)), "mlp": (mlp, (6,)), "linear": (linear, (6,)), "cnn": (cnn, (1, 6, 6)),
          "flat": (flat, (1, 6, 6)), "tokens": (tokens, (7, 3)), "series": (series, (2, 8))}
every = pytest.mark.parametrize("name", MODELS)


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


def units_of(layer, z):
    """A view of z with the units of the layer first, whichever axis they are on."""
    n = len(layer.weight)
    if isinstance(layer, nn.Linear):
        return np.moveaxis(z.reshape(len(z), -1, n), 2, 0)
    return np.moveaxis(z.reshape(len(z), n, -1), 1, 0)


# ------------------------------------------------------------ scores

def test_one_filter_behind_one_filter_is_a_layer_of_its_own():
    """With one channel a plain convolution has as many groups, filters and channels as a depthwise one."""
    conv = nn.Conv2d(1, 1, 3, rng=np.random.default_rng(0))
    found = prunable(nn.Sequential(conv, nn.ReLU(), copy.deepcopy(conv), nn.ReLU(), copy.deepcopy(conv)))
    assert [(layer, units.reader) for layer, units in found.items()] == [(0, 2), (2, 4)]


@given(rng=rngs, order=st.sampled_from([1, 2]))
def test_norms_are_those_of_rows_and_filters(rng, order):
    weight = rng.standard_normal((3, 2, 4))
    expected = [(np.abs(w) ** order).sum() ** (1 / order) for w in weight]
    assert_allclose(norm_scores(weight, order=order), expected, rtol=1e-14)
    assert_array_equal(norm_scores(np.zeros((3, 0)), order=order), np.zeros(3))
    assert norm_scores(np.zeros((0, 3)), order=order).shape == (0,)
    assert_allclose(norm_scores(-2 * weight, order=order), 2 * np.array(expected), rtol=1e-14)


@every
@settings(max_examples=10)
@given(rng=rngs)
def test_a_taylor_score_is_the_slope_of_the_cost_in_a_gate(name, rng):
    """Theta = mean_n |dC_n/dgate| / M at gate 1, where z = gate z; central difference, error h^2.

    The differences on both sides agree up to h C'', unless a ReLU has its kink there.
    """
    model, X, y = problem(name, rng)
    maps, h = feature_maps(model, X, y), 1e-5
    for layer, units in prunable(model).items():
        z, d_z = maps[layer]
        k = int(rng.integers(z.shape[1]))

        def cost(gate):
            def gates(z):
                of_unit = np.zeros(z.shape)
                positions = units_of(model[layer], of_unit)    # a view
                positions[k] = gate - 1
                return 1 + of_unit

            def scaled(module, x, z):
                if module is model[units.output]:
                    return z * gates(z)
            with nn.forward_hook(scaled):
                return F.cross_entropy(model(Tensor(X)), y, reduction="none").data
        below, at, above = (cost(gate) for gate in (1 - h, 1, 1 + h))
        if np.abs(above - 2 * at + below).max() > 1e-3 * h:
            continue
        slope = np.abs(above - below) / (2 * h)
        positions = np.prod(z.shape[2:], initial=1)
        assert_allclose(taylor_scores(z, d_z)[k], slope.mean() / positions, rtol=1e-5, atol=1e-9)


@every
@settings(max_examples=5)
@given(rng=rngs)
def test_the_oracle_is_the_cost_of_the_model_without_the_unit(name, rng):
    model, X, y = problem(name, rng)

    def cost(model):
        return F.cross_entropy(model(Tensor(X)), y).item()

    for layer, scores in oracle_scores(model, X, y).items():
        k = int(rng.integers(len(scores)))
        without = remove_units(model, {layer: np.arange(len(scores)) != k})
        assert_allclose(scores[k], abs(cost(without) - cost(model)), rtol=1e-9, atol=1e-12)


@given(rng=rngs)
def test_the_norm_criterion_and_the_oracle_are_those_of_their_functions(rng):
    model, X, y = problem("mlp", rng)
    for layer, scores in unit_scores(model, X, y, criterion="norm").items():
        expected = np.linalg.norm(norm_scores(model[layer].weight.data))
        of_weight = norm_scores(model[layer].weight.data) / (expected or 1)
        assert_allclose(scores / (np.linalg.norm(scores) or 1), of_weight, rtol=1e-6, atol=1e-12)
    oracle = oracle_scores(model, X, y)
    for layer, scores in unit_scores(model, X, y, criterion="oracle").items():
        direction = oracle[layer] / (np.linalg.norm(oracle[layer]) or 1)
        assert_allclose(scores / (np.linalg.norm(scores) or 1), direction, rtol=1e-6, atol=1e-12)


@given(rng=rngs)
def test_a_silent_unit_scores_zero_by_every_criterion_that_uses_data(rng):
    model, X, y = problem("mlp", rng)
    model = mask_units(model, {0: np.arange(5) != 2})
    for criterion in ("activation", "taylor", "oracle"):
        assert unit_scores(model, X, y, criterion=criterion)[0][2] == 0


@given(rng=rngs, n=st.integers(1, 4), m=st.integers(1, 5))
def test_data_scores_are_means_over_samples(rng, n, m):
    """They equal a loop, and stay the same if every sample is given twice."""
    z, d_z = rng.standard_normal((2, n, 3, m))
    loop = [np.mean([abs(sum(z[i, k] * d_z[i, k]) / m) for i in range(n)]) for k in range(3)]
    assert_allclose(taylor_scores(z, d_z), loop, rtol=1e-12)
    assert_allclose(activation_scores(z), [np.abs(z[:, k]).sum() / (n * m) for k in range(3)], rtol=1e-12)
    assert_allclose(taylor_scores(np.tile(z, (2, 1, 1)), np.tile(d_z, (2, 1, 1))), loop, rtol=1e-12)
    maps, d_maps = rng.standard_normal((2, n, 3, 2, m))    # M = 2 m positions
    flat = taylor_scores(maps.reshape(n, 3, -1), d_maps.reshape(n, 3, -1))
    assert_allclose(taylor_scores(maps, d_maps), flat, rtol=1e-12)


# ------------------------------------------------------------ a module at several positions

def reused(rng):
    """A model of a few layers, norms and activations, each drawn several times, and its own copy."""
    layers = [nn.Linear(4, 4, rng=rng) for _ in range(2)]
    norms = [nn.BatchNorm1d(4) for _ in range(2)]
    layers[1].weight = layers[rng.integers(2)].weight    # in half of the models both share one
    activations = [nn.ReLU(), nn.Tanh(), nn.Dropout(rng=rng)]
    chosen = []
    for _ in range(rng.integers(2, 5)):
        chosen.append(layers[rng.integers(2)])
        chosen += [norms[rng.integers(2)]] * int(rng.integers(2))
        chosen += [activations[i] for i in rng.integers(0, 3, rng.integers(3))]
    double(nn.Sequential(*layers, *norms))
    model = nn.Sequential(*chosen, double(nn.Sequential(nn.Linear(4, 3, rng=rng)))[0])
    return model, nn.Sequential(*(copy.deepcopy(module) for module in model))


@given(rng=rngs)
def test_modules_at_several_positions_are_scored_and_cut_as_if_each_were_its_own(rng):
    model, own = reused(rng)
    X, y = rng.standard_normal((6, 4)), rng.integers(0, 3, 6)
    assert prunable(model) == prunable(own)
    for criterion in ("norm", "activation", "taylor", "oracle"):
        scores, expected = (unit_scores(m, X, y, criterion=criterion) for m in (model, own))
        assert list(scores) == list(expected)
        for layer in expected:
            assert_array_equal(scores[layer], expected[layer])
    keep, before = random_keep(model, rng), model.state_dict()
    outputs = [cut(m, keep).eval()(Tensor(X)).data
               for cut in (mask_units, remove_units) for m in (model, own)]
    for y in outputs[1:]:
        assert_allclose(y, outputs[0], rtol=1e-12, atol=1e-12)
    assert all((array == before[name]).all() for name, array in model.state_dict().items())


@given(rng=rngs, size=st.integers(1, 6))
def test_normalized_scores_have_length_one_and_keep_their_order(rng, size):
    scores = np.abs(rng.standard_normal(size))
    assert_allclose(np.linalg.norm(normalized(scores)), 1, rtol=1e-12)
    assert_array_equal(np.argsort(normalized(scores)), np.argsort(scores))
    assert_array_equal(normalized(0 * scores), 0 * scores)


# ------------------------------------------------------------ choice

@given(rng=rngs, sizes=st.lists(st.integers(1, 5), min_size=1, max_size=3), data=st.data())
def test_the_lowest_go_and_every_layer_keeps_a_unit(rng, sizes, data):
    scores = {i: rng.integers(-2, 3, size).astype(float) for i, size in enumerate(sizes)}
    k = data.draw(st.integers(0, sum(sizes) - len(sizes)))
    scores = {i: scores[i] for i in data.draw(st.permutations(range(len(sizes))))}    # keys in any order
    keep = units_to_keep(scores, k)
    assert list(keep) == list(scores) and {mask.dtype for mask in keep.values()} == {np.dtype(bool)}
    assert sum((~mask).sum() for mask in keep.values()) == k
    assert all(mask.any() for mask in keep.values())
    left = [list(range(len(s))) for s in scores.values()]
    for _ in range(k):    # one after the other: the lowest that may go; ties in order
        _, place, unit = min((s[unit], place, unit) for place, s in enumerate(scores.values())
                             for unit in left[place] if len(left[place]) > 1)
        left[place].remove(unit)
    assert [np.flatnonzero(mask).tolist() for mask in keep.values()] == left
    with pytest.raises(ValueError, match="units_to_keep: k must be at most"):
        units_to_keep(scores, sum(sizes) - len(sizes) + 1)
    if k:    # masks nest
        assert all((more | ~less).all() for more, less in zip(units_to_keep(scores, k - 1).values(), keep.values()))


# ------------------------------------------------------------ errors

class Shifted(nn.ReLU):
    def forward(self, x):
        return super().forward(x) + 1


class Named(nn.Linear):
    """A class of its own that computes what a Linear does."""


def test_a_subclass_is_known_by_what_it_computes():
    rng = np.random.default_rng(0)
    model = nn.Sequential(Named(2, 3, rng=rng), nn.ReLU(), Named(3, 2, rng=rng))
    assert list(prunable(model)) == [0]


class Doubled(nn.Sequential):
    def forward(self, x):
        return 2 * super().forward(x)


MODEL, X, Y = problem("mlp", np.random.default_rng(0))
RNG = np.random.default_rng(0)
BEHIND = ("prunable: model must have behind each layer at most one batch norm, then only ReLU, GELU, "
          "Tanh, Dropout, pooling and Flatten, which map 0 to 0")
CONV, LINEAR = nn.Conv2d(1, 2, 3, rng=RNG), nn.Linear(2, 3, rng=RNG)
ERRORS = {
    "units_to_keep: scores must be finite": (ValueError, lambda: units_to_keep({0: [np.nan, 1]}, 1)),
    "units_to_keep: scores must have 1 axes": (ValueError, lambda: units_to_keep({0: [[1, 2], [3, 4]]}, 1)),
    "units_to_keep: k must be at most 2, so that every layer keeps a unit, got 3":
        (ValueError, lambda: units_to_keep({0: [1, 2, 3]}, 3)),
    "prunable: model must apply its layers one by one, got a Doubled with a forward of its own":
        (TypeError, lambda: prunable(Doubled(*MODEL))),
    f"{BEHIND}, got Shifted at position 1":
        (TypeError, lambda: prunable(nn.Sequential(LINEAR, Shifted(), nn.Linear(3, 2, rng=RNG)))),
    f"{BEHIND}, got Sigmoid at position 1":
        (TypeError, lambda: prunable(nn.Sequential(MODEL[0], nn.Sigmoid()))),
    f"{BEHIND}, got Sequential at position 1; write its layers one by one":
        (TypeError, lambda: prunable(nn.Sequential(MODEL[0], nn.Sequential()))),
    "prunable: the Linear at position 1 must read the 2 units of the Conv2d at position 0, got 2":
        (ValueError, lambda: prunable(nn.Sequential(CONV, LINEAR))),
    "prunable: the Conv2d at position 1 must read the 3 units of the Linear at position 0, got 1":
        (ValueError, lambda: prunable(nn.Sequential(LINEAR, CONV))),
    "prunable: the Conv2d at position 0 must have groups=1, or one filter for each unit of a convolution in front of "
    "it, got 4 filters in groups=2": (ValueError, lambda: prunable(nn.Sequential(nn.Conv2d(2, 4, 1, groups=2, rng=RNG)))),
    "prunable: the Conv2d at position 1 must have groups=1, or one filter for each unit of a convolution in front of "
    "it, got 4 filters in groups=2": (ValueError, lambda: prunable(nn.Sequential(CONV, nn.Conv2d(2, 4, 1, groups=2, rng=RNG)))),
    "prunable: the Conv2d at position 2 must have groups=1": (ValueError, lambda: prunable(nn.Sequential(
        CONV, nn.Flatten(), nn.Conv2d(2, 2, 1, groups=2, rng=RNG)))),
    "mask_units: 1.weight must be a Parameter, got a DequantizedWeight": (ValueError, lambda: mask_units(nn.Sequential(
        CONV, *quantize_weights(nn.Sequential(nn.Conv2d(2, 2, 1, groups=2, rng=RNG)), bits=8), nn.Conv2d(2, 1, 1, rng=RNG)),
        {0: np.ones(2, bool)})),
    "prunable: the Linear at position 2 must read the 3 units of the Linear at position 0, got 2":
        (ValueError, lambda: prunable(nn.Sequential(LINEAR, nn.Flatten(), LINEAR))),
    "prunable: the Linear at position 3 must read the 3 units of the Linear at position 0, got 6 "
    "inputs behind ['MaxPool1d', 'Flatten']": (ValueError, lambda: prunable(nn.Sequential(
        LINEAR, nn.MaxPool1d(2), nn.Flatten(), nn.Linear(6, 1, rng=RNG)))),
    "prunable: the Linear at position 1 must read the 3 units of the Linear at position 0, got 2":
        (ValueError, lambda: prunable(nn.Sequential(LINEAR, LINEAR))),
    "prunable: the Linear at position 2 must read the 3 units of the Linear at position 1, got 6":
        (ValueError, lambda: prunable(nn.Sequential(
            nn.Flatten(), LINEAR, nn.Linear(6, 1, rng=RNG)))),
    "prunable: the Conv2d at position 2 must read the 2 units of the Conv2d at position 0, got 4":
        (ValueError, lambda: prunable(nn.Sequential(
            CONV, nn.Flatten(), nn.Conv2d(4, 1, 1, rng=RNG)))),
    "prunable: the batch norm at position 2 must have an entry for each of the 2 units of the layer "
    "at position 0, got 5":
        (ValueError, lambda: prunable(nn.Sequential(CONV, nn.Flatten(), nn.BatchNorm1d(5)))),
    "prunable: the batch norm at position 1 must have an entry for each of the 3 units of the layer "
    "at position 0, got 6": (ValueError, lambda: prunable(nn.Sequential(LINEAR, nn.BatchNorm1d(6)))),
}


@pytest.mark.parametrize("message", ERRORS)
def test_an_error_names_function_argument_requirement_and_value(message):
    kind, call = ERRORS[message]
    with pytest.raises(kind) as error:
        call()
    assert str(error.value).startswith(message)
