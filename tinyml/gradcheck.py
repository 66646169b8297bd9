"""Hold a gradient against its definition: a directional derivative, by autograd and by difference."""
import numpy as np

from tinyml.check import check_rng
from tinyml.tensor import Tensor, as_float, no_grad


def gradcheck(f, *inputs, rng, tol=1e-6):
    """Check the gradients of f with respect to every input; return True or raise.

    For a random v and, one argument x_k after the other, a random unit direction u, compare

        autograd     <dL/dx_k, u>                                 with  L(x) = <v, f(x)>
        difference   (L(x_k + h u) - L(x_k - h u)) / (2 h)        with  h = eps^(1/3) max(1, max |x_k|)

    in float64, eps = 2.2e-16. The difference is wrong by O(h^2), about 4e-11, and by rounding,
    O(eps |L| / h); a wrong gradient agrees in a random direction with probability 0.

    Parameters
    ----------
    f : function (*tensors) -> Tensor of any shape, deterministic, smooth near the inputs
    *inputs : array_like, the points x_1, x_2, ...; fix other arguments with a lambda
    rng : numpy.random.Generator
    tol : float > 0, the relative error allowed

    Returns
    -------
    True

    Raises
    ------
    AssertionError : a gradient disagrees; names the argument, the entry where it is most wrong, both values
    ValueError : f is not deterministic, or is not finite here
    TypeError : f does not return a Tensor, or rng is not a Generator

    Examples
    --------
    >>> gradcheck(lambda x, y: x * y.exp(), [1.0, 2.0], [0.5, 3.0], rng=np.random.default_rng(0))
    True
    """
    check_rng("gradcheck", rng)
    points = [as_float(x, np.float64, name="gradcheck").copy() for x in inputs]
    y = _value(f, points)
    if not np.isfinite(y).all():
        raise ValueError(f"gradcheck: f must be finite at the inputs, got {y}")
    if not np.array_equal(y, _value(f, points)):
        raise ValueError("gradcheck: f must be deterministic, got two values for the same inputs; "
                         "make its rng inside f")
    v = rng.standard_normal(y.shape)
    tensors = [Tensor(x, requires_grad=True) for x in points]
    out = f(*tensors)
    if out.requires_grad:
        out.backward(v)
    noise = float(np.abs(v * y).sum())
    for k, (x, tensor) in enumerate(zip(points, tensors)):
        grad = np.zeros_like(x) if tensor.grad is None else tensor.grad
        u = rng.standard_normal(x.shape)
        u /= max(float(np.linalg.norm(u)), 1e-300)
        if not _agree(*_slopes(f, points, k, u, v, grad), x, noise, tol):
            raise AssertionError(_diagnosis(f, points, k, u, v, grad))
    return True


def _value(f, points):
    with no_grad():
        y = f(*[Tensor(x) for x in points])
    if not isinstance(y, Tensor):
        raise TypeError(f"gradcheck: f must return a Tensor, got {type(y).__name__}")
    return y.data


def _step(x):
    return np.finfo(np.float64).eps ** (1 / 3) * max(1.0, float(np.abs(x).max(initial=0)))


def _slopes(f, points, k, u, v, grad):
    """The slope of L along u in argument k, by autograd and by central difference."""
    h = _step(points[k])
    moved = [[*points[:k], points[k] + sign * h * u, *points[k + 1:]] for sign in (1, -1)]
    plus, minus = (_value(f, p) for p in moved)
    return float((grad * u).sum()), float((v * (plus - minus)).sum()) / (2 * h)


def _agree(auto, difference, x, noise, tol):
    rounding = 10 * np.finfo(np.float64).eps * noise / _step(x)
    return abs(auto - difference) <= tol * max(abs(auto), abs(difference)) + rounding


def _diagnosis(f, points, k, u, v, grad):
    """Which argument, which single entry is most wrong, and what each side says there."""
    auto, difference = _slopes(f, points, k, u, v, grad)
    worst, where, values = -1.0, None, None
    for index in list(np.ndindex(points[k].shape))[:1000]:
        e = np.zeros_like(points[k])
        e[index] = 1
        a, d = _slopes(f, points, k, e, v, grad)
        if not abs(a - d) <= worst:    # NaN is the worst of all
            worst, where, values = abs(a - d), index, (a, d)
    return (f"gradcheck: the gradient of argument {k}, shape {points[k].shape}, must match its central "
            f"difference, got {auto:.9g} by autograd and {difference:.9g} by difference along a random "
            f"direction; most wrong at entry {where}: {values[0]:.9g} by autograd, {values[1]:.9g} "
            "by difference")
