"""Normalisation layers, with their scales, shifts and running statistics."""
import numpy as np

from tinyml import functional as F
from tinyml.check import check_number, check_sizes
from tinyml.functional.norms import sizes_of_axes
from tinyml.nn.module import Module, Parameter
from tinyml.tensor import Tensor, as_tensor


class BatchNorm1d(Module):
    """Batch normalisation of features, x (N, C) or (N, C, L) (`tinyml.functional.batch_norm`).

    Parameters
    ----------
    num_features : int >= 1, the C of x
    eps : float > 0
    momentum : float in [0, 1], weight of the newest batch in the running mean and variance;
        PyTorch's None, for the mean over all batches, is refused

    The keys of `state_dict` are PyTorch's, without its count of batches, num_batches_tracked.
    """
    axes = (2, 3)

    def __init__(self, num_features, eps=1e-5, momentum=0.1):
        check_sizes(type(self).__name__, num_features=num_features)
        self.num_features = num_features
        self.eps = check_number(type(self).__name__, "eps", eps, above=0)
        self.momentum = check_number(type(self).__name__, "momentum", momentum, at_least=0,
                                     at_most=1)
        self.weight = Parameter(np.ones(num_features, np.float32))
        self.bias = Parameter(np.zeros(num_features, np.float32))
        self.running_mean = Tensor(np.zeros(num_features, np.float32))
        self.running_var = Tensor(np.ones(num_features, np.float32))

    def forward(self, x):
        x = as_tensor(x, type(self).__name__)
        if x.ndim not in self.axes or x.shape[1] != self.num_features:
            axes = " or ".join(map(str, self.axes))
            raise ValueError(f"{type(self).__name__}: x must have {axes} axes "
                             f"and num_features={self.num_features} on axis 1, got {x.shape}")
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias,
                            self.training, self.momentum, self.eps)

    def extra_repr(self):
        return f"{self.num_features}"


class BatchNorm2d(BatchNorm1d):
    """Batch normalisation of images (N, C, H, W): statistics over N, H and W for each channel."""
    axes = (4,)


class LayerNorm(Module):
    """Layer normalisation of the last axes of each sample (`tinyml.functional.layer_norm`).

    Parameters
    ----------
    normalized_shape : int or tuple of int, one or more, >= 1
    eps : float > 0
    """

    def __init__(self, normalized_shape, eps=1e-5):
        self.normalized_shape = sizes_of_axes("LayerNorm", normalized_shape)
        self.eps = check_number("LayerNorm", "eps", eps, above=0)
        self.weight = Parameter(np.ones(self.normalized_shape, np.float32))
        self.bias = Parameter(np.zeros(self.normalized_shape, np.float32))

    def forward(self, x):
        return F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self):
        return ", ".join(map(str, self.normalized_shape))
