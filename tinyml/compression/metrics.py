"""Metrics: which errors of a weight matter, and the approximation that is best by this measure.

Problem: the SVD makes ||W - W~||_F small. But not every error of a weight changes the outputs, and
not every change of the outputs changes the class.

Idea: weigh the errors, W~ in place of W, in one of two ways.

*By the data.* Inputs x of the layer have the second moment M = E x x'. The error of the outputs is

    E ||(W - W~) x||^2 = ||(W - W~) M^(1/2)||_F^2

*By the mistakes.* For each sample n, take the wrong class that the network finds most likely. Let
C_n be the cross-entropy with this class as the label, and d_n = dC_n/dW its gradient. A weight of
large gradients must not change much. The full form is a Mahalanobis distance with the covariance
of the d_n; its diagonal is enough:

    sum_p (alpha_p (W_p - W~_p))^2,    alpha_p = sqrt(sum_n d_n(p)^2),    p counts the entries of W

To minimise, change the variables: approximate W M^(1/2), or alpha * W, and change back. But if
the result is divided by alpha entry by entry, as the paper writes it, its rank is full again. The
rank stays r if alpha = a b', with a number for each row and one for each column:

    ||diag(a) (W - W~) diag(b)||_F   is least for   W~ = diag(1/a) [diag(a) W diag(b)]_r diag(1/b)

with [.]_r the truncated SVD. So alpha is first replaced by the nearest such product.

Sources: MATH5836 week 10, section 10.2.3; Denton, Zaremba, Bruna, LeCun and Fergus 2014,
Exploiting linear structure within convolutional networks for efficient evaluation, section 3.1;
Srebro and Jaakkola 2003, Weighted low-rank approximations, for any alpha: a hard problem.
"""
import copy
import math

import numpy as np

from tinyml import functional as F
from tinyml.compression.low_rank import truncated_svd
from tinyml.compression.thin_layers import check_one_group, conv_like
from tinyml.contract import checked
from tinyml.nn import Sequential, forward_hook
from tinyml.nn.weights import weights
from tinyml.tensor import Tensor, as_tensor
from tinyml.train import as_input, predict

LEAST = 1e-3    # of the largest a_i and b_j: no other one is smaller


@checked
def sensitivities(
    model: "Module; a classifier",
    X: "ndarray, shape (N, ...), N >= 1",
    y: "ndarray of int, shape (N,); labels",
    *,
    n_mistakes: "int >= 1" = 1,
) -> "dict of path to ndarray, the shape of the weight":
    """alpha of every weight: how fast the most likely mistakes change with each entry.

        alpha_p = sqrt(sum_nl d_nl(p)^2),    d_nl = d/dW cross_entropy(outputs for x_n, label l)

    for the n_mistakes labels l != y_n with the largest outputs. One backward pass for each sample
    and label: some hundred samples are enough.
    """
    model = copy.deepcopy(model).eval()
    found = weights(model)
    squares = {path: np.zeros(weight.shape) for path, weight in found.items()}
    for x, label in zip(X, y):
        outputs = predict(model, x[None])[0]
        from_largest = np.argsort(-outputs)
        for wrong in from_largest[from_largest != label][:n_mistakes]:
            model.zero_grad()
            F.cross_entropy(model(as_input(x[None])), np.array([wrong])).backward()
            for path, weight in found.items():
                if weight.grad is not None:
                    squares[path] += weight.grad ** 2
    return {path: np.sqrt(of_weight) for path, of_weight in squares.items()}


@checked
def row_and_column_scales(
    alpha: "array_like of float64, shape (m, n), >= 0, not empty",
):
    """The product a b' nearest to alpha, a matrix without negative entries, with a, b > 0.

        minimise  sum_ij (alpha_ij - a_i b_j)^2

    a and b are multiples of the first singular vectors, which have no entries of opposite sign.
    One must be able to divide by them. So numbers below 1e-3 of the largest of their vector are
    replaced by 1e-3 of the largest.

    Returns
    -------
    a : ndarray, shape (m,)
    b : ndarray, shape (n,)
    """
    U, V = truncated_svd(alpha, 1)
    a, b = np.abs(U[:, 0]), np.abs(V[:, 0])
    if a.max() == 0:    # alpha is 0
        return np.ones(len(a)), np.ones(len(b))
    return np.maximum(a, LEAST * a.max()), np.maximum(b, LEAST * b.max())


@checked
def weighted_svd(
    weight: "array_like of float64, shape (m, n); W",
    rank: "int in 1..min(m, n); r",
    *,
    rows: "array_like of float64, shape (m,), > 0; a",
    columns: "array_like of float64, shape (n,), > 0; b",
):
    """The factors U and V of the matrix U V' of rank r with the least weighted error.

        minimise  ||diag(a) (W - U V') diag(b)||_F = sqrt(sum_ij (a_i b_j (W - U V')_ij)^2)

    Returns
    -------
    U : ndarray, shape (m, r)
    V : ndarray, shape (n, r)
    """
    scaled = rows[:, None] * weight * columns
    U, V = truncated_svd(scaled, rank)
    return U / rows[:, None], V / columns[:, None]


@checked
def patch_second_moment(
    model: "Module",
    layer: "Conv2d; with groups=1 and a place in the model",
    X: "ndarray, shape (N, ...), N >= 1; inputs of the model",
):
    """The second moment E x x' of the patches x that a convolution of a model reads.

    Returns
    -------
    ndarray of float64, shape (C kh kw, C kh kw), for patches in the order of weight[o].ravel()
    """
    check_one_group("patch_second_moment", layer)
    total, count = 0, 0

    def add_patches(module, x, y):
        nonlocal total, count
        if module is layer:
            rows = _patches(layer, as_tensor(x).data.astype(np.float64))
            total, count = total + rows.T @ rows, count + len(rows)

    with forward_hook(add_patches):
        predict(model, X)
    if not count:
        raise ValueError("patch_second_moment: layer must be called by the model, got one that "
                         "is not")
    return total / count


def _patches(layer, images):
    """The patches under the filters of a convolution, as rows (N H' W', C kh kw).

    They are the outputs of a convolution whose filters each read one pixel of the patch.
    """
    shape = layer.weight.shape[1:]
    n = math.prod(shape)
    read = conv_like(layer, np.eye(n).reshape(n, *shape), layer.stride, layer.padding, bias=False)
    return read(Tensor(images)).data.transpose(0, 2, 3, 1).reshape(-1, n)


# ------------------------------------------------------------ layers

@checked
def factorize_conv_by(
    layer: "Conv2d; with groups=1",
    rank: "int >= 1; with at most min(O, C kh kw)",
    *,
    second_moment: "array_like of float64, shape (n, n), or None; from "
                   "`patch_second_moment`" = None,
    alpha: "array_like of float64, shape (O, C, kh, kw), >= 0, or None; from "
           "`sensitivities`" = None,
) -> "Sequential of kh x kw filters, C -> r, and 1 x 1 filters, r -> O":
    """The two layers of `factorize_conv` with method "channel", for another measure of errors.

    They are the best for the inputs with this second moment, or for the product a b' nearest to
    alpha.
    """
    check_one_group("factorize_conv_by", layer)
    W = layer.weight.data
    by_filter = W.reshape(len(W), -1)    # (O, C kh kw)
    if (second_moment is None) == (alpha is None):
        raise ValueError("factorize_conv_by: second_moment or alpha must be given, one of them")
    if alpha is None:
        U, V = truncated_svd(by_filter, rank, second_moment=second_moment)
    else:
        if alpha.shape != W.shape:
            raise ValueError("factorize_conv_by: alpha must have the shape of the weight "
                             f"{W.shape}, got {alpha.shape}")
        rows, columns = row_and_column_scales(alpha.reshape(by_filter.shape))
        U, V = weighted_svd(by_filter, rank, rows=rows, columns=columns)
    U, V = U.astype(W.dtype), V.astype(W.dtype)
    first = conv_like(layer, V.T.reshape(rank, *W.shape[1:]), layer.stride, layer.padding,
                      bias=False)
    second = conv_like(layer, U[:, :, None, None], stride=1, padding=0)
    return Sequential(first, second)
