"""Answers that draw in an order of their own: their mistakes are told from distributions."""
import re
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from strategies import rngs

from tinyml.exercises.catalogue import find
from tinyml.exercises.student import chance, report, tutor
from tinyml.exercises.student.outcome import agree
from tinyml.exercises.walls import guard

EXERCISE = find("random_mask")


def calls_of(seed):
    rng = np.random.default_rng(seed)
    amounts = rng.uniform(0.2, 0.8, 2)
    return [guard.Call((shape,), {"amount": amount, "rng": np.random.default_rng(0)})
            for shape, amount in zip([(3, 4), (20,)], amounts)]


def likely(answer, seed, monkeypatch):
    """Why an answer to random_mask is wrong, as far as it shows in distributions."""
    monkeypatch.setitem(guard.functions, "random_mask", answer)
    return [EXERCISE.mistakes[number].why for number in chance.likely(EXERCISE, calls_of(seed))]


def with_pruned(choose):
    """The answer that prunes choose(d, n_pruned, rng) of d weights."""
    def answer(shape, *, amount, rng):
        mask = np.ones(shape, bool)
        mask.ravel()[choose(mask.size, round(amount * mask.size), rng)] = False
        return mask
    return answer


ANSWERS = {    # places to prune, drawn as the library does not -> how each why begins
    "right": (lambda d, n, rng: rng.random(d).argsort()[:n], None),
    "right, one by one": (lambda d, n, rng: sorted(range(d), key=lambda i: rng.random())[:n], None),
    "with replacement": (lambda d, n, rng: (rng.random(n) * d).astype(int), "Places drawn with replacement"),
    "the rest": (lambda d, n, rng: rng.random(d).argsort()[n:], "True marks|amount is the fraction to prune"),
    "a coin each": (lambda d, n, rng: rng.random(d) > 1 - n / d, "A coin for each weight"),
    "the first": (lambda d, n, rng: np.arange(n), "You always prune the first"),
    "neighbours, not listed": (lambda d, n, rng: (np.arange(n) + rng.integers(d)) % d, None),
    "all but the first, not listed": (lambda d, n, rng: 1 + rng.permutation(d - 1)[:n], None),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_a_mistake_is_told_from_the_distribution_of_results(name, monkeypatch):
    choose, why = ANSWERS[name]
    said = likely(with_pruned(choose), 0, monkeypatch)
    assert len(said) == (why.count("|") + 1 if why else 0) and all(re.match(why, words) for words in said)


def test_the_tutor_says_that_it_is_likely(monkeypatch):
    monkeypatch.setitem(guard.functions, "random_mask", with_pruned(ANSWERS["with replacement"][0]))
    monkeypatch.setattr(guard, "records", calls_of(0))
    told = tutor.explain(EXERCISE, SimpleNamespace(failing=[], errors={}), 0, agree)
    words = report._diagnosis(SimpleNamespace(tutor=told), EXERCISE)
    assert words[1].startswith("  Most likely: Places drawn with replacement")


def test_errors_are_no_evidence(monkeypatch):
    def answer(shape, *, amount, rng):
        raise ValueError("no")
    assert likely(answer, 0, monkeypatch) == []


@settings(max_examples=8)
@given(rngs)
def test_samples_of_one_distribution_are_near_and_of_two_are_not(rng):
    """For 6 standard errors by chance: 1e-6, over some hundred statistics."""
    weights = rng.random(7)

    def sample(n_ones):
        draws = [(rng.random(7) * weights).argsort() < n_ones for _ in range(chance.MANY)]
        return chance.statistics([tuple(draws)], [np.array(1)])

    two, again, three = sample(2), sample(2), sample(3)
    assert chance.z(two, again) < chance.SAME and chance.z(two, three) > chance.OTHER


@given(rngs)
def test_results_of_other_shapes_are_infinitely_far(rng):
    one = chance.statistics([tuple(rng.random((9, 2, 3)))], [])
    other = chance.statistics([tuple(rng.random((9, 3, 3)))], [])
    assert chance.z(one, other) == np.inf and chance.z(one, one) == 0
