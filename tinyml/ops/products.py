"""Primitives that multiply and sum: matrix products, the affine map, Einstein's notation."""
import math

import numpy as np

from tinyml.sums import add_up
from tinyml.tensor import primitive


@primitive
def matmul(x, y):
    """Matrix product x y, NumPy's ``x @ y``: (..., n, k) times (..., k, m) is (..., n, m).

    The gradients are d_x = g y' and d_y = x' g. A vector on the left is a matrix of one row, on
    the right a matrix of one column, and its axis is dropped from the result.
    """
    inner = 0 if y.ndim == 0 else y.shape[0] if y.ndim == 1 else y.shape[-2]
    if x.ndim == 0 or y.ndim == 0 or x.shape[-1] != inner:
        raise ValueError("matmul: x must have shape (..., n, k) and y (..., k, m), "
                         f"got {x.shape} and {y.shape}")
    x_is_row, y_is_column = x.ndim == 1, y.ndim == 1

    def matrix(g):    # the gradient with the axes that vectors lost
        g = np.expand_dims(g, -1) if y_is_column else g
        return np.expand_dims(g, -2) if x_is_row else g

    def d_x(g):
        y_matrix = y[:, None] if y_is_column else y
        d = matrix(g) @ y_matrix.swapaxes(-1, -2)
        return d[..., 0, :] if x_is_row else d

    def d_y(g):
        x_matrix = x[None, :] if x_is_row else x
        d = x_matrix.swapaxes(-1, -2) @ matrix(g)
        return d[..., 0] if y_is_column else d
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
    rows = _rows(x)    # one product of two matrices: NumPy would take one for each x[i]
    y = rows.dot(weight.T)    # as rows @ weight.T, but half a microsecond faster
    if bias is not None:
        if bias.shape != weight.shape[:1]:
            raise ValueError(f"linear: bias must have shape (out_features,) = {weight.shape[:1]}, "
                             f"got {bias.shape}")
        y += bias
    if x.ndim != 2:
        y = y.reshape(*x.shape[:-1], len(weight))

    def d_x(g):
        d = _rows(g).dot(weight)
        return d if x.ndim == 2 else d.reshape(x.shape)

    def d_weight(g):
        return _rows(g).T.dot(rows)

    def d_bias(g):
        return add_up(_rows(g), axis=0)
    return y, (d_x, d_weight, d_bias)


def _rows(a):
    """(..., n) as a matrix with rows of length n."""
    return a if a.ndim == 2 else a.reshape(math.prod(a.shape[:-1]), a.shape[-1])


@primitive
def einsum(*operands, subscripts):
    """Einstein sum: ``einsum(x, y, subscripts="ij,jk->ik")`` is x @ y.

    Explicit form only: every operand's letters, "->", the letters that stay; the other letters are
    summed. The gradient of an operand is the einsum of g with the other operands. So each letter
    stands at most once in an operand, and also in another operand or in the output (to sum an axis
    of one operand, sum it first).

    Raises
    ------
    ValueError : the subscripts have no "->", an ellipsis, or another letter than these
    """
    if not isinstance(subscripts, str):
        raise TypeError(f"einsum: subscripts must be a string, got {subscripts!r}")
    left, arrow, out = subscripts.replace(" ", "").partition("->")
    terms = left.split(",")
    everywhere = [*terms, out]
    for k, term in enumerate(terms):
        elsewhere = "".join(everywhere[:k] + everywhere[k + 1:])
        twice, alone = len(set(term)) < len(term), set(term) - set(elsewhere)
        if not arrow or "." in subscripts or twice or alone:
            raise ValueError('einsum: subscripts must be like "ij,jk->ik", each letter at most '
                             "once in an operand, and also in another operand or in the output, "
                             f"got {subscripts!r}")

    dtype = np.result_type(*operands)    # a number must not widen it
    operands = [x if type(x) is np.ndarray else np.asarray(x, dtype) for x in operands]
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
