"""Can more training data make a model worse?

Nakkiran 2019, More data can hurt for linear regression; Nakkiran, Venkat, Kakade and Ma 2021,
Optimal regularization can mitigate double descent; MATH5836 week 10, section 10.1.3. The number of
features stays, and the number of samples n grows: double descent the other way round.

You will see the error of the minimum-norm fit against n, first for Gaussian features, where it is
known exactly (dashed), then for random Fourier features of handwritten digits. In either case once
more with ridge: with its best penalty, and with one that leave-one-out chooses from the training
images alone.

Predict first: a model with 200 features has seen 100 images, and it names six digits in seven. What
will 100 more images do to it? And 300 more?
"""
# %% Constants
import matplotlib.pyplot as plt
import numpy as np
from common import BLACK, BLUE, GREEN, ORANGE, VERMILLION, band, start

from tinyml.data import digits, make_linear, one_hot
from tinyml.interpolation.double_descent import min_norm_risk, optimal_lam, optimal_ridge_risk
from tinyml.interpolation.early_stopping import leave_one_out
from tinyml.interpolation.min_norm import min_norm, ridge
from tinyml.interpolation.random_features import fourier_features, sample_waves
from tinyml.sweep import sweep

demo = start(__file__, __doc__)
P = 30                                    # Gaussian features
SIGNAL, NOISE = 1.0, 0.25                 # ||beta||^2 (of make_linear), variance of the noise
REPEATS = 100 if demo.quick else 400      # training sets for every n
N = np.r_[2:22:2, 22:40, 40:100:2]        # samples
WIDTHS = [50, 100] if demo.quick else [100, 200]    # features of the digits
DRAWS = 3 if demo.quick else 7            # of images and of waves
GROWTH = [0.2, 0.35, 0.5, 0.7, 0.85, 0.95, 1, 1.05, 1.15, 1.3, 1.6, 2, 2.5, 3, 4, 5]    # images / N
BANDWIDTH = 2.0                           # of the waves; two digits are some 3 apart
LAMS = np.geomspace(1e-6, 1, 19)          # penalties for leave-one-out to choose from


# %% Experiment 1: Gaussian features, a linear truth
def trial(n, rng):
    """The excess risks of the minimum norm and of the best ridge, given one training set: (2,).

    For x ~ N(0, I) the excess risk E (x'b - x'beta)^2 is ||b - beta||^2: it takes no test set.
    """
    X, y, beta = make_linear(n, P, sigma=np.sqrt(NOISE), rng=rng)
    lam = optimal_lam(P / n, signal=SIGNAL, sigma2=NOISE)
    fits = np.array([min_norm(X, y), ridge(X, y, lam=lam)])
    return ((fits - beta) ** 2).sum(axis=1)


# %% Experiment 2: digits. One model meets more and more images; the same waves, the same test set
IMAGES, LABELS = digits()
MOST = round(max(WIDTHS) * max(GROWTH))


def learning_curve(width, rng):
    """Shape (len(GROWTH), 4): test error and loss of the minimum norm, then those of ridge."""
    order = rng.permutation(len(IMAGES))
    waves = sample_waves(IMAGES.shape[1], n_features=width, bandwidth=BANDWIDTH, rng=rng)
    phi = fourier_features(IMAGES[order].astype(float), *waves)
    Y = one_hot(LABELS[order], 10).astype(float)
    sizes = (round(growth * width) for growth in GROWTH)
    return [measure(phi[:n], Y[:n], phi[MOST:], Y[MOST:]) for n in sizes]


def measure(phi, Y, phi_test, Y_test):
    """Test error and loss of the minimum norm, and of ridge with the penalty of leave-one-out."""
    errors = leave_one_out(phi, Y, LAMS)                  # (len(LAMS), n, 10)
    lam = LAMS[(errors ** 2).sum(axis=(1, 2)).argmin()]
    row = []
    for beta in (min_norm(phi, Y), ridge(phi, Y, lam=lam)):
        output = phi_test @ beta
        row.append(np.mean(output.argmax(1) != Y_test.argmax(1)))
        row.append(((output - Y_test) ** 2).sum(1).mean())
    return row


risks = sweep(trial, N.tolist(), repeats=REPEATS, seed=demo.seed, label="Gaussian features")
curves = sweep(learning_curve, WIDTHS, repeats=DRAWS, seed=demo.seed, label="digits")

# %% What the runs say
mean, median = risks.mean(axis=0), np.median(risks, axis=0)           # (len(N), 2)
error = risks.std(axis=0, ddof=1) / np.sqrt(REPEATS)
every = np.arange(1, N[-1] + 1)
exact = min_norm_risk(every, P, signal=SIGNAL, sigma2=NOISE)
ridge_limit = optimal_ridge_risk(P / every, signal=SIGNAL, sigma2=NOISE)
# The risk has a moment of order m if and only if |n - p| + 1 > 2 m (inverse Wishart). A standard
# error takes m = 2; for an average of some hundreds to be as good as normal it takes about m = 3.
has_error, settled = np.abs(N - P) >= 4, np.abs(N - P) >= 6
deviation = np.abs(mean[:, 0] - exact[N - 1]) / error[:, 0]
first = every[:P][exact[:P].argmin()]                                 # the best n < p
again = P + 1 + np.argmax(exact[P:] <= exact[first - 1])              # as good as that again
peak, before = (median[N == n, 0][0] for n in (P, first))
rise = np.diff(mean[:, 1]) / np.hypot(error[1:, 1], error[:-1, 1])
middle = np.median(curves, axis=0)                                    # (widths, len(GROWTH), 4)
fewer, equal = middle[:, GROWTH.index(0.5)], middle[:, GROWTH.index(1)]    # n = N/2, n = N

# %% Figure
DARK = {BLUE: "#004b76", VERMILLION: "#8a3d00", GREEN: "#006749", ORANGE: "#7a5300"}
figure, (left, right) = plt.subplots(1, 2, figsize=(13, 5.8))
figure.suptitle(f"More data can hurt: {WIDTHS[-1]} features leave {100 * fewer[-1, 0]:.0f} % "
                f"errors after {WIDTHS[-1] // 2} digits, {100 * equal[-1, 0]:.0f} % after "
                f"{WIDTHS[-1]}; not with ridge")

for column, color, marker, theory in ((0, VERMILLION, "o", np.where(exact < np.inf, exact, np.nan)),
                                      (1, BLUE, "s", ridge_limit)):
    shown = has_error | (column == 1)    # ridge has all moments
    band(left, N, risks[..., column], color=color, lw=0.8)
    left.errorbar(N[shown], mean[shown, column], 3 * error[shown, column], fmt=marker, ms=4,
                  color=color, elinewidth=1)
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

for i, (width, color, calm, style) in enumerate(zip(WIDTHS, (ORANGE, VERMILLION), (GREEN, BLUE),
                                                    ("-.", "-"))):
    images = np.round(width * np.array(GROWTH))
    band(right, images, curves[:, i, :, 0], color=color, linestyle=style, marker="o", ms=4)
    band(right, images, curves[:, i, :, 2], color=calm, linestyle=style, marker="s", ms=4)
    right.axvline(width, color="0.6", linestyle=":", linewidth=1.5)
    right.annotate(f"N = {width}", (width, equal[i, 0]), (12 * i - 6, 6), color=DARK[color],
                   textcoords="offset points", ha=("right", "left")[i])
    right.annotate(f"ridge, {width}", (images[1], middle[i, 1, 2]), (-2, -8), ha="right",
                   va="top", textcoords="offset points", color=DARK[calm])
ticks = [10, 20, 50, 100, 200, 500, 1000]
right.set(xscale="log", ylim=(0, 1), xlabel="number of training images n", ylabel="test error",
          title="Digits, N random Fourier features: the peak is at n = N")
right.set_xticks([t for t in ticks if images[0] / 4 < t <= images[-1]],
                 [f"{t:,}" for t in ticks if images[0] / 4 < t <= images[-1]])
right.minorticks_off()

# %% Claims
demo.record("best n < p, and as good again (theory)", [int(first), int(again)])
demo.record(f"excess error at n = {first}, at n = p (medians)", [before, peak])
for i, width in enumerate(WIDTHS):
    demo.record(f"{width} features: images", np.round(width * np.array(GROWTH)))
    demo.record(f"{width} features: test error, minimum norm", middle[i, :, 0])
    demo.record(f"{width} features: test error, ridge", middle[i, :, 2])
demo.claim("exact risk within 3 standard errors of the measured mean, |n - p| >= 6 (share of points)",
           np.mean(deviation[settled] <= 3), at_least=0.95)
demo.claim("the median risk peaks at n = p (distance from p)", abs(N[median[:, 0].argmax()] - P),
           at_most=0)
demo.claim("at n = p it is far above that of the best n < p, with less data (ratio of medians)",
           peak / before, above=8)
demo.claim("the best ridge: more data never hurts (largest rise of the mean, in standard errors)",
           rise.max(), at_most=3.5)
demo.claim("and it is better than the minimum norm at every n (largest ratio of means)",
           (mean[:, 1] / mean[:, 0]).max(), below=1)
for i, width in enumerate(WIDTHS):
    name = f"digits, {width} features"
    demo.claim(f"{name}: the test error is largest at n = N (n / N)",
               GROWTH[middle[i, :, 0].argmax()], within=(0.95, 1.05))
    demo.claim(f"{name}: twice as many images, more errors (n = N / n = N/2)",
               equal[i, 0] / fewer[i, 0], above=1.3)
    demo.claim(f"{name}: the test loss grows even more (ratio)", equal[i, 1] / fewer[i, 1], above=5)
    demo.claim(f"{name}: with ridge they make fewer errors (ratio)", equal[i, 2] / fewer[i, 2],
               below=1)
    demo.claim(f"{name}: with ridge no step to more images hurts (largest ratio of test losses)",
               (middle[i, 1:, 3] / middle[i, :-1, 3]).max(), below=1.05)
demo.finish(figure)
