"""Low rank (10.2.3): a matrix as the product of two thin ones, and how thin they may be."""
from tinyml.exercises.exercise import Chapter, Exercise, Mistake

LOW_RANK = "tinyml.compression.low_rank"

CHAPTER = Chapter("low_rank", "10.2.3 Low rank: two thin matrices for one", (
    Exercise(
        name="truncated_svd", target=f"{LOW_RANK}:truncated_svd", level=2, minutes=15, keep=3,
        task="Cut a singular value decomposition after r terms, and share out the singular values evenly",
        tests=("test_low_rank.py::test_the_squared_error_is_the_tail_of_the_spectrum_and_no_other_is_smaller",
               "test_low_rank.py::test_full_rank_is_exact"),
        hints=("np.linalg.svd(W, full_matrices=False) gives u, s and v transposed. (The case with a covariance is done.)",
               "U = (u_1 ... u_r) diag(sqrt(s)), shape (m, r); V = (v_1 ... v_r) diag(sqrt(s)), shape (n, r). To multiply "
               "columns by numbers is a broadcast.",
               "U, s, Vh = np.linalg.svd(...); root = np.sqrt(s[:rank]); return U[:, :rank] * root, Vh[...].T * root"),
        mistakes=(
            Mistake("U[:, :rank] * root, Vh[:rank].T * root", "U[:, :rank] * s[:rank], Vh[:rank].T",
                    "The product is right, but all of s is in U: share it out, the root to each side, so that U'U = V'V."),
            Mistake("root = np.sqrt(s[:rank])", "root = s[:rank]",
                    "Each factor gets the root of s, or their product has s squared."),
            Mistake("Vh[:rank].T", "Vh[:, :rank]",
                    "NumPy gives V transposed: the right singular vectors are the rows of Vh."),
            Mistake("U[:, :rank] * root, Vh[:rank].T * root", "U[:, -rank:] * np.sqrt(s[-rank:]), Vh[-rank:].T * np.sqrt(s[-rank:])",
                    "Singular values come in falling order: the first ones are to be kept."),
            Mistake("U[:, :rank] * root, Vh[:rank].T * root", "U[:, :rank] * root, Vh[:rank] * root[:, None]",
                    "V has shape (n, r), a column for each singular vector: transpose the rows of Vh."))),
    Exercise(
        name="rank_for_energy", target=f"{LOW_RANK}:rank_for_energy", level=2, minutes=10, keep=3,
        after=("truncated_svd",),
        task="Find the least rank whose singular values hold a share of the sum of all squares",
        tests=("test_low_rank.py::test_the_rank_for_an_energy_is_the_least",),
        hints=("Running sums of the squares rise. Which is the first that is large enough?",
               "held = np.cumsum of s^2; the least r with held_r >= energy times the last of them. np.searchsorted counts "
               "those that are smaller.",
               "return int(np.searchsorted(held, energy * held[-1] * (1 - 1e-12))) + 1, the last factor for rounding"),
        mistakes=(
            Mistake("** 2)", "** 1)", "Energy is the sum of the squares of singular values."),
            Mistake("(1 - 1e-12))) + 1", "(1 - 1e-12)))", "searchsorted counts those before the first that is enough: the rank is one more."),
            Mistake("energy * held[-1]", "energy", "The share is of the whole: multiply it by the sum of all squares."),
            Mistake("int(np.searchsorted(held, energy * held[-1] * (1 - 1e-12))) + 1", "max(1, round(energy * len(s)))",
                    "A share of the energy is not a share of the number of singular values: the first ones hold more."),
            Mistake("energy * held[-1]", "(1 - energy) * held[-1]", "energy is the share that is kept, not the one that is lost."))),
    Exercise(
        name="rank_for_budget", target=f"{LOW_RANK}:rank_for_budget", level=1, minutes=5, keep=2,
        after=("truncated_svd",),
        task="Find the largest rank at which two factors take no more than a share of the multiplications",
        tests=("test_low_rank.py::test_the_rank_for_a_budget_is_the_largest",),
        hints=("Solve r (m + n) <= share m n for r. See break_even.",
               "floor(share m n / (m + n)), with a little added against rounding, kept within 1 ... min(m, n).",
               "max(1, min(m, n, math.floor(share * break_even(m, n) + 1e-9)))"),
        mistakes=(
            Mistake("math.floor(", "math.ceil(", "Rounded up, the work is above the share: take the floor."),
            Mistake("max(1, min(m, n, math.floor(share * break_even(m, n) + 1e-9)))",
                    "min(m, n, math.floor(share * break_even(m, n) + 1e-9))", "The rank is 1 at least, however small the share."),
            Mistake("min(m, n, math", "min(m * n, math", "No matrix has more than min(m, n) singular values."),
            Mistake("share * break_even(m, n)", "share * min(m, n)",
                    "The share is of the multiplications m n, and each rank takes m + n of them."),
            Mistake("math.floor(share * break_even(m, n) + 1e-9)", "round(share * break_even(m, n))",
                    "Rounded to the nearest, the work may be above the share: take the floor."))),
))
