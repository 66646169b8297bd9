"""The laws of pruning: exactly as many zeros as asked for, and the smallest weights."""
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_allclose, assert_array_equal
from strategies import rngs

from tinyml import Tensor, nn
from tinyml.compression.pruning import (
    _global_masks_without_sorting,
    cubic_sparsity,
    global_masks,
    magnitude_mask,
    prunable_weights,
    prune,
    random_mask,
    sparsity,
    threshold_mask,
)
from tinyml.compression.quantization import quantize_weights

SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
weights = hnp.arrays(np.float32, SHAPES, elements=st.integers(-4, 4))    # with many ties
amounts = st.floats(0, 1) | st.sampled_from([0.25, 0.5, 0.75])    # half a weight now and then


def mlp(rng):
    return nn.Sequential(nn.Linear(5, 4, rng=rng), nn.ReLU(), nn.Linear(4, 3, rng=rng))


# ------------------------------------------------------------ masks

@given(weights, amounts)
@example(np.arange(5, dtype=np.float32), 0.5)    # 2.5 is rounded to 2
@example(np.tile(np.float32([1, 0, 2]), 90), 0.5)    # so many ties that only a stable sort leaves them in order
def test_exactly_the_amount_goes_and_it_is_the_smallest(weight, amount):
    before = weight.copy()
    mask = magnitude_mask(weight, amount=amount)
    assert mask.shape == weight.shape and mask.dtype == bool and (weight == before).all()
    assert (~mask).sum() == round(amount * weight.size)
    size = np.abs(weight)
    assert size[~mask].max(initial=0) <= size[mask].min(initial=np.inf)
    for tie in np.unique(size):    # of equal ones the earlier go: False ... False True ... True
        assert (np.diff(mask[size == tie].astype(int)) >= 0).all()


@given(weights, amounts, amounts)
def test_masks_nest_as_the_amount_grows(weight, a, b):
    less, more = (magnitude_mask(weight, amount=amount) for amount in sorted((a, b)))
    assert (less | ~more).all()


@given(weights, st.integers(1, 9), st.sampled_from([-100, -1, 1, 100]), amounts)
def test_scale_and_sign_do_not_matter(weight, c, power, amount):
    """Of numbers so small or large, too, that a float32 does not hold their squares."""
    scaled = magnitude_mask(-weight * np.float32(c) * np.float32(2.0) ** power, amount=amount)
    assert_array_equal(scaled, magnitude_mask(weight, amount=amount))


@given(st.lists(weights, min_size=1, max_size=3), amounts)
def test_global_masks_are_one_mask_of_all_weights_concatenated(arrays, amount):
    parts = global_masks(arrays, amount=amount)
    assert isinstance(parts, list)
    assert [m.shape for m in parts] == [a.shape for a in arrays]
    sizes, keep = (np.concatenate([a.ravel() for a in some]) for some in (map(np.abs, arrays), parts))
    assert (~keep).sum() == round(amount * keep.size)
    assert sizes[~keep].max(initial=0) <= sizes[keep].min(initial=np.inf)    # of all layers, not of each
    together = magnitude_mask(np.concatenate([a.ravel() for a in arrays]), amount=amount)
    assert_array_equal(keep, together)
    for ours, fast in zip(parts, _global_masks_without_sorting(arrays, amount), strict=True):
        assert_array_equal(ours, fast, strict=True)


@given(amounts)
def test_without_layers_there_are_no_global_masks(amount):
    assert global_masks([], amount=amount) == []


@given(st.lists(weights, max_size=3), st.sampled_from([np.nan, np.inf, -np.inf]), amounts)
def test_global_masks_say_which_layer_is_not_finite(arrays, bad, amount):
    with pytest.raises(ValueError, match=rf"global_masks: arrays\[{len(arrays)}\] must be finite"):
        global_masks([*arrays, [bad]], amount=amount)


@given(rngs, st.integers(1, 30), amounts)
def test_without_ties_the_notes_threshold_gives_the_same_mask(rng, d, amount):
    weight = rng.permutation(np.arange(1, d + 1)) * rng.choice([-1.0, 1.0], d)
    mask = magnitude_mask(weight, amount=amount)
    tau = np.abs(weight[mask]).min(initial=d + 1)
    assert_array_equal(threshold_mask(weight, threshold=tau), mask, strict=True)


@given(rngs, st.integers(0, 5))
def test_a_threshold_keeps_what_is_as_large_or_larger_of_either_sign(rng, tau):
    weight = rng.permutation(np.arange(-6, 6)).reshape(3, 4)
    mask = threshold_mask(weight, threshold=tau)
    assert_array_equal(mask, [[w >= tau or w <= -tau for w in row] for row in weight.tolist()], strict=True)
    near = [np.nextafter(tau + 1, 0), tau + 1, np.nextafter(tau + 1, 9)]    # a neighbour is not the same
    assert threshold_mask(near, threshold=tau + 1).tolist() == [False, True, True]
    assert threshold_mask(-tau - 1, threshold=tau + 1).shape == ()


@given(rngs, SHAPES, amounts)
@example(np.random.default_rng(0), (5,), 0.5)
def test_a_random_mask_has_exactly_the_amount_of_zeros(rng, shape, amount):
    mask = random_mask(shape, amount=amount, rng=rng)
    assert mask.shape == shape and (~mask).sum() == round(amount * mask.size)


def test_every_subset_is_equally_likely_in_a_random_mask():
    """2,000 masks of 10 with 3 zeros: each count is binomial, within 5 standard deviations."""
    rng = np.random.default_rng(0)
    zeros = np.array([~random_mask((2, 5), amount=0.3, rng=rng) for _ in range(2000)]).reshape(-1, 10).astype(int)
    assert (zeros.sum(axis=1) == 3).all()
    both = zeros.T @ zeros    # how often two places go together; on its diagonal, how often each goes
    p = np.where(np.eye(10), 3 / 10, 3 / 10 * 2 / 9)
    assert (np.abs(both - 2000 * p) < 5 * np.sqrt(2000 * p * (1 - p))).all()


@given(st.integers(0, 2 ** 32), amounts)
def test_a_random_mask_comes_from_its_rng_alone(seed, amount):
    first, again = (random_mask((6, 9), amount=amount, rng=np.random.default_rng(seed)) for _ in range(2))
    assert_array_equal(first, again)


@given(st.floats(0, 1), st.floats(0, 1), st.floats(-5, 5), st.floats(0.1, 10))
def test_the_schedule_goes_from_one_end_to_the_other_ever_slower(initial, final, start, length):
    t = np.linspace(start - 1, start + length + 1, 50)
    s = cubic_sparsity(t, initial=initial, final=final, t_start=start, t_end=start + length)
    assert np.allclose(s[t <= start], initial, rtol=0, atol=1e-15)
    assert np.allclose(s[t >= start + length], final, rtol=0, atol=1e-15)
    inside = np.diff(s[(t >= start) & (t <= start + length)])
    assert (np.sign(inside) * np.sign(final - initial) >= 0).all()
    assert (np.diff(np.abs(inside)) <= 1e-12).all()
    middle = cubic_sparsity(start + length / 2, initial=initial, final=final, t_start=start,
                            t_end=start + length)
    np.testing.assert_allclose(middle, final + (initial - final) / 8, atol=1e-12)


@given(rngs)
def test_the_schedule_is_that_of_the_paper_step_by_step(rng):
    (initial, final), start, length = rng.random(2), rng.uniform(-5, 5), rng.uniform(1, 10)
    t = rng.uniform(start - 5, start + length + 5, 20)
    expected = [initial if step < start else final if step > start + length
                else final + (initial - final) * (1 - (step - start) / length) ** 3 for step in t.tolist()]
    s = cubic_sparsity(t, initial=initial, final=final, t_start=start, t_end=start + length)
    np.testing.assert_allclose(s, expected, atol=1e-12)
    again = cubic_sparsity(t.tolist(), initial=initial, final=final, t_start=start, t_end=start + length)
    assert_array_equal(again, s, strict=True)


# ------------------------------------------------------------ models

@settings(max_examples=20)
@given(rngs, st.floats(0, 0.99), st.sampled_from(["global", "layer", "random"]))
def test_pruning_a_model_zeroes_the_mask_and_touches_nothing_else(rng, amount, method):
    model = mlp(rng)
    before = model.state_dict()
    masks = prune(model, amount=amount, method=method, rng=rng)
    assert list(masks) == ["0.weight", "2.weight"]
    for path, after in model.state_dict().items():
        mask = masks.get(path, np.ones(after.shape, bool))
        assert after[mask].tobytes() == before[path][mask].tobytes() and not after[~mask].any()
    gone = (sum((~m).sum() for m in masks.values()), [(~m).sum() for m in masks.values()])
    assert gone[0] == round(amount * 32) if method == "global" else gone[1] == [round(amount * 20),
                                                                               round(amount * 12)]
    assert abs(sparsity(model) - gone[0] / 32) < 1e-12


@given(rngs, st.lists(st.floats(0, 0.95), min_size=2, max_size=5), st.data())
def test_pruning_in_steps_brings_nothing_back_and_counts_all_weights(rng, steps, data):
    model, dead = mlp(rng), np.zeros(2, int)
    before = {path: np.ones(p.shape, bool) for path, p in prunable_weights(model).items()}
    for amount in steps:
        method = data.draw(st.sampled_from(["global", "layer", "random"]))
        masks = prune(model, amount=amount, method=method, rng=rng)
        assert all((before[path] | ~mask).all() for path, mask in masks.items())
        gone = np.array([(~mask).sum() for mask in masks.values()])
        if method == "global":
            assert gone.sum() == max(round(amount * 32), dead.sum())
        else:
            assert_array_equal(gone, np.maximum([round(amount * 20), round(amount * 12)], dead))
        before, dead = masks, gone


@settings(max_examples=20)
@given(rngs)
def test_a_random_choice_among_the_living_is_fair(rng):
    """Of the weights that an earlier step left, each goes with the same probability."""
    gone = np.zeros(20)
    for _ in range(200):
        model = nn.Linear(20, 1, bias=False, rng=rng)
        model.weight.data[:, :8] = 0
        gone += ~prune(model, amount=0.7, method="random", rng=rng)["weight"][0]
    assert (gone[:8] == 200).all()    # of the other 12 half, 100 times of 200 +- 7.1
    assert (np.abs(gone[8:] - 100) < 6 * 7.1).all()


def test_convolutions_are_pruned_shared_weights_once_and_computed_ones_not():
    rng = np.random.default_rng(0)
    model = nn.Sequential(nn.Conv2d(1, 2, 3, rng=rng), nn.Linear(3, 3, rng=rng), nn.Linear(3, 3, rng=rng))
    model[2].weight = model[1].weight
    assert list(prunable_weights(model)) == ["0.weight", "1.weight"]
    quantized = quantize_weights(nn.Sequential(model[0]), bits=4)[0].weight
    model[0].weight = quantized
    assert list(prunable_weights(model)) == ["1.weight"]
    codes, zeros = quantized.codes.copy(), np.count_nonzero(quantized.codes == 0)
    with pytest.warns(UserWarning, match=r"^prune: left as they are: 0.weight \(computed already, by Deq"):
        prune(model, amount=5 / 9)
    assert_array_equal(quantized.codes, codes)
    assert_allclose(sparsity(model), (zeros + 5) / 27)


def test_a_layer_may_lose_all_its_weights():
    model = mlp(np.random.default_rng(0))
    model[0].weight.data = model[0].weight.data / 1e6
    prune(model, amount=20 / 32)
    assert not model[0].weight.data.any() and model[2].weight.data.all()
    assert np.isfinite(model(Tensor(np.ones((2, 5), np.float32))).data).all()


# ------------------------------------------------------------ errors

MODEL = mlp(np.random.default_rng(0))
ERRORS = {
    "global_masks: arrays[1] must be finite":
        (ValueError, lambda: global_masks([[1], [np.inf]], amount=0.5)),
    "cubic_sparsity: t_end must be float > t_start with t_start = 0":
        (ValueError, lambda: cubic_sparsity(1, final=0.9, t_end=0)),
    "prune: model must have a weight, a parameter with two or more axes, got ReLU without":
        (ValueError, lambda: prune(nn.ReLU(), amount=0)),
    "prunable_weights: model must have a weight": (ValueError, lambda: prunable_weights(nn.ReLU())),
    "sparsity: model must have a weight": (ValueError, lambda: sparsity(nn.BatchNorm1d(2))),
    "prune: rng must be": (TypeError, lambda: prune(MODEL, amount=0.5, method="random")),
}


@pytest.mark.parametrize("message", ERRORS)
def test_an_error_names_function_argument_requirement_and_value(message):
    kind, call = ERRORS[message]
    with pytest.raises(kind) as error:
        call()
    assert str(error.value).startswith(message)
