"""What the commands say to people: plain text, coloured and fitted to the width at the end."""
import ast
import difflib
import os
import re
import shutil
import sys
import textwrap

from tinyml.exercises.exercise import LEVELS
from tinyml.exercises.student.diagnosis import NAMED
from tinyml.exercises.student.stub import PYTHON, RUN, answer_text, body_start
from tinyml.exercises.walls.screen import Refused, piece, read

WELCOME = f"""Write pieces of tinyml again; its own tests tell whether you are right.

    {RUN} start       writes your first file, and says what to do
    {RUN} list        shows all exercises
    {RUN} --help      shows all commands"""
NO_TESTS = ("The exercises are graded by the library's own tests, which an installed package does "
            'not have. Get a clone and write, in its folder: pip install -e ".[test]"')
SIGNS = {"solved": "x", "failed": "!", "refused": "!", "crashed": "!", "timeout": "!",
         "stopped": "?", "unwritten": ".", "unchecked": "?", "not started": " "}
SIGNS_EXPLAINED = ("[x] solved  [!] not right yet  [?] not checked  [.] not written  "
                   "[ ] not started")
LEVELS_EXPLAINED = ("The level of an exercise says what is missing, and is its number of points: "
                    + ", ".join(f"{level} {what}" for level, what in LEVELS.items()) + ".")
WIDTH = 100    # of prose, where no terminal says another
RED, GREEN, BOLD, PLAIN = "\x1b[31m", "\x1b[32m", "\x1b[1m", "\x1b[0m"
HEADS = "It looks like this", "Most likely", "One of the mistakes, most likely"
ONE_OF = "It looks like one of these, which your failed calls do not tell apart"
COLOURS = [(r"\bSOLVED\b|\[x\]|^\+ .*", GREEN), (r"\bNOT YET\b|\[!\]|^- .*", RED),
           (rf"^  ({'|'.join([*HEADS, ONE_OF])}):", BOLD), (r"^    expected ", GREEN),
           (r"^    got ", RED)]


def clean(text):
    """Text without control characters, which a terminal might obey."""
    return "".join(c if c.isprintable() or c in "\n\t" else "?" for c in text)


def fit(text, stream=None):
    """Text for a stream: wrapped and coloured for a terminal, unless NO_COLOR is set."""
    stream = sys.stdout if stream is None else stream
    if not stream.isatty():
        return text
    width = shutil.get_terminal_size((WIDTH, 24)).columns
    text = "\n".join(line for whole in text.split("\n") for line in _wrapped(whole, width))
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or os.name == "nt":
        return text
    for pattern, colour in COLOURS:
        text = re.sub(pattern, lambda match, colour=colour: f"{colour}{match[0]}{PLAIN}", text,
                      flags=re.MULTILINE)
    return text


def _wrapped(line, width):
    """A line in as many as its width needs, the later ones indented a little more."""
    if len(line) <= width:
        return [line]
    indent = " " * min(len(line) - len(line.lstrip()) + 4, width // 2)
    return textwrap.wrap(line, width, subsequent_indent=indent, drop_whitespace=True,
                         replace_whitespace=False, break_long_words=False,
                         break_on_hyphens=False) or [line]


def listing(chapters, states):
    """All exercises, one on a line."""
    lines, width = [], max(len(name) for name in states)
    for chapter in chapters:
        lines += ["", chapter.title]
        for e in chapter.exercises:
            after = f"  after {', '.join(e.after)}" if e.after else ""
            lines.append(f"  [{SIGNS[states[e.name]]}] {e.name:<{width}}  level {e.level} "
                         f"{e.minutes:>3} min{after}")
    return "\n".join([*lines[1:], "", SIGNS_EXPLAINED, LEVELS_EXPLAINED])


def started(exercise, space, new, count):
    """Where the stub is, and what to do now."""
    many = f" (and {count - 1} more)" if count > 1 else ""
    ready = "is ready" if new else "was there already, and is as it was"
    missing = [] if count > 1 else space.missing(exercise.name)
    return "\n".join([
        f"{space.path(exercise.name)} {ready}{many}.",
        *[f"It builds on {', '.join(missing)}, which you have not solved yet."] * bool(missing),
        f"Your task ({exercise.minutes} minutes): {exercise.task}.",
        f"Open it in an editor, replace the last line, and write:  {RUN} check {exercise.name}",
        f"Stuck?  {RUN} hint {exercise.name}"])


def line(verdict):
    """A verdict on one line."""
    reason = verdict.reason.partition("\n")[0]
    return f"{verdict.exercise:<24} {verdict.status:<10} {reason}"


def verdict(verdict, exercise, space=None, watched=False):
    """All that a student should know of a check; less of what to type next if it is `watched`."""
    if verdict.status == "unwritten" and not verdict.file:
        return f"{exercise.name}: {verdict.reason}"
    if verdict.status == "unwritten":
        return (f"{exercise.name} is not written yet: open {verdict.file}, read the docstring, "
                f"and replace the last line.\nStuck?  {RUN} hint {exercise.name}")
    tested = f"file {verdict.file}, seed {verdict.seed}, {verdict.calls} calls on fresh inputs"
    if verdict.solved:
        lines = [f"{exercise.name}: SOLVED, {verdict.reason}", f"  {tested}",
                 f"  compare it with the library's:  {RUN} solution {exercise.name}"]
        lines += [f"  {coming(space, space.next(after=exercise.name))}"] if space else []
        return "\n".join(lines)
    lines = [f"{exercise.name}: NOT YET ({verdict.status}), {verdict.reason}"]
    if verdict.status == "refused":
        return "\n".join([*lines, f"  file {verdict.file}"])
    lines += [f"  {tested}", *_diagnosis(verdict, exercise), *_example(verdict.tutor)]
    lines += failures(verdict, bool(verdict.tutor.get("example")))
    if not watched:
        lines += ["", f"  reproduce:  {RUN} check {exercise.name} --seed {verdict.seed}",
                  f"  stuck?      {RUN} hint {exercise.name}",
                  f"  by hand:    {PYTHON} -i {verdict.file}"]
    return "\n".join(lines)


def _diagnosis(verdict, exercise):
    """The mistake that the answer looks like, or the few that no input tells apart."""
    number, either = verdict.tutor.get("diagnosis"), verdict.tutor.get("either")
    if either:
        lines = [f"- {exercise.mistakes[other].why}" for other in either]
        return ["", f"  {ONE_OF}:", *(part for line in lines for part in textwrap.wrap(
            line, WIDTH, initial_indent="  ", subsequent_indent="    "))]
    if number is None:
        return _wrapped_sentence(verdict.tutor.get("relation", ""))
    share = verdict.tutor.get("share")
    head = HEADS[0 if share == 1 else 1 if share >= NAMED else 2]
    return _wrapped_sentence(f"{head}: {exercise.mistakes[number].why}")


def _wrapped_sentence(words):
    lines = textwrap.wrap(words, WIDTH, initial_indent="  ", subsequent_indent="    ")
    return ["", *lines] if words else []


def _example(tutor):
    """The counter-example; or the arguments of the call that did not end."""
    example = tutor.get("example")
    if "running" in tutor:
        return ["", "  the call that does not end", *(f"    {line}" for line in tutor["running"])]
    if not example:
        return []
    title = "a small input" if example["small"] else "an input"
    lines = ["", f"  {title} on which it is wrong", *(f"    {line}" for line in example["input"]),
             f"  {example['where']}", f"    expected  {example['expected']}",
             f"    got       {example['got']}"]
    if example["printed"]:
        printed = textwrap.indent(example["printed"], "    ")
        lines += ["  what it prints there", *printed.splitlines()]
    return lines


def failures(verdict, short):
    """The tests that failed, and what the first one said, unless there is an example already."""
    bad = [test for test in verdict.tests if test["outcome"] != "passed"]
    lines = ["", "  tests that fail"] if bad else []
    for test in bad:
        name = test["id"].rpartition("::")[2].replace("test_", "", 1)
        lines.append(f"    {name.replace('_', ' ')}")
    said = bad[0]["message"].partition("\n")[0] if bad else ""
    if short and re.match(r"\w+: \w+: ", said):    # an error that names its function says why
        lines.insert(3, f"      {said}")
    if said.partition(":")[0].endswith("Warning"):
        lines.append("    (in these tests a warning is an error)")
    if bad and not short:
        lines += ["", *textwrap.indent(bad[0]["message"], "    ").splitlines()]
    return lines


def hints(exercise, rung):
    """The hints up to a rung."""
    lines = [f"{i}. {hint}" for i, hint in enumerate(exercise.hints[:rung], 1)]
    if rung < 3:
        lines.append(f"More:  {RUN} hint {exercise.name} {rung + 1}")
    return "\n".join(lines)


def compared(exercise, mine, path):
    """The library's answer; if there is one of the student's, what differs from it."""
    text = answer_text(exercise)
    theirs = code(text, exercise)
    try:
        yours = code(mine, exercise) if mine else ""
    except Refused:
        yours = ""
    head = f"The library's code is in {path}."
    if not yours:
        return f"{head}\n\n{text}"
    if yours == theirs:
        return f"{head} Yours is the same."
    lines = difflib.unified_diff(yours.splitlines(), theirs.splitlines(), n=100, lineterm="")
    marked = [f"{line[0]} {line[1:]}" for line in list(lines)[3:]]
    return "\n".join([f"{head} From yours (-) to the library's (+):", "", *marked])


def code(text, exercise):
    """The code of an answer, with its helpers, in one style, without docstrings and comments."""
    tree = read(text)
    target = piece(tree, exercise)
    parts = [node for node in tree.body if isinstance(node, (ast.FunctionDef, ast.Assign))
             and node is not target]
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            node.body = node.body[body_start(node):] or [ast.Pass()]
    return "\n\n".join(ast.unparse(node) for node in [*parts, target])


def status(space, states):
    """A bar per chapter, and what comes next."""
    solved = sum(s == "solved" for s in states.values())
    unsure = sum(s == "unchecked" for s in states.values())
    again = f", {unsure} changed since the last check:  {RUN} verify" if unsure else ""
    return "\n".join([*space.bars(), f"{solved} of {len(states)} solved{again}",
                      coming(space, space.current())])


def coming(space, name):
    """What to do next."""
    if name is None:
        return "That was the last one: all exercises are solved!"
    return f"Next:  {RUN} {'check' if space.path(name).exists() else 'start'} {name}"
