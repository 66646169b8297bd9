"""Can a graph network find the edges of a graph that were hidden from it?

MATH5836 week 10, section 10.3.1; Kipf and Welling 2016; Zachary 1977. A fifth of the 78
friendships of a karate club is hidden, and as many pairs of strangers are drawn. A small graph
network sees the other friendships only. It learns by hiding some of these as well, anew in each
step. Then it scores the pairs that it has never seen.

You will see the club, and which of the hidden friendships and strangers the network tells right;
and the area under the ROC curve, over many random splits, beside two scores without training: the
number of common friends, and the product of the numbers of friends.

Predict first: is it enough to count friends? How much better does the result look if the hidden
edges take part in the convolution, an easy mistake?
"""
# %% Constants
import matplotlib.pyplot as plt
import numpy as np
from common import BLACK, GREEN, SKY, VERMILLION, start

from tinyml.optim import Adam
from tinyml.selfsupervised.masked_edges import (
    EdgePredictor,
    auc,
    common_neighbours,
    karate_club,
    masked_edge_loss,
    preferential_attachment,
    propagation,
)
from tinyml.selfsupervised.masking import mask_edges

demo = start(__file__, __doc__)
SPLITS = 16 if demo.quick else 60         # each with its own hidden edges, non-edges and network
HIDDEN = 0.2                              # fraction of the edges kept for the test
MASKED = 0.3                              # fraction of the others that each step hides
DIM = 8                                   # numbers in a node's vector
STEPS = 200
LR, DECAY = 2e-2, 3e-3                    # of Adam; without decay the network overfits
ABOVE = 0.75 if demo.quick else 0.8       # the mean area that is claimed

# %% Data: 34 members of a karate club, and who is friends with whom
edges, n_nodes = karate_club()


# %% Training: hide edges in each step, and learn to tell them from non-edges
def train(visible, rng, **options):
    """A network that was trained on the visible edges."""
    model = EdgePredictor(n_nodes, DIM, rng=rng, **options)
    optimizer = Adam(model.parameters(), lr=LR, weight_decay=DECAY)
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = masked_edge_loss(model, visible, mask_ratio=MASKED, rng=rng)
        loss.backward()
        optimizer.step()
    return model


# %% Experiment: many splits; every method scores the hidden edges and as many non-edges
scores = {name: [] for name in ("graph network", "without messages", "product of degrees",
                                "common friends", "hidden edges leak")}
splits = []
for rng in demo.progress(demo.rng.spawn(SPLITS), "splits"):
    visible, hidden, non_edges = mask_edges(edges, n_nodes, mask_ratio=HIDDEN, rng=rng)
    pairs = np.concatenate([hidden, non_edges])
    model, alone = train(visible, rng), train(visible, rng, messages=False)
    scores["graph network"].append(model(visible, pairs).data)
    scores["without messages"].append(alone(visible, pairs).data)
    scores["product of degrees"].append(preferential_attachment(visible, n_nodes, pairs))
    scores["common friends"].append(common_neighbours(visible, n_nodes, pairs))
    scores["hidden edges leak"].append(model(edges, pairs).data)    # the mistake
    splits.append((visible, hidden, non_edges))

# %% The area under the ROC curve: how often a hidden edge scores above a non-edge
k = len(splits[0][1])    # hidden edges, the first of the pairs


def areas_of(rows):
    return np.array([auc(score[:k], score[k:]) for score in rows])


areas = {name: areas_of(rows) for name, rows in scores.items()}
mean = {name: values.mean() for name, values in areas.items()}
for name, values in areas.items():
    standard_error = values.std() / np.sqrt(SPLITS)
    demo.record(f"area: {name}", mean[name], f"+- {standard_error:.3f} (standard error)")

# %% The network tells hidden friendships from strangers, better than the scores without training
network = mean["graph network"]
best_score = np.maximum(areas["product of degrees"], areas["common friends"])    # on each split
demo.claim("the network tells hidden friendships from strangers (mean area)", network, above=ABOVE)
demo.claim("the network is better than common friends (mean lead)",
           network - mean["common friends"],
           at_least=0.05)
demo.claim("the network is better than the product of degrees (mean lead)",
           network - mean["product of degrees"],
           at_least=0.05)
demo.claim("the network is better than the better of the two on each split (mean lead)",
           network - best_score.mean(), above=0)

# %% If hidden edges pass messages, the result looks better than it is
demo.claim("a leak of the hidden edges inflates the area (mean gain)",
           mean["hidden edges leak"] - network, above=0.01)


# %% Figure
def layout():
    """Places of the nodes: two eigenvectors of the propagation matrix, spread by their ranks."""
    vectors = np.linalg.eigh(propagation(edges, n_nodes))[1][:, [-2, -3]]
    ranks = vectors.argsort(axis=0).argsort(axis=0) / (n_nodes - 1)
    low, high = vectors.min(axis=0), vectors.max(axis=0)
    return 0.75 * ranks + 0.25 * (vectors - low) / (high - low)


def draw_graph(ax, split, score):
    """The visible edges in grey, and above them the pairs that the network must tell apart."""
    (visible, hidden, non_edges), xy = split, layout()
    above = score > np.median(score)
    for i, j in visible:
        ax.plot(*xy[[i, j]].T, color="0.85", lw=1, zorder=1)
    for pairs, style, right in ((hidden, "-", above[:k]), (non_edges, ":", ~above[k:])):
        for (i, j), is_right in zip(pairs, right):
            color = GREEN if is_right else VERMILLION
            ax.plot(*xy[[i, j]].T, style, color=color, lw=2.2, zorder=1)
    ax.scatter(*xy.T, s=60 + 18 * np.bincount(edges.ravel()), color=SKY, edgecolor="0.2", zorder=2)
    for i, place in enumerate(xy):
        ax.text(*place, i, ha="center", va="center", size=8)
    ax.set(xticks=[], yticks=[], title=f"{k} hidden friendships (lines), {k} non-edges (dots)",
           xlabel="green: the network is right; red: it is wrong; grey: visible friendships")
    ax.grid(False)
    ax.spines[:].set_visible(False)


def draw_areas(ax):
    """A dot for each split, and the mean."""
    jitter = np.random.default_rng(0).uniform(-0.2, 0.2, SPLITS)    # keeps dots apart
    for row, values in enumerate(areas.values()):
        ax.plot(values, row + jitter, "o", ms=4, alpha=0.6)
        ax.plot([values.mean()] * 2, [row - 0.3, row + 0.3], color=BLACK)
        ax.text(values.mean(), row - 0.34, f"{values.mean():.2f}", ha="center", weight="bold")
    ax.axvline(0.5, color="0.5", linestyle="--", lw=1.3)
    ax.text(0.505, 0, "guessing", color="0.4", size=10)
    ax.set_yticks(range(len(areas)), list(areas))
    ax.set(xlim=(0.4, 1.03), ylim=(len(areas) - 0.5, -0.6), xlabel="area under the ROC curve",
           title=f"{SPLITS} random splits, one dot each; black: the mean")


figure, axes = plt.subplots(1, 2, figsize=(15, 6.8), width_ratios=[1.1, 1])
figure.suptitle("A graph network ranks a hidden friendship above strangers in "
                f"{100 * network:.0f} % of the cases, the product of degrees in "
                f"{100 * mean['product of degrees']:.0f} %")
draw_graph(axes[0], splits[0], scores["graph network"][0])
draw_areas(axes[1])
demo.finish(figure)
