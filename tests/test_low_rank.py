"""The laws of low rank: nothing of that rank is nearer, and two layers compute the product."""
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from strategies import rngs

from tinyml import Tensor, nn
from tinyml.compression.low_rank import (break_even, factorize, factorize_conv, factorize_linear,
                                         input_covariances, rank_for_budget, rank_for_energy, truncated_svd)
from tinyml.compression.report import macs

sizes = st.integers(1, 6)
squared = lambda a: float((a ** 2).sum())


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
def test_weighing_by_the_inputs_lowers_the_error_of_the_outputs(rng, m, n, N, data):
    """Also where inputs span less than everything. No rank-r matrix is better on these inputs."""
    W, X = rng.standard_normal((m, n)), rng.standard_normal((N, n)) * rng.uniform(0.01, 10, n)
    rank = data.draw(st.integers(1, min(m, n)))
    plain, weighed = truncated_svd(W, rank), truncated_svd(W, rank, covariance=X.T @ X / N)
    of = lambda factors: squared(X @ (W - factors[0] @ factors[1].T).T)
    assert of(weighed) <= of(plain) + 1e-9 * squared(X @ W.T)
    s = np.linalg.svd(W @ X.T, compute_uv=False)
    assert_allclose(of(weighed), squared(s[rank:]), atol=1e-9 * squared(s))
    U, V = weighed
    assert_allclose(U.T @ U, V.T @ V, atol=1e-8 * np.linalg.norm(W))


@given(rngs, sizes, sizes)
def test_full_rank_is_exact(rng, m, n):
    W = rng.standard_normal((m, n))
    for covariance in (None, np.eye(n)):
        U, V = truncated_svd(W, min(m, n), covariance=covariance)
        assert_allclose(U @ V.T, W, atol=1e-12 * np.linalg.norm(W))


@given(rngs, st.integers(1, 8), st.floats(0.01, 1))
def test_the_rank_for_an_energy_is_the_least(rng, k, energy):
    s = np.sort(np.abs(rng.standard_normal(k)))[::-1]
    rank = rank_for_energy(s, energy=energy)
    assert squared(s[:rank]) >= energy * squared(s) * (1 - 1e-9)
    assert rank == 1 or squared(s[:rank - 1]) < energy * squared(s)
    assert rank_for_energy(np.zeros(3), energy=0.5) == 1


@given(st.integers(1, 300), st.integers(1, 300), st.floats(0.01, 3))
def test_the_rank_for_a_budget_is_the_largest(m, n, share):
    rank = rank_for_budget(m, n, share=share)
    assert 1 <= rank <= min(m, n)
    assert rank * (m + n) <= share * m * n * (1 + 1e-6) or rank == 1
    assert (rank + 1) * (m + n) > share * m * n or rank == min(m, n)
    assert (rank * (m + n) < m * n) == (rank < break_even(m, n))


# ------------------------------------------------------------ layers

@settings(max_examples=20)
@given(rngs, sizes, sizes, st.booleans(), st.data())
def test_two_linear_layers_compute_the_product(rng, n_in, n_out, bias, data):
    layer, rank = nn.Linear(n_in, n_out, bias, rng=rng), data.draw(st.integers(1, min(n_in, n_out)))
    pair = factorize_linear(layer, rank)
    x = rng.standard_normal((4, n_in)).astype(np.float32)
    W = pair[1].weight.data @ pair[0].weight.data
    expected = x @ W.T + (layer.bias.data if bias else 0)
    assert_allclose(pair(Tensor(x)).data, expected, atol=1e-5)
    assert macs(pair, x) == rank * (n_in + n_out)
    assert repr(pair[0]).startswith(f"Linear({n_in}, {rank}, bias=False)") and pair[0].bias is None
    assert layer.weight.shape == (n_out, n_in) and {p.dtype for p in pair.parameters()} == {np.dtype("f4")}


@settings(max_examples=25)
@given(rngs, st.sampled_from(["separable", "channel"]), st.integers(1, 3), st.integers(1, 3),
       st.tuples(st.integers(1, 3), st.integers(1, 2)), st.tuples(st.integers(1, 2), st.integers(1, 3)),
       st.integers(0, 1), st.data())
def test_two_convolutions_compute_the_reconstructed_one(rng, method, C, O, kernel, stride, padding, data):
    layer = nn.Conv2d(C, O, kernel, stride, padding, rng=rng)
    kh, kw = kernel
    most = min(C * kh, O * kw) if method == "separable" else min(O, C * kh * kw)
    rank = data.draw(st.integers(1, most))
    pair = factorize_conv(layer, rank, method=method)
    first, second = (m.weight.data for m in pair)
    W = (np.einsum("rci,orj->ocij", first[..., 0], second[:, :, 0]) if method == "separable"
         else np.einsum("rcij,or->ocij", first, second[..., 0, 0]))
    whole = nn.Conv2d(C, O, kernel, stride, padding, rng=rng)
    whole.weight.data, whole.bias.data = W.astype(np.float32), layer.bias.data
    x = Tensor(rng.standard_normal((2, C, 5, 6)).astype(np.float32))
    assert_allclose(pair(x).data, whole(x).data, atol=1e-5)
    if rank == most:
        assert_allclose(W, layer.weight.data, atol=1e-5)
    matrix = (layer.weight.data.transpose(1, 2, 0, 3).reshape(C * kh, O * kw) if method == "separable"
              else layer.weight.data.reshape(O, -1))
    s = np.linalg.svd(matrix, compute_uv=False)
    assert_allclose(squared(W - layer.weight.data), squared(s[rank:]), atol=1e-5 * squared(s))


# ------------------------------------------------------------ models

def cnn(rng):
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, rng=rng), nn.ReLU(), nn.Flatten(),
                         nn.Linear(8 * 16, 30, rng=rng), nn.ReLU(), nn.Linear(30, 2, rng=rng))


@settings(max_examples=10)
@given(rngs, st.floats(0.1, 0.9), st.booleans())
def test_a_factorized_model_keeps_the_share_of_its_work(rng, share, weighed):
    model, X = cnn(rng), rng.standard_normal((20, 3, 4, 4)).astype(np.float32)
    small = factorize(model, share=share, X=X if weighed else None)
    rank_one = 16 * (3 * 3 + 8 * 3) + (128 + 30) + 30 * 2    # no layer can do with less, the last stays
    assert macs(small, X) <= max(share * macs(model, X), rank_one) + rank_one
    assert small(Tensor(X)).shape == (20, 2) and len(small) == len(model)
    assert type(small[0]) is type(small[3]) is nn.Sequential and type(small[5]) is nn.Linear
    assert not any(np.shares_memory(p.data, q.data) for p in model.parameters() for q in small.parameters())


def test_a_layer_that_would_grow_stays():
    rng = np.random.default_rng(0)
    model = nn.Sequential(nn.Linear(2, 2, rng=rng), nn.Linear(2, 2, rng=rng))
    assert type(factorize(model, share=0.9)[0]) is nn.Linear


def test_covariances_are_those_of_the_inputs_of_each_layer():
    model = cnn(np.random.default_rng(0))
    X = np.random.default_rng(1).standard_normal((7, 3, 4, 4)).astype(np.float32)
    found = input_covariances(model, X)
    hidden = model[:5](Tensor(X)).data.astype(float)
    assert list(found) == [3, 5] and found[3].shape == (128, 128)
    assert_allclose(found[5], hidden.T @ hidden / 7, rtol=1e-6, atol=1e-9)


# ------------------------------------------------------------ errors

R = np.random.default_rng(0)
ERRORS = {
    "truncated_svd: rank must be an int in 1..2, got 3": (ValueError, lambda: truncated_svd(np.eye(2), 3)),
    "truncated_svd: rank must be an int in 1..2, got 0": (ValueError, lambda: truncated_svd(np.eye(2), 0)),
    "truncated_svd: weight must be finite": (ValueError, lambda: truncated_svd([[np.nan]], 1)),
    "truncated_svd: covariance must have shape (2, 2), got (3, 3)":
        (ValueError, lambda: truncated_svd(np.eye(2), 1, covariance=np.eye(3))),
    "rank_for_energy: energy must be > 0 and <= 1, got 2":
        (ValueError, lambda: rank_for_energy([1], energy=2)),
    "rank_for_energy: s must hold": (ValueError, lambda: rank_for_energy([], energy=0.5)),
    "rank_for_budget: share must be > 0, got 0": (ValueError, lambda: rank_for_budget(2, 2, share=0)),
    "factorize_conv: method must be":
        (ValueError, lambda: factorize_conv(nn.Conv2d(1, 1, 3, rng=R), 1, method="?")),
    "factorize: model must be a Sequential, got Linear":
        (TypeError, lambda: factorize(nn.Linear(2, 2, rng=R), share=0.5)),
    "factorize: share must be > 0 and < 1, got 1": (ValueError, lambda: factorize(nn.Sequential(), share=1)),
}


@pytest.mark.parametrize("message", ERRORS)
def test_an_error_names_function_argument_requirement_and_value(message):
    kind, call = ERRORS[message]
    with pytest.raises(kind) as error:
        call()
    assert str(error.value).startswith(message)
