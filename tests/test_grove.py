"""Laws of trees that grow together: they are those that grow alone."""
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_forest import generic, problems

from tinyml.interpolation import grove as module
from tinyml.interpolation.forest import RandomForest


def same_trees(X, Y, seed, n_trees=3, **settings):
    """Full trees grown together, and one by one by `RegressionTree.fit`: all arrays are equal."""
    together, alone = (RandomForest(n_trees, max_leaf_nodes=limit, rng=np.random.default_rng(seed), **settings).fit(X, Y)
                       for limit in (None, len(X)))
    for one, other in zip(together.trees, alone.trees, strict=True):
        for name in ("left", "feature", "threshold", "gain", "value"):
            a, b = getattr(one, name), getattr(other, name)
            assert a.dtype == b.dtype and np.array_equal(a, b), name
        assert np.array_equal(one.predict(X, max_leaf_nodes=len(X)), other.predict(X))
    return together


@given(st.one_of(problems(max_n=40), problems(generic, max_n=40)), st.integers(0, 2**32),
       st.integers(0, 3), st.booleans(), st.sampled_from([1, 10, 2**22]), st.sampled_from([1, 40, 2**15]))
def test_trees_that_grow_together_are_those_that_grow_alone(problem, seed, m, bootstrap, trees, sums):
    """Bit for bit, ties and the order of growth too; however many trees and nodes a pass takes."""
    X, Y = problem
    with patch.multiple(module, LARGEST_GROVE=trees, LARGEST_SUM=sums):
        same_trees(X, Y, seed, max_features=min(m, X.shape[1]) or None, bootstrap=bootstrap)


@pytest.mark.parametrize("k", [1, 3, 11])
@pytest.mark.parametrize("ties", [False, True])
def test_they_are_so_for_real_valued_features_and_large_nodes(k, ties):
    rng = np.random.default_rng(k)
    X, Y = rng.standard_normal((120, 4)), rng.standard_normal((120, k))
    if ties:    # half of the columns of few values, and targets whose sums tie
        X[:, ::2], Y = X[:, ::2].round(1), Y.round()
    same_trees(X, Y, seed=k, max_features=2, bootstrap=ties)


def test_they_are_so_where_a_rank_and_a_place_do_not_fit_into_32_bits():
    X = np.random.default_rng(0).random((2**15 + 5, 1))
    forest = same_trees(X, np.floor(4 * X), seed=0, n_trees=1)
    assert forest.trees[0].n_leaves == 4


def test_they_are_so_between_neighbouring_numbers_and_the_largest():
    low = np.array([-np.finfo(float).max, 0, 1, np.finfo(float).max / 2])
    X = np.concatenate([low, np.nextafter(low, np.inf), [np.finfo(float).max]])[:, None]
    forest = same_trees(X, np.arange(9), seed=0)
    assert np.array_equal(forest.predict(X), np.arange(9))


@pytest.mark.parametrize("d", [1e-10, 1e-9, 2.5e-9, 4e-9, 1e-7])
def test_a_tie_is_measured_by_the_loss_of_the_rows_of_the_node_alone(d):
    """As in `test_a_slightly_better_cut_wins`, in one pass with a node of a row more."""
    X = [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 0, 1], [1, 0, 1], [1, 1, 1], [0, 1, 1]]
    same_trees(np.array(X), [-1, 0, 1 + d, 1000, 1005, 1009, 1007], seed=0)
