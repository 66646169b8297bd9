"""Optimizers and learning-rate schedules: from a gradient to the next parameters.

An optimizer rebinds ``p.data`` to a new array and never writes into the old one, which the graph of the
last forward pass may still need. Its own state it updates in place.
"""
import math

import numpy as np

from tinyml.check import check_number
from tinyml.tensor import Tensor


class Optimizer:
    """What all optimizers share: the parameters, the learning rate `lr`, `zero_grad` and `step`.

    `projections` is a list of functions without arguments that are called after every step: each puts
    parameters back on a set that they must not leave (projected gradient descent), such as the weights
    that a pruning mask allows.

    Parameters
    ----------
    params : iterable of Tensor with requires_grad
    lr : float >= 0, the step size

    Raises
    ------
    ValueError : no parameters, or a negative rate
    TypeError : something that is not a Tensor with requires_grad
    """

    def __init__(self, params, lr):
        name = type(self).__name__
        if isinstance(params, Tensor) or not hasattr(params, "__iter__"):
            raise TypeError(f"{name}: params must be a list of parameters, got {type(params).__name__}; "
                            "write model.parameters(), or [p] for a single one")
        self.params = list(params)
        if not self.params:
            raise ValueError(f"{name}: params must hold at least one parameter, got none")
        for p in self.params:
            if not (isinstance(p, Tensor) and p.requires_grad):
                raise TypeError(f"{name}: params must be Tensors with requires_grad=True, got {p!r}; "
                                "write model.parameters()")
        check_number(name, "lr", lr, at_least=0)
        self.lr, self.projections = lr, []

    def zero_grad(self):
        """Forget all gradients, so that the next `backward` starts from none."""
        for p in self.params:
            p.grad = None

    def step(self):
        """Change every parameter that has a gradient, then project."""
        for i, p in enumerate(self.params):
            if p.grad is not None:
                self.update(i, p, p.grad)
        for project in self.projections:
            project()

    def update(self, i, p, g):
        """Change parameter number i with its gradient g; subclasses define it."""
        raise NotImplementedError(f"{type(self).__name__}: update must be defined, got no such method")


class SGD(Optimizer):
    """Stochastic gradient descent with momentum (Sutskever et al. 2013, in PyTorch's form):

        g = g + weight_decay p
        v = momentum v + g                      (the first step sets v = g)
        p = p - lr v,     with Nesterov  p = p - lr (g + momentum v)

    Parameters
    ----------
    params : iterable of Parameter
    lr : float >= 0
    momentum : float in [0, 1)
    weight_decay : float >= 0, the L2 penalty's factor
    nesterov : bool, needs momentum > 0
    """

    def __init__(self, params, lr=1e-3, momentum=0.0, weight_decay=0.0, nesterov=False):
        super().__init__(params, lr)
        check_number("SGD", "momentum", momentum, at_least=0, below=1)
        check_number("SGD", "weight_decay", weight_decay, at_least=0)
        if nesterov and momentum == 0:
            raise ValueError(f"SGD: momentum must be > 0 with nesterov=True, got {momentum}")
        self.momentum, self.weight_decay, self.nesterov = momentum, weight_decay, nesterov
        self.velocity = {}

    def update(self, i, p, g):
        """Bind p.data to a new array of its shape and dtype, also where it has no axes; v is self.velocity[i].

        Neither g nor the old p.data is written to. v holds gradients alone: lr may change from step to step.
        """
        if self.weight_decay:
            g = g + self.weight_decay * p.data
        if self.momentum:
            if i not in self.velocity:
                self.velocity[i] = np.zeros_like(g)
            v = self.velocity[i]
            v *= self.momentum
            v += g
            g = g + self.momentum * v if self.nesterov else v
        work = np.asarray(self.lr * g)    # NumPy's scalars are no arrays
        p.data = np.subtract(p.data, work, out=work)


class Adam(Optimizer):
    """Adam (Kingma and Ba 2015, algorithm 1), with t the number of the step:

        g = g + weight_decay p
        m = beta1 m + (1 - beta1) g,                m^ = m / (1 - beta1^t)
        v = beta2 v + (1 - beta2) g^2,              v^ = v / (1 - beta2^t)
        p = p - lr m^ / (sqrt(v^) + eps)

    Parameters
    ----------
    params : iterable of Parameter
    lr : float >= 0
    betas : (float, float), each in [0, 1)
    eps : float > 0
    weight_decay : float >= 0
    """
    decoupled = False    # True in AdamW: p = (1 - lr weight_decay) p first, and no decay enters g

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0):
        super().__init__(params, lr)
        name = type(self).__name__
        for beta in betas:
            check_number(name, "betas", beta, at_least=0, below=1)
        check_number(name, "eps", eps, above=0)
        check_number(name, "weight_decay", weight_decay, at_least=0)
        self.betas, self.eps, self.weight_decay = betas, eps, weight_decay
        self.state = {}    # parameter number -> [t, m, v]

    def update(self, i, p, g):
        """Bind p.data to a new array of its shape and dtype, also where it has no axes; t, m, v: self.state[i].

        Neither g nor the old p.data is written to. Each parameter counts its own steps t = 1, 2, ...; m and v
        start from zeros. With `decoupled`, p = (1 - lr weight_decay) p comes first, and g stays as it is.
        """
        data = p.data
        if self.weight_decay and self.decoupled:
            data = data * (1 - self.lr * self.weight_decay)
        elif self.weight_decay:
            g = g + self.weight_decay * data
        if i not in self.state:
            self.state[i] = [0, np.zeros_like(data), np.zeros_like(data)]
        self.state[i][0] += 1
        t, m, v = self.state[i]
        beta1, beta2 = self.betas
        # the arrays hold m / (1 - beta1) and v / (1 - beta2): all factors are drawn out into two numbers
        scale = math.sqrt((1 - beta2) / (1 - beta2 ** t))            # sqrt(v^) = scale sqrt(v)
        rate = self.lr * (1 - beta1) / (1 - beta1 ** t) / scale
        m *= beta1
        m += g
        work = np.asarray(g * g)
        v *= beta2
        v += work
        np.sqrt(v, out=work)
        work += self.eps / scale
        np.divide(m, work, out=work)
        work *= rate
        p.data = np.subtract(data, work, out=work)


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019, algorithm 2): the decay acts on the
    parameter, p = (1 - lr weight_decay) p, and never enters the moments m and v."""
    decoupled = True

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2):
        super().__init__(params, lr, betas, eps, weight_decay)


def clip_grad_norm_(parameters, max_norm):
    """Scale all gradients by min(1, max_norm / ||g||), g all of them as one vector (Pascanu et al. 2013).

    The squares are summed in float64. Each p.grad is bound to a new array of its shape and dtype, also where it has
    no axes; those of `backward` cannot be written to. Where ||g|| <= max_norm they stay as they are.

    Parameters
    ----------
    parameters : iterable of Tensor; those without a gradient are passed over
    max_norm : float > 0

    Returns
    -------
    float, the norm ||g|| before

    Raises
    ------
    ValueError : max_norm <= 0, or the norm is NaN or infinite (then nothing is changed)
    """
    check_number("clip_grad_norm_", "max_norm", max_norm, above=0)
    with_grad = [p for p in parameters if p.grad is not None]
    wide = (p.grad.astype(np.float64) for p in with_grad)    # the square of 1e20 is no float32
    norm = math.sqrt(sum(float(np.vdot(g, g)) for g in wide))
    if not math.isfinite(norm):
        raise ValueError(f"clip_grad_norm_: the gradients must be finite, got norm {norm}; run the step "
                         "under tinyml.detect_anomaly() to see where the first NaN or infinity came from")
    if norm > max_norm:
        for p in with_grad:
            p.grad = np.asarray(p.grad * (max_norm / norm))
    return norm


class LambdaLR:
    """A learning rate that follows a function: after t calls of `step`, lr = initial lr x lr_lambda(t).

    Schedules are functions of t, so they combine by multiplication:

    >>> from functools import partial
    >>> p = Tensor([0.0], requires_grad=True)
    >>> sgd = SGD([p], lr=0.1)
    >>> schedule = LambdaLR(sgd, lambda t: linear_warmup(t, 5) * cosine_decay(t, 100))

    Parameters
    ----------
    optimizer : Optimizer
    lr_lambda : function of an int t >= 0 to a factor
    """

    def __init__(self, optimizer, lr_lambda):
        self.optimizer, self.lr_lambda = optimizer, lr_lambda
        self.initial_lr, self.t = optimizer.lr, 0
        optimizer.lr = self.initial_lr * lr_lambda(0)

    def step(self):
        """Count one more step (or epoch: whatever the schedule is meant in) and set the rate."""
        self.t += 1
        self.optimizer.lr = self.initial_lr * self.lr_lambda(self.t)


def step_decay(t, step_size, gamma=0.1):
    """gamma^floor(t / step_size), PyTorch's StepLR: t an int >= 0, step_size an int >= 1, gamma > 0."""
    check_number("step_decay", "step_size", step_size, at_least=1)
    return gamma ** (t // step_size)


def cosine_decay(t, t_max, final=0.0):
    """final + (1 - final)(1 + cos(pi t / t_max)) / 2, and `final` from t_max on.

    Loshchilov and Hutter 2017, equation 5 without restarts; PyTorch's CosineAnnealingLR. t an int >= 0,
    t_max > 0, final the factor at the end, in [0, 1].
    """
    check_number("cosine_decay", "t_max", t_max, above=0)
    return final + (1 - final) * (1 + math.cos(math.pi * min(t / t_max, 1))) / 2


def linear_warmup(t, steps):
    """min(1, (t + 1) / steps): from 1/steps up to 1; t an int >= 0, steps >= 1 (Goyal et al. 2017, 2.2)."""
    check_number("linear_warmup", "steps", steps, at_least=1)
    return min(1.0, (t + 1) / steps)
