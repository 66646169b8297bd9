"""Masking: hide a part of the input, and let a model predict it from the rest.

Problem: labels are expensive, data is cheap. What can a model learn from data alone?

Idea: hide some elements of the input x, and train a model to restore them. With M the hidden
positions, x~ the input of the model and x^ its output,

    x~_i = [MASK] if i in M else x_i,          min  sum over i in M of  loss(x^_i, x_i)

The loss is computed at the hidden positions only: copying what is visible teaches nothing.

    mask_input      any array   some elements become a given value
    mask_tokens     a text      most of the chosen tokens become [MASK] (BERT)
    mask_patches    an image    the encoder does not get the hidden patches (MAE)
    mask_spans      a series    spans of readings become zero
    mask_edges      a graph     edges are removed

Sources: MATH5836 week 10, section 10.3.1 and remark 10.3.2; Devlin et al. 2019, BERT; He et al.
2022, Masked autoencoders are scalable vision learners; Kipf and Welling 2016, Variational graph
auto-encoders.
"""
import numpy as np

from tinyml.contract import checked


@checked
def mask_input(
    x: "ndarray, shape (n, ...), may hold NaN; its elements are x_0 ... x_(n-1)",
    *,
    mask_ratio: "float in [0, 1]",
    mask_value: "a number or an array of the shape of x_i, with values that fit the dtype of x",
    rng: "numpy.random.Generator",
):
    """Hide k = int(n mask_ratio) of n elements, at random (MATH5836, section 10.3.1, steps 1, 2).

        x~_i = mask_value if i in M else x_i,      M a random k-subset of {0, ..., n - 1}

    Returns
    -------
    x_corrupted : ndarray, a copy of x with the same dtype
    mask_indices : ndarray of int, shape (k,), M in ascending order

    >>> rng = np.random.default_rng(0)
    >>> mask_input([5, 6, 7, 8, 9], mask_ratio=0.4, mask_value=-1, rng=rng)
    (array([ 5,  6, -1,  8, -1]), array([2, 4]))
    """
    _check_mask_value(x, mask_value)
    n = len(x)
    k = int(n * mask_ratio)
    mask_indices = np.sort(rng.permutation(n)[:k])    # notes 10.3.1, mask positions
    x_corrupted = x.copy()
    x_corrupted[mask_indices] = mask_value            # notes 10.3.1, corrupted input
    return x_corrupted, mask_indices


def _check_mask_value(x, mask_value):
    """Raise ValueError if x holds integers and mask_value does not fit their dtype.

    NumPy would change mask_value silently, for example cut off its fraction.
    """
    converted = np.asarray(mask_value).astype(x.dtype)
    if x.dtype.kind in "iub" and not np.array_equal(converted, mask_value):
        raise ValueError(f"mask_input: mask_value must be a value of dtype {x.dtype}, got "
                         f"{mask_value!r}; write x.astype(float)")


@checked
def mask_tokens(
    tokens: "array_like of int, shape (..., T), in 0..V-1",
    *,
    vocab_size: "int >= 1; V",
    mask_id: "int >= V; the id of [MASK]",
    mask_ratio: "float in [0, 1]" = 0.15,
    rng: "numpy.random.Generator",
):
    """BERT's corruption of sequences of tokens (Devlin et al. 2019, section 3.1, "Masked LM").

    In each sequence int(T mask_ratio) positions are chosen at random. A chosen token

        becomes [MASK]            with probability 0.8,
        becomes a random token    with probability 0.1,
        stays as it is            with probability 0.1.

    The model must predict the true token at every chosen position. It sees where [MASK] stands,
    but not which of the other positions are chosen: any token there may be a wrong one.

    Returns
    -------
    corrupted : ndarray of int, shape (..., T)
    chosen : ndarray of bool, shape (..., T), True at the chosen positions
    """
    T = tokens.shape[-1]
    # the numbers 0..T-1 in random order: those below int(T mask_ratio) are at random positions
    chosen = _random_orders(tokens.shape, rng) < int(T * mask_ratio)
    fate = rng.random(tokens.shape)
    random_token = rng.integers(0, vocab_size, tokens.shape)
    cases = [~chosen, fate < 0.8, fate < 0.9]    # the first case that is true counts
    corrupted = np.select(cases, [tokens, mask_id, random_token], default=tokens)
    return corrupted, chosen


def _random_orders(shape, rng):
    """The numbers 0..n-1 in random order, independently in each row of a shape (..., n)."""
    return rng.random(shape).argsort(axis=-1)


@checked
def mask_patches(
    n_images: "int >= 1; N",
    n_patches: "int >= 1; L",
    *,
    mask_ratio: "float in [0, 1]",
    rng: "numpy.random.Generator",
):
    """Choose which patches of each image stay visible, at random (He et al. 2022, section 3).

    The L patches of an image are shuffled. The first patches, ids_keep, go to the encoder. The
    last k patches, ids_mask, are hidden, with k = int(L mask_ratio).

        order = concatenate([ids_keep, ids_mask], axis=1),      order[i, ids_restore[i, l]] = l

    The decoder needs ids_restore, which inverts the shuffle: patch l of image i is at position
    ids_restore[i, l] of order[i].

    Returns
    -------
    ids_keep : ndarray of int, shape (N, L - k)
    ids_mask : ndarray of int, shape (N, k)
    ids_restore : ndarray of int, shape (N, L)
    """
    n_keep = n_patches - int(n_patches * mask_ratio)
    order = _random_orders((n_images, n_patches), rng)
    ids_keep, ids_mask = order[:, :n_keep], order[:, n_keep:]
    ids_restore = order.argsort(axis=1)    # argsort inverts a permutation
    return ids_keep, ids_mask, ids_restore


@checked
def mask_spans(
    x: "ndarray, shape (..., T), may hold NaN; time last",
    *,
    mask_ratio: "float in [0, 1]",
    span_length: "int >= 1",
    rng: "numpy.random.Generator",
):
    """Set k = int(T mask_ratio) of the T readings of each series to zero, in spans of neighbours.

    A single hidden reading is easily guessed from its neighbours, but a span is not. The k
    readings are divided into spans of span_length; a remainder makes one shorter span. In each
    series the spans and the T - k visible readings are then shuffled. So spans may touch, but
    they do not overlap.
    (MATH5836 week 10, remark 10.3.2: "zero-out sensor readings".)

    Returns
    -------
    x_corrupted : ndarray, a copy of x with the same dtype
    mask : ndarray of bool, shape (..., T), True where a reading is hidden
    """
    *rows, T = x.shape
    k = int(T * mask_ratio)
    n_full, remainder = divmod(k, span_length)
    # a row is made of blocks: first the spans, then the visible readings, each of length 1; with
    # T = 5, k = 3 and span_length 2 their lengths are [2, 1, 1, 1], of which two are spans. If the
    # shuffled blocks are 2, 0, 3, 1, their lengths are 1, 2, 1, 1, and readings 1, 2, 4 are hidden
    spans = [span_length] * n_full + [remainder] * (remainder > 0)
    visible = [1] * (T - k)
    lengths = np.array(spans + visible, np.int64)
    order = _random_orders((*rows, len(lengths)), rng)    # the blocks of each row, shuffled
    is_span = order < len(spans)    # the first blocks are the spans, wherever they are now
    hidden = np.repeat(is_span, lengths[order].ravel())    # each block becomes its readings
    mask = hidden.reshape(x.shape)
    x_corrupted = x.copy()
    x_corrupted[mask] = 0
    return x_corrupted, mask


@checked
def mask_edges(
    edges: "array_like of int, shape (m, 2), in 0..n-1; with each pair once and no "
           "loops",
    n_nodes: "int >= 1; n",
    *,
    mask_ratio: "float in [0, 1]; the fraction of the edges to hide",
    rng: "numpy.random.Generator",
):
    """Hide k = int(m mask_ratio) of the m edges of a graph, and draw k pairs without an edge.

    The graph must have at least k pairs without an edge. A model sees the visible edges, and
    must distinguish the hidden edges from the pairs without an edge (Kipf and Welling 2016,
    section 2; MATH5836 week 10, section 10.3.1: "edge prediction").

    Returns
    -------
    visible : ndarray of int, shape (m - k, 2)
    hidden : ndarray of int, shape (k, 2)
    non_edges : ndarray of int, shape (k, 2)
    """
    k = int(len(edges) * mask_ratio)
    without_edge = ~adjacency(edges, n_nodes)
    pairs = np.argwhere(np.triu(without_edge, 1))    # (i, j) with i < j
    if len(pairs) < k:
        raise ValueError(f"mask_edges: mask_ratio must hide at most {len(pairs)} edges, because "
                         f"the graph has only {len(pairs)} pairs without an edge, got {k}")
    hide = _random_orders(len(edges), rng) < k
    drawn = rng.permutation(len(pairs))[:k]
    return edges[~hide], edges[hide], pairs[drawn]


@checked
def adjacency(
    edges: "as in `mask_edges`",
    n_nodes: "as in `mask_edges`",
) -> "ndarray of bool, shape (n, n)":
    """The adjacency matrix of an undirected graph: A_ij = A_ji = True for every edge (i, j)."""
    i, j = edges.T
    A = np.zeros((n_nodes, n_nodes), bool)
    A[i, j] = A[j, i] = True
    n_pairs = np.triu(A, 1).sum()
    if n_pairs != len(edges):
        raise ValueError(f"adjacency: edges must hold each pair once and no loops, got "
                         f"{len(edges)} rows for {n_pairs} pairs")
    return A


@checked
def masked_loss(
    prediction: "Tensor; x^; its shape begins with that of mask",
    target: "ndarray, may hold NaN; x, the uncorrupted input; its shape begins with that of mask",
    mask: "ndarray of bool, any shape; with at least one True; True at the hidden positions",
    *,
    loss_fn: "function of predictions and targets; a loss",
) -> "Tensor, a scalar":
    """The loss at the hidden positions only (MATH5836 week 10, section 10.3.1, step 5).

        L = loss_fn(x^_M, x_M),      so  dL/dx^_i = 0  for  i not in M

    Use `mse_loss` for pixels and sensors, and `cross_entropy` for tokens, where x^ are logits. The
    notes write a sum over M; both of these take the mean over M, and `mse_loss` also over the
    entries of each element.
    """
    first_axes = prediction.shape[:mask.ndim], target.shape[:mask.ndim]
    if first_axes != (mask.shape, mask.shape):
        raise ValueError("masked_loss: mask must have the first axes of prediction "
                         f"{prediction.shape} and target {target.shape}, got {mask.shape}")
    if not mask.any():
        raise ValueError("masked_loss: mask must hide at least one position, got none; is the "
                         "sequence too short for the mask_ratio?")
    return loss_fn(prediction[mask], target[mask])    # notes 10.3.1, masked loss
