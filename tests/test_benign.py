"""Laws of the effective ranks, and of the exact risk of X^+ y under any covariance, given X."""
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import rngs

from tinyml.interpolation.benign import (
    bias2_order,
    conditional_risk,
    effective_ranks,
    flat_tail,
    k_star,
    power_law,
    variance_order,
)
from tinyml.interpolation.double_descent import min_norm_bias2, min_norm_variance
from tinyml.interpolation.epoch_wise import excess_risk
from tinyml.interpolation.min_norm import min_norm
from tinyml.synthetic import make_linear

EPS = np.finfo(float).eps
MAX_P = 40
# A sum of p positive numbers and a few operations on it are off by less than (p + 5) eps; R_k takes
# two sums, one of them squared.
RANKS = dict(rtol=3 * (MAX_P + 5) * EPS)


@st.composite
def spectra(draw):
    """Decreasing, positive eigenvalues, some of them equal, over up to 12 orders of magnitude."""
    p, rng = draw(st.integers(1, MAX_P)), draw(rngs)
    steps = rng.integers(0, 2, p) * rng.uniform(0, draw(st.sampled_from([0.1, 1, 10])) / p, p)
    steps[rng.integers(p)] += draw(st.sampled_from([0, 2]))    # between a head and a tail
    return 10 ** -np.cumsum(steps)


@st.composite
def problems(draw):
    """(X, beta, eigenvalues, rng): X of any shape and rank, eigenvalues in any order, some 0."""
    n, p = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    rank, rng = draw(st.integers(0, min(n, p))), draw(rngs)
    X = (rng.integers(-3, 4, (n, rank)) @ rng.integers(-3, 4, (rank, p))).astype(float)
    return X, rng.standard_normal(p), rng.uniform(0, 2, p) * rng.integers(0, 2, p), rng


@given(spectra())
def test_the_effective_ranks_are_those_of_the_definition(eigenvalues):
    tails = [eigenvalues[k:] for k in range(len(eigenvalues))]
    r, R = effective_ranks(eigenvalues)
    np.testing.assert_allclose(r, [tail.sum() / tail[0] for tail in tails], **RANKS)
    np.testing.assert_allclose(R, [tail.sum() ** 2 / (tail ** 2).sum() for tail in tails], **RANKS)


@given(spectra())
def test_the_inequalities_of_the_paper(eigenvalues):
    """Lemma 5 of Bartlett et al. 2020, and Cauchy-Schwarz: equal eigenvalues have most rank."""
    r, R = effective_ranks(eigenvalues)
    r_of_square, _ = effective_ranks(eigenvalues ** 2)
    np.testing.assert_allclose(r ** 2, r_of_square * R, **RANKS)
    chain = [np.ones_like(r), r_of_square, r, R, np.minimum(r ** 2, np.arange(len(r), 0, -1))]
    for lower, upper in zip(chain, chain[1:]):
        assert np.all(lower <= upper * (1 + RANKS["rtol"]))


@given(p=st.integers(1, 1000), size=st.floats(1e-100, 1e100))
def test_equal_eigenvalues_count_fully(p, size):
    for ranks in effective_ranks(np.full(p, size)):
        np.testing.assert_allclose(ranks, np.arange(p, 0, -1), rtol=3 * (p + 5) * EPS)


@given(spectra(), st.integers(-400, 400))
def test_the_scale_of_the_eigenvalues_does_not_matter(eigenvalues, exponent):
    """A power of two scales without rounding."""
    scaled = eigenvalues * 2.0 ** exponent
    assert np.array_equal(effective_ranks(scaled), effective_ranks(eigenvalues))


def test_a_geometric_decay_has_the_same_ranks_everywhere():
    """Sums of a geometric series: r = 1 / (1 - q), R = (1 + q) / (1 - q), far from the end."""
    q = 0.5
    r, R = effective_ranks(q ** np.arange(500))
    np.testing.assert_allclose(r[:400], 1 / (1 - q), rtol=10 * EPS)
    np.testing.assert_allclose(R[:400], (1 + q) / (1 - q), rtol=10 * EPS)
    assert k_star(q ** np.arange(500), 3) == np.inf


@given(spectra(), st.integers(1, MAX_P), st.floats(0.1, 2))
def test_k_star_is_the_first_k_with_a_long_tail_and_grows_with_the_samples(eigenvalues, n, b):
    r, _ = effective_ranks(eigenvalues)
    k = k_star(eigenvalues, n, b=b)
    head = r if k == np.inf else r[:k]
    assert (head < b * n).all() and (k == np.inf or r[k] >= b * n)
    assert k <= k_star(eigenvalues, n + 1, b=b) and k <= k_star(eigenvalues, n, b=b + 0.1)


@given(n=st.integers(1, 50), strong=st.integers(1, 5), data=st.data())
def test_a_few_strong_directions_before_a_flat_tail(n, strong, data):
    flat = data.draw(st.integers(max(n, 2) + 1, 200))    # at n, rounding would decide
    tail = data.draw(st.floats(1e-3, 0.4)) * n    # r_{strong - 1} = 1 + tail
    tail = min(tail, flat / 2)
    spectrum = flat_tail(strong + flat, n_strong=strong, tail=tail)
    assert spectrum.sum() == pytest.approx(strong + tail, rel=300 * EPS)
    if strong + tail < n:
        assert k_star(spectrum, n) == strong
        rel = 3 * 200 * EPS    # a sum of 200 eigenvalues, used twice and squared
        assert variance_order(spectrum, n) == pytest.approx(strong / n + n / flat, rel=rel)
        beta = np.append(np.ones(strong), np.zeros(flat))
        assert bias2_order(spectrum, beta, n) == pytest.approx(strong * (tail / n) ** 2, rel=rel)


@given(p=st.integers(1, 100), n=st.integers(1, 100), rng=rngs)
def test_isotropic_features_lose_all_of_the_signal(p, n, rng):
    spectrum, beta = power_law(p, alpha=0), rng.standard_normal(p)
    assert np.array_equal(spectrum, np.ones(p))
    if p >= n:
        assert k_star(spectrum, n) == 0 and variance_order(spectrum, n) == n / p
        assert bias2_order(spectrum, beta, n) == pytest.approx(beta @ beta, rel=p * EPS)
    else:
        assert variance_order(spectrum, n) == bias2_order(spectrum, beta, n) == np.inf


@given(spectra(), st.integers(-99, 99), rngs)
def test_the_units_of_the_features_do_not_matter(eigenvalues, exponent, rng):
    """x -> c x with beta -> beta / c is the same model; powers of two scale without rounding."""
    p, c = len(eigenvalues), 2.0 ** exponent
    n = int(effective_ranks(eigenvalues)[0].max())    # the most samples for which there is a k*
    beta, X = rng.standard_normal(p), rng.standard_normal((3, p)) * np.sqrt(eigenvalues)
    for order in (lambda e, beta: bias2_order(e, beta, n), lambda e, beta: variance_order(e, n)):
        assert order(c ** 2 * eigenvalues, beta / c) == order(eigenvalues, beta)
    for part, same in zip(conditional_risk(X, beta, eigenvalues=eigenvalues, sigma2=1),
                          conditional_risk(c * X, beta / c, eigenvalues=c ** 2 * eigenvalues,
                                           sigma2=1)):
        np.testing.assert_allclose(part.sum(), same.sum(), rtol=1e-9)    # LAPACK may scale anew


@given(alpha=st.floats(1.5, 4), n=st.integers(5, 50))
def test_for_a_power_law_k_star_grows_with_the_samples(alpha, n):
    """The integral of x^-alpha from k + 1 bounds the tail: r_k <= 1 + (k + 1) / (alpha - 1)."""
    k = k_star(power_law(10 ** 4, alpha=alpha), n)
    assert k >= (n - 1) * (alpha - 1) - 1 - 1e-9


@given(problems(), st.sampled_from([0, 0.1, 3]))
def test_the_bias_is_the_error_without_noise_and_the_variance_that_of_pure_noise(problem, sigma2):
    """X^+ y is linear in y: its bias is the error at y = X beta, its covariance sigma2 X^+ X^+'.

    Here X^+ comes from numpy.linalg.pinv. Both are off by some 10 n p eps kappa ||X^+||
    (Wedin 1973, Perturbation theory for pseudo-inverses).
    """
    X, beta, eigenvalues, _ = problem
    bias2, variance = conditional_risk(X, beta, eigenvalues=eigenvalues, sigma2=sigma2)
    pseudo = np.linalg.pinv(X, rcond=1e-9)
    size, kappa = np.linalg.norm(pseudo), max(1, np.linalg.norm(pseudo) * np.linalg.norm(X))
    off = 10 * X.size * EPS * kappa
    lost = eigenvalues * (beta - pseudo @ (X @ beta)) ** 2
    np.testing.assert_allclose(bias2, lost, rtol=0, atol=4 * off * kappa * (beta @ beta))
    scattered = sigma2 * eigenvalues * (pseudo ** 2).sum(axis=1)
    np.testing.assert_allclose(variance, scattered, rtol=0, atol=4 * sigma2 * off * size ** 2)


@pytest.mark.parametrize("n, p", [(12, 5), (8, 8), (10, 60)])
@pytest.mark.parametrize("alpha", [0, 1, 3])
def test_the_risk_given_x_is_the_average_over_noise(n, p, alpha, sigma2=0.5, repeats=2000):
    """Seeds are fixed: this passes always or never."""
    rng = np.random.default_rng([n, p, alpha])
    eigenvalues = power_law(p, alpha=alpha)
    X = rng.standard_normal((n, p)) * np.sqrt(eigenvalues)
    beta = rng.standard_normal(p)
    Y = (X @ beta)[:, None] + np.sqrt(sigma2) * rng.standard_normal((n, repeats))
    risks = excess_risk(min_norm(X, Y).T, beta, scales=np.sqrt(eigenvalues))
    exact = np.sum(conditional_risk(X, beta, eigenvalues=eigenvalues, sigma2=sigma2))
    assert abs(risks.mean() - exact) <= 4 * risks.std(ddof=1) / np.sqrt(repeats)


# The variance has a finite third moment for |p - n| >= 6 (inverse Wishart).
@pytest.mark.parametrize("n, p", [(12, 5), (10, 25), (1, 9)])
def test_for_isotropic_features_its_mean_is_the_risk_of_double_descent(n, p, repeats=1000):
    rng, beta, sigma2 = np.random.default_rng(n), np.full(p, p ** -0.5), 0.5
    parts = [[part.sum() for part in conditional_risk(make_linear(n, p, sigma=0, rng=rng)[0], beta,
                                                      eigenvalues=np.ones(p), sigma2=sigma2)]
             for _ in range(repeats)]
    exact = [min_norm_bias2(n, p, signal=1), min_norm_variance(n, p, sigma2=sigma2)]
    errors = np.std(parts, axis=0, ddof=1) / np.sqrt(repeats)
    rounding = 1e-20    # of the bias for p <= n: (kappa eps)^2
    assert np.all(np.abs(np.mean(parts, axis=0) - exact) <= 4 * errors + rounding)


@given(p=st.integers(1, 5), extra=st.integers(3, 20), rng=rngs)
def test_with_more_samples_than_features_the_covariance_does_not_matter(p, extra, rng):
    """X = Z D with D = diag(sqrt(eigenvalues)): for p <= n, D X^+ = Z^+, whatever D is."""
    Z, beta, eigenvalues = make_linear(p + extra, p, sigma=0, rng=rng)[0], np.ones(p), \
        rng.uniform(0.1, 1, p)
    _, plain = conditional_risk(Z, beta, eigenvalues=np.ones(p), sigma2=1)
    bias2, scaled = conditional_risk(Z * np.sqrt(eigenvalues), beta, eigenvalues=eigenvalues,
                                    sigma2=1)
    # cond(Z D)^2 <= cond(Z)^2 / 0.1
    rounding = 100 * Z.size * EPS * np.linalg.cond(Z) ** 2 / 0.1
    np.testing.assert_allclose(scaled, plain, rtol=rounding)
    assert bias2.sum() <= (rounding * p) ** 2


def test_a_flat_tail_is_benign_and_its_bound_is_kept():
    """Theorem 4's order, with a constant of 2 either way, on one draw of n = 100, p = 4,000."""
    n, p = 100, 4000
    rng, spectrum = np.random.default_rng(0), flat_tail(p, n_strong=4, tail=3)
    X = rng.standard_normal((n, p)) * np.sqrt(spectrum)
    beta = np.append(np.ones(4), np.zeros(p - 4))
    bias2, variance = conditional_risk(X, beta, eigenvalues=spectrum, sigma2=1)
    assert 0.5 < variance.sum() / variance_order(spectrum, n) < 2
    assert 0.5 < variance[:4].sum() / (4 / n) < 2 and 0.5 < variance[4:].sum() / (n / (p - 4)) < 2
    assert 0.5 < bias2.sum() / bias2_order(spectrum, beta, n) < 2
    assert variance.sum() < 0.1


# Designs at the edge, each with beta, eigenvalues, and the two parts for noise of variance 1.
EDGES = {
    "one sample": ([[3, 4]], [4, 3], [1, 1], [1.12 ** 2, 0.84 ** 2], [0.0144, 0.0256]),
    "p = n": ([[2, 0], [0, 1]], [1, 1], [4, 1], [0, 0], [1, 1]),
    "a repeated sample": ([[1, 0], [1, 0]], [1, 3], [1, 2], [0, 18], [0.5, 0]),
    "a repeated column": ([[1, 1]], [2, 0], [1, 1], [1, 1], [0.25, 0.25]),
    "a zero design": (np.zeros((2, 2)), [1, 2], [1, 2], [1, 8], [0, 0]),
    "a tiny one": ([[1e-150, 0]], [1, 0], [1e-300, 0], [0, 0], [1, 0]),
    "no samples": (np.zeros((0, 2)), [1, 2], [1, 2], [1, 8], [0, 0]),
    "no features": (np.zeros((2, 0)), [], [], [], []),
}


@pytest.mark.parametrize("X, beta, eigenvalues, lost, scattered", EDGES.values(), ids=EDGES)
def test_designs_at_the_edge(X, beta, eigenvalues, lost, scattered):
    bias2, variance = conditional_risk(X, beta, eigenvalues=eigenvalues, sigma2=1)
    assert bias2.shape == variance.shape == np.shape(beta)
    np.testing.assert_allclose(bias2, lost, rtol=1e-12, atol=1e-28)    # atol: (10 eps)^2
    np.testing.assert_allclose(variance, scattered, rtol=1e-12)
    _, silent = conditional_risk(X, beta, eigenvalues=eigenvalues, sigma2=0)
    assert not silent.any()


def test_without_features_there_are_no_ranks():
    assert [ranks.shape for ranks in effective_ranks([])] == [(0,), (0,)]
    assert k_star([], 1) == variance_order([], 1) == bias2_order([], [], 1) == np.inf


def test_inputs_are_not_modified():
    X, beta, spectrum = np.ones((2, 3)), np.ones(3), np.array([4.0, 2.0, 1.0])
    kept = X.copy(), beta.copy(), spectrum.copy()
    conditional_risk(X, beta, eigenvalues=spectrum, sigma2=1)
    effective_ranks(spectrum), bias2_order(spectrum, beta, 1)
    assert all(map(np.array_equal, (X, beta, spectrum), kept))
