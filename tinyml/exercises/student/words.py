"""Values in words: as Python that gives the value again, or shortly, to be compared."""
import copy
from collections import deque
from types import FunctionType

import numpy as np

REBUILT = 40         # entries of an array that is written out in full as Python
SHOWN = 12           # entries of an array of which all are shown
DIGITS = 6           # of the numbers shown, unless they differ further back
LETTERS = 200        # of the repr of anything else
PLAIN = (bool, int, float, str, tuple)    # attributes that are shown of an object
BY_THEMSELVES = {"float64", "int64", "bool"}    # dtypes that np.array gives without being told
RANDOM = "a numpy.random.Generator (other draws than the library's may be right too)"


def literal(value):
    """Python that gives the value again; of a large array its shape, dtype and first entries."""
    if is_tensor(value):
        name = type(value).__name__    # Tensor or Parameter, which always has a gradient
        grad = ", requires_grad=True" if name == "Tensor" and value.requires_grad else ""
        return f"{name}({literal(value.data)}{grad})"
    if isinstance(value, np.generic):
        return repr(value)
    if isinstance(value, np.ndarray):
        return _array(value)
    if isinstance(value, (list, tuple)):
        return _sequence(value, literal)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {literal(item)}" for key, item in value.items()) + "}"
    if isinstance(value, deque):
        return f"deque({literal(list(value))})"
    if isinstance(value, type(iter([]))):
        return f"iter({literal(list(copy.copy(value)))})"
    return text(value)


def _array(value):
    dtype = value.dtype.name
    if value.size == 0:
        return f"np.zeros({value.shape}, {dtype!r})"
    if value.size > REBUILT:
        return f"an array of shape {value.shape}, {dtype}: {text(value.ravel()[:6])[:-1]}, ...]"
    shown = np.array2string(value, separator=", ", max_line_width=10_000, threshold=REBUILT + 1,
                            formatter={"float_kind": _float})
    entries = " ".join(shown.split())
    told = "" if dtype in BY_THEMSELVES or value.dtype.kind == "U" else f", {dtype!r}"
    return f"np.array({entries}{told})"


def _float(number):
    """The shortest digits that give the number again, as Python."""
    return str(number) if np.isfinite(number) else str(number).replace("inf", "np.inf").replace(
        "nan", "np.nan")


def text(value, digits=DIGITS):
    """A value on one line; of a large array its shape and its first entries."""
    if is_tensor(value):
        return f"{type(value).__name__}({text(value.data, digits)})"
    if isinstance(value, np.generic):
        value = np.asarray(value)
    if isinstance(value, np.ndarray):
        if value.size > SHOWN:
            first = text(value.ravel()[:6], digits)[:-1]
            return f"array of shape {value.shape}, {first}, ...]"
        shown = np.array2string(value, separator=", ", precision=digits, max_line_width=10_000)
        return shown.replace("\n", "")
    if isinstance(value, np.random.Generator):
        return RANDOM
    if isinstance(value, (list, tuple)):
        return _sequence(value, lambda item: text(item, digits))
    if hasattr(type(value), "forward"):
        return _layer(value)
    if hasattr(value, "__dict__") and not callable(value):
        own = [f"{key}={item!r}" for key, item in vars(value).items() if isinstance(item, PLAIN)]
        return f"{type(value).__name__}({', '.join(own)})"
    if isinstance(value, FunctionType):
        return "a function"
    words = repr(value)
    return words if len(words) < LETTERS else f"{words[:LETTERS]} ..."


def _layer(module):
    """A layer with its sizes, or a model with its layers, on one line."""
    layers = [_layer(item) for item in vars(module).values() if hasattr(type(item), "forward")]
    name = type(module).__name__
    return f"{name}({', '.join(layers)})" if layers else repr(module).split("  ")[0].strip()


def _sequence(value, worded):
    names = [f"{field}=" for field in getattr(value, "_fields", ())] or [""] * SHOWN
    words = ", ".join(name + worded(item) for name, item in zip(names, value))
    if len(value) > SHOWN:
        words += ", ..."
    elif type(value) is tuple and len(value) == 1:
        words += ","
    if isinstance(value, list):
        return f"[{words}]"
    return f"{'' if names[0] == '' else type(value).__name__}({words})"


def is_tensor(value):
    """Whether a value is a Tensor, also of a class Tensor that was loaded at another time."""
    return any(kind.__name__ == "Tensor" for kind in type(value).__mro__)
