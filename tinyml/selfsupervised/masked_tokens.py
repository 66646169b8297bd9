"""Masked tokens: BERT on a language so small that the best possible guess can be computed.

Problem: a masked model guesses some of the hidden tokens and misses others. Is that much or little? Text
does not say how far a token *can* be known from the rest.

Idea: take a language that is known, a Markov chain p(x) = p_1(x_1) prod_t A(x_(t-1), x_t), and hide tokens as
BERT does. Then the posterior p(x_t | x~, t chosen) of a chosen token, given the corrupted sequence, follows
from messages that run along the chain from both ends; its largest entry is the accuracy that no model can
exceed on average. A transformer, which is told nothing of A, is trained to restore the chosen tokens,

    min  mean over chosen t of  -ln softmax(logits_t)_(x_t)

and its accuracy is read beside that bound.

What is seen: the corrupted sequence and, at the positions that one is asked about, that they were chosen; of
other positions this is known only where [MASK] stands. Elsewhere the token may be true or not.

Sources: Devlin, Chang, Lee and Toutanova 2019, BERT; Vaswani et al. 2017, Attention is all you need; Rabiner
1989, A tutorial on hidden Markov models (section III.A: forward and backward); MATH5836 week 10, section
10.3.1.
"""
import numpy as np

from tinyml import functional as F
from tinyml.check import check_labels, check_number, check_real, check_rng, check_sizes
from tinyml.nn import Embedding, LayerNorm, Linear, Module, Parameter, Sequential, TransformerEncoderLayer
from tinyml.selfsupervised.masking import mask_tokens, masked_loss


def make_grammar(vocab_size, *, n_successors, rng):
    """A random Markov language: after each token some others may come, with unequal probabilities.

    Row v of A has n_successors positive entries, in columns drawn without replacement; they are uniform on
    the simplex (exponential variables over their sum).

    Parameters
    ----------
    vocab_size : int >= 1, V
    n_successors : int in 1..V
    rng : numpy.random.Generator

    Returns
    -------
    transition : ndarray of float64, shape (V, V), A: row v holds the probabilities of what follows v

    Raises
    ------
    TypeError : rng is no Generator
    ValueError : a size below 1, or more successors than tokens
    """
    check_sizes("make_grammar", vocab_size=vocab_size, n_successors=n_successors)
    check_rng("make_grammar", rng)
    if n_successors > vocab_size:
        raise ValueError(f"make_grammar: n_successors must be at most vocab_size={vocab_size}, "
                         f"got {n_successors}")
    allowed = rng.random((vocab_size, vocab_size)).argsort(axis=1) < n_successors
    weight = np.where(allowed, rng.exponential(size=(vocab_size, vocab_size)), 0)
    return weight / weight.sum(axis=1, keepdims=True)


def sample_sequences(transition, n, length, *, rng):
    """Sequences of the language: x_1 is uniform, and x_t follows x_(t-1) with probability A(x_(t-1), x_t).

    Parameters
    ----------
    transition : array_like, shape (V, V), A, rows of probabilities
    n, length : int >= 1, how many sequences, and of how many tokens T
    rng : numpy.random.Generator

    Returns
    -------
    ndarray of int64, shape (n, T)

    Raises
    ------
    TypeError, ValueError : transition is no matrix of probabilities, a size below 1, rng no Generator
    """
    A = _check_transition("sample_sequences", transition)
    check_sizes("sample_sequences", n=n, length=length)
    check_rng("sample_sequences", rng)
    ends = A.cumsum(axis=1)
    ends[:, -1] = 1                                             # not 1 - 1e-16
    x = np.empty((n, length), np.int64)
    x[:, 0] = rng.integers(0, len(A), n)
    for t in range(1, length):
        x[:, t] = (rng.random((n, 1)) >= ends[x[:, t - 1]]).sum(axis=1)
    return x


def _check_transition(function, transition):
    A = check_real(function, "transition", transition, ndim=2, at_least=0).astype(np.float64)
    if not A.size or A.shape[0] != A.shape[1] or np.abs(A.sum(axis=1) - 1).max() > 1e-6:
        raise ValueError(f"{function}: transition must have shape (V, V) and rows that sum to 1, got shape "
                         f"{A.shape}")
    return A


def posterior(corrupted, transition, *, mask_id, mask_ratio=0.15):
    """p(x_t = v | x~, t chosen), exactly: what is known of a chosen token by who knows the language.

    With k = int(T mask_ratio) positions chosen, m of them [MASK], the other u = k - m are somewhere among the
    tokens that one sees. A polynomial in z counts them: a position that shows the token s has the factor

        e_t(v) = [v = s] + z (0.1 [v = s] + 0.1 / V)            not chosen, or chosen: kept or drawn at random

    and e_t(v) = 1 under [MASK]. Messages from the left and from the right (Rabiner 1989, equations 20 and 25),

        l_(t+1)(w) = sum_v l_t(v) e_t(v) A(v, w),      l_1 = 1,
        r_(t-1)(v) = sum_w A(v, w) e_t(w) r_t(w),      r_T = 1,

    are then polynomials too, and with [z^j] the coefficient of z^j

        p(x_t = v | x~, t chosen)  is proportional to  [z^u] l_t(v) r_t(v)                      under [MASK]
                                   (0.1 [v = s] + 0.1 / V) [z^(u-1)] l_t(v) r_t(v)              elsewhere.

    Parameters
    ----------
    corrupted : array_like of int, shape (N, T), from `mask_tokens` of a sequence that starts uniformly
    transition : array_like, shape (V, V), A
    mask_id : int, the number of [MASK]
    mask_ratio : float in [0, 1], that of `mask_tokens`

    Returns
    -------
    ndarray of float64, shape (N, T, V), rows that sum to 1. A token that cannot have been chosen, such as
    any that one sees when all k chosen ones are [MASK], is certain: its row is one-hot.

    Raises
    ------
    TypeError, ValueError : transition is no matrix of probabilities; tokens that are neither in 0..V-1 nor
        mask_id; more than k times [MASK]; a sequence that the language cannot have produced
    """
    A = _check_transition("posterior", transition)
    seen, masked, u = _check_corrupted(corrupted, len(A), mask_id, mask_ratio)
    sure = np.where(masked[..., None], 1.0, seen[..., None] == np.arange(len(A)))        # (N, T, V), [v = s]
    chosen = np.where(masked[..., None], 0.0, 0.1 * sure + 0.1 / len(A))                 # the factor of z
    left = _messages(sure, chosen, A, u.max(initial=0) + 1)                              # (N, T, V, degree)
    right = _messages(sure[:, ::-1], chosen[:, ::-1], A.T, u.max(initial=0) + 1)[:, ::-1]
    u, masked = np.broadcast_to(u[:, None], masked.shape), masked[..., None]
    if_chosen = np.where(masked, sure * _coefficient(left, right, u), chosen * _coefficient(left, right, u - 1))
    if_not = np.where(masked, 0.0, sure * _coefficient(left, right, u))
    if not ((if_chosen + if_not).sum(axis=-1) > 0).all():
        raise ValueError("posterior: corrupted must be a sequence of this language, got one of probability 0")
    p = np.where(if_chosen.sum(axis=-1, keepdims=True) > 0, if_chosen, if_not)
    return p / p.sum(axis=-1, keepdims=True)


def _check_corrupted(corrupted, V, mask_id, mask_ratio):
    """The tokens, where [MASK] stands, and how many chosen ones do not show it, u of each sequence."""
    check_number("posterior", "mask_ratio", mask_ratio, at_least=0, at_most=1)
    masked = np.asarray(corrupted) == mask_id
    seen = check_labels("posterior", "corrupted, but for [MASK],", np.where(masked, 0, corrupted), V)
    if seen.ndim != 2:
        raise ValueError(f"posterior: corrupted must have shape (N, T), got {seen.shape}")
    k = int(seen.shape[1] * mask_ratio)
    u = k - masked.sum(axis=1)
    if u.min(initial=0) < 0:
        raise ValueError(f"posterior: corrupted must have at most int(T mask_ratio) = {k} times [MASK] in a "
                         f"sequence, got {k - u.min()}")
    return seen, masked, u


def _messages(sure, chosen, A, n_coefficients):
    """What reaches each position from those before it: the left messages of `posterior`, polynomials in z.

        l_1 = 1,      l_(t+1)(w) = c_t sum_v l_t(v) (sure_t(v) + z chosen_t(v)) A(v, w)    up to z^(n - 1)

    c_t > 0 makes all entries and coefficients of l_(t+1) sum to 1 in each sequence; where all are 0, they stay 0.

    Parameters
    ----------
    sure, chosen : ndarray, shape (N, T, V), the factors of z^0 and of z^1
    A : ndarray, shape (V, V)
    n_coefficients : int >= 1, n

    Returns
    -------
    ndarray of float64, shape (N, T, V, n), the coefficients of z^0 ... z^(n - 1)
    """
    N, T, V = sure.shape
    messages = np.zeros((N, T, V, n_coefficients))
    messages[:, 0, :, 0] = 1
    for t in range(T - 1):
        product = sure[:, t, :, None] * messages[:, t]
        product[..., 1:] += chosen[:, t, :, None] * messages[:, t, :, :-1]
        message = A.T @ product                                                          # (N, V, .)
        messages[:, t + 1] = message / np.maximum(message.sum(axis=(1, 2), keepdims=True), 1e-300)
    return messages


def _coefficient(p, q, degree):
    """[z^degree] p q: the sum of p_j q_(degree - j) over the last axis."""
    j = degree[..., None] - np.arange(p.shape[-1])                                       # (N, T, .)
    inside = ((j >= 0) & (j < q.shape[-1]))[:, :, None]
    q = np.take_along_axis(q, np.broadcast_to(np.maximum(j, 0)[:, :, None], p.shape), axis=-1)
    return (p * np.where(inside, q, 0)).sum(axis=-1)


class TokenTransformer(Module):
    """A small BERT: tokens and positions become vectors, blocks of attention mix them, a head names tokens.

        h_t = E(x~_t) + P_t,      h = block_L(... block_1(h)),      logits_t = W norm(h_t) + b

    Parameters
    ----------
    vocab_size : int >= 1, V; [MASK] is the token V
    length : int >= 1, T, the longest sequence
    d_model, nhead, num_layers : int >= 1, the width D, a multiple of nhead, the heads, and the blocks
    rng : numpy.random.Generator

    Shapes: tokens (B, t) with t <= T, int; logits (B, t, V). Raises ValueError for longer sequences.
    """

    def __init__(self, vocab_size, length, *, d_model, nhead, num_layers, rng):
        check_sizes("TokenTransformer", vocab_size=vocab_size, length=length, num_layers=num_layers)
        self.embedding = Embedding(vocab_size + 1, d_model, rng=rng)
        self.position = Parameter(rng.standard_normal((length, d_model), dtype=np.float32))
        self.blocks = Sequential(*(TransformerEncoderLayer(d_model, nhead, 4 * d_model, dropout=0.0,
                                                           norm_first=True, rng=rng)
                                   for _ in range(num_layers)))
        self.norm, self.head = LayerNorm(d_model), Linear(d_model, vocab_size, rng=rng)

    def encode(self, tokens):
        """The representations z of the notes, step 3: (B, t) -> (B, t, D)."""
        t = np.shape(tokens)[-1]
        if t > len(self.position):
            raise ValueError(f"TokenTransformer: tokens must be at most length={len(self.position)} in a "
                             f"sequence, got {t}")
        return self.norm(self.blocks(self.embedding(tokens) + self.position[:t]))

    def forward(self, tokens):
        return self.head(self.encode(tokens))


def masked_token_loss(model, tokens, *, mask_id, mask_ratio=0.15, rng):
    """Corrupt a batch as BERT does, and ask the model for what it was: mean cross-entropy of chosen tokens.

        L = 1/|M| sum over t in M of  -ln softmax(model(x~)_t)_(x_t)

    Parameters
    ----------
    model : Module, from tokens (B, T) to logits (B, T, V)
    tokens : ndarray of int, shape (B, T), in 0..V-1
    mask_id, mask_ratio, rng : as in `mask_tokens`

    Returns
    -------
    Tensor, a scalar

    Raises
    ------
    TypeError, ValueError : as in `mask_tokens`; no token is chosen, since int(T mask_ratio) is 0
    """
    corrupted, chosen = mask_tokens(tokens, vocab_size=mask_id, mask_id=mask_id, mask_ratio=mask_ratio, rng=rng)
    return masked_loss(model(corrupted), tokens, chosen, loss_fn=F.cross_entropy)
