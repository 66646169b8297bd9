"""Masked patches: the masked autoencoder restores three quarters of an image from the rest.

Problem: a hidden pixel is nearly the mean of its neighbours, so predicting it teaches little. What
should be hidden in an image, and how much?

Idea: cut the image into patches, and hide most of them. The encoder, a transformer, gets only the
visible patches, each with its position. The decoder gets their encodings, and at each hidden
position the mask token, a learned vector. The decoder is small, and is thrown away after training.
With M the hidden patches, x_i the P pixels of patch i, and x^_i the output for it,

    min  mean over i in M of  ||x^_i - x_i||^2 / P

Sources: MATH5836 week 10, section 10.3.1; He, Chen, Xie, Li, Dollar and Girshick 2022, Masked
autoencoders are scalable vision learners (section 3); Dosovitskiy et al. 2021, An image is worth
16 x 16 words.
"""
import math

import numpy as np

from tinyml import functional as F
from tinyml import ops
from tinyml.contract import checked
from tinyml.nn import LayerNorm, Linear, Module, Parameter
from tinyml.selfsupervised.masked_tokens import transformer_blocks
from tinyml.selfsupervised.masking import mask_patches, masked_loss


@checked
def patchify(
    images: "ndarray, shape (N, H, W), may hold NaN; with H and W multiples of "
            "patch_size",
    patch_size: "int >= 1; p",
) -> "ndarray, shape (N, L, p^2) with L = (H / p) (W / p), in the dtype of images":
    """Cut images into square patches, row by row; each patch holds its pixels row by row.

        patches[n, i (W / p) + j, a p + b] = images[n, i p + a, j p + b]

    >>> patchify(np.arange(8).reshape(1, 2, 4), 2)
    array([[[0, 1, 4, 5],
            [2, 3, 6, 7]]])
    """
    N, H, W = images.shape
    p = patch_size
    if H % p or W % p:
        raise ValueError(f"patchify: images must have sides that are multiples of patch_size={p}, "
                         f"got {H} x {W}")
    cells = images.reshape(N, H // p, p, W // p, p)              # n, i, a, j, b
    in_order = cells.swapaxes(2, 3)                              # n, i, j, a, b
    return in_order.reshape(N, (H // p) * (W // p), p * p)


@checked
def unpatchify(
    patches: "ndarray, shape (N, L, P), P >= 1, may hold NaN; with P = p^2 pixels in each patch",
    size: "(int, int), H and W of the images",
) -> "ndarray, shape (N, H, W)":
    """Put patches together into images: the inverse of `patchify`."""
    (N, L, P), (H, W) = patches.shape, size
    p = math.isqrt(P)
    if p * p != P or H % p or W % p or H * W != L * P:
        raise ValueError(f"unpatchify: patches must fill size={size}, got {patches.shape}")
    cells = patches.reshape(N, H // p, W // p, p, p)             # n, i, j, a, b
    return cells.swapaxes(2, 3).reshape(N, H, W)


@checked
def normalize_patches(
    patches: "array_like, shape (..., P), P >= 1",
    *,
    eps: "float > 0" = 1e-6,
) -> "ndarray, shape (..., P)":
    """Give each patch mean 0 and variance near 1 (He et al. 2022, "Reconstruction target").

        (x - mean x) / sqrt(var x + eps),      mean and var over the P pixels of the patch

    The result has the pattern of a patch, without its brightness and contrast. A patch whose
    pixels are all equal becomes 0.
    """
    mean = patches.mean(axis=-1, keepdims=True)
    var = patches.var(axis=-1, keepdims=True)
    return (patches - mean) / np.sqrt(var + eps)


@checked
class MaskedAutoencoder(Module):
    """An encoder of visible patches, and a decoder of all patches (He et al. 2022, section 3).

        z = norm(encoder(W_enc x_keep + e_keep))
        u_i = W_dec (the row of z for patch i) if patch i is visible, else the mask token
        x^ = head(norm_dec(decoder(u + e_dec)))

    x_keep are the visible patches, and e_keep are their position vectors. u and x^ have one row
    for each patch, in the order of the image. norm is a LayerNorm. (The formulas leave out the
    biases.) The mask token and the position vectors e and e_dec of all patches are learned, and
    start from N(0, 1). (In the paper the position vectors are fixed sines and cosines.)
    """

    def __init__(
        self,
        n_patches: "int >= 1; L",
        patch_dim: "int >= 1; P",
        *,
        d_model: "int >= 1; width of the encoder",
        num_layers: "int >= 1; blocks of the encoder",
        decoder_dim: "int >= 1; width of the decoder",
        decoder_layers: "int >= 1; blocks of the decoder",
        nhead: "int >= 1; attention heads, a divisor of both widths",
        rng: "numpy.random.Generator",
    ):
        self.n_patches, self.patch_dim = n_patches, patch_dim
        self.embed = Linear(patch_dim, d_model, rng=rng)
        self.position = _normal((n_patches, d_model), rng)
        self.encoder = transformer_blocks(d_model, nhead, num_layers, rng)
        self.norm = LayerNorm(d_model)
        self.decoder_embed = Linear(d_model, decoder_dim, rng=rng)
        self.mask_token = _normal((decoder_dim,), rng)
        self.decoder_position = _normal((n_patches, decoder_dim), rng)
        self.decoder = transformer_blocks(decoder_dim, nhead, decoder_layers, rng)
        self.decoder_norm = LayerNorm(decoder_dim)
        self.head = Linear(decoder_dim, patch_dim, rng=rng)

    @checked
    def encode(
        self,
        patches: "Tensor, shape (N, n_patches, patch_dim)",
        ids_keep: "ndarray of int, shape (N, n_keep), or None; the visible "
                  "patches, None for all" = None,
    ):
        """The encodings z, shape (N, n_keep, d_model), of the visible patches."""
        h = self.embed(patches) + self.position
        if ids_keep is not None:
            h = _pick(h, ids_keep)
        return self.norm(self.encoder(h))

    def decode(self, z, ids_restore):
        """All patches x^, (N, L, P), from encodings z (N, n_keep, d_model) of the visible ones.

        ids_restore, (N, L), as from `masking.mask_patches`, puts the patches in image order.
        """
        N, L = ids_restore.shape
        visible = self.decoder_embed(z)                             # (N, n_keep, decoder_dim)
        hidden = ops.broadcast_to(self.mask_token, shape=(N, L - z.shape[1], self.mask_token.size))
        shuffled = ops.concatenate([visible, hidden], axis=1)       # (N, L, decoder_dim)
        h = _pick(shuffled, ids_restore) + self.decoder_position    # in the order of the image
        return self.head(self.decoder_norm(self.decoder(h)))

    def forward(self, patches):
        """Features of whole images (N, L, P): the encodings of all patches, (N, L d_model)."""
        return self.encode(patches).reshape(len(patches), -1)


def _normal(shape, rng):
    return Parameter(rng.standard_normal(shape, dtype=np.float32))


def _pick(x, ids):
    """x[n, ids[n, i]] for every n and i: x (N, L, d) and ids (N, m) give (N, m, d)."""
    return x[np.arange(len(ids))[:, None], ids]


@checked
def reconstruct(
    model: "MaskedAutoencoder",
    patches: "array_like, shape (N, L, P)",
    *,
    mask_ratio: "float in [0, 1); so that at least one patch stays visible" = 0.75,
    rng: "numpy.random.Generator",
):
    """Hide patches of each image, and let the model restore them.

    Returns
    -------
    x_hat : Tensor, shape (N, L, P), at all positions; the loss ignores the visible ones
    mask : ndarray of bool, shape (N, L), True where a patch is hidden
    """
    N, L, P = patches.shape
    ids_keep, ids_mask, ids_restore = mask_patches(N, L, mask_ratio=mask_ratio, rng=rng)
    z = model.encode(patches, ids_keep)
    x_hat = model.decode(z, ids_restore)
    n_keep = ids_keep.shape[1]
    mask = ids_restore >= n_keep    # hidden patches come last in the shuffled order
    return x_hat, mask


@checked
def masked_patch_loss(
    model: "as in `reconstruct`",
    patches: "as in `reconstruct`",
    *,
    mask_ratio: "float in [0, 1); with at least one hidden patch" = 0.75,
    normalize: "bool; if True, the targets are the normalized patches "
               "(`normalize_patches`), not the pixels themselves" = False,
    rng: "as in `reconstruct`",
) -> "Tensor, a scalar":
    """The mean squared error of the hidden patches (He et al. 2022, section 3).

        loss = 1 / (|M| P) sum over i in M of ||x^_i - x_i||^2
    """
    x_hat, mask = reconstruct(model, patches, mask_ratio=mask_ratio, rng=rng)
    target = normalize_patches(patches) if normalize else patches
    return masked_loss(x_hat, target, mask, loss_fn=F.mse_loss)
