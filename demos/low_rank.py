"""How many directions does a layer need, and how much time is that?

MATH5836 week 10, section 10.2.3; Denton et al. 2014; Tai et al. 2016. The weight matrices of a wide network
for real digits become products of two thin ones, as they are or weighed by the inputs that reach them, and are
then trained on or not.

You will see the singular values of its layers (the last one, which needs all of its 10, stays whole); the
accuracy against the multiplications that are left; and the time of two thin products beside one wide one.

Predict first: at which rank are two thin layers of 1,000 units as much work as one wide one: 100, 500, 900?
"""
# %% Constants
import matplotlib.pyplot as plt
import numpy as np
from common import BLACK, BLUE, GREEN, ORANGE, VERMILLION, band, start

from tinyml.compression.low_rank import break_even, factorize, factorize_linear
from tinyml.compression.report import file_bytes, macs, milliseconds
from tinyml.data import digits, train_test_split
from tinyml.nn import Linear, ReLU, Sequential
from tinyml.optim import Adam
from tinyml.train import accuracy, fit, predict

demo = start(__file__, __doc__)
RUNS = 2 if demo.quick else 5                  # networks, each with its own split of the digits
HIDDEN = (300, 100)                            # units
EPOCHS = 6 if demo.quick else 25               # of training
TUNING = 2 if demo.quick else 5                # epochs of training after the cut
SHARES = np.array([0.05, 0.2] if demo.quick else
                  [0.04, 0.07, 0.12, 0.2, 0.35, 0.6])    # of the work of each layer but the last
CLAIMED = 0.2                                  # the share of the claims
WIDE = 1024                                    # inputs and outputs of the layer on the clock
RANKS = (32, 128, 256, 512, 768)               # of its factors
ROUNDS = 5 if demo.quick else 25               # of the clock
WAYS = {"cut": (ORANGE, "^"), "cut, weighed by the inputs": (GREEN, "s"), "cut, weighed, then trained": (BLUE, "o")}

# %% Data, model, experiment
X, y = digits()


def run(rng):
    """Test accuracies (ways, shares), shares of the work, the full network's accuracy, and how far the outputs
    are from its, cut plainly and weighed (shares, 2)."""
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.3, rng=rng, stratify=y)
    a, b = HIDDEN
    model = Sequential(Linear(64, a, rng=rng), ReLU(), Linear(a, b, rng=rng), ReLU(), Linear(b, 10, rng=rng))
    train = lambda model, epochs, lr: fit(model, X_train, y_train, optimizer=Adam(model.parameters(), lr=lr),
                                          epochs=epochs, batch_size=64, rng=rng)
    train(model, EPOCHS, 2e-3)
    hits, work, away = [], [], []
    outputs = predict(model, X_test)
    distance = lambda small: np.linalg.norm(predict(small, X_test) - outputs) / np.linalg.norm(outputs)
    for share in SHARES.tolist():
        plain, weighed = factorize(model, share=share), factorize(model, share=share, X=X_train)
        row = [accuracy(plain, X_test, y_test), accuracy(weighed, X_test, y_test)]
        away.append([distance(plain), distance(weighed)])
        train(weighed, TUNING, 1e-3)
        hits.append(row + [accuracy(weighed, X_test, y_test)])
        work.append(macs(weighed, X_test[:1]) / macs(model, X_test[:1]))
    small = factorize(model, share=CLAIMED, X=X_train)
    return np.transpose(hits), work, accuracy(model, X_test, y_test), away, model, small


runs = [run(np.random.default_rng([demo.seed, r])) for r in demo.progress(range(RUNS), "networks")]
hits, work, full, away = (np.array([r[i] for r in runs]) for i in range(4))
model, small = runs[0][4:]
at = int(np.flatnonzero(SHARES == CLAIMED)[0])
mean = dict(zip(WAYS, hits[:, :, at].mean(axis=0)))

# %% The clock: one wide layer, and factors of several ranks
layer = Linear(WIDE, WIDE, rng=demo.rng)
factors = [factorize_linear(layer, rank) for rank in RANKS]
batch = demo.rng.standard_normal((256, WIDE)).astype(np.float32)
times = milliseconds([layer, *factors], batch, rounds=ROUNDS)
ratio = np.median(times[1:] / times[0], axis=1)
load = np.array([macs(f, batch[:1]) / macs(layer, batch[:1]) for f in factors])

# %% Figure
figure, (spectrum, hit, clock) = plt.subplots(1, 3, figsize=(15, 5.2))
figure.suptitle(f"A fifth of the work of each layer: {100 * mean['cut, weighed, then trained']:.1f} % right "
                f"(all: {100 * full.mean():.1f} %); a quarter of the work takes "
                f"{100 * ratio[RANKS.index(128)]:.0f} % of the time")
for module, color in zip([m for m in model if hasattr(m, "weight")], (BLUE, GREEN, VERMILLION)):
    s = np.linalg.svd(module.weight.data, compute_uv=False)
    spectrum.plot(np.arange(1, len(s) + 1), s / s[0], color=color,
                  label=f"{module.in_features} to {module.out_features}")
    even = break_even(*module.weight.shape)
    spectrum.axvline(even, color=color, ls="--", lw=1.2)
spectrum.set(xlabel="number of the singular value", ylabel="singular value / largest",
             title="What each layer's spectrum is like\n(dashed: the rank from which two layers are more work)")
spectrum.legend(fontsize=10)
for i, (way, (color, marker)) in enumerate(WAYS.items()):
    band(hit, 100 * work.mean(axis=0), 100 * hits[:, i], color=color, marker=marker, ms=5, label=way)
hit.axhline(100 * full.mean(), ls="--", color="0.4", lw=1.2)
hit.set(xscale="log", xlabel="multiply-accumulates left in %", ylabel="test accuracy in %",
        title="The accuracy with low rank")
hit.set_xticks([5, 10, 20, 50], ["5", "10", "20", "50"])
hit.minorticks_off()
hit.legend(loc="lower right", fontsize=10)
clock.plot(100 * load, 100 * ratio, "o-", color=VERMILLION, ms=7)
clock.plot([0, 150], [0, 150], "--", color=BLACK, lw=1.3)
for rank, x, t in zip(RANKS, 100 * load, 100 * ratio):
    clock.annotate(f"rank {rank}", (x, t), (8, -10), textcoords="offset points", fontsize=9)
clock.text(128, 112, "time = work", ha="left")
clock.axvline(100, color="0.6", lw=1)
clock.set(xlabel="multiply-accumulates left in %", ylabel="time left in %, batch of 256",
          title=f"Two thin layers for one of {WIDE:,} x {WIDE:,}", xlim=(0, 185))

# %% Claims
demo.record("accuracy, full network", full.mean())
for way in WAYS:
    demo.record(f"accuracy at a fifth of the work, {way}", mean[way])
demo.record("share of the work, wide layer", load)
demo.record("share of the time, wide layer", ratio)
demo.record("bytes of the file, full and at a fifth", [file_bytes(model), file_bytes(small)])
demo.record("distance of the outputs at a fifth of the work, cut, weighed", away[:, at].mean(axis=0))
demo.claim("weighing by the inputs keeps new outputs nearer (ratio of the distances, mean)",
           (away[:, at, 1] / away[:, at, 0]).mean(), below=1)
demo.claim("training on brings it back: points lost in the end",
           100 * (full.mean() - mean["cut, weighed, then trained"]), at_most=2)
demo.claim("at rank n/2 two square factors are as much work as the whole (share)",
           load[RANKS.index(WIDE // 2)], within=(1, 1))
if not demo.quick:
    demo.claim("rank 128 of 1,024, a quarter of the work, takes this share of the time", ratio[1], at_most=0.6)
    demo.claim("rank 768 takes longer than the whole (share of the time)", ratio[-1], above=1)
demo.finish(figure)
