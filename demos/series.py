"""What must two views of a sensor's series have in common?

MATH5836 week 10, section 10.3.2, step 1; Eldele et al. 2021, TS-TCC, section 3.1; Um et al. 2017. Three sensors
on a moving body record one of six activities, which differ in how the sensors move together: the ratios of
their frequencies, their phases, short shocks. How strong, how fast and when is chance.

You will see two series of every activity; how much each kind of view changes the strength, the speed and the
timing of a series, and the phase between two of its sensors, the only one of these that the class depends on;
and how far raw values, power spectra and cross spectra get with a few labels.

Predict first: a view that cuts a series to pieces and shuffles them looks violent. What of the above survives
it? And a power spectrum shows every frequency of every sensor: can it tell a turn to the left from one to the
right?
"""
# %% Constants
import matplotlib.pyplot as plt
import numpy as np
from common import BLACK, BLUE, GREEN, VERMILLION, band, start

from tinyml.selfsupervised.downstream import linear_probe
from tinyml.selfsupervised.label_efficiency import draw_labels
from tinyml.selfsupervised.series import (ACTIVITIES, crop, jitter, make_activities, permute, resized_crop, scale,
                                          zero)
from tinyml.train import accuracy

demo = start(__file__, __doc__)
N = 600 if demo.quick else 1800         # series to draw labels from, and as many to test
DRAWS = 8 if demo.quick else 40         # of the labels
PER_CLASS = (1, 2, 5, 10, 50)           # labels
LENGTH = 128                            # times
VIEWS = {
    "jitter 0.3": jitter(strength=0.3), "scale 0.3": scale(strength=0.3), "zero 0.2": zero(fraction=0.2),
    "permute 5": permute(segments=5), "crop 96": crop(size=96), "resized crop 0.6": resized_crop(smallest=0.6),
}
PROPERTIES = ["strength", "speed", "timing", "phase between\nsensors"]

# %% Data
X, y = make_activities(N, length=LENGTH, rng=demo.rng)
X_test, y_test = make_activities(N, length=LENGTH, rng=demo.rng)
names = list(ACTIVITIES)


# %% Model: three hand-made features
def spectrum(x):
    return np.fft.rfft(x - x.mean(axis=2, keepdims=True))[:, :, 1:41]


def power(x):
    """ln(1 + |F_c(f)|), which knows no phase."""
    return np.log1p(np.abs(spectrum(x)))


def cross(x):
    """The power, and F_a(f) F_b(f)* of each pair of sensors over its mean size: what an expert would ask for."""
    F = spectrum(x)
    pairs = F * np.roll(F, 1, axis=1).conj()
    pairs = pairs / np.abs(pairs).mean(axis=2, keepdims=True)
    return np.concatenate([np.log1p(np.abs(F)), pairs.real, pairs.imag], axis=1)


FEATURES = {"raw values": (lambda x: x, BLACK), "power spectra": (power, BLUE), "cross spectra": (cross, GREEN)}


# %% Experiment 1: what does a view change?
def properties(x):
    """Of each series of steady motion: ln strength, ln frequency, and two phases in turns, shape (4, N)."""
    F = spectrum(x * np.hanning(x.shape[2]))
    peak = np.abs(F[:, 0, 2:]).argmax(axis=1) + 2
    first, second = np.take_along_axis(F[:, :2], peak[:, None, None], axis=2)[:, :, 0].T
    turns = np.angle([first, second / first]) / (2 * np.pi)
    return np.array([np.log(x[:, 0].std(axis=1)), np.log((peak + 1) / x.shape[2]), *turns])


def change(view, x, rng):
    """The median change of each property: ratios in %, phases in % of the half turn that is most."""
    d = np.abs(properties(view(x, rng)) - properties(x))
    d[2:] = 2 * np.minimum(d[2:], 1 - d[2:])
    d[:2] = np.expm1(d[:2])
    return 100 * np.median(d, axis=1)


calm, label = make_activities(N, length=LENGTH, noise=0, rng=demo.rng)
calm = calm[label < 3]                       # sway and turns: all sensors at one frequency
changes = np.array([change(view, calm, demo.rng) for view in VIEWS.values()])     # (views, properties)


# %% Experiment 2: a few labels on hand-made features
def probe(f, per_class, rng, classes=tuple(range(6))):
    """Test accuracy of a linear probe on f(x), features of length 1, from a new draw of labels."""
    of = lambda X, y: np.isin(y, classes)
    (Z, labels), (Z_test, target) = (
        (f(x[of(x, t)]).reshape(of(x, t).sum(), -1), np.searchsorted(classes, t[of(x, t)]))
        for x, t in ((X, y), (X_test, y_test)))
    mean = Z.mean(axis=0)
    Z, Z_test = ((z - mean) / np.linalg.norm(z - mean, axis=1, keepdims=True) for z in (Z, Z_test))
    rows = draw_labels(labels, per_class, rng=rng)
    return accuracy(linear_probe(Z[rows], labels[rows], l2=1e-3), Z_test, target)


def curve(f, label):
    return np.array([[probe(f, n, rng) for n in PER_CLASS]
                     for rng in demo.progress(demo.rng.spawn(DRAWS), label)])


curves = {name: curve(f, name) for name, (f, _) in FEATURES.items()}              # (draws, labels)
turns = [names.index("turn left"), names.index("turn right")]
turning = {name: np.mean([probe(f, 50, rng, turns) for rng in demo.rng.spawn(4)])
           for name, (f, _) in FEATURES.items()}

# %% Figure: the activities, what views change, hand-made features
figure = plt.figure(figsize=(13, 9.6))
figure.suptitle(f"Views move strength, speed and timing by up to {changes[:, :3].max():.0f} %, "
                f"the phase between sensors by {changes[:, 3].max():.0f} %")
upper, lower = figure.subfigures(2, 1, height_ratios=[1, 1.05])
upper.suptitle("Two series of each activity, three sensors above one another", x=0.01, ha="left", size=12,
               weight="normal")
t = np.arange(LENGTH)


def draw_series(ax, x, title=""):
    for c, (values, color) in enumerate(zip(x, (BLUE, VERMILLION, GREEN))):
        ax.plot(t, values - 7 * c, color=color, lw=1)
    ax.set(title=title, yticks=[], xticks=[], ylim=(-18, 6))
    ax.grid(False)
    ax.spines[:].set_visible(False)


cells = upper.subplots(2, 6)
for k, name in enumerate(names):
    for row, ax in enumerate(cells[:, k]):
        draw_series(ax, X[y == k][row], name if row == 0 else "")
        if row:
            ax.set_xlabel("time")


def draw_changes(ax):
    ax.imshow(np.minimum(changes, 60), cmap="Blues", aspect="auto", vmin=0, vmax=75)
    for i, row in enumerate(changes):
        for j, value in enumerate(row):
            ax.text(j, i, f"{value:.0f} %", ha="center", va="center", color="white" if value > 40 else "black")
    ax.set(xticks=range(4), xticklabels=PROPERTIES, yticks=range(len(VIEWS)), yticklabels=VIEWS,
           title="How much a view changes (median)")
    ax.tick_params(length=0)
    ax.grid(False)
    ax.spines[:].set_visible(False)


def draw_curves(ax):
    for name, (_, color) in FEATURES.items():
        line = band(ax, PER_CLASS, 100 * curves[name], color=color, marker="o", ms=4)
        ax.annotate(name, (PER_CLASS[-1], 100 * np.median(curves[name][:, -1])), xytext=(8, 0), va="center",
                    textcoords="offset points", color=line.get_color())
    ax.axhline(100 / 6, color="0.4", linestyle="--", lw=1.2)
    ax.text(PER_CLASS[0], 100 / 6 - 1, "chance", va="top", color="0.3")
    ax.set(xscale="log", xticks=PER_CLASS, xticklabels=PER_CLASS, xlim=(0.9, 170), ylim=(0, 100),
           xlabel="labels per class", ylabel="test accuracy, %", title=f"Hand-made features, {DRAWS} draws of labels")
    ax.minorticks_off()


left, right = lower.subplots(1, 2, width_ratios=[1, 1.2])
draw_changes(left)
draw_curves(right)

# %% Claims
for name, row in zip(VIEWS, changes):
    demo.record(f"{name}: change of strength, speed, timing, phase", row, "%")
for name, scores in curves.items():
    demo.record(f"{name}: accuracy by labels per class", 100 * scores.mean(axis=0), "%")
    demo.record(f"{name}: left or right, 50 labels each", 100 * turning[name], "%")
demo.claim("no view changes the phase between sensors by much (largest median, % of half a turn)",
           changes[:, 3].max(), at_most=10)
demo.claim("shuffling changes the timing, and that far more than the phase (ratio of the medians)",
           changes[3, 2] / max(changes[3, 3], 0.1), at_least=5)
demo.claim("a resized crop alone changes the speed by much (ratio to the next)",
           changes[5, 1] / max(np.delete(changes[:, 1], 5).max(), 1), at_least=2)
demo.claim("raw values are worth little with 10 labels per class (accuracy, %)",
           100 * curves["raw values"][:, 3].mean(), at_most=33)
demo.claim("power spectra cannot tell left from right (accuracy of two, %)", 100 * turning["power spectra"],
           within=(35, 65))
demo.claim("cross spectra can (accuracy of two, %)", 100 * turning["cross spectra"], at_least=75)
demo.finish(figure)
