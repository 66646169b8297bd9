"""Laws of Huffman codes: full, prefix-free, optimal, lossless, and nothing is read past the end."""
import tracemalloc

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from strategies import rngs

from tinyml.compression.coding.huffman import (
    UNUSED,
    canonical_codes,
    decode,
    encode,
    entropy,
    huffman_lengths,
    pack_lengths,
    unpack_lengths,
)

many_counts = st.lists(st.integers(0, 5) | st.integers(0, 10**12), max_size=40)
FIBONACCI = [1, 1]
while len(FIBONACCI) < 57:
    FIBONACCI.append(FIBONACCI[-1] + FIBONACCI[-2])


def mean_length(counts, lengths):
    return sum(n * int(l) for n, l in zip(counts, lengths)) / max(sum(counts), 1)


@given(many_counts)
@example([7])
@example([])
def test_the_codewords_fill_the_tree_and_every_used_symbol_has_one(counts):
    lengths = huffman_lengths(counts)
    assert_array_equal(lengths == UNUSED, np.array(counts) == 0)
    if any(counts):
        assert sum(2 ** (56 - int(l)) for l in lengths if l >= 0) == 2 ** 56    # Kraft's sum is 1, exactly


@given(many_counts)
@example([7])
def test_the_mean_length_is_within_a_bit_of_the_entropy(counts):
    H, mean = entropy(counts), mean_length(counts, huffman_lengths(counts))
    assert isinstance(H, float)
    # H is a sum of at most 40 terms, each below 1: rounding of some 40 eps
    assert H * (1 - 1e-13) <= mean
    assert mean < H + 1 or not any(counts)


@given(st.lists(st.integers(1, 9), min_size=2, max_size=6))
@example([15, 7, 6, 6, 5])    # halving the counts again and again (Fano) gives a longer code
def test_no_other_full_code_is_shorter(counts):
    def codes(n):    # all multisets of codeword lengths of full trees with n leaves
        return {(0,)} if n == 1 else {tuple(sorted(c[:i] + c[i + 1:] + (c[i] + 1,) * 2))
                                      for c in codes(n - 1) for i in range(n - 1)}
    falling = sorted(counts, reverse=True)    # short codewords for frequent symbols
    best = min(mean_length(falling, lengths) for lengths in codes(len(counts)))
    assert mean_length(counts, huffman_lengths(counts)) == pytest.approx(best, rel=1e-12)


@given(many_counts)
def test_powers_of_two_reach_the_entropy_and_the_order_of_symbols_does_not_matter(counts):
    exact = [2 ** k for k in range(10)] + [1]
    assert mean_length(exact, huffman_lengths(exact)) == pytest.approx(entropy(exact), rel=1e-13)
    back = huffman_lengths(counts[::-1])[::-1]
    assert mean_length(counts, back) == mean_length(counts, huffman_lengths(counts))


@given(many_counts)
def test_no_codeword_is_a_prefix_of_another_and_they_increase(counts):
    lengths = huffman_lengths(counts)
    codewords = canonical_codes(lengths)
    assert [UNUSED if word is None else len(word) for word in codewords] == lengths.tolist()
    words = [word for word in codewords if word is not None]
    assert len(set(words)) == len(words) and set("".join(words)) <= {"0", "1"}
    assert not [(a, b) for a in words for b in words if a != b and b.startswith(a)]
    in_order = sorted(words, key=len)    # stable: equal lengths stay in the order of the symbols
    assert in_order == sorted(words)


@st.composite
def streams(draw, sizes=st.integers(0, 300)):
    """Symbols of an alphabet, some of them unused, about equally or very unequally frequent."""
    rng, n, K = draw(rngs), draw(sizes), draw(st.integers(1, 40))
    p = rng.dirichlet(np.full(K, draw(st.sampled_from([0.05, 1.0]))))
    return rng.choice(K, n, p=p), K


@given(streams())
def test_encoded_symbols_come_back_and_take_as_many_bytes_as_their_codewords(stream):
    symbols, K = stream
    counts = np.bincount(symbols, minlength=K)
    lengths = huffman_lengths(counts)
    data = encode(symbols, lengths)
    assert isinstance(data, bytes) and len(data) == -(-int(lengths[symbols].sum()) // 8)
    codewords = canonical_codes(lengths)
    bits = "".join(codewords[s] for s in symbols)
    assert "".join(f"{byte:08b}" for byte in data) == bits.ljust(8 * len(data), "0")
    for stored in (data, data + b"\xff\x00"):    # what follows is ignored
        assert_array_equal(decode(stored, lengths, len(symbols)), symbols, strict=True)
    rows = np.array([symbols, symbols[::-1]])    # in reading order
    assert encode(rows, lengths) == encode(rows.ravel(), lengths)


def test_codewords_have_up_to_56_bits():
    counts = np.random.default_rng(0).permutation(FIBONACCI)
    assert sorted(huffman_lengths(counts)) == [*range(1, 57), 56]
    with pytest.raises(ValueError, match="^huffman_lengths: counts must give"):
        huffman_lengths([*FIBONACCI, FIBONACCI[-1] + FIBONACCI[-2]])


def test_the_longest_codewords_lose_no_bit():
    """0, 10, 110, ..., and at the end two of 56 bits: a float64 has 53."""
    rng = np.random.default_rng(0)
    symbols, lengths = rng.permutation(57), np.append(np.arange(1, 57), 56)
    words = ["1" * (l - 1) + "0" for l in range(1, 57)] + ["1" * 56]
    order = np.argsort(symbols, kind="stable")    # of the two longest codewords the smaller symbol has the smaller
    if symbols[55] > symbols[56]:
        words[55:] = words[:54:-1]
    assert canonical_codes(lengths[order]) == [words[i] for i in order]
    stream = rng.integers(0, 57, 500)
    assert_array_equal(decode(encode(stream, lengths[order]), lengths[order], 500), stream)


def test_a_single_symbol_takes_no_bits_and_no_symbol_takes_no_bytes():
    assert_array_equal(huffman_lengths([0, 9]), [UNUSED, 0])
    assert canonical_codes([UNUSED, 0]) == [None, ""]
    assert encode([1, 1, 1], [UNUSED, 0]) == b"" and encode([], []) == b""
    assert encode([0] * 9 + [1], [1, 1]) == b"\x00\x40"    # bytes of zeros are bytes
    assert_array_equal(decode(b"", [UNUSED, 0], 3), [1, 1, 1], strict=True)
    assert decode(b"", [], 0).shape == (0,) and entropy([]) == entropy([0]) == entropy([5]) == 0


@given(st.lists(st.integers(1, 2 ** 20), min_size=1, max_size=6), st.integers(1, 42))
def test_the_entropy_depends_on_shares_alone(counts, shift):
    """However large the counts: their sum may be more than an int64 holds."""
    large = np.array(counts, np.int64) << shift
    assert entropy(large) == pytest.approx(entropy(counts), rel=1e-13, abs=1e-15)
    assert entropy(large.astype(np.uint64)) == entropy(large)
    assert entropy([2 ** 62] * 8) == 3


@given(streams(sizes=st.integers(2, 50)))
def test_truncated_data_is_refused(stream):
    symbols, K = stream
    lengths = huffman_lengths(np.bincount(symbols, minlength=K))
    data = encode(symbols, lengths)
    if data:
        with pytest.raises(ValueError, match="^decode: data must hold"):
            decode(data[:-1], lengths, len(symbols))


@given(st.lists(st.integers(-3, 58), min_size=1, max_size=4))
@example([-2, 3])
@example([3, 57])
def test_a_table_of_lengths_out_of_range_is_refused(lengths):
    steps = np.diff(lengths, prepend=0).tolist()
    bits = "".join("1" * (2 * d - 1 if d > 0 else -2 * d) + "0" for d in steps)
    data = np.packbits([int(bit) for bit in bits]).tobytes()
    if -1 <= min(lengths) and max(lengths) <= 56:
        assert data == pack_lengths(lengths) and unpack_lengths(data, len(lengths))[0].tolist() == lengths
    else:
        with pytest.raises(ValueError, match="^unpack_lengths: data must hold "):
            unpack_lengths(data, len(lengths))


@given(st.lists(st.integers(UNUSED, 56), max_size=60))
@example([UNUSED, 56] * 60)
@example([56, UNUSED])    # the longest table of two lengths: 29 bytes
def test_tables_come_back_and_tell_where_they_end(lengths):
    data = pack_lengths(lengths)
    back, taken = unpack_lengths(data + b"\x5a", len(lengths))
    assert_array_equal(back, lengths)
    assert taken == len(data)
    if data:
        with pytest.raises(ValueError, match=f"^unpack_lengths: data must hold {len(lengths)} lengths"):
            unpack_lengths(data[:-1], len(lengths))


@given(st.binary(max_size=20), st.integers(0, 10), st.integers(0, 20))
def test_random_bytes_are_decoded_to_symbols_or_refused(data, n, count):
    try:
        lengths, taken = unpack_lengths(data, n)
        symbols = decode(data[taken:], lengths, count)
    except ValueError:
        return
    assert symbols.shape == (count,) and (lengths[symbols] >= 0).all()


@pytest.mark.parametrize("lengths, found", [([1, 1], 8000), ([UNUSED, UNUSED], 0)])
def test_the_work_is_bounded_by_the_data_however_many_symbols_are_asked_for(lengths, found):
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=f"must hold {10 ** 15} codewords, got {found}$"):
            decode(bytes(1000), lengths, 10 ** 15)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


@given(st.integers(0, 9))
def test_only_the_bytes_that_the_symbols_may_take_are_looked_at(count):
    data = bytes(1_000_000)
    tracemalloc.start()
    try:
        decode(data, [1, 2, 3, 3], count)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("call, message", [
    (lambda: canonical_codes([1, 1, 1]), r"canonical_codes: lengths must satisfy sum 2\^-l = 1, got 1.5"),
    (lambda: canonical_codes([1, 2]), r"canonical_codes: lengths must satisfy sum 2\^-l = 1, got 0.75"),
    (lambda: canonical_codes([0] * 257), r"canonical_codes: lengths must satisfy sum 2\^-l = 1, got 257"),
    (lambda: canonical_codes([57]), "canonical_codes: lengths must be array_like of int, shape"),
    (lambda: encode([2], [1, 1]), "encode: symbols must be array_like of int, any shape, in 0..K-1 with K = 2"),
    (lambda: encode([1], [0, UNUSED]), "encode: symbols must have a codeword"),
    (lambda: encode([-1], [1, 1]), "encode: symbols must be array_like of int, any shape, in 0..K-1"),
    (lambda: unpack_lengths(b"\xf0", 1), "unpack_lengths: data must hold lengths in -1..56, got .-2."),
    (lambda: unpack_lengths(b"\xff" * 14 + b"\x80", 1), "unpack_lengths: data must hold lengths in -1..56, got .57."),
    (lambda: decode(b"\x7f", [1, 3, 3, 3, 3], 4), "decode: data must hold 4 codewords, got 3$"),
])
def test_impossible_codes_are_refused(call, message):
    with pytest.raises(ValueError, match="^" + message):
        call()
