"""The parent of a check: it starts a child, ends it in time, and believes its signed report only.

An exercise is solved if the signature is that of the key that only this process and the first
lines of the child know, nothing was refused or changed, exactly the reference's tests ran, and
every one passed.
"""
import hashlib
import hmac
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from functools import cache

from tinyml.exercises.catalogue import find
from tinyml.exercises.student.stub import ROOT, is_stub
from tinyml.exercises.walls.reports import believed
from tinyml.exercises.walls.screen import Refused, piece, read, screen

LIMITS = {"seconds": 20, "megabytes": 3072, "call": 10}    # "call": seconds of one call
TOO_LONG = "it did not end; is there a loop that never stops, or that needs more and more memory?"
PATIENCE = 10    # times the seconds of computing, on the clock: the machine may be busy
START = 30       # seconds more on the clock, for the imports
LOOK = 0.1       # seconds between two looks at a child that may be stopped


@dataclass
class Verdict:
    """What became of a check.

    Parameters
    ----------
    exercise : str
    status : "solved", "failed", "unwritten", "refused", "crashed", "timeout" or "stopped"
    reason : str, one line
    file : str, the file that was tested
    seed : int
    tests : list of dict with id, outcome and message
    calls : int, how often the student's function was called
    tutor : dict, see `tutor.explain`
    """
    exercise: str
    status: str
    reason: str
    file: str = ""
    seed: int = 0
    tests: list = field(default_factory=list)
    calls: int = 0
    tutor: dict = field(default_factory=dict)

    @property
    def solved(self):
        """Whether every grader passed."""
        return self.status == "solved"

    def data(self):
        """Everything as plain data, for --json."""
        return asdict(self)


def fresh_seed():
    """A seed that nobody has seen before."""
    return secrets.randbelow(2 ** 31)


def check(name, text, file="", *, seed=None, others=(), limits=LIMITS, screened=True, stop=None,
          strict=False):
    """Check an answer, given as the text of its file, in a process of its own.

    Parameters
    ----------
    name : str, the exercise
    text : str, the content of the student's file
    file : str, what the file is called in reports
    seed : int or None for a fresh one
    others : sequence of (name, text, file), further pieces to put into the library ("all pieces")
    limits : dict with seconds of computing, megabytes of memory, and the seconds of one call
    screened : bool, False leaves out the reading of the source: for tests of the other walls
    stop : function () -> bool, or None; as soon as it says True, the check is given up
    strict : bool, whether another child says which tests there must be; for grades

    Returns
    -------
    Verdict
    """
    seed = fresh_seed() if seed is None else seed
    verdict = Verdict(name, "failed", "", str(file), seed)
    try:
        tree = read(text)
        if is_stub(piece(tree, find(name))):
            verdict.status, verdict.reason = "unwritten", f"{name} is not written yet"
            return verdict
        if screened:
            screen(tree, find(name))
    except Refused as error:
        verdict.status, verdict.reason = "refused", str(error)
        return verdict
    answers = [(name, text, file), *others]
    pieces = [{"name": n, "text": t, "file": str(f)} for n, t, f in answers]
    limits = {"call": min(LIMITS["call"], limits["seconds"] / 2), **limits}
    request = {"do": "check", "exercise": name, "pieces": pieces, "seed": seed, "limits": limits}
    expected = tests_of(name) if strict else None
    report, reason = ask(request, stop=stop)
    if report is not None:
        report, reason = believed(report, find(name), expected)
    if report and "endless" in report:
        return _endless(verdict, report, limits["call"])
    return decide(verdict, report, reason)


@cache
def tests_of(name):
    """The ids of the tests of an exercise, collected by a child that runs no answer."""
    collected, reason = ask({"do": "collect", "exercise": name})
    if not collected:
        raise RuntimeError(f"check: the tests of {name} could not be collected: {reason}")
    return collected


def ask(request, patience=PATIENCE, stop=None):
    """(report or None, reason) of a child that answers a request."""
    key = secrets.token_bytes(32)
    with tempfile.TemporaryDirectory(prefix="tinyml-", ignore_cleanup_errors=True) as scratch:
        seconds = request.get("limits", LIMITS)["seconds"] * patience + START
        request = {**request, "key": key.hex(), "end": [seconds + START, os.getpid()]}
        line = json.dumps(request).encode() + b"\n"
        out, err = (os.path.join(scratch, name) for name in ("out", "err"))
        # Files, not pipes: their size is limited, and nobody can keep them open and us waiting.
        with open(out, "w+b") as out, open(err, "w+b") as err:
            child = subprocess.Popen(
                [sys.executable, "-B", "-m", "tinyml.exercises.walls.runner"], cwd=scratch,
                env=environment(scratch), stdin=subprocess.PIPE, stdout=out, stderr=err)
            try:
                ended = _wait(child, line, seconds, stop)
            finally:    # whatever happens here, no child is left
                if child.poll() is None:
                    child.kill()
                    child.wait()
            if ended:
                return None, ended
            out, error = (file.seek(0) or file.read() for file in (out, err))
    mark, _, text = out.partition(b" ")
    signature = hmac.new(key, text, hashlib.sha256).hexdigest().encode()
    if hmac.compare_digest(signature, mark):
        return json.loads(text), ""
    return None, _ending(child.returncode, error.decode("utf-8", "replace"))


def _wait(child, line, seconds, stop):
    """Send the request and wait for the end; return why that was given up, or nothing."""
    try:
        child.stdin.write(line)
        child.stdin.close()
    except BrokenPipeError:    # it has ended already, and what it said tells why
        pass
    deadline = time.monotonic() + seconds
    while True:
        try:
            child.wait(timeout=LOOK if stop else max(0, deadline - time.monotonic()))
            return ""
        except subprocess.TimeoutExpired:
            if stop and stop():
                return "stopped"
            if time.monotonic() >= deadline:
                return "timeout"


def _ending(code, error):
    if code is not None and code in (-24, -9, 152, 137):    # SIGXCPU, or SIGKILL at the hard limit
        return "timeout"
    last = error.strip().splitlines()[-1:] or [""]
    return f"it ended before it was checked (exit code {code}) {last[0][:200]}".strip()


def environment(scratch):
    """The environment of a child: this package, one thread, a scratch folder for all else."""
    passed_on = ("PATH", "SYSTEMROOT", "LD_LIBRARY_PATH")
    kept = {key: os.environ[key] for key in passed_on if key in os.environ}
    places = {key: scratch for key in ("HOME", "USERPROFILE", "TMPDIR", "TEMP", "TMP")}
    threads = {key: "1" for key in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    return {**kept, **places, **threads, "PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "1",
            "PYTHONHASHSEED": "0", "PYTHONIOENCODING": "utf-8",
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}


def _endless(verdict, report, seconds):
    """The verdict on an answer whose call did not end."""
    verdict.status = "timeout"
    verdict.reason = (f"line {report['endless']} of your file still runs after {seconds:g} s; is "
                      "there a loop that never stops?")
    verdict.tutor = {"running": report["input"]}
    return verdict


def decide(verdict, report, reason):
    """Fill in a verdict from the report of the child, or from the reason why there is none."""
    if report is None:
        verdict.status = reason if reason in {"timeout", "stopped"} else "crashed"
        verdict.reason = TOO_LONG if reason == "timeout" else reason
        return verdict
    if "refused" in report:
        verdict.status, verdict.reason = "refused", report["refused"]
        return verdict
    verdict.tests, verdict.calls = report["tests"], report["calls"]
    verdict.tutor = report.get("tutor", {})
    fault, n_tests = _fault(report), len(verdict.tests)
    verdict.status = "failed" if fault else "solved"
    passed = f"all {n_tests} tests pass" if n_tests > 1 else "its test passes"
    verdict.reason = fault or passed
    return verdict


def _fault(report):
    """Why a report is not that of a solved exercise, or nothing."""
    ran, bad = report["tests"], [t for t in report["tests"] if t["outcome"] != "passed"]
    if report["changed"]:
        return f"it changed what is not its own: {', '.join(report['changed'][:3])}"
    if not report["expected"] or sorted(t["id"] for t in ran) != sorted(report["expected"]):
        return f"{len(ran)} tests ran where there must be {len(report['expected'])}"
    if bad:
        return f"{len(bad)} of {len(ran)} tests fail" if len(ran) > 1 else "its test fails"
    if report["beyond"]:
        return f"the tests pass, but {report['beyond']}"
    return "" if report["calls"] else "the tests never called it"
