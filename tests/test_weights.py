"""The laws of what a model's weights are: none is passed over, whatever the tree of modules looks like."""
import copy
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from strategies import rngs

from tinyml import Tensor, concatenate, nn, ops, primitive, stack, where
from tinyml import functional as F
from tinyml.compression.binary import binarize_weights, store_bits
from tinyml.compression.bits import BitWeight
from tinyml.compression.clipping import ScaledCodes, quantize_repaired
from tinyml.compression.coding.storage import load_compressed, save_compressed
from tinyml.compression.deep_compression import deep_compress
from tinyml.compression.factorize import factorize, ranks
from tinyml.compression.integer_model import IntegerModel
from tinyml.compression.pruning import prune, sparsity
from tinyml.compression.quantization import DequantizedWeight, quantize_weights
from tinyml.compression.quantization_aware import (
    FakeQuantizedWeight,
    LearnedStepWeight,
    convert,
    prepare,
)
from tinyml.compression.report import file_bytes, macs
from tinyml.compression.ternary import TernaryWeight
from tinyml.compression.weight_masks import hold
from tinyml.compression.weight_sharing import SharedWeight, share_biases, share_weights
from tinyml.nn.folding import fold_batch_norm
from tinyml.nn.weights import ComputedWeight, computed_weights, left_out, swap, weights
from tinyml.optim import SGD, Adam
from tinyml.train import accuracy, fit, predict

T, D = 3, 4    # every module below maps (N, T, D) to (N, T, D)
few = settings(max_examples=25)


# ------------------------------------------------------------ random trees of modules

class Residual(nn.Module):
    """A reader's own block: x + f(x), and a norm with two axes."""

    def __init__(self, inner):
        self.inner, self.norm = inner, nn.LayerNorm((T, D))

    def forward(self, x):
        return self.norm(x + self.inner(x))


class Convolution(nn.Module):
    def __init__(self, rng):
        self.conv = nn.Conv1d(D, D, 3, padding=1, bias=False, rng=rng)

    def forward(self, x):
        return self.conv(x.swapaxes(1, 2)).swapaxes(1, 2)


class Matrices(nn.Module):
    """Bare parameters, as an attribute, in nested lists and in a dict of lists, each used in another way."""

    def __init__(self, rng):
        make = lambda *shape: nn.Parameter(rng.standard_normal(shape).astype(np.float32) / 2)
        self.matrix, self.place = make(D, D), make(1, T, D)
        self.more, self.table = [make(D, D), (make(D, D),)], {"a": [make(D, D)]}

    def forward(self, x):
        x = x @ self.matrix + self.place
        x = F.linear(x, self.more[0])
        x = x @ self.more[1][0].T
        return x @ (2 * self.table["a"][0] - 0.5)


class OwnLinear(nn.Linear):
    def forward(self, x):
        return 2 * super().forward(x)


class Heads(nn.Module):
    """Modules in a dict and in lists of lists."""

    def __init__(self, first, second, third):
        self.heads, self.rest = {"a": first, "b": [second]}, [[third]]

    def forward(self, x):
        return self.heads["a"](x) + self.heads["b"][0](x) + self.rest[0][0](x)


class Tied(nn.Module):
    """Two layers with one weight."""

    def __init__(self, rng):
        self.one, self.two = nn.Linear(D, D, rng=rng), nn.Linear(D, D, rng=rng)
        self.two.weight = self.one.weight

    def forward(self, x):
        return self.two(self.one(x))


@st.composite
def trees(draw, depth=3):
    """A module (N, T, D) -> (N, T, D), nested up to three levels."""
    rng = draw(rngs)
    leaves = [lambda: nn.Linear(D, D, bias=bool(rng.integers(2)), rng=rng), lambda: Convolution(rng),
              lambda: Matrices(rng), lambda: OwnLinear(D, D, rng=rng), lambda: Tied(rng),
              lambda: nn.MultiheadAttention(D, 2, rng=rng),
              lambda: nn.TransformerEncoderLayer(D, 2, 5, dropout=0.0, rng=rng)]

    def tree(depth):
        kinds = range(len(leaves) if depth == 3 else 0, len(leaves) + (4 if depth else 0))
        kind = draw(st.sampled_from(kinds))    # the root has parts
        if kind < len(leaves):
            return leaves[kind]()
        parts = [tree(depth - 1) for _ in range(3)]
        return [lambda: nn.Sequential(parts[0], nn.ReLU(), nn.LayerNorm(D), parts[1]),
                lambda: Residual(parts[0]), lambda: Heads(*parts),
                lambda: nn.Sequential(nn.Sequential(parts[0]), nn.Sequential(nn.Sequential(parts[1])))
                ][kind - len(leaves)]()
    model = tree(depth)
    if draw(st.booleans()):
        for parameter in model.parameters():
            parameter.data = parameter.data.astype(np.float64)
    return model.eval()


def inputs(model, n=2):
    """X (n, T, D), in the dtype of the model."""
    dtype = model.parameters()[0].dtype
    return Tensor(np.random.default_rng(0).standard_normal((n, T, D)).astype(dtype))


def found(value, norm=False, seen=None):
    """An independent count: {id: Parameter} with two or more axes outside of norms, by walking all attributes."""
    seen = {} if seen is None else seen
    if isinstance(value, nn.Module):
        for child in vars(value).values():
            found(child, isinstance(value, (nn.LayerNorm, nn.BatchNorm1d)), seen)
    elif isinstance(value, (list, tuple, dict)):
        for child in value.values() if isinstance(value, dict) else value:
            found(child, norm, seen)
    elif isinstance(value, nn.Parameter) and value.ndim >= 2 and not norm:
        seen[id(value)] = value
    return seen


# ------------------------------------------------------------ what is a weight

@few
@given(trees())
def test_every_parameter_is_a_weight_or_named_as_left_out(model):
    treated, left = weights(model), left_out(model)
    assert {id(w) for w in treated.values()} == set(found(model))
    assert not treated.keys() & left.keys()
    assert treated.keys() | left.keys() == dict(model.named_parameters()).keys()
    assert all(p.ndim < 2 or left[path] == "part of a norm"
               for path, p in model.named_parameters() if path in left)


@few
@given(trees(), st.sampled_from(["global", "layer", "random"]), st.floats(0, 0.9), st.floats(0, 0.9))
def test_pruning_reaches_every_weight_and_sparsity_counts_each_once(model, method, first, second):
    rng, parts = np.random.default_rng(0), found(model).values()
    d, dead = sum(w.size for w in parts), 0
    for amount in (first, second):
        masks = prune(model, amount=amount, method=method, rng=rng)
        assert masks.keys() == weights(model).keys()
        zeros = sum((w.data == 0).sum() for w in parts)
        wanted = (round(amount * d) if method == "global" else sum(round(amount * w.size) for w in parts))
        assert zeros == max(wanted, dead) or method != "global" and zeros >= wanted
        assert_allclose(sparsity(model), zeros / d, atol=1e-12)
        dead = zeros
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)
    hold(optimizer, model, masks)
    for _ in range(2):
        optimizer.zero_grad()
        (model(inputs(model)) ** 2).mean().backward()
        optimizer.step()
    assert all(not w.data[~masks[path]].any() for path, w in weights(model).items())


METHODS = {
    "quantize": (lambda m: quantize_weights(m, bits=16), DequantizedWeight),
    "affine, one step": (lambda m: quantize_weights(m, bits=16, symmetric=False, per_channel=False),
                         DequantizedWeight),
    "repaired": (lambda m: quantize_repaired(m, bits=16), ScaledCodes),
    "straight-through": (lambda m: prepare(m, bits=16), FakeQuantizedWeight),
    "inside": (lambda m: prepare(m, bits=16, gradient="inside"), FakeQuantizedWeight),
    "learned step": (lambda m: prepare(m, bits=16, method="learned step"), LearnedStepWeight),
    "share": (lambda m: share_weights(copy.deepcopy(m), bits=15), SharedWeight),
    "ternary": (lambda m: binarize_weights(m, method="ternary"), TernaryWeight),
    "bits": (lambda m: store_bits(binarize_weights(m, method="ternary")), BitWeight),
}


@pytest.mark.parametrize("name", METHODS)
@settings(max_examples=8)    # for each method
@given(trees())
def test_every_weight_of_every_tree_is_treated_and_the_model_still_computes(name, model):
    method, kind = METHODS[name]
    n_weights, state, x = len(found(model)), model.state_dict(), inputs(model)
    small = method(model)
    computed = computed_weights(small).values()
    assert len(computed) == n_weights and all(type(one) is kind for one in computed)    # ties stay ties
    assert all(one.dtype == x.dtype for one in computed)
    inside = {id(p) for one in computed for p in one.parameters()}
    assert not set(found(small)) - inside
    for path, array in model.state_dict().items():
        assert_array_equal(array, state[path])
    y, expected = small(x), model(x)
    assert y.dtype == expected.dtype
    if name not in ("learned step", "share", "ternary", "bits"):    # the one clips at first, k-means ends where it likes
        assert_allclose(y.data, expected.data, atol=0.02 * max(1, np.abs(expected.data).max()))
    if kind not in (DequantizedWeight, ScaledCodes, BitWeight):
        (y * np.random.default_rng(1).standard_normal(y.shape)).sum().backward()
        assert all(p.grad is not None for one in computed for p in one.parameters())
    with pytest.raises(ValueError, match="must have a weight, .*computed already"):    # a second time
        method(small)


@pytest.mark.parametrize("method", ["straight-through", "learned step"])
@settings(max_examples=12)
@given(trees(), st.integers(2, 8))
def test_converted_weights_are_the_prepared_ones_bit_for_bit(method, model, bits):
    prepared = prepare(model, bits=bits, method=method)
    small, x = convert(prepared), inputs(model)
    assert all(type(one) is DequantizedWeight and one.dtype == x.dtype for one in computed_weights(small).values())
    assert small(x).data.tobytes() == prepared(x).data.tobytes()


@settings(max_examples=12)
@given(trees(), st.sampled_from(sorted(METHODS)), st.floats(0, 0.9))
def test_a_file_gives_every_small_model_back(tmp_path_factory, model, name, amount):
    prune(model, amount=amount)
    small = METHODS[name][0](model)
    assert sparsity(small) >= sparsity(model) - 1e-12 or name == "repaired"    # zeros stay zeros
    path = tmp_path_factory.getbasetemp() / "small"
    save_compressed(share_biases(small, bits=4), path)
    again = load_compressed(path, classes=[Residual, Convolution, Matrices, OwnLinear, Heads, Tied])
    assert again(inputs(model)).data.tobytes() == small(inputs(model)).data.tobytes()
    assert len(computed_weights(again)) == len(computed_weights(small))


@settings(max_examples=12)
@given(trees(), st.floats(0, 0.9))
def test_a_model_that_trains_through_rounding_can_be_pruned(model, amount):
    prepared = prepare(model, bits=4)
    masks = prune(prepared, amount=amount)
    d = sum(w.size for w in found(model).values())
    assert sum((~mask).sum() for mask in masks.values()) == round(amount * d)
    assert sparsity(convert(prepared)) >= round(amount * d) / d - 1e-12    # the code of 0 is exact


def cuttable(model):
    """An independent list: the layers that can be two, but the last, each once."""
    layers = [module for _, module in model.named_modules() if isinstance(module, (nn.Linear, nn.Conv1d))]
    return {id(m): m for m in layers if m is not layers[-1] and type(m) is not OwnLinear}


@few
@given(trees(), st.booleans())
def test_every_layer_of_low_rank_is_cut_and_the_rest_is_named(model, weighed):
    for weight in found(model).values():    # of rank 1, so that two layers are cheaper and as good
        rows = weight.data.reshape(len(weight), -1)
        weight.data = (rows[:, :1] * rows[:1]).reshape(weight.shape)
    wanted, X = cuttable(model), inputs(model, 60).data
    options = dict(energy=0.999, X=X if weighed else None)
    plan = ranks(model, **options)
    paths = {f"{path}.weight".strip("."): id(m) for path, m in model.named_modules() if id(m) in wanted}
    assert plan.keys() >= weights(model).keys()    # each is treated or named
    assert {paths.get(path) for path, answer in plan.items() if answer == 1} == wanted.keys()
    assert {type(answer) for answer in plan.values()} <= {int, str}
    if not wanted:
        with pytest.raises(ValueError, match="^factorize: model must have .* besides the last one"):
            factorize(model, **options)
        return
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        small = factorize(model, **options)
    for path, answer in plan.items():
        if type(answer) is str and answer not in ("the last layer", "no cheaper as two layers"):
            assert f"{path} ({answer})" in str(caught[-1].message)
    cut = [m for m in found(model).values() if id(m) in {id(layer.weight) for layer in wanted.values()}]
    layers = {id(m) for _, m in model.named_modules() if isinstance(m, nn.Linear)} - wanted.keys()
    ties = [m.weight for _, m in model.named_modules() if id(m) in layers]    # a whole one is kept for these
    gone = sum(w.size for w in cut if not any(w is other for other in ties))
    come = sum(m.weight.size // len(m.weight) + len(m.weight) for m in wanted.values())
    before, after = (sum(w.size for w in found(m).values()) for m in (model, small))
    assert before - after == gone - come
    y, expected = small(Tensor(X)), model(Tensor(X))
    assert y.dtype == expected.dtype
    assert_allclose(y.data, expected.data, atol=1e-3 * max(1, np.abs(expected.data).max()))


@few
@given(trees(depth=1), st.sampled_from(sorted(METHODS)))
def test_what_is_frozen_stays_frozen(model, name):
    for parameter in model.parameters():
        parameter.requires_grad = False
    assert not any(p.requires_grad for p in METHODS[name][0](model).parameters())


def test_low_rank_layers_of_frozen_ones_are_frozen():
    rng = np.random.default_rng(0)
    model = nn.Sequential(nn.Linear(20, 20, rng=rng), nn.Conv1d(20, 20, 3, rng=rng), nn.Conv2d(9, 9, 3, rng=rng),
                          nn.Linear(2, 2, rng=rng))
    for parameter in model.parameters()[:6]:
        parameter.requires_grad = False
    small = factorize(model, share=0.4)
    assert [type(m) for m in small] == [nn.Sequential] * 3 + [nn.Linear]
    assert not any(p.requires_grad for p in small[:3].parameters()) and small[3].weight.requires_grad


def test_a_tie_is_named_whoever_holds_the_weight():
    rng = np.random.default_rng(0)
    model = nn.Sequential(nn.Embedding(9, 8, rng=rng), nn.Linear(8, 9, rng=rng), nn.Linear(9, 9, rng=rng))
    model[1].weight = model[0].weight
    assert ranks(model, share=0.5) == {"0.weight": "one with 1.weight", "1.weight": "one with 0.weight",
                                       "2.weight": "the last layer"}


def test_what_is_computed_already_is_left_and_named():
    rng = np.random.default_rng(0)
    shared = share_weights(nn.Linear(D, D, rng=rng), bits=2)
    model = nn.Sequential(shared, nn.ReLU(), nn.Linear(D, D, rng=rng))
    named = r": left as they are: 0.weight \(computed already, by SharedWeight\)$"
    for name, method in {"prune": lambda m: prune(m, amount=0.5), "prepare": lambda m: prepare(m, bits=4),
                         "quantize_weights": lambda m: quantize_weights(m, bits=4),
                         "quantize_repaired": lambda m: quantize_repaired(m, bits=4),
                         "share_weights": lambda m: share_weights(m, bits=4)}.items():
        with pytest.warns(UserWarning, match=f"^{name}{named}") as warned:
            method(copy.deepcopy(model))
        assert warned[0].filename == __file__    # the line that the reader wrote
    assert left_out(model)["0.weight"] == "computed already, by SharedWeight"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert 0 <= sparsity(model) <= 1


@few
@given(trees(), st.sampled_from(sorted(METHODS) + ["prune", "low rank", "deep"]), st.data())
def test_an_error_names_the_function_that_was_called_and_the_path(model, name, data):
    rng = np.random.default_rng(0)
    model = nn.Sequential(model, nn.Linear(D, D, rng=rng), nn.Linear(D, D, rng=rng))
    path = data.draw(st.sampled_from(sorted(weights(model))))
    weights(model)[path].data.reshape(-1)[-1] = np.nan
    X = inputs(model).data
    call = METHODS[name][0] if name in METHODS else {
        "prune": lambda m: prune(m, amount=0.5), "low rank": lambda m: factorize(m, share=0.5),
        "deep": lambda m: deep_compress(m, X, np.zeros(2, int), keep=0.5, bits=2, rng=rng)}[name]
    function = {"quantize": "quantize_weights", "affine, one step": "quantize_weights", "prune": "prune",
                "repaired": "quantize_repaired", "share": "share_weights", "low rank": "factorize",
                "deep": "deep_compress", "ternary": "binarize_weights", "bits": "binarize_weights"}.get(name, "prepare")
    with pytest.raises(ValueError, match=f"^{function}: {path} must be finite, got 1 NaN"):
        call(model)


# ------------------------------------------------------------ computed weights, and what takes their place

class Twice(ComputedWeight):
    def __init__(self, half):
        self.half = half

    def forward(self):
        return 2 * self.half


USES = {
    "x @ w": lambda x, w: x @ w, "w @ x": lambda x, w: w @ x, "x + w": lambda x, w: x + w,
    "w + x": lambda x, w: w + x, "x - w": lambda x, w: x - w, "w - x": lambda x, w: w - x,
    "x * w": lambda x, w: x * w, "w * x": lambda x, w: w * x, "x / w": lambda x, w: x / w,
    "w / x": lambda x, w: w / x, "w ** 2": lambda x, w: w ** 2, "-w": lambda x, w: -w,
    "abs": lambda x, w: abs(w), "number - w": lambda x, w: 1 - w, "array @ w": lambda x, w: x.data @ w,
    "array * w": lambda x, w: x.data * w, "w * array": lambda x, w: w * x.data, "2 / w": lambda x, w: 2 / w,
    "w[1]": lambda x, w: w[1], "rows": lambda x, w: sum(iter(w)), "w.T": lambda x, w: w.T,
    "method": lambda x, w: w.reshape(-1).exp(), "op": lambda x, w: ops.exp(w),
    "einsum": lambda x, w: ops.einsum(x, w, subscripts="ij,jk->ik"), "linear": lambda x, w: F.linear(x, w),
    "concatenate": lambda x, w: concatenate([x, w]), "stack": lambda x, w: stack([x, w]),
    "where": lambda x, w: where(x.data > 1, x, w), "softmax": lambda x, w: F.softmax(w),
    "cosine": lambda x, w: F.cosine_similarity(x, w), "loss": lambda x, w: F.mse_loss(w, x),
    "attention": lambda x, w: F.scaled_dot_product_attention(x, x, w),
    "layer_norm": lambda x, w: F.layer_norm(w, (3,)),
    "length": lambda x, w: x * len(w), "shape": lambda x, w: x * w.shape[0] * w.ndim * w.size,
    "embedding": lambda x, w: F.embedding(np.array([1, 0, 1]), w),
    "conv1d": lambda x, w: F.conv1d(x.reshape(1, 3, 3), w.reshape(3, 3, 1), None),
}


@pytest.mark.parametrize("name", USES)
@given(rngs)
@settings(max_examples=5)
def test_a_computed_weight_acts_as_its_tensor(name, rng):
    half = nn.Parameter(rng.uniform(0.5, 2, (3, 3)))
    x, use, w = Tensor(rng.uniform(0.5, 2, (3, 3))), USES[name], Twice(half)
    expected, y = use(x, w()), use(x, w)
    assert type(y) is Tensor and y.data.tobytes() == expected.data.tobytes()
    gradients = []
    for result in (expected, y):
        half.grad = None
        if result.requires_grad:
            result.sum().backward()
        gradients.append(half.grad)
    assert (gradients[0] is None) == (gradients[1] is None)
    if gradients[0] is not None:
        assert_array_equal(*gradients)


def test_a_computed_weight_is_a_module_first():
    w = Twice(nn.Parameter(np.ones((2, 2))))
    assert [path for path, _ in nn.Sequential(w).named_parameters()] == ["0.half"]
    assert copy.deepcopy(w).half is not w.half and w.training
    with pytest.raises(AttributeError):
        w.data = np.zeros((2, 2))
    with pytest.raises(AttributeError, match="Twice has no attribute 'codes'"):
        w.codes
    with pytest.raises(TypeError, match="Tensor: NumPy cannot carry a gradient"):
        np.asarray(w)

    @primitive
    def double(x):
        return 2 * x, (lambda g: 2 * g,)
    double(w).sum().backward()
    assert_array_equal(w.half.grad, np.full((2, 2), 4))


def test_swapping_reaches_every_place_and_keeps_containers():
    old, new, entries = nn.Parameter(np.ones((2, 2))), nn.Parameter(np.zeros((2, 2))), []
    module = nn.Module()
    entries.append({"a": (old, 3)})
    module.here, module.there, module.both = old, entries, entries
    swap(module, {old: new})
    assert module.here is new and entries[0]["a"][0] is new and entries[0]["a"][1] == 3
    assert module.there is module.both is entries


# ------------------------------------------------------------ one model through everything

class Encoder(nn.Module):
    """A reader's own classifier of series: a convolution, attention with a residual, a dict and a list."""

    def __init__(self, rng):
        self.stem = nn.Sequential(nn.Conv1d(1, 8, 3, padding=1, rng=rng), nn.BatchNorm1d(8), nn.ReLU())
        self.place = nn.Parameter(0.1 * rng.standard_normal((1, 8, 8)).astype(np.float32))
        self.blocks = [{"norm": nn.LayerNorm(8), "attention": nn.MultiheadAttention(8, 2, rng=rng)}]
        self.feed = nn.Sequential(nn.Linear(8, 16, rng=rng), nn.GELU(), nn.Linear(16, 8, rng=rng))
        self.mix = nn.Parameter(np.eye(8, dtype=np.float32))
        self.head = nn.Linear(8, 2, rng=rng)

    def forward(self, x):
        x = self.stem(x).swapaxes(1, 2) + self.place                     # (N, T, D)
        for block in self.blocks:
            x = x + block["attention"](block["norm"](x))
        x = x @ self.mix + self.feed(x)
        return self.head(x.mean(axis=1))


WEIGHTS = ["stem.0.weight", "place", "blocks.0.attention.in_proj_weight", "blocks.0.attention.out_proj.weight",
           "feed.0.weight", "feed.2.weight", "mix", "head.weight"]


def test_a_reader_s_own_model_goes_through_every_method(tmp_path):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 128)
    X = rng.standard_normal((128, 1, 8)).astype(np.float32)
    X += np.where(y, 2, -2)[:, None, None] * np.sin(np.arange(8, dtype=np.float32))
    train = lambda model, epochs=4: fit(model, X, y, optimizer=Adam(model.parameters(), lr=5e-3), epochs=epochs,
                                        batch_size=32, rng=rng)
    model = Encoder(rng)
    train(model, 12)
    assert accuracy(model, X, y) > 0.8 and sorted(weights(model)) == sorted(WEIGHTS)

    pruned = copy.deepcopy(model)
    optimizer = Adam(pruned.parameters(), lr=5e-3)
    hold(optimizer, pruned, prune(pruned, amount=0.6))
    fit(pruned, X, y, optimizer=optimizer, epochs=4, batch_size=32, rng=rng)
    d = sum(w.size for w in weights(model).values())
    assert sparsity(pruned) == round(0.6 * d) / d
    prepared = prepare(model, bits=4)
    train(prepared)
    shared = share_weights(copy.deepcopy(pruned), bits=4)
    train(shared)
    with pytest.warns(UserWarning) as caught:
        thin = factorize(model, energy=0.9, X=X)
    assert all(path in str(caught[0].message) for path in ("place", "mix", "blocks.0.attention.in_proj_weight"))
    train(thin)
    with pytest.warns(UserWarning, match="^macs: weights of its own are not counted in Encoder at ''"):
        assert macs(thin, X) <= macs(model, X)
    small, _ = deep_compress(model, X, y, keep=0.4, bits=4, epochs=(10, 5), lr=(5e-3, 3e-3), batch_size=32,
                             rng=rng)
    ways = {"pruned": pruned, "quantized": quantize_weights(model, bits=8), "trained": convert(prepared),
            "repaired": quantize_repaired(model, bits=6, corrected=True), "shared": shared, "thin": thin,
            "folded": fold_batch_norm(model), "small": small}
    size = file_bytes(model)
    for name, way in ways.items():
        assert accuracy(way, X, y) > 0.7, name    # 0.5 is chance: it still tells the classes
        assert name == "thin" or file_bytes(way) < size, name
        path = tmp_path / name
        save_compressed(way, path)
        again = load_compressed(path, classes=[Encoder])
        assert predict(again, X).tobytes() == predict(way, X).tobytes(), name
    assert file_bytes(small) < 0.5 * size    # some 700 bytes are settings
    with pytest.raises(TypeError, match="^IntegerModel.from_float: model must be a Sequential, got Encoder"):
        IntegerModel.from_float(model, X)
    with pytest.raises(TypeError, match="^IntegerModel.from_float: model must be of .*, got Encoder at 1"):
        IntegerModel.from_float(nn.Sequential(nn.Conv1d(1, 1, 1, rng=rng), model), X)
    stem = IntegerModel.from_float(model.stem, X)    # what can be integers can
    real = predict(model.stem, X)
    assert np.abs(predict(stem, X) - real).max() < 0.03 * np.ptp(real)


# ------------------------------------------------------------ a weight and its transpose

class Transposed(ComputedWeight):
    """The weight of a decoder that is the transpose of the encoder's."""

    def __init__(self, weight):
        self.weight = weight

    def forward(self):
        return self.weight.T


@few
@given(rng=rngs)
def test_a_weight_and_its_transpose_stay_one_weight(rng):
    """Its own layer is treated as if there were no transpose, and the transpose is of what stands there then."""
    model = nn.Sequential(nn.Linear(D, 3, rng=rng), nn.Tanh(), nn.Linear(3, D, rng=rng))
    model[2].weight = Transposed(model[0].weight)
    for treat in (lambda m: quantize_weights(m, bits=4), lambda m: quantize_repaired(m, bits=4),
                  lambda m: prepare(m, bits=4), lambda m: convert(prepare(m, bits=4)),
                  lambda m: share_weights(copy.deepcopy(m), bits=2)):
        treated, alone = treat(model), treat(nn.Sequential(model[0]))
        assert_array_equal(treated[0].weight.data, alone[0].weight.data)
        assert_array_equal(treated[2].weight.data, alone[0].weight.data.T)
    pruned = copy.deepcopy(model)
    assert list(prune(pruned, amount=0.5)) == ["0.weight"] and sparsity(pruned) == 0.5
    assert_array_equal(pruned[2].weight.data, pruned[0].weight.data.T)
