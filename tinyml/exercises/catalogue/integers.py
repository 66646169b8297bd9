"""Integer arithmetic, and few bits (10.2.2): fixed-point products, clipping, restored means."""
from tinyml.exercises.exercise import Chapter, Exercise, Mistake, laws_of

CHAPTER = Chapter("integers", "10.2.2 Integer arithmetic, and few bits", (
    Exercise(
        name="quantize_multiplier",
        target="tinyml.compression.fixed_point:quantize_multiplier",
        level=3, minutes=20,
        after=("quantize",),
        task="Write a multiplier in (0, 1] as 2^-n M0, with M0 in [0.5, 1) stored as an integer of "
             "31 bits",
        tests=laws_of(
            "fixed_point",
            "test_a_multiplier_has_31_bits",
            "test_multipliers_of_an_array_are_those_of_its_entries",
            "test_multiplying_is_within_one_of_the_real_product"),
        hints=("np.frexp splits a number into a fraction in [0.5, 1) and a power of 2.",
               "M0 is stored as round(2^31 fraction), n = -exponent. Two cases: a fraction that "
               "rounds up to 2^31 does not fit, so take 2^31 - 1; M = 1 has exponent 1, so take "
               "the largest float below 1 instead.",
               "fraction, exponent = np.frexp(np.minimum(multiplier, np.nextafter(1, 0))); M0 = "
               "np.minimum(np.round(...), INT32.max); return M0 and -exponent, both "
               ".astype(np.int32)"),
        also=("M = 1, whose n is 0, gets the largest M0, 2^31 - 1. A fraction that rounds up to 1 "
              "may get it too.",),
        mistakes=(
            Mistake("(-exponent)", "exponent",
                    "M = 2^-n M0: n is minus the exponent that frexp gives."),
            Mistake("fraction * 2.0 ** 31", "fraction * 2.0 ** 30",
                    "M0 in [0.5, 1) is stored as round(2^31 M0), which lies between 2^30 and "
                    "2^31."),
            Mistake("np.minimum(M0, INT32.max)", "M0",
                    "A fraction just below 1 rounds up to 2^31, which overflows int32: take "
                    "2^31 - 1 at most."),
            Mistake("np.minimum(multiplier, np.nextafter(1, 0))", "multiplier",
                    "M = 1 is 0.5 times 2^1, and n = -1 is no right shift: give it the "
                    "largest M0 and n = 0."),
            Mistake("np.round(fraction * 2.0 ** 31)", "np.floor(fraction * 2.0 ** 31)",
                    "M0 is rounded to the nearest integer, not rounded down."),
            Mistake("np.round(fraction * 2.0 ** 31)", "np.round(multiplier * 2.0 ** 31)",
                    "M0 comes from the fraction in [0.5, 1); the power of 2 is in n."),
            Mistake("(-exponent)", "(1 - exponent)",
                    "M = 2^-n M0 with M0 in [0.5, 1), as np.frexp splits it: n is minus the "
                    "exponent."),
            Mistake("    return M0.astype(np.int32), (-exponent).astype(np.int32)",
                    "    n = np.ceil(-np.log2(multiplier))\n"
                    "    M0 = np.minimum(np.round(multiplier * 2.0 ** n * 2.0 ** 31), "
                    "INT32.max)\n"
                    "    return M0.astype(np.int32), n.astype(np.int32)",
                    "n is floor(-log2 M), so that M0 = 2^n M lies in [0.5, 1); yours is one "
                    "too large, except for powers of 2."),
            Mistake("    return M0.astype(np.int32), (-exponent).astype(np.int32)",
                    "    n = np.floor(-np.log2(multiplier))\n"
                    "    M0 = np.minimum(np.round(multiplier * 2.0 ** n * 2.0 ** 31), "
                    "INT32.max)\n"
                    "    return M0.astype(np.int32), n.astype(np.int32)",
                    "For a power of 2, such as 0.5, M0 is 0.5 and n one less than -log2 M: "
                    "0.5 <= M0 < 1. np.frexp splits it so."),
            Mistake("    M0 = np.minimum(M0, INT32.max)                      # if the "
                    "fraction rounds up to 1\n",
                    "    up = M0 > INT32.max\n"
                    "    M0, exponent = np.where(up, 2.0 ** 30, M0), np.where(up, exponent + "
                    "1, exponent)\n",
                    "A fraction that rounds up to 1 gets the largest M0, 2^31 - 1, and n stays."),
            Mistake("np.minimum(M0, INT32.max)", "np.where(multiplier == 1, INT32.max, M0)",
                    "A fraction just below 1 rounds up to 2^31 as well, which overflows "
                    "int32: take 2^31 - 1 at most."),
            Mistake("M0.astype(np.int32), (-exponent)", "M0.astype(np.int64), (-exponent)",
                    "M0 is stored as int32."),
            Mistake("(-exponent).astype(np.int32)", "(-exponent).astype(np.int64)",
                    "n is stored as int32."),
            Mistake("M0.astype(np.int32), (-exponent)", "(M0 / 2.0 ** 31), (-exponent)",
                    "M0 is an integer, in units of 2^-31."),
            Mistake("np.round(fraction * 2.0 ** 31)", "np.round(fraction * INT32.max)",
                    "M0 is in units of 2^-31: multiply by 2^31, not by 2^31 - 1."),
            Mistake("np.minimum(M0, INT32.max)", "np.minimum(M0, INT32.max - 1)",
                    "The largest M0 is 2^31 - 1."),
            Mistake("np.round(fraction * 2.0 ** 31)", "np.round(np.float32(fraction) * 2.0 ** 31)",
                    "A float32 holds 24 bits only, and M0 has 31: compute in float64."))),
    Exercise(
        name="rounding_doubling_high_mul",
        target="tinyml.compression.fixed_point:rounding_doubling_high_mul",
        level=2, minutes=15,
        after=("quantize_multiplier",),
        task="Multiply two 31-bit fractions held as int32, rounded, without a float",
        tests=laws_of(
            "fixed_point",
            "test_the_high_half_of_a_doubled_product_is_the_rounded_fraction",
            "test_large_products_next_to_a_half_are_rounded_as_whole_numbers_are",
            "test_multiplying_is_within_one_of_the_real_product"),
        hints=("A product of two int32 needs int64. To round a right shift, first add half of "
               "what it divides by.",
               "(a b + 2^30) >> 31 in int64, at most 2^31 - 1, as int32.",
               "product = a.astype(np.int64) * b; rounded = (product + ...) >> 31; return "
               "np.minimum(rounded, INT32.max).astype(np.int32)"),
        also=("Compute in integers: a float64 does not hold all 62 bits of a product.",),
        mistakes=(
            Mistake("a.astype(np.int64) * b", "(a * b).astype(np.int64)",
                    "The product of two int32 has up to 62 bits, and wraps around: cast to int64 "
                    "before you multiply."),
            Mistake("(product + 2 ** 30) >> 31", "product >> 31",
                    "A shift rounds down: add half of 2^31 before it."),
            Mistake("np.minimum(rounded, INT32.max)", "rounded",
                    "-2^31 times -2^31 gives 2^31, which overflows int32: take 2^31 - 1 at "
                    "most."),
            Mistake("(product + 2 ** 30) >> 31", "np.floor(product / 2 ** 31 + 0.5)",
                    "A float64 has only 53 bits, so quotients close to a half become a half: "
                    "shift integers."),
            Mistake("(product + 2 ** 30) >> 31",
                    "np.sign(product) * (np.abs(product) + 2 ** 30 >> 31)",
                    "Halves go up, for negative products too: no absolute value."),
            Mistake(">> 31", ">> 32",
                    "The product is doubled: the upper 32 bits of 2 a b are a b / 2^31."),
            Mistake("2 ** 30", "2 ** 31",
                    "Half of what the shift divides by, 2^31, is 2^30."),
            Mistake("np.minimum(rounded, INT32.max).astype(np.int32)",
                    "np.minimum(rounded, INT32.max)",
                    "The result is int32: cast it at the end."),
            Mistake("(product + 2 ** 30) >> 31", "np.round(product / 2 ** 31)",
                    "Halves go up, and a quotient of floats loses digits: shift integers."),
            Mistake("2 ** 30", "(2 ** 30 - 1)",
                    "Halves go up: add the whole half, 2^30."),
            Mistake("(product + 2 ** 30) >> 31",
                    "np.where((a == INT32.min) | (b == INT32.min), INT32.max, (product + 2 "
                    "** 30) >> 31)",
                    "Only -2^31 times -2^31 does not fit: both factors, not one of them."),
            Mistake("(product + 2 ** 30) >> 31", "(2 * product + 2 ** 30) >> 31",
                    "The shift by 31 doubles already: round(a b / 2^31)."),
            Mistake("(product + 2 ** 30) >> 31", "(product + 2 ** 30) // (2 ** 31 - 1)",
                    "The divisor is 2^31."),
            Mistake("(product + 2 ** 30) >> 31", "np.fix((product + 2 ** 30) / 2 ** 31)",
                    "A cut towards 0 rounds negative products wrongly: a shift rounds down."),
            Mistake("(product + 2 ** 30) >> 31", "(product >> 31) + 1",
                    "Add half of 2^31 before the shift, not 1 after it."))),
    Exercise(
        name="requantize",
        target="tinyml.compression.fixed_point:requantize",
        level=2, minutes=15,
        after=("rounding_doubling_high_mul",),
        task="Turn int32 sums into codes of the output: times M, plus Z, clipped, in a small "
             "dtype",
        tests=laws_of(
            "fixed_point",
            "test_codes_of_an_output_are_bit_for_bit_those_of_whole_numbers",
            "test_multiplying_is_within_one_of_the_real_product") + laws_of(
            "integer",
            "test_a_linear_layer_is_bit_for_bit_that_of_whole_numbers"),
        hints=("Two functions of this module round: one multiplies by M0, the other shifts by n.",
               "rounding_right_shift(rounding_doubling_high_mul(acc, M0), n). Add zero_point in "
               "int64, where no sum wraps around. Then clip, and cast to the dtype that "
               "smallest_dtype gives.",
               "product = ...; scaled = rounding_right_shift(product, shift); codes = "
               "np.clip(scaled.astype(np.int64) + zero_point, quant_min, quant_max); return "
               "codes.astype(...)"),
        mistakes=(
            Mistake("np.clip(scaled.astype(np.int64) + zero_point, quant_min, quant_max)",
                    "np.clip(scaled.astype(np.int64), quant_min, quant_max) + zero_point",
                    "The limits are codes, zero point included: add it first, then clip."),
            Mistake("scaled.astype(np.int64) + zero_point", "scaled.astype(np.int64)",
                    "Output codes are shifted by Z3: add the zero point."),
            Mistake("rounding_right_shift(product, shift)", "product",
                    "M = 2^-n M0: after the product with M0 there is a shift by n."),
            Mistake("rounding_right_shift(product, shift)", "product >> shift",
                    "A plain shift rounds down, as // does: rounding_right_shift rounds to the "
                    "nearest."),
            Mistake("scaled.astype(np.int64) + zero_point", "scaled + np.int32(zero_point)",
                    "With Z added, a large int32 wraps around: add in int64, and clip "
                    "before you cast."),
            Mistake("rounding_right_shift(product, shift)",
                    "np.round(accumulator * (multiplier / 2 ** 31) / 2.0 ** shift)",
                    "This rounds once, in floats, and sometimes gives another code: round the "
                    "product, then the shift, both in integers."),
            Mistake("rounding_doubling_high_mul(accumulator, multiplier)    # M0 acc\n"
                    "    scaled = rounding_right_shift(product, shift)",
                    "rounding_right_shift(accumulator, shift)\n"
                    "    scaled = rounding_doubling_high_mul(product, multiplier)",
                    "The shift comes after the product: shifted first, the sum loses the "
                    "digits that count."),
            Mistake("codes.astype(smallest_dtype(quant_min, quant_max))", "codes",
                    "Codes have the smallest dtype that holds them; yours still have eight "
                    "bytes."),
            Mistake("codes.astype(smallest_dtype(quant_min, quant_max))", "codes.astype(float)",
                    "Codes are integers of the smallest dtype: no float belongs here."),
            Mistake("np.clip(scaled.astype(np.int64) + zero_point, quant_min, quant_max)",
                    "scaled.astype(np.int64) + zero_point",
                    "Clip to the range of the codes, or the cast wraps around. (The clip is the "
                    "ReLU too.)"),
            Mistake("scaled.astype(np.int64) + zero_point", "scaled.astype(np.int64) - zero_point",
                    "The zero point of the output is added."),
            Mistake("rounding_right_shift(product, shift)", "product << shift",
                    "M = 2^-n M0: shift to the right."),
            Mistake("rounding_right_shift(product, shift)",
                    "(accumulator.astype(np.int64) * multiplier + (np.int64(1) << 30 + "
                    "shift.astype(np.int64)) >> 31 + shift.astype(np.int64))",
                    "There are two roundings, after the product and after the shift: yours "
                    "rounds once."),
            Mistake("codes.astype(smallest_dtype(quant_min, quant_max))", "codes.astype(np.int32)",
                    "Codes have the smallest dtype that holds them; yours take four bytes each."),
            Mistake("rounding_doubling_high_mul(accumulator, multiplier)",
                    "rounding_doubling_high_mul((accumulator + zero_point).astype(np.int32), "
                    "multiplier)",
                    "The zero point is that of the output: it is added after the product and "
                    "the shift, not before."),
            Mistake("rounding_doubling_high_mul(accumulator, multiplier)",
                    "accumulator * multiplier",
                    "M0 is in units of 2^-31: rounding_doubling_high_mul gives the rounded "
                    "product of the fractions."),
            Mistake("scaled.astype(np.int64) + zero_point",
                    "np.clip(scaled.astype(np.int64), quant_min, quant_max) + zero_point",
                    "The limits are codes, zero point included: clip once, after it was added."),
            Mistake("zero_point, quant_min, quant_max)", "zero_point, -quant_max, quant_max)",
                    "The smallest code is quant_min."),
            Mistake("    return codes.astype",
                    "    codes = (scaled.astype(np.int64) + "
                    "zero_point).astype(smallest_dtype(quant_min, quant_max))\n"
                    "    codes = np.clip(codes, quant_min, quant_max)\n"
                    "    return codes.astype",
                    "Clip before the cast: a code outside of the dtype wraps around."),
            Mistake("rounding_right_shift(product, shift)", "np.round(product / 2.0 ** shift)",
                    "Halves go away from zero, and np.round takes the even number: "
                    "rounding_right_shift does it."),
            Mistake("rounding_right_shift(product, shift)",
                    "product // 2 ** np.minimum(shift, 62)",
                    "Integer division rounds down, as >> does: rounding_right_shift rounds "
                    "to the nearest."),
            Mistake("rounding_right_shift(product, shift)",
                    "np.floor(product / 2.0 ** shift + 0.5)",
                    "Halves go away from zero, not up: rounding_right_shift does it."),
            Mistake("codes.astype(smallest_dtype(quant_min, quant_max))", "codes.astype(np.uint8)",
                    "uint8 holds 0 to 255 only: smallest_dtype gives the right one."),
            Mistake("codes.astype(smallest_dtype(quant_min, quant_max))", "codes.astype(np.int8)",
                    "int8 holds -128 to 127 only: smallest_dtype gives the right one."))),
    Exercise(
        name="expected_error",
        target="tinyml.compression.clipping:expected_error",
        level=2, minutes=15,
        after=("choose_qparams",),
        task="Compute what clipping at alpha and rounding to 2^M codes cost together, for two "
             "densities",
        tests=laws_of(
            "clipping",
            "test_no_other_clip_has_a_smaller_expected_error",
            "test_the_expected_error_is_the_integral_of_the_tails_and_a_step_squared_over_12",
            "test_the_expected_error_is_that_of_real_numbers"),
        hints=("Two errors add up: rounding inside [-alpha, alpha], the same for both densities, "
               "and clipping outside.",
               "Rounding: alpha^2 / (3 4^M). Clipping: 2 e^-alpha for Laplace; (1 + alpha^2) "
               "erfc(alpha / sqrt(2)) - sqrt(2/pi) alpha e^(-alpha^2 / 2) for the Gaussian.",
               'rounding = alpha ** 2 / (3 * 4 ** bits); if density == "laplace": clipping = 2 '
               '* math.exp(-alpha); for the Gaussian use math.erfc; return clipping + rounding'),
        also=("erfc = 1 - erf is math.erfc, which keeps its digits where erf is close to 1.",),
        mistakes=(
            Mistake("alpha ** 2 / (3 * 4 ** bits)", "alpha ** 2 / (3 * 2 ** bits)",
                    "The error goes with the square of the step, which is 2 alpha / 2^M: so "
                    "4^M, not 2^M."),
            Mistake("alpha ** 2 / (3 * 4 ** bits)", "alpha ** 2 / (12 * 4 ** bits)",
                    "The step is 2 alpha / 2^M, and its square over 12 is alpha^2 / (3 4^M)."),
            Mistake("clipping = 2 * math.exp(-alpha)", "clipping = math.exp(-alpha)",
                    "Both tails of the Laplace density are clipped: 2 e^-alpha."),
            Mistake("math.erfc(alpha / math.sqrt(2))", "(1 - math.erf(alpha / math.sqrt(2)))",
                    "Where erf is close to 1, the difference 1 - erf has lost its digits: "
                    "math.erfc keeps them."),
            Mistake("alpha ** 2 / (3 * 4 ** bits)", "alpha ** 2 / (3 * (2 ** bits - 1) ** 2)",
                    "Here [-alpha, alpha] is cut into 2^M cells, each rounded to its "
                    "middle: the step is 2 alpha / 2^M."),
            Mistake("math.erfc(alpha / math.sqrt(2))", "math.erfc(alpha)",
                    "erfc is not yet the Gaussian's tail: its argument is alpha / sqrt(2)."),
            Mistake("tail - alpha * bell", "tail - bell",
                    "A factor alpha is missing in the second term of the Gaussian."),
            Mistake("math.exp(-alpha ** 2 / 2)", "math.exp(-alpha ** 2)",
                    "The Gaussian density has alpha^2 / 2 in its exponent."),
            Mistake("return clipping + rounding", "return clipping",
                    "Rounding costs something too: add alpha^2 / (3 4^M)."),
            Mistake("alpha ** 2 / (3 * 4 ** bits)", "alpha / (3 * 4 ** bits)",
                    "The error of rounding goes with alpha squared."),
            Mistake("(1 + alpha ** 2) * tail", "(1 - alpha ** 2) * tail",
                    "The factor of the tail is 1 + alpha^2."),
            Mistake("math.sqrt(2 / math.pi)", "1 / math.sqrt(2 * math.pi)",
                    "Both tails are clipped: the factor is sqrt(2 / pi)."),
            Mistake("(3 * 4 ** bits)", "(3 * 4 ** (bits - 1))",
                    "There are 2^M codes in [-alpha, alpha]: 4^M, not 4^(M - 1)."),
            Mistake("tail - alpha * bell", "tail + alpha * bell",
                    "The second term of the Gaussian is subtracted."),
            Mistake("alpha ** 2 / (3 * 4 ** bits)", "alpha ** 2 / 3 * 4 ** bits",
                    "4^M divides too: write alpha^2 / (3 4^M) with brackets."),
            Mistake('density == "laplace"', 'density != "laplace"',
                    "The two densities are exchanged."),
            Mistake("math.sqrt(2 / math.pi) * math.exp", "math.sqrt(2) / math.pi * math.exp",
                    "The root is that of 2 / pi, not of 2 alone."),
            Mistake("alpha ** 2 / (3 * 4 ** bits)", "(alpha / (3 * 4 ** bits)) ** 2",
                    "Only alpha is squared: alpha^2 / (3 4^M)."),
            Mistake("2 * math.exp(-alpha)", "2 * math.exp(-alpha ** 2 / 2)",
                    "The Laplace density is e^-|x|: its tails give 2 e^-alpha."),
            Mistake("math.exp(-alpha ** 2 / 2)", "math.exp((-alpha) ** 2 / 2)",
                    "The exponent is -(alpha^2) / 2, which is negative."),
            Mistake("(1 + alpha ** 2) * tail", "1 + alpha ** 2 * tail",
                    "The sum 1 + alpha^2 is multiplied by erfc: it needs brackets."),
            Mistake("math.erfc(alpha / math.sqrt(2))", "math.erf(alpha / math.sqrt(2))",
                    "The tail is erfc = 1 - erf, what lies outside of the clip."),
            Mistake("(1 + alpha ** 2) * tail", "(1 + alpha) * tail",
                    "The factor of the tail is 1 + alpha^2."))),
    Exercise(
        name="optimal_clip",
        target="tinyml.compression.clipping:optimal_clip",
        level=3, minutes=25,
        after=("expected_error",),
        task="Find the clip with the smallest expected error, where the derivative is zero, by "
             "bisection",
        tests=laws_of(
            "clipping",
            "test_the_best_clips_are_those_of_the_paper",
            "test_the_derivative_changes_its_sign_at_the_best_clip",
            "test_no_other_clip_has_a_smaller_expected_error"),
        hints=("Write the slope as a function of alpha that grows through its only zero. Where "
               "it is negative, the zero lies further right.",
               "Divided by 2 alpha, the slope is 1 / (3 4^M) - e^-alpha / alpha for Laplace, and "
               "1 / (3 4^M) + erfc(alpha / sqrt(2)) - sqrt(2/pi) e^(-alpha^2/2) / alpha for the "
               "Gaussian. Start with an interval such as 1e-6 ... 50, and halve it until its "
               "length is 1e-12 times its upper end.",
               "low, high = 1e-6, 50.0; while high - low > 1e-12 * high: middle = (low + high) "
               "/ 2; if slope(middle) < 0: low = middle; else: high = middle; return the middle"),
        also=("The answer has nine digits or more, for 1 to 16 bits.",),
        mistakes=(
            Mistake("slope(middle) < 0", "slope(middle) > 0",
                    "You keep the wrong half: where the slope is still negative, the "
                    "minimum lies to the right."),
            Mistake("1 / (3 * 4 ** bits)", "1 / (3 * 2 ** bits)",
                    "Rounding adds 1 / (3 4^M) to the slope."),
            Mistake("low, high = 1e-6, 50.0", "low, high = 1e-6, 10.0",
                    "Your interval ends before the zero: with 16 bits it lies near 20 for "
                    "Laplace."),
            Mistake("1e-12 * high", "1e-3",
                    "You stop too early: halve until the interval is as short as floats allow."),
            Mistake("math.exp(-alpha) / alpha", "math.exp(-alpha)",
                    "The condition for Laplace is alpha e^alpha = 3 4^M: divide e^-alpha by "
                    "alpha."),
            Mistake("math.erfc(alpha / math.sqrt(2))", "math.erf(alpha / math.sqrt(2))",
                    "The tail is erfc = 1 - erf, what lies outside of the clip."),
            Mistake("math.sqrt(2 / math.pi)", "1 / math.sqrt(2 * math.pi)",
                    "Both tails count: the factor is sqrt(2 / pi)."),
            Mistake("math.exp(-alpha ** 2 / 2)", "math.exp(-alpha ** 2)",
                    "The Gaussian density has alpha^2 / 2 in its exponent."),
            Mistake("bell / alpha + tail", "bell + tail",
                    "The bell is divided by alpha."),
            Mistake("1 / (3 * 4 ** bits)", "2 / (3 * 4 ** bits)",
                    "The slope was divided by 2 alpha: rounding adds 1 / (3 4^M)."),
            Mistake("low, high = 1e-6, 50.0", "low, high = 1e-6, 20.0",
                    "Your interval ends before the zero: with 16 bits it lies near 20 for "
                    "Laplace."),
            Mistake("if slope(middle) < 0:",
                    "if abs(slope(middle)) < 1e-10:\n"
                    "            return middle\n"
                    "        if slope(middle) < 0:",
                    "With many bits the slope is tiny long before the zero: stop when the "
                    "interval is short, not when the slope is small."),
            Mistake("return (low + high) / 2", "return round((low + high) / 2, 2)",
                    "The answer is not rounded: the example rounds it only to show it."),
            Mistake("return rounding - bell / alpha + tail",
                    "return rounding - bell / alpha - tail",
                    "The tail is added to the slope."),
            Mistake('density == "laplace"', 'density != "laplace"',
                    "The two densities are exchanged."),
            Mistake("1 / (3 * 4 ** bits)", "1 / 3 * 4 ** bits",
                    "4^M divides too: write 1 / (3 4^M) with brackets."),
            Mistake("math.erfc(alpha / math.sqrt(2))", "math.erfc(alpha)",
                    "The argument of erfc is alpha / sqrt(2)."),
            Mistake("return (low + high) / 2", "return (low + high) / 2 * 2 ** 0.5",
                    "The optimum is in units of b for Laplace, and sigma for Gaussian: no "
                    "factor sqrt(2)."),
            Mistake("high - low > 1e-12 * high", "high - low > 1e-6",
                    "The interval is still too long when you stop: the answer needs nine digits."),
            Mistake("        middle = (low + high) / 2\n"
                    "        if slope(middle) < 0:",
                    "        middle = (low + high) / 2\n"
                    "        if abs(slope(middle)) <= 1e-12:\n"
                    "            return middle\n"
                    "        if slope(middle) < 0:",
                    "With many bits the whole slope is tiny: stop when the interval is short, not when "
                    "the slope is small."))),
    Exercise(
        name="correct_bias",
        target="tinyml.compression.clipping:correct_bias",
        level=2, minutes=20,
        after=("channel_range",),
        hide=("_shift_and_factor",),
        task="Restore the mean and the norm of each channel of quantized weights",
        tests=laws_of(
            "clipping",
            "test_corrected_channels_have_the_mean_and_norm_of_the_weights"),
        hints=("All means and norms are per channel: over all axes but the first, with keepdims.",
               "(W_q + mean(W) - mean(W_q)) * std(W) / std(W_q): the ratio of the norms is that "
               "of the standard deviations. The factor is 1 where std(W_q) is 0 up to rounding.",
               "others = tuple(range(1, weight.ndim)); shift and both deviations with "
               "axis=others, keepdims=True; factor = np.ones_like(std_w); factor[varied] = "
               "std_w[varied] / std_q[varied]; return (quantized + ...) * factor"),
        also=("The factor is 1 where ||W_q - mean(W_q)|| is at most 1e-12 ||W - mean(W)||.",),
        mistakes=(
            Mistake("others = tuple(range(1, W.ndim))", "others = tuple(range(W.ndim))",
                    "Each channel has a mean and a norm of its own: leave axis 0 out."),
            Mistake("others = tuple(range(1, W.ndim))", "others = (1,)",
                    "A filter has several axes: mean and norm are over all of them but the "
                    "first."),
            Mistake("(quantized + shift) * factor", "quantized * factor + shift",
                    "In the paper the shift comes first and the factor scales all of it, "
                    "the mean too."),
            Mistake("    std_q = Q.std(axis=others, keepdims=True)\n",
                    "    std_q = np.sqrt((Q ** 2).mean(axis=others, keepdims=True))\n",
                    "The norms are those of the deviations from the mean: subtract it first."),
            Mistake("(quantized + shift) * factor", "quantized + shift",
                    "Only the mean is restored here; the factor restores the norm."),
            Mistake("varied = std_q > 1e-12 * std_w", "varied = std_q >= 0",
                    "A channel whose quantized weights are all equal has no norm to divide "
                    "by: its factor is 1."),
            Mistake("std_w[varied] / std_q[varied]", "std_q[varied] / std_w[varied]",
                    "The factor is upside down: divide ||W - mean|| by ||W_q - mean||."),
            Mistake("shift = mean_w - mean_q", "shift = mean_q - mean_w",
                    "The sign of the shift: add mean(W) - mean(W_q)."),
            Mistake("std_w[varied] / std_q[varied]", "(std_w[varied] / std_q[varied]) ** 2",
                    "The factor is a ratio of norms, not of their squares."),
            Mistake("(quantized + shift) * factor", "quantized * factor",
                    "The mean is restored too: add the shift first."),
            Mistake("(quantized + shift) * factor",
                    "(quantized - quantized.mean(axis=tuple(range(1, quantized.ndim)), "
                    "keepdims=True)) * factor + weight.mean(axis=tuple(range(1, "
                    "weight.ndim)), keepdims=True)",
                    "The factor also multiplies the restored mean: shift first, then "
                    "multiply all."),
            Mistake("    std_w = W.std(axis=others, keepdims=True)    # their ratio is that "
                    "of the norms\n"
                    "    std_q = Q.std(axis=others, keepdims=True)\n",
                    "    std_w = np.sqrt((W ** 2).mean(axis=others, keepdims=True))\n"
                    "    std_q = np.sqrt((Q ** 2).mean(axis=others, keepdims=True))\n",
                    "The norms are those of the deviations from the mean: subtract it first."),
            Mistake("varied = std_q > 1e-12 * std_w", "varied = std_q > 0",
                    "Rounding leaves a tiny norm where all W_q are equal: the factor is 1 "
                    "below 1e-12 ||W - mean(W)||."),
            Mistake("std_w[varied] / std_q[varied]", "np.sqrt(std_w[varied] / std_q[varied])",
                    "The factor is the ratio of the norms, without another root."),
            Mistake("(quantized + shift) * factor", "(weight + shift) * factor",
                    "The quantized weights are corrected, not the weights."),
            Mistake("shift = mean_w - mean_q", "shift = mean_w",
                    "Add the difference of the two means: mean(W) - mean(W_q)."),
            Mistake("shift = mean_w - mean_q", "shift = -mean_q",
                    "Add the difference of the two means: mean(W) - mean(W_q)."))),
))
