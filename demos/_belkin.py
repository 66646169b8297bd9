"""Two experiments of Belkin et al. 2019, for `papers`: random features, and a forest."""
import numpy as np

from tinyml.data import one_hot
from tinyml.interpolation.forest import RandomForest
from tinyml.interpolation.random_features import fourier_sweep, median_distance


def random_features(train, test, widths, rng):
    """The `Curves` of models with N / n features, for every width N / n."""
    (X, y), (X_test, y_test) = train, test
    return fourier_sweep(X, one_hot(y, 10), X_test, one_hot(y_test, 10),
                         [round(width * len(X)) for width in widths], rng=rng,
                         bandwidth=2 / 3 * median_distance(X[:1000]))


def forest_against_trees(train, test, n_trees, rng):
    """Test loss of the mean of full trees / of the best smaller tree."""
    (X, y), (X_test, y_test) = train, test
    forest = RandomForest(n_trees, max_features=round(X.shape[1] ** 0.5), rng=rng)
    tree, *_ = forest.fit(X, one_hot(y, 10)).trees

    def loss(output):
        return np.sum((output - one_hot(y_test, 10)) ** 2, axis=1).mean()

    leaves = np.unique(np.geomspace(2, tree.n_leaves, 12).round().astype(int))[:-1]
    smaller = [loss(tree.predict(X_test, max_leaf_nodes=b)) for b in leaves.tolist()]
    return loss(forest.predict(X_test)) / min(smaller)
