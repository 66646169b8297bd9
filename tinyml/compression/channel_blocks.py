"""Channel blocks: a layer whose outputs come in groups, and whose groups read groups of inputs.

Problem: after clustering, filters of a convolution belong together in groups, and so do its input
channels. One convolution for each pair of groups can be cheap, but the channels of a group do not
stand side by side.

Idea: take the channels of each group of inputs, let a small network compute its part of each group
of outputs, add up the parts, and put the outputs back in their order (g counts groups of inputs, h
groups of outputs):

    y[outputs_h] = sum_g block_hg(x[inputs_g])

Sources: MATH5836 week 10, section 10.2.3; Denton, Zaremba, Bruna, LeCun and Fergus 2014,
Exploiting linear structure within convolutional networks for efficient evaluation, sections 3.3
and 3.4, where the groups are of equal size.
"""
import numpy as np

from tinyml import ops
from tinyml.compression.thin_layers import check_one_group, conv_like, linear_like
from tinyml.contract import checked
from tinyml.nn import Linear, Module, Parameter


class ChannelBlocks(Module):
    """y[outputs_h] = sum_g block_hg(x[inputs_g]), for groups g of inputs and h of outputs.

    Parameters
    ----------
    inputs : list of ndarray of int, the input channels of each group g
    outputs : list of ndarray of int, the output channels of each group h, each channel once
    blocks : list of lists of Module, blocks[h][g] from the channels of inputs[g] to as many as
        outputs[h] has; None for a block that is zero; at least one of each blocks[h] is not None

    Shapes: x (N, C, H, W), y (N, O, H', W').
    """

    def __init__(self, inputs, outputs, blocks):
        self.inputs, self.outputs, self.blocks = inputs, outputs, blocks

    def forward(self, x):
        groups = [x[:, channels] for channels in self.inputs]
        parts = []
        for row in self.blocks:
            products = [block(group) for block, group in zip(row, groups) if block is not None]
            parts.append(sum(products[1:], products[0]))
        order = np.argsort(np.concatenate(self.outputs))
        return ops.concatenate(parts, axis=1)[:, order]

    def extra_repr(self):
        return f"{len(self.inputs)} groups of inputs, {len(self.outputs)} of outputs"


def members(codes):
    """For each code, the indices of the items that have it: codes 1, 0, 1 give [1] and [0, 2]."""
    return [np.flatnonzero(codes == j) for j in range(codes.max() + 1)]


@checked
def blockwise(
    layer: "Linear or Conv2d, with groups=1",
    inputs: "ndarray of int; the group of each input channel",
    outputs: "ndarray of int; the group of each filter",
    approximate: "function of a layer; from a block to what takes its place",
) -> "ChannelBlocks":
    """A layer in blocks, one for each pair of groups, each of them approximated on its own.

    A block is a layer like the whole, with the weights W[outputs_h, inputs_g]. The first block of
    each group of outputs has their bias.
    """
    if not isinstance(layer, Linear):
        check_one_group("blockwise", layer)
    n_outputs, n_inputs = layer.weight.shape[:2]
    _check_codes("inputs", inputs, n_inputs)
    _check_codes("outputs", outputs, n_outputs)
    of_inputs, of_outputs = members(inputs), members(outputs)
    blocks = []
    for group in of_outputs:
        row = [_part(layer, group, channels) for channels in of_inputs]
        if layer.bias is not None:
            row[0].bias = Parameter(layer.bias.data[group], layer.bias.requires_grad)
        blocks.append([approximate(block) for block in row])
    return ChannelBlocks(of_inputs, of_outputs, blocks)


def _part(layer, group, channels):
    """The layer from some channels to some outputs, without bias."""
    weight = layer.weight.data[np.ix_(group, channels)]
    if isinstance(layer, Linear):
        return linear_like(layer, weight, bias=False)
    return conv_like(layer, weight, layer.stride, layer.padding, bias=False)


def _check_codes(argument, codes, n):
    """Refuse codes that leave an item without a group, or a group without items."""
    must = f"blockwise: {argument} must give a group to each of {n} items, got codes"
    if codes.shape != (n,):
        raise ValueError(f"{must} of shape {codes.shape}")
    missing = sorted(set(range(codes.max() + 1)) - set(codes.tolist()))
    if missing:
        raise ValueError(f"{must} 0 to {codes.max()} without {missing[0]}")
