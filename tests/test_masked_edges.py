"""The laws of masked edges: facts of a graph, an area by ranks, no message from hidden edges."""
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from strategies import quarters, rngs

from tinyml.nn import Module
from tinyml.optim import Adam
from tinyml.selfsupervised.masked_edges import (
    EdgePredictor,
    auc,
    common_neighbours,
    karate_club,
    masked_edge_loss,
    preferential_attachment,
    propagation,
)
from tinyml.selfsupervised.masking import adjacency, mask_edges
from tinyml.tensor import Tensor

RNG = np.random.default_rng(0)
EDGES, N = karate_club()


@st.composite
def graphs(draw):
    """Edges, each in either direction, and the number of nodes."""
    rng, n = draw(rngs), draw(st.integers(2, 8))
    pairs = rng.permutation(np.argwhere(np.triu(np.ones((n, n)), 1)))
    edges = pairs[:draw(st.integers(1, len(pairs)))]
    return np.where(rng.random((len(edges), 1)) < 0.5, edges, edges[:, ::-1]), n


def test_the_karate_club_is_the_one_of_zachary():
    """34 members, 78 friendships, 45 triangles; the two leaders have 16 and 17 friends, and are none."""
    A = adjacency(EDGES, N).astype(int)
    degree = A.sum(axis=0)
    assert (N, len(EDGES), np.trace(A @ A @ A) // 6) == (34, 78, 45)
    assert degree[0] == 16 and degree[33] == 17 and np.sort(degree)[-3] == 12 and degree[11] == 1
    assert not A[0, 33] and (np.linalg.matrix_power(A + np.eye(N, dtype=int), 5) > 0).all()    # diameter 5
    assert (EDGES[:, 0] < EDGES[:, 1]).all()


# ------------------------------------------------------------ the area under the curve

@given(rng=rngs, n=st.integers(1, 12), m=st.integers(1, 12))
def test_the_area_is_that_of_mann_and_whitney(rng, n, m):
    """(Mean rank of the positives - (n + 1) / 2) / m, where equal scores share their mean rank."""
    positive, negative = quarters(rng, n), quarters(rng, m)    # with many ties
    scores = np.concatenate([positive, negative])
    ranks = [(scores < s).sum() + ((scores == s).sum() + 1) / 2 for s in positive]
    area = (np.mean(ranks) - (n + 1) / 2) / m
    assert_allclose(auc(positive, negative), area, atol=1e-12)
    assert_allclose(auc(negative, positive), 1 - area, atol=1e-12)
    assert_allclose(auc(np.exp(positive), np.exp(negative)), area, atol=1e-12)    # only order counts
    for scale, shift in ((2.0 ** -60, 0), (2.0 ** -20, 1)):    # and no difference is too small, here exact
        assert auc(scale * positive + shift, scale * negative + shift) == auc(positive, negative)
    assert isinstance(auc(positive, negative), float)    # NumPy's float64 is one


# ------------------------------------------------------------ messages along edges

@given(rng=rngs, graph=graphs())
def test_propagation_is_the_formula_in_a_slow_loop(rng, graph):
    edges, n = graph
    friends = {i: {i} for i in range(n)}
    for i, j in edges.tolist():
        friends[i].add(j)
        friends[j].add(i)
    P, X = propagation(edges, n), rng.standard_normal((n, 2))
    slow = [sum(X[j] / np.sqrt(len(friends[i]) * len(friends[j])) for j in friends[i]) for i in range(n)]
    assert P.dtype == np.float32
    assert_allclose(P @ X, slow, atol=1e-5)    # float32, of size 1
    assert_allclose(np.linalg.eigvalsh(P.astype(float)).max(), 1, rtol=1e-6)


@given(rng=rngs, graph=graphs())
def test_scores_without_training(rng, graph):
    edges, n = graph
    pairs = rng.integers(0, n, (5, 2))
    sets = [{j for edge in edges.tolist() for j in edge if i in edge and j != i} for i in range(n)]
    assert_array_equal(common_neighbours(edges, n, pairs), [len(sets[i] & sets[j]) for i, j in pairs])
    products = [len(sets[i]) * len(sets[j]) for i, j in pairs]
    assert_array_equal(preferential_attachment(edges, n, pairs), products)


# ------------------------------------------------------------ the predictor

@given(rng=rngs, graph=graphs(), messages=st.booleans())
def test_a_pair_has_one_logit_in_either_order(rng, graph, messages):
    edges, n = graph
    model, pairs = EdgePredictor(n, 3, messages=messages, rng=rng), rng.integers(0, n, (6, 2))
    model.bias.data, model.offset.data = rng.standard_normal(n).astype(np.float32), np.float32([0.5])
    logits = model(edges, pairs).data
    assert logits.shape == (6,) and logits.dtype == np.float32
    assert_allclose(model(edges, pairs[:, ::-1]).data, logits, rtol=1e-5, atol=1e-6)
    Z = (propagation(edges, n) if messages else np.eye(n)) @ model.embedding.data
    b = model.bias.data
    assert_allclose(logits, [Z[i] @ Z[j] + b[i] + b[j] + model.offset.item() for i, j in pairs], atol=1e-5)


@given(rng=rngs)
def test_messages_come_from_visible_neighbours_only(rng):
    """The gradient of z_i reaches the vectors of i and of its visible friends, and no other."""
    visible, hidden, _ = mask_edges(EDGES, N, mask_ratio=0.3, rng=rng)
    model, i = EdgePredictor(N, 2, rng=rng), rng.integers(N)
    model.encode(visible)[i].sum().backward()
    reached = model.embedding.grad.any(axis=1)
    A = adjacency(visible, N)
    assert_array_equal(reached, A[i] | (np.arange(N) == i))
    assert not any(reached[j] for a, b in hidden.tolist() for j in (a, b) if i in (a, b) and j != i)


class Recorder(Module):
    """Answers with fixed logits, and keeps what it was asked."""

    def __init__(self, n_nodes, logits):
        self.n_nodes, self.logits = n_nodes, Tensor(logits, requires_grad=True)

    def forward(self, edges, pairs):
        self.edges, self.pairs = edges, pairs
        return self.logits[:len(pairs)]


@given(rng=rngs, mask_ratio=st.floats(0.05, 1))
def test_the_loss_asks_for_hidden_edges_and_non_edges_and_shows_only_visible_ones(rng, mask_ratio):
    model, edges = Recorder(N, rng.standard_normal(2 * len(EDGES))), EDGES[:60]
    loss = masked_edge_loss(model, edges, mask_ratio=mask_ratio, rng=rng).item()
    k = int(60 * mask_ratio)
    shown, asked = ({frozenset(pair) for pair in pairs.tolist()} for pairs in (model.edges, model.pairs[:k]))
    everything = {frozenset(edge) for edge in edges.tolist()}
    assert not shown & asked and shown | asked == everything and len(asked) == k
    assert len(model.pairs) == 2 * k
    assert not everything & {frozenset(pair) for pair in model.pairs[k:].tolist()}
    z = model.logits.data[:2 * k]
    terms = np.log1p(np.exp(np.where(np.arange(2 * k) < k, -z, z)))
    assert_allclose(loss, terms.mean(), rtol=1e-6)


def test_training_finds_two_cliques():
    """Two groups of 6, all friends within: hidden friendships are told from strangers."""
    pairs = np.argwhere(np.triu(np.ones((12, 12)), 1))
    edges = pairs[(pairs[:, 0] < 6) == (pairs[:, 1] < 6)]
    rng = np.random.default_rng(2)
    visible, hidden, non_edges = mask_edges(edges, 12, mask_ratio=0.3, rng=rng)
    model = EdgePredictor(12, 4, rng=rng)
    optimizer = Adam(model.parameters(), lr=0.05)
    for _ in range(60):
        optimizer.zero_grad()
        loss = masked_edge_loss(model, visible, mask_ratio=0.3, rng=rng)
        loss.backward()
        optimizer.step()
    assert loss.dtype == np.float32
    assert auc(model(visible, hidden).data, model(visible, non_edges).data) > 0.95


MODEL = EdgePredictor(4, 2, rng=RNG)


@pytest.mark.parametrize("call, words", [
    (lambda: propagation([(0, 0)], 2), "edges must hold each pair once and no loops"),
    (lambda: MODEL([(0, 1)], [(0, 4)]), "EdgePredictor.forward: pairs must be .*n_nodes = 4, got 4"),
    (lambda: masked_edge_loss(MODEL, [(0, 1)], mask_ratio=0.5, rng=RNG), "must hide an edge, got 0.5"),
])
def test_errors_say_what_to_write(call, words):
    with pytest.raises(ValueError, match=words):
        call()
