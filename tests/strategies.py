"""How tests draw arrays: shapes from hypothesis, values from a Generator that hypothesis seeds.

Shapes are small and awkward: no axes at all, axes of length 1, axes of length 0. Values are generic,
so that a wrong formula cannot be right by accident, and each kind keeps a distance from something:
a central difference is blind at a pole, a kink or a tie.
"""
import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp


# Kinds of values: functions (rng, shape) -> ndarray of float64.

def anything(rng, shape):
    """Entries between -2 and 2."""
    return np.asarray(rng.uniform(-2, 2, shape))


def positive(rng, shape):
    """Entries between 1/4 and 2."""
    return np.asarray(rng.uniform(0.25, 2, shape))


def nonzero(rng, shape):
    """Entries between 1/4 and 2 with random signs."""
    return np.asarray(rng.choice([-1, 1], shape) * positive(rng, shape))


def quarters(rng, shape):
    """Multiples of 1/4 between -2 and 2: ties with one another, never with `eighths`."""
    return np.asarray(rng.integers(-8, 9, shape) / 4)


def eighths(rng, shape):
    """Odd multiples of 1/8, at least 1/8 away from `quarters`."""
    return quarters(rng, shape) + 1 / 8


def distinct(rng, shape):
    """No two entries closer than 1/8."""
    n = int(np.prod(shape))
    return np.asarray(rng.permutation(n).reshape(shape) - n // 2) / 8


# Strategies.

def rngs():
    """Generators, shown by their seed when a test fails."""
    return st.builds(np.random.default_rng, st.integers(0, 2**32 - 1))


def shapes(min_dims=0, max_dims=3, min_side=0, max_side=3):
    """Shapes with axes of length 0 and 1 among them."""
    return hnp.array_shapes(min_dims=min_dims, max_dims=max_dims, min_side=min_side,
                            max_side=max_side)


def broadcastable(n):
    """n shapes that broadcast against one another, and the shape that they broadcast to."""
    return hnp.mutually_broadcastable_shapes(num_shapes=n, max_dims=3, min_side=0, max_side=3)


@st.composite
def arrays(draw, values=anything, shape=shapes()):
    """Arrays of one kind of values."""
    return values(draw(rngs()), draw(shape))
