"""Grade a class: the very check that students run, for every answer that was handed in.

One submission never ends the grading: whatever goes wrong with it is a note in its row. The results
of a student are written as soon as they are there, so that the same command goes on where it was
interrupted; the tables of the class are written when all are graded.
"""
import hashlib
import json
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import cache, lru_cache, partial
from pathlib import Path

from tinyml.exercises.catalogue import find
from tinyml.exercises.course import overview
from tinyml.exercises.course.collect import TIMES, collect, one
from tinyml.exercises.course.homework import moment, of_names, tidy
from tinyml.exercises.course.results import Results, cells, read_table
from tinyml.exercises.student import report as words
from tinyml.exercises.student.check import LIMITS, Verdict, check, fresh_seed
from tinyml.exercises.student.stub import NOT_WRITTEN, PYTHON, ROOT, stub_text


class Stopped(Exception):
    """The grading was given up while an answer was checked."""


def grade(folder, out, *, homework=None, seed=None, jobs=1, executor=None, limits=LIMITS,
          report=lambda line: None):
    """Grade all submissions of a folder.

    Parameters
    ----------
    folder : path, a folder or zip of what the class handed in, see `collect`
    out : path, the folder of the results: a new one, or that of an earlier grading, which goes on
    homework : Homework or None, what counts (None: every exercise, a point for each level)
    seed : int or None, the same for everybody (None: the homework's, or that of earlier results)
    jobs : int >= 1, students that are graded at a time
    executor : concurrent.futures.Executor or None, to grade elsewhere, on more machines
    limits : dict, as in `check`
    report : function of a line of progress

    Returns
    -------
    list of dict with student, score, max_score, late, solved and note, one per student

    Raises
    ------
    NotADirectoryError : there is no such folder
    LookupError : nothing was handed in; earlier results stay
    ValueError : `out` holds other things than results
    """
    folder, out = Path(folder), Path(out)
    homework = of_names() if homework is None else homework
    if not folder.is_dir() and not (folder.suffix.lower() == ".zip" and folder.is_file()):
        raise NotADirectoryError("grade: folder must be a folder of submissions, or a zip of it, "
                                 f"got {folder}")
    results = Results(out, folder, homework.title)
    handed_in, unused = collect(folder, list(homework.points), out)
    _check_any(handed_in, homework, folder, out)
    seed = next(s for s in (seed, homework.seed, results.seed(), fresh_seed()) if s is not None)
    results.begin(seed, [submission.student for submission in handed_in])
    times, wrong_times = _times(folder, results.shown)
    work, rows = {}, {}
    for submission in handed_in:
        job = _job(submission, homework, seed, limits)
        kept = results.kept(submission.student, fingerprint(job))
        if kept is None:
            work[submission.student] = job
        else:
            row = rows[submission.student] = _row(submission, kept, homework, times)
            row["note"] = _joined(row["note"],    # written again: the times may be new
                                  results.save(submission.student, fingerprint(job), row, seed))
    if rows:
        report(f"{len(rows)} of {len(handed_in)} were graded before")
    by_name = {submission.student: submission for submission in handed_in}
    for student, entries in _all(work, jobs, executor):
        row = rows[student] = _row(by_name[student], entries, homework, times)
        lost = any(entry["status"] == "lost" for entry in entries)
        fault = results.save(student, "" if lost else fingerprint(work[student]), row, seed)
        row["note"] = _joined(row["note"], fault)
        report(f"{results.shown[student]:<30} {row['score']} of {row['max_score']}")
    ordered = [{**rows[submission.student], "student": results.shown[submission.student]}
               for submission in handed_in]
    unused = [*wrong_times, *_without_a_time(handed_in, homework, times, results.shown), *unused,
              *(pair for submission in handed_in for pair in submission.unused)]
    results.finish(ordered, unused, overview.tables(homework, ordered))
    for fault in results.faults:
        report(fault)
    return [{key: row[key] for key in results.COLUMNS} for row in ordered]


def _check_any(handed_in, homework, folder, out):
    """Raise LookupError if no student has an answer."""
    if not any(submission.answers for submission in handed_in):
        some = ", ".join(f"{name}.py" for name in list(homework.points)[:3])
        raise LookupError(f"there is nothing to grade in {folder}: no student has a file such as "
                          f"{some}. Nothing was written to {out}")


def _without_a_time(handed_in, homework, times, shown):
    """(file, what to write in it) for each student whom Canvas marks as late without a time."""
    marked = [submission.student for submission in handed_in
              if submission.marked_late and homework.due and submission.student not in times]
    return [(TIMES, f"{shown[student]}: Canvas marks it as late; write when it was handed in")
            for student in marked]


def _joined(*notes):
    return "; ".join(filter(None, notes))


def _job(submission, homework, seed, limits):
    """All that is needed to grade a student elsewhere, as plain data."""
    return {"student": submission.student, "seed": seed, "limits": limits,
            "points": {e.name: homework.points[e.name] for e in homework.exercises},
            "partial": homework.partial, "answers": submission.texts(),
            "attempts": submission.attempts}


def fingerprint(job):
    """A word that changes whenever the result might."""
    return hashlib.sha256(json.dumps([job, _library()], sort_keys=True).encode()).hexdigest()


@cache
def _library():
    """The same of the library and its tests."""
    files = sorted([*ROOT.glob("tinyml/**/*.py"), *ROOT.glob("tests/*.py")])
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


def _all(work, jobs, executor):
    """(student, entries) of all jobs as they end; a job that is lost is a fault of its answers."""
    stop, own = threading.Event(), None
    if executor is None:
        own = executor = ThreadPoolExecutor(max(1, jobs))
    try:
        arguments = () if own is None else (stop.is_set,)
        futures = {executor.submit(graded, job, *arguments): student
                   for student, job in work.items()}
        for future in as_completed(futures):
            student = futures[future]
            try:
                yield student, future.result()
            except Exception as error:    # of the machine that it ran on
                reason = f"it could not be graded: {type(error).__name__}: {error}"
                yield student, [_entry(find(name), points, Verdict(name, "lost", reason), 0)
                                for name, points in work[student]["points"].items()]
    finally:    # also when somebody interrupts it
        stop.set()
        if own is not None:
            own.shutdown(cancel_futures=True)


# ------------------------------------------------------------ one student

def graded(job, stop=None):
    """The entries of all exercises of a student; see `_job`."""
    entries = []
    for name, points in job["points"].items():
        text, fault = job["answers"].get(name, (None, ""))
        begun = time.perf_counter()
        verdict = _verdict(name, text, fault, job["seed"], job["limits"], stop)
        share = 1.0 if verdict.solved else 0.0
        if not verdict.solved and job["partial"]:
            share = kept_share(verdict, partial(_free, name, job["seed"], _frozen(job["limits"])))
        entry = _entry(find(name), points, verdict, share)
        entry["seconds"] = round(time.perf_counter() - begun, 2)
        entry["attempts"] = job["attempts"].get(name)
        entries.append(entry)
    return entries


def _verdict(name, text, fault, seed, limits, stop):
    if text is None:
        status = "refused" if fault else "unwritten"
        return Verdict(name, status, fault or "not handed in", "", seed)
    if not text.strip():
        return Verdict(name, "unwritten", "the file is empty", f"{name}.py", seed)
    try:
        return _checked(name, text, seed, _frozen(limits), stop)
    except Stopped:
        raise
    except Exception as error:    # whatever one answer does, the others are graded
        return Verdict(name, "lost", f"the grader failed: {type(error).__name__}: {error}", "", seed)


def _frozen(limits):
    return tuple(sorted(limits.items()))


@lru_cache(maxsize=1024)
def _checked(name, text, seed, limits, stop):
    """The verdict on a text, of which a class hands in some more than once."""
    verdict = check(name, text, f"{name}.py", seed=seed, limits=dict(limits), stop=stop)
    if verdict.status == "stopped":
        raise Stopped
    return verdict


@lru_cache(maxsize=256)
def _free(name, seed, limits):
    """The laws that an answer keeps which does nothing; they are worth nothing."""
    text = re.sub(rf"raise NotImplementedError\(.*{NOT_WRITTEN}.*\)", "return None",
                  stub_text(find(name)))
    verdict = check(name, text, seed=seed, limits=dict(limits))
    return frozenset(test["id"] for test in verdict.tests if test["outcome"] == "passed")


def kept_share(verdict, free):
    """The share of the laws that an answer kept, of those that are not among the ids free()."""
    beyond = verdict.reason.startswith("the tests pass, but")    # one more thing is asked
    if not beyond and not re.fullmatch(r"\d+ of \d+ tests fail", verdict.reason):
        return 0.0
    worthless = free()
    counted = [test for test in verdict.tests if test["id"] not in worthless]
    kept = sum(test["outcome"] == "passed" for test in counted) - beyond
    return max(kept, 0) / len(counted) if counted else 0.0


def _entry(exercise, points, verdict, share):
    """What became of one answer, as plain data."""
    diagnosis = verdict.tutor.get("diagnosis") if isinstance(verdict.tutor, dict) else None
    output = words.clean(words.verdict(verdict, exercise))
    for path, word in ((PYTHON, "python"), (str(ROOT), "tinyml")):    # of the teacher's machine
        output = output.replace(path, word)
    if 0 < share < 1:
        output += f"\n\n  It keeps a part of the laws: {tidy(share * points)} of {points} points."
    return {"exercise": exercise.name, "status": verdict.status,
            "reason": words.clean(verdict.reason.partition("\n")[0])[:200],
            "score": tidy(share * points), "max_score": points, "output": output,
            "mistake": "" if diagnosis is None else exercise.mistakes[diagnosis].why}


def _row(submission, entries, homework, times):
    """The row of a student."""
    kept, late = homework.late(times.get(submission.student))
    total = sum(entry["score"] for entry in entries)
    lost = [f"{e['exercise']}: {e['reason']}; grade again" for e in entries if e["status"] == "lost"]
    return {"student": submission.student, "score": tidy(kept * total),
            "max_score": homework.max_score, "late": late,
            "solved": sum(entry["status"] == "solved" for entry in entries),
            "note": "; ".join([*submission.faults[:5], *lost]), "entries": entries}


def _times(folder, shown):
    """({student: time of submission}, [(path, why)]) from the table of a folder, if it has one.

    Parameters
    ----------
    folder : Path
    shown : dict, student -> name in grades.csv, which is the name in the table
    """
    times, wrong = {}, []
    students = {name: student for student, name in shown.items()}
    rows = list(read_table(folder / TIMES, "student", "submitted"))
    if not rows and (folder / TIMES).exists():    # such as one that is separated by semicolons
        wrong.append((TIMES, "it has no row under a first line: student,submitted"))
    for name, time_of in rows:
        student = students.get(name.strip())
        if student is None:
            wrong.append((TIMES, f"{name}: grades.csv has no student of that name"))
            continue
        try:
            times[student] = moment(time_of, "submitted")
        except ValueError as error:
            wrong.append((TIMES, f"{name}: {error}"))
    return times, wrong


# ------------------------------------------------------------ one submission, for Gradescope

def grade_one(folder, out, *, homework, metadata=None, seed=None, limits=LIMITS):
    """Grade the files of one student to out/results.json, as Gradescope asks; return its content.

    Parameters
    ----------
    folder : path, the submission
    out : path, a folder
    homework : Homework
    metadata : path or None, Gradescope's file about the submission: when it was made, and until
        when it could be
    seed : int or None, as in `grade`
    limits : dict, as in `check`
    """
    seed = next(s for s in (seed, homework.seed, fresh_seed()) if s is not None)
    submission = one(folder, list(homework.points))
    entries = graded(_job(submission, homework, seed, limits))
    submitted, due = _moments(metadata)
    kept, late = homework.late(submitted, due)
    row = _row(submission, entries, homework, {})
    row.update(score=tidy(kept * row["score"]), late=late)
    row["unused"] = submission.unused
    result = cells(row, seed)
    Results.replace(Path(out), ("results.json",), json.dumps(result, indent=1))
    return result


def _moments(metadata):
    """(time of submission, due date of this student) in Gradescope's file, each None if it is not there."""
    try:
        data = json.loads(Path(metadata).read_text(encoding="utf-8"))
        submitted = moment(data["created_at"], "created_at")
    except (TypeError, OSError, ValueError, LookupError, AttributeError):
        return None, None
    dates = []
    for user in data.get("users") or [{}]:
        for place in (user.get("assignment") or {}, data.get("assignment") or {}):
            if place.get("due_date"):
                dates.append(moment(place["due_date"], "due_date"))
                break
    return submitted, max(dates, default=None)
