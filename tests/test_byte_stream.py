"""Laws of byte streams: what is written is read, and nothing is read past the end or the limit."""
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyml.compression.coding.byte_stream import Reader, deflate, inflate, varint


@given(st.lists(st.binary(max_size=9), max_size=5), st.integers(0, 9))
def test_parts_are_read_in_order_and_never_past_the_end(parts, extra):
    reader = Reader(b"".join(parts))
    for part in parts:
        left = reader.rest()
        assert reader.take(len(part)) == part and left == part + reader.rest()
    assert reader.rest() == b"" and reader.take(0) == b""
    with pytest.raises(ValueError, match=f"^{extra + 1} bytes were expected, 0 are left"):
        reader.take(extra + 1)


@given(st.integers(0, 2**70))
def test_integers_come_back_and_take_a_byte_for_each_seven_bits(n):
    reader = Reader(varint(n) + b"rest")
    assert reader.varint() == n and reader.rest() == b"rest"
    assert len(varint(n)) == max(1, -(-n.bit_length() // 7))


def test_an_integer_ends_after_eleven_bytes():
    reader = Reader(b"\xff" * 20)
    assert reader.varint() == 2 ** 77 - 1 and reader.position == 11
    with pytest.raises(ValueError, match="bytes were expected"):
        Reader(b"\xff" * 5).varint()


@given(st.binary(max_size=100))
def test_inflate_undoes_deflate_within_its_limit(data):
    assert inflate(deflate(data), len(data)) == data
    assert inflate(deflate(data, data[:50]), 1000, data[:50]) == data
    for at_most in range(len(data)):
        with pytest.raises(ValueError, match=f"must hold at most {at_most} bytes and be whole"):
            inflate(deflate(data), at_most)
    for length in range(len(deflate(data))):
        with pytest.raises(ValueError, match="and be whole"):
            inflate(deflate(data)[:length], len(data))


def test_a_dictionary_makes_what_it_contains_cheap():
    text = bytes(range(256))
    assert len(deflate(text, text)) < 10 < len(deflate(text))
