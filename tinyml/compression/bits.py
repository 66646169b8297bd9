"""Codes -1, 0 and 1 as bits: how they are stored, and how they are multiplied.

Problem: NumPy has no array of bits. As int8, codes of one bit take eight times the memory, and a
product with them multiplies.

Idea: a *plane* has one bit for each code: whether it is 1, or whether it is -1. Packed eight to a
byte, planes are small (`pack_codes`). Packed 64 to a word, they multiply many numbers at once. For
whole numbers x with the bits x_k, and the planes plus and minus of the codes W,

    x W' = sum_k 2^k (|x_k and plus| - |x_k and minus|)

where |.| counts ones. For each bit k and each of the two planes, 64 inputs take one AND and one
count (`bit_product`).

Sources: Rastegari, Ordonez, Redmon and Farhadi 2016, XNOR-Net (products from counts of bits);
MATH5836 week 10, section 10.2.2.
"""
import math

import numpy as np

from tinyml.contract import checked
from tinyml.nn.weights import ComputedWeight
from tinyml.tensor import Tensor

WORD = 64    # bits that are multiplied at once


@checked
def pack_codes(
    codes: "ndarray of int, any shape, in -1..1",
) -> "ndarray of uint8, shape (1, d / 8) or (2, d / 8) for d codes, rounded up":
    """Codes as bits: one bit per code if there are no zeros, else two.

        first plane    1 where the code is 1
        second plane   1 where the code is -1; left out if there are no zeros

    >>> pack_codes(np.array([1, -1, -1, 1])), pack_codes(np.array([1, 0, 0, -1]))
    (array([[144]], dtype=uint8), array([[128],
           [ 16]], dtype=uint8))
    """
    planes = [codes == 1, codes == -1] if (codes == 0).any() else [codes == 1]
    return np.array([np.packbits(plane) for plane in planes])


@checked
def unpack_codes(
    planes: "ndarray of uint8, shape (k, n_bytes)",
    shape: "sequence of int; that of the codes",
) -> "ndarray of int8":
    """The codes that `pack_codes` was given."""
    d = int(np.prod(shape))
    bits = np.unpackbits(planes, axis=1, count=d).astype(np.int8)
    codes = 2 * bits[0] - 1 if len(bits) == 1 else bits[0] - bits[1]
    return codes.reshape(shape)


@checked
def to_words(
    bits: "array_like of bool, shape (..., n)",
) -> "ndarray of uint64, shape (..., n / 64), rounded up":
    """Bits in words of 64, the last one filled up with zeros."""
    n = bits.shape[-1]
    n_filled = math.ceil(n / WORD) * WORD
    filled = np.zeros((*bits.shape[:-1], n_filled), bool)
    filled[..., :n] = bits
    return np.packbits(filled, axis=-1).view(np.uint64)


@checked
def bit_planes(
    x: "ndarray of int, shape (N, n), >= 0, < 2^bits",
    *,
    bits: "int in 1..16",
) -> "ndarray of uint64, shape (bits, N, n / 64), in words as from `to_words`":
    """The bits of whole numbers: plane k has bit k of each, x = sum_k 2^k plane_k."""
    return np.array([to_words((x >> k) & 1 == 1) for k in range(bits)])


@checked
def bit_product(
    planes: "ndarray of int, shape (bits, N, words); from `bit_planes`",
    plus: "ndarray of int, shape (m, words); the words of W == 1",
    minus: "ndarray of int, shape (m, words); the words of W == -1",
) -> "ndarray of int64, shape (N, m)":
    """The product x W' of whole numbers x and codes W in -1..1, from their bits.

        x W' = sum_k 2^k (|x_k and plus| - |x_k and minus|)

    x_k has the bits k of x, plus and minus are 1 where W is 1 and -1, and |.| counts ones.

    >>> x, W = np.array([[3, 1]]), np.array([[1, -1], [0, 1]])
    >>> bit_product(bit_planes(x, bits=2), to_words(W == 1), to_words(W == -1))
    array([[2, 1]])
    """
    y = 0
    for k, plane in enumerate(planes):
        x_k = plane[:, None]    # (N, 1, words)
        y = y + 2 ** k * (_n_ones(x_k & plus) - _n_ones(x_k & minus))
    return y


def _n_ones(words):
    """How many bits are 1, summed over the last axis."""
    return np.bitwise_count(words).sum(axis=-1, dtype=np.int64)


class BitWeight(ComputedWeight):
    """A weight that is stored as bits, and computed when a layer uses it: alpha times its codes.

    Parameters
    ----------
    codes : ndarray of int, shape (m, n, ...), in -1..1
    alpha : ndarray, shape (m, 1, ...)
    """

    def __init__(self, codes, alpha):
        self.planes, self.sizes, self.alpha = pack_codes(codes), codes.shape, alpha

    def forward(self):
        return Tensor(self.alpha * unpack_codes(self.planes, self.sizes))

    def extra_repr(self):
        return f"{self.sizes}, bits={len(self.planes)}"
