"""Arrays in an .npz file that proves its content: no damage goes unseen, no pickle is opened.

Problem: an .npz file is a zip archive with an .npy member for each array. Its directory has no
checksum, so a flipped byte there loses or renames an array in silence.

Idea: one more member, a manifest, with a line for each array:

    SHA-256 of its member, its name as JSON

`load` computes these lines again. Only if they agree are the number of arrays, their names,
shapes, dtypes and entries those that were saved. And before an array is inflated, the length that
its header promises is compared with the length of the member.
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
    """Write a `state_dict` to an .npz file of plain arrays: no pickle, whole or not at all.

    NumPy reads the file too; it shows the manifest as one more array, `__manifest__`.

    Parameters
    ----------
    state : dict of str to array
    path : path-like; the file is written beside it and renamed

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
    """Read a file of `save` back: a dict of path to array, for `Module.load_state_dict`.

    A file of `np.savez`, or of an earlier `save`, has no manifest. Then the checksum of each
    member, its header, and the agreement of members and directory are tested. A compressed file
    may hold 100 times its own bytes, and 16 MB more.

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
    told = manifest.tobytes().decode().splitlines()
    found = [line for line in lines if not line.endswith(f"  {json.dumps(MANIFEST)}")]
    changed = {line.partition("  ")[2] for line in set(told) ^ set(found)}
    if changed:
        names = ", ".join(sorted(changed))
        raise ValueError(f"it was saved with other content under {names}; save it again")


def _members(file, archive):
    """{key: member} of an archive whose members and directory fill the file, without gaps."""
    members, found, directory = archive.infolist(), {}, 0
    begins = [*(member.header_offset for member in members), archive.start_dir]
    for member, begin, following in zip(members, begins, begins[1:]):
        key = member.filename.removesuffix(".npy")
        if key in found or key == member.filename or member.compress_type not in METHODS:
            raise ValueError(f"{member.filename!r} must be one .npy file, plain or deflated")
        found[key] = member
        file.seek(begin)
        flags, n_name, n_extra = LOCAL.unpack(file.read(LOCAL.size))
        end = begin + LOCAL.size + n_name + n_extra + member.compress_size
        longest = 24 if flags & 8 else 0    # sizes behind the member, if it went through a pipe
        if not 0 <= following - end <= longest:
            raise ValueError(f"{key!r} is not where the directory says")
        directory += 46 + n_name + len(member.extra) + len(member.comment)
    large = begins[-1] > zipfile.ZIP64_LIMIT or len(members) > zipfile.ZIP_FILECOUNT_LIMIT
    end = begins[-1] + directory + (98 if large else 22)    # large: a second end record
    n_bytes = file.seek(0, io.SEEK_END)
    if (begins[0], end) != (0, n_bytes):
        raise ValueError("the directory does not fit what the file holds")
    check_ratio("its arrays", sum(member.file_size for member in members), n_bytes)
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
        header = ast.literal_eval(text.decode("utf-8" if start[6] > 2 else "latin-1"))
        itemsize = np.lib.format.descr_to_dtype(header["descr"]).itemsize
        promised = len(start + length + text) + math.prod(header["shape"]) * itemsize
        if promised != member.file_size:
            raise ValueError(f"the header of {member.filename!r} promises {promised:,} bytes, got "
                             f"{member.file_size:,}")
        return start + length + text + file.read()
