"""The laws of monochromatic filters: rank one in colours that are shared, and layers that compute it."""
import copy
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from strategies import one_or_two, rngs

from tinyml import Tensor, nn
from tinyml.compression.coding.storage import load_compressed, save_compressed
from tinyml.compression.monochromatic import (
    best_color,
    color_cost,
    gray_filters,
    monochromatic_conv,
    monochromatic_work,
    shared_colors,
)
from tinyml.compression.report import macs
from tinyml.optim import Adam
from tinyml.train import fit

sizes = st.integers(1, 5)
R = np.random.default_rng(0)


def squared(a):
    return float((np.asarray(a, np.float64) ** 2).sum())


def unit(rng, *shape):
    u = rng.standard_normal(shape)
    return u / np.linalg.norm(u, axis=-1, keepdims=True)


def drawn(rng, F, C, kh=2, kw=3):
    return rng.standard_normal((F, C, kh, kw)) * rng.uniform(0.1, 3, (F, 1, 1, 1))


def grams(W):
    return np.array([w.reshape(len(w), -1) @ w.reshape(len(w), -1).T for w in W])


def rebuilt(filters, codes, colors):
    """W~[f, c, i, j] = u_k[c] v_f[i, j]."""
    u = colors[codes]
    return u[:, :, None, None] * gray_filters(filters, u)[:, None]


def tails(W):
    """The least error of each filter, with a colour of its own."""
    return [squared(np.linalg.svd(w.reshape(len(w), -1), compute_uv=False)[1:]) for w in W]


# ------------------------------------------------------------ one colour

@given(rngs, sizes, sizes)
def test_no_other_gray_filter_is_nearer_in_a_colour(rng, F, C):
    W, u = drawn(rng, F, C), unit(rng, F, C)
    V = gray_filters(W, u)
    assert V.shape == (F, 2, 3)
    nearest = squared(W - u[:, :, None, None] * V[:, None])
    other = V + rng.standard_normal(V.shape)
    assert_allclose(squared(W - u[:, :, None, None] * other[:, None]), nearest + squared(other - V), rtol=1e-10)
    assert gray_filters(W.astype("f4"), u.astype("f4")).dtype == np.float32


@given(rngs, sizes, sizes)
def test_the_cost_is_what_a_colour_adds_to_the_error_of_rank_one(rng, F, C):
    W, u = drawn(rng, F, C), unit(rng, C)
    errors = [squared(w - u[:, None, None] * gray_filters(w[None], u[None])) for w in W]
    assert_allclose(color_cost(grams(W), u), np.subtract(errors, tails(W)), atol=1e-11 * squared(W))
    for f in range(F):    # in its own colour: nothing
        own = np.linalg.svd(W[f].reshape(C, -1))[0][:, 0]
        cost = color_cost(grams(W), own)
        assert (cost >= 0).all() and cost[f] <= 1e-12 * squared(W)


@given(rngs, sizes, sizes)
def test_no_colour_is_better_than_the_best_one(rng, F, C):
    G = grams(drawn(rng, F, C))
    u = best_color(G)
    assert u.shape == (C,)
    assert_allclose(np.linalg.norm(u), 1, rtol=1e-12)
    least = color_cost(G, u).sum()
    side_by_side = np.linalg.eigvalsh(G.sum(axis=0))[-1]    # s_1^2 of all filters side by side
    assert_allclose(least, sum(np.linalg.eigvalsh(g)[-1] for g in G) - side_by_side, atol=1e-10 * np.trace(G.sum(axis=0)))
    for other in unit(rng, 5, C):
        assert color_cost(G, other).sum() >= least - 1e-10 * np.trace(G.sum(axis=0))


# ------------------------------------------------------------ shared colours

@settings(max_examples=15)
@given(rngs, st.integers(1, 8), st.integers(1, 4), st.integers(1, 5))
def test_each_filter_has_the_best_colour_and_each_colour_is_best_for_its_filters(rng, F, C, k):
    W = drawn(rng, F, C)
    codes, colors = shared_colors(W, k, rng=rng)
    assert codes.shape == (F,) and colors.shape[1] == C and len(colors) <= k
    assert_array_equal(np.unique(codes), np.arange(len(colors)))
    G, size = grams(W), squared(W)
    cost = np.array([color_cost(G, u) for u in colors])    # (m, F)
    assert (cost[codes, np.arange(F)] <= cost.min(axis=0) + 1e-12 * size).all()
    for j in range(len(colors)):
        group = codes == j
        assert cost[j, group].sum() <= color_cost(G[group], best_color(G[group])).sum() + 1e-12 * size


@settings(max_examples=15)
@given(rngs, st.integers(1, 6), st.integers(1, 4))
def test_a_colour_for_each_filter_leaves_the_error_of_rank_one(rng, F, C):
    W = drawn(rng, F, C)
    codes, colors = shared_colors(W, F, rng=rng)
    assert_allclose(squared(W - rebuilt(W, codes, colors)), sum(tails(W)), atol=1e-11 * squared(W))
    one_color = squared(W - rebuilt(W, *shared_colors(W, 1, rng=rng)))
    side_by_side = W.swapaxes(0, 1).reshape(C, -1)
    assert_allclose(one_color, squared(np.linalg.svd(side_by_side, compute_uv=False)[1:]), atol=1e-11 * squared(W))


@settings(max_examples=15)
@given(rngs, st.integers(1, 4), st.integers(2, 4), st.integers(0, 6))
def test_filters_that_have_few_colours_are_found_exactly(rng, k, C, more):
    """Also where some have the opposite sign, or are zero: -u is the colour u."""
    true = np.append(np.arange(k), rng.integers(0, k, more))
    V = rng.standard_normal((len(true), 2, 3)) * rng.choice([-1, 1], (len(true), 1, 1))
    W = unit(rng, k, C)[true][:, :, None, None] * V[:, None]
    codes, colors = shared_colors(W, k, rng=rng, n_starts=2)    # what costs nothing is not drawn
    assert_allclose(rebuilt(W, codes, colors), W, atol=1e-6 * np.abs(W).max())    # root of 1e-13
    assert_allclose(rebuilt(0 * W, *shared_colors(0 * W, k, rng=rng)), 0 * W, atol=0)


@settings(max_examples=15)
@given(rngs, st.integers(2, 8), st.integers(1, 4))
def test_a_colour_for_each_is_no_worse_than_one_for_all_and_signs_change_nothing(rng, F, C):
    W = drawn(rng, F, C)
    errors = [squared(W - rebuilt(W, *shared_colors(W, k, rng=rng))) for k in (1, F)]
    assert errors[1] <= errors[0] + 1e-11 * squared(W)
    signs = rng.choice([-1, 1], (F, 1, 1, 1))
    draws = [np.random.default_rng(1) for _ in range(2)]
    plain, flipped = (shared_colors(V, 2, rng=draw) for V, draw in zip((W, signs * W), draws))
    assert_array_equal(plain[0], flipped[0])


# ------------------------------------------------------------ layers

@settings(max_examples=20)
@given(rngs, sizes, sizes, one_or_two(st.integers(1, 3)), one_or_two(st.integers(1, 2)), one_or_two(st.integers(0, 2)),
       st.integers(1, 4), st.booleans(), st.integers(1, 2))
def test_two_layers_compute_the_filters_of_few_colours(rng, F, C, kernel, stride, padding, k, bias, dilation):
    layer = nn.Conv2d(C, F, kernel, stride, padding, bias=bias, dilation=dilation, rng=rng)
    seed = int(rng.integers(99))
    small = monochromatic_conv(layer, k, rng=np.random.default_rng(seed))
    codes, colors = shared_colors(layer.weight.data, k, rng=np.random.default_rng(seed))
    whole = copy.deepcopy(layer)
    whole.weight.data = rebuilt(layer.weight.data, codes, colors).astype(np.float32)
    x = Tensor(rng.standard_normal((2, C, 6, 7)).astype(np.float32))
    assert_allclose(small(x).data, whole(x).data, atol=1e-5)
    assert small(x).dtype == np.float32
    n_bias = F if bias else 0
    assert sum(p.size for p in small.parameters()) == len(colors) * C + F * np.prod(layer.weight.shape[2:]) + n_bias


@settings(max_examples=20)
@given(rngs, sizes, sizes, st.sampled_from([1, 3]), st.tuples(*[st.integers(1, 3)] * 2))
def test_the_work_is_that_of_a_mixture_and_of_filters_for_one_channel(rng, F, C, kernel, stride):
    """6 output pixels a side from 6 times the stride: borders change nothing."""
    layer = nn.Conv2d(C, F, kernel, stride, kernel // 2, rng=rng)
    X = np.zeros((1, C, 6 * stride[0], 6 * stride[1]), np.float32)
    small = monochromatic_conv(layer, F, rng=rng)
    n_colors = small[0].out_channels
    assert_allclose(macs(small, X), monochromatic_work(layer, n_colors) * macs(layer, X), rtol=1e-12)
    assert macs(small, X) == 36 * (np.prod(stride) * n_colors * C + F * kernel ** 2)


def test_two_layers_are_trained_stored_and_leave_the_model(tmp_path):
    rng = np.random.default_rng(0)
    layer = nn.Conv2d(3, 6, 3, padding=1, rng=rng)
    before = layer.state_dict()
    model = nn.Sequential(monochromatic_conv(layer, 2, rng=rng), nn.ReLU(), nn.Flatten(), nn.Linear(96, 2, rng=rng))
    X, y = rng.standard_normal((40, 3, 4, 4)).astype(np.float32), rng.integers(0, 2, 40)
    start = [p.data.copy() for p in model.parameters()]
    fit(model, X, y, optimizer=Adam(model.parameters(), lr=0.01), epochs=2, batch_size=20, rng=rng)
    assert all((a != p.data).any() for a, p in zip(start, model.parameters()))
    assert all(np.array_equal(a, before[k]) for k, a in layer.state_dict().items())
    save_compressed(model, tmp_path / "m")
    assert_array_equal(load_compressed(tmp_path / "m")(Tensor(X)).data, model(Tensor(X)).data)


@pytest.mark.parametrize("message, call", [
    ("monochromatic_conv: n_colors must be int >= 1, got 0",
     lambda: monochromatic_conv(nn.Conv2d(3, 2, 1, rng=R), 0, rng=R)),
    ("monochromatic_conv: layer must have groups=1, got groups=2",
     lambda: monochromatic_conv(nn.Conv2d(2, 2, 1, groups=2, rng=R), 1, rng=R)),
    ("gray_filters: colors must be array_like, shape (F, C)",
     lambda: gray_filters(np.ones((2, 3, 1, 1)), np.ones((2, 2)))),
    ("shared_colors: filters must be array_like of float64, shape (F, C, kh, kw), F >= 1",
     lambda: shared_colors(np.ones((0, 3, 1, 1)), 1, rng=R))])
def test_an_error_names_function_argument_requirement_and_value(message, call):
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        call()
