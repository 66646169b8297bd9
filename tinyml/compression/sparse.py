"""Sparse matrices: only the nonzero weights are stored and multiplied.

Problem: a pruned weight matrix has 90 % zeros, and takes as many bytes and as much time as before.

Idea: compressed sparse rows (CSR). List the nonzero values row by row, the column of each, and for
each row where its values start:

    W = [[0, 7, 0],        values  = [7, 5, 6]
         [5, 0, 6],        columns = [1, 0, 2]
         [0, 0, 0]]        starts  = [0, 1, 3, 3]

Then y = W x needs one multiplication for each value. Is that *faster*? A dense product reads
memory in order, several numbers at a time. A sparse product must look up an entry of x for each
value. The demo measures how sparse a matrix must be before the sparse product is faster.

Sources: MATH5836 week 10, section 10.2.1; Saad 2003, Iterative methods for sparse linear systems
(section 3.4).
"""
from typing import NamedTuple

import numpy as np

from tinyml.contract import checked
from tinyml.nn import Linear, Module
from tinyml.tensor import Tensor


class CSR(NamedTuple):
    """A matrix of shape (m, n) in compressed sparse rows."""

    values: np.ndarray     # (nnz,), the nonzero entries, row by row
    columns: np.ndarray    # (nnz,), the column of each value, of the smallest unsigned dtype
    starts: np.ndarray     # (m + 1,), int32: row i has the values starts[i] ... starts[i + 1] - 1
    shape: tuple           # (m, n)

    @property
    def nbytes(self):
        """The bytes of the three arrays."""
        return self.values.nbytes + self.columns.nbytes + self.starts.nbytes


@checked
def to_csr(matrix: "array_like, shape (m, n)"):
    """The nonzero entries of a matrix, in compressed sparse rows.

    Returns
    -------
    CSR : values of the dtype of the matrix; columns of the smallest dtype that holds n - 1
    """
    m, n = matrix.shape
    rows, columns = np.nonzero(matrix)                    # in reading order
    counts = np.bincount(rows, minlength=m)
    starts = np.zeros(m + 1, np.int32)
    starts[1:] = np.cumsum(counts)
    smallest = np.min_scalar_type(max(n - 1, 0))
    return CSR(matrix[rows, columns], columns.astype(smallest), starts, (m, n))


@checked
def to_dense(csr: "CSR"):
    """The matrix (m, n) with its zeros filled in."""
    matrix = np.zeros(csr.shape, csr.values.dtype)
    matrix[rows_of(csr), csr.columns] = csr.values
    return matrix


def rows_of(csr):
    """The row of each value, ndarray of shape (nnz,)."""
    return np.repeat(np.arange(csr.shape[0]), np.diff(csr.starts))


@checked
def matmul(
    csr: "CSR, shape (m, n); W",
    x: "ndarray, shape (n,) or (n, k)",
) -> "ndarray, shape (m,) or (m, k)":
    """The product y = W x, with one multiplication for each nonzero weight (notes 10.2.1).

        y_i = sum of value * x[column] over the values of row i
    """
    values, columns, starts, (m, _) = csr
    y = np.zeros((m, *x.shape[1:]), np.result_type(values, x))
    for i in range(m):
        row = slice(starts[i], starts[i + 1])    # where the nonzero weights of row i stand
        y[i] = values[row] @ x[columns[row]]    # notes 10.2.1, sparse forward
    return y


def _fast_matmul(csr, x):
    """The product of `matmul`, much faster if x is a single vector.

    All products value * x[column] are computed first, then one sum for each row. If these products
    are too many for the cache, the loop of `matmul` is faster.
    """
    m, _ = csr.shape
    n_products = len(csr.values) * x[:1].size
    if n_products > 1000 * m:
        return matmul(csr, x)
    products = (csr.values * x[csr.columns].T).T      # (nnz,) or (nnz, k)
    y = np.zeros((m, *x.shape[1:]), products.dtype)
    # only rows with values: the sum of reduceat for an empty row is not 0
    filled = np.flatnonzero(np.diff(csr.starts))
    if len(filled):
        y[filled] = np.add.reduceat(products, csr.starts[filled], axis=0)
    return y


class SparseLinear(Module):
    """y = x W' + b with W in compressed sparse rows, for inference: it has no parameters."""

    @classmethod
    def from_linear(cls, layer):
        """Copy the nonzero weights and the bias of a Linear; its weight may be computed."""
        if getattr(type(layer), "forward", None) is not Linear.forward:
            raise TypeError("SparseLinear.from_linear: layer must be a Linear that computes "
                            f"x W' + b, got {type(layer).__name__}")
        self, csr = cls(), to_csr(layer.weight.data)
        self.values, self.columns, self.starts, (self.out_features, self.in_features) = csr
        self.bias = None if layer.bias is None else layer.bias.data.copy()
        return self

    @property
    def csr(self):
        """The weight as a `CSR`."""
        shape = self.out_features, self.in_features
        return CSR(self.values, self.columns, self.starts, shape)

    @checked
    def forward(self, x: "ndarray, shape (..., in_features), may hold NaN"):
        """x W' + b, a Tensor of shape (..., out_features)."""
        rows = x.reshape(-1, self.in_features)
        y = _fast_matmul(self.csr, rows.T).T
        if self.bias is not None:
            y = y + self.bias
        return Tensor(y.reshape(*x.shape[:-1], self.out_features))

    def macs(self, x, y):
        n_samples = y.size // max(self.out_features, 1)
        return n_samples * len(self.values)

    def extra_repr(self):
        size = self.in_features * self.out_features
        return f"{self.in_features}, {self.out_features}, {len(self.values)} of {size} not zero"
