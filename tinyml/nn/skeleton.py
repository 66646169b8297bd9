"""A model as plain data, and back: what a file can hold without pickle, and a reader can check.

A module is its class and its attributes. `describe` writes both down, the arrays apart. `rebuild` makes
the modules without running any code of theirs: those of tinyml, or of classes that it is given.
"""
from collections.abc import Mapping
from functools import partial
from types import FunctionType

import numpy as np

from tinyml.nn.module import Module, Parameter
from tinyml.nn.names import (TYPES, class_name, find_class, find_function, function_name, library_class,
                             named_classes)
from tinyml.tensor import Tensor

ALLOWED = ("a number, str, None, slice, dtype, array, tensor, module or default_rng generator, or a list, "
           "tuple or dict (with str keys) of such")


# ------------------------------------------------------------ from a model to plain data

def describe(model):
    """A model as plain data: a tree that JSON can hold, and the arrays by their paths.

    Parameters
    ----------
    model : Module

    Returns
    -------
    skeleton : dict, {"class": name, "has": {attribute: value}} for a module, with the module and the
        qualified name of its class. A value is a number, str or None as it is, and anything else a
        dict of one key that says what: "parameter", "frozen", "tensor" or "array" with its path;
        "list", "tuple", "dict", "slice", "number" (one of NumPy's), "dtype", "type", "rng";
        "function" (of `tinyml.ops`, `tinyml.functional` or `Tensor`, or a ufunc) with its name; or
        "same" with the path of an object that came before, such as a shared weight
    arrays : dict of path to ndarray, not copied

    Raises
    ------
    TypeError : an attribute is none of these; the message names its path and says what to write
    ValueError : two classes have one name, or the model contains itself
    """
    if isinstance(model, Module):
        model.parameters()    # refuses a model that contains itself, and what has no name
    arrays, paths, classes = {}, {}, {}

    def tree(value, path):
        if value is None or type(value) in (bool, int, float, str):
            return value
        if id(value) in paths:
            return {"same": paths[id(value)]}
        inside = lambda pairs: {key: tree(v, f"{path}.{key}".lstrip(".")) for key, v in pairs}
        if type(value) in (list, tuple):
            return {type(value).__name__: list(inside(enumerate(value)).values())}
        if type(value) is dict and all(type(key) is str for key in value):
            return {"dict": inside(value.items())}
        paths[id(value)] = path
        if isinstance(value, Module):
            name = class_name(type(value))
            known = classes.setdefault(name, library_class(name) or type(value))
            if known is not type(value):
                raise ValueError("describe: every class must have a name of its own, got two called "
                                 f"{name}; give the class at {path or 'the top'} another name")
            return {"class": name, "has": inside(vars(value).items())}
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
    return tree(model, ""), arrays


def _kind(tensor):
    if isinstance(tensor, Parameter):
        return "parameter" if tensor.requires_grad else "frozen"
    return "tensor"


def _small(value):
    """What stands in the skeleton for a value that has no parts, or None."""
    if type(value) is np.str_:
        return {"number": ["str_", str(value)]}
    if isinstance(value, np.generic) and value.dtype.kind in "biuf" and value.itemsize <= 8:
        return {"number": [value.dtype.name, value.item()]}
    if type(value) is slice:
        ends = [getattr(end, "item", lambda end=end: end)()    # NumPy's int as a Python int
                for end in (value.start, value.stop, value.step)]
        return {"slice": ends} if all(type(end) in (int, type(None)) for end in ends) else None
    if isinstance(value, np.dtype) and value.kind in "biufcSUmM":
        return {"dtype": value.str}
    if isinstance(value, type):
        return next(({"type": name} for name, kind in TYPES.items() if kind is value), None)
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
    """What the copies of a generator are drawn from (`numpy.random.Generator.spawn`)."""
    seed = rng.bit_generator.seed_seq
    if type(seed) is not np.random.SeedSequence or seed.pool_size != 4:
        return {}
    return {"seed": {"entropy": np.asarray(seed.entropy).tolist(),
                     "spawn_key": list(seed.spawn_key),
                     "n_children_spawned": seed.n_children_spawned}}


def _told(value):
    """What a value is, and what to write in its place."""
    kind = type(value).__name__
    if isinstance(value, np.random.Generator):
        bits = type(value.bit_generator).__name__
        return f"a generator with {bits}; write np.random.default_rng(seed)"
    is_function = callable(value) and hasattr(value, "__qualname__") and not isinstance(value, type)
    if is_function or isinstance(value, partial):
        name = getattr(value, "__qualname__", kind)
        return (f"the function {name}; write class Own(Module) with `def forward(self, x)` that calls "
                "it, or take a function of tinyml.ops, tinyml.functional or Tensor")
    if type(value) is dict:
        odd = next(key for key in value if type(key) is not str)
        return f"dict with the key {odd!r}; write str keys"
    write = {Mapping: "; write a dict", tuple: "; write a tuple", list: "; write a list"}
    return kind + next((words for base, words in write.items() if isinstance(value, base)), "")


# ------------------------------------------------------------ and back

def rebuild(skeleton, arrays, classes=()):
    """The model that `describe` took apart. No code of the model runs: modules get their attributes.

    Parameters
    ----------
    skeleton : dict, arrays : dict of path to ndarray, as from `describe`
    classes : your own Module subclasses, as in `tinyml.nn.load_model`

    Returns
    -------
    Module

    Raises
    ------
    TypeError : classes holds something else
    ValueError : the skeleton is none, a class is unknown or ambiguous, or an array is missing
    """
    made, found, named = {}, {}, named_classes(classes)

    def value(node, path):
        if not isinstance(node, dict):
            return node
        if "class" in node:
            module = made[path] = object.__new__(find_class(node["class"], named, found))
            vars(module).update({name: value(child, f"{path}.{name}".lstrip("."))
                                 for name, child in node["has"].items()})
            return module
        kind, content = next(iter(node.items()), (None, None))
        if kind in ("list", "tuple"):
            items = [value(child, f"{path}.{i}") for i, child in enumerate(content)]
            return tuple(items) if kind == "tuple" else items
        if kind == "dict":
            return {key: value(child, f"{path}.{key}") for key, child in content.items()}
        if kind in MAKE_SMALL:
            made[path] = MAKE_SMALL[kind](content)
            return made[path]
        if kind != "same":
            made[content] = MAKE[kind](arrays[content])
        return made[content]
    try:
        return value(skeleton, "")
    except (LookupError, TypeError, AttributeError, RecursionError, OverflowError, ValueError) as error:
        if str(error).startswith("rebuild: "):
            raise
        raise ValueError(f"rebuild: skeleton must come from describe, got {error!r}") from error


def _number(content):
    name, number = content
    return TYPES[f"numpy.{name}"](number)


def _rng(content):
    """A generator in its old state, whose copies are those that it would have had."""
    seed = content.get("seed") or {"entropy": [content["state"]["state"], content["state"]["inc"]]}
    rng = np.random.default_rng(np.random.SeedSequence(**seed))
    rng.bit_generator.state = content
    return rng


MAKE = {"parameter": Parameter, "frozen": lambda array: Parameter(array, requires_grad=False),
        "tensor": Tensor, "array": lambda array: np.require(array, requirements="W")}
MAKE_SMALL = {"number": _number, "slice": lambda ends: slice(*ends), "dtype": np.dtype,
              "type": TYPES.__getitem__, "function": find_function, "rng": _rng}
