"""Laws of arithmetic coding: lossless, at most some bits above sum -log2 p and the entropy."""
import math
import zlib

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from strategies import rngs

from tinyml.compression.coding.arithmetic import (
    P_MIN,
    Decoder,
    Encoder,
    best_lag,
    code_matrix,
    decode_matrix,
    encode_matrix,
)
from tinyml.compression.coding.huffman import entropy

decisions = st.lists(st.tuples(st.booleans(), st.floats(0, 1)), max_size=300)


def coded(pairs):
    encoder = Encoder()
    for bit, p in pairs:
        encoder.code(bit, p)
    return encoder.finish()


@given(decisions)
@example([(True, 0.5)] * 40)    # forty times the lower half: next to 0
def test_decisions_come_back_with_the_same_probabilities(pairs):
    data = coded(pairs)
    assert not data.endswith(b"\0")    # the decoder adds them
    decoder = Decoder(data)
    assert [decoder.code(None, p) for _, p in pairs] == [bit for bit, _ in pairs]


@given(decisions)
def test_each_decision_costs_minus_log2_p(pairs):
    cost = sum(-math.log2(max(p if bit else 1 - p, P_MIN)) for bit, p in pairs)
    # The end takes the rest of a byte and one more. A split is wrong by less than one number of the interval,
    # of 2^24 as a rule and rarely of fewer: over 300 decisions far less than a bit.
    assert 8 * len(coded(pairs)) <= cost + 16 + 1


@given(st.integers(1, 3000), st.floats(0.001, 0.999), rngs)
def test_no_code_is_far_below_the_entropy(n, p, rng):
    """At most 2^(8 s + 1) streams have s bytes or less: one of cost 8 s + d has a chance below 2^(1-d)."""
    bits = rng.random(n) < p
    cost = -np.log2(np.where(bits, p, 1 - p)).sum()
    assert 8 * len(coded([(bool(bit), p) for bit in bits])) >= cost - 40


@st.composite
def matrices(draw):
    """Codes in 0..k, from none to all kept, all over or in stripes a lag apart."""
    rng, k = draw(rngs), draw(st.integers(1, 20))
    shape = draw(st.tuples(st.integers(0, 12), st.integers(0, 30)))
    kept = rng.random(shape) < draw(st.sampled_from([0, 0.1, 0.6, 1])) * (1 + np.cos(np.arange(shape[1]))) / 2
    return kept * rng.integers(1, k + 1, shape), k


@given(matrices(), st.integers(1, 40))
def test_a_matrix_comes_back(case, lag):
    codes, k = case
    data = encode_matrix(codes, k=k, lag=lag)
    assert_array_equal(decode_matrix(data, codes.shape, k=k, lag=lag), codes)
    assert_array_equal(decode_matrix(data + b"\0\0", codes.shape, k=k, lag=lag), codes)    # filled up


@given(rngs, st.floats(0.01, 0.5), st.sampled_from([1, 4, 13]))
@settings(max_examples=25)
def test_without_structure_it_takes_the_entropy_and_the_cost_of_learning(rng, density, k):
    """Each probability learned from n decisions costs some log2(n) / 2 bits (Rissanen 1984), where it is used.

    Of a guess of one density, three counts of neighbours in two or three octaves may be in use, and for the
    values k - 1 nodes, the first three of them with up to 9 sums of signs.
    """
    codes = (rng.random((40, 100)) < density) * rng.integers(1, k + 1, (40, 100))
    H = entropy(np.bincount(codes.ravel(), minlength=k + 1)) * codes.size
    learnt = 3 * 8 + (k - 1) + min(k - 1, 3) * 8    # octaves also from the first rows, where shares are rough
    assert 8 * len(encode_matrix(codes, k=k, lag=1)) <= H + learnt * math.log2(codes.size) / 2 + 16


def strokes(rng, side=16, units=40):
    """What units that look at images keep: a random line each, up to 3 pixels wide, with one sign."""
    grid = np.stack(np.meshgrid(np.arange(side), np.arange(side))).reshape(2, -1) - side / 2
    normal = rng.standard_normal((units, 2))
    distance = normal / np.linalg.norm(normal, axis=1, keepdims=True) @ grid - rng.uniform(-3, 3, (units, 1))
    return (np.abs(distance) < 1) * rng.integers(1, 3, (units, 1)), side


@given(rngs)
@settings(max_examples=5)
def test_it_learns_busy_rows_and_columns_and_strokes(rng):
    rows, columns = rng.dirichlet(np.full(40, 0.3)), rng.dirichlet(np.full(256, 0.3))
    uneven = (rng.random((40, 256)) < 800 * np.outer(rows, columns)).astype(int)
    drawn, side = strokes(rng)
    for codes, k, lag in ((uneven, 1, 1), (drawn, 2, side)):
        H = entropy(np.bincount(codes.ravel(), minlength=k + 1)) * codes.size    # of independent entries
        assert 8 * len(encode_matrix(codes, k=k, lag=lag)) < 0.8 * H
        shuffled = rng.permutation(codes.ravel()).reshape(codes.shape)
        assert len(encode_matrix(codes, k=k, lag=lag)) < len(encode_matrix(shuffled, k=k, lag=lag))
    signs = np.where(drawn, rng.integers(1, 3, drawn.shape), 0)    # a bit each, where a stroke has one in all
    saved = len(encode_matrix(signs, k=2, lag=side)) - len(encode_matrix(drawn, k=2, lag=side))
    assert 8 * saved > np.count_nonzero(drawn) / 2


@given(rngs)
def test_the_best_lag_is_not_that_of_two_busy_columns(rng):
    codes = rng.random((1000, 12)) < 0.05
    codes[:, [0, 5]] = rng.random((1000, 2)) < 0.9    # often together, by chance
    codes[:, 9] |= codes[:, 6]
    assert best_lag(codes) == 3


@given(rngs)
def test_the_best_lag_is_the_width_of_the_image(rng):
    codes, side = strokes(rng)
    assert best_lag(codes) % side in (0, 1, side - 1)    # above, or above and beside
    assert best_lag(codes, widest=3) in (2, 3) and best_lag(codes[:, :2]) == 1 == best_lag(np.zeros((0, 0)))


def test_all_zeros_take_at_most_two_bytes_and_no_entries_take_none():
    assert len(encode_matrix(np.zeros((1000, 100), int), k=1, lag=1)) <= 2
    assert encode_matrix(np.zeros((0, 5), int), k=1, lag=1) == b"" == coded([])


@given(st.binary(max_size=30), st.integers(1, 9))
def test_random_bytes_are_codes_in_range_or_refused(data, k):
    try:
        codes = decode_matrix(data, (3, 7), k=k, lag=2)
    except ValueError as error:
        assert str(error).startswith("decode_matrix: data must hold codes in 0..")
    else:
        assert codes.shape == (3, 7) and 0 <= codes.min() <= codes.max() <= k


@given(matrices(), st.integers(1, 40))
def test_the_decoder_stops_at_its_limit(case, lag):
    codes, k = case
    data, n = encode_matrix(codes, k=k, lag=lag), codes.size + np.count_nonzero(codes) * (k - 1).bit_length()
    assert_array_equal(decode_matrix(data, codes.shape, k=k, lag=lag, at_most=n), codes)
    if n:
        with pytest.raises(ValueError, match="^Decoder: data must hold at most at_most decisions"):
            decode_matrix(data, codes.shape, k=k, lag=lag, at_most=n - 1)


def test_encoder_and_decoder_get_the_same_probabilities():
    class Asked:
        def __init__(self, coder):
            self.coder, self.p = coder, []

        def code(self, bit, p):
            self.p.append(p)
            return self.coder.code(bit, p)

    codes, side = strokes(np.random.default_rng(0))
    encoder = Asked(Encoder())
    code_matrix(encoder, codes, k=2, lag=side)
    decoder = Asked(Decoder(encoder.coder.finish()))
    code_matrix(decoder, np.zeros_like(codes), k=2, lag=side)
    assert decoder.p == encoder.p


@pytest.mark.parametrize("kept, n_bytes, crc32", [
    (lambda i, j: (j % 5 < 2) & (i % 9 > 0), 513, 354539277),
    (lambda i, j: (i * i + 7 * j) % 29 < 3, 301, 1086503054),
    (lambda i, j: i + j >= 0, 1299, 2454420031)])
def test_files_keep_their_format(kept, n_bytes, crc32):
    i, j = np.arange(60)[:, None], np.arange(50)
    codes = np.where(kept(i, j), 1 + (3 * i + j * j) % 11, 0)
    data = encode_matrix(codes, k=11, lag=7)
    assert (len(data), zlib.crc32(data)) == (n_bytes, crc32)
