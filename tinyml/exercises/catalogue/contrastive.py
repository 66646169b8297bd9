"""Contrastive learning: views of one thing, and the losses that draw them together."""
from tinyml.exercises.exercise import Chapter, Exercise, Mistake, laws_of

SSL = "tinyml.selfsupervised"

CHAPTER = Chapter("contrastive", "10.3.2 Contrastive learning: two views of one thing", (
    Exercise(
        name="affine", target=f"{SSL}.augmentations:affine", level=3, minutes=30,
        task="Rotate, stretch and shift images: for every new pixel, find where it comes from",
        tests=laws_of("augmentations", "test_affine_is_the_weighted_mean_of_four_pixels",
                      "test_shifts_by_whole_pixels_and_flips_are_exact", "test_a_quarter_turn_is_that_of_numpy"),
        hints=("Do not ask where an old pixel goes, but where each new one q comes from: p = c + A^-1 (q - c - "
               "t). Then _bilinear(images, p) reads the images at these positions.",
               "_as_images('affine', x) has the shape (N, h, w), np.indices((h, w)).reshape(2, -1) holds all q as "
               "columns, (2, h w), and _inverse inverts all matrices. _bilinear takes p of shape (N, 2, h w), of the "
               "dtype of the images.",
               "q = np.indices((h, w)).reshape(2, -1); c = np.array([[(h - 1) / 2], [(w - 1) / 2]]); t = "
               "np.asarray(shift)[..., None]; p = c + _inverse(matrix) @ (...); np.broadcast_to it to (N, 2, h * w) in "
               "case one matrix serves all images; _bilinear of that, .astype(images.dtype), in the shape of x"),
        mistakes=(
            Mistake("_inverse(matrix) @ ", "(0 * _inverse(matrix) + matrix) @ ",
                    "A says where an old pixel goes; to read the old image at a new pixel's origin takes "
                    "A^-1."),
            Mistake("np.array([[(h - 1) / 2], [(w - 1) / 2]])", "np.array([[h / 2], [w / 2]])",
                    "Pixels have the positions 0..h-1, so the centre is (h - 1) / 2."),
            Mistake("np.array([[(h - 1) / 2], [(w - 1) / 2]])", "np.array([[(w - 1) / 2], [(h - 1) / 2]])",
                    "Positions are (row, column): the centre of the rows comes first."),
            Mistake("np.array([[(h - 1) / 2], [(w - 1) / 2]])", "np.zeros((2, 1))",
                    "The map turns around the centre of the image, yours around its upper left corner."),
            Mistake("@ (q - c - t)", "@ (q - c + t)",
                    "The sign of the shift: what is at q + t now was at q before, so t is subtracted from q."),
            Mistake("@ (q - c - t)", "@ (q - c) - t",
                    "The shift comes after A, so A^-1 applies to q - c - t, the shift included."),
            Mistake("_inverse(matrix) @ ", "_inverse(matrix).swapaxes(-1, -2) @ ",
                    "The inverse is transposed: p_i = sum_j (A^-1)_ij q_j."),
            Mistake("p.astype(images.dtype))", "p[:, ::-1].astype(images.dtype))",
                    "The first coordinate is the row: _bilinear takes rows, then columns."),
            Mistake("p.astype(images.dtype))", "p.round().astype(images.dtype))",
                    "This takes the nearest pixel: leave p where it is, between pixels, for the weighted mean."),
            Mistake("p.astype(images.dtype)).reshape(x.shape)", "p.astype(images.dtype)).reshape(images.shape)",
                    "Images that came flat, (N, H W), go back flat: reshape to the shape of x."))),
    Exercise(
        name="alignment", target=f"{SSL}.contrastive:alignment", level=1, minutes=5, keep=1,
        task="Give the mean squared distance between the directions of two views",
        tests=laws_of("contrastive", "test_alignment_and_uniformity_are_their_formulas_in_a_slow_loop",
                      "test_nt_xent_is_alignment_and_a_softer_uniformity"),
        hints=("Directions first: _unit scales every row to length 1. Compute with Tensors, so that gradients "
               "follow.",
               "u - v has shape (B, D); its squares are summed over D and averaged over B.",
               "apart = _unit(z1) - _unit(z2); the squares are apart * apart; return ops.mean(ops.sum(..., "
               "axis=...))"),
        mistakes=(
            Mistake("_unit(z1) - "
                    "_unit(z2)", "z1 - z2", "Lengths must not matter: scale both to unit length first."),
            Mistake("ops.mean(ops.sum(apart * apart, axis=1))", "ops.mean(apart * apart)",
                    "A squared distance is a sum over the D coordinates: only over the rows it is a mean."),
            Mistake("ops.sum(apart * apart, axis=1)", "ops.sum(apart * apart, axis=0)",
                    "The squares are summed over the D coordinates, axis 1, and the mean is over the B pairs."),
            Mistake("ops.mean(ops.sum(apart * apart, axis=1))", "ops.sum(apart * apart)",
                    "The loss is a mean over the B pairs, not a sum."),
            Mistake("ops.mean(ops.sum(apart * apart, "
                    "axis=1))", "ops.mean(ops.sqrt(ops.sum(apart * apart, axis=1)))",
                    "The distance is squared (alpha = 2): no root."))),
    Exercise(
        name="uniformity", target=f"{SSL}.contrastive:uniformity", level=2, minutes=15, keep=3, after=("alignment",),
        task="Give the logarithm of the mean Gaussian kernel over all pairs of different directions",
        tests=laws_of("contrastive", "test_alignment_and_uniformity_are_their_formulas_in_a_slow_loop",
                      "test_uniformity_knows_the_circle_and_the_sphere"),
        hints=("Of unit vectors ||u - v||^2 = 2 - 2 u.v, so one matrix product gives all distances. The "
               "logarithm of a sum of exponentials has an operation of its own.",
               "-2 ||u_i - u_j||^2 = 4 u_i.u_j - 4, shape (N, N). A pair i = i is no pair: give it -inf, whose "
               "exponential is 0. There are N (N - 1) pairs left, so subtract ln N (N - 1).",
               "u = _unit(z); near = ops.where(np.eye(n, dtype=bool), -np.inf, 4 * (u @ u.T) - 4); return "
               "ops.logsumexp(near) - math.log(...)"),
        mistakes=(
            Mistake("ops.where(np.eye(n, dtype=bool), -np.inf, 4 * (u @ u.T) - 4)", "4 * (u @ u.T) - 4",
                    "A vector is no neighbour of itself: leave out the pairs i = j."),
            Mistake("4 * (u @ u.T) - 4", "2 * (u @ u.T) - 2",
                    "This is e^(-||u - v||^2): the exponent is -2 ||u - v||^2 = 4 u.v - 4."),
            Mistake("math.log(n * (n - 1))", "math.log(n * n)", "There are n (n - 1) pairs i != j, not n^2."),
            Mistake("math.log(n * (n - 1))", "math.log(n * (n - 1) / 2)",
                    "The matrix holds each pair twice, (i, j) and (j, i): divide by n (n - 1), not by half of it."),
            Mistake("-np.inf, 4", "0.0, 4",
                    "e^0 is 1, so the pairs i = i still count: give them -inf, whose exponential is 0."),
            Mistake("ops.logsumexp(near) - math.log(n * (n - 1))", "ops.mean(ops.logsumexp(near, axis=1)) - "
                    "math.log(n - 1)",
                    "The logarithm comes last, of one mean over all pairs: yours is a mean of logarithms."),
            Mistake(" - math.log(n * (n - "
                    "1))", "", "It is the logarithm of a mean: divide by the number of pairs."),
            Mistake("u = _unit(z)", "u = z", "Lengths must not matter: scale the rows to unit length first."))),
    Exercise(
        name="unit", target=f"{SSL}.contrastive:_unit", level=2, minutes=20, after=("alignment", "mul"),
        task="Scale every row to length 1, and give the vjp",
        tests=laws_of("contrastive", "test_alignment_and_uniformity_are_their_formulas_in_a_slow_loop",
                      "test_lengths_order_and_which_view_comes_first_do_not_matter",
                      "test_the_gradient_is_orthogonal_to_each_embedding",
                      "test_zero_vectors_are_orthogonal_to_all_and_do_not_move",
                      "test_a_second_backward_adds_the_same_gradients_again",
                      "test_float32_stays_near_float64_at_any_temperature"),
        hints=("A step along z changes its length and not its direction: that part of g has no effect. A step "
               "across z turns u, the less the longer z is. Neither 1 / 0 nor 0 / 0 may come up.",
               "The gradient of z is (g - u (u.g)) / ||z||, row by row. With 1 / ||z|| replaced by 0 in short "
               "rows both u and the gradient are 0 there, and nothing is divided by 0.",
               "length = np.sqrt((z * z).sum(axis=1, keepdims=True)), of shape (n, 1); inverse = np.divide(1, "
               "length, out=np.zeros_like(length), where=length >= SHORT); u = z * inverse; return u, (lambda g: "
               "(g - u * (u * g).sum(axis=1, keepdims=True)) * inverse,)"),
        mistakes=(
            Mistake("where=length >= SHORT", "where=length ** 2 >= SHORT",
                    "SHORT is a length: compare ||z|| with it, not ||z||^2."),
            Mistake("where=length >= SHORT", "where=length > 0",
                    "Vectors shorter than SHORT count as zero too: their gradients would be enormous."),
            Mistake("np.divide(1, length, out=np.zeros_like(length), where=length >= SHORT)", "1 / length",
                    "A row of length 0 has no direction: it becomes 0, and so does its gradient; 1 / 0 must not "
                    "come up."),
            Mistake("np.divide(1, length, out=np.zeros_like(length), where=length >= SHORT)",
                    "1 / np.maximum(length, z.dtype.type(SHORT))",
                    "With 1 / max(length, SHORT) short rows keep a gradient, an enormous one: put 0 in place of 1 / "
                    "length there."),
            Mistake('(g - u * np.einsum("nd,nd->n", u, g)[:, None]) * inverse', "g * inverse",
                    "The part of g along u has no effect on a direction: take it off, g - u (u.g)."),
            Mistake('u * np.einsum("nd,nd->n", u, g)[:, None]) * inverse', 'u * np.einsum("nd,nd->n", u, g)[:, None])',
                    "A long vector turns slowly: the gradient is divided by ||z||."),
            Mistake('np.einsum("nd,nd->n", u, g)', 'np.einsum("nd,nd->n", z, g)',
                    "The projection uses the unit vector twice, u (u.g): in yours one of the two is z."),
            Mistake('np.sqrt(np.einsum("nd,nd->n", z, z))[:, None]',
                    "np.full((len(z), 1), np.linalg.norm(z), z.dtype)",
                    "Each row has a length of its own: yours is that of the whole array."))),
    Exercise(
        name="nt_xent", target=f"{SSL}.contrastive:nt_xent", level=2, minutes=25, keep=2, after=("alignment",),
        hide=("_pair_cross_entropy",),
        task="Write NT-Xent: find the other view of the same thing among all 2B - 1 others",
        tests=laws_of("contrastive", "test_nt_xent_is_equation_10_1_in_a_slow_loop", "test_its_gradient_is_its_slope",
                      "test_it_is_the_logarithm_of_the_batch_where_all_coincide", "test_values_that_paper_and_pencil_give",
                      "test_it_keeps_its_bounds_at_any_temperature",
                      "test_a_batch_of_one_has_no_negatives_and_nothing_to_learn"),
        hints=("It is a classification of 2B rows into 2B classes, of which one, the row itself, is forbidden. "
               "So there is a cross-entropy in it.",
               "u = _unit of all 2B views, s = u @ u.T of shape (2B, 2B), -inf on the diagonal, over T. The "
               "label of row i is i + B for the first half and i - B for the second. ops.label_cross_entropy takes "
               "the logits and the labels; by hand, subtract each row's largest logit before exp, or e^(s / T) "
               "overflows at small T.",
               "B = len(z1); u = _unit(ops.concatenate([z1, z2])); s = ops.where(np.eye(2 * B, dtype=bool), "
               "-np.inf, u @ u.T); labels = np.roll(np.arange(2 * B), B); return ops.label_cross_entropy(s / "
               "temperature, labels=..., reduction='mean')"),
        mistakes=(
            Mistake("np.fill_diagonal(e, -np.inf)", "pass",
                    "The sum runs over k != i: a view compared with itself, s = 1, must not be among its "
                    "terms."),
            Mistake("np.fill_diagonal(e, -np.inf)",
                    "np.fill_diagonal(e, -np.inf)\n    e[np.arange(n), partner] = -np.inf",
                    "The positive is in the denominator too: the sum runs over all k but i, p included."),
            Mistake("np.fill_diagonal(e, -np.inf)", "e[:n // 2, :n // 2] = e[n // 2:, n // 2:] = -np.inf",
                    "Views of both batches are negatives: yours leaves out those of the anchor's own batch."),
            Mistake("np.roll(np.arange(n), n // 2)", "np.arange(n) ^ 1",
                    "The partner of row i is i + B or i - B: the views come one batch after the other, not in "
                    "turn."),
            Mistake("_unit(ops.concatenate([z1, z2]))", "ops.concatenate([z1, z2])",
                    "The similarities are cosines: scale the embeddings to unit length first."),
            Mistake("temperature=temperature)", "temperature=1 / temperature)",
                    "Similarities are divided by the temperature, not multiplied with it."),
            Mistake("temperature=temperature)", "temperature=1.0)",
                    "The temperature has no effect in yours: divide the similarities by it."),
            Mistake("return _pair_cross_entropy(_unit(ops.concatenate([z1, z2])), temperature=temperature)",
                    "u = _unit(ops.concatenate([z1, z2]))\n"
                    "    e = ops.exp(u @ u.T / temperature) * (1 - np.eye(len(u)))\n"
                    "    labels = np.roll(np.arange(len(u)), len(z1))\n"
                    "    return -ops.mean(ops.log(e[np.arange(len(u)), labels] / ops.sum(e, axis=1)))",
                    "e^(s / T) overflows at small T: subtract the largest of each row first, as "
                    "ops.label_cross_entropy and ops.logsumexp do."),
            Mistake("return _pair_cross_entropy(_unit(ops.concatenate([z1, z2])), temperature=temperature)",
                    "u = _unit(ops.concatenate([z1, z2]))\n"
                    "    e = ops.exp(ops.where(np.eye(len(u), dtype=bool), -np.inf, u @ u.T) / temperature)\n"
                    "    labels = np.roll(np.arange(len(u)), len(z1))\n"
                    "    return ops.mean(ops.log(ops.sum(e, axis=1)) - (u @ u.T / temperature)[np.arange(len(u)), "
                    "labels])",
                    "e^(s / T) overflows at small T, and the logarithm comes too late: take ops.logsumexp, or "
                    "ops.label_cross_entropy for the whole."),
            Mistake("return _pair_cross_entropy(_unit(ops.concatenate([z1, z2])), temperature=temperature)",
                    "u = _unit(ops.concatenate([z1, z2]))\n"
                    "    s = ops.where(np.eye(len(u), dtype=bool), -np.inf, u @ u.T) / temperature\n"
                    "    labels = np.roll(np.arange(len(u)), len(z1))\n"
                    "    return ops.label_cross_entropy(s[:len(z1)], labels=labels[:len(z1)], reduction='mean')",
                    "All 2B views are anchors: yours leaves out those of z2, which look for theirs in z1."),
            Mistake("return _pair_cross_entropy(_unit(ops.concatenate([z1, z2])), temperature=temperature)",
                    "u = _unit(ops.concatenate([z1, z2]))\n"
                    "    s = ops.where(np.eye(len(u), dtype=bool), -np.inf, u @ u.T) / temperature\n"
                    "    labels = np.roll(np.arange(len(u)), len(z1))\n"
                    "    return ops.label_cross_entropy(s, labels=labels, reduction='sum')",
                    "The loss is a mean over all 2B anchors, not a sum."),
            Mistake("return _pair_cross_entropy(_unit(ops.concatenate([z1, z2])), temperature=temperature)",
                    "u = _unit(ops.concatenate([z1, z2]))\n"
                    "    s = ops.where(np.eye(len(u), dtype=bool), 0.0, u @ u.T) / temperature\n"
                    "    labels = np.roll(np.arange(len(u)), len(z1))\n"
                    "    return ops.label_cross_entropy(s, labels=labels, reduction='mean')",
                    "e^0 is 1, so with 0 on the diagonal k = i still counts: put -inf there."))),
    Exercise(
        name="pair_cross_entropy", target=f"{SSL}.contrastive:_pair_cross_entropy", level=3, minutes=45,
        after=("nt_xent", "unit", "softmax"),
        task="Fuse NT-Xent of unit rows into one primitive with its vjp, in a single array of 2B x 2B",
        tests=laws_of("contrastive", "test_nt_xent_is_equation_10_1_in_a_slow_loop", "test_its_gradient_is_its_slope",
                      "test_the_gradient_is_orthogonal_to_each_embedding",
                      "test_it_keeps_its_bounds_at_any_temperature",
                      "test_a_batch_of_one_has_no_negatives_and_nothing_to_learn",
                      "test_float32_stays_near_float64_at_any_temperature",
                      "test_a_second_backward_adds_the_same_gradients_again",
                      "test_one_large_array_is_all_that_it_needs"),
        hints=("Compute s in one array, and turn it into exponentials in place. What the vjp needs is the "
               "exponentials and the sum of each row. s is u u^T, so u gets a gradient from both factors.",
               "e = exp((s - max) / T) with e_ii = 0, total its row sums; P = e / total. The loss is the mean "
               "of (max - s_ip) / T + ln total, the gradient (P u + P^T u - 2 u[partner]) g / (2B T).",
               "n = len(u); partner = np.roll(np.arange(n), n // 2); e = u @ u.T; positive = e[np.arange(n), "
               "partner][:, None]; np.fill_diagonal(e, -np.inf); largest and total are (n, 1), with keepdims; e -= "
               "largest, e *= 1 / temperature and np.exp(e, out=e) work in place. P u is e @ u / total, and P^T u "
               "is e.T @ (u / total): dividing u instead of e saves an array."),
        mistakes=(
            Mistake("e @ u / total + e.T @ (u / total)", "2 * (e @ u / total)",
                    "P is not symmetric: u_i is an anchor (P u), and a key of all other anchors (P^T u)."),
            Mistake("e.T @ (u / total)", "e.T @ u / total",
                    "In P^T u row k's sum belongs to u_k: divide u by total before the product."),
            Mistake("- 2 * u[partner]", "- u[partner]",
                    "Each positive similarity occurs in two rows, that of i and that of p: 2 Y u."),
            Mistake("(g / (n * temperature))", "(g / n)",
                    "The logits are s / T, so their gradient is divided by T."),
            Mistake("(g / (n * temperature))", "(g / temperature)",
                    "The loss is a mean over n anchors: divide the gradient by n as well."),
            Mistake("largest = e.max(axis=1, keepdims=True)", "largest = np.zeros((n, 1), u.dtype)",
                    "e^(s / T) overflows at low temperatures: subtract the largest similarity of each row "
                    "first."),
            Mistake("largest = e.max(axis=1, keepdims=True)", "largest = np.ones((n, 1), u.dtype)",
                    "1 is no similarity of this row: at small T all of its exponentials underflow, and ln 0 is no "
                    "number; subtract the largest of each row."),
            Mistake("np.fill_diagonal(e, -np.inf)", "pass",
                    "The sum runs over k != i: a view compared with itself must not be among its terms."),
            Mistake("(g / (n * temperature))", "(1 / (n * temperature))",
                    "The vjp multiplies with g, the gradient of the loss."),
            Mistake("(e @ u / total + e.T @ (u / total)", "(np.divide(e, total, out=e) @ u + e.T @ u",
                    "The vjp may be called again, and must leave e as it is: divide u, or divide e before the "
                    "vjp."))),
    Exercise(
        name="info_nce", target=f"{SSL}.contrastive:info_nce", level=2, minutes=20, keep=3, after=("nt_xent",),
        task="Write InfoNCE: find the key of a query among negatives that are given, or the other keys of the "
             "batch",
        tests=laws_of("contrastive", "test_info_nce_is_its_formula_in_a_slow_loop",
                      "test_info_nce_keeps_its_bounds_at_any_temperature",
                      "test_its_gradients_are_slopes_in_all_three",
                      "test_nt_xent_is_info_nce_with_all_other_views_for_negatives",
                      "test_more_negatives_never_help_and_lengths_and_order_do_not_matter"),
        hints=("A classification again: logits (B, number of keys), and for each query the number of its own "
               "key. query and positive are of unit length already, negatives are not.",
               "Without negatives the logits are query @ positive.T, (B, B), and the label of row i is i. With "
               "them: a first column of query_i . positive_i, then query @ _unit(negatives).T, (B, 1 + K), and "
               "all labels are 0.",
               "if negatives is None: logits = query @ positive.T, labels = np.arange(len(query)); else: same = "
               "ops.sum(query * positive, axis=1, keepdims=True), logits = ops.concatenate([same, ...], axis=1), "
               "labels = np.zeros(len(query), np.int64). Return F.cross_entropy(logits / temperature, labels)"),
        mistakes=(
            Mistake("np.arange(len(query))", "np.zeros(len(query), np.int64)",
                    "In the batch the key of query i is number i: the labels are 0, 1, 2, ..., not all 0."),
            Mistake("[same, query @ _unit(negatives).T]", "[query @ _unit(negatives).T, same]",
                    "The positive belongs in the column that the labels name: column 0."),
            Mistake("logits / temperature", "logits * temperature",
                    "Similarities are divided by the temperature, not multiplied with it."),
            Mistake("logits / temperature", "logits", "The temperature is missing: divide the logits by it."),
            Mistake("_unit(negatives)", "negatives",
                    "The negatives are not of unit length yet: without that their products are no cosines."),
            Mistake("if negatives is None:", "if negatives is None or not len(negatives):",
                    "Negatives that are none, K = 0, are not None: then there are no negatives, and the loss is 0."),
            Mistake("[same, query @ _unit(negatives).T]", "[query @ positive.T, query @ _unit(negatives).T]",
                    "With negatives the other keys of the batch are none: a first column of query_i . positive_i "
                    "only."),
            Mistake("return F.cross_entropy(logits / temperature, labels)",
                    "e = ops.exp(logits / temperature)\n"
                    "    return -ops.mean(ops.log(e[np.arange(len(query)), labels] / ops.sum(e, axis=1)))",
                    "e^(s / T) overflows at small T: F.cross_entropy subtracts the largest of each row first."),
            Mistake("query @ positive.T", "query @ query.T",
                    "Queries are nobody's negatives: compare them with the keys."),
            Mistake("ops.sum(query * positive, axis=1, keepdims=True)",
                    "ops.sum(query * positive, axis=1, keepdims=True) * 0 + 1",
                    "The positive's similarity is the product of query_i and positive_i, not 1."))),
))
