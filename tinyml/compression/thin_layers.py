"""Thin layers: one layer as two that compute a product of low rank.

Problem: `low_rank` finds two thin matrices for one. What are they for the filters of a
convolution, which are no matrix?

Idea: write the filters W, O of them with C channels and kh x kw pixels, as a matrix. Each factor
becomes a layer. There are two ways:

    matrix             the two layers
    (C kh, O kw)       kh x 1 filters from C to r channels; then 1 x kw filters from r to O
    (O, C kh kw)       kh x kw filters from C to r channels; then 1 x 1 filters from r to O

The second layer gets the bias of the whole one.

Sources: MATH5836 week 10, section 10.2.3; Denton, Zaremba, Bruna, LeCun and Fergus 2014,
Exploiting linear structure within convolutional networks for efficient evaluation; Tai, Xiao,
Zhang, Wang and E 2016, Convolutional neural networks with low-rank regularization (equations 3
to 6).
"""
import copy
import math

import numpy as np

from tinyml.check import check_pair, warn
from tinyml.compression.low_rank import break_even, truncated_svd
from tinyml.contract import checked
from tinyml.nn import Conv1d, Parameter, Sequential


@checked
def factorize_linear(
    layer: "Linear",
    rank: "int >= 1; with rank <= min(in_features, out_features)",
    *,
    second_moment: "array_like, shape (n, n), or None; of the layer's inputs; "
                   "see `truncated_svd`" = None,
):
    """A Sequential of two Linear layers in place of one: first V', then U.

    The first layer has no bias, the second has the bias of the layer.

    A rank of `break_even` or more saves nothing; then there is a warning.
    """
    W = layer.weight.data                                              # (m, n)
    U, V = truncated_svd(W, rank, second_moment=second_moment)         # (m, r), (n, r)
    _warn_unless_cheaper("factorize_linear", rank, len(U), len(V))
    return Sequential(linear_like(layer, V.T, bias=False), linear_like(layer, U))


@checked
def factorize_conv(
    layer: "Conv2d; with groups=1",
    rank: 'int >= 1; with rank <= min(C kh, O kw), or min(O, C kh kw) for "channel"',
    *,
    method: '"separable" or "channel"' = "separable",
):
    """A Sequential of two Conv2d layers in place of one: the nearest filters of rank r.

        "separable"    kh x 1, C -> r, then 1 x kw, r -> O:    W[o,c,i,j] ~ sum_q H[o,q,j] V[q,c,i]
        "channel"      kh x kw, C -> r, then 1 x 1, r -> O:    W[o,c,i,j] ~ sum_q U[o,q] V[q,c,i,j]

    q counts the r channels between the layers (Tai et al. 2016, equation 4; Denton et al. 2014).
    """
    W = layer.weight.data
    n_out, C, kh, kw = W.shape
    (sh, sw), padding, vertical_pad, horizontal_pad = _settings("factorize_conv", layer)
    if method == "separable":
        # the rows of as_matrix are inputs, so its left factor is the first layer
        V, H = truncated_svd(as_matrix(layer), rank)         # (C kh, r), (O kw, r)
        vertical = V.T.reshape(rank, C, kh, 1)
        horizontal = H.reshape(n_out, 1, kw, rank).transpose(0, 3, 1, 2)
        first = conv_like(layer, vertical, (sh, 1), vertical_pad, bias=False)
        second = conv_like(layer, horizontal, (1, sw), horizontal_pad)
        _warn_unless_cheaper("factorize_conv", rank, len(V), len(H))
    else:
        U, V = truncated_svd(W.reshape(n_out, -1), rank)    # (O, r), (C kh kw, r)
        filters = V.T.reshape(rank, C, kh, kw)
        first = conv_like(layer, filters, (sh, sw), padding, bias=False)
        second = conv_like(layer, U[:, :, None, None], stride=(1, 1), padding=(0, 0))
        _warn_unless_cheaper("factorize_conv", rank, len(U), len(V))
    return Sequential(first, second)


@checked
def factorize_conv1d(layer: "Conv1d; with groups=1", rank: "int >= 1; with rank <= min(O, C k)"):
    """A Sequential of two Conv1d layers in place of one: kernel k, C -> r, then kernel 1, r -> O.

        W[o,c,i] ~ sum_q U[o,q] V[q,c,i]

    If a series is taken as an image of width 1, with kernel k x 1, both methods of
    `factorize_conv` give these two layers.
    """
    check_one_group("factorize_conv1d", layer)
    # the rows of as_matrix are inputs, so its left factor is the first layer
    V, U = truncated_svd(as_matrix(layer), rank)    # (C k, r), (O, r)
    _warn_unless_cheaper("factorize_conv1d", rank, len(V), len(U))
    filters = V.T.reshape(rank, layer.in_channels, -1)
    first = conv_like(layer, filters, layer.stride, layer.padding, bias=False)
    second = conv_like(layer, U[:, :, None], stride=1, padding=0)
    return Sequential(first, second)


def as_matrix(layer):
    """The matrix of a layer that is approximated by one of low rank.

    For a Linear it is W itself, (O, I): the rows are outputs. For a Conv2d and method "separable"
    it is (C kh, O kw): each row is one input channel at one row of the kernel; the rows become
    the first layer. A Conv1d is the case kw = 1, (C k, O).
    """
    W = layer.weight.data
    if W.ndim == 2:
        return W
    n_out, C, kh, *kw = W.shape
    W = W.reshape(n_out, C, kh, math.prod(kw))    # kw is [] for a series
    return W.transpose(1, 2, 0, 3).reshape(C * kh, -1)


def _settings(function, layer):
    """The stride (sh, sw) and the padding of a Conv2d; the paddings of the two separable layers.

    Both layers keep its dilation, which has no effect along an axis of one pixel.
    """
    check_one_group(function, layer)
    stride = check_pair(function, "stride", layer.stride, 1)
    if isinstance(layer.padding, str):
        return stride, layer.padding, layer.padding, layer.padding
    ph, pw = check_pair(function, "padding", layer.padding, 0)
    return stride, (ph, pw), (ph, 0), (0, pw)


def check_one_group(function, layer):
    """Refuse a convolution in groups."""
    if layer.groups > 1:
        raise ValueError(f"{function}: layer must have groups=1, got groups={layer.groups}; its "
                         "filters read few channels already")


def linear_like(layer, weight, bias=True):
    """A layer of the same class with this weight (out, in), and its bias or none."""
    linear = _with_weight(layer, weight, bias)
    linear.out_features, linear.in_features = weight.shape
    return linear


def conv_like(layer, weight, stride, padding, bias=True, groups=1):
    """A convolution of the same class with this weight (O, C / groups, ...); its bias or none."""
    conv = _with_weight(layer, weight, bias)
    conv.out_channels, in_channels, *kernel = weight.shape
    conv.in_channels, conv.groups = groups * in_channels, groups
    conv.kernel_size = kernel[0] if isinstance(layer, Conv1d) else tuple(kernel)
    conv.stride, conv.padding = stride, padding
    return conv


def _with_weight(layer, weight, bias):
    new = copy.copy(layer)
    new.weight = Parameter(np.ascontiguousarray(weight), layer.weight.requires_grad)
    new.bias = copy.deepcopy(layer.bias) if bias else None
    return new


def _warn_unless_cheaper(function, rank, m, n):
    """Warn if two factors take as many multiplications as the whole matrix, or more."""
    if rank >= break_even(m, n):
        warn(f"{function}: rank must be < m n / (m + n) = {break_even(m, n):g} to save "
             f"multiplications, got {rank}")
