"""Structured pruning: whole units and filters leave, and the arrays of the model shrink with them.

Problem: a single zero inside a weight matrix saves nothing that a matrix product would notice. To be faster,
a network needs smaller matrices; but which units can it do without?

Idea: unit k of a layer writes feature map z_k. To remove it is to set z_k = 0, which changes the cost C by
C(z_k = 0) - C; the *oracle* computes this, one forward pass per unit. Its first-order Taylor expansion in
z_k needs one backward pass for all the units together:

    |C(z_k = 0) - C|  ~  Theta_k = | 1/M sum_m dC/dz_km z_km |      m: the M positions of a feature map

averaged over samples, divided by the layer's l2 norm, so that layers can be compared. The units of least
Theta go: rows of the weight and bias, entries of a batch norm, columns of the next layer. Some training
repairs what they did, and the next few go.

Sources: Molchanov, Tyree, Karras, Aila and Kautz 2016, Pruning convolutional neural networks for resource
efficient inference (section 2.2: criteria; 2.3: normalisation); Li, Kadav, Durdanovic, Samet and Graf 2017,
Pruning filters for efficient convnets (norms); MATH5836 week 10, section 10.2.1.
"""
import copy
import math
from typing import NamedTuple

import numpy as np

from tinyml import functional as F
from tinyml.check import check_real
from tinyml.nn import (AvgPool2d, BatchNorm1d, Conv2d, Dropout, Flatten, GELU, Linear, MaxPool2d,
                       Parameter, ReLU, Sequential, Tanh, forward_hook)
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
    TypeError, ValueError : weight is not real, not finite, or has no axis; order is neither 1 nor 2
    """
    weight = _units_first("norm_scores", "weight", weight)
    if order not in (1, 2):
        raise ValueError(f"norm_scores: order must be 1 or 2, got {order!r}")
    sizes = np.abs(weight.reshape(len(weight), math.prod(weight.shape[1:])))
    return sizes.sum(axis=1) if order == 1 else np.sqrt((sizes ** 2).sum(axis=1))


def activation_scores(z):
    """How large the feature maps of each unit are (Molchanov et al. 2016, section 2.2, after ReLU).

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
    d_z : array_like, of the same shape, the gradient of each sample's own cost C_n with respect to z

    Returns
    -------
    ndarray, shape (units,)

    Raises
    ------
    TypeError, ValueError : an argument is not real, not finite or empty, or the shapes differ
    """
    z, d_z = _samples_first("taylor_scores", "z", z), _samples_first("taylor_scores", "d_z", d_z)
    if z.shape != d_z.shape:
        raise ValueError(f"taylor_scores: d_z must have the shape of z, {z.shape}, got {d_z.shape}")
    return np.abs((z * d_z).mean(axis=2)).mean(axis=0)


def normalized(scores):
    """Theta / ||Theta||_2, so that the scores of layers of any scale can be compared; zeros stay zeros.

    (Molchanov et al. 2016, section 2.3.) scores : array_like, shape (units,); returns an ndarray of it.
    """
    scores = check_real("normalized", "scores", scores, ndim=1)
    length = np.linalg.norm(scores)
    return scores / length if length else scores


def lowest(scores, k):
    """Which units to keep when the k of lowest score go, over all layers together.

    Of equal scores the first layer, in the order of the dict, loses its unit first, and in it the first unit.
    The last unit that is left in a layer never goes.

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
        raise ValueError(f"lowest: k must be an int in 0..{most}, so that every layer keeps a unit, got "
                         f"{k!r}")
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
        raise ValueError(f"{function}: {name} must have a row for each unit, got shape {value.shape}")
    return value


def _samples_first(function, name, value):
    """(N, units, ...) as (N, units, M)."""
    value = check_real(function, name, value)
    if value.ndim < 2 or 0 in value.shape:
        raise ValueError(f"{function}: {name} must have shape (N, units, ...), not empty, got {value.shape}")
    return value.reshape(*value.shape[:2], -1)


# ------------------------------------------------------------ the units of a model

class Units(NamedTuple):
    """Where the units of one layer live in a `Sequential`: positions of modules."""

    layer: int           # the Linear or Conv2d that computes them
    norm: int | None     # a batch norm behind it
    output: int          # the module whose output is z: the activation, if there is one
    reader: int          # the next Linear or Conv2d


# What may stand between two layers: each works on single units and maps zeros to zeros.
BETWEEN = (ReLU, GELU, Tanh, Dropout, MaxPool2d, AvgPool2d, Flatten)


def prunable(model):
    """The units of every layer but the last, which belongs to the classes.

    Parameters
    ----------
    model : Sequential of Linear, Conv2d, and between them at most one batch norm, then activations with
        f(0) = 0, pooling, Dropout, Flatten

    Returns
    -------
    dict of int to Units, the position of each layer whose units can be removed

    Raises
    ------
    TypeError : the model is not a Sequential, or has another module between two layers
    """
    if not isinstance(model, Sequential):
        raise TypeError(f"prunable: model must be a Sequential, got {type(model).__name__}")
    found, layer, norm, output = {}, None, None, None
    for i, module in enumerate(model):
        if isinstance(module, (Linear, Conv2d)):
            if layer is not None:
                found[layer] = Units(layer, norm, output, reader=i)
            layer, norm, output = i, None, i
        elif isinstance(module, BatchNorm1d) and output == layer is not None:
            norm = output = i
        elif isinstance(module, (ReLU, GELU, Tanh)):
            output = i
        elif not isinstance(module, BETWEEN):
            raise TypeError(f"prunable: model must have only units that 0 switches off between its layers, "
                            f"got {type(module).__name__} at position {i}")
    return found


def feature_maps(model, X, y):
    """The feature maps of all prunable layers, and the gradients of each sample's cross-entropy.

    Adding a tensor of zeros to z changes nothing, and its gradient is dC/dz.

    Parameters
    ----------
    model : Sequential, used in evaluation mode
    X : ndarray, shape (N, ...)
    y : ndarray of int, shape (N,), labels

    Returns
    -------
    dict of int to (z, d_z), ndarrays of shape (N, units, ...)

    Raises
    ------
    TypeError, ValueError : as `prunable`, and for inputs that the model does not take
    """
    outputs = {id(model[units.output]): layer for layer, units in prunable(model).items()}
    maps, probes = {}, {}

    def probe(module, x, z):
        layer = outputs.get(id(module))
        if layer is None:
            return None
        maps[layer], probes[layer] = z.data, Tensor(np.zeros_like(z.data), requires_grad=True)
        return z + probes[layer]
    model.eval()
    with forward_hook(probe):
        cost = F.cross_entropy(model(Tensor(X)), y, reduction="sum")
    cost.backward()
    for parameter in model.parameters():    # of the probes alone the gradients are wanted
        parameter.grad = None
    return {layer: (maps[layer], probes[layer].grad) for layer in maps}


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
    model.eval()
    cost = lambda: F.cross_entropy(model(Tensor(X)), y).item()

    def without(output, k):
        def ablate(module, x, z):
            if module is output:
                gates = np.arange(z.shape[1]) != k
                return z * gates.reshape(-1, *[1] * (z.ndim - 2))    # (units, 1, ...)
        with forward_hook(ablate):
            return cost()
    full = cost()
    return {layer: np.array([abs(without(model[units.output], k) - full)
                             for k in range(len(model[layer].weight))])
            for layer, units in prunable(model).items()}


def unit_scores(model, X, y, *, criterion):
    """The normalised scores of all prunable units.

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
        scores = {layer: taylor_scores(z, d_z) for layer, (z, d_z) in feature_maps(model, X, y).items()}
    elif criterion == "activation":
        scores = {layer: activation_scores(z) for layer, (z, _) in feature_maps(model, X, y).items()}
    else:
        raise ValueError('unit_scores: criterion must be "norm", "activation", "taylor" or "oracle", got '
                         f"{criterion!r}")
    return {layer: normalized(s) for layer, s in scores.items()}


# ------------------------------------------------------------ removal

def mask_units(model, keep):
    """A copy of the model with its shapes as they are, and the units that are not kept switched off.

    Their weights, biases and batch norm entries are zero: z_k = 0 for every input.

    Parameters
    ----------
    model : Sequential, as in `prunable`
    keep : dict of int to array_like of bool, shape (units,), True for the units to keep

    Raises
    ------
    TypeError, ValueError : as `remove_units`
    """
    model, groups = copy.deepcopy(model), _checked("mask_units", model, keep)
    for layer, (units, kept) in groups.items():
        for module in (model[layer], *([model[units.norm]] if units.norm is not None else [])):
            for parameter in (module.weight, module.bias):
                if parameter is not None:
                    parameter.data = parameter.data * kept.reshape(-1, *[1] * (parameter.ndim - 1))
    return model


def remove_units(model, keep):
    """A new, smaller model without the units that are not kept. It computes what `mask_units` computes.

    Rows leave the layer's weight and bias and its batch norm; the next layer loses the columns that
    read them: one for a Linear, a channel for a Conv2d, H W columns for a Linear behind a Flatten.

    Parameters
    ----------
    model : Sequential, as in `prunable`; it is not changed
    keep : dict of int to array_like of bool, shape (units,), True for the units to keep, at least one

    Returns
    -------
    Sequential of the same layers, smaller, in the mode that the model is in; it shares no array with the model

    Raises
    ------
    TypeError : as `prunable`
    ValueError : keep names a layer without prunable units, has another shape, or keeps no unit
    """
    groups = _checked("remove_units", model, keep)
    small = copy.deepcopy(model)
    for layer, (units, kept) in groups.items():
        _take(small[layer], np.flatnonzero(kept), axis=0)
        if units.norm is not None:
            _take(small[units.norm], np.flatnonzero(kept), axis=0)
        reader = small[units.reader]
        per_unit = reader.weight.shape[1] // len(kept)    # H W behind a Flatten, else 1
        _take(reader, np.flatnonzero(np.repeat(kept, per_unit)), axis=1)
    return small


def _checked(function, model, keep):
    """{layer: (Units, mask)} or an error."""
    groups, checked = prunable(model), {}
    for layer, mask in keep.items():
        mask = np.asarray(mask)
        n_units = len(model[layer].weight) if layer in groups else 0
        if mask.shape != (n_units,) or mask.dtype != bool or not mask.any():
            raise ValueError(f"{function}: keep[{layer!r}] must be {n_units} booleans of one of the layers "
                             f"{list(groups)}, at least one of them True, got shape {mask.shape}, "
                             f"{np.count_nonzero(mask)} True")
        checked[layer] = groups[layer], mask
    return checked


def _take(module, index, *, axis):
    """Keep only these rows (axis 0: units that it computes) or columns (axis 1: units that it reads)."""
    module.weight = Parameter(np.take(module.weight.data, index, axis=axis))
    if axis == 0:
        for name in ("bias", "running_mean", "running_var"):
            tensor = getattr(module, name, None)
            if tensor is not None:
                vars(module)[name] = type(tensor)(tensor.data[index])
    size = {Linear: ("out_features", "in_features"), Conv2d: ("out_channels", "in_channels")}
    vars(module)[size.get(type(module), ("num_features",))[axis]] = len(index)
