"""Layers with one input and one output: linear, convolution, activation, pooling, dropout."""
import math

import numpy as np

from tinyml import functional as F
from tinyml import ops
from tinyml.check import (
    check_bool,
    check_int,
    check_number,
    check_padding,
    check_pair,
    check_rng,
    check_shape,
    check_sizes,
)
from tinyml.functional.images import check_pooling1d
from tinyml.nn.module import Module, Parameter
from tinyml.ops.images import check_pooling
from tinyml.tensor import as_tensor


def value_of(weight):
    """The weight tensor: the weight itself, or the result of calling it if it is a Module.

    A shared, quantized or pruned weight is such a Module in the weight's place.
    """
    return weight() if isinstance(weight, Module) else weight


def _uniform(rng, shape, fan_in):
    """U(-1/sqrt(fan_in), 1/sqrt(fan_in)), as in PyTorch for weight and bias of these layers."""
    bound = 1 / math.sqrt(fan_in) if fan_in else 0
    return Parameter(rng.uniform(-bound, bound, shape).astype(np.float32))


def _geometry(layer, *, stride):
    """Kernel size, and those of the other settings that are not the default."""
    defaults = dict(stride=stride, padding=0, dilation=1, groups=1)
    parts = [f"kernel_size={layer.kernel_size}"]
    for name, default in defaults.items():
        value = getattr(layer, name, default)
        parts += [f"{name}={value!r}"] if value != default else []
    return ", ".join(parts)


class Linear(Module):
    """y = x W^T + b, with W and b drawn from U(-k, k), k = 1/sqrt(in_features).

    Parameters
    ----------
    in_features, out_features : int >= 1
    bias : bool
    rng : numpy.random.Generator

    Shapes: x (..., in_features), y (..., out_features), weight (out_features, in_features), bias
    (out_features,). Here and in `Conv1d`, `Conv2d` and `Embedding`, a Module may take the place of
    the weight: then the weight is what it returns when called.
    """

    def __init__(self, in_features, out_features, bias=True, *, rng):
        check_sizes("Linear", in_features=in_features, out_features=out_features)
        check_bool("Linear", "bias", bias)
        check_rng("Linear", rng)
        self.in_features, self.out_features = in_features, out_features
        self.weight = _uniform(rng, (out_features, in_features), in_features)
        self.bias = _uniform(rng, out_features, in_features) if bias else None

    def forward(self, x):
        return F.linear(x, value_of(self.weight), self.bias)

    def macs(self, x, y):
        return y.size * self.in_features

    def extra_repr(self):
        bias = "" if self.bias is not None else ", bias=False"
        return f"{self.in_features}, {self.out_features}{bias}"


class Conv2d(Module):
    """Convolution of images (`tinyml.functional.conv2d`).

    Weights are drawn from U(-k, k) with k = 1/sqrt(C / groups kh kw).

    Parameters
    ----------
    in_channels, out_channels : int >= 1
    kernel_size, stride, dilation : int or (int, int), >= 1
    padding : int or (int, int), >= 0; or "valid" or, with stride 1, "same"
    groups : int >= 1, a divisor of in_channels and out_channels
    bias : bool
    rng : numpy.random.Generator

    Shapes: x (N, in_channels, H, W), y (N, out_channels, H', W'), weight (out_channels,
    in_channels / groups, kh, kw).
    """
    dilation = groups = 1    # for files of older versions, which lack these settings

    def __init__(self, in_channels, out_channels, kernel_size, stride=1, padding=0, dilation=1,
                 groups=1, bias=True, *, rng):
        check_sizes("Conv2d", in_channels=in_channels, out_channels=out_channels)
        check_bool("Conv2d", "bias", bias)
        check_rng("Conv2d", rng)
        kernel = check_pair("Conv2d", "kernel_size", kernel_size, 1)
        steps = check_pair("Conv2d", "stride", stride, 1)
        check_padding("Conv2d", padding, kernel, steps,
                      check_pair("Conv2d", "dilation", dilation, 1))
        _check_groups("Conv2d", groups, in_channels, out_channels)
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding
        self.dilation, self.groups = dilation, groups
        shape = in_channels // groups, *kernel
        self.weight = _uniform(rng, (out_channels, *shape), math.prod(shape))
        self.bias = _uniform(rng, out_channels, math.prod(shape)) if bias else None

    def forward(self, x):
        shape = check_shape("Conv2d", "x", x)
        if len(shape) != 4 or shape[1] != self.in_channels:
            raise ValueError(f"Conv2d: x must have shape (N, in_channels={self.in_channels}, H, "
                             f"W), got {shape}")
        return F.conv2d(x, value_of(self.weight), self.bias, self.stride, self.padding,
                        self.dilation, self.groups)

    def macs(self, x, y):
        kernel = check_pair("Conv2d", "kernel_size", self.kernel_size, 1)
        return y.size * self.in_channels // self.groups * math.prod(kernel)

    def extra_repr(self):
        return f"{self.in_channels}, {self.out_channels}, {_geometry(self, stride=1)}"


class Conv1d(Module):
    """Convolution of series (`tinyml.functional.conv1d`).

    Weights are drawn from U(-k, k) with k = 1/sqrt(C / groups kernel_size).

    Parameters
    ----------
    in_channels, out_channels, kernel_size, stride, dilation : int >= 1
    padding : int >= 0; or "valid" or, with stride 1, "same"
    groups : int >= 1, a divisor of in_channels and out_channels
    bias : bool
    rng : numpy.random.Generator

    Shapes: x (N, in_channels, L), y (N, out_channels, L'), weight (out_channels, in_channels /
    groups, kernel_size).
    """
    dilation = groups = 1    # for files of older versions, which lack these settings

    def __init__(self, in_channels, out_channels, kernel_size, stride=1, padding=0, dilation=1,
                 groups=1, bias=True, *, rng):
        check_sizes("Conv1d", in_channels=in_channels, out_channels=out_channels,
                    kernel_size=kernel_size, stride=stride, dilation=dilation)
        check_padding("Conv1d", padding, (kernel_size,), (stride,), (dilation,))
        _check_groups("Conv1d", groups, in_channels, out_channels)
        check_bool("Conv1d", "bias", bias)
        check_rng("Conv1d", rng)
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding
        self.dilation, self.groups = dilation, groups
        shape = in_channels // groups, kernel_size
        self.weight = _uniform(rng, (out_channels, *shape), math.prod(shape))
        self.bias = _uniform(rng, out_channels, math.prod(shape)) if bias else None

    def forward(self, x):
        shape = check_shape("Conv1d", "x", x)
        if len(shape) != 3 or shape[1] != self.in_channels:
            raise ValueError(f"Conv1d: x must have shape (N, in_channels={self.in_channels}, L), "
                             f"got {shape}")
        return F.conv1d(x, value_of(self.weight), self.bias, self.stride, self.padding,
                        self.dilation, self.groups)

    def macs(self, x, y):
        return y.size * self.in_channels // self.groups * self.kernel_size

    def extra_repr(self):
        return f"{self.in_channels}, {self.out_channels}, {_geometry(self, stride=1)}"


def _check_groups(layer, groups, in_channels, out_channels):
    check_int(layer, "groups", groups, 1)
    if in_channels % groups or out_channels % groups:
        raise ValueError(f"{layer}: groups must divide in_channels={in_channels} and "
                         f"out_channels={out_channels}, got {groups}")


class ReLU(Module):
    """max(x, 0)."""

    def forward(self, x):
        return ops.relu(x)


class GELU(Module):
    """x Phi(x); ``approximate="tanh"`` is the faster form."""

    def __init__(self, approximate="none"):
        if approximate not in ("none", "tanh"):
            raise ValueError(f'GELU: approximate must be "none" or "tanh", got {approximate!r}')
        self.approximate = approximate

    def forward(self, x):
        return ops.gelu(x, approximate=self.approximate)


class Tanh(Module):
    """tanh x."""

    def forward(self, x):
        return ops.tanh(x)


class Sigmoid(Module):
    """1 / (1 + e^-x)."""

    def forward(self, x):
        return ops.sigmoid(x)


class Flatten(Module):
    """All axes but the first as one: (N, ...) becomes (N, features)."""

    def forward(self, x):
        x = as_tensor(x, "Flatten")
        if x.ndim == 0:
            raise ValueError("Flatten: x must have shape (N, ...), got ()")
        return ops.reshape(x, shape=(x.shape[0], math.prod(x.shape[1:])))


class MaxPool2d(Module):
    """Largest pixel of each window (`tinyml.functional.max_pool2d`)."""
    pool, check = staticmethod(F.max_pool2d), staticmethod(check_pooling)

    def __init__(self, kernel_size, stride=None, padding=0):
        self.check(type(self).__name__, kernel_size, stride, padding)
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding

    def forward(self, x):
        return self.pool(x, self.kernel_size, self.stride, self.padding)

    def extra_repr(self):
        return _geometry(self, stride=None)


class MaxPool1d(MaxPool2d):
    """Largest value of each window of a series (`tinyml.functional.max_pool1d`)."""
    pool, check = staticmethod(F.max_pool1d), staticmethod(check_pooling1d)


class AvgPool2d(MaxPool2d):
    """Mean of each window (`tinyml.functional.avg_pool2d`)."""
    pool = staticmethod(F.avg_pool2d)


class Dropout(Module):
    """Zero entries with probability p in training only (`tinyml.functional.dropout`)."""

    def __init__(self, p=0.5, *, rng):
        p = check_number("Dropout", "p", p, at_least=0, at_most=1)
        check_rng("Dropout", rng)
        self.p, self.rng = p, rng

    def forward(self, x):
        return F.dropout(x, self.p, self.training, rng=self.rng)

    def extra_repr(self):
        return f"p={self.p}"


class Embedding(Module):
    """A table of vectors, entries from N(0, 1): indices (...) give (..., embedding_dim).

    Parameters
    ----------
    num_embeddings, embedding_dim : int >= 1
    rng : numpy.random.Generator
    """

    def __init__(self, num_embeddings, embedding_dim, *, rng):
        check_sizes("Embedding", num_embeddings=num_embeddings, embedding_dim=embedding_dim)
        check_rng("Embedding", rng)
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        table = rng.standard_normal((num_embeddings, embedding_dim), dtype=np.float32)
        self.weight = Parameter(table)

    def forward(self, indices):
        return F.embedding(indices, value_of(self.weight))

    def extra_repr(self):
        return f"{self.num_embeddings}, {self.embedding_dim}"
