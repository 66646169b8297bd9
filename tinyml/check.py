"""The checks of arguments that public functions share, and the one form of an error message.

    <function>: <argument> must be <requirement>, got <value>; <what to write instead>
"""
import math
import numbers
import sys
import warnings

import numpy as np


def warn(message):
    """Give a UserWarning that points to the first line outside of the package on the way here."""
    frame, level = sys._getframe(1), 2
    while frame.f_back and frame.f_globals["__name__"].startswith("tinyml."):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, stacklevel=level)


def check_rng(function, rng):
    """Raise TypeError unless `rng` is a ``numpy.random.Generator``."""
    if not isinstance(rng, np.random.Generator):
        raise TypeError(f"{function}: rng must be a numpy.random.Generator, got {rng!r}; "
                        "write rng=np.random.default_rng(0)")


def check_regular(function, name, value):
    """Return `value` as an array; ValueError if it is a list of lists of several lengths."""
    try:
        return np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{function}: {name} must be a regular array, got {error}") from None


def check_shape(function, name, value):
    """Return the shape of a tensor, an array or a regular list of lists."""
    return value.shape if hasattr(value, "shape") else check_regular(function, name, value).shape


def check_real(function, name, value, *, ndim=None, at_least=-np.inf):
    """Return `value` as a floating-point array, or say what is wrong with it.

    Integers and booleans become float64; float32 stays float32.

    Parameters
    ----------
    function, name : str, names of the function and the argument in error messages
    value : array_like
    ndim : int or None, the number of axes that `value` must have
    at_least : float, the smallest value allowed

    Raises
    ------
    TypeError : `value` does not hold real numbers
    ValueError : the number of axes is not `ndim`, or a value is NaN, infinite or below `at_least`
    """
    array = check_regular(function, name, value)
    if array.dtype.kind in "biu":
        array = array.astype(np.float64)
    if array.dtype.kind != "f":
        raise TypeError(f"{function}: {name} must hold real numbers, got dtype {array.dtype}")
    if ndim is not None and array.ndim != ndim:
        raise ValueError(f"{function}: {name} must have {ndim} axes, got shape {array.shape}")
    is_finite = np.isfinite(array)
    if not is_finite.all():
        bad = np.count_nonzero(~is_finite)
        raise ValueError(f"{function}: {name} must be finite, got {bad} NaN or infinite values")
    if array.min(initial=np.inf) < at_least:
        raise ValueError(f"{function}: {name} must be >= {at_least:g}, got {array.min():g}")
    return array


def check_number(function, name, value, *, at_least=-np.inf, above=-np.inf, at_most=np.inf,
                 below=np.inf):
    """Return `value` as a Python float, or raise an error.

    A float32 array times np.float64(2) is float64; times the Python float 2.0 it stays float32.

    Raises
    ------
    TypeError : `value` is not a real number; True and False do not count as numbers
    ValueError : not at_least <= value <= at_most, not above < value < below, or not finite
    """
    if type(value) is not float and not _is(value, numbers.Real):
        raise TypeError(f"{function}: {name} must be a number, got {value!r}")
    if not (at_least <= value <= at_most and above < value < below):
        bounds = {">=": at_least, ">": above, "<=": at_most, "<": below}
        wanted = [f"{sign} {bound:g}" for sign, bound in bounds.items() if math.isfinite(bound)]
        if not math.isfinite(value):
            wanted.append("finite")
        raise ValueError(f"{function}: {name} must be {' and '.join(wanted)}, got {value!r}")
    return float(value)


def _is(value, kind):
    """Whether `value` is of a kind of numbers; True and False do not count as numbers."""
    return isinstance(value, kind) and not isinstance(value, bool)


def check_count(function, name, value, *, at_least=0):
    """Return `value` as an int; TypeError if it is not one, ValueError if it is too small."""
    if not _is(value, (int, np.integer)):
        raise TypeError(f"{function}: {name} must be an int, got {value!r}")
    if value < at_least:
        raise ValueError(f"{function}: {name} must be >= {at_least}, got {value}")
    return int(value)


def check_bool(function, name, value):
    """Raise TypeError unless `value` is True or False: `if` would accept 1, "no" or None too."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{function}: {name} must be True or False, got {value!r}")


def check_axis(function, axis, *arrays):
    """Raise unless `axis` is an int (TypeError) and an axis of some of the arrays (ValueError)."""
    if not _is(axis, (int, np.integer)):
        raise TypeError(f"{function}: axis must be an int, got {axis!r}")
    ndims = [np.ndim(array) for array in arrays]
    ndim = max(ndims)
    if not -ndim <= axis < ndim:
        shapes = " and ".join(f"shape {np.shape(array)}" for array in arrays)
        raise ValueError(f"{function}: axis must be in {-ndim}..{ndim - 1}, got {axis} "
                         f"for {shapes}")


def check_int(function, name, value, least):
    """Raise ValueError unless `value` is an integer >= `least`."""
    if not _is(value, (int, np.integer)) or value < least:
        raise ValueError(f"{function}: {name} must be an int >= {least}, got {value!r}")


def check_sizes(function, **sizes):
    """Raise ValueError unless every one of the named `sizes` is an integer >= 1."""
    for name, size in sizes.items():
        check_int(function, name, size, 1)


def check_pair(function, name, value, least):
    """Return `value`, an int >= `least` or two, as (height, width), or raise ValueError."""
    pair = (value, value)
    if isinstance(value, (tuple, list)):
        pair = tuple(value)
    fits = all(_is(v, (int, np.integer)) and v >= least for v in pair)
    if len(pair) != 2 or not fits:
        raise ValueError(f"{function}: {name} must be an int >= {least} or two of them, "
                         f"got {value!r}")
    return pair


def check_padding(function, padding, kernel_size, stride, dilation):
    """Return the zeros (before, after) on each axis of a convolution, or raise ValueError.

    Parameters
    ----------
    function : str, name of the function in error messages
    padding : int >= 0, or one for each axis, or "valid" or "same" (`tinyml.ops.conv2d`)
    kernel_size, stride, dilation : tuples, an entry for each axis
    """
    if not isinstance(padding, str):
        if len(kernel_size) == 2:
            return tuple((p, p) for p in check_pair(function, "padding", padding, 0))
        check_int(function, "padding", padding, 0)
        return ((padding, padding),)
    if padding not in ("valid", "same"):
        raise ValueError(f'{function}: padding must be an int >= 0, "valid" or "same", '
                         f"got {padding!r}")
    if padding == "valid":
        return ((0, 0),) * len(kernel_size)
    if max(stride) > 1:
        raise ValueError(f'{function}: stride must be 1 with padding="same", got {stride}')
    total = [d * (k - 1) for k, d in zip(kernel_size, dilation)]
    return tuple((n // 2, n - n // 2) for n in total)


def check_integers(function, name, values):
    """Return `values` as an int64 array, or raise TypeError if they are not integers."""
    values = check_regular(function, name, values)
    if values.size and values.dtype.kind not in "iu":
        raise TypeError(f"{function}: {name} must be integers, got dtype {values.dtype}")
    return values.astype(np.int64, copy=False)


def check_labels(function, name, labels, n_classes):
    """Return `labels` as an int64 array with entries in 0..n_classes-1, or say what is wrong.

    Raises
    ------
    TypeError : the labels are not integers
    ValueError : a label is negative or n_classes or more
    """
    labels = check_integers(function, name, labels)
    unsigned = labels.view(np.uint64)    # here -1 is large: one comparison finds both ends
    if labels.size and unsigned.max() >= min(n_classes, 2 ** 63):
        smallest, largest = labels.min(), labels.max()
        worst = smallest if smallest < 0 else largest
        raise ValueError(f"{function}: {name} must be in 0..{n_classes - 1}, got {worst}")
    return labels
