"""What every layer is: an object that finds the parameters among its attributes."""
import threading

import numpy as np

from tinyml.tensor import Tensor, scope


class _Active(threading.local):
    hooks = ()    # of the `forward_hook` blocks around us, outermost first


_active = _Active()


@scope
def forward_hook(hook):
    """Inside the block, hook(module, x, y) is called whenever a module has computed y from x.

    So an observer sees every activation of any model, and an experiment can change it, without a
    word about it in the layers. Inner modules come before the module that they are part of.

    Parameters
    ----------
    hook : function (module, x, y) -> None, or what is to take the place of y
        x is the first positional argument of the call, None if there is none

    Examples
    --------
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
    """A tensor that an optimizer changes: a `Tensor` of float32, unless its array is float64, that
    requires a gradient, and that `Module.parameters` finds when it is an attribute of a module."""
    __slots__ = ()

    def __init__(self, data, requires_grad=True):
        super().__init__(data, requires_grad)


class Module:
    """Base of all layers and models: assign parameters and modules as attributes, define `forward`.

    Attributes are found wherever they are: a `Parameter` is trained; a plain `Tensor` or an ndarray is a
    *buffer*, saved but not trained, such as batch norm's running mean; a `Module` is a child; each may be
    in a list. Tensors hold floats; an ndarray keeps any dtype, such as the int8 of quantized weights.

    Examples
    --------
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
        raise NotImplementedError(f"{type(self).__name__}: forward must be defined, got no such method")

    def __call__(self, *args, **kwargs):
        y = self.forward(*args, **kwargs)
        for hook in _active.hooks:
            changed = hook(self, args[0] if args else None, y)
            y = y if changed is None else changed
        return y

    def macs(self, x, y):
        """How often this module itself, without its children, multiplies and adds to compute y from x.

        The usual measure of work: products with weights, and of activations with one another. Layers
        that have such products define it.
        """
        return 0

    def _attributes(self, kind):
        """Yield (name, value) for the attributes of a kind, those in a list or tuple as "name.0"."""
        for name, value in vars(self).items():
            entries = ([(f"{name}.{i}", v) for i, v in enumerate(value)]
                       if isinstance(value, (list, tuple)) else [(name, value)])
            yield from ((key, v) for key, v in entries if isinstance(v, kind))

    def named_children(self):
        """Yield (name, module) for the modules directly below, list entries as "name.0"."""
        yield from self._attributes(Module)

    def named_modules(self, prefix=""):
        """Yield (path, module) for this module ("") and all below, parents first."""
        yield prefix.rstrip("."), self
        for name, child in self.named_children():
            yield from child.named_modules(f"{prefix}{name}.")

    def _named_tensors(self):
        """(path, Tensor or ndarray) of every parameter and buffer, each under every name that it has."""
        for path, module in self.named_modules():
            for name, value in module._attributes((Tensor, np.ndarray)):
                yield (f"{path}.{name}" if path else name), value

    def named_parameters(self):
        """Yield (path, Parameter), a parameter shared by two layers once."""
        seen = set()
        for name, tensor in self._named_tensors():
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
        """Set training mode (dropout drops, batch norm uses the batch) here and below; returns self."""
        for _, module in self.named_modules():
            module.training = mode
        return self

    def eval(self):
        """Set evaluation mode here and below; returns self."""
        return self.train(False)

    def state_dict(self):
        """{path: array}, a copy of every parameter and buffer."""
        return {name: _array(tensor).copy() for name, tensor in self._named_tensors()}

    def load_state_dict(self, state):
        """Take over the arrays of `state`, which must have exactly the keys and shapes of `state_dict`.

        Parameters
        ----------
        state : dict of path to array_like; what takes the place of integers must be integers they can hold

        Raises
        ------
        ValueError : missing, unexpected or misshapen keys, or values of another kind, all of them named;
            the model is then unchanged
        """
        own = dict(self._named_tensors())
        problems = [f"missing {key}" for key in own if key not in state]
        problems += [f"unexpected {key}" for key in state if key not in own]
        problems += [f"{key} must have shape {own[key].shape}, got {np.shape(state[key])}"
                     for key in own if key in state and np.shape(state[key]) != own[key].shape]
        arrays = {key: np.asarray(state[key]) for key in own if key in state}
        problems += [f"{key} must hold real numbers, got dtype {array.dtype}"
                     for key, array in arrays.items() if array.dtype.kind not in "biuf"]
        problems += [f"{key} must hold {_array(own[key]).dtype}, got dtype {array.dtype}"
                     for key, array in arrays.items() if array.dtype.kind in "biuf"
                     and not np.can_cast(array.dtype, _array(own[key]).dtype, _casting(own[key]))]
        if problems:
            raise ValueError(f"load_state_dict: state must match {type(self).__name__}, got "
                             + "; ".join(problems))
        for key, tensor in own.items():
            if isinstance(tensor, Tensor):
                tensor.data = np.array(arrays[key], tensor.dtype)
            else:
                tensor[...] = arrays[key]

    def extra_repr(self):
        """What the printed model shows in the brackets of this layer."""
        return ""

    def __repr__(self):
        rows = list(_rows(self))
        widths = [max(len(row[i]) for row in rows) for i in (0, 1)]
        return "\n".join(f"{title:<{widths[0]}}  {count:>{widths[1]}}  {shapes}".rstrip()
                         for title, count, shapes in rows)


def _array(tensor):
    """The array of a parameter or buffer."""
    return tensor.data if isinstance(tensor, Tensor) else tensor


def _casting(tensor):
    """Floats take over any number; integers only what they can hold."""
    return "safe" if _array(tensor).dtype.kind in "biu" else "unsafe"


def _rows(module, name="", lead="", below=""):
    """The module's tree, a row each: what it is, its parameters in all, the shapes of its own tensors."""
    shapes = "  ".join(_shape(key, value) for key, value in module._attributes((Tensor, np.ndarray)))
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
                raise TypeError(f"Sequential: layers must be Modules, got {layer!r} at position {i}")
        self.__dict__.update({str(i): layer for i, layer in enumerate(layers)})

    def forward(self, x):
        for layer in self:
            x = layer(x)
        return x

    def __iter__(self):
        return (layer for layer in vars(self).values() if isinstance(layer, Module))

    def __len__(self):
        return len(list(self.named_children()))

    def __getitem__(self, index):
        layers = list(self)
        return Sequential(*layers[index]) if isinstance(index, slice) else layers[index]
