"""Regression trees grown best-first, and forests of them: interpolation without a linear model.

Problem: Belkin et al. 2019 find double descent in forests too. But a tree is not a linear model,
and no norm measures its size. What takes the place of the minimum-norm fit past the threshold?

Idea: a tree cuts its samples in two by one feature, x_j <= t or x_j > t, and then cuts each part
again. Parts that are not cut any more are the leaves; a leaf predicts the mean target of its
samples. Cut n samples with mean target m into n_L on the left and n_R on the right, with means
m_L and m_R. The squared loss sum_i ||y_i - m||^2 falls by

    gain = (n_L n_R / n) ||m_L - m_R||^2 = n / (n_L n_R) ||s_L||^2,    s_L = sum_left (y_i - m)

So one sort and one cumulative sum evaluate all cuts along a feature. The leaf with the largest
gain is cut next, and no cut depends on later ones. So **the tree with b leaves is part of every
larger one**, and one grown tree holds the predictions for every number of leaves. A fully grown
tree interpolates: this is the threshold. A forest is the mean of many trees, each of which may cut
only along features drawn at random, or at thresholds drawn at random. With more trees the forest
goes past the threshold: it still interpolates, and is smoother.

Sources: Breiman, Friedman, Olshen and Stone 1984, Classification and regression trees; Breiman
2001, Random forests; Geurts, Ernst and Wehenkel 2006, Extremely randomized trees (random
thresholds); Belkin, Hsu, Ma and Mandal 2019, Reconciling modern machine-learning practice and the
classical bias-variance trade-off; MATH5836 week 10, section 10.1.1, figure 10.2(b).
"""
import heapq
from typing import NamedTuple

import numpy as np

from tinyml.contract import checked
from tinyml.interpolation.grove import Grove

# Gains that differ by less than this fraction of the node's loss count as equal. Two features may
# divide the samples in the same way, and rounding should not choose between them.
TIE = 1e-9


class Split(NamedTuple):
    """A cut of a node: the rows with X[:, feature] <= threshold go left, the others right."""

    feature: int
    threshold: float
    gain: float    # how much the squared loss falls


@checked
def best_split(
    X: "array_like, shape (n, p); the rows in the node",
    Y: "array_like of float64, shape (n,) or (n, k); their targets",
):
    """The cut that lowers the squared loss of one node most, over all features and thresholds.

        gain = n / (n_L n_R) ||s_L||^2,     s_L = sum over the left rows of (y_i - mean y)

    where n_L of the n rows go left and n_R go right. A threshold lies midway between two
    neighbouring values of its feature. Among equal gains (see `TIE`) the first feature is taken,
    and of its thresholds the lowest.

    Returns
    -------
    Split, or None if the rows are all equal: then there is no cut. The gain can be 0: if the
    targets are constant, or for a pattern such as XOR, where only the next cut has a gain.

    >>> best_split([[1, 0], [2, 0], [4, 0]], [5, 5, 8])
    Split(feature=0, threshold=3.0, gain=6.0)
    """
    n, p = X.shape
    if n < 2 or p == 0:
        return None
    Y = Y.reshape(n, -1)
    Y = Y - _mean(Y)
    loss = np.sum(Y ** 2)
    order = X.T.argsort(axis=1, kind="stable")      # (p, n), the rows sorted by each feature
    x = np.take_along_axis(X.T, order, axis=1)
    s_left = Y[order[:, :-1]].cumsum(axis=1)        # (p, n - 1, k), one for every cut
    n_left = np.arange(1, n)
    squared_norm = np.vecdot(s_left, s_left)        # sum over k; 3 times faster than np.sum
    gain = n / (n_left * (n - n_left)) * squared_norm
    gain[x[:, :-1] == x[:, 1:]] = -np.inf           # no threshold between equal values
    # the first of the best cuts: along feature j, after the row that is i-th in its order
    j, i = np.argwhere(gain >= gain.max() - TIE * loss)[0]
    if gain[j, i] < 0:                              # -inf: the rows are all equal
        return None
    return Split(int(j), _between(x[j, i], x[j, i + 1]), float(gain[j, i]))


@checked
def random_split(
    X: "array_like, shape (n, p); the rows in the node",
    Y: "array_like of float64, shape (n,) or (n, k); their targets",
    u: "array_like, shape (p,), in [0, 1); uniform random numbers",
):
    """The best of p cuts: one along each feature, at a threshold drawn at random.

        t_j = min_i x_ij + u_j (max_i x_ij - min_i x_ij)

    This is the cut of extremely randomized trees (Geurts et al. 2006, table 1). The gain is that
    of `best_split`, and of equal gains the first feature is taken. Where rounding would put t_j
    outside of min <= t_j < max, it is the minimum, so that no side is empty.

    Returns
    -------
    Split, or None if the rows are all equal

    >>> random_split([[1, 0], [2, 0], [4, 0]], [5, 5, 8], u=[0.2, 0.9])
    Split(feature=0, threshold=1.6, gain=1.5)
    """
    n, p = X.shape
    if n < 2 or p == 0:
        return None
    Y = Y.reshape(n, -1)
    Y = Y - _mean(Y)
    low, high = X.min(axis=0), X.max(axis=0)
    threshold = (low * (1 - u) + high * u).astype(X.dtype)
    threshold = np.where((low <= threshold) & (threshold < high), threshold, low)
    goes_left = X <= threshold                      # (n, p)
    n_left = goes_left.sum(axis=0)
    s_left = goes_left.T @ Y                        # (p, k)
    n_right = np.maximum(n - n_left, 1)             # 1: a constant feature, which cuts nothing
    gain = n / (n_left * n_right) * np.vecdot(s_left, s_left)
    gain[low == high] = -np.inf
    j = np.flatnonzero(gain >= gain.max() - TIE * np.sum(Y ** 2))[0]
    if gain[j] < 0:                                 # -inf: the rows are all equal
        return None
    return Split(int(j), float(threshold[j]), float(gain[j]))


def _between(low, high):
    """A t with low <= t < high: the midpoint, or low if rounding puts it outside."""
    middle = low / 2 + high / 2
    return float(middle if low <= middle < high else low)


def _mean(Y):
    """The mean over axis 0, and exactly Y[0] if all rows are equal."""
    total = (Y - Y[0]).cumsum(axis=0)[-1]    # row by row, as in `grove`: the same rounding
    return Y[0] + total / len(Y)


@checked
class RegressionTree:
    """A tree for the squared loss, grown best-first up to a number of leaves.

    It starts as one leaf. The leaf whose best cut has the largest gain is cut next, until there
    are `max_leaf_nodes` leaves, or until in each leaf the targets or the rows are all equal. So
    the fully grown tree interpolates, except that equal rows get their mean target. Every cut is
    the best of one step; a tree of as many leaves with a smaller loss may exist.

    Nodes are numbered in the order of their creation: a tree with b leaves has 2b - 1 nodes, and
    the nodes of a smaller tree are the first ones of a larger tree.

    Attributes
    ----------
    left : ndarray of int, shape (n_nodes,), the left child, 0 for a leaf; the right child is
        left + 1
    feature, threshold, gain : ndarrays, shape (n_nodes,), the `Split` of each node, 0 for a leaf
    value : ndarray, shape (n_nodes,) or (n_nodes, k), mean target of the node's samples
    grown_to : int or inf, the largest number of leaves that the tree may have
    n_features : int or None, p, known after `fit`

    >>> tree = RegressionTree().fit([[1], [2], [4]], [5, 7, 9])
    >>> tree.predict([[1.4], [1.6], [9]])
    array([5., 7., 9.])
    >>> tree.predict([[1.4], [1.6], [9]], max_leaf_nodes=2)
    array([5., 8., 8.])
    """

    def __init__(
        self, *,
        max_leaf_nodes: "int >= 1, or None; None for a fully grown tree" = None,
        max_features: "int >= 1, or None; the number of features drawn for a "
                      "cut, from those that are not constant in the node; None "
                      "for all of them" = None,
        splitter: '"best", or "random"; the best of cuts at random thresholds, '
                  'see `random_split`' = "best",
        rng: "numpy.random.Generator, or None if max_features = None; random "
             "thresholds need one too" = None,
    ):
        if splitter == "random" and rng is None:
            raise TypeError("RegressionTree: rng must be numpy.random.Generator if "
                            'splitter = "random", got None')
        self.grown_to = np.inf if max_leaf_nodes is None else max_leaf_nodes
        self.max_features = max_features
        self.splitter = splitter
        self.rng = rng
        self.n_features = None

    @checked
    def fit(
        self,
        X: "array_like, shape (n, p), n >= 1, p >= max_features",
        Y: "array_like of float64, shape (n,) or (n, k)",
    ):
        """Grow the tree, and return it."""
        draws = self._draw(*X.shape)
        nodes, values = [], []
        to_cut = []    # a heap of the leaves that can be cut, the largest gain first

        def add_leaf(rows, draw):
            split = self._split(X[rows], Y[rows], draws[draw])
            if split is not None:
                heapq.heappush(to_cut, (-split.gain, len(nodes), split, rows, draw))
            nodes.append((0, 0, 0.0, 0.0))    # left, feature, threshold, gain of a leaf
            values.append(_mean(Y[rows]))

        add_leaf(np.arange(len(X)), draw=0)
        while to_cut and len(nodes) < 2 * self.grown_to - 1:
            _, node, split, rows, draw = heapq.heappop(to_cut)
            nodes[node] = (len(nodes), *split)    # the left child is the next node
            goes_left = X[rows, split.feature] <= split.threshold
            add_leaf(rows[goes_left], draw + 1)
            add_leaf(rows[~goes_left], draw + goes_left.sum())
        self.left, self.feature, self.threshold, self.gain = map(np.array, zip(*nodes))
        self.value = np.array(values)
        self.n_features = X.shape[1]
        return self

    def _draw(self, n, p):
        """Random numbers, a row for each cut: p numbers to choose features, then p for thresholds.

        A cut tries the features with the smallest numbers. A node of n samples and the nodes
        below it are cut at most n - 1 times. So n - 1 rows of numbers are enough: the first is the
        node's own, the next n_L - 1 are for its left side, and the last n_R - 1 for its right
        side. In whatever order the leaves are cut, a node draws the same numbers.
        """
        columns = p * ((self.max_features is not None) + (self.splitter == "random"))
        return self.rng.random((n, columns)) if columns else np.empty((n, 0))

    def _split(self, X, Y, draw):
        """The best cut of a node among the features that it draws; None if it must stay a leaf."""
        if (Y == Y[0]).all():
            return None
        features = np.flatnonzero((X != X[0]).any(axis=0))
        if self.max_features is not None:
            features = features[draw[features].argsort()][:self.max_features]
        if self.splitter == "best":
            split = best_split(X[:, features], Y)
        else:
            split = random_split(X[:, features], Y, draw[-X.shape[1]:][features])
        if split is None:
            return None
        return split._replace(feature=int(features[split.feature]))

    @checked
    def predict(
        self,
        X: "array_like, shape (m, n_features)",
        *,
        max_leaf_nodes: "int in 1..grown_to, or None; use at most this many "
                        "leaves, the first ones; None for the whole tree" = None,
    ) -> "ndarray, shape (m,) or (m, k)":
        """The mean target of the leaf that each row falls into."""
        _check_fitted("RegressionTree.predict", self)
        left = self.left
        if max_leaf_nodes is not None:
            # a node whose children were created later is still a leaf
            left = np.where(left < 2 * max_leaf_nodes - 1, left, 0)
        node = np.zeros(len(X), int)    # where each row is: all begin at the root
        rows = np.arange(len(X))        # the rows that are not yet in a leaf
        while rows.size:
            in_leaf = left[node[rows]] == 0
            rows = rows[~in_leaf]
            at = node[rows]
            goes_right = X[rows, self.feature[at]] > self.threshold[at]
            node[rows] = np.where(goes_right, left[at] + 1, left[at])
        return self.value[node]

    @property
    def n_leaves(self):
        """The number of leaves, after `fit`."""
        return (len(self.value) + 1) // 2


@checked
class RandomForest:
    """The mean of trees that differ by chance: in their features, thresholds or samples.

        f(x) = (1 / n_trees) sum_t f_t(x)

    Fully grown trees on all samples interpolate, and so does their mean. So with more trees a
    forest goes past the interpolation threshold, with a training loss of 0. A bootstrap sample
    leaves out about 1/e of the rows, so trees grown on such samples, and their mean, do not
    interpolate.

    Attributes
    ----------
    trees : list of RegressionTree, after `fit`; the first m of them are a forest of m trees
    n_features : int or None, p, known after `fit`
    """

    def __init__(
        self,
        n_trees: "int >= 1",
        *,
        max_leaf_nodes: "as in `RegressionTree`" = None,
        max_features: "as in `RegressionTree`" = None,
        splitter: "as in `RegressionTree`" = "best",
        bootstrap: "bool; grow each tree on n rows drawn with replacement, "
                   "instead of on all n" = False,
        rng: "numpy.random.Generator",
    ):
        self.n_trees = n_trees
        self.max_leaf_nodes = max_leaf_nodes
        self.max_features = max_features
        self.splitter = splitter
        self.bootstrap = bootstrap
        self.rng = rng
        self.n_features = None

    @checked
    def fit(self, X: "as in `RegressionTree.fit`", Y: "as in `RegressionTree.fit`"):
        """Grow all trees, and return the forest."""
        self.n_features = X.shape[1]
        self.trees = [RegressionTree(max_leaf_nodes=self.max_leaf_nodes,
                                     max_features=self.max_features,
                                     splitter=self.splitter, rng=self.rng)
                      for _ in range(self.n_trees)]
        if self.max_leaf_nodes is None and self.splitter == "best":
            self._fit_together(X, Y)    # the same trees as below, four to eight times as fast
            return self
        for tree in self.trees:
            rows = self._sample(len(X))
            tree.fit(X[rows], Y[rows])
        return self

    def _sample(self, n):
        """The rows on which a tree is grown."""
        return self.rng.integers(n, size=n) if self.bootstrap else np.arange(n)

    def _fit_together(self, X, Y):
        """Grow full trees, many at once, with the draws that each would make alone."""
        grove = Grove(X, Y, tie=TIE)
        for first in range(0, self.n_trees, grove.at_once):
            trees = self.trees[first:first + grove.at_once]
            samples, draws = zip(*[(self._sample(len(X)), tree._draw(*X.shape)) for tree in trees])
            grove.fit(trees, samples, draws)

    @checked
    def predict(self, X: "array_like, shape (m, n_features)"):
        """The mean of the trees' predictions."""
        _check_fitted("RandomForest.predict", self)
        total = sum(tree.predict(X) for tree in self.trees)
        return total / self.n_trees


def _check_fitted(function, model):
    if model.n_features is None:
        raise RuntimeError(f"{function}: the model must be fitted first; write .fit(X, Y)")
