"""Models in a file: how to build them beside their arrays, in an .npz that is written whole or not at all.

`tinyml.nn.npz` keeps the arrays of a `state_dict`; whoever loads them has built the model before. A file of
`save_model` also tells how to build it. Neither uses pickle, which would run any code that a file names.
"""
import json

import numpy as np

from tinyml.nn.npz import load, save
from tinyml.nn.skeleton import describe, rebuild

SKELETON = "__skeleton__"


def save_model(model, path):
    """Write a model to a file, its classes and settings beside its arrays: `load_model` needs nothing else.

    Parameters
    ----------
    model : Module
    path : path-like; the file is written beside it and renamed

    Raises
    ------
    TypeError : an attribute cannot be described (`tinyml.nn.skeleton.describe`), such as a lambda; the
        message names its path and says what to write
    ValueError : two classes of the model have the same module and name
    """
    skeleton, arrays = describe(model)
    save({SKELETON: np.frombuffer(json.dumps(skeleton).encode(), np.uint8), **arrays}, path)


def load_model(path, classes=()):
    """Read a file of `save_model` back: a model that computes what the saved one computed, bit for bit.

    Parameters
    ----------
    path : path-like
    classes : your own Module subclasses that the model has, one or a list; those of tinyml are known.
        They are found by module and name. A class that has moved since needs a dict,
        {"old.module.Name": Class}; a class of a script, ``__main__``, is found by its name alone.

    Raises
    ------
    FileNotFoundError : there is no such file
    TypeError : classes holds something else
    ValueError : the file is damaged or holds no model, or a class is unknown or ambiguous
    """
    arrays = load(path)
    if SKELETON not in arrays:
        raise ValueError(f"load_model: path must name a file of save_model, got {path} with arrays only; "
                         "write model.load_state_dict(load(path))")
    try:
        skeleton = json.loads(arrays.pop(SKELETON).tobytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"load_model: path must name a file of save_model, got {path}, whose "
                         f"skeleton is no JSON: {error}") from error
    return rebuild(skeleton, arrays, classes)
