"""The same training steps in PyTorch, JAX and autograd (HIPS), where they happen to be installed.

Each function has the form of `_floors.floor_step`, after the module to use, and a network is
described by its weights: one of four axes is a convolution, one of one axis a batch norm behind it,
then come ReLU and 2 x 2 max pooling; one of two axes is a linear layer, with ReLU after all but the
last. autograd has no convolution, and sits out.
"""
import importlib.util
import os
import sys
from functools import partial
from pathlib import Path

import numpy as np
from _floors import normed_next

HERE = Path(__file__).resolve().parent
PYTORCH, JAX, AUTOGRAD = "PyTorch", "JAX, compiled", "autograd"


def modules(threads, names):
    """{name: module} of the peers that can be imported, with the BLAS's `threads` (0: any)."""
    if threads == 1 and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})    # else JAX takes all processors
    path = sys.path[:]    # without this folder, where a demo is called autograd:
    sys.path[:] = [folder for folder in path if Path(folder).resolve() != HERE]
    try:
        found = {name: importlib.import_module(name) for name in names if importlib.util.find_spec(name)}
    finally:
        sys.path[:] = path
    if "torch" in found and threads:
        found["torch"].set_num_threads(threads)
    return found


def installed(threads):
    """{name: step maker} of the peers that can be imported, for training steps."""
    makers = {PYTORCH: ("torch", torch_step), JAX: ("jax", jax_step), AUTOGRAD: ("autograd", autograd_step)}
    found = modules(threads, [module for module, _ in makers.values()])
    return {name: partial(make, found[module]) for name, (module, make) in makers.items() if module in found}


def torch_step(torch, weights, x, labels, optimizer, lr):
    F = torch.nn.functional
    params = [torch.tensor(w, requires_grad=True) for w in weights]
    x, labels = torch.from_numpy(x), torch.from_numpy(labels)
    update = {"SGD": lambda: torch.optim.SGD(params, lr),
              "momentum": lambda: torch.optim.SGD(params, lr, 0.9),
              "Adam": lambda: torch.optim.Adam(params, lr)}[optimizer]()

    def network(y):
        for i in range(0, len(params), 2):
            weight, bias = params[i:i + 2]
            if weight.ndim == 4:
                y = F.conv2d(y, weight, bias)
            if weight.ndim == 1:
                y = F.batch_norm(y, None, None, weight, bias, training=True)
            if weight.ndim != 2 and not normed_next(params, i):
                y = F.max_pool2d(F.relu(y), 2)
            if weight.ndim == 2:
                y = F.linear(y.flatten(1), weight, bias)
                y = F.relu(y) if i + 2 < len(params) else y
        return y

    def step():
        update.zero_grad()
        loss = F.cross_entropy(network(x), labels)
        loss.backward()
        update.step()
        return loss.item()
    return step, lambda: [p.detach().numpy() for p in params]


def next_state(np, t, p, g, m, v, optimizer, lr):
    """One parameter's update, written with the arrays of `np`; returns p, m, v."""
    if optimizer == "SGD":
        return p - lr * g, m, v
    if optimizer == "momentum":
        m = 0.9 * m + g
        return p - lr * m, m, v
    m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
    return p - lr * (m / (1 - 0.9 ** t)) / (np.sqrt(v / (1 - 0.999 ** t)) + 1e-8), m, v


def mean_cross_entropy(np, z, labels):
    z = z - np.max(z, axis=1, keepdims=True)
    return np.mean(np.log(np.sum(np.exp(z), axis=1)) - z[np.arange(len(labels)), labels])


def jax_step(jax, weights, x, labels, optimizer, lr):
    jnp = jax.numpy

    def network(params, y):
        for i in range(0, len(params), 2):
            weight, bias = params[i:i + 2]
            if weight.ndim == 4:
                y = jax.lax.conv_general_dilated(y, weight, (1, 1), "VALID") + bias[:, None, None]
            if weight.ndim == 1:
                y = y - y.mean((0, 2, 3), keepdims=True)
                scale = weight[:, None, None] / jnp.sqrt((y * y).mean((0, 2, 3), keepdims=True) + 1e-5)
                y = y * scale + bias[:, None, None]
            if weight.ndim != 2 and not normed_next(params, i):
                y = jax.lax.reduce_window(jnp.maximum(y, 0), -jnp.inf, jax.lax.max, (1, 1, 2, 2),
                                          (1, 1, 2, 2), "VALID")
            if weight.ndim == 2:
                y = y.reshape(len(y), -1) @ weight.T + bias
                y = jnp.maximum(y, 0) if i + 2 < len(params) else y
        return y

    @jax.jit
    def train(t, state):
        def loss(params):
            return mean_cross_entropy(jnp, network(params, x), labels)

        value, grads = jax.value_and_grad(loss)([p for p, _, _ in state])
        return value, [next_state(jnp, t, p, g, m, v, optimizer, lr)
                       for (p, m, v), g in zip(state, grads)]

    x, labels = jnp.asarray(x), jnp.asarray(labels)
    return _functional(train, [jnp.asarray(w) for w in weights])


def autograd_step(autograd, weights, x, labels, optimizer, lr):
    if x.ndim == 4:
        return None
    anp = importlib.import_module("autograd.numpy")

    def loss(params):
        y = x
        for i in range(0, len(params), 2):
            y = anp.dot(y, params[i].T) + params[i + 1]
            y = anp.maximum(y, 0) if i + 2 < len(params) else y
        return mean_cross_entropy(anp, y, labels)

    def train(t, state):
        value, grads = autograd.value_and_grad(loss)([p for p, _, _ in state])
        return value, [next_state(np, t, p, g, m, v, optimizer, lr)
                       for (p, m, v), g in zip(state, grads)]
    return _functional(train, list(weights))


def _functional(train, weights):
    """(step, params) around a function that maps a state to the next one."""
    t, state = 0, [(w, 0 * w, 0 * w) for w in weights]

    def step():
        nonlocal t, state
        t += 1
        loss, state = train(t, state)
        return float(loss)
    return step, lambda: [np.asarray(p) for p, _, _ in state]
