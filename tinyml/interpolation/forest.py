"""Regression trees grown best-first, and forests of them: interpolation without a linear model.

Problem: Belkin et al. 2019 find double descent where nothing is linear and nothing has a norm. One
tree with more and more leaves ends at the interpolation threshold; many such trees go past it.

Idea: a tree cuts its samples in two, x_j <= t or not, and each part again; a leaf predicts the mean
of its samples. A cut into L and R lowers their squared loss, sum_i ||y_i - mean||^2, by

    gain = n_L n_R / n ||mean_L - mean_R||^2 = n / (n_L n_R) ||s_L||^2,   s_L = sum_L (y_i - mean)

so a sort and a cumulative sum weigh all the cuts along a feature. The leaf with the largest gain is
cut next, and no cut depends on later ones: **the tree with b leaves is a prefix of all larger
ones**, so one grown tree holds the predictions for every budget of leaves. Fully grown, it
interpolates. A forest, the mean of trees with random cuts, then interpolates too, more smoothly.

Sources: Breiman, Friedman, Olshen and Stone 1984, Classification and regression trees; Breiman
2001, Random forests; Belkin, Hsu, Ma and Mandal 2019, Reconciling modern machine-learning practice
and the classical bias-variance trade-off; MATH5836 week 10, section 10.1.1, figure 10.2(b).
"""
import heapq
from typing import NamedTuple

import numpy as np

from tinyml.check import check_real, check_rng, check_sizes

# Gains that differ by less than this share of the node's loss tie. Two features often cut the
# samples in the same two; their gains then differ by rounding, far less, which must not decide.
TIE = 1e-9


class Split(NamedTuple):
    """A cut of a node: the rows with X[:, feature] <= threshold go left, the others right."""

    feature: int
    threshold: float
    gain: float    # how much the squared loss falls


def best_split(X, Y):
    """The cut that lowers the squared loss of one node most, over all features and thresholds.

        gain = n / (n_L n_R) ||s_L||^2,     s_L = sum over the left rows of (y_i - mean y)

    A threshold lies midway between two neighbouring values low < high of its feature, or at low where the middle
    rounds to high or underflows (`_between`). Gains at most TIE = 1e-9 of the loss of the node, sum_i ||y_i -
    mean y||^2, below the largest one tie with it: the first feature wins, then the lowest threshold.

    Parameters
    ----------
    X : array_like, shape (n, p), the rows in the node
    Y : array_like, shape (n,) or (n, k), their targets, of size 1e100 at most

    Returns
    -------
    Split, or None if the rows are all equal (or fewer than two): then there is no cut. A gain of 0
    is possible: constant targets, or a pattern such as XOR that shows only after the next cut.

    Raises
    ------
    TypeError, ValueError : X or Y is not real, not finite, too large, or their shapes do not fit

    Examples
    --------
    >>> best_split([[1, 0], [2, 0], [4, 0]], [5, 5, 8])
    Split(feature=0, threshold=3.0, gain=6.0)
    """
    X, Y = _problem("best_split", X, Y)
    n, p = X.shape
    if n < 2 or p == 0:
        return None
    columns, Y = np.ascontiguousarray(X.T), Y.reshape(n, -1)
    Y = Y - _mean(Y)
    order = columns.argsort(axis=1, kind="stable")             # (p, n)
    x = np.take_along_axis(columns, order, axis=1)
    s = Y[order[:, :-1]].cumsum(axis=1)                        # (p, n - 1, k), s_L of every cut
    n_left = np.arange(1, n)
    gain = np.einsum("pnk,pnk->pn", s, s) * (n / (n_left * (n - n_left)))
    gain[x[:, :-1] == x[:, 1:]] = -np.inf                      # no threshold between equal values
    tie = gain.max() - TIE * (Y * Y).sum()
    j, i = divmod(int((gain >= tie).argmax()), n - 1)
    if gain[j, i] < 0:
        return None
    return Split(j, _between(x[j, i], x[j, i + 1]), float(gain[j, i]))


def _between(low, high):
    """A t with low <= t < high: the midpoint, unless it rounds to `high` or underflows."""
    middle = low / 2 + high / 2
    return float(middle if low <= middle < high else low)


class RegressionTree:
    """A tree of least squared loss, grown best-first to a budget of leaves.

    It starts as one leaf. The leaf whose best cut has the largest gain is cut next, until there are
    `max_leaf_nodes` leaves, or none is left to cut: in each, either the targets or the rows are all
    equal. So the fully grown tree interpolates, except that equal rows get their mean target.

    Parameters
    ----------
    max_leaf_nodes : int >= 1, or None for a fully grown tree
    max_features : int in 1..p, or None for all p
        Each node looks for its cut among so many features, drawn from those that vary in it.
    rng : numpy.random.Generator, for that draw; only needed with max_features

    Attributes, after `fit`
    -----------------------
    left : ndarray of int, shape (n_nodes,), the left child; the right child is the next node; 0 in
        a leaf. Nodes are numbered as they come up: the cut that makes b leaves of b - 1 makes the
        nodes 2b - 3 and 2b - 2.
    feature, threshold, gain : ndarrays, shape (n_nodes,), the node's `Split`: rows with x_feature <=
        threshold go left; 0 in a leaf
    value : ndarray of float64, shape (n_nodes,) or (n_nodes, k), mean target of the node's samples

    Raises
    ------
    ValueError : max_leaf_nodes or max_features is not an int >= 1
    TypeError : max_features is given, and rng is not a Generator

    Examples
    --------
    >>> tree = RegressionTree().fit([[1], [2], [4]], [5, 7, 9])
    >>> tree.predict([[1.4], [1.6], [9]])
    array([5., 7., 9.])
    >>> tree.predict([[1.4], [1.6], [9]], max_leaf_nodes=2)
    array([5., 8., 8.])
    """

    def __init__(self, *, max_leaf_nodes=None, max_features=None, rng=None):
        given = {"max_leaf_nodes": max_leaf_nodes, "max_features": max_features}
        check_sizes("RegressionTree", **{k: v for k, v in given.items() if v is not None})
        if max_features is not None:
            check_rng("RegressionTree", rng)
        self.max_leaf_nodes, self.max_features, self.rng = max_leaf_nodes, max_features, rng
        self.n_features = None    # p, known after `fit`

    def fit(self, X, Y):
        """Grow the tree on X, shape (n, p), and Y, shape (n,) or (n, k), n >= 1; return self.

        Raises
        ------
        TypeError, ValueError : X or Y is not real, not finite, too large, empty, or the shapes do
            not fit; max_features is more than p
        """
        X, Y = _samples("RegressionTree.fit", X, Y, self.max_features)
        nodes, values, heap = [], [], []     # the heap: leaves to cut, largest gain first

        def add_leaf(rows):
            split = self._split(X[rows], Y[rows])
            if split is not None:
                heapq.heappush(heap, (-split.gain, len(nodes), split, rows))
            nodes.append((0, 0, 0.0, 0.0))
            values.append(_mean(Y[rows]))

        add_leaf(np.arange(len(X)))
        while heap and (self.max_leaf_nodes is None or len(nodes) < 2 * self.max_leaf_nodes - 1):
            _, node, split, rows = heapq.heappop(heap)
            nodes[node] = (len(nodes), *split)
            goes_left = X[rows, split.feature] <= split.threshold
            add_leaf(rows[goes_left])
            add_leaf(rows[~goes_left])
        self.left, self.feature, self.threshold, self.gain = map(np.array, zip(*nodes))
        self.value, self.n_features = np.array(values), X.shape[1]
        return self

    def _split(self, X, Y):
        """The best cut of a node among the features that it draws; None if it must stay a leaf."""
        if (Y == Y[0]).all():
            return None
        features = np.flatnonzero((X != X[0]).any(axis=0))
        if self.max_features is not None:
            features = self.rng.permutation(features)[:self.max_features]
        split = best_split(X[:, features], Y)
        return split and split._replace(feature=int(features[split.feature]))

    def predict(self, X, *, max_leaf_nodes=None):
        """The mean target of the leaf that each row falls into.

        Parameters
        ----------
        X : array_like, shape (m, p)
        max_leaf_nodes : int >= 1, or None for the whole tree
            Predict as the tree would, had it been grown to this smaller budget.

        Returns
        -------
        ndarray of float64, shape (m,) or (m, k)

        Raises
        ------
        RuntimeError : the tree is not fitted
        TypeError, ValueError : X is not real, not finite, or has not p columns; max_leaf_nodes is
            not an int >= 1, or more than the tree was grown to
        """
        X = _rows("RegressionTree.predict", X, self.n_features)
        left = self.left
        if max_leaf_nodes is not None:
            _check_budget(max_leaf_nodes, self.max_leaf_nodes)
            left = np.where(left < 2 * max_leaf_nodes - 1, left, 0)    # cut later: still a leaf
        node = np.zeros(len(X), np.intp)
        rows = np.arange(len(X))
        while rows.size:
            rows = rows[left[node[rows]] > 0]           # those that are not yet in a leaf
            at = node[rows]
            node[rows] = left[at] + (X[rows, self.feature[at]] > self.threshold[at])
        return self.value[node]

    @property
    def n_leaves(self):
        """The number of leaves, after `fit`."""
        return (len(self.value) + 1) // 2


class RandomForest:
    """The mean of trees that differ because their features, or their samples, are drawn at random.

        f(x) = (1 / n_trees) sum_t f_t(x)

    Fully grown trees on all samples interpolate, and so does their mean: with more trees a forest
    leaves the interpolation threshold and keeps its training loss of 0. Bootstrap samples leave out
    about a share 1/e of the rows, so those trees, and their mean, do not interpolate.

    Parameters
    ----------
    n_trees : int >= 1
    max_leaf_nodes, max_features : as in `RegressionTree`, for every tree
    bootstrap : bool, grow each tree on n rows drawn with replacement, instead of on all n
        Without it and without max_features, all trees are equal.
    rng : numpy.random.Generator

    Attributes, after `fit`
    -----------------------
    trees : list of RegressionTree; the first m of them are a forest of m trees from the same rng

    Raises
    ------
    ValueError : n_trees, max_leaf_nodes or max_features is not an int >= 1
    TypeError : rng is not a Generator
    """

    def __init__(self, n_trees, *, max_leaf_nodes=None, max_features=None, bootstrap=False, rng):
        check_sizes("RandomForest", n_trees=n_trees)
        check_rng("RandomForest", rng)
        self.n_trees, self.bootstrap, self.rng = n_trees, bootstrap, rng
        self.settings = {"max_leaf_nodes": max_leaf_nodes, "max_features": max_features}
        RegressionTree(**self.settings, rng=rng)    # raises what is wrong with them, here and now
        self.n_features = None    # p, known after `fit`

    def fit(self, X, Y):
        """Grow all trees on X, shape (n, p), and Y, shape (n,) or (n, k), n >= 1; return self.

        Raises
        ------
        TypeError, ValueError : as in `RegressionTree.fit`
        """
        X, Y = _samples("RandomForest.fit", X, Y, self.settings["max_features"])
        (n, self.n_features), self.trees = X.shape, []
        for _ in range(self.n_trees):
            rows = self.rng.integers(n, size=n) if self.bootstrap else slice(None)
            tree = RegressionTree(**self.settings, rng=self.rng)
            self.trees.append(tree.fit(X[rows], Y[rows]))
        return self

    def predict(self, X):
        """The mean of the trees' predictions on X, shape (m, p): shape (m,) or (m, k).

        Raises
        ------
        RuntimeError : the forest is not fitted
        TypeError, ValueError : X is not real, not finite, or has not p columns
        """
        X = _rows("RandomForest.predict", X, self.n_features)
        return sum(tree.predict(X) for tree in self.trees) / self.n_trees


def _mean(Y):
    """The mean over axis 0, and exactly Y[0] where all rows are equal."""
    return Y[0] + (Y - Y[0]).mean(axis=0)


def _problem(function, X, Y):
    """X and Y as arrays, Y in float64, or an error that says what is wrong with them."""
    X, Y = check_real(function, "X", X, ndim=2), check_real(function, "Y", Y).astype(np.float64)
    if Y.ndim not in (1, 2) or len(Y) != len(X):
        raise ValueError(f"{function}: Y must have shape (n,) or (n, k) with a row for each of the "
                         f"n = {len(X)} rows of X, got {Y.shape}")
    if np.abs(Y).max(initial=0) > 1e100:
        raise ValueError(f"{function}: Y must be of size 1e100 at most, so that its squares are "
                         f"finite, got {np.abs(Y).max():g}; divide Y by a constant")
    return X, Y


def _samples(function, X, Y, max_features):
    """What a fit needs: a `_problem` with a sample or more, and as many features as are drawn."""
    X, Y = _problem(function, X, Y)
    if not len(X):
        raise ValueError(f"{function}: X must have a row or more, got shape {X.shape}")
    if max_features is not None and max_features > X.shape[1]:
        raise ValueError(f"{function}: max_features must be at most p = {X.shape[1]}, the columns "
                         f"of X, got {max_features}; write max_features=None for all")
    return X, Y


def _rows(function, X, n_features):
    """The rows to predict, or an error."""
    if n_features is None:
        raise RuntimeError(f"{function}: the model must be fitted first; write .fit(X, Y)")
    X = check_real(function, "X", X, ndim=2)
    if X.shape[1] != n_features:
        raise ValueError(f"{function}: X must have shape (m, p={n_features}), got {X.shape}")
    return X


def _check_budget(max_leaf_nodes, grown_to):
    check_sizes("RegressionTree.predict", max_leaf_nodes=max_leaf_nodes)
    if grown_to is not None and max_leaf_nodes > grown_to:
        raise ValueError(f"RegressionTree.predict: max_leaf_nodes must be at most {grown_to}, the "
                         f"budget of this tree, got {max_leaf_nodes}; grow a larger tree")
