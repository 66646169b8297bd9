"""Removal of units: their rows and columns leave the arrays, and the model gets smaller.

Problem: `structured` says which units should go. A unit whose output is 0 still costs its share of
every product, as long as its rows and columns stand in the arrays.

Idea: if z_k = 0, row k of its layer is never used, nor are the columns of the next layer that read
it. Without them the model computes the same (`remove_units`), up to the order of sums. With them,
set to zero, it has its old shapes (`mask_units`): slower, but easy to compare with.

Which arrays have entries of a unit is told by `nn.units`.

Sources: Li, Kadav, Durdanovic, Samet and Graf 2017, Pruning filters for efficient convnets;
MATH5836 week 10, section 10.2.1.
"""
import copy

from tinyml.contract import checked
from tinyml.nn.units import checked_masks, entry_mask, keep_entries, zero_entries


@checked
def mask_units(
    model: "Sequential; as in `nn.units.prunable`",
    keep: "dict of layer position to array_like of bool; with one for each unit, not all False",
):
    """A copy of the model, of the same shapes, in which z_k = 0 for the units that are not kept.

    Their weights, biases, batch norm entries and depthwise filters are 0. If a module stands at
    several positions, it is copied first, so that the other positions do not change.
    """
    masked = copy.deepcopy(model)
    for layer, (units, kept) in checked_masks("mask_units", model, keep).items():
        zero_entries(masked, layer, kept)
        for place in units.rows:    # batch norms and depthwise convolutions
            n_entries = len(model[place].weight.data)    # after a Flatten, several for each unit
            zero_entries(masked, place, entry_mask(kept, model[layer], n_entries))
    return masked


@checked
def remove_units(model: "as in `mask_units`", keep: "as in `mask_units`"):
    """A smaller model without the units that are not kept: it computes what `mask_units` computes.

    The layer, its batch norm and a depthwise convolution behind it lose rows. The next layer loses
    the columns of these units, after a Flatten one for each pixel. If a module stands at
    several positions, it is copied first, so that the other positions do not change.
    """
    small = copy.deepcopy(model)
    for layer, (units, kept) in checked_masks("remove_units", model, keep).items():
        keep_entries(small, layer, kept, axis=0)
        for place in units.rows:    # batch norms and depthwise convolutions
            n_entries = len(model[place].weight.data)    # after a Flatten, several for each unit
            keep_entries(small, place, entry_mask(kept, model[layer], n_entries), axis=0)
        columns = model[units.reader].weight.shape[1]
        keep_entries(small, units.reader, entry_mask(kept, model[layer], columns), axis=1)
    return small
