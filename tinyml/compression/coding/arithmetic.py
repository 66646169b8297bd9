"""Adaptive arithmetic coding: a fraction of a bit for what was expected, and what is expected is learnt.

Problem: where the few kept weights of a pruned matrix stand costs more than what they are. A Huffman word
has whole bits, and one table for all places: it cannot know that a pixel at the border of the image is never
used, nor that the kept weights of a unit lie next to each other, in strokes.

Idea: a stream of yes-no questions is one number in [0, 1). Each answer keeps a part of the interval that is
left: the lower part, a share p of it, for yes, else the upper, where p is how likely a yes was. An answer of
probability p makes the interval p times as long, and so costs

    -log2 p bits, and the whole stream within some bits of   sum -log2 p(answer | what came before).

The decoder knows what came before, so both sides can learn p as they go, from counts in contexts: no table is
stored. Better guesses are fewer bits (`code_matrix` says what is guessed from what).

Every number that decides about the interval comes from sums, products and quotients of IEEE doubles, which
are the same on every machine: so are the bytes.

Sources: Rissanen and Langdon 1979, Arithmetic coding; Witten, Neal and Cleary 1987, Arithmetic coding for
data compression; Mahoney 2005, Adaptive weighing of context models for lossless data compression, for a coder
without carries. It takes the place that Huffman coding has in Han, Mao and Dally 2016, Deep Compression.
"""
import math

import numpy as np

from tinyml.check import check_sizes

WHOLE = (1 << 32) - 1        # the interval is [low, high] in 0..WHOLE
RAREST = 2.0 ** -16          # no answer is less likely than this
CERTAIN = 4                  # a new context starts as if it had seen this many answers
WIDEST = 1 << 16             # largest code of a matrix


class Encoder:
    """Answers to bytes: `code(bit, p)` for each answer, `finish()` for the bytes.

    Examples
    --------
    >>> encoder = Encoder()
    >>> for bit in [0] * 99 + [1]:
    ...     bit = encoder.code(bit, p=0.01)
    >>> encoder.finish().hex()    # 99 * 0.0145 + 6.6 bits = 8.1 bits
    'a2'
    """

    def __init__(self):
        self.low, self.high, self.out = 0, WHOLE, bytearray()

    def code(self, bit, p):
        """Keep the part of the interval that belongs to `bit`; p is the probability of 1. Returns bit."""
        split = _split(self.low, self.high, p)
        if bit:
            self.high = split
        else:
            self.low = split + 1
        while (self.low ^ self.high) >> 24 == 0:    # the first byte is known
            self.out.append(self.high >> 24)
            self.low, self.high = self.low << 8 & WHOLE, self.high << 8 & WHOLE | 255
        return bit

    def finish(self):
        """The bytes: the shortest number in the interval. Zeros that the decoder adds are left out."""
        for size in range(5):    # bytes
            last = self.high >> 32 - 8 * size << 32 - 8 * size
            if last >= self.low:
                return bytes(self.out + last.to_bytes(4, "big")[:size]).rstrip(b"\0")


class Decoder:
    """Bytes to answers: the same calls with the same p give the answers that `Encoder` was given.

    Few bytes can hold many answers, since one of probability 1 costs nothing. So a file that is not
    trusted is given a limit, `at_most` answers; beyond it `code` raises ValueError.
    """

    def __init__(self, data, at_most=math.inf):
        self.low, self.high, self.rest, self.left = 0, WHOLE, iter(data), at_most
        self.value = 0
        for _ in range(4):
            self.value = self.value << 8 | next(self.rest, 0)

    def code(self, bit, p):
        """The next answer; p is the probability of 1. What is given as `bit` plays no part."""
        self.left -= 1
        if self.left < 0:
            raise ValueError("Decoder: data must hold at most at_most answers, got more")
        split = _split(self.low, self.high, p)
        bit = int(self.value <= split)
        if bit:
            self.high = split
        else:
            self.low = split + 1
        while (self.low ^ self.high) >> 24 == 0:
            self.low, self.high = self.low << 8 & WHOLE, self.high << 8 & WHOLE | 255
            self.value = self.value << 8 & WHOLE | next(self.rest, 0)
        return bit


def _split(low, high, p):
    """The last number of the lower part, which has a share p of low..high; the upper keeps one at least."""
    p = RAREST if p < RAREST else 1 - RAREST if p > 1 - RAREST else p
    return low + int((high - low) * p)


def encode_matrix(codes, *, k, lag):
    """A matrix of small integers, most of them 0, as bytes: `code_matrix` tells from what each is guessed.

    Parameters
    ----------
    codes : ndarray of int, shape (rows, columns), each in 0..k, 0 for what was pruned
    k : int in 1..65536, the largest code
    lag : int >= 1, distance of the second neighbour in a row; `best_lag` finds a good one

    Returns
    -------
    bytes; none for all zeros

    Raises
    ------
    ValueError : codes are not a matrix of integers in 0..k; k or lag is outside its range

    Examples
    --------
    >>> codes = np.tile([0, 0, 3, 0], (50, 5))    # 1,000 codes
    >>> len(encode_matrix(codes, k=3, lag=1))
    10
    """
    codes = np.asarray(codes)
    _check("encode_matrix", k, lag)
    if (codes.ndim != 2 or codes.dtype.kind not in "iu"
            or codes.min(initial=0) < 0 or codes.max(initial=0) > k):
        raise ValueError(f"encode_matrix: codes must be a matrix of integers in 0..{k}, got {codes.dtype} of "
                         f"shape {codes.shape} in {codes.min(initial=0)}..{codes.max(initial=0)}")
    encoder = Encoder()
    code_matrix(encoder, codes, k=k, lag=lag)
    return encoder.finish()


def decode_matrix(data, shape, *, k, lag, at_most=math.inf):
    """The matrix that `encode_matrix` was given, with the same k and lag.

    Parameters
    ----------
    data : bytes
    shape : (int, int)
    k, lag : int, as in `encode_matrix`
    at_most : float, questions that may be answered: one for each entry, and for each that is kept
        one for each bit of k - 1

    Returns
    -------
    ndarray of int64, of that shape; damaged data gives other codes: only a checksum can tell

    Raises
    ------
    ValueError : k or lag is outside its range, there are more answers than `at_most`, or a code is
        above k, so that the data is damaged for sure
    """
    _check("decode_matrix", k, lag)
    codes = code_matrix(Decoder(data, at_most), np.zeros(shape, np.int64), k=k, lag=lag)
    if codes.max(initial=0) > k:
        raise ValueError(f"decode_matrix: data must come from encode_matrix with k={k}, got {codes.max()}")
    return codes


def code_matrix(coder, codes, *, k, lag):
    """Ask for every code, row by row, and let `coder` answer: one walk for encoder and decoder.

    First: is it 0? Whether row r, column c is kept is guessed as if rows and columns had nothing to do with
    each other, from the shares of entries that were kept so far, drawn towards the overall share at first,

        overall = (kept + 1/2) / (seen + 1)
        expected = (kept in column + 2 overall) / (r + 2) * (kept in row + 20 overall) / (c + 20) / overall

    The answers are counted apart for each octave of `expected` (factors of 2), and for how many of the two
    neighbours in the row, 1 and `lag` places back, are kept; where `lag` is the width of an image, these are
    the pixels to the left and above. The share of "kept" among the answers counted is the probability; a count
    begins as if 4 answers had been seen, `expected` of them "kept" (0.95 at most).

    Then, if it is kept: which of 1..k? Bit after bit from the highest, each counted apart for the bits above
    it; for the highest two also for how many of the kept neighbours (left, above, and beside that) are in the
    upper half, less how many are in the lower. If the codes rise with their values, these are the signs. Such
    a count begins with 1 of 2.

    Parameters
    ----------
    coder : Encoder or Decoder, or anything with its method `code(bit, p) -> bit`
    codes : ndarray of int, shape (rows, columns), in 0..k; for a Decoder only its shape plays a part
    k, lag : int, as in `encode_matrix`

    Returns
    -------
    ndarray of int64, shape (rows, columns), the answers
    """
    rows, columns = codes.shape
    answers, kept_in_column = np.zeros(codes.shape, np.int64), [0] * columns
    kept = seen = 0
    places, values = {}, {}    # context -> [how often 1, how often asked]
    for r in range(rows):
        row, side, kept_in_row = codes[r].tolist(), [0] * (lag + 1 + columns), 0
        for c in range(columns):
            overall = (kept + 0.5) / (seen + 1)
            expected = ((kept_in_column[c] + 2 * overall) / (r + 2)
                        * (kept_in_row + 20 * overall) / (c + 20) / overall)
            here = c + lag + 1
            near = (side[here - 1] != 0) + (side[here - lag] != 0)
            key = 3 * math.frexp(expected)[1] + near
            counts = places.get(key) or places.setdefault(key, [CERTAIN * min(expected, 0.95), CERTAIN])
            seen += 1
            if _ask(coder, row[c] > 0, counts):
                sides = side[here - 1] + side[here - lag - 1] + side[here - lag] + side[here - lag + 1]
                code = _value(coder, row[c], k, sides, values)
                side[here] = 1 if 2 * code > k + 1 else -1
                answers[r, c] = code
                kept_in_column[c] += 1
                kept_in_row += 1
                kept += 1
    return answers


def _value(coder, code, k, sides, contexts):
    """Which of 1..k: the bits of code - 1 from the highest, each in the context of those before it."""
    node, n_bits = 1, (k - 1).bit_length()
    for i in range(n_bits - 1, -1, -1):
        key = (node, sides if node < 4 else 0)
        bit = _ask(coder, code - 1 >> i & 1, contexts.setdefault(key, [1, 2]))
        node = 2 * node + bit
    return node - (1 << n_bits) + 1


def _ask(coder, bit, counts):
    """Code one answer with the probability that the counts give, and count it."""
    bit = coder.code(bit, counts[0] / counts[1])
    counts[0] += bit
    counts[1] += 1
    return bit


def best_lag(codes, widest=1024):
    """The distance in a row at which kept entries stand together most, beyond what their columns explain.

    For units that see an image, row by row as a vector, that is the image's width: the pixel above. With n_c
    kept entries in column c of R rows, independent rows would have E = sum_c n_c n_(c - lag) / R pairs at a
    distance; N are found. The lag with the largest (N - E) / sqrt(E) is chosen.

    Parameters
    ----------
    codes : ndarray, shape (rows, columns), 0 for what was pruned
    widest : int >= 1, largest lag that is tried

    Returns
    -------
    int in 1..max(1, columns - 1): at least 2 if there is such a distance, as 1 is a context anyhow
    """
    kept = np.asarray(codes) != 0
    rows, columns = kept.shape
    totals, scores = kept.sum(axis=0, dtype=np.float64), {1: -math.inf}
    for lag in range(2, min(columns - 1, widest) + 1):
        expected = totals[lag:] @ totals[:-lag] / max(rows, 1)
        found = np.count_nonzero(kept[:, lag:] & kept[:, :-lag])
        scores[lag] = (found - expected) / math.sqrt(expected or 1)
    return max(scores, key=scores.get)


def _check(function, k, lag):
    check_sizes(function, k=k, lag=lag)
    if k > WIDEST:
        raise ValueError(f"{function}: k must be <= {WIDEST}, got {k}")
