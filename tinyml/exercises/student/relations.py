"""What is true of every wrong result: it is the right one times 2, transposed, of other arguments.

Said if no listed mistake explains an answer. It is no guess, but a fact about all calls in which
the answer gives a wrong value: the first of `RELATIONS` that holds in every one.
"""
import inspect
import re
from functools import partial
from itertools import combinations
from operator import itemgetter

import numpy as np

from tinyml.exercises.student.outcome import CLOSE, close, draws, named, raises
from tinyml.exercises.student.replay import load, replayed
from tinyml.exercises.walls import guard

LEAST = 5        # calls in which a relation must hold
CHANGED = 12     # calls that are made again with other arguments
DIGITS = 4       # of a factor or term


def relation(exercise, cases, exact=False):
    """A sentence that is true of all wrong values in (call, mine, reference) cases, or ''.

    Only one that tells all numbers of the wrong results, if it must be `exact`.
    """
    place, wrong = _wrong_values(cases)
    by_chance = any(draws(load(exercise, None), call) for call, _, _ in wrong[:LEAST])
    if len(wrong) < LEAST or by_chance:    # right answers may draw in another order
        return ""
    with np.errstate(all="ignore"):
        found = next((words for rule in (EXACT if exact else RELATIONS) for words in rule(wrong, exercise, place)), "")
    what = f"the {place}" if place.isalpha() else place
    return f"In all {len(wrong)} calls in which {what} is wrong, {found}." if found else ""


def _wrong_values(cases):
    """(place, [(call, mine, right)]): where results are wrong most often, and the arrays there."""
    groups = {}
    for call, mine, right in cases:
        if raises(mine) or raises(right):
            continue
        got = {_place(what): array for what, array in mine}
        for what, array in right:
            other = got.get(_place(what))
            if other is not None and not close(other, array):    # not in its dtype alone
                if {other.dtype.kind, array.dtype.kind} <= set("biuf"):
                    groups.setdefault(_place(what), []).append((call, other, array))
                break    # the first difference: others follow from it
    return max(groups.items(), key=lambda group: len(group[1]), default=("", []))


def _place(what):
    """Where an array of an outcome is, without the random gradient that it belongs to."""
    what = re.sub(r" for g = .*", "", what, flags=re.DOTALL)
    return f"result{what}" if what.startswith(("[", ".")) else what


# ------------------------------------------------------------ a function of the right result

FUNCTIONS = {
    "not the right one: True and False are exchanged": np.logical_not,
    "the square of the right one": np.square,
    "the square root of the right one": np.sqrt,
    "1 / the right one": lambda x: 1 / x,
    "1 - the right one": lambda x: 1 - x,
    "the absolute value of the right one": np.abs,
    "the right one, and 0 where that is negative": lambda x: np.maximum(x, 0),
    "e to the power of the right one": np.exp,
    "the logarithm of the right one": np.log,
    "the right one without its fraction": np.trunc,
    "the right one transposed": np.transpose,
}


def _functions(wrong, exercise, place):
    of_bool = all(right.dtype.kind == "b" for _, _, right in wrong)
    for words, function in FUNCTIONS.items():
        if of_bool == (function is np.logical_not) and _holds(wrong, function):
            yield f"it is {words}"


def _orders(wrong, exercise, place):
    """The same entries at other places, or one too few or too many."""
    ndim = min(min(mine.ndim, right.ndim) for _, mine, right in wrong)
    for axis in range(-ndim, 0):
        along = f"along axis {axis}" if ndim > 1 else "along its axis"
        if _holds(wrong, partial(np.flip, axis=axis)):
            yield f"it is the right one reversed {along}"
        if any(_holds(wrong, partial(np.roll, shift=by, axis=axis)) for by in (1, -1)):
            yield f"its entries are moved by one place {along}"
        for words, cut in (("first", slice(1, None)), ("last", slice(None, -1))):
            rest = itemgetter((..., cut, *[slice(None)] * (-1 - axis)))
            if _holds(wrong, rest):
                yield f"the {words} entries {along} are missing"
            if _holds(wrong, np.asarray, rest):
                yield f"it has entries too many {along}: the {words}"
    shapes_differ = all(mine.shape != right.shape for _, mine, right in wrong)
    if shapes_differ and _holds(wrong, np.ravel, np.ravel):
        yield "its numbers are right, but its shape is not"
    if _holds(wrong, _in_order, _in_order):
        yield "its numbers are right, but in another order"


def _in_order(array):
    return np.sort(array, axis=None)


def _holds(wrong, of_right, of_mine=np.asarray):
    return all(_near(of_mine(mine), of_right(right)) for _, mine, right in wrong)


# ------------------------------------------------------------ times and plus a number

POWERS = {    # of a number n of the call
    "times {}": lambda n: n, "divided by {}": lambda n: 1 / n,
    "times the square of {}": lambda n: n * n, "divided by the square of {}": lambda n: 1 / n ** 2,
    "times the root of {}": lambda n: n ** 0.5, "divided by the root of {}": lambda n: n ** -0.5,
    "times n / (n - 1), where n is {}": lambda n: n / (n - 1),
    "times (n - 1) / n, where n is {}": lambda n: (n - 1) / n,
    "times 1 - {}": lambda n: 1 - n, "divided by 1 - {}": lambda n: 1 / (1 - n),
}
SUMS = {"plus {}": lambda n: n, "minus {}": lambda n: -n}


def _constants(wrong, exercise, place):
    values = np.unique([value for _, mine, _ in wrong for value in mine.flat])
    if len(values) == 1 and all((mine == values[0]).all() for _, mine, _ in wrong):
        yield f"every entry of it is {values[0]:.{DIGITS}g}"
    pairs = _same_shapes(wrong)
    if not pairs:
        return
    factor, term = _factor_and_term(pairs[0])
    if all(_near(mine, right * factor) for mine, right in pairs):
        yield f"it is the right one times {factor:.{DIGITS}g}"
    if all(_near(mine, right + term) for mine, right in pairs):
        sign = "plus" if term > 0 else "minus"
        yield f"it is the right one {sign} {abs(term):.{DIGITS}g}"


def _up_to_a_number(wrong, exercise, place):
    pairs = _same_shapes(wrong)
    if sum(right.size > 1 for _, right in pairs) < LEAST:
        return
    factors, terms = zip(*map(_factor_and_term, pairs))
    for operation, words, numbers in ((np.multiply, "times", factors), (np.add, "plus", terms)):
        if all(_near(mine, operation(right, n)) for (mine, right), n in zip(pairs, numbers)):
            yield f"it is the right one {words} a number, which is another one in each call"


def _same_shapes(wrong):
    """(mine, right) as floats; none if a shape differs, or if they are of True and False."""
    if any(mine.shape != right.shape or right.dtype.kind == "b" for _, mine, right in wrong):
        return []
    return [(mine.astype(float), right.astype(float)) for _, mine, right in wrong]


def _factor_and_term(pair):
    """What the largest entry of the right array is multiplied by, and what is added to it."""
    mine, right = pair
    size = np.where(np.isfinite(right), np.abs(right), -1)
    place = np.unravel_index(np.argmax(size), size.shape)
    return mine[place] / right[place], mine[place] - right[place]


def _numbers_of_calls(wrong, exercise, place):
    """Factors and terms that are numbers of the call: an argument, or a length of an axis."""
    numbers = [_numbers(exercise, call, right) for call, _, right in wrong]
    shared = [name for name in numbers[0] if all(name in other for other in numbers)
              and len({other[name] for other in numbers}) > 1]
    for name in shared:
        for operations, combine in ((POWERS, np.multiply), (SUMS, np.add)):
            for words, function in operations.items():
                values = [function(np.float64(other[name])) for other in numbers]
                if all(_near(mine, combine(right, value))
                       for (_, mine, right), value in zip(wrong, values)):
                    yield f"it is the right one {words.format(name)}"


def _numbers(exercise, call, right):
    found = {}
    for name, value in named(guard.functions[exercise.name], call.args, call.kwargs).items():
        value = getattr(value, "data", value) if hasattr(value, "backward") else value
        if isinstance(value, (int, float, np.number)) and not isinstance(value, bool):
            found[name] = float(value)
        if isinstance(value, np.ndarray) and value.ndim:
            found |= {f"the length of axis {i} of {name}": n for i, n in enumerate(value.shape)}
            found[f"the number of entries of {name}"] = value.size
    return found | {f"the length of axis {i} of the result": n for i, n in enumerate(right.shape)}


# ------------------------------------------------------------ where it is wrong

SIGNS = {"0": np.equal, "negative": np.less, "positive": np.greater, "not 0": np.not_equal}


def _places(wrong, exercise, place):
    """Where all wrong entries are: in the first or last place along an axis, where it is 0."""
    if any(mine.shape != right.shape or right.size < 2 for _, mine, right in wrong):
        return
    rtol, atol = CLOSE["float32"]
    apart = [~np.isclose(mine, right, rtol=rtol, atol=atol, equal_nan=True)
             for _, mine, right in wrong]
    for words, is_so in SIGNS.items():
        inside = [is_so(right, 0) for _, _, right in wrong]
        if not all(map(np.all, inside)) and not any(
                (a & ~i).any() for a, i in zip(apart, inside)):
            yield f"only entries that should be {words} are wrong"
    ndim = min(right.ndim for _, _, right in wrong)
    for axis in range(-ndim, 0):
        for words, index in (("first", 0), ("last", -1)):
            if all(a.shape[axis] > 1 and not np.delete(a, index, axis).any() for a in apart):
                yield f"only its {words} entries along axis {axis} are wrong"


# ------------------------------------------------------------ arguments: exchanged, not used

def _arguments(wrong, exercise, place):
    """What the library gives for two arguments exchanged, or for one left at its default."""
    reference = load(exercise, None)
    some = wrong[::max(1, len(wrong) // CHANGED)][:CHANGED]
    calls = [(named(reference, call.args, call.kwargs), mine) for call, mine, _ in some]
    if guard.is_method(reference):
        return
    names = [name for name in calls[0][0] if all(name in given for given, _ in calls)]

    def is_for(change):
        return all(_near(mine, _given(exercise, {**given, **change(given)}, place))
                   for given, mine in calls)

    for first, second in combinations(names, 2):
        if is_for(lambda given, a=first, b=second: {a: given[b], b: given[a]}):
            yield f"it is the right one for {first} and {second} exchanged"
    for name, parameter in inspect.signature(reference).parameters.items():
        if name in names and is_for(lambda given, p=parameter: {p.name: p.default}):
            yield (f"it is the right one for {name}={parameter.default!r}, "
                   "which is only the default")


def _given(exercise, arguments, place):
    """What the library gives for these arguments, at a place of its outcome."""
    result = replayed(exercise, load(exercise, None), guard.Call((), arguments))
    return next((array for what, array in result if _place(what) == place), np.array("none"))


def _near(first, second):
    """Whether the numbers are the same except for rounding, in whatever dtype."""
    return first.shape == second.shape and close(first, second)


EXACT = _functions, _constants, _numbers_of_calls, _arguments
RELATIONS = *EXACT, _orders, _places, _up_to_a_number
