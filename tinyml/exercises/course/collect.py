"""What a class handed in: found in folders, zips and the bulk downloads of learning platforms.

No link is followed, nothing is unpacked to the disk, and what cannot be read is a fault of one
student. All that is seen and not used is listed with the reason.
"""
import io
import json
import os
import re
import stat
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path

from tinyml.exercises.student.workspace import CACHE
from tinyml.exercises.walls.screen import LARGEST, decoded

DEEPEST = 8                # folders in folders
FILES = 2000               # that are looked at for one student
LARGEST_ZIP = 32 * 2**20   # bytes
TIMES = "submitted.csv"    # student,submitted: when they handed in, for late homework
SYSTEM = {"__MACOSX", "__pycache__", ".DS_Store", ".git", "Thumbs.db", "desktop.ini", "README.txt"}
LINK = "a link; links are not followed"
PLATFORMS = [    # names in bulk downloads: Canvas, Moodle, Blackboard
    r"(?P<name>.+?)(?:_LATE)?_(?P<id>\d+)_\d+_(?P<file>.+)",
    r"(?P<name>.+)_(?P<id>\d+)_assignsubmission_[a-z]+(?:_(?P<file>.*))?",
    r".*?_?(?P<name>[^_]+)_attempt_(?P<attempt>[\d-]+)_(?P<file>.+)"]
LATE = re.compile(r".+_LATE_\d+_\d+_.+", re.DOTALL)    # by Canvas
# Marks of a second copy; the newer one has the higher number: tanh-1, tanh (1), tanh - Copy
COPY = re.compile(
    r"[ _]*(?:\((?P<browser>\d{1,4})\)|-(?P<canvas>\d{1,4})|(?P<word>-? ?copy))$", re.I)


@dataclass
class Item:
    """A file that was seen.

    Parameters
    ----------
    parts : tuple of str, the path below the student's folder
    read : function () -> bytes, or None
    fault : str, why it is not read, if so
    """
    parts: tuple
    read: Callable = None
    fault: str = ""

    @property
    def path(self):
        """The path as one word."""
        return "/".join(self.parts)


@dataclass
class Submission:
    """What one student handed in.

    Parameters
    ----------
    student : str, as the name is on the disk
    answers : dict, exercise -> Item
    unused : list of (path, why)
    faults : list of str, what could not be read
    attempts : dict, exercise -> int, if the student's folder has the notes of `check`
    marked_late : bool, whether Canvas wrote LATE into the name of a file
    """
    student: str
    answers: dict = field(default_factory=dict)
    unused: list = field(default_factory=list)
    faults: list = field(default_factory=list)
    attempts: dict = field(default_factory=dict)
    marked_late: bool = False

    def texts(self):
        """{exercise: (text, "") or (None, why there is none)}."""
        return {name: _text(item) for name, item in self.answers.items()}


def _text(item):
    if item.fault:
        return None, item.fault
    try:
        content = item.read()
    except Exception as error:    # broken zips raise errors of many kinds
        return None, f"it cannot be read: {_words(error)}"
    if len(content) > LARGEST:
        return None, f"the file must be at most {LARGEST:,} bytes long"
    return decoded(content), ""


def _words(error):
    return getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"[:200]


def collect(folder, names, out=None):
    """([Submission], [(path, why)] of what belongs to nobody) in a folder or zip.

    Parameters
    ----------
    folder : path
    names : collection of str, the exercises that count
    out : path or None, the folder of the results, which is no submission

    Raises
    ------
    OSError : the folder cannot be read
    """
    found, unused = {}, []
    for entry, is_folder, items in _top(Path(folder), out):
        student, inner = owner(entry, names, is_folder)
        if student is None:
            unused += [(item.path, item.fault or "whose is it?") for item in islice(items, FILES)]
            continue
        submission = found.setdefault(student, Submission(student))
        submission.marked_late |= LATE.fullmatch(entry) is not None
        _sort_in(submission, items, inner, names)
    return [found[student] for student in sorted(found)], unused


def one(folder, names):
    """The Submission of a folder that is one student's."""
    submission = Submission(Path(folder).name)
    _sort_in(submission, _folder(folder, ("submission",), 0), "", names)
    return submission


def _top(folder, out):
    """(name, whether it is a folder, iterable of Items) of the entries of a folder or zip."""
    if folder.suffix.lower() == ".zip" and folder.is_file():
        groups = {}
        for item in _zip(partial(open, folder, "rb"), (), levels=2, most=None):
            if not item.parts and item.fault:
                raise OSError(f"{folder}: {item.fault}")
            if item.parts:
                groups.setdefault((item.parts[0], len(item.parts) > 1), []).append(item)
        for (name, is_folder), items in sorted(groups.items()):
            yield name, is_folder and not name.lower().endswith(".zip"), items
        return
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if entry.name.startswith("._") or entry.name in {TIMES, *SYSTEM}:
            continue
        if out is not None and same(entry.path, out):
            yield "", True, [Item((entry.name,), fault="the folder of the results")]
        else:
            yield entry.name, _is_folder(entry), _entry(entry, (entry.name,), 0)


def _is_folder(entry):
    try:
        linked = entry.is_symlink() and not entry.name.lower().endswith((".py", ".zip"))
        return linked or entry.is_dir(follow_symlinks=False)
    except OSError:
        return True


def same(path, other):
    """Whether two paths lead to one file or folder."""
    try:
        return os.path.samefile(path, other)
    except OSError:
        return False


def owner(entry, names, is_folder):
    """(student or None, the student's name for the file if there is one) of an entry."""
    for pattern in PLATFORMS:
        match = re.fullmatch(pattern, entry, re.DOTALL)
        if match:
            parts = match.groupdict()
            number = f"_{parts['id']}" if "id" in parts else ""
            return parts["name"] + number, parts["file"] or ""
    if is_folder:
        return entry or None, ""
    student, _, rest = entry.removesuffix(".py").rpartition(".")
    if student and entry.endswith(".py") and exercise_of(f"{rest}.py", names)[0]:
        return student, f"{rest}.py"
    if entry.lower().endswith(".zip") and len(entry) > 4:
        return entry[:-4], ""
    return None, ""


def exercise_of(file, names):
    """(exercise or None, number of the copy) of "tanh.py", "tanh (1).py", "tanh-1.py"."""
    stem, _, ending = file.rpartition(".")
    if ending.strip().lower() != "py":
        return None, 0
    stem, copy = stem.strip(), 0
    while (match := COPY.search(stem)):
        copy += int(match["browser"] or match["canvas"] or 1)
        stem = stem[:match.start()].strip()
    known = {name.casefold(): name for name in names}
    return known.get(stem.casefold()), copy


def ignored(name):
    """Whether a file is the system's or the homework's, not the student's."""
    return name.startswith(".") and name != CACHE or name in SYSTEM


def _sort_in(submission, items, inner, names):
    """Add what is used of some items to a submission; of several copies, the newest."""
    best, items, n_seen = {}, iter(items), 0
    for item in islice(items, FILES):
        n_seen += 1
        if item.read is None and not item.fault:    # a folder
            continue
        file = inner if inner and len(item.parts) == 1 else item.parts[-1]
        name, copy = exercise_of(file, names)
        if name is not None:
            best.setdefault(name, []).append((copy, -len(item.parts), item.parts, item))
        elif file == CACHE and not item.fault:
            submission.attempts |= _attempts(item, names)
        elif item.fault:
            submission.faults.append(f"{item.path}: {item.fault}")
        else:
            submission.unused.append((item.path, "no exercise of this homework"))
    if n_seen == FILES and next(items, None) is not None:
        submission.faults.append(f"more than {FILES} files; the rest was not looked at")
    for name, copies in best.items():
        *older, newest = [copy[-1] for copy in sorted(copies, key=lambda copy: copy[:3])]
        older += [submission.answers[name]] if name in submission.answers else []
        submission.answers[name] = newest
        submission.unused += [(item.path, "a newer copy was used") for item in older]


def _attempts(item, names):
    """{exercise: number of texts that were checked}, from the notes of a student's folder."""
    try:
        noted = json.loads(item.read())
        return {name: min(len(noted[name]), 10_000) for name in names
                if isinstance(noted.get(name), dict)}
    except Exception:    # notes of any kind that are not ours
        return {}


# ------------------------------------------------------------ folders

def _entry(entry, parts, depth):
    """The Items of one entry of a folder."""
    try:
        mode = entry.stat(follow_symlinks=False).st_mode
    except OSError as error:
        yield Item(parts, fault=f"cannot be read: {_words(error)}")
        return
    if stat.S_ISLNK(mode):
        yield Item(parts, fault=LINK)
    elif stat.S_ISDIR(mode):
        yield from _folder(entry.path, parts, depth + 1)
    elif not stat.S_ISREG(mode):
        yield Item(parts, fault="not a plain file")
    elif entry.name.lower().endswith(".zip"):
        yield from _zip(partial(_opened, entry.path), parts)
    else:
        yield Item(parts, partial(_content, entry.path))


def _folder(path, parts, depth):
    if depth > DEEPEST:
        yield Item(parts, fault="too many folders in folders")
        return
    try:
        entries = sorted(os.scandir(path), key=lambda entry: entry.name)
    except OSError as error:
        yield Item(parts, fault=f"cannot be read: {_words(error)}")
        return
    yield Item(parts)
    for entry in entries:
        if not ignored(entry.name):
            yield from _entry(entry, (*parts, entry.name), depth)


def _opened(path):
    """A file, open to be read, if it is plain and no link."""
    file = open(path, "rb", opener=_open)
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError("not a plain file")
    return file


def _open(path, flags):
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))


def _content(path):
    with _opened(path) as file:
        return file.read(LARGEST + 1)


# ------------------------------------------------------------ zips

def _zip(opened, parts, levels=1, most=FILES):
    """The Items of a zip, and of zips in it up to so many levels; `opened` gives the open file."""
    try:
        if levels == 0:
            raise ValueError("a zip in a zip")
        with opened() as file:
            if most and file.seek(0, io.SEEK_END) > LARGEST_ZIP:
                raise ValueError(f"a zip may have {LARGEST_ZIP:,} bytes")
            with zipfile.ZipFile(file) as archive:
                infos = archive.infolist()
        if most and len(infos) > most:
            raise ValueError(f"more than {most} files")
    except Exception as error:    # what a broken zip raises is of many kinds
        yield Item(parts, fault=f"cannot be read: {_words(error)}")
        return
    yield Item(parts)
    for info in infos:
        words = info.filename.replace("\\", "/").split("/")
        inner = [word for word in words if word not in {"", ".", ".."}]
        if info.is_dir() or not inner or any(map(ignored, inner)):
            continue
        here = (*parts, *inner)
        if stat.S_ISLNK(info.external_attr >> 16):
            yield Item(here, fault=LINK)
        elif inner[-1].lower().endswith(".zip"):
            yield from _zip(partial(_inner, opened, info), here, levels - 1)
        else:
            yield Item(here, partial(_member, opened, info, LARGEST))


def _member(opened, info, limit):
    """At most limit + 1 bytes of a member of a zip, however many it promises."""
    if info.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        raise ValueError("compressed in a way that is not read here")
    with opened() as file, zipfile.ZipFile(file) as archive, archive.open(info) as member:
        return member.read(limit + 1)


def _inner(opened, info):
    """A zip in a zip."""
    return io.BytesIO(_member(opened, info, LARGEST_ZIP))
