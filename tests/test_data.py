"""Laws of the data: files arrive as written or are refused by name, no row is lost or doubled."""
import gzip
import hashlib
import math
import os
import re
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from strategies import put, rngs

from tinyml import data, idx
from tinyml.data import (
    batches,
    breast_cancer,
    clothes,
    diabetes,
    digits,
    fashion_mnist,
    flip_labels,
    mnist,
    one_hot,
    train_test_split,
)
from tinyml.idx import FILES, fetch, read_idx
from tinyml.synthetic import make_linear, make_moons, make_spirals

ASSETS = Path(data.__file__).parent / "assets"
GIVEN = os.environ.get("TINYML_DATA")    # `places` hides it from the tests


def refuses(kind, *parts):
    """The error's message has these parts, in this order."""
    return pytest.raises(kind, match="(?s)" + ".*".join(map(re.escape, map(str, parts))))


# ------------------------------------------------------------ the digits of the package

def test_the_digits_are_the_whole_set():
    X, y = digits()
    assert X.shape == (1797, 64) and X.dtype == np.float32
    assert y.shape == (1797,) and y.dtype == np.int64
    assert X.min() == 0 and X.max() == 1
    ink = 16 * X.astype(np.float64)    # sixteenths are exact in float32
    assert (ink == ink.round()).all() and ink.sum() == 561_718
    assert np.bincount(y).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_a_pixel_stands_in_its_row_and_belongs_to_its_label():
    X, y = digits()
    one = X[y == 1].mean(axis=0).reshape(8, 8)    # the mean 1 is a vertical stroke in the middle
    assert one[:, 3:5].sum() > 2 * one[:, [0, 1, 6, 7]].sum()
    distance = (X**2).sum(axis=1)[:, None] - 2 * X @ X.T + (X**2).sum(axis=1)
    np.fill_diagonal(distance, np.inf)    # the nearest other image is nearly always of the class
    assert (y[distance.argmin(axis=1)] == y).mean() > 0.98


def test_the_digits_carry_their_attribution():
    text = (ASSETS / "README.txt").read_text(encoding="utf-8")
    for words in ("Alpaydin", "Kaynak", "10.24432/C50P49", "Creative Commons Attribution 4.0"):
        assert words in text
    with np.load(ASSETS / "digits.npz", allow_pickle=False) as archive:
        assert {archive[name].dtype for name in archive} == {np.dtype(np.uint8)}


# ------------------------------------------------------------ the clothes and the tables of the package

def test_the_clothes_are_balanced_images_of_known_classes():
    X, y = clothes()
    assert X.shape == (3000, 196) and X.dtype == np.float32
    assert y.shape == (3000,) and y.dtype == np.int64
    assert X.min() == 0 and X.max() == 1
    levels = 255 * X.astype(np.float64)
    assert np.abs(levels - levels.round()).max() < 1e-4    # float32: 255 * 2^-24
    assert np.bincount(y).tolist() == 10 * [300]
    assert all(np.bincount(y[:1000], minlength=10) > 60), "any first part is mixed: 100 +- 4 sd of 9.5"
    assert len(np.unique(X, axis=0)) == 3000
    # Trousers are two legs: dark in the middle of the lower half, unlike a dress.
    mean = [X[y == c].mean(axis=0).reshape(14, 14) for c in range(10)]
    legs, gap = mean[1][9:13, [4, 5, 8, 9]].mean(), mean[1][9:13, 6:8].mean()
    assert legs > 1.2 * gap and mean[3][9:13, 6:8].mean() > 1.2 * gap
    distance = (X**2).sum(axis=1)[:, None] - 2 * X @ X.T + (X**2).sum(axis=1)
    np.fill_diagonal(distance, np.inf)    # 60,000 images of 28 x 28 pixels give 0.85
    assert (y[distance.argmin(axis=1)] == y).mean() > 0.75


def in_full(folder):
    """Whether the folder holds Fashion-MNIST."""
    return folder and any(Path(folder, "fashion-mnist").glob("train-images*"))


@pytest.mark.skipif(not in_full(GIVEN), reason="TINYML_DATA does not lead to Fashion-MNIST")
def test_the_clothes_are_what_their_rule_says():
    X, y = fashion_mnist(Path(GIVEN, "fashion-mnist"))
    images = np.round(255 * X).astype(np.uint8)
    digests = np.array([hashlib.sha256(image.tobytes()).hexdigest() for image in images])
    smallest = np.concatenate([np.flatnonzero(y == c)[np.argsort(digests[y == c])[:300]] for c in range(10)])
    rows = smallest[np.argsort(digests[smallest])]
    means = np.round(images[rows].reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4)))
    assert (np.round(255 * clothes()[0]) == means.reshape(3000, 196)).all()
    assert (clothes()[1] == y[rows]).all()


def correlations(X, y):
    return np.corrcoef(X.T, y)[-1, :-1]


def test_the_diabetes_table_is_the_published_one():
    X, y = diabetes()
    assert X.shape == (442, 10) and y.shape == (442,) and X.dtype == y.dtype == np.float64
    assert X[0].tolist() == [59, 2, 32.1, 101, 157, 93.2, 38, 4, 4.8598, 87] and y[0] == 151
    assert (y.min(), y.max()) == (25, 346) and set(X[:, 1]) == {1, 2}
    assert np.abs(correlations(X, y)).argmax() == 2    # body mass index, as in the paper's path
    # Least squares of the standardised table: R^2 = 0.518 (Efron et al. 2004).
    A = np.column_stack([np.ones(442), (X - X.mean(axis=0)) / X.std(axis=0)])
    residual = y - A @ np.linalg.lstsq(A, y)[0]
    assert abs(1 - residual @ residual / ((y - y.mean())**2).sum() - 0.518) < 5e-4


def test_the_breast_cancer_table_is_the_published_one():
    X, y = breast_cancer()
    assert X.shape == (569, 30) and X.dtype == np.float64
    assert y.shape == (569,) and y.dtype == np.int64
    assert np.bincount(y).tolist() == [212, 357]    # malignant, benign
    assert X[0, :5].tolist() == [17.99, 10.38, 122.8, 1001, 0.1184]
    assert (X >= 0).all() and (X[:, 20:] >= X[:, :10]).all()    # the largest three nuclei
    assert (correlations(X, y)[[0, 2, 3]] < -0.7).all()         # malignant nuclei are large


@pytest.mark.parametrize("load", [digits, clothes, diabetes, breast_cancer])
def test_what_a_loader_returns_is_the_callers_own(load):
    X, y = load()
    assert np.isfinite(X).all() and np.isfinite(y).all() and len(X) == len(y)
    before = X.copy(), y.copy()
    X[:], y[:] = 1, 1
    assert all((a == b).all() for a, b in zip(load(), before))


def test_the_data_of_the_package_are_small_and_carry_their_attribution():
    bytes_of = {path.name: path.stat().st_size for path in ASSETS.iterdir()}
    assert bytes_of["clothes.npz"] < 400_000
    assert bytes_of["diabetes.npz"] + bytes_of["breast_cancer.npz"] < 60_000
    text = (ASSETS / "README.txt").read_text(encoding="utf-8")
    for name in bytes_of.keys() - {"README.txt"}:
        assert name in text
    for words in ("Xiao", "Rasul", "Vollgraf", "Efron", "Johnstone", "Wolberg", "10.24432/C5DW2B"):
        assert words in text
    licence = (ASSETS / "clothes.LICENSE.txt").read_text(encoding="utf-8")
    assert "MIT" in licence and "Zalando" in licence and "Permission is hereby granted" in licence


# ------------------------------------------------------------ IDX files

def encode(array, *, code=8, shape=None):
    """An IDX file; `code` and `shape` may lie."""
    shape = array.shape if shape is None else shape
    header = bytes([0, 0, code, len(shape)]) + b"".join(n.to_bytes(4, "big") for n in shape)
    return header + array.astype(np.uint8).tobytes()


def write(folder, split, images, labels, *, compress=False):
    folder.mkdir(parents=True, exist_ok=True)
    for stem, array in zip(FILES[split], (images, labels)):
        raw = encode(array)
        path = folder / (f"{stem}.gz" if compress else stem)
        put(path, gzip.compress(raw, mtime=0) if compress else raw)


def pictures(n, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (n, 28, 28), np.uint8), rng.integers(0, 10, n, np.uint8)


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch):
    """An empty cache, and nobody's own data."""
    for name in ("TINYML_DATA", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("idx") / "file"


@given(array=hnp.arrays(np.uint8, hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=4)),
       compress=st.booleans())
def test_what_was_written_is_read(scratch, array, compress):
    raw = encode(array)
    put(scratch, gzip.compress(raw) if compress else raw)
    found = read_idx(scratch)
    assert found.dtype == np.uint8 and found.shape == array.shape and (found == array).all()
    assert found.flags.writeable
    assert (read_idx(str(scratch), ndim=array.ndim) == array).all()
    with refuses(ValueError, scratch, f"must have {array.ndim + 3} axes", f"got {array.ndim}"):
        read_idx(scratch, ndim=array.ndim + 3)


@given(array=hnp.arrays(np.uint8, hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=4)),
       compress=st.booleans(), data=st.data())
def test_a_part_of_a_file_is_never_taken_for_the_file(scratch, array, compress, data):
    raw = gzip.compress(encode(array)) if compress else encode(array)
    put(scratch, raw[:data.draw(st.integers(0, len(raw) - 1))])
    with refuses(ValueError, f"read_idx: {scratch} must "):
        read_idx(scratch)


@given(array=hnp.arrays(np.uint8, (3, 2), unique=True), data=st.data())
def test_a_changed_gzip_file_is_refused_or_means_the_same(scratch, array, data):
    raw = bytearray(gzip.compress(encode(array)))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    put(scratch, raw)
    try:
        found = read_idx(scratch)    # the changed byte was the time stamp, or the like
    except ValueError as error:
        assert str(scratch) in str(error)
    else:
        assert (found == array).all()


BROKEN = {    # bytes of the file -> what the message says was found
    "empty": (b"", "magic", "got b''"),
    "not IDX": (b"<html>Not found</html>", "magic", "got b'<htm'"),
    "another type": (encode(np.zeros(8), code=13, shape=(2,)), "type code 8", "got code 13"),
    "header cut": (encode(np.zeros((2, 2)))[:9], "a header of 12 bytes", "got 9"),
    "one value short": (encode(np.zeros((2, 3)))[:-1], "18 bytes for shape (2, 3)", "got 17"),
    "one value long": (encode(np.zeros((2, 3))) + b"\0", "18 bytes for shape (2, 3)", "got 19"),
    "huge promise": (encode(np.zeros(4), shape=(2**32 - 1,) * 3),
                     "79,228,162,458,924,105,385,300,197,391 bytes", "got 20"),
    "too many axes": (encode(np.zeros(1), shape=(1,) * 255), "NumPy can hold", "(1, 1, "),
    "empty, endless": (encode(np.zeros(0), shape=(0, 2**32 - 1, 2**32 - 1)), "NumPy can hold",
                       "(0, "),
    "not whole": (gzip.compress(encode(np.zeros(9)))[:-3], "a whole gzip file", "delete it"),
    "more behind": (gzip.compress(encode(np.zeros(9))) + b"more", "a whole gzip file", "delete it"),
}


BOMBS = {    # what is compressed -> what the message says
    "more than promised": (encode(np.zeros(20_000_000, np.uint8), shape=(4,)), "12 bytes", "got 13 or more"),
    "as promised": (encode(np.zeros(20_000_000, np.uint8)), "at most", "a promise of 20,000,008", "uncompressed"),
    "far less": (encode(np.zeros(4), shape=(2**32 - 1,) * 3), "at most", "79,228,162,458,924,105,385,300,197,391"),
    "no IDX": (bytes([1]) * 20_000_000, "magic"),
}


def test_of_a_compressed_file_that_is_too_short_all_was_read(scratch):
    put(scratch, gzip.compress(encode(np.zeros(4), shape=(5,))))
    with pytest.raises(ValueError, match="must hold 13 bytes for shape \\(5,\\), got 12$"):
        read_idx(scratch)


@pytest.mark.parametrize("kind", BOMBS)
def test_a_bomb_is_refused_before_it_takes_memory(scratch, kind):
    raw, *found = BOMBS[kind]
    put(scratch, gzip.compress(raw))
    tracemalloc.start()
    try:
        with refuses(ValueError, f"read_idx: {scratch} must ", *found):
            read_idx(scratch)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_file_is_named_with_what_was_found(scratch, kind):
    raw, *found = BROKEN[kind]
    put(scratch, raw)
    with refuses(ValueError, f"read_idx: {scratch} must ", *found):
        read_idx(scratch)


def test_a_missing_file_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing"):
        read_idx(tmp_path / "nothing")


# ------------------------------------------------------------ MNIST and Fashion-MNIST

SETS = [(mnist, "mnist"), (fashion_mnist, "fashion-mnist")]


@pytest.mark.parametrize("split", FILES)
@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("load, name", SETS)
def test_pixels_become_fractions_and_labels_stay(tmp_path, load, name, split, compress):
    images, labels = pictures(7)
    write(tmp_path, split, images, labels, compress=compress)
    X, y = load(tmp_path, split=split)
    assert X.shape == (7, 784) and X.dtype == np.float32 and y.dtype == np.int64
    assert (X == images.reshape(7, 784).astype(np.float32) / np.float32(255)).all()
    assert (y == labels).all()


@pytest.mark.parametrize("load, name", SETS)
def test_the_first_place_that_has_both_files_wins(tmp_path, monkeypatch, load, name):
    shared, cache = tmp_path / "shared", tmp_path / "cache" / "tinyml" / name
    monkeypatch.setenv("TINYML_DATA", str(shared))
    for n, place in enumerate([cache, shared, shared / name], 1):    # the last place first
        write(place, "train", *pictures(n, seed=n))
        assert load()[0].shape == (n, 784) and (load()[1] == pictures(n, seed=n)[1]).all()
    (shared / name / FILES["train"][1]).unlink()    # its images are not paired with other labels
    assert len(load()[0]) == 2
    write(tmp_path / "mine", "train", *pictures(9))
    assert len(load(str(tmp_path / "mine"))[0]) == 9


@pytest.mark.parametrize("variable, folder", [
    ("XDG_CACHE_HOME", "a"), ("LOCALAPPDATA", "a"), ("HOME", "a/.cache")])
def test_the_cache_is_where_the_system_keeps_it(tmp_path, monkeypatch, variable, folder):
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv(variable, str(tmp_path / "a"))
    if variable == "HOME":
        monkeypatch.setattr(Path, "home", lambda: tmp_path / "a")
    write(tmp_path / folder / "tinyml" / "mnist", "test", *pictures(3))
    assert mnist(split="test")[0].shape == (3, 784)


@pytest.mark.parametrize("load, name", SETS)
def test_what_is_nowhere_says_where_it_was_sought(tmp_path, monkeypatch, load, name):
    monkeypatch.setenv("TINYML_DATA", str(tmp_path / "shared"))
    function = load.__name__
    looked = [tmp_path / "shared" / name, tmp_path / "shared", tmp_path / "cache" / "tinyml" / name]
    with refuses(FileNotFoundError, f"{function}: train-images-idx3-ubyte and train-labels-idx1",
                 *looked,
                 f"write {function}(folder), set TINYML_DATA, or pass download=True"):
        load()
    with refuses(FileNotFoundError, "t10k-images", tmp_path / "here", "download=True"):
        load(tmp_path / "here", split="test")
    assert not (tmp_path / "cache").exists() and not (tmp_path / "here").exists()


def test_files_that_do_not_fit_are_named(tmp_path):
    images, labels = pictures(4)
    paths = [tmp_path / stem for stem in FILES["train"]]
    cases = [
        (images, labels[:3], f"mnist: images and labels must be equally many, got 4 in {paths[0]} "
                             f"and 3 in {paths[1]}"),
        (labels, labels, f"read_idx: {paths[0]} must have 3 axes, as images have, got 1"),
        (images, images, f"read_idx: {paths[1]} must have 1 axis, as labels have, got 3"),
        (images[:, :, 1:], labels, "mnist: images must have shape (n, 28, 28), got (4, 28, 27) in "
                                   f"{paths[0]}"),
        (images, labels + 10, f"mnist: labels must be in 0..9, got {labels.max() + 10} in "
                              f"{paths[1]}"),
    ]
    for images, labels, message in cases:
        write(tmp_path, "train", images, labels)
        with refuses(ValueError, message):
            mnist(tmp_path)
    with refuses(ValueError, "mnist: split must be \"train\" or \"test\", got 'valid'"):
        mnist(tmp_path, split="valid")


def test_the_files_of_the_other_set_are_refused(mirror, tmp_path):
    write(tmp_path / "files", "train", *pictures(6), compress=True)    # as at the mirror: MNIST's
    assert len(mnist(tmp_path / "files")[0]) == 6
    with refuses(ValueError, "fashion_mnist: the files must be those of fashion-mnist, got those "
                 f"of mnist in {tmp_path / 'files'}"):
        fashion_mnist(tmp_path / "files")


# ------------------------------------------------------------ downloads, from a folder

def sha256(content):
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """MNIST in small, behind a URL, with its digests; no other URL is known."""
    folder = tmp_path / "mirror"
    for n, split in enumerate(FILES):
        write(folder, split, *pictures(6, seed=n), compress=True)
    known = {split: tuple(sha256((folder / f"{stem}.gz").read_bytes()) for stem in stems)
             for split, stems in FILES.items()}
    monkeypatch.setitem(idx.DIGESTS, "mnist", known)
    monkeypatch.setattr(idx, "MIRRORS", {"mnist": folder.as_uri() + "/"})
    return folder


def test_nothing_is_downloaded_unasked(mirror):
    with refuses(FileNotFoundError, "pass download=True"):
        mnist()


def test_a_download_lands_in_the_cache_and_is_not_repeated(mirror, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("TINYML_DATA", str(tmp_path / "shared"))
    X, y = mnist(split="test", download=True)
    assert not (tmp_path / "shared").exists()
    assert (y == pictures(6, seed=1)[1]).all()
    cache = tmp_path / "cache" / "tinyml" / "mnist"
    assert {path.name for path in cache.iterdir()} == {f"{stem}.gz" for stem in FILES["test"]}
    for path in mirror.iterdir():
        path.unlink()
    for again in (mnist(split="test"), mnist(split="test", download=True)):
        assert (again[0] == X).all() and (again[1] == y).all()
    assert capfd.readouterr() == ("", "")    # stderr is not a terminal


def test_a_download_goes_to_the_folder_that_was_given_and_completes_it(mirror, tmp_path):
    images, labels = pictures(6)
    write(tmp_path / "mine", "train", images[:, ::-1], labels)
    (tmp_path / "mine" / FILES["train"][1]).unlink()
    X, y = mnist(tmp_path / "mine", download=True)
    assert (X.reshape(-1, 28, 28)[:, ::-1] * 255).round().tolist() == images.tolist()    # kept
    assert (y == labels).all() and not (tmp_path / "cache").exists()


def test_a_download_with_another_digest_leaves_nothing(mirror, tmp_path):
    stem = FILES["train"][1]
    (mirror / f"{stem}.gz").write_bytes(b"<html>Moved</html>")
    found, expected = sha256(b"<html>Moved</html>"), idx.DIGESTS["mnist"]["train"][1]
    with refuses(ValueError, "fetch: file://",
                 f"{stem}.gz must have sha256 {expected}, got {found}"):
        mnist(download=True)
    names = [path.name for path in (tmp_path / "cache" / "tinyml" / "mnist").iterdir()]
    assert names == [f"{FILES['train'][0]}.gz"]


@pytest.mark.parametrize("algorithm", ["sha256", "md5"])
def test_the_length_of_a_digest_tells_its_kind(tmp_path, algorithm):
    content = bytes(range(256)) * 1000    # several blocks
    (tmp_path / "source").write_bytes(content)
    target = tmp_path / "new" / "folder" / "file"
    fetch((tmp_path / "source").as_uri(), target, hashlib.new(algorithm, content).hexdigest())
    assert target.read_bytes() == content
    (tmp_path / "source").write_bytes(content + b"!")
    with refuses(ValueError, "fetch: file://"):
        fetch((tmp_path / "source").as_uri(), target, hashlib.new(algorithm, content).hexdigest())
    assert target.read_bytes() == content and len(list(target.parent.iterdir())) == 1


def test_an_interrupted_download_leaves_nothing(tmp_path, monkeypatch):
    def interrupted(blocks, *_, **__):
        yield next(blocks)
        raise KeyboardInterrupt
    (tmp_path / "source").write_bytes(b"0" * 10**6)
    monkeypatch.setattr(idx, "progress", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fetch((tmp_path / "source").as_uri(), tmp_path / "new" / "file", "0" * 64)
    assert not list((tmp_path / "new").iterdir())
    with pytest.raises(OSError):
        fetch((tmp_path / "nothing").as_uri(), tmp_path / "new" / "file", "0" * 64)
    assert not list((tmp_path / "new").iterdir())


def test_a_terminal_sees_progress(tmp_path, monkeypatch, capsys):
    (tmp_path / "source").write_bytes(b"0" * 10**6)    # 15.3 blocks of 2**16 bytes
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    fetch((tmp_path / "source").as_uri(), tmp_path / "file", sha256(b"0" * 10**6))
    assert "\rfile   16/16" in capsys.readouterr().err


def test_the_known_digests_are_whole():
    assert idx.DIGESTS.keys() == idx.MIRRORS.keys()
    for name, length in (("mnist", 64), ("fashion-mnist", 32)):
        assert idx.DIGESTS[name].keys() == FILES.keys() and idx.MIRRORS[name].endswith("/")
        digests = [digest for split in idx.DIGESTS[name].values() for digest in split]
        assert len(set(digests)) == 4 and {len(digest) for digest in digests} == {length}


# ------------------------------------------------------------ splits and batches

def table(n):
    """Two arrays whose rows know which row they are."""
    return np.arange(2 * n).reshape(n, 2), np.arange(n)


def count(draws, n):
    """How often each of the numbers 0..n-1 is in each column; counts of chance 1/n."""
    return np.stack([np.bincount(column, minlength=n) for column in draws.T])


@given(n=st.integers(2, 40), test_size=st.floats(0.01, 0.99), classes=st.integers(0, 6), rng=rngs)
def test_a_split_gives_every_row_to_one_part(n, test_size, classes, rng):
    m = round(test_size * n)
    X, i = table(n)
    labels = rng.integers(0, classes, n) if classes else None
    if not 0 < m < n:
        with refuses(ValueError, "train_test_split: both parts must hold a row, got", m, "of", n):
            train_test_split(X, i, test_size=test_size, rng=rng, stratify=labels)
        return
    X_train, X_test, i_train, i_test = train_test_split(X, i, test_size=test_size, rng=rng,
                                                        stratify=labels)
    assert len(i_test) == m and sorted([*i_train, *i_test]) == list(range(n))
    assert (X_train == X[i_train]).all() and (X_test == X[i_test]).all()
    for label in range(classes):
        size, held_out = (labels == label).sum(), (labels[i_test] == label).sum()
        assert abs(held_out - size * m / n) < 1    # the nearest integers above and below
    assert not np.shares_memory(X, X_train) and not np.shares_memory(X, X_test)


@pytest.mark.parametrize("stratify", [None, np.array(list("aaabbbbccccc"))])
def test_every_row_is_held_out_equally_often_and_anywhere(stratify):
    rng, repeats, n, m = np.random.default_rng(0), 6000, 12, 4
    parts = [train_test_split(range(n), test_size=m / n, rng=rng, stratify=stratify)
             for _ in range(repeats)]
    for part, k in zip(zip(*parts), (n - m, m)):
        counts = count(np.stack(part), n)
        assert counts.shape == (k, n)
        assert np.abs(counts - repeats / n).max() < 5 * math.sqrt(repeats / n)    # five deviations


def test_pairs_of_rows_are_held_out_together_as_often_as_chance():
    rng, repeats, n, m = np.random.default_rng(0), 6000, 6, 3
    tests = np.stack([train_test_split(range(n), test_size=m / n, rng=rng)[1]
                      for _ in range(repeats)])
    held_out = np.zeros((repeats, n))
    np.put_along_axis(held_out, tests, 1, axis=1)
    together = (held_out.T @ held_out)[np.triu_indices(n, 1)]
    chance = m * (m - 1) / (n * (n - 1))
    assert np.abs(together - repeats * chance).max() < 5 * math.sqrt(repeats * chance)


@given(n=st.integers(1, 20), batch_size=st.integers(1, 25), drop_last=st.booleans(),
       rng=st.none() | rngs)
def test_a_pass_meets_every_row_once(n, batch_size, drop_last, rng):
    X, i = table(n)
    found = list(batches(X, i, batch_size=batch_size, rng=rng, drop_last=drop_last))
    full, rest = divmod(n, batch_size)
    last = [] if drop_last or rest == 0 else [rest]
    assert [len(rows) for _, rows in found] == [batch_size] * full + last
    assert all((x == X[rows]).all() for x, rows in found)
    rows = [row for _, rows in found for row in rows]
    assert len(set(rows)) == len(rows)
    if rng is None:
        assert rows == list(range(len(rows)))


def test_every_pass_has_a_new_order_and_all_are_equally_likely():
    rng, repeats, n = np.random.default_rng(0), 6000, 5
    orders = np.stack([np.concatenate([b for b, in batches(range(n), batch_size=2, rng=rng)])
                       for _ in range(repeats)])
    deviation = math.sqrt(repeats / n)
    assert np.abs(count(orders, n) - repeats / n).max() < 5 * deviation
    again = next(batches(range(n), batch_size=n, rng=np.random.default_rng(0)))
    assert (again[0] == orders[0]).all()


def test_a_batch_is_a_copy():
    X = np.zeros((4, 2))
    for rng in (None, np.random.default_rng(0)):
        for x, in batches(X, batch_size=4, rng=rng):
            x += 1
    assert (X == 0).all()


# ------------------------------------------------------------ one-hot

@given(y=hnp.arrays(np.int64, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
                    elements=st.integers(0, 4)), extra=st.integers(0, 3),
       dtype=st.sampled_from([None, np.float32, np.float64, np.int64, bool]))
def test_one_hot_has_one_one_where_the_label_says(y, extra, dtype):
    result = one_hot(y, 5 + extra) if dtype is None else one_hot(y, 5 + extra, dtype=dtype)
    assert result.shape == (*y.shape, 5 + extra) and result.dtype == (dtype or np.float32)
    assert (result.astype(int).sum(axis=-1) == 1).all() and ((result == 0) | (result == 1)).all()
    assert (result.argmax(axis=-1) == y).all()
    assert (one_hot(y.astype(np.uint8), 5 + extra) == result).all()


# ------------------------------------------------------------ wrong labels

@given(rng=rngs, n=st.integers(0, 40), n_classes=st.integers(2, 5), fraction=st.floats(0, 1))
def test_exactly_the_fraction_of_labels_is_wrong(rng, n, n_classes, fraction):
    y = rng.integers(0, n_classes, n)
    before = y.copy()
    noisy = flip_labels(y, n_classes, fraction=fraction, rng=rng)
    assert (y == before).all() and (noisy != y).sum() == round(fraction * n)
    assert noisy.shape == y.shape and ((0 <= noisy) & (noisy < n_classes)).all()


def test_every_wrong_class_and_every_row_is_equally_likely():
    """Each count of 4,000 draws is binomial: within 5 standard deviations."""
    flips = flip_labels(np.zeros(4000, int), 5, fraction=1, rng=np.random.default_rng(0))
    counts = np.bincount(flips, minlength=5)
    assert counts[0] == 0 and (np.abs(counts[1:] - 1000) < 5 * np.sqrt(750)).all()
    rng = np.random.default_rng(0)
    rows = np.sum([flip_labels(np.zeros(4, int), 2, fraction=0.5, rng=rng) for _ in range(4000)], axis=0)
    assert (np.abs(rows - 2000) < 5 * np.sqrt(1000)).all()


# ------------------------------------------------------------ errors

R, X, Y = np.random.default_rng(0), np.zeros((6, 2)), np.zeros(6, int)
LENGTHS = "arrays must have one length >= 1 in common, got lengths"
ERRORS = {    # message -> (kind of error, call)
    "make_linear: beta must be array_like of float64, shape (p,), or None with p = 3, got shape (2,)":
        (ValueError, lambda: make_linear(1, 3, sigma=0, rng=R, beta=[1, 2])),
    "make_linear: beta must be array_like of float64":
        (TypeError, lambda: make_linear(1, 1, sigma=0, rng=R, beta=["a"])),
    "make_moons: noise must be finite, got nan":
        (ValueError, lambda: make_moons(1, noise=np.nan, rng=R)),
    "make_moons: rng must be numpy.random.Generator, got None":
        (TypeError, lambda: make_moons(1, noise=0, rng=None)),
    "train_test_split: both parts must hold a row, got 0 of 6 held out":
        (ValueError, lambda: train_test_split(X, test_size=0.01, rng=R)),
    f"train_test_split: {LENGTHS} []": (ValueError, lambda: train_test_split(test_size=0.5, rng=R)),
    f"train_test_split: {LENGTHS} [6, 5]":
        (ValueError, lambda: train_test_split(X, Y[1:], test_size=0.5, rng=R)),
    "train_test_split: stratify must have shape (6,), got (5,)":
        (ValueError, lambda: train_test_split(X, test_size=0.5, rng=R, stratify=Y[1:])),
    "train_test_split: stratify must have shape (6,), got (6, 2)":
        (ValueError, lambda: train_test_split(X, test_size=0.5, rng=R, stratify=X)),
    f"batches: {LENGTHS} [6, 5]": (ValueError, lambda: batches(X, Y[1:], batch_size=2, rng=None)),
    f"batches: {LENGTHS} [0, 0]":
        (ValueError, lambda: batches(X[:0], Y[:0], batch_size=2, rng=None)),
    f"batches: {LENGTHS} [6, 0]":
        (ValueError, lambda: batches(X, np.float64(3), batch_size=2, rng=None)),
    f"batches: {LENGTHS} []": (ValueError, lambda: batches(batch_size=2, rng=None)),
    "batches: batch_size must be int >= 1, got 0":    # at the call, not at the first batch
        (ValueError, lambda: batches(X, batch_size=0, rng=None)),
    "one_hot: y must be array_like of int, any shape, in 0..n_classes-1 with n_classes = 3, got 3":
        (ValueError, lambda: one_hot([0, 3], 3)),
    "one_hot: y must be array_like of int, any shape, in 0..n_classes-1 with n_classes = 3, got -1":
        (ValueError, lambda: one_hot([0, -1], 3)),
    "flip_labels: n_classes must be int >= 2, got 1":
        (ValueError, lambda: flip_labels([0], 1, fraction=1, rng=R)),
}


@pytest.mark.parametrize("message", ERRORS)
def test_an_error_names_function_argument_requirement_and_value(message):
    kind, call = ERRORS[message]
    with refuses(kind, message):
        call()


@pytest.mark.parametrize("call", [
    lambda: make_linear(1, 1, sigma=0), lambda: make_moons(1, noise=0),
    lambda: make_spirals(1, 2, noise=0), lambda: batches(X, batch_size=2),
    lambda: train_test_split(X, test_size=0.5)])
def test_randomness_is_never_hidden(call):
    with pytest.raises(TypeError, match="required keyword-only argument: 'rng'"):
        call()
