"""Why an answer fails: the smallest input it fails on, what was expected there, and which mistake it is.

Every call of the student's function was recorded. Replay the calls through three kinds of functions: the
student's, the library's, and the library's with each of the listed mistakes. An input on which the first two
differ is a counter-example; the mistake whose results agree with the student's on *all* inputs is the diagnosis.
"""
import ast
import time
import traceback
import warnings
from pathlib import Path

import numpy as np

from tinyml.exercises import guard
from tinyml.exercises.outcome import agree, alike, arrived, draws, equal, flatten, named, outcome
from tinyml.exercises.splice import Piece, load_alone
from tinyml.exercises.stub import ROOT, answer_text
from tinyml.exercises.words import DIGITS, SHOWN, text

SECONDS = 3.0        # for all replays of one check
WORDS = 500          # letters of an error, or of a line of it
CLEAR = 100          # times that: a difference that is no rounding, better to look at


def explain(exercise, watcher, seed, same):
    """What there is to say about a failed check, as plain data: example, diagnosis, law.

    `same` tells whether two outcomes are equal enough: `agree`, or `alike`.
    """
    end, begun = _first_failure(watcher), time.process_time()
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            seen = replays(exercise, [*reversed(end), *reversed(guard.records)], SECONDS / 2)
        except Exception:    # the answer was never called, or it fails outside of its function
            return {"seed": seed}
        wrong = [case for case in seen if not same(case[1], case[2])]
        return {"seed": seed, "differ": len(wrong), "replayed": len(seen),
                "example": _example(exercise, _instructive(wrong, seen[:len(end)])) if wrong else None,
                "diagnosis": diagnose(exercise, seen, wrong, begun)}


def _instructive(wrong, end):
    """Of the inputs on which an answer is wrong that at which the law gave up, or else the smallest.

    One on which it differs by more than rounding is preferred.
    """
    clear = [case for case in wrong if not agree(case[1], case[2], CLEAR)] or wrong
    best = [case for case in end if not case[0].earlier and any(case is other for other in clear)]
    return best[0] if best else min(clear, key=_size)


def replays(exercise, inputs, seconds):
    """[(call, the student's result, the reference's)], as many as there is time for."""
    mine, reference = guard.functions[exercise.name], _load(exercise, None, "reference")
    begun, seen = time.process_time(), []
    for call in inputs:
        if time.process_time() - begun > seconds:
            break
        seen.append((call, outcome(exercise, mine, call), outcome(exercise, reference, call)))
    return seen


def beyond_laws(exercise):
    """What is wrong with an answer that keeps the laws, in words, or nothing.

    Laws that compare by broadcasting do not see an axis too many, and a law about one draw does not see that it
    is always the same. Values are for the laws to judge: a right answer may differ in signs, ties or last digits.
    """
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        seen = replays(exercise, list(guard.records), SECONDS / 6)
        if any(not alike(mine, other) for _, mine, other in seen if other[0][0] != "raises"):
            return "a result has other axes, or another kind of number, than the library's"
        mine, reference = guard.functions[exercise.name], _load(exercise, None, "reference")
        calls = [call for call, _, _ in seen]
        if any(draws(reference, call) for call in calls) and not any(draws(mine, call) for call in calls):
            return "it never draws from the generator that it is given"
        return ""


def _first_failure(watcher):
    for test, (_, last) in watcher.ends.items():
        if watcher.outcomes.get(test) == "failed":
            return last
    return []


def diagnose(exercise, seen, wrong, begun):
    """The number of the mistake that gives the student's result on all inputs, or None.

    Where errors are concerned, one that says the same words is preferred to one of the same type.
    """
    fitting = []
    for number, mistake in enumerate(exercise.mistakes if wrong else ()):
        other = _load(exercise, mistake, f"mistake {number}")
        match = 2 if other else 0
        for call, mine, _ in [*wrong, *seen]:
            if match and time.process_time() - begun < SECONDS:
                theirs = outcome(exercise, other, call)
                match = min(match, 0 if not agree(mine, theirs) else 2 if str(mine[0][1]) == str(theirs[0][1]) else 1)
        if match:
            fitting.append((-match, number))
    return min(fitting)[1] if fitting else None


def _load(exercise, mistake, label):
    """The bare function of the library, or of the library with a mistake, in a module of its own."""
    key, tree = f"{exercise.name}: {label}", ast.parse(answer_text(exercise, mistake))
    try:
        load_alone(Piece(exercise, tree, "answer.py", key, watched=False), f"_{exercise.name}_alone")
    except Exception:    # a mistake that already fails when it is imported
        return None
    return guard.functions[key]


# ------------------------------------------------------------ words

def _size(case):
    call = case[0]
    return len(call.earlier), sum(array.size for _, array in flatten("", [list(call.args), call.kwargs]))


def _example(exercise, case):
    """The first difference of a counter-example, in words: input, expected, got."""
    call, mine, reference = case
    function = guard.functions[exercise.name]
    given, got = dict(reference), dict(mine)
    differ = [w for w in [*given, *got] if w not in got or w not in given or not equal(given[w], got[w])]
    both = [w for w in differ if w in got and w in given]
    where = next((w for w in both if given[w].shape != got[w].shape), differ[0] if differ else "")
    if where in both:
        expected, came = _pair(given[where], got[where])
    else:
        expected, came, where = _whole(given), _whole(got), "result"
    return {"input": [f"{name} = {text(value)}" for name, value in named(function, call.args, call.kwargs).items()]
            + [f"(call {len(call.earlier) + 1} on this object)"] * bool(call.earlier),
            "where": f"result{where}" if where.startswith(("[", ".")) else where, "expected": expected, "got": came + ("raises" in got) * _place(function, call)}


def _whole(result):
    """All that a call returned, or the error that it raised."""
    return "; ".join(_lone(array) if what in {"raises", "result"} else f"{what.removeprefix('[0]')} {_lone(array)}"
                     for what, array in result.items() if not what.endswith("the call"))[:WORDS]


def _lone(array):
    return str(array) if array.dtype.kind == "U" else text(array)


def _place(function, call):
    """The line of the student's file that an error came from."""
    try:
        args, kwargs = arrived(function, call)
        function(*args, **kwargs)
    except Exception as error:
        lines = [f.lineno for f in traceback.extract_tb(error.__traceback__)
                 if f.filename == function.__code__.co_filename]
        return f" (line {lines[-1]} of your file)" if lines else ""
    return ""


def _pair(expected, came):
    """Both in words: with more digits, if they would look the same."""
    words = _describe(expected, came), _describe(came, expected)
    return words if words[0] != words[1] else (_describe(expected, came, 17), _describe(came, expected, 17))


def _describe(array, other, digits=DIGITS):
    """Shape and dtype first, then the values; of large arrays the first that differs."""
    if array.dtype.kind == "U":
        return str(array)
    words = f"shape {array.shape} {array.dtype}: {text(array, digits)}"
    if array.size > SHOWN and other.shape == array.shape:
        place = next((i for i in np.ndindex(array.shape) if not equal(array[i], other[i])), None)
        words += ("" if place is None else
                  f"\n              first at {list(map(int, place))}: {text(array[place], digits)}")
    return words


def message(error):
    """The message of a failed test and the example that hypothesis found, a few lines of each."""
    if error is None:
        return ""
    lines = [line[:WORDS] for line in str(error).strip().splitlines()[:8]]
    notes = [line[:WORDS] for note in getattr(error, "__notes__", ()) for line in str(note).splitlines()][:12]
    return "\n".join([f"{type(error).__name__}: {lines[0] if lines else _line(error)}", *lines[1:], *notes])


def _line(error):
    """The line of the tests that an error without words came from."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [f.line for f in frames if Path(f.filename).parent == ROOT / "tests"]
    return lines[-1] if lines else ""
