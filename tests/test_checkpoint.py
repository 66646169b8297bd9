"""The law of a checkpoint: who loads it trains on as if there had been no end in between, bit for bit."""
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from tinyml import load, nn, optim, save
from tinyml.checkpoint import load_checkpoint, save_checkpoint
from tinyml.train import fit

OPTIMIZERS = {
    "SGD": lambda groups: optim.SGD(groups, lr=0.1),
    "momentum": lambda groups: optim.SGD(groups, lr=0.1, momentum=0.9, weight_decay=0.01),
    "Nesterov": lambda groups: optim.SGD(groups, lr=0.1, momentum=0.9, nesterov=True),
    "Adam": lambda groups: optim.Adam(groups, lr=0.01),
    "AdamW": lambda groups: optim.AdamW(groups, lr=0.01, weight_decay=0.1),
}
X = np.random.default_rng(0).normal(size=(24, 40)).astype(np.float32)
Y = np.arange(24) % 3


class Net(nn.Module):
    """Batch norm, dropout with two generators, one of them in a dict."""

    def __init__(self, rng):
        self.body = nn.Sequential(nn.Linear(40, 30, rng=rng), nn.BatchNorm1d(30), nn.ReLU(), nn.Dropout(0.5, rng=rng))
        self.heads = {"a": nn.Sequential(nn.Dropout(0.2, rng=np.random.default_rng(5)), nn.Linear(30, 3, rng=rng))}

    def forward(self, x):
        return self.heads["a"](self.body(x))


def objects(name, seed=0):
    """All that takes part in a training."""
    rng = np.random.default_rng(seed)
    model = Net(rng)
    groups = [{"params": model.body.parameters()}, {"params": model.heads["a"].parameters(), "lr": 0.02}]
    optimizer = OPTIMIZERS[name](groups)
    schedule = optim.LambdaLR(optimizer, lambda t: optim.cosine_decay(t, 20))
    return dict(model=model, optimizer=optimizer, schedule=schedule, rng=rng)


def train(run, epochs):
    return fit(run["model"], X, Y, epochs=epochs, batch_size=8, rng=run["rng"], optimizer=run["optimizer"],
               schedule=run["schedule"])


def everything(run, path):
    """Every array that a checkpoint of the run has."""
    save_checkpoint(path, **run)
    return load(path)


def assert_same(first, second):
    assert first.keys() == second.keys()
    for key, array in first.items():
        assert array.dtype == second[key].dtype
        assert_array_equal(array, second[key], err_msg=key)


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("k", [0, 2])
def test_training_goes_on_bit_for_bit(name, k, tmp_path):
    """2k epochs are k epochs, a file, fresh objects of another seed, and k epochs more."""
    whole, half, fresh = objects(name), objects(name), objects(name, seed=1)
    losses = [row["loss"] for row in train(whole, 2 * k + 1)]
    train(half, k)
    save_checkpoint(tmp_path / "half.npz", **half)
    load_checkpoint(tmp_path / "half.npz", **fresh)
    again = [row["loss"] for row in train(fresh, k + 1)]
    assert losses[k:] == again
    assert_same(everything(whole, tmp_path / "a.npz"), everything(fresh, tmp_path / "b.npz"))


def test_a_fresh_process_goes_on_bit_for_bit(tmp_path):
    whole, half = objects("Adam"), objects("Adam")
    train(whole, 3)
    train(half, 1)
    save_checkpoint(tmp_path / "half.npz", **half)
    here = Path(__file__).parent
    code = ("import sys; sys.path[:0] = sys.argv[1:3]; import test_checkpoint as t; run = t.objects('Adam', seed=1); "
            "t.load_checkpoint(sys.argv[3] + '/half.npz', **run); t.train(run, 2); "
            "t.save_checkpoint(sys.argv[3] + '/end.npz', **run)")
    subprocess.run([sys.executable, "-c", code, str(here), str(here.parent), str(tmp_path)], check=True)
    assert_same(everything(whole, tmp_path / "whole.npz"), load(tmp_path / "end.npz"))


@pytest.mark.parametrize("kind", ["MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64"])
def test_any_generator_goes_on(kind, tmp_path):
    make = lambda seed: np.random.Generator(vars(np.random)[kind](seed))    # noqa: E731, NPY002
    model, rng, other = nn.ReLU(), make(0), make(1)
    rng.random(3, dtype=np.float32)    # half of a 64-bit draw is kept
    save_checkpoint(tmp_path / "a.npz", model=model, rng=rng)
    load_checkpoint(tmp_path / "a.npz", model=model, rng=other)
    for _ in range(3):
        assert rng.random(dtype=np.float32) == other.random(dtype=np.float32) and rng.normal() == other.normal()


@pytest.mark.parametrize("kind", ["MT19937", "PCG64", "SFC64"])
@pytest.mark.parametrize("seed", [0, [3, 4], None, np.random.SeedSequence(1, spawn_key=(2, 3), pool_size=8)],
                         ids=["int", "list", "of the system", "sequence"])
def test_the_children_of_a_generator_go_on(kind, seed, tmp_path):
    """A model that spawns a generator for each epoch spawns the same ones after a checkpoint."""
    make = lambda seed: np.random.Generator(vars(np.random)[kind](seed))    # noqa: E731, NPY002
    model, rng, other = nn.ReLU(), make(seed), make(1)
    rng.spawn(3)
    other.spawn(1)
    save_checkpoint(tmp_path / "a.npz", model=model, rng=rng)
    load_checkpoint(tmp_path / "a.npz", model=model, rng=other)
    for ours, theirs in zip(rng.spawn(2), other.spawn(2), strict=True):
        assert ours.random() == theirs.random()
        assert ours.spawn(1)[0].random() == theirs.spawn(1)[0].random()
    assert rng.random() == other.random()


def test_a_file_that_does_not_fit_is_refused_and_nothing_changes(tmp_path):
    run, other = objects("Adam"), objects("SGD", seed=1)
    train(run, 1)
    path = tmp_path / "adam.npz"
    arrays = everything(run, path)
    before = everything(other, tmp_path / "before.npz")
    parts = {key: part for key, part in other.items() if key != "schedule"}
    save({key: array[:-1] if key == "generator.rng" else array for key, array in arrays.items()}, tmp_path / "cut.npz")
    save(run["model"].state_dict(), tmp_path / "weights.npz")
    adam, frozen = objects("Adam", seed=1), everything(objects("Adam", seed=1), tmp_path / "c.npz")
    wrong = {
        "state must come from SGD": lambda: load_checkpoint(path, **other),
        "pass schedule=..., as when it was saved": lambda: load_checkpoint(path, **parts),
        "pass optimizer=...": lambda: load_checkpoint(path, model=other["model"], rng=other["rng"]),
        "generators must be ": lambda: load_checkpoint(path, **{**adam, "rng": None}),
        "got others; make it of model.parameters()": lambda: load_checkpoint(path, **{**adam, "model": other["model"]}),
        "schedule must be one of this optimizer": lambda: save_checkpoint(path, **{**adam, "schedule": run["schedule"]}),
        "delimiter": lambda: load_checkpoint(tmp_path / "cut.npz", **adam),
        "file with model, optimizer, schedule, generator alone, got":
            lambda: load_checkpoint(tmp_path / "weights.npz", **adam),
    }
    for message, call in wrong.items():
        with pytest.raises(ValueError, match=re.escape(message)):
            call()
        assert_same(everything(other, tmp_path / "d.npz"), before)
        assert_same(everything(adam, tmp_path / "d.npz"), frozen)
    with pytest.raises(TypeError, match="^load_checkpoint: model must be a Module, got dict"):
        load_checkpoint(path, model={})
    with pytest.raises(FileNotFoundError):
        load_checkpoint(tmp_path / "none.npz", **adam)
