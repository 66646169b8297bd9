"""Tests that run in several processes are reported as if they had run in one."""
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FILES = {
    "test_a.py": "import os\nimport pytest\n\n@pytest.mark.parametrize('i', range(3))\ndef test_of_three(i, tmp_path):\n"
                 "    assert i < 2\n\ndef test_after(capfd):\n    os.system('echo this')\n"
                 "    assert capfd.readouterr().out == 'this\\n'\n",
    "test_b.py": "import pytest\n\n@pytest.fixture\ndef broken():\n    raise OSError\n\n"
                 "def test_error(broken):\n    pass\n\ndef test_skipped():\n    pytest.skip('why')\n\n"
                 "def test_that_prints():\n    print(*'word')\n    assert False\n",
}


def run(folder, files):
    """What pytest says of some files beside the suite's own conftest.py."""
    shutil.copy(Path(__file__).with_name("conftest.py"), folder)
    for name, text in files.items():
        (folder / name).write_text(text)
    child = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"], cwd=folder,
                           capture_output=True, text=True, timeout=60)
    return child.returncode, child.stdout


def test_every_test_is_reported_once_with_its_words(tmp_path):
    code, out = run(tmp_path, FILES)
    assert code == 1 and "2 failed, 3 passed, 1 skipped, 1 error in " in out
    for words in ("FAILED test_a.py::test_of_three[2]", "FAILED test_b.py::test_that_prints", "w o r d",
                  "ERROR test_b.py::test_error"):
        assert out.count(words) == 1
    assert "test_of_three[1]" not in out and "\nthis\n" not in out


several = pytest.mark.skipif(sys.platform != "linux" or len(os.sched_getaffinity(0)) == 1, reason="one process runs all")


@several
def test_a_process_that_dies_fails_the_run(tmp_path):
    dying = {"test_c.py": "import os\n\ndef test_dying():\n    os._exit(0)\n"}
    code, out = run(tmp_path, FILES | dying)
    assert code == 1 and "!! a process ended in the midst of a test; -sv shows in which !!" in out
