"""A function of the library as a student gets it: signature and docstring stay, the body goes.

Everything here is text and syntax trees: the library's sources are read, never imported.
"""
import ast
import copy
import importlib.util
import os
import re
import shutil
import sys
import textwrap
import threading
from functools import lru_cache
from pathlib import Path

from tinyml.exercises.exercise import FREE, LEVELS

ROOT = Path(__file__).resolve().parents[3]    # the folder of the package; in a clone, of the tests
PRIMITIVE = """A primitive works on arrays. It returns its value, and a tuple with one function for
each positional argument, the vjp: from the gradient g of the value to the gradient of that
argument. float32 stays float32 in all of them, and nothing is written to.

"""
WIDTH = 96    # of the comments in a stub
FEW_METHODS = 5    # that a class may have for a stub to list them
NOT_WRITTEN = "not written yet"
REFERENCE = r"(?:as in|see) `(\w+)`"    # in a signature or docstring


def _python():
    """What to type for the Python that runs: "python" if that is the one, else its path."""
    found, running = shutil.which("python"), sys.executable
    if found and os.path.abspath(found) == running:
        return "python"
    here = os.path.join(os.getcwd(), "")
    path = running.removeprefix(here)
    return f'"{path}"' if " " in path else path


PYTHON = _python()
RUN = f"{PYTHON} -m tinyml.exercises"


def file_of(module):
    """The file of a module of the library, whether it exists or not."""
    base = ROOT.joinpath(*module.split("."))
    return base / "__init__.py" if base.is_dir() else base.with_suffix(".py")


PARSING = threading.Lock()


def parsed(text):
    """The syntax tree of a text, one at a time: some Pythons count the depth for all threads."""
    with PARSING:
        return ast.parse(text)


class Source:
    """The source of a module of the library, and what it defines.

    Parameters
    ----------
    module : str, dotted name
    """

    def __init__(self, module):
        self.path = file_of(module)
        self.module, self.text = module, self.path.read_text(encoding="utf-8")
        self.lines, self.tree = self.text.splitlines(), parsed(self.text)
        self.names = {name for node in self.tree.body for name in bound(node)}
        self.imports = {alias: node for node in self.tree.body for alias in imported(node)}

    def node(self, path):
        """The definition that the names of `path` lead to."""
        return definition(self.tree, path)

    def code(self, node, first=None, last=None):
        """The lines of a statement, with its decorators, or those from `first` to `last`."""
        decorators = getattr(node, "decorator_list", ())
        begin = first or min([node.lineno, *(d.lineno for d in decorators)])
        return "\n".join(self.lines[begin - 1:last or node.end_lineno])


source = lru_cache(maxsize=None)(Source)


def definition(tree, path):
    """The function or class of a syntax tree that the names of `path` lead to.

    Raises LookupError if there is none.
    """
    node = tree
    for name in path:
        found = [n for n in node.body
                 if isinstance(n, (ast.FunctionDef, ast.ClassDef)) and n.name == name]
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
    return {n.id for n in ast.walk(node)
            if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}


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
    also = [f"{indent}# The tests also ask:"] if exercise.also else []
    for line in exercise.also:
        also += _comment(f"- {line}", indent)
    end = f'{indent}raise NotImplementedError("{exercise.name}: {NOT_WRITTEN}; replace this line")'
    return _file(exercise, "\n".join([head, *also, end]), helped=True)


def _comment(text, indent=""):
    """Lines of a comment, the later ones indented below the first word after a dash."""
    below = "  " if text.startswith("- ") else "    "
    return textwrap.wrap(text, WIDTH, initial_indent=f"{indent}# ",
                         subsequent_indent=f"{indent}# {below}", break_on_hyphens=False)


def answer_text(exercise, mistake=None):
    """The file of a student who wrote what the library has, or made one of the listed mistakes.

    Raises ValueError unless what the mistake replaces is there exactly once.
    """
    reference = source(exercise.module)
    helpers = [reference.code(reference.node((name,))) for name in exercise.hide]
    piece = reference.code(reference.node(exercise.path))
    parts = "\n\n\n".join([*helpers, piece])
    if mistake is not None:
        if parts.count(mistake.old) != 1:
            raise ValueError(f"{exercise.name}: a mistake must replace a text that is there once, "
                             f"got {parts.count(mistake.old)} times {mistake.old!r}")
        parts = parts.replace(mistake.old, mistake.new)
    helpers_end = len(parts) - len(parts.split("\n\n\n")[-1]) if helpers else 0
    return _file(exercise, parts[helpers_end:], parts[:helpers_end])


def _file(exercise, piece, helpers="", helped=False):
    """A whole file around the text of a piece: what it is, the imports, the class of a method."""
    reference = source(exercise.module)
    if len(exercise.path) == 2:
        piece = f"{_class_head(exercise)}\n\n{piece}"
    decorators = reference.node(exercise.path).decorator_list
    primitive = any("primitive" in ast.unparse(d) for d in decorators)
    task = textwrap.fill(f'"""{exercise.task}.', WIDTH)
    title = (f'{task}\n\n{PRIMITIVE if primitive else ""}'
             f"Exercise {exercise.name}: level {exercise.level} of 3 ({LEVELS[exercise.level]}), "
             f"about {exercise.minutes} minutes. Check it with\n\n"
             f"    {RUN} check {exercise.name}\n\"\"\"")
    imports, origins = _imports(exercise, reference)
    if helped:
        imports = "\n".join([imports, "", *_helpers(exercise, origins)])
    return f"{title}\n{imports}\n\n\n{helpers}{piece}\n"


def _class_head(exercise):
    """The head of a method's class, up to the end of its __init__; what a student needs to see."""
    reference = source(exercise.module)
    owner = reference.node(exercise.path[:1])
    inits = [n for n in owner.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"]
    first = min([owner.lineno, *(d.lineno for d in owner.decorator_list)])
    if exercise.path[1] == "__init__" or not inits:
        last = owner.body[0].end_lineno if body_start(owner) else owner.body[0].lineno - 1
        return reference.code(owner, first, last)
    note = (f"    # Of this class, only {exercise.path[1]} is yours to write. "
            "The rest is here to be read.\n")
    head_end = owner.body[0].end_lineno if body_start(owner) else owner.lineno
    own = [reference.code(n) + "\n" for n in owner.body if isinstance(n, ast.Assign)]
    head = reference.code(owner, first, head_end)
    return "\n".join([head, note, *own, reference.code(inits[0])])


def _imports(exercise, reference):
    """(the import statements that the answer needs, {name: origin} of what they bind)."""
    node = reference.node(exercise.path[:1])
    hidden = [reference.node((name,)) for name in exercise.hide]
    wanted = used(node, *hidden) - {exercise.path[0]}
    statements = []
    for statement in reference.tree.body:
        names = [a for a in getattr(statement, "names", ())
                 if (a.asname or a.name.partition(".")[0]) in wanted]
        if names and isinstance(statement, ast.Import):
            statements.append(ast.Import(names))
        elif names and isinstance(statement, ast.ImportFrom):
            statements.append(ast.ImportFrom(statement.module, names, 0))
    own = wanted & reference.names - set(reference.imports) - set(exercise.hide)
    if own:
        names = sorted(own, key=lambda name: (name.isupper(), name.startswith("_"), name))
        statements.append(ast.ImportFrom(exercise.module, [ast.alias(name) for name in names], 0))
    origins = {}
    for statement in statements:
        origins.update(imported(statement))
    return "\n".join(map(_import_line, statements)), origins


def _import_line(statement):
    """The text of an import statement, in parentheses if it is long."""
    line = ast.unparse(statement)
    if len(line) <= WIDTH:
        return line
    head, _, names = line.partition(" import ")
    lines = textwrap.wrap(names, WIDTH, initial_indent="    ", subsequent_indent="    ")
    return "\n".join([f"{head} import (", *lines, ")"])


def _helpers(exercise, origins):
    """Comments: what the imported names of the library are, and what else may be imported."""
    reference, lines = source(exercise.module), []
    types = _types(reference.node(exercise.path))
    for name in sorted(reference.names - set(origins) - {exercise.path[0]}):
        is_type = re.search(rf"^(\w+ : )?{name}\b", types, re.MULTILINE)
        if is_type and name[0].isupper() and not name.isupper():
            origins = {**origins, name: f"{exercise.module}.{name}"}
    referred = _referred(exercise, reference)
    for name, origin in origins.items():
        if origin.startswith("tinyml"):
            lines += described(origin, name) + referred.pop(name, ("", []))[1]
    read = [line for name, (origin, said) in referred.items()
            for line in described(origin, name) + said]
    if lines:
        first = next(origin for origin in origins.values() if origin.startswith("tinyml"))
        more = f"{PYTHON} -m pydoc {first}"
        lines = ["# From the library:", *lines, f"#   (more:  {more})"]
    lines += ["# What is referred to below, not for use:", *read] if read else []
    return lines + _comment(
        f"- You may also import, at the top of this file, {', '.join(FREE[:-1])} and {FREE[-1]}.")


def _referred(exercise, reference):
    """{name: (origin, comments)} of what signature and docstring refer to with "as in `f`".

    The comments are what f says of the same parameters, and its equation if the docstring refers
    to it.
    """
    node, found = reference.node(exercise.path), {}
    said, prose = _annotations(node), ast.get_docstring(node) or ""
    for name in re.findall(REFERENCE, " ".join([*said.values(), prose])):
        home, other = _home(reference, name)
        if home is None:
            continue
        lines = []
        for parameter, text in said.items():
            words = _says(home, other, parameter) if name in re.findall(REFERENCE, text) else ""
            lines += _comment(f"  {parameter}: {words}") if words else []
        if isinstance(other, ast.FunctionDef) and name in re.findall(REFERENCE, prose):
            lines += _equation(other)
        found[name] = f"{home.module}.{name}", lines
    return found


def _home(reference, name):
    """(the source of the module that defines a name, its definition); None where there is none."""
    if name in reference.imports:
        origin = imported(reference.imports[name])[name]
        module, _, name = origin.rpartition(".")
        return _home(source(module), name) if origin.startswith("tinyml") else (None, None)
    try:
        return reference, reference.node((name,))
    except LookupError:    # a constant, or no name of the module
        return (reference if name in reference.names else None), None


def _says(home, node, parameter):
    """The annotation of a parameter of a function, or of that which it refers to."""
    text = _annotations(node).get(parameter, "") if isinstance(node, ast.FunctionDef) else ""
    for name in re.findall(REFERENCE, text):
        further, other = _home(home, name)
        text = _says(further, other, parameter) or text
    return text


def _annotations(node):
    """{parameter: text} of a function."""
    arguments = [n for n in ast.walk(node.args) if isinstance(n, ast.arg)]
    return {n.arg: n.annotation.value for n in arguments if isinstance(n.annotation, ast.Constant)}


def _equation(node):
    """The indented lines of a docstring, as comments."""
    prose = (ast.get_docstring(node) or "").partition(">>>")[0]
    return [f"#   {line}" for line in prose.splitlines() if line.startswith("    ")]


def _types(node):
    """What a function says of the types of its arguments and its result, a line each."""
    arguments = [n for n in ast.walk(node.args) if isinstance(n, ast.arg)]
    said = [n.annotation for n in arguments] + [node.returns]
    texts = [n.value for n in said if isinstance(n, ast.Constant)]
    return "\n".join([*texts, ast.get_docstring(node) or ""])


def described(origin, alias):
    """Comment lines on what a name of the library is: its signature, and what it does.

    Parameters
    ----------
    origin : str, such as "tinyml.tensor.Tensor"; modules too
    alias : str, the name in the file
    """
    module, _, name = origin.rpartition(".")
    if file_of(origin).exists():    # a module
        line = (ast.get_docstring(source(origin).tree) or "").partition("\n")[0]
        return _comment(f"- {alias}: {line}")
    reference = source(module)
    if name in reference.imports:    # passed on from another module
        passed_on = imported(reference.imports[name])[name]
        return described(passed_on, alias) if passed_on.startswith("tinyml") else []
    try:
        node = reference.node((name,))
    except LookupError:    # a constant: its value says it
        return [f"# - {line}" for line in _assignment(reference, name)]
    lines = _comment(f"- {alias}{_arguments(node)}: {_sentence(node)}".rstrip(": "))
    if isinstance(node, ast.FunctionDef):
        return lines + _returned(node)
    methods = [n for n in node.body if isinstance(n, ast.FunctionDef) and not n.name.startswith("_")]
    for method in methods if len(methods) <= FEW_METHODS else ():
        lines += _comment(f"  .{method.name}{_arguments(method)}: {_sentence(method)}".rstrip(": "))
        lines += _returned(method)
    return lines


def _sentence(node):
    """The first sentence of a docstring."""
    words = " ".join((ast.get_docstring(node) or "").partition("\n\n")[0].split())
    return re.split(r"(?<=[.!?;])(?<!\.\.)(?<!et al\.) |:$", words)[0].rstrip(".;:")


def _returned(node):
    """A comment on what a function says that it returns."""
    if isinstance(node.returns, ast.Constant):
        said = str(node.returns.value)
    else:
        section = (ast.get_docstring(node) or "").partition("Returns\n-------\n")[2]
        entries = re.split(r"\n(?=\w+ : )", section.partition("\n\n")[0])
        said = "; ".join(" ".join(entry.split()) for entry in entries)
    return _comment(f"  returns {said.replace(' : ', ': ')}") if said else []


def _arguments(node):
    """The arguments of a function, those of a class's __init__, or the fields of a tuple."""
    if isinstance(node, ast.FunctionDef):
        arguments = ast.unparse(unannotated(node).args)
        return f"({arguments.removeprefix('self').lstrip(', ')})"
    fields = [n.target.id for n in node.body if isinstance(n, ast.AnnAssign)]
    inits = [n for n in node.body if getattr(n, "name", "") == "__init__"]
    if inits:
        return f"({ast.unparse(unannotated(inits[0]).args).removeprefix('self').lstrip(', ')})"
    return f"({', '.join(fields)})" if fields else ""


def _assignment(reference, name):
    """The lines that give a constant its value."""
    return [line for node in reference.tree.body
            if isinstance(node, ast.Assign) and name in bound(node)
            for line in reference.code(node).splitlines()]


def signature(node):
    """The signature of a function as text, with its decorators, without annotations."""
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
    """The folder of the tests, or None where the package was installed without them."""
    folder = ROOT / "tests"
    tools = all(map(importlib.util.find_spec, ("pytest", "hypothesis")))
    return folder if tools and (folder / "strategies.py").exists() else None
