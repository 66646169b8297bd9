"""What demos/byol.py and demos/moco.py share: variants of one method, and whether their embeddings collapse."""
import math
from typing import NamedTuple

import numpy as np
from _pretraining import adam_on_cosine, choose_view
from common import band
from panels import SERIES, bars, reference

from tinyml.data import train_test_split
from tinyml.selfsupervised.byol import spread
from tinyml.selfsupervised.downstream import UnitLength, extract_features, linear_probe
from tinyml.selfsupervised.label_efficiency import draw_labels
from tinyml.selfsupervised.simclr import mlp_encoder
from tinyml.train import accuracy, predict

DRAWS = 20    # of ten labels, one per class


def settings(model, embed, X, **options):
    """Options of `fit`: Adam on a cosine, and as a metric the spread of embeddings after every epoch.

    The embeddings are those of `embed(model)`; their spread is in units of 1/sqrt(D).
    """
    def relative_spread(model):
        z = predict(embed(model), X)
        return spread(z) * math.sqrt(z.shape[1])
    return adam_on_cosine(model, X, **options) | {"metrics": {"spread": relative_spread}}


class Curves(NamedTuple):
    """For each variant, lists of one item per split: curves over the epochs, and accuracies."""

    losses: dict
    spreads: dict
    accuracies: dict    # of a probe with ten labels; of the untrained encoder and of pixels too


def at_end(curves):
    """The values after the last epoch of each variant, arrays of one entry per split."""
    return {name: np.array(values)[:, -1] for name, values in curves.items()}


def compare(demo, variants, pretrain, sizes, X, y, *, runs):
    """Train all variants on each of `runs` splits, with history = pretrain(variant, encoder, X, view, rng)."""
    curves = Curves({name: [] for name in variants}, {name: [] for name in variants},
                    {name: [] for name in [*variants, "untrained", "pixels"]})
    for rng in demo.progress(demo.rng.spawn(runs), "splits"):
        X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.3, rng=rng, stratify=y)
        view, moves = choose_view(X_train, y_train)
        demo.record("moves that keep the class", ", ".join(moves) or "none")
        encoders = {"untrained": mlp_encoder(*sizes, rng=rng), "pixels": UnitLength()}
        for name, variant in variants.items():
            own_rng = rng.spawn(1)[0]
            encoders[name] = mlp_encoder(*sizes, rng=own_rng)
            history = pretrain(variant, encoders[name], X_train, view, own_rng)
            curves.losses[name].append([row["loss"] for row in history])
            curves.spreads[name].append([row["spread"] for row in history])
        for name, encoder in encoders.items():
            train = extract_features(encoder, X_train, unit_length=True)
            test = extract_features(encoder, X_test, unit_length=True)
            scores = [accuracy(linear_probe(train[rows], y_train[rows], l2=1e-3, tolerance=1e-3), test, y_test)
                      for rows in one_label_per_class(y_train, demo.seed)]
            curves.accuracies[name].append(np.mean(scores))
    return curves


def one_label_per_class(y, seed):
    """The rows of DRAWS draws of labels, the same for all encoders."""
    rng = np.random.default_rng(seed)
    return [draw_labels(y, 1, rng=rng) for _ in range(DRAWS)]


def draw_curves(ax, curves, dashes, **axes):
    """Draw a curve for every variant, the median over the splits."""
    for (name, values), (color, marker) in zip(curves.items(), SERIES):
        epochs = np.arange(1, len(values[0]) + 1)
        band(ax, epochs, np.maximum(values, 1e-6), color=color, marker=marker, markevery=0.2,
             linestyle=dashes.get(name, "-"), label=name)
    ax.set(xlabel="epoch", **axes)


def draw_spreads(ax, spreads, dashes, title):
    draw_curves(ax, spreads, dashes, ylabel=r"spread of embeddings, times $\sqrt{D}$", ylim=(-0.03, 1.12),
                title=title)
    reference(ax, 1, "the whole sphere", x=0.6)
    ax.legend(loc="best", frameon=True, framealpha=0.8, edgecolor="none")


def draw_accuracies(ax, accuracies):
    colors = [color for color, _ in SERIES[:len(accuracies) - 2]] + ["0.6", "0.75"]
    percent = {name: 100 * np.mean(values) for name, values in accuracies.items()}
    bars(ax, percent, fmt="%.0f", colors=colors, xlabel="test accuracy with one label per class, %",
         title="Accuracy of a linear probe, ten labels")
