"""The laws of circulant matrices: the product of the full matrix, and the nearest matrix of that form."""
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from strategies import rngs

from tinyml import Tensor, gradcheck
from tinyml.compression.circulant import (
    block_product,
    circulant,
    circulant_product,
    nearest_blocks,
    nearest_circulant,
)

sizes = st.integers(1, 9)
few = st.integers(1, 4)


def product(x, r):
    return circulant_product(Tensor(x), Tensor(r)).data


def whole(r):
    """The matrix (p b, q b) of circulant blocks, entry by entry."""
    p, q, b = r.shape
    W = np.zeros((p * b, q * b), r.dtype)
    for i in range(p * b):
        for j in range(q * b):
            W[i, j] = r[i // b, j // b, (i % b - j % b) % b]
    return W


# ------------------------------------------------------------ the product

@given(rngs, sizes)
def test_each_column_is_the_one_before_shifted_down(rng, n):
    r = rng.standard_normal(n)
    C = circulant(r)
    for j in range(n):
        assert_array_equal(C[:, j], np.roll(r, j))
    stack = rng.standard_normal((2, 3, n))
    assert_array_equal(circulant(stack)[1, 2], circulant(stack[1, 2]))


@given(rngs, sizes, sizes)
def test_the_product_is_that_of_the_full_matrix(rng, N, n):
    x, r = rng.standard_normal((N, n)), rng.standard_normal(n)
    C = circulant(r)
    assert_allclose(product(x, r), x @ C.T, atol=1e-13 * n)
    assert_allclose(product(x[0], r), C @ x[0], atol=1e-13 * n)


@given(rngs, sizes, st.integers(-9, 9))
def test_a_shifted_input_gives_the_shifted_output(rng, n, shift):
    x, r = rng.standard_normal((2, n)), rng.standard_normal(n)
    y = product(x, r)
    for shifted in (product(np.roll(x, shift, axis=1), r), product(x, np.roll(r, shift))):
        assert_allclose(shifted, np.roll(y, shift, axis=1), atol=1e-13 * n)
    assert_allclose(product(r, x[0]), y[0], atol=1e-13 * n)    # the two arguments play one role


@given(rngs, sizes, sizes)
def test_the_gradients_are_those_of_the_full_matrix(rng, N, n):
    x, r = (Tensor(rng.standard_normal(shape), requires_grad=True) for shape in ((N, n), n))
    g = rng.standard_normal((N, n))
    circulant_product(x, r).backward(g)
    assert_allclose(x.grad, g @ circulant(r.data), atol=1e-13 * n)
    d_C = g.T @ x.data    # each number of r stands in n places of C
    d_r = [sum(d_C[(j + k) % n, j] for j in range(n)) for k in range(n)]
    assert_allclose(r.grad, d_r, atol=1e-12 * N * n)


@settings(max_examples=20)
@given(rngs, few, few, few, st.integers(1, 6))
def test_blocks_multiply_like_the_full_matrix_and_have_its_gradients(rng, N, p, q, b):
    x, r = rng.standard_normal((N, q * b)), rng.standard_normal((p, q, b))
    y = block_product(Tensor(x), Tensor(r)).data
    assert_allclose(y, x @ whole(r).T, atol=1e-12 * q * b)
    if p == q == 1:
        assert_allclose(y, product(x, r[0, 0]), atol=1e-13 * b)
    assert gradcheck(block_product, x, r, rng=rng)


@pytest.mark.parametrize("n", [1, 4, 5])
def test_float32_stays_float32(n):
    rng = np.random.default_rng(0)
    x, r = (Tensor(rng.standard_normal(shape).astype("f4"), requires_grad=True) for shape in ((3, n), n))
    blocks = Tensor(r.data.reshape(1, 1, n), requires_grad=True)
    for y in (circulant_product(x, r), block_product(x, blocks)):
        y.sum().backward()
        assert y.dtype == x.grad.dtype == np.float32
    assert r.grad.dtype == blocks.grad.dtype == np.float32


# ------------------------------------------------------------ the nearest matrix

@given(rngs, sizes)
def test_the_nearest_circulant_matrix_has_the_means_of_the_diagonals(rng, n):
    W = rng.standard_normal((n, n))
    r = nearest_circulant(W)
    assert_allclose(r, [np.mean([W[(j + k) % n, j] for j in range(n)]) for k in range(n)], atol=1e-14)
    rest = W - circulant(r)
    for k in range(n):    # at right angles to every circulant matrix: by Pythagoras none is nearer
        assert abs((rest * circulant(np.eye(n)[k])).sum()) < 1e-12 * n
    other = rng.standard_normal(n)
    distance = ((W - circulant(other)) ** 2).sum()
    assert_allclose(distance, (rest ** 2).sum() + n * ((other - r) ** 2).sum(), rtol=1e-12)
    assert_allclose(nearest_circulant(circulant(other)), other, rtol=1e-14)


@given(rngs, sizes, sizes, st.integers(1, 6))
def test_no_other_blocks_are_nearer_on_the_entries_that_exist(rng, m, n, b):
    W = rng.standard_normal((m, n))
    r = nearest_blocks(W, block=b)
    assert r.shape == (math.ceil(m / b), math.ceil(n / b), b)
    basis = [whole(e.reshape(r.shape))[:m, :n].ravel() for e in np.eye(r.size)]
    best = np.linalg.lstsq(np.array(basis).T, W.ravel(), rcond=None)[0]    # the shortest of the best
    assert_allclose(r.ravel(), best, atol=1e-12)


@given(rngs, sizes, sizes)
def test_blocks_of_one_are_the_full_matrix(rng, m, n):
    W = rng.standard_normal((m, n)).astype(np.float32)
    assert_array_equal(nearest_blocks(W, block=1)[:, :, 0], W, strict=True)


ERRORS = {
    "nearest_circulant: weight must be array_like, shape (..., n, n), n >= 1": lambda: nearest_circulant(np.ones((2, 3))),
    "circulant_product: x must have shape (..., n) and r (n,), n >= 1, got (2, 3) and (2,)":
        lambda: circulant_product(Tensor(np.ones((2, 3))), Tensor(np.ones(2))),
    "block_product: x must have shape (N, q b) and r (p, q, b), got (2, 3) and (1, 1, 2)":
        lambda: block_product(Tensor(np.ones((2, 3))), Tensor(np.ones((1, 1, 2)))),
}


@pytest.mark.parametrize("message", ERRORS)
def test_an_error_names_function_argument_requirement_and_value(message):
    with pytest.raises(ValueError) as error:
        ERRORS[message]()
    assert str(error.value).startswith(message)
