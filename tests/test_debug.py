"""The laws of looking at a graph, and of finding the operation where the first NaN was made."""
import linecache
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from strategies import anything, broadcastable, programs, rngs, run

import tinyml
from tinyml import Tensor, detect_anomaly, graph, ops
from tinyml.debug import gradients
from tinyml.tensor import mode


def leaf(data):
    return Tensor(np.asarray(data, float), requires_grad=True)


# ------------------------------------------------------------ gradients

@given(programs, broadcastable(3), rngs)
def test_gradients_are_those_of_backward_and_leave_no_trace(program, shape, rng):
    leaves = [leaf(anything(rng, s)) for s in shape.input_shapes]
    output = run(program, leaves)
    grads = gradients(output)
    assert all(tensor.grad is None for tensor in grads)
    output.sum().backward()
    for x in leaves:
        if x in grads:
            np.testing.assert_array_equal(grads[x], x.grad)
        else:
            assert x.grad is None
    made = [bool(tensor.edges) for tensor in grads]
    assert made == sorted(made, reverse=True), "leaves last"
    serials = [tensor.serial for tensor in grads if tensor.edges]
    assert serials == sorted(serials, reverse=True), "newest first"


def test_gradients_of_what_is_in_between():
    x = leaf([1.0, 2.0])
    h = x * x
    assert np.array_equal(gradients((3 * h).sum())[h], [3, 3])


# ------------------------------------------------------------ graph

def test_graph_spells_out_a_shared_tensor_once():
    x, w = leaf([3.0, 4.0]), leaf(2.0)
    h = x * w
    assert graph((h * h + 1).sum(), dict(x=x, w=w)) == """\
#1 sum ()               |grad| 1
└─ #2 add (2,)          |grad| 1.41
   └─ #3 mul (2,)       |grad| 1.41
      ├─ #4 mul (2,)    |grad| 20
      │  ├─ #5 x (2,)   |grad| 40
      │  └─ #6 w ()     |grad| 100
      └─ #4 ..."""


def test_graph_of_a_leaf_without_a_name():
    assert graph(leaf([0.0, 0.0])) == "#1 leaf (2,)   |grad| 1.41"


def test_graph_of_a_long_chain_needs_no_recursion():
    x = y = leaf(1.0)
    for _ in range(2000):
        y = -y
    first, *_, last = graph(y, dict(x=x)).splitlines()
    assert first.split() == ["#1", "neg", "()", "|grad|", "1"]
    assert last.split() == ["└─", "#2001", "x", "()", "|grad|", "1"]


# ------------------------------------------------------------ detect_anomaly

def caught(step):
    """The message of the anomaly in step(), and the source line that it points to."""
    with pytest.raises(FloatingPointError) as error, detect_anomaly():
        step()
    message, file, line, text = re.fullmatch(r"(.*); called in (.*), line (\d+): (.*)",
                                             str(error.value)).groups()
    assert file == __file__ and text == linecache.getline(file, int(line)).strip()
    return message, text


def test_the_forward_operation_is_named():
    x = leaf([[1.0, -1.0, -2.0]])

    def step():
        y = 2 * x
        z = y.log()
        return z.sum()
    message, line = caught(step)
    assert message == ("log: the result must be finite, got 2 NaN and 0 infinite values "
                       "from arguments of shapes (1, 3)")
    assert line == "z = y.log()"


def test_all_arguments_are_described():
    x, y = leaf([1.0, 0.0]), leaf([0.0])
    message, line = caught(lambda: x / y)
    assert message == ("div: the result must be finite, got 1 NaN and 1 infinite values "
                       "from arguments of shapes (2,), (1,)")
    assert line == "message, line = caught(lambda: x / y)"


def test_the_backward_operation_is_named():
    x = leaf([0.0, 1.0])

    def step():
        y = x.sqrt()
        y.sum().backward()
    message, line = caught(step)
    assert message == ("backward of sqrt: the gradient must be finite, got 0 NaN and 1 infinite "
                       "values for its argument of shape (2,) (a leaf)")
    assert line == "y = x.sqrt()"


def test_a_result_recorded_outside_is_still_named_in_backward():
    x = leaf(0.0)
    y = (2 * x).sqrt()
    with pytest.raises(FloatingPointError) as error, detect_anomaly():
        y.backward()
    assert str(error.value) == ("backward of sqrt: the gradient must be finite, got 0 NaN and 1 "
                                "infinite values for its argument of shape () (made by mul); "
                                "called outside detect_anomaly()")


def test_a_mask_of_minus_infinity_passes():
    scores = leaf([[1.0, 2.0], [3.0, 4.0]])
    with detect_anomaly():
        masked = ops.where(np.eye(2, dtype=bool), scores, -np.inf)
        (ops.softmax(masked) * ops.logsumexp(masked, axis=1)).sum().backward()
    assert np.isfinite(scores.grad).all()


def test_a_row_that_is_masked_out_entirely_does_not_pass():
    message, line = caught(lambda: ops.softmax(leaf([-np.inf, -np.inf])))
    assert message.startswith("softmax: the result must be finite, got 2 NaN and 0 infinite values")


def test_a_file_whose_path_begins_like_the_package_is_not_the_package():
    file = str(Path(tinyml.__file__).parent) + "_notes.py"
    step = eval(compile("lambda x: x.log()", file, "eval"))
    with pytest.raises(FloatingPointError, match=re.escape(f"called in {file}, line 1: ")):
        with detect_anomaly():
            step(leaf(0.0))


def test_finite_steps_are_left_alone():
    x = leaf([1.0, 2.0])
    with detect_anomaly():
        (x * x).sum().backward()
    np.testing.assert_array_equal(x.grad, [2, 4])


@pytest.mark.parametrize("error", [None, KeyError])
def test_the_state_before_is_restored(error):
    settings = np.geterr()
    try:
        with detect_anomaly():
            outer = mode.watcher
            with detect_anomaly():
                assert mode.watcher is not outer
            assert mode.watcher is outer
            if error:
                raise error
    except KeyError:
        pass
    assert mode.watcher is None and np.geterr() == settings
    with np.errstate(invalid="ignore"):
        assert np.isnan(ops.log(-1.0).data), "outside, a NaN is a NaN"


def test_one_object_is_entered_again_and_each_entry_has_a_watcher_of_its_own():
    block, settings = detect_anomaly(), np.geterr()
    for _ in range(2):
        with block:
            outer = mode.watcher
            with block:
                assert mode.watcher not in (None, outer)
            assert mode.watcher is outer
        assert mode.watcher is None and np.geterr() == settings


def test_a_step_of_a_decorated_generator_function_is_watched():
    @detect_anomaly()
    def steps():
        yield leaf(0.0).log()
    with pytest.raises(FloatingPointError, match="^log: the result must be finite"):
        next(steps())
    assert mode.watcher is None
