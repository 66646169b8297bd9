"""Weight sharing (10.2.2): a few values for all weights of a layer."""
from tinyml.exercises.exercise import Chapter, Exercise, Mistake, laws_of

CHAPTER = Chapter("sharing", "10.2.2 Weight sharing: k-means on the line", (
    Exercise(
        name="initial_centroids",
        target="tinyml.compression.codebooks:initial_centroids",
        level=1, minutes=10,
        task="Place k centroids before k-means starts, by three rules",
        tests=laws_of(
            "codebooks",
            "test_the_three_starts_lie_among_the_values",
            "test_random_starts_are_any_of_the_values_by_the_rng_alone",
            "test_a_start_that_there_is_not_is_refused"),
        hints=("NumPy has one function for equally spaced numbers and one for quantiles; the rng "
               "has one for drawing.",
               "linear: np.linspace from the smallest to the largest. density: the quantiles (j "
               "+ 1/2) / k. random: k of the values without replacement, sorted.",
               "np.linspace(values.min(), values.max(), k); np.quantile(values, (np.arange(k) + "
               "...) / k); np.sort(rng.choice(values.ravel(), k, replace=...))"),
        also=('With "random", more centroids than values raise ValueError.',),
        mistakes=(
            Mistake("np.linspace(values.min(), values.max(), k)",
                    "np.linspace(values.min(), values.max(), k, endpoint=False)",
                    "The last centroid lies at the largest value: the largest weights "
                    "matter most."),
            Mistake("np.sort(rng.choice(values.ravel(), k, replace=False))", "np.sort(values[:k])",
                    "The first k values are not random: draw them, with rng."),
            Mistake("np.sort(rng.choice(", "np.sort(np.random.default_rng(0).choice(",
                    "Draw with the rng that you are given: one of your own draws the same "
                    "values every time."),
            Mistake("(np.arange(k) + 0.5) / k", "np.linspace(0, 1, k)",
                    "Quantiles from 0 to 1 give the two outer centroids half as many "
                    "values: take (j + 1/2) / k."),
            Mistake("(np.arange(k) + 0.5) / k", "np.arange(k) / k",
                    "Take the middle of each share, (j + 1/2) / k: yours lean towards the small "
                    "values."),
            Mistake("replace=False", "replace=True",
                    "Each value is drawn once at most: without replacement."),
            Mistake("np.sort(rng.choice(values.ravel(), k, replace=False))",
                    "rng.choice(values.ravel(), k, replace=False)",
                    "Centroids come in increasing order: sort what was drawn."),
            Mistake("np.linspace(values.min(), values.max(), k)",
                    "np.linspace(-np.abs(values).max(), np.abs(values).max(), k)",
                    "From the smallest to the largest value, not symmetric around 0."),
            Mistake("(np.arange(k) + 0.5) / k", "(np.arange(k) + 1) / (k + 1)",
                    "Equally many values for each centroid: the quantiles are (j + 1/2) / k."),
            Mistake("np.linspace(values.min(), values.max(), k)",
                    "np.linspace(values.min(), values.max(), k + 2)[1:-1]",
                    "The linear rule includes both ends, the smallest and the largest value."),
            Mistake("rng.choice(values.ravel(), k, replace=False)",
                    "rng.uniform(values.min(), values.max(), k)",
                    "The random rule draws k of the values themselves."),
            Mistake("np.quantile(values, (np.arange(k) + 0.5) / k)",
                    "np.sort(values, axis=None)[((np.arange(k) + 0.5) / k * "
                    "values.size).astype(int)]",
                    "A quantile between two values is interpolated: np.quantile does it."),
            Mistake("np.linspace(values.min(), values.max(), k)",
                    "values.min() + (values.max() - values.min()) * (np.arange(k) + 0.5) / k",
                    "The linear rule includes both ends, the smallest and the largest value: "
                    "yours are the middles of k parts."),
            Mistake('    if init == "linear":\n',
                    "    values = np.unique(values)\n"
                    '    if init == "linear":\n',
                    "Equal values count as often as they occur: keep them all."),
            Mistake("(np.arange(k) + 0.5) / k", "(np.arange(k) + 1) / k",
                    "Take the middle of each share, (j + 1/2) / k: yours lean towards the "
                    "largest."))),
    Exercise(
        name="assign",
        target="tinyml.compression.codebooks:assign",
        level=2, minutes=15,
        after=("initial_centroids",),
        task="Find the nearest centroid of every value; of two at the same distance, the "
             "smaller",
        tests=laws_of(
            "codebooks",
            "test_the_code_is_the_nearest_centroid_and_of_two_the_smaller"),
        hints=("Between sorted centroids the borders are the midpoints. Between which borders "
               "does a value lie?",
               "borders (k - 1,) = (c_j + c_(j+1)) / 2; np.searchsorted(borders, values) counts "
               "the borders below a value.",
               "borders = (centroids[:-1] + centroids[1:]) / 2; return np.searchsorted(...), "
               "whose side decides about ties"),
        mistakes=(
            Mistake("np.searchsorted(borders, values)",
                    'np.searchsorted(borders, values, side="right")',
                    "On a midpoint the smaller centroid wins: the side is left."),
            Mistake("(centroids[:-1] + centroids[1:]) / 2", "centroids[1:]",
                    "The borders are the midpoints between centroids, not the centroids."),
            Mistake("np.searchsorted(borders, values)",
                    "centroids[np.searchsorted(borders, values)]",
                    "Return the codes j, not the centroids c_j."),
            Mistake("(centroids[:-1] + centroids[1:]) / 2", "(centroids[1:] - centroids[:-1]) / 2",
                    "A midpoint is half the sum of two neighbours, not half the difference."),
            Mistake("np.searchsorted(borders, values)", "np.searchsorted(borders, values) + 1",
                    "Codes begin at 0: the number of borders below a value is its code."),
            Mistake("np.searchsorted(borders, values)", "np.searchsorted(borders, values.ravel())",
                    "The codes have the shape of the values, whatever it is."),
            Mistake("np.searchsorted(borders, values)", "np.searchsorted(centroids, values)",
                    "This finds the next centroid above; the nearest changes at the "
                    "midpoints."),
            Mistake("np.searchsorted(borders, values)", "np.searchsorted(borders, np.abs(values))",
                    "Signs matter: compare the values themselves, not their magnitudes."),
            Mistake("np.searchsorted(borders, values)",
                    "np.searchsorted(borders, values).astype(float)",
                    "Codes are integers."),
            Mistake("np.searchsorted(borders, values)",
                    'np.clip(np.searchsorted(centroids, values, side="right") - 1, 0, '
                    "len(centroids) - 1)",
                    "This finds the next centroid below; the nearest changes at the midpoints."),
            Mistake("np.searchsorted(borders, values)",
                    "(values[..., None] - centroids).argmin(axis=-1)",
                    "The distance is |w - c|: without the absolute value the largest "
                    "centroid is always the nearest."),
            Mistake("np.searchsorted(borders, values)",
                    "np.abs(values[..., None] - centroids).argmax(axis=-1)",
                    "The nearest centroid is wanted, not the farthest: argmin."))),
    Exercise(
        name="kmeans",
        target="tinyml.compression.codebooks:kmeans",
        level=3, minutes=30,
        after=("assign",),
        task="Alternate the two steps of Lloyd until no code changes, and keep the errors",
        tests=laws_of(
            "codebooks",
            "test_lloyd_never_raises_the_error_and_ends_at_a_fixed_point",
            "test_it_ends_after_the_first_move_that_changes_no_code",
            "test_two_groups_end_where_no_single_border_is_better_nearby_and_one_group_at_"
            "the_mean",
            "test_a_centroid_without_values_stays_where_it_is",
            "test_between_two_centroids_a_value_moves_the_smaller",
            "test_the_number_of_moves_is_bounded_and_the_last_error_is_that_of_the_centroids"),
        hints=("Assign codes, note the error, stop if no code changed, otherwise move each "
               "centroid to the mean of its values.",
               "assign(values, centroids) gives the codes, means(values, codes, centroids) the "
               "next centroids. errors has the sum of squares before each move and at the end: "
               "one more than there were moves.",
               "values = values.ravel(); for move in range(max_iter + 1): codes = ...; "
               "errors.append(float(...)); if move == max_iter or the codes are the previous ones: "
               "break; centroids = ...; previous_codes = codes; after the loop return centroids, "
               "errors"),
        mistakes=(
            Mistake("means(values, codes, centroids)\n",
                    "np.bincount(codes, weights=values, minlength=k) / "
                    "np.maximum(np.bincount(codes, minlength=k), 1)\n"
                    "        centroids = np.sort(centroids)\n",
                    "A centroid without values stays where it is; yours jumps to 0."),
            Mistake("np.sum((values - centroids[codes]) ** 2)",
                    "np.mean((values - centroids[codes]) ** 2)",
                    "The error is the sum of squares, not their mean."),
            Mistake("if move == max_iter or np.array_equal(codes, previous_codes):", "if move == 1:",
                    "One move is not the end: go on until no code changes."),
            Mistake("if move == max_iter or np.array_equal(codes, previous_codes):",
                    "if move == max_iter:",
                    "It ends after the first move that changes no code; yours goes on to "
                    "max_iter."),
            Mistake("errors.append(", "move and errors.append(",
                    "errors begins with the error of the first centroids, before any move."),
            Mistake("np.array_equal(codes, previous_codes):\n",
                    "np.array_equal(codes, previous_codes):\n"
                    "            errors.pop()\n",
                    "errors ends with the error of the last centroids: append it before you "
                    "stop."),
            Mistake("range(max_iter + 1)", "range(max_iter)",
                    "The error is measured once more after the last move: errors has one entry "
                    "more than there were moves."),
            Mistake("means(values, codes, centroids)",
                    "(centroids + means(values, codes, centroids)) / 2",
                    "A centroid moves all the way to the mean of its values, not half the "
                    "way."),
            Mistake("means(values, codes, centroids)\n",
                    "np.bincount(codes, weights=values, minlength=k) / np.bincount(codes, "
                    "minlength=k)\n",
                    "A centroid without values has no mean, 0 / 0: it stays where it is."),
            Mistake("means(values, codes, centroids)\n",
                    "np.array([np.median(values[codes == j]) if (codes == j).any() else c for j, "
                    "c in enumerate(centroids)])\n",
                    "k-means moves each centroid to the mean of its values, not to the "
                    "median."),
            Mistake("        errors.append(float(np.sum((values - centroids[codes]) ** 2)))\n",
                    "        old = codes if previous_codes is None else previous_codes\n"
                    "        errors.append(float(np.sum((values - centroids[old]) ** 2)))\n",
                    "The error is that of the new codes: assign first, then measure."),
            Mistake("np.sum((values - centroids[codes]) ** 2)",
                    "np.sum(np.abs(values - centroids[codes]))",
                    "The error is the sum of squares."),
            Mistake("np.array_equal(codes, previous_codes):\n",
                    "np.array_equal(codes, previous_codes):\n"
                    "            if move != max_iter or np.array_equal(codes, previous_codes):\n"
                    "                errors.pop()\n",
                    "errors ends with the error of the last centroids: append it before you "
                    "stop."),
            Mistake("move == max_iter or np.array_equal(codes, previous_codes):",
                    "move == max_iter or len(errors) > 1 and np.isclose(errors[-1], "
                    "errors[-2], rtol=1e-12):",
                    "It ends as soon as no code changes: yours makes one more move, to see "
                    "that nothing changes."),
            Mistake("move == max_iter or", "move == max_iter - 1 or",
                    "max_iter counts the moves of the centroids, and yours makes one move less."),
            Mistake("    return centroids, errors", "    return centroids, errors[-1]",
                    "errors is the list of all sums of squares, not the last one."),
            Mistake("    return centroids, errors", "    return centroids[codes], errors",
                    "Return the centroids, not the value of each weight."),
            Mistake("    return centroids, errors", "    return codes, errors",
                    "Return the centroids, not the codes."),
            Mistake("initial_centroids(values, k, init=init, rng=rng)",
                    "initial_centroids(values, k)",
                    "init and rng belong to initial_centroids: pass them on."))),
    Exercise(
        name="lookup",
        target="tinyml.compression.weight_sharing:lookup",
        level=2, minutes=15,
        after=("assign",),
        task="Look up the weight of every code, and sum the gradients of each shared value",
        tests=laws_of(
            "weight_sharing",
            "test_gradients_are_summed_per_cluster"),
        hints=("One parameter in many places: its gradient is the sum over all of them. A "
               "histogram sums.",
               "The value is (0, codebook)[codes]. The gradient is np.bincount of the flat "
               "codes, weighted with the flat g, of length k + 1. Drop its first entry, and cast "
               "to the dtype of g.",
               "with_zero = np.append(codebook.dtype.type(0), codebook); return "
               "with_zero[codes], (lambda g: np.bincount(codes.ravel(), weights=..., "
               "minlength=...)[1:].astype(g.dtype),)"),
        mistakes=(
            Mistake(", minlength=len(with_zero))", ")",
                    "A shared value that no weight uses has the gradient 0, and must not be "
                    "missing: minlength."),
            Mistake("sums[1:]", "sums[:-1]",
                    "Code 0 is that of the zeros and has no centroid: leave out the first "
                    "sum, not the last."),
            Mistake("sums = np.bincount(codes.ravel(), weights=g.ravel(), "
                    "minlength=len(with_zero))\n"
                    "        return sums[1:].astype(g.dtype)",
                    "out = np.zeros(len(with_zero), g.dtype)\n"
                    "        out[codes] = g\n"
                    "        return out[1:]",
                    "An assignment with repeated indices keeps the last one only: the "
                    "gradients are to be summed."),
            Mistake("weights=g.ravel(), ", "",
                    "You count the places of each code: weight each place with its gradient."),
            Mistake("sums = np.bincount(codes.ravel(), weights=g.ravel(), "
                    "minlength=len(with_zero))\n"
                    "        return sums[1:].astype(g.dtype)",
                    "sums = np.bincount(codes.ravel(), weights=g.ravel(), "
                    "minlength=len(with_zero))[1:]\n"
                    "        return sums / np.maximum(np.bincount(codes.ravel(), "
                    "minlength=len(with_zero))[1:], 1)",
                    "The gradient of a shared value is the sum over its places, not the "
                    "mean."),
            Mistake("return with_zero[codes],", "return codebook[codes - np.uint8(1)],",
                    "Code 0 stands for 0: put a zero in front of the codebook."),
            Mistake("np.append(codebook.dtype.type(0), codebook)",
                    "np.append(np.zeros(1), codebook)",
                    "A zero of float64 makes all weights float64: give it the dtype of the "
                    "codebook."),
            Mistake("sums[1:].astype(g.dtype)", "sums[1:]",
                    "float32 must stay float32: cast the sums to g.dtype."),
            Mistake("with_zero = np.append(codebook.dtype.type(0), codebook)",
                    "with_zero = np.append(codebook, codebook.dtype.type(0))",
                    "Code 0 stands for 0, and code j for codebook[j - 1]: the zero comes first."),
            Mistake("return sums[1:].astype(g.dtype)",
                    "return (sums / np.maximum(np.bincount(codes.ravel(), "
                    "minlength=len(with_zero)), 1))[1:].astype(g.dtype)",
                    "The gradient of a shared value is the sum over its places, not the mean."),
            Mistake("return with_zero[codes],",
                    "return codebook[np.minimum(codes, len(codebook) - 1)],",
                    "Code 0 stands for 0, and code j for codebook[j - 1]: put a zero in "
                    "front of the codebook."),
            Mistake("return sums[1:].astype(g.dtype)", "return sums.astype(g.dtype)",
                    "The gradient has the shape of the codebook: leave out the sum of code 0."),
            Mistake("(d_codebook,)", "d_codebook",
                    "The vjps are a tuple, with one function for each argument: "
                    "(d_codebook,), with a comma."))),
))
