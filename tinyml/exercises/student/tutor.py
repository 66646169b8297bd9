"""Why an answer fails: an input on which it is wrong, what was expected, and which mistake it is.

The calls of the student's function were recorded. They are replayed with the student's function,
with the library's, and with the library's after each of the listed mistakes. A call in a failed
test on which the first two differ is a counter-example. The mistake that gives the student's
results, on most of the inputs that tell the three apart, is the diagnosis.
"""
import ast
import io
import re
import sys
import time
import traceback
import warnings
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from tinyml.exercises.student.outcome import (
    agree,
    alike,
    arrived,
    draws,
    equal,
    flatten,
    named,
    outcome,
    same_numbers,
)
from tinyml.exercises.student.splice import Piece, compiled_alone, run_alone
from tinyml.exercises.student.stub import ROOT, answer_text
from tinyml.exercises.student.words import DIGITS, SHOWN, literal, text
from tinyml.exercises.walls import guard

SECONDS = 3.0        # of computing, for all replays of one check
PROBES = 10          # calls on which every mistake is tried; on the others, those that fit so far
NAMED = 0.75         # a mistake is named if it gives the student's result on this share of calls
FEW = 2              # calls that must agree if there are errors only
SEVERAL = 3          # mistakes of which an answer is said to be one
PARTLY = 0.5, 5      # or, as one of several, on this share of those that it changes, and so many
APART = 0.9          # or, in an answer that is right in some cases, on this share of the others
WORDS = 500          # letters of an error, of a line of it, or of what the answer prints
CLEAR = 100          # times the tolerance: a difference that is certainly not rounding
LOOKS = 100          # counter-examples among which one is looked for that shows the mistake
SMALL = 12           # entries of the arguments of a small input
WARNS = {"divide": "warn", "over": "warn", "invalid": "warn"}    # as NumPy does by default
_replayed = {}       # (function, id of a call) -> the call, its outcome, what it warns of
_differs = {}        # the same -> whether the library's outcome is another one


def explain(exercise, watcher, seed, same, calls=None):
    """What can be said about a failed check, as plain data: example, diagnosis, seed.

    `same` tells whether two outcomes are equal enough: `agree`, or `alike`. `calls` are replayed,
    after those in which a test failed; by default all that were recorded.
    """
    begun, failing = time.process_time(), list(watcher.failing)
    calls = reversed(guard.records) if calls is None else calls
    calls = list({id(call): call for call in [*reversed(failing), *calls]}.values())
    with _quiet():
        try:
            seen = replays(exercise, calls, SECONDS / 2)
        except Exception:    # the answer was never called, or it fails outside of its function
            return {"seed": seed}
        wrong = [case for case in seen if not same(case[1], case[2])]
        forbidden = [case for case in wrong if not failing or any(case[0] is c for c in failing)]
        numbers, share = diagnose(exercise, seen, begun)
    number, either = _certain(numbers)
    chosen = _instructive(exercise, forbidden, number) if forbidden else None
    example = _example(exercise, chosen) if forbidden else None
    example = example or _warned(exercise, watcher, failing)
    always = bool(seen) and all(_raises(mine) and not _raises(other) for _, mine, other in seen)
    return {"seed": seed, "differ": len(wrong), "replayed": len(seen), "raises": always,
            "example": example, "diagnosis": number, "either": either, "share": round(share, 3)}


@contextmanager
def _quiet():
    """Warnings are for the tests: a replay is about results, and prints nothing."""
    with warnings.catch_warnings(), np.errstate(all="ignore"), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


def replays(exercise, inputs, seconds):
    """[(call, the student's result, the reference's)], as many as there is time for."""
    mine, reference = guard.functions[exercise.name], _load(exercise, None)
    begun, seen = time.process_time(), []
    for call in inputs:
        if time.process_time() - begun > seconds:
            break
        seen.append((call, replayed(exercise, mine, call), replayed(exercise, reference, call)))
    return seen


def replayed(exercise, function, call):
    """The outcome of a call, computed once."""
    return _replayed_call(exercise, function, call)[1]


def warned(exercise, function, call):
    """What a call warns of, as sorted texts."""
    return _replayed_call(exercise, function, call)[2]


def _replayed_call(exercise, function, call):
    key = function, id(call)
    if key not in _replayed:    # with the call, so that nothing else takes its id
        with warnings.catch_warnings(record=True) as caught, np.errstate(**WARNS):
            warnings.simplefilter("always")
            warnings.filterwarnings("ignore", ".* encountered in matmul", RuntimeWarning)
            result = outcome(exercise, function, call)
        said = sorted({f"{w.category.__name__}: {w.message}" for w in caught})
        _replayed[key] = call, result, said
    return _replayed[key]


def rehearsed(exercise, calls):
    """As many of some calls as there is time for, after every mistake has been tried on them."""
    with _quiet():
        calls = [call for call, _, _ in replays(exercise, calls[::-1], SECONDS / 6)]
        for mistake in exercise.mistakes:
            wrong = _load(exercise, mistake)
            for call in calls if wrong else ():
                differs(exercise, wrong, call)
    return calls


def differs(exercise, function, call):
    """Whether a call has another outcome than with the library's function, found out once."""
    key = function, id(call)
    if key not in _differs:
        reference = replayed(exercise, _load(exercise, None), call)
        _differs[key] = not agree(replayed(exercise, function, call), reference)
    return _differs[key]


def beyond_laws(exercise):
    """What is wrong with an answer that passes all tests, in words, or nothing.

    A test that compares by broadcasting misses an additional axis, and a test of a single draw
    misses that every draw is the same. Values are left to the tests: right answers may differ in
    signs, ties and last digits.
    """
    with _quiet():
        seen = replays(exercise, list(guard.records), SECONDS / 6)
        if any(not alike(mine, other) for _, mine, other in seen if not _raises(other)):
            return "a result has other axes, or another kind of number, than the library's"
        mine, reference = guard.functions[exercise.name], _load(exercise, None)
        calls = [call for call, _, _ in seen]
        drawn = any(draws(reference, call) for call in calls)
        if drawn and not any(draws(mine, call) for call in calls):
            return "it never draws from the generator that it is given"
        return ""


# ------------------------------------------------------------ the mistake

def diagnose(exercise, seen, begun):
    """(numbers of the most likely mistakes, their share of agreement).

    There are several if no call tells them apart, and none if none is likely.

    Only calls count on which the answer or the mistake differs from the library. The mistake must
    give the student's result on `NAMED` of them. Errors alone are no evidence, unless the mistake
    raises the same ones on the same calls and both give values on others. If all results
    are right, what is warned of decides.

    An answer may hold two mistakes. If none explains it alone, the best is taken of those that
    show wherever they can, and give the student's result as often as `PARTLY` says. Or it holds
    one, and a case apart in which it is right: see `APART`.
    """
    answer = guard.functions[exercise.name]
    differing = [case for case in seen if differs(exercise, answer, case[0])]
    if not differing:
        return _by_warnings(exercise, seen, begun)
    probes = differing[::max(1, len(differing) // PROBES)][:PROBES]
    fitting, partly = [], []
    for number, mistake in enumerate(exercise.mistakes):
        if time.process_time() - begun > SECONDS:
            break
        wrong = _load(exercise, mistake)
        if wrong is None:
            continue
        few = _agreement(exercise, wrong, probes, begun)
        if few.share < 0.5 and fitting or not few.n_equal:
            continue
        every = _agreement(exercise, wrong, seen, begun)
        if every.n_equal <= every.n_errors and not every.is_pattern_of_errors:
            continue
        if few.share >= 0.5 and every.share >= NAMED:
            fitting.append((-every.share, -every.n_equal, number))
        elif every.is_part or every.is_apart:
            partly.append((-every.share, -every.n_equal, number))
    likely = sorted(fitting or partly)
    if not likely:
        return [], 0.0
    best = {exercise.mistakes[number].why: number for *fit, number in reversed(likely)
            if fit == [*likely[0][:2]]}
    return sorted(best.values()), -likely[0][0]


def _certain(numbers):
    """(the number of the one mistake that is named, those of which it is one)."""
    if len(numbers) == 1:
        return numbers[0], []
    return None, numbers if len(numbers) <= SEVERAL else []


def _by_warnings(exercise, seen, begun):
    """The mistakes that give right results as well, and warn of the same on the same calls."""
    calls = [call for call, _, _ in seen]

    def warnings_of(function):
        return [warned(exercise, function, call) for call in calls]

    mine, found = warnings_of(guard.functions[exercise.name]), []
    if mine == warnings_of(_load(exercise, None)):
        return [], 0.0
    for number, mistake in enumerate(exercise.mistakes):
        if time.process_time() - begun > SECONDS:
            break
        wrong = _load(exercise, mistake)
        right = wrong and not any(differs(exercise, wrong, call) for call in calls)
        if right and warnings_of(wrong) == mine:
            found.append(number)
    return found, 1.0


@dataclass
class _Agreement:
    """How often a mistake gives the student's result, among the calls that tell them apart."""
    n_relevant: int = 0
    n_equal: int = 0
    n_errors: int = 0    # of the equal ones
    n_mistaken: int = 0    # the mistake differs from the library
    n_hidden: int = 0      # of these, the answer does not
    n_values: int = 0      # calls on which both give a value

    @property
    def share(self):
        return self.n_equal / self.n_relevant if self.n_relevant else 0.0

    @property
    def is_pattern_of_errors(self):
        """Whether the answer raises where the mistake does, several times, and not elsewhere."""
        return FEW <= self.n_equal == self.n_relevant and FEW <= self.n_values

    @property
    def is_part(self):
        """Whether the mistake may be one of several in the answer."""
        share, least = PARTLY
        n_values = self.n_equal - self.n_errors
        return (not self.n_hidden and n_values >= least
                and self.n_equal >= share * self.n_mistaken)

    @property
    def is_apart(self):
        """Whether the answer is right on at most half of the calls that the mistake changes.

        On those on which it is wrong it gives the result of the mistake, nearly always.
        """
        n_values = self.n_equal - self.n_errors
        n_wrong = self.n_relevant - self.n_hidden
        return (n_values >= max(PARTLY[1], self.n_hidden) and self.n_equal >= APART * n_wrong)


def _agreement(exercise, wrong, cases, begun):
    found = _Agreement()
    answer = guard.functions[exercise.name]
    for call, mine, reference in cases:
        differing = differs(exercise, answer, call)
        if time.process_time() - begun > SECONDS and found.n_relevant >= PROBES:
            break
        theirs = replayed(exercise, wrong, call)
        mistaken = differs(exercise, wrong, call)
        found.n_relevant += mistaken or differing
        found.n_mistaken += mistaken
        found.n_hidden += mistaken and not differing
        found.n_values += not _raises(mine) and not _raises(theirs)
        if mistaken and differing and _same_fault(mine, theirs, reference):
            found.n_equal += 1
            found.n_errors += _raises(mine)
    return found


def _same_fault(mine, theirs, reference):
    """Whether two wrong outcomes show one fault.

    Of errors the words must agree, except for numbers in them; of values the numbers, if the
    mistake is more than a matter of dtype. Where the value itself is wrong, it decides: what else
    there is, such as gradients, follows from it in more than one way.
    """
    if _raises(mine) or _raises(theirs):
        said = [re.sub(r"[\d.]+", "0", str(result[0][1])) for result in (mine, theirs)]
        return _raises(mine) and _raises(theirs) and said[0] == said[1]
    if agree(mine, theirs):
        return True
    if same_numbers(mine, theirs):
        return not same_numbers(theirs, reference)
    first = [result[:1] for result in (mine, theirs, reference)]
    return same_numbers(first[0], first[1]) and not same_numbers(first[1], first[2])


def _raises(result):
    return result[0][0] == "raises"


@lru_cache(maxsize=None)
def _load(exercise, mistake):
    """The library's bare function, with a mistake if one is given, in a module of its own."""
    return loaded(exercise, answer_text(exercise, mistake))


@lru_cache(maxsize=None)
def loaded(exercise, text):
    """The bare function of an answer, in a module of its own; None if that cannot be imported."""
    key = f"{exercise.name}: another"
    try:
        part = Piece(exercise, ast.parse(text), "answer.py", key, watched=False)
        module = run_alone(exercise.module, compiled_alone(part))
    except Exception:    # a mistake that already fails when it is imported
        return None
    names = getattr(sys.modules.get(exercise.module), "__dict__", {})
    vars(module).update((k, v) for k, v in names.items() if isinstance(v, type))    # one of each
    return guard.functions[key]


# ------------------------------------------------------------ the example

def _instructive(exercise, cases, number):
    """The most instructive of some counter-examples: an ordinary one, as small as possible.

    Ordinary is a first call on an object, with a few entries that are neither huge nor tiny, whose
    result is a value and differs by more than rounding. If a mistake is named, the example shows
    it, unless none of the first `LOOKS` does.
    """
    cases = sorted(cases, key=lambda case: _oddity(exercise, case))
    wrong = None if number is None else _load(exercise, exercise.mistakes[number])
    if wrong is None:
        return cases[0]
    with _quiet():
        shows = (case for case in cases[:LOOKS]
                 if _same_fault(case[1], replayed(exercise, wrong, case[0]), case[2]))
        return next(shows, cases[0])


def _oddity(exercise, case):
    call, mine, reference = case
    own = len(exercise.path) == 2    # self, which is not counted
    arrays = [array for _, array in flatten("", [list(call.args[own:]), call.kwargs])]
    numbers = [np.abs(a[a != 0]) for a in arrays if a.dtype.kind in "iuf" and a.size]
    odd = [np.any(~(a < 1e4)) or np.any(a < 1e-3) for a in numbers]
    size = sum(array.size for array in arrays)
    empty = any(array.size == 0 for array in arrays)
    rounding = agree(mine, reference, CLEAR)
    ordinary = not rounding and not _raises(reference)
    return not ordinary, len(call.earlier), size > SMALL, empty, any(odd), size


def _example(exercise, case):
    """The first difference of a counter-example, in words: input, expected, got."""
    call, mine, reference = case
    function = guard.functions[exercise.name]
    given, got = dict(reference), dict(mine)
    differ = [what for what in [*given, *got] if what not in got or what not in given
              or not equal(given[what], got[what])]
    both = [what for what in differ if what in got and what in given]
    where = next((what for what in both if given[what].shape != got[what].shape), "")
    where = where or (differ[0] if differ else "")
    if where in both:
        expected, came = _pair(given[where], got[where])
    else:
        where = "result"
        expected = _returned(exercise, _load(exercise, None), call, given)
        came = _returned(exercise, function, call, got)
    if "raises" in got:
        came += _place(function, call)
    if expected == came:
        came += "    (it differs further back)"
    small = not any(_oddity(exercise, case)[1:5])
    return {**_input(function, call), "small": small,
            "where": f"result{where}" if where.startswith(("[", ".")) else where,
            "expected": expected, "got": came, "printed": _printed(function, call)}


def _input(function, call):
    """The arguments of a call, as Python."""
    arguments = named(function, call.args, call.kwargs).items()
    lines = [f"{name} = {literal(value)}" for name, value in arguments]
    earlier = len(call.earlier)
    return {"input": lines + [f"(call {earlier + 1} on this object)"] * bool(earlier)}


def arguments_of_last_call():
    """The arguments of the call that came last, as Python."""
    [name] = guard.recording or [None]
    if name is None or not guard.records:
        return []
    return _input(guard.functions[name], guard.records[-1])["input"]


def _returned(exercise, function, call, result):
    """What a call returned, on one line, or the error that it raised."""
    if "raises" in result:
        return f"raises {result['raises']}"
    with _quiet():
        args, kwargs = arrived(function, call)
        return text(function(*args, **kwargs))[:WORDS]


def _printed(function, call):
    """What the answer prints in a call."""
    out = io.StringIO()
    with _quiet(), redirect_stdout(out):
        try:
            args, kwargs = arrived(function, call)
            function(*args, **kwargs)
        except Exception:    # it was printed before
            pass
    words = out.getvalue()
    return words if len(words) <= WORDS else f"{words[:WORDS]} ..."


def _place(function, call):
    """The line of the student's file that an error comes from."""
    with _quiet():
        try:
            args, kwargs = arrived(function, call)
            function(*args, **kwargs)
        except Exception as error:
            return _line_of(function, error)
    return ""


def _line_of(function, error):
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__)
             if frame.filename == function.__code__.co_filename]
    return f" (line {lines[-1]} of your file)" if lines else ""


def _warned(exercise, watcher, failing):
    """The example of a test that a warning made fail: the call that warns, and the line."""
    if not any(isinstance(error, Warning) for error in watcher.errors.values()):
        return None
    function = guard.functions[exercise.name]
    for call in reversed(failing):
        try:
            with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
                warnings.simplefilter("error")
                args, kwargs = arrived(function, call)
                flatten("", function(*args, **kwargs), args)
        except Warning as warning:
            came = f"{type(warning).__name__}: {warning}{_line_of(function, warning)}"
            return {**_input(function, call), "small": False, "where": "a warning is an error",
                    "expected": "no warning", "got": came, "printed": _printed(function, call)}
        except Exception:    # that is another fault
            pass
    return None


def _pair(expected, came):
    """Both in words: with more digits if they would look the same."""
    words = _describe(expected, came), _describe(came, expected)
    if words[0] != words[1]:
        return words
    return _describe(expected, came, 17), _describe(came, expected, 17)


def _describe(array, other, digits=DIGITS):
    """Shape and dtype first, then the values; of large arrays the first that differs."""
    if array.dtype.kind == "U":
        return str(array)
    words = f"shape {array.shape} {array.dtype}: {text(array, digits)}"
    if array.size > SHOWN and other.shape == array.shape:
        apart = [i for i in np.ndindex(array.shape) if not equal(array[i], other[i])]
        apart = apart or list(zip(*np.nonzero(array != other)))    # by rounding only
        place = next(iter(apart), None)
        if place is not None:
            words += f"; at {list(map(int, place))}: {text(array[place], digits)}"
    return words


def message(error):
    """The message of a failed test, and the example that hypothesis found, a few lines of each."""
    if error is None:
        return ""
    lines = [line[:WORDS] for line in str(error).strip().splitlines()[:8]]
    notes = [line[:WORDS] for note in getattr(error, "__notes__", ())
             for line in str(note).splitlines()][:12]
    first = f"{type(error).__name__}: {lines[0] if lines else _line(error)}"
    return "\n".join([first, *lines[1:], *notes])


def _line(error):
    """The line of the tests from which an error without words comes."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [f.line for f in frames if Path(f.filename).parent == ROOT / "tests"]
    return lines[-1] if lines else ""
