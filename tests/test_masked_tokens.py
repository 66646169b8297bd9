"""The laws of masked tokens: a loss of the chosen tokens, sequences read one by one, a model that learns."""
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from strategies import rngs

from tinyml.nn import Module, Sequential
from tinyml.optim import Adam
from tinyml.selfsupervised.masked_tokens import TokenTransformer, masked_token_loss
from tinyml.selfsupervised.masking import mask_tokens
from tinyml.tensor import Tensor

RNG = np.random.default_rng(0)


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
    loss = masked_token_loss(model, tokens, vocab_size=V, mask_ratio=0.5, rng=np.random.default_rng(seed))
    corrupted, chosen = mask_tokens(tokens, vocab_size=V, mask_id=V, mask_ratio=0.5,
                                    rng=np.random.default_rng(seed))
    assert_array_equal(model.seen, corrupted)
    log_p = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    assert_allclose(loss.item(), -log_p[chosen][np.arange(chosen.sum()), tokens[chosen]].mean(), rtol=1e-12)
    loss.backward()
    assert not model.logits.grad[~chosen].any()


def normed(x):
    return (x - x.mean(axis=-1, keepdims=True)) / np.sqrt(x.var(axis=-1, keepdims=True) + 1e-5)


@given(rng=rngs, t=st.integers(1, 8))
def test_around_the_blocks_it_is_its_equation(rng, t):
    model, tokens = transformer(rng), rng.integers(0, 6, (2, t))
    model.blocks = Sequential()
    z = normed(model.embedding.weight.data[tokens] + model.position.data[:t])
    assert_allclose(model.encode(tokens).data, z, atol=1e-5)
    assert_allclose(model(tokens).data, z @ model.head.weight.data.T + model.head.bias.data, atol=1e-4)


@given(rng=rngs, B=st.integers(1, 3), n=st.integers(1, 8))
def test_sequences_are_independent_and_positions_matter(rng, B, n):
    model, tokens = transformer(rng), rng.integers(0, 6, (B, n))
    logits = model(tokens).data
    assert logits.shape == (B, n, 5) and logits.dtype == np.float32
    alone = model(tokens[:1]).data
    assert_allclose(logits[:1], alone, atol=1e-4)    # float32, of size 1: products in another order
    if n > 1:
        order = np.roll(np.arange(n), 1)
        assert np.abs(model(tokens[:, order]).data - logits[:, order]).max() > 1e-3


def test_a_model_learns_a_language_of_certain_successors():
    """0 1 2 3 4 0 1 ...: every hidden token can be known; the loss falls below a tenth of ln 5."""
    rng = np.random.default_rng(1)
    model, tokens = transformer(rng), (rng.integers(0, 5, (48, 1)) + np.arange(8)) % 5
    optimizer = Adam(model.parameters(), lr=1e-2)
    for _ in range(100):
        optimizer.zero_grad()
        loss = masked_token_loss(model, tokens, vocab_size=5, mask_ratio=0.25, rng=rng)
        loss.backward()
        optimizer.step()
    assert loss.dtype == np.float32 and loss.item() < np.log(5) / 10


def test_errors_say_what_to_write():
    with pytest.raises(ValueError, match="TokenTransformer.encode: tokens must be .* length = 8, got n = 9"):
        transformer(RNG)(np.zeros((1, 9), int))
    with pytest.raises(ValueError, match="too short"):
        masked_token_loss(transformer(RNG), np.zeros((2, 6), int), vocab_size=5, rng=RNG)
