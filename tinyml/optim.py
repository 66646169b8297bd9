"""Optimizers and learning-rate schedules: from a gradient to the next parameters.

An optimizer rebinds ``p.data`` to a new array and never writes into the old one, which the graph
of the last forward pass may still need.
"""
import math

import numpy as np

from tinyml.check import check_count, check_number
from tinyml.tensor import Tensor

LARGE = 1000    # entries of an array from which on Adam works in memory of its own


class Optimizer:
    """What all optimizers share: parameters in groups, their settings, `zero_grad` and `step`.

    A subclass hands its settings with their defaults to `__init__`, checks them in `settings`,
    and moves one parameter in `update`.

    Parameters
    ----------
    params : iterable of Tensor with requires_grad, or list of dict
        A dict is a group: its "params", and the settings in which it differs from the others,
        such as ``{"params": model.head.parameters(), "lr": 1e-4}``.
    lr : float >= 0, the step size
    **settings : what else a group is set to, unless it says otherwise

    Attributes
    ----------
    param_groups : list of dict, "params" and the settings of each group, which may be changed
    params : list of Tensor, the parameters of all groups
    lr : float, the rate of all groups
        To set that of one, write ``optimizer.param_groups[0]["lr"] = 0.1``.
    projections : list of functions without arguments, called after every step
        Each puts parameters back on a set that they must not leave, such as the weights that a
        pruning mask allows (projected gradient descent).

    Raises
    ------
    ValueError : no parameters, one that comes twice, or a setting out of range
    TypeError : something that is not a Tensor with requires_grad, or an unknown setting
    """
    keeps = ()    # attributes {parameter number: value} that live from step to step

    def __init__(self, params, lr, **settings):
        name, defaults = type(self).__name__, {"lr": lr, **settings}
        self.param_groups = [{**defaults, **group} for group in _groups(name, params)]
        self.params = [p for group in self.param_groups for p in group["params"]]
        self.projections = []
        _check_params(name, self.params)
        for group in self.param_groups:
            unknown = group.keys() - defaults.keys() - {"params"}
            if unknown:
                raise TypeError(f"{name}: params must be groups with the settings "
                                f"{', '.join(defaults)}, "
                                f"got {', '.join(sorted(unknown))}")
            group |= self.settings(**_settings(group))
        self._checked = [({}, {})] * len(self.param_groups)
        vars(self).update({kept: {} for kept in self.keeps})

    def settings(self, lr):
        """The settings of a group as Python numbers, or an error; subclasses add theirs.

        A float32 array times a Python float is float32, but times np.float64(0.1) it is float64.
        """
        return {"lr": check_number(type(self).__name__, "lr", lr, at_least=0)}

    @property
    def lr(self):
        rates = {group["lr"] for group in self.param_groups}
        if len(rates) > 1:
            raise RuntimeError(f"{type(self).__name__}: lr must be one rate for all groups, got "
                               f'{sorted(rates)}; write optimizer.param_groups[0]["lr"]')
        return rates.pop()

    @lr.setter
    def lr(self, lr):
        lr, _one_for_all = check_number(type(self).__name__, "lr", lr, at_least=0), self.lr
        for group in self.param_groups:
            group["lr"] = lr
            group.pop("initial_lr", None)    # the next schedule starts from here

    def zero_grad(self):
        """Forget all gradients, so that the next `backward` starts from none."""
        for p in self.params:
            p.grad = None

    def step(self):
        """Change every parameter that has a gradient, in its own dtype; then project."""
        i = 0
        for k, group in enumerate(self.param_groups):
            if group != self._checked[k][0]:    # as at the first step, or when somebody changed it
                self._checked[k] = dict(group), self.settings(**_settings(group))
            settings = self._checked[k][1]
            for p in group["params"]:
                if p.grad is not None:
                    dtype, g = p.data.dtype, np.asarray(p.grad, p.data.dtype)
                    if g.shape != p.data.shape:
                        raise ValueError(f"{type(self).__name__}: p.grad must have the shape of p "
                                         f"{p.shape}, got {g.shape}")
                    self.update(i, p, g, **settings)
                    p.data = np.asarray(p.data, dtype)    # of no axes it may be a number
                i += 1
        for project in self.projections:
            project()

    def update(self, i, p, g, lr):
        """Change parameter number i with its gradient g; subclasses define it."""
        raise NotImplementedError(f"{type(self).__name__}: update must be defined, got no such "
                                  "method")

    def state_dict(self):
        """{name: array}: the settings of each group, and what is kept of each parameter.

        The arrays are copies. As that of a model, it can be written to a file by `tinyml.save`.
        """
        state, first = {"class": type(self).__name__}, 0
        for k, group in enumerate(self.param_groups):
            numbers = range(first, first + len(group["params"]))
            first += len(numbers)
            state |= {f"groups.{k}.{name}": value
                      for name, value in {**group, "params": numbers}.items()}
        for kept in self.keeps:
            state |= {f"{kept}.{i}": value for i, value in vars(self)[kept].items()}
        return {name: np.array(value) for name, value in state.items()}

    def load_state_dict(self, state):
        """Take over the `state_dict` of an optimizer of this class over the same parameters.

        Raises ValueError where something is missing, unexpected or does not fit; then nothing
        changes.
        """
        name, own = type(self).__name__, self.state_dict()
        state = {key: np.asarray(value) for key, value in state.items()}
        same = [key for key in own if key == "class" or key.endswith(".params")]
        problems = [f"{key} must be {own[key]}, got {state.get(key)}"
                    for key in same if not np.array_equal(own[key], state.get(key))]
        groups, left = [], state.keys() - set(same)
        for k, group in enumerate(self.param_groups):
            start = f"groups.{k}.initial_lr"    # there if a schedule was made
            names = {f"groups.{k}.{name}": name for name in group.keys() - {"params"}}
            names[start] = "initial_lr"
            problems += [f"missing {key}" for key in names.keys() - state.keys() - {start}]
            groups.append({names[key]: state[key].tolist() for key in names.keys() & state.keys()})
            left -= names.keys()
        kept = {kept: {} for kept in self.keeps}
        for key in left:
            try:
                which, i = key.split(".")
                i = list(map(str, range(len(self.params)))).index(i)
                kept[which][i] = _taken_over(state[key], self.params[i].data)
            except (ValueError, KeyError):
                problems.append(f"unexpected {key} of shape {state[key].shape}")
        problems += [f"missing {which}.{i}" for i in set().union(*kept.values())
                     for which in kept if i not in kept[which]]
        if problems:
            raise ValueError(f"load_state_dict: state must come from {name} over these "
                             "parameters, got "
                             + "; ".join(sorted(problems)))
        checked = [{**group, **self.settings(**_settings(group))} for group in groups]
        for group, loaded in zip(self.param_groups, checked):
            group.pop("initial_lr", None)
            group |= loaded
        vars(self).update(kept)


def _groups(name, params):
    """`params` as a list of groups, the "params" of each as a tuple."""
    if isinstance(params, (Tensor, dict)) or not hasattr(params, "__iter__"):
        raise TypeError(f"{name}: params must be a list of parameters, got "
                        f"{type(params).__name__}; "
                        "write model.parameters(), or [p] for a single one")
    params = list(params)
    if not params:
        raise ValueError(f"{name}: params must hold at least one parameter, got none; an "
                         "iterator that was "
                         "used before is empty, so write model.parameters()")
    if not any(isinstance(group, dict) for group in params):
        return [{"params": tuple(params)}]
    for group in params:
        if not isinstance(group, dict) or "params" not in group:
            raise TypeError(f'{name}: params must be parameters alone, or a dict with "params" '
                            'for each '
                            f"group, got {type(group).__name__}")
    return [{**group, **_groups(name, group["params"])[0]} for group in params]


def _check_params(name, params):
    for i, p in enumerate(params):
        if not isinstance(p, Tensor):
            raise TypeError(f"{name}: params must be Tensors with requires_grad=True, got {p!r}; "
                            "write model.parameters()")
        if not p.requires_grad:
            raise TypeError(f"{name}: params must be Tensors with requires_grad=True, got {p!r}; "
                            "write [p for p in model.parameters() if p.requires_grad]")
        if any(p is other for other in params[:i]):
            raise ValueError(f"{name}: params must hold each parameter once, got number {i} of "
                             "shape "
                             f"{p.shape} before; leave one out, or step moves it twice")


def _settings(group):
    return {name: value for name, value in group.items() if name not in ("params", "initial_lr")}


def _taken_over(value, data):
    """A count of steps as an int, any other array in the parameter's shape and dtype."""
    if value.dtype.kind in "iu" and value.ndim == 0:
        return int(value)
    if value.shape != data.shape or value.dtype.kind != "f":
        raise ValueError
    return np.array(value, data.dtype)


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

    def settings(self, lr, momentum, weight_decay, nesterov):
        """The settings of a group as Python numbers, or an error."""
        if nesterov and momentum == 0:
            raise ValueError(f"SGD: momentum must be > 0 with nesterov=True, got {momentum}")
        return {"lr": check_number("SGD", "lr", lr, at_least=0),
                "momentum": check_number("SGD", "momentum", momentum, at_least=0, below=1),
                "weight_decay": check_number("SGD", "weight_decay", weight_decay, at_least=0),
                "nesterov": bool(nesterov)}

    def update(self, i, p, g, lr, momentum, weight_decay, nesterov):
        """Bind p.data to a new array; v is self.velocity[i].

        Neither g nor the old p.data is written to. v holds gradients alone: lr may change from
        step to step.
        """
        if weight_decay:
            g = g + weight_decay * p.data
        if momentum:
            if i not in self.velocity:
                self.velocity[i] = np.zeros_like(g)
            v = self.velocity[i]
            v *= momentum
            v += g
            g = g + momentum * v if nesterov else v
        p.data = p.data - lr * g


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
    decoupled = False    # True in AdamW: p = (1 - lr weight_decay) p first, and no decay enters g

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0):
        super().__init__(params, lr, betas=betas, eps=eps, weight_decay=weight_decay)

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

    def update(self, i, p, g, lr, betas, eps, weight_decay):
        """Bind p.data to a new array; t, m and v are self.t[i], self.m[i] and self.v[i].

        Neither g nor the old p.data is written to. Each parameter counts its own steps t = 1, 2,
        ...; m and v start from zeros. With `decoupled`, p = (1 - lr weight_decay) p comes first, and g
        stays as it is.
        """
        beta1, beta2 = betas
        data = p.data
        if weight_decay and self.decoupled:
            data = (1 - lr * weight_decay) * data
        elif weight_decay:
            g = g + weight_decay * data
        t = self.t.get(i, 0) + 1
        if t > 1 and data.size >= LARGE:
            # the lines below, but faster
            return self._update_in_place(i, p, data, g, lr, betas, eps)
        m = beta1 * self.m.get(i, 0) + (1 - beta1) * g
        v = beta2 * self.v.get(i, 0) + (1 - beta2) * g * g
        self.t[i], self.m[i], self.v[i] = t, m, v
        m_hat = m / (1 - beta1 ** t)
        v_hat = v / (1 - beta2 ** t)
        p.data = data - lr * m_hat / (np.sqrt(v_hat) + eps)

    def _update_in_place(self, i, p, data, g, lr, betas, eps):
        """The same step but for rounding, in the memory of m and v, its factors drawn together.

        A step of LeNet-300-100 takes 1.2 times that of hand-written code, and 1.4 without it.
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
        p.data = np.subtract(data, work, out=work)


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019, algorithm 2).

    The decay acts on the parameter, p = (1 - lr weight_decay) p, and never enters the moments m
    and v.
    """
    decoupled = True

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2):
        super().__init__(params, lr, betas, eps, weight_decay)


def clip_grad_norm_(parameters, max_norm):
    """Scale all gradients by min(1, max_norm / ||g||), g all of them as one vector.

    (Pascanu et al. 2013.)

    The squares are summed in float64. Each p.grad is bound to a new array of its shape and dtype,
    also where it has no axes; those of `backward` cannot be written to. Where ||g|| <= max_norm
    they stay as they are.

    Parameters
    ----------
    parameters : iterable of Tensor, or one; those without a gradient are passed over
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
    wide = (p.grad.astype(np.float64) for p in with_grad)    # the square of 1e20 is no float32
    norm = math.sqrt(sum(float(np.vdot(g, g)) for g in wide))
    if not math.isfinite(norm):
        raise ValueError(f"clip_grad_norm_: the gradients must be finite, got norm {norm}; run "
                         "the step "
                         "under tinyml.detect_anomaly() to see where the first NaN or infinity "
                         "came from")
    if norm > max_norm:
        for p in with_grad:
            p.grad = np.asarray(p.grad * (max_norm / norm))
    return norm


def _check_clipping(parameters, max_norm):
    """The parameters as a list, each once, and the norm as a Python number."""
    if isinstance(parameters, Tensor):
        parameters = [parameters]
    parameters = list(dict.fromkeys(parameters))
    if not parameters:
        raise ValueError("clip_grad_norm_: parameters must hold at least one Tensor, got none; "
                         "an iterator "
                         "that was used before is empty, so write model.parameters()")
    for p in parameters:
        if not isinstance(p, Tensor):
            raise TypeError(f"clip_grad_norm_: parameters must be Tensors, got "
                            f"{type(p).__name__}; "
                            "write model.parameters()")
    return parameters, check_number("clip_grad_norm_", "max_norm", max_norm, above=0)


class LambdaLR:
    """A rate that follows a function: after t calls of `step`, lr = initial lr x lr_lambda(t).

    Each group of the optimizer has an initial rate of its own: the one it was made with, or was
    given as `optimizer.lr` since. So a second schedule starts where the first one started.

    Schedules are functions of t, so they combine by multiplication:

    >>> p = Tensor([0.0], requires_grad=True)
    >>> sgd = SGD([p], lr=0.1)
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
        """Count one more step (or epoch: whatever the schedule is meant in) and set the rates."""
        self.t += 1
        self._set_rates()

    def _set_rates(self):
        factor = self.lr_lambda(self.t)
        factor = check_number("LambdaLR", f"lr_lambda({self.t})", factor, at_least=0)
        for group in self.optimizer.param_groups:
            group["lr"] = group.setdefault("initial_lr", group["lr"]) * factor

    def state_dict(self):
        """{"t": array}, the number of steps; the initial rates are in the optimizer's."""
        return {"t": np.array(self.t)}

    def load_state_dict(self, state):
        """Go on from the t of a `state_dict`; load that of the optimizer first."""
        if state.keys() != {"t"}:
            raise ValueError(f'load_state_dict: state must have the key "t" alone, got '
                             f'{sorted(state)}')
        self.t = check_count("load_state_dict", "t", np.asarray(state["t"]).item())
        self._set_rates()


def step_decay(t, step_size, gamma=0.1):
    """gamma^floor(t / step_size), PyTorch's StepLR: t an int >= 0, step_size an int >= 1, gamma > 0."""
    t = check_count("step_decay", "t", t)
    step_size = check_count("step_decay", "step_size", step_size, at_least=1)
    return check_number("step_decay", "gamma", gamma, above=0) ** (t // step_size)


def cosine_decay(t, t_max, final=0.0):
    """final + (1 - final)(1 + cos(pi t / t_max)) / 2, and `final` from t_max on.

    Loshchilov and Hutter 2017, equation 5 without restarts; PyTorch's CosineAnnealingLR. t an int >= 0,
    t_max > 0, final the factor at the end, in [0, 1].
    """
    t = check_count("cosine_decay", "t", t)
    t_max = check_number("cosine_decay", "t_max", t_max, above=0)
    final = check_number("cosine_decay", "final", final, at_least=0, at_most=1)
    return final + (1 - final) * (1 + math.cos(math.pi * min(t / t_max, 1))) / 2


def linear_warmup(t, steps):
    """min(1, (t + 1) / steps): from 1/steps up to 1; t an int >= 0, steps >= 1 (Goyal et al. 2017, 2.2)."""
    t = check_count("linear_warmup", "t", t)
    return min(1.0, (t + 1) / check_number("linear_warmup", "steps", steps, at_least=1))
