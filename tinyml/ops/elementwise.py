"""Elementwise primitives: each entry of the result depends on one entry of each argument."""
import math

import numpy as np

from tinyml.tensor import primitive


@primitive
def add(x, y):
    """Sum x + y."""
    return x + y, (lambda g: g, lambda g: g)


@primitive
def sub(x, y):
    """Difference x - y."""
    return x - y, (lambda g: g, lambda g: -g)


@primitive
def mul(x, y):
    """Product x y."""
    return x * y, (lambda g: g * y, lambda g: g * x)


@primitive
def div(x, y):
    """Quotient x / y."""
    value = x / y
    return value, (lambda g: g / y, lambda g: -g * value / y)


@primitive
def neg(x):
    """Negative -x."""
    return -x, (lambda g: -g,)


@primitive
def power(x, y):
    """Power x^y; d/dx = y x^(y-1), d/dy = x^y ln x, both 0 where their factor y or x is 0."""
    value = x ** y

    def d_x(g):
        return g * np.where(np.equal(y, 0), 0, y * x ** np.where(np.equal(y, 0), 1, y - 1).astype(g.dtype))

    def d_y(g):
        return g * value * np.log(np.where(np.equal(x, 0), 1, x)).astype(g.dtype)
    return value, (d_x, d_y)


@primitive
def exp(x):
    """Exponential e^x."""
    y = np.exp(x)
    return y, (lambda g: g * y,)


@primitive
def log(x):
    """Natural logarithm ln x, for x > 0."""
    return np.log(x), (lambda g: g / x,)


@primitive
def sqrt(x):
    """Square root of x >= 0; its slope at 0 is infinite."""
    y = np.sqrt(x)
    return y, (lambda g: g / (2 * y),)


@primitive
def abs(x):
    """Absolute value |x|, with slope 0 at 0."""
    return np.abs(x), (lambda g: g * np.sign(x),)


@primitive
def tanh(x):
    """Hyperbolic tangent, of numbers of any size."""
    y = np.tanh(x)
    return y, (lambda g: g * (1 - y * y),)


@primitive
def sigmoid(x):
    """Logistic function 1 / (1 + e^-x), written as (1 + tanh(x/2)) / 2 so that nothing overflows."""
    y = (1 + np.tanh(x / 2)) / 2
    return y, (lambda g: g * y * (1 - y),)


@primitive
def relu(x):
    """Rectifier max(x, 0), with slope 0 at 0."""
    y = np.maximum(x, np.zeros(x.shape[-1:], x.dtype))    # twice as fast as with the number 0
    return y, (lambda g: g * (y > 0),)


_erf = np.frompyfunc(math.erf, 1, 1)    # NumPy has no erf, the standard library has


@primitive
def gelu(x, *, approximate="none"):
    """Gaussian error linear unit x Phi(x), with the standard normal distribution function

        Phi(x) = (1 + erf(x / sqrt 2)) / 2                                approximate="none"
        Phi(x) ~ (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2            approximate="tanh", faster

    (Hendrycks and Gimpel 2016, section 2).
    """
    if approximate not in ("none", "tanh"):
        raise ValueError(f'gelu: approximate must be "none" or "tanh", got {approximate!r}')
    if approximate == "none":
        phi = (1 + np.asarray(_erf(x / math.sqrt(2)), x.dtype)) / 2
        return x * phi, (lambda g: g * (phi + x * np.exp(-x * x / 2) / math.sqrt(2 * math.pi)),)
    c = math.sqrt(2 / math.pi)
    t = np.tanh(c * x * (1 + 0.044715 * x * x))
    slope = c * (1 + 3 * 0.044715 * x * x)
    return x * (1 + t) / 2, (lambda g: g * ((1 + t) + x * (1 - t * t) * slope) / 2,)


@primitive
def maximum(x, y):
    """The larger of x and y; at a tie each gets half the gradient."""
    return np.maximum(x, y), (lambda g: g * ((x > y) + 0.5 * np.equal(x, y)).astype(g.dtype),
                              lambda g: g * ((y > x) + 0.5 * np.equal(x, y)).astype(g.dtype))


@primitive
def minimum(x, y):
    """The smaller of x and y; at a tie each gets half the gradient."""
    return np.minimum(x, y), (lambda g: g * ((x < y) + 0.5 * np.equal(x, y)).astype(g.dtype),
                              lambda g: g * ((y < x) + 0.5 * np.equal(x, y)).astype(g.dtype))


@primitive
def _where(x, y, *, condition):
    return np.where(condition, x, y), (lambda g: g * condition, lambda g: g * ~condition)


def where(condition, x, y):
    """x where the condition holds, y elsewhere; nothing flows to the one not chosen.

    Parameters
    ----------
    condition : array_like of bool
    x, y : Tensor or constant, broadcast against the condition

    Raises
    ------
    TypeError : the condition is not Boolean
    """
    condition = np.asarray(condition)
    if condition.dtype != bool:
        raise TypeError(f"where: condition must be an array of bool, got dtype {condition.dtype}; "
                        "write x.data > 0")
    return _where(x, y, condition=condition)


@primitive
def clip(x, *, low=None, high=None):
    """x limited to [low, high]; slope 1 inside and on the bounds, 0 outside. None: no bound."""
    if low is not None and high is not None and low > high:
        raise ValueError(f"clip: low must be <= high, got {low} > {high}")
    y = np.clip(x, -np.inf if low is None else low, np.inf if high is None else high)
    y = y.astype(x.dtype, copy=False)    # a NumPy scalar as bound must not change the dtype
    return y, (lambda g: g * (x == y),)
