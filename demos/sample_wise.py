"""Can more training data make a model worse?

Nakkiran 2019, More data can hurt for linear regression; Nakkiran, Venkat, Kakade and Ma 2021,
Optimal regularization can mitigate double descent; MATH5836 week 10, section 10.1.3. The number
of features is fixed, and the number of samples n grows: double descent in the other direction.

You will see the error of the minimum-norm fit against n, first for Gaussian features, where it
is known exactly (dashed), then for random Fourier features of handwritten digits, or with --data
of other images. Both are shown beside ridge: with its best penalty, and with one that
leave-one-out chooses from the training images alone. The peak comes from the least squares, so
expect it on all images; how high it is depends on how much of an image's label the features miss,
which is noise to them.

Predict first: a model with 200 features was trained on 100 images, and predicts six of seven
digits right. What will 100 more images do to it? And 300 more?
"""
# %% Constants
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from common import BLACK, BLUE, GREEN, ORANGE, VERMILLION, band, start

from tinyml.data import one_hot
from tinyml.interpolation.double_descent import min_norm_risk, optimal_lam, optimal_ridge_risk
from tinyml.interpolation.min_norm import min_norm
from tinyml.interpolation.random_features import fourier_features, median_distance, sample_waves
from tinyml.interpolation.ridge import leave_one_out, ridge
from tinyml.sweep import sweep
from tinyml.synthetic import make_linear

demo = start(__file__, __doc__, data=("digits", "clothes", "mnist", "fashion-mnist"))
P = 30                                    # Gaussian features
SIGNAL, SIGMA2 = 1.0, 0.25                # ||beta||^2 (of make_linear), variance of the noise
REPEATS = 100 if demo.quick else 400      # training sets for every n
N = np.r_[2:22:2, 22:40, 40:100:2]        # samples
WIDTHS = [50, 100] if demo.quick else [100, 200]    # features of the images
DRAWS = 3 if demo.quick else 7            # of images and of waves
GROWTH = [0.2, 0.35, 0.5, 0.7, 0.85, 0.95, 1, 1.05, 1.15, 1.3, 1.6, 2, 2.5, 3, 4, 5]  # images / N
N_IMAGES = 1797                           # at most, as many as there are digits
LAMS = np.geomspace(1e-6, 1, 19)          # penalties for leave-one-out to choose from


# %% Gaussian features: the excess risks of X^+ y and of ridge for one training set
# For x ~ N(0, I) the excess risk E (x'b - x'beta)^2 is ||b - beta||^2: it takes no test set.
def trial(n, rng):
    X, y, beta = make_linear(n, P, sigma=np.sqrt(SIGMA2), rng=rng)
    lam = optimal_lam(P / n, signal=SIGNAL, sigma2=SIGMA2)
    fits = np.array([min_norm(X, y), ridge(X, y, lam=lam)])
    return ((fits - beta) ** 2).sum(axis=1)


risks = sweep(trial, N.tolist(), repeats=REPEATS, seed=demo.seed, label="Gaussian features")
mean, median = risks.mean(axis=0).T, np.median(risks, axis=0).T    # of min norm, of ridge
error = risks.std(axis=0, ddof=1).T / np.sqrt(REPEATS)

# %% The measured mean is the exact risk
# The risk has a moment of order m only if |n - p| + 1 > 2 m (inverse Wishart). A standard error
# needs m = 2, a nearly normal mean m = 3.
every = np.arange(1, N[-1] + 1)
exact = min_norm_risk(every, P, signal=SIGNAL, sigma2=SIGMA2)
ridge_limit = optimal_ridge_risk(P / every, signal=SIGNAL, sigma2=SIGMA2)
has_error, settled = np.abs(N - P) >= 4, np.abs(N - P) >= 6
deviation = np.abs(mean[0] - exact[N - 1]) / error[0]

demo.claim("exact risk within 3 standard errors of the mean, |n - p| >= 6 (share of points)",
           np.mean(deviation[settled] <= 3), at_least=0.95)

# %% More data hurts up to n = p, and it takes much more to make up for it
first = every[:P][exact[:P].argmin()]                       # the best n < p
again = P + 1 + np.argmax(exact[P:] <= exact[first - 1])    # the first n > p that is as good
before, peak = median[0][N == first][0], median[0][N == P][0]

demo.record("best n < p, and the first n > p as good (theory)", [int(first), int(again)])
demo.record(f"excess error at n = {first}, at n = p (medians)", [before, peak])
demo.claim("the median risk peaks at n = p (distance from p)", abs(N[median[0].argmax()] - P),
           at_most=0)
demo.claim("at n = p it is far above that of the best n < p (ratio of medians)", peak / before,
           above=8)

# %% With the best ridge, more data never hurts
rise = np.diff(mean[1]) / np.hypot(error[1][1:], error[1][:-1])

demo.claim("ridge: more data never hurts (largest rise of the mean, in standard errors)",
           rise.max(), at_most=3.5)
demo.claim("ridge is better than the minimum norm at every n (largest ratio of means)",
           (mean[1] / mean[0]).max(), below=1)

# %% Images: the same model on more and more of them, with the same waves and the same test images
IMAGES, LABELS = demo.load()
MOST = round(max(WIDTHS) * max(GROWTH))


class Curves(NamedTuple):
    """Arrays over GROWTH; of all draws (DRAWS, len(WIDTHS), len(GROWTH))."""

    error: np.ndarray          # test error of the minimum norm
    loss: np.ndarray           # its squared test error
    ridge_error: np.ndarray    # the same of ridge with the penalty of leave-one-out
    ridge_loss: np.ndarray


def learning_curve(width, rng):
    order = rng.permutation(len(IMAGES))[:N_IMAGES]
    X = IMAGES[order].astype(float)
    # two thirds of the median distance: a rule without labels and without tuning
    bandwidth = 2 / 3 * median_distance(X[:max(WIDTHS)])
    waves = sample_waves(X.shape[1], n_features=width, bandwidth=bandwidth, rng=rng)
    phi = fourier_features(X, *waves)
    Y = one_hot(LABELS[order], 10).astype(float)
    points = []
    for growth in GROWTH:
        n = round(growth * width)
        lam = chosen_lam(phi[:n], Y[:n])
        fits = min_norm(phi[:n], Y[:n]), ridge(phi[:n], Y[:n], lam=lam)
        points.append([*measure(fits[0], phi, Y), *measure(fits[1], phi, Y)])
    return np.transpose(points)    # (4, len(GROWTH))


# %% The penalty is chosen by leave-one-out, the test error is that of images beyond MOST
def chosen_lam(phi, Y):
    errors = leave_one_out(phi, Y, LAMS)               # (len(LAMS), n, 10)
    return LAMS[(errors ** 2).sum(axis=(1, 2)).argmin()]


def measure(beta, phi, Y):
    output, Y_test = phi[MOST:] @ beta, Y[MOST:]
    wrong = output.argmax(axis=1) != Y_test.argmax(axis=1)
    return wrong.mean(), ((output - Y_test) ** 2).sum(axis=1).mean()


curves = sweep(learning_curve, WIDTHS, repeats=DRAWS, seed=demo.seed, label=demo.data)
curves = Curves(*np.moveaxis(curves, 2, 0))
middle = Curves(*(np.median(values, axis=0) for values in curves))    # (len(WIDTHS), len(GROWTH))
HALF, EQUAL = GROWTH.index(0.5), GROWTH.index(1)                      # n = N/2, n = N

# %% Images: from N/2 of them to N the error grows, but not with ridge
PEAK = ("At n = N the fit amplifies what the features miss. If they miss little, the peak is low, and "
        "with few draws chance can hide it.")
RIDGE = ("Ridge is only as good as its penalty: leave-one-out of few images of classes that look "
         "alike can choose a poor one.")
for i, width in enumerate(WIDTHS):
    of = Curves(*(values[i] for values in middle))
    name = f"{width} features"
    demo.record(f"{name}: images", np.round(width * np.array(GROWTH)))
    demo.record(f"{name}: test error, minimum norm", of.error)
    demo.record(f"{name}: test error, ridge", of.ridge_error)
    demo.finding(f"{name}: the test error is largest at n = N (n / N)", GROWTH[of.error.argmax()],
                 within=(0.95, 1.05), why=PEAK)
    demo.finding(f"{name}: twice as many images, more errors (n = N / n = N/2)",
                 of.error[EQUAL] / of.error[HALF], above=1.3, why=PEAK)
    demo.finding(f"{name}: twice as many images, an even larger test loss (n = N / n = N/2)", of.loss[EQUAL] / of.loss[HALF],
                 above=5, why=PEAK)
    demo.finding(f"{name}: twice as many images, fewer errors with ridge (n = N / n = N/2)",
                 of.ridge_error[EQUAL] / of.ridge_error[HALF], below=1, why=RIDGE)
    demo.finding(f"{name}: with ridge more images never hurt (largest ratio of test losses)",
                 (of.ridge_loss[1:] / of.ridge_loss[:-1]).max(), below=1.05, why=RIDGE)

# %% Figure: on the left Gaussian features, with theory dashed
DARK = {BLUE: "#004b76", VERMILLION: "#8a3d00", GREEN: "#006749", ORANGE: "#7a5300"}
figure, (left, right) = plt.subplots(1, 2, figsize=(13, 5.8))
half, equal = 100 * middle.error[-1, [HALF, EQUAL]]
calm = 100 * middle.ridge_error[-1, [HALF, EQUAL]]
figure.suptitle(f"More data can hurt: {WIDTHS[-1]} features, {half:.0f} % errors after "
                f"{WIDTHS[-1] // 2} images ({demo.data}) and {equal:.0f} % after {WIDTHS[-1]}; ridge: {calm[0]:.0f} and {calm[1]:.0f} %")
for i, (color, marker, theory) in enumerate([
        (VERMILLION, "o", np.where(exact < np.inf, exact, np.nan)), (BLUE, "s", ridge_limit)]):
    shown = has_error | (i == 1)    # ridge has all moments
    band(left, N, risks[..., i], color=color, lw=0.8)
    left.errorbar(N[shown], mean[i][shown], 3 * error[i][shown], fmt=marker, ms=4, color=color,
                  elinewidth=1)
    left.plot(every, theory, "--", color=BLACK, lw=1.3, zorder=3)
left.annotate("", (again, exact[first - 1]), (first, exact[first - 1]),
              arrowprops=dict(arrowstyle="<->", color=BLACK, lw=1.2))
left.text(again + 1, exact[first - 1], f"as good as n = {first} again: n = {again}", va="bottom")
left.axvspan(P - 1.5, P + 1.5, color="0.93", lw=0, zorder=0)
left.text(P, 0.013, "infinite mean", rotation=90, ha="center", va="bottom", color="0.4")
left.text(P + 4, 12, "minimum norm: dots mean,\nline median, band 80 %", color=DARK[VERMILLION])
left.text(4, 0.25, "best ridge", color=DARK[BLUE])
left.set(yscale="log", ylim=(0.01, 100), xlabel="number of training samples n",
         ylabel=r"excess test error $\|\hat\beta - \beta\|^2$",
         title=f"{P} Gaussian features (theory dashed): the peak is at n = p")

# %% On the right images
images = np.multiply.outer(WIDTHS, GROWTH)
for i, (width, color, calm, style) in enumerate(zip(WIDTHS, (ORANGE, VERMILLION), (GREEN, BLUE),
                                                    ("-.", "-"))):
    look = dict(linestyle=style, ms=4)
    band(right, images[i], curves.error[:, i], color=color, marker="o", **look)
    band(right, images[i], curves.ridge_error[:, i], color=calm, marker="s", **look)
    right.axvline(width, color="0.6", linestyle=":", linewidth=1.5)
    right.annotate(f"N = {width}", (width, middle.error[i, EQUAL]), (12 * i - 6, 6),
                   color=DARK[color], textcoords="offset points", ha=("right", "left")[i])
    right.annotate(f"ridge, {width}", (images[i, 1], middle.ridge_error[i, 1]), (-2, -8),
                   ha="right", va="top", textcoords="offset points", color=DARK[calm])
ticks = [t for t in (10, 20, 50, 100, 200, 500, 1000) if images.min() / 2 < t <= images.max()]
right.set(xscale="log", ylim=(0, 1), xlabel="number of training images n", ylabel="test error",
          title=f"{demo.data}, N random Fourier features; dotted: n = N")
right.set_xticks(ticks, [f"{t:,}" for t in ticks])
right.minorticks_off()
demo.finish(figure)
