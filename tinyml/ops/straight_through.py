"""Straight-through estimators: primitives whose vjp disagrees with calculus, on purpose.

Rounding has slope 0 almost everywhere, so a network with a rounded weight learns nothing. The cure is
to pretend, on the way back only, that the step was the identity (Bengio, Leonard and Courville 2013,
section 4; MATH5836 week 10, section 10.2.2). With one vjp per argument that takes one line.
"""
import numpy as np

from tinyml.tensor import primitive


@primitive
def round_ste(x):
    """The nearest integer, ties to even; backward the identity."""
    return np.round(x), (lambda g: g,)


@primitive
def sign_ste(x):
    """+1 where x >= 0, else -1; backward the identity where |x| <= 1 and 0 outside.

    (Hubara et al. 2016, equation 4: beyond 1 a larger |x| changes nothing, so nothing is learnt.)
    """
    return np.where(x >= 0, 1, -1).astype(x.dtype), (lambda g: g * (np.abs(x) <= 1),)


@primitive
def clamp_ste(x, *, low, high):
    """x limited to [low, high]; backward the identity everywhere, so that x can come back inside."""
    if low > high:
        raise ValueError(f"clamp_ste: low must be <= high, got {low} > {high}")
    return np.clip(x, low, high).astype(x.dtype, copy=False), (lambda g: g,)


@primitive
def fake_quantize(x, *, scale, zero_point, quant_min, quant_max):
    """Quantize and dequantize: x moved to the nearest value that an integer code can stand for,

        q = clip(round(x / S) + Z, quant_min, quant_max),        y = S (q - Z)

    (Jacob et al. 2018, equations 1 and 12). x / S is rounded as in `round_ste`, then Z is added. Backward
    the identity where the code was not clipped, and 0 where it was.

    Parameters
    ----------
    x : Tensor
    scale : float or ndarray that broadcasts against x, > 0, the step S
    zero_point : int or ndarray of int, the code Z of the value 0
    quant_min, quant_max : int, the smallest and the largest code

    Raises
    ------
    ValueError : scale <= 0 or quant_min >= quant_max
    """
    scale = np.asarray(scale, x.dtype)
    if not (scale > 0).all():
        raise ValueError(f"fake_quantize: scale must be > 0, got {scale}")
    if quant_min >= quant_max:
        raise ValueError(f"fake_quantize: quant_min must be < quant_max, got {quant_min}, {quant_max}")
    zero_point = np.asarray(zero_point, x.dtype)
    code = np.round(x / scale) + zero_point
    clipped = np.clip(code, quant_min, quant_max).astype(x.dtype, copy=False)
    return scale * (clipped - zero_point), (lambda g: g * (code == clipped),)
