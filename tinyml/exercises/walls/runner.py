"""The child process that runs a student's code, and the report it gives, which cannot be forged.

    python -m tinyml.exercises.walls.runner        a request as JSON on stdin, a signed report on stdout

The order matters. Before any of the student's code runs, the key of the signature is read, pytest,
hypothesis and NumPy are imported, the tests are collected from the reference, which says how many
there must be, and the limits are set. Then the library is loaded anew with the student's pieces in
it. After the tests nothing of the tools and of the library may have changed. Skipped, missing and
interrupted tests are failures.
"""
import hashlib
import hmac
import io
import json
import os
import signal
import sys
import types
from collections import deque
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from functools import wraps

import hypothesis
import hypothesis.extra.numpy
import numpy as np
import numpy.testing
import pytest

from tinyml.exercises.catalogue import find
from tinyml.exercises.student import outcome, tutor
from tinyml.exercises.student.splice import Piece, install
from tinyml.exercises.student.stub import ROOT, answer_text, stub_text
from tinyml.exercises.walls import guard
from tinyml.exercises.walls.limits import end_in_time, lock
from tinyml.exercises.walls.screen import Refused, read, screen

OPTIONS = [    # the repository's own configuration, and of pytest's plugins only what is needed
    "-c", str(ROOT / "setup.cfg"), "--rootdir", str(ROOT), "-o", "addopts=", "--strict-markers",
    "-q", "-s", "--tb=no", "--assert=plain", "-p", "no:cacheprovider",
    "-p", "no:unraisableexception", "-p", "no:threadexception", "-p", "_hypothesis_pytestplugin"]
CONSTANTS = (bool, int, float, str, bytes, type(None))
TOOLS = ("numpy", "pytest", "_pytest", "pluggy", "hypothesis", "builtins", "math", "hmac", "json", "os",
         "posixpath", "ntpath", "inspect", "functools", "random", "tinyml.exercises", "__main__")
TICKS = 10       # looks at the clock until a call counts as endless
FAILING = 200    # calls that are kept of those in failed executions of the tests


class Watcher:
    """A pytest plugin that notes what became of every test, and the calls in which it failed."""

    def __init__(self, examples=50, shrink=True):
        self.examples, self.shrink = examples, shrink
        self.collected, self.outcomes, self.errors = [], {}, {}
        self.failing = deque(maxlen=FAILING)    # a test runs many times, on one example each

    def pytest_sessionstart(self, session):
        """Fresh numbers at every seed, nothing remembered, whatever the tests' profile says."""
        skipped = {hypothesis.Phase.explain, *([] if self.shrink else [hypothesis.Phase.shrink])}
        settings = hypothesis.settings
        settings.register_profile(
            "exercise", parent=settings.get_profile("tinyml"), derandomize=False, database=None,
            print_blob=False, phases=tuple(set(hypothesis.Phase) - skipped),
            max_examples=self.examples, suppress_health_check=list(hypothesis.HealthCheck))
        settings.load_profile("exercise")

    def pytest_collection_modifyitems(self, session, config, items):
        self.collected = [item.nodeid for item in items]
        for item in items:
            test = getattr(item.obj, "hypothesis", None)
            if test is not None and not hasattr(test.inner_test, "followed"):
                test.inner_test = self.follow(test.inner_test)

    def follow(self, test):
        """The test of one example, which leaves behind the calls that it made when it failed."""
        @wraps(test)
        def followed(*args, **kwargs):
            guard.execution.clear()
            try:
                return test(*args, **kwargs)
            except hypothesis.errors.HypothesisException:    # an example that does not count
                raise
            except Exception:
                self.failing.extend(guard.execution)
                raise
        followed.followed = True
        return followed

    def pytest_runtest_setup(self, item):
        guard.execution.clear()

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(self, item, call):
        report = (yield).get_result()
        worst = self.outcomes.get(item.nodeid, "passed")
        good = report.outcome == "passed" and not hasattr(report, "wasxfail")
        self.outcomes[item.nodeid] = worst if good else "failed" if report.failed else "skipped"
        if call.excinfo is not None:
            self.errors[item.nodeid] = call.excinfo.value
            if report.failed:
                self.failing.extend(guard.execution)


def pytest_run(tests, seed, *options, watcher):
    """Run the named tests in this process; return what the watcher saw."""
    arguments = [str(ROOT / "tests" / test) for test in tests]
    for name in list(sys.modules):
        if name in {"strategies", "conftest"} or name.startswith("test_"):
            del sys.modules[name]
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        pytest.main([*arguments, *options, *OPTIONS, f"--hypothesis-seed={seed}"],
                    plugins=[watcher])
    return watcher


def collect(tests):
    """The ids of the tests as the reference has them."""
    return pytest_run(tests, 0, "--collect-only", watcher=Watcher()).collected


def ids(request):
    """The ids of the tests of an exercise, for a parent that takes no student's word for it."""
    return collect(find(request["exercise"]).tests)


# ------------------------------------------------------------ what nobody may change

def fingerprint(prefixes):
    """{module and name: identity} of functions, classes, methods and modules; NumPy's settings."""
    found = {}
    for name, module in list(sys.modules.items()):
        if name.startswith(prefixes) and isinstance(module, types.ModuleType):
            for key, value in list(vars(module).items()):
                if isinstance(value, (type, types.FunctionType, types.ModuleType, np.ufunc)):
                    found[name, key] = _identity(value)
                if isinstance(value, type) and value.__module__ == name:
                    found.update(((name, f"{key}.{inner}"), _identity(function))
                                 for inner, function in list(vars(value).items())
                                 if isinstance(function, types.FunctionType))
    settings = {"geterr()": np.geterr(), "get_printoptions()": np.get_printoptions()}
    return {**found, **{("numpy", name): value for name, value in settings.items()}}


def _identity(value):
    """What another function in its place, or another code or default in it, would change."""
    inside = ("__code__", "__defaults__", "__kwdefaults__")
    return id(value), *(id(getattr(value, key, None)) for key in inside)


def codes(names, own=()):
    """{module, class and name: code} of the functions of some modules, without those in `own`.

    With what they wrap. Of everything else the type, of constants the value, of classes the names.
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
                    found.update(((name, key, inner, i), code)
                                 for i, code in enumerate(_unwrapped(function)))
    return found


def _public(owner):
    """What a module or class holds, without what Python itself keeps there."""
    own = {"__loader__", "__spec__", "__slotnames__"}
    return {key: value for key, value in vars(owner).items() if key not in own}


def _kind(value):
    if isinstance(value, np.ndarray):
        return value.shape, value.tobytes() if not value.dtype.hasobject else ""
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
    return [name for name in sys.modules
            if name.partition(".")[0] == "tinyml" and not name.startswith("tinyml.exercises")]


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
    pieces = [Piece(find(p["name"]), read(p["text"]), p["file"], p["name"])
              for p in request["pieces"]]
    expected = collect(exercise.tests)
    tools, reference = fingerprint(TOOLS), codes(library())
    lock(request["limits"])
    report = run(exercise, pieces, request["seed"])
    report["changed"] = changed(tools, reference, pieces)
    report["expected"] = expected
    return report


def run(exercise, pieces, seed, *, shrink=True, options=(), more=()):
    """Run the tests of an exercise on the library with these pieces in it.

    `more` are calls that the tutor may replay, besides those that are made.
    """
    with _recording(exercise.name):
        install(pieces)
        watcher = pytest_run(exercise.tests, seed, *options,
                             watcher=Watcher(exercise.examples, shrink))
    tests = [{"id": test, "outcome": watcher.outcomes.get(test, "not run"),
              "message": tutor.message(watcher.errors.get(test))} for test in watcher.collected]
    report = {"tests": tests, "calls": guard.calls.get(exercise.name, 0)}
    passed = bool(tests) and all(test["outcome"] == "passed" for test in tests)
    report["beyond"] = tutor.beyond_laws(exercise) if passed and report["calls"] else ""
    if not passed or report["beyond"]:
        same = outcome.alike if passed else outcome.agree
        report["tutor"] = tutor.explain(exercise, watcher, seed, same, more)
    return report


@contextmanager
def _recording(name):
    for kept in (guard.calls, guard.records, guard.lives, guard.execution):
        kept.clear()
    guard.recording[:] = [name]
    try:
        yield
    finally:
        guard.recording.clear()


# ------------------------------------------------------------ a loop that does not end

def watch_the_clock(seconds, files, answer):
    """After so many seconds of computing in one call, answer where the student's code is, and end.

    `answer` gets the report {"endless": line, "input": the arguments of that call}.
    """
    if not hasattr(signal, "setitimer"):    # Windows: the parent's clock remains
        return
    seen = [0, 0]    # calls so far, and ticks since the last new one

    def tick(number, frame):
        calls = sum(guard.calls.values())
        seen[:] = [calls, seen[1] + 1 if calls == seen[0] else 0]
        if seen[1] < TICKS:
            return
        while frame is not None and frame.f_code.co_filename not in files:
            frame = frame.f_back
        if frame is not None:
            answer({"endless": frame.f_lineno, "input": tutor.arguments_of_last_call()})

    signal.signal(signal.SIGPROF, tick)
    signal.setitimer(signal.ITIMER_PROF, seconds / TICKS, seconds / TICKS)


# ------------------------------------------------------------ the gate of one exercise

def gate(request):
    """Every answer whose verdict is known, in one process: {exercise, seed} -> list of reports.

    The reference must pass; the stub and every mistake must fail. They are the library's own
    texts. A wrong one ends at the third test that it fails.
    """
    exercise = find(request["exercise"])
    answers = [("reference", answer_text(exercise)), ("stub", stub_text(exercise))]
    answers += [(f"mistake {i}", answer_text(exercise, mistake))
                for i, mistake in enumerate(exercise.mistakes)]
    reports, expected, calls = [], collect(exercise.tests), ()
    for i, (label, text) in enumerate(answers):
        try:
            tree = read(text)
            screen(tree, exercise)
            part = Piece(exercise, tree, f"{exercise.name}.py", exercise.name)
            options = () if label == "reference" else ("--maxfail=3",)
            report = run(exercise, [part], request["seed"] + i, shrink=False, options=options,
                         more=calls)
            calls = calls or tuple(guard.records)    # those of the reference
        except Refused as error:
            report = {"refused": str(error)}
        reports.append({"label": label, "expected": expected, "changed": [], **report})
    return reports


def main():
    """Read a request, answer it on the true stdout, signed; the student's prints go nowhere."""
    request = json.loads(sys.stdin.buffer.readline())
    key = bytes.fromhex(request.pop("key"))
    end_in_time(*request.pop("end"))
    out = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)

    def answer(report):
        text = json.dumps(report).encode()
        os.write(out, hmac.new(key, text, hashlib.sha256).hexdigest().encode() + b" ")
        while text:
            text = text[os.write(out, text):]

    def answer_and_end(report):
        answer(report)
        os._exit(0)

    if request["do"] == "check":
        files = {piece["file"] for piece in request["pieces"]}
        watch_the_clock(request["limits"]["call"], files, answer_and_end)
    answer({"check": check, "gate": gate, "collect": ids}[request["do"]](request))


if __name__ == "__main__":
    main()
