"""Activations and maps that are more than one primitive."""
import numpy as np

from tinyml import ops
from tinyml.check import check_axis, check_bool, check_labels, check_number, check_rng
from tinyml.phrasebook import numpy_words
from tinyml.tensor import as_tensor


def gelu(x, approximate="none"):
    """Gaussian error linear unit x Phi(x): `tinyml.ops.gelu`."""
    return ops.gelu(x, approximate=approximate)


@numpy_words
def softmax(x, axis=-1):
    """e^x / sum e^x over `axis`: `tinyml.ops.softmax`, MATH5836 week 10, section 10.2.4.

    Unlike PyTorch's, it refuses an axis of length 0, and a tensor without axes.
    """
    x = as_tensor(x, "softmax")
    check_axis("softmax", axis, x)
    return ops.softmax(x, axis=axis)


def leaky_relu(x, negative_slope=0.01):
    """x where x > 0, else negative_slope x (Maas et al. 2013, equation 1).

    Parameters
    ----------
    x : Tensor
    negative_slope : float
    """
    negative_slope = check_number("leaky_relu", "negative_slope", negative_slope)
    x = as_tensor(x, "leaky_relu")
    return ops.where(x.data > 0, x, negative_slope * x)


@numpy_words
def log_softmax(x, axis=-1):
    """ln softmax(x) = x - ln sum e^x over `axis`, finite if x is: `tinyml.ops.log_softmax`.

    It refuses what `softmax` refuses.
    """
    x = as_tensor(x, "log_softmax")
    check_axis("log_softmax", axis, x)
    return ops.log_softmax(x, axis=axis)


def dropout(x, p=0.5, training=True, *, rng):
    """Zero each entry with probability p and scale the others by 1/(1 - p), so the mean stays.

    Srivastava et al. 2014, section 4, in the "inverted" form: nothing to do outside training.

    Parameters
    ----------
    x : Tensor
    p : float in [0, 1], probability that an entry is zeroed
    training : bool, False returns x
    rng : numpy.random.Generator

    Raises
    ------
    ValueError : p outside [0, 1]
    TypeError : rng is not a Generator
    """
    check_rng("dropout", rng)
    p = check_number("dropout", "p", p, at_least=0, at_most=1)
    check_bool("dropout", "training", training)
    x = as_tensor(x, "dropout")
    if not training or p == 0:
        return x
    keep = rng.random(x.shape, dtype=np.float32) >= p
    scale = 1 / (1 - p) if p < 1 else 0.0
    return x * (keep * scale)


def embedding(indices, weight):
    """Rows of a table: weight[indices].

    Parameters
    ----------
    indices : ndarray of int, any shape (...), in 0..num_embeddings-1
    weight : Tensor, shape (num_embeddings, embedding_dim)

    Returns
    -------
    Tensor, shape (..., embedding_dim)

    Raises
    ------
    TypeError : the indices are not integers
    ValueError : an index is outside the table, or the weight is no table
    """
    weight = as_tensor(weight, "embedding")
    if weight.ndim != 2:
        raise ValueError("embedding: weight must have shape (num_embeddings, embedding_dim), "
                         f"got {weight.shape}")
    return weight[check_labels("embedding", "indices", indices, len(weight))]
