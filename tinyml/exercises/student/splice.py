"""Load the library with other functions in the place of its own, before anybody imports it.

When a module with a student's piece is imported, the library's source is read, the student's
definition replaces the library's, and the result is compiled. So every user of the function gets
the student's, however it was imported, and all the rest is the reference.
"""
import ast
import builtins
import copy
import importlib.abc
import importlib.machinery
import importlib.util
import sys
import warnings
from dataclasses import dataclass

from tinyml.exercises.exercise import FREE
from tinyml.exercises.student.stub import (
    assigned,
    body_start,
    bound,
    definition,
    imported,
    source,
    unannotated,
    used,
)
from tinyml.exercises.walls.screen import helpers, piece

FAR = 1_000_000    # added to the line numbers of a student's code, to tell it from the library's


@dataclass(frozen=True)
class Piece:
    """One function to put into the library.

    Parameters
    ----------
    exercise : Exercise
    tree : ast.Module, the file it is in
    file : str, the name of that file in tracebacks
    key : str, where `guard.functions` keeps the bare function
    watched : bool, whether calls are recorded and results checked
    """
    exercise: object
    tree: ast.Module
    file: str
    key: str
    watched: bool = True


class Loader(importlib.machinery.SourceFileLoader):
    """Loads a module of the library with pieces put into it, and never from cached bytecode."""

    def __init__(self, name, path, pieces):
        super().__init__(name, str(path))
        self.pieces = pieces

    def get_code(self, fullname):
        return self.source_to_code(self.get_data(self.path), self.path)

    def source_to_code(self, data, path):
        tree = ast.parse(data)
        for number, part in enumerate(self.pieces, 1):
            put(tree, part, number)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)    # `axis is 0` runs all the same
            code = super().source_to_code(ast.fix_missing_locations(tree), path)
        return _renamed(code, [part.file for part in self.pieces])


class Finder(importlib.abc.MetaPathFinder):
    """Finds those modules of the library that have pieces."""

    def __init__(self, pieces):
        self.pieces = pieces

    def find_spec(self, fullname, path=None, target=None):
        mine = [part for part in self.pieces if part.exercise.module == fullname]
        if not mine:
            return None
        file = source(fullname).path
        folder = [str(file.parent)] if file.name == "__init__.py" else None
        return importlib.util.spec_from_file_location(
            fullname, file, loader=Loader(fullname, file, mine), submodule_search_locations=folder)


def install(pieces):
    """Forget the library, and from now on import it with these pieces; return the finder."""
    forget()
    sys.meta_path[:] = [f for f in sys.meta_path if not isinstance(f, Finder)]
    finder = Finder(pieces)
    sys.meta_path.insert(0, finder)
    return finder


def forget():
    """Drop all modules of the library, except the exercises, from what is imported."""
    for name in list(sys.modules):
        if name.partition(".")[0] == "tinyml" and not name.startswith("tinyml.exercises"):
            del sys.modules[name]


def compiled_alone(part):
    """The code of a piece's module with the piece in it; see `run_alone`."""
    file = source(part.exercise.module).path
    return Loader(f"{part.exercise.module}_alone", file, [part]).get_code("")


def run_alone(name, code):
    """Run the code of a module of the library in a module of its own that nobody imports."""
    loader = Ready(f"{name}_alone", str(source(name).path))
    loader.code = code
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


class Ready(importlib.machinery.SourceFileLoader):
    """Loads a module from code that is compiled already."""

    def get_code(self, fullname):
        return self.code


# ------------------------------------------------------------ syntax trees

def put(tree, part, number=1):
    """Replace the definition in the library's tree by the piece, with its helpers in front.

    The student's lines are numbered from `number` millions on, so that `_renamed` finds them.
    """
    exercise = part.exercise
    names, before = _names(part)
    mine = copy.deepcopy([*helpers(part.tree, exercise), piece(part.tree, exercise)])
    mine = [_Renamer(names).visit(node) for node in mine]
    document(mine[-1], definition(tree, exercise.path))
    for node in mine:
        ast.increment_lineno(node, FAR * number)
    word, alias = "checked" if part.watched else "bare", f"_guard_{exercise.name}"
    before += ast.parse(f"from tinyml.exercises.walls.guard import {word} as {alias}").body
    watcher = ast.parse(f"{alias}({part.key!r})", mode="eval").body
    mine[-1].decorator_list.append(ast.increment_lineno(watcher, mine[-1].lineno - 1))
    place, body = _place(tree.body, exercise.path[0]), tree.body
    if len(exercise.path) == 2:
        owner = body[place].body
        owner[_place(owner, exercise.path[1])] = mine.pop()
        mine.append(body[place])
    body[place:place + 1] = [*before, *mine]


def document(node, reference):
    """Give a definition the docstring and the contract of the library's."""
    node.args = copy.deepcopy(reference.args)
    node.body = node.body[body_start(node):] or [ast.Pass()]
    node.body[:0] = copy.deepcopy(reference.body[:body_start(reference)])


def _place(body, name):
    return next(i for i, node in enumerate(body) if getattr(node, "name", None) == name)


def _names(part):
    """({name in the student's file: name in the module}, import statements that these need)."""
    exercise, reference = part.exercise, source(part.exercise.module)
    others = helpers(part.tree, exercise)
    names = {name: f"_{exercise.name}_{name}" for node in others for name in bound(node)}
    known = {imported(node)[alias]: alias for alias, node in reference.imports.items()}
    known |= {f"{exercise.module}.{alias}": alias for alias in reference.names}
    extra, brought = [], {}
    for node in part.tree.body:
        for name, origin in imported(node).items():
            brought[name] = origin
            if known.get(origin, name) != name:    # the module has it under another name
                names[name] = known[origin]
            elif origin not in known and origin.partition(".")[0] in FREE:
                names[name] = f"_{exercise.name}_{name}"
                extra.append(_import_as(node, name, names[name]))
    mine = [piece(part.tree, exercise), *others]
    local = {exercise.path[-1], *brought, *names, *assigned(*mine)}
    for name in sorted(used(*mine) & reference.names & set(dir(builtins)) - local):
        names[name] = f"_builtin_{name}"    # in the student's file `max` is Python's own
        extra.append(ast.parse(f"from builtins import {name} as {names[name]}").body[0])
    return names, extra


def _import_as(node, name, other):
    """The import statement that binds one name of another one, under another name."""
    [alias] = [a for a in node.names if (a.asname or a.name.partition(".")[0]) == name]
    if isinstance(node, ast.ImportFrom):
        return ast.ImportFrom(node.module, [ast.alias(alias.name, other)], 0)
    return ast.Import([ast.alias(alias.name, other)])


class _Renamer(ast.NodeTransformer):
    """Gives the student's helpers names that nobody else has."""

    def __init__(self, names):
        self.names = names

    def visit_Name(self, node):
        node.id = self.names.get(node.id, node.id)
        return node

    def visit_FunctionDef(self, node):
        node = unannotated(node)
        node.name = self.names.get(node.name, node.name)
        return self.generic_visit(node)


def _renamed(code, files):
    """The code, with the student's file and line numbers for the student's functions."""
    constants = tuple(_renamed(c, files) if hasattr(c, "co_code") else c for c in code.co_consts)
    number, line = divmod(code.co_firstlineno, FAR)
    if not number:
        return code.replace(co_consts=constants)
    return code.replace(co_consts=constants, co_filename=files[number - 1], co_firstlineno=line)
