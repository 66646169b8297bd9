"""Units: where the arrays of a network keep the numbers of one unit.

Problem: to remove unit k of a layer, which entries of which arrays must go?

Idea: in a `Sequential` the answer depends on positions only:

    the layer         row k of its weight, entry k of its bias
    its batch norm    entry k of each vector
    a depthwise convolution behind it, which reads z_k only: filter k, entry k of its bias
    the next layer    the columns that read z_k: one for a Linear, a channel for a convolution,
                      H W columns for a Linear behind a Flatten

Behind a convolution, a Flatten puts the H W pixels of each channel side by side. Behind a Linear
that is applied to tokens, it puts all units of the first token first, then those of the second.
"""
import copy
from typing import NamedTuple

import numpy as np

from tinyml.contract import checked
from tinyml.nn.layers import GELU, Conv1d, Conv2d, Dropout, Flatten, Linear, MaxPool2d, ReLU, Tanh
from tinyml.nn.module import Parameter
from tinyml.nn.norms import BatchNorm1d
from tinyml.nn.places import is_chain

LAYERS = (Linear, Conv1d, Conv2d)
ACTIVATIONS = (ReLU, GELU, Tanh)

# What may stand between two layers: each works on single units and maps zeros to zeros.
BETWEEN = (*ACTIVATIONS, Dropout, MaxPool2d, Flatten)    # MaxPool2d and its subclasses


class Units(NamedTuple):
    """Where the units of one layer live in a `Sequential`: positions of modules."""

    layer: int           # the Linear, Conv1d or Conv2d that computes them
    rows: tuple          # modules with a row for each unit: batch norms, depthwise convolutions
    output: int          # the module whose output is z: the last activation, if there is one
    reader: int          # the next Linear, Conv1d or Conv2d


@checked
def prunable(
    model: "Sequential; with Linear, Conv1d and Conv2d layers; between two of them at "
           "most one batch norm, then activations with f(0) = 0, pooling, Dropout, "
           "Flatten. A depthwise convolution, perhaps with a batch norm and "
           "activations of its own, belongs to the units in front of it, one filter "
           "to each; other convolutions must have groups=1",
) -> "dict of int to Units, by the position of the layer":
    """Find the units of every layer but the last, whose units are the classes.

    The same module may stand at several positions, which count separately.
    """
    if not is_chain(model):
        raise TypeError("prunable: model must apply its layers one by one, got a "
                        f"{type(model).__name__} with a forward of its own")
    found, layer, rows, output, last = {}, None, (), None, None
    for i, module in enumerate(model):
        if layer is not None and _is_depthwise(model, layer, i):
            rows, output, last = (*rows, i), i, i
        elif _is_plain(module, LAYERS):
            _check_groups(model, i)
            if layer is not None:
                _check_reader(model, layer, i)
                found[layer] = Units(layer, rows, output, reader=i)
            layer, rows, output, last = i, (), i, i
        elif _is_plain(module, (BatchNorm1d,)) and layer is not None and output == last:
            _check_norm(model, layer, i)
            rows, output = (*rows, i), i
        elif _is_plain(module, ACTIVATIONS):
            output = i
        elif not _is_plain(module, BETWEEN):
            advice = "; write its layers one by one in the outer Sequential" * is_chain(module)
            raise TypeError("prunable: model must have behind each layer at most one batch norm, "
                            "then only ReLU, GELU, Tanh, Dropout, pooling and Flatten, which map "
                            f"0 to 0, got {type(module).__name__} at position {i}{advice}")
    return found


def _is_plain(module, kinds):
    """Whether it is of one of these classes and computes what that class computes."""
    return any(isinstance(module, kind) and type(module).forward is kind.forward for kind in kinds)


def _is_depthwise(model, layer, i):
    """Whether the module at position i has one filter for each unit of a convolution before it."""
    module, source = model[i], model[layer]
    if not _is_plain(module, (Conv1d, Conv2d)) or isinstance(source, Linear) or module.groups == 1:
        return False
    between = list(model)[layer + 1:i]
    return (module.groups == module.in_channels == module.out_channels == n_units(source)
            and not any(isinstance(one, Flatten) for one in between))


def _check_groups(model, i):
    """Raise ValueError if the layer at position i cannot lose single units or inputs."""
    groups = getattr(model[i], "groups", 1)
    if groups > 1:
        raise ValueError(f"prunable: the {type(model[i]).__name__} at position {i} must have "
                         "groups=1, or one filter for each unit of a convolution in front of it, "
                         f"got {model[i].out_channels} filters in groups={groups}")


def _check_reader(model, layer, reader):
    """Raise ValueError unless the layer at `reader` reads the units of the one at `layer`."""
    source, target = model[layer], model[reader]
    between = list(model)[layer + 1:reader]
    columns = target.in_features if isinstance(target, Linear) else target.in_channels
    units = n_units(source)
    if isinstance(source, Linear) and any(isinstance(module, MaxPool2d) for module in between):
        fits = False    # a pool would mix its units, which are on the last axis
    elif any(isinstance(module, Flatten) for module in between):
        fits = isinstance(target, Linear) and columns % units == 0
    else:
        fits = isinstance(target, Linear) == isinstance(source, Linear) and columns == units
    if not fits:
        raise ValueError(f"prunable: the {type(target).__name__} at position {reader} must read "
                         f"the {units} units of the {type(source).__name__} at position {layer}, "
                         f"got {columns} inputs behind {[type(m).__name__ for m in between]}")


def _check_norm(model, layer, norm):
    """Raise ValueError unless the norm has an entry for each unit, or for each of its pixels."""
    features, units = model[norm].num_features, n_units(model[layer])
    if features % units or isinstance(model[layer], Linear) and features != units:
        raise ValueError(f"prunable: the batch norm at position {norm} must have an entry for "
                         f"each of the {units} units of the layer at position {layer}, "
                         f"got {features}")


def n_units(layer):
    """How many units a Linear or convolution computes."""
    return layer.out_features if isinstance(layer, Linear) else layer.out_channels


def by_unit(z, layer):
    """The outputs of a layer, perhaps flattened, as an array (N, units, positions)."""
    if isinstance(layer, Linear):
        return z.reshape(len(z), -1, n_units(layer)).swapaxes(1, 2)    # (N, tokens, units) before
    return z.reshape(len(z), n_units(layer), -1)


def entry_mask(kept, layer, n):
    """The mask `kept` of a layer's units as a mask of n entries, several for each unit."""
    times = n // len(kept)
    return np.tile(kept, times) if isinstance(layer, Linear) else np.repeat(kept, times)


def without_unit(z, layer, k):
    """The outputs of a layer, a Tensor, with z_k = 0."""
    axis = -1 if isinstance(layer, Linear) else 1
    kept = np.arange(n_units(layer)) != k
    gates = entry_mask(kept, layer, z.shape[axis])
    if axis == 1:
        gates = gates.reshape(-1, *[1] * (z.ndim - 2))
    return z * gates


# ------------------------------------------------------------ changing a module at one position

def zero_entries(model, place, mask):
    """Set rows of the weight and entries of the bias to 0, except where the mask is True."""
    module = own_module(model, place)
    for name in ("weight", "bias"):
        parameter = getattr(module, name)
        if parameter is not None:
            column = mask.reshape(-1, *[1] * (parameter.ndim - 1))
            vars(module)[name] = _like(parameter, parameter.data * column)


def keep_entries(model, place, mask, *, axis):
    """Keep only the rows (axis 0) or columns (axis 1) of a module where the mask is True."""
    module, index = own_module(model, place), np.flatnonzero(mask)
    module.weight = _like(module.weight, np.take(module.weight.data, index, axis=axis))
    if axis == 0:
        for name in ("bias", "running_mean", "running_var"):
            vector = getattr(module, name, None)
            if vector is not None:
                vars(module)[name] = _like(vector, vector.data[index])
    if isinstance(module, BatchNorm1d):
        module.num_features = len(index)
    elif isinstance(module, Linear):
        vars(module)["out_features" if axis == 0 else "in_features"] = len(index)
    elif module.groups > 1:    # depthwise
        module.out_channels = module.in_channels = module.groups = len(index)
    else:
        vars(module)["out_channels" if axis == 0 else "in_channels"] = len(index)


def own_module(model, place):
    """Replace the module at one position of a Sequential by a copy, which it returns."""
    name, module = list(model.named_children())[place]
    vars(model)[name] = copy.copy(module)
    return vars(model)[name]


def _like(tensor, array):
    """A tensor of this array, with the class and the requires_grad of the other."""
    return type(tensor)(array, requires_grad=tensor.requires_grad)


def checked_masks(function, model, keep):
    """{position: (Units, mask)} of the layers that lose units; or an error."""
    units, masks = prunable(model), {}
    for layer, mask in keep.items():
        mask = np.asarray(mask)
        if layer not in units:
            raise ValueError(f"{function}: keep must name layers with prunable units, of "
                             f"{list(units)}, got {layer!r}")
        n = n_units(model[layer])
        if mask.shape != (n,) or mask.dtype != bool or not mask.any():
            raise ValueError(f"{function}: keep[{layer!r}] must be {n} booleans, at least one "
                             f"of them True, got dtype {mask.dtype}, shape {mask.shape}, "
                             f"{np.count_nonzero(mask)} True")
        for i in (layer, *units[layer].rows, units[layer].reader):
            if not isinstance(model[i].weight, Parameter):
                raise ValueError(f"{function}: {i}.weight must be a Parameter, got a "
                                 f"{type(model[i].weight).__name__}; remove units first, then "
                                 "quantize or share")
        masks[layer] = units[layer], mask
    return masks
