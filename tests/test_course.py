"""A teacher's course: any folder is graded to its end, homework is a file, Gradescope's scripts run."""
import csv
import io
import json
import os
import shutil
import stat
import subprocess
import sys
import time
import zipfile
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from tinyml.exercises.__main__ import main
from tinyml.exercises.catalogue import find
from tinyml.exercises.course import collect as collecting
from tinyml.exercises.course import grade as grading
from tinyml.exercises.course import gradescope, overview
from tinyml.exercises.course import homework as homework_file
from tinyml.exercises.course.collect import collect, exercise_of, owner
from tinyml.exercises.course.grade import grade, grade_one
from tinyml.exercises.course.homework import Homework, of_names, read_homework
from tinyml.exercises.course.results import BYTES, apart, harmless, place_of, table, title_of
from tinyml.exercises.student.check import Verdict
from tinyml.exercises.student.stub import ROOT, answer_text, stub_text
from tinyml.exercises.walls.screen import read

SEED = 2025
FILES = 50    # that are looked at for one student in these tests
GOOD = "def tanh(x): right"
BAD = "def tanh(x): wrong"


@pytest.fixture
def quick(monkeypatch):
    """A check that looks at the last word of a text, and runs nothing; it notes what it was given."""
    checked = []

    def check(name, text, file="", *, seed=None, limits=None, stop=None):
        checked.append((name, text))
        if text.endswith("raise"):
            raise RuntimeError("the checker fell")
        solved = text.endswith("right")
        tests = [{"id": "a", "outcome": "passed", "message": ""},
                 {"id": "b", "outcome": "passed" if solved else "failed", "message": "no"}]
        return Verdict(name, "solved" if solved else "failed", "" if solved else "1 of 2 tests fail", file, seed,
                       tests, 1, {} if solved else {"diagnosis": 0, "share": 1.0})

    monkeypatch.setattr(grading, "check", check)
    caches = grading._checked, grading._free
    for cached in caches:
        cached.cache_clear()
    yield checked
    for cached in caches:
        cached.cache_clear()


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "class"


def put(folder, **files):
    """Write {path: text}; "__" in a name stands for "/"."""
    for path, text in files.items():
        write(folder / path.replace("__", "/"), text)


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())


def zipped(members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return file.getvalue()


def scores(folder, **options):
    """{student: score} of the exercise tanh."""
    rows = grade(folder, folder.parent / "out", homework=of_names(["tanh"]), seed=SEED, **options)
    return {row["student"]: row["score"] for row in rows}


def tree(folder):
    """Everything below a folder, with its content."""
    return {path.relative_to(folder): path.is_file() and not path.is_symlink() and path.read_bytes()
            for path in folder.rglob("*")}


# ------------------------------------------------------------ what was handed in

@pytest.mark.parametrize("path", [
    "ann/tanh.py", "ann/Tanh.py", "ann/tanh-1.py", "ann/tanh (1).py", "ann/tanh(2).PY", "ann/hw/deep/tanh.py",
    "ann/tanh - Copy.py", "ann.tanh.py", "ann_12345_67890_tanh.py", "ann_12345_67890_tanh-2.py",
    "ann_LATE_12345_67890_tanh.py", "ann_12345_assignsubmission_file_/tanh.py",
    "ann_12345_assignsubmission_file/tanh.py",
    "ann_12345_assignsubmission_file_tanh.py", "HW 3_ann_attempt_2026-11-30-12-00-00_tanh.py"])
def test_an_answer_is_found_under_the_names_that_platforms_give(path, folder):
    write(folder / path, GOOD)
    [submission], unused = collect(folder, ["tanh", "mul"])
    assert submission.student in {"ann", "ann_12345"} and not unused
    assert submission.texts() == {"tanh": (GOOD, "")}


@pytest.mark.parametrize("name", ["ann.zip", "ann/hw.zip", "ann_12345_67890_hw.zip"])
def test_a_zip_is_read_and_never_unpacked(name, folder):
    members = {"hw/tanh.py": GOOD, "__MACOSX/hw/._tanh.py": BAD, "hw/.git/tanh.py": BAD, "../../mul.py": BAD}
    write(folder / name, zipped(members))
    before = tree(folder.parent)
    [submission], _ = collect(folder, ["tanh", "mul"])
    assert submission.texts() == {"tanh": (GOOD, ""), "mul": (BAD, "")}
    assert tree(folder.parent) == before


def test_a_whole_class_may_be_one_zip(folder):
    write(folder / "all.zip", zipped({"ann_1_2_tanh.py": GOOD, "bob/tanh.py": BAD, "eve.zip": zipped({"tanh.py": GOOD}),
                                      "notes.txt": "hello"}))
    found, unused = collect(folder / "all.zip", ["tanh"])
    assert {s.student: s.texts()["tanh"][0] for s in found} == {"ann_1": GOOD, "bob": BAD, "eve": GOOD}
    assert [path for path, _ in unused] == ["notes.txt"]


def test_of_several_copies_the_newest_counts_and_the_others_are_listed(folder):
    put(folder, **{"ann__tanh.py": "1", "ann__tanh (1).py": "2", "ann__old__tanh.py": "3",
                   "bob_7_1_tanh.py": "1", "bob_7_2_tanh-1.py": "2",
                   "HW_eve_attempt_2026-01-01-00-00-00_tanh.py": "1",
                   "HW_eve_attempt_2026-01-02-00-00-00_tanh.py": "2"})
    found, _ = collect(folder, ["tanh"])
    assert {s.student: s.texts()["tanh"][0] for s in found} == {"ann": "2", "bob_7": "2", "eve": "2"}
    assert sorted(path for path, _ in found[0].unused) == ["ann/old/tanh.py", "ann/tanh.py"]


def test_what_is_seen_and_not_used_is_listed(folder, quick):
    put(folder, **{"ann__tanh.py": GOOD, "ann__essay.py": "", "tanh.py": GOOD, "readme.txt": "", ".DS_Store": "", "ann__README.txt": ""})
    assert scores(folder) == {"ann": 1}
    with open(folder.parent / "out" / "unused.csv", encoding="utf-8") as file:
        assert {row["file"]: row["why"] for row in csv.DictReader(file)} == {
            "ann/essay.py": "no exercise of this homework", "readme.txt": "whose is it?", "tanh.py": "whose is it?"}


@pytest.mark.parametrize("name, student, file", [
    ("a_1_2_b_3_4_tanh.py", "a_1", "b_3_4_tanh.py"), ("van_der_berg_1_2_tanh.py", "van_der_berg_1", "tanh.py"),
    ("x.zip", "x", ""), (".zip", None, ""), ("tanh.py", None, ""), ("a.b.tanh.py", "a.b", "tanh.py"),
    ("\n_1_2_tanh.py", "\n_1", "tanh.py")])
def test_whose_an_entry_is(name, student, file):
    assert owner(name, ["tanh"], False) == (student, file)


@pytest.mark.parametrize("file", ["tanh", "tanh.txt", ".py", "-1.py", "tanh.py.bak", "xtanh.py", "(1).py", "tanh.py/"])
def test_other_files_are_no_answers(file):
    assert exercise_of(file, ["tanh"])[0] is None


# ------------------------------------------------------------ hostile folders

def link(path, target):
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.symlink_to(target)
    except OSError:
        pytest.skip("this system makes no links")


def encrypted():
    content = bytearray(zipped({"tanh.py": GOOD}))
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    return bytes(content)


def promising():
    """A zip whose member is far longer than it says, or than an answer may be."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("tanh.py", "#" * 20_000_000)
    return file.getvalue()


FOLDERS = {    # name -> what the student "eve" hands in, besides the others
    "an empty folder": lambda f: (f / "eve").mkdir(parents=True),
    "a link to a file": lambda f: link(f / "eve" / "tanh.py", f / "ann" / "tanh.py"),
    "a link to a folder": lambda f: link(f / "eve", f / "ann"),
    "a link to itself": lambda f: link(f / "eve" / "eve", f / "eve"),
    "a link in the air": lambda f: link(f / "eve" / "tanh.py", f / "nowhere"),
    "a folder of that name": lambda f: (f / "eve" / "tanh.py").mkdir(parents=True),
    "a pipe": lambda f: (f / "eve").mkdir(parents=True) or os.mkfifo(f / "eve" / "tanh.py"),
    "a huge file": lambda f: write(f / "eve" / "tanh.py", b"#" * 10_000_000),
    "bytes": lambda f: write(f / "eve" / "tanh.py", bytes(range(256))),
    "an error of the checker": lambda f: write(f / "eve" / "tanh.py", "raise"),
    "no zip": lambda f: write(f / "eve.zip", "PK"),
    "half a zip": lambda f: write(f / "eve.zip", zipped({"tanh.py": GOOD})[:-30]),
    "a locked zip": lambda f: write(f / "eve.zip", encrypted()),
    "a bomb": lambda f: write(f / "eve.zip", promising()),
    "a zip in a zip in a zip": lambda f: write(f / "eve.zip", zipped({"a.zip": zipped({"tanh.py": GOOD})})),
    "many files": lambda f: [write(f / "eve" / f"{i}.txt", "") for i in range(FILES + 5)],
    "many folders": lambda f: [(f / "eve" / str(i)).mkdir(parents=True) for i in range(FILES + 5)],
    "folders in folders": lambda f: write(f / "eve" / "/".join("d" * 60) / "tanh.py", GOOD),
    "a cut-off character": lambda f: write(f / "eve\u00e9" / ("\u00e9" * 120 + ".py"), ""),
    "a name of bytes": lambda f: write(f / os.fsdecode(b"eve\xff") / "tanh.py", BAD),
    "notes that are none": lambda f: write(f / "eve" / ".progress.json", "[" * 100_000),
}


@pytest.mark.parametrize("name", FOLDERS)
@pytest.mark.skipif(os.name == "nt", reason="pipes, links and names of bytes")
def test_a_hostile_folder_costs_itself_the_points_and_nobody_else(name, folder, quick, monkeypatch):
    put(folder, ann__tanh=GOOD, **{"ann__tanh.py": GOOD, "zoe__tanh.py": GOOD})
    try:
        monkeypatch.setattr(collecting, "FILES", FILES)
        FOLDERS[name](folder)
    except OSError:
        pytest.skip("this file system has no such thing")
    (folder.parent / "outside").mkdir()
    before = tree(folder.parent)
    found = scores(folder)
    eve, = found.keys() - {"ann", "zoe"}
    assert found == {"ann": 1, "zoe": 1, eve: 0}
    after = tree(folder.parent)
    assert {path: after[path] for path in after if path.parts[0] != "out"} == before
    for path in (folder.parent / "out").rglob("*"):
        assert not path.is_symlink()


@pytest.mark.skipif(os.name == "nt" or hasattr(os, "geteuid") and os.geteuid() == 0,
                    reason="everything can be read here")
def test_an_unreadable_folder_is_a_note_in_its_row(folder, quick):
    put(folder, **{"ann__tanh.py": GOOD, "eve__tanh.py": GOOD})
    (folder / "eve").chmod(0)
    try:
        assert scores(folder) == {"ann": 1, "eve": 0}
    finally:
        (folder / "eve").chmod(0o700)


def test_a_file_that_cannot_be_read_is_a_note_in_its_row(folder, quick, monkeypatch):
    put(folder, **{"ann__tanh.py": GOOD, "bob__tanh.py": GOOD, "eve__tanh.py": GOOD})
    scan, opened = os.scandir, os.open

    def refuse(path, *rest, call):
        if any(name in str(path) for name in ("eve", "bob/tanh")):
            raise PermissionError(13, "Permission denied", str(path))
        return call(path, *rest)

    monkeypatch.setattr(os, "scandir", lambda path: refuse(path, call=scan))
    monkeypatch.setattr(os, "open", lambda path, *rest, **more: refuse(path, *rest, call=opened))
    rows = grade(folder, folder.parent / "out", homework=of_names(["tanh"]), seed=SEED)
    monkeypatch.undo()
    assert [(row["student"], row["score"]) for row in rows] == [("ann", 1), ("bob", 0), ("eve", 0)]
    assert "Permission denied" in rows[2]["note"]
    said = (folder.parent / "out" / "students" / "bob" / "results.json").read_text(encoding="utf-8")
    assert "Permission denied" in said


def test_results_that_cannot_be_written_are_a_note_in_their_row(folder, quick):
    put(folder, **{"ann__tanh.py": GOOD, "bob__tanh.py": GOOD, "eve__tanh.py": GOOD})
    scores(folder)
    out, outside = folder.parent / "out", folder.parent / "outside"
    outside.mkdir()
    shutil.rmtree(out / "students" / "bob")
    link(out / "students" / "bob", outside)
    shutil.rmtree(out / "students" / "eve")
    write(out / "students" / "eve", "a file")
    rows = grade(folder, out, homework=of_names(["tanh"]), seed=SEED)
    assert [row["score"] for row in rows] == [1, 1, 1] and not any(outside.iterdir())
    assert "is a link" in rows[1]["note"] and "could not be written" in rows[2]["note"]


def test_tables_that_cannot_be_written_end_nothing(folder, quick, capsys):
    put(folder, **{"ann__tanh.py": GOOD})
    out = folder.parent / "out"
    scores(folder)
    for name in ("class.txt", "unused.csv", "grades.csv"):
        (out / name).unlink()
        (out / name).mkdir()
    assert main(["grade", str(folder), "--out", str(out), "--exercises", "tanh", "--seed", str(SEED)]) == 0
    said = capsys.readouterr().out
    assert "grades.csv could not be written" in said and (out / "answers.csv").is_file()


def test_names_are_told_apart_by_every_system(folder, quick):
    names = ["Ann", "ann", "ANN", "grades.csv", "grades.csv.part", "students", "con", "=1+1", "out", "a" * 250,
             "a" * 251, "\u00e9" * 120, "e\u0301" * 80, "...", "-x", "a\tb", "caf\u00e9", "cafe\u0301"]
    for name in names:
        try:
            write(folder / name / "tanh.py", GOOD)
        except OSError:
            continue
    present = [path.name for path in folder.iterdir()]    # some systems join a few of them
    found = scores(folder)
    assert len(found) == len(present) and set(found.values()) == {1}
    places = [path.name for path in (folder.parent / "out" / "students").iterdir()]
    assert len(places) == len(present) and all(len(name.encode()) <= BYTES + 6 for name in places)
    with open(folder.parent / "out" / "grades.csv", encoding="utf-8") as file:
        assert sum(int(row["score"]) for row in csv.DictReader(file)) == len(present)


def test_names_write_nothing_but_names():
    names = ["a\nb", "a?b", "\x1b[2J", "..", ".", "", "x/y", "x" * 300, "x" * 301, "\udcff", "NUL.txt", "\u202e"]
    for change in (title_of, place_of):
        made = apart(names, change)
        assert len({name.casefold() for name in made.values()}) == len(names)
        assert all(name.isprintable() and name.encode() and "/" not in name or change is title_of
                   for name in made.values())
    assert not {"", ".", ".."} & {place_of(name) for name in names}


@pytest.mark.parametrize("text", [
    "=1+1", "+1", "-1", "@sum(1)", "\t=1", " =1", "\n=1", "\r=1", "\uff1d1", "\uff0b1", "\uff0d1", "\uff20x",
    "\u22121", "a;=1", "a,=1", "a\t=1", "a|=1", 'a;"=1', "'=1", "\u200b=1", "\ufeff=1", "a;\uff1dx", "\ufe66x"])
def test_no_cell_is_a_formula_whatever_separates_cells(text):
    """A cell is shown to a spreadsheet whole, or is cut at another separator than the comma."""
    assert not {"\t", "\r", "\n"} & set(harmless(text))
    for cell in harmless(text).replace(";", ",").replace("|", ",").split(","):
        assert cell[:1] in ("'", "a"), cell
    [row] = csv.DictReader(io.StringIO(table(["student"], [{"student": text}])))
    assert row["student"] == harmless(text)


def test_numbers_stay_numbers_in_tables():
    assert harmless(-1) == -1 and harmless(0.5) == 0.5 and harmless("a-b (2)") == "a-b (2)"


# ------------------------------------------------------------ earlier results

def test_an_empty_grading_never_overwrites_earlier_grades(folder, quick):
    put(folder, **{"ann__tanh.py": GOOD})
    scores(folder)
    before = tree(folder.parent / "out")
    empty = folder.parent / "empty"
    for files in ({}, {"ann__notes.txt": ""}):
        put(empty, **files)
        empty.mkdir(exist_ok=True)
        with pytest.raises(LookupError, match="nothing to grade"):
            grade(empty, folder.parent / "out", homework=of_names(["tanh"]), seed=SEED)
    assert tree(folder.parent / "out") == before


def test_another_homework_and_other_folders_are_not_overwritten(folder, quick):
    put(folder, **{"ann__tanh.py": GOOD, "ann__mul.py": GOOD})
    scores(folder)
    out = folder.parent / "out"
    with pytest.raises(ValueError, match="results of 'tanh'"):
        grade(folder, out, homework=of_names(["mul"]))
    for other in (folder, folder / "ann", folder / "ann" / "new", folder.parent):
        with pytest.raises(ValueError, match="out must"):
            grade(folder, other, homework=of_names(["tanh"]))


def test_the_same_command_goes_on_where_it_was_interrupted(folder, quick, monkeypatch):
    for student in ("ann", "bob", "eve"):
        write(folder / student / "tanh.py", GOOD + f" # {student} right")
    out, homework = folder.parent / "out", of_names(["tanh"])

    def interrupt(line):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        grade(folder, out, homework=homework, report=interrupt)
    assert not (out / "grades.csv").exists(), "tables are of whole classes"
    n_done = len(list((out / "students").iterdir()))
    seed = json.loads((out / "grading.json").read_text(encoding="utf-8"))["seed"]
    quick.clear()
    grading._checked.cache_clear()
    assert [row["score"] for row in grade(folder, out, homework=homework)] == [1, 1, 1]
    assert 1 <= n_done and len(quick) == 3 - n_done
    assert json.loads((out / "grading.json").read_text(encoding="utf-8"))["seed"] == seed
    quick.clear()
    write(folder / "bob" / "tanh.py", BAD)
    assert [row["score"] for row in grade(folder, out, homework=homework)] == [1, 0, 1]
    assert quick == [("tanh", BAD)]


def test_answers_are_read_in_many_threads():
    texts = [answer_text(find(name)) + f"# {i}" for i, name in enumerate(["tanh", "adam", "nt_xent"] * 20)]
    with ThreadPoolExecutor(4) as pool:
        trees = list(pool.map(read, texts))
    assert len(trees) == len(texts)


def test_an_interrupt_ends_the_checks_that_run(folder, quick, monkeypatch):
    put(folder, **{"ann__tanh.py": GOOD, "bob__tanh.py": BAD})
    ended, check = [], grading.check

    def waiting(name, text, *rest, stop, **more):
        while text == BAD and not stop():
            time.sleep(0.01)
        ended.append(text)
        return Verdict(name, "stopped", "") if text == BAD else check(name, text, *rest, stop=stop, **more)

    def interrupt(line):
        raise KeyboardInterrupt

    monkeypatch.setattr(grading, "check", waiting)
    with pytest.raises(KeyboardInterrupt):
        grade(folder, folder.parent / "out", homework=of_names(["tanh"]), jobs=2, report=interrupt)
    assert ended == [GOOD, BAD] and [path.name for path in (folder.parent / "out" / "students").iterdir()] == ["ann"]


def test_results_inside_of_the_submissions_are_skipped_and_never_believed(folder, quick):
    """A student might have made that folder."""
    put(folder, **{"ann__tanh.py": GOOD, "eve__tanh.py": BAD})
    out, homework = folder / "out", of_names(["tanh"])
    for _ in range(2):
        grading._checked.cache_clear()
        quick.clear()
        rows = grade(folder, out, homework=homework, seed=SEED)
        assert [(row["student"], row["score"]) for row in rows] == [("ann", 1), ("eve", 0)] and len(quick) == 2


def test_students_are_graded_at_a_time_and_the_rows_stay_in_order(folder, quick):
    for i in range(12):
        write(folder / f"s{i:02}" / "tanh.py", GOOD if i % 3 else BAD)
    found = scores(folder, jobs=4)
    assert list(found) == sorted(found) and list(found.values()) == [int(bool(i % 3)) for i in range(12)]


class Elsewhere(ThreadPoolExecutor):
    """An executor that passes plain data only, as one for other machines does, and loses one job."""

    def submit(self, function, job):
        if job["student"] == "eve":
            future = Future()
            future.set_exception(ConnectionError("gone"))
            return future
        return super().submit(function, json.loads(json.dumps(job)))


def test_an_executor_grades_elsewhere_and_a_lost_job_is_graded_the_next_time(folder, quick):
    put(folder, **{"ann__tanh.py": GOOD, "eve__tanh.py": GOOD})
    with Elsewhere(1) as executor:
        assert scores(folder, executor=executor) == {"ann": 1, "eve": 0}
    assert scores(folder) == {"ann": 1, "eve": 1}


# ------------------------------------------------------------ homework

HOMEWORK = """[homework]
title = Homework 3: $-signs and = signs
due = 2026-12-01 23:59+11:00
late_percent = 10      ; a day
late_days = 3
seed = 7
partial = yes

[points]
tanh = 2
mul = 0.5
"""


@pytest.fixture
def file(tmp_path):
    write(tmp_path / "hw3.ini", HOMEWORK)
    return tmp_path / "hw3.ini"


def test_a_homework_is_read_from_its_file(file):
    homework = read_homework(file)
    assert homework.points == {"tanh": 2, "mul": 0.5} and homework.max_score == 2.5 and homework.seed == 7
    assert [e.name for e in homework.exercises] == ["tanh", "mul"] and homework.partial
    assert homework.due == datetime(2026, 12, 1, 12, 59, tzinfo=timezone.utc)


def test_the_example_in_the_docs_is_a_homework(file):
    example = [line[4:] for line in homework_file.__doc__.splitlines() if line.startswith("    ")]
    write(file, "\n".join(example))
    homework = read_homework(file)
    assert list(homework.points) == ["magnitude_mask", "threshold_mask"] and homework.late_days == 3
    assert {line.split(" =")[0] for line in example if " = " in line} == {*homework_file.KEYS, *homework.points}


@pytest.mark.parametrize("old, new, words", [
    ("tanh = 2", "tahn = 2", "did you mean tanh"), ("tanh = 2", "tanh = -2", "tanh must be a number"),
    ("tanh = 2", "tanh = nan", "tanh must"), ("tanh = 2", "tanh", "."), ("tanh = 2", "tanh = 2\ntanh = 3", "tanh"),
    ("+11:00", "", "due must be like"), ("2026-12-01", "soon", "due must"), ("= 7", "= x", "seed must"),
    ("partial = yes", "partial = maybe", "yes or no"), ("late_days", "late_day", "there is no late_day"),
    ("[points]", "[marks]", "section"), ("[homework]", "homework", "no section headers")])
def test_what_is_wrong_in_a_homework_is_said(file, old, new, words):
    write(file, HOMEWORK.replace(old, new))
    with pytest.raises(ValueError, match=rf"hw3\.ini: .*{words}"):
        read_homework(file)


@pytest.mark.parametrize("hours, kept, words", [
    (-1, 1, ""), (0, 1, ""), (1, 0.9, "1 day late: 10 % off"), (24, 0.9, "1 day"), (25, 0.8, "2 days"),
    (72, 0.7, "3 days"), (73, 0, "nothing counts")])
def test_late_homework_loses_a_share_for_each_day_begun(file, hours, kept, words):
    homework = read_homework(file)
    share, said = homework.late(homework.due + timedelta(hours=hours))
    assert share == pytest.approx(kept) and words in said and (said == "") == (hours <= 0)
    assert homework.late(None) == (1, "") == Homework({"tanh": 1}).late(homework.due)


def test_times_of_submission_are_a_table_of_the_teacher(file, folder, quick):
    put(folder, **{"ann__tanh.py": GOOD, "bob__tanh.py": GOOD, "eve__tanh.py": GOOD, "ann__mul.py": GOOD,
                   "submitted.csv": "student,submitted\nann,2026-12-02 12:00+11:00\nbob,2026-12-01T00:00:00Z\n"
                                    "eve,soon\n"})
    rows = grade(folder, folder.parent / "out", homework=read_homework(file))
    assert [row["score"] for row in rows] == [2.25, 2, 2]
    assert "eve" in (folder.parent / "out" / "unused.csv").read_text(encoding="utf-8")


@pytest.mark.parametrize("content", ["", "student;submitted\nann;2026-12-02 12:00+11:00\n", "name,time\nann,now\n"])
def test_a_table_of_times_that_says_nothing_is_listed(content, file, folder, quick):
    """Otherwise a class that handed in late would be on time, and nobody would see why."""
    put(folder, **{"ann__tanh.py": GOOD, "submitted.csv": content})
    grade(folder, folder.parent / "out", homework=read_homework(file))
    assert "student,submitted" in (folder.parent / "out" / "unused.csv").read_text(encoding="utf-8")


def test_names_in_the_table_of_times_are_those_of_the_grades(file, folder, quick):
    """A name that nobody has is listed, and so is whom Canvas marks as late and the table does not have."""
    first, second = ("a=b", "a?b") if os.name == "nt" else ("a\tb", "a b")    # two names that look the same
    put(folder, **{f"{first}__tanh.py": GOOD, f"{second}__tanh.py": GOOD, "eve_LATE_1_2_tanh.py": GOOD})
    out, homework = folder.parent / "out", read_homework(file)
    shown = [row["student"] for row in grade(folder, out, homework=homework)]
    assert len(set(shown)) == 3
    write(folder / "submitted.csv", "student,submitted\n" + "".join(
        f"{name},2026-12-02 12:00+11:00\n" for name in [shown[1], "nobody"]))
    rows = grade(folder, out, homework=homework)
    assert [row["score"] for row in rows] == [2, 1.8, 2] and not any(row["note"] for row in rows)
    results = [json.loads(path.read_text(encoding="utf-8")) for path in out.glob("students/*/results.json")]
    assert sorted(result["score"] for result in results) == [1.8, 2, 2], "written again with the points that are left"
    unused = (out / "unused.csv").read_text(encoding="utf-8")
    assert "nobody: grades.csv has no student" in unused
    assert "eve_1: Canvas marks it as late" in unused and unused.count("Canvas") == 1
    with open(out / "answers.csv", encoding="utf-8") as answers:
        assert {row["student"] for row in csv.DictReader(answers)} == set(shown)


def test_an_empty_file_is_not_written_yet(folder, quick):
    put(folder, **{"ann__tanh.py": "\n", "bob__tanh.py": GOOD})
    assert scores(folder) == {"ann": 0, "bob": 1} and quick == [("tanh", GOOD)]
    assert "ann,tanh,unwritten" in (folder.parent / "out" / "answers.csv").read_text(encoding="utf-8")


def test_a_part_of_the_laws_gives_a_part_of_the_points_and_free_laws_give_none(folder, quick):
    """Of the laws "a" and "b" a wrong answer keeps "a", and so does the one that returns None."""
    put(folder, **{"ann__tanh.py": BAD})
    assert grade(folder, folder.parent / "out", homework=Homework({"tanh": 4}, partial=True))[0]["score"] == 0
    tests = [{"id": i, "outcome": "passed" if i in "ab" else "failed"} for i in "abcd"]
    for reason, share in (("2 of 4 tests fail", 1 / 3), ("it changed what is not its own: x", 0),
                          ("3 tests ran where there must be 4", 0), ("", 0)):
        verdict = Verdict("tanh", "failed", reason, tests=tests)
        assert grading.kept_share(verdict, lambda: {"a"}) == pytest.approx(share)
    assert grading.kept_share(Verdict("tanh", "failed", "2 of 4 tests fail", tests=tests), lambda: set("abcd")) == 0


# ------------------------------------------------------------ what the class got wrong

def test_the_class_is_a_table_a_picture_and_a_row_for_each_answer(file, folder, quick):
    for i in range(5):
        write(folder / f"s{i}" / "tanh.py", GOOD if i < 2 else BAD)
        write(folder / f"s{i}" / ".progress.json", json.dumps({"tanh": {str(k): "failed" for k in range(i)}}))
    grade(folder, folder.parent / "out", homework=read_homework(file))
    out = folder.parent / "out"
    with open(out / "answers.csv", encoding="utf-8") as read:
        rows = list(csv.DictReader(read))
    assert len(rows) == 10 and {row["exercise"] for row in rows} == {"tanh", "mul"}
    assert [row["status"] for row in rows if row["exercise"] == "tanh"] == ["solved"] * 2 + ["failed"] * 3
    lines = (out / "class.txt").read_text(encoding="utf-8").splitlines()
    [line] = [line.split() for line in lines if line.startswith("tanh ")]
    assert line == ["tanh", "2", "3", ".", ".", ".", ".", "2.5"]
    assert any(line.strip().startswith(f"3 x tanh: {find('tanh').mistakes[0].why[:30]}") for line in lines)
    pytest.importorskip("matplotlib")
    assert (out / "class.png").read_bytes().startswith(b"\x89PNG")


def test_without_matplotlib_there_is_no_picture(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert list(overview.tables(of_names(["tanh"]), [])) == ["answers.csv", "class.txt"]


# ------------------------------------------------------------ as a teacher types it

def test_the_way_of_a_teacher(file, tmp_path, capsys, monkeypatch):
    """From the file of a homework to the grades, by commands; the answers really run."""
    monkeypatch.chdir(tmp_path)
    assert main(["homework", "hw3.ini"]) == 0
    assert sorted(p.name for p in (tmp_path / "hw3").iterdir()) == ["README.txt", "mul.py", "tanh.py"]
    sheet = (tmp_path / "hw3" / "README.txt").read_text(encoding="utf-8")
    assert "Due 2026-12-01 23:59" in sheet and "10 %" in sheet and "check tanh --dir hw3" in sheet
    stub = (tmp_path / "hw3" / "tanh.py").read_text(encoding="utf-8")
    assert "    python -m tinyml.exercises check tanh --dir hw3\n" in stub and sys.executable not in stub
    assert stub.splitlines()[-1] == stub_text(find("tanh")).splitlines()[-1]
    for student in ("ann", "bob"):
        shutil.copytree("hw3", tmp_path / "class" / student)
    write(tmp_path / "class" / "ann" / "tanh.py", answer_text(find("tanh")))
    write(tmp_path / "class" / "ann" / "essay.txt", "")
    write(tmp_path / "class" / "bob" / "tanh.py", answer_text(find("tanh"), find("tanh").mistakes[0]))
    monkeypatch.setattr(grading, "_free", lambda *arguments: frozenset())
    capsys.readouterr()
    assert main(["grade", "class", "--homework", "hw3.ini"]) == 0
    said = capsys.readouterr().out
    assert "ann" in said and "2 of 2.5" in said and "seen and not used" in said
    result = json.loads((tmp_path / "grades/students/ann/results.json").read_text(encoding="utf-8"))
    assert result["score"] == 2 and [t["status"] for t in result["tests"]] == ["passed", "failed"]
    result = json.loads((tmp_path / "grades/students/bob/results.json").read_text(encoding="utf-8"))
    assert 0 < result["score"] < 2 and find("tanh").mistakes[0].why.split(",")[0] in result["tests"][0]["output"]
    feedback = (tmp_path / "grades/students/bob/feedback.txt").read_text(encoding="utf-8")
    assert feedback.startswith("Homework 3") and all(test["output"] in feedback for test in result["tests"])
    for text in [*strings(result), feedback]:    # nothing of the teacher's machine
        assert not any(place in text for place in (str(tmp_path), sys.executable, str(ROOT)))
    assert main(["grade", "class", "--homework", "hw3.ini", "--exercises", "tanh"]) == 2
    assert main(["grade", "nowhere"]) == 2 and "folder of submissions" in capsys.readouterr().err


def strings(value):
    if isinstance(value, dict):
        value = [*value, *value.values()]
    return [text for item in value for text in strings(item)] if isinstance(value, list) else [str(value)]


def test_results_for_gradescope_have_its_fields(file, folder, quick, monkeypatch):
    monkeypatch.setattr(grading, "_free", lambda *arguments: frozenset())
    put(folder, **{"hw__tanh.py": "raise", "mul.py": BAD, "essay.txt": "x"})
    metadata = {"created_at": "2026-12-02T10:00:00.5+11:00", "users": [{"assignment": {"due_date": None}}],
                "assignment": {"due_date": "2026-12-01T23:59:00+11:00"}}
    write(folder.parent / "meta.json", json.dumps(metadata))
    out = folder.parent / "results"
    grade_one(folder, out, homework=read_homework(file), metadata=folder.parent / "meta.json")
    result = json.loads((out / "results.json").read_text(encoding="utf-8"))
    first, second = result["tests"]
    assert first["score"] == 0 and 0 < second["score"] < 0.5 and second["status"] == "failed"
    assert result["score"] == pytest.approx(0.9 * second["score"], abs=0.01) and "lost" in first["tags"]
    assert result["execution_time"] >= 0 and [t["number"] for t in result["tests"]] == ["1", "2"]
    assert "1 day late" in result["output"] and "essay.txt" in result["output"] and "engine" in first["tags"]


@pytest.mark.parametrize("metadata", ["", "[]", "{}", '{"created_at": 3}', '{"created_at": "x"}'])
def test_metadata_that_say_nothing_cost_nothing(file, folder, quick, metadata):
    put(folder, **{"tanh.py": GOOD})
    write(folder.parent / "meta.json", metadata)
    out = folder.parent / "results"
    assert grade_one(folder, out, homework=read_homework(file), metadata=folder.parent / "meta.json")["score"] == 2


# ------------------------------------------------------------ the autograder

@pytest.mark.skipif(os.name == "nt", reason="Gradescope's scripts are for Linux")
def test_the_scripts_of_the_autograder_run_as_gradescope_runs_them(file, tmp_path):
    """/autograder/source, submission and results, here below a scratch folder; pip finds its packages here."""
    pytest.importorskip("pip")
    write(file, HOMEWORK.replace("mul = 0.5\n", ""))
    root = tmp_path / "autograder"
    for name in ("source", "submission", "results"):
        (root / name).mkdir(parents=True)
    assert gradescope.autograder(file) == gradescope.autograder(file), "the same homework gives the same bytes"
    with zipfile.ZipFile(io.BytesIO(gradescope.autograder(file))) as archive:
        archive.extractall(root / "source")
        assert stat.S_IMODE(archive.getinfo("setup.sh").external_attr >> 16) == 0o755
    write(root / "submission" / "tanh.py", answer_text(find("tanh")))
    write(root / "submission_metadata.json", json.dumps({"created_at": "2026-11-30T10:00:00+11:00"}))
    shutil.copy(root / "source" / "run_autograder", root / "run_autograder")
    environment = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "PIP_NO_INDEX": "1",
                   "PIP_DISABLE_PIP_VERSION_CHECK": "1", "HOME": str(tmp_path), "PIP_ROOT_USER_ACTION": "ignore"}
    for script in ("source/setup.sh", "run_autograder"):
        run = subprocess.run(["bash", str(root / script)], cwd=root, env=environment, capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
    result = json.loads((root / "results" / "results.json").read_text(encoding="utf-8"))
    assert result["score"] == 2 and result["tests"][0]["status"] == "passed", result
    assert "site-packages" not in json.dumps(result) and str(root) not in json.dumps(result)
