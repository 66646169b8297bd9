"""The laws of masked patches: cutting and joining, an encoder blind to hidden patches, a loss of these only."""
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from strategies import anything, rngs

from tinyml.nn import Sequential
from tinyml.optim import Adam
from tinyml.selfsupervised.masked_patches import (
    MaskedAutoencoder,
    masked_patch_loss,
    normalize_patches,
    patchify,
    reconstruct,
    unpatchify,
)
from tinyml.selfsupervised.masking import mask_patches
from tinyml.tensor import Tensor

RNG = np.random.default_rng(0)
sides = st.integers(1, 3)


def autoencoder(rng, n_patches=4, patch_dim=3):
    return MaskedAutoencoder(n_patches, patch_dim, d_model=8, num_layers=1, decoder_dim=8, decoder_layers=1,
                             nhead=2, rng=rng)


# ------------------------------------------------------------ patches

@given(rng=rngs, N=st.integers(0, 3), rows=sides, columns=sides, p=sides)
def test_patches_are_squares_of_the_image_and_unpatchify_inverts_it(rng, N, rows, columns, p):
    images = anything(rng, (N, rows * p, columns * p)).astype(np.float32)
    patches = patchify(images, p)
    assert patches.shape == (N, rows * columns, p * p) and patches.dtype == np.float32
    for i in range(rows):
        for j in range(columns):
            square = images[:, i * p:(i + 1) * p, j * p:(j + 1) * p]
            assert_array_equal(patches[:, i * columns + j], square.reshape(N, p * p))
    assert_array_equal(unpatchify(patches, (rows * p, columns * p)), images)


def test_numbered_pixels_are_where_a_drawing_shows_them():
    patches = patchify(np.arange(24).reshape(1, 4, 6), 2)    # two rows of three patches
    assert patches[0].tolist() == [[0, 1, 6, 7], [2, 3, 8, 9], [4, 5, 10, 11],
                                   [12, 13, 18, 19], [14, 15, 20, 21], [16, 17, 22, 23]]


@given(rng=rngs, P=st.integers(2, 9), scale=st.floats(0.5, 20), shift=st.floats(-5, 5))
def test_normalized_patches_have_mean_0_and_variance_1_whatever_brightness_and_contrast(rng, P, scale, shift):
    x = rng.permuted(np.tile(np.arange(P) / 2.0, (3, 1)), axis=1)    # variance (P^2 - 1) / 48 >= 1/16
    y = normalize_patches(x)
    assert_allclose(y.mean(axis=-1), 0, atol=1e-12)
    assert_allclose(y.var(axis=-1), 1, rtol=2e-5)    # eps / variance = 1.6e-5
    again = normalize_patches(scale * x + shift)
    assert_allclose(again, y, rtol=4e-5, atol=1e-12)    # 3/2 of that at scale 1/2
    assert_allclose(normalize_patches(np.full((2, P), shift)), 0, atol=1e-11)    # eps^(-1/2) times rounding
    assert normalize_patches(x.astype(np.float32)).dtype == np.float32


# ------------------------------------------------------------ the autoencoder

@settings(max_examples=15)
@given(rng=rngs, N=st.integers(1, 3), mask_ratio=st.sampled_from([0, 0.25, 0.5, 0.75]))
def test_only_visible_patches_change_the_output(rng, N, mask_ratio):
    model, patches = autoencoder(rng), anything(rng, (N, 4, 3)).astype(np.float32)
    ids_keep, ids_mask, ids_restore = mask_patches(N, 4, mask_ratio=mask_ratio, rng=rng)
    rows = np.arange(N)[:, None]
    x = Tensor(patches, requires_grad=True)
    x_hat = model.decode(model.encode(x, ids_keep), ids_restore)
    assert x_hat.shape == patches.shape and x_hat.dtype == np.float32
    (x_hat ** 2).sum().backward()
    assert not x.grad[rows, ids_mask].any()
    assert x.grad[rows, ids_keep].any(axis=-1).all()
    changed = patches.copy()
    changed[rows, ids_mask] = 9
    assert_array_equal(model.decode(model.encode(changed, ids_keep), ids_restore).data, x_hat.data)


@settings(max_examples=15)
@given(rng=rngs, N=st.integers(1, 3), mask_ratio=st.sampled_from([0, 0.25, 0.5, 0.75]))
def test_the_order_of_visible_patches_does_not_matter(rng, N, mask_ratio):
    """A patch is known by its position, not by its place in the sequence; float32, of size 1."""
    model, patches = autoencoder(rng), anything(rng, (N, 4, 3)).astype(np.float32)
    ids_keep, ids_mask, ids_restore = mask_patches(N, 4, mask_ratio=mask_ratio, rng=rng)
    x_hat = model.decode(model.encode(patches, ids_keep), ids_restore).data
    ids_keep = ids_keep[:, ::-1]
    again = np.concatenate([ids_keep, ids_mask], axis=1).argsort(axis=1)
    assert_allclose(model.decode(model.encode(patches, ids_keep), again).data, x_hat, atol=1e-4)
    everything = np.tile(np.arange(4), (N, 1))
    assert_allclose(model.encode(patches, everything).data, model.encode(patches).data, atol=1e-4)
    assert_array_equal(model(patches).data, model.encode(patches).data.reshape(N, 32))


@given(rng=rngs, N=st.integers(1, 3), mask_ratio=st.sampled_from([0.25, 0.5, 0.75]), normalize=st.booleans())
def test_the_loss_is_the_mean_square_of_hidden_patches(rng, N, mask_ratio, normalize):
    model, patches = autoencoder(rng), anything(rng, (N, 4, 3)).astype(np.float32)
    seed = rng.integers(2 ** 32)
    options = dict(mask_ratio=mask_ratio, rng=np.random.default_rng(seed))
    loss = masked_patch_loss(model, patches, normalize=normalize, **options)
    x_hat, mask = reconstruct(model, patches, mask_ratio=mask_ratio, rng=np.random.default_rng(seed))
    target = normalize_patches(patches) if normalize else patches
    assert (mask.sum(axis=1) == int(4 * mask_ratio)).all() and loss.dtype == np.float32
    assert_allclose(loss.item(), ((x_hat.data - target)[mask] ** 2).mean(), rtol=1e-5)


def normed(x):
    return (x - x.mean(axis=-1, keepdims=True)) / np.sqrt(x.var(axis=-1, keepdims=True) + 1e-5)


@given(rng=rngs, N=st.integers(1, 3))
def test_around_the_blocks_it_is_its_equations(rng, N):
    model, patches = autoencoder(rng), anything(rng, (N, 4, 3)).astype(np.float32)
    model.encoder = model.decoder = Sequential()
    affine = lambda layer, x: x @ layer.weight.data.T + layer.bias.data
    z = normed((affine(model.embed, patches) + model.position.data)[:, :2])
    assert_allclose(model.encode(patches, np.tile([0, 1], (N, 1))).data, z, atol=1e-4)
    u = np.concatenate([affine(model.decoder_embed, z), np.tile(model.mask_token.data, (N, 2, 1))], axis=1)
    x_hat = affine(model.head, normed(u + model.decoder_position.data))
    restored = model.decode(Tensor(z.astype(np.float32)), np.tile(np.arange(4), (N, 1)))
    assert_allclose(restored.data, x_hat, atol=1e-4)


@given(rng=rngs, N=st.integers(1, 3))
def test_the_encoder_knows_where_a_patch_is(rng, N):
    """The same patches at other places have other encodings, not only in another order."""
    model, patches = autoencoder(rng), anything(rng, (N, 4, 3)).astype(np.float32)
    moved = model.encode(patches[:, [1, 2, 3, 0]]).data
    assert np.abs(moved - model.encode(patches).data[:, [1, 2, 3, 0]]).max() > 1e-3


def test_each_position_has_its_own_prediction():
    """With nearly all hidden, mask tokens differ by their positions alone."""
    x_hat, mask = reconstruct(autoencoder(RNG, 9), np.ones((1, 9, 3), np.float32), mask_ratio=0.89, rng=RNG)
    assert mask.sum() == 8 and len(np.unique(x_hat.data[0].round(4), axis=0)) == 9


def test_it_learns_that_the_hidden_half_is_the_other_half():
    """Two patches, of one colour that changes from image to image: one tells the other."""
    rng = np.random.default_rng(3)
    model = autoencoder(rng, 2)
    optimizer = Adam(model.parameters(), lr=1e-2)
    for _ in range(150):
        patches = np.repeat(rng.uniform(-1, 1, (32, 1, 1)), 2, axis=1).repeat(3, axis=2).astype(np.float32)
        optimizer.zero_grad()
        loss = masked_patch_loss(model, patches, mask_ratio=0.5, rng=rng)
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1 * patches.var()


IMAGES, PATCHES, MODEL = np.zeros((2, 4, 6)), np.zeros((2, 4, 3)), autoencoder(RNG)


@pytest.mark.parametrize("call, words", [
    (lambda: patchify(IMAGES, 4), "patchify: images must have sides that are multiples of patch_size=4, got 4 x 6"),
    (lambda: unpatchify(PATCHES, (2, 2)), r"unpatchify: patches must fill size=\(2, 2\)"),
    (lambda: unpatchify(np.zeros((2, 4, 4)), (4, 6)), r"fill size=\(4, 6\), got \(2, 4, 4\)"),
    (lambda: MODEL.encode(PATCHES[:, :3]), r"with n_patches = 4, patch_dim = 3, got shape \(2, 3, 3\)"),
    (lambda: masked_patch_loss(MODEL, PATCHES, mask_ratio=1, rng=RNG), r"mask_ratio must be float in \[0, 1\), got 1"),
    (lambda: masked_patch_loss(MODEL, PATCHES, mask_ratio=0.1, rng=RNG), "must hide at least one position"),
])
def test_errors_say_what_to_write(call, words):
    with pytest.raises(ValueError, match=words):
        call()
