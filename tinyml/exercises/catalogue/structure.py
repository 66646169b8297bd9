"""Structure (10.2.1): whole units leave, or a matrix keeps only what is not zero."""
from tinyml.exercises.exercise import Chapter, Exercise, Mistake, laws_of

CHAPTER = Chapter("structure", "10.2.1 Structure: units that leave, sparse matrices", (
    Exercise(
        name="taylor_scores",
        target="tinyml.compression.structured:taylor_scores",
        level=2, minutes=15,
        after=("magnitude_mask",),
        task="Score units by the first-order change of the cost if each of them is removed",
        tests=laws_of(
            "structured",
            "test_data_scores_are_means_over_samples",
            "test_a_silent_unit_scores_zero_by_every_criterion_that_uses_data"),
        hints=("Which products may cancel, and which may not? The absolute value stands between "
               "the two means.",
               "_with_positions(z * d_z) has shape (N, units, M). Take the mean over the "
               "positions (axis 2), the absolute value, then the mean over the samples (axis 0).",
               "change = _with_positions(z * d_z).mean(axis=...); return "
               "np.abs(change).mean(axis=...)"),
        mistakes=(
            Mistake("    return np.abs(change).mean(axis=0)",
                    "    return np.abs(product).mean(axis=2).mean(axis=0)",
                    "Products within a feature map may cancel: take the mean over its "
                    "positions before the absolute value."),
            Mistake("np.abs(change).mean(axis=0)", "np.abs(change.mean(axis=0))",
                    "Different samples must not cancel: take the absolute value before the "
                    "mean over them."),
            Mistake("product.mean(axis=2)", "product.sum(axis=2)",
                    "A feature map counts with its mean, sum / M: otherwise large maps look "
                    "more important."),
            Mistake("np.abs(change).mean(axis=0)", "np.abs(change).sum(axis=0)",
                    "Take the mean over the samples, 1/N sum_n, not the sum."),
            Mistake("z * d_z", "d_z",
                    "The change is gradient times value: a unit whose output is 0 may go, "
                    "whatever its gradient."),
            Mistake("np.abs(change).mean(axis=0)", "change.mean(axis=0)",
                    "Without the absolute value, samples in which a unit lowers the cost cancel "
                    "samples in which it raises the cost."),
            Mistake("np.abs(change).mean(axis=0)", "(change ** 2).mean(axis=0)",
                    "Theta is the mean of absolute values, not of squares."),
            Mistake("z * d_z", "z",
                    "The change is gradient times value; the size of the value alone says "
                    "nothing about the cost."),
            Mistake("np.abs(change).mean(axis=0)", "np.abs(change).max(axis=0)",
                    "Take the mean over the samples, not the largest."),
            Mistake("product.mean(axis=2)",
                    "_with_positions(z).mean(axis=2) * _with_positions(d_z).mean(axis=2)",
                    "Multiply gradient and value at each position, then take the mean: the "
                    "product of two means is something else."),
            Mistake("    return np.abs(change).mean(axis=0)",
                    "    scores = np.abs(change).mean(axis=0)\n"
                    "    return scores / (np.linalg.norm(scores) or 1)",
                    "The scores are returned as they are: do not divide them by their norm."),
            Mistake("np.abs(change).mean(axis=0)", "np.sqrt((change ** 2).mean(axis=0))",
                    "Theta is the mean of absolute values, not the root of a mean of squares."),
            Mistake("np.abs(change).mean(axis=0)", "np.abs(change).mean(axis=1)",
                    "Axis 0 holds the samples, axis 1 the units: there is one score for each "
                    "unit."),
            Mistake("np.abs(change).mean(axis=0)", "np.abs(change)",
                    "Take the mean over the samples: there is one score for each unit."),
            Mistake("np.abs(change).mean(axis=0)", "-change.mean(axis=0)",
                    "Theta is the mean of the absolute changes; yours is the mean of the "
                    "changes, with its sign."),
            Mistake("product.mean(axis=2)", "product.max(axis=2)",
                    "Take the mean over the positions, not the largest product."))),
    Exercise(
        name="units_to_keep",
        target="tinyml.compression.structured:units_to_keep",
        level=3, minutes=20,
        examples=200,
        after=("taylor_scores",),
        task="Remove the k units of lowest score over all layers, but leave at least one unit "
             "in every layer",
        tests=laws_of(
            "structured",
            "test_the_lowest_go_and_every_layer_keeps_a_unit"),
        hints=("Go through all units of all layers in the order of their scores, and remove "
               "those that may go.",
               "_real_scores(scores, k) gives the scores as arrays. Start with masks of True. "
               "Sort tuples (score, i, unit, layer), with i the position of the layer in the "
               "dict. Skip a unit that is the last one kept in its layer; stop when k are "
               "removed.",
               "for _, _, unit, layer in sorted(candidates): if n_removed < k and "
               "keep[layer].sum() > 1: keep[layer][unit] = False; n_removed += 1; at the end "
               "return keep"),
        also=("Of equal scores, the first layer in the order of the dict goes first, and in it "
              "the first unit.",
              "Call _real_scores first: it refuses scores that are not real vectors, and a k "
              "that is too large."),
        mistakes=(
            Mistake("(score, i, unit, layer) for", "(score, layer, unit, layer) for",
                    "Of equal scores the layer that comes first in the dict goes first, not the one "
                    "with the smaller position."),
            Mistake("keep[layer].sum() > 1", "keep[layer].sum() > 0",
                    "The last unit of a layer stays: without it the network is cut in two."),
            Mistake("            n_removed += 1\n",
                    "",
                    "Count the removed units: after k of them, stop."),
            Mistake("(score, i, unit, layer) for", "(-score, i, unit, layer) for",
                    "The lowest scores go first; you begin with the highest."),
            Mistake("(score, i, unit, layer) for", "(i, score, unit, layer) for",
                    "All layers compete: you empty the first layer before you look at the "
                    "second."),
            Mistake("(score, i, unit, layer) for", "(score, -i, unit, layer) for",
                    "Of equal scores the first layer's unit goes first: yours takes the last "
                    "layer's."),
            Mistake("sorted(candidates)",
                    "sorted(candidates, key=lambda one: (one[0], one[1], -one[2]))",
                    "Of equal scores in a layer the first unit goes first: yours takes the last."),
            Mistake("(score, i, unit, layer) for", "(score, unit, i, layer) for",
                    "Of equal scores all units of the first layer go before those of the next: "
                    "you sort by the unit first."),
            Mistake("            n_removed += 1\n",
                    "        n_removed += 1\n",
                    "Count only the units that you remove, and go on until there are k."),
            Mistake("n_removed < k", "n_removed <= k",
                    "k units go, and yours removes one more."),
            Mistake("(score, i, unit, layer) for", "(abs(score), i, unit, layer) for",
                    "The lowest scores go first, with their sign: do not take the absolute "
                    "value."),
            Mistake("n_removed < k and", "(~keep[layer]).sum() < k and",
                    "k units go from all layers together; you remove up to k from each."),
            Mistake("keep[layer].sum() > 1", "unit != scores[layer].argmax()",
                    "If several units share the highest score of a layer, the last of them "
                    "stays: count how many are left."),
            Mistake("    return keep", "    return {layer: ~mask for layer, mask in keep.items()}",
                    "True marks the units to keep; yours marks those that go."),
            Mistake("    return keep",
                    "    return {layer: np.flatnonzero(mask) for layer, mask in keep.items()}",
                    "Return a mask of bool for each layer, not the numbers of the units."),
            Mistake("(score, i, unit, layer) for",
                    "(score / (np.linalg.norm(layer_scores) or 1), i, unit, layer) for",
                    "The scores are compared as they are: do not divide those of each layer "
                    "by their norm."),
            Mistake("sorted(candidates)",
                    "sorted(candidates, key=lambda one: (one[0], -one[1], -one[2]))",
                    "Of equal scores, the first layer goes first, and in it the first unit: "
                    "you remove the last."),
            Mistake("_real_scores(scores, k)",
                    "{layer: np.asarray(s, float) for layer, s in scores.items()}",
                    "Call _real_scores first: it refuses a k that is too large, and scores "
                    "that are not real vectors."))),
    Exercise(
        name="remove_units",
        target="tinyml.compression.removal:remove_units",
        level=3, minutes=30,
        after=("units_to_keep",),
        task="Build the smaller model: rows leave their layer and its batch norm, columns leave "
             "the next layer",
        tests=laws_of(
            "removal",
            "test_the_smaller_model_computes_what_the_masked_one_computes",
            "test_nothing_is_removed_from_the_model_itself",
            "test_settings_shrink_with_the_arrays"),
        hints=("Copy the model. For each layer that loses units: which arrays have an entry for "
               "each of them?",
               "keep_entries(small, place, mask, axis=0) keeps rows: of the layer, and of the "
               "modules at units.rows. axis=1 keeps columns, of the reader. "
               "entry_mask(kept, model[layer], n) is the mask of units as a mask of n entries: "
               "behind a Flatten a unit has several.",
               'small = copy.deepcopy(model); for layer, (units, kept) in '
               'checked_masks("remove_units", model, keep).items(): keep_entries(small, layer, '
               'kept, axis=0); for place in units.rows: keep_entries(small, place, ...); '
               'keep_entries(small, units.reader, entry_mask(...), axis=1); return small'),
        also=('checked_masks("remove_units", model, keep) checks keep, and gives {layer: '
              '(units, kept)}. units.rows are the places of the batch norms and depthwise '
              'convolutions behind the layer, units.reader is that of the next layer.',),
        mistakes=(
            Mistake("entry_mask(kept, model[layer], columns)",
                    "kept[[i % len(kept) for i in range(columns)]]",
                    "Flatten puts the H W pixels of a filter side by side: repeat each "
                    "entry of the mask, do not tile it."),
            Mistake("copy.deepcopy(model)", "model",
                    "The model itself must stay as it is: shrink a copy that shares no "
                    "arrays with it."),
            Mistake("for place in units.rows:", "for place in ():",
                    "The batch norm behind a layer has an entry for each unit as well, and "
                    "must lose the same ones."),
            Mistake("    return small", "    return small.eval()",
                    "The smaller model keeps the mode of the model: yours is always in "
                    "evaluation mode."),
            Mistake("entry_mask(kept, model[layer], columns)", "kept",
                    "Behind a Flatten the reader has H W columns for each unit, not one."),
            Mistake("keep_entries(small, layer, kept, axis=0)",
                    "keep_entries(small, layer, ~kept, axis=0)",
                    "keep is True for the units that stay: these are the rows to keep."),
            Mistake("entry_mask(kept, model[layer], n_entries)", "kept",
                    "A batch norm behind a Flatten has H W entries for each unit, not one."),
            Mistake("        keep_entries(small, units.reader, entry_mask(kept, model[layer], "
                    "columns), axis=1)\n",
                    "",
                    "The next layer reads the removed units: their columns must go too."),
            Mistake("        keep_entries(small, layer, kept, axis=0)\n", "",
                    "The layer itself loses the rows of its removed units."),
            Mistake("copy.deepcopy(model)", "copy.copy(model)",
                    "A shallow copy shares its modules and arrays with the model: take a "
                    "deep copy."),
            Mistake('checked_masks("remove_units", model, keep).items():',
                    'list(checked_masks("remove_units", model, keep).items())[:1]:',
                    "Every layer that keep names loses units, not only the first."),
            Mistake("    return small", "    return copy.deepcopy(model)",
                    "Nothing is removed: return the copy whose rows and columns you have cut."),
            Mistake("entry_mask(kept, model[layer], columns), axis=1)",
                    "entry_mask(kept, model[layer], len(model[units.reader].weight.data)), "
                    "axis=0)",
                    "The next layer reads the units in its columns, axis 1: its rows stay."),
            Mistake("for place in units.rows:", "for place in units.rows[:1]:",
                    "Every module at units.rows has entries for the units, not only the first."))),
    Exercise(
        name="to_csr",
        target="tinyml.compression.sparse:to_csr",
        level=2, minutes=15,
        after=("threshold_mask",),
        task="Store a matrix as its nonzero values, their columns, and where each row starts",
        tests=laws_of(
            "sparse",
            "test_there_and_back_nothing_is_lost",
            "test_columns_are_as_small_as_the_matrix_allows"),
        hints=("np.nonzero gives rows and columns of the nonzero entries, row by row. How many "
               "are there in each row?",
               "starts = 0 and the running sums of the counts per row, int32, shape (m + 1,), "
               "also for rows of zeros. columns has the smallest unsigned dtype for 0 ... n - "
               "1: np.min_scalar_type.",
               "rows, columns = np.nonzero(matrix); counts = np.bincount(rows, minlength=m); "
               "starts = np.zeros(m + 1, np.int32); starts[1:] = ...; return CSR(matrix[rows, "
               "columns], columns.astype(...), starts, (m, n))"),
        also=("The values stand in reading order, row by row.",
              "The dtype of columns follows from n alone: np.min_scalar_type of the largest "
              "column, n - 1. starts is int32."),
        mistakes=(
            Mistake("starts, (m, n))",
                    "starts[:-1], (m, n))",
                    "starts has m + 1 entries: the last row ends at the number of all values, "
                    "and yours lacks this one."),
            Mistake("np.bincount(rows, minlength=m)", "np.resize(np.bincount(rows), m)",
                    "Rows of zeros at the end have a start too: count with minlength=m."),
            Mistake("    starts = np.zeros(m + 1, np.int32)\n"
                    "    starts[1:] = np.cumsum(counts)\n",
                    "    starts = np.cumsum(counts).astype(np.int32)\n",
                    "The first row starts at 0: starts has m + 1 entries, and yours lacks "
                    "the first."),
            Mistake("np.cumsum(counts)", "counts",
                    "starts says where each row begins, which is the running sum of the "
                    "counts."),
            Mistake("np.nonzero(matrix)", "np.nonzero(matrix > 0)",
                    "Negative entries are nonzero too: they stay."),
            Mistake("columns.astype(smallest)", "columns",
                    "np.nonzero gives int64, 8 bytes for each column: one byte is often enough."),
            Mistake("np.min_scalar_type(max(n - 1, 0))",
                    "np.min_scalar_type(columns.max(initial=0))",
                    "The dtype of the columns follows from n, not from the columns that "
                    "occur: it holds 0 ... n - 1."),
            Mistake("np.min_scalar_type(max(n - 1, 0))", "np.min_scalar_type(n)",
                    "The largest column is n - 1: 256 columns still take one byte each."),
            Mistake("    counts =",
                    "    rows, columns = (rows[np.argsort(columns, kind='stable')],\n"
                    "                     np.sort(columns))\n"
                    "    counts =",
                    "The values stand row by row, in reading order, and yours go down the "
                    "columns."),
            Mistake("np.zeros(m + 1, np.int32)", "np.zeros(m + 1, np.int64)",
                    "The row starts are int32."),
            Mistake("starts, (m, n))", "starts, (n, m))",
                    "The shape is (m, n), rows first."),
            Mistake("np.zeros(m + 1, np.int32)\n"
                    "    starts[1:] = np.cumsum(counts)",
                    "np.zeros(m + 1, np.int32)\n"
                    "    starts[:-1] = np.cumsum(counts)",
                    "starts[i] is the number of values before row i: it begins with 0, and "
                    "ends with the number of all."),
            Mistake("    starts = np.zeros(m + 1, np.int32)\n"
                    "    starts[1:] = np.cumsum(counts)\n",
                    "    starts = np.append(np.unique(rows, return_index=True)[1], "
                    "len(rows)).astype(np.int32)\n",
                    "A row of zeros has a start too: starts has m + 1 entries, whatever the "
                    "rows hold."),
            Mistake("matrix[rows, columns]", "matrix[rows, columns].astype(float)",
                    "The values keep the dtype of the matrix."),
            Mistake("columns.astype(smallest)", "rows.astype(smallest)",
                    "Store the column of each value; the rows follow from starts."),
            Mistake("columns.astype(smallest)", "columns.astype(np.int32)",
                    "The columns have the smallest dtype that holds n - 1: "
                    "np.min_scalar_type gives it."),
            Mistake("columns.astype(smallest)", "columns.astype(np.uint8)",
                    "One byte holds the columns 0 ... 255 only: the dtype follows from n."),
            Mistake("np.cumsum(counts)", "np.cumsum(counts[::-1])",
                    "The counts are summed from the first row on."),
            Mistake("max(n - 1, 0)", "max(m - 1, 0)",
                    "The dtype of the columns follows from their number n, not from the "
                    "number of rows."),
            Mistake("np.nonzero(matrix)", "np.nonzero(np.abs(matrix) > 1e-8)",
                    "Every entry that is not 0 stays, however small."))),
    Exercise(
        name="sparse_matmul",
        target="tinyml.compression.sparse:matmul",
        level=2, minutes=20,
        after=("to_csr",),
        hide=("_fast_matmul",),
        task="Multiply a sparse matrix and a vector or a matrix, with one multiplication for "
             "each nonzero weight",
        tests=laws_of(
            "sparse",
            "test_the_product_is_the_dense_one[matmul]",
            "test_zeros_take_no_memory[matmul]",
            "test_x_must_have_a_row_for_each_column"),
        hints=("Go through the rows: where do the values of row i start and end, and which "
               "entries of x do they meet?",
               "Row i has the values starts[i] ... starts[i + 1] - 1. Its result is the product "
               "of these values, (nnz_i,), with x at their columns, (nnz_i,) or (nnz_i, k).",
               "y = np.zeros((m, *x.shape[1:]), np.result_type(values, x)); for i in range(m): "
               "row = slice(...); y[i] = values[row] @ x[...]"),
        also=("The dtype is that of a product of a value and an entry of x: np.result_type.",
              "The decorator checked refuses an x of another length than n: write no check."),
        mistakes=(
            Mistake("slice(starts[i], starts[i + 1])", "slice(starts[i], starts[i + 1] + 1)",
                    "Row i ends before starts[i + 1], where the next row starts."),
            Mistake("x[columns[row]]", "x[row]",
                    "A value in column j meets x_j: look x up by the columns, not by the "
                    "position of the value."),
            Mistake("values[row] @ x[columns[row]]",
                    "(values[row] * x[columns[row]].T).T[:1].sum(axis=0)",
                    "Row i is the sum of all its terms, and you take only the first one."),
            Mistake(", np.result_type(values, x))", ")",
                    "np.zeros is float64: a float32 product must stay float32."),
            Mistake("np.result_type(values, x))", "values.dtype)",
                    "If x is float64 and the values are float32, the result is float64: its "
                    "dtype is that of the products."),
            Mistake("slice(starts[i], starts[i + 1])", "slice(starts[i], starts[-1])",
                    "The values of row i end where row i + 1 starts."),
            Mistake("slice(starts[i], starts[i + 1])", "slice(starts[i])",
                    "A slice needs its start too: slice(a) means the first a values."),
            Mistake("sparse forward\n"
                    "    return y",
                    "sparse forward\n"
                    "    products = (values * x[columns].T).T\n"
                    "    return np.add.reduceat(products, np.minimum(starts[:-1], "
                    "len(values) - 1), axis=0) if len(values) and m else y",
                    "A row without values has the sum 0: np.add.reduceat gives it the first "
                    "product of the next row."),
            Mistake("np.result_type(values, x))", "x.dtype)",
                    "If the values are float64 and x is float32, the result is float64: its "
                    "dtype is that of the products."),
            Mistake("values[row] @ x[columns[row]]",
                    "(values[row] * x[columns[row]].T).T[-1:].sum(axis=0)",
                    "Row i is the sum of all its terms; y[rows] += ... keeps only the last, "
                    "because the rows repeat."),
            Mistake("values[row] @ x[columns[row]]", "(values[row] * x[columns[row]].T).sum()",
                    "x may have several columns: sum over the values of the row only, and "
                    "keep the columns apart."),
            Mistake("slice(starts[i], starts[i + 1])", "slice(starts[i], starts[i + 1] - 1)",
                    "The last value of row i stands at starts[i + 1] - 1, and a slice ends "
                    "before its second number."),
            Mistake("slice(starts[i], starts[i + 1])",
                    "slice(starts[i], starts[i] + starts[i + 1])",
                    "starts[i + 1] is where the next row starts, not the number of values in "
                    "row i."),
            Mistake("values[row] @ x[columns[row]]", "x[columns[row]].sum(axis=0)",
                    "Each entry of x is multiplied by its value: you sum the entries alone."),
            Mistake("np.zeros((m, *x.shape[1:]), np.result_type(values, x))",
                    "np.zeros((m, x[:1].size or 1), np.result_type(values, x))",
                    "For a vector x the result is a vector, shape (m,), not a matrix of one "
                    "column."),
            Mistake("np.result_type(values, x))", "np.float32)",
                    "The dtype is that of the products: float64 stays float64."))),
))
