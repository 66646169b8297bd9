"""Every primitive, f beside its derivative: a page of rules to be read like a formula sheet.

Each function receives arrays and returns ``value, (vjp_1, ..., vjp_k)``, one vjp per positional
argument; to its callers it is a function of tensors (see `tinyml.tensor.primitive`). In the rules

    x y  inputs       g  the gradient of the result, never written to       d_  "gradient of _"

and no rule mentions broadcasting: the engine sums a gradient down to the shape of its argument.
Where an argument is NaN, so is the result; a slope there is 0 or NaN, and means nothing.
Reductions and shapes use NumPy's words, `axis` and `keepdims`. To write an operation of your own,
start from any of these and hold it against `tinyml.gradcheck`.
"""
from tinyml.ops.elementwise import (abs, add, clip, div, exp, gelu, log, maximum, minimum, mul,
                                    neg, power, relu, sigmoid, softplus, sqrt, sub, tanh, where)
from tinyml.ops.images import avg_pool2d, conv2d, max_pool2d
from tinyml.ops.products import einsum, linear, matmul
from tinyml.ops.reductions import (label_cross_entropy, log_softmax, logsumexp, max, mean, min,
                                   softmax, standardize, sum, var)
from tinyml.ops.shapes import (broadcast_to, concatenate, getitem, pad, reshape, stack, swapaxes,
                               transpose)
from tinyml.ops.straight_through import clamp_ste, round_ste, sign_ste

__all__ = [
    "abs", "add", "avg_pool2d", "broadcast_to", "clamp_ste", "clip", "concatenate", "conv2d",
    "div", "einsum", "exp", "gelu", "getitem", "label_cross_entropy", "linear", "log",
    "log_softmax", "logsumexp", "matmul", "max", "max_pool2d", "maximum", "mean", "min", "minimum",
    "mul", "neg", "pad", "power", "relu", "reshape", "round_ste", "sigmoid", "sign_ste", "softmax",
    "softplus", "sqrt", "stack", "standardize", "sub", "sum", "swapaxes", "tanh", "transpose",
    "var", "where",
]
