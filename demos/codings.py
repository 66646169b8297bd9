"""Which coding is shortest for which array of a network?

MATH5836 week 10, section 10.2; Han, Mao and Dally 2016, Deep Compression, section 2 and figure 2. Codes of 8
shared values, more or less of them pruned to 0, are coded as Huffman words of all entries, as Huffman words
of gaps and values, and by adaptive arithmetic coding; the gaps in every width, with words of fixed length, as
in the paper's figure, and with Huffman's. Then arrays of many kinds get the coding that is shortest for each.

You will see bits per entry against the share that is kept, beside the entropy; what the width of the gaps is
worth; and the choices.

Predict first: how wide should a gap be if 2 % are kept, and 20 %? Does the width still matter when gaps get
Huffman words? Which arrays will no coding make much smaller? And what does it cost to prune by mask * weight?
"""
# %% Constants
import matplotlib.pyplot as plt
import numpy as np
from common import BLACK, BLUE, GREEN, ORANGE, SKY, VERMILLION, start

from tinyml.compression.coding.codings import (
    Reader,
    code_ways,
    decode_array,
    encode_array,
    relative_indices,
)
from tinyml.compression.coding.huffman import encode, entropy, huffman_lengths, pack_lengths

demo = start(__file__, __doc__)
SHAPE = (100, 200) if demo.quick else (250, 400)    # of the matrices of codes
K = 8                                               # shared values
DENSITIES = np.geomspace(0.005, 1, 8 if demo.quick else 14)    # shares of kept entries
SPARSITIES = 0.02, 0.05, 0.2                        # kept, in the study of gaps
WIDTHS = np.arange(1, 13)                           # bits of a gap


# %% Data: kept entries anywhere, their codes as uneven as those of bell-shaped weights
def pruned_codes(density):
    p = np.exp(-((np.arange(K) - (K - 1) / 2) / 2) ** 2 / 2)
    values = demo.rng.choice(np.arange(1, K + 1), SHAPE, p=p / p.sum())
    return np.where(demo.rng.random(SHAPE) < density, values, 0)


def network_arrays():
    """Arrays as they occur in networks, by what they are."""
    weight = demo.rng.normal(0, 0.05, SHAPE).astype(np.float32)
    kept = np.abs(weight) > np.quantile(np.abs(weight), 0.95)
    shared = pruned_codes(1.0).astype(np.uint8)
    values = np.linspace(-0.2, 0.2, K, dtype=np.float32)
    return {
        "weights": weight,
        "weights, 95 % pruned": np.where(kept, weight, 0),
        "the same by mask * weight": kept * weight,
        "codes of 8 values": shared,
        "the same, 95 % pruned": np.where(kept, shared, 0),
        "the same as float32 weights": np.where(kept, values[shared - 1], 0),
        "int8 weights": np.round(weight / np.abs(weight).max() * 127).astype(np.int8),
        "weights that were float16": weight.astype(np.float16).astype(np.float32),
        "a pruning mask (bool)": kept,
    }


# %% Experiment: all ways for each density, all widths for each sparsity, the best way for each array
ways = []
for density in demo.progress(DENSITIES, "densities"):
    codes = pruned_codes(density)
    H = entropy(np.bincount(codes.ravel()))
    bits = {name: 8 * len(data) / codes.size for name, data in code_ways(codes, K).items()}
    ways.append(bits | {"entropy": H})


def gap_bits(codes):
    """Bits per kept entry for its place, in every width: fixed words, Huffman words with their table."""
    positions, costs = np.flatnonzero(codes), []
    for bits in WIDTHS:
        gaps = relative_indices(positions, bits)
        lengths = huffman_lengths(np.bincount(gaps, minlength=2 ** bits))
        costs.append((bits * len(gaps), 8 * len(pack_lengths(lengths) + encode(gaps, lengths))))
    return np.array(costs).T / len(positions)    # (fixed and Huffman, widths)


widths = np.array([gap_bits(pruned_codes(density)) for density in SPARSITIES])
place = np.array([entropy([round(1e9 * d), round(1e9 * (1 - d))]) / d for d in SPARSITIES])    # granted
arrays = network_arrays()
chosen = {}
for name, array in arrays.items():
    back, words = decode_array(Reader(data := encode_array(array)))
    assert back.tobytes() == array.tobytes()
    chosen[name] = 8 * len(data) / array.size, 8 * array.itemsize, words
best, raw = np.array([row[:2] for row in chosen.values()]).T

# %% Figure
figure, axes = plt.subplot_mosaic([["ways", "gaps"], ["arrays", "arrays"]], figsize=(12, 10))
figure.suptitle(f"From {best.min():.2f} to {best.max():.0f} bits an entry: zeros and repetition pack well, "
                "noise does not")
STYLES = {"Huffman": (VERMILLION, "o"), "gaps along rows": (ORANGE, "s"), "arithmetic": (BLUE, "D")}


def draw_ways(ax):
    for name, (color, marker) in STYLES.items():
        ax.loglog(DENSITIES, [way.get(name, np.nan) for way in ways], color=color, marker=marker, ms=5)
    ax.loglog(DENSITIES, [way["entropy"] for way in ways], "--", color=BLACK, lw=1.4)
    ax.text(DENSITIES[0], 1.2 * ways[0]["Huffman"], "Huffman words for all", va="bottom")
    ax.annotate("gaps and values (squares),\narithmetic (diamonds),\nentropy (dashed)",
                (DENSITIES[2], ways[2]["entropy"]), (18, -4), va="top", textcoords="offset points")
    ax.set(xlabel="share of codes that are not 0", ylabel="bits per entry, tables included",
           title="Passing over zeros pays where most are 0")


def draw_gaps(ax):
    for (fixed, huffman), granted, density, color, marker in zip(widths, place, SPARSITIES,
                                                                 (GREEN, VERMILLION, BLUE), "os^"):
        ax.plot(WIDTHS, fixed, ":", color=color, marker=marker, mfc="white", ms=6)
        ax.plot(WIDTHS, huffman, color=color, marker=marker, ms=5)
        ax.axhline(granted, linestyle="--", color=BLACK, lw=1.1)
        ax.text(12.3, granted, f"{100 * density:.0f} % kept", va="center")
    ax.set(xlabel="bits of a gap", ylabel="bits per kept entry for its place", ylim=(0, 17), xticks=WIDTHS,
           xlim=(0.5, 12.2), title="Gaps: fixed words (dotted), Huffman's (solid), entropy (dashed)")


def draw_arrays(ax):
    y = np.arange(len(chosen))[::-1]
    ax.barh(y, raw, color="0.9", height=0.7)
    ax.barh(y, best, color=SKY, height=0.7)
    for i, (bits, whole, words) in zip(y, chosen.values()):
        ax.text(max(bits, 0) + 0.3, i, f"{bits:.2f}:  {words}", va="center", fontsize=10)
    ax.set(yticks=y, yticklabels=chosen, xlabel="bits per entry in the file (grey: in memory)",
           title="What is chosen for each array")
    ax.grid(False, axis="y")


draw_ways(axes["ways"])
draw_gaps(axes["gaps"])
draw_arrays(axes["arrays"])

# %% Claims
bits = dict(zip(chosen, best))
sparse = DENSITIES < 0.3
least = {name: np.array([way.get(name, np.nan) / way["entropy"] for way in ways]) for name in STYLES}
demo.record("densities", DENSITIES)
for name in STYLES:
    demo.record(f"{name}, bits over entropy", least[name])
best_width = WIDTHS[widths[:, 0].argmin(axis=1)]
demo.record("best width of fixed gaps", best_width, "bits")
for name, (packed, whole, words) in chosen.items():
    demo.record(name, packed, f"bits per entry: {words}")
demo.claim("the more is kept, the narrower the best gap of fixed width (largest step, bits)",
           np.diff(best_width).max(), below=0)
fixed, huffman = widths.min(axis=2).T / place    # each with its best width, over the entropy
demo.claim("Huffman words for gaps come nearer to the entropy than fixed ones (largest ratio)",
           (huffman / fixed).max(), below=1)
demo.claim("and near it (largest ratio)", huffman.max(), at_most=1.12 if demo.quick else 1.06)
demo.claim("gaps and arithmetic beat words for all entries wherever less than 0.3 is kept (largest ratio)",
           max((least[name] / least["Huffman"])[sparse].max() for name in ("gaps along rows", "arithmetic")),
           below=1)
demo.claim("and come near the entropy where at least 1,000 are kept (largest ratio)",
           max(least[name][sparse & (DENSITIES * np.prod(SHAPE) > 1000)].max()
               for name in ("gaps along rows", "arithmetic")), at_most=1.1)
demo.claim("to prune by mask * weight leaves -0.0 for 0, whose sign costs bits (more per entry)",
           bits["the same by mask * weight"] - bits["weights, 95 % pruned"], at_least=0.9)
demo.claim("shared weights take no more than their codes and a codebook (bytes more)",
           (bits["the same as float32 weights"] - bits["the same, 95 % pruned"]) * np.prod(SHAPE) / 8,
           at_most=4 * K + 2)
demo.claim("trained weights hardly shrink (share of 32 bits)", bits["weights"] / 32, above=0.8)
demo.finish(figure)
