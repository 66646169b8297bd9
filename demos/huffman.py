"""How few bits can a symbol take, and how near does a Huffman code come?

MATH5836 week 10, section 10.2; Huffman 1952; Han, Mao and Dally 2016, Deep Compression, section
4. The symbols are the 17 levels of ink in handwritten digits, and the entries of pruning masks,
kept or not.

You will see the code as a tree; the length of each codeword beside -log2 p, the length that the
entropy counts for it; and the cost of a mask whose entries are coded one by one, in blocks, or
as gaps between kept entries.

Predict first: half of all pixels are blank. How long is the codeword of a blank pixel, and that
of a rare level? A mask that keeps 1 % of the weights has an entropy of 0.08 bits per entry. How
near can a Huffman code come, whose codewords have at least one bit?
"""
# %% Constants
import matplotlib.pyplot as plt
import numpy as np
from common import BLACK, BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILLION, start
from panels import curve, reference

from tinyml.compression.coding.huffman import (
    canonical_codes,
    decode,
    encode,
    entropy,
    huffman_lengths,
    pack_lengths,
    unpack_lengths,
)
from tinyml.compression.coding.sparse_codes import absolute_indices, relative_indices
from tinyml.data import digits

demo = start(__file__, __doc__)
N_DIGITS = 300 if demo.quick else 1797           # images whose ink is coded
N_ENTRIES = 60_000 if demo.quick else 240_000    # of each mask
DENSITIES = np.geomspace(0.003, 0.5, 8 if demo.quick else 16)    # fractions of kept entries
BLOCK_SIZES = 1, 2, 4, 8                         # entries per codeword; all divide N_ENTRIES

# %% Count how often each level of ink occurs in random digits.
X, _ = digits()
chosen = demo.rng.permutation(len(X))[:N_DIGITS]
ink = (16 * X[chosen]).astype(int).ravel()
counts = np.bincount(ink, minlength=17)
p = counts / counts.sum()
H = entropy(counts)
demo.record("entropy of the ink", H, "bits per pixel")

# %% The lengths of the codewords follow from the counts, and the codewords from the lengths.
lengths = huffman_lengths(counts)
codewords = canonical_codes(lengths)
mean_length = p @ lengths
demo.record("mean length of a codeword", mean_length, "bits per pixel")
demo.record("lengths for the levels 0 to 16", lengths)
demo.claim("the codewords fill the tree: sum of 2^-l", (0.5 ** lengths).sum(), within=(1, 1))
demo.claim("the mean length is not below the entropy (bits)", mean_length - H, at_least=0)
demo.claim("the mean length is less than a bit above the entropy (bits)", mean_length - H, below=1)


# %% A file needs the table of lengths too; so count real bytes, and decode them again.
def bits_in_file(symbols):
    """Bits of the codewords and their table."""
    lengths = huffman_lengths(np.bincount(symbols))
    data = pack_lengths(lengths) + encode(symbols, lengths)
    table, n_bytes = unpack_lengths(data, len(lengths))
    decoded = decode(data[n_bytes:], table, len(symbols))
    assert (decoded == symbols).all()
    return 8 * len(data)


bits_per_pixel = bits_in_file(ink) / ink.size
demo.record("all pixels and the table", bits_per_pixel, "bits per pixel")
demo.claim("with its table the file is at most 1 % longer than its codewords (ratio)",
           bits_per_pixel / mean_length, within=(1, 1.01))

# %% Draw masks that keep each entry with the same probability; their entropy is the limit.
masks = [demo.rng.random(N_ENTRIES) < density for density in DENSITIES]
limit = np.array([entropy(np.bincount(mask, minlength=2)) for mask in masks])    # bits per entry
demo.record("densities of the masks", DENSITIES)


# %% Code m entries at a time as one symbol.
def blocks(mask, m):
    """The entries, m at a time, as numbers 0..2^m - 1."""
    return mask.reshape(-1, m) @ 2 ** np.arange(m)


block_cost = {m: np.array([bits_in_file(blocks(mask, m)) for mask in masks]) / N_ENTRIES
              for m in BLOCK_SIZES}
excess = max(((cost - limit) * m).max() for m, cost in block_cost.items())
demo.claim("single entries cost at least a bit each, even if few are kept (least)",
           block_cost[1].min(),
           at_least=1)
demo.claim("blocks of m cost at most 1/m bit above the entropy, and a table (m times the excess)",
           excess, at_most=1 + 8 * 8 * 256 / N_ENTRIES)


# %% Or code only the gaps between kept entries, as numbers of the best width.
def gap_bits(mask):
    """Bits of the gaps between kept entries, in the width that costs least."""
    positions = np.flatnonzero(mask)
    gaps = [relative_indices(positions, bits) for bits in range(1, 13)]
    assert (absolute_indices(gaps[3], bits=4) == positions).all()
    return min(bits_in_file(symbols) for symbols in gaps)


gap_cost = np.array([gap_bits(mask) for mask in demo.progress(masks, "masks")]) / N_ENTRIES
sparse = (DENSITIES < 0.1) & (DENSITIES * N_ENTRIES > 1000)    # enough gaps for a table
worst = (gap_cost / limit)[sparse].max()
demo.record("gaps above the entropy", gap_cost / limit - 1)
demo.claim("gaps come near the entropy if less than a tenth, but over 1,000 are kept (largest ratio)",
           worst, at_most=1.06)


# %% Draw the tree: each codeword is a path down, to the left for 0 and to the right for 1.
def draw_tree(ax):
    leaves = sorted(range(17), key=lambda i: codewords[i])
    x = {codewords[i]: place for place, i in enumerate(leaves)}
    for depth in range(max(lengths), 0, -1):    # parents stand between their children
        for left in [node for node in x if len(node) == depth and node.endswith("0")]:
            parent, right = left[:-1], left[:-1] + "1"
            x[parent] = (x[left] + x[right]) / 2
            ax.plot([x[left], x[left], x[right], x[right]], [depth, depth - 1, depth - 1, depth],
                    color="0.6", lw=1.4, zorder=1)
    box = dict(boxstyle="circle,pad=0.25", fc="white", ec=BLUE, lw=1.5)
    for i in leaves:
        ax.text(x[codewords[i]], lengths[i] + 0.12, f"{i}", ha="center", va="top", weight="bold",
                bbox=box)
        ax.text(x[codewords[i]], lengths[i] + 1.1, f"{p[i]:.1%}", ha="center", va="top",
                fontsize=9)
    ax.set(xlim=(-0.7, 16.7), ylim=(max(lengths) + 1.8, -0.3), xticks=[],
           yticks=range(max(lengths) + 1),
           ylabel="bits of the codeword",
           title="The code of the 17 ink levels: 0 to the left, 1 to the right (below: frequency)")
    ax.grid(False, axis="x")


# %% Beside it the lengths and their limit, and the cost of masks.
def draw_lengths(ax):
    order, x = np.argsort(-p), np.arange(17)
    ax.bar(x, lengths[order], color=SKY, width=0.7)
    ax.plot(x, -np.log2(p[order]), "--o", color=BLACK, ms=5, label=r"$-\log_2 p$")
    reference(ax, 5, "fixed length: 5 bits")
    ax.set(xlabel="ink level, the most frequent first", ylabel="bits", xticks=x, xticklabels=order,
           ylim=(0, max(lengths) + 1.6),
           title=f"On average {mean_length:.3f} bits, the entropy is {H:.3f}")
    ax.legend(loc="upper left")
    ax.grid(False, axis="x")


def draw_masks(ax):
    for (m, cost), color in zip(block_cost.items(), (VERMILLION, ORANGE, PURPLE, GREEN)):
        curve(ax, DENSITIES[::-1], cost[::-1], "one by one" if m == 1 else f"blocks of {m}",
              color=color,
              marker="o", ms=4)
    curve(ax, DENSITIES[::-1], gap_cost[::-1], "gaps", theory=limit[::-1], color=BLUE,
          marker="D", ms=4)
    ax.set(xscale="log", yscale="log", xlabel="fraction of entries kept (decreasing)",
           ylim=(None, 1.6),
           ylabel="bits per entry, with the table",
           title="Masks: gaps follow the entropy (dashed)")
    ax.invert_xaxis()


figure, axes = plt.subplot_mosaic([["tree", "tree"], ["lengths", "masks"]], figsize=(12, 9.8),
                                  height_ratios=[1, 1.15])
figure.suptitle(f"A Huffman code takes {mean_length:.2f} bits per pixel, the entropy is {H:.2f}; "
                f"gaps code sparse masks within {100 * (worst - 1):.0f} % of theirs")
draw_tree(axes["tree"])
draw_lengths(axes["lengths"])
draw_masks(axes["masks"])
demo.finish(figure)
