"""Motions of lesson 10.3: digits find their places under NT-Xent, an autoencoder learns to restore."""
import matplotlib.pyplot as plt
import numpy as np
from panels import scatter, sheet

from tinyml.data import batches, digits
from tinyml.nn import Sequential
from tinyml.optim import Adam, AdamW
from tinyml.selfsupervised.augmentations import add_noise, compose, random_affine
from tinyml.selfsupervised.downstream import extract_features
from tinyml.selfsupervised.masked_patches import (
    MaskedAutoencoder,
    masked_patch_loss,
    patchify,
    reconstruct,
    unpatchify,
)
from tinyml.selfsupervised.simclr import (
    mlp_encoder,
    principal_components,
    projection_head,
    train_simclr,
)
from tinyml.tensor import no_grad

SNAPSHOTS = 30


def contrast(rng):
    """The features of 150 digits in the plane that is best at the end, while SimCLR trains."""
    X, y = digits()
    view = compose(random_affine(rotate=0.35, scale=0.2, shear=0.3, shift=0.5), add_noise(0.2))
    encoder, head = mlp_encoder(64, 256, 128, rng=rng), projection_head(128, 64, rng=rng)
    optimizer = Adam(Sequential(encoder, head).parameters(), lr=3e-3)
    shown, features = slice(0, 150), []
    for _ in range(SNAPSHOTS):
        features.append(extract_features(encoder, X[shown], unit_length=True))
        train_simclr(encoder, head, X, view=view, temperature=0.5, rng=rng, optimizer=optimizer,
                     epochs=2, batch_size=256)
    stacked = np.concatenate([np.repeat(features[-1], 20, axis=0), *features])    # the end decides the plane
    points, _ = principal_components(stacked, 2)
    places = points[20 * len(features[-1]):].reshape(SNAPSHOTS, -1, 2)
    figure, ax = plt.subplots(figsize=(6, 5.4))
    low, high = places.min(axis=(0, 1)), places.max(axis=(0, 1))

    def draw(i):
        ax.clear()
        scatter(ax, places[i], y[shown], title=f"after {2 * i} epochs")
        ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
    return figure, draw, SNAPSHOTS


def restore(rng):
    """Six digits with three quarters hidden, restored better and better."""
    X, _ = digits()
    mean, std = X.mean(), X.std()
    patches = patchify(((X - mean) / std).reshape(-1, 8, 8), 2)
    model = MaskedAutoencoder(*patches.shape[1:], d_model=32, num_layers=2, decoder_dim=32, decoder_layers=1,
                              nhead=4, rng=rng)
    optimizer = AdamW(model.parameters(), lr=5e-3, weight_decay=0.05)
    seed, shown = int(rng.integers(2 ** 31)), []
    for _ in range(SNAPSHOTS):
        with no_grad():    # the same patches are hidden each time
            restored, hidden = reconstruct(model, patches[:6], mask_ratio=0.75, rng=np.random.default_rng(seed))
        shown.append(unpatchify(np.where(hidden[..., None], restored.data, patches[:6]), (8, 8)))
        for (batch,) in batches(patches, batch_size=128, rng=rng):
            optimizer.zero_grad()
            masked_patch_loss(model, batch, mask_ratio=0.75, rng=rng).backward()
            optimizer.step()
    truth = unpatchify(patches[:6], (8, 8))
    given = unpatchify(np.where(hidden[..., None], np.nan, patches[:6]), (8, 8))
    figure, ax = plt.subplots(figsize=(7, 4))

    def draw(i):
        ax.clear()
        rows = {"visible": given, "restored": shown[i], "truth": truth}
        sheet(ax, rows, low=truth.min(), high=truth.max(), title=f"after {i} epochs")
    return figure, draw, SNAPSHOTS
