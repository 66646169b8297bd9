"""Quantization-aware training: train with the rounding in the forward pass.

Problem: rounding the weights of a trained network to 2 bits ruins it. Training with the rounding
would help, but the derivative of rounding is 0 almost everywhere: nothing would be learned.

Idea: keep real weights theta, compute with theta_q = Q(theta), and in the backward pass pretend
that Q is the identity. With the network f and the loss l:

    min over theta of  L = l(f(x; Q(theta)), y)
    dL/dtheta = dL/dtheta_q dQ/dtheta ~ dL/dtheta_q

This is the *straight-through estimator*, `ops.round_ste`. Small updates of theta leave theta_q as
it is. When theta crosses a rounding border, theta_q jumps to the next value.

The step S can be learned too. Let the codes be quant_min ... quant_max, with Z = 0. With
straight-through rounding (Esser et al. 2020, equations 1 to 3)

    theta_q = S round(clip(theta / S, quant_min, quant_max))

    d theta_q / dS = round(theta / S) - theta / S    if theta / S is in quant_min ... quant_max,
                     quant_min                       if it is below,
                     quant_max                       if it is above.

`prepare` puts a module in the place of each weight of a model. The module holds theta, and its
forward() returns Q(theta). So a layer that reads its weight gets Q(theta).

Sources: MATH5836 week 10, section 10.2.2; Bengio, Leonard and Courville 2013, Estimating or
propagating gradients through stochastic neurons; Jacob et al. 2018 (section 3); Esser,
McKinstry, Bablani, Appuswamy and Modha 2020, Learned step size quantization.
"""
import copy
import math

import numpy as np

from tinyml import ops
from tinyml.compression.quantization import (
    DequantizedWeight,
    QParams,
    channel_range,
    choose_qparams,
    code_range,
    smallest_dtype,
    with_scale_as,
)
from tinyml.contract import checked
from tinyml.nn import Parameter
from tinyml.nn.weights import (
    ComputedWeight,
    computed_weights,
    replace_weights,
    replaced,
    swap,
    weights,
)
from tinyml.tensor import Tensor
from tinyml.train import cross_entropy_of


@checked
def fake_quantize(
    theta: "Tensor",
    qparams: "QParams; a scale S that is a Tensor has a gradient too",
    *,
    gradient: '"inside" or "identity"' = "inside",
) -> "Tensor, the shape of theta":
    """Round theta to the nearest value that has a code, with a gradient for training.

        theta_q = S round(clip(theta / S, quant_min - Z, quant_max - Z))

    (Jacob et al. 2018, equation 12; Esser et al. 2020, equations 1 and 2.) The derivative
    d theta_q / d theta is 1 where theta is not clipped. Where theta is clipped, gradient="inside"
    makes it 0, as in these papers, and gradient="identity" makes it 1, as in the notes.

    >>> from tinyml import Tensor
    >>> fake_quantize(Tensor([-9.0, 0.3, 0.8]), QParams(0.5, 0, -3, 3)).data
    array([-1.5,  0.5,  1. ], dtype=float32)
    """
    S, Z, quant_min, quant_max = qparams
    if not isinstance(S, Tensor):
        S = np.asarray(S, theta.dtype)
    clip = ops.clip if gradient == "inside" else ops.clamp_ste
    clipped = clip(theta / S, low=quant_min - Z, high=quant_max - Z)
    return S * ops.round_ste(clipped)


@checked
def quantized_loss(
    model: "Module",
    *batch: "what `loss_of` takes, such as inputs x and classes y",
    Q: "function (theta) -> Tensor; such as lambda theta: fake_quantize(theta, qparams)",
    loss_of: "function (model, *batch) -> scalar Tensor; as in `train.fit`" = cross_entropy_of,
):
    """The loss l(f(x; Q(theta)), y) of a model that computes with Q(theta) (notes 10.2.2).

    The model keeps its weights theta, and gets their gradients.
    """
    quantized = {theta: Q(theta) for theta in weights(model).values()}
    with replaced(model, quantized):    # the model computes with Q(theta)
        return loss_of(model, *batch)    # notes 10.2.2, quantization-aware forward


# ------------------------------------------------------------ weights

@checked
class FakeQuantizedWeight(ComputedWeight):
    """Q(theta), where S and Z of each channel follow from the present range of theta."""

    def __init__(
        self,
        weight: "Parameter; theta, with the channels on axis 0",
        *,
        bits: "as in `quantization.choose_qparams`",
        symmetric: "as in `quantization.choose_qparams`" = True,
        share: "float in (0, 1]; fraction of the range of theta that has codes; "
               "the rest is clipped" = 1.0,
        gradient: '"identity" or "inside"; as in `fake_quantize`' = "identity",
    ):
        # with "identity", as in the notes, a clipped weight goes on learning
        self.weight, self.bits, self.symmetric = weight, bits, symmetric
        self.share, self.gradient = share, gradient

    @property
    def qparams(self):
        """The `QParams` for the present range of theta."""
        low, high = channel_range(self.weight.data, axis=0)
        qparams = choose_qparams(self.share * low, self.share * high, bits=self.bits,
                                 symmetric=self.symmetric)
        return with_scale_as(self.weight.dtype, qparams)

    def forward(self):
        return fake_quantize(self.weight, self.qparams, gradient=self.gradient)

    def extra_repr(self):
        return f"bits={self.bits}, gradient={self.gradient!r}"


@checked
class LearnedStepWeight(ComputedWeight):
    """Q(theta), where the step S of each channel is learned like a weight (Esser et al. 2020).

    The codes are -2^(b-1) ... 2^(b-1) - 1. At first S = 2 mean|theta| / sqrt(quant_max) (section
    2.1), and 1 for a channel of zeros.

    The gradient of S is a sum over the N weights of its channel, so S would learn too fast. The
    paper multiplies this gradient by a factor (section 2.2). But Adam ignores the scale of a
    gradient. So here an optimizer trains `raw` in place of S, with

        S = factor * raw,    factor = 1 / sqrt(N quant_max)

    Then a step of Adam changes S by factor times as much as if S itself were trained. A step of
    SGD changes it by factor^2 times as much (in the paper, factor times).
    """

    def __init__(
        self,
        weight: "Parameter; theta, with the channels on axis 0",
        *,
        bits: "int in 2..16",
    ):
        _, self.quant_max = code_range(bits, symmetric=True)
        self.quant_min = -self.quant_max - 1
        self.weight = weight
        low, _ = channel_range(weight.data, axis=0)
        self.step_shape = low.shape    # (channels, 1, ...)
        mean_abs = np.abs(weight.data).mean(axis=tuple(range(1, weight.ndim)))    # (channels,)
        step = np.where(mean_abs > 0, 2 * mean_abs / math.sqrt(self.quant_max), 1)
        n_weights = weight.size // len(weight)
        self.factor = 1 / math.sqrt(n_weights * self.quant_max)
        # raw has one axis, so `tinyml.nn.weights` does not count it as a weight
        raw = (step / self.factor).astype(weight.dtype)
        self.raw = Parameter(raw, weight.requires_grad)

    def step(self):
        """The step S, a Tensor of shape (channels, 1, ...)."""
        S = self.factor * self.raw
        if not (S.data > 0).all():
            raise ValueError(f"LearnedStepWeight: the steps must stay > 0, got {S.data.min()}; "
                             "train them with a smaller learning rate")
        return S.reshape(self.step_shape)

    @property
    def qparams(self):
        """The `QParams` with the present step S."""
        S = self.step().data
        return QParams(S, np.zeros(S.shape, np.int64), self.quant_min, self.quant_max)

    def forward(self):
        qparams = QParams(self.step(), 0, self.quant_min, self.quant_max)
        return fake_quantize(self.weight, qparams)

    def extra_repr(self):
        return f"codes {self.quant_min}..{self.quant_max}"


def codes_of(weight):
    """The codes q of a weight that is trained with rounding: q = theta_q / S + Z."""
    S, Z, quant_min, quant_max = weight.qparams
    codes = np.round(weight().data.astype(np.float64) / S) + Z
    return codes.astype(smallest_dtype(quant_min, quant_max))


# ------------------------------------------------------------ models

@checked
def prepare(
    model: "Module; with weights that are finite",
    *,
    bits: "int in 2..16",
    method: '"straight-through" or "learned step"; the first '
            'makes each weight a `FakeQuantizedWeight`, the '
            'second a `LearnedStepWeight`' = "straight-through",
    **options: "symmetric, share and gradient, for `FakeQuantizedWeight` only",
):
    """A copy of the model that computes with quantized weights, ready to be trained.

    The weights are those of `tinyml.nn.weights`. A computed weight is left as it is, with a
    warning. Build the optimizer from the parameters() of the copy.
    """
    kind = FakeQuantizedWeight if method == "straight-through" else LearnedStepWeight

    def prepared(weight):
        return kind(weight, bits=bits, **options)
    return replace_weights("prepare", copy.deepcopy(model), prepared)


@checked
def convert(model: "Module; as from `prepare`"):
    """A copy of a prepared model that stores codes, S and Z in place of theta.

    The outputs are the same, bit for bit.
    """
    model = copy.deepcopy(model)
    converted = {}
    for weight in computed_weights(model).values():
        if isinstance(weight, (FakeQuantizedWeight, LearnedStepWeight)):
            dtype = weight.weight.dtype
            converted[weight] = DequantizedWeight(codes_of(weight), weight.qparams, dtype=dtype)
    if not converted:
        raise ValueError("convert: model must come from prepare, got a model without any weight "
                         "that prepare made")
    swap(model, converted)
    return model
