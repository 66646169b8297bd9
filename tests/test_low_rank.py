"""The laws of low rank: nothing of that rank is nearer, and two layers compute the product."""
import re
import warnings

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from strategies import rngs

from tinyml import Tensor, nn
from tinyml.compression.low_rank import (
    break_even,
    factorize_conv,
    factorize_conv1d,
    factorize_linear,
    rank_for_budget,
    rank_for_energy,
    truncated_svd,
)
from tinyml.compression.report import macs

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


# ------------------------------------------------------------ layers

def warned(make, expected):
    """What `make` returns; it must warn just where two factors are as much work as the whole, or more."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        made = make()
    assert [str(w.message).partition(": ")[2][:14] for w in caught] == ["rank must be <"] * expected
    return made


@pytest.mark.parametrize("cut, layer", [(factorize_linear, nn.Linear(2, 2, rng=np.random.default_rng(0))),
                                        (factorize_conv, nn.Conv2d(2, 2, 1, rng=np.random.default_rng(0))),
                                        (factorize_conv1d, nn.Conv1d(2, 2, 1, rng=np.random.default_rng(0)))])
def test_a_warning_points_to_the_line_of_the_caller(cut, layer):
    with pytest.warns(UserWarning, match="rank must be <") as caught:
        cut(layer, 2)
    assert [w.filename for w in caught] == [__file__]


@settings(max_examples=20)
@given(rngs, sizes, sizes, st.booleans(), st.data())
def test_two_linear_layers_compute_the_product(rng, n_in, n_out, bias, data):
    layer, rank = nn.Linear(n_in, n_out, bias, rng=rng), data.draw(st.integers(1, min(n_in, n_out)))
    pair = warned(lambda: factorize_linear(layer, rank), rank >= break_even(n_in, n_out))
    x = rng.standard_normal((4, n_in)).astype(np.float32)
    W = pair[1].weight.data @ pair[0].weight.data
    expected = x @ W.T + (layer.bias.data if bias else 0)
    assert_allclose(pair(Tensor(x)).data, expected, atol=1e-5)
    assert macs(pair, x) == rank * (n_in + n_out)
    assert repr(pair[0]).startswith(f"Linear({n_in}, {rank}, bias=False)") and pair[0].bias is None
    assert layer.weight.shape == (n_out, n_in) and {p.dtype for p in pair.parameters()} == {np.dtype("f4")}


@settings(max_examples=80)    # the layout of the factors shows only where rank and width are above 1
@given(rngs, st.sampled_from(["separable", "channel"]), st.integers(1, 3), st.integers(1, 3),
       st.tuples(st.integers(1, 3), st.integers(1, 3)), st.tuples(st.integers(1, 2), st.integers(1, 3)),
       st.tuples(st.integers(1, 2), st.integers(1, 2)), st.data())
def test_two_convolutions_compute_the_reconstructed_one(rng, method, C, O, kernel, stride, dilation, data):
    padding = [0, 1, "same"][rng.integers(3)]
    stride = (1, 1) if padding == "same" else stride
    layer = nn.Conv2d(C, O, kernel, stride, padding, dilation, rng=rng)
    kh, kw = kernel
    most = min(C * kh, O * kw) if method == "separable" else min(O, C * kh * kw)
    rank = data.draw(st.integers(1, most))
    sides = (C * kh, O * kw) if method == "separable" else (O, C * kh * kw)
    pair = warned(lambda: factorize_conv(layer, rank, method=method), rank >= break_even(*sides))
    (sh, sw), p = stride, padding
    down, across, both = (p, p, p) if p == "same" else ((p, 0), (0, p), (p, p))
    assert [(m.stride, m.padding) for m in pair] == (
        [((sh, 1), down), ((1, sw), across)] if method == "separable" else [((sh, sw), both), ((1, 1), (0, 0))])
    assert pair[0].bias is None and layer.bias is not pair[1].bias
    with pytest.raises(ValueError):
        factorize_conv(layer, rank, method="diagonal")
    first, second = (m.weight.data for m in pair)
    W = (np.einsum("rci,orj->ocij", first[..., 0], second[:, :, 0]) if method == "separable"
         else np.einsum("rcij,or->ocij", first, second[..., 0, 0]))
    whole = nn.Conv2d(C, O, kernel, stride, padding, dilation, rng=rng)
    whole.weight.data, whole.bias.data = W.astype(np.float32), layer.bias.data
    x = Tensor(rng.standard_normal((2, C, 6, 7)).astype(np.float32))
    assert_allclose(pair(x).data, whole(x).data, atol=1e-5)
    if rank == most:
        assert_allclose(W, layer.weight.data, atol=1e-5)
    matrix = (layer.weight.data.transpose(1, 2, 0, 3).reshape(C * kh, O * kw) if method == "separable"
              else layer.weight.data.reshape(O, -1))
    s = np.linalg.svd(matrix, compute_uv=False)
    assert_allclose(squared(W - layer.weight.data), squared(s[rank:]), atol=1e-5 * squared(s))


@given(rngs, sizes, sizes, st.integers(1, 4), st.integers(1, 3), st.sampled_from([0, 1, 2, 3, "same"]), st.integers(1, 2))
def test_a_series_convolution_of_full_rank_is_the_same(rng, C, O, k, stride, padding, dilation):
    stride, n = 1 if padding == "same" else stride, min(O, C * k)
    layer = nn.Conv1d(C, O, k, stride, padding, dilation, bias=bool(rng.integers(2)), rng=rng)
    x = Tensor(rng.standard_normal((2, C, 9)).astype(np.float32))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pair = factorize_conv1d(layer, n)
    assert_allclose(pair(x).data, layer(x).data, atol=1e-4)
    assert [p.shape for p in pair[0].parameters()] == [(n, C, k)]
    y = layer(x)
    assert macs(pair, x.data) == y.shape[2] * n * (C * k + O)
    rank = int(rng.integers(1, n + 1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pair = factorize_conv1d(layer, rank)
    s = np.linalg.svd(layer.weight.data.reshape(O, -1).astype(float), compute_uv=False)
    cut = np.einsum("or,rck->ock", pair[1].weight.data[:, :, 0], pair[0].weight.data)
    assert_allclose(squared(cut - layer.weight.data), (s[rank:] ** 2).sum(), rtol=1e-4, atol=1e-6)


# ------------------------------------------------------------ errors

@pytest.mark.parametrize("message, call", [
    ("factorize_conv: layer must have groups=1, got groups=2",
     lambda: factorize_conv(nn.Conv2d(2, 2, 3, groups=2, rng=np.random.default_rng(0)), 1)),
    ("factorize_conv1d: layer must have groups=1, got groups=2",
     lambda: factorize_conv1d(nn.Conv1d(2, 2, 3, groups=2, rng=np.random.default_rng(0)), 1)),
    ("truncated_svd: rank must be int in 1..min(m, n) with m = 20, n = 30, got 21",
     lambda: factorize_linear(nn.Linear(30, 20, rng=np.random.default_rng(0)), 21)),
    ("truncated_svd: second_moment must be symmetric without eigenvalues below 0, got a difference of 1",
     lambda: truncated_svd(np.eye(2), 1, second_moment=[[1, 1], [0, 1]])),
    ("truncated_svd: second_moment must be symmetric without eigenvalues below 0, got a difference of 0",
     lambda: truncated_svd(np.eye(2), 1, second_moment=[[1, 0], [0, -1]]))])
def test_an_error_names_function_argument_requirement_and_value(message, call):
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        call()
