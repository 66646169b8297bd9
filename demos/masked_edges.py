"""Can a graph network find the edges of a graph that were hidden from it?

MATH5836 week 10, section 10.3.1; Kipf and Welling 2016; Zachary 1977. A fifth of the 78
friendships of a karate club is hidden, and as many pairs of strangers are drawn. A small graph
network sees the other friendships only. It learns by hiding some of these as well, anew in each
step. Then it scores the pairs that it has never seen.

You will see the club, and which of the hidden friendships and strangers the network tells right;
and the area under the ROC curve, over many random splits, beside three scores without training:
the number of common neighbours, the product of the two degrees (numbers of neighbours), and the
larger degree.

The club has two leaders with many friends, and to know these is most of it: the larger degree alone
comes near the network. With --data the graph is another one. In `les-miserables` all who meet in a
chapter are joined, so to count common neighbours is as good as the network. In `blocks` there are
groups, but no leaders. On both, node vectors are better without messages: a node's own edges tell
enough, and to mix in those of its neighbours blurs them. Messages help where edges are few.

Predict first: is it enough to count neighbours? On which graph? How much better does the result
look if the hidden edges take part in the convolution, an easy mistake? Do messages always help?
"""
# %% Constants
import matplotlib.pyplot as plt
import numpy as np
from _graphs import GRAPHS
from common import BLACK, GREEN, SKY, VERMILLION, start

from tinyml.optim import Adam
from tinyml.selfsupervised.masked_edges import (
    EdgePredictor,
    auc,
    common_neighbours,
    masked_edge_loss,
    preferential_attachment,
    propagation,
)
from tinyml.selfsupervised.masking import adjacency, mask_edges

demo = start(__file__, __doc__, data=("karate", "les-miserables", "blocks"))
SPLITS = 16 if demo.quick else 60         # each with its own hidden edges, non-edges and network
HIDDEN = 0.2                              # fraction of the edges kept for the test
MASKED = 0.3                              # fraction of the others that each step hides
DIM = 8                                   # numbers in a node's vector
STEPS = 200
LR, DECAY = 2e-2, 3e-3                    # of Adam; without decay the network overfits
ABOVE = 0.75 if demo.quick else 0.8       # the mean area that is expected

# %% Data: 34 members of a karate club, and who is friends with whom; or another graph
edges, n_nodes = GRAPHS[demo.data]()


def clustering(edges):
    """The share of closed triangles among two edges that meet."""
    A = adjacency(edges, n_nodes).astype(int)
    degree = A.sum(axis=1)
    return np.trace(A @ A @ A) / np.sum(degree * (degree - 1))


demo.record("nodes and edges", [n_nodes, len(edges)])
demo.record("of two edges that meet, the share that a third closes", clustering(edges))


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
                                "larger degree", "common neighbours", "hidden edges leak")}
splits = []
for rng in demo.progress(demo.rng.spawn(SPLITS), "splits"):
    visible, hidden, non_edges = mask_edges(edges, n_nodes, mask_ratio=HIDDEN, rng=rng)
    pairs = np.concatenate([hidden, non_edges])
    model, alone = train(visible, rng), train(visible, rng, messages=False)
    scores["graph network"].append(model(visible, pairs).data)
    scores["without messages"].append(alone(visible, pairs).data)
    scores["product of degrees"].append(preferential_attachment(visible, n_nodes, pairs))
    degree = np.bincount(visible.ravel(), minlength=n_nodes)
    scores["larger degree"].append(degree[pairs].max(axis=1))
    scores["common neighbours"].append(common_neighbours(visible, n_nodes, pairs))
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

# %% Nothing that is asked for was seen
def overlap(visible, hidden, non_edges):
    """How many of the pairs that the network is asked for are visible, or are wrongly non-edges."""
    truth, seen = adjacency(edges, n_nodes), adjacency(visible, n_nodes)
    return seen[hidden.T[0], hidden.T[1]].sum() + truth[non_edges.T[0], non_edges.T[1]].sum()


demo.claim("no hidden edge is visible, and no non-edge is an edge (pairs of all splits)",
           sum(overlap(*split) for split in splits), at_most=0)

# %% The network tells hidden edges from non-edges, better than the scores without training?
network = mean["graph network"]
simple = max(("product of degrees", "larger degree", "common neighbours"), key=mean.get)
HUBS = ("What the network learns first are the hubs; where no node has far more edges than others, "
        "it must find groups, and neighbours from several groups blur them.")
COUNTING = ("Where groups are dense, or no node stands out, common neighbours tell a group without "
            "any training.")
demo.finding("the network tells hidden edges from non-edges (mean area)", network, above=ABOVE,
             why=HUBS)
demo.finding("the network is better than common neighbours (mean lead)",
             network - mean["common neighbours"], at_least=0.05, why=COUNTING)
demo.finding("the network is better than the product of degrees (mean lead)",
             network - mean["product of degrees"], at_least=0.05,
             why="Where hubs alone decide who has an edge, the product of degrees tells all there is to know.")
demo.finding("the network is better than the best score without training (mean lead)",
             network - mean[simple], above=0.02, why=COUNTING)

# %% Is it the messages? The other network has node vectors too, but does not mix them
demo.finding("messages help (mean lead over the network without them)",
             network - mean["without messages"], above=0,
             why="Where a node has enough edges of its own to learn from, mixing in those of its "
                 "neighbours blurs what it has learned.")

# %% If hidden edges pass messages, the result looks better than it is
demo.finding("a leak of the hidden edges inflates the area (mean gain)",
             mean["hidden edges leak"] - network, above=0.01,
             why="Where the visible edges tell nearly all, a leak has little to add.")


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
    ax.set(xticks=[], yticks=[], title=f"{k} hidden edges (lines), {k} non-edges (dots)",
           xlabel="green: the network is right; red: it is wrong; grey: visible edges")
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
figure.suptitle(f"{demo.data}: a graph network ranks a hidden edge above a non-edge in "
                f"{100 * network:.0f} % of the cases,\n"
                f"the best score without training, {simple}, does so in {100 * mean[simple]:.0f} %")
draw_graph(axes[0], splits[0], scores["graph network"][0])
draw_areas(axes[1])
demo.finish(figure)
