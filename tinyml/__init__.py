"""tinyml: double descent, compression and self-supervised learning from scratch, in NumPy.

The map, in reading order (an import points from a later line to an earlier one, never back):

    tensor         the engine: Tensor, primitive, backward            gradcheck   is a gradient right?
    ops            every primitive, f beside its derivative           debug       see a graph, find a NaN
    functional     softmax, losses, normalisation, attention
    nn             layers and models                                  data        real digits, MNIST, batches
    optim, train   optimizers, schedules, one training loop           sweep       one experiment, many times
    checkpoint     one file from which training goes on bit for bit
    interpolation  why a model with more parameters than samples can still generalise
    compression    making a trained network small, in bytes that are real
    selfsupervised learning without labels, from the pretext task to the deployed model
    exercises      write pieces of all this again, and have them checked

Fixed letters, everywhere:

    x  input             W b  weight and bias (out, in)        n p   samples and features
    y  output, target    N C H W  images                       lr    learning rate
    g  gradient of the result, dL/dy       B T D  sequences    rng   numpy.random.Generator
"""
from tinyml import checkpoint, data, functional, nn, ops, optim, train
from tinyml.debug import detect_anomaly, graph
from tinyml.gradcheck import gradcheck
from tinyml.nn import load, save
from tinyml.ops import concatenate, stack, where
from tinyml.tensor import Tensor, no_grad, primitive

__version__ = "0.1.0"
__all__ = [
    "Tensor", "checkpoint", "concatenate", "data", "detect_anomaly", "functional", "gradcheck", "graph", "load", "nn",
    "no_grad", "ops", "optim", "primitive", "save", "stack", "train", "where",
]
