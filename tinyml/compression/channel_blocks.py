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
from tinyml.nn import Module


class ChannelBlocks(Module):
    """y[outputs_h] = sum_g block_hg(x[inputs_g]), for groups g of inputs and h of outputs.

    Parameters
    ----------
    inputs : list of ndarray of int, the input channels of each group g
    outputs : list of ndarray of int, the output channels of each group h, each channel once
    blocks : list of lists of Module, blocks[h][g] from the channels of inputs[g] to as many as
        outputs[h] has; None for a block that is zero, but not for all of an h

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
    """The indices of each group, for the code of each item: codes 1, 0, 1 are [1] and [0, 2]."""
    return [np.flatnonzero(codes == j) for j in range(codes.max() + 1)]
