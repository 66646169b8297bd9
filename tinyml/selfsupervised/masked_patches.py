"""Masked patches: restore three quarters of an image from the rest, and learn on the way what images are.

Problem: pixels are no words. A hidden pixel is the mean of its neighbours, more or less, and to find it out
teaches nothing. What should be hidden, and how much?

Idea: the masked autoencoder. The image is cut into patches, and most of them are hidden. The encoder, a
transformer, gets the *visible patches only*, each with its position: three quarters of the work fall away, and
it never meets a symbol that real images do not have. A mask token, one learned vector, enters at the decoder,
at every hidden position; the decoder is small and is thrown away after training. With M the hidden patches,

    min  mean over i in M of  ||x^_i - x_i||^2 / P

where x_i are the P pixels of a patch, perhaps normalised by the mean and variance of that patch.

Sources: He, Chen, Xie, Li, Dollar and Girshick 2022, Masked autoencoders are scalable vision learners (section
3; equation in "Reconstruction target"); Dosovitskiy et al. 2021, An image is worth 16 x 16 words; MATH5836 week
10, section 10.3.1.
"""
import numpy as np

from tinyml import functional as F
from tinyml import ops
from tinyml.check import check_real, check_sizes
from tinyml.nn import LayerNorm, Linear, Module, Parameter, Sequential, TransformerEncoderLayer
from tinyml.selfsupervised.masking import mask_patches, masked_loss
from tinyml.tensor import Tensor, as_tensor


def patchify(images, patch_size):
    """Cut images into square patches: row by row, each with its pixels row by row.

        patches[n, i W/p + j, a p + b] = images[n, i p + a, j p + b]

    Parameters
    ----------
    images : array_like, shape (N, H, W)
    patch_size : int >= 1, p, a divisor of H and of W

    Returns
    -------
    ndarray, shape (N, L, p^2), L = (H / p) (W / p), of the dtype of images

    Raises
    ------
    ValueError : images have another number of axes, or p is no divisor

    Examples
    --------
    >>> patchify(np.arange(8).reshape(1, 2, 4), 2)
    array([[[0, 1, 4, 5],
            [2, 3, 6, 7]]])
    """
    images = np.asarray(images)
    check_sizes("patchify", patch_size=patch_size)
    if images.ndim != 3 or images.shape[1] % patch_size or images.shape[2] % patch_size:
        raise ValueError(f"patchify: images must have shape (N, H, W), H and W multiples of patch_size="
                         f"{patch_size}, got {images.shape}")
    N, H, W = images.shape
    cells = images.reshape(N, H // patch_size, patch_size, W // patch_size, patch_size)
    return cells.swapaxes(2, 3).reshape(N, H * W // patch_size ** 2, patch_size ** 2)


def unpatchify(patches, size):
    """Put patches together again: the inverse of `patchify`.

    Parameters
    ----------
    patches : array_like, shape (N, L, p^2)
    size : (int, int), H and W, multiples of p with H W = L p^2

    Returns
    -------
    ndarray, shape (N, H, W)

    Raises
    ------
    ValueError : the patches are not square, or do not fill the size
    """
    patches, (H, W) = np.asarray(patches), size
    p = round(np.sqrt(patches.shape[-1])) if patches.ndim == 3 else 0
    if p < 1 or p * p != patches.shape[2] or H % p or W % p or H * W != patches.shape[1] * p * p:
        raise ValueError(f"unpatchify: patches must have shape (N, L, p^2) and fill size={size}, got "
                         f"{patches.shape}")
    return patches.reshape(len(patches), H // p, W // p, p, p).swapaxes(2, 3).reshape(len(patches), H, W)


def normalize_patches(patches, *, eps=1e-6):
    """Each patch with mean 0 and variance 1 (He et al. 2022, "Reconstruction target").

        (x - mean x) / sqrt(var x + eps),      mean and var over the P pixels of a patch

    A target without brightness and contrast: what is left is the shape. A patch of one colour becomes 0.

    Parameters
    ----------
    patches : array_like of real numbers, shape (..., P), P >= 1
    eps : float > 0

    Returns
    -------
    ndarray, shape (..., P)
    """
    patches = check_real("normalize_patches", "patches", patches)
    centred = patches - patches.mean(axis=-1, keepdims=True)
    return centred / np.sqrt((centred ** 2).mean(axis=-1, keepdims=True) + patches.dtype.type(eps))


def _blocks(d_model, nhead, num_layers, rng):
    return Sequential(*(TransformerEncoderLayer(d_model, nhead, 4 * d_model, dropout=0.0, norm_first=True,
                                                rng=rng) for _ in range(num_layers)))


def _pick(x, ids):
    """x[n, ids[n, i]] for every row n: (N, L, ...) and (N, k) to (N, k, ...)."""
    return x[np.arange(len(ids))[:, None], ids]


class MaskedAutoencoder(Module):
    """An encoder of visible patches and a decoder that restores the others (He et al. 2022, section 3).

        z = norm(encoder(W x_keep + P_keep)),      x^ = head(decoder([W' z, mask token ...] in order + P'))

    Parameters
    ----------
    n_patches, patch_dim : int >= 1, L and P
    d_model, num_layers : int >= 1, the width and the blocks of the encoder
    decoder_dim, decoder_layers : int >= 1, those of the decoder
    nhead : int >= 1, heads of attention, a divisor of both widths
    rng : numpy.random.Generator

    Positions and mask token are learned, from N(0, 1): with 0.02 N(0, 1), training must first find out that
    patches have places. Raises ValueError for sizes below 1, or patches of another shape than (N, L, P).
    """

    def __init__(self, n_patches, patch_dim, *, d_model, num_layers, decoder_dim, decoder_layers, nhead, rng):
        check_sizes("MaskedAutoencoder", n_patches=n_patches, patch_dim=patch_dim)
        drawn = lambda *shape: Parameter(rng.standard_normal(shape, dtype=np.float32))
        self.n_patches, self.patch_dim = n_patches, patch_dim
        self.embed, self.position = Linear(patch_dim, d_model, rng=rng), drawn(n_patches, d_model)
        self.encoder, self.norm = _blocks(d_model, nhead, num_layers, rng), LayerNorm(d_model)
        self.decoder_embed = Linear(d_model, decoder_dim, rng=rng)
        self.mask_token, self.decoder_position = drawn(decoder_dim), drawn(n_patches, decoder_dim)
        self.decoder = _blocks(decoder_dim, nhead, decoder_layers, rng)
        self.decoder_norm = LayerNorm(decoder_dim)
        self.head = Linear(decoder_dim, patch_dim, rng=rng)

    def encode(self, patches, ids_keep=None):
        """(N, L, P) to (N, k, d_model): what the encoder makes of the patches ids_keep (N, k); None for all."""
        patches = as_tensor(patches)
        if patches.shape[1:] != (self.n_patches, self.patch_dim):
            raise ValueError(f"MaskedAutoencoder: patches must have shape (N, {self.n_patches}, "
                             f"{self.patch_dim}), got {patches.shape}")
        if ids_keep is None:
            return self.norm(self.encoder(self.embed(patches) + self.position))
        return self.norm(self.encoder(self.embed(_pick(patches, ids_keep)) + self.position[ids_keep]))

    def decode(self, z, ids_restore):
        """Visible patches z (N, k, d_model), and mask tokens for the others, in order: x^ (N, L, P)."""
        N, L = ids_restore.shape
        tokens = ops.broadcast_to(self.mask_token, shape=(N, L - z.shape[1], self.mask_token.size))
        tokens = ops.concatenate([self.decoder_embed(z), tokens], axis=1)
        h = self.decoder(_pick(tokens, ids_restore) + self.decoder_position)
        return self.head(self.decoder_norm(h))

    def forward(self, patches):
        """The features of whole images: all patches as the encoder sees them, side by side.

        (N, L, P) to (N, L d_model). Their mean is shorter, but no longer tells what was where.
        """
        return self.encode(patches).reshape(len(patches), -1)


def masked_patch_loss(model, patches, *, mask_ratio=0.75, normalize=False, rng):
    """Hide patches, restore them from the others, and compare the hidden ones alone.

        L = 1 / (|M| P) sum over i in M of ||x^_i - x_i||^2

    (He et al. 2022, section 3, "Reconstruction target"; MATH5836 week 10, section 10.3.1: MSE.)

    Parameters
    ----------
    model : MaskedAutoencoder
    patches : ndarray, shape (N, L, P)
    mask_ratio : float in [0, 1); the encoder must see a patch or more
    normalize : bool, take `normalize_patches` for the target
    rng : numpy.random.Generator

    Returns
    -------
    Tensor, a scalar

    Raises
    ------
    TypeError, ValueError : as in `mask_patches`; mask_ratio hides no patch, or all of them
    """
    x_hat, mask = reconstruct(model, patches, mask_ratio=mask_ratio, rng=rng)
    return masked_loss(x_hat, normalize_patches(patches) if normalize else patches, mask, loss_fn=F.mse_loss)


def reconstruct(model, patches, *, mask_ratio=0.75, rng):
    """What the model makes of images of which it sees a part, in the mode that it is in and with a graph.

    Parameters are those of `masked_patch_loss`: model, patches, mask_ratio, rng.

    Returns
    -------
    x_hat : Tensor, shape (N, L, P), at visible positions too, where nothing was learned
    mask : ndarray of bool, shape (N, L), True where a patch was hidden

    Raises
    ------
    TypeError, ValueError : as in `mask_patches`; mask_ratio hides all patches
    """
    N, L = np.shape(patches)[:2]
    ids_keep, ids_mask, ids_restore = mask_patches(N, L, mask_ratio=mask_ratio, rng=rng)
    if not ids_keep.size:
        raise ValueError(f"reconstruct: mask_ratio must leave a patch to see, got {mask_ratio} of {L} patches")
    return model.decode(model.encode(patches, ids_keep), ids_restore), ids_restore >= ids_keep.shape[1]
