"""Factorize: a whole network in thin layers, each with its own rank.

Problem: `low_rank` cuts one layer. Which layers of a network are worth it, and at which ranks?

Idea: let every layer keep the same share of its multiplications, or the same share of its energy,
the sum of its squared singular values. A layer stays whole if two factors would cost as much. The
last layer also stays whole: C classes need C - 1 directions, which is nearly full rank.

What counts is the error of the outputs of a layer, not of its weights. So run the network on some
inputs, and cut each Linear with the second moment X'X / N of the inputs X (N, n) that reach it.

Sources: MATH5836 week 10, section 10.2.3; Denton, Zaremba, Bruna, LeCun and Fergus 2014,
Exploiting linear structure within convolutional networks for efficient evaluation.
"""
import copy
from typing import NamedTuple

import numpy as np

from tinyml.check import check_pair
from tinyml.compression.low_rank import rank_for_budget, rank_for_energy, root_of_moment
from tinyml.compression.thin_layers import (
    as_matrix,
    factorize_conv,
    factorize_conv1d,
    factorize_linear,
)
from tinyml.contract import checked
from tinyml.nn import Conv1d, Conv2d, Linear, Module, forward_hook
from tinyml.nn.places import untied
from tinyml.nn.users import LAST, users
from tinyml.nn.weights import all_weights, check_weights, swap, warn_left
from tinyml.tensor import as_tensor
from tinyml.train import accuracy, predict


@checked
def factorize(
    model: "Module; with a Linear, Conv1d or Conv2d besides the last",
    *,
    share: "float in (0, 1), or None; the fraction of the multiplications of "
           "each layer to keep" = None,
    energy: "float in (0, 1], or None; the fraction of the energy of each "
            "layer to keep" = None,
    X: "ndarray, shape (N, ...), N >= 1, or None; inputs of the model" = None,
):
    """A copy of a model with two layers in place of each Linear and convolution but the last.

    A layer stays whole if two layers would not be cheaper. Give either share or energy: the ranks
    are those of `rank_for_budget` or `rank_for_energy`. With X, the error and the energy of a
    Linear are those of its outputs for these inputs. They differ from place to place, so a Linear
    that stands at several places then becomes a separate layer at each. A warning names the
    weights that cannot be cut, and `ranks` says what becomes of every weight.
    """
    model, plan = _plan("factorize", model, share, energy, X)
    left = {path: cut.why for path, cut in plan.items() if cut.why not in (None, TOO_SMALL)}
    if len(left) == len(plan):
        stay = "".join(f"; {path} is {why}" for path, why in left.items())
        raise ValueError("factorize: model must have a Linear, Conv1d or Conv2d besides the last "
                         f"one, got {type(model).__name__}{stay}")
    warn_left("factorize", {path: why for path, why in left.items() if why != LAST})
    swap(model, {cut.layer: _two_layers(cut) for cut in plan.values() if cut.why is None})
    return model


@checked
def ranks(
    model: "as in `factorize`",
    *,
    share: "as in `factorize`" = None,
    energy: "as in `factorize`" = None,
    X: "as in `factorize`" = None,
) -> "dict of str to int or str, by the path of the weight":
    """What `factorize` does to every weight: the rank of its factors, or why it is not cut.

    >>> from tinyml.nn import Sequential
    >>> rng = np.random.default_rng(0)
    >>> ranks(Sequential(Linear(30, 20, rng=rng), Linear(20, 2, rng=rng)), share=0.5)
    {'0.weight': 6, '1.weight': 'the last layer'}
    """
    _, plan = _plan("ranks", model, share, energy, X)
    return {path: cut.rank if cut.why is None else cut.why for path, cut in plan.items()}


TOO_SMALL = "no cheaper as two layers"


class Cut(NamedTuple):
    """What becomes of a weight: its layer is cut at `rank`; or it stays, for the reason `why`."""

    layer: Module = None
    rank: int = None
    second_moment: np.ndarray = None    # of the layer's inputs
    why: str = None


def _plan(function, model, share, energy, X):
    """A copy of the model, and {path: Cut} of every weight in it."""
    if (share is None) == (energy is None):
        raise ValueError(f"{function}: share or energy must be given, one of them, got "
                         f"share={share!r} and energy={energy!r}; write {function}(model, "
                         "share=0.25)")
    check_weights(function, {path: weight for path, _, weight in all_weights(model)})
    second_moments = None if X is None else input_second_moments(model, X)
    # `untied` separates the places of one Linear: each has inputs of its own
    separate = X is not None and _reused(model)
    model = untied(model) if separate else copy.deepcopy(model)
    plan = {}
    # user.layer multiplies by the weight at path; user.why says why it must stay, or is None
    for path, user in users(model).items():
        plan[path] = Cut(why=user.why) if user.why else _cut(user, share, energy, second_moments)
    return model, plan


def _reused(model):
    """Whether a Linear stands at several places."""
    layers = [layer for _, layer in model.named_modules() if isinstance(layer, Linear)]
    return len(set(layers)) < len(layers)


def _cut(user, share, energy, second_moments):
    """The `Cut` of a layer."""
    groups = getattr(user.layer, "groups", 1)
    if groups > 1:
        return Cut(why=f"filters in {groups} groups")
    W = W_weighted = as_matrix(user.layer)
    m, n = W.shape
    second_moment = None
    if second_moments is not None and isinstance(user.layer, Linear):
        second_moment = second_moments.get(_key(user.place))
        if second_moment is None:
            return Cut(why="never called")
        W_weighted = W @ root_of_moment(second_moment)
    cost = _stride_across(user.layer) * m + n    # multiplications for each unit of the rank
    if energy is None:
        # r cost <= share m n; `rank_for_budget` takes the cost m + n
        rank = rank_for_budget(m, n, share=share * (m + n) / cost)
    else:
        rank = rank_for_energy(np.linalg.svd(W_weighted, compute_uv=False), energy=energy)
    return Cut(why=TOO_SMALL) if rank * cost >= m * n else Cut(user.layer, rank, second_moment)


def _stride_across(layer):
    """The horizontal stride s: the kh x 1 convolution runs at s times as many positions."""
    if not isinstance(layer, Conv2d):
        return 1
    return check_pair("factorize", "stride", layer.stride, 1)[1]


def _two_layers(cut):
    if isinstance(cut.layer, Linear):
        return factorize_linear(cut.layer, cut.rank, second_moment=cut.second_moment)
    make = factorize_conv1d if isinstance(cut.layer, Conv1d) else factorize_conv
    return make(cut.layer, cut.rank)


@checked
def share_for_accuracy(
    model: "Module; as in `factorize`",
    X: "ndarray, shape (N, ...); held-out inputs",
    y: "ndarray of int, shape (N, ...); their labels",
    *,
    at_least: "float in [0, 1]; the accuracy",
    shares: "sequence of float; with each in (0, 1)",
    inputs: "ndarray, shape (M, ...), or None; the X of `factorize`" = None,
) -> "float, one of the shares; or 1.0, for the whole model, if all shares are too small":
    """The smallest of some shares with which `factorize` still reaches an accuracy.

    Give held-out samples: on the samples that were used for a choice, the chosen model looks
    better than on others.
    """
    for share in sorted(shares):
        if accuracy(factorize(model, share=share, X=inputs), X, y) >= at_least:
            return share
    return 1.0


@checked
def input_second_moments(model: "Module", X: "ndarray, shape (N, ...), N >= 1"):
    """The second moment X'X / N of the inputs X of each Linear, at each place where one stands.

    Returns
    -------
    dict of place to ndarray of float64, shape (in_features, in_features), of each Linear that was
        called; a place is a position in a Sequential, an int, or a path such as "0.1"
    """
    model = untied(model)
    places = {layer: place for place, layer in model.named_modules() if isinstance(layer, Linear)}
    sums, counts = dict.fromkeys(places, 0), dict.fromkeys(places, 0)

    def add_inputs(module, x, y):
        if module in places:
            inputs = as_tensor(x).data.reshape(-1, module.in_features).astype(np.float64)
            sums[module] = sums[module] + inputs.T @ inputs
            counts[module] += len(inputs)

    with forward_hook(add_inputs):
        predict(model, X)
    return {_key(place): sums[layer] / counts[layer]
            for layer, place in places.items() if counts[layer]}


def _key(place):
    """A place such as "0.1"; a position in the outer Sequential, such as "2", becomes an int."""
    return int(place) if place.isdigit() else place
