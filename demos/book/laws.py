"""The laws of a page: every test of its files, its name as a sentence, its code folded."""
import ast
from functools import lru_cache

from book.contents import ROOT
from book.highlight import coloured
from book.library import start


@lru_cache(maxsize=None)
def laws(stem):
    """(sentence, first line, last line) of every test of tests/<stem>.py, and its lines as HTML."""
    path = ROOT / "tests" / f"{stem}.py"
    if not path.exists():
        return [], []
    text = path.read_text(encoding="utf-8")
    found = [(sentence(node.name), start(node), node.end_lineno) for node in ast.parse(text).body
             if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")]
    return sorted(found, key=lambda law: law[1]), coloured(text)


def sentence(name):
    """test_the_fit_is_shortest: "The fit is shortest"."""
    words = name.removeprefix("test_").replace("_", " ")
    return words[:1].upper() + words[1:]
