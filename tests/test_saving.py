"""The laws of models in files: what comes back is what went in, and nothing else is run or made."""
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from test_nn import LAYERS, Coded, make, ready

from tinyml import Tensor, nn
from tinyml.nn import load_model, save_model
from tinyml.nn.skeleton import describe, rebuild


def same_bits(model, other, x):
    return model.eval()(x).data.tobytes() == other.eval()(x).data.tobytes()


@pytest.mark.parametrize("name", LAYERS)
def test_every_layer_comes_back_bit_for_bit(name, tmp_path):
    model, x = make(name), ready(LAYERS[name][1](np.random.default_rng(0), 3), np.float32)
    model(x)    # moves the running statistics
    save_model(model, tmp_path / "model.npz")
    other = load_model(tmp_path / "model.npz")
    assert repr(other) == repr(model) and same_bits(model, other, x)
    assert [type(p) for _, p in other._named_tensors()] == [type(p) for _, p in model._named_tensors()]
    model.train(), other.train()
    assert model(x).data.tobytes() == other(x).data.tobytes()    # also dropout draws alike


def test_what_was_shared_stays_shared():
    rng = np.random.default_rng(0)
    model = nn.Sequential(nn.Linear(3, 3, rng=rng), nn.Dropout(rng=rng), nn.Linear(3, 3, rng=rng))
    model[2].weight = model[0].weight
    model.again = model[1]
    other = rebuild(*describe(model))
    assert other[2].weight is other[0].weight and other.again is other[1]
    assert len(other.parameters()) == 3


class Own(nn.Module):
    """A class of the user's, with an attribute of every kind."""

    def __init__(self):
        self.layers = [nn.Linear(2, 2, rng=np.random.default_rng(0)), nn.ReLU()]
        self.pair, self.settings = (1, (None, "two")), {"eps": 1e-5, "big": float("inf")}
        self.count, self.codes = np.int64(3), np.array([1, 2], np.uint8)
        self.frozen, self.buffer = nn.Parameter(np.ones(2), requires_grad=False), Tensor(2.0)

    def forward(self, x):
        return self.layers[1](self.layers[0](x)) * self.frozen + self.buffer


def test_attributes_of_every_kind_come_back(tmp_path):
    model = Own()
    save_model(model, tmp_path / "model.npz")
    other = load_model(tmp_path / "model.npz", classes=[Own])
    assert other.pair == model.pair and other.settings == model.settings and other.count == 3
    assert_array_equal(other.codes, model.codes, strict=True)
    assert not other.frozen.requires_grad and other.layers[0].weight.requires_grad
    assert same_bits(model, other, Tensor(np.ones((3, 2), np.float32)))


def test_a_class_must_be_known(tmp_path):
    save_model(Own(), tmp_path / "model.npz")
    with pytest.raises(ValueError, match=r"^rebuild: classes must hold .* write classes=\[Own\]"):
        load_model(tmp_path / "model.npz")


@pytest.mark.parametrize("name", ["os.system", "tinyml.tensor.Tensor", "tinyml.nn.saving.save", "Linear",
                                  "tinyml.nn.layers.np", "builtins.eval"])
def test_nothing_but_modules_is_made(name):
    with pytest.raises(ValueError, match="^rebuild: classes must hold every class"):
        rebuild({"class": name, "has": {}}, {})


@pytest.mark.parametrize("skeleton", [
    {"class": "tinyml.nn.layers.ReLU"}, {"parameter": "missing"}, {"same": "nowhere"}, {"unknown": 1},
    {"class": "tinyml.nn.layers.ReLU", "has": 3}, {"class": "tinyml.none.ReLU", "has": {}}, {}, {"a": 1, "b": 2}])
def test_a_damaged_skeleton_is_refused(skeleton):
    with pytest.raises(ValueError, match="^rebuild: "):
        rebuild(skeleton, {})


def test_no_code_of_the_model_runs(monkeypatch):
    skeleton, arrays = describe(make("Linear"))
    monkeypatch.setattr(nn.Linear, "__init__", lambda *a, **k: pytest.fail("the constructor was called"))
    rebuild(skeleton, arrays)


def test_an_attribute_that_is_no_data_is_named():
    model = make("Sequential")
    model[1].rule = lambda x: x
    with pytest.raises(TypeError, match=r"^describe: 1\.rule must be a number.*got function$"):
        describe(model)


def test_the_skeleton_is_json():
    for model in [make(name) for name in LAYERS] + [Own(), Coded()]:
        skeleton, _ = describe(model)
        assert json.loads(json.dumps(skeleton)) == skeleton


def test_a_file_of_arrays_is_not_a_model(tmp_path):
    nn.save(make("Linear").state_dict(), tmp_path / "weights.npz")
    with pytest.raises(ValueError, match="^load_model: path must name a file of save_model, .*load_state_dict"):
        load_model(tmp_path / "weights.npz")


def test_a_fresh_process_computes_the_same_bits(tmp_path):
    model, x = make("TransformerEncoderLayer").eval(), np.random.default_rng(0).normal(size=(2, 3, 4))
    save_model(model, tmp_path / "model.npz")
    np.save(tmp_path / "x.npy", x)
    code = ("import numpy as np; from tinyml import Tensor; from tinyml.nn import load_model; import sys\n"
            "y = load_model('model.npz')(Tensor(np.load('x.npy'))).data\n"
            "sys.stdout.buffer.write(y.tobytes())")
    out = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, check=True,
                         env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}).stdout
    assert out == model(Tensor(x)).data.tobytes()
