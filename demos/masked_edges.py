"""Can a graph tell which of its own edges were hidden?

MATH5836 week 10, section 10.3.1; Kipf and Welling 2016; Zachary 1977. A fifth of the 78 friendships of a karate
club is hidden, and as many pairs of strangers are drawn. A small graph network sees the others only; it learns
by hiding a part of these once more, in every step anew. Then it scores the pairs that it has never been shown.

You will see the club with one fifth hidden, and what the network thinks of the hidden friendships and of the
strangers; how well both are told apart, over many hidings, beside scores that need no training: the number of
common friends, and the product of the numbers of friends; and what is left without messages from neighbours.

Predict first: everybody knows somebody who knows one of the two leaders. Is it enough to count friends? How
much better does it get if the hidden edges may pass messages too, a mistake that is easily made?
"""
# %% Constants
from textwrap import fill

import matplotlib.pyplot as plt
import numpy as np
from common import BLACK, BLUE, GREEN, ORANGE, SKY, VERMILLION, start

from tinyml.optim import Adam
from tinyml.selfsupervised.masked_edges import (EdgePredictor, auc, common_neighbours, karate_club,
                                                masked_edge_loss, preferential_attachment)
from tinyml.selfsupervised.masking import mask_edges

demo = start(__file__, __doc__)
HIDINGS = 16 if demo.quick else 60        # each with its own hidden edges, non-edges and network
HIDDEN = 0.2                              # share of the edges kept for the test
MASKED = 0.3                              # share of the others that training hides in every step
DIM = 8                                   # numbers in a node's vector
STEPS = 200
ABOVE = 0.75 if demo.quick else 0.8       # the mean area that is claimed
RATE, DECAY = 2e-2, 3e-3                  # of Adam; without decay, 34 vectors learn 62 edges by heart

edges, n_nodes = karate_club()


# %% Experiment
def train(visible, rng, **options):
    model = EdgePredictor(n_nodes, DIM, rng=rng, **options)
    optimizer = Adam(model.parameters(), lr=RATE, weight_decay=DECAY)
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = masked_edge_loss(model, visible, mask_ratio=MASKED, rng=rng)
        loss.backward()
        optimizer.step()
    return model


def compare(rng):
    """The areas of all methods on one hiding."""
    visible, hidden, non_edges = mask_edges(edges, n_nodes, mask_ratio=HIDDEN, rng=rng)
    model, alone = train(visible, rng), train(visible, rng, messages=False)
    scores = {"graph network": lambda pairs: model(visible, pairs).data,
              "the same without messages": lambda pairs: alone(visible, pairs).data,
              "product of numbers of friends": lambda pairs: preferential_attachment(visible, n_nodes, pairs),
              "number of common friends": lambda pairs: common_neighbours(visible, n_nodes, pairs),
              "with a leak: hidden edges pass messages": lambda pairs: model(edges, pairs).data}
    kept.append((visible, hidden, non_edges, *(score(pairs) for score in (scores["graph network"],)
                                               for pairs in (hidden, non_edges))))
    return {name: auc(score(hidden), score(non_edges)) for name, score in scores.items()}


kept = []
rows = [compare(rng) for rng in demo.progress(demo.rng.spawn(HIDINGS), "hidings")]
areas = {name: np.array([row[name] for row in rows]) for name in rows[0]}
mean = {name: values.mean() for name, values in areas.items()}
METHODS = list(mean)
NETWORK, ALONE, FRIENDS, COMMON, LEAK = METHODS


# %% Figure
def layout():
    """Places by the two slowest eigenvectors of the normalised Laplacian, most of the way to their ranks."""
    A = np.zeros((n_nodes, n_nodes))
    A[tuple(edges.T)] = A[tuple(edges[:, ::-1].T)] = 1
    scale = 1 / np.sqrt(A.sum(axis=1))
    vectors = np.linalg.eigh(scale[:, None] * A * scale)[1][:, [-2, -3]] * scale[:, None]
    place = vectors.argsort(axis=0).argsort(axis=0) / (n_nodes - 1)
    return 0.75 * place + 0.25 * (vectors - vectors.min(axis=0)) / np.ptp(vectors, axis=0)


def draw_graph(ax, visible, hidden, non_edges, of_hidden, of_strangers):
    xy, degree = layout(), np.bincount(edges.ravel())
    middle = np.median(np.concatenate([of_hidden, of_strangers]))
    for pairs, colors, style, width in (
            (visible, ["0.8"] * len(visible), "-", 1),
            (hidden, [GREEN if s > middle else VERMILLION for s in of_hidden], "-", 2.4),
            (non_edges, [VERMILLION if s > middle else GREEN for s in of_strangers], ":", 1.6)):
        for (i, j), color in zip(pairs, colors):
            ax.plot(*xy[[i, j]].T, linestyle=style, color=color, lw=width, zorder=1)
    ax.scatter(*xy.T, s=40 + 18 * degree, color=SKY, edgecolor="0.2", zorder=2)
    for i, (x, y) in enumerate(xy):
        ax.text(x, y, i, ha="center", va="center", size=8 if degree[i] > 3 else 7)
    ax.set(xticks=[], yticks=[])
    ax.grid(False)
    ax.spines[:].set_visible(False)
    for style, text in (("-", "hidden friendship"), (":", "two strangers")):
        ax.plot([], [], color="0.3", linestyle=style, label=text)
    for color, text in ((GREEN, "rightly told"), (VERMILLION, "wrongly told")):
        ax.plot([], [], color=color, lw=4, label=text)
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, 0.02), ncols=4, fontsize=10)
    ax.set_title(f"{len(hidden)} hidden friendships and {len(non_edges)} pairs of strangers, one hiding: "
                 f"area {auc(of_hidden, of_strangers):.2f}")


def draw_areas(ax):
    colors = (BLUE, SKY, ORANGE, GREEN, VERMILLION)
    for row, (name, color) in enumerate(zip(METHODS, colors)):
        values = areas[name]
        counts = {}
        for value in np.sort(values):    # dots that would hide one another stand side by side
            near = round(value / 0.02)
            counts[near] = counts.get(near, 0) + 1
            ax.plot(value, row + 0.06 + 0.055 * (counts[near] - 1), "o", color=color, ms=4, alpha=0.6)
        ax.plot([mean[name]] * 2, [row - 0.12, row + 0.5], color=BLACK, lw=2)
        ax.text(mean[name], row - 0.15, f"{mean[name]:.2f}", ha="center", va="bottom", size=11, weight="bold")
    ax.axvline(0.5, color="0.5", linestyle="--", lw=1.3)
    ax.annotate("guessing", (0.5, -0.5), (4, -12), textcoords="offset points", color="0.4", size=10)
    ax.set(xlim=(0.4, 1.03), ylim=(len(METHODS) - 0.3, -0.5), yticks=range(len(METHODS)),
           yticklabels=[fill(name, 18) for name in METHODS],
           xlabel="area under the ROC curve: how often a hidden friendship scores above two strangers",
           title=f"{HIDINGS} hidings, one dot each; black: the mean")


figure, axes = plt.subplots(1, 2, figsize=(15, 7.2), width_ratios=[1.1, 1])
figure.suptitle("A graph network ranks a hidden friendship above two strangers in "
                f"{100 * mean[NETWORK]:.0f} % of comparisons, counting friends in {100 * mean[FRIENDS]:.0f} %")
draw_graph(axes[0], *kept[0])
draw_areas(axes[1])

# %% Claims
for name, values in areas.items():
    demo.record(f"area: {name}", mean[name], f"+- {values.std() / np.sqrt(HIDINGS):.3f} (standard error)")
lead = areas[NETWORK] - np.maximum(areas[FRIENDS], areas[COMMON])
demo.claim("hidden friendships are told from strangers (mean area)", mean[NETWORK], above=ABOVE)
demo.claim("better than by common friends (mean lead)", mean[NETWORK] - mean[COMMON], at_least=0.05)
demo.claim("and than by numbers of friends (mean lead)", mean[NETWORK] - mean[FRIENDS], at_least=0.05)
demo.claim("it even leads over whichever of the two is better on each hiding (mean lead)", lead.mean(), above=0)
demo.claim("a leak would flatter it (mean gain by messages along hidden edges)", mean[LEAK] - mean[NETWORK],
           above=0.01)
demo.finish(figure)
