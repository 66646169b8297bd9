"""Folding: a batch norm becomes part of the layer before it.

In evaluation mode a batch norm is an affine map of each channel, and the layer before it is
affine, too. Folded into one layer, they need one product and one quantization (Jacob et al. 2018,
Quantization and training of neural networks for efficient integer-arithmetic-only inference,
section 3.2).
"""
import copy

import numpy as np

from tinyml.check import warn
from tinyml.nn.layers import Conv1d, Conv2d, Linear
from tinyml.nn.module import Parameter
from tinyml.nn.norms import BatchNorm1d, BatchNorm2d
from tinyml.nn.places import is_chain

NORM_OF = {Linear: BatchNorm1d, Conv1d: BatchNorm1d, Conv2d: BatchNorm2d}


def fold_norm(layer, norm):
    """One layer in place of a layer and the batch norm behind it, equal in evaluation mode.

        gamma (W x + b - mean) / sqrt(var + eps) + beta  =  W' x + b'
        W' = factor W,    b' = factor (b - mean) + beta,    factor = gamma / sqrt(var + eps)

    per output channel, with the running mean and variance.

    Parameters
    ----------
    layer : a Linear, Conv1d or Conv2d; it is not changed
    norm : a BatchNorm1d or BatchNorm2d with a feature for each output channel

    Returns
    -------
    a layer of the same class, with a weight and a bias of its own
    """
    factor = norm.weight.data / np.sqrt(norm.running_var.data + norm.eps)    # (channels,)
    bias = 0 if layer.bias is None else layer.bias.data
    folded = copy.copy(layer)
    folded.weight = Parameter((factor * layer.weight.data.T).T)    # channels are axis 0
    folded.bias = Parameter(factor * (bias - norm.running_mean.data) + norm.bias.data)
    return folded


def fold_batch_norm(model):
    """A copy of the model in which batch norms right behind a layer are folded into it.

    In evaluation mode the outputs agree up to rounding. All Sequentials of the model are folded,
    also a norm behind a Sequential that ends with a layer. A norm that is first, or behind
    anything else, stays. A layer at several places is folded only where a norm follows it. The
    outputs of a Linear in front of a norm must have shape (N, features).

    Parameters
    ----------
    model : Module, a Sequential or one that has Sequentials inside; it is not changed

    Returns
    -------
    Module of the class of model, in evaluation mode: only there it agrees with the model

    Raises
    ------
    TypeError : the model is not a Sequential, and contains none
    ValueError : the weight in front of a batch norm is computed, such as a quantized one

    Warns
    -----
    UserWarning : a batch norm is not in a Sequential, so the layer in front of it is not known
    """
    model = copy.deepcopy(model)
    modules = list(model.named_modules())
    chains = [(path, module) for path, module in modules if is_chain(module)]
    if not chains:
        raise TypeError("fold_batch_norm: model must be a Sequential, or have one inside, got "
                        f"{type(model).__name__}")
    for path, chain in reversed(chains):    # inner ones first
        _fold_chain(path, chain)
    outside = [f"{path}.{name}".strip(".")
               for path, module in modules if not is_chain(module)
               for name, child in module.named_children() if isinstance(child, BatchNorm1d)]
    if outside:
        warn(f"fold_batch_norm: left {', '.join(outside)}; write layer and norm into one "
             "Sequential")
    return model.eval()


def _fold_chain(path, chain):
    """Fold the layers of one Sequential, in place."""
    prefix = f"{path}." if path else ""
    layers = dict(chain.named_children())
    folded = fold_layers({prefix + name: layer for name, layer in layers.items()})
    for name in layers:
        del vars(chain)[name]
    vars(chain).update({str(i): layer for i, layer in enumerate(folded.values())})


def fold_layers(layers):
    """Layers that are applied one by one, without the batch norms that could be folded.

    Parameters
    ----------
    layers : dict of path to Module, in the order of their calls

    Returns
    -------
    dict of path to Module
    """
    folded = {}
    for path, module in layers.items():
        before = next(reversed(folded), None)
        merged = None if before is None else _with_norm(folded[before], module, path)
        if merged is None:
            folded[path] = module
        else:
            folded[before] = merged
    return folded


def _with_norm(layer, norm, path):
    """The layer, or Sequential that ends with one, with the norm at `path` folded in; or None."""
    if is_chain(layer) and len(layer):
        *_, (name, last) = layer.named_children()
        merged, layer = _with_norm(last, norm, path), copy.copy(layer)
        vars(layer)[name] = merged
        return None if merged is None else layer
    if type(norm) is not NORM_OF.get(type(layer)):
        return None
    if not isinstance(layer.weight, Parameter):
        kind = type(layer.weight).__name__
        raise ValueError(f"fold_batch_norm: the weight in front of {path} must be a Parameter, "
                         f"got a {kind}; fold first, then quantize or share")
    return fold_norm(layer, norm) if norm.num_features == len(layer.weight) else None
