"""With four bits and less: is it better to keep the largest weights, or to clip them?

MATH5836 week 10, section 10.2.2; Banner, Nahshan and Soudry 2019. Numbers from two densities are
clipped and rounded; then the weights of networks for images are quantized, with none, one or
two of three repairs.

You will see the error against the clip, with its two parts and the best clip in theory; and the
error of the weights and the accuracy of the network at 2 to 4 bits. With --data, other images: the
larger a few weights are beside the others, the more a clip gains: on digits a smaller error and
hardly any accuracy, on clothes both.

Predict first: does the repair that lowers the error of the weights most also save most of the
accuracy?
"""
# %% Constants
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from _networks import Trained, load_images, relative_error, trained_network
from common import BLACK, start
from panels import SERIES, curve, reference

from tinyml.compression.clipping import expected_error, optimal_clip, quantize_repaired
from tinyml.compression.report import compare
from tinyml.train import accuracy

demo = start(__file__, __doc__, data=("digits", "clothes", "mnist", "fashion-mnist"))
X, y = load_images(demo)
DRAWN = 20_000 if demo.quick else 200_000    # numbers from each density
SHOWN = 4                                    # bits of the first panel
UNITS = {"laplace": "scales b", "gaussian": "standard deviations"}
RUNS = 3 if demo.quick else 10               # networks, each with its own split of the images
EPOCHS = 15 if demo.quick else 40            # of training
BITS = [2, 3, 4]
REPAIRS = {
    "none": {},
    "clipped": dict(density="gaussian"),
    "mean and norm restored": dict(corrected=True),
    "bits by range": dict(allocated=True),
    "clipped, mean and norm": dict(density="gaussian", corrected=True),
}


# %% The error of numbers that are clipped and rounded
def measured_error(x, alpha, bits):
    """Clip to -+alpha, round to the middle of one of 2^bits cells, and take the mean square."""
    step = 2 * alpha / 2 ** bits
    middle = (np.floor(x / step) + 0.5) * step
    coded = np.where(np.abs(x) > alpha, np.sign(x) * alpha, middle)
    return np.mean((coded - x) ** 2)


# %% Measured and in theory, for clips around the best one
draws = {"laplace": demo.rng.laplace(size=DRAWN), "gaussian": demo.rng.standard_normal(DRAWN)}
best = {name: optimal_clip(SHOWN, density=name) for name in draws}
clips = {name: best[name] * np.geomspace(0.25, 2.5, 25) for name in draws}
measured, theory, off = {}, {}, 0
for name, x in draws.items():
    measured[name] = np.array([measured_error(x, alpha, SHOWN) for alpha in clips[name]])
    theory[name] = np.array([expected_error(alpha, bits=SHOWN, density=name)
                             for alpha in clips[name]])
    log_ratio = np.log(measured[name] / theory[name])
    off = max(off, np.abs(log_ratio).max())
demo.claim("the expected error is that of real numbers (largest deviation of its log)", off,
           at_most=0.25)

# %% Experiment: every repair at every number of bits
class Run(NamedTuple):
    net: Trained
    small: dict     # repair: [a model for each number of bits]
    errors: list    # (repairs, bits)
    hits: list      # (repairs, bits)


def run(rng):
    net = trained_network(X, y, rng, epochs=EPOCHS)
    small = {name: [quantize_repaired(net.model, bits=bits, **options) for bits in BITS]
             for name, options in REPAIRS.items()}
    errors = [[relative_error(net.model, s) for s in row] for row in small.values()]
    hits = [[accuracy(s, *net.test) for s in row] for row in small.values()]
    return Run(net, small, errors, hits)


runs = [run(np.random.default_rng([demo.seed, r])) for r in demo.progress(range(RUNS), "networks")]
full = np.mean([r.net.full for r in runs])
error = dict(zip(REPAIRS, np.mean([r.errors for r in runs], axis=0)))    # (bits,) each
hit = dict(zip(REPAIRS, np.mean([r.hits for r in runs], axis=0)))        # (bits,) each

# %% Clipping lowers the error of the weights most
demo.record("accuracy, float32", full)
for name in REPAIRS:
    demo.record(f"{name}: relative error of the weights, 2 to 4 bits", error[name])
    demo.record(f"{name}: accuracy, 2 to 4 bits", hit[name])
ratio = {name: error[name] / error["none"] for name in REPAIRS}
demo.finding("clipping lowers the error of 2-bit weights (ratio)", ratio["clipped"][0], below=1,
             why="A clip pays if a few weights are far larger than the others; if weights "
                 "fill their range evenly it only adds an error.")
demo.finding("clipping lowers the error of 3-bit weights (ratio)", ratio["clipped"][1], below=1,
             why="With more bits the best clip is near the largest weight, so it gains "
                 "little, and with few outliers nothing.")
demo.finding("mean and norm restored lower the error of 2-bit weights (ratio)",
             ratio["mean and norm restored"][0], below=1,
             why="If rounding shifts the mean of a unit's weights or changes their norm by "
                 "little, there is little to restore.")

# %% But accuracy is another question
demo.finding("mean and norm restored give accuracy back, at 2 bits (points gained)",
             100 * (hit["mean and norm restored"][0] - hit["none"][0]), above=0,
             why="A smaller error of the weights is not always a smaller error of the "
                 "outputs: this depends on the pixels that are bright.")
demo.finding("at 2 bits, mean and norm restored give more accuracy than a clip (points)",
             100 * (hit["mean and norm restored"][0] - hit["clipped"][0]), above=0,
             why="Where a few weights are far larger than the others, they make the steps so wide "
                 "that only a clip helps.")
demo.finding("at 4 bits no repair is needed here (points lost without any)",
             100 * (full - hit["none"][-1]), at_most=1,
             why="Where classes are alike, more images are close to a boundary, and a "
                 "small error of the weights moves them across.")

# %% What the repairs weigh in a file
at_2 = {f"2 bits, {name}": row[0] for name, row in runs[0].small.items()}
reports = compare({"float32": runs[0].net.model} | at_2, *runs[0].net.test)
demo.reports(reports)
restored, none = reports["2 bits, mean and norm restored"], reports["2 bits, none"]
demo.finding("mean and norm restored cost hardly a byte (bytes of the file, ratio, 2 bits)",
             restored.file_bytes / none.file_bytes, at_most=1.05,
             why="Where most codes are equal, a file of codes is so small that a few "
                 "numbers for each unit weigh more.")

# %% Figure: the error against the clip
figure, (left, wrong, right) = plt.subplots(1, 3, figsize=(16, 5.2))
figure.suptitle(f"2-bit weights: clipping gives {ratio['clipped'][0]:.2f} times the error and "
                f"{100 * hit['clipped'][0]:.0f} % accuracy instead of "
                f"{100 * hit['none'][0]:.0f} %; "
                f"mean and norm restored, {100 * hit['mean and norm restored'][0]:.0f} %")
for (name, unit), (color, marker) in zip(UNITS.items(), SERIES):
    curve(left, clips[name], measured[name], theory=theory[name], color=color, marker=marker,
          linestyle="", markersize=5, label=f"{name}, in {unit}")
    left.plot(best[name], expected_error(best[name], bits=SHOWN, density=name), "*", color=color,
              markersize=17, markeredgecolor=BLACK)
left.set(xscale="log", yscale="log", xlabel="clip", ylabel="mean squared error",
         title=f"{SHOWN} bits: measured, theory dashed, best clip starred")
left.set_xticks([1, 2, 3, 5, 10], ["1", "2", "3", "5", "10"])
left.minorticks_off()
left.legend(fontsize=10)

# %% The error of the weights and the accuracy, by repair
for i, (name, (color, marker)) in enumerate(zip(REPAIRS, SERIES)):
    place = np.array(BITS) + 0.05 * (i - 2)    # side by side
    style = dict(color=color, marker=marker, linewidth=1.2, markersize=7, label=name)
    curve(wrong, place, error[name], **style)
    curve(right, place, 100 * hit[name], **style)
reference(right, 100 * full, "float32")
wrong.set(yscale="log", ylabel="mean squared error / mean square",
          title="Error of the weights, by repair")
right.set(ylabel="test accuracy in %", title=f"Accuracy, mean of {RUNS} networks")
right.legend(loc="lower right", fontsize=10)
for ax in (wrong, right):
    ax.set_xticks(BITS, [f"{bits} bits" for bits in BITS])
demo.finish(figure)
