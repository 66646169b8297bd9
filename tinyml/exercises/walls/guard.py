"""What stands between a student's function and the library: its calls are recorded, its results
are plain.

A grader compares. An object that says it equals everything would pass, so a result must consist of
NumPy's arrays, Python's numbers and containers, and objects that the library itself made. Nor may
a function make the question fit its answer: arrays that it was given, now or lately, stay as they
are.
"""
import ast
import copy
import functools
import sys
import types
from collections import deque
from dataclasses import dataclass

import numpy as np

from tinyml.exercises.catalogue import find
from tinyml.exercises.student.stub import source

PLAIN = (int, float, complex, bool, str, bytes, type(None), set, frozenset, slice, np.ndarray,
         np.random.Generator, types.BuiltinFunctionType, np.ufunc)
LARGEST = 200_000     # entries of arguments that are worth a copy
SIMPLE = (np.ndarray, np.generic, int, float, str, type(None))
KEPT = 120            # calls
STEPS = 8             # calls of a method on one object
functions = {}        # exercise, or "exercise#number" of a mistake -> its bare function
wrappers = {}         # exercise -> the function around it that the library uses
calls = {}            # exercise -> how often it was called
records = []          # calls of the exercise that is recorded, the newest last
began = [0]           # how many of these are of earlier tests
recording = []        # that exercise, if any
execution = []        # its calls in the execution of a test that runs now
lives = {}            # id of an object -> its life, if the exercise is a method
given = deque(maxlen=16)    # arrays that the student's function was given lately


def checked(name):
    """Decorator of the student's function, innermost, so that it sees the bare results."""
    def decorate(function):
        functions[name] = function

        @functools.wraps(function)
        def wrapper(*args, **kwargs):
            calls[name] = calls.get(name, 0) + 1
            current = functions[name]    # see `exchange`
            if name in recording:
                record(args, kwargs, is_method(current))
            return plain(name, unwritten(name, current, args, kwargs))
        wrappers[name] = wrapper
        return wrapper
    return decorate


def exchange(name, function):
    """Put another answer in the place of the one that the library uses now: for the gate."""
    functions[name] = wrappers[name].__wrapped__ = function


def unwritten(name, function, args, kwargs):
    """Call a function; raise AssertionError if it changes what it was given, now or lately."""
    own = is_method(function)
    others = [*args[own:], *kwargs.values()]
    given.extend(arrays([args, others]))
    before = [(array, array.shape, array.tobytes()) for array in given]
    before += [(array, array.shape, array.tobytes()) for array in held(name, others)]
    kept = [(box, list(box.items()) if isinstance(box, dict) else list(box))
            for box in boxes(others)]
    grads = [(tensor, tensor.grad) for tensor in others if hasattr(tensor, "edges")]
    result = function(*args, **kwargs)
    for box, content in kept:
        now = list(box.items()) if isinstance(box, dict) else list(box)
        if len(now) != len(content) or any(a is not b for a, b in zip(_flat(now), _flat(content))):
            raise AssertionError(f"{name}: a {type(box).__name__} that it was given must stay as "
                                 "it is; make a new one instead")
    other_grads = any(tensor.grad is not grad for tensor, grad in grads)
    if other_grads and not {"grad", "backward"} & may_write(name):
        raise AssertionError(f"{name}: the gradient of a tensor that it was given must stay "
                             "as it is")
    for array, shape, content in before:
        if array.shape != shape or array.tobytes() != content:
            raise AssertionError(f"{name}: an array that it was given must stay as it is; "
                                 "make a new one instead")
    return result


def boxes(value, depth=0):
    """The lists, dicts and sets in some arguments."""
    if depth > 4 or type(value) not in (list, tuple, dict, set):
        return []
    inside = value.values() if isinstance(value, dict) else value
    own = [value] if depth and type(value) is not tuple else []
    return own + [box for item in inside for box in boxes(item, depth + 1)]


def _flat(items):
    return [part for item in items for part in (item if isinstance(item, tuple) else (item,))]


def held(name, values):
    """The arrays in the modules among some arguments, unless the library assigns there."""
    modules = [value for value in values
               if hasattr(type(value), "forward") and hasattr(value, "__dict__")]
    if not modules or "data" in may_write(name):
        return []
    return [array for module in modules for array in arrays([*_inside_of(module)])]


def _inside_of(module, depth=0):
    for value in vars(module).values():
        if hasattr(type(value), "forward") and hasattr(value, "__dict__") and depth < 8:
            yield from _inside_of(value, depth + 1)
        else:
            yield value


@functools.cache
def may_write(name):
    """The attributes that an answer may assign to, and "backward" if the library's calls that."""
    exercise = find(name)
    reference = source(exercise.module)
    nodes = [n for path in (exercise.path, *((word,) for word in exercise.hide))
             for n in ast.walk(reference.node(path)) if isinstance(n, ast.Attribute)]
    written = {n.attr for n in nodes if isinstance(n.ctx, ast.Store) or n.attr == "backward"}
    return frozenset(written | set(exercise.assigns))


def arrays(value, depth=0):
    """The arrays in some arguments, and those that they are views of."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)) and depth < 4:
        return [array for item in value for array in arrays(item, depth + 1)]
    value = value.data if hasattr(value, "edges") else value    # a tensor
    if not isinstance(value, np.ndarray):
        return []
    while isinstance(value.base, np.ndarray):
        value = value.base
    return [value] if value.size <= LARGEST else []


def bare(name):
    """Decorator that keeps a function under a name and changes nothing."""
    def decorate(function):
        functions[name] = function
        return function
    return decorate


def is_method(function):
    """Whether a function was defined inside of a class at the top of a module."""
    return "." in function.__qualname__ and "<" not in function.__qualname__


@dataclass(frozen=True)
class Call:
    """Copies of what a function was called with; of a method's object, before its first call."""
    args: tuple
    kwargs: dict
    earlier: tuple = ()    # the calls before, on the same object


def record(args, kwargs, method=False):
    """Keep copies of the arguments of a call: of the first ones, and of the last ones.

    What an object notes from call to call is its own affair, and another answer would not
    understand it. So a call of a method is kept with all calls since the object was new, to be
    lived through again.
    """
    kept = snapshot((args, kwargs))
    if kept is None:
        return
    call = Call(*kept)
    if method:
        # The object is held, so that its id stays its own.
        _, calls = lives.setdefault(id(args[0]), (args[0], []))
        if len(calls) == STEPS:
            return
        call = Call([*calls, call][0].args[:1] + call.args[1:], call.kwargs, tuple(calls))
        calls.append(call)
        if len(lives) > KEPT:
            del lives[next(iter(lives))]
    records.append(call)
    execution.append(call)
    if len(execution) > KEPT:
        del execution[0]
    if len(records) - began[0] > KEPT:
        del records[began[0] + KEPT // 2]


def a_test_begins():
    """From here on, calls are those of another test."""
    began[:] = [len(records)]


def a_test_ends(most):
    """Of its calls, keep so many, the first and the last ones: so calls of every test are left."""
    own, half = records[began[0]:], most // 2
    if len(own) > most:
        records[began[0]:] = own[:half] + own[-half:]


def snapshot(arguments):
    """A copy of arguments that no later call changes; None if there can be none, or a huge one."""
    args, kwargs = arguments
    try:
        if all(isinstance(a, SIMPLE) for a in (*args, *kwargs.values())):    # the quick way
            words = {key: _copied(value) for key, value in kwargs.items()}
            return tuple(map(_copied, args)), words
        return copy.deepcopy(arguments, _tensors(arguments))
    except Exception:    # an object that cannot be copied, of whatever kind
        return None


def _copied(value):
    if getattr(value, "size", 0) > LARGEST:
        raise MemoryError
    return value.copy() if isinstance(value, np.ndarray) else value


def _tensors(arguments):
    """A memo for deepcopy: a tensor with a history stays itself, a leaf's copy keeps its gradient,
    and the generator of a copied module draws what the module's own would have drawn.

    Raises MemoryError if there are too many numbers in the arguments.
    """
    memo, stack, seen, total = {}, [arguments], set(), 0
    while stack:
        item = stack.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        if hasattr(item, "edges"):
            memo[id(item)] = item if item.edges else copy.deepcopy(item)
            memo[id(item)].grad = item.grad
            item = item.data
        if isinstance(item, np.random.Generator):
            memo[id(item)] = copy.deepcopy(item)
        if isinstance(item, np.ndarray):
            total += item.size
        stack.extend(_inside(item))
    if total > LARGEST:
        raise MemoryError
    return memo


def _inside(item):
    """What a container, a list's iterator or an object of the library holds."""
    if isinstance(item, (list, tuple, set)):
        return list(item)
    if isinstance(item, type(iter([]))):
        return list(copy.copy(item))
    if isinstance(item, dict):
        return list(item.values())
    return list(vars(item).values()) if type(item).__module__.startswith("tinyml.") and hasattr(
        item, "__dict__") else []


def plain(name, value, depth=0):
    """The value, with functions in it guarded too; raises TypeError if not all of it is plain."""
    if isinstance(value, (np.ndarray, np.generic)) and value.dtype.hasobject or depth > 20:
        raise TypeError(f"{name}: the result must hold numbers, got an array of objects")
    if type(value) in PLAIN or isinstance(value, np.generic) and type(value).__module__ == "numpy":
        return value
    if isinstance(value, np.ndarray):
        raise TypeError(f"{name}: the result must be a plain array, got a {type(value).__name__}")
    if type(value) in (tuple, list):
        return type(value)(plain(name, item, depth + 1) for item in value)
    if type(value) is dict:
        return {key: plain(name, item, depth + 1) for key, item in value.items()}
    if isinstance(value, types.GeneratorType):
        return (plain(name, item, depth + 1) for item in value)
    if isinstance(value, types.FunctionType):
        return _guarded(name, value)
    if _of_the_library(type(value)):
        return value
    raise TypeError(f"{name}: the result must be made of arrays, numbers and the library's own "
                    f"objects, got {type(value).__name__}")


def _guarded(name, function):
    @functools.wraps(function)
    def guarded(*args, **kwargs):
        return plain(name, unwritten(name, function, args, kwargs))
    return guarded


def _of_the_library(kind):
    """Whether a class is what it says it is: one of a module of the library or of Python."""
    module = sys.modules.get(kind.__module__)
    packages = {"tinyml", "functools", "collections", "numpy", "builtins"}
    return (kind.__module__.partition(".")[0] in packages
            and vars(module).get(kind.__qualname__) is kind)
