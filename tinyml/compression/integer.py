"""Integer-only inference: a network without floats between its input codes and its output codes.

Problem: weights that are stored as int8 and computed with in float32 are small, but the
arithmetic costs as much as before. A processor without floating point, or one that multiplies
int8 faster, wants integers throughout.

Idea: with r = S (q - Z) for inputs (1), weights (2, Z2 = 0) and outputs (3), a layer
r3 = W r1 + b is

    acc = sum (q1 - Z1) q2 + q_b                     int32, with q_b = round(b / (S1 S2))
    q3  = clip(Z3 + M acc, quant_min, quant_max)     uint8, with M = S1 S2 / S3

Only M is not an integer. It is a constant, so write M = 2^-n M0 with 0.5 <= M0 < 1, and M0 as a
fixed-point number of 31 bits: M acc is the upper half of a product of integers, shifted right by
n, both rounded. ReLU costs nothing: if the range of the outputs begins at 0, then Z3 = quant_min,
and the clip is the ReLU.

NumPy has no fast product of integers. So the same codes are computed in two ways: by integers
alone, and by float32 products short enough to be exact. Hardware with int8 products gains time.

Sources: Jacob et al. 2018, Quantization and training of neural networks for efficient
integer-arithmetic-only inference (sections 2.2 to 2.4, equations 2 to 7); Jacob and Warden 2017,
gemmlowp (the two roundings); MATH5836 week 10, section 10.2.2.
"""
import math

import numpy as np

from tinyml.check import check_real
from tinyml.compression.observers import MinMaxObserver
from tinyml.compression.quantization import (
    QParams,
    channel_range,
    choose_qparams,
    dequantize,
    quantize,
    smallest_dtype,
)
from tinyml.contract import checked
from tinyml.data import batches
from tinyml.nn import (
    Conv1d,
    Conv2d,
    Dropout,
    Flatten,
    Linear,
    MaxPool1d,
    MaxPool2d,
    Module,
    Parameter,
    ReLU,
    Sequential,
)
from tinyml.nn.folding import fold_layers
from tinyml.nn.places import is_chain, opened, untied
from tinyml.tensor import Tensor, no_grad

INT32 = np.iinfo(np.int32)
CALIBRATED = 64        # samples that an observer sees at a time
FINEST = 2.0 ** -22    # the least S1 S2 / S3: then a bias of up to 255 S3 has a code below 2^30


# ------------------------------------------------------------ fixed-point arithmetic

@checked
def quantize_multiplier(multiplier):
    """M = 2^-n M0 with M0 in [0.5, 1), as the integer round(2^31 M0) (Jacob et al. 2018, eq. 6).

    Parameters
    ----------
    multiplier : array_like of float64, in (0, 1], M

    Returns
    -------
    M0 : ndarray of int32, the shape of multiplier, in 2^30 ... 2^31 - 1
    n : ndarray of int32, the same shape, >= 0

    >>> M0, n = quantize_multiplier([0.5, 0.3])
    >>> M0 / 2**31 * 0.5 ** n
    array([0.5, 0.3])
    """
    below_one = np.minimum(multiplier, np.nextafter(1, 0))
    fraction, exponent = np.frexp(below_one)            # M = fraction 2^exponent
    M0 = np.round(fraction * 2.0 ** 31)
    M0 = np.minimum(M0, INT32.max)                      # where the fraction rounds up to 1
    return M0.astype(np.int32), (-exponent).astype(np.int32)


@checked
def rounding_doubling_high_mul(a, b):
    """round(a b / 2^31), halves up: the product of two fractions of 31 bits.

    It is the upper half of the 64 bits of 2 a b. Only a = b = -2^31 does not fit: it gives
    2^31 - 1.

    Parameters
    ----------
    a, b : ndarray of int, with dtype int32

    Returns
    -------
    ndarray of int32
    """
    _check_int32("rounding_doubling_high_mul", a=a, b=b)
    product = a.astype(np.int64) * b
    rounded = (product + 2 ** 30) >> 31    # 2^30 is half of what the shift divides by
    return np.minimum(rounded, INT32.max).astype(np.int32)


@checked
def rounding_right_shift(x, shift):
    """round(x / 2^shift), halves away from zero.

    Parameters
    ----------
    x : ndarray of int, with dtype int32
    shift : array_like of int, >= 0

    Returns
    -------
    ndarray of int32
    """
    _check_int32("rounding_right_shift", x=x)
    shift = np.minimum(shift, 33)    # from 33 on the result is 0
    half = (1 << shift) >> 1
    size = np.abs(x.astype(np.int64))
    return (np.sign(x) * ((size + half) >> shift)).astype(np.int32)


@checked
def requantize(accumulator, multiplier, shift, *, zero_point, quant_min, quant_max):
    """q3 = clip(Z3 + 2^-n M0 acc, quant_min, quant_max) (Jacob et al. 2018, equations 5 to 7).

    It rounds twice: the product with M0, then the shift by n. No step wraps around.

    Parameters
    ----------
    accumulator : ndarray of int, with dtype int32, acc
    multiplier, shift : ndarray of int, with dtype int32, M0 and n of `quantize_multiplier`
    zero_point, quant_min, quant_max : int, of the output

    Returns
    -------
    ndarray of the smallest dtype that holds quant_min ... quant_max
    """
    product = rounding_doubling_high_mul(accumulator, multiplier)    # M0 acc
    scaled = rounding_right_shift(product, shift)                    # 2^-n M0 acc
    codes = np.clip(scaled.astype(np.int64) + zero_point, quant_min, quant_max)
    return codes.astype(smallest_dtype(quant_min, quant_max))


def _check_int32(function, **arrays):
    for name, array in arrays.items():
        if array.dtype != np.int32:
            raise TypeError(f"{function}: {name} must have dtype int32, got {array.dtype}")


# ------------------------------------------------------------ layers

@checked
class IntegerLayer(Module):
    """A Linear or convolution on codes: codes in, an int32 accumulator, codes out.

    The weights w_k of unit k have symmetric 8-bit codes with their own step, S2 = max |w_k| / 127.

    Parameters
    ----------
    layer : Module, with a finite weight: a Linear, Conv1d or Conv2d
    inputs, outputs : QParams, of the activations before and behind it, one step for each tensor
    """

    def __init__(self, layer, inputs, outputs):
        S1, S3 = float(inputs.scale), float(outputs.scale)
        weights = _weight_qparams(layer.weight.data, finest=FINEST * S3 / S1)
        S2 = weights.scale.ravel()                                    # (units,)
        M = S1 * S2 / S3
        self.zero_in, self.zero_out = int(inputs.zero_point), int(outputs.zero_point)
        self.quant_min, self.quant_max = outputs.quant_min, outputs.quant_max
        largest, smallest = inputs.quant_max - self.zero_in, inputs.quant_min - self.zero_in
        self.reach = max(largest, -smallest)                          # of |q1 - Z1|
        self._check_fits(layer, M, S1 * S2, S3)
        self.weight = quantize(layer.weight.data.astype(np.float64), weights)    # q2, int8
        self.bias = self._bias_codes(layer, S1 * S2)                             # q_b, int32
        self.multiplier, self.shift = quantize_multiplier(M)

    def forward(self, codes, fast=True):
        """The codes of the outputs; both ways agree in every bit."""
        acc = self.accumulate(codes, fast)
        q3 = requantize(acc, self.multiplier, self.shift, zero_point=self.zero_out,
                        quant_min=self.quant_min, quant_max=self.quant_max)
        return self.to_outputs(q3)

    def accumulate(self, codes, fast=True):
        """acc = sum (q1 - Z1) q2 + q_b, int32, with the units on the last axis."""
        x = codes.astype(np.int32) - np.int32(self.zero_in)       # q1 - Z1
        rows = self.to_rows(x)                                    # (..., k)
        q2 = self.weight.reshape(len(self.weight), -1).T          # (k, units)
        if fast:
            return _exact_matmul(rows, q2, self.reach) + self.bias
        return rows @ q2.astype(np.int32) + self.bias

    def to_rows(self, x):
        """The inputs of each sum on the last axis."""
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
    """Symmetric 8-bit QParams, a step of at least `finest` for each unit."""
    params = choose_qparams(*channel_range(weight, axis=0), bits=8, symmetric=True)
    is_zero = ~weight.any(axis=tuple(range(1, weight.ndim)), keepdims=True)
    return params._replace(scale=np.where(is_zero, finest, np.maximum(params.scale, finest)))


def _exact_matmul(x, w, largest):
    """x @ w of integers as int32, through float32 products: BLAS multiplies floats only.

    A float32 holds every integer up to 2^24. So a sum of up to 2^24 / (127 largest) products is
    exact, in whatever order they are added: 518 of them for 8-bit codes. Longer sums are cut.

    Parameters
    ----------
    x : ndarray of int, shape (..., k), of size `largest` at most
    w : ndarray of int8, shape (k, m), in -127..127
    largest : int >= 1, at most 2^24 / 127

    Returns
    -------
    ndarray of int32, shape (..., m)
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
        self.stride = _for_axes(layer.stride, n_axes)
        self.padding = _for_axes(layer.padding, n_axes)

    def to_rows(self, x):
        kernel = self.weight.shape[2:]
        windows = _windows(x, kernel, self.stride, self.padding, fill=0)
        n_axes = len(kernel)
        windows = np.moveaxis(windows, 1, 1 + n_axes)            # (N, H', W', C, kh, kw)
        return windows.reshape(*windows.shape[:1 + n_axes], self.weight[0].size)

    def to_outputs(self, codes):
        return np.moveaxis(codes, -1, 1)                         # (N, O, H', W')


class IntegerMaxPool(Module):
    """The largest code of each window: a larger code stands for a larger number."""

    def __init__(self, layer, n_axes):
        stride = layer.kernel_size if layer.stride is None else layer.stride
        self.kernel_size = _for_axes(layer.kernel_size, n_axes)
        self.stride = _for_axes(stride, n_axes)
        self.padding = _for_axes(layer.padding, n_axes)

    def forward(self, codes, fast=True):
        smallest = np.iinfo(codes.dtype).min
        windows = _windows(codes, self.kernel_size, self.stride, self.padding, fill=smallest)
        return windows.max(axis=tuple(range(codes.ndim, windows.ndim)))


def _for_axes(value, n_axes):
    """A setting for each axis, from a number, or from a tuple whose last entries count."""
    return tuple(value)[-n_axes:] if isinstance(value, (tuple, list)) else (value,) * n_axes


def _windows(x, kernel, stride, padding, fill):
    """The windows of padded images: (N, C, H, W) to (N, C, H', W', kh, kw), and so for series."""
    x = np.pad(x, [(0, 0), (0, 0), *((p, p) for p in padding)], constant_values=fill)
    axes = tuple(range(2, x.ndim))
    windows = np.lib.stride_tricks.sliding_window_view(x, kernel, axis=axes)
    steps = [slice(None, None, step) for step in stride]
    return windows[(slice(None), slice(None), *steps)]


class IntegerFlatten(Module):
    """Codes (N, ...) as (N, features)."""

    def forward(self, codes, fast=True):
        return codes.reshape(len(codes), math.prod(codes.shape[1:]))


# ------------------------------------------------------------ models

class IntegerModel(Module):
    """A float model as integers: see `from_float`. Floats in, floats out, only integers between.

    Attributes
    ----------
    layers : list of the integer layers
    input_scale, output_scale : float; input_zero, output_zero : int, what codes stand for at both
        ends
    """

    @classmethod
    @checked
    @no_grad()
    def from_float(cls, model, X, *, observer=MinMaxObserver):
        """Quantize a trained model to 8 bits, weights and activations (Jacob et al. 2018).

        Batch norms are folded. Weights are symmetric int8, with a step for each unit. Activations
        are affine uint8, with a range at each place: what an observer makes of the numbers that X
        causes there, 64 samples at a time. A layer with a ReLU behind it takes the ReLU's range.

        Parameters
        ----------
        model : Module, with Linear, Conv1d and Conv2d layers, batch norms behind them, ReLU, max
            pools, Flatten and Dropout, in a Sequential or in Sequentials of these; or one layer
        X : array_like, shape (n, ...), not empty, calibration inputs such as the model will meet
        observer : function () -> observer of `quantization`, one for each range: a class such as
            MinMaxObserver, or lambda: PercentileObserver(99)

        Returns
        -------
        IntegerModel
        """
        model = Sequential(model) if type(model) in LAYERS else model
        layers = _float_layers(model)
        ranges = _ranges(layers, X, observer)
        self = cls()
        self.layers, outputs = _integer_layers(layers, ranges)
        inputs = ranges[""]
        self.input_scale, self.input_zero = float(inputs.scale), int(inputs.zero_point)
        self.output_scale, self.output_zero = float(outputs.scale), int(outputs.zero_point)
        return self

    def quantize_input(self, x):
        """Codes of dtype uint8 for an array of floats."""
        return quantize(x, QParams(self.input_scale, self.input_zero, 0, 255))

    def codes(self, codes, fast=True):
        """From input codes to output codes; by integers alone if not fast, with equal bits."""
        for layer in self.layers:
            codes = layer(codes, fast)
        return codes

    def forward(self, x):
        """A Tensor of floats in, a Tensor of the floats that the output codes stand for out."""
        codes = self.codes(self.quantize_input(x.data if isinstance(x, Tensor) else x))
        return Tensor(dequantize(codes, QParams(self.output_scale, self.output_zero, 0, 255)))


LAYERS = {Linear: IntegerLinear, Conv1d: IntegerConv, Conv2d: IntegerConv}
POOLS = {MaxPool1d: 1, MaxPool2d: 2}    # their axes
KNOWN = (*LAYERS, *POOLS, ReLU, Flatten, Dropout)


def _float_layers(model):
    """{path: layer} of a chain of layers, batch norms folded, or an error."""
    name = "IntegerModel.from_float"
    if not is_chain(model):
        raise TypeError(f"{name}: model must be a Sequential, got {type(model).__name__}; only "
                        "there the order of its layers is known")
    model = untied(model).eval()
    for path, parameter in model.named_parameters():
        check_real(name, path, parameter.data)
    layers = fold_layers(dict(opened(model)))
    for path, layer in layers.items():
        if type(layer) not in KNOWN:
            raise TypeError(f"{name}: model must be of Linear, Conv1d, Conv2d with batch norms "
                            "right behind them, ReLU, max pools, Flatten and Dropout, got "
                            f"{type(layer).__name__} at {path}")
        if type(layer) in LAYERS and not isinstance(layer.weight, Parameter):
            raise ValueError(f"{name}: {path}.weight must be a Parameter, got a "
                             f"{type(layer.weight).__name__}; convert the model of plain weights")
    if not any(type(layer) in LAYERS for layer in layers.values()):
        raise ValueError(f"{name}: model must have a Linear, Conv1d or Conv2d, got none")
    return layers


def _ranges(layers, X, observer):
    """The QParams of the inputs, by "", and of the outputs of each layer, by its path."""
    seen = {path: observer() for path in ["", *layers]}
    for (batch,) in batches(X, batch_size=CALIBRATED, rng=None):
        x = Tensor(batch)
        seen[""].update(x.data)
        for path, layer in layers.items():
            x = layer(x)
            seen[path].update(x.data)
    return {path: choose_qparams(*one.range(), bits=8, symmetric=False)
            for path, one in seen.items()}


def _integer_layers(layers, ranges):
    """The integer layers of the float ones, and the QParams of their outputs.

    ReLU and Dropout need no layer of their own.
    """
    found, inputs = [], ranges[""]
    places = [(path, layer) for path, layer in layers.items() if type(layer) is not Dropout]
    behind = [*places[1:], (None, None)]
    for (path, layer), (next_path, next_layer) in zip(places, behind):
        kind = type(layer)
        if kind in LAYERS:
            outputs = ranges[next_path if type(next_layer) is ReLU else path]
            found.append(_integer_layer(path, layer, inputs, outputs))
            inputs = outputs
        elif kind in POOLS:
            found.append(IntegerMaxPool(layer, POOLS[kind]))
        elif kind is Flatten:
            found.append(IntegerFlatten())
        elif inputs.zero_point != inputs.quant_min:
            raise TypeError(f"IntegerModel.from_float: the ReLU at {path} must be right behind a "
                            "Linear or convolution, got it behind codes of numbers below 0; move "
                            "it there")
    return found, inputs


def _integer_layer(path, layer, inputs, outputs):
    try:
        return LAYERS[type(layer)](layer, inputs, outputs)
    except ValueError as error:
        raise ValueError(f"IntegerModel.from_float: the layer at {path} must fit; "
                         f"{error}") from error
