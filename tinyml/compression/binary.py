"""Binary weights: a sign in place of a real number; and models with signs, or signs and zeros.

Problem: 8 bits per weight are easy (`quantization`), 2 bits need training (`quantization_aware`).
Can a network compute with a single bit per weight?

Idea: keep real weights w for the training, and compute with few values. For each filter, a row of
the weight, these are

    method          value of a weight                       with
    sign            b = sign(w)
    scaled sign     alpha b                                 alpha = mean |w|
    ternary         alpha t, t = sign(w) if |w| > delta     delta = 0.7 mean |w|,
                             t = 0       if not             alpha = mean |w| where |w| > delta
    best ternary    the same                                delta of the least error

Each alpha is the best one for its signs: it minimises ||w - alpha b||^2, or ||w - alpha t||^2.
The last two methods are in `ternary`.

A sign has slope 0, so nothing would be learned. The backward pass pretends that the slope is 1
(`ops.sign_ste`). Small steps move w, and its sign flips when w crosses 0. After each step w is
clipped to [-1, 1]: beyond that a larger w changes nothing, but would take longer to come back.

The trained weights are stored as one bit each, or two with zeros (`store_bits`, with `bits`).

Sources: MATH5836 week 10, section 10.2.2; Courbariaux, Bengio and David 2015, BinaryConnect:
training deep neural networks with binary weights during propagations; Rastegari, Ordonez, Redmon
and Farhadi 2016, XNOR-Net (section 3.1).
"""
import copy

import numpy as np

from tinyml import ops
from tinyml.compression.bits import BitWeight
from tinyml.compression.ternary import TernaryWeight, filter_mean
from tinyml.contract import checked
from tinyml.nn.weights import ComputedWeight, computed_weights, replace_weights, swap
from tinyml.tensor import Tensor


@checked
def binarize(
    weight: "array_like, shape (m, n, ...), not empty; a filter is one of the m slices",
):
    """The signs b, and for each filter the scale alpha with the least ||w - alpha b||^2.

        b = sign(w),    alpha = mean |w|

    (Rastegari et al. 2016, section 3.1.) No other signs with a scale are nearer to w. The
    sign of 0 is 1.

    Returns
    -------
    b : ndarray of int8, the shape of weight, of -1 and 1
    alpha : ndarray, shape (m, 1, ...)

    >>> b, alpha = binarize([[0.5, -1.0, 3.0]])
    >>> b.tolist(), alpha.tolist()
    ([[1, -1, 1]], [[1.5]])
    """
    b = np.where(weight >= 0, 1, -1)
    return b.astype(np.int8), filter_mean(np.abs(weight))


@checked
class BinaryWeight(ComputedWeight):
    """alpha sign(w), with the gradient of w straight through the sign.

    In the backward pass alpha counts as a constant.
    """

    def __init__(
        self,
        weight: "Parameter; the real weights w; filters are its axis 0",
        *,
        scaled: "bool; True for alpha = mean |w| (XNOR-Net), False for alpha = "
                "1 (BinaryConnect)" = True,
    ):
        self.weight, self.scaled = weight, scaled

    def codes(self):
        """The present b and alpha, as in `binarize`."""
        b, alpha = binarize(self.weight.data)
        return b, alpha if self.scaled else np.ones_like(alpha)

    def forward(self):
        _, alpha = self.codes()
        return Tensor(alpha) * ops.sign_ste(self.weight)

    def extra_repr(self):
        return f"scaled={self.scaled}"


# ------------------------------------------------------------ models

METHODS = {    # method: the class that computes the weight, and its setting
    "sign": (BinaryWeight, {"scaled": False}),
    "scaled sign": (BinaryWeight, {"scaled": True}),
    "ternary": (TernaryWeight, {"best": False}),
    "best ternary": (TernaryWeight, {"best": True}),
}


@checked
def binarize_weights(
    model: "Module; with weights that are finite",
    *,
    method: '"sign", "scaled sign", "ternary" or "best ternary"',
):
    """A copy of the model that computes with few values for its weights, ready to be trained.

    The weights are those of `tinyml.nn.weights`. A weight that is computed already stays as it is,
    with a warning. Build the optimizer from the parameters() of the copy, and let it clip the real
    weights after each step: ``optimizer.projections.append(lambda: clip_weights(copy))``.
    """
    kind, setting = METHODS[method]
    return replace_weights("binarize_weights", copy.deepcopy(model),
                           lambda weight: kind(weight, **setting))


@checked
def clip_weights(model: "Module"):
    """Clip the real weights of a model from `binarize_weights` to [-1, 1], in place.

    (Courbariaux et al. 2015, section 2.4.)
    """
    for computed in _binarized(model):
        w = computed.weight
        w.data = np.clip(w.data, -1, 1)


@checked
def store_bits(model: "Module; as from `binarize_weights`"):
    """A copy of a model from `binarize_weights` that stores bits and alpha in place of w.

    The outputs are the same, bit for bit.
    """
    model = copy.deepcopy(model)
    stored = {computed: BitWeight(*computed.codes()) for computed in _binarized(model)}
    if not stored:
        raise ValueError("store_bits: model must come from binarize_weights, got none of its "
                         "weights")
    swap(model, stored)
    return model


def _binarized(model):
    """The weights of a model that `binarize_weights` made."""
    return [computed for computed in computed_weights(model).values()
            if isinstance(computed, (BinaryWeight, TernaryWeight))]
