"""Arrays in an .npz file in which damage is always found; no pickle is opened.

Problem: an .npz file is a zip archive with an .npy member for each array. Its directory has no
checksum, so a changed byte there may lose or rename an array without an error.

Idea: one more member, a manifest, with a line for each array:

    SHA-256 of its member, its name as JSON

`load` computes these lines again. If they agree, all names, shapes, dtypes and entries are those
that were saved. Before an array is decompressed, the size in its header is compared with the size
of the member.
"""
import ast
import hashlib
import io
import json
import math
import struct
import zipfile

import numpy as np

from tinyml.files import check_ratio, writing

MANIFEST = "__manifest__"
METHODS = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED
LONGEST_HEADER = 10_000    # bytes, as in NumPy
LOCAL = struct.Struct("<6xH18xHH")    # before a member: flags, lengths of its name and its extras


def save(state, path):
    """Write a `state_dict` to an .npz file of plain arrays.

    NumPy reads the file too; it shows the manifest as one more array, `__manifest__`.

    Parameters
    ----------
    state : dict of str to array
    path : path-like; the file is replaced as a whole

    Raises
    ------
    TypeError : state is not a dict of arrays
    """
    if not isinstance(state, dict):
        raise TypeError(f"save: state must be a dict of arrays, got {type(state).__name__}; "
                        "write save(model.state_dict(), path)")
    names = [key for key in state if not isinstance(key, str) or "\0" in key]
    if names:
        raise TypeError("save: state must have str keys without a zero character, got "
                        f"{names[0]!r}")
    if MANIFEST in state:
        raise TypeError(f"save: state must not have the key {MANIFEST!r}, which the file needs")
    arrays = {key: np.asarray(value) for key, value in state.items()}
    objects = [key for key, array in arrays.items() if array.dtype.hasobject]
    if objects:
        raise TypeError("save: state must hold arrays of numbers, got objects under "
                        f"{', '.join(objects)}")
    lines = []
    with writing(path) as file, zipfile.ZipFile(file, "w") as archive:    # the layout of np.savez
        for key, array in arrays.items():
            lines.append(_line(key, _add(archive, key, array)))
        _add(archive, MANIFEST, np.frombuffer("\n".join(lines).encode(), np.uint8))


def _add(archive, key, array):
    """Write one member; return its SHA-256."""
    with archive.open(key + ".npy", "w", force_zip64=True) as file:
        member = _Hashed(file)
        np.lib.format.write_array(member, array, allow_pickle=False)
    return member.sha256


class _Hashed:
    """A file that hashes what is written to it."""

    def __init__(self, file):
        self.file, self.sha256 = file, hashlib.sha256()

    def write(self, data):
        self.sha256.update(data)
        return self.file.write(data)


def _line(key, sha256):
    return f"{sha256.hexdigest()}  {json.dumps(key)}"


def load(path):
    """Read a file of `save` back, for `Module.load_state_dict`.

    A file of `np.savez` has no manifest: only the checksum and the header of each member are
    checked, and that the directory fits the members. The arrays may take 100 times the bytes of
    the file, and 16 MB more.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    dict of str to ndarray

    Raises
    ------
    FileNotFoundError : there is no such file
    ValueError : the file is truncated, damaged, changed, holds objects, or is not an .npz file
    """
    arrays, lines = {}, set()
    try:
        with open(path, "rb") as file, zipfile.ZipFile(file) as archive:
            for key, member in _members(file, archive).items():
                entry = _entry(archive, member)
                arrays[key] = np.lib.format.read_array(io.BytesIO(entry), allow_pickle=False)
                lines.add(_line(key, hashlib.sha256(entry)))
        if MANIFEST in arrays:
            _compare(lines, arrays.pop(MANIFEST))
    except FileNotFoundError:
        raise
    except Exception as error:
        raise ValueError("load: path must name a whole .npz file of arrays, got "
                         f"{path}: {error}") from error
    return arrays


def _compare(lines, manifest):
    """Raise ValueError unless the arrays are those of the manifest."""
    saved = set(manifest.tobytes().decode().splitlines())
    own = f"  {json.dumps(MANIFEST)}"
    found = {line for line in lines if not line.endswith(own)}
    changed = {line.partition("  ")[2] for line in saved ^ found}
    if changed:
        names = ", ".join(sorted(changed))
        raise ValueError(f"it was saved with other content under {names}; save it again")


def _members(file, archive):
    """{key: member} of an archive whose members and directory fill the file, without gaps."""
    members = archive.infolist()
    starts = [member.header_offset for member in members]
    starts.append(archive.start_dir)
    found, n_directory, n_inflated = {}, 0, 0
    for member, start, following in zip(members, starts, starts[1:]):
        key = member.filename.removesuffix(".npy")
        is_array = key != member.filename and member.compress_type in METHODS
        if key in found or not is_array:
            raise ValueError(f"{member.filename!r} must be one .npy file, plain or deflated")
        found[key] = member
        file.seek(start)
        head = file.read(LOCAL.size)
        flags, n_name, n_extra = LOCAL.unpack(head)
        end = start + len(head) + n_name + n_extra + member.compress_size
        longest = 24 if flags & 8 else 0    # if written to a pipe, the sizes follow the member
        if not 0 <= following - end <= longest:
            raise ValueError(f"{key!r} is not where the directory says")
        n_directory += 46 + n_name + len(member.extra) + len(member.comment)
        n_inflated += member.file_size
    has_many = len(members) > zipfile.ZIP_FILECOUNT_LIMIT
    is_large = has_many or archive.start_dir > zipfile.ZIP64_LIMIT
    n_end = 98 if is_large else 22    # large: a second end record
    n_bytes = file.seek(0, io.SEEK_END)
    if starts[0] != 0 or archive.start_dir + n_directory + n_end != n_bytes:
        raise ValueError("the directory does not fit what the file holds")
    check_ratio("its arrays", n_inflated, n_bytes)
    return found


def _entry(archive, member):
    """The bytes of a member, inflated only if its header promises exactly as many."""
    with archive.open(member) as file:
        start = file.read(8)
        length = file.read(2 if start[6:7] == b"\1" else 4)
        n_header = int.from_bytes(length, "little")
        if start[:6] != b"\x93NUMPY" or n_header > LONGEST_HEADER:
            raise ValueError(f"{member.filename!r} must be an .npy file, got {start!r}")
        text = file.read(n_header)
        encoding = "utf-8" if start[6] > 2 else "latin-1"
        header = ast.literal_eval(text.decode(encoding))
        dtype = np.lib.format.descr_to_dtype(header["descr"])
        before = start + length + text
        promised = len(before) + math.prod(header["shape"]) * dtype.itemsize
        if promised != member.file_size:
            raise ValueError(f"the header of {member.filename!r} promises {promised:,} bytes, got "
                             f"{member.file_size:,}")
        return before + file.read()
