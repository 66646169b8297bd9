"""A model as plain data, and back: what a file can hold without pickle.

A module is its class and its attributes. `describe` returns a tree that JSON can hold, the
skeleton, and the arrays. `rebuild` makes the modules again, without running any of their code. It
knows the classes of tinyml, and those that it is given.
"""
from collections.abc import Mapping
from functools import partial
from types import FunctionType

import numpy as np

from tinyml.nn.module import Module, Parameter
from tinyml.nn.names import (
    TYPES,
    class_name,
    find_class,
    find_function,
    function_name,
    library_class,
    named_classes,
)
from tinyml.tensor import Tensor

ALLOWED = ("a number, str, None, slice, dtype, array, tensor, module or default_rng generator, or "
           "a list, tuple or dict (with str keys) of such")


# ------------------------------------------------------------ from a model to plain data

def describe(model):
    """A model as plain data: a tree that JSON can hold, and the arrays by their paths.

    A module becomes {"class": name, "has": {attribute: value}}. Numbers, str and None stand for
    themselves. Everything else is a dict with one key, which says what it is:

        "parameter", "frozen", "tensor", "array"     with the path of the array
        "list", "tuple", "dict"                      with the entries
        "slice", "number", "dtype", "type", "rng"    where a number is one of NumPy
        "function"                                   with its name: of `tinyml.ops`,
                                                     `tinyml.functional`, `Tensor`, or a ufunc
        "same"                                       with the path of an object that came before,
                                                     such as a shared weight

    Parameters
    ----------
    model : Module

    Returns
    -------
    skeleton : dict
    arrays : dict of path to ndarray, not copied

    Raises
    ------
    TypeError : an attribute is none of these; the message names it and says what to write instead
    ValueError : two classes have the same name, or the model contains itself
    """
    if isinstance(model, Module):
        model.parameters()    # refuses a model that contains itself, and what has no name
    arrays, paths, classes = {}, {}, {}

    def tree(value, path):
        if value is None or type(value) in (bool, int, float, str):
            return value
        if id(value) in paths:
            return {"same": paths[id(value)]}
        if type(value) in (list, tuple):
            entries = trees(enumerate(value), path)
            return {type(value).__name__: list(entries.values())}
        if type(value) is dict and all(type(key) is str for key in value):
            return {"dict": trees(value.items(), path)}
        paths[id(value)] = path
        if isinstance(value, Module):
            name = class_name(type(value))
            known = classes.setdefault(name, library_class(name) or type(value))
            if known is not type(value):
                raise ValueError("describe: every class must have a name of its own, got two "
                                 f"called {name}; give the class at {path or 'the top'} another "
                                 "name")
            return {"class": name, "has": trees(vars(value).items(), path)}
        if type(value) in (Tensor, Parameter):
            arrays[path] = value.data
            return {_kind(value): path}
        if type(value) in (np.ndarray, np.memmap) and not value.dtype.hasobject:
            arrays[path] = value
            return {"array": path}
        small = _small(value)
        if small is None:
            raise TypeError(f"describe: {path or 'model'} must be {ALLOWED}, got {_told(value)}")
        return small

    def trees(pairs, path):
        return {key: tree(value, _joined(path, key)) for key, value in pairs}

    return tree(model, ""), arrays


def _joined(path, key):
    return f"{path}.{key}" if path else str(key)


def _kind(tensor):
    if isinstance(tensor, Parameter):
        return "parameter" if tensor.requires_grad else "frozen"
    return "tensor"


def _small(value):
    """What the skeleton holds for a value without parts; None if a file cannot hold the value."""
    if type(value) is np.str_:
        return {"number": ["str_", str(value)]}
    if isinstance(value, np.generic) and value.dtype.kind in "biuf" and value.itemsize <= 8:
        return {"number": [value.dtype.name, value.item()]}
    if type(value) is slice:
        ends = [end.item() if hasattr(end, "item") else end    # NumPy's int as a Python int
                for end in (value.start, value.stop, value.step)]
        is_plain = all(type(end) in (int, type(None)) for end in ends)
        return {"slice": ends} if is_plain else None
    if isinstance(value, np.dtype) and value.kind in "biufcSUmM":
        return {"dtype": value.str}
    if isinstance(value, type):
        names = [name for name, kind in TYPES.items() if kind is value]
        return {"type": names[0]} if names else None
    if isinstance(value, (FunctionType, np.ufunc)):
        name = function_name(value)
        return None if name is None else {"function": name}
    if _is_default_rng(value):
        return {"rng": value.bit_generator.state | _seed(value)}
    return None


def _is_default_rng(value):
    return (isinstance(value, np.random.Generator)
            and value.bit_generator.state["bit_generator"] == "PCG64")


def _seed(rng):
    """The seed that spawned generators are made from (`numpy.random.Generator.spawn`)."""
    seed = rng.bit_generator.seed_seq
    if type(seed) is not np.random.SeedSequence or seed.pool_size != 4:
        return {}
    return {"seed": {"entropy": np.asarray(seed.entropy).tolist(),
                     "spawn_key": list(seed.spawn_key),
                     "n_children_spawned": seed.n_children_spawned}}


def _told(value):
    """What a value is, and what to write instead, for an error message."""
    kind = type(value).__name__
    if isinstance(value, np.random.Generator):
        bits = type(value.bit_generator).__name__
        return f"a generator with {bits}; write np.random.default_rng(seed)"
    is_function = hasattr(value, "__qualname__") and not isinstance(value, type)
    if is_function or isinstance(value, partial):
        name = getattr(value, "__qualname__", kind)
        return (f"the function {name}; write class Own(Module) with `def forward(self, x)` that "
                "calls it, or take a function of tinyml.ops, tinyml.functional or Tensor")
    if type(value) is dict:
        odd = next(key for key in value if type(key) is not str)
        return f"dict with the key {odd!r}; write str keys"
    write = {Mapping: "; write a dict", tuple: "; write a tuple", list: "; write a list"}
    return kind + next((words for base, words in write.items() if isinstance(value, base)), "")


# ------------------------------------------------------------ and back

def rebuild(skeleton, arrays, classes=()):
    """The model that `describe` was given. Modules get their attributes; none of their code runs.

    Parameters
    ----------
    skeleton : dict, as returned by `describe`
    arrays : dict of path to ndarray
    classes : the Module subclasses of your own, as in `tinyml.nn.load_model`

    Returns
    -------
    Module

    Raises
    ------
    TypeError : classes holds something else
    ValueError : the skeleton is damaged, a class is unknown or ambiguous, or an array is missing
    """
    made, found, named = {}, {}, named_classes(classes)

    def value(node, path):
        if not isinstance(node, dict):
            return node
        if "class" in node:
            cls = find_class(node["class"], named, found)
            module = made[path] = object.__new__(cls)
            attributes = {name: value(child, _joined(path, name))
                          for name, child in node["has"].items()}
            vars(module).update(attributes)
            return module
        kind, content = next(iter(node.items()), (None, None))
        if kind in ("list", "tuple"):
            items = [value(child, _joined(path, i)) for i, child in enumerate(content)]
            return tuple(items) if kind == "tuple" else items
        if kind == "dict":
            return {key: value(child, _joined(path, key)) for key, child in content.items()}
        if kind in MAKE_SMALL:
            made[path] = MAKE_SMALL[kind](content)
            return made[path]
        if kind != "same":
            made[content] = MAKE[kind](arrays[content])
        return made[content]
    try:
        return value(skeleton, "")
    except (LookupError, TypeError, AttributeError, RecursionError, OverflowError,
            ValueError) as error:
        if str(error).startswith("rebuild: "):
            raise
        raise ValueError(f"rebuild: skeleton must come from describe, got {error!r}") from error


def _number(content):
    name, number = content
    return TYPES[f"numpy.{name}"](number)


def _rng(content):
    """A generator in the old state; it also spawns the generators that the old one would."""
    seed = content.get("seed") or {"entropy": [content["state"]["state"], content["state"]["inc"]]}
    rng = np.random.default_rng(np.random.SeedSequence(**seed))
    rng.bit_generator.state = content
    return rng


MAKE = {"parameter": Parameter, "frozen": lambda array: Parameter(array, requires_grad=False),
        "tensor": Tensor, "array": lambda array: np.require(array, requirements="W")}
MAKE_SMALL = {"number": _number, "slice": lambda ends: slice(*ends), "dtype": np.dtype,
              "type": TYPES.__getitem__, "function": find_function, "rng": _rng}
