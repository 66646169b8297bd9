"""The laws of observers: their ranges are those of all the numbers seen, in bounded memory."""
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from strategies import rngs

from tinyml.compression.observers import (
    MinMaxObserver,
    MovingAverageObserver,
    MSEObserver,
    PercentileObserver,
    SamplingObserver,
)
from tinyml.compression.quantization import choose_qparams, dequantize, quantize

signs = st.booleans()


def error(x, low, high, **options):
    """The mean squared error of x, quantized to the range."""
    qparams = choose_qparams(low, high, **options)
    return np.mean((dequantize(quantize(x, qparams), qparams, dtype=np.float64) - x) ** 2)


@given(rngs, st.integers(1, 4))
def test_ranges_are_those_of_all_batches(rng, n):
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
def test_memory_and_work_of_an_observer_are_bounded(name, monkeypatch):
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
    codes = dict(bits=4, symmetric=symmetric)
    best = min(error(x, share * x.min(), share * x.max(), **codes) for share in np.linspace(0.01, 1, 100))
    assert error(x, *observer.range(), **codes) <= 1.05 * best    # means of squares over 65,536 numbers: some 1 % each


@settings(max_examples=10)
@given(rngs, st.integers(2, 5), signs)
def test_the_mse_observer_is_never_worse_than_the_full_range(rng, b, symmetric):
    x = rng.standard_normal(200) ** 3
    observer = MSEObserver(bits=b, symmetric=symmetric)
    observer.update(x)
    codes = dict(bits=b, symmetric=symmetric)
    assert error(x, *observer.range(), **codes) <= error(x, x.min(), x.max(), **codes)
    best = min(error(x, share * x.min(), share * x.max(), **codes) for share in np.linspace(0.01, 1, 100))
    assert_allclose(error(x, *observer.range(), **codes), best, rtol=1e-9)
    assert x.min() <= observer.range()[0] <= 0 <= observer.range()[1] <= x.max()


# ------------------------------------------------------------ errors

def test_a_range_needs_a_number():
    for observer in (MinMaxObserver(), PercentileObserver(), MSEObserver(bits=4)):
        with pytest.raises(RuntimeError, match=f"^{type(observer).__name__}: update must come before range"):
            observer.range()


def test_only_finite_numbers_are_observed():
    with pytest.raises(ValueError, match="^MinMaxObserver: x must be finite"):
        MinMaxObserver().update([np.inf])


def test_symmetric_codes_need_two_bits():
    with pytest.raises(ValueError, match="^MSEObserver: bits must be int in 1..16, >= 2 if symmetric"):
        MSEObserver(bits=1, symmetric=True)


def test_a_new_batch_has_a_tenth_of_the_weight_if_no_rate_is_named():
    observer = MovingAverageObserver()
    observer.update(np.array([-1.0, 2.0]))
    observer.update(np.array([-2.0, 4.0]))
    np.testing.assert_allclose([observer.low, observer.high], [-1.1, 2.2], rtol=1e-12)
