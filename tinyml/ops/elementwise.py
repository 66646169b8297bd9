"""Elementwise primitives: each entry of the result depends on one entry of each argument."""
import math

import numpy as np

from tinyml.check import check_regular
from tinyml.sums import wide
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
    """Power x^y, with slopes y x^(y-1) in x and x^y ln x in y.

    The first is 0 for y = 0, the second for x = 0, y >= 0.
    """
    value = x ** y

    def d_x(g):
        constant = np.equal(y, 0)
        slope = y * x ** np.where(constant, 1, y - 1).astype(g.dtype)
        return g * np.where(constant, 0, slope).astype(g.dtype)

    def d_y(g):
        constant = np.equal(x, 0) & np.greater_equal(y, 0)    # 0^y = 0 for all y > 0
        slope = value * np.log(np.where(constant, 1, x))
        return g * np.where(constant, 0, slope).astype(g.dtype)
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
    """Absolute value |x|, with slope 0 at 0. At NaN the slope is NaN (PyTorch's is 0)."""
    return np.abs(x), (lambda g: g * np.sign(x),)


@primitive
def tanh(x):
    """Hyperbolic tangent y = tanh x, of numbers of any size; its slope is 1 - y^2."""
    def d_x(g):    # 1 - y^2 = 4 t / (1 + t)^2, which keeps its digits where y rounds to 1
        t = np.exp(-2 * np.abs(x))
        return g * (4 * t / (1 + t) ** 2)
    return np.tanh(x), (d_x,)


@primitive
def sigmoid(x):
    """Logistic function 1 / (1 + e^-x), whose slope is y (1 - y).

    With t = e^-|x|, which cannot overflow, the two tails are 1 / (1 + t) above 0 and t / (1 + t)
    below.
    """
    t = np.exp(-np.abs(x))
    tail = t / (1 + t)    # the smaller of y and 1 - y
    return np.abs((x > 0) - tail), (lambda g: g * (tail * (1 - tail)),)


@primitive
def softplus(x):
    """ln(1 + e^x) = max(x, 0) + ln(1 + e^-|x|), with slope sigmoid(x).

    -ln sigmoid(x) is softplus(-x).
    """
    t = np.exp(-np.abs(x))
    tail = t / (1 + t)
    return np.maximum(x, 0) + np.log1p(t), (lambda g: g * np.abs((x > 0) - tail),)


@primitive
def relu(x):
    """Rectifier max(x, 0), with slope 0 at 0. At NaN the slope is 0 (PyTorch's is 1)."""
    y = np.maximum(x, np.zeros(x.shape[-1:], x.dtype))    # twice as fast as with the number 0
    return y, (lambda g: g * (y > 0).astype(g.dtype),)    # faster than with bool


# Coefficients of P and of Q in the normal tail Phi(-a) = e^(-a^2 / 2) P(a) / Q(a), constant terms
# first: rational functions fitted as in Cody 1969, Rational Chebyshev approximations for the error
# function. The relative error is at most 7e-16 (1 + a^2) (1 + (a / 8)^4) in the first table, and
# 2e-8 (1 + a^2) in the second; rounding a^2 alone costs up to 1e-16 a^2 and 6e-8 a^2.
_TAIL64 = np.array([
    [0.49999999999999967, 0.61074581533763719, 0.37060352418654257, 0.13877076920847831,
     0.034173592197475862, 0.0055111388015437319, 0.00054043126822335238,
     2.5118648557161785e-5, 3.5304140763435162e-14],
    [1, 2.019376191478013, 1.8524361340101978, 1.0118451540985817, 0.36154110594185305,
     0.087014776465823091, 0.01387735693863959, 0.0013546597448899923,
     6.2963125173353514e-5]])
_TAIL32 = np.array([
    [0.49999999272314678, 0.32100062650660395, 0.097750197920304962, 0.012210865264021316,
     5.1646620730959234e-7],
    [1, 1.439884747435918, 0.8443746534804575, 0.2440984638959954, 0.030661550658495029]],
    np.float32)
_BLOCK = 200_000    # bytes at a time, which stay in the processor's cache
_FAR = 40           # farther out the tail is 0 in every dtype


def _exact_gelu(x):
    """x Phi(x), Phi(-|x|) and e^(-x^2 / 2) for every entry of a vector, block by block."""
    table = _TAIL32 if x.dtype == np.float32 else _TAIL64
    values = np.empty((3, x.size), x.dtype)
    n = max(1, min(x.size, _BLOCK // x.itemsize))
    work = np.empty((4 + table.shape[1], n), x.dtype)    # 0, 40, P, Q and the powers 1, a, a^2 ...
    work[0], work[1], work[4] = 0, _FAR, 1    # NumPy is faster with arrays than with numbers
    for start in range(0, x.size, n):
        block = slice(start, start + n)
        y, tail, bell = values[:, block]
        rows = work[:, :y.size]
        zero, far, _, _, _, a, a2, *higher = rows
        np.abs(x[block], out=a)
        np.minimum(a, far, out=a)
        power = np.multiply(a, a, out=a2)
        for row in higher:
            power = np.multiply(power, a, out=row)
        p, q = np.matmul(table, rows[4:], out=rows[2:4])    # P(a) and Q(a)
        np.multiply(a2, -0.5, out=bell)
        np.exp(bell, out=bell)
        p *= bell
        np.divide(p, q, out=tail)
        np.maximum(x[block], zero, out=y)
        y -= np.multiply(a, tail, out=a)    # x Phi(x) = max(x, 0) - |x| Phi(-|x|)
    return values


@primitive
def gelu(x, *, approximate="none"):
    """Gaussian error linear unit x Phi(x), with the standard normal distribution function

        Phi(x) = (1 + erf(x / sqrt 2)) / 2                                approximate="none"
        Phi(x) ~ (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2            approximate="tanh"

    (Hendrycks and Gimpel 2016, section 2). The second is faster. Both are computed from their tail
    Phi(-|x|), which keeps its digits: x Phi(x) = max(x, 0) - |x| Phi(-|x|). At -inf the value is
    its limit 0 (PyTorch's is NaN).
    """
    if approximate not in ("none", "tanh"):
        raise ValueError(f'gelu: approximate must be "none" or "tanh", got {approximate!r}')
    if approximate == "none":
        wide_x = x.astype(wide(x.dtype), copy=False)
        y, tail, bell = _exact_gelu(wide_x.ravel()).reshape(3, *x.shape)

        def density():    # Phi'(x)
            return bell * (1 / math.sqrt(2 * math.pi))
    else:
        c, cubic = math.sqrt(2 / math.pi), 0.044715
        a = np.abs(np.clip(x, -_FAR, _FAR), dtype=wide(x.dtype))
        t = np.exp(a * (-2 * c - 2 * c * cubic * (a * a)))
        tail = t / (1 + t)    # (1 - tanh u) / 2 with t = e^-2u
        y = np.maximum(x, np.zeros(x.shape[-1:], x.dtype))
        y -= a * tail

        def density():
            return (2 * c + 6 * c * cubic * (a * a)) * (tail * (1 - tail))

    def d_x(g):    # Phi(x) + x Phi'(x)
        return g * (np.abs((x > 0) - tail) + np.clip(x, -_FAR, _FAR) * density())
    return y.astype(x.dtype, copy=False), (d_x,)


@primitive
def maximum(x, y):
    """The larger of x and y; at a tie each gets half the gradient.

    If one is NaN the result is, and neither gets a gradient (in PyTorch both get all of it).
    """
    return np.maximum(x, y), (lambda g: g * _share(x > y, x, y).astype(g.dtype),
                              lambda g: g * _share(y > x, x, y).astype(g.dtype))


@primitive
def minimum(x, y):
    """The smaller of x and y; at a tie each gets half the gradient, and at NaN neither."""
    return np.minimum(x, y), (lambda g: g * _share(x < y, x, y).astype(g.dtype),
                              lambda g: g * _share(y < x, x, y).astype(g.dtype))


def _share(wins, x, y):
    """1 where an argument wins, 1/2 at a tie, else 0."""
    return wins + 0.5 * np.equal(x, y)


@primitive
def _where(x, y, *, condition):
    def d_x(g):
        return np.where(condition, g, 0).astype(g.dtype, copy=False)

    def d_y(g):
        return np.where(condition, 0, g).astype(g.dtype, copy=False)
    return np.where(condition, x, y), (d_x, d_y)


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
    condition = check_regular("where", "condition", condition)
    if condition.dtype != bool:
        raise TypeError(f"where: condition must be an array of bool, got dtype {condition.dtype}; "
                        "write x.data > 0")
    return _where(x, y, condition=condition)


@primitive
def clip(x, *, low=None, high=None):
    """x limited to [low, high]; slope 1 inside and on the bounds, 0 outside.

    The bounds are numbers, arrays that broadcast to x, or None for no bound. Unlike PyTorch's,
    they are constants, and a low above its high is refused.
    """
    if low is not None and high is not None:
        check_bounds("clip", low, high)
    y = np.clip(x, -np.inf if low is None else low, np.inf if high is None else high)
    y = y.astype(x.dtype, copy=False)    # a NumPy scalar as bound must not change the dtype
    return y, (lambda g: g * (x == y),)


def check_bounds(name, low, high):
    """Raise ValueError, with the first such pair, if a low is above its high."""
    above = np.greater(low, high)
    if above.any():
        low, high = (np.broadcast_to(bound, above.shape)[above][0] for bound in (low, high))
        raise ValueError(f"{name}: low must be <= high, got {low} > {high}")
