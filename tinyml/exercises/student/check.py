"""A check: an answer is read, run by a child, and the child's report is judged.

An exercise is solved if the report is signed with the key that only the parent and the first lines
of the child know (`walls.child`, `walls.server`), nothing was refused or changed, exactly the
reference's tests ran, and every one passed.
"""
import secrets
from dataclasses import asdict, dataclass, field

from tinyml.exercises.catalogue import find
from tinyml.exercises.student.stub import is_stub
from tinyml.exercises.walls.child import LIMITS, ask
from tinyml.exercises.walls.reports import believed
from tinyml.exercises.walls.screen import Refused, piece, read, screen

TOO_LONG = "it did not end; is there a loop that never stops, or that needs more and more memory?"


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


def check(name, text, file="", *, seed=None, others=(), limits=LIMITS, screened=True, stop=None):
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
    report, reason, expected = ask(request, stop=stop)
    if report is not None:
        report, reason = believed(report, find(name), expected)
    if report and "endless" in report:
        return _endless(verdict, report, limits["call"])
    return decide(verdict, report, reason)


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
