"""Distillation (10.2.4): soft targets, the student's loss, the bias of a class never seen."""
from tinyml.exercises.exercise import Chapter, Exercise, Mistake, laws_of

CHAPTER = Chapter("distillation", "10.2.4 Distillation: learning from a teacher", (
    Exercise(
        name="soften",
        target="tinyml.compression.distillation:soften",
        level=1, minutes=5,
        after=("softmax",),
        task="Turn logits into probabilities at a temperature",
        tests=laws_of(
            "distillation",
            "test_a_hotter_softmax_is_the_same_order_nearer_to_uniform",
            "test_the_classes_are_on_the_last_axis",
            "test_a_constant_added_to_all_logits_changes_nothing"),
        hints=("A softmax of what?",
               "softmax(z / T) over the last axis, as an ndarray.",
               "return F.softmax(logits / ...).data"),
        also=("The logits arrive in float64, and so the result is float64.",),
        mistakes=(
            Mistake("/ temperature", "* temperature",
                    "A high temperature makes the classes more alike: divide the logits by "
                    "T."),
            Mistake("logits / temperature", "logits",
                    "You do not use the temperature."),
            Mistake("/ temperature)", "/ temperature, axis=1)",
                    "Logits may have one axis, or three: the classes are the last one, axis "
                    "-1."),
            Mistake("/ temperature)", "/ temperature, axis=0)",
                    "Each row is a sample: softmax goes over the classes, the last axis."),
            Mistake("logits / temperature", "logits.astype(np.float32) / np.float32(temperature)",
                    "In float32 z / T may overflow: stay in float64."),
            Mistake("F.softmax(logits / temperature).data", "F.softmax(logits).data / temperature",
                    "The logits are divided, not the probabilities, which would no longer "
                    "sum to 1."),
            Mistake("F.softmax(logits / temperature).data",
                    "F.log_softmax(logits / temperature).data",
                    "Probabilities are asked for, not their logarithms."),
            Mistake("F.softmax(logits / temperature).data", "F.softmax(logits / temperature)",
                    "The result is an ndarray: take .data."),
            Mistake("F.softmax(logits / temperature).data",
                    "F.softmax(logits).data ** (1 / temperature)",
                    "Powers of probabilities must be normalised again: divide the logits by "
                    "T instead."))),
    Exercise(
        name="distillation_loss",
        target="tinyml.compression.distillation:distillation_loss",
        level=3, minutes=25,
        after=("soften", "cross_entropy"),
        task="Compute the student's loss on labels and on soft targets, with gradients of one "
             "scale at every temperature",
        tests=laws_of(
            "distillation",
            "test_the_loss_is_the_formula_of_the_notes_in_a_slow_loop",
            "test_the_gradient_is_that_of_the_paper",
            "test_logits_of_more_axes_are_rows",
            "test_float32_loses_no_digits_at_any_temperature"),
        hints=("Two losses: the usual one on labels at T = 1, and a divergence between two "
               "softened distributions.",
               '(1 - alpha) F.cross_entropy(z_s, y) + alpha T^2 F.kl_div(ln p_s, p_t, '
               '"batchmean") with ln p_s = F.log_softmax(z_s / T) and p_t = soften(z_t, '
               'temperature=T), on rows (n, C). Without a target the second part alone.',
               "z_s = _cast(student_logits, dtype=np.float64).reshape(-1, C); p_t = "
               "soften(teacher_logits.reshape(-1, C), ...); kl = F.kl_div(...); ce = 0.0 if "
               "target is None else F.cross_entropy(z_s, _rows(target, student_logits)); loss = "
               "...; return _cast(loss, dtype=student_logits.dtype)"),
        also=("_cast(z, dtype=np.float64) is z in float64: in float32 the factor T^2 would "
              "magnify rounding. The loss has the dtype of the student's logits.",
              "_rows(target, student_logits) are the labels (n,), or the probabilities (n, C)."),
        mistakes=(
            Mistake("T ** 2 * kl", "kl",
                    "The gradient of the soft part shrinks as 1 / T^2: the factor T^2 keeps "
                    "it on one scale."),
            Mistake("T ** 2 * kl", "T * kl",
                    "The factor is T squared."),
            Mistake("(1 - alpha) * ce + alpha * T ** 2 * kl",
                    "alpha * ce + (1 - alpha) * T ** 2 * kl",
                    "alpha is the weight of the teacher, 1 - alpha that of the labels."),
            Mistake("soften(teacher_logits.reshape(-1, C), temperature=T)",
                    "soften(teacher_logits.reshape(-1, C), temperature=1)",
                    "The teacher too is softened at the temperature T."),
            Mistake("F.log_softmax(z_s / T)", "F.log_softmax(z_s)",
                    "Student and teacher are compared at the same temperature: divide the "
                    "student's logits by T too."),
            Mistake("_cast(student_logits, dtype=np.float64).reshape(-1, C)",
                    "student_logits.reshape(-1, C)",
                    "In float32 the factor T^2 magnifies the rounding: compute in float64."),
            Mistake('F.kl_div(log_p_s, p_t, "batchmean")', "(p_t * -log_p_s).sum() / len(p_t)",
                    "This is the cross-entropy between the two; KL is less than that by the "
                    "teacher's entropy, and 0 where both agree."),
            Mistake("F.cross_entropy(z_s, ", "F.cross_entropy(z_s / T, ",
                    "The labels are learned at temperature 1: only the soft part has T."),
            Mistake('p_t, "batchmean"', 'p_t, "mean"',
                    'KL sums over the classes and averages over the samples, "batchmean"; '
                    '"mean" divides by the number of classes too.'),
            Mistake('F.kl_div(log_p_s, p_t, "batchmean")',
                    'F.kl_div(F.log_softmax(teacher_logits.reshape(-1, C) / T), F.softmax(z_s / '
                    'T), "batchmean")',
                    "The divergence is reversed: it is KL(p_t || p_s), with the teacher's "
                    "probabilities as weights."),
            Mistake("F.log_softmax(z_s / T)", "(F.softmax(z_s / T) + 1e-8).log()",
                    "ln(p + eps) changes small probabilities: F.log_softmax needs no eps."),
            Mistake('p_t, "batchmean"', 'p_t, "sum"',
                    "The loss is the mean over the samples: divide by their number."),
            Mistake("alpha * T ** 2 * kl", "T ** 2 * kl",
                    "The soft part has the weight alpha."),
            Mistake("(1 - alpha) * ce", "ce",
                    "The labels have the weight 1 - alpha."))),
    Exercise(
        name="solve_bias",
        target="tinyml.compression.distillation:solve_bias",
        level=2, minutes=20,
        after=("soften",),
        task="Find what to add to a class's logit so that it is predicted for a given share of "
             "the rows",
        tests=laws_of(
            "distillation",
            "test_with_the_solved_bias_the_class_is_predicted_as_often_as_asked"),
        hints=("By how much does class c lose in each row? It wins those rows where that is "
               "less than b.",
               "margins m_i = max over the other classes - z_ic, sorted; b half-way between the "
               "k-th and the next, k = round(share n). Put m_1 - 2 in front and m_n + 2 behind, "
               "and k = 0 and k = n need no case of their own.",
               "rivals = np.delete(logits, class_index, axis=1).max(axis=1); margins = "
               "np.sort(rivals - ...); bounds = [margins[0] - 2, *margins, margins[-1] + 2]; k "
               "= round(...); return float(bounds[k] + bounds[k + 1]) / 2"),
        also=("k = round(share n) rounds half to even, as Python does.",
              "Rows whose margins tie are all predicted as c, or none of them is."),
        mistakes=(
            Mistake("np.sort(rivals - logits[:, class_index])", "rivals - logits[:, class_index]",
                    "You need the k-th smallest margin: sort them."),
            Mistake("np.delete(logits, class_index, axis=1).max(axis=1)", "logits.max(axis=1)",
                    "The rivals are the other classes: leave c itself out of the maximum."),
            Mistake("rivals - logits[:, class_index]", "logits[:, class_index] - rivals",
                    "The sign: c is predicted where b is above the largest other logit "
                    "minus its own."),
            Mistake("round(share * len(margins))", "int(share * len(margins))",
                    "k is share n rounded to the nearest integer."),
            Mistake("round(share * len(margins))", "int(share * len(margins) + 0.5)",
                    "A half is rounded to the even number, as Python's round does, not "
                    "always up."),
            Mistake("margins[0] - 2, margins[-1] + 2", "margins[0] - 1, margins[-1] + 1",
                    "For no row or for every row, b is 1 beyond the margins: yours is 1/2 beyond "
                    "them."),
            Mistake("float(bounds[k] + bounds[k + 1]) / 2", "float(bounds[k])",
                    "On a margin itself the row is undecided: go half-way to the next one."),
            Mistake("    return float(bounds[k] + bounds[k + 1]) / 2",
                    "    k = len(margins) - k\n"
                    "    return float(bounds[k] + bounds[k + 1]) / 2",
                    "A larger bias wins more rows: count k from the smallest margin."),
            Mistake("float(bounds[k] + bounds[k + 1]) / 2", "float(bounds[k + 1])",
                    "On a margin itself the row is undecided: go half-way to the one before."),
            Mistake("round(share * len(margins))", "round((1 - share) * len(margins))",
                    "share is how often c is predicted: count k from the smallest margin."))),
))
