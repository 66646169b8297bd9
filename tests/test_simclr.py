"""The laws of SimCLR: its loop, its models, and the best flat picture of vectors."""
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from strategies import rngs

from tinyml import Tensor, nn
from tinyml.data import batches, digits
from tinyml.optim import SGD, Adam, LambdaLR
from tinyml.selfsupervised.augmentations import add_noise, random_affine
from tinyml.selfsupervised.contrastive import alignment, nt_xent, uniformity
from tinyml.selfsupervised.simclr import (
    cnn_encoder,
    mlp_encoder,
    principal_components,
    projection_head,
    train_simclr,
)
from tinyml.train import predict

EPS = np.finfo(float).eps


def models(seed=0, pixels=9):
    """An encoder, a head, both from one seed, and an optimizer of both."""
    rng = np.random.default_rng(seed)
    encoder, head = mlp_encoder(pixels, 8, 6, rng=rng), projection_head(6, 4, rng=rng)
    return encoder, head, SGD([*encoder.parameters(), *head.parameters()], lr=0.1)


# ------------------------------------------------------------ the loop

@settings(max_examples=10)
@given(seed=st.integers(0, 1000), n=st.integers(1, 9), batch_size=st.integers(1, 5))
def test_train_simclr_is_algorithm_1(seed, n, batch_size):
    X = np.random.default_rng(seed).random((n, 9), dtype=np.float32)
    view, options = add_noise(0.3), dict(batch_size=batch_size)
    encoder, head, sgd = models(seed)
    schedule = LambdaLR(sgd, lambda t: 1 / (1 + t))
    history = train_simclr(encoder, head, X, view=view, temperature=0.5, optimizer=sgd, schedule=schedule,
                           epochs=2, rng=np.random.default_rng(seed), **options)
    f, g, sgd = models(seed)
    rng, t = np.random.default_rng(seed), 0
    for row in history:
        total = 0
        for (x,) in batches(X, rng=rng, **options):
            z1 = g(f(Tensor(view(x, rng))))
            z2 = g(f(Tensor(view(x, rng))))
            loss = nt_xent(z1, z2, temperature=0.5)
            sgd.zero_grad()
            loss.backward()
            sgd.lr = 0.1 / (1 + t)
            sgd.step()
            t += 1
            total += loss.item() * len(x)
        assert row["loss"] == pytest.approx(total / n, rel=1e-12)
    assert [row["epoch"] for row in history] == [1, 2]
    for ours, theirs in zip([*encoder.parameters(), *head.parameters()], [*f.parameters(), *g.parameters()]):
        assert_array_equal(ours.data, theirs.data)


def test_pairs_are_found_and_different_images_repel_each_other():
    """Of 100 digits, never labelled: views come together, and the loss falls far below chance."""
    X = digits()[0][:100]
    rng = np.random.default_rng(0)
    encoder, head = mlp_encoder(64, 64, 32, rng=rng), projection_head(32, 16, rng=rng)
    optimizer = Adam([*encoder.parameters(), *head.parameters()], lr=3e-3)
    view = random_affine(rotate=0.2, shift=0.3)

    def quality(model):
        z1, z2 = (Tensor(predict(model, view(X, rng))) for _ in range(2))
        return alignment(z1, z2).item(), uniformity(z1).item()
    _, apart = quality(nn.Sequential(encoder, head))
    history = train_simclr(encoder, head, X, view=view, temperature=0.5, optimizer=optimizer, epochs=30,
                           batch_size=50, rng=rng)
    chance = math.log(99)
    assert history[0]["loss"] < chance + 0.5    # at first all embeddings are similar
    assert history[-1]["loss"] < chance - 1
    close, spread_out = quality(nn.Sequential(encoder, head))
    assert close < 0.2 and spread_out < -2 < apart
    features = predict(encoder, X)
    assert features.shape == (100, 32) and features.dtype == np.float32 and features.min() >= 0


@pytest.mark.parametrize("epochs", [0, 1])
def test_both_models_are_in_training_during_and_in_evaluation_after(epochs):
    modes = []

    class Watch(nn.Module):
        def forward(self, x):
            modes.append(self.training)
            return x

    encoder, head, sgd = models()
    encoder, head = nn.Sequential(encoder, Watch()), nn.Sequential(Watch(), head)
    encoder.eval()
    head.eval()
    history = train_simclr(encoder, head, np.ones((3, 9), np.float32), view=add_noise(0.1), temperature=0.5,
                           optimizer=sgd, epochs=epochs, batch_size=2, rng=np.random.default_rng(0))
    assert len(history) == epochs and modes == [True] * 8 * epochs
    assert not encoder.training and not head.training and not head[0].training


# ------------------------------------------------------------ models

@given(sizes=st.lists(st.integers(1, 5), min_size=2, max_size=4), n=st.integers(1, 3), rng=rngs)
def test_an_encoder_ends_with_relu_and_a_head_without(sizes, n, rng):
    x = rng.standard_normal((n, sizes[0])).astype(np.float32)
    seed = int(rng.integers(1000))
    encoder = mlp_encoder(*sizes, rng=np.random.default_rng(seed))
    head = projection_head(*sizes, rng=np.random.default_rng(seed))
    assert [type(layer) for layer in encoder] == [nn.Linear, nn.ReLU] * (len(sizes) - 1)
    assert_array_equal(encoder(Tensor(x)).data, np.maximum(head(Tensor(x)).data, 0))
    assert encoder(Tensor(x)).shape == (n, sizes[-1])


@given(side=st.integers(1, 9), channels=st.lists(st.integers(1, 3), min_size=1, max_size=3), rng=rngs)
def test_the_convolutions_halve_the_side_and_fit_any(side, channels, rng):
    encoder = cnn_encoder(side, channels, 4, rng=rng)
    x = rng.random((2, side, side)).astype(np.float32)
    h = encoder(Tensor(x)).data
    assert h.shape == (2, 4) and h.dtype == np.float32 and h.min() >= 0
    assert_array_equal(encoder(Tensor(x.reshape(2, -1))).data, h)
    convolutions = [layer for layer in encoder if isinstance(layer, nn.Conv2d)]
    assert [layer.out_channels for layer in convolutions] == channels
    assert [layer.stride for layer in convolutions] == [1] + [2] * (len(channels) - 1)


# ------------------------------------------------------------ the best flat picture

@given(n=st.integers(1, 8), d=st.integers(1, 6), rng=rngs, data=st.data())
def test_principal_components_diagonalise_the_covariance(n, d, rng, data):
    z = 5 * rng.standard_normal(d) + rng.standard_normal((n, d)) @ rng.standard_normal((d, d))
    k = data.draw(st.integers(1, min(n, d)))
    coordinates, share = principal_components(z, k)
    centred = z - z.mean(axis=0)
    total = (centred ** 2).sum()
    slack = 100 * EPS * (total + (z ** 2).sum())
    values = np.linalg.eigvalsh(centred.T @ centred)[::-1][:k]
    assert_allclose(coordinates.T @ coordinates, np.diag(values), rtol=0, atol=slack)
    assert_allclose(coordinates.sum(axis=0), 0, rtol=0, atol=math.sqrt(n) * slack + 1e-13)
    assert_allclose(share * total, values, rtol=0, atol=slack)
    if k == min(n, d):    # nothing is lost: all distances are as before
        between = lambda a: ((a[:, None] - a) ** 2).sum(axis=-1)
        assert_allclose(between(coordinates), between(z), rtol=0, atol=4 * slack)
    fewer = principal_components(z, 1)[0]
    assert_allclose(fewer, coordinates[:, :1], rtol=0, atol=100 * EPS * math.sqrt(total))


@given(rng=rngs)
def test_the_picture_does_not_depend_on_where_and_the_sign_is_chosen(rng):
    z = rng.standard_normal((6, 3)) * [9, 3, 1] @ np.linalg.qr(rng.standard_normal((3, 3)))[0]
    coordinates, share = principal_components(z, 2)
    assert_allclose(principal_components(z + 5, 2)[0], coordinates, rtol=0, atol=1e-12)
    for c in coordinates.T:
        direction = c @ (z - z.mean(axis=0))
        assert direction[np.abs(direction).argmax()] > 0
    assert_allclose(principal_components(-z, 2)[0], -coordinates, rtol=0, atol=1e-12)
    nothing, none = principal_components(np.ones((3, 2)), 2)
    assert not nothing.any() and not none.any()
