"""Functions: softmax and its relatives, losses, distances. All must survive large numbers."""
from tinyml.exercises.exercise import Chapter, Exercise, Mistake, laws_of

CHAPTER = Chapter("functional", "Functions: softmax, losses, distances", (
    Exercise(
        name="softmax",
        target="tinyml.ops.reductions:softmax",
        level=2, minutes=15,
        after=("mul",),
        task="Turn numbers into probabilities, with the vjp, so that nothing overflows",
        tests=laws_of(
            "ops",
            "test_value_is_that_of_numpy[softmax]",
            "test_gradient_is_the_slope_in_a_random_direction[softmax]",
            "test_float32_stays_float32_whatever_the_constants[softmax]",
            "test_nothing_is_written_to[softmax]",
            "test_nothing_overflows") + laws_of(
            "functional",
            "test_softmax_is_a_distribution_that_a_shift_does_not_change"),
        hints=("A constant added to all entries changes nothing. Choose one with which e^x "
               "cannot overflow.",
               "p = e^(x - max x) / sum, over the axis with keepdims=True. The gradient of x is "
               "p (g - sum p g).",
               "e = np.exp(x - x.max(axis=axis, keepdims=True)); p = e / its sum; return p, "
               "(lambda g: p * (g - (p * g).sum(axis=axis, keepdims=True)),)"),
        also=("axis may also be None, for all entries, or a tuple. Call _count first: it refuses an "
              "axis without entries.",),
        mistakes=(
            Mistake("np.exp(x - _largest(x, axis))", "np.exp(x)",
                    "e^x overflows for large x: subtract the maximum first, it changes no "
                    "probability."),
            Mistake("p * (g - add_up(p * g, axis, True))", "p * (1 - p) * g",
                    "This is the sigmoid's slope: in a softmax every entry changes all the "
                    "others, p (g - sum p g)."),
            Mistake("add_up(p * g, axis, True)", "add_up(g, axis, True)",
                    "What is subtracted is the mean of g under p, sum p g, not the plain "
                    "sum of g."),
            Mistake("e / add_up(e, axis, True)", "e / e.sum(axis=axis)",
                    "The sum has lost the axis, so it divides the wrong entries: keepdims=True, "
                    "also for the maximum and in the vjp."),
            Mistake("e / add_up(e, axis, True)", "e / e.sum()",
                    "The probabilities sum to 1 along the axis, not over the whole array."),
            Mistake("e / add_up(e, axis, True)", "e / e.sum(axis=-1, keepdims=True)",
                    "The axis is an argument: you always sum over the last one."),
            Mistake("p * (g - add_up(p * g, axis, True))", "p * g",
                    "Every entry of a softmax depends on all inputs: subtract the mean of g "
                    "under p, p (g - sum p g)."),
            Mistake("_largest(x, axis)", "x.max()",
                    "Subtract the maximum of each slice along the axis: in a slice far below the "
                    "overall maximum, every e^x is 0, and so is the sum."),
            Mistake("p = e / add_up(e, axis, True)", "p = e / e.max(axis=axis, keepdims=True)",
                    "Probabilities sum to 1: divide by the sum, not by the maximum."),
            Mistake("p * (g - add_up(p * g, axis, True))", "p * g - add_up(p * g, axis, True)",
                    "The factor p belongs to both terms: p (g - sum p g)."))),
    Exercise(
        name="logsumexp",
        target="tinyml.ops.reductions:logsumexp",
        level=2, minutes=20,
        after=("softmax",),
        examples=300,
        task="Compute ln sum e^x over an axis, with its vjp, for numbers of any size",
        tests=laws_of(
            "ops",
            "test_value_is_that_of_numpy[logsumexp]",
            "test_gradient_is_the_slope_in_a_random_direction[logsumexp]",
            "test_float32_stays_float32_whatever_the_constants[logsumexp]",
            "test_nothing_is_written_to[logsumexp]",
            "test_nothing_overflows",
            "test_logsumexp_of_nothing_but_minus_infinity",
            "test_the_slope_of_logsumexp_at_infinity_is_a_number",
            "test_logsumexp_with_infinity_is_infinity"),
        hints=("Take the largest entry out of the sum: e^x = e^m e^(x - m).",
               "y = m + ln sum e^(x - m) with m = max x along the axis. The gradient of x is g "
               "times the softmax of x.",
               "Keep the axis (keepdims=True) while you compute, use 0 for m where it is "
               'infinite, take the logarithm inside np.errstate(divide="ignore"), squeeze at the '
               "end; the vjp is _expand(g, ...) * e / total, with 1 for a total of 0. Where m = "
               "inf, replace x by 0 at the entries that are inf, and by -inf at the others."),
        also=("axis may be None, for all entries, an int or a tuple. Call _count first: it refuses an "
              "axis without entries.",),
        mistakes=(
            Mistake("m = x.max(axis=axis, keepdims=True)",
                    "m = x.max(keepdims=True)",
                    "Subtract the maximum of each slice along the axis: in a slice far below the "
                    "overall maximum, every e^x is 0, and ln 0 is -inf."),
            Mistake("m = x.max(axis=axis, keepdims=True)",
                    "m = np.zeros_like(x.max(axis=axis, keepdims=True))",
                    "e^x overflows for large x: take the maximum out of the sum."),
            Mistake("np.where(infinite, 0, m)", "m",
                    "Where all entries are -inf, x - max x is -inf - (-inf), a NaN: use 0 "
                    "for such a maximum."),
            Mistake("np.isinf(m)", "m == -np.inf",
                    "A maximum of +infinity also gives infinity - infinity, a NaN: use 0 for it "
                    "too."),
            Mistake("(np.log(total) + m)", "np.log(total)",
                    "Add the maximum that was taken out of the sum: y = m + ln sum e^(x - m)."),
            Mistake("* (e / np.where(total == 0, 1, total))", "* e",
                    "The gradient is g times softmax(x): divide e by the total."),
            Mistake("np.where(total == 0, 1, total)", "total",
                    "Where all entries are -inf, e and the total are 0, and 0 / 0 is NaN: "
                    "their slope is 0."),
            Mistake("y if keepdims else y.squeeze(axis)", "y",
                    "Without keepdims the result has no reduced axes: remove them."),
            Mistake("_expand(g, axis, x.ndim, keepdims) * (e", "g * (e",
                    "g has lost the reduced axes: put them back with _expand before it "
                    "meets x."),
            Mistake("(np.log(total) + m)", "(np.log(total) - m)",
                    "What was subtracted before the exponential is added back after the "
                    "logarithm: + m."),
            Mistake("total = add_up(e, axis, True)", "total = e.mean(axis=axis, keepdims=True)",
                    "It is the logarithm of the sum, not of the mean."),
            Mistake("(np.log(total) + m)", "(np.log2(total) + m)",
                    "ln is the natural logarithm, np.log."))),
    Exercise(
        name="label_cross_entropy",
        target="tinyml.ops.reductions:label_cross_entropy",
        level=2, minutes=20,
        after=("logsumexp",),
        task="Compute -ln softmax(z)_y of each row in one step, with the simple gradient "
             "softmax(z) - onehot(y)",
        tests=laws_of(
            "ops",
            "test_value_is_that_of_numpy[label_cross_entropy]",
            "test_gradient_is_the_slope_in_a_random_direction[label_cross_entropy]",
            "test_float32_stays_float32_whatever_the_constants[label_cross_entropy]",
            "test_nothing_is_written_to[label_cross_entropy]",
            "test_nothing_overflows") + laws_of(
            "functional",
            "test_cross_entropy_is_minus_log_softmax_at_the_label"),
        hints=("-ln softmax(z)_y = ln sum e^z - z_y; subtract the row's maximum from z first.",
               "z_y of all rows: z.reshape(-1, C)[np.arange(n), labels.ravel()], back in the "
               "shape of labels. The gradient of a row is (softmax(z) - onehot(y)) g, and for "
               "the mean it is divided by n.",
               'onehot = labels[..., None] == np.arange(C); the vjp is (e / total - onehot) * '
               'share, with share = g / n for "mean", g for "sum" and g[..., None] for "none".'),
        mistakes=(
            Mistake("logits - logits.max(axis=-1, keepdims=True)", "logits",
                    "e^z overflows for large z: subtract the maximum of the row, it changes "
                    "no loss."),
            Mistake('n = y.size if reduction == "mean" else 1', "n = 1",
                    "The mean divides by the number of rows, in the value and in the "
                    "gradient."),
            Mistake("(e / total - onehot)", "(onehot - e / total)",
                    "The sign of the gradient: softmax(z) - onehot(y)."),
            Mistake("(e / total - onehot)", "(e - onehot)",
                    "The gradient has the probabilities in it: e divided by its sum."),
            Mistake("else g / n", "else 1 / n",
                    "The vjp multiplies by the gradient g from above."),
            Mistake("else g / n", "else g",
                    "The mean has a factor 1 / n in its gradient as well: g / n."),
            Mistake("y = np.log(total)[..., 0] - z[onehot].reshape(labels.shape)",
                    "y = -np.log((e / total)[onehot].reshape(labels.shape))",
                    "A probability may underflow to 0, and its logarithm is infinite: compute ln "
                    "sum e^z - z_y instead."),
            Mistake("y = np.log(total)[..., 0] - z[onehot].reshape(labels.shape)",
                    "e = np.exp(logits)\n"
                    "    total = e.sum(axis=-1, keepdims=True)\n"
                    "    y = -np.log((e / total)[onehot].reshape(labels.shape))",
                    "e^z overflows for large z, and the logarithm of a probability of 0 is "
                    "infinite: subtract the maximum of the row, and compute ln sum e^z - "
                    "z_y."),
            Mistake("y.sum() / n", "y.sum() / logits.size",
                    "The mean is over the rows: divide by how many there are, not by the "
                    "number of all logits."),
            Mistake("y = np.log(total)[..., 0] - z[onehot].reshape(labels.shape)",
                    "y = z[onehot].reshape(labels.shape) - np.log(total)[..., 0]",
                    "The sign: the loss is -ln p, which is not negative."),
            Mistake("np.log(total)[..., 0]", "np.log2(total)[..., 0]",
                    "ln is the natural logarithm, np.log."),
            Mistake("(e / total - onehot)", "(e / total)",
                    "The gradient is softmax(z) - onehot(y): the label is missing."))),
    Exercise(
        name="cross_entropy",
        target="tinyml.functional.losses:cross_entropy",
        level=2, minutes=20,
        after=("label_cross_entropy",),
        task="Compute the cross-entropy for labels as well as for probabilities as targets",
        tests=laws_of(
            "functional",
            "test_cross_entropy_is_minus_log_softmax_at_the_label",
            "test_cross_entropy_of_rows_with_many_axes_is_that_of_the_rows_in_a_line",
            "test_mean_is_sum_over_count_is_the_mean_of_none[cross_entropy]",
            "test_cross_entropy_is_at_least_the_entropy",
            "test_cross_entropy_of_ignorance_is_log_c_and_of_huge_logits_exact"),
        hints=("The shape of the target tells which kind it is: that of the logits, or one axis "
               "less.",
               "Probabilities: -sum over classes of t ln softmax(z), with log_softmax, handed "
               "to _reduce. Labels: ops.label_cross_entropy(logits, labels=..., reduction=...).",
               'logits = as_tensor(logits). If check_shape("cross_entropy", "target", target) '
               '== logits.shape: losses = -ops.sum(target * log_softmax(logits), axis=-1); '
               'return _reduce("cross_entropy", losses, reduction). Otherwise labels = '
               'check_integers("cross_entropy", "target", target); return '
               'ops.label_cross_entropy(logits, labels=..., reduction=...).'),
        also=("Write no other checks, and leave out ignore_index, label_smoothing and weight.",),
        mistakes=(
            Mistake("losses = -ops.sum(", "losses = ops.sum(",
                    "The sign: the logarithm of a probability is negative, the loss is not."),
            Mistake("-ops.sum(target * log_softmax(logits), axis=-1)",
                    "-ops.mean(target * log_softmax(logits), axis=-1)",
                    "The terms of the classes are summed, not averaged."),
            Mistake("target * log_softmax(logits)", "target * ops.log(ops.softmax(logits))",
                    "ln softmax(z) is -inf where softmax underflows to 0: log_softmax "
                    "computes it in one step."),
            Mistake("log_softmax(logits)", "logits",
                    "Logits are not log-probabilities: apply log_softmax."),
            Mistake("labels=labels, reduction=reduction", 'labels=labels, reduction="mean"',
                    "The reduction is an argument: you always take the mean for labels."),
            Mistake("log_softmax(logits), axis=-1)", "log_softmax(logits, 1), axis=1)",
                    "The classes are on the last axis, which is axis 1 only if there are "
                    "two."),
            Mistake("log_softmax(logits), axis=-1)", "log_softmax(logits), axis=0)",
                    "Each row is a sample: the sum goes over the classes, the last axis."),
            Mistake("target * log_softmax(logits)", "target * ops.softmax(logits)",
                    "The logarithm is missing: -sum t ln p."),
            Mistake("-ops.sum(target * log_softmax(logits), axis=-1)",
                    "-ops.sum(ops.softmax(logits) * ops.log(target), axis=-1)",
                    "The roles are exchanged: the logarithm is of the prediction, the "
                    "weights are the target."),
            Mistake("ops.label_cross_entropy(logits, labels",
                    "-ops.label_cross_entropy(logits, labels",
                    "ops.label_cross_entropy is already a loss: put no minus in front."))),
    Exercise(
        name="normalize",
        target="tinyml.functional.distances:normalize",
        level=2, minutes=15,
        after=("mul",),
        hide=("_scaled", "_length", "_powers"),
        task="Divide vectors by their lengths, so that a zero vector stays zero with a finite "
             "gradient",
        tests=laws_of(
            "functional",
            "test_normalize_gives_length_one_in_the_same_direction",
            "test_normalize_divides_along_its_axis",
            "test_a_length_below_eps_is_eps",
            "test_a_zero_vector_stays_zero_with_a_finite_gradient",
            "test_a_direction_survives_any_length",
            "test_gradient_is_the_slope[normalize]"),
        hints=("The root has an infinite slope at 0, and infinity times 0 is NaN: keep 0 away "
               "from the root. And a square overflows long before a length does.",
               "||x||_p = (sum |x|^p)^(1/p), axis kept. Divide by the largest |x| first, or by "
               "eps if that is larger: with u = x / scale, x / max(||x||, eps) = u / max(||u||, "
               "1). Clip the sum, then take the root.",
               "scale = np.abs(x.data).max(axis=axis, keepdims=True, initial=eps); u = x / "
               "scale; total = ops.sum(ops.abs(u) ** p, axis=axis, keepdims=True); return u / "
               "ops.clip(total, low=1.0) ** (1 / p)"),
        mistakes=(
            Mistake("_length(x, axis, p, keepdims=True)",
                    "ops.clip(ops.sum(ops.abs(x) ** p, axis=axis, keepdims=True) ** (1 / p), "
                    "low=1.0)",
                    "At 0 the root's slope is infinite, and clipping afterwards leaves "
                    "infinity times 0, a NaN: clip the sum first, then take the root."),
            Mistake("_length(x, axis, p, keepdims=True)",
                    "ops.clip(ops.sum(x ** p, axis=axis, keepdims=True), low=1.0) ** (1 / p)",
                    "|x|^p needs the absolute value: for odd p negative entries would be "
                    "subtracted."),
            Mistake("_length(x, axis, p, keepdims=True)",
                    "_length(x, axis, p, keepdims=True) ** p",
                    "The length is the p-th root of the sum."),
            Mistake("_length(x, axis, p, keepdims=True)", "_length(x, axis, keepdims=True)",
                    "The order p of the norm is an argument: yours is always 2."),
            Mistake("_length(x, axis, p, keepdims=True)",
                    "(ops.sum(x * x if p == 2 else _powers(x, p), axis=axis, keepdims=True) + "
                    "1e-30) ** (1 / p)",
                    "A length below eps counts as eps: add nothing to the sum, but clip it, at 1 "
                    "after the division by the scale."),
            Mistake("    x = _scaled(x, axis, eps)\n",
                    "",
                    "The squares of large numbers overflow, and those of small ones are 0: "
                    "divide by the largest |x| first."),
            Mistake("_length(x, axis, p, keepdims=True)",
                    "(_length(x, axis, p, keepdims=True) + eps)",
                    "The divisor is max(||x||, eps): eps is not added to the length."),
            Mistake("_length(x, axis, p, keepdims=True)", "_length(x, None, p, keepdims=True)",
                    "Each vector along the axis has a length of its own: pass the axis to "
                    "the sum."),
            Mistake("    return x / _length(x, axis, p, keepdims=True)", "    return x",
                    "You divide by the largest entry only; divide by the norm too."),
            Mistake("_length(x, axis, p, keepdims=True)", "_length(x, axis, 1.0, keepdims=True)",
                    "The order of the norm is p, and yours is 1."),
            Mistake("_length(x, axis, p, keepdims=True)",
                    "_length(x, axis, p, keepdims=True) ** 2",
                    "Divide by the norm, not by its square."),
            Mistake("x = _scaled(x, axis, eps)\n"
                    "    return x / _length(x, axis, p, keepdims=True)",
                    "length = ops.sum(ops.abs(x) ** p, axis=axis, keepdims=True) ** (1 / p)\n"
                    "    return x / ops.clip(length, low=eps)",
                    "Large entries overflow in |x|^p, and a root has no finite slope at 0: "
                    "divide by the largest entry first, and clip before the root."))),
    Exercise(
        name="cosine_similarity",
        target="tinyml.functional.distances:cosine_similarity",
        level=1, minutes=10,
        after=("normalize",),
        hide=("_length", "_broadcast"),
        task="Compute the cosine of the angle between vectors along an axis",
        tests=laws_of(
            "functional",
            "test_cosine_is_bounded_symmetric_and_blind_to_length",
            "test_cosine_is_along_its_axis",
            "test_cosine_of_shapes_that_broadcast",
            "test_a_length_below_eps_is_eps",
            "test_a_zero_vector_stays_zero_with_a_finite_gradient",
            "test_gradient_is_the_slope[cosine_similarity]"),
        hints=("It is the scalar product, divided by both lengths.",
               "Bring both to one shape first, with ops.broadcast_to: a number that is repeated "
               "along the axis counts each time in the length. A length is the root of a sum of "
               "squares along the axis; clip the sum at eps^2 before you take the root.",
               "u, v = (ops.broadcast_to(x, shape=np.broadcast_shapes(x1.shape, x2.shape)) for "
               "x in (x1, x2)); the length of u is ops.clip(ops.sum(u * u, axis=axis), low=eps "
               "** 2) ** 0.5; return ops.sum(u * v, axis=axis) / ..."),
        mistakes=(
            Mistake("_scaled(x2, axis, eps)", "_scaled(x1, axis, eps)",
                    "It is the angle between x1 and x2: you do not use x2."),
            Mistake("ops.sum(u * v, axis=axis)", "ops.mean(u * v, axis=axis)",
                    "A scalar product sums; you take the mean."),
            Mistake("u_dot_v / (_length(u, axis) * _length(v, axis))",
                    "ops.sum(x1 * x2, axis=axis)",
                    "This is the plain scalar product, which grows with the lengths: divide "
                    "by both."),
            Mistake("ops.sum(u * v, axis=axis)", "ops.sum(u * v, axis=axis, keepdims=True)",
                    "The result does not have this axis: leave out keepdims."),
            Mistake("_length(u, axis) * _length(v, axis)",
                    "_length(u, axis, 1) * _length(v, axis, 1)",
                    "The length is the Euclidean one, p = 2."),
            Mistake("_scaled(x1, axis, eps), _scaled(x2, axis, eps)",
                    "_scaled(x1, axis, 1e-12), _scaled(x2, axis, 1e-12)",
                    "eps is an argument: a length below it counts as eps."),
            Mistake("u_dot_v / (_length(u, axis) * _length(v, axis))",
                    "u_dot_v / (_length(u, 1) * _length(v, 1))",
                    "The vectors lie along `axis`: their lengths are along it too."),
            Mistake('    x1, x2 = _broadcast("cosine_similarity", x1, x2)\n',
                    '    _broadcast("cosine_similarity", x1, x2)\n',
                    "A number that is repeated along the axis counts each time in the "
                    "length: broadcast both to one shape first."),
            Mistake("ops.sum(u * v, axis=axis)", "ops.sum(u * v, axis=-1)",
                    "The sum is over `axis`, which need not be the last one."),
            Mistake("u_dot_v / (_length(u, axis) * _length(v, axis))",
                    "u_dot_v / _length(u, axis)",
                    "Only the directions of both vectors count: divide by both lengths."),
            Mistake("return u_dot_v /", "return 1 - u_dot_v /",
                    "1 - cos is the cosine distance; the similarity is cos itself."),
            Mistake("(_length(u, axis) * _length(v, axis))",
                    "(_length(u, axis) * _length(v, axis)) ** 2",
                    "Divide by the lengths, not by their squares."),
            Mistake("(_length(u, axis) * _length(v, axis))",
                    "(_length(u, axis) + _length(v, axis))",
                    "Divide by the product of the lengths, not by their sum."))),
))
