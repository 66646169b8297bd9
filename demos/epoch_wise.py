"""How can training be too long, and training even longer be right?

Epoch-wise double descent, exactly: linear regression on two groups of features that matter equally,
but one twenty times as large as the other (Heckel and Yilmaz 2021; Nakkiran et al. 2020; MATH5836
week 10, section 10.1.3).

You will see the test error of gradient descent fall, rise, and fall again, at every step up to the
millionth, from one formula; then what either group of features contributes, and one change of the
steps that removes the bump. The same befalls a network of two layers that the engine trains, until
the layer that reads the small features takes larger steps.

Predict first: the training loss falls all the way. If you stop when the test error first rises, how
far are you from the best? And if the labels had no noise at all, would it still rise?
"""
# %% Constants
from functools import partial

import matplotlib.pyplot as plt
import numpy as np
from common import BLACK, BLUE, GREEN, ORANGE, VERMILLION, band, start
from matplotlib.colors import to_rgb

from tinyml.interpolation.double_descent import min_norm_risk, subset_risk
from tinyml.interpolation.epoch_wise import (descent, descent_bias, descent_variance, equal_speed_steps,
                                             make_two_scales, population_risk, training_risk)
from tinyml.interpolation.min_norm import gradient_descent
from tinyml.nn import Linear, Module
from tinyml.optim import SGD
from tinyml.tensor import Tensor

demo = start(__file__, __doc__)
N, FAST, SLOW = 200, 100, 30                 # samples, features of scale 1, and of
SLOW_SCALE = 0.05
NOISE = 0.3 ** 2                             # variance of the noise; either group's signal has variance 1
SETS = 8 if demo.quick else 30               # training sets
ENGINE_STEPS = 1000 if demo.quick else 20000    # of descent with the engine's gradient, on the first set
T = np.unique(np.geomspace(1, 1e6, 300).astype(int))
EARLY = T < 20                               # where to look for the first minimum
NET_FAST, NET_SLOW, NET_SCALE = 140, 30, 0.1    # what a network sees: features of scale 1, and of 0.1
WIDTH = 32 if demo.quick else 64             # its hidden units
NET_LR = 0.05                                # small enough that its training loss never rises
NET_RUNS = 1 if demo.quick else 3
NET_T = np.unique(np.geomspace(1, 5000 if demo.quick else 10000, 100).astype(int))
NET_EARLY = NET_T < 60


# %% Experiment: closed forms on every training set, for one step for all and for equal speed
def measure(X, y, beta, scales, lr):
    """Over T: the training loss, and what the fast and the slow features and the noise add to the risk."""
    bias = descent_bias(X, beta, T, lr=lr, scales=scales)
    variance = descent_variance(X, T, lr=lr, scales=scales, sigma2=NOISE).sum(axis=1)
    loss = training_risk(X, y, descent(X, y, T, lr=lr))
    return loss, bias[:, :FAST].sum(axis=1), bias[:, FAST:].sum(axis=1), variance


sets, plain, cured = [], [], []
for number in demo.progress(range(SETS), "training sets"):
    X, y, beta, scales = make_two_scales(N, n_fast=FAST, n_slow=SLOW, slow_scale=SLOW_SCALE, sigma2=NOISE,
                                         rng=np.random.default_rng([demo.seed, number]))
    one_step, steps = 1 / np.linalg.norm(X, 2) ** 2, equal_speed_steps(X, scales=scales)
    plain.append(measure(X, y, beta, scales, one_step))
    cured.append(measure(X, y, beta, scales, steps))
    sets.append((X, y, beta, scales, one_step, steps))

loss, fast, slow, variance = np.moveaxis(plain, 1, 0)                # each (SETS, len(T))
risk = NOISE + fast + slow + variance
risk_cured = NOISE + np.sum(np.array(cured)[:, 1:], axis=1)

# %% The same descent, walked with the engine. A step per feature is plain descent on X sqrt(lr).
X, y, beta, scales, one_step, steps = sets[0]
dots = np.unique(np.geomspace(1, ENGINE_STEPS, 16).astype(int))
walks = {}
for name, lr in (("plain", np.full(FAST + SLOW, one_step)), ("cured", steps)):
    n_steps = ENGINE_STEPS if name == "plain" else ENGINE_STEPS // 10
    root, t = np.sqrt(lr), dots[dots <= n_steps]
    walked = gradient_descent(X * root, y, lr=1, n_steps=n_steps)[t] * root
    test_risk = partial(population_risk, beta=beta, scales=scales, sigma2=NOISE)
    walks[name] = (t, test_risk(walked), test_risk(descent(X, y, t, lr=lr)), test_risk(descent(X, y, T, lr=lr)))



# %% A network of two layers, linear in x but not in its weights, and with one layer for either group
class TwoSpeeds(Module):
    """out(fast(x_fast) + slow(x_slow))."""

    def __init__(self, rng):
        self.fast = Linear(NET_FAST, WIDTH, bias=False, rng=rng)
        self.slow = Linear(NET_SLOW, WIDTH, bias=False, rng=rng)
        self.out = Linear(WIDTH, 1, bias=False, rng=rng)

    def forward(self, x):
        return self.out(self.fast(x[:, :NET_FAST]) + self.slow(x[:, NET_FAST:]))

    def beta(self):
        """The linear function that it computes, shape (NET_FAST + NET_SLOW,)."""
        return self.out.weight.data[0] @ np.hstack([self.fast.weight.data, self.slow.weight.data])


def train(number, factor):
    """Test error and training loss at NET_T, shape (2, len(NET_T)); steps of the slow layer times `factor`."""
    rng = np.random.default_rng([demo.seed, number])
    X, y, beta, scales = make_two_scales(N, n_fast=NET_FAST, n_slow=NET_SLOW, slow_scale=NET_SCALE,
                                         sigma2=NOISE, rng=rng)
    x, y = Tensor(X.astype(np.float32)), y.astype(np.float32)[:, None]
    model, curve = TwoSpeeds(rng), []
    optimizers = [SGD([model.fast.weight, model.out.weight], lr=NET_LR),
                  SGD([model.slow.weight], lr=factor * NET_LR)]
    for t in demo.progress(range(1, NET_T[-1] + 1), f"network {number + 1}"):
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss = ((model(x) - y) ** 2).mean() / 2
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
        if t in NET_T:
            curve.append((population_risk(model.beta(), beta, scales=scales, sigma2=NOISE), 2 * loss.item()))
    return np.transpose(curve)


trained, rescaled = (np.array([train(number, factor) for number in range(NET_RUNS)])
                     for factor in (1, 1 / NET_SCALE ** 2))    # (NET_RUNS, 2, len(NET_T)) each


# %% What the medians say
def turns(curve, early):
    """The places of the first minimum (where `early`), of the peak after it, and of the minimum after that."""
    first = np.flatnonzero(early)[curve[early].argmin()]
    peak = first + curve[first:].argmax()
    return first, peak, peak + curve[peak:].argmin()


def second_fall(curve):
    """After its minimum, the most that a curve falls from any point to a later one."""
    after = curve[curve.argmin():]
    return (np.maximum.accumulate(after) - after).max()


middle, middle_cured = np.median(risk, axis=0), np.median(risk_cured, axis=0)
first, peak, last = turns(middle, EARLY)
best = middle_cured.argmin()
net, net_rescaled = np.median(trained[:, 0], axis=0), np.median(rescaled[:, 0], axis=0)
net_first, net_peak, net_last = turns(net, NET_EARLY)
net_best = net_rescaled.argmin()
net_limit = NOISE + min_norm_risk(N, NET_FAST + NET_SLOW, signal=2, sigma2=NOISE)
plateau = NOISE + subset_risk(N, FAST, signal_in=1, signal_out=1, sigma2=NOISE)
limit = NOISE + min_norm_risk(N, FAST + SLOW, signal=2, sigma2=NOISE)
without_noise = np.median(fast + slow, axis=0)

# %% Figure
figure, (left, right, network) = plt.subplots(1, 3, figsize=(18, 5.4), width_ratios=[1.35, 1, 1.1])
figure.suptitle(f"The test error falls to {middle[first]:.2f}, rises to {middle[peak]:.2f}, falls to "
                f"{middle[last]:.2f}: two fits, one after the other")
one_line = band(left, T, risk, color=VERMILLION)
equal_line = band(left, T, risk_cured, color=BLUE)
band(left, T, loss, color="0.6", linestyle="-.", linewidth=1.5)
for (t, measured, _, formula), colour, marker in zip(walks.values(), (VERMILLION, BLUE), "os"):
    left.plot(T, formula, color=BLACK, linestyle="--", linewidth=1)
    left.plot(t, measured, marker, color=colour, markeredgecolor=BLACK, markersize=6)
for curve, i, text, away in ((middle, first, "stop early?", (34, -48)), (middle, last, "train on", (45, 48)),
                             (middle_cured, best, "best of all", (-66, -14))):
    left.annotate(f"{text}\n{curve[i]:.2f} at t = {T[i]:,}", (T[i], curve[i]), xytext=away, ha="center",
                  va="center", textcoords="offset points", arrowprops=dict(arrowstyle="->"), fontsize=10)
for height, text in ((plateau, "theory: the slow features are noise"),
                     (limit, "theory: all are fitted")):
    left.axhline(height, color="0.35", linestyle=":", linewidth=1.5)
    left.text(T[-1], height + 0.02, text, ha="right", va="bottom", fontsize=10, color="0.25")
left.text(1.5e3, 1.15, "one step for all", color=one_line.get_color())
left.text(8, 0.7, "equal\nspeed", color=equal_line.get_color())
left.text(T[-1], 0.06, "training loss, one step for all", color="0.4", ha="right", fontsize=10)
left.set(xscale="log", ylim=(0, 2.6), xlabel="step t of gradient descent", ylabel="mean squared error",
         title=f"{SETS} training sets; one of them: formula dashed, engine's steps as dots")
for samples, colour, style, text, place in (
        (fast, ORANGE, "-", "bias in the fast features", (2, 0.33)),
        (slow, GREEN, "--", "bias in the slow features", (1, 1.03)),
        (variance, BLACK, "-.", "variance: the noise", (1e4, 0.2))):
    line = band(right, T, samples, color=colour, linestyle=style)
    right.text(*place, text, color=[0.7 * part for part in to_rgb(line.get_color())])
right.set(xscale="log", xlabel="step t of gradient descent", ylabel="part of the test error", ylim=(0, 1.3),
          title="One step for all: the parts of its test error")

hurried = f"slow layer:\n{1 / NET_SCALE ** 2:.0f} times the step"
for runs, color, text, place in ((trained, VERMILLION, "one step for all", (1, 2.7)),
                                 (rescaled, BLUE, hurried, (1, 0.7))):
    line = band(network, NET_T, runs[:, 0], color=color)
    network.text(*place, text, color=line.get_color())
band(network, NET_T, trained[:, 1], color="0.6", linestyle="-.", linewidth=1.5)
network.axhline(net_limit, color="0.35", linestyle=":", linewidth=1.5)
network.text(1, net_limit - 0.03, "theory: all are fitted", va="top", fontsize=10, color="0.25")
network.text(1, 0.06, "training loss,\none step for all", color="0.4", fontsize=10)
network.set(xscale="log", ylim=(0, 3.5), xlabel="step t of gradient descent", ylabel="mean squared error",
            title=f"A network: {net[net_first]:.2f}, {net[net_peak]:.2f}, {net[net_last]:.2f}, unless its slow "
                  "layer hurries")

# %% Claims
rise = middle[peak] - middle[first]
for name, t, curve, i in (("first minimum", T, middle, first), ("peak", T, middle, peak),
                          ("second minimum", T, middle, last),
                          ("minimum with equal speed", T, middle_cured, best),
                          ("network, first minimum", NET_T, net, net_first),
                          ("network, peak", NET_T, net, net_peak),
                          ("network, second minimum", NET_T, net, net_last),
                          ("network, minimum with the slow layer's steps", NET_T, net_rescaled, net_best)):
    demo.record(f"{name}: test error, step", [float(curve[i]), int(t[i])])
demo.record("the end: measured, theory", [float(middle[-1]), float(limit)])
demo.record("the end of the network's descent: theory", net_limit)
demo.record("while slow features are noise: theory", plateau)
off = max(np.abs(measured / formula - 1).max() for _, measured, formula, _ in walks.values())
demo.claim("the engine's descent has the risk of the closed form (relative difference)", off, at_most=1e-9)
demo.claim("the training loss never rises (largest rise)", np.diff(loss).max(), at_most=1e-12)
demo.claim("after its first minimum the test error rises (peak / first minimum)",
           rise / middle[first] + 1, above=1.15)
demo.claim("and falls again, far below (second minimum / first minimum)",
           middle[last] / middle[first], below=0.25)
demo.claim("the peak is where theory has it if slow features act as noise (peak / theory)",
           middle[peak] / plateau, within=(0.85, 1.05))
error = risk[:, -1].std(ddof=1) / np.sqrt(SETS)
demo.claim("in the end it is the exact risk of least squares (distance in standard errors)",
           abs(risk[:, -1].mean() - limit) / error, at_most=4)
demo.claim("noise in the labels is not the reason: without it the test error rises by (share of the rise)",
           (without_noise[first:].max() - without_noise[:first + 1].min()) / rise, above=0.7)
demo.claim("steps of equal speed: the error never rises before its minimum (largest rise)",
           np.diff(middle_cured[:best + 1]).max(), at_most=0)
demo.claim("nor does it fall again after (largest fall / that of one step for all)",
           second_fall(middle_cured) / (middle[peak] - middle[last]), at_most=0.01)
demo.claim("its minimum is below that of one step for all (ratio)",
           middle_cured[best] / middle[last], below=0.98)
demo.claim("and reached earlier (ratio of the steps)", T[best] / T[last], below=0.05)
demo.claim("network: the training loss never rises (largest rise)", np.diff(trained[:, 1]).max(), at_most=0)
demo.claim("network: its test error rises as well (peak / first minimum)", net[net_peak] / net[net_first],
           above=1.15)
demo.claim("network: and falls again, far below (second minimum / first minimum)",
           net[net_last] / net[net_first], below=0.5)
demo.claim("network: larger steps of the slow layer: no rise before the minimum (largest rise)",
           np.diff(net_rescaled[:net_best + 1]).max(), at_most=0)
# No fall at all would be too much to claim: within either group too, some directions are slower than others.
demo.claim("network: nor a second descent after it (largest fall / that of one step for all)",
           second_fall(net_rescaled) / (net[net_peak] - net[net_last]), at_most=0.05)
demo.claim("network: the minimum is reached earlier (ratio of the steps)", NET_T[net_best] / NET_T[net_last],
           below=0.3)
demo.finish(figure)
