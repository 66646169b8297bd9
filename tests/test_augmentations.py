"""The laws of views: where pixels move, what stays as it is, how strong random changes are."""
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from strategies import rngs

from tinyml.selfsupervised.augmentations import add_noise, affine, compose, erase, random_affine

DTYPES = st.sampled_from([np.float32, np.float64])
sides = st.integers(1, 6)


@st.composite
def images(draw, dtypes=DTYPES, sides=sides):
    """A few images of one shape, with pixels in [0, 1]."""
    shape = draw(st.integers(1, 3)), draw(sides), draw(sides)
    return draw(rngs).random(shape).astype(draw(dtypes))


def tent(x, matrix, shift):
    """The sum of the docstring, pixel by pixel: every x_ij, weighted by two tents around p."""
    centre = (np.array(x.shape[1:]) - 1) / 2
    out = np.zeros(x.shape)
    for n, r, c in np.ndindex(x.shape):
        p = centre + np.linalg.solve(matrix[n], [r, c] - centre - shift[n])
        weights = [np.maximum(0, 1 - abs(where - np.arange(side))) for where, side in zip(p, x.shape[1:])]
        out[n, r, c] = weights[0] @ x[n] @ weights[1]
    return out


def turn(angle):
    return np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])


# ------------------------------------------------------------ one affine map

@given(x=images(st.just(np.float64)), rng=rngs)
def test_affine_is_the_weighted_mean_of_four_pixels(x, rng):
    matrix = np.eye(2) + rng.uniform(-0.4, 0.4, (len(x), 2, 2))
    shift = rng.uniform(-3, 3, (len(x), 2))
    before = x.copy()
    moved = affine(x, matrix, shift)
    assert_allclose(moved, tent(x, matrix, shift), rtol=0, atol=1e-13)
    single = affine(x.astype(np.float32), matrix, shift)    # positions are wrong by 1e-6 or so
    assert_allclose(single, moved, rtol=0, atol=1e-4)
    first, second, mixed = (affine(a, matrix[0]) for a in (x, x[::-1], 2 * x - x[::-1]))
    assert_allclose(mixed, 2 * first - second, rtol=0, atol=1e-13)
    assert -1e-15 <= moved.min() and moved.max() <= x.max() + 1e-15
    assert_array_equal(x, before)


@given(x=images(), rng=rngs)
def test_shifts_by_whole_pixels_and_flips_are_exact(x, rng):
    """No pixel is between two: the same bits, elsewhere."""
    n, h, w = x.shape
    same = affine(x, np.eye(2))
    assert_array_equal(same, x)
    assert same.dtype == x.dtype
    down, right = (int(rng.integers(-side, side + 1)) for side in (h, w))
    framed = np.pad(x, [(0, 0), (h, h), (w, w)])
    there = framed[:, h - down:2 * h - down, w - right:2 * w - right]
    assert_array_equal(affine(x, np.eye(2), (down, right)), there)
    assert_array_equal(affine(x, np.diag([-1, 1])), x[:, ::-1])
    assert_array_equal(affine(x, np.diag([1, -1])), x[:, :, ::-1])


@given(n=st.integers(1, 3), side=sides, rng=rngs, dtype=DTYPES, quarters=st.integers(-3, 4))
def test_a_quarter_turn_is_that_of_numpy(n, side, rng, dtype, quarters):
    """cos(pi/2) is 6e-17, not 0."""
    x = rng.random((n, side, side)).astype(dtype)
    turned = affine(x, turn(quarters * np.pi / 2))
    assert_allclose(turned, np.rot90(x, quarters, axes=(1, 2)), rtol=0, atol=1e-5)
    flat = x.reshape(n, -1)
    assert_array_equal(affine(flat, turn(0.3), (0.5, 1)), affine(x, turn(0.3), (0.5, 1)).reshape(n, -1))


# ------------------------------------------------------------ random affine maps

strengths = st.fixed_dictionaries(dict(rotate=st.floats(0, 1), scale=st.floats(0, 0.5), shear=st.floats(0, 0.5),
                                       shift=st.floats(0, 2)))


def drawn(view, n, rng_seed):
    """A and t of n views, read off two ramps: bilinear interpolation is exact where an image is linear."""
    side = 25
    ramps = np.broadcast_to(np.indices((side, side), dtype=float)[:, None], (2, n, side, side))
    rows, columns = (view(ramp, np.random.default_rng(rng_seed)) for ramp in ramps)
    p = np.stack([rows, columns], axis=-1)    # p at every q, near the centre, where it is inside the image
    middle = p[:, 12, 12]
    inverse = np.stack([p[:, 13, 12] - middle, p[:, 12, 13] - middle], axis=-1)
    matrix = np.linalg.inv(inverse)
    return matrix, np.einsum("nij,nj->ni", matrix, 12 - middle)    # p = c - A^-1 t at the centre


@settings(max_examples=15)
@given(strength=strengths, seed=st.integers(0, 2 ** 32))
def test_random_maps_are_uniform_within_their_strengths(strength, seed):
    n = 300
    matrix, t = drawn(random_affine(**strength), n, seed)
    size = np.linalg.norm(matrix[:, :, 1], axis=1)
    angle = np.arctan2(-matrix[:, 0, 1], matrix[:, 1, 1])
    rest = np.einsum("nji,njk->nik", np.array([turn(a) for a in angle]), matrix) / size[:, None, None]
    assert_allclose(rest[:, 0], np.tile([1, 0], (n, 1)), rtol=0, atol=1e-9)
    for name, values in dict(rotate=angle, scale=size - 1, shear=rest[:, 1, 0], shift=t.ravel()).items():
        limit = strength[name]
        assert np.abs(values).max() <= limit + 1e-9
        # Of 300 uniform draws none is in the last tenth on a side: 0.95^300, 2e-7. The mean: 6 of its sigmas.
        assert values.max() >= 0.9 * limit - 1e-9 and values.min() <= -0.9 * limit + 1e-9
        assert abs(values.mean()) <= 6 * limit / math.sqrt(3 * n) + 1e-9


@given(x=images(sides=st.just(5)), strength=strengths, seed=st.integers(0, 2 ** 32))
def test_a_seed_fixes_the_view_and_strength_0_changes_nothing(x, strength, seed):
    views = [(random_affine(**strength), random_affine()), (add_noise(0.2), add_noise(0)), (erase(3), erase(0)),
             (compose(random_affine(**strength), erase(2), add_noise(0.1)), compose())]
    before = x.copy()
    for view, nothing in views:
        first, again = (view(x, np.random.default_rng(seed)) for _ in range(2))
        assert_array_equal(first, again)
        assert first.dtype == x.dtype and first.shape == x.shape and not np.shares_memory(first, x)
        assert 0 <= first.min() + 1e-7 and first.max() <= 1 + 1e-7
        assert_array_equal(nothing(x, np.random.default_rng(seed)), x)
        flat = view(x.reshape(len(x), -1), np.random.default_rng(seed))
        assert_array_equal(flat, first.reshape(len(x), -1))
        assert_array_equal(x, before)


# ------------------------------------------------------------ erasing, noise, chains

@given(shape=st.tuples(st.integers(1, 4), sides, sides), data=st.data(), rng=rngs)
def test_an_erased_square_is_0_and_the_rest_as_before(shape, data, rng):
    x = rng.uniform(0.5, 1, shape)
    size = data.draw(st.integers(0, min(shape[1:])))
    for before, after in zip(x, erase(size)(x, rng)):
        rows, columns = np.nonzero(after == 0)
        assert len(rows) == size ** 2
        if size:
            assert np.ptp(rows) == np.ptp(columns) == size - 1
        assert_array_equal(after[after != 0], before[after != 0])


def test_all_places_are_erased_equally_often():
    """4 x 3 places for a 2 x 2 square: each gets 1/12 of 6,000, give or take 5 of its sigmas, 21."""
    x = erase(2)(np.ones((6000, 5, 4)), np.random.default_rng(0)).reshape(6000, -1)
    counts = np.bincount((x == 0).argmax(axis=1))    # by the upper left corner
    assert len(counts[counts > 0]) == 12
    assert np.abs(counts[counts > 0] - 500).max() < 5 * 21.4


@given(rng=rngs, std=st.floats(0.01, 0.1), level=st.floats(0.4, 0.6), dtype=DTYPES)
def test_noise_is_normal_independent_and_clipped(rng, std, level, dtype):
    """Over 20,000 pixels, mean and variance to 5 of their sigmas; 0.4 is 4 sigmas from 0, or more."""
    x = np.full((50, 400), level, dtype)
    noise = (add_noise(std)(x, rng) - x).astype(float) / std
    assert abs(noise.mean()) < 5 / math.sqrt(noise.size)
    assert abs(noise.var() - 1) < 5 * math.sqrt(2 / noise.size) + 1e-3
    assert abs((noise[1:] * noise[:-1]).mean()) < 5 / math.sqrt(noise.size - 400)
    loud = add_noise(50)(x, rng)
    assert_allclose(np.mean([loud == 0, loud == 1], axis=(1, 2)), 0.5, atol=0.03)


@given(x=images(), seed=st.integers(0, 2 ** 32))
def test_compose_applies_views_in_order_with_one_rng(x, seed):
    rng = np.random.default_rng(seed)
    expected = add_noise(0.2)(random_affine(shift=2)(x, rng), rng)
    view = compose(random_affine(shift=2), add_noise(0.2))
    assert_array_equal(view(x, np.random.default_rng(seed)), expected)


# ------------------------------------------------------------ errors

X, RNG = np.ones((2, 3, 3)), np.random.default_rng(0)


@pytest.mark.parametrize("call, words", [
    (lambda: affine(np.ones((2, 10)), np.eye(2)), r"affine: x must have shape .* with H = W, got \(2, 10\)"),
    (lambda: affine(np.ones((2, 0)), np.eye(2)), r"got \(2, 0\)"),
    (lambda: affine(X[:, :0], np.eye(2)), r"got \(2, 0, 3\)"),
    (lambda: affine(X, np.zeros((2, 2))), "affine: matrix must have an inverse, got determinant 0"),
    (lambda: random_affine()(X, 0), "random_affine: rng must be numpy.random.Generator, got 0"),
    (lambda: random_affine()(X[0, 0], RNG), r"random_affine: x must be array_like, shape \(N, H, W\) or \(N, D\), got shape"),
    (lambda: add_noise(0.1)(X, None), "add_noise: rng must be"),
    (lambda: add_noise(0.1)([1, 2], RNG), r"add_noise: x must be array_like, shape \(N, H, W\) or \(N, D\), got shape"),
    (lambda: erase(4)(X, RNG), "erase: size must be at most the side 3, got 4"),
    (lambda: erase(1)(X, None), "erase: rng must be"),
])
def test_errors_say_what_to_write(call, words):
    with pytest.raises((ValueError, TypeError), match=words):
        call()
