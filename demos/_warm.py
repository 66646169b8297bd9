"""Processes that begin warm: NumPy and Matplotlib are loaded once, and every demo starts from there.

To load them takes half a second, as long as many a quick demo. So a server loads them, and forks: each demo still
has a process of its own, and may crash alone. Where a system has no such server (Windows), every process loads
them itself: all is the same, but slower.
"""
import contextlib
import multiprocessing
import os
import runpy
import signal
import sys
import threading
import time
import warnings
from multiprocessing.connection import wait
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

FORKS = "forkserver" in multiprocessing.get_all_start_methods()
CONTEXT = multiprocessing.get_context("forkserver" if FORKS else "spawn")
if FORKS:
    CONTEXT.set_forkserver_preload(["matplotlib.pyplot", "matplotlib.backends.backend_agg", "tinyml.nn"])


LOCK = threading.Lock()       # one process begins, or is asked how it ended, at a time; none while end_all runs
ENDED = threading.Event()     # end_all was called
ALIVE = {}                    # the processes that are running, and the file that each opens when its demo begins
GRACE = 3                     # seconds that they have to end when they are interrupted


class Ended(NamedTuple):
    """What became of a process: its exit code, and what it printed."""
    returncode: int
    stdout: str
    stderr: str


def run(source, arguments, *, strict=False, seconds=None):
    """Run a demo as ``python source arguments`` would, in a process of its own; return how it `Ended`.

    With `strict`, a RuntimeWarning or UserWarning is an error; after so many `seconds` it is killed.
    After `end_all` no process begins any more.
    """
    with TemporaryDirectory() as folder:
        files = [str(Path(folder, name)) for name in ("out", "err")]
        child = CONTEXT.Process(target=_perform, args=(str(source), [*map(str, arguments)], files, strict))
        with LOCK:
            if ENDED.is_set():
                return Ended(-signal.SIGINT, "", "")
            child.start()
            ALIVE[child] = Path(files[0])
        wait([child.sentinel], seconds)
        with LOCK:    # start() asks how all children are, and an exit code can be read only once
            if child.exitcode is None:
                child.kill()
            child.join()
        ALIVE.pop(child)
        texts = [Path(file).read_text(encoding="utf-8") if Path(file).exists() else "" for file in files]
        return Ended(child.exitcode, *texts)


def end_all():
    """Interrupt every process, so that it ends its children too; kill those that take too long.

    A process whose demo has not begun has no children, and would print a traceback: it is killed at once.
    """
    with LOCK:
        ENDED.set()
    for child, begun in list(ALIVE.items()):
        with contextlib.suppress(ProcessLookupError):    # it ended just now
            os.kill(child.pid, signal.SIGINT) if begun.exists() else child.kill()
    limit = time.monotonic() + GRACE
    while ALIVE and time.monotonic() < limit:
        time.sleep(0.02)
    for child in list(ALIVE):
        child.kill()


def _perform(source, arguments, files, strict):
    sys.stderr, sys.stdout = (open(file, "w", encoding="utf-8", buffering=1) for file in reversed(files))
    sys.argv = [source, *arguments]
    for category in (RuntimeWarning, UserWarning) if strict else ():
        warnings.simplefilter("error", category)
    # BLAS kernels load more numbers than a small matrix has; the flags that these raise say nothing of the product.
    warnings.filterwarnings("ignore", ".* encountered in matmul", RuntimeWarning)
    runpy.run_path(source, run_name="__main__")
