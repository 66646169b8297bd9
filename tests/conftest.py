"""One hypothesis profile for everybody: no deadlines, and the same examples in every CI run."""
import os

from hypothesis import settings

settings.register_profile("tinyml", deadline=None, max_examples=50, print_blob=True,
                          derandomize=bool(os.environ.get("CI")))
settings.load_profile("tinyml")
