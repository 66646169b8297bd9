"""Layers: functions that own their parameters.

A layer is a class whose ``__init__`` makes the parameters and whose `forward` uses them. Names,
argument order, defaults, initial distributions and the keys of `state_dict` are those of
``torch.nn``, so that weights can be exchanged. Random initial values need the keyword `rng`.
"""
from tinyml.nn.attention import MultiheadAttention, TransformerEncoderLayer
from tinyml.nn.layers import (GELU, AvgPool2d, Conv1d, Conv2d, Dropout, Embedding, Flatten,
                              Linear, MaxPool1d, MaxPool2d, ReLU, Sigmoid, Tanh)
from tinyml.nn.module import Module, Parameter, Sequential, forward_hook
from tinyml.nn.norms import BatchNorm1d, BatchNorm2d, LayerNorm
from tinyml.nn.npz import load, save
from tinyml.nn.saving import load_model, save_model

__all__ = [
    "AvgPool2d", "BatchNorm1d", "BatchNorm2d", "Conv1d", "Conv2d", "Dropout", "Embedding",
    "Flatten", "GELU", "LayerNorm", "Linear", "MaxPool1d", "MaxPool2d", "Module",
    "MultiheadAttention", "Parameter", "ReLU", "Sequential", "Sigmoid", "Tanh",
    "TransformerEncoderLayer", "forward_hook", "load", "load_model", "save", "save_model",
]
