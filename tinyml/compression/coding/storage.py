"""A compressed model in a file: all that it takes to compute again, bit for bit, and every byte counted.

Problem: pruned and shared weights are small only on paper while they are written as 32-bit
numbers; and what is counted on paper is often the codes alone, without tables, names, shapes
and settings.

Idea: one file, whose length is the size of the model:

    "tmz", version | skeleton: the model's classes and settings, deflated | its arrays, in that
    order | CRC-32

Every array is in the shortest of several codings (`codings`); a `SharedWeight` is two arrays,
its codebook and its codes. The check finds every single damaged byte, as CRC-32 misses no
error within 32 bits; nothing is unpickled, and nothing is made that is out of proportion to
the bytes it is read from.

Sources: MATH5836 week 10, section 10.2 (a smaller memory footprint is the aim); Han, Mao and
Dally 2016, Deep Compression, which stores codes, gaps and codebooks.
"""
import json
import math
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tinyml.compression.coding.codings import (
    Reader,
    decode_array,
    deflate,
    encode_array,
    inflate,
    varint,
)
from tinyml.files import write
from tinyml.nn import Module
from tinyml.nn.skeleton import MAKE, describe, rebuild

MAGIC, VERSION = b"tmz", 1
RATIO = 100              # bytes of the skeleton for each of its deflated ones, at most
PLENTY = 1 << 22         # entries of all arrays together; a file may hold so many,
DENSEST = 256            # and so many more for each of its bytes
WORDS = (                  # what skeletons are made of: deflate knows it beforehand; part of the format
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


class Part(NamedTuple):
    """Where bytes of a file went."""

    name: str         # path of an array in the model, or "(skeleton)", "(frame)"
    shape: tuple      # of the array, () for the others
    dtype: str        # of the array, "" for the others
    coding: str       # in words
    bytes: int        # in the file, its shape and tables included

    @property
    def bits_per_entry(self):
        """Bits in the file for each entry of the array; NaN where there is none."""
        size = math.prod(self.shape) if self.dtype else 0
        return 8 * self.bytes / size if size else math.nan


def save_compressed(model, path):
    """Write a model to a file, in as few bytes as `codings` can: `load_compressed` needs nothing else.

    Parameters
    ----------
    model : Module; a `SharedWeight` in the place of a weight is its codebook and its codes
    path : path-like; the file is written beside it and renamed

    Raises
    ------
    TypeError : model is no Module, an attribute of it cannot be described
        (`tinyml.nn.skeleton.describe`), or an array holds other things than Booleans, integers
        and real numbers of up to 64 bits
    """
    if not isinstance(model, Module):
        raise TypeError(f"save_compressed: model must be a Module, got {type(model).__name__}")
    skeleton, arrays = describe(model)
    text = json.dumps(skeleton, separators=(",", ":")).encode()
    n_entries = sum(np.size(array) for array in arrays.values())
    shortest = max(-(-len(text) // RATIO), -(-(n_entries - PLENTY) // DENSEST))
    text = deflate(text, WORDS).ljust(shortest, b"\0")    # so that a reader can refuse bombs
    records = [encode_array(np.asarray(array)) for array in arrays.values()]
    body = b"".join([MAGIC, bytes([VERSION]), varint(len(text)), text, *records])
    write(path, body + zlib.crc32(body).to_bytes(4, "little"))


def load_compressed(path, classes=()):
    """Read a file of `save_compressed` back: a model that computes what the saved one computed, bit for bit.

    Parameters
    ----------
    path : path-like
    classes : your own Module subclasses that the model has, as in `tinyml.nn.load_model`

    Returns
    -------
    Module

    Raises
    ------
    FileNotFoundError : there is no such file
    TypeError : classes holds something else
    ValueError : it is not such a file, is damaged or cut short, is of a newer version, or a
        class is unknown or ambiguous
    """
    skeleton, arrays, _ = _read("load_compressed", path)
    model = rebuild(skeleton, arrays, classes)
    if not isinstance(model, Module):
        raise ValueError(f"load_compressed: path must name the file of a Module, got {path} of a "
                         f"{type(model).__name__}")
    return model


def contents(path):
    """Where the bytes of a file of `save_compressed` went.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    list of Part : the frame (mark, version, check), the skeleton, and every array; their bytes
        add up to the file's

    Raises
    ------
    FileNotFoundError, ValueError : as in `load_compressed`
    """
    return _read("contents", path)[2]


def _read(function, path):
    """Skeleton, arrays by path, and a Part for everything in a file, or a ValueError."""
    data = Path(path).read_bytes()
    if data[:3] != MAGIC or len(data) < 8:
        raise ValueError(f"{function}: path must name a file of save_compressed, got {path}, which is none")
    if data[3] > VERSION:
        raise ValueError(f"{function}: path must name a file of version <= {VERSION}, got {path} of version "
                         f"{data[3]}; a newer tinyml can read it")
    if zlib.crc32(data[:-4]) != int.from_bytes(data[-4:], "little"):
        raise ValueError(f"{function}: path must name a whole file, got {path}, damaged or cut short")
    try:
        return _parse(Reader(data[4:-4]))
    except (ValueError, TypeError, LookupError, OverflowError, RecursionError, zlib.error) as error:
        raise ValueError(f"{function}: path must name a sound file, got {path}: {error!r}") from error


def _parse(reader):
    """What `_read` returns, from the bytes between version and check."""
    text = reader.take(reader.varint())
    skeleton, arrays = json.loads(inflate(text, RATIO * len(text), WORDS)), {}
    left = PLENTY + DENSEST * len(reader.data)    # entries
    parts = [Part("(frame)", (), "", "", 8 + reader.at - len(text)),
             Part("(skeleton)", (), "", "deflate", len(text))]
    for name in _paths(skeleton):
        begin = reader.at
        array, coding = decode_array(reader, left)
        left -= array.size
        arrays[name] = array
        parts.append(Part(name, array.shape, array.dtype.name, coding, reader.at - begin))
    if reader.ahead():
        raise ValueError(f"{len(reader.ahead())} bytes are left over")
    return skeleton, arrays, parts


def _paths(node):
    """The paths of a skeleton's arrays, in the order in which `describe` met them."""
    if isinstance(node, list):
        inside = node
    elif isinstance(node, dict):
        kind, content = next(iter(node.items()), ("dict", {}))
        if kind in MAKE:
            yield content
        inside = {"class": node.get("has"), "dict": content, "list": content, "tuple": content}.get(kind, ())
        inside = inside.values() if isinstance(inside, dict) else inside
    else:
        return
    for child in inside:
        yield from _paths(child)
