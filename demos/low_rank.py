"""How many directions does a layer need, and how much time does that save?

MATH5836 week 10, section 10.2.3; Denton et al. 2014. The middle layer of a trained network for
images becomes a product of two thin ones, cut as it is or weighted by its inputs.

You will see the singular values of the layers; how far the outputs of the middle layer move at
every rank, beside the theory; and the time of two thin products beside one wide one. That the
weighted cut is the best on the inputs that it was weighted by is a theorem; that it is better on
new ones takes images that vary in the same directions.

Predict first: at which rank are two thin layers of 1,024 units as much work as one wide one: 100,
500, 900?
"""
# %% Constants
import warnings

import matplotlib.pyplot as plt
import numpy as np
from _networks import load_images, trained_network
from common import BLACK, BLUE, GREEN, ORANGE, VERMILLION, start
from panels import curve

from tinyml.compression.low_rank import break_even, truncated_svd
from tinyml.compression.report import macs, milliseconds
from tinyml.compression.thin_layers import factorize_linear
from tinyml.nn import Linear
from tinyml.train import predict

demo = start(__file__, __doc__, data=("digits", "clothes", "mnist", "fashion-mnist"))
X, y = load_images(demo)
HIDDEN = (300, 100)                            # units
EPOCHS = 6 if demo.quick else 25               # of training
WIDE = 1024                                    # inputs and outputs of the layer on the clock
RANKS = (32, 128, 256, 512, 768)               # of its factors
ROUNDS = 5 if demo.quick else 25               # of the clock
EPS = np.finfo(np.float64).eps

# %% Train a network
a, b = HIDDEN
net = trained_network(X, y, demo.rng, epochs=EPOCHS, hidden=HIDDEN)
model, (X_train, _), (X_test, _), _ = net

# %% The singular values of its layers, and the ranks below which two thin layers save work
linears = [layer for layer in model if isinstance(layer, Linear)]
spectra = [np.linalg.svd(layer.weight.data, compute_uv=False) for layer in linears]
for layer, s in zip(linears, spectra):
    name = f"{layer.in_features} to {layer.out_features}"
    energy = s ** 2
    demo.record(f"{name}: rank of break-even", break_even(*layer.weight.shape))
    demo.record(f"{name}: energy of the 10 largest", energy[:10].sum() / energy.sum())

# %% Cut the middle layer at every rank: the error of its weights is the tail of the spectrum
W = linears[1].weight.data.astype(np.float64)                    # (b, a)
ranks = np.arange(1, b + 1)
cuts = [truncated_svd(W, rank) for rank in ranks.tolist()]
squared_error = np.array([((W - U @ V.T) ** 2).sum() for U, V in cuts])
energy = np.linalg.svd(W, compute_uv=False) ** 2
lost = energy.sum() - energy.cumsum()    # the squares of the singular values that are cut off
off = np.abs(squared_error - lost).max() / energy.sum()
demo.claim("||W - U V'||^2 is the sum of the squares of the lost singular values (relative error)",
           off, at_most=10 * (a + b) * EPS)

# %% Cut it again, weighted by the inputs that reach it
hidden = predict(model[:2], X_train).astype(np.float64)          # (n, a)
second_moment = hidden.T @ hidden / len(hidden)
weighted_cuts = [truncated_svd(W, rank, second_moment=second_moment) for rank in ranks.tolist()]


def output_error(inputs, cuts):
    """The distance of the outputs from those of W, relative to their length, at every rank."""
    outputs = inputs @ W.T
    cut_outputs = [inputs @ V @ U.T for U, V in cuts]
    away = [np.linalg.norm(cut - outputs) for cut in cut_outputs]
    return np.array(away) / np.linalg.norm(outputs)


plain, weighted = output_error(hidden, cuts), output_error(hidden, weighted_cuts)
unseen = predict(model[:2], X_test).astype(np.float64)
gain = output_error(unseen, weighted_cuts) / output_error(unseen, cuts)
output_energy = np.linalg.svd(hidden @ W.T, compute_uv=False) ** 2
kept = output_energy.cumsum() / output_energy.sum()
limit = np.sqrt(np.maximum(1 - kept, 0))    # Eckart and Young
half = ranks <= b // 2
demo.record("error of the outputs at rank 10, cut, weighted", [plain[9], weighted[9]])
demo.claim("weighted by the inputs, no rank loses more on them than the cut of W (largest ratio)",
           (weighted / plain)[half].max(), at_most=1 + 1e-6)
demo.claim("the weighted cut has the least error that any matrix of its rank can have (largest difference)",
           np.abs(weighted - limit)[half].max(), at_most=1e-5)
demo.finding("on new inputs, 10 directions move the outputs by at most (fraction of their length)",
             output_error(unseen, weighted_cuts)[9], at_most=0.1,
             why="The layer before ten classes needs about ten directions, if images of one class "
                 "are alike; if they are not, it needs more.")
demo.finding("on new inputs, too, the weighted cut moves outputs less (mean ratio, half the ranks)",
             gain[half].mean(), below=1,
             why="It takes new inputs that vary in the directions of those that it was "
                 "weighted by: for inputs that vary alike in all directions the plain cut "
                 "is the best.")

# %% The clock: one wide layer, and factors of several ranks
layer = Linear(WIDE, WIDE, rng=demo.rng)
with warnings.catch_warnings():
    warnings.simplefilter("ignore")    # ranks that save nothing are measured too
    factors = [factorize_linear(layer, rank) for rank in RANKS]
batch = demo.rng.standard_normal((256, WIDE)).astype(np.float32)
times = milliseconds([layer, *factors], batch, rounds=ROUNDS)
time_left = np.median(times[1:] / times[0], axis=1)
sample = batch[:1]
work_left = np.array([macs(pair, sample) for pair in factors]) / macs(layer, sample)
demo.record("fraction of the work, wide layer", work_left)
demo.record("fraction of the time, wide layer", time_left)
demo.claim("at rank n/2 two square factors are as much work as the whole (fraction)",
           work_left[RANKS.index(WIDE // 2)], within=(1, 1))
if not demo.quick:
    demo.finding("rank 128 of 1,024, a quarter of the work, takes this fraction of the time",
                 time_left[RANKS.index(128)], at_most=0.6)
    demo.finding("time is in proportion to work (largest factor between the two from rank 128 on)",
                 np.exp(np.abs(np.log(time_left / work_left)[1:]).max()), at_most=1.7)
    demo.finding("rank 768 takes longer than the whole (fraction of the time)", time_left[-1],
                 above=1)

# %% Figure: the singular values of each layer; from the dashed rank on, two layers are more work
figure, (spectrum, error, clock) = plt.subplots(1, 3, figsize=(17, 5.4))
figure.suptitle(f"With 10 of {b} directions a layer's outputs change by {100 * weighted[9]:.1f} % "
                "of their length; a quarter of the work takes "
                f"{100 * time_left[RANKS.index(128)]:.0f} % of the time")
for layer, s, color in zip(linears, spectra, (BLUE, GREEN, VERMILLION)):
    spectrum.plot(np.arange(1, len(s) + 1), s / s[0], color=color,
                  label=f"{layer.in_features} to {layer.out_features}")
    spectrum.axvline(break_even(*layer.weight.shape), color=color, ls="--", lw=1.2)
spectrum.set(xlabel="number of the singular value", ylabel="singular value / largest",
             title="Two thin layers save work left of the dashed rank")
spectrum.legend(fontsize=10)

# %% The error of the outputs against the rank
below = ranks <= break_even(a, b)
curve(error, ranks[below], plain[below], color=ORANGE, label="cut")
curve(error, ranks[below], weighted[below], theory=limit[below], color=BLUE,
      label="weighted by the inputs (dashed: the limit)")
error.set(yscale="log", xlabel="rank", ylabel="error of the outputs / their length",
          title=f"The layer from {a} to {b} units")
error.legend(fontsize=10)

# %% Time against work
clock.plot(100 * work_left, 100 * time_left, "o-", color=VERMILLION, ms=7)
clock.plot([0, 150], [0, 150], "--", color=BLACK, lw=1.3)
for rank, x, t in zip(RANKS, 100 * work_left, 100 * time_left):
    clock.annotate(f"rank {rank}", (x, t), (8, -10), textcoords="offset points", fontsize=9)
clock.text(96, 112, "time = work", ha="right")
clock.axvline(100, color="0.6", lw=1)
clock.set(xlabel="multiply-accumulates left in %", ylabel="time left in %, batch of 256",
          title=f"Two thin layers for one of {WIDE:,} x {WIDE:,}", xlim=(0, 185))
demo.finish(figure)
