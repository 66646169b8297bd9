"""Pieces of larger models, three times: by hand in NumPy, in tinyml, and in PyTorch where it is installed.

Each function returns ``step``: step() runs forward and backward and returns (loss, gradients). What is written
by hand keeps no graph; its chain rule is the order of its lines.
"""
import numpy as np

from tinyml import Tensor, ops
from tinyml.nn import TransformerEncoderLayer
from tinyml.selfsupervised.contrastive import nt_xent

LINKS = 250    # of the chain, of four operations each
HEADS = 4
EPS = 1e-5     # of the block's norms


# ------------------------------------------------------------ a chain of 1,000 operations on four numbers
def chain_by_hand(x):
    def step():
        y, values = x, []
        for _ in range(LINKS):
            t = np.tanh(y * 1.001)
            values.append(t)
            y = (t + 0.001) * 0.999
        g = np.ones_like(x)
        for t in reversed(values):
            g = g * 0.999 * (1 - t * t) * 1.001
        return y.sum(), [g]
    return step


def chain_in(tensor, total):
    """The same in any framework: tensor() makes a leaf, total(y) the sum of its entries."""
    def step():
        y = leaf = tensor()
        for _ in range(LINKS):
            y = ((y * 1.001).tanh() + 0.001) * 0.999
        loss = total(y)
        loss.backward()
        return loss.item(), [leaf.grad]
    return step


def chain_tinyml(x):
    return chain_in(lambda: Tensor(x, requires_grad=True), lambda y: y.sum())


def chain_torch(torch, x):
    return chain_in(lambda: torch.tensor(x, requires_grad=True), lambda y: y.sum())


# ------------------------------------------------------------ NT-Xent of pairs of embeddings
def nt_xent_by_hand(z1, z2, temperature):
    z = np.concatenate([z1, z2])
    rows, partner = np.arange(len(z)), np.roll(np.arange(len(z)), len(z1))

    def step():
        length = np.sqrt((z * z).sum(axis=1, keepdims=True))
        u = z / length
        s = u @ u.T / temperature
        np.fill_diagonal(s, -np.inf)
        s -= s.max(axis=1, keepdims=True)
        positive = s[rows, partner]
        p = np.exp(s)
        total = p.sum(axis=1, keepdims=True)
        p /= total
        p[rows, partner] -= 1
        g = (p @ u + p.T @ u) / (len(z) * temperature)
        g = (g - u * (u * g).sum(axis=1, keepdims=True)) / length
        return (np.log(total[:, 0]) - positive).mean(), [g[:len(z1)], g[len(z1):]]
    return step


def nt_xent_tinyml(z1, z2, temperature):
    def step():
        a, b = Tensor(z1, requires_grad=True), Tensor(z2, requires_grad=True)
        loss = nt_xent(a, b, temperature=temperature)
        loss.backward()
        return loss.item(), [a.grad, b.grad]
    return step


def nt_xent_torch(torch, z1, z2, temperature):
    partner = torch.from_numpy(np.roll(np.arange(2 * len(z1)), len(z1)))
    itself = torch.eye(2 * len(z1), dtype=torch.bool)

    def step():
        a, b = torch.tensor(z1, requires_grad=True), torch.tensor(z2, requires_grad=True)
        u = torch.nn.functional.normalize(torch.cat([a, b]), dim=1)
        s = (u @ u.T / temperature).masked_fill(itself, -torch.inf)
        loss = torch.nn.functional.cross_entropy(s, partner)
        loss.backward()
        return loss.item(), [a.grad, b.grad]
    return step


# ------------------------------------------------------------ a block of a transformer; the loss is mean(y c)
def softmax(s):
    s = np.exp(s - s.max(axis=-1, keepdims=True))
    return s / s.sum(axis=-1, keepdims=True)


def norm(x, weight, bias):
    """Layer norm, and what its backward needs."""
    x = x - x.mean(axis=-1, keepdims=True)
    scale = 1 / np.sqrt((x * x).mean(axis=-1, keepdims=True) + EPS)
    x *= scale
    return x * weight + bias, (x, scale, weight)


def norm_back(g, kept):
    """Gradients of a layer norm's input, weight and bias."""
    unit, scale, weight = kept
    d_weight, d_bias = (g * unit).sum(axis=0), g.sum(axis=0)
    g = g * weight
    g -= g.mean(axis=-1, keepdims=True) + unit * (g * unit).mean(axis=-1, keepdims=True)
    return g * scale, d_weight, d_bias


def activation_by_hand(name):
    """The function of an array that returns its value and the vjp; the one behind `ops.gelu`."""
    if name == "gelu":
        return ops.gelu.__wrapped__
    return lambda x: (np.maximum(x, 0), (lambda g: g * (x > 0),))


def block_by_hand(activation, state, x, c):
    (B, T, D), d = x.shape, x.shape[2] // HEADS
    rows, c = x.reshape(-1, D), c.reshape(-1, D) / np.float32(c.size)
    w_in, b_in, w_out, b_out, w1, b1, w2, b2, *norms = state.values()
    activate = activation_by_hand(activation)

    def heads(y):       # (B T, D) -> (B, HEADS, T, d)
        return y.reshape(B, T, HEADS, d).swapaxes(1, 2)

    def joined(y):      # and back
        return y.swapaxes(1, 2).reshape(B * T, D)

    def step():
        q, k, v = (heads(y) for y in np.split(rows @ w_in.T + b_in, 3, axis=1))
        p = softmax(q @ k.swapaxes(2, 3) / np.float32(np.sqrt(d)))                   # (B, HEADS, T, T)
        mixed = joined(p @ v)
        h, kept1 = norm(rows + mixed @ w_out.T + b_out, *norms[:2])
        f, (d_activate,) = activate(h @ w1.T + b1)
        y, kept2 = norm(h + f @ w2.T + b2, *norms[2:])

        g, *d_norm2 = norm_back(c, kept2)
        d_f = d_activate(g @ w2)
        d2, d1 = [g.T @ f, g.sum(axis=0)], [d_f.T @ h, d_f.sum(axis=0)]
        g, *d_norm1 = norm_back(g + d_f @ w1, kept1)
        d_out = [g.T @ mixed, g.sum(axis=0)]
        d_mixed = heads(g @ w_out)
        d_p = d_mixed @ v.swapaxes(2, 3)
        d_s = p * (d_p - (d_p * p).sum(axis=-1, keepdims=True)) / np.float32(np.sqrt(d))
        d_qkv = np.concatenate([joined(d_s @ k), joined(d_s.swapaxes(2, 3) @ q),
                                joined(p.swapaxes(2, 3) @ d_mixed)], axis=1)
        d_in = [d_qkv.T @ rows, d_qkv.sum(axis=0)]
        return (y * c).sum(), [*d_in, *d_out, *d1, *d2, *d_norm1, *d_norm2]
    return step


def block_tinyml(activation, state, x, c):
    block = TransformerEncoderLayer(x.shape[2], HEADS, len(state["linear1.bias"]), dropout=0.0,
                                    activation=activation, rng=np.random.default_rng(0))
    block.load_state_dict(state)

    def step():
        block.zero_grad()
        loss = (block(Tensor(x)) * c).mean()
        loss.backward()
        return loss.item(), [p.grad for p in block.parameters()]
    return step


def block_torch(torch, activation, state, x, c):
    block = torch.nn.TransformerEncoderLayer(x.shape[2], HEADS, len(state["linear1.bias"]), dropout=0.0,
                                             activation=activation, batch_first=True)
    block.load_state_dict({name: torch.from_numpy(array) for name, array in state.items()})
    x, c = torch.from_numpy(x), torch.from_numpy(c)

    def step():
        block.zero_grad()
        loss = (block(x) * c).mean()
        loss.backward()
        return loss.item(), [p.grad for p in block.parameters()]
    return step


# ------------------------------------------------------------ all of them
def pieces(rng, torch=None):
    """{piece: {who: step}} with the same random numbers for all who take part."""
    def draw(*shape):
        return rng.standard_normal(shape, dtype=np.float32)

    state = TransformerEncoderLayer(64, HEADS, 256, rng=rng).state_dict()
    tasks = {
        f"{4 * LINKS:,} operations in a chain, on 4 numbers": ((chain_by_hand, chain_tinyml, chain_torch),
                                                            (draw(4),)),
        "NT-Xent, 512 pairs of 128 numbers": ((nt_xent_by_hand, nt_xent_tinyml, nt_xent_torch),
                                                (draw(512, 128), draw(512, 128), 0.5)),
    }
    block = block_by_hand, block_tinyml, block_torch
    for name in ("relu", "gelu"):
        tasks[f"transformer block with {name}, 32 x 32 tokens of 64"] = (
            block, (name, state, draw(32, 32, 64), draw(32, 32, 64)))
    made = {}
    for name, ((hand, ours, theirs), inputs) in tasks.items():
        made[name] = {"by hand": hand(*inputs), "tinyml": ours(*inputs)}
        if torch is not None:
            made[name]["PyTorch"] = theirs(torch, *inputs)
    return made
