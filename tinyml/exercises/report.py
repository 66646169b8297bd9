"""What the commands say to people: plain text, no colour needed."""
import re
import textwrap

from tinyml.exercises.stub import PYTHON, RUN, answer_text

WELCOME = f"""Write pieces of tinyml again; its own tests tell whether you are right.

    {RUN} start       writes your first file, and says what to do
    {RUN} list        shows all exercises
    {RUN} --help      shows all commands"""
NO_TESTS = ("The exercises are graded by the library's own tests, which an installed package does not have. Get a "
            'clone and write, in its folder: pip install -e ".[test]"')
LEVELS = {1: "a line", 2: "a formula", 3: "an algorithm"}
SIGNS = {"solved": "x", "failed": "!", "refused": "!", "crashed": "!", "timeout": "!", "unwritten": ".",
         "unchecked": "?", "not started": " "}


def clean(text):
    """Text without control characters, which a terminal might obey."""
    return "".join(c if c.isprintable() or c in "\n\t" else "?" for c in text)


def listing(chapters, states):
    """All exercises, one on a line."""
    lines, width = [], max(len(name) for name in states)
    for chapter in chapters:
        lines += ["", chapter.title]
        for e in chapter.exercises:
            after = f"  after {', '.join(e.after)}" if e.after else ""
            lines.append(f"  [{SIGNS[states[e.name]]}] {e.name:<{width}} {LEVELS[e.level]:<13} {e.minutes:>3} min{after}")
    lines += ["", "[x] solved   [!] not right yet   [?] not checked   [.] not written   [ ] not started"]
    return "\n".join(lines[1:])


def started(exercise, space, new, count):
    """Where the stub is, and what to do now."""
    many = f" (and {count - 1} more)" if count > 1 else ""
    missing = [] if count > 1 else space.missing(exercise.name)
    return "\n".join([
        f"{space.path(exercise.name)} {'is ready' if new else 'was there already, and is as it was'}{many}.",
        *[f"It builds on {', '.join(missing)}, which you have not solved yet."] * bool(missing),
        f"Your task ({exercise.minutes} minutes): {exercise.task}.",
        f"Open it in an editor, replace the last line, and write:  {RUN} check {exercise.name}",
        f"Stuck?  {RUN} hint {exercise.name}"])


def line(verdict):
    """A verdict on one line."""
    return f"{verdict.exercise:<24} {verdict.status:<10} {verdict.reason.splitlines()[0] if verdict.reason else ''}"


def verdict(verdict, exercise, space=None):
    """All that a student should know of a check."""
    if verdict.status == "unwritten" and not verdict.file:
        return f"{exercise.name}: {verdict.reason}"
    if verdict.status == "unwritten":
        return (f"{exercise.name} is not written yet: open {verdict.file}, read the docstring, and replace the last "
                f"line.\nStuck?  {RUN} hint {exercise.name}")
    tested = f"file {verdict.file}, seed {verdict.seed}, {verdict.calls} calls on fresh inputs"
    if verdict.solved:
        then = coming(space, space.next(after=exercise.name)) if space else ""
        return (f"{exercise.name}: SOLVED, {verdict.reason}\n  {tested}\n"
                f"  The library's way:  {RUN} solution {exercise.name}\n  {then}").rstrip()
    lines = [f"{exercise.name}: NOT YET ({verdict.status}), {verdict.reason}"]
    if verdict.status == "refused":
        return "\n".join([*lines, f"  file {verdict.file}"])
    lines.append(f"  {tested}")
    number = verdict.tutor.get("diagnosis")
    if number is not None:
        lines += ["", *textwrap.wrap(f"It looks like this: {exercise.mistakes[number].why}", 100,
                                     initial_indent="  ", subsequent_indent="    ")]
    example = verdict.tutor.get("example")
    if example:
        lines += ["", "  smallest input on which it is wrong", *(f"    {given}" for given in example["input"]),
                  f"  {example['where']}", f"    expected  {example['expected']}", f"    got       {example['got']}"]
    lines += failures(verdict, bool(example))
    lines += ["", f"  reproduce:  {RUN} check {exercise.name} --seed {verdict.seed}",
              f"  stuck?      {RUN} hint {exercise.name}",
              f"  by hand:    {PYTHON} -i {verdict.file}    (a check hides what you print)"]
    return "\n".join(lines)


def failures(verdict, short):
    """The tests that failed, and what they said: of the first one, unless there is an example already."""
    bad = [test for test in verdict.tests if test["outcome"] != "passed"]
    lines = ["", "  laws that it breaks"] if bad else []
    for test in bad:
        lines.append(f"    {test['id'].rpartition('::')[2].replace('test_', '', 1).replace('_', ' ')}")
    said = bad[0]["message"].partition("\n")[0] if bad else ""
    if short and re.match(r"\w+: \w+: ", said):    # an error that names its function knows what is wrong
        lines[2:] = [*lines[2:3], f"      {said}", *lines[3:]]
    if bad and not short:
        lines += ["", *textwrap.indent(bad[0]["message"], "    ").splitlines()]
    return lines


def hints(exercise, rung):
    """The hints up to a rung."""
    lines = [f"{i}. {hint}" for i, hint in enumerate(exercise.hints[:rung], 1)]
    if rung < 3:
        lines.append(f"More:  {RUN} hint {exercise.name} {rung + 1}")
    return "\n".join(lines)


def beside(exercise, mine, path):
    """The student's answer, then the library's."""
    rule = "-" * 30
    return f"{rule} yours\n{mine or '(none)'}\n{rule} the library's, {path}\n{answer_text(exercise)}"


def status(space, states):
    """A bar per chapter, and what comes next."""
    solved = sum(s == "solved" for s in states.values())
    unsure = sum(s == "unchecked" for s in states.values())
    return "\n".join([*space.bars(), f"{solved} of {len(states)} solved"
                      + (f", {unsure} changed since the last check:  {RUN} verify" if unsure else ""),
                      coming(space, space.current())])


def coming(space, name):
    """What to do next."""
    if name is None:
        return "That was the last one: all are solved!"
    return f"Next:  {RUN} {'check' if space.path(name).exists() else 'start'} {name}"


def grades(rows, out):
    """The table of a class."""
    lines = [f"{row['student']:<30} {row['score']:>4} of {row['max_score']:<4} {row['note']}".rstrip() for row in rows]
    return "\n".join([*lines, f"written to {out}: grades.csv, grades.txt, and a results.json for each student"])
