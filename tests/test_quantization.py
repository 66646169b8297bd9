"""The laws of quantization: half a step at most, 0 exactly, and codes that are small integers."""
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_allclose, assert_array_equal
from strategies import rngs

from tinyml import Tensor, nn
from tinyml.compression.quantization import (
    DequantizedWeight,
    QParams,
    channel_range,
    choose_qparams,
    code_range,
    dequantize,
    notes_codes,
    notes_dequantize,
    quantize,
    quantize_weights,
)
from tinyml.nn.skeleton import describe, rebuild

EPS = np.finfo(np.float64).eps
numbers = hnp.arrays(np.float64, hnp.array_shapes(max_dims=3, max_side=5), elements=st.floats(-100, 100))
bits = st.integers(2, 10)
signs = st.booleans()


def of(x, b, symmetric, axis=None):
    return choose_qparams(*channel_range(x, axis=axis), bits=b, symmetric=symmetric)


def there_and_back(x, qparams):
    return dequantize(quantize(x, qparams), qparams, dtype=np.float64)


# ------------------------------------------------------------ the notes' formula, and what it breaks

@given(numbers, st.integers(1, 64))
def test_the_notes_formula_errs_by_half_a_step_and_leaves_its_codes(theta, k):
    codes, delta = notes_codes(theta, k=k)
    assert codes.dtype == np.int64 and (np.abs(delta * codes - theta) <= delta / 2 * (1 + 4 * k * EPS)).all()
    assert delta == (np.abs(theta).max() / k or 1)
    ties = np.arange(-k, k) + 0.5    # round to even
    assert_array_equal(notes_codes(np.append(ties, k), k=k)[0], [*map(round, ties.tolist()), k])
    zeros, one = notes_codes(0 * theta, k=k)
    assert one == 1 and not zeros.any()
    size = np.abs(theta).max()
    if size > 1e-300:
        assert np.abs(codes).max() == k    # the largest weight has a code outside 0 ... K - 1
        assert ((codes < 0) == (theta < -delta / 2)).mean() == 1    # negative weights have negative codes


# ------------------------------------------------------------ numbers and codes

@given(rngs, st.integers(-300, 308), bits, signs)
@example(np.random.default_rng(0), 308, 8, False)    # high - low is beyond all floats
@example(np.random.default_rng(0), -300, 8, True)
def test_step_and_zero_are_those_of_the_formula(rng, power, b, symmetric):
    """In fractions: for ranges below 0, above it and around it, of any size."""
    low, high = np.sort(rng.uniform(-1.7, 1.7, (2, 4)), axis=0) * 10.0 ** power
    scale, zero_point, quant_min, quant_max = choose_qparams(low, high, bits=b, symmetric=symmetric)
    assert (quant_min, quant_max) == code_range(b, symmetric=symmetric)
    for S, Z, least, most in zip(scale, zero_point, low, high):
        least, most = min(Fraction(least), 0), max(Fraction(most), 0)
        exact = max(-least, most) / (2 ** (b - 1) - 1) if symmetric else (most - least) / (2 ** b - 1)
        assert abs(Fraction(S) / exact - 1) <= 4 * EPS
        assert Z == 0 if symmetric else abs(Z + least / exact) <= 0.5 + 1e-9


@given(bits, st.integers(-9, 9), st.integers(0, 2 ** 10))
def test_zero_halfway_between_two_codes_gets_the_even_one(b, power, code):
    code, S = code % (2 ** b - 1), 2.0 ** power
    low = -(code + 0.5) * S
    qparams = choose_qparams(low, low + S * (2 ** b - 1), bits=b, symmetric=False)
    assert qparams.scale == S and qparams.zero_point == round(code + 0.5)


@given(st.integers(-9, 9), st.integers(-5, 5))
@example(0, 1)
def test_half_a_step_goes_to_the_even_number_of_steps(power, zero):
    S, ties = 2.0 ** power, np.arange(-20, 20) + 0.5
    codes = [min(max(round(tie) + zero, -8), 7) for tie in ties.tolist()]
    assert_array_equal(quantize(S * ties, QParams(S, zero, -8, 7)), codes)


@given(numbers, bits, signs)
def test_inside_the_range_the_error_is_at_most_half_a_step(x, b, symmetric):
    qparams = of(x, b, symmetric)
    error = np.abs(there_and_back(x, qparams) - x)
    assert (error <= qparams.scale / 2 * (1 + 2 ** b * 4 * EPS) + 1e-300).all() or not symmetric
    # Z is rounded, so an affine range may end half a step early: there a code is clipped.
    assert (error <= qparams.scale * (1 + 2 ** b * 4 * EPS)).all()
    assert symmetric or abs(min(x.min(), 0) / qparams.scale + qparams.zero_point) <= 0.5 + 1e-9
    inside = np.clip(x, qparams.scale * (qparams.quant_min - qparams.zero_point),
                     qparams.scale * (qparams.quant_max - qparams.zero_point))
    assert (np.abs(there_and_back(inside, qparams) - inside)
            <= qparams.scale / 2 * (1 + 2 ** b * 4 * EPS)).all()


@given(numbers, bits, signs)
def test_zero_is_exact_and_codes_are_few_small_and_idempotent(x, b, symmetric):
    qparams = of(x, b, symmetric)
    assert there_and_back(np.zeros(3), qparams).tolist() == [0, 0, 0]
    codes = quantize(x, qparams)
    low, high = code_range(b, symmetric=symmetric)
    assert codes.min() >= low and codes.max() <= high and high - low + 1 <= 2 ** b
    assert codes.dtype == (np.int8 if symmetric else np.uint8) if b <= 8 else codes.dtype.itemsize == 2
    assert_array_equal(quantize(there_and_back(x, qparams), qparams), codes)


@given(rngs, bits, signs)
def test_codes_are_monotone(rng, b, symmetric):
    """Far outside of the range, too: no code wraps around."""
    x = np.sort(rng.standard_normal(50))
    for wider in (x, 100 * x, 1e6 * x):
        assert (np.diff(quantize(wider, of(x, b, symmetric)).astype(int)) >= 0).all()


@given(numbers, bits, st.floats(0.5, 2))
def test_symmetric_codes_change_sign_with_the_numbers(x, b, c):
    qparams = of(x, b, True)
    assert_array_equal(quantize(-x, qparams), -quantize(x, qparams).astype(int))


@settings(max_examples=20)
@given(rngs, signs)
def test_each_bit_divides_the_mean_squared_error_by_four(rng, symmetric):
    """For numbers that are uniform on the range the error is uniform on a step: S^2 / 12, S ~ 2^-b.
    2,000 samples give the mean to 5 sqrt(4 / 5 / 2000) = 10 %, twice; and S is off by (2^b)^-1 < 7 %."""
    x = rng.uniform(-1, 1, 2000)
    errors = [((there_and_back(x, of(x, b, symmetric)) - x) ** 2).mean() for b in (5, 6, 7, 8)]
    ratios = np.divide(errors[:-1], errors[1:])
    assert (np.abs(ratios / 4 - 1) < 0.3).all()
    assert_allclose(errors[-1], of(x, 8, symmetric).scale ** 2 / 12, rtol=0.12)


@given(rngs, bits, signs)
def test_a_step_per_channel_is_that_of_each_channel_alone(rng, b, symmetric):
    x = rng.standard_normal((3, 2, 4)) * [[[1]], [[10]], [[0.1]]]
    together = of(x, b, symmetric, axis=0)
    assert together.scale.shape == together.zero_point.shape == (3, 1, 1)
    assert together.scale.dtype == np.float64 and together.zero_point.dtype == np.int64
    for c in range(3):
        alone = of(x[c], b, symmetric)
        assert together.scale[c] == alone.scale and together.zero_point[c] == alone.zero_point
        assert_array_equal(quantize(x, together)[c], quantize(x[c], alone))


@given(rngs, st.integers(1, 3), st.data())
def test_the_range_of_a_slice_is_that_of_its_numbers_along_any_axis(rng, ndim, data):
    x = rng.standard_normal([2, 3, 4][:ndim])
    axis = data.draw(st.integers(-ndim, ndim - 1))
    low, high = channel_range(x, axis=axis)
    assert low.shape == high.shape == tuple(n if i == axis % ndim else 1 for i, n in enumerate(x.shape))
    slices = [np.take(x, c, axis=axis) for c in range(x.shape[axis])]
    assert_array_equal(low.ravel(), [s.min() for s in slices])
    assert_array_equal(high.ravel(), [s.max() for s in slices])
    assert channel_range(x) == (x.min(), x.max())
    for none in (ndim, -ndim - 1):
        with pytest.raises(ValueError):
            channel_range(x, axis=none)


@pytest.mark.parametrize("x", [np.zeros(3), np.full(4, 2.5), np.full(4, -2.5), [0.0], [1e300, -1e300],
                               [1.7e308, -1.7e308], [5e-324]])
@pytest.mark.parametrize("symmetric", [True, False])
def test_ranges_at_the_edge_give_the_right_answer(x, symmetric):
    x = np.asarray(x)
    q = of(x, 8, symmetric)
    assert np.isfinite(q.scale) and q.scale > 0
    assert_allclose(there_and_back(x, q), x, rtol=1e-2, atol=1e-300)    # half a step of 1/127 and 1/255


# ------------------------------------------------------------ models

def cnn(rng):
    return nn.Sequential(nn.Conv2d(1, 3, 3, rng=rng), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(),
                         nn.Linear(3 * 16, 4, bias=False, rng=rng), nn.BatchNorm1d(4),
                         nn.Linear(4, 2, rng=rng))


@settings(max_examples=10)
@given(rngs, st.integers(2, 8), signs, st.booleans())
def test_a_quantized_model_computes_with_the_numbers_its_codes_stand_for(rng, b, symmetric, per_channel):
    model = cnn(rng).eval()
    small = quantize_weights(model, bits=b, symmetric=symmetric, per_channel=per_channel)
    x = Tensor(rng.standard_normal((5, 1, 6, 6)).astype(np.float32))
    plain = cnn(rng).eval()
    for old, new, q in zip(model, plain, small):
        if not hasattr(old, "bias"):
            continue
        vars(new).update(vars(old))
        if isinstance(old, (nn.Linear, nn.Conv2d)):
            assert q.weight.codes.dtype in (np.int8, np.uint8) and isinstance(old.weight, nn.Parameter)
            assert q.weight.scale.size == (len(old.weight) if per_channel else 1)
            new.weight = nn.Parameter(dequantize(q.weight.codes, q.weight.qparams))
            error = np.abs(new.weight.data - old.weight.data)
            assert (error <= q.weight.scale * (0.501 if symmetric else 1.001)).all()
    assert_array_equal(small(x).data, plain(x).data)
    again = rebuild(*describe(small))
    assert again(x).data.tobytes() == small(x).data.tobytes()


def test_a_shared_weight_stays_shared_and_a_computed_one_is_left_alone():
    rng = np.random.default_rng(0)
    model = nn.Sequential(nn.Linear(3, 3, rng=rng), nn.Linear(3, 3, rng=rng))
    model[1].weight = model[0].weight
    small = quantize_weights(model, bits=4)
    assert small[0].weight is small[1].weight
    with pytest.raises(ValueError, match="^quantize_weights: model must have a weight, .*0.weight is computed already, by Deq"):
        quantize_weights(small, bits=4)


# ------------------------------------------------------------ errors

ERRORS = {
    "choose_qparams: low must be <= high, got [0. 1.] and [2. 0.]":    # one channel is enough
        lambda: choose_qparams([0.0, 1.0], [2.0, 0.0], bits=8, symmetric=False),
    "choose_qparams: low must be <= high, got 1.0 and 0.0":
        lambda: choose_qparams(1, 0, bits=8, symmetric=True),
    "choose_qparams: high must be array_like of float64, shape (*axes) with *axes = (1,), got shape (2,)":
        lambda: choose_qparams([1], [2, 3], bits=8, symmetric=True),
    "choose_qparams: bits must be int in 1..16, >= 2 if symmetric":
        lambda: choose_qparams(0, 1, bits=1, symmetric=True),
    "code_range: bits must be int in 1..16, >= 2 if symmetric": lambda: code_range(1, symmetric=True),
    "quantize_weights: bits must be int in 1..16, >= 2 if symmetric":
        lambda: quantize_weights(nn.ReLU(), bits=1),
    "quantize_weights: bits must be int in 1..16, >= 2 if symmetric with symmetric = True, got 33": lambda: quantize_weights(nn.ReLU(), bits=33),
    "channel_range: axis must be in -2..1, got 2": lambda: channel_range(np.ones((2, 3)), axis=2),
    "channel_range: x must be finite": lambda: DequantizedWeight.from_weight(
        Tensor(np.array([[np.nan]])), bits=8),
}


@pytest.mark.parametrize("message", ERRORS)
def test_an_error_names_function_argument_requirement_and_value(message):
    with pytest.raises(ValueError) as error:
        ERRORS[message]()
    assert str(error.value).startswith(message)


@given(hnp.arrays(np.int64, hnp.array_shapes(max_dims=3), elements=st.integers(-9, 9)),
       st.floats(1e-3, 1e3))
def test_the_weights_of_the_notes_are_steps_times_codes(q, delta):
    """And their codes are q again where the largest is K."""
    theta = notes_dequantize(q, delta)
    assert theta.dtype == np.float64 and theta.shape == q.shape
    assert theta.ravel().tolist() == [delta * code for code in q.ravel().tolist()]
    k = np.abs(q).max()
    if k > 0:
        assert_array_equal(notes_codes(theta, k=k)[0], q)
