"""Laws of the pipeline: masks only shrink, zeros stay, values are few, every stage is smaller."""
import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from strategies import rngs

from tinyml import nn
from tinyml.compression.coding.codings import encode_array
from tinyml.compression.coding.storage import load_compressed, save_compressed
from tinyml.compression.deep_compression import (
    deep_compress,
    expected_bits,
    prune_gradually,
    round_off,
    share_and_tune,
    tune,
)
from tinyml.compression.pruning import cubic_sparsity, prunable_weights, sparsity
from tinyml.compression.quantization import quantize_weights
from tinyml.compression.report import file_bytes
from tinyml.nn.weights import computed_weights
from tinyml.train import predict

KEEPS = st.sampled_from([0.02, 0.1, 0.3, 0.5])
few = settings(max_examples=10)


def dense(rng):
    return nn.Sequential(nn.Linear(16, 24, rng=rng), nn.ReLU(), nn.Linear(24, 3, rng=rng))


def convolutional(rng):
    return nn.Sequential(nn.Conv2d(1, 6, 3, rng=rng), nn.ReLU(), nn.Flatten(), nn.Linear(24, 3, rng=rng))


NETWORKS = {dense: (16,), convolutional: (1, 4, 4)}


def problem(rng, network=dense, n=40):
    """An untrained network, and inputs with random labels."""
    X = rng.standard_normal((n, *NETWORKS[network])).astype(np.float32)
    return network(rng), X, rng.integers(0, 3, n)


def weights(model):
    """The weight arrays of the layers, shared or not."""
    found = [layer.weight for layer in model if hasattr(layer, "weight")]
    return [(w() if isinstance(w, nn.Module) else w).data for w in found]


def zeros(model):
    return np.concatenate([w.ravel() == 0 for w in weights(model)])


def compress(rng, model, X, y, keep=0.3, bits=2, epochs=(2, 1), batch_size=8, **options):
    return deep_compress(model, X, y, keep=keep, bits=bits, epochs=epochs, batch_size=batch_size, rng=rng,
                         **options)


@few
@given(rngs, KEEPS, st.integers(1, 4), st.integers(1, 3), st.sampled_from(list(NETWORKS)))
def test_the_stages_keep_what_they_promise(rng, keep, bits, bias_bits, network):
    model, X, y = problem(rng, network)
    small, stages = compress(rng, model, X, y, keep, bits, bias_bits=bias_bits)
    assert list(stages) == ["dense", "pruned", "shared", "rounded"]
    assert stages["dense"] is model and stages["rounded"] is small
    gone = [zeros(stage) for stage in stages.values()]
    assert gone[0].sum() == 0 and gone[1].sum() == round((1 - keep) * len(gone[1]))
    assert_array_equal(gone[1], gone[2])
    assert_array_equal(gone[1], gone[3])
    for stage in "shared", "rounded":
        assert all(len(np.unique(w[w != 0])) <= 2 ** bits for w in weights(stages[stage]))
    assert all(len(np.unique(layer.bias.data)) <= 2 ** bias_bits for layer in small if hasattr(layer, "bias"))


@few
@given(rngs, KEEPS)
def test_masks_follow_the_schedule_and_only_shrink_to_the_end(rng, keep):
    """Watched at every forward pass of every stage: what a layer has lost it never has again."""
    model, X, y = problem(rng)
    seen, teacher = [], set(model)

    def watch(layer, x, y):
        if isinstance(layer, nn.Linear) and layer not in teacher:
            weight = layer.weight
            seen.append((weight() if isinstance(weight, nn.Module) else weight).data == 0)

    with nn.forward_hook(watch):
        compress(rng, model, X, y, keep, epochs=(6, 2))
    steps = [np.concatenate([a.ravel(), b.ravel()]) for a, b in zip(seen[::2], seen[1::2])]
    assert len(steps) == (6 + 2) * 5    # 5 batches of 8 in an epoch
    assert all((before <= after).all() for before, after in zip(steps, steps[1:]))
    expected = cubic_sparsity(np.arange(30), final=1 - keep, t_end=0.6 * 30)
    for gone, fraction in zip(steps, expected):    # at most 100 changes: here one after every step
        assert gone.sum() == round(fraction * len(gone))


def test_pruning_takes_the_smallest_of_all_layers():
    """With a rate too low to matter, the mask is that of one cut by magnitude."""
    model, X, y = problem(np.random.default_rng(0))
    model[0].weight.data = model[0].weight.data / 4
    sizes = np.abs(np.concatenate([w.ravel() for w in weights(model)]))
    masks = prune_gradually(model, X, y, teacher=copy.deepcopy(model), keep=0.25, epochs=1, lr=1e-9,
                            rng=np.random.default_rng(1))
    assert_array_equal(~zeros(model), sizes >= np.quantile(sizes, 0.75))
    assert list(masks) == ["0.weight", "2.weight"]
    for path, weight in prunable_weights(model).items():
        assert_array_equal(masks[path], weight.data != 0)


@settings(max_examples=6)
@given(rngs, st.sampled_from([0.05, 0.3]), st.integers(1, 3))
def test_a_file_holds_the_model_bit_for_bit_and_every_stage_is_smaller(tmp_path_factory, rng, keep, bits):
    """That each stage is smaller needs layers large beside their codebooks: 384 weights, 2 to 8 values."""
    model, X, y = problem(rng)
    small, stages = compress(rng, model, X, y, keep, bits, bias_bits=2)
    lengths = [file_bytes(stage) for stage in stages.values()]
    assert lengths == sorted(lengths, reverse=True) and len(set(lengths)) == 4
    path = tmp_path_factory.mktemp("files") / "small"
    save_compressed(small, path)
    again = load_compressed(path)
    assert path.stat().st_size == lengths[-1]
    assert predict(again, X).tobytes() == predict(small, X).tobytes()
    assert all(a.tobytes() == b.tobytes() for a, b in zip(weights(again), weights(small)))


def test_the_same_rng_gives_the_same_bits_and_model_and_teacher_stay_as_they_are():
    (model, X, y), teacher = problem(np.random.default_rng(0)), dense(np.random.default_rng(1))
    before = model.state_dict(), teacher.state_dict(), X.copy()

    def flip(x, rng):
        return x * rng.choice([-1, 1], (len(x), 1)).astype(np.float32)

    states = [compress(np.random.default_rng(seed), model, X, y, teacher=teacher,
                       augment=flip)[0].state_dict() for seed in (2, 2, 3)]
    assert all(np.array_equal(states[0][key], states[1][key]) for key in states[0])
    assert not all(np.array_equal(states[0][key], states[2][key]) for key in states[0])
    for kept, now in zip(before, (model.state_dict(), teacher.state_dict())):
        assert all(np.array_equal(kept[key], now[key]) for key in kept)
    assert_array_equal(X, before[2])


@few
@given(rngs)
def test_a_network_that_keeps_all_weights_has_nothing_to_learn_from_itself(rng):
    """Its loss is at the minimum: gradients are of rounding size, far below Adam's eps of 1e-8."""
    model, X, y = problem(rng)
    stages = compress(rng, model, X, y, keep=1, alpha=1.0, weight_decay=0)[1]
    for before, after in zip(weights(model), weights(stages["pruned"])):
        assert_allclose(after, before, atol=1e-5)


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_without_its_share_neither_labels_nor_teacher_matter(alpha):
    """alpha = 1: the labels have no part in the loss; alpha = 0: the teacher has none."""
    model, X, y = problem(np.random.default_rng(0))
    teachers = [dense(np.random.default_rng(seed)) for seed in (1, 2)]

    def trained(teacher, y):
        student = copy.deepcopy(model)
        tune(student, X, y, teacher=teacher, epochs=2, lr=1e-2, alpha=alpha, rng=np.random.default_rng(3))
        return np.concatenate([p.data.ravel() for p in student.parameters()])

    first, other_labels, other_teacher = trained(teachers[0], y), trained(teachers[0], (y + 1) % 3), trained(
        teachers[1], y)
    assert np.array_equal(first, other_labels) == (alpha == 1)
    assert np.array_equal(first, other_teacher) == (alpha == 0)


def test_weight_decay_lets_go_of_weights_whose_input_is_always_zero():
    """They have no gradient. Without decay they stay as they were drawn, and outlive others.

    With it their gradient is decay * w, which Adam makes a step of its full rate towards 0, at any decay.
    """
    model, X, y = problem(np.random.default_rng(0))
    X[:, 0] = 0
    left = []
    for decay in (0, 1e-4):
        student = copy.deepcopy(model)
        prune_gradually(student, X, y, teacher=model, keep=0.5, epochs=20, lr=1e-2, batch_size=8,
                        weight_decay=decay, rng=np.random.default_rng(1))
        left.append(student[0].weight.data[:, 0])
    assert set(left[0]) - {0} and set(left[0]) - {0} <= set(model[0].weight.data[:, 0])
    assert not left[1].any()


def test_codes_stay_while_their_values_are_trained():
    model, X, y = problem(np.random.default_rng(0))
    start = copy.deepcopy(model)
    share_and_tune(start, X, y, teacher=model, bits=2, epochs=1, lr=1e-12, rng=np.random.default_rng(1))
    share_and_tune(model, X, y, teacher=copy.deepcopy(model), bits=2, epochs=3, lr=1e-3,
                   rng=np.random.default_rng(1))
    for i in (0, 2):
        assert_array_equal(start[i].weight.codes, model[i].weight.codes)
        moved = np.abs(start[i].weight.codebook.data - model[i].weight.codebook.data)
        assert (moved > 1e-4).all()    # Adam's step is about lr, at its begin, in every direction


@given(rngs, st.floats(-8, 8))
def test_rounding_keeps_11_bits_or_everything(rng, exponent):
    model = nn.Linear(5, 40, rng=rng)
    model.weight.data = (10 ** exponent * rng.uniform(0.5, 1, (40, 5)) * rng.choice([-1, 0, 1], (40, 5))
                         ).astype(np.float32)
    before = model.weight.data
    after = round_off(model, bias_bits=2).weight.data
    assert after.dtype == np.float32 and (np.abs(after - before) <= 2.0 ** -11 * np.abs(before)).all()
    if np.abs(before).max() >= 65520 or 0 < np.abs(before[before != 0]).min() < 2.0 ** -26:
        assert_array_equal(after, before)    # half precision has no such numbers
    elif 1e-4 <= 10 ** exponent / 2 and 10 ** exponent <= 65504:
        assert_array_equal(after, before.astype(np.float16))
    assert len(np.unique(model.bias.data)) <= 4
    assert_array_equal(round_off(model, bias_bits=2).weight.data, after)


@given(st.floats(0, 1), st.floats(0, 1), st.integers(0, 15))
def test_expected_bits_lie_between_their_ends_and_above_every_chord(p, q, bits):
    """H is concave, 0 at both ends, and 1 at a half."""
    assert expected_bits([0, 1, 0.5], bits).tolist() == [0, bits, 1 + bits / 2]
    left, right, middle = (float(expected_bits(k, bits)) for k in (p, q, (p + q) / 2))
    assert middle >= (left + right) / 2 - 1e-12


def test_what_is_not_finite_is_not_rounded():
    model = nn.Linear(2, 2, rng=np.random.default_rng(0))
    model.weight.data = np.full((2, 2), np.nan, np.float32)
    with pytest.raises(ValueError, match="^round_off: model must be finite"):
        round_off(model, bias_bits=2)


@settings(max_examples=6)
@given(rngs, st.sampled_from([0.02, 0.05, 0.2]), st.integers(1, 4))
def test_a_file_of_places_and_values_without_pattern_has_the_expected_length(rng, keep, bits):
    """A lossless code is more than 40 bits shorter than -log2 p with probability 2^-40 at most.

    -log2 p has a standard deviation of sqrt(d k (1 - k)) |log2(k / (1 - k)) - bits|. Above, the adaptive
    coding pays to learn: 6 % and 60 bytes are plenty.
    """
    shape, d = (100, 150), 15_000
    codes = (rng.random(shape) < keep) * rng.integers(1, 2 ** bits + 1, shape)
    length = 8 * len(encode_array(codes.astype(np.uint8)))
    expected = d * float(expected_bits(keep, bits))
    spread = np.sqrt(d * keep * (1 - keep)) * abs(np.log2(keep / (1 - keep)) - bits)
    assert expected - 6 * spread - 40 <= length <= 1.06 * (expected + 6 * spread) + 480


def test_a_layer_may_lose_everything():
    model, X, y = problem(np.random.default_rng(0))
    small, stages = compress(np.random.default_rng(1), model, X, y, keep=1e-4)
    assert zeros(stages["pruned"]).all() and zeros(small).all()
    assert np.isfinite(predict(small, X)).all()


class Tokens(nn.Module):
    """Labels for each token: indices (N, T) to logits (N, T, C), by layers of every kind, in a block of its own."""

    def __init__(self, rng):
        self.embedding, self.attention = nn.Embedding(9, 8, rng=rng), nn.MultiheadAttention(8, 2, rng=rng)
        self.convolution, self.norm = nn.Conv1d(8, 8, 3, padding=1, rng=rng), nn.LayerNorm((5, 8))
        self.place = nn.Parameter(0.1 * rng.standard_normal((1, 5, 8)).astype(np.float32))
        self.head = nn.Linear(8, 9, rng=rng)
        self.head.weight = self.embedding.weight

    def forward(self, tokens):
        x = self.embedding(tokens) + self.place
        x = self.norm(x + self.attention(x))
        return self.head(x + self.convolution(x.swapaxes(1, 2)).swapaxes(1, 2))


@settings(max_examples=4)
@given(rngs, st.floats(0.1, 0.6), st.integers(2, 4))
def test_logits_for_every_token_and_layers_of_every_kind(rng, keep, bits):
    model, X = Tokens(rng), rng.integers(0, 9, (12, 5))
    small, stages = compress(rng, model, X, X, keep=keep, bits=bits)
    d = sum(p.size for p in (model.embedding.weight, model.attention.in_proj_weight, model.place,
                             model.attention.out_proj.weight, model.convolution.weight))
    assert sparsity(stages["pruned"]) >= round((1 - keep) * d) / d - 1e-12
    assert sparsity(small) >= sparsity(stages["pruned"]) - 1e-12
    assert small.head.weight is small.embedding.weight
    assert all(one.codebook.size <= 2 ** bits for one in computed_weights(small).values())
    assert len(computed_weights(small)) == 5 and predict(small, X).shape == (12, 5, 9)


class Own(nn.Module):
    """A matrix of its own, before a layer."""

    def __init__(self, rng):
        self.own, self.inner = nn.Parameter(rng.standard_normal((16, 16))), nn.Linear(16, 3, rng=rng)

    def forward(self, x):
        return self.inner(x @ self.own)


@pytest.mark.parametrize("arguments, message", [
    (dict(epochs=(0, 1)), r"deep_compress: epochs must be two ints >= 1, got \(0, 1\)"),
    (dict(lr=(0, 1)), r"deep_compress: lr must be two numbers > 0, got \(0, 1\)"),
    (dict(batch_size=0), "prune_gradually: batch_size must be int >= 1, got 0"),
    (dict(alpha=2), r"tune: alpha must be float in \[0, 1\], got 2"),
    (dict(model=quantize_weights(Own(np.random.default_rng(0)), bits=4)),
     "deep_compress: model must have a weight.*; own is computed already, by DequantizedWeight"),
    (dict(model=nn.Sequential(nn.ReLU())), "deep_compress: model must have a weight, a parameter with two or"),
])
def test_wrong_arguments_are_named(arguments, message):
    model, X, y = problem(np.random.default_rng(0))
    arguments = {"model": model, "X": X, "y": y, "rng": np.random.default_rng(0), **arguments}
    with pytest.raises(ValueError, match=message):
        compress(**arguments)


def test_what_is_wrong_at_the_end_is_refused_at_the_beginning(monkeypatch):
    model, X, y = problem(np.random.default_rng(0))
    monkeypatch.setattr("tinyml.compression.deep_compression.prune_gradually", lambda *_, **__: pytest.fail())
    for arguments in (dict(bits=0), dict(bias_bits=16), dict(epochs=(1, 0)), dict(lr=(1e-3, -1))):
        with pytest.raises(ValueError):
            compress(np.random.default_rng(0), model, X, y, **arguments)
    with pytest.raises(TypeError, match="rng must be numpy.random.Generator"):
        compress(None, model, X, y)
