"""Quantization (10.2.2): codes for numbers, and gradients through the rounding."""
from tinyml.exercises.exercise import Chapter, Exercise, Mistake, laws_of

CHAPTER = Chapter("quantization", "10.2.2 Quantization: codes, and gradients through them", (
    Exercise(
        name="notes_codes",
        target="tinyml.compression.quantization:notes_codes",
        level=1, minutes=10,
        task="Compute the step and the codes by the formula of the notes, exactly as it is "
             "written",
        tests=laws_of(
            "quantization",
            "test_the_notes_formula_errs_by_half_a_step_and_leaves_its_codes"),
        hints=("First the step from the largest magnitude, then the nearest whole number of "
               "steps.",
               "Delta = max |theta| / K, or 1 if all weights are 0; q = round(theta / Delta), "
               "as int64.",
               "delta = float(...) / k or 1.0; q = np.round(...); return q.astype(np.int64), "
               "delta"),
        also=("Halves round to even.",),
        mistakes=(
            Mistake("np.abs(theta).max()", "theta.max()",
                    "The largest weight in magnitude may be negative: take the maximum of "
                    "|theta|."),
            Mistake("np.round(theta / delta)", "(theta / delta)",
                    "astype cuts the fraction off; round to the nearest code first."),
            Mistake("np.round(theta / delta)", "np.floor(theta / delta + 0.5)",
                    "Halves round to even, as in np.round, not always up."),
            Mistake("/ k or 1.0", "/ k",
                    "If all weights are 0, so is the step, and 0 / 0 has no code: use 1 "
                    "then."),
            Mistake("float(np.abs(theta).max()) / k", "float(np.abs(theta).max()) / max(k - 1, 1)",
                    "The notes write Delta = max |theta| / K, though the largest weight then "
                    "gets the code K: do as they do."),
            Mistake("np.round(theta / delta)", "np.round(theta * delta)",
                    "A code counts the steps in a weight: divide by Delta."),
            Mistake("np.round(theta / delta)", "np.clip(np.round(theta / delta), 0, k - 1)",
                    "These codes are not clipped: negative weights have negative codes, and "
                    "the largest has K."),
            Mistake("np.abs(theta).max()", "(theta.max() - theta.min())",
                    "The step divides the largest magnitude, max |theta| / K, not the range."),
            Mistake("/ k or 1.0", "/ 2 ** k or 1.0",
                    "K divides the largest magnitude as it is: it is not a number of bits."),
            Mistake("q.astype(np.int64), delta", "q, delta",
                    "Codes are integers: cast to int64."),
            Mistake("np.abs(theta).max()", "np.abs(theta).mean()",
                    "The step comes from the largest magnitude, so that no code is above K."))),
    Exercise(
        name="choose_qparams",
        target="tinyml.compression.quantization:choose_qparams",
        level=3, minutes=25,
        after=("notes_codes",),
        task="Choose the step S and the code Z of zero for a range of numbers, symmetric or "
             "affine",
        tests=laws_of(
            "quantization",
            "test_step_and_zero_are_those_of_the_formula",
            "test_zero_halfway_between_two_codes_gets_the_even_one",
            "test_inside_the_range_the_error_is_at_most_half_a_step",
            "test_zero_is_exact_and_codes_are_few_small_and_idempotent",
            "test_ranges_at_the_edge_give_the_right_answer",
            "test_a_step_per_channel_is_that_of_each_channel_alone"),
        hints=("First widen the range to hold 0. Then each kind of code has its formula for the "
               "step.",
               "Symmetric: S = max(-low, high) / quant_max and Z = 0. Affine: S = high / "
               "quant_max - low / quant_max, which cannot overflow, and Z = round(-low / S), of "
               "int64. Where that gives 0, S is 1. low and high are arrays of one shape.",
               "quant_min, quant_max = code_range(bits, symmetric=symmetric); low, high = "
               "np.minimum(low, 0), np.maximum(high, 0); step = ...; scale = np.where(step > 0, "
               "step, 1.0); return QParams(scale, np.asarray(..., np.int64), quant_min, "
               "quant_max)"),
        also=("S = 1 wherever the formula gives 0. S must not overflow, even if high - low does.",
              "Z rounds halves to even."),
        mistakes=(
            Mistake("np.round(-low / scale)", "np.round(-low / step)",
                    "Replace a step of 0 by 1 before Z divides by it."),
            Mistake("low, high = np.minimum(low, 0), np.maximum(high, 0)",
                    "low, high = low + 0.0, high + 0.0",
                    "Zero must have a code: widen the range to hold 0 before anything else."),
            Mistake("np.round(-low / scale)", "-low / scale",
                    "Z is rounded to the nearest code: a cast to int64 cuts off the fraction."),
            Mistake("np.maximum(-low, high) / quant_max", "high / quant_max",
                    "A symmetric range reaches to the larger of |low| and |high|; yours "
                    "clips large negative numbers."),
            Mistake("high / quant_max - low / quant_max",
                    "high / (quant_max + 1) - low / (quant_max + 1)",
                    "Between 2^b codes there are 2^b - 1 steps: divide by quant_max."),
            Mistake("np.where(step > 0, step, 1.0)", "step",
                    "The range of the single number 0 has no width: a step of 0 would "
                    "divide by zero, so use 1."),
            Mistake("np.maximum(-low, high) / quant_max",
                    "np.maximum(-low, high) / (quant_max + 1)",
                    "From 0 to the largest symmetric code there are 2^(b-1) - 1 steps, not "
                    "2^(b-1)."),
            Mistake("np.maximum(-low, high) / quant_max",
                    "2 * (np.maximum(-low, high) / (2 * quant_max + 1))",
                    "There are 2^b - 1 symmetric codes, as -2^(b-1) is left out: from end to end "
                    "there are 2^b - 2 steps, not 2^b - 1."),
            Mistake("0 * scale if symmetric else np.round(-low / scale)", "np.round(-low / scale)",
                    "Symmetric codes lie around 0: there Z is 0."),
            Mistake("np.round(-low / scale)", "np.floor(-low / scale + 0.5)",
                    "Z rounds halves to even, as np.round does."),
            Mistake("high / quant_max - low / quant_max", "(high - low) / quant_max",
                    "high - low may overflow where S does not: divide both ends first."),
            Mistake("np.asarray(zero_point, np.int64)", "np.asarray(zero_point)",
                    "Z is a code, and codes are integers: make it int64."),
            Mistake("np.round(-low / scale)", "np.round(low / scale)",
                    "The sign of Z: low is negative, and its distance from 0 in steps, -low "
                    "/ S, is the code of 0."),
            Mistake("np.round(-low / scale)", "np.round(-low / scale) - 2 ** (bits - 1)",
                    "This is the zero point of signed codes. The affine codes here begin at "
                    "0: Z = round(-low / S)."),
            Mistake("np.maximum(-low, high) / quant_max", "(high - low) / quant_max",
                    "Symmetric codes reach to the larger of |low| and |high| on both sides."),
            Mistake("high / quant_max - low / quant_max", "high / quant_max",
                    "The step divides the whole range, high - low."),
            Mistake("np.maximum(-low, high) / quant_max", "np.maximum(-low, high) / 2 ** bits",
                    "S divides the largest magnitude by quant_max, the largest code, not by "
                    "the number of codes."))),
    Exercise(
        name="quantize",
        target="tinyml.compression.quantization:quantize",
        level=2, minutes=10,
        after=("choose_qparams",),
        task="Give every number its code, clipped to the range of the codes, in a small integer "
             "dtype",
        tests=laws_of(
            "quantization",
            "test_inside_the_range_the_error_is_at_most_half_a_step",
            "test_zero_is_exact_and_codes_are_few_small_and_idempotent",
            "test_half_a_step_goes_to_the_even_number_of_steps",
            "test_codes_are_monotone"),
        hints=("Divide, round, shift, clip, and cast at the very end.",
               "q = clip(round(x / S) + Z, quant_min, quant_max), cast to "
               "smallest_dtype(quant_min, quant_max).",
               "q = np.clip(np.round(x / scale) + ..., ..., ...); return "
               "q.astype(smallest_dtype(...))"),
        also=("x / S is rounded, halves to even, before Z is added.",
              "smallest_dtype(quant_min, quant_max) gives the dtype."),
        mistakes=(
            Mistake("np.clip(np.round(x / scale) + zero_point, quant_min, quant_max)",
                    "np.round(x / scale) + zero_point",
                    "Numbers outside of the range get the nearest code there is: clip, or "
                    "the cast wraps around."),
            Mistake("np.round(x / scale) +", "np.floor(x / scale) +",
                    "Round to the nearest code; floor is off by half a step on average."),
            Mistake("np.round(x / scale) + zero_point,", "np.round(x / scale + zero_point),",
                    "Round the number of steps before Z is added: if Z is odd, a half goes "
                    "the other way."),
            Mistake("np.round(x / scale) +", "np.floor(x / scale + 0.5) +",
                    "Half a step goes to the even number of steps, as in np.round."),
            Mistake("np.round(x / scale) + zero_point,", "np.round(x / scale),",
                    "The codes are shifted by Z, the code of 0: add the zero point."),
            Mistake("np.clip(np.round(x / scale) + zero_point, quant_min, quant_max)",
                    "np.clip(np.round(x / scale), quant_min, quant_max) + zero_point",
                    "quant_min and quant_max are codes, zero point included: add it first, "
                    "then clip."),
            Mistake("np.round(x / scale) + zero_point,", "np.round(x / scale) - zero_point,",
                    "The sign: r = S (q - Z) means q = r / S + Z."),
            Mistake("q.astype(smallest_dtype(quant_min, quant_max))", "q",
                    "Codes are small integers; yours are still floats of eight bytes: cast "
                    "them."),
            Mistake("np.round(x / scale) +", "np.round(x * scale) +",
                    "A code counts steps: divide by the step S."),
            Mistake("np.round(x / scale) +", "np.trunc(x / scale) +",
                    "Round to the nearest code: trunc cuts off the fraction."),
            Mistake("q.astype(smallest_dtype(quant_min, quant_max))", "q.astype(np.int64)",
                    "Codes have the smallest dtype that holds them all: smallest_dtype "
                    "gives it."),
            Mistake("q.astype(smallest_dtype(quant_min, quant_max))", "q.astype(np.int8)",
                    "int8 holds -128 to 127 only: smallest_dtype gives the right one."),
            Mistake("np.round(x / scale) + zero_point,", "np.round((x + zero_point) / scale),",
                    "Z is a code: divide by S first, then add Z."))),
    Exercise(
        name="channel_range",
        target="tinyml.compression.quantization:channel_range",
        level=2, minutes=10,
        task="Find the smallest and largest number of an array, or of each of its slices along "
             "an axis",
        tests=laws_of(
            "quantization",
            "test_the_range_of_a_slice_is_that_of_its_numbers_along_any_axis",
            "test_a_step_per_channel_is_that_of_each_channel_alone"),
        hints=("Each slice keeps its own numbers: reduce all axes but that one.",
               "others = all i but axis % x.ndim, as a tuple; x.min(axis=others, "
               "keepdims=True), and max. Without an axis x.min(), x.max().",
               'if axis is None: return x.min(), x.max(); check_axis("channel_range", axis, x); '
               'others = tuple(i for i in range(x.ndim) if i != ...)'),
        also=('A negative axis counts from the end. check_axis("channel_range", axis, x) '
              'refuses one that x does not have.',),
        mistakes=(
            Mistake("others = tuple(i for i in range(x.ndim) if i != axis % x.ndim)",
                    "others = axis",
                    "You reduce the axis that must stay: for a range per channel, reduce all "
                    "other axes."),
            Mistake("x.min(axis=others, keepdims=True), x.max(axis=others, keepdims=True)",
                    "x.min(axis=others), x.max(axis=others)",
                    "The reduced axes stay as 1, so that the ranges broadcast against x: "
                    "keepdims=True."),
            Mistake("axis % x.ndim", "axis",
                    "A negative axis counts from the end: compare with axis % x.ndim."),
            Mistake('    check_axis("channel_range", axis, x)\n',
                    "",
                    "An axis that x does not have must be refused with a ValueError."),
            Mistake("axis % x.ndim", "0",
                    "The axis is an argument: yours is always the first one."),
            Mistake("x.min(axis=others, keepdims=True), x.max",
                    "-np.abs(x).max(axis=others, keepdims=True), x.max",
                    "The range begins at the smallest number: choose_qparams makes it symmetric "
                    "later."),
            Mistake("x.min(axis=others, keepdims=True), x.max(axis=others, keepdims=True)",
                    "x.max(axis=others, keepdims=True), x.min(axis=others, keepdims=True)",
                    "The two results are exchanged: the smallest first."),
            Mistake("return x.min(), x.max()", "return x.min(keepdims=True), x.max(keepdims=True)",
                    "Without an axis the results are numbers, without axes."),
            Mistake("x.min(axis=others, keepdims=True), x.max",
                    "0 * x.min(axis=others, keepdims=True), x.max",
                    "low is the smallest number of the channel, whatever its sign: not 0."))),
    Exercise(
        name="fold_norm",
        target="tinyml.nn.folding:fold_norm",
        level=3, minutes=20,
        after=("channel_range",),
        task="Fold a batch norm into the Linear or convolution before it, so that evaluation "
             "gives the same",
        tests=laws_of(
            "folding",
            "test_folding_a_batch_norm_changes_nothing_in_evaluation"),
        hints=("In evaluation a batch norm is y = factor x + constant per channel. A layer with "
               "other weights and bias computes the same.",
               "factor = gamma / sqrt(var + eps). Multiply row o of the weight by factor_o. The "
               "new bias is factor (b - mean) + beta, with b = 0 if the layer has none. Change a "
               "copy of the layer.",
               "folded = copy.copy(layer); folded.weight = Parameter((factor * "
               "layer.weight.data.T).T); folded.bias = Parameter(...); return folded"),
        also=("All arrays are in Tensors: norm.weight.data is gamma, norm.bias.data beta, "
              "norm.running_mean.data and norm.running_var.data the statistics. layer.bias may "
              "be None.",),
        mistakes=(
            Mistake("factor * (bias - norm.running_mean.data)",
                    "bias - factor * norm.running_mean.data",
                    "The factor scales the layer's own bias as well: factor (b - mean)."),
            Mistake("np.sqrt(norm.running_var.data + norm.eps)",
                    "(norm.running_var.data + norm.eps)",
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
            Mistake("copy.copy(layer)", "layer",
                    "Change a copy: the layer that was given stays as it is."),
            Mistake("norm.weight.data / np.sqrt", "1 / np.sqrt",
                    "gamma, the weight of the batch norm, belongs to the factor."),
            Mistake("(bias - norm.running_mean.data)", "(bias + norm.running_mean.data)",
                    "The sign: a batch norm subtracts the mean."),
            Mistake("(factor * layer.weight.data.T).T", "factor * layer.weight.data",
                    "One factor for each output channel, axis 0 of the weight: a product "
                    "broadcasts over the last axis, so transpose before and after it."),
            Mistake("factor * (bias - norm.running_mean.data) + norm.bias.data",
                    "factor * (bias - norm.running_mean.data + norm.bias.data)",
                    "beta is added last: it has no factor."),
            Mistake("(bias - norm.running_mean.data)", "(-norm.running_mean.data)",
                    "The layer's own bias is missing."),
            Mistake("(factor * layer.weight.data.T).T", "(layer.weight.data.T / factor).T",
                    "W' is factor times W; you divide."),
            Mistake("(bias - norm.running_mean.data)", "bias",
                    "The running mean is subtracted from the bias before the factor."),
            Mistake("(factor * layer.weight.data.T).T", "layer.weight.data.copy()",
                    "The weights are scaled too: W' = factor W."))),
    Exercise(
        name="round_ste",
        target="tinyml.ops.straight_through:round_ste",
        level=1, minutes=5,
        after=("notes_codes",),
        task="Round to the nearest integer, with the gradient of the identity",
        tests=laws_of(
            "ops",
            "test_value_is_that_of_numpy[round_ste]",
            "test_straight_through_borrows_the_gradient_of_another_function[round_ste]",
            "test_float32_stays_float32_whatever_the_constants[round_ste]",
            "test_nothing_is_written_to[round_ste]",
            "test_vjp_is_linear_in_g[round_ste]",
            "test_ties_of_values"),
        hints=("A primitive returns the value and a tuple with one function of g. Which slope "
               "does the straight-through estimator pretend?",
               "The value is np.round(x); the vjp is the identity, g -> g.",
               "return np.round(x), (lambda g: ...,) - mind the comma: a tuple of one."),
        mistakes=(
            Mistake("lambda g: g,", "lambda g: 0 * g,",
                    "That is the true slope of rounding, and nothing would be learned: let "
                    "g through unchanged."),
            Mistake("np.round(x)", "np.floor(x)",
                    "Round to the nearest integer: floor always goes down."),
            Mistake("np.round(x)", "np.floor(x + 0.5)",
                    "Ties go to the even number, as np.round does: 0.5 becomes 0."),
            Mistake("lambda g: g,", "lambda g: np.round(g),",
                    "The gradient is not rounded: it goes straight through."),
            Mistake("np.round(x)", "np.trunc(x)",
                    "trunc cuts off towards 0; the nearest integer may lie further out."),
            Mistake("np.round(x)", "np.ceil(x)",
                    "Round to the nearest integer, not up."),
            Mistake("lambda g: g,", "lambda g: g * (np.abs(x) <= 1),",
                    "The gradient passes unchanged, for every x."),
            Mistake("lambda g: g,", "lambda g: g * x,",
                    "In the backward pass the function counts as the identity, with slope 1, not "
                    "x."),
            Mistake("lambda g: g,", "lambda g: np.ones_like(x),",
                    "The vjp returns the gradient g that it gets, not ones."))),
    Exercise(
        name="fake_quantize",
        target="tinyml.compression.quantization_aware:fake_quantize",
        level=3, minutes=20,
        after=("round_ste", "quantize"),
        task="Replace numbers by the nearest value that has a code, with gradients for the "
             "numbers and for the step",
        tests=laws_of(
            "quantization_aware",
            "test_fake_quantization_is_dequantize_of_quantize",
            "test_half_a_step_goes_to_the_even_number_of_steps",
            "test_what_is_clipped_has_the_gradient_zero_or_one",
            "test_value_and_gradients_of_a_learned_step_are_those_of_the_paper",
            "test_the_ends_are_inside_and_halves_round_to_even",
            "test_where_all_is_clipped_the_gradient_of_the_step_is_the_slope"),
        hints=("Write the formula with functions that have the right gradients. Which function "
               "limits, and which one rounds?",
               'clipped = theta / S, limited to quant_min - Z ... quant_max - Z by ops.clip '
               '("inside") or ops.clamp_ste ("identity"); the result is S round(clipped). Z '
               'may be an array, with an entry for each channel.',
               'clip = ops.clip if gradient == "inside" else ops.clamp_ste; return S * '
               'ops.round_ste(clip(..., low=..., high=...))'),
        also=("ops.clip has the gradient 0 outside of its bounds, ops.clamp_ste 1 everywhere; "
              "ops.round_ste rounds straight-through. The engine does the rest.",
              "Both bounds are inside: quant_min - Z <= theta / S <= quant_max - Z."),
        mistakes=(
            Mistake('ops.clip if gradient == "inside" else ops.clamp_ste', "ops.clamp_ste",
                    'With gradient="inside" no gradient flows where theta is clipped: there a '
                    "change of theta changes nothing."),
            Mistake('ops.clip if gradient == "inside" else ops.clamp_ste', "ops.clip",
                    'With gradient="identity" the gradient flows where theta is clipped, '
                    'too: ops.clamp_ste.'),
            Mistake("S * ops.round_ste(clipped)", "S * (ops.round_ste(clipped) + Z)",
                    "Z enters only the bounds: the value is S (q - Z), and you have rounded q - "
                    "Z already."),
            Mistake("S * ops.round_ste(clipped)", "ops.round_ste(clipped)",
                    "The result is on the scale of theta again: multiply by the step."),
            Mistake("low=quant_min - Z, high=quant_max - Z", "low=quant_min, high=quant_max",
                    "quant_min and quant_max limit q = round(theta / S) + Z: subtract Z to "
                    "limit theta / S."),
            Mistake("    clipped = clip(theta / S, low=quant_min - Z, high=quant_max - Z)\n"
                    "    return S * ops.round_ste(clipped)",
                    "    clipped = clip(ops.round_ste(theta / S), low=quant_min - Z, "
                    "high=quant_max - Z)\n"
                    "    return S * clipped",
                    "Limit first, then round: what is inside depends on theta / S, before "
                    "it is rounded."),
            Mistake("S * ops.round_ste(clipped)", "S * ops.round_ste(clipped).detach()",
                    "detach stops the gradient: round_ste lets it through by itself."),
            Mistake("clip(theta / S, low=quant_min - Z, high=quant_max - Z)",
                    "clip(theta, low=quant_min - Z, high=quant_max - Z) / S",
                    "The bounds are codes: divide by S first, then clip."),
            Mistake("low=quant_min - Z, high=quant_max - Z",
                    "low=quant_min + Z, high=quant_max + Z",
                    "Codes without Z run from quant_min - Z to quant_max - Z."),
            Mistake("clip(theta / S, low=quant_min - Z, high=quant_max - Z)", "theta / S",
                    "Numbers outside of the range of the codes are clipped."))),
))
