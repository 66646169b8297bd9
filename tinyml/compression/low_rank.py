"""Low rank: a weight matrix as the product of two thin ones.

Problem: the W of a layer, of shape (m, n), has m n numbers, and each costs one multiplication.
Could fewer numbers describe almost the same W?

Idea: cut the singular value decomposition W = sum_i s_i u_i v_i' after r terms (' transposes):

    W ~ U V',    U = (u_1 ... u_r) diag(sqrt(s)),    V = (v_1 ... v_r) diag(sqrt(s))

No matrix of rank r is nearer to W: ||W - U V'||_F^2 = s_{r+1}^2 + s_{r+2}^2 + ... (Eckart and
Young 1936). The layer becomes two layers, first V', then U. They cost r (m + n) multiplications,
which is less if r < m n / (m + n).

Often the error of the outputs W x matters more than that of W. Let X (N, n) hold inputs x as rows,
and choose R with R R' = X'X / N, the second moment of the inputs. Then

    mean over the rows x of ||W x - A x||^2  =  ||W R - A R||_F^2

is smallest, among matrices A of rank r, for A = P P' W with the first r left singular vectors P of
W R: then A R is the singular value decomposition of W R, cut after r terms.

`thin_layers` makes the two layers, of convolutions too.

Sources: MATH5836 week 10, section 10.2.3; Denton, Zaremba, Bruna, LeCun and Fergus 2014,
Exploiting linear structure within convolutional networks for efficient evaluation.
"""
import math

import numpy as np

from tinyml.contract import checked


@checked
def truncated_svd(
    weight: "array_like, shape (m, n); W",
    rank: "int in 1..min(m, n); r",
    *,
    second_moment: "array_like of float64, shape (n, n), or None; X'X / N of "
                   "inputs X (N, n)" = None,
):
    """The factors U and V of the rank-r matrix U V' nearest to W, scaled so that U'U = V'V.

        minimise ||W - U V'||_F,      or  ||(W - U V') R||_F,  R = root_of_moment(second_moment)

    Returns
    -------
    U : ndarray, shape (m, r)
    V : ndarray, shape (n, r)

    >>> U, V = truncated_svd([[2, 0], [0, 1]], 1)
    >>> abs(U @ V.T).round(6)
    array([[2., 0.],
           [0., 0.]])
    """
    if second_moment is not None:
        return _weighted_svd(weight, rank, second_moment)
    U, s, Vh = np.linalg.svd(weight, full_matrices=False)
    root = np.sqrt(s[:rank])    # W ~ U diag(s) V': each factor gets a root of s
    return U[:, :rank] * root, Vh[:rank].T * root    # notes 10.2.3, low rank


def _weighted_svd(W, rank, second_moment):
    """U and V with U V' = P P' W, for the first r left singular vectors P of W R."""
    left, _, _ = np.linalg.svd(W @ root_of_moment(second_moment), full_matrices=False)
    P = left[:, :rank]
    Q, s, Vh = np.linalg.svd(P.T @ W, full_matrices=False)    # P P' W = (P Q) diag(s) V'
    root = np.sqrt(s)                                         # each factor gets a root of s
    return (P @ Q * root).astype(W.dtype), (Vh.T * root).astype(W.dtype)


def root_of_moment(second_moment):
    """R with R R' = second_moment, up to 1e-12 of its largest eigenvalue.

    Smaller eigenvalues are raised to that value, `least`, so that directions without inputs count
    a little. If the inputs span fewer than r directions, W is then also approximated in others.
    """
    eigenvalues, Q = np.linalg.eigh(second_moment)
    largest = eigenvalues.max(initial=0)
    asymmetry = np.abs(second_moment - second_moment.T).max(initial=0)
    if max(asymmetry, -eigenvalues[0]) > 1e-4 * largest:    # more than the rounding of float32
        raise ValueError("truncated_svd: second_moment must be symmetric without eigenvalues "
                         f"below 0, got a difference of {asymmetry:.2g} from its transpose and an "
                         f"eigenvalue of {eigenvalues[0]:.2g}; write X.T @ X / len(X)")
    least = 1e-12 * largest if largest > 0 else 1
    return Q * np.sqrt(np.maximum(eigenvalues, least))


@checked
def break_even(m: "int >= 1", n: "int >= 1"):
    """The rank below which two factors take fewer multiplications than one matrix (m, n).

        r (m + n) < m n  <=>  r < m n / (m + n)
    """
    cost_of_matrix = m * n
    cost_per_rank = m + n    # two factors of rank r cost r (m + n)
    return cost_of_matrix / cost_per_rank    # notes 10.2.3, cost


@checked
def rank_for_energy(
    s: "array_like of float64, shape (k,), k >= 1, decreasing, >= 0; the singular "
       "values",
    *,
    energy: "float in (0, 1]; the share",
) -> "int in 1..k":
    """The smallest rank that keeps a share of the energy, the sum of squared singular values.

        s_1^2 + ... + s_r^2 >= energy (s_1^2 + ... + s_k^2)
    """
    held = np.cumsum(s ** 2)
    enough = held >= energy * held[-1] * (1 - 1e-12)    # up to rounding
    return int(enough.argmax()) + 1    # argmax: the first True


@checked
def rank_for_budget(
    m: "int >= 1",
    n: "int >= 1",
    *,
    share: "float > 0; the fraction of the m n multiplications that the two factors "
           "may take",
) -> "int in 1..min(m, n)":
    """The largest rank r with r (m + n) <= share m n; but at least 1, and at most min(m, n)."""
    rank = math.floor(share * break_even(m, n) + 1e-9)    # up to rounding
    return min(max(rank, 1), m, n)
