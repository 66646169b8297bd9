"""The laws of layers and models: a table of layers times what each must satisfy, then their own."""
import copy
import inspect
import itertools
import math
import re
import tempfile
import weakref
import zipfile
from collections import deque
from functools import partial
from pathlib import Path
from types import MappingProxyType, SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_allclose, assert_array_equal
from strategies import (
    CONV_PADDING,
    COUNT,
    FLAG,
    GENERATOR,
    NO_INT,
    PAIR,
    POOL_PADDING,
    POSITIVE,
    SIZE,
    UNIT,
    Setting,
    all_refused,
    conv_settings,
    defaults,
    optional,
    or_none,
    plain_conv,
    put,
    rngs,
    settings_of,
    some_change,
)

import tinyml
from tinyml import Tensor, gradcheck, load, nn, save
from tinyml import functional as F
from tinyml.compression.factorize import factorize
from tinyml.compression.quantization import quantize_weights
from tinyml.compression.quantization_aware import prepare
from tinyml.compression.removal import mask_units, remove_units
from tinyml.nn.folding import fold_batch_norm
from tinyml.nn.npz import MANIFEST
from tinyml.nn.skeleton import describe, rebuild
from tinyml.selfsupervised.byol import BYOL
from tinyml.selfsupervised.downstream import fine_tune
from tinyml.selfsupervised.moco import MoCo, momentum_copy

EPS = np.finfo(np.float64).eps


def images(rng, n):
    """Images without ties, so that a maximum has one place."""
    return rng.permutation(n * 32).reshape(n, 2, 4, 4) / 16 - n


def nonzero(rng, n):
    """Numbers at least 1/4 away from the kink at 0."""
    return rng.choice([-1, 1], (n, 4)) * rng.uniform(0.25, 2, (n, 4))


def rows(rng, n):
    return rng.normal(size=(n, 4))


def sequences(rng, n):
    return rng.normal(size=(n, 3, 4))


def series(rng, n):
    """Series without ties, so that a maximum has one place."""
    return rng.permutation(n * 10).reshape(n, 2, 5) / 8 - n / 2


LAYERS = {    # name -> (make with an rng, input of n samples)
    "AvgPool2d": (lambda r: nn.AvgPool2d(2, padding=1), images),
    "BatchNorm1d": (lambda r: nn.BatchNorm1d(4, eps=0.1), rows),
    "BatchNorm2d": (lambda r: nn.BatchNorm2d(2, eps=0.1), images),
    "Conv1d": (lambda r: nn.Conv1d(2, 3, 3, padding="same", dilation=2, rng=r), series),
    "Conv2d": (lambda r: nn.Conv2d(2, 4, (3, 2), stride=2, padding=1, groups=2, rng=r), images),
    "Dropout": (lambda r: nn.Dropout(0.3, rng=r), rows),
    "Embedding": (lambda r: nn.Embedding(5, 4, rng=r), lambda rng, n: rng.integers(0, 5, (n, 3))),
    "Flatten": (lambda r: nn.Flatten(), images),
    "GELU": (lambda r: nn.GELU("tanh"), rows),
    "LayerNorm": (lambda r: nn.LayerNorm((3, 4), eps=0.1), sequences),
    "Linear": (lambda r: nn.Linear(4, 3, rng=r), sequences),
    "MaxPool1d": (lambda r: nn.MaxPool1d(2, stride=1), series),
    "MaxPool2d": (lambda r: nn.MaxPool2d(2, stride=1), images),
    "MultiheadAttention": (lambda r: nn.MultiheadAttention(4, 2, rng=r), sequences),
    "ReLU": (lambda r: nn.ReLU(), nonzero),
    "Sequential": (lambda r: nn.Sequential(nn.Linear(4, 3, rng=r), nn.Tanh(),
                                           nn.Linear(3, 2, rng=r)), rows),
    "Sigmoid": (lambda r: nn.Sigmoid(), rows),
    "Tanh": (lambda r: nn.Tanh(), rows),
    "TransformerEncoderLayer": (
        lambda r: nn.TransformerEncoderLayer(4, 2, 5, 0.3, "gelu", 0.1, rng=r), sequences),
}
every_layer = pytest.mark.parametrize("name", LAYERS)
TWO_MODES = "BatchNorm1d", "BatchNorm2d", "Dropout", "TransformerEncoderLayer"    # of training and of evaluation


def make(name, seed=0):
    return LAYERS[name][0](np.random.default_rng(seed))


def ready(x, dtype):
    return x if x.dtype.kind == "i" else Tensor(x.astype(dtype))


def scrambled(model, rng):
    """The model in float64 with every parameter and buffer random: nothing is 0 or 1 by default."""
    for tensor in dict(model._named_tensors()).values():
        tensor.data = rng.uniform(0.5, 1.5, tensor.shape) * rng.choice([-1, 1], tensor.shape)
    for _, module in model.named_modules():
        if hasattr(module, "running_var"):
            module.running_var.data = np.abs(module.running_var.data)
    return model


def bound_to(model, path, tensor):
    """Put a tensor where a parameter was."""
    *owners, leaf = path.split(".")
    for owner in owners:
        model = getattr(model, owner)
    setattr(model, leaf, tensor)


def test_every_layer_has_a_row():
    others = {"Module", "Parameter", "forward_hook", "load", "load_model", "save", "save_model"}
    assert set(LAYERS) | others == set(nn.__all__)


@pytest.mark.parametrize("name, training", [
    *((name, True) for name in LAYERS), *((name, False) for name in TWO_MODES)])
@settings(max_examples=3)    # gradcheck looks at every entry
@given(rng=rngs, n=st.integers(2, 4))
def test_gradients_of_input_and_parameters_are_slopes(name, training, rng, n):
    model = scrambled(make(name), rng).train(training)
    paths, values = zip(*model.named_parameters()) if model.parameters() else ((), ())
    x = LAYERS[name][1](rng, n)

    def f(*tensors):
        for _, module in model.named_modules():
            module.rng = np.random.default_rng(1)    # the same dropout every time
        for path, tensor in zip(paths, tensors):
            bound_to(model, path, tensor)
        return model(x if x.dtype.kind == "i" else tensors[-1])
    assert gradcheck(f, *values, *([] if x.dtype.kind == "i" else [x]), rng=rng)


@every_layer
@settings(max_examples=10)
@given(rng=rngs, n=st.integers(2, 4))
def test_samples_do_not_meet_in_evaluation(name, rng, n):
    model, x = scrambled(make(name), rng).eval(), LAYERS[name][1](rng, n)
    y = model(ready(x, np.float64)).data
    assert len(y) == n
    for i in range(n):
        assert_allclose(model(ready(x[i:i + 1], np.float64)).data, y[i:i + 1], atol=1e-11)
    assert_array_equal(model(ready(x, np.float64)).data, y)    # and nothing is random


@every_layer
def test_float32_goes_in_and_float32_comes_out(name):
    model, x = make(name), LAYERS[name][1](np.random.default_rng(1), 3)
    x = ready(x, np.float32)
    before = np.array(getattr(x, "data", x))
    if isinstance(x, Tensor):
        x.requires_grad = True
    y = model(x)
    (y * y).sum().backward()
    assert y.dtype == np.float32
    for tensor in [*model.parameters(), *([x] if isinstance(x, Tensor) else [])]:
        assert tensor.grad.dtype == tensor.dtype == np.float32 and tensor.grad.shape == tensor.shape
    assert_array_equal(np.array(getattr(x, "data", x)), before)


@every_layer
def test_state_carries_over_to_another_model_and_through_a_file(name, tmp_path):
    model, other = make(name), make(name, seed=1)
    scrambled(model, np.random.default_rng(2))
    for tensor in dict(model._named_tensors()).values():
        tensor.data = tensor.data.astype(np.float32)
    save(model.state_dict(), tmp_path / "weights.npz")
    other.load_state_dict(load(tmp_path / "weights.npz"))
    x = ready(LAYERS[name][1](np.random.default_rng(3), 3), np.float32)
    assert_array_equal(other.eval()(x).data, model.eval()(x).data)


@every_layer
def test_the_drawing_counts_the_parameters(name):
    model = make(name)
    first = repr(model).splitlines()[0]
    assert first.startswith(f"{name}(")
    count = sum(p.size for p in model.parameters())
    assert re.findall(r"\)\s+([\d,]+)", first) == ([f"{count:,}"] if count else [])
    for path, tensor in model._named_tensors():
        assert f"{path.split('.')[-1]} {'x'.join(map(str, tensor.shape))}" in repr(model)


@every_layer
def test_what_is_random_requires_its_rng(name):
    make_layer = LAYERS[name][0]
    parameters = inspect.signature(getattr(nn, name).__init__).parameters
    if "rng" not in parameters:
        return
    assert parameters["rng"].kind is inspect.Parameter.KEYWORD_ONLY
    with pytest.raises(TypeError, match=f"^{name}: rng must be a numpy.random.Generator, got 0;"):
        make_layer(0)
    for path, array in make(name).state_dict().items():
        assert_array_equal(make(name).state_dict()[path], array)    # same seed, same bits


def test_a_missing_rng_is_named():
    for call in (lambda: nn.Linear(2, 3), lambda: nn.Dropout(),
                 lambda: nn.TransformerEncoderLayer(4, 2)):
        with pytest.raises(TypeError, match="missing 1 required keyword-only argument: 'rng'"):
            call()


# ------------------------------------------------------------ Module

def same_bits(a, b):
    """Equal dicts of arrays, in keys, dtypes, shapes and every bit: NaN equals NaN, 0 is not -0."""
    return list(a) == list(b) and all((a[k].dtype, a[k].shape, a[k].tobytes())
                                      == (b[k].dtype, b[k].shape, b[k].tobytes()) for k in a)


class Nested(nn.Module):
    def __init__(self, *, rng):
        self.single = nn.Linear(2, 3, rng=rng)
        self.several = [nn.Linear(3, 3, rng=rng),
                        nn.Sequential(nn.BatchNorm1d(3), nn.Dropout(rng=rng))]
        self.tied = self.single
        self.own = nn.Parameter(np.ones(4, np.float32))
        self.scales = (nn.Parameter(np.ones(1, np.float32)), nn.Parameter(np.ones(2, np.float32)))
        self.note = "not a parameter"

    def forward(self, x):
        return self.several[1](self.several[0](self.single(x)))


PATHS = {"own", "scales.0", "scales.1", "single.weight", "single.bias", "several.0.weight",
         "several.0.bias", "several.1.0.weight", "several.1.0.bias"}


def nested(seed=0):
    return Nested(rng=np.random.default_rng(seed))


def test_parameters_are_found_wherever_they_are_and_shared_ones_once():
    model = nested()
    named = dict(model.named_parameters())
    assert set(named) == PATHS
    assert [id(p) for p in model.parameters()] == [id(p) for p in named.values()]
    assert named["single.weight"] is model.tied.weight and named["scales.1"] is model.scales[1]
    assert set(model.state_dict()) - PATHS == {    # buffers, and the second names
        "several.1.0.running_mean", "several.1.0.running_var", "tied.weight", "tied.bias"}


def test_modes_and_zero_grad_reach_every_module():
    model = nested()
    assert model.eval() is model and not any(m.training for _, m in model.named_modules())
    assert model.train() is model and all(m.training for _, m in model.named_modules())
    model(Tensor(np.ones((4, 2), np.float32))).sum().backward()
    assert model.single.weight.grad is not None
    model.zero_grad()
    assert all(p.grad is None for p in model.parameters())


def test_state_dict_is_a_copy_that_goes_round():
    model, other = nested(), nested(1)
    state, before = model.state_dict(), model.state_dict()
    other.load_state_dict({key: array.astype(np.float64) for key, array in state.items()})
    assert same_bits(other.state_dict(), state)    # in the model's own dtype
    other.load_state_dict(state)
    for array in state.values():
        array += 1
    assert same_bits(model.state_dict(), before) and same_bits(other.state_dict(), before)


@given(data=st.data())
def test_a_state_that_does_not_fit_names_every_key_and_changes_nothing(data):
    model = nested()
    before = model.state_dict()
    keys = sorted(before)
    role = {key: data.draw(st.sampled_from(["fits", "missing", "misshapen"]), key) for key in keys}
    extra = data.draw(st.lists(st.sampled_from(["a", "own.b", "several.2.weight"]), unique=True))
    state = {key: np.ones(1) for key in extra}
    wrong = [f"unexpected {key}" for key in extra]
    for key in keys:
        if role[key] == "missing":
            wrong.append(f"missing {key}")
        else:
            state[key] = before[key] + 1 if role[key] == "fits" else np.ones((7, 7))
        if role[key] == "misshapen":
            wrong.append(f"{key} must have shape {before[key].shape}, got (7, 7)")
    if not wrong:
        assert model.load_state_dict(state) == ([], [])
        return
    with pytest.raises(ValueError, match="^load_state_dict: state must match Nested") as error:
        model.load_state_dict(state)
    told = str(error.value).partition("got ")[2].split("; ")
    assert sorted(told) == sorted(wrong)
    assert same_bits(model.state_dict(), before)


def test_a_state_without_numbers_changes_nothing():
    model = nn.Linear(2, 2, rng=np.random.default_rng(0))
    before = model.state_dict()
    with pytest.raises(ValueError, match="^load_state_dict: .* bias must hold real numbers, got"):
        model.load_state_dict({"weight": np.zeros((2, 2)), "bias": np.array(["a", "b"])})
    assert same_bits(model.state_dict(), before)


def test_a_drawing_of_a_model():
    rng = np.random.default_rng(0)
    model = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1, rng=rng), nn.BatchNorm2d(8), nn.ReLU(),
                          nn.Flatten(), nn.Linear(512, 10, rng=rng))
    lines = [re.sub(" +", " ", line) for line in repr(model).splitlines()]
    assert lines == ["Sequential() 5,226",
                     "├─ 0: Conv2d(1, 8, kernel_size=3, padding=1) 80 weight 8x1x3x3 bias 8",
                     "├─ 1: BatchNorm2d(8) 16 weight 8 bias 8 running_mean 8 running_var 8",
                     "├─ 2: ReLU()",
                     "├─ 3: Flatten()",
                     "└─ 4: Linear(512, 10) 5,130 weight 10x512 bias 10"]


def test_sequential_is_a_list_that_composes():
    model = make("Sequential")
    x = Tensor(np.ones((2, 4), np.float32))
    assert_array_equal(model(x).data, model[2](model[1](model[0](x))).data)
    assert len(model) == 3 and list(model)[-1] is model[-1] and model[1:][1] is model[2]
    assert_array_equal(model[:2](x).data, model[1](model[0](x)).data)


# ------------------------------------------------------------ what a module holds

def tree_of(rng, path, depth, expected):
    """A random value, layers in containers in modules; `expected` takes the paths of its parameters."""
    kind = rng.choice(["layer", "parameter", "module", "list", "tuple", "dict", "other"]) if depth else "layer"
    if kind == "layer":
        layer = nn.Linear(1, 2, rng=rng)
        expected |= {f"{path}.weight": layer.weight, f"{path}.bias": layer.bias}
        return layer
    if kind == "parameter":
        expected[path] = nn.Parameter(rng.normal(size=3))
        return expected[path]
    if kind == "other":
        return rng.choice(np.array([None, 3, "note", {3: "x", "a.b": 1}], object))
    inside = {name: tree_of(rng, f"{path}.{name}", depth - 1, expected)
              for name in map(str, range(rng.integers(4)))}
    if kind == "module":
        module = nn.Module()
        vars(module).update(inside)
        return module
    return inside if kind == "dict" else {"list": list, "tuple": tuple}[kind](inside.values())


def model_of_trees(seed):
    rng, model, expected = np.random.default_rng(seed), nn.Module(), {}
    for name in ("a", "b", "c"):
        setattr(model, name, tree_of(rng, name, 3, expected))
    return model, expected


def at(model, path):
    """What a name leads to: attributes of modules, entries of containers."""
    for part in path.split("."):
        model = (model[part] if isinstance(model, dict) else model[int(part)] if isinstance(model, (list, tuple))
                 else getattr(model, part))
    return model


@given(seed=st.integers(0, 2 ** 32))
def test_every_parameter_of_a_tree_of_containers_is_found_once_by_a_name_that_leads_to_it(seed):
    model, expected = model_of_trees(seed)
    named = list(model.named_parameters())
    assert len(named) == len(expected) and all(expected[name] is p for name, p in named)
    assert all(at(model, name) is p for name, p in named)
    assert all(at(model, path) is module for path, module in model.named_modules() if path)
    assert repr(model).count("Linear(") == sum(isinstance(m, nn.Linear) for _, m in model.named_modules())
    assert not any(m.training for _, m in model.eval().named_modules())
    assert all(m.training for _, m in model.train().named_modules())
    for p in model.parameters():
        p.grad = np.ones(p.shape, p.dtype)
    model.zero_grad()
    assert all(p.grad is None for p in expected.values())


@given(seed=st.integers(0, 2 ** 32))
def test_the_state_of_a_tree_of_containers_goes_round(seed):
    model, expected = model_of_trees(seed)
    state, other = model.state_dict(), model_of_trees(seed)[0]
    assert state.keys() == expected.keys()
    other.load_state_dict({name: array + 1 for name, array in state.items()})
    assert same_bits(other.state_dict(), {name: array + 1 for name, array in state.items()})
    twin = copy.deepcopy(model)
    assert same_bits(twin.state_dict(), state) and repr(twin) == repr(model)
    assert not {id(p) for p in twin.parameters()} & {id(p) for p in model.parameters()}


def test_a_layer_that_is_appended_later_is_found():
    model = nn.Module()
    model.layers = {"deep": [[]]}
    assert model.parameters() == []
    model.layers["deep"][0].append(make("Linear"))
    assert [name for name, _ in model.named_parameters()] == ["layers.deep.0.0.weight", "layers.deep.0.0.bias"]


class Plain:
    """A class that forgot to inherit from Module."""

    def __init__(self):
        self.layer = make("Linear")


class PlainScale:
    def __init__(self):
        self.scale = nn.Parameter(np.ones(2))


class PlainList:
    def __init__(self):
        self.layers = [make("Linear")]


NOT_FOUND = {    # what a module cannot hold, each with a word of the error
    "set": (lambda layer: {layer}, "write a list"),
    "frozenset in a list": (lambda layer: [frozenset([layer])], "write a list"),
    "deque": (lambda layer: deque([layer]), "write a list"),
    "values": (lambda layer: {"a": layer}.values(), "write a list"),
    "mapping": (lambda layer: MappingProxyType({"a": layer}), "write a list"),
    "namespace": (lambda layer: SimpleNamespace(a=layer), "write a list"),
    "array of objects": (lambda layer: np.array([layer, None], object), "write a list"),
    "partial": (lambda layer: partial(F.linear, weight=layer.weight), "write a list"),
    "plain object": (lambda layer: Plain(), r"write class Plain\(Module\)"),
    "plain object with a parameter": (lambda layer: [PlainScale()], r"write class PlainScale\(Module\)"),
    "plain object with a list": (lambda layer: {"a": PlainList()}, r"write class PlainList\(Module\)"),
    "key": (lambda layer: {layer: 2.0}, "a Linear as a key"),
    "int key": (lambda layer: {0: layer}, "under the key 0"),
    "dotted key": (lambda layer: {"a": {"b": layer}, "a.b": layer}, "under the key 'a.b'"),
    "empty key": (lambda layer: [{"": [layer]}], "under the key ''"),
    "array under an int key": (lambda layer: {0: np.ones(2)}, "a ndarray under the key 0"),
    "generator": (lambda layer: (layer for _ in range(2)), r"write list\(\.\.\.\)"),
    "map": (lambda layer: map(abs, [layer]), r"write list\(\.\.\.\)"),
    "iterator": (lambda layer: [iter([layer])], r"write list\(\.\.\.\)"),
    "chain": (lambda layer: itertools.chain([layer]), r"write list\(\.\.\.\)"),
}
USES = {"parameters": nn.Module.parameters, "state_dict": nn.Module.state_dict, "eval": nn.Module.eval,
        "repr": repr, "zero_grad": nn.Module.zero_grad, "copy": copy.deepcopy, "describe": describe,
        "load": lambda model: model.load_state_dict({})}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("case", NOT_FOUND)
def test_a_layer_that_no_name_leads_to_is_refused(case, use):
    hold, words = NOT_FOUND[case]
    model = nn.Module()
    model.x = hold(make("Linear"))
    with pytest.raises(TypeError, match=rf"^Module: x.* must .*{words}"):
        USES[use](model)
    assert "training" not in vars(model)    # eval changed nothing


def test_an_attribute_with_a_dot_in_its_name_is_refused():
    """Else a.b would be the name of two things."""
    model = nn.Module()
    model.a = {"b": make("Linear")}
    setattr(model, "a.b", make("Linear"))
    with pytest.raises(TypeError, match=r"^Module: a\.b must .* got a Linear under the key 'a\.b'"):
        model.parameters()


def test_what_holds_no_layers_may_be_anything():
    """An optimizer of the model's own parameters, a counter, settings, a weak reference to a parent."""
    model, layer = nn.Module(), make("Linear")
    model.layer, model.count, model.rows = layer, itertools.count(), {3: "x", "a.b": {1, 2}}
    model.optimizer, model.parent = tinyml.optim.SGD([layer.weight], lr=0.1), weakref.ref(layer)
    model.rule, model.tags, model.day = F.softmax, deque([1]), SimpleNamespace(table=np.ones(2))
    assert model.parameters() == [layer.weight, layer.bias] and model.eval() is model


def cycles():
    own, parent, box = nn.Module(), nn.Module(), []
    own.me = own
    parent.child = nn.Module()
    parent.child.up = [{"parent": parent}]
    box.append((box,))
    listed = nn.Module()
    listed.box = box
    proxied = nn.Module()
    proxied.me = weakref.proxy(proxied)
    return {"me, which": own, "child.up.0.parent, which": parent, "box.0.0": listed, "me, which is": proxied}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("path", cycles())
def test_a_model_that_contains_itself_is_refused(path, use):
    model = cycles()[path]
    with pytest.raises(ValueError, match=f"^Module: a (module|container) must not contain itself, got {path}"):
        USES[use](model)


def test_parameters_of_the_class_are_refused():
    class OnClass(nn.Module):
        layers, SIZES, MEAN = [make("Linear")], {3: np.ones(2)}, Tensor([0.5])
    with pytest.raises(TypeError, match=r"^OnClass: layers must be an attribute of the object.*write self\.layers"):
        OnClass().parameters()
    model = OnClass()
    model.layers = [make("Linear")]
    assert len(model.parameters()) == 2 and list(model.state_dict()) == ["layers.0.weight", "layers.0.bias"]
    with pytest.raises(TypeError, match="^Slotted: a Module must hold its parts in attributes"):
        type("Slotted", (nn.Module,), {"__slots__": ("weight",)})
    with pytest.raises(TypeError, match="^ModuleList: a Module must hold its parts in attributes"):
        type("ModuleList", (nn.Module, list), {})


def test_a_tensor_that_wants_a_gradient_must_be_a_parameter():
    model = nn.Module()
    model.scale, model.seen = Tensor([1.0], requires_grad=True), nn.Parameter(np.ones(2)) * 2
    with pytest.raises(TypeError, match=r"^Module: scale must be a Parameter .*write nn\.Parameter\(array\)"):
        model.parameters()
    model.scale = nn.Parameter(np.ones(1))
    assert model.parameters() == [model.scale]    # a result of the forward pass may be kept


# ------------------------------------------------------------ copies draw for themselves

COPIES = {    # every function of the library that trains or keeps a copy of a model
    "deepcopy": copy.deepcopy,
    "copy of a copy": lambda model: copy.deepcopy(copy.deepcopy(model)),
    "in a tuple": lambda model: copy.deepcopy(({"model": [model]}, 1))[0]["model"][0],
    "momentum_copy": momentum_copy,
    "MoCo": lambda model: MoCo(model, queue_size=4, momentum=0.9, temperature=0.1).key,
    "BYOL": lambda model: BYOL(model, make("Linear"), n_steps=2).target,
    "fine_tune": lambda model: fine_tune(model, make("Linear"), np.ones((2, 4), np.float32), [0, 1],
                                         encoder_lr=0.1, head_lr=0.1, epochs=0, batch_size=2,
                                         rng=np.random.default_rng(0))[0],
    "quantize_weights": lambda model: quantize_weights(model, bits=8),
    "prepare": lambda model: prepare(model, bits=8),
    "fold_batch_norm": fold_batch_norm,
    "factorize": lambda model: factorize(model, share=0.5),
    "mask_units": lambda model: mask_units(model, {}),
    "remove_units": lambda model: remove_units(model, {}),
}


def with_dropout(seed=0):
    rng = np.random.default_rng(seed)
    return nn.Sequential(nn.Linear(4, 4, rng=rng), nn.Dropout(0.5, rng=rng), nn.Linear(4, 4, rng=rng))


def masks(model, n=5000):
    dropout = next(m for _, m in model.named_modules() if isinstance(m, nn.Dropout)).train()
    return dropout(Tensor(np.ones((n, 4), np.float32))).data != 0


def agree_by_chance(a, b):
    """Masks with p = 1/2 agree in half of their n entries, within 6 standard errors sqrt(1/4 / n)."""
    return abs((a == b).mean() - 0.5) <= 6 * 0.5 / math.sqrt(a.size)


@pytest.mark.parametrize("way", COPIES)
def test_a_copy_draws_masks_of_its_own_the_same_in_each_run(way):
    model, again, untouched = with_dropout(), with_dropout(), with_dropout()
    copies = [COPIES[way](m) for m in (model, again)] + [COPIES[way](model)]
    first, same, second = map(masks, copies)
    assert_array_equal(first, same)
    own = masks(model)
    assert_array_equal(own, masks(untouched))    # the original draws as if there were no copies
    assert agree_by_chance(first, second) and agree_by_chance(first, own) and agree_by_chance(second, own)


@given(seed=st.integers(0, 2 ** 32))
def test_a_copy_of_a_transformer_draws_its_own_numbers_wherever_generators_are(seed):
    model = nn.TransformerEncoderLayer(4, 2, 5, rng=np.random.default_rng(seed))
    model.more, model.noise = [{"a": np.random.default_rng(1)}], partial(F.dropout, rng=np.random.default_rng(2))
    model.view = SimpleNamespace(rng=np.random.default_rng(3))
    twin = copy.deepcopy(model)
    assert twin.dropout.rng is twin.self_attn.rng    # one generator stays one
    for find in (lambda m: m.dropout.rng, lambda m: m.more[0]["a"], lambda m: m.noise.keywords["rng"],
                 lambda m: m.view.rng):
        assert find(twin).random() != find(model).random()


def test_a_saved_model_draws_on_and_its_copies_are_those_of_the_original(tmp_path):
    model = with_dropout()
    masks(model), copy.deepcopy(model)
    nn.save_model(model, tmp_path / "model.npz")
    loaded = nn.load_model(tmp_path / "model.npz")
    assert_array_equal(masks(copy.deepcopy(loaded)), masks(copy.deepcopy(model)))
    assert_array_equal(masks(loaded), masks(model))


# ------------------------------------------------------------ states from elsewhere

def with_norm(seed=0):
    rng = np.random.default_rng(seed)
    model = nn.Sequential(nn.Linear(4, 4, rng=rng), nn.BatchNorm1d(4), nn.MultiheadAttention(4, 2, rng=rng))
    model.note = np.array(["a", "bc"])
    return model


def test_weights_of_pytorch_load():
    """Its batch norms count their batches; ours do not."""
    model, state = with_norm(), with_norm(1).state_dict()
    assert model.load_state_dict({**state, "1.num_batches_tracked": np.array(7)}) == ([], [])
    assert same_bits(model.state_dict(), state)
    with pytest.raises(ValueError, match=r"unexpected 0\.num_batches_tracked"):    # no batch norm is there
        model.load_state_dict({**state, "0.num_batches_tracked": np.array(7)})
    norm = nn.BatchNorm1d(4)
    assert norm.load_state_dict({**norm.state_dict(), "num_batches_tracked": 0}) == ([], [])


@given(data=st.data())
def test_without_strict_the_keys_in_common_are_loaded_and_the_others_told(data):
    model, state = with_norm(), with_norm(1).state_dict()
    before, keys = model.state_dict(), sorted(state)
    missing = data.draw(st.lists(st.sampled_from(keys), unique=True))
    given_state = {key: state[key] for key in keys if key not in missing} | {"new": np.ones(3), "a.b": [1]}
    loaded = model.load_state_dict(given_state, strict=False)
    assert sorted(loaded.missing_keys) == sorted(missing) and loaded.unexpected_keys == ["new", "a.b"]
    for key, array in model.state_dict().items():
        assert_array_equal(array, (before if key in missing else state)[key])
    with pytest.raises(ValueError, match="^load_state_dict: .* 0.bias must have shape"):
        model.load_state_dict({"0.bias": np.ones(7)}, strict=False)


def test_tensors_and_lists_are_states_too():
    model, state = with_norm(), with_norm(1).state_dict()
    values = {key: Tensor(a, requires_grad=True) if a.dtype.kind == "f" else a.tolist() for key, a in state.items()}
    model.load_state_dict(values)
    assert same_bits(model.state_dict(), state)


class Stubborn:
    """An array of another library, which NumPy cannot read."""

    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("write detach()")


def test_the_state_of_a_part_says_which_prefix_is_missing():
    whole = nn.Module()
    whole.parts = {"body": with_norm()}
    with pytest.raises(ValueError, match=r"write \{'parts\.body\.' \+ key: value for"):
        whole.load_state_dict(with_norm(1).state_dict())
    whole.load_state_dict({"parts.body." + key: value for key, value in with_norm(1).state_dict().items()})
    part = dict(list(with_norm(1).state_dict().items())[:1])    # one key more would not make it fit
    with pytest.raises(ValueError) as refused:
        whole.load_state_dict(part)
    assert "write {" not in str(refused.value)


TOLD = {    # what a state may be by mistake, and what to write
    r"TypeError: .*got Sequential; write load_state_dict\(model\.state_dict\(\)\)": lambda s, m: m,
    r"TypeError: .*got str; write load_state_dict\(load\(path\)\)": lambda s, m: "weights.npz",
    r"TypeError: .*got list": lambda s, m: list(s.items()),
    r"ValueError: .*write load_state_dict\(state\['model'\]\)": lambda s, m: {"model": s, "epoch": 3},
    r"ValueError: .*write .*key\.removeprefix\('module\.'\)": lambda s, m: {f"module.{k}": v for k, v in s.items()},
    r"ValueError: .*removeprefix\('a\.b\.'\)":
        lambda s, m: {f"a.b.{key}": value for key, value in s.items()} | {"c": np.ones(1)},
    r"ValueError: .*0\.bias must be an array, got Stubborn: write detach\(\)":
        lambda s, m: {**s, "0.bias": Stubborn()},
    r"ValueError: .*0\.bias must be in the range of float32, got 1e\+300":
        lambda s, m: {**s, "0.bias": np.array([1e290, -1e300, 1.0, -1e280])},
    r"ValueError: .*0\.bias must .*inhomogeneous": lambda s, m: {**s, "0.bias": [[1, 2], [3]]},
    r"ValueError: .*note must hold <U2, got dtype float64": lambda s, m: {**s, "note": np.ones(2)},
}


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("words", TOLD)
def test_a_state_of_another_kind_says_what_to_write_and_changes_nothing(words, strict):
    model, state = with_norm(), with_norm(1).state_dict()
    before = model.state_dict()
    with pytest.raises((TypeError, ValueError)) as error:
        model.load_state_dict(TOLD[words](state, model), strict=strict)
    assert re.match(words, f"{type(error.value).__name__}: {error.value}", re.DOTALL)
    assert same_bits(model.state_dict(), before)


def test_a_load_is_whole_or_not_at_all():
    """A buffer that cannot be written to; a tied weight that would have two values."""
    model = make("Linear")
    model.codes = np.arange(3)
    model.codes.setflags(write=False)
    before = model.state_dict()
    with pytest.raises(ValueError, match="codes must be writable"):
        model.load_state_dict({key: array + 1 for key, array in before.items()})
    assert same_bits(model.state_dict(), before)
    tied = nested()
    before = tied.state_dict()
    with pytest.raises(ValueError, match=r"tied\.weight must equal single\.weight, which is the same tensor"):
        tied.load_state_dict({**before, "single.weight": before["single.weight"] + 1})
    assert same_bits(tied.state_dict(), before)


# ------------------------------------------------------------ initial values

def check_moments(parameter, second, fourth):
    """Mean 0 and E x^2 = second within 6 standard errors: a false alarm in 5e8 seeds."""
    x = parameter.data.astype(np.float64)
    assert abs(x.mean()) <= 6 * math.sqrt(second / x.size)
    assert abs((x * x).mean() - second) <= 6 * math.sqrt((fourth - second ** 2) / x.size)


@given(rng=rngs)
def test_initial_laws(rng):
    linear, conv = nn.Linear(50, 60, rng=rng), nn.Conv2d(4, 50, (3, 5), rng=rng)
    attention, table = nn.MultiheadAttention(24, 3, rng=rng), nn.Embedding(60, 50, rng=rng)
    conv1 = nn.Conv1d(4, 50, 7, rng=rng)
    bounds = [(linear.weight, 50 ** -0.5), (linear.bias, 50 ** -0.5), (conv.weight, 60 ** -0.5),
              (conv.bias, 60 ** -0.5), (attention.in_proj_weight, math.sqrt(6 / (24 + 3 * 24))),
              (attention.out_proj.weight, 24 ** -0.5), (conv1.weight, 28 ** -0.5), (conv1.bias, 28 ** -0.5)]
    for parameter, k in bounds:    # U(-k, k): E u^2 = k^2 / 3, E u^4 = k^4 / 5
        assert parameter.dtype == np.float32
        check_moments(parameter, k ** 2 / 3, k ** 4 / 5)
        # all of n draws stay below k (1 - 21/n) with probability (1 - 21/n)^n < e^-21 < 1e-9
        assert 1 - 21 / parameter.size <= np.abs(parameter.data).max() / k <= 1 + 1e-7
    check_moments(table.weight, 1, 3)    # N(0, 1): E x^4 = 3
    assert not attention.in_proj_bias.data.any() and not attention.out_proj.bias.data.any()


# ------------------------------------------------------------ attention and the block around it

@given(rng=rngs, T=st.integers(1, 5), S=st.integers(1, 5))
def test_one_head_with_identity_weights_is_plain_attention(rng, T, S):
    layer = nn.MultiheadAttention(4, 1, rng=rng)
    layer.in_proj_weight.data, layer.out_proj.weight.data = np.tile(np.eye(4), (3, 1)), np.eye(4)
    q, k, v = (Tensor(rng.normal(size=(2, n, 4))) for n in (T, S, S))
    assert_allclose(layer(q, k, v).data, F.scaled_dot_product_attention(q, k, v).data, atol=1e-13)
    assert_array_equal(layer(q, k).data, layer(q, k, k).data)


@given(rng=rngs, T=st.integers(1, 5))
def test_heads_are_attentions_side_by_side(rng, T):
    layer = scrambled(nn.MultiheadAttention(6, 3, rng=rng), rng)
    x = Tensor(rng.normal(size=(2, T, 6)))
    q, k, v = (F.linear(x, w, b) for w, b in zip(np.split(layer.in_proj_weight.data, 3),
                                                 np.split(layer.in_proj_bias.data, 3)))
    heads = [F.scaled_dot_product_attention(*(a[..., h:h + 2] for a in (q, k, v))).data
             for h in (0, 2, 4)]
    y = layer.out_proj(Tensor(np.concatenate(heads, axis=-1))).data
    assert_allclose(layer(x).data, y, atol=1e-11)
    assert_allclose(layer(x, Tensor(x.data)).data, y, atol=1e-11)    # the path of cross-attention


blocks = pytest.mark.parametrize("norm_first", [True, False])


@blocks
@given(rng=rngs, T=st.integers(2, 5))
def test_a_block_has_no_order_and_a_causal_one_no_future(norm_first, rng, T):
    block = nn.TransformerEncoderLayer(4, 2, 8, norm_first=norm_first, rng=rng).eval()
    x, order = rng.normal(size=(2, T, 4)), rng.permutation(T)
    assert_allclose(block(Tensor(x[:, order])).data, block(Tensor(x)).data[:, order], atol=1e-12)
    y = block(Tensor(x), is_causal=True).data
    assert_array_equal(block(Tensor(x), attn_mask=np.tri(T, dtype=bool)).data, y)
    x[:, -1] = rng.normal(size=(2, 4))
    changed = block(Tensor(x), is_causal=True).data
    assert_array_equal(changed[:, :-1], y[:, :-1])
    assert (changed[:, -1] != y[:, -1]).any()


@given(rng=rngs)
def test_a_block_is_two_branches_beside_a_straight_road(rng):
    x = Tensor(rng.normal(size=(2, 3, 4)))
    first = scrambled(nn.TransformerEncoderLayer(4, 2, 8, 0.0, norm_first=True, rng=rng), rng)
    h = x + first.self_attn(first.norm1(x))
    y = h + first.linear2(first.linear1(first.norm2(h)).relu())
    assert_allclose(first(x).data, y.data, rtol=1e-10, atol=1e-10)
    last = scrambled(nn.TransformerEncoderLayer(4, 2, 8, 0.0, rng=rng), rng)
    h = last.norm1(x + last.self_attn(x))
    y = last.norm2(h + last.linear2(last.linear1(h).relu()))
    assert_allclose(last(x).data, y.data, rtol=1e-10, atol=1e-10)


@blocks
def test_dropout_works_in_training_only(norm_first):
    def block(dropout):
        return nn.TransformerEncoderLayer(4, 2, 8, dropout, norm_first=norm_first,
                                          rng=np.random.default_rng(0))
    x = Tensor(np.random.default_rng(1).normal(size=(2, 3, 4)))
    half, twin, none = block(0.5), block(0.5), block(0.0)
    one, two = half(x).data, half(x).data
    assert (one != two).any()
    assert_array_equal(twin(x).data, one)    # same seed, same bits
    assert_array_equal(half.eval()(x).data, none(x).data)
    all_gone = block(1.0)(x).data    # both branches dropped: only the road is left
    road = x if norm_first else F.layer_norm(F.layer_norm(x, (4,)), (4,))
    assert_allclose(all_gone, road.data, atol=1e-14)


def test_a_block_drops_in_four_places():
    """The attention's weights, the end of both branches, and the middle of the second."""
    rng = np.random.default_rng(0)
    block = nn.TransformerEncoderLayer(4, 2, 8, 0.5, rng=rng)
    drop = lambda x: F.dropout(x, 0.5, rng=rng)    # noqa: E731
    x, state = Tensor(rng.normal(size=(2, 3, 4))), rng.bit_generator.state
    y = block(x)
    rng.bit_generator.state = state    # the same draws again, in the order written out here
    h = block.norm1(x + drop(block.self_attn(x)))
    hidden = drop(block.linear1(h).relu())
    assert_array_equal(block.norm2(h + drop(block.linear2(hidden))).data, y.data)


def test_attention_weights_are_dropped_in_training():
    layer = nn.MultiheadAttention(4, 2, dropout=1.0, rng=np.random.default_rng(0))
    x = Tensor(np.ones((1, 3, 4), np.float32))
    assert not layer(x).data.any() and layer.eval()(x).data.any()


def test_batch_norm_layers_learn_their_statistics_in_training_only():
    layer = nn.BatchNorm1d(3, momentum=1.0)
    x = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
    layer(Tensor(x))
    assert_allclose(layer.running_mean.data, x.mean(axis=0), rtol=1e-5)
    assert_allclose(layer.running_var.data, x.var(axis=0, ddof=1), rtol=1e-5)
    state = layer.eval().state_dict()
    layer(Tensor(x + 1))
    assert same_bits(layer.state_dict(), state)


# ------------------------------------------------------------ files

RECORD = np.dtype([("x", "<f4"), ("n", ">i8", (2,))])
NO_WEIGHTS = r"^load: path must name a whole .npz file of arrays, got .*weights\.npz: ."
KEYS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8),
    st.sampled_from(["file", "a.b.0", "a/b", "../up", "/root", "w", "w.npy", "arr_0", "größe"]))
SHAPES = hnp.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=3)
DTYPES = st.one_of(hnp.scalar_dtypes(), hnp.unicode_string_dtypes(max_len=4), st.just(RECORD))
STATES = st.dictionaries(KEYS, hnp.arrays(DTYPES, SHAPES), max_size=3)


@given(state=STATES)
def test_any_arrays_under_any_names_come_back_bit_for_bit(state):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "weights")    # the name is taken as it is
        save(state, path)
        assert same_bits(load(path), state)
        assert [p.name for p in Path(folder).iterdir()] == ["weights"]


def test_numpy_reads_the_file_too(tmp_path):
    state = make("Sequential").state_dict()
    save(state, tmp_path / "weights.npz")
    with np.load(tmp_path / "weights.npz", allow_pickle=False) as archive:
        assert same_bits({key: archive[key] for key in state}, state)
        assert archive.files == [*state, MANIFEST]
    np.savez(tmp_path / "other.npz", **state)
    assert same_bits(load(tmp_path / "other.npz"), state)


SMALL = {"weight": np.arange(6, dtype=np.float32).reshape(2, 3), "bias": np.ones(2, np.float32)}


def test_a_truncated_file_is_refused(tmp_path):
    path = tmp_path / "weights.npz"
    save(SMALL, path)
    whole = path.read_bytes()
    for length in range(len(whole)):
        put(path, whole[:length])
        with pytest.raises(ValueError, match=NO_WEIGHTS):
            load(path)


def test_no_damaged_byte_reaches_a_model_unseen(tmp_path):
    path, model = tmp_path / "weights.npz", nn.Linear(3, 2, rng=np.random.default_rng(0))
    save(SMALL, path)
    whole = path.read_bytes()
    for i in range(len(whole)):
        damaged = bytearray(whole)
        damaged[i] ^= 1 << i % 8
        put(path, damaged)
        try:
            model.load_state_dict(load(path))
        except ValueError:
            continue
        assert same_bits(model.state_dict(), SMALL), f"byte {i}"


@pytest.mark.parametrize("true, false", [(b"<f8", b"<f4"), (b"(4000,)", b"(1000,)")])
def test_a_header_that_asks_for_fewer_bytes_is_refused(true, false, tmp_path):
    """The checksum is tested at the end of an entry, so an entry must be read to its end."""
    path = tmp_path / "weights.npz"
    save({"weight": np.arange(4000.0)}, path)
    put(path, path.read_bytes().replace(true, false))
    with pytest.raises(ValueError, match=NO_WEIGHTS):
        load(path)


def foreign_files():
    def text(path): path.write_text("not a zip")
    def empty(path): put(path, b"")
    def pickled(path): put(path, b"\x80\x04}\x94.")
    def one_array(path): put(path, b"\x93NUMPY\x01\x00" + b"v\x00" + b" " * 118)

    def objects(path):
        with open(path, "wb") as file:
            np.savez(file, a=np.array([{}, []], dtype=object))

    def zipped_text(path):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("readme.txt", "hello")

    def folder(path): path.mkdir()
    return [text, empty, pickled, one_array, objects, zipped_text, folder]


@pytest.mark.parametrize("write", foreign_files(), ids=lambda f: f.__name__)
def test_a_foreign_file_is_refused_and_no_pickle_opened(write, tmp_path, monkeypatch):
    monkeypatch.setattr("pickle.load", lambda *a, **k: pytest.fail("a pickle was opened"))
    monkeypatch.setattr("pickle.loads", lambda *a, **k: pytest.fail("a pickle was opened"))
    path = tmp_path / "weights.npz"
    write(path)
    with pytest.raises(ValueError, match=NO_WEIGHTS):
        load(path)


@pytest.mark.parametrize("state, message", [
    ([1], "save: state must be a dict of arrays, got list; write save(model.state_dict(), path)"),
    ({"a": {}}, "save: state must hold arrays of numbers, got objects under a"),
    ({1: np.ones(2)}, "save: state must have str keys without a zero character, got 1"),
    ({"a\0": np.ones(2)}, "save: state must have str keys without a zero character, got 'a\\x00'"),
], ids=["list", "object", "number as key", "zero character"])
def test_a_state_that_no_file_can_hold_is_refused(state, message, tmp_path):
    with pytest.raises(TypeError) as error:
        save(state, tmp_path / "weights.npz")
    assert str(error.value).startswith(message) and not list(tmp_path.iterdir())
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "weights.npz")


@pytest.mark.parametrize("accident", [OSError("disk full"), KeyboardInterrupt()],
                         ids=["disk full", "interrupted"])
@pytest.mark.parametrize("where", ["numpy.lib.format.write_array", "os.replace"])
def test_a_write_that_fails_leaves_the_old_file(accident, where, tmp_path, monkeypatch):
    path, written = tmp_path / "weights.npz", []
    save(SMALL, path)
    real = np.lib.format.write_array

    def failing(*args, **kwargs):
        if written or where == "os.replace":
            raise accident
        written.append(real(*args, **kwargs))    # the first array still fits on the disk
    monkeypatch.setattr(where, failing)
    with pytest.raises(type(accident)):
        save({"w": np.zeros(5), "x": np.zeros(5)}, path)
    monkeypatch.undo()
    assert same_bits(load(path), SMALL) and [p.name for p in tmp_path.iterdir()] == ["weights.npz"]


def test_a_tied_model_goes_through_a_file(tmp_path):
    tinyml.save(nested().state_dict(), tmp_path / "weights.npz")
    model = nested(1)
    model.load_state_dict(tinyml.load(tmp_path / "weights.npz"))
    assert model.tied.weight is model.single.weight
    assert same_bits(model.state_dict(), nested().state_dict())


# ------------------------------------------------------------ what is refused, and in which words

def tensor(*shape):
    return Tensor(np.zeros(shape, np.float32))


RNG = np.random.default_rng(0)
ERRORS = {    # message -> (kind of error, call)
    "linear: x must have shape (..., in_features) and weight (out_features, in_features), got (128, 256) and (3, 784)":
        (ValueError, lambda: nn.Linear(784, 3, rng=RNG)(tensor(128, 256))),
    "Linear: in_features must be an int >= 1, got 0":
        (ValueError, lambda: nn.Linear(0, 3, rng=RNG)),
    "Linear: out_features must be an int >= 1, got 3.5":
        (ValueError, lambda: nn.Linear(2, 3.5, rng=RNG)),
    "Conv2d: x must have shape (N, in_channels=2, H, W), got (1, 3, 8, 8)":
        (ValueError, lambda: nn.Conv2d(2, 3, 3, rng=RNG)(tensor(1, 3, 8, 8))),
    "Conv2d: kernel_size must be an int >= 1 or two of them, got (3, 0)":
        (ValueError, lambda: nn.Conv2d(2, 3, (3, 0), rng=RNG)),
    "Conv2d: stride must be an int >= 1 or two of them, got 0":
        (ValueError, lambda: nn.Conv2d(2, 3, 3, stride=0, rng=RNG)),
    "Conv2d: padding must be an int >= 0 or two of them, got -1":
        (ValueError, lambda: nn.Conv2d(2, 3, 3, padding=-1, rng=RNG)),
    "Conv2d: groups must divide in_channels=4 and out_channels=6, got 4":
        (ValueError, lambda: nn.Conv2d(4, 6, 3, groups=4, rng=RNG)),
    'Conv2d: stride must be 1 with padding="same", got (2, 2)':
        (ValueError, lambda: nn.Conv2d(4, 6, 3, 2, "same", rng=RNG)),
    "Conv1d: x must have shape (N, in_channels=2, L), got (1, 3, 8)":
        (ValueError, lambda: nn.Conv1d(2, 3, 3, rng=RNG)(tensor(1, 3, 8))),
    "Conv1d: kernel_size must be an int >= 1, got (3, 1)":
        (ValueError, lambda: nn.Conv1d(2, 3, (3, 1), rng=RNG)),
    "BatchNorm1d: x must have 2 or 3 axes and num_features=3 on axis 1, got (4, 2)":
        (ValueError, lambda: nn.BatchNorm1d(3)(tensor(4, 2))),
    "BatchNorm2d: x must have 4 axes and num_features=3 on axis 1, got (4, 3)":
        (ValueError, lambda: nn.BatchNorm2d(3)(tensor(4, 3))),
    "batch_norm: x must have more than one value per channel in training, got (1, 3)":
        (ValueError, lambda: nn.BatchNorm1d(3)(tensor(1, 3))),
    "layer_norm: x must have shape (..., 3), got (4, 2)":
        (ValueError, lambda: nn.LayerNorm(3)(tensor(4, 2))),
    "LayerNorm: normalized_shape must be an int >= 1, got 0":
        (ValueError, lambda: nn.LayerNorm((3, 0))),
    "embedding: indices must be in 0..4, got 5":
        (ValueError, lambda: nn.Embedding(5, 4, rng=RNG)([5])),
    "Dropout: p must be >= 0 and <= 1, got -0.5":
        (ValueError, lambda: nn.Dropout(-0.5, rng=RNG)),
    "Dropout: rng must be a numpy.random.Generator, got 7":
        (TypeError, lambda: nn.Dropout(0.5, rng=7)),
    """GELU: approximate must be "none" or "tanh", got 'erf'""":
        (ValueError, lambda: nn.GELU("erf")),
    "MultiheadAttention: embed_dim must be a multiple of num_heads=2, got 5":
        (ValueError, lambda: nn.MultiheadAttention(5, 2, rng=RNG)),
    "MultiheadAttention: dropout must be >= 0 and <= 1, got 1.5":
        (ValueError, lambda: nn.MultiheadAttention(4, 2, dropout=1.5, rng=RNG)),
    "MultiheadAttention: query must have shape (B, T, embed_dim=4), got (3, 4)":
        (ValueError, lambda: nn.MultiheadAttention(4, 2, rng=RNG)(tensor(3, 4))),
    "TransformerEncoderLayer: d_model must be a multiple of nhead=2, got 5":
        (ValueError, lambda: nn.TransformerEncoderLayer(5, 2, rng=RNG)),
    """TransformerEncoderLayer: activation must be "relu", "gelu" or a function, got 'tanh'""":
        (ValueError, lambda: nn.TransformerEncoderLayer(4, 2, activation="tanh", rng=RNG)),
    "Sequential: layers must be Modules, got <function relu":
        (TypeError, lambda: nn.Sequential(nn.ReLU(), F.relu)),
    "Module: forward must be defined, got no such method":
        (NotImplementedError, lambda: nn.Module()(1)),
}


@pytest.mark.parametrize("message", ERRORS)
def test_an_error_names_layer_argument_requirement_and_value(message):
    kind, call = ERRORS[message]
    with pytest.raises(kind) as error:
        call()
    assert str(error.value).startswith(message)


# ------------------------------------------------------------ hooks, computed weights, buffers, work

def test_a_hook_sees_every_module_from_the_inside_out_and_only_within_its_block():
    model = make("Sequential")
    x, seen = Tensor(np.ones((2, 4), np.float32)), []
    with nn.forward_hook(lambda module, x, y: seen.append((module, x, y))):
        y = model(x)
    model(x)
    assert [module for module, _, _ in seen] == [*model, model]
    assert seen[0][1] is x and seen[-1][2] is y
    assert all(after is before for (_, _, before), (_, after, _) in zip(seen[:2], seen[1:3]))


def test_what_a_hook_returns_takes_the_place_of_the_output():
    """The inner block's change comes after the outer's: 3 (y + 1). An error ends both blocks."""
    model = make("Linear")
    x = Tensor(np.ones((2, 4), np.float32))
    with nn.forward_hook(lambda module, x, y: y + 1), nn.forward_hook(lambda module, x, y: 3 * y):
        changed = model(x)
    assert_array_equal(changed.data, 3 * (model(x).data + 1))
    with pytest.raises(ZeroDivisionError), nn.forward_hook(lambda *_: 1 / 0):
        model(x)
    model(x)


def test_one_hook_object_is_entered_twice():
    model, x, seen = make("Linear"), Tensor(np.ones((2, 4), np.float32)), []
    block = nn.forward_hook(lambda module, x, y: seen.append(module))
    for _ in range(2):
        with block, block:
            model(x)
        model(x)
    assert seen == [model] * 4


class Twice(nn.Module):
    """A weight that is computed: twice its half."""

    def __init__(self, weight):
        self.half = nn.Parameter(weight.data / 2)

    def forward(self):
        return 2 * self.half


@pytest.mark.parametrize("name", ["Linear", "Conv1d", "Conv2d", "Embedding"])
def test_a_weight_may_be_computed_by_a_module(name):
    layer, other = make(name), make(name)
    other.weight = Twice(layer.weight)
    x = ready(LAYERS[name][1](np.random.default_rng(0), 3), np.float32)
    for model in (layer, other):
        model(x).sum().backward()
    assert_array_equal(other(x).data, layer(x).data)
    assert_array_equal(other.weight.half.grad, 2 * layer.weight.grad)
    assert "weight.half" in other.state_dict() and "weight" not in other.state_dict()


class Coded(nn.Module):
    def __init__(self):
        self.codes, self.scale = np.array([1, -2, 3], np.int8), Tensor(0.5)


def test_an_ndarray_is_a_buffer_of_any_dtype():
    model, other = Coded(), Coded()
    other.codes[:] = 0
    state = model.state_dict()
    state["codes"][0] = 1
    other.load_state_dict(state)
    assert_array_equal(other.codes, model.codes, strict=True)
    assert other.codes is not state["codes"] and model.parameters() == []
    assert repr(model) == "Coded()    codes 3 int8  scale scalar"


@pytest.mark.parametrize("codes", [np.ones(3), np.array([1, 2, 300])])
def test_an_integer_buffer_takes_over_only_what_it_can_hold(codes):
    model = Coded()
    with pytest.raises(ValueError, match="^load_state_dict: .* codes must hold int8, got dtype"):
        model.load_state_dict({"codes": codes, "scale": 1.0})
    assert_array_equal(model.codes, [1, -2, 3])


@given(rng=rngs, name=st.sampled_from(["Linear", "Conv1d", "Conv2d"]))
def test_the_work_of_a_layer_is_the_sum_of_its_outputs_when_all_numbers_are_one(rng, name):
    """Each product then adds exactly 1; without padding, where all of them meet a pixel."""
    c, o, k, n = (int(v) for v in rng.integers(1, 4, 4))
    groups, dilation = (int(v) for v in rng.integers(1, 3, 2))
    options = dict(stride=2, dilation=dilation, groups=groups, bias=False, rng=rng)
    layer, shape = {"Linear": (nn.Linear(c, o, bias=False, rng=rng), (n, 5, c)),
                    "Conv1d": (nn.Conv1d(groups * c, groups * o, k, **options), (n, groups * c, 6)),
                    "Conv2d": (nn.Conv2d(groups * c, groups * o, (k, 2), **options), (n, groups * c, 6, 5))}[name]
    layer.weight.data = np.ones_like(layer.weight.data)
    x = Tensor(np.ones(shape, np.float32))
    y = layer(x)
    assert layer.macs(x, y) == y.data.sum()


@given(rng=rngs, n_axes=st.integers(1, 2))
def test_groups_and_dilation_leave_out_products_of_a_plain_convolution(rng, n_axes):
    """Its filters have zeros between the pixels, and in the channels of other groups."""
    settings = conv_settings(rng, n_axes)
    layer = (nn.Conv1d, nn.Conv2d)[n_axes - 1](**settings, rng=rng)
    fan_in = layer.weight.data[0].size
    assert np.abs(layer.weight.data).max() <= 1 / math.sqrt(fan_in) and plain_conv(layer).weight.data[0].size >= fan_in
    x = Tensor(rng.standard_normal((2, settings["in_channels"], 7, 8)[:2 + n_axes]).astype(np.float32))
    y, whole = layer(x), plain_conv(layer)(x)
    assert_allclose(y.data, whole.data, atol=1e-5)
    if layer.padding == "same":
        assert y.shape[2:] == x.shape[2:]
    assert layer.macs(x, y) == y.size * fan_in


def test_a_layer_of_an_older_file_has_one_group():
    layer, x = nn.Conv2d(2, 3, 3, rng=np.random.default_rng(0)), tensor(1, 2, 5, 5)
    skeleton, arrays = describe(layer)
    del skeleton["has"]["dilation"], skeleton["has"]["groups"]
    old = rebuild(skeleton, arrays)
    assert_array_equal(old(x).data, layer(x).data)
    assert repr(old) == repr(layer)


def test_the_work_of_attention_is_that_of_its_products():
    layer = make("MultiheadAttention")    # D = 4, 2 heads
    x = Tensor(np.ones((5, 3, 4), np.float32))    # B = 5, T = 3
    per_head = 2 * 3 * 3 * 2    # scores and mean of the values, T x T products of D / 2 numbers
    assert layer.macs(x, layer(x)) == 5 * (3 * 4 * 12 + 2 * per_head)
    assert nn.ReLU().macs(x, x) == 0


# ------------------------------------------------------------ every setting of every layer

def layer_call(name, shape, **base):
    """Options -> the state of a layer and its output in training for an input of this shape, as arrays."""
    def call(**options):
        options = {**base, **options}
        if "rng" in optional(getattr(nn, name).__init__):
            options.setdefault("rng", np.random.default_rng(0))
        layer = getattr(nn, name)(**options)
        x = np.random.default_rng(1).normal(size=shape).astype(np.float32)
        y = layer(np.zeros(shape, int) if name == "Embedding" else x)
        return y.data, *layer.state_dict().values()
    return call


EMBEDDING = Setting([0, *NO_INT], [1, np.int64(3)])
HEADS = Setting([0, 3, *NO_INT], [1, 4, np.int64(2)])
CONV = dict(in_channels=Setting(SIZE.bad, [2]), out_channels=SIZE, bias=FLAG, rng=GENERATOR,
            groups=Setting([3, *SIZE.bad], [1, 2, np.int64(2)]))    # of 2 channels and 4 filters
CONV_DEFAULTS = dict(stride=1, padding=0, dilation=1, groups=1, bias=True)
SERIES_PADDING = Setting(["full", None, *COUNT.bad], ["same", "valid", *COUNT.good])
ATTENTION = Setting([3, *SIZE.bad], [4])
SETTINGS = {    # name -> (call, {option: Setting}, defaults as PyTorch documents them)
    "AvgPool2d": (layer_call("AvgPool2d", (2, 2, 6, 5), kernel_size=3),
                  dict(kernel_size=PAIR, stride=or_none(PAIR), padding=POOL_PADDING), dict(stride=None, padding=0)),
    "BatchNorm1d": (layer_call("BatchNorm1d", (4, 3), num_features=3),
                    dict(num_features=Setting(SIZE.bad, [3, np.int64(3)]), eps=POSITIVE, momentum=UNIT), dict(eps=1e-5, momentum=0.1)),
    "BatchNorm2d": (layer_call("BatchNorm2d", (4, 3, 2, 2), num_features=3),
                    dict(num_features=Setting(SIZE.bad, [3, np.int64(3)]), eps=POSITIVE, momentum=UNIT), dict(eps=1e-5, momentum=0.1)),
    "Conv1d": (layer_call("Conv1d", (2, 2, 7), in_channels=2, out_channels=4, kernel_size=3),
               dict(CONV, kernel_size=SIZE, stride=SIZE, dilation=SIZE, padding=SERIES_PADDING), CONV_DEFAULTS),
    "Conv2d": (layer_call("Conv2d", (2, 2, 6, 5), in_channels=2, out_channels=4, kernel_size=3),
               dict(CONV, kernel_size=PAIR, stride=PAIR, dilation=PAIR, padding=CONV_PADDING), CONV_DEFAULTS),
    "Dropout": (layer_call("Dropout", (20, 2)), dict(p=UNIT, rng=GENERATOR), dict(p=0.5)),
    "Embedding": (layer_call("Embedding", (2, 3), num_embeddings=5, embedding_dim=4),
                  dict(num_embeddings=EMBEDDING, embedding_dim=EMBEDDING, rng=GENERATOR), {}),
    "Flatten": (layer_call("Flatten", (2, 3, 4)), {}, {}),
    "GELU": (layer_call("GELU", (20,)), dict(approximate=Setting(["erf", None, 1], ["none", "tanh"])), dict(approximate="none")),
    "LayerNorm": (layer_call("LayerNorm", (2, 2, 2), normalized_shape=(2, 2)),
                  dict(normalized_shape=Setting([(), 0, (2, 0), *NO_INT], [2, (2,), [2, 2], np.int64(2)]), eps=POSITIVE), dict(eps=1e-5)),
    "Linear": (layer_call("Linear", (5, 3), in_features=3, out_features=4),
               dict(in_features=Setting(SIZE.bad, [3, np.int64(3)]), out_features=SIZE, bias=FLAG, rng=GENERATOR), dict(bias=True)),
    "MaxPool1d": (layer_call("MaxPool1d", (2, 2, 7), kernel_size=3),
                  dict(kernel_size=SIZE, stride=or_none(SIZE), padding=Setting([2, *COUNT.bad], COUNT.good)), dict(stride=None, padding=0)),
    "MaxPool2d": (layer_call("MaxPool2d", (2, 2, 6, 5), kernel_size=3),
                  dict(kernel_size=PAIR, stride=or_none(PAIR), padding=POOL_PADDING), dict(stride=None, padding=0)),
    "MultiheadAttention": (layer_call("MultiheadAttention", (2, 3, 4), embed_dim=4, num_heads=2),
                           dict(embed_dim=ATTENTION, num_heads=HEADS, dropout=UNIT, bias=FLAG, rng=GENERATOR), dict(dropout=0.0, bias=True)),
    "ReLU": (layer_call("ReLU", (20,)), {}, {}),
    "Sequential": (lambda **o: (nn.Sequential()(Tensor([1.0])).data,), {}, {}),
    "Sigmoid": (layer_call("Sigmoid", (20,)), {}, {}),
    "Tanh": (layer_call("Tanh", (20,)), {}, {}),
    "TransformerEncoderLayer": (
        layer_call("TransformerEncoderLayer", (2, 3, 4), d_model=4, nhead=2, dim_feedforward=5),
        dict(d_model=ATTENTION, nhead=HEADS, dim_feedforward=SIZE, dropout=UNIT, layer_norm_eps=POSITIVE, norm_first=FLAG, rng=GENERATOR,
             activation=Setting(["tanh", None, 1, nn.GELU], ["relu", "gelu", F.tanh])),
        dict(dim_feedforward=2048, dropout=0.1, activation="relu", layer_norm_eps=1e-5, norm_first=False)),
}
ONLY_ONE = {    # an option whose only value that fits the input is that of the base call
    ("BatchNorm1d", "num_features"), ("BatchNorm2d", "num_features"), ("Conv1d", "in_channels"), ("Conv2d", "in_channels"),
    ("Linear", "in_features"), ("MultiheadAttention", "embed_dim"), ("TransformerEncoderLayer", "d_model")}


def test_every_setting_has_a_row():
    assert set(SETTINGS) == set(LAYERS)
    for name, (_, options, _) in SETTINGS.items():
        parameters = inspect.signature(getattr(nn, name).__init__).parameters
        assert set(options) == {p for p in parameters if p not in ("self", "layers", "args", "kwargs")}, name


@every_layer
def test_defaults_are_the_documented_ones(name):
    assert defaults(getattr(nn, name).__init__) == SETTINGS[name][2]


@settings_of(SETTINGS)
def test_a_setting_outside_its_range_is_refused_when_the_layer_is_made(name, option, monkeypatch):
    monkeypatch.setattr(nn.Module, "__call__", lambda *_: pytest.fail("the layer was made"))
    call, options, _ = SETTINGS[name]
    all_refused(name, option, call, options[option])


@settings_of(SETTINGS)
def test_a_setting_within_its_range_is_accepted_and_used(name, option):
    call, options, _ = SETTINGS[name]
    assert some_change(option, call, options[option]) != ((name, option) in ONLY_ONE)


# ------------------------------------------------------------ corners

@every_layer
def test_lists_and_arrays_serve_as_inputs(name):
    x = LAYERS[name][1](np.random.default_rng(0), 3)
    x = x if x.dtype.kind == "i" else x.astype(np.float32)
    expected = make(name)(ready(x, np.float32)).data
    for same in (x, x.tolist()):
        assert_array_equal(make(name)(same).data, expected, strict=True)


@every_layer
@pytest.mark.parametrize("training", [True, False])
def test_an_empty_batch_stays_empty_or_is_refused_by_name(name, training):
    x = ready(LAYERS[name][1](np.random.default_rng(0), 2)[:0], np.float32)
    model = make(name).train(training)
    if training and name.startswith("BatchNorm"):
        with pytest.raises(ValueError, match="batch_norm: x must have more than one value per channel"):
            model(x)
        return
    y = model(x)
    full = model.eval()(ready(LAYERS[name][1](np.random.default_rng(0), 2), np.float32))
    assert y.shape == (0, *full.shape[1:]) and y.dtype == np.float32
    if y.requires_grad:
        y.sum().backward()
        assert all(p.grad is not None and not p.grad.any() for p in model.parameters())


@pytest.mark.parametrize("name, x", [("Linear", (5, 3)), ("Conv1d", (2, 2, 7)), ("Conv2d", (2, 2, 6, 5)),
                                     ("MultiheadAttention", (2, 3, 4))])
def test_without_bias_a_layer_is_linear_in_its_input_or_has_no_biases(name, x):
    call, _, _ = SETTINGS[name]
    y, *state = call(bias=False)
    with_bias, *more = call(bias=True)
    assert sum(a.size for a in state) < sum(a.size for a in more) and not any(a.ndim == 1 for a in state)
    if name == "MultiheadAttention":
        return    # its biases start at 0
    layer = getattr(nn, name)(*{"Linear": (3, 4)}.get(name, (2, 3, 3)), bias=False, rng=np.random.default_rng(0))
    assert layer.bias is None and "bias" not in layer.state_dict() and "bias" not in repr(layer).split(")")[1]
    assert not layer(np.zeros(x, np.float32)).data.any()
    assert "bias=False" in repr(layer) or name != "Linear"


def test_batch_norm_without_statistics_uses_the_batch():
    layer = nn.BatchNorm1d(3).eval()
    layer.running_mean = layer.running_var = None
    x = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    assert_allclose(layer(x).data, (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + 1e-5), rtol=1e-4, atol=1e-5)
    assert set(layer.state_dict()) == {"weight", "bias"}


def test_three_levels_of_nesting_keep_order_modes_and_paths():
    rng = np.random.default_rng(0)
    inner = nn.Sequential(nn.Linear(3, 3, rng=rng), nn.BatchNorm1d(3))
    model = nn.Sequential(nn.Linear(2, 3, rng=rng), nn.Sequential(nn.ReLU(), nn.Sequential(inner, nn.Tanh())))
    x = Tensor(np.ones((4, 2), np.float32))
    assert "1.1.0.0.weight" in dict(model.named_parameters()) and "1.1.0.1.running_var" in model.state_dict()
    assert not any(m.training for _, m in model.eval().named_modules())
    y = model[1][1][1](inner(model[1][0](model[0](x))))
    assert_array_equal(model(x).data, y.data)
    assert repr(model).count("\n") == 8 and "│" not in repr(model).splitlines()[-1]
