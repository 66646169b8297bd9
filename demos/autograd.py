"""Where does a gradient come from, is it right, and what if it is wrong on purpose?

Reverse mode on a graph of recorded operations: Griewank and Walther 2008, section 3.2. The straight-through
estimator: Bengio, Leonard and Courville 2013; MATH5836 week 10, section 10.2.2.

You will see the graph of a small network with the norm of the gradient at every node; the disagreement
between autograd and a central difference as the step shrinks; and a rounded weight that learns, or does not.

Predict first: as the step h of the difference gets smaller, does the disagreement keep falling? And
how far does gradient descent move a weight that is rounded before it is used?
"""
# %% Constants
import matplotlib.pyplot as plt
import numpy as np
from common import BLUE, GREEN, ORANGE, VERMILLION, start

from tinyml import Tensor, gradcheck, ops
from tinyml import functional as F
from tinyml.debug import gradients

demo = start(__file__, __doc__)
SAMPLES, FEATURES, HIDDEN, CLASSES = 16, 5, 8, 3
STEPS_H = np.logspace(-12, -1, 23 if demo.quick else 45)    # steps of the central difference
DIRECTIONS = 5 if demo.quick else 25                        # random directions per step
TARGET, START, LR, GD_STEPS = 3.0, -1.7, 0.08, 40           # fit round(w) to TARGET by gradient descent

# %% A network of two layers, its loss, and the gradient of everything in between
rng = demo.rng
leaves = {
    "x": Tensor(rng.standard_normal((SAMPLES, FEATURES)), requires_grad=True),
    "W1": Tensor(rng.standard_normal((HIDDEN, FEATURES)) / np.sqrt(FEATURES), requires_grad=True),
    "b1": Tensor(np.zeros(HIDDEN), requires_grad=True),
    "W2": Tensor(rng.standard_normal((CLASSES, HIDDEN)) / np.sqrt(HIDDEN), requires_grad=True),
    "b2": Tensor(np.zeros(CLASSES), requires_grad=True),
}
labels = rng.integers(0, CLASSES, SAMPLES)


def network(x, W1, b1, W2, b2):
    hidden = F.tanh(F.linear(x, W1, b1))
    return F.cross_entropy(F.linear(hidden, W2, b2), labels)


# %% One walk back gives the gradient of every tensor in the graph
loss = network(*leaves.values())
grads = gradients(loss)
loss.backward()
demo.record("loss", loss.item())
demo.claim("every gradient of the network passes gradcheck",
           gradcheck(network, *leaves.values(), rng=rng), at_least=1)

# %% Autograd against the central difference, over many steps h
slope_errors = np.empty((DIRECTIONS, len(STEPS_H)))
x0, *weights = leaves.values()
for i in range(DIRECTIONS):
    u = rng.standard_normal(x0.shape)
    exact = (x0.grad * u).sum()
    for j, h in enumerate(STEPS_H):
        plus = network(Tensor(x0.data + h * u), *weights).item()
        minus = network(Tensor(x0.data - h * u), *weights).item()
        slope_errors[i, j] = abs((plus - minus) / (2 * h) - exact) / abs(exact)
median_error = np.median(slope_errors, axis=0)
eps = np.finfo(float).eps
best_h = STEPS_H[median_error.argmin()]

# %% The best step balances truncation, h^2, against rounding, eps / h
large_h, large_errors = np.log(STEPS_H[-5:-1]), np.log(median_error[-5:-1])
demo.record("best step h", best_h)
demo.claim("the smallest relative disagreement is far below that of any wrong rule",
           median_error.min(), at_most=1e-8)
demo.claim("the best step is near eps^(1/3) = 6e-6, where truncation meets rounding", best_h,
           within=(1e-7, 1e-3))
demo.claim("halving a large h divides the disagreement by 4: log-log slope",
           np.polyfit(large_h, large_errors, 1)[0], within=(1.7, 2.3))


# %% Gradient descent on (round(w) - target)^2, with a given rule for the slope of round
def descend(rounding):
    w = Tensor(np.array(START), requires_grad=True)
    path = [w.item()]
    for _ in range(GD_STEPS):
        w.grad = None
        loss = (rounding(w) - TARGET) ** 2
        if loss.requires_grad:
            loss.backward()
            w.data = w.data - LR * w.grad
        path.append(w.item())
    return np.array(path)


# %% Calculus says that the slope of round is 0; the straight-through rule says 1
def round_with_slope_0(w):
    return Tensor(np.round(w.data)) + 0 * w


path_true, path_ste = descend(round_with_slope_0), descend(ops.round_ste)
demo.record("final weight, calculus", path_true[-1])
demo.record("final weight, straight-through", path_ste[-1])
demo.claim("with the true slope the weight does not move (distance)", abs(path_true[-1] - START),
           at_most=0.0)
demo.claim("straight-through, round(w) reaches the target (distance)",
           abs(np.round(path_ste[-1]) - TARGET), at_most=0.0)

# %% Figure
figure = plt.figure(figsize=(12, 8))
figure.suptitle("One walk back gives every gradient; with a slope that is wrong on purpose, a rounded weight learns")
top, bottom = figure.add_gridspec(2, 1, height_ratios=[1, 1.1])
graph_axes = figure.add_subplot(top)
check_axes, ste_axes = (figure.add_subplot(cell) for cell in bottom.subgridspec(1, 2))


def draw_graph(ax, grads, names):
    """Boxes from left to right, arguments before results; leaves above and below the operations."""
    column, filled, boxes = {}, {}, {}
    for tensor in reversed(grads):    # oldest first
        column[tensor] = 1 + max((column[parent] for parent, _ in tensor.edges), default=-1)
        for parent, _ in tensor.edges:
            column[parent] = column[tensor] - 1
    for tensor in sorted(grads, key=lambda t: (not t.edges, t.serial)):
        filled[column[tensor]] = row = filled.get(column[tensor], -1) + 1
        label = next((name for name, leaf in names.items() if leaf is tensor), tensor.op)
        text = [label.replace("label_cross_entropy", "cross entropy"),
                "x".join(map(str, tensor.shape)) or "scalar",
                f"|grad| {np.linalg.norm(grads[tensor]):.2g}"]
        face, edge = ("#eaf3fa", BLUE) if tensor.edges else ("#fdf3e1", ORANGE)
        boxes[tensor] = ax.text(column[tensor], (0, 1, -1)[row], "\n".join(text), fontsize=10,
                                ha="center", va="center",
                                bbox=dict(boxstyle="round,pad=0.5", fc=face, ec=edge, lw=1.4))
    for tensor, box in boxes.items():
        for parent, _ in tensor.edges:
            ax.annotate("", box.get_position(), boxes[parent].get_position(), zorder=0,
                        arrowprops=dict(arrowstyle="-|>", color="0.45", patchB=box.get_bbox_patch(),
                                        patchA=boxes[parent].get_bbox_patch()))
    ax.set(xlim=(-0.5, max(column.values()) + 0.5), ylim=(-1.6, 1.6))
    ax.axis("off")


draw_graph(graph_axes, grads, leaves)
graph_axes.set_title("The graph of a two-layer network: leaves orange, operations blue; "
                     "gradients flow right to left")

check_axes.loglog(STEPS_H, slope_errors.T, ".", color=BLUE, alpha=0.15, ms=4)
check_axes.loglog(STEPS_H, median_error, color=BLUE, label="measured, median over directions")
check_axes.loglog(STEPS_H, eps / STEPS_H, "--", color=VERMILLION, label="rounding, $\\varepsilon / h$")
truncation = median_error[-1] * (STEPS_H / STEPS_H[-1]) ** 2
check_axes.loglog(STEPS_H, truncation, ":", color=GREEN, label="truncation, $h^2$")
check_axes.set(xlabel="step h of the central difference", ylabel="relative disagreement",
               ylim=(1e-14, 1e-2), title=f"Autograd against difference: best near h = {best_h:.0e}")
check_axes.legend(loc="upper center")

ste_axes.plot(path_ste, color=BLUE, marker="o", ms=3, label="straight-through: slope 1")
ste_axes.plot(path_true, color=VERMILLION, ls="--", label="calculus: slope 0")
ste_axes.axhspan(TARGET - 0.5, TARGET + 0.5, color=GREEN, alpha=0.15, lw=0)
ste_axes.text(GD_STEPS, TARGET + 0.1, f"rounds to {TARGET:g}", color=GREEN, ha="right", weight="bold")
ste_axes.set(xlabel="gradient step", ylabel="weight w",
             title="Minimise (round(w) - 3)$^2$: only the straight-through rule moves")
ste_axes.legend(loc="center right")

demo.finish(figure)
