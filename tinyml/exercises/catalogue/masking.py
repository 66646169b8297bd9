"""Masking: hide a part of tokens, images, series and graphs, and predict it."""
from tinyml.exercises.exercise import Chapter, Exercise, Mistake, laws_of

CHAPTER = Chapter("masking", "10.3.1 Masking: the hidden part is the label", (
    Exercise(
        name="mask_input",
        target="tinyml.selfsupervised.masking:mask_input",
        level=1, minutes=10,
        task="Hide k random elements of an array, and return which ones",
        tests=laws_of(
            "masking",
            "test_mask_input_hides_exactly_k_elements_and_keeps_the_others",
            "test_so_many_are_hidden_on_a_single_row_rounded_down",
            "test_all_subsets_are_equally_likely",
            "test_the_mask_value_may_be_an_element",
            "test_rng_is_the_only_source_of_randomness[mask_input]"),
        hints=("k different indices, all subsets equally likely: the first k of a random order.",
               "rng.permutation(n) is a random order; its first k = int(n * mask_ratio) "
               "entries, sorted, are M, of shape (k,). Overwrite these elements in a copy of x.",
               "mask_indices = np.sort(rng.permutation(n)[:k]); x_corrupted = x.copy(); "
               "x_corrupted[...] = mask_value; return both"),
        also=("_check_mask_value(x, mask_value) refuses a value that x cannot hold: call it first.",
              "The product n mask_ratio is a float, and int rounds it down: int(100 * 0.29) is "
              "28."),
        mistakes=(
            Mistake("np.sort(rng.permutation(n)[:k])", "np.sort(rng.integers(0, max(n, 1), k))",
                    "Independent draws may hit one index twice: draw without replacement."),
            Mistake("np.sort(rng.permutation(n)[:k])", "rng.permutation(n)[:k]",
                    "The indices come in ascending order: sort them."),
            Mistake("np.sort(rng.permutation(n)[:k])", "np.arange(k)",
                    "You always hide the first k elements: choose them at random."),
            Mistake("np.sort(rng.permutation(n)[:k])",
                    "np.flatnonzero(rng.random(n) < mask_ratio)",
                    "Hiding each element with probability mask_ratio hides k of them only "
                    "on average: it must be k every time."),
            Mistake("x_corrupted = x.copy()", "x_corrupted = x",
                    "x belongs to the caller: change a copy."),
            Mistake("x_corrupted[mask_indices] = mask_value", "x_corrupted[mask_indices] = 0",
                    "The hidden elements become mask_value, whatever it is."),
            Mistake("int(n * mask_ratio)", "round(n * mask_ratio)",
                    "k is int(n mask_ratio), which rounds down."),
            Mistake("return x_corrupted, mask_indices",
                    "return x_corrupted, np.isin(np.arange(n), mask_indices)",
                    "Return the indices of the hidden elements, not a mask of bool."),
            Mistake("x.copy()", "x.astype(float)",
                    "The copy keeps the dtype of x."),
            Mistake("    n = len(x)\n"
                    "    k = int(n * mask_ratio)\n"
                    "    mask_indices = np.sort(rng.permutation(n)[:k])    # notes 10.3.1, mask "
                    "positions\n"
                    "    x_corrupted = x.copy()\n"
                    "    x_corrupted[mask_indices] = mask_value            # notes 10.3.1, corrupted "
                    "input",
                    "    n = x.size\n"
                    "    k = int(n * mask_ratio)\n"
                    "    mask_indices = np.sort(rng.permutation(n)[:k])\n"
                    "    x_corrupted = x.copy()\n"
                    "    x_corrupted.reshape(-1)[mask_indices] = mask_value",
                    "The elements are x_0 ... x_(n-1), along the first axis: each is hidden as a "
                    "whole."))),
    Exercise(
        name="masked_loss",
        target="tinyml.selfsupervised.masking:masked_loss",
        level=1, minutes=5,
        after=("mask_input",),
        task="Compute the loss at the hidden positions only",
        tests=laws_of(
            "masking",
            "test_the_loss_ignores_visible_positions"),
        hints=("A boolean array as an index picks the positions where it is True, and makes one "
               "axis of them.",
               "Pick the hidden positions from prediction (a Tensor, so gradients follow) and "
               "from target, both to shape (|M|, ...), and pass these to loss_fn.",
               "return loss_fn(prediction[...], target[...]), the index being mask in both"),
        also=("The library's own function also raises a ValueError if shapes disagree or "
              "nothing is hidden; yours need not.",),
        mistakes=(
            Mistake("loss_fn(prediction[mask], target[mask])",
                    "loss_fn(prediction * mask.reshape(mask.shape + (1,) * (prediction.ndim - "
                    "mask.ndim)), target * mask.reshape(mask.shape + (1,) * (target.ndim - "
                    "mask.ndim)))",
                    "The mean is over the hidden positions: multiplied by the mask, the visible "
                    "ones become zeros that still count. Pick the hidden ones with an index."),
            Mistake("loss_fn(prediction[mask], target[mask])", "loss_fn(prediction, target)",
                    "This loss counts the visible positions too, and copying what is "
                    "visible teaches nothing."),
            Mistake("loss_fn(prediction[mask], target[mask])",
                    "loss_fn(prediction[~mask], target[~mask])",
                    "The mask is True at the hidden positions: you take the visible ones."),
            Mistake("loss_fn(prediction[mask], target[mask])",
                    "loss_fn(prediction * mask.reshape(mask.shape + (1,) * (prediction.ndim - "
                    "mask.ndim)), np.where(mask.reshape(mask.shape + (1,) * (target.ndim - "
                    "mask.ndim)), target, 0))",
                    "The mean is over the hidden positions: multiplied by the mask, the visible "
                    "ones become zeros that still count. Pick the hidden ones with an index."),
            Mistake("loss_fn(prediction[mask], target[mask])",
                    "loss_fn(type(prediction)(prediction.data[mask]), target[mask])",
                    "Index the Tensor itself: no gradient flows through a new Tensor made from "
                    ".data."),
            Mistake("loss_fn(prediction[mask], target[mask])",
                    "loss_fn(prediction[mask], target[mask]) * mask.mean()",
                    "The mean is over the hidden positions only: do not multiply by their share "
                    "of all positions."),
            Mistake("loss_fn(prediction[mask], target[mask])",
                    "loss_fn(prediction[mask], target[mask]) * mask.sum()",
                    "loss_fn takes the mean already: do not multiply by the number of "
                    "hidden positions."),
            Mistake("loss_fn(prediction[mask], target[mask])",
                    "loss_fn(target[mask], prediction[mask])",
                    "The order of a loss is prediction, target."),
            Mistake("loss_fn(prediction[mask], target[mask])",
                    "loss_fn(prediction, target) * mask.mean()",
                    "This loss counts the visible positions too, and copying what is visible "
                    "teaches nothing."),
            Mistake("loss_fn(prediction[mask], target[mask])",
                    "loss_fn(prediction[mask], target[mask]) / mask.sum()",
                    "loss_fn takes the mean already: do not divide by the number of hidden "
                    "positions."),
            Mistake("loss_fn(prediction[mask], target[mask])",
                    "loss_fn(prediction[mask], target[mask]) / mask.mean()",
                    "The mean is over the hidden positions: do not divide by their share of "
                    "all positions."),
            Mistake("loss_fn(prediction[mask], target[mask])",
                    "loss_fn(prediction[mask.reshape(len(mask), -1).any(axis=1)], "
                    "target[mask.reshape(len(mask), -1).any(axis=1)])",
                    "The mask picks single positions: yours takes whole rows that have a "
                    "hidden one."))),
    Exercise(
        name="mask_tokens",
        target="tinyml.selfsupervised.masking:mask_tokens",
        level=2, minutes=15,
        after=("mask_input",),
        task="Corrupt k tokens of each sequence as BERT does: 80 % [MASK], 10 % a random token, "
             "10 % unchanged",
        tests=laws_of(
            "masking",
            "test_k_tokens_of_each_sequence_are_chosen_and_only_these_change",
            "test_chosen_tokens_are_masked_replaced_or_kept_as_in_bert",
            "test_chosen_tokens_are_independent",
            "test_rng_is_the_only_source_of_randomness[mask_tokens]",
            "test_so_many_are_hidden_on_a_single_row_rounded_down"),
        hints=("First choose k positions of each sequence: where a random order of 0..T-1 is "
               "below k. Then decide what becomes of each chosen token, with a random number "
               "for each.",
               "_random_orders(tokens.shape, rng) < k is True at k positions of each row. With "
               "fate uniform in [0, 1), of the shape of tokens: below 0.8 the token becomes "
               "mask_id, from 0.8 to 0.9 a random one of 0..V-1, from 0.9 on it stays. All this "
               "only at the chosen positions.",
               "chosen = _random_orders(...) < int(T * mask_ratio); fate = rng.random(...); "
               "random_token = rng.integers(...); np.select takes the first case that is true: "
               "cases = [~chosen, fate < 0.8, fate < 0.9] for [tokens, mask_id, random_token], "
               "and otherwise tokens; return the result, and chosen"),
        also=("A random token may be the token itself.",),
        mistakes=(
            Mistake("return corrupted, chosen",
                    "return corrupted, corrupted == mask_id",
                    "The chosen positions are not only those with [MASK]: some get a random "
                    "token, and some stay as they are."),
            Mistake("fate < 0.8, fate < 0.9]", "fate < 1, fate < 0.9]",
                    "Not every chosen token becomes [MASK]: a tenth becomes a random token, "
                    "a tenth stays."),
            Mistake("fate < 0.8, fate < 0.9]", "fate < 0.8, fate < 1]",
                    "Only half of the chosen tokens that are not [MASK] become a random token: "
                    "the other half stays as it is."),
            Mistake("fate < 0.8, fate < 0.9]", "fate < 0.8, fate < 0.8]",
                    "A tenth of the chosen tokens must become a random token: yours are "
                    "[MASK] or stay."),
            Mistake("fate < 0.8, fate < 0.9]", "fate < 0.8, rng.random(tokens.shape) < 0.1]",
                    "A second draw of 0.1 applies to the 20 % that are left, and gives 2 %: "
                    "decide both from one number, below 0.8 and from 0.8 to 0.9."),
            Mistake("fate = rng.random(tokens.shape)",
                    "fate = rng.random((*tokens.shape[:-1], 1))",
                    "Each token has a random number of its own: yours share one in a whole "
                    "sequence."),
            Mistake("rng.integers(0, vocab_size, tokens.shape)", "rng.integers(0, vocab_size)",
                    "Each position draws a random token of its own: yours all get the same "
                    "one."),
            Mistake("rng.integers(0, vocab_size, tokens.shape)",
                    "rng.integers(0, max(vocab_size - 1, 1), tokens.shape)",
                    "A random token is one of 0..V-1, the last one included: rng.integers "
                    "leaves out its upper end, so write V."),
            Mistake("rng.integers(0, vocab_size, tokens.shape)",
                    "rng.integers(0, vocab_size + 1, tokens.shape)",
                    "A random token is one of 0..V-1: rng.integers leaves out its upper end "
                    "already."),
            Mistake("chosen = _random_orders(tokens.shape, rng) < int(T * mask_ratio)",
                    "chosen = rng.random(tokens.shape) < mask_ratio",
                    "Choosing each token with probability mask_ratio chooses k of them only "
                    "on average: it must be k in each sequence."),
            Mistake("_random_orders(tokens.shape, rng)",
                    "np.broadcast_to(_random_orders(tokens.shape[-1:], rng), tokens.shape)",
                    "Each sequence has positions of its own: yours are the same in all of "
                    "them."),
            Mistake("[~chosen, fate < 0.8,", "[np.zeros_like(chosen), fate < 0.8,",
                    "Only chosen tokens may change: the others stay as they are."),
            Mistake("int(T * mask_ratio)", "round(T * mask_ratio)",
                    "int(T mask_ratio) rounds down."))),
    Exercise(
        name="mask_patches",
        target="tinyml.selfsupervised.masking:mask_patches",
        level=2, minutes=15,
        after=("mask_input",),
        task="Shuffle the patches of each image, split the order in two, and compute the "
             "inverse of the shuffle",
        tests=laws_of(
            "masking",
            "test_ids_restore_undoes_the_shuffle",
            "test_all_orders_are_equally_likely_and_images_are_independent",
            "test_rng_is_the_only_source_of_randomness[mask_patches]",
            "test_so_many_are_hidden_on_a_single_row_rounded_down"),
        hints=("_random_orders gives an order for each image. Which operation inverts a "
               "permutation?",
               "argsort of a permutation p is its inverse: p[argsort(p)] = 0, 1, 2, ... Here in "
               "each row, axis=1. ids_keep is (N, n_keep), ids_mask (N, L - n_keep), "
               "ids_restore (N, L).",
               "order = _random_orders((n_images, n_patches), rng); ids_keep is order[:, "
               ":n_keep], ids_mask the other columns, ids_restore = order.argsort(...)"),
        also=("int(L mask_ratio) patches are hidden; ids_keep and ids_mask stay in the shuffled "
              "order.",),
        mistakes=(
            Mistake("order[:, :n_keep], order[:, n_keep:]",
                    "order[:, n_patches - n_keep:], order[:, :n_patches - n_keep]",
                    "The first n_keep of the order are visible, and the last ones hidden: yours "
                    "hides the first, and ids_restore does not fit."),
            Mistake("order.argsort(axis=1)", "order",
                    "A permutation does not undo itself: ids_restore is its inverse, "
                    "argsort."),
            Mistake("order[:, :n_keep], order[:, n_keep:]", "order[:, n_keep:], order[:, :n_keep]",
                    "The first n_keep of the order are visible, the others hidden: yours "
                    "are the other way round."),
            Mistake("_random_orders((n_images, n_patches), rng)",
                    "np.repeat(_random_orders((1, n_patches), rng), n_images, axis=0)",
                    "Each image has an order of its own: yours hides the same patches in "
                    "all images."),
            Mistake("order.argsort(axis=1)", "order.argsort(axis=0)",
                    "An order belongs to an image: sort along the patches, axis=1."),
            Mistake("= order[:, :n_keep], ", "= np.sort(order[:, :n_keep], axis=1), ",
                    "ids_keep stays in the shuffled order: sorted, it no longer fits "
                    "ids_restore."),
            Mistake("_random_orders((n_images, n_patches), rng)",
                    "np.tile(np.arange(n_patches), (n_images, 1))",
                    "Nothing is random here: the last patches are always the hidden ones."),
            Mistake("int(n_patches * mask_ratio)", "round(n_patches * mask_ratio)",
                    "int(L mask_ratio) rounds down."),
            Mistake("n_patches - int(n_patches * mask_ratio)", "int(n_patches * (1 - mask_ratio))",
                    "Round the number of hidden patches down, not that of the visible ones: "
                    "L - int(L mask_ratio)."),
            Mistake("order[:, :n_keep], order[:, n_keep:]",
                    "order[:, :n_keep - n_patches], order[:, n_keep - n_patches:]",
                    "If nothing is hidden, k = 0, and [:, -0:] is everything: count from the front."))),
    Exercise(
        name="mask_spans",
        target="tinyml.selfsupervised.masking:mask_spans",
        level=3, minutes=30,
        after=("mask_tokens",),
        task="Set k readings of each series to zero, in spans that do not overlap, with all "
             "arrangements equally likely",
        tests=laws_of(
            "masking",
            "test_spans_hide_exactly_k_readings_and_have_their_length",
            "test_all_arrangements_of_the_spans_are_equally_likely",
            "test_rng_is_the_only_source_of_randomness[mask_spans]",
            "test_so_many_are_hidden_on_a_single_row_rounded_down"),
        hints=("Do not draw places until none overlap: with a mask_ratio near 1 that never "
               "ends. Put blocks in a random order: each span is a block, and each visible "
               "reading is a block of length 1.",
               'The blocks: k // span_length of span_length, one of k % span_length if that is '
               'not 0, and T - k visible ones of length 1. Shuffle them in each row, and repeat '
               '"is this block a span?" as often as the block is long: T booleans.',
               "n_full, remainder = divmod(k, span_length); spans = [span_length] * n_full + "
               "[remainder] * (remainder > 0); lengths = np.array(spans + [1] * (T - k), "
               "np.int64); order = _random_orders((*rows, len(lengths)), rng) with *rows, T = "
               "x.shape; mask = np.repeat(order < ..., lengths[order].ravel()).reshape(x.shape); "
               "zero the hidden readings in a copy of x, and return the copy and mask"),
        mistakes=(
            Mistake(" + [remainder] * (remainder > 0)", "",
                    "The last span is shorter, k % span_length readings: without it fewer "
                    "than k are hidden."),
            Mistake("lengths[order].ravel()",
                    "np.tile(lengths, order.size // max(len(lengths), 1))",
                    "A block keeps its length when it is shuffled: take lengths[order], not "
                    "lengths."),
            Mistake("order < len(spans)", "order < k",
                    "The first len(spans) blocks are the spans: k is the number of hidden "
                    "readings, not of spans."),
            Mistake("_random_orders((*rows, len(lengths)), rng)",
                    "np.broadcast_to(_random_orders(len(lengths), rng), (*rows, len(lengths)))",
                    "Each series has spans of its own: yours are at the same places in all "
                    "rows."),
            Mistake("x_corrupted[mask] = 0", "x_corrupted[~mask] = 0",
                    "Zero goes where the mask is True, and the rest stays: yours is the "
                    "other way round."),
            Mistake("x_corrupted = x.copy()", "x_corrupted = x",
                    "x belongs to the caller: write the zeros into a copy."),
            Mistake("x_corrupted = x.copy()", "x_corrupted = x.astype(float)",
                    "The result has the dtype of x: keep it."),
            Mistake("    x_corrupted = x.copy()\n"
                    "    x_corrupted[mask] = 0\n",
                    "    x_corrupted = x * ~mask\n",
                    "NaN times 0 is NaN: put a 0 there instead."),
            Mistake("return x_corrupted, mask", "return x_corrupted, ~mask",
                    "The mask is True where a reading is hidden: yours is the other way "
                    "round."),
            Mistake("np.repeat(is_span, lengths[order].ravel())",
                    "(_random_orders(x.shape, rng) < k)",
                    "The readings are hidden one by one: they must be hidden in spans of "
                    "span_length."),
            Mistake("[1] * (T - k)",
                    "[span_length] * ((T - k) // span_length) + [1] * ((T - k) % span_length)",
                    "Visible readings are blocks of one each: in larger blocks most "
                    "arrangements cannot occur."),
            Mistake("int(T * mask_ratio)", "round(T * mask_ratio)",
                    "int(T mask_ratio) rounds down."))),
    Exercise(
        name="patchify",
        target="tinyml.selfsupervised.masked_patches:patchify",
        level=2, minutes=15,
        task="Cut images into square patches, one row of pixels for each patch",
        tests=laws_of(
            "masked_patches",
            "test_patches_are_squares_of_the_image_and_unpatchify_inverts_it",
            "test_numbered_pixels_are_where_a_drawing_shows_them"),
        hints=("No loop is needed: split each of the two axes in two by a reshape, and bring "
               "the axes into another order.",
               "(N, H/p, p, W/p, p) has the axes n, i, a, j, b of the docstring. The result "
               "needs n, (i, j), (a, b): swap a and j, then a reshape joins i with j and a with "
               "b.",
               "N, H, W = images.shape; cells = images.reshape(N, H // p, p, W // p, p), then "
               ".swapaxes(2, 3), then .reshape(N, ...), each number written out (a -1 fails "
               "when N is 0)"),
        also=("There may be no images at all, N = 0.",),
        mistakes=(
            Mistake("cells.swapaxes(2, 3)", "cells",
                    "Without exchanging the axes a and j a patch is a piece of a row of the "
                    "image, not a square."),
            Mistake("cells.swapaxes(2, 3)", "cells.transpose(0, 3, 1, 2, 4)",
                    "Patches are counted row by row, i W/p + j: yours run down the columns."),
            Mistake("cells.swapaxes(2, 3)", "cells.transpose(0, 1, 3, 4, 2)",
                    "The pixels of a patch are read row by row, a p + b: yours are "
                    "transposed."),
            Mistake("(H // p) * (W // p), p * p", "-1, p * p",
                    "With no images, N = 0, NumPy cannot work out a -1: write the number of "
                    "patches."),
            Mistake("N, H // p, p, W // p, p", "N, p, H // p, p, W // p",
                    "Rows i p + a split into (H/p, p), in this order: yours into (p, H/p), "
                    "so that a patch takes pixels from all over the image."),
            Mistake("cells.swapaxes(2, 3)", "cells.swapaxes(1, 4)",
                    "The axes to exchange are a and j, those in the middle (2 and 3): yours "
                    "mixes rows with columns."),
            Mistake("cells.swapaxes(2, 3)", "cells.transpose(0, 3, 1, 4, 2)",
                    "The patches come row by row, and so do the pixels in each; yours come "
                    "column by column."),
            Mistake("N, H // p, p, W // p, p)              # n, i, a, j, b\n"
                    "    in_order = cells.swapaxes(2, 3)",
                    "N, p, H // p, p, W // p)\n"
                    "    in_order = cells.transpose(0, 2, 4, 1, 3)",
                    "A patch is a block of neighbours: yours takes every (H/p)-th row and "
                    "every (W/p)-th column."),
            Mistake("in_order.reshape(N, (H // p) * (W // p), p * p)",
                    "in_order.reshape(N, (H // p) * (W // p), p, p)",
                    "A patch is one row of p^2 numbers: join its two axes."),
            Mistake("in_order.reshape(N, (H // p) * (W // p), p * p)",
                    "in_order.reshape(N, H // p, W // p, p * p)",
                    "The patches are on one axis of length L: join the rows and the columns "
                    "of the grid."),
            Mistake("in_order.reshape(N, (H // p) * (W // p), p * p)",
                    "in_order.reshape(N, (H // p) * (W // p), p * p).swapaxes(1, 2)",
                    "The shape is (N, L, p^2), a patch in each row: yours has the patches in "
                    "columns."),
            Mistake("in_order.reshape(N, (H // p) * (W // p), p * p)",
                    "in_order.reshape(N, (H // p) * (W // p), p * p).astype(float)",
                    "The patches have the dtype of images: yours are float64."),
            Mistake("cells.swapaxes(2, 3)", "cells.transpose(1, 3, 0, 2, 4)",
                    "The images come first: yours counts the images last, and so mixes their "
                    "patches."),
            Mistake("cells.swapaxes(2, 3)", "cells[:, ::-1].swapaxes(2, 3)",
                    "The first row of patches is the upper one: yours begins at the bottom."))),
))
