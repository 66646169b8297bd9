"""Adaptive arithmetic coding: fractions of a bit, with probabilities learned on the way.

Problem: in a pruned matrix, the positions of the few kept weights cost more than their
values. A Huffman code spends whole bits, and has one table for all entries. So it cannot
exploit that weights of pixels at the border of an image are hardly ever kept, or that the
kept weights of a unit lie side by side.

Idea: write a sequence of decisions, each 0 or 1, as one number in [0, 1). Each decision
shrinks an interval. If 1 has the probability p, then

    [low, high)  ->  [low, low + p (high - low))       for 1
                     [low + p (high - low), high)      for 0

A decision of probability q multiplies the length by q, and any number in the last interval
determines all decisions. It takes about -log2(length) bits to write one, the sum over all
decisions of

    -log2 q(decision | decisions before).

The decoder also knows the decisions before. So encoder and decoder can both estimate p from
these, by counting, and no table is stored (`code_matrix`). The better the estimates, the
fewer the bits. Floating-point sums, products and quotients are the same on every machine,
so the bytes are the same too.

Sources: Rissanen and Langdon 1979, Arithmetic coding; Witten, Neal and Cleary 1987,
Arithmetic coding for data compression; Mahoney 2005, Adaptive weighing of context models
for lossless data compression, for a coder without carries.
"""
import math

import numpy as np

from tinyml.contract import checked

WHOLE = (1 << 32) - 1    # the interval is low..high, integers in 0..WHOLE
P_MIN = 2.0 ** -16       # no decision is less probable than this
P_MAX = 1 - P_MIN        # nor more probable than this
N_START = 4              # a new context starts as if it had seen this many decisions


class Encoder:
    """Writes decisions as bytes: `code(bit, p)` for each of them, then `finish()`.

    >>> encoder = Encoder()
    >>> for bit in [0] * 99 + [1]:
    ...     bit = encoder.code(bit, p=0.01)
    >>> encoder.finish().hex()    # 99 * 0.0145 + 6.6 = 8.1 bits
    'a2'
    """

    def __init__(self):
        self.low, self.high = 0, WHOLE
        self.out = bytearray()

    def code(self, bit, p):
        """Shrink the interval to the part of `bit`, and return it; p is the probability of 1."""
        low, high = self.low, self.high
        split = _split(low, high, p)
        if bit:
            high = split
        else:
            low = split + 1
        while low >> 24 == high >> 24:    # the first byte is settled
            self.out.append(high >> 24)
            low = low << 8 & WHOLE
            high = high << 8 & WHOLE | 255
        self.low, self.high = low, high
        return bit

    def finish(self):
        """The bytes of the shortest number in the interval, without the zeros at its end."""
        for n_zeros in 32, 24, 16, 8, 0:
            number = self.high >> n_zeros << n_zeros    # ends with n_zeros zeros
            if number >= self.low:
                data = self.out + number.to_bytes(4, "big")
                return bytes(data).rstrip(b"\0")


class Decoder:
    """Reads the decisions that an `Encoder` wrote: the same calls with the same p.

    Likely decisions take almost no space, so few bytes may hold very many. If the bytes are
    not trusted, give a limit: after `at_most` decisions `code` raises ValueError.
    """

    def __init__(self, data, at_most=math.inf):
        self.low, self.high, self.n_left = 0, WHOLE, at_most
        self.rest = iter(data)
        self.number = 0
        for _ in range(4):
            self.number = self.number << 8 | next(self.rest, 0)

    def code(self, bit, p):
        """The next decision; p is the probability of 1, and `bit` is ignored."""
        self.n_left -= 1
        if self.n_left < 0:
            raise ValueError("Decoder: data must hold at most at_most decisions, got more")
        low, high = self.low, self.high
        split = _split(low, high, p)
        if self.number <= split:
            bit, high = 1, split
        else:
            bit, low = 0, split + 1
        while low >> 24 == high >> 24:
            low = low << 8 & WHOLE
            high = high << 8 & WHOLE | 255
            self.number = self.number << 8 & WHOLE | next(self.rest, 0)
        self.low, self.high = low, high
        return bit


def _split(low, high, p):
    """The last number of the part of low..high that belongs to 1, a fraction p of it."""
    if p < P_MIN or p > P_MAX:    # both decisions keep a part
        p = min(max(p, P_MIN), P_MAX)
    return low + int((high - low) * p)


# ------------------------------------------------------------ the codes of a pruned matrix

@checked
def encode_matrix(
    codes: "ndarray of int, shape (m, n), in 0..k; where 0 is a pruned weight",
    *,
    k: "int in 1..65536; largest code",
    lag: "int >= 1; distance of the second neighbour in a row; see `best_lag`",
) -> "bytes; empty if all codes are 0":
    """The codes of a pruned matrix as bytes, each predicted by `code_matrix`.

    >>> codes = np.tile([0, 0, 3, 0], (50, 5))    # 1,000 codes
    >>> len(encode_matrix(codes, k=3, lag=1))
    10
    """
    encoder = Encoder()
    code_matrix(encoder, codes, k=k, lag=lag)
    return encoder.finish()


@checked
def decode_matrix(
    data: "bytes",
    shape: "sequence of int; m and n",
    *,
    k: "as in `encode_matrix`",
    lag: "as in `encode_matrix`",
    at_most: "float, or inf; the number of decisions allowed" = math.inf,
) -> "ndarray of int64, shape (m, n)":
    """The codes that `encode_matrix` was given, from the same k and lag.

    Damaged data gives other codes, or ValueError; only a checksum finds all damage.
    """
    decoder = Decoder(data, at_most)
    unknown = np.zeros(shape, np.int64)
    codes = code_matrix(decoder, unknown, k=k, lag=lag)
    largest = codes.max(initial=0)
    if largest > k:
        raise ValueError(f"decode_matrix: data must hold codes in 0..{k}, got {largest}")
    return codes


def code_matrix(coder, codes, *, k, lag):
    """Pass every code of a matrix to `coder`, row by row; return the codes that `coder` returns.

    The same function writes and reads, so both sides make the same predictions. The first
    decision is whether entry (r, c) is kept, that is, not 0. If rows and columns were
    independent, its probability would be

        expected = (fraction kept of column c) (fraction kept of row r) / (fraction kept of all)

    with smoothed fractions of the entries so far. Counting corrects this estimate. Two
    neighbours of an entry are used: the entry 1 to the left and the entry `lag` to the left.
    (If `lag` is the width of an image, these are the pixels on the left and above.) A context
    is a power of 2 near `expected` and the number of kept neighbours; p is the fraction kept
    among the entries so far in the same context.

    If the entry is kept, the bits of code - 1 follow, from the highest. The context of a bit
    is the bits above it. For the two highest bits the context also has a sum over four
    neighbours (left, above, above left, above right): the number of their codes in the upper
    half of 1..k, minus the number in the lower half.

    Parameters
    ----------
    coder : Encoder or Decoder, or any object with a method code(bit, p) -> bit
    codes : ndarray of int, shape (m, n), in 0..k; a Decoder uses its shape only
    k, lag : as in `encode_matrix`
    """
    n_rows, n_columns = codes.shape
    returned = np.zeros(codes.shape, np.int64)
    kept_in_column = [0] * n_columns
    n_kept = n_seen = 0
    kept_counts, value_counts = {}, {}    # context -> [number of ones, number of decisions]
    for r in range(n_rows):
        row = codes[r].tolist()
        half = [0] * (lag + 1 + n_columns)    # 1 upper half, -1 lower half, 0 not kept
        kept_in_row = 0
        for c in range(n_columns):
            of_all = (n_kept + 0.5) / (n_seen + 1)
            of_column = (kept_in_column[c] + 2 * of_all) / (r + 2)
            # the order of these operations is part of the format
            expected = of_column * (kept_in_row + 20 * of_all) / (c + 20) / of_all
            here = c + lag + 1
            left, above = half[here - 1], half[here - lag]
            n_neighbours = (left != 0) + (above != 0)
            octave = math.frexp(expected)[1]
            counts = kept_counts.get(3 * octave + n_neighbours)
            if counts is None:    # a new context
                counts = [N_START * min(expected, 0.95), N_START]
                kept_counts[3 * octave + n_neighbours] = counts
            n_seen += 1
            if _decide(coder, row[c] > 0, counts):
                halves = left + half[here - lag - 1] + above + half[here - lag + 1]
                code = _value(coder, row[c], k, halves, value_counts)
                returned[r, c] = code
                half[here] = 1 if 2 * code > k + 1 else -1
                kept_in_column[c] += 1
                kept_in_row += 1
                n_kept += 1
    return returned


def _value(coder, code, k, halves, value_counts):
    """Pass a code in 1..k to `coder`: the bits of code - 1, from the highest to the lowest."""
    n_bits = (k - 1).bit_length()
    path = 1    # in binary: a 1, then the bits so far
    for i in reversed(range(n_bits)):
        context = path, halves if path < 4 else 0
        counts = value_counts.setdefault(context, [1, 2])
        bit = _decide(coder, code - 1 >> i & 1, counts)
        path = 2 * path + bit
    return path - (1 << n_bits) + 1


def _decide(coder, bit, counts):
    """Code one decision with the probability that the counts give, and count it."""
    n_ones, n = counts
    bit = coder.code(bit, n_ones / n)
    counts[0] += bit
    counts[1] += 1
    return bit


@checked
def best_lag(
    codes: "ndarray, shape (m, n); where 0 is a pruned weight",
    widest: "int >= 1; largest lag that is tried" = 1024,
) -> "int in 1..max(1, n - 1), at least 2 if n > 2, because distance 1 is used anyway":
    """The distance in a row at which kept entries most often stand together.

    If the inputs of a unit are the pixels of an image, this finds the width of the image: the
    distance to the pixel above. Let N be the number of pairs of kept entries at distance lag.
    Column c keeps n_c of its m entries. If columns were independent, N would be about
    E = sum_c n_c n_(c - lag) / m. The lag with the largest (N - E) / sqrt(E) is chosen.
    """
    kept = codes != 0
    m, n = kept.shape
    n_kept = kept.sum(axis=0, dtype=np.float64)    # of each column
    scores = {1: -math.inf}
    widest = min(widest, n - 1)
    for lag in range(2, widest + 1):
        pairs = kept[:, lag:] & kept[:, :-lag]
        found = np.count_nonzero(pairs)
        expected = n_kept[lag:] @ n_kept[:-lag] / max(m, 1)
        scores[lag] = (found - expected) / math.sqrt(expected or 1)
    return max(scores, key=scores.get)
