"""The laws of codes as bits: they come back, and products of bits are those of the numbers."""
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from strategies import rngs

from tinyml.compression.bits import bit_planes, bit_product, pack_codes, to_words, unpack_codes

sizes = st.integers(1, 6)
widths = st.sampled_from([1, 5, 63, 64, 65, 130])    # on both sides of a word


@given(rngs, st.lists(st.integers(0, 9), min_size=1, max_size=3), st.booleans())
def test_codes_come_back_from_their_bits(rng, shape, zeros):
    codes = rng.integers(-1, 2, shape) if zeros else rng.choice([-1, 1], shape)
    codes = codes.astype(np.int8)
    planes = pack_codes(codes)
    assert planes.dtype == np.uint8
    assert planes.shape == (1 + (0 in codes), -(-codes.size // 8))
    assert_array_equal(unpack_codes(planes, codes.shape), codes, strict=True)


@given(rngs, sizes, sizes, widths, st.integers(1, 16))
def test_a_product_of_bits_is_that_of_the_whole_numbers(rng, N, m, n, bits):
    x, W = rng.integers(0, 2 ** bits, (N, n)), rng.integers(-1, 2, (m, n))
    planes = bit_planes(x, bits=bits)
    plus, minus = to_words(W == 1), to_words(W == -1)
    assert planes.shape == (bits, N, -(-n // 64)) and plus.dtype == np.uint64
    assert_array_equal(np.unpackbits(plus.view(np.uint8), axis=1)[:, :n], W == 1)
    y = bit_product(planes, plus, minus)
    assert y.dtype == np.int64
    assert_array_equal(y, x @ W.T)


@given(rngs, sizes, widths)
def test_for_signs_the_product_counts_the_bits_that_differ(rng, m, n):
    """XNOR-Net: with x in -1, 1 too, x.b = n - 2 |x xor b|."""
    x, b = rng.choice([-1, 1], (1, n)), rng.choice([-1, 1], (m, n))
    differ = np.bitwise_count(to_words(x == 1) ^ to_words(b == 1)).sum(axis=1)
    ones = bit_product(bit_planes((x + 1) // 2, bits=1), to_words(b == 1), to_words(b == -1))
    assert_array_equal(2 * ones[0] - b.sum(axis=1), n - 2 * differ.astype(int))


@pytest.mark.parametrize("call, message", [
    (lambda: pack_codes(np.array([2])), "pack_codes: codes must be ndarray of int, any shape, in -1..1"),
    (lambda: bit_planes(np.array([[4]]), bits=2), "bit_planes: x must be ndarray of int, shape (N, n), >= 0, < 2^bits"),
])
def test_an_error_names_function_argument_requirement_and_value(call, message):
    with pytest.raises(ValueError) as error:
        call()
    assert str(error.value).startswith(message)
