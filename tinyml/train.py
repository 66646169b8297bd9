"""One visible training loop, and the two questions asked after it: what does it predict, how often right?"""
import numpy as np

from tinyml import functional as F
from tinyml.check import check_number
from tinyml.data import batches
from tinyml.progress import progress
from tinyml.tensor import Tensor, no_grad


def fit(model, X, y, *, optimizer, epochs, batch_size, rng, loss_fn=F.cross_entropy, augment=None,
        schedule=None, metrics=None, callbacks=(), label="fit"):
    """Minimise loss_fn(model(X), y) over shuffled minibatches; the model is in evaluation mode afterwards.

    Parameters
    ----------
    model : Module
    X : ndarray, shape (n, ...), inputs; floats reach the model as a Tensor, integers as they are
    y : ndarray, shape (n, ...), targets
    optimizer : Optimizer over the model's parameters
    epochs : int >= 0, passes over the data
    batch_size : int >= 1; the last batch of a pass may be smaller
    rng : numpy.random.Generator, draws the order of the samples
    loss_fn : function (output Tensor, target array) -> scalar Tensor
    augment : function (x_batch, rng) -> x_batch, or None; changes the inputs of each batch at random
    schedule : LambdaLR or None, stepped after every batch
    metrics : dict of str to function (model) -> float, asked in evaluation mode after every epoch
    callbacks : iterable of function (model, row), called after every epoch; one that returns True stops
    label : str, in front of the progress line

    Returns
    -------
    list of dict, a row per epoch: "epoch" (from 1), "loss" (mean over the samples) and the metrics

    Raises
    ------
    ValueError : X is not finite, the lengths differ, epochs < 0, or the loss becomes NaN
    """
    check_number("fit", "epochs", epochs, at_least=0)
    if not np.isfinite(X).all():
        raise ValueError(f"fit: X must be finite, got {int((~np.isfinite(X)).sum())} NaN or infinite values")
    history = []
    for epoch in progress(range(1, epochs + 1), label):
        model.train()
        total = 0.0
        for x_batch, y_batch in batches(X, y, batch_size=batch_size, rng=rng):
            if augment is not None:
                x_batch = augment(x_batch, rng)
            optimizer.zero_grad()
            loss = loss_fn(model(_as_input(x_batch)), y_batch)
            if not np.isfinite(loss.item()):
                raise ValueError(f"fit: the loss must be finite, got {loss.item()} in epoch {epoch}; "
                                 "a smaller lr may help")
            loss.backward()
            optimizer.step()
            if schedule is not None:
                schedule.step()
            total += loss.item() * len(x_batch)
        model.eval()
        row = {"epoch": epoch, "loss": total / len(X)}
        row |= {name: metric(model) for name, metric in (metrics or {}).items()}
        history.append(row)
        if any([callback(model, row) for callback in callbacks]):
            break
    return history


def _as_input(x):
    return Tensor(x) if x.dtype.kind == "f" else x    # integers, such as tokens, stay an array


@no_grad()
def predict(model, X, *, batch_size=1024):
    """The model's outputs for X, in evaluation mode and without a graph.

    Parameters
    ----------
    model : Module; its mode is put back afterwards
    X : ndarray, shape (n, ...)
    batch_size : int >= 1, rows at a time, to bound the memory

    Returns
    -------
    ndarray, shape (n, ...)

    Raises
    ------
    ValueError : X is empty, or batch_size < 1
    """
    modes = [(module, module.training) for _, module in model.named_modules()]
    model.eval()
    try:
        parts = [model(_as_input(x)).data for x, in batches(X, batch_size=batch_size, rng=None)]
        return np.concatenate(parts)
    finally:
        for module, training in modes:
            module.training = training


def accuracy(model, X, y):
    """The fraction of rows of X whose largest output is at the index y.

    Parameters
    ----------
    model : Module, outputs of shape (n, C)
    X : ndarray, shape (n, ...)
    y : ndarray of int, shape (n,)

    Returns
    -------
    float in [0, 1]
    """
    guess = predict(model, X).argmax(axis=-1)
    if np.shape(y) != guess.shape:
        raise ValueError(f"accuracy: y must have shape {guess.shape}, got {np.shape(y)}")
    return float((guess == y).mean())
