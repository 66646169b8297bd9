"""Sweeps: one experiment at every capacity and every seed, on one core, all cores, or a cluster.

A cluster of Dask (``pip install "dask[distributed]"``), here in a script ``risk.py``:

    from dask.distributed import Client
    from tinyml.synthetic import make_linear
    from tinyml.interpolation.min_norm import min_norm
    from tinyml.sweep import sweep

    def risk(p, rng):
        X, y, beta = make_linear(40, p, sigma=0.5, rng=rng)
        return ((min_norm(X, y) - beta) ** 2).sum()

    if __name__ == "__main__":
        with Client("scheduler:8786") as client:    # Client() starts a cluster on this machine
            risks = sweep(risk, [10, 20, 40, 80], repeats=100, seed=0,
                          executor=client.get_executor())

The scheduler and its workers are started by ``dask scheduler`` and, on each machine, ``dask worker
scheduler:8786 --nthreads 1 --nworkers 8``. Workers need tinyml, and the modules that the
experiment imports; what the script itself defines is sent to them. With an executor of MPI the
script differs in one line, ``with MPIPoolExecutor() as executor:``, and is run by ``mpiexec -n 9
python -m mpi4py.futures risk.py``.
"""
from concurrent.futures import BrokenExecutor, as_completed
from contextlib import closing, contextmanager

import numpy as np

from tinyml.check import check_number, check_sizes
from tinyml.progress import progress


def sweep(experiment, capacities, *, repeats, seed, executor=None, label="sweep"):
    """Run experiment(capacity, rng) at every capacity, `repeats` times, and collect the results.

    Every point of the sweep has a generator of its own, made from `seed` and the point's place. So
    the results do not depend on the executor, on the number of workers, or on the order in which
    the points end.

    Parameters
    ----------
    experiment : function (capacity, rng) -> number, or array of numbers, of one shape at all
        points. With a process pool or a cluster it must be importable: at the top of a module, or
        a `functools.partial` of such.
    capacities : sequence, what the experiment takes: a number, a tuple of settings ...
    repeats : int >= 1
    seed : int >= 0
    executor : concurrent.futures.Executor or None
        None runs the points here, one after the other. ``ProcessPoolExecutor()`` uses every core
        (give each worker one BLAS thread: OPENBLAS_NUM_THREADS=1); those of Dask and MPI use a
        cluster, as above. One of your own needs only ``submit``, which returns a
        ``concurrent.futures.Future``.
    label : str, in front of the progress line

    Returns
    -------
    ndarray, shape (repeats, len(capacities), ...) : axis 0 the seeds, ready for a band over them

    Raises
    ------
    RuntimeError : an experiment failed; the message names its capacity and repeat, the cause is
        attached. Or a worker process died; the message names the points that the workers were
        running.
    ValueError : repeats < 1, no capacities, or results of different shapes, with the points that
        gave them
    TypeError : a result that is not numbers

    If a sweep ends early, by such an error or by Ctrl-C, points that have not begun are cancelled.

    >>> def risk(capacity, rng):
    ...     return capacity + rng.standard_normal()
    >>> sweep(risk, [1, 2, 4], repeats=5, seed=0).shape
    (5, 3)
    """
    check_sizes("sweep", repeats=repeats)
    check_number("sweep", "seed", seed, at_least=0)
    capacities = list(capacities)
    if not capacities:
        raise ValueError("sweep: capacities must hold at least one, got none")
    points = [(repeat, i) for repeat in range(repeats) for i in range(len(capacities))]
    names = {(repeat, i): f"capacity {capacities[i]!r}, repeat {repeat}" for repeat, i in points}
    jobs = {names[point]: (experiment, capacities[point[1]], [seed, *point]) for point in points}
    results = {}
    with closing(_run(jobs, executor)) as run:
        for name, result in progress(run, label, total=len(points)):
            results[name] = _numbers(name, result)
            first = next(iter(results))
            if results[name].shape != results[first].shape:
                raise ValueError(f"sweep: experiment must return arrays of one shape, got "
                                 f"{results[first].shape} at {first} and {results[name].shape} at "
                                 f"{name}")
    in_order = np.array([results[names[point]] for point in points])
    return in_order.reshape(repeats, len(capacities), *in_order.shape[1:])


def _numbers(name, result):
    """What an experiment returned, as an array of numbers, or an error that names the point."""
    try:
        array = np.asarray(result)
    except ValueError as error:    # lists of unequal lengths
        raise ValueError(f"sweep: experiment must return an array, got {error} at "
                         f"{name}") from error
    if array.dtype.kind not in "biufc":
        raise TypeError(f"sweep: experiment must return numbers, got {result!r:.60} at {name}")
    return array


def _point(experiment, capacity, entropy):
    return experiment(capacity, np.random.default_rng(entropy))


def _run(jobs, executor):
    """Yield (name, result) as the points end; when closed, cancel those that have not begun."""
    if executor is None:
        for name, job in jobs.items():
            with _failures_named(name):
                result = _point(*job)
            yield name, result
        return
    futures, in_hand = {}, []

    def note(future):
        """When a pool breaks, the first future that ends notes which others were running."""
        broke = not future.cancelled() and isinstance(future.exception(), BrokenExecutor)
        if broke and not in_hand:
            in_hand.extend(name for other, name in list(futures.items())
                           if other is future or other.running())

    try:
        for name, job in jobs.items():
            try:
                future = executor.submit(_point, *job)
            except BrokenExecutor:    # a worker has died: its future raises this error too
                if not futures:
                    raise
                break
            futures[future] = name
            future.add_done_callback(note)
            if future.done() and (future.cancelled() or future.exception()):
                break
        for future in as_completed(futures):
            with _failures_named(futures[future], in_hand):
                result = future.result()
            yield futures[future], result
    finally:
        for future in futures:
            future.cancel()


@contextmanager
def _failures_named(name, in_hand=()):
    """Turn a failure into a RuntimeError that names its point, or all those that were running."""
    try:
        yield
    except KeyboardInterrupt:
        raise
    except BrokenExecutor as error:
        raise RuntimeError("sweep: workers must live until the end, got one that died (out of "
                           "memory, killed, or by os._exit) while it ran one of: "
                           f"{'; '.join(in_hand or [name])}") from error
    except BaseException as error:    # SystemExit as well
        raise RuntimeError(f"sweep: the experiment must not fail, got {error!r} at "
                           f"{name}") from error
