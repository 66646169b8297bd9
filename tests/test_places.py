"""The laws of places: in an untied copy no module stands twice, and it computes the same."""
import copy
import warnings
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from numpy.testing import assert_allclose, assert_array_equal
from strategies import rngs

from tinyml import Tensor, nn, optim
from tinyml.compression import (
    binary,
    circulant_layers,
    clipping,
    distillation,
    factorize,
    integer_model,
    metrics,
    quantization,
    quantization_aware,
    removal,
    report,
    separable,
    structured,
    weight_sharing,
)
from tinyml.nn.places import is_chain, opened, untied
from tinyml.selfsupervised import downstream
from tinyml.train import accuracy, predict


class Sizes(NamedTuple):
    narrow: int
    wide: int


class Pair(nn.Module):
    """Two branches, which may be one module, and containers of both: each has several places."""

    def __init__(self, left, right):
        self.left, self.right = left, right
        self.all, self.named = [left, right], {"both": (left, [right])}
        self.sizes = Sizes(4, 4)

    def forward(self, x):
        assert self.sizes.wide == 4
        return self.left(x) + self.all[1](x) + self.named["both"][0](self.right(x))


def drawn(rng, depth=0):
    """A random tree of modules of 4 numbers, many of which stand at several places."""
    leaves = [nn.Linear(4, 4, rng=rng), nn.ReLU(), nn.BatchNorm1d(4)]
    nodes = leaves + [drawn(rng, depth + 1) for _ in range(2)] if depth < 2 else leaves
    chosen = [nodes[i] for i in rng.integers(0, len(nodes), 3)]
    return Pair(*chosen[:2]) if rng.random() < 0.5 else nn.Sequential(*chosen)


@given(rng=rngs)
def test_an_untied_copy_computes_the_same_and_has_a_module_for_each_place(rng):
    model, x = drawn(rng), Tensor(rng.standard_normal((5, 4)))
    model.train(bool(rng.integers(2)))
    next(iter(model.named_modules()))[1].training = False
    copied = untied(model)
    pairs = list(zip(model.named_modules(), copied.named_modules(), strict=True))
    assert all((a, type(m), m.training) == (b, type(n), n.training) for (a, m), (b, n) in pairs)
    places = [id(m) for _, (_, m) in pairs]
    assert len(set(places)) == len(places) and not set(places) & {id(m) for (_, m), _ in pairs}
    arrays = [[parameter.data for parameter in m.parameters()] for m in (model, copied)]
    assert not any(np.shares_memory(a, b) for a in arrays[0] for b in arrays[1])
    assert_array_equal(copied.eval()(x).data, copy.deepcopy(model).eval()(x).data)


def test_shared_parameters_of_two_modules_stay_shared():
    rng = np.random.default_rng(0)
    model = nn.Sequential(nn.Linear(4, 4, rng=rng), nn.Linear(4, 4, rng=rng))
    model[1].weight = model[0].weight
    copied = untied(model)
    assert copied[0].weight is copied[1].weight is not model[0].weight


def test_opened_layers_come_in_the_order_of_their_calls():
    rng = np.random.default_rng(0)
    relu = nn.ReLU()
    inner = nn.Sequential(nn.Linear(4, 4, rng=rng), relu)
    model = nn.Sequential(inner, nn.Sequential(), relu, nn.Sequential(inner, nn.Tanh()))
    called = []
    with nn.forward_hook(lambda module, x, y: None if is_chain(module) else called.append(module)):
        model(Tensor(np.ones((1, 4))))
    paths, layers = zip(*opened(model))
    assert list(layers) == called and list(paths) == ["0.0", "0.1", "2", "3.0.0", "3.0.1", "3.1"]


def test_a_sequential_with_a_forward_of_its_own_is_no_chain():
    class Doubled(nn.Sequential):
        def forward(self, x):
            return 2 * super().forward(x)

    class Named(nn.Sequential):
        pass

    assert is_chain(nn.Sequential()) and is_chain(Named())
    assert not is_chain(Doubled()) and not is_chain(nn.ReLU())
    assert [path for path, _ in opened(nn.Sequential(Doubled(nn.ReLU())))] == ["0"]


# ------------------------------------------------------------ every method works by place

PIXELS = np.random.default_rng(0).standard_normal((6, 2, 3, 3)).astype(np.float32)
CLASSES = np.arange(6) % 3


def outputs(model):
    return model(Tensor(PIXELS)).data


METHODS = {
    "outputs": outputs,
    "macs": lambda m: np.array(report.macs(m, PIXELS)),
    "fold_batch_norm": lambda m: outputs(quantization.fold_batch_norm(m)),
    "quantize_weights": lambda m: outputs(quantization.quantize_weights(m, bits=3)),
    "quantize_repaired": lambda m: outputs(clipping.quantize_repaired(m, bits=3)),
    "prepare": lambda m: outputs(quantization_aware.prepare(m, bits=3)),
    "convert": lambda m: outputs(quantization_aware.convert(quantization_aware.prepare(m, bits=3))),
    "binarize_weights": lambda m: outputs(binary.binarize_weights(m, method="ternary")),
    "store_bits": lambda m: outputs(binary.store_bits(binary.binarize_weights(m, method="scaled sign"))),
    "share_weights": lambda m: outputs(weight_sharing.share_weights(copy.deepcopy(m), bits=2)),
    "make_separable": lambda m: outputs(separable.make_separable(m)),
    "factorize": lambda m: outputs(factorize.factorize(m, share=0.6, X=PIXELS)),
    "sensitivities": lambda m: metrics.sensitivities(m, X, Y),
    "from_float": lambda m: outputs(integer_model.IntegerModel.from_float(m, PIXELS)),
    "shift_bias": lambda m: outputs(distillation.shift_bias(m, 0, 1.0)),
    "mask_units": lambda m: outputs(removal.mask_units(m, all_but_one(m))),
    "remove_units": lambda m: outputs(removal.remove_units(m, all_but_one(m))),
    "unit_scores": lambda m: np.concatenate(
        [scores for criterion in ("norm", "activation", "taylor", "oracle")
         for scores in structured.unit_scores(m, PIXELS, CLASSES, criterion=criterion).values()]),
}


def all_but_one(model):
    return {layer: np.array([False, True]) for layer in structured.prunable(model)}


def of_images(rng):
    """A network of a few layers, drawn with repetition; in half of them two share a weight."""
    few = [nn.Conv2d(2, 2, 3, padding=1, rng=rng) for _ in range(2)]
    few += [nn.BatchNorm2d(2), nn.ReLU(), nn.Tanh(), nn.MaxPool2d(1), nn.Dropout(rng=rng)]
    few.append(nn.Conv2d(2, 2, 3, padding="same", groups=2, rng=rng))    # one filter for each unit before it
    few[2].running_mean = Tensor(rng.standard_normal(2).astype(np.float32))
    few[rng.integers(2)].weight = few[0].weight
    few += [nn.Sequential(*[few[i] for i in rng.integers(0, 7, 2)]) for _ in range(rng.integers(2))]
    drawn = [few[i] for i in rng.integers(0, len(few), 5)]
    return nn.Sequential(few[0], *drawn, nn.Flatten(), nn.Linear(18, 3, rng=rng)).eval()


def apart(model):
    """The untied copy, with a parameter of its own for each place as well."""
    model = untied(model)
    for _, module in model.named_modules():
        for name, value in vars(module).items():
            if isinstance(value, nn.Parameter):
                vars(module)[name] = nn.Parameter(value.data.copy())
    return model


def attempt(method, model):
    """What the method returns, or the error that it raises."""
    try:
        with warnings.catch_warnings():    # of the weights that stay, such as those of filters in groups
            warnings.simplefilter("ignore")
            return METHODS[method](model), None
    except (TypeError, ValueError) as error:
        return np.zeros(0), str(error)


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=8)
@given(rng=rngs)
def test_a_method_does_to_a_model_what_it_does_to_the_copy_without_reuse(method, rng):
    model = of_images(rng)
    (found, refused), (expected, why) = (attempt(method, m) for m in (model, apart(model)))
    assert refused == why
    assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


# ------------------------------------------------------------ what runs a model leaves it as it is

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((12, 4)).astype(np.float32), np.arange(12) % 3
KEEP = {0: np.array([1, 0, 1, 1, 0], bool)}
RUNS = {
    "predict": lambda m: predict(m, X),
    "accuracy": lambda m: accuracy(m, X, Y),
    "macs": lambda m: report.macs(m, X),
    "milliseconds": lambda m: report.milliseconds([m], X, rounds=1),
    "compare": lambda m: report.compare({"m": m}, X, Y),
    "feature_maps": lambda m: structured.feature_maps(m, X, Y),
    "oracle_scores": lambda m: structured.oracle_scores(m, X, Y),
    **{f"unit_scores, {criterion}": lambda m, criterion=criterion:
        structured.unit_scores(m, X, Y, criterion=criterion)
       for criterion in ("norm", "activation", "taylor", "oracle")},
    "mask_units": lambda m: removal.mask_units(m, KEEP)(Tensor(X)),
    "remove_units": lambda m: removal.remove_units(m, KEEP)(Tensor(X)),
    "fold_batch_norm": lambda m: quantization.fold_batch_norm(m)(Tensor(X)),
    "quantize_weights": lambda m: quantization.quantize_weights(m, bits=4)(Tensor(X)),
    "quantize_repaired": lambda m: clipping.quantize_repaired(m, bits=4)(Tensor(X)),
    "prepare": lambda m: quantization_aware.prepare(m, bits=4)(Tensor(X)),
    "binarize_weights": lambda m: binary.binarize_weights(m, method="sign")(Tensor(X)),
    "make_circulant": lambda m: circulant_layers.make_circulant(m, block=2)(Tensor(X)),
    "from_float": lambda m: integer_model.IntegerModel.from_float(m, X),
    "input_second_moments": lambda m: factorize.input_second_moments(m, X),
    "factorize": lambda m: factorize.factorize(m, share=0.5, X=X),
    "share_for_accuracy": lambda m: factorize.share_for_accuracy(m, X, Y, at_least=0, shares=[0.5],
                                                                inputs=X),
    "shift_bias": lambda m: distillation.shift_bias(m, 0, 1.0)(Tensor(X)),
    "distill": lambda m: _taught(m),
    "extract_features": lambda m: downstream.extract_features(m, X),
}
MAKE_COPIES = {"mask_units", "remove_units", "fold_batch_norm", "quantize_weights",
               "quantize_repaired", "prepare", "binarize_weights", "make_circulant", "factorize", "sensitivities", "share_for_accuracy", "shift_bias"}


def _taught(teacher):
    student = nn.Linear(4, 3, rng=np.random.default_rng(0))
    distillation.distill(student, teacher, X, Y, temperature=2, alpha=0.5, epochs=1, batch_size=6,
                         augment=lambda x, rng: x, rng=np.random.default_rng(0),
                         optimizer=optim.SGD(student.parameters(), lr=0.1))


def state_of(model):
    """All that a run could change: modes, arrays, gradients, and what is drawn next."""
    modules = [module for _, module in model.named_modules()]
    return ([module.training for module in modules],
            {name: array.tobytes() for name, array in model.state_dict().items()},
            [(id(p.data), id(p.grad), p.grad.tobytes(), p.requires_grad)
             for p in model.parameters()],
            [module.rng.bit_generator.state for module in modules if hasattr(module, "rng")])


@pytest.mark.parametrize("name", RUNS)
def test_what_runs_a_model_leaves_its_modes_gradients_buffers_and_generators(name):
    """Modes are those of each module: a norm that is frozen in a model that trains stays frozen."""
    rng = np.random.default_rng(1)
    model = nn.Sequential(nn.Linear(4, 5, rng=rng), nn.BatchNorm1d(5), nn.ReLU(), nn.Dropout(rng=rng),
                          nn.Linear(5, 3, rng=rng))
    model[1].eval()
    for parameter in model.parameters():
        parameter.grad = rng.standard_normal(parameter.shape).astype(np.float32)
    before = state_of(model)
    RUNS[name](model)
    assert state_of(model) == before
    if name not in MAKE_COPIES:    # whose dropout has a generator of its own, a child of the model's
        assert model[3].rng.bit_generator.seed_seq.n_children_spawned == 0
