"""What all optimizers share: groups of parameters, their settings, one loop over them, the state.

    optimizer.zero_grad();  loss.backward();  optimizer.step()
"""
import functools

import numpy as np

from tinyml.check import check_number
from tinyml.tensor import Tensor


class Optimizer:
    """The base of `tinyml.optim`: `step` calls `update` for every parameter that has a gradient.

    A subclass passes its settings with their defaults to `__init__`, checks them in `settings`,
    and changes one parameter in `update`.

    Parameters
    ----------
    params : iterable of Tensor with requires_grad, or list of dict
        A dict is a group: its "params", and the settings in which it differs from the others,
        such as ``{"params": model.head.parameters(), "lr": 1e-4}``.
    lr : float >= 0, the learning rate
    **settings : the other settings, for every group that does not say otherwise

    Attributes
    ----------
    param_groups : list of dict, "params" and the settings of each group, which may be changed
    params : list of Tensor, the parameters of all groups
    lr : float, the learning rate of all groups
        To set that of one, write ``optimizer.param_groups[0]["lr"] = 0.1``.
    projections : list of functions without arguments, called after every step
        Each puts parameters back into a set that they must not leave, such as the weights that a
        pruning mask allows (projected gradient descent).

    Raises
    ------
    ValueError : no parameters, one that comes twice, or a setting out of range
    TypeError : something that is not a Tensor with requires_grad, or an unknown setting
    """
    keeps = ()    # attributes {parameter number: value} that last from step to step

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
                                f"{', '.join(defaults)}, got {', '.join(sorted(unknown))}")
            group |= self.settings(**_settings(group))
        self._checked = [({}, {})] * len(self.param_groups)
        vars(self).update({kept: {} for kept in self.keeps})

    def zero_grad(self):
        """Set all gradients to None, so that the next `backward` starts anew."""
        for p in self.params:
            p.grad = None

    def step(self):
        """Update every parameter that has a gradient, in its own dtype; then project."""
        i = 0
        for k, group in enumerate(self.param_groups):
            settings = self._settings_of(k)
            for p in group["params"]:
                if p.grad is not None:
                    dtype = p.data.dtype
                    self.update(i, p, _gradient(self, p), **settings)
                    p.data = np.asarray(p.data, dtype)    # 0-d: NumPy returns a scalar
                i += 1
        for project in self.projections:
            project()

    def update(self, i, p, g, lr):
        """Change parameter number i with its gradient g; subclasses define it."""
        raise NotImplementedError(f"{type(self).__name__}: update must be defined, got no such "
                                  "method")

    def settings(self, lr):
        """The settings of a group as Python numbers, or an error; subclasses add theirs.

        A float32 array times a Python float is float32, but times np.float64(0.1) it is float64.
        """
        return {"lr": check_number(type(self).__name__, "lr", lr, at_least=0)}

    def _settings_of(self, k):
        """The settings of group number k, checked again only if somebody has changed them."""
        group = self.param_groups[k]
        seen, settings = self._checked[k]
        if group != seen:
            settings = self.settings(**_settings(group))
            self._checked[k] = dict(group), settings
        return settings

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

    def state_dict(self):
        """{name: array}: the settings of each group, and what is kept of each parameter.

        The arrays are copies. Like a model's, this dict can be written to a file by `tinyml.save`.
        """
        state, first = {"class": type(self).__name__}, 0
        for k, group in enumerate(self.param_groups):
            numbers = range(first, first + len(group["params"]))
            first += len(numbers)
            for name, value in {**group, "params": numbers}.items():
                state[f"groups.{k}.{name}"] = value
        for kept in self.keeps:
            for i, value in vars(self)[kept].items():
                state[f"{kept}.{i}"] = value
        return {name: np.array(value) for name, value in state.items()}

    def load_state_dict(self, state):
        """Take over the `state_dict` of an optimizer of this class over the same parameters.

        Raises ValueError if something is missing, unexpected or does not fit; then nothing
        changes.
        """
        state = {key: np.asarray(value) for key, value in state.items()}
        own, problems = self.state_dict(), []
        same = {key for key in own if key == "class" or key.endswith(".params")}
        for key in same:
            if not np.array_equal(own[key], state.get(key)):
                problems.append(f"{key} must be {own[key]}, got {state.get(key)}")
        groups, of_groups = self._groups_in(state, problems)
        kept = self._kept_in(state, state.keys() - same - of_groups, problems)
        if problems:
            raise ValueError(f"load_state_dict: state must come from {type(self).__name__} over "
                             f"these parameters, got {'; '.join(sorted(problems))}")
        groups = [{**group, **self.settings(**_settings(group))} for group in groups]
        for group, loaded in zip(self.param_groups, groups):
            group.pop("initial_lr", None)
            group |= loaded
        vars(self).update(kept)

    def _groups_in(self, state, problems):
        """The settings of each group, and their keys in the state; adds to the problems."""
        groups, keys = [], set()
        for k, group in enumerate(self.param_groups):
            start = f"groups.{k}.initial_lr"    # there if a schedule was made
            names = {f"groups.{k}.{name}": name for name in group.keys() - {"params"}}
            names[start] = "initial_lr"
            problems += [f"missing {key}" for key in names.keys() - state.keys() - {start}]
            groups.append({names[key]: state[key].tolist() for key in names.keys() & state.keys()})
            keys |= names.keys()
        return groups, keys

    def _kept_in(self, state, keys, problems):
        """What these keys of the state keep of each parameter; adds to the problems."""
        kept = {which: {} for which in self.keeps}
        numbers = {str(i): i for i in range(len(self.params))}
        for key in keys:
            try:
                which, i = key.split(".")
                p = self.params[numbers[i]]
                kept[which][numbers[i]] = _taken_over(state[key], p.data)
            except (ValueError, KeyError):
                problems.append(f"unexpected {key} of shape {state[key].shape}")
        for i in set().union(*kept.values()):
            problems += [f"missing {which}.{i}" for which in kept if i not in kept[which]]
        return kept


@functools.lru_cache
def as_arrays(dtype, *numbers):
    """The numbers as arrays without axes: NumPy multiplies faster by these than by Python's."""
    return [np.array(number, dtype) for number in numbers]


def _groups(name, params):
    """`params` as a list of groups, the "params" of each as a tuple."""
    if isinstance(params, (Tensor, dict)) or not np.iterable(params):
        raise TypeError(f"{name}: params must be a list of parameters, got "
                        f"{type(params).__name__}; write model.parameters(), or [p] for one")
    params = list(params)
    if not params:
        raise ValueError(f"{name}: params must hold at least one parameter, got none; an "
                         "iterator that was used before is empty, so write model.parameters()")
    if not any(isinstance(group, dict) for group in params):
        return [{"params": tuple(params)}]
    for group in params:
        if not isinstance(group, dict) or "params" not in group:
            raise TypeError(f'{name}: params must be parameters alone, or a dict with "params" '
                            f"for each group, got {type(group).__name__}")
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
                             f"shape {p.shape} before; leave one out, or step moves it twice")


def _settings(group):
    return {name: value for name, value in group.items() if name not in ("params", "initial_lr")}


def _gradient(optimizer, p):
    """p.grad as an array of the shape and dtype of p, or ValueError."""
    g = np.asarray(p.grad, p.data.dtype)
    if g.shape != p.data.shape:
        raise ValueError(f"{type(optimizer).__name__}: p.grad must have the shape of p {p.shape}, "
                         f"got {g.shape}")
    return g


def _taken_over(value, data):
    """A count of steps as an int, any other array in the parameter's shape and dtype."""
    if value.dtype.kind in "iu" and value.ndim == 0:
        return int(value)
    if value.shape != data.shape or value.dtype.kind != "f":
        raise ValueError
    return np.array(value, data.dtype)
