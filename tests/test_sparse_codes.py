"""Laws of the codes of a pruned matrix: gaps and all codings come back; damage is refused."""
import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from strategies import rngs

from tinyml.compression.coding import sparse_codes
from tinyml.compression.coding.byte_stream import Reader, varint
from tinyml.compression.coding.sparse_codes import (
    CODINGS,
    absolute_indices,
    all_codings,
    decode_codes,
    relative_indices,
)

REFUSALS = ValueError, LookupError, TypeError, OverflowError


@given(st.lists(st.integers(0, 5000), unique=True), st.integers(1, 16))
@example([6, 14], 3)    # gaps of 6 and 7: the largest without a filler, and a filler alone
def test_positions_come_back_from_gaps_of_any_width(positions, bits):
    positions = sorted(positions)
    gaps = relative_indices(positions, bits)
    assert_array_equal(absolute_indices(gaps, bits), positions)
    filler = 2 ** bits - 1
    assert gaps.size == 0 or 0 <= gaps.min() <= gaps.max() <= filler
    skipped = positions[-1] + 1 - len(positions) if positions else 0    # entries between, in all
    assert gaps.sum() == skipped and (gaps == filler).sum() <= skipped / filler


@pytest.mark.parametrize("positions, bits, error", [
    ([2, 1], 3, ValueError), ([1, 1], 3, ValueError), ([-1], 3, ValueError), ([1], 0, ValueError),
    ([1], 17, ValueError), ([1], 2.0, TypeError), ([1.5], 3, TypeError)])
def test_what_gives_no_gaps_is_refused(positions, bits, error):
    with pytest.raises(error, match="^relative_indices: (positions|bits) must"):
        relative_indices(positions, bits)


@st.composite
def matrices(draw):
    rng, k = draw(rngs), draw(st.integers(1, 20))
    shape = draw(st.tuples(st.integers(0, 20), st.integers(0, 60)))
    kept = rng.random(shape) < draw(st.sampled_from([0, 0.05, 0.4, 1]))
    return kept * rng.integers(1, k + 1, shape), k


@given(matrices())
def test_a_matrix_comes_back_from_every_coding_and_the_reader_stops_behind_it(case):
    codes, k = case
    codings = all_codings(codes, k)
    assert list(codings) == list(CODINGS[:4 if 2 * np.count_nonzero(codes) <= codes.size else 1])
    for name, data in codings.items():
        reader = Reader(data + (b"" if name == "arithmetic" else b"rest"))
        assert_array_equal(decode_codes(name, reader, codes.shape, k), codes)
        assert name == "arithmetic" or reader.rest() == b"rest"


def test_arithmetic_coding_is_left_out_where_it_would_take_long(monkeypatch):
    codes = np.zeros((10, 10), np.int64)
    codes[0, :5] = 8    # 3 more decisions for each
    for limit, name in ((115, "arithmetic"), (114, "gaps along columns")):
        monkeypatch.setattr(sparse_codes, "MAX_DECISIONS", limit)
        assert list(all_codings(codes, 8))[-1] == name


@pytest.mark.parametrize("k, decisions", [(1, 100), (8, 250)])    # for each of 100 codes; 3 more where it is kept
def test_the_reader_takes_as_many_decisions_as_a_writer_and_no_more(k, decisions, monkeypatch):
    codes = k * np.tile([0, 1], (10, 5))
    data = all_codings(codes, k)["arithmetic"]
    monkeypatch.setattr(sparse_codes, "MAX_DECISIONS", decisions)
    assert_array_equal(decode_codes("arithmetic", Reader(data), codes.shape, k), codes)
    monkeypatch.setattr(sparse_codes, "MAX_DECISIONS", decisions - 1)
    with pytest.raises(ValueError):
        decode_codes("arithmetic", Reader(data), codes.shape, k)


@given(rngs, st.floats(0.01, 0.3))
@settings(max_examples=10)
def test_gaps_cost_little_more_than_the_positions_and_the_values_of_what_is_kept(rng, density):
    """A Huffman code takes at most a bit per gap more than the entropy, which is h(d) / d for
    geometric gaps, as those between independent entries are. The tables take less than 60 bytes."""
    codes = (rng.random((50, 200)) < density) * rng.integers(1, 5, (50, 200))
    n_kept, d = np.count_nonzero(codes), np.count_nonzero(codes) / codes.size
    h = -d * math.log2(d) - (1 - d) * math.log2(1 - d)
    limit = codes.size * h + n_kept * (1 + 2)
    # 5 %: the gaps drawn are not exactly geometric
    assert 8 * len(all_codings(codes, 4)["gaps along rows"]) <= 1.05 * limit + 8 * 60


@given(st.sampled_from(CODINGS), st.binary(max_size=40), st.integers(1, 9))
@example("gaps along rows", bytes([0, 2, 0, 0]), 1)            # gaps of no bits
@example("gaps along columns", bytes([1, 127]) + bytes(9), 1)    # more gaps than entries
@example("arithmetic", varint(2 ** 60), 1)                       # a lag beyond the row
def test_random_bytes_are_codes_in_range_or_refused(name, data, k):
    try:
        codes = decode_codes(name, Reader(data), (3, 7), k)
    except REFUSALS:
        return
    assert codes.shape == (3, 7) and 0 <= codes.min() <= codes.max() <= k


@pytest.mark.parametrize("name, head", [("gaps along rows", [1, 43]), ("gaps along rows", [17, 1]),
                                        ("arithmetic", [8])])
def test_a_head_that_no_writer_writes_is_refused(name, head):
    with pytest.raises(ValueError, match="^(43 gaps of 1 bits|1 gaps of 17 bits|lag 8 in 7 columns)"):
        decode_codes(name, Reader(bytes(head) + bytes(50)), (3, 7), 1)


WRITTEN = {    # the bytes of the format, which must not change
    "Huffman": "a8000000000018080e0602038101c0c040701c0c040703010030101c0c040203818080e0603818080e06020000"
               "0000001c0c0407030100",
    "gaps along rows": "0337fed7fe3aaaac005c0bc2e001555800a09cdcf9c9c73b9ce700",
    "gaps along columns": "033ecffb6ef0bec296aeb0a5abac296aeb0a5abac296aeb0a0a0d7ab56597af56acb00",
    "arithmetic": "07d9b1fba4de9556a2b5c2749af6ca18a51027501aaccfc7"}


def test_files_keep_their_format():
    i, j = np.arange(9)[:, None], np.arange(40)
    codes = np.where(i * j % 7 == 3, 1 + (i + 2 * j) % 3, 0)
    assert {name: data.hex() for name, data in all_codings(codes, 3).items()} == WRITTEN
