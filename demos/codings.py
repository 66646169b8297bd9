"""Which coding is the shortest for which array of a network?

MATH5836 week 10, section 10.2; Han, Mao and Dally 2016, Deep Compression. Arrays as they occur
in networks (weights, pruned weights, codes of shared values, integers, masks) are written in
every coding that suits them, and the shortest is kept.

You will see the bits per entry of each array in the file, beside those in memory, and the coding
that was chosen.

Predict first: which arrays can no coding make much smaller? What do shared weights cost if they
are stored as float32? And what does it cost to prune by mask * weight?
"""
# %% Constants
import matplotlib.pyplot as plt
import numpy as np
from common import SKY, start

from tinyml.compression.coding.byte_stream import Reader
from tinyml.compression.coding.codings import decode_array, encode_array

demo = start(__file__, __doc__)
SHAPE = (100, 200) if demo.quick else (250, 400)    # of the arrays
K = 8                                               # shared values
KEPT = 0.05                                         # fraction of the weights kept by pruning

# %% Draw bell-shaped weights, and keep the largest.
weight = demo.rng.normal(0, 0.05, SHAPE).astype(np.float32)
mask = np.abs(weight) > np.quantile(np.abs(weight), 1 - KEPT)
arrays = {"weights": weight,
          "pruned weights": np.where(mask, weight, 0),
          "pruned by mask * weight": mask * weight,
          "a pruning mask (bool)": mask}

# %% Share 8 values among the weights: each is a code, and a number of a codebook.
codebook = np.linspace(-0.2, 0.2, K, dtype=np.float32)
codes = 1 + np.abs(weight[..., None] - codebook).argmin(axis=-1).astype(np.uint8)
pruned_codes = np.where(mask, codes, 0)
arrays |= {"codes of 8 values": codes,
           "pruned codes": pruned_codes,
           "pruned codes as float32": np.where(mask, codebook[codes - 1], 0)}

# %% Round the weights to 8-bit integers, and to 16-bit floats.
scale = np.abs(weight).max() / 127
arrays |= {"int8 weights": np.round(weight / scale).astype(np.int8),
           "weights rounded to float16": weight.astype(np.float16).astype(np.float32)}

# %% Write every array and read it back.
bits, coding = {}, {}
for name, array in arrays.items():
    data = encode_array(array)
    decoded, coding[name] = decode_array(Reader(data))
    assert decoded.tobytes() == array.tobytes()
    bits[name] = 8 * len(data) / array.size
    demo.record(name, bits[name], f"bits per entry: {coding[name]}")

# %% Noise does not shrink: only the exponents of the weights are regular.
demo.claim("weights hardly shrink (fraction of 32 bits)", bits["weights"] / 32, above=0.8)
demo.claim("weights rounded to 16 bits take no more than these (bits)",
           bits["weights rounded to float16"],
           at_most=16.1)

# %% A zero of a pruned matrix is cheap, but -0.0 is not: the sign of every pruned weight stays.
demo.claim("pruning by mask * weight leaves -0.0, whose sign costs bits (more per entry)",
           bits["pruned by mask * weight"] - bits["pruned weights"], at_least=0.9)

# %% Shared weights may be stored as float32: the codes and the codebook are found again.
extra = (bits["pruned codes as float32"] - bits["pruned codes"]) * weight.size / 8
demo.record("float32 instead of codes", extra, "bytes more")
demo.claim("shared float32 weights take no more than codes and a codebook (bytes more)", extra,
           at_most=4 * K + 2)
demo.claim("pruned codes take less than 1/32 of the bits of weights (ratio)",
           bits["weights"] / bits["pruned codes"],
           above=32)

# %% Figure: bits in the file, in front of those in memory
figure, ax = plt.subplots(figsize=(12, 5.6))
least, most = min(bits.values()), max(bits.values())
figure.suptitle(f"From {least:.2f} to {most:.0f} bits per entry: zeros and repetition pack well, "
                "noise does not")
ax.barh(list(arrays), [8 * array.itemsize for array in arrays.values()], color="0.9", height=0.7)
ax.barh(list(arrays), list(bits.values()), color=SKY, height=0.7)
for i, name in enumerate(arrays):
    ax.text(bits[name] + 0.3, i, f"{bits[name]:.2f}:  {coding[name]}", va="center", fontsize=10)
ax.invert_yaxis()
ax.grid(False, axis="y")
ax.set(xlabel="bits per entry in the file (grey: in memory)",
       title="The shortest coding of each array")
demo.finish(figure)
