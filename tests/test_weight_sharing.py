"""Laws of shared weights: gradients are summed, zeros stay, and other weights move to the nearest values."""
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from strategies import rngs

from tinyml import Tensor, nn, optim
from tinyml.compression.weight_sharing import SharedWeight, lookup, share_biases, share_weights

EPS = np.finfo(float).eps
INITS = ["linear", "density", "random"]


@pytest.mark.parametrize("k, kind", [(255, np.uint8), (256, np.uint16)])
def test_codes_are_as_small_as_so_many_values_allow(k, kind):
    weight = np.arange(1, k + 1, dtype=np.float32)
    shared = SharedWeight.from_weight(nn.Parameter(weight), k=k)
    assert shared.codes.dtype == kind and shared.codes.max() == k
    assert_array_equal(shared().data, weight)


@st.composite
def coded(draw):
    rng, k = draw(rngs), draw(st.integers(0, 5))
    return rng, rng.standard_normal(k), rng.integers(0, k + 1, draw(st.tuples(*[st.integers(0, 5)] * 2)))


@given(coded())
def test_gradients_are_summed_per_cluster(case):
    rng, codebook, codes = case
    codes = codes.astype(np.uint8)
    shared, g = Tensor(codebook, requires_grad=True), rng.standard_normal(codes.shape)
    weight = lookup(shared, codes=codes)
    assert_array_equal(weight.data, np.append(0, codebook)[codes])
    weight.backward(g)
    expected = [g[codes == j].sum() for j in range(1, len(codebook) + 1)]
    assert_allclose(shared.grad, expected, atol=g.size * EPS * 5)    # sums of entries below 5, another order
    assert lookup(Tensor(codebook.astype(np.float32)), codes=codes).dtype == np.float32


@given(rngs, st.sampled_from([np.float32, np.float64]), st.sampled_from("CF"))
def test_looking_up_few_codes_is_the_same_to_the_last_bit(rng, dtype, order):
    """Of a shared weight that is mostly 0: value and gradient are those of `lookup`; no code is 4."""
    codebook = nn.Parameter(rng.standard_normal(4).astype(dtype))
    mostly_0 = rng.integers(1, 4, (7, 9)) * (rng.random((7, 9)) < 0.2)
    codes, g = np.asarray(mostly_0, np.uint8, order=order), rng.standard_normal((7, 9)).astype(dtype)
    found = []
    for weight in (SharedWeight(codebook, codes)(), lookup(codebook, codes=codes)):
        codebook.grad = None
        weight.backward(g)
        found.append((weight.data.tobytes("A"), codebook.grad.tobytes()))
    assert found[0] == found[1]


@st.composite
def weights(draw):
    rng, shape = draw(rngs), draw(st.tuples(*[st.integers(0, 8)] * 2))
    weight = rng.standard_normal(shape).astype(np.float32)
    return np.where(rng.random(shape) < draw(st.sampled_from([0, 0.5, 1])), np.float32(-0.0), weight)


@given(weights(), st.integers(1, 300), st.sampled_from(INITS), rngs)
@example(np.zeros((0, 3), np.float32), 2, "linear", None)
@example(np.zeros((2, 3), np.float32), 2, "density", None)
@example(np.full((2, 3), 7, np.float32), 2, "linear", None)
@example(np.array([[1, 2, 100]], np.float32), 3, "linear", None)    # k-means merges 1 and 2
def test_a_shared_weight_keeps_zeros_and_is_nearest_elsewhere(weight, k, init, rng):
    shared = SharedWeight.from_weight(nn.Parameter(weight), k=k, init=init, rng=rng)
    values, codebook = shared().data, shared.codebook.data
    assert values.shape == weight.shape and values.dtype == weight.dtype == codebook.dtype
    assert_array_equal(values == 0, weight == 0)
    assert not np.signbit(values[values == 0]).any()    # -0.0 would cost a place in the codebook
    assert codebook.size == min(k, len(np.unique(weight[weight != 0])))
    assert shared.codes.dtype == (np.uint8 if k <= 255 else np.uint16)
    kept = weight != 0
    nearest = np.abs(np.subtract.outer(weight[kept], codebook)).min(axis=-1, initial=np.inf)
    assert_array_equal(np.abs(weight[kept] - values[kept]), nearest)
    if k >= len(np.unique(weight[kept])):    # as many values as there are entries
        assert_array_equal(values, weight)


def network(rng):
    return nn.Sequential(nn.Linear(6, 8, rng=rng), nn.ReLU(), nn.Linear(8, 3, rng=rng))


@pytest.mark.parametrize("optimizer", [lambda p: optim.SGD(p, lr=0.1, momentum=0.9),
                                       lambda p: optim.AdamW(p, lr=0.01, weight_decay=0.1)])
def test_fine_tuning_lowers_the_loss_and_leaves_zeros_and_ties_alone(optimizer):
    rng = np.random.default_rng(0)
    model = network(rng)
    model[0].weight.data = np.where(rng.random((8, 6)) < 0.5, 0, model[0].weight.data)
    share_weights(model, bits=2)
    x, y = rng.standard_normal((64, 6)), rng.integers(0, 3, 64)
    codes, steps, losses = model[0].weight.codes.copy(), optimizer(model.parameters()), []
    for _ in range(60):
        steps.zero_grad()
        loss = nn.layers.F.cross_entropy(model(Tensor(x.astype(np.float32))), y)
        loss.backward()
        steps.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    weight = model[0].weight().data
    assert_array_equal(model[0].weight.codes, codes)
    assert_array_equal(weight == 0, codes == 0)
    assert len(np.unique(weight)) <= 1 + 4


def test_the_whole_model_is_shared_once():
    rng = np.random.default_rng(0)
    model = nn.Sequential(nn.Embedding(5, 4, rng=rng), nn.Linear(4, 4, rng=rng), nn.LayerNorm(4),
                          nn.Linear(4, 4, rng=rng), nn.Linear(4, 4, rng=rng))
    model[4].weight = model[3].weight
    norm, bias = model[2].weight, model[1].bias
    assert share_weights(model, bits=3) is model
    assert [model[i].weight.codebook.size for i in (0, 1, 3)] == [8, 8, 8]
    assert model[4].weight is model[3].weight and model[2].weight is norm and model[1].bias is bias
    before, vars(model)["0"] = model[1].weight, nn.Embedding(5, 4, rng=rng)
    with pytest.warns(UserWarning, match="^share_weights: left as they are: 1.weight .computed already, by Sha"):
        share_weights(model, bits=1)
    assert model[1].weight is before and model[0].weight.codebook.size == 2
    with pytest.raises(ValueError, match="^share_weights: model must have a weight.*; 3.weight is computed"):
        share_weights(model, bits=1)
    assert "8 values" in repr(model)
    half = SharedWeight(nn.Parameter(np.ones(1)), np.array([0, 1], np.uint8))
    assert "1 values, 50.0% not 0" in repr(half)


def test_convolutions_share_too():
    rng = np.random.default_rng(0)
    layer = nn.Conv2d(2, 3, 3, rng=rng)
    x, weight = Tensor(rng.standard_normal((1, 2, 5, 5)).astype(np.float32)), layer.weight.data
    y = layer(x).data
    share_weights(layer, bits=8)    # more values than weights
    assert layer.weight.codebook.size == weight.size
    assert_allclose(layer(x).data, y, atol=np.abs(weight).max())


@given(rngs, st.integers(1, 4))
@settings(max_examples=15)
def test_biases_move_to_few_values_and_codebooks_stay(rng, bits):
    model = nn.Sequential(nn.Linear(3, 40, rng=rng), nn.BatchNorm1d(40))
    share_weights(model, bits=6)
    codebook, bias, scale = model[0].weight.codebook.data, model[0].bias.data, model[1].weight.data
    assert share_biases(model, bits=bits) is model
    assert model[0].weight.codebook.data is codebook and model[1].weight.data is scale
    moved = model[0].bias.data
    assert len(np.unique(moved)) <= 1 << bits and moved.dtype == bias.dtype
    if bits >= 2:    # each within half a step of the linear start, or moved to lower the sum of squares
        assert ((moved - bias) ** 2).mean() <= (np.ptp(bias) / ((1 << bits) - 1)) ** 2 / 4


@pytest.mark.parametrize("call, error, message", [
    (lambda: SharedWeight.from_weight(nn.Parameter(np.full((2, 2), np.nan)), k=2), ValueError,
     "SharedWeight.from_weight: weight must be finite"),
    (lambda: SharedWeight(nn.Parameter(np.ones(2)), np.array([3], np.uint8)), ValueError,
     r"SharedWeight: codes must be ndarray of int, any shape, in 0..k with k = 2, got 3"),
    (lambda: SharedWeight(nn.Parameter(np.ones((1, 2))), np.array([1], np.uint8)), ValueError,
     r"SharedWeight: codebook must be Parameter, shape \(k,\), got shape \(1, 2\)"),
    (lambda: share_weights(network(np.random.default_rng(0)), bits=2, init="random"), TypeError,
     "share_weights: rng must be numpy.random.Generator"),
])
def test_an_error_names_function_argument_and_requirement(call, error, message):
    with pytest.raises(error, match="^" + message):
        call()
