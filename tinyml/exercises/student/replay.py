"""Calls of an answer, made again: with the answer, with the library, and with listed mistakes.

The calls of a check were recorded. What each function gives on a call is computed once.
"""
import ast
import io
import sys
import time
import warnings
from contextlib import contextmanager, redirect_stdout, suppress
from functools import lru_cache

import numpy as np

from tinyml.exercises.student.outcome import agree, outcome
from tinyml.exercises.student.splice import Piece, compiled_alone, run_alone
from tinyml.exercises.student.stub import answer_text
from tinyml.exercises.walls import guard

SECONDS = 3.0    # of computing, for all replays of one check
WARNS = {"divide": "warn", "over": "warn", "invalid": "warn"}    # as NumPy does by default
_replayed = {}    # (function, id of a call) -> the call, its outcome, what it warns of
_differs = {}     # the same -> whether the library's outcome is another one


@contextmanager
def quiet():
    """Warnings are for the tests: a replay is about results, and prints nothing."""
    with warnings.catch_warnings(), np.errstate(all="ignore"), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


def replays(exercise, inputs, seconds):
    """[(call, the student's result, the reference's)], as many as there is time for."""
    mine, reference = guard.functions[exercise.name], load(exercise, None)
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
    with quiet():
        calls = [call for call, _, _ in replays(exercise, calls[::-1], SECONDS / 6)]
        for mistake in exercise.mistakes:
            wrong = load(exercise, mistake)
            for call in calls if wrong else ():
                differs(exercise, wrong, call)
    return calls


def differs(exercise, function, call):
    """Whether a call has another outcome than with the library's function, found out once."""
    key = function, id(call)
    if key not in _differs:
        reference = replayed(exercise, load(exercise, None), call)
        _differs[key] = not agree(replayed(exercise, function, call), reference)
    return _differs[key]


def make_ready(exercise):
    """Compile the library's function and all mistakes, for the copies of this process."""
    for mistake in (None, *exercise.mistakes):
        with suppress(SyntaxError, ValueError):
            _code(exercise, answer_text(exercise, mistake), key_of(exercise))


def key_of(exercise):
    """Where `guard.functions` keeps an answer that is replayed."""
    return f"{exercise.name}: another"


@lru_cache(maxsize=None)
def _code(exercise, text, key):
    """The code of an exercise's module with an answer in it."""
    return compiled_alone(Piece(exercise, ast.parse(text), "answer.py", key, watched=False))


@lru_cache(maxsize=None)
def load(exercise, mistake):
    """The library's bare function, with a mistake if one is given, in a module of its own."""
    return loaded(exercise, answer_text(exercise, mistake))


@lru_cache(maxsize=None)
def loaded(exercise, text):
    """The bare function of an answer, in a module of its own; None if that cannot be imported."""
    key = key_of(exercise)
    try:
        module = run_alone(exercise.module, _code(exercise, text, key))
    except Exception:    # a mistake that already fails when it is imported
        return None
    names = getattr(sys.modules.get(exercise.module), "__dict__", {})
    vars(module).update((k, v) for k, v in names.items() if isinstance(v, type))    # one of each
    return guard.functions[key]
