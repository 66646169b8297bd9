"""Primitives that move entries without changing them: each vjp moves the gradient back."""
import numpy as np

from tinyml.sums import wide
from tinyml.tensor import primitive


@primitive
def reshape(x, *, shape):
    """The entries of x in another shape, as ``np.reshape``; one length may be -1."""
    return x.reshape(shape), (lambda g: g.reshape(x.shape),)


@primitive
def transpose(x, *, axes=None):
    """The axes of x in the order `axes`, reversed if None."""
    y = x.transpose(axes)
    inverse = None if axes is None else np.argsort(np.atleast_1d(axes) % x.ndim)
    return y, (lambda g: g.transpose(inverse),)


@primitive
def swapaxes(x, *, axis1, axis2):
    """x with two axes exchanged."""
    return x.swapaxes(axis1, axis2), (lambda g: g.swapaxes(axis1, axis2),)


@primitive
def broadcast_to(x, *, shape):
    """x repeated to `shape` by NumPy's rules; the engine sums the gradient back."""
    return np.broadcast_to(x, shape), (lambda g: g,)


@primitive
def getitem(x, *, index):
    """x[index] for integers, slices, None, ellipsis, Boolean masks and integer arrays.

    An entry that an integer array picks twice receives the sum of both gradients.
    """
    def d_x(g):
        d = np.zeros(x.shape, wide(g.dtype))
        if _is_basic(index):
            d[index] = g
        else:    # on flat arrays np.add.at is fast
            places = np.arange(x.size).reshape(x.shape)[index]    # where each entry came from
            np.add.at(d.reshape(-1), places.ravel(), g.ravel().astype(d.dtype, copy=False))
        return d
    return x[index], (d_x,)


def _is_basic(index):
    parts = index if isinstance(index, tuple) else (index,)
    return all(part is None or part is ... or isinstance(part, (int, np.integer, slice))
               for part in parts)


@primitive
def _concatenate(*xs, axis):
    y = np.concatenate(xs, axis=axis)
    ends = np.cumsum([x.shape[axis] for x in xs])

    def vjp(start, end):
        def d_x(g):
            index = [slice(None)] * g.ndim
            index[axis] = slice(start, end)
            return g[tuple(index)]
        return d_x
    return y, tuple(map(vjp, [0, *ends[:-1]], ends))


def concatenate(tensors, axis=0):
    """Join tensors along an axis that they have.

    Parameters
    ----------
    tensors : sequence of Tensor, equal in shape except along `axis`; PyTorch also accepts, and
        skips, tensors of shape (0,)
    axis : int

    Raises
    ------
    ValueError : no tensors, or their shapes do not fit
    """
    return _concatenate(*_joined("concatenate", tensors, axis), axis=axis)


@primitive
def _stack(*xs, axis):
    return (np.stack(xs, axis=axis, dtype=np.result_type(*xs)),    # a number must not widen it
            tuple((lambda g, k=k: np.take(g, k, axis=axis)) for k in range(len(xs))))


def stack(tensors, axis=0):
    """Join tensors of one shape along a new axis.

    Parameters
    ----------
    tensors : sequence of Tensor, all of one shape
    axis : int, where the new axis stands in the result

    Raises
    ------
    ValueError : no tensors, or their shapes differ
    """
    return _stack(*_joined("stack", tensors, axis), axis=axis)


def _joined(name, tensors, axis):
    """The tensors as a list, or TypeError: no sequence, or None in it; the axis is no int."""
    if not isinstance(axis, (int, np.integer)) or isinstance(axis, bool):
        raise TypeError(f"{name}: axis must be an int, got {axis!r}")
    if not np.iterable(tensors):
        raise TypeError(f"{name}: tensors must be a list of tensors, got {tensors!r}; write "
                        f"{name}([x, y])")
    tensors = list(tensors)
    for i, x in enumerate(tensors):
        if x is None:
            raise TypeError(f"{name}: tensors must hold numbers, got None at place {i}; did a "
                            "function not return its result?")
    return tensors


@primitive
def pad(x, *, pad_width, value=0.0):
    """x framed by a constant.

    Parameters
    ----------
    x : Tensor
    pad_width : int, or one (before, after) per axis, as in ``np.pad``
    value : float
    """
    if not isinstance(value, (int, float)):
        raise TypeError(f"pad: value must be a number, got {value!r}")
    y = np.pad(x, pad_width, constant_values=value)
    widths = np.broadcast_to(pad_width, (x.ndim, 2))
    inside = tuple(slice(before, before + n) for (before, _), n in zip(widths, x.shape))
    return y, (lambda g: g[inside],)
