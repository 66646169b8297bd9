"""Sweeps: one experiment at every capacity and every seed, on one core, on all of them, or on a cluster.

A cluster of Dask (``pip install "dask[distributed]"``), here in a script ``risk.py``:

    from dask.distributed import Client
    from tinyml.data import make_linear
    from tinyml.interpolation.min_norm import min_norm
    from tinyml.sweep import sweep

    def risk(p, rng):
        X, y, beta = make_linear(40, p, noise=0.5, rng=rng)
        return ((min_norm(X, y) - beta) ** 2).sum()

    if __name__ == "__main__":
        with Client("scheduler:8786") as client:    # Client() starts a cluster on this machine
            risks = sweep(risk, [10, 20, 40, 80], repeats=100, seed=0, executor=client.get_executor())

The scheduler and its workers are started by ``dask scheduler`` and, on each machine, ``dask worker
scheduler:8786 --nthreads 1 --nworkers 8``. Workers need tinyml, and the modules that the experiment imports;
what stands in the script itself travels with it. With an executor of MPI the script differs in one line,
``with MPIPoolExecutor() as executor:``, and is run by ``mpiexec -n 9 python -m mpi4py.futures risk.py``.
"""
from concurrent.futures import as_completed

import numpy as np

from tinyml.check import check_sizes
from tinyml.progress import progress


def sweep(experiment, capacities, *, repeats, seed, executor=None, label="sweep"):
    """Run experiment(capacity, rng) at every capacity, `repeats` times, and collect the results.

    Every point of the sweep has a generator of its own, a child of `seed` that its place alone determines:
    the results do not depend on the executor, on the number of workers, or on the order of their ends.

    Parameters
    ----------
    experiment : function (capacity, rng) -> float, or array of one shape at all points. With a process
        pool or a cluster it must be importable: at the top of a module, or a `functools.partial` of such.
    capacities : sequence, what the experiment takes: a number, a tuple of settings ...
    repeats : int >= 1
    seed : int >= 0
    executor : concurrent.futures.Executor or None
        None runs the points here, one after the other. ``ProcessPoolExecutor()`` uses every core (give each
        worker one BLAS thread: OPENBLAS_NUM_THREADS=1); those of Dask and MPI use a cluster, as above.
    label : str, in front of the progress line

    Returns
    -------
    ndarray, shape (repeats, len(capacities), ...) : axis 0 the seeds, ready for a band over them

    Raises
    ------
    RuntimeError : an experiment failed; the message names its capacity and repeat, the cause is attached,
        and points that have not begun are cancelled
    ValueError : repeats < 1 or no capacities

    Examples
    --------
    >>> def risk(capacity, rng):
    ...     return capacity + rng.standard_normal()
    >>> sweep(risk, [1, 2, 4], repeats=5, seed=0).shape
    (5, 3)
    """
    check_sizes("sweep", repeats=repeats)
    if not len(capacities):
        raise ValueError("sweep: capacities must hold at least one, got none")
    points = [(repeat, i) for repeat in range(repeats) for i in range(len(capacities))]
    jobs = {point: (experiment, capacities[point[1]], [seed, *point]) for point in points}
    results = {}
    try:
        for point, result in progress(_run(jobs, executor), label, total=len(points)):
            results[point] = result
    except _Failure as failure:
        repeat, i = failure.point
        raise RuntimeError(f"sweep: the experiment must not fail, got {failure.__cause__!r} at capacity "
                           f"{capacities[i]!r}, repeat {repeat}") from failure.__cause__
    rows = [[results[repeat, i] for i in range(len(capacities))] for repeat in range(repeats)]
    return np.array(rows)


class _Failure(Exception):
    def __init__(self, point):
        self.point = point


def _point(experiment, capacity, entropy):
    return experiment(capacity, np.random.default_rng(entropy))


def _run(jobs, executor):
    """Yield (point, result) as the points end; the first failure cancels those not begun."""
    if executor is None:
        for point, job in jobs.items():
            try:
                result = _point(*job)
            except Exception as error:
                raise _Failure(point) from error
            yield point, result
        return
    futures = {executor.submit(_point, *job): point for point, job in jobs.items()}
    for future in as_completed(futures):
        if future.exception() is not None:
            for other in futures:
                other.cancel()
            raise _Failure(futures[future]) from future.exception()
        yield futures[future], future.result()
