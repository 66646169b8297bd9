"""Primitives that reduce axes: sums, means, extremes, and the stable log of a sum of exponentials.

`axis` is None (all axes), an int or a tuple of ints, and `keepdims` leaves the reduced axes with
length 1, as in NumPy. float16 is added up in float32 (see `tinyml.sums.wide`). Unlike PyTorch's,
they refuse an axis of a tensor that has none; and all but the sum refuse to reduce no entries.
"""
import math

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from tinyml.sums import add_up, wide
from tinyml.tensor import primitive


def _expand(g, axis, ndim, keepdims):
    """`g` with the reduced axes put back as length 1, ready to broadcast against x."""
    return g if keepdims or axis is None else np.expand_dims(g, axis)


def _count(name, x, axis):
    """How many entries are reduced to one, or a ValueError if there are none."""
    axes = range(x.ndim) if axis is None else normalize_axis_tuple(axis, x.ndim)
    n = math.prod(x.shape[i] for i in axes)
    if n == 0:
        raise ValueError(f"{name}: x must have at least one entry along axis {axis}, "
                         f"got shape {x.shape}")
    return n


def _largest(x, axis):
    """x.max(axis, keepdims=True), but faster along short rows, which NumPy reduces one by one."""
    if x.ndim < 2 or axis not in (-1, x.ndim - 1) or x.shape[-1] > 64:
        return x.max(axis=axis, keepdims=True)
    columns = x.reshape(-1, x.shape[-1]).T.copy()
    return columns.max(axis=0).reshape(*x.shape[:-1], 1)


@primitive
def sum(x, *, axis=None, keepdims=False):
    """Sum over `axis`."""
    if axis is not None:
        axis = normalize_axis_tuple(axis, x.ndim)
    return (add_up(x, axis, keepdims).astype(x.dtype, copy=False),
            (lambda g: np.broadcast_to(_expand(g, axis, x.ndim, keepdims), x.shape),))


@primitive
def mean(x, *, axis=None, keepdims=False):
    """Arithmetic mean over `axis`. Raises ValueError if there is nothing to average."""
    n = _count("mean", x, axis)
    return ((add_up(x, axis, keepdims) / n).astype(x.dtype, copy=False),
            (lambda g: np.broadcast_to(_expand(g / n, axis, x.ndim, keepdims), x.shape),))


@primitive
def var(x, *, axis=None, keepdims=False, correction=0):
    """Variance sum (x - mean)^2 / (n - correction) over `axis`.

    The default is NumPy's, the population variance; ``correction=1`` is PyTorch's default, the
    unbiased estimate. Raises ValueError unless n > correction.
    """
    if not isinstance(correction, (int, float)):
        raise TypeError(f"var: correction must be a number, got {correction!r}")
    count = _count("var", x, axis)
    n = count - correction
    if not n > 0:
        raise ValueError(f"var: the number of entries must be > correction={correction}, "
                         f"got {count}")
    centred = x.astype(wide(x.dtype), copy=False)
    for _ in range(2):    # the mean of large numbers is rounded: subtract what is left of it too
        centred = centred - add_up(centred, axis, keepdims=True) / count
    return ((add_up(centred * centred, axis, keepdims) / n).astype(x.dtype, copy=False),
            (lambda g: _expand(g, axis, x.ndim, keepdims) * centred * (2 / n),))


def _extreme(x, y, axis, keepdims):
    """The vjp that max and min share: entries that tie for the extreme y share its gradient."""
    def d_x(g):
        hit = x == _expand(y, axis, x.ndim, keepdims)
        share = hit / hit.sum(axis=axis, keepdims=True)
        return _expand(g, axis, x.ndim, keepdims) * share.astype(g.dtype)
    return (d_x,)


@primitive
def max(x, *, axis=None, keepdims=False):
    """Largest entry over `axis`; entries that tie share the gradient equally.

    So does PyTorch's amax; its max over an axis gives all of it to one of them.
    """
    _count("max", x, axis)
    y = x.max(axis=axis, keepdims=keepdims)
    return y, _extreme(x, y, axis, keepdims)


@primitive
def min(x, *, axis=None, keepdims=False):
    """Smallest entry over `axis`; entries that tie share the gradient equally, as for `max`."""
    _count("min", x, axis)
    y = x.min(axis=axis, keepdims=keepdims)
    return y, _extreme(x, y, axis, keepdims)


@primitive
def logsumexp(x, *, axis=None, keepdims=False):
    """ln sum e^x over `axis`, computed as m + ln sum e^(x - m) with m = max x.

    The slope is softmax(x). Where all x are -inf the value is -inf, and the slope 0; where one is
    inf the value is inf, and the entries that are inf share the slope (PyTorch's is NaN there).
    """
    _count("logsumexp", x, axis)
    m = x.max(axis=axis, keepdims=True)
    infinite = np.isinf(m)
    if infinite.any():    # then only the entries that are inf count
        x = np.where(infinite, np.where(x == np.inf, 0, -np.inf).astype(x.dtype), x)
    with np.errstate(over="ignore", divide="ignore"):    # e^-inf = 0 and ln 0 = -inf
        e = np.exp(x - np.where(infinite, 0, m))
        total = add_up(e, axis, True)
        y = (np.log(total) + m).astype(x.dtype, copy=False)
    return (y if keepdims else y.squeeze(axis),
            (lambda g: _expand(g, axis, x.ndim, keepdims) * (e / np.where(total == 0, 1, total)),))


@primitive
def standardize(x, *, axis, eps):
    """y = (x - mean) / sqrt(var + eps), with the mean and the population variance over `axis`.

    The gradient of x is (g - mean(g) - y mean(g y)) / sqrt(var + eps): what would only move or
    scale y is taken out of g.
    """
    n = _count("standardize", x, axis)

    def average(a):
        return add_up(a, axis, keepdims=True) / n

    centred = x - average(x)
    scale = 1 / np.sqrt(average(centred * centred) + eps)    # one division for each mean
    y = centred * scale
    return (y.astype(x.dtype, copy=False),
            (lambda g: (g - average(g) - y * average(g * y)) * scale,))


@primitive
def softmax(x, *, axis=-1):
    """p = e^x / sum e^x over `axis`, with x - max x for x so that nothing overflows."""
    _count("softmax", x, axis)
    with np.errstate(over="ignore"):    # e^-inf = 0
        e = np.exp(x - _largest(x, axis))
    p = e / add_up(e, axis, True)
    return p.astype(x.dtype, copy=False), (lambda g: p * (g - add_up(p * g, axis, True)),)


@primitive
def log_softmax(x, *, axis=-1):
    """ln p = z - ln sum e^z over `axis`, with z = x - max x: no digits are lost for large x."""
    _count("log_softmax", x, axis)
    z = x - _largest(x, axis)
    e = np.exp(z)
    total = add_up(e, axis, True)
    y = (z - np.log(total)).astype(x.dtype, copy=False)
    return y, (lambda g: g - e / total * add_up(g, axis, True),)


@primitive
def label_cross_entropy(logits, *, labels, reduction="none"):
    """-ln softmax(z)_y of each row z, one fused step: its gradient is softmax(z) - onehot(y).

    Parameters
    ----------
    logits : Tensor, shape (..., C)
    labels : ndarray of int, shape (...), in 0..C-1
    reduction : "mean" over all rows, "sum", or "none" for shape (...)
    """
    if reduction not in ("mean", "sum", "none"):
        raise ValueError('label_cross_entropy: reduction must be "mean", "sum" or "none", got '
                         f"{reduction!r}")
    z = logits - logits.max(axis=-1, keepdims=True)    # so that nothing overflows
    e = np.exp(z)
    total = add_up(e, -1, True)
    onehot = labels[..., None] == np.arange(z.shape[-1])
    y = np.log(total)[..., 0] - z[onehot].reshape(labels.shape)
    n = y.size if reduction == "mean" else 1
    value = y if reduction == "none" else y.sum() / n

    def d_logits(g):
        share = g[..., None] if reduction == "none" else g / n
        return (e / total - onehot) * share
    return np.asarray(value, logits.dtype), (d_logits,)
