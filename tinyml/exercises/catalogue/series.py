"""Series of sensors: a view that shuffles the time, and predictions of future steps."""
from tinyml.exercises.exercise import Chapter, Exercise, Mistake, laws_of

CHAPTER = Chapter("series", "10.3.2 Series of sensors: shuffled pieces, and steps to come", (
    Exercise(
        name="pieces",
        target="tinyml.selfsupervised.series:_pieces",
        level=3, minutes=30,
        task="Cut the time of each series into pieces at random, and shuffle the pieces",
        tests=laws_of(
            "series",
            "test_a_permutation_moves_all_sensors_of_a_sample_alike",
            "test_a_permutation_has_any_number_of_pieces_in_any_order",
            "test_every_sample_has_a_draw_of_its_own[permute]",
            "test_a_view_keeps_dtype_and_input_and_follows_its_generator[permute]"),
        hints=("Number the pieces, and give every time step the number of its piece. Draw a "
               "random key for every piece, and sort the time steps by the key of their piece.",
               "Mark where pieces start, (n, length) of 0 and 1: for m pieces, m - 1 of the "
               "positions 1..length-1 in each row. The cumulative sum numbers the pieces. A "
               "stable argsort keeps the times of a piece in order.",
               "n_pieces = rng.integers(1, segments + 1, (n, 1)); cuts = "
               "rng.permuted(np.tile(np.arange(1, length), (n, 1)), axis=1)[:, :segments - 1], "
               "of which the first n_pieces - 1 count: np.put_along_axis(is_start, cuts, "
               "np.arange(1, segments) < n_pieces, axis=1) into zeros of int; piece = "
               "is_start.cumsum(axis=1); key = np.take_along_axis(rng.random((n, segments)), "
               "piece, axis=1); return np.argsort(..., axis=1, kind='stable')"),
        mistakes=(
            Mistake("rng.integers(1, segments + 1, (n, 1))", "np.full((n, 1), segments)",
                    "The number of pieces is drawn for each series, 1 to segments; yours is "
                    "always the largest."),
            Mistake("rng.integers(1, segments + 1, (n, 1))",
                    "rng.integers(1, max(segments, 2), (n, 1))",
                    "rng.integers excludes its upper end: for 1..segments write segments + "
                    "1."),
            Mistake("np.arange(1, segments) < n_pieces", "np.arange(1, segments) <= n_pieces",
                    "m pieces have m - 1 cuts between them; you have one cut too many."),
            Mistake("np.take_along_axis(keys, piece, axis=1)", "rng.random((n, length))",
                    "A key belongs to a piece, not to a time step: you shuffle the time steps."),
            Mistake("rng.random((n, segments))", "np.repeat(rng.random((1, segments)), n, axis=0)",
                    "Each series has its own order; you move the pieces of all in the same "
                    "way."),
            Mistake('axis=1, kind="stable")', "axis=1)",
                    "The times of a piece have equal keys and must keep their order: "
                    "kind='stable'."),
            Mistake("is_start.cumsum(axis=1)", "is_start",
                    "A time step's piece is the number of starts up to it: take the cumulative "
                    "sum."),
            Mistake("np.put_along_axis(is_start, cuts",
                    "np.put_along_axis(is_start, np.sort(cuts, axis=1)",
                    "Of sorted cuts you use only the earliest m - 1: leave the cuts in random "
                    "order."))),
    Exercise(
        name="temporal_contrast",
        target="tinyml.selfsupervised.ts_tcc:temporal_contrast",
        level=1, minutes=10,
        after=("info_nce",),
        task="Contrast predictions of K future steps with the encodings at these steps",
        tests=laws_of(
            "ts_tcc",
            "test_temporal_contrast_is_the_sum_of_its_docstring_in_a_slow_loop",
            "test_its_gradient_is_its_slope_and_lengths_do_not_matter",
            "test_at_chance_it_is_the_logarithm_of_the_batch"),
        hints=("Each step k has its own InfoNCE. Which are the queries, and which the keys?",
               "predicted[:, k] and future[:, k] have shape (B, D): row i of both belongs "
               "together, and the other rows of future[:, k] are the negatives. The mean of K "
               "losses.",
               "losses = [info_nce(..., ..., temperature=temperature) for k in range(K)]; "
               "return sum(losses) / K"),
        mistakes=(
            Mistake("sum(losses) / K", "sum(losses)",
                    "It is the mean over the K steps, not the sum."),
            Mistake("info_nce(predicted[:, k], future[:, k]",
                    "info_nce(future[:, k], predicted[:, k]",
                    "The predictions are the queries and the futures the keys; the other "
                    "way round, predictions become negatives."),
            Mistake("sum(losses) / K",
                    "info_nce(predicted.reshape(-1, predicted.shape[2]), future.reshape(-1, "
                    "future.shape[2]), temperature=temperature)",
                    "Other times of a series are not negatives: compare within one step k "
                    "only."),
            Mistake("sum(losses) / K",
                    "(sum(losses) + sum(info_nce(future[:, k], predicted[:, k], "
                    "temperature=temperature) for k in range(K))) / (2 * K)",
                    "Only the predictions are queries: you add the other direction, from futures "
                    "to predictions."),
            Mistake("info_nce(predicted[:, k], future[:, k]",
                    "info_nce(predicted[:, k], future[:, 0]",
                    "The prediction of step k is compared with the future at step k, not "
                    "with the first one."),
            Mistake("sum(losses) / K", "losses[-1]",
                    "All K steps count: take the mean of their losses."),
            Mistake("sum(losses) / K", "sum(losses) / len(predicted)",
                    "Each loss is a mean over the batch already: divide by the number of "
                    "steps K."),
            Mistake("sum(losses) / K",
                    "info_nce(predicted.reshape(len(predicted), -1), future.reshape(len(future), "
                    "-1), temperature=temperature)",
                    "Each step has a loss of its own; yours compares whole sequences."),
            Mistake("sum(losses) / K",
                    "sum(info_nce(predicted[i], future[i], temperature=temperature) for i in "
                    "range(len(predicted))) / len(predicted)",
                    "The negatives are other series at the same step k: yours are other steps "
                    "of the same series."),
            Mistake("sum(losses) / K",
                    "info_nce(predicted.mean(axis=1), future.mean(axis=1), "
                    "temperature=temperature)",
                    "Each step has its own loss: take the mean of the K losses, not of the "
                    "vectors."),
            Mistake("sum(losses) / K", "sum(losses[1:]) / K if K > 1 else losses[0] * 0",
                    "All K steps count: yours leaves out the first one."),
            Mistake("sum(losses) / K", "sum(losses[:-1]) / K if K > 1 else losses[0] * 0",
                    "All K steps count: yours leaves out the last one."),
            Mistake("temperature=temperature)", "temperature=1)",
                    "The temperature has no effect in yours: pass it on."),
            Mistake("sum(losses) / K", "losses[0]",
                    "All K steps count: take the mean of their losses."),
            Mistake("future[:, k]", "future[:, min(k + 1, K - 1)]",
                    "Step k of both belongs together: yours takes the future one step later."),
            Mistake("future[:, k]", "future[:, K - 1 - k]",
                    "Step k of both belongs together: yours goes back in time."),
            Mistake("temperature=temperature)", "temperature=1 / temperature)",
                    "info_nce divides by the temperature: pass it as it is."))),
))
