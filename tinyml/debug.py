"""See a graph, and find the operation where the first NaN appeared."""
import linecache
import os
import sys
from pathlib import Path

import numpy as np

from tinyml.tensor import mode, scope, walk

_PACKAGE = str(Path(__file__).parent) + os.sep


def gradients(output):
    """The gradient of a scalar with respect to everything that it was computed from.

    Parameters
    ----------
    output : Tensor; if it has several elements, the scalar is their sum

    Returns
    -------
    dict of Tensor to ndarray, newest first, leaves last; no `grad` is changed
    """
    return dict(walk(output, np.ones_like(output.data)))


def graph(output, names=None):
    """A printable tree of how `output` was computed: op, shape, gradient norm, then arguments.

    A tensor that is used twice is written out once; after that, its number refers to it. Constants
    have no gradient and do not appear.

    Parameters
    ----------
    output : Tensor
    names : dict of str to Tensor, or None; labels for some of them, such as ``dict(x=x, w=w)`` or
        ``dict(model.named_parameters())``

    Returns
    -------
    str

    >>> from tinyml import Tensor
    >>> x = Tensor([3.0, 4.0], requires_grad=True)
    >>> print(graph((x * x).sum(), dict(x=x)))
    #1 sum ()         |grad| 1
    └─ #2 mul (2,)    |grad| 1.41
       ├─ #3 x (2,)   |grad| 10
       └─ #3 ...
    """
    grads = gradients(output)
    labels = {tensor: name for name, tensor in (names or {}).items()}
    numbers, lines = {}, []
    stack = [(output, "", "")]
    while stack:
        tensor, lead, below = stack.pop()
        if tensor in numbers:
            lines.append((f"{lead}#{numbers[tensor]} ...", ""))
            continue
        numbers[tensor] = len(numbers) + 1
        label = labels.get(tensor, tensor.op or "leaf")
        lines.append((f"{lead}#{numbers[tensor]} {label} {tensor.shape}",
                      f"|grad| {np.linalg.norm(grads[tensor]):.3g}"))
        branch, line = "└─ ", "   "    # of the last argument; it is pushed first
        for parent, _ in reversed(tensor.edges):
            stack.append((parent, below + branch, below + line))
            branch, line = "├─ ", "│  "
    width = max(len(left) for left, _ in lines)
    return "\n".join(f"{left:<{width}}   {right}".rstrip() for left, right in lines)


@scope
def detect_anomaly():
    """Raise at the first NaN or infinity that an operation inside makes, forward or backward.

    ``with detect_anomaly(): loss = ...; loss.backward()`` raises FloatingPointError with the name
    of the operation, the shapes of its arguments and the source line that called it. An infinity
    that an argument already held, such as the -inf of an attention mask, passes.
    """
    before, mode.watcher = mode.watcher, _Watcher()
    try:
        with np.errstate(all="ignore"):
            yield
    finally:
        mode.watcher = before


class _Watcher:
    """Called by the engine for every result (`created`) and every gradient (`passed_back`)."""

    def __init__(self):
        self.sites = {}

    def created(self, out, arrays):
        site = _calling_line()
        self.sites[out.serial] = site
        arrays = [a for a in arrays if a is not None]
        new_nan = _is_new(np.isnan, out.data, arrays)
        if new_nan or _is_new(_not_finite, out.data, arrays):
            shapes = ", ".join(str(np.shape(a)) for a in arrays)
            raise FloatingPointError(f"{out.op}: the result must be finite, got "
                                     f"{_count(out.data)} from arguments of shapes {shapes}; "
                                     f"{site}")

    def passed_back(self, tensor, parent, gradient):
        if not np.isfinite(gradient).all():
            source = f"made by {parent.op}" if parent.op else "a leaf"
            site = self.sites.get(tensor.serial, "called outside detect_anomaly()")
            raise FloatingPointError(f"backward of {tensor.op}: the gradient must be finite, got "
                                     f"{_count(gradient)} for its argument of shape "
                                     f"{parent.shape} ({source}); {site}")


def _is_new(bad, result, arguments):
    """Whether a bad entry is in the result, and none is in the arguments."""
    if not bad(result).any():
        return False
    return not any(bad(a).any() for a in arguments)


def _not_finite(array):
    return ~np.isfinite(array)


def _count(array):
    n_nan = np.count_nonzero(np.isnan(array))
    n_infinite = np.count_nonzero(np.isinf(array))
    return f"{n_nan} NaN and {n_infinite} infinite values"


def _calling_line():
    """The innermost line outside this package that is on the stack."""
    frame = sys._getframe(1)
    while frame.f_back and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    file, line = frame.f_code.co_filename, frame.f_lineno
    return f"called in {file}, line {line}: {linecache.getline(file, line).strip()}"
