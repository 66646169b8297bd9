"""The laws of bi-clustering: groups on both sides, and blocks of low rank on both sides."""
import copy
import re
from contextlib import nullcontext

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from strategies import one_or_two, rngs

from tinyml import Tensor, nn
from tinyml.compression.biclustering import (
    bicluster,
    bicluster_conv,
    bicluster_linear,
    block_work,
    energy_kept,
    ranks_for_work,
    two_sided_svd,
)
from tinyml.compression.coding.storage import load_compressed, save_compressed
from tinyml.compression.low_rank import break_even, truncated_svd
from tinyml.compression.report import macs
from tinyml.compression.thin_layers import factorize_conv
from tinyml.optim import Adam
from tinyml.train import fit

sizes = st.integers(1, 6)
R = np.random.default_rng(0)


def squared(a):
    return float((np.asarray(a, np.float64) ** 2).sum())


def codes_of(rng, n, k):
    """Codes of n items in which no group is empty."""
    return np.unique(rng.integers(0, k, n), return_inverse=True)[1]


def rebuilt(A, B, K):
    return np.einsum("oq,qpij,cp->ocij", B, K, A)


# ------------------------------------------------------------ groups

@settings(max_examples=15)
@given(rngs, st.integers(1, 3), st.integers(1, 3), st.integers(0, 4))
def test_channels_and_filters_that_are_alike_are_in_one_group(rng, G, H, more):
    """Groups far apart: 9 between the numbers of two groups, 0.1 within one."""
    of_channel = np.append(np.arange(G), rng.integers(0, G, more))
    of_filter = np.append(np.arange(H), rng.integers(0, H, 2 * more))
    pattern = 9 * rng.permutation(G * H).reshape(H, G, 1, 1) * np.ones((1, 1, 2, 3))
    W = pattern[np.ix_(of_filter, of_channel)]
    inputs, outputs = bicluster(W + rng.uniform(0, 0.1, W.shape), G, H, rng=rng)
    assert_array_equal(inputs[:, None] == inputs, of_channel[:, None] == of_channel)
    assert_array_equal(outputs[:, None] == outputs, of_filter[:, None] == of_filter)


@settings(max_examples=15)
@given(rngs, st.integers(1, 3))
def test_groups_with_equal_means_are_told_apart(rng, n):
    """Over filters, channels, positions and both signs: W is +V in two of four blocks, -V in the others."""
    V = rng.integers(1, 5, (2, 3)).astype(float)    # whole numbers, whose mean is 0 without rounding
    V[0, 0] -= V.sum()
    of_channel, of_filter = (rng.permutation(np.repeat([-1, 1], n)) for _ in range(2))
    W = (of_filter[:, None] * of_channel)[:, :, None, None] * V
    inputs, outputs = bicluster(W, 2, 2, rng=rng)
    assert_array_equal(inputs[:, None] == inputs, of_channel[:, None] == of_channel)
    assert_array_equal(outputs[:, None] == outputs, of_filter[:, None] == of_filter)


@settings(max_examples=15)
@given(rngs, sizes, sizes)
def test_there_are_no_more_groups_than_asked_for(rng, C, O):
    W = rng.standard_normal((O, C, 2, 1))
    inputs, outputs = bicluster(W, 3, 2, rng=rng)
    assert inputs.shape == (C,) and outputs.shape == (O,)
    assert inputs.max() < min(3, C) and outputs.max() < min(2, O)


# ------------------------------------------------------------ two-sided SVD

@given(rngs, sizes, sizes, st.integers(1, 3), st.data())
def test_the_error_is_the_energy_that_the_core_loses_and_at_most_both_tails(rng, O, C, kernel, data):
    W = rng.standard_normal((O, C, kernel, kernel))
    A, B, K = two_sided_svd(W)
    assert_allclose(rebuilt(A, B, K), W, atol=1e-12 * np.abs(W).max() * W.size)
    k = kernel ** 2
    assert (A.shape, B.shape) == ((C, min(C, O * k)), (O, min(O, C * k)))    # no directions of nothing
    for side in (A, B):
        assert_allclose(side.T @ side, np.eye(side.shape[1]), atol=1e-12)
    K1, K2 = data.draw(st.integers(1, A.shape[1])), data.draw(st.integers(1, B.shape[1]))
    error = squared(W - rebuilt(A[:, :K1], B[:, :K2], K[:K2, :K1]))
    kept = energy_kept(K)
    assert kept.shape == K.shape[:2]
    assert_allclose(error, squared(W) - kept[K2 - 1, K1 - 1], atol=1e-11 * squared(W))
    spectra = (np.linalg.svd(M, compute_uv=False) for M in
               (W.swapaxes(0, 1).reshape(C, -1), W.reshape(O, -1)))
    tails = [squared(s[rank:]) for s, rank in zip(spectra, (K1, K2))]
    assert max(tails) - 1e-11 * squared(W) <= error <= sum(tails) + 1e-11 * squared(W)
    for matrix, rank in ((rebuilt(A[:, :K1], B[:, :K2], K[:K2, :K1]).reshape(O, -1), K2),):
        assert np.linalg.matrix_rank(matrix, tol=1e-9) <= rank
    assert two_sided_svd(W.astype("f4"))[2].dtype == np.float32


@given(rngs, sizes, sizes, st.data())
def test_no_other_core_is_nearer_and_filters_of_these_ranks_are_found(rng, O, C, data):
    """In the spaces of A and B the core is a projection; what lies in such spaces is found exactly."""
    W = rng.standard_normal((O, C, 2, 2))
    A, B, K = two_sided_svd(W)
    K1, K2 = data.draw(st.integers(1, A.shape[1])), data.draw(st.integers(1, B.shape[1]))
    A, B, K = A[:, :K1], B[:, :K2], K[:K2, :K1]
    other = K + rng.standard_normal(K.shape)
    assert_allclose(squared(W - rebuilt(A, B, other)), squared(W - rebuilt(A, B, K)) + squared(other - K), rtol=1e-9)
    low = rebuilt(A, B, K)
    A2, B2, core = two_sided_svd(low)
    assert_allclose(rebuilt(A2[:, :K1], B2[:, :K2], core[:K2, :K1]), low, atol=1e-11)


# ------------------------------------------------------------ layers

@settings(max_examples=25)
@given(rngs, sizes, sizes, one_or_two(st.integers(1, 3)), one_or_two(st.integers(1, 2)), one_or_two(st.integers(0, 2)),
       st.booleans(), st.integers(1, 2), st.data())
def test_blocks_compute_the_approximated_filters(rng, O, C, kernel, stride, padding, bias, dilation, data):
    layer = nn.Conv2d(C, O, kernel, stride, padding, bias=bias, dilation=dilation, rng=rng)
    inputs, outputs = codes_of(rng, C, 3), codes_of(rng, O, 3)
    K1, K2 = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 4))
    small = bicluster_conv(layer, inputs, outputs, in_rank=K1, out_rank=K2)
    whole = copy.deepcopy(layer)
    W = layer.weight.data
    for g in range(inputs.max() + 1):
        for h in range(outputs.max() + 1):
            block = np.ix_(np.flatnonzero(outputs == h), np.flatnonzero(inputs == g))
            A, B, K = two_sided_svd(W[block])
            whole.weight.data[block] = rebuilt(A[:, :K1], B[:, :K2], K[:K2, :K1])
    x = Tensor(rng.standard_normal((2, C, 6, 7)).astype(np.float32))
    y = small(x)
    assert_allclose(y.data, whole(x).data, atol=1e-5)
    assert y.dtype == np.float32
    exact = bicluster_conv(layer, inputs, outputs, in_rank=C, out_rank=O)
    assert_allclose(exact(x).data, layer(x).data, atol=1e-5)


@settings(max_examples=25)
@given(rngs, sizes, sizes, st.sampled_from([1, 3]), st.tuples(*[st.integers(1, 3)] * 2), st.data())
def test_the_work_is_that_of_the_formula(rng, O, C, kernel, stride, data):
    """6 output pixels a side from 6 times the stride: borders change nothing."""
    layer = nn.Conv2d(C, O, kernel, stride, kernel // 2, rng=rng)
    X = np.zeros((1, C, 6 * stride[0], 6 * stride[1]), np.float32)
    inputs, outputs = codes_of(rng, C, 2), codes_of(rng, O, 2)
    K1, K2 = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 4))
    small = bicluster_conv(layer, inputs, outputs, in_rank=K1, out_rank=K2)
    s = int(np.prod(stride))
    expected = sum(block_work(K1, K2, int(c), int(o), area=kernel ** 2, stride=s)
                   for c in np.bincount(inputs) for o in np.bincount(outputs))
    assert macs(small, X) == 36 * expected
    assert block_work(2, 3, 4, 5, area=9, stride=s) == s * 2 * 4 + 9 * 2 * 3 + 3 * 5
    assert block_work(3, 1, 5, 2, area=1) == block_work(1, 3, 2, 5, area=1) == 14    # 2 directions, not 3
    assert block_work(4, 5, 4, 5, area=9) == block_work(9, 9, 4, 5, area=9) == 9 * 4 * 5


@settings(max_examples=15)
@given(rngs, sizes, sizes, st.floats(0.05, 1.2))
def test_the_ranks_for_a_share_keep_the_most(rng, O, C, share):
    layer = nn.Conv2d(C, O, 3, padding=1, rng=rng)
    inputs, outputs = codes_of(rng, C, 2), codes_of(rng, O, 2)
    K1, K2 = ranks_for_work(layer, inputs, outputs, share=share)
    one = np.zeros((C, C, 5, 5), np.float32)    # a pixel in the middle: its outputs are all the weights, once
    one[range(C), range(C), 2, 2] = 1

    def judged(in_rank, out_rank):
        small = bicluster_conv(layer, inputs, outputs, in_rank=in_rank, out_rank=out_rank)
        return macs(small, one) / macs(layer, one), squared(small(Tensor(one)).data - layer(Tensor(one)).data)
    work, error = judged(K1, K2)
    assert work <= share * (1 + 1e-9) or (K1, K2) == (1, 1)
    for other in [(1, 1), (K1 + 1, K2), (K1, K2 + 1), (C, O), (max(K1 - 1, 1), K2 + 1), (K1 + 1, max(K2 - 1, 1))]:
        its_work, its_error = judged(*other)
        assert its_work > share or its_error >= error - 1e-5 * squared(layer.weight.data)


@settings(max_examples=15)
@given(rngs, sizes, sizes, st.data())
def test_one_group_on_both_sides_is_the_svd_of_all_channels(rng, O, C, data):
    layer = nn.Conv2d(C, O, 3, padding=1, rng=rng)
    rank = data.draw(st.integers(1, O))
    one = bicluster_conv(layer, np.zeros(C, int), np.zeros(O, int), in_rank=C, out_rank=rank)
    with pytest.warns() if rank >= O * 9 * C / (O + 9 * C) else nullcontext():
        pair = factorize_conv(layer, min(rank, 9 * C), method="channel")
    x = Tensor(rng.standard_normal((2, C, 5, 5)).astype(np.float32))
    assert_allclose(one(x).data, pair(x).data, atol=1e-5)


@settings(max_examples=20)
@given(rngs, sizes, sizes, st.integers(1, 4), st.booleans())
def test_blocks_of_a_linear_layer_are_cut_one_by_one(rng, n_in, n_out, rank, bias):
    layer = nn.Linear(n_in, n_out, bias, rng=rng)
    inputs, outputs = codes_of(rng, n_in, 2), codes_of(rng, n_out, 2)
    small, whole = bicluster_linear(layer, inputs, outputs, rank=rank), copy.deepcopy(layer)
    work = 0
    for g in range(inputs.max() + 1):
        for h in range(outputs.max() + 1):
            block = np.ix_(np.flatnonzero(outputs == h), np.flatnonzero(inputs == g))
            m, n = layer.weight.data[block].shape
            work += min(rank * (m + n), m * n)
            if rank < break_even(m, n):
                U, V = truncated_svd(layer.weight.data[block], rank)
                whole.weight.data[block] = U @ V.T
    X = rng.standard_normal((3, n_in)).astype(np.float32)
    assert_allclose(small(Tensor(X)).data, whole(Tensor(X)).data, atol=1e-5)
    assert macs(small, X) == work


def test_blocks_are_trained_stored_and_leave_the_model(tmp_path):
    rng = np.random.default_rng(0)
    layer = nn.Conv2d(4, 6, 3, padding=1, rng=rng)
    before = layer.state_dict()
    inputs, outputs = bicluster(layer.weight.data, 2, 2, rng=rng)
    small = bicluster_conv(layer, inputs, outputs, in_rank=1, out_rank=2)
    model = nn.Sequential(small, nn.ReLU(), nn.Flatten(), nn.Linear(96, 2, rng=rng))
    X, y = rng.standard_normal((40, 4, 4, 4)).astype(np.float32), rng.integers(0, 2, 40)
    start = [p.data.copy() for p in model.parameters()]
    fit(model, X, y, optimizer=Adam(model.parameters(), lr=0.01), epochs=2, batch_size=20, rng=rng)
    assert all((a != p.data).any() for a, p in zip(start, model.parameters()))
    assert all(np.array_equal(a, before[k]) for k, a in layer.state_dict().items())
    save_compressed(model, tmp_path / "m")
    assert_array_equal(load_compressed(tmp_path / "m")(Tensor(X)).data, model(Tensor(X)).data)


@pytest.mark.parametrize("message, call", [
    ("bicluster: n_inputs must be int >= 1", lambda: bicluster(np.ones((2, 3, 1, 1)), 0, 1, rng=R)),
    ("two_sided_svd: filters must be array_like, shape (O, C, kh, kw), O >= 1, C >= 1",
     lambda: two_sided_svd(np.ones((0, 3, 1, 1)))),
    ("blockwise: inputs must give a group to each of 3 items, got codes of shape (2,)",
     lambda: bicluster_conv(nn.Conv2d(3, 2, 1, rng=R), np.zeros(2, int), np.zeros(2, int), in_rank=1, out_rank=1)),
    ("blockwise: layer must have groups=1, got groups=2",
     lambda: bicluster_conv(nn.Conv2d(2, 2, 1, groups=2, rng=R), np.zeros(2, int), np.zeros(2, int), in_rank=1, out_rank=1)),
    ("blockwise: outputs must give a group to each of 2 items, got codes 0 to 2 without 1",
     lambda: bicluster_conv(nn.Conv2d(3, 2, 1, rng=R), np.zeros(3, int), np.array([0, 2]), in_rank=1, out_rank=1))])
def test_an_error_names_function_argument_requirement_and_value(message, call):
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        call()
