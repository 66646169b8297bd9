"""Integer-only inference: layers without floats between their input codes and output codes.

Problem: weights that are stored as int8, but computed with in float32, are small and cost as much
arithmetic as before. A processor without floating point, or one that multiplies int8 faster, needs
integers throughout.

Idea: let r = S (q - Z) for inputs (1), weights (2, with Z2 = 0) and outputs (3). Then a layer
r3 = W r1 + b is

    acc = sum (q1 - Z1) q2 + q_b                     int32, with q_b = round(b / (S1 S2))
    q3  = clip(Z3 + M acc, quant_min, quant_max)     uint8, with M = S1 S2 / S3

Only M is not an integer; `fixed_point` multiplies by it with integers. ReLU costs nothing: if the
range of the outputs begins at 0, then Z3 = quant_min, and the clip is the ReLU. `integer_model`
turns a whole network into such layers.

NumPy has no fast product of integers. So there are two ways to the same codes: with integers only,
and with float32 products that are short enough to be exact.

Sources: Jacob et al. 2018, Quantization and training of neural networks for efficient
integer-arithmetic-only inference (sections 2.2 to 2.4, equations 2 to 7); MATH5836 week 10,
section 10.2.2.
"""
import numpy as np

from tinyml.check import check_real
from tinyml.compression.fixed_point import INT32, quantize_multiplier, requantize
from tinyml.compression.quantization import channel_range, choose_qparams, quantize
from tinyml.contract import checked
from tinyml.nn import Module

FINEST = 2.0 ** -22    # the smallest S1 S2 / S3: a bias of up to 255 S3 then has a code below 2^30


@checked
class IntegerLayer(Module):
    """A Linear or convolution on codes: codes in, an int32 accumulator, codes out.

    The weights w_k of unit k have symmetric 8-bit codes with a step of their own, max |w_k| / 127.

    Parameters
    ----------
    layer : Module, with a finite weight: a Linear, Conv1d or Conv2d
    inputs, outputs : QParams, of the activations in front of the layer and behind it
    """

    def __init__(self, layer, inputs, outputs):
        S1, S3 = float(inputs.scale), float(outputs.scale)
        weights = _weight_qparams(layer.weight.data, finest=FINEST * S3 / S1)
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
        """The codes of the outputs, the same if fast or not."""
        acc = self.accumulate(codes, fast)
        q3 = requantize(acc, self.multiplier, self.shift, zero_point=self.zero_out,
                        quant_min=self.quant_min, quant_max=self.quant_max)
        return self.to_outputs(q3)

    def accumulate(self, codes, fast=True):
        """acc = sum (q1 - Z1) q2 + q_b, int32, shape (..., units)."""
        x = codes.astype(np.int32) - np.int32(self.zero_in)       # q1 - Z1
        rows = self.to_rows(x)                                    # (..., k)
        q2 = self.weight.reshape(len(self.weight), -1).T          # (k, units)
        if fast:
            return _exact_matmul(rows, q2, self.reach) + self.bias
        return rows @ q2.astype(np.int32) + self.bias

    def to_rows(self, x):
        """The k inputs of each sum on the last axis, shape (..., k)."""
        return x

    def to_outputs(self, codes):
        """The codes (..., units) in the layout of the outputs."""
        return codes

    def macs(self, x, y):
        return y.size * self.weight[0].size

    def extra_repr(self):
        return f"codes {self.quant_min}..{self.quant_max}, zero {self.zero_out}"

    def _bias_codes(self, layer, scale):
        if layer.bias is None:
            return np.zeros(len(scale), np.int32)
        bias = check_real(type(self).__name__, "bias", layer.bias.data)
        return np.clip(np.round(bias / scale), INT32.min // 2, INT32.max // 2).astype(np.int32)

    def _check_fits(self, layer, M, scale, S3):
        """Raise ValueError unless M <= 1 and every sum fits in int32."""
        name, n_inputs = type(self).__name__, layer.weight[0].size
        most = INT32.max // 2 // self.reach // 127
        if (M > 1).any():
            raise ValueError(f"{name}: outputs must have a step of at least S1 S2 = "
                             f"{scale.max():.3g}, got {S3:.3g}; calibrate with inputs that excite "
                             "every layer")
        if n_inputs > most:
            raise ValueError(f"{name}: a unit must have at most {most} inputs, got {n_inputs}; "
                             "its sums would not fit in int32")


def _weight_qparams(weight, finest):
    """Symmetric 8-bit QParams with a step for each unit, of at least `finest`."""
    params = choose_qparams(*channel_range(weight, axis=0), bits=8, symmetric=True)
    is_zero = ~weight.any(axis=tuple(range(1, weight.ndim)), keepdims=True)
    return params._replace(scale=np.where(is_zero, finest, np.maximum(params.scale, finest)))


def _exact_matmul(x, w, largest):
    """x @ w of integers, |x| <= largest and |w| <= 127, by fast float32 products.

    A float32 holds every integer up to 2^24. So a sum of up to 2^24 / (127 largest) products is
    exact, in any order: 518 products for 8-bit codes. Longer sums are cut into such parts.
    """
    longest = 2 ** 24 // (127 * largest)
    x, w = x.astype(np.float32), w.astype(np.float32)
    total = 0
    for i in range(0, len(w), longest):
        part = x[..., i:i + longest] @ w[i:i + longest]
        total = total + part.astype(np.int32)
    return total


class IntegerLinear(IntegerLayer):
    """Codes (N, ..., in) to codes (N, ..., out)."""


class IntegerConv(IntegerLayer):
    """Codes of images (N, C, H, W) or series (N, C, L); the padding is 0, so its code is Z1."""

    def __init__(self, layer, inputs, outputs):
        super().__init__(layer, inputs, outputs)
        n_axes = layer.weight.ndim - 2
        self.stride = for_axes(layer.stride, n_axes)
        self.padding = for_axes(layer.padding, n_axes)

    def to_rows(self, x):
        kernel = self.weight.shape[2:]
        windows = windows_of(x, kernel, self.stride, self.padding, fill=0)
        n_axes = len(kernel)
        windows = np.moveaxis(windows, 1, 1 + n_axes)            # (N, H', W', C, kh, kw)
        return windows.reshape(*windows.shape[:1 + n_axes], self.weight[0].size)

    def to_outputs(self, codes):
        return np.moveaxis(codes, -1, 1)                         # (N, O, H', W')


def for_axes(value, n_axes):
    """A setting, such as a stride, for each of the last axes: from a number or a longer tuple."""
    return tuple(value)[-n_axes:] if isinstance(value, (tuple, list)) else (value,) * n_axes


def windows_of(x, kernel, stride, padding, fill):
    """The windows of padded images: (N, C, H, W) as (N, C, H', W', kh, kw), and so for series."""
    x = np.pad(x, [(0, 0), (0, 0), *((p, p) for p in padding)], constant_values=fill)
    axes = tuple(range(2, x.ndim))
    windows = np.lib.stride_tricks.sliding_window_view(x, kernel, axis=axes)
    steps = [slice(None, None, step) for step in stride]
    return windows[(slice(None), slice(None), *steps)]
