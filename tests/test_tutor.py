"""The tutor says what is wrong, and what the laws leave open: axes, dtypes, unused generators."""
import ast
import os
import time
import warnings
from collections import deque
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import rngs

from tinyml import Tensor, nn
from tinyml.exercises.catalogue import find
from tinyml.exercises.student import replay, report, tutor
from tinyml.exercises.student.check import check
from tinyml.exercises.student.diagnosis import same_fault
from tinyml.exercises.student.example import _assigned, _pair
from tinyml.exercises.student.outcome import agree, outcome
from tinyml.exercises.student.replay import load
from tinyml.exercises.student.splice import Piece, compiled_alone, run_alone
from tinyml.exercises.student.stub import answer_text, stub_text
from tinyml.exercises.student.words import literal, text
from tinyml.exercises.walls import guard, runner
from tinyml.selfsupervised.moco import KeyQueue

SEED = 2025


def written(name, body):
    """The stub of an exercise with a body."""
    return stub_text(find(name)).rpartition("raise NotImplementedError")[0] + body + "\n"


# ------------------------------------------------------------ beyond the laws

SHAPES = {    # what an answer makes of the right result -> whether it is of the right shape and dtype
    "as it is": (lambda mask: mask, True),
    "other values": (lambda mask: ~mask, True),    # for the laws to judge
    "an axis too many": (lambda mask: mask[None], False),
    "numbers": (lambda mask: mask.astype(float), False),
    "a list": (lambda mask: list(mask), False),
    "a single number": (lambda mask: mask.any(), False),
    "nothing": (lambda mask: None, False),
    "an error": (lambda mask: mask[7], False),
}


@pytest.mark.parametrize("name", SHAPES)
def test_a_result_must_have_the_axes_and_dtype_of_the_librarys(name, monkeypatch):
    change, right = SHAPES[name]
    monkeypatch.setitem(guard.functions, "threshold_mask", lambda w, threshold: change(abs(w) >= threshold))
    monkeypatch.setattr(guard, "records", [guard.Call((np.array([1.0, -3]),), {"threshold": 2})])
    assert ("other axes" in tutor.beyond_laws(find("threshold_mask"))) != right


@pytest.mark.parametrize("value, right", [(np.float32(1), True), (np.array(1.0), True), (1, False), ([1.0], False)])
def test_one_number_may_be_of_any_precision(value, right, monkeypatch):
    monkeypatch.setitem(guard.functions, "entropy", lambda counts: value)
    monkeypatch.setattr(guard, "records", [guard.Call((np.array([n]),), {}) for n in (1, -1)])
    assert bool(tutor.beyond_laws(find("entropy"))) != right


@pytest.mark.parametrize("honest", [True, False])
def test_a_generator_must_be_used(honest, monkeypatch):
    """Where the library uses it: on a call with nothing to draw no answer needs to."""
    def answer(shape, *, amount, rng):
        rng = rng if honest and amount else np.random.default_rng(0)
        return rng.permuted(np.arange(int(np.prod(shape))) >= round(amount * np.prod(shape))).reshape(shape)
    monkeypatch.setitem(guard.functions, "random_mask", answer)
    monkeypatch.setattr(guard, "records", [
        guard.Call(((2, 3),), {"amount": amount, "rng": np.random.default_rng(1)}) for amount in (0, 0.5)])
    assert ("never draws" in tutor.beyond_laws(find("random_mask"))) != honest


# ------------------------------------------------------------ which mistake it is

def weights(n):
    """Calls of threshold_mask with n vectors of weights, with some on the threshold itself."""
    vectors = np.random.default_rng(0).integers(-3, 4, (n, 8)).astype(float)
    return [guard.Call((np.append(vector, [2, -2]),), {"threshold": 2.0}) for vector in vectors]


def explained(monkeypatch, answer, calls, failing=None, error=None):
    """What the tutor says about an answer to threshold_mask whose calls were these."""
    monkeypatch.setitem(guard.functions, "threshold_mask", answer)
    monkeypatch.setattr(guard, "records", calls)
    failing = calls if failing is None else failing
    watcher = SimpleNamespace(failing=failing, errors={"test": error})
    return tutor.explain(find("threshold_mask"), watcher, 0, agree)


@pytest.mark.parametrize("n_other, head", [
    (0, "It looks like this"), (4, "Most likely"), (6, "One of the mistakes"), (11, None), (20, None)])
def test_a_mistake_is_named_if_most_inputs_that_show_it_agree(n_other, head, monkeypatch):
    """Of 20 inputs on which the answer is wrong, some are wrong in another way; the example is not one of them."""
    calls = weights(20)
    others = {id(call) for call in calls[:n_other]}

    def answer(weight, *, threshold):
        call = next(c for c in calls if np.array_equal(c.args[0], weight))
        return abs(weight) < -1 if id(call) in others else weight >= threshold

    told = explained(monkeypatch, answer, calls)
    assert (told["diagnosis"] == 0) == bool(head)
    if head:
        assert told["share"] == pytest.approx(1 - n_other / 20)
        assert report._diagnosis(SimpleNamespace(tutor=told), find("threshold_mask"))[1].startswith(f"  {head}")
        elsewhere = [f"weight = {literal(call.args[0])}" for call in calls[:n_other]]
        assert told["example"]["input"][0] not in elsewhere


@pytest.mark.parametrize("n_other, named", [(9, True), (11, False)])
def test_a_mistake_that_explains_less_than_half_of_an_answer_is_not_named(n_other, named, monkeypatch):
    """On vectors of positive weights the mistake does not show, and the answer is wrong in another way."""
    calls = weights(20)
    calls = [guard.Call((abs(call.args[0]),), call.kwargs) for call in calls[:n_other]] + calls[n_other:]

    def answer(weight, *, threshold):
        return weight >= threshold if (weight < 0).any() else weight < threshold / 2

    assert (explained(monkeypatch, answer, calls)["diagnosis"] == 0) == named


def test_of_two_mistakes_in_an_answer_no_third_is_named():
    """Both of the catalogue, but no single one of it gives what they give together."""
    both = answer_text(find("units_to_keep")).replace("(score, i, unit, layer) for", "(score, layer, unit, layer) for")
    both = both.replace("            n_removed += 1\n", "        n_removed += 1\n")
    verdict = check("units_to_keep", both, seed=SEED)
    number, either = verdict.tutor["diagnosis"], verdict.tutor["either"]
    named = [find("units_to_keep").mistakes[n].why for n in [*either, number] if n is not None]
    assert all("first in the dict" in why or "Count only" in why for why in named)


def test_a_mistake_that_explains_the_smallest_inputs_only_is_not_named():
    """On one row and column descent may arrive in one step: all iterates are equal then, whatever the mistake."""
    late = answer_text(find("gradient_descent")).replace("range(n_steps)", "range(n_steps + 2)")
    late = late.replace("np.stack(iterates)", "np.stack(iterates[2:])")
    told = check("gradient_descent", late, seed=2).tutor
    assert told["differ"] and told["diagnosis"] is None and not told["either"]


def mistaken(name, number, inputs, monkeypatch):
    """What the tutor says about a listed mistake whose calls had these arguments."""
    exercise = find(name)
    monkeypatch.setitem(guard.functions, name, load(exercise, exercise.mistakes[number]))
    monkeypatch.setattr(guard, "records", [guard.Call(arguments, {}) for arguments in inputs])
    return tutor.explain(exercise, SimpleNamespace(failing=[], errors={}), 0, agree)


def numbered(name, new):
    """The number of the mistake that writes this."""
    return [mistake.new for mistake in find(name).mistakes].index(new)


def test_mistakes_that_no_call_tells_apart_are_all_named(monkeypatch):
    """< and <= are one where no weight is on the threshold."""
    calls = [guard.Call((np.array([1.0, 3.0, n]),), {"threshold": 2.0}) for n in (4.0, 5.0)]
    told = explained(monkeypatch, lambda weight, *, threshold: abs(weight) < threshold, calls)
    either = [numbered("threshold_mask", f"{n} threshold") for n in ("<", "np.abs(weight) <=")]
    assert told["diagnosis"] is None and told["either"] == either
    words = report._diagnosis(SimpleNamespace(tutor=told), find("threshold_mask"))
    assert report.ONE_OF in words[1] and sum(line.startswith("  - ") for line in words) == 2


def test_a_mistake_that_only_warns_is_named(monkeypatch):
    """1 / cosh^2 overflows to the right slope 0."""
    number = numbered("tanh", "(1 / np.cosh(x) ** 2)")
    told = mistaken("tanh", number, [(np.array([x]),) for x in (1.0, 1000.0)], monkeypatch)
    assert told["diagnosis"] == number and told["differ"] == 0


@pytest.mark.parametrize("n_right", [0, 3])
def test_errors_are_evidence_if_other_calls_are_right(n_right, monkeypatch):
    number = [mistake.new for mistake in find("unbroadcast").mistakes].index("")
    inputs = [(np.ones((2, n)), (n,)) for n in (2, 3, 4)] + [(np.ones(n), (n,)) for n in range(n_right)]
    told = mistaken("unbroadcast", number, inputs, monkeypatch)
    assert (told["diagnosis"] == number) == bool(n_right)


STRETCHED = """for i, n in enumerate(shape):
        if n == 1 and g.shape[i] != 1:
            g = g.sum(axis=i, keepdims=True)
    if g.shape != shape:
        raise {error}("in my own words")
    return g"""


@pytest.mark.parametrize("error, n_right, named", [
    ("ValueError", 3, True), ("ValueError", 0, False), ("KeyError", 3, False)])
def test_errors_in_other_words_are_evidence_if_all_else_is_explained(error, n_right, named, monkeypatch):
    """The mistake raises errors of that type on just these calls, and both give values on others."""
    exercise, number = find("unbroadcast"), numbered("unbroadcast", "")
    answer = written("unbroadcast", STRETCHED.format(error=error))
    monkeypatch.setitem(guard.functions, "unbroadcast", replay.loaded(exercise, answer))
    inputs = [(np.ones((2, n)), (n,)) for n in (2, 3, 4)] + [(np.ones(n), (n,)) for n in range(n_right)]
    monkeypatch.setattr(guard, "records", [guard.Call(arguments, {}) for arguments in inputs])
    told = tutor.explain(exercise, SimpleNamespace(failing=[], errors={}), 0, agree)
    assert (told["diagnosis"] == number) == named


@pytest.mark.parametrize("wrap", [list, tuple, iter])
def test_the_gradients_of_arguments_are_shown(wrap):
    p, q = nn.Parameter(np.ones(3)), nn.Parameter(np.zeros(2))
    p.grad = np.array([0.25, 0.5, 0.125])
    names = {"np": np, "Parameter": nn.Parameter}
    exec("\n".join(_assigned("parameters", wrap([p, q]))), names)
    first, second = names["parameters"]
    assert first.grad.tolist() == p.grad.tolist() and second.grad is None
    assert _assigned("p", p)[1:] == ["p.grad = np.array([0.25, 0.5, 0.125])"]


def test_what_an_iterator_held_is_compared(monkeypatch):
    def parameters():
        p = nn.Parameter(np.ones(3))
        p.grad = np.array([0.25, 0.5, 0.125])
        return iter([p])

    told = mistaken("clip_grad_norm_", 1, [(parameters(), bound) for bound in (2.0, 3.0)], monkeypatch)
    assert told["differ"] == 2 and told["diagnosis"] == 1


def test_calls_of_every_test_are_kept(monkeypatch):
    """The first and the last ones, also of a test with few between two with many."""
    monkeypatch.setattr(guard, "records", records := [])
    for test, n_calls in enumerate([300, 1, 300]):
        guard.a_test_begins()
        for call in range(n_calls):
            guard.record((test, call), {})
        guard.a_test_ends(4)
    of_test = [[call.args[1] for call in records if call.args[0] == test] for test in range(3)]
    assert of_test == [[0, 1, 298, 299], [0], [0, 1, 298, 299]]


def test_an_answer_of_the_gate_leaves_nothing_behind():
    kept = []
    assert runner.in_a_copy(lambda n: kept.append(n) or len(kept), 3) == 1
    assert kept == ([] if hasattr(os, "fork") else [3])


def test_strings_are_shown_in_quotes(monkeypatch):
    """The codeword of a single symbol is empty."""
    monkeypatch.setitem(guard.functions, "canonical_codes", lambda lengths: ["0"])
    monkeypatch.setattr(guard, "records", [guard.Call((np.array([0]),), {})])
    told = tutor.explain(find("canonical_codes"), SimpleNamespace(failing=[], errors={}), 0, agree)
    assert (told["example"]["expected"], told["example"]["got"]) == ("''", "'0'")
    assert text((1.0, (np.sum, lambda g: g))).endswith("a function))") and "0x" not in text(lambda g: g)


def test_a_refused_input_is_shown_last(monkeypatch):
    """A wrong value says more than an error that is missing."""
    calls = [guard.Call((np.ones(2), (3,)), {}), guard.Call((np.ones((2, 2)), (2,)), {})]
    monkeypatch.setitem(guard.functions, "unbroadcast", lambda g, shape: g)
    monkeypatch.setattr(guard, "records", calls)
    told = tutor.explain(find("unbroadcast"), SimpleNamespace(failing=[], errors={}), 0, agree)
    assert "raises" not in told["example"]["expected"]


def test_a_mistake_of_which_the_answer_shows_nothing_is_not_named(monkeypatch):
    """An answer that is wrong only on one input agrees there with many, and elsewhere with none."""
    calls = [guard.Call((np.array([-3.0, 1]),), {"threshold": 2.0}), *weights(20)]

    def answer(weight, *, threshold):
        return (weight if len(weight) == 2 else abs(weight)) >= threshold

    assert explained(monkeypatch, answer, calls)["diagnosis"] is None


@pytest.mark.parametrize("n_right, named", [(0, True), (9, True), (12, False)])
def test_a_case_apart_in_which_the_answer_is_right_hides_no_mistake(n_right, named, monkeypatch):
    """Of 20 inputs that show the mistake: it is named if the answer is right on fewer than half of them."""
    calls = weights(20)
    right = {call.args[0].tobytes() for call in calls[:n_right]}

    def answer(weight, *, threshold):
        return (abs(weight) if weight.tobytes() in right else weight) >= threshold

    assert (explained(monkeypatch, answer, calls)["diagnosis"] == 0) == named


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_one_fault_may_give_nan_or_infinity(broken):
    """Which of them comes depends on the order of a right formula; a number is neither."""
    mine, theirs, right = ([("result", np.array([1.0, x]))] for x in (broken, np.nan, 2.0))
    assert same_fault(mine, theirs, right) and not same_fault(mine, right, theirs)
    kinds = [[("result", np.array(1.0)), ("what result is", np.array(kind))] for kind in ("an array", "a number")]
    assert same_fault(*kinds, [("result", np.array(2.0))]) and not same_fault(*kinds, kinds[1])


def test_an_answer_that_only_raises_is_like_no_mistake(monkeypatch):
    def answer(weight, *, threshold):
        raise TypeError("no")

    told = explained(monkeypatch, answer, weights(5))
    assert told["diagnosis"] is None and told["raises"]
    assert told["example"]["got"].startswith("raises TypeError: no (line ")


def test_a_fault_of_dtype_hides_no_mistake(monkeypatch):
    told = explained(monkeypatch, lambda weight, *, threshold: (weight >= threshold) * 1.0, weights(9))
    assert told["diagnosis"] == 0


# ------------------------------------------------------------ the counter-example

def test_an_input_that_no_law_forbids_is_no_counter_example(monkeypatch):
    """The answer differs on all inputs, and a test failed on some: one of these is shown."""
    calls = weights(6)
    told = explained(monkeypatch, lambda weight, *, threshold: weight >= threshold, calls, calls[3:4])
    assert told["differ"] == 6
    assert told["example"]["input"][0] == f"weight = {literal(calls[3].args[0])}"


def test_a_small_ordinary_input_is_shown_rather_than_an_empty_or_a_huge_one(monkeypatch):
    inputs = [np.array([]), np.array([1e300, -1e300]), -np.arange(99.0), np.array([0.5, -3.0])]
    calls = [guard.Call((weight,), {"threshold": 2.0}) for weight in inputs]
    told = explained(monkeypatch, lambda weight, *, threshold: weight[:, None] >= threshold, calls)
    assert told["example"]["input"] == ["weight = np.array([0.5, -3.0])", "threshold = 2.0"]
    assert told["example"]["small"]


def test_what_the_answer_prints_is_shown_with_the_counter_example(monkeypatch):
    def answer(weight, *, threshold):
        print("largest", weight.max(), "x" * 1000)
        return weight >= threshold

    told = explained(monkeypatch, answer, weights(3))
    assert told["example"]["printed"].startswith("largest") and len(told["example"]["printed"]) < 600
    assert "what it prints there\n    largest" in "\n".join(report._example(told))


def test_a_warning_is_shown_with_its_input_and_line(monkeypatch):
    def answer(weight, *, threshold):
        warnings.warn("far too large", RuntimeWarning, stacklevel=1)
        return abs(weight) >= threshold

    told = explained(monkeypatch, answer, weights(2), error=RuntimeWarning("far too large"))
    line = answer.__code__.co_firstlineno + 1
    assert told["example"]["got"] == f"RuntimeWarning: far too large (line {line} of your file)"
    assert told["example"]["input"][1] == "threshold = 2.0" and told["diagnosis"] is None


dtypes = st.sampled_from(["float64", "float32", "int64", "int32", "uint8", "bool"])


@given(rngs, dtypes, st.lists(st.integers(0, 3), max_size=3))
def test_an_input_is_written_as_python_that_gives_it_again(rng, dtype, shape):
    x = np.asarray(100 * rng.normal(size=shape)).astype(dtype)
    again = eval(literal(x), {"np": np})
    assert again.dtype == x.dtype and again.shape == x.shape
    np.testing.assert_array_equal(again, x)
    number = np.float32(rng.normal())
    assert repr(eval(literal([(number, 2, 0.1, "a", None)]), {"np": np})) == repr([(number, 2, 0.1, "a", None)])
    if dtype.startswith("float"):
        tensor = eval(literal(Tensor(x, requires_grad=True)), {"np": np, "Tensor": Tensor})
        assert tensor.data.dtype == x.dtype and tensor.requires_grad


def test_numbers_of_numpy_are_told_from_those_of_python():
    assert literal(np.float64(0.1)) == "np.float64(0.1)" and literal(0.1) == "0.1"
    assert literal(np.array([np.nan, -np.inf])) == "np.array([np.nan, -np.inf])"
    assert "shape (270,)" in literal(np.zeros(270)) and text(np.float64(0.1)) == "0.1"
    assert literal(deque([(np.arange(2), 0.5)], 3)) == "deque([(np.array([0, 1]), 0.5)])"
    rest = iter([np.arange(2), 0.5])
    assert literal(rest) == "iter([np.array([0, 1]), 0.5])" and len(list(rest)) == 2    # it is not used up


@pytest.mark.parametrize("apart", [1e-3, 1e-9, 1e-15])
def test_expected_and_got_never_look_the_same(apart):
    one, other = np.array([1.0, 2]), np.array([1.0, 2 + 2 * apart])
    assert len(set(_pair(one, other))) == 2
    many = np.arange(99.0)
    assert len(set(_pair(many, np.where(many == 50, many + apart * 100, many)))) == 2


def test_an_endless_loop_ends_with_its_line_and_the_arguments_of_its_call():
    body = "n = 0\n    while True:\n        n += 1\n    return np.tanh(x), (lambda g: g,)"
    file = written("tanh", body)
    begun = time.monotonic()
    verdict = check("tanh", file, seed=SEED, limits={"seconds": 20, "megabytes": 2048, "call": 0.5})
    line = int(verdict.reason.split()[1]) - 1
    assert verdict.status == "timeout" and file.splitlines()[line].strip() in {"while True:", "n += 1"}
    assert verdict.tutor["running"][0].startswith("x = ") and time.monotonic() - begun < 60
    assert "the call that does not end" in report.verdict(verdict, find("tanh"))


# ------------------------------------------------------------ what is said

TEXTBOOK = """beta1, beta2 = betas
        data = p.data * (1 - lr * weight_decay) if self.decoupled else p.data
        g = g + weight_decay * p.data * (not self.decoupled)
        t, m, v = self.m.get(i, (0, 0, 0))
        t, m, v = t + 1, beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g * g
        self.m[i] = t, m, v
        m_hat, v_hat = m / (1 - beta1 ** t), v / (1 - beta2 ** t)
        p.data = data - lr * m_hat / (np.sqrt(v_hat) + eps)
"""


@pytest.mark.parametrize("old, new, why", [
    ("m / (1 - beta1 ** t)", "m", "m starts from zero"), ("", "", None)])
def test_an_object_may_keep_its_state_in_any_form(old, new, why):
    """The library's Adam keeps t, m and v apart, and could not go on from here: replays begin with a new object."""
    verdict = check("adam", written("adam", TEXTBOOK.replace(old, new)), seed=SEED)
    assert verdict.solved == (why is None)
    if why:
        assert find("adam").mistakes[verdict.tutor["diagnosis"]].why.startswith(why)
        words = " ".join(verdict.tutor["example"]["input"])
        assert "lr = " in words and "p = Parameter" in words and verdict.tutor["example"]["where"] == "p after the call"


def test_a_module_of_its_own_reads_docstrings_that_refer_to_others():
    """descent_bias2 has "X, t, lr : as in `descent`", and a mistake in descent may call it."""
    exercise = find("descent")
    tree = ast.parse(answer_text(exercise))
    part = Piece(exercise, tree, "answer.py", "descent: alone", watched=False)
    alone = run_alone(exercise.module, compiled_alone(part))
    assert alone.descent_bias2([[1.0]], [2.0], [0], lr=0.1, scales=[1.0]).tolist() == [[4.0]]
    with pytest.raises(ValueError, match="descent_bias2: lr must be "):
        alone.descent_bias2([[1.0]], [2.0], [0], lr=-0.1, scales=[1.0])


def test_a_call_of_a_method_is_lived_through_from_the_first_one(monkeypatch):
    monkeypatch.setattr(guard, "records", [])
    monkeypatch.setattr(guard, "lives", {})
    queue = KeyQueue(3)
    for keys in ([[1.0]], [[2.0], [3.0]]):
        arguments = queue, np.array(keys), np.arange(len(keys))
        guard.record(arguments, {}, method=True)
        queue.push(*arguments[1:])
    first, second = guard.records
    assert first.args[0].filled == second.args[0].filled == 0 and second.earlier == (first,)
    shown = dict(outcome(find("key_queue"), KeyQueue.push, second))["keys() after the call"]
    assert shown.tolist() == [[1], [2], [3]]


@pytest.mark.parametrize("text, words", [
    ("return np.tnah(x), (lambda g: g,)", "no attribute 'tnah' (line {line} of your file)"), ("return None", "None")])
def test_what_came_is_said_in_the_students_terms(text, words):
    file = written("tanh", text)
    verdict = check("tanh", file, seed=SEED)
    words = words.format(line=file.splitlines().index(f"    {text}") + 1)
    assert verdict.status == "failed" and words in verdict.tutor["example"]["got"]
    assert verdict.tutor["example"]["input"][0].startswith("x = ")


def test_objects_are_no_numbers_and_are_said_to_be_none(monkeypatch):
    told = explained(monkeypatch, lambda weight, *, threshold: np.array(weight >= threshold, object), weights(3))
    assert told["example"]["got"] == "an array of objects" and told["diagnosis"] is None
