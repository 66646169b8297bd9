"""One hypothesis profile for everybody: no deadlines, and the same examples in every CI run.

And one thread for the BLAS, set before NumPy is loaded: the matrices of the tests are small. A long run uses all
processors instead: each process takes one file of tests after another.
"""
import os

for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import gc  # noqa: E402
import itertools  # noqa: E402
import multiprocessing  # noqa: E402
import signal  # noqa: E402
import sys  # noqa: E402
from contextlib import suppress  # noqa: E402
from multiprocessing.connection import wait  # noqa: E402

from hypothesis import settings  # noqa: E402

settings.register_profile("tinyml", deadline=None, max_examples=32, print_blob=True,
                          derandomize=bool(os.environ.get("CI")))
settings.load_profile("tinyml")


def share(item):
    """What one process runs in one piece: a file of tests, or one of the demos, which take as long as all the rest."""
    of_a_demo = getattr(item, "originalname", None) == "test_every_demo_keeps_its_claims"
    return of_a_demo, item.nodeid if of_a_demo else str(item.path)


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: share(item)[0])    # the small shares last, so that all processes end together


def pytest_runtestloop(session):
    """Run the tests in a process for each processor, and report what they say as if they ran here.

    The processes are forks, in which all is imported and collected already. With one file, with -s or --pdb, or
    where to fork is not safe, pytest runs the tests itself.
    """
    config, option = session.config, session.config.option
    shares = [list(items) for _, items in itertools.groupby(session.items, share)]
    n = min(len(os.sched_getaffinity(0)), len(shares)) if sys.platform == "linux" else 1
    if n == 1 or session.testsfailed or option.collectonly or option.capture == "no" or option.usepdb:
        return None
    config._tmp_path_factory.getbasetemp()    # one folder for all
    gc.freeze()    # what was collected so far stays, and no garbage collection looks through it
    fork, workers = multiprocessing.get_context("fork"), {}
    todo = fork.SimpleQueue()
    for number in [*range(len(shares)), *[None] * n]:
        todo.put(number)
    try:
        for _ in range(n):
            here, there = fork.Pipe(duplex=False)
            workers[here] = fork.Process(target=work, args=(session, shares, todo, there))
            workers[here].start()
            there.close()
        while workers:
            for here in wait(list(workers)):
                receive(session, here, workers)
    finally:
        for worker in workers.values():
            with suppress(ProcessLookupError):
                os.kill(worker.pid, signal.SIGINT)
            worker.join()
    return True


def work(session, shares, todo, there):
    """In a process of its own: run one share after another, and send the reports of each."""
    config, reports = session.config, []
    signal.signal(signal.SIGINT, signal.default_int_handler)    # a shell ignores it for what runs in the background
    capture = config.pluginmanager.getplugin("capturemanager")
    capture.stop_global_capturing()     # into the files of the parent,
    capture.start_global_capturing()    # into its own
    config.pluginmanager.unregister(name="terminalreporter")
    config.pluginmanager.register(Reports(config, reports))
    with suppress(KeyboardInterrupt):
        while (number := todo.get()) is not None and not session.shouldfail:
            items = shares[number]
            for item, following in zip(items, [*items[1:], None]):
                config.hook.pytest_runtest_protocol(item=item, nextitem=following)
                if session.shouldfail:
                    break
            there.send(reports)
            reports.clear()
        there.send(None)


class Reports:
    """A plugin that keeps every report in a form that can be sent."""

    def __init__(self, config, kept):
        self.config, self.kept = config, kept

    def pytest_runtest_logreport(self, report):
        self.kept.append(self.config.hook.pytest_report_to_serializable(config=self.config, report=report))


def receive(session, here, workers):
    """Pass on the reports of one share, or take leave of the worker."""
    hook, config = session.config.hook, session.config
    try:
        reports = here.recv()
    except EOFError:
        session.shouldfail = "a process ended in the midst of a test; -sv shows in which"
        raise session.Failed(session.shouldfail) from None
    if reports is None:
        workers.pop(here).join()
        return
    for data in reports:
        report = hook.pytest_report_from_serializable(config=config, data=data)
        if report.when == "setup":
            hook.pytest_runtest_logstart(nodeid=report.nodeid, location=report.location)
        hook.pytest_runtest_logreport(report=report)
        if report.when == "teardown":
            hook.pytest_runtest_logfinish(nodeid=report.nodeid, location=report.location)
    if session.shouldfail:
        raise session.Failed(session.shouldfail)
