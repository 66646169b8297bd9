"""How few bits can a symbol take, and how near does Huffman's code come?

MATH5836 week 10, section 10.2; Huffman 1952; Han, Mao and Dally 2016, Deep Compression, section 4. The
symbols are the 17 levels of ink in handwritten digits, and the entries of pruning masks, kept or not.

You will see the code as a tree; the length of each word beside the -log2 p that Shannon's theorem grants it;
and what an entry of a mask costs if entries get words one by one, in blocks, or if only the gaps between kept
entries get words.

Predict first: half of all pixels are blank. How many bits is the blank's word, and a rare level's? And a mask
that keeps 1 % of the weights has an entropy of 0.08 bits an entry: what does a code of whole bits make of it?
"""
# %% Constants
import matplotlib.pyplot as plt
import numpy as np
from common import BLACK, BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILLION, start

from tinyml.compression.coding.codings import absolute_indices, relative_indices
from tinyml.compression.coding.huffman import (
    canonical_codes,
    decode,
    encode,
    entropy,
    huffman_lengths,
    pack_lengths,
    unpack_lengths,
)
from tinyml.data import digits

demo = start(__file__, __doc__)
N_DIGITS = 300 if demo.quick else 1797        # images whose ink is coded
N_ENTRIES = 60_000 if demo.quick else 240_000    # of each mask
DENSITIES = np.geomspace(0.003, 0.5, 8 if demo.quick else 16)    # shares of kept entries
BLOCKS = 1, 2, 4, 8                           # entries per word; all divide N_ENTRIES

# %% Data: the ink of random digits, and masks that keep each entry with the same probability
X, _ = digits()
ink = (16 * X[demo.rng.permutation(len(X))[:N_DIGITS]]).astype(int).ravel()
masks = [demo.rng.random(N_ENTRIES) < density for density in DENSITIES]

# %% Model: word lengths from counts, words from lengths
counts = np.bincount(ink, minlength=17)
lengths = huffman_lengths(counts)
codes = canonical_codes(lengths)
words = [f"{code:0{length}b}" for code, length in zip(codes, lengths)]
p = counts / counts.sum()
H, mean = entropy(counts), p @ lengths


# %% Experiment: a whole stream, and masks coded in four ways
def real_bits(symbols):
    """Bits of the words and their table together, once they have been decoded without a difference."""
    lengths = huffman_lengths(np.bincount(symbols))
    table, data = pack_lengths(lengths), encode(symbols, lengths)
    back, taken = unpack_lengths(table + data, len(lengths))
    decoded = decode((table + data)[taken:], back, len(symbols))
    return 8 * len(table + data) if (decoded == symbols).all() else np.nan


def in_blocks(mask, m):
    """The entries m at a time as one symbol, 0..2^m - 1."""
    return mask.reshape(-1, m) @ (1 << np.arange(m))


def as_gaps(mask):
    """The gaps between kept entries, of the width that costs least; NaN unless they lead back to the mask."""
    positions = np.flatnonzero(mask)
    costs = []
    for bits in range(1, 13):
        gaps = relative_indices(positions, bits)
        costs.append(real_bits(gaps) if (absolute_indices(gaps, bits) == positions).all() else np.nan)
    return np.min(costs)


ideal = np.array([entropy(np.bincount(mask, minlength=2)) for mask in masks])    # bits per entry
cost = {m: np.array([real_bits(in_blocks(mask, m)) for mask in masks]) / N_ENTRIES for m in BLOCKS}
gaps = np.array([as_gaps(mask) for mask in demo.progress(masks, "masks")]) / N_ENTRIES
stream = real_bits(ink) / ink.size

# %% Figure: the tree, its lengths, masks
sparse = (DENSITIES < 0.1) & (DENSITIES * N_ENTRIES > 1000)    # with enough gaps to be worth a table
worst = (gaps / ideal)[sparse].max()
figure, axes = plt.subplot_mosaic([["tree", "tree"], ["lengths", "masks"]], figsize=(12, 9.8),
                                  height_ratios=[1, 1.15])
figure.suptitle(f"Huffman's words: {mean:.2f} bits a pixel, where the entropy is {H:.2f}; "
                f"and for sparse masks, gaps: {100 * (worst - 1):.0f} % above it")


def draw_tree(ax):
    """Each word is a way down: 0 to the left, 1 to the right. A word's place is its interval's middle."""
    order = sorted(range(17), key=lambda i: words[i])
    place = {words[i]: x for x, i in enumerate(order)}
    for depth in range(max(lengths), 0, -1):    # parents stand between their children
        for node in [w for w in place if len(w) == depth and w[-1] == "0"]:
            place[node[:-1]] = (place[node] + place[node[:-1] + "1"]) / 2
    for node, x in place.items():
        if node:
            above = place[node[:-1]]
            ax.plot([above, x, x], [len(node) - 1, len(node) - 1, len(node)], color="0.6", lw=1.4, zorder=1)
    for i in order:
        ax.text(place[words[i]], lengths[i] + 0.12, f"{i}", ha="center", va="top", fontsize=12, weight="bold",
                bbox=dict(boxstyle="circle,pad=0.25", fc="white", ec=BLUE, lw=1.5))
        ax.text(place[words[i]], lengths[i] + 1.12, f"{100 * p[i]:.1f} %", ha="center", va="top", fontsize=9)
    ax.set(ylim=(max(lengths) + 1.8, -0.3), xlim=(-0.7, 16.7), ylabel="bits of the word", xticks=[],
           yticks=range(max(lengths) + 1),
           title="The code of 17 ink levels: to the left a 0, to the right a 1 (below: share of the pixels)")
    ax.grid(False, axis="x")


def draw_lengths(ax):
    order = np.argsort(-p)
    x = np.arange(17)
    ax.bar(x, lengths[order], color=SKY, width=0.7)
    ax.plot(x, -np.log2(p[order]), "--o", color=BLACK, ms=5)
    ax.annotate(r"granted: $-\log_2 p$", (x[-1], -np.log2(p[order[-1]])), (6, 34), ha="right",
                textcoords="offset points")
    ax.axhline(5, color=VERMILLION, lw=1.6, linestyle=":")
    ax.text(-0.4, 5.08, "all alike: 5 bits", va="bottom")
    ax.set(xlabel="ink level, the most frequent first", ylabel="bits", xticks=x, xticklabels=order,
           ylim=(0, max(lengths) + 1.6), title=f"On average {mean:.3f} bits, between H = {H:.3f} and H + 1")
    ax.grid(False, axis="x")


def draw_masks(ax):
    ax.loglog(DENSITIES, ideal, "--", color=BLACK, lw=1.6)
    styles = {1: (VERMILLION, "o"), 2: (ORANGE, "s"), 4: (PURPLE, "^"), 8: (GREEN, "v")}
    for m, (color, marker) in styles.items():
        ax.loglog(DENSITIES, cost[m], color=color, marker=marker, ms=4)
        ax.annotate("one by one" if m == 1 else f"blocks of {m}", (DENSITIES[0], cost[m][0]), (0, 10),
                    textcoords="offset points")
    ax.loglog(DENSITIES, gaps, color=BLUE, marker="D", ms=4)
    ax.annotate("gaps", (DENSITIES[2], gaps[2]), (-6, 8), ha="right", textcoords="offset points")
    ax.annotate("entropy", (DENSITIES[2], ideal[2]), (8, -12), textcoords="offset points")
    ax.set(xlabel="share of entries that are kept", ylabel="bits per entry, table included", ylim=(None, 1.6),
           title="Whole bits are too many for zeros: pass over them")


draw_tree(axes["tree"])
draw_lengths(axes["lengths"])
draw_masks(axes["masks"])

# %% Claims
demo.record("entropy of the ink", H, "bits per pixel")
demo.record("mean word", mean, "bits per pixel")
demo.record("stream with its table", stream, "bits per pixel")
demo.record("word lengths, level 0 to 16", lengths)
demo.record("densities of the masks", DENSITIES)
demo.record("gaps above the entropy", gaps / ideal - 1)
demo.claim("the words fill the tree: sum of 2^-l", np.ldexp(1.0, -lengths).sum(), within=(1, 1))
demo.claim("the mean word is not below the entropy (bits)", mean - H, at_least=0)
demo.claim("and less than a bit above it (bits)", mean - H, below=1)
demo.claim("with its table the real stream is no more than 1 % longer than its words (ratio)", stream / mean,
           within=(1, 1.01))
demo.claim("words for single entries cost a bit each, however rare kept ones are (least)", cost[1].min(),
           at_least=1)
excess = max(((cost[m] - ideal) * m).max() for m in BLOCKS)
demo.claim("blocks of m entries cost at most 1/m bit above the entropy, and their table (m times the excess)",
           excess, at_most=1 + 8 * 8 * 256 / N_ENTRIES)
demo.claim("gaps come near it where less than a tenth, but more than 1,000 entries are kept (largest ratio)",
           worst, at_most=1.06)
demo.finish(figure)
