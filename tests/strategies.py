"""How tests draw arrays, graphs, and calls of an operation.

Shapes come from hypothesis. They are small and awkward: no axes at all, axes of length 1, axes of
length 0. Values come from a Generator that hypothesis seeds: generic, so that no wrong formula is
right by accident, and of a kind that keeps its distance from poles, kinks or ties, where a central
difference is blind.
"""
import copy
import inspect
import math
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.lib.array_utils import normalize_axis_tuple

rngs = st.builds(np.random.default_rng, st.integers(0, 2**32 - 1))


# -------------------------------------------------- kinds of values: (rng, shape) -> float64

def anything(rng, shape):
    """Entries between -2 and 2."""
    return np.asarray(rng.uniform(-2, 2, shape))


def positive(rng, shape):
    """Entries between 1/4 and 2."""
    return np.asarray(rng.uniform(0.25, 2, shape))


def nonzero(rng, shape):
    """Entries between 1/4 and 2, with random signs."""
    return np.asarray(positive(rng, shape) * rng.choice([-1, 1], shape))


def quarters(rng, shape):
    """Multiples of 1/4 between -2 and 2, at least 1/8 away from `eighths`."""
    return np.asarray(rng.integers(-8, 9, shape) / 4)


def eighths(rng, shape):
    """Odd multiples of 1/8."""
    return np.asarray(quarters(rng, shape) + 1 / 8)


def distinct(rng, shape):
    """Entries of both signs, at least 1/8 away from one another."""
    n = math.prod(shape)
    return (rng.permutation(n) - n // 2).reshape(shape) / 8


# -------------------------------------------------- shapes, arrays, graphs

sides = st.integers(1, 3) | st.integers(1, 3) | st.integers(0, 3)    # 0 now and then


def mostly_full(strategy, **options):
    """Shapes of a strategy of hypothesis, with sides of 1 to 3, and of 0 now and then."""
    full, any_ = (strategy(min_side=least, max_side=3, **options) for least in (1, 0))
    return full | full | any_


def shapes(min_dims=0, max_dims=3):
    """Shapes with sides of 0 to 3."""
    return mostly_full(hnp.array_shapes, min_dims=min_dims, max_dims=max_dims)


def broadcastable(n):
    """n shapes that broadcast against one another, `input_shapes`, and their `result_shape`."""
    return mostly_full(hnp.mutually_broadcastable_shapes, num_shapes=n, max_dims=3)


@st.composite
def arrays(draw, values=anything, shape=shapes()):
    """Arrays with one kind of values."""
    return values(draw(rngs), draw(shape))


# A program is a list of steps (f, i, j): append f(values[i], values[j]) to the values. Each f is
# smooth and keeps the values small, however often it is applied.
programs = st.lists(st.tuples(st.sampled_from([lambda x, y: (x + y) / 2,
                                               lambda x, y: x * y.sigmoid(),
                                               lambda x, y: x.tanh() - y / 2,
                                               lambda x, y: x / (2 + y.tanh())]),
                              st.integers(0, 99), st.integers(0, 99)), min_size=1, max_size=10)


def run(program, leaves):
    """The output of a program: a graph in which a tensor may have many users."""
    values = list(leaves)
    for f, i, j in program:
        values.append(f(values[i % len(values)], values[j % len(values)]))
    return values[-1] + values[len(values) // 2]


# -------------------------------------------------- calls of an operation: (arrays, metadata)

@st.composite
def one(draw, values=anything, **metadata):
    """One array, and metadata that does not depend on it."""
    return (draw(arrays(values)),), draw(st.fixed_dictionaries(metadata))


@st.composite
def two(draw, x_values=anything, y_values=anything):
    """Two arrays that broadcast against each other."""
    rng, shape = draw(rngs), draw(broadcastable(2)).input_shapes
    return (x_values(rng, shape[0]), y_values(rng, shape[1])), {}


@st.composite
def with_condition(draw):
    """Two arrays and a condition; all three broadcast."""
    rng, shape = draw(rngs), draw(broadcastable(3)).input_shapes
    condition = np.asarray(rng.random(shape[2]) < 0.5)
    return (anything(rng, shape[0]), anything(rng, shape[1])), dict(condition=condition)


@st.composite
def with_bounds(draw, least):
    """Quarters, and at least so many of the bounds `low` and `high`: eighths, one or one per column."""
    x, rng = draw(arrays(quarters)), draw(rngs)
    columns = draw(st.sampled_from([(), x.shape[-1:]]))
    low, high = np.sort(eighths(rng, (2, *columns)), axis=0)
    bounds = dict(low=low, high=high) if columns else dict(low=float(low), high=float(high))
    names = draw(st.sets(st.sampled_from(["low", "high"]), min_size=least))
    return (x,), {name: bounds[name] for name in sorted(names)}


@st.composite
def with_axes(draw, values=anything, least=0, min_dims=0, **metadata):
    """An array and axes to reduce, each of length `least` or more."""
    shape = draw(shapes(min_dims))
    n = len(shape)
    axes = [st.none(), hnp.valid_tuple_axes(n, min_size=min_dims)]
    axis = draw(st.one_of([*axes, st.integers(-n, n - 1)] if n else axes))
    reduced = range(n) if axis is None else normalize_axis_tuple(axis, n)
    shape = tuple(max(side, least) if i in reduced else side for i, side in enumerate(shape))
    return (values(draw(rngs), shape),), dict(axis=axis, **draw(st.fixed_dictionaries(metadata)))


@st.composite
def with_labels(draw):
    """Rows of logits, and a label for each; what becomes of their losses (no rows have no mean)."""
    rng, batch, n_classes = draw(rngs), draw(shapes(max_dims=2)), draw(st.integers(1, 4))
    reductions = ["mean", "sum", "none"] if math.prod(batch) else ["sum", "none"]
    labels = np.asarray(rng.integers(0, n_classes, batch))
    return (anything(rng, (*batch, n_classes)),), dict(labels=labels,
                                                       reduction=draw(st.sampled_from(reductions)))


@st.composite
def with_shape(draw):
    """An array, and another shape of as many entries, one of its sides perhaps left open as -1."""
    x = draw(arrays())
    shape = draw(st.permutations(x.shape))
    if shape and x.size and draw(st.booleans()):
        shape[0] = -1
    return (x,), dict(shape=tuple(shape))


@st.composite
def with_broader_shape(draw):
    """An array, and a shape that it broadcasts to."""
    shape = draw(broadcastable(2))
    return (anything(draw(rngs), shape.input_shapes[0]),), dict(shape=shape.result_shape)


@st.composite
def with_order(draw):
    """An array, and its axes in some order, each counted from either end; or no order."""
    x, rng = draw(arrays()), draw(rngs)
    order = rng.permutation(x.ndim) - x.ndim * rng.integers(0, 2, x.ndim)
    return (x,), dict(axes=draw(st.sampled_from([tuple(order.tolist()), None])))


@st.composite
def with_two_axes(draw):
    """An array, and two of its axes."""
    x = draw(arrays(shape=shapes(1)))
    axis = st.integers(-x.ndim, x.ndim - 1)
    return (x,), dict(axis1=draw(axis), axis2=draw(axis))


@st.composite
def with_index(draw):
    """An array, and an index: basic, a mask, a list or integer arrays, which may pick twice."""
    x = draw(arrays(shape=shapes(1)))
    kinds = [hnp.basic_indices(x.shape, allow_newaxis=True), hnp.arrays(bool, x.shape)]
    if x.size:
        row = st.integers(-len(x), len(x) - 1)
        kinds += [st.lists(row, min_size=1, max_size=4), hnp.integer_array_indices(x.shape)]
    return (x,), dict(index=draw(st.one_of(kinds)))


@st.composite
def with_pad_width(draw):
    """An array, and one width for all sides or one for each; and a value."""
    x, width = draw(arrays()), st.integers(0, 2)
    each = st.tuples(*[st.tuples(width, width)] * x.ndim)
    return (x,), dict(pad_width=draw(st.one_of(width, each) if x.ndim else width),
                      value=draw(st.floats(-1, 1)))


@st.composite
def joined(draw):
    """Up to three arrays that differ in one side only, and the axis of that side."""
    shape, rng = draw(shapes(1)), draw(rngs)
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    xs = []
    for side in draw(st.lists(sides, min_size=1, max_size=3)):
        of_this = list(shape)
        of_this[axis] = side
        xs.append(anything(rng, of_this))
    return tuple(xs), dict(axis=axis)


@st.composite
def stacked(draw):
    """Up to three arrays of one shape, and an axis of their stack."""
    shape, rng, n = draw(shapes(max_dims=2)), draw(rngs), draw(st.integers(1, 3))
    axis = draw(st.integers(-len(shape) - 1, len(shape)))
    return tuple(anything(rng, shape) for _ in range(n)), dict(axis=axis)


@st.composite
def matrices(draw):
    """Stacks of matrices that fit together and broadcast; either may be a single vector."""
    rng, shape = draw(rngs), draw(mostly_full(hnp.mutually_broadcastable_shapes, max_dims=2,
                                              signature="(n?,k),(k,m?)->(n?,m?)")).input_shapes
    return (anything(rng, shape[0]), anything(rng, shape[1])), {}


@st.composite
def affine(draw):
    """x, weight, and perhaps a bias."""
    rng, batch, n_in, n_out = draw(rngs), draw(shapes(max_dims=2)), draw(sides), draw(sides)
    args = [anything(rng, shape) for shape in ((*batch, n_in), (n_out, n_in), (n_out,))]
    return tuple(args[:draw(st.integers(2, 3))]), {}


@st.composite
def with_subscripts(draw):
    """Subscripts, and operands of the shapes that they ask for."""
    subscripts = draw(st.sampled_from(["ij->ji", "ij,jk->ik", "bij,bkj->bik", "i,j->ij", "ij,ij->",
                                       "i, ij, j -> i", "ij,jk,kl->il", "i,->i"]))
    rng, side = draw(rngs), {letter: draw(sides) for letter in "bijkl"}
    terms = subscripts.replace(" ", "").split("->")[0].split(",")
    return (tuple(anything(rng, [side[letter] for letter in term]) for term in terms),
            dict(subscripts=subscripts))


def one_or_two(numbers):
    """An int, or two of them for height and width."""
    return numbers | st.tuples(numbers, numbers)


def pair(value):
    """(height, width) of an int or two of them."""
    return tuple(np.broadcast_to(value, 2).tolist())


@st.composite
def images(draw, kernel_size, padding, values=anything):
    """Images on which the kernel finds at least one place."""
    n, c = draw(sides), draw(sides)
    size = [draw(st.integers(max(1, k - 2 * p), k + 3))
            for k, p in zip(pair(kernel_size), pair(padding))]
    return values(draw(rngs), (n, c, *size))


@st.composite
def with_windows(draw, values=anything):
    """Images, and the windows of a pooling."""
    side = one_or_two(st.integers(1, 3))
    kernel_size = draw(side)
    padding = draw(one_or_two(st.integers(0, min(pair(kernel_size)) // 2)))
    return ((draw(images(kernel_size, padding, values=values)),),
            dict(kernel_size=kernel_size, stride=draw(st.none() | side), padding=padding))


@st.composite
def with_filters(draw):
    """Images, filters, perhaps a bias; stride, padding, dilation and groups of a convolution."""
    rng, side, groups = draw(rngs), st.integers(1, 3), draw(st.sampled_from([1, 1, 2, 3]))
    kernel_size, dilation = (draw(side), draw(side)), draw(one_or_two(st.sampled_from([1, 1, 2, 3])))
    padding = draw(one_or_two(st.integers(0, 2)) | st.sampled_from(["same", "valid"]))
    stride = 1 if padding == "same" else draw(one_or_two(side))
    reach = [d * (k - 1) + 1 for k, d in zip(kernel_size, pair(dilation))]
    zeros = {"same": max(reach), "valid": 0}.get(padding, padding)    # with "same" any image will do
    x = draw(images(reach, zeros))
    n_out, n_in = groups * draw(sides), x.shape[1]
    x = np.concatenate([x] + [anything(rng, x.shape) for _ in range(groups - 1)], axis=1)
    args = x, anything(rng, (n_out, n_in, *kernel_size)), anything(rng, n_out)
    return (args[:draw(st.integers(2, 3))],
            dict(stride=stride, padding=padding, dilation=dilation, groups=groups))


def conv_settings(rng, n_axes=2):
    """Settings of a Conv1d or Conv2d: kernel_size, stride, padding, dilation, groups; and its channels."""
    def sides(low, high):
        drawn = tuple(int(v) for v in rng.integers(low, high, n_axes))
        return drawn if n_axes == 2 else drawn[0]
    padding = ["same", "valid", sides(0, 3)][rng.integers(3)]
    groups = int(rng.integers(1, 4))
    c, o = (groups * int(v) for v in rng.integers(1, 4, 2))
    return dict(in_channels=c, out_channels=o, kernel_size=sides(1, 4), stride=1 if padding == "same" else sides(1, 3),
                padding=padding, dilation=sides(1, 3), groups=groups)


def plain_conv(layer):
    """The same convolution without groups and dilation: most entries of its filters are 0."""
    W, groups = layer.weight.data, layer.groups
    dilation = np.broadcast_to(layer.dilation, W.ndim - 2)
    reach = [d * (k - 1) + 1 for k, d in zip(W.shape[2:], dilation)]
    whole = np.zeros((len(W), groups * W.shape[1], *reach), W.dtype)
    spread = tuple(slice(None, None, d) for d in dilation)
    for o in range(len(W)):
        first = o // (len(W) // groups) * W.shape[1]
        whole[(o, slice(first, first + W.shape[1]), *spread)] = W[o]
    plain = copy.copy(layer)
    plain.weight, plain.groups, plain.dilation = type(layer.weight)(whole), 1, 1
    plain.kernel_size = tuple(reach) if len(reach) == 2 else reach[0]
    return plain


# -------------------------------------------------- files

def put(path, data):
    """Write a file anew. To overwrite one, as tests of damage do a thousand times, waits for the disk."""
    path.unlink(missing_ok=True)
    path.write_bytes(data)


# -------------------------------------------------- settings: what is refused, what is accepted

class Setting(NamedTuple):
    """Values of an argument just outside of its range or of another type, and values at its edges."""
    bad: list
    good: list


NO_NUMBER = [None, "1", True, math.nan, math.inf]
NO_INT = [None, "1", True, math.nan, 1.0]
POSITIVE = Setting([0, -1e-9, *NO_NUMBER], [1e-9, 10.0, np.float64(3)])
UNIT = Setting([-1e-9, 1 + 1e-9, *NO_NUMBER], [0, 1, np.float64(0.5)])
REAL = Setting(NO_NUMBER, [0, -1, np.float64(2.5)])
FLAG = Setting(["no", None, 1, 0.0], [True, False, np.True_])
SIZE = Setting([0, -1, *NO_INT], [1, np.int64(2)])
COUNT = Setting([-1, *NO_INT], [0, np.int64(1)])
PAIR = Setting([0, (1, 0), (1,), (1, 1, 1), [1.0, 1], *NO_INT], [1, (1, 2), [2, 1], np.int64(2)])
PADDING = Setting([-1, (0, -1), (0,), (0, True), *NO_INT], [0, (0, 1), np.int64(1)])
CONV_PADDING = Setting(["full", None, *PADDING.bad], ["same", "valid", *PADDING.good])
POOL_PADDING = Setting([2, (0, 2), *PADDING.bad], PADDING.good)    # of windows of 2 or 3
AXIS = Setting([2, -3, (0,), *NO_INT], [0, 1, -1, -2, np.int64(0)])
REDUCTION = Setting(["avg", None, 1, ["mean"]], ["mean", "sum", "none"])
GENERATOR = Setting([None, 0, "seed", np.random], [np.random.default_rng(5)])


def or_none(setting):
    """The same, with None as one more value."""
    return Setting([v for v in setting.bad if v is not None], [None, *setting.good])


def settings_of(table):
    """pytest's (name, option) of all options of a table of name -> (call, {option: Setting}, ...)."""
    return pytest.mark.parametrize("name, option", [(name, option) for name in table for option in table[name][1]])


def optional(function):
    """The names of a function's arguments that have a default, and `rng`."""
    parameters = inspect.signature(function).parameters.values()
    return {p.name for p in parameters if p.default is not p.empty or p.name == "rng"}


def defaults(function):
    """The defaults of a function's arguments, by name."""
    parameters = inspect.signature(function).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty}


def all_refused(name, option, call, setting):
    """Whatever is bad is refused by the names of function and option."""
    for value in setting.bad:
        with pytest.raises((ValueError, TypeError), match=rf"^{name}: .*{option}"):
            pytest.fail(f"{option}={value!r} was accepted: {call(**{option: value})}")


def some_change(option, call, setting):
    """Whether some good value changes the result; none changes its float32, NumPy numbers included."""
    results = [call(**{option: value}) for value in setting.good]
    assert all(array.dtype == np.float32 for arrays in results for array in arrays)
    return any(differ(y, call()) for y in results)


def differ(a, b):
    """Whether two results, arrays or tuples of them, differ in shape or in an entry."""
    a, b = (x if isinstance(x, tuple) else (x,) for x in (a, b))
    return len(a) != len(b) or any(x.shape != y.shape or (x != y).any() for x, y in zip(a, b))
