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
                    "In a stack of columns, the last axis holds the n numbers."),
            Mistake("(i[:, None] - i)", "(i[:, None] - i - 1)",
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
                    "irfft has the factor 1 / n in it already."))),
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
                    "The mean is over the n places of one number r_k, the last axis here."),
            Mistake("weight[..., i, j].mean(axis=-1)", "weight[..., :, 0]",
                    "The first column alone ignores all others: take the mean along each "
                    "diagonal."),
            Mistake("weight[..., i, j].mean(axis=-1)", "np.median(weight[..., i, j], axis=-1)",
                    "The median minimises the sum of |W_ij - r_k|; least squares asks for the "
                    "mean."),
            Mistake(".mean(axis=-1)", ".mean()",
                    "Each of the n numbers has a mean of its own."))),
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
                    "Conjugating D turns each column round: conjugate only the spectrum of x."))),
))
