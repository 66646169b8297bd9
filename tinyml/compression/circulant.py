"""Circulant layers: n numbers in place of n^2, multiplied by the fast Fourier transform.

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

A layer of another shape is cut into square blocks of side b, each a circulant matrix. Inputs and
outputs are filled up to multiples of b. A small b means more numbers, and more freedom: b = 1 is a
full matrix.

All rows of a circulant matrix have the same sum. So if all inputs are positive, as pixels are,
their mean adds the same number to every unit, and all ReLUs may be off. Therefore random signs D,
drawn once, flip the inputs: y = C D x.

Sources: MATH5836 week 10, section 10.2.3 (fewer numbers for a matrix); Cheng, Yu, Feris, Kumar,
Choudhary and Chang 2015, An exploration of parameter redundancy in deep networks with circulant
projections; Ding et al. 2017, CirCNN, for blocks; Chan 1988, An optimal
circulant preconditioner for Toeplitz systems, for the nearest circulant matrix.
"""
import copy
import math

import numpy as np

from tinyml import ops
from tinyml.contract import checked
from tinyml.nn import Linear, Module, Parameter
from tinyml.nn.layers import value_of
from tinyml.nn.users import LAST, users
from tinyml.nn.weights import all_weights, check_weights, nothing_to_do, swap, warn_left
from tinyml.tensor import Tensor, as_tensor, primitive


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

    so, at each frequency, a product of a matrix (p, q) and a vector (q,) of complex numbers.

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
        return _from_spectrum(_spectrum(g, b) @ R.conj(), b)

    def d_r(g):
        D = _spectrum(g, b).transpose(0, 2, 1) @ X.conj()    # (frequencies, p, q)
        return np.fft.irfft(D.transpose(1, 2, 0), b)
    return _from_spectrum(X @ R.transpose(0, 2, 1), b), (d_x, d_r)


def _spectrum(x, b):
    """The Fourier transforms of the blocks of each row: (N, q b) to (frequencies, N, q)."""
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
    i = (j + k[:, None]) % len(j)    # i[k, j] - j = k mod n
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


# ------------------------------------------------------------ layers

@checked
class CirculantLinear(Module):
    """y = C D x + bias with circulant blocks C and random signs D: a `Linear` with few weights.

    It has about 1 / block of the weights of a Linear, and a fixed sign for each input.

    Shapes: x (..., in_features), y (..., out_features), weight (p, q, block), the first columns of
    the blocks, bias (out_features,), signs (in_features,).
    """

    def __init__(
        self,
        in_features: "int >= 1",
        out_features: "int >= 1",
        *,
        block: "int >= 1; side of a block; max(in_features, out_features) is a single "
               "circulant matrix",
        bias: "bool" = True,
        rng: "numpy.random.Generator",
    ):
        self.in_features, self.out_features, self.block = in_features, out_features, block
        p, q = -(-out_features // block), -(-in_features // block)
        bound = 1 / math.sqrt(in_features)    # as in `Linear`
        weight = rng.uniform(-bound, bound, (p, q, block)).astype(np.float32)
        self.weight, self.bias = Parameter(weight), None
        if bias:
            self.bias = Parameter(rng.uniform(-bound, bound, out_features).astype(np.float32))
        self.signs = Tensor(rng.choice(np.array([-1, 1], np.float32), in_features))

    @classmethod
    @checked
    def from_linear(cls, layer: "Linear", *, block: "int >= 1"):
        """The nearest layer of circulant blocks to a Linear, with its bias and without flips."""
        self = object.__new__(cls)
        self.in_features, self.out_features = layer.in_features, layer.out_features
        self.block = block
        weight = nearest_blocks(layer.weight.data, block=block)
        self.weight = Parameter(weight, layer.weight.requires_grad)
        self.bias = copy.deepcopy(layer.bias)
        self.signs = Tensor(np.ones(layer.in_features, weight.dtype))
        return self.train(layer.training)

    def forward(self, x):
        x, weight = as_tensor(x), value_of(self.weight)
        if x.ndim == 0 or x.shape[-1] != self.in_features:
            raise ValueError(f"CirculantLinear: x must have shape (..., in_features="
                             f"{self.in_features}), got {x.shape}")
        n_filled = weight.shape[1] * self.block - self.in_features
        rows = x.reshape(math.prod(x.shape[:-1]), self.in_features) * self.signs
        filled = ops.pad(rows, pad_width=((0, 0), (0, n_filled)))
        y = block_product(filled, weight)[:, :self.out_features]
        y = y if self.bias is None else y + self.bias
        return y.reshape(*x.shape[:-1], self.out_features)

    def matrix(self):
        """The full matrix W = C D, shape (out_features, in_features)."""
        blocks = circulant(value_of(self.weight).data)    # (p, q, b, b)
        p, q, b, _ = blocks.shape
        whole = blocks.transpose(0, 2, 1, 3).reshape(p * b, q * b)
        return whole[:self.out_features, :self.in_features] * self.signs.data

    def macs(self, x, y):
        """b log2 b for each Fourier transform, and 4 for each product of complex numbers."""
        p, q, b = self.weight.shape
        n_samples = y.size // self.out_features
        per_sample = (p + q) * b * math.log2(b) + 4 * p * q * (b // 2 + 1)
        return round(n_samples * per_sample)

    def extra_repr(self):
        bias = "" if self.bias is not None else ", bias=False"
        return f"{self.in_features}, {self.out_features}, block={self.block}{bias}"


@checked
def make_circulant(
    model: "Module; with a Linear besides the last",
    *,
    block: "int >= 1",
):
    """A copy of a model with the nearest `CirculantLinear` in place of each Linear but the last.

    Train it further: few trained matrices are nearly circulant. A warning names the other weights.
    """
    check_weights("make_circulant", {path: weight for path, _, weight in all_weights(model)})
    model = copy.deepcopy(model)
    found, left = {}, {}
    # user.layer multiplies by the weight at path; user.why says why it must stay, or is None
    for path, user in users(model).items():
        if user.why or not isinstance(user.layer, Linear):
            left[path] = user.why or "no weight of a Linear"
        else:
            found[user.layer] = CirculantLinear.from_linear(user.layer, block=block)
    if not found:
        raise ValueError(nothing_to_do("make_circulant", model, left))
    warn_left("make_circulant", {path: why for path, why in left.items() if why != LAST})
    swap(model, found)
    return model
