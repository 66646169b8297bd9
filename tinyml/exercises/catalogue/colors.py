"""Few colours (10.2.3): k-means of vectors, and filters that see an image in one colour each."""
from tinyml.exercises.exercise import Chapter, Exercise, Mistake, laws_of

CHAPTER = Chapter("colors", "10.2.3 Monochromatic filters: each sees one of a few colours", (
    Exercise(
        name="kmeans_of_rows",
        target="tinyml.compression.clusters:kmeans_of_rows",
        level=2, minutes=15,
        after=("kmeans",),
        task="Run k-means on vectors, given k-means for any cost and any center",
        tests=laws_of(
            "clusters",
            "test_rows_have_the_nearest_mean_and_means_are_those_of_their_rows",
            "test_groups_far_apart_are_found",
            "test_more_starts_are_no_worse_and_equal_rows_share_a_group"),
        hints=("kmeans_of(n, k, cost=..., center=..., rng=rng, n_starts=n_starts) does the two "
               "steps. It asks for two functions: what does each row cost at a center, and which "
               "center is the best for a group?",
               "cost(c) has one number for each row, ||x_i - c||^2; center(group) is the mean of "
               "the rows where group is True.",
               "def cost(c): return ((X - c) ** 2).sum(axis=1); def center(group): return "
               "X[group]....; codes, centers = kmeans_of(len(X), k, cost=cost, center=center, "
               "rng=rng, n_starts=n_starts); return codes, np.array(...)"),
        also=("Pass rng and n_starts on to kmeans_of, and draw nothing from rng yourself.",),
        mistakes=(
            Mistake("((X - c) ** 2).sum(axis=1)", "np.abs(X - c).sum(axis=1)",
                    "The mean is best for squared distances; yours are sums of absolute values."),
            Mistake("((X - c) ** 2).sum(axis=1)", "(X - c).sum(axis=1) ** 2",
                    "Square each difference, then add: differences of opposite sign cancel in "
                    "yours."),
            Mistake("((X - c) ** 2).sum(axis=1)", "((X - c) ** 2).max(axis=1)",
                    "The squared distance is the sum over all numbers of a row, not the largest."),
            Mistake("((X - c) ** 2).sum(axis=1)", "(X[:, 0] - c[0]) ** 2",
                    "Rows have more than one number, and all count."),
            Mistake("X[group].mean(axis=0)", "np.median(X[group], axis=0)",
                    "The sum of squared distances is least at the mean, not at the median."),
            Mistake("X[group].mean(axis=0)", "X[group][0]",
                    "The center is the mean of all rows of the group, not the first of them."),
            Mistake("X[group].mean(axis=0)", "X.mean(axis=0)",
                    "The center of a group is the mean of the rows of this group only."),
            Mistake("X[group].mean(axis=0)", "X[group].sum(axis=0) / len(X)",
                    "Divide by the number of rows in the group, not by the number of all rows."),
            Mistake("kmeans_of(len(X), k,", "kmeans_of(len(X), max(k - 1, 1),",
                    "Ask for k groups: you ask for one fewer."))),
    Exercise(
        name="color_cost",
        target="tinyml.compression.monochromatic:color_cost",
        level=2, minutes=15,
        task="Compute the squared error that a shared colour adds to each filter",
        tests=laws_of(
            "monochromatic",
            "test_the_cost_is_what_a_colour_adds_to_the_error_of_rank_one",
            "test_no_colour_is_better_than_the_best_one"),
        hints=("What does filter f keep in the colour u, and what is the most that any colour "
               "could keep of it?",
               "It keeps u' G_f u, and at most the largest eigenvalue of G_f. gram @ color has "
               "shape (F, C). np.linalg.eigvalsh takes a stack of matrices, and gives ascending "
               "eigenvalues.",
               "most = np.linalg.eigvalsh(gram)[:, -1]; kept = gram @ color @ ...; return "
               "np.maximum(most - ..., 0)"),
        also=("Rounding must not make a cost negative.",),
        mistakes=(
            Mistake("np.maximum(most - kept, 0)",
                    "np.maximum(kept, 0)",
                    "u' G u is what this colour keeps; the cost is how much more the best "
                    "colour would keep."),
            Mistake("np.linalg.eigvalsh(gram)[:, -1]", "np.trace(gram, axis1=1, axis2=2)",
                    "The trace is all of ||W_f||^2; but no single colour keeps more than the "
                    "largest eigenvalue."),
            Mistake("np.linalg.eigvalsh(gram)[:, -1]", "np.linalg.eigvalsh(gram)[:, -1] ** 2",
                    "The eigenvalues of G = W W' are the squares of singular values already."),
            Mistake("np.linalg.eigvalsh(gram)[:, -1]", "np.sqrt(np.linalg.eigvalsh(gram)[:, -1])",
                    "A squared error: the eigenvalue itself, not its root."),
            Mistake("np.linalg.eigvalsh(gram)[:, -1]", "np.linalg.eigvalsh(gram.sum(axis=0))[-1]",
                    "Each filter has its own best colour: take the eigenvalues of each G_f."),
            Mistake("np.linalg.eigvalsh(gram)[:, -1]", "gram.diagonal(axis1=1, axis2=2).max(axis=1)",
                    "The best colour need not be one of the channels: the largest entry of the "
                    "diagonal is less than the largest eigenvalue."),
            Mistake("gram @ color @ color", "(gram @ color).sum(axis=1)",
                    "u' G u has u on both sides."),
            Mistake("gram @ color @ color", "(gram @ color @ color) ** 2",
                    "u' G u is ||W_f' u||^2, a square already."),
            Mistake("gram @ color @ color", "np.diagonal(gram, axis1=1, axis2=2) @ color ** 2",
                    "The entries of G off its diagonal count too."),
            Mistake("most - kept", "kept - most",
                    "The cost is what the best colour would keep minus what this one keeps."),
            Mistake("np.maximum(most - kept, 0)", "np.sqrt(np.maximum(most - kept, 0))",
                    "The cost is a squared error, not its root."))),
    Exercise(
        name="best_color",
        target="tinyml.compression.monochromatic:best_color",
        level=2, minutes=10,
        after=("color_cost",),
        task="Find the colour with which some filters together lose least",
        tests=laws_of(
            "monochromatic",
            "test_no_colour_is_better_than_the_best_one",
            "test_a_colour_for_each_filter_leaves_the_error_of_rank_one"),
        hints=("The filters keep sum_f u' G_f u. For which u of length 1 is this largest?",
               "It is u' (sum_f G_f) u, largest at the eigenvector of the largest eigenvalue. "
               "np.linalg.eigh gives ascending eigenvalues, and eigenvectors as columns.",
               "_, eigenvectors = np.linalg.eigh(gram.sum(...)); return eigenvectors[:, ...]"),
        mistakes=(
            Mistake("return eigenvectors[:, -1]", "return eigenvectors[:, 0]",
                    "Eigenvalues come in ascending order: the first keeps least."),
            Mistake("return eigenvectors[:, -1]", "return eigenvectors[-1]",
                    "Eigenvectors are the columns of the matrix that eigh returns, not its rows."),
            Mistake("return eigenvectors[:, -1]", "return np.abs(eigenvectors[:, -1])",
                    "A colour may have weights of both signs: red minus green."),
            Mistake("return eigenvectors[:, -1]",
                    "return np.linalg.eigh(gram)[1][:, :, -1].mean(axis=0)",
                    "The mean of the filters' own colours is not of length 1, and their signs are "
                    "arbitrary."),
            Mistake("gram.sum(axis=0)", "gram[0]",
                    "All filters of the group count, not the first one only."),
            Mistake("gram.sum(axis=0)", "(gram ** 2).sum(axis=0)",
                    "What is kept is linear in G: add up the G_f as they are."),
            Mistake("gram.sum(axis=0)", "gram.max(axis=0)",
                    "The total is the sum over the filters, not the largest entry."),
            Mistake("gram.sum(axis=0)",
                    "(gram / np.trace(gram, axis1=1, axis2=2)[:, None, None]).sum(axis=0)",
                    "A filter with large weights loses more: do not scale each G_f to the same "
                    "size."),
            Mistake("return eigenvectors[:, -1]",
                    "return np.eye(len(eigenvectors))[gram.sum(axis=0).diagonal().argmax()]",
                    "The best colour is a mixture of the channels, not the strongest channel."))),
    Exercise(
        name="gray_filters",
        target="tinyml.compression.monochromatic:gray_filters",
        level=1, minutes=5,
        task="Find the filters without colour that are nearest to given filters in given colours",
        tests=laws_of(
            "monochromatic",
            "test_no_other_gray_filter_is_nearer_in_a_colour",
            "test_two_layers_compute_the_filters_of_few_colours"),
        hints=("W_f is nearest to u v' for the projection v = W_f' u. Which axis is added up?",
               "v_f[i, j] = sum_c u_f[c] W[f, c, i, j]: np.einsum, or a broadcast and a sum over "
               "the channels.",
               'np.einsum("fc,fcij->...", colors, filters)'),
        mistakes=(
            Mistake('np.einsum("fc,fcij->fij", colors, filters)', "filters.mean(axis=1)",
                    "The mean of the channels does not use the colour: weight them with u_f."),
            Mistake('np.einsum("fc,fcij->fij", colors, filters)', "filters.sum(axis=1)",
                    "Each channel has its weight u_f[c] in the sum."),
            Mistake('np.einsum("fc,fcij->fij", colors, filters)',
                    'np.einsum("fc,fcij->fij", np.abs(colors), filters)',
                    "Colours have signs, and these count."),
            Mistake('np.einsum("fc,fcij->fij", colors, filters)',
                    'np.einsum("fc,fcij->fij", colors ** 2, filters)',
                    "The projection is linear in u: u_f[c], not its square."),
            Mistake('np.einsum("fc,fcij->fij", colors, filters)',
                    'np.einsum("fc,fcij->fij", colors, filters) / colors.shape[1]',
                    "A sum over the channels, not a mean: ||u_f|| is 1 already."),
            Mistake('np.einsum("fc,fcij->fij", colors, filters)',
                    'np.einsum("gc,fcij->fij", colors, filters)',
                    "Filter f has its own colour u_f: yours adds up the colours of all filters."),
            Mistake('np.einsum("fc,fcij->fij", colors, filters)',
                    'np.einsum("c,fcij->fij", colors[0], filters)',
                    "Each filter has a colour of its own, not that of the first one."),
            Mistake('np.einsum("fc,fcij->fij", colors, filters)',
                    "filters[np.arange(len(filters)), np.abs(colors).argmax(axis=1)]",
                    "All channels count, not only the strongest one of the colour."),
            Mistake('np.einsum("fc,fcij->fij", colors, filters)',
                    '-np.einsum("fc,fcij->fij", colors, filters)',
                    "The sign: u_f times your filter is near -W_f, not near W_f."))),
))
