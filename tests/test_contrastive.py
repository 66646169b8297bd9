"""The laws of contrastive losses: who is a negative, what does not change them, where gradients point."""
import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from strategies import rngs

from tinyml import Tensor, gradcheck
from tinyml.selfsupervised.contrastive import (
    alignment,
    info_nce,
    nt_xent,
    similarities,
    uniformity,
)

EPS, EPS32 = np.finfo(np.float64).eps, np.finfo(np.float32).eps
usual = st.floats(0.05, 10)
any_temperature = st.sampled_from([1e-4, 1e4]) | st.floats(-4, 4).map(lambda power: 10 ** power)


@st.composite
def views(draw, n=2, dtype=np.float64, rows=st.integers(1, 5), least_dims=1):
    """n arrays of one shape (B, D), no row shorter than 1/4; now and then two are parallel."""
    rng, B, D = draw(rngs), draw(rows), draw(st.integers(least_dims, 5))
    z = rng.standard_normal((n, B, D))
    z += np.sign(z) / 4
    if draw(st.booleans()):
        z[-1, 0] = rng.choice([-2, 2]) * z[0, -1]
    return tuple(z.astype(dtype))


def with_gradients(loss, *arrays, **options):
    """The loss, a number, and its gradient in each of the arrays."""
    tensors = [Tensor(z, requires_grad=True) for z in arrays]
    value = loss(*tensors, **options)
    value.backward()
    assert value.shape == () and value.dtype == arrays[0].dtype
    assert all(t.grad.dtype == z.dtype for t, z in zip(tensors, arrays))
    return value.item(), [t.grad for t in tensors]


def cos(u, v):
    length = math.sqrt(sum(a * a for a in u)) * math.sqrt(sum(a * a for a in v))
    return sum(a * b for a, b in zip(u, v)) / length if length else 0.0


def one_among(positive, negatives, T):
    """-ln(e^(s+ / T) / (e^(s+ / T) + sum e^(s- / T))): one term of every loss here, in a slow loop."""
    same = math.exp(positive / T)
    return -math.log(same / (same + sum(math.exp(s / T) for s in negatives)))


def nt_xent_slowly(z1, z2, T):
    z, B = [*z1.tolist(), *z2.tolist()], len(z1)
    total = 0
    for i in range(2 * B):
        p = i + B if i < B else i - B
        total += one_among(cos(z[i], z[p]), [cos(z[i], z[k]) for k in range(2 * B) if k not in (i, p)], T)
    return total / (2 * B)


# ------------------------------------------------------------ NT-Xent

@given(z=views(), rng=rngs)
def test_similarities_are_the_cosines_of_all_pairs_of_rows(z, rng):
    a, b = z[0], rng.permutation(z[1])[:rng.integers(len(z[1]) + 1)]    # fewer rows, or none
    expected = np.reshape([cos(u, v) for u in a for v in b], (len(a), len(b)))
    assert_allclose(similarities(a, b).data, expected, rtol=0, atol=10 * EPS)


@given(z=views(), T=usual)
def test_nt_xent_is_equation_10_1_in_a_slow_loop(z, T):
    assert_allclose(nt_xent(*z, temperature=T).item(), nt_xent_slowly(*z, T), rtol=1e-12, atol=1e-12)


@settings(max_examples=10)
@given(z=views(rows=st.integers(2, 4), least_dims=2), T=st.floats(0.2, 10))
def test_its_gradient_is_its_slope(z, T):
    """Of two pairs or more: the loss of one is a constant, whose difference quotient is rounding alone."""
    assert gradcheck(lambda a, b: nt_xent(a, b, temperature=T), *z, rng=np.random.default_rng(0))


@given(z=views(), T=usual, rng=rngs)
def test_lengths_order_and_which_view_comes_first_do_not_matter(z, T, rng):
    """Each cosine is rounded by a few eps, which T magnifies."""
    z1, z2 = z
    slack = 50 * EPS * (1 + 1 / T)
    loss, (g1, g2) = with_gradients(nt_xent, z1, z2, temperature=T)
    lengths = 10 ** rng.uniform(-11, 6, (2, len(z1), 1))    # none below 1e-12, which counts as zero
    longer, (h1, h2) = with_gradients(nt_xent, lengths[0] * z1, lengths[1] * z2, temperature=T)
    assert_allclose(longer, loss, rtol=0, atol=slack)
    assert_allclose(h1 * lengths[0], g1, rtol=0, atol=slack / T)    # twice as long turns half as fast
    assert_allclose(h2 * lengths[1], g2, rtol=0, atol=slack / T)
    order, swap = rng.permutation(len(z1)), rng.random((len(z1), 1)) < 0.5
    assert_allclose(nt_xent(z1[order], z2[order], temperature=T).item(), loss, rtol=0, atol=slack)
    some = np.where(swap, z2, z1), np.where(swap, z1, z2)
    assert_allclose(nt_xent(*some, temperature=T).item(), loss, rtol=0, atol=slack)
    Q = np.linalg.qr(rng.standard_normal((z1.shape[1],) * 2))[0]
    assert_allclose(nt_xent(z1 @ Q, z2 @ Q, temperature=T).item(), loss, rtol=0, atol=slack)


@given(z=views(), T=any_temperature, dtype=st.sampled_from([np.float32, np.float64]))
def test_the_gradient_is_orthogonal_to_each_embedding(z, T, dtype):
    """It is projected, which leaves a few eps of the gradient in u, at most 4 / T per row."""
    z = [a.astype(dtype) for a in z]
    for a, g in zip(z, with_gradients(nt_xent, *z, temperature=T)[1]):
        assert (np.abs((a * g).sum(axis=1)) <= 50 * np.finfo(dtype).eps / T).all()


@given(z=views(), T=any_temperature, dtype=st.sampled_from([np.float32, np.float64]))
def test_equal_embeddings_have_the_loss_of_chance(z, T, dtype):
    """ln(2B - 1), as the 2B - 1 others are in the sum."""
    B, D = z[0].shape
    same = np.repeat(z[0][:1], B, axis=0).astype(dtype)
    slack = 10 * D * np.finfo(dtype).eps * (1 + 1 / T)
    loss, gradients = with_gradients(nt_xent, same, 3 * same, temperature=T)
    assert_allclose(loss, math.log(2 * B - 1), rtol=0, atol=slack + 1e-6 * (dtype is np.float32))
    assert np.abs(gradients).max() <= 2 * slack / (T * np.linalg.norm(same[0]))    # by symmetry nothing moves


@given(B=st.integers(1, 6), T=usual)
def test_values_that_can_be_computed_by_hand(B, T):
    one = np.eye(B)
    learned = math.log1p((2 * B - 2) * math.exp(-1 / T))    # views coincide, things are orthogonal
    assert_allclose(nt_xent(one, one, temperature=T).item(), learned, rtol=1e-12, atol=1e-14)
    away = math.log(1 + (2 * B - 2) * math.exp(1 / T))      # views are opposite, things orthogonal
    assert_allclose(nt_xent(one, -one, temperature=T).item(), away, rtol=1e-12)


@given(z=views(), T=any_temperature)
def test_it_keeps_its_bounds_at_any_temperature(z, T):
    """-1 <= s <= 1, so each ratio of the sum's terms is within e^(-2/T) and e^(2/T)."""
    B, slack = len(z[0]), 50 * EPS * (1 + 1 / T)
    loss = nt_xent(*z, temperature=T).item()
    assert math.log1p((2 * B - 2) * math.exp(-2 / T)) - slack <= loss
    assert abs(loss - math.log(2 * B - 1)) <= 2 / T + slack


@given(z=views(rows=st.just(1)), T=any_temperature, dtype=st.sampled_from([np.float32, np.float64]))
def test_a_batch_of_one_has_no_negatives_and_nothing_to_learn(z, T, dtype):
    loss, gradients = with_gradients(nt_xent, *(a.astype(dtype) for a in z), temperature=T)
    assert loss == 0
    assert_array_equal(gradients, np.zeros((2, *z[0].shape)))


@given(z=views(dtype=np.float32), T=any_temperature)
def test_float32_stays_near_float64_at_any_temperature(z, T):
    """Cosines are wrong by D + 4 eps or so, the loss by twice that over T, gradients by that over T again."""
    exact, true = with_gradients(nt_xent, *(a.astype(float) for a in z), temperature=T)
    loss, gradients = with_gradients(nt_xent, *z, temperature=T)
    D = z[0].shape[1]
    slack = 2 * (D + 4) * EPS32 * (1 + 1 / T)
    assert_allclose(loss, exact, rtol=5 * EPS32, atol=slack)
    shortest = np.linalg.norm(np.array(z), axis=-1).min()
    for g, h in zip(gradients, true):
        assert_allclose(g, h, rtol=0, atol=8 * slack / (T * shortest))


@given(z=views(dtype=np.float32), T=usual, rng=rngs)
def test_zero_vectors_are_orthogonal_to_all(z, T, rng):
    zero = rng.random((2, len(z[0]), 1)) < 0.5
    z = np.where(zero, np.float32(0), z)
    loss, gradients = with_gradients(nt_xent, *z, temperature=T)
    assert_allclose(loss, nt_xent_slowly(*z, T), rtol=1e-5, atol=30 * EPS32 / T)
    assert np.isfinite(gradients).all()


# ------------------------------------------------------------ InfoNCE

@given(z=views(n=3), T=usual, k=st.integers(0, 5))
def test_info_nce_is_its_formula_in_a_slow_loop(z, T, k):
    query, positive, negatives = z[0], z[1], z[2][:k]
    same = [cos(q, p) for q, p in zip(query, positive)]
    queue = [one_among(s, [cos(q, v) for v in negatives], T) for s, q in zip(same, query)]
    batch = [one_among(same[i], [cos(q, p) for j, p in enumerate(positive) if j != i], T)
             for i, q in enumerate(query)]
    near = dict(rtol=1e-12, atol=1e-12)
    assert_allclose(info_nce(query, positive, negatives, temperature=T).item(), np.mean(queue), **near)
    assert_allclose(info_nce(query, positive, temperature=T).item(), np.mean(batch), **near)


@settings(max_examples=10)
@given(z=views(n=3, rows=st.integers(2, 4), least_dims=2), T=st.floats(0.2, 10))
def test_its_gradients_are_slopes_in_all_three(z, T):
    rng = np.random.default_rng(0)
    assert gradcheck(lambda *a: info_nce(*a, temperature=T), *z, rng=rng)
    assert gradcheck(lambda *a: info_nce(*a, temperature=T), *z[:2], rng=rng)


@given(z=views(n=3), T=any_temperature, k=st.integers(0, 5), dtype=st.sampled_from([np.float32, np.float64]))
def test_info_nce_keeps_its_bounds_at_any_temperature(z, T, k, dtype):
    """As for NT-Xent: each ratio of the sum's terms is within e^(-2/T) and e^(2/T)."""
    query, positive, negatives = (a.astype(dtype) for a in z)
    slack = 50 * np.finfo(dtype).eps * (1 + 1 / T)
    for others, n in ((negatives[:k], len(negatives[:k])), (None, len(query) - 1)):
        options = {} if others is None else dict(negatives=others)
        loss, gradients = with_gradients(lambda q, p: info_nce(q, p, temperature=T, **options), query, positive)
        assert math.log1p(n * math.exp(-2 / T)) - slack <= loss
        assert abs(loss - math.log1p(n)) <= 2 / T + slack
        assert np.isfinite(gradients).all()


@given(z=views(), T=usual)
def test_nt_xent_is_info_nce_with_all_other_views_as_negatives(z, T):
    both, B = np.concatenate(z), len(z[0])
    losses = []
    for i in range(2 * B):
        p = (i + B) % (2 * B)
        others = np.delete(both, [i, p], axis=0)
        losses.append(info_nce(both[[i]], both[[p]], others, temperature=T).item())
    assert_allclose(nt_xent(*z, temperature=T).item(), np.mean(losses), rtol=1e-12, atol=1e-13)


@given(z=views(n=3), T=usual, rng=rngs)
def test_more_negatives_never_help_and_lengths_and_order_do_not_matter(z, T, rng):
    query, positive, negatives = z
    slack = 50 * EPS * (1 + 1 / T)
    losses = [info_nce(query, positive, negatives[:k], temperature=T).item() for k in range(len(negatives) + 1)]
    assert losses[0] == 0 and (np.diff(losses) >= -slack).all()
    lengths = 10 ** rng.uniform(-6, 6, (3, len(query), 1))
    query, positive, negatives = (a * b for a, b in zip(z, lengths))
    moved = info_nce(query, positive, rng.permutation(negatives), temperature=T)
    assert_allclose(moved.item(), losses[-1], rtol=0, atol=slack)
    same, more = np.ones((4, 2)), np.ones((6, 2))
    assert_allclose(info_nce(same, same, temperature=T).item(), math.log(4), rtol=slack)
    assert_allclose(info_nce(same, same, more, temperature=T).item(), math.log(7), rtol=slack)


def test_keys_that_are_constants_get_no_gradient():
    q, p, n = (Tensor(z, requires_grad=True) for z in np.eye(6)[None].repeat(3, axis=0))
    info_nce(q, p.detach(), n.detach(), temperature=0.5).backward()
    assert q.grad is not None and p.grad is None and n.grad is None


# ------------------------------------------------------------ alignment and uniformity

@given(z=views(rows=st.integers(2, 5), least_dims=2))
def test_alignment_and_uniformity_are_their_formulas_in_a_slow_loop(z):
    u, v = (a / np.linalg.norm(a, axis=1, keepdims=True) for a in z)
    squares = [sum((a - b) ** 2) for a, b in zip(u, v)]
    kernel = [math.exp(-2 * sum((u[i] - u[j]) ** 2)) for i in range(len(u)) for j in range(len(u)) if i != j]
    assert_allclose(alignment(*z).item(), np.mean(squares), rtol=1e-12, atol=1e-14)
    assert_allclose(uniformity(z[0]).item(), math.log(np.mean(kernel)), rtol=1e-12, atol=1e-14)
    assert gradcheck(alignment, *z, rng=np.random.default_rng(0))
    assert gradcheck(uniformity, z[0], rng=np.random.default_rng(0))


@given(z=views(), T=usual)
def test_nt_xent_is_alignment_and_a_softer_uniformity(z, T):
    """(alignment / 2 - 1) / T + mean_i ln sum_(k != i) e^(s_ik / T): attraction plus repulsion."""
    both = np.concatenate(z)
    u = both / np.linalg.norm(both, axis=1, keepdims=True)
    s = (u @ u.T)[~np.eye(len(u), dtype=bool)].reshape(len(u), -1) / T
    apart = np.log(np.exp(s - s.max(axis=1, keepdims=True)).sum(axis=1)) + s.max(axis=1)
    expected = (alignment(*z).item() / 2 - 1) / T + apart.mean()
    assert_allclose(nt_xent(*z, temperature=T).item(), expected, rtol=0, atol=50 * EPS * (1 + 1 / T))


def test_uniformity_of_the_circle_and_of_the_sphere():
    angle = 2 * np.pi * np.arange(64) / 64
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    with_self = math.exp(-4) * np.i0(4.0)    # the mean over the circle; 64 points are exact to rounding
    assert_allclose(uniformity(circle).item(), math.log((64 * with_self - 1) / 63), rtol=1e-12)
    many = np.random.default_rng(0).standard_normal((500, 200))
    assert abs(uniformity(many).item() - (-4 + 8 / 200)) < 0.01    # s is nearly N(0, 1/D)
    same = uniformity(np.ones((3, 2), np.float32))
    assert abs(same.item()) < 10 * EPS32 and same.dtype == np.float32
