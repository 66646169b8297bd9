"""Contrastive learning: views of one thing, and the losses that attract them."""
from tinyml.exercises.exercise import Chapter, Exercise, Mistake, laws_of

CHAPTER = Chapter("contrastive", "10.3.2 Contrastive learning: two views of one thing", (
    Exercise(
        name="affine",
        target="tinyml.selfsupervised.augmentations:affine",
        level=3, minutes=30,
        task="Rotate, stretch and shift images: for every new pixel, find where it comes from",
        tests=laws_of(
            "augmentations",
            "test_affine_is_the_weighted_mean_of_four_pixels",
            "test_shifts_by_whole_pixels_and_flips_are_exact",
            "test_a_quarter_turn_is_that_of_numpy"),
        hints=("Do not ask where an old pixel goes, but where each new one q comes from: p = c "
               "+ A^-1 (q - c - t). Then _bilinear(images, p) reads the images at these "
               "positions.",
               "_as_images('affine', x) has the shape (N, h, w), np.indices((h, w)).reshape(2, "
               "-1) holds all q as columns, (2, h w), and _inverse inverts all matrices. "
               "_bilinear takes p of shape (N, 2, h w), of the dtype of the images.",
               "q = np.indices((h, w)).reshape(2, -1); c = np.array([[(h - 1) / 2], [(w - 1) / "
               "2]]); t = np.asarray(shift)[..., None]; p = c + _inverse(matrix) @ (...); "
               "np.broadcast_to it to (N, 2, h * w) in case one matrix serves all images; "
               "_bilinear of that, .astype(images.dtype), in the shape of x"),
        mistakes=(
            Mistake("_inverse(matrix) @ ", "(0 * _inverse(matrix) + matrix) @ ",
                    "A says where an old pixel goes: to find where a new pixel comes from, use "
                    "A^-1."),
            Mistake("np.array([[(h - 1) / 2], [(w - 1) / 2]])", "np.array([[h / 2], [w / 2]])",
                    "Pixels have the positions 0..h-1, so the centre is (h - 1) / 2."),
            Mistake("np.array([[(h - 1) / 2], [(w - 1) / 2]])",
                    "np.array([[(w - 1) / 2], [(h - 1) / 2]])",
                    "Positions are (row, column): the centre of the rows comes first."),
            Mistake("np.array([[(h - 1) / 2], [(w - 1) / 2]])", "np.zeros((2, 1))",
                    "The map rotates around the centre of the image: yours rotates around its "
                    "upper left corner."),
            Mistake("@ (q - c - t)", "@ (q - c + t)",
                    "The sign of the shift: what is now at q was at q - t before, so subtract t."),
            Mistake("@ (q - c - t)", "@ (q - c) - t",
                    "The shift comes after A, so A^-1 applies to q - c - t, the shift "
                    "included."),
            Mistake("_inverse(matrix) @ ", "_inverse(matrix).swapaxes(-1, -2) @ ",
                    "The inverse is transposed: p_i = sum_j (A^-1)_ij q_j."),
            Mistake("p.astype(images.dtype))", "p[:, ::-1].astype(images.dtype))",
                    "The first coordinate is the row: _bilinear takes rows, then columns."),
            Mistake("p.astype(images.dtype))", "p.round().astype(images.dtype))",
                    "This takes the nearest pixel: do not round p, as _bilinear takes the "
                    "weighted mean of four pixels."),
            Mistake("p.astype(images.dtype)).reshape(x.shape)",
                    "p.astype(images.dtype)).reshape(images.shape)",
                    "Images that came flat, (N, H W), go back flat: reshape to the shape of "
                    "x."),
            Mistake("t = np.asarray(shift)[..., None]", "t = np.asarray(shift)[..., ::-1, None]",
                    "The shift is (down, right), rows first, as positions are (row, column)."),
            Mistake("_inverse(matrix) @ ", "np.asarray(matrix).swapaxes(-1, -2) @ ",
                    "The transpose is the inverse of a rotation only: take the inverse."),
            Mistake("_bilinear(images, p.astype(images.dtype))",
                    "_bilinear(images.astype(float), p)",
                    "The result has the dtype of x: yours is float64."),
            Mistake("c + _inverse(matrix) @ (q - c - t)", "c + np.asarray(matrix) @ (q - c) + t",
                    "This is where an old pixel goes: to find where a new pixel comes from, "
                    "take A^-1 (q - c - t)."),
            Mistake("c + _inverse(matrix) @ (q - c - t)", "c + np.asarray(matrix) @ (q - c) - t",
                    "A says where an old pixel goes: to find where a new pixel comes from, "
                    "use A^-1, and subtract t first."),
            Mistake("q = np.indices((h, w)).reshape(2, -1) ",
                    "q = np.indices((h, w)).reshape(2, -1)[::-1] ",
                    "The pixels are counted row by row, and a position is (row, column): "
                    "yours is (column, row)."),
            Mistake("c + _inverse(matrix) @ (q - c - t)",
                    "c + (_inverse(matrix) @ (q - c - t)[..., ::-1, :])[..., ::-1, :]",
                    "Positions are (row, column), so the first row of A gives the row: you "
                    "apply A to (x, y)."),
            Mistake("c + _inverse(matrix) @ (q - c - t)", "_inverse(matrix) @ (q - c - t)",
                    "The centre is missing in the result: p = c + A^-1 (q - c - t)."),
            Mistake("c + _inverse(matrix) @ (q - c - t)", "c + _inverse(matrix) @ (q - c) + t",
                    "The shift is undone first: A^-1 (q - c - t)."),
            Mistake("c + _inverse(matrix) @ (q - c - t)", "_inverse(matrix) @ (q - t)",
                    "The map rotates around the centre of the image: yours rotates around its "
                    "upper left corner."),
            Mistake("p.astype(images.dtype))", "np.floor(p).astype(images.dtype))",
                    "This takes one pixel: do not round p, as _bilinear takes the weighted "
                    "mean of four pixels."),
            Mistake("p.astype(images.dtype))",
                    "np.clip(p, 0, [[h - 1], [w - 1]]).astype(images.dtype))",
                    "Outside the image there are zeros: yours repeats the pixels of the "
                    "border."),
            Mistake("p.astype(images.dtype))", "(p % [[h], [w]]).astype(images.dtype))",
                    "Outside the image there are zeros: yours comes in again on the other "
                    "side."),
            Mistake("np.array([[(h - 1) / 2], [(w - 1) / 2]])", "np.array([[h // 2], [w // 2]])",
                    "Pixels have the positions 0..h-1, so the centre is (h - 1) / 2."),
            Mistake("t = np.asarray(shift)[..., None]",
                    "t = np.asarray(shift)[..., None] * np.array([[h], [w]])",
                    "The shift is in pixels, not in heights and widths of the image."),
            Mistake("c + _inverse(matrix) @ (q - c - t)",
                    "c + _inverse(matrix).reshape(-1, 2, 2)[0] @ (q - c - np.reshape(shift, "
                    "(-1, 2))[0][:, None])",
                    "Each image has a matrix and a shift of its own: yours takes the first "
                    "for all."),
            Mistake("c + _inverse(matrix) @ (q - c - t)",
                    "c + _inverse(matrix).reshape(-1, 2, 2)[0] @ (q - c - t)",
                    "Each image has a matrix and a shift of its own: yours takes the first "
                    "for all."))),
    Exercise(
        name="alignment",
        target="tinyml.selfsupervised.contrastive:alignment",
        level=1, minutes=5,
        task="Give the mean squared distance between the directions of two views",
        tests=laws_of(
            "contrastive",
            "test_alignment_and_uniformity_are_their_formulas_in_a_slow_loop",
            "test_nt_xent_is_alignment_and_a_softer_uniformity"),
        hints=("Directions first: F.normalize scales every row to length 1. Compute with "
               "Tensors, so that gradients flow.",
               "u - v has shape (B, D); its squares are summed over D and averaged over B.",
               "u, v = F.normalize(z1), F.normalize(z2); return ops.mean(ops.sum((u - v) ** 2, "
               "axis=...))"),
        mistakes=(
            Mistake("F.normalize(z1), F.normalize(z2)", "z1, z2",
                    "Lengths must not matter: scale both to unit length first."),
            Mistake("ops.mean(ops.sum((u - v) ** 2, axis=1))", "ops.mean((u - v) ** 2)",
                    "A squared distance is a sum over the D coordinates: take the mean over the "
                    "rows only."),
            Mistake("axis=1", "axis=0",
                    "The squares are summed over the D coordinates, axis 1, and the mean is "
                    "over the B pairs."),
            Mistake("ops.mean(ops.sum((u - v) ** 2, axis=1))", "ops.sum((u - v) ** 2)",
                    "The loss is a mean over the B pairs, not a sum."),
            Mistake("ops.sum((u - v) ** 2, axis=1)", "ops.sqrt(ops.sum((u - v) ** 2, axis=1))",
                    "The distance is squared (alpha = 2): no root."),
            Mistake("ops.mean(ops.sum((u - v) ** 2, axis=1))",
                    "1 - ops.mean(ops.sum(u * v, axis=1))",
                    "||u - v||^2 = 2 - 2 u.v: yours is half of it."),
            Mistake("F.normalize(z1), F.normalize(z2)", "F.normalize(z1), z2",
                    "Only the directions of both views count: normalise z2 too."),
            Mistake("ops.mean(ops.sum((u - v) ** 2, axis=1))",
                    "ops.mean(ops.sum(ops.abs(u - v), axis=1))",
                    "The distance is Euclidean: squares, not absolute values."),
            Mistake("ops.mean(ops.sum((u - v) ** 2, axis=1))",
                    "ops.sqrt(ops.mean(ops.sum((u - v) ** 2, axis=1)))",
                    "The distance is squared (alpha = 2): no root."),
            Mistake("F.normalize(z1), F.normalize(z2)",
                    "F.normalize(z1, axis=0), F.normalize(z2, axis=0)",
                    "Each row is scaled to length 1, along its D coordinates: yours scales "
                    "the columns."),
            Mistake("F.normalize(z1), F.normalize(z2)",
                    "z1 / ops.sqrt(ops.sum(z1 ** 2)), z2 / ops.sqrt(ops.sum(z2 ** 2))",
                    "Each row has its own length: yours divides by the norm of the whole "
                    "array."),
            Mistake("F.normalize(z1), F.normalize(z2)", "z1, F.normalize(z2)",
                    "Only the directions of both views count: normalise z1 too."),
            Mistake("ops.mean(ops.sum((u - v) ** 2, axis=1))", "ops.mean(ops.sum(u * v, axis=1))",
                    "||u - v||^2 = 2 - 2 u.v: yours is the mean cosine."),
            Mistake("ops.mean(ops.sum((u - v) ** 2, axis=1))",
                    "2 - ops.mean(ops.sum(u * v, axis=1))",
                    "||u - v||^2 = 2 - 2 u.v: the cosine counts twice."),
            Mistake("ops.mean(ops.sum((u - v) ** 2, axis=1))", "ops.mean(2 - 2 * (u @ v.T))",
                    "The mean is over the pairs of views of one image, u_i and v_i: yours is "
                    "over all u_i and v_j."),
            Mistake("ops.mean(ops.sum((u - v) ** 2, axis=1))",
                    "ops.sum(ops.mean(u - v, axis=0) ** 2)",
                    "Square each difference first, then take the mean: in yours opposite "
                    "differences cancel."),
            Mistake("F.normalize(z2)", "F.normalize(z2).data",
                    "Gradients flow to both views: yours stops at the second."),
            Mistake("ops.mean(ops.sum((u - v) ** 2, axis=1))",
                    "ops.max(ops.sum((u - v) ** 2, axis=1))",
                    "The loss is a mean over the B pairs, not the largest."),
            Mistake("ops.mean(ops.sum((u - v) ** 2, axis=1))",
                    "2 * ops.mean((1 - ops.sum(u * v, axis=1)) ** 2)",
                    "||u - v||^2 = 2 - 2 u.v is a square already: do not square 1 - u.v."),
            Mistake("ops.mean(ops.sum((u - v) ** 2, axis=1))",
                    "ops.mean(2 - 2 * ops.sum(u * v, axis=1) ** 2)",
                    "||u - v||^2 = 2 - 2 u.v: the cosine is not squared."))),
    Exercise(
        name="uniformity",
        target="tinyml.selfsupervised.contrastive:uniformity",
        level=2, minutes=15,
        after=("alignment",),
        task="Give the logarithm of the mean Gaussian kernel between the directions of different "
             "vectors",
        tests=laws_of(
            "contrastive",
            "test_alignment_and_uniformity_are_their_formulas_in_a_slow_loop",
            "test_uniformity_of_the_circle_and_of_the_sphere"),
        hints=("For unit vectors ||u - v||^2 = 2 - 2 u.v, and similarities(z, z) holds all u.v.",
               "The squared distances are (N, N). Leave out the diagonal, where i = j, with a "
               "mask of booleans; then take the exponential of -2 times the others, the mean, "
               "and its logarithm.",
               "squared_distance = 2 - 2 * similarities(z, z); i_not_j = ~np.eye(len(z), "
               "dtype=bool); return ops.log(ops.mean(ops.exp(... squared_distance[i_not_j])))"),
        mistakes=(
            Mistake("squared_distance[i_not_j]", "squared_distance",
                    "The mean is over pairs of different vectors: leave out the pairs i = j."),
            Mistake("2 - 2 * similarities(z, z)", "1 - similarities(z, z) ** 2",
                    "For unit vectors ||u - v||^2 = 2 - 2 u.v: yours is the squared sine of the "
                    "angle."),
            Mistake("-2 * squared_distance", "-squared_distance",
                    "The exponent is -2 ||u - v||^2: the 2 is missing."),
            Mistake("ops.log(ops.mean(ops.exp(-2 * squared_distance[i_not_j])))",
                    "ops.log(ops.sum(ops.exp(-2 * squared_distance[i_not_j])))",
                    "It is the logarithm of a mean: divide by the number of pairs."),
            Mistake("ops.log(ops.mean(ops.exp(-2 * squared_distance[i_not_j])))",
                    "ops.mean(-2 * squared_distance[i_not_j])",
                    "The logarithm comes last, of the mean of the exponentials: yours is a "
                    "mean of logarithms."),
            Mistake("2 - 2 * similarities(z, z)", "2 - 2 * (z @ z.T)",
                    "Lengths must not matter: take the similarities of the directions."),
            Mistake("ops.log(ops.mean(ops.exp(-2 * squared_distance[i_not_j])))",
                    "ops.mean(ops.exp(-2 * squared_distance[i_not_j]))",
                    "The logarithm of the mean is missing."),
            Mistake("ops.exp(-2 * squared_distance[i_not_j])",
                    "ops.exp(2 * squared_distance[i_not_j])",
                    "The sign of the exponent: near pairs count most, e^(-2 ||u_i - u_j||^2)."),
            Mistake("ops.log(ops.mean", "-ops.log(ops.mean",
                    "The sign: it is the logarithm itself, which is not positive."),
            Mistake("ops.log(ops.mean(ops.exp(-2 * squared_distance[i_not_j])))",
                    "ops.log(ops.sum(ops.exp(-2 * squared_distance[i_not_j])) / len(z) ** 2)",
                    "There are N (N - 1) pairs of different vectors: divide by that, not by "
                    "N^2."),
            Mistake("ops.log(ops.mean(ops.exp(-2 * squared_distance[i_not_j])))",
                    "ops.log(ops.sum(ops.exp(-2 * squared_distance[i_not_j])) / 2)",
                    "It is the logarithm of a mean: divide by the number of pairs."),
            Mistake("ops.log(ops.mean(ops.exp(-2 * squared_distance[i_not_j])))",
                    "ops.log(ops.mean(ops.exp(-2 * squared_distance[i_not_j])) / 2)",
                    "There are N (N - 1) / 2 pairs i < j: if you sum over these, divide by "
                    "their number."),
            Mistake("ops.log(ops.mean(ops.exp(-2 * squared_distance[i_not_j])))",
                    "ops.log(ops.mean(ops.exp(-2 * squared_distance[i_not_j])) * 2)",
                    "There are N (N - 1) pairs i != j: divide by that, not by half of it."),
            Mistake("ops.log(ops.mean(ops.exp(-2 * squared_distance[i_not_j])))",
                    "ops.log(ops.sum(ops.exp(-2 * squared_distance[i_not_j])) / len(z))",
                    "The mean is over all N (N - 1) pairs: yours divides by N."),
            Mistake("ops.log(ops.mean(ops.exp(-2 * squared_distance[i_not_j])))",
                    "ops.log(ops.sum(ops.exp(-2 * squared_distance[i_not_j])) / (len(z) - 1))",
                    "The mean is over all N (N - 1) pairs: yours divides by N - 1."),
            Mistake("ops.log(ops.mean(ops.exp(-2 * squared_distance[i_not_j])))",
                    "ops.mean(ops.log(ops.sum(ops.exp(-2 * squared_distance) * i_not_j, "
                    "axis=1) / (len(z) - 1)))",
                    "One logarithm, of the mean over all pairs: yours takes one logarithm for "
                    "each vector."),
            Mistake("ops.log(ops.mean(ops.exp(-2 * squared_distance[i_not_j])))",
                    "ops.log(ops.mean(ops.exp(-2 * "
                    "ops.sqrt(ops.maximum(squared_distance[i_not_j], 1e-12)))))",
                    "The distance in the exponent is squared: yours is not."),
            Mistake("2 - 2 * similarities(z, z)", "-2 * similarities(z, z)",
                    "||u - v||^2 = 2 - 2 u.v: the constant 2 is missing."),
            Mistake("2 - 2 * similarities(z, z)", "2 - similarities(z, z)",
                    "||u - v||^2 = 2 - 2 u.v: the cosine counts twice."),
            Mistake("-2 * squared_distance", "-4 * squared_distance",
                    "The exponent is -2 ||u - v||^2: yours is twice that."),
            Mistake("-2 * squared_distance", "-0.5 * squared_distance",
                    "The exponent is -2 ||u - v||^2: yours divides by 2."),
            Mistake("2 - 2 * similarities(z, z)", "2 + 2 * similarities(z, z)",
                    "||u - v||^2 = 2 - 2 u.v: the sign of the cosine."),
            Mistake("squared_distance[i_not_j]",
                    "squared_distance[np.arange(len(z) - 1), np.arange(1, len(z))]",
                    "The mean is over all pairs i != j: yours takes each vector with the next "
                    "one only."))),
    Exercise(
        name="nt_xent",
        target="tinyml.selfsupervised.contrastive:nt_xent",
        level=2, minutes=25,
        after=("alignment",),
        task="Compute NT-Xent: for each view, classify which of the 2B - 1 others shows the "
             "same image",
        tests=laws_of(
            "contrastive",
            "test_nt_xent_is_equation_10_1_in_a_slow_loop",
            "test_its_gradient_is_its_slope",
            "test_equal_embeddings_have_the_loss_of_chance",
            "test_values_that_can_be_computed_by_hand",
            "test_it_keeps_its_bounds_at_any_temperature",
            "test_a_batch_of_one_has_no_negatives_and_nothing_to_learn"),
        hints=("It is a classification of 2B rows into 2B classes, of which one, the row "
               "itself, is forbidden. So there is a cross-entropy in it.",
               "similarities(z, z) of all 2B views has shape (2B, 2B); put -inf on its diagonal "
               "and divide by T. The label of row i is i + B in the first half and i - B in the "
               "second. F.cross_entropy takes logits and labels.",
               "z = ops.concatenate([z1, z2]); s = similarities(z, z); s = ops.where(np.eye(2 * "
               "B, dtype=bool), -np.inf, s); partner = np.roll(np.arange(2 * B), B); return "
               "F.cross_entropy(..., ...)"),
        also=("With B = 1 there are no negatives: the loss and its gradient are 0.",
              "Nothing overflows at any temperature, though e^(1 / T) would."),
        mistakes=(
            Mistake("s = ops.where(np.eye(2 * B, dtype=bool), -np.inf, s)", "pass",
                    "The sum runs over k != i: a view compared with itself, s = 1, must not "
                    "be among its terms."),
            Mistake("return F.cross_entropy(s / temperature, partner)",
                    "same = ops.sum(F.normalize(z) * F.normalize(z)[partner], axis=1) / "
                    "temperature\n"
                    "    s = ops.where(np.eye(2 * B, dtype=bool)[partner], -np.inf, s) / "
                    "temperature\n"
                    "    return ops.mean(ops.logsumexp(s, axis=1) - same) if B > 1 else "
                    "ops.sum(z) * 0",
                    "The positive is in the denominator too: the sum runs over all k but i, "
                    "p included."),
            Mistake("np.eye(2 * B, dtype=bool)", "np.kron(np.eye(2), np.ones((B, B))) > 0",
                    "Views in both z1 and z2 are negatives: yours leaves out those in the same "
                    "array as view i."),
            Mistake("np.roll(np.arange(2 * B), B)", "np.arange(2 * B) ^ 1",
                    "The partner of row i is i + B or i - B: all views of z1 come first, then "
                    "those of z2."),
            Mistake("similarities(z, z)", "z @ z.T",
                    "The similarities are cosines: divide by the lengths."),
            Mistake("s / temperature", "s * temperature",
                    "Similarities are divided by the temperature, not multiplied with it."),
            Mistake("s / temperature", "s",
                    "The temperature has no effect in yours: divide the similarities by it."),
            Mistake("return F.cross_entropy(s / temperature, partner)",
                    "e = ops.exp(s / temperature)\n"
                    "    return -ops.mean(ops.log(e[np.arange(2 * B), partner] / ops.sum(e, "
                    "axis=1)))",
                    "e^(s / T) overflows at small T: F.cross_entropy subtracts the largest "
                    "logit of each row first."),
            Mistake("return F.cross_entropy(s / temperature, partner)",
                    "return F.cross_entropy((s / temperature)[:B], partner[:B])",
                    "The mean is over all 2B views: yours leaves out the views of z2, whose "
                    "positives are in z1."),
            Mistake("return F.cross_entropy(s / temperature, partner)",
                    "return 2 * B * F.cross_entropy(s / temperature, partner)",
                    "The loss is a mean over all 2B views, not a sum."),
            Mistake("-np.inf, s)", "0.0, s)",
                    "e^0 is 1, so with 0 on the diagonal k = i still counts: put -inf there."),
            Mistake("return F.cross_entropy(s / temperature, partner)",
                    "return 2 * F.cross_entropy(s / temperature, partner)",
                    "The mean is over all 2B views, and yours divides their sum by B."),
            Mistake("    s = ops.where(np.eye(2 * B, dtype=bool), -np.inf, s)    "
                    "# k != i, as e^-inf = 0\n"
                    "    partner = np.roll(np.arange(2 * B), B)\n"
                    "    # mean over i of -ln( e^(s_ip / T) / sum over k != i of e^(s_ik / T) ), "
                    " p = partner[i]\n"
                    "    return F.cross_entropy(s / temperature, partner)",
                    "    partner = np.roll(np.arange(2 * B), B)\n"
                    "    e = ops.exp(s / temperature)\n"
                    "    others = ops.sum(e, axis=1) - np.exp(1 / temperature)\n"
                    "    return -ops.mean(ops.log(e[np.arange(2 * B), partner] / others))",
                    "Subtracting e^(1/T) from the sum loses the digits of all other terms, "
                    "and overflows at small T: mask the diagonal instead."),
            Mistake("np.roll(np.arange(2 * B), B)", "np.arange(2 * B)",
                    "Each view would be its own positive; the label of view i is the other "
                    "view, (i + B) mod 2B."),
            Mistake("np.roll(np.arange(2 * B), B)", "np.arange(2 * B)[::-1].copy()",
                    "The partner of row i is i + B or i - B: all views of z1 come first, then "
                    "those of z2."),
            Mistake("return F.cross_entropy(s / temperature, partner)",
                    "return F.cross_entropy(s / temperature, partner) / temperature",
                    "The temperature divides the similarities, not the loss."),
            Mistake("return F.cross_entropy(s / temperature, partner)",
                    "return F.cross_entropy(s, partner) / temperature",
                    "The temperature divides the similarities, not the loss."))),
    Exercise(
        name="info_nce",
        target="tinyml.selfsupervised.contrastive:info_nce",
        level=2, minutes=20,
        after=("nt_xent",),
        task="Compute InfoNCE: for each query, find its key among given negatives, or among "
             "the keys of the batch",
        tests=laws_of(
            "contrastive",
            "test_info_nce_is_its_formula_in_a_slow_loop",
            "test_info_nce_keeps_its_bounds_at_any_temperature",
            "test_its_gradients_are_slopes_in_all_three",
            "test_nt_xent_is_info_nce_with_all_other_views_as_negatives",
            "test_more_negatives_never_help_and_lengths_and_order_do_not_matter"),
        hints=("A classification again: logits (B, number of keys), and for each query the "
               "column of its own key as the label.",
               "Without negatives the logits are similarities(query, positive), (B, B), and the "
               "label of row i is i. With them: a first column of the similarities of query i "
               "and positive i, then similarities(query, negatives), (B, 1 + K), and all labels "
               "are 0.",
               "if negatives is None: s = similarities(query, positive), label = np.arange(B); "
               "else: s_positive = F.cosine_similarity(query, positive).reshape(B, 1), s = "
               "ops.concatenate([s_positive, ...], axis=1), label = np.zeros(B, int). Return "
               "F.cross_entropy(s / temperature, label)"),
        also=("Without any negative (K = 0, or B = 1) the loss is 0.",
              "Nothing overflows at any temperature, though e^(1 / T) would."),
        mistakes=(
            Mistake("np.arange(B)", "np.zeros(B, int)",
                    "The key of query i is row i: the labels are 0, 1, 2, ..., not all 0."),
            Mistake("[s_positive, similarities(query, negatives)]",
                    "[similarities(query, negatives), s_positive]",
                    "The positive belongs in the column that the labels name: column 0."),
            Mistake("s / temperature", "s * temperature",
                    "Similarities are divided by the temperature, not multiplied with it."),
            Mistake("s / temperature", "s",
                    "The temperature is missing: divide the similarities by it."),
            Mistake("similarities(query, negatives)", "F.normalize(query) @ negatives.T",
                    "The negatives need not have length 1: normalise them, or the products are "
                    "not cosines."),
            Mistake("if negatives is None:", "if negatives is None or not len(negatives):",
                    "An array of 0 negatives is not None: there are no negatives then, and the "
                    "loss is 0."),
            Mistake("[s_positive, similarities(query, negatives)]",
                    "[similarities(query, positive), similarities(query, negatives)]",
                    "If negatives are given, the other keys of the batch are not among "
                    "them: take one column, the similarities of query i and positive i."),
            Mistake("return F.cross_entropy(s / temperature, label)",
                    "e = ops.exp(s / temperature)\n"
                    "    return -ops.mean(ops.log(e[np.arange(B), label] / ops.sum(e, axis=1)))",
                    "e^(s / T) overflows at small T: F.cross_entropy subtracts the largest "
                    "of each row first."),
            Mistake("s = similarities(query, positive)", "s = similarities(query, query)",
                    "Queries are never negatives: compare them with the keys."),
            Mistake("F.cosine_similarity(query, positive).reshape(B, 1)",
                    "np.ones((B, 1), query.dtype)",
                    "The positive's similarity is that of query i and positive i, not 1."),
            Mistake("return F.cross_entropy(s / temperature, label)",
                    "return B * F.cross_entropy(s / temperature, label)",
                    "The loss is the mean over the queries, not the sum."),
            Mistake("s = similarities(query, positive)", "s = query @ positive.T",
                    "s is the cosine similarity: normalise both vectors, as similarities "
                    "does."),
            Mistake("    if negatives is None:\n"
                    "        s = similarities(query, positive) "
                    "                                          # (B, B)\n"
                    "        label = np.arange(B)\n"
                    "    else:\n"
                    "        s_positive = F.cosine_similarity(query, positive).reshape(B, 1)\n",
                    "    negatives = positive if negatives is None else negatives\n"
                    "    if True:\n"
                    "        s_positive = F.cosine_similarity(query, positive).reshape(B, 1)\n",
                    "Without given negatives, the positive of a query is one of the rows of "
                    "`positive`, and is in the sum once: yours adds it again."),
            Mistake("[s_positive, similarities(query, negatives)], axis=1)    # (B, 1 + K)\n"
                    "        label = np.zeros(B, int)",
                    "[similarities(query, positive), similarities(query, negatives)], axis=1)\n"
                    "        label = np.arange(B)",
                    "If negatives are given, the other keys of the batch are not among them: "
                    "take one column, the similarities of query i and positive i."),
            Mistake("return F.cross_entropy(s / temperature, label)",
                    "s = s / temperature\n"
                    "    s_label = s[np.arange(B), label]\n"
                    "    s = ops.where(np.arange(s.shape[1]) == label[:, None], -np.inf, s)\n"
                    "    return ops.mean(ops.logsumexp(s, axis=1) - s_label) if s.shape[1] > "
                    "1 else ops.sum(query) * 0",
                    "The positive is in the denominator too: the sum starts at k = 0, the "
                    "positive."),
            Mistake("return F.cross_entropy(s / temperature, label)",
                    "s = s / temperature\n"
                    "    s_label = s[np.arange(B), label]\n"
                    "    if negatives is not None:\n"
                    "        s = ops.where(np.arange(s.shape[1]) == 0, -np.inf, s)\n"
                    "    return ops.mean(ops.logsumexp(s, axis=1) - s_label) if s.shape[1] > "
                    "1 else ops.sum(query) * 0",
                    "The positive is in the denominator too: the sum starts at k = 0, the "
                    "positive."),
            Mistake("F.cosine_similarity(query, positive).reshape(B, 1)\n",
                    "F.cosine_similarity(query, positive).reshape(B, 1) / temperature\n"
                    "        temperature = 1\n",
                    "All similarities are divided by the temperature: yours divides only that "
                    "of the positive."),
            Mistake("s = similarities(query, positive)", "s = similarities(positive, query)",
                    "Row i holds the similarities of query i with all keys: yours is "
                    "transposed, so queries are the negatives."),
            Mistake("return F.cross_entropy(s / temperature, label)",
                    "if negatives is None:\n"
                    "        return (F.cross_entropy(s / temperature, label) + "
                    "F.cross_entropy(s.T / temperature, label)) / 2\n"
                    "    return F.cross_entropy(s / temperature, label)",
                    "Only the queries look for their keys: yours adds the other direction, "
                    "from keys to queries."),
            Mistake("similarities(query, negatives)",
                    "similarities(query, negatives.data)",
                    "Gradients flow to the negatives too: yours stops there."),
            Mistake("return F.cross_entropy(s / temperature, label)",
                    "return F.cross_entropy(s / temperature, label) - np.log(s.shape[1])",
                    "The denominator is a sum over the keys, not their mean."),
            Mistake("return F.cross_entropy(s / temperature, label)",
                    "return F.cross_entropy((1 - s) / temperature, label)",
                    "The logits are the similarities, high for the positive: yours are "
                    "distances."),
            Mistake("return F.cross_entropy(s / temperature, label)",
                    "return F.cross_entropy(s, label) / temperature",
                    "The temperature divides the similarities, not the loss."))),
))
