"""Functions: softmax and its relatives, losses. All must survive large numbers."""
from tinyml.exercises.exercise import Chapter, Exercise, Mistake, laws_of

CHAPTER = Chapter("functional", "Functions: softmax, losses", (
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
                    "The factor p belongs to both terms: p (g - sum p g)."),
            Mistake("        e = np.exp(x - _largest(x, axis))\n"
                    "    p = e / add_up(e, axis, True)\n",
                    "        e = np.exp(x - _largest(x, -1))\n"
                    "    p = e / e.sum(axis=-1, keepdims=True)\n",
                    "The axis is an argument: you always sum over the last one."),
            Mistake("p * (g - add_up(p * g, axis, True))", "g - p * add_up(g, axis, True)",
                    "This is the vjp of log softmax; that of softmax is p (g - sum p g)."),
            Mistake("add_up(p * g, axis, True)", "np.sum(p * g)",
                    "The sum in the vjp is over the axis too: each slice has its own sum p g."),
            Mistake("add_up(p * g, axis, True)", "(p * g).mean(axis=axis, keepdims=True)",
                    "What is subtracted is the sum of p g, not its mean: p is the weight "
                    "already."),
            Mistake("p * (g - add_up(p * g, axis, True))",
                    "p * (g + add_up(p * g, axis, True))",
                    "The sign: raising one input lowers all other probabilities, p (g - sum "
                    "p g)."),
            Mistake("p * (g - add_up(p * g, axis, True))", "p * (1 - p)",
                    "A vjp multiplies by the gradient g, and every entry changes all the "
                    "others: p (g - sum p g)."),
            Mistake("np.exp(x - _largest(x, axis))",
                    "np.exp(x - x.mean(axis=axis, keepdims=True))",
                    "Subtract the maximum, not the mean: a difference above the mean may "
                    "still overflow."),
            Mistake("p.astype(x.dtype, copy=False), (lambda g: p * (g - add_up(p * g, axis, "
                    "True)),)",
                    "np.log(p), (lambda g: g - p * add_up(g, axis, True),)",
                    "This is log softmax; the probabilities themselves are asked for."),
            Mistake("    p = e / add_up(e, axis, True)\n",
                    "    p = e / (add_up(e, axis, True) + 1e-8)\n",
                    "Add nothing to the sum: with the maximum subtracted it is at least 1."),
            Mistake("(g - add_up(p * g, axis, True))", "(g - add_up(p * g, -1, True))",
                    "The sum of p g in the vjp is over the same axis as the softmax."))),
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
            Mistake("* (e / np.where(total == 0, 1, total))",
                    "* (e / np.where(total == 0, 1, total)) * "
                    "(1 - e / np.where(total == 0, 1, total))",
                    "The gradient is g times p = softmax(x): p (1 - p) is how an entry of the "
                    "softmax changes with its own x."),
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
                    "ln is the natural logarithm, np.log."),
            Mistake("infinite = np.isinf(m)", "infinite = np.zeros_like(m, dtype=bool)",
                    "x - max x is NaN where the maximum is infinite, inf or -inf: use 0 for "
                    "such a maximum."),
            Mistake("    m = x.max(axis=axis, keepdims=True)\n"
                    "    infinite = np.isinf(m)\n"
                    "    if infinite.any():    # then only the entries that are inf count\n"
                    "        x = np.where(infinite, np.where(x == np.inf, 0, "
                    "-np.inf).astype(x.dtype), x)\n"
                    '    with np.errstate(over="ignore", divide="ignore"):    # e^-inf = 0 '
                    "and ln 0 = -inf\n"
                    "        e = np.exp(x - np.where(infinite, 0, m))\n"
                    "        total = add_up(e, axis, True)\n"
                    "        y = (np.log(total) + m).astype(x.dtype, copy=False)\n"
                    "    return (y if keepdims else y.squeeze(axis),\n"
                    "            (lambda g: _expand(g, axis, x.ndim, keepdims) * (e / "
                    "np.where(total == 0, 1, total)),)",
                    "    e = np.exp(x)\n"
                    "    total = e.sum(axis=axis, keepdims=True)\n"
                    "    y = np.log(total)\n"
                    "    return (y if keepdims else y.squeeze(axis),\n"
                    "            (lambda g: _expand(g, axis, x.ndim, keepdims) * (e / "
                    "total),)",
                    "e^x overflows for large x, and 0 / 0 is NaN where all e^x are 0: take "
                    "the maximum out of the sum."),
            Mistake("_expand(g, axis, x.ndim, keepdims) * (e / np.where(total == 0, 1, "
                    "total))",
                    "e / np.where(total == 0, 1, total)",
                    "A vjp multiplies by the gradient g that comes from above; yours forgets "
                    "it."),
            Mistake("(e / np.where(total == 0, 1, total))",
                    "(x == x.max(axis=axis, keepdims=True))",
                    "This is the slope of the maximum; that of logsumexp is softmax(x), for "
                    "every entry."),
            Mistake("    if infinite.any():    # then only the entries that are inf count\n"
                    "        x = np.where(infinite, np.where(x == np.inf, 0, "
                    "-np.inf).astype(x.dtype), x)\n",
                    "",
                    "Where the maximum is inf, e^x is inf too, and inf / inf is NaN: the "
                    "entries that are inf share the slope, the others get 0."),
            Mistake("(np.log(total) + m)", "(np.log1p(total) + m)",
                    "The sum holds e^(x - m) of the largest entry already: no 1 is added to "
                    "it."),
            Mistake("(np.log(total) + m)", "(np.exp(m) * total)",
                    "The logarithm is missing: m + ln sum e^(x - m)."))),
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
            "test_the_mean_of_label_cross_entropy_is_that_of_all_rows",
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
                    "The gradient is softmax(z) - onehot(y): the label is missing."),
            Mistake('n = y.size if reduction == "mean" else 1',
                    'n = len(logits) if reduction == "mean" else 1',
                    "The mean is over all rows: divide by labels.size. The first axis is "
                    "only one of several, or none."),
            Mistake("(e / total - onehot)", "(logits - onehot)",
                    "The gradient is softmax(z) - onehot(y): the probabilities, not the "
                    "logits."),
            Mistake("return (e / total - onehot) * share", "return e / total - onehot",
                    "The vjp multiplies by the gradient g from above, and divides by n for "
                    "the mean."),
            Mistake('share = g[..., None] if reduction == "none" else g / n',
                    "share = g[..., None] if np.ndim(g) else g / y.size",
                    'Only "mean" divides by the number of rows: the gradient of "sum" is not '
                    "divided."),
            Mistake('share = g[..., None] if reduction == "none" else g / n',
                    "share = g / n",
                    'For "none" there is one g for each row: g[..., None] multiplies all '
                    "classes of the row."),
            Mistake("- z[onehot].reshape(labels.shape)",
                    "- np.sum(z * (1 - onehot), axis=-1)",
                    "Subtract the logit of the label: yours sums those of the other classes."),
            Mistake('value = y if reduction == "none" else y.sum() / n',
                    "value = y.sum() / n",
                    'With reduction "none" the losses of all rows are returned, unreduced.'),
            Mistake('value = y if reduction == "none" else y.sum() / n',
                    'value = y if reduction == "none" else y.mean()',
                    '"sum" is the sum of all losses, not their mean.'))),
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
                    "ops.label_cross_entropy is already a loss: put no minus in front."),
            Mistake("    if shape == z_shape:    # probabilities\n", "    if False:\n",
                    "The target may hold probabilities too: it does if it has the shape of "
                    "the logits."),
            Mistake("losses = -ops.sum(target * log_softmax(logits), axis=-1)",
                    "target = as_tensor(target)\n"
                    "        losses = ops.sum(target * (ops.log(target + 1e-12) - "
                    "log_softmax(logits)), axis=-1)",
                    "This is the Kullback-Leibler divergence; the cross-entropy is -sum t ln "
                    "softmax(z), without the entropy of t."),
            Mistake("        losses = -ops.sum(target * log_softmax(logits), axis=-1)\n"
                    '        return _reduce("cross_entropy", losses, reduction, '
                    "logits=logits, target=target)",
                    "        return ops.label_cross_entropy(logits, "
                    "labels=as_tensor(target).data.argmax(axis=-1), reduction=reduction)",
                    "The most likely class is not the whole target: each class counts with "
                    "its probability."),
            Mistake('_reduce("cross_entropy", losses, reduction, logits=logits, '
                    "target=target)",
                    "losses",
                    "The reduction is an argument: hand the losses to _reduce."),
            Mistake('_reduce("cross_entropy", losses, reduction, logits=logits, '
                    "target=target)",
                    '_reduce("cross_entropy", losses, "mean", logits=logits, target=target)',
                    "The reduction is an argument: you always take the mean for "
                    "probabilities."),
            Mistake("losses = -ops.sum(target * log_softmax(logits), axis=-1)",
                    "target = as_tensor(target)\n"
                    "        losses = -ops.sum(target * log_softmax(logits) + (1 - target) * "
                    "ops.log(1 - ops.softmax(logits) + 1e-12), axis=-1)",
                    "This is the binary cross-entropy of each class; only the terms t ln p "
                    "are summed."),
            Mistake("target * log_softmax(logits)",
                    "target * log_softmax(ops.softmax(logits))",
                    "log_softmax takes the logits themselves: yours applies softmax twice."))),
))
