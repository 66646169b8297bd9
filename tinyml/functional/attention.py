"""Attention: every position of a sequence averages over the others, by likeness."""
import math

import numpy as np

from tinyml import ops
from tinyml.functional.activations import dropout


def scaled_dot_product_attention(query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, *,
                                 rng=None):
    """softmax(Q K^T / sqrt(d) + mask) V (Vaswani et al. 2017, equation 1).

    Parameters
    ----------
    query : Tensor, shape (..., T, d)
    key : Tensor, shape (..., S, d)
    value : Tensor, shape (..., S, d_v)
    attn_mask : ndarray that broadcasts to (..., T, S), or None: bool, True where attention is allowed;
        or float, added to the scores
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
    if query.ndim < 2 or query.shape[-1] != key.shape[-1] or key.shape[-2] != value.shape[-2]:
        raise ValueError("scaled_dot_product_attention: query must have shape (..., T, d), key (..., S, d) "
                         f"and value (..., S, d_v), got {query.shape}, {key.shape} and {value.shape}")
    scores = query @ ops.swapaxes(key, axis1=-1, axis2=-2) / math.sqrt(query.shape[-1])    # (..., T, S)
    for mask in (np.tri(*scores.shape[-2:], dtype=bool) if is_causal else None, attn_mask):
        if mask is None:
            continue
        mask = np.asarray(mask)
        if mask.dtype == bool and not mask.any(axis=-1).all():
            raise ValueError("scaled_dot_product_attention: attn_mask must let every position see at least "
                             "one, got a row that is all False")
        scores = ops.where(mask, scores, -np.inf) if mask.dtype == bool else scores + mask
    weights = ops.softmax(scores, axis=-1)
    if dropout_p:
        weights = dropout(weights, dropout_p, rng=rng)
    return weights @ value
