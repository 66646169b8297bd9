"""TS-TCC: predict the future of one view of a series from the past of the other, and tell whose past it is.

Problem: a series is more than a picture: it has a past and a future. Two contrastive tasks, without labels, shall
make an encoder f see what is going on in it.

Idea: x_w and x_s are a weak and a strong view of one series, z = f(x) their encodings at T' times, and c_t says
in one vector what happened until t: the output at an extra token, of a transformer that reads z_1 ... z_t.

    temporal     from c_t of one view, W_k c_t shall resemble z_(t+k) of the *other*, k = 1 ... K, more than it
                 resembles z_(t+k) of the other series of the batch
    contextual   a projection of c_t shall resemble that of the other view more than those of other series

    L = lambda_1 (L_TC^w + L_TC^s) + lambda_2 L_CC,     lambda_1 = 1,  lambda_2 = 0.7

The strong view is cut and shuffled. So its future does not follow on the past of the weak one: what can be
predicted is whatever holds all the time, how the sensors move together.

Differences to the paper: strides of 2 take the place of max-pooling, similarities are cosines over a
temperature in both losses (the paper's temporal one has plain products), and the projection has no batch norm,
so that a batch may hold a single series.

Sources: Eldele, Ragab, Chen, Wu, Kwoh, Li and Guan 2021, Time-series representation learning via temporal and
contextual contrasting, IJCAI (section 3.2, equations 1 and 2: temporal; section 3.3: contextual); van den Oord,
Li and Vinyals 2018, Representation learning with contrastive predictive coding; MATH5836 week 10, section
10.3.2.
"""
from typing import NamedTuple

import numpy as np

from tinyml import nn, ops
from tinyml.check import check_number, check_rng, check_sizes
from tinyml.selfsupervised.contrastive import info_nce, nt_xent
from tinyml.tensor import Tensor, as_tensor
from tinyml.train import fit


# ------------------------------------------------------------ networks

class SeriesEncoder(nn.Module):
    """Three convolutions in time, each halving its resolution: x (B, C, T) to z (B, T', D), T' = ceil(T / 8).

    Each block is Conv1d, BatchNorm1d, ReLU; kernels of 9, 5, 5 and strides of 2 let z_t see 33 times around 8 t.

    Parameters
    ----------
    in_channels : int >= 1, C sensors
    dim : int >= 1, D
    rng : numpy.random.Generator
    """

    def __init__(self, in_channels, dim=64, *, rng):
        check_sizes("SeriesEncoder", in_channels=in_channels, dim=dim)
        widths = in_channels, 32, 48, dim
        self.blocks = nn.Sequential(*(layer for c, o, k in zip(widths, widths[1:], (9, 5, 5)) for layer in (
            nn.Conv1d(c, o, k, stride=2, padding=k // 2, rng=rng), nn.BatchNorm1d(o), nn.ReLU())))
        self.dim = dim

    def forward(self, x):
        return self.blocks(x).swapaxes(1, 2)


class MeanOverTime(nn.Module):
    """z (B, T', D) to its mean over time (B, D): the features of a whole series, wherever things happened."""

    def forward(self, z):
        return z.mean(axis=1)


class Context(nn.Module):
    """What happened so far: z_1 ... z_t, shape (B, t, D), to c_t, shape (B, D) (Eldele et al. 2021, section 3.2).

    A learned token stands before the z's; after one transformer block, which has no positions, it is c_t.

    Parameters
    ----------
    dim : int, D, a multiple of nhead
    nhead : int >= 1
    rng : numpy.random.Generator
    """

    def __init__(self, dim, nhead=4, *, rng):
        self.block = nn.TransformerEncoderLayer(dim, nhead, 2 * dim, dropout=0.0, norm_first=True, rng=rng)
        # Small: it is part of every c_t, and what all have in common makes all cosines large.
        self.token = nn.Parameter(0.02 * rng.standard_normal((1, 1, dim), np.float32))

    def forward(self, z):
        token = ops.broadcast_to(self.token, shape=(len(z), *self.token.shape[1:]))
        return self.block(ops.concatenate([token, z], axis=1))[:, 0]


class TSTCC(nn.Module):
    """An encoder, and all that it needs for its pretext tasks and nothing else needs afterwards.

    Parameters
    ----------
    encoder : Module, x (B, C, T) to z (B, T', D)
    dim : int, D, a multiple of 4
    steps : int >= 1, K: how far into the future
    rng : numpy.random.Generator

    Attributes: encoder; context, a `Context`; predict, c_t (B, D) to W_1 c_t ... W_K c_t (B, K D), the K matrices
    above one another; project, the head of contextual contrasting, D to D / 2.

    Called with a pair of views, shape (B, 2, C, T), it returns their encodings, two Tensors (B, T', D).
    """

    def __init__(self, encoder, dim, *, steps, rng):
        check_sizes("TSTCC", dim=dim, steps=steps)
        check_rng("TSTCC", rng)
        self.encoder, self.context, self.steps = encoder, Context(dim, rng=rng), steps
        self.predict = nn.Linear(dim, steps * dim, bias=False, rng=rng)
        self.project = nn.Sequential(nn.Linear(dim, dim, rng=rng), nn.ReLU(), nn.Linear(dim, dim // 2, rng=rng))

    def forward(self, views):
        if views.ndim != 4 or views.shape[1] != 2:
            raise ValueError(f"TSTCC: views must have shape (B, 2, C, T), got {views.shape}")
        return self.encoder(views[:, 0]), self.encoder(views[:, 1])


# ------------------------------------------------------------ losses

def temporal_contrast(predicted, future, *, temperature):
    """Which of the B futures was predicted? InfoNCE, mean over K steps and over the batch.

        L_TC = 1/K sum_k 1/B sum_i -ln( e^(s_iik / T) / sum_j e^(s_ijk / T) ),   s_ijk = cos(p_ik, z_jk)

    with p_ik = W_k c_t,i predicted from series i, and z_jk = z_(t+k) of series j in the other view (Eldele et al.
    2021, equations 1 and 2). The sum runs over all B series of the batch, the positive j = i included. So the
    *negatives* of p_ik are the B - 1 encodings z_jk of other series, of the other view and of the *same* step k.
    No other time of series i is among them: there is no need to tell its times apart. Nor is anything of the
    view that predicts. At chance the loss is ln B; for B = 1 it is 0.

    Parameters
    ----------
    predicted, future : Tensor, shape (B, K, D), B, K and D >= 1
    temperature : float in [1e-4, 1e4], T

    Returns
    -------
    Tensor, a scalar

    Raises
    ------
    TypeError, ValueError : as in `info_nce`; shapes that are not (B, K, D), K >= 1, or differ

    Examples
    --------
    >>> z = np.eye(2)[:, None]    # B = 2 series, K = 1 step
    >>> round(temporal_contrast(z, z, temperature=1).item(), 4), round(float(np.log(1 + 1 / np.e)), 4)
    (0.3133, 0.3133)
    """
    predicted, future = as_tensor(predicted), as_tensor(future)
    if predicted.ndim != 3 or predicted.shape != future.shape or not predicted.shape[1]:
        raise ValueError("temporal_contrast: predicted and future must have one shape (B, K, D) with K >= 1, "
                         f"got {predicted.shape} and {future.shape}")
    K = predicted.shape[1]
    return sum(info_nce(predicted[:, k], future[:, k], temperature=temperature) for k in range(K)) / K


class Losses(NamedTuple):
    """The three losses of TS-TCC, scalar Tensors."""
    from_weak: Tensor      # L_TC^w: the future of the strong view from the past of the weak one
    from_strong: Tensor    # L_TC^s: the other way round
    contextual: Tensor     # L_CC


def contrast(model, z_weak, z_strong, *, t, temperature):
    """The losses of a batch of encodings whose past ends at t.

        c = context(z_1 ... z_t)                                              of either view
        L_TC^w = temporal_contrast(W_k c_weak, z_strong,t+k),   L_TC^s likewise from c_strong to z_weak
        L_CC = nt_xent(project(c_weak), project(c_strong))

    (Eldele et al. 2021, sections 3.2 and 3.3.) For L_CC the *negatives* of a context are the 2B - 2 contexts of
    the other series, of both views; at chance it is ln(2B - 1). What comes after t + K is not used at all.

    Parameters
    ----------
    model : TSTCC
    z_weak, z_strong : Tensor, shape (B, T', D)
    t : int in 1..T'-K, the length of the past
    temperature : float in [1e-4, 1e4]

    Returns
    -------
    Losses

    Raises
    ------
    ValueError : shapes that differ, t out of range, or as in `temporal_contrast`
    """
    K, length = model.steps, z_weak.shape[1]
    if z_weak.shape != z_strong.shape:
        raise ValueError("contrast: z_weak and z_strong must have one shape (B, T', D), got "
                         f"{z_weak.shape} and {z_strong.shape}")
    if not 1 <= t <= length - K:
        raise ValueError(f"contrast: t must be in 1..T'-K = {length - K}, got {t}, with T' = {length} encodings, "
                         f"K = {K} of them in the future; longer series or fewer steps may help")
    c_weak, c_strong = model.context(z_weak[:, :t]), model.context(z_strong[:, :t])

    def temporal(c, z):
        future = z[:, t:t + K]                                                     # (B, K, D)
        return temporal_contrast(model.predict(c).reshape(future.shape), future, temperature=temperature)

    return Losses(temporal(c_weak, z_strong), temporal(c_strong, z_weak),
                  nt_xent(model.project(c_weak), model.project(c_strong), temperature=temperature))


# ------------------------------------------------------------ training

def pretrain(model, X, *, weak, strong, rng, lambda1=1.0, lambda2=0.7, temperature=0.2, **options):
    """Train a TSTCC on unlabelled series, through `tinyml.train.fit`.

        L = lambda1 (L_TC^w + L_TC^s) + lambda2 L_CC                (Eldele et al. 2021, section 3.3)

    Every batch is seen in two new views, and its past ends at a new t ~ U{1, ..., T' - K}, the same for all of it.

    Parameters
    ----------
    model : TSTCC; it is trained, and in evaluation mode afterwards
    X : ndarray, shape (n, C, T)
    weak, strong : functions (x, rng) -> x of one shape, see `tinyml.selfsupervised.series`
    rng : numpy.random.Generator, for the order, the views and t
    lambda1, lambda2 : float >= 0, the weights of temporal and of contextual contrasting
    temperature : float in [1e-4, 1e4], of all losses
    **options : what else fit takes: optimizer (over model.parameters()), epochs, batch_size, schedule ...

    Returns
    -------
    list of dict, the history of fit, with the means of an epoch's batches: "temporal", (L_TC^w + L_TC^s) / 2,
        beside its chance ln B, and "contextual", L_CC, beside ln(2B - 1)

    Raises
    ------
    TypeError, ValueError : as in `contrast` and fit; a weight < 0
    """
    check_rng("pretrain", rng)
    check_number("pretrain", "lambda1", lambda1, at_least=0)
    check_number("pretrain", "lambda2", lambda2, at_least=0)
    seen = []

    def loss_of(model, x):
        encodings = model(Tensor(np.stack([weak(x, rng), strong(x, rng)], axis=1)))
        last = encodings[0].shape[1] - model.steps
        losses = contrast(model, *encodings, t=int(rng.integers(1, last + 1)) if last > 0 else 1,
                          temperature=temperature)
        temporal = losses.from_weak + losses.from_strong
        seen.append((temporal.item() / 2, losses.contextual.item()))
        return lambda1 * temporal + lambda2 * losses.contextual

    history = fit(model, X, loss_of=loss_of, rng=rng, **options)
    means = np.reshape(seen, (len(history), -1, 2)).mean(axis=1) if history else ()
    return [row | {"temporal": float(a), "contextual": float(b)} for row, (a, b) in zip(history, means)]
