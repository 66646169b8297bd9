"""Convolution and pooling of images (N, C, H, W) and series (N, C, L): PyTorch's arguments."""
from tinyml import ops
from tinyml.check import check_int, check_sizes
from tinyml.tensor import as_tensor


def conv2d(x, weight, bias=None, stride=1, padding=0):
    """Cross-correlation of x (N, C, H, W) with filters (O, C, kh, kw): `tinyml.ops.conv2d`."""
    return ops.conv2d(x, weight, bias, stride=stride, padding=padding)


def max_pool2d(x, kernel_size, stride=None, padding=0):
    """Largest pixel of each window: `tinyml.ops.max_pool2d`."""
    return ops.max_pool2d(x, kernel_size=kernel_size, stride=stride, padding=padding)


def avg_pool2d(x, kernel_size, stride=None, padding=0):
    """Mean of each window: `tinyml.ops.avg_pool2d`."""
    return ops.avg_pool2d(x, kernel_size=kernel_size, stride=stride, padding=padding)


def conv1d(x, weight, bias=None, stride=1, padding=0):
    """Cross-correlation of series with filters: `conv2d` of images that are one pixel wide.

        y[n, o, t] = b[o] + sum over c, i of  w[o, c, i] x[n, c, t stride + i]

    Parameters
    ----------
    x : Tensor, shape (N, C, L)
    weight : Tensor, shape (O, C, k)
    bias : Tensor, shape (O,), or None
    stride : int >= 1
    padding : int >= 0, zeros added on each side

    Returns
    -------
    Tensor, shape (N, O, L') with L' = (L + 2 padding - k) // stride + 1

    Raises
    ------
    ValueError : a shape, stride or padding does not fit
    """
    x, weight = as_tensor(x, "conv1d"), as_tensor(weight, "conv1d")
    if weight.ndim != 3 or x.ndim != 3 or x.shape[1] != weight.shape[1]:
        raise ValueError("conv1d: x must have shape (N, C, L) and weight (O, C, k), "
                         f"got {x.shape} and {weight.shape}")
    _check_settings("conv1d", weight.shape[2], stride, padding)
    _check_length("conv1d", x, weight.shape[2], padding)
    bias = None if bias is None else as_tensor(bias, "conv1d")
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ValueError(f"conv1d: bias must have shape (O,) = {weight.shape[:1]}, "
                         f"got {bias.shape}")
    y = ops.conv2d(_wide(x), _wide(weight), bias, stride=(stride, 1), padding=(padding, 0))
    return _narrow(y)


def max_pool1d(x, kernel_size, stride=None, padding=0):
    """Largest value of each window of a series: `max_pool2d` of images that are one pixel wide.

    Parameters
    ----------
    x : Tensor, shape (N, C, L)
    kernel_size : int >= 1
    stride : int >= 1, or None for the kernel's size (windows side by side)
    padding : int >= 0, at most half the kernel; filled with -inf, which is never the largest

    Returns
    -------
    Tensor, shape (N, C, L'), L' as in `conv1d`

    Raises
    ------
    ValueError : a shape, size, stride or padding does not fit
    """
    stride = check_pooling1d("max_pool1d", kernel_size, stride, padding)
    x = as_tensor(x, "max_pool1d")
    if x.ndim != 3:
        raise ValueError(f"max_pool1d: x must have shape (N, C, L), got {x.shape}")
    _check_length("max_pool1d", x, kernel_size, padding)
    y = ops.max_pool2d(_wide(x), kernel_size=(kernel_size, 1), stride=(stride, 1),
                       padding=(padding, 0))
    return _narrow(y)


def check_pooling1d(name, kernel_size, stride, padding):
    """The stride of a pooling of series; ValueError for what `max_pool1d` excludes."""
    stride = kernel_size if stride is None else stride
    _check_settings(name, kernel_size, stride, padding)
    if 2 * padding > kernel_size:
        raise ValueError(f"{name}: padding must be at most half of kernel_size={kernel_size}, "
                         f"got {padding}")
    return stride


def _check_settings(function, kernel_size, stride, padding):
    check_sizes(function, kernel_size=kernel_size, stride=stride)
    check_int(function, "padding", padding, 0)


def _check_length(function, x, kernel_size, padding):
    if kernel_size > x.shape[2] + 2 * padding:
        raise ValueError(f"{function}: kernel_size must be at most the padded length "
                         f"{x.shape[2] + 2 * padding}, got {kernel_size}")


def _wide(x):
    """(..., L) as (..., L, 1): time runs down the image, so conv2d's rows of windows are short."""
    return ops.reshape(x, shape=(*x.shape, 1))


def _narrow(x):
    return ops.reshape(x, shape=x.shape[:-1])
