"""A whole model in an .npz file: its arrays, and how to build the modules that hold them.

`tinyml.nn.npz` stores the arrays of a `state_dict`; to load them, you build the model first. A
file of `save_model` also says how to build it. Neither uses pickle, which would run any code that
a file names.
"""
import json

import numpy as np

from tinyml.nn.npz import load, save
from tinyml.nn.skeleton import describe, rebuild

SKELETON = "__skeleton__"


def save_model(model, path):
    """Write a model to a file: its classes, its settings and its arrays.

    Parameters
    ----------
    model : Module
    path : path-like; the file is replaced as a whole

    Raises
    ------
    TypeError : an attribute cannot be written, such as a lambda (`tinyml.nn.skeleton.describe`);
        the message names it and says what to write instead
    ValueError : two classes of the model have the same module and name
    """
    skeleton, arrays = describe(model)
    text = json.dumps(skeleton).encode()
    save({SKELETON: np.frombuffer(text, np.uint8), **arrays}, path)


def load_model(path, classes=()):
    """Read a model back that computes what the saved one computed, bit for bit.

    Parameters
    ----------
    path : path-like
    classes : the Module subclasses of your own that the model contains, one or a list. They are
        found by module and name. Give a dict, {"old.module.Name": Class}, if a class has moved.
        A class of a script, ``__main__``, is found by its name alone.

    Returns
    -------
    Module

    Raises
    ------
    FileNotFoundError : there is no such file
    TypeError : classes holds something else
    ValueError : the file is damaged or holds no model, or a class is unknown or ambiguous
    """
    arrays = load(path)
    if SKELETON not in arrays:
        raise ValueError(f"load_model: path must name a file of save_model, got {path} with "
                         "arrays only; write model.load_state_dict(load(path))")
    try:
        skeleton = json.loads(arrays.pop(SKELETON).tobytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"load_model: path must name a file of save_model, got {path}, whose "
                         f"skeleton is no JSON: {error}") from error
    return rebuild(skeleton, arrays, classes)
