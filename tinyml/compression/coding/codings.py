"""Arrays as bytes: several lossless codings, and for each array the shortest of them.

Problem: no coding suits all arrays. Trained weights look like noise, a pruned matrix is
mostly zeros, shared weights take few values, biases are short, quantized weights are small
integers.

Idea: write an array in every coding that suits it, and keep the shortest. An array becomes

    numbers     all of its entries, one after the other
    codebook    its distinct entries, and a code for each place: 0 for the number 0, j for entry j
    mask        its entries that are not 0, and a code for each place: 1 where one of them stands

The numbers in it are written raw, as 16-bit floats if that loses nothing ("half"),
deflated, or, if they are consecutive integers, as the first of them. The codes are written
by `sparse_codes`.

A number counts as 0 only if all of its bits are 0, so -0.0 comes back as it was. This is a
reason to prune with np.where(mask, weight, 0): mask * weight is -0.0 in about half of the
pruned places, and each sign costs a bit.

Sources: Han, Mao and Dally 2016, Deep Compression; Deutsch 1996, DEFLATE (RFC 1951).
"""
import math

import numpy as np

from tinyml.compression.coding.byte_stream import Reader, deflate, inflate, varint
from tinyml.compression.coding.sparse_codes import CODINGS, all_codings, decode_codes

NAMES = "|b1", "|i1", "<i2", "<i4", "<i8", "|u1", "<u2", "<u4", "<u8", "<f2", "<f4", "<f8"
DTYPES = [np.dtype(name) for name in NAMES]
ARRAYS = "numbers", "codebook", "mask"
NUMBERS = "raw", "half", "deflate", "consecutive"
MAX_CODEBOOK = 4096           # entries; longer codebooks are hardly shorter than the numbers
MAX_ENTRIES_PER_BYTE = 4096   # a shorter coding is filled up, so that a reader can check sizes


def encode_array(array):
    """An array in the shortest of the codings above.

    The first byte tells the dtype and the memory order (rows or columns first: products of the
    two round differently). Then follow, each as a `varint`, the number of axes, their lengths
    and the length of the coding, and then the coding itself.

    Parameters
    ----------
    array : ndarray, any shape, of Booleans, integers or real numbers of up to 64 bits

    Returns
    -------
    bytes, at least one per 4096 entries

    >>> zeros, integers = np.zeros((300, 784)), np.arange(1, 1001)
    >>> len(encode_array(zeros)), len(encode_array(integers))
    (65, 8)
    """
    dtype = array.dtype.newbyteorder("<")
    if dtype not in DTYPES:
        raise TypeError("encode_array: array must hold real numbers of up to 64 bits, "
                        f"got {array.dtype}")
    columns_first = array.flags.f_contiguous and not array.flags.c_contiguous
    by_rows = np.ascontiguousarray(array, dtype).reshape(array.shape)
    coding = _shortest(ARRAYS, _array_codings(by_rows))
    least = math.ceil(array.size / MAX_ENTRIES_PER_BYTE)
    coding = coding.ljust(least, b"\0")
    index = DTYPES.index(dtype)
    data = bytes([2 * index + columns_first])
    for size in (array.ndim, *array.shape, len(coding)):
        data += varint(size)
    return data + coding


def decode_array(reader, at_most=math.inf):
    """The next array of a file, bit for bit, and the name of its coding.

    Damaged bytes raise ValueError, LookupError, TypeError, OverflowError or zlib.error, and so
    does an array of more than 4096 entries per byte.

    Parameters
    ----------
    reader : Reader, at the first byte of what `encode_array` wrote; it moves behind the last
    at_most : float, number of entries that the array may have

    Returns
    -------
    array : ndarray
    coding : str, such as "codebook of 8 (consecutive), arithmetic"
    """
    index, columns_first = divmod(reader.varint(), 2)
    dtype = DTYPES[index]
    n_axes = reader.varint()
    shape = tuple(reader.varint() for _ in range(n_axes))
    n_bytes = reader.varint()
    coding = reader.take(n_bytes)
    limit = min(MAX_ENTRIES_PER_BYTE * n_bytes, at_most)
    if math.prod(shape) > limit:
        raise ValueError(f"shape {shape} is too large for {n_bytes} bytes")
    entries, name = _read_array(Reader(coding), shape, dtype)
    array = entries.astype(dtype.newbyteorder("=")).reshape(shape)
    if columns_first:
        array = np.asfortranarray(array)
    return array, name


def _shortest(names, codings):
    """The shortest coding, behind a byte for its name."""
    sizes = {name: len(data) for name, data in codings.items()}
    name = min(sizes, key=sizes.get)
    index = names.index(name)
    return bytes([index]) + codings[name]


# ------------------------------------------------------------ arrays: numbers, codebook, mask

def _array_codings(array):
    """An array in every coding that suits it: a dict of name to bytes."""
    entries = array.ravel()
    codings = {"numbers": _numbers(entries)}
    codes, codebook = _codebook(array)
    kept = codes != 0
    if not kept.all():
        mask = kept.astype(np.int64)
        numbers = entries[kept.ravel()]
        codings["mask"] = _with_codes(numbers, mask, k=1)
    if array.dtype.kind in "iu" and len(codebook):
        codes, codebook = _without_gaps(codes, codebook)
    n = len(codebook)
    if 0 < n <= min(MAX_CODEBOOK, array.size):
        codings["codebook"] = _with_codes(codebook, codes, k=n)
    return codings


def _with_codes(numbers, codes, k):
    """The number of numbers, the numbers, and the codes, in 0..k, of all places."""
    data = varint(len(numbers))
    data += _numbers(numbers)
    data += _shortest(CODINGS, all_codings(codes, k))
    return data


def _codebook(array):
    """The codes, shape (rows, columns), and the distinct nonzero entries, increasing."""
    integer = f"<u{array.dtype.itemsize}"
    bits = array.ravel().view(integer)    # tells -0.0 and NaNs apart
    distinct, index = np.unique(bits, return_inverse=True)
    n_zeros = int(0 in distinct)          # if it is there, it comes first
    codebook = distinct[n_zeros:].view(array.dtype)
    order = np.argsort(codebook, kind="stable")
    n = len(codebook)
    code_of = np.zeros(n_zeros + n, np.int64)    # of each distinct entry
    code_of[n_zeros + order] = np.arange(1, n + 1)
    matrix = _matrix(array.shape)
    return code_of[index].reshape(matrix), codebook[order]


def _without_gaps(codes, codebook):
    """Codes for a codebook of all integers from the smallest to the largest, without 0."""
    low, high = int(codebook[0]), int(codebook[-1])
    if high - low >= MAX_CODEBOOK:
        return codes, codebook
    integers = [v for v in range(low, high + 1) if v != 0]
    full = np.array(integers, codebook.dtype)
    place = np.searchsorted(full, codebook)
    code_of = np.append(0, 1 + place)
    return code_of[codes], full


def _matrix(shape):
    """A shape as (rows, columns): the first axis, and all others as one; a vector is a row."""
    if len(shape) < 2:
        return 1, math.prod(shape)
    first, *others = shape
    return first, math.prod(others)


def _read_array(reader, shape, dtype):
    """The entries of an array, and the name of its coding."""
    kind, size = ARRAYS[reader.byte()], math.prod(shape)
    if kind == "numbers" or not size:    # an empty array has no codes, however long its axes are
        return _read_numbers(reader, size, dtype)
    n = reader.varint()
    if n > size + MAX_CODEBOOK:
        raise ValueError(f"{n} numbers for {size} entries")
    numbers, numbers_name = _read_numbers(reader, n, dtype)
    codes_name = CODINGS[reader.byte()]
    k = n if kind == "codebook" else 1
    codes = decode_codes(codes_name, reader, _matrix(shape), k).ravel()
    if kind == "codebook":
        zero = np.zeros(1, dtype)
        entries = np.append(zero, numbers)[codes]
        return entries, f"codebook of {n} ({numbers_name}), {codes_name}"
    kept = codes != 0
    n_kept = np.count_nonzero(kept)
    if n_kept != n:    # NumPy would repeat a single number
        raise ValueError(f"{n} numbers for {n_kept} places")
    entries = np.zeros(size, dtype)
    entries[kept] = numbers
    return entries, f"mask, {codes_name}, numbers {numbers_name}"


# ------------------------------------------------------------ numbers

def _numbers(values):
    """The shortest coding of a vector of numbers."""
    raw, n = values.tobytes(), len(values)
    octets = np.frombuffer(raw, np.uint8).reshape(n, values.dtype.itemsize)
    planes = octets.T.tobytes()    # all first bytes, all second bytes, ...
    packed = deflate(planes)
    codings = {"raw": raw, "deflate": varint(len(packed)) + packed}
    if values.dtype.kind == "f":
        with np.errstate(over="ignore", invalid="ignore"):
            half = values.astype("<f2")
            back = half.astype(values.dtype)
        if back.tobytes() == raw:
            codings["half"] = half.tobytes()
    if values.dtype.kind in "iu" and 0 < n <= MAX_CODEBOOK:
        integers = values.tolist()
        first = integers[0]
        if integers == _consecutive(first, n):
            codings["consecutive"] = varint(_zigzag(first))
    return _shortest(NUMBERS, codings)


def _read_numbers(reader, n, dtype):
    """A vector of n numbers, and the name of their coding."""
    name = NUMBERS[reader.byte()]
    n_bytes = n * dtype.itemsize
    if name == "raw":
        raw = reader.take(n_bytes)
        values = np.frombuffer(raw, dtype)
    elif name == "half" and dtype.kind == "f":
        half = reader.take(2 * n)
        values = np.frombuffer(half, "<f2").astype(dtype)
    elif name == "deflate":
        n_packed = reader.varint()
        planes = inflate(reader.take(n_packed), n_bytes)
        octets = np.frombuffer(planes, np.uint8).reshape(-1, n).T
        values = octets.copy().view(dtype).ravel()
    elif name == "consecutive" and n <= MAX_CODEBOOK:
        first = _unzigzag(reader.varint())
        values = np.array(_consecutive(first, n), dtype)
    else:
        raise ValueError(f"{n} {name} numbers of {dtype}")
    return values, name


def _consecutive(first, n):
    """The first n integers from `first` on, without 0."""
    last = first + n    # one too many, unless 0 is among them
    integers = list(range(first, last + 1))
    if 0 in integers:
        integers.remove(0)
    return integers[:n]


def _zigzag(integer):
    """0, -1, 1, -2, 2, ... as 0, 1, 2, 3, 4, ..."""
    return 2 * integer if integer >= 0 else -2 * integer - 1


def _unzigzag(n):
    """The integer that `_zigzag` made n of."""
    return -(n // 2) - 1 if n % 2 else n // 2
