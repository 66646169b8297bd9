"""How many of a network's weights are needed, and does it matter which are left?

MATH5836 week 10, section 10.2.1; Han, Pool, Tran and Dally 2015; Zhu and Gupta 2017. A network for real
digits loses weights: the smallest of all layers, the smallest of each layer, or any; at once, at once with
training after it, or little by little while it trains.

You will see the accuracy against the weights that are left, for five ways to prune; and what is left of the
first layer, drawn as the pixels that its weights look at.

Predict first: how many of 29,000 weights can go before the network is wrong twice as often?
"""
# %% Constants
import copy

import matplotlib.pyplot as plt
import numpy as np
from common import BLACK, BLUE, GREEN, ORANGE, VERMILLION, band, start

from tinyml.compression.pruning import cubic_sparsity, hold, prune, sparsity
from tinyml.compression.report import compare
from tinyml.compression.sparse import SparseLinear
from tinyml.data import digits, train_test_split
from tinyml.nn import Linear, ReLU, Sequential
from tinyml.optim import Adam, LambdaLR, cosine_decay
from tinyml.train import accuracy, fit

demo = start(__file__, __doc__)
RUNS = 2 if demo.quick else 4                  # networks, each with its own split of the digits
HIDDEN = (200, 80)                             # units: 29,600 weights
EPOCHS = 10 if demo.quick else 25             # of training, and again after or during the pruning
LEFT = np.array([0.2, 0.05, 0.02] if demo.quick else
                [0.5, 0.2, 0.1, 0.05, 0.03, 0.02, 0.01])    # shares of the weights that stay
SHARE = 0.05                                   # the one of the claims
BATCH, CHANGES = 64, 100                       # little by little: how often the masks grow
WAYS = {    # name: (how masks are chosen, when, colour, marker)
    "little by little, trained": ("global", "gradual", BLUE, "o"),
    "at once, then trained": ("global", "tuned", GREEN, "s"),
    "at once": ("global", "once", ORANGE, "^"),
    "at once, per layer": ("layer", "once", VERMILLION, "v"),
    "random, then trained": ("random", "tuned", BLACK, "x"),
}

# %% Data and model
X, y = digits()


def network(rng):
    a, b = HIDDEN
    return Sequential(Linear(64, a, rng=rng), ReLU(), Linear(a, b, rng=rng), ReLU(), Linear(b, 10, rng=rng))


# %% Experiment
def train(model, X_train, y_train, rng, masks=None, final=None):
    """Adam with a cosine schedule; with `final`, the masks grow to it in the first two thirds."""
    optimizer = Adam(model.parameters(), lr=3e-3)
    steps = EPOCHS * -(-len(X_train) // BATCH)
    if masks is not None:
        hold(optimizer, model, masks)
    if final is not None:
        growth = iter(range(steps))

        def grow():
            t = next(growth)
            if t % max(1, steps // CHANGES) == 0:
                masks.update(prune(model, amount=float(cubic_sparsity(t, final=final, t_end=2 * steps // 3))))
        optimizer.projections.append(grow)
    schedule = LambdaLR(optimizer, lambda t: cosine_decay(t, steps))
    fit(model, X_train, y_train, optimizer=optimizer, epochs=EPOCHS, batch_size=BATCH, rng=rng,
        schedule=schedule, label=f"to {final:.0%} zeros" if final else "training")


def pruned(dense, left, way, X_train, y_train, rng):
    """A copy of the dense network with a share of its weights left."""
    method, when, *_ = WAYS[way]
    model = copy.deepcopy(dense)
    if when == "gradual":
        train(model, X_train, y_train, rng, masks={}, final=1 - left)
        return model
    masks = prune(model, amount=1 - left, method=method, rng=rng)
    if when == "tuned":
        train(model, X_train, y_train, rng, masks)
    return model


def run(rng):
    """Test accuracies (ways, shares), the dense network's; it and that of SHARE; the test data."""
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.3, rng=rng, stratify=y)
    dense = network(rng)
    train(dense, X_train, y_train, rng)
    models = {way: [pruned(dense, left, way, X_train, y_train, rng) for left in LEFT] for way in WAYS}
    hits = [[accuracy(model, X_test, y_test) for model in row] for row in models.values()]
    at = int(np.flatnonzero(LEFT == SHARE)[0])
    return (np.array(hits), accuracy(dense, X_test, y_test), dense, models["little by little, trained"][at],
            (X_test, y_test))


runs = [run(np.random.default_rng([demo.seed, r])) for r in demo.progress(range(RUNS), "networks")]
hits, full = np.array([r[0] for r in runs]), np.array([r[1] for r in runs])
at = int(np.flatnonzero(LEFT == SHARE)[0])
mean = dict(zip(WAYS, hits[:, :, at].mean(axis=0)))
dense, small, test = runs[0][2:]
sparse = Sequential(*[SparseLinear.from_linear(m) if isinstance(m, Linear) else m for m in small])
reports = compare({"dense": dense, "pruned": small, "pruned, sparse product": sparse}, *test)
bytes_dense, bytes_small = reports["dense"].file_bytes, reports["pruned"].file_bytes

# %% Figure: accuracy against weights left; the pixels that the first layer still looks at
best = "little by little, trained"
figure = plt.figure(figsize=(13.5, 5.8))
left, right = figure.subfigures(1, 2, width_ratios=[1.15, 1])
ax = left.subplots()
figure.suptitle(f"With {100 * SHARE:.0f} % of its weights the network is right {100 * mean[best]:.1f} % "
                f"of the time (all: {100 * full.mean():.1f} %), if it loses them little by little")
for i, (way, (_, _, color, marker)) in enumerate(WAYS.items()):
    band(ax, 100 * LEFT, 100 * hits[:, i], color=color, marker=marker, ms=5, label=way)
ax.axhline(100 * full.mean(), ls="--", color="0.4", lw=1.2)
ax.text(100 * LEFT.min(), 100 * full.mean() + 0.8, "all weights", color="0.3")
ax.set(xscale="log", xlabel="weights left in %", ylabel="test accuracy in %", ylim=(0, 105))
ax.set_xticks([1, 2, 5, 10, 20, 50], ["1", "2", "5", "10", "20", "50"])
ax.minorticks_off()
ax.legend(loc="lower right", fontsize=10)

weight = small[0].weight.data
busiest = np.argsort(-np.count_nonzero(weight, axis=1), kind="stable")[:24]
limit = np.abs(weight).max()
for cell, unit in zip(right.subplots(4, 6).flat, busiest):
    cell.imshow(np.where(weight[unit] == 0, np.nan, weight[unit]).reshape(8, 8), cmap="PuOr", vmin=-limit,
                vmax=limit)
    cell.set(xticks=[], yticks=[], facecolor="0.93")
    cell.grid(False)
right.suptitle(f"What is left of the first layer: {np.count_nonzero(weight.any(axis=0))} of 64 pixels are "
               "read;\nthese are its busiest units (grey: a weight of zero)", fontsize=12, fontweight="normal")

# %% Claims
for way in WAYS:
    demo.record(f"accuracy with {100 * SHARE:.0f} % left, {way}", mean[way])
demo.record("accuracy with all weights", full.mean())
demo.reports(reports)
demo.claim("the share of zeros is what was asked for", abs(sparsity(small) - (1 - SHARE)), at_most=1e-3)
demo.claim(f"{100 * SHARE:.0f} % of the weights, little by little: points of accuracy lost",
           100 * (full.mean() - mean[best]), at_most=8 if demo.quick else 4)
demo.claim("little by little loses less than at once without training (points)",
           100 * (mean[best] - mean["at once"]), above=10)
demo.claim("and less than training after random pruning (points)",
           100 * (mean[best] - mean["random, then trained"]), above=1)
demo.claim("one threshold for all layers or one for each: training matters more than either (points)",
           100 * (mean["at once, then trained"] - max(mean["at once"], mean["at once, per layer"])), above=5)
demo.claim("zeros shrink the file only because it is coded: its size, relative to the dense one",
           bytes_small / bytes_dense, at_most=0.15)
demo.claim("a mask alone saves no multiplication (ratio)", reports["pruned"].macs / reports["dense"].macs,
           within=(1, 1))
demo.claim("a product that knows only what is left saves them (ratio)",
           reports["pruned, sparse product"].macs / reports["dense"].macs, at_most=SHARE + 1e-3)
demo.finish(figure)
