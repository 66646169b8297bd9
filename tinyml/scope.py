"""What is switched on and off for a block of code: recording, and who watches the graph.

    with no_grad():          @no_grad()
        ...                  def evaluate(model): ...
"""
import functools
import inspect
import threading
from contextlib import contextmanager


class _Mode(threading.local):
    recording = True     # False inside `no_grad`
    watcher = None       # set by `tinyml.debug.detect_anomaly`


mode = _Mode()    # each thread has its own values


def scope(function):
    """Make a context manager and decorator of a generator function that yields once.

    Like `contextlib.contextmanager`, but one object may be entered several times, one block inside
    another or one after the other, and by several threads: each entry runs the function anew.
    """
    @functools.wraps(function)
    def make(*args, **kwargs):
        try:
            function(*args, **kwargs)    # a generator that never runs: do the arguments fit?
        except TypeError as error:
            raise TypeError(f"{function.__name__}: {error}; as a decorator write "
                            f"@{function.__name__}(...), with brackets") from None
        return _Scope(function.__name__, lambda: entry(*args, **kwargs))
    entry = contextmanager(function)
    return make


class _Scope(threading.local):
    """The context manager and decorator that `scope` makes; each thread has its own entries."""

    def __init__(self, name, enter):
        self.name, self.enter, self.entered = name, enter, []

    def __enter__(self):
        block = self.enter()
        value = block.__enter__()
        self.entered.append(block)
        return value

    def __exit__(self, *error):
        return self.entered.pop().__exit__(*error)

    def __call__(self, function):
        later = inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
        if not callable(function) or inspect.isclass(function) or later:
            self._refuse(function)
        if inspect.isgeneratorfunction(function):
            return self._steps(function)

        @functools.wraps(function)
        def inside(*args, **kwargs):
            with self:
                result = function(*args, **kwargs)
            if inspect.isgenerator(result) or inspect.isawaitable(result):
                self._refuse(function)    # nothing has run yet
            return result
        return inside

    def _steps(self, function):
        """A generator function whose steps run inside the block; its caller's code does not."""
        @functools.wraps(function)
        def steps(*args, **kwargs):
            generator, sent = function(*args, **kwargs), None
            try:
                while True:
                    with self:
                        value = generator.send(sent)
                    sent = yield value
            except StopIteration as end:
                return end.value
            finally:
                generator.close()
        return steps

    def _refuse(self, function):
        raise TypeError(f"{self.name}: the decorated function must compute its result when it is "
                        f"called, got {function!r}, whose lines run later; write "
                        f"`with {self.name}(...):` around these lines")
