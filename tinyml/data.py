"""Small sets that come with the package, MNIST from its files, splits and minibatches."""
from pathlib import Path

import numpy as np

from tinyml.contract import checked
from tinyml.idx import SIDE, load_split
from tinyml.tensor import Tensor


def digits():
    """The 1,797 handwritten digits of 8 x 8 pixels that come with the package.

    E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning
    Repository, 1998, doi:10.24432/C50P49, CC BY 4.0. The file keeps the ink as integers 0..16.

    Returns
    -------
    X : ndarray of float32, shape (1797, 64), the ink of each pixel in [0, 1], row by row
    y : ndarray of int64, shape (1797,), the digit 0..9
    """
    X, y = _asset("digits", "X", "y")
    return (X / 16).astype(np.float32), y.astype(np.int64)


def clothes():
    """3,000 images of clothes of 14 x 14 pixels that come with the package, 300 of each class.

    0 T-shirt, 1 trouser, 2 pullover, 3 dress, 4 coat, 5 sandal, 6 shirt, 7 sneaker, 8 bag, 9 boot.

    They are a part of Fashion-MNIST (H. Xiao, K. Rasul and R. Vollgraf 2017, arXiv:1708.07747;
    MIT licence, (c) 2017 Zalando SE), chosen from its 60,000 training images by a rule that does
    not look at them: of each class those whose 784 bytes have the smallest SHA-256, in the order
    of these digests. A pixel is the mean of 2 x 2 pixels, and rounds half to even.

    Returns
    -------
    X : ndarray of float32, shape (3000, 196), pixels in [0, 1], row by row
    y : ndarray of int64, shape (3000,), the class 0..9
    """
    X, y = _asset("clothes", "X", "y")
    return X / np.float32(255), y.astype(np.int64)


def diabetes():
    """442 patients with diabetes, and how far the disease went on within a year: a regression.

    B. Efron, T. Hastie, I. Johnstone and R. Tibshirani 2004, Least Angle Regression, Annals of
    Statistics 32(2). The columns are the published ones, neither centred nor scaled: age, sex (1
    or 2), body mass index, mean blood pressure, and six measures of the blood serum.

    Returns
    -------
    X : ndarray of float64, shape (442, 10)
    y : ndarray of float64, shape (442,), the progression, 25..346
    """
    X, decimals, y = _asset("diabetes", "X", "decimals", "y")
    return X / 10.0**decimals, y.astype(np.float64)


def breast_cancer():
    """569 tumours of the breast, each described by 30 measures of its cells' nuclei.

    W. Wolberg, O. Mangasarian, N. Street and W. Street, Breast Cancer Wisconsin (Diagnostic), UCI
    Machine Learning Repository, 1993, doi:10.24432/C5DW2B, CC BY 4.0. Ten measures (radius,
    texture, perimeter, area, smoothness, ...), of each the mean over the nuclei, its standard
    error, and the mean of the three largest. The columns are neither centred nor scaled.

    Returns
    -------
    X : ndarray of float64, shape (569, 30)
    y : ndarray of int64, shape (569,): 0 malignant, 1 benign
    """
    X, decimals, y = _asset("breast_cancer", "X", "decimals", "y")
    return X / 10.0**decimals, y.astype(np.int64)


def _asset(name, *keys):
    """Arrays of a file of the package; a table holds integers, X 10^decimals."""
    path = Path(__file__).parent / "assets" / f"{name}.npz"
    with np.load(path, allow_pickle=False) as archive:
        return [archive[key] for key in keys]


def mnist(folder=None, *, split="train", download=False):
    """MNIST, 70,000 handwritten digits of 28 x 28 pixels (LeCun, Bottou, Bengio and Haffner 1998).

    Parameters
    ----------
    folder : path-like or None
        Where the standard IDX files are, plain or .gz. None looks in the folder that the
        environment variable TINYML_DATA names, first in its subfolder "mnist", then in itself; and
        in "tinyml/mnist" in the cache (XDG_CACHE_HOME, on Windows LOCALAPPDATA, else ~/.cache).
    split : "train", 60,000 images, or "test", 10,000
    download : bool, fetch what is not found into the last of these, and check its digest

    Returns
    -------
    X : ndarray of float32, shape (n, 784), pixels in [0, 1], row by row
    y : ndarray of int64, shape (n,), the digit 0..9

    Raises
    ------
    FileNotFoundError : no folder has the images and the labels, and download is False
    ValueError : an unknown split, a file that is damaged, truncated or not what its name says,
        images and labels that are not equally many, or the .gz files of Fashion-MNIST
    OSError : the download's server cannot be reached
    """
    return _scaled(*load_split("mnist", split, folder, download))


def fashion_mnist(folder=None, *, split="train", download=False):
    """Fashion-MNIST, 70,000 images of clothes in MNIST's format (Xiao, Rasul and Vollgraf 2017).

    0 T-shirt, 1 trouser, 2 pullover, 3 dress, 4 coat, 5 sandal, 6 shirt, 7 sneaker, 8 bag, 9 boot.
    Parameters, returns and errors are those of `mnist`; the subfolder's name is "fashion-mnist".
    """
    return _scaled(*load_split("fashion-mnist", split, folder, download))


def _scaled(images, labels):
    return images.reshape(-1, SIDE * SIDE) / np.float32(255), labels.astype(np.int64)


@checked
def one_hot(
    y: "array_like of int, any shape, in 0..n_classes-1",
    n_classes: "int >= 1",
    *,
    dtype: "the dtype of the result" = np.float32,
) -> "ndarray of dtype, shape (*y.shape, n_classes)":
    """Row i is the unit vector of the class y[i]: 1 in column y[i], 0 elsewhere.

    >>> one_hot([2, 0], 3)
    array([[0., 0., 1.],
           [1., 0., 0.]], dtype=float32)
    """
    is_class = y[..., None] == np.arange(n_classes)    # (*y.shape, n_classes)
    return is_class.astype(dtype)


@checked
def flip_labels(
    y: "array_like of int, shape (n,), in 0..n_classes-1",
    n_classes: "int >= 2",
    *,
    fraction: "float in [0, 1]; exactly round(fraction n) labels become wrong, drawn "
              "at random",
    rng: "numpy.random.Generator",
) -> "ndarray of int, shape (n,) : a copy, y itself stays as it is":
    """Make a fraction of the labels wrong, each of them any class but the true one.

    >>> flip_labels([0, 1, 1, 0], 2, fraction=1, rng=np.random.default_rng(0))
    array([1, 0, 0, 1])
    """
    y = y.copy()
    n = len(y)
    n_wrong = round(fraction * n)
    wrong = rng.permutation(n)[:n_wrong]
    shift = rng.integers(1, n_classes, n_wrong)    # never 0: another class
    y[wrong] = (y[wrong] + shift) % n_classes
    return y


def as_numbers(function, name, data):
    """Data as an array of real numbers: a list, a DataFrame or a Tensor becomes one too.

    Arrays keep their dtype; a list of floats becomes float32, as in `Tensor`.

    Raises
    ------
    TypeError : no regular array of numbers, but strings, objects, or a Tensor that requires a
        gradient
    """
    array = _array(function, name, data)
    if array.dtype.kind not in "biuf":
        write = {"U": "np.unique(y, return_inverse=True)[1] for classes",
                 "O": "np.asarray(data, np.float32), and look at what fails"}
        raise TypeError(f"{function}: {name} must hold numbers, got {type(data).__name__} of "
                        f"dtype {array.dtype}; "
                        f"write {write.get(array.dtype.kind, 'an array of float32')}")
    if isinstance(data, (list, tuple)) and array.dtype == np.float64:
        return array.astype(np.float32)
    return array


def _array(function, name, data):
    if isinstance(data, Tensor):
        if data.requires_grad:
            raise TypeError(f"{function}: {name} must be data, got a Tensor with "
                            "requires_grad=True; write x.data")
        return data.data
    if hasattr(data, "to_numpy"):    # a DataFrame or a Series
        data = data.to_numpy()
    try:
        return np.asarray(data)
    except ValueError as error:
        raise TypeError(f"{function}: {name} must have rows of one shape, got {error}") from None


def _rows(function, arrays):
    """The arrays, and the number of rows that they all have."""
    arrays = [_array(function, "arrays", a) for a in arrays]
    lengths = [len(a) if a.ndim else 0 for a in arrays]
    if len(set(lengths)) != 1 or lengths[0] == 0:
        raise ValueError(f"{function}: arrays must have one length >= 1 in common, got lengths "
                         f"{lengths}")
    return arrays, lengths[0]


@checked
def train_test_split(
    *arrays: "one or more arrays of n rows each",
    test_size: "float in (0, 1); the fraction of the rows to hold out: m = "
               "round(test_size n)",
    rng: "numpy.random.Generator",
    stratify: "the class of each row, numbers or words; None for one class" = None,
):
    """Split arrays at random, row by row, into a training and a test part.

    Each class of c rows gives c m/n of the m test rows, rounded up or down: the rows are shuffled
    and sorted by class, and one is held out whenever a running sum of m/n, from a random start in
    [0, 1), reaches an integer.

    Returns
    -------
    list of ndarray : a_train, a_test, b_train, b_test, ... for the arrays a, b, ..., as in
        scikit-learn; rows in a random order, copied
    """
    arrays, n = _rows("train_test_split", arrays)
    classes = np.zeros(n) if stratify is None else np.asarray(stratify)
    if classes.shape != (n,):
        raise ValueError(f"train_test_split: stratify must have shape {(n,)}, got "
                         f"{classes.shape}")
    m = round(test_size * n)
    if not 0 < m < n:
        raise ValueError(f"train_test_split: both parts must hold a row, got {m} of {n} held out")
    order = rng.permutation(n)
    order = order[np.argsort(classes[order], kind="stable")]    # stable: classes stay shuffled
    start = rng.integers(n)
    sums = np.arange(n + 1) * m + start    # n times the running sum of m/n
    held_out = np.diff(sums // n) == 1
    train = rng.permutation(order[~held_out])
    test = rng.permutation(order[held_out])
    return [a[rows] for a in arrays for rows in (train, test)]


@checked
def batches(
    *arrays: "one or more arrays of n rows each",
    batch_size: "int >= 1",
    rng: "numpy.random.Generator, or None; for a new random order, None for the given "
         "order",
    drop_last: "bool; leave out the last batch if it is smaller" = False,
) -> "generator of tuples : batch_size rows of every array, copied; each row comes once":
    """One pass over the rows of the arrays, in minibatches.

    >>> for x, y in batches([1, 2, 3], [10, 20, 30], batch_size=2, rng=None):
    ...     print(x, y)
    [1 2] [10 20]
    [3] [30]
    """
    arrays, n = _rows("batches", arrays)
    order = np.arange(n) if rng is None else rng.permutation(n)
    last = n - batch_size if drop_last else n - 1    # the last start of a batch
    starts = range(0, last + 1, batch_size)
    rows = (order[i:i + batch_size] for i in starts)
    return (tuple(a[of_batch] for a in arrays) for of_batch in rows)
