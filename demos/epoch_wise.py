"""How can training be too long, and training even longer be right?

Epoch-wise double descent, exactly: linear regression on two groups of features that matter
equally, but one twenty times as large as the other (Heckel and Yilmaz 2021; Nakkiran et al. 2020;
MATH5836 week 10, section 10.1.3).

You will see the test error of gradient descent fall, rise, and fall again, at every step up to the
millionth, from one formula; then what each group of features contributes, and learning rates that
remove the bump. The same happens in a network of two layers that the engine trains, until the layer
that reads the small features gets a larger learning rate.

Predict first: the training loss falls all the way. If you stop when the test error first rises,
how far are you from the best? And if the labels had no noise at all, would it still rise?
"""
# %% Constants
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from common import BLACK, BLUE, GREEN, ORANGE, VERMILLION, start
from matplotlib.colors import to_rgb
from panels import curve, reference

from tinyml.interpolation.double_descent import min_norm_risk, subset_risk
from tinyml.interpolation.epoch_wise import (
    descent,
    descent_bias2,
    descent_variance,
    equal_speed_rates,
    make_two_scales,
    population_risk,
    training_risk,
)
from tinyml.interpolation.min_norm import gradient_descent
from tinyml.nn import Linear, Module
from tinyml.optim import SGD
from tinyml.tensor import Tensor

demo = start(__file__, __doc__)
N_SAMPLES, FAST, SLOW = 200, 100, 30         # samples; features of scale 1, and of SLOW_SCALE
SLOW_SCALE = 0.05
SIGMA2 = 0.3 ** 2                            # variance of the noise; that of each signal is 1
SETS = 8 if demo.quick else 30               # training sets
STEPS = np.unique(np.geomspace(1, 1e6, 300).astype(int))
EARLY = 20                                   # the first minimum is before this step
ENGINE_STEPS = 1000 if demo.quick else 20000    # of descent with the engine, on the first set
NET_FAST, NET_SLOW, NET_SCALE = 140, 30, 0.1    # what the network sees
NET_WIDTH = 32 if demo.quick else 64         # its hidden units
NET_LR = 0.05                                # small enough that its training loss never rises
NET_RUNS = 1 if demo.quick else 3
NET_STEPS = np.unique(np.geomspace(1, 5000 if demo.quick else 10000, 100).astype(int))
NET_EARLY = 60


# %% The exact test error of descent after every step, and the parts that it is made of
class Course(NamedTuple):
    """Arrays over STEPS, of shape (len(STEPS),), or (SETS, len(STEPS)) for all training sets."""

    train_loss: np.ndarray
    fast: np.ndarray        # bias^2 in the fast features
    slow: np.ndarray        # bias^2 in the slow features
    variance: np.ndarray    # what the noise of the training labels adds
    risk: np.ndarray        # test error: the sum of the three, and SIGMA2


def follow(X, y, beta, scales, lr):
    bias2 = descent_bias2(X, beta, STEPS, lr=lr, scales=scales)    # (len(STEPS), FAST + SLOW)
    fast, slow = bias2[:, :FAST].sum(axis=1), bias2[:, FAST:].sum(axis=1)
    variance = descent_variance(X, STEPS, lr=lr, scales=scales, sigma2=SIGMA2).sum(axis=1)
    train_loss = training_risk(X, y, descent(X, y, STEPS, lr=lr))
    return Course(train_loss, fast, slow, variance, SIGMA2 + fast + slow + variance)


# %% Experiment: one learning rate for all features, and rates with which all are learned equally fast
sets, one_rate, equal_speed = [], [], []
for number in demo.progress(range(SETS), "training sets"):
    X, y, beta, scales = make_two_scales(
        N_SAMPLES, n_fast=FAST, n_slow=SLOW, slow_scale=SLOW_SCALE, sigma2=SIGMA2,
        rng=np.random.default_rng([demo.seed, number]))
    sets.append((X, y, beta, scales))
    one_rate.append(follow(X, y, beta, scales, lr=1 / np.linalg.norm(X, 2) ** 2))
    equal_speed.append(follow(X, y, beta, scales, lr=equal_speed_rates(X, scales=scales)))
one_rate, equal_speed = (Course(*np.swapaxes(runs, 0, 1)) for runs in (one_rate, equal_speed))


# %% With one learning rate for all the test error falls, rises, and falls again
class Turns(NamedTuple):
    first: int    # place of the first minimum
    peak: int     # of the highest point after it
    last: int     # of the lowest point after that


def turns(risk, n_early):
    first = risk[:n_early].argmin()
    peak = first + risk[first:].argmax()
    return Turns(first, peak, peak + risk[peak:].argmin())


risk = np.median(one_rate.risk, axis=0)
at = turns(risk, np.sum(STEPS < EARLY))
rise, second_descent = risk[at.peak] - risk[at.first], risk[at.peak] - risk[at.last]

for name, i in zip(("first minimum", "peak", "second minimum"), at):
    demo.record(f"{name}: test error, step", [risk[i], STEPS[i]])
demo.claim("the training loss never rises (largest rise)", np.diff(one_rate.train_loss).max(),
           at_most=1e-12)
demo.claim("after its first minimum the test error rises (peak / first minimum)",
           risk[at.peak] / risk[at.first], above=1.15)
demo.claim("after its peak the test error falls far below (second minimum / first minimum)",
           risk[at.last] / risk[at.first], below=0.25)

# %% Theory: first the slow features act as noise, in the end all features are fitted
plateau = SIGMA2 + subset_risk(N_SAMPLES, FAST, signal_in=1, signal_out=1, sigma2=SIGMA2)
limit = SIGMA2 + min_norm_risk(N_SAMPLES, FAST + SLOW, signal=2, sigma2=SIGMA2)
end = one_rate.risk[:, -1]
standard_error = end.std(ddof=1) / np.sqrt(SETS)

demo.record("while slow features are noise: theory", plateau)
demo.record("the end: measured, theory", [risk[-1], limit])
demo.claim("the peak is where theory has it if slow features act as noise (peak / theory)",
           risk[at.peak] / plateau, within=(0.85, 1.05))
demo.claim("in the end the test error is the exact risk of least squares (distance in standard errors)",
           abs(end.mean() - limit) / standard_error, at_most=4)

# %% Without noise in the labels, only the two biases are left
noiseless = np.median(one_rate.fast + one_rate.slow, axis=0)
noiseless_rise = noiseless[at.first:].max() - noiseless[:at.first + 1].min()
demo.claim("noise in the labels is not the reason: without it the test error rises by (share of "
           "the rise)", noiseless_rise / rise, above=0.7)


# %% Rates of equal speed: one descent, to a lower minimum, and earlier
def second_fall(risk):
    """After its minimum, the most that a curve falls from any point to a later one."""
    after = risk[risk.argmin():]
    return np.max(np.maximum.accumulate(after) - after)


equal_risk = np.median(equal_speed.risk, axis=0)
best = equal_risk.argmin()

demo.record("minimum with equal speed: test error, step", [equal_risk[best], STEPS[best]])
demo.claim("rates of equal speed: the error never rises before its minimum (largest rise)",
           np.diff(equal_risk[:best + 1]).max(), at_most=0)
demo.claim("nor does it fall again after (largest fall / that of one rate for all)",
           second_fall(equal_risk) / second_descent, at_most=0.01)
demo.claim("rates of equal speed: the minimum is below that of one rate for all (ratio)",
           equal_risk[best] / risk[at.last], below=0.98)
demo.claim("rates of equal speed: the minimum is reached earlier (ratio of the steps)",
           STEPS[best] / STEPS[at.last], below=0.05)


# %% The engine takes the same steps. A rate per feature is plain descent on X sqrt(lr).
class Walk(NamedTuple):
    t: np.ndarray
    measured: np.ndarray    # test error of the engine's beta after t steps
    formula: np.ndarray     # of the closed form's, on the same training set
    at_all: np.ndarray      # the closed form at all STEPS


def walk(X, y, beta, scales, lr, n_steps):
    def risk_of(beta_t):
        return population_risk(beta_t, beta, scales=scales, sigma2=SIGMA2)

    t = np.unique(np.geomspace(1, ENGINE_STEPS, 16).astype(int))
    t, root_lr = t[t <= n_steps], np.sqrt(lr)
    steps = gradient_descent(X * root_lr, y, lr=1, n_steps=n_steps) * root_lr    # (n_steps + 1, p)
    return Walk(t, risk_of(steps[t]), *(risk_of(descent(X, y, s, lr=lr)) for s in (t, STEPS)))


X, y, beta, scales = sets[0]
same_lr = np.full(FAST + SLOW, 1 / np.linalg.norm(X, 2) ** 2)
same = walk(X, y, beta, scales, same_lr, ENGINE_STEPS)
equal = walk(X, y, beta, scales, equal_speed_rates(X, scales=scales), ENGINE_STEPS // 10)
demo.claim("the engine's descent has the risk of the closed form (relative difference)",
           max(np.abs(one.measured / one.formula - 1).max() for one in (same, equal)),
           at_most=1e-9)


# %% A network of two layers, linear in x but not in its weights, with one layer for each group
class TwoSpeeds(Module):
    """out(fast(x_fast) + slow(x_slow))."""

    def __init__(self, rng):
        self.fast = Linear(NET_FAST, NET_WIDTH, bias=False, rng=rng)
        self.slow = Linear(NET_SLOW, NET_WIDTH, bias=False, rng=rng)
        self.out = Linear(NET_WIDTH, 1, bias=False, rng=rng)

    def forward(self, x):
        return self.out(self.fast(x[:, :NET_FAST]) + self.slow(x[:, NET_FAST:]))

    def beta(self):
        """The linear function that it computes, shape (NET_FAST + NET_SLOW,)."""
        first = np.hstack([self.fast.weight.data, self.slow.weight.data])
        return self.out.weight.data[0] @ first


# %% Training the network: plain gradient descent, `factor` times the learning rate in the slow layer
def train(number, factor):
    """Test error and training loss at NET_STEPS, shape (2, len(NET_STEPS))."""
    rng = np.random.default_rng([demo.seed, number])
    X, y, beta, scales = make_two_scales(N_SAMPLES, n_fast=NET_FAST, n_slow=NET_SLOW,
                                         slow_scale=NET_SCALE, sigma2=SIGMA2, rng=rng)
    x, y = Tensor(X.astype(np.float32)), y.astype(np.float32)[:, None]
    model, rows = TwoSpeeds(rng), []
    optimizers = [SGD([model.fast.weight, model.out.weight], lr=NET_LR),
                  SGD([model.slow.weight], lr=factor * NET_LR)]
    for t in demo.progress(range(1, NET_STEPS[-1] + 1), f"network {number + 1}"):
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss = ((model(x) - y) ** 2).mean() / 2
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
        if t in NET_STEPS:
            test_error = population_risk(model.beta(), beta, scales=scales, sigma2=SIGMA2)
            rows.append((test_error, 2 * loss.item()))
    return np.transpose(rows)


net_risks, net_losses = np.swapaxes([train(i, factor=1) for i in range(NET_RUNS)], 0, 1)
cured_risks, _ = np.swapaxes([train(i, factor=1 / NET_SCALE ** 2) for i in range(NET_RUNS)], 0, 1)

# %% The network's test error rises and falls again too
net_risk = np.median(net_risks, axis=0)
net_at = turns(net_risk, np.sum(NET_STEPS < NET_EARLY))
net_limit = SIGMA2 + min_norm_risk(N_SAMPLES, NET_FAST + NET_SLOW, signal=2, sigma2=SIGMA2)

for name, i in zip(("first minimum", "peak", "second minimum"), net_at):
    demo.record(f"network, {name}: test error, step", [net_risk[i], NET_STEPS[i]])
demo.record("the end of the network's descent: theory", net_limit)
demo.claim("network: the training loss never rises (largest rise)", np.diff(net_losses).max(),
           at_most=0)
demo.claim("network: its test error rises as well (peak / first minimum)",
           net_risk[net_at.peak] / net_risk[net_at.first], above=1.15)
demo.claim("network: and falls again, far below (second minimum / first minimum)",
           net_risk[net_at.last] / net_risk[net_at.first], below=0.5)

# %% A larger learning rate of its slow layer removes the bump, nearly
# No second fall at all would be too much to claim: within each group too, some directions are
# slower than others.
cured_risk = np.median(cured_risks, axis=0)
net_best = cured_risk.argmin()
net_descent = net_risk[net_at.peak] - net_risk[net_at.last]

demo.record("network, minimum with the slow layer's rate: test error, step",
            [cured_risk[net_best], NET_STEPS[net_best]])
demo.claim("network: larger rate of the slow layer: no rise before the minimum (largest rise)",
           np.diff(cured_risk[:net_best + 1]).max(), at_most=0)
demo.claim("network: nor a second descent after it (largest fall / that of one rate for all)",
           second_fall(cured_risk) / net_descent, at_most=0.05)
demo.claim("network: the minimum is reached earlier (ratio of the steps)",
           NET_STEPS[net_best] / NET_STEPS[net_at.last], below=0.3)

# %% Figure: the test error of linear regression
figure, (left, right, network) = plt.subplots(1, 3, figsize=(18, 5.4), width_ratios=[1.35, 1, 1.1])
figure.suptitle(f"The test error falls to {risk[at.first]:.2f}, rises to {risk[at.peak]:.2f}, and "
                f"falls to {risk[at.last]:.2f}: small features are learned late")
curve(left, STEPS, one_rate.train_loss, color="0.6", linestyle="-.", linewidth=1.5)
for course, one, color, marker in ((one_rate, same, VERMILLION, "o"),
                                   (equal_speed, equal, BLUE, "s")):
    curve(left, STEPS, course.risk, theory=one.at_all, color=color)
    left.plot(one.t, one.measured, marker, color=color, markeredgecolor=BLACK, markersize=6)
for values, i, text, away in ((risk, at.first, "stop early?", (34, -48)),
                              (risk, at.last, "train on", (45, 48)),
                              (equal_risk, best, "best of all", (-66, -14))):
    left.annotate(f"{text}\n{values[i]:.2f} at t = {STEPS[i]:,}", (STEPS[i], values[i]),
                  xytext=away, textcoords="offset points", ha="center", va="center",
                  arrowprops=dict(arrowstyle="->"), fontsize=10)
reference(left, plateau, "theory: the slow features are noise", x=0.56)
reference(left, limit, "theory: all are fitted", x=0.75)
left.text(1.5e3, 1.15, "one rate for all", color=VERMILLION)
left.text(8, 0.7, "equal\nspeed", color=BLUE)
left.text(STEPS[-1], 0.06, "training loss, one rate for all", color="0.4", ha="right", fontsize=10)
left.set(xscale="log", ylim=(0, 2.6), xlabel="step t of gradient descent",
         ylabel="mean squared error",
         title=f"{SETS} training sets; one of them: formula dashed, engine's steps as dots")

# %% The parts of the test error with one rate for all, and the network
for values, color, style, text, place in (
        (one_rate.fast, ORANGE, "-", "bias² in the fast features", (2, 0.33)),
        (one_rate.slow, GREEN, "--", "bias² in the slow features", (1, 1.03)),
        (one_rate.variance, BLACK, "-.", "variance: the noise", (1e4, 0.2))):
    curve(right, STEPS, values, color=color, linestyle=style)
    right.text(*place, text, color=[0.7 * part for part in to_rgb(color)])
right.set(xscale="log", ylim=(0, 1.3), xlabel="step t of gradient descent",
          ylabel="part of the test error", title="One rate for all: the parts of its test error")

curve(network, NET_STEPS, net_risks, color=VERMILLION)
curve(network, NET_STEPS, cured_risks, color=BLUE)
curve(network, NET_STEPS, net_losses, color="0.6", linestyle="-.", linewidth=1.5)
network.text(1, 2.7, "one rate for all", color=VERMILLION)
network.text(45, 1.1, f"slow layer:\n{1 / NET_SCALE ** 2:.0f} times the rate", color=BLUE)
network.text(1, 0.06, "training loss,\none rate for all", color="0.4", fontsize=10)
reference(network, net_limit, "theory: all are fitted")
network.set(xscale="log", ylim=(0, 3.5), xlabel="step t of gradient descent",
            ylabel="mean squared error", title="A network: the same, unless its slow layer has "
            "a larger learning rate")
demo.finish(figure)
