"""Losses: the mean over the batch ("mean"), the sum ("sum"), or one number per sample ("none").

A NaN raises an error that names the input it came from, so no training step follows. So do targets
that are not probabilities, and negative class weights, which PyTorch does not check.
"""
import math

import numpy as np

from tinyml import ops
from tinyml.check import (
    check_count,
    check_integers,
    check_labels,
    check_number,
    check_real,
    check_shape,
)
from tinyml.functional.activations import log_softmax
from tinyml.tensor import Tensor, as_float, as_tensor


def _reduce(name, losses, reduction, **inputs):
    """Apply the reduction to the losses, one per sample."""
    _check_reduction(name, reduction, losses.shape)
    if reduction == "mean":
        losses = ops.mean(losses)
    if reduction == "sum":
        losses = ops.sum(losses)
    return _refuse_nan(name, losses, **inputs)


def _check_reduction(name, reduction, shape):
    """Refuse a reduction of another name, and losses of a shape that has nothing to reduce."""
    if not isinstance(reduction, str) or reduction not in ("mean", "sum", "none"):
        raise ValueError(f'{name}: reduction must be "mean", "sum" or "none", got {reduction!r}')
    if 0 in shape:
        raise ValueError(f"{name}: the batch must have at least one sample, got losses of shape "
                         f"{shape}")


def _refuse_nan(name, loss, **inputs):
    """The loss; if it is NaN, an error that names the input it came from."""
    if not math.isnan(loss.data.sum() if loss.data.ndim else loss.data):
        return loss
    for argument, value in inputs.items():
        bad = int(np.isnan(as_tensor(value).data).sum())
        if bad:
            raise ValueError(f"{name}: {argument} must not be NaN, got {bad} NaN; run the step "
                             "under tinyml.detect_anomaly() to see where the first one came from")
    raise ValueError(f"{name}: the loss must be a number, got NaN; are there infinite inputs?")


def _same_shape(name, first, second):
    (name1, value1), (name2, value2) = first, second
    shape1, shape2 = check_shape(name, name1, value1), check_shape(name, name2, value2)
    if shape1 != shape2:
        raise ValueError(f"{name}: {name2} must have the shape of {name1} {shape1}, got {shape2}")


def _check_probabilities(name, argument, value):
    """Refuse what is not a distribution over the last axis. NaN is left to `_refuse_nan`.

    The sum may differ from 1 by the square root of the dtype's eps, float32's at least.
    """
    p = as_tensor(value).data
    total = p.sum(axis=-1)
    tolerance = math.sqrt(max(np.finfo(p.dtype).eps, np.finfo(np.float32).eps))
    off = np.abs(total - 1) > tolerance
    if (p < 0).any() or off.any():
        got = f"{p.min()}" if (p < 0).any() else f"a sum of {total[off].ravel()[0]}"
        raise ValueError(f"{name}: {argument} must be >= 0 and sum to 1 over the last axis, got "
                         f"{got}; write softmax(logits)")


def cross_entropy(logits, target, reduction="mean", *, ignore_index=None, label_smoothing=0.0,
                  weight=None):
    """-sum_c w_c t_c ln softmax(z)_c for each row z of logits; t is one-hot for an integer target.

    The loss l of MATH5836 week 10, sections 10.2.4 and 10.3. Classes are on the last axis (PyTorch
    has them on axis 1: the same for the usual (N, C)).

    Parameters
    ----------
    logits : Tensor, shape (..., C), any real numbers
    target : ndarray of int, shape (...), labels in 0..C-1;
        or Tensor or array of probabilities, shape (..., C)
    reduction : "mean" over all rows, "sum", or "none" for shape (...)
        With labels and class weights the mean is the weighted one: the sum over the rows, divided
        by the sum of their w_y.
    ignore_index : int, the label of rows that are left out, or None
    label_smoothing : float in [0, 1], the fraction eps of t that is spread evenly over the
        classes, (1 - eps) t + eps / C (Szegedy et al. 2016, section 7)
    weight : array_like, shape (C,), the class weights w >= 0, or None for 1

    Raises
    ------
    TypeError : integer targets of another dtype
    ValueError : shapes that do not fit, a label outside 0..C-1, probabilities that are negative or
        do not sum to 1, an empty batch, NaN, another reduction
    """
    if type(label_smoothing) is not float or label_smoothing != 0:    # as a rule it is 0.0
        label_smoothing = check_number("cross_entropy", "label_smoothing", label_smoothing,
                                       at_least=0, at_most=1)
    logits = as_tensor(logits, "cross_entropy")
    z_shape, shape = logits.data.shape, check_shape("cross_entropy", "target", target)
    if not z_shape or shape != z_shape and shape != z_shape[:-1]:
        raise ValueError("cross_entropy: logits must have shape (..., C) and target (...) or "
                         f"(..., C), got {z_shape} and {shape}")
    if ignore_index is not None or label_smoothing > 0 or weight is not None:
        return _weighted_cross_entropy(logits, target, reduction, ignore_index, label_smoothing,
                                       weight)
    if shape == z_shape:    # probabilities
        _check_probabilities("cross_entropy", "target", target)
        losses = -ops.sum(target * log_softmax(logits), axis=-1)
        return _reduce("cross_entropy", losses, reduction, logits=logits, target=target)
    labels = check_integers("cross_entropy", "target", target)
    _check_reduction("cross_entropy", reduction, shape)
    try:
        loss = ops.label_cross_entropy(logits, labels=labels, reduction=reduction)
    except ValueError:    # a row without a logit of its label: say which label is no class
        check_labels("cross_entropy", "target", target, logits.shape[-1])
        raise
    return _refuse_nan("cross_entropy", loss, logits=logits)


def _weighted_cross_entropy(logits, target, reduction, ignore_index, label_smoothing, weight):
    """`cross_entropy` with its options: a label is a one-hot row, an ignored one is all zeros."""
    name, n_classes = "cross_entropy", logits.shape[-1]
    kept = np.ones(logits.shape[:-1], bool)    # the rows that count
    labels = None
    _check_reduction(name, reduction, kept.shape)
    w = _class_weights(weight, n_classes)
    if np.shape(target) == logits.shape:
        if ignore_index is not None:
            raise ValueError(f"{name}: ignore_index must be None for probabilities, "
                             f"got {ignore_index}")
        _check_probabilities(name, "target", target)
        target = target if isinstance(target, Tensor) else np.asarray(target)
    else:
        labels = check_integers(name, "target", target)
        if ignore_index is not None:
            kept = labels != check_count(name, "ignore_index", ignore_index, at_least=-np.inf)
        check_labels(name, "target", labels[kept], n_classes)
        target = labels[..., None] == np.arange(n_classes)    # one-hot, (..., C)
    smooth = (1 - label_smoothing) * target + label_smoothing / n_classes
    t = w * kept[..., None] * smooth
    log_p = log_softmax(ops.where(kept[..., None], logits, 0.0))
    if not isinstance(t, Tensor):
        log_p = ops.where(t != 0, log_p, 0.0)    # 0 ln 0 = 0
    losses = -ops.sum(t * log_p, axis=-1)
    if reduction == "none":
        return _refuse_nan(name, losses, logits=logits, target=target)
    total = ops.sum(losses)
    if reduction == "mean":
        total = total / _weight_of_rows(kept, labels, w, ignore_index)
    return _refuse_nan(name, total, logits=logits, target=target)


def _class_weights(weight, n_classes):
    weight = np.ones(n_classes) if weight is None else weight
    w = check_real("cross_entropy", "weight", weight, ndim=1, at_least=0)
    if len(w) != n_classes:
        raise ValueError(f"cross_entropy: weight must have shape (C,) = ({n_classes},), "
                         f"got {w.shape}")
    return w


def _weight_of_rows(kept, labels, w, ignore_index):
    """What a mean divides by: the sum of the kept rows' w_y; a row of probabilities counts 1."""
    if labels is None:
        return kept.size
    total = w[labels[kept]].sum()
    if total == 0:
        raise ValueError("cross_entropy: target must have a label of positive weight to average "
                         f"over, got {kept.sum()} labels other than ignore_index={ignore_index} "
                         f"and weight={w.tolist()}")
    return total


def binary_cross_entropy_with_logits(logits, target, reduction="mean"):
    """-t ln s(z) - (1 - t) ln(1 - s(z)), with s the sigmoid.

    It is computed from -ln s(z) = softplus(-z) and 1 - s(z) = s(-z).

    Parameters
    ----------
    logits : Tensor, shape (...)
    target : Tensor or array, shape (...), probabilities in [0, 1]
    reduction : "mean", "sum" or "none"

    Raises
    ------
    ValueError : the shapes differ, a target outside [0, 1], an empty batch, NaN
    """
    name = "binary_cross_entropy_with_logits"
    logits, target = as_tensor(logits, name), as_tensor(target, name)
    _same_shape(name, ("logits", logits), ("target", target))
    outside = (target.data < 0) | (target.data > 1)
    if outside.any():
        raise ValueError(f"{name}: target must be in [0, 1], got {target.data[outside][0]}")
    if not target.requires_grad:
        target = target.data    # a constant takes the dtype of the logits
    losses = target * ops.softplus(-logits) + (1 - target) * ops.softplus(logits)
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
    ValueError : the shapes differ (they are not broadcast: (n, 1) against (n,) is a classic
        mistake), an empty batch, NaN
    """
    x = as_tensor(x, "mse_loss")
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
    reduction : "batchmean" for the mean of KL over the N samples: what you want; "sum"; "none" for
        the single terms; "mean", PyTorch's default, for their mean over all entries, C times too
        small

    Raises
    ------
    ValueError : the shapes differ, a probability is negative, those of a sample do not sum to 1, a
        logarithm is positive, an empty batch, NaN
    """
    constant = not isinstance(p, Tensor)
    log_q, p = as_tensor(log_q, "kl_div"), as_tensor(p, "kl_div")
    _same_shape("kl_div", ("log_q", log_q), ("p", p))
    batchmean = isinstance(reduction, str) and reduction == "batchmean"
    if p.ndim < (2 if batchmean else 1):
        raise ValueError(f"kl_div: p must have shape (N, ..., C), got {p.shape}; write p[None]")
    _check_probabilities("kl_div", "p", p)
    if np.isnan(log_q.data).any():
        _refuse_nan("kl_div", ops.sum(log_q), log_q=log_q)
    if (log_q.data > 1e-3).any():    # beyond rounding
        raise ValueError(f"kl_div: log_q must be <= 0, got {log_q.data.max()}; "
                         "write log_softmax(logits)")
    if constant:
        p = Tensor(as_float(p, log_q.dtype))    # it takes the dtype of what it meets
    log_p = ops.log(ops.where(p.data > 0, p, 1.0))
    terms = p * ops.where(p.data > 0, log_p - log_q, 0.0)
    if batchmean:
        return _reduce("kl_div", terms, "sum", log_q=log_q, p=p) / len(terms)
    return _reduce("kl_div", terms, reduction, log_q=log_q, p=p)
