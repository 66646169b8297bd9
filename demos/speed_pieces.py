"""Where does a readable framework lose time to compiled code, and where does it lose none?

demos/speed.py trains whole networks; here are pieces of larger models, forward and backward (demos/_blocks.py): a
chain of 1,000 operations on four numbers, where only the framework's own cost is left; NT-Xent, the loss of
contrastive learning; and a transformer block with ReLU or with exact GELU. Then inference: LeNet-300-100 as it is,
with one weight in twenty, with two thin layers for each layer, and in integers. Last, a forest on the digits: its trees
grown together and one by one.

You will see each time as a multiple of the time of the same mathematics written by hand in NumPy, without a graph;
in a full run also PyTorch's (eager) and scikit-learn's (its forest), where they are installed.

Predict first: on which of the pieces is PyTorch, whose every operation is compiled, slower than tinyml?
Which of the compressed networks is faster than the original, for one image and for 256?
"""
# %% Constants
from importlib import import_module

import matplotlib.pyplot as plt
import numpy as np
from _blocks import pieces
from _clock import THREADS, race
from _peers import modules
from common import BLUE, GREEN, ORANGE, PURPLE, start

from tinyml import nn
from tinyml.compression.factorize import factorize
from tinyml.compression.integer_model import IntegerModel
from tinyml.compression.pruning import prune
from tinyml.compression.sparse import SparseLinear
from tinyml.data import digits, one_hot
from tinyml.interpolation.forest import RandomForest
from tinyml.train import predict

demo = start(__file__, __doc__)
ROUNDS = 3 if demo.quick else 15          # each round times every contender, one after the other
BY_HAND = (5, 1.7, 1.5, 1.5)                   # expected: tinyml's time / time of the code by hand, for each piece
TO_PYTORCH = (0.7, 1.5, 1.5, 1.5)              # and tinyml's time / PyTorch's
BATCHES = (1, 256)
SIZES = (784, 300, 100, 10)
AMOUNT, SHARE = 0.95, 0.25                # fraction pruned; multiply-accumulates left by the low rank
TREES, ROWS = (4, 100) if demo.quick else (20, 1000)
FEATURES = 8                              # tried at every cut of a tree
FOREST_ROUNDS = 1 if demo.quick else 3
STYLE = {"tinyml": (BLUE, "o"), "PyTorch": (ORANGE, "s")}

# %% The pieces: do all compute the same numbers, and how long do they take?
torch = None if demo.quick else modules(THREADS, ["torch"]).get("torch")
ratios, floors = {}, {}                   # {piece: {who: (ROUNDS,)}}, {piece: seconds by hand}


def error(found, expected):
    """The largest error of any gradient, relative to the largest entry of that gradient."""
    return max(abs(np.asarray(g) - exact).max() / abs(exact).max()
               for g, exact in zip(found, expected, strict=True))


for name, steps in demo.progress(pieces(demo.rng, torch).items(), "pieces"):
    loss, grads = steps["by hand"]()
    our_loss, our_grads = steps["tinyml"]()
    demo.claim(f"{name}: loss and gradients are those by hand, up to rounding (relative error)",
               max(abs(our_loss / loss - 1), error(our_grads, grads)), at_most=1e-4)
    by_hand_times, *others = race(list(steps.values()), ROUNDS).T
    _, *frameworks = steps
    floors[name] = np.median(by_hand_times)
    ratios[name] = {who: times / by_hand_times for who, times in zip(frameworks, others)}

# %% The price of the graph
demo.record("threads asked of the BLAS (0: its own choice)", THREADS)
for (name, who), hand, pytorch in zip(ratios.items(), BY_HAND, TO_PYTORCH):
    demo.record(f"{name}: by hand", 1e3 * floors[name], "ms")
    for label, values in who.items():
        demo.record(f"{name}: {label} / by hand", np.median(values))
    if not demo.quick:    # three rounds are too few to claim a ratio
        demo.finding(f"{name}: time of tinyml / by hand", np.median(who["tinyml"]), at_most=hand)
    if torch is not None:
        demo.finding(f"{name}: time of tinyml / PyTorch",
                     np.median(who["tinyml"] / who["PyTorch"]), at_most=pytorch)


# %% Inference: one network, four ways to store it
def sparse(model):
    return nn.Sequential(*(SparseLinear.from_linear(m) if isinstance(m, nn.Linear) else m for m in model))


def lenet():
    layers = [[nn.Linear(i, o, rng=demo.rng), nn.ReLU()] for i, o in zip(SIZES, SIZES[1:])]
    return nn.Sequential(*sum(layers, [])[:-1])


def by_hand(model, x):
    """The network without a framework."""
    pairs = [(m.weight.data.T, m.bias.data) for m in model if isinstance(m, nn.Linear)]

    def run():
        y = x
        for weight, bias in pairs[:-1]:
            y = np.maximum(y @ weight + bias, 0)
        return y @ pairs[-1][0] + pairs[-1][1]
    return run


dense, pruned = lenet(), lenet()
prune(pruned, amount=AMOUNT)
X = demo.rng.random((256, SIZES[0]), dtype=np.float32)
models = {"dense": dense, "pruned, sparse": sparse(pruned), "low rank": factorize(dense, share=SHARE),
          "int8": IntegerModel.from_float(dense, X)}
inference = {}                            # {batch: (ROUNDS, models)}, multiples of the time by hand
for n in BATCHES:
    runs = [by_hand(dense, X[:n])] + [lambda m=m, x=X[:n]: predict(m, x) for m in models.values()]
    times = race(runs, ROUNDS)
    inference[n] = times[:, 1:] / times[:, :1]
apart = abs(predict(dense, X) - by_hand(dense, X)()).max()

# %% The time of inference
for n in BATCHES:
    demo.record(f"inference, batch {n}: {', '.join(models)} / by hand", np.median(inference[n], axis=0))
demo.claim("the dense network's outputs are those by hand (largest difference)",
           apart, at_most=1e-4)
if not demo.quick:
    demo.finding("in batches of 256 the framework costs inference next to nothing (ratio to by hand)",
                 np.median(inference[256][:, 0]), at_most=1.3)
    demo.finding("in batches of 256 low rank is faster than dense (ratio of the times)",
                 np.median(inference[256][:, 2] / inference[256][:, 0]), below=1)

# %% A forest of full trees on the digits, fit and predict: its trees grown together, and one by one
images, labels = digits()
seen, targets, new = images[:ROWS], one_hot(labels[:ROWS], 10), images[ROWS:]


def forest(max_leaf_nodes):
    """The predictions of a forest; a limit of ROWS leaves limits nothing, but then each tree grows alone."""
    trees = RandomForest(TREES, max_features=FEATURES, max_leaf_nodes=max_leaf_nodes,
                         rng=np.random.default_rng(demo.seed))
    return trees.fit(seen, targets).predict(new)


def scikit_forest():
    regressor = import_module("sklearn.ensemble").RandomForestRegressor
    trees = regressor(TREES, max_features=FEATURES, bootstrap=False, n_jobs=1, random_state=demo.seed)
    return trees.fit(seen, targets).predict(new)


growers = {"one by one": lambda: forest(ROWS), "together": lambda: forest(None)}
if not demo.quick and modules(THREADS, ["sklearn"]):
    growers["scikit-learn"] = scikit_forest
forest_times = dict(zip(growers, race(list(growers.values()), FOREST_ROUNDS).T))

demo.claim("the forest grown together predicts what the trees grown one by one do (largest difference)",
           abs(forest(None) - forest(ROWS)).max(), at_most=0)
for who, times in forest_times.items():
    demo.record(f"a forest of {TREES} trees on {ROWS} digits, {who}", 1e3 * np.median(times), "ms")
if not demo.quick:
    demo.finding("a forest grown together is faster (time / one by one)",
                 np.median(forest_times["together"] / forest_times["one by one"]), below=0.5)
if "scikit-learn" in growers:
    demo.finding("a forest: time of tinyml / scikit-learn, which is compiled",
                 np.median(forest_times["together"] / forest_times["scikit-learn"]), at_most=4)

# %% Figure
ours = [np.median(who["tinyml"]) for who in ratios.values()]
figure, (left, right) = plt.subplots(1, 2, figsize=(13.5, 5.2), width_ratios=(3, 2))
figure.suptitle(f"The graph costs most where there is little to compute: {max(ours):.1f} times the time by hand; "
                f"{min(ours):.1f} where there is much")
row, ticks = 0, []
for who in ratios.values():
    ticks.append(row + (len(who) - 1) / 2)
    for label, values in who.items():
        color, marker = STYLE[label]
        low, middle, high = np.percentile(values, [10, 50, 90])
        left.plot([1, middle], [row, row], color=color, alpha=0.4)
        left.plot([low, high], [row, row], color=color, lw=7, alpha=0.25, solid_capstyle="butt")
        left.plot(middle, row, marker=marker, color=color, ms=9)
        left.annotate(f"{label}  {middle:.2f}", (max(high, 1), row), xytext=(10, 0), va="center",
                      textcoords="offset points")
        row += 1
    row += 1
left.axvline(1, color="0.3", lw=1.5)
left.set_yticks(ticks, ["\n".join([*name.split(", "), f"by hand {1e3 * floors[name]:.3g} ms"]) for name in ratios])
most = max(np.median(v) for who in ratios.values() for v in who.values())
left.set(xscale="log", xlim=(0.8, 2.2 * most), ylim=(row - 1, -1), xlabel="time / time by hand",
         title="Forward and backward")
marks = [m for m in (1, 2, 3, 5, 10) if m < 2 * most]
left.set_xticks(marks, [str(m) for m in marks])
left.minorticks_off()
left.grid(axis="y", visible=False)
for i, (n, color, marker) in enumerate(zip(BATCHES, (GREEN, PURPLE), ("^", "D"))):
    low, middle, high = np.percentile(inference[n], [10, 50, 90], axis=0)
    places = np.arange(len(models)) + 0.24 * (i - 0.5)
    right.vlines(places, 1, middle, color=color, alpha=0.4)
    right.plot(places, middle, marker, color=color, ms=9, label=f"batch of {n}")
    for x, y in zip(places, middle):
        right.annotate(f"{y:.2g}", (x, y), xytext=(0, 8 if y >= 1 else -16), textcoords="offset points", ha="center",
                       color=color)
right.axhline(1, color="0.3", lw=1.5)
right.set_xticks(range(len(models)), [name.replace(", ", ",\n") for name in models])
low, high = min(v.min() for v in inference.values()), max(v.max() for v in inference.values())
right.set(yscale="log", ylim=(low / 1.8, high * 4), ylabel="time / time of the dense network by hand",
          title="Inference of LeNet-300-100")
right.legend(loc="upper left", ncols=2)
right.grid(axis="x", visible=False)

demo.finish(figure)
