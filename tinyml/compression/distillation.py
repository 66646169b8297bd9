"""Distillation: a small network learns from what a large one says, not only from the labels.

Problem: a label tells of an image that it is a 2, and nothing else. A large network, the
teacher, knows more: this 2 looks a little like a 3, not at all like a 7. How can a small
network, the student, learn that?

Idea: the teacher's logits z_t, divided by a temperature T > 1, give probabilities p_t in which
the small ones are large enough to be seen. The student is trained towards them at the same
temperature, and towards the labels y:

    L = (1 - alpha) CE(y, softmax(z_s)) + alpha T^2 KL(p_t || p_s),      p = softmax(z / T)

For one sample the gradient of T^2 KL in z_s is T (p_s - p_t). The factor T^2 keeps it on one
scale at every T: as T grows, it tends to (z_s - z_t) / C for centred logits, and distillation
becomes regression on logits. The soft part needs no labels: the teacher has something to say
about any image.

Sources: Hinton, Vinyals and Dean 2015, Distilling the knowledge in a neural network (section
2: the loss; 2.1: large T; 3: the omitted digit and its bias); MATH5836 week 10, section
10.2.4.
"""
import copy
import math

import numpy as np

from tinyml import functional as F
from tinyml.check import check_number, check_real
from tinyml.nn import Linear, Parameter
from tinyml.nn.places import is_chain
from tinyml.tensor import Tensor, as_tensor, primitive
from tinyml.train import as_input, fit, predict


def soften(logits, *, temperature):
    """The probabilities of logits at a temperature; no gradient flows through them.

        p_c = e^(z_c / T) / sum_j e^(z_j / T)

    (Hinton et al. 2015, equation 1; MATH5836 week 10, section 10.2.4.) T = 1 is the usual
    softmax. A larger T moves all p_c towards 1/C, a smaller one that of the largest logit
    towards 1. The order of the classes stays, and adding a constant to all logits of a row
    changes nothing. Computed in float64, since z / T may be beyond all float32.

    Parameters
    ----------
    logits : array_like or Tensor, shape (..., C), C >= 1: one or more axes, the classes last
    temperature : float in [1e-4, 1e4], T

    Returns
    -------
    ndarray, shape (..., C), rows that sum to 1, of the dtype of logits

    Raises
    ------
    TypeError, ValueError : logits are not real, not finite or have no axis; T is out of range

    Examples
    --------
    >>> soften([4.0, 2.0, 0.0], temperature=1).round(3)
    array([0.867, 0.117, 0.016])
    >>> soften([4.0, 2.0, 0.0], temperature=4).round(3)
    array([0.506, 0.307, 0.186])
    """
    temperature = check_number("soften", "temperature", temperature, at_least=1e-4, at_most=1e4)
    z = _constant("soften", "logits", logits)
    if not z.ndim or not z.shape[-1]:
        raise ValueError(f"soften: logits must have shape (..., C) with C >= 1, got {z.shape}")
    return F.softmax(z.astype(np.float64) / temperature).data.astype(z.dtype)    # 1e38 / T is no float32


def _constant(function, name, x):
    """The array of x, cut off from any graph."""
    return check_real(function, name, x.data if isinstance(x, Tensor) else x)


@primitive
def _cast(x, *, dtype):
    """A Tensor in another dtype; its gradient comes back in its own."""
    return x.astype(dtype), (lambda g: g,)    # the engine gives g the dtype of x


def distillation_loss(student_logits, teacher_logits, target=None, *, temperature, alpha):
    """The student's loss on labels and on the teacher's soft targets, mean over the batch.

        L = (1 - alpha) 1/N sum_i -ln softmax(z_s,i)_(y_i)  +  alpha T^2 1/N sum_i KL(p_t,i ||
        p_s,i)

        p_t = softmax(z_t / T),   p_s = softmax(z_s / T),   KL(p || q) = sum_c p_c (ln p_c - ln q_c)

    (MATH5836 week 10, section 10.2.4; Hinton et al. 2015, section 2.) The second part has the
    gradient alpha T (p_s - p_t) / N in z_s, and at any T it lies between 0 and alpha r^2 / 8,
    with r the range of z_s - z_t over the classes. T and T^2 would magnify the rounding of
    float32: so the second part is computed in float64, from logits to T^2 KL, and rounded
    once, to the student's dtype. With alpha = 1 the labels play no part.

    Parameters
    ----------
    student_logits : Tensor, shape (N, C), z_s; or (N, ..., C), whose N ... rows count as samples
    teacher_logits : array_like or Tensor, shape of student_logits, z_t; no gradient flows to them
    target : ndarray of int, shape (N, ...), labels in 0..C-1, or probabilities, shape (N, ...,
        C); None for samples without labels, only with alpha = 1
    temperature : float in [1e-4, 1e4], T
    alpha : float in [0, 1], the weight of the teacher; 0 is plain cross-entropy

    Returns
    -------
    Tensor, a scalar of the student's dtype

    Raises
    ------
    TypeError : the teacher's logits are not real, or the labels no integers
    ValueError : shapes that do not fit, no samples, a number out of range, NaN, or no target
        where alpha < 1
    """
    alpha = check_number("distillation_loss", "alpha", alpha, at_least=0, at_most=1)
    student, T = as_tensor(student_logits), temperature
    teacher = _constant("distillation_loss", "teacher_logits", teacher_logits).astype(np.float64)
    if student.ndim < 2 or student.shape != teacher.shape:
        raise ValueError("distillation_loss: student_logits and teacher_logits must both have shape "
                         f"(N, ..., C), got {student.shape} and {teacher.shape}")
    if target is None and alpha != 1:
        raise ValueError(f"distillation_loss: target must be given where alpha < 1, got None and alpha = "
                         f"{alpha!r}; write alpha=1 for samples without labels")
    student, teacher, target = _as_rows(student, teacher, target)
    p_t = soften(teacher, temperature=T)
    log_p_s = F.log_softmax(_cast(student, dtype=np.float64) / T)
    soft = _cast(T ** 2 * F.kl_div(log_p_s, p_t, "batchmean"), dtype=student.dtype)
    return soft if target is None else (1 - alpha) * F.cross_entropy(student, target) + alpha * soft


def _as_rows(student, teacher, target):
    """Logits (N, ..., C) as (M, C), and targets (N, ...) as (M,), those of (N, ..., C) as (M, C)."""
    shape = student.shape
    if target is not None and np.shape(target) not in (shape, shape[:-1]):
        raise ValueError(f"distillation_loss: target must have shape {shape[:-1]}, or {shape} for "
                         f"probabilities, got {np.shape(target)}")
    if len(shape) == 2:
        return student, teacher, target
    rows = (math.prod(shape[:-1]), shape[-1])
    if target is not None:
        target = target if isinstance(target, Tensor) else np.asarray(target)
        target = target.reshape(rows if target.shape == shape else rows[:1])
    return student.reshape(rows), teacher.reshape(rows), target


def distill(student, teacher, X, y=None, *, temperature, alpha, rng, augment=None,
            **options):
    """Train a student with `distillation_loss` through `tinyml.train.fit`.

    The teacher is asked once about all rows; with augmentation about every batch anew, as the
    student sees it. It is asked in evaluation mode and without a graph, and stays as it is.

    Parameters
    ----------
    student : Module, outputs logits of shape (n, ..., C); it is trained, and in evaluation
        mode afterwards
    teacher : Module, outputs logits of the same shape
    X : ndarray, shape (n, ...), n >= 1, inputs for both
    y : ndarray of int, shape (n, ...), or of probabilities, shape (n, ..., C); None with alpha
        = 1: no labels
    temperature : float in [1e-4, 1e4], T
    alpha : float in [0, 1], the weight of the teacher
    rng : numpy.random.Generator, draws the order of the samples, and augmentations
    augment : function (x_batch, rng) -> x_batch, or None; changes the inputs of each batch at random
    **options : all else that fit takes: optimizer, epochs, batch_size, schedule ...

    Returns
    -------
    list of dict, the history of fit

    Raises
    ------
    TypeError, ValueError : as in `distillation_loss` and fit; lengths of X and y that differ
    """
    if y is not None and len(y) != len(X):
        raise ValueError(f"distill: y must have a row for each of the {len(X)} rows of X, got {len(y)}")
    if augment is None:
        teacher_logits = predict(teacher, X)

        def loss_of(student, x, teacher_logits, target=None):
            return distillation_loss(student(as_input(x)), teacher_logits, target,
                                     temperature=temperature, alpha=alpha)
        arrays = (X, teacher_logits)
    else:
        def loss_of(student, x, target=None):
            x = augment(x, rng)
            return distillation_loss(student(as_input(x)), predict(teacher, x), target,
                                     temperature=temperature, alpha=alpha)
        arrays = (X,)
    if y is not None:
        arrays += (y,)
    return fit(student, *arrays, loss_of=loss_of, rng=rng, **options)


def solve_bias(logits, class_index, *, share):
    """What to add to the logit of class c, so that c is the largest in a given share of the rows.

        row i is named c  <=>  b > m_i = max_(j != c) z_ij - z_ic

    So b lies half-way between the k-th and the (k+1)-th smallest of the margins m_i, k =
    round(share n), halves to even. For k = 0 it is 1 below the smallest, for k = n 1 above the
    largest. Margins that tie are named together or not at all.

    A student that never saw class c has learned from its teacher what c looks like, but also
    that it never occurs: "the learned bias for the 3 class is much too low" (Hinton et al.
    2015, section 3, who choose the bias that is best on the test set). How often a class
    occurs is often known, and needs no labels.

    Parameters
    ----------
    logits : array_like, shape (n, C), n >= 1, C >= 2, of samples that are as they come
    class_index : int in 0..C-1, c
    share : float in [0, 1], how often c occurs

    Returns
    -------
    float, b

    Raises
    ------
    TypeError, ValueError : logits are not real, not finite or of another shape; a number is
        out of range

    Examples
    --------
    >>> solve_bias([[1.0, 0.0], [3.0, 0.0], [5.0, 0.0]], 1, share=2 / 3)
    4.0
    """
    logits = check_real("solve_bias", "logits", logits, ndim=2).astype(np.float64)
    n, n_classes = logits.shape
    if n < 1 or n_classes < 2:
        raise ValueError(f"solve_bias: logits must have shape (n, C), n >= 1, C >= 2, got {logits.shape}")
    _check_class("solve_bias", class_index, n_classes)
    share = check_number("solve_bias", "share", share, at_least=0, at_most=1)
    margins = np.sort(np.delete(logits, class_index, axis=1).max(axis=1) - logits[:, class_index])
    ends = np.concatenate([margins[:1] - 2, margins, margins[-1:] + 2])    # ends[k] is the k-th smallest
    k = round(share * n)
    return float(ends[k] + ends[k + 1]) / 2


def shift_bias(model, class_index, by):
    """A copy of the model that adds `by` to the logit of one class, in the bias of its last layer.

    A last layer, or a bias, that stands at other places too stays as it is there.

    Parameters
    ----------
    model : Linear, or a Sequential that ends with one, with a bias
    class_index : int in 0..C-1
    by : float

    Returns
    -------
    Module, of the class of model, with arrays of its own

    Raises
    ------
    TypeError : the model does not end with a Linear layer that has a bias, or `by` is no number
    ValueError : class_index is out of range, or `by` is not finite
    """
    shifted = last = copy.deepcopy(model)
    while is_chain(last) and len(last):
        *_, (name, layer) = last.named_children()
        vars(last)[name] = copy.copy(layer)    # this place alone, where the layer stands at others too
        last = vars(last)[name]
    if getattr(type(last), "forward", None) is not Linear.forward or last.bias is None:
        raise TypeError("shift_bias: model must end with a Linear layer that has a bias, got one that ends "
                        f"with {last!r}")
    _check_class("shift_bias", class_index, last.out_features)
    by = check_number("shift_bias", "by", by)
    bias = last.bias.data.copy()
    bias[class_index] += by
    last.bias = Parameter(bias, requires_grad=last.bias.requires_grad)
    return shifted


def _check_class(function, class_index, n_classes):
    """Raise ValueError unless it is a class."""
    if not isinstance(class_index, (int, np.integer)) or not 0 <= class_index < n_classes:
        raise ValueError(f"{function}: class_index must be an int in 0..{n_classes - 1}, got {class_index!r}")
