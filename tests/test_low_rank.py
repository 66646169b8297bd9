"""The laws of low rank: nothing of that rank is nearer, and the ranks keep their promises."""
import re

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from strategies import rngs

from tinyml.compression.low_rank import break_even, rank_for_budget, rank_for_energy, truncated_svd

sizes = st.integers(1, 6)


def squared(a):
    return float((a ** 2).sum())


@given(rngs, sizes, sizes, st.data())
def test_the_squared_error_is_the_tail_of_the_spectrum_and_no_other_is_smaller(rng, m, n, data):
    W, rank = rng.standard_normal((m, n)), data.draw(st.integers(1, min(m, n)))
    U, V = truncated_svd(W, rank)
    assert U.shape == (m, rank) and V.shape == (n, rank)
    s = np.linalg.svd(W, compute_uv=False)
    error = squared(W - U @ V.T)
    assert_allclose(error, squared(s[rank:]), atol=1e-12 * squared(s))
    assert_allclose(U.T @ U, V.T @ V, atol=1e-12 * s[0])
    for _ in range(5):    # the best of the matrices with a random column space of that rank
        Q = np.linalg.qr(rng.standard_normal((m, rank)))[0]
        assert squared(W - Q @ (Q.T @ W)) >= error - 1e-12 * squared(s)


@given(rngs, sizes, sizes, st.integers(1, 8), st.data())
def test_weighting_by_the_inputs_lowers_the_error_of_the_outputs(rng, m, n, N, data):
    """Also where inputs span less than everything. No rank-r matrix is better on these inputs."""
    W, X = rng.standard_normal((m, n)), rng.standard_normal((N, n)) * rng.uniform(0.01, 10, n)
    rank = data.draw(st.integers(1, min(m, n)))
    plain, factors = truncated_svd(W, rank), truncated_svd(W, rank, second_moment=X.T @ X / N)
    plain, weighted = (squared(X @ (W - U @ V.T).T) for U, V in (plain, factors))
    assert weighted <= plain + 1e-9 * squared(X @ W.T)
    s = np.linalg.svd(W @ X.T, compute_uv=False)
    assert_allclose(weighted, squared(s[rank:]), atol=1e-9 * squared(s))
    U, V = factors
    assert_allclose(U.T @ U, V.T @ V, atol=1e-8 * np.linalg.norm(W))


@given(rngs, sizes, sizes)
def test_full_rank_is_exact(rng, m, n):
    W = rng.standard_normal((m, n))
    for second_moment in (None, np.eye(n)):
        U, V = truncated_svd(W, min(m, n), second_moment=second_moment)
        assert_allclose(U @ V.T, W, atol=1e-12 * np.linalg.norm(W))
        assert {a.dtype for a in truncated_svd(W.astype("f4"), 1, second_moment=second_moment)} == {np.dtype("f4")}


@given(rngs, sizes, sizes, st.integers(0, 3))
def test_full_rank_is_exact_where_no_input_was_too(rng, m, n, N):
    """Rounding grows by the root of the least eigenvalue, 1e-12 of the largest: 1e-16 / 1e-6."""
    W, X = rng.standard_normal((m, n)), rng.standard_normal((N, n))
    U, V = truncated_svd(W, min(m, n), second_moment=X.T @ X)
    assert_allclose(U @ V.T, W, atol=1e-9 * np.linalg.norm(W))


@given(rngs, st.integers(2, 6), st.data())
def test_what_the_inputs_leave_open_is_decided_by_the_weights(rng, n, data):
    """Of d inputs' outputs nothing is lost at rank k >= d; the other k - d are best for what is left of W."""
    W, d = rng.standard_normal((n + 2, n)), data.draw(st.integers(0, n - 1))
    k = data.draw(st.integers(max(d, 1), n))
    U, V = truncated_svd(W, k, second_moment=np.diag(np.arange(n) < d).astype(float))
    Q = np.linalg.qr(W[:, :d])[0]
    rest = np.linalg.svd(W - Q @ (Q.T @ W), compute_uv=False)
    assert_allclose(squared(W - U @ V.T), squared(rest[k - d:]), atol=1e-6 * squared(W))


@given(rngs, st.integers(1, 8), st.floats(0.01, 1))
def test_the_rank_for_an_energy_is_the_least(rng, k, energy):
    s = np.sort(np.abs(rng.standard_normal(k)))[::-1]
    rank = rank_for_energy(s, energy=energy)
    assert squared(s[:rank]) >= energy * squared(s) * (1 - 1e-9)
    assert rank == 1 or squared(s[:rank - 1]) < energy * squared(s)
    assert rank_for_energy(np.zeros(3), energy=0.5) == 1


def test_energy_is_not_missed_by_a_rounding():
    assert 0.07 * 100 > 7    # in floating point
    assert rank_for_energy(np.ones(100), energy=0.07) == 7 and rank_for_energy(np.ones(9), energy=1) == 9


@given(st.integers(1, 300), st.integers(1, 300), st.floats(0.01, 3))
def test_the_rank_for_a_budget_is_the_largest(m, n, share):
    rank = rank_for_budget(m, n, share=share)
    assert 1 <= rank <= min(m, n)
    assert isinstance(rank, (int, np.integer))
    assert rank * (m + n) <= share * m * n * (1 + 1e-6) or rank == 1
    assert (rank + 1) * (m + n) > share * m * n * (1 - 1e-12) or rank == min(m, n)
    assert (rank * (m + n) < m * n) == (rank < break_even(m, n))


@given(st.integers(1, 8), st.integers(0, 2 ** 8))
@example(3, 3)
def test_a_budget_that_is_met_exactly_is_met(power, k):
    """For sides that are powers of 2 a share of r (m + n) / (m n) is no rounded number."""
    side = 2 ** power
    rank = 1 + k % side
    assert rank_for_budget(side, side, share=2 * rank / side) == rank


@pytest.mark.parametrize("message, call", [
    ("truncated_svd: second_moment must be symmetric without eigenvalues below 0, got a difference of 1",
     lambda: truncated_svd(np.eye(2), 1, second_moment=[[1, 1], [0, 1]])),
    ("truncated_svd: second_moment must be symmetric without eigenvalues below 0, got a difference of 0",
     lambda: truncated_svd(np.eye(2), 1, second_moment=[[1, 0], [0, -1]]))])
def test_an_error_names_function_argument_requirement_and_value(message, call):
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        call()
