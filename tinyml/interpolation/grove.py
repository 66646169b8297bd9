"""Full trees of a forest, grown together: many times as fast as one after the other.

`forest` says what a tree is, in plain steps: `best_split` cuts one node. This is its fast twin, to
be read by those who ask how a loop over small problems becomes a few large ones. Each tree is bit
for bit the one that `RegressionTree.fit` grows alone, ties and the order of growth too.

Most nodes are small, and in a small node Python costs more than arithmetic. So one pass cuts all
nodes of similar size, in all trees. No cut depends on the cuts of other leaves, so this order is
as good as best-first. In the end the nodes are numbered best-first.

The arrays of a pass have shape (s, b) or (s, b, ...): b nodes of at most s rows. Smaller nodes are
padded with their first row. A feature counts only through the order of its values,

    x_i <= x_j  <=>  rank_i <= rank_j

so integers are sorted, the ranks. Source: MATH5836 week 10, section 10.1.1, figure 10.2(b).
"""
import heapq

import numpy as np

from tinyml.contract import checked

# At most so many random numbers are in memory, and so many running sums.
LARGEST_GROVE = 2 ** 22
LARGEST_SUM = 2 ** 15


@checked
class Grove:
    """Full trees that grow together.

    Attributes
    ----------
    at_once : int, the number of trees that may grow together, for the memory that they take
    """

    def __init__(
        self,
        X: "array_like, shape (n, p), n >= 1",
        Y: "array_like of float64, shape (n,) or (n, k)",
        *,
        tie: "float >= 0; as `TIE` of `forest`",
    ):
        self.X, self.Y, self.tie = X, Y, tie
        self.targets = Y.reshape(len(Y), -1)
        self.rank = _ranks(X)
        self.at_once = max(1, LARGEST_GROVE // max(1, X.size))

    def fit(
        self,
        trees: "list of RegressionTree; with one `max_features`",
        samples: "list of ndarray of int, shape (n,); the rows that each tree grows on",
        draws: "list of ndarray, shape (n, p); its random numbers, a row for each cut",
    ):
        """Grow all trees to their full size."""
        self.rows = np.concatenate(samples)    # by leaves: the rows of a node stand together
        self.draws = np.concatenate(draws)
        self._plant(len(trees), len(self.X), trees[0].max_features)
        waiting = np.flatnonzero(self.size > 1)
        while waiting.size:
            large = self.size[waiting] > self.size[waiting].max() / 2
            nodes, later = waiting[large], waiting[~large]
            batches = [nodes[i:i + self.batch] for i in range(0, len(nodes), self.batch)]
            waiting = np.concatenate([later, *map(self._grow, batches)])
        single, = np.nonzero(self.size == 1)
        self.value[single] = self.targets[self.rows[self.start[single]]]
        left, minus_gain = self.left.tolist(), (-self.gain).tolist()    # faster than arrays
        for root, tree in enumerate(trees):
            self._number(tree, root, left, minus_gain)

    def _plant(self, n_trees, n, max_features):
        """The roots, and place for all other nodes: at most 2n - 1 in a tree."""
        n_nodes = n_trees * (2 * n - 1)
        self.n_nodes, self.max_features = n_trees, max_features
        self.start, self.size, self.draw, self.left, self.feature = np.zeros((5, n_nodes), int)
        self.threshold, self.gain = np.zeros((2, n_nodes))
        self.value = np.zeros((n_nodes, self.targets.shape[1]))
        self.start[:n_trees] = self.draw[:n_trees] = n * np.arange(n_trees)
        self.size[:n_trees] = n
        sums_of_a_node = (max_features or self.X.shape[1]) * self.targets.shape[1]
        self.batch = max(1, LARGEST_SUM // max(1, sums_of_a_node))

    def _grow(self, nodes):
        """Set the values of nodes and cut them; returns the children of two rows and more."""
        rows, _ = self._rows_of(nodes)
        Y = self.targets[rows]
        from_first = Y - Y[0]
        self.value[nodes] = Y[0] + from_first.cumsum(axis=0)[-1] / self.size[nodes, None]
        nodes = nodes[from_first.any(axis=(0, 2))]    # the others have equal targets
        if nodes.size == 0 or self.X.shape[1] == 0:
            return nodes[:0]
        return self._cut(nodes)

    def _rows_of(self, nodes):
        """The rows of nodes, shape (s, b), and where they are not padding."""
        place = np.arange(self.size[nodes].max())[:, None]
        inside = place < self.size[nodes]
        return self.rows[self.start[nodes] + place * inside], inside

    def _cut(self, nodes):
        """`best_split` of all nodes, and the cuts; returns the children of two rows and more."""
        rows, inside = self._rows_of(nodes)
        (s, b), size = rows.shape, self.size[nodes]
        features = self._features(nodes, rows)    # (b, m)
        rank, place = self._sorted(rows, inside, features)    # both (b, m, s)

        Y = self.targets[rows] - self.value[nodes]
        loss = np.sum(np.vecdot(Y, Y) * inside, axis=0)
        at = np.ascontiguousarray(place.transpose(2, 0, 1)) * b + np.arange(b)[:, None]
        squared_norm = _squared_norms(Y.reshape(s * b, -1), at)    # (s - 1, b, m)
        n_left = np.arange(1, s)[:, None]
        n_right = np.maximum(size - n_left, 1)    # 1: padding, which is not allowed below
        gain = (size / (n_left * n_right))[:, :, None] * squared_norm
        allowed = (rank[:, :, :-1] != rank[:, :, 1:]) & inside[1:].T[:, None]
        gain = np.where(allowed, gain.transpose(1, 2, 0), -np.inf).reshape(b, -1)

        best = (gain >= (gain.max(axis=1) - self.tie * loss)[:, None]).argmax(axis=1)
        gain = gain[np.arange(b), best]
        cut, = np.nonzero(gain >= 0)    # in the others the rows are all equal
        j, i = np.divmod(best[cut], s - 1)
        low, high = rows.ravel()[at[i, cut, j]], rows.ravel()[at[i + 1, cut, j]]
        return self._divide(nodes[cut], rows[:, cut], inside[:, cut],
                            features[cut, j], low, high, gain[cut])

    def _sorted(self, rows, inside, features):
        """The ranks along each feature, sorted, and the places of their rows in the node.

        One number holds both: its high bits are the rank, its low bits the place.
        """
        rank = self.rank[rows[:, :, None], features]
        rank[~inside] = len(self.X)    # the padding comes last
        bits = len(rows).bit_length()
        place = np.arange(len(rows), dtype=rank.dtype)[:, None, None]
        both = np.sort(((rank << bits) + place).transpose(1, 2, 0))
        return both >> bits, both & (1 << bits) - 1

    def _features(self, nodes, rows):
        """The features that each node tries, shape (b, m); the constant ones come last."""
        if self.max_features is None:
            return np.broadcast_to(np.arange(self.X.shape[1]), (len(nodes), self.X.shape[1]))
        rank = self.rank[rows]
        draw = self.draws[self.draw[nodes]]
        draw[(rank == rank[0]).all(axis=0)] = 2
        return draw.argsort(axis=1)[:, :self.max_features]

    def _divide(self, nodes, rows, inside, feature, low, high, gain):
        """Cut between the samples `low` and `high`; returns the children of two rows and more."""
        goes_left = self.rank[rows, feature] <= self.rank[low, feature]
        n_before = goes_left.cumsum(axis=0)    # rows on the left, this one too
        n_left = (goes_left & inside).sum(axis=0)
        place = np.arange(len(rows))[:, None]
        place = np.where(goes_left, n_before - 1, n_left + place - n_before)
        self.rows[(self.start[nodes] + place)[inside]] = rows[inside]

        left = self.n_nodes + 2 * np.arange(len(nodes))
        right = left + 1
        self.n_nodes += 2 * len(nodes)
        self.start[left], self.start[right] = self.start[nodes], self.start[nodes] + n_left
        self.size[left], self.size[right] = n_left, self.size[nodes] - n_left
        self.draw[left], self.draw[right] = self.draw[nodes] + 1, self.draw[nodes] + n_left

        low, high = self.X[low, feature], self.X[high, feature]
        middle = low / 2 + high / 2    # and below `_between` of `forest`, for arrays
        self.threshold[nodes] = np.where((low <= middle) & (middle < high), middle, low)
        self.left[nodes], self.feature[nodes], self.gain[nodes] = left, feature, gain
        children = np.concatenate([left, right])
        return children[self.size[children] > 1]

    def _number(self, tree, root, left, minus_gain):
        """Make `tree` the tree below a root, with its nodes in best-first order."""
        nodes, children = [root], [0]
        to_cut = [(minus_gain[root], 0, root)] if left[root] else []
        while to_cut:
            _, number, node = heapq.heappop(to_cut)
            children[number] = len(nodes)
            for child in (left[node], left[node] + 1):
                if left[child]:
                    heapq.heappush(to_cut, (minus_gain[child], len(nodes), child))
                nodes.append(child)
                children.append(0)
        tree.left, nodes = np.array(children), np.array(nodes)
        tree.feature = self.feature[nodes]
        tree.threshold, tree.gain = self.threshold[nodes], self.gain[nodes]
        tree.value = self.value[nodes].reshape(-1, *self.Y.shape[1:])
        tree.n_features = self.X.shape[1]


def _squared_norms(Y, at):
    """||s_L||^2 of all cuts: s_L sums Y[at[0]], Y[at[1]], ..., and leaves out the last."""
    s_left = np.zeros((at[0].size, Y.shape[1]))
    squared_norm = np.empty((len(at) - 1, *at[0].shape))
    for step, out in zip(at, squared_norm):
        s_left += Y.take(step.ravel(), axis=0)
        np.vecdot(s_left, s_left, out=out.reshape(-1))
    return squared_norm


def _ranks(X):
    """The ranks of the values of each column, from 0; equal values have equal ranks."""
    fits = len(X) < 2 ** 15    # 32 bits are enough for a rank and a place, see `_sorted`
    rank = np.empty(X.shape, np.int32 if fits else np.int64)
    for j, column in enumerate(X.T):
        rank[:, j] = np.searchsorted(np.unique(column), column)
    return rank
