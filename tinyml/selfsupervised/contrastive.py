"""Contrastive losses: two views of one thing shall look alike, views of different things shall not.

Problem: without labels nobody says what an image shows. But two views of one image, turned and shifted by
chance, show the same, and two other images most likely do not.

Idea: to find the second view of i among all others is a classification whose label costs nothing. With
sim(u, v) = u.v / (||u|| ||v||) for the logits, and a temperature T, its cross-entropy is NT-Xent,

    l_i = -ln( e^(sim(z_i, z_p) / T) / sum_(k != i) e^(sim(z_i, z_k) / T) ),      p the other view of i

Who is in the sum? Implementations differ, and their numbers cannot be compared: here it is everything but i
itself, so the positive p is among its 2B - 1 terms. All embeddings alike make it ln(2B - 1), the chance line.
The loss draws views together (`alignment`) and all else apart (`uniformity`); a low T is for hard negatives.

Sources: Chen, Kornblith, Norouzi and Hinton 2020, A simple framework for contrastive learning (equation 1);
van den Oord, Li and Vinyals 2018 (InfoNCE, equation 4); He et al. 2020 (MoCo, equation 1); Wang and Isola
2020, Understanding contrastive representation learning through alignment and uniformity on the hypersphere;
MATH5836 week 10, section 10.3.2, equation 10.1.
"""
import math

import numpy as np

from tinyml import functional as F
from tinyml import ops
from tinyml.check import check_number
from tinyml.tensor import as_tensor, primitive

SHORT = 1e-12    # a vector below this length has no direction: it counts as zero


def nt_xent(z1, z2, *, temperature):
    """NT-Xent, the normalised temperature-scaled cross-entropy of B pairs, mean over all 2B anchors.

        L = 1/(2B) sum_i -ln( e^(s_ip / T) / sum_(k != i) e^(s_ik / T) ),    s_ik = z_i.z_k / (||z_i|| ||z_k||)

    (MATH5836 week 10, equation 10.1; Chen et al. 2020, equation 1.) z_1 ... z_2B are the rows of z1, then those
    of z2; p = i + B or i - B is the other view of i, its positive. The *negatives* of i are the 2B - 2 views of
    the other things, from both z1 and z2. The sum runs over them **and** p, never over i itself: 2B - 1 terms.
    (Elsewhere p is left out of the sum, or only the other batch is in it, as in `info_nce`.)

    The loss is ln(2B - 1) where all embeddings coincide, at least 0, and 0 where B = 1: no negatives, nothing
    to learn. A zero vector has s = 0 with all others, and no gradient; the others' gradients are orthogonal to
    their vectors, since lengths do not matter. Nothing overflows at any T, though e^(1 / T) would.

    Parameters
    ----------
    z1, z2 : Tensor, shape (B, D), B >= 1, D >= 1; row i of both are two views of one thing
    temperature : float in [1e-4, 1e4], T

    Returns
    -------
    Tensor, a scalar

    Raises
    ------
    TypeError : z1, z2 or T are not real numbers
    ValueError : shapes that differ, or are not (B, D); T out of range; embeddings that are not finite

    Examples
    --------
    >>> round(nt_xent([[1.0, 0.0], [1.0, 0.0]], [[1.0, 0.0], [1.0, 0.0]], temperature=0.5).item(), 4)
    1.0986
    """
    temperature = _check_temperature("nt_xent", temperature)
    z1, z2 = _pairs("nt_xent", z1=z1, z2=z2)
    return _pair_cross_entropy(_unit(ops.concatenate([z1, z2])), temperature=temperature)


@primitive
def _unit(z):
    """u_i = z_i / ||z_i|| for each row of z (n, D); a row with ||z_i|| < SHORT becomes 0, and so does its gradient.

    Its vjp projects g on what is orthogonal to u, and a row of length r turns 1/r as fast.
    """
    length = np.sqrt(np.einsum("nd,nd->n", z, z))[:, None]
    inverse = np.divide(1, length, out=np.zeros_like(length), where=length >= SHORT)
    u = z * inverse
    return u, (lambda g: (g - u * np.einsum("nd,nd->n", u, g)[:, None]) * inverse,)


@primitive
def _pair_cross_entropy(u, *, temperature):
    """NT-Xent of unit rows u (2B, D), see `nt_xent`, fused: one array of (2B, 2B), and none in the vjp.

    With P the softmax over k != i and Y the permutation that swaps the views, both of shape (2B, 2B), the
    gradient in s is (P - Y) / (2B T), and that in u is (P u + P^T u - 2 Y u) / (2B T).
    """
    n = len(u)
    partner = np.roll(np.arange(n), n // 2)                    # p of each row
    e = u @ u.T                                                # (2B, 2B), s for now
    positive = e[np.arange(n), partner][:, None]
    np.fill_diagonal(e, -np.inf)                               # k != i
    largest = e.max(axis=1, keepdims=True)
    e -= largest                                               # so that nothing overflows
    e *= 1 / temperature
    np.exp(e, out=e)
    total = e.sum(axis=1, keepdims=True)
    loss = ((largest - positive) / temperature + np.log(total)).mean()
    return loss, (lambda g: (e @ u / total + e.T @ (u / total) - 2 * u[partner]) * (g / (n * temperature)),)


def info_nce(query, positive, negatives=None, *, temperature):
    """InfoNCE: which key belongs to the query? Cross-entropy of one positive among all keys, mean over B.

        L = 1/B sum_i -ln( e^(s_i+ / T) / (e^(s_i+ / T) + sum_k e^(s_ik / T)) ),   s cosine similarities

    (He et al. 2020, equation 1; van den Oord et al. 2018, equation 4.) s_i+ is that of query_i and positive_i,
    s_ik that of query_i and the k-th negative: the K rows of `negatives`, the same for all queries, or without
    them the B - 1 other rows of `positive`. Queries are nobody's negatives: that is the difference to
    `nt_xent`. Without any negative (K = 0, or B = 1) the loss is 0; where all coincide, ln(number of keys).
    Nothing overflows at any T, though e^(1 / T) would.
    Gradients flow to all three: detach keys that shall have none.

    Parameters
    ----------
    query, positive : Tensor, shape (B, D), B >= 1, D >= 1; row i of both belong together
    negatives : Tensor, shape (K, D), or None for the other rows of positive
    temperature : float in [1e-4, 1e4], T

    Returns
    -------
    Tensor, a scalar

    Raises
    ------
    TypeError : an argument does not hold real numbers
    ValueError : shapes that do not fit; T out of range; vectors that are not finite

    Examples
    --------
    >>> round(info_nce([[1.0, 0.0]], [[1.0, 0.0]], [[0.0, 1.0], [0.0, 2.0]], temperature=1).item(), 4)
    0.5514
    """
    temperature = _check_temperature("info_nce", temperature)
    query, positive = map(_unit, _pairs("info_nce", query=query, positive=positive))
    if negatives is not None:
        negatives = _embeddings("info_nce", "negatives", negatives)
        if negatives.shape[1] != query.shape[1]:
            raise ValueError(f"info_nce: negatives must have shape (K, D={query.shape[1]}), got "
                             f"{negatives.shape}")
    if negatives is None:
        logits, labels = query @ positive.T, np.arange(len(query))                     # (B, B)
    else:
        same = ops.sum(query * positive, axis=1, keepdims=True)                        # (B, 1)
        logits = ops.concatenate([same, query @ _unit(negatives).T], axis=1)           # (B, 1 + K)
        labels = np.zeros(len(query), np.int64)
    return F.cross_entropy(logits / temperature, labels)


def alignment(z1, z2):
    """How far two views of one thing are apart: mean_i ||u_i - v_i||^2, of unit vectors u, v.

    (Wang and Isola 2020, equation 2, alpha = 2.) It is 2 - 2 mean cos: 0 where the views coincide, 2 on average
    for unrelated ones, at most 4.

    Parameters
    ----------
    z1, z2 : Tensor, shape (B, D), B >= 1, D >= 1; scaled to unit length here

    Returns
    -------
    Tensor, a scalar in [0, 4]

    Raises
    ------
    TypeError, ValueError : as in `nt_xent`

    Examples
    --------
    >>> alignment([[1.0, 0.0]], [[0.0, 3.0]]).item()
    2.0
    """
    z1, z2 = _pairs("alignment", z1=z1, z2=z2)
    apart = _unit(z1) - _unit(z2)
    return ops.mean(ops.sum(apart * apart, axis=1))


def uniformity(z):
    """How evenly vectors fill the sphere: ln mean_(i != j) e^(-2 ||u_i - u_j||^2), of unit vectors u.

    (Wang and Isola 2020, equation 3, t = 2.) It is 0 where all coincide, and the lower, the more evenly they
    are spread: -4 + ln I_0(4) = -1.575 on the whole circle, and near -4 + 8/D on the sphere for large D.

    Parameters
    ----------
    z : Tensor, shape (N, D), N >= 2, D >= 1; scaled to unit length here

    Returns
    -------
    Tensor, a scalar in [-8, 0]

    Raises
    ------
    TypeError, ValueError : as in `nt_xent`; z has fewer than two rows

    Examples
    --------
    >>> uniformity([[1.0, 0.0], [-5.0, 0.0]]).item()
    -8.0
    """
    z = _embeddings("uniformity", "z", z)
    n = len(z)
    if n < 2:
        raise ValueError(f"uniformity: z must have shape (N, D) with N >= 2, got {z.shape}")
    u = _unit(z)
    near = ops.where(np.eye(n, dtype=bool), -np.inf, 4 * (u @ u.T) - 4)    # -2 ||u_i - u_j||^2
    return ops.logsumexp(near) - math.log(n * (n - 1))


def _check_temperature(function, temperature):
    """A Python number in [1e-4, 1e4], or an error."""
    return check_number(function, "temperature", temperature, at_least=1e-4, at_most=1e4)


def _embeddings(function, name, z):
    """z as a Tensor of finite rows, whose squares are finite too, or an error."""
    z = as_tensor(z)
    if z.ndim != 2 or not z.shape[1]:
        raise ValueError(f"{function}: {name} must have shape (rows, D) with D >= 1, got {z.shape}")
    if not np.isfinite(np.vdot(z.data, z.data)):
        raise ValueError(f"{function}: {name} must be finite, and so its squares, got entries up to "
                         f"{np.abs(z.data).max()}")
    return z


def _pairs(function, **named):
    """Two Tensors of one shape (B, D), row i of both belonging together, or an error."""
    (name1, z1), (name2, z2) = ((name, _embeddings(function, name, z)) for name, z in named.items())
    if z1.shape != z2.shape or not len(z1):
        raise ValueError(f"{function}: {name1} and {name2} must have one shape (B, D) with B >= 1, got "
                         f"{z1.shape} and {z2.shape}")
    return z1, z2
