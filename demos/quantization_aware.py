"""Can a network learn to compute with weights of two bits?

MATH5836 week 10, section 10.2.2; Jacob et al. 2018; Esser et al. 2020. A network for images is
trained further, with its codes in the forward pass and the straight-through estimator in the
backward pass. Its opponent is trained for as long in float32, and then rounded: as it is, or with
its largest weights clipped, as they are in the training with codes.

You will see the staircase with its true slope and the one that is pretended; one real weight that
moves until its code flips; and the accuracy at 2 to 8 bits. Much of what training with codes seems
to gain is the clip: the less a clipped network has lost, the less is left to gain. How much that is
depends on the images: it is more where classes are close together.

Predict first: the true derivative of a staircase is zero. What can training with a false one lead
to?
"""
# %% Constants
import copy
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from _networks import Trained, load_images, trained_network
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
from tinyml.nn import Sequential
from tinyml.optim import Adam, LambdaLR, cosine_decay
from tinyml.train import accuracy, cross_entropy_of, fit

demo = start(__file__, __doc__, data=("digits", "clothes", "mnist", "fashion-mnist"))
X, y = load_images(demo)
RUNS = 2 if demo.quick else 4        # networks, each with its own split of the images
EPOCHS = 15 if demo.quick else 40    # of training in float32
TUNING = 8 if demo.quick else 20     # epochs of training with codes
BITS = [2, 8] if demo.quick else [2, 3, 4, 8]
BATCH = 64
ROUNDED = {"rounded after training": 1, "clipped and rounded": 0.6}    # name: share, as in METHODS
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
    net: Trained
    fair: Sequential     # trained for as long as the others, in float32
    tuned: Sequential    # with learned steps, at 2 bits
    full: float          # accuracy of the fair network
    hits: dict           # way: accuracy for each number of bits


def run(rng):
    net = trained_network(X, y, rng, epochs=EPOCHS)
    fair, hits = copy.deepcopy(net.model), {}
    tune(fair, *net.train, rng)
    small = {way: [convert(prepare(fair, bits=bits, share=share)) for bits in BITS]
             for way, share in ROUNDED.items()}
    for name, options in METHODS.items():
        prepared = [prepare(net.model, bits=bits, **options) for bits in BITS]
        for one in prepared:
            tune(one, *net.train, rng)
        small[name] = [convert(one) for one in prepared]
    hits = {way: [accuracy(one, *net.test) for one in row] for way, row in small.items()}
    return Run(net, fair, prepared[0], accuracy(fair, *net.test), hits)


runs = [run(np.random.default_rng([demo.seed, r])) for r in demo.progress(range(RUNS), "networks")]
full = np.array([r.full for r in runs])
hits = {way: np.array([r.hits[way] for r in runs])    # (runs, len(BITS))
        for way in [*ROUNDED, *METHODS]}
rounded = np.maximum(*[hits[way][:, 0] for way in ROUNDED])    # the better of the two, at 2 bits

# %% At 2 bits training gives back what rounding lost, at 8 bits nothing is lost
demo.record("accuracy, float32", np.mean([r.net.full for r in runs]))
demo.record("accuracy, float32, trained for as long as the others", full.mean())
for way, values in hits.items():
    demo.record(f"accuracy, {way}, {BITS} bits", values.mean(axis=0))
plain = hits["rounded after training"][:, 0]
lost = (full - rounded).mean()
demo.finding("2 bits after training cost (points, least of the networks)",
             100 * (full - plain).min(), above=5,
             why="Classes that are far apart are told apart even with large errors of the "
                 "weights.")
demo.finding("if the largest weights are clipped first, 2 bits cost far less (points, ratio)",
             lost / (full - plain).mean(), at_most=0.75,
             why="A clip pays if a few weights are far larger than the others, and steps "
                 "are wide because of them.")
for name in METHODS:
    demo.finding(f"{name}: of what 2 bits cost with a clip, training regains (fraction, mean)",
                 (hits[name][:, 0] - rounded).mean() / lost, at_least=0.5,
                 why="If clipping and rounding cost little, there is little to bring back, and "
                     "less than chance adds or takes.")
demo.finding("at 8 bits, rounding costs at most (points, mean)",
             100 * (full - hits["rounded after training"][:, -1]).mean(), at_most=0.3,
             why="Where classes are alike, more images are close to a boundary, and a "
                 "small error of the weights moves them across.")
demo.finding("at 8 bits, training with codes costs at most (points, mean, any method)",
             max(100 * (full - hits[name][:, -1]).mean() for name in METHODS), at_most=1 if demo.quick else 0.5,
             why="Further training changes a network, with codes or without, and on few "
                 "test images that alone moves the accuracy.")

# %% The loss is l(f(x; Q(theta)), y), whether a module stands for the weight or not
model, fair, tuned = runs[0].net.model, runs[0].fair, runs[0].tuned
data, test = runs[0].net.train, runs[0].net.test
watched = prepare(model, bits=2, share=0.6)
qparams = {id(theta): watched[i].weight.qparams for i in (0, 2, 4) for theta in [model[i].weight]}
loss = quantized_loss(model, *test, Q=lambda theta: fake_quantize(theta, qparams[id(theta)]))
demo.claim("the quantized loss is the loss of the prepared model (difference)",
           abs(loss.item() - cross_entropy_of(watched, *test).item()), at_most=0)

# %% Sizes of the models
demo.reports(compare({"float32": fair, "2 bits, rounded": quantize_weights(fair, bits=2),
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
demo.finding("a code flips now and then, its weight moves all the time (flips per move)",
             flips.sum() / moves, below=0.1,
             why="At a learning rate as large as a step, a code would flip at every move.")

# %% Of the weights whose code flips once to five times, the one that moves furthest
distance = np.where((flips > 0) & (flips < 6), np.ptp(weights, axis=0), 0)
unit, column = np.unravel_index(distance.argmax(), distance.shape)
path = weights[:, unit, column] / steps[:, unit, 0]
code = codes[:, unit, column]

# %% Figure: the staircase and its slopes
figure, (stairs, way, hit) = plt.subplots(1, 3, figsize=(16, 5.2))
tuned_hits = hits["straight-through inside"][:, 0].mean()
figure.suptitle(f"2 bits per weight: rounded {100 * plain.mean():.0f} % are right, clipped and "
                f"rounded {100 * rounded.mean():.0f} %, trained with the codes {100 * tuned_hits:.1f} % "
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
scores(hit, np.array(BITS), hits, xlabel="bits",
       title=f"Accuracy of {RUNS} networks", ylim=(None, 102))
reference(hit, 100 * full.mean(), "float32, trained as long")
demo.finish(figure, small=hit)
