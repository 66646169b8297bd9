"""IDX files, the format of MNIST and Fashion-MNIST: read them, find them, download them."""
import gzip
import hashlib
import math
import os
import sys
import urllib.request
import zlib
from pathlib import Path

import numpy as np

from tinyml.progress import progress

FILES = {"train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
         "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")}
MIRRORS = {"mnist": "https://storage.googleapis.com/cvdf-datasets/mnist/",
           "fashion-mnist": "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"}
# Of the gzip files: sha256, or md5 for Fashion-MNIST, whose authors publish that.
DIGESTS = {
    "mnist": {
        "train-images-idx3-ubyte": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "train-labels-idx1-ubyte": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        "t10k-images-idx3-ubyte": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "t10k-labels-idx1-ubyte": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    },
    "fashion-mnist": {
        "train-images-idx3-ubyte": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "train-labels-idx1-ubyte": "25c81989df183df01b3e8a0aad5dffbe",
        "t10k-images-idx3-ubyte": "bef4ecab320f06d8554ea6380940ec79",
        "t10k-labels-idx1-ubyte": "bb300cfdad3c16e7a12a480ee83cd310",
    },
}


def read_idx(path, *, ndim):
    """Read an IDX file of bytes, plain or compressed with gzip.

    The format: two zero bytes; 8, the code of unsigned bytes; the number of axes; the length of each axis as
    a 32-bit integer, most significant byte first; then the bytes, the last axis fastest.

    Parameters
    ----------
    path : path-like
    ndim : int, the axes expected: 3 for images, 1 for labels

    Returns
    -------
    ndarray of uint8 with `ndim` axes

    Raises
    ------
    FileNotFoundError : there is no such file
    ValueError : the file is not IDX, holds another type or number of axes, is damaged, truncated or too long
    """
    raw = Path(path).read_bytes()
    if raw[:2] == b"\x1f\x8b":
        try:
            raw = gzip.decompress(raw)
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(f"read_idx: {path} must be a whole gzip file, got {error}") from None
    if len(raw) < 4 or raw[:2] != b"\0\0":
        raise ValueError(f"read_idx: {path} must begin with two zero bytes, the magic number of IDX, "
                         f"got {raw[:4]!r}")
    if raw[2] != 8:
        raise ValueError(f"read_idx: {path} must hold unsigned bytes, type code 8, got code {raw[2]}")
    if raw[3] != ndim:
        expected = {1: "1 axis, as labels have", 3: "3 axes, as images have"}.get(ndim, f"{ndim} axes")
        raise ValueError(f"read_idx: {path} must have {expected}, got {raw[3]}")
    start = 4 + 4 * ndim
    shape = tuple(int.from_bytes(raw[i:i + 4], "big") for i in range(4, start, 4))
    if len(raw) != start + math.prod(shape):
        raise ValueError(f"read_idx: {path} must hold {start + math.prod(shape):,} bytes for shape {shape}, "
                         f"got {len(raw):,}")
    return np.frombuffer(raw, np.uint8, offset=start).reshape(shape)


def load_split(name, split, folder, download):
    """Images (n, H, W) and labels (n,) of a data set, as uint8.

    Parameters
    ----------
    name : "mnist" or "fashion-mnist"
    split : "train" or "test"
    folder : path-like or None, see `tinyml.data.mnist`
    download : bool

    Raises
    ------
    FileNotFoundError : a file is in none of the folders, and download is False
    ValueError : an unknown split, a broken file, or images and labels that do not fit
    """
    if split not in FILES:
        raise ValueError(f'{name}: split must be "train" or "test", got {split!r}')
    places = _places(name, folder)
    images_path, labels_path = (_find(name, stem, places, download) for stem in FILES[split])
    images, labels = read_idx(images_path, ndim=3), read_idx(labels_path, ndim=1)
    if len(images) != len(labels):
        raise ValueError(f"{name}: images and labels must be equally many, got {len(images)} in {images_path} "
                         f"and {len(labels)} in {labels_path}")
    if labels.size and labels.max() > 9:
        raise ValueError(f"{name}: labels must be in 0..9, got {labels.max()} in {labels_path}")
    return images, labels


def _places(name, folder):
    """Where to look: in the folder of the argument; or in TINYML_DATA/name, then in the cache."""
    if folder is not None:
        return [Path(folder)]
    given = os.environ.get("TINYML_DATA")
    cache = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA") or Path.home() / ".cache"
    return ([Path(given) / name] if given else []) + [Path(cache) / "tinyml" / name]


def _find(name, stem, places, download):
    for place in places:
        for path in (place / stem, place / f"{stem}.gz"):
            if path.is_file():
                return path
    if download:
        target = places[-1] / f"{stem}.gz"
        fetch(f"{MIRRORS[name]}{stem}.gz", target, DIGESTS[name][stem])
        return target
    looked = ", ".join(map(str, places))
    raise FileNotFoundError(f"{name}: {stem} or {stem}.gz must be in one of {looked}; give the folder, set "
                            "TINYML_DATA, or pass download=True")


def fetch(url, path, digest):
    """Download a file, checked before it gets its name.

    Parameters
    ----------
    url : str
    path : Path, written beside and renamed; folders are made
    digest : str, the expected sha256 (64 hexadecimal digits) or md5 (32)

    Raises
    ------
    ValueError : the bytes that came have another digest; nothing is kept
    OSError : the server cannot be reached
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    checksum = hashlib.new("sha256" if len(digest) == 64 else "md5")
    try:
        with urllib.request.urlopen(url) as response, open(beside, "wb") as file:
            blocks = math.ceil(int(response.headers.get("Content-Length") or 0) / 2**16) or None
            for block in progress(iter(lambda: response.read(2**16), b""), path.name, total=blocks):
                checksum.update(block)
                file.write(block)
        if checksum.hexdigest() != digest:
            raise ValueError(f"fetch: {url} must have {checksum.name} {digest}, got {checksum.hexdigest()}")
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
    print(f"saved {path}", file=sys.stderr)
