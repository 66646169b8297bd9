"""The law of sums: over any axes of any layout they are exact up to the rounding of few additions."""
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import rngs, shapes

from tinyml.sums import FEW, add_up


@given(rng=rngs, shape=shapes(min_dims=1, max_dims=4), dtype=st.sampled_from([np.float16, np.float32, np.float64]),
       order=st.sampled_from("CF"), keepdims=st.booleans(), data=st.data())
def test_add_up_is_the_sum_over_any_axes_of_any_layout(rng, shape, dtype, order, keepdims, data):
    """Up to n eps sum |x| for n numbers: as a product with ones, in pairs, or, where there are many, in float64."""
    places = range(len(shape))
    axes = tuple(sorted(data.draw(st.sets(st.sampled_from(places), min_size=1))))
    axis = data.draw(st.sampled_from([axes, tuple(i - len(shape) for i in axes), axes[0] if len(axes) == 1 else axes]))
    longest = data.draw(st.sampled_from(places))
    shape = tuple(n * 600 if i == longest else n for i, n in enumerate(shape))    # 1200 and 1800 are more than FEW
    x = np.asarray(rng.normal(size=shape).astype(dtype), order=order)
    total, n = add_up(x, axis, keepdims), math.prod(shape[i] for i in axes)
    exact = x.astype(np.longdouble).sum(axis, keepdims=keepdims)
    size = abs(x).sum(axis, np.longdouble, keepdims=keepdims)
    assert total.shape == exact.shape and total.dtype == (np.float32 if dtype == np.float16 else dtype)
    assert (abs(total - exact) <= min(n, FEW) * np.finfo(total.dtype).eps * size).all()


@pytest.mark.parametrize("shape", [(3,), (3, 4), (2, 3, 4)])
@pytest.mark.parametrize("keepdims", [False, True])
def test_one_axis_as_a_number_or_in_a_tuple(shape, keepdims):
    x = np.arange(math.prod(shape), dtype=np.float32).reshape(shape)    # small whole numbers: sums are exact
    for i in range(-x.ndim, x.ndim):
        for axis in (i, (i,)):
            total, expected = add_up(x, axis, keepdims), x.sum(axis, keepdims=keepdims)
            assert total.shape == expected.shape and (total == expected).all()
