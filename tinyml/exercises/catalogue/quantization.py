"""Quantization (10.2.2): codes for numbers."""
from tinyml.exercises.exercise import Chapter, Exercise, Mistake, laws_of

CHAPTER = Chapter("quantization", "10.2.2 Quantization: codes for numbers", (
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
                    "The step comes from the largest magnitude, so that no code is above K."),
            Mistake("np.round(theta / delta)", "np.floor(theta / delta)",
                    "Round to the nearest code: floor always goes down."),
            Mistake("np.round(theta / delta)", "np.ceil(theta / delta)",
                    "Round to the nearest code: ceil always goes up."),
            Mistake("np.abs(theta).max()", "max(theta.max(), 0)",
                    "The largest weight in magnitude may be negative: take the maximum of "
                    "|theta|."),
            Mistake("np.round(theta / delta)", "np.round(np.abs(theta) / delta)",
                    "Codes keep the sign of the weight: they run from -K to K."),
            Mistake("np.round(theta / delta)", "np.round((theta - theta.min()) / delta)",
                    "The weights are not shifted: 0 has the code 0, and negative weights "
                    "have negative codes."),
            Mistake("q.astype(np.int64), delta", "delta * q, delta",
                    "Return the codes, not the weights that they stand for."),
            Mistake("/ k or 1.0", "/ k + 1e-12",
                    "Nothing is added to the step; it is 1 if all weights are 0, and max "
                    "|theta| / K otherwise."),
            Mistake("np.round(theta / delta)",
                    "np.sign(theta) * np.floor(np.abs(theta) / delta + 0.5)",
                    "Halves round to even, as in np.round, not away from zero."),
            Mistake("q.astype(np.int64), delta", "q.ravel().astype(np.int64), delta",
                    "The codes have the shape of theta."))),
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
                    "the number of codes."),
            Mistake("np.maximum(-low, high) / quant_max", "(high - low) / (2 * quant_max)",
                    "Symmetric codes reach to the larger of |low| and |high|, not to half "
                    "the range."),
            Mistake("np.round(-low / scale)", "np.trunc(-low / scale)",
                    "Z is rounded to the nearest code: a cast to int64 cuts off the fraction."),
            Mistake("np.round(-low / scale)", "np.ceil(-low / scale)",
                    "Z is rounded to the nearest code, not up."),
            Mistake("np.where(step > 0, step, 1.0)", "step + 1e-12",
                    "Nothing is added to S; it is 1 where the formula gives 0."),
            Mistake("np.where(step > 0, step, 1.0)", "np.maximum(step, 1e-12)",
                    "S = 1 where the formula gives 0, and a small step stays as it is."),
            Mistake("np.where(step > 0, step, 1.0)", "np.where(step > 1e-12, step, 1.0)",
                    "S = 1 only where the formula gives 0: a small step stays as it is."),
            Mistake("    low, high = np.minimum(low, 0), np.maximum(high, 0)\n",
                    "    low, high = np.minimum(low, 0), np.maximum(high, 0)\n"
                    "    low, high = np.full(low.shape, low.min(initial=0)), "
                    "np.full(high.shape, high.max(initial=0))\n",
                    "Each channel has a range and a step of its own, not one for all."),
            Mistake("np.asarray(zero_point, np.int64)",
                    "np.asarray(np.clip(zero_point, quant_min, quant_max - 1), np.int64)",
                    "Z may be any code from quant_min to quant_max: -low / S is already one "
                    "of them."),
            Mistake("    low, high = np.minimum(low, 0), np.maximum(high, 0)\n",
                    "    low, high = np.minimum(low, 0), high + 0.0\n",
                    "Zero must have a code: if high is negative, the range reaches up to 0."),
            Mistake("    low, high = np.minimum(low, 0), np.maximum(high, 0)\n",
                    "    low, high = low + 0.0, np.maximum(high, 0)\n",
                    "Zero must have a code: if low is positive, the range reaches down to 0."),
            Mistake("np.where(step > 0, step, 1.0)", "1 / np.where(step > 0, step, 1.0)",
                    "S is the step between two codes: the range divided by the number of "
                    "steps, not its inverse."),
            Mistake("np.round(-low / scale)", "np.round(high / scale)",
                    "Z is the code of 0, which lies -low / S steps above the first code."))),
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
                    "Z is a code: divide by S first, then add Z."),
            Mistake("q.astype(smallest_dtype(quant_min, quant_max))", "q.astype(np.int32)",
                    "Codes have the smallest dtype that holds them all: smallest_dtype gives it."),
            Mistake("    q = np.clip(np.round(x / scale) + zero_point, quant_min, quant_max)\n",
                    "    q = (np.round(x / scale) + "
                    "zero_point).astype(np.int64).astype(smallest_dtype(quant_min, quant_max))\n"
                    "    q = np.clip(q, quant_min, quant_max)\n",
                    "Clip before the cast: a code outside of the dtype wraps around."),
            Mistake("np.round(x / scale) + zero_point,",
                    "np.clip(np.round(x / scale), quant_min, quant_max) + zero_point,",
                    "quant_min and quant_max are codes, zero point included: add it first, "
                    "then clip."),
            Mistake("np.round(x / scale) +", "np.ceil(x / scale) +",
                    "Round to the nearest code, not up."),
            Mistake("np.round(x / scale) +", "np.sign(x) * np.floor(np.abs(x) / scale + 0.5) +",
                    "Halves round to even, as in np.round, not away from zero."),
            Mistake("zero_point, quant_min, quant_max)", "zero_point, quant_min + 1, quant_max)",
                    "quant_min is a code as well."),
            Mistake("zero_point, quant_min, quant_max)", "zero_point, 0, quant_max)",
                    "The smallest code is quant_min, which may be negative."),
            Mistake("    return q.astype",
                    "    q = scale * (q - zero_point)\n"
                    "    return q.astype",
                    "Return the codes q, not the numbers S (q - Z) that they stand for."),
            Mistake("zero_point, quant_min, quant_max)", "zero_point, -quant_max, quant_max)",
                    "The smallest code is quant_min, not -quant_max."))),
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
                    "low is the smallest number of the channel, whatever its sign: not 0."),
            Mistake("if axis is None:", "if not axis:",
                    "Axis 0 is an axis too, though it counts as false: ask for axis is None."),
            Mistake("    if axis is None:\n",
                    "    x = np.abs(x) if axis is not None else x\n"
                    "    if axis is None:\n",
                    "low and high are numbers of x, with their sign: take no magnitudes."),
            Mistake("    if axis is None:\n",
                    "    x = np.abs(x)\n"
                    "    if axis is None:\n",
                    "low and high are numbers of x, with their sign: take no magnitudes."),
            Mistake("axis % x.ndim", "x.ndim - 1",
                    "The axis is an argument: yours is always the last one."),
            Mistake("return x.min(), x.max()", "return x.max(), x.min()",
                    "The two results are exchanged: the smallest first."),
            Mistake("return x.min(), x.max()", "return x.min(axis=0), x.max(axis=0)",
                    "Without an axis, the range is that of all numbers."),
            Mistake("return x.min(), x.max()", "return -np.abs(x).max(), np.abs(x).max()",
                    "The range begins at the smallest number: choose_qparams makes it "
                    "symmetric later."),
            Mistake("return x.min(axis=others, keepdims=True), x.max(axis=others, keepdims=True)",
                    "low, high = x.min(axis=others), x.max(axis=others)\n"
                    "    return low.reshape(-1, *[1] * (x.ndim - 1)), high.reshape(-1, *[1] "
                    "* (x.ndim - 1))",
                    "The channels stay on their own axis, which need not be the first: "
                    "keepdims=True puts 1 on the others."),
            Mistake("return x.min(axis=others, keepdims=True), x.max(axis=others, keepdims=True)",
                    "return x.min(axis=others, keepdims=True), (x.max(axis=others, "
                    "keepdims=True) - x.min(axis=others, keepdims=True))",
                    "The second result is the largest number, not the width of the range."))),
))
