"""Primitives that reduce axes: sums, means, extremes, and the stable log of a sum of exponentials.

`axis` is None (all axes), an int or a tuple of ints, and `keepdims` leaves the reduced axes with
length 1, as in NumPy.
"""
import math

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from tinyml.tensor import primitive


def _expand(g, axis, ndim, keepdims):
    """`g` with the reduced axes put back as length 1, ready to broadcast against x."""
    return g if keepdims or axis is None else np.expand_dims(g, axis)


def _count(name, x, axis):
    """How many entries are reduced to one; zero is refused."""
    n = x.size if axis is None else math.prod(x.shape[i] for i in normalize_axis_tuple(axis, x.ndim))
    if n == 0:
        raise ValueError(f"{name}: x must have at least one entry along axis {axis}, got shape {x.shape}")
    return n


@primitive
def sum(x, *, axis=None, keepdims=False):
    """Sum over `axis`."""
    if x.ndim == 0 and axis is not None:
        normalize_axis_tuple(axis, 0)    # NumPy would take axis 0
    return (x.sum(axis=axis, keepdims=keepdims),
            (lambda g: np.broadcast_to(_expand(g, axis, x.ndim, keepdims), x.shape),))


@primitive
def mean(x, *, axis=None, keepdims=False):
    """Arithmetic mean over `axis`. Raises ValueError if there is nothing to average."""
    n = _count("mean", x, axis)
    return (x.sum(axis=axis, keepdims=keepdims) / n,
            (lambda g: np.broadcast_to(_expand(g / n, axis, x.ndim, keepdims), x.shape),))


@primitive
def var(x, *, axis=None, keepdims=False, correction=0):
    """Variance sum (x - mean)^2 / (n - correction) over `axis`.

    The default is NumPy's, the population variance; ``correction=1`` is PyTorch's default, the
    unbiased estimate. Raises ValueError unless n > correction.
    """
    n = _count("var", x, axis) - correction
    if n <= 0:
        raise ValueError(f"var: the number of entries must be > correction={correction}, "
                         f"got {n + correction}")
    centred = x - x.mean(axis=axis, keepdims=True)
    return ((centred * centred).sum(axis=axis, keepdims=keepdims) / n,
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
    """Largest entry over `axis`; entries that tie share the gradient equally."""
    _count("max", x, axis)
    y = x.max(axis=axis, keepdims=keepdims)
    return y, _extreme(x, y, axis, keepdims)


@primitive
def min(x, *, axis=None, keepdims=False):
    """Smallest entry over `axis`; entries that tie share the gradient equally."""
    _count("min", x, axis)
    y = x.min(axis=axis, keepdims=keepdims)
    return y, _extreme(x, y, axis, keepdims)


@primitive
def logsumexp(x, *, axis=None, keepdims=False):
    """ln sum e^x over `axis`, computed as m + ln sum e^(x - m) with m = max x; -inf if all are, inf if one is."""
    _count("logsumexp", x, axis)
    m = x.max(axis=axis, keepdims=True)
    m = np.where(np.isfinite(m), m, 0)
    e = np.exp(x - m)
    total = e.sum(axis=axis, keepdims=True)
    with np.errstate(divide="ignore"):
        y = np.log(total) + m
    return (y if keepdims else y.squeeze(axis),
            (lambda g: _expand(g, axis, x.ndim, keepdims) * (e / total),))


@primitive
def softmax(x, *, axis=-1):
    """p = e^x / sum e^x over `axis`, with x - max x for x so that nothing overflows."""
    _count("softmax", x, axis)
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    p = e / e.sum(axis=axis, keepdims=True)
    return p, (lambda g: p * (g - (p * g).sum(axis=axis, keepdims=True)),)


@primitive
def label_cross_entropy(logits, *, labels, reduction="none"):
    """-ln softmax(z)_y of each row z, one fused step: its gradient is softmax(z) - onehot(y).

    Parameters
    ----------
    logits : Tensor, shape (..., C)
    labels : ndarray of int, shape (...), in 0..C-1
    reduction : "mean" over all rows, "sum", or "none" for shape (...)
    """
    z = logits - logits.max(axis=-1, keepdims=True)    # so that nothing overflows
    e = np.exp(z)
    total = e.sum(axis=-1, keepdims=True)
    onehot = labels[..., None] == np.arange(z.shape[-1])
    y = np.log(total)[..., 0] - z[onehot].reshape(labels.shape)
    n = y.size if reduction == "mean" else 1
    return (y if reduction == "none" else y.sum() / n,
            (lambda g: (e / total - onehot) * (g[..., None] / n),))
