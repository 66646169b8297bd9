"""Pruning (10.2.1): which weights go, and how fast."""
from tinyml.exercises.exercise import Chapter, Exercise, Mistake, laws_of

CHAPTER = Chapter("pruning", "10.2.1 Pruning: masks and schedules", (
    Exercise(
        name="threshold_mask",
        target="tinyml.compression.pruning:threshold_mask",
        level=1, minutes=5,
        task="Keep the weights whose magnitude is at least the threshold",
        tests=laws_of(
            "pruning",
            "test_a_threshold_keeps_what_is_as_large_or_larger_of_either_sign",
            "test_without_ties_the_notes_threshold_gives_the_same_mask"),
        hints=("Compare the whole array with the threshold at once: that gives an array of bool.",
               "m_j = |theta_j| >= tau, of the shape of the weight.",
               "return np.abs(weight) ... threshold, with the sign that keeps the threshold "
               "itself"),
        mistakes=(
            Mistake("np.abs(weight)", "weight",
                    "Large negative weights matter as much as positive ones: compare "
                    "|theta|, with np.abs."),
            Mistake(">= threshold", "> threshold",
                    "A weight whose magnitude is the threshold itself is kept: >=, not >."),
            Mistake(">= threshold", "< threshold",
                    "True marks the weights to keep, which are the large ones; your mask is "
                    "the other way round."),
            Mistake("np.abs(weight) >= threshold", "weight * (np.abs(weight) >= threshold)",
                    "Return the mask alone, not the weights times the mask."),
            Mistake("np.abs(weight) >= threshold", "weight ** 2 >= threshold",
                    "A square is not the magnitude: compare |theta| itself with the "
                    "threshold."),
            Mistake("np.abs(weight) >= threshold", "(np.abs(weight) >= threshold).astype(float)",
                    "A mask is an array of bool: leave the comparison as it is."),
            Mistake("np.abs(weight) >= threshold", "(np.abs(weight) >= threshold).ravel()",
                    "The mask has the shape of the weight."),
            Mistake("np.abs(weight) >= threshold", "np.abs(weight) <= threshold",
                    "True marks the weights to keep, which are the large ones: the "
                    "comparison is the other way round."))),
    Exercise(
        name="magnitude_mask",
        target="tinyml.compression.pruning:magnitude_mask",
        level=2, minutes=15,
        after=("threshold_mask",),
        task="Keep the weights of largest magnitude: exactly round(amount d) of the d weights go",
        tests=laws_of(
            "pruning",
            "test_exactly_the_amount_goes_and_it_is_the_smallest",
            "test_scale_and_sign_do_not_matter",
            "test_masks_nest_as_the_amount_grows"),
        hints=("A threshold cannot tell equal magnitudes apart. Sort instead, and keep the last "
               "ones.",
               "A stable argsort of the flat magnitudes puts the earlier of two equal ones "
               "first; its last k = d - round(amount d) entries are the places that become True.",
               'smallest_first = np.abs(weight).ravel().argsort(kind="stable"); keep = '
               'np.zeros(weight.size, bool); keep[smallest_first[::-1][:k]] = ...; return it in '
               'the shape of the weight.'),
        also=("Ties: of weights with equal magnitude the earlier ones, in reading order, go "
              "first.",
              "round is Python's: halves round to even."),
        mistakes=(
            Mistake("np.abs(weight).ravel()", "weight.ravel()",
                    "Sort the magnitudes: without np.abs the negative weights go first, "
                    "however large."),
            Mistake("smallest_first[::-1]", "smallest_first",
                    "You prune the largest and keep the smallest: the first places of the "
                    "sorted order go."),
            Mistake("round(amount * weight.size)", "int(amount * weight.size)",
                    "The number to prune is rounded to the nearest integer: int() rounds down."),
            Mistake("round(amount * weight.size)", "int(amount * weight.size + 0.5)",
                    "Halves round to even, as in Python's round, not always up."),
            Mistake('argsort(kind="stable")', "argsort()",
                    "argsort is not stable by itself: of equal magnitudes later ones may go "
                    "first."),
            Mistake("np.abs(weight).ravel()", "(weight ** 2).ravel()",
                    "The squares of very small or large weights underflow or overflow, and "
                    "tie: sort the magnitudes."),
            Mistake("    return keep.reshape(weight.shape)",
                    "    tau = np.quantile(np.abs(weight), amount) if weight.size else 0\n"
                    "    return np.abs(weight) >= tau",
                    "A threshold keeps or prunes all equal magnitudes together: sort, so "
                    "that exactly as many go as asked for."),
            Mistake("    return keep.reshape(weight.shape)",
                    "    tau = np.quantile(np.abs(weight), amount) if weight.size else 0\n"
                    "    return np.abs(weight) > tau",
                    "A threshold keeps or prunes all equal magnitudes together, and a quantile "
                    "rounds in its own way: sort, so that exactly as many go as asked for."),
            Mistake("largest_first = smallest_first[::-1]",
                    'largest_first = (-np.abs(weight).ravel()).argsort(kind="stable")',
                    "Of equal magnitudes the earlier ones go first: you prune the later ones."),
            Mistake("keep.reshape(weight.shape)", "keep",
                    "The mask has the shape of the weight: reshape it at the end."),
            Mistake("round(amount * weight.size)", "int(np.ceil(amount * weight.size))",
                    "The number to prune is rounded to the nearest integer, not up."),
            Mistake("round(amount * weight.size)", "round((1 - amount) * weight.size)",
                    "amount is the fraction to prune, not the fraction to keep."),
            Mistake("    return keep.reshape(weight.shape)",
                    "    n_pruned = weight.size - k\n"
                    "    return np.abs(weight) > np.sort(np.abs(weight), axis=None)[n_pruned - "
                    "1] if n_pruned else keep.reshape(weight.shape)",
                    "A threshold keeps or prunes all equal magnitudes together: sort, so "
                    "that exactly as many go as asked for."),
            Mistake("largest_first[:k]", "smallest_first[-k:]",
                    "If k is 0, [-k:] is the whole array: all weights stay, and none should. "
                    "Take [d - k:]."),
            Mistake("    return keep.reshape(weight.shape)",
                    "    if weight.ndim:\n"
                    "        ranks = np.abs(weight).argsort(axis=-1, "
                    'kind="stable").argsort(axis=-1)\n'
                    "        return ranks >= round(amount * weight.shape[-1])\n"
                    "    return keep.reshape(weight.shape)",
                    "You prune the same fraction of each row: sort the magnitudes of all "
                    "weights together, in the flat array."),
            Mistake("weight.size - round(amount * weight.size)",
                    "max(weight.size - round(amount * weight.size), 1)",
                    "amount = 1 prunes all weights: none need stay."),
            Mistake("return keep.reshape(weight.shape)", "return ~keep.reshape(weight.shape)",
                    "True marks the weights to keep; yours marks those that go."),
            Mistake("return keep.reshape(weight.shape)",
                    "return weight * keep.reshape(weight.shape)",
                    "Return the mask alone, not the weights times the mask."),
            Mistake("return keep.reshape(weight.shape)",
                    "return keep.reshape(weight.shape).astype(float)",
                    "A mask is an array of bool, not of numbers."),
            Mistake("    return keep.reshape(weight.shape)",
                    "    n_pruned = weight.size - k\n"
                    "    return np.abs(weight) >= np.sort(np.abs(weight), "
                    "axis=None)[n_pruned] if k else keep.reshape(weight.shape)",
                    "A threshold keeps or prunes all equal magnitudes together: sort, so "
                    "that exactly as many go as asked for."),
            Mistake("weight.size - round(amount * weight.size)",
                    "round((1 - amount) * weight.size)",
                    "Round the number to prune, not the number to keep: they differ at halves."),
            Mistake("weight.size - round(amount * weight.size)", "int((1 - amount) * weight.size)",
                    "The number to prune is rounded to the nearest integer, not up."))),
    Exercise(
        name="global_masks",
        target="tinyml.compression.pruning:global_masks",
        level=2, minutes=15,
        after=("magnitude_mask",),
        examples=200,
        task="Prune several layers together: their weights compete with each other",
        tests=laws_of(
            "pruning",
            "test_global_masks_are_one_mask_of_all_weights_concatenated",
            "test_without_layers_there_are_no_global_masks",
            "test_global_masks_say_which_layer_is_not_finite",
            "test_a_layer_may_lose_all_its_weights"),
        hints=("Concatenate all weights, make one mask, and split it again.",
               "np.concatenate of the flat arrays, magnitude_mask, np.split at the running sums "
               "of the sizes, each piece in the shape of its weight.",
               "keep = magnitude_mask(np.concatenate([...]), amount=amount); parts = "
               "np.split(keep, np.cumsum([sizes])[:-1]); a list of part.reshape(a.shape)."),
        also=('check_real("global_masks", f"arrays[{i}]", a) gives a as an array, or raises an '
              "error that names its place.",
              "arrays may be empty."),
        mistakes=(
            Mistake("    keep = magnitude_mask(",
                    "    return [magnitude_mask(a, amount=amount) for a in arrays]\n"
                    "    keep = magnitude_mask(",
                    "These are masks layer by layer, which take the same fraction of each: "
                    "rank the weights of all layers together."),
            Mistake("part.reshape(a.shape)", "part",
                    "Each mask has the shape of its weight: reshape the pieces."),
            Mistake("*[a.ravel() for a in arrays]",
                    "*[a.ravel() / (np.abs(a).max(initial=0) or 1) for a in arrays]",
                    "The magnitudes are compared as they are: do not divide each layer by "
                    "its largest weight first."),
            Mistake("np.cumsum([a.size for a in arrays])", "[a.size for a in arrays]",
                    "np.split takes the positions of the cuts, which are the running sums of the "
                    "sizes."),
            Mistake("a.ravel()", 'a.ravel(order="F")',
                    "Take the weights in reading order, row by row: your mask belongs to other "
                    "places."),
            Mistake("[part.reshape(a.shape) for part, a in zip(parts, arrays)]",
                    "[~part.reshape(a.shape) for part, a in zip(parts, arrays)]",
                    "True marks the weights to keep; yours marks those that go."),
            Mistake("a.ravel() for a in arrays]]", "np.sort(a.ravel()) for a in arrays]]",
                    "Leave the weights in their order: entry i of the mask belongs to weight "
                    "i."),
            Mistake("    return [part.reshape(a.shape) for part, a in zip(parts, arrays)]",
                    "    n_pruned = flat.size - keep.sum()\n"
                    "    tau = np.sort(np.abs(flat))[n_pruned - 1] if n_pruned else -1\n"
                    "    return [np.abs(a) > tau for a in arrays]",
                    "A threshold keeps or prunes all equal magnitudes together: sort, so "
                    "that exactly as many go as asked for."),
            Mistake("    return [part.reshape(a.shape) for part, a in zip(parts, arrays)]",
                    "    n_pruned = flat.size - keep.sum()\n"
                    "    tau = np.sort(np.abs(flat))[n_pruned] if keep.any() else np.inf\n"
                    "    return [np.abs(a) >= tau for a in arrays]",
                    "A threshold keeps or prunes all equal magnitudes together: sort, so "
                    "that exactly as many go as asked for."),
            Mistake("    return [part.reshape(a.shape) for part, a in zip(parts, arrays)]",
                    "    tau = np.quantile(np.abs(flat), amount) if flat.size else 0\n"
                    "    return [np.abs(a) >= tau for a in arrays]",
                    "A threshold keeps or prunes all equal magnitudes together: sort, so "
                    "that exactly as many go as asked for."),
            Mistake("part.reshape(a.shape)", "keep[:a.size].reshape(a.shape)",
                    "Each layer's mask begins where the one before it ended: yours all begin "
                    "at the first weight."),
            Mistake("np.concatenate([np.zeros(0), *[a.ravel() for a in arrays]])",
                    "np.concatenate([a.ravel() for a in arrays])",
                    "np.concatenate needs at least one array: without layers, return an "
                    "empty list."),
            Mistake("*[a.ravel() for a in arrays]",
                    "*[a.ravel() / (np.linalg.norm(a) or 1) for a in arrays]",
                    "The magnitudes are compared as they are: do not divide each layer by "
                    "its norm first."),
            Mistake("keep = magnitude_mask(flat, amount=amount)",
                    'keep = flat.argsort(kind="stable").argsort() >= round(amount * flat.size)',
                    "Sort the magnitudes: without np.abs the negative weights go first, "
                    "however large."),
            Mistake("magnitude_mask(flat, amount=amount)",
                    "magnitude_mask(flat, amount=int(amount * flat.size) / max(flat.size, 1))",
                    "The number to prune is rounded to the nearest integer: int() rounds down."),
            Mistake("magnitude_mask(flat, amount=amount)",
                    "magnitude_mask(flat, amount=1 - amount)",
                    "amount is the fraction to prune, not the fraction to keep."),
            Mistake("    return [part.reshape(a.shape) for part, a in zip(parts, arrays)]",
                    "    return keep",
                    "Return a list of masks, one for each layer, in the shape of its weight."),
            Mistake('check_real("global_masks", f"arrays[{i}]", a)', "np.asarray(a)",
                    "Call check_real for each array: it refuses weights that are not finite "
                    "numbers, and says which."))),
    Exercise(
        name="random_mask",
        target="tinyml.compression.pruning:random_mask",
        level=2, minutes=10,
        after=("magnitude_mask",),
        task="Prune exactly round(amount d) weights, drawn uniformly",
        tests=laws_of(
            "pruning",
            "test_a_random_mask_has_exactly_the_amount_of_zeros",
            "test_every_subset_is_equally_likely_in_a_random_mask",
            "test_a_random_mask_comes_from_its_rng_alone"),
        hints=("Draw positions, do not toss a coin for each weight: the number to prune is "
               "fixed.",
               "The first round(amount d) entries of a random permutation of the d places "
               "become False.",
               "mask = np.ones(shape, bool); mask.ravel()[rng.permutation(mask.size)[:k]] = "
               "False; ravel is a view, so the mask itself changes."),
        also=("round is Python's: halves round to even.",),
        mistakes=(
            Mistake("rng.permutation(mask.size)[:n_pruned]",
                    "rng.integers(0, max(mask.size, 1), n_pruned)",
                    "Places drawn with replacement repeat, and too few weights go: use a "
                    "permutation."),
            Mistake("rng.permutation(mask.size)", "np.arange(mask.size)",
                    "You always prune the first places: draw their order from the rng."),
            Mistake("    mask.ravel()[pruned] = False\n",
                    "    mask.ravel()[:n_pruned] = False\n"
                    "    mask = rng.permutation(mask) if mask.ndim else mask\n",
                    "A permutation of a matrix moves whole rows: draw places of the flat "
                    "mask."),
            Mistake("mask.ravel()[", "mask.flatten()[",
                    "flatten() makes a copy, and the mask itself stays full: write through "
                    "ravel(), or keep the copy."),
            Mistake("rng.permutation(mask.size)", "np.random.default_rng().permutation(mask.size)",
                    "Draw from the rng that is given: with a generator of your own the mask "
                    "cannot be reproduced."),
            Mistake("round(amount * mask.size)", "int(amount * mask.size + 0.5)",
                    "Halves round to even, as in Python's round, not always up."),
            Mistake("round(amount * mask.size)", "int(amount * mask.size)",
                    "The number to prune is rounded to the nearest integer: int() rounds down."),
            Mistake("    return mask", "    return ~mask",
                    "True marks the weights to keep; yours marks those that go."),
            Mistake("round(amount * mask.size)", "round((1 - amount) * mask.size)",
                    "amount is the fraction to prune, not the fraction to keep."),
            Mistake("    pruned = rng.permutation(mask.size)[:n_pruned]\n"
                    "    mask.ravel()[pruned] = False\n",
                    "    mask = rng.random(shape) >= amount\n",
                    "A coin for each weight prunes this amount only on average: draw exactly "
                    "round(amount d) places."),
            Mistake("    pruned = rng.permutation(mask.size)[:n_pruned]\n"
                    "    mask.ravel()[pruned] = False\n",
                    "    mask = rng.random(shape) < amount\n",
                    "A coin for each weight prunes this amount only on average, and True marks "
                    "the weights to keep: draw exactly round(amount d) places, and make them "
                    "False."),
            Mistake("rng.permutation(mask.size)",
                    "np.random.default_rng(0).permutation(mask.size)",
                    "Draw from the rng that is given: with a generator of your own the mask "
                    "cannot be reproduced."),
            Mistake("    pruned = rng.permutation(mask.size)[:n_pruned]\n"
                    "    mask.ravel()[pruned] = False\n",
                    "    kept = rng.choice(mask.size, n_pruned, replace=False)\n"
                    "    mask = np.zeros(shape, bool)\n"
                    "    mask.ravel()[kept] = True\n",
                    "amount is the fraction to prune, not the fraction to keep."),
            Mistake("    pruned = rng.permutation(mask.size)[:n_pruned]\n"
                    "    mask.ravel()[pruned] = False\n",
                    "    kept = rng.permutation(mask.size)[:n_pruned]\n"
                    "    mask = np.zeros(shape, bool)\n"
                    "    mask.ravel()[kept] = True\n",
                    "amount is the fraction to prune, not the fraction to keep."),
            Mistake("    pruned = rng.permutation(mask.size)[:n_pruned]\n"
                    "    mask.ravel()[pruned] = False\n",
                    "    pruned = rng.choice(mask.size, int(amount * mask.size), "
                    "replace=False)\n"
                    "    mask.ravel()[pruned] = False\n",
                    "The number to prune is rounded to the nearest integer: int() rounds down."),
            Mistake("    pruned = rng.permutation(mask.size)[:n_pruned]\n"
                    "    mask.ravel()[pruned] = False\n",
                    "    mask.ravel()[:n_pruned] = False\n"
                    "    if mask.ndim:\n"
                    "        rng.shuffle(mask)\n",
                    "A permutation of a matrix moves whole rows: draw places of the flat mask."),
            Mistake("    pruned = rng.permutation(mask.size)[:n_pruned]\n"
                    "    mask.ravel()[pruned] = False\n",
                    "    mask.ravel()[:n_pruned] = False\n"
                    "    mask = rng.permutation(mask.ravel())\n",
                    "The mask has the shape that is given: reshape it at the end."),
            Mistake("    pruned = rng.permutation(mask.size)[:n_pruned]\n"
                    "    mask.ravel()[pruned] = False\n",
                    "    mask = mask.ravel()\n"
                    "    pruned = rng.permutation(mask.size)[:n_pruned]\n"
                    "    mask.ravel()[pruned] = False\n",
                    "The mask has the shape that is given: reshape it at the end."),
            Mistake("    return mask", "    return mask.astype(float)",
                    "A mask is an array of bool, not of numbers."),
            Mistake("    pruned = rng.permutation(mask.size)[:n_pruned]\n"
                    "    mask.ravel()[pruned] = False\n",
                    "    pruned = rng.choice(mask.size, n_pruned) if mask.size else []\n"
                    "    mask.ravel()[pruned] = False\n",
                    "Places drawn with replacement repeat, and too few weights go: use a "
                    "permutation."))),
    Exercise(
        name="cubic_sparsity",
        target="tinyml.compression.pruning:cubic_sparsity",
        level=2, minutes=10,
        after=("threshold_mask",),
        task="Compute the fraction to prune at step t: many weights in the first steps, fewer in "
             "each later one",
        tests=laws_of(
            "pruning",
            "test_the_schedule_is_that_of_the_paper_step_by_step",
            "test_the_schedule_goes_from_one_end_to_the_other_ever_slower"),
        hints=("What fraction of the time from t_start to t_end has passed, limited to 0 ... 1?",
               "With t_0 = t_start: progress = clip((t - t_0) / (t_end - t_0), 0, 1) and s = s_f + "
               "(s_i - s_f) (1 - progress)^3.",
               "progress = np.clip((t - t_start) / (...), 0, 1); return final + ... * (1 - "
               "progress) ** 3"),
        mistakes=(
            Mistake("np.clip((t - t_start) / (t_end - t_start), 0, 1)",
                    "(t - t_start) / (t_end - t_start)",
                    "Before t_start the fraction is s_i and after t_end it is s_f: clip the "
                    "progress to [0, 1]."),
            Mistake("(1 - progress) ** 3", "(1 - progress) ** 2",
                    "The schedule is cubic: the third power."),
            Mistake("(1 - progress) ** 3", "(1 - progress)",
                    "This is a straight line; the third power makes it slow down."),
            Mistake("(1 - progress) ** 3", "progress ** 3",
                    "What is cubed is the time that is left, 1 - (t - t_0) / (t_end - t_0)."),
            Mistake("final + (initial - final)", "initial + (final - initial)",
                    "The two ends are exchanged: s starts at s_i, where progress is 0, and "
                    "ends at s_f."),
            Mistake("(t_end - t_start), 0, 1)", "t_end, 0, 1)",
                    "The schedule takes t_end - t_start steps, not t_end."),
            Mistake("(1 - progress) ** 3", "(1 - progress ** 3)",
                    "The third power belongs to the time that is left: (1 - progress)^3."),
            Mistake("np.clip((t - t_start) / (t_end - t_start), 0, 1)",
                    "np.minimum((t - t_start) / (t_end - t_start), 1)",
                    "Before t_start the fraction is s_i: clip the progress at 0 too."),
            Mistake("(t - t_start) /", "t /",
                    "Progress counts from t_start: subtract it."),
            Mistake("final + (initial - final)", "(initial - final)",
                    "The curve ends at s_f: add final."),
            Mistake("np.clip((t - t_start) / (t_end - t_start), 0, 1)",
                    "(np.clip(t, t_start, t_end) - t_start) / t_end",
                    "The schedule takes t_end - t_start steps, not t_end."),
            Mistake("np.clip((t - t_start) / (t_end - t_start), 0, 1)",
                    "np.clip(t, t_start, t_end) / (t_end - t_start)",
                    "Progress counts from t_start: subtract it."),
            Mistake("np.clip((t - t_start) / (t_end - t_start), 0, 1)",
                    "np.maximum((t - t_start) / (t_end - t_start), 0)",
                    "After t_end the fraction is s_f: clip the progress at 1 too."),
            Mistake("    progress = np.clip((t - t_start) / (t_end - t_start), 0, 1)\n"
                    "    return final + (initial - final) * (1 - progress) ** 3",
                    "    progress = (t - t_start) / (t_end - t_start)\n"
                    "    return np.clip(final + (initial - final) * (1 - progress) ** 3, "
                    "initial, final)",
                    "Clip the progress to [0, 1], not the result: the schedule may also go "
                    "down, from a large s_i to a smaller s_f."),
            Mistake("    progress = np.clip((t - t_start) / (t_end - t_start), 0, 1)\n"
                    "    return final + (initial - final) * (1 - progress) ** 3",
                    "    progress = (t - t_start) / (t_end - t_start)\n"
                    "    return np.clip(final + (initial - final) * (1 - progress) ** 3, 0, 1)",
                    "Before t_start the fraction is s_i and after t_end it is s_f: clip the "
                    "progress to [0, 1], not the result."),
            Mistake("    return final + (initial - final) * (1 - progress) ** 3",
                    "    return np.where(t < t_start, 0, final + (initial - final) * (1 - "
                    "progress) ** 3)",
                    "Before t_start the fraction is s_i, not 0."),
            Mistake("final + (initial - final)", "final - (initial - final)",
                    "The curve starts at s_i: the difference is s_i - s_f."),
            Mistake("final + (initial - final) * (1 - progress) ** 3",
                    "final * (1 - (1 - progress) ** 3)",
                    "The curve starts at s_i, not always at 0."),
            Mistake("return final + (initial - final) * (1 - progress) ** 3",
                    "return 1 - (final + (initial - final) * (1 - progress) ** 3)",
                    "s is the fraction that is pruned, not the fraction that is left."))),
))
