"""Conditions: what a line asks of a value beyond its kind, such as a bound or a shape.

A condition is a function of a value and of the sizes of all arguments: the lengths of the axes
that letters stand for, and the values of numbers. It raises `Refused` if it does not hold.
"""
import ast
import math
import operator
import re

import numpy as np

from tinyml.grammar.kinds import Refused
from tinyml.tensor import Tensor

ABSENT = object()    # in place of the size of an axis that no argument of this call has


def _entries(value):
    return value.data if isinstance(value, Tensor) else value


def finite(value, sizes):
    """No entry is NaN or infinite."""
    if isinstance(value, (int, float)):
        if not math.isfinite(value):
            raise Refused(ValueError, must="finite")
    elif value.dtype.kind == "f" and not np.isfinite(value).all():
        n_bad = np.count_nonzero(~np.isfinite(value))
        raise Refused(ValueError, f"{n_bad} NaN or infinite values", must="finite")


def not_nan(value, sizes):
    """No entry is NaN."""
    if np.isnan(value).any():
        raise Refused(ValueError, "NaN")


def not_empty(value, sizes):
    """There is an entry."""
    if np.size(_entries(value)) == 0:
        raise Refused(ValueError, "no entries")


def not_zero(value, sizes):
    """Some entry is not 0."""
    if not np.any(_entries(value)):
        raise Refused(ValueError, "only zeros")


def rows_sum_to_1(value, sizes):
    """The sums over the last axis are 1, up to 1e-6."""
    sums = value.sum(axis=-1)
    if np.abs(sums - 1).max(initial=0) > 1e-6:
        raise Refused(ValueError, f"sums {sums}")


def in_order(sign):
    """Increasing for 1, decreasing for -1; equal neighbours are allowed."""
    def condition(value, sizes):
        if (sign * np.diff(value) < 0).any():
            raise Refused(ValueError)
    return condition


NAME = r"[A-Za-z_]\w*"
COMPARISONS = {">=": (operator.ge, np.min), ">": (operator.gt, np.min),
               "<=": (operator.le, np.max), "<": (operator.lt, np.max)}
ARITHMETIC = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul,
              ast.Div: operator.truediv, ast.Pow: operator.pow}
FUNCTIONS = {"min": min, "max": max}


def compared(sign, bound):
    """The condition that all entries are, say, >= bound, an expression in sizes such as n - 1."""
    holds, extreme = COMPARISONS[sign]
    expression = ast.parse(bound.replace("^", "**"), mode="eval").body
    has_names = re.search(NAME, re.sub(r"\de|inf", "", bound))
    constant = None if has_names else _evaluate(expression, {})

    def condition(value, sizes):
        is_number = isinstance(value, (int, float))
        if not is_number and _entries(value).size == 0:
            return
        worst = value if is_number else extreme(_entries(value))
        try:
            limit = _evaluate(expression, sizes) if constant is None else constant
        except KeyError:    # an argument that is not given
            return
        if not holds(worst, limit):
            raise Refused(ValueError, "" if is_number else f"{worst:g}")
    return condition


def _evaluate(node, sizes):
    """The value of an expression of sizes and numbers."""
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Name):
        size = math.inf if node.id == "inf" else sizes[node.id]
        if size is ABSENT:
            raise KeyError(node.id)
        return size
    if isinstance(node, ast.UnaryOp):
        return -_evaluate(node.operand, sizes)
    if isinstance(node, ast.Call):
        return FUNCTIONS[node.func.id](*(_evaluate(a, sizes) for a in node.args))
    return ARITHMETIC[type(node.op)](_evaluate(node.left, sizes), _evaluate(node.right, sizes))


def where(switch, condition):
    """The condition, where the argument `switch` is true."""
    def condition_if(value, sizes):
        if sizes.get(switch):    # Python itself says if it is missing
            condition(value, sizes)
    return condition_if


def letter_compared(letter, sign, bound):
    """The condition that the size for which a letter stands is, say, >= bound."""
    compare = compared(sign, bound)

    def condition(value, sizes):
        if sizes.get(letter, ABSENT) is not ABSENT:
            try:
                compare(sizes[letter], sizes)
            except Refused:
                raise Refused(ValueError, f"{letter} = {sizes[letter]}") from None
    return condition


# ------------------------------------------------------------ shapes: letters stand for sizes

def fits_axes(shape, pattern, sizes):
    """Whether a shape is of a pattern; the letters that the pattern adds are put into `sizes`.

    >>> sizes = {"n": 5}
    >>> fits_axes((5, 3), ("n", "p"), sizes), sizes
    (True, {'n': 5, 'p': 3})
    """
    if len(shape) != len(pattern):
        return False
    new = {}
    for size, letter in zip(shape, pattern):
        expected = sizes.get(letter, letter)    # a size, or 2, or a letter without a size yet
        if type(expected) is str:
            expected = new.setdefault(letter, size)
        if size != expected:
            return False
    sizes.update(new)
    return True


def fits_run(shape, pattern, sizes):
    """The same with any number of axes in one place of the pattern: "...", or "*S" with a name."""
    run = next(i for i, letter in enumerate(pattern) if str(letter).startswith(("...", "*")))
    n_after = len(pattern) - run - 1
    stop = max(len(shape) - n_after, run)
    axes, letter = shape[run:stop], pattern[run]
    if letter != "..." and sizes.get(letter, axes) != axes:
        return False
    fits = fits_axes(shape[:run] + shape[stop:], pattern[:run] + pattern[run + 1:], sizes)
    if fits and letter != "...":
        sizes[letter] = axes
    return fits
