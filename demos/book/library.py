"""The library as the book shows it: modules cut into blocks, and where every name is defined."""
import ast
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from book.contents import ROOT


class Block(NamedTuple):
    """Consecutive lines of a module: a function, the head of a class, a method, or what is between."""

    name: str            # "min_norm", "Adam.update", or "" between definitions
    first: int
    last: int
    doc: str
    doc_lines: range     # the lines of the docstring, which stand beside the code


class Module:
    """A source file: text, blocks in their order, and the names it knows.

    Parameters
    ----------
    path : str, relative to the clone
    """

    def __init__(self, path):
        self.path, self.stem = path, Path(path).stem if "__init__" not in path else Path(path).parent.name
        self.text = (ROOT / path).read_text(encoding="utf-8")
        self.lines, self.tree = self.text.splitlines(), ast.parse(self.text)
        self.blocks = list(self._cut())
        self.definitions = {block.name: block for block in self.blocks if block.name}
        self.scope = dict(self._imports()) | {name: (path, name) for name in self.definitions}

    def _cut(self):
        """The blocks; what stands between two definitions belongs to the second."""
        found = list(definitions(self.tree))
        heads = [start(node) for _, node in found] + [len(self.lines) + 1]
        end = self._before(heads[0])
        yield Block("", 1, end, *docstring(self.tree))
        for (name, node), after in zip(found, heads[1:]):
            first, end = end + 1, node.end_lineno
            if after <= node.end_lineno:    # a class, whose methods have blocks of their own
                end = self._before(after)
            yield Block(name, first, end, *docstring(node))
        if end < len(self.lines):
            yield Block("", end + 1, len(self.lines), "", range(0))

    def _before(self, line):
        """The last line before a definition that is no comment on it."""
        while line > 1 and self.lines[line - 2].lstrip().startswith("#"):
            line -= 1
        return line - 1

    def _imports(self):
        """Names of the library that the module imports: alias, (path of a module, name in it)."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tinyml"):
                for alias in node.names:
                    name = alias.asname or alias.name
                    submodule = file_of(f"{node.module}.{alias.name}")
                    if submodule:
                        yield name, (submodule, "")
                    elif file_of(node.module):
                        yield name, (file_of(node.module), alias.name)


@lru_cache(maxsize=None)
def module(path):
    """The `Module` of a path, read once."""
    return Module(path)


def docstring(node):
    """The docstring of a node and its lines; "" and an empty range if it has none."""
    doc = ast.get_docstring(node)
    if doc is None:
        return "", range(0)
    return doc, range(node.body[0].lineno, node.body[0].end_lineno + 1)


def definitions(tree):
    """Functions, classes and the methods of classes, by dotted name, in the order of their lines."""
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield node.name, node
        if isinstance(node, ast.ClassDef):
            yield from ((f"{node.name}.{name}", inner) for name, inner in definitions(node)
                        if "." not in name)


def start(node):
    """The first line of a definition, with its decorators."""
    return min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])


@lru_cache(maxsize=None)
def file_of(dotted):
    """The path of a dotted module name, or None."""
    base = ROOT.joinpath(*dotted.split("."))
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.exists():
            return path.relative_to(ROOT).as_posix()
    return None


def find(path, name):
    """Where a name that a module offers is defined: (path, name); packages are followed."""
    for _ in range(5):
        if not name or name in module(path).definitions:
            return path, name
        if name not in module(path).scope:
            return None
        path, name = module(path).scope[name]
    return None
