"""Blocks of filters (10.2.3): groups, low rank on both sides, and weighted errors."""
from tinyml.exercises.exercise import Chapter, Exercise, Mistake, laws_of

CHAPTER = Chapter("blocks", "10.2.3 Blocks of channels, and which errors matter", (
    Exercise(
        name="bicluster",
        target="tinyml.compression.biclustering:bicluster",
        level=2, minutes=15,
        after=("kmeans_of_rows",),
        task="Group the input channels and the filters of a convolution, each by k-means",
        tests=laws_of(
            "biclustering",
            "test_channels_and_filters_that_are_alike_are_in_one_group",
            "test_groups_with_equal_means_are_told_apart",
            "test_there_are_no_more_groups_than_asked_for"),
        hints=("kmeans_of_rows takes a row for each item. Which weights belong to a filter, and "
               "which to an input channel?",
               "Filter o: W[o] as a row of C kh kw numbers. Channel c: W[:, c] as a row of O kh "
               "kw numbers. So swap the first two axes before reshaping.",
               "of_channel = filters.swapaxes(0, 1).reshape(n_channels, -1); inputs, _ = "
               "kmeans_of_rows(of_channel, n_inputs, rng=rng); then the same for the rows of "
               "filters.reshape(...); return inputs, ..."),
        also=("Group the channels first, then the filters: then rng draws the same numbers as "
              "in the library.",),
        mistakes=(
            Mistake("filters.swapaxes(0, 1).reshape(n_channels, -1)",
                    "filters.reshape(n_channels, -1)",
                    "A reshape does not move axes: swap filters and channels first."),
            Mistake("filters.swapaxes(0, 1).reshape(n_channels, -1)",
                    "filters.mean(axis=0).reshape(n_channels, -1)",
                    "The mean over the filters hides how they differ: a channel is described by "
                    "all weights that read it."),
            Mistake("filters.reshape(n_filters, -1)",
                    "filters.mean(axis=1).reshape(n_filters, -1)",
                    "The mean over the channels hides how they differ: take all weights of a "
                    "filter."),
            Mistake("filters.reshape(n_filters, -1)", "filters.mean(axis=(2, 3))",
                    "The positions of the kernel count: do not take their mean."),
            Mistake("filters.reshape(n_filters, -1)", "np.abs(filters.reshape(n_filters, -1))",
                    "Filters of opposite sign are not alike."),
            Mistake("of_channel, n_inputs", "of_channel, n_outputs",
                    "n_inputs is the number of groups of channels."),
            Mistake("of_filter, n_outputs", "of_filter, n_inputs",
                    "n_outputs is the number of groups of filters."),
            Mistake("return inputs, outputs", "return outputs, inputs",
                    "First the groups of the channels, then those of the filters."),
            Mistake("inputs, _ = kmeans_of_rows(of_channel, n_inputs, rng=rng)",
                    "inputs = np.arange(n_channels) % n_inputs",
                    "Channels that stand side by side, or at equal distances, need not be alike: "
                    "use k-means."),
            Mistake("    inputs, _ = kmeans_of_rows(of_channel, n_inputs, rng=rng)\n"
                    "    outputs, _ = kmeans_of_rows(of_filter, n_outputs, rng=rng)\n",
                    "    inputs, _ = kmeans_of_rows(of_channel, n_outputs, rng=rng)\n"
                    "    outputs, _ = kmeans_of_rows(of_filter, n_inputs, rng=rng)\n",
                    "n_inputs is the number of groups of channels, n_outputs that of filters."),
            Mistake("    inputs, _ = kmeans_of_rows(of_channel, n_inputs, rng=rng)\n"
                    "    outputs, _ = kmeans_of_rows(of_filter, n_outputs, rng=rng)\n",
                    "    inputs = kmeans_of_rows(of_channel, n_inputs, rng=rng)\n"
                    "    outputs = kmeans_of_rows(of_filter, n_outputs, rng=rng)\n",
                    "kmeans_of_rows returns codes and means: keep the codes only."),
            Mistake("    inputs, _ = kmeans_of_rows(of_channel, n_inputs, rng=rng)\n"
                    "    outputs, _ = kmeans_of_rows(of_filter, n_outputs, rng=rng)\n",
                    "    _, inputs = kmeans_of_rows(of_channel, n_inputs, rng=rng)\n"
                    "    _, outputs = kmeans_of_rows(of_filter, n_outputs, rng=rng)\n",
                    "kmeans_of_rows returns codes and means: the groups are the codes."),
            Mistake("    of_channel = filters.swapaxes(0, 1).reshape(n_channels, -1)\n"
                    "    of_filter = filters.reshape(n_filters, -1)\n",
                    "    of_filter = filters.mean(axis=(2, 3))\n"
                    "    of_channel = of_filter.T\n",
                    "The positions of the kernel count: do not take their mean."),
            Mistake("    of_channel = filters.swapaxes(0, 1).reshape(n_channels, -1)\n"
                    "    of_filter = filters.reshape(n_filters, -1)\n",
                    "    of_filter = filters.reshape(n_channels, -1)\n"
                    "    of_channel = filters.reshape(n_filters, -1)\n",
                    "Filters are axis 0, channels axis 1: describe channel c by W[:, c]."))),
    Exercise(
        name="two_sided_svd",
        target="tinyml.compression.biclustering:two_sided_svd",
        level=3, minutes=25,
        after=("truncated_svd",),
        task="Find the directions of the channels and of the filters, and the core in them",
        tests=laws_of(
            "biclustering",
            "test_the_error_is_the_energy_that_the_core_loses_and_at_most_both_tails",
            "test_no_other_core_is_nearer_and_filters_of_these_ranks_are_found",
            "test_one_group_on_both_sides_is_the_svd_of_all_channels"),
        hints=("An SVD of the filters as a matrix with a row for each channel gives the directions "
               "of the channels; and a row for each filter those of the filters.",
               "A: left singular vectors of (C, O kh kw), for which the first two axes are "
               "swapped. B: those of (O, C kh kw). The core is the projection core[q,p,i,j] = "
               "sum_oc B[o,q] W[o,c,i,j] A[c,p].",
               "by_channel = filters.swapaxes(0, 1).reshape(n_channels, -1); A, _, _ = "
               "np.linalg.svd(by_channel, full_matrices=False); B the same from "
               'filters.reshape(n_filters, -1); core = np.einsum("oq,ocij,cp->...", B, filters, '
               'A)'),
        mistakes=(
            Mistake("filters.swapaxes(0, 1).reshape(n_channels, -1)",
                    "filters.reshape(n_channels, -1)",
                    "A reshape does not move axes: swap filters and channels first."),
            Mistake("filters.swapaxes(0, 1).reshape(n_channels, -1)",
                    "filters.mean(axis=(2, 3)).T",
                    "The mean over the positions loses directions: keep all O kh kw columns."),
            Mistake("filters.swapaxes(0, 1).reshape(n_channels, -1)", "filters[:, :, 0, 0].T",
                    "All positions of the kernel count, not the first one only."),
            Mistake("filters.reshape(n_filters, -1)", "filters.mean(axis=(2, 3))",
                    "The mean over the positions loses directions: keep all C kh kw columns."),
            Mistake("A, _, _ = np.linalg.svd(by_channel, full_matrices=False)",
                    "A, s, _ = np.linalg.svd(by_channel, full_matrices=False)\n    A = A * s",
                    "The columns of A have length 1; the singular values are in the core."),
            Mistake("B, _, _ = np.linalg.svd(by_filter, full_matrices=False)",
                    "B, s, _ = np.linalg.svd(by_filter, full_matrices=False)\n    B = B * s",
                    "The columns of B have length 1; the singular values are in the core."),
            Mistake("return A, B, core", "return A[:, ::-1], B[:, ::-1], core[::-1, ::-1]",
                    "Largest singular values first: a cut keeps the first columns."),
            Mistake("return A, B, core", "return A, B, np.abs(core)",
                    "The core has both signs."),
            Mistake("return A, B, core", "return A, B, core / np.linalg.norm(core)",
                    "The core has the size of the weights: do not scale it."),
            Mistake("return A, B, core",
                    "return A, B, core.mean(axis=(2, 3), keepdims=True) + 0 * core",
                    "The core has a number for each position of the kernel."),
            Mistake("return A, B, core", "return B, A, core",
                    "First A, of the channels, then B, of the filters."),
            Mistake("return A, B, core", "return A, B, core.swapaxes(0, 1)",
                    "The core has the directions of the filters first: core[q, p, i, j]."),
            Mistake("return A, B, core", "return A.T, B.T, core",
                    "The directions are the columns of A and B, not their rows."),
            Mistake("    A, _, _ = np.linalg.svd(by_channel, full_matrices=False)\n"
                    "    B, _, _ = np.linalg.svd(by_filter, full_matrices=False)\n",
                    "    A, s, _ = np.linalg.svd(by_channel, full_matrices=False)\n"
                    "    B, t, _ = np.linalg.svd(by_filter, full_matrices=False)\n"
                    "    A, B = A * s, B * t\n",
                    "The columns of A and B have length 1; the singular values are in "
                    "the core."),
            Mistake("    A, _, _ = np.linalg.svd(by_channel, full_matrices=False)\n"
                    "    B, _, _ = np.linalg.svd(by_filter, full_matrices=False)\n",
                    "    A, _, _ = np.linalg.svd(by_channel)\n"
                    "    B, _, _ = np.linalg.svd(by_filter)\n",
                    "A has min(C, O kh kw) columns, B min(O, C kh kw): full_matrices=False."),
            Mistake("    A, _, _ = np.linalg.svd(by_channel, full_matrices=False)\n"
                    "    B, _, _ = np.linalg.svd(by_filter, full_matrices=False)\n",
                    "    B, _, A = np.linalg.svd(filters.sum(axis=(2, 3)), "
                    "full_matrices=False)\n"
                    "    A = A.T\n",
                    "The sum over the positions loses directions: keep all of them as "
                    "columns."),
            Mistake("    A, _, _ = np.linalg.svd(by_channel, full_matrices=False)\n"
                    "    B, _, _ = np.linalg.svd(by_filter, full_matrices=False)\n",
                    "    A = np.linalg.eigh(by_channel @ by_channel.T)[1][:, "
                    ":min(by_channel.shape)]\n"
                    "    B = np.linalg.eigh(by_filter @ by_filter.T)[1][:, "
                    ":min(by_filter.shape)]\n",
                    "eigh gives ascending eigenvalues: turn the columns round, largest first."),
            Mistake("A, _, _ = np.linalg.svd(by_channel, full_matrices=False)",
                    "A = np.linalg.svd(by_channel.T, full_matrices=False)[0][:n_channels]",
                    "A are left singular vectors, of length C: do not transpose the matrix."))),
    Exercise(
        name="energy_kept",
        target="tinyml.compression.biclustering:energy_kept",
        level=2, minutes=10,
        after=("two_sided_svd",),
        task="Compute what every pair of ranks keeps of a block, all at once",
        tests=laws_of(
            "biclustering",
            "test_the_error_is_the_energy_that_the_core_loses_and_at_most_both_tails",
            "test_the_ranks_for_a_share_keep_the_most"),
        hints=("Ranks K1 and K2 keep the upper left corner of the core. How are the sums of all "
               "corners found at once?",
               "The squares, added up over i and j, have shape (m, n). Sums of all upper left "
               "corners are cumulative sums, first down, then across.",
               "squares = (core ** 2).sum(axis=(2, 3)); return squares.cumsum(axis=0)...."),
        mistakes=(
            Mistake("core ** 2", "np.abs(core)",
                    "Energy is the sum of the squares."),
            Mistake("core ** 2", "core",
                    "Energy is the sum of the squares."),
            Mistake(".cumsum(axis=0).cumsum(axis=1)", ".cumsum(axis=0)",
                    "A corner has several columns: add up across, too."),
            Mistake(".cumsum(axis=0).cumsum(axis=1)", ".cumsum(axis=1)",
                    "A corner has several rows: add up downwards, too."),
            Mistake("return squares.cumsum(axis=0).cumsum(axis=1)", "return squares",
                    "Ranks K1 and K2 keep all entries up to them: return sums, not single "
                    "entries."),
            Mistake(".cumsum(axis=0).cumsum(axis=1)", ".cumsum().reshape(squares.shape)",
                    "A cumulative sum over the flattened array goes through whole rows: a corner "
                    "has only their first columns."),
            Mistake("return squares.cumsum(axis=0).cumsum(axis=1)",
                    "return squares[::-1, ::-1].cumsum(axis=0).cumsum(axis=1)[::-1, ::-1]",
                    "That is the lower right corner: ranks keep the first directions."),
            Mistake(".sum(axis=(2, 3))", ".mean(axis=(2, 3))",
                    "All positions of the kernel add up: a sum, not a mean."),
            Mistake("return squares.cumsum(axis=0).cumsum(axis=1)",
                    "return np.sqrt(squares.cumsum(axis=0).cumsum(axis=1))",
                    "Energy is the sum of squares, not its root."),
            Mistake("return squares.cumsum(axis=0).cumsum(axis=1)",
                    "return squares.cumsum(axis=0).cumsum(axis=1) / squares.sum()",
                    "Return the energy itself, not its share of the whole."))),
    Exercise(
        name="block_work",
        target="tinyml.compression.biclustering:block_work",
        level=2, minutes=15,
        task="Count the multiplications of a block of three convolutions",
        tests=laws_of(
            "biclustering",
            "test_the_work_is_that_of_the_formula"),
        hints=("One term for each of the three convolutions. Which of them runs over the pixels of "
               "the input, and which may be missing?",
               "s K1 C_g if K1 < C_g, else nothing and K1 = C_g; kh kw K1 K2; K2 O_h if K2 < O_h, "
               "else nothing and K2 = O_h. An SVD of a matrix (m, n) has at most n singular "
               "vectors on the left.",
               "K1, K2, first, last = n_channels, n_filters, 0, 0; if in_rank < n_channels: K1 = "
               "min(in_rank, n_filters * area); first = ...; the same for out_rank, with "
               "n_channels * area and last; return first + area * K1 * K2 + last"),
        also=("A rank counts as at most the number of columns of the matrix: n_filters * area for "
              "the channels, n_channels * area for the filters.",),
        mistakes=(
            Mistake("stride * K1 * n_channels", "K1 * n_channels",
                    "The first convolution runs over the input, which has s times as many pixels."),
            Mistake("last = K2 * n_filters", "last = stride * K2 * n_filters",
                    "The last convolution runs over the output: no factor s."),
            Mistake("area * K1 * K2", "K1 * K2",
                    "The middle convolution has kh kw weights for each pair of channels."),
            Mistake("area * K1 * K2", "stride * area * K1 * K2",
                    "The middle convolution is counted for each pixel of its output: no factor s."),
            Mistake("area * K1 * K2", "area * in_rank * out_rank",
                    "Ranks beyond the sides of the block do not exist: use K1 and K2."),
            Mistake("in_rank < n_channels", "in_rank <= n_channels",
                    "At full rank there is no first convolution."),
            Mistake("out_rank < n_filters", "out_rank <= n_filters",
                    "At full rank there is no last convolution."),
            Mistake("min(in_rank, n_filters * area)", "in_rank",
                    "The matrix (C_g, O_h kh kw) has no more singular vectors than columns."),
            Mistake("min(out_rank, n_channels * area)", "out_rank",
                    "The matrix (O_h, C_g kh kw) has no more singular vectors than columns."),
            Mistake("return first + area * K1 * K2 + last", "return area * K1 * K2",
                    "The two 1 x 1 convolutions multiply, too."))),
    Exercise(
        name="best_outer_product",
        target="tinyml.compression.outer_products:best_outer_product",
        level=3, minutes=25, keep=3,
        after=("truncated_svd",),
        task="Improve an outer product of three vectors by alternating least squares",
        tests=laws_of(
            "outer_products",
            "test_a_term_is_the_projection_on_its_vectors_and_better_than_any_slice_of_it",
            "test_more_sweeps_are_no_worse_and_a_term_is_found",
            "test_in_the_end_each_vector_is_the_projection_on_the_two_others",
            "test_each_vector_is_fitted_to_the_newest_of_the_others",
            "test_of_a_matrix_it_is_the_first_term_of_the_svd"),
        hints=("With v and w fixed, and of length 1, which u is the best? And then v, with u of "
               "length 1 and w fixed?",
               "u_a = sum_bc T_abc v_b w_c, and so for the others: np.einsum. _unit(x) has the "
               "length 1. After the last sweep u needs its size: project once more.",
               'for _ in range(n_sweeps): u = _unit(np.einsum("abc,b,c->a", tensor, v, w)); v = '
               '_unit(np.einsum("abc,a,c->b", ...)); w = _unit(...); return '
               'np.einsum("abc,b,c->a", tensor, v, w), v, w'),
        also=("_unit(x) is x / ||x||; v and w have their starts.",),
        mistakes=(
            Mistake('v = _unit(np.einsum("abc,a,c->b", tensor, u, w))',
                    'v = np.einsum("abc,a,c->b", tensor, u, w)',
                    "v has length 1: the size of the term is in u."),
            Mistake('w = _unit(np.einsum("abc,a,b->c", tensor, u, v))',
                    'w = np.einsum("abc,a,b->c", tensor, u, v)',
                    "w has length 1: the size of the term is in u."),
            Mistake('return np.einsum("abc,b,c->a", tensor, v, w), v, w', "return u, v, w",
                    "u lost its size in _unit: project on v and w once more."),
            Mistake('v = _unit(np.einsum("abc,a,c->b", tensor, u, w))', "v = _unit(v)",
                    "v is improved too, with u and w fixed."),
            Mistake('w = _unit(np.einsum("abc,a,b->c", tensor, u, v))', "w = _unit(w)",
                    "w is improved too, with u and v fixed."),
            Mistake('        v = _unit(np.einsum("abc,a,c->b", tensor, u, w))\n'
                    '        w = _unit(np.einsum("abc,a,b->c", tensor, u, v))',
                    '        v, w = (_unit(np.einsum("abc,a,c->b", tensor, u, w)),\n'
                    '                _unit(np.einsum("abc,a,b->c", tensor, u, v)))',
                    "w is fitted to the new v, not to that of the sweep before."),
            Mistake("range(n_sweeps)", "range(1)",
                    "One sweep is not enough: n_sweeps of them."),
            Mistake('v = _unit(np.einsum("abc,a,c->b", tensor, u, w))',
                    'v = _unit(np.abs(np.einsum("abc,a,c->b", tensor, u, w)))',
                    "The vectors have entries of both signs."),
            Mistake('w = _unit(np.einsum("abc,a,b->c", tensor, u, v))',
                    "w = _unit(tensor.mean(axis=(0, 1)))",
                    "w is the projection on u and v, not a mean over the other sides."),
            Mistake('return np.einsum("abc,b,c->a", tensor, v, w), v, w',
                    'return -np.einsum("abc,b,c->a", tensor, v, w), v, w',
                    "The projection is T v w, with its sign."),
            Mistake('return np.einsum("abc,b,c->a", tensor, v, w), v, w',
                    "return u * np.linalg.norm(tensor), v, w",
                    "The size of the term is that of the projection, not that of the tensor."))),
    Exercise(
        name="outer_products",
        target="tinyml.compression.outer_products:outer_products",
        level=2, minutes=20,
        after=("best_outer_product",),
        task="Fit outer products to filters one by one, each to what the others have left",
        tests=laws_of(
            "outer_products",
            "test_each_term_takes_its_square_from_what_is_left",
            "test_three_layers_compute_the_sum_of_terms"),
        hints=("best_outer_product takes a tensor with three axes: merge both axes of the "
               "kernel. What does the second term fit?",
               "rest = W as (O, C, kh kw); for each term, u, v, w = best_outer_product(rest), then "
               "subtract their product from rest. Stack them as columns of U and V, and the "
               "kernels as (K, kh, kw).",
               "rest = filters.reshape(*filters.shape[:2], -1); for _ in range(n_terms): u, v, w = "
               'best_outer_product(rest, n_sweeps=n_sweeps); rest = rest - np.einsum("a,b,c->abc", '
               "...); append; return the u as columns, the v as columns, the w as kernels"),
        mistakes=(
            Mistake('rest = rest - np.einsum("a,b,c->abc", u, v, w)', "rest = rest + 0",
                    "Every term is fitted to the same tensor: subtract each from what is left."),
            Mistake('rest - np.einsum', 'rest + np.einsum',
                    "What is left is rest minus the term."),
            Mistake('rest = rest - np.einsum("a,b,c->abc", u, v, w)',
                    'rest = filters.reshape(*rest.shape) - np.einsum("a,b,c->abc", u, v, w)',
                    "All terms before are subtracted, not only the last one."),
            Mistake("rest - np.einsum", "rest - 0.5 * np.einsum",
                    "Subtract the whole term."),
            Mistake("zip(*terms)", "zip(*terms[::-1])",
                    "Return the terms in the order in which they were found."),
            Mistake("terms.append((u, v, w))", "terms.append((u / np.linalg.norm(u), v, w))",
                    "u has the size of its term: do not scale it."),
            Mistake("terms.append((u, v, w))", "terms.append((np.abs(u), np.abs(v), np.abs(w)))",
                    "Terms have both signs."),
            Mistake("kernels.reshape(n_terms, *filters.shape[2:])",
                    "kernels.reshape(n_terms, *filters.shape[:1:-1]).swapaxes(1, 2)",
                    "The entries of a kernel are in rows: (K, kh, kw), without swapping."),
            Mistake("rest = filters.reshape(*filters.shape[:2], -1)",
                    "rest = np.abs(filters.reshape(*filters.shape[:2], -1))",
                    "Filters have both signs."))),
    Exercise(
        name="row_and_column_scales",
        target="tinyml.compression.metrics:row_and_column_scales",
        level=2, minutes=15,
        after=("truncated_svd",),
        task="Replace a matrix of weights by the nearest product of row and column weights",
        tests=laws_of(
            "metrics",
            "test_the_scales_are_the_nearest_product",
            "test_scales_can_be_divided_by"),
        hints=("A product a b' is a matrix of rank one. Which one is the nearest?",
               "U, V = truncated_svd(alpha, 1) gives columns of one sign, perhaps negative: take "
               "absolute values. Then raise each number to LEAST times the largest of its vector.",
               "U, V = truncated_svd(alpha, 1); a, b = np.abs(U[:, 0]), np.abs(V[:, 0]); if a.max() "
               "== 0: ones; return np.maximum(a, LEAST * a.max()), np.maximum(b, ...)"),
        also=("If alpha is 0, both are ones.", "LEAST is given."),
        mistakes=(
            Mistake("truncated_svd(alpha, 1)", "truncated_svd(alpha ** 2, 1)",
                    "The product is nearest to alpha, not to its squares."),
            Mistake("truncated_svd(alpha, 1)", "truncated_svd(np.sqrt(alpha), 1)",
                    "The product is nearest to alpha, not to its roots."),
            Mistake("a, b = np.abs(U[:, 0]), np.abs(V[:, 0])",
                    "a, b = alpha.mean(axis=1), alpha.mean(axis=0)",
                    "Means of rows and columns do not multiply to alpha: take the first singular "
                    "vectors."),
            Mistake("a, b = np.abs(U[:, 0]), np.abs(V[:, 0])",
                    "a, b = alpha.max(axis=1), alpha.max(axis=0)",
                    "The largest entries do not multiply to alpha: take the first singular "
                    "vectors."),
            Mistake("np.abs(U[:, 0]), np.abs(V[:, 0])", "-U[:, 0], -V[:, 0]",
                    "The signs of singular vectors are arbitrary: take absolute values."),
            Mistake("return np.maximum(a, LEAST * a.max()), np.maximum(b, LEAST * b.max())",
                    "return a, b",
                    "A zero cannot be divided by: raise small numbers to LEAST of the largest."),
            Mistake("return np.maximum(a, LEAST * a.max()), np.maximum(b, LEAST * b.max())",
                    "return np.maximum(a, LEAST), np.maximum(b, LEAST)",
                    "What is small depends on the size of the vector: LEAST times its largest."),
            Mistake("return np.maximum(a, LEAST * a.max()), np.maximum(b, LEAST * b.max())",
                    "return a + LEAST * a.max(), b + LEAST * b.max()",
                    "Only small numbers are raised: the others stay as they are."),
            Mistake("return np.maximum(a, LEAST * a.max()), np.maximum(b, LEAST * b.max())",
                    "return a / a.max(), b / b.max()",
                    "The product is near alpha only if it has its size."))),
    Exercise(
        name="weighted_svd",
        target="tinyml.compression.metrics:weighted_svd",
        level=2, minutes=15,
        after=("row_and_column_scales",),
        task="Find the matrix of rank r with the least error, weighted by rows and columns",
        tests=laws_of(
            "metrics",
            "test_no_matrix_of_that_rank_has_a_smaller_weighted_error",
            "test_equal_weights_give_the_plain_svd"),
        hints=("Change the variables so that the weighted error becomes a plain one.",
               "diag(a) (W - U V') diag(b) is diag(a) W diag(b) minus (diag(a) U) (diag(b) V)': cut "
               "the scaled matrix, then divide the rows of each factor by its scales.",
               "scaled = rows[:, None] * weight * columns; U, V = truncated_svd(scaled, rank); "
               "return U / rows[:, None], V / ..."),
        mistakes=(
            Mistake("    scaled = rows",
                    "    rows, columns = np.sqrt(rows), np.sqrt(columns)\n    scaled = rows",
                    "a and b stand inside the square: scale by them, not by their roots."),
            Mistake("U / rows[:, None], V / columns[:, None]", "U, V",
                    "That is near the scaled matrix: divide by the scales again."),
            Mistake("U / rows[:, None], V / columns[:, None]", "U / rows[:, None], V",
                    "The columns of W are the rows of V: divide V by the column scales."),
            Mistake("U / rows[:, None], V / columns[:, None]", "U, V / columns[:, None]",
                    "The rows of W are the rows of U: divide U by the row scales."),
            Mistake("U / rows[:, None], V / columns[:, None]",
                    "U * rows[:, None], V * columns[:, None]",
                    "To change back, divide by the scales."),
            Mistake("rows[:, None] * weight * columns", "rows[:, None] * weight",
                    "Columns have weights too."),
            Mistake("rows[:, None] * weight * columns", "weight * columns",
                    "Rows have weights too."),
            Mistake("rows[:, None] * weight * columns", "weight",
                    "The error is weighted: scale the matrix before the SVD."),
            Mistake("rows[:, None] * weight * columns", "rows[:, None] ** 2 * weight * columns ** 2",
                    "The norm already squares: scale by a and b, not by their squares."),
            Mistake("return U / rows[:, None], V / columns[:, None]",
                    "return truncated_svd(weight, rank)",
                    "That is the plain SVD, best for equal weights only."),
            Mistake("rows[:, None] * weight * columns", "weight / rows[:, None] / columns",
                    "What has a large weight must become large before the cut: multiply."))),
    Exercise(
        name="sensitivities",
        target="tinyml.compression.metrics:sensitivities",
        level=3, minutes=30,
        task="Measure how fast the most likely mistakes of a network change with each weight",
        tests=laws_of(
            "metrics",
            "test_the_sensitivity_of_a_linear_model_has_a_closed_form",
            "test_sensitivities_of_samples_add_up_in_squares_and_leave_the_model"),
        hints=("Squares are added up over samples, so each sample needs its own backward passes, "
               "one for each of its most likely wrong labels.",
               "For sample n and wrong label l: zero the gradients, F.cross_entropy(model(x), "
               "[l]).backward(), and add weight.grad ** 2. In the end take the root.",
               "for x, label in zip(X, y): from_largest = np.argsort(-predict(model, x[None])[0]); "
               "for wrong in from_largest[from_largest != label][:n_mistakes]: "
               "model.zero_grad(); F.cross_entropy(model(as_input(x[None])), "
               "np.array([wrong])).backward(); squares[path] += ...; then np.sqrt of each"),
        also=("Work on a copy of the model, in evaluation mode: its gradients and its mode stay.",
              "weights(model) is a dict of path to weight; as_input(x) is the input for a model."),
        mistakes=(
            Mistake("from_largest[from_largest != label][:n_mistakes]",
                    "from_largest[:n_mistakes]",
                    "The right label is not a mistake: leave it out."),
            Mistake("np.argsort(-outputs)", "np.argsort(outputs)",
                    "The most likely mistakes have the largest outputs."),
            Mistake("np.array([wrong])", "np.array([label])",
                    "The gradient is that for the wrong label: the direction of the mistake."),
            Mistake("weight.grad ** 2", "np.abs(weight.grad)",
                    "alpha is the root of a sum of squares."),
            Mistake("weight.grad ** 2", "weight.grad",
                    "Square the gradients before you add them up: otherwise they cancel."),
            Mistake("np.sqrt(of_weight)", "of_weight",
                    "alpha is the root of the sum of squares."),
            Mistake("np.sqrt(of_weight)", "np.sqrt(of_weight / len(X))",
                    "A sum over the samples, not a mean."),
            Mistake("model.zero_grad()", "pass",
                    "backward() adds to the gradients that are there: zero them for each label."),
            Mistake("squares[path] += weight.grad ** 2", "squares[path] = weight.grad ** 2",
                    "Add up over all samples and labels: yours keeps the last."),
            Mistake("[:n_mistakes]", "[:1]",
                    "n_mistakes wrong labels for each sample."),
            Mistake("copy.deepcopy(model).eval()", "copy.deepcopy(model)",
                    "Put the copy in evaluation mode: otherwise dropout changes the gradients "
                    "at random."))),
))
