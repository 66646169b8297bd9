"""Can a network that predicts the future tell a left turn from a right turn, with one label each?

MATH5836 week 10, sections 10.3.1 and 10.3.2; Eldele et al. 2021, TS-TCC. The data are series of
three sensors that record one of six activities (demos/series.py). From the past of one view the
network predicts the future of the other (temporal contrasting), and the summaries of both pasts
should agree (contextual contrasting). It sees no label. Then a linear probe on the summary of a
whole series gets 1 to 50 labels per class.

You will see a series with its weak and its strong view; both losses beside their values at
chance, ln B and ln(2B - 1); and the accuracy on new series against the number of labels, beside
each of the two tasks alone, the same network untrained, cross spectra, power spectra, and raw
values.

Predict first: the strong view is shuffled, so its future does not follow the past of the weak
view. What is left to predict? Which of the two tasks matters more when labels are few, and
which when there are many?
"""
# %% Constants
from copy import deepcopy

import matplotlib.pyplot as plt
import numpy as np
from common import BLUE, GREEN, VERMILLION, start
from panels import reference, scores

from tinyml import Tensor, nn
from tinyml.optim import Adam
from tinyml.selfsupervised.augmentations import compose
from tinyml.selfsupervised.downstream import UnitLength, extract_features, linear_probe
from tinyml.selfsupervised.label_efficiency import draw_labels
from tinyml.selfsupervised.series import ACTIVITIES, jitter, make_activities, permute, scale
from tinyml.selfsupervised.ts_tcc import TSTCC, MeanOverTime, SeriesEncoder, pretrain
from tinyml.train import accuracy

demo = start(__file__, __doc__)
N, N_TEST = (384, 240) if demo.quick else (1200, 600)    # series without labels, and to test
EPOCHS = 3 if demo.quick else 14
BATCH = 32 if demo.quick else 64
DIM, STEPS, LR = 64, 4, 3e-3                             # D, K, the learning rate of Adam
DRAWS = 4 if demo.quick else 12                          # of labels
PER_CLASS = (1, 5) if demo.quick else (1, 2, 5, 10, 50)  # labels
LEAD = 0.1 if demo.quick else 0.2                        # of TS-TCC with one label each
WEAK = compose(jitter(strength=0.3), scale(strength=0.3))
STRONG = compose(permute(segments=5), jitter(strength=0.3))
TASKS = {"TS-TCC": {}, "temporal task alone": {"lambda2": 0},
         "contextual task alone": {"lambda1": 0}}
CHANCE = {"temporal": np.log(BATCH), "contextual": np.log(2 * BATCH - 1)}    # of the two losses

# %% Data
X, y = make_activities(N, rng=demo.rng)
X_test, y_test = make_activities(N_TEST, rng=demo.rng)

# %% Model: an encoder with the networks of its pretext tasks
untrained = TSTCC(SeriesEncoder(3, DIM, rng=demo.rng), DIM, steps=STEPS, rng=demo.rng)


# %% Experiment 1: pre-training with both tasks and with each alone, from the same start
def pretrained(name):
    model = deepcopy(untrained)
    history = pretrain(model, X, weak=WEAK, strong=STRONG, rng=np.random.default_rng(demo.seed),
                       optimizer=Adam(model.parameters(), lr=LR), epochs=EPOCHS, batch_size=BATCH,
                       label=name,
                       **TASKS[name])
    return model, {loss: np.array([row[loss] for row in history]) for loss in CHANCE}


models, losses = {}, {}
for name in TASKS:
    models[name], losses[name] = pretrained(name)

# %% Did the tasks teach anything?
# A contrastive loss L over m candidates bounds what two views share: I >= ln m - L (van den Oord
# et al. 2018).
last = {}
for name in TASKS:
    last[name] = {loss: losses[name][loss][-1] for loss in CHANCE}
    demo.record(f"{name}: temporal and contextual loss, last epoch", list(last[name].values()))
below = {loss: chance - last["TS-TCC"][loss] for loss, chance in CHANCE.items()}
gained = {"temporal": last["contextual task alone"]["temporal"] - last["TS-TCC"]["temporal"],
          "contextual": last["temporal task alone"]["contextual"] - last["TS-TCC"]["contextual"]}
demo.claim("both losses fall below chance (smaller distance, nats)", min(below.values()),
           at_least=0.3 if demo.quick else 1)
demo.claim("each loss ends lower if it is trained on (smaller gain, nats)", min(gained.values()),
           above=0)


# %% Experiment 2: features of a whole series, learned and hand-made
def learned(encoder):
    return extract_features(encoder, X), extract_features(encoder, X_test)


def hand_made(f):
    return f(X).reshape(N, -1), f(X_test).reshape(N_TEST, -1)


def spectrum(x):
    """F_c(f) of each sensor, for 1 to 40 cycles."""
    centred = x - x.mean(axis=2, keepdims=True)
    return np.fft.rfft(centred)[:, :, 1:41]


def power(x):
    """ln(1 + |F_c(f)|), the power spectrum of each sensor, which has no phase."""
    return np.log1p(np.abs(spectrum(x)))


def cross(x):
    """The power, and F_a(f) F_b(f)* for pairs of sensors: what an expert would choose."""
    F = spectrum(x)
    pairs = F * np.roll(F, 1, axis=1).conj()
    pairs = pairs / np.abs(pairs).mean(axis=2, keepdims=True)
    return np.concatenate([power(x), pairs.real, pairs.imag], axis=1)


features = {name: learned(nn.Sequential(model.encoder, model.context))
            for name, model in models.items()}
features |= {
    "untrained network": learned(nn.Sequential(untrained.encoder, MeanOverTime())),
    "cross spectra": hand_made(cross),
    "power spectra": hand_made(power),
    "raw values": hand_made(np.asarray),
}


# %% ... and a linear probe on each, with the same draws of labels
def probed(train, test):
    """Test accuracies, shape (DRAWS, len(PER_CLASS))."""
    unit = UnitLength(train.mean(axis=0))
    train, test = unit(Tensor(train)).data, unit(Tensor(test)).data

    def score(n, draw):
        rows = draw_labels(y, n, rng=np.random.default_rng([demo.seed, n, draw]))
        head = linear_probe(train[rows], y[rows], l2=1e-3, tolerance=1e-4)
        return accuracy(head, test, y_test)
    return np.array([[score(n, draw) for n in PER_CLASS] for draw in range(DRAWS)])


curves = {name: probed(*parts) for name, parts in demo.progress(list(features.items()), "probes")}

# %% How good are the features with few labels?
medians = {name: np.median(values, axis=0) for name, values in curves.items()}
ours, five = medians["TS-TCC"], PER_CLASS.index(5)
for name, row in medians.items():
    demo.record(f"{name}: median accuracy", 100 * row,
                "% with " + ", ".join(map(str, PER_CLASS)) + " labels per class")
demo.claim("one label per class: better than the same network untrained (lead)",
           ours[0] - medians["untrained network"][0], at_least=LEAD)
demo.claim("one label per class: better than cross spectra (lead)",
           ours[0] - medians["cross spectra"][0],
           at_least=LEAD)
demo.claim("one label per class: better than power spectra with five (lead)",
           ours[0] - medians["power spectra"][five],
           at_least=0.1)
demo.claim("one label per class: raw values are near chance (accuracy)", medians["raw values"][0],
           at_most=0.25)

# %% Which task helps where? That depends on the seed.
if not demo.quick:
    demo.claim("one label per class: better than cross spectra with five (lead)",
               ours[0] - medians["cross spectra"][five],
               above=0)
    demo.finding("one label per class: the temporal task helps (lead over the other alone)",
                 ours[0] - medians["contextual task alone"][0], above=0)
    demo.finding("fifty labels per class: the contextual task helps (lead over the other alone)",
                 ours[-1] - medians["temporal task alone"][-1], above=0)

# %% Figure: a turn to the left and its views
figure = plt.figure(figsize=(13, 9))
figure.suptitle(f"With one label per activity, a probe on TS-TCC is right on "
                f"{100 * ours[0]:.0f} % of new series, on raw values "
                f"{100 * medians['raw values'][0]:.0f} %")
grid = figure.add_gridspec(2, 2, width_ratios=[1.3, 1], height_ratios=[1, 1.3])
left, right = figure.add_subplot(grid[0, 0]), figure.add_subplot(grid[0, 1])
bottom = figure.add_subplot(grid[1, :])
copies, turn = X[[1]].repeat(8, axis=0), list(ACTIVITIES)[1]
pictures = {turn: None, "a weak view": WEAK, "a strong view": STRONG}
for k, (name, view) in enumerate(pictures.items()):
    views = copies if view is None else view(copies, np.random.default_rng(demo.seed))
    distance = np.abs(views - copies).mean(axis=(1, 2))
    shown = views[distance.argmax()]    # a shuffle may also keep the order
    length = X.shape[2]
    begin = 1.15 * k * length
    for sensor, color in enumerate((BLUE, VERMILLION, GREEN)):
        left.plot(begin + np.arange(length), shown[sensor] - 6 * sensor, color=color, linewidth=1)
    left.text(begin + length / 2, 5, name, ha="center")
left.set(title="Three sensors, and two views of them", xlabel="time", xticks=[], yticks=[],
         ylim=(-16, 7))
left.grid(False)
left.spines[:].set_visible(False)

# %% Figure: losses and accuracies
epochs = np.arange(1, EPOCHS + 1)
for (loss, chance), color, marker in zip(CHANCE.items(), (GREEN, VERMILLION), "os"):
    other = "contextual task alone" if loss == "temporal" else "temporal task alone"
    right.plot(epochs, losses["TS-TCC"][loss], color=color, marker=marker, markersize=4,
               label=loss)
    right.plot(epochs, losses[other][loss], color=color, linestyle=":", linewidth=1.4,
               label=f"{loss}, not trained on")
    reference(right, chance, {"temporal": "ln B", "contextual": "ln(2B - 1)"}[loss], x=0.85)
right.set(xlabel="epoch", ylabel="loss", title=f"Losses and chance, B = {BATCH}", ylim=(0, 5.4),
          xticks=epochs[::1 if demo.quick else 3])
right.legend(loc="lower left", fontsize=9)
scores(bottom, PER_CLASS, curves, xlabel="labels per class", ylim=(0, 100),
       title=f"Linear probes: median of {DRAWS} draws of labels, and 80 % of them")
bottom.legend(loc="center left", bbox_to_anchor=(1, 0.5))
reference(bottom, 100 / len(ACTIVITIES), "chance", x=0.94)
demo.finish(figure)
