"""One hypothesis profile for everybody: no deadlines, and the same examples in every CI run.

And one thread for the BLAS, set before NumPy is loaded: the matrices of the tests are small.
"""
import os

for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

from hypothesis import settings  # noqa: E402

settings.register_profile("tinyml", deadline=None, max_examples=50, print_blob=True,
                          derandomize=bool(os.environ.get("CI")))
settings.load_profile("tinyml")
