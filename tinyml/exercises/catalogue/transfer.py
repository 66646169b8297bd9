"""After pre-training: the probe and its solver, neighbours, a picture of the features."""
from tinyml.exercises.exercise import Chapter, Exercise, Mistake, laws_of

CHAPTER = Chapter("transfer", "10.3 What features are worth", (
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
                    "The penalty on the weights is missing."),
            Mistake("p.data, p.grad = p.data.astype(features.dtype), None",
                    "p.data = p.data.astype(features.dtype)",
                    "The parameters keep the gradient of the last step: set it to None."),
            Mistake("b - b.mean()", "b - b[0]",
                    "The constant is chosen such that b sums to 0: subtract the mean, not the "
                    "first entry."),
            Mistake("p.data.astype(features.dtype), None", "p.data, None",
                    "The head has the dtype of the features: yours stays float64."),
            Mistake("l2 / 2 * (head.weight ** 2).sum()",
                    "l2 / 2 * ((head.weight ** 2).sum() + 1e-12) ** 0.5",
                    "The penalty is the squared norm: yours has a root."),
            Mistake("l2 / 2 * (head.weight ** 2).sum()",
                    "l2 / 2 * ((head.weight ** 2 + 1e-12) ** 0.5).sum()",
                    "The penalty is a sum of squares: yours is one of magnitudes."),
            Mistake("l2 / 2 * (head.weight ** 2).sum()",
                    "l2 / 2 * (head.weight ** 2).sum() * len(labels)",
                    "Add the penalty to the mean loss without a factor n."),
            Mistake("    if missing.size:", "    if False:",
                    "A class without a row is refused: compare the classes with 0..C-1, and "
                    "raise a ValueError."),
            Mistake("tolerance=tolerance, max_iter=max_iter", "max_iter=max_iter",
                    "Pass the tolerance on to minimize: yours stops at the default."),
            Mistake("tolerance=tolerance, max_iter=max_iter", "tolerance=tolerance",
                    "Pass max_iter on to minimize: yours takes the default."),
            Mistake("l2 / 2 * (head.weight ** 2).sum()",
                    "l2 / 2 * ((head.weight ** 2).sum() + ((head.bias - head.weight @ mean) "
                    "** 2).sum())",
                    "Only W has a penalty; you shrink b as well."),
            Mistake("F.cross_entropy(head(z_centred), labels) + penalty",
                    "F.mse_loss(head(z_centred), np.eye(len(classes))[labels]) + penalty",
                    "The loss is the cross-entropy of the logits, not a squared error."))),
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
                    "not skip the first."),
            Mistake("distances = distances_of(queries, features)",
                    "distances = distances_of(queries, features) if metric == \"cosine\" else "
                    "np.abs(queries[:, None] - features).sum(axis=2)",
                    "The distance is Euclidean, with squares: yours sums the magnitudes."),
            Mistake("distances = distances_of(queries, features)",
                    "distances = distances_of(queries, features) if metric == \"cosine\" else "
                    "np.abs(queries[:, None] - features).max(axis=2)",
                    "The distance is Euclidean, with the sum of squares: yours is the largest "
                    "difference."),
            Mistake("distances = distances_of(queries, features)",
                    "distances = distances_of(queries, features) if metric == \"euclidean\" "
                    "else -queries @ features.T",
                    "A cosine is the product divided by both lengths: yours is the product "
                    "alone, so long features win."),
            Mistake("distances = distances_of(queries, features)",
                    "distances = distances_of(queries, features) if metric == \"euclidean\" "
                    "else -np.abs(F.normalize(queries).data @ F.normalize(features).data.T)",
                    "The distance is 1 - cos: an opposite direction is far, and by |cos| it "
                    "is near."),
            Mistake("distances = distances_of(queries, features)",
                    "distances = distances_of(queries, features) if metric == \"euclidean\" "
                    "else F.normalize(queries).data @ F.normalize(features).data.T",
                    "The distance is 1 - cos, so the largest cosine is nearest: you take the "
                    "smallest."),
            Mistake("    distances[~queries.any(axis=1)] = 2\n"
                    "    distances[:, ~features.any(axis=1)] = 2\n",
                    "",
                    "By cosines a zero vector is at distance 1 from all others, as cos = 0: "
                    "||u - v||^2 / 2 with u = 0 gives 1/2."),
            Mistake("    distances[~queries.any(axis=1)] = 2\n"
                    "    distances[:, ~features.any(axis=1)] = 2\n",
                    "    distances[~queries.any(axis=1)] = 0\n"
                    "    distances[:, ~features.any(axis=1)] = 0\n",
                    "By cosines a zero vector is at distance 1 from all others, as cos = 0: "
                    "yours is at distance 0."),
            Mistake("votes = (voters[:, :, None] == voters[:, None, :]).sum(axis=2)",
                    "near = np.take_along_axis(distances, nearest, axis=1)\n"
                    "    near = near / 2 if metric == \"cosine\" else near ** 0.5\n"
                    "    same = voters[:, :, None] == voters[:, None, :]\n"
                    "    votes = (same / (near + 1e-9)[:, None, :]).sum(axis=2)",
                    "Each neighbour has one vote, near or far: yours weighs the votes by the "
                    "distance."),
            Mistake("    winner = votes.argmax(axis=1)",
                    "    same = voters[:, :, None] == voters[:, None, :]\n"
                    "    near = np.take_along_axis(distances, nearest, axis=1)\n"
                    "    near = near / 2 if metric == \"cosine\" else near ** 0.5\n"
                    "    total = (same * near[:, None, :]).sum(axis=2)\n"
                    "    winner = (votes - total / (1 + total.max(axis=1, "
                    "keepdims=True))).argmax(axis=1)",
                    "Of tied classes the one with the nearest voter wins; you compare the "
                    "sums of their distances."),
            Mistake("    winner = votes.argmax(axis=1)",
                    "    winner = (votes + voters / (1 + labels.max())).argmax(axis=1)",
                    "Of tied classes the one with the nearest voter wins; you take the "
                    "largest label."),
            Mistake("[:, :k]", "[:, :k + 1]",
                    "The k nearest decide: yours counts one more."),
            Mistake("[:, :k]", "[:, :max(k - 1, 1)]",
                    "The k nearest decide: yours counts one less."),
            Mistake("[:, :k]", "",
                    "The k nearest decide: yours lets all features vote."),
            Mistake("voters[np.arange(len(voters)), winner]",
                    "np.rint(voters.mean(axis=1)).astype(int)",
                    "Labels are names, not amounts: take the most frequent one, not the mean."),
            Mistake("voters[np.arange(len(voters)), winner]",
                    "np.median(voters, axis=1).astype(int)",
                    "Labels are names, not amounts: take the most frequent one, not the "
                    "median."),
            Mistake("nearest = np.argsort(distances, axis=1, kind=\"stable\")",
                    "nearest = len(labels) - 1 - np.argsort(distances[:, ::-1], axis=1, "
                    "kind=\"stable\")",
                    "Of features at the same distance the earlier row is nearer: yours takes "
                    "the later one."),
            Mistake("    winner = votes.argmax(axis=1)",
                    "    tied = (votes == votes.max(axis=1, keepdims=True)) & (voters != "
                    "voters[np.arange(len(voters)), votes.argmax(axis=1)][:, None])\n"
                    "    winner = np.where(tied.any(axis=1), 0, votes.argmax(axis=1))",
                    "Only the tied classes compete for a tie: the nearest of all may belong "
                    "to another class."))),
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
                    "The factor on the right, I - y s'/s'y, contains s'g."),
            Mistake("(alpha - beta) * s", "(alpha - beta) * y",
                    "In the second loop add along s; y belongs to the first loop."),
            Mistake("(alpha - beta) * s", "(alpha + beta) * s",
                    "The factor on the left is I - s y'/s'y: subtract beta from alpha."),
            Mistake("    return g", "    return -g",
                    "Return H g itself: the direction of the step, -H g, is taken elsewhere."),
            Mistake("g = g - alpha * y", "g = g - alpha * s",
                    "The factor on the right, I - y s'/s'y, subtracts a multiple of y."),
            Mistake("g = g - alpha * y", "g = g + alpha * y",
                    "In the first loop alpha y is subtracted."),
            Mistake("alpha = s @ g / (s @ y)", "alpha = s @ g / (y @ y)",
                    "Divide by s'y, in both loops: alpha = s'g / s'y."),
            Mistake("beta = y @ g / (s @ y)", "beta = y @ g / (y @ y)",
                    "Divide by s'y, in both loops: beta = y'g / s'y."),
            Mistake("alpha = s @ g / (s @ y)", "alpha = s @ g",
                    "Divide by s'y, in both loops: alpha = s'g / s'y."),
            Mistake("(s @ y) / (y @ y)", "(s @ s) / (y @ y)",
                    "The scale is s'y / y'y: yours has s's above."),
            Mistake("(s @ y) / (y @ y)", "1 / (y @ y)",
                    "The scale is s'y / y'y: the s'y is missing."),
            Mistake("    if pairs:\n"
                    "        s, y = pairs[-1]\n"
                    "        g = (s @ y) / (y @ y) * g\n",
                    "    for s, y in pairs:\n"
                    "        g = (s @ y) / (y @ y) * g\n",
                    "Scale once, by the newest pair: yours scales by each of them."))),
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
                    "The coordinates are those of z - mean: their columns have mean 0."),
            Mistake("np.linalg.svd(z - z.mean(axis=0), full_matrices=False)",
                    "np.linalg.svd((z - z.mean(axis=0)) / np.maximum(z.std(axis=0), 1e-12), "
                    "full_matrices=False)",
                    "Only the mean is subtracted: yours divides by the deviations too, which "
                    "changes the directions."),
            Mistake("z - z.mean(axis=0)", "z - z.mean()",
                    "Each coordinate has its own mean, over the rows: axis 0."),
            Mistake("z - z.mean(axis=0)", "z - z.mean(axis=1, keepdims=True)",
                    "The mean is that of the vectors, over the rows: axis 0, not 1."),
            Mistake("return coordinates[:, :n_components], share[:n_components]",
                    "rest = z.shape[1] - len(s)\n"
                    "    coordinates = np.pad(coordinates[:, ::-1], ((0, 0), (rest, 0)))\n"
                    "    return coordinates[:, :n_components], np.pad(share[::-1], (rest, "
                    "0))[:n_components]",
                    "The largest variance comes first: eigh gives ascending eigenvalues, so "
                    "reverse them."),
            Mistake("share[:n_components]", "share[:n_components].cumsum()",
                    "The share of each direction alone: yours adds up those before."),
            Mistake("np.sign(Vh[np.arange(len(Vh)), largest])",
                    "-np.sign(Vh[np.arange(len(Vh)), largest])",
                    "The entry of largest magnitude is positive: yours is negative."),
            Mistake("coordinates = U * (sign * s)", "coordinates = U * (sign * s ** 2)",
                    "Coordinates are U s: yours are U s^2."),
            Mistake("np.sign(Vh[np.arange(len(Vh)), largest])", "np.sign(Vh.sum(axis=1))",
                    "The sign is that of the entry of largest magnitude, not of the sum."),
            Mistake("share[:n_components]", "variance[:n_components]",
                    "The share is a fraction: divide by the whole variance."),
            Mistake("share[:n_components]", "variance[:n_components] / max(len(z) - 1, 1)",
                    "The share is a fraction: divide by the whole variance."))),
))
