"""Distillation: a small network learns from the outputs of a large one, not only from labels.

Problem: a label says that an image is a 2, and nothing else. A large network, the teacher, knows
more: this 2 looks a little like a 3, and not at all like a 7. How can a small network, the
student, learn that?

Idea: the teacher's logits z_t, divided by a temperature T > 1, give probabilities p_t that are
visibly above 0 even for the unlikely classes. The student is trained on these probabilities, at
the same temperature, and on the labels y:

    L = (1 - alpha) CE(y, softmax(z_s)) + alpha T^2 KL(p_t || p_s),      p = softmax(z / T)

with z_s the student's logits, CE the cross-entropy, and KL the divergence of two distributions.

For one sample with C classes, and logits of mean 0, the gradient of T^2 KL with respect to z_s is

    T (p_s - p_t)  ->  (z_s - z_t) / C    as T grows

So T^2 keeps the scale of the gradient. The limit is the gradient of ||z_s - z_t||^2 / (2 C): at a
large T, distillation is least squares on logits. The term with KL needs no labels, so unlabelled
images can be used too.

Sources: Hinton, Vinyals and Dean 2015, Distilling the knowledge in a neural network (section
2: the loss; 2.1: large T; 3: a digit that the student never saw, and the correction of its
bias); MATH5836 week 10, section 10.2.4.
"""
import copy

import numpy as np

from tinyml import functional as F
from tinyml import ops
from tinyml.contract import checked
from tinyml.nn import Linear, Parameter
from tinyml.nn.places import is_chain
from tinyml.nn.units import own_module
from tinyml.tensor import primitive
from tinyml.train import as_input, fit, predict


@checked
def soften(
    logits: "array_like, shape (..., C), C >= 1",
    *,
    temperature: "float in [1e-4, 10000]; T",
) -> "ndarray, shape (..., C), of the dtype of logits":
    """The probabilities of logits at a temperature: softmax(z / T) (notes 10.2.4).

        p_c = e^(z_c / T) / sum_j e^(z_j / T)

    (Hinton et al. 2015, equation 1.) As T grows, all p_c tend to 1 / C. As T tends to 0, the p_c
    of the largest logit tends to 1.

    >>> logits = [4.0, 2.0, 0.0]
    >>> soften(logits, temperature=1).round(3), soften(logits, temperature=4).round(3)
    (array([0.867, 0.117, 0.016]), array([0.506, 0.307, 0.186]))
    """
    return F.softmax(logits / temperature).data    # notes 10.2.4, softened probabilities


@checked
def distillation_loss(
    student_logits: "Tensor, shape (*N, C), C >= 1; z_s; *N are the axes of the samples",
    teacher_logits: "array_like of float64, shape (*N, C); z_t",
    target: "ndarray, shape (*N) or (*N, C), or None if alpha = 1; labels or "
            "probabilities" = None,
    *,
    temperature: "float in [1e-4, 10000]; T",
    alpha: "float in [0, 1]; the weight of the teacher's term",
) -> "Tensor, a scalar of the dtype of student_logits":
    """The student's loss on labels and on the teacher's soft targets, mean over the samples.

        L = (1 - alpha) CE(y, softmax(z_s)) + alpha T^2 KL(p_t || p_s)
        p_t = softmax(z_t / T),    p_s = softmax(z_s / T),    KL(p || q) = sum_c p_c ln(p_c / q_c)

    (Notes 10.2.4; Hinton et al. 2015, section 2.) No gradient flows to the teacher.
    """
    T, C = temperature, student_logits.shape[-1]
    # float64: at a large T, KL is small, and T^2 would magnify its rounding
    z_s = _cast(student_logits, dtype=np.float64).reshape(-1, C)
    p_t = soften(teacher_logits.reshape(-1, C), temperature=T)
    log_p_s = F.log_softmax(z_s / T)
    kl = F.kl_div(log_p_s, p_t, "batchmean")    # KL(p_t || p_s)
    ce = 0.0 if target is None else F.cross_entropy(z_s, _rows(target, student_logits))
    loss = (1 - alpha) * ce + alpha * T ** 2 * kl    # notes 10.2.4, distillation loss
    return _cast(loss, dtype=student_logits.dtype)


@primitive
def _cast(x, *, dtype):
    """A Tensor in another dtype; the engine casts the gradient back to the dtype of x."""
    # the value, and a tuple with one gradient function for each input
    return x.astype(dtype), (lambda g: g,)


def _rows(target, logits):
    """All samples on one axis: labels (*N) as (n,), probabilities (*N, C) as (n, C)."""
    if target.ndim == logits.ndim:    # probabilities
        return target.reshape(-1, target.shape[-1])
    return target.ravel()


# ------------------------------------------------------------ the same loss in one step

def _fast_loss(student_logits, teacher_logits, target, *, temperature, alpha):
    """`distillation_loss` to the last bit, in a third of the time for small networks.

    That is for logits of shape (n, C), and labels or none. For anything else, and for errors, the
    plain function is called.
    """
    settings = dict(temperature=temperature, alpha=alpha)
    z_s, y = student_logits, target
    if z_s.ndim == 2 and z_s.shape == teacher_logits.shape and _are_labels(y, z_s.shape, alpha):
        loss = _fused_loss(z_s, teacher_logits=teacher_logits, labels=y, **settings)
        if np.isfinite(loss.data):
            return loss
    return distillation_loss(student_logits, teacher_logits, target, **settings)


def _are_labels(y, shape, alpha):
    """Whether y is a label in 0..C-1 for each row, or None where the loss needs none."""
    if y is None:
        return alpha == 1
    n, C = shape
    return y.shape == (n,) and y.dtype.kind in "iu" and 0 <= y.min() and y.max() < C


@primitive
def _fused_loss(z_s, *, teacher_logits, labels, temperature, alpha):
    """The lines of `distillation_loss` on arrays, with its gradient by the chain rule.

        d KL / d ln p_s = -p_t / n
    """
    T, n, dtype = temperature, len(z_s), z_s.dtype
    z_s, z_t = z_s.astype(np.float64), teacher_logits.astype(np.float64)
    p_t, _ = _softmax(z_t / T)
    log_p_s, (d_log_softmax,) = _log_softmax(z_s / T)
    log_p_t = np.log(np.where(p_t > 0, p_t, 1))
    kl = (p_t * np.where(p_t > 0, log_p_t - log_p_s, 0)).sum() / n
    ce, d_ce = 0.0, None
    if labels is not None:
        ce, (d_ce,) = _label_cross_entropy(z_s, labels=labels, reduction="mean")
    loss = (1 - alpha) * ce + alpha * T ** 2 * kl

    def d_logits(g):
        d_kl = d_log_softmax(-(g * (alpha * T ** 2) / n) * p_t) / T
        return d_kl if d_ce is None else d_kl + d_ce(g * (1 - alpha))
    return np.asarray(loss, dtype), (lambda g: d_logits(g.astype(np.float64)),)


# the functions of arrays behind these operations: each returns its value and its vjps
_softmax, _log_softmax, _label_cross_entropy = (
    operation.__wrapped__ for operation in (ops.softmax, ops.log_softmax, ops.label_cross_entropy))


# ------------------------------------------------------------ training

@checked
def distill(
    student: "Module; with logits of shape (n, ..., C); trained in place, and in "
             "evaluation mode afterwards",
    teacher: "Module; with logits of the same shape",
    X: "ndarray, shape (n, ...), n >= 1; inputs for both",
    y: "ndarray, shape (n, ...), or None if alpha = 1; labels or probabilities" = None,
    *,
    temperature: "as in `distillation_loss`",
    alpha: "as in `distillation_loss`",
    rng: "numpy.random.Generator; draws the order of the samples and the augmentations",
    augment: "function (x, rng) -> x, or None; changes the inputs of each "
             "batch at random" = None,
    **options: "further arguments of `tinyml.train.fit`, such as optimizer and epochs",
):
    """Train a student with `distillation_loss`; return the history of `tinyml.train.fit`.

    The teacher runs in evaluation mode. Without `augment` it runs once, on all of X. With
    `augment` it runs on each changed batch that the student sees.
    """
    def loss_of(student, x, teacher_logits, target=None):
        student_logits = student(as_input(x))
        return _fast_loss(student_logits, teacher_logits, target,    # as `distillation_loss`
                          temperature=temperature, alpha=alpha)

    def augmented_loss_of(student, x, target=None):
        x = augment(x, rng)
        return loss_of(student, x, predict(teacher, x), target)

    labels = () if y is None else (y,)
    if augment is not None:
        return fit(student, X, *labels, loss_of=augmented_loss_of, rng=rng, **options)
    return fit(student, X, predict(teacher, X), *labels, loss_of=loss_of, rng=rng, **options)


# ------------------------------------------------------------ the bias of a class never seen

@checked
def solve_bias(
    logits: "array_like of float64, shape (n, C), n >= 1, C >= 2; classes must be as "
            "frequent in these samples as in practice",
    class_index: "int in 0..C-1; c",
    *,
    share: "float in [0, 1]; the fraction of samples of class c",
) -> "float, b":
    """The b to add to the logit of class c, so that c is predicted for a given share of the rows.

        row i is predicted as c  <=>  b > m_i = max_(j != c) z_ij - z_ic

    So b lies half-way between the k-th and the (k+1)-th smallest of the margins m_i, with k =
    round(share n). (If both are equal, no b gives exactly this share.) For k = 0, b is 1 below the
    smallest margin. For k = n, b is 1 above the largest.

    A student that never saw class c learns from its teacher what c looks like, but its bias for c
    is much too low (Hinton et al. 2015, section 3). If it is known how often c occurs, this b
    corrects the bias.

    >>> solve_bias([[1.0, 0.0], [3.0, 0.0], [5.0, 0.0]], 1, share=2 / 3)
    4.0
    """
    rivals = np.delete(logits, class_index, axis=1).max(axis=1)
    margins = np.sort(rivals - logits[:, class_index])
    before, after = margins[0] - 2, margins[-1] + 2    # 2 away, so that the midpoint is 1 away
    bounds = [before, *margins, after]                 # bounds[k] is the k-th smallest margin
    k = round(share * len(margins))
    return float(bounds[k] + bounds[k + 1]) / 2


@checked
def shift_bias(
    model: "Module; a Linear with a bias, or a Sequential that ends with one",
    class_index: "int >= 0; the class; smaller than the number of outputs of that "
                 "layer",
    by: "float; what to add",
):
    """A copy of the model with a number added to one entry of its last bias."""
    shifted = last = copy.deepcopy(model)
    while is_chain(last) and len(last):
        # own_module: if the last layer is used elsewhere too, only this place gets a new bias
        last = own_module(last, -1)
    # compare `forward`: a subclass of Linear may compute something else
    if getattr(type(last), "forward", None) is not Linear.forward or last.bias is None:
        raise TypeError("shift_bias: model must end with a Linear layer that has a bias, got one "
                        f"that ends with {last!r}")
    if class_index >= last.out_features:
        raise ValueError("shift_bias: class_index must be an int in 0.."
                         f"{last.out_features - 1}, got {class_index}")
    bias = last.bias.data.copy()
    bias[class_index] += by
    last.bias = Parameter(bias, requires_grad=last.bias.requires_grad)
    return shifted
