"""The laws of metrics: each approximation is the best of its rank by its own measure."""
import re

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from strategies import one_or_two, rngs

from tinyml import Tensor, nn
from tinyml.compression.low_rank import truncated_svd
from tinyml.compression.metrics import (
    factorize_conv_by,
    patch_second_moment,
    row_and_column_scales,
    sensitivities,
    weighted_svd,
)
from tinyml.compression.thin_layers import factorize_conv

sizes = st.integers(1, 6)
few = st.integers(1, 4)
R = np.random.default_rng(0)


def squared(a):
    return float((np.asarray(a, np.float64) ** 2).sum())


def merged(pair):
    """The weights (O, C kh kw) that two layers of the channel form have together."""
    V, U = (layer.weight.data.astype(np.float64).reshape(len(layer.weight), -1) for layer in pair)
    return U @ V


# ------------------------------------------------------------ rows and columns

@given(rngs, sizes, sizes, st.data())
def test_no_matrix_of_that_rank_has_a_smaller_weighted_error(rng, m, n, data):
    W, rank = rng.standard_normal((m, n)), data.draw(st.integers(1, min(m, n)))
    a, b = rng.uniform(0.1, 3, m), rng.uniform(0.1, 3, n)
    U, V = weighted_svd(W, rank, rows=a, columns=b)
    assert U.shape == (m, rank) and V.shape == (n, rank)

    def error(approximation):
        return squared(np.outer(a, b) * (W - approximation))
    s = np.linalg.svd(np.outer(a, b) * W, compute_uv=False)
    assert_allclose(error(U @ V.T), squared(s[rank:]), atol=1e-11 * squared(s))
    plain = truncated_svd(W, rank)
    others = [plain, *((U + rng.standard_normal(U.shape), V) for _ in range(3))]
    for left, right in others:
        assert error(U @ V.T) <= error(left @ right.T) + 1e-11 * squared(s)


@given(rngs, sizes, sizes, st.floats(0.1, 9), st.data())
def test_equal_weights_give_the_plain_svd(rng, m, n, c, data):
    W, rank = rng.standard_normal((m, n)), data.draw(st.integers(1, min(m, n)))
    U, V = weighted_svd(W, rank, rows=np.full(m, c), columns=np.full(n, 1 / c + c))
    P, Q = truncated_svd(W, rank)
    assert_allclose(U @ V.T, P @ Q.T, atol=1e-9)


def test_divided_entry_by_entry_nothing_is_left_of_the_low_rank():
    """Which is why alpha is replaced by a product a b' first."""
    rng = np.random.default_rng(0)
    W, alpha = rng.standard_normal((6, 5)), rng.uniform(0.1, 3, (6, 5))
    U, V = truncated_svd(alpha * W, 2)
    assert np.linalg.matrix_rank(U @ V.T / alpha) == 5
    a, b = row_and_column_scales(alpha)
    U, V = truncated_svd(np.outer(a, b) * W, 2)
    assert np.linalg.matrix_rank(U @ V.T / np.outer(a, b)) == 2


@given(rngs, sizes, sizes)
def test_the_scales_are_the_nearest_product(rng, m, n):
    alpha = rng.uniform(0.1, 3, (m, n))
    a, b = row_and_column_scales(alpha)
    assert (a > 0).all() and (b > 0).all()
    distance = squared(alpha - np.outer(a, b))
    assert_allclose(distance, squared(np.linalg.svd(alpha, compute_uv=False)[1:]), atol=1e-11 * squared(alpha))
    p, q = rng.uniform(0.1, 3, m), rng.uniform(0.1, 3, n)
    assert_allclose(np.outer(*row_and_column_scales(np.outer(p, q))), np.outer(p, q), rtol=1e-10)


@given(rngs, st.integers(2, 5), st.integers(2, 5))
def test_scales_can_be_divided_by(rng, m, n):
    alpha = rng.uniform(0.1, 3, (m, n))
    alpha[rng.integers(m)], alpha[:, rng.integers(n)] = 0, 0
    for scale in row_and_column_scales(alpha):
        assert_allclose(scale.min(), 1e-3 * scale.max(), rtol=1e-12)
    assert_array_equal(row_and_column_scales(0 * alpha)[0], np.ones(m))
    assert_array_equal(row_and_column_scales(0 * alpha)[1], np.ones(n))


# ------------------------------------------------------------ the data

@settings(max_examples=25)
@given(rngs, few, few, one_or_two(st.integers(1, 3)), one_or_two(st.integers(1, 2)),
       one_or_two(st.integers(0, 2)), st.integers(1, 2))
def test_the_second_moment_gives_the_mean_square_of_the_outputs(rng, O, C, kernel, stride, padding, dilation):
    """trace(W M W') = mean over positions of ||W x||^2, for any filters at that place."""
    first = nn.Conv2d(2, C, 1, rng=rng)
    layer = nn.Conv2d(C, O, kernel, stride, padding, bias=False, dilation=dilation, rng=rng)
    X = rng.standard_normal((3, 2, 5, 6)).astype(np.float32)
    M = patch_second_moment(nn.Sequential(first, layer), layer, X)
    y = layer(first(Tensor(X))).data.astype(float)
    W = layer.weight.data.reshape(O, -1).astype(float)
    assert_allclose(np.trace(W @ M @ W.T), squared(y) / (y.size / O), rtol=1e-5)
    assert_allclose(M, M.T, atol=1e-12 * np.abs(M).max())


@settings(max_examples=20)
@given(rngs, st.integers(2, 5), few, st.data())
def test_by_the_data_the_outputs_move_least(rng, O, C, data):
    layer = nn.Conv2d(C, O, 2, rng=rng)
    X = (rng.standard_normal((6, C, 4, 4)) * rng.uniform(0.1, 3, (C, 1, 1))).astype(np.float32)
    rank = data.draw(st.integers(1, min(O, C * 4)))
    assume(rank < O * C * 4 / (O + C * 4))
    M = patch_second_moment(nn.Sequential(layer), layer, X)
    weighted, plain = factorize_conv_by(layer, rank, second_moment=M), factorize_conv(layer, rank, method="channel")
    y = layer(Tensor(X)).data.astype(float)
    errors = [squared(pair(Tensor(X)).data - y) for pair in (weighted, plain)]
    W = layer.weight.data.reshape(O, -1).astype(float)
    values, vectors = np.linalg.eigh(M)
    s = np.linalg.svd(W @ vectors * np.sqrt(np.maximum(values, 0)), compute_uv=False)
    n_positions = y.size / O
    assert_allclose(errors[0], n_positions * squared(s[rank:]), atol=1e-4 * n_positions * squared(s))
    assert errors[0] <= errors[1] + 1e-4 * n_positions * squared(s)


# ------------------------------------------------------------ the mistakes

@settings(max_examples=20)
@given(rngs, st.integers(2, 5), few, st.integers(1, 5), st.data())
def test_the_sensitivity_of_a_linear_model_has_a_closed_form(rng, n_classes, n_in, N, data):
    """d cross_entropy(W x, l)/dW = (softmax(W x) - e_l) x', for the l that are most likely and wrong."""
    model = nn.Sequential(nn.Linear(n_in, n_classes, rng=rng))
    X, y = rng.standard_normal((N, n_in)).astype(np.float32), rng.integers(0, n_classes, N)
    n_mistakes = data.draw(st.integers(1, n_classes - 1))
    total = 0
    for x, label in zip(X.astype(float), y):
        z = model[0].weight.data.astype(float) @ x + model[0].bias.data
        p = np.exp(z - z.max()) / np.exp(z - z.max()).sum()
        wrong = [c for c in np.argsort(-z) if c != label][:n_mistakes]
        total = total + sum(np.outer(p - np.eye(n_classes)[c], x) ** 2 for c in wrong)
    found = sensitivities(model, X, y, n_mistakes=n_mistakes)
    assert list(found) == ["0.weight"]
    assert_allclose(found["0.weight"], np.sqrt(total), rtol=1e-3, atol=1e-6)


def test_sensitivities_of_samples_add_up_in_squares_and_leave_the_model():
    rng = np.random.default_rng(0)
    conv = nn.Conv2d(1, 3, 2, rng=rng)
    model = nn.Sequential(conv, nn.ReLU(), nn.Dropout(rng=rng), nn.Flatten(), nn.Linear(27, 4, rng=rng))
    X, y = rng.standard_normal((5, 1, 4, 4)).astype(np.float32), rng.integers(0, 4, 5)
    before = [p.data.copy() for p in model.parameters()]
    whole = sensitivities(model, X, y)
    parts = [sensitivities(model, X[i:i + 1], y[i:i + 1]) for i in range(5)]
    for path, alpha in whole.items():
        assert alpha.shape == dict(model.named_parameters())[path].shape
        assert_allclose(alpha ** 2, sum(part[path] ** 2 for part in parts), rtol=1e-5, atol=1e-12)
    assert model.training and all(p.grad is None for p in model.parameters())
    assert all(np.array_equal(a, p.data) for a, p in zip(before, model.parameters()))


# ------------------------------------------------------------ layers

@settings(max_examples=20)
@given(rngs, st.integers(2, 5), few, st.floats(0.1, 9), one_or_two(st.integers(1, 2)), st.data())
def test_without_preference_both_give_the_layers_of_the_plain_svd(rng, O, C, c, stride, data):
    layer = nn.Conv2d(C, O, 2, stride, padding=1, rng=rng)
    rank = data.draw(st.integers(1, min(O, C * 4)))
    assume(rank < O * C * 4 / (O + C * 4))
    plain = factorize_conv(layer, rank, method="channel")
    x = Tensor(rng.standard_normal((2, C, 4, 5)).astype(np.float32))
    for how in ({"second_moment": c * np.eye(C * 4)}, {"alpha": np.full(layer.weight.shape, c)}):
        pair = factorize_conv_by(layer, rank, **how)
        assert_allclose(merged(pair), merged(plain), atol=1e-5)
        assert_allclose(pair(x).data, plain(x).data, atol=1e-4)
        assert pair(x).dtype == np.float32


@settings(max_examples=20)
@given(rngs, st.integers(2, 5), few, st.data())
def test_by_alpha_the_layers_have_the_least_weighted_error(rng, O, C, data):
    layer = nn.Conv2d(C, O, 2, rng=rng)
    a, b = rng.uniform(0.2, 3, O), rng.uniform(0.2, 3, C * 4)
    rank = data.draw(st.integers(1, min(O, C * 4)))
    pair = factorize_conv_by(layer, rank, alpha=np.outer(a, b).reshape(layer.weight.shape))
    W = layer.weight.data.reshape(O, -1).astype(float)
    s = np.linalg.svd(np.outer(a, b) * W, compute_uv=False)
    assert_allclose(squared(np.outer(a, b) * (W - merged(pair))), squared(s[rank:]), atol=1e-5 * squared(s))


@pytest.mark.parametrize("message, call", [
    ("factorize_conv_by: second_moment or alpha must be given, one of them",
     lambda: factorize_conv_by(nn.Conv2d(1, 1, 1, rng=R), 1)),
    ("factorize_conv_by: layer must have groups=1, got groups=2",
     lambda: factorize_conv_by(nn.Conv2d(2, 2, 1, groups=2, rng=R), 1, alpha=np.ones((2, 1, 1, 1)))),
    ("patch_second_moment: layer must have groups=1, got groups=2",
     lambda: patch_second_moment(nn.Sequential(), nn.Conv2d(2, 2, 1, groups=2, rng=R), np.ones((1, 1, 2, 2), "f4"))),
    ("patch_second_moment: layer must be called by the model",
     lambda: patch_second_moment(nn.Conv2d(1, 1, 1, rng=R), nn.Conv2d(1, 1, 1, rng=R), np.ones((1, 1, 2, 2), "f4"))),
    ("weighted_svd: rows must be array_like of float64, shape (m,), > 0",
     lambda: weighted_svd(np.ones((2, 2)), 1, rows=np.array([0., 1]), columns=np.ones(2))),
    ("factorize_conv_by: alpha must have the shape of the weight (1, 2, 1, 1), got (1, 1, 1, 1)",
     lambda: factorize_conv_by(nn.Conv2d(2, 1, 1, rng=R), 1, alpha=np.ones((1, 1, 1, 1))))])
def test_an_error_names_function_argument_requirement_and_value(message, call):
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        call()
