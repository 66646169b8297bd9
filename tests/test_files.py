"""Laws of writing: a reader meets a whole file at any time, and nothing is left behind."""
import errno
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import tinyml
from tinyml import files
from tinyml.files import check_ratio, write, writing

posix = pytest.mark.skipif(os.name == "nt", reason="Windows has no modes and other names")
FILES = {"write": lambda path, k: write(path, bytes([k]) * 50_000),
         "save": lambda path, k: tinyml.save({"a": np.full(5_000, k)}, path)}


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("old", [None, b"old"])
def test_what_was_written_is_there_and_nothing_else(tmp_path, old):
    path = tmp_path / "file"
    if old:
        path.write_bytes(old)
    with writing(path) as file:
        file.write(b"ne")
        assert not old or path.read_bytes() == old
        file.write(b"w")
    assert path.read_bytes() == b"new" and names(tmp_path) == ["file"]
    write(str(path), b"text")
    assert path.read_bytes() == b"text" and names(tmp_path) == ["file"]


@pytest.mark.parametrize("name", ["a" * 255, "ü" * 127, "[x]*.npz", " ", "a.part"])
@posix
def test_any_name_that_a_file_can_have(tmp_path, name):
    write(tmp_path / name, b"1")
    write(tmp_path / name, b"2")
    assert names(tmp_path) == [name] and (tmp_path / name).read_bytes() == b"2"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("where", ["body", "fsync", "replace", "chmod"])
def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, error, where):
    path = tmp_path / "file"
    write(path, b"old")

    def fail(*arguments):
        raise error

    if where != "body":
        monkeypatch.setattr(os, where, fail)
    with pytest.raises(error):
        with writing(path) as file:
            file.write(b"new")
            if where == "body":
                fail()
    assert path.read_bytes() == b"old" and names(tmp_path) == ["file"]


KILLED = """
import os, sys
import tinyml.files
def die(*arguments):
    os._exit(1)
if sys.argv[2] == "body":
    with tinyml.files.writing(sys.argv[1]) as file:
        file.write(b"half")
        file.flush()
        die()
setattr(os, sys.argv[2], die)
tinyml.files.write(sys.argv[1], b"new")
"""


@pytest.mark.parametrize("where", ["body", "fsync", "replace"])
def test_a_killed_writer_leaves_the_old_file_and_the_next_one_sweeps(tmp_path, where):
    path, other = tmp_path / "file", tmp_path / "file.b"
    write(path, b"old")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    for target in (path, other):
        child = subprocess.run([sys.executable, "-c", KILLED, target, where], env=environment)
        assert child.returncode == 1
    assert path.read_bytes() == b"old" and not other.exists()
    assert len(names(tmp_path)) == 3    # the file, and two parts
    with writing(path) as file:    # a living writer's part stays
        write(path, b"second")
        parts = [name for name in names(tmp_path) if name.endswith(".part")]
        assert sorted(name.startswith(".file.b.") for name in parts) == [False, True]
        file.write(b"first")
    left = names(tmp_path)
    assert path.read_bytes() == b"first" and len(left) == 2 and left[0].startswith(".file.b.")


@posix
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o666, 0o755])
def test_a_file_keeps_its_mode_and_a_new_one_follows_the_umask(tmp_path, mode):
    path = tmp_path / "file"
    mask = os.umask(0o027)
    try:
        write(path, b"old")
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
        path.chmod(mode)
        with writing(path) as file:
            part, = (p for p in tmp_path.iterdir() if p != path)
            assert not stat.S_IMODE(part.stat().st_mode) & ~mode    # never open to more
            file.write(b"new")
    finally:
        os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == mode and path.read_bytes() == b"new"


@posix
@pytest.mark.parametrize("exists", [True, False])
def test_a_link_stays_a_link_and_what_it_leads_to_is_written(tmp_path, exists):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    target, middle, link = tmp_path / "a" / "file", tmp_path / "b" / "middle", tmp_path / "link"
    if exists:
        write(target, b"old")
        target.chmod(0o600)
    middle.symlink_to(Path("..", "a", "file"))
    link.symlink_to(middle)
    write(link, b"new")
    assert link.is_symlink() and middle.is_symlink() and not target.is_symlink()
    assert target.read_bytes() == b"new" and names(tmp_path) == ["a", "b", "link"]
    assert names(target.parent) == ["file"] and names(middle.parent) == ["middle"]
    assert not exists or stat.S_IMODE(target.stat().st_mode) == 0o600


@posix
def test_what_is_no_file_is_not_replaced(tmp_path):
    write(os.devnull, b"nothing")
    assert not Path(os.devnull).is_file()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for path, number in ((tmp_path, errno.EISDIR), (tmp_path / "loop", errno.ELOOP)):
        with pytest.raises(OSError) as error:
            write(path, b"")
        assert error.value.errno == number
    assert (tmp_path / "loop").is_symlink() and names(tmp_path) == ["loop"]


def test_the_bound_of_what_is_unpacked_is_exact():
    most = 2 ** 24 + 100 * 7
    check_ratio("f: file", most, 7)
    message = f"^f: file must hold at most {most:,} bytes in a file of 7, got a promise of {most + 1:,}; store"
    with pytest.raises(ValueError, match=message):
        check_ratio("f: file", most + 1, 7)


def test_a_missing_folder_is_named(tmp_path):
    message = "^writing: path must be in a folder that exists, got .*none.*file; make the folder"
    with pytest.raises(FileNotFoundError, match=message):
        write(tmp_path / "none" / "file", b"")


@pytest.mark.parametrize("kind", FILES)
def test_threads_that_write_one_path_never_mix(tmp_path, kind):
    path, wrong = tmp_path / "file", []
    FILES[kind](path, 0)
    whole = {path.read_bytes()}
    for k in (1, 2, 3):
        FILES[kind](tmp_path / "once", k)
        whole.add((tmp_path / "once").read_bytes())

    def work(k):
        for _ in range(15):
            try:
                FILES[kind](path, k)
                if path.read_bytes() not in whole:
                    wrong.append("a mixture")
            except Exception as error:
                wrong.append(repr(error))

    threads = [threading.Thread(target=work, args=(k,)) for k in (1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong and names(tmp_path) == ["file", "once"]


def test_processes_that_write_one_path_never_mix(tmp_path):
    path = tmp_path / "file"
    code = ("import sys; from tinyml.files import write\n"
            "for _ in range(40): write(sys.argv[1], sys.argv[2].encode() * 50_000)")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    write(path, b"0" * 50_000)
    writers = [subprocess.Popen([sys.executable, "-c", code, path, k], env=environment)
               for k in "12"]
    seen = set()
    while any(writer.poll() is None for writer in writers):
        seen.add(path.read_bytes())
    assert seen <= {k * 50_000 for k in (b"0", b"1", b"2")}
    assert [writer.returncode for writer in writers] == [0, 0] and names(tmp_path) == ["file"]


@pytest.mark.parametrize("days, stays", [(0, True), (2, False)])
def test_without_locks_a_part_is_swept_when_it_is_old(tmp_path, monkeypatch, days, stays):
    monkeypatch.setattr(files, "fcntl", None)
    path = tmp_path / "file"
    part = tmp_path / f".file.{'0' * 16}.part"
    part.write_bytes(b"half")
    then = part.stat().st_mtime - days * 24 * 3600
    os.utime(part, (then, then))
    write(path, b"new")
    assert path.read_bytes() == b"new" and part.exists() == stays


def test_a_folder_that_cannot_be_listed_is_written_to(tmp_path, monkeypatch):
    def refuse(folder):
        raise PermissionError

    monkeypatch.setattr(Path, "iterdir", refuse)
    write(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"new"


@posix
def test_everything_reaches_the_disk_before_the_name_does(tmp_path, monkeypatch):
    done = []
    fsync, replace = os.fsync, os.replace

    def flush(descriptor):
        info = os.fstat(descriptor)
        done.append("folder" if stat.S_ISDIR(info.st_mode) else info.st_size)
        fsync(descriptor)

    def rename(*paths):
        done.append("rename")
        replace(*paths)

    monkeypatch.setattr(os, "fsync", flush)
    monkeypatch.setattr(os, "replace", rename)
    write(tmp_path / "file", b"12345")
    assert done == [5, "rename", "folder"]
