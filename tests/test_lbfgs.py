"""The laws of L-BFGS: its estimate of the curvature, and where it ends."""
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from strategies import rngs

from tinyml import Tensor, ops
from tinyml.lbfgs import MEMORY, inverse_hessian, minimize

EPS = np.finfo(float).eps
sizes = st.integers(1, 5)


def positive_definite(rng, n):
    """A symmetric matrix whose eigenvalues are at least 1."""
    A = rng.standard_normal((n, n))
    return A @ A.T + np.eye(n)


def leaves(*arrays):
    return [Tensor(array, requires_grad=True) for array in arrays]


@given(rng=rngs, n=sizes)
def test_the_minimum_of_any_convex_quadratic_is_found(rng, n):
    A, b = positive_definite(rng, n), rng.standard_normal(n)
    x, = params = leaves(rng.standard_normal(n))
    assert minimize(lambda: (x @ A @ x) / 2 - b @ x, params, tolerance=1e-7, max_iter=500) is None
    assert np.linalg.norm(A @ x.data - b) <= 1e-7 * (1 + 1e-6)
    assert np.linalg.norm(x.data - np.linalg.solve(A, b)) <= 1e-7 * (1 + 1e-6)    # the smallest curvature is 1


@given(rng=rngs, n=sizes, extra=st.integers(0, 2))
def test_the_gradient_is_looked_at_max_iter_times_and_no_more(rng, n, extra):
    """Half a squared distance has the identity as its Hessian: the first step ends in the minimum."""
    goal = rng.standard_normal(n)
    x, = params = leaves(goal + rng.uniform(1, 2, n))
    with pytest.raises(RuntimeError, match="max_iter = 1 "):
        minimize(lambda: ((x - goal) ** 2).sum() / 2, params, max_iter=1)
    for looks in (2 + extra, 1):    # the second time it begins in the minimum
        minimize(lambda: ((x - goal) ** 2).sum() / 2, params, max_iter=looks)
    assert_allclose(x.data, goal, atol=1e-6)


@given(rng=rngs, m=sizes, n=sizes)
def test_parameters_of_any_shapes_move_together(rng, m, n):
    """The sum of ln cosh over shifted entries is smooth and has its minimum at the shifts."""
    W, b = leaves(np.zeros((m, n)), np.zeros(n))
    target, shift = rng.uniform(-2, 2, (m, n)), rng.uniform(-2, 2, n)

    def loss():
        away = [ops.exp(d) + ops.exp(-d) for d in (W - target, b - shift)]
        return ops.log(away[0]).sum() + ops.log(away[1]).sum()
    minimize(loss, [W, b], tolerance=1e-6)
    assert_allclose(W.data, target, atol=3e-6)
    assert_allclose(b.data, shift, atol=3e-6)    # tanh d = 1e-6 at the largest


@given(rng=rngs, n=sizes, dtype=st.sampled_from([np.float32, np.float64]))
def test_parameters_keep_their_dtype_and_the_start_is_not_written_to(rng, n, dtype):
    start = rng.standard_normal(n).astype(dtype)
    before = start.copy()
    x, = leaves(start)
    minimize(lambda: ((x - 1) ** 2).sum(), [x], tolerance=1e-3)
    assert x.dtype == dtype
    assert_array_equal(start, before)
    assert_allclose(x.data, 1, atol=1e-3)


@given(rng=rngs, n=sizes, n_pairs=st.integers(1, MEMORY))
def test_the_estimate_of_the_inverse_hessian_is_the_recursion_of_bfgs_and_keeps_the_secant(rng, n, n_pairs):
    A, steps = positive_definite(rng, n), rng.standard_normal((n_pairs, n))
    pairs = [(s, A @ s) for s in steps]
    s, y = pairs[-1]
    H = np.eye(n) * (s @ y) / (y @ y)
    for s, y in pairs:
        left = np.eye(n) - np.outer(s, y) / (s @ y)
        H = left @ H @ left.T + np.outer(s, s) / (s @ y)
    g = rng.standard_normal(n)
    before = g.copy()
    # a few roundings per pair, each of which the products (s y'/s'y) magnify by at most the condition of A
    slack = 1e3 * EPS * np.linalg.cond(A) ** 2 * n_pairs
    assert_allclose(inverse_hessian(g, pairs), H @ g, rtol=slack, atol=slack * np.linalg.norm(g))
    assert_allclose(inverse_hessian(y, pairs), s, rtol=slack, atol=slack * np.linalg.norm(s))
    assert_array_equal(inverse_hessian(g, []), g, "without pairs H is the identity")
    assert_array_equal(g, before)


def test_ill_conditioned_problems_take_far_fewer_steps_than_gradient_descent():
    """Curvatures from 1 to 1e4. The best step of gradient descent leaves a factor 1 - 2e-4 of the entry of
    curvature 1, so 1e-6 takes it ln(1e6) / 2e-4 = 69,000 steps. A fiftieth is the claim."""
    curvature, n_evaluations = np.geomspace(1, 1e4, 20), []
    x, = leaves(np.ones(20))

    def loss():
        n_evaluations.append(1)
        return (curvature * x ** 2).sum() / 2
    minimize(loss, [x], tolerance=1e-6)
    assert len(n_evaluations) < 69_000 / 50


def test_an_unreached_tolerance_is_an_error():
    x, = leaves(np.ones(3))
    with pytest.raises(RuntimeError, match="^minimize: the gradient must come down to tolerance = 1e-06"):
        minimize(lambda: ([1, 10, 100] * x ** 2).sum(), [x], max_iter=2)


def test_a_loss_that_is_not_finite_is_an_error():
    x, = leaves(np.zeros(2))
    for bad in (np.nan, np.inf):
        with pytest.raises(ValueError, match=f"^minimize: loss must be finite, got {bad}"):
            minimize(lambda: (x + bad).sum(), [x])


def test_params_must_be_leaves():
    for params in ([], [np.zeros(2)], [Tensor(np.zeros(2))], [*leaves(np.ones(1)), Tensor(np.zeros(2))]):    # one is enough
        with pytest.raises(ValueError, match="^minimize: params must be one or more tensors"):
            minimize(lambda: Tensor(0.0), params)


def test_a_step_too_far_is_halved_until_the_loss_is_finite_and_falls():
    """The first step, of length 80, leads to e^160, beyond the largest float32."""
    x, = leaves(np.array([80.0], np.float32))
    minimize(lambda: ops.exp(x - 80).sum() * 80 - x.sum(), [x], tolerance=1e-2)
    assert_allclose(x.data, 80 - np.log(80), atol=1e-2)


def test_a_parameter_that_the_loss_does_not_use_is_an_error():
    x, unused = leaves(np.ones(3), np.ones(1))
    with pytest.raises(RuntimeError, match="^minimize: params must be tensors that the loss depends on"):
        minimize(lambda: (x ** 2).sum(), [x, unused])
