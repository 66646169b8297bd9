"""The table of contents: the rows of the README's map, each a page of the book.

A lesson's row reads ``| 10.1.2 title | modules | demos | tests |``, a row of the framework
``| minutes | files | what you meet there | demo, tests |``. Modules that no row names follow, then
demos that no row names.
"""
import ast
import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
LINK = re.compile(r"\[([^\]]+)\]\(([^)]+)\)")
LESSONS = "interpolation", "compression", "selfsupervised"
PARTS = {"10.1": "Why over-parameterised models generalise", "10.2": "How networks are made small",
         "10.3": "How networks learn without labels", "framework": "The framework beneath",
         "further": "Further modules and demos"}


class Page(NamedTuple):
    """One page: its file is <slug>.html; paths are relative to the clone."""

    slug: str
    part: str         # a key of PARTS
    section: str      # of the notes, or ""
    title: str
    modules: tuple
    demos: tuple
    tests: tuple


def pages(demos=()):
    """All pages in reading order; `demos` are the stems of demos, in their order."""
    found = [*lessons(), *framework()]
    found += [alone(path) for path in modules() if path not in {m for p in found for m in p.modules}]
    shown = {stem for page in found for stem in page.demos}
    found += [Page(stem, "further", "", capital(stem.replace("_", " ")), (), (stem,), ())
              for stem in demos if stem not in shown]
    return found


def table(heading):
    """The rows of the README's table whose first line begins with `heading`, as lists of cells."""
    readme = ROOT / "README.md"
    lines = iter(readme.read_text(encoding="utf-8").splitlines() if readme.exists() else ())
    for line in lines:
        if line.startswith(heading):
            next(lines)    # the line of dashes
            break
    for line in lines:
        if not line.startswith("|"):
            return
        yield [cell.strip() for cell in line.strip("|").split(" | ")]


def lessons():
    """The pages of the three lessons."""
    by_module = {}
    for place, files, demos, tests in table("| notes | module | demo |"):
        section, _, title = place.partition(" ")
        paths = tuple(path for _, path in LINK.findall(files))
        page = Page(Path(paths[0]).stem, ".".join(section.split(".")[:2]), section, capital(title), paths,
                    stems(demos, "demos/"), stems(tests, "tests/"))
        by_module[paths[0]] = page
    return by_module.values()


def framework():
    """The pages of the framework: a package's row stands for its public modules."""
    for _, files, title, rest in table("| minutes | file | what you meet there"):
        paths = [path for _, path in LINK.findall(files)]
        if any(name in path for path in paths for name in (*LESSONS, "exercises")):
            continue
        expanded = [module for path in paths for module in folder(path)]
        slug = Path(paths[0]).parent.name if paths[0].endswith("__init__.py") else Path(paths[0]).stem
        yield Page(slug, "framework", "", capital(title), tuple(expanded), stems(rest, "demos/"),
                   stems(rest, "tests/"))


def folder(path):
    """A module; or a package's __init__.py and the modules whose names it offers."""
    if not path.endswith("__init__.py"):
        return [path]
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    offered = [node.module.rpartition(".")[2] for node in tree.body if isinstance(node, ast.ImportFrom)]
    inside = [Path(path).with_name(f"{name}.py").as_posix() for name in dict.fromkeys(offered)]
    return [path, *(file for file in inside if (ROOT / file).exists())]


def modules():
    """Every module of the library but the exercises, whose mistakes are no reading for students."""
    for path in sorted((ROOT / "tinyml").rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        if "exercises" not in name and not (path.name == "__init__.py" and path.parent.name in LESSONS):
            yield name


def alone(path):
    """The page of a module that no row names."""
    stem = Path(path).stem if not path.endswith("__init__.py") else Path(path).parent.name
    tests = (f"test_{stem}",) if (ROOT / "tests" / f"test_{stem}.py").exists() else ()
    return Page(stem, "further", "", path.removeprefix("tinyml/"), (path,), (), tests)


def capital(title):
    """The title with its first letter large, as a heading has it."""
    return title[:1].upper() + title[1:]


def stems(cell, prefix):
    """The stems of the files below `prefix` that a cell links to, each once."""
    return tuple(dict.fromkeys(Path(path).stem for _, path in LINK.findall(cell)
                               if path.startswith(prefix)))
