"""Does a network's test error rise and fall again when one just keeps training?

Epoch-wise double descent (Nakkiran et al. 2020; MATH5836 week 10, section 10.1.3) on real digits, a
fifth of the training labels wrong, with a network that the engine trains far beyond the point where
it knows them all by heart.

You will see settings in which the second fall appears and settings in which it does not; how batch
size and learning-rate schedule move the peak; and a control: copies of the network, cooled for ten
epochs at a small rate. Their peak is much lower. What falls again is mostly the jitter of large steps,
which dies out once every sample is fitted and no gradient is left to jitter with.

Predict first: with so many wrong labels, where is the test error smallest, at the start, in
between, or at the end? And which of them needs the second fall: a small learning rate or a large
one, small batches or large ones?
"""
# %% Constants
import copy

import matplotlib.pyplot as plt
import numpy as np
from common import BLACK, BLUE, GREEN, ORANGE, PURPLE, VERMILLION, band, start

from tinyml.data import digits, flip_labels, train_test_split
from tinyml.interpolation.epoch_wise import turning_points
from tinyml.nn import Linear, ReLU, Sequential
from tinyml.optim import Adam, LambdaLR, cosine_decay
from tinyml.train import accuracy, fit

demo = start(__file__, __doc__)
SAMPLES = 500 if demo.quick else 1000        # training digits; the others are the test set
WIDTH = 64 if demo.quick else 128            # of both hidden layers
WRONG = 0.2                                  # fraction of the training labels that are wrong
LARGE, SMALL = (2e-2 if demo.quick else 1e-2), 1e-3    # Adam's learning rates
BATCH, MIDDLE, BIG = 32, 128, 512
EPOCHS = 120 if demo.quick else 140
SMOOTH = 9                                   # epochs in the running median of a curve
COOLING = 10                                 # epochs of a cooled copy: from LARGE / 10 to 0 on a cosine
COOL_AT = (60,) if demo.quick else (10, 20, 40, 60, 90, 140)
FALL = 0.015                                 # a drop of the test error below this is not called a fall
SETTINGS = {"large rate": (LARGE, BATCH, False, 2 if demo.quick else 5),    # rate, batch size, cosine, runs
            f"batch {BIG}": (LARGE, BIG, False, 2 if demo.quick else 3)}
if not demo.quick:
    SETTINGS |= {"small rate": (SMALL, BATCH, False, 3), f"batch {MIDDLE}": (LARGE, MIDDLE, False, 3),
                 "cosine": (LARGE, BATCH, True, 3)}


# %% Data: in each run another split, and other wrong labels
X, y = digits()


def noisy_split(rng):
    """X_train, X_test, y_train with its wrong labels, y_test."""
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=1 - SAMPLES / len(X), rng=rng,
                                                        stratify=y)
    return X_train, X_test, flip_labels(y_train, 10, fraction=WRONG, rng=rng), y_test


# %% Model
def he(n_in, n_out, rng):
    """A linear layer with the initial law of He et al. 2015, made for ReLU: N(0, 2 / n_in), no bias."""
    layer = Linear(n_in, n_out, rng=rng)
    weight = rng.normal(0, np.sqrt(2 / n_in), (n_out, n_in))
    layer.load_state_dict({"weight": weight, "bias": np.zeros(n_out)})
    return layer


def network(rng):
    return Sequential(he(64, WIDTH, rng), ReLU(), he(WIDTH, WIDTH, rng), ReLU(), he(WIDTH, 10, rng))


# %% Experiment
def train(name, number):
    """Test and training error after every epoch, shape (EPOCHS, 2); test errors of the cooled copies."""
    lr, batch_size, cosine, _ = SETTINGS[name]
    rng = np.random.default_rng([demo.seed, number])
    X_train, X_test, y_train, y_test = noisy_split(rng)
    model, cooled = network(rng), []
    optimizer = Adam(model.parameters(), lr=lr)
    steps = -(-SAMPLES // batch_size)

    def cool(model, row):
        if name == "large rate" and row["epoch"] in COOL_AT:
            twin, adam = copy.deepcopy((model, optimizer))
            adam.lr = LARGE / 10
            slower = LambdaLR(adam, lambda t: cosine_decay(t, COOLING * steps))
            fit(twin, X_train, y_train, optimizer=adam, epochs=COOLING, batch_size=batch_size,
                rng=np.random.default_rng(number), schedule=slower)
            cooled.append(1 - accuracy(twin, X_test, y_test))

    schedule = LambdaLR(optimizer, lambda t: cosine_decay(t, EPOCHS * steps)) if cosine else None
    history = fit(model, X_train, y_train, optimizer=optimizer, epochs=EPOCHS, batch_size=batch_size, rng=rng,
                  schedule=schedule, callbacks=[cool], label=f"{name}, run {number + 1}",
                  metrics={"test": lambda m: 1 - accuracy(m, X_test, y_test),
                           "train": lambda m: 1 - accuracy(m, X_train, y_train)})
    return np.array([[row["test"], row["train"]] for row in history]), cooled


def running_median(curve):
    """Over SMOOTH epochs, fewer at either end, where the window shrinks to stay centred."""
    n, half = len(curve), SMOOTH // 2
    reach = [min(half, i, n - 1 - i) for i in range(n)]
    return np.array([np.median(curve[i - r:i + r + 1]) for i, r in enumerate(reach)])


results = {name: [train(name, number) for number in range(SETTINGS[name][-1])] for name in SETTINGS}
# The curves have shape (runs, EPOCHS, 2), the cooled test errors (runs, len(COOL_AT)).
curves = {name: np.array([curve for curve, _ in runs]) for name, runs in results.items()}
cooled = np.array([copies for _, copies in results["large rate"]])


# %% What the curves say: lowest test error, the highest after it, and the mean of the last ten epochs
def turns(name):
    """Of the smoothed median curve: the epochs and values of its lowest point and its peak; its end."""
    curve = running_median(np.median(curves[name][..., 0], axis=0))
    low = curve.argmin()
    peak = low + curve[low:].argmax()
    return low + 1, curve[low], peak + 1, curve[peak], curve[-10:].mean()


def first_fit(name):
    """t_int, the first epoch without a training error: median over the runs, EPOCHS + 1 if there is none."""
    found = [turning_points(train, test).t_int for test, train in np.moveaxis(curves[name], 2, 1)]
    return np.median([EPOCHS + 1 if t is None else t + 1 for t in found])


found = {name: turns(name) for name in SETTINGS}
falls = {name: top - end for name, (_, _, _, top, end) in found.items()}
words = {name: "falls again" if fall >= FALL else "does not fall again" for name, fall in falls.items()}
low, bottom, peak, top, end = found["large rate"]
nearest = np.abs(np.array(COOL_AT) - peak).argmin()
for name, (i, least, j, most, last) in found.items():
    demo.record(f"{name}: test error, lowest, peak, end", [float(least), float(most), float(last)])
    demo.record(f"{name}: epochs of lowest, peak, first fit", [int(i), int(j), float(first_fit(name))])
    demo.record(f"{name}: after its peak the test error", words[name])
demo.record("cooled copies: at epochs", list(COOL_AT))
demo.record("cooled copies: test error", np.median(cooled, axis=0))

# %% Figure
LOOKS = {"large rate": (VERMILLION, "-"), "small rate": (BLUE, "--"), f"batch {MIDDLE}": (PURPLE, "-."),
         f"batch {BIG}": (GREEN, "--"), "cosine": (ORANGE, (0, (1, 1)))}
epochs = np.arange(1, EPOCHS + 1)


def draw(ax, name, text):
    """The smoothed test error of a setting."""
    colour, style = LOOKS[name]
    band(ax, epochs, 100 * np.array([running_median(run) for run in curves[name][..., 0]]), color=colour,
         linestyle=style, label=text)


figure, (left, right) = plt.subplots(1, 2, figsize=(13, 5.6), sharey=True)
figure.suptitle(f"With wrong labels the test error falls to {100 * bottom:.0f} %, rises to "
                f"{100 * top:.0f} %, and {words['large rate']}, to {100 * end:.0f} %")
for name, rate in (("large rate", LARGE), ("small rate", SMALL)):
    if name in SETTINGS:
        draw(left, name, f"rate {rate:g}: {words[name]}")
left.plot(COOL_AT, 100 * np.median(cooled, axis=0), "o", color=BLACK, markersize=6,
          label=f"copies of rate {LARGE:g}, cooled for {COOLING} epochs")
train_error = running_median(np.median(curves["large rate"][..., 1], axis=0))
left.plot(epochs, 100 * train_error, color="0.5", linestyle=":",
          label=f"training error, rate {LARGE:g}")
left.set(xlabel="epoch", ylabel="error (%)", ylim=(0, 36),
         title=f"Batches of {BATCH}; median and band over runs")
for name in [name for name in SETTINGS if name != "small rate"]:
    text = {"large rate": f"batch {BATCH}", "cosine": f"batch {BATCH}, cosine schedule"}.get(name, name)
    draw(right, name, text)
    fit_at = min(round(first_fit(name)), EPOCHS)
    height = running_median(np.median(curves[name][..., 0], axis=0))[fit_at - 1]
    right.plot(fit_at, 100 * height, "v", color=LOOKS[name][0], markeredgecolor=BLACK, markersize=10)
right.plot([], [], "v", color="w", markeredgecolor=BLACK, markersize=10,
           label="first epoch without training error")
movers = "batch size and schedule move" if "cosine" in SETTINGS else "batch size moves"
right.set(xlabel="epoch", title=f"Rate {LARGE:g}: {movers} the peak")
for ax in (left, right):
    ax.legend(loc="upper right", fontsize=10)

# %% Claims, on the smoothed median over the runs
demo.claim("the test error falls, then rises (peak - lowest)", top - bottom, above=0.05)
demo.claim("and falls again (peak - end)", falls["large rate"], at_least=FALL)
demo.claim("at the end the training error is zero", np.median(curves["large rate"][:, -1, 1]), at_most=0)
demo.claim("but stopping at the lowest point stays better (end / lowest)", end / bottom, above=1.3)
demo.claim(f"with batches of {BIG} it does not fall again (peak - end)", falls[f"batch {BIG}"], below=FALL)
demo.claim(f"larger batches put off the overfitting (epoch of the lowest error, batch {BIG} / batch {BATCH})",
           found[f"batch {BIG}"][0] / low, above=1.3)
demo.claim(f"and its peak (epoch of the highest error after that, batch {BIG} / batch {BATCH})",
           found[f"batch {BIG}"][2] / peak, above=1)
if not demo.quick:    # two runs are too few for these
    demo.claim(f"and the peak is lower (batch {BIG} / batch {BATCH})",
               found[f"batch {BIG}"][3] / top, below=1)
    demo.claim("cooling a copy at the peak gives at least a third of the second fall at once (share)",
               (top - np.median(cooled[:, nearest])) / falls["large rate"], at_least=1 / 3)
    demo.record("cooled copies: their own second fall, as a share of the network's",
                (np.median(cooled, axis=0).max() - np.median(cooled[:, -1])) / falls["large rate"])
    demo.claim("at the small rate it does not fall again (peak - end)", falls["small rate"], below=FALL)
    demo.claim("though the training error gets to zero as well",
               np.median(curves["small rate"][:, -1, 1]), at_most=0)
    demo.claim("the cosine schedule brings the peak forward (epoch, ratio)", found["cosine"][2] / peak, below=1)
    demo.claim("and fits all labels earlier (epoch, ratio)",
               first_fit("cosine") / first_fit("large rate"), below=1)
demo.finish(figure)
