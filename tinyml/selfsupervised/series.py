"""Series: what several sensors say over time, as data with known classes, and as random views.

Problem: to learn without labels, a network needs two views of one series that differ in what does not matter.
What does not matter is known of sensors: how strong a signal is, its noise, when it begins. What does matter is
how the sensors move *together*: the ratios of their frequencies, their phases, short events.

Idea: a view is a function (x, rng) -> x on a batch x of shape (N, C, T), N series of C sensors at T times,
made by a factory that has the strengths:

    weak = compose(jitter(strength=0.3), scale(strength=0.3))
    strong = compose(permute(segments=5), jitter(strength=0.3))
    x1, x2 = weak(x, rng), strong(x, rng)

Every sample gets its own draw, and at zero strength a view is exactly the identity. `make_activities` draws
series whose classes only such joint movement tells apart; `tinyml.ucr.load_ucr` reads series from files.

Sources: Eldele et al. 2021, Time-series representation learning via temporal and contextual contrasting (weak
and strong views, section 3.1); Um et al. 2017, Data augmentation of wearable sensor data (jitter, scaling,
permutation, cropping); MATH5836 week 10, section 10.3.
"""
import numpy as np

from tinyml.check import check_number, check_real, check_rng, check_sizes
from tinyml.ucr import load_ucr  # noqa: F401, importable from here as well

# ------------------------------------------------------------ synthetic data

# name: (cycles of each sensor per cycle of the body, phase of each in turns, a shock once per cycle?)
ACTIVITIES = {
    "sway":       ((1, 1, 1), (0, 0, 0), False),
    "turn left":  ((1, 1, 1), (0, 1 / 4, 1 / 2), False),
    "turn right": ((1, 1, 1), (0, -1 / 4, 1 / 2), False),
    "walk":       ((1, 2, 1), (0, 0, 1 / 4), False),
    "climb":      ((1, 2, 1), (0, 1 / 4, 1 / 4), False),
    "jump":       ((1, 1, 1), (0, 0, 0), True),
}
CYCLES = 4, 9        # of the body in a series
SHOCK = 0.04, 6      # length of a shock in cycles of the body; its height


def make_activities(n_samples, *, length=128, noise=0.5, rng):
    """Three sensors on a moving body, and which of six `ACTIVITIES` it was.

        x_c(t) = a_c (sin 2 pi(r_c theta(t) + phi_c) + shock_c(theta(t))) + drift_c(t) + noise eps_c(t)
        theta(t) = f t/T + theta_0,     drift_c(t) = u_c (t/T - 1/2) + v_c sin 2 pi(t/T + w_c)

    The class is in the ratios r_c and phases phi_c, the same for all series of a class, and in the shock: for
    "jump", 6 e^(-frac(theta) / 0.04) in all sensors, with its mean 0.24 taken off, else 0. All else is chance,
    drawn for every series anew: how fast, f ~ U(4, 9) cycles; when, theta_0 ~ U(0, 1); how strong, ln a_c ~
    N(0, 0.3^2); where the sensor drifts, u_c, v_c ~ N(0, 1/2), w_c ~ U(0, 1); and eps_c(t) ~ N(0, 1).

    Since theta_0 is uniform, the mean of a class is 0 at every sensor and time: linear maps of x know next to
    nothing of it. The two turns have the same power spectra in every sensor, and so have walk and climb.

    Parameters
    ----------
    n_samples : int >= 1
    length : int >= 2, T
    noise : float >= 0
    rng : numpy.random.Generator

    Returns
    -------
    X : ndarray of float32, shape (n_samples, 3, length)
    y : ndarray of int64, shape (n_samples,), the place of the class in `ACTIVITIES`, 0..5 in turn

    Raises
    ------
    ValueError : n_samples < 1, length < 2, or negative noise
    TypeError : rng is not a Generator
    """
    check_rng("make_activities", rng)
    check_sizes("make_activities", n_samples=n_samples)
    check_number("make_activities", "length", length, at_least=2)
    check_number("make_activities", "noise", noise, at_least=0)
    y = np.arange(n_samples) % len(ACTIVITIES)
    ratios, phases, shocks = (np.array(column, np.float64)[y] for column in zip(*ACTIVITIES.values()))
    t = np.arange(length) / length
    normal = lambda *size: rng.standard_normal((n_samples, *size))
    uniform = lambda *size: rng.random((n_samples, *size))
    f = CYCLES[0] + (CYCLES[1] - CYCLES[0]) * uniform(1)
    theta = (f * t + uniform(1))[:, None]                                                    # (N, 1, T)
    x = np.sin(2 * np.pi * (ratios[..., None] * theta + phases[..., None]))                 # (N, C, T)
    x += shocks[:, None, None] * SHOCK[1] * (np.exp(-(theta % 1) / SHOCK[0]) - SHOCK[0])
    x *= np.exp(0.3 * normal(3, 1))
    x += np.sqrt(0.5) * (normal(3, 1) * (t - 0.5) + normal(3, 1) * np.sin(2 * np.pi * (t + uniform(3, 1))))
    return (x + noise * normal(3, length)).astype(np.float32), y


def _at(x, times):
    """Series x (N, C, T) at the times (N, T') in [0, T - 1], on straight lines between their values."""
    low = np.floor(times).astype(np.int64)
    high = np.minimum(low + 1, x.shape[2] - 1)
    weight = (times - low)[:, None].astype(x.dtype)                      # (N, 1, T')
    value = lambda i: np.take_along_axis(x, i[:, None], axis=2)          # (N, C, T')
    return (1 - weight) * value(low) + weight * value(high)


# ------------------------------------------------------------ views

def _check_batch(function, x, rng, at_least=1):
    """x as an array (N, C, T) of finite real numbers with T >= at_least, or an error."""
    check_rng(function, rng)
    x = check_real(function, "x", x, ndim=3)
    if x.shape[2] < at_least:
        raise ValueError(f"{function}: x must have shape (N, C, T) with T >= {at_least}, got {x.shape}")
    return x


def jitter(*, strength):
    """A view with noise on every value: x + strength eps, eps ~ N(0, 1) (Um et al. 2017).

    Parameters
    ----------
    strength : float >= 0, the standard deviation of the noise, in the units of x

    Returns
    -------
    function (x, rng) -> ndarray of the shape and dtype of x (N, C, T)

    Raises
    ------
    ValueError : strength < 0; at the call, an x that is not (N, C, T) or not finite
    TypeError : strength is no number; at the call, rng is not a Generator
    """
    check_number("jitter", "strength", strength, at_least=0)

    def view(x, rng):
        x = _check_batch("jitter", x, rng)
        return (x + strength * rng.standard_normal(x.shape, np.float32)).astype(x.dtype, copy=False)
    return view


def scale(*, strength):
    """A view in which every sensor of every sample is x times its own factor, N(1, strength^2) (Um et al. 2017).

    Parameters
    ----------
    strength : float >= 0, the standard deviation of the factor; near 1 or above, signals often change sign

    Returns and errors are those of `jitter`.
    """
    check_number("scale", "strength", strength, at_least=0)

    def view(x, rng):
        x = _check_batch("scale", x, rng)
        factor = 1 + strength * rng.standard_normal((*x.shape[:2], 1), np.float32)
        return (x * factor).astype(x.dtype, copy=False)
    return view


def permute(*, segments):
    """A view whose time is cut into pieces, which come in another order; all sensors of a sample move together.

    Each sample draws its number of pieces m ~ U{1, ..., segments}, m - 1 different places to cut, and an order.
    Every value stays, and so does what happens within a piece: frequencies, and phases between the sensors.
    (Eldele et al. 2021, section 3.1: the strong view is this, then `jitter`.)

    Parameters
    ----------
    segments : int >= 1, the most pieces; 1 is the identity

    Returns
    -------
    function (x, rng) -> ndarray of the shape and dtype of x (N, C, T)

    Raises
    ------
    ValueError : segments < 1; at the call, an x that is not (N, C, T), or shorter than `segments`
    TypeError : at the call, rng is not a Generator

    Examples
    --------
    >>> permute(segments=3)(np.arange(8.0)[None, None], np.random.default_rng(0))
    array([[[5., 6., 7., 0., 1., 2., 3., 4.]]])
    """
    check_sizes("permute", segments=segments)

    def view(x, rng):
        x = _check_batch("permute", x, rng, at_least=segments)
        return np.take_along_axis(x, _pieces(len(x), x.shape[2], segments, rng)[:, None], axis=2)
    return view


def _pieces(n, length, segments, rng):
    """The times 0..length-1 of n series, each cut into pieces, which come in another order.

    Each row draws its number of pieces m ~ U{1, ..., segments}, m - 1 different places to cut, all equally likely
    to be where a piece starts, 1..length-1, and an order of the pieces, all as likely, from rng alone; segments <=
    length. Returns (n, length), int: the time that comes at each place.
    """
    pieces = rng.integers(1, segments + 1, (n, 1))
    places = rng.permuted(np.tile(np.arange(1, length), (n, 1)), axis=1)[:, :segments - 1]
    starts = np.zeros((n, length), np.int64)
    np.put_along_axis(starts, places, np.arange(1, segments) < pieces, axis=1)
    keys = np.take_along_axis(rng.random((n, segments)), starts.cumsum(axis=1), axis=1)    # one a piece
    return np.argsort(keys, axis=1, kind="stable")


def crop(*, size):
    """A view of a random window of `size` times, the same for all sensors of a sample, each place as likely.

    Parameters
    ----------
    size : int >= 1

    Returns
    -------
    function (x, rng) -> ndarray of x's dtype, shape (N, C, size) for x (N, C, T)

    Raises
    ------
    ValueError : size < 1; at the call, an x that is not (N, C, T), or shorter than the crop
    TypeError : at the call, rng is not a Generator

    Examples
    --------
    >>> crop(size=3)(np.arange(8.0)[None, None], np.random.default_rng(0))
    array([[[5., 6., 7.]]])
    """
    check_sizes("crop", size=size)

    def view(x, rng):
        x = _check_batch("crop", x, rng, at_least=size)
        start = rng.integers(0, x.shape[2] - size + 1, (len(x), 1))
        return np.take_along_axis(x, (start + np.arange(size))[:, None], axis=2)
    return view


def resized_crop(*, smallest):
    """A view of a random window, stretched to the length of x: how fast things go does not matter.

        y(j) = x(a + s j),  j = 0 ... T-1,     s ~ U(smallest, 1),   a ~ U(0, (1 - s)(T - 1))

    The window is the same for all sensors of a sample; between its values x is read on straight lines, so y
    stays between the smallest and the largest value of each sensor.

    Parameters
    ----------
    smallest : float in (0, 1], the smallest window as a share of the series; 1 is the identity

    Returns
    -------
    function (x, rng) -> ndarray of the shape and dtype of x (N, C, T)

    Raises
    ------
    ValueError : smallest outside (0, 1]; at the call, an x that is not (N, C, T), T >= 1, or not finite
    TypeError : smallest is no number; at the call, rng is not a Generator

    Examples
    --------
    >>> resized_crop(smallest=0.5)(np.arange(5.0)[None, None], np.random.default_rng(0)).round(2)
    array([[[0.34, 1.03, 1.71, 2.39, 3.07]]])
    """
    check_number("resized_crop", "smallest", smallest, above=0, at_most=1)

    def view(x, rng):
        x = _check_batch("resized_crop", x, rng, at_least=1)
        n, _, length = x.shape
        s = 1 - (1 - smallest) * rng.random((n, 1))
        start = rng.random((n, 1)) * (1 - s) * (length - 1)
        return _at(x, (start + s * np.arange(length)).clip(0, length - 1))    # rounding must not leave the series
    return view


def zero(*, fraction):
    """A view in which every sensor of every sample is 0 for one span of time, each place as likely.

    Parameters
    ----------
    fraction : float in [0, 1], the span is round(fraction T) times long; sensors fall silent on their own

    Returns
    -------
    function (x, rng) -> ndarray of the shape and dtype of x (N, C, T)

    Raises
    ------
    ValueError : fraction outside [0, 1]; at the call, an x that is not (N, C, T) or not finite
    TypeError : fraction is no number; at the call, rng is not a Generator

    Examples
    --------
    >>> zero(fraction=0.5)(np.ones((1, 2, 6)), np.random.default_rng(0))
    array([[[1., 1., 1., 0., 0., 0.],
            [1., 1., 0., 0., 0., 1.]]])
    """
    check_number("zero", "fraction", fraction, at_least=0, at_most=1)

    def view(x, rng):
        x = _check_batch("zero", x, rng)
        length = x.shape[2]
        span = round(fraction * length)
        start = rng.integers(0, length - span + 1, (*x.shape[:2], 1))
        t = np.arange(length)
        return np.where((start <= t) & (t < start + span), np.zeros((), x.dtype), x)
    return view
