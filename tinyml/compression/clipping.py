"""Few bits without training: clip the rare large numbers, so that the many small ones get finer codes.

Problem: at 4 bits and below, a range from the smallest to the largest number spends its few
codes on outliers.

Idea: codes for -alpha ... alpha make two errors. What lies outside is clipped, more of it the
smaller alpha is; what lies inside is rounded by a step 2 alpha / 2^M. For a known density the
expected squared error is

    Laplace, scale b:      2 b^2 e^(-alpha/b)  +  alpha^2 / (3 4^M)
    Gaussian, sigma:       (sigma^2 + alpha^2)(1 - erf(alpha / (sqrt(2) sigma)))
                              - sqrt(2/pi) alpha sigma e^(-alpha^2 / (2 sigma^2))  +  alpha^2 / (3 4^M)

and its minimum is one number per M: "analytical clipping for integer quantization", ACIQ. Two
more repairs need no data either: rounding shifts the mean and the spread of a channel's
weights, which can be put back; and channels with a wide range can have more codes than those
with a narrow one.

Sources: Banner, Nahshan and Soudry 2019, Post training 4-bit quantization of convolutional
networks for rapid-deployment (section 3 with equations 5 and 6, section 4, section 5 with
equation 14); MATH5836 week 10, section 10.2.2.
"""
import copy
import math

import numpy as np

from tinyml.check import check_real
from tinyml.compression.quantization import MAX_BITS, choose_qparams, quantize
from tinyml.nn.weights import ComputedWeight, replace_weights
from tinyml.tensor import Tensor

DENSITIES = ("laplace", "gaussian")


def expected_error(alpha, *, bits, density):
    """The mean squared error of clipping at alpha and rounding to 2^M codes, in units of b^2 or sigma^2.

        Laplace:     2 e^(-alpha)  +  alpha^2 / (3 4^M)
        Gaussian:    (1 + alpha^2) erfc(alpha / sqrt(2))  -  sqrt(2/pi) alpha e^(-alpha^2 / 2)
                         +  alpha^2 / (3 4^M)

    erfc = 1 - erf is the function of that name in math, with all its digits also where erf is
    next to 1.

    Parameters
    ----------
    alpha : float > 0, in units of the density's b or sigma
    bits : int in 1..16, M
    density : "laplace" or "gaussian", of mean 0

    Returns
    -------
    float

    Raises
    ------
    TypeError, ValueError : alpha is not positive and finite, bits is out of range, or the
        density is unknown
    """
    alpha = float(check_real("expected_error", "alpha", alpha, ndim=0))
    _check("expected_error", bits, density)
    if alpha <= 0:
        raise ValueError(f"expected_error: alpha must be > 0, got {alpha}")
    rounding = alpha ** 2 / (3 * 4 ** bits)
    if density == "laplace":
        return 2 * math.exp(-alpha) + rounding
    tail = (1 + alpha ** 2) * math.erfc(alpha / math.sqrt(2))
    return tail - math.sqrt(2 / math.pi) * alpha * math.exp(-alpha ** 2 / 2) + rounding


def optimal_clip(bits, *, density):
    """The alpha of least expected error, in units of b (Laplace) or sigma (Gaussian).

    Where the derivative of `expected_error` is zero,

        Laplace:     alpha e^alpha = 3 4^M
        Gaussian:    erfc(alpha / sqrt(2)) - sqrt(2/pi) e^(-alpha^2/2) / alpha + 1 / (3 4^M) = 0

    found by halving an interval, to nine digits or more. (Banner et al. 2019 give 2.83, 3.89,
    5.03 and 1.71, 2.15, 2.55 for M = 2, 3, 4.)

    Parameters
    ----------
    bits : int in 1..16, M
    density : "laplace" or "gaussian"

    Returns
    -------
    float

    Raises
    ------
    ValueError : bits is out of range, or the density is unknown

    Examples
    --------
    >>> [round(optimal_clip(4, density=density), 2) for density in ("laplace", "gaussian")]
    [5.03, 2.56]
    """
    _check("optimal_clip", bits, density)
    share = 1 / (3 * 4 ** bits)

    def slope(alpha):    # of the expected error, divided by 2 alpha: it grows through its only zero
        if density == "laplace":
            return share - math.exp(-alpha) / alpha
        return share + math.erfc(alpha / math.sqrt(2)) - math.sqrt(2 / math.pi) * math.exp(
            -alpha ** 2 / 2) / alpha
    low, high = 1e-6, 50.0
    while high - low > 1e-12 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return (low + high) / 2


def clipped_range(x, *, bits, density):
    """The range for `choose_qparams` that ACIQ chooses: mean -+ alpha, and no wider than x is.

    b is the mean of |x - mean|, sigma the standard deviation.

    Parameters
    ----------
    x : array_like, not empty
    bits : int in 1..16
    density : "laplace" or "gaussian"

    Returns
    -------
    (low, high) : floats

    Raises
    ------
    TypeError, ValueError : x is empty, not real or not finite, bits is out of range, the
        density is unknown
    """
    x = check_real("clipped_range", "x", x).astype(np.float64)
    if not x.size:
        raise ValueError("clipped_range: x must hold at least one number, got none")
    spread = np.abs(x - x.mean()).mean() if density == "laplace" else x.std()
    alpha = optimal_clip(bits, density=density) * spread
    return max(x.mean() - alpha, x.min()), min(x.mean() + alpha, x.max())


def correct_bias(quantized, weight):
    """Give each channel of the quantized weights its mean and norm back (Banner et al. 2019, section 4).

        W_q <- (W_q + mean(W) - mean(W_q)) * ||W - mean(W)|| / ||W_q - mean(W_q)||

    per channel, axis 0: the shift first, then the factor. A channel whose W_q are all equal is
    only shifted.

    Parameters
    ----------
    quantized, weight : array_like, shape (channels, ...), W_q and W, of two axes or more

    Returns
    -------
    ndarray of float64, of this shape

    Raises
    ------
    TypeError, ValueError : an argument is not real, not finite or empty, or the shapes differ
    """
    Q, W = (check_real("correct_bias", name, a).astype(np.float64)
            for name, a in (("quantized", quantized), ("weight", weight)))
    if Q.shape != W.shape or Q.ndim < 2 or not Q.size:
        raise ValueError("correct_bias: quantized and weight must have one shape (channels, ...), not empty, "
                         f"got {Q.shape} and {W.shape}")
    shift, factor = _shift_and_factor(Q, W)
    return (Q + shift) * factor


def _shift_and_factor(Q, W):
    """mean(W) - mean(Q) and ||W - mean(W)|| / ||Q - mean(Q)|| of each channel, shape (channels, 1, ...)."""
    others = tuple(range(1, W.ndim))
    mean = lambda a: a.mean(axis=others, keepdims=True)
    norm = lambda a: np.sqrt(((a - mean(a)) ** 2).sum(axis=others, keepdims=True))
    factor = np.divide(norm(W), norm(Q), out=np.ones_like(norm(W)), where=norm(Q) > 1e-12 * norm(W))
    return mean(W) - mean(Q), factor


def allocate_bits(ranges, *, bits):
    """How many bits each channel should have if all have `bits` on average (Banner et al. 2019, equation 14).

        M_i = log2( a_i^(2/3) / sum_j a_j^(2/3) * n 2^M )

    minimises the rounding error sum a_i^2 / (3 4^M_i) for a fixed number of codes sum 2^M_i =
    n 2^M. Whole numbers near it: rounded down, 1 at least (if that takes too many codes, the
    largest M_i give up a bit at a time), then one more bit at a time to the channel where it
    lowers the error most for each code it takes, while codes are left.

    Parameters
    ----------
    ranges : array_like, shape (n,), n >= 1, a_i >= 0
    bits : int in 1..16, M

    Returns
    -------
    ndarray of int64, shape (n,), each in 1..16; sum 2^M_i <= n 2^M

    Raises
    ------
    TypeError, ValueError : ranges are empty, not real or negative, or bits is out of range

    Examples
    --------
    >>> allocate_bits([1.0, 1.0, 8.0], bits=4)
    array([3, 3, 5])
    """
    a = check_real("allocate_bits", "ranges", ranges, ndim=1, at_least=0).astype(np.float64)
    _check("allocate_bits", bits, "laplace")
    if not a.size:
        raise ValueError("allocate_bits: ranges must hold at least one, got none")
    a = a / (a.max() or 1)    # only ratios matter, and squares of these do not overflow
    budget = len(a) * 2 ** bits
    share = a ** (2 / 3) / max((a ** (2 / 3)).sum(), np.finfo(float).tiny)
    M = np.clip(np.floor(np.log2(np.maximum(share * budget, 1)) + 1e-9), 1, MAX_BITS).astype(np.int64)
    while (2 ** M).sum() > budget:    # the channels that got 1 bit as the least may take too many codes
        M[np.argmax(M)] -= 1
    while True:
        gain = np.where((2 ** M <= budget - (2 ** M).sum()) & (M < MAX_BITS), a ** 2 / 8.0 ** M, -1)
        i = int(np.argmax(gain))
        if gain[i] <= 0:
            return M
        M[i] += 1


def channel_codes(weight, *, bits, density=None, corrected=False, allocated=False):
    """Integer codes q for weights, and a line per channel that reads them: W ~ scale q + offset.

    Each channel has a range, from its smallest to its largest weight or that of
    `clipped_range`, and affine codes in it, r = S (q - Z) (`choose_qparams`): so scale = S,
    offset = -S Z. The third repair only moves the line: with t the shift mean(W) - mean(W_q)
    and f the factor of `correct_bias`, (r + t) f is

        scale = f S,    offset = f (t - S Z)

    Parameters
    ----------
    weight : array_like, shape (channels, ...), not empty
    bits : int in 1..16, for each channel or on average
    density : "laplace" or "gaussian" to clip, or None for the full range
    corrected : bool, put mean and norm back (`correct_bias`)
    allocated : bool, `allocate_bits` by the channels' ranges, largest less smallest weight

    Returns
    -------
    codes : ndarray of uint8, or uint16 where a channel has more than 8 bits, the shape of weight
    scale, offset : ndarrays of float64, shape (channels, 1, ...)

    Raises
    ------
    TypeError, ValueError : weight is empty, not real, not finite or has less than two axes;
        bits is out of range; the density is unknown

    Examples
    --------
    >>> codes, scale, offset = channel_codes([[-1.0, 0.0, 2.0]], bits=2)
    >>> codes, scale, offset
    (array([[0, 1, 3]], dtype=uint8), array([[1.]]), array([[-1.]]))
    """
    W = check_real("channel_codes", "weight", weight).astype(np.float64)
    _check("channel_codes", bits, density or "laplace")
    if W.ndim < 2 or not W.size:
        raise ValueError(f"channel_codes: weight must have shape (channels, ...), not empty, got {W.shape}")
    widths = allocate_bits(np.ptp(W.reshape(len(W), -1), axis=1), bits=bits) if allocated else [bits] * len(W)
    found = [_one_channel(row, int(b), density) for row, b in zip(W, widths)]
    codes = np.stack([q for q, _ in found])    # of the largest dtype among them
    per_channel = (-1, *[1] * (W.ndim - 1))
    scale, zero = (np.reshape([getattr(qparams, name) for _, qparams in found], per_channel)
                   for name in ("scale", "zero_point"))
    offset = -scale * zero
    if corrected:
        shift, factor = _shift_and_factor(scale * codes + offset, W)
        scale, offset = factor * scale, factor * (offset + shift)
    return codes, scale, offset


def _one_channel(row, bits, density):
    """The codes of a channel, and what they stand for."""
    low, high = ((row.min(), row.max()) if density is None
                 else clipped_range(row, bits=bits, density=density))
    qparams = choose_qparams(low, high, bits=bits, symmetric=False)
    return quantize(row, qparams), qparams


# ------------------------------------------------------------ of a model

class ScaledCodes(ComputedWeight):
    """A weight that is stored as codes, and computed when a layer asks for it: scale q + offset per channel.

    It takes the place of a weight (`tinyml.nn.weights`). Nothing in it is trained.

    Parameters
    ----------
    codes : ndarray of unsigned integers, the shape of the weight
    scale, offset : ndarrays that broadcast to it
    dtype : of the weight, and of scale and offset as they are stored
    """

    def __init__(self, codes, scale, offset, *, dtype=np.float32):
        self.codes = codes
        self.scale, self.offset = np.asarray(scale, dtype), np.asarray(offset, dtype)

    def forward(self):
        return Tensor(self.scale * self.codes.astype(self.scale.dtype) + self.offset)

    def extra_repr(self):
        return f"codes 0..{self.codes.max(initial=0)}"


def quantize_repaired(model, *, bits, density=None, corrected=False, allocated=False):
    """Post-training quantization with the repairs: a copy of the model, its weights (`tinyml.nn.weights`) as
    `channel_codes`. Biases and norms stay as they are, and so do weights that are computed
    already.

    Parameters
    ----------
    model : Module
    bits, density, corrected, allocated : as in `channel_codes`

    Returns
    -------
    Module

    Raises
    ------
    TypeError, ValueError : as `channel_codes`; the model has no weight

    Warns
    -----
    UserWarning : a weight is computed already
    """
    _check("quantize_repaired", bits, density or "laplace")
    return replace_weights("quantize_repaired", copy.deepcopy(model), lambda weight: ScaledCodes(*channel_codes(
        weight.data, bits=bits, density=density, corrected=corrected, allocated=allocated), dtype=weight.dtype))


def _check(function, bits, density):
    """Raise ValueError unless bits is in range and the density is known."""
    if not isinstance(bits, (int, np.integer)) or not 1 <= bits <= MAX_BITS:
        raise ValueError(f"{function}: bits must be an int in 1..{MAX_BITS}, got {bits!r}")
    if density not in DENSITIES:
        raise ValueError(f'{function}: density must be "laplace" or "gaussian", got {density!r}')
