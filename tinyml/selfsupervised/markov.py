"""A language with a known best guess: Markov chains, and the posterior of their hidden tokens.

Problem: a masked model guesses some of the hidden tokens and misses others. Is its accuracy high
or low? For real text, nobody knows how well a token *can* be guessed from the rest.

Idea: draw sequences from a known Markov chain A, and hide tokens as BERT does. Then the posterior
of a hidden token can be computed exactly, by messages that run along the chain from both ends.
Its largest entry is the probability that the best guess is right. So no model can be more
accurate, on average.

Sources: Rabiner 1989, A tutorial on hidden Markov models (section III.A: forward and backward);
Devlin, Chang, Lee and Toutanova 2019, BERT (section 3.1).
"""
import numpy as np

from tinyml.contract import checked


@checked
def make_grammar(
    vocab_size: "int >= 1; V",
    *,
    n_successors: "int in 1..V",
    rng: "numpy.random.Generator",
) -> "ndarray of float64, shape (V, V) : A; A(v, w) is the probability that w follows v":
    """The transition matrix A of a random Markov chain over tokens.

    After each token only `n_successors` tokens are possible, with random probabilities.
    """
    shape = vocab_size, vocab_size
    # the numbers 0..V-1 in random order in each row: those below n_successors are at random places
    allowed = rng.random(shape).argsort(axis=1) < n_successors
    weight = np.where(allowed, rng.exponential(size=shape), 0)
    return weight / weight.sum(axis=1, keepdims=True)


@checked
def sample_sequences(
    transition: "array_like of float64, shape (V, V), V >= 1, >= 0, rows sum to 1; A",
    n: "int >= 1; number of sequences",
    length: "int >= 1; tokens in each sequence",
    *,
    rng: "numpy.random.Generator",
) -> "ndarray of int64, shape (n, length)":
    """Sequences of the language: x_1 is uniform, then P(x_t = w | x_(t-1) = v) = A(v, w)."""
    cumulative = transition.cumsum(axis=1)
    cumulative[:, -1] = 1    # exactly, in spite of rounding
    x = np.empty((n, length), np.int64)
    x[:, 0] = rng.integers(0, len(transition), n)
    for t in range(1, length):
        u = rng.random((n, 1))
        x[:, t] = (u >= cumulative[x[:, t - 1]]).sum(axis=1)    # the first w with u < cumulative
    return x


@checked
def posterior(
    corrupted: "array_like of int, shape (N, T), >= 0; with tokens in 0..V-1 and at "
               "most k masks",
    transition: "array_like of float64, shape (V, V), V >= 1, >= 0, rows sum to 1; A",
    *,
    mask_id: "int >= V; the id of [MASK]",
    mask_ratio: "float in [0, 1]; as given to `mask_tokens`" = 0.15,
) -> "ndarray of float64, shape (N, T, V); one-hot if the token cannot have been chosen":
    """P(x_t = v | x~, t is chosen), exactly, for a corrupted sequence x~ from `mask_tokens`.

    k = int(T mask_ratio) positions are chosen. Some of them show [MASK], and the other u show a
    token; we do not know which positions these u are. So the state of the chain at t is a pair
    (v, j): the token v, and how many of the u positions come before t. With [v = x~_t] = 1 if v
    is the token shown at t, else 0, the position t has the weights

        plain_t(v)   = [v = x~_t]                    if t is not one of the u;  1 at a [MASK]
        counted_t(v) = 0.1 [v = x~_t] + 0.1 / V      if t is one of the u;      0 at a [MASK]

    Messages l and r run along the chain, from the left end and from the right end (Rabiner 1989,
    equations 20 and 25):

        l_(t+1)(w, j) = sum_v A(v, w) (plain_t(v) l_t(v, j) + counted_t(v) l_t(v, j-1))
        r_(t-1)(v, j) = sum_w A(v, w) (plain_t(w) r_t(w, j) + counted_t(w) r_t(w, j+1))

    with l_1(v, j) = [j = 0] and r_T(v, j) = [j = u]. Then P(x_t = v | x~, t is chosen) is
    proportional to

        plain_t(v) sum_j l_t(v, j) r_t(v, j)          at a [MASK],
        counted_t(v) sum_j l_t(v, j) r_t(v, j+1)      elsewhere.
    """
    V = len(transition)
    masked, u = _check_corrupted(corrupted, V, mask_id, mask_ratio)
    masked = masked[..., None]                                         # (N, T, 1)
    shown = corrupted[..., None] == np.arange(V)                       # (N, T, V), [v = x~_t]
    plain = np.where(masked, 1.0, shown)
    counted = np.where(masked, 0.0, 0.1 * shown + 0.1 / V)

    j = np.arange(u.max(initial=0) + 1)
    none_before = np.tile(j == 0, (len(u), 1))                         # l_1, (N, len(j))
    left = _messages(none_before, plain, counted, transition)          # (N, T, V, len(j))
    all_before = j == u[:, None]                                       # r_T
    right = _messages_from_right(all_before, plain, counted, transition)
    if_plain = plain * (left * right).sum(axis=-1)
    if_counted = counted * (left[..., :-1] * right[..., 1:]).sum(axis=-1)
    if not (if_plain + if_counted).any(axis=-1).all():
        raise ValueError("posterior: corrupted must be of this language, got probability 0")
    weight = np.where(masked, if_plain, if_counted)
    total = weight.sum(axis=-1, keepdims=True)
    # total is 0 where a token is shown that cannot have been chosen, as for u = 0: `shown` stays
    return np.divide(weight, total, out=shown.astype(float), where=total > 0)


def _check_corrupted(corrupted, V, mask_id, mask_ratio):
    """Where [MASK] stands, (N, T), and u, how many chosen tokens of each sequence are visible."""
    masked = corrupted == mask_id
    largest = corrupted[~masked].max(initial=0)
    if largest >= V:
        raise ValueError(f"posterior: corrupted must be in 0..{V - 1} or mask_id, got {largest}")
    k = int(corrupted.shape[1] * mask_ratio)
    u = k - masked.sum(axis=1)
    if u.min(initial=0) < 0:
        raise ValueError(f"posterior: corrupted must hold at most {k} masks, got {k - u.min()}")
    return masked, u


def _messages(start, plain, counted, A):
    """The messages l_t of `posterior`, from left to right.

        l_(t+1)(w, j) = c_t sum_v A(v, w) (plain_t(v) l_t(v, j) + counted_t(v) l_t(v, j-1))

    The scale c_t > 0 makes the entries of l_(t+1) sum to 1 in each sequence: products of many
    probabilities would underflow. Where all entries are 0, they stay 0.

    Parameters
    ----------
    start : ndarray, shape (N, n), l_1, the same for all v
    plain, counted : ndarray, shape (N, T, V)
    A : ndarray, shape (V, V)

    Returns
    -------
    ndarray of float64, shape (N, T, V, n), l_t(v, j) for j in 0..n-1
    """
    N, T, V = plain.shape
    messages = np.empty((N, T, V, start.shape[1]))
    messages[:, 0] = start[:, None, :]
    plain, counted = plain[..., None], counted[..., None]
    for t in range(T - 1):
        message = messages[:, t]                                # l_t(v, j)
        one_more = np.zeros_like(message)
        one_more[..., 1:] = message[..., :-1]                   # l_t(v, j-1)
        message = A.T @ (plain[:, t] * message + counted[:, t] * one_more)
        total = message.sum(axis=(1, 2), keepdims=True)
        messages[:, t + 1] = message / np.maximum(total, 1e-300)
    return messages


def _messages_from_right(start, plain, counted, A):
    """The messages r_t of `posterior`: the same recursion, backwards in t and in j."""
    reversed_messages = _messages(start[:, ::-1], plain[:, ::-1], counted[:, ::-1], A.T)
    return reversed_messages[:, ::-1, :, ::-1]
