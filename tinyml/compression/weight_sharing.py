"""Weight sharing: a few values for all weights of a layer, and a short code for each weight.

Problem: 32 bits per weight are more precise than a network needs. A uniform grid wastes levels
where there are no weights.

Idea: choose the levels where the weights are. k-means finds k centroids c and the codes a for
which this is small (Han et al. 2016, equation 2):

    sum_i (w_i - c_(a_i))^2,    a_i the code of weight i

A layer is stored as its codebook, the k centroids, and a code for each weight. Then the network
is trained on. A centroid is one parameter in many places, so its gradient is the sum over them
(equation 3):

    dL/dc_j = sum over i with a_i = j of dL/dw_i

Weights that pruning set to 0 stay exactly 0. So the codes of `assign` are 0 ... k - 1, one for
each centroid; but in a layer code 0 stands for zero, and 1 ... k for the centroids (`lookup`).

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

    Large weights are few but matter most, and only "linear" is sure to start near them.

    Parameters
    ----------
    values : array_like of float64, any shape, not empty
    k : int >= 1, number of centroids
    init : "linear", "density" or "random"
    rng : numpy.random.Generator, or None unless init = "random"

    Returns
    -------
    ndarray, shape (k,), increasing, perhaps with equal entries
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
def assign(values, centroids):
    """The code of each value: its nearest centroid, of two equally near ones the smaller.

        a_i = argmin_j |w_i - c_j|

    Parameters
    ----------
    values : array_like, any shape
    centroids : array_like of float64, shape (k,), k >= 1, increasing

    Returns
    -------
    ndarray of int, the shape of values, in 0..k-1

    >>> assign([-3, 0.4, 0.6, 9], [-1, 0, 1])
    array([0, 1, 2, 2])
    """
    borders = (centroids[:-1] + centroids[1:]) / 2    # between neighbours, half-way
    return np.searchsorted(borders, values)


@checked
def kmeans(values, k, *, init="linear", rng=None, max_iter=300):
    """k-means of numbers (Lloyd 1982): alternate between codes and centroids.

        a_i = argmin_j |w_i - c_j|,      c_j = mean of the w_i with a_i = j

    Neither step raises the sum of squares. It ends when no code changes any more, or after
    max_iter moves of the centroids.

    Parameters
    ----------
    values, k, init, rng : as in `initial_centroids`
    max_iter : int >= 1

    Returns
    -------
    centroids : ndarray, shape (k,), increasing, perhaps with equal entries
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
    """The centroids of `kmeans`, nine times as fast, which saves seconds for a large layer.

    In sorted values each group is a slice, and its sum a difference of two prefix sums.
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
    value (Han et al. 2016, equation 3).

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
    return with_zero[codes], (d_codebook,)


@checked
class SharedWeight(ComputedWeight):
    """A weight of few distinct values, `lookup` of its codes; it stands in the weight's place.

    Parameters
    ----------
    codebook : Parameter, shape (k,), the shared values, which an optimizer trains
    codes : ndarray of int, any shape, in 0..k; the shape of the weight; few bytes as uint8
    """

    def __init__(self, codebook, codes):
        self.codebook, self.codes = codebook, codes

    @classmethod
    @checked
    def from_weight(cls, weight, *, k, init="linear", rng=None):
        """Share k values among the nonzero entries of a weight, by k-means; zeros stay exactly 0.

        The codebook is increasing, in the dtype of the weight, and frozen if the weight is.

        Parameters
        ----------
        weight : Parameter, with finite entries
        k : int in 1..65535; fewer if there are fewer distinct entries
        init, rng : as in `initial_centroids`
        """
        w = weight.data
        if not np.isfinite(w).all():
            raise ValueError("SharedWeight.from_weight: weight must be finite, got NaN or "
                             "infinite values")
        kept = w != 0
        codes = np.zeros(w.shape, np.uint8 if k <= 255 else np.uint16)
        k = min(k, len(np.unique(w[kept])))
        codebook = np.zeros(0, w.dtype)
        if k > 0:
            codebook = fast_kmeans(w[kept], k, init=init, rng=rng).astype(w.dtype)
            codes[kept] = 1 + assign(w[kept], codebook)
        return cls(Parameter(codebook, weight.requires_grad), codes)

    def forward(self):
        return lookup(self.codebook, codes=self.codes)

    def extra_repr(self):
        return f"{self.codebook.size} values, {np.mean(self.codes != 0):.1%} not 0"


@checked
def share_weights(model, *, bits, init="linear", rng=None):
    """Replace every weight of a model by a `SharedWeight` of at most 2^bits values besides 0.

    The model is changed in place, and returned. Build a new optimizer from its parameters(): it
    trains the codebooks in place of the weights, and biases and norms as before. A weight that
    two layers share stays shared. A weight that is computed already stays, with a warning.

    Parameters
    ----------
    model : Module
    bits : int in 1..15
    init, rng : as in `initial_centroids`
    """
    def shared(weight):
        return SharedWeight.from_weight(weight, k=2 ** bits, init=init, rng=rng)
    return replace_weights("share_weights", model, shared)


@checked
def share_biases(model, *, bits, init="linear", rng=None):
    """Round each remaining parameter (biases, norms) to the nearest of its own 2^bits values.

    The model is changed in place, and returned. A parameter with at most 2^bits distinct values
    stays, and so does every 0. All stay plain parameters: do this after training, to save bytes
    in the file.

    Parameters
    ----------
    model : Module
    bits : int in 1..15
    init, rng : as in `initial_centroids`
    """
    kept = {id(weight) for weight in weights(model).values()}
    for computed in computed_weights(model).values():
        kept |= {id(p) for p in computed.parameters()}    # codebooks
    for p in model.parameters():
        if id(p) not in kept and len(np.unique(p.data)) > 2 ** bits:
            p.data = SharedWeight.from_weight(p, k=2 ** bits, init=init, rng=rng)().data
    return model
