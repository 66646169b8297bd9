"""Lesson 10.1.2, theory: the risk of interpolation, exactly, in the limit, and given the data."""
from tinyml.exercises.exercise import Chapter, Exercise, Mistake, laws_of

CHAPTER = Chapter("risk", "10.1.2 The risk of interpolation: peak, limit, benign overfitting", (
    Exercise(
        name="min_norm_variance",
        target="tinyml.interpolation.double_descent:min_norm_variance",
        level=2, minutes=15,
        after=("min_norm",),
        hide=("_ratio",),
        examples=100,
        task="Compute the exact variance of X^+ y for Gaussian features, with its pole at p = n",
        tests=laws_of(
            "double_descent",
            "test_the_formulas_of_the_papers",
            "test_the_risk_is_infinite_next_to_the_threshold_and_only_there",
            "test_the_variance_of_an_array_is_that_of_its_entries",
            "test_without_samples_or_features_there_is_no_variance_next_to_the_threshold_either",
            "test_the_variance_is_the_same_for_x_and_its_transpose"),
        hints=("One formula covers both cases: which of n and p is in the numerator? Up to its "
               "sign, what is the denominator?",
               "sigma2 min(n, p) / (|n - p| - 1), infinite where that gap is not positive; but "
               "where the numerator is 0, the variance is 0. All arguments are arrays of one "
               "shape: choose with np.where, not with if.",
               "top = sigma2 * np.minimum(n, p); gap = np.abs(n - p) - 1; return np.where((gap "
               "> 0) | (top == 0), top / np.where(gap > 0, gap, 1), np.inf)[()] - the [()] "
               "turns an array without axes into a number."),
        also=("The arguments broadcast. For numbers the result is a float, for arrays an array.",),
        mistakes=(
            Mistake("np.abs(n - p) - 1)", "np.abs(n - p))",
                    "|n - p| is right only in the limit; the mean of an inverse Wishart "
                    "matrix has |n - p| - 1."),
            Mistake("np.minimum(n, p)", "p",
                    "The numerator is p for p < n only; for p > n it is n."),
            Mistake("np.minimum(n, p)", "n",
                    "The numerator is n for p > n only; for p < n it is p."),
            Mistake("np.where(is_finite, ratio, np.inf)[()]",
                    "np.where(is_positive, ratio, np.inf)[()] if top.any() else 0.0",
                    "Each entry of the arrays has its own case: use np.where, not if."),
            Mistake("np.inf)[()]", "np.inf)",
                    "For numbers the result is a number, not an array without axes: end with "
                    "[()]."),
            Mistake("np.minimum(n, p)", "np.maximum(n, p)",
                    "The numerator is the smaller of n and p: the rank of X."),
            Mistake("gap > 0\n",
                    "gap != 0\n",
                    "At p = n the gap |n - p| - 1 is -1, and a variance is not negative: it "
                    "is infinite there."),
            Mistake("is_positive | (top == 0)", "is_positive",
                    "Without noise, samples or features the variance is 0, even at p = n, and "
                    "not infinite."),
            Mistake("sigma2 * rank", "sigma2 ** 2 * rank",
                    "sigma2 is the variance already: do not square it."),
            Mistake("np.abs(n - p) - 1)", "np.abs(n - p) + 1)",
                    "The mean of an inverse Wishart matrix has |n - p| - 1, with a minus."),
            Mistake("    return _ratio(sigma2 * rank, np.abs(n - p) - 1)",
                    "    gap = np.abs(n - p) - 1\n"
                    "    return np.where((sigma2 == 0) & (gap == gap), 0.0, np.where(gap > "
                    "0, sigma2 * rank / np.where(gap > 0, gap, 1), np.inf))[()]",
                    "Without samples or features the variance is 0 too, even next to the "
                    "threshold."),
            Mistake("    return _ratio(sigma2 * rank, np.abs(n - p) - 1)",
                    "    gap = np.abs(n - p) - 1\n"
                    "    return np.where((rank == 0) & (sigma2 == sigma2), 0.0, np.where(gap "
                    "> 0, sigma2 * rank / np.where(gap > 0, gap, 1), np.inf))[()]",
                    "Without noise the variance is 0 too, even next to the threshold."),
            Mistake("    return _ratio(sigma2 * rank, np.abs(n - p) - 1)",
                    "    if sigma2 == 0 or rank == 0:\n"
                    "        return 0.0\n"
                    "    return _ratio(sigma2 * rank, np.abs(n - p) - 1)",
                    "Each entry of the arrays has its own case: use np.where, not if."),
            Mistake("    return np.where(is_finite, ratio, np.inf)[()]",
                    "    return np.where(is_finite, ratio, np.nan)[()]",
                    "Next to the threshold the variance is infinite, not undefined."),
            Mistake("np.abs(n - p) - 1)", "np.abs(n - p - 1))",
                    "The two sides have different denominators, n - p - 1 and p - n - 1: |n "
                    "- p| - 1."),
            Mistake("    return np.where(is_finite, ratio, np.inf)[()]",
                    "    return float(np.where(is_finite, ratio, np.inf))",
                    "For arrays the result is an array: float(...) is for numbers alone."),
            Mistake("rank = np.minimum(n, p)\n",
                    "rank = np.minimum(n, p) / np.maximum(n, 1)\n",
                    "The numerator is min(n, p), without a division by n."),
            Mistake("sigma2 * rank", "sigma2 ** 0.5 * rank",
                    "sigma2 is the variance: it enters as it is, without a root."))),
    Exercise(
        name="asymptotic_risk",
        target="tinyml.interpolation.double_descent:asymptotic_risk",
        level=2, minutes=10,
        after=("min_norm_variance",),
        task="Compute the limit of the risk of X^+ y for p / n -> gamma, on both sides of the "
             "threshold",
        tests=laws_of(
            "double_descent",
            "test_the_exact_risk_tends_to_the_asymptotic_one",
            "test_at_the_threshold_the_asymptotic_risk_is_infinite_unless_there_is_no_noise",
            "test_a_limit_of_an_array_is_that_of_its_entries[asymptotic_risk]",
            "test_the_minimum_is_where_it_is_said_to_be",
            "test_arrays_broadcast_and_numbers_stay_numbers"),
        hints=("Write bias and variance each as one formula that is right on both sides of "
               "gamma = 1.",
               "Bias: signal max(gamma - 1, 0) / gamma. Variance: sigma2 min(gamma, 1) / |gamma "
               "- 1|, where _ratio(top, gap) is top / gap, infinite for a gap of 0 unless top "
               "is 0.",
               "bias2 = signal * np.maximum(gamma - 1, 0) / gamma; return bias2 + _ratio(sigma2 "
               "* ..., np.abs(...))"),
        also=("The arguments broadcast. For numbers the result is a float, for arrays an array.",),
        mistakes=(
            Mistake("np.maximum(gamma - 1, 0)", "(gamma - 1)",
                    "For gamma < 1 there is no bias: 1 - 1 / gamma is negative there."),
            Mistake("np.minimum(gamma, 1)", "gamma",
                    "For gamma > 1 the variance is sigma2 / (gamma - 1), without gamma in the "
                    "numerator."),
            Mistake("np.minimum(gamma, 1)", "1",
                    "For gamma < 1 the variance is sigma2 gamma / (1 - gamma), with gamma in the "
                    "numerator."),
            Mistake("np.abs(gamma - 1)", "gamma - 1",
                    "For gamma < 1 the denominator is 1 - gamma: the distance from the "
                    "threshold, on either side."),
            Mistake("np.maximum(gamma - 1, 0) / gamma", "np.maximum(gamma - 1, 0)",
                    "The share that n samples cannot see is (p - n) / p = 1 - 1 / gamma: "
                    "divide by gamma."),
            Mistake("np.maximum(gamma - 1, 0) / gamma", "np.minimum(1, 1 / gamma)",
                    "1 / gamma = n / p is the share of beta that is seen; the bias is what "
                    "is not seen, 1 - 1 / gamma."),
            Mistake("sigma2 * np.minimum", "sigma2 ** 2 * np.minimum",
                    "sigma2 is the variance already: do not square it."),
            Mistake("return bias2 + variance", "return sigma2 + bias2 + variance",
                    "The excess risk leaves out the noise of new y: do not add sigma2."),
            Mistake("return bias2 + variance", "return variance",
                    "For gamma > 1 there is a bias too: add bias2."),
            Mistake("signal * np.maximum", "np.maximum",
                    "The bias is a share of the signal ||beta||^2: multiply by it."),
            Mistake("    bias2 = signal",
                    "    gamma = 1 / gamma\n"
                    "    bias2 = signal",
                    "gamma is p / n, features over samples: you use n / p."),
            Mistake("np.maximum(gamma - 1, 0) / gamma",
                    "np.maximum(gamma - 1, 0) / gamma + signal * np.maximum(1 - gamma, 0)",
                    "For gamma < 1 there is no bias: X sees all directions."),
            Mistake("np.maximum(gamma - 1, 0) / gamma", "(1 - gamma) * (gamma > 1)",
                    "The share that n samples cannot see is 1 - 1 / gamma = 1 - n / p, not 1 "
                    "- gamma."),
            Mistake("np.maximum(gamma - 1, 0) / gamma", "(gamma > 1) / gamma",
                    "1 / gamma = n / p is the share of beta that is seen; the bias is what "
                    "is not seen, 1 - 1 / gamma."),
            Mistake("signal * np.maximum", "signal ** 2 * np.maximum",
                    "signal is ||beta||^2 already: do not square it."),
            Mistake("    return bias2 + variance",
                    "    return np.where(gamma == 1, np.inf, bias2 + variance)[()]",
                    "At gamma = 1 the limit is infinite only if there is noise: without "
                    "noise it is 0."),
            Mistake("    return bias2 + variance",
                    "    return np.asarray(bias2 + variance)",
                    "For numbers the result is a number, not an array without axes: end with "
                    "[()]."),
            Mistake("    bias2 = signal",
                    "    if gamma == 1:\n"
                    "        return 0.0 if sigma2 == 0 else np.inf\n"
                    "    bias2 = signal",
                    "Each entry of the arrays has its own case: use np.where, not if."),
            Mistake("    return bias2 + variance",
                    "    return np.where(gamma == 1, 0.0, bias2 + variance)[()]",
                    "At gamma = 1 the limit is infinite if there is noise."),
            Mistake("    return bias2 + variance",
                    '    with np.errstate(all="ignore"):\n'
                    "        return bias2 + sigma2 * np.minimum(gamma, 1) / np.abs(gamma - 1)",
                    "At gamma = 1 without noise this is 0 / 0: the limit is 0 there."),
            Mistake("    return bias2 + variance", "    return np.maximum(bias2, variance)",
                    "Bias and variance add up."))),
    Exercise(
        name="optimal_ridge_risk",
        target="tinyml.interpolation.double_descent:optimal_ridge_risk",
        level=3, minutes=25,
        after=("asymptotic_risk", "ridge"),
        task="Compute the limit of the risk of ridge at its best penalty, also without noise",
        tests=laws_of(
            "double_descent",
            "test_optimal_ridge_has_no_peak",
            "test_a_limit_of_an_array_is_that_of_its_entries[optimal_ridge_risk]",
            "test_optimal_ridge_solves_the_marchenko_pastur_equation",
            "test_optimal_ridge_is_the_shortest_fit_where_there_is_no_noise"),
        hints=("Put lam* = sigma2 gamma / signal into the formula before you compute: what "
               "cancels?",
               "With m(lam*) = (root - b) / (2 gamma lam*) the risk sigma2 gamma m(lam*) is "
               "signal / (2 gamma) (root - b), which needs no division by the noise. Here b = "
               "1 - gamma + lam*, and root = sqrt(b^2 + 4 gamma lam*).",
               "lam = optimal_lam(gamma, signal=signal, sigma2=sigma2); b = ...; return signal "
               "/ (2 * gamma) * (np.sqrt(...) - b)"),
        also=("The arguments broadcast. For numbers the result is a float, for arrays an array.",),
        mistakes=(
            Mistake("b = 1 - gamma + lam", "b = 1 - gamma - lam",
                    "The sign: b = 1 - gamma + lam*."),
            Mistake("b = 1 - gamma + lam", "b = gamma - 1 + lam",
                    "The sign of gamma: b = 1 - gamma + lam*."),
            Mistake("4 * gamma * lam", "2 * gamma * lam",
                    "Under the root stands b^2 + 4 gamma lam."),
            Mistake("(root - b)", "(root + b)",
                    "Of the two roots of its quadratic equation, m is the positive one: (root - "
                    "b) / (2 gamma lam)."),
            Mistake("signal / (2 * gamma)", "sigma2 / (2 * lam)",
                    "Without noise this is 0 / 0: sigma2 / lam* is signal / gamma, so let "
                    "it cancel first."),
            Mistake("    b = 1 - gamma + lam",
                    "    if sigma2 == 0:\n"
                    "        return signal * max(0, 1 - 1 / gamma)\n"
                    "    b = 1 - gamma + lam",
                    "The arguments are arrays, and each entry has its own case: do not use if. "
                    "Written without a division by the noise, the formula gives the limit "
                    "without noise too."),
            Mistake("signal / (2 * gamma)", "signal / gamma",
                    "The 2 of 2 gamma lam is missing from the denominator."),
            Mistake("lam = optimal_lam(gamma, signal=signal, sigma2=sigma2)",
                    "lam = sigma2 / signal",
                    "The best penalty is sigma2 gamma / signal, as signal / p is the mean "
                    "square of a coefficient: gamma is missing."),
            Mistake("optimal_lam(gamma, signal=signal, sigma2=sigma2)",
                    "optimal_lam(gamma, signal=signal, sigma2=sigma2) ** 0.5",
                    "lam* itself enters the formula, not its root."),
            Mistake("np.sqrt(b ** 2 + 4 * gamma * lam)", "(b ** 2 + 4 * gamma * lam)",
                    "The root is missing: sqrt(b^2 + 4 gamma lam)."),
            Mistake("signal / (2 * gamma)", "sigma2 / (2 * gamma)",
                    "sigma2 / lam* is signal / gamma: the factor in front is signal / (2 "
                    "gamma)."),
            Mistake("4 * gamma * lam", "4 * lam",
                    "Under the root stands 4 gamma lam: gamma is missing."),
            Mistake("np.sqrt(b ** 2 + 4 * gamma * lam)",
                    "np.sqrt(np.abs(b ** 2 - 4 * gamma * lam))",
                    "Under the root stands b^2 + 4 gamma lam, with a plus."),
            Mistake("signal / (2 * gamma) *", "signal / 2 *",
                    "gamma is missing from the denominator of m: sigma2 / lam* is signal / "
                    "gamma."),
            Mistake("signal / (2 * gamma) * (root - b)",
                    "np.where(lam == 0, 0.0, sigma2 * gamma * (root - b) / np.where(lam == "
                    "0, 1, 2 * gamma * lam))[()]",
                    "Without noise the risk need not be 0: for gamma > 1 X does not see all "
                    "of beta. Write sigma2 / lam* as signal / gamma, and nothing is divided "
                    "by 0."),
            Mistake("signal / (2 * gamma) * (root - b)",
                    "((root - b) / np.where(lam == 0, 1, 2 * gamma * lam))[()]",
                    "This is m(lam*) alone: the risk is sigma2 gamma m(lam*)."),
            Mistake("b = 1 - gamma + lam", "b = 1 + gamma + lam",
                    "The sign of gamma: b = 1 - gamma + lam*."),
            Mistake("b = 1 - gamma + lam", "b = 1 - gamma",
                    "b contains the penalty: 1 - gamma + lam*."),
            Mistake("b = 1 - gamma + lam", "b = 1 - 1 / gamma + lam",
                    "b = 1 - gamma + lam*, with gamma = p / n and not n / p."),
            Mistake("    return signal / (2 * gamma) * (root - b)",
                    "    return sigma2 + signal / (2 * gamma) * (root - b)",
                    "The excess risk leaves out the noise of new y: do not add sigma2."),
            Mistake("optimal_lam(gamma, signal=signal, sigma2=sigma2)",
                    "optimal_lam(gamma, signal=signal, sigma2=sigma2) / gamma",
                    "The best penalty is sigma2 gamma / signal, as signal / p is the mean "
                    "square of a coefficient: gamma is missing."),
            Mistake("    return signal / (2 * gamma) * (root - b)",
                    "    return np.asarray(signal / (2 * gamma) * (root - b))",
                    "For numbers the result is a number, not an array without axes: end with "
                    "[()]."))),
    Exercise(
        name="filter_risk",
        target="tinyml.interpolation.early_stopping:filter_risk",
        level=2, minutes=20,
        after=("ridge", "descent_filter"),
        task="Compute the exact risk, given X, of any fit that multiplies the directions of X^+ "
             "y by a filter",
        tests=laws_of(
            "early_stopping",
            "test_the_risk_is_the_mean_over_the_noise",
            "test_for_descent_it_is_the_risk_of_the_epochs"),
        hints=("Three things add up: what the filter shrinks of beta, what X cannot see of it, "
               "and the noise.",
               "With _, s, Vh = svd(X): seen = Vh @ beta, (rank,), are the v_i'beta, and beta - "
               "Vh.T @ seen is what X cannot see. f may have leading axes: sum over its last "
               "one.",
               "shrunk = np.sum((1 - f) ** 2 * seen ** 2, axis=-1); bias2 = shrunk + the "
               "squared norm of the unseen part; variance = sigma2 * np.sum(..., axis=-1); "
               "return bias2 + variance"),
        mistakes=(
            Mistake(" + np.sum(unseen ** 2)", "",
                    "The part of beta that X cannot see is lost too: add its squared norm."),
            Mistake("np.sum(unseen ** 2)", "np.sum(beta ** 2)",
                    "Not all of beta is unseen: subtract what X sees of it, V V'beta."),
            Mistake("(1 - f) ** 2 * seen ** 2", "f ** 2 * seen ** 2",
                    "The bias is what the filter takes away, 1 - f; f is what it keeps."),
            Mistake("(1 - f) ** 2 * seen ** 2", "(1 - f) * seen ** 2",
                    "The bias is squared: (1 - f)^2 times (v_i'beta)^2."),
            Mistake("(f / s) ** 2", "f ** 2",
                    "The noise is divided by s_i, as U'y is: (f_i / s_i)^2."),
            Mistake("variance = sigma2 *", "variance = sigma2 ** 2 *",
                    "sigma2 is the variance already: do not square it."),
            Mistake("variance = sigma2 * np.sum((f / s) ** 2, axis=-1)",
                    "variance = sigma2 * np.sum((f / s) ** 2)",
                    "Each filter has a risk of its own: sum over the last axis only."),
            Mistake("(1 - f) ** 2 * seen ** 2", "(1 - f ** 2) * seen ** 2",
                    "Square the whole of what is taken away: (1 - f)^2."),
            Mistake("unseen = beta - Vh.T @ seen", "unseen = Vh.T @ seen",
                    "This is the part that X sees; the unseen part is beta minus it."),
            Mistake("np.sum(unseen ** 2)", "np.sum(unseen) ** 2",
                    "A squared length is the sum of the squares, not the square of the sum."),
            Mistake("variance = sigma2 *", "variance = sigma2 / len(X) *",
                    "Given X the noise is not averaged over the samples: no 1 / n."),
            Mistake("(f / s) ** 2", "f / s ** 2",
                    "The whole filter is squared: (f / s)^2."),
            Mistake("    bias2 = shrunk + np.sum(unseen ** 2)\n",
                    "    bias2 = shrunk + np.sum(unseen ** 2) ** 0.5\n",
                    "The unseen part adds its squared length, without a root."),
            Mistake("    shrunk = np.sum((1 - f) ** 2 * seen ** 2, axis=-1)\n",
                    "    shrunk = np.sum((1 - f) ** 2 * seen ** 2)\n",
                    "Each filter has a risk of its own: sum over the last axis only."),
            Mistake("    shrunk = np.sum((1 - f) ** 2 * seen ** 2, axis=-1)\n",
                    "    shrunk = np.sum((1 - f) * seen, axis=-1) ** 2\n",
                    "A squared length is the sum of the squares, not the square of the sum."),
            Mistake("(f / s) ** 2, axis=-1)", "f ** 2 / s, axis=-1)",
                    "The whole of f_i / s_i is squared."),
            Mistake("    return bias2 + variance", "    return bias2 + variance + sigma2",
                    "The excess risk leaves out the noise of new y: do not add sigma2."),
            Mistake("np.sum((f / s) ** 2, axis=-1)", "np.sum(f / s, axis=-1) ** 2",
                    "The variances of the directions add up: square before you sum."),
            Mistake("np.sum((f / s) ** 2, axis=-1)",
                    "np.sum((f / s) ** 2, axis=-1) / max(len(s), 1)",
                    "The variances of the directions are summed, not averaged."),
            Mistake("np.sum((f / s) ** 2, axis=-1)", "np.sum((f * s) ** 2, axis=-1)",
                    "The noise is divided by s_i, as U'y is: (f_i / s_i)^2."),
            Mistake("np.sum((f / s) ** 2, axis=-1)", "np.sum(((1 - f) / s) ** 2, axis=-1)",
                    "The noise passes the filter as the signal does: f_i / s_i."),
            Mistake("seen = Vh @ beta ", "seen = Vh.T @ beta ",
                    "svd gives V', called Vh: the v_i'beta are Vh @ beta."),
            Mistake("(1 - f) ** 2 * seen ** 2", "(1 - f) ** 2 * seen",
                    "The bias is squared: (1 - f)^2 times (v_i'beta)^2."),
            Mistake("    return bias2 + variance", "    return bias2",
                    "The variance is missing: the noise moves the fit too."))),
    Exercise(
        name="effective_ranks",
        target="tinyml.interpolation.benign:effective_ranks",
        level=2, minutes=15,
        after=("min_norm_variance",),
        task="Count the directions in every tail of a spectrum in two ways, r_k and R_k",
        tests=laws_of(
            "benign",
            "test_the_effective_ranks_are_those_of_the_definition",
            "test_equal_eigenvalues_count_fully",
            "test_the_scale_of_the_eigenvalues_does_not_matter",
            "test_without_features_there_are_no_ranks"),
        hints=("All tails of a spectrum at once: which NumPy function gives every partial sum "
               "of an array?",
               "A tail sum runs from k + 1 to the end: reverse the array, take np.cumsum, and "
               "reverse the result. You need the sums of the eigenvalues and those of their "
               "squares.",
               "tails = np.cumsum(eigenvalues[::-1])[::-1]; squares = the same of eigenvalues "
               "** 2; return tails / ..., tails ** 2 / ..."),
        mistakes=(
            Mistake("tails ** 2 / squares",
                    "tails * eigenvalues / squares",
                    "The numerator of R_k is the square of the sum: (sum lambda_i)^2."),
            Mistake("tails ** 2 / squares", "tails / squares",
                    "The numerator of R_k is the square of the sum: (sum lambda_i)^2."),
            Mistake("tails ** 2 / squares", "squares / tails ** 2",
                    "R_k is upside down: the squared sum is divided by the sum of the "
                    "squares."),
            Mistake("tails ** 2 / squares", "tails ** 2 / eigenvalues ** 2",
                    "R_k divides by the sum of all squares of the tail, not by the first of "
                    "them."),
            Mistake("tails / eigenvalues", "tails / eigenvalues[0]",
                    "r_k is measured in units of its own first eigenvalue, lambda_{k+1}."),
            Mistake("np.cumsum(eigenvalues[::-1])[::-1]", "np.cumsum(eigenvalues)",
                    "This sums the head, lambda_1 to lambda_{k+1}; the tail runs from k + 1 "
                    "to the end."),
            Mistake("np.cumsum(eigenvalues[::-1])[::-1]", "np.cumsum(eigenvalues[::-1])",
                    "The sums run from the end: reverse the result, so that r_0 comes first."),
            Mistake("np.cumsum(eigenvalues[::-1] ** 2)[::-1]", "tails ** 2",
                    "A sum of squares is not the square of the sum."),
            Mistake("tails = np.cumsum(eigenvalues[::-1])[::-1]\n",
                    "tails = np.cumsum(eigenvalues[::-1])[::-1] - eigenvalues\n",
                    "Off by one: the tail after k begins with lambda_{k+1} itself."),
            Mistake("tails / eigenvalues, tails ** 2 / squares",
                    "tails ** 2 / squares, tails / eigenvalues",
                    "The two results are exchanged: r first, then R."),
            Mistake("tails / eigenvalues, ",
                    "tails / np.append(eigenvalues[1:], eigenvalues[-1]), ",
                    "Off by one: r_k divides by lambda_{k+1}, the first eigenvalue of its "
                    "tail."),
            Mistake("tails ** 2 / squares", "tails[0] ** 2 / squares",
                    "The sum in the numerator is over the tail as well, not over all "
                    "eigenvalues."),
            Mistake("    return tails / eigenvalues, ",
                    "    return (tails - eigenvalues) / eigenvalues, ",
                    "Off by one: the tail after k begins with lambda_{k+1} itself."),
            Mistake("    return tails / eigenvalues, tails ** 2 / squares",
                    "    return tails[0] / eigenvalues[0], tails[0] ** 2 / squares[0]",
                    "These are r_0 and R_0 alone: return both ranks for every k, arrays of "
                    "length p."),
            Mistake("    return tails / eigenvalues, tails ** 2 / squares",
                    "    return np.stack([tails / eigenvalues, tails ** 2 / squares], axis=1)",
                    "The result is two arrays, r and R, not one matrix."),
            Mistake("    tails = np.cumsum(eigenvalues[::-1])[::-1]\n"
                    "    squares = np.cumsum(eigenvalues[::-1] ** 2)[::-1]\n",
                    "    tails = np.cumsum(eigenvalues)\n"
                    "    squares = np.cumsum(eigenvalues ** 2)\n",
                    "This sums the head, lambda_1 to lambda_{k+1}; the tail runs from k + 1 "
                    "to the end."),
            Mistake("    tails = np.cumsum(eigenvalues[::-1])[::-1]\n"
                    "    squares = np.cumsum(eigenvalues[::-1] ** 2)[::-1]\n",
                    "    eigenvalues = eigenvalues[::-1]\n"
                    "    tails = np.cumsum(eigenvalues)\n"
                    "    squares = np.cumsum(eigenvalues ** 2)\n",
                    "The sums run from the end: reverse the result, so that r_0 comes first."),
            Mistake("    tails = np.cumsum(eigenvalues[::-1])[::-1]\n"
                    "    squares = np.cumsum(eigenvalues[::-1] ** 2)[::-1]\n",
                    "    tails = eigenvalues.sum() - np.cumsum(eigenvalues) + eigenvalues\n"
                    "    squares = np.sum(eigenvalues ** 2) - np.cumsum(eigenvalues ** 2) + "
                    "eigenvalues ** 2\n",
                    "A total minus the head loses the digits of a small tail: sum the tail "
                    "itself, from its end."),
            Mistake("tails / eigenvalues, tails", "eigenvalues / tails, tails",
                    "r_k is upside down: the sum of the tail is divided by its first "
                    "eigenvalue."),
            Mistake("tails ** 2 / squares", "tails / squares ** 0.5",
                    "R_k is the square of this: (sum lambda_i)^2 / sum lambda_i^2."),
            Mistake("tails / eigenvalues, tails",
                    "tails / np.append(eigenvalues[0], eigenvalues[:-1]), tails",
                    "Off by one: r_k divides by lambda_{k+1}, the first eigenvalue of its "
                    "tail."))),
))
