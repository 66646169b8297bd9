"""A piece of the library as a student gets it: signature and docstring stay, the body is cut out.

Everything here is text and syntax trees: the library's sources are read, never imported.
"""
import ast
import copy
import importlib.util
import os
import shutil
import sys
from functools import lru_cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]    # the folder that holds the package, and in a clone the tests
PRIMITIVE = """A primitive works on arrays, and returns two things: its value, and a tuple of functions, one for each
positional argument: its vjp, from the gradient g of the value to the gradient of that argument. float32 stays
float32 in all of them, and nothing is written to.

"""
NOT_WRITTEN = "not written yet"


def _python():
    """What to type for the Python that runs: "python" if that is it, else where it is."""
    found, running = shutil.which("python"), sys.executable
    if found and os.path.abspath(found) == running:
        return "python"
    here = os.path.join(os.getcwd(), "")
    path = running.removeprefix(here)
    return f'"{path}"' if " " in path else path


PYTHON = _python()
RUN = f"{PYTHON} -m tinyml.exercises"


class Source:
    """The source of a module of the library, and what it defines.

    Parameters
    ----------
    module : str, dotted name
    """

    def __init__(self, module):
        base = ROOT.joinpath(*module.split("."))
        self.path = base / "__init__.py" if base.is_dir() else base.with_suffix(".py")
        self.module, self.text = module, self.path.read_text(encoding="utf-8")
        self.lines, self.tree = self.text.splitlines(), ast.parse(self.text)
        self.names = {name for node in self.tree.body for name in bound(node)}
        self.imports = {alias: node for node in self.tree.body for alias in imported(node)}

    def node(self, path):
        """The definition that the names of `path` lead to."""
        return definition(self.tree, path)

    def code(self, node, first=None, last=None):
        """The lines of a statement, with its decorators, or those from `first` to `last`."""
        begin = first or min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", ()))])
        return "\n".join(self.lines[begin - 1:last or node.end_lineno])


source = lru_cache(maxsize=None)(Source)


def definition(tree, path):
    """The function or class of a syntax tree that the names of `path` lead to.

    Raises LookupError if there is none.
    """
    node = tree
    for name in path:
        found = [n for n in node.body if isinstance(n, (ast.FunctionDef, ast.ClassDef)) and n.name == name]
        if not found:
            raise LookupError(f"no definition of {'.'.join(path)}")
        node = found[-1]
    return node


def bound(node):
    """The names that a statement at the top of a module binds."""
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return {node.name}
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return set(imported(node))
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}


def imported(node):
    """{name: origin} of what an import statement binds, such as {"np": "numpy"}; else nothing."""
    if isinstance(node, ast.Import):
        return {a.asname or a.name.partition(".")[0]: a.name for a in node.names}
    if isinstance(node, ast.ImportFrom):
        return {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
    return {}


def used(*nodes):
    """All names that are read in some nodes."""
    return {n.id for node in nodes for n in ast.walk(node) if isinstance(n, ast.Name)}


def assigned(*nodes):
    """All names that are arguments, or are assigned to, somewhere in some nodes."""
    every = [n for node in nodes for n in ast.walk(node)]
    return ({n.arg for n in every if isinstance(n, ast.arg)}
            | {n.id for n in every if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)})


# ------------------------------------------------------------ texts

def body_start(node):
    """How many statements of a body are its docstring: 0 or 1."""
    return int(ast.get_docstring(node, clean=False) is not None)


def cut(exercise):
    """(lines that stay, statements cut out) of the target of an exercise."""
    reference = source(exercise.module)
    node = reference.node(exercise.path)
    stays = body_start(node) + exercise.keep
    last = node.body[stays - 1].end_lineno if stays else node.body[0].lineno - 1
    return reference.code(node, last=last), node.body[stays:]


def stub_text(exercise):
    """The file that a student starts from."""
    head, gone = cut(exercise)
    indent = " " * gone[0].col_offset
    also = ["# The tests also ask:", *(f"# - {line}" for line in exercise.also)] if exercise.also else []
    end = f'raise NotImplementedError("{exercise.name}: {NOT_WRITTEN}; replace this line")'
    return _file(exercise, "\n".join([head, *(indent + line for line in [*also, end])]))


def answer_text(exercise, mistake=None):
    """The file of a student who wrote what the library has, or who made one of the listed mistakes.

    Raises ValueError unless what the mistake replaces is there exactly once.
    """
    reference = source(exercise.module)
    helpers = [reference.code(reference.node((name,))) for name in exercise.hide]
    piece = reference.code(reference.node(exercise.path))
    parts = "\n\n\n".join([*helpers, piece])
    if mistake is not None:
        if parts.count(mistake.old) != 1:
            raise ValueError(f"{exercise.name}: a mistake must replace a text that is there exactly once, got "
                             f"{parts.count(mistake.old)} times {mistake.old!r}")
        parts = parts.replace(mistake.old, mistake.new)
    helpers_end = len(parts) - len(parts.split("\n\n\n")[-1]) if helpers else 0
    return _file(exercise, parts[helpers_end:], parts[:helpers_end])


def _file(exercise, piece, helpers=""):
    """A whole file around the text of a piece: what it is, the imports, the class of a method."""
    reference = source(exercise.module)
    if len(exercise.path) == 2:
        piece = f"{_class_head(exercise)}\n\n{piece}"
    primitive = any("primitive" in ast.unparse(d) for d in reference.node(exercise.path).decorator_list)
    title = (f'"""{exercise.task}.\n\n{PRIMITIVE if primitive else ""}Exercise {exercise.name}, {exercise.minutes} '
             f'minutes. When you have written it:  {RUN} check {exercise.name}\n"""')
    return f"{title}\n{_imports(exercise, reference)}\n\n\n{helpers}{piece}\n"


def _class_head(exercise):
    """The head of a method's class, up to the end of its __init__; what a student needs to see."""
    reference = source(exercise.module)
    owner = reference.node(exercise.path[:1])
    inits = [n for n in owner.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"]
    first = min([owner.lineno, *(d.lineno for d in owner.decorator_list)])
    if exercise.path[1] == "__init__" or not inits:
        last = owner.body[0].end_lineno if body_start(owner) else owner.body[0].lineno - 1
        return reference.code(owner, first, last)
    note = f"    # Of this class only {exercise.path[1]} is yours to write; the rest is here to be read.\n"
    head_end = owner.body[0].end_lineno if body_start(owner) else owner.lineno
    own = [reference.code(n) + "\n" for n in owner.body if isinstance(n, ast.Assign)]
    return "\n".join([reference.code(owner, first, head_end), note, *own, reference.code(inits[0])])


def _imports(exercise, reference):
    """The import statements that the answer needs, and no others."""
    node = reference.node(exercise.path[:1])
    wanted = used(node, *(reference.node((name,)) for name in exercise.hide)) - {exercise.path[0]}
    lines = []
    for statement in reference.tree.body:
        names = [a for a in getattr(statement, "names", ()) if (a.asname or a.name.partition(".")[0]) in wanted]
        if names and isinstance(statement, ast.Import):
            lines.append(ast.unparse(ast.Import(names)))
        elif names and isinstance(statement, ast.ImportFrom):
            lines.append(ast.unparse(ast.ImportFrom(statement.module, names, 0)))
    own = wanted & reference.names - set(reference.imports) - set(exercise.hide)
    if own:
        own = sorted(own, key=lambda name: (name.isupper(), name.startswith("_"), name))
        functions = [name for name in own if not name.isupper()]
        lines += [f"from {exercise.module} import {', '.join(own)}"]
        lines += [f"# What it does:  {PYTHON} -m pydoc {exercise.module}.{name}" for name in functions[:1]]
        lines += ["# and likewise the others"] * (len(functions) > 1)
        lines += [f"# {line}" for name in own if name.isupper() for line in _assignment(reference, name)]
    return "\n".join(lines)


def _assignment(reference, name):
    """The lines that give a constant its value."""
    return [line for node in reference.tree.body if isinstance(node, ast.Assign) and name in bound(node)
            for line in reference.code(node).splitlines()]


def signature(node):
    """The signature of a function as text, with its decorators: what must not change. Annotations may."""
    decorators = "".join(f"@{ast.unparse(d)} " for d in node.decorator_list)
    return f"{decorators}def {node.name}({ast.unparse(unannotated(node).args)})"


def unannotated(node):
    """A copy of a function without the annotations of its arguments and its result."""
    node = copy.deepcopy(node)
    for argument in ast.walk(node.args):
        if isinstance(argument, ast.arg):
            argument.annotation = None
    node.returns = None
    return node


def is_stub(node):
    """Whether a function still ends in the line of the stub."""
    last = node.body[-1]
    return isinstance(last, ast.Raise) and NOT_WRITTEN in ast.unparse(last)


def graders():
    """The folder of the graders, or None where the package was installed without them."""
    folder = ROOT / "tests"
    tools = all(map(importlib.util.find_spec, ("pytest", "hypothesis")))
    return folder if tools and (folder / "strategies.py").exists() else None
