"""Lesson 10.2: making a trained network small, in bytes that are real.

    pruning             set the smallest weights to zero
    weight_masks        keep them at zero, and the loss of what stays
    sparse              store and multiply only what is not zero
    structured          which whole units can go
    removal             take them away, so that arrays shrink
    quantization        real numbers as small integers, after training
    clipping            few bits: clip outliers, restore mean and norm
    bit_allocation      more codes for channels with a wide range
    quantization_aware  train with the rounding: straight-through gradients
    binary              signs in place of weights, trained straight through; whole models
    ternary             signs of the large weights, zeros for the small ones
    bits                such codes as bits: stored, and multiplied by counting ones
    observers           ranges for numbers that come in batches
    integer             layers that compute with integers only
    fixed_point         multiply by a real number, with integers only
    integer_model       a whole network of integer layers
    low_rank            two thin matrices in place of one, and how thin they may be
    thin_layers         two thin layers in place of one: linear layers and convolutions
    factorize           the same for a whole network
    monochromatic       each filter of the first layer sees one of a few colours
    channel_blocks      groups of outputs from groups of inputs
    clusters            k-means of vectors, and of anything with a cost and a best center
    biclustering        blocks of similar filters and channels, of low rank on both sides
    outer_products      filters as a sum of outputs times channels times a kernel
    metrics             errors weighted by the data, or by the gradients of mistakes
    circulant           n numbers for a matrix of n x n, multiplied by Fourier transforms
    circulant_layers    layers of such blocks, with random signs
    compact             convolutions in two thin steps: depthwise, then pointwise; bottlenecks
    separable           the two steps nearest to a trained convolution
    distillation        a student learns from a teacher's soft targets
    codebooks           a few values for many numbers: k-means in one dimension
    weight_sharing      a few values for all weights of a layer, and training of these values
    coding/             entropy coding and a file for a whole model; the notes do not need it
    deep_compression    prune, share, code: a hundredth of the bytes
    report              what a small model is worth: numbers, bytes, work, time, accuracy
"""
