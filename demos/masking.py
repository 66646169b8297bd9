"""What is hidden, and how, in a text, an image, a series and a graph?

MATH5836 week 10, section 10.3.1. One idea, four kinds of data. Letters of a text (the docstrings of this
package) become [MASK], another letter, or stay, as in BERT; three quarters of the patches of a digit are taken
away, as in MAE; spans of readings become zero, here of eight light sensors over which a strip of handwritten
digits passes; edges of a graph are hidden among pairs that never had one.

You will see an example of each, and below it, whether hiding leaves anything to learn: how much of the way from
a blind guess to the truth the simplest use of the visible rest goes, without any training of a model.

Predict first: which of the four gives away most of what is hidden, and which least? What happens to the share
that can be known when the same number of readings is hidden in longer spans?
"""
# %% Constants
import ast
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from common import BLACK, BLUE, GREEN, ORANGE, PURPLE, VERMILLION, start

import tinyml
from tinyml import Tensor
from tinyml import functional as F
from tinyml.data import digits, train_test_split
from tinyml.selfsupervised.masked_edges import auc, common_neighbours, karate_club
from tinyml.selfsupervised.masked_patches import patchify, unpatchify
from tinyml.selfsupervised.masking import (mask_edges, mask_input, mask_patches, mask_spans, mask_tokens,
                                           masked_loss)

demo = start(__file__, __doc__)
LETTERS = " abcdefghijklmnopqrstuvwxyz"
LINE = 64                        # letters in a sequence
TOKENS, PATCHES, READINGS, EDGES = 0.15, 0.75, 0.3, 0.2    # shares that are hidden
SPANS = (1, 2, 4, 8, 16)         # readings in a span; a digit passes in 8
SPAN = 4                         # of them, in the example
STRIP = 20                       # digits in a strip
WINDOW = 4                       # time steps to each side that tell about a reading
ASKED = 400 if demo.quick else 3000    # readings
HIDINGS = 50 if demo.quick else 500    # of edges
NEAREST = 5                      # images that are looked up


# %% Data
def text():
    """The docstrings of all modules of the package, letters and spaces only, as rows of LINE tokens."""
    sources = sorted(Path(tinyml.__file__).parent.rglob("*.py"))
    docs = [ast.get_docstring(ast.parse(source.read_text(encoding="utf-8"))) or "" for source in sources]
    letters = "".join(letter if letter in LETTERS else " " for letter in " ".join(docs).lower())
    tokens = np.array([LETTERS.index(letter) for letter in " ".join(letters.split())])
    return tokens[:len(tokens) // LINE * LINE].reshape(-1, LINE)


def strips(images):
    """Digits side by side, as eight sensors that look at a row of pixels each: (n, 8, 8 STRIP)."""
    n = len(images) // STRIP
    return images[:n * STRIP].reshape(n, STRIP, 8, 8).swapaxes(1, 2).reshape(n, 8, 8 * STRIP)


X, y = digits()
X_train, X_test, *_ = train_test_split(X, y, test_size=0.3, rng=demo.rng, stratify=y)
words = demo.rng.permutation(text())
words_train, words_test = np.split(words, [int(0.7 * len(words))])
edges, n_nodes = karate_club()


# %% Experiment: a blind guess, and the simplest use of what is visible; 0 is blind, 1 is the truth
def known_letters(corrupted, chosen):
    """Under [MASK]: the letter that most often stands between these two neighbours; blind: the space."""
    V = len(LETTERS)
    counts = np.zeros((V + 1, V, V + 1))
    left, middle, right = (words_train[:, i:LINE - 2 + i] for i in range(3))
    for a, b in ((left, right), (V, right), (left, V)):    # beside another [MASK]: whatever the letter there
        np.add.at(counts, (a, middle, b), 1)
    counts[V, :, V] = np.bincount(words_train.ravel(), minlength=V)
    guess = counts[corrupted[:, :-2], :, corrupted[:, 2:]].argmax(axis=-1)
    asked = chosen[:, 1:-1] & (corrupted[:, 1:-1] == V)
    true = words_test[:, 1:-1]
    right, blind = (guess == true)[asked].mean(), (true == 0)[asked].mean()
    return (right - blind) / (1 - blind)


def known_pixels(hidden):
    """The mean of the images nearest at the visible pixels; blind: the mean of all images."""
    masks = hidden.reshape(-1, 4, 4).repeat(2, axis=1).repeat(2, axis=2).reshape(-1, 64)    # of pixels
    error = blind = 0
    for x, mask in zip(X_test, masks):
        distance = ((X_train - x)[:, ~mask] ** 2).sum(axis=1)
        guess = X_train[distance.argsort()[:NEAREST]].mean(axis=0)
        error += ((guess - x)[mask] ** 2).sum()
        blind += ((X_train.mean(axis=0) - x)[mask] ** 2).sum()
    return 1 - error / blind


def known_readings(x, mask, *, alone=False):
    """The best linear guess from what is visible within WINDOW time steps; blind: the mean of the sensor.

    From all sensors, or from the one that is asked about alone.
    """
    windows = np.lib.stride_tricks.sliding_window_view(strips(X_train), 2 * WINDOW + 1, axis=2)
    windows = windows.swapaxes(1, 2).reshape(-1, 8 * (2 * WINDOW + 1))
    mean, covariance = windows.mean(axis=0), np.cov(windows.T) + 1e-3 * np.eye(windows.shape[1])
    error = blind = 0
    inside = np.argwhere(mask[:, :, WINDOW:-WINDOW])
    for strip, sensor, t in demo.rng.permutation(inside)[:ASKED]:    # t is where the window begins
        around = (strip, slice(None), slice(t, t + 2 * WINDOW + 1))
        centre, visible = sensor * (2 * WINDOW + 1) + WINDOW, ~mask[around]
        visible = (visible & (np.arange(8)[:, None] == sensor) if alone else visible).ravel()
        weight = np.linalg.solve(covariance[np.ix_(visible, visible)], covariance[visible, centre])
        guess = mean[centre] + weight @ (x[around].ravel() - mean)[visible]
        error += (guess - x[strip, sensor, t + WINDOW]) ** 2
        blind += (mean[centre] - x[strip, sensor, t + WINDOW]) ** 2
    return 1 - error / blind


def known_edges():
    """The number of common neighbours; blind: the toss of a coin, an area of 1/2."""
    areas = []
    for _ in range(HIDINGS):
        visible, hidden, non_edges = mask_edges(edges, n_nodes, mask_ratio=EDGES, rng=demo.rng)
        areas.append(auc(*(common_neighbours(visible, n_nodes, pairs) for pairs in (hidden, non_edges))))
    return 2 * np.mean(areas) - 1


before = [a.copy() for a in (words_test, X_test, edges)]
MASK_ID = len(LETTERS)
corrupted, chosen = mask_tokens(words_test, vocab_size=len(LETTERS), mask_id=MASK_ID, mask_ratio=TOKENS,
                                rng=demo.rng)
patches = patchify(X_test.reshape(-1, 8, 8), 2)
ids_keep, ids_mask, ids_restore = mask_patches(*patches.shape[:2], mask_ratio=PATCHES, rng=demo.rng)
hidden_patches = ids_restore >= ids_keep.shape[1]
series = strips(X_test)
spans = {n: mask_spans(series, mask_ratio=READINGS, span_length=n, rng=demo.rng) for n in SPANS}
by_span, by_span_alone = (np.array([known_readings(series, mask, alone=alone) for _, mask in spans.values()])
                          for alone in (False, True))
split = mask_edges(edges, n_nodes, mask_ratio=EDGES, rng=demo.rng)
known = {"letters": known_letters(corrupted, chosen), "patches": known_pixels(hidden_patches),
         f"readings, spans of {SPAN}": by_span[SPANS.index(SPAN)], "friendships": known_edges()}


# %% Figure
def draw_text(ax, rows=8, width=32):
    lines = rows * width // LINE
    shown, true, asked = (a[:lines].reshape(rows, width) for a in (corrupted, words_test, chosen))
    for (i, j), token in np.ndenumerate(shown):
        if token == MASK_ID:
            ax.add_patch(plt.Rectangle((j - 0.45, i - 0.4), 0.9, 0.8, color=BLACK))
            ax.text(j, i, LETTERS[true[i, j]], ha="center", va="center", color="0.55", size=8)
        else:
            ax.text(j, i, LETTERS[token], ha="center", va="center", family="monospace", size=10,
                    weight="bold" if asked[i, j] else "normal",
                    color=VERMILLION if token != true[i, j] else GREEN if asked[i, j] else BLACK)
            if asked[i, j]:
                color = VERMILLION if token != true[i, j] else GREEN
                ax.add_patch(plt.Rectangle((j - 0.45, i - 0.4), 0.9, 0.8, fill=False, edgecolor=color))
    ax.set(xlim=(-0.7, width - 0.3), ylim=(rows - 0.4, -0.6))
    ax.set_title(f"Text: {100 * TOKENS:.0f} % of the letters chosen")
    ax.set_xlabel("black: [MASK]; red: another letter; green: kept")


def draw_patches(ax, n=6):
    visible = np.where(hidden_patches[:n, :, None], np.nan, patches[:n])
    pictures = [np.hstack([np.pad(image, 1, constant_values=np.nan) for image in images])
                for images in (unpatchify(visible, (8, 8)), X_test[:n].reshape(-1, 8, 8))]
    cmap = plt.get_cmap("gray_r").with_extremes(bad="#dceaf5")
    ax.imshow(np.vstack(pictures), cmap=cmap, vmin=0, vmax=1)
    ax.set_title(f"Images: {100 * PATCHES:.0f} % of the patches hidden")
    ax.set_xlabel("above: what the encoder sees; below: the truth")


def draw_series(ax, T=72):
    _, mask = spans[SPAN]
    for sensor in range(8):
        x, hidden = series[0, sensor, :T], mask[0, sensor, :T]
        base = 1.25 * (7 - sensor)
        ax.plot(base + x, color="0.8", lw=1.2)
        ax.plot(base + np.where(hidden, np.nan, x), color=BLUE, lw=1.4)
        ax.fill_between(np.arange(T), base, base + 1, where=hidden, color=ORANGE, alpha=0.35, lw=0, step="mid")
    ax.set_title(f"Series: {100 * READINGS:.0f} % of the readings hidden, in spans of {SPAN}")
    ax.set_xlabel("time; eight sensors; orange: set to zero")


def draw_graph(ax):
    angle = 2 * np.pi * np.arange(n_nodes) / n_nodes
    xy = np.stack([np.sin(angle), np.cos(angle)], axis=1)
    for pairs, color, style, width in ((split[0], "0.75", "-", 1), (split[2], PURPLE, ":", 1.5),
                                       (split[1], GREEN, "-", 2.2)):
        for pair in pairs:
            ax.plot(*xy[pair].T, color=color, linestyle=style, lw=width)
    ax.scatter(*xy.T, s=30, color=BLACK, zorder=3)
    ax.set_aspect("equal")
    ax.set_title(f"Graph: {100 * EDGES:.0f} % of the edges hidden")
    ax.set_xlabel("green: hidden; dotted: non-edges")


def draw_known(ax):
    values = 100 * np.array(list(known.values()))
    bars = ax.barh(range(4), values, color=[VERMILLION, GREEN, BLUE, PURPLE], height=0.6)
    ax.bar_label(bars, fmt="%.0f %%", padding=4)
    ax.set(yticks=range(4), yticklabels=known, xlim=(0, 100), xlabel="known of it, % (0: blind guess)",
           title="What the rest tells")
    ax.invert_yaxis()


def draw_spans(ax):
    for values, text, color, marker in ((by_span, "all eight sensors", BLUE, "o"),
                                        (by_span_alone, "the same sensor", ORANGE, "s")):
        ax.plot(SPANS, 100 * values, color=color, marker=marker)
        ax.annotate(text, (SPANS[1], 100 * values[1]), (-10, 12), textcoords="offset points", color=color)
    ax.axhline(0, color=BLACK, linestyle="--", lw=1.2)
    ax.annotate("blind guess", (SPANS[0], 0), (0, -14), textcoords="offset points")
    ax.set_xscale("log", base=2)
    ax.set(xticks=SPANS, xticklabels=SPANS, ylim=(-12, 100), xlabel="readings in a span",
           ylabel="known of them, %", title="Spans are harder, from")


figure = plt.figure(figsize=(15, 9))
low, high = 100 * min(known.values()), 100 * max(known.values())
figure.suptitle("What was hidden is not lost: without any training, the visible rest tells "
                f"{low:.0f} % to {high:.0f} % of it")
grid = figure.add_gridspec(2, 6, height_ratios=[1.15, 1])
for place, draw in ((grid[0, :3], draw_text), (grid[0, 3:], draw_series), (grid[1, :2], draw_patches)):
    draw(figure.add_subplot(place))
lower = grid[1, 2:].subgridspec(1, 3, width_ratios=[1, 1.05, 1])
for place, draw in zip(lower, (draw_graph, draw_known, draw_spans)):
    draw(figure.add_subplot(place))
for ax in figure.axes[:4]:
    ax.set(xticks=[], yticks=[])
    ax.grid(False)
    ax.spines[:].set_visible(False)

# %% Claims
def in_deviations(count, n, p):
    """The largest distance of counts from n p, in standard deviations of the binomial law."""
    return np.abs((count - n * np.array(p)) / np.sqrt(n * np.array(p) * (1 - np.array(p)))).max()


is_mask, same = corrupted == MASK_ID, corrupted == words_test
n_chosen, q = chosen.sum(), 0.1 / len(LETTERS)
fates = np.array([(chosen & is_mask).sum(), (chosen & ~is_mask & ~same).sum(), (chosen & same).sum()])
shares = [int(LINE * TOKENS) - chosen.sum(axis=1), int(16 * PATCHES) - hidden_patches.sum(axis=1),
          *(int(8 * STRIP * READINGS) - mask.sum(axis=-1) for _, mask in spans.values()),
          [int(len(edges) * EDGES) - len(split[1])],
          [int(64 * 0.5) - len(mask_input(X_test[0], mask_ratio=0.5, mask_value=0, rng=demo.rng)[1])]]
order = np.concatenate([ids_keep, ids_mask], axis=1)
prediction = Tensor(patches + 1, requires_grad=True)
masked_loss(prediction, patches, hidden_patches, loss_fn=F.mse_loss).backward()
for name, value in known.items():
    demo.record(f"known of hidden {name}", value, "0: blind, 1: all")
demo.record("the same from one sensor", by_span_alone, "in spans of " + " ".join(map(str, SPANS)))
demo.record("known of readings in spans", by_span, "of " + " ".join(map(str, SPANS)))
demo.record("[MASK], another letter, kept", fates / n_chosen, f"of {n_chosen} chosen")
demo.claim("each kind hides exactly its share in each input (largest deviation)",
           max(np.abs(np.ravel(share)).max() for share in shares), at_most=0)
demo.claim("and leaves the originals untouched (entries changed)",
           sum((a != b).sum() for a, b in zip(before, (words_test, X_test, edges))), at_most=0)
demo.claim("letters are masked, replaced, kept as 80 : 10 : 10 (largest distance in standard deviations)",
           in_deviations(fates, n_chosen, [0.8, 0.1 - q, 0.1 + q]), at_most=4.5)
demo.claim("ids_restore undoes the shuffle (patches out of place)",
           (np.take_along_axis(order, ids_restore, axis=1) != np.arange(16)).sum(), at_most=0)
demo.claim("the masked loss has no gradient at visible patches (largest)",
           np.abs(prediction.grad[~hidden_patches]).max(), at_most=0)
demo.claim("but one at every hidden patch (smallest)", np.abs(prediction.grad[hidden_patches]).min(), above=0)
demo.claim("of each kind the visible rest tells something (least share)", min(known.values()), at_least=0.15)
demo.claim("spans are harder than single readings to know from the same sensor (fall, shortest to longest)",
           by_span_alone[0] - by_span_alone[-1], at_least=0.05)
demo.claim("the other sensors help where spans are longest (lead)", by_span[-1] - by_span_alone[-1],
           at_least=0.2)
demo.finish(figure)
