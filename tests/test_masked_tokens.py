"""The laws of masked tokens: a posterior equal to enumeration, a bound, a model that learns."""
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from strategies import rngs

from tinyml.nn import Module
from tinyml.optim import Adam
from tinyml.selfsupervised.masked_tokens import (TokenTransformer, _messages, make_grammar, masked_token_loss, posterior,
                                                 sample_sequences)
from tinyml.selfsupervised.masking import mask_tokens
from tinyml.tensor import Tensor

RNG = np.random.default_rng(0)


# ------------------------------------------------------------ the language

@given(rng=rngs, V=st.integers(1, 9), data=st.data())
def test_a_grammar_has_as_many_successors_as_asked_for(rng, V, data):
    n = data.draw(st.integers(1, V))
    A = make_grammar(V, n_successors=n, rng=rng)
    assert A.shape == (V, V) and ((A > 0).sum(axis=1) == n).all()
    assert_allclose(A.sum(axis=1), 1, rtol=1e-12)
    x = sample_sequences(A, 3, 20, rng=rng)
    assert x.shape == (3, 20) and (A[x[:, :-1], x[:, 1:]] > 0).all()


def test_sequences_follow_the_grammar():
    """Tokens at the start are uniform; pairs have the frequencies of A, within six standard deviations."""
    A = make_grammar(4, n_successors=3, rng=RNG)
    x = sample_sequences(A, 2000, 20, rng=RNG)
    assert (np.abs(np.bincount(x[:, 0], minlength=4) - 500) < 6 * np.sqrt(2000 * 3 / 16)).all()
    pairs = np.zeros((4, 4))
    np.add.at(pairs, (x[:, :-1], x[:, 1:]), 1)
    n = pairs.sum(axis=1, keepdims=True)
    assert (np.abs(pairs - n * A) <= 6 * np.sqrt(n * A * (1 - A))).all()


# ------------------------------------------------------------ the posterior

def enumerate_posterior(corrupted, A, k):
    """p(x_t = v | x~, t chosen) by summing over all sequences, all choices of k positions, all fates."""
    T, V = len(corrupted), len(A)
    weight = np.zeros((T, V))
    for x in product(range(V), repeat=T):
        p_x = np.prod([A[v, w] for v, w in zip(x, x[1:])])
        for chosen in combinations(range(T), k):
            p = p_x
            for t, (true, seen) in enumerate(zip(x, corrupted)):
                if t not in chosen:
                    p *= true == seen
                elif seen == V:
                    p *= 0.8
                else:
                    p *= 0.1 * (true == seen) + 0.1 / V
            for t in chosen:
                weight[t, x[t]] += p
    return weight


@given(rng=rngs, V=st.integers(1, 3), T=st.integers(1, 5), mask_ratio=st.floats(0, 1), data=st.data())
def test_the_posterior_is_that_of_brute_force(rng, V, T, mask_ratio, data):
    A = make_grammar(V, n_successors=data.draw(st.integers(1, V)), rng=rng)
    tokens = sample_sequences(A, 2, T, rng=rng)
    corrupted, _ = mask_tokens(tokens, vocab_size=V, mask_id=V, mask_ratio=mask_ratio, rng=rng)
    kept = (corrupted == V) & (rng.random((2, T)) < 0.5)    # more that are chosen and do not show it
    corrupted = np.where(kept, tokens, corrupted)
    p = posterior(corrupted, A, mask_id=V, mask_ratio=mask_ratio)
    assert p.shape == (2, T, V) and (p >= 0).all()
    for row, seen in zip(p, corrupted):
        weight = enumerate_posterior(seen, A, int(T * mask_ratio))
        for t in range(T):
            if weight[t].any():
                assert_allclose(row[t], weight[t] / weight[t].sum(), rtol=1e-9, atol=1e-12)
            else:    # it cannot have been chosen
                assert_array_equal(row[t], np.eye(V)[seen[t]])


def test_the_posterior_is_calibrated():
    """Where it says p, it is right in a share p of the cases; the bound is met on average."""
    A = make_grammar(8, n_successors=3, rng=RNG)
    tokens = sample_sequences(A, 800, 24, rng=RNG)
    corrupted, chosen = mask_tokens(tokens, vocab_size=8, mask_id=8, rng=RNG)
    p = posterior(corrupted, A, mask_id=8)[chosen]
    right = p.argmax(axis=1) == tokens[chosen]
    top = p.max(axis=1)
    for low, high in ((0, 0.6), (0.6, 0.9), (0.9, 0.999), (0, 1)):
        some = (low <= top) & (top <= high)
        spread = np.sqrt((top[some] * (1 - top[some])).sum())    # of a sum of independent bits; here nearly so
        assert some.sum() > 100 and abs(right[some].sum() - top[some].sum()) < 6 * spread
    assert (p[np.arange(len(p)), tokens[chosen]] > 0).all()


def test_long_sequences_do_not_underflow():
    """A sequence of 3000 tokens has a probability near e^(-0.8 * 3000), and float64 ends at e^-745."""
    A = make_grammar(3, n_successors=3, rng=RNG)
    tokens = sample_sequences(A, 1, 3000, rng=RNG)
    corrupted, chosen = mask_tokens(tokens, vocab_size=3, mask_id=3, mask_ratio=0.007, rng=RNG)
    p = posterior(corrupted, A, mask_id=3, mask_ratio=0.007)
    assert_allclose(p.sum(axis=-1), 1)
    assert (p[0, chosen[0], tokens[chosen]] > 0).all()


@given(rng=rngs, T=st.integers(2, 6), n=st.integers(1, 4), size=st.sampled_from([1, 1e-100]))
def test_the_coefficients_of_a_message_sum_to_1_unless_nothing_is_possible(rng, T, n, size):
    sure, chosen = size * rng.uniform(0.1, 1, (2, 3, T, 4))
    sure[0], chosen[0] = 0, 0
    messages = _messages(sure, chosen, rng.uniform(0.1, 1, (4, 4)), n)
    assert not messages[0, 1:].any()
    assert_allclose(messages[1:].sum(axis=(2, 3)), np.where(np.arange(T), 1, 4) * np.ones((2, 1)), rtol=1e-12)


# ------------------------------------------------------------ the model and its loss

def transformer(rng, V=5, T=8):
    return TokenTransformer(V, T, d_model=16, nhead=2, num_layers=1, rng=rng)


class Fixed(Module):
    """Logits that do not depend on the tokens."""

    def __init__(self, logits):
        self.logits = Tensor(logits, requires_grad=True)

    def forward(self, tokens):
        self.seen = tokens
        return self.logits


@given(rng=rngs, B=st.integers(1, 4), T=st.integers(4, 9), V=st.integers(2, 5))
def test_the_loss_is_the_mean_over_the_chosen_tokens(rng, B, T, V):
    logits, tokens = rng.standard_normal((B, T, V)), rng.integers(0, V, (B, T))
    model, seed = Fixed(logits), rng.integers(2 ** 32)
    loss = masked_token_loss(model, tokens, mask_id=V, mask_ratio=0.5, rng=np.random.default_rng(seed))
    corrupted, chosen = mask_tokens(tokens, vocab_size=V, mask_id=V, mask_ratio=0.5,
                                    rng=np.random.default_rng(seed))
    assert_array_equal(model.seen, corrupted)
    log_p = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    assert_allclose(loss.item(), -log_p[chosen][np.arange(chosen.sum()), tokens[chosen]].mean(), rtol=1e-12)
    loss.backward()
    assert not model.logits.grad[~chosen].any()


@given(rng=rngs, B=st.integers(1, 3), t=st.integers(1, 8))
def test_each_sequence_is_read_on_its_own_and_positions_matter(rng, B, t):
    model, tokens = transformer(rng), rng.integers(0, 6, (B, t))
    logits = model(tokens).data
    assert logits.shape == (B, t, 5) and logits.dtype == np.float32
    alone = model(tokens[:1]).data
    assert_allclose(logits[:1], alone, atol=1e-4)    # float32, of size 1: products in another order
    if t > 1:
        order = np.roll(np.arange(t), 1)
        assert np.abs(model(tokens[:, order]).data - logits[:, order]).max() > 1e-3


def test_a_model_learns_a_language_of_certain_successors():
    """0 1 2 3 4 0 1 ...: whatever is hidden can be known; the loss falls to a tenth of ln 5."""
    rng = np.random.default_rng(1)
    model, tokens = transformer(rng), (rng.integers(0, 5, (48, 1)) + np.arange(8)) % 5
    optimizer = Adam(model.parameters(), lr=1e-2)
    for _ in range(100):
        optimizer.zero_grad()
        loss = masked_token_loss(model, tokens, mask_id=5, mask_ratio=0.25, rng=rng)
        loss.backward()
        optimizer.step()
    assert loss.dtype == np.float32 and loss.item() < np.log(5) / 10


A2 = np.full((2, 2), 0.5)
LOOP = np.eye(2)


@pytest.mark.parametrize("call, words", [
    (lambda: make_grammar(3, n_successors=4, rng=RNG), "n_successors must be at most vocab_size=3, got 4"),
    (lambda: make_grammar(0, n_successors=1, rng=RNG), "vocab_size must be an int >= 1, got 0"),
    (lambda: sample_sequences(A2 * 2, 1, 1, rng=RNG), "rows that sum to 1"),
    (lambda: sample_sequences(A2[:1], 1, 1, rng=RNG), r"transition must have shape \(V, V\)"),
    (lambda: sample_sequences(A2, 1, 0, rng=RNG), "length must be an int >= 1"),
    (lambda: posterior([0, 1], A2, mask_id=2), r"must have shape \(N, T\), got \(2,\)"),
    (lambda: posterior([[0, 3]], A2, mask_id=2), "must be in 0..1, got 3"),
    (lambda: posterior([[0, 2, 2]], A2, mask_id=2, mask_ratio=0.4), "at most .* = 1 times .MASK. .* got 2"),
    (lambda: posterior([[0, 1, 0, 1]], LOOP, mask_id=2, mask_ratio=0.25), "got one of probability 0"),
    (lambda: posterior([[0]], A2, mask_id=2, mask_ratio=2), "mask_ratio must be >= 0 and <= 1, got 2"),
    (lambda: transformer(RNG)(np.zeros((1, 9), int)), "at most length=8 in a sequence, got 9"),
    (lambda: masked_token_loss(transformer(RNG), np.zeros((2, 6), int), mask_id=5, rng=RNG), "too short"),
])
def test_errors_say_what_to_write(call, words):
    with pytest.raises((ValueError, TypeError), match=words):
        call()
