"""Learning-rate schedules: functions of the step t, and `LambdaLR`, which applies one."""
import math

import numpy as np

from tinyml.check import check_count, check_number
from tinyml.optimizer import Optimizer


class LambdaLR:
    """A rate that follows a function: after t calls of `step`, lr = initial lr x lr_lambda(t).

    Each group of the optimizer has an initial rate of its own: the one it was made with, or was
    given as `optimizer.lr` since. So a second schedule starts where the first one started.

    Schedules are functions of t, so they combine by multiplication:

    >>> from tinyml import Tensor, optim
    >>> p = Tensor([0.0], requires_grad=True)
    >>> sgd = optim.SGD([p], lr=0.1)
    >>> schedule = LambdaLR(sgd, lambda t: linear_warmup(t, 5) * cosine_decay(t, 100))

    Parameters
    ----------
    optimizer : Optimizer
    lr_lambda : function of an int t >= 0 to a factor, a finite number >= 0
    """

    def __init__(self, optimizer, lr_lambda):
        if not isinstance(optimizer, Optimizer) or not callable(lr_lambda):
            raise TypeError("LambdaLR: arguments must be an Optimizer and a function of t, got "
                            f"{type(optimizer).__name__} and {type(lr_lambda).__name__}")
        self.optimizer, self.lr_lambda, self.t = optimizer, lr_lambda, 0
        self._set_rates()

    def step(self):
        """Count one more step (or epoch, whichever unit the schedule counts) and set the rates."""
        self.t += 1
        self._set_rates()

    def _set_rates(self):
        factor = self.lr_lambda(self.t)
        factor = check_number("LambdaLR", f"lr_lambda({self.t})", factor, at_least=0)
        for group in self.optimizer.param_groups:
            group["lr"] = group.setdefault("initial_lr", group["lr"]) * factor

    def state_dict(self):
        """{"t": array}, the number of steps; the optimizer's state has the initial rates."""
        return {"t": np.array(self.t)}

    def load_state_dict(self, state):
        """Go on from the t of a `state_dict`; load the optimizer's state first."""
        if state.keys() != {"t"}:
            raise ValueError('load_state_dict: state must have the key "t" alone, got '
                             f"{sorted(state)}")
        self.t = check_count("load_state_dict", "t", np.asarray(state["t"]).item())
        self._set_rates()


def step_decay(t, step_size, gamma=0.1):
    """gamma^floor(t / step_size), PyTorch's StepLR.

    t is an int >= 0, step_size an int >= 1, gamma > 0.
    """
    t = check_count("step_decay", "t", t)
    step_size = check_count("step_decay", "step_size", step_size, at_least=1)
    gamma = check_number("step_decay", "gamma", gamma, above=0)
    return gamma ** (t // step_size)


def cosine_decay(t, t_max, final=0.0):
    """final + (1 - final)(1 + cos(pi t / t_max)) / 2, and `final` from t_max on.

    Loshchilov and Hutter 2017, equation 5 without restarts; PyTorch's CosineAnnealingLR. t is an
    int >= 0, t_max > 0, and `final` in [0, 1] is the factor at the end.
    """
    t = check_count("cosine_decay", "t", t)
    t_max = check_number("cosine_decay", "t_max", t_max, above=0)
    final = check_number("cosine_decay", "final", final, at_least=0, at_most=1)
    angle = math.pi * min(t / t_max, 1)
    return final + (1 - final) * (1 + math.cos(angle)) / 2


def linear_warmup(t, steps):
    """min(1, (t + 1) / steps), from 1/steps up to 1 (Goyal et al. 2017, section 2.2).

    t is an int >= 0, and steps >= 1.
    """
    t = check_count("linear_warmup", "t", t)
    steps = check_number("linear_warmup", "steps", steps, at_least=1)
    return min(1.0, (t + 1) / steps)
