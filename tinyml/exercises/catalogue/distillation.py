"""Distillation (10.2.4): soft targets, the loss of a student, and the bias of a class never seen."""
from tinyml.exercises.exercise import Chapter, Exercise, Mistake

DISTILLATION, TESTS = "tinyml.compression.distillation", "test_distillation.py"

CHAPTER = Chapter("distillation", "10.2.4 Distillation: what the teacher says", (
    Exercise(
        name="soften", target=f"{DISTILLATION}:soften", level=1, minutes=5, keep=3, after=("softmax",),
        task="Turn logits into probabilities at a temperature",
        tests=(f"{TESTS}::test_a_hotter_softmax_is_the_same_order_nearer_to_uniform",
               f"{TESTS}::test_softened_are_the_last_axis_in_float64_and_then_rounded",
               f"{TESTS}::test_a_constant_added_to_all_logits_changes_nothing"),
        hints=("A softmax of what? And mind the dtype: 1e38 / T is no float32.",
               "softmax(z / T) over the last axis, computed in float64, given back in the dtype of z, as an "
               "ndarray.",
               "return F.softmax(z.astype(np.float64) / ...).data.astype(...)"),
        mistakes=(
            Mistake("/ temperature", "* temperature",
                    "A high temperature makes the classes more alike: divide the logits by T."),
            Mistake("z.astype(np.float64) / temperature", "z.astype(np.float64)",
                    "The temperature plays no part in yours."),
            Mistake("z.astype(np.float64) / temperature).data.astype(z.dtype)",
                    "(z / temperature).astype(z.dtype)).data",
                    "A float32 overflows where z / T is large, and rounds z / T: compute in float64, and cast the "
                    "result."),
            Mistake("/ temperature)", "/ temperature, axis=1)",
                    "Logits may have one axis, or three: the classes are the last one, axis -1."),
            Mistake("/ temperature)", "/ temperature, axis=0)",
                    "Each row is a sample: softmax goes over the classes, the last axis."),
            Mistake(".data.astype(z.dtype)", ".data",
                    "The result has the dtype of the logits: float32 stays float32."),
            Mistake("F.softmax(z.astype(np.float64) / temperature).data",
                    "(F.softmax(z.astype(np.float64)).data / temperature)",
                    "The logits are divided, not the probabilities, which would no longer sum to 1."))),
    Exercise(
        name="distillation_loss", target=f"{DISTILLATION}:distillation_loss", level=3, minutes=25, keep=6,
        after=("soften", "cross_entropy"),
        task="Compute the student's loss on labels and on soft targets, on one scale at every temperature",
        tests=(f"{TESTS}::test_the_loss_is_the_formula_of_the_notes_in_a_slow_loop",
               f"{TESTS}::test_the_gradient_is_that_of_the_paper",
               f"{TESTS}::test_float32_loses_no_digits_at_any_temperature"),
        hints=("Two losses: the usual one on labels at T = 1, and a divergence between two softened "
               "distributions.",
               '(1 - alpha) F.cross_entropy(student, target) + alpha T^2 F.kl_div(ln p_s, p_t, "batchmean"), '
               "ln p_s = F.log_softmax(student / T), in float64 by _cast and back; without a target the "
               "second part alone.",
               "p_t = soften(teacher, temperature=T); log_p_s = F.log_softmax(_cast(student, "
               "dtype=np.float64) / T); soft = _cast(T ** 2 * ..., dtype=student.dtype); return soft if target is "
               "None else (1 - alpha) * ... + alpha * soft"),
        mistakes=(
            Mistake("T ** 2 * F.kl_div", "F.kl_div",
                    "The gradient of the soft part shrinks with T^2: the factor T^2 keeps it on one scale."),
            Mistake("T ** 2 * F.kl_div", "T * F.kl_div", "The factor is T squared."),
            Mistake("(1 - alpha) * F.cross_entropy(student, target) + alpha * soft",
                    "alpha * F.cross_entropy(student, target) + (1 - alpha) * soft",
                    "alpha is the weight of the teacher, 1 - alpha that of the labels."),
            Mistake("p_t = soften(teacher, temperature=T)", "p_t = soften(teacher, temperature=1)",
                    "The teacher too is softened at the temperature T."),
            Mistake("_cast(student, dtype=np.float64) / T", "_cast(student, dtype=np.float64)",
                    "The student is compared with the teacher at the same temperature: divide its logits by "
                    "T."),
            Mistake("_cast(student, dtype=np.float64) / T", "student / T",
                    "In float32 the factor T^2 magnifies the rounding: cast the student's logits to float64 before "
                    "you divide, and the soft part back."),
            Mistake('F.kl_div(log_p_s, p_t, "batchmean")', "(p_t * -log_p_s).sum() / len(teacher)",
                    "This is the cross-entropy between the two; KL is less than that by the teacher's entropy, and "
                    "0 where both agree."),
            Mistake("F.cross_entropy(student, target)", "F.cross_entropy(student / T, target)",
                    "The labels are learned at temperature 1: only the soft part has T."),
            Mistake('p_t, "batchmean"', 'p_t, "mean"',
                    'KL sums over the classes and averages over the samples, "batchmean"; "mean" divides '
                    "by the classes too."))),
    Exercise(
        name="solve_bias", target=f"{DISTILLATION}:solve_bias", level=2, minutes=20, keep=5, after=("soften",),
        task="Find what to add to a class's logit so that it is the largest in a given share of the rows",
        tests=(f"{TESTS}::test_the_solved_bias_names_the_class_as_often_as_asked",),
        hints=("How much does class c lack in each row? It wins those rows where it lacks less than b.",
               "margins m_i = max over the other classes - z_ic, sorted; b half-way between the k-th and the "
               "next, k = round(share n). Put m_1 - 2 in front and m_n + 2 behind, and k = 0 and k = n need "
               "no case of their own.",
               "margins = np.sort(np.delete(logits, class_index, axis=1).max(axis=1) - ...); ends = "
               "np.concatenate([margins[:1] - 2, margins, margins[-1:] + 2]); k = round(...); return "
               "float(ends[k] + ends[k + 1]) / 2"),
        mistakes=(
            Mistake("np.sort(np.delete(logits, class_index, axis=1).max(axis=1) - logits[:, class_index])",
                    "np.delete(logits, class_index, axis=1).max(axis=1) - logits[:, class_index]",
                    "The k-th smallest margin is asked for: sort them."),
            Mistake("np.delete(logits, class_index, axis=1).max(axis=1)", "logits.max(axis=1)",
                    "The rivals are the other classes: leave c itself out of the maximum."),
            Mistake("max(axis=1) - logits[:, class_index]", "max(axis=1) * -1 + logits[:, class_index]",
                    "The sign: c is named where b is above the largest other logit less its own."),
            Mistake("round(share * n)", "int(share * n)", "k is share n rounded to the nearest."),
            Mistake("round(share * n)", "int(share * n + 0.5)",
                    "Half a row is rounded to the even number, as Python's round does, not always up."),
            Mistake("ends = np.concatenate([margins[:1] - 2, margins, margins[-1:] + 2])",
                    "ends = np.concatenate([margins[:1] - 1, margins, margins[-1:] + 1])",
                    "Where no row or every row is wanted, b is 1 beyond the margins, and yours is half of that."),
            Mistake("float(ends[k] + ends[k + 1]) / 2", "float(ends[k])",
                    "On a margin itself the row is undecided: go half-way to the next one."),
            Mistake("float(ends[k] + ends[k + 1]) / 2", "float(ends[n - k] + ends[n - k + 1]) / 2",
                    "A larger bias wins more rows: count k from the smallest margin."))),
))
