"""Laws of a sweep: its results depend on the seed alone, and a failure says where."""
import os
import sys
import threading
import time
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor, ThreadPoolExecutor

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


class Queue:
    """The least that an executor is: submit. When it holds `full` tasks, the first `n_run` run."""

    def __init__(self, full, n_run):
        self.futures, self.tasks, self.full, self.n_run = [], [], full, n_run

    def submit(self, function, *arguments):
        self.futures.append(Future())
        self.tasks.append((function, arguments))
        if len(self.futures) == self.full:
            for future, task in zip(self.futures[:self.n_run], self.tasks):
                self.run(future, *task)
        return self.futures[-1]

    def run(self, future, function, arguments):
        future.set_running_or_notify_cancel()
        try:
            future.set_result(function(*arguments))
        except BaseException as error:
            future.set_exception(error)


class AtOnce(Queue):
    """An executor that runs each task as it is submitted."""

    def __init__(self):
        super().__init__(0, 0)

    def submit(self, function, *arguments):
        future = super().submit(function, *arguments)
        self.run(future, function, arguments)
        return future


@given(seed=st.integers(0, 2**31), n=st.integers(1, 5))
def test_an_executor_needs_submit_alone(seed, n):
    here = sweep(noisy, range(n), repeats=2, seed=seed)
    assert np.array_equal(here, sweep(noisy, range(n), repeats=2, seed=seed, executor=AtOnce()))


def test_an_executor_without_a_queue_stops_at_the_first_failure():
    executor = AtOnce()
    with pytest.raises(RuntimeError, match="capacity 3, repeat 0"):
        sweep(fails_at_three, range(20), repeats=1, seed=0, executor=executor)
    assert len(executor.futures) == 4


KEPT = []


class Stop(BaseException):
    """No Exception, as KeyboardInterrupt and GeneratorExit are none."""


def interrupting(iterable, label, total):
    KEPT.append(iterable)    # so that only the sweep itself can close it
    yield next(iter(iterable))
    raise KeyboardInterrupt


def stopping(iterable, label, total):
    KEPT.append(iterable)
    for result in iterable:
        yield result
        raise Stop


def ragged(capacity, rng):
    return np.zeros(capacity)


@pytest.mark.parametrize("experiment, progress, error", [
    (noisy, interrupting, KeyboardInterrupt), (noisy, stopping, Stop),
    (fails_at_three, None, RuntimeError),
    (ragged, None, ValueError), (lambda capacity, rng: "words", None, TypeError),
])
def test_whatever_ends_a_sweep_cancels_the_points_not_begun(monkeypatch, experiment, progress,
                                                            error):
    if progress:
        monkeypatch.setattr("tinyml.sweep.progress", progress)
    executor = Queue(20, 3)
    with pytest.raises(error):
        sweep(experiment, range(3, 23), repeats=1, seed=0, executor=executor)
    assert all(future.cancelled() for future in executor.futures[3:])


@pytest.mark.parametrize("closing", ["close", "collect"])
def test_a_generator_that_is_left_cancels_too(closing):
    from tinyml.sweep import _run
    executor = Queue(5, 1)
    jobs = {f"point {i}": (noisy, i, [0, i]) for i in range(5)}
    run = _run(jobs, executor)
    for _ in run:
        break
    if closing == "close":
        run.close()
    del run
    assert all(future.cancelled() for future in executor.futures[1:])


def test_an_interrupt_is_no_failure_of_the_experiment():
    def interrupted(capacity, rng):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), ThreadPoolExecutor(1) as executor:
        sweep(interrupted, [1, 2], repeats=1, seed=0, executor=executor)


@pytest.mark.parametrize("executor", [None, AtOnce()])
def test_an_experiment_that_ends_python_is_a_failure(executor):
    with pytest.raises(RuntimeError, match=r"got SystemExit\(3\) at capacity 1, repeat 0"):
        sweep(lambda capacity, rng: sys.exit(3), [1, 2], repeats=1, seed=0, executor=executor)


def ends_its_worker(capacity, rng):
    if capacity == 7:
        os._exit(3)
    time.sleep(5 if capacity == 6 else 0.002)    # the other worker is busy, and ends with the pool
    return 0.0


def test_a_dead_worker_is_blamed_on_what_the_workers_had_in_hand():
    """Of 60 points at most 2 run and 3 wait behind them: these are named, the guilty one too."""
    with pytest.raises(RuntimeError, match="one that died .* while it ran one of: ") as caught:
        with ProcessPoolExecutor(2) as executor:
            sweep(ends_its_worker, range(60), repeats=1, seed=0, executor=executor)
    blamed = str(caught.value).split("one of: ")[1].split("; ")
    assert "capacity 7, repeat 0" in blamed and len(blamed) <= 5


def lists(capacity, rng):
    return [[1.0], [1.0, 2.0]] if capacity == 2 else [[1.0], [2.0]]


@pytest.mark.parametrize("experiment, kind, message", [
    (ragged, ValueError, r"got \(1,\) at capacity 1, repeat 0 and \(2,\) at capacity 2, repeat 0"),
    (lists, ValueError, "must return an array, got .* at capacity 2, repeat 0"),
    (lambda capacity, rng: None, TypeError, "must return numbers, got None at capacity 1, repeat 0"),
    (lambda capacity, rng: {"risk": 1}, TypeError, "must return numbers, got {'risk': 1} at cap"),
])
def test_results_of_other_shapes_are_refused_with_their_point(experiment, kind, message):
    with pytest.raises(kind, match=f"^sweep: experiment {message}" if kind is TypeError else message):
        sweep(experiment, [1, 2], repeats=2, seed=0)


@pytest.mark.parametrize("arguments, message", [
    (dict(capacities=[], repeats=1), "sweep: capacities must hold at least one, got none"),
    (dict(capacities=[1], repeats=0), "sweep: repeats must be an int >= 1, got 0"),
    (dict(capacities=iter([]), repeats=1), "sweep: capacities must hold at least one, got none"),
    (dict(capacities=[1], repeats=1, seed=-1), "sweep: seed must be >= 0, got -1"),
])
def test_empty_sweeps_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        sweep(noisy, **{"seed": 0, **arguments})


def test_a_pool_that_takes_nothing_is_not_an_empty_sweep():
    class Dead:
        def submit(self, *job):
            raise BrokenExecutor("its workers died before")
    with pytest.raises(BrokenExecutor, match="died before"):
        sweep(noisy, [1, 2], repeats=1, seed=0, executor=Dead())
