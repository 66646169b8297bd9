"""Which of the listed mistakes explains an answer: the one that gives its results, mostly."""
import re
import time
from dataclasses import dataclass

from tinyml.exercises.student.outcome import agree, raises, same_numbers
from tinyml.exercises.student.replay import SECONDS, differs, load, replayed, warned
from tinyml.exercises.walls import guard

PROBES = 10          # calls on which every mistake is tried; on the others, those that fit so far
NAMED = 0.75         # a mistake is named if it gives the student's result on this share of calls
FEW = 2              # calls that must agree if there are errors only
SEVERAL = 3          # mistakes of which an answer is said to be one
PARTLY = 0.5, 5      # or, as one of several, on this share of calls, and on so many
APART = 0.9          # or, in an answer that is right in some cases, on this share of the others


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
        wrong = load(exercise, mistake)
        if wrong is None:
            continue
        few = _agreement(exercise, wrong, probes, begun)
        if few.share < 0.5 and fitting or not few.n_explained:
            continue
        every = _agreement(exercise, wrong, seen, begun)
        if every.n_equal <= every.n_errors and not every.is_pattern_of_errors:
            continue
        if few.share >= 0.5 and every.share >= NAMED:
            fitting.append((-every.share, -every.n_explained, number))
        elif every.is_part or every.is_apart:
            partly.append((-every.share, -every.n_equal, number))
    likely = sorted(fitting or partly)
    if not likely:
        return [], 0.0
    best = {exercise.mistakes[number].why: number for *fit, number in reversed(likely)
            if fit == [*likely[0][:2]]}
    return sorted(best.values()), -likely[0][0]


def certain(numbers):
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
    if mine == warnings_of(load(exercise, None)):
        return [], 0.0
    for number, mistake in enumerate(exercise.mistakes):
        if time.process_time() - begun > SECONDS:
            break
        wrong = load(exercise, mistake)
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
    n_hidden: int = 0    # the mistake differs from the library, the answer does not
    n_values: int = 0      # calls on which both give a value
    n_reworded: int = 0    # both raise errors of one type, in other words

    @property
    def n_explained(self):
        """Calls on which the mistake explains the answer.

        An error in the student's own words is explained if all other calls are.
        """
        every = self.n_equal + self.n_reworded
        return every if every == self.n_relevant else self.n_equal

    @property
    def share(self):
        return self.n_explained / self.n_relevant if self.n_relevant else 0.0

    @property
    def is_pattern_of_errors(self):
        """Whether the answer raises where the mistake does, several times, and not elsewhere."""
        return FEW <= self.n_explained == self.n_relevant and FEW <= self.n_values

    @property
    def is_part(self):
        """Whether the mistake may be one of several in the answer, and explains half of it."""
        share, least = PARTLY
        n_values = self.n_equal - self.n_errors
        return not self.n_hidden and n_values >= least and self.share >= share

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
        found.n_hidden += mistaken and not differing
        found.n_values += not raises(mine) and not raises(theirs)
        if mistaken and differing and same_fault(mine, theirs, reference):
            found.n_equal += 1
            found.n_errors += raises(mine)
        elif mistaken and differing and raises(mine) and not raises(reference):
            found.n_reworded += agree(mine, theirs)    # of errors, the types are compared
    return found


def same_fault(mine, theirs, reference):
    """Whether two wrong outcomes show one fault.

    Of errors the words must agree, except for numbers in them; of values the numbers, if the
    mistake is more than a matter of dtype. Where the value itself is wrong, it decides: what else
    there is, such as gradients, follows from it in more than one way.
    """
    if raises(mine) or raises(theirs):
        said = [re.sub(r"[\d.]+", "0", str(result[0][1])) for result in (mine, theirs)]
        return raises(mine) and raises(theirs) and said[0] == said[1]
    if agree(mine, theirs):
        return True
    if same_numbers(mine, theirs):
        return not same_numbers(theirs, reference)
    first = [result[:1] for result in (mine, theirs, reference)]
    return same_numbers(first[0], first[1]) and not same_numbers(first[1], first[2])
