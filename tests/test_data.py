"""Laws of the data: every row once, classes kept, files believed only when they are whole."""
import gzip
import hashlib
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategies import rngs
from tinyml.data import (batches, digits, fashion_mnist, make_linear, make_moons, make_spirals, mnist, one_hot,
                         train_test_split)
from tinyml.idx import fetch, read_idx

sizes = st.integers(1, 40)


# ------------------------------------------------------------ the digits

def test_the_digits_are_the_ones_of_uci():
    X, y = digits()
    assert X.shape == (1797, 64) and X.dtype == np.float32 and y.dtype == np.int64
    assert (X * 16).sum(dtype=np.float64) == 561_718 and X.min() == 0 and X.max() == 1
    assert np.bincount(y).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_the_digits_are_digits():
    """The nearest neighbour among the others is of the same class for nearly every image."""
    X, y = digits()
    distance = (X ** 2).sum(1)[:, None] - 2 * X @ X.T + (X ** 2).sum(1)
    np.fill_diagonal(distance, np.inf)
    assert (y[distance.argmin(axis=1)] == y).mean() > 0.98


# ------------------------------------------------------------ IDX files

def idx(array):
    """The bytes of an IDX file, written from the format's definition."""
    lengths = b"".join(n.to_bytes(4, "big") for n in array.shape)
    return bytes([0, 0, 8, array.ndim]) + lengths + array.tobytes()


def bytes_array(rng, *shape):
    return rng.integers(0, 10, shape, dtype=np.uint8)


@given(rng=rngs, shape=st.tuples(*[st.integers(0, 4)] * 3), compress=st.booleans())
def test_an_idx_file_is_read_back(tmp_path_factory, rng, shape, compress):
    array, path = bytes_array(rng, *shape), tmp_path_factory.mktemp("idx") / "file"
    path.write_bytes(gzip.compress(idx(array)) if compress else idx(array))
    assert np.array_equal(read_idx(path, ndim=3), array)


@pytest.mark.parametrize("compress", [False, True])
def test_every_truncation_is_refused(tmp_path, compress):
    path, whole = tmp_path / "file", idx(bytes_array(np.random.default_rng(0), 2, 3, 3))
    whole = gzip.compress(whole) if compress else whole
    for n in range(len(whole)):
        path.write_bytes(whole[:n])
        with pytest.raises(ValueError, match=f"read_idx: {re.escape(str(path))} must"):
            read_idx(path, ndim=3)


@pytest.mark.parametrize("content, message", [
    (b"PK\3\4 a zip file", "must begin with two zero bytes"),
    (bytes([0, 0, 13, 1, 0, 0, 0, 0]), "must hold unsigned bytes, type code 8, got code 13"),
    (idx(np.zeros(3, np.uint8)), "must have 3 axes, as images have, got 1"),
    (idx(np.zeros((1, 2, 2), np.uint8)) + b"\0", "must hold 20 bytes for shape (1, 2, 2), got 21"),
    (bytes([0, 0, 8, 3]) + b"\xff" * 12, "for shape (4294967295, 4294967295, 4294967295), got 16"),
])
def test_what_is_not_a_file_of_images_is_refused(tmp_path, content, message):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(ValueError, match=re.escape(message)):
        read_idx(tmp_path / "file", ndim=3)


def a_data_set(folder, n=12, labels=None):
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (n, 28, 28), dtype=np.uint8)
    labels = bytes_array(rng, n) if labels is None else labels
    (folder / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images)))
    (folder / "t10k-labels-idx1-ubyte").write_bytes(idx(labels))
    return images, labels


@pytest.mark.parametrize("load, name", [(mnist, "mnist"), (fashion_mnist, "fashion-mnist")])
def test_a_data_set_is_found_in_each_place(tmp_path, monkeypatch, load, name):
    monkeypatch.delenv("TINYML_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(FileNotFoundError, match=f"{name}: .*TINYML_DATA, or pass download=True"):
        load(split="test")
    images, labels = a_data_set(tmp_path / "cache" / "tinyml" / name)
    X, y = load(split="test")
    assert X.dtype == np.float32 and y.dtype == np.int64
    np.testing.assert_allclose(X, images.reshape(-1, 784) / 255, rtol=1e-6)
    assert np.array_equal(y, labels)
    a_data_set(tmp_path / "env" / name, n=5)
    monkeypatch.setenv("TINYML_DATA", str(tmp_path / "env"))
    assert len(load(split="test")[0]) == 5
    a_data_set(tmp_path / "given", n=3)
    assert len(load(tmp_path / "given", split="test")[0]) == 3


@pytest.mark.parametrize("labels, message", [
    (np.zeros(11, np.uint8), "images and labels must be equally many, got 12"),
    (np.full(12, 10, np.uint8), "labels must be in 0..9, got 10"),
    (np.zeros((12, 1, 1), np.uint8), "must have 1 axis, as labels have, got 3"),
])
def test_mislabelled_data_are_refused(tmp_path, labels, message):
    a_data_set(tmp_path, labels=labels)
    with pytest.raises(ValueError, match=message):
        mnist(tmp_path, split="test")


def test_an_unknown_split_is_refused(tmp_path):
    with pytest.raises(ValueError, match='mnist: split must be "train" or "test", got \'valid\''):
        mnist(tmp_path, split="valid")


def test_a_download_is_kept_only_if_its_digest_is_right(tmp_path):
    source, target = tmp_path / "source", tmp_path / "new" / "target"
    source.write_bytes(b"x" * 100_000)
    md5, sha256 = hashlib.md5(source.read_bytes()).hexdigest(), "0" * 64
    with pytest.raises(ValueError, match=f"fetch: {source.as_uri()} must have sha256 {sha256}"):
        fetch(source.as_uri(), target, sha256)
    assert list(target.parent.iterdir()) == []
    fetch(source.as_uri(), target, md5)
    assert target.read_bytes() == source.read_bytes() and len(list(target.parent.iterdir())) == 1


# ------------------------------------------------------------ synthetic sets

@given(rng=rngs, n=sizes, p=sizes)
def test_without_noise_the_linear_model_is_exact(rng, n, p):
    X, y, beta = make_linear(n, p, noise=0.0, rng=rng)
    assert X.shape == (n, p) and np.array_equal(y, X @ beta)
    assert abs(np.linalg.norm(beta) - 1) < 1e-12


def test_the_linear_models_noise_has_its_variance():
    """The sum of n squares of N(0, 1) has standard deviation sqrt(2 n); five of them are allowed."""
    n, sigma = 20_000, 0.7
    X, y, beta = make_linear(n, 3, noise=sigma, rng=np.random.default_rng(0), beta=[1.0, -2.0, 0.5])
    residual = (y - X @ beta) / sigma
    assert abs((residual ** 2).sum() - n) < 5 * np.sqrt(2 * n)
    assert np.abs(X.T @ X / n - np.eye(3)).max() < 5 * np.sqrt(2 / n)


@given(rng=rngs, n=sizes)
def test_moons_lie_on_their_circles(rng, n):
    X, y = make_moons(n, noise=0.0, rng=rng)
    centre = np.where(y[:, None] == 0, [0, 0], [1, 0.5])
    np.testing.assert_allclose(np.linalg.norm(X - centre, axis=1), 1, atol=1e-6)


@given(rng=rngs, n=sizes, k=st.integers(1, 5))
def test_spiral_arms_are_one_arm_turned(rng, n, k):
    X, y = make_spirals(n, k, noise=0.0, rng=rng)
    z = (X[:, 0] + 1j * X[:, 1]) * np.exp(-2j * np.pi * (y / k + np.hypot(*X.T)))
    np.testing.assert_allclose(z, np.hypot(*X.T), atol=1e-5)


@given(seed=st.integers(0, 2**31))
def test_the_same_seed_gives_the_same_bits(seed):
    first, second = (make_moons(9, noise=0.1, rng=np.random.default_rng(seed)) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(first, second))


# ------------------------------------------------------------ splits, batches, labels

@given(rng=rngs, n=st.integers(4, 60), test_size=st.floats(0.2, 0.8))
def test_a_split_loses_and_doubles_nothing(rng, n, test_size):
    rows = np.arange(n)
    a_train, a_test, b_train, b_test = train_test_split(rows, -rows, test_size=test_size, rng=rng)
    assert sorted([*a_train, *a_test]) == list(range(n))
    assert np.array_equal(a_train, -b_train) and np.array_equal(a_test, -b_test)
    assert len(a_test) == round(test_size * n)


@given(rng=rngs, counts=st.lists(st.integers(2, 20), min_size=2, max_size=5))
def test_a_stratified_split_keeps_every_class(rng, counts):
    y = np.repeat(np.arange(len(counts)), counts)
    _, y_test = train_test_split(y, test_size=0.5, rng=rng, stratify=y)
    assert np.bincount(y_test, minlength=len(counts)).tolist() == [round(n / 2) for n in counts]


@given(rng=rngs, n=sizes, batch_size=sizes, shuffle=st.booleans(), drop_last=st.booleans())
def test_a_pass_meets_every_row_once(rng, n, batch_size, shuffle, drop_last):
    rows = np.arange(n)
    parts = list(batches(rows, rows * 2, batch_size=batch_size, rng=rng if shuffle else None, drop_last=drop_last))
    assert all(np.array_equal(2 * a, b) for a, b in parts)
    assert all(len(a) == batch_size for a, _ in (parts if drop_last else parts[:-1]))
    seen = np.concatenate([a for a, _ in parts]) if parts else np.array([], int)
    assert len(seen) == (n // batch_size * batch_size if drop_last else n)
    assert len(np.unique(seen)) == len(seen)
    assert shuffle or np.array_equal(seen, rows[:len(seen)])


def test_shuffling_shuffles():
    (order,), = batches(np.arange(50), batch_size=50, rng=np.random.default_rng(0))
    assert not np.array_equal(order, np.arange(50))


@given(rng=rngs, shape=st.tuples(st.integers(0, 4), st.integers(0, 4)), k=st.integers(1, 5))
def test_one_hot_rows_point_to_their_label(rng, shape, k):
    y = rng.integers(0, k, shape)
    rows = one_hot(y, k)
    assert rows.dtype == np.float32 and rows.shape == (*shape, k)
    assert np.array_equal(rows @ np.arange(k), y) and (rows.sum(axis=-1) == 1).all()


rng = np.random.default_rng(0)
X, y = np.zeros((6, 2)), np.zeros(6, int)


@pytest.mark.parametrize("call, error, message", [
    (lambda: batches(X, y[:5], batch_size=2, rng=rng), ValueError, "batches: arrays must have one length >= 1 in common, got lengths [6, 5]"),
    (lambda: batches(X[:0], batch_size=2, rng=rng), ValueError, "batches: arrays must have one length >= 1 in common, got lengths [0]"),
    (lambda: batches(batch_size=2, rng=rng), ValueError, "batches: arrays must have one length >= 1"),
    (lambda: batches(X, batch_size=0, rng=rng), ValueError, "batches: batch_size must be an int >= 1, got 0"),
    (lambda: batches(X, batch_size=2, rng=0), TypeError, "batches: rng must be a numpy.random.Generator, got 0"),
    (lambda: batches(X, batch_size=2), TypeError, "'rng'"),
    (lambda: train_test_split(X, test_size=1.0, rng=rng), ValueError, "train_test_split: test_size must be > 0 and < 1, got 1.0"),
    (lambda: train_test_split(X, test_size=0.01, rng=rng), ValueError, "train_test_split: both parts must hold a row, got 0 of 6 held out"),
    (lambda: train_test_split(X, test_size=0.5, rng=None), TypeError, "train_test_split: rng must be a numpy.random.Generator, got None"),
    (lambda: train_test_split(test_size=0.5, rng=rng), ValueError, "train_test_split: arrays must have one length"),
    (lambda: train_test_split(X, test_size=0.5, rng=rng, stratify=y[:3]), ValueError, "got lengths [6, 3]"),
    (lambda: one_hot([0, 3], 3), ValueError, "one_hot: y must be in 0..2, got 3"),
    (lambda: one_hot([0, -1], 3), ValueError, "one_hot: y must be in 0..2, got -1"),
    (lambda: one_hot([0.5], 3), TypeError, "one_hot: y must be integers, got dtype float64"),
    (lambda: make_linear(0, 3, noise=0.1, rng=rng), ValueError, "make_linear: n_samples must be an int >= 1, got 0"),
    (lambda: make_linear(2, 3, noise=-1, rng=rng), ValueError, "make_linear: noise must be >= 0, got -1"),
    (lambda: make_linear(2, 3, noise=0, rng=rng, beta=[1.0]), ValueError, "make_linear: beta must have shape (3,), got (1,)"),
    (lambda: make_moons(3, noise=float("nan"), rng=rng), ValueError, "make_moons: noise must be >= 0, got nan"),
    (lambda: make_spirals(3, 0, noise=0, rng=rng), ValueError, "make_spirals: n_classes must be an int >= 1, got 0"),
    (lambda: make_spirals(3, 2, noise=0, rng=1), TypeError, "make_spirals: rng must be"),
])
def test_refusals(call, error, message):
    with pytest.raises(error, match=re.escape(message)):
        call()
