"""Every primitive against every law that a primitive must keep.

A row of TABLE says what an operation computes and what it may be called with; the laws below the
table hold for all rows. To add an operation, export it from `tinyml.ops` and give it a row of

    reference   the same value from NumPy alone: a function of its own, a formula, or slow loops
    arguments   strategy of (arrays, metadata), away from poles, kinks and ties
    degree      d where f is homogeneous, f(t x, t y, ...) = t^d f(x, y, ...), else None
    call        how to call it, where that is not op(*arrays, **metadata)

So the row of `mul` reads: its value is NumPy's multiply, on two arrays that broadcast, and
(t x) (t y) = t^2 x y.
"""
import math
import re
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import (
    affine,
    anything,
    distinct,
    eighths,
    joined,
    matrices,
    nonzero,
    one,
    pair,
    positive,
    quarters,
    rngs,
    stacked,
    two,
    with_axes,
    with_bounds,
    with_broader_shape,
    with_condition,
    with_filters,
    with_index,
    with_labels,
    with_order,
    with_pad_width,
    with_shape,
    with_subscripts,
    with_two_axes,
    with_windows,
)

from tinyml import Tensor, gradcheck, ops

booleans = st.booleans()


# ------------------------------------------------------------ references that NumPy does not have

def sliding(f, x, kernel_size, stride, padding, fill=0.0, dilation=1):
    """f of every window (N, C, kh, kw) of the images, one after the other; with axes H' W' last."""
    (kh, kw), (sh, sw), (dh, dw) = map(pair, (kernel_size, stride, dilation))
    height, width = dh * (kh - 1) + 1, dw * (kw - 1) + 1    # that a window spans
    if padding == "same":
        zeros = [((n - 1) // 2, (n - 1) - (n - 1) // 2) for n in (height, width)]
    else:
        zeros = [(n, n) for n in pair(0 if padding == "valid" else padding)]
    x = np.pad(x, [(0, 0), (0, 0), *zeros], constant_values=fill)
    rows, columns = range(0, x.shape[2] - height + 1, sh), range(0, x.shape[3] - width + 1, sw)
    return np.stack([np.stack([f(x[:, :, r:r + height:dh, s:s + width:dw]) for s in columns], axis=-1)
                     for r in rows], axis=-2)


def conv2d(x, weight, bias=None, *, stride, padding, dilation, groups):
    bias = np.zeros(len(weight)) if bias is None else bias
    n_in, n_out = weight.shape[1], len(weight) // groups

    def sums(window):    # (N, O), filter by filter, each on the channels of its group
        ys = [(window[:, o // n_out * n_in:(o // n_out + 1) * n_in] * weight[o]).sum(axis=(1, 2, 3)) + bias[o]
              for o in range(len(weight))]
        return np.stack(ys, axis=1) if ys else np.zeros((len(x), 0))
    return sliding(sums, x, weight.shape[2:], stride, padding, dilation=dilation)


def max_pool2d(x, *, kernel_size, stride, padding):
    stride = kernel_size if stride is None else stride
    return sliding(lambda window: window.max(axis=(2, 3)), x, kernel_size, stride, padding, -np.inf)


def avg_pool2d(x, *, kernel_size, stride, padding):
    stride = kernel_size if stride is None else stride
    return sliding(lambda window: window.mean(axis=(2, 3)), x, kernel_size, stride, padding)


def gelu(x, *, approximate):
    if approximate == "tanh":
        return x / (1 + np.exp(-2 * np.sqrt(2 / np.pi) * (x + 0.044715 * x ** 3)))
    return x * np.vectorize(lambda z: math.erfc(-z / math.sqrt(2)) / 2, otypes=[float])(x)


def softmax(x, *, axis):
    return np.exp(x) / np.exp(x).sum(axis=axis, keepdims=True)


def standardize(x, *, axis, eps):
    return (x - x.mean(axis=axis, keepdims=True)) / np.sqrt(x.var(axis=axis, keepdims=True) + eps)


def label_cross_entropy(logits, *, labels, reduction):
    p = softmax(logits, axis=-1).reshape(labels.size, logits.shape[-1])
    losses = -np.log(p[range(labels.size), labels.ravel()]).reshape(labels.shape)
    return losses if reduction == "none" else getattr(np, reduction)(losses)


def clip(x, *, low=-np.inf, high=np.inf):
    return np.minimum(np.maximum(x, low), high)


# ------------------------------------------------------------ the table

class Row(NamedTuple):
    reference: Callable
    arguments: st.SearchStrategy
    degree: float | None = None
    call: Callable | None = None


TABLE = {
    "abs": Row(np.abs, one(nonzero), degree=1),
    "add": Row(np.add, two(), degree=1),
    "avg_pool2d": Row(avg_pool2d, with_windows(), degree=1),
    "broadcast_to": Row(np.broadcast_to, with_broader_shape(), degree=1),
    "clamp_ste": Row(clip, with_bounds(least=2)),
    "clip": Row(clip, with_bounds(least=0)),
    "concatenate": Row(lambda *xs, axis: np.concatenate(xs, axis), joined(), degree=1,
                       call=lambda *xs, axis: ops.concatenate(xs, axis)),
    "conv2d": Row(conv2d, with_filters()),
    "div": Row(np.divide, two(anything, nonzero), degree=0),
    "einsum": Row(lambda *xs, subscripts: np.einsum(subscripts, *xs), with_subscripts()),
    "exp": Row(np.exp, one()),
    "gelu": Row(gelu, one(approximate=st.sampled_from(["none", "tanh"]))),
    "getitem": Row(lambda x, index: x[index], with_index(), degree=1),
    "label_cross_entropy": Row(label_cross_entropy, with_labels()),
    "linear": Row(lambda x, weight, bias=0.0: np.inner(x, weight) + bias, affine()),
    "log": Row(np.log, one(positive)),
    "log_softmax": Row(lambda x, axis: np.log(softmax(x, axis=axis)), with_axes(least=1)),
    "logsumexp": Row(lambda x, **axes: np.log(np.exp(x).sum(**axes)),
                     with_axes(least=1, keepdims=booleans)),
    "matmul": Row(np.matmul, matrices(), degree=2),
    "max": Row(np.max, with_axes(distinct, least=1, keepdims=booleans), degree=1),
    "max_pool2d": Row(max_pool2d, with_windows(distinct), degree=1),
    "maximum": Row(np.maximum, two(quarters, eighths), degree=1),
    "mean": Row(np.mean, with_axes(least=1, keepdims=booleans), degree=1),
    "min": Row(np.min, with_axes(distinct, least=1, keepdims=booleans), degree=1),
    "minimum": Row(np.minimum, two(quarters, eighths), degree=1),
    "mul": Row(np.multiply, two(), degree=2),
    "neg": Row(np.negative, one(), degree=1),
    "pad": Row(lambda x, pad_width, value: np.pad(x, pad_width, constant_values=value),
               with_pad_width()),
    "power": Row(np.power, two(positive, anything)),
    "relu": Row(lambda x: np.where(x > 0, x, 0), one(nonzero), degree=1),
    "reshape": Row(np.reshape, with_shape(), degree=1),
    "round_ste": Row(np.rint, one()),
    "sigmoid": Row(lambda x: 1 / (1 + np.exp(-x)), one()),
    "sign_ste": Row(np.sign, one(nonzero)),
    "softmax": Row(softmax, with_axes(least=1)),
    "softplus": Row(lambda x: np.log(1 + np.exp(x)), one()),
    "sqrt": Row(np.sqrt, one(positive), degree=1 / 2),
    "stack": Row(lambda *xs, axis: np.stack(xs, axis), stacked(), degree=1,
                 call=lambda *xs, axis: ops.stack(xs, axis)),
    "standardize": Row(standardize, with_axes(least=1, eps=st.floats(0.1, 2))),
    "sub": Row(np.subtract, two(), degree=1),
    "sum": Row(np.sum, with_axes(keepdims=booleans), degree=1),
    "swapaxes": Row(np.swapaxes, with_two_axes(), degree=1),
    "tanh": Row(np.tanh, one()),
    "transpose": Row(np.transpose, with_order(), degree=1),
    "var": Row(lambda x, correction, **axes: np.var(x, ddof=correction, **axes),
               with_axes(least=2, min_dims=1, keepdims=booleans, correction=st.integers(0, 1)),
               degree=2),
    "where": Row(lambda x, y, condition: np.where(condition, x, y), with_condition(), degree=1,
                 call=lambda x, y, condition: ops.where(condition, x, y)),
}

# Their vjp is not the derivative of their value, but the derivative of this:
STRAIGHT_THROUGH = {
    "clamp_ste": lambda x, low, high: x,
    "round_ste": lambda x: x,
    "sign_ste": lambda x: ops.clip(x, low=-1, high=1),
}


def for_each(names):
    """Run a law on random calls of each of these operations: a third of the profile's examples."""
    few = settings(max_examples=settings().max_examples // 3)
    return lambda law: pytest.mark.parametrize("name", sorted(names))(few(given(data=st.data())(law)))


def draw(name, data):
    """The operation as a function of arrays alone; the arrays; the metadata."""
    args, metadata = data.draw(TABLE[name].arguments, label="arrays, metadata")
    op = TABLE[name].call or getattr(ops, name)
    return lambda *tensors: op(*tensors, **metadata), args, metadata


def recorded(f, args):
    """f(args) with a memory, and the arguments as leaves."""
    leaves = [Tensor(a, requires_grad=True) for a in args]
    return f(*leaves), leaves


def assert_close(actual, expected):
    """Equal but for rounding, also in shape and dtype. A pairwise sum of n terms is off by at most
    log2(n) eps times the sum of their sizes: here by less than 10 * eps * 4e4 = 1e-10."""
    np.testing.assert_allclose(actual, expected, rtol=1e-10, atol=1e-10, strict=True)


# ------------------------------------------------------------ the laws

def test_every_operation_has_a_row():
    assert TABLE.keys() == set(ops.__all__)


@for_each(TABLE)
def test_value_is_that_of_numpy(name, data):
    f, args, metadata = draw(name, data)
    assert_close(f(*map(Tensor, args)).data, TABLE[name].reference(*args, **metadata))


@for_each(TABLE.keys() - STRAIGHT_THROUGH.keys())
def test_gradient_is_the_slope_in_a_random_direction(name, data):
    f, args, _ = draw(name, data)
    assert gradcheck(f, *args, rng=data.draw(rngs), tol=1e-6)


@for_each(STRAIGHT_THROUGH)
def test_straight_through_borrows_the_gradient_of_another_function(name, data):
    f, args, metadata = draw(name, data)
    y, [x] = recorded(f, args)
    borrowed, [z] = recorded(lambda x: STRAIGHT_THROUGH[name](x, **metadata), args)
    g = anything(data.draw(rngs), y.shape)
    y.backward(g)
    borrowed.backward(g)
    np.testing.assert_array_equal(x.grad, z.grad)


@for_each(TABLE)
def test_float32_stays_float32_whatever_the_constants(name, data):
    f, args, _ = draw(name, data)
    k = data.draw(st.integers(0, len(args) - 1), label="which argument is the tensor")
    x = Tensor(args[k].astype(np.float32), requires_grad=True)
    y = f(*args[:k], x, *args[k + 1:])
    [(_, vjp)] = y.edges
    y.backward(np.ones(y.shape))
    assert y.dtype == vjp(np.ones(y.shape, np.float32)).dtype == x.grad.dtype == np.float32
    assert x.grad.shape == x.shape


@for_each(TABLE)
def test_nothing_is_written_to(name, data):
    f, args, metadata = draw(name, data)

    def lock(*arrays):    # NumPy raises where somebody writes
        for a in arrays:
            a.setflags(write=False)
    lock(*args, *(a for a in metadata.values() if isinstance(a, np.ndarray)))
    y, leaves = recorded(f, args)
    g = np.ones(y.shape)
    lock(y.data, g)
    assert len([vjp(g) for _, vjp in y.edges]) == len(leaves)


@for_each(TABLE)
def test_nan_goes_wherever_a_number_goes(name, data):
    """An entry of the result that depends on an argument is NaN if the argument is."""
    f, args, _ = draw(name, data)
    k = data.draw(st.integers(0, len(args) - 1), label="which argument is NaN")
    with np.errstate(invalid="ignore"):
        plain, double, minus, nan = (f(*args[:k], factor * args[k], *args[k + 1:]).data
                                     for factor in (1, 2, -1, math.nan))
    depends = (double != plain) | (minus != plain)
    assert np.isnan(nan[depends]).all()


@for_each(TABLE)
def test_vjp_is_linear_in_g(name, data):
    f, args, _ = draw(name, data)
    y, _ = recorded(f, args)
    rng = data.draw(rngs)
    (a, b), g, h = anything(rng, 2), anything(rng, y.shape), anything(rng, y.shape)
    for _, vjp in y.edges:
        assert_close(vjp(np.asarray(a * g + b * h)), a * vjp(g) + b * vjp(h))


@for_each(name for name, row in TABLE.items() if row.degree is not None)
def test_euler_s_identity(name, data):
    """f(t x, t y, ...) = t^d f(x, y, ...), differentiated by t at t = 1, says of the gradients that
    belong to g: <x, g_x> + <y, g_y> + ... = d <f, g>. For a linear f, d = 1, it says that the vjp
    is the adjoint of f."""
    f, args, _ = draw(name, data)
    y, leaves = recorded(f, args)
    g = anything(data.draw(rngs), y.shape)
    y.backward(g)
    assert_close(np.sum([np.vdot(x, leaf.grad) for x, leaf in zip(args, leaves)]),
                 TABLE[name].degree * np.vdot(y.data, g))


# ------------------------------------------------------------ where calculus has no answer

@pytest.mark.parametrize("f, x, slope", [
    (ops.abs, [-3, 0, 3, math.nan], [-1, 0, 1, math.nan]),
    (ops.relu, [-3, 0, 3, math.nan], [0, 0, 1, 0]),
    (lambda x: ops.maximum(x, 1.0), [0, 1, 2, math.nan], [0, 0.5, 1, 0]),
    (lambda x: ops.maximum(x, math.nan), [0, 1, 2], [0, 0, 0]),
    (lambda x: ops.maximum(1.0, x), [0, 1, 2], [0, 0.5, 1]),
    (lambda x: ops.minimum(x, 1.0), [0, 1, 2, math.nan], [1, 0.5, 0, 0]),
    (lambda x: ops.minimum(x, math.nan), [0, 1, 2], [0, 0, 0]),
    (lambda x: ops.minimum(1.0, x), [0, 1, 2], [1, 0.5, 0]),
    (lambda x: ops.clip(x, low=-1, high=1), [-2, -1, 0, 1, 2], [0, 1, 1, 1, 0]),
    (ops.max, [1, 3, 0, 3, 3], [0, 1 / 3, 0, 1 / 3, 1 / 3]),
    (ops.min, [1, 3, 0, 0], [0, 0, 0.5, 0.5]),
    (lambda x: ops.max(x, axis=1) * [1.0, 3.0], [[2, 2], [1, 2]], [[0.5, 0.5], [0, 3]]),
    (lambda x: ops.max_pool2d(x, kernel_size=2), [[[[5, 7], [7, 7]]]], [[[[0, 1], [0, 0]]]]),
    (ops.sign_ste, [-1.25, -1, 0, 1, 1.25], [0, 1, 1, 1, 0]),
    (lambda x: ops.power(x, 0), [-1, 0, 1], [0, 0, 0]),
    (lambda x: ops.power(x, 1), [-1, 0, 1], [1, 1, 1]),
    (lambda x: ops.power(x, 2), [-1, 0, 1], [-2, 0, 2]),
    (lambda x: ops.power(0.0, x), [1, 2], [0, 0]),
])
def test_slope_at_a_tie_or_kink(f, x, slope):
    y, [x] = recorded(f, [np.array(x, float)])
    y.backward(np.ones(y.shape))
    np.testing.assert_array_equal(x.grad, slope)


def test_slope_of_the_square_root_at_0_is_infinite():
    with np.errstate(divide="ignore"):
        y, [x] = recorded(ops.sqrt, [np.zeros(1)])
        y.backward()
    assert x.grad == np.inf


@pytest.mark.parametrize("exponent", [-2, -1, 0, 1, 2, 3, 3.0])
def test_power_of_a_negative_base(exponent):
    x = np.array([-1.5, -0.5, 0.5])
    assert gradcheck(lambda x: x ** exponent, x, rng=np.random.default_rng(0))


def test_ties_of_values():
    np.testing.assert_array_equal(ops.sign_ste([-2.0, 0.0, 2.0]).data, [-1, 1, 1])
    np.testing.assert_array_equal(ops.round_ste([-1.5, -0.5, 0.5, 1.5]).data, [-2, 0, 0, 2])


@pytest.mark.parametrize("f", [
    ops.round_ste, ops.sign_ste, lambda x: ops.clamp_ste(x, low=-0.5, high=0.5)])
def test_straight_through_disagrees_with_calculus(f):
    with pytest.raises(AssertionError, match="gradcheck"):
        gradcheck(f, [0.6, -0.9, 0.3], rng=np.random.default_rng(0))


@pytest.mark.parametrize("f, value, slope", [
    (ops.sigmoid, [0, 1, 1], [0, 0, 0]),
    (ops.tanh, [-1, 1, 1], [0, 0, 0]),
    (ops.softmax, [0, 0.5, 0.5], [0, 0, 0]),
    (lambda x: ops.softmax(x[None] - [[0], [1e4]]), [[0, 0.5, 0.5]] * 2, [0, 0, 0]),    # each row has its maximum
    (ops.logsumexp, 1e4 + math.log(2), [0, 0.5, 0.5]),
    (lambda x: ops.logsumexp(x[None] * [[1], [-1]], axis=1).sum(), 2e4 + math.log(2), [-1, 0.5, 0.5]),
    (lambda x: ops.label_cross_entropy(x, labels=np.array(0)), 2e4 + math.log(2), [-1, 0.5, 0.5]),
    (lambda x: ops.label_cross_entropy(x, labels=np.array(1)), math.log(2), [0, -0.5, 0.5]),
    (lambda x: ops.label_cross_entropy(x - 1e4, labels=np.array(0)), 2e4 + math.log(2), [-1, 0.5, 0.5]),
])
def test_nothing_overflows(f, value, slope):
    y, [x] = recorded(f, [np.array([-1e4, 1e4, 1e4])])
    y.backward(np.ones(y.shape))
    # e^(x - logsumexp x) rounds an exponent of size 1e4, which is off by eps 1e4
    close = 2e4 * np.finfo(np.float64).eps
    np.testing.assert_allclose(y.data, value, rtol=close)
    np.testing.assert_allclose(x.grad, slope, atol=close)


def test_the_slope_of_a_product_is_the_other_factor_at_zero_too():
    z, [x, y] = recorded(ops.mul, [np.array([0.0, 0, 3]), np.array([0.0, 2, 0])])
    z.backward(np.ones(3))
    assert x.grad.tolist() == [0, 2, 0] and y.grad.tolist() == [0, 0, 3]


def test_the_slope_of_a_quotient_does_not_overflow_where_its_square_would():
    y, [_, x] = recorded(ops.div, [np.float32(1e-30), np.float32(1e-30)])
    y.backward()
    np.testing.assert_allclose(x.grad, -1e30, rtol=1e-6)


@pytest.mark.parametrize("f", [
    lambda x, number: ops.clip(x, low=number(0), high=number(1)),
    lambda x, number: ops.clamp_ste(x, low=number(0), high=number(1))])
@pytest.mark.parametrize("number", [int, float, np.int64, np.float64])
def test_a_number_of_any_kind_as_metadata_leaves_float32(f, number):
    assert f(np.ones(2, np.float32), number).dtype == np.float32


def test_logsumexp_of_nothing_but_minus_infinity():
    assert ops.logsumexp(np.full(3, -np.inf)).data == -np.inf
    rows = ops.logsumexp(np.array([[-np.inf, -np.inf], [-np.inf, 3], [-np.inf, -1e4]]), axis=1)
    assert rows.data.tolist() == [-np.inf, 3, -1e4]


def test_logsumexp_with_infinity_is_infinity():
    assert ops.logsumexp(np.array([[np.inf, 0], [1, -np.inf]]), axis=1).data.tolist() == [np.inf, 1]


def test_the_slope_of_logsumexp_at_infinity_is_a_number():
    """0 where all are -inf, softmax where some are; the entries that are inf share it."""
    x = np.array([[-np.inf, -np.inf, -np.inf], [-np.inf, 3, 3], [np.inf, 1e4, np.inf], [0, np.inf, -np.inf]])
    y, [x] = recorded(lambda x: ops.logsumexp(x, axis=1), [x])
    y.backward(np.ones(4))
    slope = [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0, 1, 0]]
    np.testing.assert_allclose(x.grad, slope, rtol=1e-14)


# ------------------------------------------------------------ digits

class Formula(NamedTuple):
    """f and its slope in exact terms, where they are evaluated in longdouble.

    The inputs are of a dtype of eps; a rounding of x by eps / 2 changes f by |x f'| eps / 2, and the slope by
    |x f''| eps / 2. Beyond that, value and slope may be off by `ulps` eps of their own size.
    """
    value: Callable
    slope: Callable
    curve: Callable
    largest: float
    ulps: int = 8


def sech2(x):
    t = np.exp(-2 * np.abs(x))
    return 4 * t / (1 + t) ** 2


def logistic(x):
    return np.where(x > 0, 1 / (1 + np.exp(-x)), np.exp(x) / (1 + np.exp(x)))


DIGITS = {    # activations from -largest to largest: also where they all but vanish
    "sigmoid": Formula(logistic, lambda x: logistic(x) * logistic(-x), lambda x: logistic(x) * logistic(-x), 80),
    "tanh": Formula(np.tanh, sech2, lambda x: 2 * sech2(x), 40),
    "exp": Formula(np.exp, np.exp, np.exp, 80),
    "softplus": Formula(lambda x: np.logaddexp(0, x), logistic, lambda x: logistic(x) * logistic(-x), 80),
}
FLOATS = {dtype: np.finfo(dtype) for dtype in (np.float16, np.float32, np.float64)}
floats = pytest.mark.parametrize("dtype", FLOATS, ids=[f.dtype.name for f in FLOATS.values()])


def value_and_slope(f, x):
    y, [leaf] = recorded(f, [x])
    y.backward(np.ones(y.shape))
    assert y.dtype == leaf.grad.dtype == x.dtype
    return y.data.astype(np.longdouble), leaf.grad.astype(np.longdouble)


def assert_digits(actual, exact, tolerance, info):
    """Off by at most the tolerance, or by what the dtype cannot hold: a few of its smallest numbers."""
    error = np.abs(actual - exact)
    floor = 8 * np.longdouble(info.smallest_subnormal) + 8 * info.eps * np.longdouble(info.tiny)
    worst = (error / (tolerance + floor)).argmax()
    assert (error <= tolerance + floor).all(), (actual.flat[worst], exact.flat[worst])


@floats
@pytest.mark.parametrize("name", DIGITS)
@given(rng=rngs)
def test_the_tails_of_an_activation_keep_their_digits(name, dtype, rng):
    row, info = DIGITS[name], FLOATS[dtype]
    largest = min(row.largest, 0.9 * math.log(float(info.max)))
    x = np.append(rng.uniform(-largest, largest, 50), [-largest, 0, largest]).astype(dtype)
    value, slope = value_and_slope(getattr(ops, name), x)
    wide = x.astype(np.longdouble)
    f, f1, f2 = (np.abs(g(wide)) for g in (row.value, row.slope, row.curve))
    assert_digits(value, row.value(wide), info.eps * (row.ulps * f + np.abs(wide) * f1), info)
    assert_digits(slope, row.slope(wide), info.eps * (row.ulps * f1 + np.abs(wide) * f2), info)


@pytest.mark.parametrize("approximate", ["none", "tanh"])
@floats
@given(rng=rngs)
def test_gelu_keeps_its_digits_in_the_tail(approximate, dtype, rng):
    """Against math.erfc, and the tanh form as a quotient of exponentials; both fall like e^(-x^2 / 2), whose
    relative error is eps x^2, and that of the tanh form's e^-2u likewise, with u of the size of x^3 / 28."""
    info = FLOATS[dtype]
    largest = 3.0 if dtype == np.float16 else 8.0 if approximate == "none" else 5.5
    x = np.append(rng.uniform(-largest, largest, 50), [-largest, -0.0, 0, largest]).astype(dtype)
    value, slope = value_and_slope(lambda x: ops.gelu(x, approximate=approximate), x)
    z = x.astype(float)
    if approximate == "none":
        phi = np.array([math.erfc(-v / math.sqrt(2)) / 2 for v in z])
        density = np.exp(-z * z / 2) / math.sqrt(2 * math.pi)
    else:
        c = math.sqrt(2 / math.pi)
        phi = logistic(2 * c * (z + 0.044715 * z ** 3))
        density = 2 * c * (1 + 3 * 0.044715 * z * z) * phi * logistic(-2 * c * (z + 0.044715 * z ** 3))
    near = (info.eps + 2 * np.finfo(float).eps) * (12 + 4 * z * z)
    assert_digits(value, z * phi, near * np.abs(z) * phi, info)
    assert_digits(slope, phi + z * density, near * (phi + np.abs(z) * density), info)


def test_gelu_is_exact_to_1e_15():
    """x Phi(x) with Phi(x) = (1 + erf(x / sqrt 2)) / 2, on a dense grid and at infinity."""
    x = np.append(np.linspace(-9, 9, 4001), [-1e300, -60, 60, 1e300])
    phi = np.array([math.erfc(-v / math.sqrt(2)) / 2 for v in x])
    value, slope = value_and_slope(ops.gelu, x)
    np.testing.assert_allclose(value, x * phi, rtol=2e-15, atol=1e-15)
    density = np.exp(-np.clip(x, -40, 40) ** 2 / 2) / math.sqrt(2 * math.pi)
    np.testing.assert_allclose(slope, phi + np.clip(x, -40, 40) * density, rtol=0, atol=2e-15)
    for approximate in ("none", "tanh"):
        value, slope = value_and_slope(lambda x: ops.gelu(x, approximate=approximate), np.array([-np.inf, np.inf]))
        assert value.tolist() == [0, np.inf] and slope.tolist() == [0, 1]


def test_gelu_of_many_entries_is_that_of_each():
    x = np.random.default_rng(0).standard_normal((3, 40_000))
    whole = value_and_slope(ops.gelu, x)
    few = value_and_slope(ops.gelu, x[:, 11::4001].copy())
    turned = value_and_slope(ops.gelu, x.T)    # not in C order
    for many, each, of_columns in zip(whole, few, turned):
        np.testing.assert_allclose(many[:, 11::4001], each, rtol=1e-14, atol=1e-15)
        np.testing.assert_allclose(of_columns.T, many, rtol=1e-14, atol=1e-15)


FAR = {    # reductions of x + shift: f, and how far off f may be, in eps of shift
    "log_softmax": (lambda x: ops.log_softmax(x, axis=1), lambda x: x - x.max(1, keepdims=True) - np.log(
        np.exp(x - x.max(1, keepdims=True)).sum(1, keepdims=True)), 0),
    "softmax": (lambda x: ops.softmax(x, axis=1), lambda x: softmax(x - x.max(1, keepdims=True), axis=1), 0),
    "logsumexp": (lambda x: ops.logsumexp(x, axis=1), lambda x: x.max(1) + np.log(
        np.exp(x - x.max(1, keepdims=True)).sum(1)), 1),
    "label_cross_entropy": (lambda x: ops.label_cross_entropy(x, labels=np.zeros(len(x), int)), lambda x: np.log(
        np.exp(x - x[:, :1]).sum(1)), 0),
    "mean": (lambda x: ops.mean(x, axis=1), lambda x: x.mean(1), 1),
    "var": (lambda x: ops.var(x, axis=1), lambda x: x.var(1), 0),
    "var over rows": (lambda x: ops.var(x, axis=0), lambda x: x.var(0), 0),
}


@floats
@pytest.mark.parametrize("name", FAR)
@given(rng=rngs, shift=st.sampled_from([0, 1e2, -1e3, 1e4, 1e6, -1e8]))
def test_far_from_0_no_digits_are_lost(name, dtype, rng, shift):
    """The entries are rounded where they are, and exact from then on: only what is left counts."""
    f, reference, of_shift = FAR[name]
    info = FLOATS[dtype]
    if abs(shift) > 0.5 * float(info.max):
        return
    x = (rng.standard_normal((40, 7)) + shift).astype(dtype)
    wide = x.astype(np.longdouble)
    spread = np.ptp(wide) + 1
    exact = reference(wide)
    tolerance = info.eps * (40 * (spread + spread ** 2 * ("var" in name)) + of_shift * 2 * abs(shift))
    assert np.abs(f(Tensor(x)).data.astype(np.longdouble) - exact).max() <= tolerance


@pytest.mark.parametrize("shape, axis", [((20_000, 2), 0), ((150, 150, 2), (0, 1)), ((20_000, 2, 3), (0, -1)),
                                         ((2, 20_000), 1), ((2, 20_000, 1), -2)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_many_rows_are_added_up_without_losing_digits(shape, axis, order):
    """One after the other, the last of 20,000 equal rows would be rounded at 20,000 times its size."""
    x = np.full(shape, 0.1, np.float32)
    x += np.float32(0.01) * np.random.default_rng(0).random(shape, np.float32)
    x = np.asarray(x, order=order)
    exact = x.astype(float)
    eps = np.finfo(np.float32).eps
    for f in (ops.sum, ops.mean):
        value = f(x, axis=axis).data
        np.testing.assert_allclose(value, getattr(exact, f.__name__)(axis=axis), rtol=4 * eps)
        assert value.dtype == np.float32
    np.testing.assert_allclose(ops.var(x, axis=axis).data, exact.var(axis=axis), rtol=40 * eps)
    if axis != 1:
        bias = Tensor(np.zeros(x.shape[-1:], np.float32), requires_grad=True)
        (bias + x).backward(x)
        np.testing.assert_allclose(bias.grad, exact.reshape(-1, x.shape[-1]).sum(axis=0), rtol=4 * eps)
        bias.grad = None
        ops.linear(x, np.eye(x.shape[-1], dtype=np.float32), bias).backward(x)
        np.testing.assert_allclose(bias.grad, exact.reshape(-1, x.shape[-1]).sum(axis=0), rtol=4 * eps)


def test_float16_is_added_up_in_float32():
    """2048 + 1 is 2048 in float16, and 65504 its largest number."""
    ones = np.ones(6000, np.float16)
    assert ops.sum(ones).data == 6000 and ops.mean(30 * ones).data == 30
    assert ops.mean(np.full(10, 6e4, np.float16)).data == np.float16(6e4)
    assert ops.logsumexp(0 * ones).data == np.float16(math.log(6000))
    assert ops.softmax(0 * ones).data.sum(dtype=float) == pytest.approx(1, rel=1e-3)
    assert ops.var(np.append(0 * ones[:2000], [np.float16(500)])).data == pytest.approx(125, rel=2e-3)
    assert ops.avg_pool2d(np.full((1, 1, 2, 2), 6e4, np.float16), kernel_size=2).data == np.float16(6e4)
    shared = Tensor(np.ones(1, np.float16), requires_grad=True)
    (shared * ones).sum().backward()
    assert shared.grad == 6000
    table = Tensor(np.ones((2, 1), np.float16), requires_grad=True)
    table[np.zeros(6000, int)].sum().backward()
    assert table.grad.tolist() == [[6000], [0]]
    bias = Tensor(np.ones(1, np.float16), requires_grad=True)
    ops.linear(np.ones((6000, 1), np.float16), np.ones((1, 1), np.float16), bias).sum().backward()
    assert bias.grad == 6000


@pytest.mark.parametrize("x, y, d_x, d_y", [
    (0.0, -1.0, -np.inf, -np.inf), (0.0, 2.0, 0, 0), (0.0, 0.0, 0, 0), (0.0, 1.0, 1, 0), (0.0, 0.5, np.inf, 0),
    (3.0, 0.0, 0, math.log(3))])
def test_slopes_of_a_power_at_0(x, y, d_x, d_y):
    with np.errstate(divide="ignore"):
        z, leaves = recorded(ops.power, [np.array(x), np.array(y)])
        z.backward()
    assert [leaf.grad for leaf in leaves] == [d_x, d_y]


def test_nothing_flows_to_what_where_did_not_choose():
    """Not even an infinite slope times 0: so a root behind `where` has no NaN."""
    x = Tensor([0.0, 4.0], requires_grad=True)
    with np.errstate(divide="ignore"):
        ops.sqrt(ops.where(x.data > 0, x, 0.0)).sum().backward()
    assert x.grad.tolist() == [0, 0.25]


# ------------------------------------------------------------ refusals

x, image, filters = np.ones((2, 3)), np.ones((1, 2, 4, 4)), np.ones((5, 2, 3, 3))


@pytest.mark.parametrize("call, error, message", [
    (lambda: ops.add(x, np.ones(4)), ValueError,
     "add: arguments must fit together, got shapes (2, 3) and (4,); "),
    (lambda: ops.matmul(x, x), ValueError,
     "matmul: x must have shape (..., n, k) and y (..., k, m), got (2, 3) and (2, 3)"),
    (lambda: ops.matmul(x, np.ones(())), ValueError, "y (..., k, m), got (2, 3) and ()"),
    (lambda: ops.linear(x, np.ones((4, 2))), ValueError,
     "linear: x must have shape (..., in_features) and weight (out_features, in_features), got (2"),
    (lambda: ops.einsum(x, x, subscripts="ij,ij"), ValueError,
     'einsum: subscripts must be like "ij,jk->ik", each letter at most once'),
    (lambda: ops.einsum(x, subscripts="ij->i"), ValueError, "got 'ij->i'"),
    (lambda: ops.einsum(x, subscripts="ii->i"), ValueError, "got 'ii->i'"),
    (lambda: ops.einsum(x, subscripts="...i->...i"), ValueError, "got '...i->...i'"),
    (lambda: ops.mean(x[:0]), ValueError,
     "mean: x must have at least one entry along axis None, got shape (0, 3)"),
    (lambda: ops.max(x[:0], axis=0), ValueError, "max: x must have at least one entry along"),
    (lambda: ops.min(x[:0]), ValueError, "min: x must have at least one entry along axis None"),
    (lambda: ops.logsumexp(x[:0]), ValueError, "logsumexp: x must have at least one entry"),
    (lambda: ops.softmax(x[:0], axis=0), ValueError, "softmax: x must have at least one entry"),
    (lambda: ops.standardize(x[:0], axis=0, eps=1), ValueError, "standardize: x must have at least one entry"),
    (lambda: ops.var(x, axis=0, correction=2), ValueError,
     "var: the number of entries must be > correction=2, got 2"),
    (lambda: ops.sum(x, axis=2), ValueError, "sum: arguments must fit together, got shapes (2, 3)"),
    *[(lambda label=label: ops.label_cross_entropy(x, labels=np.array([0, label])), ValueError,
       "label_cross_entropy: arguments must fit together, got shapes (2, 3)") for label in (3, -1)],
    (lambda: ops.reshape(x, shape=4), ValueError, "reshape: arguments must fit together, got"),
    (lambda: ops.broadcast_to(x, shape=4), ValueError, "broadcast_to: arguments must fit together"),
    (lambda: ops.getitem(x, index=7), IndexError, "getitem: arguments must fit together, got"),
    (lambda: ops.pad(x, pad_width=-1), ValueError, "pad: arguments must fit together, got shapes"),
    (lambda: ops.mean(x, axis=2), ValueError,
     "mean: arguments must fit together, got shapes (2, 3); axis 2 is out of bounds"),
    (lambda: ops.matmul(x, 2.0), TypeError,
     "matmul: arguments must be tensors or arrays with axes, got 2.0; write x * y"),
    (lambda: ops.transpose(x, axes=0), ValueError, "transpose: arguments must fit together"),
    (lambda: ops.linear(x, x, bias=Tensor(1.0)), TypeError,
     "linear: a tensor must be a positional argument, got bias=Tensor"),
    (lambda: ops.where(x > 0, x, np.ones(4)), ValueError,
     "where: arguments must fit together, got shapes (2, 3) and (4,); "),
    (lambda: ops.concatenate([]), ValueError,
     "concatenate: arguments must fit together, got no arrays"),
    (lambda: ops.concatenate([x, x.T]), ValueError,
     "concatenate: arguments must fit together, got shapes (2, 3) and (3, 2); "),
    (lambda: ops.stack([x, x.T]), ValueError,
     "stack: arguments must fit together, got shapes (2, 3) and (3, 2); "),
    (lambda: ops.where(x, x, x), TypeError,
     "where: condition must be an array of bool, got dtype float64; write x.data > 0"),
    (lambda: ops.clip(x, low=1, high=0), ValueError, "clip: low must be <= high, got 1 > 0"),
    *[(lambda f=f: f(x, low=np.array([0.0, 3, 2]), high=np.array([[1.0], [2.5]])), ValueError,
       f"{f.__name__}: low must be <= high, got 3.0 > 1.0") for f in (ops.clip, ops.clamp_ste)],
    *[(lambda value=value: ops.pad(x, pad_width=1, value=value), TypeError, "pad: value must be a number, got ")
      for value in (None, (0, 0), np.zeros(1), "0")],
    *[(lambda c=c: ops.var(x, correction=c), TypeError, "var: correction must be a number, got ")
      for c in (None, np.zeros(1), "1")],
    (lambda: ops.var(x, correction=math.nan), ValueError, "var: the number of entries must be > correction=nan"),
    *[(lambda r=r: ops.label_cross_entropy(x, labels=np.array([0, 1]), reduction=r), ValueError,
       "label_cross_entropy: reduction must be") for r in ("avg", None, 1)],
    *[(lambda f=f, xs=xs: f(xs), TypeError, f"{f.__name__}: tensors must be a list of tensors, got ")
      for f in (ops.concatenate, ops.stack) for xs in (None, 2.0, np.array(1.0))],
    *[(lambda f=f: f([x, None]), TypeError, f"{f.__name__}: tensors must hold numbers, got None at place 1; did")
      for f in (ops.concatenate, ops.stack)],
    (lambda: ops.concatenate([x, x], axis=2), ValueError, "axis 2 is out of bounds for array of dimension 2"),
    (lambda: ops.concatenate([np.zeros(0), x], axis=1), ValueError, "concatenate: arguments must fit together"),
    (lambda: ops.transpose(np.ones(()), axes=(0,)), ValueError, "transpose: arguments must fit together"),
    (lambda: ops.einsum(x, subscripts=None), TypeError, "einsum: subscripts must be a string, got None"),
    (lambda: ops.sum(x, axis=10 ** 30), ValueError, "sum: arguments must fit together, got shapes (2, 3)"),
    (lambda: ops.clip(x, low=np.array(["a"])), TypeError, "clip: arguments must fit together"),
    (lambda: ops.where([[True], [True, False]], x, x), ValueError, "where: condition must be a regular array"),
    (lambda: ops.clamp_ste(x, low=1, high=0), ValueError,
     "clamp_ste: low must be <= high, got 1 > 0"),
    (lambda: ops.gelu(x, approximate="no"), ValueError,
     'gelu: approximate must be "none" or "tanh", got \'no\''),
    (lambda: ops.clip(x, low=np.array([0, 1, 0]), high=np.array([1, 0, 1])), ValueError,
     "clip: low must be <= high, got 1 > 0"),
    (lambda: ops.conv2d(x, filters), ValueError,
     "conv2d: x must have shape (N, C, H, W) and weight (O, C, kh, kw), got (2, 3) and (5, "),
    (lambda: ops.conv2d(image[:, :1], filters), ValueError, "got (1, 1, 4, 4) and (5, 2, 3, 3)"),
    (lambda: ops.conv2d(image, filters, stride=0), ValueError,
     "conv2d: stride must be an int >= 1 or two of them, got 0"),
    (lambda: ops.conv2d(image, filters, padding=0.5), ValueError,
     "conv2d: padding must be an int >= 0 or two of them, got 0.5"),
    (lambda: ops.conv2d(image[:, :, :2], filters), ValueError,
     "at most the padded image (2, 4), got (3, 3)"),
    (lambda: ops.conv2d(image, filters, dilation=(1, 2)), ValueError,
     "conv2d: kernel_size must be at most the padded image (4, 4), got (3, 3) with dilation (1, 2)"),
    (lambda: ops.conv2d(image, filters, dilation=0), ValueError,
     "conv2d: dilation must be an int >= 1 or two of them, got 0"),
    (lambda: ops.conv2d(image, filters, groups=0), ValueError, "conv2d: groups must be an int >= 1, got 0"),
    (lambda: ops.conv2d(image, filters, groups=2), ValueError,
     "conv2d: x must have shape (N, C, H, W) and weight (O, C / groups, kh, kw), got (1, 2, 4, 4) and (5, 2, 3, 3) "
     "with groups=2"),
    (lambda: ops.conv2d(image, filters[:, :1], groups=2), ValueError,
     "conv2d: groups must divide O = 5, the number of filters, got 2"),
    (lambda: ops.conv2d(image, filters[:, :, :0]), ValueError, "conv2d: kernel_size must be an int >= 1, got 0"),
    (lambda: ops.conv2d(image, filters, padding="full"), ValueError,
     "conv2d: padding must be an int >= 0, \"valid\" or \"same\", got 'full'"),
    (lambda: ops.conv2d(image, filters, stride=(1, 2), padding="same"), ValueError,
     'conv2d: stride must be 1 with padding="same", got (1, 2)'),
    (lambda: ops.max_pool2d(x, kernel_size=2), ValueError,
     "max_pool2d: x must have shape (N, C, H, W), got (2, 3)"),
    (lambda: ops.max_pool2d(image, kernel_size=3, padding=2), ValueError,
     "max_pool2d: padding must be at most half of kernel_size=(3, 3), got (2, 2)"),
    (lambda: ops.avg_pool2d(image, kernel_size=(1, 2, 3)), ValueError,
     "avg_pool2d: kernel_size must be an int >= 1 or two of them, got (1, 2, 3)"),
])
def test_refusals_say_what_was_wanted_and_what_came(call, error, message):
    with pytest.raises(error, match=r"\b" + re.escape(message)):
        call()


@given(rngs, st.integers(2, 4), st.booleans())
def test_one_filter_for_each_channel_is_a_convolution_of_each_channel_alone(rng, c, has_bias):
    (kh, kw), stride, dilation = rng.integers(1, 4, 2), int(rng.integers(1, 3)), int(rng.integers(1, 3))
    padding = "same" if stride == 1 and rng.integers(2) else int(rng.integers(3))
    x, w = (Tensor(rng.standard_normal(shape), requires_grad=True) for shape in ((3, c, 7, 8), (c, 1, kh, kw)))
    b = Tensor(rng.standard_normal(c), requires_grad=True) if has_bias else None
    options = dict(stride=stride, padding=padding, dilation=dilation)
    y = ops.conv2d(x, w, b, groups=c, **options)
    g = rng.standard_normal(y.shape)
    y.backward(g)
    for i in range(c):
        x_i, w_i = Tensor(x.data[:, i:i + 1], requires_grad=True), Tensor(w.data[i:i + 1], requires_grad=True)
        b_i = Tensor(b.data[i:i + 1], requires_grad=True) if has_bias else None
        y_i = ops.conv2d(x_i, w_i, b_i, **options)
        y_i.backward(g[:, i:i + 1])
        pairs = [(y.data[:, i:i + 1], y_i.data), (x.grad[:, i:i + 1], x_i.grad), (w.grad[i:i + 1], w_i.grad)]
        pairs += [(b.grad[i:i + 1], b_i.grad)] if has_bias else []
        for found, expected in pairs:
            np.testing.assert_allclose(found, expected, atol=1e-12)


def test_of_an_odd_number_of_zeros_the_odd_one_is_at_the_end():
    """A filter of 2 pixels reads each pixel and the next one, as in PyTorch."""
    x, second = np.arange(1.0, 7).reshape(1, 1, 2, 3), np.array([[[[0.0, 1.0]]]])
    for dilation, expected in ((1, [[2, 3, 0], [5, 6, 0]]), (3, [[3, 0, 0], [6, 0, 0]]), (2, [[2, 3, 0], [5, 6, 0]])):
        y = ops.conv2d(x, second, padding="same", dilation=dilation)
        np.testing.assert_array_equal(y.data[0, 0], expected)
    down = ops.conv2d(x, second.swapaxes(2, 3), padding="same")
    np.testing.assert_array_equal(down.data[0, 0], [[4, 5, 6], [0, 0, 0]])


def test_concatenate_joins_along_the_first_axis_if_none_is_named():
    x, y = np.ones((2, 3)), np.zeros((1, 3))
    np.testing.assert_array_equal(ops.concatenate([x, y]).data, np.concatenate([x, y]))
