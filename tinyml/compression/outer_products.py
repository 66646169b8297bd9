"""Outer products: filters as a sum of terms, each a product of two vectors and a kernel.

Problem: a matrix of rank one is an outer product of two vectors. But filters W (O, C, kh, kw) have
more than two sides. What is of rank one there?

Idea: a term is the product of a vector for the outputs, one for the channels, and one kernel:

    W[o,c,i,j] ~ sum_k u_k[o] v_k[c] w_k[i,j]

A term is found by alternating least squares: with two of its factors fixed, the third is a
projection of W on them. The next term is found in the same way for what is left, one by one, which
is greedy. As layers:

    1 x 1, C -> K,   then each channel with a kernel of its own,   then 1 x 1, K -> O
    multiplications:  K C for each pixel of the input, K kh kw + K O of the output

which is a depthwise separable convolution with a 1 x 1 convolution in front.

Sources: MATH5836 week 10, section 10.2.3; Denton, Zaremba, Bruna, LeCun and Fergus 2014,
Exploiting linear structure within convolutional networks for efficient evaluation, section 3.2.2.
"""
import numpy as np

from tinyml.compression.thin_layers import check_one_group, conv_like
from tinyml.contract import checked
from tinyml.nn import Sequential


@checked
def best_outer_product(
    tensor: "array_like of float64, shape (m, n, p), not empty; T",
    *,
    n_sweeps: "int >= 1" = 50,
):
    """Three vectors whose outer product is near a tensor, by alternating least squares.

        minimise  sum_abc (T_abc - u_a v_b w_c)^2,    ||v|| = ||w|| = 1
        u_a <- sum_bc T_abc v_b w_c,    then v and then w likewise, divided by their lengths

    Each is fitted to the newest of the other two. No sweep raises the error, but the minimum may
    be a local one. The start comes from two singular value decompositions.

    Returns
    -------
    u : ndarray, shape (m,), with the size of the term in it
    v : ndarray, shape (n,), of length 1
    w : ndarray, shape (p,), of length 1
    """
    # T as a matrix (m, n p) is nearly u x' with a vector x; x as a matrix (n, p) is nearly v w'
    _, _, Vh = np.linalg.svd(tensor.reshape(len(tensor), -1), full_matrices=False)
    P, _, Qh = np.linalg.svd(Vh[0].reshape(tensor.shape[1:]), full_matrices=False)
    v, w = P[:, 0], Qh[0]
    for _ in range(n_sweeps):
        u = _unit(np.einsum("abc,b,c->a", tensor, v, w))
        v = _unit(np.einsum("abc,a,c->b", tensor, u, w))
        w = _unit(np.einsum("abc,a,b->c", tensor, u, v))
    return np.einsum("abc,b,c->a", tensor, v, w), v, w


def _unit(x):
    """x / ||x||; the first unit vector for zeros."""
    length = np.linalg.norm(x)
    return x / length if length > 0 else np.eye(len(x))[0]


@checked
def outer_products(
    filters: "array_like of float64, shape (O, C, kh, kw), not empty; W",
    n_terms: "int >= 1; K",
    *,
    n_sweeps: "int >= 1" = 50,
):
    """A sum of K outer products near the filters, one by one: each is fitted to what is left.

        W ~ sum_k u_k v_k w_k,       ||R_k||^2 = ||R_(k-1)||^2 - ||u_k||^2

    where R_k is what the first k terms leave of W, and R_0 = W.

    Returns
    -------
    U : ndarray, shape (O, K), a u_k in each column
    V : ndarray, shape (C, K)
    kernels : ndarray, shape (K, kh, kw)
    """
    rest = filters.reshape(*filters.shape[:2], -1)
    terms = []
    for _ in range(n_terms):
        u, v, w = best_outer_product(rest, n_sweeps=n_sweeps)
        rest = rest - np.einsum("a,b,c->abc", u, v, w)
        terms.append((u, v, w))
    U, V, kernels = (np.array(vectors) for vectors in zip(*terms))
    return U.T, V.T, kernels.reshape(n_terms, *filters.shape[2:])


# ------------------------------------------------------------ layers

@checked
def outer_product_conv(
    layer: "Conv2d; with groups=1",
    n_terms: "int >= 1; K",
) -> "Sequential of three Conv2d, the second in K groups":
    """1 x 1 from C to K channels, a kernel for each of them, then 1 x 1 from K to O."""
    check_one_group("outer_product_conv", layer)
    dtype = layer.weight.dtype
    U, V, kernels = (a.astype(dtype) for a in outer_products(layer.weight.data, n_terms))
    # each of the three layers gets the cube root of the size of a term
    size = np.linalg.norm(U, axis=0)
    root = np.cbrt(np.where(size > 0, size, 1))
    first = (V * root).T[:, :, None, None]                 # (K, C, 1, 1)
    depthwise = (kernels * root[:, None, None])[:, None]   # (K, 1, kh, kw)
    last = (U / root ** 2)[:, :, None, None]               # (O, K, 1, 1)
    return Sequential(
        conv_like(layer, first, stride=1, padding=0, bias=False),
        conv_like(layer, depthwise, layer.stride, layer.padding, bias=False, groups=n_terms),
        conv_like(layer, last, stride=1, padding=0))


@checked
def outer_work(
    n_terms: "int >= 1; K",
    n_channels: "int >= 1; C",
    n_filters: "int >= 1; O",
    *,
    area: "int >= 1; kh kw",
    stride: "int >= 1; s, the stride down times the stride across" = 1,
) -> "int":
    """Multiplications of `outer_product_conv` for each pixel of the output.

        K (s C + kh kw + O)

    The input has s pixels for each of the output, apart from the borders of the image.
    """
    return n_terms * (stride * n_channels + area + n_filters)
