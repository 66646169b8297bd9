"""Contracts: what a docstring says about its parameters is what is checked.

A lesson reads better without argument checks, and a requirement should be written once. So
`checked` reads the section `Parameters` of a docstring and enforces it at every call. A line is

    names : kind, condition, condition, ..., prose

and everything before the prose is executed (`tinyml.grammar` reads it). For example:

    X : array_like, shape (n, p), n >= 1, the samples
    y : array_like, shape (n,) or (n, k)                    the n of X
    beta0 : array_like, shape (p,) or (p, k), or None       has k columns if y has
    amount : float in [0, 1], fraction to prune
    i : int in 1..n
    method : "global", "layer" or "random"
    bits : int in 1..16, >= 2 if symmetric
    rng : numpy.random.Generator, needed if method = "random"
    target : array_like, shape (n,), or None if alpha = 1
    lr, n_steps : as in `gradient_descent`

An argument that is only "needed if" another has some value may otherwise be None.
A method may also refer to attributes of its object that are a number or a tuple of sizes:

    images : array_like, shape (n, *shape), <= maximum

The body gets values that it can compute with. An `array_like` arrives as an array: float32 stays
float32, all other numbers become float64; `array_like of float64` and `of int` become float64 and
int64; an `ndarray` keeps its dtype; `ndarray of int32` must have that dtype; `float` and `int` are
Python's. Numbers are finite, unless the line says "or inf", or of an array "may hold NaN". A value
out of range or of another shape raises ValueError, another type TypeError. Python's option -OO
strips docstrings, and with them these checks and conversions.
"""
import functools
import importlib
import inspect
import re
import sys
from collections import defaultdict

from tinyml.grammar import ABSENT, NAME, Line, Refused, shown


def checked(f):
    """Make the calls of a function or class obey the `Parameters` of its docstring.

    Examples
    --------
    >>> @checked
    ... def double(x):
    ...     '''Twice x.
    ...
    ...     Parameters
    ...     ----------
    ...     x : float in [0, 1]
    ...     '''
    ...     return 2 * x
    >>> double(3)
    Traceback (most recent call last):
    ValueError: double: x must be float in [0, 1], got 3
    """
    if f.__doc__ is None:    # python -OO
        return f
    if isinstance(f, type):
        f.__init__ = _obeying(f.__init__, f)
        return f
    return _obeying(f, f)


def _obeying(function, documented):
    contract = None    # read at the first call, when everything that it refers to is defined

    @functools.wraps(function)
    def call(*args, **kwargs):
        nonlocal contract
        if contract is None:
            contract = Contract(function, documented)
        args, kwargs = contract.apply(args, kwargs)
        return function(*args, **kwargs)
    return call


class Contract:
    """What the docstring of a function or class says about the parameters of `function`."""

    def __init__(self, function, documented):
        self.name = documented.__qualname__.rpartition("<locals>.")[2]
        self.lines = defaultdict(Line, read_parameters(documented))    # others have no contract
        parameters = list(inspect.signature(function).parameters.values())
        self.names = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
        self.rest = [f"*{p.name}" for p in parameters if p.kind is p.VAR_POSITIONAL]
        is_method = documented is function and self.names[:1] == ["self"]
        self.find_references(parameters, is_method)
        self.find_optional_axes()

    def find_references(self, parameters, is_method):
        """Note the arguments and attributes that the bounds of other arguments refer to."""
        text = " ".join(line.text for line in self.lines.values())
        words = set(re.findall(NAME, text))
        self.attributes = words - set(self.names) if is_method else set()
        switches = {line.switch for line in self.lines.values()}    # symmetric, in "if symmetric"
        self.switches, self.defaults, self.may_lack = {}, {}, []
        for p in parameters:
            line = self.lines[p.name]
            if p.name in switches:
                self.switches[p.name] = p.default
            if type(p.default) in (int, float) and words.intersection(line.symbols):
                self.defaults[p.name] = p.default
            if p.default is None and line.none_if:    # None may be wrong, though it is the default
                self.may_lack.append(p.name)

        self.refers = bool(self.switches or self.defaults or self.attributes)

    def find_optional_axes(self):
        """An axis is optional if every line that has it also has a shape without it."""
        always = set(self.attributes)
        for line in self.lines.values():
            always |= {*line.symbols, *line.letters_of_all_shapes()}
        for line in self.lines.values():
            optional = line.letters() - always
            line.lacking = [optional.difference(pattern) for _, pattern in line.shapes]

    def apply(self, args, kwargs):
        """The arguments as the body gets them, or an error that names the one that is wrong."""
        names = self.names + self.rest * (len(args) - len(self.names))
        if len(names) < len(args):
            return args, kwargs    # too many: Python itself says so
        pairs = [*zip(names, args), *kwargs.items()]
        given = dict(pairs)
        missing = [(name, None) for name in self.may_lack if name not in given]
        sizes = self.referred_to(given) if self.refers else {}
        values = []
        try:
            for name, value in pairs + missing:
                values.append(self.lines[name].converted(value, sizes))
            for (name, value), converted in zip(pairs, values):    # noqa: B007, for the error
                conditions = self.lines[name].conditions
                if conditions and converted is not None:
                    for condition in conditions:
                        condition(converted, sizes)
        except Refused as refused:
            raise self.error(name, value, refused, sizes) from None
        n = len(args)
        return values[:n], dict(zip(kwargs, values[n:]))

    def referred_to(self, given):
        """What bounds refer to, by name; the letters in shapes get their sizes later."""
        sizes = {name: given.get(name, default) for name, default in self.switches.items()
                 if name in given or default is not inspect.Parameter.empty}
        for name, default in self.defaults.items():
            if name not in given:
                sizes |= dict.fromkeys(self.lines[name].symbols, default)
        if self.attributes and "self" in given:
            sizes |= _attributes(given["self"], self.attributes)
        return sizes

    def error(self, name, value, refused, sizes):
        """The exception for an argument that was refused."""
        line, got = self.lines[name], refused.got or shown(value)
        if refused.must:
            return refused.kind(f"{self.name}: {name} must be {refused.must}, got {got}")
        words = dict.fromkeys(re.findall(rf"\*?{NAME}", line.text))    # each once, in order
        own = {name, line.switch} if line.none_if else {name}
        known = []
        for word in words:
            if word in sizes and word not in own:
                size = sizes[word]
                known.append(f"no {word}" if size is ABSENT else f"{word} = {size}")
        where = f" with {', '.join(known)}" if known and refused.kind is ValueError else ""
        return refused.kind(f"{self.name}: {name} must be {line.text}{where}, got {got}")


def _attributes(owner, names):
    """The attributes of these names that are numbers, or tuples of sizes, which get a star."""
    sizes = {}
    for name in names & vars(owner).keys():
        value = getattr(owner, name)
        if isinstance(value, tuple):
            sizes[f"*{name}"] = value
        elif type(value) in (int, float):
            sizes[name] = value
    return sizes


def read_parameters(documented):
    """{parameter: Line} of the section `Parameters` in the docstring of a function or class."""
    doc = inspect.getdoc(documented)
    section = re.search(r"Parameters\n-+\n(.*?)(?=\n\n[^\n]+\n-+\n|\Z)", doc, re.S)
    text = section[1] if section else ""
    entries = re.findall(r"^(\S[^\n]* : [^\n]*(?:\n +[^\n]*)*)", text, re.M)
    lines = {}
    for entry in entries:
        names, _, text = re.sub(r"\s+", " ", entry).partition(" : ")
        names = names.split(", ")
        other = re.match(r"as in `([\w.]+)`", text)
        known = read_parameters(_lookup(documented, other[1])) if other else {}
        for i, name in enumerate(names):
            line = lines[name] = known[name] if other else Line(text)
            # "n_samples, n_features : int >= 1, n and p"
            if line.is_number and not other and not name.startswith("*"):
                line.symbols = [name, *line.symbols[i:i + 1]]
    return lines


def _lookup(documented, path):
    """The function or class that a docstring calls `path`, in its own module or one beside it."""
    names = _namespace(documented)
    head, _, last = path.rpartition(".")
    if not head:
        return names[last]
    owner = names.get(head) or importlib.import_module(f"{names['__package__']}.{head}")
    return getattr(owner, last)


def _namespace(documented):
    """The names that a function or class sees: those of its module, whatever that is called.

    A copy of a module, such as the exercises make, need not be in `sys.modules`.
    """
    if isinstance(documented, type) and documented.__module__ in sys.modules:
        return vars(sys.modules[documented.__module__])
    function = documented.__init__ if isinstance(documented, type) else documented
    return inspect.unwrap(function).__globals__
