"""A state is taken over as a whole or not at all: its keys, shapes and dtypes are checked first."""
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from tinyml.tensor import Tensor


class LoadedKeys(NamedTuple):
    """What `Module.load_state_dict` did not find, and found no use for."""

    missing_keys: list
    unexpected_keys: list


def checked_arrays(name, own, state, strict):
    """The arrays that can take the place of a model's, by their names, and the `LoadedKeys`.

    Parameters
    ----------
    name : str, the model's class, for errors
    own : dict of path to Tensor or ndarray, what the model has
    state : dict of path to array_like or Tensor
    strict : bool, whether keys of one alone are an error

    Raises
    ------
    TypeError, ValueError : as `Module.load_state_dict`
    """
    if not isinstance(state, Mapping):
        write = "load(path)" if isinstance(state, str) else "model.state_dict()"
        raise TypeError(f"load_state_dict: state must be a dict of path to array, got {type(state).__name__}; "
                        f"write load_state_dict({write})")
    missing = [key for key in own if key not in state]
    unexpected = [key for key in state if key not in own and not _is_count(key, own)]
    problems = [f"missing {key}" for key in missing] + [f"unexpected {key}" for key in unexpected]
    problems, arrays, first_name = problems if strict else [], {}, {}
    for key in (key for key in own if key in state):
        try:
            arrays[key] = _converted(own[key], state[key])
            first = first_name.setdefault(id(own[key]), key)
            if arrays[key].tobytes() != arrays[first].tobytes():
                problems.append(f"{key} must equal {first}, which is the same tensor")
        except (ValueError, TypeError) as error:
            problems.append(f"{key} must {error}")
    if problems:
        raise ValueError(f"load_state_dict: state must match {name}, got {'; '.join(problems)}"
                         + _advice(own, state))
    return arrays, LoadedKeys(missing, unexpected)


def _is_count(key, own):
    """Whether it is PyTorch's count of the batches that a batch norm of ours has seen."""
    layer, _, last = str(key).rpartition(".")
    return last == "num_batches_tracked" and f"{layer}.running_mean".lstrip(".") in own


def array_of(tensor):
    """The array of a parameter or buffer."""
    return tensor.data if isinstance(tensor, Tensor) else tensor


def _converted(tensor, value):
    """The value as an array that can take the place of a tensor's, or an error that says what it must be."""
    own, array = array_of(tensor), np.asarray(array_of(value))
    if array.shape != own.shape:
        raise ValueError(f"have shape {own.shape}, got {array.shape}")
    if own.dtype.kind in "biuf" and array.dtype.kind not in "biuf":
        raise ValueError(f"hold real numbers, got dtype {array.dtype}")
    casting = "unsafe" if own.dtype.kind == "f" else "safe"    # integers hold only what fits
    if not np.can_cast(array.dtype, own.dtype, casting):
        raise ValueError(f"hold {own.dtype}, got dtype {array.dtype}")
    if not own.flags.writeable and own is tensor:
        raise ValueError("be writable, got a read-only array; write array.copy() where it is made")
    with np.errstate(over="ignore"):
        new = np.array(array, own.dtype)
    if own.dtype.kind == "f" and np.isinf(new).sum() > np.isinf(array).sum():
        raise ValueError(f"be in the range of {own.dtype}, got {np.abs(array[np.isinf(new)]).max()}")
    return new


def _advice(own, state):
    """What to write if the keys differ by a prefix, or `state` holds another one."""
    for key, value in state.items():
        if isinstance(value, Mapping):
            return f"; write load_state_dict(state[{key!r}])"
    first = next(iter(own), None)
    for key in state:
        prefix = str(key).removesuffix(first) if first and str(key).endswith(f".{first}") else ""
        if prefix and all(prefix + name in state for name in own):
            return (f"; write load_state_dict({{key.removeprefix({prefix!r}): value for key, value in "
                    "state.items()})")
    return ""
