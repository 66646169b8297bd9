"""Laws of .npz files: no damage goes unseen, no bomb is inflated, no pickle is opened."""
import io
import itertools
import re
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest
from strategies import put

from tinyml import load, save
from tinyml.files import PLENTY
from tinyml.nn.npz import MANIFEST

STATE = {"bias": np.arange(6, dtype=np.float32).reshape(2, 3), "größe": np.array(3),
         "0": np.zeros((0, 2), np.int8)}
WRITERS = {"save": lambda path: save(STATE, path),
           "savez": lambda path: np.savez(path, **STATE),
           "savez_compressed": lambda path: np.savez_compressed(path, **STATE)}
REFUSED = r"^load: path must name a whole .npz file of arrays, got .*w\.npz: "


def same(found):
    return found.keys() == STATE.keys() and all(
        found[key].dtype == value.dtype and found[key].shape == value.shape
        and found[key].tobytes() == value.tobytes() for key, value in STATE.items())


@pytest.fixture(params=WRITERS)
def file(request, tmp_path):
    path = tmp_path / "w.npz"
    WRITERS[request.param](path)
    return path


def refused(path, data=None, words=""):
    if data is not None:
        put(path, data)
    with pytest.raises(ValueError, match=REFUSED + f".*{words}"):
        load(path)


def members(path):
    with zipfile.ZipFile(path) as archive:
        return [(name, archive.read(name)) for name in archive.namelist()]


@pytest.mark.filterwarnings("ignore:Duplicate name")
def archive(path, entries, method=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in entries:
            archive.writestr(name, data)


def npy(array, shape=None):
    """An .npy file; with `shape`, its header promises another one."""
    file = io.BytesIO()
    header = {"descr": array.dtype.str, "fortran_order": False, "shape": shape or array.shape}
    np.lib.format.write_array_header_2_0(file, header)
    return file.getvalue() + array.tobytes()


def test_a_changed_byte_is_noticed_or_changes_nothing(file):
    whole = file.read_bytes()
    assert same(load(file))
    noticed = 0
    for i in range(len(whole)):
        put(file, whole[:i] + bytes([whole[i] ^ 1 << i % 8]) + whole[i + 1:])
        try:
            assert same(load(file)), f"byte {i}"
        except ValueError as error:
            assert re.match(REFUSED, str(error))
            noticed += 1
    assert noticed > 0.6 * len(whole)    # the rest are dates, versions and the like


def test_what_is_cut_off_or_put_on_is_noticed(file):
    whole = file.read_bytes()
    for length in range(0, len(whole), 7):
        refused(file, whole[:length])
        refused(file, whole[length + 1:])
    for more in (b"\0", b"PK", whole):
        refused(file, whole + more)
        refused(file, more + whole)
    for at in range(1, len(whole), 17):
        refused(file, whole[:at] + b"\0" + whole[at:])


def test_bytes_between_two_members_are_noticed(tmp_path):
    path = tmp_path / "w.npz"
    for hidden in (b"", b"hidden"):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.npy", npy(np.ones(2)))
            archive.fp.write(hidden)
            archive.start_dir = archive.fp.tell()
            archive.writestr("b.npy", npy(np.ones(2)))
        if not hidden:
            assert load(path).keys() == {"a", "b"}
    refused(path, words="'a' is not where the directory says")


def test_a_note_on_the_archive_is_noticed(file):
    with zipfile.ZipFile(file, "a") as archive:
        archive.comment = b"note"
    refused(file)


@pytest.mark.parametrize("limit", ["ZIP_FILECOUNT_LIMIT", "ZIP64_LIMIT"])
def test_the_end_of_the_directory_grows_beyond_the_limits_of_zip(limit, monkeypatch, tmp_path):
    state = {f"a{i}": np.ones(2) for i in range(3)}
    save(state, tmp_path / "w.npz")
    with zipfile.ZipFile(tmp_path / "w.npz") as archive:
        size = len(archive.namelist()) if limit == "ZIP_FILECOUNT_LIMIT" else archive.start_dir
    for offset in (-1, 0, 1):
        monkeypatch.setattr(zipfile, limit, size + offset)
        save(state, tmp_path / "w.npz")
        assert load(tmp_path / "w.npz").keys() == state.keys()


def test_arrays_that_changed_places_names_or_number_are_noticed(tmp_path):
    path = tmp_path / "w.npz"
    save(STATE, path)
    entries = members(path)
    assert [name for name, _ in entries] == [*(f"{key}.npy" for key in STATE), f"{MANIFEST}.npy"]
    for i, j in itertools.combinations(range(len(entries)), 2):
        swapped = dict(entries)
        (a, x), (b, y) = entries[i], entries[j]
        swapped.update({a: y, b: x})
        archive(path, swapped.items())
        refused(path)
        moved = list(entries)    # the same names with the same content: only the order is another
        moved[i], moved[j] = moved[j], moved[i]
        archive(path, moved)
        assert same(load(path))
    for i, (name, data) in enumerate(entries[:-1]):
        rest = entries[:i] + entries[i + 1:]
        archive(path, rest)
        refused(path, words="with other content under .*; save it again")
        archive(path, [(f"{name}.npy", data), *rest])
        refused(path, words="with other content under")
    archive(path, [("more.npy", npy(np.ones(1))), *entries])
    refused(path, words='it was saved with other content under "more"; save it')


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("second", ["a.npy", "a", "b", "a/"])
def test_two_arrays_of_one_name_and_other_files_are_refused(tmp_path, second):
    path = tmp_path / "w.npz"
    archive(path, [("a.npy", npy(np.ones(2))), (second, npy(np.zeros(2)))])
    refused(path, words="must be one .npy file")


def test_the_key_of_the_manifest_is_kept_free(tmp_path):
    with pytest.raises(TypeError, match=f"^save: state must not have the key '{MANIFEST}'"):
        save({MANIFEST: np.ones(2)}, tmp_path / "w.npz")
    assert not list(tmp_path.iterdir())


def test_numpy_can_write_the_file_again(tmp_path):
    path = tmp_path / "w.npz"
    save(STATE, path)
    with np.load(path) as archive:
        entries = dict(archive)
    np.savez_compressed(path, **entries)
    assert same(load(path))
    entries["bias"] = entries["bias"] + 1
    np.savez(path, **entries)
    refused(path, words='it was saved with other content under "bias"; save it')


def bombs():
    zeros = np.zeros(20_000_000, np.uint8)
    yield "one that no header knows of", zipfile.ZIP_DEFLATED, npy(zeros[:10_000_000], shape=(4,))
    yield "one that the header knows of", zipfile.ZIP_DEFLATED, npy(np.zeros(PLENTY * 2, np.uint8))
    for shape in [(2 ** 62,), (2 ** 40, 2 ** 40), (2 ** 32, 0, -1), (-1,), (-2, -4), (1.5,)]:
        yield f"{shape}", zipfile.ZIP_STORED, npy(np.zeros(8, np.uint8), shape=shape)
    long = b"\x93NUMPY\2\0" + struct.pack("<L", 20_000_000)
    yield "a header of 20 MB", zipfile.ZIP_DEFLATED, long + bytes(zeros)
    yield "no array", zipfile.ZIP_DEFLATED, bytes(zeros)
    deep = b"\x93NUMPY\1\0" + struct.pack("<H", 9000)
    yield "depth", zipfile.ZIP_DEFLATED, deep + b"(" * 9000


@pytest.mark.parametrize("method, entry", [pytest.param(*b[1:], id=b[0]) for b in bombs()])
def test_bombs_are_refused_before_they_take_memory(tmp_path, method, entry):
    path = tmp_path / "w.npz"
    archive(path, [("a.npy", entry)], method)
    tracemalloc.start()
    try:
        refused(path)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


def test_members_that_share_their_bytes_are_refused(tmp_path):
    """A directory that leads to one member again and again holds far more than the file does."""
    path = tmp_path / "w.npz"
    archive(path, [("a.npy", npy(np.zeros(100_000)))])
    whole = path.read_bytes()
    at = whole.rindex(b"PK\1\2")
    entry, end = whole[at:-22], bytearray(whole[-22:])
    end[8:12], end[12:16] = struct.pack("<HH", 50, 50), struct.pack("<L", 50 * len(entry))
    refused(path, whole[:at] + 50 * entry + end)


@pytest.mark.parametrize("array", [np.array([{}, None]), np.zeros(2, [("a", object)])])
def test_objects_are_neither_written_nor_read(tmp_path, monkeypatch, array):
    monkeypatch.setattr("pickle.load", lambda *a, **k: pytest.fail("a pickle was opened"))
    path = tmp_path / "w.npz"
    np.savez(path, a=array)
    refused(path)
    with pytest.raises(TypeError, match="^save: state must hold arrays of numbers"):
        save({"a": array}, path)


def test_a_compressed_file_of_zeros_may_hold_what_a_model_needs(tmp_path):
    path = tmp_path / "w.npz"
    np.savez_compressed(path, a=np.zeros(1_000_000))
    assert not load(path)["a"].any()


@pytest.mark.parametrize("limit", ["ZIP_FILECOUNT_LIMIT", "ZIP64_LIMIT"])
def test_a_file_of_many_or_large_arrays_comes_back(tmp_path, monkeypatch, limit):
    """As if 2 members were 65,535, or 2 bytes were 2 GB: the directory has a long form."""
    monkeypatch.setattr(zipfile, limit, 2)
    path = tmp_path / "w.npz"
    save(STATE, path)
    assert same(load(path))
    refused(path, path.read_bytes()[:-22])


def test_an_archive_that_was_written_to_a_pipe_is_read(tmp_path):
    class Pipe(io.BytesIO):
        def seekable(self):
            return False

        def seek(self, *_):
            raise io.UnsupportedOperation

        tell = seek

    pipe, path = Pipe(), tmp_path / "w.npz"
    with zipfile.ZipFile(pipe, "w") as archive:
        for key, value in STATE.items():
            archive.writestr(f"{key}.npy", npy(value))
    put(path, pipe.getvalue())
    assert same(load(path))
