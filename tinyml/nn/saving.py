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
