"""Weight sharing: a few values for all weights of a layer, and a short code for each weight.

Problem: 32 bits per weight are more than a network needs.

Idea: k-means finds k values c for the weights of a layer, and for each weight i the code a_i of
its nearest value (`codebooks`). The layer is stored as its codebook, the k values, and a code for
each weight. Then training continues. A value is one parameter in many places, so its gradient is
the sum over these places (Han et al. 2016, equation 3):

    dL/dc_j = sum over i with a_i = j of dL/dw_i

`codebooks.assign` gives codes 0 ... k - 1, one for each value. In a layer these become 1 ... k,
because code 0 is kept for the weights that pruning set to 0: they stay exactly 0 (`lookup`).

Sources: MATH5836 week 10, section 10.2.2 (low-precision codes for weights); Han, Mao and Dally
2016, Deep Compression, section 3.
"""
import numpy as np

from tinyml.compression.codebooks import assign, fast_kmeans
from tinyml.contract import checked
from tinyml.nn import Parameter
from tinyml.nn.weights import ComputedWeight, computed_weights, replace_weights, weights
from tinyml.tensor import primitive


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


@primitive
def _lookup_kept(codebook, *, codes, kept):
    """`lookup` for codes that are mostly 0: only the others, marked in `kept`, are looked up.

    A training step of LeNet-300-100 with 2 % of its weights takes half the time.
    """
    weight = np.zeros_like(codes, codebook.dtype)
    places = codes[kept] - 1
    weight[kept] = codebook[places]

    def d_codebook(g):
        sums = np.bincount(places, weights=g[kept], minlength=len(codebook))
        return sums.astype(g.dtype)
    return weight, (d_codebook,)


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
        init: "as in `codebooks.initial_centroids`" = "linear",
        rng: "as in `codebooks.initial_centroids`" = None,
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
        kept = self.codes != 0
        if 4 * np.count_nonzero(kept) < kept.size:    # the same, and faster
            return _lookup_kept(self.codebook, codes=self.codes, kept=kept)
        return lookup(self.codebook, codes=self.codes)

    def extra_repr(self):
        return f"{self.codebook.size} values, {np.mean(self.codes != 0):.1%} not 0"


@checked
def share_weights(
    model: "Module",
    *,
    bits: "int in 1..15",
    init: "as in `codebooks.initial_centroids`" = "linear",
    rng: "as in `codebooks.initial_centroids`" = None,
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
    init: "as in `codebooks.initial_centroids`" = "linear",
    rng: "as in `codebooks.initial_centroids`" = None,
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
