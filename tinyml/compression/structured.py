"""Structured pruning: whole units and filters leave, and the arrays of the model shrink with them.

Problem: a single zero inside a weight matrix does not make a matrix product faster. To be faster,
a network needs smaller matrices; but which units can it do without?

Idea: unit k of a layer writes feature map z_k. To remove it is to set z_k = 0, which changes the
cost C by C(z_k = 0) - C; the *oracle* computes this, one forward pass per unit. Its first-order
Taylor expansion in z_k needs one backward pass for all the units together:

    |C(z_k = 0) - C|  ~  Theta_k = | 1/M sum_m dC/dz_km z_km |      m: the M positions of a map

averaged over samples, divided by the layer's l2 norm, so that layers can be compared. The units of
least Theta go: rows of the weight and bias, entries of a batch norm, columns of the next layer.
Some training repairs what they did, and the next few go.

Sources: Molchanov, Tyree, Karras, Aila and Kautz 2016, Pruning convolutional neural networks for
resource efficient inference (section 2.2: criteria; 2.3: normalisation); Li, Kadav, Durdanovic,
Samet and Graf 2017, Pruning filters for efficient convnets (norms); MATH5836 week 10, section
10.2.1.
"""
import copy
import math
from typing import NamedTuple

import numpy as np

from tinyml import functional as F
from tinyml.check import check_real
from tinyml.nn import (BatchNorm1d, Conv1d, Conv2d, Dropout, Flatten, GELU, Linear, MaxPool2d,
                       Parameter, ReLU, Tanh, forward_hook)
from tinyml.nn.places import is_chain, untied
from tinyml.tensor import Tensor, no_grad


def norm_scores(weight, *, order=2):
    """How long the weights of each unit are (Li et al. 2017: order 1).

        Theta_k = (sum_j |w_kj|^order)^(1/order)

    Parameters
    ----------
    weight : array_like, shape (units, ...), a row or filter for each unit
    order : 1 or 2

    Returns
    -------
    ndarray, shape (units,)

    Raises
    ------
    TypeError, ValueError : weight is not real, not finite, or has no axis; order is neither 1 nor
        2
    """
    weight = _units_first("norm_scores", "weight", weight)
    if order not in (1, 2):
        raise ValueError(f"norm_scores: order must be 1 or 2, got {order!r}")
    sizes = np.abs(weight.reshape(len(weight), math.prod(weight.shape[1:])))
    return sizes.sum(axis=1) if order == 1 else np.sqrt((sizes ** 2).sum(axis=1))


def activation_scores(z):
    """How large the maps of each unit are (Molchanov et al. 2016, section 2.2, after ReLU).

        Theta_k = mean over samples and positions of |z_k|

    Parameters
    ----------
    z : array_like, shape (N, units, ...), feature maps of N samples, N >= 1

    Returns
    -------
    ndarray, shape (units,)

    Raises
    ------
    TypeError, ValueError : z is not real, not finite, empty, or has fewer than two axes
    """
    z = _samples_first("activation_scores", "z", z)
    return np.abs(z).mean(axis=(0, 2))


def taylor_scores(z, d_z):
    """The first-order change of the cost if a unit is removed (Molchanov et al. 2016, equation 8).

        Theta_k = 1/N sum_n | 1/M sum_m dC_n/dz_nkm z_nkm |

    Products of one sample may cancel within a feature map; those of different samples may not.

    Parameters
    ----------
    z : array_like, shape (N, units, ...), feature maps of N samples, M positions each
    d_z : array_like, of the same shape, the gradient of each sample's own cost C_n with respect to
        z

    Returns
    -------
    ndarray, shape (units,)

    Raises
    ------
    TypeError, ValueError : an argument is not real, not finite or empty, or the shapes differ
    """
    z, d_z = _samples_first("taylor_scores", "z", z), _samples_first("taylor_scores", "d_z", d_z)
    if z.shape != d_z.shape:
        raise ValueError(f"taylor_scores: d_z must have the shape of z, {z.shape}, "
                         f"got {d_z.shape}")
    return np.abs((z * d_z).mean(axis=2)).mean(axis=0)


def normalized(scores):
    """Theta / ||Theta||_2, so that layers of any scale can be compared; zeros stay zeros.

    (Molchanov et al. 2016, section 2.3.) scores : array_like, shape (units,); returns an ndarray
    of it.
    """
    scores = check_real("normalized", "scores", scores, ndim=1)
    length = np.linalg.norm(scores)
    return scores / length if length else scores


def lowest(scores, k):
    """Which units to keep when the k of lowest score go, over all layers together.

    Of equal scores the first layer, in the order of the dict, loses its unit first, and in it the
    first unit. The last unit that is left in a layer never goes.

    Parameters
    ----------
    scores : dict of layer, any key, to array_like, shape (units,)
    k : int >= 0, at most the number of units less one for each layer

    Returns
    -------
    dict of layer to ndarray of bool, shape (units,), True for the units to keep

    Raises
    ------
    TypeError, ValueError : scores are not real vectors, or k is out of range

    Examples
    --------
    >>> lowest({0: [3, 1], 2: [2, 9, 2]}, 2)
    {0: array([ True, False]), 2: array([False,  True,  True])}
    """
    scores = {layer: check_real("lowest", "scores", s, ndim=1) for layer, s in scores.items()}
    keep = {layer: np.ones(len(s), bool) for layer, s in scores.items()}
    most = sum(max(len(s) - 1, 0) for s in scores.values())
    if not isinstance(k, (int, np.integer)) or not 0 <= k <= most:
        raise ValueError(f"lowest: k must be an int in 0..{most}, so that every layer keeps a "
                         f"unit, got {k!r}")
    order = sorted((score, i, unit, layer) for i, (layer, s) in enumerate(scores.items())
                   for unit, score in enumerate(s.tolist()))
    for _, _, unit, layer in order:
        if k and keep[layer].sum() > 1:
            keep[layer][unit] = False
            k -= 1
    return keep


def _units_first(function, name, value):
    """The value as a real array (units, ...), or an error."""
    value = check_real(function, name, value)
    if value.ndim < 1:
        raise ValueError(f"{function}: {name} must have a row for each unit, "
                         f"got shape {value.shape}")
    return value


def _samples_first(function, name, value):
    """(N, units, ...) as (N, units, M)."""
    value = check_real(function, name, value)
    if value.ndim < 2 or 0 in value.shape:
        raise ValueError(f"{function}: {name} must have shape (N, units, ...), not empty, "
                         f"got {value.shape}")
    return value.reshape(*value.shape[:2], -1)


# ------------------------------------------------------------ the units of a model

LAYERS = (Linear, Conv1d, Conv2d)

# What may stand between two layers: each works on single units and maps zeros to zeros.
BETWEEN = (ReLU, GELU, Tanh, Dropout, MaxPool2d, Flatten)    # and the other pools, its subclasses


class Units(NamedTuple):
    """Where the units of one layer live in a `Sequential`: positions of modules."""

    layer: int           # the Linear, Conv1d or Conv2d that computes them
    norm: int | None     # a batch norm behind it
    output: int          # the module whose output is z: the activation, if there is one
    reader: int          # the next Linear, Conv1d or Conv2d


def prunable(model):
    """The units of every layer but the last, which belongs to the classes.

    What counts is the position, not the module: one ReLU, or one layer, may stand at several
    positions.

    Parameters
    ----------
    model : Sequential of Linear, Conv1d, Conv2d, and between them at most one batch norm, then
        activations with f(0) = 0, pooling, Dropout, Flatten

    Returns
    -------
    dict of int to Units, the position of each layer whose units can be removed

    Raises
    ------
    TypeError : the model is not a Sequential, or has another module between two layers
    ValueError : a layer does not read the units of the one before
    """
    if not is_chain(model):
        raise TypeError(f"prunable: model must be a Sequential, got {type(model).__name__}")
    found, layer, norm, output = {}, None, None, None
    for i, module in enumerate(model):
        if _is_plain(module, LAYERS):
            if layer is not None:
                _check_reader(model, layer, i)
                found[layer] = Units(layer, norm, output, reader=i)
            layer, norm, output = i, None, i
        elif _is_plain(module, (BatchNorm1d,)) and output == layer is not None:
            _check_norm(model, layer, i)
            norm = output = i
        elif _is_plain(module, (ReLU, GELU, Tanh)):
            output = i
        elif not _is_plain(module, BETWEEN):
            advice = "; write its layers one by one in the outer Sequential" * is_chain(module)
            raise TypeError("prunable: model must have behind each layer at most one batch norm, "
                            "then only ReLU, GELU, Tanh, Dropout, pooling and Flatten, which map 0 "
                            f"to 0, got {type(module).__name__} at position {i}{advice}")
    return found


def _is_plain(module, kinds):
    """Whether it is of one of these classes and computes what that class computes."""
    return any(isinstance(module, kind) and type(module).forward is kind.forward for kind in kinds)


def _check_reader(model, layer, reader):
    """Raise ValueError unless the layer at `reader` reads the units of the one at `layer`."""
    source, target = model[layer], model[reader]
    columns, units, between = _inputs(target), _units(source), list(model)[layer:reader]
    if isinstance(source, Linear) and any(isinstance(module, MaxPool2d) for module in between):
        fits = False    # a pool would mix its units, which are on the last axis
    elif any(isinstance(module, Flatten) for module in between):
        fits = isinstance(target, Linear) and columns % units == 0
    else:
        fits = isinstance(target, Linear) == isinstance(source, Linear) and columns == units
    if not fits:
        raise ValueError(f"prunable: the {type(target).__name__} at position {reader} must read the "
                         f"{units} units of the {type(source).__name__} at position {layer}, "
                         f"got {columns} inputs behind {[type(m).__name__ for m in between[1:]]}")


def _check_norm(model, layer, norm):
    """Raise ValueError unless the norm has an entry for each unit, or for each of its pixels."""
    features, units = model[norm].num_features, _units(model[layer])
    if features % units or isinstance(model[layer], Linear) and features != units:
        raise ValueError(f"prunable: the batch norm at position {norm} must have an entry for each "
                         f"of the {units} units of the layer at position {layer}, got {features}")


def _units(layer):
    """How many units a layer computes."""
    return layer.out_features if isinstance(layer, Linear) else layer.out_channels


def _inputs(layer):
    """How many units, or pixels of them, a layer reads."""
    return layer.in_features if isinstance(layer, Linear) else layer.in_channels


def _entries(kept, layer, n):
    """The mask of a layer's units as a mask of n entries, several of each unit behind a Flatten.

    The pixels of a filter stand side by side; the numbers of a Linear's unit, one for each token,
    in turn.
    """
    times = n // len(kept)
    return np.tile(kept, times) if isinstance(layer, Linear) else np.repeat(kept, times)


def _by_unit(z, layer):
    """The outputs of a layer, perhaps flattened, as an array (N, units, positions)."""
    if isinstance(layer, Linear):
        return z.reshape(len(z), -1, _units(layer)).swapaxes(1, 2)    # (N, tokens, units) before
    return z.reshape(len(z), _units(layer), -1)


def feature_maps(model, X, y):
    """The feature maps of all prunable layers, and the gradients of each sample's cross-entropy.

    Adding a tensor of zeros to z changes nothing, and its gradient is dC/dz. The model stays as it
    is, its mode and its gradients too: a copy is run, in evaluation mode.

    Parameters
    ----------
    model : Sequential, as in `prunable`
    X : ndarray, shape (N, ...)
    y : ndarray of int, shape (N,), labels

    Returns
    -------
    dict of int to (z, d_z), ndarrays of shape (N, units, M), M positions of each unit

    Raises
    ------
    TypeError, ValueError : as `prunable`, and for inputs that the model does not take
    """
    model = untied(model).eval()
    outputs = {id(model[units.output]): layer for layer, units in prunable(model).items()}
    maps, probes = {}, {}

    def probe(module, x, z):
        layer = outputs.get(id(module))
        if layer is None:
            return None
        maps[layer], probes[layer] = z.data, Tensor(np.zeros_like(z.data), requires_grad=True)
        return z + probes[layer]
    with forward_hook(probe):
        cost = F.cross_entropy(model(Tensor(X)), y, reduction="sum")
    cost.backward()
    return {layer: tuple(_by_unit(array, model[layer]) for array in (z, probes[layer].grad))
            for layer, z in maps.items()}


@no_grad()
def oracle_scores(model, X, y):
    """|C(z_k = 0) - C| for every prunable unit, each by a forward pass of its own.

    Parameters
    ----------
    model, X, y : as in `feature_maps`; C is the mean cross-entropy

    Returns
    -------
    dict of int to ndarray, shape (units,)

    Raises
    ------
    TypeError, ValueError : as `feature_maps`
    """
    model = untied(model).eval()

    def cost():
        return F.cross_entropy(model(Tensor(X)), y).item()

    def without(units, k):
        layer, output = model[units.layer], model[units.output]
        others = np.arange(_units(layer)) != k

        def ablate(module, x, z):
            if module is output:
                axis = -1 if isinstance(layer, Linear) else 1
                gates = _entries(others, layer, z.shape[axis])
                return z * (gates if axis == -1 else gates.reshape(-1, *[1] * (z.ndim - 2)))
        with forward_hook(ablate):
            return cost()
    full = cost()
    return {layer: np.array([abs(without(units, k) - full) for k in range(_units(model[layer]))])
            for layer, units in prunable(model).items()}


def unit_scores(model, X, y, *, criterion):
    """The normalised scores of all prunable units; the model stays as it is.

    Parameters
    ----------
    model, X, y : as in `feature_maps`
    criterion : "norm", "activation", "taylor" or "oracle"

    Returns
    -------
    dict of int to ndarray, shape (units,), for `lowest`

    Raises
    ------
    TypeError, ValueError : as `feature_maps`; an unknown criterion
    """
    if criterion == "norm":
        scores = {layer: norm_scores(model[layer].weight.data) for layer in prunable(model)}
    elif criterion == "oracle":
        scores = oracle_scores(model, X, y)
    elif criterion == "taylor":
        maps = feature_maps(model, X, y)
        scores = {layer: taylor_scores(z, d_z) for layer, (z, d_z) in maps.items()}
    elif criterion == "activation":
        maps = feature_maps(model, X, y)
        scores = {layer: activation_scores(z) for layer, (z, _) in maps.items()}
    else:
        raise ValueError('unit_scores: criterion must be "norm", "activation", "taylor" or "oracle", '
                         f"got {criterion!r}")
    return {layer: normalized(s) for layer, s in scores.items()}


# ------------------------------------------------------------ removal

def mask_units(model, keep):
    """A copy of the model, of the same shapes, with the units that are not kept switched off.

    Their weights, biases and batch norm entries are zero: z_k = 0 for every input. A module or a
    parameter that stands at other places too stays as it is there: the changed place gets one of
    its own.

    Parameters
    ----------
    model : Sequential, as in `prunable`
    keep : dict of int to array_like of bool, shape (units,), True for the units to keep

    Raises
    ------
    TypeError, ValueError : as `remove_units`
    """
    groups, masked = _checked("mask_units", model, keep), copy.deepcopy(model)
    for layer, (units, kept) in groups.items():
        for place in (layer, units.norm) if units.norm is not None else (layer,):
            module = _own(masked, place)
            for name in ("weight", "bias"):
                parameter = getattr(module, name)
                if parameter is not None:
                    on = _entries(kept, model[layer], len(parameter))
                    on = on.reshape(-1, *[1] * (parameter.ndim - 1))
                    vars(module)[name] = _like(parameter, parameter.data * on)
    return masked


def remove_units(model, keep):
    """A smaller model without the units that are not kept. It computes what `mask_units` computes.

    Rows leave the layer's weight and bias and its batch norm; the next layer loses the columns
    that read them: one for a Linear, a channel for a convolution, H W columns for a Linear behind
    a Flatten. A layer that stands at other places too keeps its size there.

    Parameters
    ----------
    model : Sequential, as in `prunable`; it is not changed
    keep : dict of int to array_like of bool, shape (units,), True for the units to keep, at least
        one

    Returns
    -------
    Sequential of the same layers, smaller, in the mode that the model is in; it shares no array
    with the model

    Raises
    ------
    TypeError : as `prunable`
    ValueError : keep names a layer without prunable units, has another shape, or keeps no unit; a
        weight is computed, such as a quantized one
    """
    groups = _checked("remove_units", model, keep)
    small = copy.deepcopy(model)
    for layer, (units, kept) in groups.items():
        _take(small, layer, kept, axis=0)
        if units.norm is not None:
            features = model[units.norm].num_features
            _take(small, units.norm, _entries(kept, model[layer], features), axis=0)
        columns = model[units.reader].weight.shape[1]    # H W for each unit behind a Flatten
        _take(small, units.reader, _entries(kept, model[layer], columns), axis=1)
    return small


def _checked(function, model, keep):
    """{layer: (Units, mask)} or an error."""
    groups, checked = prunable(model), {}
    for layer, mask in keep.items():
        mask = np.asarray(mask)
        if layer not in groups:
            raise ValueError(f"{function}: keep must name layers with prunable units, of "
                             f"{list(groups)}, got {layer!r}")
        units = _units(model[layer])
        if mask.shape != (units,) or mask.dtype != bool or not mask.any():
            raise ValueError(f"{function}: keep[{layer!r}] must be {units} booleans, at least one "
                             f"of them True, got dtype {mask.dtype}, shape {mask.shape}, "
                             f"{np.count_nonzero(mask)} True")
        for i in (layer, groups[layer].reader):
            if not isinstance(model[i].weight, Parameter):
                raise ValueError(f"{function}: {i}.weight must be a Parameter, got a "
                                 f"{type(model[i].weight).__name__}; remove units first, then "
                                 "quantize or share")
        checked[layer] = groups[layer], mask
    return checked


def _own(model, place):
    """The module at a position of a Sequential, made one that stands there alone."""
    name, module = list(model.named_children())[place]
    vars(model)[name] = copy.copy(module)
    return vars(model)[name]


def _take(model, place, kept, *, axis):
    """Keep only these rows (axis 0) or columns (axis 1) of the module at a position."""
    module, index = _own(model, place), np.flatnonzero(kept)
    module.weight = _like(module.weight, np.take(module.weight.data, index, axis=axis))
    if axis == 0:
        for name in ("bias", "running_mean", "running_var"):
            tensor = getattr(module, name, None)
            if tensor is not None:
                vars(module)[name] = _like(tensor, tensor.data[index])
    if isinstance(module, BatchNorm1d):
        module.num_features = len(index)
    elif isinstance(module, Linear):
        vars(module)[("out_features", "in_features")[axis]] = len(index)
    else:
        vars(module)[("out_channels", "in_channels")[axis]] = len(index)


def _like(tensor, array):
    """A tensor or parameter of this array, which wants a gradient if the other does."""
    return type(tensor)(array, requires_grad=tensor.requires_grad)
