"""Weight masks: a model computes with theta * m, and training keeps to it.

Problem: a mask m in {0, 1}^d says which weights stay (`pruning`). But the next gradient, or
momentum, would move a pruned weight away from 0.

Idea: there are two ways to train under a mask. The loss L(theta * m) sees only the weights that
stay, so the gradient of all others is 0 (`pruned_loss`). Or train as usual, and after every step
set theta back to theta * m (`hold`). From theta * m on, plain gradient descent takes the same
steps either way.

Sources: MATH5836 week 10, section 10.2.1; Han, Pool, Tran and Dally 2015, Learning both weights
and connections for efficient neural networks.
"""
import numpy as np

from tinyml.contract import checked
from tinyml.nn import Parameter
from tinyml.nn.weights import replaced
from tinyml.train import cross_entropy_of


@checked
def pruned_loss(
    model: "Module",
    *batch: "what `loss_of` takes, such as inputs x and classes y",
    masks: 'dict of str to ndarray of bool; m for each weight by its path, as in "0.weight"',
    loss_of: "function (model, *batch) -> scalar Tensor; as in `train.fit`" = cross_entropy_of,
):
    """The loss L(theta * m) of a model with the weights theta * m (notes 10.2.1).

    The model keeps its weights theta. The gradient of a pruned weight is 0.
    """
    parameters = _parameters(model)
    _check_masks("pruned_loss", parameters, masks)
    pruned = {}
    for path, m in masks.items():
        theta = parameters[path]
        pruned[theta] = theta * m
    with replaced(model, pruned):        # the model computes with theta * m
        return loss_of(model, *batch)    # notes 10.2.1, pruned loss


@checked
def apply_masks(
    model: "Module",
    masks: 'dict of str to ndarray of bool; m for each weight by its path, as in "0.weight"',
):
    """Set theta to theta * m for every weight that has a mask, in place."""
    parameters = _parameters(model)
    _check_masks("apply_masks", parameters, masks)
    _set_pruned_to_zero(parameters, masks)


@checked
def hold(
    optimizer: "Optimizer; of the model's parameters",
    model: "Module",
    masks: "dict of str to ndarray of bool; as from `prune`",
):
    """Keep pruned weights at zero: apply the masks now, and after every step of the optimizer.

    The optimizer uses this dict of masks, not a copy. If you put new masks into it, as gradual
    pruning does, the next step applies them.
    """
    project = projection("hold", model, masks)
    project()
    optimizer.projections.append(project)


def projection(function, model, masks):
    """What `hold` calls after every step: a function that sets theta to theta * m.

    `function` is the name that errors have.
    """
    parameters = _parameters(model)    # once, not at every step

    def project():
        _check_masks(function, parameters, masks)
        _set_pruned_to_zero(parameters, masks)
    return project


def _parameters(model):
    """{path: Parameter}; a shared parameter appears under each of its paths."""
    return {path: tensor for path, tensor in model._named_tensors()
            if isinstance(tensor, Parameter)}


def _check_masks(function, parameters, masks):
    """Raise ValueError unless every mask belongs to a parameter, and has its shape."""
    for path, mask in masks.items():
        if path not in parameters:
            raise ValueError(f"{function}: masks must have paths of parameters of the model, got "
                             f"{path!r}; it has {', '.join(parameters) or 'none'}")
        if parameters[path].shape != np.shape(mask):
            raise ValueError(f"{function}: masks[{path!r}] must have shape "
                             f"{parameters[path].shape}, got {np.shape(mask)}")


def _set_pruned_to_zero(parameters, masks):
    for path, mask in masks.items():
        theta = parameters[path].data
        # theta * mask would give -0.0 for a negative theta, and NaN for an infinite one
        parameters[path].data = np.where(mask, theta, theta.dtype.type(0))
