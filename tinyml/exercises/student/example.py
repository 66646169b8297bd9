"""An input on which an answer is wrong, chosen to teach, and in words that can be typed again."""
import copy
import io
import traceback
import warnings
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np

from tinyml.exercises.student.diagnosis import same_fault
from tinyml.exercises.student.outcome import agree, arrived, equal, flatten, named, raises
from tinyml.exercises.student.replay import load, quiet, replayed
from tinyml.exercises.student.stub import ROOT
from tinyml.exercises.student.words import DIGITS, SHOWN, is_tensor, literal, text
from tinyml.exercises.walls import guard

WORDS = 500    # letters of an error, of a line of it, or of what the answer prints
CLEAR = 100    # times the tolerance: a difference that is certainly not rounding
LOOKS = 100    # counter-examples among which one is looked for that shows the mistake
SMALL = 12     # entries of the arguments of a small input


def instructive(exercise, cases, number):
    """The most instructive of some counter-examples: an ordinary one, as small as possible.

    Ordinary is a first call on an object, with a few entries that are neither huge nor tiny, whose
    result is a value and differs by more than rounding. If a mistake is named, the example shows
    it, unless none of the first `LOOKS` does.
    """
    cases = sorted(cases, key=lambda case: _oddity(exercise, case))
    wrong = None if number is None else load(exercise, exercise.mistakes[number])
    if wrong is None:
        return cases[0]
    with quiet():
        shows = (case for case in cases[:LOOKS]
                 if same_fault(case[1], replayed(exercise, wrong, case[0]), case[2]))
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
    ordinary = not rounding and not raises(reference)
    return not ordinary, len(call.earlier), size > SMALL, empty, any(odd), size


def in_words(exercise, case):
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
        expected = _returned(exercise, load(exercise, None), call, given)
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
    lines = [line for name, value in arguments for line in _assigned(name, value)]
    earlier = len(call.earlier)
    return {"input": lines + [f"(call {earlier + 1} on this object)"] * bool(earlier)}


def _assigned(name, value):
    """Python that gives an argument this value, and its tensors their gradients."""
    iterator = isinstance(value, type(iter([])))
    value = list(copy.copy(value)) if iterator else value
    held = enumerate(value) if isinstance(value, (list, tuple)) else [(None, value)]
    grads = [f"{name}{'' if i is None else f'[{i}]'}.grad = {literal(item.grad)}"
             for i, item in held if is_tensor(item) and item.grad is not None]
    again = [f"{name} = iter({name})"] if iterator else []
    return [f"{name} = {literal(value)}", *grads, *again]


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
    with quiet():
        args, kwargs = arrived(function, call)
        return text(function(*args, **kwargs))[:WORDS]


def _printed(function, call):
    """What the answer prints in a call."""
    out = io.StringIO()
    with quiet(), redirect_stdout(out):
        try:
            args, kwargs = arrived(function, call)
            function(*args, **kwargs)
        except Exception:    # it was printed before
            pass
    words = out.getvalue()
    return words if len(words) <= WORDS else f"{words[:WORDS]} ..."


def _place(function, call):
    """The line of the student's file that an error comes from."""
    with quiet():
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


def of_warnings(exercise, watcher, failing):
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
