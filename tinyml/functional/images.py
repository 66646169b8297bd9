"""Convolution and pooling of images, shape (N, C, H, W), with PyTorch's positional arguments."""
from tinyml import ops


def conv2d(x, weight, bias=None, stride=1, padding=0):
    """Cross-correlation of x (N, C, H, W) with filters (O, C, kh, kw): `tinyml.ops.conv2d`."""
    return ops.conv2d(x, weight, bias, stride=stride, padding=padding)


def max_pool2d(x, kernel_size, stride=None, padding=0):
    """Largest pixel of each window: `tinyml.ops.max_pool2d`."""
    return ops.max_pool2d(x, kernel_size=kernel_size, stride=stride, padding=padding)


def avg_pool2d(x, kernel_size, stride=None, padding=0):
    """Mean of each window: `tinyml.ops.avg_pool2d`."""
    return ops.avg_pool2d(x, kernel_size=kernel_size, stride=stride, padding=padding)
