"""IDX files, the format of MNIST and Fashion-MNIST: read them, find them, download them."""
import gzip
import hashlib
import math
import os
import zlib
from pathlib import Path

import numpy as np

from tinyml.files import check_ratio, writing
from tinyml.progress import progress

FILES = {"train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
         "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")}
MIRRORS = {"mnist": "https://storage.googleapis.com/cvdf-datasets/mnist/",
           "fashion-mnist": "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"}
# Digests of the .gz files, in the order of FILES: sha256; md5 as published for Fashion-MNIST.
# An md5 finds a damaged download; only sha256 also finds one that somebody forged.
DIGESTS = {
    "mnist": {
        "train": ("440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
                  "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
        "test": ("8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
                 "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6")},
    "fashion-mnist": {
        "train": ("8d4fb7e6c68d591d4c3dfef9ec88bf0d", "25c81989df183df01b3e8a0aad5dffbe"),
        "test": ("bef4ecab320f06d8554ea6380940ec79", "bb300cfdad3c16e7a12a480ee83cd310")},
}
SIDE = 28    # pixels
N_CLASSES = 10


def read_idx(path, *, ndim=None):
    """Read an IDX file of unsigned bytes, plain or compressed with gzip.

    The format, after https://yann.lecun.com/exdb/mnist:

        byte 0, 1        0, 0
        byte 2           8, the code of unsigned bytes
        byte 3           the number of axes d
        4 d bytes        the length of every axis, an unsigned 32-bit integer, highest byte first
        the rest         the values, the last axis fastest

    Gzip is recognised by the first two bytes, 1f 8b, not by the name of the file.

    Parameters
    ----------
    path : path-like
    ndim : int or None, the number of axes that the file must have: 3 for images, 1 for labels

    Returns
    -------
    ndarray of uint8, with d axes

    Raises
    ------
    FileNotFoundError : there is no such file
    ValueError : the gzip data is damaged, or what it holds is not IDX, has another type or number
        of axes, more or fewer values than its header says, or far too many for its size
    """
    with open(path, "rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
        n_bytes = file.seek(0, os.SEEK_END)
        file.seek(0)
        try:
            content = gzip.GzipFile(fileobj=file) if packed else file
            shape, raw = _content(path, content, ndim, n_bytes, packed)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise ValueError(f"read_idx: {path} must be a whole gzip file, got {error}; delete it "
                             "and fetch it again") from None
    try:
        return np.frombuffer(raw, np.uint8).reshape(shape).copy()
    except ValueError as error:    # 255 axes, or an axis of 0 beside axes of 2**32 - 1
        raise ValueError(f"read_idx: {path} must have a shape that NumPy can hold, got "
                         f"{shape}: {error}") from None


def _content(path, file, ndim, n_bytes, packed):
    """Shape, and bytes of the values; no more is inflated than the header promises."""
    raw = file.read(4)
    if len(raw) < 4 or raw[:2] != b"\0\0":
        raise ValueError(f"read_idx: {path} must begin with two zero bytes, the magic number of "
                         f"IDX, got {raw[:4]!r}")
    if raw[2] != 8:
        raise ValueError(f"read_idx: {path} must hold unsigned bytes, type code 8, got code "
                         f"{raw[2]}")
    if ndim not in (None, raw[3]):
        expected = {1: "1 axis, as labels have", 3: "3 axes, as images have"}
        raise ValueError(f"read_idx: {path} must have {expected.get(ndim, f'{ndim} axes')}, got "
                         f"{raw[3]}")
    start = 4 + 4 * raw[3]
    raw += file.read(start - 4)
    if len(raw) < start:
        raise ValueError(f"read_idx: {path} must have a header of {start} bytes, got {len(raw)}")
    shape = tuple(int.from_bytes(raw[i:i + 4], "big") for i in range(4, start, 4))
    whole = start + math.prod(shape)
    if packed:
        check_ratio(f"read_idx: {path}", whole, n_bytes)
    values = file.read(whole - start if packed else n_bytes)
    found = start + len(values) + len(file.read(1))    # at its end, gzip data is checked
    if found != whole:
        more = " or more" if packed and found > whole else ""
        raise ValueError(f"read_idx: {path} must hold {whole:,} bytes for shape {shape}, got "
                         f"{found:,}{more}")
    return shape, values


def load_split(name, split, folder, download):
    """Images and labels of a data set in MNIST's format.

    Parameters
    ----------
    name : "mnist" or "fashion-mnist"
    split : "train" or "test"
    folder, download : as in `tinyml.data.mnist`

    Returns
    -------
    images : ndarray of uint8, shape (n, 28, 28)
    labels : ndarray of uint8, shape (n,), in 0..9

    Raises
    ------
    FileNotFoundError : no folder has both files, and download is False
    ValueError : an unknown split, a broken file, images and labels that do not fit each other, or
        files of the other data set
    """
    function = name.replace("-", "_")
    if split not in FILES:
        raise ValueError(f'{function}: split must be "train" or "test", got {split!r}')
    images_path, labels_path = _find(name, split, _places(name, folder), download)
    _refuse_another_set(name, split, labels_path)
    images, labels = read_idx(images_path, ndim=3), read_idx(labels_path, ndim=1)
    if images.shape[1:] != (SIDE, SIDE):
        raise ValueError(f"{function}: images must have shape (n, {SIDE}, {SIDE}), got "
                         f"{images.shape} in {images_path}")
    if len(images) != len(labels):
        raise ValueError(f"{function}: images and labels must be equally many, got {len(images)} "
                         f"in {images_path} and {len(labels)} in {labels_path}")
    if labels.size and labels.max() >= N_CLASSES:
        raise ValueError(f"{function}: labels must be in 0..{N_CLASSES - 1}, got "
                         f"{labels.max()} in {labels_path}")
    return images, labels


def _places(name, folder):
    """The folders to look in, one after the other; the last is where a download goes."""
    if folder is not None:
        return [Path(folder)]
    given = os.environ.get("TINYML_DATA")
    cache = (os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA")
             or Path.home() / ".cache")
    shared = [Path(given) / name, Path(given)] if given else []
    return [*shared, Path(cache) / "tinyml" / name]


def _find(name, split, places, download):
    """The paths of the images and of the labels, from the first place that has both."""
    for place in places:
        if download and place == places[-1]:
            _complete(name, split, place)
        paths = [_existing(place, stem) for stem in FILES[split]]
        if all(paths):
            return paths
    function, stems = name.replace("-", "_"), " and ".join(FILES[split])
    raise FileNotFoundError(
        f"{function}: {stems}, plain or .gz, must be in one folder, got none of them together in "
        f"{', '.join(map(str, places))}; write {function}(folder), set TINYML_DATA, or pass "
        "download=True")


def _existing(place, stem):
    return next((path for path in (place / f"{stem}.gz", place / stem) if path.is_file()), None)


def _complete(name, split, place):
    """Download what is missing in a folder."""
    for stem, digest in zip(FILES[split], DIGESTS[name][split]):
        if not _existing(place, stem):
            fetch(f"{MIRRORS[name]}{stem}.gz", place / f"{stem}.gz", digest)


def _refuse_another_set(name, split, path):
    """Both sets' files have the same names; the digest of the labels' .gz tells them apart."""
    for other in DIGESTS.keys() - {name}:
        known = DIGESTS[other][split][1]
        if _digest(path, known) == known:
            raise ValueError(f"{name.replace('-', '_')}: the files must be those of {name}, got "
                             f"those of {other} in {path.parent}")


def _digest(path, like):
    """The digest of a file, of the kind that `like` is."""
    return hashlib.new(_kind(like), path.read_bytes()).hexdigest()


def _kind(digest):
    return "sha256" if len(digest) == 64 else "md5"


def fetch(url, path, digest):
    """Download a file; it gets its name when it is whole.

    Parameters
    ----------
    url : str
    path : Path; folders are made, the bytes are written beside it and renamed once they are
        checked
    digest : str, the expected sha256 (64 hexadecimal digits) or md5 (32)

    Raises
    ------
    ValueError : the downloaded bytes have another digest; nothing is kept
    OSError : the server cannot be reached
    """
    import urllib.request  # here, because it takes longer to import than the whole package

    path.parent.mkdir(parents=True, exist_ok=True)
    found = hashlib.new(_kind(digest))
    with urllib.request.urlopen(url, timeout=60) as response, writing(path) as file:
        blocks = math.ceil(int(response.headers.get("Content-Length") or 0) / 2**16) or None
        for block in progress(iter(lambda: response.read(2**16), b""), path.name, total=blocks):
            file.write(block)
            found.update(block)
        if found.hexdigest() != digest:
            raise ValueError(f"fetch: {url} must have {_kind(digest)} {digest}, got "
                             f"{found.hexdigest()}; try again")
