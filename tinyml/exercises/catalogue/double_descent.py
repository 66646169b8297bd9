"""Lesson 10.1.1, double descent: the two parts of the risk, and models of any width."""
from tinyml.exercises.exercise import Chapter, Exercise, Mistake, laws_of

CHAPTER = Chapter("double_descent", "10.1.1 Double descent: bias and variance, waves, trees", (
    Exercise(
        name="bias_variance",
        target="tinyml.interpolation.bias_variance:bias_variance",
        level=1, minutes=10,
        task="Split the mean squared error of R predictors into bias^2 and variance, exactly",
        tests=laws_of(
            "bias_variance",
            "test_the_mean_squared_error_is_bias2_plus_variance_exactly",
            "test_far_from_zero_both_parts_keep_their_digits",
            "test_the_estimates_are_off_by_a_share_of_one_in_R",
            "test_outputs_are_summed_and_points_averaged",
            "test_the_variance_does_not_know_the_truth_and_a_perfect_crowd_has_no_bias",
            "test_any_real_dtype_is_welcome_and_inputs_are_kept"),
        hints=("First compute the mean prediction at each point, over the R training sets.",
               "mean = predictions.mean(axis=0). Both parts sum squares, over the outputs too. "
               "bias^2 is divided by the n_test points, the variance by the R n_test "
               "predictions.",
               "bias2 = np.sum((mean - target) ** 2) / n_test; the variance likewise, of "
               "predictions - mean and with R in the divisor; return BiasVariance(float(bias2), "
               "float(variance))"),
        also=("Predictions far from 0 must keep their digits: square differences, do not "
              "subtract squares.",),
        mistakes=(
            Mistake("predictions.mean(axis=0)", "predictions.mean(axis=1, keepdims=True)",
                    "The mean at each point is over the training sets, axis 0; yours is "
                    "over the points."),
            Mistake("(R * n_test)", "(max(R - 1, 1) * n_test)",
                    "Divide by R, not R - 1: then bias^2 + variance is the mean squared "
                    "error exactly."),
            Mistake("(R * n_test)", "n_test",
                    "The variance is a mean over the R predictions too: divide by R."),
            Mistake("np.sum((mean - target) ** 2) / n_test", "np.mean((mean - target) ** 2)",
                    "Several outputs are summed and points are averaged: divide by n_test "
                    "only."),
            Mistake("np.sum((mean - target) ** 2) / n_test",
                    "np.sum((mean - target).mean(axis=0) ** 2)",
                    "Square first, then average over the points: errors of opposite sign "
                    "must not cancel."),
            Mistake("np.sum((predictions - mean) ** 2)", "np.sum(predictions ** 2 - mean ** 2)",
                    "The mean square minus the square of the mean loses all digits where "
                    "both are large: square the distances from the mean."),
            Mistake("(predictions - mean)", "(predictions - target)",
                    "The variance is the squared distance from the mean prediction: the squared "
                    "distance from the target is the whole error."),
            Mistake("np.sum((mean - target) ** 2) / n_test",
                    "np.sum((predictions - target) ** 2) / (R * n_test)",
                    "This is the whole error, bias^2 plus variance: compare the mean "
                    "prediction with the target."),
            Mistake("predictions.mean(axis=0)", "predictions.mean()",
                    "The mean is over the training sets, axis 0, at each point; yours is "
                    "over everything."),
            Mistake("BiasVariance(float(bias2), float(variance))",
                    "BiasVariance(float(variance), float(bias2))",
                    "The two results are exchanged: bias2 first."),
            Mistake("np.sum((mean - target) ** 2) / n_test",
                    "(np.sum(mean - target) / n_test) ** 2",
                    "Square first, then average over the points: errors of opposite sign "
                    "must not cancel."),
            Mistake("np.sum((predictions - mean) ** 2) / (R * n_test)",
                    "(np.sum((predictions - mean) ** 2) / (R * n_test)) ** 0.5",
                    "The variance is the mean of the squares, without a root."),
            Mistake("    bias2 = np.sum((mean - target) ** 2) / n_test                  # notes "
                    "10.1.1, squared bias\n"
                    "    variance = np.sum((predictions - mean) ** 2) / (R * n_test)    # notes "
                    "10.1.1, variance\n",
                    "    bias2 = np.mean((mean - target) ** 2)\n"
                    "    variance = np.mean((predictions - mean) ** 2)\n",
                    "The outputs of a predictor are summed, only the points are averaged; "
                    "np.mean averages over both."),
            Mistake("np.sum((predictions - mean) ** 2) / (R * n_test)", "predictions.var()",
                    "The variance at each point is about the mean prediction at that point, "
                    "then averaged over the points; yours counts the differences between "
                    "points too."),
            Mistake("np.sum((predictions - mean) ** 2) / (R * n_test)",
                    "np.sum(predictions.std(axis=0)) / n_test",
                    "The variance is the mean of the squares, without a root."),
            Mistake("BiasVariance(float(bias2), float(variance))",
                    "BiasVariance(((mean - target) ** 2).reshape(n_test, -1).sum(axis=1), "
                    "predictions.var(axis=0).reshape(n_test, -1).sum(axis=1))",
                    "Average over the points: both parts are numbers, not arrays with an "
                    "entry for each point."),
            Mistake("    bias2 = np.sum((mean - target) ** 2) / n_test                  # "
                    "notes 10.1.1, squared bias\n"
                    "    variance = np.sum((predictions - mean) ** 2) / (R * n_test)    # "
                    "notes 10.1.1, variance\n",
                    "    bias2 = np.sum((mean - target) ** 2)\n"
                    "    variance = np.sum((predictions - mean) ** 2) / R\n",
                    "Both parts are means over the points: divide by n_test."),
            Mistake("np.sum((mean - target) ** 2) / n_test", "np.sum((mean - target) ** 2)",
                    "The squared bias is a mean over the points: divide by n_test."),
            Mistake("np.sum((predictions - mean) ** 2) / (R * n_test)",
                    "np.sum((predictions - mean) ** 2) / R",
                    "The variance is a mean over the points too: divide by n_test as well as "
                    "by R."),
            Mistake("np.sum((mean - target) ** 2) / n_test",
                    "np.sum(np.abs(mean - target)) / n_test",
                    "The bias is squared at each point."),
            Mistake("np.sum((mean - target) ** 2) / n_test",
                    "np.sum((mean - target) ** 2) / n_test / R",
                    "The squared bias is that of the mean prediction: it is divided by "
                    "n_test, not by R."),
            Mistake("predictions.mean(axis=0)", "np.median(predictions, axis=0)",
                    "The prediction in the middle is the mean over the training sets, not "
                    "the median."),
            Mistake("np.sum((predictions - mean) ** 2) / (R * n_test)",
                    "(np.sum((predictions - target) ** 2) / (R * n_test) - bias2) * R / "
                    "max(R - 1, 1)",
                    "Divide by R, not R - 1: then bias^2 + variance is the mean squared "
                    "error exactly."))),
    Exercise(
        name="fourier_features",
        target="tinyml.interpolation.random_features:fourier_features",
        level=2, minutes=15,
        after=("bias_variance",),
        task="Compute N random Fourier features of each sample",
        tests=laws_of(
            "random_features",
            "test_every_feature_is_its_formula",
            "test_products_of_features_estimate_the_kernel",
            "test_the_first_waves_of_a_draw_are_a_model_of_their_own",
            "test_dtype_and_inputs_are_kept"),
        hints=("All scalar products of n samples with N frequencies are one matrix product.",
               "sqrt(2 / N) cos(X V + b), with X (n, d), V (d, N) and b (N,) added to every row.",
               "phi = np.cos(X @ frequencies + ...); return (2 / N) ** 0.5 * phi"),
        also=("float32 arguments give a float32 result: (2 / N) ** 0.5 is a Python number, "
              "which keeps the dtype. np.sqrt gives a float64, which does not.",),
        mistakes=(
            Mistake("(2 / N) ** 0.5", "(1 / N) ** 0.5",
                    "The mean of cos^2 is 1/2, so the factor is sqrt(2 / N): then the "
                    "squares of the features sum to about 1."),
            Mistake("(2 / N) ** 0.5", "(2 / N)",
                    "The factor is the root of 2 / N: a product of two features has it twice."),
            Mistake("(2 / N) ** 0.5", "(2 / max(len(frequencies), 1)) ** 0.5",
                    "N is the number of features; you divide by d, the number of inputs."),
            Mistake(" + phases)", ")",
                    "The phases b_k are missing: without them phi(x) . phi(z) does not "
                    "depend on x - z alone."),
            Mistake("np.cos(", "np.sin(",
                    "The feature is a cosine, not a sine."),
            Mistake("(2 / N) ** 0.5", "np.sqrt(2 / N)",
                    "np.sqrt gives a NumPy float64, which makes float32 a float64: write (2 "
                    "/ N) ** 0.5."),
            Mistake("(2 / N) ** 0.5", "2 ** 0.5",
                    "The products of N features are averaged: the factor is sqrt(2 / N)."),
            Mistake(" + phases)", " - phases)",
                    "The phases are added: cos(v . x + b)."),
            Mistake("N = len(phases)", "N = X.shape[1]",
                    "N is the number of features, one for each frequency, not the dimension "
                    "of x."),
            Mistake("np.cos(X @ frequencies + phases)",
                    "np.cos(2 * np.pi * (X @ frequencies) + phases)",
                    "The frequencies are angular already: no factor 2 pi."),
            Mistake("np.cos(X @ frequencies + phases)",
                    "(np.cos(X @ frequencies) + phases)",
                    "The phases belong inside the cosine: cos(v . x + b)."),
            Mistake("(2 / N) ** 0.5", "(2 / max(len(X), 1)) ** 0.5",
                    "N is the number of features, not that of the samples."),
            Mistake("    return (2 / N) ** 0.5 * np.cos(X @ frequencies + phases)",
                    "    z = X @ frequencies + phases\n"
                    "    return (1 / N) ** 0.5 * np.concatenate([np.cos(z), np.sin(z)], "
                    "axis=1)",
                    "There is one cosine for each frequency, with a phase in place of the "
                    "sine: N features."),
            Mistake("np.cos(X @ frequencies + phases)",
                    "np.exp(1j * (X @ frequencies + phases)).real ** 2",
                    "The feature is the cosine itself, not its square."),
            Mistake("    return (2 / N) ** 0.5 * np.cos(X @ frequencies + phases)",
                    "    return ((2 / N) ** 0.5 * np.cos(X @ frequencies + phases)).T",
                    "The samples are the rows: the shape is (n, N)."),
            Mistake("    return (2 / N) ** 0.5", "    return (2 * N) ** 0.5",
                    "Divide by N under the root: sqrt(2 / N)."),
            Mistake("(2 / N) ** 0.5", "2 ** 0.5 / N",
                    "The whole of 2 / N is under the root."),
            Mistake("X @ frequencies + phases", "(X + phases.mean()) @ frequencies",
                    "The phases are added after the product: v_j . x + b_j."))),
    Exercise(
        name="best_split",
        target="tinyml.interpolation.forest:best_split",
        level=3, minutes=40,
        after=("bias_variance",),
        examples=100,
        task="Find the cut of a tree's node that lowers the squared loss most, over all features "
             "and thresholds",
        tests=laws_of(
            "forest",
            "test_the_best_split_is_that_of_brute_force",
            "test_between_features_that_cut_alike_the_first_wins",
            "test_a_slightly_better_cut_wins",
            "test_a_tie_is_measured_by_the_loss_and_not_by_the_best_gain",
            "test_of_cuts_that_gain_alike_the_lowest_threshold_wins",
            "test_a_threshold_separates_any_two_values",
            "test_neighbouring_numbers_and_the_smallest_are_separated",
            "test_the_unit_of_the_targets_does_not_matter",
            "test_a_pattern_that_no_single_cut_improves_is_learned",
            "test_where_there_is_nothing_to_cut_there_is_no_split"),
        hints=("Sort the rows by a feature; then the left side of every cut is a prefix, and "
               "cumulative sums give the gains of all cuts at once.",
               "Centre the targets: then s_L of the cut after i + 1 rows is a cumulative sum, "
               "and the gain is n / (n_L n_R) ||s_L||^2. There is no cut between equal values. "
               "Gains at most TIE * loss below the largest one tie with it; the first of them "
               "wins. _between(low, high) gives the threshold.",
               'n < 2 or p == 0: None. order = X.T.argsort(axis=1, kind="stable"); x = '
               'np.take_along_axis(X.T, order, axis=1); Y = Y.reshape(n, -1), minus its mean; '
               'loss = np.sum(Y ** 2); s_left = Y[order[:, :-1]].cumsum(axis=1), shape (p, n - '
               '1, k); gain[x[:, :-1] == x[:, 1:]] = -np.inf; j, i = np.argwhere(gain >= '
               'gain.max() - TIE * loss)[0]; None if gain[j, i] < 0, else Split(int(j), '
               '_between(x[j, i], x[j, i + 1]), float(gain[j, i]))'),
        also=("_between(low, high) is the midpoint, or low if the midpoint rounds to high or "
              "underflows.",
              "_mean(Y) is exactly Y[0] if all rows of Y are equal."),
        mistakes=(
            Mistake("n / (n_left * (n - n_left)) * squared_norm",
                    "squared_norm",
                    "The factor n / (n_L n_R) is missing: ||s_L||^2 alone favours cuts into "
                    "equal halves."),
            Mistake("    Y = Y - _mean(Y)\n",
                    "",
                    "s_L sums y_i - mean: subtract the mean of the node's targets before "
                    "you sum."),
            Mistake("n / (n_left * (n - n_left))", "1 / n_left",
                    "Both sides gain, 1 / n_L + 1 / n_R = n / (n_L n_R); yours counts the "
                    "left side only."),
            Mistake("    gain[x[:, :-1] == x[:, 1:]] = -np.inf ", "   ",
                    "Rows with equal values cannot be cut apart: such cuts must be ruled "
                    "out."),
            Mistake("_between(x[j, i], x[j, i + 1])", "float(x[j, i])",
                    "The threshold lies midway between two neighbouring values."),
            Mistake("_between(x[j, i], x[j, i + 1])", "float((x[j, i] + x[j, i + 1]) / 2)",
                    "The middle of two neighbouring floats rounds to one of them, and a sum "
                    "may overflow: _between takes care of both."),
            Mistake("TIE * loss)", "TIE * np.maximum(gain.max(), 0))",
                    "The tolerance of a tie is a fraction of the node's loss, not of the best "
                    "gain, which may be far smaller."),
            Mistake("gain.max() - TIE * loss", "gain.max()",
                    "Gains that differ only by rounding tie: the first gain that is at most 1e-9 "
                    "times the loss below the largest wins."),
            Mistake("TIE * loss)", "TIE)",
                    "The tolerance of a tie must scale with the targets: 1e-9 times the loss, "
                    "not 1e-9."),
            Mistake("x = np.take_along_axis(X.T, order, axis=1)", "x = X.T",
                    "Neighbouring values are neighbours after sorting: put the values in "
                    "the same order as the targets."),
            Mistake("if gain[j, i] < 0:", "if gain[j, i] <= 0:",
                    "A cut whose gain is 0 is made too, as for XOR, where only the next cut "
                    "gains: return None only if all rows are equal."),
            Mistake("np.vecdot(s_left, s_left)", "np.sum(s_left, axis=2) ** 2",
                    "||s_L||^2 is the sum of the squares over the outputs, not the square "
                    "of their sum."),
            Mistake("gain.max() - TIE * loss)[0]", "gain.max() - TIE * loss)[-1]",
                    "Ties go to the first feature and the lowest threshold; yours go to the "
                    "last."),
            Mistake("gain = n / (n_left * (n - n_left)) *", "gain = 1 / (n_left * (n - n_left)) *",
                    "The factor n is missing: the gain is n / (n_L n_R) ||s_L||^2, a sum over "
                    "the rows and not a mean."),
            Mistake("Y[order[:, :-1]].cumsum(axis=1)", "Y[order[:, 1:]].cumsum(axis=1)",
                    "The rows on the left are the first ones: s_L sums from the start, "
                    "without the last row."),
            Mistake("_between(x[j, i], x[j, i + 1])", "float(x[j, i + 1])",
                    "The threshold lies midway between two neighbouring values."),
            Mistake("    if gain[j, i] < 0:", "    if gain[j, i] <= TIE * loss:",
                    "A cut whose gain is 0 is made too, as for XOR, where only the next cut "
                    "gains: return None only if all rows are equal."),
            Mistake("n_left = np.arange(1, n)", "n_left = np.maximum(np.arange(n - 1), 1)",
                    "Off by one: after the row that is i-th in the order, i + 1 rows are on "
                    "the left."),
            Mistake("np.vecdot(s_left, s_left)", "np.vecdot(s_left, s_left) ** 0.5",
                    "The gain has the square of the length of s_L."),
            Mistake("n / (n_left * (n - n_left)) * squared_norm",
                    "squared_norm / n_left ** 2",
                    "The gain is n / (n_L n_R) ||s_L||^2, not the squared mean of the left "
                    "side."),
            Mistake("    gain[x[:, :-1] == x[:, 1:]] = -np.inf ",
                    "    gain[x[:, :-1] == x[:, 1:]] = 0 ",
                    "A cut between equal values is no cut: rule it out with -inf, as the "
                    "best gain may be 0."),
            Mistake("    j, i = np.argwhere(gain >= gain.max() - TIE * loss)[0]",
                    "    i, j = np.argwhere(gain.T >= gain.max() - TIE * loss)[0]",
                    "Among equal gains the first feature wins, and only then the lowest "
                    "threshold."),
            Mistake("n / (n_left * (n - n_left)) * squared_norm",
                    "n / (n_left * (n - n_left)) * squared_norm / n",
                    "The factor n is missing: the gain is n / (n_L n_R) ||s_L||^2, a sum "
                    "over the rows and not a mean."),
            Mistake("n / (n_left * (n - n_left)) * squared_norm",
                    "(1 / n_left - 1 / (n - n_left)) * squared_norm",
                    "Both sides gain, 1 / n_L + 1 / n_R = n / (n_L n_R), with a plus."),
            Mistake("float(gain[j, i]))", "float(loss - gain[j, i]))",
                    "The gain is what the loss falls by, not the loss that is left."))),
    Exercise(
        name="tree_predict",
        target="tinyml.interpolation.forest:RegressionTree.predict",
        level=3, minutes=30,
        after=("best_split",),
        task="Walk all rows down a grown tree at once, to the mean target of the leaf that each "
             "falls into",
        tests=laws_of(
            "forest",
            "test_every_leaf_holds_the_mean_of_its_samples_at_every_budget",
            "test_a_full_tree_predicts_the_mean_of_equal_rows",
            "test_a_chain_of_cuts_is_walked_to_its_end",
            "test_neighbouring_numbers_and_the_smallest_are_separated",
            "test_small_and_empty_problems"),
        hints=("Keep the number of the node where each row is. In every round, the rows that are "
               "not in a leaf go down one level.",
               "A node is a leaf if left is 0. At node k a row x goes to left[k] if "
               "x[feature[k]] <= threshold[k], else to left[k] + 1. In a tree of b leaves the "
               "nodes from 2 b - 1 on do not exist yet: their parents are leaves.",
               "node = np.zeros(len(X), np.intp); rows = np.arange(len(X)); while rows.size: "
               "keep those with left[node[rows]] > 0; at = node[rows]; node[rows] = left[at] + "
               "(their value > their threshold); in the end self.value[node]"),
        also=("A row whose value is equal to the threshold goes left.",
              "The library calls _check_fitted, which refuses a tree without nodes; you need "
              "not.",),
        mistakes=(
            Mistake("> self.threshold[at]", ">= self.threshold[at]",
                    "A row at the threshold goes left: only larger values go right."),
            Mistake("X[rows, self.feature[at]] > self.threshold[at]",
                    "X[rows, self.feature[at]] <= self.threshold[at]",
                    "The children are swapped: larger values go to the right child, left + "
                    "1."),
            Mistake("while rows.size:", "if rows.size:",
                    "This walks one level only: go on until all rows are in leaves."),
            Mistake("self.feature[at]]", "self.feature[0]]",
                    "Every node has its own feature: take that of the node where the row is, not "
                    "the root's."),
            Mistake("self.threshold[at]", "self.threshold[0]",
                    "Every node has its own threshold: take that of the node where the row is, "
                    "not the root's."),
            Mistake("return self.value[node]", "return node",
                    "The prediction is the leaf's mean target, self.value, not its number."),
            Mistake("left = np.where(left < 2 * max_leaf_nodes - 1, left, 0)",
                    "left = np.where(left <= 2 * max_leaf_nodes - 1, left, 0)",
                    "A tree of b leaves has 2 b - 1 nodes, 0 to 2 b - 2: a child with the "
                    "number 2 b - 1 does not exist yet."),
            Mistake("left = np.where(left < 2 * max_leaf_nodes - 1, left, 0)",
                    "left = np.where(left < max_leaf_nodes, left, 0)",
                    "A tree of b leaves has 2 b - 1 nodes, inner ones included."),
            Mistake("left = np.where(left < 2 * max_leaf_nodes - 1, left, 0)", "left = self.left",
                    "You ignore max_leaf_nodes: nodes that were cut later are still leaves."),
            Mistake("        while rows.size:\n",
                    "        for _ in range(len(left) if max_leaf_nodes is None else "
                    "max_leaf_nodes - 1):\n"
                    "            left = self.left\n",
                    "You limit the number of steps down; max_leaf_nodes limits the number of "
                    "leaves, so the nodes from 2 b - 1 on do not exist yet."),
            Mistake("np.where(left < 2 * max_leaf_nodes - 1, left, 0)",
                    "np.where(np.arange(len(left)) < max_leaf_nodes - 1, left, 0)",
                    "Not the first b - 1 nodes are inner ones, but those whose children "
                    "exist: left < 2 b - 1."),
            Mistake("np.where(goes_right, left[at] + 1, left[at])",
                    "np.where(goes_right, 2 * at + 2, 2 * at + 1)",
                    "The nodes are numbered as they are made, not as in a heap: the children "
                    "of k are left[k] and left[k] + 1."),
            Mistake("np.where(goes_right, left[at] + 1, left[at])",
                    "np.where(goes_right, at + 1, left[at])",
                    "The right child of node k is left[k] + 1."),
            Mistake("        return self.value[node]",
                    "        return self.value[0] + 0 * self.value[node]",
                    "Each row gets the value of its own leaf, not that of the root."))),
))
