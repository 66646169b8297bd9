"""Laws of the codings: arrays come back bit for bit, in the shortest coding; damage is refused."""
import math
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_array_equal
from strategies import rngs

from tinyml.compression.coding import sparse_codes
from tinyml.compression.coding.arithmetic import Decoder
from tinyml.compression.coding.byte_stream import Reader, deflate, varint
from tinyml.compression.coding.codings import (
    DTYPES,
    MAX_ENTRIES_PER_BYTE,
    decode_array,
    encode_array,
)
from tinyml.compression.coding.huffman import UNUSED, pack_lengths
from tinyml.compression.coding.sparse_codes import CODINGS, all_codings

NATIVE = [dtype.newbyteorder("=") for dtype in DTYPES]
REFUSALS = (ValueError, LookupError, TypeError, OverflowError, zlib.error)


def come_back(array):
    """The array, decoded from its own bytes and nothing else; and the name of its coding."""
    data = encode_array(array)
    reader = Reader(data + b"rest")
    other, name = decode_array(reader)
    assert reader.position == len(data)
    return other, name


def assert_same_bits(array, other):
    assert other.dtype == array.dtype and other.shape == array.shape and other.tobytes() == array.tobytes()


@given(st.data())
@settings(max_examples=150)
def test_every_array_comes_back_bit_for_bit(data):
    dtype = data.draw(st.sampled_from(NATIVE))
    shape = data.draw(hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5))
    entry = st.binary(min_size=dtype.itemsize, max_size=dtype.itemsize)
    few = data.draw(st.lists(entry, min_size=1, max_size=4))
    size, rng = math.prod(shape), data.draw(rngs)
    entries = data.draw(st.sampled_from([b"".join(few[i] for i in rng.integers(0, len(few), size)),
                                         rng.bytes(size * dtype.itemsize)]))
    array = np.frombuffer(entries, dtype).reshape(shape)
    other, _ = come_back(array)
    assert_same_bits(array, other)
    assert other.flags.writeable or other.size == 0


def normal(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("array, name", [
    (normal(3), "raw"), (np.zeros((7, 0, 3), np.float16), "raw"), (np.array(True), "raw"),
    (normal(30).astype(np.float16).astype(np.float32), "half"),
    (normal(1000), "deflate"),
    (np.arange(-500, 500)[np.arange(1000) != 500], "consecutive"),
    (np.random.default_rng(0).choice(normal(3), 1000), "codebook of 3 (raw), Huffman"),
    (normal(20_000).round().astype(np.int8), "codebook of 8 (consecutive), Huffman"),
    (np.where(normal(99, 60) > 2, normal(99, 60), 0), "mask, arithmetic, numbers deflate"),
    (np.where(normal(1000, 525) > 3, normal(1000, 525), 0), "mask, gaps along rows, numbers deflate")])
def test_every_coding_is_the_shortest_for_some_array(array, name):
    other, found = come_back(array)
    assert_same_bits(array, other)
    assert found == name


def test_a_codebook_and_a_row_of_integers_have_at_most_4096_entries():
    for n, names in ((4096, ("codebook of 4096 (deflate), Huffman", "consecutive")), (4097, ("deflate", "deflate"))):
        each_thrice = np.random.default_rng(0).permutation(np.tile(normal(n).astype(np.float64), 3))
        assert (come_back(each_thrice)[1], come_back(np.arange(1, n + 1))[1]) == names


@given(rngs, st.integers(1, 9), st.floats(0, 0.5), st.integers(1, 20), st.integers(1, 60))
def test_the_shortest_coding_is_taken_and_every_coding_is_read(rng, k, density, rows, columns):
    codes = (rng.random((rows, columns)) < density) * rng.integers(1, k + 1, (rows, columns))
    ways = all_codings(codes, k)
    assert ways.keys() <= set(CODINGS) and (len(ways) == 4 or 2 * np.count_nonzero(codes) > codes.size)
    frames = []
    for name in ways:    # uint8, 2 axes | codebook of k numbers, consecutive from 1 | codes
        coding = bytes([1, k, 3, 2, CODINGS.index(name)]) + ways[name]
        frames.append(bytes([2 * NATIVE.index(np.uint8), 2, rows, columns]) + varint(len(coding)) + coding)
        assert_array_equal(decode_array(Reader(frames[-1]))[0], codes)
    if {1, k} <= set(codes.ravel()):    # else there is a shorter codebook
        assert len(encode_array(codes.astype(np.uint8))) <= min(map(len, frames))


def test_memory_order_comes_back():
    array = np.arange(12.0).reshape(3, 4)
    for view in (array, array.T, array[:, ::2], array[:1], np.moveaxis(array[None], 0, 2)):
        other, _ = come_back(view)
        assert_array_equal(other, view)
        assert other.flags.f_contiguous == view.flags.f_contiguous


def test_other_byte_orders_become_that_of_this_machine():
    array = np.arange(5, dtype=">f4")
    other, _ = come_back(array)
    assert_array_equal(other, array)
    assert other.dtype == np.float32 and other.dtype.isnative


@pytest.mark.parametrize("array", [np.array(["a"]), np.array([1j]), np.array([None]), np.zeros(2, "M8[s]"),
                                   np.zeros(2, "i4,f4"), np.zeros(2, np.longdouble)])
def test_only_real_numbers_of_up_to_64_bits_are_written(array):
    if array.dtype != np.float64:    # where long doubles are doubles
        with pytest.raises(TypeError, match="^encode_array: array must hold real numbers of up to 64 bits"):
            encode_array(array)


@given(st.binary(max_size=60), st.booleans())
@example(bytes([20, 1, *varint(2**60), 3, 1, 1, 0]), False)
def test_random_bytes_are_an_array_of_bounded_size_or_refused(data, framed):
    if framed:    # past the first checks: float32, 1 axis
        data = bytes([20, 1, 16, len(data) + 1, 1]) + data
    try:
        array, _ = decode_array(Reader(data))
    except REFUSALS:
        return
    assert array.size <= MAX_ENTRIES_PER_BYTE * len(data)


def test_integers_are_never_read_as_16_bit_floats():
    """A NaN among them would become an arbitrary integer, with a warning."""
    frame = bytearray(encode_array(np.float16([[np.nan]]).astype(np.float32)))
    assert np.isnan(decode_array(Reader(bytes(frame)))[0]).all()
    frame[0] = 2 * DTYPES.index(np.dtype(np.uint8))
    with pytest.raises(ValueError, match="half numbers of uint8"):
        decode_array(Reader(bytes(frame)))


@pytest.mark.parametrize("log2_size, refused", [(16, False), (17, True), (60, True)])
def test_no_array_has_more_than_4096_entries_per_byte(log2_size, refused):
    coding = bytes([2, 0, 0, 0]) + pack_lengths([0, UNUSED])    # a mask that keeps nothing, in Huffman codewords
    coding = coding.ljust(2 ** 16 // MAX_ENTRIES_PER_BYTE, b"\0")
    reader = Reader(bytes([20, 1, *varint(2 ** log2_size), len(coding)]) + coding)
    if refused:
        with pytest.raises(ValueError, match="is too large for 16 bytes"):
            decode_array(reader)
    else:
        assert not decode_array(reader)[0].any()


@pytest.mark.parametrize("shape", [(0, 2 ** 40), (2 ** 40, 0), (0, 3, 2 ** 40), (2 ** 28, 0)])
@pytest.mark.parametrize("way", range(len(CODINGS)))
def test_an_empty_array_takes_no_memory_however_long_its_axes_are(shape, way):
    """Nor time: with a list for its columns, or a step for its rows, this test would not end."""
    assert_same_bits(come_back(np.zeros(shape, np.float32))[0], np.zeros(shape, np.float32))
    coding = bytes([2, 0, 0, way, 1]) + bytes(4)    # a mask that keeps nothing
    reader = Reader(bytes([20, len(shape)]) + b"".join(map(varint, [*shape, len(coding)])) + coding)
    assert decode_array(reader)[0].shape == shape


def test_a_single_number_is_not_broadcast_to_many_places():
    array = np.float32([0, 0, 7, 0] * 20)
    codes = all_codings((array != 0)[None].astype(int), 1)["Huffman"]
    coding = bytes([2, 1, 0]) + np.float32([7]).tobytes() + bytes([CODINGS.index("Huffman")]) + codes
    frame = bytes([2 * DTYPES.index(np.dtype(np.float32)), 1, 80, len(coding)]) + coding
    with pytest.raises(ValueError, match="1 numbers for 20 places"):
        decode_array(Reader(frame))


@pytest.mark.parametrize("way, decisions", [("codebook of 4096", 1 + 12), ("mask", 1)])
def test_the_decoder_makes_no_more_decisions_than_a_writer_may(monkeypatch, way, decisions):
    """Zeros decode to ones: every entry is kept, and every kept code has 12 more bits."""
    asked = []
    real = Decoder.code

    def code(self, bit, p):
        asked.append(real(self, bit, p))
        return asked[-1]

    monkeypatch.setattr(Decoder, "code", code)
    monkeypatch.setattr(sparse_codes, "MAX_DECISIONS", 5000)
    start = bytes([1, *varint(4096), 3, 2]) if decisions > 1 else bytes([2, 0, 0])
    coding = start + bytes([CODINGS.index("arithmetic"), 1]) + bytes(200)
    head = [2 * DTYPES.index(np.dtype(np.uint16)), 1, *varint(4096), *varint(len(coding))]
    frame = bytes(head) + coding
    with pytest.raises(REFUSALS):
        decode_array(Reader(frame))
    assert len(asked) == min(5000, 4096 * decisions)


@pytest.mark.parametrize("head", [bytes([0]), bytes([1, *varint(10_000_000)]), bytes([2, *varint(10_000_000)])],
                         ids=["numbers", "codebook", "mask"])
def test_zip_bombs_are_refused_before_they_take_memory(head):
    bomb = deflate(bytes(10_000_000))
    number = 2 * DTYPES.index(np.dtype(np.uint8))
    deflated = head + bytes([2, *varint(len(bomb))]) + bomb
    for axes in ([0], [4], [300, 300], [1 << 70], [1 << 40, 1 << 40]):
        shape = bytes([len(axes)]) + b"".join(map(varint, axes))
        frame = bytes([number]) + shape + varint(len(deflated)) + deflated
        tracemalloc.start()
        try:
            with pytest.raises(REFUSALS):
                decode_array(Reader(frame))
            assert tracemalloc.get_traced_memory()[1] < 1_000_000
        finally:
            tracemalloc.stop()


def test_a_caller_may_limit_the_number_of_entries():
    with pytest.raises(ValueError, match="too large"):
        decode_array(Reader(encode_array(np.zeros(100))), at_most=99)
    assert decode_array(Reader(encode_array(np.zeros(100))), at_most=100)[0].size == 100


def test_arithmetic_coding_of_more_codes_than_a_writer_takes_is_refused():
    coding = bytes([2, 0, 0, CODINGS.index("arithmetic"), 1]).ljust(2 ** 20 // MAX_ENTRIES_PER_BYTE, b"\0")
    with pytest.raises(ValueError, match="1048576 codes"):
        decode_array(Reader(bytes([20, 2, *varint(2 ** 10), *varint(2 ** 10), *varint(len(coding))]) + coding))


@given(rngs, st.integers(0, 60))
def test_a_flipped_bit_gives_an_array_of_bounded_size_or_is_refused(rng, at):
    array = (rng.random((9, 30)) < 0.1) * rng.choice(np.float32([0.5, -1.25, 3.1]), (9, 30))
    data = bytearray(encode_array(array))
    data[at % len(data)] ^= 1 << rng.integers(8)
    try:
        other, _ = decode_array(Reader(bytes(data)))
    except REFUSALS:
        return
    assert other.size <= MAX_ENTRIES_PER_BYTE * len(data)


i, j = np.arange(9)[:, None], np.arange(40)


@pytest.mark.parametrize("array, written", [    # deflated bytes depend on the version of zlib: decode only
    (np.float32([1.5, -0.1]), "1401020a00000000c03fcdccccbd"),
    (np.float32([[1.5, -2, 0.25, 7], [3, 5, -9, 11]]), "14020204120001003e00c0003400470042004580c88049"),
    (np.append(np.arange(-2, 0), np.arange(1, 70)).astype(np.int16), "04014703000303"),
    (np.where(i * j % 7 == 3, 1 + (i + 2 * j) % 3, 0).astype(np.int8),
     "020209281d010303020307d9b1fba4de9556a2b5c2749af6ca18a51027501aaccfc7"),
    ((i * j % 5 + (i + j) % 2).astype(np.uint8),
     "0a020928380002358dcfb90d00300cc3407dde7fe5001ec011d85c4b1055a43d90925b70646af811ad18e1e816c626137d546ea05858"
     "150bab6261f500"),
    (np.where(i * j % 11 == 3, (1 + i + j) / 3, 0).astype(np.float32),
     "140209285e021d02480b5dcdb03a14884014905e0d46a13091550cab4281084401e95560140a15b9ba4ac02bf48116889acaea90f5ca"
     "20ab8bc1aa1428927a4a21cadec1d1d1c1c1114c8159200a460300030bd9aca1bae31e3bf199d73d85b3e7ecba")])
def test_files_keep_their_format(array, written):
    other, name = decode_array(Reader(bytes.fromhex(written)))
    assert_same_bits(array, other)
    if "deflate" not in name:
        assert encode_array(array).hex() == written


@pytest.mark.parametrize("n", [4096, 4097])
def test_a_few_bytes_hold_at_most_4096_consecutive_integers(n):
    coding = bytes([0, 3, 2, 0])    # numbers, consecutive, from 1
    frame = bytes([2 * DTYPES.index(np.dtype("<i8")), 1]) + varint(n) + bytes([len(coding)]) + coding
    if n <= 4096:
        assert_array_equal(decode_array(Reader(frame))[0], np.arange(1, n + 1))
    else:
        with pytest.raises(ValueError, match="4097 consecutive numbers"):
            decode_array(Reader(frame))
