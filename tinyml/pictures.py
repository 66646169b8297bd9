"""Pictures from files: PGM and PNG, as arrays of grey values.

A plain PGM is a text that you can type. This one has 8 x 8 pixels from 0 (black) to 16 (white):

    P2
    8 8
    16
    0 0 5 13 9 1 0 0
    ...                    (8 rows of 8 numbers)

A PNG is a signature and chunks: length, name, content, CRC-32 of name and content. The chunks IDAT
together are one zlib stream of rows. A row begins with the number of a filter, which says what was
subtracted from each byte: 0 nothing, 1 the byte a to its left, 2 the byte b above,
3 floor((a + b) / 2), 4 Paeth's choice of a, b and c above a.

Sources: the PGM format of Netpbm, https://netpbm.sourceforge.net/doc/pgm.html; Portable Network
Graphics, third edition, W3C 2025; ITU-R BT.601 (grey from red, green and blue).
"""
import re
import struct
import zlib
from pathlib import Path

import numpy as np

from tinyml.check import check_number, check_sizes
from tinyml.files import write

LUMA = 0.299, 0.587, 0.114    # of red, green and blue, BT.601
LARGEST = 2**23               # bytes of pixels that a PNG may unpack to


def read_image(path):
    """Read a picture as grey values, from a PGM or PNG file; the first bytes tell which.

        grey = (0.299 red + 0.587 green + 0.114 blue) alpha / maximum

    So a transparent pixel becomes 0, which is black, the background.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    image : ndarray of float64, shape (H, W), in 0..maximum
    maximum : int, the value of white

    Raises
    ------
    FileNotFoundError : there is no such file
    ValueError : as in `read_pgm` and `read_png`
    """
    if Path(path).read_bytes()[:8] != SIGNATURE:
        image, maximum = read_pgm(path)
        return image.astype(np.float64), maximum
    pixels, maximum = read_png(path)
    channels = pixels.shape[2]
    grey = pixels[:, :, 0] if channels <= 2 else pixels[:, :, :3] @ LUMA
    if channels in (2, 4):
        grey = grey * pixels[:, :, -1] / maximum
    return np.minimum(grey.astype(np.float64), maximum), maximum    # rounding must not pass white


# ------------------------------------------------------------ PGM

def write_pgm(image, path, *, maximum):
    """Write a grey image as a plain PGM, a text that people can read and write.

    Parameters
    ----------
    image : array_like of int, shape (H, W), H and W >= 1, in 0..maximum
    path : path-like
    maximum : int in 1..65535, the value of white

    Raises
    ------
    TypeError : image does not hold integers
    ValueError : another shape, or a value out of range
    """
    image = np.asarray(image)
    check_sizes("write_pgm", maximum=maximum)
    check_number("write_pgm", "maximum", maximum, at_most=65535)
    if image.dtype.kind not in "iu":
        raise TypeError(f"write_pgm: image must hold integers, got dtype {image.dtype}")
    if image.ndim != 2 or not image.size:
        raise ValueError(f"write_pgm: image must have shape (H, W), H and W >= 1, got "
                         f"{image.shape}")
    if image.min() < 0 or image.max() > maximum:
        raise ValueError(f"write_pgm: image must be in 0..{maximum}, got "
                         f"{image.min()}..{image.max()}")
    rows = [" ".join(map(str, row)) for row in image.tolist()]
    lines = ["P2", f"{image.shape[1]} {image.shape[0]}", f"{maximum}", *rows, ""]
    write(path, "\n".join(lines).encode())


HEADER = re.compile(rb"(P[25])" + 3 * rb"(?:\s|#[^\n]*\n)+(\d{1,9})" + rb"\s")    # then the pixels


def read_pgm(path):
    """Read a grey image from a PGM file: plain (P2, numbers as text) or raw (P5, bytes).

    Between P2 or P5, the width, the height and the maximum is white space, and comments from # to
    the end of the line. The pixels follow, row by row from the top. In a raw file with a maximum
    of 256 or more, a pixel is two bytes, the higher one first.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    image : ndarray of int64, shape (H, W), in 0..maximum
    maximum : int in 1..65535, the value of white

    Raises
    ------
    FileNotFoundError : there is no such file
    ValueError : not a PGM file, no pixels, too few, too many, or beyond the maximum
    """
    data = Path(path).read_bytes()
    header = HEADER.match(data)
    if not header:
        raise ValueError(f"read_pgm: path must name a PGM file, which begins like \"P2 8 8 16\", "
                         f"got {path} with {data[:16]!r}")
    kind, (width, height, maximum) = header[1], map(int, header.groups()[1:])
    body = data[header.end():]
    if not (width and height and 1 <= maximum <= 65535):
        raise ValueError(f"read_pgm: width and height must be >= 1 and the maximum in 1..65535, "
                         f"got {width}, {height} and {maximum} in {path}")
    if kind == b"P2":
        words = body.split()
        odd = [word for word in words if not re.fullmatch(rb"0*[0-9]{1,5}", word)]
        if odd:
            raise ValueError(f"read_pgm: pixels must be integers in 0..{maximum}, got "
                             f"{odd[0][:20]!r} in {path}")
        pixels = np.array([int(word) for word in words], np.int64)
        found = len(words)
    else:
        depth = 1 if maximum < 256 else 2
        found = len(body) / depth
        pixels = np.frombuffer(body[:len(body) // depth * depth], f">u{depth}").astype(np.int64)
    if found != width * height:
        raise ValueError(f"read_pgm: a picture of {width} x {height} must have {width * height} "
                         f"pixels, got {found:g} in {path}")
    if pixels.max() > maximum:
        raise ValueError(f"read_pgm: pixels must be integers in 0..{maximum}, got {pixels.max()} "
                         f"in {path}")
    return pixels.reshape(height, width), maximum


# ------------------------------------------------------------ PNG

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY, RGB, PALETTE, GREY_ALPHA, RGB_ALPHA = 0, 2, 3, 4, 6
CHANNELS = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGB_ALPHA: 4}
DEPTHS = {GREY: (1, 2, 4, 8, 16), PALETTE: (1, 2, 4, 8), RGB: (8, 16), GREY_ALPHA: (8, 16),
          RGB_ALPHA: (8, 16)}


def read_png(path):
    """Read a picture from a PNG file: grey, RGB or palette, with or without transparency.

    Colours of a palette become RGB. Transparency in a chunk of its own (tRNS) becomes an alpha
    channel. Gamma and colour profiles are not applied.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    pixels : ndarray of int64, shape (H, W, C), in 0..maximum
        C = 1 is grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha.
    maximum : int, 2^b - 1 for b bits per sample

    Raises
    ------
    FileNotFoundError : there is no such file
    ValueError : not a PNG file, damaged or cut short, interlaced, of an unknown kind, or with
        pixels of more than 8 MB
    """
    chunks = _chunks(path, Path(path).read_bytes())
    width, height, depth, color, *methods = struct.unpack(">IIBBBBB", chunks["IHDR"])
    if methods[2] == 1:
        raise ValueError(f"read_png: {path} must not be interlaced, got an Adam7 picture; save it "
                         "without")
    if methods != [0, 0, 0] or depth not in DEPTHS.get(color, ()) or not width or not height:
        raise ValueError(f"read_png: {path} must have a header of the PNG standard, got width "
                         f"{width}, height {height}, depth {depth}, colour type {color}, methods "
                         f"{methods}")
    channels = CHANNELS[color]
    row_bytes = (width * channels * depth + 7) // 8
    filtered = _inflated(path, chunks["IDAT"], height, row_bytes)
    if filtered[:, 0].max() > 4:
        raise ValueError(f"read_png: {path} must have filters 0 to 4, got {filtered[:, 0].max()}")
    rows = _unfiltered(filtered, max(1, channels * depth // 8))
    samples = _samples(np.array(rows, np.uint8), depth)
    pixels = samples[:, :width * channels].reshape(height, width, channels)
    if color == PALETTE:
        return _colored(path, pixels[:, :, 0], chunks), 255
    if "tRNS" in chunks and color in (GREY, RGB):
        return _with_alpha(path, pixels, chunks["tRNS"], 2**depth - 1), 2**depth - 1
    return pixels, 2**depth - 1


def _chunks(path, data):
    """{name: content} of the chunks, or an error if one is damaged, unknown or missing."""
    if data[:8] != SIGNATURE:
        raise ValueError(f"read_png: path must name a PNG file, got {path} with {data[:8]!r}")
    chunks, pixels, at = {}, [], 8
    while "IEND" not in chunks:
        length, name = int.from_bytes(data[at:at + 4], "big"), data[at + 4:at + 8]
        content, crc = data[at + 8:at + 8 + length], data[at + 8 + length:at + 12 + length]
        if len(crc) < 4 or zlib.crc32(name + content) != int.from_bytes(crc, "big"):
            raise ValueError(f"read_png: {path} must be a whole PNG file, got it damaged or cut "
                             f"short at byte {at}")
        name, at = name.decode("latin-1"), at + 12 + length
        if name[0].isupper() and name not in ("IHDR", "PLTE", "IDAT", "IEND"):
            raise ValueError(f"read_png: {path} must have chunks of the PNG standard, got "
                             f"{name!r}")
        if name in chunks and name in ("IHDR", "PLTE", "tRNS"):
            raise ValueError(f"read_png: {path} must have one chunk {name}, got two")
        chunks[name] = content
        pixels += [content] * (name == "IDAT")
    if len(chunks.get("IHDR", b"")) != 13 or "IDAT" not in chunks or next(iter(chunks)) != "IHDR":
        raise ValueError(f"read_png: {path} must begin with a header and have pixels, got "
                         f"{', '.join(chunks)}")
    return chunks | {"IDAT": b"".join(pixels)}


def _inflated(path, packed, height, row_bytes):
    """The rows as bytes, shape (height, 1 + row_bytes); no more is unpacked than that."""
    size = height * (1 + row_bytes)
    if size > LARGEST:
        raise ValueError(f"read_png: {path} must have at most {LARGEST:,} bytes of pixels, got "
                         f"{size:,}; make it smaller")
    try:
        unpack = zlib.decompressobj()
        raw = unpack.decompress(packed, size + 1)
    except zlib.error as error:
        raise ValueError(f"read_png: {path} must hold sound zlib data, got {error}") from None
    if len(raw) != size or not unpack.eof:
        raise ValueError(f"read_png: {path} must hold {size:,} bytes of pixels, got "
                         f"{'more' if len(raw) > size else f'{len(raw):,}'}")
    return np.frombuffer(raw, np.uint8).reshape(height, 1 + row_bytes)


def _unfiltered(filtered, step):
    """The bytes of each row, its filter undone; left of a byte is the one `step` bytes before."""
    rows = []
    above = [0] * (filtered.shape[1] - 1)
    for kind, *row in filtered.tolist():
        for i in range(len(row) if kind else 0):
            a, c = (row[i - step], above[i - step]) if i >= step else (0, 0)
            row[i] = (row[i] + _predicted(kind, a, above[i], c)) % 256
        rows.append(row)
        above = row
    return rows


def _predicted(kind, a, b, c):
    """What a filter expects of a byte, from a to its left, b above and c above a."""
    if kind == 1:
        return a
    if kind == 2:
        return b
    if kind == 3:
        return (a + b) // 2
    # Paeth: which of the three is nearest to a + b - c?
    to_a, to_b, to_c = abs(b - c), abs(a - c), abs(a + b - 2 * c)
    if to_a <= to_b and to_a <= to_c:
        return a
    return b if to_b <= to_c else c


def _samples(rows, depth):
    """Bytes (H, row_bytes) as samples of `depth` bits, with those that fill the last byte."""
    if depth == 16:
        return rows.view(">u2").astype(np.int64)
    bits = np.unpackbits(rows, axis=1).reshape(len(rows), -1, depth)
    return bits @ (1 << np.arange(depth)[::-1])


def _colored(path, indices, chunks):
    """Palette indices (H, W) as RGB, or RGB with alpha, shape (H, W, 3 or 4)."""
    palette = np.frombuffer(chunks.get("PLTE", b""), np.uint8)
    n_colors, rest = divmod(len(palette), 3)
    if rest or n_colors > 256 or indices.max() >= n_colors:
        raise ValueError(f"read_png: {path} must have a palette with every colour of its pixels, "
                         f"got {len(palette)} bytes and index {indices.max()}")
    palette = palette.reshape(-1, 3).astype(np.int64)
    if "tRNS" in chunks:
        alpha = np.frombuffer(chunks["tRNS"], np.uint8)[:len(palette)]
        opaque = np.full(len(palette) - len(alpha), 255)    # colours without an entry
        palette = np.column_stack([palette, np.concatenate([alpha, opaque])])
    return palette[indices]


def _with_alpha(path, pixels, key, maximum):
    """Pixels with an alpha channel, 0 where they have the colour `key` (two bytes a channel)."""
    if len(key) != 2 * pixels.shape[2]:
        raise ValueError(f"read_png: {path} must have a tRNS chunk of {2 * pixels.shape[2]} "
                         f"bytes, got {len(key)}")
    is_key = (pixels == np.frombuffer(key, ">u2")).all(axis=2, keepdims=True)
    return np.concatenate([pixels, np.where(is_key, 0, maximum)], axis=2)
