"""Binary and ternary weights: a sign in place of a real number, or a sign and a zero.

Problem: 8 bits per weight are easy (`quantization`), 2 bits need training (`quantization_aware`).
Can a network compute with a single bit per weight?

Idea: keep real weights w for the training, and compute with few values. For each filter, a row of
the weight, these are

    method          value of a weight                       with
    sign            b = sign(w)
    scaled sign     alpha b                                 alpha = mean |w|
    ternary         alpha t, t = sign(w) if |w| > delta     delta = 0.7 mean |w|,
                             t = 0       if not             alpha = mean |w| where |w| > delta
    best ternary    the same                                delta of the least error

Each alpha is the best one for its signs: it minimises ||w - alpha b||^2, or ||w - alpha t||^2.

A sign has slope 0, so nothing would be learned. The backward pass pretends that the slope is 1
(`ops.sign_ste`). Small steps move w, and its sign flips when w crosses 0. After each step w is
clipped to [-1, 1]: beyond that a larger w changes nothing, but would take longer to come back.

The trained weights are stored as one bit each, or two with zeros (`store_bits`). A product of
whole numbers needs only these bits: a word of 64 inputs takes one AND and one count of the ones
(`bit_product`).

Sources: MATH5836 week 10, section 10.2.2; Courbariaux, Bengio and David 2015, BinaryConnect:
training deep neural networks with binary weights during propagations; Rastegari, Ordonez, Redmon
and Farhadi 2016, XNOR-Net (section 3.1); Li, Zhang and Liu 2016, Ternary weight networks
(section 2).
"""
import copy

import numpy as np

from tinyml import ops
from tinyml.contract import checked
from tinyml.nn.weights import ComputedWeight, computed_weights, replace_weights, swap
from tinyml.tensor import Tensor, primitive

WORD = 64    # bits that are multiplied at once

# ------------------------------------------------------------ signs, and signs with zeros

@checked
def binarize(
    weight: "array_like, shape (m, n, ...), not empty; a filter is one of the m slices",
):
    """The signs b, and for each filter the scale alpha with the least ||w - alpha b||^2.

        b = sign(w),    alpha = mean |w|

    (Rastegari et al. 2016, section 3.1.) No other signs with a scale are nearer to w. The
    sign of 0 is 1.

    Returns
    -------
    b : ndarray of int8, the shape of weight, of -1 and 1
    alpha : ndarray, shape (m, 1, ...)

    >>> b, alpha = binarize([[0.5, -1.0, 3.0]])
    >>> b.tolist(), alpha.tolist()
    ([[1, -1, 1]], [[1.5]])
    """
    b = np.where(weight >= 0, 1, -1)
    return b.astype(np.int8), _filter_mean(np.abs(weight))


@checked
def ternary_threshold(
    weight: "array_like, shape (m, n, ...), not empty",
) -> "ndarray, shape (m, 1, ...)":
    """The threshold of each filter, by the rule of ternary weight networks.

        delta = 0.7 mean |w|

    (Li et al. 2016, section 2.) It is about the best one for normal and for uniform weights.
    """
    return weight.dtype.type(0.7) * _filter_mean(np.abs(weight))


@checked
def best_threshold(
    weight: "array_like, shape (m, n, ...), not empty",
) -> "ndarray, shape (m, 1, ...)":
    """The threshold of each filter with the least ||w - alpha t||^2 (see `ternarize`).

    Sort the magnitudes of a filter, a_1 >= a_2 >= ... >= a_n. If the k largest stay, the best
    alpha is their mean, and

        ||w - alpha t||^2 = ||w||^2 - (a_1 + ... + a_k)^2 / k

    So the best k has the largest last term (Li et al. 2016, section 2), and delta = a_(k+1), the
    largest magnitude that becomes 0. If all weights stay, delta = 0.

    >>> best_threshold([[0.1, -1.0, 0.9]])
    array([[0.1]])
    """
    magnitudes = np.abs(weight).reshape(len(weight), -1)
    a = -np.sort(-magnitudes, axis=1)    # (m, n), decreasing
    k = np.arange(1, a.shape[1] + 1)
    gain = a.cumsum(axis=1, dtype=np.float64) ** 2 / k
    n_kept = 1 + gain.argmax(axis=1)
    with_zero = np.pad(a, ((0, 0), (0, 1)))    # a_(n+1) = 0
    delta = with_zero[np.arange(len(a)), n_kept]
    return delta.reshape(_one_per_filter(weight))


@checked
def ternarize(
    weight: "array_like, shape (m, n, ...), not empty",
    delta: "array_like, >= 0; which broadcasts to the shape of weight",
):
    """The signs of the large weights, and for each filter the best scale for these signs.

        t = sign(w) where |w| > delta, else 0;    alpha = mean of |w| where |w| > delta

    (Li et al. 2016, section 2.) If no weight of a filter is large, its alpha is 0.

    Returns
    -------
    t : ndarray of int8, the shape of weight, of -1, 0 and 1
    alpha : ndarray, shape (m, 1, ...)

    >>> t, alpha = ternarize([[0.1, -1.0, 0.9]], 0.5)
    >>> t.tolist(), alpha.tolist()
    ([[0, -1, 1]], [[0.95]])
    """
    large = np.abs(weight) > delta
    t = np.where(large, np.sign(weight), 0)
    share = _filter_mean(large)
    alpha = _filter_mean(t * weight) / np.where(share > 0, share, 1)
    return t.astype(np.int8), alpha.astype(weight.dtype)


@primitive
def ternary_ste(w, *, delta):
    """1 where w > delta, -1 where w < -delta, else 0; backward the identity where |w| <= 1.

    `ops.sign_ste` with a zero between the signs.

    Parameters
    ----------
    w : Tensor
    delta : ndarray, >= 0, which broadcasts to the shape of w
    """
    t = np.where(np.abs(w) > delta, np.sign(w), 0)
    return t.astype(w.dtype), (lambda g: g * (np.abs(w) <= 1),)


def _one_per_filter(weight):
    """The shape (m, 1, ...) of a number for each filter."""
    return len(weight), *[1] * (weight.ndim - 1)


def _filter_mean(a):
    """The mean of each filter, shape (m, 1, ...)."""
    return a.reshape(len(a), -1).mean(axis=1).reshape(_one_per_filter(a))


# ------------------------------------------------------------ weights in training

@checked
class BinaryWeight(ComputedWeight):
    """alpha sign(w), with the gradient of w straight through the sign.

    In the backward pass alpha counts as a constant.
    """

    def __init__(
        self,
        weight: "Parameter; the real weights w; filters are its axis 0",
        *,
        scaled: "bool; True for alpha = mean |w| (XNOR-Net), False for alpha = "
                "1 (BinaryConnect)" = True,
    ):
        self.weight, self.scaled = weight, scaled

    def codes(self):
        """The present b and alpha, as in `binarize`."""
        b, alpha = binarize(self.weight.data)
        return b, alpha if self.scaled else np.ones_like(alpha)

    def forward(self):
        _, alpha = self.codes()
        return Tensor(alpha) * ops.sign_ste(self.weight)

    def extra_repr(self):
        return f"scaled={self.scaled}"


@checked
class TernaryWeight(ComputedWeight):
    """alpha t(w), with the gradient of w straight through t.

    In the backward pass alpha and delta count as constants.
    """

    def __init__(
        self,
        weight: "Parameter; the real weights w; filters are its axis 0",
        *,
        best: "bool; True for the delta of `best_threshold`, False for that "
              "of `ternary_threshold`" = False,
    ):
        self.weight, self.best = weight, best

    def delta(self):
        """The present threshold of each filter."""
        choose = best_threshold if self.best else ternary_threshold
        return choose(self.weight.data)

    def codes(self):
        """The present t and alpha, as in `ternarize`."""
        return ternarize(self.weight.data, self.delta())

    def forward(self):
        delta = self.delta()
        _, alpha = ternarize(self.weight.data, delta)
        return Tensor(alpha) * ternary_ste(self.weight, delta=delta)

    def extra_repr(self):
        return f"best={self.best}"


# ------------------------------------------------------------ bits

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
    filled = np.zeros((*bits.shape[:-1], n + -n % WORD), bool)
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


# ------------------------------------------------------------ models

METHODS = {    # method: the class that computes the weight, and its setting
    "sign": (BinaryWeight, {"scaled": False}),
    "scaled sign": (BinaryWeight, {"scaled": True}),
    "ternary": (TernaryWeight, {"best": False}),
    "best ternary": (TernaryWeight, {"best": True}),
}


@checked
def binarize_weights(
    model: "Module; with weights that are finite",
    *,
    method: '"sign", "scaled sign", "ternary" or "best ternary"',
):
    """A copy of the model that computes with few values for its weights, ready to be trained.

    The weights are those of `tinyml.nn.weights`. A weight that is computed already stays as it is,
    with a warning. Build the optimizer from the parameters() of the copy, and let it clip the real
    weights after each step: ``optimizer.projections.append(lambda: clip_weights(copy))``.
    """
    kind, setting = METHODS[method]
    return replace_weights("binarize_weights", copy.deepcopy(model),
                           lambda weight: kind(weight, **setting))


@checked
def clip_weights(model: "Module"):
    """Clip the real weights of a model from `binarize_weights` to [-1, 1], in place.

    (Courbariaux et al. 2015, section 2.4.)
    """
    for one in _of_few_values(model):
        one.weight.data = np.clip(one.weight.data, -1, 1)


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


@checked
def store_bits(model: "Module; as from `binarize_weights`"):
    """A copy of a model from `binarize_weights` that stores bits and alpha in place of w.

    The outputs are the same, bit for bit.
    """
    model = copy.deepcopy(model)
    stored = {one: BitWeight(*one.codes()) for one in _of_few_values(model)}
    if not stored:
        raise ValueError("store_bits: model must come from binarize_weights, got none of its "
                         "weights")
    swap(model, stored)
    return model


def _of_few_values(model):
    """The weights of a model that `binarize_weights` made."""
    return [one for one in computed_weights(model).values()
            if isinstance(one, (BinaryWeight, TernaryWeight))]
