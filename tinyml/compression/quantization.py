"""Quantization after training: real numbers as small integers, and what that costs.

Problem: 32 bits per weight are more than a network needs. Which integers stand for which
numbers, and how many bits are enough?

Idea: the lecture notes begin with K codes, q = round(theta / Delta) in 0 ... K - 1, with
Delta = max |theta| / K (`notes_codes`). But a negative weight gets a negative code, and the weight
of largest magnitude gets K or -K: these are not in 0 ... K - 1. Two formulas with b bits repair
this. The code q stands for the number r:

    symmetric    q in -(2^(b-1) - 1) ... 2^(b-1) - 1,      r = S q              for weights
    affine       q in 0 ... 2^b - 1,                       r = S (q - Z)        for any range

S > 0 is the step: the distance between the numbers of two neighbouring codes. The integer Z is the
code of the number 0, so 0 is represented exactly. (Zeros are common: padding and ReLU make them.)
Rounding changes a number inside the range by at most S / 2. If each output channel (a row or a
filter of the weight) has its own step, then channels of small weights are rounded more finely.

Sources: MATH5836 week 10, section 10.2.2; Jacob et al. 2018, Quantization and training of
neural networks for efficient integer-arithmetic-only inference (equation 1, sections 2.1 and
3).
"""
import copy
from typing import NamedTuple

import numpy as np

from tinyml.check import check_axis
from tinyml.contract import checked

# re-exported: before you quantize, fold each batch norm into the weights in front of it
from tinyml.nn.folding import fold_batch_norm, fold_norm  # noqa: F401
from tinyml.nn.weights import ComputedWeight, replace_weights
from tinyml.tensor import Tensor

MAX_BITS = 16    # bits of a code, at most

# ------------------------------------------------------------ the formula of the notes

@checked
def notes_codes(
    theta: "array_like of float64, any shape, not empty",
    *,
    k: "int >= 1; K",
):
    """The codes q of the notes (10.2.2), and the step Delta.

        q_j = round(theta_j / Delta),    Delta = max |theta| / K

    The notes say that the codes are 0 ... K - 1; their formula gives -K ... K.

    Returns
    -------
    q : ndarray of int64, the shape of theta, in -K ... K
    delta : float, the step Delta; 1 if all of theta is zero

    >>> notes_codes([-1.0, 0.3, 1.0], k=4)
    (array([-4,  1,  4]), 0.25)
    """
    delta = float(np.abs(theta).max()) / k or 1.0    # 1 in place of 0
    q = np.round(theta / delta)    # notes 10.2.2, codes
    return q.astype(np.int64), delta


@checked
def notes_dequantize(
    q: "array_like of int, any shape; the codes of `notes_codes`",
    delta: "float > 0; the step Delta",
) -> "ndarray of float64, the shape of q":
    """The weights that the codes of the notes stand for: theta_q = Delta q (10.2.2)."""
    return delta * q    # notes 10.2.2, dequantized


# ------------------------------------------------------------ symmetric and affine codes

class QParams(NamedTuple):
    """What codes stand for: r = scale (q - zero_point), with q in quant_min ... quant_max."""

    scale: np.ndarray         # the step S > 0, a number, or one for each channel
    zero_point: np.ndarray    # the code Z of the number 0, of the scale's shape
    quant_min: int
    quant_max: int


@checked
def code_range(bits: "int in 1..16, >= 2 if symmetric", *, symmetric: "bool"):
    """The smallest and the largest code of `bits` bits; if symmetric, -q is a code like q.

    >>> code_range(8, symmetric=True), code_range(8, symmetric=False)
    ((-127, 127), (0, 255))
    """
    if symmetric:
        largest = 2 ** (bits - 1) - 1
        return -largest, largest
    return 0, 2 ** bits - 1


@checked
def choose_qparams(
    low: "array_like of float64, shape (*axes); a number, or one for each channel",
    high: "array_like of float64, shape (*axes); with low <= high",
    *,
    bits: "int in 1..16, >= 2 if symmetric",
    symmetric: "bool",
) -> "QParams : scale of float64 and zero_point of int64, the shape of low":
    """The step S and the code Z of 0 for numbers from low to high (Jacob et al. 2018, section 3).

    The range is first widened to contain 0. Then

        symmetric:   S = max(|low|, |high|) / quant_max,    Z = 0
        affine:      S = (high - low) / quant_max,          Z = round(-low / S)

    Rounding Z moves both ends of an affine range by up to S / 2. If low = high = 0, then S = 1.

    >>> choose_qparams(-1.0, 3.0, bits=8, symmetric=False).zero_point
    array(64)
    """
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
def quantize(
    x: "array_like, any shape; to which scale and zero_point broadcast",
    qparams: "QParams",
):
    """The code of every number (Jacob et al. 2018, equation 1, solved for q and clipped).

        q = clip(round(x / S) + Z, quant_min, quant_max)

    Returns
    -------
    ndarray of the smallest integer dtype that holds quant_min ... quant_max, the shape of x

    >>> quantize([-1, 0, 0.3, 9], QParams(0.5, 2, 0, 7))
    array([0, 2, 3, 7], dtype=uint8)
    """
    scale, zero_point, quant_min, quant_max = qparams
    q = np.clip(np.round(x / scale) + zero_point, quant_min, quant_max)
    return q.astype(smallest_dtype(quant_min, quant_max))


@checked
def dequantize(
    codes: "ndarray of int, any shape; from `quantize`",
    qparams: "QParams",
    *,
    dtype: "dtype of the result" = np.float32,
) -> "ndarray of dtype, the shape of codes":
    """The numbers that codes stand for: r = S (q - Z) (Jacob et al. 2018, equation 1)."""
    shifted = codes.astype(np.int64) - qparams.zero_point
    return (qparams.scale * shifted).astype(dtype)


@checked
def channel_range(
    x: "array_like, not empty",
    *,
    axis: "int, or None; an axis of x" = None,
):
    """The smallest and the largest number of x, or of each slice along an axis.

    Returns
    -------
    low, high : numbers if axis is None; otherwise ndarray that broadcast to x
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


# ------------------------------------------------------------ models

class DequantizedWeight(ComputedWeight):
    """A weight that is stored as codes, and computed when a layer uses it: W = S (q - Z).

    The layer still computes with floats, so the model gets smaller, but not faster (for that see
    `integer`). The codes and the step are not trained.

    Parameters
    ----------
    codes : ndarray of int, the shape of W
    qparams : QParams that broadcast to the shape of W
    dtype : dtype of W, and of the stored S
    """

    def __init__(self, codes, qparams, *, dtype=np.float32):
        scale, zero_point, self.quant_min, self.quant_max = qparams
        self.codes, self.scale = codes, np.asarray(scale, dtype)
        zero_point = np.asarray(zero_point)
        self.zero_point = zero_point.astype(smallest_dtype(zero_point.min(), zero_point.max()))

    @classmethod
    def from_weight(cls, weight, *, bits, symmetric=True, axis=0):
        """Quantize a Tensor, with a step for each slice along `axis`, or one step if axis=None."""
        low, high = channel_range(weight.data, axis=axis)
        qparams = choose_qparams(low, high, bits=bits, symmetric=symmetric)
        qparams = with_scale_as(weight.dtype, qparams)
        # `dequantize` multiplies by the stored S in float64, so divide by the same number
        in_float64 = qparams._replace(scale=qparams.scale.astype(np.float64))
        codes = quantize(weight.data.astype(np.float64), in_float64)
        return cls(codes, qparams, dtype=weight.dtype)

    @property
    def qparams(self):
        """The QParams of the codes, with the stored scale."""
        scale, zero_point = self.scale.astype(np.float64), self.zero_point.astype(np.int64)
        return QParams(scale, zero_point, self.quant_min, self.quant_max)

    def forward(self):
        return Tensor(dequantize(self.codes, self.qparams, dtype=self.scale.dtype))

    def extra_repr(self):
        return f"codes {self.quant_min}..{self.quant_max}"


def with_scale_as(dtype, qparams):
    """The QParams with S in the dtype of the weights; an S that would become 0 is made tiny."""
    scale = np.maximum(qparams.scale, np.finfo(dtype).tiny).astype(dtype)
    return qparams._replace(scale=scale)


@checked
def quantize_weights(
    model: "Module; with weights that are finite",
    *,
    bits: "int in 1..16, >= 2 if symmetric",
    symmetric: "bool" = True,
    per_channel: "bool; whether each output channel has its own step, or the "
                 "whole weight only one" = True,
):
    """Post-training quantization: a copy of the model with its weights as codes.

    The weights are those of `tinyml.nn.weights`. Biases and norms stay as they are. A computed
    weight also stays as it is, with a warning. Fold each batch norm into the weights in front of
    it first (`nn.folding.fold_batch_norm`).
    """
    axis = 0 if per_channel else None

    def quantized(weight):
        return DequantizedWeight.from_weight(weight, bits=bits, symmetric=symmetric, axis=axis)
    return replace_weights("quantize_weights", copy.deepcopy(model), quantized)
