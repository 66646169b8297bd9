"""What to write here for the names that PyTorch and NumPy use, for error messages.

A `Tensor` has few methods, and uses NumPy's words `axis` and `keepdims`. If you type another
library's word, the error says what to write: see `tinyml.protocols` and `numpy_words`.
"""
import functools

# name of a method, or of a NumPy function -> what to write for a tensor x
WRITE = {
    # the array, its type and its place
    "numpy": "x.data, which is a NumPy array",
    "tolist": "x.data.tolist()",
    "to": "x, which is always in main memory, or Tensor(x.data.astype(dtype))",
    "cpu": "x, which is always in main memory",
    "cuda": "x, which is always in main memory",
    "device": "x, which is always in main memory",
    "float": "x, or Tensor(x.data.astype(np.float32))",
    "double": "Tensor(x.data.astype(np.float64))",
    "half": "Tensor(x.data.astype(np.float16))",
    "int": "x.data.astype(int)",
    "long": "x.data.astype(int)",
    "bool": "x.data != 0",
    "astype": "x.data.astype(dtype)",
    "type": "x.dtype, or x.data.astype(dtype)",
    "is_floating_point": "True, a tensor always holds floats",
    "contiguous": "x, every shape is fine",
    "clone": "x, no operation writes into it, or copy.deepcopy(x)",
    "copy": "x, no operation writes into it, or x.data.copy()",
    "fill": "x.data = np.full_like(x.data, value)",

    # gradients
    "requires_grad_": "x.requires_grad = True",
    "grad_fn": "x.op, the name of the operation, or tinyml.graph(x)",
    "is_leaf": "not x.edges",
    "detach_": "x = x.detach()",
    "retain_grad": "tinyml.debug.gradients(loss)[x]",
    "register_hook": "tinyml.debug.gradients(loss)[x]",
    "zero_grad": "x.grad = None",
    "zero_": "x.data = np.zeros_like(x.data)",
    "fill_": "x.data = np.full_like(x.data, value)",
    "copy_": "x.data = other.data.copy()",
    "normal_": "x.data = rng.normal(size=x.shape)",
    "uniform_": "x.data = rng.uniform(low, high, size=x.shape)",

    # shapes
    "dim": "x.ndim",
    "ndimension": "x.ndim",
    "numel": "x.size",
    "nelement": "x.size",
    "view": "x.reshape(shape)",
    "view_as": "x.reshape(other.shape)",
    "reshape": "x.reshape(shape)",
    "reshape_as": "x.reshape(other.shape)",
    "resize": "x.reshape(shape)",
    "flatten": "x.reshape(-1)",
    "ravel": "x.reshape(-1)",
    "unflatten": "x.reshape(shape)",
    "unsqueeze": "x[:, None], with None where the new axis goes",
    "expand_dims": "x[:, None], with None where the new axis goes",
    "squeeze": "x[:, 0], or x.reshape(shape)",
    "permute": "x.transpose(axes)",
    "permute_dims": "x.transpose(axes)",
    "transpose": "x.transpose(axes)",
    "matrix_transpose": "x.swapaxes(-1, -2)",
    "moveaxis": "x.transpose(axes)",
    "movedim": "x.transpose(axes)",
    "rollaxis": "x.transpose(axes)",
    "swapaxes": "x.swapaxes(axis1, axis2)",
    "swapdims": "x.swapaxes(axis1, axis2)",
    "t": "x.T",
    "mT": "x.swapaxes(-1, -2)",
    "H": "x.T",
    "mH": "x.swapaxes(-1, -2)",
    "adjoint": "x.swapaxes(-1, -2)",
    "expand": "tinyml.ops.broadcast_to(x, shape=shape)",
    "expand_as": "tinyml.ops.broadcast_to(x, shape=other.shape)",
    "broadcast_to": "tinyml.ops.broadcast_to(x, shape=shape)",
    "repeat": "tinyml.ops.concatenate([x, x], axis=0)",
    "tile": "tinyml.ops.concatenate([x, x], axis=0)",
    "flip": "x[::-1]",
    "roll": "tinyml.ops.concatenate([x[-n:], x[:-n]])",
    "split": "x[:n] and x[n:]",
    "array_split": "x[:n] and x[n:]",
    "chunk": "x[:n] and x[n:]",
    "unbind": "list(x)",
    "narrow": "x[start:stop]",
    "select": "x[i]",
    "index_select": "x[indices]",
    "gather": "x[np.arange(len(x)), indices]",
    "take": "x[indices]",
    "take_along_axis": "x[np.arange(len(x)), indices]",
    "masked_select": "x[mask]",
    "compress": "x[mask]",
    "diagonal": "x[np.arange(n), np.arange(n)]",
    "diag": "x[np.arange(n), np.arange(n)]",
    "trace": "x[np.arange(n), np.arange(n)].sum()",
    "masked_fill": "tinyml.where(mask, value, x)",
    "tril": "tinyml.where(np.tri(n, dtype=bool), x, 0.0)",
    "triu": "tinyml.where(~np.tri(n, k=-1, dtype=bool), x, 0.0)",
    "where": "tinyml.where(condition, x, y), with a Boolean array as condition",
    "concatenate": "tinyml.concatenate([x, y])",
    "concat": "tinyml.concatenate([x, y])",
    "stack": "tinyml.stack([x, y])",
    "vstack": "tinyml.concatenate([x, y])",
    "hstack": "tinyml.concatenate([x, y], axis=1)",
    "pad": "tinyml.ops.pad(x, pad_width=width)",

    # arithmetic
    "add": "x + y",
    "subtract": "x - y",
    "sub": "x - y",
    "multiply": "x * y",
    "mul": "x * y",
    "divide": "x / y",
    "div": "x / y",
    "true_divide": "x / y",
    "floor_divide": "x.data // y, it has no gradient",
    "remainder": "x.data % y, or x - y * (x.data // y)",
    "fmod": "x.data % y, or x - y * (x.data // y)",
    "divmod": "divmod(x.data, y)",
    "power": "x ** y",
    "pow": "x ** y",
    "float_power": "x ** y",
    "negative": "-x",
    "neg": "-x",
    "positive": "x",
    "absolute": "abs(x)",
    "fabs": "abs(x)",
    "square": "x * x",
    "reciprocal": "1 / x",
    "rsqrt": "1 / x.sqrt()",
    "cbrt": "x ** (1 / 3)",
    "matmul": "x @ y",
    "mm": "x @ y",
    "bmm": "x @ y",
    "mv": "x @ y",
    "dot": "x @ y",
    "vdot": "x @ y",
    "vecdot": "(x * y).sum(-1)",
    "inner": "x @ y.T",
    "outer": "x[:, None] * y",
    "einsum": 'tinyml.ops.einsum(x, y, subscripts="ij,jk->ik")',
    "exp2": "2 ** x",
    "expm1": "x.exp() - 1",
    "log1p": "(1 + x).log()",
    "log2": "x.log() / math.log(2)",
    "log10": "x.log() / math.log(10)",
    "logaddexp": "tinyml.ops.logsumexp(tinyml.stack([x, y]), axis=0)",
    "sinh": "(x.exp() - (-x).exp()) / 2",
    "cosh": "(x.exp() + (-x).exp()) / 2",
    "sign": "np.sign(x.data), or tinyml.ops.sign_ste(x)",
    "round": "np.round(x.data), or tinyml.ops.round_ste(x)",
    "rint": "np.round(x.data), or tinyml.ops.round_ste(x)",
    "around": "np.round(x.data), or tinyml.ops.round_ste(x)",
    "floor": "np.floor(x.data), it has no gradient",
    "ceil": "np.ceil(x.data), it has no gradient",
    "trunc": "np.trunc(x.data), it has no gradient",
    "clip": "x.clip(low, high)",
    "clamp": "x.clip(low, high)",
    "clamp_min": "x.clip(low)",
    "clamp_max": "x.clip(high=high)",
    "maximum": "tinyml.ops.maximum(x, y)",
    "fmax": "tinyml.ops.maximum(x, y)",
    "minimum": "tinyml.ops.minimum(x, y)",
    "fmin": "tinyml.ops.minimum(x, y)",

    # reductions
    "std": "x.var().sqrt()",
    "norm": "(x * x).sum().sqrt()",
    "amax": "x.max()",
    "amin": "x.min()",
    "ptp": "x.max() - x.min()",
    "prod": "x.log().sum().exp(), for x > 0",
    "average": "(weights * x).sum() / weights.sum()",
    "median": "np.median(x.data), it has no gradient here",
    "logsumexp": "tinyml.ops.logsumexp(x, axis=-1)",
    "cumsum": "np.tri(n) @ x",
    "all": "x.data.all()",
    "any": "x.data.any()",
    "argmin": "x.data.argmin()",
    "argsort": "x.data.argsort()",
    "sort": "x[x.data.argsort()]",
    "topk": "x[x.data.argsort()[-k:]]",
    "nonzero": "x.data.nonzero()",
    "unique": "np.unique(x.data)",
    "isnan": "np.isnan(x.data)",
    "isinf": "np.isinf(x.data)",
    "isfinite": "np.isfinite(x.data)",
    "eq": "x == y",
    "equal": "x == y",
    "ne": "x != y",
    "lt": "x < y",
    "le": "x <= y",
    "gt": "x > y",
    "ge": "x >= y",

    # functions of networks
    "softmax": "tinyml.functional.softmax(x, axis=-1)",
    "log_softmax": "tinyml.functional.log_softmax(x, axis=-1)",
    "gelu": "tinyml.functional.gelu(x)",
    "erf": "tinyml.functional.gelu(x), or a primitive of your own",
}

KEYWORDS = {
    "dim": "axis", "dims": "axis", "keepdim": "keepdims",
    "ddof": "correction", "unbiased": "correction",
    "min": "low", "max": "high", "a_min": "low", "a_max": "high",
}


def numpy_words(f):
    """Let f answer a keyword of PyTorch, such as `dim`, with the word used here."""
    @functools.wraps(f)
    def translated(*args, **options):
        try:
            return f(*args, **options)
        except TypeError:
            check_keywords(f.__name__, options)
            raise
    return translated


def check_keywords(name, options):
    """Raise TypeError if there is a keyword among the options that is called otherwise here."""
    for keyword, value in options.items():
        if keyword in KEYWORDS:
            word = KEYWORDS[keyword]
            raise TypeError(f"{name}: {keyword} is called {word} here; "
                            f"write {word}={value!r}") from None
