"""Weight sharing: a few values for all weights of a layer, and a short code for each weight.

Problem: 32 bits per weight are more than a network needs. The uniform grid of `quantization`
wastes codes: some of its values have no weights nearby.

Idea: choose the values where the weights are. k-means finds k centroids c and the codes a for
which this is small (Han et al. 2016, equation 2):

    sum_i (w_i - c_(a_i))^2,    a_i the code of weight i

A layer is stored as its codebook, the k centroids, and a code for each weight. Then training
continues. A centroid is one parameter in many places, so its gradient is the sum over these places
(equation 3):

    dL/dc_j = sum over i with a_i = j of dL/dw_i

`assign` gives codes 0 ... k - 1, one for each centroid. In a layer these become 1 ... k, because
code 0 is kept for the weights that pruning set to 0: they stay exactly 0 (`lookup`).

Sources: MATH5836 week 10, section 10.2.2 (low-precision codes for weights); Han, Mao and Dally
2016, Deep Compression, section 3; Lloyd 1982, Least squares quantization in PCM, for the two
alternating steps.
"""
import numpy as np

from tinyml.contract import checked
from tinyml.nn import Parameter
from tinyml.nn.weights import ComputedWeight, computed_weights, replace_weights, weights
from tinyml.tensor import primitive


@checked
def initial_centroids(
    values: "array_like of float64, any shape, not empty",
    k: "int >= 1; number of centroids",
    *,
    init: '"linear", "density" or "random"' = "linear",
    rng: 'numpy.random.Generator, needed if init = "random"' = None,
) -> "ndarray, shape (k,), in ascending order; entries may be equal":
    """Where k-means starts: three rules of Han et al. 2016, section 3.2.

        "linear"    k points at equal distances from the smallest to the largest value
        "density"   the quantiles (j + 1/2) / k, j = 0 ... k - 1: closer where values are dense
        "random"    k of the values, drawn without replacement

    Large weights are few but matter most, and only "linear" is sure to start near them.
    """
    if init == "linear":
        return np.linspace(values.min(), values.max(), k)
    if init == "density":
        return np.quantile(values, (np.arange(k) + 0.5) / k)
    if k > values.size:
        raise ValueError(f"initial_centroids: k must be <= {values.size}, the number of values, "
                         f"got {k}")
    return np.sort(rng.choice(values.ravel(), k, replace=False))


@checked
def assign(
    values: "array_like, any shape",
    centroids: "array_like of float64, shape (k,), k >= 1, increasing; entries may be equal",
) -> "ndarray of int, the shape of values, in 0..k-1":
    """The code of each value: the index of its nearest centroid.

        a_i = argmin_j |w_i - c_j|

    If two centroids are equally near, the smaller one is taken.

    >>> assign([-3, 0.4, 0.6, 9], [-1, 0, 1])
    array([0, 1, 2, 2])
    """
    borders = (centroids[:-1] + centroids[1:]) / 2    # half-way between neighbours
    return np.searchsorted(borders, values)


@checked
def kmeans(
    values: "as in `initial_centroids`",
    k: "as in `initial_centroids`",
    *,
    init: "as in `initial_centroids`" = "linear",
    rng: "as in `initial_centroids`" = None,
    max_iter: "int >= 1" = 300,
):
    """k-means of numbers (Lloyd 1982): alternate between codes and centroids.

        a_i = argmin_j |w_i - c_j|,      c_j = mean of the w_i with a_i = j

    Neither step raises the sum of squares. The algorithm ends when no code changes any more, or
    after max_iter moves of the centroids.

    Returns
    -------
    centroids : ndarray, shape (k,), in ascending order; entries may be equal
    errors : list of float, the sum of squares before each move, and at the end

    >>> kmeans([0, 1, 10, 11], 2)
    (array([ 0.5, 10.5]), [2.0, 1.0])
    """
    values = values.ravel()
    centroids = initial_centroids(values, k, init=init, rng=rng)
    previous_codes, errors = None, []
    for move in range(max_iter + 1):
        codes = assign(values, centroids)
        errors.append(float(np.sum((values - centroids[codes]) ** 2)))
        if move == max_iter or np.array_equal(codes, previous_codes):
            break
        centroids = means(values, codes, centroids)
        previous_codes = codes
    return centroids, errors


@checked
def means(
    values: "array_like of float64, shape (n,)",
    codes: "array_like of int, shape (n,), in 0..k-1",
    centroids: "array_like of float64, shape (k,)",
) -> "ndarray, shape (k,)":
    """The mean of the values with each code; a centroid without values stays where it is."""
    k = len(centroids)
    counts = np.bincount(codes, minlength=k)
    totals = np.bincount(codes, weights=values, minlength=k)
    return np.where(counts > 0, totals / np.maximum(counts, 1), centroids)


@checked
def fast_kmeans(
    values: "as in `initial_centroids`",
    k: "as in `initial_centroids`",
    *,
    init: "as in `initial_centroids`" = "linear",
    rng: "as in `initial_centroids`" = None,
    max_iter: "as in `kmeans`" = 300,
) -> "ndarray, shape (k,), in ascending order; entries may be equal":
    """The centroids of `kmeans` up to rounding, and much faster for a large layer.

    After sorting, the values of one code are a slice, and their sum is a difference of two prefix
    sums.
    """
    values = np.sort(values, axis=None)
    centroids = initial_centroids(values, k, init=init, rng=rng)
    previous_ends = None
    prefix_sums = np.append(0, values.cumsum())
    for _ in range(max_iter):
        borders = (centroids[:-1] + centroids[1:]) / 2
        ends = np.append(np.searchsorted(values, borders, side="right"), len(values))
        if np.array_equal(ends, previous_ends):
            break
        counts = np.diff(ends, prepend=0)
        totals = np.diff(prefix_sums[ends], prepend=0)
        centroids = np.where(counts > 0, totals / np.maximum(counts, 1), centroids)
        previous_ends = ends
    return centroids


@primitive
def lookup(codebook, *, codes):
    """The weight of every code: 0 for code 0, codebook[j - 1] for code j.

    In the backward pass each entry of the codebook gets the sum of the gradients of the weights
    that use it (Han et al. 2016, equation 3).

    Parameters
    ----------
    codebook : Tensor, shape (k,)
    codes : ndarray of int, any shape, in 0..k

    Returns
    -------
    Tensor, the shape of codes
    """
    with_zero = np.append(codebook.dtype.type(0), codebook)

    def d_codebook(g):
        # a histogram of the codes, weighted with the gradients
        sums = np.bincount(codes.ravel(), weights=g.ravel(), minlength=len(with_zero))
        return sums[1:].astype(g.dtype)
    # what a primitive returns: the value, and a gradient function for each input
    return with_zero[codes], (d_codebook,)


@checked
class SharedWeight(ComputedWeight):
    """Takes the place of a weight: looks up each of its codes in a codebook of few values."""

    def __init__(
        self,
        codebook: "Parameter, shape (k,); the shared values, which an optimizer trains",
        codes: "ndarray of int, any shape, in 0..k; the shape of the weight; uint8 "
               "saves memory",
    ):
        self.codebook, self.codes = codebook, codes

    @classmethod
    @checked
    def from_weight(
        cls,
        weight: "Parameter; with finite entries",
        *,
        k: "int in 1..65535",
        init: "as in `initial_centroids`" = "linear",
        rng: "as in `initial_centroids`" = None,
    ):
        """Share k values among the nonzero entries of a weight, by k-means; zeros stay exactly 0.

        The codebook is in ascending order, has the dtype of the weight, and is frozen if the
        weight is. If there are at most k distinct nonzero entries, they are the codebook.
        """
        w = weight.data
        if not np.isfinite(w).all():
            raise ValueError("SharedWeight.from_weight: weight must be finite, got NaN or "
                             "infinite values")
        kept = w != 0
        codes = np.zeros(w.shape, np.uint8 if k <= 255 else np.uint16)
        codebook = np.unique(w[kept])
        if len(codebook) > k:
            codebook = fast_kmeans(w[kept], k, init=init, rng=rng).astype(w.dtype)
        if kept.any():
            codes[kept] = 1 + assign(w[kept], codebook)
        return cls(Parameter(codebook, weight.requires_grad), codes)

    def forward(self):
        return lookup(self.codebook, codes=self.codes)

    def extra_repr(self):
        return f"{self.codebook.size} values, {np.mean(self.codes != 0):.1%} not 0"


@checked
def share_weights(
    model: "Module",
    *,
    bits: "int in 1..15",
    init: "as in `initial_centroids`" = "linear",
    rng: "as in `initial_centroids`" = None,
):
    """Replace every weight of a model by a `SharedWeight` of at most 2^bits values besides 0.

    The model is changed in place, and returned. Build a new optimizer from its parameters(), which
    are the codebooks, the biases and the norms. A weight that two layers share stays shared. A
    computed weight is left as it is, with a warning.
    """
    def shared(weight):
        return SharedWeight.from_weight(weight, k=2 ** bits, init=init, rng=rng)
    return replace_weights("share_weights", model, shared)


@checked
def share_biases(
    model: "Module",
    *,
    bits: "int in 1..15",
    init: "as in `initial_centroids`" = "linear",
    rng: "as in `initial_centroids`" = None,
):
    """Round the parameters that are not weights: each gets at most 2^bits values besides 0.

    The values are found by k-means for this parameter alone; every entry becomes the nearest one.
    A parameter with at most 2^bits distinct values stays as it is, and so does every 0. The
    results are ordinary parameters, so training would make their values differ again: do this
    after training, to save bytes in the file.

    The model is changed in place, and returned.
    """
    not_rounded = {id(weight) for weight in weights(model).values()}
    for computed in computed_weights(model).values():
        not_rounded |= {id(p) for p in computed.parameters()}    # such as codebooks
    for p in model.parameters():
        if id(p) not in not_rounded and len(np.unique(p.data)) > 2 ** bits:
            p.data = SharedWeight.from_weight(p, k=2 ** bits, init=init, rng=rng)().data
    return model
