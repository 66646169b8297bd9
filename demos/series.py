"""What do two views of a sensor's series have in common?

MATH5836 week 10, section 10.3.2, step 1; Eldele et al. 2021, TS-TCC, section 3.1; Um et al.
2017. Three sensors on a moving body record one of six activities. The activities differ in how
the sensors move together: the ratios of their frequencies, their phases, short shocks.
Strength, speed and timing are random.

You will see a series of every activity; how much each kind of view changes the strength, the
speed and the timing of a series, and the phase between two sensors, of which only the last
tells the class; and the accuracy of linear probes on raw values, power spectra and cross
spectra with few labels.

Predict first: a view that cuts a series into pieces and shuffles them looks violent. Which of
these properties does it keep? And a power spectrum shows every frequency of every sensor: can it
tell a left turn from a right one?
"""
# %% Constants
import matplotlib.pyplot as plt
import numpy as np
from common import BLUE, GREEN, VERMILLION, start
from panels import reference, scores

from tinyml import Tensor
from tinyml.selfsupervised.downstream import UnitLength, linear_probe
from tinyml.selfsupervised.label_efficiency import draw_labels
from tinyml.selfsupervised.series import (
    ACTIVITIES,
    crop,
    jitter,
    make_activities,
    permute,
    resized_crop,
    scale,
    zero,
)
from tinyml.train import accuracy

demo = start(__file__, __doc__)
N = 600 if demo.quick else 1800         # series to draw labels from, and as many to test
DRAWS = 8 if demo.quick else 40         # of the labels
PER_CLASS = (1, 2, 5, 10, 50)           # labels
LENGTH = 128                            # times
VIEWS = {
    "jitter 0.3": jitter(strength=0.3), "scale 0.3": scale(strength=0.3),
    "zero 0.2": zero(fraction=0.2),
    "permute 5": permute(segments=5), "crop 96": crop(size=96),
    "resized crop 0.6": resized_crop(smallest=0.6),
}
PROPERTIES = ["strength", "speed", "timing", "phase between\nsensors"]
LEFT, RIGHT = (list(ACTIVITIES).index(name) for name in ("turn left", "turn right"))

# %% Data: the series have no labels to begin with
X, y = make_activities(N, length=LENGTH, rng=demo.rng)
X_test, y_test = make_activities(N, length=LENGTH, rng=demo.rng)
steady, label = make_activities(N, length=LENGTH, sigma=0, rng=demo.rng)
steady = steady[label <= RIGHT]         # sway and turns: one frequency in all sensors, no noise


# %% Experiment 1: strength, speed and timing of a series, and the phase between two sensors
def properties(x):
    """Logarithms of strength and frequency, and the two phases in turns, shape (4, N)."""
    spectrum = np.fft.rfft(x * np.hanning(x.shape[2]))
    peak = np.abs(spectrum[:, 0, 3:]).argmax(axis=1) + 3
    n = np.arange(len(x))
    first, second = spectrum[n, 0, peak], spectrum[n, 1, peak]
    strength = np.log(x[:, 0].std(axis=1))
    speed = np.log(peak / x.shape[2])
    timing = np.angle(first) / (2 * np.pi)
    phase = np.angle(second / first) / (2 * np.pi)
    return np.array([strength, speed, timing, phase])


def change(view, x, rng):
    """The median change of each property in %; of a phase, in % of half a turn."""
    difference = np.abs(properties(view(x, rng)) - properties(x))
    ratios, turns = np.expm1(difference[:2]), difference[2:]
    half_turns = 2 * np.minimum(turns, 1 - turns)
    return 100 * np.median(np.concatenate([ratios, half_turns]), axis=1)


changes = [change(view, steady, demo.rng) for view in VIEWS.values()]
changes = np.array(changes)             # (views, properties)

# %% What does each view keep?
strength, speed, timing, phase = changes.T
shuffled, resized = list(VIEWS).index("permute 5"), list(VIEWS).index("resized crop 0.6")
for name, row in zip(VIEWS, changes):
    demo.record(f"{name}: change of strength, speed, timing, phase", row, "%")
demo.claim("no view changes the phase between sensors by much (largest median, % of half a turn)",
           phase.max(),
           at_most=10)
demo.claim("shuffling changes the timing far more than the phase (ratio of the medians)",
           timing[shuffled] / max(phase[shuffled], 0.1), at_least=5)
demo.claim("only a resized crop changes the speed much (ratio to the next)",
           speed[resized] / max(np.delete(speed, resized).max(), 1), at_least=2)


# %% Experiment 2: three kinds of features that need no training
def spectra(x):
    return np.fft.rfft(x - x.mean(axis=2, keepdims=True))[:, :, 1:41]


def power(x):
    """ln(1 + |F_c(f)|), which has no phase."""
    return np.log1p(np.abs(spectra(x)))


def cross(x):
    """The power, and F_a(f) F_b(f)* for pairs of sensors: what an expert would choose."""
    F = spectra(x)
    pairs = F * np.roll(F, 1, axis=1).conj()
    pairs = pairs / np.abs(pairs).mean(axis=2, keepdims=True)
    return np.concatenate([power(x), pairs.real, pairs.imag], axis=1)


def features(f):
    """Training and test features of length 1, seen from their mean."""
    train, test = f(X).reshape(N, -1), f(X_test).reshape(N, -1)
    unit = UnitLength(train.mean(axis=0))
    return unit(Tensor(train)).data, unit(Tensor(test)).data


kinds = {"cross spectra": features(cross), "power spectra": features(power),
         "raw values": features(np.asarray)}


# %% ... and a linear probe with few labels
def probed(train, test, rng):
    """Test accuracies with each number of labels, from a new draw."""
    draws = [draw_labels(y, n, rng=rng) for n in PER_CLASS]
    heads = [linear_probe(train[rows], y[rows], l2=1e-3, tolerance=1e-4) for rows in draws]
    return [accuracy(head, test, y_test) for head in heads]


curves = {}
for name, parts in kinds.items():
    rngs = demo.progress(demo.rng.spawn(DRAWS), name)
    curves[name] = np.array([probed(*parts, rng) for rng in rngs])    # (DRAWS, len(PER_CLASS))


# %% Left or right: the two turns alone, with 50 labels each
def tell_turns(train, test, rng):
    rows = np.flatnonzero((y == LEFT) | (y == RIGHT))
    rows = rows[draw_labels(y[rows], 50, rng=rng)]
    head = linear_probe(train[rows], y[rows] - LEFT, l2=1e-3)
    is_turn = (y_test == LEFT) | (y_test == RIGHT)
    return accuracy(head, test[is_turn], y_test[is_turn] - LEFT)


turning = {name: 100 * np.median([tell_turns(*parts, rng) for rng in demo.rng.spawn(5)])
           for name, parts in kinds.items()}

# %% What can these features tell?
for name, values in curves.items():
    demo.record(f"{name}: median accuracy by labels per class", 100 * np.median(values, axis=0),
                "%")
    demo.record(f"{name}: left or right, 50 labels each", turning[name], "%")
demo.claim("raw values tell little with 10 labels per class (median accuracy, %)",
           100 * np.median(curves["raw values"][:, 3]), at_most=33)
demo.claim("power spectra cannot tell left from right (accuracy, % of two classes)",
           turning["power spectra"],
           within=(35, 65))
demo.claim("cross spectra can tell left from right (accuracy, % of two classes)", turning["cross spectra"],
           at_least=75)

# %% Figure
figure = plt.figure(figsize=(13, 8.6))
figure.suptitle(f"Views change strength, speed and timing by up to {changes[:, :3].max():.0f} %, "
                f"the phase between sensors by at most {phase.max():.0f} %")
grid = figure.add_gridspec(2, 2, height_ratios=[0.8, 1], width_ratios=[1, 1.2])
top = figure.add_subplot(grid[0, :])
left, right = figure.add_subplot(grid[1, 0]), figure.add_subplot(grid[1, 1])
for k, name in enumerate(ACTIVITIES):
    begin = 1.15 * k * LENGTH
    for sensor, color in enumerate((BLUE, VERMILLION, GREEN)):
        top.plot(begin + np.arange(LENGTH), X[y == k][0][sensor] - 7 * sensor, color=color,
                 linewidth=1)
    top.text(begin + LENGTH / 2, 6, name, ha="center")
top.set(title="One series of each activity, its three sensors one below the other", xlabel="time",
        xticks=[],
        yticks=[], ylim=(-19, 8))
top.grid(False)
top.spines[:].set_visible(False)

# %% Figure: the table of changes, and the probes
left.imshow(np.minimum(changes, 60), cmap="Blues", aspect="auto", vmin=0, vmax=75)
for (i, j), value in np.ndenumerate(changes):
    left.text(j, i, f"{value:.0f} %", ha="center", va="center",
              color="white" if value > 40 else "black")
left.set_xticks(range(4), PROPERTIES)
left.set_yticks(range(len(VIEWS)), VIEWS)
left.set_title("Median change by each view (phases: of half a turn)")
left.tick_params(length=0)
left.grid(False)
left.spines[:].set_visible(False)
scores(right, PER_CLASS, curves, xlabel="labels per class", ylim=(0, 100),
       title=f"Linear probes on hand-made features, {DRAWS} draws of labels")
right.legend(loc="upper left", fontsize=10)
reference(right, 100 / 6, "chance", x=0.9)
demo.finish(figure)
