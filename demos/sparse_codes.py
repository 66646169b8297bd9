"""What does it cost to say which weights are kept, and how wide should a gap be?

MATH5836 week 10, section 10.2; Han, Mao and Dally 2016, Deep Compression, section 2 and figure
2. Matrices of codes for 8 shared values, more or less of them pruned to 0, are written as
Huffman codewords of all entries, as gaps and values, and by adaptive arithmetic coding. The gaps
are tried in every width, with symbols of fixed length, as in the paper's figure, and with
Huffman codewords.

You will see bits per entry against the fraction kept, beside the entropy; and the cost of a kept
entry's position against the width of a gap.

Predict first: how many bits should a gap have if 2 % are kept, and if 20 % are? Does the width
still matter when gaps get Huffman codewords?
"""
# %% Constants
import matplotlib.pyplot as plt
import numpy as np
from common import BLACK, BLUE, GREEN, ORANGE, VERMILLION, start
from panels import curve

from tinyml.compression.coding.huffman import encode, entropy, huffman_lengths, pack_lengths
from tinyml.compression.coding.sparse_codes import all_codings, relative_indices

demo = start(__file__, __doc__)
SHAPE = (100, 200) if demo.quick else (250, 400)               # of the matrices of codes
K = 8                                                          # shared values
DENSITIES = np.geomspace(0.005, 1, 8 if demo.quick else 14)    # fractions kept
FEW_DENSITIES = 0.02, 0.05, 0.2                                # for the study of gaps
WIDTHS = np.arange(1, 13)                                      # bits of a gap
CODINGS = {"Huffman": VERMILLION, "gaps along rows": ORANGE, "arithmetic": BLUE}


# %% Draw codes: entries are kept at random, and middle values are more frequent.
def pruned_codes(density):
    weight = (np.arange(K) - (K - 1) / 2) / 2
    p = np.exp(-weight ** 2 / 2)
    codes = demo.rng.choice(np.arange(1, K + 1), SHAPE, p=p / p.sum())
    kept = demo.rng.random(SHAPE) < density
    return np.where(kept, codes, 0)


# %% Write each matrix in every coding; the entropy is the limit if entries are independent.
n_entries = np.prod(SHAPE)
limit, bits = [], {name: [] for name in CODINGS}
for density in demo.progress(DENSITIES, "densities"):
    codes = pruned_codes(density)
    limit.append(entropy(np.bincount(codes.ravel())))
    written = all_codings(codes, K)
    for name in CODINGS:
        size = len(written[name]) if name in written else np.nan
        bits[name].append(8 * size / n_entries)
limit = np.array(limit)
bits = {name: np.array(values) for name, values in bits.items()}
demo.record("fractions kept", DENSITIES)
for name in CODINGS:
    demo.record(f"{name}, bits over entropy", bits[name] / limit)

# %% Skipping zeros beats a codeword for each entry, and comes near the entropy.
sparse = DENSITIES < 0.3
enough = sparse & (DENSITIES * n_entries > 1000)
for name in ("gaps along rows", "arithmetic"):
    demo.claim(f"{name}: fewer bits than Huffman where less than 0.3 is kept (largest ratio)",
               (bits[name] / bits["Huffman"])[sparse].max(), below=1)
    demo.claim(f"{name}: near the entropy where at least 1,000 entries are kept (largest ratio)",
               (bits[name] / limit)[enough].max(), at_most=1.1)


# %% Try gaps in every width, with symbols of fixed length and with Huffman codewords.
def gap_bits(codes):
    """Bits per kept entry for its position, for each width: of fixed length, and by Huffman."""
    positions = np.flatnonzero(codes)
    fixed, huffman = [], []
    for width in WIDTHS:
        gaps = relative_indices(positions, width)
        lengths = huffman_lengths(np.bincount(gaps, minlength=2 ** width))
        fixed.append(width * len(gaps) / len(positions))
        huffman.append(8 * len(pack_lengths(lengths) + encode(gaps, lengths)) / len(positions))
    return fixed, huffman


gaps = [gap_bits(pruned_codes(density)) for density in FEW_DENSITIES]
gaps = np.array(gaps)    # (densities, 2, widths)
position_limit = np.array([-np.log2(d) - (1 - d) / d * np.log2(1 - d) for d in FEW_DENSITIES])
best_width = WIDTHS[gaps[:, 0].argmin(axis=1)]
demo.record("best width of gaps of fixed length", best_width, "bits")

# %% The best width depends on the fraction kept, unless gaps get Huffman codewords.
fixed, huffman = gaps.min(axis=2).T / position_limit    # each in its best width
demo.claim("the more is kept, the narrower is the best gap of fixed length (largest step, bits)",
           np.diff(best_width).max(), below=0)
demo.claim("Huffman codewords for gaps take fewer bits than a fixed length (largest ratio)",
           (huffman / fixed).max(), below=1)
demo.claim("gaps with Huffman codewords are near the entropy (largest ratio)",
           huffman.max(), at_most=1.12 if demo.quick else 1.06)

# %% Figure
figure, (left, right) = plt.subplots(1, 2, figsize=(12, 5.4))
at_one_percent = np.interp(0.01, DENSITIES, bits["gaps along rows"])
figure.suptitle(f"Skip the zeros: where 1 % is kept, gaps take {at_one_percent:.2f} bits per "
                "entry, a codeword for each takes 1")
for (name, color), marker in zip(CODINGS.items(), "osD"):
    curve(left, DENSITIES, bits[name], color=color, marker=marker, ms=5, label=name)
left.plot(DENSITIES, limit, "--", color=BLACK, lw=1.4, label="entropy")
left.set(xscale="log", yscale="log", xlabel="fraction of codes that are not 0",
         ylabel="bits per entry, with tables",
         title="Gaps and arithmetic coding follow the entropy")
left.legend()
for (fixed, huffman), lowest, density, color, marker in zip(gaps, position_limit, FEW_DENSITIES,
                                                           (GREEN, VERMILLION, BLUE), "os^"):
    right.plot(WIDTHS, fixed, ":", color=color, marker=marker, mfc="white", ms=6)
    right.plot(WIDTHS, huffman, color=color, marker=marker, ms=5)
    right.axhline(lowest, linestyle="--", color=BLACK, lw=1.1)
    right.text(12.4, lowest, f"{100 * density:.0f} % kept", va="center")
right.set(xlabel="bits of a gap", ylabel="bits per kept entry for its position", ylim=(0, 17),
          xticks=WIDTHS,
          xlim=(0.5, 12.2), title="Fixed length (dotted), Huffman (solid), entropy (dashed)")
demo.finish(figure)
