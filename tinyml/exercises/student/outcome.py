"""What a call gave, as a list of arrays with words for where each one is; and comparing two.

Results are of many kinds: arrays, tensors with gradients, a primitive's value and vjps, objects,
errors, changed arguments. As flat lists all of them can be compared, and a difference has a name.
"""
import copy
import inspect
import types
from operator import attrgetter

import numpy as np

from tinyml.exercises.student.words import is_tensor, literal
from tinyml.exercises.walls import guard

LETTERS = 500    # of an error
KINDS = {"b": "bool", "i": "integer", "u": "integer", "f": "float", "c": "complex"}
# (relative, absolute) tolerance: two results that are equal except for rounding
CLOSE = {"float32": (1e-4, 1e-6), "float64": (1e-5, 1e-8)}


def outcome(exercise, function, call):
    """[(what, array)] of a call: its results, their gradients, and the arguments afterwards.

    Of an object whose method was called, only what the exercise's `view` shows counts.
    """
    own = guard.is_method(function)
    try:
        args, kwargs = arrived(function, call)
        bound = list(named(function, args, kwargs).items())[own:]
        given = [(name, _unread(value)) for name, value in bound
                 if not isinstance(value, (bool, int, float, str, np.generic))]
        before = [(name, array) for name, value in given for _, array in flatten("", value)]
        pairs = flatten("", function(*args, **kwargs), args)
        for view in exercise.view.split():
            state = attrgetter(view)(args[0])
            what = f"{view}()" if callable(state) else view
            pairs += flatten(f"{what} after the call", state() if callable(state) else state)
    except Exception as error:
        return [("raises", _said(error))]
    for name, value in given:
        pairs += flatten(f"{name} after the call", value)
    return pairs + [(f"the array given as {name}, after the call", array)
                    for name, array in before]


def _unread(value):
    """What is left in a list's iterator, which the call will use up; any other value as it is."""
    return list(copy.copy(value)) if isinstance(value, type(iter([]))) else value


def arrived(function, call):
    """Copies of the arguments of a call; for a method, its object after all earlier calls."""
    args, kwargs = guard.snapshot((call.args, call.kwargs))
    for earlier in call.earlier:
        others, words = guard.snapshot((earlier.args[1:], earlier.kwargs))
        function(args[0], *others, **words)
    return args, kwargs


def draws(function, call):
    """Whether a call changes the state of a generator that it is given."""
    try:
        args, kwargs = arrived(function, call)
        generators = [value for value in [*args, *kwargs.values()]
                      if isinstance(value, np.random.Generator)]
        before = [str(generator.bit_generator.state) for generator in generators]
        function(*args, **kwargs)
    except Exception:    # that is for the laws
        return False
    return before != [str(generator.bit_generator.state) for generator in generators]


def named(function, args, kwargs):
    """{name of the parameter: argument}, as far as the arguments fit."""
    try:
        return dict(inspect.signature(function).bind(*args, **kwargs).arguments)
    except TypeError:
        return {**{f"argument {i}": a for i, a in enumerate(args, 1)}, **kwargs}


def _said(error):
    return np.array(f"{type(error).__name__}: {error}"[:LETTERS])


def flatten(what, value, args=None, depth=0):
    """The arrays in a value, each with words for where it is; vjps are applied to a gradient."""
    if depth > 10:
        return []
    if is_tensor(value):
        return _tensor(what, value, args)
    if isinstance(value, types.GeneratorType):
        value = [item for item, _ in zip(value, range(200))]
    if isinstance(value, (list, tuple)):
        vjps = value[1] if args is not None and len(value) == 2 else None
        if callable(vjps) or isinstance(vjps, tuple) and any(map(callable, vjps)):
            return _primitive(value[0], (_no_tuple,) * len(args) if callable(vjps) else vjps)
        names = ([f".{field}" for field in getattr(value, "_fields", ())]
                 or [f"[{i}]" for i in range(len(value))])
        pairs = [(f"{what or 'result'} length", np.array(len(value)))]
        for name, item in zip(names, value):
            pairs += flatten(what + name, item, None, depth + 1)
        return pairs
    if isinstance(value, dict):
        return [pair for key, item in value.items()
                for pair in flatten(f"{what}[{key!r}]", item, None, depth + 1)]
    if isinstance(value, bytes):
        value = np.frombuffer(value, np.uint8)
    if isinstance(value, str):
        value = repr(value)    # '' is to be seen, and 'None' is not None
    if isinstance(value, (np.ndarray, np.generic, int, float, bool, complex, str)):
        return [(what or "result", _numbers(value))]
    ours = type(value).__module__.startswith("tinyml")
    if ours and not isinstance(value, types.FunctionType) and hasattr(value, "__dict__"):
        own = {key: item for key, item in vars(value).items()
               if key != "training"}    # there after train() only
        return [pair for key, item in own.items()
                for pair in flatten(f"{what}.{key}", item, None, depth + 1)]
    return [(what or "result", np.array("None" if value is None else type(value).__name__))]


def _numbers(value):
    """A value as an array of numbers; of anything else, what it is."""
    array = np.asarray(value)
    return np.array("an array of objects") if array.dtype.hasobject else array


def _no_tuple(g):
    raise TypeError("the vjps must be a tuple, one for each argument: (vjp,), got a function")


def _primitive(value, vjps):
    """The value and, for a random g of its shape, the gradients that the vjps give."""
    value = np.asarray(value)
    pairs = flatten("value", value)
    g = np.asarray(np.random.default_rng(0).uniform(0.5, 2, value.shape), value.dtype)
    for i, vjp in enumerate(vjps):
        try:
            gradient = _numbers(vjp(g))
        except Exception as error:
            gradient = _said(error)
        pairs.append((f"gradient of argument {i} for g = {literal(g)}", gradient))
    return pairs


def _tensor(what, value, args):
    """The data of a tensor and its gradient; a result is first differentiated."""
    what = what or "result"
    if value.edges and args is not None:
        value.backward(np.random.default_rng(0).uniform(0.5, 2, value.shape))
    held = {what: value.data, f"gradient of {what}": value.grad}
    return [pair for name, array in held.items() if array is not None for pair in (
        (name, _numbers(array)), (f"what {name} is", np.array(_kind(array))))]


def _kind(array):
    if isinstance(array, np.ndarray):
        return "an array"
    return "a NumPy number, not an array: write np.asarray(...)"


def raises(result):
    """Whether an outcome is an error."""
    return result[0][0] == "raises"


def agree(first, second, times=1):
    """Whether two outcomes are equal except for rounding, or for so many times as much."""
    return len(first) == len(second) and all(
        a[0] == b[0] and equal(a[1], b[1], times) for a, b in zip(first, second))


def equal(a, b, times=1):
    """Whether two arrays of outcomes are equal except for rounding; errors, if of one type."""
    if a.shape != b.shape or a.dtype.kind != b.dtype.kind:
        return False
    if a.dtype != b.dtype and (a.ndim or a.dtype.kind == "f"):
        return False
    if a.dtype.kind == "U" and ":" in str(a):
        return str(a).partition(":")[0] == str(b).partition(":")[0]
    return close(a, b, times)


def close(a, b, times=1):
    """Whether the numbers in two arrays of one shape are equal except for rounding."""
    if a.shape != b.shape or "U" in (a.dtype.kind, b.dtype.kind):
        return a.shape == b.shape and str(a) == str(b)
    if not {a.dtype.kind, b.dtype.kind} & {"f", "c"}:
        return np.array_equal(a, b)
    coarser = "float32" if "float32" in (a.dtype.name, b.dtype.name) else "float64"
    rtol, atol = CLOSE[coarser]
    return bool(np.allclose(a, b, rtol=times * rtol, atol=times * atol, equal_nan=True))


def same_numbers(first, second):
    """Whether two outcomes hold the same numbers, in whatever dtypes; errors, the same words.

    Any two numbers that are not finite count as the same: NaN or infinite, that depends on the
    order in which a formula is computed. So does whether a number is an array without axes.
    """
    first, second = _figures(first), _figures(second)
    return len(first) == len(second) and all(
        a[0] == b[0] and close(a[1], b[1]) for a, b in zip(first, second))


def _figures(result):
    """The arrays of an outcome without what they are, and NaN for all that is not finite."""
    return [(what, np.where(np.isfinite(array), array, np.nan) if array.dtype.kind == "f" else
             array) for what, array in result if not what.startswith("what ")]


def alike(first, second):
    """Whether two outcomes hold arrays with the same numbers of axes and the same dtypes.

    Of single numbers only the kinds are compared. Order and lengths may depend on ties and on
    rounding, as the number of steps until something settles does.
    """
    return _forms(first) == _forms(second)


def _forms(result):
    return {(what == "raises", array.ndim,
             array.dtype if array.ndim else KINDS.get(array.dtype.kind))
            for what, array in result}
