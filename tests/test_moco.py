"""The laws of MoCo: the slow copy, the queue, whose keys are negatives, where gradients do not go."""
from collections import deque

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from strategies import rngs

from tinyml import Tensor, nn
from tinyml.optim import SGD
from tinyml.selfsupervised.contrastive import info_nce
from tinyml.selfsupervised.moco import KeyQueue, MoCo, momentum_copy, train_moco, update_momentum


def network(rng, d=3, out=2):
    return nn.Sequential(nn.Linear(d, 4, rng=rng), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, out, rng=rng))


def counted(rng):
    """A module with a parameter in float64, and a buffer of integers."""
    module = nn.Module()
    module.weight, module.count = nn.Parameter(rng.standard_normal((2, 3))), rng.integers(0, 99, 4)
    return module


def shifted(x, rng):
    return x + rng.normal(0, 0.1, x.shape).astype(x.dtype)


# ------------------------------------------------------------ the slow copy

@given(rng=rngs, m=st.floats(0, 1))
def test_the_update_is_the_convex_combination_of_parameters_and_buffers(rng, m):
    slow, fast = network(rng), network(rng)
    fast(Tensor(rng.standard_normal((5, 3))))    # moves the running statistics
    old, new = slow.state_dict(), fast.state_dict()
    update_momentum(slow, fast, momentum=m)
    for name, array in slow.state_dict().items():
        expected = m * old[name].astype(float) + (1 - m) * new[name].astype(float)
        # three roundings of float32, of numbers no larger than the two ends
        assert_allclose(array, expected, rtol=0, atol=4e-7 * (1 + abs(old[name]).max() + abs(new[name]).max()))
        assert array.dtype == np.float32
        assert (array >= np.minimum(old[name], new[name]) - 1e-6).all()
        assert_array_equal(fast.state_dict()[name], new[name])


@given(rng=rngs)
def test_momentum_0_copies_and_1_freezes(rng):
    """b + m (a - b) is right too: it rounds the difference, and the sum."""
    for make in (network, counted):
        slow, fast = make(rng), make(rng)
        before = slow.state_dict()
        update_momentum(slow, fast, momentum=1)
        before |= {name: array for name, array in fast.state_dict().items() if array.dtype.kind != "f"}
        arrays = [*before.values(), *fast.state_dict().values()]
        size = max(np.abs(array).max(initial=0) for array in arrays)
        rounded = 2 * size * np.finfo(np.float32).eps
        assert_equal_states(slow.state_dict(), before, atol=rounded)    # integers are always copied
        update_momentum(slow, fast, momentum=0)
        assert_equal_states(slow.state_dict(), fast.state_dict(), atol=rounded)


def assert_equal_states(one, other, atol=0):
    assert one.keys() == other.keys()
    for name in one:
        is_float = one[name].dtype.kind == "f"
        assert_allclose(one[name], other[name], rtol=0, atol=atol if is_float else 0)
        assert one[name].dtype == other[name].dtype


@given(rng=rngs, m=st.floats(0, 0.99), t=st.integers(1, 20))
def test_a_still_model_is_approached_geometrically(rng, m, t):
    slow, fast = counted(rng), counted(rng)
    apart = slow.weight.data - fast.weight.data
    for _ in range(t):
        update_momentum(slow, fast, momentum=m)
    assert_allclose(slow.weight.data - fast.weight.data, m ** t * apart, atol=1e-14)    # a rounding per update
    assert_array_equal(slow.count, fast.count)    # integers are copied


@given(rng=rngs)
def test_the_update_writes_into_no_array_that_a_graph_may_need(rng):
    slow, fast = counted(rng), counted(rng)
    held = slow.weight.data
    kept = held.copy()
    update_momentum(slow, fast, momentum=0.5)
    assert_array_equal(held, kept)
    assert slow.weight.data is not held and not np.shares_memory(slow.weight.data, fast.weight.data)


def test_the_copy_is_equal_apart_and_without_gradients():
    model = network(np.random.default_rng(0))
    model(Tensor(np.ones((2, 3)))).sum().backward()
    copy = momentum_copy(model)
    assert_equal_states(copy.state_dict(), model.state_dict())
    for p, q in zip(copy.parameters(), model.parameters()):
        assert not p.requires_grad and p.grad is None and q.requires_grad and q.grad is not None
        assert not np.shares_memory(p.data, q.data)


@pytest.mark.parametrize("other, error", [
    (lambda rng: network(rng, out=3), r"same names and shapes, got \(2,\) and \(3,\) for 3.bias"),
    (lambda rng: counted(rng), r"same names and shapes, got \(4,\) and None for 0.bias")])
def test_models_of_another_structure_are_refused(other, error):
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match=f"update_momentum: slow and fast must have the {error}"):
        update_momentum(network(rng), other(rng), momentum=0.5)


def test_keys_of_another_length_are_refused():
    queue = KeyQueue(2)
    queue.push(np.ones((1, 3)), [0])
    for width in (1, 2):
        with pytest.raises(ValueError, match=rf"^push: keys must have D = 3 columns.* got {width}"):
            queue.push(np.ones((1, width)), [0])


# ------------------------------------------------------------ the queue

@given(rng=rngs, size=st.integers(1, 7), batches=st.lists(st.integers(0, 10), max_size=6), data=st.data())
def test_the_queue_holds_the_last_keys_also_of_batches_beyond_it(rng, size, batches, data):
    """As a deque of bounded length does, which takes key by key; key i is in slot i mod K."""
    queue, oracle, pushed = KeyQueue(size), deque(maxlen=size), [0]
    assert queue.keys().shape == (0, 0)
    for n in batches:
        numbers, ids = np.arange(pushed[-1], pushed[-1] + n), rng.integers(0, 4, n)
        queue.push(np.stack([numbers, -numbers], axis=1).astype(float), ids)    # key i is (i, -i)
        oracle.extend(zip(ids.tolist(), numbers.tolist()))
        pushed.append(pushed[-1] + n)
        without = data.draw(st.lists(st.integers(0, 4), max_size=3))
        for left_out in ((), without):
            left = [i for number, i in oracle if number not in left_out]
            expected = sorted(left, key=lambda i: i % size)    # slot by slot
            got = queue.keys(without=left_out)
            found = got[:, 0].astype(int).tolist()
            assert found == expected and (got[:, 1] == -got[:, 0]).all(), (
                f"K = {size}, pushed the keys 0, 1, ... in batches of {np.diff(pushed).tolist()}; the queue must "
                f"hold {expected}, slot by slot, got {found}" + f", without the images {left_out}" * bool(left_out))
        assert len(queue) == len(oracle), f"filled must be {len(oracle)} of K = {size}, got {len(queue)}"


@pytest.mark.parametrize("size", [1, 2, 4])
def test_the_queue_keeps_copies(size):
    queue, keys, ids = KeyQueue(size), np.ones((2, 3), np.float32), np.array([0, 1])
    queue.push(keys, ids)
    keys[...], ids[...] = 7, 5
    queue.keys()[...] = 9
    assert_array_equal(queue.keys(without=[5]), np.ones((min(size, 2), 3)), "the queue must keep copies")
    assert queue.keys().dtype == np.float32


# ------------------------------------------------------------ the loss and its gradient

def run(moco, rng, n=6, batch=3, epochs=1):
    X = rng.standard_normal((n, 3)).astype(np.float32)
    return train_moco(moco, X, view=shifted, rng=rng, epochs=epochs, batch_size=batch,
                      optimizer=SGD(moco.query.parameters(), lr=0.1))


@given(rng=rngs, m=st.sampled_from([0, 0.5, 0.99, 1]), size=st.integers(1, 9))
@settings(max_examples=15)
def test_a_batch_goes_through_the_algorithm_of_the_paper(rng, m, size):
    """Momentum first, then keys, then the loss against the queue of old, and only then the keys join it."""
    moco = MoCo(network(rng).eval(), queue_size=size, momentum=m, temperature=0.5)
    oracle_key, oracle_queue = momentum_copy(moco.query), []
    for _ in range(3):
        ids, x1, x2 = rng.permutation(6)[:3], *rng.standard_normal((2, 3, 3)).astype(np.float32)
        for p in moco.query.parameters():    # as an optimizer would
            p.data = p.data + np.float32(0.1)
        update_momentum(oracle_key, moco.query, momentum=m)
        keys = oracle_key(Tensor(x2)).data
        negatives = [key for i, key in oracle_queue if i not in ids]
        loss = moco.loss(x1, x2, ids)
        expected = info_nce(moco.query(Tensor(x1)), keys, np.reshape(negatives, (-1, 2)), temperature=0.5).item()
        assert_allclose(loss.item(), expected, rtol=1e-6)
        oracle_queue = (oracle_queue + list(zip(ids.tolist(), keys)))[-size:]
        held = sorted(map(tuple, moco.queue.keys()))
        assert_allclose(held, sorted(tuple(key) for _, key in oracle_queue))


def test_query_and_key_see_a_view_each_of_every_image_and_both_networks_are_in_one_mode():
    views, seen, modes = [], {True: [], False: []}, []

    class Watched(nn.Linear):
        def forward(self, x):
            seen[self is moco.query].append(x.data)
            modes.append(self.training)
            return super().forward(x)

    def view(x, rng):
        views.append((x, shifted(x, rng)))
        return views[-1][1]
    rng = np.random.default_rng(0)
    moco = MoCo(Watched(3, 2, rng=rng).eval(), queue_size=4, momentum=0.5, temperature=0.5)
    X = rng.standard_normal((6, 3)).astype(np.float32)
    train_moco(moco, X, view=view, rng=rng, epochs=2, batch_size=4, optimizer=SGD(moco.query.parameters()))
    assert len(views) == len(modes) == 8 and all(modes)
    for (x1, view1), (x2, view2), by_query, by_key in zip(views[::2], views[1::2], seen[True], seen[False], strict=True):
        assert_array_equal(x1, x2)    # the same images, in the same order
        assert_array_equal(by_query, view1)
        assert_array_equal(by_key, view2)
        assert not np.array_equal(view1, view2)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_loss_has_the_dtype_of_the_network_from_the_first_batch_on(dtype):
    rng = np.random.default_rng(0)
    query = nn.Linear(3, 2, rng=rng)
    query.load_state_dict({name: array.astype(dtype) for name, array in query.state_dict().items()})
    moco = MoCo(query, queue_size=4, momentum=0.5, temperature=0.5)
    for ids in (np.array([0, 1]), np.array([2, 3])):
        x = rng.standard_normal((2, 3)).astype(dtype)
        assert moco.loss(x, x, ids).data.dtype == query(Tensor(x)).data.dtype


@given(rng=rngs)
@settings(max_examples=5)
def test_no_gradient_reaches_a_key_and_the_keys_still_move(rng):
    moco = MoCo(network(rng), queue_size=8, momentum=0.5, temperature=0.5)
    before = moco.key.state_dict()
    run(moco, rng, epochs=2)
    assert all(p.grad is None and not p.requires_grad for p in moco.key.parameters())
    assert any(not np.array_equal(a, before[name]) for name, a in moco.key.state_dict().items())
    assert any(p.grad is not None for p in moco.query.parameters())


@given(rng=rngs)
@settings(max_examples=10)
def test_a_frozen_key_encoder_stays_as_it_was(rng):
    moco = MoCo(nn.Linear(3, 2, rng=rng), queue_size=8, momentum=1, temperature=0.5)
    before = moco.key.state_dict()
    run(moco, rng, epochs=2)
    assert_equal_states(moco.key.state_dict(), before)


def test_without_other_images_there_is_nothing_to_learn():
    """One image only: its own earlier keys are no negatives, so loss and gradient are 0."""
    rng = np.random.default_rng(0)
    moco = MoCo(nn.Linear(3, 2, rng=rng), queue_size=8, momentum=0.5, temperature=0.5)
    before = moco.query.state_dict()
    history = run(moco, rng, n=1, batch=1, epochs=3)
    assert [row["loss"] for row in history] == [0, 0, 0]
    assert len(moco.queue) == 3
    assert_equal_states(moco.query.state_dict(), before)


def test_training_makes_views_of_one_image_alike_and_others_not():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((32, 3)).astype(np.float32)
    moco = MoCo(network(rng, out=3), queue_size=16, momentum=0.9, temperature=0.5)
    history = train_moco(moco, X, view=shifted, rng=rng, epochs=40, batch_size=8,
                         optimizer=SGD(moco.query.parameters(), lr=0.2, momentum=0.9))
    chance = np.log(1 + 16)    # of the keys in the queue hardly one is left out
    assert history[-1]["loss"] < 0.85 * chance
    assert not any(module.training for _, module in moco.query.named_modules())
