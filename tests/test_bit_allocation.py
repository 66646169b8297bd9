"""Laws of bit allocation: the formula, within the budget, with less error than equal bits."""
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from strategies import rngs

from tinyml.compression.bit_allocation import allocate_bits


@given(rngs, st.integers(1, 8), st.integers(1, 8))
def test_bits_are_the_formula_rounded_down_then_go_where_a_code_gains_most(rng, n, bits):
    a, budget = np.exp(2 * rng.standard_normal(n)), n * 2 ** bits
    share = a ** (2 / 3) / (a ** (2 / 3)).sum()
    start = np.clip(np.floor(np.log2(share * budget)), 1, 16)
    M = allocate_bits(a, bits=bits)
    if (2 ** start).sum() <= budget:    # else channels of 1 bit took more than their part
        while True:
            left, gains = budget - (2 ** start).sum(), (a ** 2 / (3 * 4 ** start) * 3 / 4) / 2 ** start
            gains[(2 ** start > left) | (start == 16)] = -1
            if gains.max() < 0:
                break
            start[gains.argmax()] += 1
        assert_array_equal(M, start)
    assert n * 2 ** bits - (2 ** M).sum() < 2 ** M.min() or M.min() == 16    # what is left is not enough


@given(rngs, st.integers(1, 8), st.integers(1, 8))
def test_allocated_bits_keep_the_budget_and_lower_the_error(rng, n, bits):
    a = np.exp(2 * rng.standard_normal(n))
    M = allocate_bits(a, bits=bits)
    assert (M >= 1).all() and (2 ** M).sum() <= n * 2 ** bits
    order = np.argsort(a)
    assert (np.diff(M[order]) >= 0).all()
    error = lambda m: (a ** 2 / (3 * 4.0 ** m)).sum()
    assert error(M) <= error(np.full(n, bits)) * (1 + 1e-12)
    assert_array_equal(allocate_bits(7 * a, bits=bits), M)


def test_equal_and_zero_ranges_get_the_average():
    assert_array_equal(allocate_bits(np.full(5, 3.0), bits=4), np.full(5, 4))
    assert allocate_bits([0.0, 0.0], bits=3).max() <= 3
    assert allocate_bits([0.0, 1.0], bits=3).tolist() == [1, 3]
    assert allocate_bits([1e-300, 1e300], bits=3).tolist() == [1, 3]
