"""Attention: every position of a sequence averages over the others, weighted by similarity."""
import math

import numpy as np

from tinyml import ops
from tinyml.check import check_bool, check_number, check_regular, check_rng
from tinyml.functional.activations import dropout
from tinyml.tensor import as_tensor


def scaled_dot_product_attention(query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False,
                                 *, rng=None):
    """softmax(Q K^T / sqrt(d) + mask) V (Vaswani et al. 2017, equation 1).

    float16 is rounded after every step; PyTorch's fused form rounds only the result.

    Parameters
    ----------
    query : Tensor, shape (..., T, d), d >= 1
    key : Tensor, shape (..., S, d)
    value : Tensor, shape (..., S, d_v)
    attn_mask : ndarray that broadcasts to (..., T, S), or None: bool, True where attention is
        allowed; or float, added to the scores
    dropout_p : float in [0, 1], dropout on the attention weights
    is_causal : bool, position t sees positions 0..t only
    rng : numpy.random.Generator, required if dropout_p > 0

    Returns
    -------
    Tensor, shape (..., T, d_v)

    Raises
    ------
    ValueError : shapes that do not fit, a position that may see nothing, dropout_p outside [0, 1]
    TypeError : dropout_p > 0 without rng
    """
    name = "scaled_dot_product_attention"
    query, key, value = (as_tensor(x, name) for x in (query, key, value))
    if not _fit(query, key, value):
        raise ValueError(f"{name}: query must have shape (..., T, d), key (..., S, d) and value "
                         f"(..., S, d_v), got {query.shape}, {key.shape} and {value.shape}")
    dropout_p = check_number(name, "dropout_p", dropout_p, at_least=0, at_most=1)
    check_bool(name, "is_causal", is_causal)
    if dropout_p:
        check_rng(name, rng)
    key_transposed = ops.swapaxes(key, axis1=-1, axis2=-2)
    scores = query @ key_transposed / math.sqrt(query.shape[-1])    # (..., T, S)
    if attn_mask is not None or is_causal:
        scores = scores + _bias(name, attn_mask, is_causal, scores.shape)
    weights = ops.softmax(scores, axis=-1)
    if dropout_p:
        weights = dropout(weights, dropout_p, rng=rng)
    return weights @ value


def _fit(query, key, value):
    """Whether the shapes are (..., T, d), (..., S, d) and (..., S, d_v), with d >= 1."""
    if min(query.ndim, key.ndim, value.ndim) < 2 or query.shape[-1] == 0:
        return False
    if query.shape[-1] != key.shape[-1] or key.shape[-2] != value.shape[-2]:
        return False
    try:
        np.broadcast_shapes(*(x.shape[:-2] for x in (query, key, value)))
    except ValueError:
        return False
    return True


def _bias(name, attn_mask, is_causal, shape):
    """Both masks as one array to add to the scores: -inf where a position must not be seen."""
    mask = check_regular(name, "attn_mask", True if attn_mask is None else attn_mask)
    if mask.dtype.kind not in "bf":
        raise TypeError(f"{name}: attn_mask must hold bool or float, got dtype {mask.dtype}; "
                        "write mask > 0")
    if mask.dtype == bool:
        mask = np.where(mask, 0, -np.inf)
    try:
        mask = np.broadcast_to(mask, shape)
    except ValueError:
        raise ValueError(f"{name}: attn_mask must broadcast to the scores (..., T, S) {shape}, "
                         f"got {mask.shape}") from None
    bias = mask
    if is_causal:
        bias = np.where(np.tri(*shape[-2:], dtype=bool), mask, -np.inf)
    if (bias == -np.inf).all(axis=-1).any():
        raise ValueError(f"{name}: attn_mask must let every position see at least one"
                         f"{' up to itself' if is_causal else ''}, got a position that sees none")
    return bias
