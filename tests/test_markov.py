"""The laws of Markov languages: frequencies, a posterior equal to enumeration, calibration."""
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from strategies import rngs

from tinyml.selfsupervised.markov import _messages, make_grammar, posterior, sample_sequences
from tinyml.selfsupervised.masking import mask_tokens

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
def test_messages_sum_to_1_or_are_0(rng, T, n, size):
    plain, counted = size * rng.uniform(0.1, 1, (2, 3, T, 4))
    plain[0], counted[0] = 0, 0
    start = np.eye(n)[np.zeros(3, int)]
    messages = _messages(start, plain, counted, rng.uniform(0.1, 1, (4, 4)))
    assert not messages[0, 1:].any()
    assert_allclose(messages[1:].sum(axis=(2, 3)), np.where(np.arange(T), 1, 4) * np.ones((2, 1)), rtol=1e-12)


@given(rng=rngs, T=st.integers(1, 5), n=st.integers(1, 4))
def test_messages_sum_over_all_tokens_and_counts_before(rng, T, n):
    """All paths of two tokens, each position plain or counted: the recursion written out."""
    plain, counted = rng.uniform(0.1, 1, (2, 1, T, 2))
    A, start = rng.uniform(0.1, 1, (2, 2)), rng.uniform(0.1, 1, (1, n))
    expected = np.zeros((2, n))
    for path in product(range(2), repeat=T):
        for kinds in product((0, 1), repeat=T - 1):
            weight = np.prod([A[v, w] * (counted if kind else plain)[0, t, v]
                              for t, (v, w, kind) in enumerate(zip(path, path[1:], kinds))])
            for j in range(n - sum(kinds)):
                expected[path[-1], j + sum(kinds)] += weight * start[0, j]
    got = _messages(start, plain, counted, A)[0, -1]
    assert_allclose(got / got.sum(), expected / expected.sum(), rtol=1e-9)


A2, LOOP = np.full((2, 2), 0.5), np.eye(2)


@pytest.mark.parametrize("call, words", [
    (lambda: sample_sequences(A2 * 2, 1, 1, rng=RNG), "sample_sequences: transition must be .* rows sum to 1"),
    (lambda: posterior([[0]], A2 / 2, mask_id=2), "posterior: transition must be .* rows sum to 1"),
    (lambda: posterior([[0, 3]], A2, mask_id=2), "must be in 0..1 or mask_id, got 3"),
    (lambda: posterior([[0, -1]], A2, mask_id=2), "corrupted must be .* >= 0.*, got -1"),
    (lambda: posterior([[0, 2, 2]], A2, mask_id=2, mask_ratio=0.4), "must hold at most 1 masks, got 2"),
    (lambda: posterior([[0, 1, 0, 1]], LOOP, mask_id=2, mask_ratio=0.25), "got probability 0"),
])
def test_errors_say_what_to_write(call, words):
    with pytest.raises(ValueError, match=words):
        call()
