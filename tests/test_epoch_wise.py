"""Laws of epoch-wise double descent in its exact, linear form."""
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import rngs

from tinyml import Tensor
from tinyml.interpolation.double_descent import min_norm_risk, subset_risk
from tinyml.interpolation.epoch_wise import (
    descent,
    descent_bias2,
    descent_risk,
    descent_variance,
    equal_speed_rates,
    excess_risk,
    make_two_scales,
    population_risk,
    training_risk,
    turning_points,
)
from tinyml.interpolation.min_norm import gradient_descent, gradient_descent_closed_form, min_norm

TIMES = np.array([0, 1, 2, 3, 10, 100, 10**4, 10**9])


@st.composite
def settings(draw, max_share=1.9):
    """(X, beta, scales, lr): n and p up to 6, a scale and a learning rate per feature, s_max^2 < 2."""
    n, p, rng = draw(st.integers(1, 6)), draw(st.integers(1, 6)), draw(rngs)
    scales, ratio = rng.uniform(0.2, 1, p), rng.uniform(0.5, 1, p)
    X = rng.standard_normal((n, p)) * scales
    share = draw(st.floats(0.1, max_share))
    lr = ratio * share / np.linalg.norm(X * np.sqrt(ratio), 2) ** 2
    return X, rng.standard_normal(p), scales, lr


def rounding(X, lr, *vectors):
    """Rounding of a descent: eps times the square of the problem's conditioning times what enters.

    The fit X D = U diag(s) V' moves by 1 / s_min^2 when X D moves (Wedin 1973); D stretches it.
    100 n p stands for the modest constants of LAPACK and of the two or three products that follow.
    """
    D = np.sqrt(lr)
    stretch = max(1, D.max(), D.max() / D.min())
    sensitivity = max(1, 1 / np.linalg.svd(X * D, compute_uv=False).min()) ** 2
    size = 1 + sum(np.linalg.norm(v) for v in vectors)
    return 100 * X.size * np.finfo(float).eps * sensitivity * stretch ** 2 * size


def walk(X, y, lr, n_steps):
    """Gradient descent with the engine's gradient and a learning rate per feature."""
    beta = Tensor(np.zeros(X.shape[1]), requires_grad=True)
    iterates = [beta.data]
    for _ in range(n_steps):
        beta.grad = None
        loss = 0.5 * ((X @ beta - y) ** 2).sum()
        loss.backward()
        beta.data = beta.data - lr * beta.grad
        iterates.append(beta.data)
    return np.array(iterates)


def sphere_points(n):
    """2n points whose mean is 0 and whose second moments are those of N(0, I)."""
    return np.concatenate([np.eye(n), -np.eye(n)]) * np.sqrt(n)


@given(settings(), rngs, st.integers(0, 40))
def test_it_is_the_engine_s_descent_at_every_step_and_so_is_its_risk(setting, rng, n_steps):
    X, beta, scales, lr = setting
    y = X @ beta + rng.standard_normal(len(X))
    walked, written = walk(X, y, lr, n_steps), descent(X, y, np.arange(n_steps + 1), lr=lr)
    tolerance = (1 + n_steps) * rounding(X, lr, y)
    assert np.abs(walked - written).max() <= tolerance
    risk = [np.sum((scales * (b - beta)) ** 2) for b in walked]
    distance = np.sqrt(max(risk)) + tolerance
    assert np.abs(excess_risk(written, beta, scales=scales) - risk).max() <= (
        2 * len(beta) * tolerance * distance)


@given(settings(), rngs, st.integers(1, 40))
def test_with_one_step_for_all_it_is_the_lesson_s_first_descent(setting, rng, n_steps):
    X, beta, _, lr = setting
    y, lr = rng.standard_normal(len(X)), float(lr.min())
    written = descent(X, y, np.arange(n_steps + 1), lr=lr)
    for other in (gradient_descent, gradient_descent_closed_form):
        assert np.abs(other(X, y, lr=lr, n_steps=n_steps) - written).max() <= (
            (1 + n_steps) * rounding(X, np.full(len(beta), lr), y))


@given(settings(), st.floats(0, 2))
def test_bias_and_variance_add_up_to_the_expected_risk(setting, noise):
    """The risk is quadratic in eps, so its mean over the 2n points is its mean over N(0, noise)."""
    X, beta, scales, lr = setting
    ends = [descent(X, X @ beta + eps, TIMES, lr=lr)
            for eps in np.sqrt(noise) * sphere_points(len(X))]
    expected = np.mean([excess_risk(end, beta, scales=scales) for end in ends], axis=0)
    by_feature = np.mean([(scales * (end - beta)) ** 2 for end in ends], axis=0)
    bias2 = descent_bias2(X, beta, TIMES, lr=lr, scales=scales)
    variance = descent_variance(X, TIMES, lr=lr, scales=scales, sigma2=noise)
    risk = descent_risk(X, beta, TIMES, lr=lr, scales=scales, sigma2=noise)
    tolerance = rounding(X, lr, beta, [noise]) * (1 + by_feature.max())
    assert np.abs(bias2 + variance - by_feature).max() <= tolerance
    assert np.abs(risk - expected).max() <= len(beta) * tolerance
    without = descent(X, X @ beta, TIMES, lr=lr)
    assert np.abs(bias2 - (scales * (without - beta)) ** 2).max() <= tolerance


@given(settings(), rngs)
def test_the_excess_risk_is_the_error_on_new_samples_without_their_noise(setting, rng):
    _, beta, scales, _ = setting
    beta_hat = rng.standard_normal((2, 3, len(beta)))
    new = sphere_points(len(beta)) * scales
    error = ((beta_hat @ new.T - new @ beta) ** 2).mean(axis=-1)
    assert np.allclose(excess_risk(beta_hat, beta, scales=scales), error, rtol=1e-12)


def test_monte_carlo_agrees_with_the_expectation():
    rng, noise, draws = np.random.default_rng(0), 0.25, 2000
    X, _, beta, scales = make_two_scales(20, n_fast=8, n_slow=4, slow_scale=0.2, sigma2=noise,
                                         rng=rng)
    lr, t = equal_speed_rates(X, scales=scales), TIMES[1:]
    risks = np.array([
        excess_risk(descent(X, X @ beta + np.sqrt(noise) * rng.standard_normal(20), t, lr=lr), beta,
                    scales=scales) for _ in range(draws)])
    z = risks.mean(axis=0) - descent_risk(X, beta, t, lr=lr, scales=scales, sigma2=noise)
    z /= risks.std(axis=0) / np.sqrt(draws)
    assert np.abs(z).max() <= 4    # seven correlated normal values: beyond 4 once in 2,000 seeds


@given(settings(), rngs)
def test_in_the_end_it_is_the_minimum_norm_fit_in_the_coordinates_of_the_rates(setting, rng):
    X, beta, scales, lr = setting
    y, D = rng.standard_normal(len(X)), np.sqrt(lr)
    for steps, limit in ((lr, D * min_norm(X * D, y)), (lr.min(), min_norm(X, y))):
        end = descent(X, y, 10**18, lr=steps)
        tolerance = rounding(X, np.broadcast_to(steps, lr.shape), y)
        assert np.abs(end - limit).max() <= tolerance
        assert np.isclose(excess_risk(end, beta, scales=scales),
                          excess_risk(limit, beta, scales=scales), rtol=1e-6,
                          atol=tolerance)


@given(settings(), rngs)
def test_the_training_loss_never_rises(setting, rng):
    X, _, _, lr = setting
    y = rng.standard_normal(len(X))
    loss = ((descent(X, y, np.arange(200), lr=lr) @ X.T - y) ** 2).sum(axis=1)
    assert np.diff(loss).max() <= rounding(X, lr, y) * (y @ y)


@given(settings(max_share=1), st.floats(0.1, 10))
def test_with_one_scale_the_bias_falls_and_the_variance_rises(setting, scale):
    X, beta, scales, lr = setting
    share = float(np.linalg.norm(X, 2) ** 2 * lr.min())    # at most 1: no direction overshoots
    Z, scales = X / scales * scale, np.full(len(beta), scale)
    steps = dict(lr=share / np.linalg.norm(Z, 2) ** 2, scales=scales)
    t = np.unique(np.geomspace(1, 1e9, 100).astype(int)) - 1
    bias2 = descent_bias2(Z, beta, t, **steps).sum(axis=1)
    variance = descent_variance(Z, t, sigma2=1, **steps).sum(axis=1)
    tolerance = rounding(Z, np.full(len(beta), steps["lr"])) * max(bias2.max(), variance.max())
    assert np.diff(bias2).max() <= tolerance and np.diff(variance).min() >= -tolerance
    assert bias2[0] == pytest.approx(scale**2 * beta @ beta) and variance[0] == 0


@given(settings(), rngs)
def test_a_rate_per_feature_is_plain_descent_on_rescaled_features(setting, rng):
    X, beta, scales, _ = setting
    y, steps = rng.standard_normal(len(X)), equal_speed_rates(X, scales=scales)
    Z = X / scales
    plain = descent(Z, y, TIMES[:6], lr=1 / np.linalg.norm(Z, 2) ** 2) / scales
    assert np.abs(descent(X, y, TIMES[:6], lr=steps) - plain).max() <= rounding(X, steps, y)
    assert np.linalg.norm(X * np.sqrt(steps), 2) == pytest.approx(1, rel=1e-12)


@given(rngs)
def test_with_scales_far_apart_the_fast_features_are_fitted_first_as_if_alone(rng):
    """First comes the least squares fit of the fast features alone, then that of all.

    A slow direction is learned by 1 - (1 - s^2)^t <= t s^2, and a fast one is left by exp(-t s^2).
    """
    small = 1e-5
    X, y, _, scales = make_two_scales(12, n_fast=5, n_slow=3, slow_scale=small, sigma2=0.1,
                                      rng=rng)
    s = np.linalg.svd(X, compute_uv=False)
    lr = 1 / s[0] ** 2
    t = np.ceil(np.array([40 / s[4] ** 2, 40 / s[7] ** 2]) / lr).astype(int)    # exp(-40) is left
    alone = np.append(min_norm(X[:, :5], y), [0, 0, 0])
    walked, kappa = descent(X, y, t, lr=lr), (s[0] / s[4]) ** 2
    # At the first time the slow features are learned by 40 (s_slow / s_fast)^2 or less; their
    # coefficients are up to ||y|| / s_slow. They move the fast ones by the same order.
    leak = 40 * s[5] ** 2 / s[4] ** 2 * np.linalg.norm(y) / s[7]
    tolerance = 10 * kappa * (small * leak + 1e-13)
    assert np.sqrt(excess_risk(walked[0], alone, scales=scales)) <= tolerance
    Z = X / scales    # at the second time it is the fit of all features, whatever their scales
    together = min_norm(Z, y) / scales
    assert np.sqrt(excess_risk(walked[1], together, scales=scales)) <= 1e-9 * np.linalg.norm(y)


def test_the_two_plateaus_are_those_of_the_lesson_s_theory():
    """On average over X: the risk with the slow features hidden, then the risk with all of them."""
    rng, noise, n, fast, slow = np.random.default_rng(0), 0.1, 40, 12, 6
    risks = []
    for _ in range(300):
        X, _, beta, scales = make_two_scales(n, n_fast=fast, n_slow=slow, slow_scale=1e-5,
                                             sigma2=noise, rng=rng)
        lr = 1 / np.linalg.norm(X, 2) ** 2
        risks.append(descent_risk(X, beta, [10**4, 10**14], lr=lr, scales=scales, sigma2=noise))
    theory = [subset_risk(n, fast, signal_in=1, signal_out=1, sigma2=noise),
              min_norm_risk(n, fast + slow, signal=2, sigma2=noise)]
    z = (np.mean(risks, axis=0) - theory) / (np.std(risks, axis=0) / np.sqrt(len(risks)))
    assert np.abs(z).max() <= 4    # two normal values: beyond 4 once in 8,000 seeds


@given(rngs, st.floats(0.01, 1), st.floats(0, 2))
def test_both_groups_carry_the_same_signal(rng, slow_scale, noise):
    X, y, beta, scales = make_two_scales(50, n_fast=3, n_slow=2, slow_scale=slow_scale, sigma2=noise,
                                         rng=rng)
    assert X.shape == (50, 5) and y.shape == (50,)
    assert scales.tolist() == [1] * 3 + [slow_scale] * 2
    assert np.sum((scales * beta)[:3] ** 2) == pytest.approx(1, rel=1e-12)
    assert np.sum((scales * beta)[3:] ** 2) == pytest.approx(1, rel=1e-12)
    # ||eps||^2 / noise is chi-squared with 50 degrees: outside 15 .. 110 once in about a million.
    assert 15 * noise <= np.sum((y - X @ beta) ** 2) + 1e-20 and np.sum((y - X @ beta) ** 2) <= (
        110 * noise + 1e-20)
    Z = X / scales    # 250 standard normal values: the same bound in degrees 250 is 150 .. 390
    assert 140 <= np.sum(Z**2) <= 400


@pytest.mark.parametrize("shape", [(), (3,), (2, 1), (0,)])
def test_times_have_any_shape_and_any_order(shape):
    rng = np.random.default_rng(0)
    X, y, beta, scales = make_two_scales(6, n_fast=2, n_slow=2, slow_scale=0.5, sigma2=1, rng=rng)
    t = rng.integers(0, 50, shape)
    all_of_them = dict(lr=0.01, scales=scales)
    every = descent(X, y, np.arange(50), lr=0.01)
    assert descent(X, y, t, lr=0.01).shape == (*shape, 4)
    assert np.allclose(descent(X, y, t, lr=0.01), every[t], rtol=1e-12)
    assert np.array_equal(descent(X, y, t, lr=0.01), descent(X, y, t, lr=[0.01] * 4))
    assert descent_bias2(X, beta, t, **all_of_them).shape == (*shape, 4)
    assert descent_variance(X, t, sigma2=1, **all_of_them).shape == (*shape, 4)
    assert np.shape(descent_risk(X, beta, t, sigma2=1, **all_of_them)) == shape


@pytest.mark.parametrize("X", [np.zeros((0, 2)), np.zeros((3, 2)), np.zeros((0, 0)),
                               [[1, 1], [1, 1]], [[1e-200, 0]]])
def test_designs_at_the_edge_stay_finite(X):
    X = np.asarray(X, dtype=float)
    n, p = X.shape
    end = descent(X, np.ones(n), [0, 1, 10**9], lr=0.1)
    limit = min_norm(X, np.ones(n)) if np.abs(X).max(initial=0) == 1 else np.zeros(p)
    assert np.allclose(end[0], 0) and np.allclose(end[-1], limit, rtol=1e-12)
    bias2 = descent_bias2(X, np.ones(p), [0], lr=0.1, scales=np.ones(p))
    assert np.allclose(bias2, 1)
    assert np.all(descent_variance(X, [0], lr=0.1, scales=np.ones(p), sigma2=1) == 0)


@given(settings(), rngs, st.floats(0, 2))
def test_training_and_population_risk_are_the_errors_on_old_and_new_data(setting, rng, sigma2):
    X, beta, scales, _ = setting
    beta_t, y = rng.standard_normal((2, 3, len(beta))), rng.standard_normal(len(X))
    errors = [[np.mean((X @ b - y) ** 2) for b in row] for row in beta_t]
    np.testing.assert_allclose(training_risk(X, y, beta_t), errors, rtol=1e-12)
    new = sphere_points(len(beta)) * scales
    noise = np.sqrt(sigma2) * np.array([-1, 1])    # every pattern of the noise once
    errors = [((beta_t @ new.T - new @ beta - eps) ** 2).mean(axis=-1) for eps in noise]
    risk = population_risk(beta_t, beta, scales=scales, sigma2=sigma2)
    np.testing.assert_allclose(risk, np.mean(errors, axis=0), rtol=1e-12)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1), st.floats(0, 0.5))
def test_the_turning_points_are_the_first_fit_and_the_least_risk_before_it(curve, tolerance):
    train, test = np.array(curve).T
    t_min, t_int = turning_points(train, test, tolerance=tolerance)
    end = len(train) if t_int is None else t_int + 1
    assert (train[:end - (t_int is not None)] > tolerance).all()
    assert t_int is None or train[t_int] <= tolerance
    assert test[t_min] == test[:end].min() and (test[:t_min] > test[t_min]).all()


@pytest.mark.parametrize("call, message", [
    (lambda: descent([[1.0]], [1], [1], lr=2), r"descent: lr must keep s_max\^2 of .* below 2, got 2;"),
])
def test_what_no_contract_can_say_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
