"""The laws of the training loop, of the questions asked after it, and of the progress line."""
import io
import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from strategies import rngs

from tinyml import Tensor, nn, optim
from tinyml import functional as F
from tinyml.progress import progress
from tinyml.train import accuracy, fit, predict


def two_clouds(rng, n=40):
    """Points on both sides of a line, at least 1 away from it, and their side."""
    y = rng.integers(0, 2, n)
    x = rng.normal(size=(n, 2))
    x[:, 0] = (np.abs(x[:, 0]) + 1) * (2 * y - 1)
    return x.astype(np.float32), y


def network(seed):
    rng = np.random.default_rng(seed)
    return nn.Sequential(nn.Linear(2, 8, rng=rng), nn.Tanh(), nn.BatchNorm1d(8),
                         nn.Dropout(0.2, rng=rng), nn.Linear(8, 2, rng=rng))


def trained(seed, **changes):
    """(model, history) of a short fit in which everything random comes from one seed."""
    rng = np.random.default_rng(seed)
    X, y = two_clouds(rng)
    model = changes.pop("model", None) or network(seed)
    adam = optim.Adam(model.parameters(), lr=changes.pop("lr", 0.05))
    options = dict(optimizer=adam, epochs=3, batch_size=16, rng=rng) | changes
    return model, fit(model, X, y, **options)


def bits(model):
    return b"".join(array.tobytes() for array in model.state_dict().values())


# ------------------------------------------------------------ fit

def test_the_same_seed_gives_the_same_bits():
    (one, first), (two, second), (three, _) = trained(0), trained(0), trained(1)
    assert bits(one) == bits(two) and first == second and bits(one) != bits(three)


@given(rng=rngs, epochs=st.integers(2, 6))
def test_a_convex_loss_falls_at_every_step_that_is_short_enough(rng, epochs):
    """Descent lemma: the gradient changes by at most L = max |x|^2 / 2, so lr = 1/L descends."""
    X, y = two_clouds(rng)
    model = nn.Linear(2, 2, bias=False, rng=rng)
    sgd = optim.SGD(model.parameters(), lr=2 / (X ** 2).sum(axis=1).max())
    history = fit(model, X, y, optimizer=sgd, epochs=epochs, batch_size=len(X), rng=rng)
    losses = [row["loss"] for row in history]
    assert all(b < a for a, b in zip(losses, losses[1:]))


def test_a_separable_set_is_learnt():
    model, history = trained(0, epochs=30)
    X, y = two_clouds(np.random.default_rng(0))
    assert accuracy(model, X, y) == 1 and history[-1]["loss"] < history[0]["loss"] / 4


def test_one_batch_is_the_loop_a_reader_would_write():
    X, y = two_clouds(np.random.default_rng(0))
    model, mine = (nn.Linear(2, 2, rng=np.random.default_rng(1)) for _ in range(2))
    history = fit(model, X, y, optimizer=optim.SGD(model.parameters(), 0.1), epochs=3,
                  batch_size=99, rng=np.random.default_rng(2))
    sgd, losses = optim.SGD(mine.parameters(), 0.1), []
    for _ in range(3):
        sgd.zero_grad()
        loss = F.cross_entropy(mine(X), y)
        loss.backward()
        sgd.step()
        losses.append(loss.item())
    # the order of the samples differs, and with it the rounding of float32 sums of 40 terms
    assert_allclose([row["loss"] for row in history], losses, rtol=1e-5)
    assert_allclose(model.weight.data, mine.weight.data, rtol=1e-5, atol=1e-6)


@given(rng=rngs, batch_size=st.integers(1, 50))
def test_an_epoch_shows_every_sample_once_and_its_loss_is_their_mean(rng, batch_size):
    X, y = two_clouds(rng)
    model, seen = nn.Linear(2, 2, rng=rng), []

    def watched(model, x, y):
        seen.append(len(y))
        return F.cross_entropy(model(x), y)
    row, = fit(model, X, y, optimizer=optim.SGD(model.parameters(), lr=0), epochs=1,
               batch_size=batch_size, rng=rng, loss_of=watched)
    # with lr = 0 the model stands still; 40 float32 losses are averaged in another order
    assert row["loss"] == pytest.approx(F.cross_entropy(model(X), y).item(), rel=1e-5)
    assert sum(seen) == len(X) and max(seen) <= batch_size


class Spy(nn.Module):
    """A linear model that keeps what it was shown, in which mode, and if a graph was recorded."""

    def __init__(self):
        self.inner = nn.Linear(1, 2, rng=np.random.default_rng(0))
        self.rows, self.modes, self.recorded = [], [], []

    def forward(self, x):
        y = self.inner(x)
        self.rows.append(x.data.copy())
        self.modes.append(self.training)
        self.recorded.append(y.requires_grad)
        return y


def test_samples_are_shuffled_anew_in_every_epoch_with_their_targets():
    X, model = np.arange(20, dtype=np.float32)[:, None], Spy()
    targets = []

    def watched(model, x, y):
        targets.append(y)
        return F.cross_entropy(model(Tensor(x)), y % 2)
    fit(model, X, np.arange(20), optimizer=optim.SGD(model.parameters(), 0.0), epochs=2,
        batch_size=20, rng=np.random.default_rng(0), loss_of=watched)
    first, second = (rows.ravel() for rows in model.rows)
    assert sorted(first) == sorted(second) == list(range(20)) and (first != second).any()
    assert_array_equal(targets, [first, second])
    assert model.modes == [True, True] and all(model.recorded)


def test_metrics_are_asked_in_evaluation_mode_and_callbacks_may_stop():
    seen = []

    def stop_at_two(model, row):
        seen.append(("stop", row["epoch"], model.training))
        return row["epoch"] == 2

    def after(model, row):
        seen.append(("after", row["epoch"], model.training))
    model, history = trained(0, epochs=9, metrics={"mode": lambda model: model.training},
                             callbacks=[stop_at_two, after])
    assert [(row["epoch"], row["mode"]) for row in history] == [(1, False), (2, False)]
    assert all(type(row["loss"]) is float for row in history)
    # a callback that stops does not silence those after it
    assert seen == [(name, epoch, False) for epoch in (1, 2) for name in ("stop", "after")]


def test_a_schedule_steps_once_a_batch():
    model = network(0)
    sgd = optim.SGD(model.parameters(), lr=1.0)
    schedule = optim.LambdaLR(sgd, lambda t: 1 / (1 + t))
    trained(0, model=model, optimizer=sgd, schedule=schedule, epochs=2, batch_size=16)
    assert schedule.t == 2 * math.ceil(40 / 16) and sgd.lr == 1 / (1 + schedule.t)


def test_no_epochs_change_nothing():
    model, history = trained(0, epochs=0)
    assert history == [] and bits(model) == bits(network(0))
    assert not model.training    # evaluation mode, as after any fit


def test_tokens_train_an_embedding():
    rng = np.random.default_rng(0)
    tokens = rng.integers(0, 4, (40, 3))
    model = nn.Sequential(nn.Embedding(4, 5, rng=rng), nn.Flatten(), nn.Linear(15, 4, rng=rng))
    history = fit(model, tokens, tokens[:, 0], optimizer=optim.Adam(model.parameters(), 0.05),
                  epochs=40, batch_size=20, rng=rng)
    assert history[-1]["loss"] < 0.5 and accuracy(model, tokens, tokens[:, 0]) == 1


@given(rng=rngs, n=st.integers(2, 20), batch_size=st.integers(2, 20))
def test_a_last_batch_that_is_smaller_may_be_left_out(rng, n, batch_size):
    X, y = two_clouds(rng, n)
    batch_size, sizes = min(batch_size, n), []

    def watched(model, x, y):
        sizes.append(len(y))
        return F.cross_entropy(model(x), y) * 0 + 3.0
    model = nn.Sequential(nn.Linear(2, 2, rng=rng), nn.BatchNorm1d(2))    # which refuses one row
    row, = fit(model, X, y, optimizer=optim.SGD(model.parameters(), lr=0), epochs=1, batch_size=batch_size, rng=rng,
               loss_of=watched, drop_last=True)
    assert sizes == [batch_size] * (n // batch_size) and row["loss"] == 3


@given(rng=rngs, n_arrays=st.integers(1, 4), batch_size=st.integers(1, 50))
def test_a_loss_gets_the_same_rows_of_every_array(rng, n_arrays, batch_size):
    arrays = [np.arange(40) * 10 ** i for i in range(n_arrays)]
    model, seen = nn.Linear(1, 1, rng=rng), []

    def loss_of(passed, *batch):
        assert passed is model and len(batch) == n_arrays
        for i, rows in enumerate(batch):
            assert_array_equal(rows, batch[0] * 10 ** i)
        seen.extend(batch[0])
        return (model.weight * len(batch[0])).sum()
    sgd = optim.SGD(model.parameters(), lr=0.01)
    fit(model, *arrays, loss_of=loss_of, optimizer=sgd, epochs=1, batch_size=batch_size, rng=rng)
    assert sorted(seen) == list(range(40))


class Frame:
    """What a DataFrame looks like from outside."""

    def __init__(self, array):
        self.array = array

    def to_numpy(self):
        return self.array


X, Y = two_clouds(np.random.default_rng(0))


@pytest.mark.parametrize("form", [np.ndarray.tolist, lambda array: tuple(array.tolist()), Frame, list, np.asfortranarray])
def test_data_of_any_form_train_the_same_model(form):
    """A Tensor's labels would be floats, so y takes no part in that one."""
    models = [nn.Linear(2, 2, rng=np.random.default_rng(0)) for _ in range(3)]
    for model, (x, y) in zip(models, [(X, Y), (form(X), form(Y)), (Tensor(X), form(Y))]):
        fit(model, x, y, optimizer=optim.SGD(model.parameters(), 0.1), epochs=2, batch_size=16,
            rng=np.random.default_rng(1))
    assert bits(models[0]) == bits(models[1]) == bits(models[2])
    assert_array_equal(predict(models[0], form(X)), predict(models[0], X))
    assert accuracy(models[0], form(X), form(Y)) == accuracy(models[0], Tensor(X), Y)


def test_float64_data_leave_a_model_float32():
    model = nn.Linear(2, 2, rng=np.random.default_rng(0))
    fit(model, X.astype(float), Y, optimizer=optim.Adam(model.parameters()), epochs=1, batch_size=16,
        rng=np.random.default_rng(1))
    assert {p.dtype for p in model.parameters()} == {np.dtype(np.float32)}
    assert predict(model, X.astype(float)).dtype == np.float64 and predict(model, X.tolist()).dtype == np.float32


def attempt(X=X, y=Y, **changes):
    model = nn.Linear(2, 2, rng=np.random.default_rng(0))
    options = dict(optimizer=optim.SGD(model.parameters(), 0.1), epochs=1, batch_size=8,
                   rng=np.random.default_rng(0)) | changes
    return fit(model, X, y, **options)


HOLED = np.where(np.arange(80).reshape(40, 2) < 3, np.nan, X)
ERRORS = {    # message -> (kind of error, call)
    "fit: X must be finite, got 3 NaN or infinite values":
        (ValueError, lambda: attempt(X=HOLED)),
    "fit: epochs must be int >= 0, got -1":
        (ValueError, lambda: attempt(epochs=-1)),
    "fit: the loss must be finite, got nan in epoch 1":
        (ValueError, lambda: attempt(loss_of=lambda model, x, y: (model(x) * math.nan).sum())),
    "fit: the loss must be finite, got inf in epoch 1":
        (ValueError, lambda: attempt(loss_of=lambda model, x, y: (model(x) * 0).sum() + math.inf)),
    "fit: loss_of must return a scalar Tensor, got float":
        (TypeError, lambda: attempt(loss_of=lambda model, x, y: 1.0)),
    "fit: loss_of must return a scalar Tensor, got shape (8, 2); write loss.mean()":
        (ValueError, lambda: attempt(loss_of=lambda model, x, y: model(x))),
    "fit: loss_of must be function (model, *batch) -> scalar Tensor, got 'mse'":
        (TypeError, lambda: attempt(loss_of="mse")),
    "fit: arrays must be given, got none; write fit(model, X, y, ...)":
        (TypeError, lambda: fit(nn.ReLU(), optimizer=optim.SGD([nn.Parameter(np.ones(1))]), epochs=1,
                                batch_size=1, rng=np.random.default_rng(0))),
    "cross_entropy: target must be in 0..1, got":
        (ValueError, lambda: attempt(y=Y + 5)),
    "fit: y must be finite, got 1 NaN or infinite values":
        (ValueError, lambda: attempt(y=np.where(np.arange(40) == 3, np.nan, 1.0))),
    "fit: epochs must be int >= 0, got 1.0":
        (TypeError, lambda: attempt(epochs=1.0)),
    "fit: epochs must be int >= 0, got True":
        (TypeError, lambda: attempt(epochs=True)),
    "fit: batch_size must be int >= 1, got 8.0":
        (TypeError, lambda: attempt(batch_size=8.0)),
    "fit: batch_size must be at most 40, the number of rows, with drop_last=True, got 41":
        (ValueError, lambda: attempt(batch_size=41, drop_last=True)),
    "fit: schedule must be one of this optimizer, got another's":
        (ValueError, lambda: attempt(schedule=optim.LambdaLR(optim.SGD([nn.Parameter(np.ones(1))]), lambda t: 1))),
    "fit: optimizer must hold parameters that the loss depends on, got none of them; write Adam(model.parameters())":
        (RuntimeError, lambda: attempt(optimizer=optim.Adam(network(0).parameters()))),
    "fit: y must hold numbers, got list of dtype <U1; write np.unique(y, return_inverse=True)[1]":
        (TypeError, lambda: attempt(y=["a"] * 40)),
    "fit: X must hold numbers, got ndarray of dtype object; write np.asarray(data, np.float32)":
        (TypeError, lambda: attempt(X=X.astype(object))),
    "fit: X must hold numbers, got ndarray of dtype complex64; write an array of float32":
        (TypeError, lambda: attempt(X=X.astype(np.complex64))),
    "fit: X must hold numbers, got generator of dtype object":
        (TypeError, lambda: attempt(X=(row for row in X))),
    "fit: X must have rows of one shape, got":
        (TypeError, lambda: attempt(X=[[1.0], [1.0, 2.0]])),
    "fit: X must be data, got a Tensor with requires_grad=True; write x.data":
        (TypeError, lambda: attempt(X=Tensor(X, requires_grad=True))),
    "fit: X and y must have one length >= 1 in common, got 0 and 40":
        (ValueError, lambda: attempt(X=3.0)),
    "predict: X must hold numbers, got list of dtype <U1":
        (TypeError, lambda: predict(nn.ReLU(), ["a"])),
    "predict: batch_size must be int >= 1, got 2.5":
        (TypeError, lambda: predict(nn.ReLU(), X, batch_size=2.5)),
    "accuracy: y must be in 0..1, got 2":
        (ValueError, lambda: accuracy(nn.ReLU(), X, Y + 1)),
    "accuracy: y must be in 0..1, got -1":
        (ValueError, lambda: accuracy(nn.ReLU(), X, Y - 1)),
    "accuracy: y must be integers, got dtype float64":
        (TypeError, lambda: accuracy(nn.ReLU(), X, Y + 0.0)),
    "accuracy: the model's outputs must be numbers, got 3 NaN":
        (ValueError, lambda: accuracy(nn.Sequential(), HOLED, Y)),
    "accuracy: the model's outputs must have shape (n, C) with C >= 2, got (40, 1)":
        (ValueError, lambda: accuracy(nn.ReLU(), X[:, :1], Y)),
    "accuracy: the model's outputs must have shape (n, C) with C >= 2, got (40,)":
        (ValueError, lambda: accuracy(nn.ReLU(), X[:, 0], Y)),
    "fit: X and y must have one length >= 1 in common, got 40 and 39":
        (ValueError, lambda: attempt(y=Y[:-1])),
    "fit: batch_size must be int >= 1, got 0":
        (ValueError, lambda: attempt(batch_size=0)),
    "fit: rng must be numpy.random.Generator, got 0":
        (TypeError, lambda: attempt(rng=0)),
    "fit: X and y must have one length >= 1 in common, got 0 and 0":
        (ValueError, lambda: attempt(X=X[:0], y=Y[:0])),
    "predict: batch_size must be int >= 1, got -1":
        (ValueError, lambda: predict(nn.ReLU(), X, batch_size=-1)),
    "predict: X must have one row or more, got 0":
        (ValueError, lambda: predict(nn.ReLU(), X[:0])),
    "accuracy: y must have shape (40,), got (40, 1)":
        (ValueError, lambda: accuracy(nn.ReLU(), X, Y[:, None])),
}


@pytest.mark.parametrize("message", ERRORS)
def test_an_error_names_function_argument_requirement_and_value(message):
    kind, call = ERRORS[message]
    with pytest.raises(kind) as error:
        call()
    assert str(error.value).startswith(message)


def test_a_parameter_is_never_changed_by_a_loss_that_is_no_number():
    model = nn.Linear(2, 2, rng=np.random.default_rng(0))
    before = bits(model)
    with pytest.raises(ValueError, match="^fit: the loss must be finite"):
        fit(model, X, Y, optimizer=optim.SGD(model.parameters(), 0.1), epochs=1, batch_size=8,
            rng=np.random.default_rng(0), loss_of=lambda model, x, y: (model(x) * math.nan).sum())
    assert bits(model) == before


# ------------------------------------------------------------ predict and accuracy

@given(rng=rngs, batch_size=st.integers(1, 50))
def test_predict_is_the_forward_pass_in_evaluation_mode(rng, batch_size):
    model = network(int(rng.integers(100)))
    model(Tensor(X))    # some running statistics
    direct = model.eval()(Tensor(X)).data
    model.train()
    # rows are independent; a product of another shape may sum its 8 terms in another order
    assert_allclose(predict(model, X, batch_size=batch_size), direct, rtol=1e-5, atol=1e-6)
    assert model.training


def test_predict_leaves_no_graph_and_every_mode_as_it_was():
    model = Spy().train()
    model.inner.eval()    # a frozen part of a model in training
    y = predict(model, np.ones((5, 1), np.float32), batch_size=2)
    assert type(y) is np.ndarray and y.shape == (5, 2)
    assert model.modes == [False] * 3 and model.recorded == [False] * 3
    assert model.training and not model.inner.training
    with pytest.raises(ValueError, match="^linear: x must have shape"):
        predict(model, np.ones((5, 2), np.float32))
    assert model.training and not model.inner.training
    assert model.inner(np.ones((1, 1), np.float32)).requires_grad    # recording is on again


@given(rng=rngs, n=st.integers(1, 30), c=st.integers(2, 5))
def test_accuracy_counts_the_rows_whose_largest_output_is_right(rng, n, c):
    scores, y = rng.permutation(n * c).reshape(n, c) * 1.0 - n, rng.integers(0, c, n)
    identity = nn.Sequential()
    right = sum(scores[i, y[i]] == max(scores[i]) for i in range(n))
    assert accuracy(identity, scores, y) == pytest.approx(right / n)
    assert accuracy(identity, scores, scores.argmax(axis=1)) == 1


# ------------------------------------------------------------ progress

class Terminal(io.StringIO):
    def isatty(self):
        return True


def screen(monkeypatch, kind=Terminal, tick=None):
    """What stderr writes to; with `tick`, the clock moves so many seconds a look."""
    stderr, clock = kind(), itertools.count()
    monkeypatch.setattr("sys.stderr", stderr)
    if tick:
        monkeypatch.setattr("time.perf_counter", lambda: next(clock) * tick)
    return stderr


CLEARED = "\r\033[K"


def test_nobody_watching_nothing_written(monkeypatch):
    file = screen(monkeypatch, io.StringIO)
    assert list(progress(range(5), "train")) == list(range(5)) and file.getvalue() == ""


@pytest.mark.parametrize("items", [range(5), [], "abc"])
def test_a_watcher_sees_the_count_and_then_a_clean_line(items, monkeypatch):
    for iterable, total in ((items, None), (iter(items), len(items))):
        terminal = screen(monkeypatch)
        assert list(progress(iterable, "train", total=total)) == list(items)
        assert terminal.getvalue().endswith(CLEARED)
        assert not items or f"train   {len(items)}/{len(items)} " in terminal.getvalue()


def test_the_line_tells_rate_and_time_left_at_most_ten_times_a_second(monkeypatch):
    terminal = screen(monkeypatch, tick=1 / 20)
    assert list(progress(range(20), "train")) == list(range(20))
    lines = terminal.getvalue().split("\r")
    assert lines[1] == "train   3/20   20/s   1 s left\033[K"
    assert lines[-2].startswith("train   20/20 ")
    assert len(lines[1:-1]) <= 20 / 20 * 10 and all(line.endswith("\033[K") for line in lines[1:])


def test_an_unknown_total_promises_no_end(monkeypatch):
    terminal = screen(monkeypatch, tick=1.0)
    assert "".join(progress(iter("abc"), "read")) == "abc"
    assert terminal.getvalue() == "".join(f"\rread   {n}   1/s\033[K" for n in (1, 2, 3)) + CLEARED


def test_items_come_one_at_a_time_and_leaving_early_clears_the_line(monkeypatch):
    terminal, drawn = screen(monkeypatch, tick=1.0), []
    for item in progress((drawn.append(i) or i for i in range(9)), "train", total=9):
        assert drawn == list(range(item + 1))
        if item == 3:
            break
    assert "train   3/9" in terminal.getvalue() and terminal.getvalue().endswith(CLEARED)


def test_a_third_array_is_named_by_its_place():
    third = np.array([1, np.nan] * 20)
    model = nn.Linear(2, 3, rng=np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"fit: arrays\[2\] must be finite, got 20 NaN"):
        fit(model, X, X, third, optimizer=optim.SGD(model.parameters(), lr=0.1), epochs=1, batch_size=4,
            rng=np.random.default_rng(0), loss_of=lambda model, x, _, third: model(x).sum())
