"""The engine: derivatives, broadcasting, the walk back."""
from tinyml.exercises.exercise import Chapter, Exercise, Mistake

OPS = "tinyml.ops.elementwise"


def _op_tests(name, *more):
    """The laws of a primitive: its row of the table in test_ops."""
    laws = ("test_value_is_that_of_numpy", "test_gradient_is_the_slope_in_a_random_direction",
            "test_float32_stays_float32_whatever_the_constants", "test_nothing_is_written_to",
            "test_vjp_is_linear_in_g", *more)
    return tuple(f"test_ops.py::{law}[{name}]" for law in laws)


CHAPTER = Chapter("engine", "The engine: how a gradient is computed", (
    Exercise(
        name="tanh", target=f"{OPS}:tanh", level=1, minutes=5,
        task="Give tanh(x) and its vjp: from the gradient g of the result to that of x",
        tests=_op_tests("tanh"),
        hints=("The function returns two things: the value y, and a tuple with one function of g.",
               "tanh'(x) = 1 - tanh(x)^2, so the gradient of x is g (1 - y^2), entry by entry.",
               "y = np.tanh(x), then return y, (lambda g: g * ...,) - mind the comma: a tuple of one."),
        mistakes=(
            Mistake("g * (1 - y * y)", "1 - y * y", "The vjp is the slope times g, and your g is missing."),
            Mistake("(1 - y * y)", "(1 - x * x)",
                    "The slope is 1 - y^2 with y = tanh(x) the value, not 1 - x^2 with the input."),
            Mistake("(1 - y * y)", "(1 - y)", "The slope is 1 - y^2: y is to be squared."),
            Mistake("(1 - y * y)", "(1 + y * y)", "The sign: tanh flattens out, its slope is 1 - y^2."))),
))
