"""The laws of models in files: what comes back is what went in, and nothing else is run or made."""
import copy
import itertools
import json
import math
import os
import re
import subprocess
import sys
from collections import OrderedDict, namedtuple
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from strategies import put
from test_nn import LAYERS, Coded, make, ready

from tinyml import Tensor, nn, ops
from tinyml import functional as F
from tinyml.compression.coding.storage import load_compressed, save_compressed
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
    with pytest.raises(TypeError, match=r"^describe: 1\.rule must be .*<lambda>; write class Own\(Module\)"):
        describe(model)


def test_the_skeleton_is_json():
    for model in [make(name) for name in LAYERS] + [Own(), Coded()]:
        skeleton, _ = describe(model)
        assert json.loads(json.dumps(skeleton)) == skeleton


def test_a_file_of_arrays_is_not_a_model(tmp_path):
    nn.save(make("Linear").state_dict(), tmp_path / "weights.npz")
    with pytest.raises(ValueError, match="^load_model: path must name a file of save_model, .*load_state_dict"):
        load_model(tmp_path / "weights.npz")


@pytest.mark.parametrize("skeleton", [b"", b"[" * 100_000, b"\xff"])
def test_a_skeleton_that_is_no_json_names_the_file(tmp_path, skeleton):
    nn.save({"__skeleton__": np.frombuffer(skeleton, np.uint8)}, tmp_path / "model.npz")
    with pytest.raises(ValueError, match="^load_model: path must name a file of save_model, .*model.npz, whose"):
        load_model(tmp_path / "model.npz")


def test_a_changed_byte_of_a_model_is_noticed_or_changes_nothing(tmp_path):
    path, model = tmp_path / "model.npz", make("Linear")
    save_model(model, path)
    whole, state = path.read_bytes(), model.state_dict()
    for i in range(0, len(whole), 3):
        put(path, whole[:i] + bytes([whole[i] ^ 1 << i % 8]) + whole[i + 1:])
        try:
            found = load_model(path).state_dict()
        except ValueError:
            continue
        assert found.keys() == state.keys()
        assert all(found[key].tobytes() == state[key].tobytes() for key in state), f"byte {i}"


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


# ------------------------------------------------------------ classes by name

def class_called(name, module, factor=100):
    """A Linear of the user's that is called so, and computes something else."""
    def forward(self, x):
        return factor * nn.Linear.forward(self, x)
    own = type(name.rpartition(".")[2], (nn.Linear,), {"forward": forward, "__module__": module})
    own.__qualname__ = name
    return own


def of(*classes):
    rng = np.random.default_rng(0)
    return nn.Sequential(nn.Linear(2, 2, rng=rng), {"a": [c(2, 2, rng=rng) for c in classes]}["a"][0],
                         *[c(2, 2, rng=rng) for c in classes[1:]])


X = Tensor(np.ones((1, 2), np.float32))
WAYS = {"npz": (save_model, load_model), "tmz": (save_compressed, load_compressed)}
both_files = pytest.mark.parametrize("way", WAYS)


def through(way, model, classes, folder):
    write, read = WAYS[way]
    write(model, folder / "model")
    return read(folder / "model", classes=classes)


@both_files
@pytest.mark.parametrize("name", ["Linear", "Sequential", "Outer.Linear", "make.<locals>.Linear"])
@pytest.mark.parametrize("module", ["mine", "__main__", "tinyml_of_mine.layers"])
def test_a_class_is_known_by_its_module_and_name(way, name, module, tmp_path):
    own = class_called(name, module)
    model = of(own)
    for classes in ([own], (own, own), own, {f"{module}.{name}": own}, iter([own, class_called(name, "other")])):
        other = through(way, model, classes, tmp_path)
        assert type(other[0]) is nn.Linear and type(other[1]) is own and same_bits(model, other, X)


@both_files
def test_two_classes_of_one_name_are_two(way, tmp_path):
    one, two = class_called("Linear", "a", 10), class_called("Linear", "b", 1000)
    model = of(one, two)
    other = through(way, model, [two, one], tmp_path)
    assert [type(layer) for layer in other] == [nn.Linear, one, two] and same_bits(model, other, X)
    for classes, missing in (([one], r"b\.Linear"), ([two], r"a\.Linear"), ([], r"a\.Linear"), (None, r"a\.Linear")):
        with pytest.raises(ValueError, match=f"^rebuild: classes must hold every class.*none called {missing}"):
            through(way, model, classes, tmp_path)


@both_files
def test_names_that_do_not_tell_classes_apart_are_refused(way, tmp_path):
    one, two = class_called("Own", "mine", 10), class_called("Own", "mine", 1000)
    with pytest.raises(ValueError, match=r"^describe: .* two called mine\.Own; give the class at 2 another name"):
        through(way, of(one, two), [one, two], tmp_path)
    with pytest.raises(ValueError, match=r"^describe: .* two called tinyml\.nn\.layers\.Linear"):
        through(way, class_called("Linear", "tinyml.nn.layers")(2, 2, rng=np.random.default_rng(0)), [], tmp_path)
    with pytest.raises(ValueError, match=r"^rebuild: classes must hold one class called mine\.Own, got .*and"):
        through(way, of(one), [one, two], tmp_path)
    with pytest.raises(ValueError, match=r"one class called tinyml\.nn\.layers\.Linear, got .*and"):
        through(way, of(one), [one, class_called("Linear", "tinyml.nn.layers")], tmp_path)


@both_files
def test_a_class_that_has_moved_is_found_by_a_dict_and_one_of_the_script_by_its_name(way, tmp_path):
    script, imported, other = (class_called("Own", module) for module in ("__main__", "train", "other"))
    assert type(through(way, of(script), [imported], tmp_path)[1]) is imported
    assert type(through(way, of(other), {"other.Own": imported}, tmp_path)[1]) is imported
    assert type(through(way, of(other), {"Own": imported}, tmp_path)[1]) is imported
    with pytest.raises(ValueError, match=r"none called other\.Own; write classes=\{'other\.Own': Own\} if train"):
        through(way, of(other), [imported], tmp_path)
    with pytest.raises(ValueError, match=r"one class called __main__\.Own, got .*and"):
        through(way, of(script), [imported, other], tmp_path)
    with pytest.raises(ValueError, match=r"for both .*\.Own and .*\.Own"):
        through(way, of(script, imported), [imported], tmp_path)
    with pytest.raises(ValueError, match=r"none called __main__\.Linear"):    # the library's is another
        through(way, of(class_called("Linear", "__main__")), [nn.Linear], tmp_path)


@pytest.mark.parametrize("classes, told", [("Own", "got str"), (3, "got int"), ([3], "got 3"), (Own(), "got Own"),
                                           (["Own"], "got 'Own'"), ([Path], "got <class 'pathlib"),
                                           ({"Own": 3}, "got 3"), (Tensor, "got <class 'tinyml.tensor.Tensor'>")])
def test_classes_must_be_classes(classes, told):
    with pytest.raises(TypeError, match=f"^rebuild: classes must .*{told}.*write classes="):
        rebuild(*describe(nn.ReLU()), classes=classes)


# ------------------------------------------------------------ attributes of every kind

SMALL = [None, True, 3, 10 ** 30, 0.1, math.inf, "a", "", (1, (2, [])), {"a": {"b": (None,)}}, slice(1, None, -1),
         np.float32(0.1), np.float64(0.1), np.float16(2), np.int8(-3), np.uint64(2 ** 64 - 1), np.True_,
         np.str_("a"), np.dtype("float32"), np.dtype(">i2"), np.float32, float, int, bool, ops.relu, F.softmax,
         Tensor.tanh, np.tanh]


@pytest.mark.parametrize("value", SMALL, ids=repr)
@both_files
def test_small_attributes_come_back_as_they_are(way, value, tmp_path):
    model = nn.Module()
    model.x, model.more = value, [{"a": value}]
    other = through(way, model, [], tmp_path)
    assert type(other.x) is type(value) and other.x == value and other.more[0] == {"a": value}


def test_a_number_of_numpy_computes_the_same_bits():
    """0.1 as a float64 makes a float32 array float64; a Python number does not."""
    for number in (np.float64(0.1), np.float32(0.1), 0.1):
        model = nn.Module()
        model.x = number
        array, again = np.ones(2, np.float32) * number, np.ones(2, np.float32) * rebuild(*describe(model)).x
        assert array.dtype == again.dtype and (array == again).all()


class WithFunction(nn.Module):
    def __init__(self, f):
        self.block, self.f = nn.TransformerEncoderLayer(2, 1, 3, 0.0, activation=f, rng=np.random.default_rng(0)), f

    def forward(self, x):
        return self.f(self.block(x))


@both_files
def test_a_function_of_the_library_comes_back_and_another_says_what_to_write(way, tmp_path):
    x = Tensor(np.random.default_rng(0).normal(size=(1, 3, 2)))
    for f in (ops.gelu, F.softmax, Tensor.relu):
        model = WithFunction(f)
        assert same_bits(model, through(way, model, WithFunction, tmp_path), x)
    for f, name in ((lambda x: x, "<lambda>"), (same_bits, "same_bits"), (partial(ops.gelu, approximate="tanh"),
                    "partial"), (nn.ReLU().forward, "ReLU.forward"), (len, "len"), (np.save, "save")):
        with pytest.raises(TypeError, match=rf"^describe: block\.activation must be .*{name}; write class Own\(Mod"):
            through(way, WithFunction(f), WithFunction, tmp_path)


@pytest.mark.parametrize("name", ["numpy.save", "numpy.load", "os.system", "tinyml.ops._x", "tinyml.nn.save",
                                  "builtins.eval", "numpy.lib.format.read_array", "relu", ""])
def test_no_other_function_is_found(name):
    with pytest.raises(ValueError, match="^rebuild: skeleton must come from describe"):
        rebuild({"class": "tinyml.nn.module.Module", "has": {"f": {"function": name}}}, {})


def generator_of(name):
    return np.random.Generator(getattr(np.random, name)(0))


Pair = namedtuple("Pair", "a b")
REFUSED = {"complex": 1j, "bytes": b"x", "set": {1, 2}, "range": range(3), "OrderedDict; write a dict": OrderedDict(a=1),
           "dict with the key 3; write str keys": {3: 1}, "Pair; write a tuple": Pair(1, 2),
           "complex64": np.complex64(1), "datetime64": np.datetime64("2020"), "VoidDType": np.dtype([("a", "f4")]),
           "MaskedArray": np.ma.array([1.0]), "ndarray": np.array([None]), "type": nn.Linear, "count": itertools.count(),
           "a generator with MT19937; write np.random.default_rng": generator_of("MT19937"), "Path": Path("x")}


@pytest.mark.parametrize("told", REFUSED)
def test_what_no_file_can_hold_is_refused_by_its_path(told, tmp_path):
    model = make("Sequential")
    model[1].settings = {"a": [0, REFUSED[told]]}
    with pytest.raises(TypeError, match=rf"^describe: 1\.settings\.a\.1 must be .*, got \w*{re.escape(told)}"):
        save_model(model, tmp_path / "model.npz")
    assert not list(tmp_path.iterdir())


@both_files
def test_a_buffer_that_comes_back_can_be_loaded_into(way, tmp_path):
    other = through(way, Coded(), Coded, tmp_path)
    other.load_state_dict({**other.state_dict(), "codes": np.array([3, 2, 1], np.int8)})
    assert_array_equal(other.codes, [3, 2, 1])
    codes = np.arange(3)
    codes.setflags(write=False)
    other = rebuild({"class": "tinyml.nn.module.Module", "has": {"x": {"array": "x"}}}, {"x": codes})
    other.load_state_dict({"x": codes + 1})
    assert_array_equal(codes, np.arange(3))


def test_a_generator_goes_on_where_it_was_also_in_a_file_without_its_seed():
    model = make("Dropout")
    model.rng.random(3)
    skeleton, arrays = describe(model)
    assert rebuild(skeleton, arrays).rng.spawn(1)[0].random() == copy.deepcopy(model.rng).spawn(1)[0].random()
    del skeleton["has"]["rng"]["rng"]["seed"]    # as an earlier version wrote it
    loaded = [rebuild(skeleton, arrays).rng for _ in range(2)]
    first, second = (rng.spawn(1)[0].random(4) for rng in loaded)
    assert_array_equal(first, second)
    assert loaded[0].random() == model.rng.random()
