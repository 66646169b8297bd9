"""L-BFGS: minimise a smooth function to many digits.

Problem: where a function is steep in one direction and flat in another, gradient descent
needs thousands of steps. Newton's method needs few, but each of them needs the Hessian, d^2
numbers.

Idea: a step s changes the gradient by y, and on a quadratic function y = (Hessian) s. So the
last pairs (s, y) say how the function curves. An estimate H of the inverse Hessian follows
from them. It is never formed as a matrix, and the next step is -H g.

Sources: Nocedal and Wright 2006, Numerical Optimization, algorithms 7.4 and 7.5.
"""
from collections import deque

import numpy as np

from tinyml.contract import checked

MEMORY = 12          # pairs (s, y) that are kept
SMALLEST = 1e-9      # the smallest step size a that is tried


@checked
def minimize(
    loss: "function () -> scalar Tensor; of the parameters as they are at the call",
    params: "list of Tensor; with requires_grad; float64 for many digits. They end at "
            "the minimum",
    *,
    tolerance: "float > 0; the length of the gradient at which to stop" = 1e-6,
    max_iter: "int >= 1" = 10_000,
):
    """Minimise a smooth and strictly convex function of some parameters.

        theta <- theta - a H g

    Here g is the gradient and H is the matrix of `inverse_hessian`. The step size a is the first
    of 1, 1/2, 1/4 ... at which the loss falls by 1e-4 of what its slope promises (Nocedal and
    Wright 2006, algorithm 7.5, with backtracking).

    Raises
    ------
    RuntimeError : the tolerance was not reached in max_iter steps, or a parameter has no gradient

    >>> from tinyml import Tensor
    >>> x = Tensor(np.zeros(2), requires_grad=True)
    >>> minimize(lambda: ((x - [1, 2]) ** 2).sum(), [x])
    >>> x.data
    array([1., 2.])
    """
    if not params or not all(getattr(p, "requires_grad", False) for p in params):
        raise ValueError("minimize: params must be one or more tensors with requires_grad, got "
                         f"{params!r}"[:200])
    pairs = deque(maxlen=MEMORY)
    theta = np.concatenate([p.data.ravel() for p in params])
    value, g = _evaluate(loss, params, theta)
    for _ in range(max_iter):
        if not np.isfinite(value):
            raise ValueError(f"minimize: loss must be finite, got {value}")
        if np.linalg.norm(g) <= tolerance:
            return
        direction = -inverse_hessian(g, pairs)
        step, new_value, new_g = _backtrack(loss, params, theta, value, g, direction)
        change = new_g - g
        if step @ change > 0:    # true for a strictly convex loss, up to rounding
            pairs.append((step, change))
        theta, value, g = theta + step, new_value, new_g
    raise RuntimeError(f"minimize: the gradient must come down to tolerance = {tolerance:g} in "
                       f"max_iter = {max_iter} steps, got {np.linalg.norm(g):g}; a larger "
                       "tolerance, or inputs of similar scale, may help")


def inverse_hessian(g, pairs):
    """The product H g with an estimate H of the inverse Hessian, from earlier steps.

        H <- (I - s y'/s'y) H (I - y s'/s'y) + s s'/s'y,     for each pair, from  H = (s'y / y'y) I

    with s and y of the newest pair in the first H (Nocedal and Wright 2006, equations 7.16 and
    7.20). The two loops of algorithm 7.4 compute H g without a matrix. H is symmetric and positive
    definite, and H y = s for the newest pair: the secant equation.

    Parameters
    ----------
    g : ndarray, shape (d,)
    pairs : sequence of (s, y), shape (d,) each, oldest first: steps, and changes of the gradient

    Returns
    -------
    ndarray, shape (d,); g itself without pairs
    """
    alphas = []
    for s, y in reversed(pairs):
        alpha = s @ g / (s @ y)
        g = g - alpha * y
        alphas.append(alpha)
    if pairs:
        s, y = pairs[-1]
        g = (s @ y) / (y @ y) * g
    for (s, y), alpha in zip(pairs, reversed(alphas)):
        beta = y @ g / (s @ y)
        g = g + (alpha - beta) * s
    return g


def _backtrack(loss, params, theta, value, g, direction):
    """The first step a H g after which the loss has fallen enough, and loss and gradient there."""
    slope = g @ direction
    rounding = 10 * np.finfo(g.dtype).eps * abs(value)    # near the minimum the loss is flat
    a = 1.0
    while True:
        with np.errstate(over="ignore", invalid="ignore"):    # too long a step may overflow
            new_value, new_g = _evaluate(loss, params, theta + a * direction)
        if new_value <= value + 1e-4 * a * slope + rounding or a < SMALLEST:
            return a * direction, new_value, new_g
        a /= 2


def _evaluate(loss, params, theta):
    """The loss and its gradient at theta, the entries of all parameters in one vector."""
    ends = np.cumsum([p.size for p in params])
    for p, part in zip(params, np.split(theta, ends[:-1])):
        p.data = part.reshape(p.shape).astype(p.dtype, copy=False)
        p.grad = None
    value = loss()
    value.backward()
    if any(p.grad is None for p in params):
        raise RuntimeError("minimize: params must be tensors that the loss depends on, got one "
                           "without a gradient")
    return value.item(), np.concatenate([p.grad.ravel() for p in params])
