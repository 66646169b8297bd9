"""Laws of two filters that are almost one, of what they cost, and of leaving samples out."""
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategies import rngs
from tinyml.interpolation.early_stopping import (degrees_of_freedom, filter_risk,
                                                 generalized_cross_validation, leave_one_out,
                                                 matching_lam, risk_ratio_bound,
                                                 tuned_risk_ratio_bound)
from tinyml.interpolation.epoch_wise import descent, descent_risk
from tinyml.interpolation.min_norm import (descent_filter, min_norm,
                                           ridge, ridge_filter, svd)

EPS = np.finfo(float).eps
TIMES = st.sampled_from([1, 2, 3, 5, 10, 100, 10**4, 10**7])
PENALTIES = st.just(0.0) | st.floats(1e-3, 1e3)


@st.composite
def designs(draw, max_side=6):
    """X of any rank, 0 included; whole numbers, so that dependent columns are exactly dependent."""
    n, p = draw(st.integers(1, max_side)), draw(st.integers(1, max_side))
    rank, rng = draw(st.integers(0, min(n, p))), draw(rngs)
    return (rng.integers(-3, 4, (n, rank)) @ rng.integers(-3, 4, (rank, p))).astype(float)


def sphere_points(n):
    """2n points whose mean is 0 and whose second moments are those of N(0, I)."""
    return np.concatenate([np.eye(n), -np.eye(n)]) * np.sqrt(n)


def condition(X):
    """s_max / s_min of X, over the s that are not zero, or 1."""
    s = svd(X)[1]
    return s.max(initial=1) / s.min(initial=1)


def rounding(X, *vectors):
    """A bound on the rounding errors of a fit and its residuals: eps times the conditioning.

    A least-squares fit moves by eps kappa^2 times what enters (Wedin 1973, Perturbation theory for
    pseudo-inverses); 100 n p stands for the modest constants of LAPACK and of a few products.
    """
    size = 1 + sum(np.linalg.norm(v) for v in vectors)
    return 100 * X.size * EPS * condition(X) ** 2 * size


def step(X, share):
    """A step of descent: the given share of 1 / s_max^2, above which directions overshoot."""
    return share / svd(X)[1].max(initial=1) ** 2


# -------------------------------------------------- the filters, side by side

@given(s=st.lists(st.floats(1e-6, 1), min_size=1), t=TIMES, share=st.floats(0.01, 1))
def test_of_two_matching_filters_descent_holds_back_less_and_lets_pass_little_more(s, t, share):
    n = 7
    lam = matching_lam(t, lr=share, n_samples=n)
    f_ridge, f = ridge_filter(s, lam, n_samples=n), descent_filter(s, t, lr=share)
    slack = 1 + 1e-8                # the bound has eight digits
    rounding = 8 * EPS * (1 + t)    # of t factors 1 - lr s^2
    assert (f >= f_ridge / slack - rounding).all()
    assert (f <= f_ridge * np.sqrt(risk_ratio_bound(t)) * slack + rounding).all()


@given(t=TIMES, lr=st.floats(1e-3, 1), tiny=st.floats(1e-9, 1e-3))
def test_matching_filters_agree_to_first_order_in_small_directions(t, lr, tiny):
    """Both are u - O(u^2) with u = lr t s^2: ridge's is above u - u^2, and descent's u - u^2/2."""
    s = [np.sqrt(tiny / (lr * t))]
    for f in (ridge_filter(s, matching_lam(t, lr=lr, n_samples=3), n_samples=3),
              descent_filter(s, t, lr=lr)):
        rounding = 8 * EPS * (1 + t)    # of t factors 1 - lr s^2
        assert tiny - tiny ** 2 - rounding <= f[0] <= tiny + rounding


@given(designs(), PENALTIES)
def test_degrees_of_freedom_say_how_fitted_values_follow_their_targets(X, lam):
    pulls = [X[i] @ ridge(X, np.eye(len(X))[i], lam=lam) for i in range(len(X))]
    df = degrees_of_freedom(ridge_filter(svd(X)[1], lam, n_samples=len(X)))
    assert abs(df - sum(pulls)) <= len(X) * rounding(X) * max(1, np.linalg.norm(X))
    if lam == 0:
        assert abs(df - np.linalg.matrix_rank(X)) <= len(X) * EPS


# -------------------------------------------------- what they cost

@given(designs(), rngs, st.floats(0, 2), PENALTIES)
def test_the_risk_is_the_mean_over_the_noise(X, rng, noise, lam):
    """It is quadratic in eps, so its mean over the 2n points is its mean over N(0, noise)."""
    beta = rng.standard_normal(X.shape[1])
    ends = [ridge(X, X @ beta + np.sqrt(noise) * eps, lam=lam) for eps in sphere_points(len(X))]
    expected = np.mean(np.sum((np.array(ends) - beta) ** 2, axis=1))
    f = ridge_filter(svd(X)[1], [lam, lam], n_samples=len(X))
    risk = filter_risk(X, beta, f, sigma2=noise)
    assert risk.shape == (2,)
    assert np.abs(risk - expected).max() <= rounding(X, beta) * (1 + expected)


@given(designs(), rngs, st.floats(0, 2), st.floats(0.01, 1.9))
def test_for_descent_it_is_the_risk_of_the_epochs(X, rng, noise, share):
    beta, lr, t = rng.standard_normal(X.shape[1]), step(X, share), np.array([0, 1, 2, 10, 10**6])
    risk = filter_risk(X, beta, descent_filter(svd(X)[1], t, lr=lr), sigma2=noise)
    expected = descent_risk(X, beta, t, lr=lr, scales=np.ones(len(beta)), sigma2=noise)
    assert np.abs(risk - expected).max() <= rounding(X, beta) * (1 + expected.max())


@given(designs(), rngs, st.sampled_from([0, 0.1, 1, 10]), st.floats(0, 10), TIMES,
       st.sampled_from([0.75, 1]) | st.floats(0.01, 1))    # near the worst cases, and elsewhere
def test_descent_is_within_the_bound_whatever_the_problem(X, rng, size, noise, t, share):
    s, n, lr = svd(X)[1], len(X), step(X, share)
    beta = size * rng.standard_normal(X.shape[1])
    lam = matching_lam(t, lr=lr, n_samples=n)
    of_ridge = filter_risk(X, beta, ridge_filter(s, lam, n_samples=n), sigma2=noise)
    of_descent = filter_risk(X, beta, descent_filter(s, t, lr=lr), sigma2=noise)
    assert of_descent <= of_ridge * risk_ratio_bound(t) * (1 + 1e-8)    # eight digits


@given(designs(), st.floats(1e-3, 10), st.floats(1e-3, 10), st.integers(1, 10**4))
def test_with_ridge_at_its_best_no_filter_is_better_and_descent_is_within_the_tuned_bound(
        X, variance, noise, t):
    """Averaged over beta with coefficients of one variance; the risk is quadratic in beta."""
    (n, p), s = X.shape, svd(X)[1]
    betas = np.sqrt(variance) * sphere_points(p)
    t += int(np.ceil(variance / noise * s.max(initial=0) ** 2))    # so that lr <= 1 / s_max^2
    lr, lam = variance / noise / t, noise / variance / n
    assert matching_lam(t, lr=lr, n_samples=n) == pytest.approx(lam, rel=10 * EPS)

    def risk(f):
        return np.mean([filter_risk(X, beta, f, sigma2=noise) for beta in betas])

    best, rng = ridge_filter(s, lam, n_samples=n), np.random.default_rng(t)
    others = [risk(best + rng.uniform(-0.5, 0.5, len(s))) for _ in range(5)]
    ratio = risk(descent_filter(s, t, lr=lr)) / risk(best)
    slack = 1e-8 + rounding(X)
    assert min(others) >= risk(best) * (1 - slack)
    assert 1 - slack <= ratio <= tuned_risk_ratio_bound(t) * (1 + slack)


@pytest.mark.parametrize("t, worst", [(1, 1), (2, 1.5), (10**7, 1.79328)])
def test_the_bound_is_reached(t, worst):
    """Without a signal, in the worst direction; there the ratio is flat: 1e-5 off costs 1e-10."""
    s, lr = [1.0], worst / t
    f = descent_filter(s, t, lr=lr)
    f_ridge = ridge_filter(s, matching_lam(t, lr=lr, n_samples=1), n_samples=1)
    ratio = filter_risk([[1]], [0], f, sigma2=1) / filter_risk([[1]], [0], f_ridge, sigma2=1)
    assert ratio == pytest.approx(risk_ratio_bound(t), rel=1e-8)


def test_the_constants_are_those_of_the_paper_rounded_up():
    """At the worst u e^u = 1 + u + u^2, so C = (1 + u)^2 / (1 + u + u^2)."""
    low, high = 1.0, 3.0
    for _ in range(60):
        u = (low + high) / 2
        low, high = (u, high) if np.exp(u) < 1 + u + u * u else (low, u)
    C = (1 + u) ** 2 / (1 + u + u * u)
    assert risk_ratio_bound(np.inf) == pytest.approx(C ** 2, rel=1e-8)
    assert 0 < 1.2985 - C < 1e-4 and 0 < 1.6862 - C ** 2 < 4e-4
    assert 0 < 1.2147 - tuned_risk_ratio_bound(np.inf) < 1e-4
    for bound, first in ((risk_ratio_bound, 4), (tuned_risk_ratio_bound, 2)):
        falling = [bound(t) for t in (1, 2, 3, 5, 10, 100, 10**4, np.inf)]
        assert falling[0] == pytest.approx(first, rel=1e-12)
        assert (np.diff(falling) < 0).all()


# -------------------------------------------------- leaving samples out

def slow_leave_one_out(X, y, lam):
    """The same by n fits: the penalty n lam is that of the n - 1 others at n lam / (n - 1)."""
    n = len(X)
    fits = [ridge(np.delete(X, i, 0), np.delete(y, i, 0), lam=n * lam / max(n - 1, 1))
            for i in range(n)]
    return np.array([y[i] - X[i] @ fit for i, fit in enumerate(fits)])


@given(designs(), rngs, st.lists(PENALTIES, min_size=1, max_size=3), st.sampled_from([(), (2,)]))
def test_leaving_one_out_takes_one_factorisation(X, rng, lams, k):
    y = rng.standard_normal((len(X), *k))
    errors = leave_one_out(X, y, lams)
    assert errors.shape == (len(lams), *y.shape)
    others = [np.delete(X, i, 0) for i in range(len(X))]
    # 1 / (1 - h_i) <= 1 + ||x_i||^2 ||X_{-i}^+||^2 multiplies the error of the residual
    worst = max(condition(rest) * max(1, 1 / svd(rest)[1].min(initial=1)) for rest in others)
    tolerance = rounding(X, y) * (worst * max(1, np.linalg.norm(X))) ** 2
    for found, lam in zip(errors, lams):
        assert np.abs(found - slow_leave_one_out(X, y, lam)).max() <= tolerance


@given(designs(), rngs, PENALTIES)
def test_generalized_cross_validation_has_no_preferred_coordinates(X, rng, lam):
    y, Q = rng.standard_normal(len(X)), np.linalg.qr(rng.standard_normal((len(X), len(X))))[0]
    score = generalized_cross_validation(X, y, lam)
    assert abs(generalized_cross_validation(Q @ X, Q @ y, lam) - score) <= (
        rounding(X, y) * condition(X) ** 2 * (1 + score))    # at lam = 0 it divides by tr K^-1


@given(designs(), rngs, st.floats(1e-3, 1e3))
def test_it_weighs_the_errors_of_leave_one_out_by_leverage(X, rng, lam):
    n, y, (U, s, _) = len(X), rng.standard_normal(len(X)), svd(X)
    f = ridge_filter(s, lam, n_samples=n)
    weight = (1 - U ** 2 @ f) / (1 - degrees_of_freedom(f) / n)
    expected = np.mean((weight * leave_one_out(X, y, lam)) ** 2)
    # 1 - h_i >= n lam / (s_max^2 + n lam) is a difference: it loses the digits of its reciprocal
    lost = 1 + np.linalg.norm(X) ** 2 / (n * lam)
    assert abs(generalized_cross_validation(X, y, lam) - expected) <= (
        rounding(X, y) * lost ** 2 * (1 + expected))


@given(st.integers(1, 6), rngs, PENALTIES)
def test_with_equal_leverages_the_two_are_one(n, rng, lam):
    row, y = rng.standard_normal(n) + 5 * np.eye(n)[0], rng.standard_normal(n)
    X = np.array([np.roll(row, i) for i in range(n)])    # circulant: no sample is special
    assert generalized_cross_validation(X, y, lam) == pytest.approx(
        np.mean(leave_one_out(X, y, lam) ** 2), rel=rounding(X, y) * condition(X) ** 2)


def test_at_zero_it_is_the_limit_even_where_a_sample_is_interpolated():
    X, y = np.array([[1.0, 0], [0, 2], [0, 2]]), np.array([3.0, 1, 5])
    assert np.allclose(leave_one_out(X, y, 0), [3, -4, 4])    # no other sample sees feature 1
    square, y = np.array([[2.0, 1], [1, 2]]), np.array([1.0, -1])
    for score in (leave_one_out, generalized_cross_validation):
        # The distance from the limit is of order n lam / s_min^2; s_min = 1.
        assert np.allclose(score(square, y, 0), score(square, y, 1e-12), rtol=1e-11, atol=0)
    assert np.allclose(leave_one_out(square, y, 0), slow_leave_one_out(square, y, 0))


@pytest.mark.parametrize("lam", [0, 1e-3, 1])
def test_a_sample_that_almost_settles_a_direction_is_not_taken_for_one_that_does(lam):
    """1 - h is 1e-8 here, known to some eps: of its digits 1e-8 relatively are lost."""
    X, y = np.array([[1e4, 0], [1, 1], [0, 1]]), np.array([1.0, 2, 3])
    assert np.allclose(leave_one_out(X, y, lam), slow_leave_one_out(X, y, lam), rtol=1e-6, atol=0)


@pytest.mark.parametrize("X, y, expected", [
    ([[2]], [4], [4]),
    (np.zeros((2, 3)), [1, 2], [1, 2]),
    (np.zeros((2, 0)), [1, 2], [1, 2]),
    (np.ones((3, 2)), [0, 3, 6], [-4.5, 0, 4.5]),
    ([[1e200, 0], [0, 1e200]], [1, 2], [1, 2]),
    ([[1e-200, 0], [0, 1e-200]], [1, 2], [1, 2]),
    (np.zeros((0, 2)), [], []),
], ids=["one sample", "zeros", "no features", "constant", "huge", "tiny", "no samples"])
def test_designs_at_the_edge(X, y, expected):
    assert np.allclose(leave_one_out(X, y, 0), expected, rtol=1e-12, atol=1e-12)
    assert np.shape(leave_one_out(X, y, [[0, 1]])) == (1, 2, len(y))
    X, s = np.asarray(X, float), svd(X)[1]
    f = np.ones(len(s))    # lam = 0
    beta = np.ones(X.shape[1])
    risk = filter_risk(X, beta, f, sigma2=0)
    assert risk == pytest.approx(np.sum((beta - min_norm(X, X @ beta)) ** 2), abs=1e-12)
    if len(X):
        assert generalized_cross_validation(X, y, [0, 1]).shape == (2,)


def test_noise_that_a_tiny_design_blows_up_beyond_all_numbers_is_infinite():
    assert filter_risk([[1e-200]], [1], [1], sigma2=1) == np.inf
    assert filter_risk([[1e-200]], [1], [1], sigma2=0) == 0


def test_epochs_at_a_step_are_the_filter_of_that_step():
    X, y = np.array([[1.0, 2], [3, 4], [5, 7]]), np.array([1.0, 0, 2])
    (U, s, Vh), lr, t = svd(X), 0.01, np.array([[0, 3], [50, 10**6]])
    f = descent_filter(s, t, lr=lr)
    assert f.shape == (2, 2, 2)
    assert np.allclose((f / s * (U.T @ y)) @ Vh, descent(X, y, t, lr=lr), rtol=1e-12)


@pytest.mark.parametrize("call, message", [
    (lambda: matching_lam(0, lr=1, n_samples=1), "matching_lam: t must be > 0, got 0"),
    (lambda: matching_lam(1, lr=-1, n_samples=1), "matching_lam: lr must be > 0, got -1"),
    (lambda: degrees_of_freedom(1), "degrees_of_freedom: f must have an axis"),
    (lambda: filter_risk(np.eye(2), [1], [1, 1], sigma2=0),
     r"beta must end in an axis of 2 for this X, got shape \(1,\)"),
    (lambda: filter_risk(np.ones((2, 2)), [1, 1], [1, 1], sigma2=0),
     r"f must end in an axis of 1 for this X, got shape \(2,\)"),
    (lambda: filter_risk(np.eye(2), [1, 1], [1, 1], sigma2=-1), "sigma2 must be >= 0.* got -1"),
    (lambda: risk_ratio_bound(0), "risk_ratio_bound: t must be an int >= 1, got 0"),
    (lambda: tuned_risk_ratio_bound(1.5), "tuned_risk_ratio_bound: t must be an int >= 1, got 1.5"),
    (lambda: leave_one_out([[1], [2]], [1], 0), r"leave_one_out: y must have shape .* got \(1,\)"),
    (lambda: leave_one_out([[1]], [1], np.nan), "leave_one_out: lam must be finite"),
    (lambda: leave_one_out([[1]], [np.inf], 0), "leave_one_out: y must be finite"),
    (lambda: generalized_cross_validation(np.zeros((0, 1)), [], 0), "X must have a sample"),
    (lambda: generalized_cross_validation([[1]], [1], -2), "lam must be >= 0, got -2"),
])
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_words_are_not_numbers():
    with pytest.raises(TypeError, match="leave_one_out: X must hold real numbers"):
        leave_one_out([["one"]], [1], 0)
