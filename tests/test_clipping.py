"""The laws of clipping: its expected error, the best clip, and what the other repairs restore."""
import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from strategies import rngs

from tinyml import Tensor, nn
from tinyml.compression.bit_allocation import allocate_bits
from tinyml.compression.clipping import (
    channel_codes,
    clipped_range,
    correct_bias,
    expected_error,
    optimal_clip,
    quantize_repaired,
)
from tinyml.compression.coding.storage import load_compressed, save_compressed
from tinyml.compression.quantization import choose_qparams, dequantize, quantize

densities = pytest.mark.parametrize("density", ["laplace", "gaussian"])
OPTIONS = [{}, {"density": "laplace"}, {"density": "gaussian", "corrected": True}, {"allocated": True}]
DRAW = {"laplace": lambda rng, n: rng.laplace(size=n), "gaussian": lambda rng, n: rng.standard_normal(n)}
TABLE = {    # Banner et al. 2019, for 2 to 8 bits
    "laplace": [2.83, 3.89, 5.03, 6.20, 7.41, 8.64, 9.89],
    "gaussian": [1.71, 2.15, 2.55, 2.93, 3.28, 3.61, 3.92],
}


@densities
def test_the_best_clips_are_those_of_the_paper(density):
    """To half a unit of the last digit printed, and the error of its own numerical search."""
    ours = [optimal_clip(bits, density=density) for bits in range(2, 9)]
    assert_allclose(ours, TABLE[density], atol=0.015)


@densities
@pytest.mark.parametrize("bits", [1, 4, 8, 16])
def test_the_derivative_changes_its_sign_at_the_best_clip(density, bits):
    """From below to above 0 within a relative 1e-9: its own rounding is some eps of its terms, which are
    proportional to 1 / 4^M there."""
    def slope(alpha):    # d expected_error / d alpha, times 3 4^M / (2 alpha)
        tail = {"laplace": math.exp(-alpha), "gaussian": math.sqrt(2 / math.pi) * math.exp(-alpha ** 2 / 2)
                - alpha * math.erfc(alpha / math.sqrt(2))}[density]
        return 1 - 3 * 4 ** bits * tail / alpha
    best = optimal_clip(bits, density=density)
    assert slope(best * (1 - 1e-9)) < 0 < slope(best * (1 + 1e-9))


@densities
@given(bits=st.integers(1, 16), share=st.floats(0.3, 3))
def test_no_other_clip_has_a_smaller_expected_error(density, bits, share):
    best = optimal_clip(bits, density=density)
    assert (expected_error(best, bits=bits, density=density)
            <= expected_error(share * best, bits=bits, density=density) * (1 + 1e-12))


@densities
@pytest.mark.parametrize("bits", [3, 4, 6])
def test_the_expected_error_is_that_of_real_numbers(density, bits):
    """Clipped to -+alpha and rounded to the middles of 2^M cells, as the formula has it: mean of 2e5
    draws, whose relative standard error is below 2 %: three of them; and cells are not quite uniform."""
    x, alpha = DRAW[density](np.random.default_rng(0), 200_000), optimal_clip(bits, density=density)
    step = 2 * alpha / 2 ** bits
    cells = np.clip(np.floor(x / step), -2 ** (bits - 1), 2 ** (bits - 1) - 1)
    error = np.mean((np.where(np.abs(x) > alpha, np.sign(x) * alpha, (cells + 0.5) * step) - x) ** 2)
    assert_allclose(error, expected_error(alpha, bits=bits, density=density), rtol=0.12)
    assert np.ndim(expected_error(alpha, bits=bits, density=density)) == 0


P = {"laplace": lambda x: np.exp(-x) / 2, "gaussian": lambda x: np.exp(-x * x / 2) / np.sqrt(2 * np.pi)}


@densities
@given(bits=st.integers(1, 16), alpha=st.floats(0.1, 9))
@example(bits=16, alpha=6.5)    # 1 - erf has six digits left
def test_the_expected_error_is_the_integral_of_the_tails_and_a_step_squared_over_12(density, bits, alpha):
    """By the trapezoidal rule, up to where nothing is left; its error is that of h^4, for the slope is 0 at alpha."""
    beyond = np.linspace(0, 40, 8001)
    clipped = 2 * np.trapezoid(beyond ** 2 * P[density](alpha + beyond), beyond)
    step = 2 * alpha / 2 ** bits
    assert_allclose(expected_error(alpha, bits=bits, density=density), clipped + step ** 2 / 12, rtol=1e-7)


@densities
@settings(max_examples=10)
@given(rng=rngs, bits=st.integers(2, 4), scale=st.floats(0.1, 10))
def test_clipping_beats_the_full_range_at_few_bits(density, rng, bits, scale):
    x = scale * DRAW[density](rng, 5000)

    def error(low, high):
        q = choose_qparams(low, high, bits=bits, symmetric=False)
        return np.mean((dequantize(quantize(x, q), q, dtype=np.float64) - x) ** 2)
    low, high = clipped_range(x, bits=bits, density=density)
    assert x.min() <= low < high <= x.max()
    assert error(low, high) < error(x.min(), x.max())


def rounded(W, **options):
    """What the codes stand for."""
    codes, scale, offset = channel_codes(W, **options)
    return scale * codes + offset


@given(rngs, st.integers(1, 4), st.integers(1, 6), st.integers(1, 5), st.sampled_from([None, "gaussian"]))
def test_a_channel_has_the_codes_of_its_range_and_a_line_to_read_them(rng, channels, size, bits, density):
    W = rng.standard_normal((channels, size, 2)) * rng.uniform(0.1, 10, (channels, 1, 1))
    codes, scale, offset = channel_codes(W, bits=bits, density=density)
    assert codes.dtype == np.uint8 and codes.max() < 2 ** bits
    assert scale.shape == offset.shape == (channels, 1, 1)
    for row, q, r in zip(W, codes, scale * codes + offset):
        ends = clipped_range(row, bits=bits, density=density) if density else (row.min(), row.max())
        qparams = choose_qparams(*ends, bits=bits, symmetric=False)
        assert_array_equal(q, quantize(row, qparams))
        assert_allclose(r, dequantize(q, qparams, dtype=np.float64), atol=1e-12 * np.abs(row).max())
    assert_allclose(rounded(W, bits=bits, density=density, corrected=True),
                    correct_bias(scale * codes + offset, W), atol=1e-11 * np.abs(W).max())
    M = allocate_bits(np.ptp(W.reshape(channels, -1), axis=1), bits=bits)
    assert (channel_codes(W, bits=bits, allocated=True)[0].max(axis=(1, 2)) <= 2 ** M - 1).all()


@given(rngs, st.integers(1, 4), st.integers(2, 8), st.integers(2, 4))
def test_corrected_channels_have_the_mean_and_norm_of_the_weights(rng, channels, size, bits):
    W = rng.standard_normal((channels, size)) + 1
    Q = rounded(W, bits=bits)
    C = correct_bias(Q, W)
    varied = np.ptp(Q, axis=1) > 0
    centred = lambda a: a - a.mean(axis=1, keepdims=True)
    assert_allclose(np.linalg.norm(centred(C)[varied], axis=1), np.linalg.norm(centred(W)[varied], axis=1),
                    rtol=1e-9)
    shift = W.mean(axis=1) - Q.mean(axis=1)    # the shift first, then the factor, as in the paper
    factor = np.linalg.norm(centred(W), axis=1)[varied] / np.linalg.norm(centred(Q), axis=1)[varied]
    assert_allclose(C[varied], (Q + shift[:, None])[varied] * factor[:, None], rtol=1e-9, atol=1e-12)
    assert_allclose(correct_bias(W, W), W)
    for axes in ((1, size), (1, size, 1)):    # a channel is whatever is behind axis 0
        filters = [a.reshape(channels, *axes) for a in (Q, W, C)]
        assert_allclose(correct_bias(*filters[:2]), filters[2], atol=1e-12)
    flat = np.full_like(W, 0.7)    # nothing to stretch: only shifted
    assert_allclose(correct_bias(flat, W), W.mean(axis=1, keepdims=True) + 0 * flat)


@densities
@given(rng=rngs, bits=st.integers(1, 8), scale=st.floats(0.1, 10))
def test_the_range_is_the_best_clip_around_the_mean_or_that_of_the_numbers(density, rng, bits, scale):
    x = scale * DRAW[density](rng, 50) + 3
    spread = {"laplace": np.abs(x - x.mean()).mean(), "gaussian": x.std()}[density]
    alpha = spread * optimal_clip(bits, density=density)
    low, high = clipped_range(x, bits=bits, density=density)
    assert_allclose([low, high], [max(x.min(), x.mean() - alpha), min(x.max(), x.mean() + alpha)], rtol=1e-12)


@pytest.mark.parametrize("options", OPTIONS)
def test_channels_of_one_value_are_exact_or_nearly(options):
    W = np.array([[0.0, 0, 0], [2, 2, 2], [-1, -1, -1]])
    assert_allclose(rounded(W, bits=4, **options), W, atol=1e-12)


@pytest.mark.parametrize("options", OPTIONS)
def test_a_repaired_model_computes_with_what_its_codes_stand_for_and_is_small_in_a_file(options, tmp_path):
    rng = np.random.default_rng(0)
    model = nn.Sequential(nn.Conv2d(1, 20, 3, rng=rng), nn.ReLU(), nn.Flatten(), nn.Linear(320, 40, rng=rng))
    small, x = quantize_repaired(model, bits=3, **options), rng.standard_normal((5, 1, 6, 6))
    for i in (0, 3):
        assert isinstance(model[i].weight, nn.Parameter) and small[i].weight.codes.dtype == np.uint8
        model[i].weight = nn.Parameter(np.float32(rounded(model[i].weight.data, bits=3, **options)))
    x = Tensor(x.astype(np.float32))
    assert_allclose(small(x).data, model(x).data, atol=1e-4)    # sums of up to 320 products in float32
    save_compressed(small, tmp_path / "model")
    assert load_compressed(tmp_path / "model")(x).data.tobytes() == small(x).data.tobytes()
    n, rows = 20 * 9 + 320 * 40, 60    # at most 3 bits a weight, 3 floats a channel, and what codes are told by
    assert 8 * (tmp_path / "model").stat().st_size < (3 if "allocated" not in options else 3.3) * n \
        + 96 * rows + 8 * 400


@pytest.mark.parametrize("weight", [np.ones(3), np.ones((0, 3)), np.ones((3, 0)), [[np.nan]]])
def test_weights_have_two_axes_and_are_finite(weight):
    with pytest.raises(ValueError, match="^channel_codes: weight must be "):
        channel_codes(weight, bits=4)
    with pytest.raises(ValueError, match="^correct_bias: quantized must be "):
        correct_bias(weight, weight)


def test_a_model_without_weights_is_refused():
    with pytest.raises(ValueError, match="^quantize_repaired: model must have a weight, a parameter with two or"):
        quantize_repaired(nn.ReLU(), bits=4)
