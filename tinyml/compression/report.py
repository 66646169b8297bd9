"""What a small model is worth: every number comes from the file, the arrays or the clock.

Problem: "my pruned model is neither smaller nor faster". A fraction of zeros is not a number
of bytes, fewer multiplications are not fewer milliseconds, and each method likes to report the
figure that it improves.

Idea: one row for any model, with the same columns for all: what is in its arrays (how many
numbers, how many of them not zero), what it weighs (bytes of the file that
`storage.save_compressed` writes, bits per number), what it has to do (multiply-accumulates per
sample), how long that takes, and how often it is right. Times of several models are taken in
turn, round by round, so that a busy machine is busy for all of them; and while other programs
have the processor, the clock stands still.

Sources: MATH5836 week 10, section 10.2 (memory and compute-latency are what compression is for).
"""
import time
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np

from tinyml.check import check_sizes
from tinyml.compression.coding.storage import save_compressed
from tinyml.nn import Embedding, Module, Parameter, forward_hook
from tinyml.nn.weights import NORMS, ComputedWeight
from tinyml.train import accuracy, predict


class Report(NamedTuple):
    """One row: what a model is made of, what it weighs, what it does, and how well."""

    numbers: int              # entries of all its arrays, parameters and buffers, each array once
    nonzeros: int             # those of them that are not zero
    file_bytes: int           # of its compressed file
    bits_per_number: float    # 8 file_bytes / numbers
    macs: int                 # multiply-accumulates for one sample
    ms_1: float               # milliseconds for a batch of 1, median over rounds
    ms_256: float             # and of 256
    accuracy: float           # share of the samples whose largest output is at their label


def macs(model, x):
    """Multiply-accumulates for one sample: the sum of `Module.macs` over all modules, divided by len(x).

    A module of your own that multiplies with weights of its own has to define `Module.macs`.

    Parameters
    ----------
    model : Module
    x : ndarray, shape (n, ...), n >= 1, samples that it takes

    Returns
    -------
    int

    Raises
    ------
    ValueError : x is empty

    Warns
    -----
    UserWarning : a module has weights of its own, and no macs

    Examples
    --------
    >>> from tinyml.nn import Linear
    >>> macs(Linear(64, 10, rng=np.random.default_rng(0)), np.zeros((5, 64), np.float32))
    640
    """
    uncounted = [f"{type(m).__name__} at {path!r}" for path, m in model.named_modules()
                 if type(m).macs is Module.macs and _has_weights(m)]
    if uncounted:
        warnings.warn(f"macs: weights of its own are not counted in {', '.join(uncounted)}; "
                      "define macs(self, x, y) there", stacklevel=2)
    work = []
    with forward_hook(lambda module, x, y: work.append(module.macs(x, y))):
        predict(model, x, batch_size=len(x) or 1)
    return round(sum(work) / len(x))


UNCOUNTED = (Embedding, ComputedWeight, *NORMS)    # a lookup, codes, scales: nothing is summed up


def _has_weights(module):
    """Whether a weight is an attribute of the module itself, or in a list or dict of it."""
    own = module._attributes((Parameter, ComputedWeight))
    return not isinstance(module, UNCOUNTED) and any(weight.ndim >= 2 for _, weight in own)


def file_bytes(model):
    """The bytes of the file that `storage.save_compressed` writes for the model."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        save_compressed(model, path)
        return path.stat().st_size


def clock(calls, *, rounds):
    """How long each of some functions takes: all once in every round, in turn, and once before, untimed.

    The time of a call is the shorter of two: on the wall, and of the processor for this
    program. On a busy machine the first counts what others do, and long calls wait more often
    than short ones; the second counts all threads. Where it is too coarse to notice the call,
    it is not asked.

    Parameters
    ----------
    calls : list of functions without arguments
    rounds : int >= 1

    Returns
    -------
    ndarray, shape (len(calls), rounds), in milliseconds

    Raises
    ------
    ValueError : rounds < 1
    """
    check_sizes("clock", rounds=rounds)
    times = np.empty((1 + rounds, len(calls)))
    for row in times:
        for i, call in enumerate(calls):
            wall, own = time.perf_counter(), time.process_time()
            call()
            wall, own = time.perf_counter() - wall, time.process_time() - own
            row[i] = min(wall, own or wall)
    return 1000 * times[1:].T


def milliseconds(models, x, *, rounds=15):
    """How long each model takes for the batch x, by `clock`.

    Parameters
    ----------
    models : list of Module
    x : ndarray, shape (n, ...)
    rounds : int >= 1

    Returns
    -------
    ndarray, shape (len(models), rounds), in milliseconds; take the median over axis 1, and
        medians of ratios within a round where two models are compared

    Raises
    ------
    ValueError : rounds < 1, or x is empty
    """
    check_sizes("milliseconds", rounds=rounds)
    return clock([lambda model=model: predict(model, x, batch_size=len(x)) for model in models], rounds=rounds)


def compare(models, X, y):
    """A `Report` for each model, all on the same samples.

    Parameters
    ----------
    models : dict of str to Module
    X : ndarray, shape (n, ...), n >= 1, inputs
    y : ndarray of int, shape (n,), labels

    Returns
    -------
    dict of str to Report

    Raises
    ------
    ValueError : X is empty, or y has another length
    TypeError : a model has an attribute that no file can hold
    """
    batches = X[:1], np.resize(X, (256, *X.shape[1:]))    # of 256, with repeats if X has fewer
    ms_1, ms_256 = (np.median(milliseconds(list(models.values()), batch), axis=1) for batch in batches)
    reports = {}
    for i, (name, model) in enumerate(models.items()):
        arrays, size = _arrays(model), file_bytes(model)
        numbers = sum(array.size for array in arrays)
        reports[name] = Report(numbers, sum(np.count_nonzero(array) for array in arrays), size,
                               8 * size / max(numbers, 1), macs(model, X[:1]), ms_1[i], ms_256[i],
                               accuracy(model, X, y))
    return reports


def _arrays(model):
    """The arrays of a model, one that stands at several places once, as in its file."""
    state, names = model.state_dict(), {id(tensor): name for name, tensor in model._named_tensors()}
    return [state[name] for name in names.values()]


def report(model, X, y):
    """The `Report` of one model: see `compare`."""
    return compare({"": model}, X, y)[""]


def table(reports):
    """The reports as lines of text, a row for each model.

    Parameters
    ----------
    reports : dict of str to Report, as from `compare`

    Returns
    -------
    str
    """
    rows = [("", "numbers", "not zero", "bytes", "bits each", "MACs", "ms (1)", "ms (256)", "accuracy")]
    rows += [(name, f"{r.numbers:,}", f"{r.nonzeros:,}", f"{r.file_bytes:,}", f"{r.bits_per_number:.2f}",
              f"{r.macs:,}", f"{r.ms_1:.3f}", f"{r.ms_256:.3f}", f"{100 * r.accuracy:.2f} %")
             for name, r in reports.items()]
    widths = [max(map(len, column)) for column in zip(*rows)]
    return "\n".join("  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])])
                     for row in rows)
