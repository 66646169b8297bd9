"""Write functions of the library again, and have them checked: python -m tinyml.exercises start

Exit codes: 0 solved (or done), 1 not solved, 2 a command that cannot be carried out.
"""
import argparse
import json
import os
import re
import sys
from functools import partial
from pathlib import PurePath

from tinyml.exercises import gate as gates
from tinyml.exercises.catalogue import CHAPTERS, exercises, find
from tinyml.exercises.course import commands
from tinyml.exercises.student import report
from tinyml.exercises.student.check import check
from tinyml.exercises.student.stub import answer_text, graders, source
from tinyml.exercises.student.watch import Watch
from tinyml.exercises.student.workspace import Workspace


def options():
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tinyml.exercises", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for word, (function, arguments) in COMMANDS.items():
        listed = {} if word == "gate" else {"help": function.__doc__}    # that one is for authors
        command = commands.add_parser(word, description=function.__doc__, **listed)
        if word in {"grade", "gradescope"}:    # which have no folder of one's own
            command.set_defaults(dir=None)
        else:
            default = "named as FILE" if word == "homework" else "./tinyml-exercises"
            command.add_argument("--dir", metavar="DIR", help=f"your folder (default: {default})")
        command.add_argument("--json", action="store_true", help="print data for machines")
        for names, settings in arguments:
            command.add_argument(*names, **settings)
    return parser


def say(arguments, data, text):
    """Print text for people, or with --json the data."""
    print(json.dumps(data, indent=1) if arguments.json else fit(arguments, text), flush=True)


def fit(arguments, text, stream=None):
    """Text fit to print; the commands in it name the folder if this one did."""
    if arguments.dir:
        command = rf"{re.escape(report.RUN)} (\w+)"
        text = re.sub(command, lambda match: f'{match[0]} --dir "{arguments.dir}"', text)
    return report.fit(report.clean(text), stream)


def complain(arguments, text):
    """Print on the error stream what cannot be done, and what to do instead."""
    print(fit(arguments, text, sys.stderr), file=sys.stderr)


def current(arguments, space):
    """The exercise that is named, or the one at hand; raises LookupError if there is none."""
    name = arguments.name or space.current()
    if name is None:
        raise LookupError("all exercises are solved; name one to see it again")
    return find(name)


# ------------------------------------------ commands: (arguments, workspace) -> exit code

def do_list(arguments, space):
    """All exercises in the order in which to do them."""
    states = space.states()
    rows = [{"name": e.name, "chapter": c.name, "level": e.level, "minutes": e.minutes,
             "state": states[e.name], "after": list(e.after), "task": e.task}
            for c in CHAPTERS for e in c.exercises]
    say(arguments, rows, report.listing(CHAPTERS, states))
    return 0


def do_start(arguments, space):
    """Write the file of the next exercise."""
    names = list(exercises()) if arguments.all else [current(arguments, space).name]
    written = [name for name in names if space.start(name)]
    data = {"files": [str(space.path(name)) for name in names], "written": written}
    say(arguments, data, report.started(find(names[0]), space, bool(written), len(names)))
    return 0


def do_check(arguments, space):
    """Check what you wrote."""
    exercise = current(arguments, space)
    space.text(exercise.name)    # which says what to do if there is no file
    if not arguments.json:
        print(f"checking {exercise.name} ...", file=sys.stderr, flush=True)
    verdict = checked(exercise.name, space, seed=arguments.seed, everything=arguments.all_pieces)
    say(arguments, verdict.data(), report.verdict(verdict, exercise, space))
    return 0 if verdict.solved else 1


def checked(name, space, *, seed=None, everything=False, stop=None):
    """Check the student's file of an exercise, and remember the verdict."""
    text = space.text(name)
    others = space.finished(without=name) if everything else ()
    verdict = check(name, text, space.path(name), seed=seed, others=others, stop=stop)
    if not everything and verdict.status != "stopped":
        space.remember(verdict, text)
    return verdict


def do_watch(arguments, space):
    """Check again at every save, and go on to the next exercise."""
    watch = Watch(space, current(arguments, space).name,
                  check=lambda name, stop: checked(name, space, stop=stop),
                  say=lambda data, text: say(arguments, data, text))
    watch.listen()
    watch.run()
    return 0


def do_hint(arguments, space):
    """A hint; more with 2 and 3."""
    if (arguments.name or "").isdecimal():    # hint 2: of the next exercise
        arguments.name, arguments.rung = None, int(arguments.name)
    exercise = current(arguments, space)
    if arguments.rung not in (1, 2, 3):
        raise ValueError("there are three hints: 1 direction, 2 formula and shapes, "
                         "3 almost the code")
    rungs = range(1, arguments.rung + 1)
    data = {"exercise": exercise.name, "hints": [exercise.hints[i - 1] for i in rungs]}
    say(arguments, data, report.hints(exercise, arguments.rung))
    return 0


def do_solution(arguments, space):
    """The library's code, and what differs from yours."""
    exercise = current(arguments, space)
    if space.state(exercise.name) != "solved" and not arguments.yes:
        complain(arguments, f"{exercise.name} is not solved yet. Stuck?  "
                 f"{report.RUN} hint {exercise.name}\nTo see the solution all the same:  "
                 f"{report.RUN} solution {exercise.name} --yes")
        return 1
    mine = space.text(exercise.name) if space.path(exercise.name).exists() else ""
    solved = space.state(exercise.name) == "solved"
    data = {"exercise": exercise.name, "reference": answer_text(exercise), "yours": mine}
    path = source(exercise.module).path
    say(arguments, data, report.compared(exercise, mine if solved else "", path))
    return 0


def do_reset(arguments, space):
    """Put the stub back, and keep yours as a backup."""
    exercise = find(arguments.name)
    kept = space.reset(exercise.name)
    data = {"file": str(space.path(exercise.name)), "backup": str(kept) if kept else None}
    where = f"; yours is kept as {kept}" if kept else ""
    say(arguments, data, f"{data['file']} is the stub again{where}")
    return 0


def do_status(arguments, space):
    """How far you are."""
    states = space.states()
    say(arguments, states, report.status(space, states))
    return 0


def do_verify(arguments, space):
    """Check everything again on fresh numbers."""
    names = [name for name, state in space.states().items()
             if state not in {"not started", "unwritten"}]
    verdicts = []
    for name in names:
        verdicts.append(checked(name, space, seed=arguments.seed, everything=arguments.all_pieces))
        if not arguments.json:
            print(report.fit(report.line(verdicts[-1])), flush=True)
    good = sum(v.solved for v in verdicts)
    say(arguments, [v.data() for v in verdicts], f"{good} of {len(names)} solved" if names else
        f"nothing to verify yet; write:  {report.RUN} start")
    return 0 if names and good == len(names) else 1


def do_grade(arguments, space):
    """For teachers: grade a folder of submissions."""
    return commands.grade(arguments, partial(say, arguments))


def do_homework(arguments, space):
    """For teachers: make the folder of a homework that students get."""
    return commands.homework(arguments, partial(say, arguments))


def do_gradescope(arguments, space):
    """For teachers: write the zip of an autograder for Gradescope."""
    return commands.gradescope(arguments, partial(say, arguments))


def do_gate(arguments, space):
    """For authors: prove that the graders grade."""
    findings = gates.examine(arguments.names or list(exercises()), arguments.seed,
                             report=lambda line: arguments.json or print(line, flush=True))
    say(arguments, vars(findings), f"{findings}; {len(findings.faults)} faults")
    return 1 if findings.faults else 0


NAME = (["name"], {"nargs": "?", "metavar": "NAME",
                   "help": "an exercise (default: the one at hand)"})
SEED = (["--seed"], {"type": int, "help": "of the fresh inputs (default: a new one)"})
PIECES = (["--all-pieces"], {"action": "store_true",
                             "help": "with all your solved functions in the library"})
COMMANDS = {
    "list": (do_list, []),
    "start": (do_start, [
        NAME, (["--all"], {"action": "store_true", "help": "write the files of all exercises"})]),
    "check": (do_check, [NAME, SEED, PIECES]),
    "watch": (do_watch, [NAME]),
    "hint": (do_hint, [
        NAME, (["rung"], {"nargs": "?", "type": int, "default": 1, "metavar": "1..3",
                          "help": "1 direction, 2 formula and shapes, 3 almost the code"})]),
    "solution": (do_solution, [
        NAME, (["--yes"], {"action": "store_true", "help": "although it is not solved"})]),
    "reset": (do_reset, [
        (["name"], {"metavar": "NAME"})]),
    "status": (do_status, []),
    "verify": (do_verify, [SEED, PIECES]),
    "homework": (do_homework, [
        (["file"], {"metavar": "FILE", "help": "such as hw3.ini; its keys: course/homework.py"})]),
    "grade": (do_grade, [
        (["folder"], {"metavar": "FOLDER",
                      "help": "of what was handed in, or a zip of it; submitted.csv in it says "
                              "when (see course/__init__.py)"}),
        (["--out"], {"default": "grades", "metavar": "DIR",
                     "help": "for the results (default: grades)"}),
        (["--homework"], {"metavar": "FILE", "help": "what counts (default: all exercises)"}),
        (["--exercises"], {"nargs": "+", "metavar": "NAME", "help": "what counts, in short"}),
        (["--jobs"], {"type": int, "metavar": "N",
                      "help": "students graded at a time (default: one a processor)"}),
        (["--one"], {"action": "store_true",
                     "help": "FOLDER is one submission, as in Gradescope"}),
        (["--metadata"], {"metavar": "FILE", "help": "with --one: Gradescope's file about it"}),
        SEED]),
    "gradescope": (do_gradescope, [
        (["file"], {"metavar": "FILE", "help": "of the homework, such as hw3.ini"}),
        (["--out"], {"metavar": "ZIP", "help": "(default: FILE-gradescope.zip)"})]),
    "gate": (do_gate, [
        (["names"], {"nargs": "*", "metavar": "NAME", "help": "default: all"}), SEED]),
}


def main(words=None):
    """Carry out one command; return its exit code."""
    for stream in (sys.stdout, sys.stderr):    # a console that lacks a character prints "?"
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    arguments = options().parse_args(words)
    if arguments.command is None:
        print(report.WELCOME)
        return 0
    space = Workspace(arguments.dir)
    if getattr(arguments, "name", None):    # shells complete names of files
        arguments.name = PurePath(arguments.name).name.removesuffix(".py")
    testing = {"check", "watch", "verify", "grade", "gate", "gradescope"}
    if graders() is None and arguments.command in testing:
        print(report.NO_TESTS, file=sys.stderr)
        return 2
    try:
        return COMMANDS[arguments.command][0](arguments, space)
    except BrokenPipeError:    # the reader, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (LookupError, OSError, ValueError) as error:
        known = isinstance(error, OSError) and error.filename
        complain(arguments, f"{error.filename}: {error.strerror}; name another folder with --dir"
                 if known else str(error))
        return 2
    except KeyboardInterrupt:
        return 1


if __name__ == "__main__":
    sys.exit(main())
