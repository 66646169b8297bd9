"""The laws of the checks: what is allowed passes, the rest is refused with its name and value."""
import linecache
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from strategies import rngs

import tinyml
from tinyml import nn
from tinyml.check import (
    check_count,
    check_labels,
    check_number,
    check_pair,
    check_real,
    check_rng,
    check_sizes,
)
from tinyml.compression.pruning import prune
from tinyml.compression.report import macs
from tinyml.compression.separable import separate_conv
from tinyml.compression.thin_layers import factorize_linear
from tinyml.compression.weight_sharing import share_weights
from tinyml.nn.folding import fold_batch_norm

finite = st.floats(-1e6, 1e6)
SHAPES = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0)


WARNING = {    # what warns, however deep inside of the package -> the call
    "fold_batch_norm": lambda: fold_batch_norm(Holder(nn.Sequential(nn.ReLU()), nn.BatchNorm1d(2))),
    "macs": lambda: macs(Holder(nn.Parameter(np.ones((2, 2)))), np.ones((1, 2), np.float32)),
    "factorize_linear": lambda: factorize_linear(linear(), 2),
    "separate_conv": lambda: separate_conv(nn.Conv2d(1, 1, 1, rng=np.random.default_rng(0))),
    "prune": lambda: prune(nn.Sequential(share_weights(linear(), bits=1), linear()), amount=0.5),
    "share_weights": lambda: share_weights(nn.Sequential(share_weights(linear(), bits=1), linear()), bits=1),
}


class Holder(nn.Module):
    def __init__(self, *parts):
        self.parts = list(parts)

    def forward(self, x):
        return x


def linear():
    return nn.Linear(2, 2, rng=np.random.default_rng(0))


@pytest.mark.parametrize("name", WARNING)
def test_a_warning_points_to_the_line_of_the_reader(name):
    with pytest.warns(UserWarning, match=f"^{name}: ") as caught:
        WARNING[name]()
    assert [w.filename for w in caught] == [__file__]
    assert linecache.getline(__file__, caught[0].lineno).startswith(f'    "{name}": ')


def test_all_warnings_of_the_package_are_given_there():
    folder = Path(tinyml.__file__).parent
    assert [path.name for path in sorted(folder.rglob("*.py")) if "warnings.warn(" in path.read_text(encoding="utf-8")
            and "exercises" not in path.parts] == ["check.py"]


def refuses(kind, message):
    return pytest.raises(kind, match="^" + re.escape(message))


@given(rng=rngs)
def test_only_a_generator_is_an_rng(rng):
    assert check_rng("f", rng) is None
    for other in (None, 0, np.random.default_rng, rng.bit_generator):
        with refuses(TypeError, f"f: rng must be a numpy.random.Generator, got {other!r}; write"):
            check_rng("f", other)


@given(x=hnp.arrays(st.sampled_from([np.float32, np.float64]), SHAPES,
                    elements=st.floats(-100, 100, width=32)))
def test_real_numbers_pass_as_they_are(x):
    assert check_real("f", "x", x) is x and check_real("f", "x", x, ndim=x.ndim) is x
    whole = check_real("f", "x", x.astype(np.int8))
    assert whole.dtype == np.float64 and (whole == x.astype(np.int8)).all()
    assert check_real("f", "x", x.tolist()).tolist() == x.tolist()
    with refuses(ValueError, f"f: x must have {x.ndim + 1} axes, got shape {x.shape}"):
        check_real("f", "x", x, ndim=x.ndim + 1)
    if x.size:
        check_real("f", "x", x, at_least=x.min())
        with refuses(ValueError, f"f: x must be >= {x.min() + 1:g}, got {x.min():g}"):
            check_real("f", "x", x, at_least=x.min() + 1)


@given(x=hnp.arrays(np.float64, hnp.array_shapes(), elements=finite),
       bad=st.sampled_from([np.nan, np.inf, -np.inf]), data=st.data())
def test_what_is_not_finite_is_counted(x, bad, data):
    places = data.draw(st.lists(st.integers(0, x.size - 1), min_size=1, unique=True))
    x.flat[places] = bad
    with refuses(ValueError, f"f: x must be finite, got {len(places)} NaN or infinite values"):
        check_real("f", "x", x)


@pytest.mark.parametrize("value, dtype", [("a", "<U1"), ([1j], "complex128"), ([None], "object")])
def test_what_is_no_real_number_is_refused_by_its_dtype(value, dtype):
    with refuses(TypeError, f"f: x must hold real numbers, got dtype {dtype}"):
        check_real("f", "x", value)


@given(value=finite, low=finite, high=finite)
def test_a_number_passes_exactly_inside_its_bounds(value, low, high):
    for bounds, inside, words in (
            (dict(at_least=low, at_most=high), low <= value <= high, f">= {low:g} and <= {high:g}"),
            (dict(above=low, below=high), low < value < high, f"> {low:g} and < {high:g}"),
            (dict(at_least=low), low <= value, f">= {low:g}"),
            (dict(below=high), value < high, f"< {high:g}")):
        if inside:
            assert check_number("f", "x", value, **bounds) == value
        else:
            with refuses(ValueError, f"f: x must be {words}, got {value!r}"):
                check_number("f", "x", value, **bounds)


@given(bound=finite)
def test_the_bound_itself_tells_the_two_kinds_apart(bound):
    check_number("f", "x", bound, at_least=bound, at_most=bound)
    for kind in ("above", "below"):
        with refuses(ValueError, "f: x must be "):
            check_number("f", "x", bound, **{kind: bound})


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_number_is_finite(value):
    with refuses(ValueError, f"f: x must be >= 0 and finite, got {value!r}"):
        check_number("f", "x", value, at_least=0)
    with refuses(ValueError, f"f: x must be finite, got {value!r}"):
        check_number("f", "x", value)


@pytest.mark.parametrize("value", ["1", None, [1], 1j, True, np.array(0.5)])
def test_a_number_is_a_number(value):
    with refuses(TypeError, f"f: x must be a number, got {value!r}"):
        check_number("f", "x", value, at_least=0)
    for number in (1, 0.5, np.float32(0.5), np.float64(0.5), np.int8(3)):
        checked = check_number("f", "x", number, at_least=0)
        assert type(checked) is float and checked == number    # NumPy's would turn float32 into float64


@pytest.mark.parametrize("value", [True, 1.0, np.float64(2), "3", None, np.array(2)])
def test_a_count_is_an_integer(value):
    with refuses(TypeError, f"f: n must be an int, got {value!r}"):
        check_count("f", "n", value)
    for count in (2, np.int8(2)):
        assert type(check_count("f", "n", count)) is int and check_count("f", "n", count, at_least=2) == 2
        with refuses(ValueError, "f: n must be >= 3, got 2"):
            check_count("f", "n", count, at_least=3)


@given(size=st.integers(-5, 5), least=st.integers(-1, 3))
def test_sizes_and_pairs_are_integers_from_a_least_one_on(size, least):
    if size >= 1:
        assert check_sizes("f", n=size, m=np.int64(size)) is None
    else:
        with refuses(ValueError, f"f: n must be an int >= 1, got {size}"):
            check_sizes("f", m=1, n=size)
    if size >= least:
        assert check_pair("f", "k", size, least) == (size, size)
        assert check_pair("f", "k", [size, size], least) == (size, size)
        assert check_pair("f", "k", (size, least), least) == (size, least)
    else:
        for value in (size, (least, size)):
            message = f"f: k must be an int >= {least} or two of them, got {value!r}"
            with refuses(ValueError, message):
                check_pair("f", "k", value, least)


@pytest.mark.parametrize("value", [1.0, "3", None, (1,), (1, 2, 3), (1, 2.5)])
def test_a_size_is_no_fraction_and_a_pair_no_triple(value):
    with refuses(ValueError, f"f: n must be an int >= 1, got {value!r}"):
        check_sizes("f", n=value)
    with refuses(ValueError, f"f: k must be an int >= 1 or two of them, got {value!r}"):
        check_pair("f", "k", value, 1)


@given(n_classes=st.integers(1, 100), shape=hnp.array_shapes(min_dims=0, max_dims=2), rng=rngs,
       dtype=st.sampled_from([np.int8, np.uint8, np.int32, np.uint64, np.int64]))
def test_labels_are_integers_below_the_number_of_classes(n_classes, shape, rng, dtype):
    labels = rng.integers(0, n_classes, shape).astype(dtype)
    checked = check_labels("f", "y", labels, n_classes)
    assert checked.dtype == np.int64 and (checked == labels).all() and checked.shape == labels.shape
    for outside in (n_classes, -1) if np.issubdtype(dtype, np.signedinteger) else (n_classes,):
        wrong = labels.copy()
        wrong.flat[rng.integers(labels.size)] = outside
        with refuses(ValueError, f"f: y must be in 0..{n_classes - 1}, got {outside}"):
            check_labels("f", "y", wrong, n_classes)


@pytest.mark.parametrize("labels, dtype", [([0.0], "float64"), ([True], "bool"), (["a"], "<U1")])
def test_labels_of_another_kind_are_refused(labels, dtype):
    with refuses(TypeError, f"f: y must be integers, got dtype {dtype}"):
        check_labels("f", "y", labels, 3)
    with pytest.raises(ValueError, match="must be in 0..inf, got -1"):
        check_labels("f", "y", [0, -1], np.inf)
    assert check_labels("f", "y", [7], np.inf) == 7    # any number of classes
    assert check_labels("f", "y", [], 3).dtype == np.int64    # an empty list has no kind
