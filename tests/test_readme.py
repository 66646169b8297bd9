"""The README keeps its word: its program prints what it says, its paths exist, it is short."""
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_the_program_prints_what_the_readme_says():
    (program,), (output,) = blocks("python"), blocks("text")
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    assert run.returncode == 0, run.stderr
    assert run.stdout == output


def test_the_paths_of_the_readme_exist():
    paths = re.findall(r"\]\(([^)#:]+)\)", README)
    assert paths
    for path in paths:
        assert (ROOT / path).exists(), path


def test_the_readme_is_short():
    assert len(README.splitlines()) <= 160
