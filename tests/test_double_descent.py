"""Laws of the risk of X^+ y: exact against simulation, its limit and its pole, and ridge."""
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tinyml.interpolation.double_descent import (
    asymptotic_minimum,
    asymptotic_risk,
    min_norm_bias2,
    min_norm_risk,
    min_norm_variance,
    optimal_lam,
    optimal_ridge_risk,
    subset_risk,
)
from tinyml.interpolation.min_norm import min_norm
from tinyml.interpolation.ridge import ridge

EPS = np.finfo(float).eps
sizes = st.integers(0, 100)
powers = st.one_of(st.just(0.0), st.floats(1e-3, 1e3))    # signal and noise
positive = st.floats(1e-3, 1e3)
ratios = st.floats(0.01, 100)


def within_three_standard_errors(samples, exact):
    """Seeds are fixed: this passes always or never. Over seeds it would fail in 1 of 370 cases."""
    error = samples.std(ddof=1) / np.sqrt(len(samples))
    return abs(samples.mean() - exact) <= 3 * error


def simulate(fit, n, D, p, beta, noise, repeats):
    """Squared distances of fits with the first p of D Gaussian features from the true beta."""
    rng = np.random.default_rng(10 * n + p)
    risks = []
    for _ in range(repeats):
        X = rng.standard_normal((n, D))
        y = X @ beta + np.sqrt(noise) * rng.standard_normal(n)
        found = np.concatenate([fit(X[:, :p], y), np.zeros(D - p)])
        risks.append(np.sum((found - beta) ** 2))
    return np.array(risks)


# The simulated risk has a finite variance for |p - n| >= 4, a finite third moment for |p - n| >= 6
# (inverse Wishart): farther out, the mean of 1,000 is close to normal.
@pytest.mark.parametrize("n, p", [(8, 1), (12, 4), (12, 24), (5, 40), (1, 9)])
@pytest.mark.parametrize("signal, noise", [(1, 0.5), (4, 0)])
def test_the_exact_risk_is_that_of_a_simulation(n, p, signal, noise):
    beta = np.full(p, np.sqrt(signal / p))
    risks = simulate(min_norm, n, p, p, beta, noise, 1000)
    exact = min_norm_risk(n, p, signal=signal, sigma2=noise)
    if noise == 0 and p <= n:
        assert exact == 0 and risks.max() <= 1e-20    # it finds beta up to (kappa eps)^2
    else:
        assert within_three_standard_errors(risks, exact)


@pytest.mark.parametrize("p", [3, 10, 20, 30])
def test_the_exact_risk_of_a_subset_is_that_of_a_simulation(p, n=15, D=30, noise=0.3):
    beta = np.linspace(1, 0, D)    # strong features first
    inside, outside = np.sum(beta[:p] ** 2), np.sum(beta[p:] ** 2)
    exact = subset_risk(n, p, signal_in=inside, signal_out=outside, sigma2=noise)
    assert within_three_standard_errors(simulate(min_norm, n, D, p, beta, noise, 1000), exact)


@pytest.mark.parametrize("gamma", [0.5, 1, 2])
def test_optimal_ridge_is_that_of_a_simulation(gamma, n=200, signal=1, noise=0.3):
    p = int(gamma * n)
    lam = optimal_lam(gamma, signal=signal, sigma2=noise)
    risks = simulate(lambda X, y: ridge(X, y, lam=lam), n, p, p, np.full(p, p ** -0.5), noise, 20)
    limit = optimal_ridge_risk(gamma, signal=signal, sigma2=noise)
    # n is not infinite: the trace of a resolvent is a part of order 1/n away from its limit.
    assert abs(risks.mean() - limit) <= 3 * risks.std(ddof=1) / np.sqrt(20) + 2 * limit / n


@given(n=sizes, p=sizes, signal=powers, noise=powers)
def test_the_risk_is_infinite_next_to_the_threshold_and_only_there(n, p, signal, noise):
    risk = min_norm_risk(n, p, signal=signal, sigma2=noise)
    assert risk >= 0
    assert np.isinf(risk) == (abs(n - p) <= 1 and min(n, p) > 0 and noise > 0)


@given(st.lists(st.tuples(sizes, st.integers(-2, 2), powers), min_size=2, max_size=5), st.booleans())
def test_the_variance_of_an_array_is_that_of_its_entries(cases, next_to_the_threshold):
    """Entries of every regime in one array, and numbers for numbers."""
    n = np.array([n for n, _, _ in cases])
    p = np.maximum(n + [d for _, d, _ in cases], 0) if next_to_the_threshold else n[::-1]
    noise = np.array([noise for _, _, noise in cases])
    one_by_one = [min_norm_variance(*case, sigma2=v) for *case, v in zip(n.tolist(), p.tolist(), noise.tolist())]
    assert all(isinstance(v, float) for v in one_by_one)
    expected = [0.0 if 0 in (a, b, v) else np.inf if abs(a - b) <= 1 else v * min(a, b) / (abs(a - b) - 1)
                for a, b, v in zip(n.tolist(), p.tolist(), noise.tolist())]
    np.testing.assert_allclose(min_norm_variance(n, p, sigma2=noise), expected, rtol=1e-14, strict=True)
    np.testing.assert_allclose(one_by_one, expected, rtol=1e-14)
    assert min_norm_variance(n[:, None], p, sigma2=1).shape == (len(n), len(p))


@pytest.mark.parametrize("n, p", [(0, 0), (0, 1), (1, 0)])
def test_without_samples_or_features_there_is_no_variance_next_to_the_threshold_either(n, p):
    assert min_norm_variance(n, p, sigma2=2) == 0


LIMITS = pytest.mark.parametrize("risk", [asymptotic_risk, optimal_ridge_risk])


@LIMITS
@given(cases=st.lists(st.tuples(st.just(1.0) | ratios, positive, powers), min_size=2, max_size=5))
def test_a_limit_of_an_array_is_that_of_its_entries(risk, cases):
    """Both sides of the threshold, and noise or none, in one array; numbers for numbers."""
    gamma, signal, noise = np.array(cases).T
    one_by_one = [risk(g, signal=s, sigma2=v) for g, s, v in cases]
    assert all(isinstance(value, float) for value in one_by_one)
    np.testing.assert_allclose(risk(gamma, signal=signal, sigma2=noise), one_by_one, rtol=1e-12, strict=True)
    table = risk(gamma[:, None], signal=1, sigma2=noise)
    assert table.shape == (len(cases), len(cases))


@given(signal=powers, noise=positive)
def test_at_the_threshold_the_asymptotic_risk_is_infinite_unless_there_is_no_noise(signal, noise):
    assert asymptotic_risk(1, signal=signal, sigma2=noise) == np.inf
    assert asymptotic_risk(1, signal=signal, sigma2=0) == 0


@given(n=sizes, p=sizes, noise=powers)
def test_the_variance_is_the_same_for_x_and_its_transpose(n, p, noise):
    """||X^+||_F = ||(X')^+||_F."""
    assert min_norm_variance(n, p, sigma2=noise) == min_norm_variance(p, n, sigma2=noise)
    assert np.ndim(min_norm_variance(n, p, sigma2=noise)) == 0


@given(n=st.integers(1, 60), gap=st.integers(2, 60), signal=powers, noise=powers)
def test_the_formulas_of_the_papers(n, gap, signal, noise):
    p = n + gap
    under = min_norm_risk(p, n, signal=signal, sigma2=noise)    # p samples, n features
    assert under == pytest.approx(noise * n / (p - n - 1))
    over = min_norm_risk(n, p, signal=signal, sigma2=noise)
    assert over == pytest.approx(signal * (1 - n / p) + noise * n / (p - n - 1))


@given(n=st.integers(1, 30), p=st.integers(0, 60), more=sizes, signal=powers, noise=powers)
def test_random_subsets_follow_belkin_hsu_and_xu(n, p, more, signal, noise):
    """Their corollary for p of D features at random, without the noise of the new y."""
    D = p + more
    assume(D > 0 and abs(n - p) > 1)
    risk = subset_risk(n, p, signal_in=signal * p / D, signal_out=signal * more / D, sigma2=noise)
    if p < n:
        paper = ((1 - p / D) * signal + noise) * (1 + p / (n - p - 1)) - noise
    else:
        paper = (signal * (1 - n / D * (2 - (D - n - 1) / (p - n - 1)))
                 + noise * n / (p - n - 1))
    assert risk == pytest.approx(paper, rel=1e-9, abs=1e-9 * (signal + noise))


@given(n=sizes, p=sizes, signal=powers, noise=powers)
def test_a_subset_of_all_features_is_no_subset(n, p, signal, noise):
    assert (subset_risk(n, p, signal_in=signal, signal_out=0, sigma2=noise)
            == min_norm_risk(n, p, signal=signal, sigma2=noise))


@given(k=st.integers(1, 40), m=st.integers(1, 40), scale=st.integers(2, 10**6), signal=powers,
       noise=powers)
def test_the_exact_risk_tends_to_the_asymptotic_one(k, m, scale, signal, noise):
    """With n, p = scale * (k, m) the -1 in |n - p| - 1 is all that differs: a factor 1 + 1/gap."""
    assume(k != m)
    limit = asymptotic_risk(m / k, signal=signal, sigma2=noise)
    exact = min_norm_risk(scale * k, scale * m, signal=signal, sigma2=noise)
    gap = scale * abs(k - m) - 1
    assert np.isfinite(limit)    # or no difference from it says anything
    rounding = 1e4 * EPS * limit    # 1 - gamma has a relative error of up to 40^2 eps
    assert -rounding <= exact - limit <= limit / gap + rounding


@given(signal=positive, noise=powers, gamma=st.floats(1.0001, 1e4))
def test_the_minimum_is_where_it_is_said_to_be(signal, noise, gamma):
    best = asymptotic_minimum(signal=signal, sigma2=noise)
    if noise == 0:
        assert best == 1 and asymptotic_risk(1, signal=signal, sigma2=0) == 0
        return
    assert np.isinf(best) == (signal <= noise)
    best = min(best, 1e15)
    assume(best - 1 > 1e-6)    # then gamma - 1 has a relative error below 1e-9
    least = asymptotic_risk(best, signal=signal, sigma2=noise)
    assert least <= asymptotic_risk(gamma, signal=signal, sigma2=noise) * (1 + 1e-9)


def test_the_minimum_is_that_of_a_grid():
    gamma = np.linspace(1.01, 10, 100_000)
    for snr in (2, 4, 9, 25):
        risks = asymptotic_risk(gamma, signal=snr, sigma2=1)
        assert gamma[risks.argmin()] == pytest.approx(asymptotic_minimum(signal=snr, sigma2=1),
                                                      abs=gamma[1] - gamma[0])
        assert asymptotic_minimum(signal=snr, sigma2=1) == pytest.approx(snr**0.5 / (snr**0.5 - 1))


@given(signal=positive, noise=powers, gamma=ratios)
def test_optimal_ridge_has_no_peak(signal, noise, gamma):
    """At lam* it is no worse than at lam = 0 (X^+ y) or lam = infinity (zero), and it grows."""
    risk = optimal_ridge_risk(gamma, signal=signal, sigma2=noise)
    slack = 4 * EPS * (signal / gamma + signal + noise)    # signal / gamma times that of root - b
    assert risk <= min(signal, asymptotic_risk(gamma, signal=signal, sigma2=noise)) + slack
    assert risk <= optimal_ridge_risk(1.1 * gamma, signal=signal, sigma2=noise) + slack


@given(signal=positive, noise=positive, gamma=ratios)
def test_optimal_ridge_solves_the_marchenko_pastur_equation(signal, noise, gamma):
    """m (1 - gamma + lam + gamma lam m) = 1 for m = m(lam*) = risk / (noise gamma)."""
    lam = optimal_lam(gamma, signal=signal, sigma2=noise)
    m = optimal_ridge_risk(gamma, signal=signal, sigma2=noise) / (noise * gamma)
    cancellation = 10 * EPS * (1 + gamma + lam) ** 2 / (gamma * lam)    # in root - b, or in the sum
    assert m * (1 - gamma + lam + gamma * lam * m) == pytest.approx(1, abs=cancellation)


@given(signal=positive, gamma=ratios)
def test_optimal_ridge_is_the_shortest_fit_where_there_is_no_noise(signal, gamma):
    risk = optimal_ridge_risk(gamma, signal=signal, sigma2=0)
    expected = asymptotic_risk(gamma, signal=signal, sigma2=0)
    assert risk == pytest.approx(expected, rel=1e-12, abs=8 * EPS * (signal / gamma + signal))


@given(n=st.integers(1, 8), p=st.integers(1, 8), signal=positive, noise=positive,
       factor=st.floats(0.1, 10), seed=st.integers(0, 2**32 - 1))
def test_no_other_penalty_beats_the_optimal_one(n, p, signal, noise, factor, seed):
    """For any X, averaged over the direction of beta: each coordinate's risk is least at lam*."""
    s = np.linalg.svd(np.random.default_rng(seed).standard_normal((n, p)), compute_uv=False)

    def risk(lam):
        bias = signal / p * (n * lam / (s**2 + n * lam)) ** 2
        return np.sum(bias + noise * (s / (s**2 + n * lam)) ** 2)

    best = optimal_lam(p / n, signal=signal, sigma2=noise)
    assert risk(best) <= risk(factor * best) * (1 + 1e-12)


def test_arrays_broadcast_and_numbers_stay_numbers():
    n, p = np.array([[5], [10]]), np.arange(20)
    for risk in (lambda n, p: min_norm_risk(n, p, signal=2, sigma2=3),
                 lambda n, p: min_norm_bias2(n, p, signal=2),
                 lambda n, p: subset_risk(n, p, signal_in=1, signal_out=2, sigma2=3)):
        table = risk(n, p)
        assert table.shape == (2, 20) and isinstance(risk(5, 3), float)
        assert table[1, 15] == risk(10, 15)
    gamma = np.array([0.5, 1, 2])
    for risk in (asymptotic_risk, optimal_ridge_risk, optimal_lam):
        assert np.shape(risk(gamma, signal=1, sigma2=1)) == (3,)
        assert risk(gamma, signal=1, sigma2=1)[2] == risk(2, signal=1, sigma2=1)
