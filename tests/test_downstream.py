"""The laws of downstream: features, linear probe, neighbours, fine-tuning."""
import copy
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from strategies import rngs

from tinyml import Tensor, nn
from tinyml import functional as F
from tinyml.selfsupervised.downstream import (
    UnitLength,
    extract_features,
    fine_tune,
    knn,
    linear_probe,
)
from tinyml.train import predict

EPS = np.finfo(float).eps


def network(rng, d=4, out=3):
    return nn.Sequential(nn.Linear(d, 6, rng=rng), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.5, rng=rng),
                         nn.Linear(6, out, rng=rng))


def labelled(rng, n, d, n_classes):
    """Features and labels, with each class at least once."""
    labels = rng.permutation(np.arange(n) % n_classes)
    return rng.standard_normal((n, d)) + 0.5 * labels[:, None], labels


@st.composite
def problems(draw):
    """Fewer rows than features, and more; features that span less than d; all features equal."""
    rng, n_classes = draw(rngs), draw(st.integers(1, 4))
    n, d = draw(st.integers(n_classes, 12)), draw(st.integers(1, 8))
    features, labels = labelled(rng, n, d, n_classes)
    rank = draw(st.integers(0, d))
    features[:, rank:] = features[:, :rank] @ rng.standard_normal((rank, d - rank)) + 1
    return features, labels, draw(st.sampled_from([1e-3, 1e-1, 10.0]))


# ------------------------------------------------------------ features

@given(rng=rngs, n=st.integers(1, 9), batch_size=st.integers(1, 9), unit_length=st.booleans())
def test_features_come_from_evaluation_mode_and_the_encoder_stays_as_it_is(rng, n, batch_size, unit_length):
    encoder, X = network(rng), rng.standard_normal((n, 4)).astype(np.float32)
    before = encoder.state_dict()
    features = extract_features(encoder, X, unit_length=unit_length, batch_size=batch_size)
    for name, array in encoder.state_dict().items():
        assert_array_equal(array, before[name])
    assert all(module.training for _, module in encoder.named_modules())
    expected = encoder.eval()(Tensor(X)).data
    expected = expected / np.linalg.norm(expected, axis=1, keepdims=True) if unit_length else expected
    assert features.dtype == np.float32 and features.shape == (n, 3)
    assert_allclose(features, expected, rtol=1e-4, atol=1e-5)    # batches of another size round otherwise


def test_maps_are_flattened_and_zero_features_stay_zero():
    class Maps(nn.Module):
        def forward(self, x):
            return x.reshape(-1, 2, 2)
    X = np.array([[3, 0, 0, 4], [0, 0, 0, 0]], np.float32)
    assert_array_equal(extract_features(Maps(), X), X)
    assert_allclose(extract_features(Maps(), X, unit_length=True), X / 5, rtol=1e-6)
    assert_allclose(UnitLength()(Tensor(X)).data, X / 5, rtol=1e-6)
    assert_allclose(UnitLength()(Tensor(X[:, None])).data, X[:, None] / 5, rtol=1e-6)    # of tokens, say
    centred = UnitLength([1, 0, 0, 1])(Tensor(X))
    assert_allclose(centred.data, [[2 / 13 ** 0.5, 0, 0, 3 / 13 ** 0.5], [-0.5 ** 0.5, 0, 0, -0.5 ** 0.5]], rtol=1e-6)
    assert centred.dtype == np.float32


def test_an_encoder_that_diverged_is_refused():
    encoder = nn.Linear(2, 2, rng=np.random.default_rng(0))
    encoder.bias.data = np.array([0, np.nan], np.float32)
    with pytest.raises(ValueError, match="extract_features: encoder must give finite features"):
        extract_features(encoder, np.ones((3, 2), np.float32))


# ------------------------------------------------------------ errors

def test_a_class_without_a_row_is_refused():
    for labels, missing in (([0, 2], 1), ([1, 1], 0), ([0, 10 ** 12], 1)):
        said = rf"linear_probe: labels must hold every class 0\.\..*, got none of class {missing}"
        with pytest.raises(ValueError, match=said):
            linear_probe(np.ones((2, 1)), labels)


# ------------------------------------------------------------ the probe

def probabilities(head, X):
    return F.softmax(Tensor(predict(head, X))).data


@given(problem=problems())
def test_at_the_optimum_the_gradient_of_the_engine_is_zero(problem):
    """With t = 1e-9 for the tolerance: the probe is solved on centred features, where dL/dW and dL/db are at
    most t long; of the features themselves dL/dW has dL/db mean' besides. dL/db = mean p - frequencies."""
    features, labels, l2 = problem
    head = linear_probe(features, labels, l2=l2, tolerance=1e-9)
    assert head.weight.grad is None
    loss = F.cross_entropy(head(Tensor(features)), labels) + l2 / 2 * (head.weight * head.weight).sum()
    loss.backward()
    slack = (1e-9 + 100 * EPS) * (1 + np.linalg.norm(features.mean(axis=0)))
    assert np.linalg.norm(head.weight.grad) <= slack and np.linalg.norm(head.bias.grad) <= slack
    assert abs(head.bias.data.sum()) <= 1e-12 * (1 + abs(head.bias.data).max())
    frequencies = np.bincount(labels) / len(labels)
    assert_allclose(probabilities(head, features).mean(axis=0), frequencies, atol=slack)


@given(problem=problems(), rng=rngs)
def test_no_other_head_is_better(problem, rng):
    features, labels, l2 = problem
    head = linear_probe(features, labels, l2=l2, tolerance=1e-9)

    def loss(weight, bias):
        return (F.cross_entropy(Tensor(features @ weight.T + bias), labels).item()
                + l2 / 2 * (weight ** 2).sum())
    best = loss(head.weight.data, head.bias.data)
    for scale in (1e-4, 1e-2, 1):
        other = loss(head.weight.data + scale * rng.standard_normal(head.weight.shape),
                     head.bias.data + scale * rng.standard_normal(head.bias.shape))
        assert best <= other + 10 * EPS * (1 + best)


@given(problem=problems(), rng=rngs, scale=st.sampled_from([0.1, 3.0]))
def test_rotating_shifting_and_scaling_the_features_changes_no_probability(problem, rng, scale):
    """Scaled by c, the same probabilities cost c^-2 of the penalty: so l2 goes with c^2."""
    features, labels, l2 = problem
    rotation = np.linalg.qr(rng.standard_normal((features.shape[1],) * 2))[0]
    other = scale * features @ rotation + rng.standard_normal(features.shape[1])
    heads = [linear_probe(z, labels, l2=c, tolerance=1e-9) for z, c in ((features, l2), (other, l2 * scale ** 2))]
    # A gradient of length t leaves W within t / l2, as L curves by l2 at least, and probabilities within that
    # times the lengths of the centred features; b leaves each of at most 12 rows and 4 classes within 48 t.
    W_slack = 2e-9 / (l2 * min(scale, scale ** 2, 1))
    length = np.linalg.norm(features - features.mean(axis=0), axis=1).max()
    assert_allclose(probabilities(heads[0], features), probabilities(heads[1], other),
                    atol=W_slack * length + 5e-8)
    assert_allclose(heads[1].weight.data @ rotation.T * scale, heads[0].weight.data, atol=W_slack)


@given(rng=rngs, far=st.sampled_from([1e3, -1e6]))
def test_the_probe_is_the_same_far_from_the_origin(rng, far):
    """Rounding moves far features by eps |far|, the tolerance moves W by 1e-9 / l2."""
    features, labels = labelled(rng, 12, 3, 3)
    near, away = (linear_probe(z, labels, l2=1e-2, tolerance=1e-9) for z in (features, features + far))
    assert_allclose(away.weight.data, near.weight.data, atol=2e-7 + 1e4 * EPS * abs(far))


@given(rng=rngs, n=st.integers(2, 20), d=st.integers(1, 4))
def test_equal_features_give_the_frequencies_of_the_classes(rng, n, d):
    labels = np.append([0, 1], rng.integers(0, 2, n - 2))
    head = linear_probe(np.tile(rng.standard_normal(d), (n, 1)), labels)
    assert_allclose(head.weight.data, 0, atol=1e-12)    # centred features are 0 up to rounding
    assert_allclose(probabilities(head, np.zeros((1, d)))[0], np.bincount(labels) / n, atol=2e-6)


@given(rng=rngs, duplicate=st.integers(2, 4))
def test_the_penalty_is_per_sample_so_repeating_each_row_changes_nothing(rng, duplicate):
    features, labels = labelled(rng, 9, 3, 3)
    once, often = (linear_probe(np.repeat(features, k, axis=0), np.repeat(labels, k), l2=1e-2, tolerance=1e-9)
                   for k in (1, duplicate))
    assert_allclose(often.weight.data, once.weight.data, atol=1e-6)


def test_a_stronger_penalty_gives_a_smaller_head_and_the_probe_is_deterministic():
    features, labels = labelled(np.random.default_rng(0), 30, 5, 3)
    heads = [linear_probe(features, labels, l2=l2) for l2 in (1e-3, 1e-2, 1e-1, 1)]
    lengths = [np.linalg.norm(head.weight.data) for head in heads]
    assert (np.diff(lengths) < 0).all()
    assert_array_equal(linear_probe(features, labels, l2=1).weight.data, heads[-1].weight.data)
    assert linear_probe(features.astype(np.float32), labels).weight.dtype == np.float32


def test_an_unreached_tolerance_is_an_error():
    with pytest.raises(RuntimeError, match="minimize: the gradient must come down"):
        linear_probe(np.eye(3), [0, 1, 2], max_iter=1)


# ------------------------------------------------------------ neighbours

def slow_knn(features, labels, queries, k, metric):
    names = []
    for q in queries:
        if metric == "euclidean":
            distances = [math.dist(q, z) for z in features]
        else:
            distances = [1 - q @ z / (np.linalg.norm(q) * np.linalg.norm(z)) for z in features]
        nearest = sorted(range(len(features)), key=lambda i: (distances[i], i))[:k]
        voters = [labels[i] for i in nearest]
        most = max(map(voters.count, voters))
        names.append(next(label for label in voters if voters.count(label) == most))
    return names


@given(rng=rngs, n=st.integers(1, 8), d=st.integers(1, 4), data=st.data(),
       metric=st.sampled_from(["cosine", "euclidean"]))
def test_neighbours_agree_with_a_slow_loop(rng, n, d, data, metric):
    k = data.draw(st.integers(1, n))
    features, queries, labels = rng.standard_normal((n, d)), rng.standard_normal((5, d)), rng.integers(0, 3, n)
    if metric == "cosine":
        assume(d > 1)    # on a line all cosines are 1 or -1: ties, which rounding decides
    assert_array_equal(knn(features, labels, queries, k=k, metric=metric),
                       slow_knn(features, labels, queries, k, metric))


@given(rng=rngs, n=st.integers(1, 8), k=st.integers(1, 8))
def test_ties_go_to_the_earlier_row_and_to_the_nearer_voter(rng, n, k):
    """On a grid of small integers Euclidean distances are exact, and many are equal."""
    features, queries = rng.integers(-1, 2, (n, 2)), rng.integers(-1, 2, (4, 2))
    labels = rng.integers(0, 3, n)
    assert_array_equal(knn(features, labels, queries, k=min(k, n), metric="euclidean"),
                       slow_knn(features, labels, queries, min(k, n), "euclidean"))


@given(rng=rngs, n=st.integers(1, 6), scale=st.floats(0.01, 100))
def test_by_cosines_a_zero_vector_is_at_distance_1_from_all(rng, n, scale):
    """It is farther than a vector with cos > 0, and nearer than one with cos < 0."""
    side = rng.integers(-1, 2, n)
    features = side[:, None] * np.stack([rng.uniform(0.1, 2, n), rng.uniform(-2, 2, n)], axis=1)
    assert_array_equal(knn(features, side + 1, [[scale, 0]]), [side.max() + 1])
    assert_array_equal(knn(features, np.arange(n), [[0, 0]]), [0], "all are as far from a zero query: the first")


@given(rng=rngs)
def test_distances_are_computed_in_float64(rng):
    """From 4096^2 = 2^24 on, float32 has even numbers only, and its cos t = 1 - t^2 / 2 is 1 for t < 2e-4."""
    order = rng.permutation(5)
    far, narrow = np.float32([4096 + order]).T, np.stack([np.ones(5), 4e-5 * order], axis=1).astype(np.float32)
    assert_array_equal(knn(far, order, np.float32([[4095], [4098.25]]), metric="euclidean"), [0, 2])
    assert_array_equal(knn(narrow, order, np.float32([[1, 0]]), metric="cosine"), [0])


@given(rng=rngs, far=st.sampled_from([1e3, 1.7e9, -1e12]), d=st.integers(1, 3))
def test_neighbours_far_from_the_origin(rng, far, d):
    """Steps of 5 far away (Unix times, say), and a cluster near 0; queries are off by 1."""
    order = rng.permutation(20)
    features = np.concatenate([5.0 * order[:, None] + far + np.zeros(d), 1e-3 * order[:, None] + np.zeros(d)])
    queries = features + np.repeat([1, 1e-4], 20)[:, None]
    assert_array_equal(knn(features, np.arange(40), queries, metric="euclidean"), np.arange(40))
    angles = np.stack([np.cos(1e-9 * order), np.sin(1e-9 * order)], axis=1)    # cos is 1 for all of them
    assert_array_equal(knn(angles, np.arange(20), rng.uniform(1, 9, (20, 1)) * angles), np.arange(20))


@given(rng=rngs, n=st.integers(1, 9), scale=st.floats(0.01, 100))
def test_the_nearest_neighbour_of_a_training_point_is_itself_and_cosines_ignore_lengths(rng, n, scale):
    features, labels = rng.standard_normal((n, 3)), rng.integers(0, 4, n)
    for metric in ("cosine", "euclidean"):
        assert_array_equal(knn(features, labels, features, metric=metric), labels)
    lengths = scale * rng.uniform(0.5, 2, (n, 1))
    assert_array_equal(knn(features, labels, lengths * features), labels)


# ------------------------------------------------------------ fine-tuning

def tuned(rng, encoder, head, *, lrs=(1e-2, 1e-1), epochs=2, **options):
    X, y = rng.standard_normal((10, 4)).astype(np.float32), rng.integers(0, 2, 10)
    return fine_tune(encoder, head, X, y, encoder_lr=lrs[0], head_lr=lrs[1], epochs=epochs, batch_size=4,
                     rng=rng, **options)


@settings(max_examples=10)
@given(rng=rngs, frozen=st.sampled_from([(0, 0), (0, 1), (1, 0), (1, 1)]))
def test_each_part_moves_at_its_own_learning_rate_and_not_at_all_at_0(rng, frozen):
    encoder, head = network(rng), nn.Linear(3, 2, rng=rng)
    before = copy.deepcopy((encoder, head))
    model = tuned(rng, encoder, head, lrs=np.multiply(frozen, 1e-2))
    for new, old, given_, moves in zip(model, before, (encoder, head), frozen):
        for p, q, r in zip(new.parameters(), old.parameters(), given_.parameters()):
            assert_array_equal(q.data, r.data)    # what was passed in has not moved
            assert np.array_equal(p.data, q.data) == (not moves)
    assert not any(module.training for _, module in model.named_modules())


@given(rng=rngs)
@settings(max_examples=10)
def test_the_first_step_of_adam_has_the_length_of_its_learning_rate(rng):
    encoder, head = nn.Linear(4, 3, rng=rng), nn.Linear(3, 2, rng=rng)
    X, y = rng.standard_normal((8, 4)).astype(np.float32), rng.integers(0, 2, 8)
    model = fine_tune(encoder, head, X, y, encoder_lr=1e-3, head_lr=1e-2, epochs=1, batch_size=8, rng=rng)
    for part, old, lr in zip(model, (encoder, head), (1e-3, 1e-2)):
        change = abs(part.weight.data - old.weight.data)
        assert_allclose(change.max(), lr, rtol=1e-2)    # lr g / (|g| + eps), with float32 weights


def test_the_learning_rates_follow_a_cosine_to_zero_and_training_learns():
    rng = np.random.default_rng(0)
    encoder, head = nn.Linear(4, 3, rng=rng), nn.Linear(3, 2, rng=rng)
    steps = []

    def watch(model, row):
        steps.append(model[1].weight.data)
    tuned(rng, encoder, head, epochs=20, callbacks=[watch])
    lengths = [abs(b - a).max() for a, b in zip(steps, steps[1:])]
    assert lengths[-1] < 0.05 * lengths[0]
    X, y = labelled(rng, 40, 4, 2)
    X = (X + 3 * y[:, None]).astype(np.float32)
    model = fine_tune(encoder, head, X, y, encoder_lr=1e-2, head_lr=1e-1, epochs=30, batch_size=8, rng=rng)
    assert (predict(model, X).argmax(axis=1) == y).mean() > 0.95
