"""Pre-training that several demos share: views of images, Adam on a cosine, an encoder from SimCLR."""
import math

import numpy as np

from tinyml.nn import Sequential
from tinyml.optim import Adam, LambdaLR, cosine_decay
from tinyml.selfsupervised.augmentations import add_noise, compose, random_affine
from tinyml.selfsupervised.simclr import mlp_encoder, projection_head, train_simclr

MOVES = {"rotate": 0.35, "scale": 0.2, "shear": 0.3, "shift": 1 / 16}    # shift: of the side
NOISE = 0.2
LOST = 0.05        # share of the images that a move may take away from their class
COMPARED = 1000    # training images that choose the moves
DIGITS_INK = 19.6  # the mean of sum |x| over the digits


def choose_view(X, y):
    """The views of images X (n, side**2), and the moves in them: those that keep the class.

    After a move, is the nearest *other* image still of the same class? Among the given images, it
    is so for a share of them, and moves that lower it by more than LOST are left out: a rotated 6
    is a 6, a rotated shirt is like nothing that hangs in a shop. Noise is always added. The rule
    reads the labels of training images; no test image takes part.
    """
    X, y, side = X[:COMPARED], y[:COMPARED], round(X.shape[1] ** 0.5)
    moves = MOVES | {"shift": side * MOVES["shift"]}

    def kept(views):
        """The share of images whose nearest other image has their class."""
        squares = (views ** 2).sum(axis=1)[:, None] - 2 * views @ X.T + (X ** 2).sum(axis=1)
        np.fill_diagonal(squares, np.inf)
        return np.mean(y[squares.argmin(axis=1)] == y)

    still = kept(X)
    good = {name: strength for name, strength in moves.items()
            if kept(random_affine(**{name: strength})(X, np.random.default_rng(0))) >= still - LOST}
    return compose(random_affine(**good), add_noise(NOISE)), list(good)


def rate_for(X, rate):
    """A learning rate for images X that moves the first layer's output as `rate` does for digits.

    A step of Adam moves every weight by about the rate, so the output of a unit by about the rate
    times sum |x|: about 20 for digits, 56 for clothes, 100 to 225 for images of 28 x 28 pixels.
    """
    ink = np.abs(X).sum(axis=1).mean()
    return rate * DIGITS_INK / ink


def adam_on_cosine(model, X, *, epochs, batch_size, lr):
    """The options of `fit` for Adam with a learning rate that falls to 0 on a cosine."""
    optimizer = Adam(model.parameters(), lr=lr)
    n_steps = epochs * math.ceil(len(X) / batch_size)
    schedule = LambdaLR(optimizer, lambda t: cosine_decay(t, n_steps))
    return dict(optimizer=optimizer, schedule=schedule, epochs=epochs, batch_size=batch_size)


def epochs_for(X, epochs):
    """As many steps on images X as so many epochs of the digits' 1,258 training images."""
    return max(1, round(epochs * 1258 / len(X)))


def simclr_encoder(X, sizes, *, view, epochs, rng):
    """An encoder of images, trained by SimCLR without labels (see demos/simclr.py)."""
    encoder = mlp_encoder(*sizes, rng=rng)
    head = projection_head(sizes[-1], 64, rng=rng)
    options = adam_on_cosine(Sequential(encoder, head), X, epochs=epochs_for(X, epochs),
                             batch_size=256, lr=rate_for(X, 3e-3))
    train_simclr(encoder, head, X, view=view, temperature=1.0, rng=rng, **options)
    return encoder
