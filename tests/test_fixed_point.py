"""The laws of fixed-point products: bit for bit what whole numbers of any size would give."""
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from tinyml.compression.fixed_point import (
    quantize_multiplier,
    requantize,
    rounding_doubling_high_mul,
    rounding_right_shift,
)

int32s = st.integers(-2 ** 31, 2 ** 31 - 1)


def as32(*values):
    return [np.array(v, np.int32) for v in values]


def nearest(x, up):
    """The integer nearest to a Fraction; a half goes up, or away from 0."""
    low = x.numerator // x.denominator
    if x - low != Fraction(1, 2):
        return low if x - low < Fraction(1, 2) else low + 1
    return low + 1 if up or low >= 0 else low


def code_of(acc, M0, shift, zero, low, high):
    """The code of a sum in Python's whole numbers."""
    high_half = min(nearest(Fraction(acc * M0, 2 ** 31), up=True), 2 ** 31 - 1)
    return min(max(nearest(Fraction(high_half, 2 ** shift), up=False) + zero, low), high)


@given(int32s, int32s)
@example(-2 ** 31, -2 ** 31)
@example(-2 ** 30, 1)
@example(-2 ** 31, 5)
@example(5, -2 ** 31)
def test_the_high_half_of_a_doubled_product_is_the_rounded_fraction(a, b):
    exact = nearest(Fraction(a * b, 2 ** 31), up=True)
    assert rounding_doubling_high_mul(*as32(a, b)) == min(exact, 2 ** 31 - 1)


@given(st.lists(st.integers(2 ** 28, 2 ** 30 - 1), min_size=1, max_size=5), st.integers(-2, 2))
def test_large_products_next_to_a_half_are_rounded_as_whole_numbers_are(halves, off):
    """a b = 2^30 + off modulo 2^31, of up to 62 bits: in float64 some of them look like a half."""
    b = [sign * (2 * half + 1) for half in halves for sign in (1, -1)]
    a = [(2 ** 30 + off) * pow(k, -1, 2 ** 31) % 2 ** 31 for k in b]
    exact = [nearest(Fraction(x * y, 2 ** 31), up=True) for x, y in zip(a, b)]
    assert_array_equal(rounding_doubling_high_mul(*as32(a, b)), np.array(exact, np.int32), strict=True)
    column = rounding_doubling_high_mul(np.reshape(as32(a), (-1, 1)), *as32(b))    # they broadcast
    assert_array_equal(np.diag(column), exact)


@given(int32s, st.integers(0, 40))
@example(-3, 1)
@example(-2 ** 31, 31)
def test_a_right_shift_rounds_half_away_from_zero(x, shift):
    assert rounding_right_shift(as32(x)[0], shift) == nearest(Fraction(x, 2 ** shift), up=False)


@given(st.floats(2.0 ** -31, 1, exclude_min=True) | st.floats(0, 1, exclude_min=True))
@example(1.0)
@example(2.0 ** -40)
@example(np.nextafter(1.0, 0))
@example(np.nextafter(0.5, 0))
@example(0.5)
def test_a_multiplier_has_31_bits(M):
    """It is rounded to the nearest; only M = 1, and a fraction below 1 that rounds up to it, may be a unit off."""
    M0, shift = quantize_multiplier(M)
    assert 2 ** 30 <= M0 <= 2 ** 31 - 1 and shift >= 0 and M0.dtype == shift.dtype == np.int32
    unit = Fraction(1, 2 ** 31 << int(shift))
    rounds_up = M0 == 2 ** 31 - 1 and (M == 1 or Fraction(M) < 2 ** 31 * unit)
    assert abs(int(M0) * unit - Fraction(M)) <= (unit if rounds_up else unit / 2)


@given(st.lists(st.floats(2.0 ** -40, 1) | st.just(1.0), max_size=6))
def test_multipliers_of_an_array_are_those_of_its_entries(multipliers):
    column = np.reshape(multipliers, (-1, 1))
    for found, one in zip(quantize_multiplier(column), (0, 1)):
        each = [[quantize_multiplier(M)[one]] for M in multipliers]
        assert_array_equal(found, np.reshape(np.array(each, np.int32), column.shape), strict=True)


@given(int32s, st.floats(1e-8, 1))
def test_multiplying_is_within_one_of_the_real_product(x, M):
    """Half from each rounding, and |x| 2^-30 M <= 2 from M0 only where |x M| is beyond any code."""
    M0, shift = quantize_multiplier(M)
    x = max(min(x, 2 ** 20), -2 ** 20)
    y = requantize(as32(x)[0], M0, shift, zero_point=0, quant_min=-2 ** 31, quant_max=2 ** 31 - 1)
    assert abs(int(y) - x * M) <= 1 + 1e-3 and y.dtype == np.int32
    byte = requantize(as32(x)[0], M0, shift, zero_point=7, quant_min=0, quant_max=255)
    assert byte == min(max(int(y) + 7, 0), 255) and byte.dtype == np.uint8


@settings(max_examples=settings().max_examples * 2)
@given(st.lists(int32s | st.sampled_from([-2 ** 31, 2 ** 31 - 1]), min_size=1, max_size=5),
       st.lists(st.tuples(st.integers(2 ** 30, 2 ** 31 - 1) | st.sampled_from([2 ** 30, 2 ** 31 - 1]),
                          st.integers(0, 34)), min_size=1, max_size=3),
       st.integers(-128, 255), st.sampled_from([(0, 255), (-128, 127), (0, 15), (-2 ** 31, 2 ** 31 - 1)]))
@example([2 ** 31 - 1, -2 ** 31], [(2 ** 31 - 1, 0)], 128, (0, 255))    # plus Z it is no int32
@example([-2 ** 31, -2 ** 31 + 1], [(2 ** 31 - 1, 0)], -9, (-128, 127))
@example([1, 3, 5, -1, -3, -5], [(2 ** 30, 0), (2 ** 30, 1)], 0, (-128, 127))    # halves
def test_codes_of_an_output_are_bit_for_bit_those_of_whole_numbers(sums, multipliers, zero, limits):
    M0, shift = np.array(multipliers, np.int32).T[..., None]
    codes = requantize(*as32(sums), M0, shift, zero_point=zero, quant_min=limits[0], quant_max=limits[1])
    expected = [[code_of(acc, M, n, zero, *limits) for acc in sums] for M, n in multipliers]
    kind = {(0, 255): np.uint8, (-128, 127): np.int8, (0, 15): np.uint8}.get(limits, np.int32)
    assert_array_equal(codes, np.array(expected).astype(kind), strict=True)


@pytest.mark.parametrize("call, message", [
    (lambda: rounding_right_shift(np.array(1), 1), "rounding_right_shift: x must be ndarray of int32, got dtype int64"),
    (lambda: rounding_doubling_high_mul(np.int32(1), np.array(2)),
     "rounding_doubling_high_mul: b must be ndarray of int32, got dtype int64"),
])
def test_other_dtypes_are_refused(call, message):
    with pytest.raises(TypeError, match="^" + message):
        call()
