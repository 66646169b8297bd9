"""Which mistake an answer shows that draws its random numbers in an order of its own.

Its results are then never those of the library, draw by draw, whether it is right or wrong. But
they have a distribution: that of the library if it is right, that of a mistake if it makes it. So
calls are made again, with many generators each, and statistics of the results are compared, in
standard errors:

    z = (mean of one sample - mean of the other) / sqrt(s1^2 / K + s2^2 / K)
"""
import time
from itertools import combinations

import numpy as np

from tinyml.exercises.student.outcome import arrived, draws, flatten, named
from tinyml.exercises.student.replay import load, replayed
from tinyml.exercises.walls import guard

FEW, CALLS = 40, 12    # generators, for each of so many calls
MANY, WORST = 400, 3   # and for those on which the answer is furthest from the library
SAME = 6               # standard errors between two samples of one distribution, at most
OTHER = 8              # and between an answer that is named and the library, at least
ENTRIES = 300          # of a result and of the arguments after it, at most
WAVES = 12
SECONDS = 3.0          # of computing, for all mistakes


def likely(exercise, calls):
    """The numbers of the mistakes whose results are distributed as those of the answer.

    None if the answer is distributed as the library's function is, or if there is no time.
    """
    end = time.process_time() + SECONDS
    mine, library = guard.functions[exercise.name], load(exercise, None)
    calls = _varied(exercise, library, calls)
    samples = [_Sample(call, FEW, library, end) for call in calls]
    apart = [sample.distance(mine, library) for sample in samples]
    worst = np.argsort(apart, kind="stable")[::-1][:WORST]
    samples += [_Sample(calls[i], MANY, library, end) for i in worst]
    if not any(sample.distance(mine, library) > OTHER for sample in samples[len(calls):]):
        return []
    found = {}
    for number, mistake in enumerate(exercise.mistakes):
        wrong = load(exercise, mistake)
        if wrong and all(sample.distance(mine, wrong) < SAME for sample in samples):
            found.setdefault(mistake.why, number)
    return sorted(found.values()) if time.process_time() < end else []


def _varied(exercise, library, calls):
    """Calls that draw random numbers, of different sizes, the larger ones first."""
    sized = {}
    for call in calls:
        if not any(map(_is_generator, [*call.args, *call.kwargs.values()])):
            continue
        size = sum(array.size for _, array in replayed(exercise, library, call))
        if size <= ENTRIES:
            sized.setdefault((size, str(_numbers(call))), call)
    kept = [sized[key] for key in sorted(sized, reverse=True)]
    some = kept[::max(1, len(kept) // (2 * CALLS))]
    return [call for call in some if draws(library, call)][:CALLS]


def _numbers(call):
    values = [*call.args, *call.kwargs.values()]
    return [value for value in values if isinstance(value, (int, float))]


def _is_generator(value):
    return isinstance(value, np.random.Generator)


class _Sample:
    """A call, made with many generators: with an answer, the library, a mistake."""

    def __init__(self, call, n, library, end):
        self.call, self.n, self.end, self.known = call, n, end, {}
        given = named(library, call.args, call.kwargs).values()
        self.given = [np.asarray(value) for value in given
                      if isinstance(value, (int, float, np.ndarray, np.generic))]

    def distance(self, one, other):
        """The largest z of all statistics; infinite if the results have other shapes.

        An error, or no time left, is no evidence: the distance from an answer is then 0, and from
        a mistake infinite.
        """
        first, second = self._statistics(one), self._statistics(other)
        if first is None:
            return 0.0
        return np.inf if second is None else z(first, second)

    def _statistics(self, function):
        if function not in self.known:
            self.known[function] = self._measured(function)
        return self.known[function]

    def _measured(self, function):
        results = []
        for seed in range(self.n):
            if time.process_time() > self.end:
                return None
            try:
                results.append(self._result(function, seed))
            except Exception:    # errors are for the other diagnosis
                return None
        if len({len(arrays) for arrays in results}) > 1:
            return None
        return statistics(list(zip(*results)), self.given)

    def _result(self, function, seed):
        """The arrays that a call gives with a new generator."""
        def renewed(value):
            return np.random.default_rng(seed) if _is_generator(value) else value
        args = tuple(map(renewed, self.call.args))
        kwargs = {name: renewed(value) for name, value in self.call.kwargs.items()}
        args, kwargs = arrived(function, guard.Call(args, kwargs, self.call.earlier))
        return [array for _, array in flatten("", function(*args, **kwargs))]


# ------------------------------------------------------------ statistics

def statistics(results, given):
    """A row of numbers for each generator.

    `results` holds, for each array of a result, what it is with each generator. What is compared
    are its moments and neighbours, how many values and rows it has, and where it is equal to an
    argument.
    """
    columns, stacked = [], []
    for arrays in results:
        if any(array.dtype.kind not in "biuf" for array in arrays):
            continue
        arrays = [np.nan_to_num(np.asarray(array, float), posinf=0, neginf=0) for array in arrays]
        columns += [[array.ndim for array in arrays], [array.size for array in arrays],
                    [array.sum() for array in arrays]]
        if len({array.shape for array in arrays}) == 1 and arrays[0].size:
            stacked.append(np.array(arrays))
    marks = [(x == other).astype(float) for x in stacked for other in given
             if other.ndim == 0 or other.shape == x.shape[1:]]
    columns = [np.array(column, float)[:, None] for column in columns]
    for x in stacked + marks:
        columns += _moments(x)
    for x, y in combinations(stacked + marks, 2):
        if x.shape == y.shape:
            columns.append(_mean(x * y))
    rows = [x.reshape(len(x), -1, x.shape[-1]) for x in stacked if x.ndim > 2]
    for width in {x.shape[-1] for x in rows}:
        columns += _distinct(np.concatenate([x for x in rows if x.shape[-1] == width], axis=1))
    return np.concatenate(columns, axis=1) if columns else None


def _moments(x):
    """Of an array of each generator: entries, mean, spread, ends, neighbours, waves of rows."""
    flat = x.reshape(len(x), -1)
    columns = [flat, _mean(x), _mean(x * x), flat.min(axis=1, keepdims=True),
               flat.max(axis=1, keepdims=True), _distinct(flat[:, :, None])[0]]
    for axis in (axis for axis in range(1, x.ndim) if x.shape[axis] > 1):
        ahead, behind = (np.delete(x, end, axis) for end in (0, -1))
        columns += [_mean(ahead * behind), _mean((ahead - behind) ** 2), _mean(x.sum(axis) ** 2)]
    n = x.shape[-1] if x.ndim > 1 else 1
    waves = np.random.default_rng(0).normal(size=(n, WAVES)) / n ** 0.5
    rows = x.reshape(len(x), -1, n)
    return [*columns, np.cos(rows @ waves).mean(axis=1), np.cos(np.pi * rows @ waves).mean(axis=1)]


def _mean(x):
    return x.reshape(len(x), -1).mean(axis=1, keepdims=True)


def _distinct(rows):
    """How many different rows there are, for each generator; then, in whatever order of entries."""
    weights = np.random.default_rng(1).normal(size=rows.shape[-1])
    codes = rows @ weights, np.sin(rows + 1).sum(axis=-1)
    steps = [np.diff(np.sort(code, axis=1), axis=1) > 1e-9 for code in codes]
    return [1.0 + step.sum(axis=1, keepdims=True) for step in steps]


def z(first, second):
    """The largest difference of two samples, in means and in variances, in standard errors."""
    if first.shape[1] != second.shape[1]:
        return np.inf
    centre = np.concatenate([first, second]).mean(axis=0)
    first, second = (np.hstack([x, (x - centre) ** 2]) for x in (first, second))
    difference = np.abs(first.mean(axis=0) - second.mean(axis=0))
    error = np.sqrt(first.var(axis=0) / len(first) + second.var(axis=0) / len(second))
    counts = difference > 1e-9 * (1 + np.abs(first).max(axis=0))    # more than rounding
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.where(counts, difference / error, 0).max(initial=0))
