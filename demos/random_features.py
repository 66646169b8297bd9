"""Does a model of real images get worse, then better, as its width passes the number of images?

Minimum-norm least squares on random Fourier features of handwritten digits: the experiment of
Belkin, Hsu, Ma and Mandal 2019 (figure 10.2 of MATH5836 week 10), who used 10,000 images of MNIST.
If TINYML_DATA leads to the files of MNIST, 1,000 of its images are here too.

You will see test error, squared loss and the length of the coefficients peak at N = n, where the
training images are first fitted exactly, and beyond it an error far below the best before it. This
needs no wrong labels. If a fifth of the training labels is made wrong, there is a second descent
too, but it ends above the first minimum: to fit wrong labels is not free.

Predict first: at N = 20 n, is the model near a limit? Which one?
"""
# %% Constants
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from common import BLUE, GREEN, VERMILLION, start
from panels import curve

from tinyml.data import digits, flip_labels, mnist, one_hot
from tinyml.interpolation.min_norm import min_norm
from tinyml.interpolation.random_features import Curves, fourier_sweep, gaussian_kernel
from tinyml.sweep import sweep

demo = start(__file__, __doc__)
N_SAMPLES = 120 if demo.quick else 400    # n, training images
DRAWS = 3 if demo.quick else 5            # of training images and of waves
WIDTHS = [0.04, 0.07, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 1, 1.02,
          1.05, 1.1, 1.2, 1.4, 1.7, 2, 3, 5, 10, 20]    # N / n
NOISE = 0.2                               # share of wrong training labels, in the second curve
WRONG = f"{100 * NOISE:.0f} % wrong labels"


# %% Data: digits, digits with wrong labels, and MNIST if it is here
# Pixels are in [0, 1], and two digits are some 3 apart (in MNIST 10). With bandwidths from 1 to 8
# the story is the same; at 0.5 every image is far from all others, and no width does well.
class Setting(NamedTuple):
    images: tuple            # X, y, and the test set X_test, y_test, or the rest of X, y if None
    n: int = N_SAMPLES
    bandwidth: float = 2
    noise: float = 0         # share of wrong training labels
    draws: int = DRAWS


settings = {"digits": Setting((*digits(), None, None))}
settings[WRONG] = settings["digits"]._replace(noise=NOISE)
if not demo.quick:
    try:
        X_test, y_test = mnist(split="test")
        images = *mnist(), X_test[:1000], y_test[:1000]
        settings["MNIST"] = Setting(images, n=1000, bandwidth=5, draws=1)
    except FileNotFoundError:
        print("MNIST is not here: digits only")


# %% One draw of training images
def draw(setting, rng):
    """Training images and one-hot labels, test images and one-hot labels."""
    X, y, X_test, y_test = setting.images
    order = rng.permutation(len(X))
    train, rest = order[:setting.n], order[setting.n:]
    if X_test is None:
        X_test, y_test = X[rest], y[rest]
    label = flip_labels(y[train], 10, fraction=setting.noise, rng=rng)
    return X[train], one_hot(label, 10), X_test, one_hot(y_test, 10)


# %% The limit N = infinity: interpolation with the Gaussian kernel
def kernel_limit(X, Y, X_test, Y_test, bandwidth):
    X, X_test, Y = X.astype(float), X_test.astype(float), Y.astype(float)
    alpha = min_norm(gaussian_kernel(X, X, bandwidth=bandwidth), Y)    # K^-1 Y
    output = gaussian_kernel(X_test, X, bandwidth=bandwidth) @ alpha
    return Curves(test_error=np.mean(output.argmax(axis=1) != Y_test.argmax(axis=1)),
                  test_loss=np.mean(np.sum((output - Y_test) ** 2, axis=1)), train_loss=0,
                  norm=np.sqrt(np.sum(Y * alpha)))    # ||f||^2 = y' K^-1 y


# %% Experiment: the same images and waves at all widths, and in a last column at N = infinity
def measure(setting, rng):
    images = draw(setting, rng)
    sizes = [round(width * setting.n) for width in WIDTHS]
    curves = fourier_sweep(*images, sizes, bandwidth=setting.bandwidth, rng=rng)
    return np.column_stack([curves, kernel_limit(*images, setting.bandwidth)])


runs, middle, limit = {}, {}, {}    # Curves: of all draws, their median, at N = infinity
for name, setting in settings.items():
    result = sweep(measure, [setting], repeats=setting.draws, seed=demo.seed, label=name)[:, 0]
    runs[name] = Curves(*result[:, :, :-1].swapaxes(0, 1))
    middle[name] = Curves(*np.median(runs[name], axis=1))
    limit[name] = Curves(*np.median(result[:, :, -1], axis=0))

width = np.array(WIDTHS)
before, after = width < 1, width >= 1    # too narrow to fit all images, and wide enough
demo.record("N / n", width)
for name in settings:
    for quantity, values, end in zip(Curves._fields, middle[name], limit[name]):
        demo.record(f"{name}: {quantity}", values)
        demo.record(f"{name}: {quantity} at N = infinity", end)

# %% From N = n on the model fits every training image
for name, values in middle.items():
    demo.claim(f"{name}: the training loss is 0 to rounding for all N >= n",
               values.train_loss[after].max(), at_most=1e-15)
    demo.claim(f"{name}: and it is not for N < n (smallest)", values.train_loss[before].min(),
               at_least=1e-4)

# %% At N = n everything has its peak
for name, values in middle.items():
    for words, height in (("test error", values.test_error), ("test loss", values.test_loss),
                          ("length of the coefficients", values.norm)):
        demo.claim(f"{name}: the {words} is largest at N = n (N / n)", width[height.argmax()],
                   within=(0.98, 1.02))

# %% Beyond it the error falls, and without wrong labels far below the best model with N < n
for name in [name for name in settings if name != WRONG]:
    for words, values in (("error", middle[name].test_error), ("loss", middle[name].test_loss)):
        demo.claim(f"{name}: test {words} of the widest model / of the best with N < n",
                   values[-1] / values[before].min(), below=0.8)

# %% With wrong labels it ends above that best model
if not demo.quick:    # with fewer images the first minimum is high, and this descent passes it
    wrong = middle[WRONG].test_error
    demo.claim(f"{WRONG}: there is a second descent (test error, widest / peak)",
               wrong[-1] / wrong.max(), below=0.5)
    demo.claim(f"{WRONG}: it ends above the best model with N < n (ratio of the test errors)",
               wrong[-1] / wrong[before].min(), above=1)

# %% The widest model is near its limit, the kernel
for name, values in middle.items():
    demo.claim(f"{name}: the widest model's loss is near its limit at N = infinity (ratio)",
               values.test_loss[-1] / limit[name].test_loss, within=(0.9, 1.2))

# %% Figure: test error, test loss and length of the coefficients; dashed: N = infinity
LOOKS = {"digits": (BLUE, "-"), WRONG: (VERMILLION, "-."), "MNIST": (GREEN, ":")}
figure, axes = plt.subplots(1, 3, figsize=(14, 5))
errors, losses, norms = axes
error = 100 * middle["digits"].test_error
figure.suptitle(f"The error on new digits peaks at N = n ({error.max():.0f} %), and falls to "
                f"{error[-1]:.1f} %; the best model with N < n: {error[before].min():.1f} %")
for name, (test_error, test_loss, _, norm) in runs.items():
    color, style = LOOKS[name]
    ends = limit[name]
    for ax, values, end in ((errors, test_error, ends.test_error),
                            (losses, test_loss, ends.test_loss), (norms, norm, ends.norm)):
        text = name.replace(" labels", "\nlabels") if ax is errors else ""
        curve(ax, width, values, text, color=color, linestyle=style)
        ax.plot([3, 20], [end, end], color=color, linestyle="--", linewidth=1.2)
curve(losses, width[before], middle["digits"].train_loss[before], color="0.5", linewidth=1.2)
losses.text(0.045, 0.06, "on the training\nimages (digits)", color="0.35", va="top")
norms.text(0.97, 0.05, "dashed: N = ∞", color="0.35", ha="right", transform=norms.transAxes)

# %% Axes of the three panels
ticks = [0.04, 0.1, 0.3, 1, 3, 10]
for ax in axes:
    ax.axvline(1, color="0.6", linestyle=":", linewidth=1.5)
    ax.set(xscale="log", xlabel="width of the model / images, N / n")
    ax.set_xticks(ticks, map(str, ticks))
    ax.minorticks_off()
errors.set(title="Test error", ylabel="share of wrong answers", ylim=(0, 1))
losses.set(title="Test loss", ylabel="squared distance to one-hot, mean", yscale="log")
losses.set_ylim(bottom=0.01)
norms.set(title="Length of the coefficients", ylabel="||β||", yscale="log")
demo.finish(figure)
