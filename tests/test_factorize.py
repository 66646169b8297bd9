"""The laws of networks in thin layers: every layer keeps its share, cut for the inputs of its place."""
import copy
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from strategies import rngs

from tinyml import Tensor, nn
from tinyml.compression.factorize import factorize, input_second_moments, ranks, share_for_accuracy
from tinyml.compression.low_rank import break_even, rank_for_budget, rank_for_energy, truncated_svd
from tinyml.compression.report import macs
from tinyml.compression.weight_sharing import share_weights
from tinyml.train import accuracy

sizes = st.integers(1, 6)
R = np.random.default_rng(0)


def squared(a):
    return float((a ** 2).sum())


def cnn(rng):
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, rng=rng), nn.ReLU(), nn.Flatten(),
                         nn.Linear(8 * 16, 30, rng=rng), nn.ReLU(), nn.Linear(30, 2, rng=rng))


@settings(max_examples=10)
@given(rngs, st.floats(0.1, 0.9), st.booleans())
def test_a_factorized_model_keeps_the_share_of_its_work(rng, share, weighted):
    model, X = cnn(rng), rng.standard_normal((20, 3, 4, 4)).astype(np.float32)
    small = factorize(model, share=share, X=X if weighted else None)
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


def test_second_moments_are_those_of_the_inputs_of_each_layer():
    model = cnn(np.random.default_rng(0))
    X = np.random.default_rng(1).standard_normal((7, 3, 4, 4)).astype(np.float32)
    found = input_second_moments(model, X)
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
def test_a_factorized_model_keeps_the_energy_of_its_layers(rng, energy, weighted):
    model, X = cnn(rng), rng.standard_normal((200, 3, 4, 4)).astype(np.float32)
    small = factorize(model, energy=energy, X=X if weighted else None)
    W, hidden = model[3].weight.data, model[:3](Tensor(X)).data.astype(float) if weighted else np.eye(128)
    rank = rank_for_energy(np.linalg.svd(hidden @ W.T, compute_uv=False), energy=energy)
    assert type(small[3]) is (nn.Sequential if rank < break_even(*W.shape) else nn.Linear)
    if type(small[3]) is nn.Linear:
        return
    assert small[3][0].out_features == rank
    lost = squared(hidden @ (W - small[3][1].weight.data @ small[3][0].weight.data).T)
    assert lost <= (1 - energy + 1e-5) * squared(hidden @ W.T)


def test_errors_are_weighted_by_the_inputs_of_the_layer():
    rng = np.random.default_rng(0)
    model = cnn(rng)
    X = (rng.standard_normal((300, 3, 4, 4)) * rng.uniform(0.01, 3, (3, 4, 4))).astype(np.float32)
    hidden = model[:3](Tensor(X)).data

    def lost(small):
        W = small[3][1].weight.data @ small[3][0].weight.data
        return squared(hidden @ (W - model[3].weight.data).T)

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
    found = input_second_moments(model, X)
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
    found = input_second_moments(nn.Sequential(branch, nn.Linear(3, 2, rng=R)), X)
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


def test_a_convolution_in_groups_stays_and_is_named():
    rng = np.random.default_rng(0)
    model = nn.Sequential(nn.Conv2d(2, 12, 3, padding="same", dilation=2, rng=rng), nn.Conv2d(12, 12, 3, groups=12, rng=rng),
                          nn.Conv2d(12, 2, 1, rng=rng))
    with pytest.warns(UserWarning, match=r"^factorize: left as they are: 1.weight \(filters in 12 groups\)$"):
        small = factorize(model, energy=0.5)
    assert [type(layer) for layer in small] == [nn.Sequential, nn.Conv2d, nn.Conv2d]
    assert ranks(model, share=0.6)["1.weight"] == "filters in 12 groups"
    x = Tensor(rng.standard_normal((2, 2, 8, 8)).astype(np.float32))
    assert small(x).shape == model(x).shape


@pytest.mark.parametrize("message, call", [
    ("factorize: share or energy must be given, one of them, got share=None and energy=None",
     lambda: factorize(nn.Sequential())),
    ("factorize: share or energy must be given, one of them, got share=0.5 and energy=0.5",
     lambda: factorize(nn.Sequential(), share=0.5, energy=0.5)),
    ("factorize: model must have a Linear, Conv1d or Conv2d besides the last one, got Linear; weight is the la",
     lambda: factorize(nn.Linear(2, 2, rng=R), share=0.5)),
    ("factorize: model must have a Linear, Conv1d or Conv2d besides the last one, got ReLU",
     lambda: factorize(nn.ReLU(), share=0.5))])
def test_an_error_names_function_argument_requirement_and_value(message, call):
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        call()


def test_the_inputs_of_a_share_are_those_of_factorize():
    X = np.ones((3, 4))
    model = nn.Sequential(nn.Linear(4, 6, rng=np.random.default_rng(0)), nn.Linear(6, 3, rng=np.random.default_rng(1)))
    with pytest.raises(ValueError, match=r"got \(3, 5\) and \(6, 4\)"):
        share_for_accuracy(model, X, np.arange(3), at_least=0, shares=[0.5], inputs=np.ones((3, 5)))
