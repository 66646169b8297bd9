"""Motions of lesson 10.2: a mask that grows, and a staircase with fewer and fewer steps."""
import matplotlib.pyplot as plt
import numpy as np
from common import BLACK, BLUE, VERMILLION

from tinyml.compression.pruning import prune
from tinyml.compression.quantization import choose_qparams, dequantize, quantize, quantize_weights
from tinyml.compression.weight_masks import apply_masks, hold
from tinyml.data import digits, train_test_split
from tinyml.nn import Linear, ReLU, Sequential
from tinyml.optim import Adam
from tinyml.train import accuracy, fit


def trained(rng):
    """A network for digits, its data, and a function that trains it on."""
    X, y = digits()
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.3, rng=rng, stratify=y)
    model = Sequential(Linear(64, 64, rng=rng), ReLU(), Linear(64, 10, rng=rng))
    optimizer = Adam(model.parameters(), lr=3e-3)

    def train(epochs):
        fit(model, X, y, optimizer=optimizer, epochs=epochs, batch_size=64, rng=rng)
    train(20)
    return model, (X_test, y_test), optimizer, train


def mask(rng):
    """Pruned a little more in each frame, and trained for three epochs in between."""
    model, test, optimizer, train = trained(rng)
    amounts = [0, *np.linspace(0.1, 0.9, 17), *1 - 0.1 * 0.8 ** np.arange(1, 15)]
    masks, kept, hits = {}, [], []
    hold(optimizer, model, masks)
    for amount in amounts:
        masks.update(prune(model, amount=float(amount)))
        apply_masks(model, masks)
        train(3)
        kept.append(model[0].weight.data != 0)
        hits.append(100 * accuracy(model, *test))
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4.2))
    image = left.imshow(kept[0], cmap="gray_r", vmin=0, vmax=1, interpolation="nearest")
    left.set(xlabel="pixel", ylabel="unit", xticks=[], yticks=[])
    left.grid(False)
    line, = right.plot([], [], "o-", color=BLUE, markersize=4)
    right.set(xlim=(0, 101), ylim=(min(hits) - 2, 100), xlabel="weights pruned in %", ylabel="test accuracy in %")

    def draw(i):
        image.set_data(kept[i])
        line.set_data(100 * np.array(amounts[:i + 1]), hits[:i + 1])
        left.set_title(f"{100 * kept[i].mean():.1f} % of the first layer left")
    return figure, draw, len(amounts)


def staircase(rng):
    """The numbers that the codes stand for, from 8 bits to 1, and what the network still gets right."""
    model, test, _, _ = trained(rng)
    steps, x = [bits for bits in range(8, 0, -1) for _ in range(4)], np.linspace(-1, 1, 1001)
    hits = {bits: 100 * accuracy(quantize_weights(model, bits=bits, symmetric=False), *test) for bits in set(steps)}
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4.2))
    left.plot(x, x, color="0.85", linewidth=5)
    stair, = left.plot(x, x, color=BLUE)
    left.set(xlabel="weight", ylabel="number that its code stands for")
    right.axhline(100 * accuracy(model, *test), linestyle="--", color=BLACK, linewidth=1.2)
    right.set(xlim=(8.5, 0.5), ylim=(0, 100), xlabel="bits", ylabel="test accuracy in % (dashed: float32)")
    dots, = right.plot([], [], "o-", color=VERMILLION)

    def draw(i):
        bits = steps[i]
        qparams = choose_qparams(-1, 1, bits=bits, symmetric=False)
        stair.set_ydata(dequantize(quantize(x, qparams), qparams))
        shown = sorted(set(steps[:i + 1]), reverse=True)
        dots.set_data(shown, [hits[bits] for bits in shown])
        left.set_title(f"{bits} bit{'s' * (bits > 1)}: {2 ** bits} numbers, one of them 0")
    return figure, draw, len(steps)
