"""Magnitude pruning: which weights go, and how many: the smallest, a few at a time.

Problem: a trained network has many more weights than it needs. Which can go, and how many?

Idea: a mask m in {0, 1}^d chooses which of the d weights theta stay. With L the loss, and ||m||_0
the number of ones in m:

    min over theta, m of  L(theta * m)    subject to    ||m||_0 <= k

There are too many masks to try them all. A cheap choice is surprisingly good: keep the k weights
of largest magnitude, and continue to train these (`weight_masks`). It helps to prune in rounds,
with training between them: more weights can go at the same accuracy. The schedule
`cubic_sparsity` prunes many weights in the first rounds, and fewer in each later one.

The weights of a model are its parameters with two or more axes, except those of batch and layer
norms (`tinyml.nn.weights`). A `ComputedWeight`, such as a quantized weight, is not pruned.

A mask alone saves neither memory nor time: a zero takes as many bytes, and as many operations, as
any other number. `coding.storage` makes the file smaller, and `sparse` multiplies faster.

Sources: MATH5836 week 10, section 10.2.1; Han, Pool, Tran and Dally 2015, Learning both
weights and connections for efficient neural networks; Zhu and Gupta 2017, To prune, or not to
prune (the schedule); Cheng, Wang, Zhou and Zhang 2017, A survey of model compression and
acceleration for deep neural networks.
"""
import numpy as np

from tinyml.check import check_real
from tinyml.compression.weight_masks import apply_masks
from tinyml.contract import checked
from tinyml.nn.weights import (
    all_weights,
    computed_weights,
    left_out,
    nothing_to_do,
    warn_left,
    weights,
)


@checked
def magnitude_mask(
    weight: "array_like, any shape",
    *,
    amount: "float in [0, 1]; fraction to prune",
) -> "ndarray of bool, the shape of weight, True for the weights to keep":
    """Keep the k largest of d weights in magnitude, with k = d - round(amount * d) (notes 10.2.1).

    >>> magnitude_mask([[3, -1], [-2, 1]], amount=0.5)
    array([[ True, False],
           [ True, False]])
    """
    k = weight.size - round(amount * weight.size)
    smallest_first = np.abs(weight).ravel().argsort(kind="stable")
    largest_first = smallest_first[::-1]    # of equal weights, the last comes first
    keep = np.zeros(weight.size, bool)
    keep[largest_first[:k]] = True    # notes 10.2.1, budget
    return keep.reshape(weight.shape)


@checked
def global_masks(
    arrays: "sequence of array_like; any shapes; the weights of each layer",
    *,
    amount: "float in [0, 1]; fraction to prune",
) -> "list of ndarray of bool, True for the weights to keep":
    """Keep the weights of largest magnitude over all layers; a layer of small weights loses more.

    >>> global_masks([[3, 1], [[2], [4]]], amount=0.5)
    [array([ True, False]), array([[False],
           [ True]])]
    """
    arrays = [check_real("global_masks", f"arrays[{i}]", a) for i, a in enumerate(arrays)]
    flat = np.concatenate([np.zeros(0), *[a.ravel() for a in arrays]])    # there may be no arrays
    keep = magnitude_mask(flat, amount=amount)
    ends = np.cumsum([a.size for a in arrays])
    parts = np.split(keep, ends[:-1])
    return [part.reshape(a.shape) for part, a in zip(parts, arrays)]


def _global_masks_without_sorting(arrays, amount):
    """`global_masks` of finite arrays, several times faster if there are many weights.

    Weights above the k-th largest magnitude stay. Of those equal to it, the last ones stay.
    """
    magnitude = np.abs(np.concatenate([a.ravel() for a in arrays]))
    k = magnitude.size - round(amount * magnitude.size)
    nonzero = magnitude[magnitude > 0]    # selection is slow if many are equal
    kth_largest = 0.0 if k else np.inf
    if 0 < k < len(nonzero):
        kth_largest = np.partition(nonzero, -k)[-k]
    keep = magnitude > kth_largest
    equal = np.flatnonzero(magnitude == kth_largest)
    n_missing = k - np.count_nonzero(keep)
    keep[equal[len(equal) - n_missing:]] = True
    ends = np.cumsum([a.size for a in arrays])
    return [part.reshape(a.shape) for part, a in zip(np.split(keep, ends[:-1]), arrays)]


@checked
def threshold_mask(
    weight: "array_like, any shape",
    *,
    threshold: "float >= 0; tau",
) -> "ndarray of bool, the shape of weight, True for the weights to keep":
    """m_j = 1 if |theta_j| >= tau, else 0 (notes 10.2.1)."""
    return np.abs(weight) >= threshold    # notes 10.2.1, threshold mask


@checked
def random_mask(
    shape: "the shape of the mask, an int or a tuple of int",
    *,
    amount: "float in [0, 1]; fraction to prune",
    rng: "numpy.random.Generator",
) -> "ndarray of bool, True for the weights to keep":
    """A baseline for the other masks: prune round(amount * d) of the d weights at random."""
    mask = np.ones(shape, bool)
    n_pruned = round(amount * mask.size)
    pruned = rng.permutation(mask.size)[:n_pruned]
    mask.ravel()[pruned] = False
    return mask


@checked
def cubic_sparsity(
    t: "array_like of float64, any shape; one or many steps",
    *,
    final: "float in [0, 1]; s_f",
    t_end: "float > t_start",
    t_start: "float; t_0" = 0.0,
    initial: "float in [0, 1]; s_i" = 0.0,
) -> "ndarray or float, the shape of t":
    """The fraction pruned after step t, which grows fast at first and slowly at the end.

        s_t = s_f + (s_i - s_f) (1 - (t - t_0) / (t_end - t_0))^3

    (Zhu and Gupta 2017, equation 1.) Before t_0 it is s_i, and after t_end it is s_f.

    >>> cubic_sparsity([0, 50, 100, 200], final=0.9, t_end=100)
    array([0.    , 0.7875, 0.9   , 0.9   ])
    """
    progress = np.clip((t - t_start) / (t_end - t_start), 0, 1)
    return final + (initial - final) * (1 - progress) ** 3


# ------------------------------------------------------------ models


def prunable_weights(model):
    """{path: Parameter} of the weights of a model; ValueError if it has none."""
    return _prunable("prunable_weights", model)


def _prunable(function, model):
    """As `prunable_weights`, with the name of the function for the error message."""
    found = weights(model)
    if not found:
        raise ValueError(nothing_to_do(function, model, _computed(model)))
    return found


def _computed(model):
    """{path: reason} of the weights that are left as they are, because a layer computes them."""
    return {path: why for path, why in left_out(model).items() if path in computed_weights(model)}


@checked
def prune(
    model: "Module; with weights that are finite",
    *,
    amount: "float in [0, 1); fraction to prune",
    method: '"global", "layer" or "random"; "global" prunes the smallest '
            'weights of the whole model, "layer" the smallest weights of '
            'each layer, "random" random weights of each layer' = "global",
    rng: 'numpy.random.Generator, needed if method = "random"' = None,
):
    """Set a fraction of the weights of a model to zero, in place.

    A weight that is already zero stays zero, and counts as pruned: amount 0.5, then amount 0.6,
    leaves 60 % zeros, not 80 %. A computed weight is left as it is, with a warning.

    Returns
    -------
    dict of str to ndarray of bool, the mask of each weight by its path, such as "0.weight"; give
        it to `weight_masks.hold`
    """
    found = _prunable("prune", model)
    arrays = [check_real("prune", path, weight.data) for path, weight in found.items()]
    warn_left("prune", _computed(model))

    if method == "global":
        keep = _global_masks_without_sorting(arrays, amount)    # as `global_masks`, but faster
    elif method == "layer":
        keep = [magnitude_mask(array, amount=amount) for array in arrays]
    else:
        keep = [_random_mask_of(array, amount, rng) for array in arrays]
    masks = {path: mask & (array != 0) for path, mask, array in zip(found, keep, arrays)}
    apply_masks(model, masks)
    return masks


def _random_mask_of(weight, amount, rng):
    """Remove nonzero weights at random until round(amount * d) of all d are zero.

    None is removed if there are that many zeros already.
    """
    alive = np.flatnonzero(weight)
    n_zeros = weight.size - len(alive)
    n_more = max(round(amount * weight.size) - n_zeros, 0)
    keep = np.ones(weight.size, bool)
    keep[rng.permutation(alive)[:n_more]] = False
    return keep.reshape(weight.shape)


def sparsity(model):
    """The fraction of a model's weights that are zero. Computed weights count too.

    A weight that several layers share counts once. A model without weights raises ValueError.
    """
    arrays = [weight.data for _, _, weight in all_weights(model)]
    if not arrays:
        raise ValueError(nothing_to_do("sparsity", model, {}))
    n = sum(array.size for array in arrays)
    n_nonzero = sum(np.count_nonzero(array) for array in arrays)
    return 1 - n_nonzero / max(n, 1)    # n = 0 if all weights are empty
