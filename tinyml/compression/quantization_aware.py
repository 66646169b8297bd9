"""Quantization-aware training: train with the rounding in the forward pass.

Problem: at 2 bits, rounding the weights of a trained network ruins it. Training through the
rounding would help, but its derivative is 0 almost everywhere, and nothing would be learned.

Idea: keep real weights theta, compute with theta_q = Q(theta), and on the way back pretend that
Q was the identity, the *straight-through estimator*:

    dL/dtheta = dL/dtheta_q * dQ/dtheta,        dQ/dtheta ~ 1

So theta moves although theta_q does not, until it crosses into the next code. For weights that
are clipped, the gradient may pass too ("identity", as in the notes) or stop ("inside", the
true derivative: Q is constant there).

The step can be learned too. In v^ = s clip(round(v / s)) the derivative in s is that of the
clipping, rounding straight through,

    dv^/ds = round(v/s) - v/s  inside,    quant_min or quant_max  outside            (LSQ, equation 3)

Here a weight is *computed* (`tinyml.nn.weights`): in its place stands a module that holds
theta and whose forward() returns Q(theta). The layer asks for its weight, and gets Q(theta):
the loss is l(f(x; Q(theta)), y).

Sources: MATH5836 week 10, section 10.2.2; Bengio, Leonard and Courville 2013, Estimating or
propagating gradients through stochastic neurons; Jacob et al. 2018 (section 3); Esser,
McKinstry, Bablani, Appuswamy and Modha 2020, Learned step size quantization.
"""
import copy
import math

import numpy as np

from tinyml import ops
from tinyml.check import check_number
from tinyml.compression.quantization import (DequantizedWeight, QParams, channel_range, choose_qparams,
                                             code_range, smallest_dtype, stored)
from tinyml.nn import Parameter
from tinyml.nn.weights import ComputedWeight, computed_weights, replace_weights, swap
from tinyml.tensor import primitive


class FakeQuantizedWeight(ComputedWeight):
    """S (clip(round(theta / S) + Z) - Z), with S and Z from the range of theta at every call.

    Parameters
    ----------
    weight : Parameter, theta, shape (channels, ...), not empty
    bits, symmetric : as in `quantization.choose_qparams`
    share : float in (0, 1], of the range that the codes span; below 1 the largest weights are
        clipped
    gradient : "identity" everywhere, as in the notes, or "inside" the range of the codes only
    """

    def __init__(self, weight, *, bits, symmetric=True, share=1.0, gradient="identity"):
        code_range(bits, symmetric=symmetric, function="FakeQuantizedWeight")
        if gradient not in ("identity", "inside"):
            raise ValueError('FakeQuantizedWeight: gradient must be "identity" or "inside", got '
                             f"{gradient!r}")
        share = check_number("FakeQuantizedWeight", "share", share, above=0, at_most=1)
        self.weight, self.bits, self.symmetric = weight, bits, symmetric
        self.share, self.gradient = share, gradient

    @property
    def qparams(self):
        """The `QParams` of theta as it is now, a step for each channel."""
        low, high = channel_range(self.weight.data, axis=0)
        return stored(choose_qparams(self.share * low, self.share * high, bits=self.bits,
                                     symmetric=self.symmetric), self.weight.dtype)

    def forward(self):
        scale, zero_point, quant_min, quant_max = self.qparams
        if self.gradient == "inside":
            return ops.fake_quantize(self.weight, scale=scale, zero_point=zero_point, quant_min=quant_min,
                                     quant_max=quant_max)
        zero_point = zero_point.astype(scale.dtype)
        code = ops.clamp_ste(ops.round_ste(self.weight / scale) + zero_point, low=quant_min, high=quant_max)
        return (code - zero_point) * scale

    def extra_repr(self):
        return f"bits={self.bits}, gradient={self.gradient!r}"


@primitive
def learned_step(v, s, *, quant_min, quant_max):
    """v^ = s clip(round(v / s), quant_min, quant_max), and how it changes with v and with s.

    (Esser et al. 2020, equations 1 to 3 and 5.) Backward:

        dv^/dv = 1 inside, 0 outside        dv^/ds = round(v/s) - v/s inside, quant_min or quant_max outside

    inside means quant_min <= v/s <= quant_max; round takes the nearest integer, halves to even.

    Parameters
    ----------
    v : Tensor, any shape
    s : Tensor > 0 that broadcasts to v, the step
    quant_min, quant_max : int, quant_min < quant_max

    Raises
    ------
    ValueError : a step is not > 0, or quant_min >= quant_max
    """
    if not (s > 0).all():
        raise ValueError(f"learned_step: s must be > 0, got {s.min()}; a smaller lr for the steps may help")
    if quant_min >= quant_max:
        raise ValueError(f"learned_step: quant_min must be < quant_max, got {quant_min}, {quant_max}")
    ratio = v / s
    inside = (quant_min <= ratio) & (ratio <= quant_max)
    code = np.clip(np.round(ratio), quant_min, quant_max)
    return code * s, (lambda g: g * inside,
                      lambda g: g * np.where(inside, code - ratio, code))


class LearnedStepWeight(ComputedWeight):
    """A weight whose codes and steps are learned together: `learned_step` (Esser et al. 2020).

    Codes -2^(b-1) ... 2^(b-1) - 1, a step s for each output channel, at first 2 mean|v| /
    sqrt(quant_max) (section 2.1), 1 for a channel of zeros. A step adds up the gradients of N
    weights, and would learn too fast beside them. So the paper multiplies its gradient by
    factor = 1 / sqrt(N quant_max) (section 2.2). That slows SGD, but not Adam, whose moves do
    not depend on the size of gradients. Here the parameter is raw, with s = factor * raw. So
    Adam's moves of s become factor times as large. SGD's become factor^2 times as large,
    because the gradient in raw is factor times smaller, too: the paper's rule with the rate
    factor lr.

    Parameters
    ----------
    weight : Parameter, v, shape (channels, ...), finite, not empty
    bits : int in 2..16
    """

    def __init__(self, weight, *, bits):
        _, self.quant_max = code_range(bits, symmetric=True, function="LearnedStepWeight")
        self.quant_min, self.weight = -self.quant_max - 1, weight
        low, high = channel_range(weight.data, axis=0)    # for its checks
        size = np.abs(weight.data).reshape(len(weight), -1).mean(axis=1).reshape(low.shape)
        step = np.where(size > 0, 2 * size / math.sqrt(self.quant_max), 1)
        self.factor = 1 / math.sqrt(max(weight.size / len(weight) * self.quant_max, 1))
        self.raw = Parameter((step / self.factor).astype(weight.dtype).ravel(),    # (channels,), no weight
                             weight.requires_grad)

    def step(self):
        """s, shape (channels, 1, ...)."""
        return (self.raw * self.factor).reshape(-1, *[1] * (self.weight.ndim - 1))

    @property
    def qparams(self):
        """The `QParams` of the codes as they are now."""
        scale = self.step().data
        return QParams(scale, np.zeros(scale.shape, np.int64), self.quant_min, self.quant_max)

    def forward(self):
        return learned_step(self.weight, self.step(), quant_min=self.quant_min, quant_max=self.quant_max)

    def extra_repr(self):
        return f"codes {self.quant_min}..{self.quant_max}"


def prepare(model, *, bits, method="straight-through", **options):
    """A copy of the model that computes with quantized weights (`tinyml.nn.weights`), ready to be trained.

    Make the optimizer of the copy's parameters(). Weights that are computed already stay as
    they are.

    Parameters
    ----------
    model : Module
    bits : int in 2..16
    method : "straight-through" (`FakeQuantizedWeight`) or "learned step" (`LearnedStepWeight`)
    **options : for `FakeQuantizedWeight`: symmetric, share, gradient

    Returns
    -------
    Module

    Raises
    ------
    ValueError : an unknown method, bits out of range, an empty or infinite weight, or nothing
        to quantize

    Warns
    -----
    UserWarning : a weight is computed already
    """
    kinds = {"straight-through": FakeQuantizedWeight, "learned step": LearnedStepWeight}
    if method not in kinds:
        raise ValueError(f'prepare: method must be "straight-through" or "learned step", got {method!r}')
    code_range(bits, symmetric=options.get("symmetric", True), function="prepare")
    return replace_weights("prepare", copy.deepcopy(model),
                           lambda weight: kinds[method](weight, bits=bits, **options))


def convert(model):
    """A copy of a prepared model with the codes alone, as `quantization.DequantizedWeight`: same outputs, bit
    for bit, without the real weights.

    Parameters
    ----------
    model : Module, as from `prepare`

    Returns
    -------
    Module

    Raises
    ------
    ValueError : the model has no prepared weight
    """
    model = copy.deepcopy(model)
    prepared = [weight for weight in computed_weights(model).values()
                if isinstance(weight, (FakeQuantizedWeight, LearnedStepWeight))]
    if not prepared:
        raise ValueError("convert: model must come from prepare, got none of its weights")
    swap(model, {weight: DequantizedWeight(codes_of(weight), weight.qparams, dtype=weight.weight.dtype)
                 for weight in prepared})
    return model


def codes_of(weight):
    """The integer codes that a `FakeQuantizedWeight` or `LearnedStepWeight` computes with now."""
    scale, zero_point, quant_min, quant_max = weight.qparams
    codes = np.round(weight().data.astype(np.float64) / scale) + zero_point
    return codes.astype(smallest_dtype(quant_min, quant_max))
