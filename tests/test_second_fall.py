"""Laws of the second fall: bumps larger than the noise are found, and noise alone is not."""
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from strategies import rngs

from tinyml.interpolation.second_fall import second_fall


def bump(T, height, centre, width):
    """A curve over T epochs: a first fall of height 1, then a bump of `height`; centre and width are shares of T."""
    t = np.arange(T) / T
    return np.exp(-50 * t) + height * np.exp(-((t - centre) / width) ** 2)


@given(rngs, st.integers(20, 400), st.floats(1, 5), st.floats(0.35, 0.65), st.floats(0.1, 0.2), st.floats(0, 1))
def test_a_bump_larger_than_the_jitter_is_a_second_fall(rng, T, height, centre, width, noise):
    sigma = 0.02 * noise * height * np.sqrt(T / 20)    # 2 % of the height in the mean of a block
    curve = bump(T, height, centre, width)
    found = second_fall(curve + sigma * rng.standard_normal(T))
    assert found.seen and 0 <= found.low < found.peak < T
    # The mean over a block of the bump's top misses it by at most (half a block / width)^2; noise adds 5 sd.
    off = (0.075 / width) ** 2 + 5 * 0.02 * np.sqrt(2)
    assert abs(found.fall / (height - curve[-T // 20:].mean()) - 1) < off
    assert abs(found.peak / T - centre) < width
    assert found.low / T < centre - width / 2


def test_noise_is_no_second_fall_whatever_the_trend():
    rng, T = np.random.default_rng(0), 140
    t = np.arange(T) / T
    for trend in (0 * t, 3 * t, np.exp(-30 * t), np.exp(-30 * t) + 0.5 * t, np.exp(-5 * t)):
        seen = [second_fall(trend + 0.1 * rng.standard_normal(T)).seen for _ in range(200)]
        assert np.mean(seen) <= 0.03    # 0.005, and 5 standard deviations of a mean of 200


@given(hnp.arrays(np.float64, st.integers(20, 100), elements=st.floats(-10, 10)))
def test_what_only_falls_or_only_rises_has_no_second_fall(steps):
    assert not second_fall(np.cumsum(np.abs(steps))).seen
    assert not second_fall(-np.cumsum(np.abs(steps))).seen


@given(rngs, st.integers(20, 200), st.integers(1, 2))
def test_a_peak_at_the_end_is_no_second_fall(rng, T, n_high):
    """Unlike the highest epoch with a lower one after it, which nearly every curve has."""
    curve = 1e-3 * rng.standard_normal(T)
    curve[-1 - n_high:-1] += 1
    assert not second_fall(curve).seen


@given(rngs, st.floats(0.01, 100), st.floats(-5, 5))
def test_a_second_fall_has_the_unit_of_the_curve(rng, unit, level):
    curve = bump(100, 1, 0.5, 0.2) + 0.05 * rng.standard_normal(100)
    one, other = second_fall(curve), second_fall(level + unit * curve)
    assert (one.low, one.peak, one.seen) == (other.low, other.peak, other.seen)
    np.testing.assert_allclose(other[2:5], unit * np.array(one[2:5]), rtol=1e-8, atol=1e-11)


@given(st.floats(-100, 100), st.integers(20, 200))
def test_the_jitter_is_never_smaller_than_rounding(level, T):
    found = second_fall(np.full(T, level))
    assert not found.seen and found.jitter >= 0.9e-12 * abs(level)
