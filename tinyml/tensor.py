"""The engine: an array that remembers how it was computed, and the walk back through that memory.

Forward, a `primitive` computes y = f(x_1, ..., x_k) on arrays. It stores an edge (x_i, vjp_i) on y
for every argument that requires a gradient, where vjp_i is the *vector-Jacobian product*

    vjp_i(g) = (dy/dx_i)' g,       g = dL/dy.

It turns the gradient of the result into the share that x_i gets from this y. Backward, `walk` goes
through the tensors from the newest to the oldest and gives to each of them

    dL/dx = sum of vjp(dL/dy) over every y that has x as an argument, once for each use.

This is reverse-mode differentiation (Griewank and Walther 2008, section 3.2). No topological sort
is needed: tensors are numbered as they are made, and *an operation can only use tensors that
already exist*. From newest to oldest, a tensor comes after everything computed from it, so its
gradient is complete. `Tensor`, `walk`, `primitive`, `unbroadcast` are the whole idea; helpers
follow.
"""
import functools
import inspect
import itertools
from heapq import heappop, heappush

import numpy as np

from tinyml.explain import explained, not_one_vjp_each
from tinyml.operators import Operators
from tinyml.protocols import Protocols
from tinyml.scope import mode, scope
from tinyml.sums import add_up, wide

_next_serial = itertools.count().__next__


class Tensor(Operators, Protocols):
    """An n-dimensional array that can carry a gradient.

    Parameters
    ----------
    data : array_like of real numbers
        Floating arrays keep their dtype and are not copied; all else becomes float32.
    requires_grad : bool, whether `backward` leaves a gradient here

    Attributes
    ----------
    data : ndarray
        To change a value, bind a new array (``p.data = p.data - lr * p.grad``): results computed
        before may still need the old one.
    grad : ndarray of the shape and dtype of data, or None
        Read-only, because it may share memory with another gradient; to change it, bind a new
        array.
    op : str or None, the operation that made it; None for a *leaf*, which no operation made
    edges : list of (Tensor, vjp), one per argument that requires a gradient; the empty tuple
        if none
    serial : int, larger for tensors made later

    Examples
    --------
    >>> x = Tensor([1.0, 2.0], requires_grad=True)
    >>> (x ** 2).sum().backward()
    >>> x.grad
    array([2., 4.], dtype=float32)
    """
    __slots__ = ("data", "grad", "requires_grad", "op", "edges", "serial", "__weakref__")

    def __init__(self, data, requires_grad=False):
        _check_new(data, requires_grad)
        self.data, self.grad, self.requires_grad = as_float(data), None, requires_grad
        self.op, self.edges, self.serial = None, (), _next_serial()

    def backward(self, gradient=None):
        """Add dL/dx to the `grad` of every leaf x that this tensor L was computed from.

        The walk starts from the array `gradient`; None means 1 and needs an L of one element.
        Gradients *accumulate*: a leaf used twice gets the sum over its uses, and a second call
        adds its gradients to those of the first. So call ``optimizer.zero_grad()``, or set
        ``x.grad = None``, before each new step.
        """
        for tensor, g in walk(self, _start(self, gradient)):
            if not tensor.edges:
                leaf_gradient = g if tensor.grad is None else np.asarray(tensor.grad + g)
                tensor.grad = leaf_gradient.view()    # a view: g itself is not locked
                tensor.grad.setflags(write=False)


def walk(root, gradient):
    """Yield (tensor, its gradient) for `root` and every tensor that it was computed from.

    Each tensor comes once: those with edges by falling `serial`, then the leaves in any order.
    The walk starts from the array `gradient`, dL/d(root).

    For each edge (parent, vjp) of a tensor with gradient g, vjp(g) is added to the parent's
    gradient, in the parent's shape and dtype (`_conform`). The sum is never made in place, because
    a vjp may return g itself. A `mode.watcher`, if there is one, gets each part in
    ``watcher.passed_back(tensor, parent, part)``.
    """
    grads, queue = {root: gradient}, [(-root.serial, root)]    # a heap: the newest comes out first
    watcher = mode.watcher
    while queue:
        _, tensor = heappop(queue)
        g = grads.pop(tensor)
        yield tensor, g
        for parent, vjp in tensor.edges:
            part = _conform(vjp(g), parent, tensor)
            if watcher is not None:
                watcher.passed_back(tensor, parent, part)
            if parent in grads:
                grads[parent] = np.asarray(grads[parent] + part)    # 0-d: NumPy returns a scalar
            else:
                grads[parent] = part
                if parent.edges:    # a leaf has nothing to pass on
                    heappush(queue, (-parent.serial, parent))
    yield from grads.items()


def primitive(f):
    """Turn a NumPy function that returns its value and its vjps into an operation on tensors.

    Parameters
    ----------
    f : function (*arrays, **metadata) -> (value, vjps)
        `value` is an array, `vjps` a tuple with one vjp per positional argument. A vjp may ignore
        broadcasting (see `unbroadcast`), must not write to g, and closes over arrays, never over
        tensors. For float32 arguments, f must return float32. A vjp may deliberately differ from
        the true derivative, as for rounding (`tinyml.ops.straight_through`).

    Returns
    -------
    function (*tensors or constants, **metadata) -> Tensor
        A constant (a number, list or array) takes the dtype of the first tensor among the
        arguments; two tensors follow NumPy's promotion. Numbers alone become float32.

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
        arrays = []
        for x in args:
            if not isinstance(x, Tensor):    # then all arguments are converted, once
                args = _tensors_and_constants(args, name, may_be_none)
                arrays = [x.data if isinstance(x, Tensor) else x for x in args]
                break
            arrays.append(x.data)
        if metadata:
            _check_metadata(metadata, name)
        try:
            value, vjps = f(*arrays, **metadata)
        except (ValueError, TypeError, IndexError, AttributeError, OverflowError) as error:
            raise explained(error, name, arrays, metadata) from None
        if type(vjps) is not tuple or len(vjps) < len(args):
            raise not_one_vjp_each(name, args, vjps)
        y = Tensor.__new__(Tensor)    # __new__: skips the checks of __init__
        y.data = value if type(value) is np.ndarray else np.asarray(value)
        edges = []
        if mode.recording:
            for x, vjp in zip(args, vjps):
                if isinstance(x, Tensor) and x.requires_grad:
                    edges.append((x, vjp))
        y.grad, y.op, y.serial = None, name, _next_serial()
        y.edges, y.requires_grad = edges or (), bool(edges)
        if mode.watcher is not None:
            mode.watcher.created(y, arrays)
        return y
    return op


def unbroadcast(g, shape):
    """Undo broadcasting: sum `g` down to `shape`, the adjoint of ``np.broadcast_to``.

    Parameters
    ----------
    g : ndarray, a gradient in the shape that broadcasting `shape` gave
    shape : tuple of int, the shape before broadcasting

    Returns
    -------
    ndarray, shape `shape` : g summed over the axes that NumPy added in front and over those that
        it stretched from length 1 (if to length 0, the sum is 0)

    Raises
    ------
    ValueError : `shape` does not broadcast to ``g.shape``
    """
    original, added = g.shape, g.ndim - len(shape)
    g = g.astype(wide(g.dtype), copy=False)
    if added > 0:
        g = add_up(g, tuple(range(added)))
    stretched = tuple(i for i, n in enumerate(shape) if n == 1 and g.ndim > i and g.shape[i] != 1)
    if stretched:
        g = add_up(g, stretched, keepdims=True)
    if g.shape != shape:
        raise ValueError(f"unbroadcast: g must have a shape that {shape} broadcasts to, "
                         f"got {original}")
    return g


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


# ---- helpers: dtypes and shapes

def as_float(data, dtype=None, *, name="Tensor"):
    """The array of `data` with a floating dtype, or TypeError if it does not hold real numbers.

    With `dtype`: that one. Otherwise floating arrays keep theirs, and all else becomes float32.
    `name` is the function that errors name.
    """
    if isinstance(data, Tensor):
        data = data.data
    if dtype is None and type(data) is np.ndarray and data.dtype.kind == "f":    # quick, for most
        return data
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


def as_tensor(x, name="Tensor"):
    """x if it is a Tensor, x.__tensor__() if it has that method, else a constant Tensor of x.

    `name` is the function that errors name.
    """
    if isinstance(x, Tensor):
        return x
    return x.__tensor__() if hasattr(x, "__tensor__") else Tensor(as_float(x, name=name))


def _conform(g, parent, user):
    """g in the shape and dtype of `parent`; `user`, computed from it, is named in errors."""
    data = parent.data
    if type(g) is np.ndarray and g.dtype is data.dtype and g.shape == data.shape:    # as a rule
        return g
    g = np.asarray(g)    # 0-d: NumPy returns a scalar
    if g.shape != data.shape:
        try:
            g = unbroadcast(g, data.shape)
        except ValueError:
            raise ValueError(f"{user.op}: its vjp must return the shape of its argument "
                             f"{data.shape}, got {g.shape}") from None
    return np.asarray(g, data.dtype)


# ---- helpers: the arguments of operations

def _may_be_none(f):
    """Whether an argument of f may be left out, such as a bias; f(*args) decides itself."""
    parameters = inspect.signature(f).parameters.values()
    return any(p.kind is p.VAR_POSITIONAL
               or p.kind is p.POSITIONAL_OR_KEYWORD and p.default is None for p in parameters)


def _tensors_and_constants(args, name, may_be_none):
    """The arguments, each a Tensor or a constant; what has the method __tensor__ computes one."""
    args = [x.__tensor__() if not isinstance(x, Tensor) and hasattr(x, "__tensor__") else x
            for x in args]
    dtype = next((x.data.dtype for x in args if isinstance(x, Tensor)), None)
    if dtype is None and all(type(x) in (float, int) for x in args):
        return [as_float(x) for x in args]    # no array that the numbers could fit to
    constants = []
    for x in args:
        # NumPy 2 fits a Python number to the dtype of the array it meets
        as_it_is = isinstance(x, Tensor) or type(x) in (float, int) or x is None and may_be_none
        constants.append(x if as_it_is else as_float(x, dtype, name=name))
    return constants


def _check_metadata(metadata, name):
    """Refuse tensors; make Python numbers of NumPy's: float32 times np.float64(2) is float64."""
    for key, value in metadata.items():
        if isinstance(value, Tensor):
            raise _tensor_as_metadata(key, name)
        if isinstance(value, (np.generic, np.ndarray)) and value.ndim == 0:
            numbers = "iuf" if isinstance(value, np.generic) else "f"
            metadata[key] = value.item() if value.dtype.kind in numbers else value


def _tensor_as_metadata(key, name):
    if key == "index":
        return TypeError("getitem: index must hold integers or bool, got a Tensor, which holds "
                         "floats; write x[index.data.astype(int)], or x[x.data > 0]")
    return TypeError(f"{name}: a tensor must be a positional argument, got {key}=Tensor; a "
                     "gradient flows to positional arguments only")


# ---- helpers: checks of Tensor's methods

def _check_new(data, requires_grad):
    """Refuse what Tensor(data, requires_grad) cannot be."""
    if not isinstance(requires_grad, (bool, np.bool_)):
        raise TypeError(f"Tensor: requires_grad must be True or False, got {requires_grad!r}; "
                        "for another dtype write Tensor(np.asarray(data, dtype))")
    if isinstance(data, Tensor) and data.requires_grad and mode.recording:
        raise TypeError("Tensor: a copy would lose the gradient of data; write x itself, or "
                        "x.detach() for a constant")


def _start(root, gradient):
    """The gradient dL/d(root) that `backward` starts from: ones, or a copy of the one given."""
    if not root.requires_grad:
        raise RuntimeError("backward: the tensor must depend on one with requires_grad=True, got "
                           f"{root!r}; write Tensor(data, requires_grad=True), outside no_grad()")
    if gradient is None:
        if root.data.size != 1:
            raise ValueError(f"backward: the tensor must be a scalar, got shape {root.shape}; "
                             "write loss.mean().backward(), or pass gradient=array of that shape")
        one = np.array(1, root.data.dtype)    # np.ones takes several times as long
        return one.reshape(root.data.shape)
    g = as_float(gradient, root.data.dtype, name="backward").copy()    # ours from here on
    if g.shape != root.shape:
        raise ValueError(f"backward: gradient must have shape {root.shape}, got {g.shape}")
    return g


# Speed only: allocating and freeing almost 32 MB once, the most that counts, makes glibc keep up
# to 64 MB of freed memory for the next step, instead of returning it and paying for every page
# anew (mallopt(3), M_MMAP_THRESHOLD). No page of this block is ever touched.
np.empty(2 ** 25 - 2 ** 13, np.uint8)
