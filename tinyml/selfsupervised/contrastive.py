"""Contrastive losses: views of one image should be similar, views of different images should not.

Problem: without labels, nobody says what an image shows. But two random views of one image show
the same thing, and two different images most likely do not.

Idea: a batch of B images gives 2B views with embeddings z_i. For each view i, find the other view
p of the same image. This is a classification problem, and its labels cost nothing. Its logits are
the cosine similarities s_ik = cos(z_i, z_k), divided by a temperature T, and its cross-entropy is
`nt_xent`,

    l_i = -ln( e^(s_ip / T) / sum_(k != i) e^(s_ik / T) )

The loss attracts the views of one image (`alignment`), and it repels the views of different images
(`uniformity`). At low T, nearly all of the repulsion is between the most similar views. If all
embeddings are equal, the loss is ln(2B - 1), that of a uniform guess: we call that chance.

Sources: MATH5836 week 10, equation 10.1; Chen, Kornblith, Norouzi and Hinton 2020, A simple
framework for contrastive learning; van den Oord, Li and Vinyals 2018 (InfoNCE); He et al. 2020
(MoCo); Wang and Isola 2020, Understanding contrastive representation learning through alignment
and uniformity on the hypersphere.
"""
import numpy as np

from tinyml import functional as F
from tinyml import ops
from tinyml.contract import checked


@checked
def similarities(
    a: "Tensor, shape (m, D)",
    b: "Tensor, shape (n, D)",
) -> "Tensor, shape (m, n), in [-1, 1]; a zero vector has similarity 0 with everything":
    """The cosine similarity of every row of a with every row of b.

        s_ij = a_i.b_j / (||a_i|| ||b_j||)

    >>> similarities([[3.0, 4.0]], [[3.0, 4.0], [0.0, 2.0]])
    Tensor([[1. , 0.8]], shape=(1, 2), dtype=float64, op=matmul)
    """
    return F.normalize(a) @ F.normalize(b).T


@checked
def nt_xent(
    z1: "Tensor, shape (B, D), B and D >= 1; row i is one view of image i",
    z2: "Tensor, shape (B, D); the second views",
    *,
    temperature: "float in [1e-4, 1e4]; T",
) -> "Tensor, a scalar >= 0; ln(2B - 1) if all embeddings are equal":
    """NT-Xent: for each view, find the second view of its image among the other 2B - 1 views.

        L = 1/(2B) sum_i -ln( e^(s_ip / T) / sum_(k != i) e^(s_ik / T) ),      p = (i + B) mod 2B

    (MATH5836 week 10, equation 10.1; Chen et al. 2020, equation 1.) The views are the rows of z1,
    then the rows of z2, counted from 0; s_ik is the cosine similarity of views i and k. The sum
    over k includes the other view of the same image (the *positive*), k = p. So L is a
    cross-entropy: row i has the logits s_ik / T and the label p.

    >>> same = [[1.0, 0.0], [1.0, 0.0]]
    >>> round(nt_xent(same, same, temperature=0.5).item(), 4)
    1.0986
    """
    B = len(z1)
    z = ops.concatenate([z1, z2])
    s = similarities(z, z)                                  # (2B, 2B)
    s = ops.where(np.eye(2 * B, dtype=bool), -np.inf, s)    # k != i, as e^-inf = 0
    partner = np.roll(np.arange(2 * B), B)
    # mean over i of -ln( e^(s_ip / T) / sum over k != i of e^(s_ik / T) ),  p = partner[i]
    return F.cross_entropy(s / temperature, partner)        # notes (10.1), NT-Xent


@checked
def info_nce(
    query: "Tensor, shape (B, D), B and D >= 1",
    positive: "Tensor, shape (B, D); row i belongs to query i",
    negatives: "Tensor, shape (K, D), or None; the same for all queries" = None,
    *,
    temperature: "float in [1e-4, 1e4]; T",
):
    """InfoNCE: for each query, find its positive among negatives.

        L = 1/B sum_i -ln( e^(s_i0 / T) / sum_(k=0..K) e^(s_ik / T) )

    (He et al. 2020, equation 1; van den Oord et al. 2018, equation 4.) s_i0 is the cosine
    similarity of query i and its positive, s_ik that of query i and negative k = 1 ... K. Without
    `negatives`, the negatives of query i are the other B - 1 rows of `positive`. In `nt_xent`
    every view but the positive is a negative; here the other queries are not.

    Returns
    -------
    Tensor, a scalar >= 0; ln(1 + K) if all similarities are equal (ln B without `negatives`)

    >>> q = [[1.0, 0.0]]
    >>> round(info_nce(q, q, [[0.0, 1.0], [0.0, 2.0]], temperature=1).item(), 4)
    0.5514
    """
    B = len(query)
    if negatives is None:
        s = similarities(query, positive)                                           # (B, B)
        label = np.arange(B)
    else:
        s_positive = F.cosine_similarity(query, positive).reshape(B, 1)
        s = ops.concatenate([s_positive, similarities(query, negatives)], axis=1)    # (B, 1 + K)
        label = np.zeros(B, int)
    return F.cross_entropy(s / temperature, label)


@checked
def alignment(
    z1: "as in `nt_xent`",
    z2: "as in `nt_xent`",
) -> "Tensor, a scalar in [0, 4]":
    """How far apart the views of one image are: the mean of ||u_i - v_i||^2 over i.

    (Wang and Isola 2020, equation 2, with the exponent alpha = 2.) u_i and v_i are the directions
    of row i of z1 and z2. The mean is 0 if u = v, and 2 on average for random directions.

    >>> alignment([[1.0, 0.0]], [[0.0, 3.0]]).item()
    2.0
    """
    u, v = F.normalize(z1), F.normalize(z2)
    return ops.mean(ops.sum((u - v) ** 2, axis=1))


@checked
def uniformity(
    z: "Tensor, shape (N, D), N >= 2, D >= 1",
) -> "Tensor, a scalar in [-8, 0]":
    """How evenly vectors fill the sphere: ln of the mean over i != j of e^(-2 ||u_i - u_j||^2).

    (Wang and Isola 2020, equation 3, with the factor t = 2.) u_i = z_i / ||z_i||. The value is 0
    if all directions are equal. For a fixed number of vectors: the more evenly they are spread,
    the lower the value. As the number of evenly spread vectors grows, it tends to -1.575 for
    D = 2. For large D this limit is about -4 + 8/D.

    >>> uniformity([[1.0, 0.0], [-5.0, 0.0]]).item()
    -8.0
    """
    squared_distance = 2 - 2 * similarities(z, z)    # ||u - v||^2 = 2 - 2 u.v, (N, N)
    i_not_j = ~np.eye(len(z), dtype=bool)
    return ops.log(ops.mean(ops.exp(-2 * squared_distance[i_not_j])))
