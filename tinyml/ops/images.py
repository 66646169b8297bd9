"""Primitives on images, shape (N, C, H, W): convolution and pooling.

One idea serves all three. A window of kh x kw pixels that slides over an image with a stride is
kh kw *shifted views* of the image, one per place in the window: view (i, j) holds, for every
window at once, the pixel at (i, j) in it. Reading a window is reading the views; the gradient of
reading is adding to them.

Inside, images lie as *planes*, shape (C, H, W, N) with the batch last: an entry of a view is then
N numbers side by side in memory, which copies and adds several times faster than single pixels.
"""
import numpy as np

from tinyml.check import check_pair
from tinyml.tensor import primitive, wide


def _frame(name, x, kernel_size, stride, padding, fill=0.0):
    """Check the geometry; return the padded planes (C, H, W, N) of x and the output's size."""
    if x.ndim != 4:
        raise ValueError(f"{name}: x must have shape (N, C, H, W), got {x.shape}")
    (kh, kw), (sh, sw) = kernel_size, stride
    ph, pw = padding
    height, width = x.shape[2] + 2 * ph, x.shape[3] + 2 * pw
    if height < kh or width < kw:
        raise ValueError(f"{name}: kernel_size must be at most the padded image {height, width}, "
                         f"got {kh, kw}")
    planes = np.ascontiguousarray(x.transpose(1, 2, 3, 0))
    if ph or pw:
        planes = np.pad(planes, ((0, 0), (ph, ph), (pw, pw), (0, 0)), constant_values=fill)
    return planes, ((height - kh) // sh + 1, (width - kw) // sw + 1)


def _views(planes, kernel_size, stride, size):
    """The kh kw shifted views of the planes, each of shape (C, *size, N), in reading order."""
    (sh, sw), (h, w) = stride, size
    views = []
    for i in range(kernel_size[0]):
        for j in range(kernel_size[1]):
            rows = slice(i, i + sh * (h - 1) + 1, sh)
            columns = slice(j, j + sw * (w - 1) + 1, sw)
            views.append(planes[:, rows, columns])
    return views


def _images(planes, padding=(0, 0)):
    """The images (N, C, H, W) that planes (C, H, W, N) hold, without their padding."""
    (ph, pw), (_, height, width, _) = padding, planes.shape
    return planes[:, ph:height - ph, pw:width - pw].transpose(3, 0, 1, 2)


@primitive
def conv2d(x, weight, bias=None, *, stride=1, padding=0):
    """Cross-correlation of images with filters, which networks call convolution:

        y[n, o, r, s] = b[o] + sum_cij  w[o, c, i, j] x[n, c, r stride + i, s stride + j]

    One matrix product over all windows: the views of x as a (C kh kw, N H' W') matrix, "im2col".

    Parameters
    ----------
    x : Tensor, shape (N, C, H, W)
    weight : Tensor, shape (O, C, kh, kw)
    bias : Tensor, shape (O,), or None
    stride : int or (int, int), >= 1
    padding : int or (int, int), >= 0, zeros added on each side

    Returns
    -------
    Tensor, shape (N, O, H', W') with H' = (H + 2 padding - kh) // stride + 1, and W' likewise

    Raises
    ------
    ValueError : a shape, stride or padding does not fit
    """
    stride = check_pair("conv2d", "stride", stride, 1)
    padding = check_pair("conv2d", "padding", padding, 0)
    if weight.ndim != 4 or x.ndim != 4 or x.shape[1] != weight.shape[1]:
        raise ValueError("conv2d: x must have shape (N, C, H, W) and weight (O, C, kh, kw), "
                         f"got {x.shape} and {weight.shape}")
    window = weight.shape[2:]
    framed, size = _frame("conv2d", x, window, stride, padding)
    (n, c), n_out = x.shape[:2], len(weight)
    area, n_windows = window[0] * window[1], size[0] * size[1]
    columns = np.empty((c, area, *size, n), x.dtype)
    for k, view in enumerate(_views(framed, window, stride, size)):
        columns[:, k] = view
    columns = columns.reshape(c * area, n_windows * n)      # (C kh kw, H' W' N)
    filters = weight.reshape(n_out, c * area)               # (O, C kh kw)
    y = filters @ columns
    if bias is not None:
        if bias.shape != weight.shape[:1]:
            raise ValueError(f"conv2d: bias must have shape (O,) = {weight.shape[:1]}, "
                             f"got {bias.shape}")
        y += bias[:, None]

    def rows(g):    # (O, H' W' N)
        return g.transpose(1, 2, 3, 0).reshape(n_out, n_windows * n)

    def d_x(g):
        d = np.zeros(framed.shape, wide(g.dtype))
        d_columns = (filters.T @ rows(g)).reshape(c, area, *size, n)
        for k, view in enumerate(_views(d, window, stride, size)):
            view += d_columns[:, k]
        return _images(d, padding)

    def by_row(a):    # (k, H' W' N) as (H', k, W' N)
        return a.reshape(len(a), size[0], size[1] * n).swapaxes(0, 1)

    def d_weight(g):    # a product per row of windows: BLAS is slow at few but very long columns
        d = by_row(columns) @ by_row(rows(g)).swapaxes(1, 2)    # (H', C kh kw, O)
        d = d.sum(axis=0, dtype=wide(g.dtype))
        return d.T.reshape(weight.shape)

    def d_bias(g):
        return rows(g).sum(axis=1, dtype=wide(g.dtype))
    return _images(y.reshape(n_out, *size, n)), (d_x, d_weight, d_bias)


@primitive
def max_pool2d(x, *, kernel_size, stride=None, padding=0):
    """The largest pixel of each window; of several that tie, the first takes the gradient.

    Parameters
    ----------
    x : Tensor, shape (N, C, H, W)
    kernel_size : int or (int, int), >= 1
    stride : int or (int, int), >= 1, or None for the kernel's size (windows side by side)
    padding : int or (int, int), >= 0, at most half the kernel; never the largest

    Returns
    -------
    Tensor, shape (N, C, H', W'), sizes as in `conv2d`

    Raises
    ------
    ValueError : a shape, size, stride or padding does not fit
    """
    window, stride, padding = check_pooling("max_pool2d", kernel_size, stride, padding)
    framed, size = _frame("max_pool2d", x, window, stride, padding, fill=-np.inf)
    views = _views(framed, window, stride, size)
    y = views[0]
    for view in views[1:]:
        y = np.maximum(y, view)

    def d_x(g):
        d, left = np.zeros(framed.shape, wide(g.dtype)), g.transpose(1, 2, 3, 0)
        for view, d_view in zip(views, _views(d, window, stride, size)):
            taken = left * (view == y)
            d_view += taken
            left = left - taken
        return _images(d, padding)
    return _images(y), (d_x,)


@primitive
def avg_pool2d(x, *, kernel_size, stride=None, padding=0):
    """The mean of each window, with the zeros of the padding counted.

    Parameters, returns and errors are those of `max_pool2d`.
    """
    window, stride, padding = check_pooling("avg_pool2d", kernel_size, stride, padding)
    framed, size = _frame("avg_pool2d", x, window, stride, padding)
    views = _views(framed, window, stride, size)

    def d_x(g):
        d, share = np.zeros(framed.shape, wide(g.dtype)), g.transpose(1, 2, 3, 0) / len(views)
        for view in _views(d, window, stride, size):
            view += share
        return _images(d, padding)
    total = sum(view.astype(wide(x.dtype), copy=False) for view in views)
    return _images((total / len(views)).astype(x.dtype, copy=False)), (d_x,)


def check_pooling(name, kernel_size, stride, padding):
    """Window, stride, padding of a pooling as pairs; ValueError for what `max_pool2d` excludes."""
    window = check_pair(name, "kernel_size", kernel_size, 1)
    stride = window if stride is None else check_pair(name, "stride", stride, 1)
    padding = check_pair(name, "padding", padding, 0)
    if 2 * padding[0] > window[0] or 2 * padding[1] > window[1]:
        raise ValueError(f"{name}: padding must be at most half of kernel_size={window}, "
                         f"got {padding}")
    return window, stride, padding
