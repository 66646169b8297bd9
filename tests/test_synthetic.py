"""Laws of the synthetic sets: each is its equation, with noise of the size that is asked for."""
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import rngs

from tinyml.synthetic import make_linear, make_moons, make_spirals

sizes = st.integers(1, 12)


@given(n=sizes, p=sizes, rng=rngs)
def test_without_noise_the_linear_model_is_its_equation(n, p, rng):
    X, y, beta = make_linear(n, p, sigma=0, rng=rng)
    assert X.shape == (n, p) and X.dtype == y.dtype == beta.dtype == np.float64
    assert (y == X @ beta).all()
    assert abs(np.linalg.norm(beta) - 1) < 1e-15 * (p + 2)    # p squares, a root and a division
    mine = np.arange(p)
    X, y, beta = make_linear(n, p, sigma=0, rng=rng, beta=mine)
    assert (beta == mine).all() and (y == X @ mine).all()


def test_the_linear_model_has_isotropic_features_and_its_noise():
    n, p, sigma = 20_000, 5, 0.7
    X, y, beta = make_linear(n, p, sigma=sigma, rng=np.random.default_rng(0))
    eps = y - X @ beta
    # Five standard errors: 1/sqrt(n) of a mean and of a product of two, sqrt(2/n) of a square.
    assert np.abs(X.mean(axis=0)).max() < 5 / math.sqrt(n)
    assert np.abs(X.T @ X / n - np.eye(p)).max() < 5 * math.sqrt(2 / n)
    assert abs((eps**2).mean() / sigma**2 - 1) < 5 * math.sqrt(2 / n)
    assert np.abs(X.T @ eps / n / sigma).max() < 5 / math.sqrt(n)
    rng, repeats = np.random.default_rng(0), 2000
    betas = np.stack([make_linear(1, p, sigma=0, rng=rng)[2] for _ in range(repeats)])
    # No direction is preferred: p beta_i beta_j has the mean of I and a variance below 2.
    assert np.abs(p * betas.T @ betas / repeats - np.eye(p)).max() < 5 * math.sqrt(2 / repeats)


@given(n=sizes, rng=rngs)
def test_moons_are_two_half_circles(n, rng):
    X, y = make_moons(n, noise=0, rng=rng)
    assert X.shape == (n, 2) and X.dtype == np.float32 and y.dtype == np.int64
    assert (y == np.arange(n) % 2).all()
    center = np.where(y[:, None] == 0, [0, 0], [1, 0.5])
    assert np.abs(np.hypot(*(X - center).T) - 1).max() < 1e-6
    assert ((X - center)[:, 1] * np.where(y == 0, 1, -1) > -1e-6).all()    # upper half, lower half


@given(n=sizes, c=st.integers(1, 5), turns=st.floats(-3, 3), rng=rngs)
def test_spirals_turn_into_one_another(n, c, turns, rng):
    X, y = make_spirals(n, c, noise=0, rng=rng, turns=turns)
    assert X.shape == (n, 2) and X.dtype == np.float32 and y.dtype == np.int64
    assert (y == np.arange(n) % c).all()
    z = X[:, 0] + 1j * X[:, 1].astype(np.float64)
    # Turned back, every arm lies on the positive axis.
    unwound = z * np.exp(-2j * np.pi * (turns * np.abs(z) + y / c))
    assert np.abs(unwound - np.abs(z)).max() < 1e-5 and np.abs(z).max() <= 1 + 1e-6


def test_a_spiral_goes_from_the_origin_to_radius_one():
    radius = np.hypot(*make_spirals(4000, 2, noise=0, rng=np.random.default_rng(0))[0].T)
    distance = np.abs(np.sort(radius) - (np.arange(4000) + 0.5) / 4000).max()
    # Kolmogorov: exceeded with a chance of 2 exp(-2 2.5^2) = 7e-6.
    assert distance < 2.5 / math.sqrt(4000)


MAKERS = {
    "make_linear": lambda n, noise, rng: make_linear(n, 3, sigma=noise, rng=rng),
    "make_moons": lambda n, noise, rng: make_moons(n, noise=noise, rng=rng),
    "make_spirals": lambda n, noise, rng: make_spirals(n, 3, noise=noise, rng=rng),
}


@pytest.mark.parametrize("name", MAKERS)
def test_a_synthetic_set_depends_on_its_seed_alone(name):
    first, again, other = (MAKERS[name](9, 0.5, np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert all((a == b).all() for a, b in zip(first, again))
    assert not (first[0] == other[0]).any()


@pytest.mark.parametrize("name", ["make_moons", "make_spirals"])
def test_the_noise_has_its_standard_deviation(name):
    n, noise = 20_000, 0.3
    # The same seed draws the same points.
    clean, noisy = (MAKERS[name](n, sigma, np.random.default_rng(0)) for sigma in (0, noise))
    eps = (noisy[0] - clean[0]) / noise
    # Five standard errors, as above.
    assert np.abs(eps.T @ eps / n - np.eye(2)).max() < 5 * math.sqrt(2 / n)
    assert np.abs(eps.mean(axis=0)).max() < 5 / math.sqrt(n)
    assert (clean[1] == noisy[1]).all()
