"""The laws of distillation: the loss, its gradient and its limit, training, and the bias of a class."""
import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from strategies import rngs

from tinyml import Tensor, nn
from tinyml import functional as F
from tinyml.compression.distillation import (
    _fast_loss,
    distill,
    distillation_loss,
    shift_bias,
    soften,
    solve_bias,
)
from tinyml.data import batches
from tinyml.optim import SGD
from tinyml.train import predict

EPS = np.finfo(float).eps
temperatures = st.floats(-4, 4).map(lambda power: 10 ** power)
usual = st.floats(1, 30)


@st.composite
def batches_of_logits(draw, dtype=np.float64):
    """Student's and teacher's logits for N samples and C classes, and a label for each."""
    rng, n, n_classes = draw(rngs), draw(st.integers(1, 4)), draw(st.integers(1, 6))
    scale = draw(st.sampled_from([0.1, 1, 10]))
    student, teacher = scale * rng.standard_normal((2, n, n_classes))
    return student.astype(dtype), teacher.astype(dtype), rng.integers(0, n_classes, n)


def loss_and_gradient(student, teacher, target=None, *, temperature, alpha=1.0):
    z = Tensor(student, requires_grad=True)
    loss = distillation_loss(z, teacher, target, temperature=temperature, alpha=alpha)
    loss.backward()
    assert loss.dtype == z.grad.dtype == student.dtype and loss.shape == ()
    return loss.item(), z.grad


def softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def rounding(z, T):
    """Bound on the error of T^2 KL: a few eps for each logarithm, which is at most ln C + range / T."""
    return 30 * EPS * T * T * (math.log(z.shape[1]) + 1 + 2 * np.abs(z).max() / T)


# ------------------------------------------------------------ the loss

@given(problem=batches_of_logits(), T=usual, alpha=st.floats(0, 1))
def test_the_loss_is_the_formula_of_the_notes_in_a_slow_loop(problem, T, alpha):
    student, teacher, labels = problem
    total = 0
    for z_s, z_t, y in zip(student.tolist(), teacher.tolist(), labels):
        q, p = ([math.exp(z / T) / sum(math.exp(v / T) for v in row) for z in row] for row in (z_s, z_t))
        hard = -math.log(math.exp(z_s[y]) / sum(map(math.exp, z_s)))
        soft = T ** 2 * sum(a * math.log(a / b) for a, b in zip(p, q) if a > 0)
        total += ((1 - alpha) * hard + alpha * soft) / len(labels)
    atol = 2 * rounding(np.concatenate(problem[:2]), T)
    for target in (labels, np.eye(student.shape[1])[labels]):
        loss = distillation_loss(student, teacher, target, temperature=T, alpha=alpha).item()
        assert_allclose(loss, total, rtol=1e-12, atol=atol)


@given(problem=batches_of_logits(), T=temperatures, alpha=st.floats(0, 1))
def test_the_gradient_is_that_of_the_paper(problem, T, alpha):
    """(1 - alpha)(softmax - onehot) / N + alpha T (p_s - p_t) / N; T magnifies a few eps of p."""
    student, teacher, labels = problem
    gradient = loss_and_gradient(*problem, temperature=T, alpha=alpha)[1]
    hard = softmax(student) - np.eye(student.shape[1])[labels]
    soft = T * (softmax(student / T) - softmax(teacher / T))
    slack = 20 * EPS * (1 + T + np.abs(problem[0]).max() + np.abs(problem[1]).max())
    assert_allclose(gradient, ((1 - alpha) * hard + alpha * soft) / len(labels), atol=slack)


@given(problem=batches_of_logits(), T=st.floats(2, 4).map(lambda power: 10 ** power))
def test_at_high_temperature_it_is_regression_on_centred_logits(problem, T):
    """With v the centred logits, |v| <= a:  T softmax(v/T) = 1/C (T + v + (v^2 - mean v^2) / (2T)) + R.

    R = f''' / (6 T^2), f = softmax(hv). Its third derivative in h is f times a polynomial in v - Ev, the
    variance (<= a^2) and the third central moment (<= 2 a^3), at most 16 a^3 f, and f <= e^(2ah) / C.
    """
    student, teacher, _ = problem
    v_s, v_t = (z - z.mean(axis=1, keepdims=True) for z in (student, teacher))
    n, n_classes = student.shape
    gradient = loss_and_gradient(student, teacher, temperature=T)[1] * n * n_classes
    second = [v ** 2 - (v ** 2).mean(axis=1, keepdims=True) for v in (v_s, v_t)]
    a = max(np.abs(v_s).max(), np.abs(v_t).max())
    remainder = 2 * 16 * a ** 3 * math.exp(2 * a / T) / (6 * T ** 2)
    slack = 20 * n_classes * EPS * (T + a)
    assert_allclose(gradient, v_s - v_t + (second[0] - second[1]) / (2 * T), rtol=0, atol=remainder + slack)
    assert np.abs(gradient - (v_s - v_t)).max() <= 2 * a * a / T + remainder + slack    # so: of order 1/T


@given(problem=batches_of_logits(), T=temperatures)
def test_the_divergence_is_between_its_bounds_at_any_temperature(problem, T):
    """Pinsker: KL >= |p_t - p_s|_1^2 / 2, so 0 only if equal. Hoeffding: KL <= (range of u)^2 / 8, for
    KL = ln E e^-(u - Eu) with u = (z_t - z_s) / T under p_t."""
    student, teacher, _ = problem
    slack = rounding(np.concatenate(problem[:2]), T)
    per_row = [distillation_loss(z_s[None], z_t[None], temperature=T, alpha=1).item()
               for z_s, z_t in zip(student, teacher)]
    l1 = np.abs(soften(student, temperature=T) - soften(teacher, temperature=T)).sum(axis=1)
    assert (per_row >= T ** 2 * l1 ** 2 / 2 - slack).all()
    assert (per_row <= np.ptp(student - teacher, axis=1) ** 2 / 8 + slack).all()
    assert_allclose(loss_and_gradient(student, teacher, temperature=T)[0], np.mean(per_row), rtol=1e-12,
                    atol=slack)
    same, gradient = loss_and_gradient(teacher, teacher, temperature=T)
    assert abs(same) <= slack and np.abs(gradient).max() <= 20 * EPS * (T + np.abs(teacher).max())


@given(problem=batches_of_logits(np.float32), T=temperatures, scale=st.sampled_from([1, 1e3, 1e6]))
def test_float32_loses_no_digits_at_any_temperature(problem, T, scale):
    """Loss and gradient are computed in float64 and rounded once to float32, by eps / 2."""
    student, teacher, _ = problem
    student, teacher = student * np.float32(scale), teacher * np.float32(scale)
    loss, gradient = loss_and_gradient(student, teacher, temperature=T)
    exact, exact_gradient = loss_and_gradient(student.astype(float), teacher.astype(float), temperature=T)
    tiny = np.finfo(np.float32).tiny    # below it float32 has fewer digits
    assert loss == np.float32(exact)
    assert_allclose(gradient, exact_gradient, rtol=1e-7, atol=tiny)


@given(problem=batches_of_logits(np.float32), T=temperatures)
def test_without_the_teacher_it_is_cross_entropy_in_float64_bit_for_bit(problem, T):
    student, teacher, labels = problem
    loss, gradient = loss_and_gradient(student, teacher, labels, temperature=T, alpha=0.0)
    z = Tensor(student.astype(np.float64), requires_grad=True)
    plain = F.cross_entropy(z, labels)
    plain.backward()
    assert loss == np.float32(plain.item())
    assert_array_equal(gradient, z.grad.astype(np.float32))


@given(problem=batches_of_logits(), T=usual, alpha=st.floats(0, 1), data=st.data())
def test_logits_of_more_axes_are_rows(problem, T, alpha, data):
    """(N, ..., C) gives the same as (M, C): loss and gradient, with labels, probabilities and none."""
    student, teacher, labels = (np.concatenate([a, a[::-1]]) for a in problem)
    n, n_classes = student.shape
    batch = data.draw(st.sampled_from([(n, 1), (2, n // 2), (1, n // 2, 2), (n // 2, 2, 1)]))
    for target in (labels, np.eye(n_classes)[labels], None):
        share = 1 if target is None else alpha
        expected = loss_and_gradient(student, teacher, target, temperature=T, alpha=share)
        shaped = None if target is None else target.reshape(*batch, *target.shape[1:])
        found = loss_and_gradient(student.reshape(*batch, -1), teacher.reshape(*batch, -1), shaped,
                                  temperature=T, alpha=share)
        assert_allclose(found[0], expected[0], rtol=1e-12, atol=1e-13)
        assert_allclose(found[1].reshape(n, -1), expected[1], rtol=1e-12, atol=1e-13)


@given(problem=batches_of_logits(), T=temperatures, shift=st.floats(-50, 50))
def test_a_constant_added_to_all_logits_changes_nothing(problem, T, shift):
    """z + shift is rounded by eps (|z| + 50); the slope of the loss in it is at most 1, or the range of z."""
    student, teacher, labels = problem
    size = np.abs(np.concatenate(problem[:2])).max() + 50
    slack = 20 * EPS * size * (1 + size) + 2 * rounding(np.full((1, student.shape[1]), size), T)
    before = loss_and_gradient(*problem, temperature=T, alpha=0.5)
    for moved in ((student + shift, teacher), (student, teacher + shift)):
        after = loss_and_gradient(*moved, labels, temperature=T, alpha=0.5)
        assert_allclose(after[0], before[0], rtol=0, atol=slack)
        assert_allclose(after[1], before[1], rtol=0, atol=20 * EPS * (T + size))
    assert_allclose(soften(teacher + shift, temperature=T), soften(teacher, temperature=T), rtol=0,
                    atol=20 * EPS * (1 + size / T))


@given(problem=batches_of_logits(), T=temperatures)
def test_no_gradient_flows_to_the_teacher(problem, T):
    z_s, z_t = (Tensor(z, requires_grad=True) for z in problem[:2])
    distillation_loss(z_s, z_t, problem[2], temperature=T, alpha=0.5).backward()
    assert z_s.grad is not None and z_t.grad is None


@given(problem=batches_of_logits(), T=temperatures, factor=st.floats(1, 100))
def test_a_hotter_softmax_is_the_same_order_nearer_to_uniform(problem, T, factor):
    z = problem[0]
    cold, hot = soften(z, temperature=T), soften(z, temperature=min(T * factor, 1e4))
    assert_allclose(hot.sum(axis=1), 1, rtol=1e-14)
    assert_allclose(cold, softmax(z / T), rtol=1e-12 * (1 + 1 / T), atol=1e-300)
    order = z.argsort(axis=1)
    for p in (cold, hot):
        assert (np.diff(np.take_along_axis(p, order, axis=1), axis=1) >= 0).all()
    assert (hot.max(axis=1) <= cold.max(axis=1) * (1 + 1e-14)).all()
    spread = np.ptp(z, axis=1, keepdims=True) / 1e4    # p_c / p_j = e^((z_c - z_j) / T)
    assert (np.abs(soften(z, temperature=1e4) * z.shape[1] - 1) <= np.expm1(spread) + 1e-14).all()


@given(problem=batches_of_logits(), T=temperatures)
def test_the_classes_are_on_the_last_axis(problem, T):
    z = problem[0]
    p = soften(z, temperature=T)
    # an array of another size may be added up in another order
    assert_allclose(soften(z[0], temperature=T), p[0], rtol=1e-14, strict=True)
    assert_allclose(soften(np.stack([z, z]), temperature=T), np.stack([p, p]), rtol=1e-14, strict=True)
    assert soften(z.astype(np.float32), temperature=T).dtype == np.float32


# ------------------------------------------------------------ training

def mlp(sizes, rng):
    return nn.Sequential(nn.Linear(sizes[0], sizes[1], rng=rng), nn.Tanh(), nn.Linear(*sizes[1:], rng=rng))


def school(rng, n=10):
    """Student, teacher (with a layer that knows its mode), inputs, labels."""
    teacher = nn.Sequential(nn.BatchNorm1d(4), *mlp((4, 6, 3), rng))
    X, y = rng.standard_normal((n, 4)).astype(np.float32), rng.integers(0, 3, n)
    return mlp((4, 2, 3), rng), teacher, X, y


@given(batches_of_logits(), st.sampled_from([np.float32, np.float64]), st.sampled_from("CF"), temperatures,
       st.floats(0, 1), st.sampled_from(["labels", "none", "probabilities"]))
def test_the_fast_loss_is_the_plain_one_to_the_last_bit(problem, dtype, order, T, alpha, kind):
    """Value and gradient; other targets than labels go to the plain one."""
    student, teacher, labels = problem
    student, teacher = (np.asarray(z, dtype, order=order) for z in (student, teacher))
    target = {"labels": labels, "none": None, "probabilities": softmax(teacher)}[kind]
    alpha = 1 if target is None else alpha
    found = []
    for loss_of in (distillation_loss, _fast_loss):
        z = Tensor(student, requires_grad=True)
        loss = loss_of(z, teacher, target, temperature=T, alpha=alpha)
        loss.backward()
        found.append((loss.data.tobytes(), z.grad.tobytes()))
    assert found[0] == found[1]


@pytest.mark.parametrize("z_s, z_t, y", [
    (np.zeros((2, 3)), np.zeros((2, 3)), np.array([0, 3])),
    (np.zeros((2, 3)), np.zeros((2, 3)), np.array([0, -1])),
    (np.zeros((2, 3)), np.zeros((2, 3)), None),
    (np.zeros((2, 1)), np.zeros((2, 3)), np.array([0, 0])),
    (np.full((2, 3), np.nan), np.zeros((2, 3)), np.array([0, 0])),
    (np.zeros((2, 3)), np.full((2, 3), np.nan), np.array([0, 0]))])
def test_the_fast_loss_has_the_errors_of_the_plain_one(z_s, z_t, y):
    said = []
    for loss_of in (distillation_loss, _fast_loss):
        with pytest.raises((ValueError, TypeError)) as error:
            loss_of(Tensor(z_s), z_t, y, temperature=2.0, alpha=0.5)
        said.append(str(error.value))
    assert said[0] == said[1] and said[0].startswith(("distillation_loss: ", "cross_entropy: ", "kl_div: "))


@settings(max_examples=10)
@given(seed=st.integers(0, 1000), labelled=st.booleans())
def test_distill_is_the_loop_that_one_would_write(seed, labelled):
    (student, teacher, X, y), (twin, *_) = (school(np.random.default_rng(seed)) for _ in range(2))
    alpha, y = (0.7, y) if labelled else (1, None)
    sgd = SGD(student.parameters(), lr=0.1)
    history = distill(student, teacher, X, y, temperature=3, alpha=alpha, optimizer=sgd, epochs=2,
                      batch_size=4, rng=np.random.default_rng(seed))
    sgd, rng, soft = SGD(twin.parameters(), lr=0.1), np.random.default_rng(seed), predict(teacher, X)
    for _ in range(2):
        for x, z_t, labels in batches(X, soft, np.zeros(len(X)) if y is None else y, batch_size=4, rng=rng):
            sgd.zero_grad()
            distillation_loss(twin(Tensor(x)), z_t, labels if labelled else None, temperature=3,
                              alpha=alpha).backward()
            sgd.step()
    assert len(history) == 2
    for ours, theirs in zip(student.parameters(), twin.parameters()):
        assert_array_equal(ours.data, theirs.data)


@settings(max_examples=10)
@given(rng=rngs)
def test_with_augmentation_the_teacher_sees_what_the_student_sees(rng):
    """The augmentation is noise, never the same twice: each batch has to reach both, and only once."""
    student, teacher, X, y = school(rng)
    seen = {id(student): [], id(teacher): []}

    def look(module, x, y):
        seen.get(id(module), []).append(x.data)

    with nn.forward_hook(look):
        distill(student, teacher, X, y, temperature=3, alpha=0.7, optimizer=SGD(student.parameters(), lr=0.1),
                epochs=2, batch_size=4, rng=rng,
                augment=lambda x, rng: x + rng.standard_normal(x.shape).astype(np.float32))
    by_student, by_teacher = seen.values()
    assert len(by_student) == len(by_teacher) == 6    # 2 epochs of 10 = 4 + 4 + 2 samples
    for a, b in zip(by_student, by_teacher):
        assert_array_equal(a, b)
        assert not np.isin(a, X).any()    # augmented


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("augment", [None, lambda x, rng: x[:, ::-1]])
def test_the_teacher_stays_as_it_is_and_the_student_comes_nearer(training, augment):
    student, teacher, X, _ = school(np.random.default_rng(0))
    teacher.train(training)
    before = teacher.state_dict()
    calls = []
    with nn.forward_hook(lambda module, x, y: calls.append(1) if module is teacher else None):
        history = distill(student, teacher, X, temperature=3, alpha=1, epochs=20, batch_size=10,
                          augment=augment, optimizer=SGD(student.parameters(), lr=0.1),
                          rng=np.random.default_rng(0))
    assert len(calls) == (20 if augment else 1)
    assert history[-1]["loss"] < history[0]["loss"]
    for name, array in teacher.state_dict().items():
        assert_array_equal(array, before[name])
    assert all(p.grad is None for p in teacher.parameters())
    assert all(module.training == training for _, module in teacher.named_modules())


# ------------------------------------------------------------ the bias of a class

@st.composite
def votes(draw):
    """Logits in quarters, exact in every sum here, of n rows and C classes; a class; a share."""
    rng, n, n_classes = draw(rngs), draw(st.integers(1, 12)), draw(st.integers(2, 5))
    logits = rng.integers(-40, 41, (n, n_classes)) / 4
    return logits, draw(st.integers(0, n_classes - 1)), draw(st.floats(0, 1) | st.sampled_from([0, 0.5, 1]))


@given(vote=votes())
@example(vote=(np.array([[0.0, 1.0], [0.0, 2.0], [0.0, 3.0], [0.0, 4.0], [0.0, 5.0]]), 0, 0.5))    # 2.5 rows: 2
def test_with_the_solved_bias_the_class_is_predicted_as_often_as_asked(vote):
    logits, c, share = vote
    b = solve_bias(logits, c, share=share)
    moved = logits + b * np.eye(logits.shape[1])[c]
    margins = np.sort(np.delete(logits, c, axis=1).max(axis=1) - logits[:, c])
    k = round(share * len(logits))
    assert b == (margins[0] - 1 if k == 0 else margins[-1] + 1 if k == len(logits) else
                 (margins[k - 1] + margins[k]) / 2)
    if 0 < k < len(logits) and margins[k - 1] == margins[k]:
        assert b == margins[k]    # tied rows are on the edge together
    else:
        assert (moved.argmax(axis=1) == c).sum() == k
        assert not np.isin(margins, b).any()    # and no row is on the edge
    assert solve_bias(logits + 5 * np.eye(logits.shape[1])[c], c, share=share) == b - 5


@given(rng=rngs, by=st.integers(-9, 9), nested=st.booleans())
def test_a_shifted_bias_moves_one_logit_of_a_copy(rng, by, nested):
    inner = mlp((4, 5, 3), rng)
    model, x = nn.Sequential(inner) if nested else inner, Tensor(rng.standard_normal((6, 4)))
    before, c = model(x).data, int(rng.integers(3))
    after = shift_bias(model, c, by)(x).data
    others = np.arange(3) != c
    assert_array_equal(after[:, others], before[:, others])
    assert_allclose(after[:, c], before[:, c] + by, atol=1e-5)    # the bias is float32, at most about 10
    assert_array_equal(model(x).data, before)
    assert shift_bias(model, c, by)(x).dtype == before.dtype


@given(rng=rngs, by=st.integers(-9, 9))
def test_a_shifted_bias_moves_the_last_place_alone(rng, by):
    """The last layer, its bias, or the Sequential around it stands at other places as well."""
    layers = [nn.Linear(4, 4, rng=rng) for _ in range(2)]
    layers[1].bias = layers[rng.integers(2)].bias
    few = [*layers, nn.Sequential(nn.ReLU(), layers[0]), nn.Sequential(layers[0], nn.ReLU(), layers[1])]
    model = nn.Sequential(*[few[i] for i in rng.integers(0, 4, 4)])
    x, before = Tensor(rng.standard_normal((6, 4))), model.state_dict()
    shifted, c = shift_bias(model, 1, by), by * np.eye(4)[1]
    assert_allclose(shifted(x).data, model(x).data + c, atol=1e-5)
    layers[1].bias.requires_grad = False
    assert not shift_bias(nn.Sequential(layers[1]), 1, by)[0].bias.requires_grad
    assert all((array == before[name]).all() for name, array in model.state_dict().items())


# ------------------------------------------------------------ errors

class Scaled(nn.Linear):
    def forward(self, x):
        return 100 * super().forward(x)


Z, LAYER = np.zeros((2, 3)), nn.Linear(2, 3, rng=np.random.default_rng(0))


@pytest.mark.parametrize("call, words", [
    (lambda: distillation_loss(Z + np.nan, Z, [0, 0], temperature=1, alpha=0.5), "must not be NaN"),
    (lambda: distillation_loss(Z, Z[:1], [0, 0], temperature=1, alpha=0.5), r"N = \(2,\), C = 3, got shape \(1, 3\)"),
    (lambda: distillation_loss(Z, Z, [0, 3], temperature=1, alpha=0.5), r"target must be in 0..2, got 3"),
    (lambda: distillation_loss(Z, Z, [0], temperature=1, alpha=0.5), r"target must be .* got shape \(1,\)"),
    (lambda: distillation_loss(Z, Z, temperature=1, alpha=0.5), "^distillation_loss: target .* None if alpha = 1, got N"),
    (lambda: distill(LAYER, LAYER, Z, temperature=1, alpha=0, rng=np.random.default_rng(0)),
     "^distill: y .* None if alpha = 1, got None"),
    (lambda: distillation_loss(Z[:0], Z[:0], temperature=1, alpha=1), "at least one sample"),
    (lambda: distill(LAYER, LAYER, Z, [0], temperature=1, alpha=0, rng=None),
     r"distill: y must be .* with n = 2, got shape \(1,\)"),
    (lambda: shift_bias(LAYER, 3, 1), "class_index must be an int in 0..2, got 3"),
    (lambda: shift_bias(nn.Sequential(nn.ReLU()), 0, 1), r"must end with a Linear layer .* got .* ReLU\(\)"),
    (lambda: shift_bias(nn.Sequential(), 0, 1), "must end with a Linear layer"),
    (lambda: shift_bias(Scaled(2, 3, rng=np.random.default_rng(0)), 0, 1), "must end with a Linear layer"),
    (lambda: shift_bias(nn.Linear(2, 3, bias=False, rng=np.random.default_rng(0)), 0, 1), "that has a bias"),
])
def test_errors_say_what_to_write(call, words):
    with np.errstate(all="ignore"), pytest.raises((ValueError, TypeError), match=words):
        call()
