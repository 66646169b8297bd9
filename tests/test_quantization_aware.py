"""The laws of quantization-aware training: the codes forward, the straight-through gradient backward."""
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from strategies import rngs

from tinyml import Tensor, nn
from tinyml import functional as F
from tinyml.compression.quantization import (
    DequantizedWeight,
    QParams,
    channel_range,
    choose_qparams,
    dequantize,
    quantize,
)
from tinyml.compression.quantization_aware import (
    FakeQuantizedWeight,
    LearnedStepWeight,
    codes_of,
    convert,
    fake_quantize,
    prepare,
    quantized_loss,
)
from tinyml.nn.skeleton import describe, rebuild
from tinyml.optim import SGD, Adam
from tinyml.train import fit

bits = st.integers(2, 8)
METHODS = {
    "identity": dict(), "inside": dict(share=0.5, gradient="inside"), "clipped": dict(share=0.5),
    "affine": dict(symmetric=False), "learned": dict(method="learned step"),
}
every_method = pytest.mark.parametrize("method", METHODS)


def weight(rng, shape=(3, 5)):
    return nn.Parameter(rng.standard_normal(shape).astype(np.float32))


def mlp(rng):
    return nn.Sequential(nn.Linear(6, 5, rng=rng), nn.ReLU(), nn.Linear(5, 3, rng=rng))


def computed(w, b, method):
    """The computed weight of a method."""
    layer = nn.Linear(w.shape[1], len(w), rng=np.random.default_rng(0))
    layer.weight = w
    return prepare(nn.Sequential(layer), bits=b, **METHODS[method])[0].weight


# ------------------------------------------------------------ forward

@every_method
@given(rng=rngs, b=bits)
def test_forward_is_there_and_back(method, rng, b):
    """Up to the rounding of v / s in float32, which decides between two codes only where they are as near."""
    q = computed(weight(rng), b, method)
    value = q().data
    assert value.dtype == np.float32 and len(np.unique(value[0])) <= 2 ** b
    again = dequantize(quantize(q.weight.data, q.qparams), q.qparams)
    tie = np.abs(np.abs(q.weight.data - value) - q.qparams.scale / 2) < 1e-5 * q.qparams.scale
    assert ((value == again) | tie).all()


def qparams_of(x, b, symmetric):
    """Steps and zeros for each row of x, of the middle half of its range: the rest is clipped."""
    low, high = channel_range(x, axis=0)
    return choose_qparams(low / 2, high / 2, bits=b, symmetric=symmetric)


@given(rng=rngs, b=bits, symmetric=st.booleans(), gradient=st.sampled_from(["inside", "identity"]))
def test_fake_quantization_is_dequantize_of_quantize(rng, b, symmetric, gradient):
    x = rng.standard_normal((3, 10))
    q = qparams_of(x, b, symmetric)
    expected = dequantize(quantize(x, q), q, dtype=np.float64)
    y = fake_quantize(Tensor(x), q, gradient=gradient).data
    assert_array_equal(y, expected)
    grid = q.scale * (np.arange(q.quant_min, q.quant_max + 1) - q.zero_point)    # (3, codes)
    distances = np.abs(x[:, :, None] - grid[:, None])
    assert_allclose(np.abs(x - y), distances.min(axis=-1), atol=1e-14)    # the nearest of all values
    assert_allclose(fake_quantize(Tensor(y), q, gradient=gradient).data, y, rtol=1e-15)


@given(st.integers(-9, 9), st.integers(-5, 5))
def test_half_a_step_goes_to_the_even_number_of_steps(power, zero):
    S, ties = 2.0 ** power, np.arange(-20, 20) + 0.5
    q = QParams(S, zero, -8, 7)
    assert_array_equal(fake_quantize(Tensor(S * ties), q).data,
                       [S * min(max(round(tie), -8 - zero), 7 - zero) for tie in ties.tolist()])


@given(rng=rngs, b=bits, c=st.sampled_from([2.0 ** -5, 0.5, 4.0]))
def test_scaling_weights_and_steps_scales_the_result_and_leaves_the_codes(rng, b, c):
    """By a power of two, so that nothing is rounded."""
    theta, S = rng.standard_normal((3, 4)), rng.uniform(0.1, 1, (3, 1))
    limits = -2 ** (b - 1), 2 ** (b - 1) - 1
    assert_array_equal(fake_quantize(Tensor(c * theta), QParams(c * S, 0, *limits)).data,
                       c * fake_quantize(Tensor(theta), QParams(S, 0, *limits)).data)


# ------------------------------------------------------------ backward

@given(rng=rngs, b=bits, symmetric=st.booleans())
def test_what_is_clipped_has_the_gradient_zero_or_one(rng, b, symmetric):
    """"inside": 0 where theta / S is outside of the codes. "identity": 1 everywhere, as in the notes."""
    theta, g = Tensor(rng.standard_normal((3, 10)), requires_grad=True), rng.standard_normal((3, 10))
    q = qparams_of(theta.data, b, symmetric)
    steps = theta.data / q.scale
    inside = (q.quant_min - q.zero_point <= steps) & (steps <= q.quant_max - q.zero_point)
    for gradient, slope in (("inside", inside), ("identity", 1)):
        theta.grad = None
        fake_quantize(theta, q, gradient=gradient).backward(g)
        assert_allclose(theta.grad, g * slope, rtol=1e-15)


@settings(max_examples=20)
@given(rng=rngs, b=bits)
def test_the_notes_estimator_is_the_identity_everywhere(rng, b):
    g = rng.standard_normal((3, 5)).astype(np.float32)
    for method in ("identity", "clipped", "affine"):
        q = computed(weight(rng), b, method)
        q().backward(g)
        assert_allclose(q.weight.grad, g, rtol=1e-5)    # S and 1/S in float32


@settings(max_examples=20)
@given(rng=rngs, b=bits)
def test_the_gradient_inside_stops_at_what_is_clipped(rng, b):
    g = rng.standard_normal((3, 5)).astype(np.float32)
    q = computed(weight(rng), b, "inside")
    q().backward(g)
    scale, _, low, high = q.qparams
    steps = q.weight.data / scale
    assert_allclose(q.weight.grad, np.where((low <= steps) & (steps <= high), g, 0), rtol=1e-6)
    assert (q.weight.grad == 0).any()


@given(rng=rngs, b=bits)
def test_value_and_gradients_of_a_learned_step_are_those_of_the_paper(rng, b):
    """LSQ, equations 1 to 3, entry by entry."""
    low, high = -2 ** (b - 1), 2 ** (b - 1) - 1
    v, s = Tensor(rng.standard_normal((3, 4)), requires_grad=True), Tensor(
        rng.uniform(0.01, 1, (3, 1)), requires_grad=True)
    g = rng.standard_normal((3, 4))
    value = fake_quantize(v, QParams(s, 0, low, high))
    value.backward(g)
    expected, d_v, d_s = np.zeros((3, 4)), np.zeros((3, 4)), np.zeros((3, 1))
    for i in range(3):
        for j in range(4):
            r = v.data[i, j] / s.data[i, 0]
            expected[i, j] = s.data[i, 0] * min(max(round(r), low), high)
            d_v[i, j] = g[i, j] if low <= r <= high else 0
            d_s[i, 0] += g[i, j] * (low if r < low else high if r > high else round(r) - r)
    assert_allclose(value.data, expected, rtol=1e-15)
    assert_allclose(v.grad, d_v, rtol=1e-15)
    assert_allclose(s.grad, d_s, rtol=1e-12, atol=4 * 2 ** b * np.finfo(float).eps * np.abs(g).sum())


@given(rng=rngs, b=bits, n=st.integers(1, 6))
def test_a_learned_step_begins_as_in_the_paper_and_its_gradient_is_scaled(rng, b, n):
    v = weight(rng, (3, n))
    learned, q_max = LearnedStepWeight(v, bits=b), 2 ** (b - 1) - 1
    size, factor = np.abs(v.data).mean(axis=1, keepdims=True), 1 / np.sqrt(n * q_max)
    step = learned.qparams.scale
    assert_allclose(step, 2 * size / np.sqrt(q_max), rtol=1e-5)
    assert (learned.qparams.quant_min, learned.qparams.quant_max) == (-q_max - 1, q_max)
    s = Tensor(step, requires_grad=True)
    fake_quantize(v, QParams(s, 0, -q_max - 1, q_max)).sum().backward()
    learned().sum().backward()
    assert_allclose(learned.raw.grad, factor * s.grad.ravel(), rtol=1e-5, atol=1e-5 * 2 ** b)
    assert_allclose(step.ravel(), factor * learned.raw.data, rtol=1e-6)


@given(b=bits, power=st.integers(-5, 5))
def test_the_ends_are_inside_and_halves_round_to_even(b, power):
    low, high, s = -2 ** (b - 1), 2 ** (b - 1) - 1, Tensor(np.array([[2.0 ** power]]), requires_grad=True)
    ends, ties = np.array([low, high]), np.arange(low, high) + 0.5
    for ratio, slope in ((ends, [0, 0]), (ties, np.round(ties) - ties)):
        v, s.grad = Tensor((s.data * ratio).ravel(), requires_grad=True), None
        value = fake_quantize(v, QParams(s, 0, low, high))
        value.backward(g := np.arange(1.0, len(ratio) + 1)[None])
        assert_array_equal(value.data, s.data * np.round(ratio))
        assert_array_equal(v.grad, g[0])
        assert_allclose(s.grad, [[g[0] @ slope]], atol=1e-9)


def test_where_all_is_clipped_the_gradient_of_the_step_is_the_slope():
    """There rounding plays no part, and theta_q is linear in S."""
    v, s = Tensor(np.array([10.0, -10.0, 30.0, 20.0])), Tensor(np.array(1.0), requires_grad=True)

    def f(s):
        return fake_quantize(v, QParams(s, 0, -2, 1)).sum()
    f(s).backward()
    assert s.grad == f(Tensor(np.array(2.0))).item() - f(Tensor(np.array(1.0))).item() == 1 - 2 + 1 + 1


def test_a_weight_moves_between_its_codes_before_the_code_does():
    q = FakeQuantizedWeight(nn.Parameter(np.array([[1.0, 0.1]], np.float32)), bits=2)
    optimizer = SGD(q.parameters(), lr=0.1)
    real, code = [], []
    for _ in range(8):
        optimizer.zero_grad()
        (-q()[0, 1]).backward()
        optimizer.step()
        real.append(q.weight.data[0, 1])
        code.append(int(codes_of(q)[0, 1]))
    assert np.allclose(np.diff(real), 0.1) and code == [0, 0, 0, 0, 1, 1, 1, 1]


# ------------------------------------------------------------ models

@every_method
@settings(max_examples=5)
@given(rng=rngs, b=bits)
def test_converted_models_compute_the_same_bits_with_integers_alone(method, rng, b):
    model = mlp(rng)
    before = model.state_dict()
    prepared = prepare(model, bits=b, **METHODS[method])
    X, y = rng.standard_normal((20, 6)).astype(np.float32), rng.integers(0, 3, 20)
    fit(prepared, X, y, optimizer=Adam(prepared.parameters(), lr=0.01), epochs=3, batch_size=5, rng=rng)
    small = convert(prepared)
    assert small(Tensor(X)).data.tobytes() == prepared(Tensor(X)).data.tobytes()
    assert all(isinstance(m.weight, DequantizedWeight) and m.weight.codes.dtype in (np.int8, np.uint8)
               and len(np.unique(m.weight.codes)) <= 2 ** b for m in (small[0], small[2]))
    assert [name for name, _ in small.named_parameters()] == ["0.bias", "2.bias"]
    for copied in (rebuild(*describe(prepared)), rebuild(*describe(small))):
        assert copied(Tensor(X)).data.tobytes() == small(Tensor(X)).data.tobytes()
    assert all((before[key] == array).all() for key, array in model.state_dict().items())


def test_at_eight_bits_a_prepared_model_is_nearly_the_float_model():
    """Each weight is off by S / 2 = max|w| / 254 at most, so an output by |x|_1 max|w| / 254."""
    rng = np.random.default_rng(0)
    model = nn.Sequential(nn.Linear(6, 3, rng=rng))
    x = rng.standard_normal((50, 6)).astype(np.float32)
    bound = np.abs(x).sum(axis=1, keepdims=True) * np.abs(model[0].weight.data).max() / 254
    difference = np.abs(prepare(model, bits=8)(Tensor(x)).data - model(Tensor(x)).data)
    assert (difference <= 1.001 * bound).all() and difference.any()


@settings(max_examples=10)
@given(rng=rngs, b=bits)
def test_the_quantized_loss_is_that_of_the_prepared_model(rng, b):
    """l(f(x; Q(theta)), y), and its gradient in theta. The model keeps its weights."""
    model, x, y = mlp(rng), rng.standard_normal((5, 6)).astype(np.float32), rng.integers(0, 3, 5)
    prepared, own = prepare(model, bits=b), model.parameters()

    def Q(theta):
        return fake_quantize(theta, FakeQuantizedWeight(theta, bits=b).qparams, gradient="identity")
    ours, theirs = quantized_loss(model, x, y, Q=Q), F.cross_entropy(prepared(Tensor(x)), y)
    ours.backward()
    theirs.backward()
    assert ours.item() == theirs.item()
    assert all(now is then for now, then in zip(model.parameters(), own))
    there = {name.replace("weight.weight", "weight"): p for name, p in prepared.named_parameters()}
    for name, parameter in model.named_parameters():
        assert_array_equal(parameter.grad, there[name].grad)


@pytest.mark.parametrize("method", ["identity", "learned"])
def test_zero_weights_and_shared_weights(method):
    rng = np.random.default_rng(0)
    model = nn.Sequential(nn.Linear(3, 3, rng=rng), nn.Linear(3, 3, rng=rng))
    model[0].weight = model[1].weight
    model[1].weight.data = np.zeros((3, 3), np.float32)
    prepared = prepare(model, bits=4, **METHODS[method])
    assert prepared[0].weight is prepared[1].weight
    prepared(Tensor(np.ones((2, 3), np.float32))).sum().backward()
    assert np.isfinite(prepared[0].weight.weight.grad).all()
    small = convert(prepared)
    assert small[0].weight is small[1].weight and not small[0].weight.codes.any()


# ------------------------------------------------------------ errors

W = nn.Parameter(np.ones((2, 2), np.float32))


def with_steps(factor):
    learned = LearnedStepWeight(W, bits=2)
    learned.raw.data = factor * learned.raw.data
    return learned()


ERRORS = {
    "prepare: bits must be int in 2..16, got 33": lambda: prepare(nn.ReLU(), bits=33),
    "FakeQuantizedWeight: bits must be int in 1..16, >= 2 if symmetric":
        lambda: FakeQuantizedWeight(W, bits=1),
    "LearnedStepWeight: the steps must stay > 0, got -": lambda: with_steps([1, -1]),    # one is enough
    "LearnedStepWeight: the steps must stay > 0, got 0": lambda: with_steps([1, 0]),
    "prepare: model must have a weight, a parameter with two or more axes, got ReLU without":
        lambda: prepare(nn.ReLU(), bits=2),
    "convert: model must come from prepare": lambda: convert(mlp(np.random.default_rng(0))),
    "channel_range: x must be finite": lambda: LearnedStepWeight(nn.Parameter(np.array([[np.nan]])), bits=2),
}


@pytest.mark.parametrize("message", ERRORS)
def test_an_error_names_function_argument_requirement_and_value(message):
    with pytest.raises(ValueError) as error:
        ERRORS[message]()
    assert str(error.value).startswith(message)


@given(rng=rngs, rows=st.integers(2, 4), symmetric=st.booleans())
def test_every_unit_has_a_step_of_its_own(rng, rows, symmetric):
    sizes = 10.0 ** np.arange(rows)    # from unit to unit ten times as large
    theta = nn.Parameter((sizes[:, None] * rng.uniform(-1, 1, (rows, 5))).astype(np.float32))
    qparams = FakeQuantizedWeight(theta, bits=4, symmetric=symmetric).qparams
    low, high = theta.data.min(axis=1), theta.data.max(axis=1)
    alone = [choose_qparams(low[i], high[i], bits=4, symmetric=symmetric).scale for i in range(rows)]
    assert_allclose(np.ravel(qparams.scale), alone, rtol=1e-6)
