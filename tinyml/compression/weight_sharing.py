"""Weight sharing: a few values for all weights of a layer, and a small number for each weight.

Problem: 32 bits hold more of a weight than the network needs. Rounding to a grid spends levels
where no weights are.

Idea: let the weights choose the levels. k-means divides them among k centroids so that

    sum_i (w_i - c_(a_i))^2,    a_i the code of weight i,                    (Han et al. 2016, equation 2)

is small, and the layer is stored as its k centroids (the codebook) and log2 k bits per weight.
The network is then trained on: a centroid is one parameter in many places, so its gradient is
the sum over them,

    dL/dc_j = sum over i with a_i = j of dL/dw_i.                            (equation 3)

Weights that pruning set to 0 stay exactly 0: they have the code 0 and no centroid.

Sources: MATH5836 week 10, section 10.2.2 (low-precision codes for weights); Han, Mao and Dally
2016, Deep Compression, section 3; Lloyd 1982, Least squares quantization in PCM, for the two
alternating steps.
"""
import numpy as np

from tinyml.check import check_real, check_rng, check_sizes
from tinyml.nn import Parameter
from tinyml.nn.weights import ComputedWeight, computed_weights, replace_weights, weights
from tinyml.tensor import Tensor, primitive


def initial_centroids(values, k, *, init="linear", rng=None):
    """Where k-means starts: three rules of Han et al. 2016, section 3.2.

        "linear"    k points at equal distances from the smallest to the largest value; the smallest if k = 1
        "density"   the quantiles (j + 1/2) / k, j = 0..k-1, as np.quantile has them: as many values to each
        "random"    k of the values, drawn without replacement, each subset equally likely (Forgy)

    Large weights are few, yet they matter most: the linear rule alone is sure to have a level
    near them.

    Parameters
    ----------
    values : array_like of float, at least one, any shape
    k : int >= 1, number of centroids
    init : "linear", "density" or "random"
    rng : numpy.random.Generator, for "random" only

    Returns
    -------
    ndarray of float64, shape (k,), increasing (not strictly)

    Raises
    ------
    ValueError : no values, NaN or infinite ones, k < 1, or another init; "random" with fewer
        than k values
    TypeError : values are not real numbers, or rng is missing where it is needed
    """
    values = _values("initial_centroids", values)
    check_sizes("initial_centroids", k=k)
    if init == "linear":
        return np.linspace(values.min(), values.max(), k)
    if init == "density":
        return np.quantile(values, (np.arange(k) + 0.5) / k)
    if init != "random":
        raise ValueError(f'initial_centroids: init must be "linear", "density" or "random", got {init!r}')
    check_rng("initial_centroids", rng)
    if k > values.size:
        raise ValueError(f"initial_centroids: k must be <= {values.size}, the number of values, got {k}")
    return np.sort(rng.choice(values, k, replace=False))


def assign(values, centroids):
    """The code of each value: its nearest centroid; ties go to the smaller one.

        a_i = argmin_j |w_i - c_j|

    Between sorted centroids the borders are the midpoints, so it takes a binary search and no
    table of all distances.

    Parameters
    ----------
    values : array_like of float, any shape
    centroids : array_like of float, shape (k,), k >= 1, increasing (not strictly; of equal
        centroids either)

    Returns
    -------
    ndarray of int64, in the shape of values, in 0..k-1

    Raises
    ------
    ValueError : no centroids, centroids that fall, or numbers that are not finite

    Examples
    --------
    >>> assign([-3, 0.4, 0.6, 9], [-1, 0, 1])
    array([0, 1, 2, 2])
    """
    values = check_real("assign", "values", values)
    centroids = check_real("assign", "centroids", centroids, ndim=1).astype(np.float64)
    if not centroids.size or (np.diff(centroids) < 0).any():
        raise ValueError(f"assign: centroids must be at least one, in increasing order, got {centroids}")
    borders = centroids[:-1] / 2 + centroids[1:] / 2    # no overflow
    return np.searchsorted(borders, values)


def kmeans(values, k, *, init="linear", rng=None, max_iter=300):
    """k-means on the line (Lloyd 1982): give each value to its nearest centroid, then move each to its mean.

        a_i = argmin_j |w_i - c_j|,      c_j = mean of the w_i with a_i = j

    Ties go to the smaller centroid, of equal ones to the first. A centroid without values stays
    where it is. Neither step raises the sum of squares, so it ends: after the first move that
    changes no code, or after max_iter moves. (For speed the values are sorted once: then each
    group is a contiguous slice, and its sum is a difference of two prefix sums.)

    Parameters
    ----------
    values : array_like of float, at least one, any shape
    k : int >= 1, number of centroids; more than there are distinct values leave some without
        values
    init, rng : as in `initial_centroids`
    max_iter : int >= 1, at most so many moves

    Returns
    -------
    centroids : ndarray of float64, shape (k,), increasing (not strictly)
    errors : list of float, sum_i (w_i - c_(a_i))^2 before each move and after the last: one
        more than there were moves; it never rises, up to rounding of the running sums

    Raises
    ------
    ValueError, TypeError : as in `initial_centroids`; max_iter < 1

    Examples
    --------
    >>> kmeans([0, 1, 10, 11], 2)
    (array([ 0.5, 10.5]), [2.0, 1.0])
    """
    check_sizes("kmeans", max_iter=max_iter)
    centroids = initial_centroids(values, k, init=init, rng=rng)
    values = np.sort(_values("kmeans", values))
    sums, errors, before = np.append(0, values.cumsum()), [], None
    for move in range(max_iter + 1):
        borders = centroids[:-1] / 2 + centroids[1:] / 2
        ends = np.append(np.searchsorted(values, borders, side="right"), len(values))
        counts = np.diff(ends, prepend=0)
        errors.append(float(((values - np.repeat(centroids, counts)) ** 2).sum()))
        if move == max_iter or before is not None and (ends == before).all():
            break
        before = ends
        totals = np.diff(sums[ends], prepend=0)
        centroids = np.where(counts > 0, totals / np.maximum(counts, 1), centroids)
    return centroids, errors


@primitive
def lookup(codebook, *, codes):
    """The weight of every code: 0 for code 0, codebook[j - 1] for code j.

    Backward, each entry of the codebook gets the sum of the gradients wherever it stands (Han
    et al. 2016, equation 3): a histogram of the codes, weighted with the gradients.

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
        return np.bincount(codes.ravel(), weights=g.ravel(), minlength=len(with_zero))[1:].astype(g.dtype)
    return with_zero[codes], (d_codebook,)


class SharedWeight(ComputedWeight):
    """A weight of few distinct values: in a layer it takes the place of the weight (`lookup`).

    Parameters
    ----------
    codebook : Parameter, shape (k,), the shared values: what an optimizer trains
    codes : ndarray of uint8 or uint16, in the shape of the weight: 0 where that is exactly 0,
        j for codebook[j - 1]

    Raises
    ------
    ValueError : the codebook is no vector, codes are not of such a dtype or above k
    """

    def __init__(self, codebook, codes):
        if codebook.ndim != 1:
            raise ValueError(f"SharedWeight: codebook must have shape (k,), got {codebook.shape}")
        if codes.dtype not in (np.uint8, np.uint16) or codes.max(initial=0) > codebook.size:
            raise ValueError(f"SharedWeight: codes must be uint8 or uint16 in 0..{codebook.size}, got "
                             f"{codes.dtype} up to {codes.max(initial=0)}")
        self.codebook, self.codes = codebook, codes

    @classmethod
    def from_weight(cls, weight, *, k, init="linear", rng=None):
        """Share k values among the entries of a weight that are not 0, by `kmeans`.

        Parameters
        ----------
        weight : Tensor or ndarray of float, any shape; its zeros stay exactly 0
        k : int in 1..65535; fewer where there are fewer distinct entries, none where all are 0
        init, rng : as in `initial_centroids`

        Returns
        -------
        SharedWeight, its codebook increasing, in the weight's dtype; frozen if the weight is

        Raises
        ------
        ValueError : k is outside its range, an entry is NaN or infinite, or what
            `initial_centroids` raises
        """
        trained = getattr(weight, "requires_grad", True)
        weight = check_real("SharedWeight", "weight", weight.data if isinstance(weight, Tensor) else weight)
        check_sizes("SharedWeight", k=k)
        if k > np.iinfo(np.uint16).max:
            raise ValueError(f"SharedWeight: k must be <= 65535, got {k}")
        kept = weight != 0
        codes = np.zeros(weight.shape, np.uint8 if k <= 255 else np.uint16)
        k = min(k, len(np.unique(weight[kept])))
        if not k:
            return cls(Parameter(np.zeros(0, weight.dtype), trained), codes)
        codebook = kmeans(weight[kept], k, init=init, rng=rng)[0].astype(weight.dtype)
        codes[kept] = 1 + assign(weight[kept], codebook)
        return cls(Parameter(codebook, trained), codes)

    def forward(self):
        return lookup(self.codebook, codes=self.codes)

    def extra_repr(self):
        return f"{self.codebook.size} values, {np.mean(self.codes != 0):.1%} not 0"


def share_weights(model, *, bits, init="linear", rng=None):
    """Put a `SharedWeight` of 2^bits values in the place of every weight (`tinyml.nn.weights`), in place.

    Afterwards make a new optimizer of model.parameters(): what it trains is the codebooks. A
    weight that two layers share stays shared; a weight that is computed already is left alone.

    Parameters
    ----------
    model : Module
    bits : int in 1..15
    init, rng : as in `initial_centroids`; a rng is needed with init="random"

    Returns
    -------
    Module, the model

    Raises
    ------
    ValueError : bits is outside its range, a weight is not finite, the model has none, or what
        `SharedWeight.from_weight` raises

    Warns
    -----
    UserWarning : a weight is computed already
    """
    _check_bits("share_weights", bits)
    if init == "random":
        check_rng("share_weights", rng)
    return replace_weights("share_weights", model, lambda weight: SharedWeight.from_weight(
        weight, k=1 << bits, init=init, rng=rng))


def share_biases(model, *, bits, init="linear", rng=None):
    """Move the entries of every bias, and of every other parameter that is no weight, to the nearest of 2^bits
    shared values each.

    They stay plain parameters, so this comes after all training, and pays in the file alone.
    Codebooks, and parameters of no more distinct entries, are left as they are.

    Parameters
    ----------
    model : Module
    bits : int in 1..15
    init, rng : as in `initial_centroids`

    Returns
    -------
    Module, the model

    Raises
    ------
    ValueError : bits is outside its range, or a parameter is not finite
    """
    _check_bits("share_biases", bits)
    kept = {id(weight) for weight in weights(model).values()}
    kept |= {id(p) for one in computed_weights(model).values() for p in one.parameters()}    # codebooks
    for p in model.parameters():
        if id(p) not in kept and len(np.unique(p.data)) > 1 << bits:
            p.data = SharedWeight.from_weight(p, k=1 << bits, init=init, rng=rng)().data
    return model


def _check_bits(function, bits):
    if not (isinstance(bits, (int, np.integer)) and 1 <= bits <= 15):
        raise ValueError(f"{function}: bits must be an int in 1..15, got {bits!r}")


def _values(function, values):
    """The values as a float64 vector, at least one."""
    values = check_real(function, "values", values).ravel().astype(np.float64)
    if not values.size:
        raise ValueError(f"{function}: values must hold at least one number, got none")
    return values
