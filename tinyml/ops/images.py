"""Primitives on images, shape (N, C, H, W): convolution and pooling.

One idea serves all three. A window of kh x kw pixels that slides over an image with a stride is
kh kw *shifted views* of the image, one per place in the window: view (i, j) holds, for every
window at once, the pixel at (i, j) in it. Reading a window is reading the views; the gradient of
reading is adding to them.

Inside, images lie as *planes*, shape (C, H, W, N) with the batch last: an entry of a view is then
N numbers side by side in memory, which copies and adds several times faster than single pixels.
"""
import math
from typing import NamedTuple

import numpy as np

from tinyml.check import check_int, check_padding, check_pair
from tinyml.sums import wide
from tinyml.tensor import primitive


class Windows(NamedTuple):
    """The windows of a kernel that slides over images."""

    kernel: tuple      # kh, kw
    stride: tuple      # steps between windows, down and across
    dilation: tuple    # steps between the pixels of a window
    padding: tuple     # (top, bottom), (left, right)
    image: tuple       # H, W with the padding
    size: tuple        # H', W': how many windows

    def planes(self, x, fill=0.0):
        """The padded planes (C, H, W, N) of images x (N, C, H, W)."""
        planes = x.transpose(1, 2, 3, 0)
        c, height, width, n = planes.shape
        (top, bottom), (left, right) = self.padding
        if not (top or bottom or left or right):
            return np.ascontiguousarray(planes)
        # np.pad takes several times as long
        padded = np.full((c, *self.image, n), fill, x.dtype)
        padded[:, top:top + height, left:left + width] = planes
        return padded

    def views(self, planes):
        """The kh kw shifted views of padded planes, each (C, H', W', N), in reading order."""
        (kh, kw), (sh, sw), (dh, dw), (h, w) = self.kernel, self.stride, self.dilation, self.size
        views = []
        for top in range(0, kh * dh, dh):
            for left in range(0, kw * dw, dw):
                rows = slice(top, top + sh * (h - 1) + 1, sh)
                columns = slice(left, left + sw * (w - 1) + 1, sw)
                views.append(planes[:, rows, columns])
        return views

    def read(self, x):
        """The pixels of all windows, (C, kh kw, H', W', N)."""
        views = self.views(self.planes(x))
        return np.stack(views, axis=1) if len(views) > 1 else views[0][:, None]

    def add_back(self, d_windows):
        """The gradient of `read`: what each pixel gets from all windows, (N, C, H, W)."""
        c, _, _, _, n = d_windows.shape
        d = np.zeros((c, *self.image, n), wide(d_windows.dtype))
        for k, view in enumerate(self.views(d)):
            view += d_windows[:, k]
        return self.images(d)

    def images(self, planes):
        """The images (N, C, H, W) of padded planes, without the padding."""
        (top, bottom), (left, right) = self.padding
        _, height, width, _ = planes.shape
        return as_images(planes[:, top:height - bottom, left:width - right])


def as_images(planes):
    """Planes (C, H, W, N) as images (N, C, H, W)."""
    return planes.transpose(3, 0, 1, 2)


def _windows(name, x, kernel, stride, padding, dilation=(1, 1)):
    """The `Windows` on images x; all settings are pairs, ValueError if the kernel is too large."""
    reach = [d * (k - 1) + 1 for k, d in zip(kernel, dilation)]
    image = tuple(n + before + after for n, (before, after) in zip(x.shape[2:], padding))
    if image[0] < reach[0] or image[1] < reach[1]:
        spread = f" with dilation {dilation}" if max(dilation) > 1 else ""
        raise ValueError(f"{name}: kernel_size must be at most the padded image {image}, "
                         f"got {kernel}{spread}")
    size = tuple((n - r) // s + 1 for n, r, s in zip(image, reach, stride))
    return Windows(kernel, stride, dilation, padding, image, size)


@primitive
def conv2d(x, weight, bias=None, *, stride=1, padding=0, dilation=1, groups=1):
    """Cross-correlation of images with filters, which networks call convolution:

        y[n, o, r, s] = b[o] + sum_cij  w[o, c, i, j] x[n, c, r stride + i dilation,
                                                              s stride + j dilation]

    With groups, inputs and outputs are cut into so many groups of channels. A filter reads only
    the channels c of its own group. With as many groups as channels, each filter reads a single
    one: a depthwise convolution.

    One matrix product per group over all windows: the views of x as a (C / groups kh kw, N H' W')
    matrix, "im2col".

    Parameters
    ----------
    x : Tensor, shape (N, C, H, W)
    weight : Tensor, shape (O, C / groups, kh, kw)
    bias : Tensor, shape (O,), or None
    stride : int or (int, int), >= 1
    padding : int or (int, int), >= 0, zeros added on each side; or "valid", none; or "same", with
        stride 1: as many that H' = H and W' = W, and of an odd number one more at the end
    dilation : int or (int, int), >= 1, steps between the pixels that a filter reads
    groups : int >= 1, a divisor of C and of O

    Returns
    -------
    Tensor, shape (N, O, H', W') with H' = (H + 2 padding - dilation (kh - 1) - 1) // stride + 1,
        and W' likewise

    Raises
    ------
    ValueError : a shape or setting does not fit
    """
    check_filters("conv2d", x, weight, bias, groups)
    stride = check_pair("conv2d", "stride", stride, 1)
    dilation = check_pair("conv2d", "dilation", dilation, 1)
    padding = check_padding("conv2d", padding, weight.shape[2:], stride, dilation)
    where = _windows("conv2d", x, weight.shape[2:], stride, padding, dilation)
    windows = where.read(x)                                       # (C, kh kw, H', W', N)
    shape, n_out = windows.shape, len(weight)
    n_terms, n_sums = math.prod(weight.shape[1:]), math.prod(shape[2:])
    columns = windows.reshape(groups, n_terms, n_sums)
    filters = weight.reshape(groups, n_out // groups, n_terms)
    y = filters @ columns                                         # (groups, O / groups, H' W' N)
    if bias is not None:
        y += bias.reshape(groups, n_out // groups, 1)

    def rows(g):    # (groups, O / groups, H' W' N)
        return g.transpose(1, 2, 3, 0).reshape(groups, n_out // groups, n_sums)

    def d_x(g):
        product = np.multiply if n_out == groups else np.matmul    # of a column and a row: faster
        d_columns = product(filters.swapaxes(1, 2), rows(g))
        return where.add_back(d_columns.reshape(shape))

    def d_weight(g):
        d = _row_by_row(columns, rows(g), where.size[0])          # (groups, C kh kw, O / groups)
        return d.swapaxes(1, 2).reshape(weight.shape)

    def d_bias(g):
        return rows(g).sum(axis=2, dtype=wide(g.dtype)).ravel()
    return as_images(y.reshape(n_out, *shape[2:])), (d_x, d_weight, d_bias)


def _row_by_row(a, b, height):
    """a @ b' of matrices (groups, k, H' W' N), as the sum of a product for each row of windows.

    BLAS is slow at few but very long columns.
    """
    def by_row(c):    # (groups, H', k, W' N)
        groups, k, n_sums = c.shape
        return c.reshape(groups, k, height, n_sums // height).swapaxes(1, 2)
    products = by_row(a) @ by_row(b).swapaxes(2, 3)
    return products.sum(axis=1, dtype=wide(a.dtype))


def check_filters(name, x, weight, bias, groups):
    """ValueError unless images or series, filters, bias and groups of a convolution fit."""
    check_int(name, "groups", groups, 1)
    image, kernel, n_axes = ("L", "k", 3) if name == "conv1d" else ("H, W", "kh, kw", 4)
    if not x.ndim == weight.ndim == n_axes or x.shape[1] != groups * weight.shape[1]:
        channels, told = ("C", "") if groups == 1 else ("C / groups", f" with groups={groups}")
        raise ValueError(f"{name}: x must have shape (N, C, {image}) and weight (O, {channels}, "
                         f"{kernel}), got {x.shape} and {weight.shape}{told}")
    for size in weight.shape[2:]:
        check_int(name, "kernel_size", size, 1)
    if len(weight) % groups:
        raise ValueError(f"{name}: groups must divide O = {len(weight)}, the number of filters, "
                         f"got {groups}")
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ValueError(f"{name}: bias must have shape (O,) = {weight.shape[:1]}, "
                         f"got {bias.shape}")


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
    where = _pool_windows("max_pool2d", x, kernel_size, stride, padding)
    planes = where.planes(x, fill=-np.inf)
    shape, views = planes.shape, where.views(planes)
    y = views[0]
    for view in views[1:]:
        y = np.maximum(y, view)

    def d_x(g):
        d, left = np.zeros(shape, wide(g.dtype)), g.transpose(1, 2, 3, 0)
        for view, d_view in zip(views, where.views(d)):
            taken = left * (view == y)
            d_view += taken
            left = left - taken
        return where.images(d)
    return as_images(y), (d_x,)


@primitive
def avg_pool2d(x, *, kernel_size, stride=None, padding=0):
    """The mean of each window, with the zeros of the padding counted.

    Parameters, returns and errors are those of `max_pool2d`.
    """
    where = _pool_windows("avg_pool2d", x, kernel_size, stride, padding)
    views = where.views(where.planes(x))
    n_pixels = len(views)

    def d_x(g):
        share = g.transpose(1, 2, 3, 0)[:, None] / n_pixels         # (C, 1, H', W', N)
        return where.add_back(np.broadcast_to(share, (len(share), n_pixels, *share.shape[2:])))
    total = sum(view.astype(wide(x.dtype), copy=False) for view in views)
    return as_images((total / n_pixels).astype(x.dtype, copy=False)), (d_x,)


def _pool_windows(name, x, kernel_size, stride, padding):
    """The `Windows` of a pooling; ValueError for what `max_pool2d` excludes."""
    if x.ndim != 4:
        raise ValueError(f"{name}: x must have shape (N, C, H, W), got {x.shape}")
    window, stride, padding = check_pooling(name, kernel_size, stride, padding)
    return _windows(name, x, window, stride, tuple((p, p) for p in padding))


def check_pooling(name, kernel_size, stride, padding):
    """Window, stride, padding of a pooling as pairs; ValueError for what `max_pool2d` excludes."""
    window = check_pair(name, "kernel_size", kernel_size, 1)
    stride = window if stride is None else check_pair(name, "stride", stride, 1)
    padding = check_pair(name, "padding", padding, 0)
    if 2 * padding[0] > window[0] or 2 * padding[1] > window[1]:
        raise ValueError(f"{name}: padding must be at most half of kernel_size={window}, "
                         f"got {padding}")
    return window, stride, padding
