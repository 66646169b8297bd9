"""Few bits without training: clip the rare large numbers, so that all others get finer codes.

Problem: at 4 bits and below, a range from the smallest to the largest number spends its few
codes on outliers.

Idea: codes of M bits for -alpha ... alpha make two errors. Numbers outside are clipped, and
numbers inside are rounded to a grid of step 2 alpha / 2^M. A smaller alpha makes the first error
larger and the second smaller. For a known density the expected squared error has a formula
(`expected_error`). So for each M there is a best alpha: "analytical clipping for integer
quantization", ACIQ. Two more repairs need no data either. Rounding changes the mean and the norm
of a channel's weights, so restore them. And channels with a wide range can get more codes than
channels with a narrow range (`bit_allocation`).

As in the paper, M is the number of bits, and b = mean |x - mean(x)| is the scale of a Laplace
density, as sigma is that of a Gaussian.

Sources: Banner, Nahshan and Soudry 2019, Post training 4-bit quantization of convolutional
networks for rapid-deployment (section 3 with equations 5 and 6, section 4); MATH5836 week 10,
section 10.2.2.
"""
import copy
import math

import numpy as np

from tinyml.compression.bit_allocation import allocate_bits
from tinyml.compression.quantization import choose_qparams, quantize
from tinyml.contract import checked
from tinyml.nn.weights import ComputedWeight, replace_weights
from tinyml.tensor import Tensor


@checked
def expected_error(
    alpha: "float > 0; in units of b or sigma",
    *,
    bits: "int in 1..16; M",
    density: '"laplace" or "gaussian"',
):
    """The mean squared error of clipping at alpha and rounding to 2^M codes, for a mean of 0.

        Laplace:     2 e^-alpha  +  alpha^2 / (3 4^M)
        Gaussian:    (1 + alpha^2) erfc(alpha / sqrt(2))  -  sqrt(2/pi) alpha e^(-alpha^2 / 2)
                         +  alpha^2 / (3 4^M)

    (Banner et al. 2019, equations 5 and 6.) The error is in units of b^2 (Laplace) or sigma^2
    (Gaussian).
    """
    rounding = alpha ** 2 / (3 * 4 ** bits)
    if density == "laplace":
        clipping = 2 * math.exp(-alpha)
    else:
        tail = math.erfc(alpha / math.sqrt(2))
        bell = math.sqrt(2 / math.pi) * math.exp(-alpha ** 2 / 2)
        clipping = (1 + alpha ** 2) * tail - alpha * bell
    return clipping + rounding


@checked
def optimal_clip(bits: "as in `expected_error`", *, density: "as in `expected_error`"):
    """The alpha with the smallest expected error, in units of b (Laplace) or sigma (Gaussian).

    At this alpha the derivative of `expected_error` is 0. The derivative divided by 2 alpha is

        Laplace:     1 / (3 4^M) - e^-alpha / alpha
        Gaussian:    1 / (3 4^M) - sqrt(2/pi) e^(-alpha^2/2) / alpha + erfc(alpha / sqrt(2))

    and changes its sign only once, from - to +, so bisection finds the zero.

    >>> [round(optimal_clip(4, density=density), 2) for density in ("laplace", "gaussian")]
    [5.03, 2.56]
    """
    def slope(alpha):
        rounding = 1 / (3 * 4 ** bits)
        if density == "laplace":
            return rounding - math.exp(-alpha) / alpha
        tail = math.erfc(alpha / math.sqrt(2))
        bell = math.sqrt(2 / math.pi) * math.exp(-alpha ** 2 / 2)
        return rounding - bell / alpha + tail

    low, high = 1e-6, 50.0
    while high - low > 1e-12 * high:
        middle = (low + high) / 2
        if slope(middle) < 0:
            low = middle
        else:
            high = middle
    return (low + high) / 2


@checked
def clipped_range(
    x: "array_like of float64, not empty",
    *,
    bits: "as in `expected_error`",
    density: "as in `expected_error`",
) -> "low, high : float, for `choose_qparams`":
    """The range that ACIQ chooses: mean - alpha ... mean + alpha, but no wider than that of x.

    alpha is `optimal_clip` times b, the mean of |x - mean| ("laplace"), or times sigma, the
    standard deviation ("gaussian").
    """
    mean = x.mean()
    deviation = np.abs(x - mean).mean() if density == "laplace" else x.std()
    alpha = deviation * optimal_clip(bits, density=density)
    low = max(mean - alpha, x.min())
    high = min(mean + alpha, x.max())
    return low, high


@checked
def correct_bias(
    quantized: "array_like of float64, shape (channels, m, *S), not empty; W_q",
    weight: "array_like of float64, shape (channels, m, *S); W",
) -> "ndarray, shape (channels, m, *S)":
    """Restore mean and norm of each channel of quantized weights (Banner et al. 2019, section 4).

        W_q <- (W_q + mean(W) - mean(W_q)) * ||W - mean(W)|| / ||W_q - mean(W_q)||

    The factor also multiplies the restored mean. If all W_q of a channel are equal, the channel
    is only shifted.
    """
    shift, factor = _shift_and_factor(quantized, weight)
    return (quantized + shift) * factor


def _shift_and_factor(Q, W):
    """The two corrections of each channel, shape (channels, 1, ...)."""
    others = tuple(range(1, W.ndim))
    mean_w = W.mean(axis=others, keepdims=True)
    mean_q = Q.mean(axis=others, keepdims=True)
    shift = mean_w - mean_q
    std_w = W.std(axis=others, keepdims=True)    # their ratio is that of the norms
    std_q = Q.std(axis=others, keepdims=True)
    varied = std_q > 1e-12 * std_w
    factor = np.ones_like(std_w)
    factor[varied] = std_w[varied] / std_q[varied]
    return shift, factor


@checked
def channel_codes(
    weight: "array_like of float64, shape (channels, m, ...), not empty",
    *,
    bits: "int in 1..16; of each channel; if allocated, a channel has 2^bits codes on "
          "average",
    density: '"laplace" or "gaussian", or None; for `clipped_range`; None for '
             'the full range' = None,
    corrected: "bool; restore mean and norm (`correct_bias`)" = False,
    allocated: "bool; `allocate_bits` by the widths of the channels" = False,
):
    """Codes q of weights, and for each channel two numbers that decode them: W ~ scale q + offset.

    Each channel has affine codes r = S (q - Z) for its own range (`choose_qparams`), so scale = S
    and offset = -S Z. `correct_bias` replaces r by (r + shift) factor. That changes only scale and
    offset.

    Returns
    -------
    codes : ndarray of uint8, or uint16 if a channel has more than 8 bits, the shape of weight
    scale, offset : ndarray of float64, shape (channels, 1, ...)

    >>> channel_codes([[-1.0, 0.0, 2.0]], bits=2)
    (array([[0, 1, 3]], dtype=uint8), array([[1.]]), array([[-1.]]))
    """
    rows = weight.reshape(len(weight), -1)
    bits_of = np.full(len(rows), bits)    # for each channel
    if allocated:
        bits_of = allocate_bits(np.ptp(rows, axis=1), bits=bits)
    coded = [_one_channel(row, m, density) for row, m in zip(rows, bits_of)]
    codes, S, Z = zip(*coded)
    codes = np.stack(codes).reshape(weight.shape)    # in the largest dtype among the channels
    per_channel = (len(rows), *[1] * (weight.ndim - 1))
    scale = np.reshape(S, per_channel)
    offset = -scale * np.reshape(Z, per_channel)
    if corrected:
        shift, factor = _shift_and_factor(scale * codes + offset, weight)
        scale, offset = factor * scale, factor * (offset + shift)
    return codes, scale, offset


def _one_channel(row, bits, density):
    """The codes of a channel, their step S and the code Z of 0."""
    low, high = row.min(), row.max()
    if density is not None:
        low, high = clipped_range(row, bits=bits, density=density)
    qparams = choose_qparams(low, high, bits=bits, symmetric=False)
    return quantize(row, qparams), qparams.scale, qparams.zero_point


# ------------------------------------------------------------ models

class ScaledCodes(ComputedWeight):
    """A weight that is stored as codes, and computed when a layer uses it: scale q + offset.

    Codes, scale and offset are not trained.

    Parameters
    ----------
    codes : ndarray of int, the shape of the weight
    scale, offset : ndarrays that broadcast to the shape of the weight
    dtype : dtype of the weight, and of the stored scale and offset
    """

    def __init__(self, codes, scale, offset, *, dtype=np.float32):
        self.codes = codes
        self.scale = np.asarray(scale, dtype)
        self.offset = np.asarray(offset, dtype)

    def forward(self):
        codes = self.codes.astype(self.scale.dtype)
        return Tensor(self.scale * codes + self.offset)

    def extra_repr(self):
        return f"codes 0..{self.codes.max(initial=0)}"


@checked
def quantize_repaired(
    model: "Module; with weights that are finite",
    *,
    bits: "as in `channel_codes`",
    density: "as in `channel_codes`" = None,
    corrected: "as in `channel_codes`" = False,
    allocated: "as in `channel_codes`" = False,
):
    """Post-training quantization with the repairs: a copy of the model with `channel_codes`.

    The weights are those of `tinyml.nn.weights`. Biases and norms stay as they are. A computed
    weight also stays as it is, with a warning.
    """
    def coded(weight):
        codes, scale, offset = channel_codes(weight.data, bits=bits, density=density,
                                             corrected=corrected, allocated=allocated)
        return ScaledCodes(codes, scale, offset, dtype=weight.dtype)
    return replace_weights("quantize_repaired", copy.deepcopy(model), coded)
