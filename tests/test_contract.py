"""The laws of contracts: what a signature promises is accepted and converted, everything else is refused by name."""
import ast
import importlib
import inspect
import math
import pkgutil
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinyml
from tinyml import Tensor
from tinyml.contract import Contract, checked
from tinyml.grammar import NAME
from tinyml.nn import Linear, Module

SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0)
NUMBERS = st.floats(-100, 100, width=32)


def with_contract(*lines):
    """A function of x, y and z that returns them, with these lines as its contract."""
    def f(x, y=None, z=None):
        return x, y, z
    f.__annotations__ = dict(line.split(" : ") for line in lines)
    return checked(f)


def refuses(kind, message):
    return pytest.raises(kind, match="^" + re.escape(message))


# ------------------------------------------------------------ what the body gets

@given(x=hnp.arrays(st.sampled_from([np.float32, np.float64, np.float16, np.int8, np.uint64, bool]), SHAPES,
                    elements=st.sampled_from([0, 1])))
def test_an_array_like_arrives_as_an_array_of_floats(x):
    f = with_contract("x : array_like")
    for given_as in (x, x.tolist(), Tensor(x)):
        got, _, _ = f(given_as)
        as_array = np.asarray(getattr(given_as, "data", given_as))
        assert got.dtype == (np.float32 if as_array.dtype == np.float32 else np.float64)
        assert got.shape == as_array.shape and (got == as_array).all()
    if x.dtype in (np.float32, np.float64):
        assert f(x)[0] is x    # not copied


@given(x=hnp.arrays(st.sampled_from([np.int8, np.uint16, np.int64]), SHAPES))
def test_integers_arrive_as_int64_and_floats_are_refused(x):
    got, _, _ = with_contract("x : array_like of int")(x)
    assert got.dtype == np.int64 and (got == x).all()
    with refuses(TypeError, "f: x must be array_like of int, got dtype float64"):
        with_contract("x : array_like of int")(np.ones((2,) + x.shape[:1]) + 0.5 if x.size else [0.5])


@pytest.mark.parametrize("number", [2, 2.0, np.float32(2), np.float64(2), np.int16(2), np.array(2.0)])
def test_numbers_arrive_as_those_of_python(number):
    assert type(with_contract("x : float")(number)[0]) is float
    if isinstance(number, (int, np.integer)):
        assert type(with_contract("x : int")(number)[0]) is int
    else:
        with refuses(TypeError, f"f: x must be int, got {number!r}"):
            with_contract("x : int")(number)


@pytest.mark.parametrize("line, bad", [
    ("float", True), ("float", "1"), ("float", None), ("float", [1.0]), ("float", Tensor(1.0)), ("float", 1j),
    ("int", True), ("int", 1.5), ("int", None), ("bool", 1), ("bool", None), ("str", 1), ("bytes", "a"),
    ("path-like", 3), ("numpy.random.Generator", 0), ("numpy.random.Generator", None),
    ("function (x, rng) -> x", 3), ("Module", Linear), ("dict of str to array", [1]), ("list of Module", 3),
    ("sequence of int", 3), ("Linear", Module()), ("array_like", "a"), ("array_like", [None]),
    ("array_like", [1j]), ("array_like of bool", [1]), ("ndarray of int", [1.5]), ("Tensor", "a")])
def test_another_type_is_refused(line, bad):
    with refuses(TypeError, f"f: x must be {line}, got "):
        with_contract(f"x : {line}; prose")(bad)


def test_objects_of_a_class_and_of_its_subclasses_pass():
    layer = Linear(2, 3, rng=np.random.default_rng(0))
    for line in ("Module", "Linear", "function", "Module, or None"):
        assert with_contract(f"x : {line}; what it is")(layer)[0] is layer


def test_none_passes_only_where_the_line_says_so():
    for kind in ("float >= 0", "int", "array_like, shape (n,)", "Module", '"a" or "b"', "Tensor", "bool"):
        assert with_contract(f"x : {kind}, or None")(None)[0] is None
        with pytest.raises((TypeError, ValueError), match="^f: x must be "):
            with_contract(f"x : {kind}")(None)


# ------------------------------------------------------------ ranges

@given(x=NUMBERS, y=NUMBERS, a=NUMBERS, b=NUMBERS)
def test_a_range_holds_for_numbers_and_for_every_entry(x, y, a, b):
    ranges = {f"in [{a}, {b}]": lambda x: a <= x <= b, f"in ({a}, {b}]": lambda x: a < x <= b,
              f"in [{a}, {b})": lambda x: a <= x < b, f"in ({a}, {b})": lambda x: a < x < b,
              f">= {a}": lambda x: x >= a, f"> {a}": lambda x: x > a, f"<= {a}": lambda x: x <= a, f"< {a}": lambda x: x < a}
    for text, holds in ranges.items():
        for line, value in ((f"float {text}", x), (f"array_like, shape (n,), {text}", [x, y])):
            if holds(x) and (value == x or holds(y)):
                with_contract(f"x : {line}; prose >= 7")(value)
            else:
                with refuses(ValueError, f"f: x must be {line}"):
                    with_contract(f"x : {line}; prose >= 7")(value)


@given(k=st.integers(-3, 8), n=st.integers(0, 5))
def test_bounds_may_be_sizes_and_other_arguments(k, n):
    for line in ("int in 1..n", "int in 1..min(n, 9)", "int >= 1, <= n", "int in 1..n+1, <= n"):
        f = with_contract("x : array_like, shape (n, p)", f"y : {line}")
        if 1 <= k <= n:
            f(np.ones((n, 2)), k)
        else:
            with refuses(ValueError, f"f: y must be {line}"):
                f(np.ones((n, 2)), k)
    f = with_contract("x : int >= 0; n", "y : int >= x", "z : int < n")
    if n <= k:
        assert f(n, k, n - 1) == (n, k, n - 1)
    else:
        with refuses(ValueError, "f: y must be int >= x"):
            f(n, k)
    with refuses(ValueError, f"f: z must be int < n with n = {n}, got {n}"):
        f(n, n, n)


@pytest.mark.parametrize("line", ["float", "float >= 0", "array_like", "array_like, shape (n,)", "ndarray"])
def test_numbers_are_finite_unless_the_line_says_otherwise(line):
    for bad in (np.inf, np.nan):
        value = bad if line.startswith("float") else np.array([1, bad])
        with refuses(ValueError, "f: x must be finite, got "):
            with_contract(f"x : {line}; prose")(value)
        f = with_contract(f"x : {line}, or inf; prose")
        if math.isnan(bad):
            with refuses(ValueError, f"f: x must be {line}, or inf"):
                f(value)
        else:
            f(value)


def test_an_array_may_hold_nan_where_the_line_says_so():
    for kind in ("array_like", "ndarray", "ndarray, shape (n,)"):
        got, _, _ = with_contract(f"x : {kind}, may hold NaN; prose")([np.nan, np.inf])
        assert np.isnan(got[0]) and got[1] == np.inf
        with refuses(ValueError, "f: x must be finite"):
            with_contract(f"x : {kind}; may hold NaN")([np.nan])


def test_words_for_arrays():
    assert with_contract("x : array_like, not zero")([0, 2])[0].tolist() == [0, 2]
    assert with_contract("x : array_like, increasing")([1, 1, 2])[0].tolist() == [1, 1, 2]
    assert with_contract("x : array_like, rows sum to 1")([[0.2, 0.8]])[0].tolist() == [[0.2, 0.8]]
    for line, bad in (("array_like, increasing", [1, 2, 1]), ("array_like, decreasing", [2, 1, 2]),
                      ("array_like, not empty", []), ("array_like, not zero", [[0.0, 0]]),
                      ("array_like, not zero", []), ("array_like, rows sum to 1", [[1, 0], [0.4, 0.5]]),
                      ("array_like, shape (n,), n <= 2", [1, 2, 3]),
                      ("array_like, shape (n, d), n and d >= 1", np.ones((3, 0)))):
        with refuses(ValueError, f"f: x must be {line}"):
            with_contract(f"x : {line}; prose")(bad)


@given(least=st.integers(0, 3), x=st.integers(0, 3), switch=st.booleans())
def test_a_bound_may_depend_on_another_argument(least, x, switch):
    f = with_contract(f"x : int, >= {least} if y; prose", "y : bool")
    if x >= least or not switch:
        assert f(x, switch)[0] == f(x, y=switch)[0] == x
    else:
        for call in (lambda: f(x, switch), lambda: f(y=switch, x=x)):
            with refuses(ValueError, f"f: x must be int, >= {least} if y with y = True, got {x}"):
                call()


@pytest.mark.parametrize("value", ['"a"', "1", "None"])
def test_none_may_depend_on_another_argument(value):
    equal = ast.literal_eval(value)
    for words, allowed, refused in (("or None if", equal, "b"), ("needed if", "b", equal)):
        f = with_contract("x : int", "y : prose", f"z : Module, {words} y = {value}; prose")
        module = Module()
        assert f(0, allowed, None)[2] is f(0, allowed)[2] is None
        assert f(0, refused, module)[2] is f(0, z=module, y=allowed)[2] is module
        for call in (lambda: f(0, refused), lambda: f(0, refused, None), lambda: f(0, z=None, y=refused)):
            with refuses(TypeError, f"f: z must be Module, {words} y = {value}, got None"):
                call()


@pytest.mark.parametrize("line", ["int, >= 2 if y", "Module, needed if y = 1"])
def test_python_names_a_missing_argument_that_others_depend_on(line):
    def f(x: line, *, y: "int"):
        pass
    with pytest.raises(TypeError, match="missing 1 required keyword-only argument: 'y'"):
        checked(f)(1 if "int, " in line else None)


@given(x=hnp.arrays(st.sampled_from([np.int32, np.int64, np.uint8, np.float32]), SHAPES, elements=st.just(1)))
def test_a_dtype_may_be_asked_for(x):
    for name in ("int32", "uint8"):
        f = with_contract(f"x : ndarray of {name}; prose")
        if x.dtype == name:
            assert f(x)[0] is x
        else:
            with refuses(TypeError, f"f: x must be ndarray of {name}, got dtype {x.dtype}"):
                f(x)


def test_one_of_several_words():
    f = with_contract('x : "norm", "taylor" or "oracle"; the criterion')
    assert f("taylor")[0] == "taylor"
    for bad in ("Norm", 1, None, ["norm"], np.array(["norm"])):
        with refuses(ValueError, 'f: x must be "norm", "taylor" or "oracle", got '):
            f(bad)


# ------------------------------------------------------------ shapes

@given(shape=SHAPES, other=SHAPES)
def test_a_letter_is_one_size_in_the_whole_call(shape, other):
    f = with_contract("x : array_like, shape (n, p)", "y : array_like, shape (n,) or (n, k); the targets")
    x, y = np.ones(shape), np.ones(other)
    if len(shape) == 2 and len(other) in (1, 2) and other[0] == shape[0]:
        f(x, y)
    elif len(shape) == 2:
        with refuses(ValueError, f"f: y must be array_like, shape (n,) or (n, k) with n = {shape[0]}, "
                                 f"got shape {other}"):
            f(x, y)
    else:
        with refuses(ValueError, f"f: x must be array_like, shape (n, p), got shape {shape}"):
            f(x, y)


@given(shape=SHAPES, other=SHAPES)
def test_dots_are_any_axes_and_a_star_gives_them_a_name(shape, other):
    x, y = np.ones(shape), np.ones(other)
    f = with_contract("x : array_like, shape (*S, d)", "y : array_like, shape (*S)")
    if len(shape) >= 1 and other == shape[:-1]:
        f(x, y)
    else:
        with refuses(ValueError, "f: x must be" if not shape else "f: y must be"):
            f(x, y)
    f = with_contract("x : array_like, shape (n, ..., 2)")
    if len(shape) >= 2 and shape[-1] == 2:
        f(x)
    else:
        with refuses(ValueError, f"f: x must be array_like, shape (n, ..., 2), got shape {shape}"):
            f(x)


@given(ndim=st.integers(1, 2), other=st.integers(1, 2), k=st.integers(0, 3), extra=st.integers(0, 1))
def test_an_axis_of_some_shapes_is_one_of_all_arguments_or_of_none(ndim, other, k, extra):
    f = with_contract("x : array_like, shape (n,) or (n, k)", "y : array_like, shape (p,) or (p, k), or None")
    x, y = np.ones((4, k)[:ndim]), np.ones((5, k + extra)[:other])
    f(x)
    if ndim == other and (ndim == 1 or not extra):
        f(x, y), f(y=y, x=x)
        return
    with refuses(ValueError, "f: y must be array_like, shape (p,) or (p, k), or None with "
                             f"{'no k' if ndim == 1 else f'k = {k}'}, got shape {y.shape}"):
        f(x, y)


def test_a_known_size_may_have_shapes_with_and_without_it():
    f = with_contract("x : array_like, shape (3,) or (4,)", "y : array_like, shape (3,), or None", "z : int >= 0; k")
    f(np.ones(4), np.ones(3)), f(np.ones(3), np.ones(3))
    f = with_contract("x : array_like, shape (n,) or (n, k)", "z : int >= 0; k")
    f(np.ones(4), z=2), f(np.ones((4, 2)), z=2)
    f = with_contract("x : array_like, shape (*S, 1) or (*S, 2)", "y : array_like, shape (*S)")
    f(np.ones((3, 2)), np.ones(3))
    f = with_contract("x : array_like, shape (n, p)", "y : array_like, shape (n, 2) or (2,)")
    for y in (np.ones((3, 2)), np.ones(2)):
        f(np.ones((3, 1)), y), f(y=y, x=np.ones((3, 1)))
    with refuses(ValueError, "f: y must be array_like, shape (n, 2) or (2,) with n = 3, got shape (4, 2)"):
        f(np.ones((3, 1)), np.ones((4, 2)))


def test_an_integer_argument_gives_a_size_also_by_default():
    def f(x: "array_like, shape (K,)", size: "int >= 1; K" = 3):
        return x
    checked(f)(np.ones(3)), checked(f)(np.ones(4), 4)
    with refuses(ValueError, "f: x must be array_like, shape (K,) with K = 3, got shape (4,)"):
        checked(f)(np.ones(4))
    with refuses(ValueError, "f: size must be int >= 1, got 4"):
        checked(f)(np.ones(3), 4)


# ------------------------------------------------------------ functions, classes, references

def test_a_class_checks_its_constructor():
    @checked
    class Layer:
        def __init__(self, size: "int >= 1", *more: "int >= 1; as many as you like"):
            self.sizes = (size, *more)
    assert Layer(np.int64(1), 2, 3).sizes == (1, 2, 3)
    with refuses(ValueError, "Layer: size must be int >= 1, got 0"):
        Layer(0)
    with refuses(ValueError, "Layer: *more must be int >= 1, got 0"):
        Layer(1, 2, 0)


@given(st.integers(1, 3), st.tuples(st.integers(1, 3), st.integers(1, 3)), st.floats(0, 10),
       st.integers(0, 4), st.tuples(st.integers(1, 3), st.integers(1, 3)), st.floats(0, 10))
def test_a_method_may_refer_to_attributes_of_its_object(longest, shape, maximum, n, other, value):
    class Camera:
        def __init__(self):
            self.longest, self.shape, self.maximum = longest, shape, maximum

        @checked
        def develop(self, images: "array_like, shape (n, *shape), <= maximum, n <= longest"):
            return images
    images = np.full((n, *other), value)
    if other == shape and n <= longest and (n == 0 or value <= maximum):
        assert (Camera().develop(images) == images).all()
    else:
        with pytest.raises(ValueError, match="Camera.develop: images must be .* with "):
            Camera().develop(images)


def outer(x: "float", y: "float in [0, 1]"):
    pass


@checked
def refers(y: "as in `outer`"):
    return y


def test_a_line_may_refer_to_another_function():
    assert refers(1) == 1.0
    with refuses(ValueError, "refers: y must be float in [0, 1], got 2"):
        refers(2)


COPY = """
def outer(y: "float in [0, 1]"):
    pass


@checked
def refers(y: "as in `outer`"):
    return y


@checked
class Refers:
    def __init__(self, y: "as in `outer`", n_steps: "as in `min_norm.gradient_descent`" = 1):
        self.y = y
"""


def test_help_shows_the_contract_below_the_docstring():
    def f(x: "int >= 0; how many", *more: "prose alone", y=1) -> "float":
        """Prose.

        Returns
        -------
        something
        """
    section = "Parameters\n----------\nx : int >= 0; how many\n*more : prose alone"
    assert checked(f).__doc__ == f"Prose.\n\n{section}\n\nReturns\n-------\nsomething"
    assert str(inspect.signature(checked(f))) == "(x, *more, y=1) -> 'float'"
    for doc, shown in (("Prose.", f"Prose.\n\n{section}"), (None, None)):
        f.__doc__ = doc
        assert checked(f).__doc__ == shown


def test_a_reference_is_found_in_a_copy_of_a_module_that_is_not_imported():
    """As the exercises' tutor loads one: under another name, which `sys.modules` does not have."""
    copy = {"__name__": "_copy", "__package__": "tinyml.interpolation", "checked": checked}
    exec(COPY, copy)
    assert copy["refers"](1) == 1.0 and copy["Refers"](1).y == 1.0
    for name in ("refers", "Refers"):
        with refuses(ValueError, f"{name}: y must be float in [0, 1], got 2"):
            copy[name](2)
    with refuses(ValueError, "Refers: n_steps must be int >= 1, got 0"):
        copy["Refers"](1, 0)


def test_python_names_missing_and_superfluous_arguments():
    f = with_contract("x : float")
    for args, kwargs in (((), {}), ((1, 2, 3, 4), {}), ((1,), {"w": 1}), ((1,), {"x": 1})):
        with pytest.raises(TypeError, match="argument"):
            f(*args, **kwargs)


def test_a_line_that_cannot_be_read_is_an_error_of_its_author():
    for line in ("array_like of real numbers, shape (n,)", "array_like, shpe (n,)", "int >= 1, n", "float in [0, 1)."):
        with pytest.raises(ValueError, match="contract: the prose must follow a semicolon"):
            with_contract(f"x : {line}")(1)


# ------------------------------------------------------------ the contracts of the library

def contracts():
    """(name, (Contract, attributes)) of everything that is decorated with `checked`."""
    for module in pkgutil.walk_packages(tinyml.__path__, "tinyml."):
        if "exercises" in module.name or module.name == "tinyml.contract":
            continue
        members = vars(importlib.import_module(module.name))
        for member in list(members.values()):
            if getattr(member, "__module__", None) != module.name:
                continue
            methods = vars(member).items() if inspect.isclass(member) else ()
            inner = [member, *(f for method, f in methods if method != "__init__")]
            for f in inner:
                if inspect.isclass(f):    # a subclass may inherit its constructor
                    f = next(cls for cls in f.__mro__ if "__init__" in vars(cls))
                call = f.__init__ if inspect.isclass(f) else f
                if getattr(call, "__globals__", {}).get("__name__") == "tinyml.contract":
                    contract = Contract(call.__wrapped__, f)
                    attributes = _attributes(member) if f is not member else set()
                    yield f"{module.name}.{f.__qualname__}", (contract, attributes)


def _attributes(cls):
    """The names that an object of a class has: the parameters of its constructor, and its Attributes."""
    section = re.search(r"Attributes\n-+\n(.*?)(?=\n\n|\Z)", inspect.getdoc(cls), re.S)
    listed = re.findall(r"^(\w[\w, ]*) : ", section[1] if section else "", re.M)
    return {*inspect.signature(cls).parameters, *", ".join(listed).split(", ")}


READ = dict(contracts())
CONTRACTS = {name: contract for name, (contract, _) in READ.items()}
ATTRIBUTES = {name: attributes for name, (_, attributes) in READ.items()}    # of a method's object


@pytest.mark.parametrize("name", CONTRACTS)
def test_every_name_in_a_contract_means_something(name):
    contract = CONTRACTS[name]
    texts = " ".join(line.text for line in contract.lines.values())
    letters = set(re.findall(NAME, " ".join(re.findall(r"shape ((?:\([^)]*\)(?: or )?)+)", texts))))
    known = letters | ATTRIBUTES[name] | {symbol for line in contract.lines.values() for symbol in line.symbols}
    for parameter, line in contract.lines.items():
        bounds = re.findall(r"(?:>=|<=|(?<!-)>|<) ([^,;]+)|in [\[(]([^\])]*)|in (\S+\.\.\S+)", line.text)
        assert line.switch is None or line.switch in contract.switches, (parameter, line.text)
        text = re.sub(r"\de-?\d+| if \w+", "", " ".join(" ".join(bound) for bound in bounds))    # numbers like 1e-4
        used = set(re.findall(NAME, text))
        assert used <= known | {"or", "min", "max", "inf", "e", "None"}, (parameter, line.text)


@pytest.mark.parametrize("name", CONTRACTS)
def test_no_requirement_hides_in_the_prose(name):
    """What the grammar cannot say, and the body checks, begins with "with"."""
    for parameter, line in CONTRACTS[name].lines.items():
        prose = re.sub(r"[;,] with [^;,]*", "", line.prose)
        assert not re.search(r"\bshape \(|\bor None\b|[<>]=? -?\d", prose), (parameter, line.prose)


@pytest.mark.parametrize("name", CONTRACTS)
def test_every_parameter_has_its_line(name):
    contract = CONTRACTS[name]
    for parameter in contract.names:
        assert parameter == "self" or parameter in contract.lines, parameter


def test_a_requirement_is_written_once():
    """The docstring of a function with a contract does not tell the parameters again."""
    for path in Path(tinyml.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [getattr(decorator, "id", "") for decorator in getattr(node, "decorator_list", ())]
            if "checked" in names:
                assert "Parameters\n" not in (ast.get_docstring(node) or ""), f"{path}: {node.name}"
