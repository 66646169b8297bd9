"""Binary and ternary weights (10.2.2): signs, their scales, and products of bits."""
from tinyml.exercises.exercise import Chapter, Exercise, Mistake, laws_of

CHAPTER = Chapter("binary", "10.2.2 Binary weights: signs, scales and bits", (
    Exercise(
        name="binarize",
        target="tinyml.compression.binary:binarize",
        level=1, minutes=5,
        task="Replace the weights of each filter by their signs, and find the best scale for them",
        tests=laws_of(
            "binary",
            "test_no_other_signs_with_a_scale_are_nearer",
            "test_forward_are_codes_times_alpha_and_backward_is_alpha_inside[scaled sign]"),
        hints=("Which sign does each weight need? Then set the derivative of the squared distance "
               "with respect to alpha to 0.",
               "b has 1 for w >= 0 and -1 for w < 0, as int8; alpha is the mean of |w| over each "
               "filter, shape (m, 1, ...).",
               "b = np.where(weight >= 0, ..., ...); return b.astype(np.int8), "
               "filter_mean(...)"),
        also=("filter_mean(a) is the mean over each slice of axis 0, with the shape (m, 1, ...).",),
        mistakes=(
            Mistake("np.where(weight >= 0, 1, -1)", "np.sign(weight)",
                    "np.sign of 0 is 0, and one bit has no code for it: the sign of 0 is 1 here."),
            Mistake("weight >= 0", "weight > 0",
                    "The sign of 0 is 1 here: compare with >=."),
            Mistake("filter_mean(np.abs(weight))", "filter_mean(weight)",
                    "Weights of both signs cancel: alpha is the mean of |w|."),
            Mistake("filter_mean(np.abs(weight))", "filter_mean(weight ** 2) ** 0.5",
                    "The root of the mean square is too large: the least squares scale is the "
                    "mean of |w|."),
            Mistake("filter_mean(np.abs(weight))",
                    "filter_mean(0 * weight) + np.abs(weight).mean()",
                    "Each filter has a scale of its own; yours is one for the whole weight."),
            Mistake("filter_mean(np.abs(weight))", "filter_mean(0 * weight) + 1",
                    "With the scale 1 this is BinaryConnect; the scale that is nearest to w is "
                    "the mean of |w|."),
            Mistake("b.astype(np.int8)", "b",
                    "The signs are codes: cast them to int8."))),
    Exercise(
        name="ternarize",
        target="tinyml.compression.ternary:ternarize",
        level=2, minutes=10,
        after=("binarize",),
        task="Replace large weights by their signs and the others by 0, and find the best scale",
        tests=laws_of(
            "ternary",
            "test_the_scale_of_ternary_codes_is_the_least_squares_one",
            "test_no_other_zeros_and_signs_with_a_scale_are_nearer_than_those_of_the_best_threshold") + laws_of(
            "binary",
            "test_zero_filters_shared_weights_and_convolutions[ternary]"),
        hints=("First decide which weights are large. The best scale is that of least squares, "
               "and only the large weights take part in it.",
               "t = sign(w) where |w| > delta, else 0, as int8; alpha = t.w / t.t for each filter, "
               "the mean of |w| over its large weights, and 0 if it has none.",
               "large = np.abs(weight) > delta; t = np.where(large, ..., 0); share = "
               "filter_mean(large); alpha = filter_mean(...) / np.where(share > 0, share, 1)"),
        also=("filter_mean(a) is the mean over each slice of axis 0, with the shape (m, 1, ...).",
              "alpha has the dtype of the weights."),
        mistakes=(
            Mistake("np.abs(weight) > delta", "weight > delta",
                    "Large negative weights count too: compare |w|."),
            Mistake("np.abs(weight) > delta", "np.abs(weight) >= delta",
                    "A weight as large as delta becomes 0: compare with >."),
            Mistake(" / np.where(share > 0, share, 1)", "",
                    "This is a mean over all weights of the filter: only the large ones count, "
                    "so divide by their share."),
            Mistake("np.where(share > 0, share, 1)", "share",
                    "A filter without large weights divides 0 by 0: its alpha is 0."),
            Mistake("filter_mean(t * weight)", "filter_mean(large * weight)",
                    "Large weights of both signs cancel: take t times w, which is |w|."),
            Mistake("filter_mean(t * weight)", "filter_mean(np.abs(weight))",
                    "The small weights are 0 now: they take no part in alpha."),
            Mistake("np.sign(weight)", "1",
                    "Negative weights need the code -1."))),
    Exercise(
        name="best_threshold",
        target="tinyml.compression.ternary:best_threshold",
        level=3, minutes=20,
        after=("ternarize",),
        task="Find the threshold of each filter whose ternary weights are nearest to the real ones",
        tests=laws_of(
            "ternary",
            "test_no_other_threshold_has_a_smaller_error",
            "test_no_other_zeros_and_signs_with_a_scale_are_nearer_than_those_of_the_best_threshold",
            "test_for_uniform_weights_the_rule_is_nearly_the_best"),
        hints=("Only the number k of weights that stay matters, and these are the k largest. What "
               "is the error for each k?",
               "Sort |w| of each filter in decreasing order, a (m, n). The error falls by (a_1 + "
               "... + a_k)^2 / k: take the k with the largest of these, and return a_(k+1), or 0 "
               "if all stay.",
               "a = -np.sort(-magnitudes, axis=1); gain = a.cumsum(axis=1) ** 2 / k; n_kept = 1 "
               "+ gain.argmax(axis=1); then append a 0 to each row of a, and take its entry "
               "n_kept"),
        also=("Sums are taken in float64.",),
        mistakes=(
            Mistake("** 2 / k", "/ k",
                    "That is the mean of the largest ones: square the sum before you divide by "
                    "k."),
            Mistake("** 2 / k", "** 2",
                    "Each weight that stays costs something: divide the square by k."),
            Mistake("1 + gain.argmax(axis=1)", "gain.argmax(axis=1)",
                    "argmax counts from 0: yours makes the smallest weight that should stay the "
                    "threshold, so it is lost."),
            Mistake("-np.sort(-magnitudes, axis=1)", "-np.sort(-magnitudes, axis=0)",
                    "Sort the weights of each filter, along axis 1."),
            Mistake("np.abs(weight).reshape", "weight.reshape",
                    "A large negative weight stays too: sort the magnitudes."),
            Mistake("gain.argmax(axis=1)", "gain.sum(axis=0).argmax() + np.zeros(len(a), int)",
                    "Each filter has a k of its own: take the argmax in each row."),
            Mistake("np.pad(a, ((0, 0), (0, 1)))", 'np.pad(a, ((0, 0), (0, 1)), mode="edge")',
                    "If all weights stay, delta is 0; yours is the smallest of them, which is then "
                    "lost."))),
    Exercise(
        name="bit_product",
        target="tinyml.compression.bits:bit_product",
        level=2, minutes=15,
        after=("binarize",),
        task="Multiply whole numbers by codes -1, 0 and 1, with AND and counts of ones only",
        tests=laws_of(
            "bits",
            "test_a_product_of_bits_is_that_of_the_whole_numbers",
            "test_for_signs_the_product_counts_the_bits_that_differ"),
        hints=("What is the product of a vector of bits with a vector of bits? Then x is a sum of "
               "powers of 2 times bits, and W is a difference.",
               "x W' = sum_k 2^k (|x_k and plus| - |x_k and minus|), shapes (N, words) and (m, "
               "words), which broadcast to (N, m, words); _n_ones counts over the words.",
               "y = 0; for k, plane in enumerate(planes): x_k = plane[:, None]; y = y + 2 ** k * "
               "(_n_ones(x_k & plus) - ...)"),
        also=("_n_ones(words) is how many bits are 1, summed over the last axis.",),
        mistakes=(
            Mistake("2 ** k * (", "(",
                    "Bit k stands for 2^k: give each plane its weight."),
            Mistake("x_k & plus", "x_k | plus",
                    "A product of bits is 1 where both are 1: AND, not OR."),
            Mistake(" - _n_ones(x_k & minus)", "",
                    "Codes of -1 take their inputs away: subtract the ones under minus."),
            Mistake("- _n_ones(x_k & minus)", "+ _n_ones(x_k & minus)",
                    "Codes of -1 take their inputs away: subtract."),
            Mistake("x_k & minus", "x_k ^ minus",
                    "XOR counts the bits that differ; a product of bits is AND."),
            Mistake("2 ** k", "2 ** (len(planes) - 1 - k)",
                    "The lowest bits come first: plane k has the weight 2^k."),
            Mistake("2 ** k", "(k + 1)",
                    "Bit k stands for 2^k, not for k."),
            Mistake("y + 2", "2",
                    "Add the planes up: yours keeps the last one only."))),
))
