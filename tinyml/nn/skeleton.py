"""A model as plain data, and back: what a file can hold without pickle, and a reader can check.

A module is its class and its attributes. `describe` writes both down, the arrays apart; `rebuild` makes the
modules without running any code of theirs, and only those of tinyml, or of classes that it is given.
"""
import importlib
from collections.abc import Mapping
from functools import partial
from types import FunctionType

import numpy as np

from tinyml import functional, ops
from tinyml.nn.module import Module, Parameter
from tinyml.tensor import Tensor

# what a file may name besides classes: functions in these places (of NumPy ufuncs alone), and types of numbers
FUNCTIONS = {"tinyml.ops": ops, "tinyml.functional": functional, "tinyml.Tensor": Tensor, "numpy": np}
TYPES = {"bool": bool, "int": int, "float": float}
TYPES |= {f"numpy.{name}": kind for name, kind in vars(np).items()
          if isinstance(kind, type) and issubclass(kind, np.generic)}


# ------------------------------------------------------------ from a model to plain data

def describe(model):
    """A model as plain data: a tree that JSON can hold, and the arrays by their paths.

    A module's class is written as its module and qualified name. Of functions only those of `tinyml.ops`,
    `tinyml.functional` and `Tensor`, and NumPy's ufuncs, have names that a file may use.

    Parameters
    ----------
    model : Module

    Returns
    -------
    skeleton : dict, {"class": name, "has": {attribute: value}} for a module, where a value is a number, str
        or None as it is, and anything else a dict of one key that says what: "parameter", "frozen", "tensor"
        or "array" with its path; "list", "tuple", "dict", "slice"; "number" (NumPy's), "dtype", "type",
        "function", "rng"; or "same" with the path of an object that came before, such as a shared weight
    arrays : dict of path to ndarray, not copied

    Raises
    ------
    TypeError : an attribute is none of these; the message names its path and says what to write
    ValueError : two classes have one name, or the model contains itself
    """
    if isinstance(model, Module):
        model.parameters()    # refuses a model that contains itself, and what no name leads to
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
        if small := _small(value):
            return small
        if isinstance(value, Module):
            name = _name(type(value))
            if classes.setdefault(name, type(value)) is not type(value) or _of_tinyml(name) not in (
                    None, type(value)):
                raise ValueError(f"describe: every class must have a name of its own, got two called {name}; "
                                 f"give the class at {path or 'the top'} another name")
            return {"class": name, "has": inside(vars(value).items())}
        if type(value) in (Tensor, Parameter) or (type(value) in (np.ndarray, np.memmap)
                                                  and not value.dtype.hasobject):
            arrays[path] = value.data if isinstance(value, Tensor) else value
            return {_kind(value): path}
        raise TypeError(f"describe: {path or 'model'} must be {_ALLOWED}, got {_words(value)}")
    return tree(model, ""), arrays


_ALLOWED = ("a number, str, None, slice, dtype, array, tensor, module or default_rng generator, or a list, tuple "
            "or dict (with str keys) of such")


def _words(value):
    """What a value is, and what to write instead."""
    kind = type(value).__name__
    if isinstance(value, np.random.Generator):
        return f"a generator with {type(value.bit_generator).__name__}; write np.random.default_rng(seed)"
    if isinstance(value, partial) or callable(value) and hasattr(value, "__qualname__") and not isinstance(value, type):
        name = getattr(value, "__qualname__", kind)
        return (f"the function {name}; write class Own(Module) with `def forward(self, x)` that calls it, or take "
                "one of tinyml.ops, tinyml.functional or Tensor")
    if isinstance(value, Mapping):
        odd = next((key for key in value if type(key) is not str), None)
        return f"{kind} with the key {odd!r}; write str keys" if type(value) is dict else f"{kind}; write a dict"
    return f"{kind}; write a tuple" if isinstance(value, tuple) else kind


def _small(value):
    """What stands in the skeleton for a value that is no container, module or array, or None."""
    if type(value) is np.str_:
        return {"number": ["str", str(value)]}
    if isinstance(value, np.generic) and value.dtype.kind in "biuf" and value.itemsize <= 8:
        return {"number": [value.dtype.name, value.item()]}
    if type(value) is slice:
        ends = (value.start, value.stop, value.step)
        return {"slice": [None if end is None else int(end) for end in ends]} if all(
            end is None or isinstance(end, (int, np.integer)) for end in ends) else None
    if isinstance(value, np.dtype) and value.kind in "biufcSUmM":
        return {"dtype": value.str}
    if isinstance(value, type) and value in TYPES.values():
        return {"type": next(name for name, known in TYPES.items() if known is value)}
    if isinstance(value, np.random.Generator) and value.bit_generator.state["bit_generator"] == "PCG64":
        return {"rng": value.bit_generator.state | _seed(value)}
    if isinstance(value, (FunctionType, np.ufunc)):
        names = (f"{place}.{name}" for place in FUNCTIONS for name, known in _functions(place).items()
                 if known is value)
        return next(({"function": name} for name in names), None)
    return None


def _functions(place):
    kind = np.ufunc if place == "numpy" else FunctionType
    return {name: f for name, f in vars(FUNCTIONS[place]).items() if isinstance(f, kind) and name[0] != "_"}


def _seed(rng):
    """What the children of a generator are drawn from (`numpy.random.Generator.spawn`), as its copies are."""
    seed = rng.bit_generator.seed_seq
    if type(seed) is not np.random.SeedSequence or seed.pool_size != 4:
        return {}
    return {"seed": {"entropy": np.asarray(seed.entropy).tolist(), "spawn_key": list(seed.spawn_key),
                     "n_children_spawned": seed.n_children_spawned}}


def _kind(value):
    if isinstance(value, Parameter):
        return "parameter" if value.requires_grad else "frozen"
    return "tensor" if isinstance(value, Tensor) else "array"


def _name(cls):
    """What a class is called in a file."""
    return f"{cls.__module__}.{cls.__qualname__}"


# ------------------------------------------------------------ and back

MAKE = {"parameter": Parameter, "frozen": lambda array: Parameter(array, requires_grad=False),
        "tensor": Tensor, "array": lambda array: np.require(array, requirements="W")}


def rebuild(skeleton, arrays, classes=()):
    """The model that `describe` took apart. No code of the model runs: modules get their attributes back.

    Parameters
    ----------
    skeleton : dict, arrays : dict of path to ndarray, as from `describe`
    classes : iterable of Module subclasses of your own, or one; found by module and name. A class that has
        moved since is found by a dict: {"old.module.Name": Class}. A class of ``__main__``, the script that
        ran, is found in any module by its name, if there is one of it.

    Returns
    -------
    Module

    Raises
    ------
    TypeError : classes holds something else
    ValueError : the skeleton is not one, a class is unknown or ambiguous, or an array is missing
    """
    made, found, given = {}, {}, _given(classes)

    def value(node, path):
        if not isinstance(node, dict):
            return node
        if "class" in node:
            module = made[path] = object.__new__(_class(node["class"], given, found))
            vars(module).update({name: value(child, f"{path}.{name}".lstrip("."))
                                 for name, child in node["has"].items()})
            return module
        kind, content = next(iter(node.items()), (None, None))
        if kind in ("list", "tuple"):
            items = [value(child, f"{path}.{i}") for i, child in enumerate(content)]
            return tuple(items) if kind == "tuple" else items
        if kind == "dict":
            return {key: value(child, f"{path}.{key}") for key, child in content.items()}
        if kind in SMALL:
            made[path] = SMALL[kind](content)
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
    return np.str_(number) if name == "str" else TYPES[f"numpy.{name}"](number)


def _function(name):
    place, _, own = name.rpartition(".")
    return _functions(place)[own]


def _rng(content):
    """A generator in the state that it had; its copies, too, are those that it would have had."""
    seed = content.get("seed") or {"entropy": [content["state"]["state"], content["state"]["inc"]]}
    rng = np.random.default_rng(np.random.SeedSequence(**seed))
    rng.bit_generator.state = content
    return rng


SMALL = {"number": _number, "slice": lambda ends: slice(*ends), "dtype": np.dtype, "type": TYPES.__getitem__,
         "function": _function, "rng": _rng}


# ------------------------------------------------------------ classes by name

def _given(classes):
    """(name, class) pairs of the caller's classes."""
    classes = () if classes is None else [classes] if isinstance(classes, type) else classes
    if isinstance(classes, (Module, str)) or not hasattr(classes, "__iter__"):
        raise TypeError(f"rebuild: classes must be a list of Module subclasses, got {type(classes).__name__}; "
                        "write classes=[Own]")
    pairs = [*classes.items()] if isinstance(classes, Mapping) else [(None, cls) for cls in classes]
    for _, cls in pairs:
        if not (isinstance(cls, type) and issubclass(cls, Module)):
            raise TypeError(f"rebuild: classes must hold Module subclasses, got {cls!r}; write classes=[Own]")
    return [(_name(cls) if name is None else name, cls) for name, cls in pairs]


def _class(name, given, found):
    """The Module subclass of a name: one of the caller's or of tinyml. `found` keeps those of this model."""
    if name in found:
        return found[name]
    own = name.rpartition(".")[2]
    fits = {cls for key, cls in given if key == name} | ({_of_tinyml(name)} - {None})
    if not fits:
        fits = {cls for key, cls in given if _may_be(name, key)}
    if not fits:
        others = sorted(key for key, _ in given if key.rpartition(".")[2] == own)
        raise ValueError(f"rebuild: classes must hold every class of the model, got none called {name}"
                         + (f" but {', '.join(others)}; if it is the same, write classes={{{name!r}: {own}}}"
                            if others else f"; write classes=[{own}]"))
    if len(fits) > 1:
        raise ValueError(f"rebuild: classes must hold one class called {name}, got {len(fits)}: "
                         f"{' and '.join(sorted(map(repr, fits)))}; write classes={{{name!r}: Own}}")
    cls, = fits
    other = next((key for key, known in found.items() if known is cls), None)
    if other is not None:
        raise ValueError(f"rebuild: classes must hold every class of the model, got {cls!r} alone for {other} "
                         f"and {name}; write classes={{{name!r}: Own}}")
    found[name] = cls
    return cls


def _may_be(name, key):
    """Whether a class called `key` may be what a file calls `name`, though the modules differ.

    A script's classes are in __main__ when it runs, and in a module of its name when it is imported.
    """
    module, _, own = name.rpartition(".")
    loose = module in ("", "__main__") or "." not in key and not module.startswith("tinyml.")
    return loose and not key.startswith("tinyml.") and key.rpartition(".")[2] == own


def _of_tinyml(name):
    """The Module subclass of tinyml that has this name, or None."""
    module, _, own = name.rpartition(".")
    try:
        found = vars(importlib.import_module(module)).get(own) if module.startswith("tinyml.") else None
    except ImportError:
        found = None
    return found if isinstance(found, type) and issubclass(found, Module) else None
