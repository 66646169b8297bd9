"""Deep Compression: prune, share values, code them, and lose almost no accuracy.

Problem: each way to make a network small has a limit. A network that is pruned too far loses
accuracy. Shared values still need a code for every weight. And a file of codes is small only if
some codes are frequent.

Idea: the three methods save different bytes (Han et al. 2016, figure 1).

    prune       most weights are 0, and a 0 costs a fraction of a bit
    share       the others are one of 2^b values per layer: b bits each, or less
    code        frequent symbols get short codewords; see `tinyml.compression.coding`

Let a fraction k of d weights stay, at random places. Then the codes take about

    d H(k) + d k b  bits,    H(k) = -k log2 k - (1 - k) log2 (1 - k)

instead of 32 d: a factor of 32 / (H(k) + k b), which is 113 for k = 0.03 and b = 3. The places
take two thirds of these bits, and the values one third.

After each of the first two steps the network is trained on the labels and on the outputs of the
dense network (`distillation`), to regain lost accuracy. Pruned weights stay 0.

A trap: Adam divides the gradient of a weight by its usual magnitude. So a weight whose input is
almost always 0 grows as large as any other weight, and magnitude pruning keeps it. A little weight
decay moves weights that the loss seldom needs back to 0. Then fewer units are used, and the codes
are shorter too.

The paper has a threshold for each layer, and trains after pruning, on labels only. Here one
threshold holds for all layers, and pruning goes on during training.

Sources: Han, Mao and Dally 2016, Deep Compression; Han, Pool, Tran and Dally 2015, Learning both
weights and connections, section 3.1 (pruning with weight decay); Zhu and Gupta 2017, To prune, or
not to prune; Hinton, Vinyals and Dean 2015, Distilling the knowledge in a neural network; MATH5836
week 10, sections 10.2.1, 10.2.2 and 10.2.4.
"""
import copy
import math
from itertools import count

import numpy as np

from tinyml.compression.distillation import distill
from tinyml.compression.pruning import cubic_sparsity, prune
from tinyml.compression.weight_masks import projection
from tinyml.compression.weight_sharing import share_biases, share_weights
from tinyml.contract import checked
from tinyml.nn.weights import check_weights, computed_weights, nothing_to_do, weights
from tinyml.optim import Adam, LambdaLR, cosine_decay

PRUNING_ENDS = 0.6    # fraction of the training after which no more weights are pruned
PRUNINGS = 100        # the masks change at most this many times


@checked
def deep_compress(
    model: "Module; trained, with logits of shape (n, ..., C) and a weight to compress",
    X: "as in `tune`",
    y: "as in `tune`",
    *,
    keep: "float in (0, 1]; fraction of the weights that stay",
    bits: "int in 1..15; the weights of a layer share at most 2^bits values",
    bias_bits: "int in 1..15; a bias, or another vector, gets at most 2^bias_bits "
               "values" = 4,
    epochs: "(int, int), with both >= 1; for pruning, and for tuning the "
            "shared values" = (40, 8),
    lr: "(float, float), with both > 0; the initial learning rates of "
        "the two" = (2e-3, 3e-4),
    teacher: "Module, or None; for `tune`; None for the model itself" = None,
    rng: "numpy.random.Generator; draws the order of the samples and the augmentations",
    weight_decay: "float >= 0; during pruning" = 3e-4,
    **options: "temperature, alpha, batch_size, augment, as in `tune`",
):
    """Prune, share and round off a trained model; the model itself stays as it is.

        model -> `prune_gradually` -> `share_and_tune` -> `round_off`    (then `save_compressed`)

    Returns
    -------
    small : Module, what to save
    stages : dict of str to Module: "dense" (the model itself), "pruned", "shared", "rounded"
    """
    _check_first(model, epochs, lr)
    options |= {"rng": rng, "teacher": model if teacher is None else teacher}
    pruned = copy.deepcopy(model)
    prune_gradually(pruned, X, y, keep=keep, epochs=epochs[0], lr=lr[0], weight_decay=weight_decay,
                    **options)
    shared = share_and_tune(copy.deepcopy(pruned), X, y, bits=bits, epochs=epochs[1], lr=lr[1],
                            **options)
    rounded = round_off(copy.deepcopy(shared), bias_bits=bias_bits)
    stages = {"dense": model, "pruned": pruned, "shared": shared, "rounded": rounded}
    return rounded, stages


def _check_first(model, epochs, lr):
    """Raise errors before the training rather than after it."""
    for name, pair, least in (("epochs", epochs, 1), ("lr", lr, 0)):
        if len(pair) != 2 or min(pair) < least or name == "lr" and 0 in pair:
            need = "two ints >= 1" if name == "epochs" else "two numbers > 0"
            raise ValueError(f"deep_compress: {name} must be {need}, got {pair}")
    computed = {path: f"computed already, by {type(weight).__name__}"
                for path, weight in computed_weights(model).items()}
    if computed or not weights(model):
        raise ValueError(nothing_to_do("deep_compress", model, computed))
    check_weights("deep_compress", weights(model))


@checked
def prune_gradually(
    model: "as in `tune`",
    X: "as in `tune`",
    y: "as in `tune`",
    *,
    keep: "float in (0, 1]; fraction of the weights that stay",
    epochs: "as in `tune`",
    lr: "as in `tune`" = 2e-3,
    weight_decay: "as in `tune`" = 3e-4,
    batch_size: "as in `tune`" = 128,
    **options: "teacher, rng, temperature, alpha, augment, as in `tune`",
) -> "dict of str to ndarray of bool, the mask of each weight by its path":
    """Prune a model in place during training, the smallest weights of all layers first.

    After step t of n the fraction pruned is (`cubic_sparsity`; Zhu and Gupta 2017, equation 1)

        s_t = (1 - keep) (1 - (1 - t / t_end)^3)      until t_end = 0.6 n, then 1 - keep

    A pruned weight stays 0; a weight that is already 0 counts as pruned.
    """
    t_end = max(1, round(PRUNING_ENDS * _n_steps(X, epochs, batch_size)))
    pruning_steps = set(np.linspace(1, t_end, PRUNINGS).astype(int).tolist())
    steps, masks = count(1), prune(model, amount=0)
    set_pruned_to_zero = projection("prune_gradually", model, masks)

    def project():
        set_pruned_to_zero()
        t = next(steps)
        if t in pruning_steps:
            amount = float(cubic_sparsity(t, final=1 - keep, t_end=t_end))
            masks.update(prune(model, amount=amount))

    tune(model, X, y, epochs=epochs, lr=lr, weight_decay=weight_decay, batch_size=batch_size,
         projections=[project], **options)
    return masks


@checked
def share_and_tune(
    model: "as in `tune`",
    X: "as in `tune`",
    y: "as in `tune`",
    *,
    bits: "int in 1..15",
    epochs: "as in `tune`",
    lr: "as in `tune`" = 3e-4,
    **options: "teacher, rng, temperature, alpha, batch_size, augment, as in `tune`",
):
    """Give every layer 2^bits shared values by k-means, train them, and return the model.

        w_i -> c_(a_i),   then   dL/dc_j = sum over i with a_i = j of dL/dw_i

    (`share_weights`; Han et al. 2016, equations 2 and 3.) The codes a_i and the zeros do not
    change.
    """
    share_weights(model, bits=bits)
    tune(model, X, y, epochs=epochs, lr=lr, **options)
    return model


@checked
def round_off(
    model: "Module; whose training is over",
    *,
    bias_bits: "int in 1..15; bits of `share_biases`",
):
    """Save more bytes in the file: biases get 2^bias_bits values, and numbers 16 bits.

    A parameter is rounded to half precision, unless that changes one of its numbers by more than
    a fraction 2^-11. The parameter keeps its dtype, but `save_compressed` writes it with 2 bytes a
    number. The model is changed in place, and returned.
    """
    for parameter in model.parameters():
        if not np.isfinite(parameter.data).all():
            raise ValueError("round_off: model must be finite, got NaN or infinite parameters")
    share_biases(model, bits=bias_bits)
    for parameter in model.parameters():
        full = parameter.data
        with np.errstate(over="ignore"):    # beyond 65504 a number becomes infinite: not close
            half = full.astype(np.float16).astype(full.dtype)
        is_close = np.abs(half - full) <= 2.0 ** -11 * np.abs(full)
        if is_close.all():
            parameter.data = half
    return model


@checked
def tune(
    model: "Module",
    X: "ndarray, shape (n, ...); inputs",
    y: "ndarray of int, shape (n, ...); labels",
    *,
    teacher: "Module; with logits of the model's shape",
    epochs: "int >= 1",
    lr: "float > 0; the initial learning rate",
    rng: "numpy.random.Generator",
    temperature: "as in `distillation.distillation_loss`" = 2.0,
    alpha: "as in `distillation.distillation_loss`" = 0.9,
    batch_size: "int >= 1" = 128,
    augment: "function (x, rng) -> x, or None; the teacher sees the same batch" = None,
    weight_decay: "float >= 0" = 0.0,
    projections: "sequence of functions without arguments; called after every "
                 "step" = (),
):
    """Train a model with Adam and `distillation_loss`; lr falls to 0 along a cosine.

    Weight decay is added to the gradient before Adam divides by the gradient's usual size. So the
    decay matters most for weights whose gradient is small. The result is the history of
    `tinyml.train.fit`.
    """
    n_steps = _n_steps(X, epochs, batch_size)
    optimizer = Adam(model.parameters(), lr=lr, weight_decay=weight_decay)
    optimizer.projections.extend(projections)
    schedule = LambdaLR(optimizer, lambda t: cosine_decay(t, n_steps))
    return distill(model, teacher, X, y, temperature=temperature, alpha=alpha, augment=augment,
                   optimizer=optimizer, schedule=schedule, epochs=epochs, batch_size=batch_size,
                   rng=rng)


def _n_steps(X, epochs, batch_size):
    return epochs * math.ceil(len(X) / batch_size)


@checked
def expected_bits(
    keep: "array_like, any shape, in [0, 1]; k",
    bits: "float >= 0; b, bits for the value of a kept weight",
) -> "ndarray, the shape of keep, or float":
    """Bits per weight of pruned and shared weights: H(k) for the places plus k b for the values.

        H(k) = -k log2 k - (1 - k) log2 (1 - k)

    H is the entropy of the places if each weight is kept with probability k, independently of the
    others. Kept weights lie close together, and some values are frequent, so a good code needs
    less. The codebook and the biases are not counted.

    >>> round(float(32 / expected_bits(0.03, 3)))
    113
    """
    entropy = _surprise(keep) + _surprise(1 - keep)
    return entropy + keep * bits


def _surprise(p):
    """-p log2 p, and its limit 0 for p = 0."""
    return -p * np.log2(np.where(p > 0, p, 1))
