"""Values in words, for people: short, on one line, arrays of few numbers with all of them."""
import numpy as np

SHOWN = 12           # entries of an array that are shown
DIGITS = 6           # of numbers that are shown, unless they differ further back
PLAIN = (bool, int, float, str, tuple)    # attributes that are shown of an object


def text(value, digits=DIGITS):
    """A value on one line; of a large array its shape and its first entries."""
    if is_tensor(value):
        return f"{type(value).__name__}({text(value.data, digits)})"
    if isinstance(value, np.generic):
        value = np.asarray(value)
    if isinstance(value, np.ndarray):
        if value.size > SHOWN:
            return f"array of shape {value.shape}, {text(value.ravel()[:6], digits)[:-1]}, ...]"
        return np.array2string(value, separator=", ", precision=digits, max_line_width=10_000).replace("\n", "")
    if isinstance(value, np.random.Generator):
        return "a Generator (other draws than the library's may be right too)"
    if isinstance(value, (list, tuple)):
        return _sequence(value)
    if hasattr(value, "__dict__") and not callable(value):
        own = ", ".join(f"{key}={item!r}" for key, item in vars(value).items() if isinstance(item, PLAIN))
        return f"{type(value).__name__}({own})"
    words = repr(value)
    return words if len(words) < 200 else words[:200] + " ..."


def _sequence(value):
    names = [f"{field}=" for field in getattr(value, "_fields", ())] or [""] * SHOWN
    words = ", ".join(name + text(item) for name, item in zip(names, value)) + (", ..." if len(value) > SHOWN else "")
    return f"[{words}]" if isinstance(value, list) else f"{'' if names[0] == '' else type(value).__name__}({words})"


def is_tensor(value):
    """Also of a class Tensor that was loaded at another time."""
    return any(kind.__name__ == "Tensor" for kind in type(value).__mro__)
