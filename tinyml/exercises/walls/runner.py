"""What runs in a copy of the server: the tests of an exercise on an answer, and what they show.

The limits are set before any of the student's code runs. Then the library is loaded anew with the
student's pieces in it, and the tests are collected and run. After that nothing of the tools and of
the library may have changed. Skipped, missing and interrupted tests are failures.
"""
import gc
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
from tinyml.exercises.student import example, outcome, replay, tutor
from tinyml.exercises.student.splice import Piece, install
from tinyml.exercises.student.stub import ROOT, answer_text, stub_text
from tinyml.exercises.walls import guard
from tinyml.exercises.walls.limits import end_in_time, lock
from tinyml.exercises.walls.messages import write
from tinyml.exercises.walls.screen import Refused, read, screen

OPTIONS = [    # the repository's own configuration, and of pytest's plugins only what is needed
    "-c", str(ROOT / "setup.cfg"), "--rootdir", str(ROOT), "-o", "addopts=", "--strict-markers",
    "-q", "-s", "--tb=no", "--assert=plain", "-p", "no:cacheprovider",
    "-p", "no:unraisableexception", "-p", "no:threadexception", "-p", "_hypothesis_pytestplugin"]
CONSTANTS = (bool, int, float, str, bytes, type(None))
TOOLS = ("numpy", "pytest", "_pytest", "pluggy", "hypothesis", "builtins", "math", "hmac", "json",
         "os", "posixpath", "ntpath", "inspect", "functools", "random", "tinyml.exercises",
         "__main__")
TICKS = 10       # looks at the clock until a call counts as endless
LONGEST = 300    # seconds for one answer in the gate
LEAST = 10       # calls that are kept of every test
ENOUGH = 10      # examples of every test on which the library's function is called for the tutor
FAILING = 200    # calls that are kept of those in failed executions of the tests


class Watcher:
    """A pytest plugin that notes what became of every test, and the calls in which it failed.

    If it is `brief`, it looks for no smaller examples, and ends when it has calls that fail.
    `then` is called with the session when all tests have run.
    """

    def __init__(self, examples=50, brief=False, then=None):
        self.examples, self.brief, self.then = examples, brief, then
        self.collected, self.outcomes, self.errors = [], {}, {}
        self.seconds = {}    # test -> how long it ran
        self.failing = deque(maxlen=FAILING)    # a test runs many times, on one example each

    def pytest_sessionstart(self, session):
        """Fresh numbers at every seed, nothing remembered, whatever the tests' profile says."""
        skipped = {hypothesis.Phase.explain, *([hypothesis.Phase.shrink] if self.brief else [])}
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
            if test is not None:    # cases share a test; it may have been followed before
                bare = getattr(test.inner_test, "followed", test.inner_test)
                test.inner_test = self.follow(bare)

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
        followed.followed = test
        return followed

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtestloop(self, session):
        yield
        if self.then is not None:
            self.then(session)

    def pytest_runtest_setup(self, item):
        guard.execution.clear()
        guard.a_test_begins()

    def pytest_runtest_teardown(self, item):
        guard.a_test_ends(max(LEAST, guard.KEPT // len(self.collected)))

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(self, item, call):
        report = (yield).get_result()
        self.seconds[item.nodeid] = self.seconds.get(item.nodeid, 0) + report.duration
        worst = self.outcomes.get(item.nodeid, "passed")
        good = report.outcome == "passed" and not hasattr(report, "wasxfail")
        self.outcomes[item.nodeid] = worst if good else "failed" if report.failed else "skipped"
        if call.excinfo is not None:
            self.errors[item.nodeid] = call.excinfo.value
            if report.failed:
                self.failing.extend(guard.execution)
                item.session.shouldstop = self.brief and bool(self.failing)


def forget_tests():
    """Drop the modules of the tests from what is imported, so that they are imported anew."""
    for name in list(sys.modules):
        if name in {"strategies", "conftest"} or name.startswith("test_"):
            del sys.modules[name]


def pytest_run(tests, seed, *options, watcher):
    """Run the named tests in this process; return what the watcher saw."""
    arguments = [str(ROOT / "tests" / test) for test in tests]
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        pytest.main([*arguments, *options, *OPTIONS, f"--hypothesis-seed={seed}"],
                    plugins=[watcher])
    return watcher


def collect(tests):
    """The ids of the tests as the reference has them."""
    forget_tests()
    return pytest_run(tests, 0, "--collect-only", watcher=Watcher()).collected


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

def check(request, exercise, known):
    """Check one exercise: {pieces, seed, limits} -> a report as plain data.

    `known` is what the server knows of the reference.
    """
    pieces = [Piece(find(p["name"]), read(p["text"]), p["file"], p["name"])
              for p in request["pieces"]]
    tools, library = known.tools, known.library
    lock(request["limits"])
    report = run(exercise, pieces, request["seed"])
    report["changed"] = changed(tools, library, pieces)
    return report


def run(exercise, pieces, seed):
    """Run the tests of an exercise on the library with these pieces in it."""
    ordinary = []

    def with_the_library(session):
        if not passed(watcher):
            ordinary.extend(calls_with_the_library(exercise, seed, session))

    install(pieces)
    forget_tests()
    watcher = Watcher(exercise.examples, then=with_the_library)
    return tested(exercise, seed, watcher,
                  lambda: pytest_run(exercise.tests, seed, watcher=watcher), ordinary)


def passed(watcher):
    """Whether there were tests, and all of them passed."""
    return set(map(watcher.outcomes.get, watcher.collected)) == {"passed"}


def calls_with_the_library(exercise, seed, session):
    """What the tests call a right answer with.

    A wrong one ends a test at once, and is then called with smaller and smaller inputs, on which
    many mistakes look the same. The calls of the library's own function are of all kinds.
    """
    answer, calls, records = guard.functions[exercise.name], dict(guard.calls), list(guard.records)
    guard.records.clear()
    guard.exchange(exercise.name, replay.load(exercise, None))
    run_again(session, exercise.tests, seed, Watcher(min(exercise.examples, ENOUGH), brief=True))
    found = list(guard.records)
    guard.exchange(exercise.name, answer)
    guard.calls.update(calls)
    guard.records[:] = records
    return found


def tested(exercise, seed, watcher, run_tests, calls=None):
    """The report on the tests of an exercise, which `run_tests` runs on the library as it is.

    `calls` are those that the tutor replays, besides the ones in failed executions of a test; if
    there are none, all that were recorded.
    """
    with _recording(exercise.name):
        run_tests()
    tests = [{"id": test, "outcome": watcher.outcomes.get(test, "not run"),
              "message": example.message(watcher.errors.get(test))} for test in watcher.collected]
    report = {"tests": tests, "calls": guard.calls.get(exercise.name, 0)}
    good = passed(watcher)
    report["beyond"] = tutor.beyond_laws(exercise) if good and report["calls"] else ""
    if not good or report["beyond"]:
        same = outcome.alike if good else outcome.agree
        report["tutor"] = tutor.explain(exercise, watcher, seed, same, calls)
    return report


@contextmanager
def _recording(name):
    for kept in (guard.calls, guard.records, guard.lives, guard.execution):
        kept.clear()
    guard.a_test_begins()
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
            answer({"endless": frame.f_lineno, "input": example.arguments_of_last_call()})

    signal.signal(signal.SIGPROF, tick)
    signal.setitimer(signal.ITIMER_PROF, seconds / TICKS, seconds / TICKS)


# ------------------------------------------------------------ the gate of one exercise

def gate(request, exercise, known):
    """Every answer whose verdict is known: {seed} -> list of reports.

    The reference must pass; the stub and every mistake must fail. They are the library's own
    texts. The library and the tests are imported once, with the reference in it. Then each answer
    takes its place in a copy of this process. A wrong one ends at the first test that it fails;
    those that rejected most so far come first. The tutor replays the calls of the reference's run
    for all of them, each once.
    """
    seed, reports = request["seed"], []
    answers = [stub_text(exercise), *(answer_text(exercise, m) for m in exercise.mistakes)]
    labels = ["stub", *(f"mistake {i}" for i in range(len(exercise.mistakes)))]

    def the_others(session):
        calls = replay.rehearsed(exercise, list(guard.records))
        order = Order(exercise.tests, watcher)
        gc.freeze()    # the copies share what is there
        for number, (label, text) in enumerate(zip(labels, answers), 1):
            report = in_a_copy(judged, exercise, text, seed + number, session, order.tests, calls)
            order.learn(report)
            reports.append({"label": label, **report})

    install([Piece(exercise, read(answer_text(exercise)), "answer.py", exercise.name)])
    forget_tests()
    watcher = Watcher(exercise.examples, brief=True, then=the_others)
    first = tested(exercise, seed, watcher,
                   lambda: pytest_run(exercise.tests, seed, watcher=watcher))
    reports.insert(0, {"label": "reference", **first})
    return [{"expected": known.tests[exercise.name], "changed": [], **report} for report in reports]


def judged(exercise, text, seed, session, tests, calls):
    """The report on one answer, which replaces the function that the library uses now."""
    try:
        screen(read(text), exercise)
    except Refused as error:
        return {"refused": str(error)}
    guard.exchange(exercise.name, replay.loaded(exercise, text))
    watcher = Watcher(exercise.examples, brief=True)
    return tested(exercise, seed, watcher, lambda: run_again(session, tests, seed, watcher), calls)


def run_again(session, tests, seed, watcher):
    """Run the tests of a session once more, in this order, for another watcher."""
    plugins = session.config.pluginmanager
    for other in [plugin for plugin in plugins.get_plugins() if isinstance(plugin, Watcher)]:
        plugins.unregister(other)
    plugins.register(watcher)
    hypothesis.core.global_force_seed = seed
    session.shouldstop = session.shouldfail = False
    items = sorted(session.items, key=lambda item: [not _is_of(item.nodeid, t) for t in tests])
    watcher.pytest_collection_modifyitems(session, session.config, items)
    for item, following in zip(items, [*items[1:], None]):
        session.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if session.shouldstop:
            session._setupstate.teardown_exact(None)
            break


class Order:
    """The tests of an exercise: first those that rejected most answers so far, then the quick."""

    def __init__(self, tests, watcher):
        seconds = {test: sum(n for case, n in watcher.seconds.items() if _is_of(case, test))
                   for test in tests}
        self.tests = sorted(tests, key=seconds.get)
        self.rejected = dict.fromkeys(tests, 0)

    def learn(self, report):
        """Put the tests that failed further to the front."""
        failed = [t["id"] for t in report.get("tests", ()) if t["outcome"] == "failed"]
        for test in self.rejected:
            self.rejected[test] += any(_is_of(case, test) for case in failed)
        self.tests.sort(key=self.rejected.get, reverse=True)


def _is_of(case, test):
    return case.endswith(test) or f"{test}[" in case


def in_a_copy(function, *arguments):
    """What a function returns, as plain data, called in a copy of this process.

    So it leaves nothing behind: no cached result, no changed array. Where a process cannot be
    copied, it is called here.
    """
    if not hasattr(os, "fork"):
        return function(*arguments)
    here, there = os.pipe()
    parent, child = os.getpid(), os.fork()
    if not child:
        try:
            end_in_time(LONGEST, parent)
            write(there, json.dumps(function(*arguments)).encode())
        finally:
            os._exit(0)
    os.close(there)
    with open(here) as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    return json.loads(text)
