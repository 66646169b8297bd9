"""Are the numbers of the papers found here too, on the same data where it can be had?

MATH5836 week 10 builds on sixteen papers. For ten of them a small experiment asks what the paper
asks, and its number stands beside the paper's: random features and forests (Belkin et al. 2019),
wrong labels (Nakkiran et al. 2020), risk curves (Hastie et al. 2022), Deep Compression (Han et al.
2016), pruning by Taylor's score (Molchanov et al. 2016), integers (Jacob et al. 2018), four bits
(Banner et al. 2019), low rank (Denton et al. 2014; Tai et al. 2016), distillation (Hinton et al.
2015). Five others need ImageNet, Wikipedia or sensors; one is a survey (Cheng et al. 2017).

You will see a table: the paper, what it reports and on which data, what was measured here and on
which data. With the numbers of this demo stands all that is needed to check a line: seeds,
minutes, the command, and in a sentence what can be compared. The images are those of MNIST if
`tinyml.data.mnist` finds them (TINYML_DATA), and else the digits of the package. An experiment
uses at most 10,000 of them.

On MNIST, TINYML_LONG=1 runs seven papers at full size, in half an hour of one processor and 7 GB
of memory, the two longest last, and TINYML_LONG="Hinton 2015" that one. What was measured so is
kept beside the results, in papers-long.json: an interrupted run goes on where it was. The minutes
are of a processor of its own, without the training of the networks that several lines share. With
--quick no number can be compared.

Predict first: which numbers depend on the size of a network, and which only on the method?
"""
# %% Constants
import copy
import os
import sys
import time
from functools import cache, partial

import matplotlib.pyplot as plt
import numpy as np
from _belkin import forest_against_trees, random_features
from _cut import (
    biclustered,
    channel_pair,
    points_lost,
    separable_pairs,
    speed_up,
    trained_net,
)
from _networks import dense_network, rank_correlation, tune
from _papers import LONG, Table, elsewhere
from _teacher import Sizes, hinton
from _widths import over_widths
from common import start

from tinyml.compression.clipping import quantize_repaired
from tinyml.compression.deep_compression import deep_compress
from tinyml.compression.integer_model import IntegerModel
from tinyml.compression.report import file_bytes
from tinyml.compression.structured import unit_scores
from tinyml.data import digits, mnist, train_test_split
from tinyml.interpolation.double_descent import asymptotic_risk
from tinyml.interpolation.min_norm import min_norm
from tinyml.synthetic import make_linear
from tinyml.train import accuracy

demo = start(__file__, __doc__)


def mnist_is_here():
    try:
        return len(mnist(split="test")) > 0
    except FileNotFoundError:
        return False


WHOLE = not demo.quick and mnist_is_here()
NAME = "MNIST" if WHOLE else "digits"
MOST = 400 if demo.quick else 10_000          # training images, unless a line is a long one
ASKED = os.environ.get("TINYML_LONG", "")     # "1", or the name of a paper
PASSES = 1 if WHOLE or demo.quick else 8      # of fewer images more epochs: about as many steps
SEEDS = range(demo.seed, demo.seed + (1 if demo.quick else 3 if WHOLE else 2))    # of quick lines

# %% Images: training, held-out and test images, in an order of the seed
if WHOLE:
    (X, y), (X_test, y_test) = mnist(), mnist(split="test")
    order = demo.rng.permutation(len(X))
    X, y = X[order], y[order]
else:
    X, X_test, y, y_test = train_test_split(*digits(), test_size=0.3, rng=demo.rng)
TEST = X_test[:2000], y_test[:2000]


def images(n):
    return X[:n], y[:n]


def described(n):
    return f"quick: {n:,} {NAME}" if demo.quick else f"{NAME}, {n:,} images"


# %% The table: every experiment is a function, and returns its numbers in the order of `REPORTED`
if ASKED not in ("", "1", *LONG):
    sys.exit(f"papers: TINYML_LONG must be 1 or one of {', '.join(LONG)}, got {ASKED}")
if ASKED and not WHOLE:
    print("TINYML_LONG has no effect: it needs MNIST, and no --quick")
table = Table(demo, at_length=ASKED if WHOLE else "")
measure, judge, long = table.measure, table.judge, table.is_long


# %% Nakkiran et al. 2020: networks of many widths, a fifth of the labels wrong, trained to the end
WIDTHS = (8, 32, 256) if demo.quick else (4, 8, 16, 32, 64, 128, 256, 1024)
EPOCHS = 40 if demo.quick else 250


def nakkiran(rng):
    A, B, a, b = train_test_split(*digits(), test_size=797 / 1797, rng=rng)
    found = over_widths((A, a), (B, b), WIDTHS, epochs=EPOCHS, seeds=SEEDS)
    demo.record("wrong labels: widths", WIDTHS)
    demo.record("wrong labels: test error at the end", found.end)
    if not WHOLE:
        return found.fall, found.rise, found.late, None
    other = over_widths(images(1000), TEST, WIDTHS[:6], epochs=EPOCHS, seeds=SEEDS[:1])
    demo.record("wrong labels: test error at the end, MNIST", other.end)
    return found.fall, found.rise, found.late, other.rise


fall, rise, late, rise_on_mnist = measure("Nakkiran 2020", nakkiran, seeds=SEEDS,
                                          data=f"{'quick: ' * demo.quick}digits, 1,000 images")
nakkiran_says = partial(judge, "Nakkiran 2020", above=1)
NO_MINIMUM = "Where a few units fit all labels, as with many pixels, there is no first minimum."
nakkiran_says(0, "past a peak wider networks are better (error, peak / widest)", fall)
nakkiran_says(1, "the peak is above a narrower network (error, ratio)", rise, why=NO_MINIMUM)
nakkiran_says(2, "the widest network falls again over its epochs (error, peak / end)", late,
              why="At this rate the error stays where it is once all labels are fitted.")
if WHOLE:
    nakkiran_says(3, "on MNIST the peak is above a narrower network (error, ratio)", rise_on_mnist,
                  why=NO_MINIMUM)

# %% Hastie et al. 2022: the risk of the minimum-norm fit beside its limit, n = 200
N, SIGNAL = 200, 5.0
GAMMAS = np.array([0.2, 0.5, 0.8, 1.25, 2, 4, 8])[:5 if demo.quick else 7]    # p / n


def risk_of_fit(p, rng):
    beta = np.full(p, np.sqrt(SIGNAL / p))
    data, target, _ = make_linear(N, p, sigma=1, beta=beta, rng=rng)
    return np.sum((min_norm(data, target) - beta) ** 2)


def hastie(rng):
    draws = range(3 if demo.quick else 40)
    risks = [np.mean([risk_of_fit(p, rng) for _ in draws])
             for p in (GAMMAS * N).round().astype(int).tolist()]
    limit = asymptotic_risk(GAMMAS, signal=SIGNAL, sigma2=1.0)
    return [100 * np.abs(risks / limit - 1).max()]


far, = measure("Hastie 2022", hastie, data=f"Gaussian, n = {N}")
judge("Hastie 2022", 0, "simulated risks lie on the curve (largest distance, %)", far, at_most=15,
      why="Few draws near p = n have a wide spread.")

# %% Networks for all that follows on compression: the same convolutional ones, several seeds
LARGE = any(map(long, ("Molchanov 2016", "Jacob 2018", "Banner 2019", "Denton 2014", "Tai 2016")))
N_HELD = 5000 if WHOLE else 200
N_TRAIN = len(X) - N_HELD if LARGE else min(MOST, len(X) - N_HELD)


@cache
def networks():
    begun = time.process_time()
    sizes = (8, 16, 16) if demo.quick else (32, 64, 64)
    nets = [trained_net((X, y), (X_test, y_test), n=N_TRAIN, n_held=N_HELD, sizes=sizes, seed=seed,
                        epochs=15 if demo.quick else 4 * PASSES)
            for seed in demo.progress(SEEDS, "networks")]
    demo.record("accuracy of the convolutional networks",
                [accuracy(net.model, *net.test) for net in nets])
    demo.record("minutes of training of these networks", (time.process_time() - begun) / 60)
    return nets


on_nets = dict(data=described(N_TRAIN), seeds=SEEDS, needs=networks, at_length=LARGE)

# %% Molchanov et al. 2016: ranks of all filters, beside those of the oracle
CRITERIA = "taylor", "activation", "norm"


def molchanov(nets):
    found, n = [], 2000 if LARGE else 256
    for net in nets:
        few = net.train[0][:n], net.train[1][:n]
        of = {name: unit_scores(net.model, *few, criterion=name) for name in ("oracle", *CRITERIA)}
        for scores in of.values():
            scores.pop(max(scores))    # the hidden layer: the paper ranks filters
        found.append([rank_correlation(of["oracle"], of[name]) for name in CRITERIA])
    return np.mean(found, axis=0).tolist()


taylor, _, norm = measure("Molchanov 2016", molchanov, **on_nets)
judge("Molchanov 2016", 0, "Taylor's score is nearer to the oracle than the norm (lead)",
      taylor - norm, above=0)


# %% Jacob et al. 2018: weights, activations and sums in integers
def jacob(nets):
    return [points_lost(nets, lambda net: IntegerModel.from_float(net.model, net.train[0][:200]))]


points, = measure("Jacob 2018", jacob, **on_nets)
judge("Jacob 2018", 0, "integers cost at most two points", points, at_most=2)

# %% Banner et al. 2019: weights of few bits, rounded; or clipped, restored and with bits by range
REPAIRS = dict(density="laplace", corrected=True, allocated=True)


def banner(nets):
    settings = [dict(bits=bits) | repairs for bits in (4, 2) for repairs in ({}, REPAIRS)]
    return [points_lost(nets, lambda net, how=how: quantize_repaired(net.model, **how))
            for how in settings]


_, repaired, plain_2, repaired_2 = measure("Banner 2019", banner, **on_nets)
judge("Banner 2019", 1, "4 bits with the repairs cost a few points at most", repaired, at_most=3)
judge("Banner 2019", 3, "at 2 bits the repairs help (points)", plain_2 - repaired_2, above=0)

# %% Denton et al. 2014, Tai et al. 2016: the least work that costs a point of held-out accuracy
SHARES = (0.2, 0.5) if demo.quick else (0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7)


def denton(nets):
    ways = channel_pair, biclustered
    return [number for way in ways for number in speed_up(nets, way, SHARES, of_layer=True)]


def tai(nets):
    return speed_up(nets, partial(separable_pairs, epochs=PASSES), SHARES)


_, in_pair, _, _, in_clusters, _ = measure("Denton 2014", denton, **on_nets)
_, in_pairs, _ = measure("Tai 2016", tai, **on_nets)
LESS_WORK = "within a point of accuracy: times fewer multiplications"
judge("Denton 2014", 1, LESS_WORK, in_pair, at_least=2)
judge("Denton 2014", 4, f"in bi-clusters, {LESS_WORK}", in_clusters, at_least=2)
judge("Tai 2016", 1, LESS_WORK, in_pairs, at_least=2)


# %% Han et al. 2016: pruned, shared, coded; beside the dense network trained as long
def other(stem, name, folder=""):
    """A number of another demo, from its results in the same folder, or None."""
    return elsewhere(demo.out / folder, stem, name, quick=demo.quick)


def han(rng):
    data = images(MOST)
    keep, *epochs = (0.2, 8, 4, 2) if demo.quick else (0.08, 10 * PASSES, 20 * PASSES, 5 * PASSES)
    dense = tune(dense_network(X.shape[1], rng, hidden=(300, 100)), data, epochs[0], rng)
    small, _ = deep_compress(dense, *data, keep=keep, bits=4, epochs=epochs[1:], batch_size=64,
                             rng=rng)
    fair = tune(copy.deepcopy(dense), data, sum(epochs[1:]), rng)
    n_bytes = 4 * sum(p.size for p in dense.parameters())
    errors = [100 * (1 - accuracy(model, X_test, y_test)) for model in (fair, small)]
    return n_bytes / file_bytes(small), *errors


factor, dense_error, small_error = measure("Han 2016", han, data=described(min(MOST, len(X))))
SMALLER, WITHOUT_LOSS = "times smaller", "without loss, or nearly (points)"
judge("Han 2016", 0, SMALLER, factor, at_least=40)
judge("Han 2016", 2, WITHOUT_LOSS, small_error - dense_error, at_most=0.5,
      why="With fewer images each of the weights that are left counts more.")


# %% ... and its two networks on all images, as `demos/deep_compression_mnist.py` has measured them
def han_at_full_size(rng):
    texts = ("the file is smaller than the parameters by a factor of",
             "beside the dense network trained as long it loses at most (points)")
    return [other("deep_compression_mnist", f"{network}: {text}", "mnist")
            for network in ("LeNet-300-100", "LeNet-5") for text in texts]


FULL = "Han 2016, at full size"
found = measure(FULL, han_at_full_size, data="MNIST, 60,000 images",
                command="TINYML_LONG=1 python demos/deep_compression_mnist.py --data mnist")
BOUNDS = 2 * ((SMALLER, {"at_least": 39}), (WITHOUT_LOSS, {"at_most": 0.5}))
for line, (what, bound) in enumerate(BOUNDS):
    network = ("LeNet-300-100", "LeNet-5")[line // 2]
    if found[line] is not None:
        judge(FULL, line, f"{network}, {what}", found[line], **bound)

# %% Belkin et al. 2019: random features, N / n from 0.05 to 10 (at full size to 2); and a forest
N_FEATURES = 120 if demo.quick else 10_000 if long("Belkin 2019") else 1000
WIDE = [0.05, 0.1, 0.2, 0.4, 0.7, 0.9, 1, 1.1, 1.3, 2] + [10] * (N_FEATURES < 10_000)


def belkin_2019(rng):
    curves = random_features(images(N_FEATURES), TEST, WIDE, rng)
    error, fits = curves.test_error, np.array(WIDE) >= 1
    demo.record("random features: N / n", WIDE)
    demo.record("random features: test error", error)
    demo.claim("random features: for N >= n all training images are fitted (loss)",
               curves.train_loss[fits].max(), at_most=1e-9)
    forest = forest_against_trees(images(MOST), TEST, 4 if demo.quick else 20, rng)
    return WIDE[error.argmax()], error[-1] / error[~fits].min(), forest


peak, fall, forest = measure("Belkin 2019", belkin_2019,
                             data=f"{described(N_FEATURES)}; forest {min(MOST, len(X)):,}")
belkin = partial(judge, "Belkin 2019", quick=True)
belkin(0, "the test error is largest at N = n (N / n)", peak, within=(0.9, 1.1))
belkin(1, "past N = n it falls below the best before (ratio)", fall, below=1)
belkin(2, "full trees are better than the best smaller tree (ratio)", forest, below=1)

# %% Hinton et al. 2015: a teacher, its student, and a student that never saw a 3
n_taught = len(X) if long("Hinton 2015") else min(MOST, len(X))
if long("Hinton 2015"):
    sizes = Sizes()
else:
    sizes = Sizes(teacher=400, student=200, teacher_epochs=6 if demo.quick else 25 * PASSES,
                  student_epochs=6 if demo.quick else 20 * PASSES, jitter=2 if WHOLE else 1,
                  batch_size=50 if demo.quick else 100)


def hinton_errors(rng):
    found = hinton(images(n_taught), (X_test, y_test), sizes=sizes, rng=rng)
    errors = [found.teacher, found.labels, found.distilled, found.omitted, found.omitted_of_it,
              found.shifted, found.shifted_of_it, found.counted]
    return (10_000 / found.n_test * np.array(errors)).tolist()


teacher, by_labels, distilled, _, on_it, _, on_it_shifted, _ = measure(
    "Hinton 2015", hinton_errors,
    data=f"{described(n_taught)}, {sizes.teacher} and {sizes.student} units")
hinton_says = partial(judge, "Hinton 2015", why="If small images do not stay what they are when "
                      "they are moved, the teacher is no better, and has less to teach.")
hinton_says(0, "the teacher makes fewer errors than the student by labels (difference)",
            teacher - by_labels, below=0)
hinton_says(2, "the student by its teacher makes fewer errors than by labels (difference)",
            distilled - by_labels, below=0)
hinton_says(4, "it knows most of a class that it never saw (errors on it, fraction)",
            on_it / 10_000 / np.mean(y_test == 3), at_most=0.5)
hinton_says(6, "a raised bias saves most of what it missed of it (errors left - half of them)",
            on_it_shifted - on_it / 2, at_most=0)

# %% Devlin, He, Chen, Grill, Eldele: what the demos beside have measured, in their own terms
OTHERS = {    # demo, finding or number there, its mean, factor
    "Devlin 2019": ("masked_tokens", "reaches most of the best possible accuracy", np.mean, 1),
    "He 2020": ("moco", "ten labels are enough for most images", np.mean, 100),
    "Chen 2020": ("simclr", "SimCLR features is right on most unseen images", np.mean, 100),
    "Grill 2020": ("byol", "BYOL: accuracy with ten labels", np.mean, 100),
    "Eldele 2021": ("ts_tcc", "TS-TCC: median accuracy", np.min, 1)}    # with one label per class
for paper, (stem, name, mean, factor) in OTHERS.items():
    value = other(stem, name)
    value = None if value is None else factor * mean(value)
    measure(paper, lambda _, value=value: [value], data=f"demos/{stem}.py",
            command=f"python demos/{stem}.py{' --quick' * demo.quick}")

# %% Figure: the table
figure, ax = plt.subplots(figsize=(17, 0.27 * len(table.lines) + 1.2))
seen = sum(table.verdicts.values())
figure.suptitle(f"Of {len(table.verdicts)} directions that the papers report, {seen} are seen here"
                + " (quick: no number can be compared)" * demo.quick)
table.draw(ax)
demo.finish(figure)
