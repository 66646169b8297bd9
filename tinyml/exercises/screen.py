"""What an answer may contain: read as a syntax tree, before a line of it runs.

An answer computes. It needs no files, no processes, no frames, no other modules than its piece of the
library has, and it changes nothing outside itself. What is more is refused with a line that says why. This is
the first of several walls (see `runner` for the others); each is tested without the others.
"""
import ast
import builtins
import importlib
import re
import symtable
import types
import warnings

from tinyml.exercises.exercise import FREE
from tinyml.exercises.stub import (
    assigned,
    bound,
    definition,
    file_of,
    imported,
    signature,
    source,
    used,
)

LARGEST = 100_000    # bytes of a student's file
DEEPEST = 100        # levels of a syntax tree, so that nothing that walks over it runs out of stack
LONGEST = 10_000     # bits of a whole number, so that it can be printed
OPEN = {"numpy", "numpy.linalg", "numpy.random", "numpy.fft",    # of which all public names are free
        "bisect", "heapq", "itertools", "math"}
PARTS = {    # and of which these are
    "collections": {"ChainMap", "Counter", "OrderedDict", "defaultdict", "deque", "namedtuple"},
    "dataclasses": {"asdict", "astuple", "field", "fields", "replace"},
    "functools": {"cache", "cmp_to_key", "lru_cache", "partial", "reduce"}}
IGNORED = {"typing", "__future__", "collections.abc"}          # for annotations, which are not kept
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
    "show_config", "show_runtime", "info", "bmat", "format", "format_map", "from_dlpack", "sctypeDict"}


class Refused(Exception):
    """An answer that is not run; the message says why in one line."""


def read(text):
    """The syntax tree of a student's file; raises Refused if it is none."""
    if len(text.encode("utf-8", "replace")) > LARGEST:
        raise Refused(f"the file must be at most {LARGEST:,} bytes long")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")    # of a backslash in a docstring
            tree = ast.parse(text)
            _measure(tree)
            tree.outer = _outer(symtable.symtable(text, "answer", "exec"))
            tree.body = [node for node in tree.body if not _is_for_running(node)]
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = getattr(error, "lineno", None)
        raise Refused("this is not Python yet: " + (f"line {line}: " if line else "")
                      + getattr(error, "msg", "it is nested too deeply, or holds a NUL")) from None
    return tree


def _is_for_running(node):
    """Whether a statement is `if __name__ == "__main__":`, of which a check takes no notice."""
    return isinstance(node, ast.If) and ast.unparse(node.test) == "__name__ == '__main__'"


def load(path):
    """The text of a student's file, whatever editor wrote it; bytes that are not UTF-8 become question marks."""
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
            if isinstance(node, ast.Constant) and isinstance(node.value, int) and node.value.bit_length() > LONGEST:
                _refuse(node, "a number of thousands of digits")


def _outer(table):
    """The names that the functions of a file read from outside of themselves, its own top level included."""
    names = {s.get_name() for s in table.get_symbols() if s.is_referenced() and s.is_global()}
    return names.union(*map(_outer, table.get_children()))


def piece(tree, exercise):
    """The student's definition of the target; raises Refused if it is missing or its signature changed."""
    try:
        node = definition(tree, exercise.path)
    except LookupError:
        kind = "method" if len(exercise.path) == 2 else "function"
        raise Refused(f"the file must define the {kind} {'.'.join(exercise.path)}") from None
    ours, theirs = (signature(n) for n in (source(exercise.module).node(exercise.path), node))
    if not isinstance(node, ast.FunctionDef) or ours != theirs:
        raise Refused(f"the signature must be that of the library (which may have changed since you started: your "
                      f"file stays, copy its new line)\n  yours:   {theirs}\n  library: {ours}")
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
    _check_names(tree, exercise)
    for statement in [node, *others]:
        _Screen(exercise, _modules(exercise, tree), others).visit(statement)
    return node, others


def _refuse(node, what):
    raise Refused(f"line {getattr(node, 'lineno', '?')}: an answer must not contain {what}")


def needed(exercise):
    """The names that the library's own answer uses, or one of the listed mistakes; and NumPy."""
    reference = source(exercise.module)
    answer = used(reference.node(exercise.path[:1]), *(reference.node((name,)) for name in exercise.hide))
    mistaken = {word for mistake in exercise.mistakes for word in re.findall(r"[^\W\d]\w*", mistake.new)}
    origins = {name: imported(node)[name] for name, node in reference.imports.items()}
    free = {name for name, origin in origins.items()
            if origin in FREE or origin.startswith("tinyml") and file_of(origin).exists()}
    return answer | free | mistaken & reference.names


def _check_import(node, exercise):
    reference, wanted = source(exercise.module), needed(exercise)
    allowed = {imported(reference.imports[name])[name] for name in wanted & set(reference.imports)}
    allowed |= {f"{exercise.module}.{name}" for name in wanted & reference.names - set(exercise.hide)}
    if getattr(node, "module", None) in IGNORED:
        return
    for origin in imported(node).values():
        if origin.startswith(exercise.module + ".") and origin.rpartition(".")[2] in exercise.hide:
            _refuse(node, f"an import of {origin}: it is part of what there is to write")
        if origin not in allowed | set(FREE) | IGNORED and not _is_free(origin):
            _refuse(node, f"an import of {origin}; what it may use is imported at the top of the stub")


def _is_free(origin):
    """Whether "collections.deque" and the like may be imported."""
    module, _, name = origin.rpartition(".")
    if origin in OPEN:
        return True
    if module not in OPEN:
        return name in PARTS.get(module, ())
    value = getattr(importlib.import_module(module), name, None)
    return (not name.startswith("_") and name not in FORBIDDEN_ATTRIBUTES
            and not isinstance(value, (types.ModuleType, type(None))))


def _check_names(tree, exercise):
    """Refuse names that come from nowhere: the module's other functions are no part of an answer."""
    names, wanted = source(exercise.module).names, needed(exercise)
    own = {name for node in tree.body for name in bound(node)}
    for node in ast.walk(tree):
        name = node.id if isinstance(node, ast.Name) else None
        if name not in tree.outer - own or name in SAFE_BUILTINS | wanted:
            continue
        if name in names:
            _refuse(node, f"{name}, another piece of the library; its own answer does without")
        if not name.startswith("__") and not _is_builtin(name):
            raise Refused(f"line {node.lineno}: there is no {name} in your file; define it, or correct the name")
    for name in tree.outer & assigned(*tree.body) & names & set(dir(builtins)) - own:
        raise Refused(f"{name} must not be both Python's function and a variable; rename the variable")


def _check_helper(node, exercise, tree):
    arguments = {a.arg for n in ast.walk(tree) if isinstance(n, ast.arguments)
                 for a in [*n.args, *n.kwonlyargs, *n.posonlyargs]}
    for name in bound(node) & arguments:
        _refuse(node, f"{name} both at the top of the file and as an argument; rename one of them")
    for name in bound(node) & (source(exercise.module).names - set(exercise.hide)):
        _refuse(node, f"a {name} of its own: the library's module has one; choose another name")


def _modules(exercise, tree):
    """{name: module} of what the library's module and the answer import, to follow np.linalg.norm."""
    modules = {"np": importlib.import_module("numpy"), "numpy": importlib.import_module("numpy"),
               "math": importlib.import_module("math")}
    known = {alias: imported(node)[alias]
             for alias, node in source(exercise.module).imports.items()}
    for alias, origin in [*known.items(), *(i for n in tree.body for i in imported(n).items())]:
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
        attributes = [n for node in own for n in ast.walk(node) if isinstance(n, ast.Attribute)]
        self.attributes = {n.attr for n in attributes}
        self.written = {n.attr for n in attributes if not isinstance(n.ctx, ast.Load)}
        self.written |= set(exercise.assigns)
        self.hidden = set(exercise.hide) - {name for node in others for name in bound(node)}
        self.modules = modules
        self.builtins = SAFE_BUILTINS | needed(exercise)

    def visit_Attribute(self, node):
        self._check(node, node.attr)
        module = self._module(node.value)
        if not isinstance(node.ctx, ast.Load) and (node.attr not in self.written or module is not None):
            _refuse(node, f"an assignment to {ast.unparse(node)}: it would change what is not its own")
        if module is None:
            self.visit(node.value)
        elif not (module.__name__ in OPEN or module.__name__.startswith("tinyml.")
                  or isinstance(node.value, ast.Name)
                  and node.attr in PARTS.get(module.__name__, ())
                  or isinstance(node.value, ast.Name) and node.attr in self.attributes):
            _refuse(node, f"{ast.unparse(node)}, which no answer needs")
        elif self._module(node) is not None:
            _refuse(node, f"the module {ast.unparse(node)} as a value")

    def _check(self, node, name):
        """Refuse the name of an attribute that leads out of the answer."""
        if name not in self.attributes and name.startswith("_"):
            _refuse(node, f"the private name .{name}")
        if name not in self.attributes and name in FORBIDDEN_ATTRIBUTES:
            _refuse(node, f".{name}, which no answer needs")

    def visit_MatchClass(self, node):    # case Kind(name=...) reads the attribute .name
        for name in node.kwd_attrs:
            self._check(node, name)
        self.generic_visit(node)

    def visit_Name(self, node):
        if node.id in self.hidden:
            _refuse(node, f"{node.id}: it is part of what there is to write")
        if self._module(node) is not None:
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

    def _module(self, node):
        """The module that an expression names (np, np.linalg), or None."""
        if isinstance(node, ast.Attribute):
            value = getattr(self._module(node.value), node.attr, None)
        else:
            value = self.modules.get(node.id) if isinstance(node, ast.Name) else None
        return value if isinstance(value, types.ModuleType) else None


def _is_builtin(name):
    return hasattr(builtins, name)
