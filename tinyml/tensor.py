"""The engine: an array that remembers how it was computed, and the walk back through that memory.

Forward, `primitive` runs y = f(x_1, ..., x_k) on arrays and hangs an edge (x_i, vjp_i) on y for every
argument that wants a gradient. Backward, `walk` meets the tensors newest first and hands each one

    dL/dx_i = sum over the users y of x_i of  vjp_i(dL/dy),      vjp_i(g) = (dy/dx_i)^T g

which is reverse-mode differentiation (Griewank and Walther 2008, section 3.2). Nothing else is needed:
tensors are numbered as they are made, *an operation can only use tensors that already exist*, so from
newest to oldest every tensor is met after all its users, and its gradient is complete.
"""
import functools
import inspect
import itertools
import threading
from contextlib import contextmanager
from heapq import heappop, heappush

import numpy as np

from tinyml.phrasebook import WRITE, check_keywords, numpy_words


class _Mode(threading.local):
    recording = True     # False inside `no_grad`
    watcher = None       # set by `tinyml.debug.detect_anomaly`


# glibc gives the memory of a finished step back to the system, and the next step pays for every page anew.
# Once it has seen a block of this size freed, it keeps as much (mallopt(3), M_MMAP_THRESHOLD). No page of
# this one is ever touched.
np.empty(2 ** 24, np.uint8)

mode = _Mode()
_next_serial = itertools.count().__next__


def as_float(data, dtype=None, *, name="Tensor"):
    """The array of `data` with a floating dtype: its own if it has one, else float32, or `dtype`.

    Raises TypeError if `data` does not hold real numbers; `name` is the function the error names.
    """
    if isinstance(data, Tensor):
        data = data.data
    try:
        array = np.asarray(data)
    except ValueError as error:
        raise ValueError(f"{name}: data must be a regular array, got {error}") from None
    if array.dtype.kind not in "biuf":
        kind = None if data is None else f"{type(data).__name__} of dtype {array.dtype}"
        raise TypeError(f"{name}: data must hold real numbers, got {kind}")
    if dtype is None:
        keeps = array.dtype.kind == "f" and isinstance(data, (np.ndarray, np.generic))
        dtype = array.dtype if keeps else np.float32
    return array.astype(dtype, copy=False)


def primitive(f):
    """Make a differentiable operation of a NumPy function that returns its value and its vjps.

    Parameters
    ----------
    f : function (*arrays, **metadata) -> (value, vjps)
        `value` is an ndarray, `vjps` a tuple with one function per positional argument: from the
        gradient g of the value to the gradient of that argument. A vjp may ignore broadcasting
        (see `unbroadcast`), must not write to g, and closes over arrays, never over tensors. It
        need not be true: a straight-through estimator is a primitive whose vjp says otherwise.
        float32 stays float32, in the value and in every vjp.

    Returns
    -------
    function (*tensors or constants, **metadata) -> Tensor
        A constant (a number, list or array) takes the dtype of the first tensor it meets, so that
        float32 stays float32; two tensors follow NumPy's promotion.

    Examples
    --------
    >>> @primitive
    ... def double(x):
    ...     return 2 * x, (lambda g: 2 * g,)
    >>> double(Tensor([1.0, 2.0])).data
    array([2., 4.], dtype=float32)
    """
    name, may_be_none = f.__name__.lstrip("_"), _may_be_none(f)

    @functools.wraps(f)
    def op(*args, **metadata):
        try:
            arrays = [a.data if isinstance(a, Tensor) else _constant(a, args, name, may_be_none)
                  for a in args]
        except _Computed:    # an argument is a module that computes a tensor
            return op(*(a.__tensor__() if hasattr(a, "__tensor__") else a for a in args), **metadata)
        if metadata:
            _check_metadata(metadata, name)
        try:
            value, vjps = f(*arrays, **metadata)
        except (ValueError, IndexError, AttributeError, TypeError) as error:
            raise _explained(error, name, arrays, metadata) from None
        if type(vjps) is not tuple or len(vjps) < len(args):
            raise TypeError(f"{name}: a primitive must return its value and a tuple of {len(args)} "
                            f"vjps, one per argument, got {vjps!r}")
        out = Tensor.__new__(Tensor)
        out.data = value if type(value) is np.ndarray else np.asarray(value)
        out.grad, out.op, out.serial = None, name, _next_serial()
        out.edges = [(a, vjp) for a, vjp in zip(args, vjps)
                     if isinstance(a, Tensor) and a.requires_grad] if mode.recording else ()
        out.requires_grad = bool(out.edges)
        if mode.watcher is not None:
            mode.watcher.created(out, arrays)
        return out
    return op


class _Computed(Exception):
    """An argument is no tensor, but has the method ``__tensor__`` that gives one."""


def _may_be_none(f):
    """Whether an argument of f may be left out, as a bias; f(*args) decides itself."""
    parameters = inspect.signature(f).parameters.values()
    return any(p.kind is p.VAR_POSITIONAL or p.kind is p.POSITIONAL_OR_KEYWORD and p.default is None
               for p in parameters)


def _constant(value, args, name, may_be_none):
    if type(value) in (float, int) or value is None and may_be_none:
        return value    # NumPy 2 fits a Python number to the dtype of the array it meets
    if hasattr(value, "__tensor__"):
        raise _Computed
    dtype = next((a.data.dtype for a in args if isinstance(a, Tensor)), None)
    return as_float(value, dtype, name=name)


def _check_metadata(metadata, name):
    for key, value in metadata.items():
        if isinstance(value, Tensor) and key == "index":
            raise TypeError("getitem: index must hold integers or bool, got a Tensor, which holds "
                            "floats; write x[index.data.astype(int)], or x[x.data > 0]")
        if isinstance(value, Tensor):
            raise TypeError(f"{name}: a tensor must be a positional argument, got {key}=Tensor; "
                            "a gradient flows to positional arguments only")
        if isinstance(value, np.generic) and value.dtype.kind in "iuf" or (
                type(value) is np.ndarray and value.ndim == 0 and value.dtype.kind == "f"):
            metadata[key] = value.item()    # float32 times np.float64(2) would be float64


def _explained(error, name, arrays, metadata):
    """The error with the name of the operation and the shapes of its arguments in front."""
    if str(error).startswith(name + ":"):
        return error
    if isinstance(error, (AttributeError, TypeError)):
        check_keywords(name, metadata)
        if "argument" in str(error) and f"{name}()" in str(error):    # missing or unexpected
            return error
        strays = [a for a in arrays if type(a) is not np.ndarray]    # a number or None, no array
        if strays:
            write = "x * y for the product with a number" if name == "matmul" else "Tensor([...])"
            return TypeError(f"{name}: arguments must be tensors or arrays with axes, got "
                             f"{strays[0]!r}; write {write}")
    shapes = " and ".join(str(np.shape(a)) for a in arrays if a is not None)
    return type(error)(f"{name}: arguments must fit together, got shapes {shapes or 'of nothing'}; {error}")


def wide(dtype):
    """The dtype to add up in: float32 for float16, where 2048 + 1 is 2048; else its own."""
    return np.float32 if dtype == np.float16 else dtype


def unbroadcast(g, shape):
    """Undo broadcasting: sum `g` down to `shape`, the adjoint of ``np.broadcast_to``.

    Parameters
    ----------
    g : ndarray, a gradient in the shape that broadcasting `shape` gave
    shape : tuple of int, the shape before broadcasting

    Returns
    -------
    ndarray, shape `shape` : g summed over the axes that NumPy added in front and over those that
        it stretched from length 1, to more or to 0 (then the sums are 0)

    Raises
    ------
    ValueError : `shape` does not broadcast to ``g.shape``
    """
    original, added = g.shape, g.ndim - len(shape)
    g = g.astype(wide(g.dtype), copy=False)
    if added > 0:
        g = g.sum(axis=tuple(range(added)))
    stretched = tuple(i for i, n in enumerate(shape) if n == 1 and g.ndim > i and g.shape[i] != 1)
    if stretched:
        g = g.sum(axis=stretched, keepdims=True)
    if g.shape != shape:
        raise ValueError(f"unbroadcast: g must have a shape that {shape} broadcasts to, got {original}")
    return g


def walk(root, gradient):
    """Yield (tensor, its gradient) for `root` and all that it was computed from: newest first, leaves last.

    A tensor has a `serial`, a number that rises as tensors are made, and `edges`, a list of (parent, vjp), one for
    each argument that wants a gradient; a leaf has none. A tensor can be a key of a dict. It passes the part vjp(g)
    of its gradient g back to a parent, brought into the parent's shape and dtype by `_conform`. Parts of the same
    parent add up in new arrays, for a vjp may return its g itself. `mode.watcher`, unless it is None, is told of
    every part, as it comes from `_conform`, by its method ``passed_back(tensor, parent, part)``.

    Parameters
    ----------
    root : Tensor, the output L
    gradient : ndarray, shape of root, dL/d(root)

    Yields
    ------
    Tensor, ndarray of its shape and dtype (also where it has no axes), each tensor once: those with edges by
        falling `serial`, then the leaves in any order
    """
    grads, queue = {root: gradient}, [(-root.serial, root)]    # a heap: the newest comes out first
    watcher = mode.watcher
    while queue:
        _, tensor = heappop(queue)
        g = grads.pop(tensor)
        yield tensor, g
        for parent, vjp in tensor.edges:
            part, data = vjp(g), parent.data
            if type(part) is not np.ndarray or part.shape != data.shape or part.dtype != data.dtype:
                part = _conform(part, parent, tensor)
            if watcher is not None:
                watcher.passed_back(tensor, parent, part)
            if parent in grads:
                grads[parent] = np.asarray(grads[parent] + part)    # of no axes, NumPy's sum is a scalar
            else:
                grads[parent] = part
                if parent.edges:    # a leaf has nothing to pass on
                    heappush(queue, (-parent.serial, parent))
    yield from grads.items()


def _conform(g, parent, user):
    """The gradient `g` in the shape and dtype of its tensor `parent`; `user`, computed from it, is named in errors."""
    g = np.asarray(g)    # NumPy gives scalars where arrays have no axes
    if g.shape != parent.data.shape:
        try:
            g = unbroadcast(g, parent.data.shape)
        except ValueError:
            raise ValueError(f"{user.op}: its vjp must return the shape of its argument "
                             f"{parent.data.shape}, got {g.shape}") from None
    return np.asarray(g, parent.data.dtype)


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
        """A generator function whose every step runs inside; what happens between them does not."""
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


def scope(function):
    """Make a context manager and decorator of a generator function that yields once.

    As `contextlib.contextmanager`, but one object may be entered again, one block in another or one
    after the other, and by several threads: each entry runs the function anew.
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


@scope
def no_grad():
    """Record nothing inside: results have no edges, and memory is freed at once.

    Use it as ``with no_grad():`` or as the decorator ``@no_grad()``. It acts on its own thread.
    """
    before, mode.recording = mode.recording, False
    try:
        yield
    finally:
        mode.recording = before


def as_tensor(x):
    """x itself if it is a Tensor, what it computes if it has ``__tensor__``, else a constant Tensor of it."""
    if isinstance(x, Tensor):
        return x
    return x.__tensor__() if hasattr(x, "__tensor__") else Tensor(x)


def _array(x):
    return x.data if isinstance(x, Tensor) else x


def _refuse(message):
    def method(self, *args):
        raise TypeError("Tensor: " + message)
    return method


class _Size(int):
    """The number of entries. PyTorch's size() is the shape: whoever calls this one is told."""

    def __call__(self, *axis):
        raise TypeError("Tensor: size is a number; write x.size, or x.shape for the lengths of "
                        "the axes")


# What NumPy says of a tensor that carries a gradient without looking at its values.
_OF_THE_SHAPE = {"shape", "ndim", "size", "zeros_like", "ones_like", "empty_like", "full_like",
                 "result_type"}
# Answers without a gradient: bool and indices.
_OF_NO_SLOPE = {"isnan", "isinf", "isfinite", "signbit", "equal", "not_equal", "less", "less_equal",
                "greater", "greater_equal", "array_equal", "argmax", "argmin", "argsort",
                "shares_memory"}
_OPERATORS = {np.add: "add", np.subtract: "sub", np.multiply: "mul", np.divide: "div",
              np.power: "power", np.matmul: "matmul"}


def _write(name):
    """What to write for a function of this name."""
    if name in WRITE:
        return WRITE[name]
    if hasattr(Tensor, name):
        return f"x.{name}()"
    if hasattr(ops, name):
        return f"tinyml.ops.{name}(x)"
    return "x.data for the array, which has no gradient"


def _arrays(x):
    """x with arrays in place of tensors, also in lists, tuples and dicts."""
    if isinstance(x, (list, tuple)):
        return (list if isinstance(x, list) else tuple)(map(_arrays, x))
    return {key: _arrays(value) for key, value in x.items()} if isinstance(x, dict) else _array(x)


def _holds_gradient(x):
    """Whether x, or an entry of a list, tuple or dict, is a tensor that requires a gradient."""
    if isinstance(x, (list, tuple, dict)):
        return any(map(_holds_gradient, x.values() if isinstance(x, dict) else x))
    return isinstance(x, Tensor) and x.requires_grad


def _of_numpy(function, name, args, options):
    """A function of NumPy on the arrays of tensors, unless it would lose a gradient."""
    harmless = name in _OF_THE_SHAPE or name in _OF_NO_SLOPE or not mode.recording
    if not harmless and _holds_gradient([args, options]):
        raise TypeError(f"Tensor: NumPy's {name} would lose the gradient; write {_write(name)}")
    return function(*_arrays(args), **_arrays(options))


class Tensor:
    """An n-dimensional array that can carry a gradient.

    Parameters
    ----------
    data : array_like of real numbers
        Floating arrays keep their dtype and are not copied; integers, booleans and lists become
        float32.
    requires_grad : bool, whether `backward` leaves a gradient here

    Attributes
    ----------
    data : ndarray
        To change a value, bind a new array (``p.data = p.data - lr * p.grad``): results computed
        before may still need the old one.
    grad : ndarray of the shape and dtype of data, or None
        Read-only, for it may share memory with another gradient; bind a new one to change it.
    requires_grad : bool
    op : str or None, the operation that made it
    edges : list of (Tensor, vjp), one per argument that wants a gradient

    Raises
    ------
    TypeError : `data` does not hold real numbers, or is a Tensor whose gradient would be lost

    Examples
    --------
    >>> x = Tensor([1.0, 2.0], requires_grad=True)
    >>> (x ** 2).sum().backward()
    >>> x.grad
    array([2., 4.], dtype=float32)
    """
    __slots__ = ("data", "grad", "requires_grad", "op", "edges", "serial", "__weakref__")

    def __init__(self, data, requires_grad=False):
        if not isinstance(requires_grad, (bool, np.bool_)):
            raise TypeError(f"Tensor: requires_grad must be True or False, got {requires_grad!r}; "
                            "for another dtype write Tensor(np.asarray(data, dtype))")
        if isinstance(data, Tensor) and data.requires_grad and mode.recording:
            raise TypeError("Tensor: a copy would lose the gradient of data; write x itself, or "
                            "x.detach() for a constant")
        self.data = as_float(data)
        self.grad, self.requires_grad = None, requires_grad
        self.op, self.edges, self.serial = None, (), _next_serial()

    def backward(self, gradient=None):
        """Add dL/dx to the `grad` of every leaf x that this tensor L was computed from.

        A leaf is a tensor that no operation made. Gradients *accumulate*: a leaf used twice gets the
        sum over its uses, and for the same reason a second call adds the gradients once more. So
        call ``optimizer.zero_grad()`` (or set ``x.grad = None``) before each new step.

        Parameters
        ----------
        gradient : array_like, shape of self, or None
            dL/d(self) to start from; None means 1 and needs a tensor of one element.

        Raises
        ------
        ValueError : self has more than one element and no `gradient`, or their shapes differ
        RuntimeError : nothing that self was computed from requires a gradient
        """
        if not self.requires_grad:
            raise RuntimeError("backward: the tensor must depend on one with requires_grad=True, got "
                               f"{self!r}; write Tensor(data, requires_grad=True), outside no_grad()")
        if gradient is None and self.data.size != 1:
            raise ValueError(f"backward: the tensor must be a scalar, got shape {self.shape}; write "
                             "loss.mean().backward(), or pass gradient=array of that shape")
        g = np.ones(self.shape, self.dtype) if gradient is None else as_float(
            gradient, self.data.dtype, name="backward").copy()    # the caller may change his own
        if g.shape != self.shape:
            raise ValueError(f"backward: gradient must have shape {self.shape}, got {g.shape}")
        for tensor, g in walk(self, g):
            if not tensor.edges:
                tensor.grad = (g if tensor.grad is None else np.asarray(tensor.grad + g)).view()
                tensor.grad.setflags(write=False)

    def detach(self):
        """The same array as a constant: no gradient flows through it."""
        return Tensor(self.data)

    def item(self):
        """The value of a tensor of one element as a Python number."""
        if self.data.size != 1:
            raise ValueError(f"item: the tensor must have one element, got shape {self.shape}")
        return self.data.item()

    shape = property(lambda self: self.data.shape)
    ndim = property(lambda self: self.data.ndim)
    size = property(lambda self: _Size(self.data.size))
    dtype = property(lambda self: self.data.dtype)
    T = property(lambda self: ops.transpose(self))

    def __repr__(self):
        values = np.array2string(self.data, threshold=20, precision=4, separator=", ", prefix="Tensor(")
        made = f", op={self.op}" if self.op else ", requires_grad=True" if self.requires_grad else ""
        return f"Tensor({values}, shape={self.shape}, dtype={self.dtype}{made})"

    def __format__(self, spec):
        """f"{loss:.3f}" formats the one number; f"{x}" is str(x)."""
        if not spec:
            return str(self)
        if self.data.size != 1:
            raise TypeError(f"Tensor: a format needs one element, got {spec!r} for shape "
                            f"{self.shape}; write np.array2string(x.data, precision=3)")
        return format(self.item(), spec)

    def __deepcopy__(self, memo):
        self._check_leaf("copy.deepcopy")
        return type(self)(self.data.copy(), requires_grad=self.requires_grad)

    def __reduce__(self):
        self._check_leaf("a copy")
        return type(self), (self.data, self.requires_grad)

    def _check_leaf(self, copy):
        if self.edges:
            raise TypeError(f"Tensor: {copy} of the result of {self.op} would lose its gradient; "
                            "write x itself, no operation writes into it, or x.detach()")

    def __len__(self):
        if self.data.ndim == 0:
            raise TypeError("Tensor: a tensor without axes has no length or entries; write "
                            "x.item()")
        return len(self.data)

    def __contains__(self, value):
        return bool((self.data == _array(value)).any())

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __float__(self):    # math.exp(x), round(x) and "%f" % x come here too
        if self.requires_grad and mode.recording:
            raise TypeError("Tensor: a Python number would lose the gradient; write x.item() for "
                            "the number, or the method, such as x.exp() for math.exp(x)")
        return float(self.item())

    def __int__(self):
        return int(float(self))

    def __bool__(self):
        if self.data.size != 1:
            raise ValueError(f"Tensor: the truth of many elements is ambiguous, got shape {self.shape}; "
                             "write (x.data > 0).any() or (x.data > 0).all()")
        return bool(self.data)

    def __array__(self, dtype=None, copy=None):
        if self.requires_grad:
            raise TypeError("Tensor: NumPy cannot carry a gradient; write x.data for the array, "
                            "tinyml.stack(list) for tensors in a list, or the function of this "
                            "name in tinyml.ops")
        return np.array(self.data, dtype=dtype, copy=copy)

    def __array_ufunc__(self, ufunc, method, *inputs, **options):
        """array * tensor is a Tensor; NumPy's other functions take constants only."""
        if method == "__call__" and ufunc in _OPERATORS and not options:
            return getattr(ops, _OPERATORS[ufunc])(*inputs)
        if "out" in options:
            raise TypeError(f"Tensor: NumPy's {ufunc.__name__} cannot write a tensor into an "
                            "array; write a = a + x for a += x")
        function = ufunc if method == "__call__" else getattr(ufunc, method)
        return _of_numpy(function, ufunc.__name__, inputs, options)

    def __array_function__(self, function, types, args, options):
        return _of_numpy(function, function.__name__, args, options)

    def __getattr__(self, name):
        message = f"Tensor: no attribute {name!r}"
        in_place = name.endswith("_") and name[:-1]
        if name in WRITE or hasattr(ops, name):
            message += f"; write {_write(name)}"
        elif in_place and (in_place in WRITE or hasattr(Tensor, in_place)):
            message += f", results computed before may need x; write x = {_write(in_place)}"
        elif hasattr(np, name) or hasattr(np.ndarray, name):
            message += f"; write x.data.{name} or np.{name}(x.data), which have no gradient"
        raise AttributeError(message, name=name, obj=self)

    __setitem__ = _refuse("x[i] = v would change a value that a gradient may need; write "
                          "y = tinyml.where(mask, v, x), or build y with tinyml.concatenate")
    __iadd__ = _refuse("x += y is refused, results computed before may need x; write x = x + y")
    __isub__ = _refuse("x -= y is refused, results computed before may need x; write x = x - y")
    __imul__ = _refuse("x *= y is refused, results computed before may need x; write x = x * y")
    __itruediv__ = _refuse("x /= y is refused, results computed before may need x; write x = x / y")
    __ipow__ = _refuse("x **= y is refused, results computed before may need x; write x = x ** y")
    __imatmul__ = _refuse("x @= y is refused, results computed before may need x; write x = x @ y")

    __round__ = _refuse("round(x) has no gradient; write round(x.item(), n), or "
                        "tinyml.ops.round_ste(x)")
    __floordiv__ = __rfloordiv__ = _refuse("x // y has no gradient; write x.data // y")
    __mod__ = __rmod__ = _refuse("x % y has no gradient; write x.data % y")
    __divmod__ = __rdivmod__ = _refuse("divmod(x, y) has no gradient; write divmod(x.data, y)")
    __and__ = __rand__ = _refuse("x & y needs bool; write (x.data > 0) & (y.data > 0)")
    __or__ = __ror__ = _refuse("x | y needs bool; write (x.data > 0) | (y.data > 0)")
    __invert__ = _refuse("~x needs bool; write ~(x.data > 0)")

    # Comparisons answer with a Boolean array: there is nothing to differentiate.
    __hash__ = object.__hash__
    def __eq__(self, other): return self.data == _array(other)
    def __ne__(self, other): return self.data != _array(other)
    def __lt__(self, other): return self.data < _array(other)
    def __le__(self, other): return self.data <= _array(other)
    def __gt__(self, other): return self.data > _array(other)
    def __ge__(self, other): return self.data >= _array(other)
    @numpy_words
    def argmax(self, axis=None): return self.data.argmax(axis)

    def __add__(self, other): return ops.add(self, other)
    def __sub__(self, other): return ops.sub(self, other)
    def __mul__(self, other): return ops.mul(self, other)
    def __truediv__(self, other): return ops.div(self, other)
    def __pow__(self, other): return ops.power(self, other)
    def __matmul__(self, other): return ops.matmul(self, other)
    def __radd__(self, other): return ops.add(other, self)
    def __rsub__(self, other): return ops.sub(other, self)
    def __rmul__(self, other): return ops.mul(other, self)
    def __rtruediv__(self, other): return ops.div(other, self)
    def __rpow__(self, other): return ops.power(other, self)
    def __rmatmul__(self, other): return ops.matmul(other, self)
    def __neg__(self): return ops.neg(self)
    def __abs__(self): return ops.abs(self)
    def __getitem__(self, index): return ops.getitem(self, index=index)

    def exp(self): return ops.exp(self)
    def log(self): return ops.log(self)
    def sqrt(self): return ops.sqrt(self)
    def abs(self): return ops.abs(self)
    def tanh(self): return ops.tanh(self)
    def sigmoid(self): return ops.sigmoid(self)
    def relu(self): return ops.relu(self)

    @numpy_words
    def clip(self, low=None, high=None): return ops.clip(self, low=low, high=high)

    @numpy_words
    def sum(self, axis=None, keepdims=False): return ops.sum(self, axis=axis, keepdims=keepdims)
    @numpy_words
    def mean(self, axis=None, keepdims=False): return ops.mean(self, axis=axis, keepdims=keepdims)
    @numpy_words
    def max(self, axis=None, keepdims=False): return ops.max(self, axis=axis, keepdims=keepdims)
    @numpy_words
    def min(self, axis=None, keepdims=False): return ops.min(self, axis=axis, keepdims=keepdims)

    @numpy_words
    def var(self, axis=None, keepdims=False, correction=0):
        return ops.var(self, axis=axis, keepdims=keepdims, correction=correction)

    def reshape(self, *shape):
        return ops.reshape(self, shape=shape[0] if len(shape) == 1 else shape)

    def transpose(self, *axes):
        return ops.transpose(self, axes=axes[0] if len(axes) == 1 else axes or None)

    def swapaxes(self, axis1, axis2): return ops.swapaxes(self, axis1=axis1, axis2=axis2)


from tinyml import ops  # noqa: E402  The one circle: tensors' methods call ops, and ops make tensors.
