"""Circulant layers (10.2.3): n numbers for a matrix of n x n, and the fast Fourier transform."""
from tinyml.exercises.exercise import Chapter, Exercise, Mistake, laws_of

CHAPTER = Chapter("circulant", "10.2.3 Circulant layers: a matrix from its first column", (
    Exercise(
        name="circulant",
        target="tinyml.compression.circulant:circulant",
        level=1, minutes=5,
        task="Write out the circulant matrix with a given first column",
        tests=laws_of(
            "circulant",
            "test_each_column_is_the_one_before_shifted_down"),
        hints=("Which entry of r stands at row i, column j? An array of indices takes them all at "
               "once.",
               "C_ij = r_((i - j) mod n): make the (n, n) array of (i - j) mod n, and take r there, "
               "over its last axis.",
               "i = np.arange(r.shape[-1]); return r[..., (i[:, None] - ...) % len(i)]"),
        also=("r may be a stack of columns, shape (..., n).",),
        mistakes=(
            Mistake("(i[:, None] - i)", "(i - i[:, None])",
                    "That is the transpose: r is the first column, not the first row."),
            Mistake("(i[:, None] - i)", "(i[:, None] + i)",
                    "Each column is the one before, shifted down: i - j, not i + j."),
            Mistake("(i[:, None] - i) % len(i)", "np.abs(i[:, None] - i)",
                    "Above the diagonal the column goes on from its other end: (i - j) mod n, "
                    "not |i - j|."),
            Mistake("r[..., (i", "r[(i",
                    "r may be a stack of columns: the last axis holds the n numbers of "
                    "one of them."),
            Mistake("(i[:, None] - i)", "(i[:, None] - i - 1)",
                    "The first column is r itself: yours is shifted by one."),
            Mistake("return r[..., (i[:, None] - i) % len(i)]",
                    "return np.tril(r[..., (i[:, None] - i) % len(i)])",
                    "Above the diagonal the column goes on from its other end: yours "
                    "has zeros there."),
            Mistake("return r[..., (i[:, None] - i) % len(i)]",
                    "return np.triu(r[..., (i[:, None] - i) % len(i)])",
                    "Below the diagonal stand r_1, r_2, ...: yours has zeros there."),
            Mistake("i = np.arange(r.shape[-1])\n"
                    "    return r[..., (i[:, None] - i) % len(i)]",
                    "n = r.shape[-1]\n"
                    "    C = np.empty((n, n), r.dtype)\n"
                    "    for i in range(n):\n"
                    "        for j in range(n):\n"
                    "            C[i, j] = r[(i - j) % n]\n"
                    "    return C",
                    "r may be a stack of columns: the last axis holds the n numbers of "
                    "one of them."),
            Mistake("i = np.arange(r.shape[-1])\n"
                    "    return r[..., (i[:, None] - i) % len(i)]",
                    "n = r.shape[-1]\n"
                    "    return np.array([[r[(i - j) % n] for j in range(n)] for i in "
                    "range(n)])",
                    "r may be a stack of columns: the last axis holds the n numbers of "
                    "one of them."),
            Mistake("i = np.arange(r.shape[-1])\n"
                    "    return r[..., (i[:, None] - i) % len(i)]",
                    "i = np.arange(r.size)\n"
                    "    return r.ravel()[(i[:, None] - i) % len(i)]",
                    "r may be a stack of columns: the last axis holds the n numbers of "
                    "one of them."),
            Mistake("i = np.arange(r.shape[-1])\n"
                    "    return r[..., (i[:, None] - i) % len(i)]",
                    "return np.stack([np.roll(r, j) for j in range(r.shape[-1])], axis=-1)",
                    "np.roll without an axis rolls the whole stack: roll along the last axis."),
            Mistake("i = np.arange(r.shape[-1])\n"
                    "    return r[..., (i[:, None] - i) % len(i)]",
                    "return np.stack([np.roll(r, j, axis=-1) for j in range(r.shape[-1])])",
                    "The columns of one matrix stand side by side on the last axis; "
                    "the stack stays in front."),
            Mistake("i = np.arange(r.shape[-1])\n"
                    "    return r[..., (i[:, None] - i) % len(i)]",
                    "return np.stack([np.roll(r, j, axis=-1) for j in "
                    "range(r.shape[-1])], axis=-1)[..., :-1]",
                    "The matrix has n columns: the last is missing."),
            Mistake("(i[:, None] - i) % len(i)", "i[:, None] ^ i",
                    "The columns are shifted with wrap-around: (i - j) mod n."),
            Mistake("(i[:, None] - i) % len(i)",
                    "np.minimum(np.abs(i[:, None] - i), len(i) - np.abs(i[:, None] - i))",
                    "A circulant matrix need not be symmetric: (i - j) mod n runs from "
                    "0 to n - 1."),
            Mistake("(i[:, None] - i)", "(i[:, None] - i + 1)",
                    "The first column is r itself: yours is shifted by one."))),
    Exercise(
        name="circulant_product",
        target="tinyml.compression.circulant:circulant_product",
        level=2, minutes=20, keep=1,
        after=("circulant",),
        task="Multiply by a circulant matrix with Fourier transforms, with both gradients",
        tests=laws_of(
            "circulant",
            "test_the_product_is_that_of_the_full_matrix",
            "test_a_shifted_input_gives_the_shifted_output",
            "test_the_gradients_are_those_of_the_full_matrix",
            "test_float32_stays_float32[5]"),
        hints=("A circular convolution is a product after a Fourier transform. np.fft.rfft and "
               "np.fft.irfft are for real numbers.",
               "y = irfft(R * X, n) with X = rfft(x), R = rfft(r), over the last axis. The gradient "
               "of one argument is the same product of g and the complex conjugate of the other.",
               "X, R = np.fft.rfft(x), np.fft.rfft(r); d_x of g: np.fft.irfft(R.conj() * "
               "np.fft.rfft(g), n), and d_r the same with ...; return ..., (d_x, d_r)"),
        also=("n may be odd. A gradient with more axes than its argument is summed by the engine.",),
        mistakes=(
            Mistake("R.conj() * np.fft.rfft(g)", "R * np.fft.rfft(g)",
                    "The gradient of x is C' g, and the transpose has the conjugate spectrum."),
            Mistake("X.conj() * np.fft.rfft(g)", "X * np.fft.rfft(g)",
                    "The gradient of r is a correlation of g and x: conjugate the spectrum of x."),
            Mistake("(d_x, d_r)", "(d_r, d_x)",
                    "One gradient for each argument, in their order: x, then r."),
            Mistake("np.fft.irfft(R * X, n)", "np.fft.irfft(R.conj() * X, n)",
                    "That is the product with the transpose of C."),
            Mistake("np.fft.irfft(R * X, n)", "np.fft.irfft(R + X, n)",
                    "A convolution is a product of spectra, not a sum."),
            Mistake("np.fft.irfft(R * X, n)", "np.fft.irfft(R * X, n) / n",
                    "irfft has the factor 1 / n in it already."),
            Mistake("R.conj() * np.fft.rfft(g), n)", "R * np.fft.rfft(g).conj(), n)",
                    "Conjugate the spectrum of r, not that of g: otherwise the "
                    "gradient is turned round."),
            Mistake("X.conj() * np.fft.rfft(g), n)", "X * np.fft.rfft(g).conj(), n)",
                    "Conjugate the spectrum of x, not that of g: otherwise the "
                    "gradient is turned round."),
            Mistake("R.conj() * np.fft.rfft(g), n)\n"
                    "\n"
                    "    def d_r(g):\n"
                    "        return np.fft.irfft(X.conj() * np.fft.rfft(g), n)",
                    "R * np.fft.rfft(g).conj(), n)\n"
                    "\n"
                    "    def d_r(g):\n"
                    "        return np.fft.irfft(X * np.fft.rfft(g).conj(), n)",
                    "Conjugate the spectra of r and x, not that of g: otherwise both "
                    "gradients are turned round."),
            Mistake("R.conj() * np.fft.rfft(g), n)\n"
                    "\n"
                    "    def d_r(g):\n"
                    "        return np.fft.irfft(X.conj() * np.fft.rfft(g), n)",
                    "R * np.fft.rfft(g), n)\n"
                    "\n"
                    "    def d_r(g):\n"
                    "        return np.fft.irfft(X * np.fft.rfft(g), n)",
                    "Both gradients are products with a transpose: conjugate the "
                    "spectra of r and x."),
            Mistake("n = len(r)", "n = None",
                    "Without n the result has an even length: say that it is n."),
            Mistake("np.fft.irfft(R * X, n)", "np.fft.irfft(R * X)",
                    "Without n the result has an even length: say that it is n."),
            Mistake("np.fft.irfft(R.conj() * np.fft.rfft(g), n)",
                    "np.fft.irfft(R.conj() * np.fft.rfft(g), n) / n",
                    "irfft has the factor 1 / n in it already, in the gradients too."),
            Mistake("np.fft.irfft(X.conj() * np.fft.rfft(g), n)",
                    "np.fft.irfft(X.conj() * np.fft.rfft(g), n) / n",
                    "irfft has the factor 1 / n in it already, in the gradients too."),
            Mistake("np.fft.rfft(x), np.fft.rfft(r)",
                    "np.fft.rfft(x.astype(np.float64)), np.fft.rfft(r.astype(np.float64))",
                    "float32 must stay float32: a transform of float64 gives float64."),
            Mistake("np.fft.irfft(R * X, n)",
                    "np.fft.irfft(np.fft.rfft(r, 2 * n) * np.fft.rfft(x, 2 * n), 2 * "
                    "n)[..., :n]",
                    "C wraps around: do not fill up with zeros before the transform."),
            Mistake("np.fft.irfft(R * X, n)", "np.fft.irfft(R * X.conj(), n)",
                    "The value has no conjugate: y is the inverse transform of F r * F x."),
            Mistake("np.fft.irfft(X.conj() * np.fft.rfft(g), n)",
                    "np.fft.irfft(X.conj() * np.fft.rfft(g), n).reshape(-1, n).mean(axis=0)",
                    "The gradient of r is a sum over the rows of x, not a mean; the "
                    "engine takes the sum."),
            Mistake("np.fft.rfft(x), np.fft.rfft(r)", "np.fft.rfft(x, axis=0), np.fft.rfft(r)",
                    "The n numbers of x are on its last axis: transform along it."))),
    Exercise(
        name="nearest_circulant",
        target="tinyml.compression.circulant:nearest_circulant",
        level=2, minutes=15,
        after=("circulant",),
        task="Find the circulant matrix with the least distance from a given one",
        tests=laws_of(
            "circulant",
            "test_the_nearest_circulant_matrix_has_the_means_of_the_diagonals",
            "test_no_other_blocks_are_nearer_on_the_entries_that_exist"),
        hints=("Each r_k stands at n places of C. Which number is nearest to n given ones, in the "
               "sense of least squares?",
               "r_k is the mean of W_ij over the n places with i - j = k mod n: for each column j "
               "the row is i = (j + k) mod n.",
               "j = k = np.arange(n); i = (j + k[:, None]) % n, so i[k, j]; the entries at (i, j), "
               "and then their mean over ..."),
        also=("weight may be a stack of matrices, shape (..., n, n).",),
        mistakes=(
            Mistake("(j + k[:, None])", "(j - k[:, None])",
                    "i - j = k, so i = j + k: yours has the numbers of the first row."),
            Mistake(".mean(axis=-1)", ".sum(axis=-1)",
                    "Least squares asks for the mean of the n entries, not their sum."),
            Mistake(".mean(axis=-1)", ".mean(axis=-2)",
                    "r_k is the mean of a diagonal of W, not of a row or a column."),
            Mistake("weight[..., i, j].mean(axis=-1)", "weight[..., :, 0]",
                    "The first column alone ignores all others: take the mean along each "
                    "diagonal."),
            Mistake("weight[..., i, j].mean(axis=-1)", "np.median(weight[..., i, j], axis=-1)",
                    "The median minimises the sum of |W_ij - r_k|; least squares asks for the "
                    "mean."),
            Mistake(".mean(axis=-1)", ".mean()",
                    "Each of the n numbers has a mean of its own."),
            Mistake("weight[..., i, j].mean(axis=-1)",
                    "np.stack([weight.diagonal(-k, -2, -1).mean(axis=-1) for k in "
                    "range(len(j))], axis=-1)",
                    "The mean is over all n entries with i - j = k mod n: a diagonal "
                    "goes on at the other side of W."),
            Mistake("weight[..., i, j].mean(axis=-1)",
                    "np.stack([weight.diagonal(-k, -2, -1).sum(axis=-1) for k in "
                    "range(len(j))], axis=-1) / len(j)",
                    "The mean is over all n entries with i - j = k mod n: a diagonal "
                    "goes on at the other side of W."),
            Mistake("weight[..., i, j].mean(axis=-1)",
                    "np.stack([weight.diagonal(k, -2, -1).mean(axis=-1) for k in "
                    "range(len(j))], axis=-1)",
                    "The mean is over all n entries with i - j = k mod n: a diagonal "
                    "goes on at the other side of W."),
            Mistake("weight[..., i, j].mean(axis=-1)",
                    "weight[..., i, j].sum(axis=-1) / (len(j) - j)",
                    "With wrap-around every diagonal has n entries: divide by n."),
            Mistake("weight[..., i, j].mean(axis=-1)",
                    "weight[..., i, j].sum(axis=-1) / len(j) ** 2",
                    "The mean is over the n entries of one diagonal: divide by n."),
            Mistake("weight[..., i, j].mean(axis=-1)", "weight.mean(axis=-1)",
                    "r_k is the mean of a diagonal of W, not of a row or a column."),
            Mistake("weight[..., i, j].mean(axis=-1)", "weight.mean(axis=-2)",
                    "r_k is the mean of a diagonal of W, not of a row or a column."),
            Mistake("weight[..., i, j].mean(axis=-1)", "weight[..., 0, :]",
                    "The first row alone ignores all others: take the mean along each "
                    "diagonal."),
            Mistake("weight[..., i, j].mean(axis=-1)",
                    "np.array([weight[row, j].mean() for row in i])",
                    "weight may be a stack: rows and columns are its last two axes."),
            Mistake("(j + k[:, None])", "(k[:, None] - j)",
                    "The difference i - j is k; yours has the places where the sum i + "
                    "j is k."),
            Mistake("(j + k[:, None])", "(j + k[:, None] + 1)",
                    "r_0 is the mean of the main diagonal: yours is shifted by one."))),
    Exercise(
        name="block_product",
        target="tinyml.compression.circulant:block_product",
        level=3, minutes=30, keep=1,
        after=("circulant_product",),
        task="Multiply by a matrix of circulant blocks, with both gradients",
        tests=laws_of(
            "circulant",
            "test_blocks_multiply_like_the_full_matrix_and_have_its_gradients",
            "test_float32_stays_float32[5]") + laws_of(
            "circulant_layers",
            "test_a_layer_computes_with_its_matrix"),
        hints=("After the Fourier transform of all blocks, each frequency has a small matrix "
               "product of its own. Put the frequencies first: @ multiplies stacks of matrices.",
               "R (frequencies, p, q) and X (frequencies, N, q): Y = X R' (frequencies, N, p). With "
               "the spectrum G of g: d_x has the spectrum G bar(R), d_r has G' bar(X).",
               "b = r.shape[2]; R = np.fft.rfft(r).transpose(2, 0, 1); X = _spectrum(x, b); d_x: "
               "_from_spectrum(_spectrum(g, b) @ R.conj(), b); D = _spectrum(g, b).transpose(0, 2, "
               "1) @ ...; d_r: np.fft.irfft(D.transpose(1, 2, 0), b); the value: X @ R with its "
               "last two axes swapped"),
        also=("_spectrum(x, b) are the transforms of the blocks of each row, (N, q b) to "
              "(frequencies, N, q); _from_spectrum(Y, b) goes back.",),
        mistakes=(
            Mistake("_spectrum(g, b) @ R.conj()", "_spectrum(g, b) @ R",
                    "The gradient of x is W' g: transposed blocks have conjugate spectra."),
            Mistake("@ X.conj()", "@ X",
                    "The gradient of r is a correlation with x: conjugate its spectrum."),
            Mistake("X @ R.transpose(0, 2, 1)", "X @ R.conj().transpose(0, 2, 1)",
                    "That multiplies by transposed blocks: no conjugate in the value."),
            Mistake("np.fft.irfft(D.transpose(1, 2, 0), b)", "np.fft.irfft(D.transpose(1, 2, 0))",
                    "Without b the result has an even length: say that it is b."),
            Mistake("(d_x, d_r)", "(d_r, d_x)",
                    "One gradient for each argument, in their order: x, then r."),
            Mistake("np.fft.irfft(D.transpose(1, 2, 0), b)",
                    "np.fft.irfft(D.transpose(2, 1, 0), b).swapaxes(0, 1) / len(x)",
                    "The gradient is a sum over the rows of x, not a mean."),
            Mistake("np.fft.irfft(D.transpose(1, 2, 0), b)",
                    "np.fft.irfft(D.conj().transpose(1, 2, 0), b)",
                    "Conjugating D turns each column round: conjugate only the spectrum of x."),
            Mistake("X @ R.transpose(0, 2, 1)", "X @ R.reshape(len(R), R.shape[2], R.shape[1])",
                    "A reshape does not transpose: swap the last two axes of R."),
            Mistake("return np.fft.irfft(D.transpose(1, 2, 0), b)",
                    "return np.fft.irfft(D.transpose(1, 2, 0), b) / b",
                    "irfft has the factor 1 / b in it already."),
            Mistake("return np.fft.irfft(D.transpose(1, 2, 0), b)",
                    "return np.fft.irfft(D.transpose(1, 2, 0), b) * b",
                    "The forward transform has no factor, and irfft has 1 / b: nothing "
                    "is left to correct."),
            Mistake("_spectrum(g, b) @ R.conj()", "_spectrum(g, b).conj() @ R",
                    "Conjugate the spectrum of r, not that of g: otherwise the "
                    "gradient is turned round."),
            Mistake("_spectrum(g, b).transpose(0, 2, 1) @ X.conj()",
                    "(_spectrum(g, b).transpose(0, 2, 1) @ X.conj())[:, :, ::-1]",
                    "The blocks of x keep their order in the gradient of r."),
            Mistake("return _from_spectrum(_spectrum(g, b) @ R.conj(), b)\n"
                    "\n"
                    "    def d_r(g):",
                    "return _from_spectrum(_spectrum(g, b) @ R, b)\n"
                    "\n"
                    "    def d_r(g, X=X.conj()):",
                    "Both gradients are products with a transpose: conjugate the "
                    "spectra of r and x."),
            Mistake("_from_spectrum(X @ R.transpose(0, 2, 1), b)",
                    "_from_spectrum(X @ R.transpose(0, 2, 1), b) / r.shape[1]",
                    "y_i is the sum over the q blocks, not their mean."),
            Mistake("np.fft.rfft(r).transpose(2, 0, 1)",
                    "np.fft.rfft(r.astype(np.float64)).transpose(2, 0, 1)",
                    "float32 must stay float32: a transform of float64 gives float64."))),
))
