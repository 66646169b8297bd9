"""Quantization after training: real numbers as small integers, and what that costs.

Problem: 32 bits per weight are more than a network needs. Which integers stand for which
numbers, and how many bits are enough?

The lecture notes (MATH5836) begin with codes q = round(theta / Delta) in 0 ... K - 1, with
Delta = max |theta| / K (`notes_codes`). This breaks: a negative weight has no code, and the
largest has code K. There are two repairs. A number is stored as the code q, and r is the number
that q stands for:

    symmetric    q in -(2^(b-1) - 1) ... 2^(b-1) - 1,      r = S q              for weights
    affine       q in 0 ... 2^b - 1,                       r = S (q - Z)        for any range

S > 0 is the step. The integer Z is the code of 0, so 0 is represented exactly: zeros are common,
from padding and from ReLU. Rounding changes a number inside the range by at most S / 2. A step
for each output channel lets each use its own range.

Sources: MATH5836 week 10, section 10.2.2; Jacob et al. 2018, Quantization and training of
neural networks for efficient integer-arithmetic-only inference (equation 1, sections 2.1 and
3).
"""
import copy
from typing import NamedTuple

import numpy as np

from tinyml.check import check_axis
from tinyml.contract import checked
from tinyml.nn.folding import fold_batch_norm, fold_norm  # noqa: F401, done before quantizing
from tinyml.nn.weights import ComputedWeight, replace_weights
from tinyml.tensor import Tensor

MAX_BITS = 16    # of a code

# ------------------------------------------------------------ the formula of the notes

@checked
def notes_codes(theta, *, k):
    """The codes of the notes, and their step (MATH5836 week 10, section 10.2.2):

        q_j = round(theta_j / Delta),    Delta = max |theta| / K

    They are meant to be 0 ... K - 1. But half of the weights of a network are negative, and so
    are their codes; and the largest weight has the code K. `choose_qparams` repairs both.

    Parameters
    ----------
    theta : array_like of float64, any shape, not empty
    k : int >= 1, K

    Returns
    -------
    q : ndarray of int64, the shape of theta, in -K ... K
    delta : float, the step Delta; 1 if all of theta is zero

    >>> notes_codes([-1.0, 0.3, 1.0], k=4)
    (array([-4,  1,  4]), 0.25)
    """
    delta = float(np.abs(theta).max()) / k or 1.0
    q = np.round(theta / delta)    # notes 10.2.2, codes
    return q.astype(np.int64), delta


@checked
def notes_dequantize(q, delta):
    """The weights that the codes of the notes stand for: theta_q = Delta q.

    Parameters
    ----------
    q : array_like of int, any shape, the codes of `notes_codes`
    delta : float > 0, the step Delta

    Returns
    -------
    ndarray of float64, the shape of q
    """
    return delta * q    # notes 10.2.2, dequantized


# ------------------------------------------------------------ symmetric and affine codes

class QParams(NamedTuple):
    """How codes stand for numbers: r = scale (q - zero_point), q in quant_min ... quant_max."""

    scale: np.ndarray         # the step S > 0, a number, or one for each channel
    zero_point: np.ndarray    # the code Z of the number 0, of the scale's shape
    quant_min: int
    quant_max: int


@checked
def code_range(bits, *, symmetric):
    """The smallest and the largest code of `bits` bits.

    Parameters
    ----------
    bits : int in 1..16, with at least 2 for symmetric codes
    symmetric : bool

    >>> code_range(8, symmetric=True), code_range(8, symmetric=False)
    ((-127, 127), (0, 255))
    """
    check_bits("code_range", bits, symmetric)
    if symmetric:
        largest = 2 ** (bits - 1) - 1
        return -largest, largest
    return 0, 2 ** bits - 1


@checked
def choose_qparams(low, high, *, bits, symmetric):
    """The step S and the code Z of 0 for numbers from low to high (Jacob et al. 2018, section 3).

        symmetric:   S = max(|low|, |high|) / quant_max,    Z = 0
        affine:      S = (high - low) / quant_max,          Z = round(-low / S)

    The range is first widened to hold 0. As Z is rounded, both ends of an affine range move by up
    to S / 2. S = 1 for the range of the single number 0.

    Parameters
    ----------
    low, high : array_like of float64, shape (*axes), with low <= high; a number, or an array
        with one entry per channel; both of the same shape
    bits : int in 1..16, with at least 2 for symmetric codes
    symmetric : bool

    Returns
    -------
    QParams : scale of float64 and zero_point of int64, in the shape of low

    >>> choose_qparams(-1.0, 3.0, bits=8, symmetric=False).zero_point
    array(64)
    """
    check_bits("choose_qparams", bits, symmetric)
    if (low > high).any():
        raise ValueError(f"choose_qparams: low must be <= high, got {low} and {high}")
    quant_min, quant_max = code_range(bits, symmetric=symmetric)
    low, high = np.minimum(low, 0), np.maximum(high, 0)
    if symmetric:
        step = np.maximum(-low, high) / quant_max
    else:
        step = high / quant_max - low / quant_max    # high - low may overflow
    scale = np.where(step > 0, step, 1.0)
    zero_point = 0 * scale if symmetric else np.round(-low / scale)
    return QParams(scale, np.asarray(zero_point, np.int64), quant_min, quant_max)


@checked
def quantize(x, qparams):
    """The code of every number: q = clip(round(x / S) + Z, quant_min, quant_max).

    (Jacob et al. 2018, equation 1.)

    Parameters
    ----------
    x : array_like, any shape, such that scale and zero_point broadcast to it
    qparams : QParams

    Returns
    -------
    ndarray, the shape of x, of the smallest integer dtype that holds all codes: up to 8 bits
        int8 if they are symmetric, uint8 if affine

    >>> quantize([-1, 0, 0.3, 9], QParams(0.5, 2, 0, 7))
    array([0, 2, 3, 7], dtype=uint8)
    """
    scale, zero_point, quant_min, quant_max = qparams
    q = np.clip(np.round(x / scale) + zero_point, quant_min, quant_max)
    return q.astype(smallest_dtype(quant_min, quant_max))


@checked
def dequantize(codes, qparams, *, dtype=np.float32):
    """The numbers that codes stand for: r = S (q - Z).

    Parameters
    ----------
    codes : ndarray of int, any shape, from `quantize`
    qparams : QParams
    dtype : dtype of the result

    Returns
    -------
    ndarray of dtype, the shape of codes
    """
    steps = codes.astype(np.int64) - qparams.zero_point
    return (qparams.scale * steps).astype(dtype)


@checked
def channel_range(x, *, axis=None):
    """The smallest and the largest number of x, or of each slice along an axis.

    Parameters
    ----------
    x : array_like, not empty
    axis : int, or None; an axis of x

    Returns
    -------
    low, high : ndarrays with as many axes as x; every axis except `axis` has length 1; numbers
        if axis is None
    """
    if axis is None:
        return x.min(), x.max()
    check_axis("channel_range", axis, x)
    others = tuple(i for i in range(x.ndim) if i != axis % x.ndim)
    return x.min(axis=others, keepdims=True), x.max(axis=others, keepdims=True)


def smallest_dtype(low, high):
    """The first of uint8, int8, uint16, int16, int32 and int64 that holds low ... high."""
    for kind in (np.uint8, np.int8, np.uint16, np.int16, np.int32, np.int64):
        if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
            return np.dtype(kind)


def check_bits(function, bits, symmetric):
    """Raise ValueError for symmetric codes of 1 bit: 0 would be the only one."""
    if symmetric and bits < 2:
        raise ValueError(f"{function}: bits must be at least 2 for symmetric codes, got {bits}")


# ------------------------------------------------------------ models

class DequantizedWeight(ComputedWeight):
    """A weight that is stored as codes, and computed when a layer uses it: W = S (q - Z).

    The layer still computes with floats: this makes models small, not fast (`integer` computes
    with integers). Nothing in it is trained.

    Parameters
    ----------
    codes : ndarray of an integer dtype, the shape of the weight
    qparams : QParams that broadcast to it
    dtype : dtype of W, and of S as it is stored
    """

    def __init__(self, codes, qparams, *, dtype=np.float32):
        scale, zero_point, self.quant_min, self.quant_max = qparams
        self.codes, self.scale = codes, np.asarray(scale, dtype)
        zero_point = np.asarray(zero_point)
        self.zero_point = zero_point.astype(smallest_dtype(zero_point.min(), zero_point.max()))

    @classmethod
    def from_weight(cls, weight, *, bits, symmetric=True, axis=0):
        """Quantize a Tensor, with a step for each slice along `axis`, or one if axis is None."""
        low, high = channel_range(weight.data, axis=axis)
        qparams = stored(choose_qparams(low, high, bits=bits, symmetric=symmetric), weight.dtype)
        exact = qparams._replace(scale=qparams.scale.astype(np.float64))
        codes = quantize(weight.data.astype(np.float64), exact)
        return cls(codes, qparams, dtype=weight.dtype)

    @property
    def qparams(self):
        """The QParams of the codes, with the scale that is stored."""
        scale, zero_point = self.scale.astype(np.float64), self.zero_point.astype(np.int64)
        return QParams(scale, zero_point, self.quant_min, self.quant_max)

    def forward(self):
        return Tensor(dequantize(self.codes, self.qparams, dtype=self.scale.dtype))

    def extra_repr(self):
        return f"codes {self.quant_min}..{self.quant_max}"


def stored(qparams, dtype):
    """The qparams with their scale cast to the dtype of the weights, and kept > 0."""
    scale = np.maximum(qparams.scale, np.finfo(dtype).tiny).astype(dtype)
    return qparams._replace(scale=scale)


@checked
def quantize_weights(model, *, bits, symmetric=True, per_channel=True):
    """Post-training quantization: a copy of the model with its weights as codes.

    The weights are those of `tinyml.nn.weights`. Biases and norms stay as they are, and so does,
    with a warning, a weight that is computed already.

    Parameters
    ----------
    model : Module, with weights that are finite
    bits : int in 1..16, with at least 2 for symmetric codes
    symmetric : bool
    per_channel : bool, True for one step per output channel, False for one step for the whole
        weight array

    Returns
    -------
    Module
    """
    check_bits("quantize_weights", bits, symmetric)
    axis = 0 if per_channel else None

    def quantized(weight):
        return DequantizedWeight.from_weight(weight, bits=bits, symmetric=symmetric, axis=axis)
    return replace_weights("quantize_weights", copy.deepcopy(model), quantized)
