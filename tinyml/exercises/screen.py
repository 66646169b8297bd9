"""What an answer may contain: read as a syntax tree, before a line of it runs.

An answer computes. It needs no files, no processes, no frames, no other modules than its piece of the
library has, and it changes nothing outside itself. What is more is refused with a line that says why. This is
the first of several walls (see `runner` for the others); each is tested without the others.
"""
import ast
import importlib
import types

from tinyml.exercises.stub import bound, definition, imported, signature, source, used

LARGEST = 100_000    # bytes of a student's file
SAFE_BUILTINS = {
    "abs", "all", "any", "bool", "bytes", "complex", "dict", "divmod", "enumerate", "filter",
    "float", "frozenset", "hasattr", "int", "isinstance", "issubclass", "iter", "len", "list", "map", "max",
    "min", "next", "pow", "print", "range", "repr", "reversed", "round", "set", "slice", "sorted", "str", "sum",
    "super", "tuple", "type", "zip",
    "True", "False", "None", "NotImplemented", "Ellipsis", "ArithmeticError", "AssertionError",
    "AttributeError", "Exception", "FloatingPointError", "IndexError", "KeyError", "LookupError",
    "NotImplementedError", "OverflowError", "RuntimeError", "StopIteration", "TypeError", "ValueError",
    "ZeroDivisionError"}
FORBIDDEN_ATTRIBUTES = {    # of NumPy and of Python's objects: files, memory, frames, other modules
    "testing", "ctypeslib", "ctypes", "f2py", "core", "lib", "memmap", "load", "save", "savez", "loadtxt",
    "savez_compressed", "savetxt", "genfromtxt", "fromfile", "tofile", "fromregex", "DataSource", "dump",
    "dumps", "open_memmap", "sys", "os", "warnings", "seterr", "seterrcall", "setbufsize", "test",
    "gi_frame", "gi_code", "cr_frame", "ag_frame", "tb_frame", "tb_next", "f_back", "f_globals", "f_locals",
    "f_builtins", "f_code", "mro", "with_traceback", "set_printoptions", "setflags", "settings", "get_include",
    "show_config"}


class Refused(Exception):
    """An answer that is not run; the message says why in one line."""


def read(text):
    """The syntax tree of a student's file; raises Refused if it is none."""
    if len(text.encode("utf-8", "replace")) > LARGEST:
        raise Refused(f"the file must be at most {LARGEST:,} bytes long")
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = getattr(error, "lineno", None)
        raise Refused("this is not Python yet: " + (f"line {line}: " if line else "")
                      + getattr(error, "msg", "it is nested too deeply")) from None
    return tree


def piece(tree, exercise):
    """The student's definition of the target; raises Refused if it is missing or its signature changed."""
    try:
        node = definition(tree, exercise.path)
    except LookupError:
        kind = "method" if len(exercise.path) == 2 else "function"
        raise Refused(f"the file must define the {kind} {'.'.join(exercise.path)}") from None
    ours, theirs = (signature(n) for n in (source(exercise.module).node(exercise.path), node))
    if not isinstance(node, ast.FunctionDef) or ours != theirs:
        raise Refused(f"the signature must be that of the library\n  yours:   {theirs}\n  library: {ours}")
    return node


def helpers(tree, exercise):
    """The student's other functions and constants at the top of the file."""
    return [node for node in tree.body
            if not imported(node) and not isinstance(node, ast.Expr)
            and not (isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name == exercise.path[0])]


def screen(tree, exercise):
    """Raise Refused if an answer contains what no answer needs; return (its piece, its helpers)."""
    node, others = piece(tree, exercise), helpers(tree, exercise)
    for statement in tree.body:
        _check_import(statement, exercise)
        if isinstance(statement, ast.Expr) and not isinstance(statement.value, ast.Constant):
            _refuse(statement, "a statement outside of functions; keep trials in another file")
    for statement in others:
        if not isinstance(statement, (ast.FunctionDef, ast.Assign)):
            _refuse(statement, f"{type(statement).__name__} outside of functions")
        _check_helper(statement, exercise, tree)
    names = _modules(exercise)
    for statement in [node, *others]:
        _Screen(exercise, names, others).visit(statement)
    return node, others


def _refuse(node, what):
    raise Refused(f"line {getattr(node, 'lineno', '?')}: an answer must not contain {what}")


def _check_import(node, exercise):
    reference = source(exercise.module)
    allowed = {origin for statement in reference.imports.values() for origin in imported(statement).values()}
    for origin in imported(node).values():
        own = origin.startswith(exercise.module + ".") and origin.rpartition(".")[2] in reference.names
        if origin not in allowed | {"numpy", "math"} and not own:
            _refuse(node, f"an import of {origin}; the library's own answer needs "
                          f"{', '.join(sorted(allowed)) or 'none'}")
        if own and origin.rpartition(".")[2] in exercise.hide:
            _refuse(node, f"an import of {origin}: it is part of what there is to write")


def _check_helper(node, exercise, tree):
    arguments = {a.arg for n in ast.walk(tree) if isinstance(n, ast.arguments)
                 for a in [*n.args, *n.kwonlyargs, *n.posonlyargs]}
    for name in bound(node) & arguments:
        _refuse(node, f"{name} both at the top of the file and as an argument; rename one of them")
    for name in bound(node) & (source(exercise.module).names - set(exercise.hide)):
        _refuse(node, f"a {name} of its own: the library's module has one; choose another name")


def _modules(exercise):
    """{name: module} of what the library's module imports, to follow np.linalg.norm."""
    modules = {"np": importlib.import_module("numpy"), "numpy": importlib.import_module("numpy"),
               "math": importlib.import_module("math")}
    for alias, node in source(exercise.module).imports.items():
        origin = imported(node)[alias]
        try:
            modules[alias] = importlib.import_module(origin)
        except ImportError:
            pass    # a function or class of a module
    return modules


class _Screen(ast.NodeVisitor):
    """Walk over an answer and refuse what reaches outside of it."""

    def __init__(self, exercise, modules, others):
        reference = source(exercise.module)
        own = [reference.node(exercise.path[:1]), *(reference.node((name,)) for name in exercise.hide)]
        self.attributes = {n.attr for node in own for n in ast.walk(node) if isinstance(n, ast.Attribute)}
        self.hidden = set(exercise.hide) - {name for node in others for name in bound(node)}
        self.modules = modules
        self.builtins = SAFE_BUILTINS | used(*own)
        self.imported = set(reference.names)

    def visit_Attribute(self, node):
        if node.attr not in self.attributes:
            if node.attr.startswith("_"):
                _refuse(node, f"the private name .{node.attr}")
            if node.attr in FORBIDDEN_ATTRIBUTES:
                _refuse(node, f".{node.attr}, which no answer needs")
        root = _root(node)
        if isinstance(node.ctx, (ast.Store, ast.Del)) and (root is None or root in self.imported | set(self.modules)):
            _refuse(node, f"an assignment to {ast.unparse(node)}: it would change the library")
        if not self._is_module(node.value):
            self.visit(node.value)
        elif self._is_module(node):
            _refuse(node, f"the module {ast.unparse(node)} as a value")

    def visit_Name(self, node):
        if node.id in self.hidden:
            _refuse(node, f"{node.id}: it is part of what there is to write")
        if self._is_module(node):
            _refuse(node, f"the module {node.id} as a value")
        if node.id.startswith("__") and node.id not in self.builtins:
            _refuse(node, f"the name {node.id}")
        if node.id not in self.builtins and _is_builtin(node.id) and isinstance(node.ctx, ast.Load):
            _refuse(node, f"{node.id}(), which no answer needs")

    def visit_Call(self, node):
        if isinstance(node.func, ast.Name) and node.func.id == "type" and len(node.args) != 1:
            _refuse(node, "a class of its own")
        self.generic_visit(node)

    def visit_Import(self, node):
        _refuse(node, "an import inside of a function; write it at the top")

    visit_ImportFrom = visit_Import

    def visit_Global(self, node):
        _refuse(node, "global")

    def visit_ClassDef(self, node):
        _refuse(node, "a class of its own")

    def visit_AsyncFunctionDef(self, node):
        _refuse(node, "async")

    def _is_module(self, node):
        """Whether an expression names a module: np, np.linalg."""
        parts = ast.unparse(node).split(".") if isinstance(node, (ast.Name, ast.Attribute)) else [""]
        value = self.modules.get(parts[0])
        for part in parts[1:]:
            value = getattr(value, part, None) if isinstance(value, types.ModuleType) else None
        return isinstance(value, types.ModuleType)


def _root(node):
    while isinstance(node, (ast.Attribute, ast.Subscript)):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None


def _is_builtin(name):
    return name in dir(importlib.import_module("builtins"))
