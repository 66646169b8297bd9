"""Users: which layer multiplies by a weight, and may something else take the layer's place?

Problem: two thin layers can take the place of one only if nothing else uses its weight.

Idea: look at every place of every weight in the tree of modules. A layer can be replaced if its
weight stands in Linears and convolutions only, and if the layer has the forward of such a class.
The last layer stays, because its outputs are the classes.
"""
from typing import NamedTuple

from tinyml.nn.layers import Conv1d, Conv2d, Linear
from tinyml.nn.module import Module
from tinyml.nn.weights import all_weights

LAYERS = (Linear, Conv1d, Conv2d)
LAST = "the last layer"


class User(NamedTuple):
    """The layer at `place` that uses a weight; `why` is the reason why it must stay, or None."""

    layer: Module | None
    place: str
    why: str | None


def users(model):
    """{path of a weight: User}, for every weight of a model and every layer that has it."""
    places = [(place, layer) for place, layer in model.named_modules()
              if isinstance(layer, LAYERS)]
    in_layers = {weight_at(place) for place, _ in places}
    found = {}
    for first, paths, weight in all_weights(model):
        elsewhere = [path for path in paths if path not in in_layers]
        inside = sorted(in_layers.intersection(paths))
        if elsewhere and inside:
            found[elsewhere[0]] = User(None, "", f"one with {inside[0]}")
        elif elsewhere:
            found[first] = User(None, "", "no weight of a Linear, Conv1d or Conv2d")
        seen = set()
        for place, layer in places:
            if layer.weight is not weight or layer in seen:
                continue
            seen.add(layer)
            why = f"one with {elsewhere[0]}" if elsewhere else _why_it_stays(layer, places)
            found[weight_at(place)] = User(layer, place, why)
    return found


def weight_at(place):
    """The path of the weight of the layer at a place."""
    return f"{place}.weight".lstrip(".")


def _why_it_stays(layer, places):
    if layer is places[-1][1]:
        return LAST
    if not any(type(layer).forward is kind.forward for kind in LAYERS):
        return f"used by {type(layer).__name__}, which has a forward of its own"
    return None
