"""The laws of quantization: half a step at most, 0 exactly, and codes that are small integers."""
import copy
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_allclose, assert_array_equal
from strategies import rngs

from tinyml import Tensor, nn, ops
from tinyml.compression.quantization import (DequantizedWeight, MinMaxObserver, MovingAverageObserver,
                                             MSEObserver, PercentileObserver, QParams, SamplingObserver,
                                             channel_range, choose_qparams, code_range, dequantize,
                                             fold_batch_norm, fold_norm, notes_codes, quantize,
                                             quantize_weights)
from tinyml.nn.places import opened
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
    ties = np.arange(-k, k) + 0.5    # of two as near the even code
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
def test_a_zero_between_two_codes_has_the_even_one(b, power, code):
    code, S = code % (2 ** b - 1), 2.0 ** power
    low = -(code + 0.5) * S
    qparams = choose_qparams(low, low + S * (2 ** b - 1), bits=b, symmetric=False)
    assert qparams.scale == S and qparams.zero_point == round(code + 0.5)


@given(st.integers(-9, 9), st.integers(-5, 5))
@example(0, 1)
def test_of_two_codes_as_near_it_is_that_of_the_even_number_of_steps(power, zero):
    S, ties = 2.0 ** power, np.arange(-20, 20) + 0.5
    codes = [min(max(round(tie) + zero, -8), 7) for tie in ties.tolist()]
    assert_array_equal(quantize(S * ties, QParams(S, zero, -8, 7)), codes)
    x = Tensor(S * ties, requires_grad=True)
    fake = ops.fake_quantize(x, scale=S, zero_point=zero, quant_min=-8, quant_max=7)
    assert_array_equal(fake.data, S * (np.array(codes) - zero))
    fake.backward(np.ones(len(ties)))
    assert_array_equal(x.grad, [-8 <= round(tie) + zero <= 7 for tie in ties.tolist()])    # the ends are codes


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
    x = np.sort(rng.standard_normal(50))
    assert (np.diff(quantize(x, of(x, b, symmetric)).astype(int)) >= 0).all()


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


@given(rngs, bits, signs)
def test_the_engine_s_fake_quantization_is_there_and_back(rng, b, symmetric):
    x = rng.standard_normal(20)
    q = of(x[:10], b, symmetric)    # some of the rest is outside
    fake = ops.fake_quantize(Tensor(x), scale=float(q.scale), zero_point=int(q.zero_point),
                             quant_min=q.quant_min, quant_max=q.quant_max)
    assert_array_equal(fake.data, there_and_back(x, q))


@pytest.mark.parametrize("x", [np.zeros(3), np.full(4, 2.5), np.full(4, -2.5), [0.0], [1e300, -1e300],
                               [1.7e308, -1.7e308], [5e-324]])
@pytest.mark.parametrize("symmetric", [True, False])
def test_ranges_at_the_edge_give_the_right_answer(x, symmetric):
    x = np.asarray(x)
    q = of(x, 8, symmetric)
    assert np.isfinite(q.scale) and q.scale > 0
    assert_allclose(there_and_back(x, q), x, rtol=1e-2, atol=1e-300)    # half a step of 1/127 and 1/255


# ------------------------------------------------------------ observers

@given(rngs, st.integers(1, 4))
def test_observers_see_ranges(rng, n):
    batches = [rng.standard_normal(50) * (k + 1) for k in range(n)]
    everything = np.concatenate(batches)
    minmax, whole, moving, tight = (MinMaxObserver(), PercentileObserver(100), MovingAverageObserver(0.5),
                                    PercentileObserver(80))
    for batch in batches:
        for observer in (minmax, whole, moving, tight):
            observer.update(batch)
            observer.update(np.zeros(0))
    assert minmax.range() == whole.range() == (everything.min(), everything.max())
    ends = np.array([batches[0].min(), batches[0].max()])
    for batch in batches[1:]:
        ends = (ends + [batch.min(), batch.max()]) / 2
    assert_allclose(moving.range(), ends, rtol=1e-12)
    low, high = tight.range()
    assert 0.7 <= ((low <= everything) & (everything <= high)).mean() <= 0.9


OBSERVERS = {
    "MinMax": MinMaxObserver, "MovingAverage": MovingAverageObserver, "Percentile": PercentileObserver,
    "Percentile 60": lambda: PercentileObserver(60), "MSE": lambda: MSEObserver(bits=4),
}


def held(observer):
    """How many numbers an observer holds."""
    return sum(np.size(value) for value in vars(observer).values() if isinstance(value, (np.ndarray, list)))


@pytest.mark.parametrize("name", OBSERVERS)
def test_the_memory_of_an_observer_is_bounded_and_an_update_does_not_grow(name, monkeypatch):
    monkeypatch.setattr(SamplingObserver, "capacity", 1000)
    observer, rng, held_after, worked = OBSERVERS[name](), np.random.default_rng(0), [], []
    for f in ("concatenate", "argpartition"):    # numbers that pass through an update
        plain = getattr(np, f)
        monkeypatch.setattr(np, f, lambda x, *a, plain=plain: (worked.append(np.size(x) if isinstance(
            x, np.ndarray) else sum(map(np.size, x))), plain(x, *a))[1])
    for size in (10, 7000, *[300] * 60):
        worked.clear()
        observer.update(rng.standard_normal(size).astype(np.float32))
        held_after.append(held(observer))
    assert max(held_after) <= 2000    # numbers and keys
    assert sum(worked) <= 3 * (1000 + 300) and observer.range()[0] < 0 < observer.range()[1]


@settings(max_examples=10)
@given(rngs, st.sampled_from([50, 90, 99, 99.9]), st.integers(1, 6))
def test_a_percentile_of_many_numbers_is_that_of_a_fair_sample(rng, percent, batches):
    """Order must not matter: the batches differ. Six standard deviations of the stated error."""
    x = [rng.standard_normal(40_000) * (k + 1) + k for k in range(batches)]
    observer, everything = PercentileObserver(percent), np.concatenate(x)
    for batch in x:
        observer.update(batch)
    low, high = observer.range()
    tail = (100 - percent) / 200
    if everything.size <= observer.capacity:
        assert (low, high) == tuple(np.percentile(everything, [100 * tail, 100 - 100 * tail]))
    allowed = 6 * np.sqrt(tail * (1 - tail) / observer.capacity) + 2 / observer.capacity
    assert abs((everything < low).mean() - tail) < allowed
    assert abs((everything > high).mean() - tail) < allowed


@settings(max_examples=5)
@given(rngs, signs)
def test_the_mse_of_many_numbers_is_near_that_of_all(rng, symmetric):
    x = rng.standard_normal(100_000)
    observer = MSEObserver(bits=4, symmetric=symmetric)
    for batch in np.split(x, 10):
        observer.update(batch)
    error = lambda low, high: np.mean((there_and_back(x, choose_qparams(
        low, high, bits=4, symmetric=symmetric)) - x) ** 2)
    best = min(error(share * x.min(), share * x.max()) for share in np.linspace(0.01, 1, 100))
    assert error(*observer.range()) <= 1.05 * best    # means of squares over 65,536 numbers: some 1 % each


@settings(max_examples=10)
@given(rngs, st.integers(2, 5), signs)
def test_the_mse_observer_is_never_worse_than_the_full_range(rng, b, symmetric):
    x = rng.standard_normal(200) ** 3
    observer = MSEObserver(bits=b, symmetric=symmetric)
    observer.update(x)
    error = lambda low, high: np.mean((there_and_back(x, choose_qparams(
        low, high, bits=b, symmetric=symmetric)) - x) ** 2)
    assert error(*observer.range()) <= error(x.min(), x.max())
    best = min(error(share * x.min(), share * x.max()) for share in np.linspace(0.01, 1, 100))
    assert_allclose(error(*observer.range()), best, rtol=1e-9)
    assert x.min() <= observer.range()[0] <= 0 <= observer.range()[1] <= x.max()


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
    with pytest.warns(UserWarning, match="fold_batch_norm: left 0.norm, 1.norm; write"):
        folded = fold_batch_norm(model)
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

ERRORS = {
    "notes_codes: theta must hold at least one number, got shape (0,)":
        (ValueError, lambda: notes_codes([], k=4)),
    "notes_codes: k must be an int >= 1, got 0": (ValueError, lambda: notes_codes([1], k=0)),
    "choose_qparams: low must be <= high and of its shape, got 1.0 and 0.0":
        (ValueError, lambda: choose_qparams(1, 0, bits=8, symmetric=True)),
    "choose_qparams: high must be finite":
        (ValueError, lambda: choose_qparams(0, np.inf, bits=8, symmetric=True)),
    "choose_qparams: bits must be an int in 2..16 for symmetric codes, got 1":
        (ValueError, lambda: choose_qparams(0, 1, bits=1, symmetric=True)),
    "choose_qparams: bits must be an int in 1..16, got 0":
        (ValueError, lambda: choose_qparams(0, 1, bits=0, symmetric=False)),
    "code_range: bits must be an int in 1..16, got 8.0":
        (ValueError, lambda: code_range(8.0, symmetric=False)),
    "quantize: x must be finite, got 1 NaN":
        (ValueError, lambda: quantize([np.nan], QParams(1.0, 0, 0, 255))),
    "dequantize: codes must be integers, got dtype float64":
        (TypeError, lambda: dequantize([0.5], QParams(1.0, 0, 0, 255))),
    "channel_range: x must hold at least one number":
        (ValueError, lambda: channel_range(np.zeros((0, 3)))),
    "channel_range: axis must be in -2..1, got 2": (ValueError, lambda: channel_range(np.ones((2, 3)), axis=2)),
    "MinMaxObserver: update must come before range": (RuntimeError, lambda: MinMaxObserver().range()),
    "MinMaxObserver: x must be finite": (ValueError, lambda: MinMaxObserver().update([np.inf])),
    "MovingAverageObserver: rate must be > 0 and <= 1, got 0":
        (ValueError, lambda: MovingAverageObserver(0)),
    "PercentileObserver: percent must be > 0 and <= 100, got 101":
        (ValueError, lambda: PercentileObserver(101)),
    "MSEObserver: bits must be an int in 1..16, got 17": (ValueError, lambda: MSEObserver(bits=17)),
    "quantize_weights: bits must be an int in 2..16 for symmetric codes, got 33":
        (ValueError, lambda: quantize_weights(nn.ReLU(), bits=33)),
    "fold_batch_norm: model must be a Sequential, or have one inside, got ReLU":
        (TypeError, lambda: fold_batch_norm(nn.ReLU())),
    "fold_batch_norm: the weight in front of 0.1 must be a Parameter, got a DequantizedWeight; fold first":
        (ValueError, lambda: fold_batch_norm(nn.Sequential(quantize_weights(nn.Sequential(nn.Linear(
            2, 2, rng=np.random.default_rng(0)), nn.BatchNorm1d(2)), bits=8)))),
    "channel_range: x must be finite": (ValueError, lambda: DequantizedWeight.from_weight(
        Tensor(np.array([[np.nan]])), bits=8)),
}


@pytest.mark.parametrize("message", ERRORS)
def test_an_error_names_function_argument_requirement_and_value(message):
    kind, call = ERRORS[message]
    with pytest.raises(kind) as error:
        call()
    assert str(error.value).startswith(message)
