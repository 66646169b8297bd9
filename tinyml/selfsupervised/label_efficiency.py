"""Label efficiency: how accurate a method is with few labels.

Problem: with ten labels, the accuracy depends on which ten. Two draws of labels often differ by
more than two methods do.

Idea: score each method on many random draws of labels, the same draws for all methods, and plot
the median with a band. Then compare along the other axis: how many labels does one method need to
reach the score that another has with ten?

Source: MATH5836 week 10, section 10.3, phase 2 and remark 10.3.1 (10 to 100 labels).
"""
import numpy as np

from tinyml.contract import checked


@checked
def draw_labels(
    y: "array_like of int >= 0, shape (n,), n >= 1; the classes",
    per_class: "int >= 1; with at least this many samples in each class",
    *,
    rng: "numpy.random.Generator",
) -> "ndarray of int, the rows drawn, in random order":
    """Draw samples to be labelled: `per_class` of every class, without replacement.

    >>> y = np.array([0, 1, 0, 1, 0])
    >>> rows = draw_labels(y, 2, rng=np.random.default_rng(0))
    >>> sorted(y[rows].tolist())
    [0, 0, 1, 1]
    """
    classes, sizes = np.unique(y, return_counts=True)
    if sizes.min() < per_class:
        smallest = sizes.argmin()
        raise ValueError(f"draw_labels: per_class must be at most {sizes[smallest]}, the size of "
                         f"class {classes[smallest]}, got {per_class}")
    return _draw(y, dict.fromkeys(classes, per_class), rng)


@checked
def draw_fraction(
    y: "as in `draw_labels`",
    fraction: "float in (0, 1]",
    *,
    rng: "as in `draw_labels`",
) -> "ndarray of int, the rows drawn, in random order":
    """Draw samples to be labelled: a fraction of every class, but at least one sample.

    Of the n_c samples of class c, max(1, round(fraction n_c)) are drawn.
    """
    classes, sizes = np.unique(y, return_counts=True)
    n_drawn = {label: max(1, round(fraction * size)) for label, size in zip(classes, sizes)}
    return _draw(y, n_drawn, rng)


def _draw(y, n_drawn, rng):
    """Rows of y in random order, n_drawn[label] of every label."""
    shuffled = rng.permutation(len(y))
    drawn = []
    for label, n in n_drawn.items():
        rows = shuffled[y[shuffled] == label]
        drawn.append(rows[:n])
    return rng.permutation(np.concatenate(drawn))


@checked
def label_efficiency(
    score: "function (rows, rng) -> float; the score on held-out data after training "
           "with the labels of these rows",
    y: "as in `draw_labels`",
    fractions: "array_like of float64, shape (k,), > 0, <= 1; as in `draw_fraction`",
    *,
    draws: "int >= 1",
    rng: "numpy.random.Generator; with the same seed, all methods get the same draws",
) -> "ndarray, shape (draws, k)":
    """The scores of a method with some fractions of the labels, on many random draws of labels."""
    # a seed for each draw: `score` may use as much randomness as it likes, the rows stay the same
    seeds = rng.integers(2 ** 63, size=(draws, len(fractions)))
    scores = np.empty(seeds.shape)
    for (draw, i), seed in np.ndenumerate(seeds):
        own_rng = np.random.default_rng(seed)
        rows = draw_fraction(y, fractions[i], rng=own_rng)
        scores[draw, i] = score(rows, own_rng)
    return scores


@checked
def labels_needed(
    n_labels: "array_like of float64, shape (k,), k >= 1, > 0, increasing",
    scores: "array_like of float64, shape (k,)",
    target: "float",
) -> "float; n_labels[0] if the first score reaches the target, infinity if none does":
    """The number of labels with which a curve of scores, linear in log n, first reaches a target.

    >>> round(labels_needed([10, 100, 1000], [0.5, 0.7, 0.9], 0.8))
    316
    """
    reached = np.flatnonzero(scores >= target)
    if len(reached) == 0:
        return np.inf
    i = reached[0]
    if i == 0:
        return float(n_labels[0])
    between = slice(i - 1, i + 1)
    log_n = np.interp(target, scores[between], np.log(n_labels[between]))
    return float(np.exp(log_n))
