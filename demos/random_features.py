"""Does a model of real images get worse, and then better, as its width passes the number of images?

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
import matplotlib.pyplot as plt
import numpy as np
from common import BLUE, GREEN, VERMILLION, band, label_line, start

from tinyml.data import digits, flip_labels, mnist, one_hot
from tinyml.interpolation.min_norm import min_norm
from tinyml.interpolation.random_features import Curves, fourier_sweep, gaussian_kernel
from tinyml.sweep import sweep

demo = start(__file__, __doc__)
N_SAMPLES = 120 if demo.quick else 400    # n, training images
DRAWS = 3 if demo.quick else 5            # of training images and of waves
WIDTHS = [0.04, 0.07, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 1, 1.02,
          1.05, 1.1, 1.2, 1.4, 1.7, 2, 3, 5, 10, 20]    # N / n
# Pixels are in [0, 1], and two digits are some 3 apart (in MNIST 10). From 1 to 8 the story
# is the same; at 0.5 every image is far from all others, and no width does well.
BANDWIDTH = {"digits": 2.0, "MNIST": 5.0}
NOISE = 0.2                               # share of wrong training labels, in the second curve
WRONG = f"{100 * NOISE:.0f} % wrong labels"


# %% Experiment: one draw of images and waves, all widths, and the limit of infinite width
def measure(setting, rng):
    """The Curves at all widths, and in a last column their limit: shape (4, len(WIDTHS) + 1)."""
    name, noise, n, (X, y, X_test, y_test) = setting
    order = rng.permutation(len(X))
    if X_test is None:                    # test on the images that are not in the training set
        X_test, y_test = X[order[n:]], y[order[n:]]
    X, y = X[order[:n]], y[order[:n]]
    y = flip_labels(y, 10, fraction=noise, rng=rng)
    Y, Y_test = one_hot(y, 10), one_hot(y_test, 10)

    sizes = [round(width * n) for width in WIDTHS]
    curves = fourier_sweep(X, Y, X_test, Y_test, sizes, bandwidth=BANDWIDTH[name], rng=rng)
    return np.column_stack([curves, kernel_limit(X, Y, X_test, Y_test, BANDWIDTH[name])])


def kernel_limit(X, Y, X_test, Y_test, bandwidth):
    """N = infinity: interpolation with the Gaussian kernel."""
    X, X_test = X.astype(float), X_test.astype(float)
    alpha = min_norm(gaussian_kernel(X, X, bandwidth=bandwidth), Y.astype(float))
    output = gaussian_kernel(X_test, X, bandwidth=bandwidth) @ alpha
    return Curves(test_error=np.mean(output.argmax(1) != Y_test.argmax(1)),
                  test_loss=((output - Y_test) ** 2).sum(1).mean(), train_loss=0,
                  norm=np.sqrt((Y * alpha).sum()))    # ||f||^2 = y' K^-1 y


def settings():
    """name: (data, share of wrong labels, n, images) and the number of draws, for every curve."""
    clean = ("digits", 0, N_SAMPLES, (*digits(), None, None))
    yield "digits", clean, DRAWS
    yield WRONG, ("digits", NOISE, *clean[2:]), DRAWS
    if not demo.quick:
        try:
            X_test, y_test = mnist(split="test")
            yield "MNIST", ("MNIST", 0, 1000, (*mnist(), X_test[:1000], y_test[:1000])), 1
        except FileNotFoundError:
            print("MNIST is not here: digits only")


results = {name: sweep(measure, [setting], repeats=draws, seed=demo.seed, label=name)[:, 0]
           for name, setting, draws in settings()}    # (draws, 4, len(WIDTHS) + 1) each

# %% Figure: three of the four curves; the fourth, the training loss, beside the test loss
width = np.array(WIDTHS)
middle = {name: Curves(*np.median(curves, axis=0)) for name, curves in results.items()}
before, after = width < 1, width >= 1
digit_error = 100 * middle["digits"].test_error[:-1]
LOOK = {"digits": (BLUE, "-"), WRONG: (VERMILLION, "-."), "MNIST": (GREEN, ":")}
figure, axes = plt.subplots(1, 3, figsize=(14, 5))
for ax, quantity in zip(axes, ("test_error", "test_loss", "norm")):
    row = Curves._fields.index(quantity)
    for name, curves in results.items():
        colour, style = LOOK[name]
        line = band(ax, width, curves[:, row, :-1], color=colour, linestyle=style)
        if ax is axes[0]:
            label_line(ax, line, name.replace(" labels", "\nlabels"))
        limit = np.median(curves[:, row, -1])
        ax.plot([3, 20], [limit, limit], color=colour, linestyle="--", linewidth=1.2)
    ax.axvline(1, color="0.6", linestyle=":", linewidth=1.5)
    ticks = [0.04, 0.1, 0.3, 1, 3, 10]
    ax.set(xscale="log", xlabel="width of the model / images, N / n")
    ax.set_xticks(ticks, map(str, ticks))
    ax.minorticks_off()
axes[1].plot(width[before], middle["digits"].train_loss[:-1][before], color="0.5", linewidth=1.2)
axes[1].text(0.045, 0.06, "on the training\nimages (digits)", color="0.35", va="top")
axes[0].set(title="Test error", ylabel="share of wrong answers", ylim=(0, 1))
axes[1].set(title="Test loss", ylabel="squared distance to one-hot, mean", yscale="log")
axes[1].set_ylim(bottom=0.01)
axes[2].set(title="Length of the coefficients", ylabel="||β||", yscale="log")
axes[2].text(0.97, 0.05, "dashed: N = ∞", color="0.35", ha="right", transform=axes[2].transAxes)
figure.suptitle(f"The error on new digits peaks at N = n ({digit_error.max():.0f} %), and falls to "
                f"{digit_error[-1]:.1f} %; the best N < n leaves {digit_error[before].min():.1f} %")

# %% Claims
demo.record("N / n", width)
for name, curves in middle.items():
    for quantity, values in zip(Curves._fields, curves):
        demo.record(f"{name}: {quantity}", values[:-1])
        demo.record(f"{name}: {quantity} at N = infinity", values[-1])
for name, curves in middle.items():
    for words, values in (("test error", curves.test_error), ("test loss", curves.test_loss),
                          ("length of the coefficients", curves.norm)):
        demo.claim(f"{name}: the {words} is largest at N = n (N / n)", width[values[:-1].argmax()],
                   within=(0.98, 1.02))
    demo.claim(f"{name}: the training loss is 0 to rounding for all N >= n",
               curves.train_loss[:-1][after].max(), at_most=1e-15)
    demo.claim(f"{name}: and it is not for N < n (smallest)", curves.train_loss[:-1][before].min(),
               at_least=1e-4)
    demo.claim(f"{name}: the widest model's loss is near its limit at N = infinity (ratio)",
               curves.test_loss[-2] / curves.test_loss[-1], within=(0.9, 1.2))
for name in [name for name in middle if name != WRONG]:
    for words, values in (("error", middle[name].test_error), ("loss", middle[name].test_loss)):
        demo.claim(f"{name}: test {words} of the widest model / of the best with N < n",
                   values[-2] / values[:-1][before].min(), below=0.8)
if not demo.quick:    # with fewer images the first minimum is high, and this descent passes it
    values = middle[WRONG].test_error
    demo.claim(f"{WRONG}: there is a second descent (test error, widest / peak)",
               values[-2] / values.max(), below=0.5)
    demo.claim(f"{WRONG}: it ends above the best model with N < n (ratio of the test errors)",
               values[-2] / values[:-1][before].min(), above=1)
demo.finish(figure)
