"""What do views that attract and others that repel make of random points, and whom does a temperature serve?

MATH5836 week 10, section 10.3.2, equation 10.1; Chen et al. 2020; Wang and Isola 2020. Nothing is encoded here:
the embeddings themselves are moved, or left where they are, so that only the loss is to be seen.

You will see pairs of points in the plane that follow the gradient of NT-Xent, at random first; their loss,
alignment and uniformity on the way, beside those of the best arrangement there is; the loss of embeddings that
know nothing, which is near ln(2B - 1), for batches of all sizes; and which negatives a gradient is made of, at
temperatures from hot to cold, beside the share that normally distributed similarities would give.

Predict first: where will the pairs go? Is a loss of 6.2 good, for a batch of 256? Of thousands of negatives,
how many matter at T = 0.05?
"""
# %% Constants
import math
from statistics import NormalDist

import matplotlib.pyplot as plt
import numpy as np
from common import BLACK, BLUE, GREEN, ORANGE, PURPLE, VERMILLION, label_line, start

from tinyml import Tensor
from tinyml.selfsupervised.contrastive import alignment, info_nce, nt_xent, uniformity

demo = start(__file__, __doc__)
PAIRS, STEPS = 10, 400                       # on the circle; of gradient descent
T_CIRCLE = 0.5
RATE = 0.3 * PAIRS * T_CIRCLE                # the gradient in one embedding is of order 1 / (B T)
DIM = 128                                    # of the embeddings in the other panels
BATCHES = 2 ** np.arange(2, 8 if demo.quick else 11)
HEATS = (0.1, 0.5)                           # temperatures of those
ROWS = 1000 if demo.quick else 4000          # of random embeddings, at least, for each batch size
TEMPERATURES = np.geomspace(0.01, 2, 16 if demo.quick else 32)
QUERIES, NEGATIVES = (8, 2000) if demo.quick else (16, 4000)
HARD = 0.1                                   # the share of the negatives that are called hard

# %% Experiment: pairs of points follow the gradient
moving = [Tensor(z, requires_grad=True) for z in demo.rng.standard_normal((2, PAIRS, 2))]
for z in moving:
    z.data = z.data / np.linalg.norm(z.data, axis=1, keepdims=True)
path, rows, right_angles = [], [], []
for step in demo.progress(range(STEPS + 1), "points on a circle"):
    for z in moving:
        z.grad = None
    loss = nt_xent(*moving, temperature=T_CIRCLE)
    loss.backward()
    path.append([z.data for z in moving])
    rows.append((loss.item(), alignment(*moving).item(), uniformity(moving[0]).item()))
    right_angles += [abs((z.data * z.grad).sum(axis=1)).max() for z in moving]
    for z in moving:
        z.data = z.data - RATE * z.grad
path, (losses, apart, spread) = np.array(path), np.array(rows).T    # path (STEPS + 1, 2, PAIRS, 2)
lengths = np.linalg.norm(path, axis=-1)
angle = 2 * np.pi * np.arange(PAIRS) / PAIRS
polygon = np.stack([np.cos(angle), np.sin(angle)], axis=1)          # both views on the same corner
best = nt_xent(polygon, polygon, temperature=T_CIRCLE).item()
best_spread = uniformity(polygon).item()

# %% Experiment: the loss of embeddings that know nothing


def ignorant(B, T):
    """The mean loss of B pairs of random directions."""
    draws = demo.rng.standard_normal((math.ceil(ROWS / B), 2, B, DIM), dtype=np.float32)
    return np.mean([nt_xent(*z, temperature=T).item() for z in draws])


chance = np.log(2 * BATCHES - 1)
start_losses = np.array([[ignorant(B, T) for B in BATCHES] for T in HEATS])
# The similarities of random directions are nearly N(0, 1/D), and ln E e^(s/T) = 1 / (2 D T^2).
surplus = np.array([1 / (2 * DIM * T * T) for T in HEATS])

# %% Experiment: the gradient's share of the hardest tenth of the negatives
query, positive = demo.rng.standard_normal((2, QUERIES, DIM))
keys = demo.rng.standard_normal((NEGATIVES, DIM))
unit = [z / np.linalg.norm(z, axis=1, keepdims=True) for z in (query, keys)]


def hard_share(q, p, T):
    """Of the lengths of the gradients in all negatives of one query, the part that the hardest tenth has."""
    negatives = Tensor(keys, requires_grad=True)
    info_nce(q[None], p[None], negatives, temperature=T).backward()
    pull = np.linalg.norm(negatives.grad, axis=1) * np.linalg.norm(keys, axis=1)    # in the unit vectors
    hardest = np.argsort(unit[1] @ q)[-round(HARD * NEGATIVES):]
    return pull[hardest].sum() / pull.sum()


shares = np.array([np.mean([hard_share(q, p, T) for q, p in zip(query, positive)])
                   for T in demo.progress(TEMPERATURES, "temperatures")])
# e^(s/T) moves the mean of s ~ N(0, 1/D) from 0 to 1/(D T): a tenth lies above a fixed line before, more after.
normal = NormalDist()
theory = np.array([normal.cdf(1 / (math.sqrt(DIM) * T) - normal.inv_cdf(1 - HARD)) for T in TEMPERATURES])

# %% Figure
DASHED = dict(linestyle="--", color=BLACK, lw=1.3)


def draw_circle(ax):
    turn = np.linspace(0, 2 * np.pi, 200)
    ax.plot(np.cos(turn), np.sin(turn), color="0.85", lw=1)
    colors = plt.get_cmap("turbo")(np.linspace(0.02, 0.98, PAIRS))
    rings = np.linspace(0.45, 1, STEPS + 1)[:, None, None, None]    # time goes outwards
    where = path / lengths[..., None] * rings
    for k, color in enumerate(colors):
        for view, marker in ((0, "o"), (1, "s")):
            ax.plot(*where[:, view, k].T, color=color, lw=1.5)
            ax.plot(*where[0, view, k], marker, color=color, mfc="white", ms=6)
        ax.plot(*where[-1, 0, k], "o", color=color, ms=11)
        ax.plot(*where[-1, 1, k], "s", color="white", ms=4)
    ax.text(0, 0, "time goes\noutwards", ha="center", va="center", color="0.4")
    ax.set(aspect="equal", xlim=(-1.2, 1.2), ylim=(-1.2, 1.2), xticks=[], yticks=[],
           title=f"{PAIRS} pairs (circle and square) under NT-Xent, T = {T_CIRCLE}")
    ax.spines[:].set_visible(False)


def draw_descent(ax):
    t = np.arange(STEPS + 1)
    for values, limit, text, color in ((losses, best, "loss", BLUE), (apart, 0, "alignment", GREEN),
                                       (spread, best_spread, "uniformity", ORANGE)):
        line, = ax.plot(t, values, color=color)
        label_line(ax, line, text)
        ax.axhline(limit, **DASHED)
    alike = math.log(2 * PAIRS - 1)
    ax.axhline(alike, color=VERMILLION, linestyle=":")
    ax.text(STEPS, alike, "ln(2B $-$ 1), all alike", ha="right", va="bottom", color=VERMILLION)
    ax.text(0.4, best_spread - 0.06, "dashed: a regular polygon of pairs", va="top")
    ax.set_xscale("symlog", linthresh=10)
    ax.set(xlim=(0, STEPS), ylim=(-2.7, None), xlabel="step of gradient descent",
           ylabel="nats; squared length; log of the mean kernel",
           title="They end in the best arrangement there is")


def draw_start(ax):
    ax.plot(BATCHES, chance, **DASHED)
    for T, values, more, color, marker in zip(HEATS, start_losses, surplus, (VERMILLION, BLUE), "Do"):
        ax.plot(BATCHES, values, marker, color=color, ms=6)
        ax.plot(BATCHES, chance + more, linestyle=":", color=color, lw=1.3)
        ax.annotate(f"T = {T}", (BATCHES[-1], values[-1]), (8, 0), textcoords="offset points", va="center",
                    color=color)
    ax.annotate("ln(2B $-$ 1)", (BATCHES[2], chance[2]), (12, -14), textcoords="offset points")
    ax.set_xscale("log", base=2)
    ax.set(xlabel="batch size B, pairs", ylabel="loss of random embeddings, nats",
           title="A loss that knows nothing: the log of the batch")


def draw_shares(ax):
    ax.plot(TEMPERATURES, 100 * theory, **DASHED, label="normal similarities")
    ax.plot(TEMPERATURES, 100 * shares, "o", color=PURPLE, ms=6, label="measured by backward()")
    ax.axhline(100 * HARD, color="0.5", lw=1)
    ax.text(TEMPERATURES[0], 100 * HARD, "all alike", va="bottom", color="0.4")
    ax.set_xscale("log")
    ax.set(xlabel="temperature T", ylabel=f"gradient's share of the hardest {100 * HARD:.0f} %, in %",
           ylim=(0, 105), title="Cold, a loss looks at its hardest negatives only")
    ax.legend(loc="upper right")


figure, axes = plt.subplots(2, 2, figsize=(12.5, 10))
figure.suptitle("NT-Xent lays the views of one thing on each other and all things evenly around the circle")
for ax, draw in zip(axes.flat, (draw_circle, draw_descent, draw_start, draw_shares)):
    draw(ax)

# %% Claims
cold, hot = shares[TEMPERATURES <= 0.05].min(), shares[-1]
demo.record("loss, alignment, uniformity at the start", [losses[0], apart[0], spread[0]])
demo.record("loss, alignment, uniformity at the end", [losses[-1], apart[-1], spread[-1]])
demo.record("the same of a regular polygon of pairs", [best, 0.0, best_spread])
for T, values in zip(HEATS, start_losses):
    demo.record(f"loss of random embeddings less ln(2B - 1), T = {T}", values - chance, "nats")
demo.record("temperatures", TEMPERATURES)
demo.record(f"share of the hardest {HARD:.0%}", shares)
demo.claim("the pairs reach the loss of the regular polygon (relative difference)", abs(losses[-1] / best - 1),
           at_most=1e-3)
demo.claim("the two views of each thing meet (alignment)", apart[-1], at_most=1e-3)
demo.claim("and the things are spread as evenly as can be (uniformity, beyond the polygon's)",
           abs(spread[-1] - best_spread), at_most=1e-2)
demo.claim("each gradient is orthogonal to its embedding (largest product)", max(right_angles), at_most=1e-12)
demo.claim("so no embedding ever gets shorter (least change of a length)", np.diff(lengths, axis=0).min(),
           at_least=-1e-12)
demo.claim(f"random embeddings at T = {HEATS[-1]} have the loss ln(2B - 1) (largest distance, nats)",
           np.abs(start_losses[-1] - chance).max(), at_most=0.05)
demo.claim("and 1 / (2 D T^2) more where T is low (largest distance, largest batch)",
           np.abs(start_losses[:, -1] - chance[-1] - surplus).max(), at_most=0.05)
demo.claim("the hard negatives' share of the gradient is that of normal similarities (largest distance)",
           np.abs(shares - theory).max(), at_most=0.05)
demo.claim(f"below T = 0.05 the hardest {HARD:.0%} are almost all of it (least share)", cold, at_least=0.6)
demo.claim(f"at T = {TEMPERATURES[-1]:.0f} they are no more than their number (share)", hot, at_most=1.3 * HARD)
demo.finish(figure)
