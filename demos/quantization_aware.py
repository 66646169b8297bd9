"""Can a network learn to compute with weights of two bits?

MATH5836 week 10, section 10.2.2; Jacob et al. 2018; Esser et al. 2020. A trained digits network is
quantized; or it is trained further, with its codes in the forward pass and the straight-through
estimator in the backward pass.

You will see the staircase with its true slope and the one that is pretended; one real weight that
moves until its code flips; and the accuracy at 2 to 8 bits.

Predict first: the true derivative of a staircase is zero. What can training with a false one lead
to?
"""
# %% Constants
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from common import BLACK, BLUE, GREEN, VERMILLION, start
from panels import reference, scores

from tinyml import Tensor
from tinyml.compression.quantization import QParams, quantize_weights
from tinyml.compression.quantization_aware import (
    codes_of,
    convert,
    fake_quantize,
    prepare,
    quantized_loss,
)
from tinyml.compression.report import compare
from tinyml.data import digits, train_test_split
from tinyml.nn import Linear, ReLU, Sequential
from tinyml.optim import Adam, LambdaLR, cosine_decay
from tinyml.train import accuracy, cross_entropy_of, fit

demo = start(__file__, __doc__)
RUNS = 2 if demo.quick else 5        # networks, each with its own split of the digits
EPOCHS = 15 if demo.quick else 40    # of training in float32
TUNING = 8 if demo.quick else 20     # epochs of training with codes
BITS = [2, 8] if demo.quick else [2, 3, 4, 8]
BATCH = 64
METHODS = {    # options of `prepare`; below share = 1 the largest weights are clipped
    "straight-through everywhere": dict(share=0.6),
    "straight-through inside": dict(share=0.6, gradient="inside"),
    "learned steps": dict(method="learned step"),
}


# %% The slope that is pretended: the gradient of a 2-bit staircase, with respect to its input
def slope(v, gradient):
    v = Tensor(v, requires_grad=True)
    fake_quantize(v, QParams(1.0, 0, -1, 1), gradient=gradient).sum().backward()
    return v.grad


v = np.linspace(-2.2, 2.2, 2001)
staircase = fake_quantize(Tensor(v), QParams(1.0, 0, -1, 1)).data
slopes = {gradient: slope(v, gradient) for gradient in ("identity", "inside")}
demo.claim("straight-through everywhere: the gradient of every weight is 1 (smallest)",
           slopes["identity"].min(), within=(1, 1))
demo.claim("a staircase is flat almost everywhere (fraction of steps of v in which it jumps)",
           np.mean(np.diff(staircase) != 0), below=0.01)

# %% Data and model
X, y = digits()


def trained(X_train, y_train, rng):
    model = Sequential(Linear(64, 128, rng=rng), ReLU(), Linear(128, 64, rng=rng), ReLU(),
                       Linear(64, 10, rng=rng))
    optimizer = Adam(model.parameters(), lr=2e-3)
    fit(model, X_train, y_train, optimizer=optimizer, epochs=EPOCHS, batch_size=BATCH, rng=rng)
    return model


# %% Training with codes: the same loop, on a model whose weights are Q(theta)
def tune(model, X_train, y_train, rng, after_step=None):
    n_steps = TUNING * -(-len(X_train) // BATCH)
    optimizer = Adam(model.parameters(), lr=1e-3)
    if after_step is not None:
        optimizer.projections.append(after_step)
    schedule = LambdaLR(optimizer, lambda t: cosine_decay(t, n_steps))
    fit(model, X_train, y_train, optimizer=optimizer, epochs=TUNING, batch_size=BATCH, rng=rng,
        schedule=schedule, label="training with codes")


# %% Experiment: every method at every number of bits
class Run(NamedTuple):
    model: Sequential    # in float32
    tuned: Sequential    # with learned steps, at 2 bits
    full: float          # accuracy in float32
    rounded: list        # after quantization, for each number of bits
    hits: dict           # method: after training with codes, for each number of bits
    data: tuple
    test: tuple


def run(rng):
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.3, rng=rng, stratify=y)
    data, test = (X_train, y_train), (X_test, y_test)
    model, hits = trained(*data, rng), {}
    for name, options in METHODS.items():
        prepared = [prepare(model, bits=bits, **options) for bits in BITS]
        for one in prepared:
            tune(one, *data, rng)
        hits[name] = [accuracy(convert(one), *test) for one in prepared]
    rounded = [accuracy(quantize_weights(model, bits=bits), *test) for bits in BITS]
    return Run(model, prepared[0], accuracy(model, *test), rounded, hits, data, test)


runs = [run(np.random.default_rng([demo.seed, r])) for r in demo.progress(range(RUNS), "networks")]
full = np.array([r.full for r in runs])
rounded = np.array([r.rounded for r in runs])                                # (runs, len(BITS))
hits = {name: np.array([r.hits[name] for r in runs]) for name in METHODS}    # (runs, len(BITS))

# %% At 2 bits training gives back what rounding lost, at 8 bits nothing is lost
demo.record("accuracy, float32", full.mean())
demo.record(f"accuracy after rounding, {BITS} bits", rounded.mean(axis=0))
lost = full - rounded[:, 0]
demo.claim("2 bits after training cost more than (points, least of the networks)",
           100 * lost.min(), above=5)
for name in METHODS:
    demo.record(f"accuracy with {name}, {BITS} bits", hits[name].mean(axis=0))
    demo.claim(f"{name}: at least 85 % of what 2 bits cost comes back (fraction, least of the networks)",
               ((hits[name][:, 0] - rounded[:, 0]) / lost).min(), at_least=0.85)
demo.claim("at 8 bits, rounding costs at most (points, mean)",
           100 * (full - rounded[:, -1]).mean(),
           at_most=0.3)
demo.claim("at 8 bits, training with codes costs at most (points, mean, any method)",
           max(100 * (full - hits[name][:, -1]).mean() for name in METHODS), at_most=0.3)

# %% The loss is l(f(x; Q(theta)), y), whether a module stands for the weight or not
model, tuned, data, test = runs[0].model, runs[0].tuned, runs[0].data, runs[0].test
watched = prepare(model, bits=2, share=0.6)
qparams = {id(theta): watched[i].weight.qparams for i in (0, 2, 4) for theta in [model[i].weight]}
loss = quantized_loss(model, *test, Q=lambda theta: fake_quantize(theta, qparams[id(theta)]))
demo.claim("the quantized loss is the loss of the prepared model (difference)",
           abs(loss.item() - cross_entropy_of(watched, *test).item()), at_most=0)

# %% Sizes of the models
demo.reports(compare({"float32": model, "2 bits, rounded": quantize_weights(model, bits=2),
                      "2 bits, trained": convert(tuned)}, *test))
demo.record("bytes of the float32 parameters", 4 * sum(p.size for p in model.parameters()))

# %% Watch the second layer of one network during training with codes
weights, codes, steps = [], [], []


def watch():
    layer = watched[2].weight
    weights.append(layer.weight.data[:16].copy())
    codes.append(codes_of(layer)[:16].astype(int))
    steps.append(layer.qparams.scale[:16])


tune(watched, *data, demo.rng, after_step=watch)
weights, codes, steps = map(np.array, (weights, codes, steps))    # (steps, 16, inputs)
flips = np.abs(np.diff(codes, axis=0)).sum(axis=0)
moves = np.count_nonzero(np.diff(weights, axis=0))
demo.claim("a code flips now and then, its weight moves all the time (flips per move)",
           flips.sum() / moves, below=0.1)

# %% Of the weights whose code flips once to five times, the one that moves furthest
distance = np.where((flips > 0) & (flips < 6), np.ptp(weights, axis=0), 0)
unit, column = np.unravel_index(distance.argmax(), distance.shape)
path = weights[:, unit, column] / steps[:, unit, 0]
code = codes[:, unit, column]

# %% Figure: the staircase and its slopes
figure, (stairs, way, hit) = plt.subplots(1, 3, figsize=(16, 5.2))
tuned_hits = hits["straight-through inside"][:, 0].mean()
figure.suptitle(f"2 bits per weight: {100 * rounded[:, 0].mean():.0f} % accuracy after rounding, "
                f"{100 * tuned_hits:.1f} % after training with the codes "
                f"(float32: {100 * full.mean():.1f} %)")
stairs.plot(v, staircase, color=BLACK, label="value: code times step")
stairs.plot(v, 0 * v, ":", color=VERMILLION, linewidth=2.5, label="true slope")
stairs.plot(v, slopes["identity"], "--", color=BLUE, label="slope, straight-through everywhere")
stairs.plot(v, slopes["inside"], "-.", color=GREEN, label="slope, straight-through inside")
stairs.set(xlabel="weight / step", title="A staircase with three codes, and its slopes",
           ylim=(-1.3, 2.6))
stairs.legend(loc="upper left", fontsize=10)

# %% A weight on its way, and the accuracy
way.plot(path, color=BLUE, label="real weight / step")
way.step(np.arange(len(code)), code, color=BLACK, where="post", label="its code")
for edge in (-0.5, 0.5):
    way.axhline(edge, color="0.6", linestyle="--", linewidth=1)
way.set(xlabel="step of training", title="A weight moves, and then its code flips")
way.legend(loc="best", fontsize=10)
scores(hit, np.array(BITS), {"rounded after training": rounded} | hits, xlabel="bits",
       title=f"Accuracy of {RUNS} networks", ylim=(None, 102))
reference(hit, 100 * full.mean(), "float32")
demo.finish(figure, small=hit)
