"""What an answer may contain: read as a syntax tree, before a line of it runs.

An answer computes. It needs no files, no processes, no frames, no other modules than its piece of
the library has, and it changes nothing outside itself. What it may name is listed (`walls.names`);
all else is refused with a line that says why.
"""
import ast
import builtins
import copy
import importlib
import re
import symtable
import types
import warnings
from difflib import get_close_matches

from tinyml.exercises.exercise import FREE
from tinyml.exercises.student.stub import (
    assigned,
    bound,
    definition,
    file_of,
    imported,
    parsed,
    signature,
    source,
    unannotated,
    used,
)
from tinyml.exercises.walls import names as listed

LARGEST = 100_000    # bytes of a student's file
DEEPEST = 100        # levels of a syntax tree, so that no walk over it runs out of stack
LONGEST = 10_000     # bits of a whole number, so that it can be printed
INSTEAD = {    # what to write for a function of Python that is refused
    "id": "; a Tensor itself may be the key of a dict, or in a set",
    "object": "; as a mark, take None or a tuple",
    "getattr": "; write the attribute's name after a dot",
    "setattr": "; make a new value instead"}
IGNORED = {"typing", "__future__", "collections.abc"}    # for annotations, which are not kept


class Refused(Exception):
    """An answer that is not run; the message says why in one line."""


def read(text):
    """The syntax tree of a student's file; raises Refused if it is none."""
    if len(text.encode("utf-8", "replace")) > LARGEST:
        raise Refused(f"the file must be at most {LARGEST:,} bytes long")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")    # of a backslash in a docstring
            tree = parsed(text)
            _measure(tree)
            inside = _hoist_imports(tree)
            tree.outer = _outer(symtable.symtable(text, "answer", "exec")).union(*inside)
            tree.body = [node for node in tree.body if not _is_for_running(node)]
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = getattr(error, "lineno", None)
        raise Refused("this is not Python yet: " + (f"line {line}: " if line else "")
                      + getattr(error, "msg", "it is nested too deeply, or holds a NUL")) from None
    return tree


def _is_for_running(node):
    """Whether a statement is `if __name__ == "__main__":`, of which a check takes no notice."""
    return isinstance(node, ast.If) and ast.unparse(node.test) == "__name__ == '__main__'"


def _hoist_imports(tree):
    """Move the imports inside of functions to the top of the file, where imports are judged.

    Returns the names that each of them binds: functions read them from outside now.
    """
    hoisted = _Imports()
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            hoisted.visit(node)
    tree.body = hoisted.found + tree.body
    return [imported(node) for node in hoisted.found]


class _Imports(ast.NodeTransformer):
    """Takes imports out of a function; `found` are those that were met."""

    def __init__(self):
        self.found = []

    def visit_Import(self, node):
        self.found.append(node)
        return ast.copy_location(ast.Pass(), node)

    visit_ImportFrom = visit_Import


def load(path):
    """The text of a student's file, whatever editor wrote it; of other bytes than UTF-8, marks."""
    return decoded(path.read_bytes())


def decoded(content):
    """The text of a file's bytes; see `load`."""
    text = content.decode("utf-8-sig", "replace")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _measure(tree):
    """Refuse what is nested or long beyond all need: it would bring down those who look at it."""
    level, depth = [tree], 0
    while level:
        level, depth = [child for node in level for child in ast.iter_child_nodes(node)], depth + 1
        if depth > DEEPEST:
            raise Refused(f"the code must not be nested more than {DEEPEST} levels deep")
        for node in level:
            whole = isinstance(node, ast.Constant) and isinstance(node.value, int)
            if whole and node.value.bit_length() > LONGEST:
                _refuse(node, "a number of thousands of digits")


def _outer(table):
    """The names that the functions of a file, or its top level, read from outside."""
    names = {s.get_name() for s in table.get_symbols() if s.is_referenced() and s.is_global()}
    return names.union(*map(_outer, table.get_children()))


def piece(tree, exercise):
    """The student's definition of the target; raises Refused if none has its signature."""
    try:
        node = definition(tree, exercise.path)
    except LookupError:
        kind = "method" if len(exercise.path) == 2 else "function"
        raise Refused(f"the file must define the {kind} {'.'.join(exercise.path)}") from None
    ours, theirs = (signature(n) for n in (source(exercise.module).node(exercise.path), node))
    if not isinstance(node, ast.FunctionDef) or ours != theirs:
        raise Refused("the signature must be that of the library (which may have changed since "
                      "you started: your file stays, copy its new line)\n"
                      f"  yours:   {theirs}\n  library: {ours}")
    return node


def helpers(tree, exercise):
    """The student's other functions and constants at the top of the file."""
    return [node for node in tree.body
            if not imported(node) and not isinstance(node, ast.Expr)
            and not (isinstance(node, (ast.FunctionDef, ast.ClassDef))
                     and node.name == exercise.path[0])]


def screen(tree, exercise):
    """Raise Refused if an answer contains what none needs; return (its piece, its helpers)."""
    node, others = piece(tree, exercise), helpers(tree, exercise)
    for statement in tree.body:
        _check_import(statement, exercise)
        if isinstance(statement, ast.Expr) and not isinstance(statement.value, ast.Constant):
            _refuse(statement, "a statement outside of functions; keep trials in another file")
    for statement in others:
        if not isinstance(statement, (ast.FunctionDef, ast.Assign)):
            _refuse(statement, f"{type(statement).__name__} outside of functions")
        _check_helper(statement, exercise, tree)
    _check_names(tree, exercise)
    for statement in [node, *others]:
        _Screen(exercise, _modules(exercise, tree), others).visit(statement)
    return node, others


def _refuse(node, what):
    raise Refused(f"line {getattr(node, 'lineno', '?')}: an answer must not contain {what}")


def needed(exercise):
    """The names that the library's own answer uses, or one of the listed mistakes; and NumPy."""
    reference = source(exercise.module)
    hidden = [reference.node((name,)) for name in exercise.hide]
    answer = used(reference.node(exercise.path[:1]), *hidden)
    mistaken = {word for mistake in exercise.mistakes
                for word in re.findall(r"[^\W\d]\w*", mistake.new)}
    origins = {name: imported(node)[name] for name, node in reference.imports.items()}
    free = {name for name, origin in origins.items()
            if origin in FREE or origin.startswith("tinyml") and file_of(origin).exists()}
    return answer | free | mistaken & reference.names


def _check_import(node, exercise):
    reference, wanted = source(exercise.module), needed(exercise)
    allowed = {imported(reference.imports[name])[name] for name in wanted & set(reference.imports)}
    allowed |= {f"{exercise.module}.{name}"
                for name in wanted & reference.names - set(exercise.hide)}
    if getattr(node, "module", None) in IGNORED:
        return
    for origin in imported(node).values():
        if origin.startswith(exercise.module + ".") and origin.rpartition(".")[2] in exercise.hide:
            _refuse(node, f"an import of {origin}: it is part of what there is to write")
        if origin not in allowed | set(FREE) | IGNORED | listed.WHOLE and not _is_free(origin):
            _refuse(node, f"an import of {origin}; what it may use is imported at the top of the "
                          "stub")


def _is_free(origin):
    """Whether "collections.deque" and the like may be imported."""
    module, _, name = origin.rpartition(".")
    return name in listed.MODULES.get(module, ())


def _check_names(tree, exercise):
    """Refuse names from nowhere: the module's other functions are no part of an answer."""
    names, wanted = source(exercise.module).names, needed(exercise)
    own = {name for node in tree.body if getattr(node, "module", None) not in IGNORED
           for name in bound(node)}
    free = listed.BUILTINS | wanted
    for node in ast.walk(_Unannotated().visit(copy.deepcopy(tree))):
        name = node.id if isinstance(node, ast.Name) else None
        if name not in tree.outer - own or name in free:
            continue
        if name in names:
            _refuse(node, f"{name}, another piece of the library; its own answer does without")
        if not name.startswith("__") and not _is_builtin(name):
            raise Refused(f"line {node.lineno}: there is no {name} in your file; define it, or "
                          "correct the name")
    for name in tree.outer & assigned(*tree.body) & names & set(dir(builtins)) - own:
        raise Refused(f"{name} must not be both Python's function and a variable; rename the "
                      "variable")


class _Unannotated(ast.NodeTransformer):
    """Takes annotations away, in which names of typing may stand."""

    def visit_FunctionDef(self, node):
        return self.generic_visit(unannotated(node))

    def visit_AnnAssign(self, node):
        node.annotation = ast.Constant(None)
        return self.generic_visit(node)


def _check_helper(node, exercise, tree):
    arguments = {a.arg for n in ast.walk(tree) if isinstance(n, ast.arguments)
                 for a in [*n.args, *n.kwonlyargs, *n.posonlyargs]}
    for name in bound(node) & arguments:
        _refuse(node, f"{name} both at the top of the file and as an argument; rename one of them")
    for name in bound(node) & (source(exercise.module).names - set(exercise.hide)):
        _refuse(node, f"a {name} of its own: the library's module has one; choose another name")


def _modules(exercise, tree):
    """{name: module} of what library and answer import, to follow np.linalg.norm."""
    modules = {"np": importlib.import_module("numpy"), "numpy": importlib.import_module("numpy"),
               "math": importlib.import_module("math")}
    known = {alias: imported(node)[alias]
             for alias, node in source(exercise.module).imports.items()}
    for alias, origin in [*known.items(), *(i for n in tree.body for i in imported(n).items())]:
        if origin.startswith(f"{alias}."):    # import numpy.linalg binds numpy
            origin = alias
        try:
            modules[alias] = importlib.import_module(origin)
        except ImportError:
            modules.pop(alias, None)    # a function or class of a module
    return modules


class _Screen(ast.NodeVisitor):
    """Walk over an answer and refuse what reaches outside of it."""

    def __init__(self, exercise, modules, others):
        reference = source(exercise.module)
        own = [reference.node(exercise.path[:1]),
               *(reference.node((name,)) for name in exercise.hide)]
        attributes = [n for node in own for n in ast.walk(node) if isinstance(n, ast.Attribute)]
        self.own = {n.attr for n in attributes}
        used_modules = [node.module for node in reference.imports.values()
                        if isinstance(node, ast.ImportFrom) and node.module.startswith("tinyml.")]
        mistaken = {word for mistake in exercise.mistakes
                    for word in re.findall(r"\.([a-z]\w*)", mistake.new)}
        kinds = listed.attributes(exercise.module, *sorted(set(used_modules)))
        self.attributes = self.own | mistaken | kinds
        self.written = {n.attr for n in attributes if not isinstance(n.ctx, ast.Load)}
        self.written |= set(exercise.assigns)
        self.hidden = set(exercise.hide) - {name for node in others for name in bound(node)}
        self.modules = modules
        self.builtins = listed.BUILTINS | needed(exercise)

    def visit_Attribute(self, node):
        module = self._module(node.value)
        its_own = node.attr in self.written and module is None
        if not isinstance(node.ctx, ast.Load) and not its_own:
            _refuse(node, f"an assignment to {ast.unparse(node)}; make a new value instead")
        if module is None:
            self._check(node, node.attr)
            self.visit(node.value)
        elif self._module(node) is not None:
            _refuse(node, f"the module {ast.unparse(node)} as a value")
        elif not self._is_open(module, node):
            _refuse(node, f"{ast.unparse(node)}, which no answer needs")

    def _check(self, node, name):
        """Refuse the name of an attribute that leads out of the answer."""
        if name in self.attributes:
            return
        if name.startswith("_"):
            _refuse(node, f"the private name .{name}")
        near = get_close_matches(name, self.attributes, n=1, cutoff=0.7)
        meant = f"; did you mean .{near[0]}?" if near else ""
        _refuse(node, f".{name}, which no answer needs{meant}")

    def _is_open(self, module, node):
        """Whether an answer may use a name of a module; what is not there will raise an error."""
        direct = isinstance(node.value, ast.Name)
        if not direct and not module.__name__.startswith("numpy."):    # np.ma.core.os
            return False
        known = listed.MODULES.get(module.__name__, ())
        if module.__name__ == "copy" and self.own & listed.COPIES:
            known = listed.COPIES    # where the library makes the one kind, the other may do
        if direct and node.attr in self.own or node.attr in known:
            return True
        if module.__name__.startswith("tinyml."):
            return node.attr in listed.of_module(module.__name__)
        return (module.__name__ in listed.WHOLE and not node.attr.startswith("_")
                and not hasattr(module, node.attr))

    def visit_MatchClass(self, node):    # case Kind(name=...) reads the attribute .name
        if node.patterns:
            _refuse(node, "a class pattern with positions, which reads attributes unseen")
        for name in node.kwd_attrs:
            self._check(node, name)
        self.generic_visit(node)

    def visit_Name(self, node):
        if node.id in self.hidden:
            _refuse(node, f"{node.id}: it is part of what there is to write")
        if self._module(node) is not None:
            _refuse(node, f"the module {node.id} as a value, or as a variable")
        if node.id == "type":
            _refuse(node, "type as a value; call it with one argument")
        if node.id.startswith("__") and node.id not in self.builtins:
            _refuse(node, f"the name {node.id}")
        reads = isinstance(node.ctx, ast.Load)
        if reads and node.id not in self.builtins and _is_builtin(node.id):
            instead = INSTEAD.get(node.id, "")
            _refuse(node, f"{node.id}(), which no answer needs{instead}")

    def visit_Call(self, node):
        if not (isinstance(node.func, ast.Name) and node.func.id == "type"):
            self.generic_visit(node)
            return
        if len(node.args) != 1 or node.keywords or isinstance(node.args[0], ast.Starred):
            _refuse(node, "a class of its own: type takes one plain argument")
        self.visit(node.args[0])

    def visit_arg(self, node):
        self._check_bound(node, node.arg)
        self.generic_visit(node)

    def visit_ExceptHandler(self, node):
        self._check_bound(node, node.name)
        self.generic_visit(node)

    def visit_MatchAs(self, node):
        self._check_bound(node, node.name)
        self.generic_visit(node)

    visit_MatchStar = visit_MatchAs

    def visit_MatchMapping(self, node):
        self._check_bound(node, node.rest)
        self.generic_visit(node)

    def visit_FunctionDef(self, node):
        self._check_bound(node, node.name)
        self.generic_visit(node)

    def _check_bound(self, node, name):
        """Refuse a variable named as a module: its attributes would be judged as the module's."""
        if name in self.modules:
            _refuse(node, f"the module {name} as a variable; choose another name")

    def visit_Global(self, node):
        _refuse(node, "global")

    def visit_ClassDef(self, node):
        _refuse(node, "a class of its own")

    def visit_AsyncFunctionDef(self, node):
        _refuse(node, "async")

    def _module(self, node):
        """The module that an expression names (np, np.linalg), or None."""
        if isinstance(node, ast.Attribute):
            value = getattr(self._module(node.value), node.attr, None)
        else:
            value = self.modules.get(node.id) if isinstance(node, ast.Name) else None
        return value if isinstance(value, types.ModuleType) else None


def _is_builtin(name):
    return hasattr(builtins, name)
