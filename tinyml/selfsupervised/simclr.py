"""SimCLR: an encoder learns from pairs of views; the other images of the batch are the negatives.

Problem: 1,797 images, ten labels. The images alone must teach what makes two of them alike.

Idea: draw two views t, t' of each image of a batch, and let an encoder f and a small head g find the pairs:

    h = f(t(x)),    z = g(h),    loss = NT-Xent(z, z') at a temperature T

Batch by batch, and nothing else. Views of one image shall coincide, so f becomes blind to what augmentations
change; all others are driven apart, so it keeps the rest. The head takes the loss's demands upon itself, and
is thrown away after training: **features are h, not z**.

How far has it come? A loss of ln(2B - 1), "chance" in the history, is that of embeddings that are all alike;
`alignment` and `uniformity` tell which half of the work is done.

Sources: Chen, Kornblith, Norouzi and Hinton 2020, A simple framework for contrastive learning of visual
representations (algorithm 1; section 4.2: the head); MATH5836 week 10, section 10.3.2.
"""
import math

import numpy as np

from tinyml.check import check_count, check_real, check_rng, check_sizes
from tinyml.data import batches
from tinyml.nn import Conv2d, Flatten, Linear, Module, ReLU, Sequential
from tinyml.progress import progress
from tinyml.selfsupervised.contrastive import alignment, nt_xent, uniformity
from tinyml.tensor import Tensor, no_grad
from tinyml.train import check_reached


# ------------------------------------------------------------ encoders and head: ordinary models

def mlp_encoder(*sizes, rng):
    """Linear layers from sizes[0] to sizes[1] and so on, each with a ReLU behind it: x (N, sizes[0]) to h.

    Parameters
    ----------
    *sizes : int >= 1, two or more
    rng : numpy.random.Generator

    Returns
    -------
    Sequential, whose output (N, sizes[-1]) is nowhere negative

    Raises
    ------
    ValueError : fewer than two sizes, or one below 1
    TypeError : rng is not a Generator
    """
    _check_layers("mlp_encoder", "sizes", sizes, 2, rng)
    return Sequential(*(layer for a, b in zip(sizes, sizes[1:]) for layer in (Linear(a, b, rng=rng), ReLU())))


def cnn_encoder(side, channels, features, *, rng):
    """Convolutions of 3 x 3, all but the first with stride 2, then a linear layer, each with a ReLU behind it.

    Parameters
    ----------
    side : int >= 1, of the images: x is (N, side side) or (N, side, side), and h (N, features)
    channels : sequence of int >= 1, of the convolutions' outputs
    features : int >= 1
    rng : numpy.random.Generator

    Returns
    -------
    Sequential

    Raises
    ------
    ValueError : no channels, or a number below 1
    TypeError : rng is not a Generator
    """
    _check_layers("cnn_encoder", "channels", channels, 1, rng)
    check_sizes("cnn_encoder", side=side, features=features)
    layers, ends = [Images(side)], side
    for k, (a, b) in enumerate(zip((1, *channels), channels)):
        stride = 2 if k else 1
        layers += [Conv2d(a, b, 3, stride, padding=1, rng=rng), ReLU()]
        ends = -(-ends // stride)
    return Sequential(*layers, Flatten(), Linear(channels[-1] * ends ** 2, features, rng=rng), ReLU())


class Images(Module):
    """(N, side side) or (N, side, side) as images of one channel, (N, 1, side, side)."""

    def __init__(self, side):
        check_sizes("Images", side=side)
        self.side = side

    def forward(self, x):
        if math.prod(x.shape[1:]) != self.side ** 2:
            raise ValueError(f"Images: x must have {self.side} x {self.side} pixels per image, got {x.shape}")
        return x.reshape(len(x), 1, self.side, self.side)


def projection_head(*sizes, rng):
    """g: linear layers with ReLU between them, none behind the last: h (N, sizes[0]) to z (N, sizes[-1]).

    Two sizes give a linear head; the paper has three (Chen et al. 2020, section 2.1: z = W2 relu(W1 h)).
    Parameters and errors are those of `mlp_encoder`.

    Parameters
    ----------
    *sizes : int >= 1, two or more
    rng : numpy.random.Generator
    """
    _check_layers("projection_head", "sizes", sizes, 2, rng)
    return Sequential(*mlp_encoder(*sizes, rng=rng)[:-1])


def _check_layers(function, name, sizes, least, rng):
    check_rng(function, rng)
    if len(sizes) < least:
        raise ValueError(f"{function}: {name} must be those of one layer or more, got {sizes}")
    for size in sizes:
        check_sizes(function, **{f"each of {name}": size})


# ------------------------------------------------------------ training

def train_simclr(encoder, head, X, *, view, temperature, optimizer, epochs, batch_size, rng, schedule=None,
                 label="simclr"):
    """Minimise NT-Xent of two views of each image over shuffled minibatches (Chen et al. 2020, algorithm 1).

        for each batch x:   z, z' = g(f(view(x))), g(f(view(x)));   a step along -grad nt_xent(z, z')

    No labels anywhere. Encoder and head are in evaluation mode afterwards; features are `encoder`'s output.

    Parameters
    ----------
    encoder : Module, f, from a batch of X to h
    head : Module, g, from h to z of shape (B, D)
    X : ndarray, shape (n, ...), n >= 1, unlabelled
    view : function (x_batch, rng) -> x_batch, called twice for each batch
    temperature : float in [1e-4, 1e4], T
    optimizer : Optimizer over the parameters of both
    epochs : int >= 0, passes over the data
    batch_size : int >= 1, images; the last batch of a pass may be smaller, and so has fewer negatives
    rng : numpy.random.Generator, draws the order and the views
    schedule : LambdaLR or None, stepped after every batch
    label : str, in front of the progress line

    Returns
    -------
    list of dict, a row per epoch, means over the images: "epoch" (from 1), "loss", "chance" (ln(2B - 1)), and
        "alignment" and "uniformity" of the embeddings z (the latter over pairs within z, NaN where B = 1)

    Raises
    ------
    ValueError : X is not finite or empty, epochs < 0, or embeddings that are not finite: the rate is too high
    TypeError : rng is not a Generator
    """
    epochs = check_count("train_simclr", "epochs", epochs)
    check_rng("train_simclr", rng)
    X = check_real("train_simclr", "X", X)
    history = []
    for epoch in progress(range(1, epochs + 1), label):
        encoder.train()
        head.train()
        rows = []
        for (x,) in batches(X, batch_size=batch_size, rng=rng):
            z1, z2 = (head(encoder(Tensor(view(x, rng)))) for _ in range(2))
            loss = nt_xent(z1, z2, temperature=temperature)
            optimizer.zero_grad()
            loss.backward()
            check_reached("train_simclr", optimizer)
            optimizer.step()
            if schedule is not None:
                schedule.step()
            rows.append((len(x), loss.item(), math.log(2 * len(x) - 1), *_quality(z1, z2)))
        sizes, *columns = np.array(rows).T
        means = (float(np.average(column, weights=sizes)) for column in columns)
        history.append({"epoch": epoch} | dict(zip(("loss", "chance", "alignment", "uniformity"), means)))
    encoder.eval()
    head.eval()
    return history


@no_grad()
def _quality(z1, z2):
    return alignment(z1, z2).item(), uniformity(z1).item() if len(z1) > 1 else math.nan


# ------------------------------------------------------------ a look at the features

def principal_components(z, n_components):
    """The best flat picture of vectors: their coordinates along the directions in which they vary most.

        z - mean = U S V'   (singular values descending);    coordinates = (z - mean) V_k = U_k S_k

    No k-dimensional linear picture loses less (Eckart and Young 1936). The sign of each direction, which is
    arbitrary, is such that its entry of largest size is positive.

    Parameters
    ----------
    z : array_like, shape (n, d), n and d >= 1
    n_components : int in 1..min(n, d), k

    Returns
    -------
    coordinates : ndarray, shape (n, k), columns that are orthogonal and of mean 0
    share : ndarray, shape (k,), the part of the variance that each of them holds; 0 if there is none

    Raises
    ------
    TypeError, ValueError : z is not real, not finite or not (n, d); n_components is out of range

    Examples
    --------
    >>> coordinates, share = principal_components([[0.0, 0.0], [3.0, 4.0], [6.0, 8.0]], 1)
    >>> coordinates.round(6).ravel() + 0, share
    (array([-5.,  0.,  5.]), array([1.]))
    """
    z = check_real("principal_components", "z", z, ndim=2)
    check_sizes("principal_components", n_components=n_components)
    if n_components > min(z.shape):
        raise ValueError(f"principal_components: n_components must be at most {min(z.shape)} for z of shape "
                         f"{z.shape}, got {n_components}")
    U, s, Vh = np.linalg.svd(z - z.mean(axis=0), full_matrices=False)
    signs = np.sign(Vh[np.arange(len(Vh)), np.abs(Vh).argmax(axis=1)])
    total = (s ** 2).sum()
    share = s ** 2 / total if total else s
    return (U * (s * signs))[:, :n_components], share[:n_components]
