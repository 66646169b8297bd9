"""Every equation of the lecture notes is one line of the library."""
from collections import Counter

import pytest
from equations import ROOT, STATEMENTS, tags

COUNTS = Counter(tag.key for tag in tags())


def test_every_tag_is_an_equation_of_the_notes():
    assert set(COUNTS) <= set(STATEMENTS)


@pytest.mark.parametrize("key", STATEMENTS)
def test_no_equation_is_tagged_twice(key):
    assert COUNTS[key] <= 1


def test_a_tagged_line_is_code_of_a_public_function():
    for tag in tags():
        line = (ROOT / tag.path).read_text(encoding="utf-8").splitlines()[tag.line - 1]
        assert not line.strip().startswith("#") and tag.name, tag
        assert not tag.name.startswith("_"), tag
