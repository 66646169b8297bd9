"""The laws of sparse matrices: they equal the dense ones, and hold less."""
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from strategies import rngs

from tinyml import Tensor, nn
from tinyml.compression.sparse import (
    CSR,
    SparseLinear,
    _fast_matmul,
    matmul,
    rows_of,
    to_csr,
    to_dense,
)
from tinyml.compression.weight_sharing import share_weights
from tinyml.nn.skeleton import describe, rebuild

EPS = np.finfo(np.float64).eps


@st.composite
def matrices(draw):
    """Whole numbers, of any density, with rows and columns of zeros, also without rows or columns."""
    rng, m, n = draw(rngs), draw(st.integers(0, 6)), draw(st.integers(0, 6))
    matrix = rng.integers(-4, 5, (m, n)) * (rng.random((m, n)) < draw(st.floats(0, 1)))
    return (matrix * (rng.random((m, 1)) < 0.7)).astype(np.float64)


@given(matrices(), st.sampled_from([1.0, 2.0 ** -60]))
def test_there_and_back_nothing_is_lost(matrix, scale):
    """Of very small values, too: only zeros are left out."""
    matrix = scale * matrix
    csr = to_csr(matrix)
    assert_array_equal(to_dense(csr), matrix, strict=True)
    assert len(csr.values) == np.count_nonzero(matrix) and csr.values.all()
    assert_array_equal(rows_of(csr), np.nonzero(matrix)[0])
    assert (np.diff(csr.starts) == np.count_nonzero(matrix, axis=1)).all()
    assert csr.nbytes == 9 * len(csr.values) + 4 * (len(matrix) + 1)    # float64, uint8, int32


@pytest.mark.parametrize("n, kind", [(1, np.uint8), (256, np.uint8), (257, np.uint16), (65537, np.uint32)])
def test_columns_are_as_small_as_the_matrix_allows(n, kind):
    matrix = np.zeros((1, n), np.float32)
    matrix[0, -1] = 3
    assert to_csr(matrix).columns.dtype == kind
    assert_array_equal(to_dense(to_csr(matrix)), matrix, strict=True)
    matrix[0] = [4, *[0] * (n - 1)]    # wherever its values are
    assert to_csr(matrix).columns.dtype == to_csr(0 * matrix).columns.dtype == kind


floats = st.sampled_from([np.float32, np.float64])


both = pytest.mark.parametrize("product", [matmul, _fast_matmul])


@both
@given(matrix=matrices(), rng=rngs, k=st.sampled_from([(), (1,), (3,), (0,)]), kind=floats, other=floats)
@example(matrix=np.arange(12.0).reshape(4, 3) % 4 + 1, rng=np.random.default_rng(0), k=(), kind=np.float64,
         other=np.float64)
@example(matrix=np.eye(2), rng=np.random.default_rng(0), k=(3,), kind=np.float64, other=np.float64)
def test_the_product_is_the_dense_one(product, matrix, rng, k, kind, other):
    """Sums of at most 6 products, in any order: 6 eps of the sum of their sizes."""
    matrix, x = matrix.astype(kind), rng.standard_normal((matrix.shape[1], *k)).astype(other)
    y = product(to_csr(matrix), x)
    assert y.shape == (len(matrix), *k) and y.dtype == np.result_type(kind, other)
    assert_allclose(y, matrix @ x, atol=6 * np.finfo(y.dtype).eps * 24 * max(1, np.abs(x).max(initial=0)))


@pytest.mark.parametrize("k", [1, 50, 51])
def test_the_fast_product_agrees_with_the_plain_one_on_either_side_of_its_limit(k):
    """20 products a row and column: beyond 1,000 a row the loop takes over. 20 terms of size 1."""
    rng = np.random.default_rng(0)
    csr = to_csr(rng.uniform(-1, 1, (30, 20)))
    x = rng.uniform(-1, 1, (20, k))
    assert_allclose(_fast_matmul(csr, x), matmul(csr, x), atol=20 * 20 * EPS)


@both
def test_zeros_take_no_memory(product):
    """The dense matrix would have 480 GB."""
    m, n = 20_000, 3_000_000
    starts = np.repeat(np.array([0, 1, 3], np.int32), [10, m - 20, 11])    # a value in row 9, two in row m - 11
    csr = CSR(np.array([2.0, 3.0, 4.0]), np.array([n - 1, 0, 5], np.uint32), starts, (m, n))
    y = product(csr, np.arange(n))
    assert np.flatnonzero(y).tolist() == [9, m - 11] and y[[9, m - 11]].tolist() == [2.0 * (n - 1), 20.0]


@given(rngs, st.floats(0, 1), st.booleans())
def test_a_sparse_layer_computes_what_the_dense_one_does_with_a_product_per_weight(rng, density, bias):
    layer = nn.Linear(5, 4, bias, rng=rng)
    layer.weight.data = np.where(rng.random((4, 5)) < density, layer.weight.data, np.float32(0))
    sparse, x = SparseLinear.from_linear(layer), Tensor(rng.standard_normal((2, 3, 5)).astype(np.float32))
    y = sparse(x)
    assert_allclose(y.data, layer(x).data, atol=1e-5)
    assert y.shape == (2, 3, 4) and y.dtype == np.float32
    assert sparse.macs(x, y) == 6 * np.count_nonzero(layer.weight.data)
    assert not bias or not np.shares_memory(sparse.bias, layer.bias.data)
    again = rebuild(*describe(sparse))
    assert again(x).data.tobytes() == y.data.tobytes() and not sparse.parameters()


def test_a_shared_weight_becomes_sparse_and_other_layers_are_refused():
    rng = np.random.default_rng(0)
    layer, x = nn.Linear(5, 4, rng=rng), Tensor(rng.standard_normal((3, 5)).astype(np.float32))
    layer.weight.data[::2] = 0
    share_weights(layer, bits=2)
    sparse = SparseLinear.from_linear(layer)
    assert len(sparse.values) == 10
    assert_allclose(sparse(x).data, layer(x).data, atol=1e-6)
    for other in (nn.Conv1d(2, 2, 1, rng=rng), nn.ReLU(), type("Own", (nn.Linear,), {"forward": lambda s, x: x})(
            2, 2, rng=rng)):
        with pytest.raises(TypeError, match="^SparseLinear.from_linear: layer must be a Linear that .*, got "):
            SparseLinear.from_linear(other)


def test_x_must_have_a_row_for_each_column():
    with pytest.raises(ValueError, match=r"^matmul: x must be ndarray, shape \(n,\) or \(n, k\) with n = 2, got shape"):
        matmul(to_csr(np.eye(2)), np.ones(3))


def test_a_sparse_layer_names_its_features():
    layer = SparseLinear.from_linear(nn.Linear(2, 1, rng=np.random.default_rng(0)))
    with pytest.raises(ValueError, match=r"^SparseLinear.forward: x .* \(..., in_features\).* with in_features = 2, got shape \(3,\)"):
        layer(np.ones(3))
