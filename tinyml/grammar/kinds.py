"""Kinds: what the first word of a line asks of a value, and what it makes of it.

A kind is a function that turns a value into what the body gets: a list into an array, an integer
of NumPy's into Python's. It raises `Refused` if it cannot.
"""
import functools
import numbers
import operator
import os

import numpy as np

from tinyml.tensor import Tensor


class Refused(Exception):
    """A value that the contract does not allow.

    It holds the type of the error, and what to show instead of the value and of the line's words.
    """

    def __init__(self, kind, got=None, must=None):
        self.kind, self.got, self.must = kind, got, must


def _instance(*classes, advice=""):
    """Objects of these classes; `advice` ends the error message."""
    def convert(value):
        if not isinstance(value, classes):
            raise Refused(TypeError, advice and shown(value) + advice)
        return value
    return convert


def class_named(name):
    """Objects of a class of this name, such as Module, or of a subclass, without importing it."""
    def convert(value):
        if not any(c.__name__ == name for c in type(value).__mro__):
            raise Refused(TypeError)
        return value
    return convert


def choice(words):
    """One of these words."""
    def convert(value):
        if not (isinstance(value, str) and value in words):
            raise Refused(ValueError)
        return value
    return convert


def _float(value):
    """A number as Python's float."""
    if type(value) is float:
        return value
    is_number = isinstance(value, numbers.Real) or getattr(value, "shape", None) == ()
    if not is_number or isinstance(value, (bool, np.bool_, Tensor)):
        raise Refused(TypeError)
    return float(value)


def _int(value):
    """An integer as Python's int."""
    try:
        if not isinstance(value, (bool, np.bool_)):
            return operator.index(value)
    except TypeError:
        pass
    raise Refused(TypeError)


def _array(value, kinds="biuf", dtype=None):
    """An array of some kinds of numbers, converted to `dtype` if that is given."""
    if value is None:
        raise Refused(TypeError)
    try:
        array = np.asarray(value.data if isinstance(value, Tensor) else value)
    except ValueError:
        raise Refused(ValueError, "rows of different lengths") from None
    if array.dtype.kind not in kinds and array.size:
        raise Refused(TypeError, f"dtype {array.dtype}")
    return array if dtype is None else array.astype(dtype, copy=False)


def _float_array(value):
    """An array of float32, or of float64 for all other numbers."""
    array = _array(value)
    return array if array.dtype == np.float32 else array.astype(np.float64, copy=False)


def _of_dtype(dtype):
    """An array of exactly this dtype."""
    def convert(value):
        array = _array(value)
        if array.dtype != dtype:
            raise Refused(TypeError, f"dtype {array.dtype}")
        return array
    return convert


def _tensor(value):
    return value if isinstance(value, Tensor) else Tensor(_array(value))


def _callable(value):
    if not callable(value):
        raise Refused(TypeError)
    return value


KINDS = {
    "float": _float,
    "int": _int,
    "bool": _instance(bool, np.bool_),
    "str": _instance(str),
    "bytes": _instance(bytes, bytearray, memoryview),
    "path-like": _instance(str, os.PathLike),
    "array_like": _float_array,
    "array_like of float64": functools.partial(_array, dtype=np.float64),
    "array_like of int": functools.partial(_array, kinds="iu", dtype=np.int64),
    "array_like of bool": functools.partial(_array, kinds="b", dtype=bool),
    "ndarray": _array,
    "ndarray of int": functools.partial(_array, kinds="iu"),
    "ndarray of bool": functools.partial(_array, kinds="b"),
    **{f"ndarray of {name}": _of_dtype(name) for name in ("uint8", "int32", "float32", "float64")},
    "Tensor": _tensor,
    "function": _callable,
    "dict": _instance(dict),
    "list": _instance(list, tuple),
    "sequence": _instance(list, tuple, range, np.ndarray),
    "numpy.random.Generator": _instance(np.random.Generator,
                                        advice="; write rng=np.random.default_rng(0)"),
}


def shown(value):
    """A value in an error message."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:60]} ..., of type {type(value).__name__}"
