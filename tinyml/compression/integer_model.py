"""Integer models: a trained network of floats becomes one of integer layers.

Problem: each layer of `integer` needs the step S and the zero Z of its input codes and of its
output codes.

Idea: run the network on some inputs, and observe the range of the numbers at each place (Jacob et
al. 2018). Some layers need no arithmetic of their own: a batch norm is folded into the layer in
front of it, a ReLU is the clip of that layer's codes, and dropout does nothing after training.
Max pooling takes the largest code, because larger codes stand for larger numbers.

Sources: as for `integer`; Jacob et al. 2018 (sections 2.4, 3.1 and 3.2).
"""
import math

import numpy as np

from tinyml.check import check_real
from tinyml.compression.integer import IntegerConv, IntegerLinear, for_axes, windows_of
from tinyml.compression.observers import MinMaxObserver
from tinyml.compression.quantization import QParams, choose_qparams, dequantize, quantize
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

CALIBRATION_BATCH = 64    # samples that an observer sees at a time


class IntegerMaxPool(Module):
    """The largest code of each window."""

    def __init__(self, layer, n_axes):
        stride = layer.kernel_size if layer.stride is None else layer.stride
        self.kernel_size = for_axes(layer.kernel_size, n_axes)
        self.stride = for_axes(stride, n_axes)
        self.padding = for_axes(layer.padding, n_axes)

    def forward(self, codes, fast=True):
        smallest = np.iinfo(codes.dtype).min
        windows = windows_of(codes, self.kernel_size, self.stride, self.padding, fill=smallest)
        return windows.max(axis=tuple(range(codes.ndim, windows.ndim)))


class IntegerFlatten(Module):
    """Codes (N, ...) as (N, features)."""

    def forward(self, codes, fast=True):
        return codes.reshape(len(codes), math.prod(codes.shape[1:]))


class IntegerModel(Module):
    """A model that takes and returns floats, and computes with integers: made by `from_float`.

    Attributes
    ----------
    layers : list of the integer layers
    input_scale, input_zero : S and Z of the input codes
    output_scale, output_zero : S and Z of the output codes
    """

    @classmethod
    @checked
    @no_grad()
    def from_float(
        cls,
        model: "Module; with Linear, Conv1d and Conv2d layers, batch norms behind "
               "them, ReLU, max pools, Flatten and Dropout, in a Sequential or in "
               "Sequentials of these; or one layer",
        X: "array_like, shape (n, ...), not empty; typical inputs",
        *,
        observer: "function () -> observer; one of `observers` for "
                  "each range: a class such as MinMaxObserver, or "
                  "lambda: PercentileObserver(99)" = MinMaxObserver,
    ):
        """Quantize a trained model to 8 bits, weights and activations (Jacob et al. 2018).

        Weights are symmetric int8, with a step for each unit. Activations are affine uint8. The
        model runs on X, 64 samples at a time, and behind each layer an observer chooses the range
        from the numbers that come there. If a ReLU follows a layer, the layer's range is that
        behind the ReLU.
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
        """Output codes from input codes. `fast` changes the time, not the result."""
        for layer in self.layers:
            codes = layer(codes, fast)
        return codes

    def forward(self, x):
        """The floats that the output codes stand for, a Tensor, from a Tensor of inputs."""
        codes = self.codes(self.quantize_input(x.data if isinstance(x, Tensor) else x))
        return Tensor(dequantize(codes, QParams(self.output_scale, self.output_zero, 0, 255)))


LAYERS = {Linear: IntegerLinear, Conv1d: IntegerConv, Conv2d: IntegerConv}
POOLS = {MaxPool1d: 1, MaxPool2d: 2}    # the number of axes of their windows
KNOWN = (*LAYERS, *POOLS, ReLU, Flatten, Dropout)


def _float_layers(model):
    """{path: layer} of a chain of layers, with batch norms folded; or an error."""
    name = "IntegerModel.from_float"
    if not is_chain(model):
        raise TypeError(f"{name}: model must be a Sequential, got {type(model).__name__}; only "
                        "a Sequential tells the order of its layers")
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
    """{path: QParams} of the outputs of each layer, and of the inputs of the model under ""."""
    observers = {path: observer() for path in ["", *layers]}
    for (batch,) in batches(X, batch_size=CALIBRATION_BATCH, rng=None):
        x = Tensor(batch)
        observers[""].update(x.data)
        for path, layer in layers.items():
            x = layer(x)
            observers[path].update(x.data)
    return {path: choose_qparams(*observed.range(), bits=8, symmetric=False)
            for path, observed in observers.items()}


def _integer_layers(layers, ranges):
    """The integer layers in place of the float ones, and the QParams of the outputs."""
    integer_layers, inputs = [], ranges[""]
    places = [(path, layer) for path, layer in layers.items() if type(layer) is not Dropout]
    following = [*places[1:], (None, None)]
    for (path, layer), (next_path, next_layer) in zip(places, following):
        kind = type(layer)
        if kind in LAYERS:
            outputs = ranges[next_path if type(next_layer) is ReLU else path]
            integer_layers.append(_integer_layer(path, layer, inputs, outputs))
            inputs = outputs
        elif kind in POOLS:
            integer_layers.append(IntegerMaxPool(layer, POOLS[kind]))
        elif kind is Flatten:
            integer_layers.append(IntegerFlatten())
        elif inputs.zero_point != inputs.quant_min:
            raise TypeError(f"IntegerModel.from_float: the ReLU at {path} must be right behind a "
                            "Linear or convolution, got it behind codes of numbers below 0; move "
                            "it there")
    return integer_layers, inputs


def _integer_layer(path, layer, inputs, outputs):
    try:
        return LAYERS[type(layer)](layer, inputs, outputs)
    except ValueError as error:
        raise ValueError(f"IntegerModel.from_float: the layer at {path} must fit; "
                         f"{error}") from error
