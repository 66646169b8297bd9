"""Early stopping and ridge: two ways to shrink the minimum-norm fit, almost the same result.

Problem: with as many features as samples, p = n, the minimum-norm fit X^+ y is useless, because
it divides by singular values close to 0. One can penalise large coefficients (ridge, with a
penalty lam), or stop gradient descent early, after t steps of learning rate lr. How much do the
two differ?

Idea: both multiply the coordinates of X^+ y by a filter f: beta = V diag(f / s) U'y, with
X = U diag(s) V'. Choose the penalty n lam = 1 / (lr t), and let u = lr t s^2. Then

    ridge                        f_ridge   = s^2 / (s^2 + n lam)  =  u / (1 + u)
    descent stopped at step t    f_descent = 1 - (1 - lr s^2)^t   =  1 - (1 - u/t)^t

For large t, f_descent is close to 1 - exp(-u). Both filters keep directions with large s and
shrink those with small s. If lr <= 1 / s_max^2, every u is at most t, and

    1 - f_descent <= 1 - f_ridge        bias:      descent has no more than ridge
    f_descent <= C_t f_ridge            variance:  descent has at most C_t^2 times that of ridge

where C_t is the largest ratio f_descent / f_ridge for u <= t (`risk_ratio_bound`). So the risk of
descent is at most C_t^2 times that of ridge, for every X and every beta. As t grows, C_t tends to
1.2984... and C_t^2 to 1.6859...

The penalty of ridge can be chosen by leave-one-out (`ridge`). Then stop
`min_norm.gradient_descent`, started at zero, at step t = 1 / (n lr lam).

Sources: Ali, Kolter and Tibshirani 2019, A continuous-time view of early stopping for least
squares regression; MATH5836 week 10, section 10.1.2.
"""
import numpy as np

from tinyml.contract import checked
from tinyml.interpolation.min_norm import svd


@checked
def matching_lam(
    t: "array_like, any shape, > 0; steps; t = 0 would be an infinite penalty",
    *,
    lr: "float > 0",
    n_samples: "int >= 1",
):
    """The penalty of the ridge fit that matches descent stopped at step t: lam = 1 / (n lr t).

    The two filters then agree to first order in s^2 (Ali, Kolter and Tibshirani 2019; their loss
    has a factor 1/n, so their time variable equals our n lr t).
    """
    return 1 / (n_samples * lr * t)


@checked
def degrees_of_freedom(
    f: "array_like, shape (..., rank); from `ridge_filter` or `descent_filter`",
):
    """The number of parameters that a filtered fit effectively uses: sum f.

    It is the trace of H = U diag(f) U', which turns y into the fitted values H y. It is p for
    least squares (f = 1) with p <= n independent columns, and falls to 0 as the filter does.
    """
    return f.sum(axis=-1)


@checked
def filter_risk(
    X: "array_like, shape (n, p)",
    beta: "array_like, shape (p,); the truth",
    f: "array_like, shape (..., rank); with one entry for each s in `svd(X)`",
    *,
    sigma2: "float >= 0; variance of the noise",
) -> "ndarray, shape (...), or float":
    """The excess risk of a filtered fit, given X: E ||V diag(f / s) U'y - beta||^2.

        bias^2   = sum_i (1 - f_i)^2 (v_i'beta)^2 + ||(I - V V') beta||^2
        variance = sigma2 sum_i (f_i / s_i)^2

    v_i is column i of V. The model is y = X beta + eps with independent eps_i of variance sigma2.
    The risk is the squared error on new x ~ N(0, I), without the noise of their y.
    """
    _, s, Vh = svd(X)
    if f.shape[-1] != len(s):
        raise ValueError(f"filter_risk: f must have {len(s)} entries here, got {f.shape[-1]}")
    seen = Vh @ beta               # v_i'beta, (rank,)
    unseen = beta - Vh.T @ seen    # (I - V V') beta, (p,)
    shrunk = np.sum((1 - f) ** 2 * seen ** 2, axis=-1)
    bias2 = shrunk + np.sum(unseen ** 2)
    variance = sigma2 * np.sum((f / s) ** 2, axis=-1)
    return bias2 + variance


@checked
def risk_ratio_bound(
    t: "float >= 1, or inf; inf for gradient flow, descent in infinitely small steps",
):
    """An upper bound on risk(descent at step t) / risk(matching ridge): C_t^2.

        C_t = max over 0 < u <= t of f_descent / f_ridge,     u = lr t s^2

    The bound holds for every X, beta and noise, if lr <= 1 / s_max^2. The variance of descent is
    at most C_t^2 times that of ridge. The bias of descent is no larger than that of ridge, because
    (1 - u/t)^t <= 1 / (1 + u). C_1^2 is 4; as t grows, C_t^2 falls to 1.6859... (Ali, Kolter and
    Tibshirani 2019 prove 1.6862.) No smaller bound holds for all: if beta = 0, and lr t s^2 is the
    maximising u for every s, the ratio is C_t^2.

    >>> [round(risk_ratio_bound(t), 4) for t in (1, 2, 100, np.inf)]
    [4.0, 2.4414, 1.6968, 1.6859]
    """
    u, f_descent, f_ridge = _matching_filters(t)
    C = np.max(f_descent / f_ridge)
    return float(C ** 2)


@checked
def tuned_risk_ratio_bound(t: "as in `risk_ratio_bound`"):
    """A smaller bound, on the ratio of the mean risks, for a random beta and the best penalty.

        max over 0 < u <= t of risk(f_descent) / risk(f_ridge),     risk(f) = (1 - f)^2 + f^2 / u

    Let the coefficients of beta be independent, with mean 0 and variance v. Then the best penalty
    is n lam = sigma2 / v (`double_descent.optimal_lam`), and descent matches it if
    lr t = v / sigma2, that is u = s^2 v / sigma2. A direction with filter f has the risk
    v * risk(f), and no filter has a smaller risk than that of ridge. For t = 1 the bound is 2; as
    t grows, it falls to 1.2146... (Ali, Kolter and Tibshirani 2019 give 1.2147, rounded up).
    """
    u, f_descent, f_ridge = _matching_filters(t)
    risk_descent = (1 - f_descent) ** 2 + f_descent ** 2 / u
    risk_ridge = (1 - f_ridge) ** 2 + f_ridge ** 2 / u
    return float(np.max(risk_descent / risk_ridge))


def _matching_filters(t):
    """u = lr t s^2 on a fine grid, and the filters of descent and of the matching ridge there.

    The grid ends at u = 8: beyond it the ratios in both bounds are below 1.1251, and their maxima
    are at least 1.298 and 1.214. The bounds have eight correct digits for t up to 10^7; for
    larger finite t, 1 - u / t loses digits.
    """
    u = np.linspace(0, min(t, 8), 80_001)[1:]
    missing = np.exp(-u) if t == np.inf else (1 - u / t) ** t
    f_descent = 1 - missing
    f_ridge = u / (1 + u)
    return u, f_descent, f_ridge
