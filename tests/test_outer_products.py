"""The laws of outer products: terms by least squares, one by one, and layers that compute them."""
import copy
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from strategies import one_or_two, rngs

from tinyml import Tensor, nn
from tinyml.compression.channel_blocks import blockwise
from tinyml.compression.coding.storage import load_compressed, save_compressed
from tinyml.compression.outer_products import (
    best_outer_product,
    outer_product_conv,
    outer_products,
    outer_work,
)
from tinyml.compression.report import macs
from tinyml.optim import Adam
from tinyml.train import fit

sizes = st.integers(1, 5)
R = np.random.default_rng(0)


def squared(a):
    return float((np.asarray(a, np.float64) ** 2).sum())


def outer(u, v, w):
    return np.einsum("a,b,c->abc", u, v, w)


def rebuilt(U, V, kernels):
    return np.einsum("ok,ck,kij->ocij", U, V, kernels)


# ------------------------------------------------------------ one term

@settings(max_examples=20)
@given(rngs, sizes, sizes, sizes)
def test_a_term_is_the_projection_on_its_vectors_and_better_than_any_slice_of_it(rng, m, n, p):
    T = rng.standard_normal((m, n, p))
    u, v, w = best_outer_product(T)
    assert_allclose([np.linalg.norm(v), np.linalg.norm(w)], 1, rtol=1e-12)
    assert_allclose(squared(T - outer(u, v, w)), squared(T) - squared(u), atol=1e-10 * squared(T))
    assert_allclose(u, np.einsum("abc,b,c->a", T, v, w), atol=1e-10)
    x = u + rng.standard_normal(m)    # with v and w as they are, no other u is nearer
    assert_allclose(squared(T - outer(x, v, w)), squared(T - outer(u, v, w)) + squared(x - u), rtol=1e-9)
    _, s, Vh = np.linalg.svd(T.reshape(m, -1), full_matrices=False)
    start = s[0] * np.linalg.svd(Vh[0].reshape(n, p), compute_uv=False)[0]
    assert squared(u) >= start ** 2 * (1 - 1e-9)    # what the start keeps
    assert squared(u) <= min(np.linalg.svd(np.moveaxis(T, i, 0).reshape(T.shape[i], -1), compute_uv=False)[0]
                             for i in range(3)) ** 2 * (1 + 1e-9)


@settings(max_examples=20)
@given(rngs, sizes, sizes, sizes)
def test_more_sweeps_are_no_worse_and_a_term_is_found(rng, m, n, p):
    T = rng.standard_normal((m, n, p))
    kept = [squared(best_outer_product(T, n_sweeps=k)[0]) for k in (1, 2, 4, 8)]
    assert (np.diff(kept) >= -1e-10 * squared(T)).all()
    term = outer(rng.standard_normal(m), rng.standard_normal(n), rng.standard_normal(p))
    assert_allclose(outer(*best_outer_product(term, n_sweeps=1)), term, atol=1e-12 * np.abs(term).max())
    assert_array_equal(outer(*best_outer_product(0 * T)), 0 * T)


@settings(max_examples=15)
@given(rngs, *[st.integers(3, 6)] * 3)
def test_in_the_end_each_vector_is_the_projection_on_the_two_others(rng, m, n, p):
    """At a stationary point all three projections have the same length; 0.1 %, as some end slowly."""
    T = rng.standard_normal((m, n, p))
    u, v, w = best_outer_product(T, n_sweeps=300)
    size = np.linalg.norm(u)
    for projection in (np.einsum("abc,a,c->b", T, u / size, w), np.einsum("abc,a,b->c", T, u / size, v)):
        assert_allclose(np.linalg.norm(projection), size, rtol=1e-3)


@settings(max_examples=15)
@given(rngs, *[st.integers(2, 5)] * 3, st.integers(1, 4))
def test_each_vector_is_fitted_to_the_newest_of_the_others(rng, m, n, p, n_sweeps):
    """v to this sweep's u, and w to both: up to their signs, the projections on them."""
    T = rng.standard_normal((m, n, p))
    u, _, before = best_outer_product(T, n_sweeps=n_sweeps)    # T v w, which begins the next sweep
    _, v, w = best_outer_product(T, n_sweeps=n_sweeps + 1)
    for vector, projection in ((v, np.einsum("abc,a,c->b", T, u, before)), (w, np.einsum("abc,a,b->c", T, u, v))):
        size = np.linalg.norm(projection)
        assert_allclose(abs(vector @ projection), size, rtol=1e-9)


@settings(max_examples=15)
@given(rngs, sizes, sizes)
def test_of_a_matrix_it_is_the_first_term_of_the_svd(rng, m, n):
    T = rng.standard_normal((m, n))
    s = np.linalg.svd(T, compute_uv=False)
    for flat in (T[:, :, None], T[:, None], T[None]):
        u, v, w = best_outer_product(flat)
        assert_allclose(squared(u), s[0] ** 2, rtol=1e-9)


# ------------------------------------------------------------ many terms

@settings(max_examples=20)
@given(rngs, sizes, sizes, st.integers(1, 5))
def test_each_term_takes_its_square_from_what_is_left(rng, O, C, K):
    W = rng.standard_normal((O, C, 2, 3))
    U, V, kernels = outer_products(W, K)
    assert U.shape == (O, K) and V.shape == (C, K) and kernels.shape == (K, 2, 3)
    assert_allclose(squared(W - rebuilt(U, V, kernels)), squared(W) - squared(U), atol=1e-9 * squared(W))
    fewer = outer_products(W, max(K - 1, 1))    # one by one: the first terms do not depend on K
    for a, b in zip(fewer, (U[:, :len(fewer[2])], V[:, :len(fewer[2])], kernels[:len(fewer[2])])):
        assert_allclose(a, b, atol=1e-12)


# ------------------------------------------------------------ layers

@settings(max_examples=20)
@given(rngs, sizes, sizes, one_or_two(st.integers(1, 3)), one_or_two(st.integers(1, 2)), one_or_two(st.integers(0, 2)),
       st.integers(1, 4), st.booleans(), st.integers(1, 2))
def test_three_layers_compute_the_sum_of_terms(rng, O, C, kernel, stride, padding, K, bias, dilation):
    layer = nn.Conv2d(C, O, kernel, stride, padding, dilation=dilation, bias=bias, rng=rng)
    whole = copy.deepcopy(layer)
    whole.weight.data = rebuilt(*outer_products(layer.weight.data, K)).astype(np.float32)
    x = Tensor(rng.standard_normal((2, C, 6, 7)).astype(np.float32))
    small = outer_product_conv(layer, K)
    assert_allclose(small(x).data, whole(x).data, atol=1e-5)
    assert small(x).dtype == np.float32
    norms = [np.linalg.norm(a.reshape(K, -1), axis=1) for a in
             (small[0].weight.data, small[1].weight.data, small[2].weight.data.swapaxes(0, 1))]
    assert_allclose(norms[0], norms[1], rtol=1e-4)    # each has a third of the size
    real = norms[2] > 1e-4
    assert_allclose(norms[2][real], norms[0][real], rtol=1e-3)


@settings(max_examples=20)
@given(rngs, sizes, sizes, st.sampled_from([1, 3]), st.tuples(*[st.integers(1, 3)] * 2), st.integers(1, 4))
def test_the_work_is_that_of_the_formula(rng, O, C, kernel, stride, K):
    """6 output pixels a side from 6 times the stride: borders change nothing."""
    layer = nn.Conv2d(C, O, kernel, stride, kernel // 2, rng=rng)
    X = np.zeros((1, C, 6 * stride[0], 6 * stride[1]), np.float32)
    expected = outer_work(K, C, O, area=kernel ** 2, stride=int(np.prod(stride)))
    assert macs(outer_product_conv(layer, K), X) == 36 * expected


def test_layers_are_trained_stored_and_stand_in_blocks(tmp_path):
    rng = np.random.default_rng(0)
    layer = nn.Conv2d(4, 6, 3, padding=1, rng=rng)
    before = layer.state_dict()

    def approximate(block):
        return outer_product_conv(block, 2)
    small = blockwise(layer, np.array([0, 1, 0, 1]), np.array([0, 1, 1, 0, 1, 0]), approximate)
    model = nn.Sequential(small, nn.ReLU(), nn.Flatten(), nn.Linear(96, 2, rng=rng))
    X, y = rng.standard_normal((40, 4, 4, 4)).astype(np.float32), rng.integers(0, 2, 40)
    assert macs(small, X) == 16 * 4 * outer_work(2, 2, 3, area=9)
    start = [p.data.copy() for p in model.parameters()]
    fit(model, X, y, optimizer=Adam(model.parameters(), lr=0.01), epochs=2, batch_size=20, rng=rng)
    assert all((a != p.data).any() for a, p in zip(start, model.parameters()))
    assert all(np.array_equal(a, before[k]) for k, a in layer.state_dict().items())
    save_compressed(model, tmp_path / "m")
    assert_array_equal(load_compressed(tmp_path / "m")(Tensor(X)).data, model(Tensor(X)).data)


@pytest.mark.parametrize("message, call", [
    ("outer_products: n_terms must be int >= 1", lambda: outer_products(np.ones((2, 3, 1, 1)), 0)),
    ("best_outer_product: tensor must be array_like of float64, shape (m, n, p), not empty",
     lambda: best_outer_product(np.ones((0, 3, 1)))),
    ("outer_product_conv: layer must have groups=1, got groups=2",
     lambda: outer_product_conv(nn.Conv2d(2, 2, 1, groups=2, rng=R), 1))])
def test_an_error_names_function_argument_requirement_and_value(message, call):
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        call()
