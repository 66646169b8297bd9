"""Synthetic sets: a Gaussian linear model, two moons, spirals; each drawn from its `rng`."""
import numpy as np

from tinyml.contract import checked


@checked
def make_linear(
    n_samples: "int >= 1; n",
    n_features: "int >= 1; p",
    *,
    sigma: "float >= 0; standard deviation of the noise eps",
    rng: "numpy.random.Generator",
    beta: "array_like of float64, shape (p,), or None; None for a random "
          "direction of length 1" = None,
):
    """The Gaussian linear model with isotropic features (MATH5836 week 10, section 10.1.2).

        y = X beta + eps,   x_ij ~ N(0, 1),   eps_i ~ N(0, sigma^2),   all independent

    Returns
    -------
    X : ndarray of float64, shape (n, p)
    y : ndarray of float64, shape (n,)
    beta : ndarray of float64, shape (p,)
    """
    if beta is None:
        beta = rng.standard_normal(n_features)
        beta /= np.linalg.norm(beta)
    X = rng.standard_normal((n_samples, n_features))
    eps = sigma * rng.standard_normal(n_samples)
    return X, X @ beta + eps, beta


@checked
def make_moons(
    n_samples: "int >= 1",
    *,
    noise: "float >= 0; standard deviation of the normal noise on both coordinates",
    rng: "numpy.random.Generator",
):
    """Two half circles of radius 1 that reach into each other, which no line separates.

        class 0:  (cos t, sin t)          class 1:  (1 - cos t, 1/2 - sin t),         t ~ U(0, pi)

    Returns
    -------
    X : ndarray of float32, shape (n_samples, 2)
    y : ndarray of int64, shape (n_samples,), 0 and 1 in turn
    """
    y = np.arange(n_samples) % 2
    angle = rng.uniform(0, np.pi, n_samples)
    upper = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    lower = [1, 0.5] - upper
    is_upper = y[:, None] == 0
    X = np.where(is_upper, upper, lower)
    X = X + noise * rng.standard_normal(X.shape)
    return X.astype(np.float32), y


@checked
def make_spirals(
    n_samples: "int >= 1",
    n_classes: "int >= 1",
    *,
    noise: "float >= 0; standard deviation of the normal noise on both coordinates",
    rng: "numpy.random.Generator",
    turns: "float; how often an arm winds around the origin" = 1.0,
):
    """Spiral arms, one per class, from the origin out to radius 1.

        r ~ U(0, 1),   angle = 2 pi (turns r + y / n_classes),   x = (r cos angle, r sin angle)

    Returns
    -------
    X : ndarray of float32, shape (n_samples, 2)
    y : ndarray of int64, shape (n_samples,), 0..n_classes-1 in turn
    """
    y = np.arange(n_samples) % n_classes
    radius = rng.uniform(0, 1, n_samples)
    angle = 2 * np.pi * (turns * radius + y / n_classes)
    direction = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    X = radius[:, None] * direction
    X = X + noise * rng.standard_normal(X.shape)
    return X.astype(np.float32), y
