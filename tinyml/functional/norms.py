"""Normalisation of layers' outputs: over the features of a sample, or over the samples of a batch."""
import numpy as np

from tinyml import ops
from tinyml.tensor import as_tensor


def layer_norm(x, normalized_shape, weight=None, bias=None, eps=1e-5):
    """(x - mean) / sqrt(var + eps) * weight + bias, with mean and variance over the last axes of each sample.

    Ba, Kiros and Hinton 2016, equations 3 and 4.

    Parameters
    ----------
    x : Tensor, shape (..., *normalized_shape)
    normalized_shape : tuple of int
    weight, bias : Tensor, shape normalized_shape, or None
    eps : float > 0

    Raises
    ------
    ValueError : x does not end in normalized_shape
    """
    x, normalized_shape = as_tensor(x), tuple(normalized_shape)
    if x.shape[x.ndim - len(normalized_shape):] != normalized_shape or x.ndim < len(normalized_shape):
        raise ValueError(f"layer_norm: x must have shape (..., {', '.join(map(str, normalized_shape))}), "
                         f"got {x.shape}")
    axes = tuple(range(-len(normalized_shape), 0))
    return _affine(_standardise(x, axes, eps), weight, bias)


def batch_norm(x, running_mean=None, running_var=None, weight=None, bias=None, training=False,
               momentum=0.1, eps=1e-5):
    """(x - mean) / sqrt(var + eps) * weight + bias, channel by channel (axis 1).

    Ioffe and Szegedy 2015, algorithm 1. In training, mean and variance are the batch's, and the
    running ones move towards them (the variance's estimate unbiased, as in PyTorch):
    running = (1 - momentum) running + momentum batch. Otherwise the running ones are used.

    Parameters
    ----------
    x : Tensor, shape (N, C) or (N, C, ...)
    running_mean, running_var : Tensor, shape (C,), or None; their `data` is rebound in training
    weight, bias : Tensor, shape (C,), or None
    training : bool
    momentum : float in [0, 1]
    eps : float > 0

    Raises
    ------
    ValueError : x has fewer than 2 axes, or a channel has a single value in training
    """
    x = as_tensor(x)
    if x.ndim < 2:
        raise ValueError(f"batch_norm: x must have shape (N, C, ...), got {x.shape}")
    channel = (1, -1) + (1,) * (x.ndim - 2)
    weight, bias = (None if p is None else ops.reshape(p, shape=channel) for p in (weight, bias))
    if not training and running_mean is not None:
        mean, var = (r.data.reshape(channel) for r in (running_mean, running_var))
        return _affine((x - mean) / np.sqrt(var + eps), weight, bias)
    axes = (0, *range(2, x.ndim))
    n = x.size // max(x.shape[1], 1)
    if n < 2:
        raise ValueError("batch_norm: x must have more than one value per channel in training, "
                         f"got {x.shape}")
    if running_mean is not None:
        for running, batch in ((running_mean, x.data.mean(axis=axes)),
                               (running_var, x.data.var(axis=axes, ddof=1))):
            running.data = ((1 - momentum) * running.data + momentum * batch).astype(running.dtype)
    return _affine(_standardise(x, axes, eps), weight, bias)


def _standardise(x, axes, eps):
    centred = x - ops.mean(x, axis=axes, keepdims=True)
    return centred / ops.sqrt(ops.mean(centred * centred, axis=axes, keepdims=True) + eps)


def _affine(x, weight, bias):
    x = x if weight is None else x * weight
    return x if bias is None else x + bias
