"""The laws of optimizers and schedules: closed forms, invariances, and what a step leaves alone."""
import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from strategies import rngs

from tinyml import Tensor, nn, optim

EPS = np.finfo(np.float64).eps
rates = st.floats(1e-3, 0.5)
OPTIMIZERS = {
    "SGD": lambda params: optim.SGD(params, lr=0.1),
    "momentum": lambda params: optim.SGD(params, lr=0.1, momentum=0.9, weight_decay=0.1),
    "Nesterov": lambda params: optim.SGD(params, lr=0.1, momentum=0.9, nesterov=True),
    "Adam": lambda params: optim.Adam(params, lr=0.1, weight_decay=0.1),
    "AdamW": lambda params: optim.AdamW(params, lr=0.1),
}
every_optimizer = pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)


def parameter(x):
    return nn.Parameter(np.array(x))


def trajectory(optimizer, gradients):
    """The parameter's values after each of the steps that these gradients ask for."""
    p, = optimizer.params
    values = []
    for g in gradients:
        p.grad = np.asarray(g)
        optimizer.step()
        values.append(p.data)
    return np.array(values)


# ------------------------------------------------------------ SGD

@given(rng=rngs, curvature=st.floats(0.1, 2), lr=rates, steps=st.integers(1, 20))
def test_gradient_descent_on_a_parabola_is_geometric(rng, curvature, lr, steps):
    """L = h/2 |x - c|^2 has x_t - c = (1 - lr h)^t (x_0 - c)."""
    start, c = rng.normal(size=(2, 3))
    x = parameter(start)
    sgd = optim.SGD([x], lr)
    for _ in range(steps):
        sgd.zero_grad()
        (curvature / 2 * ((x - c) ** 2).sum()).backward()
        sgd.step()
    # every step rounds numbers no larger than |x_0| + 2 |c| a few times
    bound = 8 * steps * EPS * (np.abs(start) + 2 * np.abs(c) + 1).max()
    assert_allclose(x.data - c, (1 - lr * curvature) ** steps * (start - c), rtol=0, atol=bound)


@given(rng=rngs, lr=rates, momentum=st.floats(0.01, 0.99), nesterov=st.booleans(),
       steps=st.integers(1, 20))
def test_momentum_on_a_parabola_is_a_linear_map(rng, lr, momentum, nesterov, steps):
    """(x, v) -> (x - lr v', v') with v' = momentum v + x; Nesterov's x - lr (x + momentum v')."""
    x = parameter(rng.normal())
    start = float(x.data)
    look = (1 - lr * (1 + momentum), -lr * momentum ** 2) if nesterov else (1 - lr, -lr * momentum)
    power = np.linalg.matrix_power(np.array([look, (1, momentum)]), steps)
    sgd = optim.SGD([x], lr, momentum, nesterov=nesterov)
    for _ in range(steps):
        trajectory(sgd, [x.data])    # L = x^2 / 2: the gradient is x
    # |x| and |v| stay below |x_0| / (1 - momentum), and each step rounds them a few times
    bound = 16 * steps * EPS * (abs(start) + 1) / (1 - momentum)
    assert x.item() == pytest.approx(power[0, 0] * start, rel=0, abs=bound)


@given(rng=rngs, momentum=st.floats(0.01, 0.99), nesterov=st.sampled_from([None, False, True]), decay=st.floats(0, 0.5))
def test_weight_decay_is_the_gradient_of_a_penalty(rng, momentum, nesterov, decay):
    momentum, nesterov = (0, False) if nesterov is None else (momentum, nesterov)
    gradients, start = rng.normal(size=(5, 3)), rng.normal(size=3)
    got = trajectory(optim.SGD([parameter(start)], 0.1, momentum, decay, nesterov), gradients)
    p = parameter(start)
    sgd = optim.SGD([p], 0.1, momentum, nesterov=nesterov)
    for t, g in enumerate(gradients):
        p.grad = g + decay * p.data
        sgd.step()
        assert_array_equal(got[t], p.data)


@given(rng=rngs, momentum=st.floats(0.01, 0.99), nesterov=st.booleans(), steps=st.integers(1, 8))
def test_the_velocity_holds_gradients_whatever_the_rate_was(rng, momentum, nesterov, steps):
    """p moves by the rate of today times a sum of gradients, in which no rate of before is left."""
    gradients, lrs, p = rng.normal(size=(steps, 3)), rng.uniform(0.01, 1, steps), parameter(rng.normal(size=3))
    sgd = optim.SGD([p], 1.0, momentum, nesterov=nesterov)
    for t, lr in enumerate(lrs):
        before, sgd.lr = p.data, lr
        v = sum(momentum ** (t - i) * gradients[i] for i in range(t + 1))
        trajectory(sgd, gradients[[t]])
        step = gradients[t] + momentum * v if nesterov else v
        assert_allclose(p.data, before - lr * step, rtol=1e-12, atol=1e-12)


@given(rng=rngs, dtype=st.sampled_from([np.float32, np.float64]), lr=rates, momentum=st.floats(0.01, 0.99),
       nesterov=st.booleans())
def test_sgd_is_its_formula_to_the_last_bit(rng, dtype, lr, momentum, nesterov):
    """The step multiplies by arrays in the parameter's dtype, as NumPy does with Python's numbers."""
    gradients, p = rng.normal(size=(4, 3)).astype(dtype), rng.normal(size=3).astype(dtype)
    got, v = trajectory(optim.SGD([parameter(p)], lr, momentum, nesterov=nesterov), gradients), 0
    for t, g in enumerate(gradients):
        v = momentum * v + g
        p = p - lr * (g + momentum * v if nesterov else v)
        assert_array_equal(got[t], p)


# ------------------------------------------------------------ Adam

@given(rng=rngs, lr=rates, betas=st.tuples(st.floats(0, 0.99), st.floats(0, 0.999)),
       eps=st.floats(1e-8, 1e-2), decay=st.sampled_from([0, 0.1]), decoupled=st.booleans())
@example(rng=np.random.default_rng(0), lr=0.03, betas=(0.9, 0.99), eps=1e-8, decay=0.1, decoupled=False)
@example(rng=np.random.default_rng(0), lr=0.03, betas=(0.9, 0.99), eps=1e-8, decay=0.1, decoupled=True)
def test_adam_is_its_algorithm_to_the_letter(rng, lr, betas, eps, decay, decoupled):
    """The source rearranges algorithm 1 for speed; here it stands as printed."""
    gradients, p = rng.normal(size=(8, 3)), rng.normal(size=3)
    make = optim.AdamW if decoupled else optim.Adam
    got = trajectory(make([parameter(p)], lr, betas, eps, decay), gradients)
    m = v = np.zeros(3)
    for t, g in enumerate(gradients, 1):
        p, g = (p - lr * decay * p, g) if decoupled else (p, g + decay * p)
        m, v = betas[0] * m + (1 - betas[0]) * g, betas[1] * v + (1 - betas[1]) * g ** 2
        p = p - lr * (m / (1 - betas[0] ** t)) / (np.sqrt(v / (1 - betas[1] ** t)) + eps)
        # 1 - beta^t loses eps / (1 - beta) of itself, which is at most 1000 eps here
        assert_allclose(got[t - 1], p, rtol=1e-11, atol=1e-11)


@given(rng=rngs, lr=rates, steps=st.integers(1, 30))
def test_adam_walks_at_the_rate_lr_along_a_constant_gradient(rng, lr, steps):
    """Both corrections undo the start from zero: m^ = g and v^ = g^2 at every t, also the first."""
    start, g = rng.normal(size=(2, 4))
    x = trajectory(optim.Adam([parameter(start)], lr), [g] * steps)[-1]
    pace = lr * g / (np.abs(g) + 1e-8)
    assert_allclose(x, start - steps * pace, rtol=1e-11, atol=1e-11)


@given(rng=rngs, exponent=st.integers(-30, 30))
def test_adam_does_not_see_the_scale_of_the_gradient(rng, exponent):
    """With eps in the gradient's units, and a power of 2: the same bits."""
    gradients, start, scale = rng.normal(size=(6, 3)), rng.normal(size=3), 2.0 ** exponent
    plain = trajectory(optim.Adam([parameter(start)], eps=1e-3), gradients)
    scaled = trajectory(optim.Adam([parameter(start)], eps=1e-3 * scale), scale * gradients)
    assert_array_equal(scaled, plain)


@given(rng=rngs, lr=rates, decay=st.floats(0, 1), steps=st.integers(1, 10))
def test_decoupled_decay_shrinks_by_a_factor_and_stays_out_of_the_moments(rng, lr, decay, steps):
    start, gradients = rng.normal(size=3), rng.normal(size=(steps, 3))
    adamw = optim.AdamW([parameter(start)], lr, weight_decay=decay)
    still = trajectory(adamw, np.zeros((steps, 3)))
    want = start
    for t in range(steps):
        want = want * (1 - lr * decay)
        assert_allclose(still[t], want, rtol=4 * (t + 1) * EPS)    # x - lr decay x: 4 roundings
    without = trajectory(optim.AdamW([parameter(start)], lr, weight_decay=0), gradients)
    assert_array_equal(without, trajectory(optim.Adam([parameter(start)], lr), gradients))
    p = parameter(start)
    adamw = optim.AdamW([p], lr, weight_decay=decay)
    steps_with = np.diff(np.vstack([start, trajectory(adamw, gradients)]), axis=0)
    before = np.vstack([start, start + np.cumsum(steps_with, axis=0)])[:-1]
    steps_without = np.diff(np.vstack([start, without]), axis=0)
    assert_allclose(steps_with, steps_without - lr * decay * before, atol=1e-13)


# ------------------------------------------------------------ what every step leaves alone

@every_optimizer
def test_a_step_rebinds_the_data_and_writes_to_no_array_of_others(make):
    x = parameter([1.0, 2.0])
    optimizer = make([x])
    for _ in range(3):
        old, g = x.data, np.array([0.5, -3.0])
        before = old.tobytes(), g.tobytes()
        x.grad = g
        optimizer.step()
        assert x.data is not old and x.grad is g and (old.tobytes(), g.tobytes()) == before
        assert not np.shares_memory(x.data, old) and not np.shares_memory(x.data, g)


@every_optimizer
@given(rng=rngs)
def test_parameters_do_not_meet(make, rng):
    """Two optimized together move as each alone, also when one has no gradient for a while."""
    starts, gradients = rng.normal(size=(2, 3)), rng.normal(size=(6, 2, 3))
    present = rng.random((6, 2)) < 0.6
    together = [parameter(start) for start in starts]
    both = make(together)
    for g, here in zip(gradients, present):
        both.zero_grad()
        assert all(p.grad is None for p in together)
        for i in np.flatnonzero(here):
            together[i].grad = g[i]
        absent = [(p, p.data) for p in together if p.grad is None]
        both.step()
        assert all(p.data is data for p, data in absent)
    for i, start in enumerate(starts):
        alone = parameter(start)
        trajectory(make([alone]), gradients[present[:, i], i])
        assert_array_equal(together[i].data, alone.data)


@every_optimizer
@pytest.mark.parametrize("shape", [(), (0,), (1,), (2, 3)])
def test_shape_and_dtype_stay(make, shape):
    x = nn.Parameter(np.ones(shape, np.float32))
    optimizer = make([x])
    for _ in range(3):
        optimizer.zero_grad()
        (x * x).sum().backward()
        optimizer.step()
    assert type(x.data) is np.ndarray and x.shape == shape and x.dtype == np.float32
    assert (x.data < 1).all()    # and downhill


NUMBERS = [np.float64, np.float32, np.float16, lambda x: np.int64(max(1, round(x)))]


@pytest.mark.parametrize("number", NUMBERS, ids=["float64", "float32", "float16", "int64"])
@pytest.mark.parametrize("when", ["at the door", "later", "out of a schedule", "in a group"])
def test_a_numpy_number_as_a_setting_changes_no_dtype(number, when):
    """float32 times np.float64 is float64: the model's file would double."""
    lr = number(0.1)
    for kind, settings in ((optim.SGD, dict(weight_decay=number(0.25))),
                           (optim.SGD, dict(momentum=np.float64(0.5), nesterov=np.True_)),
                           (optim.Adam, dict(betas=(np.float64(0.5), np.float32(0.5)), eps=number(0.25))),
                           (optim.Adam, dict(weight_decay=number(0.25))), (optim.AdamW, {})):
        p = nn.Parameter(np.ones(3, np.float32))
        optimizer = kind([p], lr=lr if when == "at the door" else 0.1, **settings)
        if when == "out of a schedule":
            optim.LambdaLR(optimizer, lambda t: number(0.5)).step()
        if when == "in a group":
            optimizer.param_groups[0] |= {"lr": lr, **settings}
        for _ in range(2):
            optimizer.lr = lr if when == "later" else optimizer.lr
            p.grad = np.full(3, 0.5)    # a float64 gradient of the caller's
            optimizer.step()
        assert p.dtype == np.float32 and all(
            value.dtype != np.float64 for kept in optimizer.keeps for value in vars(optimizer)[kept].values()
            if isinstance(value, np.ndarray))


@given(rng=rngs, decay=st.sampled_from([0.0, 0.1]), steps=st.integers(1, 5), cls=st.sampled_from([optim.Adam, optim.AdamW]))
def test_adam_in_place_is_adam(rng, decay, steps, cls):
    """From LARGE entries on the moments are updated in their own memory: the same but for rounding."""
    large, entry = optim.LARGE, rng.integers(optim.LARGE)
    start, gradients = rng.normal(size=large), rng.normal(size=(steps, large))
    adams = cls([parameter(start)], 0.1, weight_decay=decay), cls([parameter(start[[entry]])], 0.1, weight_decay=decay)
    whole, alone = trajectory(adams[0], gradients), trajectory(adams[1], gradients[:, [entry]])
    assert_allclose(whole[:, [entry]], alone, rtol=1e-12, atol=1e-12)
    for kept in "mv":
        assert_allclose(vars(adams[0])[kept][0][[entry]], vars(adams[1])[kept][0], rtol=1e-12, atol=1e-15)
    frozen = [array.copy() for array in gradients]
    assert_array_equal(frozen, gradients)


# ------------------------------------------------------------ groups, and what is kept

@every_optimizer
@given(rng=rngs)
def test_a_group_moves_as_an_optimizer_of_its_own(make, rng):
    starts, gradients = rng.normal(size=(3, 4)), rng.normal(size=(5, 3, 4))
    kind = type(make([parameter([0.0])]))
    settings = {"lr": 0.3, "weight_decay": 0.05}
    together, apart = ([parameter(start) for start in starts] for _ in range(2))
    grouped = kind([{"params": together[:1]}, {"params": iter(together[1:]), **settings}], lr=0.1)
    alone = kind(apart[:1], lr=0.1), kind(apart[1:], **settings)
    schedules = [optim.LambdaLR(o, lambda t: 1 / (1 + t)) for o in (grouped, *alone)]
    assert grouped.params == together
    for g in gradients:
        for params in (together, apart):
            for p, part in zip(params, g):
                p.grad = part
        for stepped in (grouped, *alone, *schedules):
            stepped.step()
    assert_array_equal([p.data for p in together], [p.data for p in apart])
    with pytest.raises(RuntimeError, match="^.* lr must be one rate for all groups"):
        grouped.lr
    grouped.param_groups[1]["lr"] = grouped.param_groups[0]["lr"] = 0.5
    assert grouped.lr == 0.5


@every_optimizer
@given(rng=rngs, k=st.integers(0, 3))
def test_a_loaded_state_goes_on_as_the_saved_one(make, rng, k):
    """Bit for bit, also where a parameter had no gradient yet; and the copies are nobody else's."""
    starts, gradients = rng.normal(size=(2, 3)), rng.normal(size=(k + 3, 2, 3))
    params = [parameter(start) for start in starts]
    first = make(params)
    schedule = optim.LambdaLR(first, lambda t: 1 / (1 + t))

    def go(params, *stepped, steps):
        for g in steps:
            params[0].grad, params[1].grad = g[0], None if g is gradients[0] else g[1]
            for part in stepped:
                part.step()
    go(params, first, schedule, steps=gradients[:k])
    state, tempo = first.state_dict(), schedule.state_dict()
    others = [parameter(p.data.copy()) for p in params]
    go(params, first, schedule, steps=gradients[k:])
    second = make(others)
    later = optim.LambdaLR(second, lambda t: 1 / (1 + t))
    second.lr = 7.0
    second.load_state_dict(state)
    later.load_state_dict(tempo)
    go(others, second, later, steps=gradients[k:])
    assert_array_equal([p.data for p in params], [p.data for p in others])
    assert first.state_dict().keys() == second.state_dict().keys() and first.lr == second.lr


def test_a_state_that_does_not_fit_is_refused_and_nothing_changes():
    def adam(kind=optim.Adam, sizes=(3, 2)):
        made = kind([parameter(np.ones(n)) for n in sizes])
        for p in made.params:
            p.grad = np.ones(p.shape)
        made.step()
        return made
    good, mine = adam().state_dict(), adam()
    before = mine.state_dict()
    wrong = {
        "class must be Adam, got AdamW": adam(optim.AdamW).state_dict(),
        "unexpected m.0 of shape (4,)": adam(sizes=(4, 2)).state_dict(),
        "groups.0.params must be [0 1], got [0]": adam(sizes=(3,)).state_dict(),
        "missing groups.0.eps": {key: value for key, value in good.items() if key != "groups.0.eps"},
        "missing v.1": {key: value for key, value in good.items() if key != "v.1"},
        "unexpected t.-1": {**good, "t.-1": np.array(3)},
        "unexpected other": {**good, "other": np.array(3)},
        "Adam: lr must be >= 0": {**good, "groups.0.lr": np.array(-1.0)},
    }
    for message, state in wrong.items():
        with pytest.raises(ValueError) as error:
            mine.load_state_dict(state)
        assert message in str(error.value)
        assert all(np.array_equal(value, before[key]) for key, value in mine.state_dict().items())
    with pytest.raises(ValueError, match='"t" alone'):
        optim.LambdaLR(mine, lambda t: 1).load_state_dict({})


# ------------------------------------------------------------ clipping

@given(rng=rngs, bound=st.floats(0.01, 100), dtype=st.sampled_from([np.float32, np.float64]))
def test_clipping_shortens_the_gradient_and_keeps_its_direction(rng, bound, dtype):
    parameters = [nn.Parameter(np.zeros(shape, dtype)) for shape in ((2, 3), (), (4,))]
    for p in parameters[:2]:
        p.grad = np.asarray(rng.normal(size=p.shape), dtype)
    before = [p.grad for p in parameters[:2]]
    for g in before:    # as those of `backward`: NumPy raises where somebody writes
        g.setflags(write=False)
    flat = np.concatenate([g.ravel() for g in before]).astype(np.float64)
    norm = optim.clip_grad_norm_(iter(parameters), bound)
    assert isinstance(norm, float) and norm == pytest.approx(np.linalg.norm(flat), rel=1e-12)
    after = np.concatenate([p.grad.ravel() for p in parameters[:2]])
    tiny = 4 * float(np.finfo(dtype).eps)
    assert_allclose(after, flat * min(1, bound / norm), rtol=tiny)
    assert parameters[2].grad is None
    for p in parameters[:2]:
        assert type(p.grad) is np.ndarray and p.grad.dtype == dtype and p.grad.shape == p.shape
    if norm <= bound:
        assert all(p.grad is g for p, g in zip(parameters, before))


@pytest.mark.parametrize("size", [1e-30, 1e-25, 1e20, 1e30])
def test_clipping_squares_no_float32(size):
    p = nn.Parameter(np.zeros(4, np.float32))
    p.grad = np.full(4, size, np.float32)
    assert optim.clip_grad_norm_([p], size) == pytest.approx(2 * size, rel=1e-6)
    assert_allclose(p.grad, size / 2, rtol=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_clipping_refuses_what_has_no_direction(bad):
    fine, broken = nn.Parameter(np.zeros(2)), nn.Parameter(np.zeros(2))
    fine.grad, broken.grad = np.array([30.0, 40.0]), np.array([0, bad])
    with pytest.raises(ValueError):
        optim.clip_grad_norm_([fine, broken], 1.0)
    assert fine.grad.tolist() == [30, 40]
    assert optim.clip_grad_norm_([nn.Parameter(np.zeros(2))], 1.0) == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_clipping_says_what_it_refuses(bad):
    p = nn.Parameter(np.zeros(2))
    p.grad = np.array([0, bad])
    with pytest.raises(ValueError, match=f"^clip_grad_norm_: .* finite, got norm {bad}; run"):
        optim.clip_grad_norm_([p], 1.0)


@given(rng=rngs, bound=st.floats(0.01, 1))
def test_one_tensor_is_clipped_and_a_shared_one_once(rng, bound):
    g = rng.normal(size=4) + 3
    p = parameter(np.zeros(4))
    for parameters in (p, [p, p], (q for q in [p])):
        p.grad = g
        assert optim.clip_grad_norm_(parameters, np.float64(bound)) == pytest.approx(np.linalg.norm(g))
        assert np.linalg.norm(p.grad) == pytest.approx(bound)


# ------------------------------------------------------------ schedules

@given(lr=rates, steps=st.integers(0, 5), other=rates)
def test_a_second_schedule_starts_where_the_first_one_did(lr, steps, other):
    sgd = optim.SGD([parameter(0.0)], lr)
    first = optim.LambdaLR(sgd, lambda t: optim.cosine_decay(t, 4))
    for _ in range(steps):
        first.step()
    assert optim.LambdaLR(sgd, lambda t: 0.5).optimizer.lr == lr * 0.5
    sgd.lr = other    # a rate that somebody sets is a new beginning
    assert optim.LambdaLR(sgd, lambda t: 0.5).optimizer.lr == other * 0.5


@pytest.mark.parametrize("factor, kind", [(math.nan, ValueError), (-0.1, ValueError), (math.inf, ValueError),
                                          ("1", TypeError), (None, TypeError), ([1.0], TypeError)])
def test_a_factor_is_a_finite_number(factor, kind):
    sgd = optim.SGD([parameter(0.0)], 0.1)
    with pytest.raises(kind, match=r"^LambdaLR: lr_lambda\(0\) must be"):
        optim.LambdaLR(sgd, lambda t: factor)
    schedule = optim.LambdaLR(sgd, lambda t: factor if t else 1)
    with pytest.raises(kind, match=r"^LambdaLR: lr_lambda\(1\) must be"):
        schedule.step()


@given(t=st.integers(0, 200), t_max=st.integers(1, 150), final=st.floats(0, 1),
       size=st.integers(1, 30), gamma=st.floats(0.1, 1))
def test_schedules_are_their_formulas(t, t_max, final, size, gamma):
    assert optim.step_decay(t, size, gamma) == gamma ** (t // size)
    step = optim.step_decay(t + size, size, gamma)
    assert step == pytest.approx(gamma * optim.step_decay(t, size, gamma), rel=1e-13)
    cosine = lambda t: optim.cosine_decay(t, t_max, final)    # noqa: E731
    assert cosine(0) == 1 and cosine(t_max + t) == pytest.approx(final, abs=EPS)
    assert cosine(t) >= cosine(t + 1) - EPS and final - EPS <= cosine(t) <= 1
    if t <= t_max:    # a half turn: symmetric about the middle
        assert cosine(t) + cosine(t_max - t) == pytest.approx(1 + final, abs=4 * EPS)
    warm = optim.linear_warmup(t, size)
    assert warm == min(1, (t + 1) / size) and optim.linear_warmup(size - 1, size) == 1


@given(lr=rates, steps=st.integers(0, 20))
def test_a_schedule_multiplies_the_first_rate(lr, steps):
    sgd = optim.SGD([parameter(0.0)], lr)
    factor = lambda t: optim.linear_warmup(t, 5) * optim.cosine_decay(t, 15)    # noqa: E731
    schedule = optim.LambdaLR(sgd, factor)
    rates_seen = [sgd.lr]
    for _ in range(steps):
        schedule.step()
        rates_seen.append(sgd.lr)
    assert rates_seen == [lr * factor(t) for t in range(steps + 1)]
    trajectory(sgd, [1.0])
    assert sgd.params[0].item() == -lr * factor(steps)    # and the step obeys it


# ------------------------------------------------------------ what is refused, and in which words

P = [nn.Parameter(np.zeros(2))]
Q = nn.Parameter(np.zeros(2))
FROZEN = nn.Parameter(np.zeros(1), requires_grad=False)


def one_step(**changes):
    """A step of an SGD whose parameter has the gradient, or whose group the setting, that is asked for."""
    sgd = optim.SGD([parameter([0.0, 0.0])])
    sgd.params[0].grad = changes.pop("grad", np.zeros(2))
    sgd.param_groups[0] |= changes
    sgd.step()


ERRORS = {    # message -> (kind of error, call)
    **{f"SGD: nesterov must be True or False, got {value!r}": (
        TypeError, lambda value=value: optim.SGD(P, momentum=0.9, nesterov=value)) for value in ("no", None, 1, math.nan)},
    "clip_grad_norm_: parameters must be a list of Tensors, got NoneType; write model.parameters()":
        (TypeError, lambda: optim.clip_grad_norm_(None, 1)),
    "Adam: params must be a list of parameters, got ndarray":
        (TypeError, lambda: optim.Adam(np.array(1.0))),
    "SGD: params must hold at least one parameter, got none":
        (ValueError, lambda: optim.SGD([])),
    "Adam: params must be Tensors with requires_grad=True, got Tensor([1.]":
        (TypeError, lambda: optim.Adam([Tensor([1.0])])),
    "SGD: params must be a list of parameters, got Parameter; write model.parameters(), or [p]":
        (TypeError, lambda: optim.SGD(P[0])),
    "AdamW: params must be a list of parameters, got ReLU; write model.parameters()":
        (TypeError, lambda: optim.AdamW(nn.ReLU())),
    "SGD: params must be Tensors with requires_grad=True, got Tensor([0.], shape=(1,), dtype=float64); write "
    "[p for p in model.parameters() if p.requires_grad]":
        (TypeError, lambda: optim.SGD([FROZEN])),
    "SGD: params must hold each parameter once, got number 1 of shape (2,) before":
        (ValueError, lambda: optim.SGD([P[0], P[0]])),
    "SGD: params must hold each parameter once, got number 2 of shape (2,) before":
        (ValueError, lambda: optim.SGD([{"params": [P[0]]}, {"params": [Q, P[0]]}])),
    "SGD: params must hold at least one parameter, got none; an iterator that was used before is empty":
        (ValueError, lambda: optim.SGD([{"params": P}, {"params": iter([])}])),
    "SGD: params must be groups with the settings lr, momentum, weight_decay, nesterov, got rate":
        (TypeError, lambda: optim.SGD([{"params": P, "rate": 1}])),
    'SGD: params must be parameters alone, or a dict with "params" for each group, got Parameter':
        (TypeError, lambda: optim.SGD([{"params": P}, Q])),
    'SGD: params must be parameters alone, or a dict with "params" for each group, got dict':
        (TypeError, lambda: optim.SGD([{"lr": 1}])),
    "SGD: params must be a list of parameters, got dict":
        (TypeError, lambda: optim.SGD({"params": P})),
    "SGD: p.grad must have the shape of p (2,), got (1,)":
        (ValueError, lambda: one_step(grad=np.zeros(1))),
    "SGD: lr must be >= 0 and finite, got -inf":
        (ValueError, lambda: one_step(lr=-math.inf)),
    "Adam: betas must be two numbers, got (0.9,)":
        (TypeError, lambda: optim.Adam(P, betas=(0.9,))),
    "LambdaLR: arguments must be an Optimizer and a function of t, got SGD and float":
        (TypeError, lambda: optim.LambdaLR(optim.SGD(P), 0.5)),
    "clip_grad_norm_: parameters must hold at least one Tensor, got none; an iterator":
        (ValueError, lambda: optim.clip_grad_norm_(iter([]), 1)),
    "clip_grad_norm_: parameters must be Tensors, got tuple":
        (TypeError, lambda: optim.clip_grad_norm_([("weight", P[0])], 1)),
    "step_decay: t must be an int, got 1.5":
        (TypeError, lambda: optim.step_decay(1.5, 2)),
    "cosine_decay: t must be >= 0, got -1":
        (ValueError, lambda: optim.cosine_decay(-1, 2)),
    "linear_warmup: t must be an int, got nan":
        (TypeError, lambda: optim.linear_warmup(math.nan, 2)),
    "step_decay: step_size must be an int, got 2.5":
        (TypeError, lambda: optim.step_decay(1, 2.5)),
    "step_decay: gamma must be > 0, got 0":
        (ValueError, lambda: optim.step_decay(1, 2, 0)),
    "cosine_decay: final must be >= 0 and <= 1, got 1.5":
        (ValueError, lambda: optim.cosine_decay(1, 2, 1.5)),
    "SGD: lr must be >= 0, got -1":
        (ValueError, lambda: optim.SGD(P, lr=-1)),
    "SGD: lr must be >= 0 and finite, got nan":
        (ValueError, lambda: optim.SGD(P, lr=math.nan)),
    "SGD: lr must be >= 0 and finite, got inf":
        (ValueError, lambda: optim.SGD(P, lr=math.inf)),
    "SGD: lr must be a number, got '0.1'":
        (TypeError, lambda: optim.SGD(P, lr="0.1")),
    "SGD: momentum must be >= 0 and < 1, got 1.0":
        (ValueError, lambda: optim.SGD(P, momentum=1.0)),
    "SGD: weight_decay must be >= 0, got -0.1":
        (ValueError, lambda: optim.SGD(P, weight_decay=-0.1)),
    "SGD: momentum must be > 0 with nesterov=True, got 0.0":
        (ValueError, lambda: optim.SGD(P, nesterov=True)),
    "Adam: betas must be >= 0 and < 1, got 1.0":
        (ValueError, lambda: optim.Adam(P, betas=(0.9, 1.0))),
    "AdamW: eps must be > 0, got 0":
        (ValueError, lambda: optim.AdamW(P, eps=0)),
    "AdamW: weight_decay must be >= 0, got -1":
        (ValueError, lambda: optim.AdamW(P, weight_decay=-1)),
    "clip_grad_norm_: max_norm must be > 0, got 0":
        (ValueError, lambda: optim.clip_grad_norm_(P, 0)),
    "step_decay: step_size must be >= 1, got 0":
        (ValueError, lambda: optim.step_decay(1, 0)),
    "cosine_decay: t_max must be > 0, got 0":
        (ValueError, lambda: optim.cosine_decay(1, 0)),
    "linear_warmup: steps must be >= 1, got 0":
        (ValueError, lambda: optim.linear_warmup(1, 0)),
}


@pytest.mark.parametrize("message", ERRORS)
def test_an_error_names_function_argument_requirement_and_value(message):
    kind, call = ERRORS[message]
    with pytest.raises(kind) as error:
        call()
    assert str(error.value).startswith(message)


def test_an_optimizer_without_a_rule_says_so():
    p = parameter([1.0])
    p.grad = np.ones(1)
    with pytest.raises(NotImplementedError, match="^Optimizer: update must be defined"):
        optim.Optimizer([p], 0.1).step()


@pytest.mark.parametrize("make", [lambda p: optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.1),
                                  lambda p: optim.Adam(p, lr=0.1)])
def test_projections_run_in_turn_after_every_step(make):
    p, seen = Tensor([1.0, 2.0], requires_grad=True), []

    def to_the_right():
        p.data = np.maximum(p.data, np.float32(0.95))
    optimizer = make([p])
    optimizer.projections += [to_the_right, lambda: seen.append(p.data.min())]
    for _ in range(5):
        optimizer.zero_grad()
        (p * p).sum().backward()
        optimizer.step()
    assert seen == [np.float32(0.95)] * 5
