"""Quantization (10.2.2): codes for numbers, gradients through the rounding, integers alone, few bits."""
from tinyml.exercises.exercise import Chapter, Exercise, Mistake

QUANTIZATION, AWARE, INTEGER, CLIPPING = (f"tinyml.compression.{name}" for name in (
    "quantization", "quantization_aware", "integer", "clipping"))
STRAIGHT = "tinyml.ops.straight_through"


def _op_tests(name):
    """The laws of a straight-through primitive: its row of the table in test_ops."""
    laws = ("test_value_is_that_of_numpy", "test_straight_through_borrows_the_gradient_of_another_function",
            "test_float32_stays_float32_whatever_the_constants", "test_nothing_is_written_to",
            "test_vjp_is_linear_in_g")
    return tuple(f"test_ops.py::{law}[{name}]" for law in laws)


CHAPTER = Chapter("quantization", "10.2.2 Quantization: codes, straight-through gradients, integers", (
    Exercise(
        name="notes_codes", target=f"{QUANTIZATION}:notes_codes", level=1, minutes=10, keep=2,
        task="Compute the codes of the notes' formula, and its step, as they are written",
        tests=("test_quantization.py::test_the_notes_formula_errs_by_half_a_step_and_leaves_its_codes",),
        hints=("First the step from the largest magnitude, then the nearest whole number of steps.",
               "Delta = max |theta| / K, or 1 if all weights are 0; q = round(theta / Delta), as int64.",
               "delta = float(...) / k or 1.0; return np.round(...).astype(np.int64), delta"),
        mistakes=(
            Mistake("np.abs(theta).max()", "theta.max()",
                    "The largest weight in magnitude may be negative: take the maximum of |theta|."),
            Mistake("np.round(theta / delta)", "(theta / delta)",
                    "astype cuts the fraction off; round to the nearest code first."),
            Mistake("/ k or 1.0", "/ k", "If all weights are 0, so is the step, and 0 / 0 has no code: use 1 then."),
            Mistake("float(np.abs(theta).max()) / k", "float(np.abs(theta).max()) / max(k - 1, 1)",
                    "As the notes write it, Delta = max |theta| / K: that the largest weight then has the code K is what "
                    "they overlook."),
            Mistake("np.round(theta / delta)", "np.round(theta * delta)",
                    "A code counts the steps in a weight: divide by Delta."))),
    Exercise(
        name="choose_qparams", target=f"{QUANTIZATION}:choose_qparams", level=3, minutes=25, keep=3,
        after=("notes_codes",),
        task="Choose the step S and the code Z of zero for a range of numbers, symmetric or affine",
        tests=("test_quantization.py::test_inside_the_range_the_error_is_at_most_half_a_step",
               "test_quantization.py::test_zero_is_exact_and_codes_are_few_small_and_idempotent",
               "test_quantization.py::test_ranges_at_the_edge_give_the_right_answer",
               "test_quantization.py::test_a_step_per_channel_is_that_of_each_channel_alone"),
        hints=("First widen the range to hold 0. For symmetric codes make it symmetric; then both kinds have one formula "
               "for the step.",
               "S = high / (quant_max - quant_min) - low / (quant_max - quant_min), which cannot overflow, 1 where that is 0. "
               "Z = round(-low / S), or 0 if symmetric, of int64. All for arrays of one shape.",
               "low, high = np.minimum(low, 0), np.maximum(high, 0); if symmetric: high = max(-low, high), low = -high; "
               "scale = np.where(step > 0, step, 1.0); return QParams(scale, np.asarray(..., np.int64), quant_min, quant_max)"),
        mistakes=(
            Mistake("low, high = np.minimum(low, 0), np.maximum(high, 0)", "low, high = low + 0.0, high + 0.0",
                    "Zero must have a code: widen the range to hold 0 before anything else."),
            Mistake("np.round(-low / scale)", "-low / scale",
                    "Z is rounded to the nearest code, and a cast to int64 cuts off."),
            Mistake("-np.maximum(-low, high), np.maximum(-low, high)", "-high, high",
                    "A symmetric range reaches to the larger of |low| and |high|; yours clips large negative numbers."),
            Mistake("high / (quant_max - quant_min) - low / (quant_max - quant_min)",
                    "high / (quant_max - quant_min + 1) - low / (quant_max - quant_min + 1)",
                    "Between n codes there are n - 1 steps: divide by quant_max - quant_min."),
            Mistake("np.where(step > 0, step, 1.0)", "step",
                    "The range of the single number 0 has no width: a step of 0 would divide by zero, so use 1."),
            Mistake("np.round(-low / scale)", "np.round(low / scale)",
                    "The sign of Z: low is negative, and its distance from 0 in steps, -low / S, is the code of 0."))),
    Exercise(
        name="quantize", target=f"{QUANTIZATION}:quantize", level=2, minutes=10, keep=2, after=("choose_qparams",),
        task="Give every number its code, clipped to the range of the codes, in a small integer dtype",
        tests=("test_quantization.py::test_inside_the_range_the_error_is_at_most_half_a_step",
               "test_quantization.py::test_the_engine_s_fake_quantization_is_there_and_back",
               "test_quantization.py::test_zero_is_exact_and_codes_are_few_small_and_idempotent",
               "test_quantization.py::test_codes_are_monotone"),
        hints=("Divide, round, shift, clip, and cast at the very end.",
               "q = clip(round(x / S) + Z, quant_min, quant_max); smallest_dtype(quant_min, quant_max) names the dtype.",
               "code = np.clip(np.round(x / scale) + ..., ..., ...); return code.astype(smallest_dtype(...))"),
        mistakes=(
            Mistake("np.clip(np.round(x / scale) + zero_point, quant_min, quant_max)", "np.round(x / scale) + zero_point",
                    "Numbers outside of the range get the nearest code there is: clip, or the cast wraps around."),
            Mistake("np.round(x / scale) +", "np.floor(x / scale) +", "Round to the nearest code; floor is off by half a step on average."),
            Mistake("np.round(x / scale) + zero_point,", "np.round(x / scale),",
                    "The codes are shifted by Z, the code of 0: add the zero point."),
            Mistake("np.clip(np.round(x / scale) + zero_point, quant_min, quant_max)",
                    "np.clip(np.round(x / scale), quant_min, quant_max) + zero_point",
                    "quant_min and quant_max are codes, zero point included: add it first, then clip."),
            Mistake("np.round(x / scale) + zero_point,", "np.round(x / scale) - zero_point,",
                    "The sign: r = S (q - Z) means q = r / S + Z."),
            Mistake("code.astype(smallest_dtype(quant_min, quant_max))", "code",
                    "Codes are small integers; yours are still floats of eight bytes: cast them."))),
    Exercise(
        name="channel_range", target=f"{QUANTIZATION}:channel_range", level=2, minutes=10, keep=1,
        task="Find the smallest and largest number of an array, or of each of its slices along an axis",
        tests=("test_quantization.py::test_the_range_of_a_slice_is_that_of_its_numbers_along_any_axis",
               "test_quantization.py::test_a_step_per_channel_is_that_of_each_channel_alone"),
        hints=("Each slice keeps its own numbers: reduce all axes but that one.",
               "others = all i but axis % x.ndim, as a tuple; x.min(axis=others, keepdims=True), and max. Without an axis "
               "plainly x.min(), x.max().",
               "if axis is None: return x.min(), x.max(); others = tuple(i for i in range(x.ndim) if i != ...)"),
        mistakes=(
            Mistake("others = tuple(i for i in range(x.ndim) if i != axis % x.ndim)", "others = axis",
                    "You reduce the axis that is to stay: a range for each channel reduces all the other axes."),
            Mistake("x.min(axis=others, keepdims=True), x.max(axis=others, keepdims=True)",
                    "x.min(axis=others), x.max(axis=others)",
                    "The reduced axes stay as 1, so that the ranges broadcast against x: keepdims=True."),
            Mistake("axis % x.ndim", "axis", "A negative axis counts from the end: compare with axis % x.ndim."),
            Mistake("axis % x.ndim", "0", "The axis is an argument: yours is always the first one."),
            Mistake("x.min(axis=others, keepdims=True), x.max", "-np.abs(x).max(axis=others, keepdims=True), x.max",
                    "The range begins at the smallest number; symmetric ends are made later, in choose_qparams."))),
    Exercise(
        name="fold_batch_norm", target=f"{QUANTIZATION}:fold_batch_norm", level=3, minutes=25, keep=1,
        after=("channel_range",),
        task="Fold every batch norm into the Linear or Conv2d before it, so that evaluation gives the same",
        tests=("test_quantization.py::test_folding_a_batch_norm_changes_nothing_in_evaluation",),
        hints=("In evaluation a batch norm is y = factor x + constant per channel. So is a layer with other weights.",
               "factor = gamma / sqrt(var + eps). Row o of the weight times factor_o; bias factor (b - mean) + beta, b = 0 "
               "if the layer has none. Go through a copy of the model and leave those batch norms out.",
               "for module in copy.deepcopy(model): if it is a BatchNorm1d behind a Linear or Conv2d: before.weight = "
               "Parameter(factor.reshape(-1, 1, ...) * before.weight.data); before.bias = Parameter(...); else append; "
               "return Sequential(*folded).eval()"),
        mistakes=(
            Mistake("np.sqrt(module.running_var.data + module.eps)", "(module.running_var.data + module.eps)",
                    "A batch norm divides by the standard deviation, the root of var + eps."),
            Mistake("factor * (bias - module.running_mean.data) + module.bias.data",
                    "bias - module.running_mean.data + module.bias.data",
                    "The mean and the layer's bias are scaled by the factor as well."),
            Mistake("factor * (bias - module.running_mean.data) + module.bias.data",
                    "factor * (bias - module.running_mean.data)", "beta, the bias of the batch norm, is missing."),
            Mistake("copy.deepcopy(model)", "model", "Fold a copy: the model that was given stays as it is."),
            Mistake("module.weight.data / np.sqrt", "1 / np.sqrt", "gamma, the weight of the batch norm, belongs to the factor."),
            Mistake("(bias - module.running_mean.data)", "(bias + module.running_mean.data)",
                    "The sign: a batch norm subtracts the mean."))),
    Exercise(
        name="round_ste", target=f"{STRAIGHT}:round_ste", level=1, minutes=5, after=("notes_codes",),
        task="Round to the nearest integer, and pretend on the way back that nothing was rounded",
        tests=_op_tests("round_ste") + ("test_ops.py::test_ties_of_values",),
        hints=("A primitive returns the value and a tuple with one function of g. What is the slope that is pretended?",
               "The value is np.round(x); the vjp is the identity, g -> g.",
               "return np.round(x), (lambda g: ...,) - mind the comma: a tuple of one."),
        mistakes=(
            Mistake("lambda g: g,", "lambda g: 0 * g,",
                    "That is the true slope of rounding, and nothing would be learned: let g through unchanged."),
            Mistake("np.round(x)", "np.floor(x)", "The nearest integer is asked for; floor goes down always."),
            Mistake("np.round(x)", "np.floor(x + 0.5)", "Ties go to the even number, as np.round does: 0.5 becomes 0."),
            Mistake("lambda g: g,", "lambda g: np.round(g),", "The gradient is not rounded: it goes straight through."),
            Mistake("np.round(x)", "np.trunc(x)", "trunc cuts off towards 0; the nearest integer may lie further out."))),
    Exercise(
        name="fake_quantize", target=f"{STRAIGHT}:fake_quantize", level=2, minutes=15, keep=4,
        after=("round_ste", "quantize"),
        task="Move numbers to the nearest value that a code stands for; backward 1 where the code was not clipped",
        tests=_op_tests("fake_quantize") + ("test_ops.py::test_fake_quantize_is_a_projection_onto_its_grid",),
        hints=("Quantize and dequantize in one; keep the code before clipping to see where it was clipped.",
               "code = round(x / S) + Z, clipped = clip(code, quant_min, quant_max), y = S (clipped - Z). The vjp is g "
               "where code == clipped, else 0.",
               "return scale * (clipped - zero_point), (lambda g: g * (... == ...),)"),
        mistakes=(
            Mistake("lambda g: g * (code == clipped),", "lambda g: g,",
                    "Where the code was clipped a larger x changes nothing, so no gradient flows there."),
            Mistake("scale * (clipped - zero_point)", "scale * clipped",
                    "Code Z stands for 0: subtract the zero point before you multiply by the step."),
            Mistake("scale * (clipped - zero_point)", "clipped - zero_point",
                    "The result is on the scale of x again: multiply by the step."),
            Mistake("g * (code == clipped)", "g * (code == clipped) * scale",
                    "x is divided by S and multiplied by S again: the slope is 1, without a factor."),
            Mistake("g * (code == clipped)", "g * (code != clipped)", "The gradient flows where the code was not clipped."),
            Mistake("np.round(x / scale) + zero_point", "np.round(x / scale + zero_point) + zero_point",
                    "The zero point is added once, after rounding."))),
    Exercise(
        name="learned_step", target=f"{AWARE}:learned_step", level=3, minutes=25, keep=2, after=("fake_quantize",),
        task="Quantize with a step that is learned: the value, and the gradients of the numbers and of the step",
        tests=("test_quantization_aware.py::test_the_gradients_of_a_learned_step_are_those_of_the_paper",
               "test_quantization_aware.py::test_scaling_weights_and_steps_scales_the_result_and_leaves_the_codes",
               "test_quantization_aware.py::test_where_all_is_clipped_the_gradient_of_the_step_is_the_slope"),
        hints=("Inside v^ = s round(v / s): differentiate the product, with the slope of the rounding taken for 1.",
               "ratio = v / s, inside = quant_min <= ratio <= quant_max, code = clip(round(ratio)). Value code s. For v: g "
               "inside, else 0. For s: g (code - ratio) inside, g code outside (there code is quant_min or quant_max).",
               "return code * s, (lambda g: g * inside, lambda g: g * np.where(inside, ..., ...))"),
        mistakes=(
            Mistake("lambda g: g * inside,", "lambda g: g,", "Outside of the range of the codes v changes nothing: its gradient is 0 there."),
            Mistake("np.where(inside, code - ratio, code)", "code",
                    "v / s changes with s too: inside the slope is round(v/s) - v/s, not round(v/s) alone."),
            Mistake("code - ratio, code)", "ratio - code, code)", "The sign inside: round(v/s) - v/s."),
            Mistake("code - ratio, code)", "code - ratio, 0)",
                    "Outside v^ is s quant_min or s quant_max, so the slope in s is that code, not 0."),
            Mistake("(quant_min <= ratio) & (ratio <= quant_max)",
                    "(quant_min <= np.round(ratio)) & (np.round(ratio) <= quant_max)",
                    "Inside is meant of v/s itself, before it is rounded."),
            Mistake("return code * s,", "return code,", "The value is s times the code, on the scale of v."))),
    Exercise(
        name="quantize_multiplier", target=f"{INTEGER}:quantize_multiplier", level=3, minutes=20, keep=2,
        after=("quantize",),
        task="Write a multiplier in (0, 1] as 2^-n M0 with M0 an integer of 31 bits",
        tests=("test_integer.py::test_a_multiplier_has_31_bits",
               "test_integer.py::test_multiplying_is_within_one_of_the_real_product"),
        hints=("np.frexp takes a number apart into a fraction in [0.5, 1) and a power of 2.",
               "M0 = round(2^31 fraction), n = -exponent. Two corners: a fraction that rounds up to 2^31 does not fit "
               "(2^31 - 1 is as near as can be), and M = 1 has exponent 1: M0 = 2^31 - 1, n = 0.",
               "fraction, exponent = np.frexp(M); fixed = np.minimum(np.round(fraction * 2.0 ** 31), INT32.max); where "
               "exponent > 0 take INT32.max and 0; both .astype(np.int32)"),
        mistakes=(
            Mistake("np.where(one, 0, -exponent)", "np.where(one, 0, exponent)",
                    "M = 2^-n M0: n is minus the exponent that frexp gives."),
            Mistake("fraction * 2.0 ** 31", "fraction * 2.0 ** 30",
                    "M0 is a fraction of 31 bits, round(2^31 M0): it lies between 2^30 and 2^31."),
            Mistake("np.minimum(np.round(fraction * 2.0 ** 31), INT32.max)", "np.round(fraction * 2.0 ** 31)",
                    "A fraction just below 1 rounds up to 2^31, which is no int32: take 2^31 - 1 at most."),
            Mistake("one = exponent > 0", "one = exponent > 1",
                    "M = 1 is 0.5 times 2^1, and n = -1 is no right shift: give it the largest M0 and n = 0."),
            Mistake("np.round(fraction * 2.0 ** 31)", "np.floor(fraction * 2.0 ** 31)",
                    "M0 is rounded to the nearest integer, not cut off."))),
    Exercise(
        name="rounding_doubling_high_mul", target=f"{INTEGER}:rounding_doubling_high_mul", level=2, minutes=15,
        keep=1, after=("quantize_multiplier",),
        task="Multiply two 31-bit fractions held as int32, rounded, without a float",
        tests=("test_integer.py::test_the_high_half_of_a_doubled_product_is_the_rounded_fraction",
               "test_integer.py::test_multiplying_is_within_one_of_the_real_product"),
        hints=("A product of two int32 needs int64. To round a right shift, add half of what it divides by first.",
               "(a b + 2^30) >> 31 in int64, at most 2^31 - 1, as int32.",
               "product = a.astype(np.int64) * b; return np.minimum((product + ...) >> 31, INT32.max).astype(np.int32)"),
        mistakes=(
            Mistake("a.astype(np.int64) * b", "(a.astype(np.int64) * b).astype(np.int32).astype(np.int64)",
                    "The product of two int32 has up to 62 bits: keep it in int64."),
            Mistake("(product + (1 << 30)) >> 31", "product >> 31", "A shift rounds down: add half of 2^31 before it."),
            Mistake("np.minimum((product + (1 << 30)) >> 31, INT32.max)", "((product + (1 << 30)) >> 31)",
                    "-2^31 times -2^31 gives 2^31, which wraps around in an int32: take 2^31 - 1 at most."),
            Mistake(">> 31", ">> 32", "The product is doubled: of 2 a b the upper half is a b / 2^31."),
            Mistake("(1 << 30)", "(1 << 31)", "Half of what the shift divides by, 2^31, is 2^30."))),
    Exercise(
        name="requantize", target=f"{INTEGER}:requantize", level=2, minutes=15,
        after=("rounding_doubling_high_mul",),
        task="Turn int32 sums into codes of the output: times M, plus Z, clipped, in a small dtype",
        tests=("test_integer.py::test_multiplying_is_within_one_of_the_real_product",
               "test_integer.py::test_a_linear_layer_is_bit_for_bit_that_of_whole_numbers",
               "test_integer.py::test_the_slow_way_meets_no_float"),
        hints=("Both roundings have functions of their own here: the product with M0, then the shift by n.",
               "rounding_right_shift(rounding_doubling_high_mul(acc, M0), n), plus zero_point, clipped, of the dtype that "
               "smallest_dtype names.",
               "scaled = ...; codes = np.clip(scaled.astype(np.int64) + zero_point, quant_min, quant_max); codes.astype(...)"),
        mistakes=(
            Mistake("np.clip(scaled.astype(np.int64) + zero_point, quant_min, quant_max)",
                    "np.clip(scaled.astype(np.int64), quant_min, quant_max) + zero_point",
                    "The limits are codes, zero point included: add it first, then clip."),
            Mistake("scaled.astype(np.int64) + zero_point", "scaled.astype(np.int64)",
                    "Output codes are shifted by Z3: add the zero point."),
            Mistake("rounding_right_shift(rounding_doubling_high_mul(accumulator, multiplier), shift)",
                    "rounding_doubling_high_mul(accumulator, multiplier)",
                    "M = 2^-n M0: after the product with M0 there is a shift by n."),
            Mistake("rounding_right_shift(rounding_doubling_high_mul(accumulator, multiplier), shift)",
                    "rounding_doubling_high_mul(accumulator, multiplier) >> shift",
                    "A plain shift rounds down: rounding_right_shift rounds to the nearest."),
            Mistake("codes.astype(smallest_dtype(quant_min, quant_max))", "codes.astype(float)",
                    "Codes are integers of the smallest dtype: no float belongs here."),
            Mistake("np.clip(scaled.astype(np.int64) + zero_point, quant_min, quant_max)",
                    "scaled.astype(np.int64) + zero_point",
                    "Clip to the range of the codes, which is the ReLU too, or the cast wraps around."))),
    Exercise(
        name="expected_error", target=f"{CLIPPING}:expected_error", level=2, minutes=15, keep=3,
        after=("choose_qparams",),
        task="Compute what clipping at alpha and rounding to 2^M codes cost together, for two densities",
        tests=("test_clipping.py::test_no_other_clip_has_a_smaller_expected_error",
               "test_clipping.py::test_the_expected_error_is_that_of_real_numbers"),
        hints=("Two errors add up: what is rounded inside, the same for both densities, and what is clipped outside.",
               "Rounding: alpha^2 / (3 4^M). Clipping: 2 e^-alpha for Laplace; (1 + alpha^2) erfc(alpha / sqrt(2)) - "
               "sqrt(2/pi) alpha e^(-alpha^2 / 2) for the Gaussian.",
               "rounding = alpha ** 2 / (3 * 4 ** bits); if density == \"laplace\": return 2 * math.exp(-alpha) + rounding; "
               "then the Gaussian with math.erfc"),
        mistakes=(
            Mistake("alpha ** 2 / (3 * 4 ** bits)", "alpha ** 2 / (3 * 2 ** bits)",
                    "The error goes with the square of the step, which is 2 alpha / 2^M: so 4^M, not 2^M."),
            Mistake("alpha ** 2 / (3 * 4 ** bits)", "alpha ** 2 / (12 * 4 ** bits)",
                    "The step is 2 alpha / 2^M, and its square over 12 is alpha^2 / (3 4^M)."),
            Mistake("2 * math.exp(-alpha) + rounding", "math.exp(-alpha) + rounding",
                    "Both tails of the Laplace density are clipped: 2 e^-alpha."),
            Mistake("math.erfc(alpha / math.sqrt(2))", "math.erfc(alpha)",
                    "erfc is not yet the Gaussian's tail: its argument is alpha / sqrt(2)."),
            Mistake("math.sqrt(2 / math.pi) * alpha *", "math.sqrt(2 / math.pi) *",
                    "A factor alpha is missing in the second term of the Gaussian."),
            Mistake("math.exp(-alpha ** 2 / 2)", "math.exp(-alpha ** 2)",
                    "The Gaussian density has alpha^2 / 2 in its exponent."))),
    Exercise(
        name="optimal_clip", target=f"{CLIPPING}:optimal_clip", level=3, minutes=25, keep=1, after=("expected_error",),
        task="Find the clip of least expected error, where the derivative is zero, by halving an interval",
        tests=("test_clipping.py::test_the_best_clips_are_those_of_the_paper",
               "test_clipping.py::test_no_other_clip_has_a_smaller_expected_error"),
        hints=("Write the slope as a function of alpha that grows through its only zero. Where it is negative, the zero "
               "lies further right.",
               "Laplace: 1 / (3 4^M) - e^-alpha / alpha. Gaussian: 1 / (3 4^M) + erfc(alpha / sqrt(2)) - sqrt(2/pi) "
               "e^(-alpha^2/2) / alpha. Start with an interval such as 1e-6 ... 50, and halve until it is 1e-12 long.",
               "while high - low > 1e-12 * high: middle = (low + high) / 2; low, high = (middle, high) if slope(middle) < 0 "
               "else (low, middle)"),
        mistakes=(
            Mistake("slope(middle) < 0", "slope(middle) > 0",
                    "You keep the wrong half: where the slope is still negative, the minimum lies to the right."),
            Mistake("1 / (3 * 4 ** bits)", "1 / (3 * 2 ** bits)", "The share of the rounding is 1 / (3 4^M)."),
            Mistake("low, high = 1e-6, 50.0", "low, high = 1e-6, 10.0",
                    "Your interval ends before the zero: with 16 bits it lies near 20 for Laplace."),
            Mistake("share - math.exp(-alpha) / alpha", "share - math.exp(-alpha)",
                    "The condition for Laplace is alpha e^alpha = 3 4^M: divide e^-alpha by alpha."),
            Mistake("math.erfc(alpha / math.sqrt(2))", "math.erf(alpha / math.sqrt(2))",
                    "The tail is erfc = 1 - erf, what lies outside of the clip."))),
    Exercise(
        name="correct_bias", target=f"{CLIPPING}:correct_bias", level=2, minutes=20, keep=2, after=("channel_range",),
        task="Give each channel of the quantized weights its mean and its norm back",
        tests=("test_clipping.py::test_corrected_channels_have_their_mean_and_norm_back",),
        hints=("All means and norms are per channel: over all axes but the first, with keepdims.",
               "(W_q + mean(W) - mean(W_q)) * ||W - mean(W)|| / ||W_q - mean(W_q)||, and the factor is 1 where the second "
               "norm is next to 0 beside the first.",
               "mean = lambda a: a.mean(axis=others, keepdims=True); norm likewise, of a - mean(a); factor = np.divide("
               "norm(W), norm(Q), out=ones, where=norm(Q) > 1e-12 * norm(W))"),
        mistakes=(
            Mistake("others = tuple(range(1, W.ndim))", "others = tuple(range(W.ndim))",
                    "Each channel has a mean and a norm of its own: leave axis 0 out."),
            Mistake("(Q + mean(W) - mean(Q)) * factor", "(Q - mean(Q)) * factor + mean(W)",
                    "In the paper the shift comes first and the factor scales all of it, the mean too."),
            Mistake("((a - mean(a)) ** 2).sum(", "(a ** 2).sum(",
                    "The norms are those of the deviations from the mean: subtract it first."),
            Mistake("(Q + mean(W) - mean(Q)) * factor", "Q + mean(W) - mean(Q)",
                    "Only the mean is put back here; the factor gives the norm back."),
            Mistake("where=norm(Q) > 1e-12 * norm(W))", "where=norm(Q) >= 0)",
                    "A channel whose quantized weights are all equal has no norm to divide by: its factor is 1."),
            Mistake("np.divide(norm(W), norm(Q), out=np.ones_like(norm(W)), where=norm(Q) > 1e-12 * norm(W))",
                    "np.divide(norm(Q), norm(W), out=np.ones_like(norm(W)), where=norm(Q) > 1e-12 * norm(W))",
                    "The factor is upside down: ||W - mean|| goes over ||W_q - mean||."))),
))
