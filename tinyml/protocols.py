"""What a `Tensor` answers to Python's own functions, to NumPy's, and to what it refuses.

Such as float(x), len(x), copy.deepcopy(x), np.exp(x), x += 1, x.numpy(). Where an answer would
lose a gradient, or change a value that a gradient needs, an error says what to write instead.
"""
import numpy as np

import tinyml
from tinyml.operators import array_of
from tinyml.phrasebook import WRITE
from tinyml.scope import mode

# What NumPy tells about a tensor from its shape and dtype alone.
OF_THE_SHAPE = {"shape", "ndim", "size", "zeros_like", "ones_like", "empty_like", "full_like",
                "result_type"}
# Answers without a gradient: bool and indices.
OF_NO_SLOPE = {"isnan", "isinf", "isfinite", "signbit", "equal", "not_equal", "less", "less_equal",
               "greater", "greater_equal", "array_equal", "argmax", "argmin", "argsort",
               "shares_memory"}
OPERATORS = {np.add: "add", np.subtract: "sub", np.multiply: "mul", np.divide: "div",
             np.power: "power", np.matmul: "matmul"}


def _refuse(message):
    def method(self, *args):
        raise TypeError("Tensor: " + message)
    return method


def _refuse_in_place(sign):
    return _refuse(f"x {sign}= y is refused, results computed before may need x; "
                   f"write x = x {sign} y")


class Protocols:
    """Python's and NumPy's protocols, answered or refused; a base class of `Tensor`."""
    __slots__ = ()

    def __repr__(self):
        values = np.array2string(self.data, threshold=20, precision=4, separator=", ",
                                 prefix="Tensor(")
        made = ", requires_grad=True" if self.requires_grad else ""
        if self.op:
            made = f", op={self.op}"
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
        return bool((self.data == array_of(value)).any())

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __float__(self):    # math.exp(x), round(x) and "%f" % x call it too
        if self.requires_grad and mode.recording:
            raise TypeError("Tensor: a Python number would lose the gradient; write x.item() for "
                            "the number, or the method, such as x.exp() for math.exp(x)")
        return float(self.item())

    def __int__(self):
        return int(float(self))

    def __bool__(self):
        if self.data.size != 1:
            raise ValueError("Tensor: the truth of many elements is ambiguous, got shape "
                             f"{self.shape}; write (x.data > 0).any() or (x.data > 0).all()")
        return bool(self.data)

    def __array__(self, dtype=None, copy=None):
        if self.requires_grad:
            raise TypeError("Tensor: NumPy cannot carry a gradient; write x.data for the array, "
                            "tinyml.stack(list) for tensors in a list, or the function of this "
                            "name in tinyml.ops")
        return np.array(self.data, dtype=dtype, copy=copy)

    def __array_ufunc__(self, ufunc, method, *inputs, **options):
        """array * tensor is a Tensor; NumPy's other functions take constants only."""
        if method == "__call__" and ufunc in OPERATORS and not options:
            return getattr(tinyml.ops, OPERATORS[ufunc])(*inputs)
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
        if name in WRITE or hasattr(tinyml.ops, name):
            message += f"; write {_write(name)}"
        elif in_place and (in_place in WRITE or hasattr(tinyml.Tensor, in_place)):
            message += (", results computed before may need x; "
                        f"write x = {_write(in_place)}")
        elif hasattr(np, name) or hasattr(np.ndarray, name):
            message += f"; write x.data.{name} or np.{name}(x.data), which have no gradient"
        raise AttributeError(message, name=name, obj=self)

    __setitem__ = _refuse("x[i] = v would change a value that a gradient may need; write "
                          "y = tinyml.where(mask, v, x), or build y with tinyml.concatenate")
    __iadd__, __isub__ = _refuse_in_place("+"), _refuse_in_place("-")
    __imul__, __itruediv__ = _refuse_in_place("*"), _refuse_in_place("/")
    __ipow__, __imatmul__ = _refuse_in_place("**"), _refuse_in_place("@")

    __round__ = _refuse("round(x) has no gradient; write round(x.item(), n), or "
                        "tinyml.ops.round_ste(x)")
    __floordiv__ = __rfloordiv__ = _refuse("x // y has no gradient; write x.data // y")
    __mod__ = __rmod__ = _refuse("x % y has no gradient; write x.data % y")
    __divmod__ = __rdivmod__ = _refuse("divmod(x, y) has no gradient; write divmod(x.data, y)")
    __and__ = __rand__ = _refuse("x & y needs bool; write (x.data > 0) & (y.data > 0)")
    __or__ = __ror__ = _refuse("x | y needs bool; write (x.data > 0) | (y.data > 0)")
    __invert__ = _refuse("~x needs bool; write ~(x.data > 0)")


def _of_numpy(function, name, args, options):
    """A function of NumPy on the arrays of tensors, unless it would lose a gradient."""
    harmless = name in OF_THE_SHAPE or name in OF_NO_SLOPE or not mode.recording
    if not harmless and _holds_gradient([args, options]):
        raise TypeError(f"Tensor: NumPy's {name} would lose the gradient; write {_write(name)}")
    return function(*_arrays(args), **_arrays(options))


def _holds_gradient(x):
    """Whether x, or an entry of a list, tuple or dict, is a tensor that requires a gradient."""
    if isinstance(x, dict):
        x = list(x.values())
    if isinstance(x, (list, tuple)):
        return any(map(_holds_gradient, x))
    return isinstance(x, tinyml.Tensor) and x.requires_grad


def _arrays(x):
    """x with arrays in place of tensors, also in lists, tuples and dicts."""
    if isinstance(x, list):
        return list(map(_arrays, x))
    if isinstance(x, tuple):
        return tuple(map(_arrays, x))
    if isinstance(x, dict):
        return {key: _arrays(value) for key, value in x.items()}
    return array_of(x)


def _write(name):
    """What to write for a function of this name."""
    if name in WRITE:
        return WRITE[name]
    if hasattr(tinyml.Tensor, name):
        return f"x.{name}()"
    if hasattr(tinyml.ops, name):
        return f"tinyml.ops.{name}(x)"
    return "x.data for the array, which has no gradient"
