"""The laws of gradcheck: it lets right gradients pass, and says where a wrong one is wrong."""
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategies import anything, arrays, rngs, shapes
from tinyml import Tensor, gradcheck, primitive

RNG = np.random.default_rng


def product(vjp):
    """The primitive x -> A x for a fixed A, with a vjp of one's choice, (A, g) -> gradient."""
    A = RNG(7).uniform(0.5, 1, (3, 3)) * [[1, -2, 3], [-4, 5, -6], [7, -8, 9]]

    @primitive
    def product(x):
        return A @ x, (lambda g: vjp(A, g),)
    return product


WRONG = {
    "sign": lambda A, g: -A.T @ g,
    "factor": lambda A, g: 1.01 * A.T @ g,
    "transposed": lambda A, g: A @ g,
    "missing term": lambda A, g: (A * (A < 9 / 2)).T @ g,
    "other entry": lambda A, g: np.roll(A.T @ g, 1),
    "nothing": lambda A, g: 0 * g,
    "not finite": lambda A, g: np.nan * g,
}


@given(arrays(shape=st.just((3,))), rngs)
def test_a_right_gradient_passes(x, rng):
    assert gradcheck(product(lambda A, g: A.T @ g), x, rng=rng) is True


@pytest.mark.parametrize("vjp", WRONG.values(), ids=WRONG)
@given(x=arrays(shape=st.just((3,))), rng=rngs)
def test_a_wrong_gradient_is_named(vjp, x, rng):
    wrong = product(vjp)
    message = (r"gradcheck: the gradient of argument 1, shape \(3,\), must match its central "
               r"difference, .* most wrong at entry \(\d,\): .* by autograd, .* by difference")
    with pytest.raises(AssertionError, match=message):
        gradcheck(lambda y, x: y + wrong(x), [1.0, 2.0, 3.0], x, rng=rng)


@given(arrays(anything, shapes(1).filter(lambda shape: 0 not in shape)), rngs)
def test_the_entry_that_is_wrong_is_named(x, rng):
    entry = tuple(int(i) for i in rng.integers(x.shape))

    @primitive
    def exp(x):
        def d_x(g):
            d = g * np.exp(x)
            d[entry] *= -1
            return d
        return np.exp(x), (d_x,)
    with pytest.raises(AssertionError, match=re.escape(f"most wrong at entry {entry}: ")) as caught:
        gradcheck(exp, x, rng=rng)
    *_, auto, difference = re.findall(r"(\S+) by", str(caught.value))
    assert float(auto) == pytest.approx(-float(difference), rel=1e-6)


def test_tol_is_the_relative_error_allowed():
    off_by = lambda error: product(lambda A, g: (1 + error) * A.T @ g)
    assert gradcheck(off_by(5e-7), np.ones(3), rng=RNG(0))
    assert gradcheck(off_by(5e-4), np.ones(3), rng=RNG(0), tol=1e-3)
    for error, tol in [(2e-6, 1e-6), (2e-3, 1e-3)]:
        with pytest.raises(AssertionError):
            gradcheck(off_by(error), np.ones(3), rng=RNG(0), tol=tol)


@given(arrays(), rngs)
def test_float32_is_checked_in_float64_and_nothing_is_changed(data, rng):
    x = Tensor(data.astype(np.float32), requires_grad=True)
    before, seen = x.data.copy(), set()

    def f(x):
        seen.add(x.dtype)
        return x.tanh()
    assert gradcheck(f, x, rng=rng)
    assert seen == {np.dtype(np.float64)}
    assert x.grad is None and x.dtype == np.float32
    np.testing.assert_array_equal(x.data, before)


def test_a_function_that_uses_no_argument_has_gradient_0():
    assert gradcheck(lambda x: Tensor([1.0]), [2.0], rng=RNG(0))
    assert gradcheck(lambda x, y: 2 * x, [2.0], [3.0], rng=RNG(0))
    with pytest.raises(AssertionError, match="argument 0"):
        gradcheck(lambda x: x.detach() * 2, [2.0], rng=RNG(0))


@pytest.mark.parametrize("f, error, message", [
    (lambda x: x * RNG().random(), ValueError, "gradcheck: f must be deterministic"),
    (lambda x: x.data, TypeError, "gradcheck: f must return a Tensor, got ndarray"),
    (lambda x: x * np.inf, ValueError, "gradcheck: f must be finite at the inputs, got [inf inf]"),
])
def test_functions_that_cannot_be_checked(f, error, message):
    with pytest.raises(error, match=re.escape(message)):
        gradcheck(f, [1.0, 2.0], rng=RNG(0))


def test_inputs_are_real_numbers():
    with pytest.raises(TypeError, match="gradcheck: data must hold real numbers, got str"):
        gradcheck(lambda x: x, "text", rng=RNG(0))


def test_rng_is_required():
    with pytest.raises(TypeError, match="rng"):
        gradcheck(lambda x: x, [1.0])
    with pytest.raises(TypeError, match="gradcheck: rng must be a numpy.random.Generator, got 0"):
        gradcheck(lambda x: x, [1.0], rng=0)
