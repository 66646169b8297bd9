"""Huffman coding: frequent symbols get short codewords.

Problem: after pruning and weight sharing, a network is a sequence of a few symbols, and
some of them are far more frequent than others. A fixed-length code spends log2(K) bits on
each of the K symbols, however rare it is.

Idea: merge the two least frequent symbols into one, and repeat until one is left. Each
merge puts one bit in front of the codewords of both sides. The codewords are the leaves
of a binary tree, so none is a prefix of another, and a sequence of codewords needs no
separators. With p_i the frequency of symbol i and l_i the length of its codeword,

    sum_i 2^-l_i = 1                       (Kraft 1949: the codewords fill the tree)
    H <= sum_i p_i l_i < H + 1,            H = -sum_i p_i log2 p_i, the entropy

No code for single symbols has a shorter mean length (Huffman 1952), and no code at all
has one below H (Shannon 1948).

A codeword has at least one bit. So a symbol with p near 1, such as the 0 of a pruned
matrix, costs a whole bit, although H is near 0. `sparse_codes` skips such symbols,
`arithmetic` spends less than a bit on them.

Sources: Huffman 1952, A method for the construction of minimum-redundancy codes; Schwartz
and Kallick 1964 for canonical codes; Han, Mao and Dally 2016, Deep Compression, section
4.
"""
import heapq

import numpy as np

from tinyml.contract import checked

UNUSED = -1        # in place of a length, for a symbol that never occurs
MAX_LENGTH = 56    # bits of a codeword


@checked
def entropy(
    counts: "array_like of int, shape (K,), >= 0; number of times each symbol occurs",
) -> "float in [0, log2 K]; 0 if all counts are 0":
    """The entropy H = -sum p_i log2 p_i with p_i = counts_i / sum(counts), in bits per symbol.

    >>> entropy([2, 1, 1, 0])
    1.5
    """
    p = counts[counts > 0] / counts.sum(dtype=float)    # 0 log2 0 = 0
    return float(p @ -np.log2(p))


@checked
def huffman_lengths(
    counts: "array_like of int, shape (K,), >= 0; with codewords of at most 56 bits",
):
    """The codeword lengths of an optimal code (Huffman 1952).

    Merge the two least frequent symbols until one is left. The length of a symbol is the
    number of merges that it was part of.

    Returns
    -------
    ndarray of int64, shape (K,) : bits of each codeword, or UNUSED = -1 if the count is 0

    >>> huffman_lengths([4, 0, 2, 1, 1])
    array([ 1, -1,  2,  3,  3])
    """
    lengths = np.where(counts > 0, 0, UNUSED)
    # (count, height, symbols): if counts are equal, the lower tree is merged first
    trees = [(int(counts[i]), 0, [i]) for i in np.flatnonzero(counts).tolist()]
    heapq.heapify(trees)
    while len(trees) > 1:
        count, height, rarest = heapq.heappop(trees)
        next_count, next_height, next_rarest = heapq.heappop(trees)
        merged = rarest + next_rarest
        lengths[merged] += 1
        tree = (count + next_count, 1 + max(height, next_height), merged)
        heapq.heappush(trees, tree)
    if lengths.max(initial=0) > MAX_LENGTH:
        raise ValueError("huffman_lengths: counts must give codewords of <= 56 bits, got "
                         f"{lengths.max()}; divide the counts, rounding up")
    return lengths


@checked
def canonical_codes(
    lengths: "array_like of int, shape (K,), in -1..56; with sum of 2^-l = 1; -1 for "
             "unused symbols",
) -> "list of str : the codeword of each symbol, or None if it is unused":
    """The codewords that belong to given lengths, so that only the lengths need to be stored.

    Read a codeword b1 b2 b3 ... of length l as the binary fraction 0.b1b2b3..., and let it
    stand for the interval of length 2^-l that begins there. In the order of lengths, then of
    symbols, these intervals fill [0, 1) from left to right: a codeword is the sum of 2^-l
    over all codewords before it, written with l digits.

    >>> canonical_codes([1, 3, 2, 3])
    ['0', '110', '10', '111']
    """
    _check_kraft("canonical_codes", lengths)
    codewords = [None] * len(lengths)
    start = 0                                    # in units of 2^-56
    for i in np.argsort(lengths, kind="stable").tolist():
        length = int(lengths[i])
        if length != UNUSED:
            digits = start >> MAX_LENGTH - length
            codewords[i] = f"{digits:0{length}b}" if length else ""
            start += 1 << MAX_LENGTH - length
    return codewords


@checked
def encode(
    symbols: "array_like of int, any shape, in 0..K-1; with a codeword each",
    lengths: "array_like of int, shape (K,); from `huffman_lengths`",
):
    """The codewords of the symbols as bytes, one after the other; zeros fill the last byte.

    >>> encode([0, 0, 2, 1], huffman_lengths([2, 1, 1])).hex()    # 0 0 11 10
    '38'
    """
    codewords = canonical_codes(lengths)
    if (lengths[symbols] == UNUSED).any():
        raise ValueError("encode: symbols must have a codeword, got one that was never counted")
    return _bytes("".join([codewords[i] for i in symbols.ravel().tolist()]))


@checked
def decode(
    data: "bytes; anything after the last codeword is ignored",
    lengths: "array_like of int, shape (K,); the same as in `encode`",
    count: "int >= 0; number of symbols",
) -> "ndarray of int64, shape (count,)":
    """The first `count` symbols of what `encode` wrote: read bits until they are a codeword."""
    codewords = canonical_codes(lengths)
    symbol_of = {word: i for i, word in enumerate(codewords) if word is not None}
    if "" in symbol_of:    # a single symbol, which takes no bits
        return np.full(count, symbol_of[""])
    most_bytes = MAX_LENGTH // 8 * count if symbol_of else 0
    symbols, word = [], ""
    for bit in _bits(data[:most_bytes]):
        word += bit
        if word in symbol_of:
            symbols.append(symbol_of[word])
            word = ""
            if len(symbols) == count:
                break
    if len(symbols) < count:
        raise ValueError(f"decode: data must hold {count} codewords, got {len(symbols)}")
    return np.array(symbols, np.int64)


def _check_kraft(function, lengths):
    """Raise ValueError unless the sum of 2^-l is 1: then the codewords fill the tree."""
    used = lengths[lengths != UNUSED].tolist()
    total = sum(1 << MAX_LENGTH - length for length in used)    # in units of 2^-56
    if used and total != 1 << MAX_LENGTH:
        total /= 1 << MAX_LENGTH
        raise ValueError(f"{function}: lengths must satisfy sum 2^-l = 1, got {total:g}; "
                         "write huffman_lengths(counts)")


# ------------------------------------------------------------ the table of lengths in a file

@checked
def pack_lengths(lengths: "array_like of int, shape (K,), in -1..56"):
    """A table of codeword lengths in few bytes.

    Neighbouring symbols are about equally frequent, so their lengths differ by little.
    Each difference d = l_i - l_(i-1), with 0 before the first length, is written as z ones
    and a zero, z = 2 d - 1 for d > 0 and -2 d otherwise: 0 as 0, 1 as 10, -1 as 110.

    >>> pack_lengths([1, 2, 2]).hex()    # 10 10 0
    'a0'
    """
    d = np.diff(lengths, prepend=0)
    n_ones = np.where(d > 0, 2 * d - 1, -2 * d)
    return _bytes("".join(["1" * n + "0" for n in n_ones.tolist()]))


@checked
def unpack_lengths(
    data: "bytes; anything after the table is ignored",
    n: "int >= 0; size of the alphabet",
):
    """The first n lengths that `pack_lengths` wrote, and the number of bytes read.

    Returns
    -------
    lengths : ndarray of int64, shape (n,)
    n_bytes : int
    """
    most_bits = 2 * (MAX_LENGTH + 1) + 1    # of a difference, from 56 to -1
    bits = _bits(data[:n * most_bits // 8 + 1])
    runs = bits.split("0", n)[:-1]          # n runs of ones, each ended by a zero
    if len(runs) < n:
        raise ValueError(f"unpack_lengths: data must hold {n} lengths, got {len(runs)}")
    n_ones = np.array([len(run) for run in runs], np.int64)
    d = np.where(n_ones % 2, (n_ones + 1) // 2, -n_ones // 2)
    lengths = d.cumsum()
    if n and not UNUSED <= lengths.min() <= lengths.max() <= MAX_LENGTH:
        raise ValueError(f"unpack_lengths: data must hold lengths in -1..56, got {lengths}")
    return lengths, -(-int((n_ones + 1).sum()) // 8)


def _bytes(bits):
    """A text of zeros and ones, eight to a byte; zeros fill the last byte."""
    characters = np.frombuffer(bits.encode(), np.uint8)
    return np.packbits(characters == ord("1")).tobytes()


def _bits(data):
    """The bits of `data` as a text of zeros and ones."""
    return "".join([f"{byte:08b}" for byte in data])
