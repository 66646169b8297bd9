"""The laws of series: their classes, and views that keep what matters."""
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from strategies import rngs

from tinyml.selfsupervised.series import (
    ACTIVITIES,
    crop,
    jitter,
    make_activities,
    permute,
    resized_crop,
    scale,
    zero,
)

EPS32 = np.finfo(np.float32).eps
sizes = st.integers(1, 5)
seeds = st.integers(0, 2**32 - 1)
VIEWS = {    # name -> view of any x with T >= 3, at full strength
    "jitter": jitter(strength=0.7), "scale": scale(strength=0.7), "permute": permute(segments=3),
    "crop": crop(size=3), "resized_crop": resized_crop(smallest=0.4), "zero": zero(fraction=0.5),
}
every_view = pytest.mark.parametrize("name", VIEWS)


@st.composite
def batches(draw, least=3, dtype=None):
    """Series (N, C, T) with T >= least, all values different."""
    n, c, length = draw(sizes), draw(sizes), draw(st.integers(least, 12))
    x = draw(rngs).permutation(n * c * length).reshape(n, c, length) + 1
    return (x / 16).astype(dtype or draw(st.sampled_from([np.float32, np.float64])))


# ------------------------------------------------------------ views

@every_view
@given(x=batches(), seed=seeds)
def test_a_view_keeps_dtype_and_input_and_follows_its_generator(name, x, seed):
    before = x.copy()
    first, again, other = (VIEWS[name](x, np.random.default_rng(s)) for s in (seed, seed, seed + 1))
    assert first.dtype == x.dtype and first.shape == x.shape[:2] + (3 if name == "crop" else x.shape[2],)
    assert_array_equal(x, before)
    assert_array_equal(first, again)
    if name in ("jitter", "scale", "resized_crop"):
        assert (first != other).any()


@every_view
@given(rng=rngs)
def test_every_sample_has_a_draw_of_its_own(name, rng):
    """40 equal samples: that all 40 draws of at least 3 outcomes, none above 2/3, agree: (2/3)^39 < 2e-7."""
    x = np.tile(np.arange(1.0, 10), (40, 1, 1))
    assert len(np.unique(VIEWS[name](x, rng), axis=0)) > 1


@given(x=batches(), rng=rngs)
def test_at_zero_strength_a_view_is_exactly_the_identity(x, rng):
    length = x.shape[2]
    for view in (jitter(strength=0), scale(strength=0), permute(segments=1), crop(size=length),
                 resized_crop(smallest=1), zero(fraction=0)):
        assert_array_equal(view(x, rng), x, strict=True)


@given(x=batches(least=4), rng=rngs, data=st.data())
def test_a_permutation_moves_all_sensors_of_a_sample_alike(x, rng, data):
    segments = data.draw(st.integers(1, x.shape[2]))
    y = permute(segments=segments)(x, rng)
    assert_array_equal(np.sort(y, axis=2), np.sort(x, axis=2))                   # the values of each sensor
    for before, after in zip(x, y):
        times = [int(np.flatnonzero(before[0] == value)[0]) for value in after[0]]
        assert_array_equal(after, before[:, times])                              # the same order in all
        assert np.count_nonzero(np.diff(times) != 1) <= segments - 1             # so many pieces at most


@settings(max_examples=10)
@given(rng=rngs)
def test_a_permutation_has_any_number_of_pieces_in_any_order(rng):
    """3 times, at most 3 pieces: all 6 orders, the identity with 1/3 + 1/3 1/2 + 1/3 1/6 = 20/36, 120 and 201 with
    1/3 1/2 1/2 + 1/3 1/6 = 5/36 for a cut before 1 or before 2, and the others, of three pieces, with 1/3 1/6."""
    y = permute(segments=3)(np.tile([0.0, 1, 2], (3000, 1, 1)), rng)[:, 0]
    orders, counts = np.unique(y, axis=0, return_counts=True)
    assert len(orders) == 6
    p = np.array([20, 2, 2, 5, 5, 2]) / 36                                       # 012 021 102 120 201 210
    assert (np.abs(counts / 3000 - p) < 6 * np.sqrt(p * (1 - p) / 3000)).all()   # 6 standard errors


@given(x=batches(least=2), rng=rngs, data=st.data())
def test_a_crop_is_a_window_of_all_sensors(x, rng, data):
    size = data.draw(st.integers(1, x.shape[2]))
    windows = np.lib.stride_tricks.sliding_window_view(x, size, axis=2)          # (N, C, places, size)
    y = crop(size=size)(x, rng)
    assert (y[:, :, None] == windows).all(axis=(1, 3)).any(axis=1).all()


@given(rng=rngs, smallest=st.floats(0.05, 1), n=sizes, length=st.integers(2, 40), dtype=st.sampled_from("fd"))
def test_a_resized_crop_reads_all_sensors_at_one_slower_time(rng, smallest, n, length, dtype):
    """The first sensor is the time itself, so it tells which times were read."""
    t = np.arange(length)
    x = np.stack([t, rng.standard_normal(length)])[None].repeat(n, axis=0).astype(dtype)
    for (times, values), (_, before) in zip(resized_crop(smallest=smallest)(x, rng), x):
        eps = np.finfo(dtype).eps * length
        assert -eps <= times[0] and times[-1] <= length - 1 + eps
        assert_allclose(np.diff(times), (times[-1] - times[0]) / (length - 1), atol=4 * eps)    # one speed
        assert smallest - 2 * eps <= (times[-1] - times[0]) / (length - 1) <= 1 + 2 * eps
        expected = np.interp(times, t, before)
        assert_allclose(values, expected, atol=8 * eps * max(1, np.abs(np.diff(before)).max()))


@given(rng=rngs)
def test_the_windows_of_resized_crops_have_uniform_size_and_place(rng):
    """s and the place a / ((1 - s)(T - 1)) are uniform: means 0.6 and 1/2, deviations 0.8 and 1 over sqrt(12)."""
    x = np.tile(np.linspace(0, 1, 6), (2000, 1, 1))
    y = resized_crop(smallest=0.2)(x, rng)[:, 0]
    s, slack = y[:, -1] - y[:, 0], 6 / np.sqrt(12 * 2000)
    assert abs(s.mean() - 0.6) < 0.8 * slack and abs((y[:, 0] / (1 - s)).mean() - 0.5) < slack
    assert abs(s.var() - 0.64 / 12) < 6 * 0.64 / 12 * np.sqrt(0.8 / 2000)        # kurtosis 9/5 of U


@given(rng=rngs)
def test_all_places_of_a_crop_and_of_a_span_are_equally_likely(rng):
    """4 places, 4000 draws each: 1000 within 6 standard errors."""
    x = np.tile(np.arange(1.0, 6), (4000, 1, 1))
    starts = crop(size=2)(x, rng)[:, 0, 0], zero(fraction=0.4)(x, rng)[:, 0].argmin(axis=1)
    for counts in (np.unique(start, return_counts=True)[1] for start in starts):
        assert len(counts) == 4 and (np.abs(counts - 1000) < 6 * np.sqrt(4000 * 3 / 16)).all()


@given(x=batches(), rng=rngs, fraction=st.floats(0, 1))
def test_zero_silences_one_span_of_each_sensor_and_nothing_else(x, rng, fraction):
    y = zero(fraction=fraction)(x, rng)
    silent = y == 0                                                              # x has no zeros
    assert_array_equal(y[~silent], x[~silent])
    assert (silent.sum(axis=2) == round(fraction * x.shape[2])).all()
    edges = np.diff(np.pad(silent, ((0, 0), (0, 0), (1, 1))).astype(int), axis=2)
    assert ((edges == 1).sum(axis=2) <= 1).all()


@given(rng=rngs)
def test_sensors_fall_silent_independently(rng):
    silent = zero(fraction=0.2)(np.ones((50, 2, 10)), rng) == 0
    assert (silent[:, 0] != silent[:, 1]).any()       # all 50 alike: (1/9)^50


@given(rng=rngs, strength=st.floats(0.1, 3))
def test_noise_and_factors_have_their_mean_and_standard_deviation(rng, strength):
    """Normal draws: mean 0 within 6 / sqrt(n), variance 1 within 6 sqrt(2 / n)."""
    ones = np.ones((40, 50, 5))
    factor = scale(strength=strength)(ones, rng)
    assert_array_equal(factor, factor[:, :, :1].repeat(5, axis=2))               # one for a sensor
    for draws in (jitter(strength=strength)(ones, rng), factor[:, :, 0]):
        eps, n = (draws - 1) / strength, draws.size
        assert abs(eps.mean()) < 6 / np.sqrt(n) and abs(eps.var() - 1) < 6 * np.sqrt(2 / n)


# ------------------------------------------------------------ synthetic data

@given(seed=seeds, n=st.integers(1, 20), length=st.integers(2, 40))
def test_activities_come_in_turn_and_follow_the_seed(seed, n, length):
    X, y = make_activities(n, length=length, rng=np.random.default_rng(seed))
    again, _ = make_activities(n, length=length, rng=np.random.default_rng(seed))
    other, _ = make_activities(n, length=length, rng=np.random.default_rng(seed + 1))
    assert X.shape == (n, 3, length) and X.dtype == np.float32 and y.dtype == np.int64
    assert_array_equal(y, np.arange(n) % len(ACTIVITIES))
    assert_array_equal(X, again)
    assert (X != other).any()


@settings(max_examples=10)
@given(rng=rngs)
def test_a_class_has_mean_zero_at_every_sensor_and_time(rng):
    """So no linear map of x knows it. 300 samples a class, 6 standard errors and their largest value."""
    X, y = make_activities(1800, length=24, rng=rng)
    for label in range(6):
        x = X[y == label].astype(np.float64)
        assert (np.abs(x.mean(axis=0)) < 7 * x.std(axis=0) / np.sqrt(len(x))).all()


@settings(max_examples=10)
@given(rng=rngs)
def test_the_turns_differ_only_in_the_phase_between_sensors(rng):
    """The second sensor is a quarter turn before the first, or after it; the third is opposite to the first."""
    X, y = make_activities(300, length=256, sigma=0, rng=rng)
    F = np.fft.rfft((X - X.mean(axis=2, keepdims=True)) * np.hanning(256))
    peak = np.abs(F[:, 0, 3:]).argmax(axis=1) + 3
    at = np.take_along_axis(F, peak[:, None, None], axis=2)[:, :, 0]
    quarter, half = np.angle(at[:, 1] / at[:, 0]), np.angle(at[:, 2] / at[:, 0])
    names = list(ACTIVITIES)
    for name, sign in (("turn left", 1), ("turn right", -1)):
        rows = y == names.index(name)
        assert np.median(np.abs(quarter[rows] - sign * np.pi / 2)) < 0.2         # drift blurs some of them
        assert np.median(np.pi - np.abs(half[rows])) < 0.2
    assert np.median(np.abs(quarter[y == 0])) < 0.2 and np.median(np.abs(half[y == 0])) < 0.2


# ------------------------------------------------------------ what is refused

RNG, X = np.random.default_rng(0), np.zeros((2, 3, 4), np.float32)
ERRORS = {
    "permute: x must have shape (N, C, T) with T >= 5, got (2, 3, 4)":
        (ValueError, lambda: permute(segments=5)(X, RNG)),
    "crop: x must have shape (N, C, T) with T >= 5, got (2, 3, 4)":
        (ValueError, lambda: crop(size=5)(X, RNG)),
    "resized_crop: x must have shape (N, C, T) with T >= 1, got (2, 3, 0)":
        (ValueError, lambda: resized_crop(smallest=0.5)(X[:, :, :0], RNG)),
    "jitter: x must be array_like, shape (N, C, T), got shape (3, 4)": (ValueError, lambda: jitter(strength=1)(X[0], RNG)),
    "scale: x must be finite, got 24 NaN": (ValueError, lambda: scale(strength=1)(X + np.nan, RNG)),
    "zero: rng must be numpy.random.Generator, got 3": (TypeError, lambda: zero(fraction=0)(X, 3)),
}


@pytest.mark.parametrize("message", ERRORS)
def test_an_error_names_function_argument_requirement_and_value(message):
    kind, call = ERRORS[message]
    with pytest.raises(kind) as error:
        call()
    assert str(error.value).startswith(message)
