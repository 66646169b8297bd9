"""Contracts: what a signature says about its parameters is what is checked.

A lesson reads better without argument checks, and a requirement should be written once. So it
stands beside the parameter, as its annotation, and `checked` enforces it at every call:

    def magnitude_mask(weight: "array_like, any shape", *, amount: "float in [0, 1]"):

An annotation is "kind, condition, condition, ...; prose", and everything before the semicolon is
executed (`tinyml.grammar` reads it, and lists the kinds). An annotation that begins with no kind
is all prose. What the body of the function checks itself begins with "with", as in
"float > 0; with lr < 2 / s_max^2". For example:

    X: "array_like, shape (n, p), n >= 1; the samples"
    y: "array_like, shape (n,) or (n, k)"                    the n of X
    beta0: "array_like, shape (p,) or (p, k), or None"       has k columns if y has
    amount: "float in [0, 1]; fraction to prune"
    i: "int in 1..n"
    n_steps: "int >= 1; K"                                   K is its name in the equations
    method: '"global", "layer" or "random"'
    bits: "int in 1..16, >= 2 if symmetric"
    rng: 'numpy.random.Generator, needed if method = "random"'
    target: "array_like, shape (n,), or None if alpha = 1"
    lr: "as in `gradient_descent`"

An argument that is only "needed if" another has some value may otherwise be None.
A method may also refer to attributes of its object that are a number or a tuple of sizes:

    images: "array_like, shape (n, *shape), <= maximum"

The body gets values that it can compute with. Lists may be given for all arrays and Tensors. An
`array_like` arrives as an array: float32 stays float32, all other numbers become float64;
`array_like of float64` and `of int` become float64 and int64; an `ndarray` keeps its dtype;
`ndarray of int32` must have that dtype; a `Tensor` arrives as a Tensor; `float` and `int` are
Python's. Numbers are finite, unless the line says "or inf", or of an array "may hold NaN". A value
out of range or of another shape raises ValueError, another type TypeError.

The annotation after `->` says what is returned, and is not checked. `help` shows the other
annotations as a section `Parameters` of the docstring.
"""
import functools
import importlib
import inspect
import re
from collections import defaultdict

from tinyml.grammar import ABSENT, NAME, Line, Refused, shown

STARS = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}


def checked(f):
    """Make the calls of a function or class obey the annotations of its parameters.

    Examples
    --------
    >>> @checked
    ... def double(x: "float in [0, 1]"):
    ...     return 2 * x
    >>> double(3)
    Traceback (most recent call last):
    ValueError: double: x must be float in [0, 1], got 3
    """
    if isinstance(f, type):
        f.__init__ = _obeying(f.__init__, f)
        f.__doc__ = _with_parameters(f.__doc__, f.__init__)
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
    call.__doc__ = _with_parameters(function.__doc__, function)
    call.__signature__ = _without_annotations(inspect.signature(function))
    return call


def _with_parameters(doc, function):
    """A docstring with a section for the annotations of a function, as `help` shows it."""
    entries = [f"{name} : {text}" for name, text in annotations(function).items()]
    if doc is None or not entries:    # python -OO
        return doc
    section = "\n".join(["Parameters", "----------", *entries])
    prose, before_returns, returns = inspect.cleandoc(doc).partition("\n\nReturns\n---")
    return f"{prose}\n\n{section}{before_returns}{returns}"


def _without_annotations(signature):
    """The signature as `help` shows it, above the section."""
    parameters = [p.replace(annotation=p.empty) for p in signature.parameters.values()]
    return signature.replace(parameters=parameters)


def annotations(function):
    """{parameter: text} of a function; the text of ``*sizes`` is that of "*sizes"."""
    parameters = inspect.signature(inspect.unwrap(function)).parameters.values()
    return {STARS.get(p.kind, "") + p.name: p.annotation
            for p in parameters if isinstance(p.annotation, str)}


class Contract:
    """What the annotations of a function say; errors name `documented`, which may be its class."""

    def __init__(self, function, documented):
        self.name = documented.__qualname__.rpartition("<locals>.")[2]
        self.lines = defaultdict(Line, read_lines(function))    # others have no contract
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


def read_lines(function):
    """{parameter: Line} of the annotations of a function, or of the constructor of a class."""
    if isinstance(function, type):
        function = function.__init__
    lines = {}
    for name, text in annotations(function).items():
        other = re.match(r"as in `([\w.]+)`", text)
        if other:
            lines[name] = read_lines(_lookup(function, other[1]))[name]
            continue
        line = lines[name] = Line(text)
        if line.is_number and not name.startswith("*"):    # "int >= 1; n"
            line.symbols = [name, *line.symbols[:1]]
    return lines


def _lookup(function, path):
    """The function or class that an annotation calls `path`, in its own module or one beside it.

    A copy of a module, such as the exercises make, need not be in `sys.modules`.
    """
    names = inspect.unwrap(function).__globals__
    head, _, last = path.rpartition(".")
    if not head:
        return names[last]
    owner = names.get(head) or importlib.import_module(f"{names['__package__']}.{head}")
    return getattr(owner, last)
