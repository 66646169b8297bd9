"""One training loop, written out in full, and what follows it: predictions and their accuracy."""
import numpy as np

from tinyml import functional as F
from tinyml.check import check_labels
from tinyml.contract import checked
from tinyml.data import as_numbers, batches
from tinyml.progress import progress
from tinyml.tensor import Tensor, no_grad


def cross_entropy_of(model, x, y):
    """The loss of a classifier on a batch: the cross-entropy of the model's outputs."""
    return F.cross_entropy(model(as_input(x)), y)


@checked
def fit(
    model: "Module",
    *arrays: "arrays of numbers, such as inputs X and targets y, all of one length n",
    optimizer: "Optimizer; over the model's parameters",
    epochs: "int >= 0; passes over the data",
    batch_size: "int >= 1; the last batch of a pass may be smaller",
    rng: "numpy.random.Generator; draws the order of the samples",
    loss_of: "function (model, *batch) -> scalar Tensor; a batch is some rows of "
             "each array; the default is for y of classes 0..C-1" = cross_entropy_of,
    schedule: "LambdaLR, or None; of this optimizer, stepped after every batch" = None,
    metrics: "dict of str to function (model) -> float, or None; run after every epoch" = None,
    callbacks: "functions (model, row); called after every epoch" = (),
    drop_last: "bool; leave out a last batch that is smaller" = False,
    label: "str; in front of the progress line" = "fit",
):
    """Minimise a loss over shuffled minibatches; the model is in evaluation mode afterwards.

        for each batch:   loss = loss_of(model, *batch);   a step of the optimizer along -grad loss

    A classifier is trained by ``fit(model, X, y, ...)``. For any other training, write the
    function `loss_of`::

        def loss_of(model, x, y):    # with augmentation
            return F.cross_entropy(model(shift(x, rng)), y)

        def loss_of(model, x):       # without labels: fit(model, X, loss_of=loss_of, ...)
            return nt_xent(model(view(x, rng)), model(view(x, rng)), temperature=0.5)

    Metrics and callbacks run in evaluation mode. If a callback returns True, training stops after
    that epoch; the other callbacks are still called. Batch norm refuses a batch of a single row:
    if the last one may be, write drop_last=True.

    Data keeps its dtype: float64 data is computed in float64, which takes about twice the time, so
    write X.astype(np.float32). Lists of floats become float32.

    Returns
    -------
    list of dict, a row per epoch: "epoch" (from 1), "loss" (mean over the samples) and the metrics

    Raises
    ------
    ValueError : the loss is NaN or infinite
    RuntimeError : the loss depends on none of the optimizer's parameters
    """
    arrays = _check_fit(arrays, optimizer, schedule, batch_size, drop_last)
    history = []
    for epoch in progress(range(1, epochs + 1), label):
        model.train()
        total, seen = 0.0, 0
        for batch in batches(*arrays, batch_size=batch_size, rng=rng, drop_last=drop_last):
            optimizer.zero_grad()
            loss = loss_of(model, *batch)
            _check_loss(loss, epoch)
            loss.backward()
            check_reached("fit", optimizer)
            optimizer.step()
            if schedule is not None:
                schedule.step()
            total += loss.item() * len(batch[0])
            seen += len(batch[0])
        model.eval()
        row = {"epoch": epoch, "loss": total / seen}
        row |= {name: metric(model) for name, metric in (metrics or {}).items()}
        history.append(row)
        if any([callback(model, row) for callback in callbacks]):
            break
    model.eval()    # also after no epochs, or a callback that changed it
    return history


def _check_fit(arrays, optimizer, schedule, batch_size, drop_last):
    """The arrays as numbers; raises an error if they or the other arguments do not fit."""
    if not arrays:
        raise TypeError("fit: arrays must be given, got none; write fit(model, X, y, ...)")
    names = ["X", "y", *(f"arrays[{i}]" for i in range(2, len(arrays)))]
    data = _check_data("fit", **dict(zip(names, arrays)))
    for name, array in zip(names, data):
        if not np.isfinite(array).all():
            bad = int((~np.isfinite(array)).sum())
            raise ValueError(f"fit: {name} must be finite, got {bad} NaN or infinite values")
    if drop_last and batch_size > len(data[0]):
        raise ValueError(f"fit: batch_size must be at most {len(data[0])}, the number of rows, "
                         f"with drop_last=True, got {batch_size}")
    if schedule is not None and schedule.optimizer is not optimizer:
        raise ValueError("fit: schedule must be one of this optimizer, got another's; write "
                         "LambdaLR(optimizer, ...)")
    return data


def _check_loss(loss, epoch):
    if not isinstance(loss, Tensor):
        raise TypeError(f"fit: loss_of must return a scalar Tensor, got {type(loss).__name__}")
    if loss.size != 1:
        raise ValueError(f"fit: loss_of must return a scalar Tensor, got shape {loss.shape}; "
                         "write loss.mean()")
    if not np.isfinite(loss.item()):
        raise ValueError(f"fit: the loss must be finite, got {loss.item()} in epoch {epoch}; "
                         "a smaller lr may help")


def _check_data(function, **data):
    """The arrays of numbers in `data`, all of one length >= 1."""
    arrays = {name: as_numbers(function, name, value) for name, value in data.items()}
    lengths = [len(array) if array.ndim else 0 for array in arrays.values()]
    if min(lengths) != max(lengths) or lengths[0] == 0:
        rows = "one length >= 1 in common" if len(data) > 1 else "one row or more"
        raise ValueError(f"{function}: {' and '.join(data)} must have {rows}, got "
                         f"{' and '.join(map(str, lengths))}")
    return list(arrays.values())


def check_reached(function, optimizer):
    """Raise RuntimeError if no parameter of the optimizer has a gradient: nothing is trained."""
    if all(p.grad is None for p in optimizer.params):
        write = f"{type(optimizer).__name__}(model.parameters())"
        raise RuntimeError(f"{function}: optimizer must hold parameters that the loss depends on, "
                           f"got none of them; write {write} of the model that is trained")


def as_input(x):
    """An array as a model takes it: floats as a Tensor; integers, such as tokens, as they are."""
    return Tensor(x) if x.dtype.kind == "f" else x


@checked
@no_grad()
def predict(
    model: "Module; its mode is put back afterwards",
    X: "array of numbers with n rows",
    *,
    batch_size: "int >= 1; rows at a time, to bound the memory" = 1024,
) -> "ndarray, shape (n, ...)":
    """The model's outputs for X, in evaluation mode and without a graph."""
    X, = _check_data("predict", X=X)
    modes = [(module, module.training) for _, module in model.named_modules()]
    model.eval()
    try:
        parts = [model(as_input(x)).data for x, in batches(X, batch_size=batch_size, rng=None)]
        return np.concatenate(parts)
    finally:
        for module, training in modes:
            module.training = training


@checked
def accuracy(
    model: "Module; whose outputs are (n, ..., C), for C classes",
    X: "array of numbers with n rows",
    y: "array of the labels 0..C-1, (n, ...)",
) -> "float in [0, 1]":
    """The fraction of the labels in y that are the index of the model's largest output."""
    outputs = predict(model, X)
    if outputs.ndim < 2 or outputs.shape[-1] < 2:
        raise ValueError("accuracy: the model's outputs must have shape (n, C) with C >= 2, got "
                         f"{outputs.shape}; for one output per row, write ((predict(model, X)[:, "
                         "0] > 0) == y).mean()")
    if np.isnan(outputs).any():
        raise ValueError(f"accuracy: the model's outputs must be numbers, got "
                         f"{int(np.isnan(outputs).sum())} NaN")
    y = check_labels("accuracy", "y", as_numbers("accuracy", "y", y), outputs.shape[-1])
    guess = outputs.argmax(axis=-1)
    if y.shape != guess.shape:
        raise ValueError(f"accuracy: y must have shape {guess.shape}, got {y.shape}")
    return float((guess == y).mean())
