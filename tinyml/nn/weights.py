"""Which arrays of a model are its weights, and what may take the place of one.

Every method that makes a model small asks the same two questions: which numbers may it change,
and where do they stand? The answers are here, once:

    a *weight* is a Parameter with two or more axes, wherever it stands in the tree of modules:
    in a Linear, a convolution, an Embedding, attention's in_proj_weight, or a module of your
    own. Scales and shifts of norms do not count, whatever their number of axes. Vectors, such
    as biases, are small and stay as they are.

A weight may be *computed*: then a `ComputedWeight` stands in its place, and returns the tensor
when it is called.
"""
from contextlib import contextmanager

from tinyml.check import check_real, warn
from tinyml.nn.module import Module
from tinyml.nn.norms import BatchNorm1d, LayerNorm
from tinyml.tensor import Tensor

NORMS = (BatchNorm1d, LayerNorm)


class ComputedWeight(Module):
    """A weight that is computed whenever it is used, for example from codes or shared values.

    Subclasses define ``forward()`` without arguments. The module stands in the place of a
    Parameter, anywhere in a model, and acts as the tensor that it computes: ``x @
    self.weight``, ``self.weight.T`` and ``F.linear(x, self.weight)`` work, and gradients flow
    through it.

    >>> import numpy as np
    >>> class Twice(ComputedWeight):
    ...     def __init__(self, half):
    ...         self.half = half
    ...     def forward(self):
    ...         return 2 * self.half
    >>> (Tensor([[1.0, 1.0]]) @ Twice(Tensor(np.eye(2, dtype=np.float32)))).data
    array([[2., 2.]], dtype=float32)
    """

    def __tensor__(self):
        return self()

    def __getattr__(self, name):    # called only for names that the module itself does not have
        if name.startswith("__") or not hasattr(Tensor, name):
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        return getattr(self(), name)

    data = property(lambda self: self().data)    # no setter: codes cannot become any numbers

    def __len__(self): return len(self())
    def __iter__(self): return iter(self())
    def __getitem__(self, index): return self()[index]
    def __array__(self, dtype=None, copy=None): return self().__array__(dtype, copy)
    def __neg__(self): return -self()
    def __abs__(self): return abs(self())
    def __add__(self, other): return self() + other
    def __sub__(self, other): return self() - other
    def __mul__(self, other): return self() * other
    def __truediv__(self, other): return self() / other
    def __pow__(self, other): return self() ** other
    def __matmul__(self, other): return self() @ other
    def __radd__(self, other): return other + self()
    def __rsub__(self, other): return other - self()
    def __rmul__(self, other): return other * self()
    def __rtruediv__(self, other): return other / self()
    def __rmatmul__(self, other): return other @ self()

    __array_ufunc__ = None    # array * weight is for __rmul__


def weights(model):
    """{path: Parameter} of the weights of a model, each once, under its first path.

    The trained weights inside a `ComputedWeight`, as in quantization-aware training, are among
    them.

    >>> import numpy as np
    >>> from tinyml.nn import MultiheadAttention
    >>> list(weights(MultiheadAttention(4, 2, rng=np.random.default_rng(0))))
    ['in_proj_weight', 'out_proj.weight']
    """
    scales = _scales(model)
    return {path: p for path, p in model.named_parameters() if p.ndim >= 2 and id(p) not in scales}


def computed_weights(model):
    """{path: ComputedWeight} of the computed weights of a model, each once by its first path."""
    found = {}
    for path, module in model.named_modules():
        known = any(module is one for one in found.values())
        if isinstance(module, ComputedWeight) and not known:
            found[path] = module
    return found


def all_weights(model):
    """[(path, paths, weight)] of every weight of a model, a Parameter or computed, each once.

    `path` is its first path, `paths` are all. A Parameter inside a `ComputedWeight` is not
    listed beside it, unless it also stands elsewhere: if a decoder computes the transpose of
    the encoder's weight, both are listed.
    """
    computed = computed_weights(model)
    inside = tuple(f"{path}." for path, module in model.named_modules()
                   if isinstance(module, ComputedWeight))
    outside = {id(tensor) for name, tensor in model._named_tensors()
               if not name.startswith(inside)}
    own = {path: weight for path, weight in weights(model).items() if id(weight) in outside}
    names = [*model._named_tensors(), *model.named_modules()]
    return [(path, [name for name, other in names if other is weight], weight)
            for path, weight in (own | computed).items()]


def left_out(model):
    """{path: why} of every parameter and computed weight not among the `weights` of a model.

    So `weights` and `left_out` together name all parameters.

    >>> import numpy as np
    >>> from tinyml.nn import Linear, LayerNorm, Sequential
    >>> left_out(Sequential(Linear(2, 2, rng=np.random.default_rng(0)), LayerNorm((3, 2))))
    {'0.bias': 'a vector', '1.weight': 'part of a norm', '1.bias': 'part of a norm'}
    """
    treated, scales = weights(model), _scales(model)
    left = {path: "part of a norm" if id(p) in scales else "a vector" if p.ndim else "a number"
            for path, p in model.named_parameters() if path not in treated}
    return left | {path: f"computed already, by {type(one).__name__}"
                   for path, one in computed_weights(model).items() if not weights(one)}


def _scales(model):
    """The ids of the scales and shifts of all norms."""
    return {id(tensor) for _, module in model.named_modules() if isinstance(module, NORMS)
            for tensor in (module.weight, module.bias)}


def replace_weights(function, model, make):
    """Put the module make(weight) in the place of every weight of a model, in place.

    A weight that stands in several places is replaced by the same module in all of them.
    Computed weights are left as they are, with a warning that names them.

    Parameters
    ----------
    function : str, name used in messages
    model : Module
    make : function of a Parameter that returns a `ComputedWeight`

    Returns
    -------
    Module, the model

    Raises
    ------
    ValueError : the model has no weight of its own, or one that is empty or not finite

    Warns
    -----
    UserWarning : a weight is already computed
    """
    computed = computed_weights(model)
    own = {path: weight for path, _, weight in all_weights(model)
           if not isinstance(weight, ComputedWeight)}
    treated = set(map(id, own.values()))
    why = {path: f"computed already, by {type(one).__name__}" for path, one in computed.items()
           if treated.isdisjoint(map(id, one.parameters()))}
    if not own:
        raise ValueError(nothing_to_do(function, model, why))
    check_weights(function, own)
    warn_left(function, why)
    swap(model, {weight: make(weight) for weight in own.values()})
    return model


def check_weights(function, found):
    """Raise ValueError unless each of the weights {path: weight} is finite and not empty."""
    for path, weight in found.items():
        if not check_real(function, path, weight.data).size:
            raise ValueError(f"{function}: {path} must hold at least one number, got shape "
                             f"{weight.shape}")


def nothing_to_do(function, model, left):
    """The error message for a model in which a function finds no weight."""
    named = "".join(f"; {path} is {why}" for path, why in left.items())
    return (f"{function}: model must have a weight, a parameter with two or more axes, got "
            f"{type(model).__name__} without{named}")


def warn_left(function, left):
    """Warn of the weights {path: why} that a function leaves as they are, if there are any."""
    if left:
        named = "; ".join(f"{path} ({why})" for path, why in left.items())
        warn(f"{function}: left as they are: {named}")


def swap(model, new):
    """Put new[x] in the place of x wherever it stands below a model, in place.

    Parameters
    ----------
    model : Module
    new : dict of Parameter or Module to what takes its place; x may be an attribute, or be in
        a list, tuple or dict at any depth
    """
    for _, module in list(model.named_modules()):
        vars(module).update({name: _swapped(value, new) for name, value in vars(module).items()})


@contextmanager
def replaced(model, new):
    """Inside the block, new[x] stands in the place of x, as in `swap`; afterwards x again.

    So a loss can be computed with weights such as Q(theta), and its gradient reaches theta.
    """
    swap(model, new)
    try:
        yield
    finally:
        swap(model, {there: own for own, there in new.items()})


def _swapped(value, new):
    if isinstance(value, (Tensor, Module)):
        return new.get(value, value)
    if isinstance(value, dict):    # containers stay the same objects: others may hold them, too
        value.update({key: _swapped(entry, new) for key, entry in value.items()})
    elif isinstance(value, list):
        value[:] = [_swapped(entry, new) for entry in value]
    elif isinstance(value, tuple):
        entries = [_swapped(entry, new) for entry in value]
        return type(value)(*entries) if hasattr(value, "_fields") else type(value)(entries)
    return value
