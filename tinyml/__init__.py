"""tinyml: double descent, compression and self-supervised learning from scratch, in NumPy.

The map, in reading order (an import points from a later line to an earlier one, never back):

    tensor         the engine: Tensor, backward, primitive    gradcheck  is a gradient right?
    ops            every operation beside its derivative      debug      see a graph, find a NaN
    functional     softmax, losses, normalisation, attention
    nn             layers and models                          data       images, tables, batches
    optim, train   optimizers, schedules, the training loop   sweep      one experiment, many times
    checkpoint     one file from which training goes on bit for bit
    interpolation  why a model with more parameters than samples can still generalise
    compression    making a trained network small, in bytes that are real
    selfsupervised learning without labels, from the pretext task to the deployed model
    exercises      write pieces of all this yourself, and have them checked

`CORE` lists the public names that the lecture notes need: begin with them. All others go further.

Fixed letters, everywhere:

    x  input             W b  weight and bias (out, in)        n p   samples and features
    y  output, target    N C H W  images                       lr    learning rate
    g  gradient of the result, dL/dy       B T D  sequences    rng   numpy.random.Generator

An argument outside the range or shape that its function states raises ValueError, another type
TypeError. In the lessons the annotations of the parameters state it, and `tinyml.contract` checks
them.
"""
from tinyml import checkpoint, data, functional, nn, ops, optim, train
from tinyml.debug import detect_anomaly, graph
from tinyml.gradcheck import gradcheck
from tinyml.nn import load, save
from tinyml.ops import concatenate, stack, where
from tinyml.tensor import Tensor, no_grad, primitive

__version__ = "0.1.0"
__all__ = [
    "CORE", "Tensor", "checkpoint", "concatenate", "data", "detect_anomaly", "functional",
    "gradcheck", "graph", "load", "nn", "no_grad", "ops", "optim", "primitive", "save", "stack",
    "train", "where",
]

CORE = {    # module -> the public names that the lecture notes need
    "tensor": "Tensor primitive no_grad",
    "gradcheck": "gradcheck",
    "ops": "round_ste",
    "functional": "linear relu softmax log_softmax cross_entropy mse_loss kl_div "
                  "cosine_similarity scaled_dot_product_attention",
    "nn": "Parameter Module Sequential Linear ReLU Conv2d Flatten Embedding LayerNorm "
          "TransformerEncoderLayer",
    "optim": "SGD Adam AdamW",
    "train": "fit predict accuracy",
    "data": "digits train_test_split batches",
    "synthetic": "make_linear",
    "interpolation.bias_variance": "bias_variance expected_risk",
    "interpolation.min_norm": "linear_model ordinary_least_squares least_squares min_norm "
                              "gradient_descent",
    "interpolation.double_descent": "min_norm_risk",
    "interpolation.epoch_wise": "training_risk population_risk turning_points",
    "compression.pruning": "magnitude_mask threshold_mask prune",
    "compression.weight_masks": "pruned_loss",
    "compression.sparse": "matmul",
    "compression.quantization": "notes_codes notes_dequantize quantize dequantize",
    "compression.quantization_aware": "quantized_loss",
    "compression.low_rank": "truncated_svd break_even",
    "compression.distillation": "soften distillation_loss distill",
    "selfsupervised.masking": "mask_input masked_loss",
    "selfsupervised.masked_tokens": "TokenTransformer",
    "selfsupervised.augmentations": "compose random_affine",
    "selfsupervised.contrastive": "nt_xent",
    "selfsupervised.simclr": "train_simclr",
    "selfsupervised.downstream": "extract_features linear_probe",
    "selfsupervised.deploy": "Classifier",
}
CORE = {module: tuple(names.split()) for module, names in CORE.items()}
