"""The proof that the tests grade: for authors of exercises, and for the test suite.

On fresh seeds every reference passes, every stub fails, and every listed mistake is rejected, and
named as what it is. All hints are there, and no line of an answer is in its stub.
"""
import ast
import builtins
import os
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from tinyml.exercises.catalogue import exercises, find
from tinyml.exercises.student.check import _fault, fresh_seed
from tinyml.exercises.student.stub import answer_text, cut, definition, parsed, source, stub_text
from tinyml.exercises.walls.child import ask
from tinyml.exercises.walls.screen import needed

PATIENCE = 100    # times the seconds of one check: an exercise has up to 45 answers


@dataclass
class Findings:
    """What the gate found out about some exercises.

    Parameters
    ----------
    exercises, mistakes, rejected, named : int, the numbers
    either : int, how many were named with others that no call told apart
    faults : list of str, what is wrong with the catalogue
    confused : list of str, which mistakes were taken for others
    """
    exercises: int = 0
    mistakes: int = 0
    rejected: int = 0
    named: int = 0
    either: int = 0
    faults: list = field(default_factory=list)
    confused: list = field(default_factory=list)

    def __str__(self):
        share = 100 * self.named / max(self.mistakes, 1)
        return (f"{self.exercises} exercises, {self.mistakes} mistakes: {self.rejected} rejected, "
                f"{self.named} named by the tutor ({share:.1f} %), {self.either} with others, "
                f"{len(self.confused)} taken for another")


def examine(names, seed=None, report=lambda line: None):
    """Put the exercises of these names through the gate; `report` gets each line of progress.

    As many at a time as there are processors, each in a child process.
    """
    findings = Findings()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        every = pool.map(lambda name: _findings(find(name), seed), names)
        for name, found in zip(names, every):
            report("\n    ".join([f"{name:<28} {found.rejected} of {found.mistakes} rejected, "
                                  f"{found.named} named", *found.faults, *found.confused]))
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
    request = {"do": "gate", "exercise": exercise.name, "seed": seed}
    reports, reason, _ = ask(request, patience=PATIENCE)
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
            _judge(exercise, int(number), report, fault, seed, found)


def _judge(exercise, number, report, fault, seed, found):
    """Count what became of one mistake."""
    mistake, told = exercise.mistakes[number], report.get("tutor", {})
    what = f"mistake {number}, {mistake.old!r} -> {mistake.new!r}"
    if "refused" in report:
        found.faults.append(f"the screen refuses {what}: {report['refused']}")
        return
    if not fault:
        found.faults.append(f"{what} passes, seed {seed}")
        return
    found.rejected += 1
    named = told.get("diagnosis")
    found.named += named is not None and exercise.mistakes[named].why == mistake.why
    found.either += number in told.get("either", ())
    if named is not None and exercise.mistakes[named].why != mistake.why:
        found.confused.append(f"{what} is taken for mistake {named}, seed {seed}")
    if told.get("raises"):
        found.faults.append(f"{what} always raises: any answer that does would be like it")
    example = told.get("example")
    if example and example["expected"] == example["got"]:
        found.faults.append(f"{what}: expected and got look the same, {example}")


def static_faults(exercise):
    """What is wrong with an exercise, without running it: hints, mistakes, leaks, the order."""
    faults = []
    if len(exercise.hints) != 3 or not all(map(str.strip, exercise.hints)):
        faults.append("there must be three hints")
    if len(exercise.mistakes) < 3 or not all(m.why.strip() for m in exercise.mistakes):
        faults.append("there must be three mistakes or more, each with its diagnosis")
    names = list(exercises())
    before = names[:names.index(exercise.name)]
    faults += [f"after: there is no exercise {name!r} before it"
               for name in exercise.after if name not in before]
    faults += [f"the last hint calls {name}, which no answer may use"
               for name in sorted(called(exercise))]
    texts = [(mistake.old, mistake.new) for mistake in exercise.mistakes]
    faults += [f"a mistake is listed twice: {text}"
               for text in set(texts) if texts.count(text) > 1]
    for mistake in exercise.mistakes:
        try:
            parsed(answer_text(exercise, mistake))
        except (ValueError, SyntaxError) as error:
            faults.append(str(error))
    return faults + leaks(exercise)


def called(exercise):
    """The functions of the module that the last hint calls, though no answer may."""
    words = set(re.findall(r"(?<![\w.])([^\W\d]\w*)(?=[\w.]*\()", exercise.hints[-1]))
    allowed = needed(exercise) | {exercise.path[-1]} | set(dir(builtins))
    return words & source(exercise.module).names - allowed


def leaks(exercise):
    """Statements of the answer that stand in the stub as well."""
    hidden = [source(exercise.module).node((name,)) for name in exercise.hide]
    gone = cut(exercise)[1] + [statement for node in hidden for statement in node.body]
    tree = parsed(stub_text(exercise))
    left = {ast.unparse(n) for n in ast.walk(tree) if isinstance(n, ast.stmt)}
    code = definition(tree, exercise.path)
    prose = (ast.get_docstring(code) or "").splitlines()
    lines = {line.strip() for n in gone for line in ast.unparse(n).splitlines()
             if len(line.strip()) > 12}
    return ([f"the stub holds {ast.unparse(n)!r}" for n in gone if ast.unparse(n) in left]
            + [f"the docstring holds the line {line.strip()!r}"
               for line in prose if line.strip() in lines])
