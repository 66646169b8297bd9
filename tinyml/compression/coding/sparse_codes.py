"""The codes of a pruned matrix as bytes: most are 0, so store the others and their places.

Problem: after pruning and weight sharing, a matrix holds small integers: 0 where a weight
was pruned, and otherwise 1..k for its shared value. A Huffman code spends at least one bit
on each entry, also on the 90 % or more that are 0.

Idea: store the positions of the entries that are not 0 as gaps: the number of zeros before
each. With positions p_0 < p_1 < ... and p_(-1) = -1,

    gap_i = p_i - p_(i-1) - 1.

A gap gets a fixed number of bits; a gap that needs more bits is split (`relative_indices`).
Some gaps are more frequent than others, so a Huffman code for the gaps saves more bytes.
`arithmetic` needs no gaps: there an expected zero costs a small fraction of a bit.

Source: Han, Mao and Dally 2016, Deep Compression, sections 2 and 4.
"""
import math

import numpy as np

from tinyml.compression.coding.arithmetic import best_lag, decode_matrix, encode_matrix
from tinyml.compression.coding.byte_stream import varint
from tinyml.compression.coding.huffman import (
    decode,
    encode,
    huffman_lengths,
    pack_lengths,
    unpack_lengths,
)
from tinyml.contract import checked

MAX_DECISIONS = 1 << 19    # of arithmetic coding for one matrix: half a second
CODINGS = "Huffman", "gaps along rows", "gaps along columns", "arithmetic"


@checked
def relative_indices(
    positions: "array_like of int, shape (n,), >= 0, increasing; with no position "
               "twice",
    bits: "int in 1..16; of each symbol",
) -> "ndarray of int64, shape (n + number of fillers,), in 0..2^bits - 1":
    """Positions as gaps of a fixed number of bits.

        gap_i = p_i - p_(i-1) - 1,     p_(-1) = -1

    The largest symbol, 2^bits - 1, is a filler: it only skips that many entries. So a long
    gap is some fillers and a remainder. (In figure 2 of Han et al. 2016 a filler stops at
    an entry, where a weight of 0 is stored.)

    >>> relative_indices([1, 2, 12], bits=3)    # 9 entries between 2 and 12: 7 + 2
    array([1, 0, 7, 2])
    """
    gaps = np.diff(positions, prepend=-1) - 1
    if (gaps < 0).any():
        raise ValueError("relative_indices: positions must be distinct, got one twice")
    filler = 2 ** bits - 1
    n_fillers, remainder = np.divmod(gaps, filler)
    n_symbols = n_fillers + 1
    symbols = np.full(n_symbols.sum(), filler)
    symbols[n_symbols.cumsum() - 1] = remainder
    return symbols


@checked
def absolute_indices(
    symbols: "array_like of int, shape (n,), in 0..2^bits-1",
    bits: "int in 1..16; of each symbol",
) -> "ndarray of int64, at most n":
    """The positions that `relative_indices` was given."""
    ends_gap = symbols != 2 ** bits - 1    # not a filler
    moves = symbols + ends_gap             # past the zeros, and onto the entry behind them
    return (moves.cumsum() - 1)[ends_gap]


@checked
def all_codings(
    codes: "ndarray of int, shape (m, n), in 0..k",
    k: "int in 1..65536; largest code",
):
    """A matrix of codes in every coding that suits it.

    Returns
    -------
    dict of str to bytes : by the coding, one of `CODINGS`: "Huffman", and the others if at least
        half of the codes are 0; "arithmetic" only for at most 2^19 decisions
    """
    codings = {"Huffman": _huffman(codes.ravel(), k + 1)}
    n_kept = np.count_nonzero(codes)
    if 2 * n_kept > codes.size:
        return codings
    codings["gaps along rows"] = _gaps(codes.ravel(), k)
    codings["gaps along columns"] = _gaps(codes.T.ravel(), k)
    if codes.size + n_kept * (k - 1).bit_length() <= MAX_DECISIONS:
        lag = best_lag(codes)
        codings["arithmetic"] = varint(lag) + encode_matrix(codes, k=k, lag=lag)
    return codings


def decode_codes(coding, reader, shape, k):
    """The matrix of codes that `all_codings` wrote in this coding; the reader moves behind it.

    Damaged bytes raise ValueError or LookupError. The caller limits the shape.
    """
    rows, columns = shape
    size = rows * columns
    if coding == "Huffman":
        return _read_huffman(reader, size, k + 1).reshape(shape)
    if coding == "gaps along rows":
        return _read_gaps(reader, size, k).reshape(shape)
    if coding == "gaps along columns":
        return _read_gaps(reader, size, k).reshape(columns, rows).T
    lag = reader.varint()
    if lag > max(1, columns) or size > MAX_DECISIONS:
        raise ValueError(f"lag {lag} in {columns} columns, {size} codes")
    return decode_matrix(reader.rest(), shape, k=k, lag=lag, at_most=MAX_DECISIONS)


# ------------------------------------------------------------ a table of lengths, then codewords

def _huffman(symbols, n):
    """The table and the codewords of symbols in 0..n-1."""
    lengths = huffman_lengths(np.bincount(symbols, minlength=n))
    return pack_lengths(lengths) + encode(symbols, lengths)


def _huffman_size(symbols, n):
    """The number of bytes of `_huffman`, up to rounding."""
    counts = np.bincount(symbols, minlength=n)
    lengths = huffman_lengths(counts)
    return len(pack_lengths(lengths)) + counts @ np.maximum(lengths, 0) / 8


def _read_huffman(reader, count, n):
    lengths, n_bytes = unpack_lengths(reader.rest(), n)
    reader.take(n_bytes)
    symbols = decode(reader.rest(), lengths, count)
    n_bits = int(lengths[symbols].sum())
    reader.take(math.ceil(n_bits / 8))
    return symbols


# ------------------------------------------------------------ gaps, then the codes that are not 0

def _gaps(codes, k):
    """The gaps, with the bits per symbol that give the fewest bytes; then the codes not 0."""
    positions = np.flatnonzero(codes)
    widest = min(max(len(codes), 1).bit_length(), 16)
    widths = range(1, widest + 1)
    gaps = {bits: relative_indices(positions, bits=bits) for bits in widths}
    bits = min(widths, key=lambda bits: _huffman_size(gaps[bits], 1 << bits))
    head = varint(bits) + varint(len(gaps[bits]))
    return head + _huffman(gaps[bits], 1 << bits) + _huffman(codes[positions] - 1, k)


def _read_gaps(reader, size, k):
    bits, n = reader.varint(), reader.varint()
    if bits > 16 or n > 2 * size:
        raise ValueError(f"{n} gaps of {bits} bits between {size} entries")
    gaps = _read_huffman(reader, n, 1 << bits)
    positions = absolute_indices(gaps, bits=bits)
    codes = np.zeros(size, np.int64)
    codes[positions] = 1 + _read_huffman(reader, len(positions), k)
    return codes
