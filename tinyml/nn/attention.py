"""Attention with several heads, and the transformer's block around it."""
import math

import numpy as np

from tinyml import functional as F
from tinyml.check import check_bool, check_number, check_rng, check_sizes
from tinyml.nn.layers import GELU, Dropout, Linear, ReLU, value_of
from tinyml.nn.module import Module, Parameter
from tinyml.nn.norms import LayerNorm
from tinyml.tensor import as_tensor


class MultiheadAttention(Module):
    """Attention in num_heads subspaces (Vaswani et al. 2017, section 3.2.2), batch first.

        head_h = attention(q W_q^h, k W_k^h, v W_v^h)
        y = concat(head_1, ..., head_H) W_o^T + b_o

    Parameters
    ----------
    embed_dim : int, a multiple of num_heads
    num_heads : int >= 1
    dropout : float in [0, 1], on the attention weights
    bias : bool
    rng : numpy.random.Generator

    The weights of q, k and v are the rows of `in_proj_weight` (3 D, D), in this order, drawn from
    U(-k, k) with k = sqrt(6 / (4 D)) (Glorot and Bengio 2010); biases start at 0. A Module may
    take the place of `in_proj_weight`, as in `Linear`.
    """

    def __init__(self, embed_dim, num_heads, dropout=0.0, bias=True, *, rng):
        check_sizes("MultiheadAttention", embed_dim=embed_dim, num_heads=num_heads)
        check_rng("MultiheadAttention", rng)
        if embed_dim % num_heads:
            raise ValueError("MultiheadAttention: embed_dim must be a multiple of "
                             f"num_heads={num_heads}, got {embed_dim}")
        dropout = check_number("MultiheadAttention", "dropout", dropout, at_least=0, at_most=1)
        check_bool("MultiheadAttention", "bias", bias)
        self.embed_dim, self.num_heads, self.dropout, self.rng = embed_dim, num_heads, dropout, rng
        bound = math.sqrt(6 / (4 * embed_dim))
        in_proj = rng.uniform(-bound, bound, (3 * embed_dim, embed_dim))
        self.in_proj_weight = Parameter(in_proj.astype(np.float32))
        self.in_proj_bias = Parameter(np.zeros(3 * embed_dim, np.float32)) if bias else None
        self.out_proj = Linear(embed_dim, embed_dim, bias, rng=rng)
        if bias:
            self.out_proj.bias.data = np.zeros(embed_dim, np.float32)

    def macs(self, x, y):
        """Of self-attention: q, k, v of every token, then T x T products q . k, and with v."""
        return y.size * (3 * self.embed_dim + 2 * y.shape[1])

    def forward(self, query, key=None, value=None, attn_mask=None, is_causal=False):
        """(B, T, D), (B, S, D), (B, S, D) -> (B, T, D); key and value default to the query.

        attn_mask: bool that broadcasts to (B, num_heads, T, S), True where attention is *allowed*.
        """
        query = as_tensor(query, "MultiheadAttention")
        key = query if key is None else as_tensor(key, "MultiheadAttention")
        value = key if value is None else as_tensor(value, "MultiheadAttention")
        for name, x in (("query", query), ("key", key), ("value", value)):
            if x.ndim != 3 or x.shape[-1] != self.embed_dim:
                raise ValueError(f"MultiheadAttention: {name} must have shape (B, T, embed_dim="
                                 f"{self.embed_dim}), got {x.shape}")
        q, k, v = (self._heads(x) for x in self._project(query, key, value))
        dropout = self.dropout if self.training else 0.0
        y = F.scaled_dot_product_attention(q, k, v, attn_mask, dropout, is_causal,
                                           rng=self.rng)    # (B, H, T, D / H)
        return self.out_proj(y.swapaxes(1, 2).reshape(query.shape))

    def _project(self, query, key, value):
        D, weight, bias = self.embed_dim, value_of(self.in_proj_weight), self.in_proj_bias
        parts = [slice(0, D), slice(D, 2 * D), slice(2 * D, 3 * D)]    # of q, k and v
        if query is key is value:    # self-attention: one product instead of three
            qkv = F.linear(query, weight, bias)
            return [qkv[..., part] for part in parts]
        projected = []
        for x, part in zip((query, key, value), parts):
            projected.append(F.linear(x, weight[part], None if bias is None else bias[part]))
        return projected

    def _heads(self, x):
        """(B, T, D) as (B, H, T, D / H)."""
        B, T, D = x.shape
        return x.reshape(B, T, self.num_heads, D // self.num_heads).swapaxes(1, 2)

    def extra_repr(self):
        return f"{self.embed_dim}, num_heads={self.num_heads}"


class TransformerEncoderLayer(Module):
    """One block of a transformer's encoder, x (B, T, D) to (B, T, D):

        x = norm1(x + attention(x)),   x = norm2(x + linear2(activation(linear1(x))))

    (Vaswani et al. 2017, section 3.1), or, with ``norm_first=True``, each norm on the input of its
    branch (Xiong et al. 2020).

    Parameters
    ----------
    d_model : int, D, a multiple of nhead
    nhead : int >= 1
    dim_feedforward : int >= 1
    dropout : float in [0, 1]
    activation : "relu" or "gelu", or a function of a Tensor
    layer_norm_eps : float > 0
    norm_first : bool
    rng : numpy.random.Generator
    """

    def __init__(self, d_model, nhead, dim_feedforward=2048, dropout=0.1, activation="relu",
                 layer_norm_eps=1e-5, norm_first=False, *, rng):
        name = "TransformerEncoderLayer"
        check_sizes(name, d_model=d_model, nhead=nhead, dim_feedforward=dim_feedforward)
        check_rng(name, rng)
        dropout = check_number(name, "dropout", dropout, at_least=0, at_most=1)
        layer_norm_eps = check_number(name, "layer_norm_eps", layer_norm_eps, above=0)
        check_bool(name, "norm_first", norm_first)
        if d_model % nhead:
            raise ValueError(f"{name}: d_model must be a multiple of nhead={nhead}, got {d_model}")
        is_function = callable(activation) and not isinstance(activation, type)
        if activation not in ("relu", "gelu") and not is_function:
            raise ValueError('TransformerEncoderLayer: activation must be "relu", "gelu" or a '
                             f"function, got {activation!r}")
        self.activation = {"relu": ReLU(), "gelu": GELU()}.get(activation, activation)
        self.norm_first = norm_first
        self.self_attn = MultiheadAttention(d_model, nhead, dropout, rng=rng)
        self.linear1 = Linear(d_model, dim_feedforward, rng=rng)
        self.linear2 = Linear(dim_feedforward, d_model, rng=rng)
        self.norm1 = LayerNorm(d_model, layer_norm_eps)
        self.norm2 = LayerNorm(d_model, layer_norm_eps)
        self.dropout = Dropout(dropout, rng=rng)

    def forward(self, x, attn_mask=None, is_causal=False):
        x = as_tensor(x, "TransformerEncoderLayer")
        if self.norm_first:
            x = x + self._attend(self.norm1(x), attn_mask, is_causal)
            return x + self._feed(self.norm2(x))
        x = self.norm1(x + self._attend(x, attn_mask, is_causal))
        return self.norm2(x + self._feed(x))

    def _attend(self, x, attn_mask, is_causal):
        return self.dropout(self.self_attn(x, attn_mask=attn_mask, is_causal=is_causal))

    def _feed(self, x):
        hidden = self.dropout(self.activation(self.linear1(x)))
        return self.dropout(self.linear2(hidden))
