"""Quantization after training: real numbers as small integers, and what that costs.

Problem: 32 bits per weight are more than a network needs. Which integers stand for which
numbers, and how many bits are enough?

The notes begin with q = round(theta / Delta), Delta = max |theta| / K, and codes 0 ... K - 1:
see `notes_codes` for what it breaks: a negative weight has no code, and the largest has code
K. Two repairs:

    symmetric    q in {-(2^(b-1) - 1) ... 2^(b-1) - 1},    r = S q              for weights, around 0
    affine       q in {0 ... 2^b - 1},                     r = S (q - Z)        for any range

S > 0 is the step. The integer Z is the code of 0, so 0 is represented exactly: zeros, from
padding or from ReLU, are the most common number in a network. An x inside the range moves by at
most S / 2. One S for a whole tensor must suit its largest entry; a step for each output channel
(`axis`) lets each use its own range.

Sources: MATH5836 week 10, section 10.2.2; Jacob et al. 2018, Quantization and training of
neural networks for efficient integer-arithmetic-only inference (equation 1, sections 2.1 and
3).
"""
import copy
import warnings
from typing import NamedTuple

import numpy as np

from tinyml.check import check_number, check_real, check_sizes
from tinyml.nn import BatchNorm1d, BatchNorm2d, Conv1d, Conv2d, Linear, Parameter
from tinyml.nn.places import is_chain
from tinyml.nn.weights import ComputedWeight, replace_weights
from tinyml.tensor import Tensor

MAX_BITS = 16


class QParams(NamedTuple):
    """How codes stand for numbers: r = scale (q - zero_point), with q in quant_min ... quant_max."""

    scale: np.ndarray         # the step S > 0, a number, or one for each channel
    zero_point: np.ndarray    # the code Z of the number 0, of the scale's shape
    quant_min: int
    quant_max: int


def notes_codes(theta, *, k):
    """The notes' first step (MATH5836 week 10, section 10.2.2), as it is written there:

        q_j = round(theta_j / Delta),    Delta = max |theta| / K

    round takes the nearest integer; halves round to even. The codes are meant to be 0 ... K - 1.
    Half of the weights of a network are negative, and so are their codes; and the largest weight
    has the code K. `choose_qparams` repairs both.

    Parameters
    ----------
    theta : array_like, any shape, not empty
    k : int >= 1, K

    Returns
    -------
    codes : ndarray of int64, the shape of theta, in -K ... K
    delta : float, the step Delta; 1 if theta is zero

    Raises
    ------
    TypeError, ValueError : theta is not real, not finite or empty, or k is not an int >= 1

    Examples
    --------
    >>> notes_codes([-1.0, 0.3, 1.0], k=4)
    (array([-4,  1,  4]), 0.25)
    """
    theta = _filled("notes_codes", "theta", theta)
    check_sizes("notes_codes", k=k)
    delta = float(np.abs(theta).max()) / k or 1.0
    return np.round(theta / delta).astype(np.int64), delta


def choose_qparams(low, high, *, bits, symmetric):
    """The step S and the code Z of 0 for numbers from low to high (Jacob et al. 2018, section 3).

        symmetric:   S = max(|low|, |high|) / (2^(b-1) - 1),    Z = 0,    codes -(2^(b-1) - 1) ... 2^(b-1) - 1
        affine:      S = (high - low) / (2^b - 1),    Z = round(-low / S),    codes 0 ... 2^b - 1

    The range is widened to hold 0 first; and as Z is rounded (halves to even),
    both its ends move by up to S / 2. S = 1 where the formula gives 0: a range of the single
    number 0, or of the smallest numbers there are. From 2 bits on a float64 holds S for all
    ends, also where it does not hold high - low.

    Parameters
    ----------
    low, high : float or array_like of one shape, low <= high; a number for each channel
    bits : int in 2..16 if symmetric, else in 1..16
    symmetric : bool

    Returns
    -------
    QParams, scale of float64 and zero_point of int64 in the shape of low

    Raises
    ------
    TypeError, ValueError : an end is not real or not finite, low > high, or bits is out of range

    Examples
    --------
    >>> choose_qparams(-1.0, 3.0, bits=8, symmetric=False).zero_point
    array(64)
    """
    low, high = (check_real("choose_qparams", name, end).astype(np.float64)
                 for name, end in (("low", low), ("high", high)))
    if low.shape != high.shape or (low > high).any():
        raise ValueError(f"choose_qparams: low must be <= high and of its shape, got {low} and {high}")
    quant_min, quant_max = code_range(bits, symmetric=symmetric, function="choose_qparams")
    low, high = np.minimum(low, 0), np.maximum(high, 0)
    if symmetric:
        low, high = -np.maximum(-low, high), np.maximum(-low, high)
    step = high / (quant_max - quant_min) - low / (quant_max - quant_min)    # high - low may overflow
    scale = np.where(step > 0, step, 1.0)
    zero_point = np.zeros(low.shape) if symmetric else np.round(-low / scale)
    return QParams(scale, np.asarray(zero_point, np.int64), quant_min, quant_max)


def code_range(bits, *, symmetric, function="code_range"):
    """The smallest and the largest code: see `choose_qparams`, also for the errors, which name `function`."""
    least = 2 if symmetric else 1
    if not isinstance(bits, (int, np.integer)) or not least <= bits <= MAX_BITS:
        raise ValueError(f"{function}: bits must be an int in {least}..{MAX_BITS}"
                         f"{' for symmetric codes' * symmetric}, got {bits!r}")
    return (1 - 2 ** (bits - 1), 2 ** (bits - 1) - 1) if symmetric else (0, 2 ** bits - 1)


def quantize(x, qparams):
    """q = clip(round(x / S) + Z, quant_min, quant_max): the code of every number (Jacob et al. 2018, eq. 1).

    x / S is rounded to the nearest integer, halves to even; then Z is added.

    Parameters
    ----------
    x : array_like, any shape that scale and zero_point broadcast to
    qparams : QParams

    Returns
    -------
    ndarray, the shape of x, of the smallest integer dtype that holds all codes: up to 8 bits
        int8 if they are symmetric, uint8 if affine

    Raises
    ------
    TypeError, ValueError : x is not real or not finite
    """
    scale, zero_point, quant_min, quant_max = qparams
    x = check_real("quantize", "x", x)
    code = np.clip(np.round(x / scale) + zero_point, quant_min, quant_max)
    return code.astype(smallest_dtype(quant_min, quant_max))


def smallest_dtype(low, high):
    """The first of uint8, int8, uint16, int16, int32 and int64 that holds low ... high."""
    return next(np.dtype(kind) for kind in ("u1", "i1", "u2", "i2", "i4", "i8")
                if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max)


def dequantize(codes, qparams, *, dtype=np.float32):
    """r = S (q - Z): the number that a code stands for.

    Parameters
    ----------
    codes : ndarray of integers, from `quantize`
    qparams : QParams
    dtype : of the result

    Returns
    -------
    ndarray of dtype, the shape of codes

    Raises
    ------
    TypeError : codes are not integers
    """
    codes = np.asarray(codes)
    if codes.dtype.kind not in "iu":
        raise TypeError(f"dequantize: codes must be integers, got dtype {codes.dtype}; quantize first")
    return (qparams.scale * (codes.astype(np.int64) - qparams.zero_point)).astype(dtype)


# ------------------------------------------------------------ ranges

def channel_range(x, *, axis=None):
    """The smallest and the largest number of x, or of each slice along an axis.

    The reduced axes stay, with length 1.

    Parameters
    ----------
    x : array_like, not empty
    axis : int in -ndim..ndim-1, or None; for axis 0 of a (C, ...) tensor the results have
        shape (C, 1, ...)

    Returns
    -------
    low, high : ndarrays, of the axes of x; numbers if axis is None

    Raises
    ------
    TypeError : x is not real
    ValueError : x is not finite or is empty; it has no such axis
    """
    x = _filled("channel_range", "x", x)
    if axis is None:
        return x.min(), x.max()
    if not -x.ndim <= axis < x.ndim:
        raise ValueError(f"channel_range: axis must be in {-x.ndim}..{x.ndim - 1}, got {axis!r}")
    others = tuple(i for i in range(x.ndim) if i != axis % x.ndim)
    return x.min(axis=others, keepdims=True), x.max(axis=others, keepdims=True)


class MinMaxObserver:
    """The smallest and the largest number ever seen: nothing is clipped, outliers decide."""

    def __init__(self):
        self.low, self.high = np.inf, -np.inf    # nothing seen yet

    def update(self, x):
        """Look at an array of numbers; an empty one changes nothing."""
        x = check_real(type(self).__name__, "x", x)
        if x.size:
            self.look(x)

    def look(self, x):
        self.low, self.high = min(self.low, float(x.min())), max(self.high, float(x.max()))

    def range(self):
        """(low, high) for `choose_qparams`. Raises RuntimeError if nothing was seen."""
        if self.low > self.high:
            raise RuntimeError(f"{type(self).__name__}: update must come before range, got no number yet")
        return self.low, self.high


class MovingAverageObserver(MinMaxObserver):
    """Ends that follow those of each batch (Jacob et al. 2018, section 3.1): end += rate (new - end).

    rate : float in (0, 1], the weight of the newest batch
    """

    def __init__(self, rate=0.1):
        super().__init__()
        rate = check_number("MovingAverageObserver", "rate", rate, above=0, at_most=1)
        self.rate = rate

    def look(self, x):
        if self.low > self.high:
            return super().look(x)
        self.low += self.rate * (float(x.min()) - self.low)
        self.high += self.rate * (float(x.max()) - self.high)


class SamplingObserver(MinMaxObserver):
    """Base of observers that ask more of the numbers than their ends: it keeps a sample of them.

    Up to 65,536 numbers it keeps them all, and its answer is exact. Of more it keeps a uniform
    sample of so many: every number draws a key from U(0, 1), and those with the smallest keys
    stay (reservoir sampling; Efraimidis and Spirakis 2006). So an update takes time in
    proportion to its own numbers, the memory is bounded, and a share p of all numbers is a
    share p +- sqrt(p (1 - p) / 65536) of the sample (one standard deviation). The keys come
    from a generator of its own with a fixed seed. Both ends stay exact.
    """
    capacity = 2 ** 16

    def __init__(self):
        super().__init__()
        self.rng = np.random.default_rng(0)
        self.sample, self.keys = np.zeros(0, np.float32), np.zeros(0)

    def look(self, x):
        super().look(x)
        self._add(x.ravel())

    def _add(self, x):
        for part in np.array_split(x, -(-x.size // self.capacity)):    # never more than two capacities
            self.sample = np.concatenate([self.sample, part])
            self.keys = np.concatenate([self.keys, self.rng.random(part.size)])
            if self.sample.size > self.capacity:
                smallest = np.argpartition(self.keys, self.capacity)[:self.capacity]
                self.sample, self.keys = self.sample[smallest], self.keys[smallest]


class PercentileObserver(SamplingObserver):
    """The range that holds the middle `percent` % of all the numbers seen: a few outliers are clipped.

    Beyond 65,536 numbers they are those of a sample (`SamplingObserver`); 100 % is exact at
    any number.

    percent : float in (0, 100]
    """

    def __init__(self, percent=99.9):
        super().__init__()
        percent = check_number("PercentileObserver", "percent", percent, above=0, at_most=100)
        self.percent = percent

    def range(self):
        ends = super().range()
        if self.percent == 100:
            return ends
        tail = (100 - self.percent) / 2
        low, high = np.percentile(self.sample, [tail, 100 - tail]).tolist()
        return low, high


class MSEObserver(SamplingObserver):
    """The range whose codes have the smallest mean squared error: it tries 1 %, 2 % ... 100 % of the full one.

    Beyond 65,536 numbers the errors are those of a sample (`SamplingObserver`).

    bits, symmetric : as in `choose_qparams`
    """

    def __init__(self, *, bits, symmetric=False):
        super().__init__()
        code_range(bits, symmetric=symmetric, function="MSEObserver")
        self.bits, self.symmetric = bits, symmetric

    def range(self):
        low, high = super().range()
        shares = np.linspace(0.01, 1, 100)
        errors = [self._error(share * low, share * high) for share in shares]
        best = shares[int(np.argmin(errors))]
        return float(best * low), float(best * high)

    def _error(self, low, high):
        qparams = choose_qparams(low, high, bits=self.bits, symmetric=self.symmetric)
        rounded = dequantize(quantize(self.sample, qparams), qparams, dtype=np.float64)
        return ((rounded - self.sample) ** 2).mean()


# ------------------------------------------------------------ models

class DequantizedWeight(ComputedWeight):
    """A weight that is stored as integer codes, and computed from them when a layer asks for it.

        W = S (q - Z)

    It takes the place of a weight (`tinyml.nn.weights`). The arithmetic of the layer stays in
    floats: this makes models small, not fast (`integer` computes with integers). Nothing in it
    is trained.

    Parameters
    ----------
    codes : ndarray of an integer dtype, the shape of the weight
    qparams : QParams that broadcast to it
    dtype : of W, and of S as it is stored
    """

    def __init__(self, codes, qparams, *, dtype=np.float32):
        self.codes = codes
        self.scale = np.asarray(qparams.scale, dtype)
        zero_point = np.asarray(qparams.zero_point)
        self.zero_point = zero_point.astype(smallest_dtype(zero_point.min(), zero_point.max()))
        self.quant_min, self.quant_max = qparams.quant_min, qparams.quant_max

    @classmethod
    def from_weight(cls, weight, *, bits, symmetric=True, axis=0):
        """The codes of a weight Tensor, a step for each slice along `axis`, or one if axis is None.

        Raises ValueError for an empty weight, one that is not finite, and bits out of range.
        """
        low, high = channel_range(weight.data, axis=axis)
        qparams = stored(choose_qparams(low, high, bits=bits, symmetric=symmetric), weight.dtype)
        exact = qparams._replace(scale=qparams.scale.astype(np.float64))
        return cls(quantize(weight.data.astype(np.float64), exact), qparams, dtype=weight.dtype)

    @property
    def qparams(self):
        """The QParams of the codes, the scale as the number that is stored."""
        return QParams(self.scale.astype(np.float64), self.zero_point.astype(np.int64), self.quant_min,
                       self.quant_max)

    def forward(self):
        return Tensor(dequantize(self.codes, self.qparams, dtype=self.scale.dtype))

    def extra_repr(self):
        return f"codes {self.quant_min}..{self.quant_max}"


def stored(qparams, dtype):
    """The same, with the step in the dtype of the weights, still > 0."""
    scale = np.maximum(qparams.scale, np.finfo(dtype).tiny).astype(dtype)
    return qparams._replace(scale=scale)


def quantize_weights(model, *, bits, symmetric=True, per_channel=True):
    """Post-training quantization: a copy of the model with its weights (`tinyml.nn.weights`) as codes.

    Biases and norms, which are few, stay as they are, and so do weights that are computed already.

    Parameters
    ----------
    model : Module
    bits : int, as in `choose_qparams`
    symmetric : bool
    per_channel : bool, a step for each output channel, or one for each weight

    Returns
    -------
    Module

    Raises
    ------
    ValueError : bits is out of range, a weight is empty or not finite, or the model has none
        to quantize

    Warns
    -----
    UserWarning : a weight is computed already
    """
    code_range(bits, symmetric=symmetric, function="quantize_weights")
    return replace_weights("quantize_weights", copy.deepcopy(model), lambda weight: (
        DequantizedWeight.from_weight(weight, bits=bits, symmetric=symmetric,
                                      axis=0 if per_channel else None)))


# Which batch norm can become part of which layer.
NORMS = {Linear: BatchNorm1d, Conv1d: BatchNorm1d, Conv2d: BatchNorm2d}


def fold_norm(layer, norm):
    """One layer in place of a layer and the batch norm behind it, equal in evaluation mode.

        gamma (W x + b - mean) / sqrt(var + eps) + beta  =  W' x + b',
        W' = gamma / sqrt(var + eps) W,    b' = gamma / sqrt(var + eps) (b - mean) + beta

    per output channel, with the running mean and variance (Jacob et al. 2018, section 3.2).

    Parameters
    ----------
    layer : Linear, Conv1d or Conv2d; it is not changed
    norm : BatchNorm1d or BatchNorm2d, with a feature for each output channel

    Returns
    -------
    a layer of the same class, with a weight and a bias of its own
    """
    factor = norm.weight.data / np.sqrt(norm.running_var.data + norm.eps)
    per_row = factor.reshape(-1, *[1] * (layer.weight.ndim - 1))
    bias = 0 if layer.bias is None else layer.bias.data
    folded = copy.copy(layer)
    folded.weight = Parameter(per_row * layer.weight.data)
    folded.bias = Parameter(factor * (bias - norm.running_mean.data) + norm.bias.data)
    return folded


def fold_batch_norm(model):
    """A copy of the model where each batch norm right behind a layer is part of it (`fold_norm`).

    This is done in every Sequential of the model, also for a norm behind a Sequential that ends
    with a layer. Behind a Linear, x must be (N, features). In evaluation mode the outputs agree to
    rounding; the folded model has no training mode of its own. A batch norm that is first, or
    behind anything else, stays where it is. A layer, or a weight, that stands at several places is
    folded where a norm follows, and stays as it is elsewhere; so a `forward` that uses such a
    weight itself, without the layer, would find another one.

    Parameters
    ----------
    model : Module, a Sequential or one that has Sequentials inside; neither it nor its mode is
        changed

    Returns
    -------
    Module of the class of model, in evaluation mode, without the batch norms that were folded

    Raises
    ------
    TypeError : the model is no Sequential, and has none
    ValueError : the weight in front of a batch norm is computed, such as a quantized one

    Warns
    -----
    UserWarning : a batch norm stands outside of a Sequential, where what precedes it is not known
    """
    model = copy.deepcopy(model)
    modules = list(model.named_modules())
    chains = [(path, module) for path, module in modules if is_chain(module)]
    if not chains:
        raise TypeError("fold_batch_norm: model must be a Sequential, or have one inside, got "
                        f"{type(model).__name__}")
    for path, chain in reversed(chains):    # inner ones first
        layers = dict(chain.named_children())
        for name in layers:
            del vars(chain)[name]
        prefix = f"{path}." if path else ""
        folded = fold_layers({f"{prefix}{name}": layer for name, layer in layers.items()})
        vars(chain).update({str(i): layer for i, layer in enumerate(folded.values())})
    outside = [f"{path}.{name}".strip(".") for path, module in modules if not is_chain(module)
               for name, child in module.named_children() if isinstance(child, BatchNorm1d)]
    if outside:
        warnings.warn(f"fold_batch_norm: left {', '.join(outside)}; write layer and norm into one "
                      "Sequential", stacklevel=2)
    return model.eval()


def fold_layers(layers):
    """Layers that are applied one by one, without the batch norms that could be folded.

    Parameters
    ----------
    layers : dict of path to Module, in the order of their calls

    Returns
    -------
    dict of path to Module
    """
    folded = {}
    for path, module in layers.items():
        before = next(reversed(folded), None)
        merged = None if before is None else _with_norm(folded[before], module, path)
        if merged is None:
            folded[path] = module
        else:
            folded[before] = merged
    return folded


def _with_norm(layer, norm, path):
    """The layer, or the Sequential that ends with one, with the norm at `path` folded into it.

    None if it cannot be.
    """
    if is_chain(layer) and len(layer):
        *_, (name, last) = layer.named_children()
        merged, layer = _with_norm(last, norm, path), copy.copy(layer)
        vars(layer)[name] = merged
        return None if merged is None else layer
    if type(norm) is not NORMS.get(type(layer)):
        return None
    if not isinstance(layer.weight, Parameter):
        raise ValueError(f"fold_batch_norm: the weight in front of {path} must be a Parameter, got "
                         f"a {type(layer.weight).__name__}; fold first, then quantize or share")
    return fold_norm(layer, norm) if norm.num_features == len(layer.weight) else None


def _filled(function, name, value):
    """The value as a real array with an entry at least, or an error."""
    value = check_real(function, name, value)
    if not value.size:
        raise ValueError(f"{function}: {name} must hold at least one number, got shape {value.shape}")
    return value
