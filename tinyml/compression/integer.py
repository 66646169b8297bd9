"""Integer-only inference: layers without floats between their input codes and output codes.

Problem: if weights are stored as int8 but the products are computed in float32, the file is small
but the arithmetic costs as much as before. A processor without floating point, or one that
multiplies int8 faster, needs integers throughout.

Idea: let q1, q2, q3 be the codes of inputs r1 = S1 (q1 - Z1), of weights W = S2 q2 (with Z2 = 0),
and of outputs r3 = S3 (q3 - Z3). Then a layer r3 = W r1 + b is

    acc = sum (q1 - Z1) q2 + q_b                     int32, with q_b = round(b / (S1 S2))
    q3  = clip(Z3 + round(M acc), quant_min, quant_max)     uint8, with M = S1 S2 / S3

Only M is not an integer; `fixed_point` multiplies by M with integers. ReLU costs nothing: if the
range of the outputs begins at 0, then Z3 = quant_min, and the clip is the ReLU. `integer_model`
turns a whole network into such layers.

NumPy has no fast product of integers. So there are two ways to compute the same codes: with
integers only, or with float32 matrix products, cut into sums so short that they are exact.

Sources: Jacob et al. 2018, Quantization and training of neural networks for efficient
integer-arithmetic-only inference (sections 2.2 to 2.4, equations 2 to 7); MATH5836 week 10,
section 10.2.2.
"""
import numpy as np

from tinyml.check import check_padding, check_real
from tinyml.compression.fixed_point import INT32, quantize_multiplier, requantize
from tinyml.compression.quantization import channel_range, choose_qparams, quantize
from tinyml.contract import checked
from tinyml.nn import Module

# The smallest M = S1 S2 / S3 that is used: then a bias of up to 255 S3 has a code q_b below 2^30,
# half of what int32 holds. The other half is for the products (`_check_fits`).
SMALLEST_MULTIPLIER = 2.0 ** -22


@checked
class IntegerLayer(Module):
    """A Linear or convolution on codes: codes in, an int32 accumulator, codes out.

    The weights w_j of unit j have symmetric 8-bit codes with a step of their own, max |w_j| / 127.
    """

    def __init__(
        self,
        layer: "Module; with a finite weight: a Linear, Conv1d or Conv2d",
        inputs: "QParams; of the activations in front of the layer",
        outputs: "QParams; of the activations behind it",
    ):
        S1, S3 = float(inputs.scale), float(outputs.scale)
        smallest_step = SMALLEST_MULTIPLIER * S3 / S1
        weights = _weight_qparams(layer.weight.data, smallest_step)
        S2 = weights.scale.ravel()                                    # (units,)
        M = S1 * S2 / S3
        self.zero_in, self.zero_out = int(inputs.zero_point), int(outputs.zero_point)
        self.quant_min, self.quant_max = outputs.quant_min, outputs.quant_max
        largest, smallest = inputs.quant_max - self.zero_in, inputs.quant_min - self.zero_in
        self.reach = max(largest, -smallest)                          # the largest |q1 - Z1|
        self._check_fits(layer, M, S1 * S2, S3)
        self.weight = quantize(layer.weight.data.astype(np.float64), weights)    # q2, int8
        self.bias = self._bias_codes(layer, S1 * S2)                             # q_b, int32
        self.multiplier, self.shift = quantize_multiplier(M)

    def forward(self, codes, fast=True):
        """The codes of the outputs. `fast` changes the time, not the result."""
        acc = self.accumulate(codes, fast)
        q3 = requantize(acc, self.multiplier, self.shift, zero_point=self.zero_out,
                        quant_min=self.quant_min, quant_max=self.quant_max)
        return self.to_outputs(q3)

    def accumulate(self, codes, fast=True):
        """acc = sum (q1 - Z1) q2 + q_b, int32, shape (..., units)."""
        x = codes.astype(np.int32) - np.int32(self.zero_in)       # q1 - Z1
        rows = self.to_rows(x)                                    # (..., k)
        q2 = self.weight.reshape(len(self.weight), -1).T          # (k, units)
        return self.product(rows, q2, fast) + self.bias

    def product(self, rows, q2, fast):
        """The sums of rows (..., k) times weights (k, units), shape (..., units)."""
        if fast:
            return _exact_matmul(rows, q2, self.reach)
        return rows @ q2.astype(np.int32)

    def to_rows(self, x):
        """The k inputs of each sum on the last axis, shape (..., k)."""
        return x

    def to_outputs(self, codes):
        """The codes (..., units) in the layout of the outputs."""
        return codes

    def macs(self, x, y):
        """Multiply-accumulates from x to y: for each output, one per weight of its unit."""
        return y.size * self.weight[0].size

    def extra_repr(self):
        return f"codes {self.quant_min}..{self.quant_max}, zero {self.zero_out}"

    def _bias_codes(self, layer, scale):
        if layer.bias is None:
            return np.zeros(len(scale), np.int32)
        bias = check_real(type(self).__name__, "bias", layer.bias.data)
        return np.clip(np.round(bias / scale), INT32.min // 2, INT32.max // 2).astype(np.int32)

    def _check_fits(self, layer, M, scale, S3):
        """Raise ValueError if a sum does not fit in int32, or if M > 1.

        `quantize_multiplier` takes M <= 1.
        """
        name, n_inputs = type(self).__name__, layer.weight[0].size
        # half of int32 is for the products, half for the bias; weights have codes up to 127
        most = INT32.max // 2 // self.reach // 127
        if (M > 1).any():
            raise ValueError(f"{name}: outputs must have a step of at least S1 S2 = "
                             f"{scale.max():.3g}, got {S3:.3g}; calibrate with inputs for which "
                             "every layer has outputs far from 0")
        if n_inputs > most:
            raise ValueError(f"{name}: a unit must have at most {most} inputs, got {n_inputs}; "
                             "its sums would not fit in int32")


def _weight_qparams(weight, smallest_step):
    """Symmetric 8-bit QParams with a step for each unit, of at least `smallest_step`.

    A unit of zeros gets `smallest_step`: the step 1 of `choose_qparams` could make M > 1.
    """
    params = choose_qparams(*channel_range(weight, axis=0), bits=8, symmetric=True)
    is_zero = ~weight.any(axis=tuple(range(1, weight.ndim)), keepdims=True)
    step = np.where(is_zero, smallest_step, np.maximum(params.scale, smallest_step))
    return params._replace(scale=step)


def _exact_matmul(x, w, largest):
    """x @ w of integers with |x| <= largest and |w| <= 127, by fast float32 products.

    A float32 holds every integer up to 2^24. So a sum of up to 2^24 / (127 largest) products is
    exact, in any order. For 8-bit codes that is 518 products. Longer sums are cut into such parts.
    """
    longest = 2 ** 24 // (127 * largest)
    x, w = x.astype(np.float32), w.astype(np.float32)
    total = 0
    for i in range(0, len(w), longest):
        part = x[..., i:i + longest] @ w[i:i + longest]
        total = total + part.astype(np.int32)
    return total


class IntegerLinear(IntegerLayer):
    """From codes (N, ..., in) to codes (N, ..., out)."""


class IntegerConv(IntegerLayer):
    """A convolution of codes of images, (N, C, H, W), or of series, (N, C, L).

    The padding is the number 0: its code is Z1, so q1 - Z1 = 0 is filled in.
    """
    dilation, groups = (1, 1), 1    # for files of older versions, which lack these settings

    def __init__(self, layer, inputs, outputs):
        super().__init__(layer, inputs, outputs)
        n_axes = layer.weight.ndim - 2
        self.stride = for_axes(layer.stride, n_axes)
        self.dilation, self.groups = for_axes(layer.dilation, n_axes), layer.groups
        self.padding = layer.padding
        if isinstance(layer.padding, str):
            self.padding = check_padding("IntegerConv", layer.padding, layer.weight.shape[2:],
                                         self.stride, self.dilation)
        self.padding = for_axes(self.padding, n_axes)

    def to_rows(self, x):
        kernel = self.weight.shape[2:]
        windows = windows_of(x, kernel, self.stride, self.padding, 0, self.dilation)
        n_axes = len(kernel)
        windows = np.moveaxis(windows, 1, 1 + n_axes)            # (N, H', W', C, kh, kw)
        shape = *windows.shape[:1 + n_axes], self.groups * self.weight[0].size
        return windows.reshape(shape)

    def product(self, rows, q2, fast):
        """Each group of units with its own part of the rows."""
        parts = zip(np.split(rows, self.groups, axis=-1), np.split(q2, self.groups, axis=-1))
        return np.concatenate([super(IntegerConv, self).product(x, q, fast) for x, q in parts],
                              axis=-1)

    def to_outputs(self, codes):
        return np.moveaxis(codes, -1, 1)                         # (N, O, H', W')


def for_axes(value, n_axes):
    """A setting, such as a stride, as a tuple of n_axes numbers.

    One number is repeated; of a longer tuple the last n_axes entries are taken.
    """
    return tuple(value)[-n_axes:] if isinstance(value, (tuple, list)) else (value,) * n_axes


def windows_of(x, kernel, stride, padding, fill, dilation=(1, 1)):
    """All windows under a kernel: images (N, C, H, W) give (N, C, H', W', kh, kw).

    Series (N, C, L) give (N, C, L', k). The padding holds `fill`; it is a number for
    each axis, or (before, after).
    """
    x = np.pad(x, [(0, 0), (0, 0), *(np.broadcast_to(p, 2) for p in padding)],
               constant_values=fill)
    axes = tuple(range(2, x.ndim))
    extent = [d * (k - 1) + 1 for k, d in zip(kernel, dilation)]
    windows = np.lib.stride_tricks.sliding_window_view(x, extent, axis=axes)
    strided = [slice(None, None, s) for s in stride]
    spread = [slice(None, None, d) for d, _ in zip(dilation, kernel)]
    return windows[(slice(None), slice(None), *strided, *spread)]
