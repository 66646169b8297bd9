"""The tutor says what is wrong, and finds what the laws leave open: axes, dtypes, generators that nobody asks."""
import ast

import numpy as np
import pytest

from tinyml.exercises import guard, tutor
from tinyml.exercises.catalogue import find
from tinyml.exercises.check import check
from tinyml.exercises.outcome import outcome
from tinyml.exercises.splice import Piece, load_alone
from tinyml.exercises.stub import answer_text, stub_text
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
    """descent_bias has "X, t, lr : as in `descent`", and a mistake in descent may call it."""
    exercise = find("descent")
    part = Piece(exercise, ast.parse(answer_text(exercise)), "answer.py", "descent: alone", watched=False)
    alone = load_alone(part, "_descent_alone")
    assert alone.descent_bias([[1.0]], [2.0], [0], lr=0.1, scales=[1.0]).tolist() == [[4.0]]
    with pytest.raises(ValueError, match="descent_bias: lr must be "):
        alone.descent_bias([[1.0]], [2.0], [0], lr=-0.1, scales=[1.0])


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
