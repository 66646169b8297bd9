"""The exercises grade what they say: references pass, stubs and mistakes fail, and nobody cheats.

By default a few exercises go through the gate, and of the answers that must run in a child process a few do;
with TINYML_EXERCISES_GATE=all every one does.
"""
import ast
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

from tinyml.exercises import gate
from tinyml.exercises.__main__ import main
from tinyml.exercises.catalogue import CHAPTERS, exercises, find
from tinyml.exercises.student import report
from tinyml.exercises.student.check import Verdict, check
from tinyml.exercises.student.splice import Piece, compiled_alone, run_alone
from tinyml.exercises.student.stub import ROOT, answer_text, graders, source, stub_text
from tinyml.exercises.student.watch import KEYS, Watch
from tinyml.exercises.student.workspace import Workspace
from tinyml.exercises.walls import guard
from tinyml.exercises.walls.screen import Refused, load, read, screen

NAMES = list(exercises())
ALL = os.environ.get("TINYML_EXERCISES_GATE") == "all"
SAMPLE = NAMES if ALL else ["entropy"]
LIMITS = {"seconds": 1, "megabytes": 2048}
CANARY = Path(tempfile.gettempdir(), f"tinyml-canary-{os.getpid()}")    # a file outside of every scratch folder
SEED = 2025


# ------------------------------------------------------------ the catalogue

@pytest.mark.parametrize("name", NAMES)
def test_an_exercise_has_hints_mistakes_graders_and_no_leak(name):
    exercise = find(name)
    assert not gate.static_faults(exercise)
    for test in exercise.tests:
        file, _, function = test.partition("::")
        text = (graders() / file).read_text(encoding="utf-8")
        assert re.search(rf"^def {function.partition('[')[0]}\(", text, re.MULTILINE), test


def test_names_are_words_of_their_own():
    assert len(NAMES) == sum(len(chapter.exercises) for chapter in CHAPTERS)
    assert all(name.isidentifier() for name in NAMES)


def test_the_gate(capsys):
    findings = gate.examine(SAMPLE, SEED if os.environ.get("CI") else None)    # fresh numbers, but for CI
    with capsys.disabled():
        print(f"\n{findings}")
    assert not findings.faults and findings.rejected == findings.mistakes
    assert findings.named >= 0.8 * findings.mistakes


# ------------------------------------------------------------ canaries

def answer(body, top=""):
    """A student's file for the exercise tanh."""
    text = answer_text(find("tanh"))
    good = ("    def d_x(g):    # 1 - y^2 = 4 t / (1 + t)^2, which keeps its digits where y rounds to 1\n"
            "        t = np.exp(-2 * np.abs(x))\n        return g * (4 * t / (1 + t) ** 2)\n"
            "    return np.tanh(x), (d_x,)\n")
    assert text.endswith(good)
    head = text.removesuffix(good).replace("\n\n\n@", f"\n{top}\n\n\n@")
    return head + "".join(f"    {line}\n" for line in body.splitlines())


EQUAL = """class Equal:
    shape, dtype = (), None
    def __eq__(self, other): return True
    def __mul__(self, other): return self
    __add__ = __radd__ = __rmul__ = __mul__
return Equal(), (lambda g: Equal(),)"""
WRONG = "\nreturn np.tanh(x), (lambda g: g,)"
CANARIES = {    # name -> text of the file
    "nothing": "",
    "no Python": "def tanh(",
    "another name": answer("return None").replace("def tanh", "def sinh"),
    "the stub": stub_text(find("tanh")),
    "None": answer("return None"),
    "a print": answer("print('5 passed')" + WRONG),
    "exit": answer("raise SystemExit(0)"),
    "exit by sys": answer("sys.exit(0)", "import sys"),
    "exit by os": answer("os._exit(0)", "import os"),
    "a loop": answer("while True:\n    pass"),
    "a loop at import": answer(WRONG, "forever = [0 for _ in iter(int, 1)]"),
    "memory": answer("hoard = []\nwhile True:\n    hoard.append(np.ones(10 ** 7))"),
    "skip": answer("pytest.skip('no')", "import pytest"),
    "NumPy's assertions": answer(WRONG, "np.testing.assert_allclose = lambda *a, **k: None"),
    "NumPy's assertions inside": answer("np.testing.assert_allclose = lambda *a, **k: None" + WRONG),
    "hypothesis": answer(WRONG, "import hypothesis\nhypothesis.given = lambda *a, **k: lambda f: lambda: None"),
    "the engine": answer("type(x).all = lambda *a: True" + WRONG),
    "the result file": answer("open('results.json', 'w').write('passed')" + WRONG),
    "a class that equals all": answer(EQUAL),
    "a class made by type": answer("E = type('E', (), {'__eq__': lambda *a: True})\nreturn E(), (lambda g: E(),)"),
    "frames": answer("g = (i for i in [])\ng.gi_frame.f_back.f_globals.clear()" + WRONG),
    "subclasses": answer("().__class__.__base__.__subclasses__()" + WRONG),
    "builtins": answer("__builtins__['abs'] = None" + WRONG),
    "eval": answer("eval('1')" + WRONG),
    "import": answer("__import__('os').system('true')" + WRONG),
    "a module as a value": answer("m = np\nm.abs = None" + WRONG),
    "its own reference": answer("return tanh.__wrapped__(x)"),
    "objects": answer("return np.array(x, object), (lambda g: g,)"),
    "another signature": answer(WRONG).replace("tanh(x)", "tanh(x, y=0)"),
}
RUN = {"None", "a print", "a loop", "memory", "a loop at import", "objects"}    # the screen lets these run


@pytest.mark.parametrize("name", CANARIES if ALL else set(CANARIES) - RUN | {"a loop"})
def test_a_canary_fails(name):
    verdict = check("tanh", CANARIES[name], seed=SEED, limits=LIMITS)
    assert not verdict.solved and verdict.reason
    if name not in RUN:
        assert verdict.status in {"refused", "unwritten"}


RIGHT = "\ny = np.tanh(x)\nreturn y, (lambda g: g * (1 - y * y),)"
FRAME = "g = (i for i in [])\n"
HOSTILE = {    # name -> (text of the file, words of the reason)
    "a frame by a class pattern": (
        answer(FRAME + "T = type(g)\nmatch g:\n    case T(gi_frame=f):\n        pass" + WRONG), "gi_frame"),
    "a traceback by a class pattern": (
        answer("try:\n    1 / 0\nexcept Exception as e:\n    match e:\n"
               "        case Exception(__traceback__=t):\n            pass" + WRONG), "__traceback__"),
    "a frame by a format": (answer(FRAME + "'{0.gi_frame.f_back}'.format(g)" + WRONG), ".format"),
    "a frame by an f-string": (answer(FRAME + "f'{1:{g.gi_frame.f_lineno}}'" + WRONG), "f_lineno|gi_frame"),
    "a frame in other letters": (answer(FRAME + "g.\uff47i_frame" + WRONG), "gi_frame"),
    "builtins in other letters": (answer("__\uff42uiltins__" + WRONG), "__builtins__"),
    "a class by another name": (answer("T = type(x)\nT.all = None" + WRONG), "T.all"),
    "a field of its own value": (answer("y = x * 1\ny.shape = -1" + WRONG), "make a new value instead"),
    "a number by id": (answer("seen = {id(x)}" + WRONG), "key of a dict"),
    "a class in a loop": (answer("for x.all in [1]:\n    pass" + WRONG), "x.all"),
    "flags of an array": (answer("x.flags.writeable = True" + WRONG), "writeable"),
    "the guard itself": (answer("_guard_tanh('mul')(np.tanh)" + WRONG), "there is no _guard_tanh"),
    "another piece": (answer("return sigmoid(2 * x), (lambda g: g,)"), "another piece"),
    "another piece, imported": (answer("return sigmoid(x)", "from tinyml.ops.elementwise import sigmoid"), "import"),
    "a star": (answer(WRONG, "from tinyml.ops.elementwise import *"), "import"),
    "a module of a module": (answer("np.ma.extras.functools.reduce(max, [])" + WRONG), "which no answer needs"),
    "the names of the caller": (answer("np.bmat('x')" + WRONG), "bmat"),
    "a masked array": (answer("return np.ma.masked_all_like(x), (lambda g: g,)"), "np.ma"),
    "a default of a helper": (answer(WRONG, "def helper(a=print.__self__):\n    return a"), "__self__"),
    "an annotation": (answer(WRONG, "def helper(a: open('f', 'w')):\n    return a"), r"open\(\)"),
    "a decorator": (answer(WRONG, "@(e := eval)\ndef helper():\n    pass"), r"eval\(\)"),
    "a definition under if": (answer(WRONG, "if True:\n    import os"), "outside of functions"),
    "a lambda of the same name": (answer(WRONG) + "\n\ntanh = lambda x: x\n", "choose another name"),
    "a deep nest": (answer("return " + "lambda: " * 900 + "x"), "nested"),
    "a deep sum": (answer("return " + "x + " * 20_000 + "x"), "nested"),
    "a deep search": (answer("return x" + "[0]" * 5_000), "nested"),
    "a huge number": (answer(WRONG).replace("tanh(x)", f"tanh(x=0x{'F' * 9_000})"), "digits"),
    "a huge number in a stub": (answer(f"raise 0x{'F' * 9_000}"), "digits"),
    "a NUL": (answer(WRONG) + "\0", "not Python"),
    "another encoding": (answer(WRONG).encode("utf-16").decode("utf-8", "replace"), "not Python"),
    "a huge file": ("#" * 200_000, "bytes"),
    "an exercise of another name": (stub_text(find("mul")), "must define"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_answer_is_refused(name):
    text, words = HOSTILE[name]
    verdict = check("tanh", text, seed=SEED, limits=LIMITS)
    assert verdict.status == "refused" and re.search(words, verdict.reason), verdict.reason


RUNNING = {    # what the screen cannot see -> words of the verdict
    "an argument, and later": (
        answer("SEEN.append(x)\nfor old in SEEN[:-1]:\n    old[...] = 0" + RIGHT, "SEEN = []"), "stay as it is"),
    "an argument": (answer("x[...] = 0\nreturn x, (lambda g: g,)"), "stay as it is"),
    "an argument by a copy": (answer("np.copyto(x, 0)\nreturn x, (lambda g: g,)"), "stay as it is"),
    "NumPy's errors": (
        answer("next(HELD)" + RIGHT, "def held():\n    with np.errstate(all='ignore'):\n        while True:\n"
               "            yield\n\n\nHELD = held()"), "geterr"),
    "all but the first calls": (
        answer("SEEN.append(1)\nif len(SEEN) > 3:\n    return x, (lambda g: g,)" + RIGHT, "SEEN = []"), "fail"),
    "a power": (answer("10 ** 10 ** 10" + RIGHT), "timeout"),
    "no numbers": (answer("return x * np.nan, (lambda g: g * np.nan,)"), "fail"),
    "an empty array": (answer("return x.ravel()[:0], (lambda g: g.ravel()[:0],)"), "fail"),
    "itself": (answer("return tanh(x)"), "fail|timeout"),
    "a flood of words": (answer("while True:\n    print('x' * 10 ** 7)"), "ended before|timeout"),
    "a long error": (answer("raise ValueError('x' * 10 ** 7)"), "fail|timeout"),
    "a late word": (answer("LATE.append(late())\nnext(LATE[-1])" + WRONG, "def late():\n    try:\n        yield\n"
                           "    finally:\n        print('5 passed')\n\n\nLATE = []"), "fail"),
}


@pytest.mark.parametrize("name", RUNNING if ALL else ["an argument, and later"])
def test_a_hostile_answer_that_runs_fails(name):
    text, words = RUNNING[name]
    verdict = check("tanh", text, seed=SEED, limits=LIMITS)
    assert not verdict.solved and re.search(words, f"{verdict.status} {verdict.reason} {verdict.tests}")
    assert len(json.dumps(verdict.data())) < 20_000


@pytest.mark.parametrize("value", [
    np.ma.masked_all(2), np.zeros(2).view(np.recarray), np.array([1], object), np.zeros(1, [("a", object)])])
def test_a_result_must_be_a_plain_array(value):
    for result in (value, [value], {"a": (value,)}):
        with pytest.raises(TypeError):
            guard.plain("tanh", result)


KIND = {    # what students do -> the text, which is right
    "annotations": answer(RIGHT, "from typing import Optional").replace(
        "def tanh(x)", "def tanh(x: Optional[np.ndarray]) -> tuple"),
    "imports, names and prints of one's own": answer(
        "print('x is', x)\ny = xp.tanh(x)\nz: float = square(y)\nreturn y, (lambda g: g * (ONE - z),)",
        "import numpy as np\nimport numpy as xp\nimport math\nONE = 1\n\n\ndef square(v):\n    return v * v"),
    "no docstring, a warning of Python's, tabs, Windows' lines": (
        "\ufeffimport numpy as np\nfrom tinyml.tensor import primitive as p, primitive\n@primitive\ndef tanh(x):\n"
        "\tif x is 1:\n\t\tx = '\\d'\n\ty = np.tanh(x)\n\treturn y, (lambda g: g * (1 - y * y),)\n").replace(
            "\n", "\r\n"),
}


@pytest.mark.parametrize("name", KIND if ALL else [list(KIND)[-1]])
def test_a_check_is_kind(name, tmp_path):
    (tmp_path / "tanh.py").write_bytes(KIND[name].encode())
    verdict = check("tanh", load(tmp_path / "tanh.py"), seed=SEED)
    assert verdict.solved, verdict.reason


UNSCREENED = {    # without the screen: what the walls behind it are for -> words of the reason
    "exit": "ended before", "a class that equals all": "tests fail",
    "an exit by os": (answer("os = __import__('os')\nos._exit(0)"), "ended before"),
    "a forged report": (answer("os = __import__('os')\nos.write(1, b'0' * 64 + b' {}')\nos._exit(0)"), "ended before"),
    "a skip": (answer("pytest = __import__('pytest')\npytest.skip('no')"), "tests fail|ended before|tests ran"),
    "assertions that say yes": (answer(
        "yes = (lambda *a, **k: None).__code__\nnp.testing.assert_allclose.__code__ = yes\n" + WRONG), "changed"),
    "a gradcheck that says yes": (answer(
        "tinyml = __import__('tinyml')\nc = type(x)\nsys = __import__('sys')\nm = sys.modules['tinyml.gradcheck']\n"
        "m.gradcheck.__code__ = (lambda *a, rng, tol=0: True).__code__" + WRONG), "changed|tests fail"),
    "a file": (answer(f"open({str(CANARY)!r}, 'w')" + WRONG), "tests fail"),
    "a thread": (answer("threading = __import__('threading')\nthreading.Thread(target=lambda: 1).start()" + WRONG), "tests fail"),
    "a flood": (answer("os = __import__('os')\nwhile True:\n    os.write(2, b'x' * 10 ** 6)"), "tests fail|ended"),
    "a process": (answer("subprocess = __import__('subprocess')\nsubprocess.run(['true'])" + WRONG), "tests fail"),
}


@pytest.mark.parametrize("name", UNSCREENED if ALL else [
    "an exit by os", "a forged report", "assertions that say yes", "a file"])
def test_each_wall_stands_alone(name):
    case = UNSCREENED[name]
    text, words = case if isinstance(case, tuple) else (CANARIES[name], case)
    verdict = check("tanh", text, seed=SEED, limits=LIMITS, screened=False)
    assert not verdict.solved and re.search(words, verdict.reason), verdict.reason
    assert not CANARY.exists()


# ------------------------------------------------------------ what a student meets

@pytest.fixture
def space(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Workspace()


def said(capsys, *words, code=0):
    """What a command prints, after its exit code was looked at."""
    assert main(list(words)) == code
    out = capsys.readouterr()
    return out.out + out.err


def test_the_way_of_a_student(space, capsys, monkeypatch):
    assert "start" in said(capsys)
    assert "check tanh" in said(capsys, "start")
    path = space.path("tanh")
    assert "not written yet" in said(capsys, "check", code=1)
    wrong = answer("y = np.tanh(x)\nreturn y, (lambda g: g * (1 - x * x),)")
    path.write_text(wrong, encoding="utf-8")
    assert "was there already" in said(capsys, "start", "tanh") and path.read_text(encoding="utf-8") == wrong
    words = said(capsys, "check", "--seed", str(SEED), code=1)
    assert find("tanh").mistakes[1].why.split(",")[0] in words
    for part in ("expected", "got", "shape ()", f"check tanh --seed {SEED}", str(path)):
        assert part in words
    assert "hint tanh 3" in said(capsys, "hint", "tanh", "2")
    assert "--yes" in said(capsys, "solution", "tanh", code=1)
    assert "np.tanh" in said(capsys, "solution", "tanh", "--yes")
    said(capsys, "reset", "tanh")
    actions = iter([lambda: path.write_text(answer_text(find("tanh")), encoding="utf-8")])

    def sleep(seconds):
        next(actions, lambda: watches[0].keys.put("q"))()

    monkeypatch.setattr(time, "sleep", sleep)
    watches = []
    monkeypatch.setattr(Watch, "listen", lambda self: watches.append(self))
    words = said(capsys, "watch", "tanh")
    assert "not written yet" in words and re.search(r"SOLVED, all \d+ tests pass", words)
    assert "Watching" in words.partition("SOLVED")[2] and space.path("mul").exists()
    assert "[#" in said(capsys, "status") or len(CHAPTERS[0].exercises) > 20
    assert json.loads(said(capsys, "status", "--json"))["tanh"] == "solved"
    [verdict] = json.loads(said(capsys, "verify", "--json"))
    assert verdict["status"] == "solved" and len(verdict["tests"]) >= 5 and verdict["calls"] > 50
    path.write_text(wrong, encoding="utf-8")
    assert space.state("tanh") == "failed", "progress is that of the file as it is"
    kept = json.loads(said(capsys, "reset", "tanh", "--json"))["backup"]
    assert path.read_text(encoding="utf-8") == stub_text(find("tanh"))
    with open(kept, encoding="utf-8") as file:
        assert file.read() == wrong


def test_a_watch_follows_saves_keys_and_the_order_of_the_exercises(space):
    """A new save ends a running check; the next exercise comes by itself, or by a key."""
    said, saves, states = [], [], iter(["stopped", "failed", "solved"])

    def check(name, stop):
        assert not stop()
        saves.append(len(saves))
        os.utime(space.path(name), ns=(saves[-1], saves[-1]))
        assert stop()
        verdict = Verdict(name, next(states), "a reason", str(space.path(name)))
        space.remember(verdict, space.text(name))
        return verdict

    watch = Watch(space, "tanh", check, lambda data, text: said.append(text))
    assert "h and Enter" in said.pop() and space.path("tanh").exists()
    assert not watch.check_once() and "anew" in said.pop()
    for key in ("h", "h", "x"):
        watch.keys.put(key)
    assert watch.answer_keys()
    assert said.pop() == KEYS and said.pop().startswith("Hint 2 of 3") and "Hint 1" in said.pop()
    assert not watch.check_once() and "NOT YET" in said.pop()
    assert watch.check_once() and "SOLVED" in said.pop()
    watch.open("tanh")
    watch.keys.put("n")
    assert watch.answer_keys() and watch.exercise.name == "mul"
    watch.keys.put("q")
    assert not watch.answer_keys()


def test_a_reader_that_has_seen_enough_ends_a_command_quietly():
    command = f"{sys.executable} -m tinyml.exercises list | head -1"
    shown = subprocess.run(command, shell=True, capture_output=True, text=True,
                           env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert shown.stdout.count("\n") == 1 and not shown.stderr


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("setting, coloured", [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)])
def test_a_terminal_gets_colours_and_its_width(setting, coloured, monkeypatch):
    for name, value in {"COLUMNS": "60", "NO_COLOR": "", "TERM": "xterm", **setting}.items():
        monkeypatch.setenv(name, value)
    words = "tanh: NOT YET\n" + "  a line of many words" * 9
    shown = report.fit(words, Terminal())
    assert ("\x1b[31m" in shown) == (coloured and os.name != "nt")
    assert max(map(len, re.sub("\x1b.*?m", "", shown).splitlines())) <= 60
    assert report.fit(words, io.StringIO()) == words


def test_a_solution_is_a_difference_to_the_students_own():
    exercise, path = find("mul"), source(find("mul").module).path
    same = answer_text(exercise).replace("g * y,", "(g  *  y),    # a comment\n           ")
    assert "Yours is the same" in report.compared(exercise, same, path)
    lines = report.compared(exercise, same.replace("lambda g: g * x", "lambda g: x * g"), path).splitlines()
    assert [line[0] for line in lines if "g * y" in line] == ["-", "+"]
    assert report.compared(exercise, "", path).endswith(answer_text(exercise))


@pytest.mark.parametrize("name", NAMES)
def test_a_stub_says_what_its_helpers_are_and_what_may_be_imported(name):
    text = stub_text(find(name))
    imported_names = {a.asname or a.name for n in ast.parse(text).body
                      if isinstance(n, ast.ImportFrom) and n.module.startswith("tinyml") for a in n.names}
    for word in imported_names:
        assert re.search(rf"^# - {word}\b", text, re.MULTILINE), word
    for word in re.findall(r"as in `(\w+)`", text):    # it stands in another function, and here
        assert re.search(rf"^# - {word}\(", text, re.MULTILINE), word
    assert "itertools" in text and f"level {find(name).level} of 3" in text
    assert all(len(line) < 100 for line in text.splitlines())


FREELY = {    # what an answer may import and use -> the top of a file, and a line of the body
    "a module": ("import itertools", "list(itertools.chain([1], [2]))"),
    "a part of one": ("from collections import Counter, deque", "Counter([1]), deque([2])"),
    "a function": ("from math import sqrt", "sqrt(2)"),
    "another name": ("import functools as ft", "ft.reduce(max, [1])"),
    "a submodule": ("from numpy.linalg import norm", "norm([1.0])"),
}


def test_a_parameter_that_is_as_in_another_function_is_described():
    """In the words of that function, or of the one that it refers to."""
    assert "\n#   z2: Tensor, shape (B, D); the second views\n" in stub_text(find("alignment"))
    assert "\n#       beta_{t+1} = beta_t - lr * X'(X beta_t - y)\n" in stub_text(find("descent_variance"))


def test_a_stub_says_what_helpers_return_and_which_methods_a_class_has():
    assert "\n#   returns list of str: the codeword of each symbol, or None if it is unused\n" in stub_text(find("decode"))
    assert "\n#   .push(keys, ids): Put keys into the next slots" in stub_text(find("moco_loss"))
    assert "\n#   returns ndarray, shape (n, D), of the n keys that are left; shape (0, 0)" in stub_text(find("moco_loss"))
    assert "three rules\n#   of Han et al. 2016" in stub_text(find("kmeans"))    # no sentence ends at "al."


@pytest.mark.parametrize("top, line", FREELY.values(), ids=FREELY)
def test_an_answer_may_use_the_standard_librarys_tools(top, line):
    text = answer(line + RIGHT, top) + "\n\nif __name__ == '__main__':\n    import os\n    print(tanh(np.ones(2)))\n"
    tree = read(text)
    screen(tree, find("tanh"))
    module = run_alone("tinyml.ops.elementwise", compiled_alone(Piece(find("tanh"), tree, "t.py", "tanh")))
    assert module.tanh(np.zeros(2)).data.tolist() == [0, 0]


@pytest.mark.parametrize("top, line", [
    ("import dataclasses", "dataclasses.make_dataclass('E', [])"),
    ("import dataclasses", "dataclasses.sys"), ("import functools", "functools.wraps(x)"),
    ("from functools import update_wrapper", "x"), ("import numpy as xp", "xp.testing"),
    ("import collections as c", "c.abc")])
def test_it_may_not_use_what_else_these_modules_hold(top, line):
    with pytest.raises(Refused):
        screen(read(answer(line + RIGHT, top)), find("tanh"))


def test_what_cannot_be_done_is_said_in_one_line(space, capsys):
    assert "did you mean tanh?" in said(capsys, "check", "tan", code=2)
    assert "did you mean cross_entropy" in said(capsys, "check", "cross_entrpy", code=2)
    assert "start tanh" in said(capsys, "check", "tanh", code=2)
    assert 'start --dir "mine" tanh' in said(capsys, "check", "tanh", "--dir", "mine", code=2)
    assert "folder of submissions" in said(capsys, "grade", "nowhere", code=2)
    assert "three hints" in said(capsys, "hint", "tanh", "4", code=2)
    assert "three hints" in said(capsys, "hint", "0", code=2)
    assert "nothing to verify" in said(capsys, "verify", code=1)
    (space.folder.parent / "file").write_text("", encoding="utf-8")
    assert "another folder" in said(capsys, "start", "--dir", "file", code=2)


def test_a_cache_that_is_broken_or_gone_loses_nothing(space):
    space.start("tanh")
    (space.folder / ".progress.json").write_text("[", encoding="utf-8")
    assert space.state("tanh") == "unwritten"


def test_a_changed_signature_is_reported_with_both_versions():
    verdict = check("tanh", CANARIES["another signature"])
    assert "tanh(x, y=0)" in verdict.reason and "library: @primitive def tanh(x)" in verdict.reason


def test_demos_run_on_the_solved_pieces_and_say_which(space):
    space.start("mul")
    space.path("tanh").write_text(answer_text(find("tanh")), encoding="utf-8")
    space.remember(Verdict("tanh", "solved", ""), space.text("tanh"))
    code = (f"from tinyml.exercises.student.mine import use\nprint(*use({str(space.folder)!r}))\nfrom tinyml import ops\n"
            "print(ops.tanh.__wrapped__.__wrapped__.__code__.co_filename)")
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                           env={**os.environ, "PYTHONPATH": str(ROOT)}).stdout
    assert shown.split() == ["tanh", str(space.path("tanh"))]


# ------------------------------------------------------------ splicing

def test_helpers_and_builtins_are_the_students_own():
    """In the file `sum` is Python's, though the module has a `sum` of tensors; helpers meet nobody."""
    text = answer_text(find("softmax"))
    text = text.replace("@primitive", "ONE = 1\n\n\ndef helper(e, axis):\n    return e.sum(axis=axis, keepdims=True)"
                        "\n\n\n@primitive")
    text = text.replace("p = e / e.sum(axis=axis, keepdims=True)",
                        "p = e / helper(e, axis) * sum([ONE])")
    both = answer_text(find("logsumexp")).replace("@primitive", "def helper():\n    return 1\n\n\n@primitive")
    assert check("softmax", text, seed=SEED, others=[("logsumexp", both, "l.py")]).solved


def test_one_piece_is_checked_with_the_reference_and_all_pieces_with_each_other():
    bad = answer_text(find("mul"), find("mul").mistakes[0])
    good = answer_text(find("unbroadcast"))
    assert check("unbroadcast", good, seed=SEED).solved
    assert not check("unbroadcast", good, seed=SEED, others=[("mul", bad, "mul.py")]).solved


def test_a_helper_must_not_take_a_name_of_the_library():
    text = answer_text(find("softmax")).replace("@primitive", "def var():\n    return 1\n\n\n@primitive")
    assert "choose another name" in check("softmax", text).reason


def test_a_hidden_helper_is_not_to_be_had():
    text = stub_text(find("max"))
    line = next(line for line in text.splitlines() if "NotImplementedError" in line)
    text = text.replace(line, "    y = x.max(axis=axis, keepdims=keepdims)\n"
                        "    return y, _extreme(x, y, axis, keepdims)")
    assert "_extreme: it is part of what there is to write" in check("max", text).reason


def test_sources_are_found_by_path_not_by_import():
    for name in NAMES:
        assert source(find(name).module).path.is_file()
