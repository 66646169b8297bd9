"""How the benchmarks take the time: in turns, the best of short blocks, on a clock that others do not slow."""
import os
import time
import timeit

import numpy as np

THREADS = int(os.environ.get("OPENBLAS_NUM_THREADS") or os.environ.get("OMP_NUM_THREADS") or 0)
# The processor time of one thread is its time on a free processor, however busy the machine is.
FINE = time.get_clock_info("process_time").resolution < 1e-5
CLOCK = time.process_time if THREADS == 1 and FINE else time.perf_counter
BLOCK = 2e-3    # seconds that are timed at once, at least one step


def seconds(step):
    """Seconds per step: the best of about ten blocks, for a disturbance is not the step's."""
    once = max(timeit.timeit(step, timer=CLOCK, number=1), 1e-7)    # and the caches are filled
    n = max(1, round(BLOCK / once))
    blocks = max(3, round(10 * BLOCK / (n * once)))
    return min(timeit.repeat(step, timer=CLOCK, repeat=blocks, number=n)) / n


def race(steps, rounds):
    """Seconds per step, shape (rounds, len(steps)), in turns: a busy machine slows all alike."""
    return np.array([[seconds(step) for step in steps] for _ in range(rounds)])
