"""The laws of channel blocks: groups of outputs from groups of inputs, in their order."""
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from strategies import rngs

from tinyml import Tensor, nn
from tinyml.compression.channel_blocks import ChannelBlocks, members
from tinyml.compression.coding.storage import load_compressed, save_compressed
from tinyml.compression.report import macs

sizes = st.integers(1, 5)


def codes_of(rng, n, k):
    """Codes of n items in which no group is empty."""
    return np.unique(rng.integers(0, k, n), return_inverse=True)[1]


def drawn(rng, C, O, G, H, kernel):
    """Blocks with some missing, and the convolution that they make."""
    inputs, outputs = members(codes_of(rng, C, G)), members(codes_of(rng, O, H))
    whole = nn.Conv2d(C, O, kernel, rng=rng)
    whole.weight.data[:], whole.bias.data[:] = 0, 0
    blocks = []
    for group in outputs:
        missing = rng.random(len(inputs)) < 0.3
        missing[rng.integers(len(inputs))] = False
        blocks.append([None if m else nn.Conv2d(len(c), len(group), kernel, rng=rng)
                       for m, c in zip(missing, inputs)])
        for conv, channels in zip(blocks[-1], inputs):
            if conv is not None:
                whole.weight.data[np.ix_(group, channels)] = conv.weight.data
                whole.bias.data[group] += conv.bias.data
    return ChannelBlocks(inputs, outputs, blocks), whole


@settings(max_examples=30)
@given(rngs, sizes, sizes, sizes, sizes)
def test_blocks_are_the_convolution_that_has_their_weights(rng, C, O, G, H):
    blocks, whole = drawn(rng, C, O, G, H, 2)
    X = rng.standard_normal((3, C, 4, 3)).astype(np.float32)
    x, again = Tensor(X, requires_grad=True), Tensor(X, requires_grad=True)
    y, expected = blocks(x), whole(again)
    assert_allclose(y.data, expected.data, atol=1e-5)
    g = rng.standard_normal(y.shape).astype(np.float32)
    y.backward(g)
    expected.backward(g)
    assert_allclose(x.grad, again.grad, atol=1e-5)
    present = [conv for row in blocks.blocks for conv in row if conv is not None]
    n_zero = whole.weight.size - sum(conv.weight.size for conv in present)
    assert macs(blocks, X) == macs(whole, X) - n_zero * y.shape[2] * y.shape[3]
    assert len(blocks.parameters()) == 2 * len(present)


def test_blocks_are_stored(tmp_path):
    rng = np.random.default_rng(0)
    blocks, _ = drawn(rng, 5, 6, 3, 3, 1)
    save_compressed(blocks, tmp_path / "m")
    x = Tensor(rng.standard_normal((2, 5, 3, 3)).astype(np.float32))
    assert_array_equal(load_compressed(tmp_path / "m")(x).data, blocks(x).data)
    assert f"{len(blocks.inputs)} groups of inputs" in repr(blocks)


@given(rngs, st.integers(1, 9), sizes)
def test_members_are_the_places_of_each_code(rng, n, k):
    codes = codes_of(rng, n, k)
    groups = members(codes)
    assert len(groups) == codes.max() + 1
    assert_array_equal(np.sort(np.concatenate(groups)), np.arange(n))
    for j, group in enumerate(groups):
        assert (codes[group] == j).all() and (np.diff(group) > 0).all()
