"""How few different values do a network's weights need?

MATH5836 week 10, section 10.2.2; Han, Mao and Dally 2016, Deep Compression, section 3. In each
layer of a network for images, k-means groups the weights around k values, and each weight becomes
the value of its group. Then the k values are trained: the gradient of a value is the sum of the
gradients of its weights. k-means starts in one of three ways, as in the paper.

You will see the values of the first layer at the start and after k-means; the error of k-means
as it falls; and the test accuracy against k, before and after the values are trained. The
opponent with 32-bit weights is trained for as long as the values. On other images a network may
need more values: where classes are alike, a small error of the weights changes more answers.

Predict first: how accurate is a network with two values per layer, and how much accuracy is
regained when these two numbers are trained? Two starts put most values where most weights are.
The linear start spaces them evenly, and was best for the paper's networks. Is it best here?
"""
# %% Constants
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from _networks import dense_network, load_images
from common import start
from panels import SERIES, curve, reference

from tinyml.compression.codebooks import initial_centroids, kmeans
from tinyml.compression.report import compare
from tinyml.compression.weight_sharing import share_weights
from tinyml.data import train_test_split
from tinyml.nn import Sequential
from tinyml.nn.skeleton import describe, rebuild
from tinyml.optim import Adam
from tinyml.train import accuracy, fit

demo = start(__file__, __doc__, data=("digits", "clothes", "mnist", "fashion-mnist"))
X, y = load_images(demo)
INITS = "linear", "density", "random"
EPOCHS = 10 if demo.quick else 25       # of training the weights, and of training the values
BITS = (1, 2, 4) if demo.quick else (1, 2, 3, 4, 5)    # log2 of the number of values
REPEATS = 2 if demo.quick else 4        # networks
K = 8                                   # values in the pictures of k-means

# %% Model: Adam trains the weights, or the values that they share
def train(model, X, y, *, lr, rng):
    optimizer = Adam(model.parameters(), lr=lr)
    fit(model, X, y, optimizer=optimizer, epochs=EPOCHS, batch_size=32, rng=rng)


def trained_network(X, y, rng):
    model = dense_network(X.shape[1], rng, hidden=(64,))
    train(model, X, y, lr=3e-3, rng=rng)
    return model


# %% Experiment: share the weights, measure, train the values, measure again
class Run(NamedTuple):
    model: Sequential
    at_first: float      # the accuracy with 32-bit weights
    full: float          # and when they are trained for as long as the values
    before: dict         # start: accuracies (len(BITS),) before the values are trained
    after: dict          # start: and after
    shared: dict         # bits: the model from the linear start, trained
    test: tuple


def run(rng):
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.3, rng=rng, stratify=y)
    model, test = trained_network(X_train, y_train, rng), (X_test, y_test)
    fair = rebuild(*describe(model))
    train(fair, X_train, y_train, lr=1e-3, rng=rng)
    before, after, models = {}, {}, {}
    for init in INITS:
        models[init] = [share_weights(rebuild(*describe(model)), bits=bits, init=init, rng=rng)
                        for bits in BITS]
        before[init] = [accuracy(shared, *test) for shared in models[init]]
        for shared in models[init]:
            train(shared, X_train, y_train, lr=1e-3, rng=rng)
        after[init] = [accuracy(shared, *test) for shared in models[init]]
    shown = dict(zip(BITS, models["linear"]))
    return Run(model, accuracy(model, *test), accuracy(fair, *test), before, after, shown, test)


runs = [run(rng) for rng in demo.progress(demo.rng.spawn(REPEATS), "networks")]

# %% The mean accuracy of the networks, in %
full = 100 * np.mean([r.full for r in runs])
at_first = 100 * np.mean([r.at_first for r in runs])
before = {init: 100 * np.mean([r.before[init] for r in runs], axis=0) for init in INITS}
after = {init: 100 * np.mean([r.after[init] for r in runs], axis=0) for init in INITS}
demo.record("accuracy with 32-bit weights", at_first, "%")
demo.record("accuracy with 32-bit weights, trained as long as the values", full, "%")
for init in INITS:
    demo.record(f"{init} start: before training the values", before[init], "%")
    demo.record(f"{init} start: after", after[init], "%")

# %% Two values per layer, and four, when they are trained
regained = []
for init in INITS:
    shared, trained = before[init][0], after[init][0]
    regained.append((trained - shared) / (full - shared))
demo.finding("training two values regains most of what sharing lost (least fraction)",
             min(regained), at_least=0.6,
             why="Two values keep little more than the sign of a weight, and classes that "
                 "are alike may need more than signs.")
demo.finding("with four values trained, the network is within 2.5 points of 32 bits (%)",
             full - min(after[init][1] for init in INITS), at_most=2.5,
             why="Classes that are alike need finer differences between the weights than "
                 "four values leave.")

# %% Many values need no training, and the start hardly matters after it
untrained = min(before[init][BITS.index(4):].min() for init in INITS)
demo.finding("with 16 values or more, untrained, the network is within 1.5 points of 32 bits (%)",
             at_first - untrained, at_most=1.5,
             why="Where classes are alike, more images are close to a boundary, and a "
                 "small error of the weights moves them across.")
differences = np.ptp([after[init][1:] for init in INITS], axis=0)    # between the starts
demo.finding("once the values are trained, the start hardly matters (largest difference, points)",
             differences.max(), at_most=2,
             why="If some weights are far larger than the others, starts that leave them "
                 "out may end elsewhere.")

# %% k-means on the weights of the first layer; the random start is the same draw both times
weight = runs[0].model[0].weight.data.ravel()
starts, ends, errors = {}, {}, {}
for init in INITS:
    rng, same = (np.random.default_rng(demo.seed) for _ in range(2))
    starts[init] = initial_centroids(weight, K, init=init, rng=rng)
    ends[init], squares = kmeans(weight, K, init=init, rng=same)
    errors[init] = np.array(squares) / (np.var(weight) * weight.size)
    demo.record(f"{init} start: error / variance of {K} values", errors[init][-1])

# %% Neither step of k-means raises its error
demo.claim("the error of k-means never rises (largest step, over the variance)",
           max(np.diff(error).max() for error in errors.values()), at_most=1e-9)

# %% The linear start covers the whole range, so the largest weights have a value near them
outermost = {init: np.abs(starts[init]).max() for init in INITS}
demo.claim("the linear start reaches farther out than the others (largest value, ratio)",
           outermost["linear"] / max(outermost["density"], outermost["random"]), at_least=1)

# %% What shared values save: a file of small codes and a few values
rows = {"32-bit weights": runs[0].model}
rows |= {f"{2 ** bits} values, trained": shared for bits, shared in runs[0].shared.items()}
demo.reports(compare(rows, *runs[0].test))

# %% Figure: the first layer's values, at the start and after k-means
figure, (values, fall, hit) = plt.subplots(1, 3, figsize=(16, 5.4))
figure.suptitle(f"With two values per layer {before['linear'][0]:.0f} % are right, "
                f"{after['linear'][0]:.0f} % once the two are trained; "
                f"32-bit weights reach {full:.0f} %")
top = values.hist(weight, bins=60, color="0.85")[0].max()
for i, (init, (color, marker)) in enumerate(zip(INITS, SERIES)):
    y_start, y_end = -top * (0.2 + 0.3 * i), -top * (0.3 + 0.3 * i)
    values.plot([starts[init], ends[init]], [[y_start] * K, [y_end] * K], color=color, lw=0.8)
    values.plot(starts[init], [y_start] * K, marker, color=color, mfc="white")
    values.plot(ends[init], [y_end] * K, marker, color=color)
    values.text(1.12 * weight.min(), (y_start + y_end) / 2, init, ha="right", va="center")
values.set(xlabel="weight of the first layer", ylabel="weights in a bin",
           xlim=(1.5 * weight.min(), 1.1 * weight.max()), yticks=[0, int(top) // 50 * 50],
           title=f"{K} values: start (open), after k-means (filled)")

# %% The error of k-means, and the accuracy against the number of values
x = 2 ** np.array(BITS)
for init, (color, marker) in zip(INITS, SERIES):
    style = dict(color=color, marker=marker)
    curve(fall, np.arange(len(errors[init])), errors[init], **style, ms=4, label=f"{init} start")
    curve(hit, x, before[init], **style, linestyle=":", mfc="white", ms=7)
    curve(hit, x, after[init], **style, ms=7, label=f"{init} start")
fall.set(yscale="log", xlabel="moves of the values", ylabel="squared error / variance",
         title="The error of k-means never rises")
fall.legend()
reference(hit, full, "32-bit weights, trained as long")
hit.set(xscale="log", xlabel="values per layer", ylabel="test accuracy in %",
        title=f"Mean of {REPEATS} networks: values trained (filled), not (open)")
hit.set_xticks(x, x)
hit.minorticks_off()
hit.legend(loc="lower right")
demo.finish(figure)
