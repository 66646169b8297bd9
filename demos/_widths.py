"""Networks of many widths, trained on wrong labels, as in Nakkiran et al. 2020."""
from typing import NamedTuple

import numpy as np
from _networks import dense_network

from tinyml.data import flip_labels
from tinyml.interpolation.second_fall import second_fall
from tinyml.optim import Adam
from tinyml.train import accuracy, fit

NOISE = 0.2    # share of wrong training labels


class Widths(NamedTuple):
    """Test errors, means over the seeds, and what they say of a second descent."""

    end: np.ndarray    # (widths,), in the last twentieth of the epochs
    fall: float        # over the widths: error at the peak / of the widest
    rise: float        # ... at the peak / of the best narrower one
    late: float        # of the widest, over the epochs: at the peak / at the end


def noisy_run(width, train, test, *, epochs, n_last, seed):
    """The test error after each of the last epochs of a network with one hidden layer."""
    rng = np.random.default_rng([seed, width])
    (X, y), model = train, dense_network(train[0].shape[1], rng, hidden=(width,))
    data = X, flip_labels(y, 10, fraction=NOISE, rng=rng)
    settings = dict(optimizer=Adam(model.parameters(), lr=5e-3), batch_size=100, rng=rng)
    fit(model, *data, epochs=epochs - n_last, **settings)
    history = fit(model, *data, epochs=n_last, **settings,
                  metrics={"error": lambda m: 1 - accuracy(m, *test)})
    return [row["error"] for row in history]


def over_widths(train, test, widths, *, epochs, seeds):
    """`Widths`, for three or more. The error rises to the peak, and falls from it, most."""
    def mean_curve(width, n_last):
        return np.mean([noisy_run(width, train, test, epochs=epochs, n_last=n_last, seed=seed)
                        for seed in seeds], axis=0)

    n_end = max(1, epochs // 20)
    widest = mean_curve(widths[-1], epochs)
    end = np.array([*(mean_curve(width, n_end).mean() for width in widths[:-1]),
                    widest[-n_end:].mean()])
    rise, fall = end - np.minimum.accumulate(end), end - end[-1]
    peak = 1 + np.minimum(rise, fall)[1:-1].argmax()
    late = 1 + second_fall(widest).fall / end[-1]
    return Widths(end, end[peak] / end[-1], end[peak] / end[:peak].min(), late)
