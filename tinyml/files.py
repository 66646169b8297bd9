"""Files that are written whole or not at all: the one place of the package that writes.

Problem: a writer that is killed half way leaves half a file; two that write at once leave a
mixture.

Idea: write a part file beside the target, under a name that nobody else has; flush it to the
disk; rename it. The system renames in one step, so a reader meets the old file or the new one.
A writer keeps its part file locked while it lives. So a part file without a lock belongs to a
killed writer, and the next writer of that target removes it.
"""
import contextlib
import os
import re
import secrets
import stat
import time
from pathlib import Path

try:
    import fcntl
except ImportError:    # Windows
    fcntl = None

DAY = 24 * 3600      # seconds; without locks, an older part file is taken for abandoned
PLENTY = 1 << 24     # a compressed file may unpack to so many bytes,
RATIO = 100          # and to so many more for each byte of its own


def check_ratio(what, held, stored):
    """Refuse a compressed file that would unpack to far more bytes than it has.

    Parameters
    ----------
    what : str, the function and the file that an error names
    held, stored : int, bytes that the content takes, and the file

    Raises
    ------
    ValueError : held > 2^24 + 100 stored
    """
    most = PLENTY + RATIO * stored
    if held > most:
        raise ValueError(f"{what} must hold at most {most:,} bytes in a file of {stored:,}, got a "
                         f"promise of {held:,}; store it uncompressed")


def write(path, data):
    """Write a file whole or not at all, as `writing` does.

    Parameters
    ----------
    path : path-like
    data : bytes
    """
    with writing(path) as file:
        file.write(data)


@contextlib.contextmanager
def writing(path):
    """A file that gets its name when the block ends; if the block raises, the old file stays.

    A new version of a file keeps its permissions and its owner. A symbolic link stays a link: the
    file that it points to is written. A device or a pipe is written directly.

    Parameters
    ----------
    path : path-like, in a folder that exists

    Yields
    ------
    binary file, open for writing

    Raises
    ------
    OSError : the folder does not exist or cannot be written to, path is a folder, the disk is full

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "answer.txt")
    ...     with writing(path) as file:
    ...         n = file.write(b"42")
    ...     path.read_bytes()
    b'42'
    """
    target = Path(os.path.realpath(path))    # where links lead
    if os.path.lexists(target) and not target.is_file():
        with open(target, "wb") as file:    # raises where the path is a folder
            yield file
        return
    if not target.parent.is_dir():
        raise FileNotFoundError("writing: path must be in a folder that exists, got "
                                f"{path}; make the folder first")
    _sweep(target)
    part, file = _begin(target)
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            _take_over(target, part)
            if os.name == "nt":
                file.close()    # Windows renames no open file; elsewhere the lock is kept
            os.replace(part, target)
        _flush_folder(target.parent)
    finally:
        part.unlink(missing_ok=True)


def _begin(target):
    """A new part file, locked: its path, and the file."""
    mode = stat.S_IMODE(target.stat().st_mode) if target.exists() else 0o666    # less the umask
    while True:
        part = target.with_name(_prefix(target) + secrets.token_hex(8) + ".part")
        file = open(part, "xb", opener=lambda name, flags: os.open(name, flags, mode))
        if fcntl:
            with contextlib.suppress(OSError):    # some network drives have no locks
                fcntl.flock(file, fcntl.LOCK_EX)
        if part.exists():    # else somebody swept it before it was locked
            return part, file
        file.close()


def _prefix(target):
    return f".{target.name[:50]}."    # a name has at most 255 bytes


def _sweep(target):
    """Remove the part files of this target that killed writers left."""
    name = re.compile(re.escape(_prefix(target)) + r"[0-9a-f]{16}\.part")
    with contextlib.suppress(OSError):    # a folder may be writable, yet not readable
        for part in list(target.parent.iterdir()):
            if name.fullmatch(part.name):
                _remove_abandoned(part)


def _remove_abandoned(part):
    """Remove a part file unless its writer lives."""
    with contextlib.suppress(OSError):
        if fcntl:
            with open(part, "r+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)    # raises while it is locked
                part.unlink()
        elif time.time() - part.stat().st_mtime > DAY:
            part.unlink()


def _take_over(target, part):
    """Give a part file the owner and the permissions of the file that it replaces."""
    if target.exists():
        old = target.stat()
        if hasattr(os, "chown"):
            with contextlib.suppress(PermissionError):    # only root gives files away
                os.chown(part, old.st_uid, old.st_gid)
        os.chmod(part, stat.S_IMODE(old.st_mode))


def _flush_folder(folder):
    """Flush the new name to the disk, where the system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
