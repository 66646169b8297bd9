"""Circulant layers: a `Linear` whose matrix is made of circulant blocks.

Problem: `circulant` multiplies by a matrix of n numbers in place of n^2. What is a layer of any
shape that computes so, and can be trained?

Idea: cut its matrix into circulant blocks of side b. Inputs and outputs are filled up to multiples
of b. A small b means more numbers, and more freedom: b = 1 is a full matrix.

All rows of a circulant matrix have the same sum. So if all inputs are positive, as pixels are,
their mean adds the same number to every unit, and all ReLUs may be off. Therefore random signs D,
drawn once, flip the inputs:

    y = C D x + bias

Sources: MATH5836 week 10, section 10.2.3 (fewer numbers for a matrix); Cheng, Yu, Feris, Kumar,
Choudhary and Chang 2015, An exploration of parameter redundancy in deep networks with circulant
projections (the signs); Ding et al. 2017, CirCNN, for blocks.
"""
import copy
import math

import numpy as np

from tinyml import ops
from tinyml.compression.circulant import block_product, circulant, nearest_blocks
from tinyml.contract import checked
from tinyml.nn import Linear, Module, Parameter
from tinyml.nn.layers import value_of
from tinyml.nn.users import LAST, users
from tinyml.nn.weights import all_weights, check_weights, nothing_to_do, swap, warn_left
from tinyml.tensor import Tensor, as_tensor


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
