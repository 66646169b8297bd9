"""Laws of a sweep: its results depend on the seed alone, and a failure says where."""
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyml.sweep import sweep


def noisy(capacity, rng):
    return capacity + rng.standard_normal(2)


def fails_at_three(capacity, rng):
    if capacity == 3:
        raise ArithmeticError("too much")
    return 0.0


@given(seed=st.integers(0, 2**31), repeats=st.integers(1, 4), n=st.integers(1, 5))
def test_results_do_not_depend_on_the_executor(seed, repeats, n):
    here = sweep(noisy, range(n), repeats=repeats, seed=seed)
    with ThreadPoolExecutor(3) as executor:
        there = sweep(noisy, range(n), repeats=repeats, seed=seed, executor=executor)
    assert here.shape == (repeats, n, 2)
    assert np.array_equal(here, there)


def test_processes_give_the_same_bits():
    here = sweep(noisy, [1, 2, 4], repeats=3, seed=7)
    with ProcessPoolExecutor(2) as executor:
        assert np.array_equal(here, sweep(noisy, [1, 2, 4], repeats=3, seed=7, executor=executor))


@given(seed=st.integers(0, 2**31))
def test_every_point_has_its_own_random_numbers(seed):
    draws = sweep(lambda capacity, rng: rng.random(), range(4), repeats=4, seed=seed)
    assert len(np.unique(draws)) == 16


def test_a_point_keeps_its_numbers_when_the_sweep_grows():
    assert np.array_equal(sweep(noisy, [1, 2], repeats=2, seed=0), sweep(noisy, [1, 2, 3], repeats=3, seed=0)[:2, :2])


@pytest.mark.parametrize("pool", [None, ThreadPoolExecutor])
def test_a_failure_names_its_point(pool):
    with pytest.raises(RuntimeError, match=r"sweep: .*ArithmeticError\('too much'\).* capacity 3, repeat 0") as caught:
        if pool is None:
            sweep(fails_at_three, [1, 3], repeats=2, seed=0)
        else:
            with pool(1) as executor:
                sweep(fails_at_three, [1, 3], repeats=2, seed=0, executor=executor)
    assert isinstance(caught.value.__cause__, ArithmeticError)


def test_a_failure_cancels_the_points_not_begun():
    begun, gate = [], threading.Event()

    def experiment(capacity, rng):
        begun.append(capacity)
        if capacity == 0:
            raise ArithmeticError("too much")
        gate.wait(60)

    with ThreadPoolExecutor(1) as executor:
        with pytest.raises(RuntimeError, match="capacity 0, repeat 0"):
            sweep(experiment, range(20), repeats=1, seed=0, executor=executor)
        gate.set()
    assert len(begun) <= 2    # the one that failed, and the one that the worker took up meanwhile


@pytest.mark.parametrize("arguments, message", [
    (dict(capacities=[], repeats=1), "sweep: capacities must hold at least one, got none"),
    (dict(capacities=[1], repeats=0), "sweep: repeats must be an int >= 1, got 0"),
])
def test_empty_sweeps_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        sweep(noisy, seed=0, **arguments)
