"""Low rank (10.2.3): a matrix as the product of two thin ones, and how thin they may be."""
from tinyml.exercises.exercise import Chapter, Exercise, Mistake, laws_of

CHAPTER = Chapter("low_rank", "10.2.3 Low rank: two thin matrices for one", (
    Exercise(
        name="truncated_svd",
        target="tinyml.compression.low_rank:truncated_svd",
        level=2, minutes=15,
        task="Cut a singular value decomposition after r terms, and split the singular values "
             "evenly",
        tests=laws_of(
            "low_rank",
            "test_the_squared_error_is_the_tail_of_the_spectrum_and_no_other_is_smaller",
            "test_full_rank_is_exact",
            "test_weighting_by_the_inputs_lowers_the_error_of_the_outputs"),
        hints=("np.linalg.svd(W, full_matrices=False) gives u, s and v transposed.",
               "U = (u_1 ... u_r) diag(sqrt(s)), shape (m, r); V = (v_1 ... v_r) diag(sqrt(s)), "
               "shape (n, r). Broadcasting multiplies each column by its number.",
               "U, s, Vh = np.linalg.svd(...); root = np.sqrt(s[:rank]); return U[:, :rank] * "
               "root, Vh[...].T * root"),
        also=("With a second_moment, return _weighted_svd(weight, rank, second_moment), which "
              "is given.",),
        mistakes=(
            Mistake("U[:, :rank] * root, Vh[:rank].T * root",
                    "U[:, :rank] * s[:rank], Vh[:rank].T",
                    "The product is right, but all of s is in U: give the root to each "
                    "side, so that U'U = V'V."),
            Mistake("root = np.sqrt(s[:rank])", "root = s[:rank]",
                    "Each factor gets the root of s, or their product has s squared."),
            Mistake("Vh[:rank].T", "Vh[:, :rank]",
                    "NumPy gives V transposed: the right singular vectors are the rows of "
                    "Vh."),
            Mistake("U[:, :rank] * root, Vh[:rank].T * root",
                    "U[:, -rank:] * np.sqrt(s[-rank:]), Vh[-rank:].T * np.sqrt(s[-rank:])",
                    "Singular values come in decreasing order: keep the first ones."),
            Mistake("U[:, :rank] * root, Vh[:rank].T * root",
                    "U[:, :rank] * root, Vh[:rank] * root[:, None]",
                    "V has shape (n, r), a column for each singular vector: transpose the "
                    "rows of Vh."),
            Mistake("U[:, :rank] * root, Vh[:rank].T * root", "U[:, :rank] * root, Vh[:rank].T",
                    "Both factors get a root of s, so that their product has s."),
            Mistake("U[:, :rank] * root, Vh[:rank].T * root", "U[:, :rank], Vh[:rank].T",
                    "The singular values are missing: each factor gets a root of s."),
            Mistake("U[:, :rank] * root, Vh[:rank].T * root",
                    "U[:, :rank], Vh[:rank].T * s[:rank]",
                    "Share the singular values: each factor gets a root of s, so that U'U = "
                    "V'V."),
            Mistake("U[:, :rank] * root, Vh[:rank].T * root",
                    "np.pad(U[:, :rank + 1] * np.sqrt(s[:rank + 1]), ((0, 0), (0, 0))), "
                    "Vh[:rank + 1].T * np.sqrt(s[:rank + 1])",
                    "Keep r terms: rank columns of U, as many rows of Vh and singular values."),
            Mistake("U[:, :rank] * root, Vh[:rank].T * root",
                    "U * np.sqrt(s), Vh.T * np.sqrt(s)",
                    "Keep r terms: rank columns of U, as many rows of Vh and singular values."),
            Mistake("U[:, :rank] * root, Vh[:rank].T * root",
                    "U[:, :rank] * root, np.linalg.svd(weight)[2][:, :rank] * root",
                    "NumPy gives V transposed: the right singular vectors are the rows of Vh."),
            Mistake("U[:, :rank] * root, Vh[:rank].T * root",
                    "U[:rank].T * root[:len(U)], Vh[:rank].T * root",
                    "The left singular vectors are the columns of U: take the first r "
                    "columns."),
            Mistake("U[:, :rank] * root, Vh[:rank].T * root",
                    "Vh[:rank].T * root, U[:, :rank] * root",
                    "First U, with a row for each row of W, then V."),
            Mistake("U[:, :rank] * root, Vh[:rank].T * root",
                    "U[:, :rank] * root / np.sqrt(rank), Vh[:rank].T * root",
                    "The terms add up, each with its whole singular value."),
            Mistake("    if second_moment is not None:\n"
                    "        return _weighted_svd(weight, rank, second_moment)\n",
                    "",
                    "With a second_moment the error is weighted: return "
                    "_weighted_svd(weight, rank, second_moment)."),
            Mistake("return _weighted_svd(weight, rank, second_moment)",
                    "weight = weight @ second_moment",
                    "With a second_moment the error is weighted: return "
                    "_weighted_svd(weight, rank, second_moment)."),
            Mistake("np.linalg.svd(weight, full_matrices=False)",
                    "np.linalg.svd(weight - weight.mean(axis=0), full_matrices=False)",
                    "That is a principal component analysis: nothing adds the mean back."))),
    Exercise(
        name="rank_for_energy",
        target="tinyml.compression.low_rank:rank_for_energy",
        level=2, minutes=10,
        after=("truncated_svd",),
        task="Find the smallest rank whose singular values hold a given share of the sum of "
             "all squares",
        tests=laws_of(
            "low_rank",
            "test_the_rank_for_an_energy_is_the_least",
            "test_energy_is_not_missed_by_a_rounding"),
        hints=("The cumulative sums of the squares rise. Which is the first that is large "
               "enough?",
               "held = cumulative sums of s^2. Find the smallest r with held_r >= energy times "
               "the last of them. argmax of booleans is the position of the first True.",
               "held = np.cumsum(s ** 2); enough = held >= energy * held[-1] * (1 - 1e-12), the "
               "last factor for rounding; return int(...) + 1"),
        also=("A rank that misses the share by at most 1e-12 of it is enough: the difference is "
              "rounding.",
              "For zeros the rank is 1."),
        mistakes=(
            Mistake("int(enough.argmax()) + 1",
                    "max(1, int((held <= energy * held[-1] * (1 + 1e-12)).sum()))",
                    "The rank must hold the share: yours is the last that holds no more than it."),
            Mistake("s ** 2", "s",
                    "Energy is the sum of the squares of singular values."),
            Mistake("int(enough.argmax()) + 1", "int(enough.argmax())",
                    "argmax counts from 0: the rank is one more."),
            Mistake(" * (1 - 1e-12)", "",
                    "In floats, 0.07 times 100 is a little more than 7: a rank that misses the "
                    "share by 1e-12 of it is enough."),
            Mistake("energy * held[-1]", "energy",
                    "The share is of the whole: multiply it by the sum of all squares."),
            Mistake("int(enough.argmax()) + 1", "max(1, round(energy * len(s)))",
                    "A share of the energy is not a share of the number of singular values: "
                    "the first ones hold more."),
            Mistake("energy * held[-1]", "(1 - energy) * held[-1]",
                    "energy is the share that is kept, not the one that is lost."),
            Mistake("energy * held[-1]", "energy ** 2 * held[-1]",
                    "The energy is a share of the squares already: do not square it."),
            Mistake("int(enough.argmax()) + 1", "int(enough.sum())",
                    "Count the ranks that do not hold enough, plus one; yours counts those "
                    "that do."),
            Mistake("int(enough.argmax()) + 1", "max(1, int(len(s) - enough.sum()))",
                    "Count the ranks that hold too little, and add one: the next is "
                    "the first that holds enough."),
            Mistake("int(enough.argmax()) + 1", "max(1, int((s >= energy * s[0]).sum()))",
                    "Compare the sum of the squares so far with the share, not single "
                    "values with the largest."),
            Mistake("int(enough.argmax()) + 1",
                    "max(1, int((s ** 2 >= energy * held[-1]).sum()))",
                    "Compare the sum of the squares so far with the share, not single "
                    "values with the largest."),
            Mistake("int(enough.argmax()) + 1",
                    "int((np.cumsum(s) >= energy * s.sum() * (1 - 1e-12)).argmax()) + 1",
                    "Energy is the sum of the squares of singular values."),
            Mistake("int(enough.argmax()) + 1",
                    "int((np.cumsum(s) ** 2 >= energy * s.sum() ** 2 * (1 - "
                    "1e-12)).argmax()) + 1",
                    "Square each singular value, then add up: yours squares the sum."),
            Mistake("held >= energy * held[-1] * (1 - 1e-12)",
                    "held / held[-1] >= energy * (1 - 1e-12)",
                    "For zeros you divide 0 by 0: multiply the share by the whole instead."),
            Mistake("held >= energy * held[-1] * (1 - 1e-12)", "held > energy * held[-1]",
                    "A rank that holds just the share is enough: >=, not >."),
            Mistake("energy * held[-1]", "energy ** 0.5 * held[-1]",
                    "The share is of the sum of squares as it is: no root."),
            Mistake("int(enough.argmax()) + 1",
                    "len(s) - int((np.cumsum(s[::-1] ** 2)[::-1] >= energy * held[-1] * "
                    "(1 - 1e-12))[::-1].argmax())",
                    "Add up from the largest singular value: it is the first."),
            Mistake("int(enough.argmax()) + 1", "min(len(s), int(enough.argmax()) + 2)",
                    "argmax counts from 0: the rank is one more, not two."))),
    Exercise(
        name="rank_for_budget",
        target="tinyml.compression.low_rank:rank_for_budget",
        level=1, minutes=5,
        after=("truncated_svd",),
        task="Find the largest rank at which two factors take no more than a share of the "
             "multiplications",
        tests=laws_of(
            "low_rank",
            "test_the_rank_for_a_budget_is_the_largest",
            "test_a_budget_that_is_met_exactly_is_met"),
        hints=("Solve r (m + n) <= share m n for r. See break_even.",
               "floor(share m n / (m + n)), with a little added against rounding, kept within 1 "
               "... min(m, n).",
               "rank = math.floor(share * break_even(m, n) + 1e-9); return min(max(...), ...)"),
        mistakes=(
            Mistake("math.floor(share * break_even(m, n) + 1e-9)",
                    "math.ceil(share * break_even(m, n) - 1e-9) - 1",
                    "A rank that takes exactly the share is allowed: <=, not <."),
            Mistake("math.floor(share * break_even(m, n) + 1e-9)",
                    "round(share * break_even(m, n))",
                    "Rounded to the nearest, the work may be above the share: take the "
                    "floor."),
            Mistake("math.floor(", "math.ceil(",
                    "Rounded up, the work is above the share: take the floor."),
            Mistake("min(max(rank, 1), m, n)", "min(rank, m, n)",
                    "The rank is at least 1, however small the share."),
            Mistake("min(max(rank, 1), m, n)", "max(rank, 1)",
                    "No matrix has more than min(m, n) singular values."),
            Mistake("share * break_even(m, n)", "share * min(m, n)",
                    "The share is of the multiplications m n, and each rank takes m + n of "
                    "them."),
            Mistake("share * break_even(m, n)", "break_even(m, n)",
                    "At break_even the two factors take as many multiplications as the matrix: "
                    "take the share of it."),
            Mistake("share * break_even(m, n)", "share * m * n",
                    "A rank costs m + n multiplications: divide by it, as break_even does."),
            Mistake("min(max(rank, 1), m, n)", "min(max(rank, 1), max(m, n))",
                    "No matrix has more than min(m, n) singular values."),
            Mistake("min(max(rank, 1), m, n)", "min(max(rank, 1), m)",
                    "The rank is at most the smaller of both sides: m and n."),
            Mistake("min(max(rank, 1), m, n)", "min(max(rank, 1), n)",
                    "The rank is at most the smaller of both sides: m and n."),
            Mistake("min(max(rank, 1), m, n)", "rank",
                    "The rank is at least 1, and at most min(m, n)."),
            Mistake("min(max(rank, 1), m, n)", "max(min(rank, m, n), 0)",
                    "The rank is at least 1, however small the share."),
            Mistake("math.floor(share * break_even(m, n) + 1e-9)",
                    "math.floor(share * break_even(m, n) + 1e-9) + 1",
                    "Rounded up, the work is above the share: take the floor."),
            Mistake("math.floor(share * break_even(m, n) + 1e-9)",
                    "math.floor(int(share) * break_even(m, n) + 1e-9)",
                    "The share is a fraction: do not round it."),
            Mistake("math.floor(share * break_even(m, n) + 1e-9)",
                    "math.floor(share * m * n / (2 * max(m, n)) + 1e-9)",
                    "Each rank takes m + n multiplications, not twice the larger side."),
            Mistake("math.floor(share * break_even(m, n) + 1e-9)",
                    "math.floor(share * math.sqrt(m * n) + 1e-9)",
                    "Each rank takes m + n multiplications: divide the share of m n by that."),
            Mistake("math.floor(share * break_even(m, n) + 1e-9)",
                    "math.floor(break_even(m, n) / share + 1e-9)",
                    "The share multiplies: a smaller share allows a smaller rank."),
            Mistake("math.floor(share * break_even(m, n) + 1e-9)",
                    "math.floor((1 - share) * break_even(m, n) + 1e-9)",
                    "share is what the factors may take, not what they must save."))),
    Exercise(
        name="factorize_conv",
        target="tinyml.compression.thin_layers:factorize_conv",
        level=3, minutes=30,
        after=("truncated_svd",),
        task="Make two convolutions of one, by a decomposition of its filters as a matrix",
        tests=laws_of(
            "thin_layers",
            "test_two_convolutions_compute_the_reconstructed_one"),
        hints=("truncated_svd gives the two thin matrices; each is a set of filters in another "
               "shape. Which half sees rows, which columns?",
               "separable: as_matrix(layer) is (C kh, O kw), so V is (C kh, r) and H (O kw, r); "
               "filters V (r, C, kh, 1) with stride (sh, 1) and padding `vertical_pad`, no bias, then "
               "H (O, r, 1, kw) with (1, sw) and `horizontal_pad`. channel: W.reshape(O, -1) gives U (O, "
               "r) and V (C kh kw, r), filters V (r, C, kh, kw), then U (O, r, 1, 1).",
               'if method == "separable": V, H = truncated_svd(as_matrix(layer), rank); '
               'vertical = V.T.reshape(rank, C, kh, 1); horizontal = H.reshape(n_out, 1, kw, '
               'rank).transpose(0, 3, 1, 2); first = conv_like(layer, vertical, (sh, 1), vertical_pad, '
               'bias=False); second = conv_like(layer, horizontal, ...); the same for channel with '
               'U[:, :, None, None]; return Sequential(first, second)'),
        also=('(sh, sw), padding, vertical_pad, horizontal_pad = _settings("factorize_conv", layer) '
              "are the stride of the layer, its padding, and those of the two separable layers.",
              "conv_like(layer, weight, stride, padding, bias=False) is a convolution of the "
              "layer's class.",
              '_warn_unless_cheaper("factorize_conv", rank, m, n) warns where the factors of '
              'the matrix (m, n) save nothing.'),
        mistakes=(
            Mistake("vertical, (sh, 1), vertical_pad", "vertical, (sh, sw), vertical_pad",
                    "The vertical half moves by the vertical stride only: its stride is "
                    "(sh, 1)."),
            Mistake('_warn_unless_cheaper("factorize_conv", rank, len(V), len(H))', "pass",
                    "Factors that take as many multiplications as the whole, or more, need "
                    "a warning: _warn_unless_cheaper gives it."),
            Mistake("H.reshape(n_out, 1, kw, rank).transpose(0, 3, 1, 2)",
                    "H.reshape(n_out, rank, 1, kw)",
                    "The rows of H count outputs and columns of the kernel: reshape to (O, "
                    "1, kw, r), then move the last axis."),
            Mistake("(sh, 1), vertical_pad, bias=False)", "(sh, 1), vertical_pad)",
                    "The bias belongs to the outputs: only the second convolution has it."),
            Mistake("(1, sw), horizontal_pad)", "(1, sw), padding)",
                    "The first half has padded above and below already: the second pads "
                    "left and right, `horizontal_pad`."),
            Mistake("filters, (sh, sw), padding", "filters, (1, 1), padding",
                    "The stride is lost: by channels the first convolution takes all of it."),
            Mistake("V.T.reshape(rank, C, kh, 1)", "V.reshape(rank, C, kh, 1)",
                    "Each column of V is a filter: transpose, so that filters come first, "
                    "before you reshape."),
            Mistake("horizontal, (1, sw), horizontal_pad", "horizontal, (1, 1), horizontal_pad",
                    "The second layer has the horizontal stride."),
            Mistake("filters, (sh, sw), padding", "filters, (sh, sw), (0, 0)",
                    "The first layer has the padding of both directions."))),
))
