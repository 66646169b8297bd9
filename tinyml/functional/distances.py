"""Lengths and angles of vectors."""
import numpy as np

from tinyml import ops
from tinyml.check import check_axis, check_number
from tinyml.phrasebook import numpy_words
from tinyml.tensor import as_tensor


@numpy_words
def normalize(x, p=2.0, axis=1, eps=1e-12):
    """x / max(||x||_p, eps) along `axis`; a zero vector stays zero, with a finite gradient.

    Parameters
    ----------
    x : Tensor
    p : float > 0, the norm's order
    axis : int
    eps : float > 0

    Raises
    ------
    ValueError : p <= 0 or eps <= 0
    """
    check_axis("normalize", axis, x)
    p = check_number("normalize", "p", p, above=0)
    eps = check_number("normalize", "eps", eps, above=0)
    x = as_tensor(x)
    return x / _norm(x, p, axis, eps)


def _norm(x, p, axis, eps):
    """max(||x||_p, eps) with the axis kept. The clip comes before the root, whose slope at 0 is infinite."""
    total = ops.sum(x * x if p == 2 else ops.abs(x) ** p, axis=axis, keepdims=True)
    floor = max(eps ** p, float(np.finfo(total.dtype).tiny))
    return ops.clip(total, low=floor) ** (1 / p) if p != 2 else ops.sqrt(ops.clip(total, low=floor))


@numpy_words
def cosine_similarity(x1, x2, axis=1, eps=1e-8):
    """x1 . x2 / (max(||x1||, eps) max(||x2||, eps)) along `axis`: the sim(u, v) of equation 10.1.

    (MATH5836 week 10, section 10.3.2.) A zero vector has similarity 0 with everything.

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
    check_axis("cosine_similarity", axis, x1, x2)
    eps = check_number("cosine_similarity", "eps", eps, above=0)
    unit1, unit2 = (normalize(x, axis=axis, eps=eps) for x in (x1, x2))
    return ops.sum(unit1 * unit2, axis=axis)
