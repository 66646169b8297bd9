"""Every primitive against every law that a primitive must keep.

A row of TABLE says what an operation computes and on which arguments; the laws below it hold for all
rows. To add an operation: export it from `tinyml.ops`, and give it a row with

    reference   the same value by NumPy alone, as a formula or as slow loops
    cases       a strategy that draws (arrays, metadata), away from poles, kinks and ties
    degree      d, if the operation is homogeneous: f(t x_1, t x_2, ...) = t^d f(x_1, x_2, ...)
    call        how to call it, if not as op(*arrays, **metadata)
"""
import math
from typing import Any, Callable, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from strategies import (anything, arrays, broadcastable, distinct, eighths, nonzero, positive,
                        quarters, rngs, shapes)
from tinyml import Tensor, gradcheck, ops


# Cases: what an operation may be called with.

@st.composite
def one(draw, values=anything, shape=shapes()):
    """One array, no metadata."""
    return (draw(arrays(values, shape)),), {}


@st.composite
def two(draw, x_values=anything, y_values=anything):
    """Two arrays that broadcast against each other."""
    rng, (x_shape, y_shape) = draw(rngs()), draw(broadcastable(2)).input_shapes
    return (x_values(rng, x_shape), y_values(rng, y_shape)), {}


@st.composite
def choices(draw):
    """Two arrays and a condition, all three broadcast."""
    rng, (x_shape, y_shape, c_shape) = draw(rngs()), draw(broadcastable(3)).input_shapes
    condition = np.asarray(rng.random(c_shape) < 0.5)
    return (anything(rng, x_shape), anything(rng, y_shape)), dict(condition=condition)


@st.composite
def bounds(draw, low=st.floats(-1, 0), high=st.floats(0, 1)):
    """Quarters, and bounds between them; None is no bound."""
    low, high = (bound if bound is None else round(bound * 4) / 4 + side / 8
                 for bound, side in ((draw(low), -1), (draw(high), 1)))
    return (draw(arrays(quarters)),), dict(low=low, high=high)


@st.composite
def reductions(draw, values=anything, least=0):
    """An array and axes to reduce, with `least` or more entries to each result."""
    x = draw(arrays(values))
    axis = draw(st.none() | hnp.valid_tuple_axes(x.ndim) |
                (st.integers(-x.ndim, x.ndim - 1) if x.ndim else st.nothing()))
    axes = range(x.ndim) if axis is None else np.atleast_1d(axis).astype(int)
    if math.prod(x.shape[i] for i in axes) < least:
        x = values(draw(rngs()), tuple(max(n, least) for n in x.shape))
    return (x,), dict(axis=axis, keepdims=draw(st.booleans()))
