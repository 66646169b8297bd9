"""Low rank: a weight matrix as the product of two thin ones.

Problem: a layer with W of shape (m, n) takes m n multiplications. Are that many numbers independent?

Idea: cut the singular value decomposition W = sum_i s_i u_i v_i' after r terms,

    W ~ U V',    U = (u_1 ... u_r) diag(sqrt(s)),    V = (v_1 ... v_r) diag(sqrt(s))

No matrix of rank r is nearer: ||W - U V'||_F^2 = s_{r+1}^2 + s_{r+2}^2 + ... (Eckart and Young 1936). The
layer becomes two, V' and then U, and costs r (m + n): less work only if r < m n / (m + n). If inputs are not
alike in all directions, what counts is the error of the outputs: cut W C instead, with C C' = X'X / N.

A convolution with W (O, C, k, k) is a matrix, too: with rows C k and columns O k its SVD is a pair of
convolutions, k x 1 into r channels and 1 x k out of them; with rows O and columns C k k a k x k one into r
channels and a 1 x 1.

Sources: MATH5836 week 10, section 10.2.3; Denton, Zaremba, Bruna, LeCun and Fergus 2014, Exploiting linear
structure within convolutional networks for efficient evaluation; Tai, Xiao, Zhang, Wang and E 2016,
Convolutional neural networks with low-rank regularization (equations 3 to 6).
"""
import copy
import math

import numpy as np

from tinyml.check import check_number, check_real
from tinyml.nn import Conv2d, Linear, Parameter, Sequential, forward_hook
from tinyml.tensor import Tensor, no_grad


def truncated_svd(weight, rank, *, covariance=None):
    """U and V, thin and balanced, with U V' the matrix of rank r nearest to W.

        minimise ||W - U V'||_F,      or  ||(W - U V') C||_F  with C C' = covariance

    Without a covariance U = (u_1 ... u_r) diag(sqrt(s)), V = (v_1 ... v_r) diag(sqrt(s)), so U'U = V'V.
    With one, W C is cut instead and C taken off again: U V' = U_r U_r' W, with U_r the first r left
    singular vectors of W C.

    Parameters
    ----------
    weight : array_like, shape (m, n)
    rank : int in 1..min(m, n)
    covariance : array_like, shape (n, n), symmetric, no eigenvalue below 0; X'X / N of inputs X (N, n)

    Returns
    -------
    U : ndarray, shape (m, r)
    V : ndarray, shape (n, r)

    Raises
    ------
    TypeError, ValueError : weight or covariance is not real, not finite, or has another shape; rank is out of
        range

    Examples
    --------
    >>> U, V = truncated_svd([[2, 0], [0, 1]], 1)
    >>> abs(U @ V.T).round(6)
    array([[2., 0.],
           [0., 0.]])
    """
    W = check_real("truncated_svd", "weight", weight, ndim=2)
    m, n = W.shape
    _check_rank("truncated_svd", rank, min(m, n))
    if covariance is None:
        U, s, Vh = np.linalg.svd(W, full_matrices=False)
        root = np.sqrt(s[:rank])
        return U[:, :rank] * root, Vh[:rank].T * root
    covariance = check_real("truncated_svd", "covariance", covariance)
    if covariance.shape != (n, n):
        raise ValueError(f"truncated_svd: covariance must have shape {(n, n)}, got {covariance.shape}")
    eigenvalues, Q = np.linalg.eigh(covariance.astype(np.float64))
    C = Q * np.sqrt(np.maximum(eigenvalues, 0))
    U = np.linalg.svd(W.astype(np.float64) @ C, full_matrices=False)[0][:, :rank]
    return _balanced(U, W.T.astype(np.float64) @ U, W.dtype)


def _balanced(U, V, dtype):
    """The same product of factors with U'U = V'V, diagonal."""
    P, s, Qh = np.linalg.svd(V, full_matrices=False)
    root = np.sqrt(s)
    return ((U @ Qh.T) * root).astype(dtype), (P * root).astype(dtype)


def break_even(m, n):
    """The rank m n / (m + n) below which two thin factors take fewer multiplications than one (m, n)."""
    return m * n / (m + n)


def rank_for_energy(s, *, energy):
    """The least rank whose singular values hold a share of the whole: sum_{i<=r} s_i^2 >= energy sum s_i^2.

    Parameters
    ----------
    s : array_like, shape (k,), singular values, >= 0, decreasing
    energy : float in (0, 1]

    Returns
    -------
    int in 1..k

    Raises
    ------
    TypeError, ValueError : s is empty, not real or negative, or energy is not in (0, 1]
    """
    s = check_real("rank_for_energy", "s", s, ndim=1, at_least=0).astype(np.float64)
    check_number("rank_for_energy", "energy", energy, above=0, at_most=1)
    if not s.size:
        raise ValueError("rank_for_energy: s must hold at least one singular value, got none")
    held = np.cumsum(s ** 2)
    return int(np.searchsorted(held, energy * held[-1] * (1 - 1e-12))) + 1


def rank_for_budget(m, n, *, share):
    """The largest rank with r (m + n) <= share m n, and 1 at least.

    Parameters
    ----------
    m, n : int >= 1
    share : float > 0, of the multiplications of the whole matrix

    Returns
    -------
    int in 1..min(m, n)

    Raises
    ------
    TypeError, ValueError : share is not > 0
    """
    check_number("rank_for_budget", "share", share, above=0, below=np.inf)
    return max(1, min(m, n, math.floor(share * break_even(m, n) + 1e-9)))


# ------------------------------------------------------------ layers

def factorize_linear(layer, rank, *, covariance=None):
    """Two Linear layers in place of one: W ~ U V', first V' without a bias, then U with the layer's.

    Parameters
    ----------
    layer : Linear
    rank : int in 1..min(in_features, out_features)
    covariance : of its inputs, as in `truncated_svd`, or None

    Returns
    -------
    Sequential

    Raises
    ------
    TypeError, ValueError : as `truncated_svd`
    """
    U, V = truncated_svd(layer.weight.data, rank, covariance=covariance)
    first, second = copy.copy(layer), copy.copy(layer)
    first.weight, first.bias, first.out_features = Parameter(V.T.copy()), None, rank
    second.weight, second.in_features = Parameter(U), rank
    second.bias = None if layer.bias is None else Parameter(layer.bias.data.copy())
    return Sequential(first, second)


def factorize_conv(layer, rank, *, method="separable"):
    """Two Conv2d layers in place of one; the reconstructed filters are those of least squared error.

        "separable"    (kh x 1) C -> r, then (1 x kw) r -> O:   W[o,c,i,j] ~ sum_r H[o,r,j] V[r,c,i]
        "channel"      (kh x kw) C -> r, then (1 x 1) r -> O:   W[o,c,i,j] ~ sum_r U[o,r] V[r,c,i,j]

    (Tai et al. 2016, equation 4, whose SVD is of W as a (C kh, O kw) matrix; Denton et al. 2014.)

    Parameters
    ----------
    layer : Conv2d
    rank : int in 1..min(C kh, O kw), or 1..min(O, C kh kw)
    method : "separable" or "channel"

    Returns
    -------
    Sequential; stride and padding are split between the two

    Raises
    ------
    ValueError : an unknown method, or rank out of range
    """
    W = layer.weight.data
    O, C, kh, kw = W.shape
    pair = lambda value: value if isinstance(value, tuple) else (value, value)
    (sh, sw), (ph, pw) = pair(layer.stride), pair(layer.padding)
    if method == "separable":
        V, H = truncated_svd(W.transpose(1, 2, 0, 3).reshape(C * kh, O * kw), rank)    # (C kh, r), (O kw, r)
        first = _conv(layer, V.T.reshape(rank, C, kh, 1), (sh, 1), (ph, 0), bias=False)
        return Sequential(first, _conv(layer, H.reshape(O, kw, rank).transpose(0, 2, 1)[:, :, None], (1, sw),
                                       (0, pw)))
    if method != "channel":
        raise ValueError(f'factorize_conv: method must be "separable" or "channel", got {method!r}')
    U, V = truncated_svd(W.reshape(O, -1), rank)
    first = _conv(layer, V.T.reshape(rank, C, kh, kw), (sh, sw), (ph, pw), bias=False)
    return Sequential(first, _conv(layer, U[:, :, None, None], (1, 1), (0, 0)))


def _conv(layer, weight, stride, padding, bias=True):
    """A Conv2d with this weight (O, C, kh, kw), and the layer's bias."""
    conv = copy.copy(layer)
    conv.out_channels, conv.in_channels = weight.shape[:2]
    conv.kernel_size, conv.stride, conv.padding = weight.shape[2:], stride, padding
    conv.weight = Parameter(np.ascontiguousarray(weight))
    conv.bias = Parameter(layer.bias.data.copy()) if bias and layer.bias is not None else None
    return conv


# ------------------------------------------------------------ models

def factorize(model, *, share, X=None):
    """A copy of a Sequential in which every Linear and Conv2d but the last is two layers, if that is cheaper.

    A layer keeps `share` of its multiplications: its rank is that of `rank_for_budget`, 1 at least. Where even
    that takes as many as the whole, the layer stays; so does the last one, since C classes that are to be
    told apart need all of their C - 1 directions.

    Parameters
    ----------
    model : Sequential
    share : float in (0, 1), of the multiplications of each layer
    X : ndarray, shape (N, ...), inputs: weigh the errors of Linear layers by what reaches them, or None

    Returns
    -------
    Sequential of plain layers, to be trained on or saved like any other

    Raises
    ------
    TypeError, ValueError : the model is not a Sequential, or share is not in (0, 1)
    """
    if not isinstance(model, Sequential):
        raise TypeError(f"factorize: model must be a Sequential, got {type(model).__name__}")
    check_number("factorize", "share", share, above=0, below=1)
    covariances = {} if X is None else input_covariances(model, X)
    layers, last = [], max((i for i, m in enumerate(model) if isinstance(m, (Linear, Conv2d))), default=None)
    for module in copy.deepcopy(model):
        if len(layers) == last:
            pass
        elif type(module) is Linear:
            rank = rank_for_budget(*module.weight.shape, share=share)
            if rank < break_even(*module.weight.shape):
                module = factorize_linear(module, rank, covariance=covariances.get(len(layers)))
        elif type(module) is Conv2d:
            O, C, kh, kw = module.weight.shape
            rank = rank_for_budget(C * kh, O * kw, share=share)
            if rank < break_even(C * kh, O * kw):
                module = factorize_conv(module, rank)
        layers.append(module)
    return Sequential(*layers)


@no_grad()
def input_covariances(model, X):
    """X'X / N of what reaches each Linear of a Sequential, by its position.

    Parameters
    ----------
    model : Sequential
    X : ndarray, shape (N, ...), N >= 1

    Returns
    -------
    dict of int to ndarray of float64, shape (in_features, in_features)
    """
    places = {id(module): i for i, module in enumerate(model) if isinstance(module, Linear)}
    found = {}

    def look(module, x, y):
        if id(module) in places:
            rows = x.data.reshape(-1, x.shape[-1]).astype(np.float64)
            found[places[id(module)]] = rows.T @ rows / len(rows)
    model.eval()
    with forward_hook(look):
        model(Tensor(X))
    return found


def _check_rank(function, rank, most):
    if not isinstance(rank, (int, np.integer)) or not 1 <= rank <= most:
        raise ValueError(f"{function}: rank must be an int in 1..{most}, got {rank!r}")
