"""The laws of the report: each column is what its name says, counted another way."""
import itertools
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import rngs

from tinyml import nn
from tinyml.compression.coding.storage import save_compressed
from tinyml.compression.quantization import quantize_weights
from tinyml.compression.report import (
    Report,
    clock,
    compare,
    file_bytes,
    macs,
    milliseconds,
    report,
    table,
)
from tinyml.train import accuracy


def mlp(rng, hidden=5):
    return nn.Sequential(nn.Linear(4, hidden, rng=rng), nn.BatchNorm1d(hidden), nn.ReLU(),
                         nn.Linear(hidden, 3, rng=rng))


@given(rng=rngs, hidden=st.integers(1, 6), n=st.integers(1, 4))
def test_work_is_that_of_all_layers_for_one_sample_whatever_the_batch(rng, hidden, n):
    x = np.zeros((n, 4), np.float32)
    assert macs(mlp(rng, hidden), x) == 4 * hidden + 3 * hidden


def test_work_of_a_convolution_counts_every_window():
    model = nn.Sequential(nn.Conv2d(2, 3, 3, padding=1, rng=np.random.default_rng(0)), nn.ReLU(),
                          nn.Flatten(), nn.Linear(3 * 25, 2, rng=np.random.default_rng(0)))
    assert macs(model, np.zeros((2, 2, 5, 5), np.float32)) == 25 * 3 * 2 * 9 + 75 * 2


class Squared(nn.Module):
    """y = x W W, once without a count of its work, and once with it."""

    def __init__(self, rng):
        self.parts = {"w": nn.Parameter(rng.standard_normal((4, 4)).astype(np.float32))}

    def forward(self, x):
        return x @ self.parts["w"] @ self.parts["w"]


class Counted(Squared):
    def macs(self, x, y):
        return 2 * 4 * y.size


@pytest.mark.parametrize("small", [lambda m: m, lambda m: quantize_weights(m, bits=4)])
def test_work_that_nothing_counts_is_named(small):
    rng, X = np.random.default_rng(0), np.ones((2, 4), np.float32)
    others = nn.LayerNorm((2, 4)), nn.Embedding(3, 4, rng=rng)
    assert macs(small(nn.Sequential(Counted(rng), nn.Linear(4, 4, rng=rng))), X) == 32 + 16
    with pytest.warns(UserWarning, match="^macs: weights of its own are not counted in Squared at '1';") as warned:
        assert macs(small(nn.Sequential(nn.Linear(4, 4, rng=rng), Squared(rng))), X) == 16
    assert warned[0].filename == __file__
    assert macs(nn.Sequential(*others[::-1]), np.zeros((1, 2), int)) == 0


def test_an_array_at_several_places_is_counted_once_and_its_work_at_each():
    rng = np.random.default_rng(0)
    layer, tied = nn.Linear(4, 4, rng=rng), nn.Linear(4, 4, rng=rng)
    tied.weight = layer.weight
    row = report(nn.Sequential(layer, layer, nn.Sequential(layer), tied), np.ones((2, 4), np.float32), [0, 1])
    assert (row.numbers, row.nonzeros, row.macs) == (16 + 4 + 4, 16 + 4 + 4, 4 * 16)


def test_looking_at_a_model_leaves_its_mode_alone():
    model = mlp(np.random.default_rng(0)).train()
    before = model.state_dict()
    macs(model, np.ones((3, 4), np.float32))
    assert model.training and all((before[k] == v).all() for k, v in model.state_dict().items())


@settings(max_examples=10)
@given(rng=rngs, zeros=st.integers(0, 20))
def test_numbers_bytes_and_accuracy_are_counted_on_the_arrays_and_the_file(rng, zeros, tmp_path_factory):
    model = mlp(rng)
    weight = model[0].weight.data.copy()
    weight.ravel()[:zeros] = 0
    model[0].weight.data = weight
    X, y = rng.standard_normal((7, 4)).astype(np.float32), rng.integers(0, 3, 7)
    row = report(model, X, y)
    arrays = [model[0].weight, model[0].bias, model[1].weight, model[1].bias, model[1].running_mean,
              model[1].running_var, model[3].weight, model[3].bias]
    assert row.numbers == sum(a.size for a in arrays)
    assert row.numbers - row.nonzeros == sum((a.data == 0).sum() for a in arrays)
    path = tmp_path_factory.mktemp("report") / "model"
    save_compressed(model, path)
    assert row.file_bytes == file_bytes(model) == path.stat().st_size
    assert row.bits_per_number == 8 * row.file_bytes / row.numbers
    assert row.accuracy == accuracy(model, X, y) and row.macs == macs(model, X)
    assert row.ms_1 > 0 and row.ms_256 > 0


def test_a_slower_model_takes_longer():
    """Fifty layers cannot be faster than one of them: no clock is that bad."""
    rng = np.random.default_rng(0)
    one, fifty = (nn.Sequential(*[nn.Linear(64, 64, rng=rng) for _ in range(k)]) for k in (1, 50))
    times = milliseconds([one, fifty], np.zeros((64, 64), np.float32), rounds=5)
    assert times.shape == (2, 5) and (np.median(times, axis=1)[1] > np.median(times, axis=1)[0] > 0)


def test_the_clock_calls_in_turn_and_counts_neither_the_first_round_nor_sleep():
    """Sleep takes no processor's time, as does waiting for other programs; work takes both clocks' time."""
    called, numbers = [], np.ones(2 ** 18)
    calls = [lambda: called.append("work") or [numbers.sum() for _ in range(20)],
             lambda: called.append("sleep") or time.sleep(0.02)]
    times = clock(calls, rounds=3)
    assert called == ["work", "sleep"] * 4 and times.shape == (2, 3)
    assert (times[0] > 0.5).all()    # milliseconds
    assert (times[1] < 5).all() or sys.platform == "win32"    # whose clock of processes is too coarse


@pytest.mark.parametrize("wall, own, expected", [(5, 3, 3), (3, 5, 3), (3, 0, 3)])
def test_a_call_takes_the_smaller_time_of_two_clocks(wall, own, expected, monkeypatch):
    def ticking(step):
        ticks = itertools.count(1000, step) if step else itertools.repeat(1000)
        return lambda: next(ticks)
    monkeypatch.setattr("tinyml.compression.report.time", SimpleNamespace(perf_counter=ticking(wall), process_time=ticking(own)))
    assert (clock([int], rounds=2) == 1000 * expected).all()


def test_the_table_has_a_row_for_each_model_and_columns_that_line_up():
    rows = {"dense": Report(1000, 900, 4100, 32.8, 64000, 0.01, 1.5, 0.9712), "small": Report(*[1] * 8)}
    lines = table(rows).splitlines()
    assert len(lines) == 3 and len({len(line) for line in lines}) == 1
    heads = "numbers", "not zero", "bytes", "bits each", "MACs", "ms (1)", "ms (256)", "accuracy"
    numbers = "1,000", "900", "4,100", "32.80", "64,000", "0.010", "1.500", "97.12 %"
    for head, number in zip(heads, numbers):    # each under its head, to the right
        assert lines[0].index(head) + len(head) == lines[1].index(f"  {number}") + 2 + len(number)
    assert lines[0].split() == " ".join(heads).split() and lines[2].startswith("small")


def test_each_model_has_the_median_of_its_own_times(monkeypatch):
    """Round r takes model i r + 100 i + n milliseconds on n samples."""
    def milliseconds(models, x):
        return np.array([[r + 100 * i + len(x) for r in range(5)] for i in range(len(models))])
    monkeypatch.setattr("tinyml.compression.report.milliseconds", milliseconds)
    rng = np.random.default_rng(0)
    rows = compare({name: mlp(rng) for name in "abc"}, np.ones((3, 4), np.float32), np.zeros(3, int))
    assert [(row.ms_1, row.ms_256) for row in rows.values()] == [(2 + 100 * i + 1, 2 + 100 * i + 256) for i in range(3)]


def test_models_are_compared_under_their_names():
    rng = np.random.default_rng(0)
    X, y = np.ones((3, 4), np.float32), np.zeros(3, int)
    rows = compare({"wide": mlp(rng, 6), "narrow": mlp(rng, 1)}, X, y)
    assert list(rows) == ["wide", "narrow"] and rows["narrow"].macs < rows["wide"].macs


def test_errors():
    model = mlp(np.random.default_rng(0))
    with pytest.raises(ValueError, match="^milliseconds: rounds must be int >= 1, got 0"):
        milliseconds([model], np.ones((1, 4)), rounds=0)
    with pytest.raises(ValueError, match="^macs: x must be "):
        macs(model, np.ones((0, 4)))
    with pytest.raises(ValueError, match=r"^compare: y must be .* with n = 2, got shape \(3,\)"):
        report(model, np.ones((2, 4), np.float32), np.zeros(3, int))
