"""Motions of lesson 10.1: descent in the plane, the fit as p passes n, a network's mistakes over epochs."""
import matplotlib.pyplot as plt
import numpy as np
from common import BLACK, BLUE, GREEN, VERMILLION
from panels import sheet

from tinyml.data import digits, flip_labels, train_test_split
from tinyml.interpolation.min_norm import gradient_descent, min_norm
from tinyml.nn import Linear, ReLU, Sequential
from tinyml.optim import Adam
from tinyml.train import fit, predict


def descent(rng):
    """One equation, two unknowns: gradient descent from several starts."""
    X, y = np.array([[1.0, 2.0]]), np.array([3.0])
    starts = [np.zeros(2), *rng.uniform(-2, 3, (5, 2))]
    paths = [gradient_descent(X, y, lr=0.03, n_steps=40, beta0=start) for start in starts]
    shortest = min_norm(X, y)
    figure, ax = plt.subplots(figsize=(6, 5))
    ax.plot([-3, 4], [(3 + 3) / 2, (3 - 4) / 2], color="0.6", label="perfect fits")
    ax.add_patch(plt.Circle((0, 0), np.linalg.norm(shortest), fill=False, color="0.8"))
    ax.plot(*shortest, "*", color=BLACK, markersize=15, label="shortest fit, $X^+ y$", zorder=4)
    colors = [BLUE] + [VERMILLION] * 5
    lines = [ax.plot(*path[:1].T, "o-", color=color, markersize=3)[0] for path, color in zip(paths, colors)]
    ax.set(xlim=(-3, 4), ylim=(-2.5, 3.5), xlabel="$\\beta_1$", ylabel="$\\beta_2$", aspect="equal")
    ax.legend(loc="upper right")

    def draw(t):
        for line, path in zip(lines, paths):
            line.set_data(path[:t + 1].T)
        ax.set_title(f"step {t}")
    return figure, draw, 41


def waves(x, p):
    """1, then cosines and sines that get smaller the faster they turn."""
    k = np.arange(1, p // 2 + 1)
    angles = 2 * np.pi * np.multiply.outer(x, k)
    columns = np.stack([np.cos(angles) / k, np.sin(angles) / k], axis=-1).reshape(len(x), -1)
    return np.hstack([np.ones((len(x), 1)), columns])[:, :p]


def threshold(rng):
    """Minimum-norm fits of 12 points with ever more waves."""
    n, sizes = 12, [*range(1, 24), 27, 31, 37, 45, 55, 75, 101, 151]
    x = np.sort(rng.random(n))
    y = np.sin(2 * np.pi * x) + 0.2 * rng.standard_normal(n)
    grid = np.linspace(0, 1, 400)
    fits = [waves(grid, p) @ min_norm(waves(x, p), y) for p in sizes]
    errors = [np.sqrt(np.mean((f - np.sin(2 * np.pi * grid)) ** 2)) for f in fits]
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4.2))
    left.plot(grid, np.sin(2 * np.pi * grid), "--", color=BLACK, linewidth=1.3)
    left.plot(x, y, "o", color=VERMILLION)
    line, = left.plot(grid, fits[0], color=BLUE)
    left.set(ylim=(-2.5, 2.5), xlabel="x", ylabel="y")
    right.plot(sizes, errors, color="0.8")
    right.axvline(n, color="0.6", linestyle=":")
    dot, = right.plot(sizes[:1], errors[:1], "o", color=BLUE)
    right.set(xscale="log", yscale="log", xlabel="coefficients p (dotted: p = n)", ylabel="distance from the truth")

    def draw(i):
        line.set_ydata(fits[i])
        dot.set_data(sizes[i:i + 1], errors[i:i + 1])
        left.set_title(f"p = {sizes[i]}")
    return figure, draw, len(sizes)


def mistakes(rng):
    """A network learns wrong labels by heart; the test images that it gets wrong, epoch after epoch."""
    X, y = digits()
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.5, rng=rng, stratify=y)
    y = flip_labels(y, 10, fraction=0.2, rng=rng)
    model = Sequential(Linear(64, 512, rng=rng), ReLU(), Linear(512, 10, rng=rng))
    optimizer, errors, shown = Adam(model.parameters(), lr=2e-3), [], []
    epochs = np.unique(np.geomspace(1, 200, 50).round().astype(int))
    for more in np.diff(epochs, prepend=0):
        fit(model, X, y, optimizer=optimizer, epochs=int(more), batch_size=64, rng=rng)
        wrong = predict(model, X_test).argmax(axis=1) != y_test
        learned = predict(model, X).argmax(axis=1) != y
        errors.append((100 * wrong.mean(), 100 * learned.mean()))
        images = np.zeros((24, 8, 8))
        images[:min(24, wrong.sum())] = X_test[wrong][:24].reshape(-1, 8, 8)
        shown.append(images)
    errors = np.array(errors)
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4.2), width_ratios=[1.3, 1])
    test, = left.plot([], [], color=VERMILLION, label="test")
    train, = left.plot([], [], color=GREEN, label="training, a fifth of its labels wrong")
    left.set(xscale="log", xlim=(1, epochs[-1]), ylim=(0, errors.max() * 1.1), xlabel="epoch", ylabel="error in %")
    left.legend()

    def draw(i):
        test.set_data(epochs[:i + 1], errors[:i + 1, 0])
        train.set_data(epochs[:i + 1], errors[:i + 1, 1])
        right.clear()
        sheet(right, {row: shown[i][6 * row:6 * row + 6] for row in range(4)}, title="test images it gets wrong")
        right.set_yticks([])
    return figure, draw, len(errors)
