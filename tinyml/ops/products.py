"""Primitives that multiply and sum: matrix products, the affine map, Einstein's notation."""
import math

import numpy as np

from tinyml.tensor import primitive, wide


@primitive
def matmul(x, y):
    """Matrix product, NumPy's ``x @ y``: (..., n, k) times (..., k, m) is (..., n, m).

    A vector on the left is a row, on the right a column, and its axis is dropped from the result.
    """
    if x.ndim == 0 or y.ndim == 0 or x.shape[-1] != y.shape[-2 if y.ndim > 1 else 0]:
        raise ValueError("matmul: x must have shape (..., n, k) and y (..., k, m), "
                         f"got {x.shape} and {y.shape}")
    row = (lambda a: a[None, :]) if x.ndim == 1 else (lambda a: a)
    column = (lambda a: a[:, None]) if y.ndim == 1 else (lambda a: a)

    def matrix(g):    # the gradient with the axes that vectors lost
        g = np.expand_dims(g, -1) if y.ndim == 1 else g
        return np.expand_dims(g, -2) if x.ndim == 1 else g

    def d_x(g):
        d = matrix(g) @ column(y).swapaxes(-1, -2)
        return d[..., 0, :] if x.ndim == 1 else d

    def d_y(g):
        d = row(x).swapaxes(-1, -2) @ matrix(g)
        return d[..., 0] if y.ndim == 1 else d
    return x @ y, (d_x, d_y)


@primitive
def linear(x, weight, bias=None):
    """Affine map y = x W^T + b over the last axis.

    Parameters
    ----------
    x : Tensor, shape (..., in_features)
    weight : Tensor, shape (out_features, in_features)
    bias : Tensor, shape (out_features,), or None

    Returns
    -------
    Tensor, shape (..., out_features)
    """
    if weight.ndim != 2 or x.ndim == 0 or x.shape[-1] != weight.shape[1]:
        raise ValueError("linear: x must have shape (..., in_features) and weight (out_features, "
                         f"in_features), got {x.shape} and {weight.shape}")
    y = x @ weight.T
    if bias is not None:
        if bias.shape != weight.shape[:1]:
            raise ValueError(f"linear: bias must have shape (out_features,) = {weight.shape[:1]}, "
                             f"got {bias.shape}")
        y += bias
    rows = _rows(x)
    return y, (lambda g: g @ weight,
               lambda g: _rows(g).T @ rows,
               lambda g: _rows(g).sum(axis=0, dtype=wide(g.dtype)))


def _rows(a):
    return a if a.ndim == 2 else a.reshape(math.prod(a.shape[:-1]), a.shape[-1])


@primitive
def einsum(*operands, subscripts):
    """Einstein sum: ``einsum(x, y, subscripts="ij,jk->ik")`` is x @ y.

    Explicit form only: every operand's letters, "->", the letters that stay; the other letters are
    summed. The gradient of an operand is the einsum of g with the other operands, so a letter may
    not stand twice in one operand nor in one operand alone (sum that axis first).

    Raises
    ------
    ValueError : the subscripts have no "->", an ellipsis, or a letter of those kinds
    """
    left, arrow, out = subscripts.replace(" ", "").partition("->")
    terms = left.split(",")
    everywhere = [*terms, out]
    for k, term in enumerate(terms):
        elsewhere = "".join(everywhere[:k] + everywhere[k + 1:])
        if not arrow or "." in subscripts or len(set(term)) < len(term) or set(term) - set(elsewhere):
            raise ValueError('einsum: subscripts must be like "ij,jk->ik", each letter of an operand '
                             f"once there and once elsewhere, got {subscripts!r}")

    lengths = {}
    for term, operand in zip(terms, operands):
        for letter, n in zip(term, np.shape(operand)):
            if lengths.setdefault(letter, n) != n:    # NumPy would stretch a length of 1
                raise ValueError(f"einsum: operands must agree in the length of {letter!r}, got "
                                 f"{lengths[letter]} and {n} for {subscripts!r}")

    def vjp(k):
        others = [t for i, t in enumerate(terms) if i != k]
        rule = ",".join([out, *others]) + "->" + terms[k]
        rest = [a for i, a in enumerate(operands) if i != k]
        return lambda g: np.einsum(rule, g, *rest, optimize=True)
    return (np.einsum(subscripts, *operands, optimize=True),
            tuple(vjp(k) for k in range(len(operands))))
