"""How tests draw arrays, and calls of an operation.

Shapes come from hypothesis; they are small and awkward: no axes at all, axes of length 1, axes of
length 0. Values come from a Generator that hypothesis seeds: generic, so that a wrong formula is not
right by accident, and of a kind that keeps its distance from poles, kinks or ties, where a central
difference is blind.
"""
import math

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.lib.array_utils import normalize_axis_tuple

rngs = st.builds(np.random.default_rng, st.integers(0, 2**32 - 1))


# ------------------------------------------------------------ kinds of values, (rng, shape) -> float64

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
    """Entries at least 1/8 away from one another, of both signs."""
    n = math.prod(shape)
    return (rng.permutation(n) - n // 2).reshape(shape) / 8


# ------------------------------------------------------------ shapes and arrays

def shapes(min_dims=0, max_dims=3):
    """Shapes with sides of 0 to 3."""
    return hnp.array_shapes(min_dims=min_dims, max_dims=max_dims, min_side=0, max_side=3)


def broadcastable(n):
    """n shapes that broadcast against one another, `input_shapes`, and their `result_shape`."""
    return hnp.mutually_broadcastable_shapes(num_shapes=n, max_dims=3, min_side=0, max_side=3)


@st.composite
def arrays(draw, values=anything, shape=shapes()):
    """Arrays with one kind of values."""
    return np.asarray(values(draw(rngs), draw(shape)))


# ------------------------------------------------------------ calls: (arrays, metadata) of an operation

@st.composite
def one(draw, values=anything, shape=shapes(), **metadata):
    """One array, and metadata that does not depend on it."""
    return (draw(arrays(values, shape)),), draw(st.fixed_dictionaries(metadata))


@st.composite
def two(draw, x_values=anything, y_values=anything):
    """Two arrays that broadcast against each other."""
    rng, shape = draw(rngs), draw(broadcastable(2)).input_shapes
    return (x_values(rng, shape[0]), y_values(rng, shape[1])), {}


@st.composite
def with_condition(draw):
    """Two arrays and a condition, all three broadcast."""
    rng, shape = draw(rngs), draw(broadcastable(3)).input_shapes
    condition = np.asarray(rng.random(shape[2]) < 0.5)
    return (anything(rng, shape[0]), anything(rng, shape[1])), dict(condition=condition)


@st.composite
def with_bounds(draw, least):
    """Quarters, and at least so many of the bounds `low` and `high`, which are eighths."""
    low, high = sorted(eighths(draw(rngs), 2).tolist())
    names = draw(st.sets(st.sampled_from(["low", "high"]), min_size=least))
    return (draw(arrays(quarters)),), {n: dict(low=low, high=high)[n] for n in names}


@st.composite
def with_axes(draw, values=anything, least=0, min_dims=0, **metadata):
    """An array and axes to reduce, each of length `least` or more."""
    shape = draw(shapes(min_dims))
    ndim = len(shape)
    axis = draw(st.one_of(st.none(), hnp.valid_tuple_axes(ndim, min_size=min_dims),
                          *[st.integers(-ndim, ndim - 1)] * (ndim > 0)))
    reduced = normalize_axis_tuple(range(ndim) if axis is None else axis, ndim)
    shape = tuple(max(n, least) if i in reduced else n for i, n in enumerate(shape))
    return (values(draw(rngs), shape),), dict(axis=axis, **draw(st.fixed_dictionaries(metadata)))


@st.composite
def with_grid(draw):
    """Values around a grid of codes, with one step for all or one for each of some channels."""
    rng, shape = draw(rngs), draw(broadcastable(2))
    scale = positive(rng, shape.input_shapes[0])
    zero_point = rng.integers(-3, 4, draw(st.sampled_from([(), scale.shape])))
    quant_min, quant_max = draw(st.sampled_from([(-8, 7), (0, 15), (-1, 1)]))
    code = rng.integers(-20, 20, shape.result_shape) + rng.uniform(-0.4, 0.4, shape.result_shape)
    return (np.asarray(scale * code),), dict(scale=scale, zero_point=zero_point,
                                             quant_min=quant_min, quant_max=quant_max)


@st.composite
def with_labels(draw):
    """Rows of logits, and a label for each."""
    logits = draw(arrays(shape=shapes(1).map(lambda s: (*s[:-1], max(s[-1], 1)))))
    labels = draw(rngs).integers(0, logits.shape[-1], logits.shape[:-1])
    return (logits,), dict(labels=np.asarray(labels))


@st.composite
def with_shape(draw):
    """An array and another shape of as many entries, with one length perhaps left open as -1."""
    x = draw(arrays())
    shape = draw(st.permutations(x.shape))
    if shape and x.size and draw(st.booleans()):
        shape[draw(st.integers(0, x.ndim - 1))] = -1
    return (x,), dict(shape=tuple(shape))


@st.composite
def with_broader_shape(draw):
    """An array and a shape that it broadcasts to."""
    shape = draw(broadcastable(2))
    return (anything(draw(rngs), shape.input_shapes[0]),), dict(shape=shape.result_shape)


@st.composite
def with_order(draw):
    """An array and its axes in some order, counted from either end."""
    x = draw(arrays())
    order, shift = draw(st.permutations(range(x.ndim))), draw(st.sampled_from([0, x.ndim]))
    return (x,), dict(axes=draw(st.sampled_from([None, tuple(i - shift for i in order)])))


@st.composite
def with_two_axes(draw):
    """An array and two of its axes."""
    x = draw(arrays(shape=shapes(1)))
    axis = st.integers(-x.ndim, x.ndim - 1)
    return (x,), dict(axis1=draw(axis), axis2=draw(axis))


@st.composite
def with_index(draw):
    """An array and an index: basic, integer arrays (which may pick twice), a list, a mask."""
    x = draw(arrays(shape=shapes(1)))
    kinds = [hnp.basic_indices(x.shape, allow_newaxis=True), hnp.arrays(bool, x.shape)]
    if x.size:
        entry = st.integers(-len(x), len(x) - 1)
        kinds += [hnp.integer_array_indices(x.shape), st.lists(entry, min_size=1, max_size=4)]
    return (x,), dict(index=draw(st.one_of(kinds)))


@st.composite
def with_pad_width(draw):
    """An array, and one width for all sides or one for each."""
    x, width = draw(arrays()), st.integers(0, 2)
    each = st.lists(st.tuples(width, width), min_size=x.ndim, max_size=x.ndim)
    pad_width = draw(st.one_of(width, each) if x.ndim else width)
    return (x,), dict(pad_width=pad_width, value=draw(st.floats(-1, 1)))


@st.composite
def joined(draw):
    """Up to three arrays that differ in length along one axis only."""
    shape, rng = draw(shapes(1)), draw(rngs)
    axis, lengths = draw(st.integers(-len(shape), len(shape) - 1)), draw(
        st.lists(st.integers(0, 3), min_size=1, max_size=3))
    i = axis % len(shape)
    return tuple(anything(rng, (*shape[:i], n, *shape[i + 1:])) for n in lengths), dict(axis=axis)


@st.composite
def stacked(draw):
    """Up to three arrays of one shape, and an axis of the result."""
    shape, rng = draw(shapes(max_dims=2)), draw(rngs)
    axis = draw(st.integers(-len(shape) - 1, len(shape)))
    return tuple(anything(rng, shape) for _ in range(draw(st.integers(1, 3)))), dict(axis=axis)


@st.composite
def matrices(draw):
    """Stacks of matrices that fit together and broadcast; either may be a single vector."""
    shape = draw(hnp.mutually_broadcastable_shapes(signature="(n?,k),(k,m?)->(n?,m?)",
                                                   max_dims=2, min_side=0, max_side=3)).input_shapes
    rng = draw(rngs)
    return (anything(rng, shape[0]), anything(rng, shape[1])), {}


@st.composite
def affine(draw):
    """x, weight, and perhaps a bias."""
    rng, batch = draw(rngs), draw(shapes(max_dims=2))
    n_in, n_out = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    args = anything(rng, (*batch, n_in)), anything(rng, (n_out, n_in)), anything(rng, (n_out,))
    return args[:draw(st.integers(2, 3))], {}


@st.composite
def letters(draw):
    """Subscripts, and operands of the shapes that they ask for."""
    subscripts = draw(st.sampled_from(["ij->ji", "ij,jk->ik", "bij,bkj->bik", "i,j->ij", "ij,ij->",
                                       "i, ij, j -> i", "ij,jk,kl->il", "a,->a"]))
    rng, length = draw(rngs), {c: draw(st.integers(0, 3)) for c in "abijkl"}
    terms = subscripts.partition("->")[0].replace(" ", "").split(",")
    return (tuple(anything(rng, tuple(length[c] for c in term)) for term in terms),
            dict(subscripts=subscripts))


one_or_two = lambda numbers: numbers | st.tuples(numbers, numbers)


def pair(value):
    return tuple(np.broadcast_to(value, 2).tolist())


@st.composite
def images(draw, kernel_size, padding, channels=st.integers(0, 2), values=anything):
    """Images on which the kernel finds at least one place."""
    n, c = draw(channels), draw(channels)
    size = [draw(st.integers(max(1, k - 2 * p), k + 3))
            for k, p in zip(pair(kernel_size), pair(padding))]
    return values(draw(rngs), (n, c, *size))


@st.composite
def with_windows(draw, values=anything):
    """Images, and the windows of a pooling."""
    kernel_size, stride = draw(one_or_two(st.integers(1, 3))), draw(one_or_two(st.integers(1, 3)))
    padding = draw(one_or_two(st.integers(0, min(pair(kernel_size)) // 2)))
    x = draw(images(kernel_size, padding, values=values))
    return (x,), dict(kernel_size=kernel_size, stride=draw(st.sampled_from([stride, None])),
                      padding=padding)


@st.composite
def with_filters(draw):
    """Images, filters, perhaps a bias; stride and padding of a convolution."""
    kernel_size, n_out = draw(st.tuples(st.integers(1, 3), st.integers(1, 3))), draw(st.integers(1, 3))
    padding, stride = draw(one_or_two(st.integers(0, 2))), draw(one_or_two(st.integers(1, 3)))
    x, rng = draw(images(kernel_size, padding, channels=st.integers(1, 3))), draw(rngs)
    args = x, anything(rng, (n_out, x.shape[1], *kernel_size)), anything(rng, (n_out,))
    return args[:draw(st.integers(2, 3))], dict(stride=stride, padding=padding)
