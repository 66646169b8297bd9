"""One hypothesis profile for everybody: no deadlines, and the same examples in every CI run.

And one thread for the BLAS, set before NumPy is loaded: the matrices of the tests are small.
"""
import os

for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import sys  # noqa: E402
from concurrent.futures import ThreadPoolExecutor  # noqa: E402
from importlib import import_module  # noqa: E402
from pathlib import Path  # noqa: E402

import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402

settings.register_profile("tinyml", deadline=None, max_examples=40, print_blob=True,
                          derandomize=bool(os.environ.get("CI")))
settings.load_profile("tinyml")


# The demos take as long as all other tests together. So they begin first, in processes of their own, and what
# became of them is asked last.

DEMOS = Path(__file__).parents[1] / "demos"


def is_of_a_demo(item):
    return getattr(item, "originalname", None) == "test_every_demo_keeps_its_claims"


def pytest_collection_modifyitems(items):
    items.sort(key=is_of_a_demo)


@pytest.fixture(scope="session", autouse=True)
def quick_demos(request, tmp_path_factory):
    """(folder of the results, {stem: future of the quick run}) of the demos that this session tests."""
    stems = [item.callspec.params["stem"] for item in request.session.items if is_of_a_demo(item)]
    if not stems:
        yield None
        return
    folder = tmp_path_factory.mktemp("quick") / "out"
    sys.path.append(str(DEMOS))
    warm = import_module("_warm")
    # A number that overflows and a character that the figure's font lacks are mistakes as well.
    run = lambda stem: warm.run(DEMOS / f"{stem}.py", ["--quick", "--out", folder], strict=True, seconds=300)
    others = max(1, (os.cpu_count() or 1) - 1)    # processors, but for the one of the other tests
    with ThreadPoolExecutor(others) as pool:
        yield folder, {stem: pool.submit(run, stem) for stem in stems}
        pool.shutdown(cancel_futures=True)
