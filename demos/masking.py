"""What is hidden, and how, in a text, an image, a series and a graph?

MATH5836 week 10, section 10.3.1. One idea, four kinds of data. Letters of a text become [MASK],
another letter, or stay, as in BERT. Three quarters of the patches of a digit are hidden, as in
MAE. Spans of readings become zero: eight light sensors scan a strip of handwritten digits. Edges
of a graph are hidden among pairs without an edge.

You will see examples, and how much of the hidden part the simplest guess from the visible rest
gets right, without training any network. The scale is 0 for a blind guess and 1 for the truth.

Predict first: which kind of data gives away most of its hidden part, and which least? Is the same
number of hidden readings easier to guess one by one or in spans? Do the other sensors help?
"""
# %% Constants
import ast
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from common import BLACK, BLUE, GREEN, PURPLE, VERMILLION, start
from panels import bars, sheet

import tinyml
from tinyml import Tensor
from tinyml import functional as F
from tinyml.data import digits, train_test_split
from tinyml.selfsupervised.masked_edges import auc, common_neighbours, karate_club
from tinyml.selfsupervised.masked_patches import patchify, unpatchify
from tinyml.selfsupervised.masking import (
    mask_edges,
    mask_input,
    mask_patches,
    mask_spans,
    mask_tokens,
    masked_loss,
)

demo = start(__file__, __doc__)
LETTERS = " abcdefghijklmnopqrstuvwxyz"
SPACE, V, MASK = 0, 27, 27        # a token, the number of tokens, and the token [MASK]
LINE = 64                         # letters in a sequence
WINDOW = 32                       # time steps in a window of readings; a digit passes in 8
SPANS = 1, 3, 9                   # readings in a span
HIDINGS = 50 if demo.quick else 500    # of edges
TOKENS, PATCHES, READINGS, EDGES = 0.15, 0.75, 0.3, 0.2    # fractions that are hidden

# %% The pseudocode of the notes: int(n mask_ratio) elements of a copy are overwritten
x = np.arange(1, 11)
x_corrupted, mask_indices = mask_input(x, mask_ratio=0.3, mask_value=0, rng=demo.rng)
demo.record("ten elements, three of them hidden", x_corrupted.tolist())
n_hidden = (x_corrupted == 0).sum()
demo.claim("mask_input hides int(0.3 * 10) elements (how many)", n_hidden, within=(3, 3))
demo.claim("mask_input does not change its input (sum of 1, ..., 10)", x.sum(), within=(55, 55))

# %% Text: the docstrings of this package, letters and spaces only, as sequences of tokens
sources = sorted(Path(tinyml.__file__).parent.rglob("*.py"))
docs = [ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "" for path in sources]
all_docs = " ".join(docs).lower()
words = "".join(letter if letter in LETTERS else " " for letter in all_docs).split()
tokens = np.array([LETTERS.index(letter) for letter in " ".join(words)])
n_lines = len(tokens) // LINE
lines = tokens[:n_lines * LINE].reshape(n_lines, LINE)
train_lines, true = np.split(demo.rng.permutation(lines), [n_lines * 7 // 10])

# %% BERT chooses 15 % of the tokens; 80 % of these become [MASK], 10 % a random token, 10 % stay
corrupted, chosen = mask_tokens(true, vocab_size=V, mask_id=MASK, mask_ratio=TOKENS, rng=demo.rng)
is_mask, same = corrupted == MASK, corrupted == true
cases = [chosen & is_mask, chosen & ~is_mask & ~same, chosen & same]
counts = np.array([case.sum() for case in cases])
p = np.array([0.8, 0.1 - 0.1 / V, 0.1 + 0.1 / V])    # a random token may be the true one
n = chosen.sum()
demo.record("[MASK], another letter, the same letter", counts / n, f"of {n} chosen letters")
deviation = (counts - n * p) / np.sqrt(n * p * (1 - p))
demo.claim("letters are masked, replaced, kept as 80 : 10 : 10 (largest standardised deviation)",
           np.abs(deviation).max(), at_most=4.5)

# %% The simplest guess: the letter that was most often seen between the same two neighbours
def triples(lines):
    """Left neighbour, letter and right neighbour, at all places that have both."""
    return lines[:, :-2], lines[:, 1:-1], lines[:, 2:]


counts = np.zeros((V + 1, V, V + 1))
np.add.at(counts, triples(train_lines), 1)
left, _, right = triples(corrupted)
guess = counts[left, :, right].argmax(axis=-1)
left_is_mask, letter_is_mask, right_is_mask = triples(is_mask)
asked = letter_is_mask & ~left_is_mask & ~right_is_mask
_, letter, _ = triples(true)
error = (guess != letter)[asked].mean()
blind = (letter != SPACE)[asked].mean()    # always guess a space
known = {"letters": 1 - error / blind}

# %% Images: the encoder of MAE sees a quarter of the patches, and ids_restore undoes the shuffle
X, y = digits()
X_train, X_test, *_ = train_test_split(X, y, test_size=0.3, rng=demo.rng, stratify=y)
patches = patchify(X_test.reshape(-1, 8, 8), 2)    # (N, 16, 4)
ids_keep, ids_mask, ids_restore = mask_patches(len(patches), 16, mask_ratio=PATCHES, rng=demo.rng)
hidden = ids_restore >= ids_keep.shape[1]          # (N, 16)
order = np.concatenate([ids_keep, ids_mask], axis=1)
restored = np.take_along_axis(order, ids_restore, axis=1)
demo.claim("ids_restore undoes the shuffle (patches out of place)",
           (restored != np.arange(16)).sum(), at_most=0)

# %% The masked loss is blind to visible patches: its gradient there is exactly zero
prediction = Tensor(patches + 1, requires_grad=True)
masked_loss(prediction, patches, hidden, loss_fn=F.mse_loss).backward()
demo.claim("the masked loss has no gradient at visible patches (largest)",
           np.abs(prediction.grad[~hidden]).max(), at_most=0)
demo.claim("the masked loss has a gradient at every hidden patch (smallest)",
           np.abs(prediction.grad[hidden]).min(), above=0)


# %% The best linear guess of hidden numbers, from the mean and covariance of training data
def known_numbers(train, test, hidden, related=True):
    """How much of the variance of hidden entries the guess explains; all of shape (n, d).

    A guess uses only entries that are `related` to the hidden one, booleans (d, d).
    """
    mean = train.mean(axis=0)
    C = np.where(related, np.cov(train.T), 0) + 1e-3 * np.eye(len(mean))
    error = blind = 0
    for x, h in zip(test - mean, hidden):
        visible_visible, visible_hidden = C[np.ix_(~h, ~h)], C[np.ix_(~h, h)]
        weight = np.linalg.solve(visible_visible, visible_hidden)
        guess = x[~h] @ weight
        error += ((guess - x[h]) ** 2).sum()
        blind += (x[h] ** 2).sum()    # guess the mean
    return 1 - error / blind


train_patches = patchify(X_train.reshape(-1, 8, 8), 2).reshape(-1, 64)
known["patches"] = known_numbers(train_patches, patches.reshape(-1, 64), hidden.repeat(4, axis=1))

# %% Series: digits pass eight sensors, one for each row of pixels
def windows(images, step):
    """Windows of the readings of all sensors, shape (n, 8, WINDOW)."""
    strip = np.hstack(images.reshape(-1, 8, 8))    # (8, time)
    all_windows = np.lib.stride_tricks.sliding_window_view(strip, WINDOW, axis=1)
    return all_windows[:, ::step].swapaxes(0, 1)


train_series, series = windows(X_train, 1), windows(X_test, WINDOW)
sensor = np.repeat(np.arange(8), WINDOW)
same_sensor = sensor[:, None] == sensor    # which of the 8 WINDOW readings have one sensor

# %% Spans of readings of each sensor become zero; guess them from the same sensor, or from all
alone, together = {}, {}    # span length to what is known
for length in SPANS:
    _, mask = mask_spans(series, mask_ratio=READINGS, span_length=length, rng=demo.rng)
    train, test, h = (a.reshape(len(a), -1) for a in (train_series, series, mask))
    alone[length] = known_numbers(train, test, h, same_sensor)
    together[length] = known_numbers(train, test, h)
    known[f"spans of {length}, same sensor"] = alone[length]
    demo.claim(f"spans of {length} hide the same number of readings in each series (deviation)",
               np.abs(mask.sum(axis=-1) - int(WINDOW * READINGS)).max(), at_most=0)
longest = SPANS[-1]
known[f"spans of {longest}, all sensors"] = together[longest]

# %% A reading in a long span has no visible neighbour in time: the other sensors must help
fall, lead = alone[1] - alone[longest], together[longest] - alone[longest]
demo.claim("long spans are harder to guess than single readings (fall)", fall, above=0)
demo.finding("long spans are harder by 5 % of the variance or more (fall)", fall, at_least=0.05)
demo.record("from all sensors", list(together.values()), f"in spans of {SPANS}")
demo.finding("the other sensors help where spans are longest (lead)", lead, at_least=0.05)

# %% Graph: pairs with a hidden edge have more common neighbours than pairs without an edge
edges, n_nodes = karate_club()
areas = []
for _ in range(HIDINGS):
    visible, hidden_edges, non_edges = mask_edges(edges, n_nodes, mask_ratio=EDGES, rng=demo.rng)
    of_edges = common_neighbours(visible, n_nodes, hidden_edges)
    of_others = common_neighbours(visible, n_nodes, non_edges)
    areas.append(auc(of_edges, of_others))
known["edges"] = 2 * np.mean(areas) - 1    # guessing has an area of 1/2

# %% In every kind of data the visible rest tells a part of what is hidden: there is something to learn
for name, value in known.items():
    demo.record(f"known: {name}", value, "0: blind guess, 1: all")
demo.claim("the visible rest tells something about each (least)", min(known.values()),
           at_least=0.15)


# %% Figure
def draw_text(ax, rows=14, width=16):
    """Corrupted letters; black boxes are [MASK], with the true letter in them."""
    for at in range(rows * width):
        i, j = divmod(at, width)
        token, truth = corrupted.flat[at], true.flat[at]
        box, color = None, BLACK
        if token == MASK:
            box, color = dict(color=BLACK), "0.6"
        elif chosen.flat[at]:
            color = GREEN if token == truth else VERMILLION
            box = dict(fill=False, edgecolor=color)
        if box:
            ax.add_patch(plt.Rectangle((j - 0.45, i - 0.45), 0.9, 0.9, **box))
        letter = LETTERS[truth if token == MASK else token]
        ax.text(j, i, letter, color=color, ha="center", va="center")
    ax.set(xlim=(-0.7, width - 0.3), ylim=(rows - 0.4, -0.6), xticks=[], yticks=[],
           title=f"Text: {100 * TOKENS:.0f} % of the letters are chosen",
           xlabel="black: [MASK]; red: another letter; green: the same")
    ax.grid(False)
    ax.spines[:].set_visible(False)


figure, axes = plt.subplots(1, 3, figsize=(15, 5.6), width_ratios=[1, 1, 1.1])
low, high = 100 * min(known.values()), 100 * max(known.values())
figure.suptitle(f"Without any network, the visible rest tells {low:.0f} % to {high:.0f} % "
                "of what is hidden")
draw_text(axes[0])
seen = unpatchify(np.where(hidden[..., None], np.nan, patches), (8, 8))
truth = X_test.reshape(-1, 8, 8)
sheet(axes[1], {"seen": seen[:4], "truth": truth[:4], "seen ": seen[4:8], "truth ": truth[4:8]},
      title=f"Images: {100 * PATCHES:.0f} % of the patches are hidden")
bars(axes[2], {name: 100 * value for name, value in known.items()}, fmt="%.0f %%",
     colors=[VERMILLION, GREEN, BLUE, BLUE, BLUE, BLUE, PURPLE],
     title="How far the simplest guess gets",
     xlabel="from a blind guess (0) to the truth (100), %")
demo.finish(figure)
