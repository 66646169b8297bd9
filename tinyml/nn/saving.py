"""Weights in a file: plain arrays in an .npz, written whole or not at all."""
import io
import os
import zipfile
from pathlib import Path

import numpy as np


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
