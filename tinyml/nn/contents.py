"""What a module holds: its modules, tensors, arrays and generators, in containers at any depth.

Lists, tuples and dicts give what is in them a name, such as ``heads.a.0``. A layer or tensor in another place has
none: it could be neither trained nor saved, so it is refused.
"""
import itertools
from collections import UserList, deque
from collections.abc import Iterator, Mapping, Set, ValuesView
from functools import partial
from types import FunctionType, ModuleType

import numpy as np

from tinyml.tensor import Tensor

PLAIN = (type(None), bool, int, float, str)    # most attributes: nothing is in them


class Owner:
    """The base of `Module`, by which one is known here."""


def held(value, path, owner, around=()):
    """Yield (name, x) for each module, tensor, array and generator in a value, through its containers."""
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
                    raise TypeError(f"{owner}: {path or name} must hold modules, tensors and arrays in "
                                    "lists, tuples and dicts, under str keys without a dot, "
                                    f"got {_told(value, key, x)}")


def _entries(value, path, owner):
    """(key, entry, whether the key is part of a name) for what is in a container; nothing if it is none."""
    if isinstance(value, dict):
        keys = [(0, key, False) for key in value if isinstance(key, (Owner, Tensor))]
        return keys + [(key, entry, isinstance(key, str) and key != "" and "." not in key)
                       for key, entry in value.items()]
    if isinstance(value, (list, tuple)):
        return [(i, entry, True) for i, entry in enumerate(value)]
    if isinstance(value, Iterator) and type(value).__module__ in ("builtins", "itertools"):
        if isinstance(value, itertools.count):
            return []
        raise TypeError(f"{owner}: {path} must be a list, got a {type(value).__name__}, which can be "
                        "read only once; write list(...)")
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


def _told(value, key, x):
    """What stands where no name leads to it, and what to write."""
    kind, inner = type(value).__name__, type(x).__name__
    if isinstance(value, dict):
        return f"a {inner} as a key" if any(x is k for k in value) else f"a {inner} under the key {key!r}"
    known = type(value).__module__ in ("builtins", "collections", "functools", "numpy", "types")
    return f"a {inner} in a {kind}; write " + ("a list" if known else f"class {kind}(Module)")


def _parts(values):
    """The modules, parameters and generators among the values, and the modules in containers of them.

    Of an object that is no Module: an optimizer, which has parameters in a list, may be an attribute.
    """
    for value in values:
        if isinstance(value, (Owner, np.random.Generator)) or isinstance(value, Tensor) and value.requires_grad:
            yield value
        elif isinstance(value, (list, tuple, dict)):
            inside = value.values() if isinstance(value, dict) else value
            yield from (entry for entry in inside if isinstance(entry, Owner))


def _is_numeric(value):
    return isinstance(value, np.ndarray) and not value.dtype.hasobject
