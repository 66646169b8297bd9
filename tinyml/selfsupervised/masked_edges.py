"""Masked edges: a graph network predicts which pairs of nodes are joined by a hidden edge.

Problem: a hidden token leaves a visible gap, but a hidden edge does not. If no edge is visible
between two nodes, there may be none, or it may be hidden. What can be learned from a graph alone?

Idea: hide some edges in each step, and learn to distinguish them from as many pairs of nodes
without an edge (non-edges). Every node i has a vector e_i, a row of E, and a bias b_i. One graph
convolution mixes the vectors along the *visible* edges, whose adjacency matrix is A, and a product
compares two nodes:

    Z = D^(-1/2) (A + I) D^(-1/2) E,      logit_ij = z_i . z_j + b_i + b_j + c

    min  mean of the binary cross-entropy over hidden edges (1) and non-edges (0)

The number c is the same for all pairs; `propagation` defines D. A hidden edge must not take part
in the convolution, or the input would contain the answer. So there are two masks: the edges for
the test are hidden once, and in each step some of the others are hidden for the training.

Sources: MATH5836 week 10, section 10.3.1; Kipf and Welling 2016, Variational graph auto-encoders
(section 2); Kipf and Welling 2017, Semi-supervised classification with graph convolutional
networks; Liben-Nowell and Kleinberg 2007, The link-prediction problem for social networks
(`common_neighbours` and `preferential_attachment`); Barabasi and Albert 1999, Emergence of scaling
in random networks; Hanley and McNeil 1982, The meaning and use of the area under a ROC curve;
Zachary 1977, An information flow model for conflict and fission in small groups.
"""
import numpy as np

from tinyml import functional as F
from tinyml.contract import checked
from tinyml.nn import Module, Parameter
from tinyml.selfsupervised.masking import adjacency, mask_edges
from tinyml.tensor import Tensor

# i: every j > i with an edge between i and j
KARATE = """
0: 1 2 3 4 5 6 7 8 10 11 12 13 17 19 21 31; 1: 2 3 7 13 17 19 21 30;
2: 3 7 8 9 13 27 28 32; 3: 7 12 13; 4: 6 10; 5: 6 10 16; 6: 16; 8: 30 32 33; 9: 33; 13: 33;
14: 32 33; 15: 32 33; 18: 32 33; 19: 33; 20: 32 33; 22: 32 33; 23: 25 27 29 32 33;
24: 25 27 31; 25: 31; 26: 29 33; 27: 33; 28: 31 33; 29: 32 33; 30: 32 33; 31: 32 33; 32: 33
"""


def karate_club():
    """The friendships in a karate club of 34 members (Zachary 1977, figure 1).

    Node 0 is the instructor, node 33 the president; Zachary counts from 1. The club later split.

    Returns
    -------
    edges : ndarray of int64, shape (78, 2), rows (i, j) with i < j
    n_nodes : int, 34
    """
    edges = []
    for row in KARATE.split(";"):
        i, others = row.split(":")
        edges += [(int(i), int(j)) for j in others.split()]
    return np.array(edges), 34


@checked
def auc(
    positive: "array_like, shape (n,), n >= 1; scores",
    negative: "array_like, shape (m,), m >= 1; scores",
) -> "float in [0, 1]":
    """The area under the ROC curve: how often a positive scores above a negative.

        AUC = P(score of a positive > score of a negative) + 1/2 P(they are equal)

    (Hanley and McNeil 1982.) Guessing gives 1/2.

    >>> auc([3, 2], [1, 2])
    0.875
    """
    positive = positive[:, None]    # (n, 1), to be compared with all negatives
    wins, ties = positive > negative, positive == negative
    return float(np.mean(wins + ties / 2))


@checked
def propagation(
    edges: "array_like of int, shape (m, 2), in 0..n-1; with each edge once and no "
           "loops",
    n_nodes: "int >= 1; n",
) -> "ndarray of float32, shape (n, n)":
    """The matrix of a graph convolution (Kipf and Welling 2017, equation 2).

        P = D^(-1/2) (A + I) D^(-1/2),      D_ii = 1 + number of neighbours of i

    Row i of P E is a weighted sum of the vectors of node i and of its neighbours.
    """
    A = adjacency(edges, n_nodes) + np.eye(n_nodes)    # A + I in the equation
    d = A.sum(axis=1)
    P = A / np.sqrt(np.outer(d, d))
    return P.astype(np.float32)


@checked
def common_neighbours(
    edges: "as in `propagation`",
    n_nodes: "as in `propagation`",
    pairs: "array_like of int, shape (k, 2), in 0..n-1",
) -> "ndarray of int64, shape (k,)":
    """A score without training: the number of neighbours that i and j share, (A^2)_ij."""
    A = adjacency(edges, n_nodes).astype(int)
    i, j = pairs.T
    return (A @ A)[i, j]


@checked
def preferential_attachment(
    edges: "as in `common_neighbours`",
    n_nodes: "as in `common_neighbours`",
    pairs: "as in `common_neighbours`",
) -> "ndarray of int64, shape (k,)":
    """A score without training: d_i d_j, with d_i the number of neighbours of i.

    (Barabasi and Albert 1999.)
    """
    d = adjacency(edges, n_nodes).sum(axis=1)
    i, j = pairs.T
    return d[i] * d[j]


@checked
class EdgePredictor(Module):
    """Node vectors, mixed along the visible edges and compared by a product.

        Z = P E,      logit_ij = z_i . z_j + b_i + b_j + c

    P is the matrix of `propagation` for the visible edges.
    """

    def __init__(
        self,
        n_nodes: "int >= 1; number of nodes",
        dim: "int >= 1; length of their vectors",
        *,
        messages: "bool; whether nodes get messages from their neighbours, by the "
                  "convolution; without it Z = E" = True,
        rng: "numpy.random.Generator",
    ):
        self.n_nodes, self.messages = n_nodes, messages
        vectors = rng.standard_normal((n_nodes, dim), dtype=np.float32)
        self.embedding = Parameter(np.float32(0.3) * vectors)    # small: logits start near 0
        self.bias = Parameter(np.zeros(n_nodes, np.float32))
        self.offset = Parameter(np.zeros(1, np.float32))

    def encode(self, edges):
        """Z, shape (n, dim), from the visible edges (m, 2)."""
        if not self.messages:
            return self.embedding
        return Tensor(propagation(edges, self.n_nodes)) @ self.embedding

    @checked
    def forward(
        self,
        edges: "array_like of int, shape (m, 2); the visible edges",
        pairs: "array_like of int, shape (k, 2), in 0..n_nodes-1",
    ):
        """The logit of each pair, shape (k,)."""
        i, j = pairs.T
        Z = self.encode(edges)
        return (Z[i] * Z[j]).sum(axis=1) + self.bias[i] + self.bias[j] + self.offset


@checked
def masked_edge_loss(
    model: "Module; an `EdgePredictor`",
    edges: "array_like of int, shape (m, 2); all edges for the training",
    *,
    mask_ratio: "float in [0, 1]; with at least one hidden edge",
    rng: "numpy.random.Generator",
) -> "Tensor, a scalar":
    """Hide k edges, draw k pairs without an edge, and let the model distinguish the two.

        L = 1/(2k) (sum over hidden edges of -ln s(logit)
                    + sum over non-edges of -ln(1 - s(logit)))

    with s the sigmoid: the binary cross-entropy. The model sees the visible edges only.
    """
    visible, hidden, non_edges = mask_edges(edges, model.n_nodes, mask_ratio=mask_ratio, rng=rng)
    if not len(hidden):
        raise ValueError(f"masked_edge_loss: mask_ratio must hide an edge, got {mask_ratio}")
    logits = model(visible, np.concatenate([hidden, non_edges]))
    is_hidden = np.repeat(np.float32([1, 0]), len(hidden))
    return F.binary_cross_entropy_with_logits(logits, is_hidden)
