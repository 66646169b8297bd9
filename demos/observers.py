"""Which range should the codes of activations cover, if one image among many is far too bright?

MATH5836 week 10, section 10.2.2; Jacob et al. 2018. The hidden activations of a network for images
pass four observers, batch by batch. One image, half-way, is 100 times too bright.

You will see the range that each observer would choose after every batch; and the error of the
activations of new images, quantized in these ranges with 2 to 8 bits. With --data, other images:
where many pixels are bright all activations are large, and one bright image stands out less.

Predict first: one of the observers picks the range with the smallest mean squared error. Will it
cut the bright image off?
"""
# %% Constants
import matplotlib.pyplot as plt
import numpy as np
from _networks import load_images, trained_network
from common import start
from panels import SERIES, curve, reference

from tinyml.compression.observers import (
    MinMaxObserver,
    MovingAverageObserver,
    MSEObserver,
    PercentileObserver,
)
from tinyml.compression.quantization import choose_qparams, dequantize, quantize
from tinyml.train import predict

demo = start(__file__, __doc__, data=("digits", "clothes", "mnist", "fashion-mnist"))
X, y = load_images(demo)
RUNS = 2 if demo.quick else 4        # networks, each with its own split of the images
EPOCHS = 5 if demo.quick else 15
BATCHES = 10                         # that the observers see, of some 120 images each
BRIGHT = 100                         # times, one image in the middle
BITS = np.arange(2, 9)
OBSERVERS = {
    "min-max": MinMaxObserver,
    "moving average": MovingAverageObserver,
    "middle 99 %": lambda: PercentileObserver(99),
    "least error": lambda: MSEObserver(bits=4),
}

# %% The range after every batch
def watch(observer, batches):
    """The upper end of the range after each batch, and the range after the last one."""
    tops = []
    for batch in batches:
        observer.update(batch)
        tops.append(observer.range()[1])
    return tops, observer.range()


# %% The error of new activations, quantized in a range
def relative_error(x, low, high, bits):
    """Mean squared error over mean square."""
    qparams = choose_qparams(low, high, bits=bits, symmetric=False)
    rounded = dequantize(quantize(x, qparams), qparams)
    return np.mean((rounded - x) ** 2) / np.mean(x ** 2)


# %% Experiment: one bright image among the ones that the observers see
def run(rng):
    model, (X_seen, _), (X_new, _), _ = trained_network(X, y, rng, epochs=EPOCHS, hidden=(32,))
    hidden = model[:2]
    X_seen[len(X_seen) // 2] *= BRIGHT
    seen, new = predict(hidden, X_seen), predict(hidden, X_new)
    batches = np.array_split(seen, BATCHES)
    watched = {name: watch(make(), batches) for name, make in OBSERVERS.items()}
    tops = [top for top, _ in watched.values()]
    errors = [[relative_error(new, *ends, bits) for bits in BITS.tolist()]
              for _, ends in watched.values()]
    return tops, errors, new.max(), seen.max()


runs = [run(np.random.default_rng([demo.seed, r])) for r in demo.progress(range(RUNS), "networks")]
tops, errors, largest_new, largest_seen = (np.array(part) for part in zip(*runs))
error = dict(zip(OBSERVERS, np.median(errors, axis=0)))    # (bits,) each
top = dict(zip(OBSERVERS, tops[0]))                        # (batches,) each, of the first network

# %% Claims about the ranges
demo.record("largest activation of new images", largest_new[0])
for name in OBSERVERS:
    demo.record(f"upper end after the last batch, {name}", top[name][-1])
    demo.record(f"error / mean square at 2 to 8 bits, {name}", error[name])
demo.claim("the min-max range reaches the brightest activation (ratio)",
           tops[:, 0, -1].max() / largest_seen.max(), within=(1, 1))
demo.finding("the middle 99 % end below the largest activation of new images (largest ratio)",
             (tops[:, 2, -1] / largest_new).max(), below=1,
             why="If a few activations in a hundred are as large as the largest, 99 % "
                 "reach up to it.")
demo.finding("a moving average forgets: its end falls after the bright image (largest ratio)",
             (tops[:, 1, -1] / tops[:, 1].max(axis=1)).max(), below=0.8,
             why="If the images after the bright one also have far larger activations than "
                 "those before, the range stays wide.")

# %% Claims about the errors
at_8 = {name: values[BITS == 8].item() for name, values in error.items()}
at_4 = {name: values[BITS == 4].item() for name, values in error.items()}
demo.finding("8 bits for the min-max range are worse than 4 for the middle 99 % (ratio of errors)",
             at_8["min-max"] / at_4["middle 99 %"], above=1,
             why="If the bright image leaves the largest activation about as it is, "
                 "min-max ranges are fine.")
demo.finding("the range of least error keeps the bright image, whose square dominates "
             "(upper end / that of min-max)", (tops[:, 3, -1] / tops[:, 0, -1]).min(),
             above=0.5,
             why="Cutting the bright activation costs its square, once; if the other "
                 "activations are large as well, the sum of their smaller errors outweighs "
                 "it.")

# %% Figure: ranges batch by batch, and the errors in the last ones
figure, (ranges, loss) = plt.subplots(1, 2, figsize=(12.5, 5.2))
worse = "worse than" if at_8["min-max"] > at_4["middle 99 %"] else "as good as"
figure.suptitle(f"One image {BRIGHT} times too bright: with min-max ranges, 8 bits are {worse} "
                "4 bits with clipping")
number = np.arange(1, BATCHES + 1)
for (name, values), (color, marker) in zip(top.items(), SERIES):
    ranges.plot(number, values, color=color, marker=marker, markersize=5, label=name)
reference(ranges, largest_new[0], "largest activation of new images", x=0.6)
ranges.set(yscale="log", xlabel="batches seen", ylabel="upper end of the range",
           title="Ranges of one network")
ranges.set_xticks(number[1::2])
ranges.legend(loc="center left", fontsize=10)
for (name, values), (color, marker) in zip(zip(OBSERVERS, errors.swapaxes(0, 1)), SERIES):
    curve(loss, BITS, values, color=color, marker=marker, markersize=5, label=name)
loss.set(yscale="log", xlabel="bits", ylabel="mean squared error / mean square",
         title=f"Error of new activations, {RUNS} networks")
loss.legend(loc="lower left", fontsize=10)
demo.finish(figure)
