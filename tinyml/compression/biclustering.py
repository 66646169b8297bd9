"""Bi-clustering: blocks of similar filters and similar channels, each block of low rank.

Problem: as one matrix of low rank, a layer needs a rank that serves all its filters at once. But
some filters are alike, and so are some channels.

Idea: k-means puts the O filters W[o, :, :, :] of a convolution into H groups, and its C input
channels W[:, c, :, :] into G groups. Each pair of groups is a block: O_h filters and C_g channels.
Filters that are alike need few directions, and so do channels. So a block W (O_h, C_g, kh, kw) is
written with K2 directions of filters, in B, and K1 of channels, in A:

    W[o,c,i,j] ~ sum_qp B[o,q] core[q,p,i,j] A[c,p]

The columns of A (C_g, K1) are the first left singular vectors of the block as a matrix with a row
for each channel, those of B (O_h, K2) as a matrix with a row for each filter. The core is B'WA. As
layers:

    1 x 1, C_g -> K1,   then kh x kw, K1 -> K2,   then 1 x 1, K2 -> O_h
    multiplications:  K1 C_g                 for each pixel of the input
                      kh kw K1 K2 + K2 O_h   for each pixel of the output

The parts of all blocks are added up. A and B have orthogonal columns of length 1, so

    ||W - W~||^2 = ||W||^2 - ||core||^2

The paper makes the groups of equal size, which its GPU code needs; here they are as k-means finds
them. The paper cuts one side first, and finds the singular vectors of the other side from what is
left; the difference is small. Its other form of a block is in `outer_products`.

Sources: MATH5836 week 10, section 10.2.3; Denton, Zaremba, Bruna, LeCun and Fergus 2014,
Exploiting linear structure within convolutional networks for efficient evaluation, section 3.4;
Tucker 1966, Some mathematical notes on three-mode factor analysis, for cuts on several sides.
"""
import copy
import math

import numpy as np

from tinyml.check import check_pair
from tinyml.compression.channel_blocks import blockwise, members
from tinyml.compression.clusters import kmeans_of_rows
from tinyml.compression.low_rank import break_even
from tinyml.compression.thin_layers import check_one_group, conv_like, factorize_linear
from tinyml.contract import checked
from tinyml.nn import Sequential


@checked
def bicluster(
    filters: "array_like of float64, shape (O, C, kh, kw), O >= 1, C >= 1; W",
    n_inputs: "int >= 1; G, the largest number of groups of channels",
    n_outputs: "int >= 1; H, the largest number of groups of filters",
    *,
    rng: "numpy.random.Generator",
):
    """Groups of input channels and groups of filters, each by k-means.

    Channel c is described by all weights W[:, c] that read it, filter o by all its weights W[o].

    Returns
    -------
    inputs : ndarray of int, shape (C,), the group of each channel
    outputs : ndarray of int, shape (O,), the group of each filter
    """
    n_filters, n_channels = filters.shape[:2]
    of_channel = filters.swapaxes(0, 1).reshape(n_channels, -1)
    of_filter = filters.reshape(n_filters, -1)
    inputs, _ = kmeans_of_rows(of_channel, n_inputs, rng=rng)
    outputs, _ = kmeans_of_rows(of_filter, n_outputs, rng=rng)
    return inputs, outputs


@checked
def two_sided_svd(filters: "array_like, shape (O, C, kh, kw), O >= 1, C >= 1; W"):
    """Orthogonal matrices A and B for both sides of filters, and the core of W in them.

        W[o,c,i,j]    = sum_qp B[o,q] core[q,p,i,j] A[c,p]
        core[q,p,i,j] = sum_oc B[o,q] W[o,c,i,j] A[c,p]

    A are the left singular vectors of W as a matrix (C, O kh kw), B those of (O, C kh kw). To cut
    W to ranks K1 and K2, keep A[:, :K1], B[:, :K2] and core[:K2, :K1].

    Returns
    -------
    A : ndarray, shape (C, min(C, O kh kw))
    B : ndarray, shape (O, min(O, C kh kw))
    core : ndarray, shape (columns of B, columns of A, kh, kw)
    """
    n_filters, n_channels = filters.shape[:2]
    by_channel = filters.swapaxes(0, 1).reshape(n_channels, -1)    # (C, O kh kw)
    by_filter = filters.reshape(n_filters, -1)                     # (O, C kh kw)
    A, _, _ = np.linalg.svd(by_channel, full_matrices=False)
    B, _, _ = np.linalg.svd(by_filter, full_matrices=False)
    core = np.einsum("oq,ocij,cp->qpij", B, filters, A)
    return A, B, core


@checked
def energy_kept(
    core: "array_like of float64, shape (m, n, kh, kw)",
) -> "ndarray, shape (m, n)":
    """The energy of a block after a cut to K1 and K2, for every pair of ranks.

    The energy is the sum of the squares of the core that is kept, core[:K2, :K1].

        energy[K2 - 1, K1 - 1] = sum over q < K2, p < K1, i, j of core[q,p,i,j]^2
    """
    squares = (core ** 2).sum(axis=(2, 3))
    return squares.cumsum(axis=0).cumsum(axis=1)


# ------------------------------------------------------------ work

@checked
def block_work(
    in_rank: "int >= 1; K1",
    out_rank: "int >= 1; K2",
    n_channels: "int >= 1; C_g",
    n_filters: "int >= 1; O_h",
    *,
    area: "int >= 1; kh kw",
    stride: "int >= 1; s, the stride down times the stride across" = 1,
):
    """Multiplications of one block for each pixel of the output.

        s K1 C_g + kh kw K1 K2 + K2 O_h

    The input has s pixels for each of the output, apart from the borders of the image. If K1 >=
    C_g the first 1 x 1 convolution would save nothing, and is left out; so is the last one if
    K2 >= O_h.
    """
    # K1 and K2 are the channels of the middle convolution: the ranks, if that side is cut
    K1, K2, first, last = n_channels, n_filters, 0, 0
    if in_rank < n_channels:
        K1 = min(in_rank, n_filters * area)    # the SVD of (C_g, O_h kh kw) has no more
        first = stride * K1 * n_channels
    if out_rank < n_filters:
        K2 = min(out_rank, n_channels * area)
        last = K2 * n_filters
    return first + area * K1 * K2 + last


@checked
def ranks_for_work(
    layer: "Conv2d",
    inputs: "ndarray of int; the group of each channel",
    outputs: "ndarray of int; the group of each filter",
    *,
    share: "float > 0; the fraction of the multiplications of the layer that the "
           "blocks may take",
) -> "(K1, K2), two int; (1, 1) if no pair takes so little":
    """The ranks K1 and K2, the same for all blocks, that keep the most within a share of the work.
    """
    W = layer.weight.data.astype(np.float64)
    area = math.prod(W.shape[2:])
    stride = math.prod(check_pair("ranks_for_work", "stride", layer.stride, 1))
    blocks = [(filters, channels) for filters in members(outputs) for channels in members(inputs)]
    energies = []
    for filters, channels in blocks:
        _, _, core = two_sided_svd(W[np.ix_(filters, channels)])
        energies.append(energy_kept(core))
    most = share * W.size * (1 + 1e-12)    # W.size multiplications a pixel; up to rounding
    best, largest = (1, 1), -1.0
    for K1 in range(1, max(len(channels) for _, channels in blocks) + 1):
        for K2 in range(1, max(len(filters) for filters, _ in blocks) + 1):
            work = sum(block_work(K1, K2, len(channels), len(filters), area=area, stride=stride)
                       for filters, channels in blocks)
            # a rank beyond the core of a block keeps all of it
            energy = sum(kept[min(K2, kept.shape[0]) - 1, min(K1, kept.shape[1]) - 1]
                         for kept in energies)
            if work <= most and energy > largest:
                best, largest = (K1, K2), energy
    return best


# ------------------------------------------------------------ layers

@checked
def two_sided_conv(
    layer: "Conv2d; with groups=1",
    *,
    in_rank: "int >= 1; K1",
    out_rank: "int >= 1; K2",
) -> "Sequential of up to three Conv2d":
    """1 x 1 from C to K1 channels, kh x kw to K2, 1 x 1 to O, in place of a Conv2d.

    At full rank, of C or of O, there is no 1 x 1 convolution on that side.
    """
    check_one_group("two_sided_conv", layer)
    A, B, core = two_sided_svd(layer.weight.data)
    A, B, core = A[:, :in_rank], B[:, :out_rank], core[:out_rank, :in_rank]
    convs = []
    if in_rank < layer.in_channels:
        first = A.T[:, :, None, None]
        convs.append(conv_like(layer, first, stride=1, padding=0, bias=False))
    else:    # no first convolution: A goes into the core
        core = np.einsum("qpij,cp->qcij", core, A)
    if out_rank >= layer.out_channels:    # no last convolution: B goes into the core
        core = np.einsum("oq,qpij->opij", B, core)
    convs.append(conv_like(layer, core, layer.stride, layer.padding, bias=False))
    if out_rank < layer.out_channels:
        last = B[:, :, None, None]
        convs.append(conv_like(layer, last, stride=1, padding=0, bias=False))
    convs[-1].bias = copy.deepcopy(layer.bias)
    return Sequential(*convs)


@checked
def bicluster_conv(
    layer: "Conv2d; with groups=1",
    inputs: "ndarray of int; the group of each channel, from `bicluster`",
    outputs: "ndarray of int; the group of each filter",
    *,
    in_rank: "int >= 1; K1; a block of at most K1 channels keeps them all",
    out_rank: "int >= 1; K2",
) -> "ChannelBlocks":
    """Blocks in place of a Conv2d, each of three small convolutions: see `two_sided_conv`."""
    def cut(block):
        return two_sided_conv(block, in_rank=in_rank, out_rank=out_rank)
    return blockwise(layer, inputs, outputs, cut)


@checked
def bicluster_linear(
    layer: "Linear",
    inputs: "ndarray of int; the group of each input",
    outputs: "ndarray of int; the group of each unit",
    *,
    rank: "int >= 1",
) -> "ChannelBlocks":
    """Blocks in place of a Linear, each of two thin layers by an SVD of its own.

    A block stays whole if two layers would not be cheaper. For the groups, give `bicluster` the
    weights as filters of one pixel, weight[:, :, None, None].
    """
    def cut(block):
        cheaper = rank < break_even(*block.weight.shape)
        return factorize_linear(block, rank) if cheaper else block
    return blockwise(layer, inputs, outputs, cut)
