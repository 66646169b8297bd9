"""Weights and models in a file: plain arrays in an .npz, written whole or not at all.

`save` and `load` keep the arrays of a `state_dict`; whoever loads them has built the model before. A file of
`save_model` also tells how to build it. Neither uses pickle, which would run any code that a file names.
"""
import io
import json
import os
import zipfile
from pathlib import Path

import numpy as np

from tinyml.nn.skeleton import describe, rebuild

SKELETON = "__skeleton__"


def save(state, path):
    """Write a `state_dict` to an .npz file of plain arrays: no pickle, whole or not at all.

    Parameters
    ----------
    state : dict of str to array
    path : path-like; the file is written beside it and renamed

    Raises
    ------
    TypeError : state is not a dict of arrays
    """
    if not isinstance(state, dict):
        raise TypeError(f"save: state must be a dict of arrays, got {type(state).__name__}; "
                        "write save(model.state_dict(), path)")
    names = [key for key in state if not isinstance(key, str) or "\0" in key]
    if names:
        raise TypeError(f"save: state must have str keys without a zero character, got {names[0]!r}")
    arrays = {key: np.asarray(value) for key, value in state.items()}
    objects = [key for key, array in arrays.items() if array.dtype.hasobject]
    if objects:
        raise TypeError(f"save: state must hold arrays of numbers, got objects under {', '.join(objects)}")
    path = Path(path)
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with zipfile.ZipFile(beside, "w") as archive:    # the layout of np.savez, with any key allowed
            for key, array in arrays.items():
                with archive.open(key + ".npy", "w", force_zip64=True) as file:
                    np.lib.format.write_array(file, array, allow_pickle=False)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def load(path):
    """Read a file of `save` back: a dict of path to array, for `Module.load_state_dict`.

    Raises
    ------
    FileNotFoundError : there is no such file
    ValueError : the file is truncated, damaged, holds objects, or is not an .npz file
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return {name.removesuffix(".npy"): _array(archive.read(name)) for name in archive.namelist()}
    except FileNotFoundError:
        raise
    except Exception as error:
        raise ValueError(f"load: path must name a whole .npz file of arrays, got {path}: {error}") from error


def _array(entry):
    """The array of an .npy file's bytes, which were read to the end: only then is their checksum tested."""
    return np.lib.format.read_array(io.BytesIO(entry), allow_pickle=False)


def save_model(model, path):
    """Write a model to a file, its classes and settings beside its arrays: `load_model` needs nothing else.

    Parameters
    ----------
    model : Module
    path : path-like; the file is written beside it and renamed

    Raises
    ------
    TypeError : an attribute of a module is neither a number, str, None, array, tensor, module, default_rng
        generator, nor a list, tuple or dict of such
    """
    skeleton, arrays = describe(model)
    save({SKELETON: np.frombuffer(json.dumps(skeleton).encode(), np.uint8), **arrays}, path)


def load_model(path, classes=()):
    """Read a file of `save_model` back: a model that computes what the saved one computed, bit for bit.

    Parameters
    ----------
    path : path-like
    classes : iterable of Module subclasses of your own that the model has; those of tinyml are known

    Raises
    ------
    FileNotFoundError : there is no such file
    ValueError : the file is damaged or holds no model, or a class is unknown
    """
    arrays = load(path)
    if SKELETON not in arrays:
        raise ValueError(f"load_model: path must name a file of save_model, got {path} with arrays only; "
                         "write model.load_state_dict(load(path))")
    return rebuild(json.loads(arrays.pop(SKELETON).tobytes()), arrays, classes)
