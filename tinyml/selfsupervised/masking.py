"""Masking: hide a part of anything, and what was hidden is the label.

Problem: labels are dear, data is not. Where could a training signal come from without anybody's help?

Idea: hide some of the elements of an input and let a model restore them from the rest. With M the hidden
positions, [MASK] what stands there instead, and x^ what the model restores,

    x~_i = [MASK] if i in M else x_i,          min  sum over i in M of  loss(x^_i, x_i)

The loss knows the hidden positions alone: to copy what is visible teaches nothing. What differs between
domains is what an element is, and what takes its place: a token and the symbol [MASK] (BERT), a patch of an
image and nothing at all (MAE: the encoder never sees it), a span of a sensor's readings and zeros, an edge
of a graph and its absence.

Sources: Devlin, Chang, Lee and Toutanova 2019, BERT (section 3.1 and appendix A.1); He, Chen, Xie, Li, Dollar
and Girshick 2022, Masked autoencoders are scalable vision learners (section 3); Eldele et al. 2021, TS-TCC;
Kipf and Welling 2016, Variational graph auto-encoders; MATH5836 week 10, section 10.3.1.
"""
import numpy as np

from tinyml.check import check_labels, check_number, check_rng, check_sizes
from tinyml.tensor import as_tensor


def _n_hidden(function, n, mask_ratio, rng):
    """k = int(n mask_ratio), after the checks that all doors share."""
    check_number(function, "mask_ratio", mask_ratio, at_least=0, at_most=1)
    check_rng(function, rng)
    return int(n * mask_ratio)


def _shuffles(rows, n, rng):
    """A random order of 0..n-1 for each row, shape (rows, n): the order of random numbers (MAE, section 3)."""
    return rng.random((rows, n)).argsort(axis=1)


def mask_input(x, *, mask_ratio, mask_value, rng):
    """Hide k = int(n mask_ratio) of the n elements of x: the pseudocode of the notes, made whole.

        x~_i = mask_value if i in M else x_i,      M a uniformly random k-subset of {0, ..., n - 1}

    (MATH5836 week 10, section 10.3.1, steps 1 and 2.) The product is Python's: int(100 * 0.29) is 28.

    Parameters
    ----------
    x : array_like, shape (n, ...), n >= 0 elements; it stays as it is
    mask_ratio : float in [0, 1]
    mask_value : number or array_like that broadcasts to an element, of a value that the dtype of x can hold
    rng : numpy.random.Generator, from which all chance comes

    Returns
    -------
    x_corrupted : ndarray of the shape and dtype of x, a copy
    mask_indices : ndarray of int64, shape (k,), M in ascending order

    Raises
    ------
    TypeError : mask_ratio is no number, or rng no Generator
    ValueError : x has no axis, mask_ratio is outside [0, 1], or x cannot hold mask_value

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> mask_input([5, 6, 7, 8, 9], mask_ratio=0.4, mask_value=-1, rng=rng)
    (array([ 5,  6, -1,  8, -1]), array([2, 4]))
    """
    x = np.array(x)
    if x.ndim == 0:
        raise ValueError(f"mask_input: x must have shape (n, ...), got {x.shape}")
    k = _n_hidden("mask_input", len(x), mask_ratio, rng)
    if x.dtype.kind in "iub" and not np.array_equal(np.asarray(mask_value).astype(x.dtype), mask_value):
        raise ValueError(f"mask_input: mask_value must be a value of dtype {x.dtype}, got {mask_value!r}; "
                         "write x.astype(float)")
    mask_indices = np.sort(rng.permutation(len(x))[:k])
    x[mask_indices] = mask_value
    return x, mask_indices


def mask_tokens(tokens, *, vocab_size, mask_id, mask_ratio=0.15, rng):
    """BERT's corruption of sequences of tokens (Devlin et al. 2019, section 3.1, "Masked LM").

    In each sequence k = int(T mask_ratio) positions are chosen, uniformly and without replacement. The token
    of a chosen position, independently of the others,

        becomes [MASK] with probability 0.8,
        becomes a token drawn uniformly from 0..vocab_size-1 with probability 0.1 (perhaps the same one),
        stays what it is with probability 0.1.

    A model is asked for the true token at every chosen position. It cannot know which of the unmasked ones
    these are, so it must have an opinion about each token that it sees.

    Parameters
    ----------
    tokens : array_like of int, shape (..., T), in 0..vocab_size-1; they stay as they are
    vocab_size : int >= 1, V
    mask_id : int, the number of [MASK]: none of 0..V-1, so that no true token looks like it; usually V
    mask_ratio : float in [0, 1]
    rng : numpy.random.Generator, from which all chance comes

    Returns
    -------
    corrupted : ndarray of int64, shape (..., T)
    chosen : ndarray of bool, shape (..., T), k of them True in each sequence

    Raises
    ------
    TypeError : tokens are no integers, mask_ratio is no number, or rng no Generator
    ValueError : no axis, a token outside 0..V-1, V < 1, mask_id in 0..V-1, mask_ratio outside [0, 1]
    """
    check_sizes("mask_tokens", vocab_size=vocab_size)
    tokens = check_labels("mask_tokens", "tokens", tokens, vocab_size)
    if tokens.ndim == 0:
        raise ValueError(f"mask_tokens: tokens must have shape (..., T), got {tokens.shape}")
    if not isinstance(mask_id, (int, np.integer)) or 0 <= mask_id < vocab_size:
        raise ValueError(f"mask_tokens: mask_id must be an int outside 0..{vocab_size - 1}, got {mask_id!r}; "
                         f"write mask_id={vocab_size}")
    k = _n_hidden("mask_tokens", tokens.shape[-1], mask_ratio, rng)
    chosen = _random_subsets(tokens.shape, k, rng)
    fate, other = rng.random(tokens.shape), rng.integers(0, vocab_size, tokens.shape)
    corrupted = np.where(chosen & (fate < 0.9), other, tokens)         # 0.8 .. 0.9: a random token
    return np.where(chosen & (fate < 0.8), mask_id, corrupted), chosen


def _random_subsets(shape, k, rng):
    """Booleans of a shape (..., n), k of each row of n True."""
    order = _shuffles(int(np.prod(shape[:-1])), shape[-1], rng)
    return (order < k).reshape(shape)    # a random order holds each of 0..k-1 once


def mask_patches(n_images, n_patches, *, mask_ratio, rng):
    """Which patches of each image stay visible, and how to put all of them back in order (MAE).

    A random order of the L patches of an image is cut in two: ids_mask are its last k = int(L mask_ratio),
    ids_keep the others, for the encoder. The decoder gets the visible ones and k mask tokens, in this order,
    and must undo it (He et al. 2022, section 3, "Simple implementation"):

        concatenate([ids_keep, ids_mask], axis=1)  is  p,     p[i, ids_restore[i, l]] = l

    Parameters
    ----------
    n_images, n_patches : int >= 1, N and L
    mask_ratio : float in [0, 1]
    rng : numpy.random.Generator, from which all chance comes

    Returns
    -------
    ids_keep : ndarray of int64, shape (N, L - k), the order of the patches that the encoder sees
    ids_mask : ndarray of int64, shape (N, k)
    ids_restore : ndarray of int64, shape (N, L), where in that order each patch is

    Raises
    ------
    TypeError : mask_ratio is no number, or rng no Generator
    ValueError : a size below 1, or mask_ratio outside [0, 1]
    """
    check_sizes("mask_patches", n_images=n_images, n_patches=n_patches)
    n_keep = n_patches - _n_hidden("mask_patches", n_patches, mask_ratio, rng)
    order = _shuffles(n_images, n_patches, rng)
    return order[:, :n_keep], order[:, n_keep:], order.argsort(axis=1)


def mask_spans(x, *, mask_ratio, span_length, rng):
    """Zero out spans of readings, k = int(T mask_ratio) of the T readings of each series in x.

    A single hidden reading is easily guessed from its two neighbours; a span is not. The k readings make
    ceil(k / span_length) spans, all of span_length but one of k mod span_length, unless that is 0. All orders of
    the spans, the short one among them, and the T - k visible readings are equally likely, in each row on its own:
    so spans do not overlap, but may touch. A hidden reading is 0, whatever it was, NaN included.

    (MATH5836 week 10, section 10.3.1, remark 10.3.2: "zero-out sensor readings".)

    Parameters
    ----------
    x : array_like of real numbers, shape (..., T), time last: each row is a series with spans of its own
    mask_ratio : float in [0, 1]
    span_length : int >= 1
    rng : numpy.random.Generator, from which all chance comes

    Returns
    -------
    x_corrupted : ndarray of the shape and dtype of x, a copy
    mask : ndarray of bool, shape (..., T), True where a reading is hidden

    Raises
    ------
    TypeError : mask_ratio is no number, or rng no Generator
    ValueError : x has no axis, span_length < 1, or mask_ratio outside [0, 1]
    """
    x = np.asarray(x)
    if x.ndim == 0:
        raise ValueError(f"mask_spans: x must have shape (..., T), got {x.shape}")
    check_sizes("mask_spans", span_length=span_length)
    rows, T = int(np.prod(x.shape[:-1])), x.shape[-1]
    k = _n_hidden("mask_spans", T, mask_ratio, rng)
    spans = [span_length] * (k // span_length) + [k % span_length] * (k % span_length > 0)
    lengths = np.array(spans + [1] * (T - k), np.int64)
    order = _shuffles(rows, len(lengths), rng)
    mask = np.repeat(order < len(spans), lengths[order].ravel()).reshape(x.shape)
    return np.where(mask, x.dtype.type(0), x), mask


def mask_edges(edges, n_nodes, *, mask_ratio, rng):
    """Hide k = int(m mask_ratio) of the m edges of an undirected graph, and draw as many pairs without one.

    A predictor of edges sees the visible ones. It is asked to tell the hidden ones from the non-edges, which
    are drawn uniformly and without replacement from the pairs of different nodes that are no edge at all.

    (MATH5836 week 10, section 10.3.1: "structured: edge prediction"; Kipf and Welling 2016, section 2.)

    Parameters
    ----------
    edges : array_like of int, shape (m, 2), nodes in 0..n_nodes-1; each edge once, no loops
    n_nodes : int >= 1, n
    mask_ratio : float in [0, 1]
    rng : numpy.random.Generator, from which all chance comes

    Returns
    -------
    visible : ndarray of int64, shape (m - k, 2), in the order of edges
    hidden : ndarray of int64, shape (k, 2), in the order of edges
    non_edges : ndarray of int64, shape (k, 2), rows (i, j) with i < j, all different

    Raises
    ------
    TypeError : edges are no integers, mask_ratio is no number, or rng no Generator
    ValueError : another shape, a node outside 0..n-1, a loop, an edge given twice, in either direction,
        mask_ratio outside [0, 1], or fewer than k pairs without an edge
    """
    adjacent, edges = adjacency(edges, n_nodes), np.asarray(edges, np.int64)
    k = _n_hidden("mask_edges", len(edges), mask_ratio, rng)
    pairs = np.argwhere(np.triu(~adjacent, 1))                         # (n (n - 1) / 2 - m, 2)
    if len(pairs) < k:
        raise ValueError(f"mask_edges: mask_ratio must hide at most {len(pairs)} edges, as many as there "
                         f"are pairs without one, got {mask_ratio} of {len(edges)}")
    hide = _random_subsets((1, len(edges)), k, rng)[0]
    return edges[~hide], edges[hide], pairs[rng.permutation(len(pairs))[:k]]


def adjacency(edges, n_nodes):
    """Which nodes are joined: A_ij = A_ji = True for every edge (i, j).

    Parameters, errors as in `mask_edges`: edges (m, 2), each once, no loops; n_nodes >= 1.

    Returns
    -------
    ndarray of bool, shape (n_nodes, n_nodes), symmetric
    """
    check_sizes("adjacency", n_nodes=n_nodes)
    edges = check_labels("adjacency", "edges", edges, n_nodes)
    if edges.ndim != 2 or edges.shape[1] != 2:
        raise ValueError(f"adjacency: edges must have shape (m, 2), got {edges.shape}")
    A = np.zeros((n_nodes, n_nodes), bool)
    A[edges[:, 0], edges[:, 1]] = A[edges[:, 1], edges[:, 0]] = True
    if np.diag(A).any():
        raise ValueError(f"adjacency: edges must join different nodes, got a loop at {np.diag(A).argmax()}")
    if A.sum() != 2 * len(edges):
        raise ValueError(f"adjacency: edges must be given once, in one direction, got {len(edges)} rows for "
                         f"{A.sum() // 2} edges")
    return A


def masked_loss(prediction, target, mask, *, loss_fn):
    """The loss of what was hidden, and of nothing else.

        L = loss_fn(x^_M, x_M),      dL/dx^_i = 0  exactly  for  i not in M

    (MATH5836 week 10, section 10.3.1, step 5.) The loss by kind of data: `cross_entropy` over the vocabulary
    for tokens, `mse_loss` for pixels and sensors; each gives the mean over M.

    Parameters
    ----------
    prediction : Tensor, shape (*S, ...), x^ at all positions; logits (*S, V) for tokens
    target : array_like, shape (*S, ...), x before it was corrupted
    mask : ndarray of bool, shape S, True at the hidden positions M
    loss_fn : function (prediction Tensor, target array) -> scalar Tensor, each with M as first axis

    Returns
    -------
    Tensor, a scalar

    Raises
    ------
    ValueError : mask is not boolean or does not fit, or nothing is hidden: then there is nothing to learn
    """
    prediction, target, mask = as_tensor(prediction), np.asarray(target), np.asarray(mask)
    shapes = prediction.shape[:mask.ndim], target.shape[:mask.ndim]
    if mask.dtype != bool or shapes != (mask.shape, mask.shape):
        raise ValueError(f"masked_loss: mask must be bool, of the first axes of prediction {prediction.shape} "
                         f"and target {target.shape}, got dtype {mask.dtype}, shape {mask.shape}")
    if not mask.any():
        raise ValueError("masked_loss: mask must hide at least one position, got none; is the sequence too "
                         "short for the mask_ratio?")
    return loss_fn(prediction[mask], target[mask])
