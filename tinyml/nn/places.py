"""Places: one module may stand at several places of a model.

Problem: one ReLU object may follow two layers, and one layer may be used twice. Then "the output
of this ReLU" means two things, and a method that knows a place by its module mixes them up.

Idea: run a copy of the model in which every place has a module of its own. In the copy a module
*is* its place, so a hook can tell places apart. The run changes modes, gradients and buffers of
the copy only.
"""
import copy

import numpy as np

from tinyml.nn.module import Module, Sequential


def untied(model):
    """A copy of the model, with equal outputs, in which no module stands at two places.

    A place is a path of `Module.named_modules`. A module that `forward` calls twice under one path
    stays one module. Two modules that share a parameter still share it, unless both were the same
    module.

    Parameters
    ----------
    model : Module

    Returns
    -------
    Module, with arrays of its own

    >>> from tinyml.nn import ReLU
    >>> relu = ReLU()
    >>> a, b = untied(Sequential(relu, relu))
    >>> a is b
    False
    """
    # Generators are copied as they are, not as new ones: the copy draws what the model would draw.
    generators = {id(rng): copy.deepcopy(rng) for _, module in model.named_modules()
                  for _, rng in module._attributes(np.random.Generator)}
    return _apart(copy.deepcopy(model, generators), seen=set())


def _apart(value, seen):
    """The value of an attribute, with a copy in place of each module that was seen before."""
    if isinstance(value, Module):
        value = copy.deepcopy(value) if id(value) in seen else value
        seen.add(id(value))
        vars(value).update({name: _apart(entry, seen) for name, entry in vars(value).items()})
        return value
    if isinstance(value, dict):
        copied = copy.copy(value)
        copied.update({key: _apart(entry, seen) for key, entry in value.items()})
        return copied
    if isinstance(value, (list, tuple)):
        entries = [_apart(entry, seen) for entry in value]
        return type(value)(*entries) if hasattr(value, "_fields") else type(value)(entries)
    return value


def is_chain(module):
    """Whether it is a Sequential that applies its layers one by one, and does nothing else."""
    return isinstance(module, Sequential) and type(module).forward is Sequential.forward


def opened(model):
    """The layers of a Sequential, and of Sequentials inside it, in the order of their calls.

    Parameters
    ----------
    model : Sequential

    Returns
    -------
    list of (path, Module)

    >>> from tinyml.nn import ReLU, Tanh
    >>> [path for path, _ in opened(Sequential(Sequential(ReLU(), Tanh()), ReLU()))]
    ['0.0', '0.1', '1']
    """
    layers = []
    for path, layer in model.named_children():
        if is_chain(layer):
            layers += [(f"{path}.{rest}", inner) for rest, inner in opened(layer)]
        else:
            layers.append((path, layer))
    return layers
