"""Monochromatic filters: each filter of the first layer sees the image in a single colour.

Problem: filters of a first layer read all colours of an image, with weights of their own for each.
Most trained filters differ from place to place in brightness, but hardly in colour.

Idea: as a matrix W_f (C, kh kw), filter f is nearly of rank one: a colour u (C) times a filter v
(kh kw) without colour. Share C' colours among all F filters:

    W_f ~ u_k v_f',    v_f = W_f' u_k,    ||u_k|| = 1,    k the colour of filter f

So the layer first mixes the C channels to C' new ones, and each filter then reads one of them:

    W~[f, c, i, j] = u_k[c] v_f[i, j]
    multiplications:  C' C for each pixel of the input, F kh kw for each pixel of the output

in place of F C kh kw. The best v_f for a colour is the projection, so the error of filter f is

    ||W_f - u_k v_f'||^2 = ||W_f||^2 - u_k' G_f u_k,    G_f = W_f W_f'

k-means with this cost finds the colours: a filter takes the colour with the least error, and the
best colour of a group is the first eigenvector of the sum of its G_f. The paper runs k-means on
the colours u_f of single filters. For it u and -u are far apart, although u v' = (-u) (-v)', and
a filter that is nearly 0 counts as much as any other.

Sources: MATH5836 week 10, section 10.2.3; Denton, Zaremba, Bruna, LeCun and Fergus 2014,
Exploiting linear structure within convolutional networks for efficient evaluation, section 3.3.
"""
import math

import numpy as np

from tinyml.check import check_pair
from tinyml.compression.channel_blocks import ChannelBlocks, members
from tinyml.compression.clusters import kmeans_of
from tinyml.compression.thin_layers import check_one_group, conv_like
from tinyml.contract import checked
from tinyml.nn import Parameter, Sequential


@checked
def color_cost(
    gram: "array_like of float64, shape (F, C, C), C >= 1; the G_f",
    color: "array_like of float64, shape (C,); u, with ||u|| = 1",
) -> "ndarray, shape (F,), none below 0":
    """The squared error that each filter adds, if it has this colour instead of its own best one.

        s_f^2 - u' G_f u,    G_f = W_f W_f',    s_f^2 its largest eigenvalue

    In its own colour filter f has the error ||W_f||^2 - s_f^2, the least of rank one.
    """
    most = np.linalg.eigvalsh(gram)[:, -1]    # s_f^2, the most that a colour can keep
    kept = gram @ color @ color               # ||W_f' u||^2
    return np.maximum(most - kept, 0)         # rounding may fall below 0


@checked
def best_color(
    gram: "array_like of float64, shape (F, C, C), F >= 1; the G_f = W_f W_f'",
) -> "ndarray, shape (C,), of length 1; its sign is arbitrary":
    """The colour with the least total error of some filters.

        u = argmax u' (sum_f G_f) u    with ||u|| = 1

    the first eigenvector of the sum, and the first left singular vector of all W_f side by side.
    """
    _, eigenvectors = np.linalg.eigh(gram.sum(axis=0))    # eigenvalues in ascending order
    return eigenvectors[:, -1]


@checked
def shared_colors(
    filters: "array_like of float64, shape (F, C, kh, kw), F >= 1, C >= 1",
    n_colors: "int >= 1; C'",
    *,
    rng: "as in `kmeans_of`",
    n_starts: "as in `kmeans_of`" = 10,
):
    """The colours of filters, at most n_colors in all, and which filter has which.

        minimise  sum_f ||W_f - u_k v_f'||^2

    by k-means, with `color_cost` in place of the squared distance, and `best_color` in place of
    the mean.

    Returns
    -------
    codes : ndarray of int, shape (F,), the colour k of each filter
    colors : ndarray, shape (m, C), m <= C', a u_k in each row
    """
    W = filters.reshape(*filters.shape[:2], -1)
    G = W @ W.swapaxes(1, 2)    # W_f W_f'
    codes, colors = kmeans_of(
        len(G), n_colors, rng=rng, n_starts=n_starts,
        cost=lambda color: color_cost(G, color), center=lambda group: best_color(G[group]))
    return codes, np.array(colors)


@checked
def gray_filters(
    filters: "array_like, shape (F, C, kh, kw); W",
    colors: "array_like, shape (F, C); with u_f of length 1",
) -> "ndarray, shape (F, kh, kw)":
    """The filters v_f without colour for which u_f v_f' is nearest to W_f.

        v_f[i, j] = sum_c u_f[c] W[f, c, i, j]
    """
    return np.einsum("fc,fcij->fij", colors, filters)


# ------------------------------------------------------------ layers

@checked
def monochromatic_conv(
    layer: "Conv2d; with groups=1",
    n_colors: "int >= 1; C'",
    *,
    rng: "as in `kmeans_of`",
    n_starts: "as in `kmeans_of`" = 10,
) -> "Sequential of a Conv2d and a ChannelBlocks":
    """Two layers in place of a Conv2d: 1 x 1 from C to C' colours, then each filter reads one.

    The colours are those of `shared_colors`. The second layer has the bias.
    """
    check_one_group("monochromatic_conv", layer)
    W = layer.weight.data
    codes, colors = shared_colors(W, n_colors, rng=rng, n_starts=n_starts)
    V = gray_filters(W, colors[codes].astype(W.dtype))[:, None]    # (F, 1, kh, kw)
    mixing = colors[:, :, None, None].astype(W.dtype)              # (C', C, 1, 1)
    mix = conv_like(layer, mixing, stride=1, padding=0, bias=False)
    of_color = members(codes)    # the filters of each colour
    n = len(colors)
    blocks = [[None] * n for _ in range(n)]
    for k, group in enumerate(of_color):
        conv = conv_like(layer, V[group], layer.stride, layer.padding)
        if conv.bias is not None:    # a copy of the bias of all filters
            conv.bias = Parameter(layer.bias.data[group], layer.bias.requires_grad)
        blocks[k][k] = conv
    return Sequential(mix, ChannelBlocks([np.array([k]) for k in range(n)], of_color, blocks))


@checked
def monochromatic_work(layer: "Conv2d", n_colors: "int >= 1; C'"):
    """The multiplications of `monochromatic_conv` as a fraction of those of the layer.

        (s C' C + F kh kw) / (F C kh kw),    s = the stride down times the stride across

    The input has s times as many pixels as the output, apart from the borders of the image.
    """
    F, C, kh, kw = layer.weight.shape
    s = math.prod(check_pair("monochromatic_work", "stride", layer.stride, 1))
    return (s * n_colors * C + F * kh * kw) / (F * C * kh * kw)
