"""The laws of masking: how many are hidden, which ones, the input unchanged, a loss of the hidden ones only."""
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from strategies import anything, rngs, shapes

from tinyml import Tensor
from tinyml import functional as F
from tinyml.selfsupervised.masking import (
    adjacency,
    mask_edges,
    mask_input,
    mask_patches,
    mask_spans,
    mask_tokens,
    masked_loss,
)

ratios = st.sampled_from([0, 1]) | st.floats(0, 1)
RNG = np.random.default_rng(0)


def within_binomial(count, n, p):
    """Whether counts are within six standard deviations, which they leave once in 10^8 draws."""
    p = np.asarray(p)
    return (np.abs(count - n * p) <= 6 * np.sqrt(n * p * (1 - p))).all()


# ------------------------------------------------------------ randomness

RANDOM_CALLS = {    # name -> a call in which two seeds agree once in 10^9 times, or never
    "mask_input": lambda rng: mask_input(np.zeros(40), mask_ratio=0.5, mask_value=1, rng=rng),
    "mask_tokens": lambda rng: mask_tokens(np.zeros((2, 40), int), vocab_size=9, mask_id=9, mask_ratio=0.5, rng=rng),
    "mask_patches": lambda rng: mask_patches(2, 40, mask_ratio=0.5, rng=rng),
    "mask_spans": lambda rng: mask_spans(np.ones((4, 40)), mask_ratio=0.5, span_length=2, rng=rng),
    "mask_edges": lambda rng: mask_edges([(i, i + 1) for i in range(40)], 41, mask_ratio=0.5, rng=rng),
}


@pytest.mark.parametrize("name", RANDOM_CALLS)
@settings(max_examples=5)
@given(seed=st.integers(0, 2 ** 32))
def test_rng_is_the_only_source_of_randomness(name, seed):
    first, again, other = (RANDOM_CALLS[name](np.random.default_rng(s)) for s in (seed, seed, seed + 1))
    assert all(map(np.array_equal, first, again)), f"{name} gave two results from one seed: draw from rng alone"
    assert not all(map(np.array_equal, first, other)), f"{name} gave one result from two seeds: draw from rng"


# ------------------------------------------------------------ the pseudocode of the notes

@given(rng=rngs, n=st.integers(0, 30), inner=shapes(0, 2), mask_ratio=ratios)
def test_mask_input_hides_exactly_k_elements_and_keeps_the_others(rng, n, inner, mask_ratio):
    x = anything(rng, (n, *inner)).astype(np.float32)
    before = x.copy()
    corrupted, indices = mask_input(x, mask_ratio=mask_ratio, mask_value=7, rng=rng)
    assert_array_equal(x, before)
    assert not np.shares_memory(corrupted, x)
    assert corrupted.dtype == x.dtype and corrupted.shape == x.shape
    assert len(indices) == int(n * mask_ratio) and (np.diff(indices) > 0).all()
    visible = np.setdiff1d(np.arange(n), indices)
    assert len(visible) == n - len(indices)
    assert (corrupted[indices] == 7).all()
    assert_array_equal(corrupted[visible], before[visible])


def test_all_subsets_are_equally_likely():
    """5 elements, 2 hidden: 10 pairs."""
    counts = np.zeros((5, 5), int)
    for _ in range(5000):
        counts[tuple(mask_input(np.zeros(5), mask_ratio=0.4, mask_value=1, rng=RNG)[1])] += 1
    pairs = counts[np.triu_indices(5, 1)]
    assert pairs.sum() == 5000 and within_binomial(pairs, 5000, 1 / 10)


def test_the_mask_value_may_be_an_element():
    x = np.arange(12.0).reshape(4, 3)
    corrupted, indices = mask_input(x, mask_ratio=0.5, mask_value=[7, 8, 9], rng=RNG)
    assert_array_equal(corrupted[indices], [[7, 8, 9]] * 2)
    assert np.isnan(mask_input(x, mask_ratio=1, mask_value=math.nan, rng=RNG)[0]).all()


# ------------------------------------------------------------ tokens

@given(rng=rngs, shape=shapes(1, 3), V=st.integers(1, 9), mask_ratio=ratios, above=st.integers(0, 3))
def test_k_tokens_of_each_sequence_are_chosen_and_only_these_change(rng, shape, V, mask_ratio, above):
    tokens = rng.integers(0, V, (*shape[:-1], 4 * shape[-1]))
    before, mask_id = tokens.copy(), V + above
    corrupted, chosen = mask_tokens(tokens, vocab_size=V, mask_id=mask_id, mask_ratio=mask_ratio, rng=rng)
    assert_array_equal(tokens, before)
    assert not np.shares_memory(corrupted, tokens)
    assert corrupted.shape == chosen.shape == tokens.shape and chosen.dtype == bool
    assert (chosen.sum(axis=-1) == int(tokens.shape[-1] * mask_ratio)).all()
    assert_array_equal(corrupted[~chosen], before[~chosen])
    assert np.isin(corrupted[chosen], [*range(V), mask_id]).all()


def test_chosen_tokens_are_masked_replaced_or_kept_as_in_bert():
    """[MASK] 0.8; another token 0.1 (V - 1) / V, each of them as often; the same one 0.1 + 0.1 / V."""
    V = 5
    tokens = RNG.integers(0, V, (400, 100))
    corrupted, chosen = mask_tokens(tokens, vocab_size=V, mask_id=V, mask_ratio=0.5, rng=RNG)
    n = chosen.sum()
    assert n == 400 * 50
    assert within_binomial((corrupted == V).sum(), n, 0.8)
    step = (corrupted - tokens)[chosen & (corrupted != V)] % V
    assert within_binomial(np.bincount(step, minlength=V), n, [0.1 + 0.1 / V] + [0.1 / V] * (V - 1))
    assert within_binomial(chosen.sum(axis=0), 400, 0.5)                             # each position
    assert within_binomial((chosen[:, :-1] & chosen[:, 1:]).sum(), 400 * 99, 50 * 49 / (100 * 99))
    same_in_two_rows = (chosen[:-1] & chosen[1:]).sum()                              # rows are independent
    assert within_binomial(same_in_two_rows, 399 * 100, 0.25)


def test_chosen_tokens_are_independent():
    """All tokens are 0 and all are chosen: two in one sequence have each pair of fates with p_i p_j."""
    V, N = 3, 60_000
    p = np.array([0.1 + 0.1 / V] + [0.1 / V] * (V - 1) + [0.8])    # 0, another token, [MASK]
    corrupted, _ = mask_tokens(np.zeros((N, 2), int), vocab_size=V, mask_id=V, mask_ratio=1, rng=RNG)
    pairs = np.zeros((V + 1, V + 1), int)
    np.add.at(pairs, tuple(corrupted.T), 1)
    assert within_binomial(pairs, N, np.outer(p, p)), f"pairs of fates {pairs}, expected near {N * np.outer(p, p)}"
    single = [mask_tokens([0], vocab_size=V, mask_id=V, mask_ratio=1, rng=RNG)[0].item() for _ in range(400)]
    assert within_binomial(np.bincount(single, minlength=V + 1), 400, p), "also a single token is [MASK] in 80 %"


# ------------------------------------------------------------ patches

@given(rng=rngs, n_images=st.integers(1, 4), n_patches=st.integers(1, 20), mask_ratio=ratios)
def test_ids_restore_undoes_the_shuffle(rng, n_images, n_patches, mask_ratio):
    keep, hide, restore = mask_patches(n_images, n_patches, mask_ratio=mask_ratio, rng=rng)
    assert hide.shape == (n_images, int(n_patches * mask_ratio)) and keep.shape[0] == n_images
    order = np.concatenate([keep, hide], axis=1)
    everything = np.broadcast_to(np.arange(n_patches), (n_images, n_patches))
    assert_array_equal(np.sort(order, axis=1), everything)
    assert_array_equal(np.take_along_axis(order, restore, axis=1), everything)
    x = anything(rng, (n_images, n_patches))
    shuffled = np.take_along_axis(x, order, axis=1)
    assert_array_equal(np.take_along_axis(shuffled, restore, axis=1), x)


def test_all_orders_are_equally_likely_and_images_are_independent():
    _, hide, restore = mask_patches(4000, 8, mask_ratio=0.75, rng=RNG)
    assert within_binomial(np.bincount(hide.ravel(), minlength=8), 4000, 0.75)
    for patch in restore.T:    # also within the visible, and within the hidden ones
        assert within_binomial(np.bincount(patch, minlength=8), 4000, 1 / 8), "all orders are equally likely"
    hidden = restore >= 2
    pairs = (hidden[:, :-1] & hidden[:, 1:]).sum(axis=0)
    assert within_binomial(pairs, 4000, 6 * 5 / (8 * 7))
    assert within_binomial((hidden[::2] == hidden[1::2]).all(axis=1).sum(), 2000, 1 / 28)


# ------------------------------------------------------------ series

def runs(row):
    """The lengths of the stretches of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], row, [0]])))
    return edges[1::2] - edges[::2]


@given(rng=rngs, shape=shapes(0, 2), T=st.integers(0, 40), mask_ratio=ratios, span_length=st.integers(1, 9))
def test_spans_hide_exactly_k_readings_and_have_their_length(rng, shape, T, mask_ratio, span_length):
    x = 3 + anything(rng, (*shape, T)).astype(np.float32)    # no 0 of its own
    before = x.copy()
    corrupted, mask = mask_spans(x, mask_ratio=mask_ratio, span_length=span_length, rng=rng)
    assert_array_equal(x, before)
    assert not np.shares_memory(corrupted, x)
    assert corrupted.dtype == x.dtype and mask.shape == corrupted.shape == x.shape
    assert_array_equal(corrupted, np.where(mask, 0, before))
    k = int(T * mask_ratio)
    for row in mask.reshape(-1, T) if T else []:
        assert row.sum() == k
        rest = runs(row) % span_length    # spans may touch; the stretch that the short one is in shows it
        assert_array_equal(rest[rest > 0], [k % span_length] if k % span_length else [])


def test_all_arrangements_of_the_spans_are_equally_likely():
    """8 readings, 5 hidden in spans of 2: the orders of 2, 2, 1 and three visible are 6!/(2! 1! 3!) = 60."""
    mask = mask_spans(np.ones((30000, 8)), mask_ratio=0.625, span_length=2, rng=RNG)[1]
    words = {}
    for order in {tuple(p) for p in _orders("ABBvvv")}:
        word = "".join({"A": "1", "B": "11", "v": "0"}[item] for item in order)
        words[word] = words.get(word, 0) + 1
    assert sum(words.values()) == 60
    seen, counts = np.unique(mask, axis=0, return_counts=True)
    found = {"".join(map(str, row.astype(int))): count for row, count in zip(seen, counts)}
    assert found.keys() == words.keys()
    assert all(within_binomial(found[word], 30000, ways / 60) for word, ways in words.items())


def _orders(items):
    if not items:
        yield ()
    for i, item in enumerate(items):
        yield from ((item, *rest) for rest in _orders(items[:i] + items[i + 1:]))


# ------------------------------------------------------------ graphs

@st.composite
def graphs(draw):
    """Edges in random directions and order, the number of nodes, and a ratio that leaves enough non-edges."""
    rng, n = draw(rngs), draw(st.integers(1, 9))
    pairs = rng.permutation(np.argwhere(np.triu(np.ones((n, n)), 1)))
    edges = pairs[:draw(st.integers(0, len(pairs)))]
    flip = rng.random(len(edges)) < 0.5
    edges = np.where(flip[:, None], edges[:, ::-1], edges).reshape(-1, 2)
    enough = 2 * len(edges) <= len(pairs)
    return edges, n, draw(ratios) if enough else draw(st.floats(0, 1)) * (len(pairs) / len(edges) - 1)


def as_set(edges):
    return {frozenset(edge) for edge in edges.tolist()}


@given(graph=graphs())
def test_the_adjacency_holds_both_directions_of_every_edge(graph):
    edges, n_nodes, _ = graph
    A = adjacency(edges, n_nodes)
    assert A.shape == (n_nodes, n_nodes) and A.sum() == 2 * len(edges)
    assert all(A[i, j] and A[j, i] for i, j in edges)


@given(rng=rngs, graph=graphs())
def test_edges_are_visible_or_hidden_and_non_edges_are_no_edges(rng, graph):
    edges, n_nodes, mask_ratio = graph
    visible, hidden, non_edges = mask_edges(edges, n_nodes, mask_ratio=mask_ratio, rng=rng)
    k = int(len(edges) * mask_ratio)
    assert visible.shape == (len(edges) - k, 2) and hidden.shape == non_edges.shape == (k, 2)
    for part in (visible, hidden):
        rows = [np.flatnonzero((edges == edge).all(axis=1)).item() for edge in part]
        assert rows == sorted(rows)
    assert as_set(visible) | as_set(hidden) == as_set(edges) and not as_set(visible) & as_set(hidden)
    assert len(as_set(non_edges)) == k and not as_set(non_edges) & as_set(edges)
    assert (non_edges[:, 0] < non_edges[:, 1]).all() and (non_edges >= 0).all() and (non_edges < n_nodes).all()
    path = np.array([[0, 1], [1, 2], [2, 3]])
    assert len(mask_edges(path, 4, mask_ratio=0.6, rng=rng)[1]) == 1    # 1.8 edges, rounded down


def test_all_sets_of_edges_and_of_non_edges_are_equally_likely():
    """Two of the 4 edges of a path, 6 sets; and two of the 6 pairs without an edge, 15 sets."""
    hidden, drawn = {}, {}
    for _ in range(3000):
        _, hide, non_edges = mask_edges([(0, 1), (1, 2), (2, 3), (3, 4)], 5, mask_ratio=0.5, rng=RNG)
        for counts, edges in ((hidden, hide), (drawn, non_edges)):
            some = frozenset(map(tuple, edges.tolist()))
            counts[some] = counts.get(some, 0) + 1
    for counts, sets in ((hidden, 6), (drawn, 15)):
        assert len(counts) == sets and within_binomial(list(counts.values()), 3000, 1 / sets)


def test_too_few_pairs_without_an_edge_are_refused():
    """Among 4 nodes a triangle leaves 3 pairs; with one more edge there are 2 for 4 edges."""
    triangle = [(0, 1), (1, 2), (0, 2)]
    assert len(mask_edges(triangle, 4, mask_ratio=1, rng=RNG)[2]) == 3
    for edges, n_nodes, ratio in ((triangle, 3, 0.5), ([*triangle, (0, 3)], 4, 0.75)):
        with pytest.raises(ValueError):
            mask_edges(edges, n_nodes, mask_ratio=ratio, rng=RNG)


# ------------------------------------------------------------ the loss

@given(rng=rngs, shape=shapes(1, 2), n_classes=st.integers(1, 4), tokens=st.booleans())
def test_the_loss_ignores_visible_positions(rng, shape, n_classes, tokens):
    """A change at a visible position leaves the loss bit for bit, and the gradient there is exactly 0."""
    mask = rng.random(shape) < 0.5
    if not mask.any():
        return
    z = anything(rng, (*shape, n_classes))
    target = rng.integers(0, n_classes, shape) if tokens else anything(rng, z.shape)
    loss_fn = F.cross_entropy if tokens else F.mse_loss
    prediction = Tensor(z, requires_grad=True)
    loss = masked_loss(prediction, target, mask, loss_fn=loss_fn)
    loss.backward()
    assert not prediction.grad[~mask].any()
    if not tokens:    # of the mean of (x^ - x)^2 over the hidden ones
        error = 2 * (z - target)[mask] / (mask.sum() * n_classes)
        np.testing.assert_allclose(prediction.grad[mask], error, rtol=1e-12)
    elsewhere = np.where(mask[..., None], z, 99 * anything(rng, z.shape))
    other = np.where(mask, target, 0) if tokens else np.where(mask[..., None], target, np.nan)
    assert masked_loss(Tensor(elsewhere), other, mask, loss_fn=loss_fn).item() == loss.item()


def test_so_many_are_hidden_on_a_single_row_rounded_down():
    row = np.arange(6)[None]
    for ratio, count in ((0, 0), (1, 6), (0.45, 2), (0.6, 3), (0.99, 5)):    # of 2.7, 3.6 and 5.94
        assert mask_tokens(row, vocab_size=6, mask_id=6, mask_ratio=ratio, rng=RNG)[1].sum() == count
        assert mask_patches(1, 6, mask_ratio=ratio, rng=RNG)[1].shape == (1, count)
        assert mask_spans(row, mask_ratio=ratio, span_length=4, rng=RNG)[1].sum() == count
        assert len(mask_input(row[0], mask_ratio=ratio, mask_value=9, rng=RNG)[1]) == count
    assert_array_equal(mask_spans(row, mask_ratio=1, span_length=4, rng=RNG)[0], 0 * row)
    missing = mask_spans(np.array([math.nan, math.inf]), mask_ratio=1, span_length=4, rng=RNG)[0]
    assert_array_equal(missing, [0, 0], "a hidden reading is 0, also one that was NaN")


X = np.zeros((4, 3))


@pytest.mark.parametrize("call, words", [
    (lambda: mask_input(np.zeros(3, int), mask_ratio=1, mask_value=0.5, rng=RNG), "mask_value must be a value of dtype int"),
    (lambda: mask_edges([(0, 1), (1, 0)], 2, mask_ratio=0, rng=RNG), "edges must hold each pair once and no loops, got 2 rows for 1"),
    (lambda: mask_edges([(0, 1), (1, 1)], 2, mask_ratio=0, rng=RNG), "edges must hold each pair once and no loops, got 2 rows for 1"),
    (lambda: mask_edges([(0, 1)], 2, mask_ratio=1, rng=RNG), "must hide at most 0 edges, because the graph has only 0 pairs without an edge, got 1"),
    (lambda: masked_loss(X, X, X[:, 0] > 0, loss_fn=F.mse_loss), "mask must hide at least one position"),
    (lambda: masked_loss(X, X[:2], X[:, 0] == 0, loss_fn=F.mse_loss), r"target \(2, 3\), got \(4,\)"),
])
def test_errors_say_what_to_write(call, words):
    with pytest.raises(ValueError, match=words):
        call()
