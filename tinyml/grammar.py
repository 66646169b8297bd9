"""The grammar of contracts: how the line of a parameter is read, and what it asks of a value.

`tinyml.contract` describes the language. A line begins with a kind, a function that turns a value
into what the body gets. Conditions follow; they are tested once the sizes of all arguments are
known. Both raise `Refused`.
"""
import ast
import functools
import math
import numbers
import operator
import os
import re

import numpy as np

from tinyml.tensor import Tensor

ABSENT = object()    # in place of the size of an axis that no argument of this call has


class Refused(Exception):
    """A value that the contract does not allow.

    It holds the type of the error, and what to show instead of the value and of the line's words.
    """

    def __init__(self, kind, got=None, must=None):
        self.kind, self.got, self.must = kind, got, must


# ------------------------------------------------------------ kinds: the value that the body gets

def _instance(*classes, advice=""):
    """Objects of these classes; `advice` ends the error message."""
    def convert(value):
        if not isinstance(value, classes):
            raise Refused(TypeError, advice and shown(value) + advice)
        return value
    return convert


def _class_named(name):
    """Objects of a class of this name, such as Module, or of a subclass, without importing it."""
    def convert(value):
        if not any(c.__name__ == name for c in type(value).__mro__):
            raise Refused(TypeError)
        return value
    return convert


def _choice(words):
    """One of these words."""
    def convert(value):
        if not (isinstance(value, str) and value in words):
            raise Refused(ValueError)
        return value
    return convert


def _float(value):
    """A number as Python's float."""
    if type(value) is float:
        return value
    is_number = isinstance(value, numbers.Real) or getattr(value, "shape", None) == ()
    if not is_number or isinstance(value, (bool, np.bool_, Tensor)):
        raise Refused(TypeError)
    return float(value)


def _int(value):
    """An integer as Python's int."""
    try:
        if not isinstance(value, (bool, np.bool_)):
            return operator.index(value)
    except TypeError:
        pass
    raise Refused(TypeError)


def _array(value, kinds="biuf", dtype=None):
    """An array of some kinds of numbers, converted to `dtype` if that is given."""
    if value is None:
        raise Refused(TypeError)
    try:
        array = np.asarray(value.data if isinstance(value, Tensor) else value)
    except ValueError:
        raise Refused(ValueError, "rows of different lengths") from None
    if array.dtype.kind not in kinds and array.size:
        raise Refused(TypeError, f"dtype {array.dtype}")
    return array if dtype is None else array.astype(dtype, copy=False)


def _float_array(value):
    """An array of float32, or of float64 for all other numbers."""
    array = _array(value)
    return array if array.dtype == np.float32 else array.astype(np.float64, copy=False)


def _of_dtype(dtype):
    """An array of exactly this dtype."""
    def convert(value):
        array = _array(value)
        if array.dtype != dtype:
            raise Refused(TypeError, f"dtype {array.dtype}")
        return array
    return convert


def _tensor(value):
    return value if isinstance(value, Tensor) else Tensor(_array(value))


def _callable(value):
    if not callable(value):
        raise Refused(TypeError)
    return value


KINDS = {
    "float": _float,
    "int": _int,
    "bool": _instance(bool, np.bool_),
    "str": _instance(str),
    "bytes": _instance(bytes, bytearray, memoryview),
    "path-like": _instance(str, os.PathLike),
    "array_like": _float_array,
    "array_like of float64": functools.partial(_array, dtype=np.float64),
    "array_like of int": functools.partial(_array, kinds="iu", dtype=np.int64),
    "array_like of bool": functools.partial(_array, kinds="b", dtype=bool),
    "ndarray": _array,
    "ndarray of int": functools.partial(_array, kinds="iu"),
    "ndarray of bool": functools.partial(_array, kinds="b"),
    **{f"ndarray of {name}": _of_dtype(name) for name in ("uint8", "int32", "float32", "float64")},
    "Tensor": _tensor,
    "function": _callable,
    "dict": _instance(dict),
    "list": _instance(list, tuple),
    "sequence": _instance(list, tuple, range, np.ndarray),
    "numpy.random.Generator": _instance(np.random.Generator,
                                        advice="; write rng=np.random.default_rng(0)"),
}


def shown(value):
    """A value in an error message."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:60]} ..., of type {type(value).__name__}"


# ------------------------------------------------------------ conditions, once all sizes are known

def _entries(value):
    return value.data if isinstance(value, Tensor) else value


def _finite(value, sizes):
    if isinstance(value, (int, float)):
        if not math.isfinite(value):
            raise Refused(ValueError, must="finite")
    elif value.dtype.kind == "f" and not np.isfinite(value).all():
        n_bad = np.count_nonzero(~np.isfinite(value))
        raise Refused(ValueError, f"{n_bad} NaN or infinite values", must="finite")


def _not_nan(value, sizes):
    if np.isnan(value).any():
        raise Refused(ValueError, "NaN")


def _not_empty(value, sizes):
    if np.size(_entries(value)) == 0:
        raise Refused(ValueError, "no entries")


def _not_zero(value, sizes):
    if not np.any(_entries(value)):
        raise Refused(ValueError, "only zeros")


def _rows_sum_to_1(value, sizes):
    sums = value.sum(axis=-1)
    if np.abs(sums - 1).max(initial=0) > 1e-6:
        raise Refused(ValueError, f"sums {sums}")


def _in_order(sign):
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


def _compared(sign, bound):
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


def _where(switch, condition):
    """The condition, where the argument `switch` is true."""
    def condition_if(value, sizes):
        if sizes.get(switch):    # Python itself says if it is missing
            condition(value, sizes)
    return condition_if


def _letter_compared(letter, sign, bound):
    """The condition that the size for which a letter stands is, say, >= bound."""
    compared = _compared(sign, bound)

    def condition(value, sizes):
        if sizes.get(letter, ABSENT) is not ABSENT:
            try:
                compared(sizes[letter], sizes)
            except Refused:
                raise Refused(ValueError, f"{letter} = {sizes[letter]}") from None
    return condition


# ------------------------------------------------------------ shapes: letters stand for sizes

def _fits(shape, pattern, sizes):
    """Whether a shape is of a pattern; the letters that the pattern adds are put into `sizes`.

    >>> sizes = {"n": 5}
    >>> _fits((5, 3), ("n", "p"), sizes), sizes
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


def _fits_run(shape, pattern, sizes):
    """The same with any number of axes in one place of the pattern: "...", or "*S" with a name."""
    run = next(i for i, letter in enumerate(pattern) if str(letter).startswith(("...", "*")))
    n_after = len(pattern) - run - 1
    stop = max(len(shape) - n_after, run)
    axes, letter = shape[run:stop], pattern[run]
    if letter != "..." and sizes.get(letter, axes) != axes:
        return False
    fits = _fits(shape[:run] + shape[stop:], pattern[:run] + pattern[run + 1:], sizes)
    if fits and letter != "...":
        sizes[letter] = axes
    return fits


# ------------------------------------------------------------ the grammar

HEAD = re.compile(r"""
    (?P<choice> "[^"]*" (?: (?:,[ ]or[ ]|,[ ]|[ ]or[ ]) "[^"]*" )* )
  | (?P<kind> (?:array_like|ndarray)(?:[ ]of[ ](?:u?int\d*|bool|float\d+))?
            | float | int | bool | str | bytes | path-like | function | dict | list | sequence
            | numpy\.random\.Generator | [A-Z]\w* )
    # function (x, rng) -> x
    (?: (?<=function)[ ](?:of[ ][^,;]+|\([^)]*\)(?:[ ]->[ ][^,;]+)?) )?
    # dict of str to array
    (?: (?<=dict|list)[ ]of[ ][^,;]+ | (?<=sequence)[ ]of[ ][^,;]+ )?
    (?= [ ,;]|$ ) (?! [ ]or[ ](?!None|inf) )""", re.X)
BOUND = r"-?[\w.^]+(?:\([^)]*\))?(?:[-+]\d+)?"


class Line:
    """The line of a parameter, read up to its prose. `kind` is None if all of it is prose.

    Attributes
    ----------
    kind : function (value) -> what the body gets
    conditions : list of function (value, sizes); each raises Refused
    shapes : list of list of str, the shapes allowed; none means any
    symbols : list of str, the names of a number in bounds: its own, and n in "int >= 1; n"
    lacking : list of set of str, for each shape the optional axes that it lacks; such a letter is
        an axis of all arguments or of none: k, if all lines with k are like "shape (n,) or (n, k)"
    optional, infinite, missing : bool, whether None, infinity and NaN are allowed
    none_if : function (sizes) -> bool, whether None is allowed, if that depends on an argument;
        None if it does not
    switch : str, the argument that a condition depends on, or None
    text, prose : str, what was read, and the rest
    """

    def __init__(self, text=""):
        self.kind, self.conditions, self.shapes, self.symbols = None, [], [], []
        self.lacking = []
        self.optional = self.infinite = self.missing = self.is_number = False
        self.none_if = self.switch = None
        self.text, self.prose = "", text
        head = HEAD.match(text)
        if head:
            self.read(head, text)

    def read(self, head, text):
        word = head["kind"]
        choices = re.findall('"([^"]*)"', head[0])
        self.kind = _choice(choices) if word is None else KINDS.get(word) or _class_named(word)
        end, clause = head.end(), self.next_clause(text, head.end())
        while clause:
            end = clause.end()
            clause = self.next_clause(text, end)
        self.text, self.prose = text[:end], text[end:]
        if self.prose and not self.prose.startswith("; "):
            raise ValueError(f"contract: the prose must follow a semicolon, got {text!r}; "
                             f"read was {self.text!r}")
        is_number = word in ("float", "int")
        if not self.missing and (is_number or word and word.startswith(("array_like", "ndarray"))):
            self.conditions.insert(0, _not_nan if self.infinite else _finite)
        symbols = re.match(r"; (\w\w?(?:(?:, | and )\w\w?)*)(?=[:;,]|$)", self.prose)
        self.symbols = re.split(", | and ", symbols[1]) if symbols and is_number else []
        self.is_number = is_number

    def next_clause(self, text, start):
        """Read one more condition at `start`; None where the prose begins."""
        for pattern, read in self.CLAUSES:
            clause = pattern.match(text, start)
            if clause:
                read(self, *clause.groups())
                return clause
        return None

    def read_shapes(self, shapes):
        for shape in re.findall(r"\(([^)]*)\)", shapes):
            parts = re.findall(r"[^\s,]+", shape)
            pattern = tuple(int(part) if part.isdigit() else part for part in parts)
            has_run = any(str(part).startswith(("...", "*")) for part in pattern)
            self.shapes.append((_fits_run if has_run else _fits, pattern))
            self.lacking.append(set())

    def read_interval(self, left, low, high, right):
        self.conditions += [_compared(">=" if left == "[" else ">", low),
                            _compared("<=" if right == "]" else "<", high)]

    def read_range(self, first, last):
        self.conditions += [_compared(">=", first), _compared("<=", last)]

    def read_bound(self, sign, bound, switch):
        condition = _compared(sign, bound)
        self.switch = switch or self.switch
        self.conditions.append(_where(switch, condition) if switch else condition)

    def read_none(self, words, switch, literal):
        value, self.switch = ast.literal_eval(literal), switch
        self.optional, may_be_none = True, words == "or None if"
        self.none_if = lambda sizes: (switch not in sizes
                                      or (sizes[switch] == value) == may_be_none)

    def read_letters(self, letters, sign, bound):
        names = [letter for letter in re.findall(NAME, letters) if letter != "and"]
        self.conditions += [_letter_compared(letter, sign, bound) for letter in names]

    def read_word(self, word):
        self.optional |= word == "or None"
        self.infinite |= word == "or inf"
        self.missing |= word == "may hold NaN"
        self.conditions += {"not empty": [_not_empty], "not zero": [_not_zero],
                            "rows sum to 1": [_rows_sum_to_1],
                            "increasing": [_in_order(1)],
                            "decreasing": [_in_order(-1)]}.get(word, [])

    CLAUSES = [(re.compile(pattern), read) for pattern, read in (
        (r",? shape (\([^)]*\)(?: or \([^)]*\))*)", read_shapes),
        (rf",? in ([\[(])({BOUND}), ([^\])]+(?:\([^)]*\))?)([\])])", read_interval),
        (rf",? in ({BOUND}?)\.\.({BOUND})", read_range),
        (rf",? (>=|<=|>|<) ({BOUND})(?: if (\w+))?", read_bound),
        (r",? (or None if|needed if) (\w+) = (\"[^\"]*\"|None|[\d.]+)", read_none),
        (rf", ([A-Za-z](?:(?:, | and )[A-Za-z])*) (>=|<=) ({BOUND})", read_letters),
        (r",? (any shape|or None|or inf|may hold NaN|not empty|not zero|rows sum to 1|increasing"
         r"|decreasing)\b", read_word))]

    def converted(self, value, sizes):
        """The value that the body gets; its sizes are put into `sizes`."""
        if self.kind is None:
            return value
        if value is None and self.optional and (self.none_if is None or self.none_if(sizes)):
            return value
        value = self.kind(value)
        for symbol in self.symbols:
            known = sizes.setdefault(symbol, value)
            if known is not value and known != value:
                raise Refused(ValueError)
        if self.shapes and not self.fits(value.shape, sizes):
            raise Refused(ValueError, f"shape {value.shape}")
        return value

    def fits(self, shape, sizes):
        """Whether a shape is one of those allowed; the letters that it adds get a size."""
        for (fits, pattern), lacks in zip(self.shapes, self.lacking):
            known = lacks.intersection(sizes)
            if known and any(sizes[letter] is not ABSENT for letter in known):
                continue
            if fits(shape, pattern, sizes):
                for letter in lacks:
                    sizes[letter] = ABSENT
                return True
        return False

    def letters(self):
        """All letters in the shapes."""
        axes = {axis for _, pattern in self.shapes for axis in pattern}
        return {axis for axis in axes if type(axis) is str and not axis.startswith(("...", "*"))}

    def letters_of_all_shapes(self):
        """The letters that are in every shape of this line."""
        return self.letters().intersection(*(pattern for _, pattern in self.shapes))
