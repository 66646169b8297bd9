"""The laws of softmax, losses, distances, norms, dropout and attention, whatever the numbers."""
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from strategies import (
    AXIS,
    CONV_PADDING,
    COUNT,
    FLAG,
    GENERATOR,
    NO_INT,
    PAIR,
    POOL_PADDING,
    POSITIVE,
    REAL,
    REDUCTION,
    SIZE,
    UNIT,
    Setting,
    all_refused,
    defaults,
    differ,
    optional,
    or_none,
    rngs,
    settings_of,
    some_change,
)

from tinyml import Tensor, gradcheck, ops
from tinyml import functional as F

EPS = np.finfo(np.float64).eps
sizes = st.integers(1, 6)
losses = pytest.mark.parametrize("loss", [F.cross_entropy, F.binary_cross_entropy_with_logits,
                                          F.mse_loss, F.kl_div])


def probabilities(rng, *shape):
    """Strictly positive numbers that sum to 1 over the last axis."""
    p = rng.random(shape) + 0.05
    return p / p.sum(axis=-1, keepdims=True)


def gradient(f, x):
    """df/dx of a scalar f."""
    x = Tensor(x, requires_grad=True)
    f(x).backward()
    return x.grad


# ------------------------------------------------------------ every gradient is a slope

def normals(rng, *shapes):
    return [rng.normal(size=shape) for shape in shapes]


def nonzero(rng, *shape):
    """Numbers at least 1/4 away from 0."""
    return rng.choice([-1, 1], shape) * rng.uniform(0.25, 2, shape)


def distinct(rng, *shape):
    """Numbers without ties, so that a maximum has one place."""
    return rng.permutation(math.prod(shape)).reshape(shape) / 8


SMOOTH = {    # name -> function of (rng, n, c) to (f, inputs away from kinks)
    "avg_pool2d": lambda r, n, c: (lambda x: F.avg_pool2d(x, 2, 1, 1), normals(r, (n, c, 3, 4))),
    "batch_norm": lambda r, n, c: (lambda x, w, b: F.batch_norm(x, None, None, w, b, True, eps=0.1),
                                   normals(r, (n + 1, c, 2), c, c)),
    "binary_cross_entropy_with_logits": lambda r, n, c: (
        F.binary_cross_entropy_with_logits, [*normals(r, (n, c)), r.random((n, c))]),
    "conv1d": lambda r, n, c: (lambda x, w, b: F.conv1d(x, w, b, 2, 1),
                               normals(r, (n, c, 4), (2, c, 3), 2)),
    "conv2d": lambda r, n, c: (lambda x, w, b: F.conv2d(x, w, b, 2, 1),
                               normals(r, (n, c, 4, 3), (2, c, 3, 2), 2)),
    "cosine_similarity": lambda r, n, c: (F.cosine_similarity,
                                          [nonzero(r, n, c), nonzero(r, n, c)]),
    "cross_entropy": lambda r, n, c: (F.cross_entropy,
                                      [*normals(r, (n, c)), probabilities(r, n, c)]),
    "dropout": lambda r, n, c: (lambda x: F.dropout(x, 0.4, rng=np.random.default_rng(n)),
                                normals(r, (n, c))),
    "embedding": lambda r, n, c: (lambda w, i=r.integers(0, n, (4, 2)): F.embedding(i, w),
                                  normals(r, (n, c))),
    "gelu": lambda r, n, c: (lambda x: F.gelu(x, "tanh"), normals(r, (n, c))),
    "kl_div": lambda r, n, c: (lambda q, p: F.kl_div(q, p, "batchmean"),
                               [-r.random((n, c)), probabilities(r, n, c)]),
    "layer_norm": lambda r, n, c: (lambda x, w, b: F.layer_norm(x, (n, c), w, b, 0.1),
                                   normals(r, (2, n, c), (n, c), (n, c))),
    "leaky_relu": lambda r, n, c: (lambda x: F.leaky_relu(x, 0.2), [nonzero(r, n, c)]),
    "log_softmax": lambda r, n, c: (lambda x: F.log_softmax(x, 0), normals(r, (n, c))),
    "max_pool1d": lambda r, n, c: (lambda x: F.max_pool1d(x, 2, 1, 1), [distinct(r, n, c, 4)]),
    "max_pool2d": lambda r, n, c: (lambda x: F.max_pool2d(x, 2, 1, 1), [distinct(r, n, c, 3, 4)]),
    "mse_loss": lambda r, n, c: (F.mse_loss, normals(r, (n, c), (n, c))),
    "normalize": lambda r, n, c: (lambda x: F.normalize(x, 3, 0), [nonzero(r, n, c)]),
    "scaled_dot_product_attention": lambda r, n, c: (
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True),
        normals(r, (2, n, c), (2, n + 1, c), (2, n + 1, 3))),
    "softmax": lambda r, n, c: (lambda x: F.softmax(x, 0), normals(r, (n, c))),
}


def test_every_function_of_its_own_has_a_gradient_row():
    """The others of `__all__` are primitives, and rows of test_ops."""
    assert set(SMOOTH) == {name for name in F.__all__
                           if getattr(F, name).__module__.startswith("tinyml.functional")}


@pytest.mark.parametrize("name", SMOOTH)
@settings(max_examples=8)
@given(rng=rngs, n=sizes, c=sizes)
def test_gradient_is_the_slope(name, rng, n, c):
    f, inputs = SMOOTH[name](rng, n, c)
    assert gradcheck(f, *inputs, rng=rng)


# ------------------------------------------------------------ series

@given(rng=rngs, n=st.integers(0, 3), c=sizes, k=sizes, stride=st.integers(1, 3), padding=st.integers(0, 3))
def test_convolution_and_pooling_of_series_are_the_sums_of_their_definitions(rng, n, c, k, stride, padding):
    x, w, b = normals(rng, (n, c, k + 3), (2, c, k), 2)
    padded = np.pad(x, ((0, 0), (0, 0), (padding, padding)))
    windows = np.stack([padded[:, :, t:t + k] for t in range(0, 4 + 2 * padding, stride)], axis=2)
    expected = np.einsum("nctk,ock->not", windows, w) + b[:, None]    # at most 36 terms of size 1
    assert_allclose(F.conv1d(Tensor(x), Tensor(w), Tensor(b), stride, padding).data, expected, atol=1e-13)
    spread = np.zeros((2, c, 2 * k - 1))
    spread[:, :, ::2] = w
    assert_allclose(F.conv1d(Tensor(x), Tensor(w), None, stride, k, dilation=2).data,
                    F.conv1d(Tensor(x), Tensor(spread), None, stride, k).data, atol=1e-13)
    first, second = (F.conv1d(Tensor(x), Tensor(w[o:o + 1]), None, padding="same").data for o in (0, 1))
    both = F.conv1d(np.concatenate([x, x], axis=1), Tensor(w), None, padding="same", groups=2).data
    assert_allclose(both, np.concatenate([first, second], axis=1), atol=1e-13)
    edge = min(padding, k // 2)
    lowest = np.pad(x, ((0, 0), (0, 0), (edge, edge)), constant_values=-np.inf)
    windows = np.stack([lowest[:, :, t:t + k] for t in range(0, 4 + 2 * edge, stride)], axis=2)
    assert_array_equal(F.max_pool1d(Tensor(x), k, stride, edge).data, windows.max(axis=3))
    assert_array_equal(F.max_pool1d(x, k).data, F.max_pool1d(x, k, k).data)


# ------------------------------------------------------------ softmax

@given(rng=rngs, shape=st.lists(sizes, min_size=1, max_size=3), axis=st.integers(0, 2),
       shift=st.floats(-50, 50))
def test_softmax_is_a_distribution_that_a_shift_does_not_change(rng, shape, axis, shift):
    x, axis = 5 * rng.normal(size=shape), axis % len(shape)
    p = F.softmax(Tensor(x), axis=axis).data
    n = shape[axis]
    assert (p > 0).all()
    # n terms, each e^(x - m) with an exponent that is rounded by eps |x|
    assert_allclose(p.sum(axis=axis), 1, rtol=0, atol=(n + 4 + 2 * np.abs(x).max()) * EPS)
    # x + shift is rounded by eps (|x| + |shift|) / 2; a shift d of exponents is a factor e^(2 d)
    moved = F.softmax(Tensor(x + shift), axis=axis).data
    assert_allclose(moved, p, rtol=2 * EPS * (np.abs(x).max() + abs(shift) + n + 8))
    assert_allclose(F.log_softmax(Tensor(x), axis=axis).data, np.log(p),
                    atol=EPS * (n + 8 * np.abs(x).max()))


def test_softmax_is_finite_and_exact_for_huge_float32_logits():
    z = Tensor(np.array([[1e4, -1e4, 0], [1e4, 1e4, -1e4]], np.float32))
    assert F.softmax(z).data.tolist() == [[1, 0, 0], [0.5, 0.5, 0]]
    assert F.log_softmax(z).data[0].tolist() == [0, -2e4, -1e4]
    assert F.softmax(z).dtype == F.log_softmax(z).dtype == np.float32


@given(rng=rngs, slope=st.floats(0, 2))
def test_leaky_relu_is_two_lines_through_zero(rng, slope):
    x = np.append(rng.normal(size=8), 0)
    assert_array_equal(F.leaky_relu(Tensor(x), slope).data, np.where(x > 0, x, slope * x))
    g = gradient(lambda x: F.leaky_relu(x, slope).sum(), x)
    assert_array_equal(g, np.where(x > 0, 1, slope))


@pytest.mark.parametrize("name", ["relu", "sigmoid", "tanh", "gelu", "leaky_relu"])
def test_an_activation_takes_a_scalar(name):
    f = getattr(F, name)
    assert f(Tensor(np.float32(0.7))).shape == ()
    assert f(Tensor(np.float32(0.7))).item() == pytest.approx(f(Tensor([0.7])).item(), rel=1e-6)


# ------------------------------------------------------------ losses

def test_the_mean_of_label_cross_entropy_is_that_of_all_rows(rng=np.random.default_rng(0)):
    z, labels = rng.normal(size=(2, 3, 4)), rng.integers(0, 4, (2, 3))
    each, mean = (ops.label_cross_entropy(Tensor(z), labels=labels, reduction=r).data for r in ("none", "mean"))
    assert_allclose(mean, each.mean(), rtol=1e-14)
    slope = gradient(lambda z: ops.label_cross_entropy(z, labels=labels, reduction="mean"), z)
    assert_allclose(slope, (F.softmax(Tensor(z), axis=-1).data - np.eye(4)[labels]) / 6, atol=1e-15)


@given(rng=rngs, n=sizes, c=sizes, scale=st.sampled_from([0.1, 1, 30]))
def test_cross_entropy_is_minus_log_softmax_at_the_label(rng, n, c, scale):
    z, y = scale * rng.normal(size=(n, c)), rng.integers(0, c, n)
    onehot = np.eye(c)[y]
    picked = -F.log_softmax(Tensor(z)).data[np.arange(n), y]
    close = dict(rtol=1e-14, atol=16 * EPS * (1 + np.abs(z).max()))    # sums of |z|'s size, rounded
    assert_allclose(F.cross_entropy(Tensor(z), y, "none").data, picked, **close)
    assert_allclose(F.cross_entropy(Tensor(z), onehot, "none").data, picked, **close)
    step = F.softmax(Tensor(z)).data - onehot
    for target in (y, onehot, y.tolist(), y.astype(np.uint8), Tensor(onehot)):
        assert_allclose(F.cross_entropy(Tensor(z), target).item(), picked.mean(), **close)
        total = F.cross_entropy(Tensor(z), target, "sum").item()
        assert_allclose(total / n, picked.mean(), **close)
        assert_allclose(gradient(lambda z: F.cross_entropy(z, target), z), step / n, **close)
        assert_allclose(gradient(lambda z: F.cross_entropy(z, target, "sum"), z), step, **close)
        weights = rng.normal(size=n)
        g = gradient(lambda z: (weights * F.cross_entropy(z, target, "none")).sum(), z)
        assert_allclose(g, weights[:, None] * step, rtol=1e-14, atol=4 * close["atol"])


@given(rng=rngs, shape=st.lists(st.integers(1, 4), min_size=2, max_size=3))
def test_cross_entropy_of_rows_with_many_axes_is_that_of_the_rows_in_a_line(rng, shape):
    """Classes on the last axis, whatever is before it; labels, one-hot rows of ints, and lists."""
    z = rng.normal(size=shape)
    y = rng.integers(0, shape[-1], shape[:-1])
    flat = F.cross_entropy(Tensor(z.reshape(-1, shape[-1])), y.ravel(), "none").data
    for target in (y, y.tolist(), np.eye(shape[-1], dtype=int)[y], np.eye(shape[-1])[y].tolist()):
        losses = F.cross_entropy(Tensor(z), target, "none").data
        assert_allclose(losses, flat.reshape(y.shape), rtol=1e-14, atol=1e-14, strict=True)
        assert F.cross_entropy(Tensor(z), target).item() == pytest.approx(flat.mean(), rel=1e-13)


@pytest.mark.parametrize("logits, target, error", [
    (np.zeros((2, 3)), [0, 3], ValueError), (np.zeros((2, 3)), [-1, 0], ValueError),    # no such class
    (np.zeros((2, 3)), [0.0, 1.0], TypeError),
    (np.zeros((2, 3)), [0, 1, 2], ValueError), (np.zeros((2, 3)), [[0], [1]], ValueError),
    (np.zeros((3, 3)), np.full((1, 3), 1 / 3), ValueError),
    (np.zeros((0, 3)), [], ValueError), (np.zeros((0, 3)), np.zeros((0, 3)), ValueError),
    (np.full((2, 3), np.nan), [0, 1], ValueError), (np.full((2, 3), np.nan), np.eye(3)[:2], ValueError),
    (np.zeros((2, 3)), np.full((2, 3), np.nan), ValueError)])
def test_cross_entropy_refuses_what_it_says(logits, target, error):
    with pytest.raises(error):
        F.cross_entropy(Tensor(logits), target)


def reference_cross_entropy(z, target, reduction, ignore_index, eps, weight):
    """The definition, row by row; the mean of labels is weighted, that of probabilities is plain."""
    c, losses, total = z.shape[-1], [], 0
    for row, t in zip(z.reshape(-1, c), target.reshape(-1, *target.shape[z.ndim - 1:])):
        log_p = row - np.log(np.exp(row).sum())
        is_label, ignored = np.ndim(t) == 0, np.ndim(t) == 0 and t == ignore_index
        p = np.eye(c)[0 if ignored else t] if is_label else t
        total += (0 if ignored else weight[t]) if is_label else 1
        losses.append(0 if ignored else -(weight * ((1 - eps) * p + eps / c) * log_p).sum())
    losses = np.array(losses)
    return {"none": losses.reshape(z.shape[:-1]), "sum": losses.sum(), "mean": losses.sum() / (total or 1)}[reduction]


@given(rng=rngs, batch=st.lists(st.integers(1, 4), min_size=1, max_size=2), c=sizes, soft=st.booleans(), data=st.data())
def test_the_options_of_cross_entropy_are_those_of_its_definition(rng, batch, c, soft, data):
    z, weight = rng.normal(size=(*batch, c)), rng.uniform(0.1, 2, c)
    eps, reduction = data.draw(st.sampled_from([0.0, 0.1, 1.0])), data.draw(st.sampled_from(["mean", "sum", "none"]))
    ignored = None if soft else data.draw(st.sampled_from([None, -100, 0]))
    if soft:
        target = probabilities(rng, *batch, c)
    else:
        target = rng.integers(0, c, batch)
        if ignored is not None:
            target[rng.random(batch) < 0.3] = ignored
            target.ravel()[0] = c - 1
    for given_weight, w in ((None, np.ones(c)), (weight, weight), (weight.tolist(), weight)):
        options = dict(ignore_index=ignored, label_smoothing=eps, weight=given_weight)
        f = lambda z: F.cross_entropy(z, target, reduction, **options)
        if reduction == "mean" and ignored == 0 and c == 1:
            continue    # all ignored: a row of ERRORS
        assert_allclose(f(Tensor(z)).data, reference_cross_entropy(z, target, reduction, ignored, eps, w), atol=1e-13)
        assert gradcheck(lambda z: f(z).sum(), z, rng=rng)
        assert f(Tensor(z.astype(np.float32))).dtype == np.float32


def test_an_ignored_row_has_no_gradient_whatever_stands_there():
    z = np.array([[0.0, 1.0], [np.nan, np.inf], [2.0, -np.inf]])
    loss = lambda z: F.cross_entropy(z, [1, 9, 0], ignore_index=9, weight=[2.0, 3.0])
    g = gradient(loss, z)
    assert not g[1:].any() and g[0].any()
    assert loss(Tensor(z)).item() == pytest.approx(3 * math.log(1 + math.exp(-1)) / 5)
    assert F.cross_entropy(Tensor(z), [9, 9, 9], "sum", ignore_index=9).item() == 0


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("loss", [F.cross_entropy, lambda z, p: F.kl_div(F.log_softmax(z), p)], ids=["cross_entropy", "kl_div"])
@given(rng=rngs, c=st.integers(1, 1000), scale=st.floats(0, 20))
def test_a_softmax_of_any_dtype_is_a_target(loss, dtype, rng, c, scale):
    z = (scale * rng.normal(size=(2, c))).astype(dtype)
    p = F.softmax(Tensor(z))
    loss(Tensor(z.astype(np.float64)), p)
    loss(Tensor(z.astype(np.float64)), p.data)
    with pytest.raises(ValueError, match="must be >= 0 and sum to 1"):
        loss(Tensor(z.astype(np.float64)), 1.1 * p.data.astype(np.float64))


@given(rng=rngs, n=sizes, c=sizes)
def test_cross_entropy_is_at_least_the_entropy(rng, n, c):
    """Gibbs' inequality, with equality at softmax(z) = t; and the difference is the divergence."""
    t, z = probabilities(rng, n, c), rng.normal(size=(n, c))
    entropy = -(t * np.log(t)).sum(axis=1)
    loss = F.cross_entropy(Tensor(z), t, "none").data
    assert (loss >= entropy - 10 * c * EPS).all()
    assert_allclose(F.cross_entropy(Tensor(np.log(t)), t, "none").data, entropy, atol=20 * c * EPS)
    kl = F.kl_div(F.log_softmax(Tensor(z)), t, "batchmean").item()
    assert kl == pytest.approx((loss - entropy).mean(), abs=20 * c * EPS)


def test_cross_entropy_of_ignorance_is_log_c_and_of_huge_logits_exact():
    blank = F.cross_entropy(Tensor(np.zeros((3, 10))), [0, 5, 9]).item()
    assert blank == pytest.approx(math.log(10), rel=4 * EPS)
    z = Tensor(np.array([[1e4, -1e4], [-1e4, 1e4]], np.float32), requires_grad=True)
    for target in ([1, 1], np.eye(2)[[1, 1]]):    # labels, and the same as probabilities
        z.grad, loss = None, F.cross_entropy(z, target, "none")
        assert loss.data.tolist() == [2e4, 0] and loss.dtype == np.float32
        loss.mean().backward()
        assert z.grad.tolist() == [[0.5, -0.5], [0, 0]] and z.grad.dtype == np.float32


@given(rng=rngs, n=sizes, zeros=st.integers(0, 3))
def test_binary_cross_entropy_is_the_two_class_case_at_zero_too(rng, n, zeros):
    z = np.append(3 * rng.normal(size=n), np.zeros(zeros))    # a model of zeros has logits 0
    t = rng.random(len(z))
    both, target = np.stack([0 * z, z], axis=1), np.stack([1 - t, t], axis=1)
    two = F.cross_entropy(Tensor(both), target, "none").data
    one = F.binary_cross_entropy_with_logits(Tensor(z), t, "none").data
    assert_allclose(one, two, atol=32 * EPS)
    g = gradient(lambda z: F.binary_cross_entropy_with_logits(z, t, "sum"), z)
    assert_allclose(g, 1 / (1 + np.exp(-z)) - t, atol=8 * EPS)


def test_binary_cross_entropy_is_exact_for_huge_float32_logits():
    z = Tensor(np.array([1e4, -1e4, 1e4, -1e4], np.float32), requires_grad=True)
    loss = F.binary_cross_entropy_with_logits(z, [1, 0, 0, 1], "none")
    loss.backward(np.ones(4))
    assert loss.data.tolist() == [0, 0, 1e4, 1e4] and z.grad.tolist() == [0, 0, 1, -1]


@given(rng=rngs)
def test_binary_cross_entropy_of_a_sure_and_right_answer_keeps_its_digits(rng):
    """ln(1 + e^-|z|) is about e^-|z|, however small beside 1."""
    z = Tensor(rng.uniform(20, 80, 5).astype(np.float32), requires_grad=True)
    small = np.exp(-z.data.astype(float))
    for sign, target in ((1, np.ones(5)), (-1, np.zeros(5))):
        z.grad, loss = None, F.binary_cross_entropy_with_logits(sign * z, target, "none")
        loss.backward(np.ones(5))
        assert_allclose(loss.data, small, rtol=1e-5)    # e^-z is off by eps z / 2
        assert_allclose(z.grad, -small, rtol=1e-5)


@given(rng=rngs, n=sizes, c=sizes)
def test_divergence_is_nonnegative_and_zero_only_for_equals(rng, n, c):
    p, q = probabilities(rng, n, c), probabilities(rng, n, c)
    kl = F.kl_div(Tensor(np.log(q)), p, "batchmean").item()
    # Pinsker: KL >= |p - q|_1^2 / 2 for each row, so 0 only if p = q
    assert kl >= (np.abs(p - q).sum(axis=1) ** 2).mean() / 2 - 10 * c * EPS
    assert F.kl_div(Tensor(np.log(p)), p, "sum").item() == pytest.approx(0, abs=4 * n * EPS)
    sharp = np.eye(c)[rng.integers(0, c, n)]    # 0 ln 0 = 0
    surprise = -(sharp * np.log(q)).sum()
    assert F.kl_div(Tensor(np.log(q)), sharp, "sum").item() == pytest.approx(surprise, rel=1e-14)
    assert np.isfinite(gradient(lambda p: F.kl_div(np.log(q), p), sharp)).all()


@given(rng=rngs, n=sizes, c=sizes)
def test_squared_error_and_its_gradient(rng, n, c):
    x, y = rng.normal(size=(n, c)), rng.normal(size=(n, c))
    assert F.mse_loss(Tensor(x), y).item() == pytest.approx(((x - y) ** 2).mean(), rel=1e-14)
    assert_allclose(gradient(lambda x: F.mse_loss(x, y), x), 2 * (x - y) / (n * c), rtol=1e-14)


@losses
@given(rng=rngs, n=sizes, c=sizes)
def test_mean_is_sum_over_count_is_the_mean_of_none(loss, rng, n, c):
    x, t = Tensor(-rng.random((n, 3, c))), probabilities(rng, n, 3, c)
    single = loss(x, t, "none").data
    close = dict(rtol=1e-13, atol=1e-13)
    assert_allclose(loss(x, t, "sum").item(), single.sum(), **close)
    assert_allclose(loss(x, t, "mean").item(), single.mean(), **close)
    assert_allclose(loss(x, t).item(), single.mean(), **close)
    if loss is F.kl_div:
        assert_allclose(loss(x, t, "batchmean").item(), single.sum() / n, **close)


# ------------------------------------------------------------ distances

@given(rng=rngs, n=sizes, c=sizes, scale=st.floats(0.1, 1e3))
def test_cosine_is_bounded_symmetric_and_blind_to_length(rng, n, c, scale):
    x, y = rng.normal(size=(n, c)), rng.normal(size=(n, c))
    s = F.cosine_similarity(Tensor(x), Tensor(y)).data
    assert s.shape == (n,) and (np.abs(s) <= 1 + 4 * c * EPS).all()
    assert_array_equal(F.cosine_similarity(Tensor(y), Tensor(x)).data, s)
    assert_allclose(F.cosine_similarity(Tensor(scale * x), Tensor(-y)).data, -s, atol=8 * c * EPS)
    assert_allclose(F.cosine_similarity(Tensor(x), Tensor(scale * x)).data, 1, atol=8 * c * EPS)
    # blind to length: the slope along x is 0, a sum of c terms of size 1 (x times a slope of 1/|x|)
    g = gradient(lambda x: F.cosine_similarity(x, y).sum(), x)
    assert np.abs((g * x).sum(axis=1)).max() <= 32 * c * EPS


@given(rng=rngs, n=sizes, c=sizes, p=st.sampled_from([1, 1.5, 2, 3]), scale=st.floats(1e-3, 1e3))
def test_normalize_gives_length_one_in_the_same_direction(rng, n, c, p, scale):
    x = rng.normal(size=(n, c))
    y = F.normalize(Tensor(scale * x), p=p).data
    assert_allclose((np.abs(y) ** p).sum(axis=-1), 1, atol=16 * c * EPS)
    length = (np.abs(x) ** p).sum(axis=-1, keepdims=True) ** (1 / p)
    assert_allclose(y * length, x, rtol=1e-13)


def along(rng, shape, axis):
    """Numbers away from 0, the axis from the end, and the same numbers with that axis last."""
    axis = axis % len(shape) - len(shape)
    x = nonzero(rng, *shape)
    return x, axis, np.moveaxis(x, axis, -1)


shapes = st.lists(st.integers(1, 4), min_size=1, max_size=3)


@given(rng=rngs, shape=shapes, axis=st.integers(0, 2), p=st.sampled_from([1, 1.5, 2, 3]))
def test_normalize_divides_along_its_axis(rng, shape, axis, p):
    x, axis, last = along(rng, shape, axis)
    lengths = [np.linalg.norm(v, p) for v in last.reshape(-1, shape[axis])]
    expected = last / np.reshape(lengths, (*last.shape[:-1], 1))
    y = F.normalize(Tensor(x), p=p, axis=axis).data
    assert_allclose(np.moveaxis(y, axis, -1), expected, rtol=1e-13)


@given(rng=rngs, shape=shapes, axis=st.integers(0, 2))
def test_cosine_is_along_its_axis(rng, shape, axis):
    x, axis, last = along(rng, shape, axis)
    y = nonzero(rng, *shape)
    s = F.cosine_similarity(Tensor(x), Tensor(y), axis=axis).data
    pairs = zip(last.reshape(-1, shape[axis]), np.moveaxis(y, axis, -1).reshape(-1, shape[axis]))
    expected = [a @ b / np.linalg.norm(a) / np.linalg.norm(b) for a, b in pairs]
    assert_allclose(s, np.reshape(expected, last.shape[:-1]), rtol=1e-13, atol=1e-13, strict=True)


@given(rng=rngs, c=sizes, p=st.sampled_from([1, 1.5, 2, 3]), share=st.floats(0.01, 0.99), exponent=st.integers(-10, 1))
def test_a_length_below_eps_is_eps(rng, c, p, share, exponent):
    """So a short vector is divided by eps, with the slope 1 / eps; and so is each factor of the cosine."""
    eps, x, y = 10.0 ** exponent, nonzero(rng, 1, c), nonzero(rng, 1, c)
    x *= share * eps / np.linalg.norm(x[0], p)
    assert_allclose(F.normalize(Tensor(x), p=p, eps=eps).data, x / eps, rtol=1e-12)
    g = gradient(lambda x: F.normalize(x, p=p, eps=eps).sum(), x)
    assert_allclose(g, np.full((1, c), 1 / eps), rtol=1e-12)
    x *= share * eps / np.linalg.norm(x[0])
    y *= 2 * eps / np.linalg.norm(y[0])
    s = F.cosine_similarity(Tensor(x), Tensor(y), eps=eps).data    # the second is long enough
    assert_allclose(s, [x[0] @ y[0] / (eps * 2 * eps)], rtol=1e-12, atol=1e-15)
    s = F.cosine_similarity(Tensor(x), Tensor(x), eps=eps).data
    assert_allclose(s, [x[0] @ x[0] / eps ** 2], rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("p", [1, 2, 3, 4, 30])
def test_a_zero_vector_stays_zero_with_a_finite_gradient(p, dtype):
    """Also where eps^p is no number of the dtype: 1e-48 is no float32, 1e-360 no float at all."""
    zero, y = np.zeros((2, 3), dtype), np.ones((2, 3), dtype)
    assert not F.normalize(Tensor(zero), p=p).data.any()
    assert not F.cosine_similarity(Tensor(zero), y).data.any()
    assert np.isfinite(gradient(lambda x: F.normalize(x, p=p).sum(), zero)).all()
    assert np.isfinite(gradient(lambda x: F.cosine_similarity(x, y).sum(), zero)).all()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("p", [0.5, 1, 2, 3, 30])
@settings(max_examples=20)
@given(rng=rngs, share=st.floats(-0.9, 0.9))
def test_a_direction_survives_any_length(dtype, p, rng, share):
    """As long or as short as the dtype holds: no square overflows or vanishes on the way."""
    info = np.finfo(dtype)
    v = nonzero(rng, 1, 3)
    size = float(info.max if share > 0 else info.tiny) ** abs(share)
    x, y, eps = (v * size).astype(dtype), nonzero(rng, 1, 3).astype(dtype), info.tiny
    wide, other = x.astype(np.longdouble) / size, y.astype(np.longdouble)
    exact = wide / (np.abs(wide) ** p).sum() ** (1 / np.longdouble(p))
    close = dict(rtol=100 * info.eps, atol=4 * info.smallest_subnormal)
    assert_allclose(F.normalize(Tensor(x), p=p, eps=eps).data.astype(np.longdouble), exact, **close)
    cosine = (wide * other).sum() / np.sqrt((wide ** 2).sum() * (other ** 2).sum())
    assert_allclose(F.cosine_similarity(Tensor(x), Tensor(y), eps=eps).data.astype(np.longdouble), cosine,
                    atol=20 * info.eps)


@given(rng=rngs, n=sizes, c=sizes)
def test_cosine_of_shapes_that_broadcast(rng, n, c):
    """It is that of the vectors written out, whose lengths count every repetition."""
    for a, b in (((n, 1), (n, c)), ((c,), (n, c)), ((n, c), (1, 1)), ((n, 1, c), (n, 1))):
        x, y = nonzero(rng, *a), nonzero(rng, *b)
        full = [Tensor(v.copy()) for v in np.broadcast_arrays(x, y)]
        assert_allclose(F.cosine_similarity(Tensor(x), Tensor(y), axis=-1).data,
                        F.cosine_similarity(*full, axis=-1).data, atol=8 * EPS)
    assert gradcheck(lambda x, y: F.cosine_similarity(x, y), nonzero(rng, n, 1), nonzero(rng, n, c), rng=rng)


# ------------------------------------------------------------ normalisation

@given(rng=rngs, n=sizes, c=st.integers(2, 6), a=st.floats(0.01, 100), b=st.floats(-10, 10))
def test_layer_norm_standardises_each_sample_and_forgets_its_units(rng, n, c, a, b):
    x, eps = rng.normal(size=(n, 2, c)), 1e-2
    y = F.layer_norm(Tensor(x), (2, c), eps=eps).data
    var = x.var(axis=(1, 2))
    assert_allclose(y.mean(axis=(1, 2)), 0, atol=8 * c * EPS)
    assert_allclose(y.var(axis=(1, 2)), var / (var + eps), rtol=1e-12)
    # eps has the units of x^2: in other units, a x + b, nothing changes (rounding: eps |b| / a)
    moved = F.layer_norm(Tensor(a * x + b), (2, c), eps=a * a * eps).data
    assert_allclose(moved, y, atol=400 * EPS * (4 + abs(b) / a))
    w, bias = rng.normal(size=(2, c)), rng.normal(size=(2, c))
    affine = F.layer_norm(Tensor(x), (2, c), Tensor(w), Tensor(bias), eps).data
    assert_allclose(affine, y * w + bias, atol=1e-13)


@given(rng=rngs, n=st.integers(2, 6), c=sizes, places=st.lists(sizes, max_size=2),
       a=st.floats(0.01, 100))
def test_batch_norm_standardises_each_channel_and_forgets_its_units(rng, n, c, places, a):
    x, eps, axes = rng.normal(size=(n, c, *places)), 1e-2, (0, *range(2, 2 + len(places)))
    channel = (c,) + (1,) * len(places)
    y = F.batch_norm(Tensor(x), training=True, eps=eps).data
    var = x.var(axis=axes)
    assert_allclose(y.mean(axis=axes), 0, atol=1e-13)
    assert_allclose(y.var(axis=axes), var / (var + eps), rtol=1e-11, atol=1e-13)
    b = rng.normal(size=channel)
    moved = F.batch_norm(Tensor(a * x + b), training=True, eps=a * a * eps).data
    assert_allclose(moved, y, atol=400 * EPS * (4 + np.abs(b).max() / a))
    w, bias = rng.normal(size=(2, c))
    for weight, shift, want in ((w, bias, y * w.reshape(channel) + bias.reshape(channel)),
                                (w, None, y * w.reshape(channel)),
                                (None, bias, y + bias.reshape(channel))):
        weight, shift = (None if p is None else Tensor(p) for p in (weight, shift))
        affine = F.batch_norm(Tensor(x), None, None, weight, shift, training=True, eps=eps).data
        assert_allclose(affine, want, atol=1e-13)


@given(rng=rngs, c=sizes, momentum=st.floats(0, 1), steps=st.integers(1, 4))
def test_batch_norm_running_statistics_follow_their_recursion(rng, c, momentum, steps):
    mean, var = Tensor(rng.normal(size=c)), Tensor(rng.random(c) + 0.1)
    want_mean, want_var = mean.data, var.data
    for _ in range(steps):
        x = rng.normal(size=(4, c, 3))
        before = mean.data.copy(), mean.data
        F.batch_norm(Tensor(x), mean, var, training=True, momentum=momentum)
        assert_array_equal(*before)    # rebound, not overwritten
        want_mean = (1 - momentum) * want_mean + momentum * x.mean(axis=(0, 2))
        want_var = (1 - momentum) * want_var + momentum * x.var(axis=(0, 2), ddof=1)
    assert_allclose(mean.data, want_mean, atol=1e-14)
    assert_allclose(var.data, want_var, rtol=1e-13)
    y = F.batch_norm(Tensor(x), mean, var).data    # evaluation: they are used, and stay
    assert_allclose(y, (x - want_mean[:, None]) / np.sqrt(want_var[:, None] + 1e-5), atol=1e-12)
    assert_allclose(mean.data, want_mean, atol=1e-14)


# ------------------------------------------------------------ dropout and embedding

@given(seed=st.integers(0, 2 ** 32 - 1), p=st.floats(0, 1))
def test_dropout_keeps_the_mean(seed, p):
    n = 4000
    x = Tensor(np.ones(n), requires_grad=True)
    y = F.dropout(x, p, rng=np.random.default_rng(seed))
    kept = int((y.data != 0).sum())
    # Hoeffding: P(|kept - n (1 - p)| > t) <= 2 exp(-2 t^2 / n), 1e-9 at t = sqrt(n ln(2e9) / 2)
    assert abs(kept - n * (1 - p)) <= math.sqrt(n * math.log(2e9) / 2)
    if kept:
        assert_allclose(y.data[y.data != 0], 1 / (1 - p))
    y.backward(np.ones(n))
    assert_array_equal(x.grad, y.data)    # x = 1: the gradient is the mask
    assert_array_equal(F.dropout(x, p, rng=np.random.default_rng(seed)).data, y.data)


def test_dropout_at_its_ends_and_in_evaluation():
    rng = np.random.default_rng(0)
    x, state = Tensor(rng.normal(size=(5, 5))), rng.bit_generator.state
    assert F.dropout(x, 0.9, training=False, rng=rng) is x and F.dropout(x, 0.0, rng=rng) is x
    assert rng.bit_generator.state == state    # no draw where none is needed
    assert not F.dropout(x, 1.0, rng=rng).data.any()
    assert F.dropout(Tensor([1.0, 2.0]), 0.3, rng=rng).dtype == np.float32


@given(rng=rngs, rows=sizes, shape=st.lists(sizes, max_size=2))
def test_embedding_picks_rows_and_its_gradient_counts_them(rng, rows, shape):
    w, i = Tensor(rng.normal(size=(rows, 3)), requires_grad=True), rng.integers(0, rows, shape)
    y = F.embedding(i, w)
    assert_array_equal(y.data, w.data[i])
    y.backward(np.ones(y.shape))
    assert_array_equal(w.grad, np.bincount(i.ravel(), minlength=rows)[:, None] * np.ones(3))


# ------------------------------------------------------------ attention

attend = F.scaled_dot_product_attention


@given(rng=rngs, T=sizes, S=sizes, d=sizes, batch=st.lists(st.integers(1, 3), max_size=2))
def test_attention_is_a_weighted_mean_of_the_values(rng, T, S, d, batch):
    q, k, v = (Tensor(3 * rng.normal(size=(*batch, *s))) for s in ((T, d), (S, d), (S, 2)))
    y = attend(q, k, v).data
    w = np.exp(q.data @ k.data.swapaxes(-1, -2) / math.sqrt(d))
    assert_allclose(y, w / w.sum(axis=-1, keepdims=True) @ v.data, atol=1e-12)
    assert (y <= v.data.max(axis=-2, keepdims=True) + 1e-13).all()    # a convex combination stays
    assert (y >= v.data.min(axis=-2, keepdims=True) - 1e-13).all()    # within the extremes
    weights = attend(q, k, Tensor(np.eye(S))).data
    assert (weights >= 0).all()
    assert_allclose(weights.sum(axis=-1), 1, atol=(S + 4) * EPS)


@given(rng=rngs, T=sizes, S=sizes)
def test_attention_has_no_order(rng, T, S):
    q, k, v = (Tensor(rng.normal(size=(2, n, 3))) for n in (T, S, S))
    t, s = rng.permutation(T), rng.permutation(S)
    assert_allclose(attend(q[:, t], k[:, s], v[:, s]).data, attend(q, k, v).data[:, t], atol=1e-13)


@given(rng=rngs, T=st.integers(2, 6), data=st.data())
def test_causal_attention_cannot_see_the_future(rng, T, data):
    t = data.draw(st.integers(1, T - 1))
    q, k, v = rng.normal(size=(3, 2, T, 4))
    y = attend(*map(Tensor, (q, k, v)), is_causal=True).data
    k[:, t:], v[:, t:] = 1e3 * rng.normal(size=(2, 2, T - t, 4))
    changed = attend(*map(Tensor, (q, k, v)), is_causal=True).data
    assert_array_equal(changed[:, :t], y[:, :t])    # to the last bit
    assert (changed[:, t:] != y[:, t:]).any()
    assert_allclose(y[:, 0], attend(*(Tensor(a[:, :1]) for a in (q, k, v))).data[:, 0], atol=1e-14)


@given(rng=rngs, T=sizes, S=st.integers(2, 6), data=st.data())
def test_a_mask_hides_positions(rng, T, S, data):
    seen = data.draw(st.integers(1, S - 1))
    q, k, v = (Tensor(rng.normal(size=(2, n, 3))) for n in (T, S, S))
    mask = np.arange(S) < seen
    y = attend(q, k, v, mask).data
    assert_allclose(y, attend(q, k[:, :seen], v[:, :seen]).data, atol=1e-14)
    assert_array_equal(attend(q, k, v, np.where(mask, 0, -np.inf)).data, y)
    bias = rng.normal(size=(T, S))    # a float mask is a factor e^bias before the normalisation
    w = np.exp(q.data @ k.data.swapaxes(-1, -2) / math.sqrt(3)) * np.exp(bias)
    assert_allclose(attend(q, k, v, bias).data, w / w.sum(-1, keepdims=True) @ v.data, atol=1e-12)


def test_attention_drops_weights_with_its_rng():
    q = Tensor(np.random.default_rng(0).normal(size=(1, 6, 4)))
    one, same = (attend(q, q, q, dropout_p=0.5, rng=np.random.default_rng(1)).data
                 for _ in range(2))
    assert_array_equal(one, same)
    assert (one != attend(q, q, q).data).any()
    assert not attend(q, q, q, dropout_p=1.0, rng=np.random.default_rng(1)).data.any()


# ------------------------------------------------------------ what is refused, and in which words

Z, X3 = Tensor(np.zeros((2, 3))), Tensor(np.zeros((1, 2, 4)))
NAN = np.array([[0, np.nan, 0], [np.nan, 0, 0]])
ERRORS = {    # message -> (kind of error, call)
    "cross_entropy: target must be in 0..2, got 3":
        (ValueError, lambda: F.cross_entropy(Z, [0, 3])),
    "cross_entropy: target must be in 0..2, got -1":
        (ValueError, lambda: F.cross_entropy(Z, [-1, 0])),
    "cross_entropy: target must be integers, got dtype float64":
        (TypeError, lambda: F.cross_entropy(Z, [0.0, 1.0])),
    "cross_entropy: logits must have shape (..., C) and target (...) or (..., C), got (2, 3) "
    "and (2, 1)":
        (ValueError, lambda: F.cross_entropy(Z, [[0], [1]])),
    "cross_entropy: logits must not be NaN, got 2 NaN; run":
        (ValueError, lambda: F.cross_entropy(Tensor(NAN), [0, 1])),
    "cross_entropy: target must not be NaN, got 2 NaN; run":
        (ValueError, lambda: F.cross_entropy(Z, NAN)),
    "cross_entropy: the batch must have at least one sample, got losses of shape (0,)":
        (ValueError, lambda: F.cross_entropy(Tensor(np.zeros((0, 3))), [])),
    """cross_entropy: reduction must be "mean", "sum" or "none", got 'avg'""":
        (ValueError, lambda: F.cross_entropy(Z, [0, 1], "avg")),
    "mse_loss: target must have the shape of x (3, 1), got (3,)":
        (ValueError, lambda: F.mse_loss(Tensor(np.zeros((3, 1))), np.zeros(3))),
    "mse_loss: target must not be NaN, got 2 NaN":
        (ValueError, lambda: F.mse_loss(Z, NAN)),
    "mse_loss: the batch must have at least one sample":
        (ValueError, lambda: F.mse_loss(Tensor([]), [])),
    "binary_cross_entropy_with_logits: target must have the shape of logits (2, 3), got (3,)":
        (ValueError, lambda: F.binary_cross_entropy_with_logits(Z, np.zeros(3))),
    "binary_cross_entropy_with_logits: logits must not be NaN, got 2 NaN":
        (ValueError, lambda: F.binary_cross_entropy_with_logits(Tensor(NAN), np.zeros((2, 3)))),
    "kl_div: p must be >= 0 and sum to 1 over the last axis, got -0.5; write softmax":
        (ValueError, lambda: F.kl_div(Z, np.full((2, 3), -0.5))),
    "kl_div: p must have the shape of log_q (2, 3), got (3,)":
        (ValueError, lambda: F.kl_div(Z, np.zeros(3))),
    "kl_div: log_q must not be NaN, got 2 NaN":
        (ValueError, lambda: F.kl_div(Tensor(NAN), np.full((2, 3), 1 / 3))),
    "kl_div: p must have shape (N, ..., C), got (3,); write p[None]":
        (ValueError, lambda: F.kl_div(Z[0], np.full(3, 1 / 3), "batchmean")),
    "kl_div: p must have shape (N, ..., C), got ()":
        (ValueError, lambda: F.kl_div(Tensor(0.0), 1.0)),
    "cross_entropy: target must be >= 0 and sum to 1 over the last axis, got a sum of 0.75; write softmax":
        (ValueError, lambda: F.cross_entropy(Z, np.full((2, 3), 1 / 4))),
    "cross_entropy: target must be >= 0 and sum to 1 over the last axis, got -0.5":
        (ValueError, lambda: F.cross_entropy(Z, [[1.5, -0.5, 0], [1, 0, 0]], label_smoothing=0.1)),
    "cross_entropy: target must be in 0..2, got 7":
        (ValueError, lambda: F.cross_entropy(Z, [7, -100], ignore_index=-100)),
    "cross_entropy: target must have a label of positive weight to average over, got 0 labels other than "
    "ignore_index=5":
        (ValueError, lambda: F.cross_entropy(Z, [5, 5], ignore_index=5)),
    "cross_entropy: target must have a label of positive weight to average over, got 2 labels":
        (ValueError, lambda: F.cross_entropy(Z, [0, 0], weight=[0, 1, 1])),
    "cross_entropy: ignore_index must be None for probabilities, got 5":
        (ValueError, lambda: F.cross_entropy(Z, np.eye(3)[:2], ignore_index=5)),
    "cross_entropy: ignore_index must be an int, got 1.0":
        (TypeError, lambda: F.cross_entropy(Z, [0, 1], ignore_index=1.0)),
    "cross_entropy: weight must have shape (C,) = (3,), got (1,)":
        (ValueError, lambda: F.cross_entropy(Z, [0, 1], weight=[1])),
    "cross_entropy: weight must be >= 0, got -1":
        (ValueError, lambda: F.cross_entropy(Z, [0, 1], weight=[1, -1, 1])),
    "cross_entropy: label_smoothing must be >= 0 and <= 1, got 1.5":
        (ValueError, lambda: F.cross_entropy(Z, [0, 1], label_smoothing=1.5)),
    "cross_entropy: label_smoothing must be a number, got False":
        (TypeError, lambda: F.cross_entropy(Z, [0, 1], label_smoothing=False)),
    "cross_entropy: target must be integers, got dtype float32":
        (TypeError, lambda: F.cross_entropy(Z, np.float32([0, 1]), weight=[1, 1, 1])),
    """cross_entropy: reduction must be "mean", "sum" or "none", got [1, 1, 1]""":
        (ValueError, lambda: F.cross_entropy(Z, [0, 1], [1, 1, 1])),
    "binary_cross_entropy_with_logits: target must be in [0, 1], got 2.0":
        (ValueError, lambda: F.binary_cross_entropy_with_logits(Z, [[0, 1, 1], [0, 2, 0]])),    # one is enough
    "binary_cross_entropy_with_logits: target must be in [0, 1], got -0.5":
        (ValueError, lambda: F.binary_cross_entropy_with_logits(Z, Tensor([[0.0, 1.0, 0.0], [0.0, 1.0, -0.5]]))),
    "normalize: p must be > 0, got -1":
        (ValueError, lambda: F.normalize(Z, p=-1)),
    "normalize: eps must be > 0, got 0":
        (ValueError, lambda: F.normalize(Z, eps=0)),
    "cosine_similarity: eps must be > 0, got -1":
        (ValueError, lambda: F.cosine_similarity(Z, Z, eps=-1)),
    "cosine_similarity: x1 and x2 must have shapes that broadcast, got (2, 3) and (1, 2, 4)":
        (ValueError, lambda: F.cosine_similarity(Z, X3)),
    "layer_norm: x must have shape (..., 2), got (2, 3)":
        (ValueError, lambda: F.layer_norm(Z, (2,))),
    "batch_norm: x must have shape (N, C, ...), got (1,)":
        (ValueError, lambda: F.batch_norm(Tensor([1.0]))),
    "batch_norm: x must have more than one value per channel in training, got (1, 3)":
        (ValueError, lambda: F.batch_norm(Tensor(np.zeros((1, 3))), training=True)),
    "dropout: p must be >= 0 and <= 1, got 1.5":
        (ValueError, lambda: F.dropout(Z, 1.5, rng=np.random.default_rng(0))),
    "dropout: rng must be a numpy.random.Generator, got 0; write rng=":
        (TypeError, lambda: F.dropout(Z, rng=0)),
    "dropout() missing 1 required keyword-only argument: 'rng'":
        (TypeError, lambda: F.dropout(Z)),
    "embedding: indices must be in 0..1, got 7":
        (ValueError, lambda: F.embedding([0, 7], Z)),
    "embedding: indices must be integers, got dtype float64":
        (TypeError, lambda: F.embedding([0.5], Z)),
    "conv1d: x must have shape (N, C, L) and weight (O, C, k), got (1, 2, 4) and (3, 4, 2)":
        (ValueError, lambda: F.conv1d(X3, np.zeros((3, 4, 2)))),
    "conv1d: kernel_size must be at most the padded length 6, got 7":
        (ValueError, lambda: F.conv1d(X3, np.zeros((3, 2, 7)), padding=1)),
    "conv1d: stride must be an int >= 1, got (2, 1)":
        (ValueError, lambda: F.conv1d(X3, np.zeros((3, 2, 2)), stride=(2, 1))),
    "conv1d: padding must be an int >= 0, got -1":
        (ValueError, lambda: F.conv1d(X3, np.zeros((3, 2, 2)), padding=-1)),
    "max_pool1d: x must have shape (N, C, L), got (2, 3)":
        (ValueError, lambda: F.max_pool1d(Z, 2)),
    "max_pool1d: kernel_size must be an int >= 1, got 0":
        (ValueError, lambda: F.max_pool1d(X3, 0)),
    "max_pool1d: padding must be at most half of kernel_size=2, got 2":
        (ValueError, lambda: F.max_pool1d(X3, 2, padding=2)),
    "scaled_dot_product_attention: query must have shape (..., T, d), key (..., S, d) and "
    "value (..., S, d_v), got (1, 2, 4), (2, 3) and (2, 3)":
        (ValueError, lambda: attend(X3, Z, Z)),
    "scaled_dot_product_attention: query must have shape (..., T, d), key (..., S, d) and "
    "value (..., S, d_v), got (1, 2, 0), (1, 2, 0) and (1, 2, 4)":
        (ValueError, lambda: attend(X3[..., :0], X3[..., :0], X3)),
    "scaled_dot_product_attention: attn_mask must let every position see at least one, got":
        (ValueError, lambda: attend(X3, X3, X3, np.tri(2, k=-1, dtype=bool))),
    "scaled_dot_product_attention: attn_mask must let every position see at least one up to "
    "itself, got":
        (ValueError, lambda: attend(X3, X3, X3, np.arange(2) == 1, is_causal=True)),
    "scaled_dot_product_attention: attn_mask must broadcast to the scores (..., T, S) (1, 2, 2), "
    "got (5, 5)":
        (ValueError, lambda: attend(X3, X3, X3, np.ones((5, 5), bool))),
    "scaled_dot_product_attention: attn_mask must hold bool or float, got dtype int64":
        (TypeError, lambda: attend(X3, X3, X3, np.tri(2, dtype=np.int64))),
    "scaled_dot_product_attention: rng must be a numpy.random.Generator, got None":
        (TypeError, lambda: attend(X3, X3, X3, dropout_p=0.5)),
    "scaled_dot_product_attention: dropout_p must be >= 0 and <= 1, got 2":
        (ValueError, lambda: attend(X3, X3, X3, dropout_p=2, rng=np.random.default_rng(0))),
}


@pytest.mark.parametrize("message", ERRORS)
def test_an_error_names_function_argument_requirement_and_value(message):
    kind, call = ERRORS[message]
    with pytest.raises(kind) as error:
        call()
    assert str(error.value).startswith(message)


@losses
def test_infinite_inputs_that_leave_no_loss_are_refused(loss):
    infinite = Tensor(np.array([[np.inf, np.inf]]))
    target = infinite if loss is F.mse_loss else np.array([[1.0, 0.0]])
    with np.errstate(invalid="ignore"), pytest.raises(ValueError, match="a number, got NaN|must be <= 0, got inf"):
        loss(infinite, target)


# ------------------------------------------------------------ every setting of every function

def drawn(*shape):
    return np.random.default_rng(math.prod(shape)).normal(size=shape).astype(np.float32)


def result(y, *more):
    return (y.data, *(t.data for t in more))


def filters(options, *kernel):
    """Four filters for two channels in one group or two."""
    return drawn(4, 1 if options.get("groups") == 2 else 2, *kernel)


def normalised(**options):
    mean, var = Tensor(drawn(3)), Tensor(np.abs(drawn(3)))
    return result(F.batch_norm(drawn(4, 3), mean, var, **{"training": True, **options}), mean, var)


P3 = np.float32([[0.5, 0.5, 0], [0, 0, 1]])
SERIES_PADDING = Setting(["full", None, *COUNT.bad], ["same", "valid", *COUNT.good])
GROUPS = Setting([3, *SIZE.bad], [1, 2, np.int64(2)])    # of 2 channels and 4 filters
CHOICE = Setting(["erf", None, 1], ["none", "tanh"])
CLASS_WEIGHTS = Setting([[1, 1], 1.0, [1, 1, -1], [1, 1, math.nan], "abc", [[1, 1, 1]]], [None, [1, 0.5, 2], Tensor([3, 1, 1])])
OPTIONS = {    # name -> (call, {option: Setting}, defaults as PyTorch documents them)
    "avg_pool2d": (lambda **o: result(F.avg_pool2d(drawn(2, 2, 6, 5), **{"kernel_size": 3, **o})),
                   dict(kernel_size=PAIR, stride=or_none(PAIR), padding=POOL_PADDING), dict(stride=None, padding=0)),
    "batch_norm": (normalised, dict(training=FLAG, momentum=UNIT, eps=POSITIVE),
                   dict(running_mean=None, running_var=None, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5)),
    "binary_cross_entropy_with_logits": (
        lambda **o: result(F.binary_cross_entropy_with_logits(drawn(2, 3), P3, **o)),
        dict(reduction=REDUCTION), dict(reduction="mean")),
    "conv1d": (lambda **o: result(F.conv1d(drawn(2, 2, 7), filters(o, 3), drawn(4), **o)),
               dict(stride=SIZE, padding=SERIES_PADDING, dilation=SIZE, groups=GROUPS),
               dict(bias=None, stride=1, padding=0, dilation=1, groups=1)),
    "conv2d": (lambda **o: result(F.conv2d(drawn(2, 2, 6, 5), filters(o, 3, 2), drawn(4), **o)),
               dict(stride=PAIR, padding=CONV_PADDING, dilation=PAIR, groups=GROUPS),
               dict(bias=None, stride=1, padding=0, dilation=1, groups=1)),
    "cosine_similarity": (lambda **o: result(F.cosine_similarity(drawn(3, 3), drawn(3, 3) + 1, **o)),
                          dict(axis=AXIS, eps=POSITIVE), dict(axis=1, eps=1e-8)),
    "cross_entropy": (lambda **o: result(F.cross_entropy(drawn(2, 3), [0, 2], **o)),
                      dict(reduction=REDUCTION, ignore_index=or_none(Setting(NO_INT, [0, np.int64(2), -100])),
                           label_smoothing=UNIT, weight=CLASS_WEIGHTS),
                      dict(reduction="mean", ignore_index=None, label_smoothing=0.0, weight=None)),
    "dropout": (lambda **o: result(F.dropout(drawn(20, 2), **{"rng": np.random.default_rng(0), **o})),
                dict(p=UNIT, training=FLAG, rng=GENERATOR), dict(p=0.5, training=True)),
    "embedding": (lambda **o: result(F.embedding([0, 1], drawn(2, 3))), {}, {}),
    "gelu": (lambda **o: result(F.gelu(drawn(20), **o)), dict(approximate=CHOICE), dict(approximate="none")),
    "kl_div": (lambda **o: result(F.kl_div(F.log_softmax(drawn(2, 3)), P3, **o)),
               dict(reduction=Setting(REDUCTION.bad, [*REDUCTION.good, "batchmean"])), dict(reduction="mean")),
    "layer_norm": (lambda **o: result(F.layer_norm(drawn(2, 2, 2), **{"normalized_shape": (2, 2), **o})),
                   dict(eps=POSITIVE, normalized_shape=Setting([(), [], 0, (2, 0), *NO_INT], [2, (2,), [2, 2], np.int64(2)])),
                   dict(weight=None, bias=None, eps=1e-5)),
    "leaky_relu": (lambda **o: result(F.leaky_relu(drawn(20), **o)), dict(negative_slope=REAL), dict(negative_slope=0.01)),
    "linear": (lambda **o: result(F.linear(drawn(2, 3), drawn(4, 3))), {}, dict(bias=None)),
    "log_softmax": (lambda **o: result(F.log_softmax(drawn(2, 3), **o)), dict(axis=AXIS), dict(axis=-1)),
    "max_pool1d": (lambda **o: result(F.max_pool1d(drawn(2, 2, 7), **{"kernel_size": 3, **o})),
                   dict(kernel_size=SIZE, stride=or_none(SIZE), padding=Setting([2, *COUNT.bad], COUNT.good)),
                   dict(stride=None, padding=0)),
    "max_pool2d": (lambda **o: result(F.max_pool2d(drawn(2, 2, 6, 5), **{"kernel_size": 3, **o})),
                   dict(kernel_size=PAIR, stride=or_none(PAIR), padding=POOL_PADDING), dict(stride=None, padding=0)),
    "mse_loss": (lambda **o: result(F.mse_loss(drawn(2, 3), P3, **o)), dict(reduction=REDUCTION), dict(reduction="mean")),
    "normalize": (lambda **o: result(F.normalize(drawn(3, 3), **o)), dict(p=Setting(POSITIVE.bad, [0.5, 1, np.float64(3)]), axis=AXIS, eps=POSITIVE),
                  dict(p=2.0, axis=1, eps=1e-12)),
    "relu": (lambda **o: result(F.relu(drawn(3))), {}, {}),
    "scaled_dot_product_attention": (
        lambda **o: result(attend(drawn(2, 3, 4), drawn(2, 3, 4) + 1, drawn(2, 3, 2), **{"rng": np.random.default_rng(0), "dropout_p": 0.5, **o})),
        dict(dropout_p=UNIT, is_causal=FLAG, rng=GENERATOR,
             attn_mask=or_none(Setting([np.ones((3, 3), int), np.ones(2, bool), "no", np.zeros((3, 3), bool)], [np.tri(3, dtype=bool), drawn(3, 3)]))),
        dict(attn_mask=None, dropout_p=0.0, is_causal=False, rng=None)),
    "sigmoid": (lambda **o: result(F.sigmoid(drawn(3))), {}, {}),
    "softmax": (lambda **o: result(F.softmax(drawn(2, 3), **o)), dict(axis=AXIS), dict(axis=-1)),
    "tanh": (lambda **o: result(F.tanh(drawn(3))), {}, {}),
}
TENSORS = {"weight", "bias", "running_mean", "running_var"}    # optional tensors: their shapes have a law of their own


def test_every_setting_has_a_row():
    assert set(OPTIONS) == set(F.__all__)
    for name, (_, bounds, given_by_default) in OPTIONS.items():
        assert optional(getattr(F, name)) <= set(bounds) | TENSORS | set(given_by_default), name


@pytest.mark.parametrize("name", OPTIONS)
def test_defaults_are_the_documented_ones(name):
    assert defaults(getattr(F, name)) == OPTIONS[name][2]


@settings_of(OPTIONS)
def test_a_setting_outside_its_range_is_refused_by_name(name, option):
    call, settings, _ = OPTIONS[name]
    all_refused(name, option, call, settings[option])


@settings_of(OPTIONS)
def test_a_setting_within_its_range_is_accepted_and_used(name, option):
    """At the edges too, as a NumPy number too, which changes no dtype; and some value changes the result."""
    call, settings, _ = OPTIONS[name]
    assert some_change(option, call, settings[option])


SHAPED = {    # function with its optional tensors -> (call, the right shape)
    "layer_norm": (lambda **t: F.layer_norm(drawn(4, 2, 3), (2, 3), **t), (2, 3), ["weight", "bias"]),
    "batch_norm": (lambda **t: F.batch_norm(drawn(4, 3), **{"running_mean": Tensor(np.zeros(3)), "running_var": Tensor(np.ones(3)), **t}),
                   (3,), ["weight", "bias", "running_mean", "running_var"]),
    "linear": (lambda **t: F.linear(drawn(2, 4), drawn(3, 4), *t.values()), (3,), ["bias"]),
    "conv1d": (lambda **t: F.conv1d(drawn(2, 2, 5), drawn(3, 2, 2), **t), (3,), ["bias"]),
    "conv2d": (lambda **t: F.conv2d(drawn(2, 2, 5, 5), drawn(3, 2, 2, 2), **t), (3,), ["bias"]),
}


@pytest.mark.parametrize("name", SHAPED)
def test_an_optional_tensor_has_its_shape_is_used_and_gets_its_gradient(name):
    call, right, arguments = SHAPED[name]
    plain = call().data
    for argument in arguments:
        for shape in [(), (1,), (1, *right), (*right, 1), right[::-1] + (2,), (2,), (4,)]:
            with pytest.raises(ValueError, match=f"^{name}: {argument} must have shape"):
                call(**{argument: Tensor(np.ones(shape))})
        tensor = Tensor(2 + np.abs(drawn(*right)), requires_grad=True)
        y = call(**{argument: tensor})
        assert differ(y.data, plain)
        if argument in ("weight", "bias"):
            y.sum().backward()
            assert tensor.grad.shape == right


@pytest.mark.parametrize("statistics, message", [
    (dict(running_mean=Tensor(np.zeros(3))), "must both be given, or neither"),
    (dict(running_var=Tensor(np.zeros(3))), "must both be given, or neither"),
    (dict(running_mean=Tensor(np.zeros(3)), running_var=Tensor([1.0, -1.0, 1.0])), "running_var must be >= 0, got -1"),
])
@pytest.mark.parametrize("training", [True, False])
def test_running_statistics_come_together_and_are_variances(statistics, message, training):
    if training and len(statistics) == 2:
        return    # a batch moves them
    with pytest.raises(ValueError, match=f"^batch_norm: .*{message}"):
        F.batch_norm(drawn(4, 3), **statistics, training=training)


def test_batch_norm_in_training_rebinds_tensors_only():
    with pytest.raises(TypeError, match="batch_norm: running_mean and running_var must be Tensors in training"):
        F.batch_norm(drawn(4, 3), np.zeros(3), np.ones(3), training=True)
    assert_allclose(F.batch_norm(drawn(4, 3), np.zeros(3), np.ones(3)).data, drawn(4, 3) / math.sqrt(1 + 1e-5), rtol=1e-6)


def test_running_statistics_of_a_large_batch_keep_their_digits():
    x = (0.1 + 0.01 * np.random.default_rng(0).random((20_000, 2))).astype(np.float32)
    mean, var = Tensor(np.zeros(2, np.float32)), Tensor(np.ones(2, np.float32))
    F.batch_norm(x, mean, var, training=True, momentum=1.0)
    eps = np.finfo(np.float32).eps
    assert_allclose(mean.data, x.astype(float).mean(axis=0), rtol=4 * eps)
    assert_allclose(var.data, x.astype(float).var(axis=0, ddof=1), rtol=40 * eps)


def test_batch_norm_without_statistics_uses_the_batch_in_evaluation_too():
    x = drawn(6, 3)
    expected = (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + 1e-5)
    assert_allclose(F.batch_norm(x).data, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", sorted({"softmax", "log_softmax", "normalize", "cosine_similarity"}))
def test_dim_is_called_axis(name):
    args = [Tensor(drawn(2, 3))] * (2 if name == "cosine_similarity" else 1)
    with pytest.raises(TypeError, match=f"^{name}: dim is called axis here; write axis=1"):
        getattr(F, name)(*args, dim=1)


def nested_lists(x):
    return x.data.tolist() if isinstance(x, Tensor) else x.tolist()


@pytest.mark.parametrize("name", SMOOTH)
def test_lists_and_arrays_serve_as_tensors(name):
    f, inputs = SMOOTH[name](np.random.default_rng(0), 3, 2)
    if name == "dropout":
        inputs = [np.ones((3, 2))]
    expected = f(*map(Tensor, inputs)).data
    assert_array_equal(f(*inputs).data, expected)
    assert_allclose(f(*map(nested_lists, inputs)).data, expected, rtol=1e-5, atol=1e-5)    # in float32


@pytest.mark.parametrize("name", SMOOTH)
@pytest.mark.parametrize("bad", [[[1.0], [1.0, 2.0]], ["a"]], ids=["several lengths", "no numbers"])
def test_what_is_no_array_of_numbers_is_refused_by_the_function_s_name(name, bad):
    """In every place of a tensor; the first one may not be None either."""
    f, inputs = SMOOTH[name](np.random.default_rng(0), 3, 2)
    for k, value in [(0, None), *((k, bad) for k in range(len(inputs)))]:
        with pytest.raises((TypeError, ValueError), match=f"^{name}: "):
            f(*inputs[:k], value, *inputs[k + 1:])


@pytest.mark.parametrize("call, message", [
    (lambda: F.cross_entropy(Z, [[0], [0, 1]]), "cross_entropy: target must be a regular array"),
    (lambda: F.cross_entropy(Z, [0, 1], weight=[[1], [1, 2]]), "cross_entropy: weight must be a regular array"),
    (lambda: F.mse_loss(Z, [[0], [0, 1]]), "mse_loss: target must be a regular array"),
    (lambda: F.embedding([[0], [0, 1]], Z), "embedding: indices must be a regular array"),
    (lambda: F.layer_norm(Z, 3, weight=[[1], [1, 2]]), "layer_norm: weight must be a regular array"),
    (lambda: F.batch_norm(Z, [[1], [1, 2]], [1.0, 1, 1]), "batch_norm: running_mean must be a regular array"),
    (lambda: attend(X3, X3, X3, [[True], [True, False]]), "scaled_dot_product_attention: attn_mask must be a regular"),
    (lambda: F.kl_div(Z, Z, np.zeros((0, 2))), "kl_div: "),
])
def test_a_list_of_lists_of_several_lengths_is_refused_by_name(call, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        call()
