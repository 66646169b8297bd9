"""Losses: the mean over the batch ("mean"), the sum ("sum"), or one number per sample ("none").

A NaN is refused here, with the input to blame: no training step ever follows one.
"""
import math

import numpy as np

from tinyml import ops
from tinyml.check import check_integers, check_labels
from tinyml.functional.activations import log_softmax
from tinyml.tensor import as_tensor


def _reduce(name, losses, reduction, **inputs):
    """Apply the reduction to the losses, one per sample."""
    _check_reduction(name, reduction, losses.shape)
    loss = losses if reduction == "none" else ops.mean(losses) if reduction == "mean" else ops.sum(losses)
    return _refuse_nan(name, loss, **inputs)


def _check_reduction(name, reduction, shape):
    """Refuse a reduction of another name, and losses of a shape that has nothing to reduce."""
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f'{name}: reduction must be "mean", "sum" or "none", got {reduction!r}')
    if 0 in shape:
        raise ValueError(f"{name}: the batch must have at least one sample, got losses of shape {shape}")


def _refuse_nan(name, loss, **inputs):
    """The loss, unless it is NaN: that is refused here, with the input to blame."""
    if not math.isnan(loss.data.sum() if loss.ndim else loss.data):
        return loss
    for argument, value in inputs.items():
        bad = int(np.isnan(as_tensor(value).data).sum())
        if bad:
            raise ValueError(f"{name}: {argument} must not be NaN, got {bad} NaN; run the step "
                             "under tinyml.detect_anomaly() to see where the first one came from")
    raise ValueError(f"{name}: the loss must be a number, got NaN; are there infinite inputs?")


def _same_shape(name, first, second):
    (name1, value1), (name2, value2) = first, second
    if np.shape(value1) != np.shape(value2):
        raise ValueError(f"{name}: {name2} must have the shape of {name1} {np.shape(value1)}, "
                         f"got {np.shape(value2)}")


def cross_entropy(logits, target, reduction="mean"):
    """-sum_c t_c ln softmax(z)_c for each row z of logits; t is one-hot for an integer target.

    The loss l of MATH5836 week 10, sections 10.2.4 and 10.3. Classes are on the last axis (PyTorch has
    them on axis 1: the same for the usual (N, C)).

    Parameters
    ----------
    logits : Tensor, shape (..., C), any real numbers
    target : ndarray of int, shape (...), in 0..C-1; or Tensor or array of probabilities, shape (..., C)
    reduction : "mean" over all rows, "sum", or "none" for shape (...)

    Raises
    ------
    TypeError : integer targets of another dtype
    ValueError : shapes that do not fit, a label outside 0..C-1, an empty batch, NaN, another reduction
    """
    logits = as_tensor(logits)
    shape = np.shape(target)
    if logits.ndim > 0 and shape == logits.shape:
        losses = -ops.sum(target * log_softmax(logits), axis=-1)
        return _reduce("cross_entropy", losses, reduction, logits=logits, target=target)
    if logits.ndim > 0 and shape == logits.shape[:-1]:
        labels = check_integers("cross_entropy", "target", target)
        _check_reduction("cross_entropy", reduction, shape)
        try:
            loss = ops.label_cross_entropy(logits, labels=labels, reduction=reduction)
        except ValueError:    # a row without a logit of its label: say which label is no class
            check_labels("cross_entropy", "target", target, logits.shape[-1])
            raise
        return _refuse_nan("cross_entropy", loss, logits=logits)
    raise ValueError("cross_entropy: logits must have shape (..., C) and target (...) or (..., C), "
                     f"got {logits.shape} and {shape}")


def binary_cross_entropy_with_logits(logits, target, reduction="mean"):
    """-t ln s(z) - (1 - t) ln(1 - s(z)) with s the sigmoid, computed as ln(e^0 + e^z) - t z.

    Parameters
    ----------
    logits : Tensor, shape (...)
    target : Tensor or array, shape (...), probabilities in [0, 1]
    reduction : "mean", "sum" or "none"

    Raises
    ------
    ValueError : the shapes differ, an empty batch, NaN
    """
    name = "binary_cross_entropy_with_logits"
    logits = as_tensor(logits)
    _same_shape(name, ("logits", logits), ("target", target))
    softplus = ops.logsumexp(ops.stack([logits, np.zeros(logits.shape)], axis=-1), axis=-1)
    losses = softplus - target * logits
    return _reduce(name, losses, reduction, logits=logits, target=target)


def mse_loss(x, target, reduction="mean"):
    """(x - target)^2, by default its mean over all entries.

    Parameters
    ----------
    x : Tensor, shape (...)
    target : Tensor or array, shape (...)
    reduction : "mean", "sum" or "none"

    Raises
    ------
    ValueError : the shapes differ (they are not broadcast: (n, 1) against (n,) is a classic mistake), an
        empty batch, NaN
    """
    x = as_tensor(x)
    _same_shape("mse_loss", ("x", x), ("target", target))
    error = x - target
    return _reduce("mse_loss", error * error, reduction, x=x, target=target)


def kl_div(log_q, p, reduction="mean"):
    """KL(p || q) = sum_c p_c (ln p_c - ln q_c), with 0 ln 0 = 0: at least 0, and 0 only if p = q.

    As in PyTorch the first argument is the *logarithm* of the model's q, the second the target p.

    Parameters
    ----------
    log_q : Tensor, shape (N, ..., C), log-probabilities, as from `log_softmax`
    p : Tensor or array, shape of log_q, probabilities
    reduction : "batchmean" for the mean of KL over the N samples: what you want; "sum"; "none" for the
        single terms; "mean", PyTorch's default, for their mean over all entries, C times too small

    Raises
    ------
    ValueError : the shapes differ, a probability is negative, a logarithm positive, an empty batch, NaN
    """
    log_q, p = as_tensor(log_q), as_tensor(p)
    _same_shape("kl_div", ("log_q", log_q), ("p", p))
    if (p.data < 0).any():
        raise ValueError(f"kl_div: p must be >= 0, got {p.data.min()}; write softmax(logits)")
    if (log_q.data > 1e-3).any():    # beyond rounding
        raise ValueError(f"kl_div: log_q must be <= 0, got {log_q.data.max()}; write log_softmax(logits)")
    log_p = ops.log(ops.where(p.data > 0, p, 1.0))
    terms = p * ops.where(p.data > 0, log_p - log_q, 0.0)
    if reduction == "batchmean":
        return _reduce("kl_div", terms, "sum", log_q=log_q, p=p) / max(len(terms) if terms.ndim else 1, 1)
    return _reduce("kl_div", terms, reduction, log_q=log_q, p=p)
