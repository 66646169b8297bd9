"""Why an answer fails: an input on which it is wrong, what was expected, and which mistake it is.

The calls of the student's function were recorded. They are replayed with the student's function,
with the library's, and with the library's after each of the listed mistakes (`replay`). A call in
a failed test on which the first two differ is a counter-example (`example`). The mistake that gives
the student's results, on most of the inputs that tell the three apart, is the diagnosis
(`diagnosis`); or, of functions that draw random numbers, that of the same distribution (`chance`).
If there is none, what is true of all wrong results is said (`relations`).
"""
import time

from tinyml.exercises.student import chance
from tinyml.exercises.student.diagnosis import NAMED, certain, diagnose
from tinyml.exercises.student.example import in_words, instructive, of_warnings
from tinyml.exercises.student.outcome import alike, draws, raises
from tinyml.exercises.student.relations import relation
from tinyml.exercises.student.replay import SECONDS, load, quiet, replays
from tinyml.exercises.walls import guard

FEW = 10    # calls in failed executions that count for the diagnosis, and as many that may be shown


def explain(exercise, watcher, seed, same, calls=None):
    """What can be said about a failed check, as plain data: example, diagnosis, seed.

    `same` tells whether two outcomes are equal enough: `agree`, or `alike`. `calls` are replayed,
    after those in which a test failed; if there are none, all that were recorded. Most of those
    in which a test failed are alike: beside `calls`, `FEW` of them count for the diagnosis, and
    the last ones, the smallest, may be shown.
    """
    begun, failing = time.process_time(), list(watcher.failing)
    smallest = set()
    if calls:
        counted, last = failing[::len(failing) // FEW + 1], failing[-FEW:]
        failing, smallest = counted + last, set(map(id, last)) - set(map(id, counted))
    calls = list({id(call): call for call in
                  [*reversed(failing), *(calls or reversed(guard.records))]}.values())
    with quiet():
        try:
            seen = replays(exercise, calls, SECONDS / 2)
        except Exception:    # the answer was never called, or it fails outside of its function
            return {"seed": seed}
        wrong = [case for case in seen if not same(case[1], case[2])]
        forbidden = [case for case in wrong if not failing or any(case[0] is c for c in failing)]
        evidence = [case for case in seen if id(case[0]) not in smallest]
        numbers, share = diagnose(exercise, evidence, begun)
        if wrong and not numbers:
            numbers = chance.likely(exercise, calls)
            share = NAMED if numbers else 0.0
        number, either = certain(numbers)
        named = number is not None or bool(either)
        relates = "" if share >= NAMED else relation(exercise, wrong, exact=named)
        if relates:    # a fact is more than a likely mistake
            number, either = None, []
    chosen = instructive(exercise, forbidden, number) if forbidden else None
    example = in_words(exercise, chosen) if forbidden else None
    example = example or of_warnings(exercise, watcher, failing)
    always = bool(seen) and all(raises(mine) and not raises(other) for _, mine, other in seen)
    return {"seed": seed, "differ": len(wrong), "replayed": len(seen), "raises": always,
            "example": example, "diagnosis": number, "either": either, "share": round(share, 3),
            "relation": relates}


def beyond_laws(exercise):
    """What is wrong with an answer that passes all tests, in words, or nothing.

    A test that compares by broadcasting misses an additional axis, and a test of a single draw
    misses that every draw is the same. Values are left to the tests: right answers may differ in
    signs, ties and last digits.
    """
    with quiet():
        seen = replays(exercise, list(guard.records), SECONDS / 6)
        if any(not alike(mine, other) for _, mine, other in seen if not raises(other)):
            return "a result has other axes, or another kind of number, than the library's"
        mine, reference = guard.functions[exercise.name], load(exercise, None)
        calls = [call for call, _, _ in seen]
        drawn = any(draws(reference, call) for call in calls)
        if drawn and not any(draws(mine, call) for call in calls):
            return "it never draws from the generator that it is given"
        return ""
