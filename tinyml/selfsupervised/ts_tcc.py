"""TS-TCC: learn from time series by predicting the future of another view.

Problem: a time series has a past and a future. How can an encoder f learn from that, without
labels?

Idea: take two views of each series: a weak view changes the series a little, a strong view a lot.
The encoder turns a view x into encodings z = f(x) at n times. A transformer summarises the past
z_1 ... z_t in one vector, the context c_t. Two contrastive tasks:

    temporal      W_k c_t of one view should be similar to z_(t+k) of the *other* view, for
                  k = 1 ... K, and not to the z_(t+k) of other series; W_k is learned
    contextual    projections of c_t in both views should be similar, and different from the
                  projections of other series

    L = lambda_1 (L_TC^w + L_TC^s) + lambda_2 L_CC,     lambda_1 = 1,  lambda_2 = 0.7

L_TC^w is the temporal loss of predictions from the weak view, L_TC^s that of predictions from the
strong view, and L_CC the contextual loss. The strong view is cut and shuffled, so its future does
not follow the past of the weak view. What can be predicted is what holds all the time: how the
sensors move together.

Differences from the paper: strides of 2 replace max-pooling. The temporal loss uses cosines
divided by a temperature, not plain products. The projection has no batch norm.

Sources: MATH5836 week 10, section 10.3.2; Eldele, Ragab, Chen, Wu, Kwoh, Li and Guan 2021,
Time-series representation learning via temporal and contextual contrasting.
"""
from typing import NamedTuple

import numpy as np

from tinyml import nn, ops
from tinyml.contract import checked
from tinyml.selfsupervised.contrastive import info_nce, nt_xent
from tinyml.tensor import Tensor
from tinyml.train import fit

# ------------------------------------------------------------ networks

@checked
class SeriesEncoder(nn.Module):
    """Three convolutions over time, with strides of 2: from x (B, C, T) to z (B, n, D).

    n = ceil(T / 8). Counted from 0, encoding t sees the 33 times of x around 8 t.
    """

    def __init__(
        self,
        in_channels: "int >= 1; C sensors",
        dim: "int >= 1; D" = 64,
        *,
        rng: "numpy.random.Generator",
    ):
        self.blocks = nn.Sequential(
            nn.Conv1d(in_channels, 32, 9, stride=2, padding=4, rng=rng),
            nn.BatchNorm1d(32),
            nn.ReLU(),
            nn.Conv1d(32, 48, 5, stride=2, padding=2, rng=rng),
            nn.BatchNorm1d(48),
            nn.ReLU(),
            nn.Conv1d(48, dim, 5, stride=2, padding=2, rng=rng),
            nn.BatchNorm1d(dim),
            nn.ReLU())

    def forward(self, x):
        return self.blocks(x).swapaxes(1, 2)


class MeanOverTime(nn.Module):
    """From z (B, n, D) to the mean over time, (B, D): features of a whole series."""

    def forward(self, z):
        return z.mean(axis=1)


@checked
class Context(nn.Module):
    """A summary of the past: z_1 ... z_t, shape (B, t, D), to c_t, shape (B, D).

    A learned token is put in front of z_1 ... z_t, and all pass one transformer block. c_t is the
    output at this token (Eldele et al. 2021, section 3.2). Without position vectors, c_t does not
    depend on the order of z_1 ... z_t.
    """

    def __init__(
        self,
        dim: "int >= 1; D, a multiple of nhead",
        nhead: "int >= 1" = 4,
        *,
        rng: "numpy.random.Generator",
    ):
        self.block = nn.TransformerEncoderLayer(dim, nhead, 2 * dim, dropout=0.0, norm_first=True,
                                                rng=rng)
        # small: the token is part of every c_t, and a large common part makes all cosines large
        self.token = nn.Parameter(0.02 * rng.standard_normal((1, 1, dim), np.float32))

    def forward(self, z):
        token = ops.broadcast_to(self.token, shape=(len(z), *self.token.shape[1:]))
        return self.block(ops.concatenate([token, z], axis=1))[:, 0]


@checked
class TSTCC(nn.Module):
    """An encoder, and the networks that only its pretext tasks need.

    Called with pairs of views, shape (B, 2, C, T), it returns two encodings, each (B, n, D).
    """

    def __init__(
        self,
        encoder: "Module; from x (B, C, T) to z (B, n, D)",
        dim: "int >= 1; D, a multiple of 4",
        *,
        steps: "int >= 1; K, how far to predict",
        rng: "numpy.random.Generator",
    ):
        self.encoder = encoder
        self.steps = steps
        self.context = Context(dim, rng=rng)
        # from c_t (B, D) to the predictions W_1 c_t ... W_K c_t in one row, (B, K D)
        self.predict = nn.Linear(dim, steps * dim, bias=False, rng=rng)
        # the head of contextual contrasting
        self.project = nn.Sequential(nn.Linear(dim, dim, rng=rng), nn.ReLU(),
                                     nn.Linear(dim, dim // 2, rng=rng))

    def forward(self, views):
        if views.ndim != 4 or views.shape[1] != 2:
            raise ValueError(f"TSTCC: views must have shape (B, 2, C, T), got {views.shape}")
        z_weak = self.encoder(views[:, 0])
        z_strong = self.encoder(views[:, 1])
        return z_weak, z_strong


# ------------------------------------------------------------ losses

@checked
def temporal_contrast(
    predicted: "Tensor, shape (B, K, D), B, K and D >= 1",
    future: "Tensor, shape (B, K, D), B, K and D >= 1",
    *,
    temperature: "float in [1e-4, 1e4]; tau",
) -> "Tensor, a scalar >= 0; ln B if all similarities are equal":
    """InfoNCE of predictions and futures, the mean over K steps.

        L_TC = 1/K sum_k 1/B sum_i -ln( e^(s_iik / tau) / sum_j e^(s_ijk / tau) ),
        s_ijk = cos(p_ik, z_jk)

    (Eldele et al. 2021, equations 1 and 2.) p_ik = W_k c_t is predicted from series i, and z_jk is
    z_(t+k) of series j in the other view. The negatives are other series at the same step k.
    """
    K = predicted.shape[1]
    losses = [info_nce(predicted[:, k], future[:, k], temperature=temperature) for k in range(K)]
    return sum(losses) / K


class Losses(NamedTuple):
    """The three losses of TS-TCC, scalar Tensors."""

    from_weak: Tensor      # L_TC^w: the future of the strong view from the past of the weak view
    from_strong: Tensor    # L_TC^s: the future of the weak view from the past of the strong view
    contextual: Tensor     # L_CC


@checked
def contrast(
    model: "TSTCC",
    z_weak: "Tensor, shape (B, n, D); encodings of the weak views at n times",
    z_strong: "Tensor, shape (B, n, D); encodings of the strong views",
    *,
    t: "int >= 1; the length of the past, with t + K <= n for the K steps of the model",
    temperature: "float in [1e-4, 1e4]",
) -> "Losses":
    """The losses of a batch of encodings, of which z_1 ... z_t are the past.

        c = context(z_1 ... z_t)                                      of each view
        L_TC^w = temporal_contrast(W_k c_weak, z_(t+k) of the strong view)
        L_TC^s = temporal_contrast(W_k c_strong, z_(t+k) of the weak view)
        L_CC = nt_xent(project(c_weak), project(c_strong))

    (Eldele et al. 2021, sections 3.2 and 3.3.)
    """
    n, K = z_weak.shape[1], model.steps
    if t > n - K:
        raise ValueError(f"contrast: t must be in 1..n-K = {n - K}, got {t}, with n = {n} "
                         f"encodings and K = {K} steps; longer series or fewer steps may help")
    c_weak = model.context(z_weak[:, :t])
    c_strong = model.context(z_strong[:, :t])

    def temporal(c, z):
        future = z[:, t:t + K]                                       # (B, K, D)
        predicted = model.predict(c).reshape(future.shape)           # from (B, K D)
        return temporal_contrast(predicted, future, temperature=temperature)

    contextual = nt_xent(model.project(c_weak), model.project(c_strong), temperature=temperature)
    return Losses(temporal(c_weak, z_strong), temporal(c_strong, z_weak), contextual)


# ------------------------------------------------------------ training

@checked
def pretrain(
    model: "TSTCC",
    X: "ndarray, shape (n, C, T), n >= 1",
    *,
    weak: "function (x, rng) -> x; such as those of `tinyml.selfsupervised.series`",
    strong: "function (x, rng) -> x; for the other view",
    rng: "numpy.random.Generator; for the order, the views and t",
    lambda1: "float >= 0; weight of temporal contrasting" = 1.0,
    lambda2: "float >= 0; weight of contextual contrasting" = 0.7,
    temperature: "float in [1e-4, 1e4]; of all losses" = 0.2,
    callbacks: "functions (model, row), as in `tinyml.train.fit`" = (),
    **options: "further arguments of fit, such as an optimizer of the model",
):
    """Train a TSTCC on series without labels (Eldele et al. 2021, section 3.3).

        L = lambda1 (L_TC^w + L_TC^s) + lambda2 L_CC

    Each batch gets two new views, and a new length of the past, t ~ U{1, ..., n - K}.

    Returns
    -------
    list of dict, the history of fit; each row also has the means over its epoch of
        (L_TC^w + L_TC^s) / 2, named "temporal", and of L_CC, named "contextual"
    """
    parts = []    # (temporal, contextual) of each batch

    def loss_of(model, x):
        views = np.stack([weak(x, rng), strong(x, rng)], axis=1)
        z_weak, z_strong = model(Tensor(views))
        last_t = max(z_weak.shape[1] - model.steps, 1)    # if n <= K, `contrast` raises
        t = rng.integers(1, last_t + 1)
        losses = contrast(model, z_weak, z_strong, t=t, temperature=temperature)
        temporal = losses.from_weak + losses.from_strong
        parts.append((temporal.item() / 2, losses.contextual.item()))
        return lambda1 * temporal + lambda2 * losses.contextual

    def add_means(model, row):
        row["temporal"], row["contextual"] = np.mean(parts, axis=0).tolist()
        parts.clear()

    return fit(model, X, loss_of=loss_of, rng=rng, callbacks=[add_means, *callbacks], **options)
