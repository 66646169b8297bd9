"""A model as plain data, and back: what a file can hold without pickle, and a reader can check.

A module is its class and its attributes. `describe` writes both down, the arrays apart; `rebuild` makes the
modules without running any code of theirs, and only those of tinyml, or of classes that it is given.
"""
import importlib

import numpy as np

from tinyml.nn.module import Module, Parameter
from tinyml.tensor import Tensor


def describe(model):
    """A model as plain data: a tree that JSON can hold, and the arrays by their paths.

    Parameters
    ----------
    model : Module

    Returns
    -------
    skeleton : dict, {"class": name, "has": {attribute: value}} for a module, where a value is a number, str
        or None as it is, and anything else a dict of one key that says what: "parameter", "tensor" or
        "array" with its path, "list", "tuple", "dict", "rng", or "same" with the path of an object that
        came before, such as a shared weight
    arrays : dict of path to ndarray, not copied

    Raises
    ------
    TypeError : an attribute is none of these; the message names its path
    """
    arrays, paths = {}, {}

    def tree(value, path):
        if isinstance(value, np.generic):
            value = value.item()
        if value is None or type(value) in (bool, int, float, str):
            return value
        if id(value) in paths:
            return {"same": paths[id(value)]}
        inside = lambda pairs: {key: tree(v, f"{path}.{key}".lstrip(".")) for key, v in pairs}
        if type(value) in (list, tuple):
            return {type(value).__name__: list(inside(enumerate(value)).values())}
        if isinstance(value, dict) and all(isinstance(key, str) for key in value):
            return {"dict": inside(value.items())}
        paths[id(value)] = path
        if isinstance(value, np.random.Generator) and value.bit_generator.state["bit_generator"] == "PCG64":
            return {"rng": value.bit_generator.state}
        if isinstance(value, Module):
            return {"class": f"{type(value).__module__}.{type(value).__qualname__}",
                    "has": inside(vars(value).items())}
        if isinstance(value, (Tensor, np.ndarray)):
            arrays[path] = value.data if isinstance(value, Tensor) else value
            return {_kind(value): path}
        raise TypeError(f"describe: {path} must be a number, str, None, array, tensor, module or default_rng "
                        f"generator, or a list, tuple or dict of such, got {type(value).__name__}")
    return tree(model, ""), arrays


def _kind(value):
    if isinstance(value, Parameter):
        return "parameter" if value.requires_grad else "frozen"
    return "tensor" if isinstance(value, Tensor) else "array"


MAKE = {"parameter": Parameter, "frozen": lambda array: Parameter(array, requires_grad=False),
        "tensor": Tensor, "array": np.asarray}


def rebuild(skeleton, arrays, classes=()):
    """The model that `describe` took apart. No code of the model runs: modules get their attributes back.

    Parameters
    ----------
    skeleton : dict, arrays : dict of path to ndarray, as from `describe`
    classes : iterable of Module subclasses of your own, found by their names

    Returns
    -------
    Module

    Raises
    ------
    ValueError : the skeleton is not one, a class is unknown, or an array is missing
    """
    made = {}

    def value(node, path):
        if not isinstance(node, dict):
            return node
        if "class" in node:
            module = made[path] = object.__new__(_class(node["class"], classes))
            vars(module).update({name: value(child, f"{path}.{name}".lstrip("."))
                                 for name, child in node["has"].items()})
            return module
        kind, content = next(iter(node.items()), (None, None))
        if kind in ("list", "tuple"):
            items = [value(child, f"{path}.{i}") for i, child in enumerate(content)]
            return tuple(items) if kind == "tuple" else items
        if kind == "dict":
            return {key: value(child, f"{path}.{key}") for key, child in content.items()}
        if kind == "rng":
            rng = np.random.default_rng()
            rng.bit_generator.state = content
            made[path] = rng
            return rng
        if kind != "same":
            made[content] = MAKE[kind](arrays[content])
        return made[content]
    try:
        return value(skeleton, "")
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"rebuild: skeleton must come from describe, got {error!r}") from error


def _class(name, classes):
    """The Module subclass of a name: one of `classes`, or one of tinyml."""
    module, _, own = name.rpartition(".")
    for known in classes:
        if known.__qualname__ == own:
            return known
    try:
        found = vars(importlib.import_module(module)).get(own) if module.startswith("tinyml.") else None
    except ImportError:
        found = None
    if not (isinstance(found, type) and issubclass(found, Module)):
        raise ValueError(f"rebuild: classes must hold every class of the model, got none called {name}; "
                         f"write classes=[{own}]")
    return found
