"""Masked tokens: a small BERT, a transformer that restores hidden tokens.

Problem: what can a model learn from text that nobody has labelled?

Idea: hide some tokens as `mask_tokens` does, and train a transformer f to predict them from the
tokens on both sides. With x~ the corrupted tokens and M the chosen positions,

    z = f(x~),     logits_t = W z_t + b,     min  mean over t in M of  -ln softmax(logits_t)_(x_t)

To predict a token, z_t must hold what the other tokens say about it. For text drawn from a
known Markov chain, `markov` computes the best accuracy that any prediction of the hidden tokens
can have.

Sources: MATH5836 week 10, section 10.3.1; Devlin, Chang, Lee and Toutanova 2019, BERT (section
3.1); Vaswani et al. 2017, Attention is all you need.
"""
import numpy as np

from tinyml import functional as F
from tinyml.contract import checked
from tinyml.nn import Embedding, LayerNorm, Linear, Module, Parameter, Sequential
from tinyml.nn import TransformerEncoderLayer as Block
from tinyml.selfsupervised.masking import mask_tokens, masked_loss


@checked
class TokenTransformer(Module):
    """A small BERT: embed tokens and positions, mix them by attention, predict tokens.

        h_t = E(x~_t) + P_t,      z = norm(block_K(... block_1(h))),      logits_t = W z_t + b

    E looks up a vector for each token, and P has a vector for each position; both are learned.
    Tokens (B, n), with n <= T tokens in a sequence, give logits (B, n, V). [MASK] is the token V.
    """

    def __init__(
        self,
        vocab_size: "int >= 1; V",
        length: "int >= 1; T, the longest sequence",
        *,
        d_model: "int >= 1; width: the length of the vectors h_t and z_t",
        nhead: "int >= 1; number of attention heads, a divisor of d_model",
        num_layers: "int >= 1; number of blocks, K",
        rng: "numpy.random.Generator",
    ):
        self.length = length
        self.embedding = Embedding(vocab_size + 1, d_model, rng=rng)
        self.position = Parameter(rng.standard_normal((length, d_model), dtype=np.float32))
        self.blocks = transformer_blocks(d_model, nhead, num_layers, rng)
        self.norm = LayerNorm(d_model)
        self.head = Linear(d_model, vocab_size, rng=rng)

    @checked
    def encode(self, tokens: "array_like of int, shape (B, n), n <= length"):
        """The representations z, shape (B, n, d_model), of tokens (B, n)."""
        h = self.embedding(tokens) + self.position[:tokens.shape[1]]
        return self.norm(self.blocks(h))

    def forward(self, tokens):
        """x^, the logits of the true token at every position, (B, n, V), from the corrupted x~."""
        # z = f(x~) with f = self.encode, and x^ = g(z) with g = self.head
        z = self.encode(tokens)    # notes 10.3.1, encode
        x_hat = self.head(z)       # notes 10.3.1, reconstruct
        return x_hat


@checked
def transformer_blocks(
    d_model: "as in `TokenTransformer`",
    nhead: "as in `TokenTransformer`",
    num_layers: "as in `TokenTransformer`",
    rng: "as in `TokenTransformer`",
) -> "Sequential, from (B, n, d_model) to the same shape":
    """Blocks of attention, each with a hidden layer of 4 d_model units and no dropout."""
    blocks = [Block(d_model, nhead, 4 * d_model, dropout=0.0, norm_first=True, rng=rng)
              for _ in range(num_layers)]
    return Sequential(*blocks)


@checked
def masked_token_loss(
    model: "Module; from tokens (B, n) to logits (B, n, V), where [MASK] is the token "
           "V",
    tokens: "array_like of int, shape (B, n), in 0..V-1",
    *,
    vocab_size: "int >= 1; V",
    mask_ratio: "float in [0, 1]; with at least one chosen token" = 0.15,
    rng: "numpy.random.Generator",
) -> "Tensor, a scalar":
    """BERT's loss: corrupt tokens, predict the chosen ones, and take the mean cross-entropy.

        L = 1/|M| sum over t in M of  -ln softmax(model(x~)_t)_(x_t)
    """
    corrupted, chosen = mask_tokens(tokens, vocab_size=vocab_size, mask_id=vocab_size,
                                    mask_ratio=mask_ratio, rng=rng)
    return masked_loss(model(corrupted), tokens, chosen, loss_fn=F.cross_entropy)
