"""Time series: synthetic sensor data with known classes, and random views of series.

Problem: contrastive learning needs two views of one series that differ only in what does not
matter. For sensors that is the strength of a signal, its noise, and when it begins. What
matters is how the sensors move together: the ratios of their frequencies, their phases, short
events.

Idea: a view is a function (x, rng) -> x of a batch of series, shape (N, C, T) for N series of C
sensors at T times. Each series gets its own random draw.

    weak = compose(jitter(strength=0.3), scale(strength=0.3))       (compose of `augmentations`)
    strong = compose(permute(segments=5), jitter(strength=0.3))
    x1, x2 = weak(x, rng), strong(x, rng)

`make_activities` makes series to learn from, `load_ucr` reads them from files.

Sources: MATH5836 week 10, section 10.3.2, step 1; Eldele et al. 2021, Time-series representation
learning via temporal and contextual contrasting, section 3.1 (weak and strong views); Um et al.
2017, Data augmentation of wearable sensor data (jitter, scaling, permutation, cropping).
"""
import numpy as np

from tinyml.contract import checked
from tinyml.ucr import load_ucr  # noqa: F401, re-exported

# ------------------------------------------------------------ synthetic data

# name: ratios r_c and phases phi_c of the three sensors, and whether there are shocks
ACTIVITIES = {
    "sway":       ((1, 1, 1), (0, 0, 0), False),
    "turn left":  ((1, 1, 1), (0, 1 / 4, 1 / 2), False),
    "turn right": ((1, 1, 1), (0, -1 / 4, 1 / 2), False),
    "walk":       ((1, 2, 1), (0, 0, 1 / 4), False),
    "climb":      ((1, 2, 1), (0, 1 / 4, 1 / 4), False),
    "jump":       ((1, 1, 1), (0, 0, 0), True),
}


@checked
def make_activities(
    n_samples: "int >= 1",
    *,
    length: "int >= 2; T" = 128,
    sigma: "float >= 0; standard deviation of the noise" = 0.5,
    rng: "numpy.random.Generator",
):
    """Three sensors on a moving body that does one of six `ACTIVITIES`.

        x_c(t) = a_c motion_c(t) + drift_c(t) + sigma eps_c(t)
        motion_c(t) = sin 2 pi (r_c theta(t) + phi_c) + shock(theta(t))
        theta(t) = f t + theta_0
        drift_c(t) = u_c (t - 1/2) + v_c sin 2 pi (t + w_c)

    for sensor c, with t from 0 to 1. The class decides the ratios r_c, the phases phi_c, and
    whether there is a shock in each cycle. All else is random for each series: f ~ U(4, 9) cycles,
    theta_0 ~ U(0, 1), ln a_c ~ N(0, 0.3^2), u_c and v_c ~ N(0, 1/2), w_c ~ U(0, 1),
    eps_c(t) ~ N(0, 1).

    Because theta_0 is uniform, every class has mean 0 at every sensor and time. So a linear
    function of x can hardly distinguish the classes. A single sensor cannot distinguish the two
    turns, nor walk from climb.

    Returns
    -------
    X : ndarray of float32, shape (n_samples, 3, length)
    y : ndarray of int, shape (n_samples,), the classes 0, 1, ..., 5, 0, 1, ...
    """
    n = n_samples
    y = np.arange(n) % len(ACTIVITIES)
    # three arrays, with a row or entry for each of the six classes
    ratios, phases, shocks = map(np.array, zip(*ACTIVITIES.values()))
    r = ratios[y][:, :, None]                                             # (N, 3, 1)
    phi = phases[y][:, :, None]
    has_shock = shocks[y][:, None, None]
    t = np.arange(length) / length

    f = rng.uniform(4, 9, (n, 1, 1))
    theta_0 = rng.random((n, 1, 1))
    theta = f * t + theta_0                                               # (N, 1, T)
    motion = np.sin(2 * np.pi * (r * theta + phi))                        # (N, 3, T)
    motion += has_shock * _shock(theta)
    a = np.exp(0.3 * rng.standard_normal((n, 3, 1)))
    u, v = np.sqrt(0.5) * rng.standard_normal((2, n, 3, 1))
    w = rng.random((n, 3, 1))
    drift = u * (t - 0.5) + v * np.sin(2 * np.pi * (t + w))
    eps = rng.standard_normal((n, 3, length))
    X = a * motion + drift + sigma * eps
    return X.astype(np.float32), y


def _shock(theta):
    """A jump by 6 at the start of each cycle, which decays by 1/e in 0.04 cycles; mean 0."""
    return 6 * (np.exp(-(theta % 1) / 0.04) - 0.04)


# ------------------------------------------------------------ views

@checked
def jitter(*, strength: "float >= 0; standard deviation of the noise"):
    """A view with noise on every value: x + strength eps, eps ~ N(0, 1) (Um et al. 2017)."""
    def jittered(x, rng):
        eps = rng.standard_normal(x.shape, np.float32)
        return x + strength * eps
    return _view("jitter", jittered)


@checked
def scale(*, strength: "float >= 0; standard deviation of the factor"):
    """A view that multiplies each sensor of each series by its own factor ~ N(1, strength^2).

    With a strength near 1 or above, signals often change their sign (Um et al. 2017).
    """
    def scaled(x, rng):
        n, n_sensors, _ = x.shape
        factor = 1 + strength * rng.standard_normal((n, n_sensors, 1), np.float32)
        return x * factor
    return _view("scale", scaled)


@checked
def permute(
    *,
    segments: "int >= 1; the largest number of pieces; series must be at least that "
              "long",
):
    """A view that cuts time into m ~ U{1, ..., segments} pieces and shuffles them.

    All sensors of a series are cut alike, so frequencies, and phases between sensors, stay the
    same within a piece (Eldele et al. 2021, section 3.1).

    >>> permute(segments=3)(np.arange(8.0)[None, None], np.random.default_rng(0))
    array([[[5., 6., 7., 0., 1., 2., 3., 4.]]])
    """
    def permuted(x, rng):
        n, _, length = x.shape
        times = _pieces(n, length, segments, rng)
        return np.take_along_axis(x, times[:, None], axis=2)
    return _view("permute", permuted, min_length=segments)


def _pieces(n, length, segments, rng):
    """The times 0..length-1 of n series, each cut into pieces that are shuffled.

    In each row the number of pieces is uniform in 1..segments. Where pieces start is a uniform
    subset of 1..length-1, and their order is a uniform permutation.

    Returns
    -------
    ndarray of int, shape (n, length), the old time at each new place
    """
    n_pieces = rng.integers(1, segments + 1, (n, 1))
    candidates = np.tile(np.arange(1, length), (n, 1))
    cuts = rng.permuted(candidates, axis=1)[:, :segments - 1]
    is_used = np.arange(1, segments) < n_pieces             # m pieces need m - 1 cuts
    is_start = np.zeros((n, length), int)
    np.put_along_axis(is_start, cuts, is_used, axis=1)
    piece = is_start.cumsum(axis=1)                         # the piece of each time
    keys = rng.random((n, segments))                        # a key for each piece, to sort by
    key = np.take_along_axis(keys, piece, axis=1)
    return np.argsort(key, axis=1, kind="stable")           # stable: a piece stays in order


@checked
def crop(*, size: "int >= 1; series must be at least that long"):
    """A view of a random window, (N, C, size), the same for all sensors of a series.

    >>> crop(size=3)(np.arange(8.0)[None, None], np.random.default_rng(0))
    array([[[5., 6., 7.]]])
    """
    def cropped(x, rng):
        n, _, length = x.shape
        start = rng.integers(0, length - size + 1, (n, 1, 1))
        return np.take_along_axis(x, start + np.arange(size), axis=2)
    return _view("crop", cropped, min_length=size)


@checked
def resized_crop(
    *,
    smallest: "float in (0, 1]; length of the smallest window, as a fraction of the "
              "series",
):
    """A view of a random window, stretched to the length of x, so that speeds change.

        y(j) = x(a + s j),  j = 0 ... T-1,     s ~ U(smallest, 1),   a ~ U(0, (1 - s)(T - 1))

    The window starts at time a and is s times as long as the series. It is the same for all
    sensors of a series; x is interpolated linearly.

    >>> resized_crop(smallest=0.5)(np.arange(5.0)[None, None], np.random.default_rng(0)).round(2)
    array([[[0.34, 1.03, 1.71, 2.39, 3.07]]])
    """
    def resized(x, rng):
        n, _, length = x.shape
        last = length - 1
        s = 1 - (1 - smallest) * rng.random((n, 1))
        a = rng.random((n, 1)) * (1 - s) * last
        times = a + s * np.arange(length)
        return _interpolate(x, times.clip(0, last))    # rounding must not leave the series
    return _view("resized_crop", resized, min_length=1)


def _interpolate(x, times):
    """Series x, shape (N, C, T), at the times (N, T') in [0, T - 1], linear between its values."""
    low = np.floor(times).astype(int)[:, None]                       # (N, 1, T')
    high = np.minimum(low + 1, x.shape[2] - 1)
    fraction = (times[:, None] - low).astype(x.dtype)
    before = np.take_along_axis(x, low, axis=2)                      # (N, C, T')
    after = np.take_along_axis(x, high, axis=2)
    return (1 - fraction) * before + fraction * after


@checked
def zero(
    *,
    fraction: "float in [0, 1]; the span has round(fraction T) of the T readings",
):
    """A view in which each sensor of each series is 0 for a random span of time.

    >>> zero(fraction=0.5)(np.ones((1, 2, 6)), np.random.default_rng(0))
    array([[[1., 1., 1., 0., 0., 0.],
            [1., 1., 0., 0., 0., 1.]]])
    """
    def silenced(x, rng):
        n, n_sensors, length = x.shape
        span = round(fraction * length)
        start = rng.integers(0, length - span + 1, (n, n_sensors, 1))
        t = np.arange(length)
        is_silent = (start <= t) & (t < start + span)
        return np.where(is_silent, 0, x)
    return _view("zero", silenced)


def _view(name, change, min_length=0):
    """The view that applies change(x, rng) to series (N, C, T), T >= min_length, in x's dtype."""
    def view(x: "array_like, shape (N, C, T)", rng: "numpy.random.Generator"):
        if x.shape[2] < min_length:
            raise ValueError(f"{name}: x must have shape (N, C, T) with T >= {min_length}, got "
                             f"{x.shape}")
        return change(x, rng).astype(x.dtype, copy=False)
    view.__qualname__ = name    # for errors
    return checked(view)
