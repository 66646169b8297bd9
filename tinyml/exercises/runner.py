"""The child process that runs a student's code, and the report it gives, which that code cannot forge.

    python -m tinyml.exercises.runner        a request as JSON on stdin, a signed report as JSON on stdout

The order matters. The key of the signature is read, and pytest, hypothesis and NumPy are imported, before
anything of the student's runs; the tests are collected from the reference, which says how many there must be;
the limits are set. Then the library is loaded anew with the student's pieces in it. After the tests nothing
of the tools and of the library may have changed. Skipped, missing and interrupted tests are failures.
"""
import hashlib
import hmac
import io
import json
import os
import sys
import types
from contextlib import contextmanager, redirect_stderr, redirect_stdout

import hypothesis
import hypothesis.extra.numpy
import numpy as np
import numpy.testing
import pytest

from tinyml.exercises import guard, outcome, tutor
from tinyml.exercises.catalogue import find
from tinyml.exercises.limits import lock
from tinyml.exercises.screen import Refused, read, screen
from tinyml.exercises.splice import Piece, install
from tinyml.exercises.stub import ROOT, answer_text, stub_text

OPTIONS = [    # the repository's own configuration, and of pytest's plugins only those that are needed
    "-c", str(ROOT / "setup.cfg"), "--rootdir", str(ROOT), "-o", "addopts=", "--strict-markers", "-q", "-s", "--tb=no",
    "--assert=plain", "-p", "no:cacheprovider", "-p", "no:unraisableexception", "-p", "no:threadexception",
    "-p", "_hypothesis_pytestplugin"]
CONSTANTS = (bool, int, float, str, bytes, type(None))
TOOLS = ("numpy", "pytest", "_pytest", "hypothesis", "builtins", "math", "hmac", "json")


class Watcher:
    """A pytest plugin that notes what became of every test, and on which example it failed."""

    def __init__(self, examples=50, shrink=True):
        self.examples, self.shrink = examples, shrink
        self.collected, self.outcomes, self.errors, self.ends = [], {}, {}, {}

    def pytest_sessionstart(self, session):
        """Fresh numbers at every seed, nothing remembered, whatever the profile of the tests says."""
        phases = set(hypothesis.Phase) - {hypothesis.Phase.explain} - (
            set() if self.shrink else {hypothesis.Phase.shrink})
        settings = hypothesis.settings
        settings.register_profile("exercise", parent=settings.get_profile("tinyml"), derandomize=False,
                                  database=None, print_blob=False, phases=tuple(phases), max_examples=self.examples,
                                  suppress_health_check=list(hypothesis.HealthCheck))
        settings.load_profile("exercise")

    def pytest_collection_modifyitems(self, session, config, items):
        self.collected = [item.nodeid for item in items]

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(self, item, call):
        report = (yield).get_result()
        worst = self.outcomes.get(item.nodeid, "passed")
        good = report.outcome == "passed" and not hasattr(report, "wasxfail")
        self.outcomes[item.nodeid] = worst if good else "failed" if report.failed else "skipped"
        if call.excinfo is not None:
            self.errors[item.nodeid] = call.excinfo.value
            self.ends[item.nodeid] = len(guard.records), guard.records[-1:]


def pytest_run(tests, seed, *options, watcher):
    """Run the named tests in this process; return what the watcher saw."""
    arguments = [str(ROOT / "tests" / test) for test in tests]
    for name in [n for n in sys.modules if n in {"strategies", "conftest"} or n.startswith("test_")]:
        del sys.modules[name]
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        pytest.main([*arguments, *options, *OPTIONS, f"--hypothesis-seed={seed}"], plugins=[watcher])
    return watcher


def collect(tests):
    """The ids of the tests as the reference has them."""
    return pytest_run(tests, 0, "--collect-only", watcher=Watcher()).collected


# ------------------------------------------------------------ what nobody may change

def fingerprint(prefixes):
    """{module and name: identity} of the functions, classes and modules of some packages, and NumPy's errors."""
    found = {(name, key): (id(value), id(getattr(value, "__code__", None)))
            for name, module in list(sys.modules.items()) if name.partition(".")[0] in prefixes
            for key, value in list(vars(module).items())
            if isinstance(value, (type, types.FunctionType, types.ModuleType, np.ufunc))
            and isinstance(module, types.ModuleType)}
    return {**found, ("numpy", "geterr()"): np.geterr(), ("numpy", "get_printoptions()"): np.get_printoptions()}


def codes(names, own=()):
    """{module, class and name: code} of all functions of some modules, with what they wrap; not of `own`.

    Of everything else the type, of plain constants the value, of a class the names that it has.
    """
    found = {}
    for name in names:
        for key, value in _public(sys.modules[name]).items():
            members = {"": value}
            if isinstance(value, type) and value.__module__ == name:
                members = vars(value)
                found[name, key, "", -2] = frozenset(_public(value))
            for inner, function in members.items():
                if not any(function is other for other in own):
                    found[name, key, inner, -1] = _kind(function)
                    found.update(((name, key, inner, i), code) for i, code in enumerate(_unwrapped(function)))
    return found


def _public(owner):
    """What a module or class holds, without what Python itself keeps there."""
    return {key: value for key, value in vars(owner).items() if key not in {"__loader__", "__spec__", "__slotnames__"}}


def _kind(value):
    return type(value).__name__, repr(value) if _is_plain(value) else ""


def _is_plain(value):
    """Whether a value is a constant, or holds only constants: then its repr names no address."""
    if type(value) in (tuple, list, set, frozenset):
        return all(map(_is_plain, value))
    return type(value) in CONSTANTS


def _unwrapped(function):
    while isinstance(function, (types.FunctionType, property)):
        if isinstance(function, property):
            function = function.fget
            continue
        yield function.__code__
        function = getattr(function, "__wrapped__", None)


def library():
    """The names of the library's modules that are loaded, without the exercises."""
    return [n for n in sys.modules if n.partition(".")[0] == "tinyml" and not n.startswith("tinyml.exercises")]


def changed(tools, reference, pieces):
    """What the student's code changed that is not its own, in words."""
    now = fingerprint(TOOLS)
    words = [".".join(key) for key in tools if now.get(key, tools[key]) != tools[key]]
    own = [_inside(part.exercise) for part in pieces]
    new = codes(library(), own)
    names = {key[:3] for key in new}
    words += [".".join(filter(None, key[:3])) for key in reference
              if key[:3] in names and new.get(key) != reference[key]]
    return sorted(set(words))


def _inside(exercise):
    """The object that an exercise's target names in the library as it is loaded now."""
    value = sys.modules.get(exercise.module)
    for name in exercise.path:
        value = vars(value).get(name) if value is not None else None
    return value


# ------------------------------------------------------------ one check

def check(request):
    """Check one exercise: {exercise, pieces, seed, limits} -> a report as plain data."""
    exercise = find(request["exercise"])
    pieces = [Piece(find(p["name"]), read(p["text"]), p["file"], p["name"]) for p in request["pieces"]]
    expected = collect(exercise.tests)
    tools, reference = fingerprint(TOOLS), codes(library())
    lock(request["limits"])
    report = run(exercise, pieces, request["seed"])
    report["changed"] = changed(tools, reference, pieces)
    report["expected"] = expected
    return report


def run(exercise, pieces, seed, *, shrink=True, options=()):
    """Run the graders of an exercise on the library with these pieces in it."""
    with _recording(exercise.name):
        install(pieces)
        watcher = pytest_run(exercise.tests, seed, *options, watcher=Watcher(exercise.examples, shrink))
    report = {"tests": [{"id": test, "outcome": watcher.outcomes.get(test, "not run"),
                         "message": tutor.message(watcher.errors.get(test))} for test in watcher.collected],
              "calls": guard.calls.get(exercise.name, 0)}
    passed = bool(report["tests"]) and all(test["outcome"] == "passed" for test in report["tests"])
    report["beyond"] = tutor.beyond_laws(exercise) if passed and report["calls"] else ""
    if not passed or report["beyond"]:
        report["tutor"] = tutor.explain(exercise, watcher, seed, outcome.alike if passed else outcome.agree)
    return report


@contextmanager
def _recording(name):
    guard.calls.clear()
    guard.records.clear()
    guard.lives.clear()
    guard.recording[:] = [name]
    try:
        yield
    finally:
        guard.recording.clear()


# ------------------------------------------------------------ the gate of one exercise

def gate(request):
    """Every answer of which the verdict is known, in one process: {name, seed} -> list of reports.

    The reference must pass; the stub and every mistake must fail. They are the library's own texts.
    """
    exercise = find(request["exercise"])
    answers = [("reference", answer_text(exercise)), ("stub", stub_text(exercise))]
    answers += [(f"mistake {i}", answer_text(exercise, mistake)) for i, mistake in enumerate(exercise.mistakes)]
    reports, expected = [], collect(exercise.tests)
    for i, (label, text) in enumerate(answers):
        try:
            tree = read(text)
            screen(tree, exercise)
            part = Piece(exercise, tree, f"{exercise.name}.py", exercise.name)
            report = run(exercise, [part], request["seed"] + i, shrink=False)
        except Refused as error:
            report = {"refused": str(error)}
        reports.append({"label": label, "expected": expected, "changed": [], **report})
    return reports


def main():
    """Read a request, answer it on the true stdout, signed; whatever the student prints goes nowhere."""
    request = json.loads(sys.stdin.buffer.readline())
    key = bytes.fromhex(request.pop("key"))
    out = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    answer = {"check": check, "gate": gate}[request["do"]](request)
    text = json.dumps(answer).encode()
    os.write(out, hmac.new(key, text, hashlib.sha256).hexdigest().encode() + b" ")
    while text:
        text = text[os.write(out, text):]


if __name__ == "__main__":
    main()
