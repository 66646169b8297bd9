"""The laws of places: in an untied copy no module stands twice, and it computes the same."""
import copy

import numpy as np
from hypothesis import given
from numpy.testing import assert_array_equal
from strategies import rngs

from tinyml import Tensor, nn
from tinyml.nn.places import is_chain, opened, untied


class Pair(nn.Module):
    """Two branches, which may be one module, and a list of both: each stands at two places, or at four."""

    def __init__(self, left, right):
        self.left, self.right = left, right
        self.all, self.sizes = [left, right], (4, 4)

    def forward(self, x):
        return self.left(x) + self.all[1](x) + self.left(self.right(x))


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
    assert [(a, type(m), m.training) for (a, m), _ in pairs] == [(b, type(m), m.training) for _, (b, m) in pairs]
    places = [id(m) for _, (_, m) in pairs]
    assert len(set(places)) == len(places) and not set(places) & {id(m) for (_, m), _ in pairs}
    assert not any(np.shares_memory(p.data, q.data) for p in model.parameters() for q in copied.parameters())
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

    assert is_chain(nn.Sequential()) and is_chain(Named()) and not is_chain(Doubled()) and not is_chain(nn.ReLU())
    assert [path for path, _ in opened(nn.Sequential(Doubled(nn.ReLU())))] == ["0"]
