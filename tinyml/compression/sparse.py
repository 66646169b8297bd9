"""Sparse matrices: only what is not zero is stored, and multiplied.

Problem: a pruned weight matrix has 90 % zeros, and takes as many bytes and as much time as before.

Idea: compressed sparse rows (CSR). List the values that are not zero row by row, beside each
its column, and for each row where its values begin:

    W = [[0, 7, 0],        values  = [7, 5, 6]
         [5, 0, 6],        columns = [1, 0, 2]
         [0, 0, 0]]        starts  = [0, 1, 3, 3]

Then y_i = sum over the values of row i of value x[column]: one multiplication for each value
that is there. Whether that is *faster* is another question. A dense product reads numbers in
order, several at a time, from memory that is near; a sparse one looks up each x. The demo
measures from which density it pays.

Sources: MATH5836 week 10, section 10.2.1; Saad 2003, Iterative methods for sparse linear systems
(section 3.4).
"""
from typing import NamedTuple

import numpy as np

from tinyml.check import check_real
from tinyml.nn import Linear, Module
from tinyml.tensor import Tensor


class CSR(NamedTuple):
    """A matrix of shape (m, n) in compressed sparse rows."""

    values: np.ndarray     # (nnz,), what is not zero, row by row
    columns: np.ndarray    # (nnz,), the column of each value, of the smallest unsigned dtype that n allows
    starts: np.ndarray     # (m + 1,), row i has the values starts[i] ... starts[i + 1] - 1; int32
    shape: tuple           # (m, n)

    @property
    def nbytes(self):
        """The bytes of the three arrays."""
        return self.values.nbytes + self.columns.nbytes + self.starts.nbytes


def to_csr(matrix):
    """The entries of a matrix that are not zero, in compressed sparse rows.

    Parameters
    ----------
    matrix : array_like, shape (m, n), real and finite; m or n may be 0

    Returns
    -------
    CSR, values of the dtype of the matrix; the dtype of the columns follows from n alone

    Raises
    ------
    TypeError, ValueError : the matrix is not real, not finite, or has not two axes

    Examples
    --------
    >>> to_csr([[0, 7.0], [5, 0], [0, 0]]).starts
    array([0, 1, 2, 2], dtype=int32)
    """
    matrix = check_real("to_csr", "matrix", matrix, ndim=2)
    rows, columns = np.nonzero(matrix)
    counts = np.bincount(rows, minlength=len(matrix))
    return CSR(matrix[rows, columns], columns.astype(np.min_scalar_type(max(matrix.shape[1] - 1, 0))),
               np.concatenate([[0], np.cumsum(counts)]).astype(np.int32), matrix.shape)


def to_dense(csr):
    """The matrix (m, n) of a `CSR`, zeros filled in."""
    matrix = np.zeros(csr.shape, csr.values.dtype)
    matrix[rows_of(csr), csr.columns] = csr.values
    return matrix


def rows_of(csr):
    """The row of each value, ndarray of shape (nnz,)."""
    return np.repeat(np.arange(csr.shape[0]), np.diff(csr.starts))


def matmul(csr, x):
    """W x for a sparse W: y_i = sum over the values of row i of value x[column].

    Only the values that are there are multiplied: nnz k products in place of m n k. There is
    no dense (m, n).

    Parameters
    ----------
    csr : CSR of a matrix (m, n)
    x : array_like, shape (n,) or (n, k)

    Returns
    -------
    ndarray, shape (m,) or (m, k), of the dtype of a product of a value and an entry of x

    Raises
    ------
    ValueError : x has not n rows
    """
    x = np.asarray(x)
    if x.ndim not in (1, 2) or len(x) != csr.shape[1]:
        raise ValueError(f"matmul: x must have shape (n,) or (n, k) with n = {csr.shape[1]}, got "
                         f"{x.shape}")
    terms = csr.values.reshape(-1, *[1] * (x.ndim - 1)) * x[csr.columns]    # (nnz, ...)
    y = np.zeros((csr.shape[0], *x.shape[1:]), terms.dtype)
    filled = np.flatnonzero(np.diff(csr.starts))    # to an empty row reduceat would give the next term
    if filled.size:
        y[filled] = np.add.reduceat(terms, csr.starts[filled], axis=0)
    return y


class SparseLinear(Module):
    """y = x W' + b with W in compressed sparse rows: for inference, nothing in it is trained.

    Attributes
    ----------
    values, columns, starts : ndarrays, as in `CSR`
    bias : ndarray, shape (out_features,), or None
    """

    @classmethod
    def from_linear(cls, layer):
        """The layer's weights that are not zero, copied, and its bias.

        A weight that is computed, such as a shared one, is computed once. Raises TypeError if
        the layer is no Linear or has a forward of its own, ValueError if a weight is not
        finite.
        """
        if getattr(type(layer), "forward", None) is not Linear.forward:
            raise TypeError("SparseLinear.from_linear: layer must be a Linear that computes "
                            f"x W' + b, got {type(layer).__name__}")
        self, csr = cls(), to_csr(layer.weight.data)
        self.values, self.columns, self.starts, self.shape = csr
        self.bias = None if layer.bias is None else layer.bias.data.copy()
        return self

    @property
    def csr(self):
        """The weight as a `CSR`."""
        return CSR(self.values, self.columns, self.starts, self.shape)

    def forward(self, x):
        x = x.data if isinstance(x, Tensor) else np.asarray(x)
        if x.shape[-1:] != self.shape[1:]:
            raise ValueError(f"SparseLinear: x must have shape (..., in_features={self.shape[1]}), got "
                             f"{x.shape}")
        y = matmul(self.csr, x.reshape(-1, x.shape[-1]).T).T
        y = y if self.bias is None else y + self.bias
        return Tensor(y.reshape(*x.shape[:-1], self.shape[0]))

    def macs(self, x, y):
        return y.size // max(self.shape[0], 1) * len(self.values)

    def extra_repr(self):
        m, n = self.shape
        return f"{n}, {m}, {len(self.values)} of {m * n} not zero"
