"""Lesson 10.1.2, least squares: the shortest fit, ridge, and how gradient descent gets there."""
from tinyml.exercises.exercise import Chapter, Exercise, Mistake, laws_of

CHAPTER = Chapter("min_norm", "10.1.2 Least squares: the shortest fit, ridge, gradient descent", (
    Exercise(
        name="min_norm",
        target="tinyml.interpolation.min_norm:min_norm",
        level=2, minutes=10,
        after=("mul",),
        task="Compute the shortest of all least-squares fits, X^+ y, for an X of any shape and "
             "rank",
        tests=laws_of(
            "min_norm",
            "test_the_three_regimes_and_the_pseudoinverse_agree",
            "test_the_residual_is_orthogonal_to_every_column[min_norm]",
            "test_any_other_minimiser_is_longer_by_pythagoras[min_norm]",
            "test_many_problems_at_once_are_the_problems_one_by_one",
            "test_without_samples_features_or_values_the_fit_is_zero",
            "test_the_dtype_of_the_data_is_that_of_the_result"),
        hints=("Which directions of beta change X beta? In the basis of the singular vectors of "
               "X, each of them is a problem in one unknown.",
               "With U, s, Vh = svd(X), of shapes (n, rank), (rank,), (rank, p) and without "
               "zeros in s: X^+ = V diag(1 / s) U', and V is Vh.T.",
               "return (Vh.T / s) @ (...), where ... is U'y, of shape (rank,) or (rank, k)."),
        mistakes=(
            Mistake("(Vh.T / s)", "(Vh.T * s)",
                    "X^+ undoes X, so it divides by the singular values; you multiply by "
                    "them."),
            Mistake("(Vh.T / s)", "Vh.T",
                    "The singular values are missing: divide coordinate i by s_i."),
            Mistake("(Vh.T / s)", "(Vh.T / s ** 2)",
                    "1 / s^2 belongs to (X'X)^-1; X^+ = (X'X)^-1 X' keeps a factor s, which "
                    "leaves 1 / s."),
            Mistake("= svd(X)", "= np.linalg.svd(X, full_matrices=False)",
                    "np.linalg.svd keeps the singular values that are zero up to rounding, "
                    "and you divide by them: use svd of this module."),
            Mistake("(Vh.T / s) @ (U.T @ y)", "Vh.T @ (U.T @ y) / s",
                    "s has one entry per direction, not per feature: divide the coordinates "
                    "U'y before V turns them into beta."),
            Mistake("    U, s, Vh = svd(X)\n"
                    "    # V diag(1 / s): column i of V is divided by s_i\n"
                    "    return (Vh.T / s) @ (U.T @ y)",
                    "    return np.linalg.solve(X.T @ X, X.T @ y)",
                    "X'X has an inverse only if the columns of X are independent, and XX' only "
                    "if its rows are: use the singular values, which work for every X."),
            Mistake("    U, s, Vh = svd(X)\n"
                    "    # V diag(1 / s): column i of V is divided by s_i\n"
                    "    return (Vh.T / s) @ (U.T @ y)",
                    "    return np.linalg.inv(X.T @ X) @ (X.T @ y)",
                    "X'X has no inverse if p > n or if columns depend on each other: use "
                    "the singular value decomposition."),
            Mistake("    U, s, Vh = svd(X)\n"
                    "    # V diag(1 / s): column i of V is divided by s_i\n"
                    "    return (Vh.T / s) @ (U.T @ y)",
                    "    return np.linalg.solve(X.T @ X + 1e-6 * np.eye(X.shape[1]), X.T @ y)",
                    "A small penalty is not the limit of no penalty: use the singular value "
                    "decomposition."),
            Mistake("(Vh.T / s) @ (U.T @ y)", "(Vh.T / (s + 1e-6)) @ (U.T @ y)",
                    "svd has left out the singular values that are 0: add nothing to the "
                    "others."),
            Mistake("(Vh.T / s) @ (U.T @ y)", "Vh @ ((U.T @ y).T / s).T",
                    "svd gives V', called Vh: V itself is Vh.T."),
            Mistake("(Vh.T / s) @ (U.T @ y)", "Vh.T @ ((U @ y).T / s).T",
                    "The coordinates of y are U'y, with the transpose of U."),
            Mistake("(Vh.T / s) @ (U.T @ y)", "Vh.T @ (U.T @ y / s)",
                    "For y of shape (n, k) the coordinates U'y have shape (rank, k), and row "
                    "i is divided by s_i; yours divides the columns."),
            Mistake("    U, s, Vh = svd(X)\n"
                    "    # V diag(1 / s): column i of V is divided by s_i\n"
                    "    return (Vh.T / s) @ (U.T @ y)",
                    "    if X.shape[1] >= len(X):\n"
                    "        return X.T @ np.linalg.solve(X @ X.T, y)\n"
                    "    return np.linalg.solve(X.T @ X, X.T @ y)",
                    "X'X has an inverse only if the columns of X are independent, and XX' "
                    "only if its rows are: use the singular values, which work for every X."),
            Mistake("    U, s, Vh = svd(X)\n"
                    "    # V diag(1 / s): column i of V is divided by s_i\n"
                    "    return (Vh.T / s) @ (U.T @ y)",
                    "    return X.T @ np.linalg.solve(X @ X.T, y)",
                    "X'X has an inverse only if the columns of X are independent, and XX' "
                    "only if its rows are: use the singular values, which work for every X."),
            Mistake("    U, s, Vh = svd(X)\n"
                    "    # V diag(1 / s): column i of V is divided by s_i\n"
                    "    return (Vh.T / s) @ (U.T @ y)",
                    "    U, s, Vh = svd(X - X.mean(axis=0))\n"
                    "    return (Vh.T / s) @ (U.T @ (y - y.mean(axis=0)))",
                    "There is no intercept: neither X nor y is centred."),
            Mistake("(Vh.T / s) @ (U.T @ y)", "Vh.T @ (U.T @ y) / np.sum(s)",
                    "Each direction is divided by its own singular value s_i."))),
    Exercise(
        name="ridge",
        target="tinyml.interpolation.ridge:ridge",
        level=2, minutes=15,
        after=("min_norm",),
        task="Compute the ridge estimate for any penalty lam >= 0, with X^+ y as its limit at 0",
        tests=laws_of(
            "ridge",
            "test_ridge_makes_the_gradient_of_its_objective_zero",
            "test_ridge_tends_to_the_minimum_norm") + laws_of(
            "min_norm",
            "test_many_problems_at_once_are_the_problems_one_by_one",
            "test_without_samples_features_or_values_the_fit_is_zero",
            "test_the_dtype_of_the_data_is_that_of_the_result"),
        hints=("It is the shortest fit with each direction shrunk: by which factor, and where "
               "does n come in?",
               "beta = V diag(f / s) U'y with f = s^2 / (s^2 + n lam), which is ridge_filter(s, "
               "lam, n_samples=n).",
               "U, s, Vh = svd(X); f = ridge_filter(s, lam, n_samples=len(X)); return (Vh.T * "
               "...) @ (U.T @ y)"),
        also=("lam = 0 and dependent columns are allowed: X'X + n lam I may have no inverse.",
              "float32 data gives a float32 result."),
        mistakes=(
            Mistake("(Vh.T * (f / s))",
                    "(Vh.T * (f * s))",
                    "The coordinates of X^+ y are U'y / s: divide the filter by s, do not "
                    "multiply."),
            Mistake("n_samples=len(X)", "n_samples=1",
                    "The objective is the mean over n samples, so the penalty in X'X + n "
                    "lam I is n lam, not lam."),
            Mistake("n_samples=len(X)", "n_samples=X.shape[1]",
                    "n lam has the number of samples in it, the rows of X, not that of the "
                    "features."),
            Mistake("(Vh.T * (f / s))", "(Vh.T * f)",
                    "The filter multiplies the coordinates of X^+ y, and those are divided "
                    "by s: f / s."),
            Mistake("(Vh.T * (f / s))", "(Vh.T * (f / s ** 2))",
                    "s / (s^2 + n lam) is f / s; you divide by s twice."),
            Mistake("(Vh.T * (f / s))", "(Vh.T / s)",
                    "The penalty does not enter: multiply by the filter f as well."),
            Mistake("(Vh.T * (f / s)) @ (U.T @ y)",
                    "np.linalg.solve(X.T @ X + len(X) * lam * np.eye(X.shape[1]), X.T @ y)",
                    "For lam = 0, or nearly so, X'X + n lam I may have no inverse, and its "
                    "condition number is that of X squared: use the singular values."),
            Mistake("(Vh.T * (f / s)) @ (U.T @ y)",
                    "np.linalg.solve(X.T @ X + lam * np.eye(X.shape[1]), X.T @ y)",
                    "The loss is a mean over n samples, so the penalty is n lam; and lam = "
                    "0 with dependent columns needs the singular values."),
            Mistake("ridge_filter(s, lam, n_samples=len(X))",
                    "ridge_filter(s, lam / 2, n_samples=len(X))",
                    "There is no 1/2 in the loss, and none in the penalty."),
            Mistake("ridge_filter(s, lam, n_samples=len(X))", "s / (s + len(X) * lam)",
                    "The filter is s^2 / (s^2 + n lam), with the squares of the singular "
                    "values."),
            Mistake("ridge_filter(s, lam, n_samples=len(X))",
                    "ridge_filter(s, lam ** 2, n_samples=len(X))",
                    "The penalty is lam ||beta||^2: lam itself is not squared."),
            Mistake("ridge_filter(s, lam, n_samples=len(X))",
                    "ridge_filter(s, lam / max(len(X), 1) ** 2, n_samples=len(X))",
                    "The loss is a mean over n samples, so lam is multiplied by n, not "
                    "divided."),
            Mistake("(Vh.T * (f / s)) @ (U.T @ y)", "Vh.T @ (f / s * (U.T @ y))",
                    "For y of shape (n, k) the coordinates U'y have shape (rank, k), and row "
                    "i is multiplied by f_i / s_i; yours multiplies the columns."),
            Mistake("(Vh.T * (f / s)) @ (U.T @ y)", "Vh @ ((U.T @ y).T * (f / s)).T",
                    "svd gives V', called Vh: V itself is Vh.T."),
            Mistake("(Vh.T * (f / s)) @ (U.T @ y)", "Vh.T @ ((U @ y).T * (f / s)).T",
                    "The coordinates of y are U'y, with the transpose of U."),
            Mistake("n_samples=len(X)", "n_samples=len(X) ** 2",
                    "The penalty in X'X + n lam I is n lam: n enters once."),
            Mistake("(Vh.T * (f / s))", "(Vh.T * (f ** 2 / s))",
                    "The filter f enters once: f / s."),
            Mistake("(Vh.T * (f / s))", "(Vh.T * ((1 - f) / s))",
                    "f is the share of a direction that is kept; 1 - f is what the penalty "
                    "takes away."),
            Mistake("ridge_filter(s, lam, n_samples=len(X))", "1 / (s ** 2 + len(X) * lam)",
                    "f = s^2 / (s^2 + n lam): the numerator is s^2, which leaves s / (s^2 + "
                    "n lam) after the division by s."))),
    Exercise(
        name="gradient_descent",
        target="tinyml.interpolation.min_norm:gradient_descent",
        level=2, minutes=15,
        after=("min_norm",),
        task="Minimise 1/2 ||X beta - y||^2 by gradient descent, with gradients from the "
             "engine, and return every iterate",
        tests=laws_of(
            "min_norm",
            "test_gradient_descent_equals_its_closed_form_at_every_step",
            "test_the_dtype_of_the_data_is_that_of_the_result",
            "test_on_empty_and_zero_designs_descent_stays_where_it_starts[gradient_"
            "descent-shape3]",
            "test_inputs_are_not_modified"),
        hints=("Each step makes a new Tensor of the current beta, computes the loss, and asks "
               "for its gradient.",
               "The loss is half the sum of the squared residuals; its gradient is X'(X beta - "
               "y), beta.grad after loss.backward(). The result has n_steps + 1 rows, the first "
               "is beta_0, in the dtype of X.",
               "beta = Tensor(iterates[-1], requires_grad=True); loss = 0.5 * ((X @ beta - y) "
               "** 2).sum(); loss.backward(); iterates.append(beta.data - ...); at the end "
               "np.stack(iterates)"),
        also=("_start(X, y, beta0) gives beta_0 in the right shape and dtype, _check_step "
              "refuses an lr that does not converge: use both, with svd(X)[1] for s.",),
        mistakes=(
            Mistake("    return np.stack(iterates)",
                    "    beta = Tensor(iterates[-1], requires_grad=True)\n"
                    "    (0.5 * ((X @ beta - y) ** 2).sum()).backward()\n"
                    "    return np.stack([*iterates[1:], beta.data - lr * beta.grad])",
                    "The start beta_0 is the first of the n_steps + 1 iterates: yours begin with "
                    "beta_1."),
            Mistake("0.5 * ((X @ beta - y) ** 2)", "((X @ beta - y) ** 2)",
                    "The loss is half the squared distance: without the half every step is "
                    "twice too long."),
            Mistake("** 2).sum()", "** 2).mean()",
                    "The loss is the sum over the samples, not their mean."),
            Mistake("beta.data - lr * beta.grad", "beta.data + lr * beta.grad",
                    "The sign: descent goes against the gradient."),
            Mistake("beta.data - lr * beta.grad", "iterates[0] - lr * beta.grad",
                    "Each step starts from the last iterate, not from beta_0."),
            Mistake("np.stack(iterates)", "np.stack(iterates[1:])",
                    "The start beta_0 is the first of the n_steps + 1 iterates."),
            Mistake("[_start(X, y, beta0)]", "[_start(X, y, None)]",
                    "The descent starts at beta0, which need not be zero."),
            Mistake("np.stack(iterates)", "np.stack(iterates).astype(np.float64)",
                    "float32 must stay float32: the result has the dtype of X."),
            Mistake("range(n_steps)", "range(n_steps - 1)",
                    "n_steps steps give n_steps + 1 iterates, the start included; you have one "
                    "too few."),
            Mistake("range(n_steps)", "range(n_steps + 1)",
                    "There is one step too many: n_steps steps give n_steps + 1 iterates."),
            Mistake("np.stack(iterates)", "iterates[-1]",
                    "Return all iterates, not only the last one."),
            Mistake("lr * beta.grad)", "lr / len(iterates) * beta.grad)",
                    "The rate stays the same in all steps."),
            Mistake("np.stack(iterates)", "np.stack([iterates[-1]] * len(iterates))",
                    "Each iterate is an array of its own: with beta -= ... the ones kept "
                    "before change too. Bind beta to a new array."),
            Mistake("beta.data - lr * beta.grad", "-lr * beta.grad",
                    "The step is added to the iterate: beta_{t+1} = beta_t - lr times the "
                    "gradient."),
            Mistake("((X @ beta - y) ** 2).sum()",
                    "((X @ beta - y) ** 2).sum() / max(len(X), 1)",
                    "The loss is the sum over the samples, not their mean."),
            Mistake("0.5 * ((X @ beta - y) ** 2).sum()", "((X @ beta - y) ** 2).mean()",
                    "The loss is half the sum of the squares, not their mean."),
            Mistake("beta.data - lr * beta.grad", "beta.data - beta.grad",
                    "The learning rate lr is missing from the step."),
            Mistake("np.stack(iterates)", "np.stack(iterates, axis=-1)",
                    "The iterates lie along the first axis: row t of the result is beta_t."),
            Mistake("0.5 * ((X @ beta - y) ** 2).sum()",
                    "((X @ beta - y) ** 2).sum() ** 0.5",
                    "The loss is half the squared length of the residual, not the length."))),
    Exercise(
        name="descent_filter",
        target="tinyml.interpolation.min_norm:descent_filter",
        level=1, minutes=10,
        after=("gradient_descent",),
        task="Compute the fraction of each singular direction that t steps of descent from zero "
             "have learned",
        tests=laws_of(
            "min_norm",
            "test_many_tiny_steps_learn_what_gradient_flow_learns",
            "test_the_share_learned_is_one_minus_what_every_step_leaves",
            "test_the_share_learned_is_that_of_the_engine_s_descent",
            "test_the_dtype_of_the_data_is_that_of_the_result"),
        hints=("Each step leaves 1 - lr s^2 of what a direction still lacks. What is left after "
               "t of them?",
               "f = 1 - (1 - lr s^2)^t, where s has shape (rank,) and t needs a last axis of "
               "length 1 for it.",
               "t = t[..., None].astype(s.dtype); return 1 - (1 - ...) ** t"),
        also=("_check_step refuses an lr that does not converge: call it first.",),
        mistakes=(
            Mistake("1 - (1 - lr * s ** 2) ** t", "(1 - lr * s ** 2) ** t",
                    "This is the fraction that is left: return the fraction learned, 1 minus it."),
            Mistake("1 - (1 - lr * s ** 2) ** t", "1 - np.exp(-lr * s ** 2 * t)",
                    "1 - exp(-t lr s^2) is gradient flow, infinitely small steps; a step of "
                    "descent leaves 1 - lr s^2."),
            Mistake("1 - (1 - lr * s ** 2) ** t", "np.minimum(t * lr * s ** 2, 1)",
                    "Each step learns a fraction of what is *left*, so what is left "
                    "multiplies: 1 - (1 - lr s^2)^t, not t lr s^2."),
            Mistake("** t", "** (t + 1)",
                    "t steps leave (1 - lr s^2)^t: you take one step too many."),
            Mistake("lr * s ** 2", "lr * s",
                    "X'X has the eigenvalues s^2, not s."),
            Mistake("t = t[..., None].astype(s.dtype)", "t = t[..., None]",
                    "The result has the dtype of s, float32 too: give t that dtype."),
            Mistake("lr * s ** 2) ** t", "2 * lr * s ** 2) ** t",
                    "The loss has a factor 1/2, so each step leaves 1 - lr s^2, without a 2."),
            Mistake("1 - (1 - lr * s ** 2) ** t", "1 - (1 - lr * s) ** (2 * t)",
                    "Each step leaves 1 - lr s^2, not (1 - lr s)^2."),
            Mistake("** t", "** np.maximum(t - 1, 0)",
                    "After t steps the power is t: the first step counts."),
            Mistake("1 - (1 - lr * s ** 2) ** t", "(1 - (1 - lr * s ** 2)) ** t",
                    "Raise what is left to the power t: 1 - (1 - lr s^2)^t."),
            Mistake("t = t[..., None].astype(s.dtype)", "t = t.astype(s.dtype)",
                    "t needs a last axis of length 1, so that every time meets every "
                    "singular value: t[..., None]."),
            Mistake("    return 1 - (1 - lr * s ** 2) ** t",
                    "    return np.moveaxis(1 - (1 - lr * s ** 2) ** t, -1, 0)",
                    "The result has shape (*t.shape, rank): the singular values are on the "
                    "last axis."),
            Mistake("1 - (1 - lr * s ** 2) ** t", "(1 - lr * s ** 2) ** t - 1",
                    "The sign: the fraction learned is 1 minus what is left."),
            Mistake("1 - (1 - lr * s ** 2) ** t", "1 - (lr * s ** 2) ** t",
                    "Each step leaves 1 - lr s^2 of what is missing, not lr s^2."),
            Mistake("1 - (1 - lr * s ** 2) ** t", "1 - (1 - lr * s ** 2) * t",
                    "What is left is multiplied in each step: raise 1 - lr s^2 to the power "
                    "t."),
            Mistake("lr * s ** 2) ** t", "(lr * s) ** 2) ** t",
                    "The rate lr is not squared: lr s^2."),
            Mistake("lr * s ** 2) ** t", "lr * s ** 2 / max(len(s), 1)) ** t",
                    "Each direction has its own rate lr s^2, not divided by their number."))),
    Exercise(
        name="descent_closed_form",
        target="tinyml.interpolation.min_norm:gradient_descent_closed_form",
        level=3, minutes=25,
        after=("descent_filter",),
        task="Write down every iterate of gradient descent without a loop, from any start",
        tests=laws_of(
            "min_norm",
            "test_gradient_descent_equals_its_closed_form_at_every_step",
            "test_iterates_never_leave_the_row_space_through_the_start[gradient_descent_"
            "closed_form]",
            "test_the_dtype_of_the_data_is_that_of_the_result"),
        hints=("In the coordinates of the singular vectors, every direction moves from its start "
               "to its limit, independently of the others.",
               "U, s, Vh = svd(X). The start is Vh @ beta0, the limit (U / s)' y, both (rank, "
               "...); descent_filter(s, np.arange(n_steps + 1), lr=lr), (n_steps + 1, rank), is "
               "the fraction of the difference that t steps have learned. The part of beta0 that "
               "X maps to 0 stays.",
               "missing = (U / s).T @ y - ...; np.stack of beta0 + Vh.T @ (f * missing.T).T for "
               "every row f of the filters"),
        also=("_start(X, y, beta0) gives beta_0 in the right shape and dtype, _check_step "
              "refuses an lr that does not converge: use both.",),
        mistakes=(
            Mistake(" - Vh @ beta0", "",
                    "What is missing is the limit minus the start: subtract V'beta_0."),
            Mistake("beta0 + Vh.T", "Vh.T",
                    "The formula gives what is added to beta_0: the part of beta_0 that X maps "
                    "to 0 stays."),
            Mistake("np.arange(n_steps + 1)", "np.arange(1, n_steps + 2)",
                    "Steps count from 0: the first of the n_steps + 1 rows is beta_0."),
            Mistake("np.arange(n_steps + 1)", "np.arange(n_steps)",
                    "There are n_steps + 1 iterates, beta_0 included."),
            Mistake("(U / s).T @ y", "(U * s).T @ y",
                    "The limit is X^+ y, whose coordinates are U'y divided by s."),
            Mistake("(f * missing.T).T", "missing",
                    "After t steps only the fraction f of what was missing is learned."),
            Mistake("np.arange(n_steps + 1), lr=lr)",
                    "np.arange(n_steps + 1), lr=lr / max(len(X), 1))",
                    "The loss is half the sum of squares, not their mean: lr is not divided "
                    "by n."),
            Mistake("(f * missing.T).T", "((1 - f) * missing.T).T",
                    "f is the part that is learned; 1 - f is what is still missing."),
            Mistake("(U / s).T @ y", "U.T @ y",
                    "The goal in the row space is diag(1 / s) U'y: divide by s."),
            Mistake("missing = (U / s).T @ y - Vh @ beta0", "missing = (U / s).T @ y + Vh @ beta0",
                    "What is missing at the start is the goal minus V'beta_0."),
            Mistake("beta0 + Vh.T @ (f * missing.T).T",
                    "Vh.T @ (Vh @ beta0 + (f * missing.T).T)",
                    "V V'beta_0 is only the part of beta_0 that X sees; the rest of beta_0 "
                    "stays too: add beta_0 itself."),
            Mistake("(f * missing.T).T", "(f * missing)",
                    "For y of shape (n, k) what is missing has shape (rank, k), and row i is "
                    "multiplied by f_i."),
            Mistake("(f * missing.T).T for f in filters",
                    "(f * missing.T).T for f in filters[1:]",
                    "There are n_steps + 1 iterates, beta_0 included."),
            Mistake("missing = (U / s).T @ y - Vh @ beta0",
                    "missing = Vh @ beta0 - (U / s).T @ y",
                    "The sign: what is missing is the limit minus the start."),
            Mistake("Vh.T @ (f * missing.T).T", "Vh @ (f * missing.T).T",
                    "svd gives V', called Vh: V itself is Vh.T."),
            Mistake(" - Vh @ beta0", " - Vh.T @ beta0",
                    "The coordinates of beta_0 are V'beta_0: svd gives V', called Vh."),
            Mistake("np.stack([beta0 + Vh.T @ (f * missing.T).T for f in filters])",
                    "beta0 + Vh.T @ (filters[-1] * missing.T).T",
                    "Return all iterates, not only the last one."),
            Mistake("beta0 + Vh.T @ (f * missing.T).T",
                    "Vh.T @ ((U / s).T @ y) - Vh.T @ (f * missing.T).T",
                    "f is the part that is learned, and counts from the start: beta_0 + V "
                    "diag(f) times what is missing."))),
    Exercise(
        name="kaczmarz",
        target="tinyml.interpolation.implicit_bias:kaczmarz",
        level=2, minutes=20,
        after=("gradient_descent",),
        task="Project beta on one equation after the other: SGD on single rows, with learning "
             "rate 1 / ||x_i||^2",
        tests=laws_of(
            "implicit_bias",
            "test_kaczmarz_solves_an_equation_a_step_and_is_sgd_on_rows_of_length_one",
            "test_kaczmarz_solves_many_problems_at_once",
            "test_designs_at_the_edge",
            "test_results_have_the_dtype_of_the_data"),
        hints=("The point of {x'beta = y} nearest to beta lies in the direction of x. How far "
               "away?",
               "The step is (y_i - x_i'beta) / ||x_i||^2 x_i, with i = rows[t] and the last "
               "beta. All len(rows) + 1 points are returned, the first is beta_0; a row of "
               "zeros changes nothing. For y of shape (n, k) the residual has k entries, and "
               "the step is an outer product.",
               "path = [beta]; for i in rows: if x_i is not zero: beta = beta + "
               "np.multiply.outer(X[i], residual) / its squared length; path.append(beta); at "
               "the end np.stack(path)"),
        also=("_start(X, y, beta0) gives beta_0 in the right shape and dtype.",),
        mistakes=(
            Mistake(" / squares[i]", "",
                    "Without 1 / ||x_i||^2 the step does not end on the equation."),
            Mistake(" / squares[i]", " / np.sqrt(squares[i])",
                    "The residual is divided by the squared length of x_i: once for its "
                    "direction, once for the distance."),
            Mistake("if squares[i] > 0:", "if True:",
                    "A row of zeros says nothing: leave beta alone instead of dividing by 0."),
            Mistake("y[i] - X[i] @ beta ", "X[i] @ beta - y[i] ",
                    "The sign: the step goes towards y_i, by y_i - x_i'beta."),
            Mistake("y[i] - X[i] @ beta ", "y[i] - X[i] @ path[0] ",
                    "The residual is that of the last beta, not of the start."),
            Mistake("np.multiply.outer(X[i], residual)", "X[i] * residual",
                    "For y of shape (n, k) there are k residuals, and the step is an outer "
                    "product, (p, k)."),
            Mistake("        path.append(beta)", "            path.append(beta)",
                    "A row of zeros is a step as well, though it changes nothing: append in "
                    "any case."),
            Mistake(" / squares[i]", " / squares.sum()",
                    "Row i has the rate 1 / ||x_i||^2, with its own length."),
            Mistake("beta + np.multiply", "beta + 2 * np.multiply",
                    "A full step projects onto the equation; a step of twice its length reflects "
                    "at it."),
            Mistake("path = [beta]", "path = []",
                    "The start beta_0 is the first iterate."),
            Mistake("        path.append(beta)",
                    "        path.append(beta)\n"
                    "    return beta",
                    "Return all iterates, not only the last one."),
            Mistake("    for i in rows:\n",
                    "    for i in np.arange(len(rows)) % max(len(X), 1):\n",
                    "The row of step t is rows[t], not t: they come in the order that is "
                    "given."),
            Mistake("    return np.stack(path)",
                    "    return np.stack([path[-1]] * len(path))",
                    "Each iterate is an array of its own: with beta += ... the ones kept "
                    "before change too. Bind beta to a new array."),
            Mistake("        path.append(beta)",
                    "        path.append(beta)\n"
                    "    path = path[1:] or path",
                    "The start beta_0 is the first iterate."),
            Mistake(" / squares[i]", " / len(X)",
                    "Row i has the rate 1 / ||x_i||^2, with its own length."),
            Mistake(" / squares[i]", " / squares[i] ** 2",
                    "Divide by the squared length ||x_i||^2 once."),
            Mistake("residual = y[i] - X[i] @ beta ", "residual = y[i] ",
                    "The step closes the gap that is left: subtract x_i'beta from y_i."),
            Mistake("beta + np.multiply.outer", "np.multiply.outer",
                    "The step is added to the last beta."),
            Mistake("np.sum(X ** 2, axis=1)", "np.sum(np.abs(X), axis=1)",
                    "||x_i||^2 is the sum of the squares."))),
))
