"""Laws of Huffman codes: full, prefix-free, optimal, lossless, and nothing read past the end."""
import tracemalloc

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from strategies import rngs

from tinyml.compression.coding import huffman
from tinyml.compression.coding.huffman import (
    NO_WORD,
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
def test_the_words_fill_the_tree_and_those_that_occur_have_one(counts):
    lengths = huffman_lengths(counts)
    assert_array_equal(lengths == NO_WORD, np.array(counts) == 0)
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
@example([15, 7, 6, 6, 5])    # to halve the shares again and again (Fano) gives a longer code
def test_no_other_full_code_is_shorter(counts):
    def codes(n):    # all multisets of word lengths of full trees with n leaves
        return {(0,)} if n == 1 else {tuple(sorted(c[:i] + c[i + 1:] + (c[i] + 1,) * 2))
                                      for c in codes(n - 1) for i in range(n - 1)}
    falling = sorted(counts, reverse=True)    # short words to frequent symbols
    best = min(mean_length(falling, lengths) for lengths in codes(len(counts)))
    assert mean_length(counts, huffman_lengths(counts)) == pytest.approx(best, rel=1e-12)


@given(many_counts)
def test_powers_of_two_meet_the_entropy_and_permuting_symbols_permutes_nothing_else(counts):
    exact = [2 ** k for k in range(10)] + [1]
    assert mean_length(exact, huffman_lengths(exact)) == pytest.approx(entropy(exact), rel=1e-13)
    back = huffman_lengths(counts[::-1])[::-1]
    assert mean_length(counts, back) == mean_length(counts, huffman_lengths(counts))


@given(many_counts)
def test_no_word_begins_another_and_they_rise(counts):
    lengths = huffman_lengths(counts)
    assert not canonical_codes(lengths)[lengths == NO_WORD].any()
    words = [f"{code:0{l}b}" if l else "" for code, l in zip(canonical_codes(lengths), lengths) if l >= 0]
    assert len(set(words)) == len(words)
    assert not [(a, b) for a in words for b in words if a != b and b.startswith(a)]
    in_order = sorted(words, key=len)    # stable: equal lengths stay in the order of the symbols
    assert in_order == sorted(words)


@st.composite
def streams(draw, sizes=st.integers(0, 300)):
    """Symbols of an alphabet, some of them never there, evenly or most unevenly frequent."""
    rng, n, K = draw(rngs), draw(sizes), draw(st.integers(1, 40))
    p = rng.dirichlet(np.full(K, draw(st.sampled_from([0.05, 1.0]))))
    return rng.choice(K, n, p=p), K


@given(streams())
def test_what_is_encoded_is_decoded_in_as_many_bytes_as_its_words_take(stream):
    symbols, K = stream
    counts = np.bincount(symbols, minlength=K)
    lengths = huffman_lengths(counts)
    data = encode(symbols, lengths)
    assert isinstance(data, bytes) and len(data) == -(-int(lengths[symbols].sum()) // 8)
    codes = canonical_codes(lengths)
    bits = "".join(f"{codes[s]:0{lengths[s]}b}" for s in symbols if lengths[s])
    assert "".join(f"{byte:08b}" for byte in data) == bits.ljust(8 * len(data), "0")
    assert_array_equal(decode(data, lengths, len(symbols)), symbols)
    assert_array_equal(decode(data + b"\xff\x00", lengths, len(symbols)), symbols)    # no look beyond


def test_words_of_all_lengths_across_the_borders_of_blocks():
    lengths = huffman_lengths(FIBONACCI)
    assert lengths.max() == 56
    symbols = np.random.default_rng(0).integers(0, 57, 70_000)    # 250 KB: more than one block
    assert_array_equal(decode(encode(symbols, lengths), lengths, len(symbols)), symbols)


def test_words_have_up_to_56_bits():
    counts = np.random.default_rng(0).permutation(FIBONACCI)
    assert sorted(huffman_lengths(counts)) == [*range(1, 57), 56]
    with pytest.raises(ValueError):
        huffman_lengths([*FIBONACCI, FIBONACCI[-1] + FIBONACCI[-2]])


def test_the_longest_words_lose_no_bit():
    """0, 10, 110, ..., and at the end two of 56 bits: a float64 has 53."""
    rng = np.random.default_rng(0)
    symbols, lengths = rng.permutation(57), np.append(np.arange(1, 57), 56)
    words = [2 ** l - 2 for l in range(1, 57)] + [2 ** 56 - 1]
    order = np.argsort(symbols, kind="stable")    # of the two longest words the smaller symbol has the smaller
    if symbols[55] > symbols[56]:
        words[55:] = words[:54:-1]
    assert_array_equal(canonical_codes(lengths[order]), np.array(words)[order], strict=True)
    stream = rng.permutation(57)
    assert_array_equal(decode(encode(stream, lengths[order]), lengths[order], 57), stream)


def test_one_symbol_takes_no_bits_and_none_takes_no_bytes():
    assert_array_equal(huffman_lengths([0, 9]), [NO_WORD, 0])
    assert encode([1, 1, 1], [NO_WORD, 0]) == b"" and encode([], []) == b""
    assert_array_equal(decode(b"", [NO_WORD, 0], 3), [1, 1, 1])
    assert decode(b"", [], 0).shape == (0,) and entropy([]) == entropy([0]) == entropy([5]) == 0


@given(st.lists(st.integers(1, 2 ** 20), min_size=1, max_size=6), st.integers(1, 42))
def test_the_entropy_depends_on_shares_alone(counts, shift):
    """However large the counts: their sum may be more than an int64 holds."""
    large = np.array(counts, np.int64) << shift
    assert entropy(large) == pytest.approx(entropy(counts), rel=1e-13, abs=1e-15)
    assert entropy(large.astype(np.uint64)) == entropy(large)
    assert entropy([2 ** 62] * 8) == 3


@given(streams(sizes=st.integers(2, 50)))
def test_a_stream_cut_short_is_refused(stream):
    symbols, K = stream
    lengths = huffman_lengths(np.bincount(symbols, minlength=K))
    data = encode(symbols, lengths)
    if data:
        with pytest.raises(ValueError):
            decode(data[:-1], lengths, len(symbols))


@given(st.lists(st.integers(NO_WORD, 56), max_size=60))
def test_tables_come_back_and_tell_where_they_end(lengths):
    data = pack_lengths(lengths)
    back, taken = unpack_lengths(data + b"\x5a", len(lengths))
    assert_array_equal(back, lengths)
    assert taken == len(data)
    if data:
        with pytest.raises(ValueError, match="^unpack_lengths: data must hold a table"):
            unpack_lengths(data[:-1], len(lengths))


@given(st.binary(max_size=20), st.integers(0, 10), st.integers(0, 20))
def test_noise_is_decoded_to_symbols_or_refused(data, n, count):
    try:
        lengths, taken = unpack_lengths(data, n)
        symbols = decode(data[taken:], lengths, count)
    except ValueError:
        return
    assert symbols.shape == (count,) and (lengths[symbols] >= 0).all()


def test_no_more_words_are_looked_for_than_the_data_has_bits(monkeypatch):
    steps, walk = [], huffman._walk

    def counted(*arguments):
        steps.append(walk(*arguments))
        return steps[-1]

    monkeypatch.setattr(huffman, "_walk", counted)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="symbols too early"):
            decode(bytes(1000), [1, 1], 10 ** 15)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()
    assert sum(map(len, steps)) == 8000


@pytest.mark.parametrize("call, message", [
    (lambda: huffman_lengths([*FIBONACCI, FIBONACCI[-1] + FIBONACCI[-2]]),
     "huffman_lengths: counts must give words of <= 56 bits, got 57"),
    (lambda: entropy([1, -1]), "entropy: counts must be a vector of integers >= 0"),
    (lambda: huffman_lengths([0.5, 0.5]), "huffman_lengths: counts must be a vector of integers >= 0"),
    (lambda: huffman_lengths([[1]]), "huffman_lengths: counts must be a vector of integers >= 0"),
    (lambda: canonical_codes([1, 1, 1]), r"canonical_codes: lengths must satisfy sum 2\^-l = 1, got 1.5"),
    (lambda: canonical_codes([1, 2]), r"canonical_codes: lengths must satisfy sum 2\^-l = 1, got 0.75"),
    (lambda: canonical_codes([0] * 257), r"canonical_codes: lengths must satisfy sum 2\^-l = 1, got 257"),
    (lambda: canonical_codes([57]), "canonical_codes: lengths must be a vector of integers in -1..56"),
    (lambda: encode([2], [1, 1]), "encode: symbols must be integers in 0..1 that have a word"),
    (lambda: encode([1], [0, NO_WORD]), "encode: symbols must be integers in 0..1 that have a word"),
    (lambda: encode([-1], [1, 1]), "encode: symbols must be integers in 0..1 that have a word"),
    (lambda: decode(b"", [NO_WORD], 1), "decode: lengths must give a word to some symbol"),
    (lambda: decode(b"", [1, 1], 1),
     "decode: data must hold a word for every symbol, got 0 bytes, which end 1 symbols too early"),
    (lambda: decode(b"\x7f", [1, 3, 3, 3, 3], 4),
     "decode: data must hold a word for every symbol, got 1 bytes, which end within"),
])
def test_what_makes_no_code_is_refused(call, message):
    with pytest.raises(ValueError, match="^" + message):
        call()
