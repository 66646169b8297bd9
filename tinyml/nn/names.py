"""Classes and functions by name: which ones the file of a model may name.

A class is known by its module and its name together, so a ``Linear`` of your own is not the
library's. A name that could mean two classes is an error.
"""
import importlib
from collections.abc import Mapping
from types import FunctionType

import numpy as np

from tinyml import functional, ops
from tinyml.nn.module import Module
from tinyml.tensor import Tensor

PLACES = {"tinyml.ops": ops, "tinyml.functional": functional, "tinyml.Tensor": Tensor, "numpy": np}
TYPES = {"bool": bool, "int": int, "float": float}
TYPES |= {f"numpy.{name}": kind for name, kind in vars(np).items()
          if isinstance(kind, type) and issubclass(kind, np.generic)}


# ------------------------------------------------------------ functions

def _functions(place):
    """{name: function} of the public functions of a place; of NumPy, only the ufuncs."""
    kind = np.ufunc if place == "numpy" else FunctionType
    home = PLACES[place]
    owners = reversed(home.__mro__) if isinstance(home, type) else [home]    # methods of Tensor
    members = {name: f for owner in owners for name, f in vars(owner).items()}
    return {name: f for name, f in members.items()
            if isinstance(f, kind) and not name.startswith("_")}


def function_name(f):
    """What a function is called in a file, or None if a file may not name it."""
    for place in PLACES:
        for name, known in _functions(place).items():
            if known is f:
                return f"{place}.{name}"
    return None


def find_function(name):
    """The function of a name from `function_name`, or KeyError."""
    place, _, own = name.rpartition(".")
    return _functions(place)[own]


# ------------------------------------------------------------ classes

def class_name(cls):
    """What a class is called in a file."""
    return f"{cls.__module__}.{cls.__qualname__}"


def library_class(name):
    """The Module subclass of tinyml that has this name, or None."""
    module, _, own = name.rpartition(".")
    if not module.startswith("tinyml."):
        return None
    try:
        found = vars(importlib.import_module(module)).get(own)
    except ImportError:
        return None
    return found if isinstance(found, type) and issubclass(found, Module) else None


def named_classes(classes):
    """(name, class) pairs of the classes that a caller knows; see `tinyml.nn.load_model`."""
    if classes is None:
        return []
    if isinstance(classes, type):
        classes = [classes]
    if isinstance(classes, (Module, str)) or not hasattr(classes, "__iter__"):
        raise TypeError("rebuild: classes must be a list of Module subclasses, got "
                        f"{type(classes).__name__}; write classes=[Own]")
    pairs = classes.items() if isinstance(classes, Mapping) else ((None, cls) for cls in classes)
    named = []
    for name, cls in pairs:
        if not (isinstance(cls, type) and issubclass(cls, Module)):
            raise TypeError(f"rebuild: classes must hold Module subclasses, got {cls!r}; "
                            "write classes=[Own]")
        named.append((class_name(cls) if name is None else name, cls))
    return named


def find_class(name, named, found):
    """The class of a name: one of the caller's `named_classes`, or one of tinyml.

    `found` has the classes of this file so far, by name: two names must not mean one class.
    """
    if name in found:
        return found[name]
    fits = {cls for key, cls in named if key == name} | ({library_class(name)} - {None})
    fits = fits or {cls for key, cls in named if _may_be(name, key)}
    own = name.rpartition(".")[2]
    if not fits:
        others = sorted(key for key, _ in named if key.rpartition(".")[2] == own)
        write = f"classes=[{own}]"
        if others:
            write = f"classes={{{name!r}: {own}}} if {' or '.join(others)} is the same"
        raise ValueError("rebuild: classes must hold every class of the model, got none called "
                         f"{name}; write {write}")
    if len(fits) > 1:
        told = " and ".join(sorted(map(repr, fits)))
        raise ValueError(f"rebuild: classes must hold one class called {name}, got {told}; "
                         "leave all but one out")
    cls, = fits
    for other, known in found.items():
        if known is cls:
            raise ValueError("rebuild: classes must hold every class of the model, got "
                             f"{cls!r} for both {other} and {name}; give each its own class")
    found[name] = cls
    return cls


def _may_be(name, key):
    """Whether the class called `key` may be what a file calls `name`, though the modules differ.

    A class of a script is in __main__ where the script runs, and in a module where it is imported.
    """
    module, _, own = name.rpartition(".")
    is_open = module in ("", "__main__") or "." not in key and not module.startswith("tinyml.")
    return is_open and not key.startswith("tinyml.") and key.rpartition(".")[2] == own
