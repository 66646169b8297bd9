"""The laws of BYOL: its loss, the momentum of the target, both directions, who gets a gradient, spread."""
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from strategies import rngs

from tinyml import Tensor, nn
from tinyml.gradcheck import gradcheck
from tinyml.optim import SGD
from tinyml.selfsupervised.byol import BYOL, byol_loss, spread, target_momentum, train_byol
from tinyml.selfsupervised.moco import momentum_copy, update_momentum


def head(rng, d, out):
    return nn.Sequential(nn.Linear(d, 5, rng=rng), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, out, rng=rng))


def byol(rng, n_steps=10, base=0.9, d=3, out=2):
    return BYOL(head(rng, d, out), head(rng, out, out), n_steps=n_steps, base=base)


def shifted(x, rng):
    return x + rng.normal(0, 0.1, x.shape).astype(x.dtype)


# ------------------------------------------------------------ the loss

@given(rng=rngs, n=st.integers(1, 5), d=st.integers(1, 4))
def test_the_loss_is_the_squared_distance_of_the_directions(rng, n, d):
    p, z = rng.standard_normal((2, n, d))
    u, v = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (p, z))
    loss = byol_loss(Tensor(p), z).item()
    assert_allclose(loss, ((u - v) ** 2).sum(axis=1).mean(), atol=1e-14)
    scales = rng.uniform(0.1, 10, (2, n, 1))
    assert_allclose(byol_loss(Tensor(scales[0] * p), scales[1] * z).item(), loss, atol=1e-14)
    assert_allclose([byol_loss(Tensor(p), sign * p).item() for sign in (1, -1)], [0, 4], atol=1e-14)


@given(rng=rngs, n=st.integers(1, 4), d=st.integers(2, 4))
def test_the_gradient_is_that_of_the_loss_and_orthogonal_to_each_row(rng, n, d):
    p, z = rng.standard_normal((2, n, d))
    gradcheck(byol_loss, p, z, rng=rng)
    p = Tensor(p, requires_grad=True)
    byol_loss(p, z).backward()
    assert_allclose((p.grad * p.data).sum(axis=1), 0, atol=1e-14)    # lengths do not matter


def test_zero_vectors_have_a_finite_loss_and_gradient():
    p = Tensor(np.zeros((2, 3), np.float32), requires_grad=True)
    loss = byol_loss(p, np.ones((2, 3), np.float32))
    loss.backward()
    assert loss.item() == 2 and loss.dtype == np.float32 and np.isfinite(p.grad).all()


# ------------------------------------------------------------ tau and spread

@given(n_steps=st.integers(1, 1000), base=st.floats(0, 1), part=st.floats(0, 1))
def test_tau_rises_from_the_base_to_one_like_half_a_cosine(n_steps, base, part):
    taus = [target_momentum(k, n_steps, base=base) for k in range(n_steps + 2)]
    assert_allclose([taus[0], taus[-2], taus[-1]], [base, 1, 1], atol=1e-15)
    assert (np.diff(taus) >= 0).all()
    k = round(part * n_steps)
    assert_allclose(taus[k] + taus[n_steps - k], 1 + base, atol=1e-14)    # symmetric about the middle
    assert_allclose(taus[k], 1 - (1 - base) * np.cos(np.pi * k / n_steps / 2) ** 2, atol=1e-14)


@given(rng=rngs, n=st.integers(1, 9), d=st.integers(1, 5))
def test_spread_is_bounded_by_that_of_the_sphere_and_knows_no_length(rng, n, d):
    z = rng.standard_normal((n, d))
    value = spread(z)
    assert np.ndim(value) == 0
    u = z / np.linalg.norm(z, axis=1, keepdims=True)
    # the mean square over coordinates is (1 - ||mean u||^2) / D; the mean is at most its root
    assert 0 <= value <= np.sqrt(max(0, 1 - (u.mean(axis=0) ** 2).sum()) / d) + 1e-7
    slow = np.mean([np.sqrt(np.mean([(a - sum(column) / n) ** 2 for a in column])) for column in u.T])
    assert_allclose(value, slow, rtol=1e-12, atol=1e-15)
    assert_allclose(spread(z * rng.uniform(0.1, 10, (n, 1))), value, atol=1e-12)
    assert spread(np.tile(z[:1], (n, 1)) * rng.uniform(0.1, 10, (n, 1))) <= 1e-15
    signs = np.concatenate([np.eye(d), -np.eye(d)])
    assert_allclose(spread(signs), 1 / np.sqrt(d))
    assert_allclose(spread([[3.0] + [0.0] * (d - 1), [0.0] * d]), 1 / (2 * d))    # a zero vector stays zero
    assert spread(np.zeros((n, d))) == 0


def test_on_the_sphere_the_spread_is_that_of_the_formula():
    d, n = 8, 20_000
    z = np.random.default_rng(0).standard_normal((n, d))
    assert_allclose(spread(z), 1 / np.sqrt(d), rtol=5 / np.sqrt(2 * n * d))    # five standard errors


# ------------------------------------------------------------ a batch

@given(rng=rngs, base=st.sampled_from([0, 0.5, 1]))
@settings(max_examples=15)
def test_a_batch_goes_through_the_algorithm_of_the_paper(rng, base):
    """The target has moved after each step but the first, by tau of the step; then both directions."""
    model = byol(rng, n_steps=3, base=base)
    model.model.eval()
    online, predictor = model.model
    oracle = momentum_copy(online)
    for k in range(3):
        x1, x2 = rng.standard_normal((2, 4, 3)).astype(np.float32)
        update_momentum(oracle, online, momentum=target_momentum(k, 3, base=base))
        loss = model.loss(x1, x2)
        expected = 0
        for this, other in ((x1, x2), (x2, x1)):
            p, z = predictor(online(Tensor(this))).data, oracle(Tensor(other)).data
            cos = (p * z).sum(axis=1) / np.linalg.norm(p, axis=1) / np.linalg.norm(z, axis=1)
            expected += (2 - 2 * cos).mean()
        assert_allclose(loss.item(), expected, atol=1e-5)    # float32, of cosines
        for p in online.parameters():                        # as an optimizer would
            p.data = p.data + np.float32(0.1)


@given(rng=rngs)
@settings(max_examples=5)
def test_no_gradient_reaches_the_target_and_it_still_moves(rng):
    model, X = byol(rng, base=0.5), rng.standard_normal((6, 3)).astype(np.float32)
    before = model.target.state_dict()
    train_byol(model, X, view=shifted, rng=rng, epochs=2, batch_size=3,
               optimizer=SGD(model.model.parameters(), lr=0.1))
    assert model.step == 4
    assert all(p.grad is None and not p.requires_grad for p in model.target.parameters())
    assert all(p.grad is not None for p in model.model.parameters())
    after = model.target.state_dict()
    assert all(not np.array_equal(after[name], before[name]) for name in ("0.weight", "3.weight", "1.running_var"))
    assert not any(module.training for _, module in model.model.named_modules())


def test_a_target_with_tau_1_stays_as_it_was():
    rng = np.random.default_rng(0)
    model = BYOL(nn.Linear(3, 2, rng=rng), nn.Linear(2, 2, rng=rng), n_steps=10, base=1)
    before = model.target.weight.data
    train_byol(model, rng.standard_normal((6, 3)).astype(np.float32), view=shifted, rng=rng, epochs=2,
               batch_size=3, optimizer=SGD(model.model.parameters(), lr=0.1))
    assert_array_equal(model.target.weight.data, before)


def test_online_and_target_see_both_views_of_every_image():
    seen, views = [], []

    class Watched(nn.Linear):
        def forward(self, x):
            seen.append((self.training, x.data))
            return super().forward(x)

    def view(x, rng):
        views.append(shifted(x, rng))
        return views[-1]
    rng = np.random.default_rng(0)
    model = BYOL(Watched(3, 2, rng=rng).eval(), nn.Linear(2, 2, rng=rng), n_steps=2)
    train_byol(model, rng.standard_normal((4, 3)).astype(np.float32), view=view, rng=rng, epochs=1,
               batch_size=4, optimizer=SGD(model.model.parameters()))
    assert all(training for training, _ in seen) and len(views) == 2
    for (_, x), i in zip(seen, (0, 1, 0, 1)):    # target, then online
        assert_array_equal(x, views[i])


def test_training_attracts_the_views_of_one_image():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((32, 3)).astype(np.float32)
    model = byol(rng, n_steps=120, out=3)
    history = train_byol(model, X, view=shifted, rng=rng, epochs=30, batch_size=8,
                         optimizer=SGD(model.model.parameters(), lr=0.1, momentum=0.9))
    assert history[-1]["loss"] < 0.5 * history[0]["loss"]
