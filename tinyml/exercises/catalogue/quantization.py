"""Quantization (10.2.2): codes for numbers, and gradients through the rounding."""
from tinyml.exercises.exercise import Chapter, Exercise, Mistake

QUANTIZATION, AWARE = "tinyml.compression.quantization", "tinyml.compression.quantization_aware"
STRAIGHT, TESTS = "tinyml.ops.straight_through", "test_quantization.py"


def _op_tests(name):
    """The laws of a straight-through primitive: its row of the table in test_ops."""
    laws = ("test_value_is_that_of_numpy", "test_straight_through_borrows_the_gradient_of_another_function",
            "test_float32_stays_float32_whatever_the_constants", "test_nothing_is_written_to",
            "test_vjp_is_linear_in_g")
    return tuple(f"test_ops.py::{law}[{name}]" for law in laws)


CHAPTER = Chapter("quantization", "10.2.2 Quantization: codes, and gradients through them", (
    Exercise(
        name="notes_codes", target=f"{QUANTIZATION}:notes_codes", level=1, minutes=10, keep=2,
        task="Compute the codes of the notes' formula, and its step, as they are written",
        tests=(f"{TESTS}::test_the_notes_formula_errs_by_half_a_step_and_leaves_its_codes",),
        hints=("First the step from the largest magnitude, then the nearest whole number of steps.",
               "Delta = max |theta| / K, or 1 if all weights are 0; q = round(theta / Delta), as int64.",
               "delta = float(...) / k or 1.0; return np.round(...).astype(np.int64), delta"),
        mistakes=(
            Mistake("np.abs(theta).max()", "theta.max()",
                    "The largest weight in magnitude may be negative: take the maximum of |theta|."),
            Mistake("np.round(theta / delta)", "(theta / delta)",
                    "astype cuts the fraction off; round to the nearest code first."),
            Mistake("np.round(theta / delta)", "np.floor(theta / delta + 0.5)",
                    "Half a step is rounded to the even code, as np.round does, not always up."),
            Mistake("/ k or 1.0", "/ k",
                    "If all weights are 0, so is the step, and 0 / 0 has no code: use 1 then."),
            Mistake("float(np.abs(theta).max()) / k", "float(np.abs(theta).max()) / max(k - 1, 1)",
                    "As the notes write it, Delta = max |theta| / K: that the largest weight then has the "
                    "code K is what they overlook."),
            Mistake("np.round(theta / delta)", "np.round(theta * delta)",
                    "A code counts the steps in a weight: divide by Delta."))),
    Exercise(
        name="choose_qparams", target=f"{QUANTIZATION}:choose_qparams", level=3, minutes=25, keep=3,
        after=("notes_codes",),
        task="Choose the step S and the code Z of zero for a range of numbers, symmetric or affine",
        tests=(f"{TESTS}::test_step_and_zero_are_those_of_the_formula",
               f"{TESTS}::test_a_zero_between_two_codes_has_the_even_one",
               f"{TESTS}::test_inside_the_range_the_error_is_at_most_half_a_step",
               f"{TESTS}::test_zero_is_exact_and_codes_are_few_small_and_idempotent",
               f"{TESTS}::test_ranges_at_the_edge_give_the_right_answer",
               f"{TESTS}::test_a_step_per_channel_is_that_of_each_channel_alone"),
        hints=("First widen the range to hold 0. For symmetric codes make it symmetric; then both kinds have "
               "one formula for the step.",
               "S = high / (quant_max - quant_min) - low / (quant_max - quant_min), which cannot overflow from 2 bits on, 1 "
               "where that is 0. Z = round(-low / S), or 0 if symmetric, of int64. All for arrays of one "
               "shape.",
               "low, high = np.minimum(low, 0), np.maximum(high, 0); if symmetric: high = np.maximum(-low, high) "
               "and then low = -high; scale = np.where(step > 0, step, 1.0); return QParams(scale, np.asarray(..., "
               "np.int64), quant_min, quant_max)"),
        mistakes=(
            Mistake("low, high = np.minimum(low, 0), np.maximum(high, 0)", "low, high = low + 0.0, high + 0.0",
                    "Zero must have a code: widen the range to hold 0 before anything else."),
            Mistake("np.round(-low / scale)", "-low / scale",
                    "Z is rounded to the nearest code, and a cast to int64 cuts off."),
            Mistake("-np.maximum(-low, high), np.maximum(-low, high)", "-high, high",
                    "A symmetric range reaches to the larger of |low| and |high|; yours clips large negative "
                    "numbers."),
            Mistake("high / (quant_max - quant_min) - low / (quant_max - quant_min)",
                    "high / (quant_max - quant_min + 1) - low / (quant_max - quant_min + 1)",
                    "Between n codes there are n - 1 steps: divide by quant_max - quant_min."),
            Mistake("np.where(step > 0, step, 1.0)", "step",
                    "The range of the single number 0 has no width: a step of 0 would divide by zero, so use "
                    "1."),
            Mistake("np.where(step > 0, step, 1.0)",
                    "np.where(step > 0, step * (quant_max / (quant_max + 1) if symmetric else 1), 1.0)",
                    "From 0 to the largest symmetric code it is 2^(b-1) - 1 steps, not 2^(b-1)."),
            Mistake("np.where(step > 0, step, 1.0)",
                    "np.where(step > 0, step * (1 if symmetric else quant_max / (quant_max + 1)), 1.0)",
                    "Between 2^b affine codes there are 2^b - 1 steps, not 2^b."),
            Mistake("np.where(step > 0, step, 1.0)",
                    "np.where(step > 0, step * (2 * quant_max / (2 * quant_max + 1) if symmetric else 1), 1.0)",
                    "Symmetric codes are one fewer than 2^b, as -2^(b-1) is left out: from end to end it is "
                    "2^b - 2 steps, not 2^b - 1."),
            Mistake("np.zeros(low.shape) if symmetric else np.round(-low / scale)", "np.round(-low / scale)",
                    "Symmetric codes lie around 0: there Z is 0."),
            Mistake("np.round(-low / scale)", "np.floor(-low / scale + 0.5)",
                    "Of two codes as near to 0, Z is the even one, as np.round has it."),
            Mistake("high / (quant_max - quant_min) - low / (quant_max - quant_min)",
                    "(high - low) / (quant_max - quant_min)",
                    "high - low may be beyond the largest float, where S is not: divide both ends first."),
            Mistake("np.asarray(zero_point, np.int64)", "np.asarray(zero_point)",
                    "Z is a code, and codes are integers: make it int64."),
            Mistake("np.round(-low / scale)", "np.round(low / scale)",
                    "The sign of Z: low is negative, and its distance from 0 in steps, -low / S, is the "
                    "code of 0."))),
    Exercise(
        name="quantize", target=f"{QUANTIZATION}:quantize", level=2, minutes=10, keep=2,
        after=("choose_qparams",),
        task="Give every number its code, clipped to the range of the codes, in a small integer dtype",
        tests=(f"{TESTS}::test_inside_the_range_the_error_is_at_most_half_a_step",
               f"{TESTS}::test_the_engine_s_fake_quantization_is_there_and_back",
               f"{TESTS}::test_zero_is_exact_and_codes_are_few_small_and_idempotent",
               f"{TESTS}::test_of_two_codes_as_near_it_is_that_of_the_even_number_of_steps",
               f"{TESTS}::test_codes_are_monotone"),
        hints=("Divide, round, shift, clip, and cast at the very end.",
               "q = clip(round(x / S) + Z, quant_min, quant_max); smallest_dtype(quant_min, quant_max) names "
               "the dtype.",
               "code = np.clip(np.round(x / scale) + ..., ..., ...); return code.astype(smallest_dtype(...))"),
        mistakes=(
            Mistake("np.clip(np.round(x / scale) + zero_point, quant_min, quant_max)",
                    "np.round(x / scale) + zero_point",
                    "Numbers outside of the range get the nearest code there is: clip, or the cast wraps "
                    "around."),
            Mistake("np.round(x / scale) +", "np.floor(x / scale) +",
                    "Round to the nearest code; floor is off by half a step on average."),
            Mistake("np.round(x / scale) + zero_point,", "np.round(x / scale + zero_point),",
                    "Round the number of steps before Z is added: if Z is odd, a half goes the other way."),
            Mistake("np.round(x / scale) +", "np.floor(x / scale + 0.5) +",
                    "Of two codes as near it is that of the even number of steps, as np.round has it."),
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
        tests=(f"{TESTS}::test_the_range_of_a_slice_is_that_of_its_numbers_along_any_axis",
               f"{TESTS}::test_a_step_per_channel_is_that_of_each_channel_alone"),
        hints=("Each slice keeps its own numbers: reduce all axes but that one.",
               "others = all i but axis % x.ndim, as a tuple; x.min(axis=others, keepdims=True), and max. "
               "Without an axis plainly x.min(), x.max().",
               "if axis is None: return x.min(), x.max(); a ValueError unless -x.ndim <= axis < x.ndim; others = "
               "tuple(i for i in range(x.ndim) if i != ...)"),
        mistakes=(
            Mistake("others = tuple(i for i in range(x.ndim) if i != axis % x.ndim)", "others = axis",
                    "You reduce the axis that is to stay: a range for each channel reduces all the other "
                    "axes."),
            Mistake("x.min(axis=others, keepdims=True), x.max(axis=others, keepdims=True)",
                    "x.min(axis=others), x.max(axis=others)",
                    "The reduced axes stay as 1, so that the ranges broadcast against x: keepdims=True."),
            Mistake("axis % x.ndim", "axis",
                    "A negative axis counts from the end: compare with axis % x.ndim."),
            Mistake("    if not -x.ndim <= axis < x.ndim:\n", "    if False:\n",
                    "An axis that x does not have must be refused with a ValueError."),
            Mistake("axis % x.ndim", "0", "The axis is an argument: yours is always the first one."),
            Mistake("x.min(axis=others, keepdims=True), x.max",
                    "-np.abs(x).max(axis=others, keepdims=True), x.max",
                    "The range begins at the smallest number; symmetric ends are made later, in "
                    "choose_qparams."))),
    Exercise(
        name="fold_norm", target=f"{QUANTIZATION}:fold_norm", level=3, minutes=20,
        after=("channel_range",),
        task="Fold a batch norm into the Linear or convolution before it, so that evaluation gives the same",
        tests=(f"{TESTS}::test_folding_a_batch_norm_changes_nothing_in_evaluation",),
        hints=("In evaluation a batch norm is y = factor x + constant per channel. So is a layer with other "
               "weights.",
               "factor = gamma / sqrt(var + eps). Row o of the weight times factor_o; bias factor (b - mean) "
               "+ beta, b = 0 if the layer has none. Change a copy of the layer.",
               "folded = copy.copy(layer); folded.weight = Parameter(factor.reshape(-1, 1, ...) * layer.weight.data); "
               "folded.bias = Parameter(...); return folded"),
        mistakes=(
            Mistake("np.sqrt(norm.running_var.data + norm.eps)", "(norm.running_var.data + norm.eps)",
                    "A batch norm divides by the standard deviation, the root of var + eps."),
            Mistake("factor * (bias - norm.running_mean.data) + norm.bias.data",
                    "bias - norm.running_mean.data + norm.bias.data",
                    "The mean and the layer's bias are scaled by the factor as well."),
            Mistake("factor * (bias - norm.running_mean.data) + norm.bias.data",
                    "factor * (bias - norm.running_mean.data)",
                    "beta, the bias of the batch norm, is missing."),
            Mistake("np.sqrt(norm.running_var.data + norm.eps)", "np.sqrt(norm.running_var.data)",
                    "eps is part of the divisor: sqrt(var + eps)."),
            Mistake("np.sqrt(norm.running_var.data + norm.eps)",
                    "(np.sqrt(norm.running_var.data) + norm.eps)",
                    "eps is added to the variance, below the root: sqrt(var + eps)."),
            Mistake("copy.copy(layer)", "layer", "Change a copy: the layer that was given stays as it is."),
            Mistake("norm.weight.data / np.sqrt", "1 / np.sqrt",
                    "gamma, the weight of the batch norm, belongs to the factor."),
            Mistake("(bias - norm.running_mean.data)", "(bias + norm.running_mean.data)",
                    "The sign: a batch norm subtracts the mean."),
            Mistake("factor.reshape(-1, *[1] * (layer.weight.ndim - 1))", "factor",
                    "One factor for each output channel, axis 0 of the weight: give it axes of length 1 for the "
                    "others."))),
    Exercise(
        name="round_ste", target=f"{STRAIGHT}:round_ste", level=1, minutes=5, after=("notes_codes",),
        task="Round to the nearest integer, and pretend on the way back that nothing was rounded",
        tests=_op_tests("round_ste") + ("test_ops.py::test_ties_of_values",),
        hints=("A primitive returns the value and a tuple with one function of g. What is the slope that is "
               "pretended?",
               "The value is np.round(x); the vjp is the identity, g -> g.",
               "return np.round(x), (lambda g: ...,) - mind the comma: a tuple of one."),
        mistakes=(
            Mistake("lambda g: g,", "lambda g: 0 * g,",
                    "That is the true slope of rounding, and nothing would be learned: let g through "
                    "unchanged."),
            Mistake("np.round(x)", "np.floor(x)", "The nearest integer is asked for; floor goes down always."),
            Mistake("np.round(x)", "np.floor(x + 0.5)",
                    "Ties go to the even number, as np.round does: 0.5 becomes 0."),
            Mistake("lambda g: g,", "lambda g: np.round(g),",
                    "The gradient is not rounded: it goes straight through."),
            Mistake("np.round(x)", "np.trunc(x)",
                    "trunc cuts off towards 0; the nearest integer may lie further out."))),
    Exercise(
        name="fake_quantize", target=f"{STRAIGHT}:fake_quantize", level=2, minutes=15, keep=4,
        after=("round_ste", "quantize"),
        task="Move numbers to the nearest value that a code stands for; backward 1 where the code was not "
             "clipped",
        tests=(*_op_tests("fake_quantize"), "test_ops.py::test_fake_quantize_is_a_projection_onto_its_grid",
               f"{TESTS}::test_of_two_codes_as_near_it_is_that_of_the_even_number_of_steps"),
        hints=("Quantize and dequantize in one; keep the code before clipping to see where it was clipped.",
               "code = round(x / S) + Z, clipped = clip(code, quant_min, quant_max), y = S (clipped - Z). "
               "The vjp is g where code == clipped, else 0.",
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
            Mistake("g * (code == clipped)", "g * (code != clipped)",
                    "The gradient flows where the code was not clipped."),
            Mistake("g * (code == clipped)", "g * ((quant_min < code) & (code < quant_max))",
                    "The smallest and the largest code are codes like others: clipped is what lies beyond."),
            Mistake("np.round(x / scale) + zero_point", "np.round(x / scale + zero_point)",
                    "Round the number of steps before Z is added: if Z is odd, a half goes the other way."),
            Mistake("np.round(x / scale) + zero_point", "np.round(x / scale + zero_point) + zero_point",
                    "The zero point is added once, after rounding."))),
    Exercise(
        name="learned_step", target=f"{AWARE}:learned_step", level=3, minutes=25, keep=2,
        after=("fake_quantize",),
        task="Quantize with a step that is learned: the value, and the gradients of the numbers and of the "
             "step",
        tests=("test_quantization_aware.py::test_value_and_gradients_of_a_learned_step_are_those_of_the_paper",
               "test_quantization_aware.py::test_scaling_weights_and_steps_scales_the_result_and_leaves_the_codes",
               "test_quantization_aware.py::test_the_ends_are_inside_and_between_two_codes_it_is_the_even_one",
               "test_quantization_aware.py::test_where_all_is_clipped_the_gradient_of_the_step_is_the_slope"),
        hints=("Inside v^ = s round(v / s): differentiate the product, with the slope of the rounding taken "
               "for 1.",
               "ratio = v / s, inside = quant_min <= ratio <= quant_max, code = clip(round(ratio)). Value "
               "code s. For v: g inside, else 0. For s: g (code - ratio) inside, g code outside (there code "
               "is quant_min or quant_max).",
               "return code * s, (lambda g: g * inside, lambda g: g * np.where(inside, ..., ...)) - the "
               "engine sums the gradient of s over what s was broadcast to"),
        mistakes=(
            Mistake("lambda g: g * inside,", "lambda g: g,",
                    "Outside of the range of the codes v changes nothing: its gradient is 0 there."),
            Mistake("np.where(inside, code - ratio, code)", "code",
                    "v / s changes with s too: inside the slope is round(v/s) - v/s, not round(v/s) alone."),
            Mistake("code - ratio, code)", "ratio - code, code)", "The sign inside: round(v/s) - v/s."),
            Mistake("code - ratio, code)", "code - ratio, 0)",
                    "Outside v^ is s quant_min or s quant_max, so the slope in s is that code, not 0."),
            Mistake("(quant_min <= ratio) & (ratio <= quant_max)", "(quant_min < ratio) & (ratio < quant_max)",
                    "The ends are inside: quant_min <= v/s <= quant_max."),
            Mistake("(quant_min <= ratio) & (ratio <= quant_max)",
                    "(quant_min <= np.round(ratio)) & (np.round(ratio) <= quant_max)",
                    "Inside is meant of v/s itself, before it is rounded."),
            Mistake("return code * s,", "return np.round(ratio) * s,",
                    "The codes end at quant_min and quant_max: the value is s times the *clipped* code."),
            Mistake("return code * s,", "return code,", "The value is s times the code, on the scale of v."))),
))
