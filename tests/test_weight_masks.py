"""Laws of weight masks: what is pruned stays 0, and has no gradient."""
import copy

import numpy as np
import pytest
from hypothesis import given
from numpy.testing import assert_allclose, assert_array_equal
from strategies import rngs
from test_pruning import mlp

from tinyml import Tensor, nn, optim
from tinyml import functional as F
from tinyml.compression.pruning import prunable_weights, prune, sparsity
from tinyml.compression.weight_masks import apply_masks, hold, pruned_loss

OPTIMIZERS = {
    "SGD": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.1),
    "Nesterov": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "Adam": lambda p: optim.Adam(p, lr=0.1, weight_decay=0.1),
    "AdamW": lambda p: optim.AdamW(p, lr=0.1, weight_decay=0.1),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_no_optimizer_brings_a_pruned_weight_back(name):
    """Not even one whose momentum, from before the pruning, still pushes it."""
    rng = np.random.default_rng(0)
    model = mlp(rng)
    optimizer = OPTIMIZERS[name](model.parameters())

    def step():
        optimizer.zero_grad()
        (model(Tensor(rng.standard_normal((8, 5)).astype(np.float32))) ** 2).sum().backward()
        optimizer.step()
    for _ in range(3):
        step()
    masks = prune(model, amount=0.6)
    survivors = {path: p.data[masks[path]] for path, p in prunable_weights(model).items()}
    hold(optimizer, model, masks)
    for _ in range(3):
        step()
        for path, weight in prunable_weights(model).items():
            assert not weight.data[~masks[path]].any()
    assert all((p.data[masks[path]] != survivors[path]).any() for path, p in prunable_weights(model).items())


def test_the_next_step_uses_new_masks_in_the_dict():
    rng = np.random.default_rng(0)
    model = mlp(rng)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    masks = prune(model, amount=0.2)
    hold(optimizer, model, masks)
    masks.update(prune(model, amount=0.8))
    (model(Tensor(np.ones((2, 5), np.float32))) ** 2).sum().backward()
    optimizer.step()
    assert sparsity(model) == 26 / 32


def test_a_mask_may_name_a_shared_weight_by_any_of_its_paths():
    rng = np.random.default_rng(0)
    model = nn.Sequential(nn.Embedding(4, 4, rng=rng), nn.Linear(4, 4, rng=rng))
    model[1].weight = model[0].weight
    apply_masks(model, {"1.weight": np.eye(4, dtype=bool)})
    assert sparsity(model) == 12 / 16 and (model[0].weight.data != 0).sum() == 4


def test_a_pruned_weight_is_0_without_a_sign():
    """-0.0 would cost bits in the file."""
    model = mlp(np.random.default_rng(0))
    weight = model[0].weight
    weight.data = -np.abs(weight.data)
    apply_masks(model, {"0.weight": np.eye(4, 5, dtype=bool)})
    assert weight.data.dtype == np.float32 and np.signbit(weight.data).sum() == 4


def test_a_pruned_weight_is_0_even_if_it_was_infinite():
    model = mlp(np.random.default_rng(0))
    weight = model[0].weight
    weight.data[1] = np.inf, -np.inf, np.nan, 1, -1
    apply_masks(model, {"0.weight": np.eye(4, 5, dtype=bool) & (weight.data == 1)})
    assert weight.data.sum() == 0


def a_masked_model(rng, dtype=np.float64):
    """A network, a batch for it, and random masks of its weights."""
    model = mlp(rng)
    for parameter in model.parameters():
        parameter.data = parameter.data.astype(dtype)
    masks = {path: rng.random(w.shape) < 0.5 for path, w in prunable_weights(model).items()}
    return model, rng.standard_normal((6, 5)).astype(dtype), rng.integers(0, 3, 6), masks


@given(rngs)
def test_the_pruned_loss_is_the_loss_of_the_pruned_model(rng):
    """And its gradient is the masked gradient there; the model keeps its weights."""
    model, x, y, masks = a_masked_model(rng)
    pruned, before = copy.deepcopy(model), model.state_dict()
    loss = pruned_loss(model, x, y, masks=masks)
    loss.backward()
    assert all((before[path] == array).all() for path, array in model.state_dict().items())
    apply_masks(pruned, masks)
    expected = F.cross_entropy(pruned(Tensor(x)), y)
    expected.backward()
    assert_array_equal(loss.data, expected.data)
    for (path, ours), theirs in zip(model.named_parameters(), pruned.parameters()):
        assert_allclose(ours.grad, np.where(masks.get(path, True), theirs.grad, 0), atol=1e-15)


@given(rngs)
def test_descent_on_the_pruned_loss_is_projected_descent(rng):
    """From theta * m on, steps along the gradient of L(theta * m) are those of `hold`."""
    model, x, y, masks = a_masked_model(rng)
    apply_masks(model, masks)
    held = copy.deepcopy(model)
    free, projected = (optim.SGD(m.parameters(), lr=0.1) for m in (model, held))
    hold(projected, held, masks)
    for _ in range(3):
        for optimizer, loss in ((free, pruned_loss(model, x, y, masks=masks)),
                                (projected, F.cross_entropy(held(Tensor(x)), y))):
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    for ours, theirs in zip(model.parameters(), held.parameters()):
        assert_allclose(ours.data, theirs.data, atol=1e-14)


def test_after_an_error_the_model_has_its_weights_again():
    model, x, y, masks = a_masked_model(np.random.default_rng(0))
    before = list(model.parameters())
    with pytest.raises(ValueError):
        pruned_loss(model, x[:, :2], y, masks=masks)
    assert all(now is then for now, then in zip(model.parameters(), before))


MODEL = mlp(np.random.default_rng(0))
ERRORS = {
    "apply_masks: masks['0.weight'] must have shape (4, 5), got (2,)":
        lambda: apply_masks(MODEL, {"0.weight": np.ones(2, bool)}),
    "apply_masks: masks must have paths of parameters of the model, got 'none'; it has 0.weight, 0.bias":
        lambda: apply_masks(MODEL, {"none": np.ones(2, bool)}),
    "hold: masks must have paths of parameters of the model, got 'none'":
        lambda: hold(optim.SGD(MODEL.parameters(), lr=1), MODEL, {"none": True}),
    "pruned_loss: masks['0.weight'] must have shape (4, 5), got ()":
        lambda: pruned_loss(MODEL, np.ones((2, 5)), [0, 1], masks={"0.weight": True}),
}


@pytest.mark.parametrize("message", ERRORS)
def test_an_error_names_function_argument_requirement_and_value(message):
    with pytest.raises(ValueError) as error:
        ERRORS[message]()
    assert str(error.value).startswith(message)
