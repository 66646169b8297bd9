"""Structured pruning: which whole units can go, so that the arrays of the model shrink.

Problem: single zeros inside a weight matrix do not make a matrix product faster. A smaller matrix
does. But which units can a network do without?

Idea: a unit is a row of a Linear, or a filter of a convolution. Unit k computes the feature map
z_k, with M positions m (pixels or tokens; only one for a vector). Without the unit, z_k is 0, and
the cost C changes by C(z_k = 0) - C. The *oracle* computes this change, with one forward pass per
unit. The first-order Taylor expansion of C in z_k needs only one backward pass for all units:

    |C(z_k = 0) - C|  ~  | sum_m (dC/dz_km) z_km |  =  M Theta_k
    Theta_k = | 1/M sum_m (dC/dz_km) z_km |

The score Theta_k is computed for each sample, and averaged. To compare layers, the scores of each
are divided by their l2 norm. The units of lowest score are removed (`removal`). Then training
continues, and the next few units are removed.

Sources: Molchanov, Tyree, Karras, Aila and Kautz 2016, Pruning convolutional neural networks for
resource efficient inference (section 2.2: criteria; 2.3: normalisation); Li, Kadav, Durdanovic,
Samet and Graf 2017, Pruning filters for efficient convnets (norms); MATH5836 week 10, section
10.2.1.
"""
import numpy as np

from tinyml import functional as F
from tinyml.check import check_real
from tinyml.contract import checked
from tinyml.nn import forward_hook
from tinyml.nn.places import untied
from tinyml.nn.units import by_unit, n_units, prunable, without_unit
from tinyml.tensor import Tensor, no_grad


@checked
def norm_scores(
    weight: "array_like, shape (units, ...); a row or filter for each unit",
    *,
    order: "int in 1..2" = 2,
) -> "ndarray, shape (units,)":
    """The norm of each unit's weight vector (Li et al. 2017, with order 1).

        Theta_k = (sum_j |w_kj|^order)^(1/order)
    """
    other_axes = tuple(range(1, weight.ndim))
    return np.sum(np.abs(weight) ** order, axis=other_axes) ** (1 / order)


@checked
def activation_scores(
    z: "array_like, shape (N, units, ...), not empty; feature maps of N samples",
) -> "ndarray, shape (units,)":
    """The mean magnitude of each unit's feature maps.

        Theta_k = mean over samples and positions of |z_k|

    (After a ReLU it is the mean activation of Molchanov et al. 2016, section 2.2.)
    """
    z = _with_positions(z)                   # (N, units, M)
    return np.abs(z).mean(axis=(0, 2))


@checked
def taylor_scores(
    z: "array_like, shape (N, units, *positions), not empty; feature maps of N samples",
    d_z: "array_like, shape (N, units, *positions); dC_n/dz with C_n the cost of "
         "sample n alone",
) -> "ndarray, shape (units,)":
    """How much the cost changes without a unit, to first order and divided by M.

        Theta_k = 1/N sum_n | 1/M sum_m (dC_n/dz_nkm) z_nkm |

    (Molchanov et al. 2016, equation 8.) Products of opposite sign cancel within a feature map, but
    not between samples.
    """
    product = _with_positions(z * d_z)       # (N, units, M)
    change = product.mean(axis=2)            # (N, units)
    return np.abs(change).mean(axis=0)


def _with_positions(z):
    """(N, units, ...) as (N, units, M)."""
    return z.reshape(*z.shape[:2], -1)


@checked
def normalized(scores: "array_like, shape (units,)"):
    """Theta / ||Theta||_2 (Molchanov et al. 2016, section 2.3); zeros stay zeros."""
    length = np.linalg.norm(scores)
    return scores / length if length > 0 else scores


@checked
def units_to_keep(
    scores: "dict of layer position to array_like; with a real score for each unit",
    k: "int >= 0; units to remove, with at least one left in every layer",
) -> "dict of layer position to ndarray of bool, shape (units,), True for the units to keep":
    """Masks that remove the k units of lowest score over all layers; every layer keeps one.

    >>> units_to_keep({0: [3, 1], 2: [2, 9, 2]}, 2)
    {0: array([ True, False]), 2: array([False,  True,  True])}
    """
    scores = _real_scores(scores, k)
    keep = {layer: np.ones(len(layer_scores), bool) for layer, layer_scores in scores.items()}
    candidates = []
    for i, (layer, layer_scores) in enumerate(scores.items()):
        candidates += [(score, i, unit, layer) for unit, score in enumerate(layer_scores)]
    n_removed = 0
    for _, _, unit, layer in sorted(candidates):    # ties: by layer, then by unit
        if n_removed < k and keep[layer].sum() > 1:
            keep[layer][unit] = False
            n_removed += 1
    return keep


def _real_scores(scores, k):
    """The scores as arrays of real numbers; ValueError if k units are too many."""
    scores = {layer: check_real("units_to_keep", "scores", layer_scores, ndim=1)
              for layer, layer_scores in scores.items()}
    most = sum(max(len(s) - 1, 0) for s in scores.values())
    if k > most:
        raise ValueError(f"units_to_keep: k must be at most {most}, so that every layer keeps a "
                         f"unit, got {k}")
    return scores


# ------------------------------------------------------------ the scores of a model

@checked
def feature_maps(
    model: "Sequential; as in `nn.units.prunable`",
    X: "array_like, shape (N, ...)",
    y: "array_like of int, shape (N,); labels",
):
    """The feature maps of all prunable layers, and the gradients of each sample's cross-entropy.

    A copy of the model is run, in evaluation mode.

    Returns
    -------
    dict of layer position to (z, d_z) : the arguments of `taylor_scores`, of shape (N, units, M)
    """
    model = untied(model).eval()    # no module stands at two positions
    # from the module whose output is z to the position of the layer that computes z
    layers = {model[units.output]: layer for layer, units in prunable(model).items()}
    maps, zeros = {}, {}

    def add_zeros(module, x, z):    # z + 0 is z, and the gradient of the zeros is dC/dz
        if module in layers:
            layer = layers[module]
            maps[layer] = z.data
            zeros[layer] = Tensor(np.zeros_like(z.data), requires_grad=True)
            return z + zeros[layer]

    with forward_hook(add_zeros):
        # z of sample n changes only C_n, so the gradient of the sum holds dC_n/dz
        cost = F.cross_entropy(model(Tensor(X)), y, reduction="sum")
    cost.backward()
    return {layer: (by_unit(z, model[layer]), by_unit(zeros[layer].grad, model[layer]))
            for layer, z in maps.items()}


@checked
@no_grad()
def oracle_scores(
    model: "as in `feature_maps`",
    X: "as in `feature_maps`",
    y: "as in `feature_maps`",
):
    """|C(z_k = 0) - C| for every prunable unit, with one forward pass for each.

    Returns
    -------
    dict of layer position to ndarray, shape (units,); C is the mean cross-entropy
    """
    model = untied(model).eval()
    cost = F.cross_entropy(model(Tensor(X)), y).item()
    scores = {}
    for layer, units in prunable(model).items():
        costs = [_cost_without(model, X, y, units, k) for k in range(n_units(model[layer]))]
        scores[layer] = np.abs(np.array(costs) - cost)
    return scores


def _cost_without(model, X, y, units, k):
    """The mean cross-entropy with z_k = 0; `units` says which module puts out z."""
    def remove(module, x, z):
        if module is model[units.output]:
            return without_unit(z, model[units.layer], k)

    with forward_hook(remove):
        return F.cross_entropy(model(Tensor(X)), y).item()


@checked
def unit_scores(
    model: "as in `feature_maps`",
    X: "as in `feature_maps`",
    y: "as in `feature_maps`",
    *,
    criterion: '"norm", "activation", "taylor" or "oracle"',
):
    """The normalised scores of all prunable units.

    Returns
    -------
    dict of layer position to ndarray, shape (units,); give it to `units_to_keep`
    """
    if criterion == "norm":
        scores = {layer: norm_scores(model[layer].weight.data) for layer in prunable(model)}
    elif criterion == "oracle":
        scores = oracle_scores(model, X, y)
    elif criterion == "taylor":
        maps = feature_maps(model, X, y)
        scores = {layer: taylor_scores(z, d_z) for layer, (z, d_z) in maps.items()}
    else:
        maps = feature_maps(model, X, y)
        scores = {layer: activation_scores(z) for layer, (z, _) in maps.items()}
    return {layer: normalized(s) for layer, s in scores.items()}
