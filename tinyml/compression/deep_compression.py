"""Deep Compression: prune, share what is left, code it, and lose next to nothing.

Problem: each way to make a network small stops somewhere. Pruned far, it forgets; with few
values per layer it is still a code for every weight; a good code needs something that is
uneven.

Idea: the three do not compete for the same bytes (Han et al. 2016, figure 1).

    prune       most weights are 0, and a 0 costs a fraction of a bit
    share       those that are left are one of 2^b values per layer: b bits each, or less
    code        what is frequent gets the short words; see `codings`, `arithmetic`, `storage`

With d weights of which a fraction k is kept, H(p) = -p log2 p - (1 - p) log2 (1 - p), and
values that are independent of the places, the codes take about

    d H(k) + k d b   bits,    so 32 d bits become fewer by the factor   32 / (H(k) + k b)

(a count as in equation 1 of the paper, with the entropy of the places for their gaps): 113 for
k = 0.03 and b = 3. Half of it or more are the places.

Between the steps the network is trained on, so that it makes up for what it lost; what it has
to learn is what the dense network says (`distillation`), from the labels and more than them. A
pruned weight stays 0 to the end; a shared value is one parameter, and gets the sum of the
gradients of all weights that have it.

One trap lies between Adam and magnitudes. Adam divides every gradient by its usual size, so a
weight whose input is nearly always 0 grows as large as any other, and is kept. A little weight
decay undoes this: a weight that its gradient seldom needs goes back to 0, where pruning finds
it. What is kept is then more useful, and lies closer together, in fewer units, which makes the
codes shorter, too.

Differences from the paper: there each layer has a threshold of its own, training follows
pruning, and the labels are the only teacher. Here one threshold holds for all layers, and
pruning goes on during training.

Sources: Han, Mao and Dally 2016, Deep Compression; Han, Pool, Tran and Dally 2015, Learning
both weights and connections, section 3.1 (pruning with weight decay); Zhu and Gupta 2017, To
prune, or not to prune; Hinton, Vinyals and Dean 2015, Distilling the knowledge in a neural
network; MATH5836 week 10, sections 10.2.1, 10.2.2 and 10.2.4.
"""
import copy
from itertools import count

import numpy as np

from tinyml.check import check_number, check_real, check_rng, check_sizes
from tinyml.compression.distillation import distill
from tinyml.compression.pruning import apply_masks, cubic_sparsity, prune
from tinyml.compression.weight_sharing import share_biases, share_weights
from tinyml.nn.weights import check_weights, computed_weights, nothing_to_do, weights
from tinyml.optim import Adam, LambdaLR, cosine_decay

PRUNING_ENDS = 0.6    # of the training: the rest is for the weights that stay
PRUNINGS = 100        # how often, at most, the masks shrink on the way


def deep_compress(model, X, y, *, keep, bits, bias_bits=4, epochs=(40, 8), lr=(2e-3, 3e-4), teacher=None, rng,
                  weight_decay=3e-4, **options):
    """Prune, share, round off: a small model from a trained one, which stays as it is.

        model -> `prune_gradually` -> `share_and_tune` -> `round_off`;    then `save_compressed` codes it

    (Han et al. 2016, figure 1.) Each stage begins with a copy of the one before, and takes
    fewer bytes, unless layers keep hardly more weights than they share values.

    Parameters
    ----------
    model : Module, trained, outputs logits of shape (n, ..., C), with a weight
        (`tinyml.nn.weights`) and none that is computed already
    X : ndarray, shape (n, ...), inputs
    y : ndarray of int, shape (n, ...), labels
    keep : float in (0, 1], the fraction of the weights that stay
    bits : int in 1..15, log2 of the number of values that the weights of a layer share
    bias_bits : int in 1..15, the same for every vector, such as a bias
    epochs : (int, int), each >= 1, of pruning, and of tuning the shared values
    lr : (float, float), each > 0, the learning rates at their beginning
    teacher : Module with outputs as the model's, or None: the model itself
    rng : numpy.random.Generator, draws the order of the samples, and augmentations
    weight_decay : float >= 0, while pruning
    **options : temperature, alpha, batch_size, augment, as in `tune`

    Returns
    -------
    small : Module, what to save
    stages : dict of str to Module, "dense" (the model itself), "pruned", "shared" and
        "rounded" (small)

    Raises
    ------
    ValueError : a number is out of range, the model has no weight or one that is computed
        already, or what `distill` raises
    TypeError : rng is not a Generator, or a number is none
    """
    stages = {"dense": model}
    check_rng("deep_compress", rng)
    _check("deep_compress", model, keep, (bits, bias_bits), epochs, lr)
    options |= {"rng": rng, "teacher": model if teacher is None else teacher}
    stages["pruned"] = copy.deepcopy(model)
    prune_gradually(stages["pruned"], X, y, keep=keep, epochs=epochs[0], lr=lr[0], weight_decay=weight_decay,
                    **options)
    stages["shared"] = copy.deepcopy(stages["pruned"])
    share_and_tune(stages["shared"], X, y, bits=bits, epochs=epochs[1], lr=lr[1], **options)
    stages["rounded"] = round_off(copy.deepcopy(stages["shared"]), bias_bits=bias_bits)
    return stages["rounded"], stages


def prune_gradually(model, X, y, *, keep, epochs, lr=2e-3, weight_decay=3e-4, batch_size=128, **options):
    """Take weights away, the smallest of all layers first, while the others train: in place.

    After step t of n, the fraction pruned is, up to 100 changes on the way,

        s_t = (1 - keep) (1 - (1 - t / t_end)^3)      until t_end = 0.6 n, then 1 - keep

    (`cubic_sparsity`; Zhu and Gupta 2017, equation 1). Pruned weights are put back to exactly
    0 after every step of the optimizer, and masks only shrink. Weights that are 0 at the
    beginning count as pruned.

    Parameters
    ----------
    model : Module with a weight (`tinyml.nn.weights`)
    X, y : ndarrays, inputs and labels
    keep : float in (0, 1]: of d weights, exactly round((1 - keep) d) or more are 0 at the end
    epochs : int >= 1
    lr, weight_decay, batch_size, **options : as in `tune`, with teacher and rng

    Returns
    -------
    dict of str to ndarray of bool, the mask of each weight by its path

    Raises
    ------
    TypeError, ValueError : keep is not a number in (0, 1], the model has nothing to prune, or
        as in `tune`
    """
    check_number("prune_gradually", "keep", keep, above=0, at_most=1)
    end = max(1, round(PRUNING_ENDS * _steps("prune_gradually", X, epochs, batch_size)))
    moments = set(np.linspace(1, end, PRUNINGS).astype(int).tolist())
    steps, masks = count(1), prune(model, amount=0)

    def project():
        apply_masks(model, masks)
        t = next(steps)
        if t in moments:
            masks.update(prune(model, amount=float(cubic_sparsity(t, final=1 - keep, t_end=end))))

    tune(model, X, y, epochs=epochs, lr=lr, weight_decay=weight_decay, batch_size=batch_size,
         projections=[project], **options)
    return masks


def share_and_tune(model, X, y, *, bits, epochs, lr=3e-4, **options):
    """Give every layer 2^bits shared values by k-means, then train the values: in place.

        w_i -> c_(a_i),   then   dL/dc_j = sum over i with a_i = j of dL/dw_i

    (`share_weights`; Han et al. 2016, equations 2 and 3.) The codes a_i stay; zeros stay
    exactly 0.

    Parameters
    ----------
    model : Module, pruned or not
    X, y : ndarrays, inputs and labels
    bits : int in 1..15
    epochs : int >= 1
    lr, **options : as in `tune`, with teacher and rng

    Returns
    -------
    Module, the model

    Raises
    ------
    TypeError, ValueError : as in `share_weights` and `tune`
    """
    share_weights(model, bits=bits)
    tune(model, X, y, epochs=epochs, lr=lr, **options)
    return model


def round_off(model, *, bias_bits):
    """The last bytes, in place: biases share 2^bias_bits values each, and numbers get 16 bits.

    A parameter is rounded to half precision (11 significant bits) if that moves none of its
    numbers by more than 2^-11 of it: if they are 0 or between 2^-14 and 65504 in magnitude.
    `save_compressed` then writes them with 2 bytes. The parameters' dtype does not change.

    Parameters
    ----------
    model : Module whose training is over
    bias_bits : int in 1..15, as in `share_biases`

    Returns
    -------
    Module, the model

    Raises
    ------
    ValueError : bias_bits is outside its range, or a parameter is not finite
    """
    share_biases(model, bits=bias_bits)
    for parameter in model.parameters():
        check_real("round_off", "model", parameter.data)
        with np.errstate(over="ignore"):
            half = parameter.data.astype(np.float16).astype(parameter.dtype)
        if (np.abs(half - parameter.data) <= 2.0 ** -11 * np.abs(parameter.data)).all():
            parameter.data = half
    return model


def tune(model, X, y, *, teacher, epochs, lr, rng, temperature=2.0, alpha=0.9, batch_size=128, augment=None,
         weight_decay=0.0, projections=()):
    """Train what a model has left: Adam, its rate on a cosine from lr to 0, a teacher beside the labels.

    The loss is `distillation_loss`; weight decay adds its factor times the parameter to every
    gradient, before Adam divides: it counts where the loss's own gradient is small.

    Parameters
    ----------
    model : Module; its parameters are trained
    X : ndarray, shape (n, ...), inputs
    y : ndarray of int, shape (n, ...), labels
    teacher : Module with outputs as the model's
    epochs, batch_size : int >= 1
    lr : float > 0
    rng : numpy.random.Generator
    temperature, alpha : as in `distillation_loss`; alpha = 0 is plain cross-entropy on the labels
    augment : function (x_batch, rng) -> x_batch, or None; the teacher sees the same batch
    weight_decay : float >= 0
    projections : list of functions without arguments, called after every step of the optimizer

    Returns
    -------
    list of dict, a row per epoch, as in `tinyml.train.fit`

    Raises
    ------
    TypeError, ValueError : a number is out of range, or as in `distill`
    """
    steps = _steps("tune", X, epochs, batch_size)
    check_number("tune", "lr", lr, above=0)
    check_rng("tune", rng)
    optimizer = Adam(model.parameters(), lr=lr, weight_decay=weight_decay)
    optimizer.projections.extend(projections)
    schedule = LambdaLR(optimizer, lambda t: cosine_decay(t, steps))
    return distill(model, teacher, X, y, temperature=temperature, alpha=alpha, augment=augment,
                   optimizer=optimizer, schedule=schedule, epochs=epochs, batch_size=batch_size, rng=rng)


def expected_bits(keep, bits):
    """Bits per weight of pruned and shared weights, H(k) + k b: places first, then values.

        H(k) = -k log2 k - (1 - k) log2 (1 - k)

    the entropy of the places where each is kept with probability k, independently of all
    others. Trained weights lie closer together than that, and their values are uneven, so a
    good code needs less; a codebook, biases and the like come on top.

    Parameters
    ----------
    keep : float or array_like in [0, 1], k
    bits : float >= 0, b, bits for the value of a weight that is kept

    Returns
    -------
    float or ndarray, the shape of keep

    Raises
    ------
    TypeError, ValueError : a fraction is not in [0, 1], or bits is not a number >= 0

    Examples
    --------
    >>> round(float(32 / expected_bits(0.03, 3)))
    113
    """
    keep = check_real("expected_bits", "keep", keep, at_least=0).astype(np.float64)
    check_number("expected_bits", "keep", float(keep.max(initial=0)), at_most=1)
    check_number("expected_bits", "bits", bits, at_least=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        entropy = -np.nan_to_num(keep * np.log2(keep)) - np.nan_to_num((1 - keep) * np.log2(1 - keep))
    return entropy + keep * bits


def _steps(function, X, epochs, batch_size):
    check_sizes(function, epochs=epochs, batch_size=batch_size)
    return epochs * -(-len(X) // batch_size)


def _check(function, model, keep, bits, epochs, lr):
    """Refuse before hours of training what would be refused after them."""
    check_number(function, "keep", keep, above=0, at_most=1)
    for name, value in zip(("bits", "bias_bits"), bits):
        if not (isinstance(value, (int, np.integer)) and 1 <= value <= 15):
            raise ValueError(f"{function}: {name} must be an int in 1..15, got {value!r}")
    for n, rate in zip(epochs, lr, strict=True):
        check_sizes(function, epochs=n)
        check_number(function, "lr", rate, above=0)
    computed = {path: f"computed already, by {type(one).__name__}"
                for path, one in computed_weights(model).items()}
    if computed or not weights(model):
        raise ValueError(nothing_to_do(function, model, computed))
    check_weights(function, weights(model))
