"""Convolution and pooling of images (N, C, H, W) and series (N, C, L): PyTorch's arguments."""
from tinyml import ops
from tinyml.check import check_int, check_padding, check_sizes
from tinyml.ops.images import check_filters
from tinyml.tensor import as_tensor


def conv2d(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """Cross-correlation of x (N, C, H, W) with filters (O, C, kh, kw): `tinyml.ops.conv2d`."""
    return ops.conv2d(x, weight, bias, stride=stride, padding=padding, dilation=dilation,
                      groups=groups)


def max_pool2d(x, kernel_size, stride=None, padding=0):
    """Largest pixel of each window: `tinyml.ops.max_pool2d`."""
    return ops.max_pool2d(x, kernel_size=kernel_size, stride=stride, padding=padding)


def avg_pool2d(x, kernel_size, stride=None, padding=0):
    """Mean of each window: `tinyml.ops.avg_pool2d`."""
    return ops.avg_pool2d(x, kernel_size=kernel_size, stride=stride, padding=padding)


def conv1d(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """Cross-correlation of series with filters: `conv2d` of images that are one pixel wide.

        y[n, o, t] = b[o] + sum over c, i of  w[o, c, i] x[n, c, t stride + i dilation]

    Parameters
    ----------
    x : Tensor, shape (N, C, L)
    weight : Tensor, shape (O, C / groups, k)
    bias : Tensor, shape (O,), or None
    stride : int >= 1
    padding : int >= 0, zeros added on each side; or "valid" or "same", as in `tinyml.ops.conv2d`
    dilation : int >= 1, steps between the numbers that a filter reads
    groups : int >= 1, a divisor of C and of O; each group of filters reads its group of channels

    Returns
    -------
    Tensor, shape (N, O, L') with L' = (L + 2 padding - dilation (k - 1) - 1) // stride + 1

    Raises
    ------
    ValueError : a shape or setting does not fit
    """
    x, weight = as_tensor(x, "conv1d"), as_tensor(weight, "conv1d")
    bias = None if bias is None else as_tensor(bias, "conv1d")
    check_filters("conv1d", x, weight, bias, groups)
    check_sizes("conv1d", stride=stride, dilation=dilation)
    kernel = weight.shape[2:]
    (zeros,) = check_padding("conv1d", padding, kernel, (stride,), (dilation,))
    _check_length("conv1d", x, dilation * (kernel[0] - 1) + 1, sum(zeros))
    y = ops.conv2d(_wide(x), _wide(weight), bias, stride=(stride, 1),
                   padding=padding if isinstance(padding, str) else (padding, 0),
                   dilation=(dilation, 1), groups=groups)
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
    _check_length("max_pool1d", x, kernel_size, 2 * padding)
    y = ops.max_pool2d(_wide(x), kernel_size=(kernel_size, 1), stride=(stride, 1),
                       padding=(padding, 0))
    return _narrow(y)


def check_pooling1d(name, kernel_size, stride, padding):
    """The stride of a pooling of series; ValueError for what `max_pool1d` excludes."""
    stride = kernel_size if stride is None else stride
    check_sizes(name, kernel_size=kernel_size, stride=stride)
    check_int(name, "padding", padding, 0)
    if 2 * padding > kernel_size:
        raise ValueError(f"{name}: padding must be at most half of kernel_size={kernel_size}, "
                         f"got {padding}")
    return stride


def _check_length(function, x, reach, n_zeros):
    if reach > x.shape[2] + n_zeros:
        raise ValueError(f"{function}: kernel_size must be at most the padded length "
                         f"{x.shape[2] + n_zeros}, got {reach}")


def _wide(x):
    """(..., L) as (..., L, 1): time runs down the image, so conv2d's rows of windows are short."""
    return ops.reshape(x, shape=(*x.shape, 1))


def _narrow(x):
    return ops.reshape(x, shape=x.shape[:-1])
