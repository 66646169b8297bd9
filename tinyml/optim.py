"""Optimizers: from a gradient to the next parameters.

`SGD`, `Adam` and `AdamW` show their algorithm in `update`. What they share is in
`tinyml.optimizer`; learning-rate schedules are in `tinyml.schedules`. An optimizer binds
``p.data`` to a new array and never writes into the old one, which the graph of the last forward
pass may still need.
"""
import math

import numpy as np

from tinyml.check import check_bool, check_number
from tinyml.optimizer import Optimizer, as_arrays
from tinyml.schedules import LambdaLR, cosine_decay, linear_warmup, step_decay
from tinyml.tensor import Tensor

__all__ = ["Adam", "AdamW", "LambdaLR", "Optimizer", "SGD", "clip_grad_norm_", "cosine_decay",
           "linear_warmup", "step_decay"]
LARGE = 1000    # parameters of at least so many entries: Adam's fast form


class SGD(Optimizer):
    """Stochastic gradient descent with momentum (Sutskever et al. 2013, in PyTorch's form):

        g = g + weight_decay p
        v = momentum v + g                      (the first step sets v = g)
        p = p - lr v,     with Nesterov  p = p - lr (g + momentum v)

    Parameters
    ----------
    params : iterable of Parameter, or groups as in `Optimizer`
    lr : float >= 0
    momentum : float in [0, 1)
    weight_decay : float >= 0, the L2 penalty's factor
    nesterov : bool, needs momentum > 0
    """
    keeps = ("velocity",)

    def __init__(self, params, lr=1e-3, momentum=0.0, weight_decay=0.0, nesterov=False):
        super().__init__(params, lr, momentum=momentum, weight_decay=weight_decay,
                         nesterov=nesterov)

    def update(self, i, p, g, lr, momentum, weight_decay, nesterov):
        """Bind p.data to a new array; v is self.velocity[i], and no other array is changed.

        lr is not part of v, so a schedule may change it from step to step.
        """
        if weight_decay:
            g = g + weight_decay * p.data
        direction = g
        lr, momentum = as_arrays(g.dtype, lr, momentum)
        if momentum:
            if i not in self.velocity:
                self.velocity[i] = np.zeros_like(g)
            v = self.velocity[i]
            v *= momentum
            v += g
            direction = g + momentum * v if nesterov else v
        p.data = p.data - lr * direction

    def settings(self, lr, momentum, weight_decay, nesterov):
        """The settings of a group as Python numbers, or an error."""
        check_bool("SGD", "nesterov", nesterov)
        if nesterov and momentum == 0:
            raise ValueError(f"SGD: momentum must be > 0 with nesterov=True, got {momentum}")
        return {"lr": check_number("SGD", "lr", lr, at_least=0),
                "momentum": check_number("SGD", "momentum", momentum, at_least=0, below=1),
                "weight_decay": check_number("SGD", "weight_decay", weight_decay, at_least=0),
                "nesterov": bool(nesterov)}


class Adam(Optimizer):
    """Adam (Kingma and Ba 2015, algorithm 1), with t the number of the step:

        g = g + weight_decay p
        m = beta1 m + (1 - beta1) g,                m^ = m / (1 - beta1^t)
        v = beta2 v + (1 - beta2) g^2,              v^ = v / (1 - beta2^t)
        p = p - lr m^ / (sqrt(v^) + eps)

    Parameters
    ----------
    params : iterable of Parameter, or groups as in `Optimizer`
    lr : float >= 0
    betas : (float, float), each in [0, 1)
    eps : float > 0
    weight_decay : float >= 0
    """
    keeps = ("t", "m", "v")
    decoupled = False    # True in AdamW: p = (1 - lr weight_decay) p, and g stays as it is

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0):
        super().__init__(params, lr, betas=betas, eps=eps, weight_decay=weight_decay)

    def update(self, i, p, g, lr, betas, eps, weight_decay):
        """Bind p.data to a new array; t, m and v are self.t[i], self.m[i] and self.v[i].

        self.t, self.m and self.v are dicts, empty before the first step. Neither g nor the old
        p.data is changed. Each parameter counts its own steps t = 1, 2, ..., and m and v start
        from zeros. With `decoupled`, p = (1 - lr weight_decay) p comes first,
        and g stays as it is.
        """
        beta1, beta2 = betas
        data = p.data
        if weight_decay and self.decoupled:
            data = (1 - lr * weight_decay) * data
        elif weight_decay:
            g = g + weight_decay * data
        t = self.t.get(i, 0) + 1
        if t > 1 and data.size >= LARGE:
            p.data = self._in_place(i, data, g, lr, betas, eps)    # the lines below, but faster
            return
        m = beta1 * self.m.get(i, 0) + (1 - beta1) * g
        v = beta2 * self.v.get(i, 0) + (1 - beta2) * g * g
        m_hat = m / (1 - beta1 ** t)
        v_hat = v / (1 - beta2 ** t)
        p.data = data - lr * m_hat / (np.sqrt(v_hat) + eps)
        self.t[i], self.m[i], self.v[i] = t, m, v

    def _in_place(self, i, data, g, lr, betas, eps):
        """The same step up to rounding: m and v change in place, and scalar factors are merged.

        A training step of LeNet-300-100 takes 1.1 times that of hand-written code, 1.4 without it.
        """
        beta1, beta2 = betas
        self.t[i] += 1
        t, m, v = self.t[i], self.m[i], self.v[i]
        work = (1 - beta1) * g
        m *= beta1
        m += work
        np.multiply(g, g, out=work)
        work *= 1 - beta2
        v *= beta2
        v += work
        scale = math.sqrt(1 - beta2 ** t)      # sqrt(v^) = sqrt(v) / scale
        np.sqrt(v, out=work)
        work += eps * scale
        np.divide(m, work, out=work)
        work *= lr * scale / (1 - beta1 ** t)
        return np.subtract(data, work, out=work)

    def settings(self, lr, betas, eps, weight_decay):
        """The settings of a group as Python numbers, or an error."""
        name = type(self).__name__
        if not isinstance(betas, (tuple, list)) or len(betas) != 2:
            raise TypeError(f"{name}: betas must be two numbers, got {betas!r}; write (0.9, "
                            "0.999)")
        return {"lr": check_number(name, "lr", lr, at_least=0),
                "betas": tuple(check_number(name, "betas", beta, at_least=0, below=1)
                               for beta in betas),
                "eps": check_number(name, "eps", eps, above=0),
                "weight_decay": check_number(name, "weight_decay", weight_decay, at_least=0)}


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019, algorithm 2).

    The decay acts on the parameter, p = (1 - lr weight_decay) p, and never enters m and v.
    """
    decoupled = True

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2):
        super().__init__(params, lr, betas, eps, weight_decay)


def clip_grad_norm_(parameters, max_norm):
    """Scale all gradients by min(1, max_norm / ||g||), with g all of them as one vector.

    (Pascanu et al. 2013; PyTorch divides by ||g|| + 1e-6.) The squares are summed in float64. Each
    p.grad is bound to a new array of its shape and dtype; where ||g|| <= max_norm they stay as
    they are.

    Parameters
    ----------
    parameters : iterable of Tensor, or one; those without a gradient are skipped
    max_norm : float > 0

    Returns
    -------
    float, the norm ||g|| before

    Raises
    ------
    TypeError : something that is not a Tensor
    ValueError : no parameters, max_norm <= 0, or the norm is NaN or infinite: nothing is changed
    """
    parameters, max_norm = _check_clipping(parameters, max_norm)
    with_grad = [p for p in parameters if p.grad is not None]
    wide = (p.grad.astype(np.float64) for p in with_grad)    # 1e20 squared overflows float32
    norm = math.sqrt(sum(float(np.vdot(g, g)) for g in wide))
    if not math.isfinite(norm):
        raise ValueError(f"clip_grad_norm_: the gradients must be finite, got norm {norm}; run "
                         "the step under tinyml.detect_anomaly() to see where the first NaN or "
                         "infinity came from")
    if norm > max_norm:
        for p in with_grad:
            p.grad = np.asarray(p.grad * (max_norm / norm))    # 0-d: NumPy returns a scalar
    return norm


def _check_clipping(parameters, max_norm):
    """The parameters as a list, each once, and the norm as a Python number."""
    if isinstance(parameters, Tensor):
        parameters = [parameters]
    if not np.iterable(parameters):
        raise TypeError("clip_grad_norm_: parameters must be a list of Tensors, got "
                        f"{type(parameters).__name__}; write model.parameters()")
    parameters = list(dict.fromkeys(parameters))
    if not parameters:
        raise ValueError("clip_grad_norm_: parameters must hold at least one Tensor, got none; "
                         "an iterator that was used before is empty, so write model.parameters()")
    for p in parameters:
        if not isinstance(p, Tensor):
            raise TypeError("clip_grad_norm_: parameters must be Tensors, got "
                            f"{type(p).__name__}; write model.parameters()")
    return parameters, check_number("clip_grad_norm_", "max_norm", max_norm, above=0)
