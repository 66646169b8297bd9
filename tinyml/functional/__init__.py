"""Functions of tensors built from primitives: activations, losses, normalisation, attention.

The names, arguments and defaults are those of ``torch.nn.functional``, with `axis` for `dim` and a
required keyword `rng` where randomness enters. Nothing here has a derivative of its own.
Values and gradients agree with PyTorch's, except for what is refused here on purpose: an axis of
an array that has none, softmax and means over an empty axis, `normalize` with p <= 0.
"""
from tinyml.functional.activations import (dropout, embedding, gelu, leaky_relu, log_softmax,
                                           softmax)
from tinyml.functional.attention import scaled_dot_product_attention
from tinyml.functional.distances import cosine_similarity, normalize
from tinyml.functional.images import avg_pool2d, conv1d, conv2d, max_pool1d, max_pool2d
from tinyml.functional.losses import (binary_cross_entropy_with_logits, cross_entropy, kl_div,
                                      mse_loss)
from tinyml.functional.norms import batch_norm, layer_norm
from tinyml.ops import linear, relu, sigmoid, tanh

__all__ = [
    "avg_pool2d", "batch_norm", "binary_cross_entropy_with_logits", "conv1d", "conv2d",
    "cosine_similarity", "cross_entropy", "dropout", "embedding", "gelu", "kl_div", "layer_norm",
    "leaky_relu", "linear", "log_softmax", "max_pool1d", "max_pool2d", "mse_loss", "normalize",
    "relu", "scaled_dot_product_attention", "sigmoid", "softmax", "tanh",
]
