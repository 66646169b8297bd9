"""Integer-only inference: a network without a single float between its input codes and its output codes.

Problem: weights stored as int8 and computed with in float32 are small, but the arithmetic is as large as
before. A processor without floating point, or one that multiplies int8 faster, wants integers throughout.

Idea: with r = S (q - Z) for inputs (1), weights (2, Z = 0) and outputs (3), a layer r3 = W r1 + b is

    acc = sum (q1 - Z1) q2 + q_b                     8-bit products, int32 sum; q_b = round(b / (S1 S2))
    q3  = clip(Z3 + M acc, quant_min, quant_max)     M = S1 S2 / S3

Only M is no integer. It is a constant, so write it as M = 2^-n M0 with 0.5 <= M0 < 1, and M0 as a fixed-point
number of 31 bits: to multiply by M is a product of integers, its upper half, and a shift, both rounded. And
ReLU costs nothing: if the output's range begins at 0, then Z3 = quant_min, and the clip is the ReLU.

Two ways to the same codes. The slow one is all integers. The fast one lets BLAS, which knows no integers, sum
the products in float32, as many at a time as are exact, so both ways agree in every bit. In NumPy neither is
faster than a network of floats; hardware with int8 products is.

Sources: Jacob et al. 2018, Quantization and training of neural networks for efficient integer-arithmetic-only
inference (sections 2.2 to 2.4, equations 2 to 7); Jacob and Warden 2017, gemmlowp (the two roundings);
MATH5836 week 10, section 10.2.2.
"""
import math

import numpy as np

from tinyml.check import check_real
from tinyml.compression.quantization import (MinMaxObserver, QParams, channel_range, choose_qparams,
                                             dequantize, fold_layers, quantize, smallest_dtype)
from tinyml.data import batches
from tinyml.nn import (Conv1d, Conv2d, Dropout, Flatten, Linear, MaxPool1d, MaxPool2d, Module,
                       Parameter, ReLU, Sequential)
from tinyml.nn.places import is_chain, opened, untied
from tinyml.tensor import Tensor, no_grad

INT32 = np.iinfo(np.int32)
CALIBRATED = 64        # samples that an observer sees at a time
FINEST = 2.0 ** -22    # S1 S2 / S3 at least: then an int32 holds the bias of any output, 255 steps S3, as 2^30


# ------------------------------------------------------------ fixed-point arithmetic

def quantize_multiplier(multiplier):
    """M = 2^-n M0 with M0 in [0.5, 1), held as the integer round(2^31 M0) (Jacob et al. 2018, equation 6).

    Parameters
    ----------
    multiplier : array_like, any shape, each in (0, 1]; 2^-31 and below is as good as 0, and is written as any other

    Returns
    -------
    M0 : ndarray of int32, the shape of multiplier, in 2^30 ... 2^31 - 1; a fraction that rounds up to 1, and M = 1,
        have the largest, 2^31 - 1
    shift : ndarray of int32, of this shape, n >= 0; 0 for M = 1

    Raises
    ------
    TypeError, ValueError : a multiplier is not a number in (0, 1]

    Examples
    --------
    >>> M0, shift = quantize_multiplier([0.5, 0.3])
    >>> M0 / 2**31 * 0.5 ** shift
    array([0.5, 0.3])
    """
    M = check_real("quantize_multiplier", "multiplier", multiplier).astype(np.float64)
    if not ((0 < M) & (M <= 1)).all():
        raise ValueError(f"quantize_multiplier: multiplier must be in (0, 1], got {M.min()} to {M.max()}")
    fraction, exponent = np.frexp(M)
    fixed = np.minimum(np.round(fraction * 2.0 ** 31), INT32.max).astype(np.int32)
    one = exponent > 0    # M = 1: the largest M0 below 1 is as near as can be
    return np.where(one, INT32.max, fixed).astype(np.int32), np.where(one, 0, -exponent).astype(np.int32)


def rounding_doubling_high_mul(a, b):
    """round(a b / 2^31), of two as near the larger: the product of two 31-bit fractions.

    The upper half of twice the product; only a = b = -2^31 does not fit, and gives 2^31 - 1. In whole numbers:
    a float64 does not hold all 62 bits of a product.

    Parameters
    ----------
    a, b : ndarrays of int32 that broadcast

    Returns
    -------
    ndarray of int32

    Raises
    ------
    TypeError : an argument is not of int32
    """
    a, b = (_int32("rounding_doubling_high_mul", name, v) for name, v in (("a", a), ("b", b)))
    product = a.astype(np.int64) * b
    return np.minimum((product + (1 << 30)) >> 31, INT32.max).astype(np.int32)


def rounding_right_shift(x, shift):
    """round(x / 2^shift), of two as near the one away from 0.

    Parameters
    ----------
    x : ndarray of int32
    shift : ndarray of integers >= 0 that broadcasts to it; 33 and more give 0

    Returns
    -------
    ndarray of int32

    Raises
    ------
    TypeError : x is not of int32
    """
    x = _int32("rounding_right_shift", "x", x).astype(np.int64)
    shift = np.minimum(np.asarray(shift, np.int64), 40)
    half = (np.int64(1) << shift) >> 1
    return (np.sign(x) * ((np.abs(x) + half) >> shift)).astype(np.int32)


def requantize(accumulator, multiplier, shift, *, zero_point, quant_min, quant_max):
    """q3 = clip(Z3 + round(2^-n M0 acc), quant_min, quant_max) (Jacob et al. 2018, equations 5 to 7).

    Rounded twice, as integers alone can: M0 acc by `rounding_doubling_high_mul`, and that times 2^-n by
    `rounding_right_shift`. No step wraps around, whatever the int32 sum: the codes are those of whole numbers.

    Parameters
    ----------
    accumulator : ndarray of int32
    multiplier, shift : ndarrays of int32 that broadcast to it, M0 and n from `quantize_multiplier`
    zero_point, quant_min, quant_max : int, of the output

    Returns
    -------
    ndarray, the shape of accumulator, of the `smallest_dtype` that holds quant_min ... quant_max
    """
    scaled = rounding_right_shift(rounding_doubling_high_mul(accumulator, multiplier), shift)
    codes = np.clip(scaled.astype(np.int64) + zero_point, quant_min, quant_max)
    return codes.astype(smallest_dtype(quant_min, quant_max))


def exact_matmul(x, w, largest):
    """x @ w of whole numbers, as int32, by products in float32: BLAS has none for integers.

    A float32 holds every whole number up to 2^24. So a sum of up to 2^24 / (127 largest) products is exact in it,
    in whatever order it is taken: 518 of them for codes of 8 bits. A longer one is cut into such parts.

    Parameters
    ----------
    x : ndarray of int, shape (..., k), of size `largest` at most
    w : ndarray of int8, shape (k, m), in -127..127
    largest : int >= 1, at most 2^24 / 127

    Returns
    -------
    ndarray of int32, shape (..., m)
    """
    n = 2 ** 24 // (127 * largest)
    x, w = x.astype(np.float32), w.astype(np.float32)
    parts = (slice(i, i + n) for i in range(0, len(w), n))
    return sum((x[..., part] @ w[part]).astype(np.int32) for part in parts)


def _int32(function, name, value):
    """The value as an array of int32, or an error."""
    value = np.asarray(value)
    if value.dtype != np.int32:
        raise TypeError(f"{function}: {name} must be of int32, got {value.dtype}")
    return value


# ------------------------------------------------------------ layers

class IntegerLayer(Module):
    """What Linear and convolutions have in common: codes in, codes out, an int32 accumulator between.

    The weights of unit k have symmetric 8-bit codes with a step of their own, S2 = max |w_k| / 127, but not so
    fine that S1 S2 < 2^-22 S3: an int32 is to hold the bias, in steps S1 S2, of a unit without weights, too.

    Parameters
    ----------
    layer : Linear, Conv1d or Conv2d with a finite float weight
    inputs, outputs : QParams of the activations before and behind it, one step for each tensor

    A subclass has two ways from x = q1 - Z1, int32, to the int32 sums of the products with q2: accumulate(x), by
    integers alone, and accumulate_fast(x), through BLAS; and the shape `per_unit` of a vector, one number for each
    unit, that broadcasts to them.

    Raises
    ------
    ValueError : a weight or bias is not finite; S1 S2 > S3 for a unit, where M would be above 1; or a unit
        has so many inputs that its sum might not fit into int32
    """

    def __init__(self, layer, inputs, outputs):
        name = type(self).__name__
        weights = choose_qparams(*channel_range(layer.weight.data, axis=0), bits=8, symmetric=True)
        least = float(outputs.scale) / float(inputs.scale) * FINEST
        silent = ~layer.weight.data.any(axis=tuple(range(1, layer.weight.ndim)), keepdims=True)
        weights = weights._replace(scale=np.where(silent, least, np.maximum(weights.scale, least)))
        self.weight = quantize(layer.weight.data.astype(np.float64), weights)            # int8
        scale = float(inputs.scale) * weights.scale.ravel()                              # S1 S2, (out,)
        bias = np.zeros(len(self.weight)) if layer.bias is None else layer.bias.data
        self.bias = np.clip(np.round(check_real(name, "bias", bias) / scale), INT32.min // 2,
                            INT32.max // 2).astype(np.int32)
        ratio = scale / float(outputs.scale)
        self.multiplier, self.shift = quantize_multiplier(np.minimum(ratio, 1))
        self.zero_in, self.zero_out = int(inputs.zero_point), int(outputs.zero_point)
        self.quant_min, self.quant_max = outputs.quant_min, outputs.quant_max
        if (ratio > 1).any():
            raise ValueError(f"{name}: outputs must have a step of at least S1 S2 = {scale.max():.3g}, got "
                             f"{float(outputs.scale):.3g}; calibrate with inputs that excite every layer")
        self.reach = max(inputs.quant_max - self.zero_in, self.zero_in - inputs.quant_min)    # of q1 - Z1
        if self.weight[0].size * self.reach * 127 > INT32.max // 2:
            raise ValueError(f"{name}: a unit must have at most {INT32.max // 2 // self.reach // 127} inputs, got "
                             f"{self.weight[0].size}; its sums would not fit in int32")

    def forward(self, codes, fast=True):
        """Codes of the inputs to codes of the outputs; fast and slow agree in every bit."""
        x = codes.astype(np.int32) - np.int32(self.zero_in)
        acc = self.accumulate_fast(x) if fast else self.accumulate(x)
        bias, multiplier, shift = (vector.reshape(self.per_unit)
                                   for vector in (self.bias, self.multiplier, self.shift))
        return requantize(acc + bias, multiplier, shift, zero_point=self.zero_out,
                          quant_min=self.quant_min, quant_max=self.quant_max)

    def extra_repr(self):
        return f"codes {self.quant_min}..{self.quant_max}, zero {self.zero_out}"


class IntegerLinear(IntegerLayer):
    """acc = (q1 - Z1) W^T + q_b, codes (N, ..., in) to codes (N, ..., out)."""
    per_unit = (-1,)

    def accumulate(self, x):
        return x @ self.weight.T.astype(np.int32)

    def accumulate_fast(self, x):
        return exact_matmul(x, self.weight.T, self.reach)

    def macs(self, x, y):
        return y.size * self.weight.shape[1]


class IntegerConv2d(IntegerLayer):
    """The same for images, codes (N, C, H, W) to (N, O, H', W'); the padding is 0, so its code is Z1."""
    per_unit = (-1, 1, 1)

    def __init__(self, layer, inputs, outputs):
        super().__init__(layer, inputs, outputs)
        pair = lambda value: value if isinstance(value, tuple) else (value, value)
        self.stride, self.padding = pair(layer.stride), pair(layer.padding)

    def _windows(self, x):
        """(N, H', W', C kh kw) of the padded x (N, C, H, W)."""
        (ph, pw), (sh, sw) = self.padding, self.stride
        x = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
        windows = np.lib.stride_tricks.sliding_window_view(x, self.weight.shape[2:], axis=(2, 3))
        windows = windows[:, :, ::sh, ::sw].transpose(0, 2, 3, 1, 4, 5)
        return windows.reshape(*windows.shape[:3], self.weight[0].size)

    def _filters(self):
        return self.weight.reshape(len(self.weight), -1).T

    def accumulate(self, x):
        return (self._windows(x) @ self._filters().astype(np.int32)).transpose(0, 3, 1, 2)

    def accumulate_fast(self, x):
        return exact_matmul(self._windows(x), self._filters(), self.reach).transpose(0, 3, 1, 2)

    def macs(self, x, y):
        return y.size * self.weight[0].size


class IntegerConv1d(IntegerConv2d):
    """The same for series, codes (N, C, L) to (N, O, L'): images of one row."""
    per_unit = (-1, 1)

    def __init__(self, layer, inputs, outputs):
        super().__init__(layer, inputs, outputs)
        self.weight = self.weight[:, :, None]
        self.stride, self.padding = (1, layer.stride), (0, layer.padding)

    def accumulate(self, x):
        return super().accumulate(x[:, :, None])[:, :, 0]

    def accumulate_fast(self, x):
        return super().accumulate_fast(x[:, :, None])[:, :, 0]


class IntegerMaxPool2d(Module):
    """The largest code of each window: a larger code stands for a larger number."""

    def __init__(self, layer):
        pair = lambda value: value if isinstance(value, tuple) else (value, value)
        self.kernel_size, self.padding = pair(layer.kernel_size), pair(layer.padding)
        self.stride = self.kernel_size if layer.stride is None else pair(layer.stride)

    def forward(self, codes, fast=True):
        (ph, pw), (sh, sw) = self.padding, self.stride
        lowest = np.iinfo(codes.dtype).min
        codes = np.pad(codes, ((0, 0), (0, 0), (ph, ph), (pw, pw)), constant_values=lowest)
        windows = np.lib.stride_tricks.sliding_window_view(codes, self.kernel_size, axis=(2, 3))
        return windows[:, :, ::sh, ::sw].max(axis=(4, 5))


class IntegerMaxPool1d(IntegerMaxPool2d):
    """The same for series, codes (N, C, L)."""

    def __init__(self, layer):
        super().__init__(layer)
        self.kernel_size, self.padding = (1, self.kernel_size[1]), (0, self.padding[1])
        self.stride = (1, self.stride[1])

    def forward(self, codes, fast=True):
        return super().forward(codes[:, :, None])[:, :, 0]


class IntegerFlatten(Module):
    """Codes (N, ...) as (N, features)."""

    def forward(self, codes, fast=True):
        return codes.reshape(len(codes), math.prod(codes.shape[1:]))


LAYERS = {Linear: IntegerLinear, Conv1d: IntegerConv1d, Conv2d: IntegerConv2d}
POOLS = {MaxPool1d: IntegerMaxPool1d, MaxPool2d: IntegerMaxPool2d}
KNOWN = (*LAYERS, *POOLS, ReLU, Flatten, Dropout)


def _check_layers(function, layers):
    """Raise an error with the path of a layer that cannot compute with integers."""
    for path, layer in layers.items():
        if type(layer) not in KNOWN:
            raise TypeError(f"{function}: model must be of Linear, Conv1d, Conv2d with batch norms "
                            "right behind them, ReLU, max pools, Flatten and Dropout, got "
                            f"{type(layer).__name__} at {path}")
        if type(layer) in LAYERS and not isinstance(layer.weight, Parameter):
            raise ValueError(f"{function}: {path}.weight must be a Parameter, got a "
                             f"{type(layer.weight).__name__}; convert the model of plain weights")
    if not any(type(layer) in LAYERS for layer in layers.values()):
        raise ValueError(f"{function}: model must have a Linear, Conv1d or Conv2d, got none")


def _ranges(layers, X, observer):
    """The QParams of the inputs, by "", and of the outputs of each place, by its path.

    Parameters
    ----------
    layers : dict of path to Module, applied one after the other, in evaluation mode; a module may
        have several paths, each with a range of its own
    """
    seen = {path: observer() for path in ["", *layers]}
    for (batch,) in batches(X, batch_size=CALIBRATED, rng=None):
        x = Tensor(batch)
        seen[""].update(x.data)
        for path, layer in layers.items():
            x = layer(x)
            seen[path].update(x.data)
    return {path: choose_qparams(*one.range(), bits=8, symmetric=False)
            for path, one in seen.items()}


class IntegerModel(Module):
    """A float model as integers: see `from_float`. Floats in, floats out, only integers between.

    Attributes
    ----------
    layers : list of the integer layers
    input_scale, output_scale : float; input_zero, output_zero : int, what codes stand for at both
        ends
    """

    @classmethod
    @no_grad()
    def from_float(cls, model, X, *, observer=MinMaxObserver):
        """Quantize a trained model to 8 bits, weights and activations (Jacob et al. 2018).

        Batch norms are folded. Weights are symmetric int8, a step for each output channel.
        Activations are affine uint8, their ranges what an observer makes of the numbers that X
        causes, 64 samples at a time; a layer with a ReLU behind it takes the ReLU's range. A
        module that stands at several places has a range at each.

        Parameters
        ----------
        model : Sequential of Linear, Conv1d, Conv2d, batch norms, ReLU, MaxPool1d, MaxPool2d,
            Flatten, Dropout, and of such Sequentials, or a single layer; it stays as it is, its
            mode too
        X : ndarray, shape (n, ...), n >= 1, calibration inputs: such as the model will meet
        observer : function without arguments that returns an observer of `quantization`, one for
            the inputs and one for each layer: a class such as MinMaxObserver, or lambda:
            PercentileObserver(99)

        Returns
        -------
        IntegerModel

        Raises
        ------
        TypeError : the model is not a Sequential, or has a layer that integers do not know
        ValueError : X is empty or not finite, a weight is not finite or is computed, or a sum
            might overflow int32
        """
        name = "IntegerModel.from_float"
        X = check_real(name, "X", X)
        if not X.size:
            raise ValueError(f"{name}: X must hold at least one sample, got shape {X.shape}")
        model = Sequential(model) if type(model) in LAYERS else model
        if not is_chain(model):
            raise TypeError(f"{name}: model must be a Sequential, got {type(model).__name__}; only "
                            "there the order of its layers is known")
        model = untied(model).eval()
        for path, parameter in model.named_parameters():
            check_real(name, path, parameter.data)
        layers = fold_layers(dict(opened(model)))
        _check_layers(name, layers)
        ranges = _ranges(layers, X, observer)
        inputs = ranges[""]
        self, self.layers = cls(), []
        self.input_scale, self.input_zero = float(inputs.scale), int(inputs.zero_point)
        places = [(path, layer) for path, layer in layers.items() if type(layer) is not Dropout]
        for (path, layer), (next_path, behind) in zip(places, [*places[1:], ("", None)]):
            if type(layer) in LAYERS:
                outputs = ranges[next_path if type(behind) is ReLU else path]
                try:
                    self.layers.append(LAYERS[type(layer)](layer, inputs, outputs))
                except ValueError as error:
                    raise ValueError(f"{name}: the layer at {path} must fit; {error}") from error
                inputs = outputs
            elif type(layer) in POOLS:
                self.layers.append(POOLS[type(layer)](layer))
            elif type(layer) is Flatten:
                self.layers.append(IntegerFlatten())
            elif inputs.zero_point != inputs.quant_min:
                raise TypeError(f"{name}: the ReLU at {path} must be right behind a Linear or "
                                "convolution, got it behind codes of numbers below 0; move it "
                                "there")
        self.output_scale, self.output_zero = float(inputs.scale), int(inputs.zero_point)
        return self

    def quantize_input(self, x):
        """Codes of dtype uint8 for an array of floats."""
        return quantize(x, QParams(self.input_scale, self.input_zero, 0, 255))

    def codes(self, codes, fast=True):
        """From input codes to output codes, by integers alone if not fast; equal bits either way."""
        for layer in self.layers:
            codes = layer(codes, fast)
        return codes

    def forward(self, x):
        """A Tensor of floats in, a Tensor of the floats that the output codes stand for out."""
        codes = self.codes(self.quantize_input(x.data if isinstance(x, Tensor) else x))
        return Tensor(dequantize(codes, QParams(self.output_scale, self.output_zero, 0, 255)))
