"""The laws of gradcheck: it lets right gradients pass, and says where a wrong one is wrong."""
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import anything, arrays, rngs, shapes

from tinyml import Tensor, functional, gradcheck, ops, primitive

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
@settings(max_examples=15)
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


# ------------------------------------------------------------ no large number hides a small one

@primitive
def doubled_below_0(x):
    """e^x with a vjp that is twice too large where x < 0."""
    return np.exp(x), (lambda g: g * np.exp(x) * np.where(x < 0, 2, 1),)


@given(rngs, st.integers(1, 200), st.sampled_from([doubled_below_0, lambda x: doubled_below_0(x).sum()]))
def test_a_fault_in_the_smallest_entries_is_caught(rng, n, f):
    """One entry at -12 among those up to 12, whose slopes are e^24 times as large; many entries, or few."""
    x = rng.permutation(np.append(rng.uniform(0, 12, n), [-12, 12]))
    with pytest.raises(AssertionError, match="gradcheck: the gradient of argument 0"):
        gradcheck(f, x, rng=rng)


@given(rngs, st.integers(-8, 8))
def test_a_fault_in_the_smallest_output_is_caught(rng, order):
    wrong = product(lambda A, g: 1.01 * A.T @ g)
    f = lambda x: ops.concatenate([1e12 * x, 10.0 ** order * wrong(x)])
    with pytest.raises(AssertionError, match="gradcheck: the gradient of argument 0"):
        gradcheck(f, anything(rng, 3), rng=rng)


SIZES = {    # of the entries of the inputs
    "tiny": lambda rng, n: 1e-8 * anything(rng, n),
    "huge": lambda rng, n: 1e8 * anything(rng, n),
    "one huge": lambda rng, n: np.append(anything(rng, n - 1), 1e8),
    "one zero": lambda rng, n: np.append(anything(rng, n - 1), 0),
    "mixed": lambda rng, n: anything(rng, n) * 10.0 ** rng.integers(-8, 9, n),
}
RIGHT = {    # functions that lose digits, and functions of few digits
    "sum": ops.sum, "squares": lambda x: (x * x).sum(), "variance": ops.var, "cube": lambda x: x ** 3,
    "tanh": ops.tanh, "sigmoid": ops.sigmoid, "softplus": ops.softplus, "gelu": ops.gelu,
    "softmax": ops.softmax, "log_softmax": ops.log_softmax, "logsumexp": ops.logsumexp,
    "length 1": lambda x: functional.normalize(x, axis=0), "far": lambda x: (x + 1e8) - 1e8,
    "log": lambda x: ops.log(ops.abs(x) + 1e-12), "quotient": lambda x: x / (1 + x * x),
    "power": lambda x: (1e-12 + x * x) ** -0.7, "matrix": lambda x: ops.reshape(x, shape=(2, -1)) @ np.ones((3, 2)),
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", RIGHT)
@settings(max_examples=3)
@given(rng=rngs)
def test_right_gradients_pass_at_any_size(name, size, rng):
    assert gradcheck(RIGHT[name], SIZES[size](rng, 6), rng=rng) is True


@pytest.mark.parametrize("size", SIZES)
def test_many_entries_of_any_size(size):
    rng = RNG(3)
    x = SIZES[size](rng, 1000)
    assert gradcheck(lambda x: x / (1 + x * x), x, rng=rng) is True
    wrong = primitive(lambda x: (x / (1 + x * x), (lambda g: g * (1 - x * x) / (1 + x * x) ** 2
                                                   * np.where(np.arange(1000) == 17, 1.5, 1),)))
    with pytest.raises(AssertionError, match=re.escape("most wrong at entry (17,)")):
        gradcheck(wrong, x, rng=rng)


def test_a_function_that_ends_nearby_is_checked_as_far_as_it_goes():
    """Steps that leave the domain do not count: ValueErrors, and NaN without a warning."""
    def f(p):
        if (p.data < 0).any():
            raise ValueError("p must be >= 0")
        return p.log() * p
    assert gradcheck(f, [1e-9, 0.5, 1e3], rng=RNG(0)) is True
    assert gradcheck(lambda p: p.sqrt(), [1e-9, 0.5, 1e3], rng=RNG(0)) is True
    wrong = primitive(lambda p: (np.sqrt(p), (lambda g: g / np.sqrt(p),)))
    with np.errstate(invalid="ignore"), pytest.raises(AssertionError, match="most wrong at entry"):
        gradcheck(wrong, [1e-9, 0.5, 1e3], rng=RNG(0))


@given(rngs, st.integers(-6, 4))
def test_steps_are_at_most_a_tenth_of_an_entry_or_of_1_and_at_least_a_millionth_of_it(rng, order):
    x, seen = rng.uniform(1, 10) * 10.0 ** order, []
    wrong = primitive(lambda x: (seen.append(float(x)) or x * x, (lambda g: 3 * g * x,)))
    with pytest.raises(AssertionError):
        gradcheck(wrong, x, rng=rng)
    moves = [abs(s - x) for s in seen if s != x]
    assert 0.01 <= max(moves) / max(x, 1) <= 0.1 + 1e-12
    assert abs(min(moves) / (1e-6 * x) - 1) < 1e-9


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


def test_gradients_of_other_tensors_stay():
    """Those of a model inside f, which f only closes over."""
    weight = Tensor(RNG(0).standard_normal((2, 2)), requires_grad=True)
    weight.grad = np.ones((2, 2))
    assert gradcheck(lambda x: (x @ weight).tanh(), RNG(1).standard_normal((3, 2)), rng=RNG(2))
    np.testing.assert_array_equal(weight.grad, np.ones((2, 2)))


@given(rng=rngs)
def test_where_f_does_not_change_a_gradient_may_be_off_by_rounding_alone(rng):
    def still(off):
        return primitive(lambda x: (1 + 0 * x, (lambda g: off * g,)))
    x = rng.standard_normal(4)
    assert gradcheck(still(1e-14), x, rng=rng)    # what is left where slopes of size 1 cancel
    with pytest.raises(AssertionError):
        gradcheck(still(1e-12), x, rng=rng)
