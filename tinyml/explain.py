"""What an error inside an operation means: its name and the shapes of its arguments in front."""
import numpy as np

from tinyml.phrasebook import check_keywords


def not_one_vjp_each(name, args, vjps):
    """The error of a primitive that returns fewer vjps than it has arguments."""
    return TypeError(f"{name}: a primitive must return its value and a tuple of {len(args)} vjps, "
                     f"one per argument, got {vjps!r}")


def explained(error, name, arrays, metadata):
    """The error with the name of the operation and the shapes of its arguments in front."""
    if str(error).startswith(name + ":"):
        return error
    if isinstance(error, (AttributeError, TypeError)):
        check_keywords(name, metadata)
        if "argument" in str(error) and f"{name}()" in str(error):    # missing or unexpected
            return error
        strays = [a for a in arrays if type(a) is not np.ndarray]    # a number or None, no array
        if strays:
            write = "x * y for the product with a number" if name == "matmul" else "Tensor([...])"
            return TypeError(f"{name}: arguments must be tensors or arrays with axes, got "
                             f"{strays[0]!r}; write {write}")
    shapes = [str(np.shape(a)) for a in arrays if a is not None]
    got = f"shapes {' and '.join(shapes)}" if shapes else "no arrays"
    return _kind(error, name)(f"{name}: arguments must fit together, got {got}; {error}")


def _kind(error, name):
    """TypeError or ValueError, whatever NumPy raised; x[9] is an IndexError, as of a list."""
    if isinstance(error, (TypeError, AttributeError)):
        return TypeError
    return IndexError if name == "getitem" and isinstance(error, IndexError) else ValueError
