"""Laws of random Fourier features, of their kernel, and of the nested minimum-norm fits."""
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import rngs

from tinyml.interpolation.min_norm import min_norm
from tinyml.interpolation.random_features import (
    Curves,
    fourier_features,
    fourier_sweep,
    gaussian_kernel,
    median_distance,
    nested_min_norm,
    sample_waves,
)

EPS = np.finfo(float).eps
bandwidths = st.floats(0.2, 5)


def features(X, *, n_features, bandwidth, rng):
    waves = sample_waves(len(X[0]), n_features=n_features, bandwidth=bandwidth, rng=rng)
    return fourier_features(X, *waves)


# ------------------------------------------------------------ features and their kernel

def kernel_and_variance(x, z, bandwidth):
    """Mean and variance of 2 cos(v.x + b) cos(v.z + b), for v ~ N(0, I / bandwidth^2), b uniform.

    It is cos(v.(x - z)) + cos(v.(x + z) + 2b). The two are uncorrelated, the second has variance
    1/2, and the first mean k(x, z), mean square (1 + k(2x, 2z)) / 2.
    """
    k = lambda scale: np.exp(-np.sum((scale * (x - z) / bandwidth) ** 2) / 2)
    return k(1), 1 + k(2) / 2 - k(1) ** 2


@given(rng=rngs, d=st.integers(1, 5), bandwidth=bandwidths, same=st.booleans())
def test_products_of_features_estimate_the_kernel(rng, d, bandwidth, same):
    x, z = rng.uniform(-1, 1, (2, d))
    z = x if same else z
    N = 4000
    phi = features([x, z], n_features=N, bandwidth=bandwidth, rng=rng)
    k, variance = kernel_and_variance(x, z, bandwidth)
    assert abs(phi[0] @ phi[1] - k) <= 6 * np.sqrt(variance / N)    # once in 1e9



@given(rngs, st.integers(2, 8), st.integers(1, 4), st.floats(0.1, 10))
def test_the_median_distance_is_that_of_all_pairs(rng, n, d, unit):
    X = rng.standard_normal((n, d))
    pairs = [np.sqrt(np.sum((X[i] - X[j]) ** 2)) for i in range(n) for j in range(i)]
    assert np.isclose(median_distance(X), np.median(pairs), rtol=1e-12)
    moved = unit * np.linalg.qr(rng.standard_normal((d, d)))[0]    # turned, scaled, shifted, shuffled
    assert np.isclose(median_distance(rng.permutation(X) @ moved + 1), unit * median_distance(X), rtol=1e-9)


@given(rng=rngs, shape=st.tuples(st.integers(0, 4), st.integers(0, 3), st.integers(1, 5)))
def test_every_feature_is_its_formula(rng, shape):
    """A product of d terms rounds by d eps of them, and so do the argument of cos and its value."""
    n, d, N = shape
    X, V, b = rng.standard_normal((n, d)), rng.standard_normal((d, N)), rng.uniform(0, 2 * np.pi, N)
    kept = X.copy(), V.copy(), b.copy()
    expected = [[np.sqrt(2 / N) * np.cos(V[:, k] @ x + b[k]) for k in range(N)] for x in X]
    phi = fourier_features(X, V, b)
    assert phi.shape == (n, N) and all(map(np.array_equal, (X, V, b), kept))
    assert np.allclose(phi, np.reshape(expected, (n, N)), rtol=0, atol=1e-13)


def test_the_error_falls_like_one_over_the_root_of_N():
    rng, x, z = np.random.default_rng(0), np.array([0.3, -0.2]), np.array([0.5, 0.9])
    k, variance = kernel_and_variance(x, z, 0.8)
    for N in (1, 10, 100, 1000):
        products = [np.prod(features([x, z], n_features=N, bandwidth=0.8, rng=rng), axis=0).sum()
                    for _ in range(1000)]
        # The mean square of 1000 errors has itself a relative spread of sqrt(2 / 1000), or less:
        # the summands are bounded by 2, their fourth moments below those of a normal variable.
        error = np.mean(np.square(np.array(products) - k))
        assert error == pytest.approx(variance / N, rel=5 * 0.045)


@given(rng=rngs, n=st.integers(0, 4), d=st.integers(1, 3), P=st.integers(1, 6), data=st.data())
def test_the_first_waves_of_a_draw_are_a_model_of_their_own(rng, n, d, P, data):
    N = data.draw(st.integers(1, P))
    frequencies, phases = sample_waves(d, n_features=P, bandwidth=1, rng=rng)
    X = rng.standard_normal((n, d))
    part, whole = (fourier_features(X, frequencies[:, :q], phases[:q]) for q in (N, P))
    assert part.shape == (n, N)
    assert np.allclose(part, whole[:, :N] * np.sqrt(P / N), rtol=1e-13, atol=1e-15)
    assert np.all(np.abs(part) <= np.sqrt(2 / N) * (1 + EPS))


def test_waves_have_the_distribution_that_is_promised():
    n = 40_000
    frequencies, phases = sample_waves(2, n_features=n, bandwidth=0.5, rng=np.random.default_rng(0))
    assert np.allclose(np.cov(frequencies), 4 * np.eye(2), atol=5 * 4 * np.sqrt(2 / n))
    assert np.all((0 <= phases) & (phases < 2 * np.pi))
    histogram = np.histogram(phases, 20, (0, 2 * np.pi))[0]
    assert np.all(np.abs(histogram - n / 20) <= 5 * np.sqrt(n / 20))


@given(rng=rngs, shape=st.tuples(*[st.integers(0, 5)] * 3), bandwidth=bandwidths)
def test_the_kernel_is_its_formula(rng, shape, bandwidth):
    n, m, d = shape
    X, Z = rng.standard_normal((n, d)), rng.standard_normal((m, d))
    expected = [[kernel_and_variance(x, z, bandwidth)[0] for z in Z] for x in X]
    K = gaussian_kernel(X, Z, bandwidth=bandwidth)
    assert K.shape == (n, m)
    assert np.allclose(K, np.reshape(expected, (n, m)), rtol=1e-10, atol=1e-12)


@given(rng=rngs, n=st.integers(1, 6), d=st.integers(1, 3), bandwidth=bandwidths,
       far=st.floats(-1e6, 1e6))
def test_the_kernel_is_positive_symmetric_and_blind_to_shifts(rng, n, d, bandwidth, far):
    X = rng.standard_normal((n, d))
    K = gaussian_kernel(X, X, bandwidth=bandwidth)
    assert np.array_equal(K, K.T) and np.allclose(np.diag(K), 1, atol=1e-12)
    assert 0 <= K.min() and K.max() <= 1    # rounding must not make a squared distance negative
    assert np.linalg.eigvalsh(K).min() >= -1e-12
    # Moving X rounds it to eps * far, and a change h of x - z changes k by h / bandwidth at most.
    moved = gaussian_kernel(X + far, X + far, bandwidth=bandwidth)
    assert np.allclose(moved, K, atol=1e-12 + 10 * d * EPS * abs(far) / bandwidth)


@given(rng=rngs, far=st.sampled_from([0, 1e3, -1e5, 1e7]), dtype=st.sampled_from([np.float32, np.float64]))
def test_the_kernel_keeps_its_digits_far_from_the_origin(rng, far, dtype):
    """x - z is exact for neighbours, wherever they are; then k = e^-s is off by eps s e^-s, less than eps."""
    X = np.append(rng.standard_normal((5, 2)) + far, rng.standard_normal((5, 2)), axis=0).astype(dtype)
    wide = X.astype(np.longdouble)
    exact = np.exp(-((wide[:, None] - wide) ** 2).sum(axis=2) / 2)
    np.testing.assert_allclose(gaussian_kernel(X, X, bandwidth=1), exact, rtol=0, atol=8 * np.finfo(dtype).eps)


# ------------------------------------------------------------ nested minimum-norm fits

@st.composite
def designs(draw, max_side=7):
    """X of any rank, 0 included, and increasing sizes; of whole numbers, so ranks are exact."""
    n, P = draw(st.integers(1, max_side)), draw(st.integers(1, max_side))
    rank, rng = draw(st.integers(0, min(n, P))), draw(rngs)
    X = rng.integers(-3, 4, (n, rank)) @ rng.integers(-3, 4, (rank, P))
    sizes = sorted(draw(st.sets(st.integers(1, P), min_size=1)))
    return X.astype(float), sizes, rng


def rounding(X, y):
    """A bound on the rounding of X^+ y: eps, times kappa ||y|| / s_min (Wedin 1973), times 10 n p.

    ||X^+ y|| and ||X^+|| ||residual|| are both at most ||y|| / s_min. Whole numbers this small have
    singular values of zero, or far above 1e-9.
    """
    s = np.linalg.svd(X, compute_uv=False)
    s = s[s > 1e-9 * s.max()] if s.any() else np.ones(1)
    return 10 * X.size * EPS * s.max() / s.min() * np.linalg.norm(y) * max(1, 1 / s.min())


@given(designs(), st.sampled_from([(), (1,), (3,), (0,)]))
def test_nested_fits_are_the_fits_one_by_one(design, k):
    X, sizes, rng = design
    y = rng.standard_normal((len(X), *k))
    fits = list(nested_min_norm(X, y, sizes))
    assert [beta.shape for beta in fits] == [(p, *k) for p in sizes]
    for p, beta in zip(sizes, fits):
        error = np.linalg.norm(beta - np.linalg.pinv(X[:, :p], rcond=1e-9) @ y)
        assert error <= rounding(X[:, :p], y)


@settings(max_examples=20)
@given(rng=rngs, n=st.integers(2, 30), exponent=st.floats(0, 7))
def test_nested_fits_are_as_exact_as_the_svd_allows(rng, n, exponent):
    """Designs with a condition number up to 1e7: its square alone would leave two digits."""
    U, _ = np.linalg.qr(rng.standard_normal((n, n)))
    V, _ = np.linalg.qr(rng.standard_normal((2 * n, n)))
    X = U * 10 ** np.linspace(0, -exponent, n) @ V.T
    y = rng.standard_normal(n)
    beta, = nested_min_norm(X, y, [2 * n])
    exact = V / 10 ** np.linspace(0, -exponent, n) @ (U.T @ y)
    # X itself is rounded, and so is the answer: eps times the condition number, times 10 n p.
    bound = 10 * X.size * EPS * 10 ** exponent
    assert np.linalg.norm(beta - exact) <= bound * np.linalg.norm(exact)


def test_the_svd_is_the_exception(monkeypatch):
    monkeypatch.delattr("tinyml.interpolation.random_features.min_norm")
    X = np.random.default_rng(0).standard_normal((20, 60))
    assert len(list(nested_min_norm(X, X[:, 0], range(1, 61)))) == 60


@given(designs())
def test_more_columns_fit_better_and_once_they_fit_with_shorter_coefficients(design):
    X, _, rng = design
    y = X @ rng.standard_normal(X.shape[1])    # can be fitted, by the whole of X at least
    sizes = range(1, X.shape[1] + 1)
    fits = list(nested_min_norm(X, y, sizes))
    residual = np.array([np.linalg.norm(X[:, :p] @ beta - y) for p, beta in zip(sizes, fits)])
    norm = np.array([np.linalg.norm(beta) for beta in fits])
    tolerance = np.array([rounding(X[:, :p], y) for p in sizes]) * (1 + np.abs(X).sum())
    assert np.all(np.diff(residual) <= tolerance[1:] + tolerance[:-1])
    fitted = residual <= tolerance
    assert fitted[-1]
    assert np.all(np.diff(norm)[fitted[:-1]] <= (tolerance[1:] + tolerance[:-1])[fitted[:-1]])


EDGES = {
    "no samples": (np.zeros((0, 3)), [], [1, 3], [[0], [0, 0, 0]]),
    "one sample": ([[3, 4]], [25], [1, 2], [[25 / 3], [3, 4]]),
    "a zero column": ([[0, 2], [0, 0]], [4, 1], [1, 2], [[0], [0, 2]]),
    "a zero design": (np.zeros((2, 3)), [1, 2], [2, 3], [[0, 0], [0, 0, 0]]),
    "a repeated sample": ([[1, 0, 1], [1, 0, 1]], [1, 3], [2, 3], [[2, 0], [1, 0, 1]]),
    "constant": (np.ones((3, 4)), [1, 2, 3], [1, 3, 4], [[2], [2 / 3] * 3, [0.5] * 4]),
}


@pytest.mark.parametrize("X, y, sizes, expected", EDGES.values(), ids=EDGES)
def test_designs_at_the_edge(X, y, sizes, expected):
    for beta, answer in zip(nested_min_norm(X, y, sizes), expected, strict=True):
        assert beta.shape == np.shape(answer) and np.allclose(beta, answer, rtol=1e-12, atol=1e-15)


def test_dtype_and_inputs_are_kept():
    for dtype in (np.float32, np.float64):
        X, y = np.eye(2, 3, dtype=dtype) + 1, np.ones(2, dtype)
        kept = X.copy(), y.copy()
        assert {beta.dtype for beta in nested_min_norm(X, y, [1, 2, 3])} == {np.dtype(dtype)}
        assert fourier_features(X, np.ones((3, 2), dtype), np.ones(2, dtype)).dtype == dtype
        assert gaussian_kernel(X, X, bandwidth=np.float64(1)).dtype == dtype
        assert np.array_equal(kept[0], X) and np.array_equal(kept[1], y)


# ------------------------------------------------------------ the sweep

def problem(rng, n=12, n_test=7, d=3, k=2):
    return [rng.standard_normal(shape) for shape in ((n, d), (n, k), (n_test, d), (n_test, k))]


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32 - 1), bandwidth=st.floats(0.5, 2),
       sizes=st.sets(st.integers(1, 40), min_size=1))
def test_the_sweep_measures_every_width_as_if_it_were_alone(seed, bandwidth, sizes):
    X, Y, X_test, Y_test = problem(np.random.default_rng(seed))
    sizes = sorted(sizes)
    curves = fourier_sweep(X, Y, X_test, Y_test, sizes, bandwidth=bandwidth,
                           rng=np.random.default_rng(seed))
    frequencies, phases = sample_waves(3, n_features=sizes[-1], bandwidth=bandwidth,
                                       rng=np.random.default_rng(seed))
    for i, N in enumerate(sizes):
        phi, phi_test = (fourier_features(x, frequencies[:, :N], phases[:N]) for x in (X, X_test))
        beta = min_norm(phi, Y)
        output = phi_test @ beta
        alone = Curves(test_error=np.mean(output.argmax(1) != Y_test.argmax(1)),
                       test_loss=((output - Y_test) ** 2).sum() / 7,
                       train_loss=((phi @ beta - Y) ** 2).sum() / 12,
                       norm=np.sqrt((beta ** 2).sum()))
        tolerance = 1e-12 * np.linalg.cond(phi)    # both fits: some thousand eps times cond
        for name, value in alone._asdict().items():
            close = pytest.approx(value, rel=tolerance, abs=tolerance ** 2)
            assert getattr(curves, name)[i] == close, name


def test_the_training_loss_is_zero_from_n_features_on_and_not_before():
    rng = np.random.default_rng(0)
    for _ in range(10):
        curves = fourier_sweep(*problem(rng), range(8, 30), bandwidth=1, rng=rng)
        assert np.all(curves.train_loss[:4] > 1e-6) and np.all(curves.train_loss[4:] < 1e-18)


def test_the_limit_of_infinite_width_is_interpolation_with_the_kernel():
    """The distance to it falls like 1 / sqrt(N): a width 16 times larger halves it twice."""
    rng = np.random.default_rng(0)
    X, y = np.array([[0, 0], [1, 0.5], [-1, 1], [0.5, -1.5]]), np.array([1.0, -2, 0.5, 3])
    X_test = rng.uniform(-1.5, 1.5, (20, 2))
    alpha = np.linalg.solve(gaussian_kernel(X, X, bandwidth=0.7), y)
    limit, length = gaussian_kernel(X_test, X, bandwidth=0.7) @ alpha, np.sqrt(y @ alpha)

    def errors(N):
        waves = sample_waves(2, n_features=N, bandwidth=0.7, rng=rng)
        beta = min_norm(fourier_features(X, *waves), y)
        return [*(fourier_features(X_test, *waves) @ beta - limit), np.linalg.norm(beta) - length]

    narrow, wide = (np.mean(np.square([errors(N) for _ in range(300)]), axis=0)
                    for N in (300, 4800))
    assert np.sqrt(wide).max() < 0.1 * length
    # Mean squares of 300 draws have a spread of 8 %, their ratio of 12 %; at N = 300 the second
    # order, a share of about 1 / sqrt(300), is not yet nothing.
    assert np.all((narrow / wide > 8) & (narrow / wide < 32))


def test_the_sweep_computes_in_double_precision_whatever_the_data():
    data = [a.astype(np.float32) for a in problem(np.random.default_rng(1))]
    single, double = (fourier_sweep(*arrays, [5, 12, 20], bandwidth=1, rng=np.random.default_rng(0))
                      for arrays in (data, [a.astype(float) for a in data]))
    assert np.array_equal(single, double)


# ------------------------------------------------------------ edges

def test_the_smallest_sweep_is_one_image_one_wave():
    rng = np.random.default_rng(0)
    curves = fourier_sweep([[1]], [[2]], [[1]], [[2]], [1], bandwidth=1, rng=rng)
    assert curves.test_loss == pytest.approx(0, abs=1e-24)
    assert np.isnan(curves.test_error), "one output names no class"


def test_waves_of_one_length_for_all_images_leave_the_fit_to_the_svd():
    """A huge bandwidth makes every feature a constant: the best constant fit, no garbage."""
    rng = np.random.default_rng(0)
    X, Y, X_test, Y_test = problem(rng)
    curves = fourier_sweep(X, Y, X_test, Y_test, [1, 12, 30], bandwidth=1e30, rng=rng)
    assert np.allclose(curves.test_loss, ((Y.mean(axis=0) - Y_test) ** 2).sum(axis=1).mean())
    assert np.allclose(curves.train_loss, Y.var(axis=0).sum())
