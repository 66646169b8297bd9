"""Laws of regression trees and forests: brute force, interpolation, nestedness, invariance."""
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import rngs

from tinyml.interpolation.forest import RandomForest, RegressionTree, best_split, random_split

EPS = np.finfo(float).eps
splitters = st.sampled_from(["best", "random"])


def whole(rng, shape):
    """Targets whose gains, fractions of small numbers, often tie, and differ clearly otherwise."""
    return rng.integers(-3, 4, shape).astype(float)


def generic(rng, shape):
    """Targets whose sums never tie."""
    return rng.standard_normal(shape)


@st.composite
def problems(draw, targets=whole, max_n=10):
    """X with equal values, often equal rows and constant columns; Y with one output or several."""
    rng, n, p = draw(rngs), draw(st.integers(1, max_n)), draw(st.integers(0, 4))
    X = rng.integers(0, draw(st.integers(1, 5)), (n, p))
    dtype = draw(st.sampled_from([np.int64, np.float32, np.float64]))
    return X.astype(dtype), targets(rng, (n, *draw(st.sampled_from([(), (1,), (3,)]))))


def loss(Y):
    """sum_i ||y_i - mean||^2"""
    return ((Y - Y.mean(axis=0)) ** 2).sum() if len(Y) else 0.0


def of_a_loss(Y):
    """A bound on the rounding errors of sums of n squares: a modest multiple of n eps times it."""
    return 10 * len(Y) * EPS * (Y * Y).sum()


def of_a_mean(Y):
    """A bound on the rounding errors of means of n numbers or fewer, and of their differences."""
    return 4 * len(Y) * EPS * np.abs(Y).max(initial=0)


def all_cuts(X, Y):
    """(feature, threshold, gain) of every cut, in the order that settles ties."""
    for j, column in enumerate(X.T):
        values = np.unique(column).astype(float)
        for t in (values[:-1] + values[1:]) / 2:
            yield j, t, loss(Y) - loss(Y[column <= t]) - loss(Y[column > t])


def leaf_of(tree, x, n_nodes):
    """Walk down, one row and one node at a time, and no further than the nodes below n_nodes."""
    node = 0
    while 0 < tree.left[node] < n_nodes:
        node = tree.left[node] + (x[tree.feature[node]] > tree.threshold[node])
    return node


def budgets(tree):
    return range(1, tree.n_leaves + 1)


def node_cut_at(tree, b):
    """The leaf of the tree with b leaves that is cut next."""
    node, = np.flatnonzero(tree.left == 2 * b - 1)
    return node


# -------------------------------------------------- one cut

@given(problems())
def test_the_best_split_is_that_of_brute_force(problem):
    X, Y = problem
    cuts = list(all_cuts(X, Y))
    split = best_split(X, Y)
    if not cuts:
        assert split is None
        return
    best = max(gain for _, _, gain in cuts)
    first = next(cut for cut in cuts if cut[2] >= best - 1e-9 * loss(Y))
    assert (split.feature, split.threshold) == first[:2]
    assert abs(split.gain - first[2]) <= of_a_loss(Y)


@given(problems(generic))
def test_between_features_that_cut_alike_the_first_wins(problem):
    X, Y = problem
    split = best_split(X, Y)
    assert split is None or best_split(np.hstack([X, X, -X]), Y) == split


@pytest.mark.parametrize("shift", [0, 1024])
def test_a_slightly_better_cut_wins(shift):
    """The gain of feature 1 is larger by d (and d^2 / 2), the loss is 2: they tie for d <= 2e-9."""
    X = np.array([[0, 0], [1, 0], [1, 1]])    # feature 0 cuts the first row off, feature 1 the last
    for d, feature in ((0, 0), (1e-10, 0), (1e-9, 0), (4e-9, 1), (1e-7, 1)):
        assert best_split(X, shift + np.array([-1, 0, 1 + d])).feature == feature


def test_a_tie_is_measured_by_the_loss_and_not_by_the_best_gain():
    """The gains are 0 and d^2 = 1e-10, and the loss is 1."""
    d, X = 1e-5, [[0, 0], [0, 1], [1, 0], [1, 1]]
    split = best_split(X, [0, 1, 1 - d, d])
    assert split.feature == 0 and split.gain < 1e-18
    assert best_split(X, [0, 1, 1 - 10 * d, 10 * d]).feature == 1


@given(rngs, st.integers(2, 12), st.sampled_from([(), (2,)]))
def test_of_cuts_that_gain_alike_the_lowest_threshold_wins(rng, n, k):
    """Targets that read the same backwards: the cut after i rows gains as much as that before the last i."""
    y, x = whole(rng, (n, *k)), np.arange(n)
    split = best_split(np.stack([x, -x], axis=1), y + y[::-1])
    assert split.feature == 0 and split.threshold <= x.mean()


@given(problems(), st.integers(-300, 300))
def test_the_unit_of_the_targets_does_not_matter(problem, exponent):
    """Powers of 2 scale without rounding: a tie is a share of the loss, and no number."""
    X, Y = problem
    split, scaled = best_split(X, Y), best_split(X, Y * 2.0 ** exponent)
    assert scaled == (split and split._replace(gain=split.gain * 4.0 ** exponent))


@pytest.mark.parametrize("width", [16, 32, 64])
@given(data=st.data())
def test_a_threshold_separates_any_two_values(width, data):
    number = st.floats(width=width, allow_nan=False, allow_infinity=False)
    low, high = sorted(data.draw(st.tuples(number, number).filter(lambda pair: pair[0] != pair[1])))
    X = np.array([[high], [low]], dtype=f"f{width // 8}")
    assert low <= best_split(X, [0, 1]).threshold < high
    assert RegressionTree().fit(X, [0, 1]).predict(X).tolist() == [0, 1]


def test_neighbouring_numbers_and_the_smallest_are_separated():
    for low in (1.0, -1.0, 0.0, np.finfo(float).max / 2, -np.finfo(float).max):
        X = np.array([[low], [np.nextafter(low, np.inf)]])
        assert RegressionTree().fit(X, [3, 5]).predict(X).tolist() == [3, 5]


# -------------------------------------------------- one cut at random thresholds

@given(problems(), rngs)
def test_a_random_split_is_the_best_of_one_cut_along_each_feature(problem, rng):
    X, Y = problem
    u = rng.random(X.shape[1])
    low, high = X.min(axis=0).astype(float), X.max(axis=0).astype(float)
    t = low + u * (high - low)
    gains = {j: loss(Y) - loss(Y[X[:, j] <= t[j]]) - loss(Y[X[:, j] > t[j]])
             for j in np.flatnonzero(low < high)}
    split = random_split(X, Y, u)
    if not gains:
        assert split is None
        return
    first = next(j for j, gain in gains.items() if gain >= max(gains.values()) - 1e-9 * loss(Y))
    assert split.feature == first and abs(split.gain - gains[first]) <= of_a_loss(Y)
    eps = np.finfo(np.result_type(X, np.float32)).eps
    assert abs(split.threshold - t[first]) <= 4 * eps * np.abs(X).max()


@given(problems())
def test_the_best_split_is_the_best_of_all_random_ones(problem):
    X, Y = problem
    gains = []
    for j, t, gain in all_cuts(X, Y):
        x = X[:, [j]].astype(float)
        split = random_split(x, Y, (t - x.min(axis=0)) / np.ptp(x, axis=0))
        assert abs(split.gain - gain) <= of_a_loss(Y)
        gains.append(split.gain)
    best = best_split(X, Y)
    assert (best is None) == (not gains)
    assert best is None or abs(best.gain - max(gains)) <= 1e-9 * loss(Y) + of_a_loss(Y)


@pytest.mark.parametrize("width", [16, 32, 64])
@given(data=st.data(), u=st.sampled_from([0, 0.3, 0.5, np.nextafter(1, 0)]))
def test_a_random_threshold_separates_any_two_values(width, data, u):
    number = st.floats(width=width, allow_nan=False, allow_infinity=False)
    low, high = sorted(data.draw(st.tuples(number, number).filter(lambda pair: pair[0] != pair[1])))
    X = np.array([[high], [low]], dtype=f"f{width // 8}")
    assert low <= random_split(X, [0, 1], [u]).threshold < high


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_neighbouring_numbers_are_separated_at_random_thresholds(dtype):
    X = np.arange(8, dtype=dtype)[:, None] * np.finfo(dtype).eps + 1
    for seed in range(20):
        tree = RegressionTree(splitter="random", rng=np.random.default_rng(seed)).fit(X, X[::-1])
        assert tree.predict(X).tolist() == X[::-1].tolist()


@pytest.mark.parametrize("max_features", [None, 1])
def test_thresholds_are_uniform_whichever_features_are_drawn(max_features):
    rng, draws = np.random.default_rng(0), 600
    t = [RegressionTree(max_features=max_features, splitter="random", rng=rng)
         .fit([[0, 0], [1, 1]], [0, 1]).threshold[0] for _ in range(draws)]
    assert abs(np.mean(t) - 1 / 2) <= 5 * np.sqrt(1 / 12 / draws)
    assert abs(np.var(t) - 1 / 12) <= 5 * np.sqrt(1 / 180 / draws)    # variance of (t - 1/2)^2: 1 / 180


# -------------------------------------------------- growth

@given(problems())
def test_a_full_tree_predicts_the_mean_of_equal_rows(problem):
    X, Y = problem
    equal = (X[:, None] == X).all(axis=-1)
    means = np.array([Y[rows].mean(axis=0) for rows in equal])
    assert np.abs(RegressionTree().fit(X, Y).predict(X) - means).max() <= of_a_mean(Y)


@given(problems(generic))
def test_a_full_tree_interpolates_exactly_where_equal_rows_agree(problem):
    X, Y = problem
    Y = Y[(X[:, None] == X).all(axis=-1).argmax(axis=1)]    # the target of the first equal row
    assert np.array_equal(RegressionTree().fit(X, Y).predict(X), Y)


@given(problems(generic), st.integers(1, 12))
def test_there_are_as_many_leaves_as_the_budget_and_the_rows_allow(problem, budget):
    X, Y = problem
    n_distinct = len(np.unique(X, axis=0)) if X.shape[1] else 1
    assert RegressionTree(max_leaf_nodes=budget).fit(X, Y).n_leaves == min(budget, n_distinct)


def test_a_chain_of_cuts_is_walked_to_its_end():
    """The largest target outweighs all others, so every cut takes off one row: a tree as deep as it can be."""
    X, y = np.arange(40.0)[:, None], 3.0 ** np.arange(40)
    tree = RegressionTree().fit(X, y)
    assert np.array_equal(tree.predict(X), y)
    assert np.array_equal(tree.predict(X, max_leaf_nodes=30)[11:], y[11:])    # 29 rows of their own


def test_a_pattern_that_no_single_cut_improves_is_learned():
    X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    assert best_split(X, y).gain == 0
    assert RegressionTree().fit(X, y).predict(X).tolist() == y


def test_equal_targets_are_not_cut():
    tree = RegressionTree().fit([[1], [2], [3]], [0.1, 0.1, 0.1])
    assert tree.n_leaves == 1 and tree.predict([[7]]) == 0.1


@settings(max_examples=16)    # at every budget
@given(problems())
def test_every_leaf_holds_the_mean_of_its_samples_at_every_budget(problem):
    X, Y = problem
    tree = RegressionTree().fit(X, Y)
    for b in budgets(tree):
        leaves = np.array([leaf_of(tree, x, 2 * b - 1) for x in X])
        assert len(set(leaves.tolist())) == b    # no leaf is empty
        means = np.array([Y[leaves == leaf].mean(axis=0) for leaf in leaves])    # row by row
        assert np.abs(tree.value[leaves] - means).max() <= of_a_mean(Y)
        assert np.array_equal(tree.predict(X, max_leaf_nodes=b), tree.value[leaves])


@given(problems())
def test_the_gains_are_what_the_training_loss_falls_by(problem):
    X, Y = problem
    tree = RegressionTree().fit(X, Y)
    losses = [((Y - tree.predict(X, max_leaf_nodes=b)) ** 2).sum() for b in budgets(tree)]
    assert abs(losses[0] - loss(Y)) <= of_a_loss(Y)
    for b in budgets(tree)[:-1]:
        gain = tree.gain[node_cut_at(tree, b)]
        assert gain >= 0 and abs(losses[b - 1] - losses[b] - gain) <= of_a_loss(Y)


@given(problems(generic))
def test_the_leaf_that_is_cut_next_has_the_largest_gain(problem):
    X, Y = problem
    tree = RegressionTree().fit(X, Y)
    for b in budgets(tree)[:-1]:
        leaves = np.array([leaf_of(tree, x, 2 * b - 1) for x in X])
        splits = (best_split(X[leaves == leaf], Y[leaves == leaf]) for leaf in set(leaves.tolist()))
        largest = max(split.gain for split in splits if split)
        assert tree.gain[node_cut_at(tree, b)] >= largest - of_a_loss(Y)


@given(problems(), st.integers(1, 12), st.integers(1, 4), st.integers(0, 2**32), splitters)
def test_a_smaller_tree_is_a_prefix_of_a_larger_one(problem, budget, max_features, seed, splitter):
    X, Y = problem
    max_features = min(max_features, X.shape[1]) or None

    def grow(max_leaf_nodes):
        return RegressionTree(max_leaf_nodes=max_leaf_nodes, max_features=max_features,
                              splitter=splitter, rng=np.random.default_rng(seed)).fit(X, Y)

    small, full = grow(budget), grow(None)
    assert np.array_equal(small.value, full.value[:2 * small.n_leaves - 1])
    new = np.random.default_rng(seed).uniform(-1, 6, (20, X.shape[1]))
    for b in range(1, budget + 1):
        assert np.array_equal(small.predict(new, max_leaf_nodes=b),
                              full.predict(new, max_leaf_nodes=b))


# -------------------------------------------------- invariance

@given(problems())
def test_a_monotone_map_of_a_feature_changes_no_training_prediction(problem):
    X, Y = problem
    tree, mapped = RegressionTree().fit(X, Y), RegressionTree().fit(X ** 3 + X, Y)
    assert np.array_equal(tree.left, mapped.left) and np.array_equal(tree.feature, mapped.feature)
    for b in budgets(tree):
        assert np.array_equal(tree.predict(X, max_leaf_nodes=b),
                              mapped.predict(X ** 3 + X, max_leaf_nodes=b))


@given(problems(generic), rngs, st.floats(0.1, 10), st.floats(-10, 10))
def test_an_affine_map_of_the_targets_is_followed(problem, rng, scale, shift):
    X, Y = problem
    k = Y.shape[1] if Y.ndim == 2 else 1
    Q = scale * np.linalg.qr(rng.standard_normal((k, k)))[0]    # keeps the ratios of all gains

    def move(Y):
        return (Y.reshape(len(Y), k) @ Q + shift).reshape(Y.shape)

    tree, moved = RegressionTree().fit(X, Y), RegressionTree().fit(X, move(Y))
    new = rng.uniform(-1, 6, (20, X.shape[1]))
    for b in budgets(tree):
        error = moved.predict(new, max_leaf_nodes=b) - move(tree.predict(new, max_leaf_nodes=b))
        size = np.array([abs(shift) + scale * k * np.abs(Y).max()] * len(Y))    # of what is summed
        assert np.abs(error).max() <= 3 * of_a_mean(size)


@given(problems(generic), rngs)
def test_the_order_of_the_samples_does_not_matter(problem, rng):
    X, Y = problem
    order = rng.permutation(len(X))
    new = rng.uniform(-1, 6, (20, X.shape[1]))
    tree, shuffled = RegressionTree().fit(X, Y), RegressionTree().fit(X[order], Y[order])
    assert np.abs(tree.predict(new) - shuffled.predict(new)).max() <= of_a_mean(Y)


# -------------------------------------------------- random features, forests

@given(problems(generic), rngs, st.sampled_from([None, 1]), splitters)
def test_no_kind_of_chance_keeps_a_tree_from_interpolating(problem, rng, max_features, splitter):
    X, Y = problem
    X = np.column_stack([np.zeros((len(X), 5)), X, np.arange(len(X))])    # one column tells all
    tree = RegressionTree(max_features=max_features, splitter=splitter, rng=rng).fit(X, Y)
    assert np.array_equal(tree.predict(X), Y)


def test_every_feature_that_varies_is_drawn_equally_often():
    rng, draws = np.random.default_rng(0), 600
    X = np.column_stack([np.ones(8), rng.standard_normal((8, 3)), np.ones(8)])
    y = X[:, 1]    # feature 1 is the best one, whenever it is drawn
    for m in (1, 2, 3):
        used = [RegressionTree(max_leaf_nodes=2, max_features=m, rng=rng).fit(X, y).feature[0]
                for _ in range(draws)]
        spread = 5 * np.sqrt(draws * m / 3 * (1 - m / 3))    # 5 standard deviations of a binomial
        assert abs(used.count(1) - draws * m / 3) <= spread
        assert set(used) <= {1, 2, 3}


@given(problems(), rngs, st.booleans())
def test_a_forest_is_the_mean_of_its_trees(problem, rng, bootstrap):
    X, Y = problem
    forest = RandomForest(3, bootstrap=bootstrap, rng=rng).fit(X, Y)
    mean = np.mean([tree.predict(X) for tree in forest.trees], axis=0)
    assert np.abs(forest.predict(X) - mean).max() <= of_a_mean(Y)


@given(problems(), st.integers(0, 2**32), st.booleans(), st.sampled_from([None, 2, 5]), splitters)
def test_the_same_generator_grows_the_same_forest(problem, seed, bootstrap, max_leaf_nodes, splitter):
    X, Y = problem
    settings = dict(max_features=1 if X.shape[1] else None, bootstrap=bootstrap,
                    max_leaf_nodes=max_leaf_nodes, splitter=splitter)

    def grow(n_trees):
        return RandomForest(n_trees, **settings, rng=np.random.default_rng(seed)).fit(X, Y)

    few, many = grow(2), grow(3)
    assert np.array_equal(few.predict(X), grow(2).predict(X))
    for one, other in zip(few.trees, many.trees):    # and a smaller one is a prefix of a larger
        assert np.array_equal(one.value, other.value)


@given(rngs, st.integers(2, 30))
def test_a_forest_of_full_trees_interpolates_noise(rng, n):
    X, Y = rng.standard_normal((n, 5)), rng.standard_normal((n, 2))
    forest = RandomForest(4, max_features=2, rng=rng).fit(X, Y)
    assert np.abs(forest.predict(X) - Y).max() <= of_a_mean(Y)
    new = rng.standard_normal((30, 5))
    first, second = (tree.predict(new) for tree in forest.trees[:2])
    assert n < 10 or not np.array_equal(first, second)    # yet the trees differ


def test_a_bootstrap_tree_fits_the_rows_that_it_drew():
    n, trees = 400, 10
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((n, 2)), rng.standard_normal(n)
    forest = RandomForest(trees, bootstrap=True, rng=rng).fit(X, y)
    share = np.mean([(tree.predict(X) == y).mean() for tree in forest.trees])
    # A row is drawn with probability 1 - (1 - 1/n)^n. The variance of the share of distinct rows is
    # about (1/e - 2/e^2) / n, so 5 standard deviations of the mean over the trees are:
    spread = 5 * np.sqrt((np.exp(-1) - 2 * np.exp(-2)) / (n * trees))
    assert abs(share - (1 - (1 - 1 / n) ** n)) <= spread


@given(problems(max_n=40))
def test_no_two_cuts_of_a_tree_share_their_random_numbers(problem):
    used = []

    class Recording(RegressionTree):
        def _draw(self, n, p):
            return np.arange(n)

        def _split(self, X, Y, draw):
            if len(X) > 1:
                used.append(draw)
            return super()._split(X, Y, draw)

    Recording().fit(*problem)
    assert len(set(used)) == len(used)


# -------------------------------------------------- edges and errors

@pytest.mark.parametrize("X, Y, new, expected", [
    ([[5]], [7], [[0], [9]], [7, 7]),                                          # n = 1
    (np.zeros((4, 0)), [1, 2, 3, 6], np.zeros((2, 0)), [3, 3]),                # p = 0
    (np.ones((4, 3)), [1, 2, 3, 6], np.zeros((1, 3)), [3]),                    # constant features
    ([[1], [2]], np.zeros((2, 0)), [[1]], np.zeros((1, 0))),                   # k = 0
    ([[1], [2]], [[1, 2], [3, 4]], np.zeros((0, 1)), np.zeros((0, 2))),        # nothing to predict
])
def test_small_and_empty_problems(X, Y, new, expected):
    assert np.array_equal(RegressionTree().fit(X, Y).predict(new), expected)


@pytest.mark.parametrize("n, p", [(0, 2), (1, 2), (2, 0)])
def test_where_there_is_nothing_to_cut_there_is_no_split(n, p):
    assert best_split(np.ones((n, p)), np.ones(n)) is None


@pytest.mark.parametrize("size", [1e100, 1e-200])
def test_very_large_and_very_small_targets_are_fitted(size):
    X, y = np.arange(6.0)[:, None], size * np.array([1, -1, 1, 1, 0, -1])
    assert np.array_equal(RegressionTree().fit(X, y).predict(X), y)


@given(problems(generic), rngs)
def test_a_second_fit_forgets_the_first(problem, rng):
    X, Y = problem
    for model in (RegressionTree(), RandomForest(2, rng=rng)):
        once = model.fit(X, Y).predict(X)
        assert np.array_equal(model.fit(X, -Y).predict(X), -once)


@given(problems(), rngs)
def test_arguments_are_not_modified(problem, rng):
    X, Y = problem
    before = X.copy(), Y.copy()
    RandomForest(2, bootstrap=True, rng=rng).fit(X, Y).predict(X)
    assert np.array_equal(X, before[0]) and np.array_equal(Y, before[1])


X, Y = np.eye(3), np.arange(3.0)
RNG = np.random.default_rng(0)


@pytest.mark.parametrize("call, error, message", [
    (lambda: RegressionTree(max_features=2), TypeError,
     "RegressionTree: rng must be numpy.random.Generator, or None if max_features = None, got None"),
    (lambda: random_split(X, Y, [0, 0.5, 1]), ValueError,
     r"random_split: u must be array_like, shape \(p,\), in \[0, 1\) with p = 3, got 1"),
    (lambda: RegressionTree(splitter="random"), TypeError,
     'RegressionTree: rng must be numpy.random.Generator if splitter = "random", got None'),
    (lambda: RegressionTree(max_features=4, rng=RNG).fit(X, Y), ValueError,
     "RegressionTree.fit: X must be .* p >= max_features with .*p = 3, max_features = 4, got p = 3"),
    (lambda: RegressionTree().predict(X), RuntimeError,
     "RegressionTree.predict: the model must be fitted first"),
    (lambda: RegressionTree().fit(X, Y).predict(X[:, :2]), ValueError,
     r"RegressionTree.predict: X must be array_like, shape \(m, n_features\) with .*n_features = 3, got shape \(3, 2\)"),
    (lambda: RegressionTree(max_leaf_nodes=2).fit(X, Y).predict(X, max_leaf_nodes=3), ValueError,
     "max_leaf_nodes must be int in 1..grown_to, or None with grown_to = 2, got 3"),
    (lambda: RandomForest(2, max_features=4, rng=RNG).fit(X, Y), ValueError,
     "RandomForest.fit: X must be .* p >= max_features with .*p = 3, max_features = 4, got p = 3"),
    (lambda: RandomForest(2, rng=RNG).predict(X), RuntimeError,
     "RandomForest.predict: the model must be fitted first"),
    (lambda: RandomForest(2, rng=RNG).fit(X, Y).predict(X[:, :1]), ValueError,
     r"RandomForest.predict: X must be .*, shape \(m, n_features\) with .*n_features = 3, got shape \(3, 1\)"),
])
def test_what_does_not_fit_the_model_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
