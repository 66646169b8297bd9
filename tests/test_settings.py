"""A NumPy number as a setting changes no dtype: float32 in, float32 out, and float32 gradients.

A float32 array times a Python float is float32, but times np.float64(0.5), np.int64(1) or a 0-d array it
is float64. A model would then need twice the memory, and its file twice the bytes.
"""
import ast
import inspect

import numpy as np
import pytest

from tinyml import Tensor, nn, ops, synthetic
from tinyml import functional as F
from tinyml.compression import distillation, factorize, pruning, quantization, quantization_aware
from tinyml.selfsupervised import (
    augmentations,
    contrastive,
    downstream,
    masked_patches,
    masking,
    moco,
    series,
)

NUMBERS = {"float64": np.float64(0.5), "float32": np.float32(0.5), "float16": np.float16(0.5), "int64": np.int64(1),
           "0-d": np.array(0.5)}
IMAGES, SERIES, PICKS = (4, 8, 8), (4, 3, 16), np.array([0, 1, 2, 0])


def rng():
    return np.random.default_rng(0)


def array(*shape):
    return np.random.default_rng(1).uniform(0.1, 1, shape).astype(np.float32)


def leaf(*shape):
    return Tensor(array(*shape), requires_grad=True)


def linear():
    return nn.Linear(4, 3, rng=rng())


def net():
    return nn.Sequential(nn.Linear(4, 6, rng=rng()), nn.ReLU(), nn.Linear(6, 3, rng=rng()))


def changed(model, change):
    """The model after something was done to it."""
    result = change(model)
    return model if result is None or isinstance(result, (list, dict)) else result


def momentum(v):
    slow = linear()
    moco.update_momentum(slow, nn.Linear(4, 3, rng=np.random.default_rng(2)), momentum=v)
    return slow


def norm(kind, v, training=True):
    """The output of a batch norm and the layer, whose statistics have moved; or of a layer norm."""
    layer = kind(4, v, v) if kind is nn.BatchNorm1d else kind(4, v)
    return layer.train(training)(leaf(5, 4)), layer


def normed(v):
    mean, var = Tensor(array(4)), Tensor(array(4))
    return F.batch_norm(leaf(5, 4), mean, var, training=True, momentum=v, eps=v), mean, var


def folded(v):
    return quantization.fold_batch_norm(nn.Sequential(linear(), nn.BatchNorm1d(3, v)).eval())


CALLS = {    # function -> call with the setting v
    "x * v": lambda v: leaf(3) * v, "v * x": lambda v: v * leaf(3), "x + v": lambda v: leaf(3) + v,
    "v - x": lambda v: v - leaf(3), "x / v": lambda v: leaf(3) / v, "v / x": lambda v: v / leaf(3),
    "x ** v": lambda v: leaf(3) ** v, "v ** x": lambda v: v ** leaf(3),
    "maximum": lambda v: ops.maximum(leaf(3), v), "minimum": lambda v: ops.minimum(v, leaf(3)),
    "where": lambda v: ops.where(PICKS > 0, leaf(4), v),
    "clip": lambda v: ops.clip(leaf(3), low=v, high=v), "x.clip": lambda v: leaf(3).clip(None, v),
    "clamp_ste": lambda v: ops.clamp_ste(leaf(3), low=v, high=v), "pad": lambda v: ops.pad(leaf(3), pad_width=1, value=v),
    "leaky_relu": lambda v: F.leaky_relu(leaf(3), v), "dropout": lambda v: F.dropout(leaf(30), v, rng=rng()),
    "normalize": lambda v: F.normalize(leaf(3, 3), v, eps=v),
    "cosine_similarity": lambda v: F.cosine_similarity(leaf(3, 3), leaf(3, 3), eps=v),
    "layer_norm": lambda v: F.layer_norm(leaf(3, 4), (4,), eps=v), "batch_norm": normed,
    "cross_entropy": lambda v: F.cross_entropy(leaf(4, 3), PICKS, label_smoothing=v, weight=np.ones(3) * v),
    "kl_div": lambda v: F.kl_div(F.log_softmax(leaf(2, 2)), np.full((2, 2), 0.5)),
    "mse_loss": lambda v: F.mse_loss(leaf(3), np.full(3, v, np.float64)),
    "scaled_dot_product_attention": lambda v: F.scaled_dot_product_attention(*[leaf(2, 3, 4)] * 3, dropout_p=v, rng=rng()),
    "BatchNorm1d": lambda v: norm(nn.BatchNorm1d, v), "BatchNorm2d": lambda v: nn.BatchNorm2d(3, v, v)(leaf(2, 3, 4, 4)),
    "BatchNorm1d.eval": lambda v: norm(nn.BatchNorm1d, v, False), "LayerNorm": lambda v: norm(nn.LayerNorm, v),
    "Dropout": lambda v: nn.Dropout(v, rng=rng())(leaf(30)),
    "MultiheadAttention": lambda v: nn.MultiheadAttention(4, 2, dropout=v, rng=rng())(*[leaf(2, 3, 4)] * 3),
    "TransformerEncoderLayer": lambda v: nn.TransformerEncoderLayer(4, 2, 8, dropout=v, layer_norm_eps=v, rng=rng())(
        leaf(2, 3, 4)),
    "soften": lambda v: distillation.soften(array(2, 3), temperature=v),
    "distillation_loss": lambda v: distillation.distillation_loss(leaf(2, 3), array(2, 3), PICKS[:2], temperature=v,
                                                                  alpha=v),
    "shift_bias": lambda v: changed(net(), lambda model: distillation.shift_bias(model, 0, v)),
    "fold_batch_norm": folded,
    "prepare": lambda v: quantization_aware.prepare(net(), bits=4, share=v)(leaf(2, 4)),
    "fake_quantize": lambda v: quantization_aware.fake_quantize(
        leaf(4, 4), quantization.QParams(v, 0, -8, np.int64(7))),
    "factorize": lambda v: changed(net(), lambda model: factorize.factorize(model, energy=v)),
    "prune": lambda v: changed(net(), lambda model: pruning.prune(model, amount=v / 2)),
    "nt_xent": lambda v: contrastive.nt_xent(leaf(4, 3), leaf(4, 3), temperature=v),
    "info_nce": lambda v: contrastive.info_nce(leaf(4, 3), array(4, 3), array(5, 3), temperature=v),
    "update_momentum": momentum,
    "affine": lambda v: augmentations.affine(array(*IMAGES), np.eye(2) * v, (v, v)),
    "random_affine": lambda v: augmentations.random_affine(rotate=v, scale=v / 2, shear=v, shift=v)(array(*IMAGES), rng()),
    "add_noise": lambda v: augmentations.add_noise(v)(array(*IMAGES), rng()),
    "jitter": lambda v: series.jitter(strength=v)(array(*SERIES), rng()),
    "scale": lambda v: series.scale(strength=v)(array(*SERIES), rng()),
    "resized_crop": lambda v: series.resized_crop(smallest=v)(array(*SERIES), rng()),
    "zero": lambda v: series.zero(fraction=v)(array(*SERIES), rng()),
    "mask_input": lambda v: masking.mask_input(array(4, 5), mask_ratio=v, mask_value=v, rng=rng()),
    "normalize_patches": lambda v: masked_patches.normalize_patches(array(4, 3, 5), eps=v),
    "extract_features": lambda v: downstream.extract_features(net(), array(5, 4), unit_length=True),
    "make_moons": lambda v: synthetic.make_moons(5, noise=v, rng=rng())[0],
    "make_spirals": lambda v: synthetic.make_spirals(5, 2, noise=v, turns=v, rng=rng())[0],
}


def tensors(result):
    """The tensors and floating arrays in a result."""
    if isinstance(result, nn.Module):
        return [value for value in result.state_dict().values() if value.dtype.kind == "f"]
    if isinstance(result, (tuple, list)):
        return [tensor for part in result for tensor in tensors(part)]
    return [result] if result.dtype.kind == "f" else []


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("name", CALLS)
def test_float32_stays_float32(name, number):
    """Or the number is refused, as some refuse 0-d arrays, or 1 where it is out of range."""
    try:
        result = CALLS[name](NUMBERS[number])
    except (TypeError, ValueError) as error:
        assert number in ("0-d", "int64"), error
        return
    found = tensors(result)
    assert found and all(tensor.dtype == np.float32 for tensor in found)


def test_a_primitive_of_your_own_gets_python_numbers():
    seen = []

    @ops.elementwise.primitive
    def scaled(x, *, by, times, flag):
        seen.append((type(by), type(times), type(flag)))
        return by * times * x, (lambda g: by * times * g,)
    x = leaf(3)
    y = scaled(x, by=np.float64(0.5), times=np.int64(2), flag=np.True_)
    y.sum().backward()
    assert y.dtype == x.grad.dtype == np.float32 and seen == [(float, int, np.bool_)]
    assert scaled(x, by=np.array(0.5), times=1, flag=True).dtype == np.float32


@pytest.mark.parametrize("module", [F, nn])
def test_every_float_that_a_docstring_names_is_tried(module):
    """A parameter `name : float ...` belongs to a function or layer of the table above."""
    for name in module.__all__:
        documented = inspect.getdoc(getattr(module, name)) or ""
        if any(" : float" in line and line[:1].isalpha() for line in documented.splitlines()):
            assert name in CALLS or f"{name}.eval" in CALLS, f"{name} has a number that no call of the table tries"


def test_every_number_is_taken_over_from_its_check():
    """`check_number` returns a Python float: a statement that drops it leaves NumPy's number where it was."""
    for module in (F.activations, F.distances, F.norms, F.attention, F.losses, nn.norms, nn.layers, nn.attention, moco):
        tree = ast.parse(inspect.getsource(module))
        dropped = [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
                   and getattr(node.value.func, "id", "") == "check_number"]
        assert not dropped, f"{module.__name__}: lines {dropped}"
