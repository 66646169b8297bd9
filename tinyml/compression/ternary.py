"""Ternary weights: the sign of each large weight, and 0 in place of each small one.

Problem: a sign alone (`binary`) has no code for 0: it makes a small weight as large as all others.

Idea: a third value. For each filter, a row of the weight,

    w ~ alpha t,    t = sign(w) if |w| > delta, else 0

For given t the error ||w - alpha t||^2 is least if alpha is the mean of |w| over the weights with
|w| > delta. The threshold delta follows a rule, 0.7 mean |w| (`ternary_threshold`), or is the one
with the least error (`best_threshold`).

In training t has slope 0. As for signs, the backward pass pretends that the slope is 1 where
|w| <= 1; elsewhere it is 0.

Sources: Li, Zhang and Liu 2016, Ternary weight networks (section 2); MATH5836 week 10, section
10.2.2.
"""
import numpy as np

from tinyml.contract import checked
from tinyml.nn.weights import ComputedWeight
from tinyml.tensor import Tensor, primitive


def filter_mean(a):
    """The mean of each filter, a slice of axis 0, in the shape (m, 1, ...)."""
    return a.mean(axis=tuple(range(1, a.ndim)), keepdims=True)


@checked
def ternary_threshold(
    weight: "array_like, shape (m, n, ...), not empty",
) -> "ndarray, shape (m, 1, ...)":
    """The threshold of each filter, by the rule of ternary weight networks.

        delta = 0.7 mean |w|

    (Li et al. 2016, section 2.) It is about the best one for normal and for uniform weights.
    """
    rule = weight.dtype.type(0.7)    # in the dtype of weight, so that the product keeps it
    return rule * filter_mean(np.abs(weight))


@checked
def best_threshold(
    weight: "array_like, shape (m, n, ...), not empty",
) -> "ndarray, shape (m, 1, ...)":
    """The threshold of each filter with the least ||w - alpha t||^2 (see `ternarize`).

    Sort the magnitudes of a filter of K weights, a_1 >= a_2 >= ... >= a_K. If the k largest stay,
    the best alpha is their mean, and

        ||w - alpha t||^2 = ||w||^2 - (a_1 + ... + a_k)^2 / k

    So the best k has the largest last term (Li et al. 2016, section 2), and delta = a_(k+1), the
    largest magnitude that becomes 0. If all weights stay, delta = 0.

    >>> best_threshold([[0.1, -1.0, 0.9]])
    array([[0.1]])
    """
    magnitudes = np.abs(weight).reshape(len(weight), -1)
    a = -np.sort(-magnitudes, axis=1)    # (m, K), decreasing
    k = np.arange(1, a.shape[1] + 1)
    gain = a.cumsum(axis=1, dtype=np.float64) ** 2 / k
    n_kept = 1 + gain.argmax(axis=1)
    with_zero = np.pad(a, ((0, 0), (0, 1)))    # a_(K+1) = 0
    delta = with_zero[np.arange(len(a)), n_kept]
    return delta.reshape(len(a), *[1] * (weight.ndim - 1))


@checked
def ternarize(
    weight: "array_like, shape (m, n, ...), not empty",
    delta: "array_like, >= 0; which broadcasts to the shape of weight",
):
    """The signs of the large weights, and for each filter the best scale for these signs.

        t = sign(w) where |w| > delta, else 0;    alpha = mean of |w| where |w| > delta

    (Li et al. 2016, section 2.) If no weight of a filter is large, its alpha is 0.

    Returns
    -------
    t : ndarray of int8, the shape of weight, of -1, 0 and 1
    alpha : ndarray, shape (m, 1, ...)

    >>> t, alpha = ternarize([[0.1, -1.0, 0.9]], 0.5)
    >>> t.tolist(), alpha.tolist()
    ([[0, -1, 1]], [[0.95]])
    """
    large = np.abs(weight) > delta
    t = np.where(large, np.sign(weight), 0)
    share = filter_mean(large)    # the fraction of the weights of a filter that are large
    # t w is |w| where w is large, else 0: its mean over all weights, divided by that fraction
    alpha = filter_mean(t * weight) / np.where(share > 0, share, 1)
    return t.astype(np.int8), alpha.astype(weight.dtype)


@primitive
def ternary_ste(w, *, delta):
    """1 where w > delta, -1 where w < -delta, else 0; backward the identity where |w| <= 1.

    `ops.sign_ste` with a zero between the signs.

    Parameters
    ----------
    w : Tensor
    delta : ndarray, >= 0, which broadcasts to the shape of w
    """
    t = np.where(np.abs(w) > delta, np.sign(w), 0)
    return t.astype(w.dtype), (lambda g: g * (np.abs(w) <= 1),)


@checked
class TernaryWeight(ComputedWeight):
    """alpha t(w), with the gradient of w straight through t.

    In the backward pass alpha and delta count as constants.
    """

    def __init__(
        self,
        weight: "Parameter; the real weights w; filters are its axis 0",
        *,
        best: "bool; True for the delta of `best_threshold`, False for that "
              "of `ternary_threshold`" = False,
    ):
        self.weight, self.best = weight, best

    def delta(self):
        """The present threshold of each filter."""
        choose = best_threshold if self.best else ternary_threshold
        return choose(self.weight.data)

    def codes(self):
        """The present t and alpha, as in `ternarize`."""
        return ternarize(self.weight.data, self.delta())

    def forward(self):
        delta = self.delta()
        _, alpha = ternarize(self.weight.data, delta)
        return Tensor(alpha) * ternary_ste(self.weight, delta=delta)

    def extra_repr(self):
        return f"best={self.best}"
