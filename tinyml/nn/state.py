"""A state is loaded as a whole or not at all: its keys, shapes and dtypes are checked first."""
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from tinyml.tensor import Tensor


class LoadedKeys(NamedTuple):
    """The keys that `Module.load_state_dict` did not find, and those that it did not need."""

    missing_keys: list
    unexpected_keys: list


def checked_arrays(name, own, state, strict):
    """The arrays of a state, checked and by their paths in the model, and the `LoadedKeys`.

    Parameters
    ----------
    name : str, the model's class, for errors
    own : dict of path to Tensor or ndarray, what the model has
    state : dict of path to array_like or Tensor
    strict : bool, whether a key that only one of the two has is an error

    Raises
    ------
    TypeError, ValueError : as `Module.load_state_dict`
    """
    if not isinstance(state, Mapping):
        write = "load(path)" if isinstance(state, str) else "model.state_dict()"
        raise TypeError("load_state_dict: state must be a dict of path to array, got "
                        f"{type(state).__name__}; write load_state_dict({write})")
    missing = [key for key in own if key not in state]
    unexpected = [key for key in state if key not in own and not _is_count(key, own)]
    problems, arrays, first_name = [], {}, {}
    if strict:
        problems += [f"missing {key}" for key in missing]
        problems += [f"unexpected {key}" for key in unexpected]
    for key, tensor in own.items():
        if key not in state:
            continue
        try:
            array = arrays[key] = _converted(tensor, state[key])
        except ValueError as error:
            problems.append(f"{key} must {error}")
            continue
        first = first_name.setdefault(id(tensor), key)
        if first != key and array.tobytes() != arrays[first].tobytes():
            problems.append(f"{key} must equal {first}, which is the same tensor")
    advice = _advice(own, state) if problems or not arrays else ""
    if problems or advice:
        told = "; ".join(problems) or "no key in common"
        raise ValueError(f"load_state_dict: state must match {name}, got {told}{advice}")
    return arrays, LoadedKeys(missing, unexpected)


def _is_count(key, own):
    """Whether it is PyTorch's count of the batches that a batch norm of ours has seen."""
    layer, _, last = str(key).rpartition(".")
    return last == "num_batches_tracked" and f"{layer}.running_mean".lstrip(".") in own


def array_of(tensor):
    """The array of a parameter or buffer."""
    return tensor.data if isinstance(tensor, Tensor) else tensor


def _converted(tensor, value):
    """The value as an array that can replace a tensor's, or an error that says what it must be."""
    own = array_of(tensor)
    try:
        array = np.asarray(array_of(value))
    except Exception as error:    # the value may be of any library
        raise ValueError(f"be an array, got {type(value).__name__}: {error}") from error
    if array.shape != own.shape:
        raise ValueError(f"have shape {own.shape}, got {array.shape}")
    is_real = array.dtype.kind in "biuf"
    if own.dtype.kind in "biuf" and not is_real:
        raise ValueError(f"hold real numbers, got dtype {array.dtype}")
    casting = "unsafe" if own.dtype.kind == "f" else "safe"    # integers hold only what fits
    if not np.can_cast(array.dtype, own.dtype, casting):
        raise ValueError(f"hold {own.dtype}, got dtype {array.dtype}")
    if not own.flags.writeable and own is tensor:
        raise ValueError("be writable, got a read-only array; write array.copy() where it is made")
    with np.errstate(over="ignore"):
        new = np.array(array, own.dtype)
    if new.dtype != array.dtype and new.dtype.kind == "f":
        too_large = array[np.isinf(new) & ~np.isinf(array)]
        if too_large.size:
            largest = np.abs(too_large).max()
            raise ValueError(f"be in the range of {own.dtype}, got {largest}")
    return new


def _advice(own, state):
    """What to write if the keys differ by a prefix, or the state is an entry of `state`."""
    for key, value in state.items():
        if isinstance(value, Mapping):
            return f"; write load_state_dict(state[{key!r}])"
    first = next(iter(own), "")
    for key in map(str, state):
        if key.endswith(f".{first}") and first:
            prefix = key.removesuffix(first)
            if all(prefix + name in state for name in own):
                return (f"; write {{key.removeprefix({prefix!r}): value "
                        "for key, value in state.items()}")
        if first.endswith(f".{key}"):
            prefix = first.removesuffix(key)
            if all(name.startswith(prefix) and name.removeprefix(prefix) in state for name in own):
                return f"; write {{{prefix!r} + key: value for key, value in state.items()}}"
    return ""
