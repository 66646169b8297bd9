"""Does a network's test error rise and fall again when one just keeps training?

Epoch-wise double descent (Nakkiran et al. 2020; MATH5836 week 10, section 10.1.3) on real digits, a fifth of the
training labels wrong, with a network that the engine trains far beyond the point where it knows them all by heart.

You will see one setting in which the second fall appears, and others in which it does not; how batch size and
learning-rate schedule move the peak; and a control: copies of the network, cooled for ten epochs at a small rate.

Predict first: with so many wrong labels, where is the test error smallest, at the start, in between, or at the
end? And which of them needs the second fall: a small learning rate or a large one, small batches or large ones?
"""
# %% Constants
import copy

import matplotlib.pyplot as plt
import numpy as np
from common import BLACK, BLUE, GREEN, ORANGE, PURPLE, VERMILLION, band, label_line, start

from tinyml.data import digits, train_test_split
from tinyml.nn import Linear, ReLU, Sequential
from tinyml.optim import Adam, LambdaLR, cosine_decay
from tinyml.train import accuracy, fit

demo = start(__file__, __doc__)
SAMPLES = 500 if demo.quick else 1000        # training digits; the others are the test set
WIDTH = 64 if demo.quick else 128            # of both hidden layers
WRONG = 0.2                                  # fraction of the training labels that are wrong
LARGE, SMALL = 2e-2, 1e-3                    # Adam's learning rates
BATCH, WHOLE = (64, 500) if demo.quick else (128, 512)
EPOCHS = 140 if demo.quick else 160
SMOOTH = 9                                   # epochs in the running median of a curve
COOLING = 10                                 # epochs of a cooled copy, the rate from LARGE / 10 to 0 on a cosine
COOL_AT = (40, 60, 140) if demo.quick else (10, 20, 30, 45, 60, 75, 95, 120, 160)
SETTINGS = {    # name: learning rate, batch size, cosine schedule, epochs, runs
    "large rate": (LARGE, BATCH, False, EPOCHS, 3 if demo.quick else 7),
    f"batch {WHOLE}": (LARGE, WHOLE, False, EPOCHS, 2 if demo.quick else 4)}
if not demo.quick:
    SETTINGS |= {"small rate": (SMALL, BATCH, False, 300, 4), "batch 64": (LARGE, 64, False, EPOCHS, 4),
                 "cosine": (LARGE, BATCH, True, EPOCHS, 4)}


# %% Data: in each run another split, and other wrong labels
X, y = digits()


def noisy_split(rng):
    """X_train, X_test, y_train with its wrong labels, y_test."""
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=1 - SAMPLES / len(X), rng=rng, stratify=y)
    wrong = rng.permutation(SAMPLES)[:round(WRONG * SAMPLES)]
    y_train[wrong] = (y_train[wrong] + rng.integers(1, 10, len(wrong))) % 10
    return X_train, X_test, y_train, y_test


# %% Model
def he(n_in, n_out, rng):
    """A linear layer with the initial law of He et al. 2015, made for ReLU: N(0, 2 / n_in), no bias."""
    layer = Linear(n_in, n_out, rng=rng)
    layer.load_state_dict({"weight": rng.normal(0, np.sqrt(2 / n_in), (n_out, n_in)), "bias": np.zeros(n_out)})
    return layer


def network(rng):
    return Sequential(he(64, WIDTH, rng), ReLU(), he(WIDTH, WIDTH, rng), ReLU(), he(WIDTH, 10, rng))


# %% Experiment
def train(name, number):
    """Test and training error after every epoch, shape (epochs, 2), and the test errors of the cooled copies."""
    lr, batch_size, cosine, epochs, _ = SETTINGS[name]
    rng = np.random.default_rng([demo.seed, number])
    X_train, X_test, y_train, y_test = noisy_split(rng)
    model, cooled = network(rng), []
    optimizer = Adam(model.parameters(), lr=lr)
    steps = -(-SAMPLES // batch_size)

    def cool(model, row):
        if name == "large rate" and row["epoch"] in COOL_AT:
            twin, adam = copy.deepcopy((model, optimizer))
            adam.lr = LARGE / 10
            fit(twin, X_train, y_train, optimizer=adam, epochs=COOLING, batch_size=batch_size,
                rng=np.random.default_rng(number), schedule=LambdaLR(adam, lambda t: cosine_decay(t, COOLING * steps)))
            cooled.append(1 - accuracy(twin, X_test, y_test))

    schedule = LambdaLR(optimizer, lambda t: cosine_decay(t, epochs * steps)) if cosine else None
    history = fit(model, X_train, y_train, optimizer=optimizer, epochs=epochs, batch_size=batch_size, rng=rng,
                  schedule=schedule, callbacks=[cool], label=f"{name}, run {number + 1}",
                  metrics={"test": lambda m: 1 - accuracy(m, X_test, y_test),
                           "train": lambda m: 1 - accuracy(m, X_train, y_train)})
    return np.array([[row["test"], row["train"]] for row in history]), cooled


def running_median(curve):
    half = SMOOTH // 2
    return np.array([np.median(curve[max(0, i - half):i + half + 1]) for i in range(len(curve))])


results = {name: [train(name, number) for number in range(SETTINGS[name][-1])] for name in SETTINGS}
curves = {name: np.array([curve for curve, _ in runs]) for name, runs in results.items()}    # (runs, epochs, 2)
cooled = np.array([copies for _, copies in results["large rate"]])                           # (runs, len(COOL_AT))


# %% What the curves say: lowest test error, the highest after it, and the mean of the last ten epochs
def shape_of(name):
    curve = running_median(np.median(curves[name][..., 0], axis=0))
    low = curve.argmin()
    peak = low + curve[low:].argmax()
    return curve, low, peak, curve[-10:].mean()


shapes = {name: shape_of(name) for name in SETTINGS}
falls = {name: curve[peak] - end for name, (curve, low, peak, end) in shapes.items()}
fitted = {name: np.median([np.append(np.flatnonzero(run[:, 1] == 0), len(run))[0] + 1 for run in runs])
          for name, runs in curves.items()}    # the first epoch without a training error
curve, low, peak, end = shapes["large rate"]
nearest = np.abs(np.array(COOL_AT) - (peak + 1)).argmin()
hot = running_median(np.median(curves["large rate"][..., 0], axis=0))[np.array(COOL_AT) - 1]
cool = np.median(cooled, axis=0)
VERDICT = 0.015
for name, (c, i, j, last) in shapes.items():
    demo.record(f"{name}: test error, lowest, peak, end", [float(c[i]), float(c[j]), float(last)])
    demo.record(f"{name}: epochs of lowest, peak, first fit", [int(i + 1), int(j + 1), float(fitted[name])])
    demo.record(f"{name}: in words", "falls again" if falls[name] > VERDICT else "does not fall again")
demo.record("cooled copies: test error", cool)

# %% Figure
LOOKS = {"large rate": (VERMILLION, "-"), "small rate": (BLUE, "--"), "batch 64": (PURPLE, "-."),
         f"batch {WHOLE}": (GREEN, "--"), "cosine": (ORANGE, ":")}
figure, (left, right) = plt.subplots(1, 2, figsize=(13.5, 5.6), sharey=True, width_ratios=[1.15, 1])
again = "falls again" if falls["large rate"] > VERDICT else "does not fall again"
figure.suptitle(f"With wrong labels the test error falls to {100 * curve[low]:.0f} %, rises to "
                f"{100 * curve[peak]:.0f} %, and {again}, to {100 * end:.0f} %: large steps calming down")


def draw(ax, name, text):
    smooth = 100 * np.array([running_median(run) for run in curves[name][..., 0]])
    colour, style = LOOKS[name]
    line = band(ax, np.arange(1, smooth.shape[1] + 1), smooth, color=colour, linestyle=style)
    return line, text


for name in SETTINGS:
    print(name, falls[name])
draw(left, "large rate", "")
figure.savefig(demo.out / "x.png")
