"""Can a network that only ever guessed the future tell a left turn from a right one, with one label each?

MATH5836 week 10, sections 10.3.1 and 10.3.2; Eldele et al. 2021, TS-TCC. The data are series of three sensors
that record one of six activities (demos/series.py). From the past of one view the network predicts the future
of the other (temporal contrasting), and its summaries of both pasts shall agree (contextual contrasting). No
label is used. Then a linear probe on the context of a whole series gets 1 to 50 labels per class.

You will see a series with its weak and its strong view; both losses beside their chance lines, ln B and
ln(2B - 1); and the accuracy on series never seen, against the number of labels, beside raw values, power and
cross spectra, the same network untrained, each of the two tasks alone, and views that change the speed too.

Predict first: the strong view is shuffled, so its future does not follow on the past of the weak view. What is
left to predict? Which of the two tasks matters when labels are fewest, and which when there are many? And do
crops help, which hide how fast things go? (With many labels that depends on the seed: try --seed 1.)
"""
# %% Constants
from copy import deepcopy

import matplotlib.pyplot as plt
import numpy as np
from common import BLACK, BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILLION, start

from tinyml import nn
from tinyml.optim import Adam
from tinyml.selfsupervised.augmentations import compose
from tinyml.selfsupervised.downstream import extract_features, linear_probe
from tinyml.selfsupervised.label_efficiency import draw_labels
from tinyml.selfsupervised.series import ACTIVITIES, jitter, make_activities, permute, resized_crop, scale
from tinyml.selfsupervised.ts_tcc import TSTCC, MeanOverTime, SeriesEncoder, pretrain
from tinyml.train import accuracy

demo = start(__file__, __doc__)
N, N_TEST = (384, 240) if demo.quick else (1200, 600)    # series without labels, and to test
EPOCHS = 3 if demo.quick else 14
BATCH = 32 if demo.quick else 64
DIM, STEPS, LR = 64, 4, 3e-3                             # D, K, the rate of Adam
DRAWS = 4 if demo.quick else 12                          # of labels
PER_CLASS = (1, 5) if demo.quick else (1, 2, 5, 10, 50)  # labels
LEAD = 0.1 if demo.quick else 0.2                        # of TS-TCC with one label each

VIEWS = {"weak": compose(jitter(strength=0.3), scale(strength=0.3)),
         "strong": compose(permute(segments=5), jitter(strength=0.3))}
CROPPED = {name: compose(resized_crop(smallest=0.6), view) for name, view in VIEWS.items()}
PRETEXTS = {    # name: (options of pretrain, colour)
    "TS-TCC": (VIEWS, BLUE),
    "temporal task alone": (VIEWS | {"lambda2": 0}, GREEN),
    "contextual task alone": (VIEWS | {"lambda1": 0}, VERMILLION),
    "TS-TCC, crops of any speed": (CROPPED, SKY),
}
if demo.quick:
    del PRETEXTS["TS-TCC, crops of any speed"]

# %% Data
X, y = make_activities(N, rng=demo.rng)
X_test, y_test = make_activities(N_TEST, rng=demo.rng)

# %% Model
untrained = TSTCC(SeriesEncoder(3, DIM, rng=demo.rng), DIM, steps=STEPS, rng=demo.rng)


def summary(model):
    """A whole series to its context (N, D)."""
    return nn.Sequential(model.encoder, model.context)


# %% Experiment 1: pretext tasks, all from the same start
def pretrained(name):
    model, rng = deepcopy(untrained), np.random.default_rng(demo.seed)
    history = pretrain(model, X, rng=rng, optimizer=Adam(model.parameters(), lr=LR), epochs=EPOCHS,
                       batch_size=BATCH, label=name, **PRETEXTS[name][0])
    return model, {key: np.array([row[key] for row in history]) for key in ("temporal", "contextual")}


models, losses = {}, {}
for name in PRETEXTS:
    models[name], losses[name] = pretrained(name)


# %% Experiment 2: linear probes with few labels, the same for all features
def power(x):
    """ln(1 + |F_c(f)|), the power spectrum of each sensor, which knows no phase."""
    return np.log1p(np.abs(np.fft.rfft(x - x.mean(axis=2, keepdims=True))[:, :, 1:41]))


def cross(x):
    """The power, and F_a(f) F_b(f)* of each pair of sensors over its mean size: what an expert would ask for."""
    F = np.fft.rfft(x - x.mean(axis=2, keepdims=True))[:, :, 1:41]
    pairs = F * np.roll(F, 1, axis=1).conj()
    pairs = pairs / np.abs(pairs).mean(axis=2, keepdims=True)
    return np.concatenate([power(x), pairs.real, pairs.imag], axis=1)


def curve(features):
    """Test accuracy of probes on features(x), each of length 1 around their mean, shape (draws, labels)."""
    Z, Z_test = (features(x).reshape(len(x), -1) for x in (X, X_test))
    mean = Z.mean(axis=0)
    Z, Z_test = ((z - mean) / np.linalg.norm(z - mean, axis=1, keepdims=True) for z in (Z, Z_test))

    def score(n, draw):
        rows = draw_labels(y, n, rng=np.random.default_rng([demo.seed, n, draw]))
        return accuracy(linear_probe(Z[rows], y[rows], l2=1e-3, tolerance=1e-4), Z_test, y_test)

    return np.array([[score(n, draw) for n in PER_CLASS] for draw in range(DRAWS)])


def of(encoder):
    return lambda x: extract_features(encoder, x)


features = {name: of(summary(model)) for name, model in models.items()} | {
    "untrained network": of(nn.Sequential(untrained.encoder, MeanOverTime())),    # its better features
    "cross spectra": cross, "power spectra": power, "raw values": lambda x: x}
colors = {name: color for name, (_, color) in PRETEXTS.items()} | {
    "untrained network": ORANGE, "cross spectra": PURPLE, "power spectra": "0.55", "raw values": BLACK}
curves = {name: curve(f) for name, f in demo.progress(list(features.items()), "probes")}
means = {name: scores.mean(axis=0) for name, scores in curves.items()}
mean_features = curve(of(nn.Sequential(models["TS-TCC"].encoder, MeanOverTime()))).mean(axis=0)

# %% Figure: views, losses, label efficiency
figure = plt.figure(figsize=(13, 9.8))
figure.suptitle(f"With one label per activity {100 * means['TS-TCC'][0]:.0f} % of new series are named rightly, "
                f"from raw values {100 * means['raw values'][0]:.0f} %")
upper, lower = figure.subfigures(2, 1, height_ratios=[1, 1.35])
cells = upper.subplots(1, 4, width_ratios=[1, 1, 1, 1.5])


def draw_series(ax, x, title):
    for c, (values, color) in enumerate(zip(x, (BLUE, VERMILLION, GREEN))):
        ax.plot(values - 6 * c, color=color, lw=1)
    ax.set(title=title, yticks=[], xticks=[], xlabel="time", ylim=(-16, 5))
    ax.grid(False)
    ax.spines[:].set_visible(False)


def draw_losses(ax):
    epochs = np.arange(1, EPOCHS + 1)
    for key, chance, color, text in (("temporal", np.log(BATCH), GREEN, "ln B"),
                                     ("contextual", np.log(2 * BATCH - 1), VERMILLION, "ln(2B - 1)")):
        other = "contextual task alone" if key == "temporal" else "temporal task alone"
        ax.plot(epochs, losses["TS-TCC"][key], color=color, marker="os"[key == "contextual"], ms=4, label=key)
        ax.plot(epochs, losses[other][key], color=color, ls=":", lw=1.4, label=f"{key}, not trained on")
        ax.axhline(chance, color=color, ls="--", lw=1.1)
        ax.text(1.02, chance, text, transform=ax.get_yaxis_transform(), va="center")
    ax.set(xlabel="epoch", ylabel="loss", title=f"Losses and chance, B = {BATCH}", ylim=(0, None),
           xticks=range(1, EPOCHS + 1, 1 if demo.quick else 3))
    ax.legend(loc="lower left", fontsize=9)


def apart(heights, least):
    """Heights, in descending order, moved so that neighbours are `least` apart."""
    places = list(heights[:1])
    for height in heights[1:]:
        places.append(min(height, places[-1] - least))
    return places


def draw_curves(ax):
    order = sorted(curves, key=lambda name: -means[name][-1])
    for name, place in zip(order, apart([100 * means[name][-1] for name in order], 4.6)):
        low, high = np.percentile(100 * curves[name], [10, 90], axis=0)
        line, = ax.plot(PER_CLASS, 100 * means[name], color=colors[name], marker="o", ms=4,
                        ls="-" if name in PRETEXTS else "--", lw=2.8 if name == "TS-TCC" else 1.8)
        ax.fill_between(PER_CLASS, low, high, color=colors[name], alpha=0.12, lw=0)
        ax.annotate(name, (PER_CLASS[-1], 100 * means[name][-1]), xytext=(1.12 * PER_CLASS[-1], place),
                    va="center", color=line.get_color(), annotation_clip=False)
    ax.axhline(100 / len(ACTIVITIES), color="0.4", ls=":", lw=1.2)
    ax.text(PER_CLASS[0], 100 / len(ACTIVITIES) - 1, "chance", va="top", color="0.3")
    ax.set(xscale="log", xticks=PER_CLASS, xticklabels=PER_CLASS, ylim=(0, 100),
           xlim=(0.92, PER_CLASS[-1] * (1.9 if demo.quick else 3.2)), xlabel="labels per class",
           ylabel="test accuracy, %", title=f"Linear probes: mean of {DRAWS} draws of labels, band from 10 to 90 %")
    ax.minorticks_off()


shown = X[[1]].repeat(8, axis=0)    # a turn to the left
draw_series(cells[0], shown[0], list(ACTIVITIES)[1])
for ax, name in zip(cells[1:], ("weak", "strong")):
    views = VIEWS[name](shown, np.random.default_rng(demo.seed))
    furthest = np.abs(views - shown).mean(axis=(1, 2)).argmax()    # a shuffle may also leave the order
    draw_series(ax, views[furthest], f"a {name} view of it")
draw_losses(cells[3])
draw_curves(lower.subplots())

# %% Claims
for name in PRETEXTS:
    for key, values in losses[name].items():
        demo.record(f"{name}: {key} loss, last epoch", values[-1])
for name, row in means.items():
    demo.record(f"{name}: accuracy", 100 * row, "% with " + ", ".join(map(str, PER_CLASS)) + " labels per class")
demo.record("TS-TCC, mean of z instead of c: accuracy", 100 * mean_features, "%")
gap = {key: chance - losses["TS-TCC"][key][-1]
       for key, chance in (("temporal", np.log(BATCH)), ("contextual", np.log(2 * BATCH - 1)))}
demo.claim("both losses fall below chance (smaller distance, nats)", min(gap.values()),
           at_least=0.3 if demo.quick else 1)
# A contrastive loss L over m candidates bounds what two views share: I >= ln m - L (Oord et al. 2018).
# Training on a task raises its bound. Whether a linear probe profits is not promised: a finding.
gained = {key: losses[other][key][-1] - losses["TS-TCC"][key][-1]
          for key, other in (("temporal", "contextual task alone"), ("contextual", "temporal task alone"))}
demo.claim("each loss ends lower if it is trained on: the views share more (smaller gain, nats)",
           min(gained.values()), above=0)
demo.claim("one label per class: better than the same network untrained (lead)",
           means["TS-TCC"][0] - means["untrained network"][0], at_least=LEAD)
demo.claim("and than cross spectra (lead)", means["TS-TCC"][0] - means["cross spectra"][0],
           at_least=LEAD)
demo.claim("with the fewest labels raw values are near chance (accuracy)", means["raw values"][0], at_most=0.25)
five = PER_CLASS.index(5)
demo.claim("with one label per class it is better than power spectra with five (lead)",
           means["TS-TCC"][0] - means["power spectra"][five], at_least=0.1)
if not demo.quick:
    demo.claim("and better than cross spectra with five (lead)", means["TS-TCC"][0] - means["cross spectra"][five],
               above=0)
    demo.finding("one label per class: the temporal task helps (lead over the contextual task alone)",
                 means["TS-TCC"][0] - means["contextual task alone"][0], above=0)
    demo.finding("fifty labels per class: the contextual task helps (lead over the temporal task alone)",
                 means["TS-TCC"][-1] - means["temporal task alone"][-1], above=0)
demo.finish(figure)
