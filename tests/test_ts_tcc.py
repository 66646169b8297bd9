"""The laws of TS-TCC: the negatives, what a prediction may use, what each weight trains."""
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from strategies import rngs

from tinyml import Tensor, gradcheck
from tinyml.optim import Adam
from tinyml.selfsupervised.augmentations import compose
from tinyml.selfsupervised.series import jitter, make_activities, permute, scale
from tinyml.selfsupervised.ts_tcc import (
    TSTCC,
    Context,
    MeanOverTime,
    SeriesEncoder,
    contrast,
    pretrain,
    temporal_contrast,
)

sizes = st.integers(1, 5)
temperatures = st.floats(-1.3, 1).map(lambda power: 10 ** power)
WEAK = compose(jitter(strength=0.3), scale(strength=0.3))
STRONG = compose(permute(segments=4), jitter(strength=0.3))


def model_of(rng, *, dim=8, steps=2, sensors=3):
    return TSTCC(SeriesEncoder(sensors, dim, rng=rng), dim, steps=steps, rng=rng)


def in_float64(module):
    for p in module.parameters():
        p.data = p.data.astype(np.float64)
    return module


# ------------------------------------------------------------ temporal contrasting

@given(rng=rngs, B=sizes, K=sizes, D=sizes, T=temperatures)
def test_temporal_contrast_is_the_sum_of_its_docstring_in_a_slow_loop(rng, B, K, D, T):
    predicted, future = rng.standard_normal((2, B, K, D))

    def cos(u, v):
        return u @ v / math.sqrt((u @ u) * (v @ v))
    total = 0
    for k in range(K):
        for i in range(B):
            terms = [math.exp(cos(predicted[i, k], future[j, k]) / T) for j in range(B)]
            total -= math.log(terms[i] / sum(terms)) / (B * K)
    loss = temporal_contrast(predicted, future, temperature=T).item()
    assert_allclose(loss, total, rtol=1e-12, atol=1e-14 / T)    # logits of 1/T, right to a few eps


@settings(max_examples=10)
@given(rng=rngs, B=sizes, K=sizes)
def test_its_gradient_is_its_slope_and_lengths_do_not_matter(rng, B, K):
    predicted, future = rng.standard_normal((2, B, K, 4))

    def loss(p, f):
        return temporal_contrast(p, f, temperature=0.5)
    assert gradcheck(loss, predicted, future, rng=rng)
    lengths = rng.uniform(0.1, 10, (2, B, K, 1))
    longer = loss(lengths[0] * predicted, lengths[1] * future)
    assert_allclose(longer.item(), loss(predicted, future).item(), atol=1e-12)


@given(rng=rngs, B=sizes, K=sizes, T=temperatures)
def test_at_chance_it_is_the_logarithm_of_the_batch(rng, B, K, T):
    same = np.tile(rng.standard_normal(4), (B, K, 1))
    assert_allclose(temporal_contrast(same, same, temperature=T).item(), math.log(B), atol=1e-13 / T)


# ------------------------------------------------------------ the networks

@given(rng=rngs, length=st.integers(1, 80), B=st.integers(1, 3), C=st.integers(1, 3))
def test_the_receptive_field_of_the_encoder_is_33_times(rng, length, B, C):
    encoder = SeriesEncoder(C, 4, rng=rng).eval()
    x = rng.standard_normal((B, C, length)).astype(np.float32)
    z = encoder(Tensor(x)).data
    assert z.shape == (B, -(-length // 8), 4)
    t = int(rng.integers(z.shape[1]))
    outside = np.abs(np.arange(length) - 8 * t) > 16
    x[:, :, outside] += rng.standard_normal((B, C, outside.sum())).astype(np.float32)
    assert_allclose(encoder(Tensor(x)).data[:, t], z[:, t], atol=1e-5)
    assert_allclose(MeanOverTime()(Tensor(z)).data, z.mean(axis=1), atol=1e-6)


def test_the_receptive_field_includes_its_ends():
    encoder = SeriesEncoder(1, 8, rng=np.random.default_rng(0)).eval()
    for p in encoder.parameters():
        p.data = np.abs(p.data)    # nothing cancels, no unit is off
    x = np.zeros((1, 1, 80), np.float32)
    x[0, 0, [40 - 16, 40 + 16]] = 1
    both, none = encoder(Tensor(x)).data, encoder(Tensor(0 * x)).data
    x[0, 0, 40 + 16] = 0
    one = encoder(Tensor(x)).data
    assert (both[0, 5] > one[0, 5]).all() and (one[0, 5] > none[0, 5]).all()


@settings(max_examples=25)
@given(rng=rngs, B=st.integers(1, 3), t=sizes)
def test_a_context_depends_on_all_of_its_past_but_not_on_the_order(rng, B, t):
    """No positions, as in the paper. And no sample meets another."""
    context, z = in_float64(Context(8, rng=rng)), rng.standard_normal((B, t, 8))
    c = context(Tensor(z)).data
    assert c.shape == (B, 8)
    assert_allclose(context(Tensor(z[:, rng.permutation(t)])).data, c, atol=1e-12)
    for i in range(t):
        other = z.copy()
        other[0, i] += rng.standard_normal(8)    # a constant would be lost on the layer norm
        moved = context(Tensor(other)).data
        assert np.abs(moved[0] - c[0]).max() > 1e-9
        assert_allclose(moved[1:], c[1:], atol=1e-12)


# ------------------------------------------------------------ what predicts what

@st.composite
def encodings(draw):
    """A model in float64, encodings of both views, and where their past ends."""
    rng, B, K = draw(rngs), draw(st.integers(2, 4)), draw(st.integers(1, 3))
    model = in_float64(model_of(rng, steps=K))
    length = K + draw(st.integers(1, 4))
    return model, rng.standard_normal((2, B, length, 8)), draw(st.integers(1, length - K))


@settings(max_examples=25)
@given(problem=encodings())
def test_the_past_of_one_view_predicts_the_future_of_the_other_and_nothing_else_is_used(problem):
    model, z, t = problem
    touched = {}
    for name in ("from_weak", "from_strong", "contextual"):
        tensors = [Tensor(part, requires_grad=True) for part in z]
        getattr(contrast(model, *tensors, t=t, temperature=5), name).backward()    # soft: no gradient vanishes
        touched[name] = [np.abs(x.grad).max(axis=(0, 2)) > 1e-12 for x in tensors]
    time = np.arange(z.shape[2])
    past, future = time < t, (t <= time) & (time < t + model.steps)
    assert_array_equal(touched["from_weak"], [past, future])
    assert_array_equal(touched["from_strong"], [future, past])
    assert_array_equal(touched["contextual"], [past, past])


@settings(max_examples=25)
@given(problem=encodings())
def test_exchanging_views_or_samples_exchanges_the_losses(problem):
    model, (a, b), t = problem
    losses, swapped = (contrast(model, Tensor(u), Tensor(v), t=t, temperature=0.5) for u, v in ((a, b), (b, a)))
    assert_allclose([swapped.from_strong.item(), swapped.from_weak.item(), swapped.contextual.item()],
                    [loss.item() for loss in losses], atol=1e-12)
    reverse = contrast(model, Tensor(a[::-1].copy()), Tensor(b[::-1].copy()), t=t, temperature=0.5)
    assert_allclose([loss.item() for loss in reverse], [loss.item() for loss in losses], atol=1e-12)


@settings(max_examples=25)
@given(problem=encodings())
def test_the_matrix_of_step_k_predicts_step_k(problem):
    """With W_k = 0 but for one k, only that step of the future has a gradient."""
    model, (a, b), t = problem
    k = model.steps - 1
    weight = model.predict.weight.data.reshape(model.steps, 8, 8).copy()
    weight[:k] = 0
    model.predict.weight.data = weight.reshape(-1, 8)
    future = Tensor(b, requires_grad=True)
    contrast(model, Tensor(a), future, t=t, temperature=0.5).from_weak.backward()
    moved = np.abs(future.grad).max(axis=(0, 2)) > 1e-12
    assert_array_equal(np.flatnonzero(moved), [t + k])


@given(rng=rngs, B=st.integers(1, 5))
def test_equal_series_leave_both_losses_at_chance(rng, B):
    model = in_float64(model_of(rng))
    z = Tensor(np.tile(rng.standard_normal((1, 6, 8)), (B, 1, 1)))
    losses = contrast(model, z, z, t=3, temperature=0.2)
    assert_allclose([loss.item() for loss in losses], [math.log(B), math.log(B), math.log(2 * B - 1)], atol=1e-10)


# ------------------------------------------------------------ training

def trained(seed=0, *, n=24, batch_size=8, epochs=2, lr=3e-3, **options):
    rng = np.random.default_rng(seed)
    X, _ = make_activities(n, length=64, rng=rng)
    model = model_of(rng, dim=16)
    before = {name: p.data.copy() for name, p in model.named_parameters()}
    kept = X.copy()
    history = pretrain(model, X, weak=WEAK, strong=STRONG, rng=rng, epochs=epochs, batch_size=batch_size,
                       optimizer=Adam(model.parameters(), lr=lr), **options)
    assert_array_equal(X, kept)
    moved = {name.split(".")[0] for name, p in model.named_parameters() if (p.data != before[name]).any()}
    return model, history, moved


def test_the_loss_is_the_weighted_sum_and_each_weight_moves_its_own_head():
    for lambda1, lambda2, moves in ((1, 0.7, {"encoder", "context", "predict", "project"}), (0, 0, set()),
                                    (2, 0, {"encoder", "context", "predict"}),
                                    (0, 3, {"encoder", "context", "project"})):
        model, history, moved = trained(lambda1=lambda1, lambda2=lambda2)
        assert moved == moves
        assert not model.training and [row["epoch"] for row in history] == [1, 2]
        for row in history:    # equal batches: the mean over batches is that over samples
            expected = 2 * lambda1 * row["temporal"] + lambda2 * row["contextual"]
            assert_allclose(row["loss"], expected, rtol=1e-5, atol=1e-6)


def test_the_weights_of_the_paper_are_the_default_and_seeds_repeat():
    (a, history, _), (b, again, _) = trained(3), trained(3, lambda1=1, lambda2=0.7, temperature=0.2)
    assert history == again
    for p, q in zip(a.parameters(), b.parameters()):
        assert_array_equal(p.data, q.data)
    assert p.dtype == np.float32


def test_training_gets_below_chance():
    """A random encoder has an expected loss of at least ln B and ln(2B - 1) (Jensen)."""
    _, history, _ = trained(n=96, batch_size=16, epochs=12)
    assert history[-1]["temporal"] < math.log(16) - 0.3
    assert history[-1]["contextual"] < math.log(31) - 0.3


def test_every_length_of_the_past_occurs_and_a_batch_may_hold_one_series():
    """64 times give T' = 8, K = 2: t in 1..6. A batch of one has nothing to tell apart: loss 0."""
    seen, rng = set(), np.random.default_rng(0)
    X, _ = make_activities(9, length=64, rng=rng)
    model = model_of(rng)
    context = model.context
    class Watched(Context):
        def forward(self, z):
            seen.add(z.shape[1])
            return super().forward(z)
    model.context = Watched(8, rng=rng)
    model.context.load_state_dict(context.state_dict())
    options = dict(weak=WEAK, strong=STRONG, rng=rng, optimizer=Adam(model.parameters(), lr=1e-3))
    history = pretrain(model, X, epochs=1, batch_size=4, **options)    # 4, 4, 1
    assert np.isfinite(list(history[0].values())).all()
    history = pretrain(model, X, epochs=5, batch_size=1, **options)    # 45 draws miss one of 6: 2e-3, and seeded
    assert all(abs(row["loss"]) < 1e-5 for row in history)
    assert seen == {1, 2, 3, 4, 5, 6}
    assert pretrain(model, X, epochs=0, batch_size=4, **options) == []


def test_the_encoder_gets_the_weak_view_first():
    seen = []

    class Watched(SeriesEncoder):
        def forward(self, x):
            seen.append(float(x.data.mean()))
            return super().forward(x)

    rng = np.random.default_rng(0)
    model = TSTCC(Watched(1, 8, rng=rng), 8, steps=1, rng=rng)
    pretrain(model, np.zeros((4, 1, 32), np.float32), weak=lambda x, rng: x + 1, strong=lambda x, rng: x + 2, rng=rng,
             optimizer=Adam(model.parameters(), lr=0), epochs=1, batch_size=2)
    assert seen == [1, 2, 1, 2]


def test_a_callback_sees_both_losses_and_may_stop_the_training():
    rows = []

    def stop(model, row):
        rows.append(dict(row))
        return len(rows) == 2
    _, history, _ = trained(epochs=5, callbacks=[stop])
    assert history == rows and rows[0].keys() == {"epoch", "loss", "temporal", "contextual"}


# ------------------------------------------------------------ what is refused

RNG = np.random.default_rng(0)
MODEL = model_of(RNG)
Z = Tensor(np.ones((2, 5, 8), np.float32))
ERRORS = {
    "contrast: t must be in 1..n-K = 3, got 4, with n = 5 encodings and K = 2 steps; longer":
        lambda: contrast(MODEL, Z, Z, t=4, temperature=1),
    "contrast: t must be in 1..n-K = -1, got 1, with n = 1 encodings and K = 2 steps; longer":
        lambda: pretrain(MODEL, np.ones((2, 3, 8), np.float32), weak=WEAK, strong=STRONG, rng=RNG,
                         optimizer=Adam(MODEL.parameters(), lr=0), epochs=1, batch_size=2),
    "TSTCC: views must have shape (B, 2, C, T), got (2, 5, 8)": lambda: MODEL(Z),
}


@pytest.mark.parametrize("message", ERRORS)
def test_an_error_names_function_argument_requirement_and_value(message):
    with pytest.raises(ValueError) as error:
        ERRORS[message]()
    assert str(error.value).startswith(message)
