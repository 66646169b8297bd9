"""Laws of the filters of ridge and stopped descent, and of their risks."""
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import rngs

from tinyml.interpolation.early_stopping import (
    degrees_of_freedom,
    filter_risk,
    matching_lam,
    risk_ratio_bound,
    tuned_risk_ratio_bound,
)
from tinyml.interpolation.epoch_wise import descent, descent_risk
from tinyml.interpolation.min_norm import descent_filter, min_norm, svd
from tinyml.interpolation.ridge import ridge, ridge_filter

EPS = np.finfo(float).eps
TIMES = st.sampled_from([1, 2, 3, 5, 10, 100, 10**4, 10**7])
PENALTIES = st.floats(1e-3, 1e3)


@st.composite
def designs(draw, max_side=6):
    """X of any rank, 0 included; of integers, so that dependent columns are exactly dependent."""
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
def test_descent_shrinks_less_than_matching_ridge_but_only_by_the_bound(s, t, share):
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


@given(designs(), st.just(0.0) | PENALTIES)
def test_degrees_of_freedom_sum_how_much_fitted_values_follow_their_targets(X, lam):
    slopes = [X[i] @ ridge(X, np.eye(len(X))[i], lam=lam) for i in range(len(X))]
    df = degrees_of_freedom(ridge_filter(svd(X)[1], lam, n_samples=len(X)))
    assert abs(df - sum(slopes)) <= len(X) * rounding(X) * max(1, np.linalg.norm(X))
    if lam == 0:
        assert abs(df - np.linalg.matrix_rank(X)) <= len(X) * EPS


@given(designs(), st.lists(st.just(0.0) | PENALTIES, max_size=3))
def test_degrees_of_freedom_of_many_penalties_are_those_of_each(X, lams):
    s = svd(X)[1]
    together = degrees_of_freedom(ridge_filter(s, [lams, lams], n_samples=len(X)))
    alone = [degrees_of_freedom(ridge_filter(s, lam, n_samples=len(X))) for lam in lams]
    assert together.shape == (2, len(lams))
    assert np.abs(together - alone).max(initial=0) <= 10 * len(s) * EPS


# -------------------------------------------------- their risks

@given(designs(), rngs, st.floats(0, 2), st.just(0.0) | PENALTIES)
def test_the_risk_is_the_mean_over_the_noise(X, rng, sigma2, lam):
    """It is quadratic in eps, so its mean over the 2n points is its mean over N(0, sigma2)."""
    beta = rng.standard_normal(X.shape[1])
    ends = [ridge(X, X @ beta + np.sqrt(sigma2) * eps, lam=lam) for eps in sphere_points(len(X))]
    expected = np.mean(np.sum((np.array(ends) - beta) ** 2, axis=1))
    f = ridge_filter(svd(X)[1], [lam, lam], n_samples=len(X))
    risk = filter_risk(X, beta, f, sigma2=sigma2)
    assert risk.shape == (2,)
    assert np.abs(risk - expected).max() <= rounding(X, beta) * (1 + expected)


@given(designs(), rngs, st.floats(0, 2), st.floats(0.01, 1.9))
def test_for_descent_it_is_the_risk_of_the_epochs(X, rng, sigma2, share):
    beta, lr, t = rng.standard_normal(X.shape[1]), step(X, share), np.array([0, 1, 2, 10, 10**6])
    risk = filter_risk(X, beta, descent_filter(svd(X)[1], t, lr=lr), sigma2=sigma2)
    expected = descent_risk(X, beta, t, lr=lr, scales=np.ones(len(beta)), sigma2=sigma2)
    assert np.abs(risk - expected).max() <= rounding(X, beta) * (1 + expected.max())


@given(designs(), rngs, st.sampled_from([0, 0.1, 1, 10]), st.floats(0, 10), TIMES,
       st.sampled_from([0.75, 1]) | st.floats(0.01, 1))    # near the worst cases, and elsewhere
def test_the_risk_of_descent_is_within_the_bound_for_every_problem(X, rng, size, sigma2, t, share):
    s, n, lr = svd(X)[1], len(X), step(X, share)
    beta = size * rng.standard_normal(X.shape[1])
    lam = matching_lam(t, lr=lr, n_samples=n)
    of_ridge = filter_risk(X, beta, ridge_filter(s, lam, n_samples=n), sigma2=sigma2)
    of_descent = filter_risk(X, beta, descent_filter(s, t, lr=lr), sigma2=sigma2)
    assert of_descent <= of_ridge * risk_ratio_bound(t) * (1 + 1e-8)    # eight digits


@given(designs(), st.floats(1e-3, 10), st.floats(1e-3, 10), st.integers(1, 10**4))
def test_no_filter_beats_tuned_ridge_and_descent_is_within_the_tuned_bound(X, variance, sigma2, t):
    """Averaged over beta with coefficients of one variance; the risk is quadratic in beta."""
    (n, p), s = X.shape, svd(X)[1]
    betas = np.sqrt(variance) * sphere_points(p)
    t += int(np.ceil(variance / sigma2 * s.max(initial=0) ** 2))    # so that lr <= 1 / s_max^2
    lr, lam = variance / sigma2 / t, sigma2 / variance / n
    assert matching_lam(t, lr=lr, n_samples=n) == pytest.approx(lam, rel=10 * EPS)

    def risk(f):
        return np.mean([filter_risk(X, beta, f, sigma2=sigma2) for beta in betas])

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


@pytest.mark.parametrize("X", [[[2]], np.zeros((2, 3)), np.zeros((2, 0)), np.ones((3, 1)), np.zeros((0, 2))],
                         ids=["one sample", "zeros", "no features", "constant", "no samples"])
def test_designs_at_the_edge(X):
    X = np.asarray(X, float)
    beta = np.ones(X.shape[1])
    risk = filter_risk(X, beta, np.ones(len(svd(X)[1])), sigma2=0)
    assert risk == pytest.approx(np.sum((beta - min_norm(X, X @ beta)) ** 2), abs=1e-12)


def test_epochs_at_a_step_are_the_filter_of_that_step():
    X, y = np.array([[1.0, 2], [3, 4], [5, 7]]), np.array([1.0, 0, 2])
    (U, s, Vh), lr, t = svd(X), 0.01, np.array([[0, 3], [50, 10**6]])
    f = descent_filter(s, t, lr=lr)
    assert f.shape == (2, 2, 2)
    assert np.allclose((f / s * (U.T @ y)) @ Vh, descent(X, y, t, lr=lr), rtol=1e-12)


def test_a_filter_with_another_number_of_entries_is_refused():
    with pytest.raises(ValueError, match="filter_risk: f must have 1 entries here, got 2"):
        filter_risk(np.ones((2, 2)), [1, 1], [1, 1], sigma2=0)
