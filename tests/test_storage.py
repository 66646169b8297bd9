"""Laws of compressed files: the same bits come back, every byte is counted, all damage is found."""
import json
import os
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import put, rngs
from test_nn import LAYERS, Coded, make, ready
from test_saving import Own

from tinyml import Tensor, nn
from tinyml.compression.coding import storage
from tinyml.compression.coding.byte_stream import deflate, varint
from tinyml.compression.coding.codings import encode_array
from tinyml.compression.coding.storage import (
    DICTIONARY,
    MAGIC,
    VERSION,
    contents,
    load_compressed,
    save_compressed,
)
from tinyml.compression.weight_sharing import share_biases, share_weights


def network(rng, sizes=(20, 16, 4)):
    layers = [nn.Linear(a, b, rng=rng) for a, b in zip(sizes, sizes[1:])]
    return nn.Sequential(*[layer for pair in zip(layers, [nn.ReLU() for _ in layers]) for layer in pair])


def pruned(rng, density, **sizes):
    model = network(rng, **sizes)
    for layer in list(model)[::2]:
        weight = layer.weight.data
        layer.weight.data = np.where(rng.random(weight.shape) < density, weight, 0)
    return model


def same(model, other):
    ours, theirs = model.state_dict(), other.state_dict()
    return ours.keys() == theirs.keys() and all(
        ours[key].dtype == theirs[key].dtype and ours[key].shape == theirs[key].shape
        and ours[key].tobytes() == theirs[key].tobytes() for key in ours)


def sealed(body):
    """A file with a valid checksum, whatever is in it."""
    head = MAGIC + bytes([VERSION]) + body
    return head + zlib.crc32(head).to_bytes(4, "little")


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    path = tmp_path_factory.mktemp("small") / "model"
    save_compressed(share_weights(pruned(np.random.default_rng(0), 0.2), bits=2), path)
    return path, path.read_bytes()


@pytest.mark.parametrize("name", LAYERS)
def test_every_layer_comes_back_bit_for_bit(name, tmp_path):
    model, x = make(name), ready(LAYERS[name][1](np.random.default_rng(0), 3), np.float32)
    model(x)    # moves the running statistics
    save_compressed(model, tmp_path / "model")
    other = load_compressed(tmp_path / "model")
    assert repr(other) == repr(model) and same(model, other)
    assert model.eval()(x).data.tobytes() == other.eval()(x).data.tobytes()


@given(rng=rngs, density=st.sampled_from([0, 0.1, 1]), bits=st.sampled_from([None, 1, 4]))
@settings(max_examples=20)
def test_pruned_and_shared_models_come_back_and_every_byte_is_counted(small, rng, density, bits):
    path = small[0].with_name("another")
    model = pruned(rng, density)
    if bits:
        share_biases(share_weights(model, bits=bits), bits=bits)
    save_compressed(model, path)
    other, parts = load_compressed(path), contents(path)
    assert same(model, other)
    assert sum(part.bytes for part in parts) == path.stat().st_size
    assert [part.name for part in parts[:2]] == ["(frame)", "(skeleton)"]
    assert {part.name: part.shape for part in parts[2:]} == {
        name: array.shape for name, array in model.state_dict().items()}
    x = Tensor(rng.standard_normal((5, 20)).astype(np.float32))
    assert model(x).data.tobytes() == other(x).data.tobytes()
    save_compressed(other, path)    # and again
    assert sum(part.bytes for part in contents(path)) == sum(part.bytes for part in parts)


@pytest.mark.parametrize("model", [Own(), Coded()], ids=["Own", "Coded"])
def test_attributes_and_buffers_of_any_kind_come_back(model, tmp_path):
    model.odd = np.array([-0.0, np.nan, 5e-324]), np.array(True), np.zeros((0, 3), np.int8), {"array": "x"}
    payloads = np.array([0x7fc00001, 0xff800001, 0x80000000], np.uint32)
    model.bits = payloads.view(np.float32)
    save_compressed(model, tmp_path / "model")
    other = load_compressed(tmp_path / "model", classes=[Own, Coded])
    assert same(model, other) and other.odd[3] == {"array": "x"}
    other.codes[:] = 1    # arrays are writable
    with pytest.raises(ValueError, match=rf"^rebuild: classes must hold .*\[{type(model).__name__}\]"):
        load_compressed(tmp_path / "model")


def test_bits_per_entry_fall_with_pruning_and_with_sharing(tmp_path):
    rng, sizes = np.random.default_rng(0), (64, 100, 10)
    dense, sparse = network(rng, sizes), pruned(rng, 0.1, sizes=sizes)
    shared = share_biases(share_weights(pruned(rng, 0.1, sizes=sizes), bits=3), bits=3)
    sizes = []
    for model in (dense, sparse, shared):
        save_compressed(model, tmp_path / "model")
        sizes.append((tmp_path / "model").stat().st_size)
    n, kept = 64 * 100 + 100 * 10, 0.1 * (64 * 100 + 100 * 10)
    H = -(0.1 * np.log2(0.1) + 0.9 * np.log2(0.9))
    frame = 8 * 400    # skeleton, shapes and codebooks
    assert 8 * sizes[0] < 32 * (n + 110) + frame
    assert 8 * sizes[1] < (n * H + 32 * kept) * 1.05 + 32 * 110 + frame    # 5 %: the draw, and learning
    assert 8 * sizes[2] < (n * H + 3 * kept) * 1.05 + 3 * 110 + frame
    parts = contents(tmp_path / "model")
    codes = next(part for part in parts if part.name == "0.weight.codes")
    assert codes.bits_per_entry == 8 * codes.bytes / 6400 and np.isnan(parts[0].bits_per_entry)


def refused(path, data, message="path must name"):
    path = path.with_name("other")
    put(path, data)
    for read in (load_compressed, contents):
        with pytest.raises(ValueError, match=f"^{read.__name__}: {message}"):
            read(path)


def test_every_damaged_byte_is_found(small):
    path, data = small
    for i in range(len(data)):
        for flip in (1, 128, 255):
            refused(path, data[:i] + bytes([data[i] ^ flip]) + data[i + 1:])


def test_every_truncation_and_every_addition_is_found(small):
    path, data = small
    for i in range(len(data)):
        refused(path, data[:i])
    refused(path, data + b"\0")


def test_other_files_and_newer_versions_are_refused_by_name(small):
    path, data = small
    refused(path, b"PK\3\4" + bytes(100), "path must name a file of save_compressed, got .*, which is none")
    refused(path, data[:3] + bytes([VERSION + 1]) + data[4:], "path must name a file of version <= 1")
    refused(path, data[:-1], "path must name a whole file, got .*, damaged or cut short")
    with pytest.raises(FileNotFoundError):
        load_compressed(path.with_name("absent"))


@pytest.mark.parametrize("value", [None, 3, [1, 2]])
def test_only_a_module_is_written_and_read(small, value):
    path = small[0].with_name("no module")
    with pytest.raises(TypeError, match=r"^save_compressed: model must be Module, got "):
        save_compressed(value, path)
    text = deflate(json.dumps({"list": value} if isinstance(value, list) else value).encode(), DICTIONARY)
    put(path, sealed(varint(len(text)) + text))
    with pytest.raises(ValueError, match="^load_compressed: path must name the file of a Module, got"):
        load_compressed(path)


@given(data=st.data())
def test_damage_with_a_valid_checksum_gives_a_model_of_bounded_size_or_an_error(small, data):
    path, good = small
    body = bytearray(good[4:-4])
    for _ in range(data.draw(st.integers(1, 3))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    path = path.with_name("noise")
    put(path, sealed(bytes(body)))
    try:
        arrays = load_compressed(path).state_dict()
    except ValueError:
        return
    assert sum(array.size for array in arrays.values()) <= 4096 * len(good)


@pytest.mark.parametrize("skeleton, arrays", [
    ({"parameter": "w"}, bytes([20, 2, *varint(2**40), *varint(2**40), 3, 0, 0, 0])),    # huge
    ({"parameter": "w"}, b""), ([[]], b"rest"), ({"list": 3}, b""), ({"class": "tinyml.nn.layers.ReLU"}, b""),
    (3, b"1")])
def test_a_file_that_contradicts_itself_is_refused(small, skeleton, arrays):
    text = deflate(json.dumps(skeleton).encode(), DICTIONARY)
    refused(small[0], sealed(varint(len(text)) + text + arrays), "path must name a sound file")


@pytest.mark.parametrize("character", [b" ", b"["])
def test_a_skeleton_of_twenty_megabytes_is_not_inflated(small, character):
    text = deflate(character * 20_000_000, DICTIONARY)
    tracemalloc.start()
    try:
        refused(small[0], sealed(varint(len(text)) + text), "path must name a sound file")
        assert tracemalloc.get_traced_memory()[1] < 3 * 100 * len(text)    # 6 MB: the text, a copy, the rest
    finally:
        tracemalloc.stop()


def test_the_limit_holds_for_all_arrays_together(small):
    zeros = encode_array(np.zeros(1 << 15, np.uint8))    # in 18 bytes
    many = [{"array": f"{i}"} for i in range(1 << 10)]
    text = deflate(json.dumps({"list": many}).encode(), DICTIONARY)
    body = varint(len(text)) + text + zeros * len(many)
    refused(small[0], sealed(body), "path must name a sound file, got .* is too large")


def test_a_written_file_is_long_enough_to_be_read(small, monkeypatch):
    path, sizes = small[0].with_name("zeros"), []
    for densest in (256, 1):
        monkeypatch.setattr(storage, "FREE_ENTRIES", 1000)
        monkeypatch.setattr(storage, "ENTRIES_PER_BYTE", densest)
        model = pruned(np.random.default_rng(0), 0, sizes=(60, 60, 60))
        save_compressed(model, path)
        assert same(load_compressed(path), model)
        sizes.append(path.stat().st_size)
    assert sizes[0] < 1000 and sizes[1] > 2 * 60 * 60 - 1000
    monkeypatch.setattr(storage, "ENTRIES_PER_BYTE", 1 / 4)
    refused(path, path.read_bytes(), "path must name a sound file, got .* is too large")


def test_a_file_is_written_whole_or_not_at_all(small, tmp_path, monkeypatch):
    path = tmp_path / "model"
    put(path, b"old")

    def refuse(*paths):
        raise PermissionError

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(PermissionError):
        save_compressed(nn.ReLU(), path)
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]
    model = nn.ReLU()
    model.words = np.array(["a"])
    with pytest.raises(TypeError, match="^encode_array: array must hold real numbers"):
        save_compressed(model, path)


def test_a_skeleton_that_deflates_a_thousand_times_can_be_read(tmp_path):
    model = nn.ReLU()
    model.zeros = [0] * 100_000
    save_compressed(model, tmp_path / "model")
    assert load_compressed(tmp_path / "model").zeros == model.zeros
