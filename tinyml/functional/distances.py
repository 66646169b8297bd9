"""Lengths and angles of vectors."""
import numpy as np

from tinyml import ops
from tinyml.check import check_axis, check_number
from tinyml.phrasebook import numpy_words
from tinyml.tensor import as_tensor


@numpy_words
def normalize(x, p=2.0, axis=1, eps=1e-12):
    """x / max(||x||_p, eps) along `axis`; a zero vector stays zero, with a finite gradient.

    Unlike PyTorch's, no power overflows, and one infinite entry makes all of its vector NaN.

    Parameters
    ----------
    x : Tensor
    p : float > 0, the norm's order
    axis : int
    eps : float > 0, at least the smallest normal number of x's dtype

    Raises
    ------
    ValueError : p <= 0 or eps <= 0
    """
    x = as_tensor(x, "normalize")
    check_axis("normalize", axis, x)
    p = check_number("normalize", "p", p, above=0)
    eps = check_number("normalize", "eps", eps, above=0)
    x = _scaled(x, axis, eps)
    return x / _length(x, axis, p, keepdims=True)


def _scaled(x, axis, eps):
    """x divided by its largest entry, so that no power overflows; by eps if that is larger."""
    eps = max(eps, float(np.finfo(x.dtype).tiny))    # 1 / eps must be a number
    return x / np.abs(x.data).max(axis=axis, keepdims=True, initial=eps)


def _length(u, axis, p=2.0, keepdims=False):
    """max(||u||_p, 1) of a `_scaled` vector u: ||u||_p is below 1 only if the scale was eps."""
    powers = u * u if p == 2 else _powers(u, p)
    total = ops.sum(powers, axis=axis, keepdims=keepdims)
    return ops.clip(total, low=1.0) ** (1 / p)    # clip first: the root's slope at 0 is infinite


def _powers(u, p):
    """|u|^p with slope 0 at 0, where it would be infinite for p < 1."""
    zero = u.data == 0
    return ops.where(zero, 0.0, ops.where(zero, 1.0, ops.abs(u)) ** p)


@numpy_words
def cosine_similarity(x1, x2, axis=1, eps=1e-8):
    """The cosine of the angle between vectors: x1 . x2 / (||x1|| ||x2||) along `axis`.

    (MATH5836 week 10, section 10.3.2: the sim of equation 10.1.) A length below eps counts as eps,
    so a zero vector has similarity 0 with everything. Unlike in PyTorch, no square overflows.

    Parameters
    ----------
    x1, x2 : Tensor, shapes that broadcast
    axis : int
    eps : float > 0

    Returns
    -------
    Tensor in [-1, 1], the broadcast shape without `axis`

    Raises
    ------
    ValueError : the shapes do not fit, or eps <= 0
    """
    x1, x2 = as_tensor(x1, "cosine_similarity"), as_tensor(x2, "cosine_similarity")
    check_axis("cosine_similarity", axis, x1, x2)
    eps = check_number("cosine_similarity", "eps", eps, above=0)
    x1, x2 = _broadcast("cosine_similarity", x1, x2)
    # scaled so that no square overflows; the cosine stays the same
    u, v = _scaled(x1, axis, eps), _scaled(x2, axis, eps)
    u_dot_v = ops.sum(u * v, axis=axis)
    return u_dot_v / (_length(u, axis) * _length(v, axis))    # notes 10.3.2, cosine similarity


def _broadcast(function, x1, x2):
    """x1 and x2, repeated to one shape."""
    try:
        shape = np.broadcast_shapes(x1.shape, x2.shape)
    except ValueError:
        raise ValueError(f"{function}: x1 and x2 must have shapes that broadcast, "
                         f"got {x1.shape} and {x2.shape}") from None
    return ops.broadcast_to(x1, shape=shape), ops.broadcast_to(x2, shape=shape)
