"""Weight sharing: a few values for all weights of a layer, and a small number for each weight.

Problem: 32 bits per weight are more precise than a network needs. A uniform grid wastes levels
where there are no weights.

Idea: let the weights choose the levels. k-means divides them among k centroids so that

    sum_i (w_i - c_(a_i))^2,    a_i the code of weight i    (Han et al. 2016, equation 2)

is small, and the layer is stored as its k centroids (the codebook) and a code for each weight.
The network is then trained on: a centroid is one parameter in many places, so its gradient is
the sum over them,

    dL/dc_j = sum over i with a_i = j of dL/dw_i            (equation 3)

Weights that pruning set to 0 stay exactly 0, without a centroid. They need a code too: k + 1
codes, log2(k + 1) bits per weight. So codes are 0 ... k - 1 for the centroids alone (`assign`),
but in a layer 0 stands for zero, and 1 ... k for the centroids (`lookup`).

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
def initial_centroids(values, k, *, init="linear", rng=None):
    """Where k-means starts: three rules of Han et al. 2016, section 3.2.

        "linear"    k points at equal distances from the smallest to the largest value
        "density"   the quantiles (j + 1/2) / k: equally many values for each centroid
        "random"    k of the values, drawn without replacement

    Large weights are few, yet they matter most: only the linear rule is sure to have a centroid
    near them.

    Parameters
    ----------
    values : array_like of float64, any shape, not empty
    k : int >= 1, number of centroids
    init : "linear", "density" or "random"
    rng : numpy.random.Generator, or None; needed for "random"

    Returns
    -------
    ndarray, shape (k,), increasing, but not strictly
    """
    if init == "linear":
        return np.linspace(values.min(), values.max(), k)
    if init == "density":
        return np.quantile(values, (np.arange(k) + 0.5) / k)
    _check_draw(values, k, rng)
    return np.sort(rng.choice(values.ravel(), k, replace=False))


def _check_draw(values, k, rng):
    if rng is None:
        raise TypeError('initial_centroids: rng must be given with init="random", got None; write '
                        "rng=np.random.default_rng(0)")
    if k > values.size:
        raise ValueError(f"initial_centroids: k must be <= {values.size}, the number of values, "
                         f"got {k}")


@checked
def assign(values, centroids):
    """The code of each value: its nearest centroid; a value half-way goes to the smaller one.

        a_i = argmin_j |w_i - c_j|

    Between sorted centroids the borders are the midpoints, so a binary search finds the code.

    Parameters
    ----------
    values : array_like, any shape
    centroids : array_like of float64, shape (k,), k >= 1, increasing

    Returns
    -------
    ndarray of int, in the shape of values, in 0..k-1

    >>> assign([-3, 0.4, 0.6, 9], [-1, 0, 1])
    array([0, 1, 2, 2])
    """
    borders = (centroids[:-1] + centroids[1:]) / 2
    return np.searchsorted(borders, values)


@checked
def kmeans(values, k, *, init="linear", rng=None, max_iter=300):
    """k-means on the line (Lloyd 1982): assign each value to its nearest centroid, then move each
    centroid to the mean of its values.

        a_i = argmin_j |w_i - c_j|,      c_j = mean of the w_i with a_i = j

    A centroid without values stays. Neither step raises the sum of squares, and there are finitely
    many assignments. So the iteration ends: when no code changes any more, or after max_iter
    moves.

    Parameters
    ----------
    values : array_like of float64, any shape, not empty
    k : int >= 1, number of centroids
    init, rng : as in `initial_centroids`
    max_iter : int >= 1

    Returns
    -------
    centroids : ndarray, shape (k,), increasing, but not strictly
    errors : list of float, the sum of squares before each move, and at the end

    >>> kmeans([0, 1, 10, 11], 2)
    (array([ 0.5, 10.5]), [2.0, 1.0])
    """
    values = values.ravel()
    centroids, before, errors = initial_centroids(values, k, init=init, rng=rng), None, []
    for move in range(max_iter + 1):
        codes = assign(values, centroids)
        errors.append(float(np.sum((values - centroids[codes]) ** 2)))
        if move == max_iter or np.array_equal(codes, before):
            break
        centroids, before = means(values, codes, centroids), codes
    return centroids, errors


@checked
def means(values, codes, centroids):
    """The mean of the values with each code; a centroid without values stays.

    Parameters
    ----------
    values : array_like of float64, shape (n,)
    codes : array_like of int, shape (n,), in 0..k-1
    centroids : array_like of float64, shape (k,)

    Returns
    -------
    ndarray, shape (k,)
    """
    k = len(centroids)
    counts = np.bincount(codes, minlength=k)
    totals = np.bincount(codes, weights=values, minlength=k)
    return np.where(counts > 0, totals / np.maximum(counts, 1), centroids)


def fast_kmeans(values, k, *, init="linear", rng=None, max_iter=300):
    """The centroids of `kmeans`, about nine times as fast; with `kmeans`, a large layer would take
    seconds.

    After sorting, each group is a contiguous slice, and its sum is a difference of two prefix
    sums.
    """
    values = np.sort(np.asarray(values, np.float64), axis=None)
    centroids, before = initial_centroids(values, k, init=init, rng=rng), None
    prefix_sums = np.append(0, values.cumsum())
    for _ in range(max_iter):
        borders = (centroids[:-1] + centroids[1:]) / 2
        ends = np.append(np.searchsorted(values, borders, side="right"), len(values))
        if np.array_equal(ends, before):
            break
        counts = np.diff(ends, prepend=0)
        totals = np.diff(prefix_sums[ends], prepend=0)
        centroids, before = np.where(counts > 0, totals / np.maximum(counts, 1), centroids), ends
    return centroids


@primitive
def lookup(codebook, *, codes):
    """The weight of every code: 0 for code 0, codebook[j - 1] for code j.

    Backward, an entry of the codebook gets the sum of the gradients of all weights that have its
    value (Han et al. 2016, equation 3): a histogram of the codes, weighted with the gradients.

    Parameters
    ----------
    codebook : Tensor, shape (k,)
    codes : ndarray of unsigned int, any shape, in 0..k

    Returns
    -------
    Tensor, in the shape of codes
    """
    with_zero = np.append(codebook.dtype.type(0), codebook)

    def d_codebook(g):
        sums = np.bincount(codes.ravel(), weights=g.ravel(), minlength=len(with_zero))
        return sums[1:].astype(g.dtype)
    return with_zero[codes], (d_codebook,)


class SharedWeight(ComputedWeight):
    """A module that replaces a layer's weight, and computes one of few distinct values (`lookup`).

    Parameters
    ----------
    codebook : Parameter, shape (k,), the shared values, which an optimizer trains
    codes : ndarray of uint8 or uint16, in the shape of the weight: 0 for exactly 0, j for
        codebook[j - 1]
    """

    def __init__(self, codebook, codes):
        if codebook.ndim != 1:
            raise ValueError(f"SharedWeight: codebook must have shape (k,), got {codebook.shape}")
        if codes.dtype not in (np.uint8, np.uint16) or codes.max(initial=0) > codebook.size:
            raise ValueError("SharedWeight: codes must be uint8 or uint16 in "
                             f"0..{codebook.size}, got {codes.dtype} up to {codes.max(initial=0)}")
        self.codebook, self.codes = codebook, codes

    @classmethod
    def from_weight(cls, weight, *, k, init="linear", rng=None):
        """Share k values among the entries of a weight that are not 0, by k-means.

        Parameters
        ----------
        weight : Parameter; its zeros stay exactly 0
        k : int in 1..65535; fewer if there are fewer distinct entries
        init, rng : as in `initial_centroids`

        Returns
        -------
        SharedWeight, its codebook increasing, in the weight's dtype; frozen if the weight is
        """
        return cls(*_shared(weight, k=k, init=init, rng=rng))

    def forward(self):
        return lookup(self.codebook, codes=self.codes)

    def extra_repr(self):
        return f"{self.codebook.size} values, {np.mean(self.codes != 0):.1%} not 0"


@checked
def _shared(weight, *, k, init, rng):
    """Codebook and codes of a weight.

    Parameters
    ----------
    weight : Parameter
    k : int in 1..65535
    init, rng : as in `initial_centroids`
    """
    w = weight.data
    if not np.isfinite(w).all():
        raise ValueError("SharedWeight: weight must be finite, got NaN or infinite values")
    kept = w != 0
    codes = np.zeros(w.shape, np.uint8 if k <= 255 else np.uint16)
    k = min(k, len(np.unique(w[kept])))
    codebook = np.zeros(0, w.dtype)
    if k > 0:
        codebook = fast_kmeans(w[kept], k, init=init, rng=rng).astype(w.dtype)
        codes[kept] = 1 + assign(w[kept], codebook)
    return Parameter(codebook, weight.requires_grad), codes


@checked
def share_weights(model, *, bits, init="linear", rng=None):
    """Replace every weight of a model by a `SharedWeight` of at most 2^bits values besides 0.

    The model is changed in place. Build a new optimizer from model.parameters() afterwards: it
    trains the codebooks instead of the weights, and biases and norms as before. A weight that two
    layers share stays shared. A weight that is computed already is left, with a warning.

    Parameters
    ----------
    model : Module
    bits : int in 1..15
    init, rng : as in `initial_centroids`

    Returns
    -------
    Module, the model
    """
    if init == "random" and rng is None:
        raise TypeError('share_weights: rng must be given with init="random", got None; write '
                        "rng=np.random.default_rng(0)")

    def shared(weight):
        return SharedWeight.from_weight(weight, k=2 ** bits, init=init, rng=rng)
    return replace_weights("share_weights", model, shared)


@checked
def share_biases(model, *, bits, init="linear", rng=None):
    """Round each remaining parameter (biases, norms) to the nearest of its own 2^bits values.

    One with no more distinct values than that stays, and so does every 0. The model is changed in
    place. They stay plain parameters, so this comes after all training, and saves bytes in the
    file only.

    Parameters
    ----------
    model : Module
    bits : int in 1..15
    init, rng : as in `initial_centroids`

    Returns
    -------
    Module, the model
    """
    kept = {id(weight) for weight in weights(model).values()}
    for computed in computed_weights(model).values():
        kept |= {id(p) for p in computed.parameters()}    # codebooks
    for p in model.parameters():
        if id(p) not in kept and len(np.unique(p.data)) > 2 ** bits:
            p.data = SharedWeight.from_weight(p, k=2 ** bits, init=init, rng=rng)().data
    return model
