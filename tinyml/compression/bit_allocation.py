"""Bit allocation: channels with a wide range get more codes than channels with a narrow one.

Problem: with M bits for each channel, a channel with a range of half width a is rounded to a step
of 2 a / 2^M. So wide channels make most of the error.

Idea: the error of all channels is sum_i a_i^2 / (3 4^M_i), and a budget of n 2^M codes bounds the
sum of 2^M_i. By Lagrange the best number of codes 2^M_i is proportional to a_i^(2/3).

Sources: Banner, Nahshan and Soudry 2019, Post training 4-bit quantization of convolutional
networks for rapid-deployment (equation 14); MATH5836 week 10, section 10.2.2.
"""
import numpy as np

from tinyml.compression.quantization import MAX_BITS
from tinyml.contract import checked


@checked
def allocate_bits(
    ranges: "array_like of float64, shape (n,), n >= 1, >= 0; a_i, half the width of "
            "the range of each channel; only their ratios matter, so whole widths "
            "give the same bits",
    *,
    bits: "int in 1..16; M",
) -> "ndarray of int64, shape (n,), each in 1..16":
    """The bits of each channel, for as many codes in total as with M bits for each channel.

        M_i = log2( a_i^(2/3) / sum_j a_j^(2/3) * n 2^M )        (Banner et al. 2019, equation 14)

    minimises the rounding error sum a_i^2 / (3 4^M_i) subject to sum 2^M_i = n 2^M. Each M_i is
    rounded down, but to at least 1. If that takes too many codes, the largest M_i lose a bit at a
    time. If codes are left over, one channel after the other gets a bit more, each time the
    channel where this lowers the error most per code.

    >>> allocate_bits([1.0, 1.0, 8.0], bits=4)
    array([3, 3, 5])
    """
    tiny = np.finfo(np.float64).tiny
    a = ranges / max(ranges.max(), tiny)    # only ratios matter, and these do not overflow
    n_codes = len(a) * 2 ** bits
    share = a ** (2 / 3)
    share /= max(share.sum(), tiny)
    M = np.log2(np.maximum(share * n_codes, 2))
    M = np.floor(M + 1e-9).clip(max=MAX_BITS).astype(np.int64)
    while np.sum(2 ** M) > n_codes:
        M[M.argmax()] -= 1
    return _spend(M, a, n_codes)


def _spend(M, a, n_codes):
    """Spend the codes left over: one more bit takes 2^M codes, and saves a^2 / 4^(M+1)."""
    while True:
        left = n_codes - np.sum(2 ** M)
        affordable = (2 ** M <= left) & (M < MAX_BITS)
        gain = np.where(affordable, a ** 2 / 8.0 ** M, 0)
        best = gain.argmax()
        if gain[best] == 0:
            return M
        M[best] += 1
