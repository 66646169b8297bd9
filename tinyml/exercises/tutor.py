"""Why an answer fails: the smallest input it fails on, what was expected there, and which mistake it is.

Every call of the student's function was recorded. Replay the calls through three kinds of functions: the
student's, the library's, and the library's with each of the listed mistakes. An input on which the first two
differ is a counter-example; the mistake whose results agree with the student's on *all* inputs is the diagnosis.
"""
import ast
import inspect
import time
import traceback
import types
import warnings
from operator import attrgetter
from pathlib import Path

import numpy as np

from tinyml.exercises import guard
from tinyml.exercises.splice import Piece, load_alone
from tinyml.exercises.stub import ROOT, answer_text

SECONDS = 3.0        # for all replays of one check
SHOWN = 12           # entries of an array that are shown
DIGITS = 6           # of numbers that are shown, unless they differ further back
WORDS = 500          # letters of an error, or of a line of it
PLAIN = (bool, int, float, str, tuple)    # attributes that are shown of an object
KINDS = {"b": "bool", "i": "integer", "u": "integer", "f": "float", "c": "complex"}
CLOSE = {"float32": (1e-4, 1e-6), "float64": (1e-5, 1e-8)}    # (relative, absolute): equal but for rounding
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


def misshapen(exercise):
    """Whether some result is of another shape or kind of number than the library's.

    Laws that compare by broadcasting do not see an axis too many. Values are for the laws to judge: a right
    answer may differ in its signs, its ties or its last digits.
    """
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return any(not alike(mine, other) for _, mine, other in replays(exercise, list(guard.records), SECONDS / 6)
                   if other[0][0] != "raises")


def _first_failure(watcher):
    for test, (_, last) in watcher.ends.items():
        if watcher.outcomes.get(test) == "failed":
            return last
    return []


def diagnose(exercise, seen, wrong, begun):
    """The number of the mistake that gives the student's result on all inputs, or None.

    Where errors are concerned, one that says the same words is preferred to one of the same type.
    """
    alike = []
    for number, mistake in enumerate(exercise.mistakes if wrong else ()):
        other = _load(exercise, mistake, f"mistake {number}")
        match = 2 if other else 0
        for call, mine, _ in [*wrong, *seen]:
            if match and time.process_time() - begun < SECONDS:
                theirs = outcome(exercise, other, call)
                match = min(match, 0 if not agree(mine, theirs) else 2 if str(mine[0][1]) == str(theirs[0][1]) else 1)
        if match:
            alike.append((-match, number))
    return min(alike)[1] if alike else None


def _load(exercise, mistake, label):
    """The bare function of the library, or of the library with a mistake, in a module of its own."""
    key = f"{exercise.name}: {label}"
    text = answer_text(exercise, mistake)
    try:
        load_alone(Piece(exercise, ast.parse(text), "answer.py", key, watched=False), f"_{exercise.name}_alone")
    except Exception:    # a mistake that already fails when it is imported
        return None
    return guard.functions[key]


# ------------------------------------------------------------ results as plain lists of arrays

def outcome(exercise, function, call):
    """[(what, array)] of a call: its results, the gradients they give, and what became of the arguments.

    How an object keeps its state is its own affair: of that only the exercise's view counts.
    """
    own = guard.is_method(function)
    try:
        args, kwargs = _arrived(function, call)
        given = [(name, value) for name, value in list(_named(function, args, kwargs).items())[own:]
                 if not isinstance(value, (bool, int, float, str, np.generic))]
        before = [(name, array) for name, value in given for _, array in flatten("", value)]
        pairs = flatten("", function(*args, **kwargs), args)
        if exercise.view:
            pairs += flatten(f"{exercise.view}() after the call", attrgetter(exercise.view)(args[0])())
    except Exception as error:
        return [("raises", _said(error))]
    pairs += [pair for name, value in given for pair in flatten(f"{name} after the call", value)]
    return pairs + [(f"what was in {name} before, after the call", array) for name, array in before]


def _arrived(function, call):
    """Copies of the arguments of a call; the object of a method has lived through the calls before it."""
    args, kwargs = guard.snapshot((call.args, call.kwargs))
    for earlier in call.earlier:
        others, words = guard.snapshot((earlier.args[1:], earlier.kwargs))
        function(args[0], *others, **words)
    return args, kwargs


def _named(function, args, kwargs):
    """{name of the parameter: argument}, as far as the arguments fit."""
    try:
        return dict(inspect.signature(function).bind(*args, **kwargs).arguments)
    except TypeError:
        return {**{f"argument {i}": a for i, a in enumerate(args, 1)}, **kwargs}


def _said(error):
    return np.array(f"{type(error).__name__}: {error}"[:WORDS])


def flatten(what, value, args=None, depth=0):
    """The arrays in a value, each with words for where it is; functions are vjps, and are applied."""
    if depth > 10:
        return []
    if _is_tensor(value):
        return _tensor(what, value, args)
    if isinstance(value, types.GeneratorType):
        value = [item for item, _ in zip(value, range(200))]
    if isinstance(value, (list, tuple)):
        vjps = value[1] if args is not None and len(value) == 2 else None
        if callable(vjps) or isinstance(vjps, tuple) and any(map(callable, vjps)):
            return _primitive(value[0], (_no_tuple,) * len(args) if callable(vjps) else vjps)
        names = [f".{field}" for field in getattr(value, "_fields", ())] or [f"[{i}]" for i in range(len(value))]
        pairs = [pair for name, item in zip(names, value) for pair in flatten(what + name, item, None, depth + 1)]
        return [*pairs, (f"{what or 'result'} length", np.array(len(value)))]
    if isinstance(value, dict):
        return [pair for key, item in value.items() for pair in flatten(f"{what}[{key!r}]", item, None, depth + 1)]
    if isinstance(value, bytes):
        value = np.frombuffer(value, np.uint8)
    if isinstance(value, (np.ndarray, np.generic, int, float, bool, complex, str)):
        return [(what or "result", np.asarray(value))]
    ours = type(value).__module__.startswith("tinyml") and not isinstance(value, types.FunctionType)
    if ours and hasattr(value, "__dict__"):
        return flatten(what, vars(value), None, depth + 1)
    return [(what or "result", np.array("None" if value is None else type(value).__name__))]


def _no_tuple(g):
    raise TypeError("the vjps must stand in a tuple, one for each argument: (vjp,), got a function")


def _primitive(value, vjps):
    """The value and, for a random g of its shape, the gradients of a function that returns its vjps."""
    pairs = flatten("value", np.asarray(value))
    g = np.asarray(np.random.default_rng(0).uniform(0.5, 2, np.shape(value)), np.asarray(value).dtype)
    for i, vjp in enumerate(vjps):
        try:
            gradient = np.asarray(vjp(g))
        except Exception as error:
            gradient = _said(error)
        pairs.append((f"gradient of argument {i} for g = {text(g)}", gradient))
    return pairs


def _is_tensor(value):
    """Also of a class Tensor that was loaded at another time."""
    return any(kind.__name__ == "Tensor" for kind in type(value).__mro__)


def _tensor(what, value, args):
    """The data of a tensor; where it was computed from the arguments, it is differentiated."""
    pairs = [(what or "result", value.data)]
    if value.edges and args is not None:
        value.backward(np.random.default_rng(0).uniform(0.5, 2, value.shape))
    if value.grad is not None:
        pairs.append((f"gradient of {what or 'result'}", np.asarray(value.grad)))
    return pairs


def agree(first, second, times=1):
    """Whether two outcomes are equal but for rounding, or so many times as much."""
    return len(first) == len(second) and all(
        a[0] == b[0] and _equal(a[1], b[1], times) for a, b in zip(first, second))


def _equal(a, b, times=1):
    if a.shape != b.shape or a.dtype.kind != b.dtype.kind or a.dtype != b.dtype and "f" == a.dtype.kind:
        return False
    if a.dtype.kind == "U" and ":" in str(a):    # errors of the same type, whatever their words
        return str(a).partition(":")[0] == str(b).partition(":")[0]
    if a.dtype.kind not in "fc":
        return np.array_equal(a, b)
    rtol, atol = CLOSE.get(a.dtype.name, CLOSE["float64"])
    return bool(np.allclose(a, b, rtol=times * rtol, atol=times * atol, equal_nan=True))


def alike(first, second):
    """Whether two outcomes hold the same shapes and dtypes, in any order; of single numbers, the same kind."""
    return _shapes(first) == _shapes(second)


def _shapes(result):
    return sorted((what == "raises", array.shape, str(array.dtype if array.ndim else KINDS.get(array.dtype.kind)))
                  for what, array in result)


# ------------------------------------------------------------ words

def _size(case):
    call = case[0]
    return len(call.earlier), sum(array.size for _, array in flatten("", [list(call.args), call.kwargs]))


def _example(exercise, case):
    """The first difference of a counter-example, in words: input, expected, got."""
    call, mine, reference = case
    function = guard.functions[exercise.name]
    given, got = dict(reference), dict(mine)
    differ = [w for w in [*given, *got] if w not in got or w not in given or not _equal(given[w], got[w])]
    both = [w for w in differ if w in got and w in given]
    where = next((w for w in both if given[w].shape != got[w].shape), differ[0] if differ else "")
    if where in both:
        expected, came = _pair(given[where], got[where])
    else:
        expected, came, where = _whole(given), _whole(got), "result"
    return {"input": [f"{name} = {text(value)}" for name, value in _named(function, call.args, call.kwargs).items()]
            + [f"(call {len(call.earlier) + 1} on this object)"] * bool(call.earlier),
            "where": where, "expected": expected, "got": came + ("raises" in got) * _place(function, call)}


def _whole(result):
    """All that a call returned, or the error that it raised."""
    return "; ".join(_lone(array) if what in {"raises", "result"} else f"{what.removeprefix('[0]')} {_lone(array)}"
                     for what, array in result.items() if not what.endswith("the call"))[:WORDS]


def _lone(array):
    return str(array) if array.dtype.kind == "U" else text(array)


def _place(function, call):
    """The line of the student's file that an error came from."""
    try:
        args, kwargs = _arrived(function, call)
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
        place = next((i for i in np.ndindex(array.shape) if not _equal(array[i], other[i])), None)
        words += ("" if place is None else
                  f"\n              first at {list(map(int, place))}: {text(array[place], digits)}")
    return words


def text(value, digits=DIGITS):
    """A value on one line; of a large array its shape and its first entries."""
    if _is_tensor(value):
        return f"{type(value).__name__}({text(value.data, digits)})"
    if isinstance(value, np.generic):
        value = np.asarray(value)
    if isinstance(value, np.ndarray):
        if value.size > SHOWN:
            return f"array of shape {value.shape}, {text(value.ravel()[:6], digits)[:-1]}, ...]"
        return np.array2string(value, separator=", ", precision=digits, max_line_width=10_000).replace("\n", "")
    if isinstance(value, np.random.Generator):
        return "a Generator"
    if isinstance(value, (list, tuple)):
        return _sequence(value)
    if hasattr(value, "__dict__") and not callable(value):
        own = ", ".join(f"{key}={item!r}" for key, item in vars(value).items() if isinstance(item, PLAIN))
        return f"{type(value).__name__}({own})"
    words = repr(value)
    return words if len(words) < 200 else words[:200] + " ..."


def _sequence(value):
    names = [f"{field}=" for field in getattr(value, "_fields", ())] or [""] * SHOWN
    words = ", ".join(name + text(item) for name, item in zip(names, value)) + (", ..." if len(value) > SHOWN else "")
    return f"[{words}]" if isinstance(value, list) else f"{'' if names[0] == '' else type(value).__name__}({words})"


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
