"""Why an answer fails: the smallest input it fails on, what was expected there, and which mistake it is.

Every call of the student's function was recorded. Replay the arguments through three kinds of functions: the
student's, the library's, and the library's with each of the listed mistakes. An input on which the first two
differ is a counter-example; the mistake whose results agree with the student's on *all* inputs is the diagnosis.
"""
import ast
import time
import traceback
import types
import warnings
from pathlib import Path

import numpy as np

from tinyml.exercises import guard
from tinyml.exercises.splice import Piece, load_alone
from tinyml.exercises.stub import ROOT, answer_text

SECONDS = 3.0        # for all replays of one check
SHOWN = 12           # entries of an array that are shown
WORDS = 500          # letters of an error, or of a line of it
KINDS = {"b": "bool", "i": "integer", "u": "integer", "f": "float", "c": "complex"}
CLOSE = dict(rtol=1e-5, atol=1e-8, equal_nan=True)


def explain(exercise, watcher, seed):
    """What there is to say about a failed check, as plain data: example, diagnosis, law."""
    end, begun = _first_failure(watcher), time.process_time()
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            seen = replays(exercise, [*reversed(end), *reversed(guard.records)], SECONDS / 2)
        except Exception:    # the answer was never called, or it fails outside of its function
            return {"seed": seed}
        wrong = [case for case in seen if not agree(case[1], case[2])]
        return {"seed": seed, "differ": len(wrong), "replayed": len(seen),
                "example": _example(min(wrong[:40], key=_size) if not end else wrong[0]) if wrong else None,
                "diagnosis": diagnose(exercise, seen, wrong, begun)}


def replays(exercise, inputs, seconds):
    """[(arguments, the student's result, the reference's)], as many as there is time for."""
    mine, reference = guard.functions[exercise.name], _load(exercise, None, "reference")
    begun, seen = time.process_time(), []
    for arguments in inputs:
        if time.process_time() - begun > seconds:
            break
        seen.append((arguments, outcome(mine, arguments), outcome(reference, arguments)))
    return seen


def misshapen(exercise):
    """Whether some result is of another shape or kind of number than the library's.

    Laws that compare by broadcasting do not see an axis too many. Values are for the laws to judge: a right
    answer may differ in its signs, its ties or its last digits.
    """
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return any(not _alike(mine, other) for _, mine, other in replays(exercise, list(guard.records), SECONDS / 6)
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
        for arguments, mine, _ in [*wrong, *seen]:
            if match and time.process_time() - begun < SECONDS:
                theirs = outcome(other, arguments)
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

def outcome(function, arguments):
    """[(what, array)] of a call: its results, the gradients they give, and what became of the arguments."""
    args, kwargs = guard.snapshot(arguments)
    own = bool(args) and not _is_tensor(args[0]) and hasattr(type(args[0]), function.__name__)
    given = [args[own:], kwargs]    # how an object keeps its own state is its affair
    before = [array for _, array in flatten("", given)]
    try:
        result = flatten("", function(*args, **kwargs), args) + flatten("argument", given)
        return result + [(f"array {i} that it was given, after the call", array) for i, array in enumerate(before, 1)]
    except Exception as error:
        return [("raises", _said(error))]


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
        pairs = [pair for i, item in enumerate(value) for pair in flatten(f"{what}[{i}]", item, None, depth + 1)]
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
    return [(what or "result", np.array(type(value).__name__))]


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


def agree(first, second):
    """Whether two outcomes are equal but for rounding."""
    return len(first) == len(second) and all(a[0] == b[0] and _equal(a[1], b[1]) for a, b in zip(first, second))


def _alike(first, second):
    """Whether two outcomes have the same shapes and dtypes; of single numbers, the same kind."""
    return [(what, array.shape, _sort(array)) for what, array in first] == [
        (what, array.shape, _sort(array)) for what, array in second]


def _sort(array):
    return array.dtype if array.ndim else KINDS.get(array.dtype.kind)


def _equal(a, b):
    if a.shape != b.shape or a.dtype.kind != b.dtype.kind or a.dtype != b.dtype and "f" == a.dtype.kind:
        return False
    if a.dtype.kind == "U" and ":" in str(a):    # errors of the same type, whatever their words
        return str(a).partition(":")[0] == str(b).partition(":")[0]
    return bool(np.allclose(a, b, **CLOSE)) if a.dtype.kind in "fc" else np.array_equal(a, b)


# ------------------------------------------------------------ words

def _size(case):
    return sum(array.size for _, array in flatten("", list(case[0])))


def _example(case):
    """The first difference of a counter-example, in words: input, expected, got."""
    arguments, mine, reference = case
    args, kwargs = arguments
    given = {a[0]: a[1] for a in reference}
    got = {a[0]: a[1] for a in mine}
    where = next((w for w in [*given, *got] if w not in got or w not in given or not _equal(given[w], got[w])), "")
    if "raises" in got and "raises" not in given:
        where, got = next(iter(given)), {next(iter(given)): got["raises"]}
    expected, came = given.get(where), got.get(where)
    return {"input": [text(a) for a in args] + [f"{k}={text(v)}" for k, v in kwargs.items()],
            "where": where, "expected": _describe(expected, came), "got": _describe(came, expected)}


def _describe(array, other):
    """Shape and dtype first, then the values; of large arrays the first that differs."""
    if array is None:
        return "nothing"
    if array.dtype.kind == "U":
        return str(array)
    words = f"shape {array.shape} {array.dtype}: {text(array)}"
    if array.size > SHOWN and other is not None and other.shape == array.shape:
        place = next((i for i in np.ndindex(array.shape) if not _equal(array[i], other[i])), None)
        words += "" if place is None else f"\n              first at {list(map(int, place))}: {text(array[place])}"
    return words


def text(value):
    """A value on one line; of a large array its shape and its first entries."""
    if _is_tensor(value):
        return f"{type(value).__name__}({text(value.data)})"
    if isinstance(value, np.ndarray):
        if value.size > SHOWN:
            return f"array of shape {value.shape}, {text(value.ravel()[:6])[:-1]}, ...]"
        return np.array2string(value, separator=", ", precision=6, max_line_width=10_000).replace("\n", "")
    if isinstance(value, np.random.Generator):
        return "rng"
    if isinstance(value, (list, tuple)):
        words = ", ".join(map(text, value[:SHOWN])) + (", ..." if len(value) > SHOWN else "")
        return f"[{words}]" if isinstance(value, list) else f"({words})"
    if hasattr(value, "__dict__") and not callable(value):
        return type(value).__name__
    words = repr(value)
    return words if len(words) < 200 else words[:200] + " ..."


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
