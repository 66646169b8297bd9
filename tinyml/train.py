"""One visible training loop, and the two questions asked after it: what does it predict, how often right?"""
import numpy as np

from tinyml import functional as F
from tinyml.check import check_count, check_labels, check_rng
from tinyml.data import as_numbers, batches
from tinyml.progress import progress
from tinyml.tensor import Tensor, no_grad


def fit(model, X, y, *, optimizer, epochs, batch_size, rng, loss_fn=F.cross_entropy, augment=None,
        schedule=None, metrics=None, callbacks=(), drop_last=False, label="fit"):
    """Minimise loss_fn(model(X), y) over shuffled minibatches; the model is in evaluation mode afterwards.

    Data keeps its dtype. So float64 data is computed in float64, at about twice the time, while the
    parameters stay as they are: write X.astype(np.float32). Lists of floats become float32.

    Parameters
    ----------
    model : Module
    X : array_like, shape (n, ...), inputs; floats reach the model as a Tensor, integers as they are
    y : array_like, shape (n, ...), targets: numbers, for cross-entropy the classes 0..C-1
    optimizer : Optimizer over the model's parameters
    epochs : int >= 0, passes over the data
    batch_size : int >= 1; the last batch of a pass may be smaller
    rng : numpy.random.Generator, draws the order of the samples
    loss_fn : function (output Tensor, target array) -> scalar Tensor
    augment : function (x_batch, rng) -> x_batch, or None; changes the inputs of each batch at random
    schedule : LambdaLR of this optimizer, or None; stepped after every batch
    metrics : dict of str to function (model) -> float, asked in evaluation mode after every epoch
    callbacks : iterable of function (model, row), called after every epoch; one that returns True stops
    drop_last : bool, leave out a last batch that is smaller, as batch norm of a single row is refused
    label : str, in front of the progress line

    Returns
    -------
    list of dict, a row per epoch: "epoch" (from 1), "loss" (mean over the samples seen) and the metrics

    Raises
    ------
    TypeError : X or y are not numbers, or an argument is of another type
    ValueError : X or y is not finite, the lengths differ or are 0, a number is out of range, or the
        loss becomes NaN
    RuntimeError : the loss depends on none of the optimizer's parameters
    """
    epochs = check_count("fit", "epochs", epochs)
    X, y = _check_data("fit", batch_size, X=X, y=y)
    for name, array in (("X", X), ("y", y)):
        if not np.isfinite(array).all():
            bad = int((~np.isfinite(array)).sum())
            raise ValueError(f"fit: {name} must be finite, got {bad} NaN or infinite values")
    check_rng("fit", rng)
    if drop_last and batch_size > len(X):
        raise ValueError(f"fit: batch_size must be at most {len(X)}, the number of rows, with "
                         "drop_last=True, "
                         f"got {batch_size}")
    if getattr(schedule, "optimizer", optimizer) is not optimizer:
        raise ValueError("fit: schedule must be that of the optimizer, got another's; write "
                         "LambdaLR(optimizer, ...)")
    history = []
    for epoch in progress(range(1, epochs + 1), label):
        model.train()
        total, seen = 0.0, 0
        for x_batch, y_batch in batches(X, y, batch_size=batch_size, rng=rng, drop_last=drop_last):
            if augment is not None:
                x_batch = augment(x_batch, rng)
            optimizer.zero_grad()
            loss = loss_fn(model(_as_input(x_batch)), y_batch)
            if not np.isfinite(loss.item()):
                raise ValueError(f"fit: the loss must be finite, got {loss.item()} in epoch "
                                 f"{epoch}; "
                                 "a smaller lr may help")
            loss.backward()
            check_reached("fit", optimizer)
            optimizer.step()
            if schedule is not None:
                schedule.step()
            total += loss.item() * len(x_batch)
            seen += len(x_batch)
        model.eval()
        row = {"epoch": epoch, "loss": total / seen}
        row |= {name: metric(model) for name, metric in (metrics or {}).items()}
        history.append(row)
        if any([callback(model, row) for callback in callbacks]):
            break
    return history


def _check_data(function, batch_size, **data):
    """The arrays of numbers in `data`, all of one length >= 1."""
    check_count(function, "batch_size", batch_size, at_least=1)
    arrays = {name: as_numbers(function, name, value) for name, value in data.items()}
    lengths = [len(array) if array.ndim else 0 for array in arrays.values()]
    if min(lengths) != max(lengths) or lengths[0] == 0:
        rows = "one length >= 1 in common" if len(data) > 1 else "one row or more"
        raise ValueError(f"{function}: {' and '.join(data)} must have {rows}, got "
                         f"{' and '.join(map(str, lengths))}")
    return list(arrays.values())


def check_reached(function, optimizer):
    """Raise RuntimeError if no parameter of the optimizer has a gradient: then nothing is trained."""
    if all(p.grad is None for p in optimizer.params):
        raise RuntimeError(f"{function}: optimizer must hold parameters that the loss depends "
                           "on, got none of "
                           f"them; write {type(optimizer).__name__}(model.parameters()) of the "
                           "model that is trained")


def _as_input(x):
    return Tensor(x) if x.dtype.kind == "f" else x    # integers, such as tokens, stay an array


@no_grad()
def predict(model, X, *, batch_size=1024):
    """The model's outputs for X, in evaluation mode and without a graph.

    Parameters
    ----------
    model : Module; its mode is put back afterwards
    X : array_like, shape (n, ...), numbers
    batch_size : int >= 1, rows at a time, to bound the memory

    Returns
    -------
    ndarray, shape (n, ...)

    Raises
    ------
    TypeError : X does not hold numbers
    ValueError : X is empty, or batch_size < 1
    """
    X, = _check_data("predict", batch_size, X=X)
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
    model : Module, outputs of shape (n, ..., C) with C >= 2
    X : array_like, shape (n, ...)
    y : array_like of int, shape (n, ...), labels in 0..C-1

    Returns
    -------
    float in [0, 1]

    Raises
    ------
    TypeError : y does not hold integers
    ValueError : an output is NaN, there is one column only, or y has another shape or a label outside 0..C-1
    """
    outputs = predict(model, X)
    if outputs.ndim < 2 or outputs.shape[-1] < 2:
        raise ValueError("accuracy: the model's outputs must have shape (n, C) with C >= 2, got "
                         f"{outputs.shape}; of one output per row write ((predict(model, X)[:, "
                         "0] > 0) == y).mean()")
    if np.isnan(outputs).any():
        raise ValueError(f"accuracy: the model's outputs must be numbers, got "
                         f"{int(np.isnan(outputs).sum())} NaN")
    y = check_labels("accuracy", "y", as_numbers("accuracy", "y", y), outputs.shape[-1])
    guess = outputs.argmax(axis=-1)
    if y.shape != guess.shape:
        raise ValueError(f"accuracy: y must have shape {guess.shape}, got {y.shape}")
    return float((guess == y).mean())
