"""Lesson 10.1.3, epoch-wise double descent: the risk of gradient descent at every step."""
from tinyml.exercises.exercise import Chapter, Exercise, Mistake, laws_of

CHAPTER = Chapter("epoch_wise", "10.1.3 Epoch-wise double descent: the risk at every step", (
    Exercise(
        name="descent",
        target="tinyml.interpolation.epoch_wise:descent",
        level=2, minutes=15,
        after=("descent_closed_form",),
        task="Compute any steps of gradient descent directly, with a learning rate for each "
             "feature",
        tests=laws_of(
            "epoch_wise",
            "test_it_is_the_engine_s_descent_at_every_step_and_so_is_its_risk",
            "test_in_the_end_it_is_the_minimum_norm_fit_in_the_coordinates_of_the_rates",
            "test_times_have_any_shape_and_any_order"),
        hints=("_directions does the hard part: root_lr is the diagonal of D, U, s, Vh are the "
               "SVD of X D, and f, one row per time, is the fraction learned.",
               "beta_t = D V diag(f / s) U'y: f is (*t.shape, rank), U'y is (rank,), and a "
               "product with Vh on the right takes the last axis from (rank,) to (p,).",
               "fit = f / s * (...), with the coordinates of y; return fit @ Vh * ..., the "
               "diagonal of D."),
        also=('root_lr, U, s, Vh, f = _directions("descent", X, t, lr) gives the diagonal of D, '
              'the SVD of X D, and the fractions learned, (*t.shape, rank).',),
        mistakes=(
            Mistake("@ Vh * root_lr", "@ Vh",
                    "This is the fit in the coordinates D^-1 beta: multiply by D at the end."),
            Mistake("@ Vh * root_lr", "@ Vh * root_lr ** 2",
                    "D holds the square roots of the rates, not the rates."),
            Mistake("@ Vh * root_lr", "@ Vh / root_lr",
                    "beta = D times its coordinates: multiply by root_lr, do not divide."),
            Mistake("f / s *", "f *",
                    "The limit divides the coordinates of y by the singular values: f / s."),
            Mistake("f / s *", "(1 - f) / s *",
                    "f is the fraction learned; 1 - f is what is still missing."),
            Mistake("f / s *", "f * s *",
                    "The goal is diag(1 / s) U'y: divide by the singular values."),
            Mistake("f / s *", "f / s ** 2 *",
                    "Divide by s once: f / s."),
            Mistake("f / s *", "1 / s *",
                    "This is the limit; after t steps the fraction f of it is learned."),
            Mistake("fit @ Vh * root_lr", "fit @ Vh.T * root_lr",
                    "_directions gives V', called Vh: fit @ Vh is V fit, with fit in rows."),
            Mistake("    fit = f / s * (U.T @ y) ", "    fit = (f / s) ** 2 * (U.T @ y) ",
                    "The fit is linear in y and in f: f / s, not its square."),
            Mistake('root_lr, U, s, Vh, f = _directions("descent", X, t, lr)',
                    'root_lr, U, s, Vh, f = _directions("descent", X, t.reshape(-1), lr)',
                    "The result has shape (*t.shape, p): a t without axes gives shape (p,), "
                    "and a matrix of times gives three axes."),
            Mistake("fit @ Vh * root_lr", "root_lr.mean() * (fit @ Vh)",
                    "Each feature has its own rate: multiply entry j by root_lr[j]."),
            Mistake("U.T @ y", "U.T @ y / max(len(y), 1)",
                    "The loss is half the sum of the squares: nothing is divided by n."),
            Mistake("fit @ Vh * root_lr", "(fit * root_lr[:fit.shape[-1]]) @ Vh",
                    "D acts on the features, after V: multiply by root_lr at the end."))),
    Exercise(
        name="descent_bias2",
        target="tinyml.interpolation.epoch_wise:descent_bias2",
        level=2, minutes=15,
        after=("descent",),
        task="Compute the squared bias that each feature contributes at any step of gradient "
             "descent",
        tests=laws_of(
            "epoch_wise",
            "test_bias_and_variance_add_up_to_the_expected_risk",
            "test_with_one_scale_the_bias_falls_and_the_variance_rises"),
        hints=("On average over the noise, descent sees y = X beta. What has it learned of beta "
               "by step t?",
               "E beta_t = D V diag(f) V' D^-1 beta, shape (*t.shape, p); the bias of feature j "
               "is the square of scales_j (E beta_t - beta)_j.",
               "truth = Vh @ (beta / root_lr); expected = (f * truth) @ Vh * ...; return (scales * "
               "(...)) ** 2"),
        also=("root_lr, _, _, Vh, f = _directions(\"descent_bias2\", X, t, lr) gives the "
              "diagonal of D, V', and the fractions learned, (*t.shape, rank).",),
        mistakes=(
            Mistake("beta / root_lr", "beta",
                    "In the coordinates of the descent the truth is D^-1 beta: divide by "
                    "root_lr."),
            Mistake("@ Vh * root_lr    #", "@ Vh    #",
                    "Back from the coordinates of the descent: multiply by D."),
            Mistake("(scales * (expected - beta)) ** 2", "(expected - beta) ** 2",
                    "An error in a large feature costs more: multiply by its scale before "
                    "you square."),
            Mistake("(scales * (expected - beta)) ** 2", "scales * (expected - beta) ** 2",
                    "The scale enters squared: scales_j^2 is the variance of the feature."),
            Mistake("(expected - beta)", "expected",
                    "The bias is the distance from the truth: subtract beta."),
            Mistake("(scales * (expected - beta)) ** 2",
                    "((scales * (expected - beta)) ** 2).sum(axis=-1)",
                    "Do not sum over the features: the last axis of the result has length p."),
            Mistake("beta / root_lr", "beta * root_lr",
                    "In the coordinates of the descent the truth is D^-1 beta: divide by "
                    "root_lr."),
            Mistake("(f * truth)", "((1 - f) * truth)",
                    "E beta_t is what has been learned, the fraction f."),
            Mistake("(scales * (expected - beta)) ** 2", "np.abs(scales * (expected - beta))",
                    "The bias is squared."),
            Mistake("@ Vh * root_lr    #", "@ Vh / root_lr    #",
                    "Back from the coordinates of the descent: multiply by D."),
            Mistake("    truth = Vh @ (beta / root_lr)            # V'D^-1 beta, (rank,)\n"
                    "    expected = (f * truth) @ Vh * root_lr    #",
                    "    truth = Vh @ beta\n"
                    "    expected = (f * truth) @ Vh    #",
                    "D is missing: in the coordinates of the descent the truth is D^-1 beta, "
                    "and the way back multiplies by D."),
            Mistake("return (scales * (expected - beta)) ** 2",
                    "return scales ** 2 * (expected - beta)",
                    "The bias is squared."),
            Mistake("return (scales * (expected - beta)) ** 2",
                    "return (scales * (((f - 1) * truth) @ Vh * root_lr)) ** 2",
                    "The part of beta that X maps to 0 is never learned, and belongs to the "
                    "bias too: subtract beta itself."),
            Mistake("return (scales * (expected - beta)) ** 2",
                    "return scales ** 2 * (expected ** 2 - beta ** 2)",
                    "Square the difference, not each of the two."),
            Mistake("(f * truth)", "(f ** 2 * truth)",
                    "E beta_t is linear in f; only the whole bias is squared."),
            Mistake("(expected - beta)) ** 2", "(expected - beta)) ** 2 / max(len(X), 1)",
                    "Nothing is divided by n: the squared bias of each feature is asked for."),
            Mistake("return (scales * (expected - beta)) ** 2",
                    "return ((expected - beta) / scales) ** 2",
                    "An error in a large feature costs more: multiply by the scale, do not "
                    "divide."),
            Mistake("    truth = Vh @ (beta / root_lr)            # V'D^-1 beta, (rank,)\n"
                    "    expected = (f * truth) @ Vh * root_lr    #",
                    "    truth = Vh @ (beta * root_lr)\n"
                    "    expected = (f * truth) @ Vh / root_lr    #",
                    "D and D^-1 are exchanged: divide beta by root_lr first, and multiply by "
                    "it at the end."))),
    Exercise(
        name="descent_variance",
        target="tinyml.interpolation.epoch_wise:descent_variance",
        level=2, minutes=15,
        after=("descent",),
        task="Compute the variance that the noise gives each feature at any step of gradient "
             "descent",
        tests=laws_of(
            "epoch_wise",
            "test_bias_and_variance_add_up_to_the_expected_risk",
            "test_times_have_any_shape_and_any_order"),
        hints=("beta_t is linear in the noise: D V diag(f / s) U' eps. What is the variance of "
               "a sum of independent terms?",
               "sigma2 scales_j^2 lr_j sum_i V_ji^2 (f_i / s_i)^2, where lr is root_lr ** 2, and "
               "the sum over the directions is a product of (f / s) ** 2, (*t.shape, rank), "
               "with Vh ** 2, (rank, p).",
               "sum_over_directions = ... @ Vh ** 2; return sigma2 * (scales * root_lr) ** 2 * "
               "sum_over_directions"),
        also=("root_lr, _, s, Vh, f = _directions(\"descent_variance\", X, t, lr) gives the "
              "diagonal of D, the singular values, V', and the fractions learned, (*t.shape, "
              "rank). So lr_j is root_lr[j] ** 2.",),
        mistakes=(
            Mistake("(scales * root_lr) ** 2",
                    "scales ** 2 * root_lr",
                    "D holds the roots of the rates, and a variance has its square: the "
                    "factor is lr_j."),
            Mistake("(f / s) ** 2 @ Vh ** 2", "((f / s) @ Vh) ** 2",
                    "The variances of independent terms add up: square before you sum over the "
                    "directions."),
            Mistake("(scales * root_lr) ** 2", "(scales * root_lr ** 2) ** 2",
                    "The learning rate enters once: lr_j, not lr_j^2."),
            Mistake("(scales * root_lr) ** 2", "scales * root_lr ** 2",
                    "The scale enters squared: the variance has the factor scales_j^2."),
            Mistake("(scales * root_lr) ** 2", "scales ** 2",
                    "D is missing: the variance of feature j has a factor lr_j."),
            Mistake("return sigma2 *", "return sigma2 ** 2 *",
                    "sigma2 is the variance of the noise already: do not square it."),
            Mistake("(f / s) ** 2 @ Vh ** 2", "f ** 2 @ Vh ** 2",
                    "The noise is divided by the singular values: f / s."),
            Mistake("(f / s) ** 2 @ Vh ** 2", "(f / s) @ Vh ** 2",
                    "The fractions are squared too: (f_i / s_i)^2."),
            Mistake("(f / s) ** 2 @ Vh ** 2", "(f * s) ** 2 @ Vh ** 2",
                    "The noise is divided by the singular values: f / s."),
            Mistake("(f / s) ** 2 @ Vh ** 2", "(f / s) ** 2 @ Vh",
                    "V enters squared, V_ji^2, because variances add up."),
            Mistake("(f / s) ** 2 @ Vh ** 2", "(f ** 2 / s) @ Vh ** 2",
                    "The whole of f_i / s_i is squared."),
            Mistake("(f / s) ** 2 @ Vh ** 2", "(f / s) ** 2 @ Vh.T ** 2",
                    "_directions gives V', called Vh: V_ji is Vh[i, j], so the sum over i is "
                    "... @ Vh ** 2."),
            Mistake("(f / s) ** 2 @ Vh ** 2", "(f / s) ** 2 @ Vh ** 2 / max(len(s), 1)",
                    "The directions are summed, not averaged."),
            Mistake("(scales * root_lr) ** 2", "(scales / root_lr) ** 2",
                    "beta = D times its coordinates: the factor is lr_j, not 1 / lr_j."),
            Mistake("    return sigma2 *", "    return sigma2 ** 0.5 *",
                    "The variance has the factor sigma2 itself, not its root."),
            Mistake("(scales * root_lr) ** 2 * sum_over_directions",
                    "((scales * root_lr) ** 2 * sum_over_directions).sum(axis=-1, "
                    "keepdims=True)",
                    "Do not sum over the features: the last axis of the result has length p."),
            Mistake("(scales * root_lr) ** 2", "root_lr ** 2",
                    "The variance of feature j has the factor scales_j^2."),
            Mistake("(f / s) ** 2 @ Vh ** 2", "((1 - f) / s) ** 2 @ Vh ** 2",
                    "f is the fraction learned, of the noise as well; 1 - f is what is still "
                    "missing."))),
))
