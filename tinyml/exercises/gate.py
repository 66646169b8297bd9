"""The proof that the graders grade: for writers of exercises, and for the test suite.

On fresh seeds every reference passes, every stub fails, every listed mistake is rejected and recognised; every
hint is there, and no line of an answer is in its stub.
"""
import ast
import builtins
import os
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from tinyml.exercises.catalogue import exercises, find
from tinyml.exercises.check import _fault, ask, fresh_seed
from tinyml.exercises.screen import needed
from tinyml.exercises.stub import answer_text, cut, definition, source, stub_text


@dataclass
class Findings:
    """What the gate found out about some exercises.

    Parameters
    ----------
    exercises, mistakes, rejected, named : int, the figures
    faults : list of str, what is wrong with the catalogue
    """
    exercises: int = 0
    mistakes: int = 0
    rejected: int = 0
    named: int = 0
    faults: list = field(default_factory=list)

    def __str__(self):
        share = 100 * self.named / max(self.mistakes, 1)
        return (f"{self.exercises} exercises, {self.mistakes} mistakes: {self.rejected} rejected, "
                f"{self.named} named by the tutor ({share:.0f} %)")


def examine(names, seed=None, report=lambda line: None):
    """Put the exercises of these names through the gate; `report` is called with each line of progress.

    As many at a time as there are processors, each in a child process.
    """
    findings = Findings()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for name, found in zip(names, pool.map(lambda name: _findings(find(name), seed), names)):
            report(f"{name:<28} {found.rejected} of {found.mistakes} rejected, {found.named} named"
                   + "".join(f"\n    {fault}" for fault in found.faults))
            for key, value in vars(found).items():
                vars(findings)[key] += value
    return findings


def _findings(exercise, seed):
    """What the gate finds out about one exercise."""
    found = Findings(1, len(exercise.mistakes), faults=static_faults(exercise))
    if not found.faults:
        _run(exercise, fresh_seed() if seed is None else seed, found)
    return found


def _run(exercise, seed, found):
    """Run all known answers to one exercise, and count."""
    reports, reason = ask({"do": "gate", "exercise": exercise.name, "seed": seed})
    if reports is None:
        found.faults.append(f"the gate itself failed: {reason}")
        return
    for report in reports:
        kind, _, number = report["label"].partition(" ")
        fault = report.get("refused") or _fault(report)
        if kind == "reference" and fault:
            tests = [t for t in report.get("tests", ()) if t["outcome"] != "passed"]
            found.faults.append(f"the reference fails, seed {seed}: {fault} {tests[:1]}")
        if kind == "stub" and not fault:
            found.faults.append(f"the stub passes, seed {seed}")
        if kind == "mistake":
            mistake = exercise.mistakes[int(number)]
            if "refused" in report:
                found.faults.append(f"the screen refuses mistake {number}, {report['refused']}")
            elif not fault:
                found.faults.append(f"mistake {number} passes, seed {seed}: {mistake.old!r} -> {mistake.new!r}")
            else:
                found.rejected += 1
                found.named += report["tutor"].get("diagnosis") == int(number)


def static_faults(exercise):
    """What can be said of an exercise without running it: hints, mistakes, leaks, prerequisites."""
    faults = []
    if len(exercise.hints) != 3 or not all(map(str.strip, exercise.hints)):
        faults.append("there must be three hints")
    if len(exercise.mistakes) < 3 or not all(m.why.strip() for m in exercise.mistakes):
        faults.append("there must be three mistakes or more, each with its diagnosis")
    faults += [f"after: there is no exercise {name!r} before it" for name in exercise.after
               if name not in exercises() or list(exercises()).index(name) >= list(exercises()).index(exercise.name)]
    faults += [f"the last hint calls {name}, which no answer may use" for name in sorted(called(exercise))]
    for mistake in exercise.mistakes:
        try:
            ast.parse(answer_text(exercise, mistake))
        except (ValueError, SyntaxError) as error:
            faults.append(str(error))
    return faults + leaks(exercise)


def called(exercise):
    """The pieces of the library that the last hint, almost the code, calls, though an answer that does is refused."""
    words = re.findall(r"(?<![\w.])([^\W\d]\w*)(?=[\w.]*\()", exercise.hints[-1])
    return set(words) & source(exercise.module).names - needed(exercise) - {exercise.path[-1]} - set(dir(builtins))


def leaks(exercise):
    """Statements of the answer that stand in the stub as well."""
    gone = cut(exercise)[1] + [n for name in exercise.hide for n in source(exercise.module).node((name,)).body]
    tree = ast.parse(stub_text(exercise))
    left = {ast.unparse(n) for n in ast.walk(tree) if isinstance(n, ast.stmt)}
    code = definition(tree, exercise.path)
    prose = (ast.get_docstring(code) or "").splitlines()
    lines = {line.strip() for n in gone for line in ast.unparse(n).splitlines() if len(line.strip()) > 12}
    return ([f"the stub holds {ast.unparse(n)!r}" for n in gone if ast.unparse(n) in left]
            + [f"the docstring holds the line {line.strip()!r}" for line in prose if line.strip() in lines])
