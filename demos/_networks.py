"""What demos of compression share: images of any set, networks for them, errors of weights, ranks of units."""
from typing import NamedTuple

import numpy as np

from tinyml.data import train_test_split
from tinyml.nn import Conv2d, Flatten, Linear, MaxPool2d, ReLU, Sequential
from tinyml.nn.weights import all_weights
from tinyml.optim import Adam, LambdaLR, cosine_decay
from tinyml.train import accuracy, fit

N_IMAGES = 1797    # there are so many digits


def load_images(demo):
    """X and y of `demo.data`: as many images of any set, so that only what they show differs."""
    X, y = demo.load(most=N_IMAGES)
    return X[:N_IMAGES], y[:N_IMAGES]


def as_images(X):
    """Rows of pixels (N, side^2) as images of one channel (N, 1, side, side)."""
    side = round(X.shape[1] ** 0.5)
    return X.reshape(-1, 1, side, side)


def in_two_inks(images, rng):
    """Gray images (N, 1, H, W) in red ink, with another one of them over each in blue: (N, 3, H, W).

        pixel = paper (1 - gray (1 - red)) (1 - other gray (1 - blue))

    as inks on paper mix. Paper and inks vary a little from image to image.
    """
    gray = images / images.max()
    other = gray[rng.permutation(len(gray))]

    def colors(*least, width=0.2):
        return (least + width * rng.random((len(gray), 3)))[:, :, None, None]

    paper, red, blue = colors(0.7, 0.7, 0.7, width=0.3), colors(0.8, 0.1, 0.1), colors(0.1, 0.1, 0.8)
    return (paper * (1 - gray * (1 - red)) * (1 - other * (1 - blue))).astype(np.float32)


def dense_network(n_inputs, rng, hidden=(128, 64)):
    """A network with ReLUs from n_inputs pixels to 10 classes."""
    sizes = n_inputs, *hidden, 10
    layers = [part for a, b in zip(sizes, sizes[1:]) for part in (Linear(a, b, rng=rng), ReLU())]
    return Sequential(*layers[:-1])


def first_filters(side, channels, rng, colors=1):
    """A convolution that sees every pixel, and whose maps have 7 or 8 pixels a side for any image.

    The filters are 3 x 3 on images of 8 x 8, and larger on larger images, where they move further.
    """
    stride = side // 7
    return Conv2d(colors, channels, stride + 2, stride=stride, padding=1, rng=rng)


def conv_network(n_inputs, rng, filters, units):
    """Two convolutions, a hidden layer and 10 classes, for images of n_inputs pixels."""
    a, b = filters
    side = round(n_inputs ** 0.5)
    return Sequential(first_filters(side, a, rng), ReLU(), Conv2d(a, b, 3, padding=1, rng=rng),
                      ReLU(), MaxPool2d(2), Flatten(), Linear(b * n_pooled(side), units, rng=rng),
                      ReLU(), Linear(units, 10, rng=rng))


def n_pooled(side):
    """Pixels of a map of `first_filters` after pooling by 2."""
    return (side // (side // 7) // 2) ** 2


class Trained(NamedTuple):
    model: Sequential
    train: tuple     # X, y
    test: tuple      # X, y
    full: float      # accuracy on the test images


def trained_network(X, y, rng, *, epochs, network=dense_network, **options):
    """A network trained on 70 % of the images: network(n_inputs, rng, **options)."""
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.3, rng=rng, stratify=y)
    model = network(X.shape[1], rng, **options)
    fit(model, X_train, y_train, optimizer=Adam(model.parameters(), lr=2e-3), epochs=epochs,
        batch_size=64, rng=rng)
    return Trained(model, (X_train, y_train), (X_test, y_test), accuracy(model, X_test, y_test))


def arrays(model):
    """The weights of a model, as arrays."""
    return [weight.data for _, _, weight in all_weights(model)]


def relative_error(model, small):
    """Squared error of the weights of `small` over the sum of their squares."""
    W, Q = (np.concatenate([w.ravel() for w in arrays(m)]) for m in (model, small))
    return np.sum((W - Q) ** 2) / np.sum(W ** 2)


def ranks(scores):
    """The rank of each unit of a network, of a dict of scores by layer; ties share the mean of theirs."""
    values = np.concatenate(list(scores.values()))
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return (count.cumsum() - (count - 1) / 2)[place]


def rank_correlation(scores, others):
    """Spearman's: the correlation of the ranks of all units."""
    return np.corrcoef(ranks(scores), ranks(others))[0, 1]


def tune(model, data, epochs, rng, lr=1e-3):
    """Train in place, at a rate on a cosine to 0; returns the model."""
    n_steps = epochs * -(-len(data[0]) // 64)
    optimizer = Adam(model.parameters(), lr=lr)
    fit(model, *data, optimizer=optimizer, epochs=epochs, batch_size=64, rng=rng,
        schedule=LambdaLR(optimizer, lambda t: cosine_decay(t, n_steps)))
    return model
