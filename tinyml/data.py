"""Data: real digits that come with the package, MNIST from its files, seeded synthetic sets, minibatches."""
from pathlib import Path

import numpy as np

from tinyml.check import check_labels, check_number, check_rng, check_sizes
from tinyml.idx import load_split


def digits():
    """The 1,797 handwritten digits of 8 x 8 pixels that come with the package.

    Optical Recognition of Handwritten Digits, E. Alpaydin and C. Kaynak, UCI Machine Learning Repository,
    1998, doi:10.24432/C50P49, CC BY 4.0.

    Returns
    -------
    X : ndarray of float32, shape (1797, 64), the ink of each pixel in [0, 1], row by row
    y : ndarray of int64, shape (1797,), the digit 0..9
    """
    with np.load(Path(__file__).parent / "assets" / "digits.npz", allow_pickle=False) as archive:
        return (archive["X"] / 16).astype(np.float32), archive["y"].astype(np.int64)


def mnist(folder=None, *, split="train", download=False):
    """MNIST, 70,000 handwritten digits of 28 x 28 pixels (LeCun, Bottou, Bengio and Haffner 1998).

    Parameters
    ----------
    folder : path-like or None
        Where the four standard IDX files are, plain or .gz. None looks in the folder that the environment
        variable TINYML_DATA names (in its subfolder "mnist"), then in the cache folder (XDG_CACHE_HOME,
        LOCALAPPDATA or ~/.cache, in "tinyml/mnist").
    split : "train", 60,000 images, or "test", 10,000
    download : bool, fetch what is not found into the last of these folders, and check its digest

    Returns
    -------
    X : ndarray of float32, shape (n, 784), pixels in [0, 1], row by row
    y : ndarray of int64, shape (n,), the digit 0..9

    Raises
    ------
    FileNotFoundError : a file is nowhere to be found, and download is False
    ValueError : an unknown split, or a file that is damaged, truncated or not what its name says
    """
    return _scaled(*load_split("mnist", split, folder, download))


def fashion_mnist(folder=None, *, split="train", download=False):
    """Fashion-MNIST, 70,000 images of ten kinds of clothes in MNIST's format (Xiao, Rasul and Vollgraf 2017).

    Parameters, returns and errors are those of `mnist`; the subfolder's name is "fashion-mnist".
    """
    return _scaled(*load_split("fashion-mnist", split, folder, download))


def _scaled(images, labels):
    X = images.reshape(len(images), -1).astype(np.float32)
    X /= 255
    return X, labels.astype(np.int64)


def make_linear(n_samples, n_features, *, noise, rng, beta=None):
    """The linear model y = X beta* + eps of MATH5836 week 10, section 10.1.2, with isotropic features.

    Parameters
    ----------
    n_samples, n_features : int >= 1, n and p
    noise : float >= 0, the standard deviation sigma of eps
    rng : numpy.random.Generator
    beta : array_like, shape (p,), or None for a random direction of length 1

    Returns
    -------
    X : ndarray of float64, shape (n, p), entries from N(0, 1)
    y : ndarray of float64, shape (n,)
    beta : ndarray of float64, shape (p,)

    Raises
    ------
    ValueError : a size below 1, negative noise, or a beta of another shape
    TypeError : rng is not a Generator
    """
    check_rng("make_linear", rng)
    check_sizes("make_linear", n_samples=n_samples, n_features=n_features)
    check_number("make_linear", "noise", noise, at_least=0)
    if beta is None:
        beta = rng.standard_normal(n_features)
        beta /= np.linalg.norm(beta)
    beta = np.asarray(beta, np.float64)
    if beta.shape != (n_features,):
        raise ValueError(f"make_linear: beta must have shape {(n_features,)}, got {beta.shape}")
    X = rng.standard_normal((n_samples, n_features))
    return X, X @ beta + noise * rng.standard_normal(n_samples), beta


def make_moons(n_samples, *, noise, rng):
    """Two half circles of radius 1 that reach into each other: a classic that no line separates.

    Parameters
    ----------
    n_samples : int >= 1
    noise : float >= 0, standard deviation added to both coordinates
    rng : numpy.random.Generator

    Returns
    -------
    X : ndarray of float32, shape (n_samples, 2)
    y : ndarray of int64, shape (n_samples,), 0 (upper) and 1 (lower) in turn

    Raises
    ------
    ValueError : n_samples < 1 or negative noise
    TypeError : rng is not a Generator
    """
    check_rng("make_moons", rng)
    check_sizes("make_moons", n_samples=n_samples)
    check_number("make_moons", "noise", noise, at_least=0)
    y = np.arange(n_samples) % 2
    angle = rng.uniform(0, np.pi, n_samples)
    upper = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    X = np.where(y[:, None] == 0, upper, [1, 0.5] - upper)
    return (X + noise * rng.standard_normal(X.shape)).astype(np.float32), y


def make_spirals(n_samples, n_classes, *, noise, rng, turns=1.0):
    """Spiral arms, one per class, from the origin out to radius 1.

    Parameters
    ----------
    n_samples, n_classes : int >= 1
    noise : float >= 0, standard deviation added to both coordinates
    rng : numpy.random.Generator
    turns : float, how often an arm winds around the origin

    Returns
    -------
    X : ndarray of float32, shape (n_samples, 2)
    y : ndarray of int64, shape (n_samples,), 0..n_classes-1 in turn

    Raises
    ------
    ValueError : a size below 1 or negative noise
    TypeError : rng is not a Generator
    """
    check_rng("make_spirals", rng)
    check_sizes("make_spirals", n_samples=n_samples, n_classes=n_classes)
    check_number("make_spirals", "noise", noise, at_least=0)
    y = np.arange(n_samples) % n_classes
    radius = rng.uniform(0, 1, n_samples)
    angle = 2 * np.pi * (turns * radius + y / n_classes)
    X = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return (X + noise * rng.standard_normal(X.shape)).astype(np.float32), y


def one_hot(y, n_classes):
    """Row i is the unit vector of the class y[i].

    Parameters
    ----------
    y : array_like of int, shape (...), in 0..n_classes-1
    n_classes : int >= 1

    Returns
    -------
    ndarray of float32, shape (..., n_classes)

    Raises
    ------
    TypeError : y does not hold integers
    ValueError : a label outside 0..n_classes-1
    """
    check_sizes("one_hot", n_classes=n_classes)
    return np.eye(n_classes, dtype=np.float32)[check_labels("one_hot", "y", y, n_classes)]


def _same_length(function, arrays):
    lengths = [len(a) for a in arrays]
    if not lengths or min(lengths) != max(lengths) or lengths[0] == 0:
        raise ValueError(f"{function}: arrays must have one length >= 1 in common, got lengths {lengths}")
    return lengths[0]


def train_test_split(*arrays, test_size, rng, stratify=None):
    """Split arrays at random, row by row, into a training and a test part.

    Parameters
    ----------
    *arrays : ndarrays of one length n
    test_size : float in (0, 1), the fraction of the rows that is held out, rounded to whole rows
    rng : numpy.random.Generator
    stratify : ndarray, shape (n,), or None; with labels here, every class is split by that fraction

    Returns
    -------
    list : a_train, a_test, b_train, b_test, ... for the arrays a, b, ..., as scikit-learn returns them

    Raises
    ------
    ValueError : lengths that differ, no rows, test_size outside (0, 1), or a part that stays empty
    TypeError : rng is not a Generator
    """
    check_rng("train_test_split", rng)
    check_number("train_test_split", "test_size", test_size, above=0, below=1)
    labels = np.zeros(len(arrays[0])) if stratify is None and arrays else stratify
    n = _same_length("train_test_split", [*arrays, *([] if labels is None else [labels])])
    held_out = np.zeros(n, bool)
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        held_out[rows[:round(test_size * len(rows))]] = True
    if held_out.all() or not held_out.any():
        raise ValueError("train_test_split: both parts must hold a row, got "
                         f"{held_out.sum()} of {n} held out")
    train, test = (rng.permutation(np.flatnonzero(part)) for part in (~held_out, held_out))
    return [a[rows] for a in arrays for rows in (train, test)]


def batches(*arrays, batch_size, rng, drop_last=False):
    """One pass over the rows of the arrays, in minibatches.

    Parameters
    ----------
    *arrays : ndarrays of one length n
    batch_size : int >= 1
    rng : numpy.random.Generator for a new random order, or None to keep the order
    drop_last : bool, leave out a last batch that is smaller

    Returns
    -------
    iterator of tuples, one array per argument, of batch_size rows each; every row comes once

    Raises
    ------
    ValueError : lengths that differ, no rows, batch_size < 1
    TypeError : rng is neither a Generator nor None
    """
    check_sizes("batches", batch_size=batch_size)
    n = _same_length("batches", arrays)
    if rng is not None:
        check_rng("batches", rng)
    order = np.arange(n) if rng is None else rng.permutation(n)
    starts = range(0, n - batch_size + 1 if drop_last else n, batch_size)
    return (tuple(a[order[i:i + batch_size]] for a in arrays) for i in starts)
