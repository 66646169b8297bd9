"""After pre-training: neighbours, the probe's solver, a picture of the features; and series."""
from tinyml.exercises.exercise import Chapter, Exercise, Mistake, laws_of

CHAPTER = Chapter("transfer", "10.3 What features are worth, and series of sensors", (
    Exercise(
        name="linear_probe",
        target="tinyml.selfsupervised.downstream:linear_probe",
        level=2, minutes=25,
        task="Find the best linear head on frozen features: write the objective with the "
             "engine, and minimise it with L-BFGS",
        tests=laws_of(
            "downstream",
            "test_at_the_optimum_the_gradient_of_the_engine_is_zero",
            "test_no_other_head_is_better",
            "test_a_class_without_a_row_is_refused",
            "test_the_penalty_is_per_sample_so_repeating_each_row_changes_nothing",
            "test_a_stronger_penalty_gives_a_smaller_head_and_the_probe_is_deterministic",
            "test_an_unreached_tolerance_is_an_error"),
        hints=("Write the objective as a function without arguments, and let minimize find its "
               "minimum.",
               "_zero_head(d, C) is a head of zeros in float64. With z_centred = "
               "Tensor(features - mean), head(z_centred) gives the logits (n, C), and "
               "F.cross_entropy the mean of -ln softmax; add l2 / 2 times the sum of the squared "
               "weights. Centred features need fewer steps; at the end, subtract W mean from b. "
               "Then subtract from b its mean.",
               "def objective(): return F.cross_entropy(head(z_centred), labels) + ...; "
               "minimize(objective, head.parameters(), tolerance=tolerance, max_iter=max_iter); "
               "then b = head.bias.data - head.weight.data @ mean, head.bias.data = b - "
               "b.mean(), and both p.data = p.data.astype(features.dtype), p.grad = None"),
        also=("A class of 0..C-1 without a row raises a ValueError: labels must hold every "
              "class 0..C-1, got none of class 1.",
              "The parameters of the head have no gradient."),
        mistakes=(
            Mistake("l2 / 2 * (head.weight ** 2).sum()", "l2 * (head.weight ** 2).sum()",
                    "The penalty is l2/2 ||W||^2; yours is twice that."),
            Mistake("l2 / 2 * (head.weight ** 2).sum()", "l2 / 2 * (head.weight ** 2).mean()",
                    "||W||_F^2 is the sum of the squared weights, not their mean."),
            Mistake("l2 / 2 * (head.weight ** 2).sum()",
                    "l2 / 2 * ((head.weight ** 2).sum() + (head.bias ** 2).sum())",
                    "Only W has a penalty; you shrink b as well."),
            Mistake("F.cross_entropy(head(z_centred), labels) + penalty",
                    "len(labels) * F.cross_entropy(head(z_centred), labels) + penalty",
                    "The loss is the mean over the samples; with the sum, l2 weighs less "
                    "the more rows there are."),
            Mistake("head.bias.data - head.weight.data @ mean", "head.bias.data",
                    "The head was trained on centred features: for the features themselves, "
                    "subtract W mean from b."),
            Mistake("head.bias.data - head.weight.data @ mean",
                    "head.bias.data + head.weight.data @ mean",
                    "W (z - mean) + b = W z + (b - W mean): subtract W mean."),
            Mistake("p.data.astype(features.dtype), None", "p.data.astype(np.float32), None",
                    "The head has the dtype of the features: you round float64 to float32."),
            Mistake("l2 / 2 * (head.weight ** 2).sum()",
                    "l2 / 2 / len(labels) * (head.weight ** 2).sum()",
                    "Add the penalty to the mean loss without a factor 1 / n."),
            Mistake("F.cross_entropy(head(z_centred), labels) + penalty",
                    "F.cross_entropy(head(z_centred), labels)",
                    "The penalty on the weights is missing."))),
    Exercise(
        name="knn",
        target="tinyml.selfsupervised.downstream:knn",
        level=2, minutes=25,
        hide=("_squared_distances", "_cosine_distances"),
        examples=100,
        task="Give each query the majority label of its k nearest features",
        tests=laws_of(
            "downstream",
            "test_neighbours_agree_with_a_slow_loop",
            "test_ties_go_to_the_earlier_row_and_to_the_nearer_voter",
            "test_the_nearest_neighbour_of_a_training_point_is_itself_and_cosines_ignore_lengths",
            "test_by_cosines_a_zero_vector_is_at_distance_1_from_all",
            "test_distances_are_computed_in_float64",
            "test_neighbours_far_from_the_origin"),
        hints=("Three steps: a matrix of distances (m, n), the k nearest of each row, a vote "
               "among them.",
               "Only the order of the distances counts, so ||a - b||^2 will do. Subtract before "
               "you square: ||b||^2 - 2 a'b loses digits far from the origin. For the cosine "
               "take unit vectors, F.normalize(b).data, since ||u - v||^2 = 2 (1 - cos); where a "
               "vector is zero, put 2, as cos = 0. A stable argsort keeps the earlier row first. To break "
               "ties, count the votes for the class of each voter, (m, k), and take the first "
               "voter with the largest count.",
               "distances[i] = ((queries[i] - features) ** 2).sum(axis=1); nearest = "
               "np.argsort(distances, axis=1, kind='stable')[:, :k]; voters = labels[nearest]; "
               "votes = (voters[:, :, None] == voters[:, None, :]).sum(axis=2); return "
               "voters[np.arange(len(voters)), votes.argmax(axis=1)]"),
        also=("Of features at the same distance, the earlier row is nearer.",
              "By cosines, a zero vector has the distance 1 to all others.",
              "Distances stay exact far from the origin, and cosines at small angles: 1 - cos is 0 for "
              "an angle of 1e-9, but ||u - v||^2 / 2 of the unit vectors is not."),
        mistakes=(
            Mistake("    winner = votes.argmax(axis=1)",
                    "    first = (voters[:, :, None] == voters[:, None, :]).argmax(axis=2)\n"
                    "    winner = (votes * k + first).argmax(axis=1)",
                    "Of tied classes the one with the nearest voter wins; you take the one "
                    "that is met last."),
            Mistake("distances = _squared_distances(F.normalize(queries).data, "
                    "F.normalize(features).data)",
                    "distances = 2 - 2 * F.normalize(queries).data @ F.normalize(features).data.T",
                    "1 - cos is rounded to 0 at small angles: ||u - v||^2 of the unit vectors keeps "
                    "its digits."),
            Mistake("np.argsort(distances,", "np.argsort(-distances,",
                    "The nearest have the smallest distance; you take the farthest features."),
            Mistake('_cosine_distances if metric == "cosine" else _squared_distances',
                    "_squared_distances",
                    "The cosine ignores lengths: normalise both vectors, or use "
                    "_cosine_distances for this metric."),
            Mistake('_cosine_distances if metric == "cosine" else _squared_distances',
                    "_cosine_distances",
                    "Euclidean distances depend on lengths; you use cosines for both "
                    "metrics."),
            Mistake('distances = distances_of(queries, features)',
                    'distances = distances_of(queries, features) if metric == "cosine" else '
                    '(features ** 2).sum(axis=1) - 2 * queries @ features.T',
                    "||b||^2 - 2 a'b loses digits far from the origin: subtract, then "
                    "square."),
            Mistake('axis=1, kind="stable")', "axis=1)",
                    "Of features at the same distance the earlier row is nearer: that needs "
                    "a stable sort, kind='stable'."),
            Mistake("    votes = (voters[:, :, None] == voters[:, None, :]).sum(axis=2)",
                    "    return np.array([np.bincount(row).argmax() for row in voters])\n"
                    "    votes = (voters[:, :, None] == voters[:, None, :]).sum(axis=2)",
                    "Of tied classes the one with the nearest voter wins; you take the "
                    "smallest label."),
            Mistake("winner = votes.argmax(axis=1)", "winner = 0",
                    "You use only the nearest neighbour: the majority of the k nearest "
                    "decides."),
            Mistake("winner = votes.argmax(axis=1)", "winner = votes.argmin(axis=1)",
                    "The majority decides; you take the class with the fewest votes."),
            Mistake("voters = labels[nearest]", "voters = nearest",
                    "You vote with row numbers: use the labels of the nearest rows."),
            Mistake("[:, :k]", "[:, 1:k + 1]",
                    "The nearest feature counts: queries are not among the features, so do "
                    "not skip the first."))),
    Exercise(
        name="inverse_hessian",
        target="tinyml.lbfgs:inverse_hessian",
        level=3, minutes=40,
        task="Multiply a vector by L-BFGS's estimate of the inverse Hessian, in two loops and "
             "without a matrix",
        tests=laws_of(
            "lbfgs",
            "test_the_estimate_of_the_inverse_hessian_is_the_recursion_of_bfgs_and_keeps_the_"
            "secant",
            "test_the_minimum_of_any_convex_quadratic_is_found"),
        hints=("Read the recursion from the right: the factors (I - y s'/s'y) act on g first, "
               "the newest pair's before the others; then the scaling; then the factors on the "
               "left, the oldest pair first.",
               "Down: alpha = s'g / s'y, g - alpha y, newest first, and keep the alphas. "
               "Middle: times s'y / y'y of the newest pair. Up: g + (alpha - y'g / s'y) s, "
               "oldest first.",
               "alphas = []; for s, y in reversed(pairs): alpha = s @ g / (s @ y); g = g - "
               "alpha * y; alphas.append(alpha). Then, if there are pairs, s, y = pairs[-1] and "
               "the scaling; then for (s, y), alpha in zip(pairs, reversed(alphas)): g = g + "
               "(alpha - ...) * s. Return g"),
        also=("pairs may be a deque, which has no slices: go back by reversed(pairs).",),
        mistakes=(
            Mistake("    for s, y in reversed(pairs):\n"
                    "        alpha = s @ g / (s @ y)\n"
                    "        g = g - alpha * y\n"
                    "        alphas.append(alpha)\n"
                    "    if pairs:\n"
                    "        s, y = pairs[-1]\n"
                    "        g = (s @ y) / (y @ y) * g\n"
                    "    for (s, y), alpha in zip(pairs, ",
                    "    for s, y in pairs:\n"
                    "        alpha = s @ g / (s @ y)\n"
                    "        g = g - alpha * y\n"
                    "        alphas.append(alpha)\n"
                    "    if pairs:\n"
                    "        s, y = pairs[-1]\n"
                    "        g = (s @ y) / (y @ y) * g\n"
                    "    for (s, y), alpha in zip(reversed(pairs), ",
                    "The first loop goes from the newest pair to the oldest, the second one "
                    "back: yours both go the other way."),
            Mistake("for s, y in reversed(pairs):", "for s, y in pairs:",
                    "The first loop goes from the newest pair to the oldest."),
            Mistake("zip(pairs, reversed(alphas))", "zip(pairs, alphas)",
                    "The second loop visits the pairs in the opposite order, so the alphas "
                    "must be reversed."),
            Mistake("g = (s @ y) / (y @ y) * g", "pass",
                    "Between the loops comes the first estimate, (s'y / y'y) I; you start "
                    "from I."),
            Mistake("beta = y @ g", "beta = s @ g",
                    "The factor on the left, I - s y'/s'y, contains y'g; you take s'g, as "
                    "in the first loop."),
            Mistake("zip(pairs, reversed(alphas))", "zip(reversed(pairs), alphas)",
                    "The second loop goes from the oldest pair to the newest; yours goes "
                    "the other way."),
            Mistake("(s @ y) / (y @ y)", "(s @ s) / (s @ y)",
                    "The first estimate is s'y / y'y, not s's / s'y (a good choice too, but "
                    "another matrix)."),
            Mistake("s, y = pairs[-1]", "s, y = pairs[0]",
                    "The scale is that of the newest pair, pairs[-1]."),
            Mistake("(alpha - beta) * s", "alpha * s",
                    "The left factor (I - s y'/s'y) is missing: add (alpha - y'g / s'y) s."),
            Mistake("g = g - alpha * y", "g -= alpha * y",
                    "g belongs to the caller: g -= writes into it, g = g - ... does not."),
            Mistake("(s @ y) / (y @ y)", "(y @ y) / (s @ y)",
                    "The scale is upside down: s'y / y'y."),
            Mistake("g = g + (alpha - beta) * s", "g = g - (alpha - beta) * s",
                    "In the second loop (alpha - beta) s is added."),
            Mistake("alpha = s @ g / (s @ y)", "alpha = y @ g / (s @ y)",
                    "The factor on the right, I - y s'/s'y, contains s'g."))),
    Exercise(
        name="principal_components",
        target="tinyml.selfsupervised.simclr:principal_components",
        level=2, minutes=20,
        task="Project vectors on the directions in which they vary most, and give the share of "
             "the variance along each",
        tests=laws_of(
            "simclr",
            "test_principal_components_diagonalise_the_covariance",
            "test_the_picture_does_not_depend_on_where_and_the_sign_is_chosen"),
        hints=("The singular value decomposition of the centred vectors gives all you need: "
               "directions, lengths, coordinates.",
               "U (n, r), s (r,), Vh (r, d) with full_matrices=False: coordinates U s, a "
               "direction is a row of Vh. Flip column j if the entry of largest magnitude of "
               "row j of Vh is negative. The share is s_j^2 / sum s^2, 0 if all are 0.",
               "U, s, Vh = np.linalg.svd(z - z.mean(axis=0), full_matrices=False); largest = "
               "np.abs(Vh).argmax(axis=1); sign = np.sign(Vh[np.arange(len(Vh)), largest]); "
               "share = s ** 2 / ((s ** 2).sum() or 1); return the first n_components columns "
               "of U * (sign * s) and shares"),
        also=("If all vectors are equal there is no variance: the shares are 0.",),
        mistakes=(
            Mistake("z - z.mean(axis=0)", "z",
                    "Variance is measured around the mean: without centring, the first direction "
                    "points to the mean."),
            Mistake("U * (sign * s)", "U * sign",
                    "The columns of U all have length 1: coordinates are U s."),
            Mistake("variance = s ** 2", "variance = s",
                    "A share of the variance: squares, s^2 / sum s^2."),
            Mistake("U * (sign * s)", "U * s",
                    "Choose the sign of each direction so that its entry of largest magnitude is "
                    "positive."),
            Mistake("(variance.sum() or 1)", "variance.sum()",
                    "If all vectors are equal there is no variance, and 0 / 0 is NaN: the share "
                    "is 0."),
            Mistake("np.sign(Vh[np.arange(len(Vh)), largest])",
                    "np.sign(U[np.abs(U).argmax(axis=0), np.arange(len(s))])",
                    "The sign is chosen by the direction, a row of Vh, not by the "
                    "coordinates in U."),
            Mistake("np.abs(Vh).argmax(axis=1)", "Vh.argmax(axis=1)",
                    "The entry of largest magnitude, whatever its sign: take np.abs before "
                    "argmax."),
            Mistake("share[:n_components]",
                    "share[:n_components] / max(share[:n_components].sum(), 1e-300)",
                    "Divide by the whole variance, not by that of the k directions kept."),
            Mistake("np.sign(Vh[np.arange(len(Vh)), largest])", "np.sign(Vh[:, 0])",
                    "The sign is that of the entry of largest magnitude, not of the first "
                    "one."),
            Mistake("coordinates = U * (sign * s)", "coordinates = z @ (Vh.T * sign)",
                    "The coordinates are those of z - mean: their columns have mean 0."))),
    Exercise(
        name="pieces",
        target="tinyml.selfsupervised.series:_pieces",
        level=3, minutes=30,
        task="Cut the time of each series into pieces at random, and shuffle the pieces",
        tests=laws_of(
            "series",
            "test_a_permutation_moves_all_sensors_of_a_sample_alike",
            "test_a_permutation_has_any_number_of_pieces_in_any_order",
            "test_every_sample_has_a_draw_of_its_own[permute]",
            "test_a_view_keeps_dtype_and_input_and_follows_its_generator[permute]"),
        hints=("Number the pieces, and give every time step the number of its piece. Draw a "
               "random key for every piece, and sort the time steps by the key of their piece.",
               "Mark where pieces start, (n, length) of 0 and 1: for m pieces, m - 1 of the "
               "positions 1..length-1 in each row. The cumulative sum numbers the pieces. A "
               "stable argsort keeps the times of a piece in order.",
               "n_pieces = rng.integers(1, segments + 1, (n, 1)); cuts = "
               "rng.permuted(np.tile(np.arange(1, length), (n, 1)), axis=1)[:, :segments - 1], "
               "of which the first n_pieces - 1 count: np.put_along_axis(is_start, cuts, "
               "np.arange(1, segments) < n_pieces, axis=1) into zeros of int; piece = "
               "is_start.cumsum(axis=1); key = np.take_along_axis(rng.random((n, segments)), "
               "piece, axis=1); return np.argsort(..., axis=1, kind='stable')"),
        mistakes=(
            Mistake("rng.integers(1, segments + 1, (n, 1))", "np.full((n, 1), segments)",
                    "The number of pieces is drawn for each series, 1 to segments; yours is "
                    "always the largest."),
            Mistake("rng.integers(1, segments + 1, (n, 1))",
                    "rng.integers(1, max(segments, 2), (n, 1))",
                    "rng.integers excludes its upper end: for 1..segments write segments + "
                    "1."),
            Mistake("np.arange(1, segments) < n_pieces", "np.arange(1, segments) <= n_pieces",
                    "m pieces have m - 1 cuts between them; you have one cut too many."),
            Mistake("np.take_along_axis(keys, piece, axis=1)", "rng.random((n, length))",
                    "A key belongs to a piece, not to a time step: you shuffle the time steps."),
            Mistake("rng.random((n, segments))", "np.repeat(rng.random((1, segments)), n, axis=0)",
                    "Each series has its own order; you move the pieces of all in the same "
                    "way."),
            Mistake('axis=1, kind="stable")', "axis=1)",
                    "The times of a piece have equal keys and must keep their order: "
                    "kind='stable'."),
            Mistake("is_start.cumsum(axis=1)", "is_start",
                    "A time step's piece is the number of starts up to it: take the cumulative "
                    "sum."),
            Mistake("np.put_along_axis(is_start, cuts",
                    "np.put_along_axis(is_start, np.sort(cuts, axis=1)",
                    "Of sorted cuts you use only the earliest m - 1: leave the cuts in random "
                    "order."))),
    Exercise(
        name="temporal_contrast",
        target="tinyml.selfsupervised.ts_tcc:temporal_contrast",
        level=1, minutes=10,
        after=("info_nce",),
        task="Contrast predictions of K future steps with the encodings at these steps",
        tests=laws_of(
            "ts_tcc",
            "test_temporal_contrast_is_the_sum_of_its_docstring_in_a_slow_loop",
            "test_its_gradient_is_its_slope_and_lengths_do_not_matter",
            "test_at_chance_it_is_the_logarithm_of_the_batch"),
        hints=("Each step k has its own InfoNCE. Which are the queries, and which the keys?",
               "predicted[:, k] and future[:, k] have shape (B, D): row i of both belongs "
               "together, and the other rows of future[:, k] are the negatives. The mean of K "
               "losses.",
               "losses = [info_nce(..., ..., temperature=temperature) for k in range(K)]; "
               "return sum(losses) / K"),
        mistakes=(
            Mistake("sum(losses) / K", "sum(losses)",
                    "It is the mean over the K steps, not the sum."),
            Mistake("info_nce(predicted[:, k], future[:, k]",
                    "info_nce(future[:, k], predicted[:, k]",
                    "The predictions are the queries and the futures the keys; the other "
                    "way round, predictions become negatives."),
            Mistake("sum(losses) / K",
                    "info_nce(predicted.reshape(-1, predicted.shape[2]), future.reshape(-1, "
                    "future.shape[2]), temperature=temperature)",
                    "Other times of a series are not negatives: compare within one step k "
                    "only."),
            Mistake("sum(losses) / K",
                    "(sum(losses) + sum(info_nce(future[:, k], predicted[:, k], "
                    "temperature=temperature) for k in range(K))) / (2 * K)",
                    "Only the predictions are queries: you add the other direction, from futures "
                    "to predictions."),
            Mistake("info_nce(predicted[:, k], future[:, k]",
                    "info_nce(predicted[:, k], future[:, 0]",
                    "The prediction of step k is compared with the future at step k, not "
                    "with the first one."),
            Mistake("sum(losses) / K", "losses[-1]",
                    "All K steps count: take the mean of their losses."),
            Mistake("sum(losses) / K", "sum(losses) / len(predicted)",
                    "Each loss is a mean over the batch already: divide by the number of "
                    "steps K."),
            Mistake("sum(losses) / K",
                    "info_nce(predicted.reshape(len(predicted), -1), future.reshape(len(future), "
                    "-1), temperature=temperature)",
                    "Each step has a loss of its own; yours compares whole sequences."),
            Mistake("sum(losses) / K",
                    "sum(info_nce(predicted[i], future[i], temperature=temperature) for i in "
                    "range(len(predicted))) / len(predicted)",
                    "The negatives are other series at the same step k: yours are other steps "
                    "of the same series."),
            Mistake("sum(losses) / K",
                    "info_nce(predicted.mean(axis=1), future.mean(axis=1), "
                    "temperature=temperature)",
                    "Each step has its own loss: take the mean of the K losses, not of the "
                    "vectors."),
            Mistake("sum(losses) / K", "sum(losses[1:]) / K if K > 1 else losses[0] * 0",
                    "All K steps count: yours leaves out the first one."),
            Mistake("sum(losses) / K", "sum(losses[:-1]) / K if K > 1 else losses[0] * 0",
                    "All K steps count: yours leaves out the last one."),
            Mistake("temperature=temperature)", "temperature=1)",
                    "The temperature has no effect in yours: pass it on."),
            Mistake("sum(losses) / K", "losses[0]",
                    "All K steps count: take the mean of their losses."))),
))
