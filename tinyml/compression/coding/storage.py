"""A whole model in one file: all that its computations need, and every byte counts.

Problem: pruned and shared weights are small only on paper, as long as they are written as
32-bit numbers. And papers often count the codes only, without tables, names, shapes and
settings.

Idea: one file, whose length is the size of the model:

    "tmz", version | skeleton: classes and settings, deflated | its arrays, in order | CRC-32

Each array is in the shortest of several codings (`codings`). A `SharedWeight` is two
arrays, its codebook and its codes. The checksum finds every single damaged byte, because
CRC-32 detects all errors within 32 bits in a row. Loading uses no pickle, and allocates no
more than in proportion to the size of the file.

Sources: MATH5836 week 10, section 10.2 (the aim is a smaller memory footprint); Han, Mao
and Dally 2016, Deep Compression (codes, gaps and codebooks).
"""
import json
import math
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tinyml.compression.coding.byte_stream import Reader, deflate, inflate, varint
from tinyml.compression.coding.codings import decode_array, encode_array
from tinyml.contract import checked
from tinyml.files import write
from tinyml.nn import Module
from tinyml.nn.skeleton import MAKE, describe, rebuild

MAGIC, VERSION = b"tmz", 1
MAX_RATIO = 100           # bytes of the skeleton for each of its deflated bytes, at most
FREE_ENTRIES = 1 << 22    # of all arrays together: any file may hold that many,
ENTRIES_PER_BYTE = 256    # and that many more for each of its bytes


class Part(NamedTuple):
    """What some bytes of a file are for."""

    name: str      # path of an array in the model, or "(skeleton)", "(frame)"
    shape: tuple   # of the array; () for the others
    dtype: str     # of the array; "" for the others
    coding: str    # its name
    bytes: int     # in the file, with shape and tables

    @property
    def bits_per_entry(self):
        """Bits in the file per entry of the array; NaN if it has no entries."""
        size = math.prod(self.shape) if self.dtype else 0
        return 8 * self.bytes / size if size else math.nan


@checked
def save_compressed(
    model: "Module; with plain values as settings and arrays of Booleans, integers or "
           "real numbers of up to 64 bits",
    path: "path-like; the file is replaced as a whole",
):
    """Write a model to a file, each array in its shortest coding."""
    skeleton, arrays = describe(model)
    text = json.dumps(skeleton, separators=(",", ":")).encode()
    packed = deflate(text, DICTIONARY)
    # padded with zeros, so that a reader can refuse files that would take too much memory
    n_entries = sum(np.size(array) for array in arrays.values())
    shortest = max(math.ceil(len(text) / MAX_RATIO),
                   math.ceil((n_entries - FREE_ENTRIES) / ENTRIES_PER_BYTE))
    packed = packed.ljust(shortest, b"\0")
    coded = [encode_array(np.asarray(array)) for array in arrays.values()]
    body = b"".join([MAGIC, bytes([VERSION]), varint(len(packed)), packed, *coded])
    write(path, body + zlib.crc32(body).to_bytes(4, "little"))


@checked
def load_compressed(
    path: "path-like",
    classes: "the classes of your own that the model contains, as in "
             "`tinyml.nn.load_model`" = (),
):
    """Read a model back that computes what the saved one computed, bit for bit.

    A file that is damaged or of a newer version, or an unknown class, raises ValueError.
    """
    skeleton, arrays, _ = _read("load_compressed", path)
    model = rebuild(skeleton, arrays, classes)
    if not isinstance(model, Module):
        raise ValueError(f"load_compressed: path must name the file of a Module, got {path} "
                         f"of a {type(model).__name__}")
    return model


@checked
def contents(path: "path-like"):
    """What the bytes of a file of `save_compressed` are for.

    Returns
    -------
    list of Part : the frame (mark, version, checksum), the skeleton, and each array; their bytes
        add up to the length of the file
    """
    _, _, parts = _read("contents", path)
    return parts


def _read(function, path):
    """Skeleton, arrays by path, and the parts of a file, or ValueError."""
    data = Path(path).read_bytes()
    if data[:3] != MAGIC or len(data) < 8:
        raise ValueError(f"{function}: path must name a file of save_compressed, got {path}, "
                         "which is none")
    if data[3] > VERSION:
        raise ValueError(f"{function}: path must name a file of version <= {VERSION}, got {path} "
                         f"of version {data[3]}; a newer tinyml can read it")
    body, checksum = data[:-4], int.from_bytes(data[-4:], "little")
    if zlib.crc32(body) != checksum:
        raise ValueError(f"{function}: path must name a whole file, got {path}, damaged or cut "
                         "short")
    try:
        return _parse(Reader(body[4:]))
    except (ValueError, TypeError, LookupError, OverflowError, RecursionError,
            zlib.error) as error:
        raise ValueError(f"{function}: path must name a sound file, got {path}: "
                         f"{error!r}") from error


def _parse(reader):
    """What `_read` returns, from the bytes between version and checksum."""
    packed = reader.take(reader.varint())
    text = inflate(packed, MAX_RATIO * len(packed), DICTIONARY)
    skeleton = json.loads(text)
    frame = len(MAGIC) + 1 + reader.position - len(packed) + 4    # 4: the checksum
    parts = [Part("(frame)", (), "", "", frame),
             Part("(skeleton)", (), "", "deflate", len(packed))]
    arrays = {}
    n_left = FREE_ENTRIES + ENTRIES_PER_BYTE * len(reader.data)
    for name in _array_names(skeleton):
        start = reader.position
        array, coding = decode_array(reader, n_left)
        n_left -= array.size
        arrays[name] = array
        n_bytes = reader.position - start
        parts.append(Part(name, array.shape, array.dtype.name, coding, n_bytes))
    if reader.rest():
        raise ValueError(f"{len(reader.rest())} bytes are left over")
    return skeleton, arrays, parts


def _array_names(node):
    """The paths of a skeleton's arrays, in the order of `describe`."""
    if isinstance(node, list):
        children = node
    elif isinstance(node, dict):
        kind, content = next(iter(node.items()), ("dict", {}))
        if kind in MAKE:    # an array or a parameter
            yield content
        children = {"class": node.get("has"), "dict": content, "list": content,
                    "tuple": content}.get(kind, ())
        if isinstance(children, dict):
            children = children.values()
    else:
        return
    for child in children:
        yield from _array_names(child)


# What skeletons are likely to contain. zlib compresses them with it, so it is part of the format.
DICTIONARY = (
    b'{"class":"tinyml.nn.layers.Embedding","has":{"num_embeddings":,"embedding_dim":,"num_heads":,'
    b'"embed_dim{"class":"tinyml.nn.norms.LayerNorm","has":{"normalized_shape":,"eps":1e-05,'
    b'"elementwise_affine":true,{"class":"tinyml.nn.norms.BatchNorm1d","has":{"num_features":,"momentum":'
    b'0.1,"running_mean":{"tensor":"running_var":{"tensor":"num_batches_tracked":{"array":{"frozen":'
    b'{"same":{"list":[{"tuple":[{"dict":{{"class":"tinyml.nn.layers.Dropout","has":{"p":0.5,"rng":{"rng":'
    b'{"bit_generator":"PCG64","state":{"state":,"inc":},"has_uint32":0,"uinteger":0}}{"class":'
    b'"tinyml.nn.layers.MaxPool2d","has":{"kernel_size":2,"stride":null,"padding":0,{"class":'
    b'"tinyml.nn.layers.Flatten","has":{"training":true}},{"class":"tinyml.nn.layers.Conv2d","has":'
    b'{"in_channels":1,"out_channels":,"kernel_size":3,"stride":1,"padding":1,"weight":"bias":null,'
    b'"training":true{"class":"tinyml.compression.{"class":"tinyml.nn.module.Sequential","has":{"0":'
    b'{"class":"tinyml.nn.layers.Linear","has":{"in_features":784,"out_features":10,"weight":{"class":'
    b'"tinyml.compression.weight_sharing.SharedWeight","has":{"codebook":{"parameter":'
    b'"0.weight.codebook"},"codes":{"array":"0.weight.codes"},"training":false}},"bias":{"parameter":'
    b'"0.bias"},"training":false}},"1":{"class":"tinyml.nn.layers.ReLU","has":{"training":false}},"2":'
    b'{"class":"tinyml.nn.layers.Linear","has":{"in_features":300,"out_features":100,"weight":'
    b'{"parameter":"2.weight"},"bias":{"parameter":"2.bias"},"training":false}},"3":{"class":'
    b'"tinyml.nn.layer')
