"""What features are worth, in labels: draw a few, score a method on them, and draw the curve.

Problem: "ten labels are enough" depends on which ten. And two methods differ by less than two draws of labels do.

Idea: a score is a random number, whose randomness is the draw of the rows that have a label. So each method is
scored on many draws, the same draws for all, and its curve is a median with a band. Two curves are compared along
the other axis, too: how many labels does one method need for the score that another one has with ten?

Source: MATH5836 week 10, section 10.3, phase 2 and remark 10.3.1 (as few as 10 to 100 labels).
"""
import numpy as np

from tinyml.check import check_labels, check_number, check_real, check_rng, check_sizes


def draw_labels(y, per_class, *, rng):
    """Draw which rows get a label: exactly `per_class` of every class, without replacement.

    Parameters
    ----------
    y : array_like of int, shape (n,), n >= 1, the classes
    per_class : int >= 1
    rng : numpy.random.Generator

    Returns
    -------
    ndarray of int, the rows, each once, in a random order

    Raises
    ------
    ValueError : per_class < 1 or more than a class has, or y is not a vector of classes >= 0
    TypeError : y does not hold integers, or rng is not a Generator

    Examples
    --------
    >>> rows = draw_labels([0, 1, 0, 1, 0], 2, rng=np.random.default_rng(0))
    >>> sorted(np.take([0, 1, 0, 1, 0], rows).tolist())
    [0, 0, 1, 1]
    """
    check_sizes("draw_labels", per_class=per_class)
    return _draw("draw_labels", y, lambda size: per_class, rng)


def draw_fraction(y, fraction, *, rng):
    """Draw which rows get a label: max(1, round(fraction n_c)) of the n_c rows of every class c.

    Parameters, returns and errors are those of `draw_labels`, with

    fraction : float in (0, 1], of each class; 1 is every row

    Examples
    --------
    >>> len(draw_fraction(np.repeat([0, 1], [100, 10]), 0.02, rng=np.random.default_rng(0)))
    3
    """
    check_number("draw_fraction", "fraction", fraction, above=0, at_most=1)
    return _draw("draw_fraction", y, lambda size: max(1, round(fraction * size)), rng)


def _draw(function, y, wanted, rng):
    """wanted(size) rows of every class that occurs in y."""
    check_rng(function, rng)
    y = check_labels(function, "y", y, np.inf)
    if y.ndim != 1 or not len(y):
        raise ValueError(f"{function}: y must have shape (n,), n >= 1, got {y.shape}")
    order = rng.permutation(len(y))
    chosen = []
    for label in np.unique(y):
        rows = order[y[order] == label]
        if wanted(len(rows)) > len(rows):
            raise ValueError(f"{function}: per_class must be at most the {len(rows)} rows of class {label}, "
                             f"got {wanted(len(rows))}")
        chosen.append(rows[:wanted(len(rows))])
    return rng.permutation(np.concatenate(chosen))


def label_efficiency(score, y, fractions, *, draws, rng):
    """How good a method is with a fraction of the labels: its scores on many draws of them.

    Parameters
    ----------
    score : function (rows, rng) -> float; it may use the labels of these rows, and tells how good the result
        is on held-out data. Called once for each fraction and draw.
    y : array_like of int, shape (n,), the classes
    fractions : sequence of float in (0, 1], see `draw_fraction`
    draws : int >= 1
    rng : numpy.random.Generator; equal generators give equal draws, so that methods can be compared in pairs

    Returns
    -------
    ndarray, shape (draws, len(fractions)), ready for a band over axis 0

    Raises
    ------
    TypeError, ValueError : as in draw_fraction; draws < 1
    """
    check_rng("label_efficiency", rng)
    check_sizes("label_efficiency", draws=draws)
    seeds = rng.integers(2 ** 63, size=(draws, len(fractions)))

    def one(fraction, seed):
        own = np.random.default_rng(seed)
        return score(draw_fraction(y, fraction, rng=own), own)
    return np.array([[one(*pair) for pair in zip(fractions, row)] for row in seeds])


def labels_needed(n_labels, scores, target):
    """How many labels a method needs to reach a score: where its curve, drawn over log n, first crosses it.

    Parameters
    ----------
    n_labels : array_like, shape (k,), increasing, > 0
    scores : array_like, shape (k,)
    target : float

    Returns
    -------
    float, interpolated linearly in log n; n_labels[0] if the first score reaches the target already, infinity
        if none does

    Raises
    ------
    TypeError, ValueError : not real, not finite, not increasing, or shapes that differ

    Examples
    --------
    >>> round(labels_needed([10, 100, 1000], [0.5, 0.7, 0.9], 0.8))
    316
    """
    n, scores = (check_real("labels_needed", name, value, ndim=1)
                 for name, value in (("n_labels", n_labels), ("scores", scores)))
    check_number("labels_needed", "target", target)
    if n.shape != scores.shape or not len(n) or n[0] <= 0 or (np.diff(n) <= 0).any():
        raise ValueError("labels_needed: n_labels must be increasing, > 0, one for each score, got "
                         f"{n} for {len(scores)} scores")
    reached = np.flatnonzero(scores >= target)
    if not len(reached):
        return np.inf
    i = reached[0]
    return float(n[0]) if i == 0 else float(np.exp(np.interp(target, scores[i - 1:i + 1], np.log(n[i - 1:i + 1]))))
