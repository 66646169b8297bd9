"""Fixed-point numbers: multiply integers by a real number, with integers only.

Problem: an integer layer multiplies its sums acc by a real constant M in (0, 1], to turn them into
codes again (`integer`). A processor without floating point cannot do that directly.

Idea: write M = 2^-n M0 with 0.5 <= M0 < 1, and store M0 in units of 2^-31, as the integer
m = round(2^31 M0). Then a product of integers and two right shifts are enough:

    M acc  ~  round(round(m acc / 2^31) / 2^n)

Sources: as for `integer`; Jacob and Warden 2017, gemmlowp (the two roundings).
"""
import numpy as np

from tinyml.compression.quantization import smallest_dtype
from tinyml.contract import checked

INT32 = np.iinfo(np.int32)


@checked
def quantize_multiplier(multiplier: "array_like of float64, in (0, 1]; M"):
    """The M0 in [0.5, 1) and the n of M = 2^-n M0 (Jacob et al. 2018, equation 6).

    Returns
    -------
    M0 : ndarray of int32, in units of 2^-31, in 2^30 ... 2^31 - 1, the shape of multiplier
    n : ndarray of int32, >= 0, the same shape

    >>> M0, n = quantize_multiplier([0.5, 0.3])
    >>> M0 / 2**31 * 0.5 ** n
    array([0.5, 0.3])
    """
    below_one = np.minimum(multiplier, np.nextafter(1, 0))
    fraction, exponent = np.frexp(below_one)            # M = fraction 2^exponent
    M0 = np.round(fraction * 2.0 ** 31)
    M0 = np.minimum(M0, INT32.max)                      # if the fraction rounds up to 1
    return M0.astype(np.int32), (-exponent).astype(np.int32)


@checked
def rounding_doubling_high_mul(
    a: "ndarray of int32",
    b: "ndarray of int32",
) -> "ndarray of int32":
    """round(a b / 2^31), halves up: the product of two fractions of 31 bits.

    The result is the upper half of the 64 bits of 2 a b, rounded. Only the product for
    a = b = -2^31 does not fit into int32: the result is then 2^31 - 1.
    """
    product = a.astype(np.int64) * b
    rounded = (product + 2 ** 30) >> 31    # 2^30 is half of what the shift divides by
    return np.minimum(rounded, INT32.max).astype(np.int32)


@checked
def rounding_right_shift(
    x: "ndarray of int32",
    shift: "array_like of int, >= 0",
) -> "ndarray of int32":
    """round(x / 2^shift), halves away from zero."""
    shift = np.minimum(shift, 33)    # from 33 on the result is 0
    half = (1 << shift) >> 1
    magnitude = np.abs(x.astype(np.int64))
    return (np.sign(x) * ((magnitude + half) >> shift)).astype(np.int32)


@checked
def requantize(
    accumulator: "ndarray of int32; acc",
    multiplier: "ndarray of int32; M0 of `quantize_multiplier`",
    shift: "ndarray of int32; n of `quantize_multiplier`",
    *,
    zero_point: "int; of the output codes",
    quant_min: "int; the smallest output code",
    quant_max: "int; the largest output code",
) -> "ndarray of the smallest dtype that holds quant_min ... quant_max":
    """Output codes q3 = clip(Z3 + 2^-n M0 acc, quant_min, quant_max) (equations 5 to 7).

    There are two roundings: after the product with M0, and after the shift by n.
    """
    product = rounding_doubling_high_mul(accumulator, multiplier)    # M0 acc
    scaled = rounding_right_shift(product, shift)                    # 2^-n M0 acc
    codes = np.clip(scaled.astype(np.int64) + zero_point, quant_min, quant_max)
    return codes.astype(smallest_dtype(quant_min, quant_max))
