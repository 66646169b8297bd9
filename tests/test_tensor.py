"""The laws of the engine: what is recorded, how it is walked back, what stays, what is refused."""
import copy
import functools
import gc
import inspect
import math
import operator
import pickle
import re
import threading
import tracemalloc
import weakref
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import (
    anything,
    arrays,
    broadcastable,
    differ,
    programs,
    quarters,
    rngs,
    run,
)

import tinyml
from tinyml import Tensor, gradcheck, no_grad, ops, primitive
from tinyml.nn import Parameter
from tinyml.phrasebook import WRITE
from tinyml.tensor import mode, unbroadcast, walk


def leaf(data, dtype=np.float64):
    return Tensor(np.asarray(data, dtype), requires_grad=True)


def raises(error, message):
    return pytest.raises(error, match=re.escape(message))


# ------------------------------------------------------------ the walk back

@given(programs, broadcastable(3), rngs)
def test_gradients_of_random_graphs(program, shape, rng):
    leaves = [anything(rng, s) for s in shape.input_shapes]
    assert gradcheck(lambda *tensors: run(program, tensors), *leaves, rng=rng)


@st.composite
def graphs(draw):
    """The output of a program on leaves of shapes that broadcast and of both dtypes."""
    rng, dtypes = draw(rngs), st.sampled_from([np.float32, np.float64])
    return run(draw(programs), [leaf(anything(rng, s), draw(dtypes)) for s in draw(broadcastable(3)).input_shapes])


@given(graphs())
def test_the_walk_meets_every_tensor_once_the_newest_first(root):
    """So that no gradient is handed on before it is complete, and none twice."""
    met = [tensor for tensor, _ in walk(root, np.ones(root.shape, root.dtype))]
    inner = [tensor.serial for tensor in met if tensor.edges]
    assert met[0] is root and len(set(met)) == len(met)
    assert inner == sorted(inner, reverse=True) and all(tensor.edges for tensor in met[:len(inner)])    # leaves last
    assert {parent for tensor in met for parent, _ in tensor.edges} == set(met) - {root}
    place = {tensor: i for i, tensor in enumerate(met)}
    assert all(place[parent] > place[tensor] for tensor in met for parent, _ in tensor.edges)


def test_a_leaf_comes_last_however_new_it_is():
    a = leaf(2.0)
    b = 3 * a
    c = leaf(5.0)    # newer than b
    root = b * c
    met = [tensor for tensor, _ in walk(root, np.ones(()))]
    assert met[:2] == [root, b] and set(met[2:]) == {a, c}


@given(graphs())
def test_every_tensor_gets_an_array_of_its_own_shape_and_dtype(root):
    for tensor, g in walk(root, np.ones(root.shape, root.dtype)):
        assert type(g) is np.ndarray and g.shape == tensor.shape and g.dtype == tensor.dtype


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_parts_without_axes_add_up_to_an_array_without_axes(dtype):
    x = leaf(3.0, dtype)
    root = x * x
    [(_, _), (_, g)] = walk(root, np.ones((), dtype))
    assert type(g) is np.ndarray and g.dtype == dtype and g.shape == () and g == 6


@given(graphs())
def test_a_watcher_is_told_of_every_part_and_the_parts_are_the_whole(root):
    told = []
    mode.watcher = SimpleNamespace(passed_back=lambda *part: told.append(part))
    try:
        grads = dict(walk(root, np.ones(root.shape, root.dtype)))
    finally:
        mode.watcher = None
    edges = [(t.serial, parent.serial) for t in grads for parent, _ in t.edges]
    assert sorted((t.serial, parent.serial) for t, parent, _ in told) == sorted(edges)
    for tensor in set(grads) - {root}:
        parts = [part for _, parent, part in told if parent is tensor]
        assert all(part.shape == tensor.shape and part.dtype == tensor.dtype for part in parts)
        # up to 12 users of each of 12 tensors in a row, of numbers that shrink: sums of float32 keep five digits
        np.testing.assert_allclose(sum(parts), grads[tensor], rtol=1e-4, atol=1e-4)


def test_a_chain_of_20_000_operations_needs_no_recursion_and_is_freed():
    x = leaf(1.0)
    y = first = -x
    for _ in range(19_999):
        y = -y
    first = weakref.ref(first)
    y.backward()
    assert x.grad == 1 and first() is not None
    del y
    assert first() is None


def test_every_backward_adds_the_gradients_once_more():
    x, w = leaf([1.0, 2.0]), leaf(3.0)
    y = (x * w + x).sum()
    for n in (1, 2, 3):
        y.backward()
        np.testing.assert_array_equal(x.grad, n * np.full(2, 4.0))
        np.testing.assert_array_equal(w.grad, n * 3.0)
    assert y.grad is None, "only leaves keep a gradient"


def test_backward_of_a_leaf_and_from_a_given_gradient():
    x = leaf(3.0, np.float32)
    x.backward()
    assert x.grad == 1 and x.grad.dtype == np.float32
    x = leaf([1.0, 2.0])
    x.backward([3, 4])
    (2 * x).backward(np.array([1.0, 0.0]))
    np.testing.assert_array_equal(x.grad, [5, 4])


def test_grad_does_not_follow_an_array_of_the_caller():
    x, g = leaf([1.0, 2.0]), np.ones(2)
    (x + 0).backward(g)
    g[:] = 7
    np.testing.assert_array_equal(x.grad, [1, 1])


def test_backward_belongs_to_the_value_that_was_there():
    p = leaf(2.0)
    loss = p * p
    p.data = p.data - 1.5    # what an optimizer does
    loss.backward()
    assert p.grad == 4


# ------------------------------------------------------------ memory

def mlp_step(w, b, x):
    """A step whose activations take megabytes; returns a weak reference to one of them."""
    hidden = ops.relu(ops.linear(x, w, b))
    scores = ops.logsumexp(hidden * hidden.sigmoid() + x @ w.T, axis=1)
    (scores.mean() + hidden[0].max() ** 2).backward()
    w.data = w.data - 0.1 * w.grad
    w.grad = b.grad = None
    return weakref.ref(hidden)


@contextmanager
def traced_without_collector():
    """The trace of memory, with Python's cyclic collector switched off."""
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        yield tracemalloc
    finally:
        tracemalloc.stop()
        gc.enable()


def test_memory_falls_back_without_the_cyclic_collector():
    rng = np.random.default_rng(0)
    w, b = leaf(rng.normal(size=(300, 300))), leaf(np.zeros(300))
    x = Tensor(rng.normal(size=(500, 300)))
    mlp_step(w, b, x)
    with traced_without_collector() as trace:
        before, _ = trace.get_traced_memory()
        hidden = mlp_step(w, b, x)
        after, peak = trace.get_traced_memory()
        assert hidden() is None
        assert gc.collect() == 0, "nothing waited for the collector"
    assert peak - before > 4e6, "the step holds its activations while it runs"
    assert after - before < 1e6, "and the weight's new array, 0.7 MB, is all that is left"


def test_backward_frees_each_gradient_once_it_is_passed_on():
    x = y = leaf(np.zeros(100_000))
    for _ in range(50):
        y = -y
    with traced_without_collector() as trace:
        y.backward(np.ones(100_000))
        _, peak = trace.get_traced_memory()
    assert peak < 5 * x.data.nbytes


@given(arrays())
def test_grad_fits_its_tensor_is_read_only_and_shares_no_data(data):
    x, y = leaf(data), leaf(data, np.float32)
    (x + y).sum().backward()
    for tensor in (x, y):
        assert tensor.grad.shape == tensor.shape and tensor.grad.dtype == tensor.dtype
        assert not any(np.shares_memory(tensor.grad, t.data) for t in (x, y))
        with pytest.raises(ValueError, match="read-only"):
            tensor.grad += 1


# ------------------------------------------------------------ broadcasting

@given(broadcastable(2), rngs)
def test_unbroadcast_is_the_adjoint_of_broadcast_to(shape, rng):
    x, g = anything(rng, shape.input_shapes[0]), anything(rng, shape.result_shape)
    back = unbroadcast(g, x.shape)
    assert back.shape == x.shape
    # <broadcast_to(x, s), g> = <x, unbroadcast(g)>: the same 27 products below 4, in another order
    forward = np.vdot(np.broadcast_to(x, g.shape), g)
    assert abs(forward - np.vdot(x, back)) < 27 * 27 * 4 * np.finfo(float).eps


@pytest.mark.parametrize("g_shape, shape", [((0,), (1,)), ((2, 1, 0), (1, 1)), ((0, 3), (3,)), ((1, 0), (1, 0))])
def test_unbroadcast_of_what_was_stretched_to_nothing_is_zero(g_shape, shape):
    np.testing.assert_array_equal(unbroadcast(np.ones(g_shape), shape), np.zeros(shape), strict=True)


misfits = pytest.mark.parametrize("g_shape, shape", [
    ((3,), (2,)), ((2, 3), (2, 1, 3)), ((1,), (3,)), ((), (1,)), ((4, 2, 3), (3, 1)), ((0,), (2,))])


@misfits
def test_unbroadcast_refuses_what_no_broadcasting_gives(g_shape, shape):
    with pytest.raises(ValueError):
        unbroadcast(np.ones(g_shape), shape)


@misfits
def test_unbroadcast_says_what_it_refuses(g_shape, shape):
    with raises(ValueError, f"g must have a shape that {shape} broadcasts to, got {g_shape}"):
        unbroadcast(np.ones(g_shape), shape)


# ------------------------------------------------------------ what is recorded

def test_no_grad_records_nothing_and_gives_back_the_state_before():
    x = leaf(1.0)
    with no_grad():
        with no_grad():
            assert not (x * 2).requires_grad
        assert not (x * 2).requires_grad and (x * 2).edges == ()
    assert (x * 2).requires_grad
    with pytest.raises(KeyError), no_grad():
        raise KeyError
    assert (x * 2).requires_grad


def test_no_grad_as_a_decorator():
    @no_grad()
    def double(x, depth=2):
        return double(x, depth - 1) if depth else 2 * x
    x = leaf(1.0)
    assert not double(x).requires_grad and not double(x).requires_grad
    assert (2 * x).requires_grad


def test_no_grad_acts_on_its_own_thread():
    x, recorded = leaf(1.0), []
    with no_grad():
        thread = threading.Thread(target=lambda: recorded.append((2 * x).requires_grad))
        thread.start()
        thread.join()
    assert recorded == [True]


def test_only_tensors_that_need_a_gradient_are_recorded():
    x, constant = leaf([1.0]), Tensor([2.0])
    y = x * constant
    assert [parent for parent, _ in y.edges] == [x] and y.op == "mul"
    assert not (constant * 2).requires_grad
    assert not y.detach().requires_grad and np.shares_memory(y.detach().data, y.data)
    y.sum().backward()
    assert constant.grad is None


# ------------------------------------------------------------ dtypes

@pytest.mark.parametrize("data, dtype", [
    ([1, 2], np.float32), ([1.5], np.float32), (True, np.float32), (7, np.float32),
    (1.5, np.float32), (np.arange(3), np.float32), (np.ones(2, np.uint8), np.float32),
    (np.ones(2, bool), np.float32), (np.ones(2), np.float64), (np.float64(1), np.float64),
    (np.ones(2, np.float32), np.float32), (np.ones(2, np.float16), np.float16),
    (Tensor(np.ones(2)), np.float64)])
def test_dtype_of_a_new_tensor(data, dtype):
    tensor = Tensor(data)
    assert tensor.dtype == dtype
    np.testing.assert_array_equal(tensor.data, np.asarray(data))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("constant", [
    2, 2.0, True, np.float64(2), np.float32(2), np.int64(2), np.array(2.0), np.array([2.0, 2.0]),
    np.array([2, 2]), [2.0, 2.0]], ids=repr)
def test_a_constant_takes_the_dtype_of_the_tensor_it_meets(constant, dtype):
    x = leaf([1.0, 2.0], dtype)
    for y in (x + constant, constant + x, x - constant, constant - x, x * constant, constant * x,
              x / constant, constant / x, x ** constant, constant ** x, ops.maximum(constant, x),
              ops.einsum(x, constant, subscripts="i,i->i" if np.ndim(constant) else "i,->i"),
              ops.stack([x, constant] if np.ndim(constant) else [x[0], constant, x[1]])[:2],
              ops.where([True, False], x, constant), ops.where([True, False], constant, x)):
        assert type(y) is Tensor and y.dtype == dtype
        [(_, vjp)] = y.edges
        assert vjp(np.ones(2, dtype)).dtype == dtype    # of itself, not because the engine casts


@pytest.mark.parametrize("number", [0, 1, -1.5, 2 ** 62, True, np.float32(2)], ids=repr)
def test_numbers_alone_become_float32(number):
    """So a mask of numbers leaves a float32 model as it is: where(x > 0, 1.0, 0.0) * x."""
    results = [f(number) for f in (ops.abs, ops.neg, ops.tanh, ops.relu, ops.sum, ops.round_ste)]
    results += [f(number, 2) for f in (ops.add, ops.sub, ops.mul, ops.div, ops.maximum, ops.minimum)]
    results += [ops.where([True, False], number, 0), ops.stack([number, 1.0]), ops.broadcast_to(number, shape=(2,))]
    x = leaf([1.0, 2.0], np.float32)
    assert all(y.dtype == (y * x).dtype == np.float32 for y in results)


def test_two_tensors_follow_numpy_and_each_gradient_its_tensor():
    x, y = leaf([1.0], np.float32), leaf([2.0], np.float64)
    assert (x * y).dtype == np.float64
    (x * y).sum().backward()
    assert x.grad.dtype == np.float32 and y.grad.dtype == np.float64


def test_an_array_on_the_left_lets_the_tensor_answer():
    a, x = np.array([[1.0, 2.0], [3.0, 4.0]]), leaf([[5.0, 6.0], [7.0, 8.0]])
    for op in (operator.add, operator.sub, operator.mul, operator.truediv, operator.matmul, pow):
        y = op(a, x)
        assert type(y) is Tensor and y.requires_grad
        np.testing.assert_array_equal(y.data, op(a, x.data))
    assert type(a[0, 0] * x) is Tensor


# ------------------------------------------------------------ a tensor as a Python object

@pytest.mark.parametrize("expression", [
    "-x", "abs(x)", "x + 2", "2 + x", "x - 2", "2 - x", "x * 2", "2 * x", "x / 2", "2 / x",
    "x ** 2", "2 ** x", "x @ x.T", "x.T @ x", "x[0]", "x[:, 1:]", "x[[0, 1, 1]]", "x.clip(0.5, 1)",
    "x.sum()", "x.sum(0)", "x.mean(axis=1, keepdims=True)", "x.max(axis=0)", "x.var(0)",
    "x.min(1, keepdims=True)", "x.reshape(3, 2)", "x.reshape((3, -1))", "x.reshape(6)",
    "x.swapaxes(0, 1)", "x.transpose()", "x.transpose(0, 1)", "x.transpose((1, 0))", "x.argmax()",
    "x.argmax(axis=1)", "x.shape", "x.size", "x.ndim", "len(x)"])
def test_an_expression_means_the_same_for_a_tensor_and_for_an_array(expression):
    array = np.random.default_rng(0).normal(size=(2, 3))
    actual, expected = eval(expression, dict(x=leaf(array))), eval(expression, dict(x=array))
    if isinstance(actual, Tensor):
        assert actual.requires_grad
        actual = actual.data
    np.testing.assert_allclose(actual, expected, rtol=1e-14, strict=True)


@pytest.mark.parametrize("name", ["exp", "log", "sqrt", "abs", "tanh", "sigmoid", "relu"])
def test_a_method_is_the_operation_of_that_name(name):
    x = leaf([0.5, 2.0])
    y = getattr(x, name)()
    assert y.op == name
    np.testing.assert_array_equal(y.data, getattr(ops, name)(x).data)


def test_iteration_length_item_and_truth():
    x = leaf([[1.0, 2.0], [3.0, 4.0]])
    assert len(x) == 2 and [row.shape for row in x] == [(2,), (2,)]
    sum(row[0] * row[1] for row in x).backward()
    np.testing.assert_array_equal(x.grad, [[2, 1], [4, 3]])
    assert x[0, 1].item() == 2.0 and type(x[0, 1].item()) is float
    assert float(x.detach()[1, 0]) == 3.0
    assert x[0, 0] and not Tensor([0.0])


@given(arrays(quarters), rngs)
def test_comparisons_answer_with_arrays_of_bool(left, rng):
    right = quarters(rng, left.shape)
    for compare in (operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge):
        for answer in (compare(leaf(left), right), compare(leaf(left), leaf(right)),
                       compare(left, leaf(right))):
            np.testing.assert_array_equal(answer, compare(left, right), strict=True)


def test_a_tensor_is_a_key_by_identity():
    x, y = Tensor([1.0]), Tensor([1.0])
    assert {x: "x", y: "y"}[x] == "x"


def test_a_deep_copy_shares_nothing():
    x = leaf([1.0])
    (2 * x).sum().backward()
    twin, again = copy.deepcopy([x, x])
    assert twin is again and twin.requires_grad and twin.grad is None and twin.op is None
    assert not np.shares_memory(twin.data, x.data) and twin.data == x.data


def test_numpy_reads_constants():
    x = Tensor([1.0, 2.0])
    np.testing.assert_array_equal(np.asarray(x), [1, 2])
    assert np.asarray(x, dtype=np.float64).dtype == np.float64
    assert np.shares_memory(np.asarray(x), x.data) and not np.shares_memory(np.array(x), x.data)


def test_repr_says_shape_dtype_and_origin():
    assert repr(Tensor([1.0])) == "Tensor([1.], shape=(1,), dtype=float32)"
    assert repr(leaf(1.0)) == "Tensor(1., shape=(), dtype=float64, requires_grad=True)"
    assert repr(leaf(1.0) + 1) == "Tensor(2., shape=(), dtype=float64, op=add)"


# ------------------------------------------------------------ refusals

@pytest.mark.parametrize("data, error, message", [
    ("text", TypeError, "Tensor: data must hold real numbers, got str of dtype <U4"),
    (["a", "b"], TypeError, "Tensor: data must hold real numbers, got list of dtype <U1"),
    (1j, TypeError, "Tensor: data must hold real numbers, got complex of dtype complex128"),
    (None, TypeError, "Tensor: data must hold real numbers, got None"),
    ([None], TypeError, "Tensor: data must hold real numbers, got list of dtype object"),
    (np.array([{}]), TypeError, "Tensor: data must hold real numbers, got ndarray of dtype object"),
    ([[1, 2], [3]], ValueError, "Tensor: data must be a regular array, got")], ids=repr)
def test_refuses_data_that_is_not_an_array_of_real_numbers(data, error, message):
    with raises(error, message):
        Tensor(data)
    with raises(error, message.replace("Tensor", "mul")):
        leaf([1.0, 2.0]) * data


@pytest.mark.parametrize("name, sign", [("iadd", "+"), ("isub", "-"), ("imul", "*"), ("ipow", "**"),
                                        ("itruediv", "/"), ("imatmul", "@")])
def test_refuses_in_place_arithmetic(name, sign):
    x = leaf([1.0, 2.0])
    with raises(TypeError, f"x {sign}= y is refused, results computed before may need x; "
                           f"write x = x {sign} y"):
        getattr(operator, name)(x, np.ones(2))


@pytest.mark.parametrize("name", ["ifloordiv", "imod", "iand", "ior", "ixor", "ilshift", "irshift"])
def test_refuses_in_place_operators_that_have_no_gradient(name):
    with pytest.raises(TypeError, match="unsupported operand type|^Tensor: x .* y (has no gradient|needs bool); write"):
        getattr(operator, name)(leaf([1.0, 2.0]), 2)


@pytest.mark.parametrize("call, error, message", [
    (lambda x: operator.setitem(x, 0, 1.0), TypeError,
     "Tensor: x[i] = v would change a value that a gradient may need; write y = tinyml.where("),
    (lambda x: bool(x), ValueError,
     "Tensor: the truth of many elements is ambiguous, got shape (2,); write"),
    (lambda x: x.item(), ValueError, "item: the tensor must have one element, got shape (2,)"),
    (lambda x: float(x.detach()), ValueError, "item: the tensor must have one element, got shape (2,)"),
    (lambda x: np.asarray(x), TypeError, "Tensor: NumPy cannot carry a gradient; write x.data"),
    (lambda x: np.asarray(2 * x), TypeError, "Tensor: NumPy cannot carry a gradient; write x.data"),
    (lambda x: x.backward(), ValueError,
     "backward: the tensor must be a scalar, got shape (2,); write"),
    (lambda x: x.backward(np.ones(3)), ValueError,
     "backward: gradient must have shape (2,), got (3,)"),
    (lambda x: x.backward([[1], [1, 2]]), ValueError, "data must be a regular array"),
    (lambda x: x.detach().sum().backward(), RuntimeError,
     "backward: the tensor must depend on one with requires_grad=True, got Tensor(3., shape=()"),
    (lambda x: no_grad()(x.sum)().backward(), RuntimeError, "outside no_grad()"),
    (lambda x: x + np.ones(3), ValueError,
     "add: arguments must fit together, got shapes (2,) and (3,); "),
    (lambda x: x[2], IndexError,
     "getitem: arguments must fit together, got shapes (2,); index 2 is out of bounds"),
    (lambda x: x.backward(["a", "b"]), TypeError, "backward: data must hold real numbers, got"),
    (lambda x: (x + np.ones((2, 1))).transpose(0), ValueError, "transpose: arguments must fit"),
])
def test_refusals_say_what_to_write(call, error, message):
    x = leaf([1.0, 2.0])
    with raises(error, message):
        call(x)
    assert x.grad is None
    np.testing.assert_array_equal(x.data, [1, 2])


# ------------------------------------------------------------ what a newcomer types first

x, loss, one = leaf([[0.5, 2.0], [1.0, 3.0]]), leaf(0.25), Tensor([4.0])
WORKS = {    # expression -> value
    'f"{loss:.3f}"': "0.250",
    'f"{one:.1f} {loss:>8.2%} {loss}"': "4.0   25.00% " + repr(loss),
    "loss.item()": 0.25, "bool(loss)": True, "4.0 in one": True, "5.0 in one": False,
    "float(one)": 4.0, "int(one)": 4, "math.exp(one)": math.exp(4), '"%.1f" % one': "4.0",
    "no_grad()(lambda: float(loss))()": 0.25, "no_grad()(lambda: np.sum(x))()": 6.5,
    "np.sum(one)": 4.0, "np.sqrt(one)": [2.0], "np.mean([one, one])": 4.0, "np.array(one)": [4.0],
    "np.concatenate([one, one])": [4.0, 4.0], "np.linalg.norm(one)": 4.0, "np.add.reduce(one)": 4.0,
    "np.shape(x)": (2, 2), "np.ndim(x)": 2, "np.zeros_like(x)": np.zeros((2, 2)), "np.isnan(loss)": False,
    "np.equal(x, 2.0)": [[False, True], [False, False]], "np.argmax(x)": 3, "np.array_equal(x, x)": True,
    "len(x)": 2, "x.size": 4, "sum(x.data.tolist()[0])": 2.5, "max(loss, one).item()": 4.0, "hash(x) == id(x) // 16": True,
    "copy.copy(x).grad": None, "pickle.loads(pickle.dumps(x)).data": x.data, "copy.deepcopy(one).data": [4.0],
    "Tensor([0.0], True).requires_grad": True, "Tensor([0.0], np.True_).requires_grad": True,
}
SAYS = {    # expression -> words of its error
    "np.sum(x)": "NumPy's sum would lose the gradient; write x.sum()", "np.exp(x)": "write x.exp()",
    "np.mean(x, axis=0)": "write x.mean()", "np.mean([loss, loss])": "tinyml.stack(list)", "np.std(x)": "write x.var().sqrt()",
    "np.linalg.norm(x)": "write (x * x).sum().sqrt()", "np.square(x)": "write x * x", "np.maximum(x, 0)": "ops.maximum(x, y)",
    "np.concatenate([x, x])": "write tinyml.concatenate([x, y])", "np.stack([one, loss])": "write tinyml.stack",
    "np.dot(x, x)": "write x @ y", "np.log1p(x)": "write (1 + x).log()", "np.where(x > 1, x, 0)": "write tinyml.where(",
    "np.reshape(x, -1)": "write x.reshape(shape)", "np.add.reduce(x)": "write x + y", "np.sin(x)": "write x.data",
    "np.logsumexp(x)": "module 'numpy' has no attribute", "np.add(one.data, one, out=one.data)": "write a = a + x",
    "np.array(x)": "write x.data", "np.array([loss, loss])": "write x.data", "np.float64(loss)": "write x",
    "float(loss)": "write x.item()", "math.exp(loss)": "write x.item() for the number, or the method, such as x.exp()",
    "math.sqrt(loss)": "write x.item()", "int(loss)": "write x.item()", "round(loss)": "write round(x.item(), n)",
    "round(one, 2)": "write round(x.item(), n)", "math.floor(loss)": "write x.item()", '"%.3f" % loss': "write x.item()",
    "f'{x:.2f}'": "a format needs one element", "bool(x)": "write (x.data > 0).any()",
    "len(loss)": "without axes has no length", "list(loss)": "without axes has no length", "loss[0]": "getitem: ",
    "x[one]": "write x[index.data.astype(int)]", "x[1.0]": "getitem: ", "x[9]": "getitem: ",
    "x.mean(dim=0)": "dim is called axis here; write axis=0", "x.sum(1, keepdim=True)": "write keepdims=True",
    "x.max(dim=1)": "write axis=1", "x.min(dim=1)": "write axis=1", "x.argmax(dim=1)": "write axis=1",
    "x.var(unbiased=True)": "write correction=True", "x.var(0, ddof=1)": "write correction=1",
    "x.clip(min=0)": "write low=0", "ops.sum(x, dim=0)": "write axis=0", "ops.softmax(x, dim=0)": "write axis=0",
    "x.sum(colour=1)": "colour", "x.mean(axis='a')": "mean: ", "x.clip(max=2)": "write high=2",
    "x @ 2": "matmul: arguments must be tensors or arrays with axes, got 2; write x * y", "2 @ x": "matmul: ",
    "x + None": "add: data must hold real numbers, got None", "x * 'a'": "mul: data must hold real",
    "x // 2": "write x.data // y", "x % 2": "write x.data % y", "divmod(x, 2)": "write divmod(x.data, y)",
    "7 % x": "write x.data % y", "~x": "write ~(x.data > 0)", "x & x": "write (x.data > 0) &", "x | x": "(x.data > 0) |",
    "x.size()": "write x.size, or x.shape", "x.size(0)": "write x.size, or x.shape", "x.numpy()": "write x.data",
    "x.view(4)": "write x.reshape(shape)", "x.unsqueeze(0)": "write x[:, None]", "x.squeeze()": "write x[:, 0]",
    "x.cpu()": "write x", "x.to('cuda')": "write x", "x.float()": "write x", "x.permute(1, 0)": "write x.transpose(axes)",
    "x.flatten()": "write x.reshape(-1)", "x.norm()": "write (x * x).sum().sqrt()", "x.std()": "write x.var().sqrt(), or x.var(correction=1).sqrt() as in PyTorch",
    "x.pow(2)": "write x ** y", "x.log_softmax(-1)": "write tinyml.functional.log_softmax(x, axis=-1)",
    "x.requires_grad_()": "write x.requires_grad = True", "x.t()": "write x.T", "x.dim()": "write x.ndim",
    "x.matmul(x)": "write x @ y", "x.add_(1)": "write x = x + y", "x.abs_()": "write x = x.abs()", "x.zero_()": "write x.data =",
    "x.astype(int)": "write x.data.astype(dtype)", "x.clone()": "write x, no operation", "x.cumsum(0)": "write np.tri(n) @ x",
    "x.logsumexp(0)": "write tinyml.ops.logsumexp(x, axis=-1)", "x.searchsorted(1)": "write x.data.searchsorted",
    "x.nonsense": "Tensor: no attribute 'nonsense'", "x.grad_fn": "write x.op", "x.is_leaf": "write not x.edges",
    "copy.copy(x * 2)": "write x itself", "copy.deepcopy(x * 2)": "x.detach()", "pickle.dumps(x * 2)": "x.detach()",
    "Tensor(x)": "write x itself, or x.detach()", "Tensor([loss, loss])": "write x.data",
    "Tensor([1.0], np.float64)": "write Tensor(np.asarray(data, dtype))", "setattr(x, 'name', 1)": "name",
    "ops.relu(None)": "relu: data must hold real numbers, got None", "ops.softmax(2.0)": "softmax: ",
    "ops.softmax('a')": "softmax: data must hold real numbers", "ops.exp({})": "exp: data must hold real numbers",
}
NAMES = {name: globals()[name] for name in ("Tensor", "copy", "loss", "math", "no_grad", "np", "one", "ops", "pickle", "x")}


@pytest.mark.parametrize("expression", WORKS)
def test_what_a_newcomer_types_works(expression):
    np.testing.assert_array_equal(eval(expression, NAMES), WORKS[expression])


@pytest.mark.parametrize("expression", SAYS)
def test_what_a_newcomer_types_says_what_to_write(expression):
    with pytest.raises((TypeError, ValueError, IndexError, AttributeError), match=re.escape(SAYS[expression])):
        eval(expression, NAMES)


SAME = {    # names of the phrasebook whose advice is an expression of x and y -> what NumPy computes
    "absolute": np.abs, "add": np.add, "cosh": np.cosh, "cumsum": lambda x: np.cumsum(x, 0), "dist": lambda x, y: np.linalg.norm(x - y),
    "divide": np.divide, "dot": np.dot, "exp2": np.exp2, "expm1": np.expm1, "flatten": np.ravel, "flip": lambda x: np.flip(x, 0),
    "hstack": lambda x, y: np.hstack([x, y]), "inner": np.inner, "log10": np.log10, "log1p": np.log1p, "log2": np.log2,
    "logaddexp": np.logaddexp, "logit": lambda x: np.log(x / (1 - x)), "maximum": np.maximum, "minimum": np.minimum,
    "mT": np.transpose, "negative": np.negative, "norm": np.linalg.norm, "power": np.power, "prod": np.prod, "ptp": np.ptp,
    "reciprocal": lambda x: 1 / x, "repeat": lambda x: np.tile(x, (2, 1)), "rsqrt": lambda x: 1 / np.sqrt(x), "sinh": np.sinh,
    "square": np.square, "std": np.std, "stack": lambda x, y: np.stack([x, y]), "trace": np.trace, "tril": np.tril, "triu": np.triu,
    "vecdot": np.vecdot, "vstack": lambda x, y: np.vstack([x, y]), "xlogy": lambda x, y: x * np.log(y),
}


@pytest.mark.parametrize("name", SAME)
@given(rng=rngs)
def test_what_the_phrasebook_says_to_write_is_what_numpy_computes(name, rng):
    arrays = dict(zip("xy", rng.uniform(0.1, 0.9, (2, 3, 3))))
    tensors = {letter: leaf(array) for letter, array in arrays.items()}
    [advice] = re.findall(r"^(.*?)(?:, (?:or|for) .*)?$", WRITE[name])
    expected = SAME[name](*[array for letter, array in arrays.items() if re.search(rf"\b{letter}\b", advice)])
    result = eval(advice, {"tinyml": tinyml, "np": np, "math": math, "n": 3, **tensors})
    np.testing.assert_allclose(result.data, expected, rtol=1e-12, atol=1e-12)
    assert result.requires_grad


OF_PYTORCH = """
    numpy to cpu cuda get_device is_cuda new_zeros new_ones new_full new_tensor float int type is_floating_point
    type_as contiguous is_contiguous stride clone requires_grad_ grad_fn is_leaf detach_ retain_grad register_hook
    zero_grad zero_ fill_ copy_ normal_ uniform_ dim ndimension numel nelement view_as reshape_as unflatten
    unsqueeze permute movedim swapdims t H mH adjoint expand expand_as chunk unbind tensor_split split_with_sizes
    repeat_interleave narrow index_select gather take_along_dim masked_select masked_fill masked_scatter scatter
    index_fill sub mul div neg rsqrt mm bmm mv addmm baddbmm dist lerp xlogy logit clamp clamp_min clamp_max norm
    logsumexp topk eq ne lt le gt ge softmax log_softmax gelu erf
"""


def test_the_phrasebook_has_names_of_numpy_and_these_of_pytorch():
    assert {name for name in WRITE if not hasattr(np, name) and not hasattr(np.ndarray, name)} == set(OF_PYTORCH.split())


@pytest.mark.parametrize("name", sorted(name for name in dir(np.ndarray) if not name.startswith("_")))
def test_a_method_of_an_array_is_one_of_a_tensor_or_its_error_says_what_to_write(name):
    if not hasattr(Tensor, name):
        with raises(AttributeError, f"Tensor: no attribute {name!r}; write "):
            getattr(x, name)


@pytest.mark.parametrize("name", [name for name in WRITE if hasattr(np, name) and callable(getattr(np, name))])
def test_no_function_of_numpy_loses_a_gradient_in_silence(name):
    """Operators work and carry it; what answers with bool or places has none; all others are refused."""
    function = getattr(np, name)
    calls = [(x,), (x, x), ([x, x],), (x, 1), (x, 1, 0), ("ij->ji", x), (x > 1, x), (x > 1, x, x), (x, 0, 1)]
    for args in calls:
        try:
            y = function(*args)
        except (TypeError, ValueError, IndexError, AttributeError, DeprecationWarning):    # refused, or no such call
            continue
        if isinstance(y, Tensor):
            assert y.requires_grad
        else:
            assert np.asarray(y).dtype.kind in "bi", (name, args)


def test_numpys_operators_carry_the_gradient():
    a = np.array([[1.0, 2.0], [3.0, 4.0]])
    for y in (np.add(a, x), np.subtract(a, x), np.multiply(a, x), np.divide(a, x), np.power(a, x), np.matmul(a, x),
              np.add(x, a), np.float64(2) * x):
        assert type(y) is Tensor and y.requires_grad
    np.testing.assert_array_equal(a > x, a > x.data, strict=True)


def test_a_copy_by_pickle_or_copy_is_a_leaf_of_its_kind():
    p = Parameter(np.ones(2, np.float32))
    (p * p).sum().backward()
    for twin in (copy.copy(p), copy.deepcopy(p), pickle.loads(pickle.dumps(p))):
        assert type(twin) is Parameter and twin.requires_grad and twin.grad is None and twin.serial != p.serial
        np.testing.assert_array_equal(twin.data, p.data, strict=True)
    assert copy.copy(p).data is p.data


# ------------------------------------------------------------ defaults and options of methods

METHODS = {    # method -> (the same of an array, arguments that each change the result)
    "abs": (np.abs, []), "exp": (np.exp, []), "log": (lambda a: np.log(np.abs(a)), []), "tanh": (np.tanh, []),
    "sqrt": (lambda a: np.sqrt(np.abs(a)), []), "sigmoid": (lambda a: 1 / (1 + np.exp(-a)), []),
    "relu": (lambda a: np.maximum(a, 0), []), "argmax": (np.argmax, [dict(axis=0), dict(axis=1)]),
    "clip": (lambda a, low=-np.inf, high=np.inf: np.clip(a, low, high), [dict(low=0.0), dict(high=0.0)]),
    "sum": (np.sum, [dict(axis=0), dict(axis=1), dict(keepdims=True)]),
    "mean": (np.mean, [dict(axis=0), dict(axis=1), dict(keepdims=True)]),
    "max": (np.max, [dict(axis=0), dict(axis=1), dict(keepdims=True)]),
    "min": (np.min, [dict(axis=0), dict(axis=1), dict(keepdims=True)]),
    "var": (lambda a, correction=0, **o: np.var(a, ddof=correction, **o),
            [dict(axis=0), dict(axis=1), dict(keepdims=True), dict(correction=1)]),
    "transpose": (np.transpose, []), "swapaxes": (lambda a, axis1=0, axis2=0: np.swapaxes(a, axis1, axis2), []),
    "reshape": (lambda a: a, []), "item": (None, []), "detach": (np.array, []), "backward": (None, []),
}


def test_every_method_has_a_row():
    public = {name for name, _ in inspect.getmembers(Tensor, inspect.isfunction) if not name.startswith("_")}
    assert public == set(METHODS)


@pytest.mark.parametrize("name", [name for name, (reference, _) in METHODS.items() if reference])
@given(rng=rngs)
def test_a_method_with_its_defaults_and_each_option_is_numpys(name, rng):
    reference, options = METHODS[name]
    signs = 1 if name in ("log", "sqrt") else rng.permutation([-1, 1] * 6).reshape(3, 4)
    array = rng.uniform(0.1, 2, (3, 4)) * signs    # both signs, so that clip has something to do
    plain = {"swapaxes": dict(axis1=0, axis2=1)}.get(name, {})
    for option in (plain, *options):
        call = getattr(Tensor(array), name)
        actual = call(array.shape) if name == "reshape" else call(**option)
        actual = getattr(actual, "data", actual)
        np.testing.assert_allclose(actual, reference(array, **option), rtol=1e-12, strict=name != "argmax")
        assert not option or option is plain or differ(np.asarray(actual), np.asarray(reference(array)))


# ------------------------------------------------------------ what goes forward comes back

ODD_SHAPES = [(), (1,), (2,), (3,), (0,), (1, 1), (2, 3), (3, 2), (2, 2), (1, 3), (2, 1), (0, 3), (2, 0),
              (1, 2, 3), (2, 2, 3), (1, 1, 3, 3), (2, 1, 4, 4), (1, 1, 1, 1), (0, 1, 3, 3)]
ODD_OPTIONS = dict(
    axis=[None, 0, 1, -1, -2, (0,), (0, 1), (), (1, 0), 2, (0, 0), True, 1.0, np.int64(0), [0], "a", 10 ** 30],
    keepdims=[True, False, 1, None], correction=[0, 1, 0.5, -1, 2, math.nan, None, np.ones(1)], approximate=["none", "tanh"],
    shape=[(), (1,), -1, 6, (2, 3), (3, 2), (-1,), (1, 6), (2, -1), [6], (2, 1, 3), (0,), (0, -1), "a", (10 ** 30,)],
    axes=[None, (1, 0), (0, 1), (0,), (-1, 0), [1, 0], (0, 2, 1), 1, "a", (0, 0)], axis1=[0, 1, -1], axis2=[0, 1, -1],
    index=[0, -1, slice(None), None, ..., (0, 0), [0, 0], [True, False], np.array([[0]]), slice(None, None, -1),
           (slice(None), None), (..., 0), True, (None, True), ([0], slice(None)), (slice(None), [0, 0]), []],
    pad_width=[0, 1, (1, 2), ((1, 2),), ((0, 1), (1, 0)), ((1,), (2,)), (1,)], value=[0.0, 1, np.float64(2), None, (0, 1), np.inf],
    low=[None, -1, 0.5, np.float64(0), np.array([3.0, 0])], high=[None, 1, 0.6, -2, np.array(["a"])], scale=[1.0, np.array([0.5, 1.0]), np.ones((2, 1))],
    zero_point=[0, 1, np.array([0, 1])], quant_min=[-2, 0], quant_max=[3, -3], kernel_size=[1, 2, 3, (1, 2), [2, 2]],
    stride=[None, 1, 2, (1, 2)], padding=[0, 1, (1, 0)], reduction=["mean", "sum", "none", "avg", None],
    subscripts=["ij,jk->ik", "i,i->", "ij->ji", "i,j->ij", "ij,j->i", ",->", "ij->ij", "ii,i->i", "ij,jk->kk", None, 5],
    labels=[np.array([0, 1]), np.array(0), np.array([[0, 1, 2], [0, 0, 0]]), [0, 1], np.array([True, False]), [5, 5], [0.5, 1]])


def odd_call(rng, name):
    """A call of an operation with arguments and options drawn without regard to one another."""
    def tensor():
        if rng.random() < 0.1:
            return [2.0, 1, None][rng.integers(3)]
        shape = ODD_SHAPES[rng.integers(len(ODD_SHAPES))]
        return leaf(rng.uniform(0.1, 2, shape))
    args, options = [], {}
    for parameter in inspect.signature(getattr(ops, name)).parameters.values():
        if parameter.default is not parameter.empty and rng.random() < 0.4:
            continue
        if parameter.kind is parameter.VAR_POSITIONAL:
            args += [tensor() for _ in range(rng.integers(4))]
        elif parameter.name == "tensors":
            args.append([tensor() for _ in range(rng.integers(4))])
        elif parameter.name == "condition":
            args.append(rng.random(ODD_SHAPES[rng.integers(len(ODD_SHAPES))]) < 0.5)
        elif parameter.name in ODD_OPTIONS:
            choices = ODD_OPTIONS[parameter.name]
            options[parameter.name] = choices[rng.integers(len(choices))]
        else:
            args.append(tensor())
    return lambda: getattr(ops, name)(*args, **options)


@pytest.mark.parametrize("name", ops.__all__)
@settings(max_examples=5)
@given(rng=rngs)
def test_whatever_an_operation_accepts_it_takes_back(name, rng):
    """Forward refuses in the operation's name, or backward gives every argument a gradient of its shape."""
    for _ in range(50):
        call = odd_call(rng, name)
        try:
            with np.errstate(all="ignore"):
                y = call()
        except (TypeError, ValueError, IndexError) as error:
            assert name in str(error) and "\n" not in str(error)
            assert name == "getitem" or type(error) is not IndexError
            continue
        assert y.dtype.kind == "f"
        if y.requires_grad:
            with np.errstate(all="ignore"):
                y.backward(np.ones(y.shape))


@pytest.mark.parametrize("call, message", [
    (lambda: ops.linear(np.ones((2, 3)), np.ones((4, 3)), np.ones(1)), "linear: bias must have shape (out_features,) = (4,)"),
    (lambda: ops.linear(np.ones((2, 3)), np.ones((4, 3)), np.ones((2, 4))), "linear: bias must have shape (out_features,)"),
    (lambda: ops.linear(np.ones((2, 3)), np.ones((4, 3)), 0.5), "linear: arguments must be tensors or arrays"),
    (lambda: ops.conv2d(np.ones((1, 1, 3, 3)), np.ones((2, 1, 2, 2)), np.ones(1)), "conv2d: bias must have shape (O,) = (2,)"),
    (lambda: ops.einsum(np.ones((2, 1)), np.ones((3, 2)), subscripts="ij,jk->ik"), "agree in the length of 'j', got 1 and 3"),
    (lambda: ops.sum(np.ones(()), axis=0), "sum: arguments must fit together"),
    (lambda: ops.stack([np.ones(2)], axis=True), "stack: axis must be an int, got True"),
    (lambda: ops.concatenate([np.ones(2)], axis=None), "concatenate: axis must be an int, got None"),
    (lambda: ops.power(np.ones(2), None), "power: data must hold real numbers"),
])
def test_what_only_broadcasts_is_refused(call, message):
    with pytest.raises((TypeError, ValueError), match=re.escape(message)):
        call()


# ------------------------------------------------------------ blocks and decorators

def test_one_object_is_entered_again_nested_in_sequence_and_by_threads():
    v, block = leaf(1.0), no_grad()
    with block:
        with block:
            assert not (v * 2).requires_grad
        assert not (v * 2).requires_grad
        other = []
        thread = threading.Thread(target=lambda: other.append((v * 2).requires_grad))
        thread.start()
        thread.join()
        assert other == [True]
    assert (v * 2).requires_grad
    with block:
        assert not (v * 2).requires_grad
    barrier, recorded = threading.Barrier(2, timeout=20), []

    def overlap(outer, inner):    # the first thread enters first, and leaves first
        with outer:
            inner.wait() if inner else None
            with block:
                if inner is None:
                    entered.set()
                barrier.wait()
                recorded.append((v * 2).requires_grad)
                if inner:
                    left.wait(20)
            if inner is None:
                after.append((v * 2).requires_grad)
                left.set()
            else:
                recorded.append((v * 2).requires_grad)
    entered, left, after = threading.Event(), threading.Event(), []
    threads = [threading.Thread(target=overlap, args=args) for args in ((no_grad(), None), (nullcontext(), entered))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert after == [False], "the first thread is still in its outer block"
    assert sorted(recorded) == [False, False, True] and (v * 2).requires_grad


def later():
    yield x * 2


async def awaited():
    return x * 2


async def stream():
    yield x * 2


def test_each_step_of_a_decorated_generator_function_runs_inside():
    @no_grad()
    def steps():
        """Two steps."""
        got = yield x * 2
        yield x * got
        return "done"
    generator = steps()
    assert not next(generator).requires_grad and (x * 2).requires_grad
    np.testing.assert_array_equal(generator.send(5.0).data, 5 * x.data)
    with pytest.raises(StopIteration) as end:
        next(generator)
    assert end.value.value == "done" and steps.__doc__ == "Two steps." and (x * 2).requires_grad
    assert not any(y.requires_grad for y in no_grad()(functools.partial(later))())
    with pytest.raises(ZeroDivisionError):
        list(no_grad()(lambda: (yield 1 / 0))())
    assert (x * 2).requires_grad


@pytest.mark.parametrize("function", [awaited, stream, Tensor, 3], ids=str)
def test_a_decorated_function_must_compute_its_result_when_called(function):
    with raises(TypeError, "no_grad: the decorated function must compute its result when it is called"):
        no_grad()(function)


def test_a_decorated_function_may_not_return_a_generator():
    with raises(TypeError, "no_grad: the decorated function must compute its result when it is called"):
        no_grad()(lambda: (x * k for k in range(2)))()


def test_a_decorator_without_brackets_is_told():
    with raises(TypeError, "as a decorator write @no_grad(...), with brackets"):
        no_grad(lambda: x)


# ------------------------------------------------------------ primitives of one's own

def test_a_primitive_keeps_its_name_and_its_documentation():
    @primitive
    def cube(x):
        """x^3."""
        return x ** 3, (lambda g: g * 3 * x ** 2,)
    assert cube.__name__ == "cube" and cube.__doc__ == "x^3." and cube(leaf(2.0)).op == "cube"
    assert gradcheck(cube, [1.0, -2.0], rng=np.random.default_rng(0))


def test_a_gradient_that_nobody_wants_is_not_computed():
    @primitive
    def product(x, y):
        return x * y, (lambda g: g * y, lambda g: pytest.fail("the constant's vjp was called"))
    x = leaf(2.0)
    product(x, Tensor(3.0)).backward()
    assert x.grad == 3


def test_none_and_numbers_reach_a_primitive_as_they_are():
    @primitive
    def look(*args):
        assert [type(a) for a in args] == [np.ndarray, type(None), int, float, np.ndarray]
        return args[0], (lambda g: g,) * 5
    look(leaf(1.0), None, 2, 2.0, [1.0])


def test_a_vjp_of_the_wrong_shape_is_named():
    @primitive
    def broken(x):
        return x.sum(), (lambda g: np.ones(3),)
    with raises(ValueError, "broken: its vjp must return the shape of its argument (2,), got (3,)"):
        broken(leaf([1.0, 2.0])).backward()


@pytest.mark.parametrize("vjps", [(lambda g: g,), lambda g: g], ids=["one is missing", "no tuple"])
def test_a_primitive_without_a_vjp_per_argument_is_named(vjps):
    @primitive
    def product(x, y):
        return x * y, vjps
    with raises(TypeError, "product: a primitive must return its value and a tuple of 2 vjps, "):
        product(leaf(1.0), leaf(2.0))


def test_a_vjp_that_returns_a_number_is_named():
    @primitive
    def double(x):
        return 2 * x, (lambda g: 2.0,)
    with raises(ValueError, "double: its vjp must return the shape of its argument (2,), got ()"):
        double(leaf([1.0, 2.0])).sum().backward()


def test_an_error_is_prefixed_once():
    with pytest.raises(ValueError, match=r"^matmul: x must have shape"):
        leaf([1.0, 2.0]) @ np.ones(3)
