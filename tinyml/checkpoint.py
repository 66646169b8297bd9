"""One file from which training goes on as if it had never stopped, bit for bit.

A training step depends on the model's arrays, the optimizer's state, the number of steps of the
schedule, and the state of every generator. All of it goes into one .npz file of plain arrays,
without pickle. To load it, make the same objects first, with the same code.

>>> save_checkpoint("run.npz", model=model, optimizer=adam, rng=rng)    # doctest: +SKIP
"""
import json

import numpy as np

from tinyml.nn import Module, load, save
from tinyml.optim import LambdaLR, Optimizer

SEED = "seed"    # beside the keys of a bit generator's state


def save_checkpoint(path, *, model, optimizer=None, schedule=None, rng=None):
    """Write everything that training depends on to one file.

    Parameters
    ----------
    path : path-like
    model : Module; the generators in it, such as those of dropout, are saved too
    optimizer : Optimizer over parameters of the model, or None
    schedule : LambdaLR of this optimizer, or None
    rng : numpy.random.Generator that training draws from, or None
    """
    parts, generators = _pieces("save_checkpoint", model, optimizer, schedule, rng)
    state = {}
    for name, part in parts.items():
        state |= {f"{name}.{key}": array for key, array in part.state_dict().items()}
    for name, generator in generators.items():
        state[f"generator.{name}"] = _as_bytes(generator)
    save(state, path)


def load_checkpoint(path, *, model, optimizer=None, schedule=None, rng=None):
    """Bring objects into the state that `save_checkpoint` wrote; make them by the same code first.

    Parameters
    ----------
    path : path-like
    model, optimizer, schedule, rng : as in `save_checkpoint`; they are changed in place

    Raises
    ------
    FileNotFoundError : there is no such file
    ValueError : the file is damaged, or does not fit the objects; then nothing is changed
    """
    parts, generators = _pieces("load_checkpoint", model, optimizer, schedule, rng)
    states = {name: {} for name in parts}
    if generators:
        states["generator"] = {}
    for key, array in load(path).items():
        name, _, own = key.partition(".")
        if name not in states:
            raise ValueError(f"load_checkpoint: path must name a file with {', '.join(states)} "
                             f"alone, got {path} with {key}; pass {name}=..., as when it was "
                             "saved")
        states[name][own] = array
    saved = states.pop("generator", {})
    if saved.keys() != generators.keys():
        raise ValueError(f"load_checkpoint: generators must be {sorted(saved)} as in {path}, got "
                         f"{sorted(generators)}")
    before = {name: part.state_dict() for name, part in parts.items()}
    draws = {name: _as_bytes(generator) for name, generator in generators.items()}
    try:
        _take_over(parts, states, generators, saved)
    except Exception:
        _take_over(parts, before, generators, draws)
        raise


def _pieces(function, model, optimizer, schedule, rng):
    """The parts with a state_dict, in the order of loading, and the generators: dicts by name."""
    kinds = {"model": (model, Module), "optimizer": (optimizer, Optimizer),
             "schedule": (schedule, LambdaLR), "rng": (rng, np.random.Generator)}
    for name, (part, kind) in kinds.items():
        if not isinstance(part, kind) and (part is not None or name == "model"):
            raise TypeError(f"{function}: {name} must be a {kind.__name__}, got "
                            f"{type(part).__name__}")
    if optimizer is not None and not set(optimizer.params) <= set(model.parameters()):
        raise ValueError(f"{function}: optimizer must train parameters of the model, got "
                         "others; make it of model.parameters(), or let model be all that it "
                         "trains, as in Sequential(encoder, head)")
    if schedule is not None and schedule.optimizer is not optimizer:
        raise ValueError(f"{function}: schedule must be one of this optimizer, got another's")
    parts = {"model": model, "optimizer": optimizer, "schedule": schedule}
    parts = {name: part for name, part in parts.items() if part is not None}
    generators = {}
    for path, module in model.named_modules():
        for name, generator in module._attributes(np.random.Generator):
            generators[f"model.{path}.{name}"] = generator
    if rng is not None:
        generators["rng"] = rng
    return parts, generators


def _take_over(parts, states, generators, draws):
    for name, part in parts.items():
        part.load_state_dict(states[name])
    for name, generator in generators.items():
        state = json.loads(draws[name].tobytes())
        seed = state.pop(SEED, None)
        if seed is None:
            generator.bit_generator.state = state
        else:    # as in unpickling: NumPy has no other way to change the seed sequence
            generator.bit_generator.__setstate__((state, np.random.SeedSequence(**seed)))


def _as_bytes(generator):
    """A generator's state as JSON, in an array of bytes: its integers have up to 128 bits.

    `spawn` makes new generators from the seed sequence, and from how many there are already.
    """
    state = generator.bit_generator.state
    seed = generator.bit_generator.seed_seq
    if isinstance(seed, np.random.SeedSequence):
        state |= {SEED: seed.state}
    text = json.dumps(state, default=lambda array: array.tolist())
    return np.frombuffer(text.encode(), np.uint8)
