"""The laws of low rank: nothing of that rank is nearer, and two layers compute the product."""
import copy
import warnings

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from strategies import rngs

from tinyml import Tensor, nn
from tinyml.compression.low_rank import (break_even, factorize, factorize_conv, factorize_conv1d, factorize_linear,
                                         input_covariances, rank_for_budget, rank_for_energy, ranks,
                                         share_for_accuracy, truncated_svd)
from tinyml.compression.report import macs
from tinyml.compression.weight_sharing import share_weights
from tinyml.train import accuracy

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
        assert {a.dtype for a in truncated_svd(W.astype("f4"), 1, covariance=covariance)} == {np.dtype("f4")}


@given(rngs, sizes, sizes, st.integers(0, 3))
def test_full_rank_is_exact_where_no_input_was_too(rng, m, n, N):
    """Rounding grows by the root of the least eigenvalue, 1e-12 of the largest: 1e-16 / 1e-6."""
    W, X = rng.standard_normal((m, n)), rng.standard_normal((N, n))
    U, V = truncated_svd(W, min(m, n), covariance=X.T @ X)
    assert_allclose(U @ V.T, W, atol=1e-9 * np.linalg.norm(W))


@given(rngs, st.integers(2, 6), st.data())
def test_what_the_inputs_leave_open_is_decided_by_the_weights(rng, n, data):
    """Of d inputs' outputs nothing is lost at rank k >= d; the other k - d are best for what is left of W."""
    W, d = rng.standard_normal((n + 2, n)), data.draw(st.integers(0, n - 1))
    k = data.draw(st.integers(max(d, 1), n))
    U, V = truncated_svd(W, k, covariance=np.diag(np.arange(n) < d).astype(float))
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
    assert type(rank) is int
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
       st.integers(0, 1), st.data())
def test_two_convolutions_compute_the_reconstructed_one(rng, method, C, O, kernel, stride, padding, data):
    layer = nn.Conv2d(C, O, kernel, stride, padding, rng=rng)
    kh, kw = kernel
    most = min(C * kh, O * kw) if method == "separable" else min(O, C * kh * kw)
    rank = data.draw(st.integers(1, most))
    sides = (C * kh, O * kw) if method == "separable" else (O, C * kh * kw)
    pair = warned(lambda: factorize_conv(layer, rank, method=method), rank >= break_even(*sides))
    (sh, sw), p = stride, padding
    assert [(tuple(m.stride), tuple(m.padding)) for m in pair] == (
        [((sh, 1), (p, 0)), ((1, sw), (0, p))] if method == "separable" else [((sh, sw), (p, p)), ((1, 1), (0, 0))])
    assert pair[0].bias is None and layer.bias is not pair[1].bias
    with pytest.raises(ValueError):
        factorize_conv(layer, rank, method="diagonal")
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
    model = nn.Sequential(nn.Linear(2, 2, rng=rng), nn.Conv2d(1, 1, 2, rng=rng), nn.Linear(2, 2, rng=rng))
    for how in ({"share": 0.9}, {"energy": 1.0}):
        assert [type(m) for m in factorize(model, **how)] == [nn.Linear, nn.Conv2d, nn.Linear]


def test_covariances_are_those_of_the_inputs_of_each_layer():
    model = cnn(np.random.default_rng(0))
    X = np.random.default_rng(1).standard_normal((7, 3, 4, 4)).astype(np.float32)
    found = input_covariances(model, X)
    hidden = model[:5](Tensor(X)).data.astype(float)
    assert list(found) == [3, 5] and found[3].shape == (128, 128)
    assert_allclose(found[5], hidden.T @ hidden / 7, rtol=1e-6, atol=1e-9)


@settings(max_examples=20)
@given(rngs, sizes, sizes, st.sampled_from([1, 3]), st.tuples(*[st.integers(1, 3)] * 2),
       st.floats(0.1, 0.99))
def test_a_convolution_keeps_its_share_whatever_its_stride(rng, C, O, kernel, stride, share):
    """6 output pixels a side from 6 times the stride: borders change nothing."""
    conv = nn.Conv2d(C, O, kernel, stride, kernel // 2, rng=rng)
    X = np.zeros((1, C, 6 * stride[0], 6 * stride[1]), np.float32)
    small = factorize(nn.Sequential(conv, nn.Flatten(), nn.Linear(1, 1, rng=rng)), share=share)[0]
    of_rank_one = 6 * 6 * (stride[1] * C * kernel + O * kernel)
    assert type(small) is (nn.Sequential if of_rank_one < macs(conv, X) else nn.Conv2d)
    if type(small) is nn.Sequential:
        assert macs(small, X) <= max(share * macs(conv, X), of_rank_one) * (1 + 1e-6)
        assert macs(small, X) + of_rank_one > share * macs(conv, X)    # the next rank would be too much


@settings(max_examples=10)
@given(rngs, st.floats(0.1, 0.99), st.booleans())
def test_a_factorized_model_keeps_the_energy_of_its_layers(rng, energy, weighed):
    model, X = cnn(rng), rng.standard_normal((200, 3, 4, 4)).astype(np.float32)
    small = factorize(model, energy=energy, X=X if weighed else None)
    W, hidden = model[3].weight.data, model[:3](Tensor(X)).data.astype(float) if weighed else np.eye(128)
    rank = rank_for_energy(np.linalg.svd(hidden @ W.T, compute_uv=False), energy=energy)
    assert type(small[3]) is (nn.Sequential if rank < break_even(*W.shape) else nn.Linear)
    if type(small[3]) is nn.Linear:
        return
    assert small[3][0].out_features == rank
    lost = squared(hidden @ (W - small[3][1].weight.data @ small[3][0].weight.data).T)
    assert lost <= (1 - energy + 1e-5) * squared(hidden @ W.T)


def test_errors_are_weighed_by_the_inputs_of_the_layer():
    rng = np.random.default_rng(0)
    model = cnn(rng)
    X = (rng.standard_normal((300, 3, 4, 4)) * rng.uniform(0.01, 3, (3, 4, 4))).astype(np.float32)
    hidden = model[:3](Tensor(X)).data
    lost = lambda small: squared(hidden @ (small[3][1].weight.data @ small[3][0].weight.data
                                           - model[3].weight.data).T)
    assert lost(factorize(model, share=0.2, X=X)) < 0.9 * lost(factorize(model, share=0.2))


def test_the_share_for_an_accuracy_is_the_least_that_keeps_it():
    rng = np.random.default_rng(0)
    model, X = cnn(rng), rng.standard_normal((60, 3, 4, 4)).astype(np.float32)
    y, shares = model(Tensor(X)).data.argmax(axis=1), (0.8, 0.05, 0.4, 0.2)
    for at_least in (0.5, 0.9, 1):
        share = share_for_accuracy(model, X, y, at_least=at_least, shares=shares)
        kept = {s: accuracy(factorize(model, share=s), X, y) >= at_least for s in shares}
        assert share == min([s for s in shares if kept[s]], default=1.0)
    assert share_for_accuracy(model, X, 1 - y, at_least=1, shares=shares) == 1


def test_the_model_and_its_mode_stay_as_they_were():
    model, X = cnn(np.random.default_rng(0)), np.ones((2, 3, 4, 4), np.float32)
    model[2].eval()
    before = model.state_dict()
    factorize(model, share=0.3, X=X)
    assert [m.training for m in model] == [True, True, False, True, True, True]
    assert all(np.array_equal(a, before[k]) for k, a in model.state_dict().items())


def test_a_computed_weight_is_cut_as_it_is():
    model = nn.Sequential(nn.Linear(30, 20, rng=R), nn.Linear(20, 2, rng=R))
    shared = share_weights(model, bits=2)
    pair = factorize(shared, share=0.5)[0]
    U, V = truncated_svd(shared[0].weight().data, rank_for_budget(20, 30, share=0.5))
    assert_allclose(pair[1].weight.data @ pair[0].weight.data, U @ V.T, atol=1e-6)


@settings(max_examples=20)
@given(rngs)
def test_layers_at_several_places_are_cut_as_if_each_were_its_own(rng):
    """Each with the inputs of its place: those that reach it when the layers are called one by one."""
    few = [nn.Linear(8, 8, rng=rng), nn.Linear(8, 8, rng=rng), nn.ReLU()]
    few[1].weight = few[rng.integers(2)].weight
    model = nn.Sequential(few[0], *[few[i] for i in rng.integers(0, 3, 4)], nn.Linear(8, 2, rng=rng))
    own = nn.Sequential(*map(copy.deepcopy, model))
    x = X = rng.standard_normal((30, 8)).astype(np.float32)
    found = input_covariances(model, X)
    for i, layer in enumerate(own):
        assert (i in found) == isinstance(layer, nn.Linear)
        if i in found:
            assert_allclose(found[i], x.T.astype(float) @ x / 30, rtol=1e-5, atol=1e-9)
        x = layer(Tensor(x)).data
    for how in ({"share": 0.5}, {"energy": 0.8}):
        small, expected = (factorize(m, X=X, **how)(Tensor(X)).data for m in (model, own))
        assert_array_equal(small, expected)


class Siamese(nn.Module):
    """One place, called twice; one layer at two places; one place that is never called."""

    def __init__(self, rng):
        self.encoder = self.again = nn.Linear(3, 3, rng=rng)
        self.idle = nn.Linear(3, 3, rng=rng)

    def forward(self, x):
        return self.encoder(x) + self.encoder(2 * x) + self.again(x * self.idle.weight[0])


def test_places_are_known_inside_of_other_modules():
    X = R.standard_normal((5, 3)).astype(np.float32)
    branch = Siamese(R)
    found = input_covariances(nn.Sequential(branch, nn.Linear(3, 2, rng=R)), X)
    assert list(found) == ["0.encoder", "0.again", 1]
    gram = X.T.astype(float) @ X
    assert_allclose(found["0.encoder"], (gram + 4 * gram) / 10, rtol=1e-5, atol=1e-9)
    scaled = np.outer(*[branch.idle.weight.data[0]] * 2) * gram / 5
    assert_allclose(found["0.again"], scaled, rtol=1e-4, atol=1e-6)


def test_without_inputs_a_layer_at_several_places_stays_one():
    twice = nn.Linear(30, 30, rng=R)
    model = nn.Sequential(nn.Sequential(twice, nn.ReLU()), twice, nn.Linear(30, 2, rng=R))
    small = factorize(model, share=0.3)
    assert small[1] is small[0][0] and type(small[1]) is nn.Sequential
    assert ranks(model, share=0.3) == {"0.0.weight": 4, "2.weight": "the last layer"}
    X = R.standard_normal((50, 30)).astype(np.float32)
    parted = factorize(model, share=0.3, X=X)
    assert parted[1] is not parted[0][0] and type(parted[0][0]) is type(parted[1]) is nn.Sequential
    assert ranks(model, share=0.3, X=X) == {"0.0.weight": 4, "1.weight": 4, "2.weight": "the last layer"}


@given(rngs, sizes, sizes, st.integers(1, 4), st.integers(1, 3), st.integers(0, 3))
def test_a_series_convolution_of_full_rank_is_the_same(rng, C, O, k, stride, padding):
    layer, n = nn.Conv1d(C, O, k, stride, padding, bias=bool(rng.integers(2)), rng=rng), min(O, C * k)
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

R = np.random.default_rng(0)
ERRORS = {
    "truncated_svd: rank must be int in 1..min(m, n) with m = 20, n = 30, got 21":
        (ValueError, lambda: factorize_linear(nn.Linear(30, 20, rng=R), 21)),
    "truncated_svd: covariance must be symmetric without eigenvalues below 0":
        (ValueError, lambda: truncated_svd(np.eye(2), 1, covariance=[[1, 1], [0, 1]])),
    "truncated_svd: covariance must be symmetric without": (
        ValueError, lambda: truncated_svd(np.eye(2), 1, covariance=[[1, 0], [0, -1]])),
    "factorize: share or energy must be given, one of them, got share=None and energy=None":
        (ValueError, lambda: factorize(nn.Sequential())),
    "factorize: share or energy must be given, one of them, got share=0.5 and energy=0.5":
        (ValueError, lambda: factorize(nn.Sequential(), share=0.5, energy=0.5)),
    "factorize: model must have a Linear, Conv1d or Conv2d besides the last one, got Linear; weight is the la":
        (ValueError, lambda: factorize(nn.Linear(2, 2, rng=R), share=0.5)),
    "factorize: model must have a Linear, Conv1d or Conv2d besides the last one, got ReLU":
        (ValueError, lambda: factorize(nn.ReLU(), share=0.5)),
}


@pytest.mark.parametrize("message", ERRORS)
def test_an_error_names_function_argument_requirement_and_value(message):
    kind, call = ERRORS[message]
    with pytest.raises(kind) as error:
        call()
    assert str(error.value).startswith(message)
