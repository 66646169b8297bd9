"""Normalisation of activations: over the features of a sample, or the samples of a batch."""
from tinyml import ops
from tinyml.check import check_bool, check_number, check_shape, check_sizes
from tinyml.tensor import Tensor, as_tensor


def layer_norm(x, normalized_shape, weight=None, bias=None, eps=1e-5):
    """(x - mean) / sqrt(var + eps) * weight + bias, over the last axes of each sample.

    Ba, Kiros and Hinton 2016, equations 3 and 4.

    Parameters
    ----------
    x : Tensor, shape (..., *normalized_shape)
    normalized_shape : int or tuple of int, one or more, >= 1
    weight, bias : Tensor, shape normalized_shape, or None
    eps : float > 0

    Raises
    ------
    ValueError : x does not end in normalized_shape, weight or bias has another shape, eps <= 0
    """
    x = as_tensor(x, "layer_norm")
    normalized_shape = sizes_of_axes("layer_norm", normalized_shape)
    eps = check_number("layer_norm", "eps", eps, above=0)
    _check_shapes("layer_norm", normalized_shape, weight=weight, bias=bias)
    n_axes = len(normalized_shape)
    if x.ndim < n_axes or x.shape[x.ndim - n_axes:] != normalized_shape:
        sizes = ", ".join(map(str, normalized_shape))
        raise ValueError(f"layer_norm: x must have shape (..., {sizes}), got {x.shape}")
    return _affine(ops.standardize(x, axis=tuple(range(-n_axes, 0)), eps=eps), weight, bias)


def sizes_of_axes(name, normalized_shape):
    """The lengths of the last axes, one int or several, as a tuple; or ValueError."""
    several = isinstance(normalized_shape, (tuple, list))
    shape = tuple(normalized_shape) if several else (normalized_shape,)
    if not shape:
        raise ValueError(f"{name}: normalized_shape must be an int or a tuple of one or more, got "
                         f"{normalized_shape!r}; write x.shape[-1]")
    for size in shape:
        check_sizes(name, normalized_shape=size)
    return shape


def _check_shapes(name, shape, **tensors):
    """Each of the tensors is None or has exactly this shape: none is broadcast."""
    for argument, tensor in tensors.items():
        got = shape if tensor is None else check_shape(name, argument, tensor)
        if got != shape:
            raise ValueError(f"{name}: {argument} must have shape {shape}, got {got}")


def batch_norm(x, running_mean=None, running_var=None, weight=None, bias=None, training=False,
               momentum=0.1, eps=1e-5):
    """(x - mean) / sqrt(var + eps) * weight + bias, channel by channel (axis 1).

    Ioffe and Szegedy 2015, algorithm 1. In training, mean and variance are the batch's, and the
    running ones move towards them (the variance's estimate unbiased, as in PyTorch):
    running = (1 - momentum) running + momentum batch. Otherwise the running ones are used.

    Parameters
    ----------
    x : Tensor, shape (N, C) or (N, C, ...)
    running_mean, running_var : Tensor, shape (C,), or both None; their `data` is rebound in
        training
    weight, bias : Tensor, shape (C,), or None
    training : bool
    momentum : float in [0, 1]
    eps : float > 0

    Raises
    ------
    ValueError : x has fewer than 2 axes, a channel has a single value in training, only one of the
        running statistics is given, a variance is negative, a shape, momentum or eps does not fit
    """
    x = as_tensor(x, "batch_norm")
    if x.ndim < 2:
        raise ValueError(f"batch_norm: x must have shape (N, C, ...), got {x.shape}")
    momentum = check_number("batch_norm", "momentum", momentum, at_least=0, at_most=1)
    eps = check_number("batch_norm", "eps", eps, above=0)
    check_bool("batch_norm", "training", training)
    _check_shapes("batch_norm", x.shape[1:2], running_mean=running_mean, running_var=running_var,
                  weight=weight, bias=bias)
    _check_running(running_mean, running_var, training)
    channel = (1, -1) + (1,) * (x.ndim - 2)
    weight, bias = (None if p is None else ops.reshape(p, shape=channel) for p in (weight, bias))
    if training or running_mean is None:
        n = x.size // max(x.shape[1], 1)
        if n < 2:
            raise ValueError("batch_norm: x must have more than one value per channel in "
                             f"training, got {x.shape}")
        mean, centred, var = _moments(x, (0, *range(2, x.ndim)))
        if running_mean is not None:
            _move(running_mean, mean.data.ravel(), momentum)
            _move(running_var, var.data.ravel() * (n / (n - 1)), momentum)
    else:
        mean, var = (as_tensor(r).data.reshape(channel) for r in (running_mean, running_var))
        if (var < 0).any():
            raise ValueError(f"batch_norm: running_var must be >= 0, got {var.min()}")
        centred = x - mean
    scale = (var + eps) ** -0.5
    if weight is not None:
        scale = scale * weight    # one number per channel: cheaper than on all of x
    return _affine(centred, scale, bias)


def _check_running(running_mean, running_var, training):
    if (running_mean is None) != (running_var is None):
        raise ValueError("batch_norm: running_mean and running_var must both be given, or "
                         "neither, got one")
    for running in (running_mean, running_var):
        if training and running is not None and not isinstance(running, Tensor):
            raise TypeError("batch_norm: running_mean and running_var must be Tensors in "
                            "training, whose data is rebound, got "
                            f"{type(running_mean).__name__}")


def _move(running, batch, momentum):
    """running = (1 - momentum) running + momentum batch, in its own dtype."""
    moved = (1 - momentum) * running.data + momentum * batch
    running.data = moved.astype(running.dtype)


def _moments(x, axes):
    """The mean over these axes, x - mean, and the variance."""
    mean = ops.mean(x, axis=axes, keepdims=True)
    centred = x - mean
    return mean, centred, ops.mean(centred * centred, axis=axes, keepdims=True)


def _affine(x, weight, bias):
    x = x if weight is None else x * weight
    return x if bias is None else x + bias
