"""Compare a gradient with its definition: the slope by autograd and by a central difference."""
import numpy as np

from tinyml.check import check_rng
from tinyml.tensor import Tensor, as_float, no_grad, walk

EPS = np.finfo(np.float64).eps
SINGLY = 64    # inputs of at most so many entries are checked entry by entry


def gradcheck(f, *inputs, rng, tol=1e-6):
    """Check the gradients of f with respect to every input; return True or raise.

    For random weights v of the outputs, and for each argument x_k, compare along directions u

        autograd     <dL/dx_k, u>                                 with  L(x) = <v, f(x)>
        difference   (L(x_k + h u) - L(x_k - h u)) / (2 h)

    in float64. Large numbers must not hide small ones, so v picks outputs of one order of
    magnitude at a time. The direction u is a single entry of x_k; for more than 64 entries it is a
    random direction among those entries that change L by the same order of magnitude.

    The step is h = eps^(1/3), eps = 2.2e-16, times the size of the entry. If the two sides do not
    agree, steps of many sizes are tried. The error of a step is how far its slope is from those of
    the neighbouring steps, plus the rounding of L. The sides may disagree by three times this
    error, at the step of least error or at any step whose error is below 0.1 % of its slope.

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
    AssertionError : a gradient disagrees; names the argument, the entry where it is most wrong,
        both values
    ValueError : f is not deterministic, or is not finite here
    TypeError : f does not return a Tensor, or rng is not a Generator

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
    weights = [part * rng.standard_normal(y.shape) for part in _by_magnitude(y)]
    gradients = [_gradients(f, points, v) for v in weights]
    for k, x in enumerate(points):
        of_x = [gradient[k] for gradient in gradients]    # one for each v
        for u in _directions(x, of_x, rng):
            compared = _compared(f, points, k, u, y, weights, of_x, tol)
            disagree = any(excess > 1 for excess, _, _ in compared)
            if disagree:
                suspects = u if x.size > SINGLY else _sizes(x)
                raise AssertionError(_diagnosis(f, points, k, suspects, y, weights, of_x, tol))
    return True


def _value(f, points):
    with no_grad():
        y = f(*[Tensor(x) for x in points])
    if not isinstance(y, Tensor):
        raise TypeError(f"gradcheck: f must return a Tensor, got {type(y).__name__}")
    return y.data


def _gradients(f, points, v):
    """dL/dx_k for every k, by autograd; no `grad` of another tensor (a model's, say) changes."""
    tensors = [Tensor(x, requires_grad=True) for x in points]
    out = f(*tensors)
    found = dict(walk(out, v)) if out.requires_grad else {}
    return [found.get(tensor, np.zeros_like(tensor.data)) for tensor in tensors]


def _by_magnitude(a):
    """Boolean arrays that divide the entries of a by their order of magnitude, at least one."""
    size = np.abs(a)
    is_positive = size > 0
    order = np.floor(np.log10(np.where(is_positive, size, 1)))
    order = np.where(is_positive, order, np.inf)    # zeros are an order of their own
    parts = [order == k for k in np.unique(order)]
    return parts or [np.ones(a.shape, bool)]


def _sizes(x):
    """|x|, and 1 where x is 0."""
    return np.where(x == 0, 1, np.abs(x))


def _directions(x, gradients, rng):
    """Directions u that together move every entry of x, each in proportion to its size."""
    size = _sizes(x)
    if x.size <= SINGLY:
        for index in np.ndindex(x.shape):
            u = np.zeros_like(x)
            u[index] = size[index]
            yield u
        return
    slope = np.sum(np.abs(gradients), axis=0)
    change = size * np.nan_to_num(slope)
    for part in _by_magnitude(change):
        signs = rng.choice([-1, 1], x.shape)
        lengths = rng.uniform(0.5, 1, x.shape)
        yield part * size * signs * lengths


@np.errstate(all="ignore")
def _compared(f, points, k, u, y, weights, gradients, tol):
    """For every v: disagreement / allowed disagreement, slope by autograd, by difference."""
    moved = _moves(f, points, k, u)
    quick_step = EPS ** (1 / 3)
    found = []
    for v, gradient in zip(weights, gradients):
        auto = float((gradient * u).sum())    # <dL/dx_k, u>
        quick = _slope(v, moved(quick_step), quick_step)
        slopes, errors = np.array([quick]), np.zeros(1)
        larger = max(abs(auto), abs(quick))
        if not abs(auto - quick) <= tol * larger:
            slopes, errors = _ladder(v, y, moved, _steps(u))
        allowed = tol * np.maximum(abs(auto), np.abs(slopes))
        is_zero = np.abs(slopes) <= 3 * errors
        allowed = allowed + 3 * errors + _cancellation(v, u, gradients, is_zero)
        excess = _excess(auto, slopes, errors, allowed)
        best = np.nanargmin(errors)
        sure = errors <= 1e-3 * np.abs(slopes)
        sure[best] = True
        found.append((excess[sure].min(), auto, slopes[best]))
    return found


def _excess(auto, slopes, errors, allowed):
    """|auto - slope| / allowed at every step; infinite where autograd gives NaN."""
    excess = np.abs(auto - slopes) / np.maximum(allowed, 1e-300)
    nan_gradient = np.isnan(excess) & np.isfinite(errors)
    return np.where(nan_gradient, np.inf, excess)


def _cancellation(v, u, gradients, is_zero):
    """Where large slopes cancel, autograd is off by their rounding.

    How large they were is not known if nothing is left: where the difference `is_zero` up to its
    error, slopes as large as the weights are assumed.
    """
    largest = max(np.nansum(np.abs(gradient * u)) for gradient in gradients)
    of_weights = np.abs(v).sum() * np.abs(u).max()
    return 100 * EPS * np.where(is_zero, of_weights, min(of_weights, largest))


def _moves(f, points, k, u):
    """A function of the step h that gives f(x_k + h u) and f(x_k - h u), or NaN if f raises.

    Each is computed once.
    """
    before, x, after = points[:k], points[k], points[k + 1:]
    known = {}

    def moved(h):
        if h not in known:
            try:
                plus = _value(f, [*before, x + h * u, *after])
                minus = _value(f, [*before, x - h * u, *after])
                known[h] = plus, minus
            except ValueError:
                known[h] = np.nan, np.nan
        return known[h]
    return moved


def _steps(u):
    """Steps h down to 1e-6; the first moves by a tenth of an entry, or of 1 if that is more."""
    top = max(0.0, -np.log10(np.abs(u).max()))
    exponents = range(int(top) - 1, -7, -1)
    return [10.0 ** k for k in exponents]


def _slope(v, pair, h):
    """The slope of L = <v, y> by the central difference of a pair of values, f(+h) and f(-h)."""
    plus, minus = pair
    changed = np.where(v == 0, 0, plus - minus)    # an output without weight may be infinite
    rise = float((v * changed).sum())
    return rise / (2 * h)


def _ladder(v, y, moved, steps):
    """The slope at every step, and its error: the distance to its neighbours, and rounding."""
    slopes = np.array([_slope(v, moved(h), h) for h in steps])
    is_finite = np.isfinite(slopes)
    slopes[~is_finite] = np.nan
    apart = np.abs(np.diff(slopes, prepend=np.nan, append=np.nan))
    neighbours = np.fmax(apart[:-1], apart[1:])
    errors = neighbours + _rounding(v, y, slopes, apart, np.array(steps))
    if np.isnan(errors).all():
        raise ValueError("gradcheck: f must be finite near the inputs, got no two steps at which "
                         "it is")
    return slopes, errors


def _rounding(v, y, slopes, apart, steps):
    """How much the rounding of L = <v, y> changes the slope at every step."""
    weights = np.abs(v)
    least = min(1.0, np.abs(y).max(initial=0))    # 0 may be 1 - 1
    size = np.where(y == 0, least, np.abs(y))
    L = (weights * size).sum()
    if_still = np.where(slopes == 0, weights.sum(), 0)    # no change at all: as if L were 1
    rounding = EPS * np.maximum(if_still, L)
    # the smallest steps show how f itself rounds: terms inside of it may have cancelled
    noise = np.fmax.reduce(apart[-4:-1] * steps[-3:], initial=0.0)
    return (rounding + noise) / steps


def _diagnosis(f, points, k, u, y, weights, gradients, tol):
    """The argument, the entry moved by u that is most wrong, and the two slopes there."""
    shape, found = points[k].shape, []
    moved = np.argwhere(u)[:1000]
    for index in map(tuple, moved.tolist()):
        size = abs(u[index])
        one = np.zeros_like(u)
        one[index] = size
        for excess, auto, slope in _compared(f, points, k, one, y, weights, gradients, tol):
            found.append((excess, index, auto / size, slope / size))
    _, index, auto, slope = max(found)
    return (f"gradcheck: the gradient of argument {k}, shape {shape}, must match its central "
            f"difference, got another; most wrong at entry {index}: {auto:.9g} by autograd, "
            f"{slope:.9g} by difference")
