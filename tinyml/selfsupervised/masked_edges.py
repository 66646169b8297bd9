"""Masked edges: who is friends with whom, when a part of the friendships is hidden?

Problem: what is hidden from a graph leaves no gap that shows. A pair without an edge may be a pair that never
was one, or one whose edge was taken away. How does a graph teach anything about itself?

Idea: hide edges again and again, and learn to tell the hidden ones from as many pairs that have none. Every
node i has a vector e_i and a tendency b_i to have edges at all. One graph convolution mixes the vectors along
the *visible* edges, A + I with the normalisation of Kipf and Welling, and a product compares two nodes:

    Z = D^(-1/2) (A + I) D^(-1/2) E,      logit_ij = z_i . z_j + b_i + b_j + c,

    min  mean of the binary cross-entropy over hidden edges (1) and non-edges (0).

A hidden edge must not pass a message, or the answer is in the question. So there are two masks: one for the
test, whose edges training never sees, and takes for non-edges now and then; and one that training draws anew
in every step among the others.

Sources: Kipf and Welling 2016, Variational graph auto-encoders (section 2, the one without variation); Kipf and
Welling 2017, Semi-supervised classification with graph convolutional networks (equation 2); Liben-Nowell and
Kleinberg 2007, The link-prediction problem for social networks (the scores without training); Zachary 1977, An
information flow model for conflict and fission in small groups; MATH5836 week 10, section 10.3.1.
"""
import numpy as np

from tinyml import functional as F
from tinyml.check import check_labels, check_real, check_rng, check_sizes
from tinyml.nn import Embedding, Module, Parameter
from tinyml.selfsupervised.masking import adjacency, mask_edges
from tinyml.tensor import Tensor

KARATE = """
0: 1 2 3 4 5 6 7 8 10 11 12 13 17 19 21 31;  1: 2 3 7 13 17 19 21 30;  2: 3 7 8 9 13 27 28 32;  3: 7 12 13;
4: 6 10;  5: 6 10 16;  6: 16;  8: 30 32 33;  9: 33;  13: 33;  14: 32 33;  15: 32 33;  18: 32 33;  19: 33;
20: 32 33;  22: 32 33;  23: 25 27 29 32 33;  24: 25 27 31;  25: 31;  26: 29 33;  27: 33;  28: 31 33;  29: 32 33;
30: 32 33;  31: 32 33;  32: 33
"""


def karate_club():
    """The friendships in a karate club of 34 members, which later broke in two (Zachary 1977, figure 1).

    Node 0 is the instructor, node 33 the president of the club; their numbers there are one higher.

    Returns
    -------
    edges : ndarray of int64, shape (78, 2), rows (i, j) with i < j
    n_nodes : int, 34
    """
    rows = [row.split(":") for row in KARATE.split(";")]
    return np.array([(int(i), int(j)) for i, others in rows for j in others.split()]), 34


def auc(positive, negative):
    """The area under the ROC curve: how often a positive scores above a negative, ties counting one half.

        AUC = (mean rank of the positives - (n + 1) / 2) / m,      ranks from 1 up among all n + m, ties shared

    (Hanley and McNeil 1982; the statistic of Mann and Whitney over n m.) Guessing gives 1/2.

    Parameters
    ----------
    positive, negative : array_like of real numbers, shapes (n,) and (m,), n and m >= 1, scores

    Returns
    -------
    float in [0, 1]

    Raises
    ------
    TypeError, ValueError : no real numbers, NaN or infinite, another shape, none

    Examples
    --------
    >>> auc([3, 2], [1, 2])
    0.875
    """
    positive, negative = (check_real("auc", name, scores, ndim=1) for name, scores in
                          (("positive", positive), ("negative", negative)))
    n, m = len(positive), len(negative)
    if not n or not m:
        raise ValueError(f"auc: positive and negative must each hold a score, got {n} and {m}")
    _, place, counts = np.unique(np.concatenate([positive, negative]), return_inverse=True, return_counts=True)
    ranks = (counts.cumsum() - (counts - 1) / 2)[place]    # the mean of the ranks that equal scores share
    return float((ranks[:n].mean() - (n + 1) / 2) / m)


def propagation(edges, n_nodes):
    """The graph convolution of Kipf and Welling 2017: what a node gets from itself and from its neighbours.

        P = D^(-1/2) (A + I) D^(-1/2),      D_ii = 1 + number of neighbours of i

    Parameters
    ----------
    edges : array_like of int, shape (m, 2), as in `mask_edges`: those that may pass messages
    n_nodes : int >= 1, n

    Returns
    -------
    ndarray of float32, shape (n, n), symmetric, its largest eigenvalue is 1
    """
    A = adjacency(edges, n_nodes) + np.eye(n_nodes)
    scale = 1 / np.sqrt(A.sum(axis=1))
    return (scale[:, None] * A * scale).astype(np.float32)


def common_neighbours(edges, n_nodes, pairs):
    """A score without training: how many neighbours i and j share, (A^2)_ij (Liben-Nowell and Kleinberg 2007).

    Parameters
    ----------
    edges : array_like of int, shape (m, 2), the visible edges
    n_nodes : int >= 1
    pairs : array_like of int, shape (k, 2)

    Returns
    -------
    ndarray of float64, shape (k,)
    """
    A = adjacency(edges, n_nodes).astype(float)
    i, j = np.asarray(pairs).reshape(-1, 2).T
    return (A[i] * A[j]).sum(axis=1)


def preferential_attachment(edges, n_nodes, pairs):
    """A score without training: d_i d_j, who has many friends finds more (Barabasi and Albert 1999).

    Parameters, returns as in `common_neighbours`: edges, n_nodes, pairs.
    """
    degree = adjacency(edges, n_nodes).sum(axis=1).astype(float)
    i, j = np.asarray(pairs).reshape(-1, 2).T
    return degree[i] * degree[j]


class EdgePredictor(Module):
    """Node vectors, mixed along visible edges, compared by a product (see the head of this file).

        Z = P E,      logit_ij = z_i . z_j + b_i + b_j + c

    Parameters
    ----------
    n_nodes, dim : int >= 1
    messages : bool; False leaves out the convolution, Z = E: a node then knows itself alone
    rng : numpy.random.Generator
    """

    def __init__(self, n_nodes, dim, *, messages=True, rng):
        check_sizes("EdgePredictor", n_nodes=n_nodes, dim=dim)
        check_rng("EdgePredictor", rng)
        self.n_nodes, self.messages = n_nodes, messages
        self.embedding = Embedding(n_nodes, dim, rng=rng)
        self.embedding.weight.data = self.embedding.weight.data * np.float32(0.3)    # logits near 0
        self.bias, self.offset = Parameter(np.zeros(n_nodes, np.float32)), Parameter(np.zeros(1, np.float32))

    def encode(self, edges):
        """Z, shape (n, dim), from the edges that are visible."""
        E = self.embedding.weight
        return Tensor(propagation(edges, len(E))) @ E if self.messages else E

    def forward(self, edges, pairs):
        """Logits (k,) that the pairs (k, 2) are edges, when `edges` (m, 2) are visible."""
        pairs = check_labels("EdgePredictor", "pairs", pairs, len(self.bias))
        Z, (i, j) = self.encode(edges), pairs.reshape(-1, 2).T
        return (Z[i] * Z[j]).sum(axis=1) + self.bias[i] + self.bias[j] + self.offset


def masked_edge_loss(model, edges, *, mask_ratio, rng):
    """Hide edges, draw as many non-edges, and ask the model which is which.

        L = 1/2k ( sum over hidden (i, j)  -ln s(logit_ij)  +  sum over non-edges  -ln(1 - s(logit_ij)) )

    with s the sigmoid: the binary cross-entropy. The model computes its logits from the visible edges alone.

    Parameters
    ----------
    model : EdgePredictor
    edges : array_like of int, shape (m, 2), all that may be used in training
    mask_ratio, rng : as in `mask_edges`

    Returns
    -------
    Tensor, a scalar

    Raises
    ------
    TypeError, ValueError : as in `mask_edges`; mask_ratio hides no edge
    """
    visible, hidden, non_edges = mask_edges(edges, model.n_nodes, mask_ratio=mask_ratio, rng=rng)
    if not len(hidden):
        raise ValueError(f"masked_edge_loss: mask_ratio must hide at least one edge, got {mask_ratio} of "
                         f"{len(edges)} edges")
    target = np.repeat(np.float32([1, 0]), len(hidden))
    return F.binary_cross_entropy_with_logits(model(visible, np.concatenate([hidden, non_edges])), target)
