"""The base of every layer: an object that finds the parameters among its attributes."""
import copy
import threading

import numpy as np

from tinyml.nn.contents import PLAIN, Owner, held
from tinyml.nn.state import array_of, checked_arrays
from tinyml.tensor import Tensor, scope


class _Active(threading.local):
    hooks = ()    # of the `forward_hook` blocks around us, outermost first


_active = _Active()


@scope
def forward_hook(hook):
    """Inside the block, hook(module, x, y) is called whenever a module has computed y from x.

    So an observer sees every activation of any model, and an experiment can change it; the layers
    know nothing about it. Inner modules come before the module that they are part of.

    Parameters
    ----------
    hook : function (module, x, y) -> None, or a value to replace y
        x is the first positional argument of the call, or None

    >>> from tinyml.nn import Linear, ReLU
    >>> model = Sequential(Linear(2, 3, rng=np.random.default_rng(0)), ReLU())
    >>> with forward_hook(lambda module, x, y: print(type(module).__name__, y.shape)):
    ...     y = model(Tensor(np.ones((5, 2))))
    Linear (5, 3)
    ReLU (5, 3)
    Sequential (5, 3)
    """
    before = _active.hooks
    _active.hooks = (*before, hook)
    try:
        yield
    finally:
        _active.hooks = before


class Parameter(Tensor):
    """A `Tensor` that an optimizer changes: `Module.parameters` finds it among the attributes.

    It is of float32, unless its array is float64, and requires a gradient by default.
    """
    __slots__ = ()

    def __init__(self, data, requires_grad=True):
        super().__init__(data, requires_grad)


class Module(Owner):
    """Base of all layers and models: set parameters and modules as attributes, define `forward`.

    A `Parameter` is trained. A plain `Tensor` or an ndarray is a *buffer*, saved but not trained,
    such as batch norm's running mean. A `Module` is a child. Tensors hold floats; an ndarray keeps
    any dtype, such as the int8 of quantized weights.

    They are found among the attributes and in lists, tuples and dicts of them, at any depth:
    ``self.heads = {"a": [layer]}`` gives the names ``heads.a.0.weight`` and ``heads.a.0.bias``.
    Keys must be str without a dot. A layer in another place (a set, a generator, an object that is
    no Module, the class) is an error as soon as the modules or parameters are asked for, and so is
    a module that contains itself. What a function closes over cannot be seen.

    A copy (`copy.deepcopy`) has arrays and random generators of its own: see `__deepcopy__`.

    >>> from tinyml.nn import Linear
    >>> class Doubled(Module):
    ...     def __init__(self, *, rng):
    ...         self.inner = Linear(3, 3, rng=rng)
    ...     def forward(self, x):
    ...         return 2 * self.inner(x)
    >>> [name for name, _ in Doubled(rng=np.random.default_rng(0)).named_parameters()]
    ['inner.weight', 'inner.bias']
    """
    training = True

    def forward(self, x):
        """Compute the output; subclasses define it. Raises NotImplementedError here."""
        raise NotImplementedError(f"{type(self).__name__}: forward must be defined, got no such "
                                  "method")

    def __call__(self, *args, **kwargs):
        y = self.forward(*args, **kwargs)
        for hook in _active.hooks:
            changed = hook(self, args[0] if args else None, y)
            y = y if changed is None else changed
        return y

    def macs(self, x, y):
        """Multiply-accumulates of this module itself, without its children, to compute y from x.

        The usual measure of work: products with weights, and of activations with one another.
        Layers that have such products define it.
        """
        return 0

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        if vars(cls).get("__slots__") or issubclass(cls, (list, tuple, dict, set)):
            raise TypeError(f"{cls.__name__}: a Module must hold its parts in attributes, got a "
                            "class with __slots__ or of a container; write self.layers = [...]")

    def __deepcopy__(self, memo):
        """A copy with arrays of its own, whose random draws are independent of the original's.

        Each generator of the copy is a child of the original's (`numpy.random.Generator.spawn`):
        another one for each copy, and the same in each run of a program. The draws of the original
        do not change. A file (`save_model`), in contrast, keeps the state of a generator.
        """
        for _, module in self.named_modules():
            for _, rng in module._attributes(np.random.Generator):
                if id(rng) not in memo:
                    memo[id(rng)] = rng.spawn(1)[0]
        copied = memo[id(self)] = object.__new__(type(self))
        vars(copied).update(copy.deepcopy(vars(self), memo))
        return copied

    def _attributes(self, kind):
        """Yield (name, value) for what this module holds of a kind, in containers as "name.0"."""
        for name, value in vars(self).items():
            if type(value) in PLAIN:
                continue
            found = ((name, value),)    # the quick way, for most
            if not isinstance(value, (Module, Tensor)) or "." in name:
                found = held({name: value}, "", type(self).__name__)
            yield from ((path, x) for path, x in found if isinstance(x, kind))

    def named_children(self):
        """Yield (name, module) for the modules directly below, in containers as "name.0"."""
        yield from self._attributes(Module)

    def named_modules(self, prefix=""):
        """Yield (path, module) for this module ("") and all below, parents first.

        Raises ValueError where a module contains itself.
        """
        yield from self._modules(prefix.rstrip("."), ())

    def _modules(self, path, around):
        if any(self is outer for outer in around):
            raise ValueError(f"{type(around[0]).__name__}: a module must not contain itself, got "
                             f"{path}, which is a module around it; pass it to forward, or keep a "
                             "weakref.ref")
        _check_class(self)
        yield path, self
        for name, child in self.named_children():
            yield from child._modules(f"{path}.{name}" if path else name, (*around, self))

    def _named_tensors(self):
        """(path, Tensor or ndarray) of each parameter and buffer, under every name that it has."""
        for path, module in self.named_modules():
            for name, value in module._attributes((Tensor, np.ndarray)):
                yield (f"{path}.{name}" if path else name), value

    def named_parameters(self):
        """Yield (path, Parameter), a parameter shared by two layers once."""
        seen = set()
        for name, tensor in self._named_tensors():
            if (isinstance(tensor, Tensor) and not isinstance(tensor, Parameter)
                    and tensor.requires_grad and not tensor.edges):
                raise TypeError(f"{type(self).__name__}: {name} must be a Parameter to be "
                                "trained, got a Tensor with requires_grad=True; write "
                                "nn.Parameter(array)")
            if isinstance(tensor, Parameter) and tensor not in seen:
                seen.add(tensor)
                yield name, tensor

    def parameters(self):
        """The parameters as a list, each once."""
        return [parameter for _, parameter in self.named_parameters()]

    def zero_grad(self):
        """Forget all gradients."""
        for parameter in self.parameters():
            parameter.grad = None

    def train(self, mode=True):
        """Set training mode here and below (dropout, batch norm); returns self."""
        for _, module in list(self.named_modules()):    # all, or none where one is refused
            module.training = mode
        return self

    def eval(self):
        """Set evaluation mode here and below; returns self."""
        return self.train(False)

    def state_dict(self):
        """{path: array}, a copy of every parameter and buffer."""
        return {name: array_of(tensor).copy() for name, tensor in self._named_tensors()}

    def load_state_dict(self, state, strict=True):
        """Load the arrays of `state`, in the dtypes of the model: all, or none if one is wrong.

        Weights from PyTorch have the same names. The batch count of its batch norms,
        ``num_batches_tracked``, is skipped: only an average of all batches needs it, and our
        running statistics forget old batches.

        Parameters
        ----------
        state : dict of path to array_like or Tensor, with the shapes of `state_dict`; integers are
            replaced by integers of a dtype that fits
        strict : bool, whether missing and unexpected keys are an error

        Returns
        -------
        LoadedKeys : (missing_keys, unexpected_keys), lists of str; both empty if strict

        Raises
        ------
        TypeError : state is no dict
        ValueError : keys that are missing or unexpected, arrays of another shape or kind, or tied
            weights that differ, all of them named
        """
        own = dict(self._named_tensors())
        arrays, keys = checked_arrays(type(self).__name__, own, state, strict)
        for key, array in arrays.items():
            if isinstance(own[key], Tensor):
                own[key].data = array
            else:
                own[key][...] = array
        return keys

    def extra_repr(self):
        """What the printed model shows in the brackets of this layer."""
        return ""

    def __repr__(self):
        rows = list(_rows(self))
        widths = [max(len(row[i]) for row in rows) for i in (0, 1)]
        return "\n".join(f"{title:<{widths[0]}}  {count:>{widths[1]}}  {shapes}".rstrip()
                         for title, count, shapes in rows)


def _check_class(module):
    """Refuse layers and parameters of the class itself, which all its objects would share."""
    for cls in type(module).__mro__:
        for name, value in vars(cls).items() if cls not in (Module, Owner, object) else ():
            is_held = isinstance(value, (Module, Parameter, list, tuple, dict))
            if not is_held or name in vars(module):
                continue
            entries = [value] if isinstance(value, (Module, Parameter)) else value
            entries = value.values() if isinstance(value, dict) else entries
            if any(isinstance(x, (Module, Parameter)) for x in entries):
                raise TypeError(f"{cls.__name__}: {name} must be an attribute of the object, got "
                                f"it on the class; write self.{name} = ... in __init__")


def _rows(module, name="", lead="", below=""):
    """The module's tree, a row each: what it is, its number of parameters, its tensors' shapes."""
    tensors = module._attributes((Tensor, np.ndarray))
    shapes = "  ".join(_shape(key, value) for key, value in tensors)
    count = sum(p.size for p in module.parameters())
    title = f"{lead}{name + ': ' if name else ''}{type(module).__name__}({module.extra_repr()})"
    yield title, f"{count:,}" if count else "", shapes
    children = list(module.named_children())
    for i, (key, child) in enumerate(children):
        branch, line = ("└─ ", "   ") if i == len(children) - 1 else ("├─ ", "│  ")
        yield from _rows(child, key, below + branch, below + line)


def _shape(key, value):
    shape = f"{key} {'x'.join(map(str, value.shape)) or 'scalar'}"
    return shape if isinstance(value, Tensor) else f"{shape} {value.dtype}"


class Sequential(Module):
    """Layers applied one after the other; index and iterate it like a list."""

    def __init__(self, *layers):
        for i, layer in enumerate(layers):
            if not isinstance(layer, Module):
                raise TypeError("Sequential: layers must be Modules, got "
                                f"{layer!r} at position {i}")
        self.__dict__.update({str(i): layer for i, layer in enumerate(layers)})

    def forward(self, x):
        for layer in list(vars(self).values()):    # as `in self`, but faster
            if isinstance(layer, Module):
                x = layer(x)
        return x

    def __iter__(self):
        return iter([layer for layer in vars(self).values() if isinstance(layer, Module)])

    def __len__(self):
        return sum(1 for _ in self)

    def __getitem__(self, index):
        layers = list(self)
        return Sequential(*layers[index]) if isinstance(index, slice) else layers[index]
