"""Convolutional networks that `papers` makes small: trained, cut in three ways, and timed."""
from typing import NamedTuple

import numpy as np
from _networks import as_images, conv_network, tune

from tinyml.compression.biclustering import bicluster, bicluster_conv, ranks_for_work
from tinyml.compression.factorize import factorize
from tinyml.compression.low_rank import rank_for_budget
from tinyml.compression.report import macs, milliseconds
from tinyml.compression.thin_layers import factorize_conv
from tinyml.nn import Sequential
from tinyml.train import accuracy, predict

LAYER = 2    # the position of the second convolution, which does most of the work
POINT = 0.01


class Net(NamedTuple):
    model: Sequential
    train: tuple     # X, y
    held: tuple
    test: tuple
    seed: int


def trained_net(train, test, *, n, n_held, epochs, sizes, seed):
    """A network of so many filters, filters and units; the last n_held images are held out."""
    X, y = as_images(train[0]), train[1]
    n, first_held = min(n, len(X) - n_held), len(X) - n_held
    data, held = (X[:n], y[:n]), (X[first_held:], y[first_held:])
    *filters, units = sizes
    rng = np.random.default_rng(seed)
    model = tune(conv_network(train[0].shape[1], rng, filters, units), data, epochs, rng, lr=2e-3)
    return Net(model, data, held, (as_images(test[0]), test[1]), seed)


def points_lost(nets, shrink):
    """Points of test accuracy that shrink(net) costs, mean over the networks."""
    return 100 * np.mean([accuracy(net.model, *net.test) - accuracy(shrink(net), *net.test)
                          for net in nets])


def channel_pair(net, share):
    """Denton's: the second convolution in two layers, fewer filters and then 1 x 1 ones."""
    n_out, *kernel = net.model[LAYER].weight.shape
    rank = rank_for_budget(n_out, np.prod(kernel).item(), share=share)
    pair = factorize_conv(net.model[LAYER], rank, method="channel")
    return Sequential(*net.model[:LAYER], pair, *net.model[LAYER + 1:])


def in_blocks(layer, share, n_groups, rng):
    """The layer in blocks of alike filters and channels, within a share of its work."""
    inputs, outputs = bicluster(layer.weight.data, n_groups, n_groups, rng=rng)
    K1, K2 = ranks_for_work(layer, inputs, outputs, share=share)
    return bicluster_conv(layer, inputs, outputs, in_rank=K1, out_rank=K2)


def biclustered(net, share):
    """Denton's other form: the second convolution in 2 x 2 blocks."""
    blocks = in_blocks(net.model[LAYER], share, 2, np.random.default_rng(net.seed))
    return Sequential(*net.model[:LAYER], blocks, *net.model[LAYER + 1:])


def separable_pairs(net, share, epochs):
    """Tai's: a column and a row for each filter, two layers for each dense one; then trained."""
    return tune(factorize(net.model, share=share), net.train, epochs,
                np.random.default_rng(net.seed))


def within_a_point(net, smaller, shares):
    """The smaller network with the least share that costs at most a point of held-out accuracy."""
    enough = accuracy(net.model, *net.held) - POINT
    tried = (smaller(net, share) for share in shares)
    return next((model for model in tried if accuracy(model, *net.held) >= enough), net.model)


def speed_up(nets, smaller, shares, *, of_layer=False, rounds=20):
    """Times faster, times fewer multiplications, points lost: means over the networks."""
    found = []
    for net in nets:
        new, batch = within_a_point(net, smaller, shares), net.test[0][:256]
        lost = points_lost([net], lambda _, new=new: new)
        before, after = net.model, new
        if of_layer:
            batch, before, after = predict(net.model[:LAYER], batch), before[LAYER], after[LAYER]
        ms = milliseconds([before, after], batch, rounds=rounds)
        found.append([np.median(ms[0] / ms[1]), macs(before, batch) / macs(after, batch), lost])
    return np.mean(found, axis=0).tolist()
