"""Does a model of real images get worse, then better, as its width passes the number of images?

Minimum-norm least squares on random Fourier features of handwritten digits: the experiment of
Belkin, Hsu, Ma and Mandal 2019 (figure 10.2 of MATH5836 week 10), who used 10,000 images of MNIST.

You will see test error, squared loss and the length of the coefficients peak at N = n, where the
training images are first fitted exactly, and beyond it an error far below the best before it. This
needs no wrong labels. If a fifth of the training labels is made wrong, there is a second descent
too, but it ends above the first minimum: to fit wrong labels is not free.

With --data the same model is fitted to other data. The peak is there on all of them: it comes from
the least squares. Whether the far side is *better* depends on the data. Where images that are
alike have one label, as digits have, it costs nothing to fit all of them. A shirt is easily taken
for a coat, and in a table like `diabetes` the same measurements go with different outcomes: to fit
these is to fit noise.

Predict first: at N = 20 n, is the model near a limit? Which one? And on which of the data is a
small model the best?
"""
# %% Constants
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from common import BLUE, VERMILLION, start
from panels import curve

from tinyml.data import flip_labels, one_hot
from tinyml.interpolation.min_norm import min_norm
from tinyml.interpolation.random_features import (
    Curves,
    fourier_sweep,
    gaussian_kernel,
    median_distance,
)
from tinyml.sweep import sweep

demo = start(__file__, __doc__, data=("digits", "clothes", "mnist", "fashion-mnist", "diabetes",
                                      "breast-cancer"))
X, y = demo.load()
TABLE = demo.data in ("diabetes", "breast-cancer")
CLASSES = None if demo.data == "diabetes" else int(y.max()) + 1    # None: y is a number
N_SAMPLES = 120 if demo.quick else min(400, len(X) // 2)    # n, training rows
N_TEST = 1397                             # rows, at most
DRAWS = 3 if demo.quick else 5            # of training rows and of waves
WIDTHS = [0.04, 0.07, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 1, 1.02,
          1.05, 1.1, 1.2, 1.4, 1.7, 2, 3, 5, 10, 20]    # N / n
NOISE = 0.2                               # share of wrong training labels, in the second curve
CLEAN, WRONG = "labels as they are", f"{100 * NOISE:.0f} % wrong labels"
settings = {CLEAN: 0} if CLASSES is None else {CLEAN: 0, WRONG: NOISE}


# %% One draw: training rows, of which some labels are made wrong, and test rows
class Draw(NamedTuple):
    X: np.ndarray
    Y: np.ndarray         # one-hot, or one column of numbers
    X_test: np.ndarray
    Y_test: np.ndarray


def draw(noise, rng):
    order = rng.permutation(len(X))
    train, test = order[:N_SAMPLES], order[N_SAMPLES:][:N_TEST]
    X_train, X_test = X[train].astype(float), X[test].astype(float)
    if TABLE:    # columns have different units
        mean, sd = X_train.mean(axis=0), X_train.std(axis=0)
        X_train, X_test = (X_train - mean) / sd, (X_test - mean) / sd
    if CLASSES is None:
        Y = ((y - y[train].mean()) / y[train].std())[:, None]
        return Draw(X_train, Y[train], X_test, Y[test])
    label = flip_labels(y[train], CLASSES, fraction=noise, rng=rng)
    return Draw(X_train, one_hot(label, CLASSES), X_test, one_hot(y[test], CLASSES))


# %% The limit N = infinity: interpolation with the Gaussian kernel
def kernel_limit(X, Y, X_test, Y_test, bandwidth):
    Y = Y.astype(float)
    alpha = min_norm(gaussian_kernel(X, X, bandwidth=bandwidth), Y)    # K^-1 Y
    output = gaussian_kernel(X_test, X, bandwidth=bandwidth) @ alpha
    wrong = output.argmax(axis=1) != Y_test.argmax(axis=1)
    return Curves(test_error=np.nan if CLASSES is None else wrong.mean(),
                  test_loss=np.mean(np.sum((output - Y_test) ** 2, axis=1)), train_loss=0,
                  norm=np.sqrt(np.sum(Y * alpha)))    # ||f||^2 = y' K^-1 y


# %% Experiment: the same rows and waves at all widths, and in a last column at N = infinity
# The bandwidth of the waves is two thirds of the median distance of two training rows, a rule
# without labels and without tuning: at half or twice that the story is the same.
def measure(noise, rng):
    rows = draw(noise, rng)
    bandwidth = 2 / 3 * median_distance(rows.X)
    sizes = [round(width * N_SAMPLES) for width in WIDTHS]
    curves = fourier_sweep(*rows, sizes, bandwidth=bandwidth, rng=rng)
    return np.column_stack([curves, kernel_limit(*rows, bandwidth)])


runs, middle, limit = {}, {}, {}    # Curves: of all draws, their median, at N = infinity
for name, noise in settings.items():
    result = sweep(measure, [noise], repeats=DRAWS, seed=demo.seed, label=name)[:, 0]
    runs[name] = Curves(*result[:, :, :-1].swapaxes(0, 1))
    middle[name] = Curves(*np.median(runs[name], axis=1))
    limit[name] = Curves(*np.median(result[:, :, -1], axis=0))

width = np.array(WIDTHS)
before, after = width < 1, width >= 1    # too narrow to fit all rows, and wide enough
demo.record("N / n", width)
for name in settings:
    for quantity, values, end in zip(Curves._fields, middle[name], limit[name]):
        demo.record(f"{name}: {quantity}", values)
        demo.record(f"{name}: {quantity} at N = infinity", end)


def test_curves(name):
    """Words and values of what is measured on test rows; numbers are not right or wrong."""
    error, loss, _, _ = middle[name]
    return {"test loss": loss} if CLASSES is None else {"test error": error, "test loss": loss}


# %% From N = n on the model fits every training row
for name, values in middle.items():
    demo.claim(f"{name}: the training loss is 0 to rounding for all N >= n",
               values.train_loss[after].max(), at_most=1e-15)
    demo.claim(f"{name}: the training loss is not 0 for N < n (smallest)", values.train_loss[before].min(),
               above=1e-8)

# %% At N = n everything has its peak
for name, values in middle.items():
    for words, height in {**test_curves(name), "length of the coefficients": values.norm}.items():
        demo.finding(f"{name}: the {words} is largest at N = n (N / n)", width[height.argmax()],
                     within=(0.98, 1.02),
                     why="An error that is large everywhere, as with few classes and wrong labels, "
                         "is nearly flat around its peak.")

# %% Beyond it the error falls, and without wrong labels far below the best model with N < n
for words, values in test_curves(CLEAN).items():
    demo.finding(f"{CLEAN}: {words} of the widest model / of the best with N < n",
                 values[-1] / values[before].min(), below=0.8,
                 why="If neighbours often have different labels, to fit every label is to fit "
                     "noise, and a small model, which averages over it, is hard to beat.")

# %% With wrong labels it ends above that best model
if WRONG in settings and not demo.quick:    # with fewer images the first minimum is high, and this descent passes it
    wrong = middle[WRONG].test_error
    demo.finding(f"{WRONG}: there is a second descent (test error, widest / peak)",
                 wrong[-1] / wrong.max(), below=0.5,
                 why="With two classes no error is above a half by much, so the peak is low.")
    demo.finding(f"{WRONG}: the second descent ends above the best model with N < n (ratio of the test errors)",
                 wrong[-1] / wrong[before].min(), above=1,
                 why="If the first minimum is high because the classes need many features, the "
                     "second descent goes below it even with wrong labels.")

# %% The widest model is near its limit, the kernel
for name, values in middle.items():
    demo.finding(f"{name}: the widest model's loss is near its limit at N = infinity (ratio)",
                 values.test_loss[-1] / limit[name].test_loss, within=(0.9, 1.2),
                 why="What a finite number of waves adds to the loss grows with the noise in the "
                     "labels, so noisy labels need more of them.")

# %% Figure: test error, test loss and length of the coefficients; dashed: N = infinity
LOOKS = {CLEAN: (BLUE, "-"), WRONG: (VERMILLION, "-.")}
words, headline = next(iter(test_curves(CLEAN).items()))
end, best = headline[-1], headline[before].min()
axes_of = {"test_error": dict(title="Test error", ylabel="share of wrong answers", ylim=(0, 1)),
           "test_loss": dict(title="Test loss", ylabel="squared distance to the target, mean", yscale="log"),
           "norm": dict(title="Length of the coefficients", ylabel="||β||", yscale="log")}
if CLASSES is None:
    del axes_of["test_error"]
figure, panels = plt.subplots(1, len(axes_of), figsize=(14, 5))
figure.suptitle(f"{demo.data}: the {words} peaks at N / n = {width[headline.argmax()]:g} "
                f"({headline.max():.2g}), and ends at {end:.2g}; "
                f"{'but' if end > best else 'the'} best model with N < n: {best:.2g}")
for ax, (quantity, look) in zip(panels, axes_of.items()):
    for name in settings:
        color, style = LOOKS[name]
        text = name.replace(" as", "\nas").replace(" labels", "\nlabels") if ax is panels[0] else ""
        curve(ax, width, getattr(runs[name], quantity), text, color=color, linestyle=style)
        ax.plot([3, 20], 2 * [getattr(limit[name], quantity)], color=color, linestyle="--", linewidth=1.2)
    if quantity == "test_loss":
        curve(ax, width[before], middle[CLEAN].train_loss[before], color="0.5", linewidth=1.2)
        ax.text(0.045, 0.06, "on the training rows", color="0.35", va="top")
        look["ylim"] = 0.01, None
    ax.set(xscale="log", xlabel="width of the model / training rows, N / n", **look)

# %% Axes
ticks = [0.04, 0.1, 0.3, 1, 3, 10]
for ax in panels:
    ax.axvline(1, color="0.6", linestyle=":", linewidth=1.5)
    ax.set_xticks(ticks, map(str, ticks))
    ax.minorticks_off()
panels[-1].text(0.97, 0.05, "dashed: N = ∞", color="0.35", ha="right", transform=panels[-1].transAxes)
demo.finish(figure)
