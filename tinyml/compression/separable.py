"""Separable filters: the depthwise and pointwise convolutions nearest to a trained one.

Problem: a depthwise and a pointwise convolution (`compact`) take a fraction of the multiplications
of a full one. Which two are nearest to a layer that is trained already?

Idea: with the depthwise filters D and the pointwise weights P, the two compute a full convolution
with the filters

    W[o, c] = P[o, c] D[c]        (a number times a K x K filter)

So for each input channel c, the matrix W_c (O, K^2), with a row for each output channel, has rank
one. And if the W_c of a trained layer have rank one, the layer is depthwise-separable. If not, the
SVD of each W_c gives the nearest filters of that form (Eckart and Young 1936). With m depthwise
filters for each channel, the W_c may have rank m.

Sources: MATH5836 week 10, section 10.2.3 (fewer numbers for a matrix); Howard et al. 2017,
MobileNets: efficient convolutional neural networks for mobile vision applications (section 3.1).
"""
import copy

import numpy as np

from tinyml.check import warn
from tinyml.compression.low_rank import break_even
from tinyml.compression.thin_layers import check_one_group, conv_like
from tinyml.contract import checked
from tinyml.nn import Conv2d, Sequential
from tinyml.nn.users import LAST, users
from tinyml.nn.weights import all_weights, check_weights, nothing_to_do, swap, warn_left


@checked
def separate(
    weight: "array_like, shape (O, C, kh, kw), not empty; W",
    *,
    multiplier: "int in 1..min(O, kh * kw); m, depthwise filters for each channel" = 1,
):
    """The depthwise and pointwise filters nearest to W: an SVD for each input channel.

        minimise  sum_ocij (W[o, c, i, j] - sum_q P[o, c, q] D[c, q, i, j])^2,    q = 1..m

    For each channel c, W_c (O, kh kw) is cut after m singular values, and each factor gets their
    square roots. The minimum is the sum of the squares of all others.

    Returns
    -------
    depthwise : ndarray, shape (C m, 1, kh, kw), the weight of a convolution with groups=C
    pointwise : ndarray, shape (O, C m, 1, 1)
    """
    n_out, C, kh, kw = weight.shape
    U, s, Vh = np.linalg.svd(channel_matrices(weight), full_matrices=False)
    root = np.sqrt(s[:, :multiplier])                               # (C, m)
    P = U[:, :, :multiplier] * root[:, None]                        # (C, O, m)
    D = Vh[:, :multiplier] * root[:, :, None]                       # (C, m, kh kw)
    depthwise = D.reshape(C * multiplier, 1, kh, kw)
    pointwise = P.transpose(1, 0, 2).reshape(n_out, C * multiplier, 1, 1)
    return depthwise, pointwise


@checked
def compose(
    depthwise: "array_like, shape (n, 1, kh, kw); m filters for each channel, n = C m",
    pointwise: "array_like, shape (O, n, 1, 1)",
    *,
    n_in: "int >= 1; C, a divisor of n",
) -> "ndarray, shape (O, C, kh, kw)":
    """The full filters of a depthwise and a pointwise convolution.

        W[o, c] = sum_q P[o, c, q] D[c, q],    q = 1..m
    """
    n_out, n = pointwise.shape[:2]
    if n % n_in:
        raise ValueError(f"compose: n_in must divide the {n} depthwise filters, got {n_in}")
    m = n // n_in
    P = pointwise.reshape(n_out, n_in, m)
    D = depthwise.reshape(n_in, m, *depthwise.shape[2:])
    return np.einsum("ocq,cqij->ocij", P, D)


@checked
def separable_energy(
    weight: "array_like, shape (O, C, kh, kw), not empty, not zero",
    *,
    multiplier: "int >= 1" = 1,
):
    """The fraction of the squared weights that the nearest separable filters keep.

        sum of s_1^2 + ... + s_m^2 of all W_c  /  sum of the squares of all weights
    """
    s = np.linalg.svd(channel_matrices(weight), compute_uv=False)    # (C, singular values)
    return (s[:, :multiplier] ** 2).sum() / (s ** 2).sum()


def channel_matrices(weight):
    """The matrices W_c of filters (O, C, kh, kw): one array of shape (C, O, kh kw)."""
    n_out, C, kh, kw = weight.shape
    return weight.transpose(1, 0, 2, 3).reshape(C, n_out, kh * kw)


@checked
def separate_conv(
    layer: "Conv2d; with groups=1",
    *,
    multiplier: "int >= 1; m, at most the smaller side of the W_c" = 1,
):
    """A Sequential of two Conv2d in place of one: the nearest filters of `separate`.

    The depthwise convolution has the stride, padding and dilation of the layer, the pointwise one
    its bias. If the two take as many multiplications as the layer, or more, there is a warning.
    """
    check_one_group("separate_conv", layer)
    if multiplier >= _break_even(layer):
        warn(f"separate_conv: multiplier must be < {_break_even(layer):g} to save "
             f"multiplications, got {multiplier}")
    depthwise, pointwise = separate(layer.weight.data, multiplier=multiplier)
    first = conv_like(layer, depthwise, layer.stride, layer.padding, bias=False,
                      groups=layer.in_channels)
    second = conv_like(layer, pointwise, stride=1, padding=0)
    return Sequential(first, second)


def _break_even(layer):
    """m C (K^2 + O) < K^2 C O  <=>  m < K^2 O / (K^2 + O), as for a matrix of low rank."""
    n_out, _, kh, kw = layer.weight.shape
    return break_even(n_out, kh * kw)


TOO_SMALL, ONE_CHANNEL = "no cheaper as two layers", "filters for one channel"


@checked
def make_separable(
    model: "Module; with a Conv2d of several input channels",
    *,
    multiplier: "int >= 1; m" = 1,
):
    """A copy of a model with `separate_conv` of each Conv2d, where that is cheaper.

    A Conv2d of one input channel stays, because its filters would all be multiples of one, and so
    does the last layer. Train the copy further. A warning names the other weights that stay.
    """
    check_weights("make_separable", {path: weight for path, _, weight in all_weights(model)})
    model = copy.deepcopy(model)
    found, left = {}, {}
    # user.layer multiplies by the weight at path; user.why says why it must stay, or is None
    for path, user in users(model).items():
        why = user.why or _why_it_stays(user.layer, multiplier)
        if why:
            left[path] = why
        else:
            found[user.layer] = separate_conv(user.layer, multiplier=multiplier)
    if not found:
        raise ValueError(nothing_to_do("make_separable", model, left))
    warn_left("make_separable", {path: why for path, why in left.items()
                                 if why not in (LAST, TOO_SMALL, ONE_CHANNEL)})
    swap(model, found)
    return model


def _why_it_stays(layer, multiplier):
    if not isinstance(layer, Conv2d):
        return "no weight of a Conv2d"
    if layer.groups > 1:
        return f"filters in {layer.groups} groups"
    if layer.in_channels == 1:
        return ONE_CHANNEL
    return None if multiplier < _break_even(layer) else TOO_SMALL
