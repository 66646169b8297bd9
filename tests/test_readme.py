"""The README keeps its word: its program prints what it says, its paths exist, it is short."""
import re
import subprocess
import sys
from pathlib import Path

import pytest

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
    """The tables have a row for each lesson; the text does not grow with them."""
    assert len([line for line in README.splitlines() if not line.startswith("|")]) <= 151


def stems(folder):
    return sorted(path.stem for path in (ROOT / folder).glob("*.py") if not path.stem.startswith("_"))


@pytest.mark.parametrize("topic", ["interpolation", "compression", "compression/coding", "selfsupervised"])
def test_every_lesson_is_on_the_map(topic):
    listed = (ROOT / "tinyml" / topic / "__init__.py").read_text(encoding="utf-8")
    for stem in stems(f"tinyml/{topic}"):
        assert f"(tinyml/{topic}/{stem}.py" in README, f"the README's map lacks tinyml/{topic}/{stem}.py"
        assert re.search(rf"^    {stem} ", listed, re.M), f"tinyml/{topic}/__init__.py does not list {stem}"


def test_every_demo_is_linked():
    for stem in set(stems("demos")) - {"common", "panels"}:
        assert f"(demos/{stem}.py)" in README, f"the README does not link demos/{stem}.py"


def test_the_tests_that_contributors_are_told_about_exist():
    text = (ROOT / ".github" / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = re.findall(r"`tests/(\w+\.py)::(\w+)`", text)
    assert len(named) >= 12
    for file, test in named:
        assert f"def {test}(" in (ROOT / "tests" / file).read_text(encoding="utf-8"), f"{file}::{test}"


def test_the_pictures_of_the_readme_are_made_by_demos():
    pictures = re.findall(r'<a href="demos/(\w+)\.py"><img src="demos/pictures/(\w+)\.png"', README)
    assert len(pictures) == 6
    for demo, picture in pictures:
        source = (ROOT / "demos" / f"{demo}.py").read_text(encoding="utf-8")
        assert demo == picture and "demo.finish(figure, small=" in source
        assert (ROOT / "demos" / "pictures" / f"{picture}.png").exists()
