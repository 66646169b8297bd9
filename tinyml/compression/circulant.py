"""Circulant matrices: n numbers in place of n^2, multiplied by the fast Fourier transform.

Problem: a layer from n inputs to n outputs has n^2 weights. Most are redundant, but methods that
leave some out need training, and must store which ones stay.

Idea: choose the structure beforehand. In a circulant matrix each column is the one before, shifted
down by one with wrap-around, so the first column r says it all:

        r_0   r_2   r_1
    C = r_1   r_0   r_2        C_ij = r_((i - j) mod n)
        r_2   r_1   r_0

Then C x is the circular convolution of r and x, a product of numbers after a Fourier transform F:

    y = C x = F^-1(F r * F x)

It takes O(n log n) operations, and so do its gradients, which are products with circulant matrices
too (g = dL/dy, ' transposes, a bar is the complex conjugate):

    dL/dx = C' g = F^-1(bar(F r) * F g),      dL/dr = F^-1(bar(F x) * F g)

A matrix of another shape is cut into square blocks of side b, each a circulant matrix
(`circulant_layers`).

Sources: MATH5836 week 10, section 10.2.3 (fewer numbers for a matrix); Cheng, Yu, Feris, Kumar,
Choudhary and Chang 2015, An exploration of parameter redundancy in deep networks with circulant
projections; Ding et al. 2017, CirCNN, for blocks; Chan 1988, An optimal
circulant preconditioner for Toeplitz systems, for the nearest circulant matrix.
"""
import numpy as np

from tinyml.contract import checked
from tinyml.tensor import primitive


@checked
def circulant(r: "array_like, shape (..., n)") -> "ndarray, shape (..., n, n)":
    """The circulant matrix whose first column is r.

        C_ij = r_((i - j) mod n)

    >>> circulant([1, 2, 3])
    array([[1., 3., 2.],
           [2., 1., 3.],
           [3., 2., 1.]])
    """
    i = np.arange(r.shape[-1])
    return r[..., (i[:, None] - i) % len(i)]


@primitive
def circulant_product(x, r):
    """The product y = C x for the circulant matrix C with the first column r.

        y = F^-1(F r * F x),    dL/dx = F^-1(bar(F r) * F g),    dL/dr = F^-1(bar(F x) * F g)

    (Cheng et al. 2015.) In the backward pass the engine sums dL/dr over the rows of x.

    Parameters
    ----------
    x : Tensor, shape (..., n)
    r : Tensor, shape (n,), n >= 1

    Returns
    -------
    Tensor, shape (..., n)
    """
    if r.ndim != 1 or not r.size or x.shape[-1:] != r.shape:
        raise ValueError("circulant_product: x must have shape (..., n) and r (n,), n >= 1, got "
                         f"{x.shape} and {r.shape}")
    n = len(r)
    X, R = np.fft.rfft(x), np.fft.rfft(r)    # of real numbers: half of the frequencies

    def d_x(g):
        return np.fft.irfft(R.conj() * np.fft.rfft(g), n)

    def d_r(g):
        return np.fft.irfft(X.conj() * np.fft.rfft(g), n)
    return np.fft.irfft(R * X, n), (d_x, d_r)


@primitive
def block_product(x, r):
    """The product y = W x for a matrix W of p x q circulant blocks of side b.

        y_i = sum_j C_ij x_j,    C_ij circulant with the first column r_ij

    After a Fourier transform of all blocks this is, at each frequency, the product of a complex
    matrix (p, q) and a vector (q,). dL/dx is g times the conjugate of that matrix, transposed;
    dL/dr is a product of g and the conjugate of x.

    Parameters
    ----------
    x : Tensor, shape (N, q b)
    r : Tensor, shape (p, q, b)

    Returns
    -------
    Tensor, shape (N, p b)
    """
    if r.ndim != 3 or not r.size or x.ndim != 2 or x.shape[1] != r.shape[1] * r.shape[2]:
        raise ValueError("block_product: x must have shape (N, q b) and r (p, q, b), got "
                         f"{x.shape} and {r.shape}")
    b = r.shape[2]
    R = np.fft.rfft(r).transpose(2, 0, 1)    # (frequencies, p, q)
    X = _spectrum(x, b)                      # (frequencies, N, q)

    def d_x(g):
        # at each frequency: (N, p) times (p, q)
        return _from_spectrum(_spectrum(g, b) @ R.conj(), b)

    def d_r(g):
        # at each frequency: (p, N) times (N, q), a sum over the rows of x
        D = _spectrum(g, b).transpose(0, 2, 1) @ X.conj()    # (frequencies, p, q)
        return np.fft.irfft(D.transpose(1, 2, 0), b)
    return _from_spectrum(X @ R.transpose(0, 2, 1), b), (d_x, d_r)


def _spectrum(x, b):
    """The Fourier transform of each block of b numbers: (N, q b) to (frequencies, N, q)."""
    return np.fft.rfft(x.reshape(len(x), x.shape[1] // b, b)).transpose(2, 0, 1)


def _from_spectrum(Y, b):
    """Its inverse: (frequencies, N, p) to (N, p b)."""
    y = np.fft.irfft(Y.transpose(1, 2, 0), b)
    return y.reshape(len(y), y.shape[1] * b)


# ------------------------------------------------------------ from a full matrix

@checked
def nearest_circulant(
    weight: "array_like, shape (..., n, n), n >= 1; a matrix W or several",
) -> "ndarray, shape (..., n)":
    """The first column r of the circulant matrix C with the least ||W - C||_F.

        r_k = mean of W_ij over i - j = k mod n

    the mean of a diagonal that goes on at the other side of W (Chan 1988).

    >>> nearest_circulant([[1, 5], [3, 2]])
    array([1.5, 4. ])
    """
    j = k = np.arange(weight.shape[-1])
    i = (j + k[:, None]) % len(j)    # row k of i: where diagonal k is, in columns j = 0, 1, ...
    return weight[..., i, j].mean(axis=-1)


@checked
def nearest_blocks(
    weight: "array_like, shape (m, n), m and n >= 1; W",
    *,
    block: "int >= 1; side b of a block",
) -> "ndarray, shape (p, q, b), where p = m / b and q = n / b, rounded up":
    """The first columns of the circulant blocks with the least distance from a matrix W.

    Entries beyond the edges of W, which fill the last blocks up, do not count. Where a diagonal of
    a block has no entry of W, the number is 0.
    """
    mean = nearest_circulant(_blocks(weight, block))    # as if W were 0 beyond its edges
    # the fraction of each diagonal that lies in W
    inside = nearest_circulant(_blocks(np.ones_like(weight), block))
    return mean / np.where(inside > 0, inside, 1)


def _blocks(W, b):
    """The blocks (p, q, b, b) of a matrix (m, n), filled up with zeros."""
    m, n = W.shape
    filled = np.pad(W, ((0, -m % b), (0, -n % b)))
    p, q = len(filled) // b, filled.shape[1] // b
    return filled.reshape(p, b, q, b).transpose(0, 2, 1, 3)
