"""Every demo runs and its claims hold; the harness never calls a failure a success."""
import ast
import json
import os
import runpy
import shutil
import signal
import struct
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from page import Page, book

pytest.importorskip("matplotlib")

DEMOS = Path(__file__).parents[1] / "demos"
sys.path.append(str(DEMOS))

import _warm  # noqa: E402

HARNESS = ["__main__", "_warm", "common", "panels"]
STEMS = sorted({path.stem for path in DEMOS.glob("[!_]*.py")} - set(HARNESS))
NUMBERS = st.floats() | st.integers(-10**6, 10**6)


def python(*arguments, cwd):
    return subprocess.run([sys.executable, *arguments], cwd=cwd, capture_output=True, text=True,
                          errors="replace", timeout=300)


def results(path):
    """The content of a JSON file, which must be strict JSON: no NaN, no Infinity."""
    return json.loads(path.read_text(encoding="utf-8"), parse_constant=pytest.fail)


@pytest.mark.parametrize("stem", STEMS)
def test_every_demo_keeps_its_claims(stem, tmp_path):
    out = tmp_path / "out"
    # A number that overflows and a character that the figure's font lacks are mistakes as well.
    child = _warm.run(DEMOS / f"{stem}.py", ["--quick", "--out", out], strict=True, seconds=300)
    assert child.returncode == 0, child.stdout + child.stderr
    result = results(out / f"{stem}.json")
    assert result["claims"] and all(claim["holds"] for claim in result["claims"] if claim["kind"] == "law")
    of_data = [claim for claim in result["claims"] if "why" in claim]
    assert all(claim["holds"] for claim in of_data), "a finding about data holds on the demo's first set"
    assert all(claim["why"].endswith((".", "?")) for claim in of_data)
    sets = data_sets(stem)
    assert result["data"] == (sets[0] if sets else None)
    for claim in of_data:
        assert not [name for name in sets if name in claim["text"]], "one text for all data"
    assert result["numbers"] and result["question"].endswith("?")
    assert result["finding"] != result["question"], "the figure's title must state the finding"
    assert_is_picture(out / f"{stem}.png")


def data_sets(stem):
    """The names after data= in a demo's call of `start`."""
    tree = ast.parse((DEMOS / f"{stem}.py").read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "start"]
    found = [ast.literal_eval(k.value) for call in calls for k in call.keywords if k.arg == "data"]
    return found[0] if found else ()


def assert_is_picture(path):
    data = path.read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n") and len(data) > 10_000
    width, height = struct.unpack(">II", data[16:24])
    assert 600 <= width <= 4000 and 300 <= height <= 4000


# What the clock says is a finding, never a law. Values are followed from the clock to the claims.

CLOCKS = {"race", "clock", "milliseconds", "perf_counter", "process_time", "timeit", "time", "ms_1", "ms_256"}


def read(node):
    """The names that an expression reads, and the clocks that it asks."""
    found = list(ast.walk(node))
    names = {n.id for n in found if isinstance(n, ast.Name)}
    return names | {n.attr for n in found if isinstance(n, ast.Attribute)} & CLOCKS


def written(target):
    """The names that an assignment to `target` changes."""
    if isinstance(target, (ast.Tuple, ast.List)):
        return set().union(*map(written, target.elts))
    while not isinstance(target, ast.Name):
        target = target.value    # x[i] and x.y change x
    return {target.id}


def looped(target, iterable):
    """(names written, names read) of a loop; through zip, enumerate, items and progress each to its own."""
    function = iterable.func if isinstance(iterable, ast.Call) else None
    kind = getattr(function, "id", getattr(function, "attr", None))
    if kind == "progress":
        yield from looped(target, iterable.args[0])
    elif kind == "zip" and isinstance(target, ast.Tuple):
        for one, values in zip(target.elts, iterable.args):
            yield from looped(one, values)
    elif kind == "enumerate" and isinstance(target, ast.Tuple):
        yield from looped(target.elts[1], iterable.args[0])
    elif kind == "items" and isinstance(target, ast.Tuple):
        yield written(target.elts[1]), read(iterable)
    else:
        yield written(target), read(iterable)


def flows(tree):
    """(names written, names read) of all assignments, loops, appends and functions that time."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and any(isinstance(n, ast.Return) for n in ast.walk(node)):
            yield {node.name}, {n.id for n in ast.walk(node) if isinstance(n, ast.Name)} & set(CLOCKS)
        if isinstance(node, ast.Assign):
            yield set().union(*map(written, node.targets)), read(node.value)
        elif isinstance(node, (ast.AugAssign, ast.NamedExpr)):
            yield written(node.target), read(node.value)
        elif isinstance(node, (ast.For, ast.comprehension)):
            yield from looped(node.target, node.iter)
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", None) in ("append", "extend"):
            yield written(node.func.value), read(node.args[0])


def timed_claims(text):
    """The lines of the laws in a demo whose value depends on a clock."""
    tree, timed, before = ast.parse(text), set(CLOCKS), set()
    while timed != before:
        before = set(timed)
        timed |= set().union(*(to for to, of in flows(tree) if of & timed))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [call.lineno for call in calls
            if ast.unparse(call.func) == "demo.claim" and read(call.args[1]) & timed]


@pytest.mark.parametrize("stem", STEMS)
def test_what_the_clock_says_is_no_law(stem):
    text = (DEMOS / f"{stem}.py").read_text(encoding="utf-8")
    assert timed_claims(text) == [], "write demo.finding, or give another name to what was not timed"
    if stem in ("speed", "speed_pieces", "growth", "sparse", "low_rank", "structured", "augmentations"):
        assert timed_claims(text.replace("demo.finding(", "demo.claim("))    # it would be noticed


# The harness. Its scratch demos: one passes, and each of the others fails in its own way.

HEAD = '"""{question}"""\nfrom matplotlib.figure import Figure\nfrom common import start\n'
BEGIN = "demo = start(__file__, __doc__)\nfigure = Figure()\nfigure.suptitle('One & two')\n"
SCRATCH = {
    "good": BEGIN + """
demo.record("draw", demo.rng.random(3))
demo.record("infinite <i>", float("inf"))
demo.claim("one is <b>not</b> & never two", 1, below=2)
demo.claim("X\\u207ay is printed everywhere", 1, within=(1, 2))
demo.finish(figure)
""",
    "machine": BEGIN + """
demo.claim("one is one", 1, within=(1, 1))
demo.finding("a step takes no time", 1, at_most=0)
demo.finding("a step takes time", 1, above=0)
demo.finish(figure)
""",
    "failing": BEGIN + """
demo.claim("one is one", 1, at_least=1)
demo.claim("one is two", 1, at_least=2)
demo.finish(figure)
""",
    "crashing": BEGIN + "raise ValueError('boom <b>')\n",
    "empty": BEGIN + "demo.finish(figure)\n",
    "late": BEGIN + """
demo.claim("one is positive", 1, above=0)
demo.finish(figure)
raise ValueError("late")
""",
    "silent": BEGIN,
    "syntax": "def (\n",
}


def clone(folder, bodies):
    """A folder with the harness, and demos of its own."""
    (folder / "demos").mkdir()
    for stem in HARNESS:
        shutil.copy(DEMOS / f"{stem}.py", folder / "demos")
    shutil.copytree(DEMOS / "book", folder / "demos" / "book")
    for stem, body in bodies.items():
        text = HEAD.format(question=f"What does <{stem}> do?") + body
        (folder / "demos" / f"{stem}.py").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    """A folder with the harness and the scratch demos, where ``python demos`` was run."""
    folder = clone(tmp_path_factory.mktemp("a clone"), SCRATCH)
    out = folder / "out"
    out.mkdir()
    earlier = {"question": "?", "quick": True, "seed": 0, "seconds": 1, "numbers": [],
               "claims": [{"text": "an earlier run", "expected": "", "measured": 1, "holds": True}]}
    (out / "silent.json").write_text(json.dumps(earlier))
    (out / "silent.png").write_bytes(b"an earlier run")
    return folder, python("demos", "--quick", "--seed", "3", "--out", "out", cwd=folder)


def test_all_demos_run_and_failures_are_counted(scratch):
    folder, run = scratch
    assert run.returncode == 1 and run.stderr == "", run.stdout + run.stderr
    *_, counts, page = run.stdout.splitlines()
    assert (counts, Path(page)) == ("2 passed, 6 failed", (folder / "out" / "index.html").resolve())
    lines = {line.split()[1]: line for line in run.stdout.splitlines() if line[:6].endswith("/8 ")}
    assert set(lines) == set(SCRATCH)
    assert [stem for stem in lines if "passed" in lines[stem]] == ["good", "machine"]
    assert "2 of 2 laws hold  " in lines["good"] and "1 of 2 laws hold" in lines["failing"], run.stdout
    assert "1 of 1 laws hold, 1 of 2 findings held" in lines["machine"]
    for words in ("one is two (expected at least 2, measured 1)", "ValueError: boom <b>",
                  "did not hold here: a step takes no time (expected at most 0, measured 1)",
                  "must claim something", "ValueError: late", "exit code 0", "SyntaxError"):
        assert words in run.stdout


@pytest.mark.parametrize("stem", ["failing", "empty"])
def test_a_claim_that_fails_or_is_missing_gives_exit_code_1(scratch, stem, tmp_path):
    folder, _ = scratch
    child = python(folder / "demos" / f"{stem}.py", "--out", tmp_path / "new", cwd=tmp_path)
    assert child.returncode == 1
    names = {path.name for path in (tmp_path / "new").iterdir()}
    assert names == {f"{stem}.json", f"{stem}.png", f"{stem}-thumb.png"}


def test_the_results_of_a_demo(scratch):
    folder, _ = scratch
    result = results(folder / "out" / "good.json")
    assert (result["question"], result["finding"]) == ("What does <good> do?", "One & two")
    assert result["quick"] is True and result["seed"] == 3 and result["seconds"] > 0
    draw, infinite = result["numbers"]
    assert draw["value"] == np.random.default_rng(3).random(3).tolist()
    assert infinite["value"] is None
    assert result["claims"][0] == {"kind": "law", "text": "one is <b>not</b> & never two", "expected": "below 2",
                                   "measured": 1, "holds": True}


def test_a_console_without_the_characters_is_no_obstacle(scratch, tmp_path, monkeypatch):
    folder, _ = scratch
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    child = python(folder / "demos" / "good.py", cwd=tmp_path)
    assert child.returncode == 0 and "X?y is printed" in child.stdout
    assert (tmp_path / "gallery" / "good.png").exists()


def test_one_demo_alone_keeps_the_others_on_the_page(scratch, tmp_path):
    folder, _ = scratch
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    run = python("demos", "--out", "out", "good", cwd=tmp_path)
    assert run.returncode == 0 and "\n1 passed, 0 failed\n" in run.stdout
    assert shown(Page(tmp_path / "out" / "index.html")) == set(SCRATCH)
    assert python("demos", "absent", cwd=tmp_path).returncode == 2


def test_a_motion_that_fails_fails_the_run(scratch, tmp_path):
    folder, _ = scratch    # which has no script for motions
    run = python("demos", "--quick", "--motion", "--out", tmp_path, "good", cwd=folder)
    assert run.returncode == 1 and "1 passed, 0 failed" in run.stdout and "the motion descent failed" in run.stdout


def test_demos_that_end_side_by_side_keep_their_exit_codes(tmp_path):
    source = tmp_path / "quick.py"
    source.write_text("import os; os._exit(3)")
    with ThreadPoolExecutor(8) as pool:
        ended = list(pool.map(lambda _: _warm.run(source, []), range(60)))
    assert {child.returncode for child in ended} == {3}


def alive(pid):
    """Whether a process runs; one that ended, and is not asked for yet, does not."""
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


SLOW = BEGIN + """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
try:
    demo.out.joinpath("pids.part").write_text(f"{os.getpid()} {child.pid}")
    demo.out.joinpath("pids.part").rename(demo.out / "pids")
    time.sleep(600)
finally:
    child.kill()
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="asks /proc which processes are alive")
def test_an_interrupt_ends_all_in_one_line_and_the_page_shows_what_is_there(scratch, tmp_path):
    folder, _ = scratch
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    out = tmp_path / "out"
    for stem, before in (("slow", "good"), ("later", "good"), ("later2", "good"), ("later3", "good"), ("later4", "good")):
        code = SLOW if stem == "slow" else BEGIN + "import time; time.sleep(600)"    # interrupted anywhere
        (tmp_path / "demos" / f"{stem}.py").write_text(HEAD.format(question="Slow?") + code, encoding="utf-8")
        for suffix in ("json", "png"):    # of an earlier run
            shutil.copy(out / f"{before}.{suffix}", out / f"{stem}.{suffix}")
    run = subprocess.Popen([sys.executable, "demos", "--out", "out", "machine", "slow", "later", "later2", "later3",
                            "later4"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not (out / "pids").exists():
        assert run.poll() is None, run.communicate()
        time.sleep(0.02)
    pids = (out / "pids").read_text().split()
    run.send_signal(signal.SIGINT)    # to it alone: its children must hear of it from it
    _, errors = run.communicate(timeout=60)
    assert run.returncode == 130
    assert errors.count("\n") == 1 and "interrupted" in errors
    assert not [pid for pid in pids if alive(pid)]
    pages = book(out)
    assert not (out / "slow.json").exists() and "Not run yet" in pages["slow"].text
    assert "law" in pages["later4"].text    # what had not begun shows its earlier run
    for page in pages.values():
        assert all((out / image).is_file() for image in page.all("img", "src"))
    assert not list(out.glob(".*"))


def test_a_demo_that_is_interrupted_says_so_in_one_line(scratch, tmp_path):
    folder, _ = scratch
    (folder / "demos" / "interrupted.py").write_text(HEAD.format(question="?") + BEGIN + "raise KeyboardInterrupt",
                                                     encoding="utf-8")
    child = python(folder / "demos" / "interrupted.py", "--out", tmp_path, cwd=tmp_path)
    (folder / "demos" / "interrupted.py").unlink()
    assert child.returncode not in (0, 1) and child.stderr == "interrupted\n"


def test_results_of_an_earlier_version_or_without_a_picture_are_shown(scratch, tmp_path):
    folder, _ = scratch
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    result = results(tmp_path / "out" / "good.json")
    for claim in result["claims"]:
        del claim["kind"]
    (tmp_path / "out" / "good.json").write_text(json.dumps(result))
    (tmp_path / "out" / "good.png").unlink()
    assert python("demos", "--out", "out", "machine", cwd=tmp_path).returncode == 0
    assert "4 of 5" in Page(tmp_path / "out" / "index.html").text
    page = Page(tmp_path / "out" / "good.html")
    assert "2 of 2" not in page.text and "good.png" not in page.all("img", "src")


# Other data: which demos take them, where the results go, and what is said of a finding that does not hold.

ASKS = 'demo = start(__file__, __doc__, data=("digits", "clothes", "mnist"))\n'
ON_DATA = {
    "asks": BEGIN.replace("demo = start(__file__, __doc__)\n", ASKS) + """
X, y = demo.load(most=5)
demo.record("shape", X.shape)
demo.claim("there is a label for every image", len(y) / len(X), within=(1, 1))
demo.finding("there are at most 2,000", len(X), at_most=2000, why="Clothes <come> in larger numbers.")
demo.finish(figure)
""",
    "strict": BEGIN.replace("demo = start(__file__, __doc__)\n", ASKS.replace(', "mnist"', "")) + """
demo.claim("there are at most 2,000", len(demo.load()[0]), at_most=2000)
demo.finish(figure)
""",
    "plain": BEGIN + "demo.claim('one is one', 1, at_least=1)\ndemo.finish(figure)\n",
}


@pytest.fixture(scope="module")
def on_data(tmp_path_factory):
    """A folder with the harness and these demos, and what ``python demos``, also with --data, said."""
    folder = clone(tmp_path_factory.mktemp("data"), ON_DATA)
    run = python("demos", "--quick", "--out", "out", cwd=folder)
    assert run.returncode == 0, run.stdout + run.stderr
    return folder


def test_a_finding_that_does_not_hold_on_other_data_fails_no_run(on_data):
    before = {path: path.read_bytes() for path in (on_data / "out").iterdir() if path.is_file()}
    run = python("demos", "--data", "clothes", "--out", "out", "asks", cwd=on_data)
    assert run.returncode == 0 and "\n1 passed, 0 failed\n" in run.stdout
    assert "did not hold on clothes: there are at most 2,000 (expected at most 2,000, measured 3,000)" in run.stdout
    assert "Clothes <come> in larger numbers." in run.stdout
    result = results(on_data / "out" / "clothes" / "asks.json")
    assert result["data"] == "clothes" and result["numbers"][0]["value"] == [3000, 196]
    assert result["claims"][1] == {
        "kind": "finding", "text": "there are at most 2,000", "expected": "at most 2,000", "measured": 3000,
        "holds": False, "why": "Clothes <come> in larger numbers."}
    assert {path: path.read_bytes() for path in before} == before    # those of the first set stay
    assert results(on_data / "out" / "asks.json")["data"] == "digits"
    first = Page(on_data / "out" / "clothes" / "index.html")
    assert Path(run.stdout.splitlines()[-1]) == first.path.resolve() and "tinyml on clothes" in first.text
    page = Page(on_data / "out" / "clothes" / "asks.html")
    for words in ("did not hold on clothes", "Clothes <come> in larger numbers.",
                  "python demos/asks.py --data clothes"):
        assert words in page.text
    for image in page.all("img", "src"):
        assert (page.path.parent / image).is_file()
    before = Page(on_data / "out" / "asks.html").text.partition("The script")[0]
    assert "--data" not in before and " on digits" not in before and "larger numbers" not in before


def test_a_law_that_does_not_hold_on_other_data_fails_the_run(on_data, tmp_path):
    run = python("demos", "--data", "clothes", "--out", tmp_path, cwd=on_data)
    assert run.returncode == 1 and "\n1 passed, 1 failed\n" in run.stdout
    assert "DOES NOT HOLD:     there are at most 2,000" in run.stdout and "plain" not in run.stdout
    assert not (tmp_path / "index.html").exists() and (tmp_path / "clothes" / "index.html").exists()
    other = python("demos", "--data", "clothes", "plain", cwd=on_data)
    assert other.returncode == 2 and "not every demo takes --data clothes: plain; asks, strict do" in other.stderr


def test_a_whole_set_is_read_from_its_files_or_one_sentence_says_where_to_get_it(on_data, tmp_path, monkeypatch):
    for name in ("TINYML_DATA", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for command in ("demos", "demos/asks.py"):
        child = python(command, "--data", "mnist", "--out", tmp_path / "absent", cwd=on_data)
        assert child.returncode == 2 and "Traceback" not in child.stderr
        for words in ("--data mnist", "TINYML_DATA", "mnist(split=s, download=True)"):
            assert child.stderr.count(words) == 1
    folder = tmp_path / "here" / "mnist"
    folder.mkdir(parents=True)
    for stem, shape in (("train-images-idx3-ubyte", (12, 28, 28)), ("train-labels-idx1-ubyte", (12,)),
                        ("t10k-images-idx3-ubyte", (3, 28, 28)), ("t10k-labels-idx1-ubyte", (3,))):
        header = bytes([0, 0, 8, len(shape)]) + b"".join(n.to_bytes(4, "big") for n in shape)
        (folder / stem).write_bytes(header + bytes(int(np.prod(shape))))
    monkeypatch.setenv("TINYML_DATA", str(folder.parent))
    child = python("demos/asks.py", "--data", "mnist", "--out", tmp_path / "out", cwd=on_data)
    assert child.returncode == 0, child.stdout + child.stderr
    result = results(tmp_path / "out" / "mnist" / "asks.json")
    assert result["numbers"][0]["value"] == [5, 784]    # most=5
    load = runpy.run_path(str(DEMOS / "common.py"))["load"]
    assert load("mnist")[0].shape == (12, 784) and load("mnist", 5, split="test")[1].shape == (3,)
    with pytest.raises(ValueError, match='load: split must be "train" for digits.*got .test.; write train_test'):
        load("digits", split="test")


def test_the_table_of_what_carries_over_counts_seeds_and_runs_what_is_missing(on_data, tmp_path, monkeypatch):
    for name in ("TINYML_DATA", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "clone"
    shutil.copytree(on_data / "demos", folder / "demos")
    shutil.copy(DEMOS / "carry_over.py", folder / "demos")
    (folder / "demos" / "strict.py").unlink()
    finding = {"kind": "finding", "text": "there are at most 2,000", "expected": "at most 2,000", "why": "So."}
    kept = [("digits", seed, 1000 + seed) for seed in range(3)] + [("clothes", 0, 1500), ("clothes", 1, 2500)]
    for data, seed, measured in kept:
        result = {"data": data, "seed": seed, "quick": False, "question": "?", "seconds": 1, "numbers": [], "claims": [
            {"kind": "law", "text": "one is one", "expected": "1", "measured": 1, "holds": True},
            {"kind": "finding", "text": "a step takes no time", "expected": "at most 0", "measured": 1, "holds": False},
            {**finding, "measured": measured, "holds": measured <= 2000}]}
        place = tmp_path / "out" / data / str(seed)
        place.mkdir(parents=True)
        (place / "asks.json").write_text(json.dumps(result))
    child = python("demos/carry_over.py", "--run", "--out", tmp_path / "out", cwd=folder)
    assert child.returncode == 0, child.stdout + child.stderr
    assert child.stdout.count("clothes, seed 2") == 1 and "digits, seed" not in child.stdout    # that alone was missing
    assert child.stderr.count("TINYML_DATA") == 1    # mnist is not here
    result = results(tmp_path / "out" / "carry_over.json")
    row = "there are at most 2,000: at most 2,000"
    found = {number["name"]: (number["value"], number["unit"]) for number in result["numbers"]}
    assert found[f"asks on digits: {row}"] == ([1001, 1000, 1002], "(mean, least, most); held in 3 of 3")
    mean = (1500 + 2500 + 3000) / 3
    assert found[f"asks on clothes: {row}"] == ([mean, 1500, 3000], "(mean, least, most); held in 1 of 3")
    assert found["findings"] == (1, "") and found["runs of demos"] == (6, "")    # what the clock says is no row
    assert result["finding"] == "0 of 1 findings held on every set, with every seed"
    assert_is_picture(tmp_path / "out" / "carry_over.png")


# The book of these demos; what it says of the library has tests of its own.

def shown(landing):
    """The demos that have a card on the first page."""
    return {address.removesuffix(".html") for address in landing.all("a", "href")} & set(SCRATCH)


def test_the_book_shows_every_demo(scratch):
    pages = book(scratch[0] / "out")
    assert shown(pages["index"]) == set(SCRATCH)
    assert "4 of 5" in pages["index"].text and "1 of 2" in pages["index"].text
    for stem, words in (("good", "one is <b>not</b> & never two"), ("good", "not finite"), ("failing", "does not hold"),
                        ("machine", "did not hold here"), ("crashing", "What does <crashing> do?"), ("crashing", "boom <b>"),
                        ("good", "python demos/good.py --quick --seed 3"), ("syntax", "def (")):
        assert words in pages[stem].text
    for page in pages.values():
        assert "an earlier run" not in page.text
        assert not {"good", "crashing"} & {tag for tag, _ in page.tags}


def test_pictures_have_their_size_and_the_finding_as_their_text(scratch):
    out = scratch[0] / "out"
    page = Page(out / "good.html")
    assert page.all("img", "alt") == ["One & two"]
    for name, width in zip(page.all("img", "src"), page.all("img", "width")):
        assert struct.unpack(">I", (out / name).read_bytes()[16:20]) == (int(width),)


# The laws of its parts.

@pytest.fixture(scope="module")
def common():
    return runpy.run_path(str(DEMOS / "common.py"))


def new(common):
    return common["Demo"](DEMOS / "common.py", quick=True, seed=0, out=Path("nowhere"))


@given(value=NUMBERS, low=NUMBERS, high=NUMBERS)
@example(value=1.0, low=1.0, high=1.0)
@example(value=float("nan"), low=0.0, high=1.0)
def test_claims_follow_the_order_of_numbers(common, value, low, high):
    demo = new(common)
    for bound in ({"at_least": low}, {"below": low}, {"at_most": low}, {"above": low},
                  {"at_most": high}, {"within": (low, high)}):
        demo.claim("text", np.float64(value), **bound)
        demo.finding("text", np.float64(value), **bound)
    laws, findings = demo.claims[::2], demo.claims[1::2]
    assert [{**law, "kind": "finding"} for law in laws] == findings
    assert {law["kind"] for law in laws} == {"law"}
    assert common["all_hold"](demo.claims) == all(law["holds"] for law in laws) and common["all_hold"](findings)
    at_least, below, at_most, above, at_most_high, within = (law["holds"] for law in laws)
    known = not (np.isnan(value) or np.isnan(low))
    assert (at_least or below, at_most or above) == (known, known)
    assert not (at_least and below) and not (at_most and above)
    assert (at_least and at_most) == (value == low)
    assert within == (at_least and at_most_high)
    json.dumps(demo.claims, allow_nan=False)


@pytest.mark.parametrize("bound", [{}, {"atleast": 1}, {"at_least": 1, "at_most": 2}])
def test_a_claim_has_one_bound(common, bound):
    for function in ("claim", "finding"):
        with pytest.raises(TypeError, match=f"^{function}: bound must be one of at_least, .*, got"):
            getattr(new(common), function)("text", 1, **bound)


@given(st.recursive(NUMBERS | st.booleans(), lambda inner: st.lists(inner, max_size=3)))
def test_whatever_is_recorded_is_strict_json(common, value):
    value = np.float32(value) if isinstance(value, float) and abs(value) < 1e30 else value
    assert json.loads(json.dumps(common["plain"](value), allow_nan=False)) == common["plain"](value)


def test_what_is_no_number_is_refused_at_once(common):
    with pytest.raises(TypeError, match="record: value must be a number .*, got object"):
        new(common).record("name", object())


@given(st.floats(-1e300, 1e300) | st.integers(-10**15, 10**15))
def test_a_shown_number_has_four_digits(common, value):
    # Four significant digits are wrong by half a unit of the fourth, at most 0.5 / 1000 relatively.
    assert abs(float(common["show"](value).replace(",", "")) - value) <= 0.5e-3 * abs(value)


def test_a_file_is_written_whole_or_not_at_all(common, tmp_path, monkeypatch):
    path = tmp_path / "file"
    common["write"](path, b"old")

    def refuse(*paths):
        raise PermissionError

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(PermissionError):
        common["write"](path, b"new")
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_a_band_is_the_median_between_the_deciles(common):
    figure = pytest.importorskip("matplotlib.figure").Figure()
    ax = figure.add_subplot()
    samples = np.arange(11.0)[:, None] * [1, 10]    # deciles of 0..10: 1 and 9
    line = common["band"](ax, [0, 1], samples, color=common["ORANGE"])
    assert line.get_ydata().tolist() == [5, 50]
    edges = ax.collections[0].get_paths()[0].vertices
    assert set(map(tuple, edges)) == {(0, 1), (0, 9), (1, 10), (1, 90)}
    common["label_line"](ax, line, "words")
    assert ax.texts[0].get_text() == "words" and ax.texts[0].xy == (1, 50)
