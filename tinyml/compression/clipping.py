"""Few bits without training: clip the rare large numbers, so that the many small ones get finer codes.

Problem: at 4 bits and below, a range from the smallest to the largest number spends its few codes on outliers.

Idea: codes for -alpha ... alpha make two errors. What lies outside is clipped, more of it the smaller alpha is;
what lies inside is rounded by a step 2 alpha / 2^M. For a known density the expected squared error is

    Laplace, scale b:      2 b^2 e^(-alpha/b)  +  alpha^2 / (3 4^M)
    Gaussian, sigma:       (sigma^2 + alpha^2)(1 - erf(alpha / (sqrt(2) sigma)))
                              - sqrt(2/pi) alpha sigma e^(-alpha^2 / (2 sigma^2))  +  alpha^2 / (3 4^M)

and its minimum is one number per M: "analytical clipping for integer quantization", ACIQ. Two more repairs
need no data either: rounding shifts the mean and the spread of a channel's weights, which can be put back; and
channels with a wide range can have more codes than those with a narrow one.

Sources: Banner, Nahshan and Soudry 2019, Post training 4-bit quantization of convolutional networks for
rapid-deployment (section 3 with equations 5 and 6, section 4, section 5 with equation 14); MATH5836 week 10,
section 10.2.2.
"""
import math

import numpy as np

from tinyml.check import check_real
from tinyml.compression.quantization import MAX_BITS, choose_qparams, dequantize, quantize

DENSITIES = ("laplace", "gaussian")


def expected_error(alpha, *, bits, density):
    """The mean squared error of clipping at alpha and rounding to 2^M codes, in units of b^2 or sigma^2.

        Laplace:     2 e^(-alpha)  +  alpha^2 / (3 4^M)
        Gaussian:    (1 + alpha^2) erfc(alpha / sqrt(2))  -  sqrt(2/pi) alpha e^(-alpha^2 / 2)
                         +  alpha^2 / (3 4^M),      erfc = 1 - erf = math.erfc

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
    TypeError, ValueError : alpha is not positive and finite, bits is out of range, or the density is unknown
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

    found by halving an interval. (Banner et al. 2019 give 2.83, 3.89, 5.03 and 1.71, 2.15, 2.55 for M = 2,
    3, 4.)

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
    TypeError, ValueError : x is empty, not real or not finite, bits is out of range, the density is unknown
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

    per channel, axis 0: the shift first, then the factor. A channel whose W_q are all equal is only shifted.

    Parameters
    ----------
    quantized, weight : array_like, shape (channels, ...), W_q and W

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

    minimises the rounding error sum a_i^2 / (3 4^M_i) for a fixed number of codes sum 2^M_i = n 2^M. Whole
    numbers near it: rounded down, 1 at least, then one more bit at a time to the channel where it lowers the
    error most for each code that it takes, while codes are left.

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


def quantize_channels(weight, *, bits, density=None, corrected=False, allocated=False):
    """Weights rounded channel by channel with any of the three repairs: what their codes stand for.

    Parameters
    ----------
    weight : array_like, shape (channels, ...), not empty
    bits : int in 1..16, for each channel or on average
    density : "laplace" or "gaussian" to clip, or None for the full range
    corrected : bool, `correct_bias` afterwards
    allocated : bool, `allocate_bits` by the channels' ranges

    Returns
    -------
    ndarray of float64, the shape of weight

    Raises
    ------
    TypeError, ValueError : as the functions named
    """
    W = check_real("quantize_channels", "weight", weight).astype(np.float64)
    widths = allocate_bits(np.ptp(W.reshape(len(W), -1), axis=1), bits=bits) if allocated else [bits] * len(W)
    Q = np.empty_like(W)
    for row, out, b in zip(W, Q, widths):
        low, high = ((row.min(), row.max()) if density is None
                     else clipped_range(row, bits=int(b), density=density))
        qparams = choose_qparams(low, high, bits=int(b), symmetric=False)
        out[...] = dequantize(quantize(row, qparams), qparams, dtype=np.float64)
    return correct_bias(Q, W) if corrected else Q


def _check(function, bits, density):
    if not isinstance(bits, (int, np.integer)) or not 1 <= bits <= MAX_BITS:
        raise ValueError(f"{function}: bits must be an int in 1..{MAX_BITS}, got {bits!r}")
    if density not in DENSITIES:
        raise ValueError(f'{function}: density must be "laplace" or "gaussian", got {density!r}')
