"""Pruning (10.2.1): which weights go, and how fast."""
from tinyml.exercises.exercise import Chapter, Exercise, Mistake

PRUNING, TESTS = "tinyml.compression.pruning", "test_pruning.py"

CHAPTER = Chapter("pruning", "10.2.1 Pruning: masks and schedules", (
    Exercise(
        name="threshold_mask", target=f"{PRUNING}:threshold_mask", level=1, minutes=5, keep=2,
        task="Keep the weights whose magnitude is at least the threshold",
        tests=(f"{TESTS}::test_a_threshold_keeps_what_is_as_large_or_larger_of_either_sign",
               f"{TESTS}::test_without_ties_the_notes_threshold_gives_the_same_mask"),
        hints=("Compare the whole array with the threshold at once: that gives an array of bool.",
               "m_j = |theta_j| >= tau, of the shape of the weight.",
               "return np.abs(weight) ... threshold, with the sign that keeps the threshold itself"),
        mistakes=(
            Mistake("np.abs(weight)", "weight",
                    "Large negative weights matter as much as positive ones: compare |theta|, with np.abs."),
            Mistake(">= threshold", "> threshold",
                    "A weight whose magnitude is the threshold itself is kept: >=, not >."),
            Mistake(">= threshold", "< threshold",
                    "True marks the weights to keep, which are the large ones; your mask is the other way "
                    "round."),
            Mistake("np.abs(weight) >= threshold", "weight * (np.abs(weight) >= threshold)",
                    "What is asked for is the mask alone, not the weights times the mask."),
            Mistake("np.abs(weight) >= threshold", "weight ** 2 >= threshold",
                    "A square is not the magnitude: compare |theta| itself with the threshold."),
            Mistake("np.abs(weight) >= threshold", "(np.abs(weight) >= threshold).astype(float)",
                    "A mask is an array of bool: leave the comparison as it is."))),
    Exercise(
        name="magnitude_mask", target=f"{PRUNING}:magnitude_mask", level=2, minutes=15, keep=2,
        after=("threshold_mask",),
        task="Keep the weights of largest magnitude: exactly round(amount d) of the d weights go",
        tests=(f"{TESTS}::test_exactly_the_amount_goes_and_it_is_the_smallest",
               f"{TESTS}::test_scale_and_sign_do_not_matter", f"{TESTS}::test_masks_nest_as_the_amount_grows"),
        hints=("A threshold cannot tell equal magnitudes apart. Sort instead, and let the first ones go.",
               "np.argsort of the flat magnitudes, stable, so that of equal ones the earlier come first; its "
               "first round(amount d) entries are the places that become False.",
               'keep = np.ones(weight.size, bool); keep[np.argsort(..., kind="stable")[:k]] = False; give it '
               "back in the shape of the weight."),
        mistakes=(
            Mistake("np.abs(weight).ravel()", "weight.ravel()",
                    "Sort the magnitudes: without np.abs the negative weights go first, however large."),
            Mistake("[:round(amount * weight.size)]", "[round(amount * weight.size):]",
                    "You prune the largest and keep the smallest: the first places of the sorted order go."),
            Mistake("round(amount * weight.size)", "int(amount * weight.size)",
                    "The number to prune is rounded to the nearest, and int() cuts off."),
            Mistake("round(amount * weight.size)", "int(amount * weight.size + 0.5)",
                    "Half a weight is rounded to the even number, as Python's round does, not always up."),
            Mistake(', kind="stable"', "",
                    "np.argsort is not stable by itself: of equal magnitudes later ones may go first."),
            Mistake("np.abs(weight).ravel()", "(weight ** 2).ravel()",
                    "The squares of very small or large weights are no float32 any more, and tie: sort the "
                    "magnitudes."),
            Mistake('    keep[np.argsort(np.abs(weight).ravel(), kind="stable")[:round(amount * '
                    "weight.size)]] = False\n",
                    "    keep = np.abs(weight).ravel() >= (np.quantile(np.abs(weight), amount) if weight.size "
                    "else 0)\n",
                    "A threshold keeps or prunes all equal magnitudes together: sort, so that exactly as "
                    "many go as asked for."),
            Mistake('np.argsort(np.abs(weight).ravel(), kind="stable")[:round(amount * weight.size)]',
                    'np.argsort(-np.abs(weight).ravel(), kind="stable")[weight.size - round(amount * '
                    "weight.size):]",
                    "Of equal magnitudes the earlier ones go first, and in yours the later ones do."),
            Mistake("keep.reshape(weight.shape)", "keep",
                    "The mask has the shape of the weight: reshape it at the end."))),
    Exercise(
        name="global_masks", target=f"{PRUNING}:global_masks", level=2, minutes=15, keep=2, examples=200,
        after=("magnitude_mask",),
        task="Prune several arrays together, with one ranking for the weights of all layers",
        tests=(f"{TESTS}::test_global_masks_are_those_of_all_weights_in_a_row",
               f"{TESTS}::test_a_layer_may_lose_all_its_weights"),
        hints=("Put all weights in a row, make one mask, and cut it into pieces again.",
               "np.concatenate of the flat arrays, magnitude_mask, np.split at the running sums of the "
               "sizes, each piece in the shape of its weight.",
               "keep = magnitude_mask(np.concatenate([...]), amount=amount); parts = np.split(keep, "
               "np.cumsum([sizes])[:-1]); a list of part.reshape(w.shape)."),
        mistakes=(
            Mistake("    keep = magnitude_mask(",
                    "    return [magnitude_mask(w, amount=amount) for w in weights]\n"
                    "    keep = magnitude_mask(",
                    "These are masks layer by layer, which take the same share of each: rank the weights of "
                    "all layers together."),
            Mistake("part.reshape(w.shape)", "part",
                    "Each mask has the shape of its weight: reshape the pieces."),
            Mistake("*(w.ravel() for w in weights)",
                    "*(w.ravel() / (np.abs(w).max(initial=0) or 1) for w in weights)",
                    "The magnitudes are compared as they are: do not divide each layer by its largest weight "
                    "first."),
            Mistake("np.cumsum([w.size for w in weights])[:-1]", "[w.size for w in weights][:-1]",
                    "np.split wants the places where to cut, which are the running sums of the sizes."),
            Mistake("w.ravel()", 'w.ravel(order="F")',
                    "Take the weights in reading order, row by row: your mask comes back to other places "
                    "than it was made for."))),
    Exercise(
        name="random_mask", target=f"{PRUNING}:random_mask", level=2, minutes=10, keep=2,
        after=("magnitude_mask",),
        task="Let exactly round(amount d) weights go, whichever they are",
        tests=(f"{TESTS}::test_a_random_mask_has_as_many_zeros",
               f"{TESTS}::test_every_place_of_a_random_mask_and_every_two_are_as_likely",
               f"{TESTS}::test_a_random_mask_comes_from_its_rng_alone"),
        hints=("Draw places, not coins: the number that goes is fixed.",
               "The first round(amount d) entries of a random permutation of the d places become False.",
               "mask = np.ones(shape, bool); mask.ravel()[rng.permutation(mask.size)[:k]] = False; ravel is "
               "a view, so the mask itself changes."),
        mistakes=(
            Mistake("    mask.ravel()[rng.permutation(mask.size)[:round(amount * mask.size)]] = False\n",
                    "    mask = rng.random(shape) >= amount\n",
                    "A coin for each weight prunes the amount on average only: draw exactly round(amount d) "
                    "places."),
            Mistake("rng.permutation(mask.size)[:round(amount * mask.size)]",
                    "rng.integers(0, max(mask.size, 1), round(amount * mask.size))",
                    "Places drawn with replacement repeat, and too few weights go: use a permutation."),
            Mistake("rng.permutation(mask.size)", "np.arange(mask.size)",
                    "Always the first places go: their order has to come from the rng."),
            Mistake("    mask.ravel()[rng.permutation(mask.size)[:round(amount * mask.size)]] = False\n",
                    "    mask.ravel()[:round(amount * mask.size)] = False\n"
                    "    mask = rng.permutation(mask) if mask.ndim else mask\n",
                    "A permutation of a matrix moves whole rows: draw places of the flat mask."),
            Mistake("mask.ravel()[", "mask.flatten()[",
                    "flatten() makes a copy, and the mask itself stays full: write through ravel(), or keep "
                    "the copy."),
            Mistake("rng.permutation(mask.size)", "np.random.default_rng().permutation(mask.size)",
                    "Draw from the rng that is given: with a generator of your own nobody can repeat the mask."),
            Mistake("round(amount * mask.size)", "int(amount * mask.size + 0.5)",
                    "Half a weight is rounded to the even number, as Python's round does, not always up."),
            Mistake("round(amount * mask.size)", "int(amount * mask.size)",
                    "The number to prune is rounded to the nearest, and int() cuts off."))),
    Exercise(
        name="cubic_sparsity", target=f"{PRUNING}:cubic_sparsity", level=2, minutes=10, keep=2,
        after=("threshold_mask",),
        task="Compute the share to prune at step t: fast at first, then ever slower",
        tests=(f"{TESTS}::test_the_schedule_is_that_of_the_paper_step_by_step",
               f"{TESTS}::test_the_schedule_goes_from_one_end_to_the_other_ever_slower"),
        hints=("How much of the way is left, from 1 at t_start to 0 at t_end, and no more or less outside?",
               "left = 1 - clip((t - t_0) / (t_end - t_0), 0, 1) and s = s_f + (s_i - s_f) left^3.",
               "left = 1 - np.clip((np.asarray(t, float) - t_start) / ..., 0, 1); return final + ... * left ** 3"),
        mistakes=(
            Mistake("1 - np.clip((np.asarray(t, float) - t_start) / (t_end - t_start), 0, 1)",
                    "1 - (np.asarray(t, float) - t_start) / (t_end - t_start)",
                    "Before t_start the share is s_i and after t_end it is s_f: clip the way gone to [0, 1]."),
            Mistake("np.asarray(t, float) - t_start", "t - t_start",
                    "t may be a list: make an array of it first, with np.asarray."),
            Mistake("left ** 3", "left ** 2", "The schedule is cubic: the third power."),
            Mistake("left ** 3", "left", "This goes down a straight line; the third power makes it slow down."),
            Mistake("left = 1 - np.clip(", "left = np.clip(",
                    "What is cubed is the part of the way that is left, 1 - (t - t_0) / (t_end - t_0)."),
            Mistake("final + (initial - final)", "initial + (final - initial)",
                    "The two ends are exchanged: s starts at s_i, where left = 1, and ends at s_f."),
            Mistake("- t_start) / (t_end - t_start)", "- t_start) / t_end",
                    "The way is t_end - t_start steps long, not t_end."))),
))
