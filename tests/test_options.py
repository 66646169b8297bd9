"""An option changes the result: a function that keeps it from those it calls would give that of the default.

Layers and functions of `nn` and `functional` have such a table in their own tests.
"""
import copy

import numpy as np
import pytest

from tinyml import Tensor, data, nn, synthetic
from tinyml.compression import (
    clipping,
    codebooks,
    deep_compression,
    distillation,
    factorize,
    low_rank,
    pruning,
    quantization,
    quantization_aware,
    structured,
    thin_layers,
    weight_sharing,
)
from tinyml.interpolation import benign, epoch_wise, forest, implicit_bias, min_norm
from tinyml.optim import SGD, Adam
from tinyml.schedules import cosine_decay, step_decay
from tinyml.selfsupervised import (
    augmentations,
    byol,
    contrastive,
    downstream,
    markov,
    masked_edges,
    masked_patches,
    masked_tokens,
    masking,
    series,
    ts_tcc,
)
from tinyml.train import fit

RNG = np.random.default_rng
W, V = RNG(0).standard_normal((6, 8)), RNG(1).standard_normal((6, 8))
UNEVEN = RNG(0).laplace(size=(4, 200)) * [[1], [2], [8], [30]]    # outliers, and channels of other ranges
X, Y = RNG(2).standard_normal((12, 4)).astype(np.float32), np.arange(12) % 3
TOKENS, PATCHES = RNG(3).integers(0, 5, (3, 10)), RNG(3).standard_normal((3, 4, 9)).astype(np.float32)
IMAGES, SERIES = RNG(4).random((2, 6, 6)), RNG(4).standard_normal((6, 2, 32)).astype(np.float32)
RANDOM = {"init": "random", "rng": RNG(9)}
GRID = np.linspace(0, 1, 7)


def net():
    return nn.Sequential(nn.Linear(4, 6, rng=RNG(5)), nn.ReLU(), nn.Linear(6, 3, rng=RNG(6))).train()


def uneven():
    layer = nn.Linear(200, 4, rng=RNG(5))
    layer.weight.data = UNEVEN.astype(np.float32)
    return nn.Sequential(layer)


def linear():
    return nn.Linear(8, 6, rng=RNG(5))


def linear_teacher(n=4):
    return nn.Linear(n, 3, rng=RNG(8))


def after(change, model=None):
    """The model after something was done to it."""
    model = net() if model is None else model
    result = change(model)
    return result if isinstance(result, nn.Module) else model


def trained(**options):
    return after(lambda model: fit(model, X, Y, optimizer=SGD(model.parameters(), lr=0.1), epochs=2, batch_size=5,
                                   rng=RNG(0), **options))


def tuned(change, **options):
    return after(lambda model: change(model, X, Y, **{"epochs": 2} | options, rng=RNG(0)))


def pretrained(**options):
    model = ts_tcc.TSTCC(ts_tcc.SeriesEncoder(2, 8, rng=RNG(0)), 8, steps=2, rng=RNG(0))
    return after(lambda model: ts_tcc.pretrain(
        model, SERIES, weak=series.jitter(strength=0.1), strong=series.jitter(strength=0.5), rng=RNG(0), epochs=1,
        batch_size=3, optimizer=SGD(model.parameters(), lr=0.1), **options), model)


def descended(**options):
    return implicit_bias.iterates(W, W[:, 0], lambda params: Adam(params, lr=0.1), [np.arange(6)] * 3, **options)


def moved(x, rng):
    return x + rng.standard_normal(x.shape).astype(x.dtype)


CASES = {    # name -> (call with options, {name of the option: other values, of it and of what it needs})
    "channel_codes": (lambda **o: clipping.channel_codes(UNEVEN, bits=3, **o), dict(
        density="laplace", corrected=True, allocated=True)),
    "quantize_repaired": (lambda **o: clipping.quantize_repaired(uneven(), bits=3, **o), dict(
        density="laplace", corrected=True, allocated=True)),
    "tune": (lambda **o: tuned(deep_compression.tune, teacher=linear_teacher(), lr=0.01, **o), dict(
        temperature=1.0, alpha=0.5, batch_size=3, augment=moved, weight_decay=0.1)),
    "prune_gradually": (lambda **o: tuned(deep_compression.prune_gradually, teacher=linear_teacher(), keep=0.5, **o), dict(
        lr=0.02, weight_decay=0.1, batch_size=3, temperature=1.0, alpha=0.5, augment=moved)),
    "deep_compress": (lambda **o: deep_compression.deep_compress(
        net(), X, Y, keep=0.5, bits=2, rng=RNG(0), **{"epochs": (2, 1)} | o)[0], {
        "epochs": (1, 1), "epochs of sharing": {"epochs": (2, 2)}, "lr": (0.05, 3e-4),
        "lr of sharing": {"lr": (0.002, 0.05)}, "bias_bits": 1, "weight_decay": 0.1, "teacher": linear_teacher()}),
    "share_and_tune": (lambda **o: tuned(deep_compression.share_and_tune, teacher=linear_teacher(), bits=2, **o), dict(
        lr=0.1, batch_size=3, augment=moved)),
    "distill": (lambda **o: after(lambda model: distillation.distill(
        model, linear_teacher(), X, Y, temperature=2, alpha=0.5, rng=RNG(0), epochs=1, batch_size=5,
        optimizer=SGD(model.parameters(), lr=0.1), **o)), dict(augment=moved, drop_last=True)),
    "distillation_loss": (lambda **o: distillation.distillation_loss(W, V, temperature=2, alpha=o.pop("alpha", 1), **o),
                          dict(target={"target": np.arange(6), "alpha": 0.5})),
    "factorize_linear": (lambda **o: thin_layers.factorize_linear(linear(), 2, **o), dict(
        second_moment=np.diag(np.arange(1.0, 9)))),
    "factorize_conv": (lambda **o: thin_layers.factorize_conv(nn.Conv2d(3, 4, 3, rng=RNG(0)), 2, **o)(
        RNG(1).standard_normal((1, 3, 5, 5)).astype(np.float32)), dict(method="channel")),
    "truncated_svd": (lambda **o: low_rank.truncated_svd(W, 2, **o), dict(second_moment=np.diag(np.arange(1.0, 9)))),
    "factorize": (lambda **o: after(lambda model: factorize.factorize(
        model, **({} if "energy" in o else {"share": 0.5}) | o), nn.Sequential(linear(), linear_teacher(6))), dict(
        share=0.8, energy=0.9, X=RNG(0).standard_normal((9, 8)))),
    "cubic_sparsity": (lambda **o: pruning.cubic_sparsity(0.5, final=0.9, t_end=1, **o), dict(
        t_start=0.2, initial=0.1)),
    "prune": (lambda **o: after(lambda model: pruning.prune(model, amount=0.5, **o)), dict(
        method="layer", rng={"method": "random", "rng": RNG(0)})),
    "channel_range": (lambda **o: quantization.channel_range(W, **o), dict(axis=0)),
    "quantize_weights": (lambda **o: quantization.quantize_weights(net(), bits=4, **o), dict(
        symmetric=False, per_channel=False)),
    "prepare": (lambda **o: quantization_aware.prepare(net(), bits=4, **o)(X), dict(symmetric=False, share=0.5)),
    "norm_scores": (lambda **o: structured.norm_scores(W, **o), dict(order=1)),
    "initial_centroids": (lambda **o: codebooks.initial_centroids(W.ravel(), 5, **o), dict(
        init="density", rng=RANDOM)),
    "kmeans": (lambda **o: codebooks.kmeans(W.ravel(), 5, **o), dict(init="density", rng=RANDOM, max_iter=1)),
    "fast_kmeans": (lambda **o: codebooks.fast_kmeans(W.ravel(), 5, **o), dict(
        init="density", rng=RANDOM, max_iter=1)),
    "share_weights": (lambda **o: after(lambda model: weight_sharing.share_weights(model, bits=2, **o)), dict(
        init="density", rng=RANDOM)),
    "share_biases": (lambda **o: after(lambda model: weight_sharing.share_biases(model, bits=2, **o)), dict(
        init="density", rng=RANDOM)),
    "make_linear": (lambda **o: synthetic.make_linear(5, 3, sigma=0.1, rng=RNG(0), **o), dict(beta=np.ones(3))),
    "make_spirals": (lambda **o: synthetic.make_spirals(6, 2, noise=0, rng=RNG(0), **o), dict(turns=2)),
    "batches": (lambda **o: np.concatenate([x for x, in data.batches(X, batch_size=5, rng=RNG(0), **o)]), dict(
        drop_last=True)),
    "train_test_split": (lambda **o: data.train_test_split(X, test_size=0.5, rng=RNG(0), **o), dict(stratify=Y)),
    "k_star": (lambda **o: benign.k_star(1 / np.arange(1.0, 40), 5, **o), dict(b=0.2)),
    "variance_order": (lambda **o: benign.variance_order(1 / np.arange(1.0, 40), 5, **o), dict(b=0.2)),
    "bias2_order": (lambda **o: benign.bias2_order(1 / np.arange(1.0, 40), np.ones(39), 5, **o), dict(b=0.2)),
    "turning_points": (lambda **o: epoch_wise.turning_points(1 - GRID, (GRID - 0.3) ** 2, **o)[-1], dict(
        tolerance=0.5)),
    "RegressionTree": (lambda **o: forest.RegressionTree(**o).fit(X, X[:, :1]).predict(-X), dict(
        max_leaf_nodes=3, max_features={"max_features": 1, "rng": RNG(0)}, splitter={"splitter": "random", "rng": RNG(0)})),
    "RandomForest": (lambda **o: forest.RandomForest(2, rng=RNG(0), **o).fit(X, X[:, :1]).predict(-X), dict(
        max_leaf_nodes=3, max_features=1, bootstrap=True, splitter="random")),
    "iterates": (descended, dict(beta0=np.ones(8), schedule=lambda t: 0.5)),
    "kaczmarz": (lambda **o: implicit_bias.kaczmarz(W, W[:, 0], [0, 1], **o), dict(beta0=np.ones(8))),
    "gradient_descent": (lambda **o: min_norm.gradient_descent(W, W[:, 0], lr=0.01, n_steps=2, **o), dict(
        beta0=np.ones(8))),
    "gradient_descent_closed_form": (lambda **o: min_norm.gradient_descent_closed_form(
        W, W[:, 0], lr=0.01, n_steps=2, **o), dict(beta0=np.ones(8))),
    "step_decay": (lambda **o: step_decay(5, 2, **o), dict(gamma=0.5)),
    "cosine_decay": (lambda **o: cosine_decay(5, 10, **o), dict(final=0.5)),
    "affine": (lambda **o: augmentations.affine(IMAGES, np.eye(2), **o), dict(shift=(1, 0))),
    "random_affine": (lambda **o: augmentations.random_affine(**o)(IMAGES, RNG(0)), dict(
        rotate=0.5, scale=0.5, shear=0.5, shift=1.0)),
    "target_momentum": (lambda **o: byol.target_momentum(1, 10, **o), dict(base=0.5)),
    "info_nce": (lambda **o: contrastive.info_nce(W, V, temperature=0.5, **o), dict(negatives=W[:3])),
    "UnitLength": (lambda **o: downstream.UnitLength(**o)(Tensor(W)), dict(center=1.0)),
    "extract_features": (lambda **o: downstream.extract_features(net(), X, **o), dict(unit_length=True)),
    "linear_probe": (lambda **o: downstream.linear_probe(X, Y, **o), dict(l2=0.1, tolerance=0.1)),
    "knn": (lambda **o: downstream.knn(X, Y, -X, **o), dict(k=5, metric="euclidean")),
    "posterior": (lambda **o: markov.posterior(np.array([[0, 2, 1, 0, 1, 1, 0, 0]]), np.array([[0.9, 0.1], [0.2, 0.8]]), mask_id=2, **o),
                  dict(mask_ratio=0.5)),
    "EdgePredictor": (lambda **o: masked_edges.EdgePredictor(4, 3, rng=RNG(0), **o)([[0, 1]], [[1, 2]]), dict(
        messages=False)),
    "normalize_patches": (lambda **o: masked_patches.normalize_patches(PATCHES, **o), dict(eps=1.0)),
    "reconstruct": (lambda **o: masked_patches.reconstruct(autoencoder(), PATCHES, rng=RNG(0), **o), dict(
        mask_ratio=0.25)),
    "masked_patch_loss": (lambda **o: masked_patches.masked_patch_loss(autoencoder(), PATCHES, rng=RNG(0), **o), dict(
        mask_ratio=0.25, normalize=True)),
    "masked_token_loss": (lambda **o: masked_tokens.masked_token_loss(
        masked_tokens.TokenTransformer(5, 10, d_model=4, nhead=1, num_layers=1, rng=RNG(0)), TOKENS, vocab_size=5,
        rng=RNG(0), **o), dict(mask_ratio=0.9)),
    "mask_tokens": (lambda **o: masking.mask_tokens(TOKENS, vocab_size=5, mask_id=5, rng=RNG(0), **o), dict(
        mask_ratio=0.9)),
    "make_activities": (lambda **o: series.make_activities(6, rng=RNG(0), **o), dict(length=32, sigma=0.1)),
    "pretrain": (pretrained, dict(lambda1=0.5, lambda2=0.1, temperature=0.5)),
    "fit": (trained, dict(drop_last=True)),
}


def autoencoder():
    return masked_patches.MaskedAutoencoder(4, 9, d_model=4, num_layers=1, decoder_dim=4, decoder_layers=1, nhead=1,
                                            rng=RNG(0))


def numbers(result):
    """All numbers of a result, in one vector."""
    if isinstance(result, nn.Module):
        parts = [*result.state_dict().values(), *(v for _, m in result.named_modules() for v in vars(m).values()
                                                  if isinstance(v, np.ndarray))]
    elif isinstance(result, (tuple, list)):
        parts = [numbers(part) for part in result]
    else:
        parts = [np.asarray(getattr(result, "data", result))]
    return np.concatenate([np.ravel(part).astype(np.float64) for part in parts] or [np.zeros(0)])


@pytest.mark.parametrize("name, option", [(name, option) for name in CASES for option in CASES[name][1]])
def test_an_option_changes_the_result(name, option):
    call, others = CASES[name]
    other = others[option]
    given = other if isinstance(other, dict) else {option: other}
    with np.errstate(all="ignore"):
        plain, again, changed = (numbers(call(**copy.deepcopy(options))) for options in ({}, {}, given))
    assert plain.tobytes() == again.tobytes()
    assert plain.tobytes() != changed.tobytes()
