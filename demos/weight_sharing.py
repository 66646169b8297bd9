"""How few different values do a network's weights need?

MATH5836 week 10, section 10.2.2; Han, Mao and Dally 2016, Deep Compression, section 3. The weights of each
layer of a network on handwritten digits are shared among k values by k-means, from the paper's three starts;
then the k values are trained on, each with the sum of the gradients of all weights that have it.

You will see the first layer's weights with the centroids of each start, before and after k-means; the error
of k-means as it falls; and the test accuracy against k, before and after the values are trained.

Predict first: with two values per layer, what is left of the network, and what can training two numbers
regain? The density and the random start put centroids where most weights are, the linear start spaces them
evenly, and served the paper's networks best. Does it here?
"""
# %% Constants
import matplotlib.pyplot as plt
import numpy as np
from common import BLACK, BLUE, GREEN, VERMILLION, start

from tinyml import nn, optim
from tinyml.compression.report import compare
from tinyml.compression.weight_sharing import initial_centroids, kmeans, share_weights
from tinyml.data import digits, train_test_split
from tinyml.nn.skeleton import describe, rebuild
from tinyml.train import accuracy, fit

demo = start(__file__, __doc__)
INITS = {"linear": (BLUE, "o"), "density": (VERMILLION, "s"), "random": (GREEN, "^")}
SIZES = 64, 64, 10                      # of the layers
EPOCHS = 10 if demo.quick else 25       # of training the weights, and of training the shared values
BITS = (1, 2, 4) if demo.quick else (1, 2, 3, 4, 5)    # log2 of the number of values
REPEATS = 2 if demo.quick else 5        # networks
SHOWN_BITS = 3                          # in the pictures of k-means

# %% Data
X, y = digits()

# %% Model
def trained_network(X, y, rng):
    model = nn.Sequential(nn.Linear(*SIZES[:2], rng=rng), nn.ReLU(), nn.Linear(*SIZES[1:], rng=rng))
    train(model, X, y, lr=3e-3, rng=rng)
    return model


def train(model, X, y, *, lr, rng):
    """Everything that the model has: the weights, or the values that they share."""
    fit(model, X, y, optimizer=optim.Adam(model.parameters(), lr=lr), epochs=EPOCHS, batch_size=32, rng=rng)


# %% Experiment: share, measure, train the values, measure again
def experiment(rng):
    """A network, its test accuracy, those of its shared versions, (before/after, init, bits), its reports."""
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.3, rng=rng, stratify=y)
    model, right = trained_network(X_train, y_train, rng), np.zeros((2, len(INITS), len(BITS)))
    shown = {"32-bit weights": model}
    for i, init in enumerate(INITS):
        for j, bits in enumerate(BITS):
            shared = share_weights(rebuild(*describe(model)), bits=bits, init=init, rng=rng)
            right[0, i, j] = accuracy(shared, X_test, y_test)
            train(shared, X_train, y_train, lr=1e-3, rng=rng)
            right[1, i, j] = accuracy(shared, X_test, y_test)
            if init == "linear":
                shown[f"{2 ** bits} values, trained"] = shared
    return model, accuracy(model, X_test, y_test), right, lambda: compare(shown, X_test, y_test)


runs = [experiment(rng) for rng in demo.progress(demo.rng.spawn(REPEATS), "networks")]
models, whole, right, reports = zip(*runs)
whole, (before, after) = 100 * np.mean(whole), 100 * np.mean(right, axis=0)    # %, (init, bits)

weight, k = models[0][0].weight.data.ravel(), 2 ** SHOWN_BITS
starts, ends, errors = {}, {}, {}
for init in INITS:
    twice = [np.random.default_rng(demo.seed) for _ in range(2)]    # the same draw for the start alone
    starts[init] = initial_centroids(weight, k, init=init, rng=twice[0])
    ends[init], errors[init] = kmeans(weight, k, init=init, rng=twice[1])
spread = np.var(weight) * weight.size

# %% Figure: centroids, errors, accuracy
figure, axes = plt.subplot_mosaic([["centroids", "errors"], ["accuracy", "accuracy"]], figsize=(12, 9.4))
figure.suptitle(f"Two values per layer: {before[0, 0]:.0f} % right, once they are trained "
                f"{after[0, 0]:.0f} %, where 32-bit weights reach {whole:.0f} %")


def draw_centroids(ax):
    top = ax.hist(weight, bins=60, color="0.85")[0].max()
    for i, (init, (color, marker)) in enumerate(INITS.items()):
        y = -top * (0.2 + 0.3 * i)
        ax.plot(starts[init], np.full(k, y), marker, color=color, mfc="white", ms=6)
        ax.plot(ends[init], np.full(k, y - 0.1 * top), marker, color=color, ms=6)
        for a, b in zip(starts[init], ends[init]):
            ax.plot([a, b], [y, y - 0.1 * top], color=color, lw=0.8)
        ax.text(weight.min() * 1.12, y - 0.05 * top, init, ha="right", va="center")
    ax.set(xlabel="weight of the first layer", ylabel="weights in a bin", ylim=(-top * 1.05, top * 1.05),
           xlim=(weight.min() * 1.6, weight.max() * 1.1), yticks=[0, int(top) // 50 * 50],
           title=f"The {k} centroids at the start (open) and after k-means (filled)")


def draw_errors(ax):
    for init, (color, marker) in INITS.items():
        moves = np.arange(len(errors[init]))
        ax.semilogy(moves, np.array(errors[init]) / spread, color=color, marker=marker, ms=4, lw=1.3,
                    label=f"{init} start")
    ax.legend()
    ax.set(xlabel="moves of k-means", ylabel="squared error / variance",
           title="The error never rises")


def draw_accuracy(ax):
    x = np.array(BITS)
    for i, (init, (color, marker)) in enumerate(INITS.items()):
        ax.plot(x + 0.04 * (i - 1), before[i], ":", color=color, marker=marker, mfc="white", ms=7)
        ax.plot(x + 0.04 * (i - 1), after[i], color=color, marker=marker, ms=7, label=f"{init} start")
    ax.axhline(whole, linestyle="--", color=BLACK, lw=1.4)
    ax.text(x[-1] + 0.2, whole, "32-bit\nweights", va="center")
    ax.annotate("values trained (filled)", (x[0], after[:, 0].mean()), (16, -14), va="top",
                textcoords="offset points")
    ax.annotate("not trained (open)", (x[0] + 0.1, before[:, 0].mean()), (12, 0), textcoords="offset points")
    ax.legend(loc="lower right")
    ax.set(xticks=x, xticklabels=[f"{2 ** bits}" for bits in BITS], xlabel="shared values per layer",
           ylabel="test accuracy, %", title=f"Mean of {REPEATS} networks")


draw_centroids(axes["centroids"])
draw_errors(axes["errors"])
draw_accuracy(axes["accuracy"])

# %% Claims
demo.reports(reports[0]())
demo.record("accuracy with 32-bit weights", whole, "%")
for i, init in enumerate(INITS):
    demo.record(f"{init}: before, for each k", before[i], "%")
    demo.record(f"{init}: after", after[i], "%")
    demo.record(f"{init}: error / variance of {k} values", errors[init][-1] / spread)
demo.claim("the error of k-means never rises (largest step, over the variance)",
           max(np.diff(errors[init]).max() for init in INITS) / spread, at_most=1e-9)
regained = (after[:, 0] - before[:, 0]) / (whole - before[:, 0])
demo.claim("training two values regains most of what sharing lost (least share)", regained.min(),
           at_least=0.6)
demo.claim("with four values trained, the network is within 2.5 points of 32 bits (%)",
           whole - after[:, 1].min(), at_most=2.5)
demo.claim("from 16 values on it is within 1.5 points untrained (%)", whole - before[:, BITS.index(4):].min(),
           at_most=1.5)
demo.claim("the linear start has its outermost value nearest to the largest weight (ratio to the next best)",
           np.abs(starts["linear"]).max() / max(np.abs(starts[init]).max() for init in ("density", "random")),
           at_least=1)
demo.claim("once the values are trained, the start hardly matters (largest difference, points)",
           np.ptp(after[:, 1:], axis=0).max(), at_most=2)
demo.finish(figure)
