"""The laws of picture files: what was written is read, and no damage passes for a picture."""
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from strategies import put, rngs

from tinyml.pictures import LARGEST, read_image, read_pgm, read_png, write_pgm

maxima = st.sampled_from([1, 16, 255, 65535])
KINDS = {    # colour type: channels, depths
    0: (1, (1, 2, 4, 8, 16)), 3: (1, (1, 2, 4, 8)), 2: (3, (8, 16)), 4: (2, (8, 16)),
    6: (4, (8, 16)),
}
every_kind = st.sampled_from([(color, depth) for color, (_, depths) in KINDS.items()
                              for depth in depths])


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """A file to write again and again."""
    return tmp_path_factory.mktemp("pictures") / "image"


# ------------------------------------------------------------ PGM

@given(rng=rngs, h=st.integers(1, 5), w=st.integers(1, 5), maximum=maxima)
def test_what_was_written_is_read_and_the_file_is_as_the_format_says(path, rng, h, w, maximum):
    image = rng.integers(0, maximum + 1, (h, w))
    write_pgm(image, path, maximum=maximum)
    again, top = read_pgm(path)
    assert_array_equal(again, image)
    assert again.dtype == np.int64 and top == maximum
    text = path.read_text()
    assert text.split() == ["P2", str(w), str(h), str(maximum), *map(str, image.ravel())]
    assert max(map(len, text.splitlines())) <= 70    # the limit of the format, for small images


@settings(max_examples=20)
@given(rng=rngs, h=st.integers(1, 5), w=st.integers(1, 5))
def test_comments_space_and_bytes_make_no_difference(path, rng, h, w):
    image = rng.integers(0, 17, (h, w))
    numbers = b"\t".join(str(v).encode() for v in image.ravel())
    for data in (b"P2 # drawn by hand\n%d\n\n# rows:\n%d 16\n" % (w, h) + numbers,
                 b"P2\r\n%d %d\r\n16\r\n" % (w, h) + numbers + b"\r\n",
                 b"P2\n%d %d\n00016\n" % (w, h) + numbers.replace(b"\t", b"\t000000"),
                 b"P5 %d %d 16\n" % (w, h) + image.astype(np.uint8).tobytes(),
                 b"P5 %d %d 1000\n" % (w, h) + image.astype(">u2").tobytes()):
        put(path, data)
        assert_array_equal(read_pgm(path)[0], image)


@pytest.mark.parametrize("data, error", [
    (b"", "begins like"), (b"\x89PNG\r\n", "begins like"), (b"P6 1 1 255\n\0\0\0", "begins like"),
    (b"P2 2 -1 16\n0 0", "begins like"), (b"P2 0 1 16\n", "width and height must be >= 1"),
    (b"P2 1 1 0\n0", "maximum in 1..65535"), (b"P5 1 1 65536\n00", "maximum in 1..65535"),
    (b"P2 1 1 65536\n0", "maximum in 1..65535"),
    (b"P5 1 1 256\n0", "must have 1 pixels, got 0.5"),
    (b"P2 2 1 16\n3", "must have 2 pixels, got 1"),
    (b"P2 1 1 16\n3 4", "must have 1 pixels, got 2"),
    (b"P5 2 1 16\n\1", "must have 2 pixels, got 1"),
    (b"P2 1 1 16\n17", "in 0..16, got 17"), (b"P5 1 1 16\n\x11", "in 0..16, got 17"),
    (b"P2 1 1 16\n-1", "got b'-1'"), (b"P2 1 1 16\n0.5", "got b'0.5'"),
    (b"P2 1 1 16\nink", "got b'ink'"),
    (b"P5 1 1 300\n\x01\x2d", "in 0..300, got 301"), (b"P2 1 1 16\n" + 5000 * b"1", "got b'1111"),
    (b"P2 " + 5000 * b"1" + b" 1 16\n1", "begins like"),
])
def test_what_is_no_picture_is_refused_with_a_sentence(data, error, tmp_path):
    (tmp_path / "x.pgm").write_bytes(data)
    with pytest.raises(ValueError, match=error):
        read_pgm(tmp_path / "x.pgm")


@pytest.mark.parametrize("image, maximum, kind, error", [
    ([[17]], 16, ValueError, "in 0..16, got 17"), ([[-1]], 16, ValueError, "in 0..16, got -1"),
    ([[-1, 3]], 16, ValueError, r"in 0..16, got -1\.\.3"),
    ([1, 2], 16, ValueError, "must have shape"),
    (np.zeros((0, 2), int), 16, ValueError, "must have shape"),
    ([[0.5]], 16, TypeError, "must hold integers"), ([[0]], 0, ValueError, "maximum must be"),
    ([[0]], 65536, ValueError, "maximum must be"),
])
def test_what_cannot_be_written_is_refused(image, maximum, kind, error, tmp_path):
    with pytest.raises(kind, match=error):
        write_pgm(image, tmp_path / "x.pgm", maximum=maximum)
    assert not (tmp_path / "x.pgm").exists()


# ------------------------------------------------------------ PNG, from a writer of its own

def chunk(name, content):
    named = name + content
    return struct.pack(">I", len(content)) + named + struct.pack(">I", zlib.crc32(named))


def header(width, height, depth, color, *methods):
    methods = methods or (0, 0, 0)
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, *methods))


def png(*chunks):
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks) + chunk(b"IEND", b"")


def packed_rows(samples, depth):
    """Samples (H, W C) as rows of bytes, the last one filled with zeros."""
    if depth == 16:
        return samples.astype(">u2").view(np.uint8)
    bits = (samples[:, :, None] >> np.arange(depth)[::-1]) & 1
    return np.packbits(bits.reshape(len(samples), -1).astype(np.uint8), axis=1)


def filtered(rows, filters, step):
    """The standard's section 9: every byte less what its filter predicts, from the true pixels."""
    lines = []
    for y, kind in enumerate(filters):
        line = [kind]
        for x, value in enumerate(rows[y].tolist()):
            left = int(rows[y, x - step]) if x >= step else 0
            above = int(rows[y - 1, x]) if y else 0
            corner = int(rows[y - 1, x - step]) if y and x >= step else 0
            p = left + above - corner
            nearest = min((left, above, corner), key=lambda v: abs(v - p))    # the first of ties
            line.append((value - (0, left, above, (left + above) // 2, nearest)[kind]) % 256)
        lines.append(bytes(line))
    return b"".join(lines)


def encoded(samples, depth, color, filters, *extra, cuts=1):
    """A PNG of samples (H, W, C), its pixels in `cuts` chunks."""
    height, width, channels = samples.shape
    rows = packed_rows(samples.reshape(height, -1), depth)
    data = zlib.compress(filtered(rows, filters, max(1, channels * depth // 8)))
    size = -(-len(data) // cuts)
    parts = [chunk(b"IDAT", data[i:i + size]) for i in range(0, len(data), size)]
    return png(header(width, height, depth, color), chunk(b"tEXt", b"Title\0x"), *extra, *parts)


@given(rng=rngs, kind=every_kind, h=st.integers(1, 5), w=st.integers(1, 9), cuts=st.integers(1, 3))
def test_a_png_of_any_kind_and_filters_comes_back(path, rng, kind, h, w, cuts):
    color, depth = kind
    samples = rng.integers(0, 2**depth, (h, w, KINDS[color][0]))
    palette = rng.integers(0, 256, (2**depth, 3)).astype(np.uint8)
    extra = [chunk(b"PLTE", palette.tobytes())] * (color == 3)
    filters = rng.integers(0, 5, h).tolist()
    put(path, encoded(samples, depth, color, filters, *extra, cuts=cuts))
    pixels, maximum = read_png(path)
    assert_array_equal(pixels, palette[samples[:, :, 0]] if color == 3 else samples)
    assert pixels.dtype == np.int64 and maximum == (255 if color == 3 else 2**depth - 1)


@given(rng=rngs, depth=st.sampled_from([8, 16]), h=st.integers(1, 4), w=st.integers(1, 4))
def test_a_key_colour_and_alpha_entries_become_a_channel(path, rng, depth, h, w):
    top = 2**depth - 1
    grey = rng.integers(0, 3, (h, w, 1))
    put(path, encoded(grey, depth, 0, h * [0], chunk(b"tRNS", struct.pack(">H", 1))))
    alpha = np.where(grey == 1, 0, top)
    assert_array_equal(read_png(path)[0], np.concatenate([grey, alpha], axis=2))
    palette = np.array([[9, 8, 7], [6, 5, 4], [3, 2, 1]], np.uint8)
    for entries in ([100, 200], [100, 200, 255, 7]):    # for two of the three colours, for one that is not there
        extra = chunk(b"PLTE", palette.tobytes()), chunk(b"tRNS", bytes(entries))
        put(path, encoded(grey, 8, 3, h * [0], *extra))
        alpha = np.array([100, 200, 255])[grey]
        assert_array_equal(read_png(path)[0], np.concatenate([palette[grey[:, :, 0]], alpha], axis=2))


@given(rng=rngs, color=st.sampled_from([0, 2, 4, 6]), depth=st.sampled_from([8, 16]))
def test_grey_is_the_luma_over_black(path, rng, color, depth):
    top, channels = 2**depth - 1, KINDS[color][0]
    samples = rng.integers(0, top + 1, (3, 4, channels))
    samples[0, 0] = top
    put(path, encoded(samples, depth, color, [0, 0, 0]))
    image, maximum = read_image(path)
    alpha = samples[:, :, -1] / top if channels in (2, 4) else 1
    r, g, b = (samples[:, :, i if channels > 2 else 0] for i in range(3))
    assert_allclose(image, (0.299 * r + 0.587 * g + 0.114 * b) * alpha, rtol=1e-12, atol=1e-9)
    assert maximum == top and image.max() <= top and image[0, 0] == pytest.approx(top, rel=1e-15)


@given(rng=rngs, h=st.integers(1, 4), w=st.integers(1, 4), maximum=maxima)
def test_both_formats_are_told_by_their_first_bytes(path, rng, h, w, maximum):
    image = rng.integers(0, maximum + 1, (h, w))
    write_pgm(image, path, maximum=maximum)
    again, top = read_image(path)
    assert_array_equal(again, image)
    assert again.dtype == np.float64 and top == maximum


# ------------------------------------------------------------ damage

@pytest.mark.parametrize("kind", [(0, 8), (3, 4), (6, 16)])
def test_every_flipped_bit_is_refused_or_harmless(path, kind):
    color, depth = kind
    rng = np.random.default_rng(0)
    samples = rng.integers(0, 2**depth, (5, 4, KINDS[color][0]))
    extra = [chunk(b"PLTE", bytes(range(48)))] * (color == 3)
    data = encoded(samples, depth, color, [0, 1, 2, 3, 4], *extra, cuts=2)
    put(path, data)
    whole = read_png(path)[0]
    for i in range(len(data)):
        for bit in (1, 32, 128):
            put(path, data[:i] + bytes([data[i] ^ bit]) + data[i + 1:])
            try:
                pixels = read_png(path)[0]
            except ValueError as error:
                assert str(error).startswith("read_png: ") and str(path) in str(error)
                continue
            assert_array_equal(pixels, whole)
    for length in range(len(data)):
        put(path, data[:length])
        with pytest.raises(ValueError, match="^read_png: "):
            read_png(path)


@settings(max_examples=100)
@given(rng=rngs, kind=every_kind, w=st.integers(1, 6), h=st.integers(1, 4),
       content=st.binary(max_size=40))
def test_a_whole_file_of_any_content_is_read_or_refused(path, rng, kind, w, h, content):
    """The checksums are right, so it is the content itself that must be checked."""
    color, depth = kind
    extra = [chunk(b"PLTE", content), chunk(b"tRNS", content[:5])]
    pixels = chunk(b"IDAT", zlib.compress(content))
    put(path, png(header(w, h, depth, color), *extra, pixels))
    try:
        pixels, maximum = read_png(path)
    except ValueError as error:
        assert str(error).startswith("read_png: ") and str(path) in str(error)
        return
    assert pixels.shape[:2] == (h, w) and 0 <= pixels.min() and pixels.max() <= maximum


def test_no_more_is_unpacked_than_the_header_announces(path):
    bomb = zlib.compress(bytes(10**7))    # a thousand times its own size
    put(path, png(header(10, 10, 8, 0), chunk(b"IDAT", bomb)))
    tracemalloc.start()
    with pytest.raises(ValueError, match="110 bytes of pixels, got more"):
        read_png(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10**6


BLACK = zlib.compress(bytes(2))


@pytest.mark.parametrize("data, error", [
    (png(header(1, 1, 8, 0, 0, 0, 1), chunk(b"IDAT", BLACK)), "must not be interlaced, got an Adam7"),
    (png(header(1, 1, 8, 0, 0, 0, 2), chunk(b"IDAT", BLACK)), "header of the PNG standard"),
    (png(header(1, 1, 8, 0, 1, 0, 0), chunk(b"IDAT", BLACK)), "header of the PNG standard"),
    (png(header(1, 1, 3, 0), chunk(b"IDAT", BLACK)), "depth 3"),
    (png(header(1, 1, 4, 2)), "have pixels"),
    (png(header(1, 1, 4, 2), chunk(b"IDAT", BLACK)), "depth 4"),
    (png(header(1, 1, 8, 5), chunk(b"IDAT", BLACK)), "colour type 5"),
    (png(header(0, 1, 8, 0), chunk(b"IDAT", BLACK)), "width 0"),
    (png(chunk(b"IDAT", BLACK)), "begin with a header"),
    (png(chunk(b"IDAT", BLACK), header(1, 1, 8, 0)), "begin with a header"),
    (png(header(1, 1, 8, 0), header(1, 1, 8, 0), chunk(b"IDAT", BLACK)), "one chunk IHDR"),
    (png(header(1, 1, 8, 0), chunk(b"ABCD", b""), chunk(b"IDAT", BLACK)), "chunks of the PNG standard, got 'ABCD'"),
    (png(header(1, 1, 8, 0), chunk(b"IDAT", zlib.compress(b"\5\0"))), "filters 0 to 4, got 5"),
    (png(header(1, 2, 8, 0), chunk(b"IDAT", zlib.compress(b"\0\0\5\0"))), "filters 0 to 4, got 5"),
    (png(header(1, 1, 8, 0), chunk(b"IDAT", zlib.compress(b"\0"))), "2 bytes of pixels, got 1"),
    (png(header(1, 1, 8, 0), chunk(b"IDAT", zlib.compress(bytes(10**6)))), "2 bytes of pixels, got more"),
    (png(header(1, 1, 8, 0), chunk(b"IDAT", b"no zlib")), "sound zlib data"),
    (png(header(1, 1, 8, 0), chunk(b"IDAT", BLACK[:-1])), "2 bytes of pixels, got 2"),
    (png(header(2**31 - 1, 2**31 - 1, 16, 6), chunk(b"IDAT", BLACK)), "must have at most"),
    (png(header(LARGEST, 1, 8, 0), chunk(b"IDAT", BLACK)), "must have at most"),
    (png(header(1, 1, 8, 3), chunk(b"IDAT", BLACK)), "palette"),
    (png(header(1, 1, 8, 3), chunk(b"PLTE", bytes(4)), chunk(b"IDAT", BLACK)), "palette"),
    (png(header(1, 1, 8, 3), chunk(b"PLTE", bytes(3)), chunk(b"IDAT", zlib.compress(b"\0\1"))), "index 1"),
    (png(header(1, 1, 8, 0), chunk(b"tRNS", bytes(3)), chunk(b"IDAT", BLACK)), "tRNS chunk of 2 bytes, got 3"),
    (b"\xff\xd8\xff\xe0", "must name a PNG file"),
])
def test_a_png_that_is_none_is_refused_with_a_sentence(data, error, path):
    put(path, data)
    with pytest.raises(ValueError, match=f"^read_png: .*{error}"):
        read_png(path)
