"""What a module holds: its modules, tensors, arrays and generators, in containers at any depth.

Lists, tuples and dicts give a name to what is in them, such as ``heads.a.0``. A layer or tensor in
any other container has no name: it could be neither trained nor saved, so it is refused.
"""
import itertools
from collections import UserList, deque
from collections.abc import Iterator, Mapping, Set, ValuesView
from functools import partial
from types import FunctionType, ModuleType

import numpy as np

from tinyml.tensor import Tensor

PLAIN = (type(None), bool, int, float, str)    # types of most attributes: nothing is in them
BUILTIN = ("builtins", "collections", "functools", "itertools", "numpy", "types")


class Owner:
    """The base class of `Module`: this file cannot import `Module`, which imports it."""


def held(value, path, owner, around=()):
    """Yield (name, x) for each module, tensor, array and generator in a value and its containers.

    `path` is the name of the value, `owner` the class in error messages, and `around` are the
    containers that the value is in.
    """
    if isinstance(value, (Owner, Tensor, np.random.Generator)) or _is_numeric(value):
        yield path, value
    else:
        if any(value is outer for outer in around):
            raise ValueError(f"{owner}: a container must not contain itself, got {path}")
        for key, entry, named in _entries(value, path, owner):
            if type(entry) in PLAIN:
                continue
            inner = f"{path}.{key}" if path else str(key)
            for name, x in held(entry, inner, owner, (*around, value)):
                if named or isinstance(x, np.random.Generator):
                    yield name, x
                elif isinstance(x, (Owner, Tensor)) or isinstance(value, dict):
                    raise TypeError(
                        f"{owner}: {path or name} must hold modules, tensors and arrays in lists, "
                        "tuples and dicts, under str keys without a dot, "
                        f"got {_told(value, key, x)}")


def _entries(value, path, owner):
    """(key, entry, whether the key can be part of a name) of everything in a value."""
    if isinstance(value, dict):
        keys = [(0, key, False) for key in value if isinstance(key, (Owner, Tensor))]
        return keys + [(key, entry, _is_name(key)) for key, entry in value.items()]
    if isinstance(value, (list, tuple)):
        return [(i, entry, True) for i, entry in enumerate(value)]
    is_iterator = isinstance(value, Iterator) and type(value).__module__ in BUILTIN
    if is_iterator and not isinstance(value, itertools.count):    # which cannot hold layers
        raise TypeError(f"{owner}: {path} must be a list, got a {type(value).__name__}, which can "
                        "be read only once; write list(...)")
    if isinstance(value, Mapping):
        inside = value.values()
    elif isinstance(value, (Set, ValuesView, deque, UserList)):
        inside = value
    elif isinstance(value, np.ndarray):
        inside = value.ravel()
    elif isinstance(value, partial):
        inside = (*value.args, *value.keywords.values())
    elif hasattr(value, "__dict__") and not isinstance(value, (type, FunctionType, ModuleType)):
        inside = _parts(vars(value).values())
    else:
        inside = ()
    return [(i, entry, False) for i, entry in enumerate(inside)]


def _is_name(key):
    return isinstance(key, str) and key != "" and "." not in key


def _told(value, key, x):
    """What has no name, and what to write instead, for an error message."""
    kind, inner = type(value).__name__, type(x).__name__
    if isinstance(value, dict) and any(x is key for key in value):
        return f"a {inner} as a key"
    if isinstance(value, dict):
        return f"a {inner} under the key {key!r}"
    is_known = type(value).__module__ in BUILTIN
    write = "a list" if is_known else f"class {kind}(Module)"
    return f"a {inner} in a {kind}; write {write}"


def _parts(values):
    """The modules, parameters and generators of a plain object, and the modules in its lists.

    Parameters in lists do not count, so that an optimizer may be an attribute.
    """
    for value in values:
        is_trained = isinstance(value, Tensor) and value.requires_grad
        if is_trained or isinstance(value, (Owner, np.random.Generator)):
            yield value
        elif isinstance(value, (list, tuple, dict)):
            entries = value.values() if isinstance(value, dict) else value
            for entry in entries:
                if isinstance(entry, Owner):
                    yield entry


def _is_numeric(value):
    return isinstance(value, np.ndarray) and not value.dtype.hasobject
