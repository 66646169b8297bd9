"""Low rank: a weight matrix as the product of two thin ones.

Problem: a layer with W of shape (m, n) takes m n multiplications. Are that many numbers
independent?

Idea: cut the singular value decomposition W = sum_i s_i u_i v_i' after r terms,

    W ~ U V',    U = (u_1 ... u_r) diag(sqrt(s)),    V = (v_1 ... v_r) diag(sqrt(s))

No matrix of rank r is nearer: ||W - U V'||_F^2 = s_{r+1}^2 + s_{r+2}^2 + ... (Eckart and Young
1936). The layer becomes two, V' and then U, and costs r (m + n): less work only if r < m n /
(m + n). If inputs are not alike in all directions, what counts is the error of the outputs:
take the SVD of
W C instead, with C C' = X'X / N. A prime ' marks the transpose.

A convolution with W (O, C, k, k) is a matrix, too: with rows C k and columns O k its SVD is a
pair of convolutions, k x 1 into r channels and 1 x k out of them; with rows O and columns C k
k a k x k one into r channels and a 1 x 1.

Sources: MATH5836 week 10, section 10.2.3; Denton, Zaremba, Bruna, LeCun and Fergus 2014,
Exploiting linear structure within convolutional networks for efficient evaluation; Tai, Xiao,
Zhang, Wang and E 2016, Convolutional neural networks with low-rank regularization (equations 3
to 6).
"""
import copy
import math
import warnings
from typing import NamedTuple

import numpy as np

from tinyml.check import check_number, check_pair, check_real, check_sizes
from tinyml.nn import Conv1d, Conv2d, Linear, Module, Parameter, Sequential, forward_hook
from tinyml.nn.places import untied
from tinyml.nn.weights import all_weights, swap, warn_left
from tinyml.tensor import as_tensor
from tinyml.train import accuracy, predict


def truncated_svd(weight, rank, *, covariance=None):
    """U and V, thin and balanced, with U V' the matrix of rank r nearest to W.

        minimise ||W - U V'||_F,      or  ||(W - U V') C||_F  with C C' = covariance

    Without a covariance U = (u_1 ... u_r) diag(sqrt(s)), V = (v_1 ... v_r) diag(sqrt(s)), so
    U'U = V'V. With one, W C is cut and the result multiplied by C^-1: U V' = U_r U_r' W, with
    U_r the first r left singular vectors of W C. In directions that no input has (an
    eigenvalue of 0) every rank-r matrix is as good; there ||W - U V'||_F decides, since
    eigenvalues below 1e-12 of the largest are raised to it.

    Parameters
    ----------
    weight : array_like, shape (m, n)
    rank : int in 1..min(m, n)
    covariance : array_like, shape (n, n), symmetric, no eigenvalue below 0 but by rounding;
        X'X / N of inputs X (N, n)

    Returns
    -------
    U : ndarray, shape (m, r), of the dtype of weight
    V : ndarray, shape (n, r), of the dtype of weight

    Raises
    ------
    TypeError, ValueError : weight or covariance is not real, not finite, or has another shape;
        covariance is not symmetric or has eigenvalues below 0; rank is out of range

    Examples
    --------
    >>> U, V = truncated_svd([[2, 0], [0, 1]], 1)
    >>> abs(U @ V.T).round(6)
    array([[2., 0.],
           [0., 0.]])
    """
    W = check_real("truncated_svd", "weight", weight, ndim=2)
    _check_rank("truncated_svd", rank, min(W.shape))
    if covariance is not None:
        return _weighed_svd(W, rank, covariance)
    U, s, Vh = np.linalg.svd(W, full_matrices=False)
    root = np.sqrt(s[:rank])
    return U[:, :rank] * root, Vh[:rank].T * root


def _weighed_svd(W, rank, covariance):
    """U and V with ||(W - U V') C||_F least, C C' = covariance."""
    covariance, n = check_real("truncated_svd", "covariance", covariance), W.shape[1]
    if covariance.shape != (n, n):
        raise ValueError(f"truncated_svd: covariance must have shape {(n, n)}, got {covariance.shape}")
    U = np.linalg.svd(W.astype(np.float64) @ _root(covariance), full_matrices=False)[0][:, :rank]
    return _balanced(U, W.T.astype(np.float64) @ U, W.dtype)


def _root(covariance):
    """C with C C' = covariance, eigenvalues 1e-12 of the largest at least; the identity if all are 0."""
    eigenvalues, Q = np.linalg.eigh(covariance.astype(np.float64))
    largest = eigenvalues.max(initial=0)
    skew = np.abs(covariance - covariance.T).max(initial=0)
    if max(skew, -eigenvalues.min(initial=0)) > 1e-4 * largest:    # more than the rounding of float32
        raise ValueError("truncated_svd: covariance must be symmetric without eigenvalues below 0, got a "
                         f"difference of {skew:.2g} from its transpose and an eigenvalue of "
                         f"{eigenvalues[0]:.2g}; write X.T @ X / len(X)")
    return Q * np.sqrt(np.maximum(eigenvalues, 1e-12 * largest or 1))


def _balanced(U, V, dtype):
    """The same product of factors with U'U = V'V, diagonal."""
    P, s, Qh = np.linalg.svd(V, full_matrices=False)
    root = np.sqrt(s)
    return ((U @ Qh.T) * root).astype(dtype), (P * root).astype(dtype)


def break_even(m, n):
    """The rank m n / (m + n) below which two thin factors take fewer multiplications than one (m, n).

    Raises ValueError unless m and n are ints >= 1.
    """
    check_sizes("break_even", m=m, n=n)
    return m * n / (m + n)


def rank_for_energy(s, *, energy):
    """The least rank whose singular values hold a share of the whole: sum_{i<=r} s_i^2 >= energy sum s_i^2.

    What is missed by 1e-12 of the share or less is put down to rounding, and held. A float
    need not hold the squares, only the singular values: their ratios to the largest do as
    well. The rank for zeros is 1.

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
    held = np.cumsum((s / (s.max() or 1)) ** 2)    # squares of the ratios cannot overflow
    return int(np.searchsorted(held, energy * held[-1] * (1 - 1e-12))) + 1


def rank_for_budget(m, n, *, share):
    """The largest rank with r (m + n) <= share m n, up to rounding; 1 at least, and min(m, n) at most.

    Parameters
    ----------
    m, n : int >= 1
    share : float > 0, of the multiplications of the whole matrix

    Returns
    -------
    int in 1..min(m, n)

    Raises
    ------
    TypeError, ValueError : share is not > 0, or m or n is not an int >= 1
    """
    check_sizes("rank_for_budget", m=m, n=n)
    check_number("rank_for_budget", "share", share, above=0, below=np.inf)
    return max(1, min(m, n, math.floor(share * break_even(m, n) + 1e-9)))


# ------------------------------------------------------------ layers

def factorize_linear(layer, rank, *, covariance=None):
    """Two Linear layers in place of one: W ~ U V', first V' without a bias, then U with the layer's.

    They take fewer multiplications only for a rank below `break_even`. Any other is allowed,
    with a warning.

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
    TypeError, ValueError : not a Linear; as `truncated_svd`

    Warns
    -----
    UserWarning : rank is `break_even` or more
    """
    _check_layer("factorize_linear", layer, Linear)
    U, V = truncated_svd(_weight(layer), rank, covariance=covariance)
    _warn_unless_cheaper("factorize_linear", rank, U, V)
    first, second = copy.copy(layer), copy.copy(layer)
    trained = layer.weight.requires_grad
    first.weight, first.bias, first.out_features = Parameter(V.T.copy(), trained), None, rank
    second.weight, second.in_features = Parameter(U, trained), rank
    second.bias = copy.deepcopy(layer.bias)
    return Sequential(first, second)


def factorize_conv(layer, rank, *, method="separable"):
    """Two Conv2d layers in place of one; the reconstructed filters are those of least squared error.

        "separable"    (kh x 1) C -> r, then (1 x kw) r -> O:   W[o,c,i,j] ~ sum_r H[o,r,j] V[r,c,i]
        "channel"      (kh x kw) C -> r, then (1 x 1) r -> O:   W[o,c,i,j] ~ sum_r U[o,r] V[r,c,i,j]

    (Tai et al. 2016, equation 4, whose SVD is of W as a (C kh, O kw) matrix; Denton et al.
    2014.) Stride and padding (h, w) are split: "separable" has h in the first and w in the
    second, "channel" all in the first. Only the second has the layer's bias.

    Parameters
    ----------
    layer : Conv2d
    rank : int in 1..min(C kh, O kw), or 1..min(O, C kh kw)
    method : "separable" or "channel"

    Returns
    -------
    Sequential of the two, with arrays of their own

    Raises
    ------
    TypeError : not a Conv2d
    ValueError : an unknown method, or rank out of range

    Warns
    -----
    UserWarning : rank is `break_even` of the matrix that is cut, or more; with strides, which
        cost the first of the two more than the whole, less may be too much already
        (`factorize`)
    """
    _check_layer("factorize_conv", layer, Conv2d)
    W = _weight(layer)
    O, C, kh, kw = W.shape
    sh, sw = check_pair("factorize_conv", "stride", layer.stride, 1)
    ph, pw = check_pair("factorize_conv", "padding", layer.padding, 0)
    if method == "separable":
        V, H = truncated_svd(_matrix(layer), rank)    # (C kh, r), (O kw, r)
        _warn_unless_cheaper("factorize_conv", rank, V, H)
        first = _conv(layer, V.T.reshape(rank, C, kh, 1), (sh, 1), (ph, 0), bias=False)
        return Sequential(first, _conv(layer, H.reshape(O, kw, rank).transpose(0, 2, 1)[:, :, None], (1, sw),
                                       (0, pw)))
    if method != "channel":
        raise ValueError(f'factorize_conv: method must be "separable" or "channel", got {method!r}')
    U, V = truncated_svd(W.reshape(O, -1), rank)
    _warn_unless_cheaper("factorize_conv", rank, U, V)
    first = _conv(layer, V.T.reshape(rank, C, kh, kw), (sh, sw), (ph, pw), bias=False)
    return Sequential(first, _conv(layer, U[:, :, None, None], (1, 1), (0, 0)))


def factorize_conv1d(layer, rank):
    """Two Conv1d layers in place of one: kernel k, C -> r, then kernel 1, r -> O.

        W[o,c,i] ~ sum_r U[o,r] V[r,c,i]

    "separable" and "channel" of `factorize_conv` are the same for a series. Stride and padding
    are those of the first; only the second has the layer's bias.

    Parameters
    ----------
    layer : Conv1d
    rank : int in 1..min(O, C k)

    Returns
    -------
    Sequential of the two, with arrays of their own

    Raises
    ------
    TypeError : not a Conv1d
    ValueError : rank out of range

    Warns
    -----
    UserWarning : rank is `break_even` or more
    """
    _check_layer("factorize_conv1d", layer, Conv1d)
    V, U = truncated_svd(_matrix(layer), rank)    # (C k, r), (O, r)
    _warn_unless_cheaper("factorize_conv1d", rank, V, U)
    first = _conv(layer, V.T.reshape(rank, layer.in_channels, -1), layer.stride, layer.padding,
                  bias=False)
    return Sequential(first, _conv(layer, U[:, :, None], 1, 0))


def _weight(layer):
    """The array of a weight, also of one that is computed."""
    return layer.weight.data


def _matrix(layer):
    """What is cut: a Linear's (O, I), a Conv1d's weight as (C k, O), a Conv2d's as (C kh, O kw)."""
    W = _weight(layer)
    if W.ndim == 2:
        return W
    W = W.reshape(*W.shape[:3], -1)    # a series has kw = 1
    return W.transpose(1, 2, 0, 3).reshape(W.shape[1] * W.shape[2], -1)


def _conv(layer, weight, stride, padding, bias=True):
    """A convolution of the layer's class with this weight (O, C, ...), and the layer's bias."""
    conv = copy.copy(layer)
    conv.out_channels, conv.in_channels, *kernel = weight.shape
    conv.kernel_size = kernel[0] if isinstance(layer, Conv1d) else tuple(kernel)
    conv.stride, conv.padding = stride, padding
    conv.weight = Parameter(np.ascontiguousarray(weight), layer.weight.requires_grad)
    conv.bias = copy.deepcopy(layer.bias) if bias else None
    return conv


# ------------------------------------------------------------ models

KINDS = (Linear, Conv1d, Conv2d)


def factorize(model, *, share=None, energy=None, X=None):
    """A copy of a model in which each Linear and convolution but the last is two, if cheaper.

    It does so wherever layers stand, in Sequentials and in modules of your own. Either a layer
    keeps a share of its multiplications, with the rank of `rank_for_budget`, 1 at least; or a
    share of the squares of its singular values, with that of `rank_for_energy`.

    `ranks` tells the rank of every weight, or why it stays as it is. It stays where two
    factors take as many multiplications as the whole. So does the last layer, since C classes
    that are to be told apart need all of their C - 1 directions. So do weights that are no
    product of their own, such as attention's in_proj_weight, and those that an Embedding
    shares.

    A convolution of horizontal stride s takes its vertical half at s times as many places as
    the other: r (s C kh + O kw) multiplications for each pixel of the output in place of O C
    kh kw (borders left aside). If a Linear stands at several places and X is given, each place
    is cut for its own inputs: then the modules of all places become separate ones.

    Parameters
    ----------
    model : Module with a Linear, Conv1d or Conv2d besides the last
    share : float in (0, 1), of the multiplications of each layer, or None
    energy : float in (0, 1], of the squared singular values of each layer, or None
    X : ndarray, shape (N, ...), N >= 1, inputs: weigh the errors (and energies) of Linear
        layers by what reaches them, or None

    Returns
    -------
    Module of the class of model, of plain layers, to be trained on or saved like any other

    Raises
    ------
    TypeError, ValueError : not exactly one of share and energy is given, it is out of range, X
        is empty, or the model has no such layer

    Warns
    -----
    UserWarning : a weight belongs to no layer that can be cut, such as attention's in_proj_weight
    """
    model, plan = _plan("factorize", model, share, energy, X)
    if all(cut.why not in (None, DEAR) for cut in plan.values()):
        stay = "".join(f"; {path} is {cut.why}" for path, cut in plan.items())
        raise ValueError("factorize: model must have a Linear, Conv1d or Conv2d besides the last "
                         f"one, got {type(model).__name__}{stay}")
    warn_left("factorize", {path: cut.why for path, cut in plan.items()
                            if cut.why not in (None, LAST, DEAR)})
    swap(model, {cut.layer: _two_layers(cut) for cut in plan.values() if cut.why is None})
    return model


def ranks(model, *, share=None, energy=None, X=None):
    """What `factorize` does to every weight: the rank that it gets, or why it stays as it is.

    Parameters
    ----------
    model, share, energy, X : as in `factorize`

    Returns
    -------
    dict of str to int or str, by the path of the weight

    Raises
    ------
    TypeError, ValueError : as `factorize`, except that the model may have nothing to cut

    Examples
    --------
    >>> from tinyml.nn import Embedding
    >>> rng = np.random.default_rng(0)
    >>> model = Sequential(Embedding(9, 8, rng=rng), Linear(8, 20, rng=rng),
    ...                    Linear(20, 2, rng=rng))
    >>> plan = ranks(model, share=0.5)
    >>> plan["1.weight"], plan["2.weight"], plan["0.weight"]
    (2, 'the last layer', 'no weight of a Linear, Conv1d or Conv2d')
    """
    _, plan = _plan("ranks", model, share, energy, X)
    return {path: cut.rank if cut.why is None else cut.why for path, cut in plan.items()}


LAST = "the last layer"
DEAR = "no dearer than two layers"    # as many multiplications


class Cut(NamedTuple):
    """What becomes of a weight."""

    layer: Module = None
    rank: int = None
    covariance: np.ndarray = None    # of the layer's inputs
    why: str = None                  # it stays as it is


def _plan(function, model, share, energy, X):
    """A copy of the model, and {path: Cut} of every weight in it."""
    if (share is None) == (energy is None):
        raise ValueError(f"{function}: share or energy must be given, one of them, got "
                         f"share={share!r} and energy={energy!r}; write {function}(model, share=0.25)")
    if energy is None:
        check_number(function, "share", share, above=0, below=1)
    for path, _, weight in all_weights(model):
        check_real(function, path, weight.data)
    covariances = None if X is None else input_covariances(model, X)
    model = copy.deepcopy(model) if X is None or not _reused(model) else untied(model)
    places = [(path, layer) for path, layer in model.named_modules() if isinstance(layer, KINDS)]
    owned = {f"{path}.weight".lstrip(".") for path, _ in places}
    plan = {}
    for first, paths, weight in all_weights(model):
        others = [path for path in paths if path not in owned]
        users = {layer: path for path, layer in reversed(places)    # by their first paths
                 if layer.weight is weight}
        if not users:
            plan[first] = Cut(why="no weight of a Linear, Conv1d or Conv2d")
        elif others:
            plan[others[0]] = Cut(why=f"one with {min(owned.intersection(paths))}")
        for layer, path in reversed(users.items()):
            if others:
                cut = Cut(why=f"one with {others[0]}")
            elif layer is places[-1][1]:
                cut = Cut(why=LAST)
            elif not any(type(layer).forward is kind.forward for kind in KINDS):
                cut = Cut(why=f"used by {type(layer).__name__}, which has a forward of its own")
            else:
                cut = _cut(layer, path, share, energy, covariances)
            plan[f"{path}.weight".lstrip(".")] = cut
    return model, plan


def _reused(model):
    """Whether a Linear stands at several places."""
    layers = [layer for _, layer in model.named_modules() if isinstance(layer, Linear)]
    return len(set(layers)) < len(layers)


def _cut(layer, path, share, energy, covariances):
    """The rank of a layer, or why it stays."""
    covariance = None
    if covariances is not None and isinstance(layer, Linear):
        covariance = covariances.get(int(path) if path.isdigit() else path)
        if covariance is None:
            return Cut(why="never called")
    W = _matrix(layer)
    m, n = W.shape
    stride = 1
    if isinstance(layer, Conv2d):
        stride = check_pair("factorize", "stride", layer.stride, 1)[1]
    cost = stride * m + n    # multiplications for each rank
    if energy is None:
        rank = rank_for_budget(m, n, share=share * (m + n) / cost)
    else:
        weighed = W if covariance is None else W.astype(np.float64) @ _root(covariance)
        rank = rank_for_energy(np.linalg.svd(weighed, compute_uv=False), energy=energy)
    return Cut(why=DEAR) if rank * cost >= m * n else Cut(layer, rank, covariance)


def _two_layers(cut):
    if isinstance(cut.layer, Linear):
        return factorize_linear(cut.layer, cut.rank, covariance=cut.covariance)
    make = factorize_conv1d if isinstance(cut.layer, Conv1d) else factorize_conv
    return make(cut.layer, cut.rank)


def share_for_accuracy(model, X, y, *, at_least, shares, inputs=None):
    """The smallest of some shares of work with which `factorize` keeps an accuracy.

    They are tried from the least up, and the first that is enough is taken; a larger one need
    not be enough, as accuracies need not grow with the rank. Choose by samples that are
    neither trained on nor tested on: what was chosen by a set looks better on it than on any
    other.

    Parameters
    ----------
    model : Module, as in `factorize`
    X : ndarray, shape (N, ...), held-out inputs
    y : ndarray of int, shape (N,), their labels
    at_least : float in [0, 1], accuracy
    shares : iterable of float in (0, 1)
    inputs : ndarray, shape (M, ...), to weigh the errors by: the X of `factorize`, or None

    Returns
    -------
    float, one of the shares, or 1.0, the whole model, if none of them is enough

    Raises
    ------
    TypeError, ValueError : at_least is not in [0, 1]; as `factorize`
    """
    check_number("share_for_accuracy", "at_least", at_least, at_least=0, at_most=1)
    for share in sorted(shares):
        if accuracy(factorize(model, share=share, X=inputs), X, y) >= at_least:
            return share
    return 1.0


def input_covariances(model, X):
    """X'X / N of what reaches each Linear, at each place where one stands.

    A layer that stands at two places has the inputs of each apart. If `forward` calls the
    layer of one place several times, all of these inputs count.

    Parameters
    ----------
    model : Module; it stays as it is, its mode too
    X : ndarray, shape (N, ...), N >= 1

    Returns
    -------
    dict of place to ndarray of float64, shape (in_features, in_features): the place is the
        position, an int, of a layer of a Sequential, and the path, a str, of one further
        inside; layers that are not called are left out

    Raises
    ------
    ValueError : X is empty
    """
    model = untied(model)
    paths = {module: path for path, module in model.named_modules() if isinstance(module, Linear)}
    grams, rows = dict.fromkeys(paths, 0), dict.fromkeys(paths, 0)

    def look(module, x, y):
        if module in paths:
            inputs = as_tensor(x).data.reshape(-1, module.in_features).astype(np.float64)
            grams[module] = grams[module] + inputs.T @ inputs
            rows[module] += len(inputs)
    with forward_hook(look):
        predict(model, X)
    return {int(path) if path.isdigit() else path: grams[module] / rows[module]
            for module, path in paths.items() if rows[module]}


def _check_layer(function, layer, kind):
    """Raise TypeError unless the layer is of that class."""
    if not isinstance(layer, kind):
        raise TypeError(f"{function}: layer must be a {kind.__name__}, got {type(layer).__name__}")


def _warn_unless_cheaper(function, rank, U, V):
    """Say so where two factors take as many multiplications as the whole."""
    most = break_even(len(U), len(V))
    if rank >= most:
        warnings.warn(f"{function}: rank must be < m n / (m + n) = {most:g} to save multiplications, got "
                      f"{rank}", stacklevel=3)


def _check_rank(function, rank, most):
    """Raise ValueError unless it is an int in 1..most."""
    if not isinstance(rank, (int, np.integer)) or not 1 <= rank <= most:
        raise ValueError(f"{function}: rank must be an int in 1..{most}, got {rank!r}")
