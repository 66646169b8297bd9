"""What a small model is worth: every number comes from the file, the arrays or the clock.

Problem: a pruned model is often neither smaller nor faster. A fraction of zeros is not a number
of bytes, fewer multiplications are not fewer milliseconds, and each method reports the figure
that it improves.

Idea: one row for any model, with the same columns for all: how many numbers its arrays hold and
how many are not zero, the bytes of the file that `save_compressed` writes, multiply-accumulates
per sample, milliseconds, and accuracy. Models are timed in turn, round by round, so that a busy
machine slows all of them down alike.

Sources: MATH5836 week 10, section 10.2 (memory and compute-latency are what compression is for).
"""
import time
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np

from tinyml.check import warn
from tinyml.compression.coding.storage import save_compressed
from tinyml.contract import checked
from tinyml.nn import Embedding, Module, Parameter, forward_hook
from tinyml.nn.weights import NORMS, ComputedWeight
from tinyml.train import accuracy, predict


class Report(NamedTuple):
    """One row: the size of a model, its work, its time and its accuracy."""

    numbers: int              # entries of all its arrays, parameters and buffers, each array once
    nonzeros: int             # how many of these are not zero
    file_bytes: int           # of its compressed file
    bits_per_number: float    # 8 file_bytes / numbers
    macs: int                 # multiply-accumulates for one sample
    ms_1: float               # milliseconds for a batch of 1, median over rounds
    ms_256: float             # the same for a batch of 256
    accuracy: float           # fraction of the samples with the largest output at their label


@checked
def macs(model: "Module", x: "ndarray, shape (n, ...), n >= 1; a batch for the model"):
    """Multiply-accumulates for one sample: the sum of `Module.macs` over all modules.

    If a module of your own multiplies with weights, it must define `Module.macs`; otherwise a
    warning names it.
    """
    _warn_of_uncounted(model)
    work = []
    with forward_hook(lambda module, x, y: work.append(module.macs(x, y))):
        predict(model, x, batch_size=len(x))
    return round(sum(work) / len(x))


UNCOUNTED = (Embedding, ComputedWeight, *NORMS)    # these have weights, but no sums of products


def _warn_of_uncounted(model):
    names = [f"{type(m).__name__} at {path!r}" for path, m in model.named_modules()
             if type(m).macs is Module.macs and _has_weights(m)]
    if names:
        warn(f"macs: weights of its own are not counted in {', '.join(names)}; "
             "define macs(self, x, y) there")


def _has_weights(module):
    """Whether a weight is an attribute of the module itself, or in a list or dict of it."""
    own = module._attributes((Parameter, ComputedWeight))
    return not isinstance(module, UNCOUNTED) and any(weight.ndim >= 2 for _, weight in own)


@checked
def file_bytes(model: "Module"):
    """The bytes of the file that `save_compressed` writes for a model."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        save_compressed(model, path)
        return path.stat().st_size


@checked
def clock(
    calls: "sequence of functions without arguments",
    *,
    rounds: "int >= 1",
) -> "ndarray, shape (len(calls), rounds), in milliseconds":
    """Time some functions: all of them in turn in every round, after a first untimed round.

    The time of a call is the smaller of two clocks: the wall time, which includes the time of
    other programs, and the processor time of this program, which adds up all threads.
    """
    times = np.empty((1 + rounds, len(calls)))
    for row in times:
        for i, call in enumerate(calls):
            wall, processor = time.perf_counter(), time.process_time()
            call()
            wall, processor = time.perf_counter() - wall, time.process_time() - processor
            row[i] = min(wall, processor or wall)    # processor is 0 if that clock is too coarse
    return 1000 * times[1:].T


@checked
def milliseconds(
    models: "sequence of Module",
    x: "ndarray, shape (n, ...), n >= 1",
    *,
    rounds: "int >= 1" = 15,
) -> "ndarray, shape (len(models), rounds), in milliseconds":
    """Time some models on a batch with `clock`.

    To compare two models, take the median over the rounds of the ratio within a round.
    """
    calls = [partial(predict, model, x, batch_size=len(x)) for model in models]
    return clock(calls, rounds=rounds)


@checked
def compare(
    models: "dict of str to Module",
    X: "ndarray, shape (n, ...), n >= 1; inputs",
    y: "ndarray of int, shape (n,); labels",
):
    """{name: `Report`} of some models, all on the same samples."""
    one, many = X[:1], np.resize(X, (256, *X.shape[1:]))    # with repeats if X has fewer rows
    ms_1 = np.median(milliseconds(list(models.values()), one), axis=1)
    ms_256 = np.median(milliseconds(list(models.values()), many), axis=1)
    reports = {}
    for i, (name, model) in enumerate(models.items()):
        arrays, size = _arrays(model), file_bytes(model)
        numbers = sum(array.size for array in arrays)
        reports[name] = Report(
            numbers=numbers,
            nonzeros=sum(np.count_nonzero(array) for array in arrays),
            file_bytes=size,
            bits_per_number=8 * size / max(numbers, 1),
            macs=macs(model, one),
            ms_1=ms_1[i],
            ms_256=ms_256[i],
            accuracy=accuracy(model, X, y))
    return reports


def _arrays(model):
    """The arrays of a model. One that stands at several places counts once, as in the file."""
    state = model.state_dict()
    names = {id(tensor): name for name, tensor in model._named_tensors()}
    return [state[name] for name in names.values()]


def report(model, X, y):
    """The `Report` of one model: see `compare`."""
    return compare({"": model}, X, y)[""]


HEAD = ("", "numbers", "not zero", "bytes", "bits each", "MACs", "ms (1)", "ms (256)", "accuracy")


def table(reports):
    """The reports, a dict of name to `Report`, as lines of text with a row for each model."""
    rows = [HEAD]
    for name, r in reports.items():
        rows.append((name, f"{r.numbers:,}", f"{r.nonzeros:,}", f"{r.file_bytes:,}",
                     f"{r.bits_per_number:.2f}", f"{r.macs:,}", f"{r.ms_1:.3f}", f"{r.ms_256:.3f}",
                     f"{100 * r.accuracy:.2f} %"))
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = [[row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])] for row in rows]
    return "\n".join("  ".join(line) for line in lines)
