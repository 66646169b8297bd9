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
                    "The signs are codes: cast them to int8."),
            Mistake("filter_mean(np.abs(weight))", "np.abs(weight).mean(axis=-1, keepdims=True)",
                    "The axes after the first all belong to a filter: take the mean "
                    "over all of them, and keep them with length 1."),
            Mistake("filter_mean(np.abs(weight))",
                    "np.abs(weight).reshape(len(weight), -1).mean(axis=1)",
                    "alpha keeps the axes of the weight with length 1, (m, 1, ...), so "
                    "that it broadcasts with the filters."),
            Mistake("filter_mean(np.abs(weight))",
                    "np.abs(weight).reshape(len(weight), -1).mean(axis=1, keepdims=True)",
                    "alpha keeps the axes of the weight with length 1, (m, 1, ...), so "
                    "that it broadcasts with the filters."),
            Mistake("filter_mean(np.abs(weight))", "np.abs(weight).mean(axis=0, keepdims=True)",
                    "A filter is a slice of axis 0: take the mean over all other axes, "
                    "for each filter."),
            Mistake("filter_mean(np.abs(weight))", "np.abs(weight).mean()",
                    "Each filter has a scale of its own; yours is one for the whole weight."),
            Mistake("filter_mean(np.abs(weight))", "np.abs(filter_mean(weight))",
                    "Weights of both signs cancel: take |w| first, then the mean."),
            Mistake("filter_mean(np.abs(weight))",
                    "filter_mean(np.abs(weight)) * weight[0].size",
                    "alpha is the mean of |w|, not the sum: b'b is the number of weights."),
            Mistake("filter_mean(np.abs(weight))",
                    "np.median(np.abs(weight), axis=tuple(range(1, weight.ndim)), "
                    "keepdims=True)",
                    "The median of |w| has the least sum of absolute errors; least "
                    "squares asks for the mean."),
            Mistake("filter_mean(np.abs(weight))",
                    "np.abs(weight).max(axis=tuple(range(1, weight.ndim)), keepdims=True)",
                    "The largest |w| is too large a scale: the nearest one is the mean "
                    "of |w|."),
            Mistake("np.where(weight >= 0, 1, -1)", "np.where(weight >= 0, 1, 0)",
                    "Negative weights need the code -1, not 0."),
            Mistake("np.where(weight >= 0, 1, -1)",
                    "np.where(weight >= filter_mean(weight), 1, -1)",
                    "The sign is that of w itself: do not subtract the mean of the filter."),
            Mistake("np.where(weight >= 0, 1, -1)", "np.where(weight <= 0, 1, -1)",
                    "The signs are turned round: b is 1 where w >= 0."))),
    Exercise(
        name="ternarize",
        target="tinyml.compression.ternary:ternarize",
        level=2, minutes=10,
        after=("binarize",),
        task="Replace large weights by their signs and the others by 0, and find the best scale",
        tests=laws_of(
            "ternary",
            "test_the_scale_of_ternary_codes_is_the_least_squares_one",
            "test_a_filter_with_more_axes_is_a_list_of_weights",
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
                    "Negative weights need the code -1."),
            Mistake("filter_mean(t * weight) / np.where(share > 0, share, 1)",
                    "0 * filter_mean(weight) + np.abs(weight[large]).mean() if "
                    "large.any() else 0 * share",
                    "Each filter has a scale of its own; yours is one for the whole weight."),
            Mistake("filter_mean(t * weight) / np.where(share > 0, share, 1)",
                    "filter_mean(t * weight) / np.where(share > 0, share, 1) - "
                    "filter_mean(large * delta)",
                    "A weight that stays is not made smaller: alpha is the mean of "
                    "|w|, not of |w| - delta."),
            Mistake("filter_mean(t * weight) / np.where(share > 0, share, 1)",
                    "(filter_mean(large * weight ** 2) / np.where(share > 0, share, 1)) ** 0.5",
                    "The root of the mean square is too large: the least squares scale "
                    "is the mean of |w|."),
            Mistake("filter_mean(t * weight) / np.where(share > 0, share, 1)",
                    "filter_mean(t * weight) * weight[0].size",
                    "alpha is a mean over the large weights, not a sum: divide by how "
                    "many there are."),
            Mistake("filter_mean(t * weight) / np.where(share > 0, share, 1)",
                    "(filter_mean(t * weight) / np.where(share > 0, share, "
                    "1)).reshape(len(weight))",
                    "alpha keeps the axes of the weight with length 1, (m, 1, ...), so "
                    "that it broadcasts with the filters."),
            Mistake("filter_mean(t * weight) / np.where(share > 0, share, 1)",
                    "np.where(share > 0, filter_mean(t * weight) / np.where(share > 0, "
                    "share, 1), 1)",
                    "A filter without large weights has the scale 0."),
            Mistake("filter_mean(t * weight) / np.where(share > 0, share, 1)",
                    "np.where(share > 0, filter_mean(t * weight) / np.where(share > 0, "
                    "share, 1), filter_mean(np.abs(weight)))",
                    "A filter without large weights has the scale 0."),
            Mistake("filter_mean(t * weight) / np.where(share > 0, share, 1)",
                    "(t * weight).sum(axis=-1, keepdims=True) / "
                    "np.maximum(large.sum(axis=-1, keepdims=True), 1)",
                    "The axes after the first all belong to a filter: take the mean "
                    "over all of them, and keep them with length 1."),
            Mistake("filter_mean(t * weight) / np.where(share > 0, share, 1)",
                    "(t * weight).sum(axis=0, keepdims=True) / "
                    "np.maximum(large.sum(axis=0, keepdims=True), 1)",
                    "A filter is a slice of axis 0: take the mean over all other axes, "
                    "for each filter."),
            Mistake("np.where(large, np.sign(weight), 0)",
                    "np.where(large, np.sign(weight), weight)",
                    "The small weights become 0: they do not stay as they are."),
            Mistake("np.where(large, np.sign(weight), 0)", "np.where(large, weight, 0)",
                    "Only the signs of the large weights stay: the codes are -1, 0 and 1."),
            Mistake("np.where(large, np.sign(weight), 0)", "np.where(weight > delta, 1, -1)",
                    "Weights that are not large have the code 0: there are three codes."),
            Mistake("np.where(large, np.sign(weight), 0)", "np.where(large, 0, np.sign(weight))",
                    "The large weights keep their sign, the small ones become 0: yours "
                    "is the reverse."),
            Mistake("t.astype(np.int8)", "t",
                    "The signs are codes: cast them to int8."),
            Mistake("alpha.astype(weight.dtype)", "alpha.astype(np.float64)",
                    "alpha has the dtype of the weights: cast it."))),
    Exercise(
        name="best_threshold",
        target="tinyml.compression.ternary:best_threshold",
        level=3, minutes=20,
        after=("ternarize",),
        task="Find the threshold of each filter whose ternary weights are nearest to the real ones",
        tests=laws_of(
            "ternary",
            "test_no_other_threshold_has_a_smaller_error",
            "test_a_filter_with_more_axes_is_a_list_of_weights",
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
                    "Yours keeps every weight, always: sort in decreasing order, and divide the "
                    "square of the sum by k."),
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
                    "lost."),
            Mistake("a.cumsum(axis=1, dtype=np.float64) ** 2 / k\n"
                    "    n_kept = 1 + gain.argmax(axis=1)",
                    "np.sort(a, axis=None)[::-1].cumsum(dtype=np.float64) ** 2 / "
                    "np.arange(1, a.size + 1)\n"
                    "    a = np.tile(np.sort(a, axis=None)[::-1], (len(a), 1))\n"
                    "    n_kept = np.full(len(a), 1 + gain.argmax())",
                    "Each filter has a threshold of its own; yours is one for the "
                    "whole weight."),
            Mistake("1 + gain.argmax(axis=1)", "np.minimum(2 + gain.argmax(axis=1), a.shape[1])",
                    "delta is a_(k+1), the largest magnitude that becomes 0; yours is "
                    "one further on."),
            Mistake("return delta.reshape(len(a), *[1] * (weight.ndim - 1))", "return delta",
                    "delta keeps the axes of the weight with length 1, (m, 1, ...), so "
                    "that it broadcasts with the filters."),
            Mistake("return delta.reshape(len(a), *[1] * (weight.ndim - 1))",
                    "return delta[:, None]",
                    "delta keeps the axes of the weight with length 1, (m, 1, ...), so "
                    "that it broadcasts with the filters."),
            Mistake("delta = with_zero[np.arange(len(a)), n_kept]",
                    "delta = a.cumsum(axis=1)[np.arange(len(a)), n_kept - 1] / n_kept",
                    "That is the scale alpha, the mean of those that stay; the "
                    "threshold is a_(k+1)."),
            Mistake("delta = with_zero[np.arange(len(a)), n_kept]",
                    "delta = (with_zero[np.arange(len(a)), n_kept] + "
                    "a[np.arange(len(a)), n_kept - 1]) / 2",
                    "delta is a_(k+1) itself, not half-way between a_k and a_(k+1)."),
            Mistake("delta = with_zero[np.arange(len(a)), n_kept]",
                    "delta = n_kept.astype(float)",
                    "That is the number k of weights that stay; the threshold is the "
                    "magnitude a_(k+1)."),
            Mistake("delta = with_zero[np.arange(len(a)), n_kept]",
                    "delta = 0.7 * a.mean(axis=1)",
                    "0.7 times the mean magnitude is the quick rule; the best "
                    "threshold is found by trying every k."),
            Mistake("delta = with_zero[np.arange(len(a)), n_kept]",
                    "delta = np.where(n_kept < a.shape[1], with_zero[np.arange(len(a)), "
                    "n_kept], a[:, 0])",
                    "If all weights stay, delta is 0; yours is the largest of them, "
                    "and none stays."),
            Mistake("a.cumsum(axis=1, dtype=np.float64) ** 2 / k",
                    "a.cumsum(axis=1, dtype=np.float64) ** 2 / k ** 0.5",
                    "Divide the square of the sum by k, not by its root."),
            Mistake("gain.argmax(axis=1)", "gain.argmin(axis=1)",
                    "The last term is subtracted from the error: the best k has the "
                    "largest one."))),
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
                    "Add the planes up: yours keeps the last one only."),
            Mistake("2 ** k *", "2 ** (k + 1) *",
                    "The lowest bits have the weight 2^0 = 1: k counts from 0."),
            Mistake("2 ** k *", "k *",
                    "Bit k stands for 2^k, not for k."),
            Mistake("2 ** k *", "2 *",
                    "Bit k stands for 2^k: the weight doubles from plane to plane."),
            Mistake("(_n_ones(x_k & plus) - _n_ones(x_k & minus))",
                    "(_n_ones(x_k ^ plus) - _n_ones(x_k ^ minus))",
                    "XOR counts the bits that differ; a product of bits is AND."),
            Mistake("(_n_ones(x_k & plus) - _n_ones(x_k & minus))",
                    "(_n_ones(x_k | plus) - _n_ones(x_k | minus))",
                    "A product of bits is 1 where both are 1: AND, not OR."),
            Mistake("(_n_ones(x_k & plus) - _n_ones(x_k & minus))",
                    "_n_ones(x_k & plus) - _n_ones(x_k & minus)",
                    "The ones under minus have the weight 2^k too: put the difference "
                    "in brackets."),
            Mistake("(_n_ones(x_k & plus) - _n_ones(x_k & minus))",
                    "(_n_ones(x_k & minus) - _n_ones(x_k & plus))",
                    "The signs are turned round: plus adds, minus subtracts."),
            Mistake("(_n_ones(x_k & plus) - _n_ones(x_k & minus))",
                    "(_n_ones(x_k & plus) - _n_ones(x_k & ~plus))",
                    "Where W is 0 neither counts: subtract the ones under minus, not "
                    "under the rest."),
            Mistake("return y", "return y.T",
                    "The result is x W', shape (N, m): samples first, then filters."),
            Mistake("return y", "return y.astype(float)",
                    "The product of whole numbers is whole: int64."))),
))
