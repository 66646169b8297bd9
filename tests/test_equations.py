"""Every equation of the lecture notes is one line of the library, and the README knows where."""
from collections import Counter

import pytest
from equations import ROOT, STATEMENTS, index, tags, with_index

COUNTS = Counter(tag.key for tag in tags())


def test_every_tag_is_an_equation_of_the_notes():
    assert set(COUNTS) <= set(STATEMENTS)


@pytest.mark.parametrize("key", STATEMENTS)
def test_every_equation_is_tagged_exactly_once(key):
    assert COUNTS[key] == 1


def test_a_tagged_line_is_code_of_a_public_function():
    for tag in tags():
        line = (ROOT / tag.path).read_text(encoding="utf-8").splitlines()[tag.line - 1]
        assert not line.strip().startswith("#") and tag.name, tag
        assert not tag.name.startswith("_"), tag


def test_the_index_of_the_readme_is_that_of_the_tags():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert readme == with_index(readme), "run python tests/equations.py"
    assert index() in readme
