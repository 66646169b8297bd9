"""Magnitude pruning: set the smallest weights to zero, and keep them there.

Problem: a trained network has many more weights than it needs. Which can go, and how many?

Idea: a mask m in {0, 1}^d chooses the weights that stay:

    min over theta, m of  L(theta * m)    subject to    ||m||_0 <= k

No one can try all masks. The cheap answer is surprisingly good: keep the k weights that are
largest in magnitude, then train the survivors on. Training is projected descent: after every
step theta goes back to theta * m. Without that the next gradient, or momentum, would move a
pruned weight away from 0. Pruning in rounds with training between them, fast at first and then
ever slower, reaches a higher sparsity than one cut.

Which arrays of a model are weights is said in one place, `tinyml.nn.weights`: every parameter
of two or more axes but those of norms. What is not pruned is in `tinyml.nn.left_out`.

A mask alone saves no byte and no millisecond: see `storage` for the bytes, `sparse` for the
milliseconds.

Sources: MATH5836 week 10, section 10.2.1; Han, Pool, Tran and Dally 2015, Learning both
weights and connections for efficient neural networks; Zhu and Gupta 2017, To prune, or not to
prune (the schedule); Cheng, Wang, Zhou and Zhang 2017, A survey of model compression and
acceleration for deep neural networks.
"""
import numpy as np

from tinyml.check import check_number, check_real, check_rng
from tinyml.nn import Parameter
from tinyml.nn.weights import (all_weights, computed_weights, left_out, nothing_to_do, warn_left,
                               weights)


def magnitude_mask(weight, *, amount):
    """Keep the weights of largest magnitude: m_j = 0 for exactly round(amount d) of the d weights.

    Of weights that are equal in magnitude the earlier ones, in reading order, go first. round
    is Python's: halves round to even.

    Parameters
    ----------
    weight : array_like, any shape, d entries
    amount : float in [0, 1], the fraction to prune

    Returns
    -------
    ndarray of bool, the shape of weight, True for the weights to keep

    Raises
    ------
    TypeError, ValueError : weight is not real or not finite, or amount is not in [0, 1]

    Examples
    --------
    >>> magnitude_mask([[3, -1], [-2, 1]], amount=0.5)
    array([[ True, False],
           [ True, False]])
    """
    check_number("magnitude_mask", "amount", amount, at_least=0, at_most=1)
    weight = check_real("magnitude_mask", "weight", weight)
    keep = np.ones(weight.size, bool)
    keep[np.argsort(np.abs(weight).ravel(), kind="stable")[:round(amount * weight.size)]] = False
    return keep.reshape(weight.shape)


def global_masks(weights, *, amount):
    """Keep the weights of largest magnitude of several arrays together: one threshold for all.

    The weights are concatenated, masked once by `magnitude_mask`, and split again: a layer
    whose weights are small loses more of them. Exactly round(amount d) go, d the number of
    weights in all.

    Parameters
    ----------
    weights : sequence of array_like, any shapes
    amount : float in [0, 1], the fraction to prune

    Returns
    -------
    list of ndarray of bool, the shapes of the weights in their order, True for the weights to keep

    Raises
    ------
    TypeError, ValueError : a weight is not real or not finite, or amount is not in [0, 1]

    Examples
    --------
    >>> global_masks([[3, 1], [[2], [4]]], amount=0.5)
    [array([ True, False]), array([[False],
           [ True]])]
    """
    check_number("global_masks", "amount", amount, at_least=0, at_most=1)
    weights = [check_real("global_masks", f"weights[{i}]", w) for i, w in enumerate(weights)]
    keep = magnitude_mask(np.concatenate([np.zeros(0), *(w.ravel() for w in weights)]), amount=amount)
    parts = np.split(keep, np.cumsum([w.size for w in weights])[:-1])
    return [part.reshape(w.shape) for part, w in zip(parts, weights)]


def threshold_mask(weight, *, threshold):
    """m_j = 1 if |theta_j| >= tau, else 0 (MATH5836 week 10, section 10.2.1).

    Parameters
    ----------
    weight : array_like, any shape
    threshold : float >= 0, tau

    Returns
    -------
    ndarray of bool, the shape of weight, True for the weights to keep

    Raises
    ------
    TypeError, ValueError : weight is not real or not finite, or the threshold is negative
    """
    check_number("threshold_mask", "threshold", threshold, at_least=0)
    weight = check_real("threshold_mask", "weight", weight)
    return np.abs(weight) >= threshold


def random_mask(shape, *, amount, rng):
    """The baseline: exactly round(amount d) of the d weights go, whichever they are.

    Every subset of that size is equally likely. The rounding is as in `magnitude_mask`.

    Parameters
    ----------
    shape : int or tuple of int
    amount : float in [0, 1], the fraction to prune
    rng : numpy.random.Generator

    Returns
    -------
    ndarray of bool, of this shape, True for the weights to keep

    Raises
    ------
    TypeError, ValueError : amount is not a number in [0, 1], or rng is not a Generator
    """
    check_number("random_mask", "amount", amount, at_least=0, at_most=1)
    check_rng("random_mask", rng)
    mask = np.ones(shape, bool)
    mask.ravel()[rng.permutation(mask.size)[:round(amount * mask.size)]] = False
    return mask


def cubic_sparsity(t, *, final, t_end, t_start=0, initial=0.0):
    """The fraction pruned at step t (Zhu and Gupta 2017, equation 1): fast at first, then ever slower.

        s_t = s_f + (s_i - s_f) (1 - (t - t_0) / (t_end - t_0))^3,    s_i before t_0, s_f after t_end

    Parameters
    ----------
    t : float or array_like, the step, or many of them
    final, initial : float in [0, 1], s_f and s_i
    t_start, t_end : float, t_0 and t_end, t_start < t_end

    Returns
    -------
    float or ndarray, the shape of t

    Raises
    ------
    TypeError, ValueError : a fraction is not in [0, 1], or t_start is not below t_end

    Examples
    --------
    >>> cubic_sparsity([0, 50, 100, 200], final=0.9, t_end=100)
    array([0.    , 0.7875, 0.9   , 0.9   ])
    """
    for name, value in (("final", final), ("initial", initial)):
        check_number("cubic_sparsity", name, value, at_least=0, at_most=1)
    check_number("cubic_sparsity", "t_start", t_start, below=t_end)
    left = 1 - np.clip((np.asarray(t, float) - t_start) / (t_end - t_start), 0, 1)
    return final + (initial - final) * left ** 3


# ------------------------------------------------------------ of a model

def prunable_weights(model):
    """{path: Parameter} of the weights of a model (`tinyml.nn.weights`), a shared one once.

    Raises ValueError if the model has none.
    """
    return _prunable("prunable_weights", model)


def _prunable(function, model):
    found = weights(model)
    if not found:
        raise ValueError(nothing_to_do(function, model, _fixed(model)))
    return found


def _fixed(model):
    """{path: why} of the computed weights without real numbers behind them, which stay."""
    return {path: why for path, why in left_out(model).items() if path in computed_weights(model)}


def prune(model, *, amount, method="global", rng=None):
    """Set a fraction of the weights of a model to zero, in place.

    The fraction is of all weights, those that are 0 already included: they are pruned first,
    and stay pruned, also if they are more than that. So pruning in steps of 0.5 and 0.6 leaves
    0.6 pruned.

    Parameters
    ----------
    model : Module with a weight (`tinyml.nn.weights`)
    amount : float in [0, 1), the fraction to prune
    method : "global" (the smallest of all layers), "layer" (the smallest of each layer), or
        "random" (of each layer)
    rng : numpy.random.Generator, for "random"

    Returns
    -------
    dict of str to ndarray of bool, the mask of each weight by its path, for `hold`

    Raises
    ------
    TypeError, ValueError : amount is not in [0, 1), a weight is not finite, the method is
        unknown, the model has nothing to prune, or rng is missing

    Warns
    -----
    UserWarning : a weight is computed already, from codes, say, and left as it is
    """
    check_number("prune", "amount", amount, at_least=0, below=1)
    found = _prunable("prune", model)
    for path, weight in found.items():
        check_real("prune", path, weight.data)
    warn_left("prune", _fixed(model))
    arrays = [weight.data for weight in found.values()]
    if method == "global":
        masks = global_masks(arrays, amount=amount)
    elif method == "layer":
        masks = [magnitude_mask(array, amount=amount) for array in arrays]
    elif method == "random":
        masks = [_random_mask_of(array, amount, rng) for array in arrays]
    else:
        raise ValueError(f'prune: method must be "global", "layer" or "random", got {method!r}')
    masks = {path: mask & (array != 0) for path, mask, array in zip(found, masks, arrays)}
    apply_masks(model, masks)
    return masks


def _random_mask_of(weight, amount, rng):
    """A random choice of those that are not zero; with the zeros it is the amount."""
    check_rng("prune", rng)
    alive = np.flatnonzero(weight)
    n_dead = weight.size - alive.size
    n_more = max(round(amount * weight.size) - n_dead, 0)
    keep = np.ones(weight.shape, bool)
    keep.ravel()[rng.permutation(alive)[:n_more]] = False
    return keep


def apply_masks(model, masks):
    """theta = theta * m for every weight that has a mask, in place; survivors keep their bits.

    Parameters
    ----------
    model : Module
    masks : dict of str to ndarray of bool, by the path of the weight

    Raises
    ------
    ValueError : a path is not a parameter of the model, or a mask has another shape
    """
    _mask(_parameters(model), masks)


def _parameters(model):
    """{path: Parameter}, one that layers share under each of its paths."""
    return {path: tensor for path, tensor in model._named_tensors()
            if isinstance(tensor, Parameter)}


def _mask(parameters, masks):
    for path, mask in masks.items():
        if path not in parameters:
            raise ValueError("apply_masks: masks must have paths of parameters of the model, got "
                             f"{path!r}; it has {', '.join(parameters) or 'none'}")
        parameter = parameters[path]
        if parameter.shape != np.shape(mask):
            raise ValueError(f"apply_masks: masks[{path!r}] must have shape {parameter.shape}, "
                             f"got {np.shape(mask)}")
        parameter.data = np.where(mask, parameter.data, parameter.data.dtype.type(0))


def hold(optimizer, model, masks):
    """Keep pruned weights at zero: after every step of the optimizer, `apply_masks`.

    The dict is kept by reference: change it, as gradual pruning does, and the next step uses
    the new masks.

    Parameters
    ----------
    optimizer : Optimizer over the model's parameters
    model : Module
    masks : dict of str to ndarray of bool, as from `prune`

    Raises
    ------
    ValueError : as `apply_masks`
    """
    parameters = _parameters(model)    # once, not at every step
    _mask(parameters, masks)
    optimizer.projections.append(lambda: _mask(parameters, masks))


def sparsity(model):
    """The fraction of all weights of a model that are zero, a float; computed ones count, too.

    A weight that stands in several places counts once. Raises ValueError if the model has no
    weight.
    """
    arrays = [weight.data for _, _, weight in all_weights(model)]
    if not arrays:
        raise ValueError(nothing_to_do("sparsity", model, {}))
    n_nonzero, n = sum(np.count_nonzero(a) for a in arrays), sum(a.size for a in arrays)
    return 1 - float(n_nonzero / max(n, 1))
