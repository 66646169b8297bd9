"""Grade a class: the very check that students run, over a folder of submissions.

A submission is a folder of answers (alice/tanh.py, or alice/anything/tanh.py), or single files
(alice.tanh.py). Each answer runs in a child of its own, with limits; links are not followed. After every
answer the results so far are on the disk: grades.csv and grades.txt for all, and for each student a
results.json in Gradescope's format.
"""
import csv
import io
import json
from pathlib import Path

from tinyml.exercises import report as words
from tinyml.exercises.catalogue import exercises, find
from tinyml.exercises.check import Verdict, check, fresh_seed
from tinyml.exercises.screen import LARGEST, load
from tinyml.exercises.workspace import replace


def grade(folder, out, *, seed=None, names=None, report=lambda line: None, limits=None):
    """Grade all submissions of a folder.

    Parameters
    ----------
    folder : path, with one folder of answers, or some files, per student
    out : path, the folder for the results
    seed : int or None for a fresh one; the same for everybody
    names : list of str or None, the exercises that count (None: all)
    report : function of a line of progress
    limits : dict or None, as in `check`

    Returns
    -------
    list of dict with student, score, max_score and note, one per student

    Raises
    ------
    NotADirectoryError : there is no such folder
    LookupError : there is no exercise of a name
    """
    folder, out = Path(folder), Path(out)
    if not folder.is_dir():
        raise NotADirectoryError(f"grade: folder must be a folder of submissions, got {folder}")
    chosen = [find(name) for name in names or exercises()]
    seed, rows = fresh_seed() if seed is None else seed, []
    options = {} if limits is None else {"limits": limits}
    handed_in = submissions(folder, {e.name for e in chosen}, out)
    places = _apart(handed_in, plain)
    for student, answers in sorted(handed_in.items()):
        rows.append({"student": student, "score": 0, "max_score": sum(e.level for e in chosen), "note": ""})
        tests = {e.name: _entry(e) for e in chosen}
        for exercise in chosen:
            verdict = _verdict(exercise, answers.get(exercise.name), seed, options)
            tests[exercise.name] = _entry(exercise, verdict)
            rows[-1]["score"] = sum(test["score"] for test in tests.values())
            rows[-1]["note"] = " ".join(f"{name}" for name, test in tests.items() if test["status"] == "passed")
            _write(out, places[student], tests, rows, seed)
        report(f"{student:<30} {rows[-1]['score']} of {rows[-1]['max_score']}")
    return rows


def submissions(folder, names, out):
    """{student: {exercise: path}} of all that is handed in; nothing is opened, no link is followed."""
    found = {}    # name on the disk -> answers
    for entry in sorted(folder.iterdir()):
        student, _, name = entry.name.removesuffix(".py").rpartition(".")
        if entry.is_dir() and not entry.is_symlink() and not entry.name.startswith("."):
            if entry.resolve() == out.resolve():    # the results of the last time
                continue
            paths = [p for pattern in ("*/*.py", "*.py") for p in sorted(entry.glob(pattern))]
            found.setdefault(entry.name, {}).update({p.stem: p for p in paths if p.stem in names})
        elif entry.suffix == ".py" and student and name in names:
            found.setdefault(student, {})[name] = entry
    return {student: found[name] for name, student in _apart(found, title).items()}


def _apart(names, change):
    """{name: changed name}, all different, also where capital letters do not count."""
    taken, found = {"grades.csv", "grades.txt"}, {}
    for name in sorted(names):
        short = change(name)[:100]
        free = (short + mark for mark in ["", *(f" ({i})" for i in range(2, len(names) + 4))])
        found[name] = next(word for word in free if word.lower() not in taken)
        taken.add(found[name].lower())
    return found


def title(name):
    """The name of a student as one line, with nothing that a spreadsheet computes."""
    text = words.clean(name).replace("\n", "?")
    return "'" + text if text[:1] in "=+-@" else text


def _verdict(exercise, path, seed, options):
    if path is None:
        return Verdict(exercise.name, "unwritten", "not handed in", "", seed)
    linked = path.is_symlink() or any(parent.is_symlink() for parent in list(path.parents)[:2])
    if linked or not path.is_file() or path.stat().st_size > LARGEST:
        return Verdict(exercise.name, "refused", "not a plain file of moderate size", str(path), seed)
    try:
        return check(exercise.name, load(path), path.name, seed=seed, **options)
    except OSError as error:
        return Verdict(exercise.name, "refused", f"it cannot be read: {error}", str(path), seed)
    except Exception as error:    # whatever one answer does, the others are graded
        return Verdict(exercise.name, "crashed", f"the grader failed: {type(error).__name__}", str(path), seed)


def _entry(exercise, verdict=None):
    """One test of a results.json."""
    solved = verdict is not None and verdict.solved
    output = "not graded yet" if verdict is None else words.verdict(verdict, exercise)
    return {"name": exercise.name, "score": exercise.level if solved else 0, "max_score": exercise.level,
            "status": "passed" if solved else "failed", "output": words.clean(output)}


def plain(student):
    """The name of a folder that every system can have."""
    return "".join(c if c.isalnum() or c in " ._-'@+()" else "_" for c in student).strip(". ") or "_"


def _write(out, place, tests, rows, seed):
    """All results so far, each file whole at any time."""
    result = {"score": rows[-1]["score"], "output": f"seed {seed}", "visibility": "visible",
              "tests": list(tests.values())}
    replace(out / place / "results.json", json.dumps(result, indent=1))
    table = io.StringIO()
    writer = csv.DictWriter(table, ["student", "score", "max_score", "note"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    replace(out / "grades.csv", table.getvalue())
    replace(out / "grades.txt", words.grades(rows, out) + "\n")
