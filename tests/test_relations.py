"""What the tutor says of all wrong results is true of all of them, and random results get no word."""
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from strategies import rngs

from tinyml.exercises.catalogue import find
from tinyml.exercises.student import report
from tinyml.exercises.student.relations import LEAST, relation
from tinyml.exercises.student.replay import load, replayed
from tinyml.exercises.walls import guard


def right_of(w, threshold):
    return np.cumsum(w, axis=0) * threshold


def of_wrong(change, rng, n_calls=LEAST, calls=None):
    """What is said of an answer that returns change(right result, arguments)."""
    exercise, cases = find("threshold_mask"), []
    guard.functions[exercise.name] = right_of
    for n in range(2, n_calls + 2):
        arguments = {"w": rng.uniform(1, 2, (n, 3)) * rng.choice([-1, 1], 3), "threshold": rng.uniform(2, 3)}
        right = right_of(**arguments)
        cases.append((guard.Call((), arguments), [("result", np.asarray(change(right, **arguments)))],
                      [("result", right)]))
    try:
        return relation(exercise, cases)
    finally:
        del guard.functions[exercise.name]


RELATIONS = {
    "it is the right one times 2": lambda r, **_: 2 * r,
    "it is the right one times -1": lambda r, **_: -r,
    "it is the right one plus 1": lambda r, **_: r + 1,
    "it is the right one minus 0.5": lambda r, **_: r - 0.5,
    "it is the square of the right one": lambda r, **_: r * r,
    "it is e to the power of the right one": lambda r, **_: np.exp(r),
    "every entry of it is 7": lambda r, **_: np.full_like(r, 7),
    "it is the right one divided by threshold": lambda r, threshold, **_: r / threshold,
    "it is the right one times the square of threshold": lambda r, threshold, **_: r * threshold ** 2,
    "it is the right one divided by the length of axis 0 of w": lambda r, w, **_: r / len(w),
    "it is the right one times n / (n - 1), where n is the length of axis 0 of w":
        lambda r, w, **_: r * len(w) / (len(w) - 1),
    "it is the right one minus threshold": lambda r, threshold, **_: r - threshold,
    "it is the right one transposed": lambda r, **_: r.T,
    "it is the right one reversed along axis -2": lambda r, **_: r[::-1],
    "it is the right one reversed along axis -1": lambda r, **_: r[:, ::-1],
    "its entries are moved by one place along axis -1": lambda r, **_: np.roll(r, 1, -1),
    "the first entries along axis -2 are missing": lambda r, **_: r[1:],
    "the last entries along axis -1 are missing": lambda r, **_: r[:, :-1],
    "it has entries too many along axis -2: the last": lambda r, **_: np.vstack([r, r[:1]]),
    "its numbers are right, but its shape is not": lambda r, **_: r[None],
    "its numbers are right, but in another order": lambda r, **_: r.T.reshape(r.shape),
    "only entries that should be negative are wrong": lambda r, **_: np.where(r < 0, np.cos(r), r),
    "only its last entries along axis -2 are wrong": lambda r, **_: np.vstack([r[:-1], np.cos(r[-1:])]),
    "it is the right one times a number, which is another one in each call":
        lambda r, **_: r / np.linalg.norm(r),
    "it is the right one plus a number, which is another one in each call": lambda r, **_: r - r.mean(),
}


@pytest.mark.parametrize("words", RELATIONS)
@given(rng=rngs)
def test_what_is_true_of_all_wrong_results_is_said(words, rng):
    said = of_wrong(RELATIONS[words], rng)
    assert said == f"In all {LEAST} calls in which the result is wrong, {words}." or (
        words.startswith("only entries") and not said)    # if no column, or every one, is negative


@given(rng=rngs)
def test_of_random_results_nothing_is_said(rng):
    assert of_wrong(lambda r, **_: rng.normal(size=r.shape), rng) == ""


@given(rng=rngs)
def test_what_is_true_of_a_few_results_or_of_some_is_not_said(rng):
    assert of_wrong(lambda r, **_: 2 * r, rng, LEAST - 1) == ""
    assert of_wrong(lambda r, w, **_: r * (2 if len(w) < LEAST else rng.uniform(3, 4, r.shape)), rng) == ""


def test_a_wrong_dtype_is_no_relation_between_numbers():
    """Zeros are the squares of zeros."""
    right = np.zeros(3)
    cases = [(guard.Call((), {}), [("value", right.astype(np.float32))], [("value", right)]) for _ in range(10)]
    guard.functions["tanh"] = np.tanh
    assert relation(find("tanh"), cases) == ""
    del guard.functions["tanh"]


def test_the_first_array_that_is_wrong_counts():
    """The gradient is wrong in all ten calls: in six of them because the value is, twice what it should be."""
    value, gradient = np.array([0, np.nan, 3.0]), np.array([1.0, 2])
    cases = [(guard.Call((), {}), [("value", value * (2 if n < 6 else 1)), ("gradient", gradient * (n + 2))],
              [("value", value), ("gradient", gradient)]) for n in range(10)]
    guard.functions["tanh"] = np.tanh
    assert relation(find("tanh"), cases) == "In all 6 calls in which the value is wrong, it is the right one times 2."
    del guard.functions["tanh"]


def of_calls(name, answer, arguments):
    """What is said of an answer to an exercise, for calls with these arguments."""
    exercise, calls = find(name), [guard.Call((), given) for given in arguments]
    guard.functions[name] = answer
    try:
        return relation(exercise, [(call, replayed(exercise, answer, call),
                                    replayed(exercise, load(exercise, None), call)) for call in calls])
    finally:
        del guard.functions[name]


STEPS = [{"t": np.arange(2, 9), "final": 0.7, "t_end": t_end, "t_start": 1.5, "initial": 0.1} for t_end in range(9, 17)]


@pytest.mark.parametrize("words, exchanged, t_0", [
    ("final and initial exchanged", True, 1), ("t_start=0.0, which is only the default", False, 0)])
def test_exchanged_and_unused_arguments_are_seen(words, exchanged, t_0):
    def answer(t, *, final, t_end, t_start=0.0, initial=0.0):
        final, initial, t_start = initial if exchanged else final, final if exchanged else initial, t_start * t_0
        return final - (final - initial) * (1 - np.clip((t - t_start) / (t_end - t_start), 0, 1)) ** 3

    assert of_calls("cubic_sparsity", answer, STEPS).endswith(f"it is the right one for {words}.")


def test_the_report_shows_it_below_no_diagnosis():
    told = {"diagnosis": None, "either": [], "share": 0.0, "relation": "In all 5 calls ..."}
    assert report._diagnosis(SimpleNamespace(tutor=told), find("tanh")) == ["", "  In all 5 calls ..."]
