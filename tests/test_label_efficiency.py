"""The laws of label efficiency: draws, scores, and where a curve reaches a target."""
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from strategies import rngs

from tinyml.selfsupervised.label_efficiency import (
    draw_fraction,
    draw_labels,
    label_efficiency,
    labels_needed,
)


@given(rng=rngs, sizes=st.lists(st.integers(1, 9), min_size=1, max_size=4), data=st.data())
def test_a_draw_has_the_promised_number_of_every_class_and_no_row_twice(rng, sizes, data):
    y = rng.permutation(np.repeat(np.arange(len(sizes)) * 2, sizes))    # classes need not be 0..C-1
    k, fraction = data.draw(st.integers(1, min(sizes))), data.draw(st.floats(0.01, 1))
    few, part = draw_labels(y, k, rng=rng), draw_fraction(y, fraction, rng=rng)
    all_rows = draw_fraction(y, 1, rng=rng)
    for rows in (few, part, all_rows):
        assert len(set(rows.tolist())) == len(rows)
    assert_array_equal(np.bincount(y[few])[::2], k)
    assert_array_equal(np.bincount(y[part])[::2], [max(1, round(fraction * size)) for size in sizes])
    assert_array_equal(np.sort(all_rows), np.arange(len(y)))


def test_every_row_is_drawn_equally_often():
    y, draws = np.repeat([0, 1], [4, 8]), 4000
    rng = np.random.default_rng(0)
    counts = sum(np.bincount(draw_labels(y, 2, rng=rng), minlength=12) for _ in range(draws))
    p = np.repeat([2 / 4, 2 / 8], [4, 8])
    assert (abs(counts - draws * p) < 5 * np.sqrt(draws * p * (1 - p))).all()    # five standard deviations
    first = sum(y[draw_labels(y, 2, rng=rng)[0]] for _ in range(draws))          # classes come in any order
    assert abs(first - draws / 2) < 5 * np.sqrt(draws / 4)


def test_the_curve_has_a_score_for_each_draw_and_equal_generators_draw_the_same_rows():
    y = np.repeat([0, 1], 20)
    seen = []

    def score(rows, rng):
        seen.append((rows, rng.random()))
        return len(rows)
    curves = [label_efficiency(score, y, [0.05, 0.5, 1], draws=3, rng=np.random.default_rng(1)) for _ in range(2)]
    assert_array_equal(curves[0], np.tile([2, 20, 40], (3, 1)))
    for (rows, draw), (again, same) in zip(seen[:9], seen[9:]):
        assert_array_equal(rows, again)
        assert draw == same
    assert len({draw for _, draw in seen}) == 9    # each score has its own random numbers
    assert not np.array_equal(np.sort(seen[1][0]), np.sort(seen[4][0]))


@given(low=st.floats(0, 0.4), high=st.floats(0.5, 1), part=st.floats(0.01, 1))
def test_the_number_of_labels_needed_lies_on_the_line_over_the_logarithm(low, high, part):
    n = labels_needed([10, 1000], [low, high], low + part * (high - low))
    assert_allclose(np.log10(n), 1 + 2 * part, rtol=1e-9)


def test_the_ends_of_the_curve():
    assert labels_needed([10, 100], [0.8, 0.9], 0.7) == 10
    assert labels_needed([10, 100], [0.8, 0.9], 0.95) == np.inf
    assert_allclose(labels_needed([10, 100, 1000], [0.2, 0.9, 0.5], 0.9), 100)    # the first crossing


def test_a_class_with_too_few_rows_is_refused():
    with pytest.raises(ValueError, match="draw_labels: per_class must be at most 1, the size of class 7, got 2"):
        draw_labels([0, 0, 7], 2, rng=np.random.default_rng(0))
