"""Huffman coding: frequent symbols get short words, and no code of whole bits is shorter.

Problem: after pruning and weight sharing a network is a stream of a few symbols, some of them far more
frequent than others: cluster numbers, and distances from one kept weight to the next. Fixed-width codes
spend log2(K) bits on each of the K symbols, however rare.

Idea: join the two rarest symbols into one, again and again; every joining puts one bit in front of the words
of both sides. Only the word lengths matter, so only they are stored: the words follow from them by rule.
No word begins another, so a stream of words needs no commas. With p_i the share of symbol i, l_i its length

    sum_i 2^-l_i = 1                           (Kraft: the words fill the tree)
    H <= sum_i p_i l_i < H + 1,                H = -sum_i p_i log2 p_i   (Shannon 1948: no code goes below H)

A symbol more frequent than all others together still takes a whole bit, while H falls to 0. So zeros are
better passed over (`codings`), or coded by less than bits (`arithmetic`).

Sources: Huffman 1952, A method for the construction of minimum-redundancy codes; Schwartz and Kallick 1964
for the canonical words; Han, Mao and Dally 2016, Deep Compression, section 4.
"""
import heapq

import numpy as np

NO_WORD = -1     # the length of a symbol that never occurs
LONGEST = 56     # bits: a window of 64 that starts inside a byte still holds the word
BLOCK = 1 << 15  # bytes that are decoded at a time, to bound the memory


def entropy(counts):
    """H = -sum p_i log2 p_i with p_i = counts_i / sum(counts): the least mean number of bits per symbol.

    Parameters
    ----------
    counts : array_like of int >= 0, shape (K,), how often each symbol occurs

    Returns
    -------
    float in [0, log2 K]; 0 where nothing occurs

    Raises
    ------
    ValueError : counts are not a vector, not integers, or negative

    Examples
    --------
    >>> entropy([2, 1, 1, 0])
    1.5
    """
    counts = _counts("entropy", counts)
    p = counts[counts > 0] / max(counts.sum(dtype=np.float64), 1)
    return float(p @ -np.log2(p))


def huffman_lengths(counts):
    """Word lengths of an optimal code: join the two rarest until one is left (Huffman 1952).

    A symbol's length is how often it was part of a joining; which of equal counts are joined first is free. One
    symbol alone needs no bits: length 0. Words of more than 56 bits are refused. The total of the counts is at
    least the Fibonacci number F(longest + 2), so they would take more symbols than any memory holds; but counts
    need not come from symbols.

    Parameters
    ----------
    counts : array_like of int >= 0, shape (K,), how often each symbol occurs

    Returns
    -------
    ndarray of int64, shape (K,) : bits of each word; NO_WORD = -1 for symbols that never occur

    Raises
    ------
    ValueError : counts are not a vector, not integers, negative, or so uneven that a word is longer than 56

    Examples
    --------
    >>> huffman_lengths([4, 0, 2, 1, 1])
    array([ 1, -1,  2,  3,  3])
    """
    counts = _counts("huffman_lengths", counts)
    lengths = np.where(counts > 0, 0, NO_WORD)
    # (count, height, members): of equal counts the flatter tree first, which keeps the longest word short
    heap = [(int(counts[i]), 0, [i]) for i in np.flatnonzero(counts).tolist()]
    heapq.heapify(heap)
    while len(heap) > 1:
        n, height, rare = heapq.heappop(heap)
        m, other, next_rare = heapq.heappop(heap)
        members = rare + next_rare
        lengths[members] += 1
        heapq.heappush(heap, (n + m, 1 + max(height, other), members))
    if lengths.max(initial=0) > LONGEST:
        raise ValueError(f"huffman_lengths: counts must give words of <= {LONGEST} bits, got "
                         f"{lengths.max()}; divide the counts, rounding up")
    return lengths


def canonical_codes(lengths):
    """The words that belong to word lengths: sorted by length, then symbol, each starts where the last ended.

    Think of a word b1 b2 b3 ... as the binary fraction 0.b1b2b3... Word number j of the sorted list is the
    sum of 2^-l over all before it, written with l_j digits: intervals of length 2^-l, side by side in [0, 1).
    So no word begins another.

    Parameters
    ----------
    lengths : array_like of int, shape (K,), each in 0..56, or NO_WORD = -1; sum of 2^-l = 1

    Returns
    -------
    ndarray of int64, shape (K,) : the word of each symbol, its l bits as an integer, first bit highest; 0 for
        symbols without a word

    Raises
    ------
    ValueError : the lengths are no vector of such integers, or their sum of 2^-l is above 1, where there is
        no such code (Kraft 1949), or below, where there is a shorter one

    Examples
    --------
    >>> [f"{code:0{l}b}" for code, l in zip(canonical_codes([1, 3, 2, 3]), [1, 3, 2, 3])]
    ['0', '110', '10', '111']
    """
    lengths = _lengths("canonical_codes", lengths)
    order, length, start = _intervals(lengths)
    codes = np.zeros(len(lengths), np.int64)
    codes[order] = start >> (LONGEST - length)
    return codes


def encode(symbols, lengths):
    """The canonical words of the symbols, one after the other, the last byte filled up with zeros.

    Parameters
    ----------
    symbols : array_like of int, any shape, in 0..K-1 and with a word; read in C order
    lengths : array_like of int, shape (K,), as from `huffman_lengths`

    Returns
    -------
    bytes, ceil(sum of the words' lengths / 8) of them

    Raises
    ------
    ValueError : the lengths make no code, or a symbol has no word

    Examples
    --------
    >>> encode([0, 0, 2, 1], huffman_lengths([2, 1, 1])).hex()    # 0 0 11 10
    '38'
    """
    codes, lengths = canonical_codes(lengths), np.asarray(lengths, np.int64)
    symbols = np.asarray(symbols).ravel()
    if symbols.size and not (symbols.dtype.kind in "biu" and 0 <= symbols.min()
                             and symbols.max() < len(lengths) and lengths[symbols].min() >= 0):
        raise ValueError(f"encode: symbols must be integers in 0..{len(lengths) - 1} that have a word, got "
                         "one that has not; count all symbols before huffman_lengths")
    codes, lengths = (table[symbols.astype(np.int64)] for table in (codes, lengths))
    ends = lengths.cumsum()
    bits = np.zeros(ends[-1] if symbols.size else 0, np.uint8)
    for back in range(1, lengths.max(initial=0) + 1):    # the last bit of every word, the one before ...
        has = lengths >= back
        bits[ends[has] - back] = codes[has] >> (back - 1) & 1
    return np.packbits(bits).tobytes()


def decode(data, lengths, count):
    """The first `count` symbols of a stream of `encode`.

    A word begins where the last one ended, so the walk is one step after the other; but what *would* be read
    at a position can be looked up for all positions at once. Take the next 56 bits as a binary fraction: the
    word is the one in whose interval (`canonical_codes`) it lies. The walk is then one addition a word.

    Parameters
    ----------
    data : bytes; what comes after the last word is not looked at
    lengths : array_like of int, shape (K,), those that the stream was encoded with
    count : int >= 0, number of symbols

    Returns
    -------
    ndarray of int64, shape (count,)

    Raises
    ------
    ValueError : the lengths make no code, or the data ends before the last symbol

    Examples
    --------
    >>> decode(bytes.fromhex("38"), huffman_lengths([2, 1, 1]), 4)
    array([0, 0, 2, 1])
    """
    order, length, start = _intervals(_lengths("decode", lengths))
    if count and not len(order):
        raise ValueError(f"decode: lengths must give a word to some symbol, got none for {count} symbols")
    if len(order) == 1 and length[0] == 0:
        return np.full(count, order[0], np.int64)
    parts, at = [np.zeros(0, np.int64)], 0    # `at` counts bits
    while count and at < 8 * len(data):
        windows = _windows(data, at // 8, BLOCK)
        word = np.searchsorted(start, windows, side="right") - 1    # at every bit, the word that starts there
        here = _walk(length[word].astype(np.uint8).tobytes(), at % 8, count)
        parts.append(word[here])
        count -= len(here)
        at = at // 8 * 8 + here[-1] + int(length[parts[-1][-1]])
    if count or at > 8 * len(data):
        raise ValueError(f"decode: data must hold a word for every symbol, got {len(data)} bytes, which end "
                         f"{f'{count} symbols too early' if count else 'within the last word'}")
    return order[np.concatenate(parts)]


def _windows(data, first, n):
    """The 56 bits that follow each bit of the bytes first..first+n-1, as integers; zeros follow the data."""
    n = min(n, len(data) - first)
    octets = np.frombuffer(data[first:first + n + 7].ljust(n + 7, b"\0"), np.uint8)
    word = np.zeros(n, np.uint64)
    for i in range(8):
        word = word << np.uint64(8) | octets[i:i + n]
    shifts = np.arange(8, 0, -1, dtype=np.uint64)    # 64 - 56 - (0..7)
    return (word[:, None] >> shifts & np.uint64((1 << LONGEST) - 1)).astype(np.int64).ravel()


def _walk(steps, at, count):
    """Positions at, at + steps[at], ... below len(steps), at most `count` of them."""
    positions = []
    for _ in range(count):
        if at >= len(steps):
            break
        positions.append(at)
        at += steps[at]
    return positions


def pack_lengths(lengths):
    """A table of word lengths in few bytes: the steps from one to the next, small ones in few bits.

    Neighbours in the alphabet are about equally frequent, so their lengths differ by little. With l_0 = 0
    before the first, the step d = l_i - l_(i-1) is written as z ones and a zero, z = 2d - 1 for d > 0 and -2d
    else: 0 as 0, +1 as 10, -1 as 110, ...

    Parameters
    ----------
    lengths : array_like of int, shape (K,), as from `huffman_lengths`

    Returns
    -------
    bytes, for `unpack_lengths`

    Examples
    --------
    >>> pack_lengths([1, 2, 2]).hex()    # 10 10 0
    'a0'
    """
    steps = np.diff(np.asarray(lengths, np.int64), prepend=0)
    ones = np.where(steps > 0, 2 * steps - 1, -2 * steps)
    bits = np.ones(len(ones) + ones.sum(), np.uint8)
    bits[(ones + 1).cumsum() - 1] = 0
    return np.packbits(bits).tobytes()


def unpack_lengths(data, n):
    """The first n lengths of `pack_lengths`, and the number of bytes that they took.

    Parameters
    ----------
    data : bytes; what comes after the table is not looked at
    n : int >= 0, the size of the alphabet

    Returns
    -------
    lengths : ndarray of int64, shape (n,)
    taken : int

    Raises
    ------
    ValueError : the data ends before the table does, or holds lengths outside -1..56
    """
    data = data[:16 * n]    # a step takes 2 * 57 + 1 bits at most
    zeros = np.flatnonzero(np.unpackbits(np.frombuffer(data, np.uint8)) == 0)[:n]
    if len(zeros) < n:
        raise ValueError(f"unpack_lengths: data must hold a table of {n} lengths, got {len(zeros)} of them")
    ones = np.diff(zeros, prepend=-1) - 1
    lengths = np.where(ones % 2, (ones + 1) // 2, -ones // 2).cumsum()
    if n and not NO_WORD <= lengths.min() <= lengths.max() <= LONGEST:
        raise ValueError(f"unpack_lengths: lengths must be in -1..{LONGEST}, got {lengths}")
    return lengths, (int(zeros[-1]) // 8 + 1 if n else 0)


def _counts(function, counts):
    """Counts as an int64 vector, or an error."""
    counts = np.asarray(counts)
    if counts.size == 0 and counts.ndim == 1:
        return counts.astype(np.int64)
    if (counts.ndim != 1 or counts.dtype.kind not in "biu" or counts.min() < 0
            or counts.max() > np.iinfo(np.int64).max):
        raise ValueError(f"{function}: counts must be a vector of integers >= 0 and < 2^63, got {counts}")
    return counts.astype(np.int64)


def _lengths(function, lengths):
    """Lengths as an int64 vector, or an error."""
    lengths = np.asarray(lengths)
    if lengths.ndim != 1 or (lengths.size and not (lengths.dtype.kind in "iu" and NO_WORD <= lengths.min()
                                                   and lengths.max() <= LONGEST)):
        raise ValueError(f"{function}: lengths must be a vector of integers in -1..{LONGEST}, got {lengths}")
    lengths = lengths.astype(np.int64)
    words = lengths[lengths >= 0]
    kraft = np.ldexp(1.0, -words).sum()    # rounded, but it cannot overflow as the exact sum can
    if len(words) and (kraft > 2 or (np.int64(1) << LONGEST - words).sum() != 1 << LONGEST):
        raise ValueError(f"{function}: lengths must satisfy sum 2^-l = 1, got {kraft:g}; "
                         "write huffman_lengths(counts)")
    return lengths


def _intervals(lengths):
    """(symbols, lengths, starts) of the words in order: where their intervals start, in units of 2^-56."""
    order = np.argsort(lengths, kind="stable")
    order = order[lengths[order] >= 0]
    length = lengths[order]
    size = np.int64(1) << LONGEST - length
    return order, length, size.cumsum() - size
