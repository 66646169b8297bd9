"""Arrays as bytes: several lossless codings, and for each array the one that is shortest.

Problem: one coding does not fit all. Trained weights look like noise, a pruned matrix is mostly zeros, shared
weights are a few values again and again, biases are short, quantized weights are small integers.

Idea: write an array in every way that fits it, and keep the shortest. Three ways to see an array:

    numbers     all its entries, one after the other
    codebook    its distinct entries, and for every place a code: 0 for the number 0, j for entry j
    mask        its entries that are not 0, and for every place a code: 1 where one stands

and ways for what is in them:

    numbers     raw; half (16 bits, where they lose nothing); deflate (zlib, of the first bytes of all, then
                the second ...); consecutive integers, of which the first is enough
    codes       Huffman words; or Huffman words of the gaps between those that are not 0, along rows or along
                columns, and of what stands there (Han et al. 2016, section 2); or `arithmetic` coding

A number is 0 here if all of its bits are: -0.0 and every NaN come back as they were. So prune with
np.where(mask, weight, 0): mask * weight leaves a -0.0 in every other place, and that costs a bit each.

Sources: Han, Mao and Dally 2016, Deep Compression; Deutsch 1996, DEFLATE (RFC 1951).
"""
import math
import zlib
from itertools import islice

import numpy as np

from tinyml.compression.coding.arithmetic import best_lag, decode_matrix, encode_matrix
from tinyml.compression.coding.huffman import (
    decode,
    encode,
    huffman_lengths,
    pack_lengths,
    unpack_lengths,
)

DTYPES = [np.dtype(code) for code in "|b1 |i1 <i2 <i4 <i8 |u1 <u2 <u4 <u8 <f2 <f4 <f8".split()]
ARRAYS = "numbers", "codebook", "mask"
NUMBERS = "raw", "half", "deflate", "consecutive"
CODES = "Huffman", "gaps along rows", "gaps along columns", "arithmetic"
LARGEST_CODEBOOK = 4096     # entries; more are hardly shorter than the numbers
MOST_DECISIONS = 1 << 19    # of arithmetic coding for an array: half a second
DENSEST = 4096              # entries per byte: a shorter coding is filled up, so that sizes can be checked


def encode_array(array):
    """An array in the fewest bytes that the codings above can.

    A byte for dtype and memory order (rows first or columns first: BLAS rounds them differently), the number
    of axes, their lengths, the length of the coding, the coding. Lengths are in groups of 7 bits (`varint`).

    Parameters
    ----------
    array : ndarray of Booleans, integers or real numbers of up to 64 bits, any shape

    Returns
    -------
    bytes, at least one per 4096 entries

    Raises
    ------
    TypeError : the array holds anything else

    Examples
    --------
    >>> len(encode_array(np.zeros((300, 784)))), len(encode_array(np.arange(1, 1001)))
    (65, 8)
    """
    dtype = array.dtype.newbyteorder("<")
    if dtype not in DTYPES:
        raise TypeError(f"encode_array: array must hold real numbers of up to 64 bits, got {array.dtype}")
    columns_first = array.flags.f_contiguous and not array.flags.c_contiguous
    coding = _array(np.ascontiguousarray(array, dtype).reshape(array.shape))
    coding = coding.ljust(-(-array.size // DENSEST), b"\0")
    sizes = [array.ndim, *array.shape, len(coding)]
    return bytes([2 * DTYPES.index(dtype) + columns_first]) + b"".join(map(varint, sizes)) + coding


def decode_array(reader, at_most=math.inf):
    """The next array of a file, bit for bit, and the words for its coding.

    Parameters
    ----------
    reader : Reader, at the first byte of what `encode_array` wrote; afterwards behind the last
    at_most : float, entries that the array may have

    Returns
    -------
    array : ndarray
    coding : str, such as "codebook of 8 (consecutive), arithmetic"

    Raises
    ------
    ValueError, LookupError, TypeError, OverflowError, zlib.error : the bytes are not of `encode_array`;
        nothing is allocated that is larger than 4096 entries per byte, or than `at_most`
    """
    index, columns_first = divmod(reader.varint(), 2)
    shape = tuple(reader.varint() for _ in range(reader.varint()))
    coding = reader.take(reader.varint())
    if math.prod(shape) > min(DENSEST * len(coding), at_most):
        raise ValueError(f"shape {shape} is too large for {len(coding)} bytes")
    values, words = _read_array(Reader(coding), math.prod(shape), shape, DTYPES[index])
    array = values.astype(values.dtype.newbyteorder("=")).reshape(shape)
    return (np.asfortranarray(array) if columns_first else array), words


def code_ways(codes, k):
    """A matrix of codes in every way that fits it.

    Parameters
    ----------
    codes : ndarray of int, shape (rows, columns), in 0..k
    k : int in 1..4096

    Returns
    -------
    dict of str to bytes : "Huffman" always; where half or more of the codes are 0 also "gaps along rows" and
        "gaps along columns", and "arithmetic" if that takes at most 2^19 decisions
    """
    ways = {"Huffman": _words(codes.ravel(), k + 1)}
    kept = np.count_nonzero(codes)
    if 2 * kept <= codes.size:
        ways["gaps along rows"], ways["gaps along columns"] = (_gaps(c.ravel(), k) for c in (codes, codes.T))
        if codes.size + kept * (k - 1).bit_length() <= MOST_DECISIONS:
            lag = best_lag(codes)
            ways["arithmetic"] = varint(lag) + encode_matrix(codes, k=k, lag=lag)
    return ways


def relative_indices(positions, bits):
    """Positions as gaps of `bits` bits: how many places are passed over on the way to the next one.

        gap_i = position_i - position_(i-1) - 1,     position_(-1) = -1

    The largest symbol, 2^bits - 1, is a filler: pass over as many places, and stop at none. So a long gap is
    some fillers and a rest. (Han et al. 2016, figure 2, where a filler stops, and stores a weight of 0.)

    Parameters
    ----------
    positions : array_like of int >= 0, shape (n,), increasing
    bits : int in 1..16

    Returns
    -------
    ndarray of int64, shape (n + number of fillers,), each in 0..2^bits - 1

    Raises
    ------
    ValueError : positions do not increase from 0 or more, or bits is outside 1..16

    Examples
    --------
    >>> relative_indices([1, 2, 12], bits=3)
    array([1, 0, 7, 2])
    """
    positions = np.asarray(positions, np.int64)
    gaps = np.diff(positions, prepend=-1) - 1
    if positions.ndim != 1 or (gaps < 0).any():
        raise ValueError("relative_indices: positions must increase from 0 or more, got others")
    filler = _filler("relative_indices", bits)
    symbols = np.full(len(gaps) + (gaps // filler).sum(), filler)
    symbols[(gaps // filler + 1).cumsum() - 1] = gaps % filler
    return symbols


def absolute_indices(symbols, bits):
    """The positions that `relative_indices` was given.

    Parameters
    ----------
    symbols : array_like of int, shape (n,), each in 0..2^bits - 1
    bits : int in 1..16

    Returns
    -------
    ndarray of int64, at most n

    Raises
    ------
    ValueError : bits is outside 1..16
    """
    symbols = np.asarray(symbols, np.int64)
    stops = symbols != _filler("absolute_indices", bits)
    return ((symbols + stops).cumsum() - 1)[stops]


def _filler(function, bits):
    if not (isinstance(bits, (int, np.integer)) and 1 <= bits <= 16):
        raise ValueError(f"{function}: bits must be an int in 1..16, got {bits!r}")
    return (1 << int(bits)) - 1

# Arrays.

def _array(array):
    """The shortest coding of an array: its numbers, or codes for every place and what they stand for."""
    flat, ways = array.ravel(), {}
    ways["numbers"] = _numbers(flat)
    codes, table = _codebook(array)
    if np.count_nonzero(codes) < codes.size:
        kept = codes != 0
        ways["mask"] = varint(kept.sum()) + _numbers(flat[kept.ravel()]) + _codes(kept.astype(np.int64), 1)
    if array.dtype.kind in "iu" and len(table):
        codes, table = _all_between(codes, table)
    if 0 < len(table) <= min(LARGEST_CODEBOOK, array.size):
        ways["codebook"] = varint(len(table)) + _numbers(table) + _codes(codes, len(table))
    return _shortest(ARRAYS, ways)


def _codebook(array):
    """Codes, shape (rows, columns), and the distinct entries that they stand for: 0 first, then rising."""
    bits, places = np.unique(array.ravel().view(f"<u{array.dtype.itemsize}"), return_inverse=True)
    has_zero = int(bits[:1].sum() == 0 and len(bits) > 0)    # then it comes first
    table = bits[has_zero:].view(array.dtype)
    order = np.argsort(table, kind="stable")
    rank = np.zeros(has_zero + len(table), np.int64)
    rank[has_zero + order] = 1 + np.arange(len(table))
    return rank[places].reshape(_matrix(array.shape)), table[order]


def _all_between(codes, table):
    """For integers not far apart, all from the smallest to the largest but 0: they need no list."""
    low, high = int(table[0]), int(table[-1])
    if high - low >= LARGEST_CODEBOOK:
        return codes, table
    full = np.array([v for v in range(low, high + 1) if v], table.dtype)
    return np.append(0, 1 + np.searchsorted(full, table))[codes], full


def _read_array(reader, size, shape, dtype):
    """The flat entries of an array, and the words for its coding."""
    kind = ARRAYS[reader.byte()]
    if kind == "numbers" or not size:    # an empty array has no codes, however long its axes are
        return _read_numbers(reader, size, dtype)
    n = reader.varint()
    if n > size + LARGEST_CODEBOOK:
        raise ValueError(f"{n} numbers for {size} entries")
    numbers, as_numbers = _read_numbers(reader, n, dtype)
    codes, as_codes = _read_codes(reader, _matrix(shape), n if kind == "codebook" else 1)
    if kind == "codebook":
        with_zero = np.append(np.zeros(1, dtype), numbers)
        return with_zero[codes.ravel()], f"codebook of {n} ({as_numbers}), {as_codes}"
    values = np.zeros(size, dtype)
    kept = codes.ravel() != 0
    if np.count_nonzero(kept) != n:    # a single number would be repeated
        raise ValueError(f"{n} numbers for {np.count_nonzero(kept)} places")
    values[kept] = numbers
    return values, f"mask, {as_codes}, numbers {as_numbers}"


def _matrix(shape):
    """A shape as (rows, columns): what is not the first axis is one axis; a vector is a row."""
    return (shape[0], math.prod(shape[1:])) if len(shape) > 1 else (1, math.prod(shape))


# Numbers and codes: a byte that says in which way, then the bytes of that way.

def _shortest(names, ways):
    return min((bytes([names.index(name)]) + data for name, data in ways.items()), key=len)


def _numbers(values):
    raw, n = values.tobytes(), len(values)
    planes = np.frombuffer(raw, np.uint8).reshape(n, -1).T.tobytes() if n else b""
    packed = deflate(planes)
    ways = {"raw": raw, "deflate": varint(len(packed)) + packed}
    if values.dtype.kind == "f":
        with np.errstate(over="ignore", invalid="ignore"):
            half = values.astype("<f2")
            if half.astype(values.dtype).tobytes() == raw:
                ways["half"] = half.tobytes()
    if values.dtype.kind in "iu" and 0 < n <= LARGEST_CODEBOOK:
        first = int(values[0])
        if _consecutive(first, n) == values.tolist():
            ways["consecutive"] = varint(2 * first if first >= 0 else -2 * first - 1)
    return _shortest(NUMBERS, ways)


def _read_numbers(reader, n, dtype):
    kind = NUMBERS[reader.byte()]
    if kind == "raw":
        values = np.frombuffer(reader.take(n * dtype.itemsize), dtype)
    elif kind == "half" and dtype.kind == "f":
        values = np.frombuffer(reader.take(2 * n), "<f2").astype(dtype)
    elif kind == "deflate":
        planes = inflate(reader.take(reader.varint()), n * dtype.itemsize)
        values = np.frombuffer(planes, np.uint8).reshape(-1, n).T.copy().view(dtype).ravel()
    elif kind == "consecutive" and n <= LARGEST_CODEBOOK:
        half, odd = divmod(reader.varint(), 2)
        values = np.array(_consecutive(-half - 1 if odd else half, n), dtype)
    else:
        raise ValueError(f"{n} {kind} numbers of {dtype}")
    return values, kind


def _consecutive(first, n):
    """The first n integers from `first` on, without 0."""
    return list(islice((v for v in range(first, first + n + 1) if v), n))


def _codes(codes, k):
    return _shortest(CODES, code_ways(codes, k))


def _read_codes(reader, shape, k):
    kind, size = CODES[reader.byte()], math.prod(shape)
    if kind == "Huffman":
        codes = _read_words(reader, size, k + 1)
    elif kind == "gaps along rows":
        codes = _read_gaps(reader, size, k)
    elif kind == "gaps along columns":
        codes = _read_gaps(reader, size, k).reshape(shape[::-1]).T
    else:
        lag = reader.varint()
        if lag > max(1, shape[1]) or size > MOST_DECISIONS:
            raise ValueError(f"lag {lag} in {shape[1]} columns, {size} codes")
        codes = decode_matrix(reader.ahead(), shape, k=k, lag=lag, at_most=MOST_DECISIONS)
    return codes, kind


def _words(symbols, n):
    """Symbols in 0..n-1: the table of word lengths, and the words."""
    lengths = huffman_lengths(np.bincount(symbols, minlength=n))
    return pack_lengths(lengths) + encode(symbols, lengths)


def _read_words(reader, count, n):
    lengths, taken = unpack_lengths(reader.ahead(), n)
    reader.take(taken)
    symbols = decode(reader.ahead(), lengths, count)
    reader.take(-(-int(lengths[symbols].sum()) // 8))
    return symbols


def _gaps(codes, k):
    """Positions of what is not 0 as gaps of the width that is shortest, then what stands there."""
    positions = np.flatnonzero(codes)
    widths = range(1, min(len(codes).bit_length(), 16) + 1)
    bits = min(widths, key=lambda bits: _length(relative_indices(positions, bits), 1 << bits))
    gaps = relative_indices(positions, bits)
    return varint(bits) + varint(len(gaps)) + _words(gaps, 1 << bits) + _words(codes[positions] - 1, k)


def _length(symbols, n):
    """How many bytes `_words` takes, up to rounding."""
    counts = np.bincount(symbols, minlength=n)
    lengths = huffman_lengths(counts)
    return len(pack_lengths(lengths)) + counts @ np.maximum(lengths, 0) / 8


def _read_gaps(reader, size, k):
    bits, n = reader.varint(), reader.varint()
    if bits > 16 or n > 2 * size:
        raise ValueError(f"{n} gaps of {bits} bits between {size} entries")
    positions = absolute_indices(_read_words(reader, n, 1 << bits), bits)
    codes = np.zeros(size, np.int64)
    codes[positions] = 1 + _read_words(reader, len(positions), k)
    return codes


# Bytes.

class Reader:
    """Bytes with a place in them; asked for more than are left, it raises ValueError."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, n):
        """The next n bytes."""
        if n > len(self.data) - self.at:
            raise ValueError(f"{n} bytes were expected, {len(self.data) - self.at} are left")
        self.at += n
        return self.data[self.at - n:self.at]

    def byte(self):
        """The next byte as an integer."""
        return self.take(1)[0]

    def varint(self):
        """The next integer of `varint`, at most 77 bits."""
        value = 0
        for shift in range(0, 77, 7):
            byte = self.byte()
            value |= (byte & 127) << shift
            if byte < 128:
                break
        return value

    def ahead(self):
        """All that is left, without taking it."""
        return self.data[self.at:]


def varint(n):
    """An integer >= 0 as bytes of 7 bits each, the lowest first; all but the last have 128 added."""
    out, n = bytearray(), int(n)
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes([*out, n])


def deflate(data, words=b""):
    """zlib's best, without its header and check; `words` is what the data is likely to contain."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zdict=words)
    return packer.compress(data) + packer.flush()


def inflate(data, at_most, words=b""):
    """What `deflate` was given; ValueError if it is longer than `at_most` bytes, or not whole."""
    unpacker = zlib.decompressobj(-15, zdict=words)
    content = unpacker.decompress(data, at_most + 1)    # one more, as 0 would mean no limit
    if len(content) > at_most or not unpacker.eof:
        raise ValueError(f"deflated data must hold at most {at_most:,} bytes and be whole")
    return content
