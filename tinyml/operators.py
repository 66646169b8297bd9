"""The operators and methods of a `Tensor`: each of them calls the operation of this name in `ops`.

Operations make tensors, and a tensor's methods call operations. So `tinyml.ops` cannot be imported
before `Tensor` exists, and is looked up when a method is called.
"""
import tinyml
from tinyml.phrasebook import numpy_words


class Operators:
    """x.shape, x + y, x @ y, x[i], x > y, x.exp(), x.sum(axis): a base class of `Tensor`."""
    __slots__ = ()

    shape = property(lambda self: self.data.shape)
    ndim = property(lambda self: self.data.ndim)
    size = property(lambda self: Size(self.data.size))
    dtype = property(lambda self: self.data.dtype)

    def detach(self):
        """The same array as a constant: no gradient flows through it."""
        return tinyml.Tensor(self.data)

    def item(self):
        """The value of a tensor of one element as a Python number."""
        if self.data.size != 1:
            raise ValueError(f"item: the tensor must have one element, got shape {self.shape}")
        return self.data.item()

    def __add__(self, other): return tinyml.ops.add(self, other)
    def __sub__(self, other): return tinyml.ops.sub(self, other)
    def __mul__(self, other): return tinyml.ops.mul(self, other)
    def __truediv__(self, other): return tinyml.ops.div(self, other)
    def __pow__(self, other): return tinyml.ops.power(self, other)
    def __matmul__(self, other): return tinyml.ops.matmul(self, other)

    def __radd__(self, other): return tinyml.ops.add(other, self)
    def __rsub__(self, other): return tinyml.ops.sub(other, self)
    def __rmul__(self, other): return tinyml.ops.mul(other, self)
    def __rtruediv__(self, other): return tinyml.ops.div(other, self)
    def __rpow__(self, other): return tinyml.ops.power(other, self)
    def __rmatmul__(self, other): return tinyml.ops.matmul(other, self)

    def __neg__(self): return tinyml.ops.neg(self)
    def __abs__(self): return tinyml.ops.abs(self)
    def __getitem__(self, index): return tinyml.ops.getitem(self, index=index)

    # Comparisons give a Boolean array: there is nothing to differentiate.
    __hash__ = object.__hash__
    def __eq__(self, other): return self.data == array_of(other)
    def __ne__(self, other): return self.data != array_of(other)
    def __lt__(self, other): return self.data < array_of(other)
    def __le__(self, other): return self.data <= array_of(other)
    def __gt__(self, other): return self.data > array_of(other)
    def __ge__(self, other): return self.data >= array_of(other)

    def exp(self): return tinyml.ops.exp(self)
    def log(self): return tinyml.ops.log(self)
    def sqrt(self): return tinyml.ops.sqrt(self)
    def abs(self): return tinyml.ops.abs(self)
    def tanh(self): return tinyml.ops.tanh(self)
    def sigmoid(self): return tinyml.ops.sigmoid(self)
    def relu(self): return tinyml.ops.relu(self)

    @numpy_words
    def clip(self, low=None, high=None):
        return tinyml.ops.clip(self, low=low, high=high)

    @numpy_words
    def sum(self, axis=None, keepdims=False):
        return tinyml.ops.sum(self, axis=axis, keepdims=keepdims)

    @numpy_words
    def mean(self, axis=None, keepdims=False):
        return tinyml.ops.mean(self, axis=axis, keepdims=keepdims)

    @numpy_words
    def max(self, axis=None, keepdims=False):
        return tinyml.ops.max(self, axis=axis, keepdims=keepdims)

    @numpy_words
    def min(self, axis=None, keepdims=False):
        return tinyml.ops.min(self, axis=axis, keepdims=keepdims)

    @numpy_words
    def var(self, axis=None, keepdims=False, correction=0):
        return tinyml.ops.var(self, axis=axis, keepdims=keepdims, correction=correction)

    @numpy_words
    def argmax(self, axis=None):
        return self.data.argmax(axis)    # indices: there is nothing to differentiate

    def reshape(self, *shape):
        return tinyml.ops.reshape(self, shape=shape[0] if len(shape) == 1 else shape)

    def transpose(self, *axes):
        return tinyml.ops.transpose(self, axes=axes[0] if len(axes) == 1 else axes or None)

    def swapaxes(self, axis1, axis2):
        return tinyml.ops.swapaxes(self, axis1=axis1, axis2=axis2)

    T = property(transpose)


def array_of(x):
    """The array of a tensor; anything else as it is."""
    return x.data if isinstance(x, tinyml.Tensor) else x


class Size(int):
    """The number of entries. In PyTorch x.size() is the shape: a call says what to write."""

    def __call__(self, *axis):
        raise TypeError("Tensor: size is a number; write x.size, or x.shape for the lengths of "
                        "the axes")
