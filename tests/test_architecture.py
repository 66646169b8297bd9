"""The shape of the repository: imports point one way, every public name is specified, stems agree."""
import ast
import subprocess
import sys
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest
from equations import tags

import tinyml

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "tinyml"

# A module may import those of a lower rank, and its own family; a lesson never imports another lesson.
RANKS = [
    {"tensor", "operators", "protocols", "scope", "check", "phrasebook", "progress", "files",
     "sums", "explain"},
    {"ops", "idx", "pictures", "ucr", "contract", "grammar"},
    {"gradcheck", "debug", "data", "synthetic", "sweep"},
    {"functional"},
    {"nn", "optim", "optimizer", "schedules", "lbfgs"},
    {"train", "checkpoint"},
    {"interpolation", "compression", "selfsupervised"},
    {"exercises"},
]
LESSONS = RANKS[6]
PARTS = {"operators", "protocols", "explain", "scope", "optimizer", "schedules", "grammar"}    # tested with what they serve
ALLOWED = {
    "tinyml": {"numpy", "tinyml"},
    "tests": {"numpy", "tinyml", "pytest", "hypothesis", "strategies", "equations", "book", "_warm"},
    "demos": {"numpy", "tinyml", "matplotlib", "common", "book"},
}


def sources(folder):
    return sorted((ROOT / folder).rglob("*.py"))


@cache
def parsed(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(path):
    """Absolute dotted names that a file imports, as "tinyml.nn" for both forms of the statement."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: imports are absolute"
            yield node.module
            if node.module == "tinyml":
                yield from (f"tinyml.{alias.name}" for alias in node.names)


def families(path):
    """(own family, imported families) of a file of the package, a family being a module or a folder."""
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    names = {name.split(".")[1] for name in imported(path) if name.startswith("tinyml.")}
    known = set().union(*RANKS)
    return own, {name for name in names if name in known}


def rank(family):
    return next(i for i, members in enumerate(RANKS) if family in members)


def test_every_module_has_a_rank():
    present = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in sources("tinyml")}
    assert present - {"__init__"} <= set().union(*RANKS)


@pytest.mark.parametrize("path", [p for p in sources("tinyml") if p != PACKAGE / "__init__.py"],
                         ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_imports_point_one_way(path):
    own, others = families(path)
    for other in others - {own}:
        assert rank(other) <= rank(own), f"{own} must not import {other}"
        assert not {own, other} <= LESSONS, f"lesson {own} must not import lesson {other}"


@pytest.mark.parametrize("folder", ALLOWED)
def test_only_the_chosen_packages_are_imported(folder):
    local = {path.stem for path in sources(folder)}
    for path in sources(folder):
        foreign = {name.split(".")[0] for name in imported(path)} - set(sys.stdlib_module_names)
        extra = {"pytest", "hypothesis"} if "exercises" in path.parts else set()
        extra |= {"matplotlib"} if "course" in path.parts else set()    # the picture of a class, if it is there
        assert foreign <= ALLOWED[folder] | local | extra, path


def test_the_one_circle_is_that_of_a_tensor_and_its_operations():
    """Tensors' methods call operations, and operations make tensors: looked up in `tinyml`, at the call."""
    whole = {path.stem for path in sources("tinyml") if "tinyml" in imported(path) and path.parts[-2] == "tinyml"
             and any(isinstance(node, ast.Import) and node.names[0].name == "tinyml"
                     for node in ast.walk(parsed(path)))}
    assert whole == {"operators", "protocols"}


def test_import_needs_numpy_alone():
    code = "import sys, tinyml; print(*{name.split('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                            cwd=ROOT).stdout.split()
    assert not {"matplotlib", "pytest", "hypothesis", "scipy"} & set(loaded)


def public_definitions():
    for path in sources("tinyml"):
        for node in parsed(path).body:
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
                yield pytest.param(node, id=f"{path.relative_to(PACKAGE).as_posix()}:{node.name}")


@pytest.mark.parametrize("node", list(public_definitions()))
def test_every_public_name_is_specified(node):
    assert ast.get_docstring(node), f"{node.name} has no docstring"
    if isinstance(node, ast.ClassDef):
        return
    docstring = ast.get_docstring(node)
    arguments = [a.arg for a in node.args.args + node.args.kwonlyargs]
    if "Parameters\n" in docstring:
        for argument in arguments:
            assert argument in docstring, f"{node.name}: {argument} is not described"


def test_no_monkey_patching():
    for path in sources("tinyml"):
        calls = [n for n in ast.walk(parsed(path)) if isinstance(n, ast.Call)]
        assert not [c for c in calls if isinstance(c.func, ast.Name) and c.func.id in {"setattr", "exec", "eval"}], path


HELPERS = {"markov", "byte_stream", "fixed_point", "integer_model", "channel_blocks", "clusters",
           "metrics", "outer_products", "ternary", "bits",
           "second_fall", "weight_masks", "thin_layers", "codebooks", "removal",
           "bit_allocation", "circulant_layers", "ridge", "separable",
           "grove"}    # modules that serve the demo of another one


def test_the_law_of_the_stem():
    """tests/test_<stem>.py for every module, tests and demos/<stem>.py for every module of a lesson."""
    tests = {path.stem.removeprefix("test_") for path in sources("tests")}
    demos = {path.stem for path in sources("demos")}
    for path in sources("tinyml"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        family, stem = parts[0], parts[-1]
        if family in LESSONS and stem != "__init__":
            assert stem in tests, f"{stem} needs tests/test_{stem}.py"
            assert stem in demos | HELPERS, f"{stem} needs demos/{stem}.py"
        elif family not in LESSONS | {"__init__", "exercises"}:
            assert family in tests | {"idx", "phrasebook", "progress", *PARTS}, f"{family} needs tests/test_{family}.py"


@cache
def helpers_that_name_the_function():
    """{name of a helper: place of the argument that says on whose behalf it refuses}."""
    found = {}
    for path in sources("tinyml"):
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.FunctionDef):
                arguments = [a.arg for a in node.args.args if a.arg not in ("self", "cls")]
                for i, argument in enumerate(arguments):
                    if argument in ("name", "function"):
                        found.setdefault(node.name, i)
    return found


def named_functions(path):
    """(the call, the function it names, the functions and classes around it) of calls that pass a name on."""
    helpers = helpers_that_name_the_function()

    def walk(node, around):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            around = [*around, node.name]
        if isinstance(node, ast.Call):
            place = helpers.get(getattr(node.func, "attr", getattr(node.func, "id", "")), len(node.args))
            said = node.args[place] if place < len(node.args) else None
            if isinstance(said, ast.Constant) and isinstance(said.value, str) and said.value.isidentifier():
                yield node, said.value, around
        for child in ast.iter_child_nodes(node):
            yield from walk(child, around)
    return list(walk(parsed(path), []))


def test_an_error_names_the_function_that_was_called():
    """The one around it, or one of the same module that calls a private helper."""
    n_seen = 0
    for path in sources("tinyml"):
        public = {node.name for node in parsed(path).body
                  if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_")}
        for call, said, around in named_functions(path):
            private = bool(around) and around[-1].startswith("_")
            assert said in around or private and said in public, f"{path}:{call.lineno}: {ast.unparse(call)}"
            n_seen += 1
    assert n_seen > 150


def test_no_random_state_is_global():
    for folder in ("tinyml", "tests", "demos"):
        for path in sources(folder):
            for node in ast.walk(parsed(path)):
                if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "np.random":
                    assert node.attr in {"default_rng", "Generator", "SeedSequence"}, f"{path}: {ast.unparse(node)}"


# Calls that write files. Whoever needs one writes through tinyml/files.py, which does it whole or not at all.
WRITING = {"os.replace", "os.rename", "os.open", "os.fdopen",
           "np.save", "np.savez", "np.savez_compressed", "np.savetxt"}
METHODS = {"write_text", "write_bytes", "tofile", "savefig", "rename", "touch", "symlink_to"}
OPENERS = {"open", "io.open", "gzip.open", "zipfile.ZipFile", "ZipFile"}
SCRATCH = {    # file, call -> why it may: what it writes goes into a temporary folder, or is no file
    ("tinyml/nn/npz.py", "zipfile.ZipFile"): "inside of `writing`",
    ("tinyml/nn/npz.py", "archive.open"): "inside of `writing`",
    ("tinyml/exercises/walls/child.py", "open"): "what a child says, in a temporary folder",
    ("tinyml/exercises/__main__.py", "os.open"): "the null device",
    ("tinyml/exercises/walls/server.py", "os.open"): "the null device, and what a child says",
    ("tinyml/exercises/student/workspace.py", "path.rename"): "a backup of the student's file",
    ("tinyml/exercises/course/collect.py", "os.open"): "only to be read",
    ("tinyml/exercises/course/gradescope.py", "zipfile.ZipFile"): "in memory",
    ("tinyml/exercises/course/overview.py", "figure.savefig"): "into memory",
    ("demos/_warm.py", "open"): "what a child says, in a temporary folder",
    ("demos/common.py", "figure.savefig"): "into memory",
    ("demos/book/motion.py", "figure.savefig"): "into memory",
    ("demos/deploy.py", "np.save"): "in a temporary folder",
    ("demos/storage.py", "np.savez_compressed"): "in a temporary folder",
}


def writes(call):
    """Whether a call opens a file for writing, or gives a file its name."""
    name, arguments = ast.unparse(call.func), [*call.args, *(k.value for k in call.keywords)]
    if name in WRITING:
        return True
    if name in OPENERS or name.endswith(".open"):
        mode = next((a for a in arguments[name in OPENERS:] if isinstance(a, ast.Constant)), None)
        named = [k.value for k in call.keywords if k.arg == "mode"]
        return any(set(str(ast.unparse(a)).strip("'")) & set("wax+") for a in named or [mode] if a)
    if isinstance(call.func, ast.Attribute) and call.func.attr == "replace":
        return len(call.args) == 1 and not call.keywords    # of a path; that of a str has two
    return isinstance(call.func, ast.Attribute) and call.func.attr in METHODS


@pytest.mark.parametrize("code, found", [
    ("open(p, 'w')", True), ("open(p, mode='ab')", True), ("open(p, 'r+b')", True), ("p.open('w')", True),
    ("p.replace(q)", True), ("os.replace(p, q)", True), ("p.write_text(t)", True), ("zipfile.ZipFile(f, 'w')", True),
    ("open(p)", False), ("open(p, 'rb')", False), ("open('w')", False), ("p.open()", False),
    ("open(p, encoding='utf-8')", False), ("s.replace('a', 'b')", False), ("zipfile.ZipFile(f)", False)])
def test_what_counts_as_writing(code, found):
    assert bool(writes(ast.parse(code).body[0].value)) == found


def test_one_place_writes_files():
    used = set()
    for path in sources("tinyml") + sources("demos"):
        if path == PACKAGE / "files.py":
            continue
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.Call) and writes(node):
                place = path.relative_to(ROOT).as_posix(), ast.unparse(node.func)
                assert place in SCRATCH, f"{path}:{node.lineno}: write through tinyml.files"
                used.add(place)
    assert used == SCRATCH.keys()


# ------------------------------------------------------------ the core

def core():
    return [(module, name) for module, names in tinyml.CORE.items() for name in names]


def test_every_name_of_the_core_is_there_and_the_core_is_small():
    for module, name in core():
        assert hasattr(import_module(f"tinyml.{module}"), name), f"tinyml.{module}.{name}"
    assert len(set(core())) == len(core()) <= 80


def test_every_equation_of_the_notes_is_in_the_core():
    files = {(import_module(f"tinyml.{module}"), name) for module, name in core()}
    names = {getattr(module, name).__module__ + "." + name for module, name in files}
    for tag in tags():
        module = tag.path.removesuffix(".py").replace("/", ".")
        name = tag.name.split(".")[0]
        assert f"{module}.{name}" in names, f"{tag.key} is in {module}.{name}"
