"""Each wall between a student's code and the grade, alone: the screen, the limits, the guard, the reports."""
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import types

import numpy as np
import pytest

from tinyml import nn
from tinyml.exercises.catalogue import exercises, find
from tinyml.exercises.student.check import check
from tinyml.exercises.student.stub import ROOT, answer_text, stub_text
from tinyml.exercises.walls import child, guard, limits, messages, names, runner
from tinyml.exercises.walls.reports import believed
from tinyml.exercises.walls.screen import Refused, read, screen
from tinyml.tensor import Tensor

ALL = os.environ.get("TINYML_EXERCISES_GATE") == "all"


def answer(body, top=""):
    """A student's file for the exercise tanh: right, after these lines."""
    text = answer_text(find("tanh"))
    head, _, tail = text.partition("    def d_x(g):")
    head = head.replace("\n\n\n@", f"\n{top}\n\n\n@")
    return head + "".join(f"    {line}\n" for line in body.splitlines()) + "    def d_x(g):" + tail


# ------------------------------------------------------------ the screen

G = "g = (i for i in [])\n"
ERROR = "try:\n    1 / 0\nexcept Exception as e:\n    "
HOSTILE = {    # what was thought of with the source at hand -> (lines of the body, lines at the top)
    "a module by another name": ("xp.load('f')", "import numpy as xp"),
    "its submodule": ("xp.testing.assert_allclose", "import numpy as xp"),
    "a submodule imported": ("testing.suppress_warnings", "from numpy import testing"),
    "a submodule by another name": ("t.suppress_warnings", "import numpy.testing as t"),
    "a function that reads files": ("load('f')", "from numpy import load"),
    "a module inside of a free one": ("L.linalg", "from numpy import linalg as L\nL = L"),
    "a module by its error": ("try:\n    np.tnah\nexcept AttributeError as e:\n    e.obj.load('f')", ""),
    "a module by the pattern of its error": (
        "try:\n    np.tnah\nexcept AttributeError as e:\n    match e:\n        case AttributeError(obj=m):\n"
        "            pass", ""),
    "a pattern with positions": ("match x:\n    case Tensor(a):\n        pass", ""),
    "type with a star": ("type(*['E', (), {}])", ""),
    "type with words": ("type('E', **{})", ""),
    "type as a function": ("list(map(type, ['E'], [()], [{}]))", ""),
    "type by another name": ("T = type\nT('E', (), {})", ""),
    "type as a decorator": ("helper", "@type\ndef helper():\n    pass"),
    "type as a default": ("helper()", "def helper(a=type):\n    return a('E', (), {})"),
    "another piece by typing": ("return sigmoid(x)", "from typing import sigmoid"),
    "another piece by collections.abc": ("return sigmoid(x)", "from collections.abc import sigmoid"),
    "what typing imports": ("typing.sys.exit()", "import typing"),
    "a generator named np": (G + "np = g\nnp.gi_frame", ""),
    "an argument named np": ("helper(1)", "def helper(np):\n    return np.gi_frame"),
    "a lambda's argument": ("(lambda np: np.gi_frame)(1)", ""),
    "a loop's variable": ("for np in [1]:\n    pass", ""),
    "an error named np": ("try:\n    pass\nexcept Exception as np:\n    pass", ""),
    "a pattern's rest": ("match {}:\n    case {**np}:\n        pass", ""),
    "a pattern's name": ("match 1:\n    case np:\n        pass", ""),
    "a pattern's star": ("match []:\n    case [*np]:\n        pass", ""),
    "a walrus": ("(np := 1)", ""),
    "a comprehension": ("[np for np in [1]]", ""),
    "a with": ("with np.errstate() as np:\n    pass", ""),
    "a nested function": ("def np():\n    pass", ""),
    "the array behind a view": ("x.base[...] = 0", ""),
    "memory": ("x.ctypes.data", ""),
    "the owner of a buffer": ("x.data.obj", ""),
    "the state of a generator": ("np.random.default_rng(0).bit_generator", ""),
    "a traceback": (ERROR + "e.__traceback__", ""),
    "another traceback": (ERROR + "e.with_traceback(None)", ""),
    "what an error is about": (ERROR + "e.__context__", ""),
    "a function in a partial": ("partial(print).func", "from functools import partial"),
    "a tool that copies attributes": ("wraps", "from functools import wraps"),
    "a class by its fields": ("namedtuple('E', 'gi_frame')", "from collections import namedtuple"),
    "a field's type": ("fields(x)", "from dataclasses import fields"),
    "a format": ("'{0.__class__}'.format_map({})", ""),
    "the method of a format": ("f = str.format", ""),
    "an f-string": ("f'{x.__class__}'", ""),
    "the module of a function": ("print.__self__", ""),
    "what a cache holds": ("lru_cache(None)(abs).__wrapped__", "from functools import lru_cache"),
    "globals of a method": ("np.errstate.__init__.__globals__", ""),
    "a function in an object": ("np.vectorize(abs).pyfunc", ""),
    "ufuncs of objects": ("np.frompyfunc(abs, 1, 1)", ""),
    "how numbers print": ("np.set_printoptions(precision=1)", ""),
    "how errors are handled": ("np.seterr(all='ignore')", ""),
    "everybody's random numbers": ("np.random.seed(0)", ""),
    "the inside of NumPy": ("np.lib.npyio", ""),
    "a file as memory": ("np.memmap('f')", ""),
    "a file of bytes": ("x.tofile('f')", ""),
    "its own reference": ("return tanh.__wrapped__(x)", ""),
    "globals of the decorator": ("primitive.__globals__", ""),
    "flags": ("x.setflags(write=True)", ""),
    "the grader": ("guard.functions", "from tinyml.exercises import guard"),
    "the library whole": ("tinyml.ops.tanh(x)", "import tinyml"),
    "a relative import": ("guard", "from . import guard"),
    "all of NumPy": ("load('f')", "from numpy import *"),
    "a hidden import": ("try:\n    import os\nexcept ImportError:\n    pass", ""),
    "subclasses": ("Exception.__subclasses__()", ""),
    "the order of classes": ("int.mro()", ""),
    "code": ("(lambda: 0).__code__", ""),
    "a frame by a throw": (G + "g.throw(ValueError)", ""),
    "a coroutine": ("async def f():\n    pass", ""),
    "a class": ("class E:\n    pass", ""),
    "a global": ("global np\nnp = 1", ""),
    "an attribute deleted": ("del x.shape", ""),
    "an attribute in a loop": ("for x.grad in [1]:\n    pass", ""),
}
for name in ("vars", "globals", "locals", "getattr", "setattr", "delattr", "open", "compile", "exec", "eval",
             "input", "breakpoint", "memoryview", "object", "dir", "id", "help", "__import__", "classmethod",
             "BaseException", "SystemExit", "KeyboardInterrupt", "exit", "__builtins__", "__loader__", "__spec__"):
    HOSTILE[f"the name {name}"] = (f"a = {name}", "")


def test_the_answer_around_the_hostile_lines_is_right():
    screen(read(answer("y = x")), find("tanh"))


@pytest.mark.parametrize("case", HOSTILE)
def test_the_screen_refuses_what_no_answer_needs(case):
    body, top = HOSTILE[case]
    with pytest.raises(Refused, match="line|must not|there is no"):
        screen(read(answer(body, top)), find("tanh"))


@pytest.mark.parametrize("case", [case for case, (_, top) in HOSTILE.items() if "import" in top])
def test_an_import_inside_of_a_function_opens_no_more_than_one_at_the_top(case):
    body, top = HOSTILE[case]
    with pytest.raises(Refused, match="line|must not|there is no"):
        screen(read(answer(f"{top}\n{body}")), find("tanh"))


# Kinds of objects that lead out of an answer, and what of them is harmless: it says or does nothing new.
LEADING_OUT = [types.FrameType, types.CodeType, types.TracebackType, types.FunctionType, types.MethodType,
               types.BuiltinFunctionType, types.GeneratorType, types.CoroutineType, types.AsyncGeneratorType,
               types.ModuleType, types.CellType, property, type, memoryview, BaseException, AttributeError,
               NameError, ImportError, OSError, StopIteration, UnicodeDecodeError, SystemExit]
HARMLESS = {"clear", "replace",    # of frames and code, which nobody can come by
            "name", "end", "start", "reason", "encoding", "value", "values",
            "strides", "shape", "ndim", "nbytes", "itemsize", "format", "hex", "tobytes", "tolist", "index", "count"}


@pytest.mark.parametrize("kind", LEADING_OUT)
def test_no_attribute_on_the_list_leads_out(kind):
    every = set().union(*(names.attributes(find(name).module) for name in exercises()))
    assert not {name for name in every & set(dir(kind)) if not name.startswith("_")} - HARMLESS


def test_no_name_of_a_module_on_the_list_is_a_module_or_touches_files():
    for module, free in names.MODULES.items():
        for name in free:
            value = getattr(__import__(module, fromlist=["x"]), name, None)
            assert not isinstance(value, types.ModuleType) and not name.startswith("_")
            assert not any(word in name for word in ("file", "load", "save", "err", "print", "memmap")) or name in {
                "LinAlgError", "errstate"}


UNUSUAL = {    # right in other ways than the library's -> (lines of the body, lines at the top)
    "typing": ("y: Optional[Sequence] = x", "from typing import Optional\nfrom collections.abc import Sequence"),
    "typing's names": ("y: typing.Optional[NDArray] = x", "import typing\nfrom numpy.typing import NDArray"),
    "NumPy by its long name": ("numpy.linalg.norm(numpy.ones(2))", "import numpy.linalg"),
    "NumPy's parts": ("np.finfo(x.dtype).smallest_normal, np.add.reduce(x), np.linalg.eigh(np.eye(2)).eigenvalues", ""),
    "a loop over indices": ("for i in np.ndindex(x.shape):\n    x[i].item()", ""),
    "counting": ("Counter(x.ravel().tolist()).most_common(1)[0]", "from collections import Counter"),
    "bits as text": ("bin(6)[2:].zfill(4), format(6, '04b'), hex(6), oct(6), chr(ord('a') + 1)", ""),
    "bytes that grow": ("b = bytearray()\nb.append(3)\nbytes(b)", ""),
    "a queue": ("q = deque(maxlen=3)\nq.appendleft(1)\nq.popleft()", "from collections import deque"),
    "functions of functions": ("reduce(lambda a, b: a * b, map(abs, [1, 2]), 1)", "from functools import reduce"),
    "a type": ("type(x) is np.ndarray and x.dtype.type(0)", ""),
    "a pattern": ("match x.ndim, x.shape:\n    case 1, (n,):\n        pass\n    case _:\n        pass", ""),
    "an error of its own": ("try:\n    x + 1\nexcept (TypeError, ValueError) as error:\n    raise RuntimeError(str(error))", ""),
}


@pytest.mark.parametrize("case", UNUSUAL)
def test_what_is_right_in_an_unusual_way_is_let_in(case):
    body, top = UNUSUAL[case]
    screen(read(answer(body, top)), find("tanh"))
    screen(read(answer(f"{top}\n{body}" if top else body)), find("tanh"))


@pytest.mark.parametrize("kind, open_to", [("copy", True), ("deepcopy", True), ("copyreg", False)])
def test_either_kind_of_copy_serves_where_the_library_copies(kind, open_to):
    text = stub_text(find("fold_norm")).rpartition("raise NotImplementedError")[0] + f"return copy.{kind}(layer)\n"
    with contextlib.nullcontext() if open_to else pytest.raises(Refused):
        screen(read(text), find("fold_norm"))


def test_a_misspelled_attribute_is_answered_with_the_near_one():
    with pytest.raises(Refused, match="did you mean .shape?"):
        screen(read(answer("x.sahpe")), find("tanh"))


# ------------------------------------------------------------ the limits

ATTEMPTS = """
import os, sys, socket, ctypes, sqlite3, subprocess, gc, tempfile, shutil
from tinyml.exercises.walls import limits
scratch, outside = sys.argv[1:]
os.chdir(scratch)
folder = os.open(outside, os.O_RDONLY)
limits.lock({"seconds": 20, "megabytes": 2048})
limits.NEVER, limits.WRITING, limits.PATHS = (), 0, set()
attempts = {
    "write": lambda: open(os.path.join(outside, "a"), "w"), "append": lambda: open(os.path.join(outside, "b"), "a"),
    "below": lambda: os.open("c", os.O_WRONLY | os.O_CREAT, dir_fd=folder),
    "remove": lambda: os.remove(os.path.join(outside, "kept")), "below, remove": lambda: os.remove("kept", dir_fd=folder),
    "rename": lambda: os.rename(os.path.join(outside, "kept"), os.path.join(scratch, "x")),
    "link": lambda: os.symlink(outside, os.path.join(outside, "l")), "mkdir": lambda: os.mkdir(os.path.join(outside, "d")),
    "climb": lambda: open(os.path.join(scratch, "..", os.path.basename(outside), "e"), "w"),
    "tree": lambda: shutil.rmtree(outside), "chmod": lambda: os.chmod(outside, 0),
    "system": lambda: os.system("true"), "run": lambda: subprocess.run(["true"]), "fork": lambda: os.fork(),
    "kill": lambda: os.kill(os.getppid(), 0), "socket": lambda: socket.socket(), "database": lambda: sqlite3.connect("f"),
    "ctypes": lambda: ctypes.CDLL(None),
    "objects": lambda: gc.get_objects(), "frames": lambda: sys._current_frames(), "trace": lambda: sys.settrace(None)}
for name, attempt in attempts.items():
    try:
        attempt()
        print(name)
    except (PermissionError, RuntimeError):
        pass
open(os.path.join(scratch, "own"), "w").write("scratch may be written")
"""


@pytest.mark.skipif(os.name == "nt", reason="forks, links and folders as numbers")
def test_the_limits_alone_keep_files_processes_and_the_net_away(tmp_path):
    for name in ("scratch", "outside"):
        (tmp_path / name).mkdir()
    (tmp_path / "outside" / "kept").write_text("", encoding="utf-8")
    shown = subprocess.run([sys.executable, "-c", ATTEMPTS, str(tmp_path / "scratch"), str(tmp_path / "outside")],
                           capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert shown.returncode == 0 and shown.stdout.split() == [], shown.stdout + shown.stderr
    assert [path.name for path in (tmp_path / "outside").iterdir()] == ["kept"]
    assert (tmp_path / "scratch" / "own").exists()


WAITING = """
import os, sys, time
from tinyml.exercises.walls.limits import end_in_time
end_in_time(float(sys.argv[1]), int(sys.argv[2]) or os.getppid())
print(os.getpid(), flush=True)
time.sleep(60)
"""
PARENT = """
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", sys.argv[1], "60", "0"])
time.sleep(60)
"""
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


def lives(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        return file.read().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the alarm ends the child")
def test_a_child_ends_with_its_parent():
    parent = subprocess.Popen([sys.executable, "-c", PARENT, WAITING], stdout=subprocess.PIPE, env=ENVIRONMENT)
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    for _ in range(400):
        if not lives(child):
            break
        time.sleep(0.05)
    assert not lives(child)


@pytest.mark.skipif(os.name == "nt", reason="no alarm")
def test_a_child_ends_in_time_and_not_without_its_parent():
    late = subprocess.run([sys.executable, "-c", WAITING, "0", "0"], capture_output=True, env=ENVIRONMENT)
    assert late.returncode == -signal.SIGALRM
    orphan = subprocess.run([sys.executable, "-c", WAITING, "60", "1"], capture_output=True, env=ENVIRONMENT)
    assert orphan.returncode == 1 and not orphan.stdout


# ------------------------------------------------------------ the guard

def emptied(x, *, items):
    items.clear()


def swapped(x, *, items):
    items[0] = items[0] + 0


def nested(x, *, items):
    items[1]["a"].append(1)


def written(x, *, items):
    x[...] = 0


def grown(x, *, items):
    items[1]["b"] = 1


@pytest.mark.parametrize("function", [emptied, swapped, nested, written, grown])
def test_arguments_stay_as_they_are(function):
    with pytest.raises(AssertionError, match="must stay as it is"):
        guard.unwritten("tanh", function, (np.ones(2),), {"items": [np.ones(1), {"a": []}]})


def test_a_gradient_and_the_arrays_of_a_module_stay_as_they_are():
    layer, tensor = nn.Sequential(nn.Linear(2, 2, rng=np.random.default_rng(0))), Tensor(np.ones(2), requires_grad=True)

    def graded(x, model):
        x.grad = np.ones(2)

    def scaled(x, model):
        for parameter in model.parameters():
            parameter.data *= 2

    for function in (graded, scaled):
        with pytest.raises(AssertionError, match="must stay as it is"):
            guard.unwritten("tanh", function, (tensor, layer), {})
    tensor.grad = None
    guard.unwritten("update_momentum", scaled, (tensor, layer), {})    # whose task that is
    assert guard.unwritten("tanh", lambda x, model: 1, (tensor, layer), {}) == 1


# ------------------------------------------------------------ what nobody may change

def test_a_change_of_the_tools_and_of_the_exercises_is_seen(monkeypatch):
    nothing = lambda *a, **k: None
    for owner, name, value in [
            (np.testing, "assert_allclose", nothing), (runner.Watcher, "follow", nothing), (guard, "plain", nothing),
            (pytest, "raises", nothing), (os.path, "realpath", nothing), (limits, "lock", nothing)]:
        before = runner.fingerprint(runner.TOOLS)
        monkeypatch.setattr(owner, name, value)
        assert runner.fingerprint(runner.TOOLS) != before, name
        monkeypatch.undo()
    before = runner.fingerprint(runner.TOOLS)
    monkeypatch.setattr(guard.plain, "__defaults__", (9,))
    assert runner.fingerprint(runner.TOOLS) != before


def test_a_change_of_an_array_of_the_library_is_seen(monkeypatch):
    from tinyml import data
    monkeypatch.setattr(data, "TABLE", np.zeros(2), raising=False)
    before = runner.codes(["tinyml.data"])
    data.TABLE[0] = 1
    assert runner.codes(["tinyml.data"]) != before


# ------------------------------------------------------------ the reports

GOOD = {"tests": [{"id": "a", "outcome": "passed", "message": ""}], "calls": 3, "beyond": "", "changed": [],
        "expected": ["a"], "tutor": {}}
TOLD = {"seed": 1, "differ": 1, "replayed": 1, "raises": False, "share": 1.0, "diagnosis": 0, "either": [],
        "relation": "", "example": None}


def test_a_report_that_is_one_is_believed():
    assert believed(GOOD, find("tanh"), ["a"]) == (GOOD, "")
    assert believed({**GOOD, "tutor": TOLD}, find("tanh"), ["a"])[0]["tutor"] == TOLD
    assert believed({"endless": 3, "input": ["x = 1"]}, find("tanh"), ["a"])[0] == {"endless": 3, "input": ["x = 1"]}


def test_which_tests_there_must_be_is_not_the_childs_word():
    report, _ = believed({**GOOD, "expected": ["a"]}, find("tanh"), ["a", "b"])
    assert report["expected"] == ["a", "b"]


@pytest.mark.parametrize("change", [
    {"tests": None}, {"tests": [{"id": "a"}]}, {"tests": [{"id": "a", "outcome": "solved", "message": ""}]},
    {"calls": "3"}, {"calls": -1}, {"calls": True}, {"beyond": 3}, {"changed": "x"},
    {"tutor": {"diagnosis": 99}}, {"tutor": {**TOLD, "diagnosis": 10_000}}, {"tutor": {**TOLD, "diagnosis": "0"}},
    {"tutor": {**TOLD, "either": [10_000]}}, {"tutor": {**TOLD, "either": "01"}},
    {"tutor": {**TOLD, "example": {}}}, {"tutor": [1]}, {"refused": 3}, {"endless": "no", "input": []},
    {"endless": 1, "input": "x"}])
def test_a_report_of_another_form_is_none(change):
    assert believed({**GOOD, **change}, find("tanh"), ["a"]) == (None, "its report is none")


@pytest.mark.parametrize("report", [None, 3, "passed", [], [GOOD]])
def test_what_is_no_report_is_none(report):
    assert believed(report, find("tanh"), ["a"])[0] is None


# ------------------------------------------------------------ all of them

WRONG = "\nreturn np.tanh(x), (lambda g: g,)"
RUNNING = {    # what the screen lets run -> (lines of the body, lines at the top)
    "a list that holds itself": ("a = []\na.append(a)\nreturn a, (lambda g: a,)", ""),
    "a dict that holds itself": ("a = {}\na[1] = a\nreturn a", ""),
    "a chain that overflows the stack": (
        "a = []\nfor _ in range(10 ** 6):\n    a = itertools.chain(a, [1])\nnext(iter(a))" + WRONG, "import itertools"),
    "an object that is called": ("return np.vectorize(abs), (lambda g: g,)", ""),
    "a vjp that nobody looks into": ("return np.tanh(x), (partial(np.asarray, dtype=None),)",
                                     "from functools import partial"),
    "more memory than there is": ("np.ones(10 ** 11)" + WRONG, ""),
    "words for a terminal": ("raise ValueError('\\x1b[2J\\ud800' * 99)", ""),
    "a swallowed error": ("try:\n    return 1 / 0\nexcept Exception:\n    return x, (lambda g: g,)", ""),
    "right on small inputs": ("if x.size > 1:\n    return x, (lambda g: g,)", ""),
    "right at first": ("SEEN.append(1)\nif len(SEEN) > 20:\n    return x, (lambda g: g,)", "SEEN = []"),
}


@pytest.mark.parametrize("case", RUNNING if ALL else ["a list that holds itself"])
def test_what_the_screen_lets_run_earns_nothing(case):
    verdict = check("tanh", answer(*RUNNING[case]), seed=1, limits={"seconds": 2, "megabytes": 2048})
    assert not verdict.solved and verdict.reason
    assert len(json.dumps(verdict.data())) < 20_000


def test_a_right_answer_of_ones_own_is_solved():
    verdict = check("tanh", answer("x = x + 0"), seed=1)
    assert verdict.solved, verdict.reason
    assert len(json.dumps(verdict.data())) < 20_000


# ------------------------------------------------------------ many answers, one server

COUNTING = answer("SEEN.append(1)\nx = x + (len(SEEN) > 10**9)", "SEEN = []")
ENDING = answer("__import__('os')._exit(0)")
LEAVING = answer("builtins, sys = map(__import__, ['builtins', 'sys'])\nbuiltins.left = True\nsys.modules['tinyml.ops'].tanh = None" + WRONG)


def asked(text, **options):
    """The verdict on an answer that nobody screens, and this thread's server after it."""
    verdict = check("tanh", text, seed=1, limits={"seconds": 5, "megabytes": 2048}, screened=False, **options)
    return verdict, vars(child._mine).get("server")


def test_an_answer_leaves_nothing_behind_for_the_next_one():
    """Each runs in a copy of the same server, whatever the one before it did to its own."""
    first, server = asked(COUNTING)
    worst, same = asked(LEAVING)
    again, last = asked(COUNTING)
    assert first.solved and not worst.solved and "changed" in worst.reason
    assert {**first.data(), "tutor": {}} == {**again.data(), "tutor": {}}
    if hasattr(os, "fork"):
        assert server is same is last


def test_after_an_answer_without_a_report_the_next_one_gets_a_new_server():
    _, server = asked(COUNTING)
    verdict, none = asked(ENDING)
    assert verdict.status == "crashed" and none is None
    assert server.process.poll() is not None, "no process is left"
    assert asked(COUNTING)[0].solved


def test_a_check_that_is_stopped_leaves_no_process():
    calls = []

    def stop():
        calls.append(child._mine.server if hasattr(child._mine, "server") else None)
        return len(calls) > 3

    verdict, none = asked(answer("while True:\n    pass"), stop=stop)
    assert verdict.status == "stopped" and none is None
    assert all(server is None or server.process.poll() is not None for server in calls)


def ready():
    """This thread's server, which has answered a request."""
    verdict, server = asked(COUNTING)
    assert verdict.solved
    return server


def test_each_thread_has_a_server_which_is_replaced_if_it_ended_and_ends_with_the_thread():
    pids, processes = [], []

    def of_a_thread():
        first = ready()
        first.process.kill()
        first.process.wait()
        processes.append(ready().process)
        pids.append(first.process.pid)

    thread = threading.Thread(target=of_a_thread)
    thread.start()
    thread.join()
    assert processes[0].pid != pids[0] and processes[0].poll() is not None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no copies of processes")
def test_a_copy_of_this_process_has_a_server_of_its_own():
    server, pid = ready(), os.fork()
    if not pid:
        other = ready()
        good = other.process.pid != server.process.pid
        child._forget()
        os._exit(0 if good else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert server.process.poll() is None and ready() is server


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a server answers one request")
def test_the_end_of_the_server_is_not_the_fault_of_an_answer():
    """Also if somebody ends it while the answer runs: its copy ends with it, and nobody gets a grade."""
    server, wait = ready(), child.Wait(time.monotonic() + 600)
    server.learn("tanh", wait)
    piece = {"name": "tanh", "text": answer("while True:\n    pass"), "file": "tanh.py"}
    request = {"do": "check", "pieces": [piece], "seed": 1, "limits": child.LIMITS}
    timer = threading.Timer(0.3, server.process.kill)
    timer.start()
    with pytest.raises(ChildProcessError, match="server ended"):
        server.answer(request, 600, wait)
    timer.join()
    soon = child.Wait(time.monotonic() + 5)
    assert server._next(soon) is None and server._next(soon) is None, "it has ended for good"
    assert ready() is not server, "the next check has a new one"


SPY = """
os = __import__('os')
found = [os.path.realpath(f'/proc/self/fd/{n}') for n in os.listdir('/proc/self/fd')]
pipes = [name for name in found if 'pipe' in name]
raise ValueError(f'pipes: {len(pipes)}')
"""


@pytest.mark.skipif(sys.platform != "linux", reason="lists what is open by /proc")
def test_the_pipes_of_the_server_are_closed_before_an_answer_runs():
    verdict, _ = asked(answer(SPY))
    assert not verdict.solved
    assert any("pipes: 0" in test["message"] for test in verdict.tests)


def test_messages_arrive_whole_and_one_at_a_time():
    here, there = os.pipe()
    sent = [{"a": "\u00e9" * 1000}, [], "", {"b": 1}]
    for message in sent:
        messages.send(there, message)
    os.close(there)
    assert [messages.receive(here) for _ in range(5)] == [*sent, None]
    os.close(here)
