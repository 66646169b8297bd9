"""The commands of a teacher: (arguments, say) -> exit code; `say` prints data or text."""
import os
from pathlib import Path

from tinyml.exercises.course import gradescope as autograder
from tinyml.exercises.course.grade import grade as grade_class
from tinyml.exercises.course.grade import grade_one
from tinyml.exercises.course.homework import of_names, read_homework
from tinyml.exercises.student.report import clean
from tinyml.exercises.student.stub import PYTHON, RUN, stub_text
from tinyml.exercises.student.workspace import Workspace
from tinyml.files import write

SHOWN = 10    # files that are listed of those that were not used


def grade(arguments, say):
    """Grade a folder of submissions, or one submission for Gradescope."""
    if arguments.homework and arguments.exercises:
        raise ValueError("the exercises are those of the homework; leave out --exercises")
    homework = (read_homework(arguments.homework) if arguments.homework
                else of_names(arguments.exercises))
    if arguments.one:
        result = grade_one(arguments.folder, arguments.out, homework=homework, seed=arguments.seed,
                           metadata=arguments.metadata)
        say(result, f"{result['score']} of {homework.max_score}: {arguments.out}/results.json")
        return 0
    quiet, jobs = arguments.json, arguments.jobs or os.cpu_count() or 1
    if not quiet:
        say(None, f"grading, {jobs} at a time; students are listed as they are done")
    try:
        rows = grade_class(arguments.folder, arguments.out, homework=homework, seed=arguments.seed,
                           jobs=jobs,
                           report=(lambda line: None) if quiet else lambda line: say(None, line))
    except KeyboardInterrupt:
        if not quiet:
            say(None, "interrupted; the same command goes on from here")
        raise
    out = Path(arguments.out)
    unused = _written(out / "unused.csv").splitlines()[1:]
    picture = "class.png, " if (out / "class.png").exists() else ""
    lines = [f"written to {out}: grades.csv, answers.csv, class.txt, {picture}and students/ with "
             "feedback.txt and results.json for each"]
    more = f" (the first {SHOWN}; all are in unused.csv)" if len(unused) > SHOWN else ""
    lines += [f"seen and not used{more}"] * bool(unused)
    lines += [f"    {clean(line)}" for line in unused[:SHOWN]]
    say(rows, "\n".join(["", _written(out / "class.txt"), *lines]))
    return 0


def _written(path):
    """The text of a table, or nothing if it could not be written, which was said."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""


def homework(arguments, say):
    """Make the folder of a homework, for students."""
    task = read_homework(arguments.file)
    folder = Path(arguments.dir or Path(arguments.file).stem)
    arguments.dir = folder
    space = Workspace(folder)
    written = [e.name for e in task.exercises if space.start(e.name, _stub(e, folder))]
    write(folder / "README.txt", _sheet(task, folder).encode())
    kept = len(task.exercises) - len(written)
    was = f" ({kept} were there already, and are as they were)" if kept else ""
    say({"folder": str(folder), "written": written},
        f"{folder} is ready: {len(task.exercises)} exercises{was}, and README.txt for students.")
    return 0


def _stub(exercise, folder):
    """The file of an exercise with commands for any machine, and this folder."""
    command = f"check {exercise.name}"
    text = stub_text(exercise).replace(f"{RUN} {command}", f"{RUN} {command} --dir {folder.name}")
    return text.replace(f" {PYTHON} -m ", " python -m ")


def _sheet(task, folder):
    """What a student reads first."""
    lines = [task.title, "=" * len(task.title), ""]
    if task.due:
        lines += [f"Due {task.due:%Y-%m-%d %H:%M} ({task.due.tzname()})."]
        lines += [f"Each day late costs {task.late_percent:g} %."] * bool(task.late_percent)
        lines += [f"Nothing counts after {task.late_days} days."] * (task.late_days is not None)
        lines += [""]
    for exercise in task.exercises:
        points = task.points[exercise.name]
        unit = "point" if points == 1 else "points"
        lines.append(f"{exercise.name + '.py':<32} {points:>4} {unit}, "
                     f"about {exercise.minutes} minutes: {exercise.task}")
    part = "Points are given for a part of the laws. " if task.partial else ""
    first = task.exercises[0].name
    return "\n".join([
        *lines, "", "In each file, replace the last line. Check it as often as you like, from the "
        "folder that contains this one,",
        'with tinyml and its tests (from a clone: pip install -e ".[test]"):', "",
        f"    python -m tinyml.exercises check {first} --dir {folder.name}", "",
        f"{part}Hand in this folder. Your answers are graded by the same tests, on fresh inputs.",
        ""])


def gradescope(arguments, say):
    """Write the zip of an autograder for Gradescope."""
    out = Path(arguments.out or f"{Path(arguments.file).stem}-gradescope.zip")
    autograder.save(arguments.file, out)
    say({"zip": str(out)},
        f"{out} is the autograder: upload it in Gradescope, Configure Autograder.\n"
        f"To try it here:  {RUN} grade FOLDER --one --homework {arguments.file} --out results")
    return 0
