"""Straight-through estimators: primitives whose vjp disagrees with calculus, on purpose.

Rounding has slope 0 almost everywhere, so a network with rounded weights learns nothing. The cure
is to pretend, in the backward pass only, that the step was the identity (Bengio, Leonard and
Courville 2013, section 4; MATH5836 week 10, section 10.2.2). With one vjp per argument that takes
one line. `tinyml.compression.quantization_aware` trains networks with it.
"""
import numpy as np

from tinyml.ops.elementwise import check_bounds
from tinyml.tensor import primitive


@primitive
def round_ste(x):
    """The nearest integer, ties to even; backward the identity."""
    # forward: round; backward: the gradient g passes unchanged
    return np.round(x), (lambda g: g,)    # notes 10.2.2, straight-through


@primitive
def sign_ste(x):
    """+1 where x >= 0, -1 where x < 0; backward the identity where |x| <= 1 and 0 outside.

    (Hubara et al. 2016, equation 4: beyond 1 a larger |x| changes nothing, so it need not grow.)
    """
    y = np.where(x >= 0, 1, np.where(x < 0, -1, x))    # NaN stays NaN
    return y.astype(x.dtype), (lambda g: g * (np.abs(x) <= 1),)


@primitive
def clamp_ste(x, *, low, high):
    """x limited to [low, high]; backward the identity everywhere, so that x can come back.

    The bounds are numbers, or arrays that broadcast to x.
    """
    check_bounds("clamp_ste", low, high)
    return np.clip(x, low, high).astype(x.dtype, copy=False), (lambda g: g,)
